//! Whole turns of a shard, as a worker drives it, without the worker's ring.
//!
//! Measured: `accepts` and `step` for each command, `end_turn`, then for every member with
//! something to send `next_send`; when all sends are "in flight", each is
//! dropped and acknowledged with `Input::Sent`, as completions would do. So a delivery's cost
//! includes two visits to its member, one on the way out and one when it is sent. The publisher is
//! a member and gets its replies besides.
//!
//! Not measured: sockets and the ring, frames (commands come as text), a second shard, history and
//! chat rules (the rooms have no namespace), time that passes, slow members.

use crate::json_string;
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use ringchat::chat::auth::Identity;
use ringchat::chat::ids::{ClientId, ShardId};
use ringchat::chat::outbox::Chunks;
use ringchat::chat::settings::{Keys, Settings};
use ringchat::chat::shard::{Effects, Hello, Input, Now, Shard};
use ringchat::config::Config;
use ringchat::metrics::Cells;
use ringchat::protocol::messages::Encoding;
use ringchat::protocol::plain::Endpoint;
use ringchat::ws::codec::{Decoder, Message};
use std::sync::Arc;

const PAYLOAD: usize = 128;

pub fn benches(c: &mut Criterion) {
    publish(c, "shard/publish", 1);
    publish(c, "shard/publish_32", 32);
    rooms(c);
    join_leave(c);
}

/// One shard, its members and the sends "in flight".
struct Hall {
    shard: Shard,
    fx: Effects,
    cells: Arc<Cells>,
    now: Now,
    /// In a list of its own, and as it was taken: each move of it on the way here is measured too.
    in_flight: Vec<(u32, Chunks)>,
}

/// What a turn brought its members.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Brought {
    sends: usize,
    bytes: usize,
}

impl Hall {
    fn new() -> Hall {
        let mut config = Config::default();
        config.client.command_rate_limit = 0;
        let keys = Keys { hash: [1, 2, 3, 4], resume: [5; 32], epoch: 6 };
        let settings = Arc::new(Settings::new(config, 1, keys));
        let cells = Arc::new(Cells::default());
        let now = Now { mono_ms: 1_000, unix_ms: 1_700_000_000_000 };
        Hall {
            shard: Shard::new(ShardId(0), settings, cells.clone(), now),
            fx: Effects::new(1),
            cells,
            now,
            in_flight: Vec::new(),
        }
    }

    /// `rooms` rooms with `members` members each; slot N is in room N / `members`.
    fn with_rooms(rooms: u32, members: u32) -> Hall {
        let mut hall = Hall::new();
        for slot in 0..rooms * members {
            hall.connect(slot);
            hall.say(slot, &subscribe(slot / members));
        }
        hall.turn();
        hall
    }

