//! A core of the server: pins it, owns its ring and its shard, brings events to the shard and
//! applies what comes back, and flushes once per turn.
//!
//! A turn: lanes and control first, then what has completed, then the timers, then the end of the
//! shard's turn, and last the sends. Nothing in it waits. What a turn leaves undone because it
//! would grow too long (more than `SENDS_MAX` sends, too many bytes) is done in the
//! next, which follows after a look at the ring. Tests: `tests/it`, over real sockets.

use super::accept::Listening;
use super::connection::{After, Connection, Phase};
use super::dispatcher::{self, Handler, Turn, Wake};
use super::drain::Drain;
use super::listener::Balance;
use super::mesh::{ApiCall, Control, Mesh, News};
use super::ring::{self, Kind, RingError, Sends, Sent, Token};
use crate::chat::api::Answer;
use crate::chat::ids::ShardId;
use crate::chat::outbox::Chunks;
use crate::chat::peer::PeerMessage;
use crate::chat::settings::Settings;
use crate::chat::shard::{Close, Effects, Input, Now, Shard};
use crate::chat::wheel::Wheel;
use crate::metrics::Cells;
use crate::ws::codec;
use slab::Slab;
use std::collections::HashMap;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::vec;
use tokio::sync::oneshot;

/// Sends of one turn.
const SENDS_MAX: usize = 1_024;
/// Bytes of the buffer into which every connection of the core is read: twice what a socket takes in
/// at first, so that what a busy sender has sent comes in one turn. With 64 KiB, 512 messages of
/// 128 bytes came in two halves, and each delivery cost a fifth to a third more.
const READ_BYTES: usize = 128 * 1024;
/// Places for connections that are not worth giving back.
const PLACES_KEPT: usize = 1_024;
/// After a connection has gone, its place is given back at the latest this long afterwards.
const SHRINK_EVERY_MS: u64 = 1_000;
/// Sockets that may be open beyond the limit of WebSocket connections: heads still being read,
/// and connections being closed.
pub const SPARE_SOCKETS: usize = 256;

/// Takes a connection that is no WebSocket, with the bytes already read; gives both back when it
/// has no room. Never blocks.
pub type HttpDoor = dyn Fn(TcpStream, Vec<u8>) -> Result<(), (TcpStream, Vec<u8>)> + Send + Sync;

/// What the workers share. Touched when a connection comes or goes, never for a message.
pub struct Shared {
    /// Settings of the shards.
    pub settings: Arc<Settings>,
    /// Sockets per worker.
    pub balance: Balance,
    /// WebSocket connections in all.
    pub sessions: AtomicUsize,
    /// Number of the latest client.
    pub numbers: AtomicU32,
    /// WebSocket connections per address, where that is limited.
    pub addresses: Mutex<HashMap<IpAddr, usize>>,
    /// Where everything goes that is no WebSocket.
    pub http: Box<HttpDoor>,
    /// Told the id of each key that a token has named and the key sets do not have. Never blocks.
    pub key_wanted: Box<dyn Fn(Box<str>) + Send + Sync>,
    /// WebSocket connections allowed in all.
    pub connections_max: usize,
    /// The start of monotonic time.
    pub start: Instant,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("balance", &self.balance).finish_non_exhaustive()
    }
}

