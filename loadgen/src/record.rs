//! What is measured: by one thread in one second, by one thread in all, and by the whole run.
//!
//! Everything here adds up: threads into a process, processes into a run. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize, de, ser};
use std::collections::BTreeMap;

/// Times in nanoseconds, from a microsecond to an hour. As JSON: base64 of the HdrHistogram V2
/// compressed form.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    /// None yet, to three digits (200 KB). Allocates all that it will ever need.
    pub fn new() -> Times {
        Times::with_digits(3)
    }

    /// To two digits (25 KB), for those of which there are many.
    pub fn coarse() -> Times {
        Times::with_digits(2)
    }

    fn with_digits(digits: u8) -> Times {
        match Histogram::new_with_bounds(1_000, 3_600_000_000_000, digits) {
            Ok(histogram) => Times(histogram),
            Err(error) => unreachable!("constant bounds: {error}"),
        }
    }

    /// Notes one time; longer than an hour counts as an hour.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Times) {
        // Same bounds: cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// The histogram itself.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl Default for Times {
    fn default() -> Times {
        Times::new()
    }
}

impl Serialize for Times {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .map_err(|error| ser::Error::custom(format!("{error:?}")))?;
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Times, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text).map_err(de::Error::custom)?;
        let read = Deserializer::new().deserialize(&mut bytes.as_slice());
        read.map(Times).map_err(|error| de::Error::custom(format!("{error:?}")))
    }
}

/// What happened in one second after the start of the measured window; the last ones are those of
/// the drain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Second {
    /// From 0; second 0 begins with the window.
    pub index: u32,
    /// Messages submitted in it.
    pub sent: u64,
    /// Deliveries received in it.
    pub delivered: u64,
    /// Receipt minus due time, of deliveries received in it whose message was due in the window.
    /// Not of slow readers, nor of what a recovery brought.
    pub latency: Times,
    /// Receipt minus submission, of the same.
    pub service: Times,
}

impl Default for Second {
    fn default() -> Second {
        let (latency, service) = (Times::coarse(), Times::coarse());
        Second { index: 0, sent: 0, delivered: 0, latency, service }
    }
}

impl Second {
    /// Empties it, for the second `index`.
    pub fn clear(&mut self, index: u32) {
        (self.index, self.sent, self.delivered) = (index, 0, 0);
        self.latency.clear();
        self.service.clear();
    }

    /// Adds what another thread did in the same second.
    pub fn add(&mut self, other: &Second) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.latency.add(&other.latency);
        self.service.add(&other.service);
    }
}

/// Counts of everything that is checked. All of the run, warm-up included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Messages that were due but could not be sent before the run's end.
    pub unsent: u64,
    /// Deliveries, each counted once.
    pub delivered: u64,
    /// Deliveries that are owed and never came.
    pub missing: u64,
    /// Deliveries that had come before.
    pub duplicate: u64,
    /// Deliveries that came after one of the same sender that was sent later.
    pub out_of_order: u64,
    /// Damaged, of another room, or never sent.
    pub corrupt: u64,
    /// Commands that the server refused.
    pub refused: u64,
    /// Messages that the server neither accepted nor refused, though its dialect does.
    pub unanswered: u64,
    /// Connections that ended before the run did, other than those that the server shed.
    pub closed: u64,
    /// Connections that the server shed: closed with 3008, or reset although they were slow.
    pub shed: u64,
    /// Deliveries not owed any more because their connection was shed.
    pub shed_deliveries: u64,
    /// Connections that left by plan.
    pub left: u64,
    /// Connections that came back.
    pub returned: u64,
    /// Of these, those that the server gave all that they had missed.
    pub recovered: u64,
    /// Of these, those that asked for it, and the server said that it could not.
    pub unrecovered: u64,
    /// Deliveries that a recovery brought; among `delivered`.
    pub recovered_deliveries: u64,
    /// Messages that had to wait because the server did not read its sender's earlier ones.
    pub held_back: u64,
}

/// What one thread, or all of them, counted and measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    #[allow(missing_docs)]
    pub counts: Counts,
    /// Connections that ended before the run did, by close code and reason.
    pub closes: Vec<Close>,
    /// What was wrong, the first few of each kind, in words: which message, of whom, where.
    pub faults: Vec<String>,
    /// Receipt minus due time, of deliveries whose message was due in the window. Not of slow
    /// readers, nor of what a recovery brought.
    pub latency: Times,
    /// Receipt minus submission, of the same.
    pub service: Times,
    /// Submission minus due time, of messages due in the window whose connection was free.
    pub lag: Times,
    /// From the begin of the TCP connect to the end of the WebSocket upgrade.
    pub handshake: Times,
    /// From the begin of the TCP connect to the room's answer.
    pub join: Times,
    /// From the drop to having joined again, of connections that came back.
    pub back: Times,
    /// From due time to answer.
    pub presence: Times,
    /// From due time to answer.
    pub history: Times,
    /// CPU time of the busiest thread in the window, as a part of the window, 0 to 1.
    pub cpu: Option<f64>,
    /// Part of the window in which the most unlucky thread waited for a CPU.
    pub wait: Option<f64>,
    /// CPU nanoseconds of all threads in the window.
    pub cpu_ns: u64,
    /// Deliveries received in the window.
    pub delivered_in_window: u64,
    /// Messages submitted in the window.
    pub sent_in_window: u64,
}

