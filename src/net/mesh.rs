//! Crossbeam lanes between the cores, and the wake-up.
//!
//! Owns one bounded lane per pair of cores and direction, and a control queue per core for what
//! comes from elsewhere (sockets that change hands, shutdown). Lanes are first in, first out, and
//! neither block nor drop: what a full lane does not take waits here, in order, and while anything
//! waits the worker reads no client socket. Tests: at the end of this file.

use super::dispatcher::Wake;
use super::gather::Moved;
use crate::chat::api::{Answer, Request};
use crate::chat::ids::ShardId;
use crate::chat::peer::PeerMessage;
use crate::chat::settings::Settings;
use crate::ws::handshake::Upgrade;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// Batches that a lane holds: one batch per turn, so a peer may be this many turns behind.
const LANE_BATCHES_MAX: usize = 1_024;

/// What comes to a core from outside of the lanes.
#[derive(Debug)]
pub enum Control {
    /// A fresh socket that another core accepted.
    Socket(TcpStream, SocketAddr),
    /// A WebSocket upgrade that came on a kept-alive HTTP connection, with the bytes behind it.
    Upgrade(TcpStream, Box<Upgrade>, Vec<u8>),
    /// A connection whose first room lives on this core.
    Moved(Box<Moved>),
    /// Answer, to show that the core turns.
    Ping(oneshot::Sender<()>),
    /// The configuration or a key set has changed.
    Settings(Arc<Settings>),
    /// A call of the server API; answered at the end of the turn.
    Api(ApiCall),
    /// Shut down in order.
    Drain,
}

/// A call of the server API on its way to a core.
#[derive(Debug)]
pub struct ApiCall {
    /// What is asked for.
    pub request: Box<Request>,
    /// Who waits; dropped without an answer where the core has ended.
    pub answer: oneshot::Sender<Answer>,
}

/// What has come to a core.
#[derive(Debug)]
pub enum News {
    /// A batch of a peer.
    Batch(ShardId, Vec<PeerMessage>),
    /// Something from outside of the lanes.
    Control(Control),
}

/// How others reach a core.
#[derive(Debug, Clone)]
pub struct Reach {
    control: Sender<Control>,
    wake: Arc<Wake>,
}

impl Reach {
    /// Hands something to the core. False: the core is gone.
    pub fn send(&self, control: Control) -> bool {
        let sent = self.control.send(control).is_ok();
        self.wake.wake();
        sent
    }
}

/// One core's end of all its lanes.
#[derive(Debug)]
pub struct Mesh {
    id: ShardId,
    peers: Vec<Option<Peer>>,
    control: Receiver<Control>,
    /// Taken from `control`; what was on the lanes before it goes first.
    ahead: Option<Control>,
    /// Whose lane is looked at first.
    next: usize,
    reaches: Vec<Reach>,
    spilled: usize,
}

#[derive(Debug)]
struct Peer {
    to: Sender<Vec<PeerMessage>>,
    from: Receiver<Vec<PeerMessage>>,
    /// What the full lane did not take, in order.
    spill: VecDeque<Vec<PeerMessage>>,
    /// Batches to be heard before the control that is `ahead`.
    owed: usize,
    /// Set by us while `spill` holds something; the receiver wakes us when it has made room.
    waiting: Arc<AtomicBool>,
    /// The same, of the peer's lane to us.
    peer_waiting: Arc<AtomicBool>,
    wake: Arc<Wake>,
}

impl Mesh {
    /// Connects cores, one per wake.
    pub fn connect(wakes: &[Arc<Wake>]) -> Vec<Mesh> {
        Mesh::with_capacity(wakes, LANE_BATCHES_MAX)
    }

