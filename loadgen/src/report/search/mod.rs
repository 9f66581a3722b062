//! The result of a search, for people and for programs: a table, a small plot, the number.
//!
//! The search itself is `crate::search`; the page is `page.rs`. Pure. Tests: below.

mod page;

use super::figures::{ms, number};
use super::{Quantiles, Search, SearchEnd, Step, Verdict, exit};
use crate::options::Slo;
use crate::search::{median, quantile, quantile_name};
use std::fmt::Write as _;

pub use page::html;

/// Columns of the plot at most.
const PLOT_WIDTH: usize = 60;
/// What helps when the generator was the limit.
const REMEDY: &str = "Use more --threads on idle CPUs, or another machine.";

/// All runs at one rate, put together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) rate: f64,
    pub(super) runs: usize,
    /// Medians of the runs.
    pub(super) deliveries_per_s: f64,
    #[allow(missing_docs)]
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    /// Of the first objective.
    pub(super) judged_ms: f64,
    pub(super) held: bool,
    /// Why the last run that did not hold did not.
    pub(super) why: Option<String>,
}

impl Search {
    /// The program's exit status. That the generator was the limit is no result, whatever rate
    /// held: the server's may be anything above.
    pub fn exit_code(&self) -> u8 {
        match self.end {
            SearchEnd::Found => exit::OK,
            SearchEnd::Generator | SearchEnd::Nothing => exit::CHECK,
            SearchEnd::Interrupted => exit::FAILED,
        }
    }

    /// For programs: one JSON object and a newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For people; the last line says the number.
    pub fn to_text(&self) -> String {
        let points = self.points();
        let mut out = format!(
            "{:>12}{:>6}{:>14}{:>10}{:>10}{:>10}\n",
            "messages/s", "runs", "deliveries/s", "p50", "p99", "p99.9 ms"
        );
        for point in &points {
            let why = match &point.why {
                Some(why) if !point.held => why.as_str(),
                _ => "held",
            };
            let _ = writeln!(
                out,
                "{:>12}{:>6}{:>14}{:>10}{:>10}{:>10}  {why}",
                number(point.rate),
                point.runs,
                number(point.deliveries_per_s),
                ms(point.p50_ms),
                ms(point.p99_ms),
                ms(point.p999_ms),
            );
        }
        out.push('\n');
        self.plot(&points, &mut out);
        let _ = writeln!(out, "{}", self.result());
        out
    }

    /// The result in one line.
    pub(super) fn result(&self) -> String {
        let number_of = |rate: f64| {
            let deliveries = self.deliveries_per_s.map(|n| format!(", {} deliveries/s", number(n)));
            format!("{} messages/s{}", number(rate), deliveries.unwrap_or_default())
        };
        let goal = self.goal();
        match (self.end, self.highest_rate) {
            (SearchEnd::Found, Some(rate)) => {
                format!("highest rate with {goal}: {}", number_of(rate))
            }
            (SearchEnd::Generator, Some(rate)) => format!(
                "the generator was the limit. {REMEDY} Rate that the server does hold with {goal}: \
                 {}",
                number_of(rate)
            ),
            (SearchEnd::Generator, None) => format!(
                "the generator was the limit, even at {}. {REMEDY}",
                self.lowest().map_or("the lowest rate".into(), |rate| format!(
                    "{} messages/s",
                    number(rate)
                ))
            ),
            (SearchEnd::Interrupted, Some(rate)) => {
                format!("interrupted; so far the highest rate with {goal}: {}", number_of(rate))
            }
            (SearchEnd::Interrupted, None) => "interrupted; no rate held so far".into(),
            (SearchEnd::Found | SearchEnd::Nothing, _) => format!(
                "no rate held with {goal}, not even {} messages/s. Give a lower --find-from, or a \
                 larger bound in --slo.",
                number(self.lowest().unwrap_or(0.0))
            ),
        }
    }

    fn lowest(&self) -> Option<f64> {
        self.steps.iter().map(|step| step.rate).reduce(f64::min)
    }

    /// All objectives, as `p99 < 5 ms`.
    pub(super) fn goal(&self) -> String {
        let words =
            |slo: &Slo| format!("{} < {} ms", quantile_name(slo.quantile), number(slo.below_ms));
        let goals: Vec<String> = self.objectives.iter().map(words).collect();
        match goals.is_empty() {
            true => "nothing missing".into(),
            false => goals.join(" and "),
        }
    }

