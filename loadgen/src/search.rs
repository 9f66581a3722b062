//! The highest rate that a server keeps up with: which rate to try next, and whether one held.
//!
//! Pure: what a run is, the caller knows. The tests at the end search servers made of a formula
//! and of noise.

use crate::options::{Arrivals, Slo};
use crate::report::figures::{ms, number, plural};
use crate::report::{Quantiles, Report, SCHEMA, Search, SearchEnd, Step, Verdict};

/// The search ends when the lowest rate that failed is at most so many times the highest that held.
const CLOSE: f64 = 1.05;
/// So often is the first rate halved, if it does not hold.
const HALVINGS: usize = 6;
/// Part of a rate that must really have been sent.
const SENT: f64 = 0.97;
/// The majority of three runs: one alone says little on a machine that others use, too.
const MAJORITY: usize = 2;
/// Runs at most for the last look at the lowest rate that failed.
const LAST_LOOK: usize = 7;
/// Runs at most, whatever happens; doubling from 1 to a billion and bisecting needs half of that.
const RUNS: usize = 100;

/// Searches the highest rate (messages a second) at which all of `slos` hold and nothing is lost.
///
/// `from`: the first rate, doubled while it holds. `run`: one run at a rate. `interrupted`: asked
/// before each run; what there is by then is the result.
/// Errors: `from` is not a positive number; those of `run`, unless interrupted.
///
/// A rate holds at its first run, or in two of three; one that loses, repeats or garbles a delivery
/// fails at once. Between the highest that held and the lowest that did not, the geometric mean is
/// next. At the end both are looked at again, since an accident of the machine may have decided
/// there: the result must hold twice, and the rate above it must fail three times more often than
/// it holds. If not, the search goes on beyond it.
pub fn search(
    slos: &[Slo],
    from: f64,
    run: impl FnMut(f64) -> Result<Report, String>,
    interrupted: impl Fn() -> bool,
) -> Result<Search, String> {
    if !from.is_finite() || from <= 0.0 {
        return Err(format!("a search cannot begin at {from} messages a second"));
    }
    let mut searcher = Searcher {
        slos,
        run,
        interrupted,
        steps: Vec::new(),
        held: Vec::new(),
        failed: Vec::new(),
        halvings: 0,
    };
    let end = searcher.go(from)?;
    let highest = searcher.held.last().copied();
    Ok(Search {
        schema: SCHEMA,
        objectives: slos.to_vec(),
        highest_rate: highest,
        deliveries_per_s: highest.and_then(|rate| deliveries(&searcher.steps, rate)),
        end,
        steps: searcher.steps,
    })
}

/// Median of the runs that held at `rate`.
fn deliveries(steps: &[Step], rate: f64) -> Option<f64> {
    let held = steps.iter().filter(|step| step.held && step.rate == rate);
    median(held.map(|step| step.report.deliveries_per_s).collect())
}

/// The middle one, or the mean of the two in the middle. None of none.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    match numbers.len() % 2 {
        0 => Some((upper + numbers.get(middle.checked_sub(1)?)?) / 2.0),
        _ => Some(upper),
    }
}

struct Searcher<'a, R, I> {
    slos: &'a [Slo],
    run: R,
    interrupted: I,
    steps: Vec<Step>,
    /// Rates that held, ascending; all are lower than the one that failed.
    held: Vec<f64>,
    /// Rates that failed, descending; all are higher than those that held.
    failed: Vec<Failed>,
    halvings: usize,
}

#[derive(Clone, Copy)]
struct Failed {
    rate: f64,
    /// In every run that failed, the generator was the limit.
    generator: bool,
    /// No need to look again.
    sure: bool,
}

/// Why a rate is tried.
#[derive(Clone, Copy)]
enum Look {
    /// To see whether it holds.
    First,
    /// It held once, and would be the result.
    Held,
    /// It failed, and bounds the result.
    Failed,
}

