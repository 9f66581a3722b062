//! Whole runs against a server that misbehaves on demand (`stub.rs`): the report must say exactly
//! what went wrong.
#![allow(clippy::unwrap_used)]

mod stub;

use clap::Parser;
use ringchat_loadgen::options::{Options, Plan};
use ringchat_loadgen::report::{Checks, Report, Verdict};
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use stub::Fault;

/// 12 members in 3 rooms, 2 senders in each; 240 messages, of which 80 in each room.
const LOAD: &str = "--connections 12 --rooms 3 --senders 6 --rate 400 --warmup 100ms \
                    --duration 500ms --settle 20ms --drain 500ms --threads 2 --payload 100 \
                    --allow-saturation";

/// The command line of a run: [`LOAD`], less what `more` overrides, and `more`.
fn arguments(server: SocketAddr, more: &str) -> Vec<String> {
    let words = LOAD.split_whitespace().collect::<Vec<_>>();
    let flags = words.split(|word| word.starts_with("--")).skip(1);
    let names = words.iter().filter(|word| word.starts_with("--"));
    let kept = names.zip(flags).filter(|(name, _)| {
        let name = if **name == "--rate" && more.contains("--closed") { "--closed" } else { name };
        !more.contains(name)
    });
    let mut all = vec!["ringchat-loadgen".to_owned(), format!("--url=ws://{server}")];
    for (name, values) in kept {
        all.push((*name).to_owned());
        all.extend(values.iter().map(|value| (*value).to_owned()));
    }
    all.extend(more.split_whitespace().map(str::to_owned));
    all
}

fn run(fault: Fault, more: &str) -> Report {
    let options = Options::parse_from(arguments(stub::start(fault), more));
    let plan = Plan::new(options, 2).unwrap();
    ringchat_loadgen::run(plan, &AtomicBool::new(false), |_| ()).unwrap()
}

/// Runs both dialects; all of `expected` must come out, and only that.
fn check(fault: Fault, expected: Checks) {
    for dialect in ["--dialect ringchat", "--dialect plain"] {
        let report = run(fault, dialect);
        let all = Checks { sent: 240, owed: 960, ..expected.clone() };
        let all = Checks { delivered: all.owed - all.missing, ..all };
        assert_eq!(report.checks, all, "{dialect}\n{}", report.to_text());
        let code = if expected == Checks::default() { 0 } else { 3 };
        assert_eq!(report.exit_code(), code);
    }
}

#[test]
fn a_good_server_passes() {
    check(Fault::Nothing, Checks::default());
}

#[test]
fn a_dropped_delivery_is_missing() {
    check(Fault::Drop, Checks { missing: 1, ..Checks::default() });
}

#[test]
fn a_repeated_delivery_is_a_duplicate() {
    check(Fault::Repeat, Checks { duplicate: 1, ..Checks::default() });
}

#[test]
fn a_swapped_delivery_is_out_of_order() {
    check(Fault::Swap, Checks { out_of_order: 1, ..Checks::default() });
}

#[test]
fn a_damaged_delivery_is_corrupt_and_missing() {
    check(Fault::Damage, Checks { corrupt: 1, missing: 1, ..Checks::default() });
}

#[test]
fn a_delayed_delivery_is_late() {
    let report = run(Fault::Delay(40), "");
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    // 40 messages of a room, of which 133 are due per second.
    assert!(report.latency.max_ms >= 250.0, "{}", report.to_text());
    assert!(report.latency.p50_ms < report.latency.max_ms / 2.0, "{}", report.to_text());
}

#[test]
fn a_refused_message_is_refused() {
    let report = run(Fault::Refuse, "");
    let checks = &report.checks;
    assert_eq!((checks.refused, checks.missing, checks.unanswered), (1, 0, 0));
    assert_eq!((checks.owed, checks.delivered), (956, 956));
    assert!(report.to_text().contains("command_rate_limit"), "{}", report.to_text());
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn a_closed_connection_is_counted_with_its_code() {
    let report = run(Fault::Close, "");
    assert_eq!((report.checks.closed, report.closes[0].code), (1, 3008));
    assert!(report.checks.missing > 0);
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn a_server_that_goes_away_ends_the_run() {
    let report = run(Fault::Vanish, "--duration 1h");
    assert_eq!((report.checks.closed, report.closes[0].code), (12, 1006));
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn the_closed_loop_keeps_going_and_is_complete() {
    let report = run(Fault::Nothing, "--closed 5");
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    assert!(report.checks.sent > 100 && report.checks.owed == 4 * report.checks.sent);
    assert_eq!(report.checks.delivered, report.checks.owed);
    assert!(report.latency.count > 0 && report.deliveries_per_s > 0.0);
}

/// Runs the program; its exit status, stdout and stderr.
fn program(arguments: &[String]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringchat-loadgen"))
        .args(&arguments[1..])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_says_how_it_went() {
    let good = stub::start(Fault::Nothing);
    let (code, out, err) = program(&arguments(good, "--format json"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["verdict"], &json["checks"]["owed"]), (&"ok".into(), &960.into()));

    let (code, out, _) = program(&arguments(stub::start(Fault::Drop), ""));
    assert_eq!(code, Some(3));
    assert!(out.contains("1 missing") && out.contains("FAILED"), "{out}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, out, err) = program(&arguments(nobody, ""));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("cannot connect") && err.contains("refused"), "{err}");

    let (code, _, err) = program(&arguments(good, "--senders 99"));
    assert_eq!(code, Some(2));
    assert!(err.contains("--senders 99"), "{err}");
    assert_eq!(program(&["".into(), "--nonsense".into()]).0, Some(2));
}

#[test]
fn an_interrupted_run_prints_what_there_is() {
    let (server, messages) = stub::start_counted(Fault::Delay(20));
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringchat-loadgen"))
        .args(&arguments(server, "--duration 1h --format json")[1..])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    messages.iter().take(240).for_each(drop);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["verdict"], "interrupted", "{out}");
    let owed = json["checks"]["owed"].as_u64().unwrap();
    assert!(owed >= 240 && json["checks"]["delivered"].as_u64() == Some(owed), "{out}");
}
