//! What to know before believing the figures: each warning names the cause and what helps.
//!
//! Only words; what is judged is in `judge.rs`. Tests: below.

use super::figures::{count, ms, number, plural};
use super::judge::Bounds;
use super::{CPU_MAX_PERCENT, Generator, Report};
use crate::report::Load;

/// A thread that waited longer than this (percent) for a CPU shares it with something.
const WAIT_MAX_PERCENT: f64 = 10.0;
/// With fewer deliveries than this, one of them decides p99.9.
const COUNT_MIN: u64 = 1_000;

/// All that apply, the gravest first.
pub(super) fn warnings(report: &Report, bounds: &Bounds, interrupted: bool) -> Vec<String> {
    let mut out = Vec::new();
    limit(report, bounds, &mut out);
    if interrupted {
        out.push(format!(
            "interrupted: the figures cover {:.1} of {:.1} s.",
            report.measured_s,
            bounds.duration.as_secs_f64()
        ));
    }
    shed(report, &mut out);
    closes(report, &mut out);
    checks(report, &mut out);
    let generator = &report.generator;
    if let Some(wait) = generator.wait_percent.filter(|wait| *wait > WAIT_MAX_PERCENT)
        && !generator.limited
    {
        out.push(format!(
            "a thread of the generator waited {wait:.0} % of the time for a CPU that something \
             else used: what it measured includes that. Stop what else runs on this machine, or \
             give the generator CPUs of its own (--cpus, `taskset`)."
        ));
    }
    let measured = report.latency.count;
    if report.measured_s > 0.0 && measured == 0 {
        out.push(
            "no delivery was measured: nothing was due in the window, or nothing came back.".into(),
        );
    } else if (1..COUNT_MIN).contains(&measured) {
        out.push(format!(
            "only {}: a single one decides p99.9. Measure longer (--duration), or send more.",
            match measured {
                1 => "1 delivery was measured".to_owned(),
                n => format!("{} deliveries were measured", count(n)),
            }
        ));
    }
    out
}

/// The generator was the limit: why, what that means, and what helps.
fn limit(report: &Report, bounds: &Bounds, out: &mut Vec<String>) {
    let Generator { lag, cpu_percent, wait_percent, kernel_drops, .. } = &report.generator;
    let budget_ms = bounds.lag_budget.as_secs_f64() * 1000.0;
    let late = || format!("1 % of its messages left over {} ms late", ms(lag.p99_ms));
    let reason = match (cpu_percent, wait_percent) {
        (Some(busy), _) if *busy > CPU_MAX_PERCENT => Some((
            format!("its busiest thread used {busy:.0} % of a CPU"),
            "Use more --threads on idle CPUs, another machine, or fewer deliveries; or measure the \
             server's CPU time with --server-pid and --allow-saturation.",
        )),
        _ if lag.p99_ms <= budget_ms => None,
        (_, Some(wait)) if *wait > 1.0 => Some((
            format!(
                "{}, and it waited {wait:.0} % of the time for a CPU that something else used",
                late()
            ),
            "Stop what else runs on this machine, or give the generator CPUs of its own (--cpus, \
             `taskset`).",
        )),
        _ => Some((
            late(),
            "Use more --threads on idle CPUs, or another machine; on a virtual machine the host \
             may be busy.",
        )),
    };
    let figures = match bounds.allow_saturation {
        true => "latency and throughput are",
        false => "the figures are",
    };
    if let Some((cause, remedy)) = reason {
        out.push(format!(
            "the generator was the limit: {cause}; {figures} the generator's, not the server's. \
             {remedy}"
        ));
    }
    for (name, drops) in kernel_drops {
        let (what, remedy) = drop_words(name);
        out.push(format!(
            "the kernel of this machine {what} ({name}: {}); {figures} not the server's alone. \
             {remedy}",
            count(*drops)
        ));
    }
}

