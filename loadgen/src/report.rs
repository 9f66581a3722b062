//! The result of a run: its figures and its verdict. Printed for people by `print.rs`.

use crate::options::{Dialect, Load, Plan};
use crate::stats::ThreadStats;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the JSON form: raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;
/// A generator that submits one message in a hundred later than this (ms) after it was due does
/// not measure the server.
pub const LAG_P99_MAX_MS: f64 = 1.0;
/// Nor does one whose thread was on a CPU for a larger part of the time than this (percent).
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Complete, in order, and measured by a generator that had time.
    Ok,
    /// A delivery was missing, repeated, out of order or corrupt, a command was refused, or a
    /// connection was lost.
    Failed,
    /// All was delivered, but the generator was the limit: the figures are its own.
    Invalid,
    /// Stopped before its time; what was sent was delivered.
    Interrupted,
}

/// Times of one kind, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    /// How many were measured; if none, the others are 0.
    pub count: u64,
    #[allow(missing_docs)]
    pub mean_ms: f64,
    #[allow(missing_docs)]
    pub p50_ms: f64,
    #[allow(missing_docs)]
    pub p90_ms: f64,
    #[allow(missing_docs)]
    pub p99_ms: f64,
    #[allow(missing_docs)]
    pub p999_ms: f64,
    #[allow(missing_docs)]
    pub max_ms: f64,
}

impl Times {
    fn of(times: &Histogram<u64>) -> Times {
        let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e6;
        if times.is_empty() {
            return Times::default();
        }
        Times {
            count: times.len(),
            mean_ms: times.mean() / 1e6,
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: times.max() as f64 / 1e6,
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Server.
    pub url: String,
    /// What was spoken.
    pub dialect: Dialect,
    /// Connections opened.
    pub connections: usize,
    /// Rooms they were divided among.
    pub rooms: usize,
    /// Connections that sent.
    pub senders: usize,
    /// Messages a second, or messages outstanding per sender.
    pub load: Load,
    /// Bytes of a message's text.
    pub payload_bytes: usize,
    /// Generator threads.
    pub threads: usize,
}

/// Every delivery that was owed, and what became of it; all of the run, warm-up included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// Messages sent.
    pub sent: u64,
    /// Deliveries owed: each message to each member of its room, unless the server refused it.
    pub owed: u64,
    /// Deliveries that came, each counted once.
    pub delivered: u64,
    /// Deliveries that never came.
    pub missing: u64,
    /// Deliveries that came again.
    pub duplicate: u64,
    /// Deliveries that came after a later one of the same sender.
    pub out_of_order: u64,
    /// Deliveries that were damaged, of another room or never sent.
    pub corrupt: u64,
    /// Messages that the server refused.
    pub refused: u64,
    /// Messages that the server neither accepted nor refused (where the dialect answers).
    pub unanswered: u64,
    /// Connections that ended before the run did.
    pub closed: u64,
}

impl Checks {
    /// Is every count of trouble zero?
    pub fn passed(&self) -> bool {
        let Checks {
            missing, duplicate, out_of_order, corrupt, refused, unanswered, closed, ..
        } = self;
        [missing, duplicate, out_of_order, corrupt, refused, unanswered, closed]
            .iter()
            .all(|count| **count == 0)
    }
}

/// Kinds of close that are listed, those with most connections first.
const CLOSES_MAX: usize = 10;

/// Connections that ended alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Close {
    /// WebSocket close code; 1006: none came.
    pub code: u16,
    /// Its reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// How the generator itself did in the measured window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generator {
    /// Submission minus due time (open loop).
    pub lag: Times,
    /// Busiest thread's CPU time, in percent of one CPU.
    pub cpu_percent: Option<f64>,
    /// How long the thread that fared worst waited for a CPU that something else used, in percent.
    pub wait_percent: Option<f64>,
    /// Was it the limit?
    pub limited: bool,
}

