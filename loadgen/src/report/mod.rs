//! The result of a run: its figures and its verdict.
//!
//! The types here are the JSON form (`report.schema.json`). `judge.rs` makes a [`Report`] of a
//! plan and a record, `text.rs` prints it, `html.rs` draws it, `logs.rs` writes histograms,
//! `compare` puts several side by side, `search` prints a search. A test below compares the
//! committed schemas with the types.

mod axis;
mod chart;
pub mod compare;
pub(crate) mod figures;
mod html;
mod judge;
mod logs;
mod page;
mod plots;
pub mod search;
mod setting;
mod text;
mod warnings;

pub use html::html;
pub use logs::{hgrm, interval_log};

#[cfg(test)]
pub(crate) mod example;

use crate::options::{Arrivals, Dialect, Encoding, RoomSizes, Sizes, Slo};
use crate::record::Close;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the JSON form: raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 2;
/// A generator whose thread was on a CPU for a larger part of the window than this (percent) does
/// not measure the server.
pub const CPU_MAX_PERCENT: f64 = 90.0;

/// Exit statuses of the program.
pub mod exit {
    /// Ran, and every check passed.
    pub const OK: u8 = 0;
    /// Could not run, or was interrupted.
    pub const FAILED: u8 = 1;
    /// The options make no sense.
    pub const USAGE: u8 = 2;
    /// Ran, but a delivery check failed or the generator itself was the limit.
    pub const CHECK: u8 = 3;
}

/// What the figures are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Complete, in order, and measured by a generator that had time. The server may have shed
    /// connections, and said so: see `checks.shed`.
    Ok,
    /// A delivery was missing, repeated, out of order or corrupt, a command was refused, or a
    /// connection was lost.
    Failed,
    /// All was delivered, but the generator was the limit: the figures are its own.
    Invalid,
    /// Stopped before its time; what was sent was delivered.
    Interrupted,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    #[allow(missing_docs)]
    pub verdict: Verdict,
    #[allow(missing_docs)]
    pub environment: Environment,
    #[allow(missing_docs)]
    pub setting: Setting,
    /// Opening and joining.
    pub connect: Connect,
    /// Length of the measured window.
    pub measured_s: f64,
    /// Messages a second in the window.
    pub sent_per_s: f64,
    /// Deliveries a second in the window: one message in a room of 1,000 is 1,000 deliveries.
    pub deliveries_per_s: f64,
    /// Receipt minus *due* time, of messages due in the window.
    pub latency: Quantiles,
    /// Receipt minus submission, of the same messages: what a client sees that does not know when
    /// it wanted to send.
    pub service: Quantiles,
    /// What was owed and what came; all of the run, warm-up included.
    pub checks: Checks,
    /// How connections ended that ended before the run did, the ten most frequent ways.
    pub closes: Vec<Close>,
    /// What was wrong, in words, the first few: which message, of whom, where.
    pub faults: Vec<String>,
    /// Connections that left and came back by plan, if any.
    pub unrest: Option<Unrest>,
    /// Presence requests, if any: from due time to answer.
    pub presence: Option<Quantiles>,
    /// History requests, if any: from due time to answer.
    pub history: Option<Quantiles>,
    /// How the generator itself did.
    pub generator: Generator,
    /// With `--server-pid`.
    pub server: Option<Server>,
    /// Second by second, from the start of the window to the end of the drain.
    pub seconds: Vec<SecondRow>,
    /// What to know before believing the figures, each with its remedy.
    pub warnings: Vec<String>,
}

/// Where the run took place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// RFC 3339, UTC.
    pub started: String,
    /// Name and release, as `Linux 6.18.0`.
    pub kernel: String,
    /// Model name of the CPU.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Of the generator.
    pub version: String,
    /// The server's program and version, if `--server-pid` gives them away.
    pub server: Option<String>,
    /// The generator's command line, tokens blanked out.
    pub command: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Setting {
    pub urls: Vec<String>,
    pub dialect: Dialect,
    pub encoding: Encoding,
    pub connections: usize,
    pub rooms: usize,
    pub active_rooms: usize,
    pub room_sizes: RoomSizes,
    /// Members of the largest room.
    pub room_max: usize,
    pub senders: usize,
    pub load: Load,
    pub arrivals: Arrivals,
    pub payload_bytes: Sizes,
    pub seed: u64,
    pub churn_per_s: f64,
    pub storms: usize,
    pub recover: bool,
    pub slow_connections: usize,
    pub slow_bytes_per_s: u64,
    pub presence_per_s: f64,
    pub history_per_s: f64,
    pub processes: usize,
    /// Of each process.
    pub threads: usize,
}

/// How messages are timed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Messages a second in all.
    Rate(f64),
    /// Messages outstanding per sender.
    Closed(usize),
}