/// What a counter of the kernel means, and what helps.
fn drop_words(name: &str) -> (&'static str, &'static str) {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&["Listen", "ReqQFull"]) {
        (
            "dropped new connections because a listener's queue was full",
            "Lower --connect-rate, or raise the server's backlog and net.core.somaxconn (and \
             net.ipv4.tcp_max_syn_backlog).",
        )
    } else if has(&["Backlog", "RcvQ", "Prune", "Collapse", "OfoDrop"]) {
        (
            "dropped packets because a socket's receive buffer was full",
            "Use more --threads or fewer connections per thread, or raise net.ipv4.tcp_rmem.",
        )
    } else if has(&["softnet", "Softnet", "squeezed"]) {
        (
            "dropped packets before it looked at them",
            "Raise net.core.netdev_max_backlog, or leave CPUs to the kernel.",
        )
    } else if has(&["Memory", "Orphan"]) {
        ("ran short of memory for sockets", "Raise net.ipv4.tcp_mem, or open fewer connections.")
    } else {
        ("refused or dropped something", "Lower the load, or use another machine.")
    }
}

/// Connections that the server gave up on, and said so.
fn shed(report: &Report, out: &mut Vec<String>) {
    let counts = &report.checks.counts;
    let slow = report.setting.slow_connections as u64;
    if counts.shed == 0 {
        return;
    }
    let lost = format!(
        "the server shed {} and {} with them; those are not missing",
        plural(counts.shed, "connection"),
        match counts.shed_deliveries {
            1 => "1 delivery".to_owned(),
            n => format!("{} deliveries", count(n)),
        }
    );
    out.push(match slow {
        slow if counts.shed <= slow => {
            format!("{lost}. They may all be slow readers ({} by plan).", count(slow))
        }
        slow => format!(
            "{lost}. {} the generator or the network did not read fast enough. Lower the load, use \
             more --threads, or raise the server's outbox.",
            match slow {
                0 => "No connection is slow by plan:".to_owned(),
                1 => "Only 1 connection is slow by plan: for the others".to_owned(),
                n => format!("Only {} connections are slow by plan: for the others", count(n)),
            }
        ),
    });
}

/// Connections that ended before the run did.
fn closes(report: &Report, out: &mut Vec<String>) {
    let closed = report.checks.counts.closed;
    let close = report.closes.iter().filter(|close| close.code != 3008).max_by_key(|c| c.count);
    let Some(close) = close.filter(|_| closed > 0) else { return };
    let remedy = match close.code {
        3013 | 3503 => "; raise the server's client.command_rate_limit or use more --senders",
        1006 => "; see the server's log",
        _ => "",
    };
    out.push(format!(
        "{} ended before the run did, {} of them with {} {:?}{remedy}.",
        plural(closed, "connection"),
        count(close.count),
        close.code,
        close.reason
    ));
}