/// CPU time of the server in the measured window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerCpu {
    /// In percent of one CPU, all threads together.
    pub percent: f64,
    /// Nanoseconds per delivery.
    pub ns_per_delivery: f64,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What the figures are worth.
    pub verdict: Verdict,
    /// What was asked for.
    pub setting: Setting,
    /// From the first connection to the last join, in seconds.
    pub join_s: f64,
    /// Measured window, in seconds.
    pub measured_s: f64,
    /// Messages sent per second of the measured window.
    pub sent_per_s: f64,
    /// Deliveries per second of the measured window.
    pub deliveries_per_s: f64,
    /// Receipt minus due time, of the messages due in the measured window.
    pub latency: Times,
    /// What was owed and what came.
    pub checks: Checks,
    /// How connections ended that ended before the run did: the ten most frequent ways.
    pub closes: Vec<Close>,
    /// The first few lines that were corrupt or refused.
    pub examples: Vec<String>,
    /// How the generator itself did.
    pub generator: Generator,
    /// With `--server-pid`.
    pub server_cpu: Option<ServerCpu>,
    /// What to know before believing the figures, each with its remedy.
    pub warnings: Vec<String>,
}

/// What the coordinator measured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outline {
    pub(crate) join_s: f64,
    pub(crate) measured_s: f64,
    pub(crate) sent: u64,
    pub(crate) owed: u64,
    pub(crate) interrupted: bool,
    pub(crate) answers: bool,
    /// Server's CPU seconds, and the seconds in which they were used.
    pub(crate) server_cpu: Option<(f64, f64)>,
}

impl Report {
    pub(crate) fn new(plan: &Plan, outline: Outline, threads: Vec<ThreadStats>) -> Report {
        let mut checks = Checks { sent: outline.sent, owed: outline.owed, ..Checks::default() };
        let mut closes = BTreeMap::new();
        let (mut latency, mut lag): (Option<Histogram<u64>>, Option<Histogram<u64>>) = (None, None);
        let (mut delivered, mut sent, mut accepted, mut waived) = (0, 0, 0, 0);
        let (mut cpu, mut wait): (Option<f64>, Option<f64>) = (None, None);
        let mut examples = Vec::new();
        for thread in threads {
            checks.delivered += thread.counts.delivered;
            checks.duplicate += thread.counts.duplicate;
            checks.out_of_order += thread.counts.out_of_order;
            checks.missing += thread.missing;
            checks.corrupt += thread.corrupt;
            checks.refused += thread.refused;
            accepted += thread.accepted;
            delivered += thread.delivered_in_window;
            sent += thread.sent_in_window;
            cpu = cpu.into_iter().chain(thread.cpu).reduce(f64::max);
            wait = wait.into_iter().chain(thread.wait).reduce(f64::max);
            waived += thread.waived;
            examples.extend(thread.examples);
            for (key, count) in thread.closes {
                *closes.entry(key).or_insert(0) += count;
            }
            merge(&mut latency, thread.latency);
            merge(&mut lag, thread.lag);
        }
        if outline.answers {
            checks.unanswered = checks.sent.saturating_sub(accepted + checks.refused);
        }
        checks.owed = checks.owed.saturating_sub(waived);
        checks.missing = checks.missing.saturating_sub(waived);
        checks.closed = closes.values().sum();
        let mut closes = closes
            .into_iter()
            .map(|((code, reason), count)| Close { code, reason, count })
            .collect::<Vec<_>>();
        closes.sort_by_key(|close| std::cmp::Reverse(close.count));
        closes.truncate(CLOSES_MAX);
        examples.truncate(3);
        let lag = lag.as_ref().map(Times::of).unwrap_or_default();
        let cpu_percent = cpu.map(|part| part * 100.0);
        let limited = (lag.count > 0 && lag.p99_ms > LAG_P99_MAX_MS)
            || cpu_percent.is_some_and(|percent| percent > CPU_MAX_PERCENT);
        let per_s = |count: u64| match outline.measured_s {
            seconds if seconds > 0.0 => count as f64 / seconds,
            _ => 0.0,
        };
        let verdict = match () {
            () if !checks.passed() => Verdict::Failed,
            () if outline.interrupted => Verdict::Interrupted,
            () if limited && !plan.options.allow_saturation => Verdict::Invalid,
            () => Verdict::Ok,
        };
        let mut report = Report {
            schema: SCHEMA,
            verdict,
            setting: Setting {
                url: plan.url.clone(),
                dialect: plan.options.dialect,
                connections: plan.options.connections,
                rooms: plan.options.rooms,
                senders: plan.senders,
                load: plan.load,
                payload_bytes: plan.options.payload,
                threads: plan.threads,
            },
            join_s: outline.join_s,
            measured_s: outline.measured_s,
            sent_per_s: per_s(sent),
            deliveries_per_s: per_s(delivered),
            latency: latency.as_ref().map(Times::of).unwrap_or_default(),
            checks,
            closes,
            examples,
            generator: Generator {
                lag,
                cpu_percent,
                wait_percent: wait.map(|part| part * 100.0),
                limited,
            },
            server_cpu: outline.server_cpu.filter(|_| delivered > 0).map(|(cpu_s, wall_s)| {
                let delivered = per_s(delivered) * wall_s;
                ServerCpu {
                    percent: cpu_s / wall_s * 100.0,
                    ns_per_delivery: cpu_s * 1e9 / delivered,
                }
            }),
            warnings: Vec::new(),
        };
        report.warnings = report.warnings(plan, outline.interrupted);
        report
    }

