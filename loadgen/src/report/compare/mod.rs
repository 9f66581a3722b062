//! Puts runs side by side and says which differences are larger than the noise.
//!
//! `load` reads reports; `compare` is pure. What noise is: `noise.rs`; which figures: `metrics.rs`;
//! what to know besides: `notes.rs`; how it is printed: `text.rs`. Tests: at the end of each file.

mod metrics;
mod noise;
mod notes;
mod text;

use super::{Report, SCHEMA, Verdict, exit};
use crate::search::median;
use metrics::{Better, METRICS, Metric};
use noise::Difference;
use serde::Serialize;
use std::path::Path;

pub use metrics::Unit;

/// Runs of the same thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    #[allow(missing_docs)]
    pub name: String,
    /// At least one.
    pub runs: Vec<Report>,
}

/// Groups side by side. The first one is the base.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of this form.
    pub schema: u32,
    #[allow(missing_docs)]
    pub groups: Vec<Summary>,
    /// Settings that are not the same everywhere.
    pub settings: Vec<Setting>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// Those that differ by more than the noise, in words.
    pub differences: Vec<String>,
    /// What to know before believing it, each with its remedy.
    pub warnings: Vec<String>,
}

/// A group, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Summary {
    pub name: String,
    /// Of each run.
    pub verdicts: Vec<Verdict>,
}

/// A setting that differs: what each group has, as JSON. Several values: its runs differ, too.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Setting {
    pub name: String,
    pub values: Vec<String>,
}

/// One figure of all groups.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Figure {
    pub name: &'static str,
    pub unit: Unit,
    /// Of each group; none, if one of its runs has none.
    pub groups: Vec<Option<Cell>>,
}

/// One figure of one group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cell {
    /// Median of the runs.
    pub value: f64,
    /// Standard deviation in percent, of what `judged_by` says.
    pub spread_percent: Option<f64>,
    /// What the noise was learnt from. None: there was too little.
    pub judged_by: Option<JudgedBy>,
    /// Compared with the base.
    pub change_percent: Option<f64>,
    /// What noise alone may do, either way.
    pub noise_percent: Option<f64>,
    #[allow(missing_docs)]
    pub result: Outcome,
}

/// What the noise was learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgedBy {
    /// Differences from run to run.
    Runs,
    /// Differences from second to second within the runs.
    Seconds,
}

/// How a figure compares with the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is the base's.
    Base,
    /// No difference larger than the noise.
    Same,
    /// Different, for the better.
    Better,
    /// Different, for the worse.
    Worse,
    /// Different; which way is better depends on the load.
    Differs,
    /// Too few runs to tell.
    Unknown,
}

/// Reads what the command line names: `FILE` is a group of its own, named as the file without its
/// extension; `NAME=FILE,FILE,...` are runs of the same thing.
///
/// Errors, naming the file: it cannot be read, is no report, or one of another version; two groups
/// have the same name; there is but one.
pub fn load(arguments: &[String]) -> Result<Vec<Group>, String> {
    let mut groups: Vec<Group> = Vec::new();
    for argument in arguments {
        let (name, files) = match argument.split_once('=') {
            // A file may have `=` in its name.
            Some((name, files)) if !Path::new(argument).exists() => {
                (name.trim().to_owned(), files.split(',').collect())
            }
            _ => {
                let stem = Path::new(argument).file_stem().unwrap_or_default();
                (stem.to_string_lossy().into_owned(), vec![argument.as_str()])
            }
        };
        if name.is_empty() {
            return Err(format!("{argument}: give a name, as in NAME=FILE,FILE"));
        }
        if groups.iter().any(|group| group.name == name) {
            return Err(format!(
                "two groups are named {name}: give names, as in before={} after=...",
                files.join(",")
            ));
        }
        let runs: Result<Vec<Report>, String> = files.into_iter().map(read).collect();
        groups.push(Group { name, runs: runs? });
    }
    match groups.len() {
        0 | 1 => Err("give two reports or more".into()),
        _ => Ok(groups),
    }
}

fn read(file: &str) -> Result<Report, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{file}: not JSON: {error}"))?;
    match json.get("schema").map(serde_json::Value::as_u64) {
        Some(Some(schema)) if schema == u64::from(SCHEMA) => {}
        Some(Some(schema)) => {
            return Err(format!(
                "{file}: has version {schema} of the form, this program reads {SCHEMA}: repeat \
                 the run with it"
            ));
        }
        _ => return Err(format!("{file}: not a report made with --format json")),
    }
    if json.get("steps").is_some() {
        return Err(format!("{file}: is a search (--find-max), not a run"));
    }
    serde_json::from_value(json).map_err(|error| format!("{file}: not a report: {error}"))
}