impl Shared {
    /// The time, for a shard.
    pub fn now(&self, instant: Instant) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now {
            mono_ms: millis(instant.saturating_duration_since(self.start)),
            unix_ms: millis(unix),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a worker on the calling thread until it has drained. `ready` is told once, whether the
/// ring could be made.
pub fn run(
    core: core_affinity::CoreId,
    mesh: Mesh,
    wake: Arc<Wake>,
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
    metrics: Arc<Cells>,
    ready: impl FnOnce(Result<(), String>),
) {
    if !core_affinity::set_for_current(core) {
        return ready(Err(format!("cannot pin a worker to core {}", core.id)));
    }
    let runtime = match ring::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ready(Err(error.to_string())),
    };
    let worker = match Worker::new(mesh, listeners, shared, metrics) {
        Ok(worker) => worker,
        Err(error) => return ready(Err(error.to_string())),
    };
    ready(Ok(()));
    runtime.block_on(async {
        // As a task of its own: polled as the main future it would cost an epoll call per turn.
        let task = tokio_uring::spawn(dispatcher::run(worker, wake));
        if let Err(error) = task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    });
}

/// A core of the server.
pub(super) struct Worker {
    pub(super) shard: Shard,
    pub(super) fx: Effects,
    pub(super) connections: Slab<Connection>,
    pub(super) listeners: Vec<Option<Listening>>,
    pub(super) accept_again_ms: Option<u64>,
    /// When to look whether memory can be given back.
    shrink_ms: Option<u64>,
    pub(super) mesh: Mesh,
    pub(super) shared: Arc<Shared>,
    /// Those of `shared` at first; newer ones replace them.
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: Arc<Cells>,
    pub(super) buffer: Vec<u8>,
    pub(super) wheel: Wheel,
    fired: Vec<u64>,
    pub(super) serials: u32,
    pub(super) now: Now,
    /// Connections that became readable while a lane was full.
    held: Vec<Token>,
    /// Connections, with their serials, of which something is read but left for the next turn.
    unheard: Vec<(u32, u32)>,
    /// The batch of a lane of which something is left for the next turn.
    batch: Option<(ShardId, vec::IntoIter<PeerMessage>)>,
    /// Who waits for the answers to this turn's calls of the server API, by ticket.
    api_calls: Slab<oneshot::Sender<Answer>>,
    pub(super) drain: Option<Drain>,
    /// Sends of this turn that have not begun.
    sends: Sends,
    /// How they have ended; empty but for [`Worker::send_now`].
    ended: Vec<(u32, Sent)>,
}

impl Worker {
    fn new(
        mesh: Mesh,
        listeners: Vec<TcpListener>,
        shared: Arc<Shared>,
        metrics: Arc<Cells>,
    ) -> Result<Worker, RingError> {
        let now = shared.now(Instant::now());
        let settings = shared.settings.clone();
        let shards = settings.shards;
        let listening = |socket| Some(Listening { socket, watch: None, closing: false });
        let mut worker = Worker {
            shard: Shard::new(mesh.id(), settings.clone(), metrics.clone(), now),
            fx: Effects::new(shards),
            connections: Slab::new(),
            listeners: listeners.into_iter().map(listening).collect(),
            accept_again_ms: Some(now.mono_ms),
            shrink_ms: None,
            mesh,
            shared,
            settings,
            metrics,
            buffer: vec![0; READ_BYTES],
            wheel: Wheel::new(now.mono_ms),
            fired: Vec::new(),
            serials: 0,
            now,
            held: Vec::new(),
            unheard: Vec::new(),
            batch: None,
            api_calls: Slab::new(),
            drain: None,
            sends: Sends::new()?,
            ended: Vec::new(),
        };
        worker.fx.closes.reserve(16);
        Ok(worker)
    }

    pub(super) fn step(&mut self, input: Input<'_>) {
        self.shard.step(self.now, input, &mut self.fx);
    }

    /// Which worker this is.
    pub(super) fn index(&self) -> usize {
        self.mesh.id().index()
    }

    // ---- what comes on them

    fn readable(&mut self, token: Token) {
        let slot = token.slot();
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if !connection.take_readable(token) {
            return;
        }
        match &connection.phase {
            Phase::Head(_) => self.read_head(slot),
            Phase::Open => self.read_messages(slot),
            Phase::Closing(_) => {
                let after = connection.discard(slot, &mut self.buffer, self.now.mono_ms);
                self.after(slot, after);
            }
        }
    }

    fn read_head(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let read = connection.read(&mut self.buffer);
        let Phase::Head(head) = &mut connection.phase else { return };
        match read {
            Ok(None) => connection.watch(slot),
            Ok(Some(n)) if n > 0 => {
                let fresh = self.buffer.get(..n).unwrap_or_default();
                self.metrics.received_bytes.add(n as u64);
                head.bytes.extend_from_slice(fresh);
                let limit = self.settings.config.http_server.head_size_limit;
                // A head ends with a line break: nothing to look at before one has come.
                if fresh.contains(&b'\n') || head.bytes.len() >= limit {
                    self.head_grew(slot);
                } else {
                    connection.watch(slot);
                }
            }
            Ok(Some(_)) | Err(_) => self.terminate(slot),
        }
    }

