//! Notes what comes in on one thread: into the ledger, the totals, and the second that runs.

use crate::ledger::{Ledger, Noted};
use crate::plan::Plan;
use crate::record::{Close, Second, Totals};
use crate::shared::{Event, Shared};
use crate::text::Marker;
use std::ops::Range;
use std::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;

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

pub(crate) struct Tally {
    pub(crate) ledger: Ledger,
    pub(crate) totals: Totals,
    pub(crate) window: Window,
    second: Box<Second>,
    /// End of the second that runs; `u64::MAX` before the window.
    second_end_ns: u64,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    shard: usize,
    shards: usize,
}

/// A delivery, and where it came.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) marker: Marker,
    pub(crate) local: usize,
    pub(crate) recovered: bool,
    pub(crate) slow: bool,
    pub(crate) now_ns: u64,
}

impl Tally {
    pub(crate) fn new(plan: &Arc<Plan>, shared: &Arc<Shared>, shard: usize) -> Tally {
        let (layout, shards) = (&plan.layout, plan.shards());
        let mine = (0..layout.share(shard, shards)).map(|local| local * shards + shard);
        Tally {
            ledger: Ledger::new(mine.map(|i| layout.senders_of(layout.room_of(i)).len())),
            totals: Totals::default(),
            window: Window { from: u64::MAX, to: u64::MAX },
            second: Box::default(),
            second_end_ns: u64::MAX,
            plan: Arc::clone(plan),
            shared: Arc::clone(shared),
            shard,
            shards,
        }
    }

    fn global(&self, local: usize) -> usize {
        local * self.shards + self.shard
    }

    /// Sets the window, once it is known.
    pub(crate) fn measure(&mut self, window: Window) {
        self.window = window;
        if self.second_end_ns == u64::MAX {
            self.second_end_ns = window.from.saturating_add(SECOND_NS);
        }
    }

    /// Hands a second that is over to the leader. To be called at least once per turn, and by
    /// [`Tally::finish`].
    #[inline]
    pub(crate) fn tick(&mut self, now_ns: u64) {
        if now_ns >= self.second_end_ns {
            self.turn_over(now_ns);
        }
    }

    #[cold]
    fn turn_over(&mut self, now_ns: u64) {
        let index = (now_ns.saturating_sub(self.window.from) / SECOND_NS) as u32;
        let fresh = self.shared.fresh_second(index);
        self.second_end_ns = self.window.from + (u64::from(index) + 1) * SECOND_NS;
        self.shared.tell(Event::Second(std::mem::replace(&mut self.second, fresh)));
    }

    /// A message of this thread's was submitted.
    #[inline]
    pub(crate) fn sent(&mut self, now_ns: u64) {
        self.totals.counts.sent += 1;
        if now_ns >= self.window.from {
            self.second.sent += 1;
            self.totals.sent_in_window += u64::from(self.window.has(now_ns));
        }
    }

    /// A message has come. Is it there for the first time?
    #[inline]
    pub(crate) fn delivery(&mut self, delivery: Delivery) -> bool {
        let Delivery { marker, local, recovered, slow, now_ns } = delivery;
        let layout = &self.plan.layout;
        let sender = marker.sender as usize;
        let room = layout.room_of(self.global(local));
        if sender >= layout.senders() || layout.room_of(sender) != room {
            self.corrupt(local, b"a message of another room");
            return false;
        }
        let (shared, shards, threads) = (&self.shared, self.shards, self.plan.threads);
        let noted = self.ledger.note(local, layout.rank_of(sender), marker.number, || {
            // What a sender of another process has sent is known, and checked, at the end.
            if sender % shards / threads == shared.process {
                shared.sent_by(sender)
            } else {
                u32::MAX
            }
        });
        match noted {
            Noted::New => {}
            Noted::Late => {
                self.totals.counts.out_of_order += 1;
                self.note_fault("out of order", "came after a later one:", local, marker);
            }
            Noted::Duplicate => {
                self.totals.counts.duplicate += 1;
                self.note_fault("duplicate", "came again:", local, marker);
                return false;
            }
            Noted::Unsent => {
                self.totals.counts.corrupt += 1;
                self.note_fault("corrupt", "was never sent:", local, marker);
                return false;
            }
        }
        if now_ns >= self.window.from {
            self.second.delivered += 1;
            self.totals.delivered_in_window += u64::from(now_ns < self.window.to);
        }
        self.totals.counts.recovered_deliveries += u64::from(recovered);
        if self.window.has(marker.due_ns) && !slow && !recovered {
            let latency = now_ns.saturating_sub(marker.due_ns);
            let service = now_ns.saturating_sub(marker.sent_ns);
            self.second.latency.record(latency);
            self.second.service.record(service);
            self.totals.latency.record(latency);
            self.totals.service.record(service);
        }
        true
    }

