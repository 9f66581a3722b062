//! Whole runs against a server that misbehaves on demand (`stub.rs`): the report must say exactly
//! what went wrong. Runs of the program itself: `program.rs`.
#![allow(clippy::unwrap_used)]

mod program;
mod stub;
mod stub_itself;
mod unrest;

use clap::Parser;
use ringchat_loadgen::options::Cli;
use ringchat_loadgen::plan::Plan;
use ringchat_loadgen::progress;
use ringchat_loadgen::record::Counts;
use ringchat_loadgen::report::{Environment, Report, Verdict};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use stub::Fault;

/// 12 members in 3 rooms, 2 senders in each; 240 messages, of which 80 in each room.
const LOAD: &str = "--connections 12 --rooms 3 --senders 6 --rate 400 --warmup 100ms \
                    --duration 500ms --settle 20ms --drain 500ms --threads 2 --payload 100 \
                    --allow-saturation";

/// The command line of a run: [`LOAD`], less what `more` overrides, and `more`.
pub(crate) fn arguments(server: SocketAddr, more: &str) -> Vec<String> {
    let words = LOAD.split_whitespace().collect::<Vec<_>>();
    let flags = words.split(|word| word.starts_with("--")).skip(1);
    let names = words.iter().filter(|word| word.starts_with("--"));
    let given = |name: &str| more.split_whitespace().any(|word| word == name);
    let kept = names.zip(flags).filter(|(name, _)| match **name {
        "--rate" => !given("--closed") && !given("--rate"),
        "--senders" => !given("--senders-per-room") && !given("--senders"),
        name => !given(name),
    });
    let mut all = vec!["ringchat-loadgen".to_owned()];
    if !given("--url") {
        all.push(format!("--url=ws://{server}"));
    }
    for (name, values) in kept {
        all.push((*name).to_owned());
        all.extend(values.iter().map(|value| (*value).to_owned()));
    }
    all.extend(more.split_whitespace().map(str::to_owned));
    all
}

fn try_run(server: SocketAddr, more: &str) -> Result<Report, String> {
    let cli = Cli::parse_from(arguments(server, more));
    let plan = Plan::new(cli.options.unwrap(), 2)?;
    let mut watch = progress::watch(true);
    let interrupt = AtomicBool::new(false);
    let (plan, record) = ringchat_loadgen::run(plan, &interrupt, watch.as_mut())?;
    assert!(!interrupt.load(Ordering::Relaxed));
    Ok(Report::new(&plan, &record, Environment::default()))
}

pub(crate) fn run_at(server: SocketAddr, more: &str) -> Report {
    try_run(server, more).unwrap()
}

pub(crate) fn run(fault: Fault, more: &str) -> Report {
    run_at(stub::start(fault), more)
}

/// Runs all that speaks rooms; all of `expected` must come out, and only that; a fault in words
/// must begin with `words`.
fn check(fault: Fault, expected: Counts, words: &str) {
    for dialect in ["ringchat", "ringchat --encoding protobuf", "plain", "raw"] {
        let report = run(fault, &format!("--dialect {dialect}"));
        let delivered = 960 - expected.missing;
        let all = Counts { sent: 240, delivered, ..expected.clone() };
        let held_back = report.checks.counts.held_back;
        let all = Counts { held_back, ..all };
        assert_eq!(report.checks.counts, all, "{dialect}\n{}", report.to_text());
        assert_eq!(report.checks.owed, 960);
        let good = expected == Counts::default();
        assert_eq!(report.exit_code(), if good { 0 } else { 3 }, "{dialect}");
        assert_eq!(report.faults.is_empty(), good, "{:?}", report.faults);
        assert!(report.faults.iter().all(|f| f.starts_with(words)), "{:?}", report.faults);
    }
}

#[test]
fn a_good_server_passes() {
    check(Fault::Nothing, Counts::default(), "");
}

#[test]
fn a_dropped_delivery_is_missing() {
    check(Fault::Drop, Counts { missing: 1, ..Counts::default() }, "missing: message ");
}

