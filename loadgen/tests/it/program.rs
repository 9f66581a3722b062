//! The program: exit status, what goes to stdout, stderr and files.

use crate::arguments;
use crate::stub::{self, Fault};
use ringchat_loadgen::report::{Report, Verdict};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs the program; its exit status, stdout and stderr.
fn program(arguments: &[String]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringchat-loadgen"))
        .args(&arguments[1..])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn temporary(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

#[test]
fn the_program_says_how_it_went() {
    let good = stub::start(Fault::Nothing);
    let (code, out, err) = program(&arguments(good, "--format json --quiet"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let report: Report = serde_json::from_str(&out).unwrap();
    assert_eq!((report.verdict, report.checks.owed), (Verdict::Ok, 960));
    assert!(report.environment.kernel.starts_with("Linux "), "{:?}", report.environment);

    let (code, out, err) = program(&arguments(stub::start(Fault::Drop), ""));
    assert_eq!(code, Some(3));
    assert!(out.contains("missing") && out.contains("FAILED"), "{out}");
    assert!(err.contains("connect") && err.contains("drain"), "plain lines for a log: {err}");
    assert!(!err.contains('\u{1b}') && !err.contains('\r'), "no bars for a log: {err:?}");

    // Bound, and not listening: so nobody else does.
    let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    held.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let nobody = held.local_addr().unwrap().as_socket().unwrap();
    let (code, out, err) = program(&arguments(nobody, "--quiet"));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("cannot connect") && err.contains("refused"), "{err}");

    let (code, _, err) = program(&arguments(good, "--senders 99"));
    assert_eq!(code, Some(2));
    assert!(err.contains("99"), "{err}");
    assert_eq!(program(&["".into(), "--nonsense".into()]).0, Some(2));
}

#[test]
fn an_interrupted_run_prints_what_there_is() {
    for processes in ["1", "2"] {
        let (server, messages) = stub::start_counted(Fault::Delay(20));
        let more =
            format!("--duration 1h --format json --quiet --threads 1 --processes {processes}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringchat-loadgen"))
            .args(&arguments(server, &more)[1..])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        messages.iter().take(240).for_each(drop);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let report: Report = serde_json::from_str(&out).unwrap();
        assert_eq!(report.verdict, Verdict::Interrupted, "{out}");
        let owed = report.checks.owed;
        assert!(owed >= 240 && report.checks.counts.delivered == owed, "{out}");
    }
}

#[test]
fn several_processes_make_one_report() {
    let more = "--processes 3 --threads 1 --rooms 1 --senders 5 --format json --quiet";
    let (code, out, err) = program(&arguments(stub::start(Fault::Nothing), more));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let report: Report = serde_json::from_str(&out).unwrap();
    assert_eq!(report.checks.owed, 240 * 12, "every process hears the others' senders");
    assert_eq!((report.latency.count, report.connect.join.count), (200 * 12, 12));

    let (code, out, _) = program(&arguments(stub::start(Fault::Drop), more));
    assert_eq!(code, Some(3));
    let report: Report = serde_json::from_str(&out).unwrap();
    assert_eq!(report.checks.counts.missing, 1);
}

#[test]
fn reports_are_written() {
    let server = stub::start(Fault::Nothing);
    let [html, hgrm, log, json, scenario] =
        ["a.html", "a.hgrm", "a.log", "a.json", "a.toml"].map(temporary);
    std::fs::write(&scenario, "payload = \"64-200\"\narrivals = 'poisson'\n").unwrap();
    let more = format!(
        "--html {} --hgrm {} --interval-log {} --scenario {} --format json --quiet --server-pid {}",
        html.display(),
        hgrm.display(),
        log.display(),
        scenario.display(),
        std::process::id()
    );
    let mut words = arguments(server, &more);
    words.retain(|word| word != "--payload" && word != "100");
    let (code, out, err) = program(&words);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let report: Report = serde_json::from_str(&out).unwrap();
    assert_eq!(report.setting.payload_bytes.max, 200, "from the scenario file");
    let server = report.server.unwrap();
    assert!(server.rss_bytes_max > 0 && server.ns_per_delivery > 0.0, "{server:?}");
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    assert!(read(&html).contains("<svg") && read(&html).ends_with("</html>\n"));
    assert!(read(&hgrm).contains("#[Mean"));
    assert!(read(&log).contains("#[StartTime"));

    std::fs::write(&json, out).unwrap();
    let path = json.display().to_string();
    let (code, out, err) =
        program(&["".into(), "compare".into(), path.clone(), format!("b={path}")]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("No difference"), "{out}");
    for path in [html, hgrm, log, json, scenario] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_search_that_finds_nothing_says_so() {
    let more = "--find-max --slo p50<0.001ms --find-from 1 --duration 100ms --warmup 0ms \
                --connections 2 --rooms 1 --senders 1 --threads 1 --quiet";
    let mut words = arguments(stub::start(Fault::Nothing), more);
    let rate = words.iter().position(|word| word == "--rate").unwrap();
    words.drain(rate..rate + 2);
    let (code, out, err) = program(&words);
    assert_eq!((code, err.as_str()), (Some(3), ""), "{out}");
    assert!(out.contains("not below"), "{out}");
}

#[test]
fn an_interrupt_while_connecting_prints_how_that_went() {
    for processes in ["1", "2"] {
        let more = format!("--connect-rate 1 --threads 1 --format json --processes {processes}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringchat-loadgen"))
            .args(&arguments(stub::start(Fault::Nothing), &more)[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The first line says that it connects.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("connect"));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let report: Report = serde_json::from_str(&out).unwrap();
        assert_eq!(report.verdict, Verdict::Interrupted, "{out}");
        assert!(report.connect.join.count < 12 && report.checks.owed == 0, "{out}");
    }
}