    fn read_messages(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let n = match connection.read(&mut self.buffer) {
            Ok(Some(n)) if n > 0 => n,
            Ok(None) => return connection.watch(slot),
            Ok(Some(_)) | Err(_) => return self.lost(slot),
        };
        self.metrics.received_bytes.add(n as u64);
        if !self.gather_first(slot, n) {
            self.messages(slot, n);
        }
    }

    /// Hands the messages in the first `n` bytes of the buffer to the shard, behind what the
    /// decoder has kept, until the shard wants no more, the turn is full or a lane is; then waits for
    /// more, or for the next turn.
    pub(super) fn messages(&mut self, slot: u32, n: usize) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let bytes = self.buffer.get_mut(..n).unwrap_or_default();
        let mut feed = connection.decoder.feed(bytes);
        let mut more = false;
        while self.shard.accepts(slot) {
            // Who was resumed or has moved here waits for a full lane like those whose sockets are.
            if self.shard.turn_full() || self.mesh.is_spilling() {
                self.unheard.push((slot, connection.serial));
                break;
            }
            let input = match feed.next() {
                Ok(Some(message)) => Input::Received { slot, message },
                Ok(None) => {
                    more = true;
                    break;
                }
                Err(violation) => Input::Violated { slot, violation },
            };
            self.shard.step(self.now, input, &mut self.fx);
        }
        drop(feed);
        if more {
            connection.watch(slot);
        }
    }

    /// Feeds bytes that came behind a head.
    pub(super) fn feed(&mut self, slot: u32, bytes: &[u8]) {
        // A head is at most 16 KiB, and with what came behind it at most one buffer more.
        for chunk in bytes.chunks(READ_BYTES) {
            if let Some(into) = self.buffer.get_mut(..chunk.len()) {
                into.copy_from_slice(chunk);
            }
            self.messages(slot, chunk.len());
        }
        if bytes.is_empty() {
            self.messages(slot, 0);
        }
    }

    fn sent(&mut self, token: Token) {
        let slot = token.slot();
        let now_ms = self.now.mono_ms;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let Some(complete) = connection.take_sent(token) else { return };
        match (&connection.phase, complete) {
            (Phase::Open, true) => self.step(Input::Sent { slot }),
            (Phase::Open, false) => self.lost(slot),
            (_, true) => {
                let after = connection.go_on(slot, now_ms);
                self.schedule(slot);
                self.after(slot, after);
            }
            (_, false) => {
                let after = connection.cannot_send(slot, now_ms);
                self.after(slot, after);
            }
        }
    }

    // ---- connections that go

    /// The peer is gone without a close handshake.
    fn lost(&mut self, slot: u32) {
        self.step(Input::Closed { slot });
        self.terminate(slot);
    }

    pub(super) fn terminate(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let after = connection.terminate(slot, self.now.mono_ms);
        self.after(slot, after);
    }

    /// Begins to close with what the shard says.
    fn close(&mut self, close: Close) {
        let Close { slot, code, reason, mut before } = close;
        before.push(codec::close_frame(code, &reason));
        self.begin_close(slot, &before);
    }

