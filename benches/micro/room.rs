//! A room's bytes of one turn: at home (`home`) and on a shard with members (`group`).
//!
//! Measured: `home` gives publications of 128 bytes their place, encodes them and hands out the
//! turn's batch; `group` takes batches and hands out the turn's bytes, one allocation at most for
//! any number of them. Not measured: history (these rooms keep none), chat rules, and the walk over
//! the members (group `shard`).

use crate::json_string;
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use ringchat::chat::home::{Home, NewPublication};
use ringchat::chat::ids::{Audience, ClientId, Dialect, Epoch, RoomName, ShardId};
use ringchat::chat::peer::Author;
use ringchat::chat::room::Group;
use ringchat::config::NamespaceOptions;
use ringchat::protocol::content::Content;
use ringchat::protocol::reply::Info;
use std::hint::black_box;
use std::sync::Arc;

const JSON: Audience = Audience { dialect: Dialect::Json, hears_joins: true };

const COUNTS: [(&str, u32); 2] = [("one", 1), ("thirty_two", 32)];

pub fn benches(c: &mut Criterion) {
    home(c);
    group(c);
}

fn home(c: &mut Criterion) {
    let author = Arc::new(Author {
        user: "~alice".into(),
        client: ClientId(1),
        name: "alice".into(),
        info: Info::new("~alice", "1", Some(r#"{"nick":"alice"}"#), None),
    });
    let data = json_string(128);
    let mut home =
        Home::new(RoomName::from("lobby"), Arc::new(NamespaceOptions::default()), Epoch(1));
    home.join(ShardId(0), JSON);
    let mut turn = |count: u32| {
        (0..count).for_each(|_| {
            home.publish(
                0,
                NewPublication {
                    content: Content::Json(black_box(&data)),
                    author: Some(&author),
                    tags: None,
                    skip_history: false,
                },
            );
        });
        let (batch, shards) = home.take_batch().expect("a batch");
        assert_eq!((batch.count, shards.count()), (count, 1));
        batch
    };
    let mut group = c.benchmark_group("room/home");
    for (name, count) in COUNTS {
        let frames = turn(count).frames;
        let bytes = frames[JSON.index()].len();
        assert!(bytes > count as usize * 128);
        assert_eq!(frames.iter().map(Bytes::len).sum::<usize>(), bytes, "for one audience");
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(name, |b| b.iter(|| turn(count)));
    }
}

fn group(c: &mut Criterion) {
    let batch = Bytes::from(vec![b'a'; 256]);
    let mut members = Group::new(JSON);
    (0..1_000).for_each(|slot| members.add(slot));
    let mut turn = |batches: u32| {
        (0..batches).for_each(|_| members.append(black_box(&batch), 1));
        let (bytes, count) = members.take_turn().expect("bytes");
        members.settle();
        assert_eq!(count, batches);
        bytes
    };
    let mut group = c.benchmark_group("room/group");
    for (name, batches) in COUNTS {
        assert_eq!(turn(batches).len(), batches as usize * 256);
        group.throughput(Throughput::Elements(u64::from(batches)));
        group.bench_function(name, |b| b.iter(|| turn(batches)));
    }
}