    fn with_capacity(wakes: &[Arc<Wake>], capacity: usize) -> Vec<Mesh> {
        let n = wakes.len();
        let controls: Vec<_> = (0..n).map(|_| unbounded()).collect();
        let reaches: Vec<Reach> = controls
            .iter()
            .zip(wakes)
            .map(|((control, _), wake)| Reach { control: control.clone(), wake: wake.clone() })
            .collect();
        let lane = |_| (bounded(capacity), Arc::new(AtomicBool::new(false)));
        // lanes[a][b]: from a to b.
        let lanes: Vec<Vec<_>> = (0..n).map(|_| (0..n).map(lane).collect()).collect();
        let mut meshes = Vec::with_capacity(n);
        for (a, (_, control)) in controls.into_iter().enumerate() {
            let peer = |(b, wake): (usize, &Arc<Wake>)| {
                let ((to, _), waiting) = lanes.get(a)?.get(b)?;
                let ((_, from), peer_waiting) = lanes.get(b)?.get(a)?;
                (a != b).then(|| Peer {
                    to: to.clone(),
                    from: from.clone(),
                    spill: VecDeque::new(),
                    owed: 0,
                    waiting: waiting.clone(),
                    peer_waiting: peer_waiting.clone(),
                    wake: wake.clone(),
                })
            };
            meshes.push(Mesh {
                id: ShardId(a as u16),
                peers: wakes.iter().enumerate().map(peer).collect(),
                control,
                ahead: None,
                next: 0,
                reaches: reaches.clone(),
                spilled: 0,
            });
        }
        meshes
    }

    /// How this core and the others are reached, by index.
    pub fn reaches(&self) -> &[Reach] {
        &self.reaches
    }

    /// Which core this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// What has come, and is next. Call until it says `None`, or again in the next turn.
    ///
    /// A control comes after every batch that was on a lane before it: who asks for something
    /// because another core has answered finds what that core had told this one until then. It does
    /// not wait for batches that come later, and the cores take turns: where a turn ends before the
    /// lanes are empty, neither a busy lane nor a busy core keeps the rest waiting.
    pub fn next_news(&mut self) -> Option<News> {
        if self.ahead.is_none() {
            self.ahead = self.control.try_recv().ok();
            if self.ahead.is_some() {
                self.peers.iter_mut().flatten().for_each(|peer| peer.owed = peer.from.len());
            }
        }
        let batch = self.next_batch().map(|(from, messages)| News::Batch(from, messages));
        batch.or_else(|| self.ahead.take().map(News::Control))
    }

    fn next_batch(&mut self) -> Option<(ShardId, Vec<PeerMessage>)> {
        let cores = self.peers.len();
        for step in 0..cores {
            let at = (self.next + step) % cores;
            let Some(Some(peer)) = self.peers.get_mut(at) else { continue };
            if self.ahead.is_some() && peer.owed == 0 {
                continue;
            }
            if let Ok(batch) = peer.from.try_recv() {
                peer.owed = peer.owed.saturating_sub(1);
                self.next = at + 1;
                // The peer's lane has room again, and the peer waits for that.
                if peer.peer_waiting.swap(false, Ordering::SeqCst) {
                    peer.wake.wake();
                }
                return Some((ShardId(at as u16), batch));
            }
        }
        None
    }

    /// Hands the turn's messages to each peer, one batch each, and wakes it if it sleeps. `lanes`:
    /// messages by shard, taken. Returns batches sent and batches that had to wait.
    pub fn send(&mut self, lanes: &mut [Vec<PeerMessage>]) -> (u64, u64) {
        let (mut sent, mut waited) = (0, 0);
        for (peer, messages) in self.peers.iter_mut().zip(lanes) {
            let Some(peer) = peer else { continue };
            let fresh = !messages.is_empty();
            if fresh {
                peer.spill.push_back(std::mem::take(messages));
                self.spilled += 1;
            }
            let delivered = peer.deliver();
            self.spilled -= delivered;
            sent += delivered as u64;
            waited += u64::from(fresh && !peer.spill.is_empty());
        }
        (sent, waited)
    }

    /// Whether a full lane makes batches wait: no client socket may be read.
    pub fn is_spilling(&self) -> bool {
        self.spilled > 0
    }

    /// Whether something has come (asked before the core sleeps).
    pub fn has_work(&self) -> bool {
        let room = |p: &Peer| !p.spill.is_empty() && !p.to.is_full();
        self.ahead.is_some()
            || !self.control.is_empty()
            || self.peers.iter().flatten().any(|p| !p.from.is_empty() || room(p))
    }
}

