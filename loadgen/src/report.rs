//! The result of a run: its figures, its verdict, how it is printed.

use crate::options::{Dialect, Load, Plan};
use crate::stats::ThreadStats;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

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
    /// Deliveries owed: each message to each member of its room.
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
    /// Commands that the server refused.
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
    /// Connections that ended before the run did.
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
        let (mut delivered, mut sent, mut accepted) = (0, 0, 0);
        let mut cpu: Option<f64> = None;
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
        checks.closed = closes.values().sum();
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
            closes: closes
                .into_iter()
                .map(|((code, reason), count)| Close { code, reason, count })
                .collect(),
            examples,
            generator: Generator { lag, cpu_percent, limited },
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
            let lag = &self.generator.lag;
            let cause = match self.generator.cpu_percent {
                Some(percent) if percent > CPU_MAX_PERCENT => {
                    format!("its busiest thread used {percent:.0} % of a CPU")
                }
                _ => format!("1 % of its messages left over {:.2} ms late", lag.p99_ms),
            };
            let consequence = if plan.options.allow_saturation {
                "latency and throughput are the generator's, not the server's"
            } else {
                "the figures are the generator's, not the server's"
            };
            warnings.push(format!(
                "the generator was the limit: {cause}; {consequence}. Use more --threads on idle \
                 CPUs, another machine, fewer deliveries, or measure the server's CPU time with \
                 --server-pid and --allow-saturation."
            ));
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

    /// For programs: one JSON object and a newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut out);
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let setting = &self.setting;
        let (load, bytes) = (setting.load, setting.payload_bytes);
        let load = match load {
            Load::Rate(rate) => format!("{} messages/s due", count_f(rate)),
            Load::Closed(w) => format!("{} outstanding per sender", count(w as u64)),
        };
        writeln!(out, "{}  ({:?} dialect)", setting.url, setting.dialect)?;
        writeln!(
            out,
            "  members     {} in {} rooms, {} of them send; joined in {:.2} s",
            count(setting.connections as u64),
            count(setting.rooms as u64),
            count(setting.senders as u64),
            self.join_s
        )?;
        writeln!(out, "  load        {load}, {bytes}-byte texts, {:.1} s", self.measured_s)?;
        writeln!(out, "  sent        {:>14} messages/s", count_f(self.sent_per_s))?;
        writeln!(out, "  delivered   {:>14} deliveries/s", count_f(self.deliveries_per_s))?;
        let t = &self.latency;
        writeln!(
            out,
            "  latency     p50 {:.2}   p90 {:.2}   p99 {:.2}   p99.9 {:.2}   max {:.2} ms",
            t.p50_ms, t.p90_ms, t.p99_ms, t.p999_ms, t.max_ms
        )?;
        if let Some(cpu) = self.server_cpu {
            writeln!(
                out,
                "  server      {:.0} % CPU, {} ns per delivery",
                cpu.percent,
                count_f(cpu.ns_per_delivery)
            )?;
        }
        let generator = &self.generator;
        let cpu = generator.cpu_percent.map_or("unknown".into(), |p| format!("{p:.0} %"));
        write!(out, "  generator   {cpu} CPU (busiest of {} threads)", setting.threads)?;
        if generator.lag.count > 0 {
            write!(
                out,
                ", lag p99 {:.2}   max {:.2} ms",
                generator.lag.p99_ms, generator.lag.max_ms
            )?;
        }
        let checks = &self.checks;
        writeln!(
            out,
            "\n  checked     {} messages, {} deliveries owed, {} came",
            count(checks.sent),
            count(checks.owed),
            count(checks.delivered)
        )?;
        for (what, number) in [
            ("missing", checks.missing),
            ("duplicate", checks.duplicate),
            ("out of order", checks.out_of_order),
            ("corrupt", checks.corrupt),
            ("refused", checks.refused),
            ("unanswered", checks.unanswered),
            ("closed", checks.closed),
        ] {
            if number > 0 {
                writeln!(out, "              {:>14} {what}", count(number))?;
            }
        }
        for close in &self.closes {
            writeln!(out, "  closed      {} x {} {}", close.count, close.code, close.reason)?;
        }
        for example in &self.examples {
            writeln!(out, "  example     {example}")?;
        }
        for warning in &self.warnings {
            writeln!(out, "  warning     {warning}")?;
        }
        writeln!(
            out,
            "  result      {}",
            match self.verdict {
                Verdict::Ok => "OK: every delivery came exactly once and in order",
                Verdict::Failed => "FAILED: see the counts above",
                Verdict::Invalid => "INVALID: the generator was the limit",
                Verdict::Interrupted => "INTERRUPTED: what was sent came exactly once and in order",
            }
        )
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

/// `1234567` as `1,234,567`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of any size with as many decimals as help.
fn count_f(number: f64) -> String {
    match number {
        n if n >= 100.0 => count(n.round() as u64),
        n => format!("{n:.1}"),
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
        let changes: [(&str, fn(&mut ThreadStats)); 7] = [
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
        for report in [report(busy, ""), report(late, "")] {
            assert_eq!((report.verdict, report.exit_code()), (Verdict::Invalid, exit::CHECK));
            assert!(report.to_text().contains("--threads"), "{}", report.to_text());
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