    pub(super) fn begin_close(&mut self, slot: u32, last: &[bytes::Bytes]) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let after = connection.begin_close(slot, last, self.now.mono_ms);
        self.schedule(slot);
        self.after(slot, after);
    }

    fn after(&mut self, slot: u32, after: After) {
        if after == After::Gone {
            self.remove(slot);
        }
    }

    /// Takes a connection with nothing in flight out of the accounts; dropping it closes it.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Connection> {
        let connection = self.connections.try_remove(slot as usize)?;
        // The slot may have another user before the turn comes to what is left to close.
        self.fx.closes.retain(|close| close.slot != slot);
        self.metrics.connections.set(self.connections.len() as u64);
        self.shared.balance.remove(self.index());
        if connection.counted {
            self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
            self.uncount_address(connection.address.as_deref());
        }
        if self.shrink_ms.is_none() && self.connections.capacity() > PLACES_KEPT {
            self.shrink_ms = Some(self.now.mono_ms + SHRINK_EVERY_MS);
        }
        Some(connection)
    }

    /// After a peak: gives back the memory of places that nobody needs any more. A place in the
    /// middle stays; new connections take those first.
    fn shrink(&mut self) {
        self.shrink_ms = None;
        if self.connections.len() < self.connections.capacity() / 4 {
            self.connections.shrink_to_fit();
            self.shard.shrink();
        }
    }

    fn uncount_address(&self, address: Option<&IpAddr>) {
        let Some(address) = address else { return };
        let mut counts = self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }

    // ---- the turn

    fn control(&mut self, control: Control) {
        match control {
            Control::Socket(socket, address) => {
                self.adopt(socket, address);
            }
            Control::Upgrade(socket, upgrade, rest) => {
                let Ok(address) = socket.peer_addr() else { return };
                if socket.set_nonblocking(false).is_err() {
                    return;
                }
                let own = self.index();
                self.shared.balance.add(own);
                let slot = self.adopt(socket, address);
                self.upgrade(slot, &upgrade, &rest);
            }
            Control::Moved(moved) => self.move_in(*moved),
            Control::Ping(answer) => {
                let _ = answer.send(());
            }
            Control::Settings(settings) => {
                self.settings = settings.clone();
                self.step(Input::Settings(settings));
            }
            Control::Api(ApiCall { request, answer }) => {
                let ticket = self.api_calls.insert(answer);
                self.step(Input::Api { ticket, request });
            }
            Control::Drain => self.start_drain(),
        }
    }

    /// Takes what is on the lanes, until the turn is full.
    fn hear_the_others(&mut self) {
        while !self.shard.turn_full() {
            if let Some((from, mut messages)) = self.batch.take() {
                self.step(Input::Peer { from, messages: &mut messages });
                self.batch = (messages.len() > 0).then_some((from, messages));
                continue;
            }
            match self.mesh.next_news() {
                Some(News::Batch(from, messages)) => {
                    self.batch = Some((from, messages.into_iter()))
                }
                Some(News::Control(control)) => self.control(control),
                None => return,
            }
        }
    }

    fn completed(&mut self, ready: &mut Vec<Token>) {
        let spilling = self.mesh.is_spilling();
        self.shard.suspend_reading(spilling);
        if !spilling {
            ready.append(&mut self.held);
        }
        let mut left = Vec::new();
        for token in ready.drain(..) {
            match token.kind() {
                Kind::Send => self.sent(token),
                Kind::Accept => self.listener_ready(token),
                // A lane is full: TCP pushes back on who would fill it further.
                Kind::Readable if spilling => self.held.push(token),
                // The rest is read in the next turn, which merges less into one send.
                Kind::Readable if self.shard.turn_ends() => left.push(token),
                Kind::Readable => self.readable(token),
                Kind::Connect | Kind::Kick | Kind::Timer => {}
            }
        }
        *ready = left;
    }

    /// Goes on with what the last turn was too full for.
    fn catch_up(&mut self) {
        if self.mesh.is_spilling() {
            return;
        }
        for (slot, serial) in std::mem::take(&mut self.unheard) {
            let same = |c: &&Connection| c.serial == serial && matches!(c.phase, Phase::Open);
            if self.connections.get(slot as usize).filter(same).is_some() {
                self.messages(slot, 0);
            }
        }
    }

    fn resume(&mut self) {
        while let Some(slot) = self.fx.resumed.pop() {
            if self.connections.get(slot as usize).is_some_and(|c| matches!(c.phase, Phase::Open)) {
                self.messages(slot, 0);
            }
        }
    }

    fn timers(&mut self) {
        if self.shard.next_deadline_ms().is_some_and(|at| at <= self.now.mono_ms) {
            self.step(Input::Tick);
        }
        if self.accept_again_ms.is_some_and(|at| at <= self.now.mono_ms) {
            self.accept_again_ms = None;
            self.watch_listeners();
        }
        if self.shrink_ms.is_some_and(|at| at <= self.now.mono_ms) {
            self.shrink();
        }
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.expire(self.now.mono_ms, &mut fired);
        for key in fired.drain(..) {
            let (slot, serial) = (key as u32, (key >> 32) as u32);
            self.overdue(slot, serial);
        }
        self.fired = fired;
    }

    fn overdue(&mut self, slot: u32, serial: u32) {
        let now_ms = self.now.mono_ms;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if connection.serial != serial {
            return;
        }
        match connection.deadline_ms() {
            None => {}
            Some(at) if at > now_ms => self.schedule(slot),
            Some(_) => match &connection.phase {
                Phase::Head(_) => self.head_overdue(slot),
                Phase::Closing(_) => {
                    let after = connection.overdue(slot, now_ms);
                    self.schedule(slot);
                    self.after(slot, after);
                }
                Phase::Open => {}
            },
        }
    }

    /// Answers the turn's calls of the server API, once what they told other shards is on the lanes.
    fn answer_api(&mut self) {
        if self.mesh.is_spilling() {
            return; // a turn follows when the lane has room
        }
        for (ticket, answer) in self.fx.answers.drain(..) {
            if let Some(caller) = self.api_calls.try_remove(ticket) {
                // Who asked may have given up.
                let _ = caller.send(answer);
            }
        }
    }

    /// Sends what the shard has for its connections.
    fn flush(&mut self) {
        let (mut sends, mut bytes) = (0, 0);
        while sends < SENDS_MAX
            && let Some((slot, chunks)) = self.shard.next_send()
        {
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            sends += 1;
            bytes += chunks.len() as u64;
            match chunks {
                Chunks::One(bytes) => self.sends.push(slot, connection.socket(), bytes),
                Chunks::Many(many) => self.sends.push_vectored(slot, connection.socket(), many),
            }
            if self.sends.is_full() {
                self.send_now();
            }
        }
        self.send_now();
        self.metrics.sends.add(sends as u64);
        self.metrics.sent_bytes.add(bytes);
    }

    /// Carries out the sends that were pushed. Who did not take all of it is waited for.
    fn send_now(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        self.sends.run(&mut ended);
        for (slot, sent) in ended.drain(..) {
            match sent {
                Sent::All => self.step(Input::Sent { slot }),
                Sent::Rest(rest) => {
                    self.metrics.sends_waited.inc();
                    if let Some(connection) = self.connections.get_mut(slot as usize) {
                        connection.send(slot, rest);
                    }
                }
                Sent::Broken => self.lost(slot),
            }
        }
        self.ended = ended;
    }
}

