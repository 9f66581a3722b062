//! Which plots a report has, and what is in them. Long runs are drawn with fewer points: seconds
//! are put together. Pure; `chart.rs` draws. Tests: below, and in `html.rs`.

use super::axis::{Axis, nines};
use super::chart::{Cells, Chart, Content, Line};
use super::{Quantiles, Report};
use crate::record::{Record, Times};

/// Points of a line over time, and rows of a table over time.
pub(super) const POINTS_MAX: usize = 400;
/// Points of a curve of percentiles.
const CURVE_POINTS: usize = 150;
/// Columns of a heat map.
const COLUMNS_MAX: usize = 200;
/// Rows of a heat map.
const ROWS: usize = 60;
/// Shorter times are drawn as if they were so long: nothing is measured finer.
const SHORTEST_MS: f64 = 0.001;

/// Some seconds put together.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) from_s: u32,
    /// How many.
    pub(super) seconds: u32,
    pub(super) sent_per_s: f64,
    pub(super) delivered_per_s: f64,
    pub(super) latency: Quantiles,
    /// Mean over the span.
    pub(super) server_cpu_percent: Option<f64>,
    /// At its end.
    pub(super) server_rss_bytes: Option<u64>,
}

/// The run in at most [`POINTS_MAX`] spans of equal length (the last may be shorter).
pub(super) fn spans(report: &Report, record: &Record) -> Vec<Span> {
    let length = record.seconds.len().div_ceil(POINTS_MAX).max(1);
    let mut latency = Times::new();
    let mut out = Vec::new();
    for (number, seconds) in record.seconds.chunks(length).enumerate() {
        latency.clear();
        seconds.iter().for_each(|second| latency.add(&second.latency));
        let n = seconds.len() as f64;
        let rows = report.seconds.iter().skip(number * length).take(length);
        let cpu: Vec<f64> = rows.clone().filter_map(|row| row.server_cpu_percent).collect();
        out.push(Span {
            from_s: seconds.first().map_or(0, |second| second.index),
            seconds: seconds.len() as u32,
            sent_per_s: seconds.iter().map(|second| second.sent).sum::<u64>() as f64 / n,
            delivered_per_s: seconds.iter().map(|second| second.delivered).sum::<u64>() as f64 / n,
            latency: Quantiles::of(&latency),
            server_cpu_percent: (!cpu.is_empty())
                .then(|| cpu.iter().sum::<f64>() / cpu.len() as f64),
            server_rss_bytes: rows.filter_map(|row| row.server_rss_bytes).next_back(),
        });
    }
    out
}

/// All that there is something to see in.
pub(super) fn plots(report: &Report, record: &Record, spans: &[Span]) -> Vec<Chart> {
    let totals = &record.totals;
    let mut plots = Vec::new();
    plots.extend(percentiles(
        "Latency by percentile",
        "So many percent of the deliveries took at most so long. Latency counts from when a \
         message was due, service from when it was sent: where the lines part, messages had to \
         wait before they could be sent.",
        &[("latency", &totals.latency), ("service", &totals.service)],
    ));
    if !spans.is_empty() {
        plots.push(latency_over_time(report, spans));
        plots.push(throughput(report, spans));
    }
    plots.extend(heat(record, &totals.latency));
    plots.extend(server(report, record));
    plots.extend(percentiles(
        "Opening and joining",
        "So many percent of the connections had upgraded to WebSocket (handshake), or had joined \
         their room (join), so long after they began to connect.",
        &[("handshake", &totals.handshake), ("join", &totals.join)],
    ));
    plots.extend(percentiles(
        "Lag of the generator",
        "So many percent of the messages left at most so late. If much of this is as large as the \
         latency, the generator measured itself.",
        &[("lag", &totals.lag)],
    ));
    plots
}

