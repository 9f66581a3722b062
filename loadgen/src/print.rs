//! A report for people. Tests: in `report.rs`, which sees what every kind of trouble looks like.

use crate::options::Load;
use crate::report::{Report, Verdict};
use std::fmt::Write as _;

impl Report {
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
            "  members     {} in {} {}, {} of them send; joined in {:.2} s",
            count(setting.connections as u64),
            count(setting.rooms as u64),
            if setting.rooms == 1 { "room" } else { "rooms" },
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
        write!(out, "  generator   {cpu} CPU (busiest of its {} threads)", setting.threads)?;
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
            writeln!(
                out,
                "  closed      {} x {} {}",
                close.count,
                close.code,
                close.reason.escape_debug()
            )?;
        }
        for example in &self.examples {
            writeln!(out, "  example     {example}")?;
        }
        if !self.warnings.is_empty() {
            writeln!(out)?;
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

/// `1234567` as `1,234,567`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
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
