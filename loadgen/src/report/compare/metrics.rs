//! The figures that are compared: where they are in a report, and how to print them.

use super::super::figures::{bytes, ms, number};
use super::super::{Report, SecondRow};
use serde::Serialize;

/// A figure.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) better: Better,
    /// Of a run. None: the report has none.
    pub(super) of: fn(&Report) -> Option<f64>,
    /// Of one of its seconds, if it has it second by second.
    pub(super) second: Option<fn(&SecondRow) -> Option<f64>>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    #[allow(missing_docs)]
    #[serde(rename = "1/s")]
    PerSecond,
    #[allow(missing_docs)]
    #[serde(rename = "ms")]
    Milliseconds,
    #[allow(missing_docs)]
    #[serde(rename = "s")]
    Seconds,
    #[allow(missing_docs)]
    #[serde(rename = "ns")]
    Nanoseconds,
    #[allow(missing_docs)]
    #[serde(rename = "%")]
    Percent,
    #[allow(missing_docs)]
    #[serde(rename = "bytes")]
    Bytes,
}

/// Which way is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    Higher,
    Lower,
    /// It depends on the load.
    Neither,
}

impl Unit {
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Unit::PerSecond => number(value),
            Unit::Milliseconds => format!("{} ms", ms(value)),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Nanoseconds => format!("{} ns", number(value)),
            Unit::Percent => format!("{} %", number(value)),
            Unit::Bytes => bytes(value),
        }
    }
}

macro_rules! quantile {
    ($name:literal, $times:expr, $field:ident) => {
        quantile!($name, $times, $field, None)
    };
    ($name:literal, $times:expr, $field:ident, $second:expr) => {
        Metric {
            name: $name,
            unit: Unit::Milliseconds,
            better: Better::Lower,
            of: |report| {
                let times = $times(report);
                (times.count > 0).then_some(times.$field)
            },
            second: $second,
        }
    };
}

/// All of them, in the order in which they are shown.
pub(super) const METRICS: [Metric; 15] = [
    Metric {
        name: "deliveries/s",
        unit: Unit::PerSecond,
        better: Better::Higher,
        of: |report| Some(report.deliveries_per_s),
        second: Some(|row| Some(row.delivered as f64)),
    },
    Metric {
        name: "sent/s",
        unit: Unit::PerSecond,
        better: Better::Higher,
        of: |report| Some(report.sent_per_s),
        second: Some(|row| Some(row.sent as f64)),
    },
    quantile!("latency p50", latency, p50_ms, Some(|row| measured(row, row.p50_ms))),
    quantile!("latency p90", latency, p90_ms),
    quantile!("latency p99", latency, p99_ms, Some(|row| measured(row, row.p99_ms))),
    quantile!("latency p99.9", latency, p999_ms, Some(|row| measured(row, row.p999_ms))),
    quantile!("latency max", latency, max_ms, Some(|row| measured(row, row.max_ms))),
    quantile!("service p99", |report: &Report| report.service, p99_ms),
    quantile!("handshake p99", |report: &Report| report.connect.handshake, p99_ms),
    Metric {
        name: "all joined after",
        unit: Unit::Seconds,
        better: Better::Lower,
        of: |report| Some(report.connect.total_s),
        second: None,
    },
    Metric {
        name: "server CPU per delivery",
        unit: Unit::Nanoseconds,
        better: Better::Lower,
        of: |report| report.server.as_ref().map(|server| server.ns_per_delivery),
        second: Some(|row| {
            let percent = row.server_cpu_percent.filter(|_| row.delivered > 0)?;
            Some(percent * 1e7 / row.delivered as f64)
        }),
    },
    Metric {
        name: "server CPU",
        unit: Unit::Percent,
        better: Better::Neither,
        of: |report| report.server.as_ref().map(|server| server.cpu_percent),
        second: Some(|row| row.server_cpu_percent),
    },
    Metric {
        name: "server memory",
        unit: Unit::Bytes,
        better: Better::Lower,
        of: |report| report.server.as_ref().map(|server| server.rss_bytes_max as f64),
        second: Some(|row| row.server_rss_bytes.map(|bytes| bytes as f64)),
    },
    Metric {
        name: "memory per connection",
        unit: Unit::Bytes,
        better: Better::Lower,
        of: |report| report.server.as_ref()?.rss_bytes_per_connection,
        second: None,
    },
    Metric {
        name: "generator CPU per delivery",
        unit: Unit::Nanoseconds,
        better: Better::Neither,
        of: |report| report.generator.cpu_ns_per_delivery,
        second: None,
    },
];

fn latency(report: &Report) -> super::super::Quantiles {
    report.latency
}

/// A second without deliveries has no latency.
fn measured(row: &SecondRow, ms: f64) -> Option<f64> {
    (row.delivered > 0).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn seconds_are_about_the_same_as_the_run() {
        let report = example::report(&example::record(20));
        for metric in &METRICS {
            let Some(second) = metric.second else { continue };
            let whole = (metric.of)(&report).unwrap();
            let row = second(&report.seconds[3]).unwrap();
            // The whole run has a slow second; its maximum has nothing to do with others.
            if metric.name.starts_with("latency") && metric.name != "latency p50" {
                assert!(row > 0.0 && row <= whole, "{}: {row} {whole}", metric.name);
            } else {
                assert!(row > whole * 0.5 && row < whole * 2.0, "{}: {row} {whole}", metric.name);
            }
        }
        assert!(METRICS.iter().all(|metric| (metric.of)(&report).is_some()));
    }

    #[test]
    fn what_was_not_measured_is_not_compared() {
        let report = example::report(&crate::record::Record::default());
        let there: Vec<&str> = METRICS
            .iter()
            .filter(|metric| (metric.of)(&report).is_some())
            .map(|metric| metric.name)
            .collect();
        assert_eq!(there, ["deliveries/s", "sent/s", "all joined after"]);
    }
}
