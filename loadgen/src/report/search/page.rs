//! A search as one page, with the look and the rules of a run's page (`html.rs`).

use super::super::axis::Axis;
use super::super::chart::{Chart, Content, Curves, Line};
use super::super::figures::{ms, number};
use super::super::page::Page;
use super::super::{Search, SearchEnd};
use super::Point;

/// The page: the number, latency against load, all runs.
///
/// Errors: the plot could not be drawn, in words.
pub fn html(search: &Search) -> Result<String, String> {
    let points = search.points();
    let mut page = Page::default();
    let first = search.steps.first().map(|step| &step.report);
    let urls = first.map(|report| report.setting.urls.join(", ")).unwrap_or_default();
    page.begin(&format!("Highest load on {urls}"));
    if let Some(report) = first {
        let words = format!("{}, {}", report.environment.started, search.goal());
        page.element("p class=\"quiet\"", &words);
    }
    let class = match search.end {
        SearchEnd::Found => "ok",
        SearchEnd::Generator => "invalid",
        SearchEnd::Nothing => "failed",
        SearchEnd::Interrupted => "interrupted",
    };
    page.element(&format!("p class=\"verdict {class}\""), &search.result());
    page.numbers(search, &points);
    if let Some(chart) = curves(search, &points) {
        page.raw("<h2>Plot</h2>\n<div class=\"grid\">\n");
        page.figure(&chart)?;
        page.raw("</div>\n");
    }
    page.rates(&points);
    page.runs(search);
    let told = |rate: f64| search.steps.iter().find(|step| step.held && step.rate == rate);
    if let Some(report) = search.highest_rate.and_then(told).map(|step| &step.report).or(first) {
        page.raw("<h2>Details</h2>\n<div class=\"grid\">\n");
        page.setting(report);
        page.environment(report);
        page.raw("</div>\n");
    }
    page.raw("</body>\n</html>\n");
    Ok(page.finish())
}

impl Page {
    fn numbers(&mut self, search: &Search, points: &[Point]) {
        let highest = points.iter().find(|point| Some(point.rate) == search.highest_rate);
        let mut cards = Vec::new();
        if let (Some(rate), Some(point)) = (search.highest_rate, highest) {
            cards.push(("highest rate that held", number(rate), "/s"));
            cards.push(("delivered at it", number(point.deliveries_per_s), "/s"));
            cards.push(("latency p50 at it", ms(point.p50_ms), "ms"));
            cards.push(("latency p99 at it", ms(point.p99_ms), "ms"));
            cards.push(("latency p99.9 at it", ms(point.p999_ms), "ms"));
        }
        cards.push(("runs", search.steps.len().to_string(), ""));
        self.raw("<dl class=\"cards\">\n");
        for (name, value, unit) in cards {
            self.raw("<div>");
            self.element("dt", name);
            self.raw("<dd>");
            self.text(&value);
            self.raw(" ");
            self.element("small", unit);
            self.raw("</dd></div>\n");
        }
        self.raw("</dl>\n");
    }

    fn rates(&mut self, points: &[Point]) {
        self.element("h2", "Rates");
        self.raw("<div class=\"box\">");
        let columns = ["messages/s", "runs", "deliveries/s", "p50 ms", "p99 ms", "p99.9 ms", ""];
        self.table("numbers", &columns);
        for point in points {
            let why = if point.held { Some("held") } else { point.why.as_deref() };
            let cells = [
                number(point.rate),
                point.runs.to_string(),
                number(point.deliveries_per_s),
                ms(point.p50_ms),
                ms(point.p99_ms),
                ms(point.p999_ms),
                why.unwrap_or_default().to_owned(),
            ];
            self.row(if point.held { "" } else { "bad" }, &cells);
        }
        self.raw("</tbody></table></div>\n");
    }

    fn runs(&mut self, search: &Search) {
        self.raw("<h2>Runs</h2>\n<details class=\"box\">");
        self.element("summary", "All runs, in their order");
        let columns =
            ["messages/s", "sent/s", "deliveries/s", "p99 ms", "max ms", "server CPU", ""];
        self.table("numbers", &columns);
        for step in &search.steps {
            let report = &step.report;
            let cpu = report.server.as_ref().map(|server| format!("{:.0} %", server.cpu_percent));
            let cells = [
                number(step.rate),
                number(report.sent_per_s),
                number(report.deliveries_per_s),
                ms(report.latency.p99_ms),
                ms(report.latency.max_ms),
                cpu.unwrap_or_default(),
                step.why.clone().unwrap_or_else(|| "held".into()),
            ];
            self.row(if step.held { "" } else { "bad" }, &cells);
        }
        self.raw("</tbody></table></details>\n");
    }
}

/// Latency against load; none if there is too little to see.
fn curves(search: &Search, points: &[Point]) -> Option<Chart> {
    let points: Vec<&Point> = points.iter().filter(|point| point.p50_ms > 0.0).collect();
    if points.len() < 2 {
        return None;
    }
    let line = |name, of: fn(&Point) -> f64| Line {
        name,
        points: points.iter().map(|point| (point.rate, of(point))).collect(),
    };
    let lines = vec![
        line("p50", |point| point.p50_ms),
        line("p99", |point| point.p99_ms),
        line("p99.9", |point| point.p999_ms),
    ];
    let bounds: Vec<f64> = search.objectives.iter().map(|slo| slo.below_ms).collect();
    let failed = points.iter().filter(|point| !point.held);
    let failed = failed.map(|point| (point.rate, point.judged_ms)).collect();
    let heights = lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| *y));
    let judged = points.iter().map(|point| point.judged_ms);
    Some(Chart {
        title: "Latency by load",
        caption: format!(
            "Medians of the runs at each rate. The objective, {}, must hold, and nothing may be \
             lost. Crossed: rates that did not hold.",
            search.goal()
        ),
        x: Axis::fitting("messages a second", points.iter().map(|point| point.rate)),
        y: Axis::fitting("ms", heights.chain(judged).chain(bounds.iter().copied())),
        end: None,
        content: Content::Curves(Curves { lines, bounds, failed }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn the_page_is_whole() {
        let mut search = example();
        search.steps[0].report.setting.urls = vec!["ws://<b>&x".into()];
        let page = html(&search).unwrap();
        for words in [
            "<title>Highest load on ws://&lt;b&gt;&amp;x</title>",
            "class=\"verdict ok\"",
            "highest rate with p99 &lt; 5 ms: 872 messages/s",
            "p99 was 125.0 ms, not below 5 ms",
            "did not hold",
            "prefers-color-scheme: dark",
            "stroke=\"#991B1B\"",
            "</html>\n",
        ] {
            assert!(page.contains(words), "{words:?} is not in the page");
        }
        for word in ["<b>&x", "<script", "NaN", "http", "src="] {
            assert!(!page.contains(word), "{word} is in the page");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert_eq!(page.matches("<table").count(), page.matches("</table>").count());
        // A point for each rate on each line.
        assert_eq!(page.matches("<circle").count(), 3 * search.points().len());
    }
}
