//! What the threads of one process share with whoever leads them: the phase, counters, events.
//!
//! A thread writes only its own counters; the leader alone changes the phase, and then wakes the
//! threads. With several processes each has a [`Shared`] of its own, and the leader speaks to it
//! through `child.rs`.

use crate::plan::{Plan, nanos};
use crate::record::{Second, Totals};
use crossbeam_channel::{Receiver, Sender, bounded};
use ringchat::net::dispatcher::Wake;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Open connections and join; then wait.
    Join,
    /// Send and measure, from [`Shared::start_ns`] on, as long as the plan says.
    Run,
    /// Send no more.
    Stop,
    /// All that was sent is known: take what is still owed.
    Drain,
    /// Say goodbye and end.
    Close,
}

/// What the leader tells a process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Begin to send at this time, in nanoseconds since the origin.
    Run(u64),
    /// Send no more.
    Stop,
    /// The server refused this message of this sender: nobody is owed it.
    Refused(u32, u32),
    /// How many messages each sender has sent.
    Drain(Vec<u32>),
    /// The end.
    Close,
}

/// What a thread tells the leader.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// All of its connections have joined.
    Joined,
    /// It has sent all that it had to: how many messages each of its senders.
    Sent(Vec<(u32, u32)>),
    /// The server refused a message: sender and number.
    Refused(u32, u32),
    /// A second is over.
    Second(Box<Second>),
    /// The run cannot go on, and why.
    Failed(String),
    /// It has ended: what it counted, or why it could not work.
    Ended(Result<Box<Totals>, String>),
}

/// Counters of one thread, on a cache line of their own; summed, of a process or of the run.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Progress {
    /// Connections that have joined for the first time.
    pub(crate) joined: AtomicU64,
    /// Deliveries, each counted once.
    pub(crate) delivered: AtomicU64,
    /// In [`Phase::Drain`]: deliveries and answers that are still to come, [`UNKNOWN`] before it
    /// has counted.
    pub(crate) outstanding: AtomicU64,
}

/// Not counted yet.
const UNKNOWN: u64 = u64::MAX;

/// Sums of [`Progress`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) joined: u64,
    pub(crate) delivered: u64,
    pub(crate) outstanding: Option<u64>,
}

impl Snapshot {
    pub(crate) fn add(&mut self, other: Snapshot) {
        self.joined += other.joined;
        self.delivered += other.delivered;
        self.outstanding = self.outstanding.zip(other.outstanding).map(|(a, b)| a + b);
    }
}

/// Shared by the threads of a process.
#[derive(Debug)]
pub(crate) struct Shared {
    /// All times of the run count from here; the same instant in all processes.
    pub(crate) origin: Instant,
    /// Number of this process.
    pub(crate) process: usize,
    phase: AtomicU8,
    start_ns: AtomicU64,
    stop_ns: AtomicU64,
    /// By sender: messages sent. Of senders of other processes: 0 until [`Phase::Drain`].
    pub(crate) sent: Vec<AtomicU32>,
    /// Messages that the server refused, sorted: sender and number.
    refused: Mutex<Vec<(u32, u32)>>,
    /// By thread.
    pub(crate) progress: Vec<Progress>,
    /// By thread.
    pub(crate) wakes: Vec<Arc<Wake>>,
    events: Sender<Event>,
    /// Seconds whose content was taken, to be used again.
    spare: (Sender<Box<Second>>, Receiver<Box<Second>>),
}

impl Shared {
    pub(crate) fn new(
        plan: &Plan,
        process: usize,
        origin: Instant,
        events: Sender<Event>,
    ) -> Arc<Shared> {
        let progress = || Progress { outstanding: AtomicU64::new(UNKNOWN), ..Progress::default() };
        Arc::new(Shared {
            origin,
            process,
            phase: AtomicU8::new(Phase::Join as u8),
            start_ns: AtomicU64::new(u64::MAX),
            stop_ns: AtomicU64::new(u64::MAX),
            sent: (0..plan.layout.senders()).map(|_| AtomicU32::new(0)).collect(),
            refused: Mutex::default(),
            progress: (0..plan.threads).map(|_| progress()).collect(),
            wakes: (0..plan.threads).map(|_| Wake::new()).collect(),
            events,
            spare: bounded(4 * plan.threads),
        })
    }

    /// Nanoseconds since the origin.
    pub(crate) fn now_ns(&self) -> u64 {
        self.ns(Instant::now())
    }

    /// `at` as nanoseconds since the origin.
    pub(crate) fn ns(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.origin))
    }

    /// The reverse.
    pub(crate) fn instant(&self, ns: u64) -> Instant {
        self.origin + Duration::from_nanos(ns)
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Join,
            1 => Phase::Run,
            2 => Phase::Stop,
            3 => Phase::Drain,
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

    /// Does what the leader says.
    pub(crate) fn order(&self, order: &Order) {
        match order {
            Order::Run(start_ns) => {
                self.start_ns.store(*start_ns, Ordering::Release);
                self.enter(Phase::Run);
            }
            Order::Stop => {
                self.stop_ns.store(self.now_ns(), Ordering::Release);
                self.enter(Phase::Stop);
            }
            Order::Refused(sender, number) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                let at = refused.partition_point(|entry| *entry < (*sender, *number));
                refused.insert(at, (*sender, *number));
            }
            Order::Drain(sent) => {
                for (cell, sent) in self.sent.iter().zip(sent) {
                    cell.store(*sent, Ordering::Release);
                }
                self.enter(Phase::Drain);
            }
            Order::Close => self.enter(Phase::Close),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.wakes.iter().for_each(|wake| wake.wake());
    }

    /// Messages that `sender` has sent.
    pub(crate) fn sent_by(&self, sender: usize) -> u32 {
        self.sent.get(sender).map_or(0, |sent| sent.load(Ordering::Acquire))
    }

    /// How many of `sender`'s messages `numbers` the server refused.
    pub(crate) fn refused_among(&self, sender: u32, numbers: &std::ops::Range<u32>) -> u32 {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |number| refused.partition_point(|entry| *entry < (sender, number));
        (at(numbers.end) - at(numbers.start)) as u32
    }

    /// The sum of all threads.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot { outstanding: Some(0), ..Snapshot::default() };
        for progress in &self.progress {
            let outstanding = progress.outstanding.load(Ordering::Acquire);
            all.add(Snapshot {
                joined: progress.joined.load(Ordering::Relaxed),
                delivered: progress.delivered.load(Ordering::Relaxed),
                outstanding: (outstanding != UNKNOWN).then_some(outstanding),
            });
        }
        all
    }

    /// Tells the leader. It may have ended already: then nobody needs to know.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Gives a second's memory back.
    pub(crate) fn recycle(&self, second: Box<Second>) {
        // Full: it is freed.
        let _ = self.spare.0.try_send(second);
    }

    /// An empty second.
    pub(crate) fn fresh_second(&self, index: u32) -> Box<Second> {
        let mut second = self.spare.1.try_recv().unwrap_or_default();
        second.clear(index);
        second
    }
}