impl Peer {
    /// Moves what waits into the lane, as far as it has room; returns how many batches went.
    fn deliver(&mut self) -> usize {
        let mut delivered = 0;
        while let Some(batch) = self.spill.pop_front() {
            match self.to.try_send(batch) {
                Ok(()) => delivered += 1,
                Err(TrySendError::Full(batch)) => {
                    self.spill.push_front(batch);
                    self.waiting.store(true, Ordering::SeqCst);
                    break;
                }
                // The core has ended: a shutdown. Nobody is left to hear.
                Err(TrySendError::Disconnected(_)) => delivered += 1,
            }
        }
        if delivered > 0 {
            self.wake.wake();
        }
        delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::peer::Barrier;

    fn batch() -> Vec<PeerMessage> {
        vec![PeerMessage::Barrier(Barrier::Commands)]
    }

    fn pair(capacity: usize) -> (Mesh, Mesh) {
        let mut meshes = Mesh::with_capacity(&[Wake::new(), Wake::new()], capacity);
        let b = meshes.pop().unwrap();
        (meshes.pop().unwrap(), b)
    }

    #[test]
    fn a_full_lane_keeps_everything_in_order() {
        let (mut a, mut b) = pair(2);
        for i in 1..=5usize {
            let mut lanes = [vec![], (0..i).flat_map(|_| batch()).collect()];
            a.send(&mut lanes);
            assert!(lanes[1].is_empty());
        }
        assert!(a.is_spilling() && !a.has_work() && b.has_work());
        let mut got = Vec::new();
        while let Some(News::Batch(from, messages)) = b.next_news() {
            assert_eq!(from, ShardId(0));
            got.push(messages.len());
            a.send(&mut [vec![], vec![]]);
        }
        assert_eq!(got, [1, 2, 3, 4, 5]);
        assert!(!a.is_spilling() && !b.has_work());
    }

    #[test]
    fn room_in_the_lane_is_work_for_who_spills() {
        let (mut a, mut b) = pair(1);
        a.send(&mut [vec![], batch()]);
        a.send(&mut [vec![], batch()]);
        assert!(a.is_spilling() && !a.has_work());
        assert!(b.next_news().is_some());
        assert!(a.has_work());
        assert_eq!(a.send(&mut [vec![], vec![]]), (1, 0));
    }

    #[test]
    fn both_ways_and_control() {
        let (mut a, mut b) = pair(8);
        b.send(&mut [batch(), vec![]]);
        assert!(matches!(a.next_news(), Some(News::Batch(ShardId(1), _))));
        assert!(a.reaches()[1].send(Control::Drain));
        assert!(matches!(b.next_news(), Some(News::Control(Control::Drain))));
        assert!(b.next_news().is_none());
    }

    #[test]
    fn a_control_comes_after_what_was_on_the_lanes() {
        let (mut a, mut b) = pair(8);
        assert!(a.reaches()[1].send(Control::Drain));
        a.send(&mut [vec![], batch()]);
        assert!(a.reaches()[1].send(Control::Drain));
        a.send(&mut [vec![], batch()]);
        let mut kinds = String::new();
        while let Some(news) = b.next_news() {
            kinds.push(if matches!(news, News::Batch(..)) { 'b' } else { 'c' });
        }
        assert_eq!(kinds, "bbcc");
    }

    #[test]
    fn a_control_does_not_wait_for_what_comes_later() {
        let (mut a, mut b) = pair(8);
        a.send(&mut [vec![], batch()]);
        assert!(a.reaches()[1].send(Control::Drain));
        assert!(matches!(b.next_news(), Some(News::Batch(..))));
        a.send(&mut [vec![], batch()]);
        assert!(matches!(b.next_news(), Some(News::Control(Control::Drain))));
        assert!(matches!(b.next_news(), Some(News::Batch(..))));
        assert!(b.next_news().is_none());
    }

    #[test]
    fn the_cores_take_turns() {
        let mut meshes = Mesh::with_capacity(&[Wake::new(), Wake::new(), Wake::new()], 8);
        for core in [0, 0, 0, 1, 1] {
            meshes[core].send(&mut [vec![], vec![], batch()]);
        }
        let mut order = Vec::new();
        while let Some(News::Batch(from, _)) = meshes[2].next_news() {
            order.push(from.index());
        }
        assert_eq!(order, [0, 1, 0, 1, 0]);
    }
}