impl Look {
    /// Does a rate hold that did in so many runs, and failed in so many? None: not clear yet.
    fn decide(self, held: usize, failed: usize) -> Option<bool> {
        match self {
            Look::First if failed == 0 => Some(true),
            Look::First | Look::Held if held >= MAJORITY => Some(true),
            Look::First | Look::Held => (failed >= MAJORITY).then_some(false),
            Look::Failed if held >= failed => Some(true),
            Look::Failed => (failed >= held + 3 || held + failed >= LAST_LOOK).then_some(false),
        }
    }
}

enum Tried {
    Held,
    Failed(Failed),
    Interrupted,
}

impl<R, I> Searcher<'_, R, I>
where
    R: FnMut(f64) -> Result<Report, String>,
    I: Fn() -> bool,
{
    fn go(&mut self, from: f64) -> Result<SearchEnd, String> {
        while self.steps.len() < RUNS {
            let (rate, look) = match (self.held.last().copied(), self.failed.last().copied()) {
                (None, None) => (from, Look::First),
                (Some(held), None) => (held * 2.0, Look::First),
                (None, Some(failed)) if self.halvings < HALVINGS => {
                    self.halvings += 1;
                    (failed.rate / 2.0, Look::First)
                }
                (Some(held), Some(failed)) if failed.rate / held > CLOSE => {
                    (between(held, failed.rate), Look::First)
                }
                (Some(held), Some(_)) if !self.twice(held) => (held, Look::Held),
                (_, Some(failed)) if !failed.sure => (failed.rate, Look::Failed),
                (_, Some(_)) => break,
            };
            let tried = self.rate(rate, look)?;
            if matches!(tried, Tried::Interrupted) {
                return Ok(SearchEnd::Interrupted);
            }
            // What was known about this rate is replaced.
            self.held.retain(|held| *held < rate);
            self.failed.retain(|failed| failed.rate > rate);
            match tried {
                Tried::Failed(failed) => self.failed.push(failed),
                _ => self.held.push(rate),
            }
        }
        Ok(match (self.failed.last(), self.held.is_empty()) {
            (Some(Failed { generator: true, .. }), _) => SearchEnd::Generator,
            (_, true) => SearchEnd::Nothing,
            (_, false) => SearchEnd::Found,
        })
    }

    /// Did `rate` hold in two runs?
    fn twice(&self, rate: f64) -> bool {
        self.steps.iter().filter(|step| step.rate == rate && step.held).count() >= MAJORITY
    }

    /// Runs at `rate` until it is clear whether it holds; earlier runs at this rate count.
    fn rate(&mut self, rate: f64, look: Look) -> Result<Tried, String> {
        loop {
            if (self.interrupted)() {
                return Ok(Tried::Interrupted);
            }
            let report = match (self.run)(rate) {
                Ok(report) => report,
                Err(_) if (self.interrupted)() => return Ok(Tried::Interrupted),
                Err(why) => return Err(why),
            };
            let stopped = report.verdict == Verdict::Interrupted;
            let (why, lost) = match judge(self.slos, rate, &report) {
                Ok(()) => (None, false),
                Err(fault) => (Some(fault.why), fault.lost),
            };
            self.steps.push(Step { rate, held: why.is_none(), why, report });
            if stopped {
                return Ok(Tried::Interrupted);
            }
            let runs = |held| self.steps.iter().filter(move |s| s.rate == rate && s.held == held);
            let (held, failed) = (runs(true).count(), runs(false).count());
            match look.decide(held, failed) {
                _ if lost => {}
                Some(true) => return Ok(Tried::Held),
                Some(false) => {}
                None => continue,
            }
            return Ok(Tried::Failed(Failed {
                rate,
                generator: runs(false).all(|step| step.report.verdict == Verdict::Invalid),
                sure: lost || matches!(look, Look::Failed),
            }));
        }
    }
}

/// The geometric mean, with three digits if they still lie in between.
fn between(low: f64, high: f64) -> f64 {
    let middle = (low * high).sqrt();
    let unit = 10f64.powf(middle.log10().floor() - 2.0);
    let round = (middle / unit).round() * unit;
    // 0.1 and its powers are not exact: 707.0000000000001.
    let round = (round * 1e6).round() / 1e6;
    if round > low && round < high { round } else { middle }
}

