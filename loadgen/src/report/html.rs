//! A report as one page: no script, nothing loaded from anywhere, light and dark, for a phone and
//! for a desk. What other programs said (addresses, reasons, faults) goes through `page.rs`, which
//! escapes it. Tests: below.

use super::chart::{Chart, Content, Line, SHADES};
use super::figures::{arrivals, bytes, count, load, ms, number, plural, room_sizes, short, sizes};
use super::judge::troubles;
use super::page::Page;
use super::plots::{Span, plots, spans};
use super::{Quantiles, Report, Verdict};
use crate::record::Record;
use std::fmt::Write as _;

/// The page: the report's figures, and plots of what was recorded.
///
/// Errors: a plot could not be drawn, in words.
pub fn html(report: &Report, record: &Record) -> Result<String, String> {
    let spans = spans(report, record);
    let mut page = Page::default();
    page.head(report);
    page.cards(report);
    page.notes(report);
    page.times(report);
    let plots = plots(report, record, &spans);
    if !plots.is_empty() {
        page.raw("<h2>Plots</h2>\n<div class=\"grid\">\n");
        for plot in &plots {
            page.figure(plot)?;
        }
        page.raw("</div>\n");
    }
    page.raw("<h2>Details</h2>\n<div class=\"grid\">\n");
    page.checks(report);
    page.setting(report);
    page.environment(report);
    page.others(report);
    page.raw("</div>\n");
    page.seconds(&spans);
    page.raw("</body>\n</html>\n");
    Ok(page.finish())
}

