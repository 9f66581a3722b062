//! The shard against a naive model, driven from a seed.
//!
//! Clients on several shards connect, join, leave, publish, break and come back with recovery,
//! while turns end and batches move in any order. The model is what one list per room would do:
//! whoever is a member from offset N on sees N+1, N+2, ... in order, each once. It holds as well
//! where publications may wait for more (`fanout.max_delay`), while time passes.

use super::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// A small generator: the same seed, the same run, without a dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*: good enough to shuffle a schedule.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
}

/// What a client believes about a room.
#[derive(Clone, Default)]
struct View {
    epoch: String,
    offset: u64,
}

/// One user over its connections.
struct User {
    connection: Option<usize>,
    /// Rooms joined or being joined in this connection, by the id of the command.
    asked: BTreeMap<u64, String>,
    joined: BTreeSet<String>,
    /// Positions kept over reconnects.
    views: BTreeMap<String, View>,
    next_id: u64,
    read: usize,
}

#[derive(Default)]
struct Log {
    /// What each offset of each room life was seen to be, by anybody.
    seen: HashMap<(String, String, u64), String>,
    recovered: usize,
    unrecovered: usize,
    received: usize,
    /// Turns of a shard that ended with something held back.
    held: usize,
}

const ROOMS: [&str; 3] = ["chat:a", "chat:b", "chat:c"];

fn run(seed: u64, steps: usize, max_delay_ms: u64) -> Log {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let shards = 1 + random.below(3);
    let mut world = World::new(shards, |config| {
        config.channel.namespaces[0].options.history_size = 40;
        config.channel.namespaces[0].options.join_leave = seed.is_multiple_of(2);
        config.fanout.max_delay = Duration::from_millis(max_delay_ms);
    });
    let mut users: Vec<User> = (0..6)
        .map(|_| User {
            connection: None,
            asked: BTreeMap::new(),
            joined: BTreeSet::new(),
            views: BTreeMap::new(),
            next_id: 2,
            read: 0,
        })
        .collect();
    let mut log = Log::default();
    let mut published = 0;
    for _ in 0..steps {
        let user = random.below(users.len());
        // Without a delay time stands still.
        match random.below(if max_delay_ms == 0 { 12 } else { 13 }) {
            0 if users[user].connection.is_none() => {
                let shard = random.below(shards);
                // Both forms of the protocol, in one room: everybody sees the same.
                let encoding = [Encoding::Json, Encoding::Protobuf][random.below(2)];
                let index =
                    world.open_with(shard, Endpoint::Protocol, Identity::Anonymous, encoding);
                if random.below(2) == 0 {
                    world.relocate(index, random.below(shards));
                }
                world.say(index, json!({"id": 1, "connect": {}}));
                users[user].connection = Some(index);
                users[user].read = 0;
            }
            1 if random.below(4) == 0 => {
                if let Some(index) = users[user].connection.take() {
                    read(&world, &mut users[user], index, &mut log);
                    world.cut(index);
                    users[user].asked.clear();
                    users[user].joined.clear();
                }
            }
            2 | 3 => ask(&mut world, &mut users[user], ROOMS[random.below(3)], &mut random),
            4..=6 => {
                let room = ROOMS[random.below(3)];
                if let Some(index) = users[user].connection
                    && users[user].joined.contains(room)
                {
                    published += 1;
                    let data = json!({"type": "message", "text": format!("{user}:{published}")});
                    let command = json!({"id": 1, "publish": {"channel": room, "data": data}});
                    world.say(index, command);
                }
            }
            7 | 8 => {
                let shard = random.below(shards);
                world.end_turn(shard);
                log.held += usize::from(world.shards[shard].hold.next_ms().is_some());
            }
            9 | 10 => {
                let (from, to) = (random.below(shards), random.below(shards));
                world.deliver(from, to);
            }
            12 => {
                world.now.mono_ms += random.below(3) as u64;
                world.tick(random.below(shards));
            }
            _ => {
                if let Some(index) = users[user].connection {
                    read(&world, &mut users[user], index, &mut log);
                }
            }
        }
    }
    world.settle();
    world.pass(max_delay_ms);
    // Whoever is a member at the end has seen everything up to the room's last offset.
    let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
    for user in &mut users {
        if let Some(index) = user.connection {
            read(&world, user, index, &mut log);
        }
        for (room, view) in &user.views {
            let last = last.entry((room.clone(), view.epoch.clone())).or_default();
            *last = (*last).max(view.offset);
        }
    }
    for user in users.iter().filter(|u| u.connection.is_some()) {
        for room in &user.joined {
            let view = &user.views[room];
            assert_eq!(view.offset, last[&(room.clone(), view.epoch.clone())], "{room}: the end");
        }
    }
    for user in &users {
        if let Some(index) = user.connection {
            world.cut(index);
        }
    }
    world.settle();
    world.pass(max_delay_ms);
    world.assert_empty();
    log
}