/// Why a run did not hold.
struct Fault {
    why: String,
    /// A delivery was lost, repeated, late or garbled: no matter of noise.
    lost: bool,
}

/// Did the run hold?
fn judge(slos: &[Slo], rate: f64, report: &Report) -> Result<(), Fault> {
    let fault = |lost, why| Err(Fault { why, lost });
    let counts = &report.checks.counts;
    let was = |number: u64, what: &str| {
        let verb = if number == 1 { "was" } else { "were" };
        format!("{} {verb} {what}", plural(number, "delivery"))
    };
    let lost = [
        (counts.missing, "missing"),
        (counts.duplicate, "repeated"),
        (counts.out_of_order, "out of order"),
        (counts.corrupt, "corrupt"),
    ];
    if let Some((number, what)) = lost.into_iter().find(|(number, _)| *number > 0) {
        return fault(true, was(number, what));
    }
    let troubles = [
        (counts.refused, "command", "refused"),
        (counts.unanswered, "message", "neither accepted nor refused"),
        (counts.closed, "connection", "closed"),
        (counts.shed, "connection", "shed by the server"),
    ];
    if let Some((number, what, how)) = troubles.into_iter().find(|(number, ..)| *number > 0) {
        let verb = if number == 1 { "was" } else { "were" };
        return fault(false, format!("{} {verb} {how}", plural(number, what)));
    }
    if report.verdict == Verdict::Interrupted {
        return fault(false, "interrupted".into());
    }
    if report.verdict == Verdict::Invalid {
        return fault(false, "the generator was the limit".into());
    }
    // Before the unsent ones that follow from it.
    let owed = rate * report.measured_s;
    let sent = report.sent_per_s * report.measured_s;
    if sent + by_chance(report.setting.arrivals, owed) < SENT * owed {
        let (sent, rate) = (number(report.sent_per_s), number(rate));
        return fault(false, format!("only {sent} of {rate} messages/s could be sent"));
    }
    if report.verdict != Verdict::Ok {
        return fault(false, format!("{} could not be sent", plural(counts.unsent, "message")));
    }
    if report.latency.count == 0 {
        return fault(false, "no delivery was measured".into());
    }
    for slo in slos {
        let got = quantile(&report.latency, slo.quantile);
        if got >= slo.below_ms {
            let name = quantile_name(slo.quantile);
            let (got, bound) = (ms(got), number(slo.below_ms));
            return fault(false, format!("{name} was {got} ms, not below {bound} ms"));
        }
    }
    Ok(())
}

/// Messages that a window of `owed` on average may lack although all that were due were sent.
fn by_chance(arrivals: Arrivals, owed: f64) -> f64 {
    match arrivals {
        Arrivals::Constant => 1.0,
        // Three standard deviations.
        Arrivals::Poisson => 3.0 * owed.sqrt(),
        Arrivals::Burst(size) => size as f64,
    }
}

/// The quantile of an objective, in milliseconds.
pub(crate) fn quantile(latency: &Quantiles, quantile: f64) -> f64 {
    match quantile {
        q if q <= 0.5 => latency.p50_ms,
        q if q <= 0.9 => latency.p90_ms,
        q if q <= 0.99 => latency.p99_ms,
        q if q <= 0.999 => latency.p999_ms,
        _ => latency.max_ms,
    }
}