#[test]
fn a_repeated_delivery_is_a_duplicate() {
    check(Fault::Repeat, Counts { duplicate: 1, ..Counts::default() }, "duplicate: ");
}

#[test]
fn a_swapped_delivery_is_out_of_order() {
    check(Fault::Swap, Counts { out_of_order: 1, ..Counts::default() }, "out of order: ");
}

#[test]
fn a_damaged_delivery_is_corrupt_and_missing() {
    let report = run(Fault::Damage, "");
    let counts = &report.checks.counts;
    assert_eq!((counts.corrupt, counts.missing, counts.delivered), (1, 1, 959));
    assert!(report.faults[0].starts_with("corrupt: at connection "), "{:?}", report.faults);
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn faults_name_the_message() {
    // With one sender and one room, the 21st message is the one that is hit.
    for (fault, words) in [
        (Fault::Drop, "missing: message 20 of sender 0, at connection "),
        (Fault::Repeat, "duplicate: came again: message 20 of sender 0, at connection "),
        (Fault::Swap, "out of order: came after a later one: message 20 of sender 0, at "),
    ] {
        let report = run(fault, "--rooms 1 --senders 1");
        assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
        assert!(report.faults[0].starts_with(words), "{:?}", report.faults);
    }
}

#[test]
fn a_delivery_that_is_held_for_200_ms_shows() {
    let report = run(Fault::DelayMs(200), "");
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    assert!(report.latency.p999_ms >= 190.0, "{}", report.to_text());
    assert!(report.latency.p50_ms < 100.0, "{}", report.to_text());
}

#[test]
fn a_server_that_stalls_shows_although_the_senders_were_blocked() {
    // More than fits into the socket buffers while the server does not read.
    let load = "--payload 60000 --senders 1 --rate 400 --rooms 1 --connections 2 --drain 5s";
    let report = run(Fault::BlockSenders(400), load);
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    assert!(report.generator.held_back > 0, "{}", report.to_text());
    assert!(report.latency.p999_ms >= 300.0, "{}", report.to_text());
    assert!(report.service.mean_ms < report.latency.mean_ms, "{}", report.to_text());
}

#[test]
fn a_thread_that_gets_no_cpu_makes_the_run_invalid() {
    let cores = core_affinity::get_core_ids().unwrap();
    let core = cores[0];
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let busy = (0..4).map(|_| {
        let stop = std::sync::Arc::clone(&stop);
        std::thread::spawn(move || {
            core_affinity::set_for_current(core);
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    });
    let busy = busy.collect::<Vec<_>>();
    let server = stub::start(Fault::Nothing);
    let words = arguments(server, &format!("--threads 1 --cpus {} --duration 2s", core.id));
    let words = words.into_iter().filter(|word| word != "--allow-saturation");
    let plan = Plan::new(Cli::parse_from(words).options.unwrap(), 2).unwrap();
    let mut watch = progress::watch(true);
    let result = ringchat_loadgen::run(plan, &AtomicBool::new(false), watch.as_mut());
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    let (plan, record) = result.unwrap();
    let report = Report::new(&plan, &record, Environment::default());
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Invalid, 3), "{}", report.to_text());
    assert!(report.warnings.iter().any(|w| w.contains("CPU")), "{:?}", report.warnings);
}

#[test]
fn a_refused_message_is_refused() {
    let report = run(Fault::Refuse, "");
    let counts = &report.checks.counts;
    assert_eq!((counts.refused, counts.missing, counts.unanswered), (1, 0, 0));
    assert_eq!((report.checks.owed, counts.delivered), (956, 956));
    assert!(report.to_text().contains("command_rate_limit"), "{}", report.to_text());
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn a_refused_message_does_not_stop_the_closed_loop() {
    let report = run(Fault::Refuse, "--closed 1 --rooms 1 --senders 1");
    assert_eq!(report.checks.counts.refused, 1);
    assert!(report.checks.counts.sent > 22, "{}", report.to_text());
}

#[test]
fn a_connection_that_the_server_shed_is_counted_apart() {
    let report = run(Fault::Shed, "");
    let counts = &report.checks.counts;
    assert_eq!((counts.shed, counts.closed, counts.missing), (1, 0, 0), "{}", report.to_text());
    assert!(counts.shed_deliveries > 0);
    assert_eq!((report.closes[0].code, report.exit_code()), (3008, 0));
    assert!(!report.warnings.is_empty());
}

#[test]
fn a_closed_connection_is_counted_with_its_code() {
    for (fault, code) in [(Fault::Close(4000), 4000), (Fault::Reset, 1006)] {
        let report = run(fault, "");
        let counts = &report.checks.counts;
        assert_eq!((counts.closed, report.closes[0].code), (1, code), "{}", report.to_text());
        assert!(counts.missing > 0);
        assert_eq!(report.exit_code(), 3);
    }
}

#[test]
fn a_server_that_goes_away_ends_the_run() {
    let report = run(Fault::Vanish, "--duration 1h");
    assert_eq!(report.checks.counts.closed, 12, "{}", report.to_text());
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn the_closed_loop_keeps_going_and_is_complete() {
    let report = run(Fault::Nothing, "--closed 5");
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    let counts = &report.checks.counts;
    assert!(counts.sent > 100 && report.checks.owed == 4 * counts.sent);
    assert_eq!(counts.delivered, report.checks.owed);
    assert!(report.latency.count > 0 && report.deliveries_per_s > 0.0);
}

#[test]
fn every_shape_of_load_is_complete() {
    for more in [
        "--arrivals poisson",
        "--arrivals burst:20",
        "--payload 64-3000",
        "--rooms 4 --room-sizes zipf:1.2 --connections 40 --senders-per-room 3",
        "--rooms 6 --active-rooms 2 --connections 30 --senders 4",
        "--dialect echo --rooms 12 --senders 12",
        "--dialect echo --rooms 12 --senders 12 --closed 4",
        "--connect-rate 200",
        "--namespace chat",
        "--dialect raw --url ws://SERVER/x/{room} --hello hi-{i}-{n}",
        "--source 127.0.0.5-127.0.0.7",
    ] {
        let server = stub::start(Fault::Nothing);
        let report = run_at(server, &more.replace("SERVER", &server.to_string()));
        assert_eq!(report.verdict, Verdict::Ok, "{more}\n{}", report.to_text());
        assert!(report.checks.owed > 0 && report.checks.counts.sent > 50, "{more}");
        let connections = report.setting.connections as u64;
        assert_eq!(report.connect.handshake.count, connections, "{more}");
        assert_eq!(report.connect.join.count, connections, "{more}");
        let sum = report.seconds.iter().map(|second| second.delivered).sum::<u64>();
        assert!(sum > 0 && sum <= report.checks.counts.delivered, "{more}: {sum}");
    }
}

#[test]
fn two_servers_share_the_rooms() {
    let (one, two) = (stub::start(Fault::Nothing), stub::start(Fault::Nothing));
    let report = run_at(one, &format!("--url ws://{one} --url ws://{two} --rooms 4"));
    assert_eq!((report.verdict, report.checks.owed), (Verdict::Ok, 720), "{}", report.to_text());
}

#[test]
fn presence_and_history_are_asked_for() {
    for encoding in ["json", "protobuf"] {
        let more = format!("--presence-rate 40 --history-rate 20 --encoding {encoding}");
        let report = run(Fault::Nothing, &more);
        assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
        assert_eq!(report.presence.unwrap().count, 20, "{}", report.to_text());
        assert_eq!(report.history.unwrap().count, 10, "{}", report.to_text());
    }
}

#[test]
fn tls_is_spoken_and_checked() {
    let (server, ca) = stub::start_tls(Fault::Nothing);
    let url = format!("--url wss://localhost:{}", server.port());
    let report = run_at(server, &format!("{url} --ca {}", ca.display()));
    assert_eq!((report.verdict, report.checks.owed), (Verdict::Ok, 960), "{}", report.to_text());
    let (_, other) = stub::start_tls(Fault::Nothing);
    let error = try_run(server, &format!("{url} --ca {}", other.display())).unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}