    /// The program's exit status.
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Ok => exit::OK,
            Verdict::Interrupted => exit::FAILED,
            Verdict::Failed | Verdict::Invalid => exit::CHECK,
        }
    }

    fn warnings(&self, plan: &Plan, interrupted: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.generator.limited {
            warnings.push(self.limit_warning(plan.options.allow_saturation));
        }
        if interrupted {
            warnings.push(format!(
                "interrupted: the figures cover {:.1} of {:.1} s.",
                self.measured_s,
                plan.options.duration.as_secs_f64()
            ));
        }
        if let Some(close) = self.closes.iter().max_by_key(|close| close.count) {
            let remedy = match close.code {
                3008 => "; the generator or the network did not read fast enough: lower the load",
                3013 | 3503 => {
                    "; raise the server's client.command_rate_limit or use more --senders"
                }
                1006 => "; see the server's log",
                _ => "",
            };
            warnings.push(format!(
                "the server closed {} connections, {} of them with {} {:?}{remedy}.",
                self.checks.closed, close.count, close.code, close.reason
            ));
        }
        if self.checks.refused > 0 {
            warnings.push(
                "commands were refused; code 111 is the server's client.command_rate_limit: raise \
                 it or use more --senders."
                    .to_owned(),
            );
        }
        warnings
    }

    /// Why the generator was the limit, what that means, and what helps.
    fn limit_warning(&self, allowed: bool) -> String {
        let Generator { lag, cpu_percent, wait_percent, .. } = &self.generator;
        let (cause, remedy) = match (cpu_percent, wait_percent) {
            (Some(busy), _) if *busy > CPU_MAX_PERCENT => (
                format!("its busiest thread used {busy:.0} % of a CPU"),
                "Use more --threads on idle CPUs, another machine, or fewer deliveries; or measure \
                 the server's CPU time with --server-pid and --allow-saturation.",
            ),
            (_, Some(wait)) if *wait > 1.0 => (
                format!(
                    "1 % of its messages left over {:.2} ms late, and it waited {wait:.0} % of the \
                     time for a CPU that something else used",
                    lag.p99_ms
                ),
                "Stop what else runs on this machine, or give the generator CPUs of its own \
                 (`taskset`).",
            ),
            _ => (
                format!("1 % of its messages left over {:.2} ms late", lag.p99_ms),
                "Use more --threads on idle CPUs, or another machine; on a virtual machine the host \
                 may be busy.",
            ),
        };
        let figures = if allowed { "latency and throughput are" } else { "the figures are" };
        format!(
            "the generator was the limit: {cause}; {figures} the generator's, not the server's. \
             {remedy}"
        )
    }

    /// For programs: one JSON object and a newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Adds `other` to what is there.
