//! Connections that leave and come back, slow readers: nothing that is owed is let off, and nothing
//! that is not owed is asked for.

use crate::run;
use crate::stub::Fault;
use ringchat_loadgen::report::Verdict;

#[test]
fn churn_is_counted_and_complete() {
    for dialect in ["ringchat", "plain", "raw"] {
        let more = format!("--churn 40 --away 20ms --connections 30 --dialect {dialect}");
        let report = run(Fault::Nothing, &more);
        let counts = &report.checks.counts;
        assert_eq!(report.verdict, Verdict::Ok, "{dialect}\n{}", report.to_text());
        assert_eq!((counts.left, counts.returned), (20, 20), "{}", report.to_text());
        let unrest = report.unrest.as_ref().unwrap();
        assert_eq!(unrest.back.count, 20);
        // Who is away misses something.
        assert!(report.checks.owed < 240 * 10, "{}", report.to_text());
    }
}

#[test]
fn a_storm_recovers_everything() {
    for encoding in ["json", "protobuf"] {
        let more = format!("--storm 200ms --away 100ms --recover --encoding {encoding} --drain 5s");
        let report = run(Fault::Nothing, &more);
        let counts = &report.checks.counts;
        assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
        assert_eq!((counts.left, counts.returned), (12, 12), "{}", report.to_text());
        assert_eq!((counts.recovered, counts.unrecovered), (12, 0));
        // All is owed, also what was sent while they were away.
        assert_eq!((report.checks.owed, counts.sent), (960, 240), "{}", report.to_text());
    }
}

#[test]
fn what_a_server_cannot_recover_it_does_not_owe() {
    let report = run(Fault::Forget, "--churn 40 --away 50ms --recover --connections 30");
    let counts = &report.checks.counts;
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    assert_eq!((counts.returned, counts.unrecovered, counts.recovered), (20, 20, 0));
    assert!(report.warnings.iter().any(|w| w.contains("had missed")), "{:?}", report.warnings);
}

#[test]
fn a_fault_among_the_unrest_is_found() {
    // Before the storm: the recovery begins after it, and does not bring it back.
    let report = run(Fault::Drop, "--storm 300ms --recover --rooms 1 --drain 1s");
    let counts = &report.checks.counts;
    assert_eq!((counts.missing, counts.recovered), (1, 12), "{}", report.to_text());
    let report = run(Fault::Drop, "--churn 20 --connections 30 --rooms 1 --senders 1");
    assert_eq!(report.checks.counts.missing, 1, "{}", report.to_text());
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn slow_readers_are_shed_without_failing_the_run() {
    // More than fits into the socket buffers on the way to them.
    let more = "--connections 8 --slow 0.25 --slow-rate 200 --rooms 1 --senders 2 \
                --payload 50000 --rate 150 --duration 1500ms --drain 5s";
    let report = run(Fault::ShedSlow, more);
    let counts = &report.checks.counts;
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    assert_eq!((counts.shed, counts.closed, counts.missing), (2, 0, 0), "{}", report.to_text());
    assert!(counts.shed_deliveries > 0);
    // Their slowness is not the others' latency.
    assert!(report.latency.count <= 6 * counts.sent, "{}", report.to_text());
}

#[test]
fn slow_readers_get_all_in_the_end_if_the_server_keeps_it() {
    let more = "--slow 0.25 --slow-rate 2000 --rooms 1 --senders 2 --payload 500 --rate 100";
    let report = run(Fault::Nothing, more);
    assert_eq!(report.verdict, Verdict::Ok, "{}", report.to_text());
    assert_eq!(report.checks.owed, 12 * 60, "{}", report.to_text());
}