/// How a number of connections ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Close {
    /// Close code (RFC 6455 section 7.4); 1006: without one.
    pub code: u16,
    /// The server's words, or the system's.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Faults of a kind that are kept in words.
const FAULTS_MAX: usize = 5;

impl Totals {
    /// Adds what another thread or process counted.
    pub fn add(&mut self, other: Totals) {
        let (a, b) = (&mut self.counts, &other.counts);
        a.sent += b.sent;
        a.unsent += b.unsent;
        a.delivered += b.delivered;
        a.missing += b.missing;
        a.duplicate += b.duplicate;
        a.out_of_order += b.out_of_order;
        a.corrupt += b.corrupt;
        a.refused += b.refused;
        a.unanswered += b.unanswered;
        a.closed += b.closed;
        a.shed += b.shed;
        a.shed_deliveries += b.shed_deliveries;
        a.left += b.left;
        a.returned += b.returned;
        a.recovered += b.recovered;
        a.unrecovered += b.unrecovered;
        a.recovered_deliveries += b.recovered_deliveries;
        a.held_back += b.held_back;
        for close in other.closes {
            self.close(close);
        }
        for fault in other.faults {
            let kind = fault.split(':').next().unwrap_or_default().to_owned();
            self.fault(&kind, || fault[kind.len()..].trim_start_matches(": ").to_owned());
        }
        self.latency.add(&other.latency);
        self.service.add(&other.service);
        self.lag.add(&other.lag);
        self.handshake.add(&other.handshake);
        self.join.add(&other.join);
        self.back.add(&other.back);
        self.presence.add(&other.presence);
        self.history.add(&other.history);
        let highest = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        self.cpu = highest(self.cpu, other.cpu);
        self.wait = highest(self.wait, other.wait);
        self.cpu_ns += other.cpu_ns;
        self.delivered_in_window += other.delivered_in_window;
        self.sent_in_window += other.sent_in_window;
    }

    /// Notes how connections ended.
    pub fn close(&mut self, close: Close) {
        match self.closes.iter_mut().find(|c| c.code == close.code && c.reason == close.reason) {
            Some(same) => same.count += close.count,
            None => self.closes.push(close),
        }
    }

    /// Notes in words what was wrong, unless there are several of this kind already.
    pub fn fault(&mut self, kind: &str, words: impl FnOnce() -> String) {
        let same = |fault: &&String| fault.split(':').next() == Some(kind);
        if self.faults.iter().filter(same).count() < FAULTS_MAX {
            self.faults.push(format!("{kind}: {}", words()));
        }
    }
}

/// One look at the server process; those of a run are a second apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSample {
    /// Seconds after the start of the measured window; negative before.
    pub at_s: f64,
    /// CPU seconds so far, of all threads: in user mode, in the kernel, and the finer sum of both.
    #[allow(missing_docs)]
    pub user_s: f64,
    #[allow(missing_docs)]
    pub system_s: f64,
    #[allow(missing_docs)]
    pub cpu_s: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Context switches so far, of all threads: because it waited, and because it had to.
    #[allow(missing_docs)]
    pub voluntary: u64,
    #[allow(missing_docs)]
    pub involuntary: u64,
}

/// What the coordinator saw and measured: all that a report is made of, besides the plan.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Sum of all threads.
    pub totals: Totals,
    /// One after the other, without gaps.
    pub seconds: Vec<Second>,
    /// Opening and joining took so long.
    pub join_s: f64,
    /// Length of the measured window.
    pub measured_s: f64,
    /// Messages that were owed to how many: deliveries that had to come.
    pub owed: u64,
    /// Ctrl-C.
    pub interrupted: bool,
    /// With `--server-pid`.
    pub server: Vec<ServerSample>,
    /// Its resident memory before the first connection, in bytes.
    pub server_rss_before: Option<u64>,
    /// Its resident memory when all had joined and settled, in bytes.
    pub server_rss_joined: Option<u64>,
    /// What the kernel of this machine refused or dropped during the run, by the counter's name.
    pub kernel_drops: BTreeMap<String, u64>,
    /// Seconds since 1970 at the start.
    pub started_unix_s: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_faults_of_each_kind_are_kept() {
        let faulty = |kind: &str| {
            let mut totals = Totals::default();
            (0..9).for_each(|at| totals.fault(kind, || format!("a: {at}")));
            totals
        };
        let mut all = faulty("missing");
        all.add(faulty("out of order"));
        all.add(faulty("missing"));
        assert_eq!(all.faults.len(), 10);
        assert_eq!((&*all.faults[0], &*all.faults[9]), ("missing: a: 0", "out of order: a: 4"));
    }

    #[test]
    fn times_come_back_from_json() {
        for mut times in [Times::new(), Times::coarse()] {
            (1..1_000).for_each(|k| times.record(k * 12_345));
            let json = serde_json::to_string(&times).unwrap();
            let back: Times = serde_json::from_str(&json).unwrap();
            assert_eq!(back.histogram(), times.histogram());
            let mut sum = Times::new();
            sum.add(&back);
            assert_eq!(sum.histogram().len(), 999);
        }
        assert!(serde_json::from_str::<Times>("\"bm9uc2Vuc2U=\"").is_err());
    }
}
