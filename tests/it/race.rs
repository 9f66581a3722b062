//! Clients that drop and come back at random while others publish, over real sockets and two
//! workers: each sees every offset once and in order, or is told that its past is gone.
//!
//! The schedule of each client comes from a seed, which a failure names; what the sockets and the
//! kernel do with it does not.

use super::support::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const ROUNDS: u64 = 100;
const PUBLISHERS: u64 = 2;
const MESSAGES: u64 = 120;
const WANDERERS: usize = 4;
/// Fewer than a round brings, so that some who come back are too late.
const HISTORY: usize = 5;
/// Publications that a client reads at most before it drops.
const STAY: u64 = 100;

/// A small generator: the same seed, the same decisions.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

enum Actor {
    Publisher(Box<Sdk>),
    Wanderer(u64),
}

/// What a client saw of a room, by offset, and how often it came back.
#[derive(Default)]
struct Seen {
    publications: BTreeMap<u64, String>,
    recovered: usize,
    too_late: usize,
}

#[test]
fn who_drops_and_returns_misses_nothing_or_is_told() {
    let namespace = format!(
        r#"channel.namespaces=[{{"name":"chat","history_size":{HISTORY},"join_leave":false,
            "force_push_join_leave":false}}]"#
    );
    let server = Server::start(&[
        &namespace,
        "client.command_rate_limit=0",
        "channel.recovery_max_publication_limit=1000",
    ]);
    let address = server.address;
    let first: u64 = std::env::var("RINGCHAT_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let (mut recovered, mut too_late) = (0, 0);
    for round in first..first + ROUNDS {
        let room = format!("chat:race-{round}");
        let publishers = (0..PUBLISHERS).map(|_| {
            let mut publisher = Sdk::connect(server.address);
            publisher.subscribe(&room);
            Actor::Publisher(Box::new(publisher))
        });
        let wanderers = (0..WANDERERS as u64).map(|n| Actor::Wanderer(round * 100 + n));
        let actors: Vec<Actor> = publishers.chain(wanderers).collect();
        let seen = in_parallel(actors, |number, actor| match actor {
            Actor::Publisher(mut publisher) => {
                for n in 0..MESSAGES {
                    let text = format!("{number}:{n}");
                    publisher.publish(&room, json!({"type": "message", "text": text}));
                }
                Seen::default()
            }
            Actor::Wanderer(seed) => wander(address, &room, seed),
        });
        let mut all: BTreeMap<u64, String> = BTreeMap::new();
        for seen in seen {
            recovered += seen.recovered;
            too_late += seen.too_late;
            for (offset, publication) in seen.publications {
                let before = all.entry(offset).or_insert_with(|| publication.clone());
                assert_eq!(*before, publication, "{room}@{offset}: all see the same");
            }
        }
    }
    println!("{recovered} recoveries, {too_late} too late");
    assert!(recovered > 100 && too_late > 10, "{recovered} recoveries, {too_late} too late");
}

/// Joins the room, reads a while, drops the connection in the middle of whatever is on its way,
/// comes back, until it stands at the last offset.
fn wander(address: SocketAddr, room: &str, seed: u64) -> Seen {
    let last = PUBLISHERS * MESSAGES;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut seen = Seen::default();
    let mut position: Option<(String, u64)> = None;
    loop {
        let mut client = Sdk::connect(address);
        let subscribe = match &position {
            Some((epoch, offset)) => {
                json!({"channel": room, "recover": true, "epoch": epoch, "offset": offset})
            }
            None => json!({"channel": room}),
        };
        let joined = client.ok("subscribe", subscribe);
        let epoch = joined["epoch"].as_str().expect("an epoch").to_owned();
        let now = joined["offset"].as_u64().expect("an offset");
        let mut at = position.as_ref().map_or(now, |(_, offset)| *offset);
        if joined["recovered"] == true {
            seen.recovered += 1;
            for publication in joined["publications"].as_array().into_iter().flatten() {
                at = note(&mut seen, at, publication, seed);
            }
            assert_eq!(at, now, "seed {seed}: a recovery brings all of it");
        } else if position.is_some() {
            seen.too_late += 1;
            assert_eq!(joined["was_recovering"], true, "seed {seed}: {joined}");
            assert!(joined.get("publications").is_none(), "seed {seed}: never a part");
            assert!(now > at, "seed {seed}: refused at {at}, though nothing was missed");
            at = now;
        }
        // Half of the times it goes at once.
        let stay = random.below(2) * random.below(STAY);
        for _ in 0..stay {
            if at == last {
                break;
            }
            at = note(&mut seen, at, &client.publication(), seed);
        }
        if at == last {
            return seen;
        }
        position = Some((epoch, at));
    }
}

/// Takes the publication that must stand right behind `at`.
fn note(seen: &mut Seen, at: u64, publication: &Value, seed: u64) -> u64 {
    assert_eq!(publication["offset"], at + 1, "seed {seed}: in order, none missing");
    let before = seen.publications.insert(at + 1, publication.to_string());
    assert!(before.is_none(), "seed {seed}: {} came twice", at + 1);
    at + 1
}
