//! Parses, runs, prints; maps the result to an exit status.

use clap::Parser;
use ringchat_loadgen::options::{Cli, Command, Compare, Format, Options};
use ringchat_loadgen::plan::Plan;
use ringchat_loadgen::progress;
use ringchat_loadgen::record::Record;
use ringchat_loadgen::report::{self, Report, compare, exit};
use ringchat_loadgen::system::{self, ServerProcesses};
use ringchat_loadgen::{child, scenario, search};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> ExitCode {
    let arguments = match scenario::arguments(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(why) => return fail(exit::USAGE, &why),
    };
    let cli = Cli::parse_from(arguments);
    system::raise_descriptor_limit();
    let done = match (cli.command, cli.options) {
        (Some(Command::Compare(what)), _) => compare_runs(&what),
        (Some(Command::Child), _) => child::serve().map(|()| exit::OK).map_err(failed),
        (None, Some(options)) => load(options),
        // clap asks for options where there is no command.
        (None, None) => Err((exit::USAGE, "nothing to do: see --help".into())),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err((code, why)) => fail(code, &why),
    }
}

/// An exit status, and why.
type Failure = (u8, String);

fn failed(why: String) -> Failure {
    (exit::FAILED, why)
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("ringchat-loadgen: {why}");
    ExitCode::from(code)
}

/// A run, or a search.
fn load(options: Options) -> Result<u8, Failure> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan::new(options, cpus).map_err(|why| (exit::USAGE, why))?;
    let options = plan.options.clone();
    let interrupt = Arc::new(AtomicBool::new(false));
    watch_interrupt(Arc::clone(&interrupt));
    if options.find_max {
        return find(&plan, &options, &interrupt);
    }
    let (report, record) = run(plan, &interrupt).map_err(failed)?;
    if let Some(path) = &options.html {
        let page = report::html(&report, &record).map_err(failed)?;
        save(path, page.as_bytes())?;
    }
    if let Some(path) = &options.hgrm {
        save(path, report::hgrm(&record.totals.latency).as_bytes())?;
    }
    if let Some(path) = &options.interval_log {
        save(path, &report::interval_log(&record).map_err(failed)?)?;
    }
    match options.format {
        Format::Text => print(&report.to_text())?,
        Format::Json => print(&report.to_json().map_err(|error| failed(error.to_string()))?)?,
    }
    Ok(report.exit_code())
}

fn run(plan: Plan, interrupt: &AtomicBool) -> Result<(Report, Record), String> {
    let mut environment = system::environment();
    environment.server = ServerProcesses::new(&plan.options.server_pid)?.command();
    let mut watch = progress::watch(plan.options.quiet);
    let (plan, record) = ringchat_loadgen::run(plan, interrupt, watch.as_mut())?;
    Ok((Report::new(&plan, &record, environment), record))
}

fn find(plan: &Plan, options: &Options, interrupt: &AtomicBool) -> Result<u8, Failure> {
    let one = |rate| run(plan.with_rate(rate), interrupt).map(|(report, _)| report);
    let interrupted = || interrupt.load(Ordering::Relaxed);
    let found = search::search(&options.slo, options.find_from, one, interrupted);
    let found = found.map_err(failed)?;
    if let Some(path) = &options.html {
        let page = report::search::html(&found).map_err(failed)?;
        save(path, page.as_bytes())?;
    }
    match options.format {
        Format::Text => print(&found.to_text())?,
        Format::Json => print(&found.to_json().map_err(|error| failed(error.to_string()))?)?,
    }
    Ok(found.exit_code())
}

fn compare_runs(what: &Compare) -> Result<u8, Failure> {
    let groups = compare::load(&what.reports).map_err(|why| (exit::USAGE, why))?;
    let comparison = compare::compare(&groups);
    match what.format {
        Format::Text => print(&comparison.to_text())?,
        Format::Json => print(&comparison.to_json().map_err(|error| failed(error.to_string()))?)?,
    }
    Ok(exit::OK)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    done.map_err(|error| failed(format!("cannot print the result: {error}")))
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|error| failed(format!("cannot write {}: {error}", path.display())))
}

/// The first Ctrl-C or SIGTERM ends the run and prints what there is, the second leaves at once.
fn watch_interrupt(interrupt: Arc<AtomicBool>) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let watch = async move {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut ctrl_c), Ok(mut terminate)) = signals else { return };
        drop(ready);
        for again in [false, true] {
            tokio::select! {
                _ = ctrl_c.recv() => {}
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
    // Ends when the signals are watched, or cannot be.
    let _: Result<(), _> = is_ready.recv();
}