/// The name of an objective's quantile.
pub(crate) fn quantile_name(quantile: f64) -> &'static str {
    match quantile {
        q if q <= 0.5 => "p50",
        q if q <= 0.9 => "p90",
        q if q <= 0.99 => "p99",
        q if q <= 0.999 => "p99.9",
        _ => "max",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::example;
    use std::cell::Cell;

    /// A run at `rate` in which all went well and p99 was `p99_ms`.
    pub(crate) fn run_at(rate: f64, p99_ms: f64) -> Report {
        let mut report = example::report(&example::record(0));
        report.verdict = Verdict::Ok;
        report.measured_s = 10.0;
        report.sent_per_s = rate;
        report.deliveries_per_s = rate * 100.0;
        report.latency = Quantiles {
            count: 1_000,
            mean_ms: p99_ms * 0.5,
            p50_ms: p99_ms * 0.4,
            p90_ms: p99_ms * 0.8,
            p99_ms,
            p999_ms: p99_ms * 1.5,
            max_ms: p99_ms * 3.0,
        };
        report.warnings.clear();
        report
    }

    fn slos(texts: &[&str]) -> Vec<Slo> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn find(from: f64, mut run: impl FnMut(f64) -> Report) -> Search {
        search(&slos(&["p99<5ms"]), from, |rate| Ok(run(rate)), || false).unwrap()
    }

    pub(crate) fn normal(random: &mut fastrand::Rng) -> f64 {
        let (u, v) = (random.f64().max(1e-12), random.f64());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    #[test]
    fn the_edge_is_found_from_wherever_it_begins() {
        let check = |from: f64, edge: f64| {
            let found = find(from, |rate| run_at(rate, if rate <= edge { 1.0 } else { 50.0 }));
            let highest = found.highest_rate.unwrap();
            assert!(highest <= edge && highest > edge / CLOSE, "{from} {edge}: {highest}");
            assert_eq!(found.end, SearchEnd::Found);
            assert_eq!(found.deliveries_per_s, Some(highest * 100.0));
            assert!(found.steps.len() <= 40, "{} steps", found.steps.len());
            // It held twice.
            let again = found.steps.iter().filter(|step| step.rate == highest && step.held);
            assert_eq!(again.count(), 2);
        };
        check(100.0, 7_123.0);
        check(100.0, 100.0);
        check(100.0, 30.0);
        check(100.0, 1.9);
        check(1.0, 5_000_000.0);
        check(0.5, 0.7);
        check(7_000.0, 7_001.0);
    }

    #[test]
    fn a_step_of_a_clean_server_runs_once() {
        let found = find(100.0, |rate| run_at(rate, if rate < 500.0 { 1.0 } else { 5.0 }));
        let rates: Vec<f64> = found.steps.iter().map(|step| step.rate).take(6).collect();
        // 100, 200, 400 hold; 800 fails twice; then the geometric mean.
        assert_eq!(rates, [100.0, 200.0, 400.0, 800.0, 800.0, 566.0]);
        assert_eq!(found.steps[3].why.as_deref(), Some("p99 was 5.000 ms, not below 5 ms"));
        assert_eq!(found.steps[0].why, None);
    }

    #[test]
    fn nothing_holds() {
        let found = find(6_400.0, |rate| run_at(rate, 50.0));
        assert_eq!((found.highest_rate, found.end), (None, SearchEnd::Nothing));
        assert_eq!(found.deliveries_per_s, None);
        assert_eq!(found.steps.last().unwrap().rate, 100.0);
        assert_eq!(found.steps.len(), 2 * (HALVINGS + 1) + 1);
    }

    #[test]
    fn a_generator_at_its_limit_is_said() {
        let limited = |rate: f64, edge: f64| {
            let mut report = run_at(rate, 1.0);
            if rate > edge {
                report.verdict = Verdict::Invalid;
            }
            report
        };
        let found = find(100.0, |rate| limited(rate, 3_000.0));
        assert_eq!(found.end, SearchEnd::Generator);
        assert!(found.highest_rate.is_some_and(|rate| rate > 2_850.0 && rate <= 3_000.0));
        let why = found.steps.iter().find_map(|step| step.why.as_deref());
        assert_eq!(why, Some("the generator was the limit"));
        let found = find(100.0, |rate| limited(rate, 0.1));
        assert_eq!((found.highest_rate, found.end), (None, SearchEnd::Generator));
        // Below the generator's limit lies the server's: that is what counts.
        let found = find(100.0, |rate| match rate {
            rate if rate > 2_000.0 => limited(rate, 0.0),
            rate => run_at(rate, if rate > 1_800.0 { 9.0 } else { 1.0 }),
        });
        assert_eq!(found.end, SearchEnd::Found);
        assert!(found.highest_rate.is_some_and(|rate| rate > 1_700.0 && rate <= 1_800.0));
    }

    #[test]
    fn one_bad_run_is_not_the_end_but_a_lost_delivery_is() {
        let runs = Cell::new(0);
        let noisy = |bad: fn(&mut Report)| {
            runs.set(0);
            find(100.0, |rate| {
                runs.set(runs.get() + 1);
                let mut report = run_at(rate, if rate > 10_000.0 { 50.0 } else { 1.0 });
                // The third run, at 400, has an accident.
                if runs.get() == 3 {
                    bad(&mut report);
                }
                report
            })
        };
        let check = |bad: fn(&mut Report), why: &str, fatal: bool| {
            let found = noisy(bad);
            assert_eq!(found.steps[2].why.as_deref(), Some(why));
            assert!(!found.steps[2].held);
            let highest = found.highest_rate.unwrap();
            assert_eq!(highest < 400.0, fatal, "{why}: {highest}");
            if !fatal {
                assert!(highest > 9_500.0, "{why}: {highest}");
                let rates: Vec<f64> = found.steps[2..6].iter().map(|step| step.rate).collect();
                assert_eq!(rates, [400.0, 400.0, 400.0, 800.0]);
            }
        };
        check(|r| r.checks.counts.missing = 12, "12 deliveries were missing", true);
        check(|r| r.checks.counts.duplicate = 1, "1 delivery was repeated", true);
        check(|r| r.checks.counts.out_of_order = 2, "2 deliveries were out of order", true);
        check(|r| r.checks.counts.corrupt = 2, "2 deliveries were corrupt", true);
        check(|r| r.checks.counts.refused = 2, "2 commands were refused", false);
        check(|r| r.checks.counts.closed = 1, "1 connection was closed", false);
        check(|r| r.checks.counts.shed = 3, "3 connections were shed by the server", false);
        check(|r| r.latency.p99_ms = 7.1, "p99 was 7.100 ms, not below 5 ms", false);
        check(|r| r.latency.count = 0, "no delivery was measured", false);
        check(|r| r.verdict = Verdict::Invalid, "the generator was the limit", false);
        check(|r| r.sent_per_s = 300.0, "only 300 of 400 messages/s could be sent", false);
        let unsent = |r: &mut Report| {
            r.verdict = Verdict::Failed;
            r.checks.counts.unsent = 2;
        };
        check(unsent, "2 messages could not be sent", false);
    }

    #[test]
    fn every_objective_must_hold() {
        let check = |objectives: &[&str], want: f64| {
            let run = |rate| Ok(run_at(rate, rate / 1_000.0));
            let found = search(&slos(objectives), 100.0, run, || false).unwrap();
            let highest = found.highest_rate.unwrap();
            assert!(highest < want && highest > want / 1.06, "{objectives:?}: {highest}");
        };
        check(&["p99<5ms"], 5_000.0);
        check(&["p50<5ms"], 12_500.0);
        check(&["p90<5ms"], 6_250.0);
        check(&["p99.9<5ms"], 3_333.3);
        check(&["max<5ms"], 1_666.7);
        check(&["p99<5ms", "max<9ms"], 3_000.0);
    }

    #[test]
    fn what_was_sent_is_judged_by_how_it_was_spread() {
        let check = |arrivals, rate: f64, sent: f64, want| {
            let mut report = run_at(rate, 1.0);
            (report.sent_per_s, report.setting.arrivals) = (sent, arrivals);
            let held = judge(&slos(&["p99<5ms"]), rate, &report).is_ok();
            assert_eq!(held, want, "{arrivals:?} {rate} {sent}");
        };
        check(Arrivals::Constant, 100.0, 97.0, true);
        check(Arrivals::Constant, 100.0, 96.5, false);
        check(Arrivals::Poisson, 100.0, 90.0, true);
        check(Arrivals::Poisson, 100.0, 85.0, false);
        check(Arrivals::Poisson, 100_000.0, 96_500.0, false);
        check(Arrivals::Burst(50), 100.0, 92.5, true);
        check(Arrivals::Burst(50), 100.0, 91.0, false);
    }

    #[test]
    fn noise_changes_little() {
        let check = |name: &str, server: fn(f64, &mut fastrand::Rng) -> Report| {
            let rates: Vec<f64> = (0..20)
                .map(|seed| {
                    let mut random = fastrand::Rng::with_seed(seed);
                    find(100.0, |rate| server(rate, &mut random)).highest_rate.unwrap()
                })
                .collect();
            let lowest = rates.iter().copied().fold(f64::MAX, f64::min);
            let highest = rates.iter().copied().fold(0.0, f64::max);
            assert!(highest / lowest < 1.15, "{name}: {lowest} {highest}: {rates:?}");
        };
        // A queue: latency rises steeply towards the server's limit; every run is off by 20 %.
        check("queue", |rate, random| {
            let free = (1.0 - rate / 10_000.0).max(1e-3);
            run_at(rate, 0.5 / free * (0.2 * normal(random)).exp())
        });
        // Every tenth run has an accident.
        check("accidents", |rate, random| {
            let free = (1.0 - rate / 10_000.0).max(1e-3);
            let accident = if random.f64() < 0.1 { 30.0 } else { 1.0 };
            run_at(rate, 0.5 / free * accident)
        });
        // Latency in proportion to the rate, which shows noise as it is.
        check("slope", |rate, random| run_at(rate, rate / 1_000.0 * (0.04 * normal(random)).exp()));
        // The generator has too little time now and then, and at 20,000 always.
        check("generator", |rate, random| {
            let mut report = run_at(rate, 1.0);
            if rate > 20_000.0 || random.f64() < 0.1 {
                report.verdict = Verdict::Invalid;
            }
            report
        });
    }

    #[test]
    fn an_interrupt_leaves_what_there_is() {
        let runs = Cell::new(0);
        let count = |rate| {
            runs.set(runs.get() + 1);
            run_at(rate, 1.0)
        };
        let objectives = slos(&["p99<5ms"]);
        let found = search(&objectives, 100.0, |rate| Ok(count(rate)), || runs.get() == 3).unwrap();
        assert_eq!((found.highest_rate, found.end), (Some(400.0), SearchEnd::Interrupted));
        assert_eq!(found.steps.len(), 3);

        // Within a run that still makes a report, and in one that does not.
        runs.set(0);
        let stopped = |rate| {
            let mut report = count(rate);
            if runs.get() == 2 {
                report.verdict = Verdict::Interrupted;
            }
            Ok(report)
        };
        let found = search(&objectives, 100.0, stopped, || false).unwrap();
        assert_eq!((found.highest_rate, found.end), (Some(100.0), SearchEnd::Interrupted));
        assert_eq!(found.steps[1].why.as_deref(), Some("interrupted"));
        let failing = |_| {
            runs.set(7);
            Err("interrupted before all had joined".to_owned())
        };
        let found = search(&objectives, 100.0, failing, || runs.get() == 7).unwrap();
        assert_eq!((found.highest_rate, found.end), (None, SearchEnd::Interrupted));
    }

    #[test]
    fn errors_are_passed_on() {
        let objectives = slos(&["p99<5ms"]);
        let result = search(&objectives, 100.0, |_| Err("no server".into()), || false);
        assert_eq!(result, Err("no server".into()));
        for from in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(search(&objectives, from, |rate| Ok(run_at(rate, 1.0)), || false).is_err());
        }
    }

    #[test]
    fn a_server_without_limit_ends_as_well() {
        let found = find(100.0, |rate| run_at(rate, 1.0));
        assert_eq!((found.steps.len(), found.end), (RUNS, SearchEnd::Found));
    }

    #[test]
    fn medians() {
        let check = |numbers: &[f64], want| assert_eq!(median(numbers.to_vec()), want);
        check(&[], None);
        check(&[3.0], Some(3.0));
        check(&[3.0, 1.0], Some(2.0));
        check(&[9.0, 1.0, 3.0], Some(3.0));
    }
}
