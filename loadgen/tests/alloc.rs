//! A message costs the generator no allocation: neither sending it nor any of its deliveries.
//!
//! Counts all allocations of this process, so the server (the test's stub) runs in another one,
//! which is this program again. More messages in the same time must not mean more allocations.
#![allow(clippy::unwrap_used)]

#[path = "it/stub.rs"]
mod stub;

use clap::Parser;
use ringchat_loadgen::options::Cli;
use ringchat_loadgen::plan::Plan;
use ringchat_loadgen::progress;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("stub") {
        println!("{}", stub::start(stub::Fault::Nothing));
        // Until the test lets go.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let mut server = Command::new(std::env::current_exe().unwrap())
        .arg("stub")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();

    let _profiler = dhat::Profiler::builder().testing().build();
    for dialect in ["ringchat", "ringchat --encoding protobuf", "plain", "raw"] {
        // The first one warms up what is made once.
        let [_, few] = [100, 100].map(|rate| run(address.trim(), dialect, rate));
        // Buffers grow a few times until they hold what comes at once, however many messages there
        // are: a hundredth is allowed for that. Where a busy machine lets more come at once they grow
        // more, but only then; an allocation for every message shows in every run.
        let calm = (0..3).any(|_| {
            let many = run(address.trim(), dialect, 3_000);
            let (blocks, messages) = (many.0.saturating_sub(few.0), many.1 - few.1);
            println!("{dialect}: {messages} messages more: {blocks} blocks more");
            assert!(messages > 4_000, "the load was carried");
            blocks < messages / 100
        });
        assert!(calm, "{dialect}: allocations grow with the messages");
    }
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

/// Allocated blocks and sent messages of one run.
fn run(address: &str, dialect: &str, rate: u32) -> (u64, u64) {
    let words = format!(
        "x --url ws://{address} -c 8 --senders 4 --rate {rate} --warmup 0ms --duration 2s \
         --settle 20ms --threads 1 --dialect {dialect} --allow-saturation"
    );
    let cli = Cli::parse_from(words.split_whitespace());
    let plan = Plan::new(cli.options.unwrap(), 2).unwrap();
    let before = dhat::HeapStats::get().total_blocks;
    let mut watch = progress::watch(true);
    let (_, record) = ringchat_loadgen::run(plan, &AtomicBool::new(false), watch.as_mut()).unwrap();
    let counts = &record.totals.counts;
    assert_eq!((counts.missing, counts.delivered), (0, 8 * counts.sent));
    (dhat::HeapStats::get().total_blocks - before, counts.sent)
}
