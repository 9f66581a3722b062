//! The one task of a core: what completed, a turn of the handler, then sleep.
//!
//! Owns: the order of a turn, the way to yield, the timer of the next deadline, the wake-up from
//! other threads. Never: touches a socket or knows what a token's slot means; that is the
//! [`Handler`]'s, of which there are two, the server's worker and the load generator.
//!
//! tokio-uring submits and looks at completions only when its thread parks. So a task that
//! stays ready (`yield_now`) would starve the ring; the dispatcher yields *through* the ring: it
//! submits an operation that does nothing, sleeps, and is woken by it together with all else that
//! has completed.
//!
//! Tests: at the end of this file, on real sockets.

use super::ring::{self, Kind, Op, Token};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::time::Sleep;

/// What a core does with its events.
pub trait Handler {
    /// One turn: handles all that is ready and all that came from other threads, and submits.
    ///
    /// `ready`: the completed operations' tokens, in order of completion; what the handler leaves
    /// in it comes again, first, in the next turn (which then follows at once). `now`: the time
    /// at which the turn began.
    fn turn(&mut self, ready: &mut Vec<Token>, now: Instant) -> Turn;

    /// When to have a turn even if nothing completes. Asked after each turn that parks.
    fn deadline(&self) -> Option<Instant>;

    /// Is there something from other threads? Asked between "I sleep now" being published and
    /// sleeping, so that what was put into a queue before a [`Wake::wake`] is never missed.
    fn has_work(&self) -> bool;
}

/// What to do after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Sleep until something completes, a thread wakes the core, or the deadline.
    Park,
    /// Look at completions, then run another turn.
    Again,
    /// End: [`run`] returns the handler.
    Done,
}

/// How other threads wake a core that may be asleep.
#[derive(Default)]
pub struct Wake {
    parked: AtomicBool,
    /// The dispatcher's task. Locked by wakers only when they found it parked.
    task: Mutex<Option<Waker>>,
}

impl Wake {
    /// For one dispatcher, shared with all that wake it.
    pub fn new() -> Arc<Wake> {
        Arc::new(Wake::default())
    }

    /// Makes sure that the core sees what was put into its queues before this call. Cheap, and no
    /// system call, while the core is awake.
    pub fn wake(&self) {
        // Pairs with the fence of `park`: either this sees `parked`, or `has_work` sees the queue.
        fence(Ordering::SeqCst);
        // The load spares the core's cache line when it is awake, as it mostly is under load.
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::SeqCst) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(task) = &*task {
                task.wake_by_ref();
            }
        }
    }

    fn set_task(&self, task: Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    fn unpark(&self) {
        self.parked.store(false, Ordering::SeqCst);
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wake(parked: {})", self.parked.load(Ordering::Relaxed))
    }
}

/// Runs `handler` until its turn is [`Turn::Done`], then returns it.
///
/// One per thread, inside of [`ring::Runtime::block_on`], through [`tokio_uring::spawn`]. `wake`
/// may be used before it runs. Operations may be submitted before it runs, too.
pub async fn run<H: Handler + Unpin + 'static>(handler: H, wake: Arc<Wake>) -> H {
    Dispatch {
        handler: Some(handler),
        wake,
        task: None,
        ready: Vec::new(),
        kick: None,
        timer: None,
        armed: None,
    }
    .await
}

const KICK: Token = Token::new(0, Kind::Kick);

struct Dispatch<H> {
    /// `None` once done.
    handler: Option<H>,
    wake: Arc<Wake>,
    /// The waker that `wake` and the ready list hold.
    task: Option<Waker>,
    ready: Vec<Token>,
    /// The operation in flight by which the task yields.
    kick: Option<Op<()>>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What `timer` is set to.
    armed: Option<Instant>,
}