/// Compares each group with the first.
pub fn compare(groups: &[Group]) -> Comparison {
    let figures: Vec<Figure> = METRICS
        .iter()
        .map(|metric| figure(metric, groups))
        .filter(|figure| figure.groups.iter().any(Option::is_some))
        .collect();
    let summaries = groups.iter().map(|group| Summary {
        name: group.name.clone(),
        verdicts: group.runs.iter().map(|run| run.verdict).collect(),
    });
    Comparison {
        schema: SCHEMA,
        groups: summaries.collect(),
        settings: notes::settings(groups),
        differences: text::differences(groups, &figures),
        warnings: notes::warnings(groups, &figures),
        figures,
    }
}

impl Comparison {
    /// The program's exit status: a difference is no failure.
    pub fn exit_code(&self) -> u8 {
        exit::OK
    }

    /// For programs: one JSON object and a newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// A group's values of one figure.
struct Values {
    /// Of each run.
    runs: Vec<f64>,
    /// Blocks of seconds of all runs; none, if the figure has no seconds.
    blocks: Option<Vec<f64>>,
}

impl Values {
    /// None: a run does not have the figure.
    fn of(metric: &Metric, group: &Group) -> Option<Values> {
        let runs: Option<Vec<f64>> = group.runs.iter().map(metric.of).collect();
        let blocks = metric.second.map(|second| {
            let of_run = |run: &Report| {
                // What comes after the window is the drain.
                let whole = (run.measured_s + 0.01).floor();
                let rows = run.seconds.iter().filter(|row| f64::from(row.second) < whole);
                noise::blocks(&rows.filter_map(second).collect::<Vec<f64>>())
            };
            group.runs.iter().flat_map(of_run).collect()
        });
        Some(Values { runs: runs.filter(|runs| !runs.is_empty())?, blocks })
    }
}

fn figure(metric: &Metric, groups: &[Group]) -> Figure {
    let values: Vec<Option<Values>> =
        groups.iter().map(|group| Values::of(metric, group)).collect();
    let base = values.first().and_then(Option::as_ref);
    let kind = match metric.unit {
        Unit::Milliseconds | Unit::Seconds => &noise::TIMES,
        _ => &noise::OTHERS,
    };
    let many = |values: &Values| values.runs.len() >= noise::RUNS_MIN;
    let cells = values.iter().enumerate().map(|(index, values)| {
        let values = values.as_ref()?;
        let value = median(values.runs.clone())?;
        let mut cell = Cell {
            value,
            spread_percent: None,
            judged_by: None,
            change_percent: None,
            noise_percent: None,
            result: if index == 0 { Outcome::Base } else { Outcome::Unknown },
        };
        if many(values) {
            (cell.judged_by, cell.spread_percent) = (Some(JudgedBy::Runs), percent(&values.runs));
        } else if let Some(blocks) = &values.blocks {
            (cell.judged_by, cell.spread_percent) = (Some(JudgedBy::Seconds), percent(blocks));
        }
        let (Some(base), false) = (base, index == 0) else { return Some(cell) };
        let base_value = median(base.runs.clone())?;
        cell.change_percent = (base_value > 0.0).then(|| (value / base_value - 1.0) * 100.0);
        let (judged_by, judged) = if many(base) && many(values) {
            (JudgedBy::Runs, noise::runs(kind, &base.runs, &values.runs))
        } else {
            let blocks = base.blocks.as_ref().zip(values.blocks.as_ref());
            (JudgedBy::Seconds, blocks.and_then(|(a, b)| noise::seconds(kind, a, b)))
        };
        cell.judged_by = judged.map(|_| judged_by);
        if let Some(Difference { change, bound }) = judged {
            // Seconds and the whole must agree: one bad second makes the whole run's maximum, and
            // says nothing about the next run.
            let whole = (value / base_value).ln();
            let differs = change.abs() > bound
                && (judged_by == JudgedBy::Runs
                    || !whole.is_finite()
                    || (whole.abs() > bound && whole.signum() == change.signum()));
            cell.noise_percent = Some((bound.exp() - 1.0) * 100.0);
            cell.result = match (differs, metric.better) {
                (false, _) => Outcome::Same,
                (true, Better::Neither) => Outcome::Differs,
                (true, Better::Higher) if change > 0.0 => Outcome::Better,
                (true, Better::Lower) if change < 0.0 => Outcome::Better,
                (true, _) => Outcome::Worse,
            };
        }
        Some(cell)
    });
    Figure { name: metric.name, unit: metric.unit, groups: cells.collect() }
}

fn percent(set: &[f64]) -> Option<f64> {
    noise::spread(set).map(|spread| spread * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{SecondRow, Server, example};
    use crate::search::tests::normal;
    use fastrand::Rng;
    use std::sync::LazyLock;

    /// How a server and its machine are.
    #[derive(Clone, Copy)]
    struct World {
        seconds: u32,
        /// Factors on what the server costs, on throughput, on latency.
        cpu: f64,
        deliveries: f64,
        latency: f64,
        /// How much runs differ: deviation of CPU time and memory; that of latency is twice as large.
        between_runs: f64,
    }

    static BLANK: LazyLock<Report> = LazyLock::new(|| example::report(&example::record(1)));

    const CALM: World =
        World { seconds: 30, cpu: 1.0, deliveries: 1.0, latency: 1.0, between_runs: 0.015 };

    /// A run: neighbouring seconds resemble each other, the tails are noisy, and now and then
    /// something else takes the machine for a second.
    fn run(world: World, seed: u64) -> Report {
        let mut random = Rng::with_seed(seed);
        let mut report = BLANK.clone();
        report.generator.limited = false;
        let off = |random: &mut Rng, by: f64| (by * world.between_runs * normal(random)).exp();
        let cpu_run = 40.0 * world.cpu * off(&mut random, 1.0);
        let latency_run = world.latency * off(&mut random, 2.0);
        let rss_run = 50e6 * off(&mut random, 1.0);
        let mut state = [0.0f64; 6];
        let mut rows = Vec::new();
        // Two seconds of drain, of which nothing may be used.
        for second in 0..world.seconds + 2 {
            for state in &mut state {
                *state = 0.6 * *state + 0.8 * normal(&mut random);
            }
            let at = |index: usize, by: f64| (by * state[index]).exp();
            let drain = second >= world.seconds;
            let stall = if random.f64() < 0.03 { 10.0 } else { 1.0 };
            let rate = world.deliveries * if drain { 0.1 } else { 1.0 };
            rows.push(SecondRow {
                second,
                sent: if drain { 0 } else { 1_000 },
                delivered: (100_000.0 * rate * at(0, 0.005)) as u64,
                p50_ms: 0.4 * latency_run * at(1, 0.05),
                p99_ms: 1.2 * latency_run * at(2, 0.15) * stall,
                p999_ms: 2.0 * latency_run * at(3, 0.3) * stall,
                max_ms: 5.0 * latency_run * at(4, 0.5) * stall,
                server_cpu_percent: Some(cpu_run * rate * at(5, 0.04)),
                server_rss_bytes: Some((rss_run * (1.0 + f64::from(second) / 1e4)) as u64),
            });
        }
        let window = &rows[..world.seconds as usize];
        let mean =
            |of: fn(&SecondRow) -> f64| window.iter().map(of).sum::<f64>() / window.len() as f64;
        let max = |of: fn(&SecondRow) -> f64| window.iter().map(of).fold(0.0, f64::max);
        report.measured_s = f64::from(world.seconds);
        report.sent_per_s = mean(|row| row.sent as f64);
        report.deliveries_per_s = mean(|row| row.delivered as f64);
        report.latency.p50_ms = mean(|row| row.p50_ms);
        report.latency.p90_ms = mean(|row| row.p50_ms) * 2.0;
        report.latency.p99_ms = mean(|row| row.p99_ms);
        report.latency.p999_ms = mean(|row| row.p999_ms);
        report.latency.max_ms = max(|row| row.max_ms);
        report.service.p99_ms = mean(|row| row.p99_ms) * 0.9;
        report.connect.total_s = 2.0 * off(&mut random, 5.0);
        report.connect.handshake.p99_ms = 3.0 * off(&mut random, 8.0);
        let cpu = mean(|row| row.server_cpu_percent.unwrap());
        report.server = Some(Server {
            cpu_percent: cpu,
            ns_per_delivery: cpu * 1e7 / report.deliveries_per_s,
            rss_bytes_max: max(|row| row.server_rss_bytes.unwrap() as f64) as u64,
            rss_bytes_per_connection: Some(5_000.0 * off(&mut random, 1.0)),
            ..Server::default()
        });
        report.generator.cpu_ns_per_delivery = Some(900.0 * off(&mut random, 1.0));
        report.seconds = rows;
        report
    }

    fn group(name: &str, world: World, runs: u64, seed: u64) -> Group {
        let runs = (0..runs).map(|run_| run(world, seed * 1_000 + run_)).collect();
        Group { name: name.into(), runs }
    }

    fn result<'a>(comparison: &'a Comparison, figure: &str) -> &'a Cell {
        let figure = comparison.figures.iter().find(|f| f.name == figure).unwrap();
        figure.groups[1].as_ref().unwrap()
    }

