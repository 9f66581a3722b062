//! The client protocol: commands parsed, a push written.
//!
//! Measured: a frame to borrowed commands, and a publication's push into buffers that have grown
//! already; each in the JSON form and in the protobuf form. Not measured: frames (group `frame`), what a command does
//! (group `shard`), the check of a chat payload.

use crate::json_string;
use criterion::{Criterion, Throughput};
use ringchat::protocol::command::{Commands, Request};
use ringchat::protocol::content::Content;
use ringchat::protocol::reply::{self, Info, Publication, Push};
use ringchat::protocol::{protobuf, wire};
use std::hint::black_box;

pub fn benches(c: &mut Criterion) {
    parse(c);
    parse_protobuf(c);
    push(c);
}

fn publish(id: usize, len: usize) -> String {
    publish_of(id, &json_string(len))
}

fn publish_of(id: usize, data: &str) -> String {
    format!(r#"{{"id":{id},"publish":{{"channel":"lobby","data":{data}}}}}"#)
}

fn parse(c: &mut Criterion) {
    let ten: Vec<String> = (1..=10).map(|id| publish(id, 128)).collect();
    // With white space, as some SDKs write it: read by serde, not by hand.
    let spaced = publish(3, 128).replacen(':', ": ", 1);
    let text = json_string(128);
    let chat = format!(r#"{{"type":"message","text":{text},"nonce":"c0ffee"}}"#);
    let frames = [
        ("connect", 1, r#"{"id":1,"connect":{"data":{"nick":"alice"},"name":"js"}}"#.to_owned()),
        ("subscribe", 1, r#"{"id":2,"subscribe":{"channel":"lobby"}}"#.to_owned()),
        ("publish_128B", 1, publish(3, 128)),
        ("publish_128B_spaced", 1, spaced),
        ("publish_chat_128B", 1, publish_of(3, &chat)),
        ("publish_4KiB", 1, publish(3, 4096)),
        ("publish_128B_ten_times", 10, ten.join("\n")),
    ];
    let mut group = c.benchmark_group("command/parse");
    for (name, commands, text) in frames {
        assert_eq!(parse_all(&text), commands, "{text}");
        for command in Commands::new(&text) {
            let request = command.expect("a command").request;
            let kind = match &request {
                Request::Connect(connect) => connect.data.map(|_| "connect"),
                Request::Subscribe(subscribe) => {
                    Some("subscribe").filter(|_| subscribe.channel == "lobby")
                }
                Request::Publish(publish) => publish.data.map(|_| "publish"),
                _ => None,
            };
            assert!(kind.is_some_and(|kind| name.starts_with(kind)), "{name}: {request:?}");
        }
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse_all(black_box(&text))));
    }
}

fn parse_protobuf(c: &mut Criterion) {
    let publish = |len| {
        let mut request = Vec::new();
        wire::put_bytes(&mut request, 1, b"lobby");
        wire::put_bytes(&mut request, 2, json_string(len).as_bytes());
        let mut command = Vec::new();
        wire::put_number(&mut command, 1, 3);
        wire::put_bytes(&mut command, 7, &request);
        let mut frame = Vec::new();
        wire::put_varint(&mut frame, command.len() as u64);
        frame.extend(command);
        frame
    };
    let mut group = c.benchmark_group("command/parse_protobuf");
    for (name, commands, frame) in [
        ("publish_128B", 1, publish(128)),
        ("publish_4KiB", 1, publish(4096)),
        ("publish_128B_ten_times", 10, publish(128).repeat(10)),
    ] {
        let parse_all = |frame: &[u8]| {
            let mut commands = 0;
            for command in protobuf::Commands::new(frame) {
                let request = black_box(command.expect("a command")).request;
                assert!(matches!(request, Request::Publish(publish) if publish.data.is_some()));
                commands += 1;
            }
            commands
        };
        assert_eq!(parse_all(&frame), commands);
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse_all(black_box(&frame))));
    }
}

/// How many commands there are; each is looked at.
fn parse_all(text: &str) -> usize {
    let mut commands = 0;
    for command in Commands::new(text) {
        black_box(command.expect("a command"));
        commands += 1;
    }
    commands
}

fn push(c: &mut Criterion) {
    let mut group = c.benchmark_group("command/push");
    let prefix = reply::push_prefix("lobby");
    let client = "00000000-0000-4000-8000-000000000000";
    let info = Info::new("~alice", client, Some(r#"{"nick":"alice"}"#), None);
    let mut out = Vec::new();
    let write = |data: &str, out: &mut Vec<u8>| {
        out.clear();
        let stamp = Some((1_000, 1_700_000_000_000));
        let content = Content::Json(data);
        let publication = Publication { content, info: Some(&info), stamp, tags: None };
        reply::push_json(out, &prefix, Push::Publication(publication));
    };
    for (name, len) in [("128B", 128), ("4KiB", 4096)] {
        let data = json_string(len);
        write(&data, &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(json["push"]["pub"]["data"].as_str().map(str::len), Some(len - 2));
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                write(black_box(&data), &mut out);
                black_box(out.len())
            });
        });
        let publication = |data| Publication {
            content: Content::Json(data),
            info: Some(&info),
            stamp: Some((1_000, 1_700_000_000_000)),
            tags: None,
        };
        let mut binary = Vec::new();
        group.bench_function(format!("{name}_protobuf"), |b| {
            b.iter(|| {
                binary.clear();
                let push = Push::Publication(publication(black_box(&data)));
                reply::push_protobuf(&mut binary, "lobby", push);
                black_box(binary.len())
            });
        });
    }
}