/// What was wrong with messages and connections, where a cause is known.
fn checks(report: &Report, out: &mut Vec<String>) {
    let counts = &report.checks.counts;
    if counts.refused > 0 {
        out.push(
            "commands were refused; code 111 is the server's client.command_rate_limit: raise it \
             or use more --senders."
                .into(),
        );
    }
    if counts.unsent > 0 {
        out.push(format!(
            "{} due but could not be sent before the end: the server does not read what its \
             senders send. Lower the rate, or use more --senders.",
            match counts.unsent {
                1 => "1 message was".to_owned(),
                n => format!("{} messages were", count(n)),
            }
        ));
    } else if matches!(report.setting.load, Load::Rate(_)) && counts.held_back * 100 > counts.sent {
        out.push(format!(
            "{} % of the messages had to wait because the server did not read their sender's \
             earlier ones; their latency includes that wait.",
            number(counts.held_back as f64 / counts.sent.max(1) as f64 * 100.0)
        ));
    }
    if counts.missing > 0 || counts.unanswered > 0 {
        out.push(
            "deliveries or answers never came; a server that is only slow needs a longer --drain."
                .into(),
        );
    }
    if counts.unrecovered > 0 {
        out.push(format!(
            "{} came back and the server could not give what they had missed: its history is too \
             short or too small for that (history_size, history_ttl), or --away is too long.",
            plural(counts.unrecovered, "connection")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::record::{Close, Record};

    /// The example, changed, warns with all of `wanted` and none of `unwanted`.
    fn check(change: impl FnOnce(&mut Record), wanted: &[&str], unwanted: &[&str]) {
        let mut record = example::record(10);
        change(&mut record);
        let report = example::report(&record);
        let text = report.warnings.join("\n");
        for word in wanted {
            assert!(text.contains(word), "{word} is not in {text:?}");
        }
        for word in unwanted {
            assert!(!text.contains(word), "{word} is in {text:?}");
        }
    }

    #[test]
    fn a_limit_names_its_cause_and_remedy() {
        let late = |record: &mut Record| {
            record.totals.lag.clear();
            record.totals.lag.record(3_000_000);
        };
        check(|r| r.totals.cpu = Some(0.95), &["95 %", "--threads"], &["taskset"]);
        check(late, &["3.0", "ms late", "--threads", "virtual"], &["taskset"]);
        check(
            |r| {
                late(r);
                r.totals.wait = Some(0.3);
            },
            &["waited 30 %", "taskset"],
            &["--threads"],
        );
        check(|r| r.totals.wait = Some(0.3), &["waited 30 %", "taskset"], &["was the limit"]);
        let dropped = |name: &'static str| {
            move |r: &mut Record| {
                r.kernel_drops.insert(name.into(), 7);
            }
        };
        check(dropped("ListenOverflows"), &["ListenOverflows: 7", "somaxconn"], &["tcp_rmem"]);
        check(dropped("TCPBacklogDrop"), &["TCPBacklogDrop: 7", "tcp_rmem"], &["somaxconn"]);
        check(dropped("Unheard"), &["Unheard: 7", "another machine"], &[]);
    }

    #[test]
    fn closes_and_refusals_name_the_remedy() {
        let closed = |code: u16| {
            move |r: &mut Record| {
                r.totals.counts.closed = 3;
                r.totals.closes = vec![Close { code, reason: "why\u{1b}".into(), count: 3 }];
            }
        };
        check(closed(3013), &["3 connections", "command_rate_limit"], &["\u{1b}"]);
        check(closed(3503), &["command_rate_limit"], &[]);
        check(closed(1006), &["server's log"], &[]);
        check(closed(4000), &["4000"], &["command_rate_limit", "log"]);
        check(|r| r.totals.counts.refused = 1, &["111", "--senders"], &[]);
        check(|r| r.totals.counts.unsent = 1, &["1 message was due", "does not read"], &[]);
        check(|r| r.totals.counts.held_back = r.totals.counts.sent, &["100 %", "wait"], &[]);
        check(|r| r.totals.counts.held_back = 1, &[], &["wait"]);
        check(|r| r.totals.counts.missing = 1, &["--drain"], &[]);
        check(|r| r.totals.counts.unrecovered = 2, &["2 connections", "history"], &[]);
    }

    #[test]
    fn shed_connections_are_blamed_on_the_right_side() {
        check(|r| r.totals.counts.shed = 2, &["2 connections", "did not read fast"], &[]);
        let mut record = example::record(10);
        record.totals.counts.shed = 2;
        let mut setting = example::setting();
        setting.slow_connections = 5;
        let environment = example::environment();
        let report = Report::of(setting, &example::bounds(), &record, environment);
        let text = report.warnings.join("\n");
        assert!(text.contains("slow readers") && !text.contains("did not read fast"), "{text}");
    }

    #[test]
    fn few_or_no_measurements() {
        check(|r| r.totals.latency.clear(), &["no delivery was measured"], &[]);
        check(
            |r| {
                r.totals.latency.clear();
                r.totals.latency.record(1_000_000);
            },
            &["only 1 delivery was"],
            &[],
        );
        check(|r| r.interrupted = true, &["interrupted: the figures cover 10.0 of 10.0 s"], &[]);
    }
}