    #[test]
    fn equals_are_the_same() {
        let check = |runs, seconds, between_runs| {
            let world = World { seconds, between_runs, ..CALM };
            let wrong: Vec<String> = (0..200)
                .flat_map(|seed| {
                    let (a, b) =
                        (group("a", world, runs, 2 * seed), group("b", world, runs, 2 * seed + 1));
                    compare(&[a, b]).differences.into_iter().next()
                })
                .collect();
            assert!(wrong.len() <= 4, "{runs} runs of {seconds} s, {between_runs}: {wrong:#?}");
        };
        check(1, 10, 0.015);
        check(1, 30, 0.015);
        check(1, 120, 0.025);
        check(2, 10, 0.03);
        check(3, 10, 0.03);
        check(5, 10, 0.1);
        check(10, 10, 0.1);
    }

    #[test]
    fn a_change_is_found() {
        let check = |runs, seconds, worse: World, figure: &str, want| {
            let found = (0..200).filter(|seed| {
                let a = group("a", World { seconds, ..CALM }, runs, 2 * seed);
                let b = group("b", World { seconds, ..worse }, runs, 2 * seed + 1);
                result(&compare(&[a, b]), figure).result == want
            });
            assert_eq!(found.count(), 200, "{figure}, {runs} runs of {seconds} s");
        };
        for (runs, seconds) in [(1, 30), (1, 60), (2, 20), (3, 10), (5, 10)] {
            let cpu = World { cpu: 1.3, ..CALM };
            check(runs, seconds, cpu, "server CPU per delivery", Outcome::Worse);
            check(runs, seconds, cpu, "server CPU", Outcome::Differs);
            let slow = World { deliveries: 0.7, ..CALM };
            check(runs, seconds, slow, "deliveries/s", Outcome::Worse);
            let fast = World { deliveries: 1.3, ..CALM };
            check(runs, seconds, fast, "deliveries/s", Outcome::Better);
        }
        check(1, 10, World { deliveries: 1.3, ..CALM }, "deliveries/s", Outcome::Better);
        check(5, 10, World { latency: 1.3, ..CALM }, "latency p50", Outcome::Worse);
        check(1, 60, World { latency: 2.0, ..CALM }, "latency p50", Outcome::Worse);
    }

