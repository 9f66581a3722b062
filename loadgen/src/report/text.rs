//! A report for people at a terminal, at most 100 columns wide. What other programs said (reasons,
//! faults, addresses) is printed with its control characters escaped. Tests: below, and in
//! `judge.rs`, which sees what every kind of trouble looks like.

use super::figures::{arrivals, bytes, count, load, ms, number, plural, room_sizes, sizes};
use super::judge::troubles;
use super::{Quantiles, Report, Verdict};
use std::fmt::Write as _;

/// Columns at most.
const WIDTH: usize = 100;
/// Columns of a line's name, with the spaces around it.
const INDENT: usize = 14;

impl Report {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.head(&mut out);
        out.push('\n');
        self.times(&mut out);
        out.push('\n');
        self.rates(&mut out);
        self.checked(&mut out);
        if !self.warnings.is_empty() {
            out.push('\n');
        }
        for warning in &self.warnings {
            line(&mut out, "warning", warning);
        }
        out.push('\n');
        line(&mut out, "result", self.verdict_words());
        out
    }

    /// The verdict in one line.
    pub(crate) fn verdict_words(&self) -> &'static str {
        let shed = self.checks.counts.shed > 0;
        match self.verdict {
            Verdict::Ok if shed => {
                "OK: every delivery came exactly once and in order, but for connections that the \
                 server shed"
            }
            Verdict::Ok => "OK: every delivery came exactly once and in order",
            Verdict::Failed => "FAILED: not all that was owed came exactly once and in order",
            Verdict::Invalid => "INVALID: the generator was the limit",
            Verdict::Interrupted => "INTERRUPTED: what was sent came exactly once and in order",
        }
    }

    /// All kinds of times that were measured, and the latency in any case, with their names.
    pub(crate) fn all_times(&self) -> impl Iterator<Item = (&'static str, Quantiles)> {
        let kinds = [
            ("latency", Some(self.latency)),
            ("service", Some(self.service)),
            ("lag", Some(self.generator.lag)),
            ("handshake", Some(self.connect.handshake)),
            ("join", Some(self.connect.join)),
            ("back again", self.unrest.as_ref().map(|unrest| unrest.back)),
            ("presence", self.presence),
            ("history", self.history),
        ];
        kinds.into_iter().filter_map(|(name, times)| {
            times.filter(|t| t.count > 0 || name == "latency").map(|times| (name, times))
        })
    }

    fn head(&self, out: &mut String) {
        let setting = &self.setting;
        for url in &setting.urls {
            let _ = writeln!(out, "{}", plain(url));
        }
        line(
            out,
            "members",
            &format!(
                "{} in {} ({}), {} of them send; {:?} dialect, {:?}",
                count(setting.connections as u64),
                plural(setting.rooms as u64, "room"),
                room_sizes(setting.room_sizes, setting.room_max),
                count(setting.senders as u64),
                setting.dialect,
                setting.encoding,
            )
            .to_lowercase(),
        );
        line(
            out,
            "load",
            &format!(
                "{}, {}, {}; {:.1} s measured",
                load(setting.load),
                arrivals(setting.arrivals),
                sizes(setting.payload_bytes),
                self.measured_s
            ),
        );
        line(
            out,
            "connect",
            &format!(
                "all joined after {:.2} s, {} connections/s",
                self.connect.total_s,
                number(self.connect.per_s)
            ),
        );
    }

    /// All times that were measured, one below the other.
    fn times(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "  {:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>16}",
            "ms", "p50", "p90", "p99", "p99.9", "max", "mean", "measured"
        );
        for (name, t) in self.all_times() {
            let Quantiles { count: n, mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = t;
            let _ = write!(out, "  {name:<12}");
            for figure in [p50_ms, p90_ms, p99_ms, p999_ms, max_ms, mean_ms] {
                let _ = write!(out, "{:>10}", ms(figure));
            }
            let _ = writeln!(out, "{:>16}", count(n));
        }
    }

    fn rates(&self, out: &mut String) {
        line(out, "sent", &format!("{:>12} messages/s", number(self.sent_per_s)));
        line(out, "delivered", &format!("{:>12} deliveries/s", number(self.deliveries_per_s)));
        if let Some(server) = &self.server {
            line(
                out,
                "server",
                &format!(
                    "{} ns of CPU per delivery; {:.0} % CPU ({:.0} % user, {:.0} % system)",
                    number(server.ns_per_delivery),
                    server.cpu_percent,
                    server.user_percent,
                    server.system_percent
                ),
            );
            let grown = server.rss_bytes_per_connection.map(|n| {
                let n = bytes(n);
                format!(", {n} more per connection")
            });
            line(
                out,
                "",
                &format!(
                    "{} resident at most{}; {} voluntary, {} forced switches/s",
                    bytes(server.rss_bytes_max as f64),
                    grown.unwrap_or_default(),
                    number(server.voluntary_switches_per_s),
                    number(server.involuntary_switches_per_s)
                ),
            );
        }
        let generator = &self.generator;
        let percent = |part: Option<f64>| part.map_or("unknown".into(), |p| format!("{p:.0} %"));
        let threads = self.setting.processes.max(1) * self.setting.threads;
        let mut words = format!(
            "{} CPU (busiest of {})",
            percent(generator.cpu_percent),
            plural(threads as u64, "thread")
        );
        if let Some(wait) = generator.wait_percent.filter(|wait| *wait >= 0.5) {
            let _ = write!(words, ", waited {wait:.0} % of the time");
        }
        if let Some(ns) = generator.cpu_ns_per_delivery {
            let _ = write!(words, ", {} ns of CPU per delivery", number(ns));
        }
        line(out, "generator", &words);
        if generator.held_back > 0 {
            line(out, "", &format!("{} messages held back", count(generator.held_back)));
        }
        if let Some(unrest) = &self.unrest {
            let mut words =
                format!("{} left, {} came back", count(unrest.left), count(unrest.returned));
            if self.setting.recover {
                let _ = write!(
                    words,
                    ", {} of them recovered ({} deliveries), {} could not",
                    count(unrest.recovered),
                    count(unrest.recovered_deliveries),
                    count(unrest.unrecovered)
                );
            }
            line(out, "unrest", &words);
        }
    }

    fn checked(&self, out: &mut String) {
        let (checks, counts) = (&self.checks, &self.checks.counts);
        line(
            out,
            "checked",
            &format!(
                "{} messages, {} deliveries owed, {} came",
                count(counts.sent),
                count(checks.owed),
                count(counts.delivered)
            ),
        );
        for (what, number) in troubles(counts) {
            if number > 0 {
                line(out, "", &format!("{:>12} {what}", count(number)));
            }
        }
        if counts.shed > 0 {
            line(
                out,
                "shed",
                &format!(
                    "{} by the server, {} deliveries with them",
                    plural(counts.shed, "connection"),
                    count(counts.shed_deliveries)
                ),
            );
        }
        for close in &self.closes {
            line(
                out,
                "closed",
                &format!("{} x {} {}", count(close.count), close.code, plain(&close.reason)),
            );
        }
        for fault in &self.faults {
            line(out, "fault", &plain(fault));
        }
    }
}