/// Joins a room that the user is not in (with recovery if it was there before), or leaves it.
fn ask(world: &mut World, user: &mut User, room: &str, random: &mut Random) {
    let Some(index) = user.connection else { return };
    if user.asked.values().any(|asked| asked == room) {
        return;
    }
    user.next_id += 1;
    let id = user.next_id;
    if user.joined.contains(room) {
        if random.below(3) == 0 {
            read_nothing_after(user, room);
            world.say(index, json!({"id": id, "unsubscribe": {"channel": room}}));
        }
        return;
    }
    user.asked.insert(id, room.to_owned());
    let subscribe = match user.views.get(room) {
        Some(view) => json!({"channel": room, "recover": true, "epoch": view.epoch,
            "offset": view.offset}),
        None => json!({"channel": room}),
    };
    world.say(index, json!({"id": id, "subscribe": subscribe}));
}

/// Whoever leaves a room forgets its position: the next join starts afresh.
fn read_nothing_after(user: &mut User, room: &str) {
    user.joined.remove(room);
    user.views.remove(room);
}

/// Reads what has come and checks it against the model.
fn read(world: &World, user: &mut User, index: usize, log: &mut Log) {
    let got = &world.clients[index].got;
    for text in &got[user.read.min(got.len())..] {
        let value: Value = serde_json::from_str(text).expect("JSON");
        if let Some(subscribed) = value.get("subscribe") {
            let id = value["id"].as_u64().expect("an id");
            let room = user.asked.remove(&id).expect("asked for");
            let epoch = subscribed["epoch"].as_str().expect("an epoch").to_owned();
            let offset = subscribed["offset"].as_u64().expect("an offset");
            if subscribed["recovered"] == true {
                log.recovered += 1;
                let view = user.views[&room].clone();
                assert_eq!(view.epoch, epoch);
                let mut at = view.offset;
                for publication in subscribed["publications"].as_array().expect("a list") {
                    at += 1;
                    note(log, &room, &epoch, at, publication);
                }
                assert_eq!(at, offset, "{room}: all that was missed");
            } else if subscribed["was_recovering"] == true {
                log.unrecovered += 1;
                assert!(subscribed.get("publications").is_none(), "never a part");
            }
            user.views.insert(room.clone(), View { epoch, offset });
            user.joined.insert(room);
        } else if let Some(publication) = value["push"].get("pub") {
            let room = value["push"]["channel"].as_str().expect("a room");
            let Some(view) = user.views.get_mut(room).filter(|_| user.joined.contains(room)) else {
                continue; // on its way while the client left
            };
            view.offset += 1;
            let (epoch, offset) = (view.epoch.clone(), view.offset);
            note(log, room, &epoch, offset, publication);
        } else {
            assert!(value.get("error").is_none(), "{text}");
        }
    }
    user.read = got.len();
}

/// Checks that a publication stands at `offset`, and is the same for everybody.
fn note(log: &mut Log, room: &str, epoch: &str, offset: u64, publication: &Value) {
    assert_eq!(publication["offset"].as_u64(), Some(offset), "{room}: in order, none missing");
    log.received += 1;
    let key = (room.to_owned(), epoch.to_owned(), offset);
    let text = publication.to_string();
    let before = log.seen.entry(key).or_insert_with(|| text.clone());
    assert_eq!(*before, text, "{room}@{offset}: everybody sees the same");
}

/// Runs the seeds; a failure names its seed.
fn seeds(range: std::ops::Range<u64>, steps: usize, max_delay_ms: u64) -> Log {
    let mut all = Log::default();
    for seed in range {
        let log = std::panic::catch_unwind(|| run(seed, steps, max_delay_ms));
        let log = log.unwrap_or_else(|_| {
            panic!("seed {seed} with {steps} steps and a delay of {max_delay_ms} ms failed")
        });
        all.recovered += log.recovered;
        all.unrecovered += log.unrecovered;
        all.received += log.received;
        all.held += log.held;
    }
    all
}

fn check(seeds_count: u64, max_delay_ms: u64) {
    let first: u64 = std::env::var("RINGCHAT_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let log = seeds(first..first + seeds_count, 1_500, max_delay_ms);
    println!(
        "{} publications received, {} recoveries, {} refused, {} left at the end of a turn",
        log.received, log.recovered, log.unrecovered, log.held
    );
    assert!(log.received > 10_000 && log.recovered > 100 && log.unrecovered > 10, "a real test");
    assert_eq!(log.held > 1_000, max_delay_ms > 0, "held {}", log.held);
}

#[test]
fn every_member_sees_every_offset_once_and_in_order() {
    check(1_000, 0);
}

#[test]
fn the_same_where_publications_may_wait() {
    check(150, 1);
    check(150, 20);
}