    #[cold]
    fn note_fault(&mut self, kind: &str, what: &str, local: usize, marker: Marker) {
        let Marker { sender, number, .. } = marker;
        let at = self.global(local);
        self.totals.fault(kind, || {
            format!("{what} message {number} of sender {sender}, at connection {at}")
        });
    }

    #[cold]
    pub(crate) fn corrupt(&mut self, local: usize, line: &[u8]) {
        self.totals.counts.corrupt += 1;
        let at = self.global(local);
        self.totals.fault("corrupt", || format!("at connection {at}: {}", excerpt(line)));
    }

    #[cold]
    pub(crate) fn refused(&mut self, local: usize, what: &str, line: &[u8]) {
        self.totals.counts.refused += 1;
        let at = self.global(local);
        self.totals.fault("refused", || format!("{what} of connection {at}: {}", excerpt(line)));
    }

    pub(crate) fn closed(&mut self, code: u16, reason: String, shed: bool) {
        let counts = &mut self.totals.counts;
        if shed {
            counts.shed += 1;
        } else {
            counts.closed += 1;
        }
        self.totals.close(Close { code, reason, count: 1 });
    }

    /// Connection `local` has joined again. `recovered`: what the server said of what it missed.
    pub(crate) fn rejoined(&mut self, local: usize, recovered: Option<bool>) {
        let counts = &mut self.totals.counts;
        counts.returned += 1;
        if recovered == Some(true) {
            counts.recovered += 1;
            self.ledger.rejoin(local, None);
            return;
        }
        counts.unrecovered += u64::from(recovered == Some(false));
        let senders = self.plan.layout.senders_of(self.plan.layout.room_of(self.global(local)));
        let sent = |rank: usize| {
            // Of another process: what it has sent by now is not known here, so what came before
            // its first delivery is not held against the server.
            let sender = senders[rank] as usize;
            if self.is_here(sender) { self.shared.sent_by(sender) } else { u32::MAX }
        };
        let sent = (0..senders.len()).map(sent).collect::<Vec<_>>();
        self.ledger.rejoin(local, Some(&|rank| sent[rank]));
    }

    fn is_here(&self, sender: usize) -> bool {
        sender % self.shards / self.plan.threads == self.shared.process
    }

    /// Deliveries that connection `local` is still owed, less those that the server refused.
    pub(crate) fn missing(&self, local: usize, mut report: impl FnMut(u32, Range<u32>)) -> u64 {
        let layout = &self.plan.layout;
        let senders = layout.senders_of(layout.room_of(self.global(local)));
        let sent = senders.iter().map(|sender| self.shared.sent_by(*sender as usize));
        let mut missing = 0;
        self.ledger.missing(local, sent, |rank, numbers| {
            let sender = senders[rank];
            let refused = self.shared.refused_among(sender, &numbers);
            let owed = numbers.len() as u64 - u64::from(refused);
            if owed > 0 {
                missing += owed;
                report(sender, numbers);
            }
        });
        missing
    }

    /// The result, once nothing more comes; `shed`: was a connection ended by a server that could
    /// not keep it up?
    pub(crate) fn finish(mut self, now_ns: u64, shed: impl Fn(usize) -> bool) -> Totals {
        if self.second_end_ns != u64::MAX {
            self.turn_over(now_ns);
        }
        let layout = &self.plan.layout;
        for local in 0..layout.share(self.shard, self.shards) {
            let at = self.global(local);
            let mut faults = Vec::new();
            let missing = self.missing(local, |sender, numbers| {
                if faults.len() < 20 {
                    faults.push((sender, numbers));
                }
            });
            if shed(local) {
                self.totals.counts.shed_deliveries += missing;
                continue;
            }
            self.totals.counts.missing += missing;
            for (sender, Range { start, end }) in faults {
                self.totals.fault("missing", || match end - start {
                    1 => format!("message {start} of sender {sender}, at connection {at}"),
                    _ => format!(
                        "messages {start} to {} of sender {sender}, at connection {at}",
                        end - 1
                    ),
                });
            }
            let senders = layout.senders_of(layout.room_of(at));
            let sent = senders.iter().map(|sender| self.shared.sent_by(*sender as usize));
            let unsent = self.ledger.unsent(local, sent);
            if unsent > 0 {
                self.totals.counts.corrupt += unsent;
                let words =
                    || format!("{unsent} messages that were never sent, at connection {at}");
                self.totals.fault("corrupt", words);
            }
        }
        self.totals.counts.delivered = self.ledger.delivered;
        self.totals
    }
}

fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(300)]).escape_debug().to_string()
}