/// Curves of percentiles; none if nothing was measured.
fn percentiles(
    title: &'static str,
    caption: &str,
    curves: &[(&'static str, &Times)],
) -> Option<Chart> {
    let measured = curves.iter().map(|(_, times)| times.histogram().len()).max().unwrap_or(0);
    if measured == 0 {
        return None;
    }
    let x = Axis::percentiles(measured);
    let mut lines = Vec::new();
    for (name, times) in curves.iter().filter(|(_, times)| !times.histogram().is_empty()) {
        let times = times.histogram();
        // Beyond that, there is nothing but the maximum.
        let last = nines(1.0 - 1.0 / times.len() as f64).min(x.to);
        let points = (0..=CURVE_POINTS).map(|n| {
            let at = x.to * n as f64 / CURVE_POINTS as f64;
            let ns = match at >= last {
                true => times.max(),
                false => times.value_at_quantile(1.0 - 10f64.powf(-at)),
            };
            (at, (ns as f64 / 1e6).max(SHORTEST_MS))
        });
        lines.push(Line { name, points: points.collect() });
    }
    let values = lines.iter().flat_map(|line| &line.points).map(|(_, ms)| *ms);
    let y = Axis::fitting("milliseconds", values);
    Some(Chart { title, caption: caption.into(), x, y, end: None, content: Content::Lines(lines) })
}

/// From the start of the window to the end of the last span.
fn time_axis(spans: &[Span]) -> Axis {
    let end = spans.last().map_or(0, |span| span.from_s + span.seconds);
    Axis::linear("seconds", 0.0, f64::from(end))
}

/// One value of each span, at its middle.
fn line(name: &'static str, spans: &[Span], value: impl Fn(&Span) -> f64) -> Line {
    let middle = |span: &Span| f64::from(span.from_s) + f64::from(span.seconds) / 2.0;
    Line { name, points: spans.iter().map(|span| (middle(span), value(span))).collect() }
}

/// Lines over time on a fitting scale.
fn over_time(
    report: &Report,
    spans: &[Span],
    title: &'static str,
    caption: &str,
    unit: &str,
    lines: Vec<Line>,
) -> Chart {
    let values = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let y = Axis::fitting(unit, values);
    let x = time_axis(spans);
    let drain = match report.measured_s < x.to {
        true => " The vertical line is the window's end.",
        false => "",
    };
    Chart {
        title,
        caption: format!("{caption}{drain}"),
        x,
        y,
        end: Some(report.measured_s),
        content: Content::Lines(lines),
    }
}

/// `second`, or `5 seconds`.
fn each(spans: &[Span]) -> String {
    match spans.first().map_or(1, |span| span.seconds) {
        1 => "second".into(),
        n => format!("{n} seconds"),
    }
}

fn latency_over_time(report: &Report, spans: &[Span]) -> Chart {
    let pick = |value: fn(&Quantiles) -> f64| {
        move |span: &Span| match span.latency.count {
            0 => f64::NAN,
            _ => value(&span.latency).max(SHORTEST_MS),
        }
    };
    let lines = vec![
        line("p50", spans, pick(|t| t.p50_ms)),
        line("p99", spans, pick(|t| t.p99_ms)),
        line("maximum", spans, pick(|t| t.max_ms)),
    ];
    let caption = format!(
        "Latency of the deliveries that came in each {}: half took less than p50, one in a hundred \
         more than p99. A step or a slope is a server that does not keep up.",
        each(spans)
    );
    over_time(report, spans, "Latency over time", &caption, "milliseconds", lines)
}

fn throughput(report: &Report, spans: &[Span]) -> Chart {
    let lines = vec![
        line("delivered", spans, |span| span.delivered_per_s),
        line("sent", spans, |span| span.sent_per_s),
    ];
    let caption = format!(
        "Messages sent and deliveries received, the mean of each {}. A dip that is made up for \
         shortly after was a pause.",
        each(spans)
    );
    over_time(report, spans, "Throughput over time", &caption, "per second", lines)
}

/// Every delivery by its second and latency; none if there was none.
fn heat(record: &Record, latency: &Times) -> Option<Chart> {
    let all = latency.histogram();
    if all.is_empty() {
        return None;
    }
    let ms = |ns: u64| (ns as f64 / 1e6).max(SHORTEST_MS);
    let y = Axis::log("milliseconds", ms(all.min()), ms(all.max()));
    let per_column = record.seconds.len().div_ceil(COLUMNS_MAX).max(1);
    let mut columns = Vec::new();
    for seconds in record.seconds.chunks(per_column) {
        let mut column = vec![0; ROWS];
        for value in seconds.iter().flat_map(|second| second.latency.histogram().iter_recorded()) {
            let at = ms(value.value_iterated_to()).log10();
            let row = (at - y.from) / (y.to - y.from) * ROWS as f64;
            column[(row.max(0.0) as usize).min(ROWS - 1)] += value.count_at_value();
        }
        columns.push(column);
    }
    let cells = Cells { columns };
    let end = record.seconds.chunks(per_column).len() * per_column;
    Some(Chart {
        title: "Latency heat map",
        caption: "Every delivery by when it came and how long it took; the darker (in the dark: \
                  the brighter), the more, in steps of a logarithm. Bands show what an average \
                  hides: two paths, or pauses."
            .into(),
        x: Axis::linear("seconds", 0.0, end as f64),
        y,
        end: None,
        content: Content::Cells(cells),
    })
}

/// CPU and memory of the server process, from before the window on.
fn server(report: &Report, record: &Record) -> Vec<Chart> {
    let per_point = record.server.len().div_ceil(POINTS_MAX).max(1);
    let mut looks: Vec<_> = record.server.iter().step_by(per_point).collect();
    // The last one, however they are counted.
    if let Some(last) = record.server.last()
        && looks.last().is_none_or(|look| look.at_s < last.at_s)
    {
        looks.push(last);
    }
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else { return Vec::new() };
    if last.at_s <= first.at_s {
        return Vec::new();
    }
    let cpu = looks.windows(2).filter_map(|pair| {
        let wall_s = pair[1].at_s - pair[0].at_s;
        let middle = (pair[0].at_s + pair[1].at_s) / 2.0;
        (wall_s > 0.0).then(|| (middle, (pair[1].cpu_s - pair[0].cpu_s).max(0.0) / wall_s * 100.0))
    });
    let memory = looks.iter().map(|look| (look.at_s, look.rss_bytes as f64 / 1_048_576.0));
    let x = Axis::linear("seconds", first.at_s, last.at_s);
    let chart = |title, caption: &str, unit, name, points: Vec<(f64, f64)>| Chart {
        title,
        caption: caption.into(),
        x: x.clone(),
        y: Axis::from_zero(unit, points.iter().map(|(_, value)| *value).fold(0.0, f64::max)),
        end: Some(report.measured_s),
        content: Content::Lines(vec![Line { name, points }]),
    };
    vec![
        chart(
            "CPU of the server",
            "CPU time of all of the server's threads; 100 % is one CPU. The window begins at 0; \
             the vertical line is its end.",
            "percent of a CPU",
            "CPU",
            cpu.collect(),
        ),
        chart(
            "Memory of the server",
            "Resident memory. If it grows for as long as messages flow, something is not given \
             back.",
            "MiB",
            "memory",
            memory.collect(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::record::Second;

    fn titles(record: &Record) -> Vec<&'static str> {
        let report = example::report(record);
        let spans = spans(&report, record);
        plots(&report, record, &spans).iter().map(|plot| plot.title).collect()
    }

    #[test]
    fn only_what_was_measured_is_drawn() {
        let all = titles(&example::record(3));
        assert_eq!(all.len(), 8, "{all:?}");
        assert_eq!(titles(&Record::default()), Vec::<&str>::new());
        let mut record = example::record(3);
        record.server.clear();
        record.totals.lag.clear();
        let fewer = titles(&record);
        assert_eq!(
            fewer,
            &[
                "Latency by percentile",
                "Latency over time",
                "Throughput over time",
                "Latency heat map",
                "Opening and joining"
            ]
        );
    }

    #[test]
    fn long_runs_are_put_together_without_loss() {
        // Few histograms with something in them: they are large.
        let mut record = Record { measured_s: 3_600.0, ..Record::default() };
        let second = |index| Second { index, sent: 10, delivered: 100, ..Second::default() };
        record.seconds = (0..900).map(second).collect();
        record.seconds[899].latency.record(5_000_000);
        let report = example::report(&record);
        let spans = spans(&report, &record);
        assert_eq!(spans.len(), 300);
        assert_eq!(spans.iter().map(|span| span.seconds).sum::<u32>(), 900);
        assert!(spans.iter().all(|span| (span.sent_per_s, span.delivered_per_s) == (10.0, 100.0)));
        assert_eq!((spans[299].latency.count, spans[0].latency.count), (1, 0));
        let latency = record.seconds[899].latency.clone();
        let Some(Chart { content: Content::Cells(cells), .. }) = heat(&record, &latency) else {
            panic!("no heat map")
        };
        assert_eq!((cells.columns.len(), cells.highest()), (180, 1));
        assert_eq!(cells.columns.iter().flatten().sum::<u64>(), 1);
    }
}
