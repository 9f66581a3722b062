//! Parses, runs, prints; maps the result to an exit status.

use clap::Parser;
use ringchat_loadgen::options::{Format, Options, Plan};
use ringchat_loadgen::report::exit;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let options = Options::parse();
    let format = options.format;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = match Plan::new(options, cpus) {
        Ok(plan) => plan,
        Err(why) => return fail(exit::USAGE, &why),
    };
    raise_descriptor_limit();
    let interrupt = Arc::new(AtomicBool::new(false));
    watch_interrupt(Arc::clone(&interrupt));
    let mut progress = Progress::new();
    let result = ringchat_loadgen::run(plan, &interrupt, |line| progress.show(line));
    progress.clear();
    let report = match result {
        Ok(report) => report,
        Err(why) => return fail(exit::FAILED, &why),
    };
    let printed = match format {
        Format::Text => Ok(report.to_text()),
        Format::Json => report.to_json(),
    };
    match printed.map(|text| std::io::stdout().write_all(text.as_bytes())) {
        Ok(Ok(())) => ExitCode::from(report.exit_code()),
        Ok(Err(error)) => fail(exit::FAILED, &format!("cannot print the result: {error}")),
        Err(error) => fail(exit::FAILED, &format!("cannot print the result: {error}")),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("ringchat-loadgen: {why}");
    ExitCode::from(code)
}

/// A connection is a descriptor: asks for as many as the process may have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it stays low, opening says so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The first Ctrl-C or SIGTERM ends the run and prints what there is, the second leaves at once.
fn watch_interrupt(interrupt: Arc<AtomicBool>) {
    let watch = async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        for again in [false, true] {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            if again {
                std::process::exit(exit::FAILED.into());
            }
            interrupt.store(true, Ordering::Relaxed);
        }
    };
    std::thread::spawn(move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() {
            runtime.block_on(watch);
        }
    });
}

/// One line on a terminal that is written over; nothing elsewhere.
struct Progress {
    terminal: bool,
    shown: Option<Instant>,
}

impl Progress {
    const EVERY: Duration = Duration::from_millis(250);

    fn new() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, line: &str) {
        if self.terminal && self.shown.is_none_or(|at| at.elapsed() >= Progress::EVERY) {
            eprint!("\r\x1b[K{line}");
            self.shown = Some(Instant::now());
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