/// Times of one kind, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Quantiles {
    /// How many were measured; if none, the others are 0.
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// Opening and joining.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connect {
    /// Until all had joined.
    pub total_s: f64,
    /// Connections a second.
    pub per_s: f64,
    /// From the begin of the TCP connect to the end of the WebSocket upgrade.
    pub handshake: Quantiles,
    /// From the begin of the TCP connect to the room's answer.
    pub join: Quantiles,
}

/// Every delivery that was owed, and what became of it; all of the run, warm-up included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// Deliveries that had to come: each message to each connection that was a member then, unless
    /// the server refused the message or shed the connection.
    pub owed: u64,
    /// The counts behind the verdict.
    #[serde(flatten)]
    pub counts: crate::record::Counts,
}

/// Connections that left and came back by plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Unrest {
    pub left: u64,
    pub returned: u64,
    pub recovered: u64,
    pub unrecovered: u64,
    pub recovered_deliveries: u64,
    /// From the drop to having joined again.
    pub back: Quantiles,
}

/// How the generator itself did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// How late messages were submitted, of those that the server did not hold back.
    pub lag: Quantiles,
    /// Messages that had to wait because the server had not read their sender's earlier ones.
    pub held_back: u64,
    /// CPU use of its busiest thread in the window; unknown on some kernels.
    pub cpu_percent: Option<f64>,
    /// Part of the window for which its most unlucky thread waited for a CPU.
    pub wait_percent: Option<f64>,
    /// Its own CPU time per delivery.
    pub cpu_ns_per_delivery: Option<f64>,
    /// What the kernel of this machine refused or dropped during the run, by the counter's name.
    pub kernel_drops: BTreeMap<String, u64>,
    /// The generator was the limit.
    pub limited: bool,
}

/// The server process in the measured window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Server {
    /// 100: one CPU.
    pub cpu_percent: f64,
    /// Of the CPU time, in percent.
    pub user_percent: f64,
    pub system_percent: f64,
    pub ns_per_delivery: f64,
    pub rss_bytes_max: u64,
    /// Growth of the resident memory from before the first connection until all had joined.
    pub rss_bytes_per_connection: Option<f64>,
    pub voluntary_switches_per_s: f64,
    pub involuntary_switches_per_s: f64,
}

/// One second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct SecondRow {
    /// From 0, which begins with the window.
    pub second: u32,
    pub sent: u64,
    pub delivered: u64,
    /// Of deliveries received in it.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    /// With `--server-pid`.
    pub server_cpu_percent: Option<f64>,
    pub server_rss_bytes: Option<u64>,
}

/// The result of a search for the highest rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Search {
    /// Version of this form.
    pub schema: u32,
    /// What had to hold.
    pub objectives: Vec<Slo>,
    /// The highest rate (messages a second) that held; none, if not even the first did.
    pub highest_rate: Option<f64>,
    /// Deliveries a second at that rate.
    pub deliveries_per_s: Option<f64>,
    /// Why it ended there.
    pub end: SearchEnd,
    /// All steps in the order in which they ran.
    pub steps: Vec<Step>,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchEnd {
    /// The next higher rate did not hold.
    Found,
    /// The generator was the limit: the server's maximum is higher.
    Generator,
    /// Not even the first rate held.
    Nothing,
    /// Ctrl-C.
    Interrupted,
}

/// One step of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Messages a second.
    pub rate: f64,
    /// Did it hold?
    pub held: bool,
    /// Why not, in words.
    pub why: Option<String>,
    /// The run.
    pub report: Report,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema of `T` is what is committed as `file`; with `BLESS=1` in the environment it
    /// becomes that.
    fn check_schema<T: JsonSchema>(file: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let schema = schemars::schema_for!(T);
        let generated = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "{file} is not what the types say: run this test with BLESS=1 in the environment, and \
             raise SCHEMA if a field changed its meaning or went"
        );
    }

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        check_schema::<Report>("report.schema.json");
        check_schema::<Search>("search.schema.json");
    }

    #[test]
    fn a_report_survives_json() {
        let mut record = example::record(3);
        record.totals.counts.shed = 3;
        record.totals.faults.push("a \"fault\"\n".into());
        let mut report = example::report(&record);
        report.unrest = Some(Unrest::default());
        report.presence = Some(report.latency);
        let json = report.to_json().unwrap();
        assert!(json.ends_with("}\n") && json.contains("\"shed\": 3"));
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        let search = Search {
            schema: SCHEMA,
            objectives: vec!["p99<5ms".parse().unwrap()],
            highest_rate: Some(100.0),
            deliveries_per_s: None,
            end: SearchEnd::Found,
            steps: vec![Step { rate: 100.0, held: true, why: None, report }],
        };
        let json = serde_json::to_string(&search).unwrap();
        assert_eq!(serde_json::from_str::<Search>(&json).unwrap(), search);
    }

    #[test]
    fn a_report_of_nothing_survives_json() {
        let record = crate::record::Record::default();
        let report = example::report(&record);
        let json = report.to_json().unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