impl Page {
    fn head(&mut self, report: &Report) {
        self.begin(&format!("Load on {}", report.setting.urls.join(", ")));
        let setting = &report.setting;
        self.element(
            "p class=\"quiet\"",
            &format!(
                "{}, {} in {}, {}, {}; {:.1} s measured",
                report.environment.started,
                plural(setting.connections as u64, "connection"),
                plural(setting.rooms as u64, "room"),
                load(setting.load),
                sizes(setting.payload_bytes),
                report.measured_s
            ),
        );
        let class = match report.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "failed",
            Verdict::Invalid => "invalid",
            Verdict::Interrupted => "interrupted",
        };
        self.element(&format!("p class=\"verdict {class}\""), report.verdict_words());
    }

    fn cards(&mut self, report: &Report) {
        let (latency, checks) = (&report.latency, &report.checks);
        let trouble: u64 = troubles(&checks.counts).iter().map(|(_, count)| count).sum();
        let mut cards = vec![
            ("latency p50", ms(latency.p50_ms), "ms"),
            ("latency p99", ms(latency.p99_ms), "ms"),
            ("latency maximum", ms(latency.max_ms), "ms"),
            ("sent", number(report.sent_per_s), "/s"),
            ("delivered", number(report.deliveries_per_s), "/s"),
            ("deliveries checked", short(checks.counts.delivered), ""),
            ("faults counted", short(trouble), ""),
        ];
        if checks.counts.shed > 0 {
            cards.push(("connections shed", short(checks.counts.shed), ""));
        }
        if let Some(server) = &report.server {
            cards.push(("server CPU per delivery", number(server.ns_per_delivery), "ns"));
            cards.push(("server CPU", format!("{:.0}", server.cpu_percent), "%"));
            if let Some(grown) = server.rss_bytes_per_connection {
                cards.push(("memory per connection", bytes(grown), ""));
            }
        }
        cards.push(("all joined after", format!("{:.2}", report.connect.total_s), "s"));
        self.raw("<dl class=\"cards\">\n");
        for (name, value, unit) in cards {
            self.raw("<div>");
            self.element("dt", name);
            let bad = name == "faults counted" && trouble > 0;
            self.raw(if bad { "<dd class=\"bad\">" } else { "<dd>" });
            self.text(&value);
            if !unit.is_empty() {
                self.raw(" ");
                self.element("small", unit);
            }
            self.raw("</dd></div>\n");
        }
        self.raw("</dl>\n");
    }

    fn notes(&mut self, report: &Report) {
        for (title, notes) in [("Warnings", &report.warnings), ("Faults", &report.faults)] {
            if notes.is_empty() {
                continue;
            }
            self.element("h2", title);
            self.raw("<div class=\"box\"><ul class=\"notes\">\n");
            for note in notes {
                self.element("li", note);
            }
            self.raw("</ul></div>\n");
        }
        if !report.closes.is_empty() {
            self.element("h2", "Connections that ended");
            self.raw("<div class=\"box\">");
            self.table("", &["count", "code", "reason"]);
            for close in &report.closes {
                self.row("", &[count(close.count), close.code.to_string(), close.reason.clone()]);
            }
            self.raw("</tbody></table></div>\n");
        }
    }

    /// All times that were measured.
    fn times(&mut self, report: &Report) {
        self.element("h2", "Times in milliseconds");
        self.raw("<div class=\"box\">");
        self.table("numbers", &["", "p50", "p90", "p99", "p99.9", "max", "mean", "measured"]);
        for (name, times) in report.all_times() {
            let Quantiles { count: n, mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = times;
            let _ = write!(self.0, "<tr><th scope=\"row\">{name}</th>");
            for cell in [p50_ms, p90_ms, p99_ms, p999_ms, max_ms, mean_ms].map(ms) {
                let _ = write!(self.0, "<td>{cell}</td>");
            }
            let _ = writeln!(self.0, "<td>{}</td></tr>", count(n));
        }
        self.raw("</tbody></table></div>\n");
    }

    /// Key, plot and caption.
    pub(super) fn figure(&mut self, plot: &Chart) -> Result<(), String> {
        self.raw("<figure>\n");
        self.element("h3", plot.title);
        self.raw("<ul class=\"key\">");
        match &plot.content {
            Content::Lines(lines) => {
                self.key(lines);
            }
            Content::Curves(curves) => {
                self.key(&curves.lines);
                self.raw("<li><i class=\"bound\"></i>objective</li>");
                if !curves.failed.is_empty() {
                    self.raw("<li><b>\u{00d7}</b>did not hold</li>");
                }
            }
            Content::Cells(cells) => {
                self.raw("<li>1<svg viewBox=\"0 0 112 12\" aria-hidden=\"true\">");
                for shade in 1..=SHADES {
                    let at = (shade - 1) * 112 / SHADES;
                    let width = 112 / SHADES;
                    let _ = write!(
                        self.0,
                        "<path class=\"h{shade}\" d=\"M{at} 0h{width}v12h-{width}z\"/>"
                    );
                }
                let highest = cells.highest();
                let _ = write!(self.0, "</svg>{} deliveries</li>", count(highest));
            }
        }
        self.raw("</ul>\n");
        self.raw(&plot.svg()?);
        self.element("figcaption", &plot.caption);
        self.raw("</figure>\n");
        Ok(())
    }

    fn key(&mut self, lines: &[Line]) {
        for (line, class) in lines.iter().zip(["a", "b", "c"].iter().cycle()) {
            let _ = write!(self.0, "<li><i class=\"{class}\"></i>{}</li>", line.name);
        }
    }

    fn checks(&mut self, report: &Report) {
        let (checks, counts) = (&report.checks, &report.checks.counts);
        let mut pairs = vec![
            ("messages sent", count(counts.sent), ""),
            ("deliveries owed", count(checks.owed), ""),
            ("deliveries received", count(counts.delivered), ""),
        ];
        for (name, number) in troubles(counts) {
            pairs.push((name, count(number), if number > 0 { "bad" } else { "" }));
        }
        let doubt = if counts.shed > 0 { "doubt" } else { "" };
        pairs.push(("connections shed", count(counts.shed), doubt));
        if counts.shed > 0 {
            pairs.push(("deliveries shed with them", count(counts.shed_deliveries), doubt));
        }
        if counts.held_back > 0 {
            pairs.push(("held back", count(counts.held_back), ""));
        }
        self.pairs("Checks", &pairs);
    }

    pub(super) fn setting(&mut self, report: &Report) {
        let setting = &report.setting;
        let whole = |n: usize| count(n as u64);
        let mut pairs = vec![
            ("servers", setting.urls.join(" "), ""),
            (
                "dialect",
                format!("{:?}, {:?}", setting.dialect, setting.encoding).to_lowercase(),
                "",
            ),
            ("connections", whole(setting.connections), ""),
            ("rooms", whole(setting.rooms), ""),
            ("active rooms", whole(setting.active_rooms), ""),
            ("members", room_sizes(setting.room_sizes, setting.room_max), ""),
            ("senders", whole(setting.senders), ""),
            ("load", load(setting.load), ""),
            ("arrivals", arrivals(setting.arrivals), ""),
            ("payload", sizes(setting.payload_bytes), ""),
            ("seed", setting.seed.to_string(), ""),
            ("processes", whole(setting.processes), ""),
            ("threads of each", whole(setting.threads), ""),
        ];
        let per_s = |n: f64| format!("{}/s", number(n));
        for (name, rate) in [
            ("churn", setting.churn_per_s),
            ("presence requests", setting.presence_per_s),
            ("history requests", setting.history_per_s),
        ] {
            if rate > 0.0 {
                pairs.push((name, per_s(rate), ""));
            }
        }
        if setting.storms > 0 {
            pairs.push(("storms", whole(setting.storms), ""));
        }
        if setting.recover {
            pairs.push(("recovery", "asked for".into(), ""));
        }
        if setting.slow_connections > 0 {
            let speed = bytes(setting.slow_bytes_per_s as f64);
            let slow = format!("{}, {speed}/s each", whole(setting.slow_connections));
            pairs.push(("slow readers", slow, ""));
        }
        self.pairs("Setting", &pairs);
    }

    pub(super) fn environment(&mut self, report: &Report) {
        let environment = &report.environment;
        let server = environment.server.clone().unwrap_or_else(|| "not looked at".into());
        self.pairs(
            "Environment",
            &[
                ("started", environment.started.clone(), ""),
                ("kernel", environment.kernel.clone(), ""),
                ("CPU", environment.cpu.clone(), ""),
                ("CPUs", count(environment.cores as u64), ""),
                ("memory", bytes(environment.memory_bytes as f64), ""),
                ("generator", format!("ringchat-loadgen {}", environment.version), ""),
                ("server", server, ""),
                ("command", environment.command.join(" "), ""),
            ],
        );
    }

    /// The generator, the server, connections that came and went.
    fn others(&mut self, report: &Report) {
        let generator = &report.generator;
        let percent = |part: Option<f64>| part.map_or("unknown".into(), |p| format!("{p:.1} %"));
        let ns = |ns: f64| format!("{} ns", number(ns));
        let limited = match generator.limited {
            true => ("was the limit", "yes".to_owned(), "doubt"),
            false => ("was the limit", "no".to_owned(), ""),
        };
        let mut pairs = vec![
            limited,
            ("busiest thread's CPU", percent(generator.cpu_percent), ""),
            ("waited for a CPU", percent(generator.wait_percent), ""),
        ];
        if let Some(own) = generator.cpu_ns_per_delivery {
            pairs.push(("CPU per delivery", ns(own), ""));
        }
        let drops: Vec<String> = generator
            .kernel_drops
            .iter()
            .map(|(name, drops)| format!("{name}: {}", count(*drops)))
            .collect();
        let doubt = if drops.is_empty() { "" } else { "doubt" };
        let drops = if drops.is_empty() { "none".into() } else { drops.join(", ") };
        pairs.push(("dropped by the kernel", drops, doubt));
        self.pairs("Generator", &pairs);
        if let Some(server) = &report.server {
            let switches = |n: f64| format!("{}/s", number(n));
            let mut pairs = vec![
                ("CPU", format!("{:.1} %", server.cpu_percent), ""),
                ("of it user mode", format!("{:.1} %", server.user_percent), ""),
                ("of it kernel", format!("{:.1} %", server.system_percent), ""),
                ("CPU per delivery", ns(server.ns_per_delivery), ""),
                ("memory at most", bytes(server.rss_bytes_max as f64), ""),
                ("voluntary switches", switches(server.voluntary_switches_per_s), ""),
                ("forced switches", switches(server.involuntary_switches_per_s), ""),
            ];
            if let Some(grown) = server.rss_bytes_per_connection {
                pairs.push(("memory per connection", bytes(grown), ""));
            }
            self.pairs("Server", &pairs);
        }
        if let Some(unrest) = &report.unrest {
            self.pairs(
                "Unrest",
                &[
                    ("connections that left", count(unrest.left), ""),
                    ("came back", count(unrest.returned), ""),
                    ("recovered", count(unrest.recovered), ""),
                    ("could not recover", count(unrest.unrecovered), ""),
                    ("deliveries by recovery", count(unrest.recovered_deliveries), ""),
                ],
            );
        }
    }

    fn seconds(&mut self, spans: &[Span]) {
        let Some(length) = spans.first().map(|span| span.seconds) else { return };
        self.raw("<details>\n");
        let each = if length == 1 { String::new() } else { format!(", {length} in a row") };
        self.element("summary", &format!("Second by second{each}"));
        self.raw("<div class=\"box\">");
        self.table(
            "numbers",
            &[
                "second",
                "sent/s",
                "delivered/s",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "max ms",
                "server CPU",
                "server memory",
            ],
        );
        for span in spans {
            let t = &span.latency;
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            self.row(
                "",
                &[
                    count(u64::from(span.from_s)),
                    number(span.sent_per_s),
                    number(span.delivered_per_s),
                    ms(t.p50_ms),
                    ms(t.p99_ms),
                    ms(t.p999_ms),
                    ms(t.max_ms),
                    or_dash(span.server_cpu_percent.map(|percent| format!("{percent:.0} %"))),
                    or_dash(span.server_rss_bytes.map(|rss| bytes(rss as f64))),
                ],
            );
        }
        self.raw("</tbody></table></div>\n</details>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::record::Close;
    use crate::report::page::STYLE;

    /// Elements that have no end.
    const VOID: [&str; 2] = ["meta", "!DOCTYPE"];

    /// Every element ends where it should, and every attribute's value is quoted.
    fn check_nesting(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
        let (mut at, bytes) = (0, page.as_bytes());
        while let Some(found) = page[at..].find('<') {
            let from = at + found + 1;
            let to = from + page[from..].find('>').unwrap();
            at = to + 1;
            if style.contains(&from) && !page[from..].starts_with("style") {
                continue;
            }
            let tag = &page[from..to];
            assert!(!tag.contains('<'), "{tag}");
            assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            assert!(!name.is_empty() && name.is_ascii(), "{tag}");
            if let Some(ended) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(ended), "at {:?}", &page[from.saturating_sub(80)..to]);
            } else if bytes[to - 1] != b'/' && !VOID.contains(&name) {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    fn page(record: &Record, change: impl FnOnce(&mut Report)) -> String {
        let mut report = example::report(record);
        change(&mut report);
        let page = html(&report, record).unwrap();
        check_nesting(&page);
        for bad in ["<script", "http:", "https:", "NaN", "url(", "@import"] {
            assert!(!page.contains(bad), "{bad} is in the page");
        }
        page
    }

    /// With `KEEP` in the environment, writes a page where a browser can show what no check sees.
    fn keep(page: &str, name: &str) {
        if std::env::var_os("KEEP").is_some() {
            let file = std::env::temp_dir().join(format!("ringchat-loadgen-{name}.html"));
            std::fs::write(file, page).unwrap();
        }
    }

    #[test]
    fn the_page_has_every_part() {
        let mut record = example::record(30);
        record.totals.counts.shed = 2;
        let page = page(&record, |report| report.unrest = Some(crate::report::Unrest::default()));
        assert_eq!(page.matches("<figure>").count(), 8);
        for words in [
            "class=\"verdict ok\"",
            "OK: every delivery",
            "Heat",
            "Unrest",
            "Server</h3>",
            "<details>",
            "Warnings",
            "connections shed",
            "deliveries</li>",
        ] {
            let found = page.to_lowercase().contains(&words.to_lowercase());
            assert!(found, "{words:?} is not in the page");
        }
        keep(&page, "example");
    }

    #[test]
    fn little_and_nothing_is_a_page_too() {
        let empty = page(&Record::default(), |report| report.setting.urls.clear());
        assert!(!empty.contains("<figure>") && !empty.contains("<details>"));
        let mut record = example::record(1);
        record.server.truncate(1);
        let one = page(&record, |_| ());
        assert!(one.contains("<circle"));
    }

    #[test]
    fn foreign_text_is_escaped() {
        let evil = "<b onclick=\"x\">&'\u{1b}\n";
        let shown = "&lt;b onclick=&quot;x&quot;&gt;&amp;&#39;\\u{1b}\\n";
        let mut record = example::record(1);
        record.totals.closes = vec![Close { code: 4000, reason: evil.into(), count: 1 }];
        record.totals.faults = vec![evil.into()];
        record.kernel_drops.insert(evil.into(), 1);
        let page = page(&record, |report| {
            report.setting.urls = vec![evil.into()];
            report.warnings = vec![evil.into()];
            report.environment.command = vec![evil.into()];
            report.environment.kernel = evil.into();
            report.environment.cpu = evil.into();
            report.environment.server = Some(evil.into());
            report.environment.version = evil.into();
            report.environment.started = evil.into();
        });
        assert!(!page.contains("<b ") && !page.contains('\u{1b}'));
        assert!(page.matches(shown).count() >= 13, "{}", page.matches(shown).count());
    }

    #[test]
    fn the_style_sheet_knows_every_colour_that_is_drawn() {
        let page = page(&example::record(30), |_| ());
        let mut colors: Vec<&str> = Vec::new();
        for (at, _) in page.match_indices("=\"#") {
            colors.push(&page[at + 2..at + 9]);
        }
        assert!(!colors.is_empty());
        for color in colors {
            assert!(STYLE.contains(&format!("=\"{color}\"]")), "{color} has no twin in page.css");
        }
    }

    #[test]
    fn an_hour_is_a_page_of_less_than_a_megabyte() {
        let mut record = example::record(20);
        // The same seconds, over and over: as many cells of the heat map as there can be.
        let twenty = record.seconds.clone();
        let seconds = (0..COLUMNS).map(|index| {
            let mut second = twenty[index as usize % 20].clone();
            second.index = index;
            second
        });
        record.seconds = seconds.collect();
        record.measured_s = f64::from(COLUMNS) - 3.0;
        record.totals.counts.missing = 12;
        record.totals.counts.delivered = 12_345_678_901;
        record.totals.faults = vec!["message 3 of sender 7 never came to connection 9".into()];
        let reason = "connection reset by peer".into();
        record.totals.closes = vec![Close { code: 1006, reason, count: 3 }];
        let page = page(&record, |report| report.setting.urls.push("x".repeat(200)));
        keep(&page, "long");
        assert!(page.len() < 600_000, "{}", page.len());
    }

    /// As many seconds as lines have points and the heat map has columns: an hour has no more.
    const COLUMNS: u32 = super::super::plots::POINTS_MAX as u32;
}