    #[test]
    fn figures_without_seconds_need_runs() {
        let few = compare(&[group("a", CALM, 2, 1), group("b", CALM, 5, 2)]);
        let cell = result(&few, "memory per connection");
        assert_eq!(
            (cell.result, cell.judged_by, cell.noise_percent),
            (Outcome::Unknown, None, None)
        );
        assert!(cell.change_percent.is_some());
        assert!(few.to_text().contains("?         needs 3 runs"));
        assert!(few.warnings.iter().any(|w| w.contains("second to second")), "{:?}", few.warnings);
        let many = compare(&[group("a", CALM, 3, 1), group("b", CALM, 5, 2)]);
        assert_eq!(result(&many, "memory per connection").result, Outcome::Same);
        assert_eq!(many.warnings, Vec::<String>::new());
        // Too short for blocks, and without a server.
        let mut short = group("a", World { seconds: 4, ..CALM }, 1, 1);
        short.runs[0].server = None;
        let other = Group { name: "b".into(), ..short.clone() };
        let short = compare(&[short, other]);
        assert!(short.figures.iter().all(|f| f.groups[1].is_some_and(|c| c.judged_by.is_none())));
        assert!(short.warnings.iter().any(|w| w.contains("too few figures")));
        assert!(short.figures.iter().all(|figure| figure.name != "server memory"));
    }

    #[test]
    fn one_bad_second_is_no_difference() {
        let (a, mut b) = (group("a", CALM, 1, 1), group("b", CALM, 1, 1));
        b.runs[0].seconds[7].max_ms = 5_000.0;
        b.runs[0].latency.max_ms = 5_000.0;
        assert_eq!(compare(&[a, b]).differences, Vec::<String>::new());
    }