    fn connect(&mut self, slot: u32) {
        let hello = Hello {
            endpoint: Endpoint::Protocol,
            encoding: Encoding::Json,
            identity: Identity::Anonymous,
            client: ClientId(u128::from(slot) + 1),
            number: slot + 1,
            greeting: Bytes::new(),
        };
        self.step(Input::Opened { slot, hello: Box::new(hello) });
        self.say(slot, r#"{"id":1,"connect":{}}"#);
    }

    fn step(&mut self, input: Input<'_>) {
        self.shard.step(self.now, input, &mut self.fx);
    }

    fn say(&mut self, slot: u32, text: &str) {
        assert!(self.shard.accepts(slot));
        self.step(Input::Received { slot, message: Message::Text(text) });
    }

    /// Ends the turn and "sends" what it brought. Not inlined: a profiler finds it by its name.
    #[inline(never)]
    fn turn(&mut self) -> Brought {
        self.shard.end_turn(&mut self.fx);
        let mut brought = Brought::default();
        self.in_flight.extend(std::iter::from_fn(|| self.shard.next_send()));
        for (slot, chunks) in self.in_flight.drain(..) {
            brought.sends += 1;
            brought.bytes += chunks.len();
            drop(chunks);
            self.shard.step(self.now, Input::Sent { slot }, &mut self.fx);
        }
        brought
    }

    /// A turn whose bytes are read by the clients: publications and replies that each has got.
    fn turn_read(&mut self) -> (Brought, usize, usize) {
        self.shard.end_turn(&mut self.fx);
        let (mut brought, mut publications, mut replies) = (Brought::default(), 0, 0);
        while let Some((slot, chunks)) = self.shard.next_send() {
            let mut bytes = match chunks {
                Chunks::One(bytes) => bytes.to_vec(),
                Chunks::Many(many) => many.concat(),
            };
            brought.sends += 1;
            brought.bytes += bytes.len();
            let mut decoder = Decoder::client(1 << 20);
            let mut feed = decoder.feed(&mut bytes);
            while let Some(message) = feed.next().expect("whole frames") {
                match message {
                    Message::Text(text) if text.contains("\"pub\":") => publications += 1,
                    Message::Text(text) if text.starts_with("{\"id\":") => replies += 1,
                    other => panic!("{other:?}"),
                }
            }
            self.step(Input::Sent { slot });
        }
        (brought, publications, replies)
    }
}

fn room(index: u32) -> String {
    format!("room-{index}")
}

fn subscribe(index: u32) -> String {
    format!(r#"{{"id":2,"subscribe":{{"channel":"{}"}}}}"#, room(index))
}

fn publish_text(index: u32) -> String {
    let data = json_string(PAYLOAD);
    format!(r#"{{"id":3,"publish":{{"channel":"{}","data":{data}}}}}"#, room(index))
}

/// A turn, over and over: `rooms` rooms with `members` members each, the first of which publishes
/// `publishes` messages.
fn turns(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    rooms: u32,
    members: u32,
    publishes: u32,
) {
    let texts: Vec<(u32, String)> =
        (0..rooms).map(|room| (room * members, publish_text(room))).collect();
    let publish = |hall: &mut Hall| {
        for (slot, text) in &texts {
            (0..publishes).for_each(|_| hall.say(*slot, text));
        }
    };
    let commands = (rooms * publishes) as usize;
    let deliveries = commands * members as usize;
    let mut hall = None;
    group.throughput(Throughput::Elements(deliveries as u64));
    group.bench_function(name, |b| {
        // Made when it is needed: a bench that was not asked for costs nothing.
        let (hall, expect) = hall.get_or_insert_with(|| {
            let mut hall = Hall::with_rooms(rooms, members);
            publish(&mut hall);
            let before = hall.cells.deliveries.get();
            let (expect, publications, replies) = hall.turn_read();
            assert_eq!((publications, replies), (deliveries, commands), "read by the clients");
            assert_eq!(hall.cells.deliveries.get() - before, deliveries as u64, "counted");
            assert_eq!(expect.sends, (rooms * members) as usize, "one send per member");
            assert_eq!(hall.fx.closes, []);
            (hall, expect)
        });
        b.iter(|| {
            publish(hall);
            assert_eq!(hall.turn(), *expect);
        });
    });
}

fn publish(c: &mut Criterion, name: &str, publishes: u32) {
    let mut group = c.benchmark_group(name);
    for members in [100, 1_000, 10_000] {
        turns(&mut group, &format!("{members}_members"), 1, members, publishes);
    }
}

fn rooms(c: &mut Criterion) {
    let mut group = c.benchmark_group("shard/rooms");
    turns(&mut group, "50_of_20_members", 50, 20, 1);
}

/// One more connection joins a room of 1,000 and leaves it again, a turn each. The one that came
/// last is found last in the list of members.
fn join_leave(c: &mut Criterion) {
    const MEMBERS: u32 = 1_000;
    let mut group = c.benchmark_group("shard/join_leave");
    let join = subscribe(0);
    let leave = format!(r#"{{"id":4,"unsubscribe":{{"channel":"{}"}}}}"#, room(0));
    let mut hall = None;
    group.bench_function("1000_members", |b| {
        let hall = hall.get_or_insert_with(|| {
            let mut hall = Hall::with_rooms(1, MEMBERS);
            hall.connect(MEMBERS);
            hall.turn();
            let publications = |hall: &mut Hall| {
                hall.turn();
                hall.say(0, &publish_text(0));
                hall.turn_read().1
            };
            hall.say(MEMBERS, &join);
            assert_eq!(publications(&mut hall), MEMBERS as usize + 1, "it is in");
            hall.say(MEMBERS, &leave);
            assert_eq!(publications(&mut hall), MEMBERS as usize, "it is out");
            hall
        });
        b.iter(|| {
            for text in [&join, &leave] {
                hall.say(MEMBERS, text);
                assert_eq!(hall.turn().sends, 1, "the reply");
            }
        });
    });
}