impl<H: Handler + Unpin> Future for Dispatch<H> {
    type Output = H;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<H> {
        let this = self.get_mut();
        this.register(cx.waker());
        this.wake.unpark();
        ring::take_ready(&mut this.ready);
        this.take_kick();
        let now = Instant::now();
        let turn = match &mut this.handler {
            Some(handler) => handler.turn(&mut this.ready, now),
            None => return Poll::Pending,
        };
        match turn {
            Turn::Done => {
                ring::set_task(None);
                if let Some(handler) = this.handler.take() {
                    return Poll::Ready(handler);
                }
            }
            Turn::Again => this.yield_through_ring(),
            Turn::Park => {
                if !this.ready.is_empty() || !this.sleep(now, cx) {
                    this.wake.unpark();
                    this.yield_through_ring();
                }
            }
        }
        Poll::Pending
    }
}

impl<H: Handler> Dispatch<H> {
    /// Tells all that wake this task how to (once, unless the task's waker changes).
    fn register(&mut self, waker: &Waker) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            ring::set_task(Some(waker.clone()));
            self.wake.set_task(waker.clone());
            self.task = Some(waker.clone());
        }
    }

    /// Removes the dispatcher's own token from the ready list.
    fn take_kick(&mut self) {
        if let Some(kick) = &mut self.kick
            && let Some(at) = self.ready.iter().position(|token| token.kind() == Kind::Kick)
        {
            self.ready.remove(at);
            if kick.take(KICK).is_some() {
                self.kick = None;
            }
        }
    }

    /// Another turn, once the ring has been looked at.
    fn yield_through_ring(&mut self) {
        if self.kick.is_none() {
            self.kick = Some(ring::nop(KICK));
        }
    }

    /// Prepares to sleep. `false`: there is something to do.
    fn sleep(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(handler) = &self.handler else { return true };
        let deadline = handler.deadline();
        if let Some(at) = deadline {
            if at <= now {
                return false;
            }
            let timer =
                self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
            if self.armed != deadline {
                timer.as_mut().reset(at.into());
            }
            self.armed = deadline;
            if timer.as_mut().poll(cx).is_ready() {
                return false;
            }
        }
        self.wake.park();
        !handler.has_work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use crossbeam_channel::{Receiver, unbounded};
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// Runs `handler` on a ring of this thread, with a deadline.
    fn run_here<H: Handler + Unpin + 'static>(handler: H, wake: Arc<Wake>) -> H {
        ring::runtime().unwrap().block_on(async {
            let task = tokio_uring::spawn(run(handler, wake));
            tokio::time::timeout(Duration::from_secs(60), task).await.expect("in time").unwrap()
        })
    }

    /// Reads `total` bytes from each stream, checking that all are `byte`.
    fn drain(streams: Vec<UnixStream>, total: usize, byte: u8) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            for mut stream in streams {
                let mut left = total;
                while left > 0 {
                    let n = stream.read(&mut buffer).unwrap();
                    assert!(n > 0 && n <= left && buffer[..n].iter().all(|b| *b == byte));
                    left -= n;
                }
            }
        })
    }

    /// One send in flight per socket, `rounds` sends on each.
    struct Sender {
        sockets: Vec<UnixStream>,
        ops: Vec<Option<Op<Bytes>>>,
        sent: Vec<usize>,
        rounds: usize,
        bytes: Bytes,
        done: usize,
        /// These may stay in flight for ever.
        stuck: usize,
        turns: usize,
    }

    impl Sender {
        fn new(sockets: Vec<UnixStream>, rounds: usize, bytes: Bytes) -> Sender {
            let ops = sockets.iter().map(|_| None).collect();
            let sent = vec![0; sockets.len()];
            Sender { sockets, ops, sent, rounds, bytes, done: 0, stuck: 0, turns: 0 }
        }

        fn send(&mut self, slot: usize) {
            let token = Token::new(slot as u32, Kind::Send);
            self.ops[slot] =
                Some(ring::send(token, self.sockets[slot].as_fd(), self.bytes.clone()));
        }
    }

    impl Handler for Sender {
        fn turn(&mut self, ready: &mut Vec<Token>, _: Instant) -> Turn {
            self.turns += 1;
            if self.turns == 1 {
                (0..self.sockets.len()).for_each(|slot| self.send(slot));
            }
            for token in ready.drain(..) {
                assert_eq!(token.kind(), Kind::Send);
                let slot = token.slot() as usize;
                let (sent, back) = self.ops[slot].as_mut().unwrap().take(token).unwrap();
                assert_eq!(sent.unwrap() as usize, back.len());
                self.sent[slot] += 1;
                if self.sent[slot] < self.rounds {
                    self.send(slot);
                } else {
                    self.done += 1;
                }
            }
            if self.done + self.stuck == self.sockets.len() { Turn::Done } else { Turn::Park }
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }

        fn has_work(&self) -> bool {
            false
        }
    }

    #[test]
    fn ten_thousand_sends_all_complete() {
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (0..100).map(|_| UnixStream::pair().unwrap()).unzip();
        let reader = drain(theirs, 100 * 1000, 3);
        let sender = run_here(Sender::new(ours, 100, Bytes::from(vec![3; 1000])), Wake::new());
        assert_eq!(sender.sent, [100; 100]);
        reader.join().unwrap();
    }

    #[test]
    fn more_operations_than_the_queue_holds() {
        // 6,000 sockets are too many for a common descriptor limit; one socket may carry several.
        struct Polls(Vec<Op<()>>, Vec<bool>, usize, UnixStream);
        impl Handler for Polls {
            fn turn(&mut self, ready: &mut Vec<Token>, _: Instant) -> Turn {
                if self.0.is_empty() {
                    self.0.extend((0..10_000).map(|slot| {
                        ring::poll_readable(Token::new(slot, Kind::Readable), self.3.as_fd())
                    }));
                    ring::shutdown(self.3.as_fd(), std::net::Shutdown::Both).unwrap();
                }
                for token in ready.drain(..) {
                    let slot = token.slot() as usize;
                    assert!(self.0[slot].take(token).is_some() && !self.1[slot]);
                    self.1[slot] = true;
                    self.2 += 1;
                }
                if self.2 == 10_000 { Turn::Done } else { Turn::Park }
            }
            fn deadline(&self) -> Option<Instant> {
                None
            }
            fn has_work(&self) -> bool {
                false
            }
        }
        let (ours, _theirs) = UnixStream::pair().unwrap();
        run_here(Polls(Vec::new(), vec![false; 10_000], 0, ours), Wake::new());
    }

    #[test]
    fn a_full_socket_does_not_hold_up_the_others() {
        let (full, _unread) = UnixStream::pair().unwrap();
        let (ours, theirs): (Vec<_>, Vec<_>) = (0..10).map(|_| UnixStream::pair().unwrap()).unzip();
        let reader = drain(theirs, 3 * (1 << 20), 5);
        let sockets = std::iter::once(full).chain(ours).collect();
        let mut sender = Sender::new(sockets, 3, Bytes::from(vec![5; 1 << 20]));
        sender.stuck = 1;
        let sender = run_here(sender, Wake::new());
        assert_eq!(sender.sent[0], 0, "one send, still in flight");
        assert_eq!(sender.sent[1..], [3; 10]);
        reader.join().unwrap();
    }

    /// Says `Again` until a poll completes, so that it must complete.
    struct Restless {
        socket: UnixStream,
        poll: Option<Op<()>>,
        peer: UnixStream,
        turns: usize,
    }

    impl Handler for Restless {
        fn turn(&mut self, ready: &mut Vec<Token>, _: Instant) -> Turn {
            let token = Token::new(9, Kind::Readable);
            self.turns += 1;
            if self.turns == 1 {
                self.poll = Some(ring::poll_readable(token, self.socket.as_fd()));
            }
            if self.turns == 100 {
                std::io::Write::write_all(&mut self.peer, b"x").unwrap();
            }
            assert!(self.turns < 100_000, "starved");
            match ready[..] {
                [] => Turn::Again,
                [only] => {
                    assert_eq!(only, token, "kicks stay hidden");
                    Turn::Done
                }
                _ => panic!("{ready:?}"),
            }
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }

        fn has_work(&self) -> bool {
            false
        }
    }

    #[test]
    fn again_does_not_starve_completions() {
        let (socket, peer) = UnixStream::pair().unwrap();
        let handler = run_here(Restless { socket, poll: None, peer, turns: 0 }, Wake::new());
        assert!(handler.turns >= 100);
    }

    /// Leaves tokens in the list, one taken per turn.
    struct Slow(Vec<Op<()>>, Vec<u32>);

    impl Handler for Slow {
        fn turn(&mut self, ready: &mut Vec<Token>, _: Instant) -> Turn {
            if self.0.is_empty() {
                self.0.extend((0..5).map(|slot| ring::nop(Token::new(slot, Kind::Timer))));
            }
            if !ready.is_empty() {
                self.1.push(ready.remove(0).slot());
            }
            if self.1.len() == 5 { Turn::Done } else { Turn::Park }
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }

        fn has_work(&self) -> bool {
            false
        }
    }

    #[test]
    fn tokens_that_are_left_come_again_in_order() {
        assert_eq!(run_here(Slow(Vec::new(), Vec::new()), Wake::new()).1, [0, 1, 2, 3, 4]);
    }

    /// Takes items from another thread and parks whenever there are none.
    struct Queue {
        items: Receiver<u32>,
        next: u32,
        total: u32,
    }

    impl Handler for Queue {
        fn turn(&mut self, _: &mut Vec<Token>, _: Instant) -> Turn {
            for item in self.items.try_iter() {
                assert_eq!(item, self.next);
                self.next += 1;
            }
            if self.next == self.total { Turn::Done } else { Turn::Park }
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }

        fn has_work(&self) -> bool {
            !self.items.is_empty()
        }
    }

    #[test]
    fn no_wake_is_lost() {
        let (sender, items) = unbounded();
        let wake = Wake::new();
        let total = 100_000;
        let thread = std::thread::spawn({
            let wake = Arc::clone(&wake);
            move || {
                for item in 0..total {
                    sender.send(item).unwrap();
                    wake.wake();
                    if item % 7 == 0 {
                        std::thread::yield_now();
                    }
                }
            }
        });
        assert_eq!(run_here(Queue { items, next: 0, total }, wake).next, total);
        thread.join().unwrap();
    }

    #[test]
    fn work_from_before_the_first_turn_is_seen() {
        let (sender, items) = unbounded();
        let wake = Wake::new();
        sender.send(0).unwrap();
        wake.wake();
        assert_eq!(run_here(Queue { items, next: 0, total: 1 }, wake).next, 1);
    }

    /// Sets the next of its deadlines in each turn in which one has passed.
    struct Alarm {
        at: Vec<Instant>,
        turns: usize,
    }

    impl Handler for Alarm {
        fn turn(&mut self, _: &mut Vec<Token>, now: Instant) -> Turn {
            self.turns += 1;
            self.at.retain(|at| *at > now);
            if self.at.is_empty() { Turn::Done } else { Turn::Park }
        }

        fn deadline(&self) -> Option<Instant> {
            self.at.iter().min().copied()
        }

        fn has_work(&self) -> bool {
            false
        }
    }

    #[test]
    fn deadlines_fire_once_each_and_not_early() {
        let start = Instant::now();
        let at = [30, 10, 20].map(|ms| start + Duration::from_millis(ms)).to_vec();
        let alarm = run_here(Alarm { at, turns: 0 }, Wake::new());
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(alarm.turns <= 8, "{} turns for three deadlines", alarm.turns);
    }
}
