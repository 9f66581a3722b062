//! RFC 6455 frames: encoding for members, decoding from clients, unmasking.
//!
//! Measured: the work on bytes that are in the cache, in buffers that have grown already.
//! Not measured: the first touch of memory (a fresh buffer, a read from a socket), frames that
//! arrive in pieces.
//!
//! Decoding unmasks in place. The key leaves ASCII ASCII, so that the same buffer can be decoded
//! again and again without being copied in between.

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use ringchat::ws::codec::{Decoder, Message, apply_mask, masked_text_frame, text_frame};
use std::hint::black_box;

const KEY: [u8; 4] = [1, 2, 3, 4];
const KIB: usize = 1024;

pub fn benches(c: &mut Criterion) {
    encode(c);
    decode(c);
    unmask(c);
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame/encode");
    for (name, len, head) in [("128B", 128, 4), ("1KiB", KIB, 4), ("64KiB", 64 * KIB, 10)] {
        let payload = vec![b'a'; len];
        let mut out = BytesMut::with_capacity(len + head);
        text_frame(&mut out, &payload);
        assert_eq!((out.len(), out[0]), (len + head, 0x81), "one text frame");
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                text_frame(&mut out, black_box(&payload));
                black_box(out.len())
            });
        });
    }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame/decode");
    for (name, frames, len) in
        [("one_of_128B", 1, 128), ("fifty_of_128B", 50, 128), ("one_of_64KiB", 1, 64 * KIB)]
    {
        let mut read = BytesMut::new();
        (0..frames).for_each(|_| masked_text_frame(&mut read, &vec![b'a'; len], KEY));
        let mut decoder = Decoder::server(64 * KIB as u32);
        for _ in 0..2 {
            let got = decode_all(&mut decoder, &mut read);
            assert_eq!(got, (frames, frames * len), "whole messages, also the second time");
            assert_eq!(decoder.held_bytes(), 0);
        }
        group.throughput(Throughput::Bytes((frames * len) as u64));
        group.bench_function(name, |b| b.iter(|| decode_all(&mut decoder, black_box(&mut read))));
    }
}

/// Messages and bytes of text in `read`.
fn decode_all(decoder: &mut Decoder, read: &mut [u8]) -> (usize, usize) {
    let mut feed = decoder.feed(read);
    let (mut messages, mut bytes) = (0, 0);
    while let Some(message) = feed.next().expect("nothing is wrong with it") {
        if let Message::Text(text) = black_box(message) {
            messages += 1;
            bytes += text.len();
        }
    }
    (messages, bytes)
}

fn unmask(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame/unmask");
    for (name, len) in [("64B", 64), ("1KiB", KIB), ("64KiB", 64 * KIB)] {
        let mut bytes = vec![b'a'; len];
        apply_mask(&mut bytes, KEY);
        assert_eq!(bytes[len - 4..], [b'a' ^ 1, b'a' ^ 2, b'a' ^ 3, b'a' ^ 4]);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |b| b.iter(|| apply_mask(black_box(&mut bytes), KEY)));
    }
}
