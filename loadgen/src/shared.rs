//! What the coordinator and the threads share: the phase of the run, counters, events.
//!
//! A thread writes only its own counters; the coordinator alone changes the phase, and then wakes
//! the threads.

use crate::stats::ThreadStats;
use crossbeam_channel::Sender;
use ringchat::net::dispatcher::Wake;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Where the run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Open connections and join; then wait.
    Join,
    /// Send and measure, from [`Shared::start_ns`] on, as long as the plan says.
    Run,
    /// Send no more; take what comes.
    Stop,
    /// Say goodbye and end.
    Close,
}

/// What a thread tells the coordinator.
#[derive(Debug)]
pub(crate) enum Event {
    /// All of its connections have joined.
    Joined,
    /// It has sent all that it had to.
    Sent,
    /// The run cannot go on, and why.
    Failed(String),
    /// It has ended: what it counted, or why it could not work.
    Ended(Result<Box<ThreadStats>, String>),
}

/// Counters of one thread, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Progress {
    /// Connections that have joined.
    pub(crate) joined: AtomicU64,
    /// Connections that have ended before the run did.
    pub(crate) closed: AtomicU64,
    /// Deliveries, each counted once.
    pub(crate) delivered: AtomicU64,
    /// Messages that the server said it took, or refused.
    pub(crate) answered: AtomicU64,
    /// Deliveries that are not owed because the server refused the message.
    pub(crate) waived: AtomicU64,
}

/// Shared by all threads of a run.
#[derive(Debug)]
pub(crate) struct Shared {
    /// All times of the run count from here.
    pub(crate) origin: Instant,
    phase: AtomicU8,
    start_ns: AtomicU64,
    stop_ns: AtomicU64,
    /// By sender: messages sent.
    pub(crate) sent: Vec<AtomicU32>,
    /// By thread.
    pub(crate) progress: Vec<Progress>,
    /// By thread.
    pub(crate) wakes: Vec<Arc<Wake>>,
    pub(crate) events: Sender<Event>,
}

impl Shared {
    pub(crate) fn new(senders: usize, threads: usize, events: Sender<Event>) -> Arc<Shared> {
        Arc::new(Shared {
            origin: Instant::now(),
            phase: AtomicU8::new(Phase::Join as u8),
            start_ns: AtomicU64::new(u64::MAX),
            stop_ns: AtomicU64::new(u64::MAX),
            sent: (0..senders).map(|_| AtomicU32::new(0)).collect(),
            progress: (0..threads).map(|_| Progress::default()).collect(),
            wakes: (0..threads).map(|_| Wake::new()).collect(),
            events,
        })
    }

    /// Nanoseconds since the origin.
    pub(crate) fn now_ns(&self) -> u64 {
        self.ns(Instant::now())
    }

    /// `at` as nanoseconds since the origin.
    pub(crate) fn ns(&self, at: Instant) -> u64 {
        crate::options::nanos(at.saturating_duration_since(self.origin))
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Join,
            1 => Phase::Run,
            2 => Phase::Stop,
            _ => Phase::Close,
        }
    }

    /// When sending starts; meaningful from [`Phase::Run`] on.
    pub(crate) fn start_ns(&self) -> u64 {
        self.start_ns.load(Ordering::Acquire)
    }

    /// When the run was stopped before its time.
    pub(crate) fn stop_ns(&self) -> u64 {
        self.stop_ns.load(Ordering::Acquire)
    }

    /// Begins [`Phase::Stop`] now.
    pub(crate) fn stop(&self) {
        self.stop_ns.store(self.now_ns(), Ordering::Release);
        self.enter(Phase::Stop);
    }

    /// Begins [`Phase::Run`] at `start_ns`.
    pub(crate) fn start(&self, start_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Release);
        self.enter(Phase::Run);
    }

    /// Goes on to `phase` and wakes the threads.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.wakes.iter().for_each(|wake| wake.wake());
    }

    /// Messages that `sender` has sent.
    pub(crate) fn sent_by(&self, sender: usize) -> u32 {
        self.sent.get(sender).map_or(0, |sent| sent.load(Ordering::Acquire))
    }

    /// The sum of a counter over all threads.
    pub(crate) fn sum(&self, counter: impl Fn(&Progress) -> &AtomicU64) -> u64 {
        self.progress.iter().map(|p| counter(p).load(Ordering::Relaxed)).sum()
    }

    /// Tells the coordinator. It may have ended already: then nobody needs to know.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }
}
