//! What one thread has counted and measured.

use crate::ledger::{Counts, Ledger, Noted};
use crate::options::Plan;
use crate::shared::Shared;
use crate::text::Marker;
use hdrhistogram::{CreationError, Histogram};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lines that are kept to show what was wrong.
const EXAMPLES_MAX: usize = 3;

/// Times in nanoseconds, from a microsecond to an hour, three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3)
}

/// The result of one thread.
#[derive(Debug)]
pub(crate) struct ThreadStats {
    /// Receipt minus due time, of messages that were due in the measured window.
    pub(crate) latency: Histogram<u64>,
    /// Submission minus due time, of the messages sent in the measured window.
    pub(crate) lag: Histogram<u64>,
    pub(crate) counts: Counts,
    /// Deliveries that never came.
    pub(crate) missing: u64,
    /// Deliveries that came in the measured window.
    pub(crate) delivered_in_window: u64,
    /// Messages that were sent in the measured window.
    pub(crate) sent_in_window: u64,
    pub(crate) corrupt: u64,
    /// Messages that the server refused.
    pub(crate) refused: u64,
    /// Deliveries that are not owed because of that; among the `missing`.
    pub(crate) waived: u64,
    /// Messages that the server said it took.
    pub(crate) accepted: u64,
    /// Connections that ended before the run did, by close code and reason.
    pub(crate) closes: BTreeMap<(u16, String), u64>,
    /// What was corrupt or refused, the first few.
    pub(crate) examples: Vec<String>,
    /// Part of the measured window in which the thread was on a CPU, 0 to 1.
    pub(crate) cpu: Option<f64>,
    /// Part of it in which the thread waited for a CPU that something else used.
    pub(crate) wait: Option<f64>,
}

impl ThreadStats {
    pub(crate) fn new() -> Result<ThreadStats, CreationError> {
        Ok(ThreadStats {
            latency: histogram()?,
            lag: histogram()?,
            counts: Counts::default(),
            missing: 0,
            delivered_in_window: 0,
            sent_in_window: 0,
            corrupt: 0,
            refused: 0,
            waived: 0,
            accepted: 0,
            closes: BTreeMap::new(),
            examples: Vec::new(),
            cpu: None,
            wait: None,
        })
    }

    fn example(&mut self, what: &str, bytes: &[u8]) {
        if self.examples.len() < EXAMPLES_MAX {
            let line = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
            self.examples.push(format!("{what}: {}", line.escape_debug()));
        }
    }
}

/// The measured part of the run, in nanoseconds since the origin: `from..to`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Window {
    #[inline]
    pub(crate) fn has(self, at_ns: u64) -> bool {
        at_ns >= self.from && at_ns < self.to
    }
}

/// Notes what comes in on one thread.
pub(crate) struct Tally {
    pub(crate) ledger: Ledger,
    pub(crate) stats: ThreadStats,
    pub(crate) window: Window,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    rooms: u32,
    senders: u32,
}

impl Tally {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        shared: &Arc<Shared>,
        thread: usize,
    ) -> Result<Tally, CreationError> {
        Ok(Tally {
            ledger: Ledger::new(plan.share_of(thread), plan.senders_per_room()),
            stats: ThreadStats::new()?,
            window: Window { from: u64::MAX, to: u64::MAX },
            rooms: u32::try_from(plan.options.rooms).unwrap_or(u32::MAX),
            senders: u32::try_from(plan.senders).unwrap_or(u32::MAX),
            plan: Arc::clone(plan),
            shared: Arc::clone(shared),
        })
    }

    /// A message has come on the thread's connection `local` of `room`. Is it there for the first
    /// time?
    #[inline]
    pub(crate) fn delivery(
        &mut self,
        local: usize,
        room: u32,
        marker: Marker,
        now_ns: u64,
    ) -> bool {
        let sender = marker.sender;
        if sender >= self.senders || sender % self.rooms != room {
            self.corrupt(b"a message of another room");
            return false;
        }
        let shared = &self.shared;
        let noted = self.ledger.note(local, (sender / self.rooms) as usize, marker.number, || {
            shared.sent_by(sender as usize)
        });
        match noted {
            Noted::New => {
                if self.window.has(now_ns) {
                    self.stats.delivered_in_window += 1;
                }
                if self.window.has(marker.due_ns) {
                    let latency_ns = now_ns.saturating_sub(marker.due_ns);
                    self.stats.latency.saturating_record(latency_ns);
                }
                true
            }
            Noted::Duplicate => false,
            Noted::Unsent => {
                self.corrupt(b"a message that was never sent");
                false
            }
        }
    }

    pub(crate) fn corrupt(&mut self, line: &[u8]) {
        self.stats.corrupt += 1;
        self.stats.example("corrupt", line);
    }

    /// The server refused a message of this thread's in `room`.
    pub(crate) fn refused(&mut self, room: u32, line: &[u8]) {
        self.stats.refused += 1;
        self.stats.waived += self.plan.members(room as usize) as u64;
        self.stats.example("refused", line);
    }

    pub(crate) fn closed(&mut self, code: u16, reason: String) {
        *self.stats.closes.entry((code, reason)).or_default() += 1;
    }

    /// The result, once nothing more comes; `thread`: whose.
    pub(crate) fn finish(mut self, thread: usize) -> ThreadStats {
        for local in 0..self.plan.share_of(thread) {
            let room = self.plan.room(local * self.plan.threads + thread);
            let senders = (room..self.plan.senders).step_by(self.plan.options.rooms);
            let sent = senders.map(|sender| self.shared.sent_by(sender));
            self.stats.missing += self.ledger.missing(local, sent);
        }
        self.stats.counts = self.ledger.counts;
        self.stats
    }
}
