//! What the server's parts cost by themselves, in memory: no socket, no ring, no kernel.
//!
//! | group | what is measured |
//! |---|---|
//! | `frame` | server frames made, client frames read, unmasking |
//! | `command` | commands parsed, a push written |
//! | `shard` | whole turns of a shard: publish, fan-out, joins and leaves |
//! | `outbox` | one connection's queue |
//! | `lane` | batches from core to core |
//! | `room` | a room's bytes of a turn, at home and with its members |
//!
//! `cargo bench` measures all, `cargo bench -- --quick` roughly and in about a minute,
//! `cargo bench -- shard/publish` what has that in its name. `cargo test --all-targets` runs each
//! once, unmeasured. Before it is measured, each bench does its work once and checks what came out
//! of it (bytes, messages, deliveries), so that none can measure nothing.
//!
//! None of this says what a delivery costs in production: there the kernel's send is most of it.
//! It says what our part of it is, and which change made that part smaller. Figures of different
//! machines, or of a machine that does other work meanwhile, do not compare.

// A bench: nothing outside of it uses its items, and a failed unwrap is a failed check.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod command;
mod frame;
mod lane;
mod outbox;
mod room;
mod shard;

use criterion::Criterion;
use std::time::Duration;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    frame::benches(&mut criterion);
    command::benches(&mut criterion);
    shard::benches(&mut criterion);
    outbox::benches(&mut criterion);
    lane::benches(&mut criterion);
    room::benches(&mut criterion);
    criterion.final_summary();
}

/// `len` bytes of JSON: a string, as a client would publish it.
fn json_string(len: usize) -> String {
    let text: String = ('a'..='z').cycle().take(len - 2).collect();
    format!("\"{text}\"")
}
