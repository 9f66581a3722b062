//! Makes a report of what was asked for and what was measured: sums, quantiles, rates, the verdict.
//!
//! Pure: no clock, no file. The words of the warnings are in `warnings.rs`. Tests: below.

use super::{
    CPU_MAX_PERCENT, Checks, Connect, Environment, Generator, Quantiles, Report, SCHEMA, SecondRow,
    Server, Setting, Unrest, Verdict, exit,
};
use crate::record::{Close, Counts, Record, ServerSample, Times, Totals};
use crate::system::MACHINE_WIDE;
use std::time::Duration;

/// Kinds of close that are listed, those with most connections first.
const CLOSES_MAX: usize = 10;

/// The options on which the verdict depends, besides the setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Highest lag (p99) with which figures count.
    pub(crate) lag_budget: Duration,
    /// Figures count even if the generator was the limit.
    pub(crate) allow_saturation: bool,
    /// How long it was to be measured.
    pub(crate) duration: Duration,
}

impl Report {
    /// Judges a run.
    pub(crate) fn of(
        setting: Setting,
        bounds: &Bounds,
        record: &Record,
        environment: Environment,
    ) -> Report {
        let totals = &record.totals;
        let counts = &totals.counts;
        let mut closes: Vec<Close> = totals.closes.clone();
        closes.sort_by(|a, b| {
            b.count.cmp(&a.count).then(a.code.cmp(&b.code)).then(a.reason.cmp(&b.reason))
        });
        closes.truncate(CLOSES_MAX);
        let generator = generator(record, bounds);
        let verdict = match () {
            () if !passed(counts) => Verdict::Failed,
            () if record.interrupted => Verdict::Interrupted,
            () if generator.limited && !bounds.allow_saturation => Verdict::Invalid,
            () => Verdict::Ok,
        };
        let requests = |per_s: f64, times| (per_s > 0.0).then(|| Quantiles::of(times));
        let mut report = Report {
            schema: SCHEMA,
            verdict,
            environment,
            connect: Connect {
                total_s: round(record.join_s, 6),
                per_s: per(totals.join.histogram().len() as f64, record.join_s),
                handshake: Quantiles::of(&totals.handshake),
                join: Quantiles::of(&totals.join),
            },
            measured_s: round(record.measured_s, 6),
            sent_per_s: per(totals.sent_in_window as f64, record.measured_s),
            deliveries_per_s: per(totals.delivered_in_window as f64, record.measured_s),
            latency: Quantiles::of(&totals.latency),
            service: Quantiles::of(&totals.service),
            checks: Checks { owed: record.owed, counts: counts.clone() },
            closes,
            faults: totals.faults.clone(),
            unrest: unrest(totals),
            presence: requests(setting.presence_per_s, &totals.presence),
            history: requests(setting.history_per_s, &totals.history),
            generator,
            server: server(record, setting.connections),
            seconds: seconds(record),
            warnings: Vec::new(),
            setting,
        };
        report.warnings = super::warnings::warnings(&report, bounds, record.interrupted);
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

    /// For programs: one JSON object and a newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Quantiles {
    /// Of times in nanoseconds.
    pub fn of(times: &Times) -> Quantiles {
        let times = times.histogram();
        let ms = |quantile| round(times.value_at_quantile(quantile) as f64 / 1e6, 6);
        if times.is_empty() {
            return Quantiles::default();
        }
        Quantiles {
            count: times.len(),
            mean_ms: round(times.mean() / 1e6, 6),
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: round(times.max() as f64 / 1e6, 6),
        }
    }
}

/// Is every count of trouble zero? Shed connections are none: the server said so.
pub(crate) fn passed(counts: &Counts) -> bool {
    troubles(counts).iter().all(|(_, count)| *count == 0)
}

/// The counts that fail a run, with their names.
pub(crate) fn troubles(counts: &Counts) -> [(&'static str, u64); 8] {
    [
        ("unsent", counts.unsent),
        ("missing", counts.missing),
        ("duplicate", counts.duplicate),
        ("out of order", counts.out_of_order),
        ("corrupt", counts.corrupt),
        ("refused", counts.refused),
        ("unanswered", counts.unanswered),
        ("closed", counts.closed),
    ]
}

/// To so many decimals; what is not a number (0 / 0) counts as 0, as JSON knows none.
fn round(number: f64, places: i32) -> f64 {
    let unit = 10f64.powi(places);
    match number.is_finite() {
        true => (number * unit).round() / unit,
        false => 0.0,
    }
}

/// `count` in each of `seconds`; none in no time.
fn per(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { round(count / seconds, 3) } else { 0.0 }
}

fn generator(record: &Record, bounds: &Bounds) -> Generator {
    let totals = &record.totals;
    let lag = Quantiles::of(&totals.lag);
    let percent = |part: Option<f64>| part.map(|part| round(part * 100.0, 2));
    let cpu_percent = percent(totals.cpu);
    let kernel_drops: std::collections::BTreeMap<String, u64> =
        record.kernel_drops.iter().filter(|(_, n)| **n > 0).map(|(k, n)| (k.clone(), *n)).collect();
    Generator {
        limited: lag.p99_ms > bounds.lag_budget.as_secs_f64() * 1000.0
            || cpu_percent.is_some_and(|percent| percent > CPU_MAX_PERCENT)
            || kernel_drops.keys().any(|name| name != MACHINE_WIDE),
        lag,
        held_back: totals.counts.held_back,
        cpu_percent,
        wait_percent: percent(totals.wait),
        cpu_ns_per_delivery: (totals.cpu_ns > 0 && totals.delivered_in_window > 0)
            .then(|| round(totals.cpu_ns as f64 / totals.delivered_in_window as f64, 1)),
        kernel_drops,
    }
}

fn unrest(totals: &Totals) -> Option<Unrest> {
    let counts = &totals.counts;
    (counts.left > 0 || counts.returned > 0).then(|| Unrest {
        left: counts.left,
        returned: counts.returned,
        recovered: counts.recovered,
        unrecovered: counts.unrecovered,
        recovered_deliveries: counts.recovered_deliveries,
        back: Quantiles::of(&totals.back),
    })
}

/// What the server process did between the looks nearest to the window's ends. None: there were no
/// two, or no window.
fn server(record: &Record, connections: usize) -> Option<Server> {
    let nearest = |at_s: f64| {
        let off = |sample: &ServerSample| (sample.at_s - at_s).abs();
        record.server.iter().min_by(|a, b| off(a).total_cmp(&off(b)))
    };
    let (from, to) = (nearest(0.0)?, nearest(record.measured_s)?);
    let wall_s = to.at_s - from.at_s;
    if wall_s <= 0.0 {
        return None;
    }
    let (user, system) = (to.user_s - from.user_s, to.system_s - from.system_s);
    let cpu_per_s = (to.cpu_s - from.cpu_s) / wall_s;
    let delivered_per_s = record.totals.delivered_in_window as f64 / record.measured_s;
    let share = |part: f64| round(part / (user + system) * 100.0, 2);
    let switches = |from: u64, to: u64| per(to.saturating_sub(from) as f64, wall_s);
    let grown = record.server_rss_before.zip(record.server_rss_joined);
    Some(Server {
        cpu_percent: round(cpu_per_s * 100.0, 2),
        user_percent: share(user),
        system_percent: share(system),
        ns_per_delivery: round(cpu_per_s * 1e9 / delivered_per_s, 1),
        rss_bytes_max: record.server.iter().map(|sample| sample.rss_bytes).max().unwrap_or(0),
        rss_bytes_per_connection: grown
            .filter(|_| connections > 0)
            .map(|(before, joined)| round((joined as f64 - before as f64) / connections as f64, 1)),
        voluntary_switches_per_s: switches(from.voluntary, to.voluntary),
        involuntary_switches_per_s: switches(from.involuntary, to.involuntary),
    })
}

fn seconds(record: &Record) -> Vec<SecondRow> {
    let rows = record.seconds.iter().map(|second| {
        let times = Quantiles::of(&second.latency);
        let server = server_in(&record.server, f64::from(second.index));
        SecondRow {
            second: second.index,
            sent: second.sent,
            delivered: second.delivered,
            p50_ms: times.p50_ms,
            p99_ms: times.p99_ms,
            p999_ms: times.p999_ms,
            max_ms: times.max_ms,
            server_cpu_percent: server.map(|(percent, _)| percent),
            server_rss_bytes: server.map(|(_, bytes)| bytes),
        }
    });
    rows.collect()
}

/// CPU use (percent) in the second from `at_s`, and resident memory at its end. None: less than
/// half of that second lies between looks.
fn server_in(samples: &[ServerSample], at_s: f64) -> Option<(f64, u64)> {
    let (first, last) = (samples.first()?, samples.last()?);
    let (from, to) = (at_s.max(first.at_s), (at_s + 1.0).min(last.at_s));
    if to - from < 0.5 {
        return None;
    }
    let ((cpu_from, _), (cpu_to, rss)) = (between(samples, from)?, between(samples, to)?);
    Some((round((cpu_to - cpu_from) / (to - from) * 100.0, 2), rss.round().max(0.0) as u64))
}

/// CPU seconds and resident memory at a time between two looks, as if both grew evenly.
fn between(samples: &[ServerSample], at_s: f64) -> Option<(f64, f64)> {
    let after = samples.partition_point(|sample| sample.at_s < at_s);
    let b = samples.get(after)?;
    let a = &samples[after.saturating_sub(1)];
    let part = match b.at_s - a.at_s {
        gap if gap > 0.0 => (at_s - a.at_s) / gap,
        _ => 1.0,
    };
    let mix = |a: f64, b: f64| a + (b - a) * part;
    Some((mix(a.cpu_s, b.cpu_s), mix(a.rss_bytes as f64, b.rss_bytes as f64)))
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::record::Second;

    /// The example, changed, as a report.
    fn judged(change: impl FnOnce(&mut Record, &mut Bounds)) -> Report {
        let (mut record, mut bounds) = (example::record(10), example::bounds());
        change(&mut record, &mut bounds);
        Report::of(example::setting(), &bounds, &record, example::environment())
    }

    #[test]
    fn figures_add_up() {
        let (mut a, mut b) = (Second::default(), Second { index: 1, ..Second::default() });
        (1..=500).for_each(|ms| a.latency.record(ms * 1_000_000));
        (501..=1000).for_each(|ms| b.latency.record(ms * 1_000_000));
        let report = judged(|record, _| {
            record.totals.latency.clear();
            (1..=1000).for_each(|ms| record.totals.latency.record(ms * 1_000_000));
            record.seconds = vec![a, b];
            record.measured_s = 2.0;
            record.totals.sent_in_window = 30;
            record.totals.delivered_in_window = 3_001;
            record.totals.cpu_ns = 600_200;
        });
        let close = |got: f64, want: f64| assert!((got / want - 1.0).abs() < 8e-3, "{got} {want}");
        assert_eq!((report.sent_per_s, report.deliveries_per_s), (15.0, 1500.5));
        assert_eq!(report.latency.count, 1000);
        close(report.latency.p50_ms, 500.0);
        close(report.latency.p99_ms, 990.0);
        close(report.latency.p999_ms, 999.0);
        close(report.latency.max_ms, 1000.0);
        close(report.latency.mean_ms, 500.5);
        close(report.seconds[0].max_ms, 500.0);
        close(report.seconds[1].p50_ms, 750.0);
        assert_eq!(report.generator.cpu_ns_per_delivery, Some(200.0));
    }

    #[test]
    fn a_calm_run_is_well() {
        let report = judged(|_, _| ());
        assert_eq!((report.verdict, report.exit_code()), (Verdict::Ok, exit::OK));
        assert_eq!(report.warnings, Vec::<String>::new());
        assert_eq!((report.unrest, report.presence, report.history), (None, None, None));
    }

    #[test]
    fn every_kind_of_trouble_fails() {
        let check = |what: &str, change: fn(&mut Counts)| {
            let report = judged(|record, _| change(&mut record.totals.counts));
            assert_eq!((report.verdict, report.exit_code()), (Verdict::Failed, exit::CHECK));
            assert!(report.to_text().contains(what), "{what}: {}", report.to_text());
        };
        check("unsent", |c| c.unsent = 1);
        check("missing", |c| c.missing = 1);
        check("duplicate", |c| c.duplicate = 1);
        check("out of order", |c| c.out_of_order = 1);
        check("corrupt", |c| c.corrupt = 1);
        check("refused", |c| c.refused = 1);
        check("unanswered", |c| c.unanswered = 1);
        check("closed", |c| c.closed = 1);
    }

    #[test]
    fn what_the_server_said_fails_nothing() {
        let report = judged(|record, _| {
            record.totals.counts.shed = 5;
            record.totals.counts.shed_deliveries = 700;
        });
        assert_eq!(report.verdict, Verdict::Ok);
        assert!(report.warnings[0].contains("shed"), "{:?}", report.warnings);
    }

    #[test]
    fn a_busy_generator_makes_it_invalid_unless_allowed() {
        let check = |change: fn(&mut Record)| {
            let report = judged(|record, _| change(record));
            assert_eq!((report.verdict, report.exit_code()), (Verdict::Invalid, exit::CHECK));
            assert!(report.generator.limited);
            let allowed = judged(|record, bounds| {
                change(record);
                bounds.allow_saturation = true;
            });
            assert_eq!(allowed.verdict, Verdict::Ok);
            assert!(allowed.generator.limited && !allowed.warnings.is_empty());
            let stopped = judged(|record, _| {
                change(record);
                record.interrupted = true;
            });
            assert_eq!(stopped.verdict, Verdict::Interrupted);
        };
        check(|record| record.totals.cpu = Some(0.95));
        check(|record| {
            record.totals.lag.clear();
            record.totals.lag.record(3_000_000);
        });
        check(|record| {
            record.kernel_drops.insert("TcpExt ListenDrops".into(), 1);
        });
        let zero = judged(|record, _| {
            record.kernel_drops.insert("TcpExt ListenDrops".into(), 0);
        });
        assert!(!zero.generator.limited && zero.generator.kernel_drops.is_empty());
    }

    #[test]
    fn trouble_counts_more_than_an_interruption() {
        let report = judged(|record, _| record.interrupted = true);
        assert_eq!((report.verdict, report.exit_code()), (Verdict::Interrupted, exit::FAILED));
        let report = judged(|record, _| {
            record.interrupted = true;
            record.totals.counts.missing = 1;
        });
        assert_eq!((report.verdict, report.exit_code()), (Verdict::Failed, exit::CHECK));
    }

    #[test]
    fn the_most_frequent_closes_are_listed() {
        let report = judged(|record, _| {
            record.totals.closes = (1..=12)
                .map(|n| Close { code: 3000 + n, reason: "x".into(), count: u64::from(n) })
                .collect();
        });
        let codes: Vec<u16> = report.closes.iter().map(|close| close.code).collect();
        assert_eq!(codes, (3003..=3012).rev().collect::<Vec<u16>>());
    }

    /// A look each second from 1 s before the window; half a CPU, a third of it in user mode.
    fn looks(from_s: i32, to_s: i32) -> Vec<ServerSample> {
        let sample = |at: i32| {
            let (at_s, n) = (f64::from(at) + 0.25, f64::from(at - from_s));
            ServerSample {
                at_s,
                user_s: n / 6.0,
                system_s: n / 3.0,
                cpu_s: n * 0.5,
                rss_bytes: (1000.0 + n * 100.0) as u64,
                voluntary: (n * 50.0) as u64,
                involuntary: (n * 5.0) as u64,
            }
        };
        (from_s..=to_s).map(sample).collect()
    }

    #[test]
    fn the_server_in_the_window() {
        let report = judged(|record, _| {
            record.server = looks(-2, 11);
            record.measured_s = 10.0;
            record.totals.delivered_in_window = 1_000_000;
            record.server_rss_before = Some(1_000);
            record.server_rss_joined = Some(1_000 + 4_000 * 100);
        });
        let server = report.server.unwrap();
        assert_eq!(server.cpu_percent, 50.0);
        assert_eq!((server.user_percent, server.system_percent), (33.33, 66.67));
        assert_eq!(server.ns_per_delivery, 5_000.0);
        assert_eq!(server.rss_bytes_max, 2_300);
        assert_eq!(server.rss_bytes_per_connection, Some(400.0));
        assert_eq!(
            (server.voluntary_switches_per_s, server.involuntary_switches_per_s),
            (50.0, 5.0)
        );
    }

    #[test]
    fn the_server_second_by_second() {
        let samples = looks(-1, 3);
        // From -0.75 to 3.25 s; 1,000 bytes at -0.75 and 100 more each second.
        assert_eq!(server_in(&samples, 0.0), Some((50.0, 1_175)));
        assert_eq!(server_in(&samples, 2.0), Some((50.0, 1_375)));
        assert_eq!(server_in(&samples, 3.0), None);
        assert_eq!(server_in(&samples, -1.0), Some((50.0, 1_075)));
        assert_eq!(server_in(&[], 0.0), None);
    }

    #[test]
    fn nothing_measured_is_all_zero() {
        let setting = example::setting();
        let empty = Record::default();
        let report = Report::of(setting, &example::bounds(), &empty, Environment::default());
        assert_eq!((report.sent_per_s, report.latency), (0.0, Quantiles::default()));
        assert_eq!((report.server, report.seconds.len()), (None, 0));
        let one_look = judged(|record, _| record.server = looks(0, 0));
        assert_eq!(one_look.server, None);
    }
}