    #[test]
    fn what_differs_besides_is_said() {
        let check = |change: fn(&mut Report), words: &str| {
            let (a, mut b) = (group("old", CALM, 3, 1), group("new", CALM, 3, 2));
            change(&mut b.runs[1]);
            let text = compare(&[a, b]).to_text();
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        };
        check(|r| r.setting.connections = 7, "connections: 1000 / 1000 or 7\n");
        check(|r| r.setting.urls = vec!["ws://b".into()], "[\"ws://b\"]");
        check(|r| r.verdict = Verdict::Failed, "new, run 2 of 3: failed its checks");
        check(|r| r.verdict = Verdict::Failed, "3 (1 not ok!)");
        check(|r| r.verdict = Verdict::Invalid, "new, run 2 of 3: is invalid");
        check(|r| r.verdict = Verdict::Interrupted, "was interrupted");
        check(|r| r.generator.limited = true, "the generator was the limit");
        check(|r| r.checks.counts.shed = 3, "shed connections");
        check(|r| r.environment.cpu = "Another".into(), "different machines");
        check(|r| r.environment.version = "9".into(), "different versions");
        let (a, mut b) = (group("a", CALM, 3, 1), group("b", CALM, 3, 2));
        b.runs[0].setting.seed = 99;
        b.runs[0].environment.started = "later".into();
        let text = compare(&[a, b]).to_text();
        assert!(text.ends_with("\nNo difference larger than the noise.\n"), "{text}");
        assert!(!text.contains("warning") && !text.contains("seed"), "{text}");
    }

    #[test]
    fn the_table_is_readable() {
        let slow = World { cpu: 1.5, latency: 3.0, ..CALM };
        let fast = World { cpu: 0.5, ..CALM };
        let groups =
            [group("base", CALM, 5, 1), group("slow", slow, 5, 2), group("fast", fast, 5, 3)];
        let comparison = compare(&groups);
        let text = comparison.to_text();
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        let cpu: Vec<&str> = line("server CPU per delivery").split_whitespace().skip(4).collect();
        assert!(cpu.contains(&"WORSE") && cpu.contains(&"better") && cpu.contains(&"ns"), "{text}");
        assert!(
            text.contains("\nDifferences larger than the noise:\n  slow: latency p50 +"),
            "{text}"
        );
        assert!(text.contains("from run to run"));
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
        let json: serde_json::Value = serde_json::from_str(&comparison.to_json().unwrap()).unwrap();
        assert_eq!(json["figures"][0]["unit"], "1/s");
        assert_eq!(json["figures"][0]["groups"][0]["result"], "base");
        assert_eq!(json["groups"][2]["verdicts"].as_array().unwrap().len(), 5);
        assert_eq!(comparison.exit_code(), 0);
    }

    #[test]
    fn files_are_read() {
        let dir = std::env::temp_dir().join(format!("ringchat-compare-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let write = |name: &str, text: &str| {
            std::fs::write(path(name), text).unwrap();
            path(name)
        };
        let json = run(CALM, 1).to_json().unwrap();
        let (one, two) = (write("one.json", &json), write("two=2.json", &json));
        let old = write("old.json", &json.replacen("\"schema\": 2", "\"schema\": 1", 1));
        let search = write("search.json", "{\"schema\": 2, \"steps\": []}");
        let broken = write("broken.json", "{\"schema\": 2}");
        let words = write("words.json", "no json");

        let load = |arguments: &[&str]| {
            load(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
        };
        let shape = |arguments: &[&str]| {
            let groups = load(arguments).unwrap();
            groups.iter().map(|g| format!("{} {}", g.name, g.runs.len())).collect::<Vec<_>>()
        };
        assert_eq!(shape(&[&one, &two]), ["one 1", "two=2 1"]);
        let both = format!("new={one},{one}");
        assert_eq!(shape(&[&one, &both]), ["one 1", "new 2"]);

        let check = |arguments: &[&str], words: &[&str]| {
            let why = load(arguments).unwrap_err();
            for word in words {
                assert!(why.contains(word), "{word:?} is not in {why:?}");
            }
        };
        check(&[&one, &one], &["two groups are named one"]);
        check(&[&one], &["two reports or more"]);
        check(&[&one, "x=/nowhere.json"], &["/nowhere.json: "]);
        check(&[&one, "x="], &[": No such file"]);
        check(&[&one, &format!("={one}")], &["give a name"]);
        check(&[&one, &old], &["old.json", "version 1", "reads 2"]);
        check(&[&one, &search], &["search.json", "--find-max"]);
        check(&[&one, &broken], &["broken.json: not a report: "]);
        check(&[&one, &words], &["words.json: not JSON"]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