    /// The quantile that is plotted.
    fn judged(&self) -> f64 {
        self.objectives.first().map_or(0.99, |slo| slo.quantile)
    }

    /// Latency against load: a point for each rate, the lowest first. Runs that were interrupted
    /// are left out.
    pub(super) fn points(&self) -> Vec<Point> {
        let whole = |step: &&Step| step.report.verdict != Verdict::Interrupted;
        let mut rates: Vec<f64> = self.steps.iter().filter(whole).map(|step| step.rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let point = |rate: f64| {
            let steps = || self.steps.iter().filter(whole).filter(move |step| step.rate == rate);
            let middle =
                |of: &dyn Fn(&Step) -> f64| median(steps().map(of).collect()).unwrap_or(0.0);
            let latency =
                |of: fn(&Quantiles) -> f64| middle(&|step: &Step| of(&step.report.latency));
            let judged = self.judged();
            Point {
                rate,
                runs: steps().count(),
                deliveries_per_s: middle(&|step| step.report.deliveries_per_s),
                p50_ms: latency(|times| times.p50_ms),
                p99_ms: latency(|times| times.p99_ms),
                p999_ms: latency(|times| times.p999_ms),
                judged_ms: middle(&|step| quantile(&step.report.latency, judged)),
                held: self.highest_rate.is_some_and(|highest| rate <= highest),
                why: steps().filter_map(|step| step.why.clone()).next_back(),
            }
        };
        rates.into_iter().map(point).collect()
    }

    /// One line per rate: `*` held, `x` did not, `|` is the objective. The scale is logarithmic.
    fn plot(&self, points: &[Point], out: &mut String) {
        let bound = self.objectives.first().map(|slo| slo.below_ms);
        let shown = || points.iter().map(|point| point.judged_ms).filter(|ms| *ms > 0.0);
        let all = || shown().chain(bound);
        let (Some(lowest), Some(highest)) = (all().reduce(f64::min), all().reduce(f64::max)) else {
            return;
        };
        if shown().count() < 2 {
            return;
        }
        let names: Vec<String> = points.iter().map(|point| number(point.rate)).collect();
        let name = names.iter().map(String::len).max().unwrap_or(0);
        let width = PLOT_WIDTH.saturating_sub(name + 3).max(10);
        let (from, to) = (lowest.ln() - 0.2, highest.ln() + 0.2);
        let column = |ms: f64| {
            let part = (ms.max(lowest).ln() - from) / (to - from);
            ((part * (width - 1) as f64).round() as usize).min(width - 1)
        };
        let _ =
            writeln!(out, "{} in ms (logarithmic) by messages/s:", quantile_name(self.judged()));
        for (point, rate) in points.iter().zip(names) {
            let mut line = vec![' '; width];
            if let Some(bound) = bound {
                line[column(bound)] = '|';
            }
            if point.judged_ms > 0.0 {
                line[column(point.judged_ms)] = if point.held { '*' } else { 'x' };
            }
            let line: String = line.into_iter().collect();
            let _ = writeln!(out, "  {rate:>name$} {}", line.trim_end());
        }
        let (left, right) = (ms(lowest), ms(highest));
        let gap = (column(highest) + 1).saturating_sub(column(lowest) + left.len() + right.len());
        let indent = name + 3 + column(lowest);
        let _ = writeln!(out, "{:indent$}{left}{:gap$}{right}\n", "", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, SCHEMA};
    use crate::search::search;
    use crate::search::tests::run_at;

    fn found(end_at: f64, run: impl FnMut(f64) -> Report) -> Search {
        let (mut run, runs) = (run, std::cell::Cell::new(0.0));
        let run = |rate| {
            runs.set(runs.get() + 1.0);
            Ok(run(rate))
        };
        search(&["p99<5ms".parse().unwrap()], 100.0, run, || runs.get() >= end_at).unwrap()
    }

    /// A server whose queue grows towards 1,000 messages a second.
    pub(super) fn queue(rate: f64) -> Report {
        run_at(rate, 0.5 / (1.0 - rate / 1_000.0).max(0.004))
    }

    pub(super) fn example() -> Search {
        found(f64::MAX, queue)
    }

    #[test]
    fn the_exit_status_says_whether_the_number_is_the_servers() {
        let check = |search: Search, want: u8, last: &str| {
            assert_eq!(search.exit_code(), want, "{last}");
            let text = search.to_text();
            let line = text.lines().last().unwrap();
            assert!(line.contains(last), "{last:?} is not in {line:?}");
        };
        let limited = |rate: f64| {
            let mut report = run_at(rate, 1.0);
            report.verdict = if rate > 150.0 { Verdict::Invalid } else { Verdict::Ok };
            report
        };
        check(example(), 0, "highest rate with p99 < 5 ms: 872 messages/s, 87,200 deliveries/s");
        check(found(f64::MAX, limited), 3, "--threads");
        check(found(f64::MAX, limited), 3, "does hold with p99 < 5 ms: 147 messages/s");
        let never = |rate: f64| Report { verdict: Verdict::Invalid, ..run_at(rate, 1.0) };
        check(found(f64::MAX, never), 3, "even at 1.6 messages/s");
        check(found(f64::MAX, |rate| run_at(rate, 9.0)), 3, "not even 1.6 messages/s");
        check(found(2.0, queue), 1, "so far the highest rate with p99 < 5 ms: 200 messages/s");
        check(found(0.0, queue), 1, "no rate held so far");
    }

    #[test]
    fn runs_at_a_rate_are_one_point() {
        let mut search = example();
        search.steps.truncate(0);
        for (rate, p99, held) in
            [(200.0, 7.0, false), (100.0, 1.0, true), (200.0, 3.0, true), (200.0, 9.0, false)]
        {
            let why = (!held).then(|| format!("p99 was {p99} ms"));
            search.steps.push(Step { rate, held, why, report: run_at(rate, p99) });
        }
        let stopped = Report { verdict: Verdict::Interrupted, ..run_at(300.0, 1.0) };
        search.steps.push(Step { rate: 300.0, held: false, why: None, report: stopped });
        search.highest_rate = Some(100.0);
        let points = search.points();
        assert_eq!(points.iter().map(|p| p.rate).collect::<Vec<_>>(), [100.0, 200.0]);
        assert_eq!((points[1].runs, points[1].p99_ms, points[1].held), (3, 7.0, false));
        assert_eq!(points[1].why.as_deref(), Some("p99 was 9 ms"));
        assert_eq!((points[0].held, points[0].p50_ms, points[0].judged_ms), (true, 0.4, 1.0));
    }

    #[test]
    fn the_table_and_the_plot() {
        let text = example().to_text();
        let line = |begin: &str| text.lines().find(|l| l.trim_start().starts_with(begin)).unwrap();
        assert!(line("100 ").ends_with("  held"), "{text}");
        assert!(line("1,600 ").ends_with("  p99 was 125.0 ms, not below 5 ms"), "{text}");
        let plot: Vec<&str> = text.split("by messages/s:\n").nth(1).unwrap().lines().collect();
        assert!(plot.iter().take_while(|l| !l.is_empty()).all(|l| l.chars().count() <= PLOT_WIDTH));
        // All stars are left of the bound, all crosses right of it.
        let bound = plot[0].find('|').unwrap();
        for row in plot.iter().take_while(|row| row.contains('|')) {
            let sides = (row.find('*'), row.find('x'));
            assert!(sides.0.is_some_and(|at| at < bound) || sides.1.is_some_and(|at| at > bound));
        }
        assert!(text.contains("p99 in ms (logarithmic)"));
    }

    #[test]
    fn nothing_to_plot_is_no_fault() {
        let mut search = example();
        for step in &mut search.steps {
            step.report.latency = Quantiles::default();
        }
        assert!(!search.to_text().contains("logarithmic"));
        search.objectives.clear();
        search.steps.clear();
        assert!(search.to_text().contains("nothing missing"));
        assert!(html(&search).is_ok());
    }

    #[test]
    fn json_is_read_again() {
        let search = example();
        let json = search.to_json().unwrap();
        assert!(json.ends_with("}\n"));
        let read: Search = serde_json::from_str(&json).unwrap();
        assert_eq!((read.highest_rate, read.end), (search.highest_rate, search.end));
        assert_eq!(read.to_text(), search.to_text());
        assert_eq!(search.schema, SCHEMA);
    }
}
