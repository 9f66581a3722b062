//! What a person sees while it runs: bars on a terminal, now and then a line elsewhere.
//!
//! Only on stderr; never decides anything, and what cannot be written is left out. The tests at
//! the end pass the time in and read what is written.

use crate::report::figures::count;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Opening and joining; counted in connections.
    Connect,
    /// Between the last join and the first message; in milliseconds.
    Settle,
    /// Sending, not yet measuring; in milliseconds.
    WarmUp,
    /// Sending and measuring; in milliseconds.
    Measure,
    /// Waiting for what is owed; in deliveries.
    Drain,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Settle => "settle",
            Phase::WarmUp => "warm up",
            Phase::Measure => "measure",
            Phase::Drain => "drain",
        }
    }

    /// How far it is: `done` of `total`, which is 0 if unknown.
    fn reached(self, done: u64, total: u64) -> String {
        let (unit, seconds) = match self {
            Phase::Connect => ("connections", false),
            Phase::Drain => ("deliveries", false),
            Phase::Settle | Phase::WarmUp | Phase::Measure => ("s", true),
        };
        let show = |n: u64| match seconds {
            true => format!("{:.1}", n as f64 / 1000.0),
            false => count(n),
        };
        match total {
            0 => format!("{} {unit}", show(done)),
            _ => format!("{} of {} {unit}", show(done), show(total)),
        }
    }
}

/// Is told how a run goes.
pub trait Watch {
    /// A phase begins, and the one before it has ended. `total`: in the phase's unit; 0: unknown.
    fn phase(&mut self, phase: Phase, total: u64);
    /// So much of the phase is done; `note`: a few words, may be empty. May be called often.
    fn at(&mut self, done: u64, note: &str);
    /// A line that stays.
    fn say(&mut self, line: &str);
    /// The last phase has ended. A further run may begin.
    fn end(&mut self);
}

/// Bars if stderr is a terminal, lines if not, nothing if `quiet`.
pub fn watch(quiet: bool) -> Box<dyn Watch> {
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Box::new(Bars::new(colour))
    } else {
        Box::new(Lines::new(std::io::stderr()))
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {
    fn phase(&mut self, _phase: Phase, _total: u64) {}
    fn at(&mut self, _done: u64, _note: &str) {}
    fn say(&mut self, _line: &str) {}
    fn end(&mut self) {}
}

/// What is known of the phase that goes on.
#[derive(Debug)]
struct Running {
    phase: Phase,
    total: u64,
    begun: Instant,
    shown: Instant,
    /// What the last call of `at` said.
    done: u64,
    note: String,
}

impl Running {
    fn new(now: Instant, phase: Phase, total: u64) -> Running {
        Running { phase, total, begun: now, shown: now, done: 0, note: String::new() }
    }

    /// Notes how far it is. Is it time to show it?
    fn at(&mut self, now: Instant, done: u64, note: &str, every: Duration) -> bool {
        self.done = done;
        self.note.clear();
        self.note.push_str(note);
        let due = now.saturating_duration_since(self.shown) >= every;
        if due {
            self.shown = now;
        }
        due
    }

    fn reached(&self) -> String {
        let reached = self.phase.reached(self.done, self.total);
        if self.note.is_empty() { reached } else { format!("{reached}, {}", self.note) }
    }

    fn ended(&self, now: Instant) -> String {
        let took = now.saturating_duration_since(self.begun).as_secs_f64();
        format!("{}, took {took:.1} s", self.reached())
    }
}

/// One bar per phase, drawn over itself; those that ended leave a line with their time.
#[derive(Debug)]
pub struct Bars {
    colour: bool,
    now: Option<(Running, ProgressBar)>,
    target: fn() -> ProgressDrawTarget,
    print: fn(&str),
}

/// Redrawn at most so often.
const REDRAW: Duration = Duration::from_millis(100);

impl Bars {
    /// On stderr, in colour or not.
    pub fn new(colour: bool) -> Bars {
        let print = |line: &str| print(&mut std::io::stderr(), line);
        Bars { colour, now: None, target: ProgressDrawTarget::stderr, print }
    }

    fn style(&self, known: bool) -> ProgressStyle {
        let template = match (self.colour, known) {
            (true, true) => "{prefix:>8} {bar:30.green} {msg}",
            (false, true) => "{prefix:>8} {bar:30} {msg}",
            (true, false) => "{prefix:>8} {spinner:.green} {msg}",
            (false, false) => "{prefix:>8} {spinner} {msg}",
        };
        // The default is a bar, too.
        ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─")
    }

    fn at_at(&mut self, now: Instant, done: u64, note: &str) {
        let Some((running, bar)) = &mut self.now else { return };
        if running.at(now, done, note, REDRAW) {
            bar.set_position(done);
            bar.set_message(running.reached());
        }
    }

    fn end_at(&mut self, now: Instant) {
        let Some((running, bar)) = self.now.take() else { return };
        bar.finish_and_clear();
        (self.print)(&format!("{:>8} {}", running.phase.name(), running.ended(now)));
    }
}

impl Watch for Bars {
    fn phase(&mut self, phase: Phase, total: u64) {
        let now = Instant::now();
        self.end_at(now);
        let bar = ProgressBar::with_draw_target((total > 0).then_some(total), (self.target)());
        let running = Running::new(now, phase, total);
        bar.set_style(self.style(total > 0));
        bar.set_prefix(phase.name());
        bar.set_message(running.reached());
        self.now = Some((running, bar));
    }

    fn at(&mut self, done: u64, note: &str) {
        self.at_at(Instant::now(), done, note);
    }

    fn say(&mut self, line: &str) {
        match &self.now {
            Some((_, bar)) => bar.suspend(|| (self.print)(line)),
            None => (self.print)(line),
        }
    }

    fn end(&mut self) {
        self.end_at(Instant::now());
    }
}

impl Drop for Bars {
    /// A run that failed leaves its last line, too.
    fn drop(&mut self) {
        self.end();
    }
}

/// A line when a phase begins and one when it ends, and one now and then in between.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    now: Option<Running>,
}