impl Handler for Worker {
    fn turn(&mut self, ready: &mut Vec<Token>, now: Instant) -> Turn {
        self.now = self.shared.now(now);
        self.metrics.turns.inc();
        self.hear_the_others();
        self.shard.lanes_heard();
        self.catch_up();
        self.completed(ready);
        self.timers();
        let done = self.drained();
        self.resume();
        self.shard.end_turn(&mut self.fx);
        let (sent, waited) = self.mesh.send(&mut self.fx.lanes);
        self.metrics.lane_batches.add(sent);
        self.metrics.lane_spills.add(waited);
        for close in std::mem::take(&mut self.fx.closes) {
            self.close(close);
        }
        self.flush();
        self.answer_api();
        self.fx.keys_wanted.drain(..).for_each(&self.shared.key_wanted);
        if done {
            return Turn::Done;
        }
        let left = !self.held.is_empty() || !self.unheard.is_empty();
        let again = self.shard.has_writable()
            || self.shard.is_dirty()
            || self.fx.need_turn()
            || left && !self.mesh.is_spilling()
            || self.drain_goes_on();
        if again { Turn::Again } else { Turn::Park }
    }

    fn deadline(&self) -> Option<Instant> {
        let drain = self.drain_deadline_ms();
        let own = [self.wheel.next_ms(), self.accept_again_ms, self.shrink_ms, drain];
        let next = self.shard.next_deadline_ms().into_iter().chain(own.into_iter().flatten()).min();
        next.map(|at| self.shared.start + Duration::from_millis(at.max(1)))
    }

    fn has_work(&self) -> bool {
        self.batch.is_some() || self.mesh.has_work()
    }
}