/// Without control characters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// Appends a named line, broken between words (or within one that is too long) to fit.
fn line(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, "  {name:<width$}", width = INDENT - 2);
    let mut column = INDENT;
    let fresh_line = |out: &mut String| {
        out.push('\n');
        out.push_str(&" ".repeat(INDENT));
        INDENT
    };
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if column + length > WIDTH && column > INDENT {
            out.truncate(out.trim_end().len());
            column = fresh_line(out);
        }
        for c in word.chars() {
            if column == WIDTH {
                if c == ' ' {
                    continue;
                }
                column = fresh_line(out);
            }
            out.push(c);
            column += 1;
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::record::Close;
    use crate::report::Unrest;

    #[test]
    fn a_calm_run() {
        let text = example::report(&example::record(10)).to_text();
        for words in [
            "ws://127.0.0.1:8000\n",
            "1,000 in 10 rooms (100 each at most), 100 of them send; ringchat dialect, json",
            "200 messages/s due, evenly spaced, 128 bytes; 10.0 s measured",
            "200 messages/s\n",
            "2,000 deliveries/s\n",
            "2,000 messages, 20,000 deliveries owed, 20,000 came",
            "20 % CPU (busiest of 2 threads)",
            "\n  result      OK: every delivery came exactly once and in order\n",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        for word in ["unrest", "shed", "warning", "missing", "fault", "closed", "held back"] {
            assert!(!text.contains(word), "{word} is in\n{text}");
        }
    }

    #[test]
    fn trouble_is_listed_and_nothing_is_wider_than_it_may_be() {
        let mut record = example::record(10);
        record.totals.counts.missing = 1_234;
        record.totals.counts.shed = 3;
        record.totals.faults = vec!["long ".repeat(60), "x".repeat(250), "a\u{1b}[2Jb".into()];
        record.totals.closes =
            vec![Close { code: 3008, reason: "slow\r\nreader".into(), count: 1_000 }];
        record.totals.cpu = Some(0.97);
        let mut report = example::report(&record);
        report.unrest = Some(Unrest { left: 7, returned: 6, ..Unrest::default() });
        report.setting.recover = true;
        let text = report.to_text();
        for words in [
            "       1,234 missing\n",
            "3 connections by the server",
            "1,000 x 3008 slow\\r\\nreader",
            "a\\u{1b}[2Jb",
            "7 left, 6 came back, 0 of them recovered",
            "FAILED",
            "97 %",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(WIDTH), "{widest:?}\n{text}");
        assert!(!text.contains('\u{1b}') && !text.lines().any(|line| line.ends_with(' ')));
    }

    #[test]
    fn long_words_are_broken_without_loss() {
        let mut out = String::new();
        let word = "0123456789".repeat(30);
        line(&mut out, "x", &word);
        let joined: String = out.split_whitespace().skip(1).collect();
        assert_eq!(joined, word);
    }
}