fn merge(all: &mut Option<Histogram<u64>>, other: Histogram<u64>) {
    match all {
        // Both have the same bounds, so that nothing can be out of range.
        Some(all) => all.add(other).unwrap_or_default(),
        None => *all = Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use clap::Parser;

    fn report(change: impl FnOnce(&mut Outline, &mut ThreadStats), arguments: &str) -> Report {
        let words = format!("x -c 10 --rate 5 --url ws://127.0.0.1:9 {arguments}");
        let plan = Plan::new(Options::parse_from(words.split_whitespace()), 2).unwrap();
        let mut stats = ThreadStats::new().unwrap();
        stats.cpu = Some(0.2);
        stats.lag.record(50_000).unwrap();
        (1..=1000).for_each(|ms| stats.latency.record(ms * 1_000_000).unwrap());
        stats.counts.delivered = 20_000_000;
        stats.delivered_in_window = 12_345_670;
        stats.accepted = 50;
        let mut outline = Outline {
            join_s: 0.5,
            measured_s: 10.0,
            sent: 50,
            owed: 20_000_000,
            answers: true,
            ..Outline::default()
        };
        change(&mut outline, &mut stats);
        Report::new(&plan, outline, vec![stats])
    }

    #[test]
    fn a_good_run() {
        let report = report(|_, _| (), "");
        assert_eq!((report.verdict, report.exit_code()), (Verdict::Ok, exit::OK));
        let text = report.to_text();
        for part in ["1,234,567 deliveries/s", "p50 500", "20,000,000 deliveries owed", "OK: every"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("warning"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["verdict"], "ok");
        assert_eq!(json["setting"]["load"]["rate"], 5.0);
        assert_eq!(json["checks"]["owed"], 20_000_000);
        assert!((json["latency"]["p99_ms"].as_f64().unwrap() - 990.0).abs() < 2.0);
    }

    #[test]
    fn every_kind_of_trouble_fails() {
        type Change = fn(&mut ThreadStats);
        let changes: [(&str, Change); 7] = [
            ("missing", |s| s.missing = 1),
            ("duplicate", |s| s.counts.duplicate = 1),
            ("out of order", |s| s.counts.out_of_order = 1),
            ("corrupt", |s| s.corrupt = 1),
            ("refused", |s| s.refused = 1),
            ("unanswered", |s| s.accepted = 49),
            ("3008 slow", |s| s.closes.extend([((3008, "slow".into()), 1)])),
        ];
        for (what, change) in changes {
            let report = report(|_, stats| change(stats), "");
            assert_eq!((report.verdict, report.exit_code()), (Verdict::Failed, exit::CHECK));
            assert!(report.to_text().contains(what), "{}", report.to_text());
        }
    }

    #[test]
    fn a_busy_generator_makes_it_invalid() {
        let busy = |_: &mut Outline, stats: &mut ThreadStats| stats.cpu = Some(0.95);
        let late = |_: &mut Outline, stats: &mut ThreadStats| stats.lag.record(3_000_000).unwrap();
        let crowded = |_: &mut Outline, stats: &mut ThreadStats| {
            stats.lag.record(3_000_000).unwrap();
            stats.wait = Some(0.3);
        };
        for report in [report(busy, ""), report(late, ""), report(crowded, "")] {
            assert_eq!((report.verdict, report.exit_code()), (Verdict::Invalid, exit::CHECK));
            let text = report.to_text();
            assert!(text.contains("--threads") != text.contains("taskset"), "{text}");
        }
        let allowed = report(busy, "--allow-saturation");
        assert_eq!(allowed.verdict, Verdict::Ok);
        assert!(allowed.generator.limited && allowed.to_text().contains("warning"));
    }

    #[test]
    fn interrupted_runs_and_server_cpu() {
        let stopped = report(
            |outline, _| {
                outline.interrupted = true;
                outline.measured_s = 0.0;
            },
            "",
        );
        assert_eq!((stopped.verdict, stopped.exit_code()), (Verdict::Interrupted, exit::FAILED));
        let measured = report(|outline, _| outline.server_cpu = Some((5.0, 10.0)), "");
        let cpu = measured.server_cpu.unwrap();
        assert_eq!(cpu.percent, 50.0);
        assert!((cpu.ns_per_delivery - 405.0).abs() < 0.1);
    }
}
