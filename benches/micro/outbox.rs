//! One connection's queue: push, take, sent.
//!
//! Measured: what a delivery does with it, on one outbox that stays in the cache. The chunk is a
//! reference to shared bytes, made and dropped within the measurement, as in a fan-out. Not
//! measured: finding the connection among thousands (group `shard`).

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use ringchat::chat::outbox::{Chunks, Outbox, Push};
use std::hint::black_box;

const LIMIT: usize = 1024 * 1024;

pub fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbox");
    // Four small chunks are copied into one buffer, four large ones go into a vectored send.
    for (name, chunks, len, buffers) in [
        ("one_of_200B", 1, 200, 1),
        ("four_of_200B_copied", 4, 200, 1),
        ("four_of_8KiB_vectored", 4, 8 * 1024, 4),
    ] {
        let chunk = Bytes::from(vec![b'a'; len]);
        let mut outbox = Outbox::default();
        let got = through(&mut outbox, &chunk, chunks);
        assert_eq!(got.len(), chunks * len);
        assert_eq!(buffers_of(&got), buffers);
        assert_eq!((outbox.bytes(), outbox.is_empty()), (0, true));
        group.throughput(Throughput::Elements(chunks as u64));
        group.bench_function(name, |b| {
            b.iter(|| through(&mut outbox, black_box(&chunk), chunks));
        });
    }
}

/// Pushes `chunk` so many times, takes all, has it sent.
fn through(outbox: &mut Outbox, chunk: &Bytes, chunks: usize) -> Chunks {
    for _ in 0..chunks {
        let push = outbox.push(chunk.clone(), false, LIMIT);
        assert!(push == Push::Queued);
    }
    let taken = outbox.take().expect("something is queued");
    outbox.sent();
    taken
}

fn buffers_of(chunks: &Chunks) -> usize {
    match chunks {
        Chunks::One(_) => 1,
        Chunks::Many(many) => many.len(),
    }
}