/// Lines within a phase are at least so far apart.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl<W: Write> Lines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Lines<W> {
        Lines { out, now: None }
    }

    fn phase_at(&mut self, now: Instant, phase: Phase, total: u64) {
        self.end_at(now);
        let running = Running::new(now, phase, total);
        let line = match total {
            0 => phase.name().to_owned(),
            _ => format!("{}: {}", phase.name(), running.reached()),
        };
        print(&mut self.out, &line);
        self.now = Some(running);
    }

    fn at_at(&mut self, now: Instant, done: u64, note: &str) {
        let Some(running) = &mut self.now else { return };
        if running.at(now, done, note, LINE_EVERY) {
            print(&mut self.out, &format!("{}: {}", running.phase.name(), running.reached()));
        }
    }

    fn end_at(&mut self, now: Instant) {
        let Some(running) = self.now.take() else { return };
        print(&mut self.out, &format!("{}: {}", running.phase.name(), running.ended(now)));
    }
}

impl<W: Write> Watch for Lines<W> {
    fn phase(&mut self, phase: Phase, total: u64) {
        self.phase_at(Instant::now(), phase, total);
    }

    fn at(&mut self, done: u64, note: &str) {
        self.at_at(Instant::now(), done, note);
    }

    fn say(&mut self, line: &str) {
        print(&mut self.out, line);
    }

    fn end(&mut self) {
        self.end_at(Instant::now());
    }
}

/// Progress that nobody can read is no reason to stop.
fn print(out: &mut impl Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_says_how_far_it_is() {
        let check = |phase: Phase, done, total, want| {
            assert_eq!(phase.reached(done, total), want);
        };
        check(Phase::Connect, 1_500, 10_000, "1,500 of 10,000 connections");
        check(Phase::Measure, 2_340, 10_000, "2.3 of 10.0 s");
        check(Phase::Drain, 1_200, 0, "1,200 deliveries");
        check(Phase::Settle, 500, 0, "0.5 s");
    }

    #[test]
    fn lines_are_few() {
        let begin = Instant::now();
        let after = |ms| begin + Duration::from_millis(ms);
        let mut lines = Lines::new(Vec::new());
        lines.at_at(begin, 7, "before any phase");
        lines.phase_at(begin, Phase::Connect, 1_000);
        lines.at_at(after(100), 500, "");
        lines.at_at(after(1_200), 1_000, "");
        lines.phase_at(after(1_200), Phase::Measure, 12_000);
        for ms in (0..=12_000).step_by(10) {
            lines.at_at(after(1_200 + ms), ms, "p99 1.2 ms");
        }
        lines.say("interrupted");
        lines.end_at(after(13_200));
        lines.end_at(after(13_300));
        let want = "connect: 0 of 1,000 connections
connect: 1,000 of 1,000 connections, took 1.2 s
measure: 0.0 of 12.0 s
measure: 5.0 of 12.0 s, p99 1.2 ms
measure: 10.0 of 12.0 s, p99 1.2 ms
interrupted
measure: 12.0 of 12.0 s, p99 1.2 ms, took 12.0 s
";
        assert_eq!(String::from_utf8(lines.out).unwrap(), want);
    }

    #[test]
    fn bars_follow_the_phases() {
        thread_local! {
            static PRINTED: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
        }
        for colour in [true, false] {
            let print = |line: &str| PRINTED.with_borrow_mut(|all| *all += &format!("{line}\n"));
            let target = ProgressDrawTarget::hidden;
            let mut bars = Bars { colour, now: None, target, print };
            bars.at(5, "before any phase");
            bars.phase(Phase::Connect, 10);
            let later = Instant::now() + REDRAW;
            bars.at_at(later, 5, "x");
            let bar = bars.now.as_ref().unwrap().1.clone();
            assert_eq!((bar.position(), bar.length()), (5, Some(10)));
            assert_eq!(bar.message(), "5 of 10 connections, x");
            // Too soon to be drawn, but the end knows it.
            bars.at_at(later, 10, "y");
            assert_eq!(bar.position(), 5);
            bars.say("a line");
            bars.phase(Phase::Drain, 0);
            assert!(bar.is_finished());
            bars.at_at(Instant::now() + REDRAW, 1_234, "");
            assert_eq!(bars.now.as_ref().unwrap().1.message(), "1,234 deliveries");
            drop(bars);
            let want = "a line\n connect 10 of 10 connections, y, took 0.0 s
   drain 1,234 deliveries, took 0.0 s\n";
            assert_eq!(PRINTED.take(), want);
        }
    }

    #[test]
    fn templates_are_valid() {
        for template in ["{prefix:>8} {bar:30.green} {msg}", "{prefix:>8} {spinner:.green} {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
