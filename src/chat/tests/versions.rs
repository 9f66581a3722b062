//! What the application's backend publishes with a version: what is out of date is not published.

use super::api::{offset, post, said};
use super::*;
use crate::chat::api::{Outcome, Post, Request};
use crate::chat::ids::RoomName;
use crate::chat::version::Version;

fn version(post: Post, number: u64, epoch: &str) -> Post {
    Post { version: Some(Version { number, epoch: epoch.into() }), ..post }
}

fn texts(world: &mut World, room: &str) -> Vec<String> {
    let past = world.past(room, -1, None);
    let publications = past["publications"].as_array().unwrap().iter();
    publications.map(|p| p["data"]["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_out_of_date_is_not_published() {
    let mut world = World::new(2, |_| {});
    let reader = world.guest(0, "alice");
    world.say(reader, json!({"id": 2, "subscribe": {"channel": "chat:r"}}));
    world.settle();
    world.take(reader);
    let mut check = |text: &str, number: u64, epoch: &str, expect: u64| {
        let answer = world.publish("chat:r", version(said(text), number, epoch));
        assert_eq!(offset(answer), Some(expect), "{text}");
    };
    check("five", 5, "", 1);
    check("five again", 5, "", 1);
    check("four", 4, "", 1);
    check("six", 6, "", 2);
    check("one of another epoch", 1, "e", 3);
    check("one again", 1, "e", 3);
    check("two", 2, "e", 4);
    let expect = ["five", "six", "one of another epoch", "two"];
    let heard: Vec<Value> =
        world.take(reader).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let heard: Vec<&Value> = heard.iter().map(|p| &p["push"]["pub"]["data"]["text"]).collect();
    assert_eq!(heard, expect, "members get nothing else");
    assert_eq!(texts(&mut world, "chat:r"), expect);
    assert_eq!(world.count(|m| m.publications_outdated.get()), 3);
    // What has no version is published, and changes nothing.
    assert_eq!(offset(world.publish("chat:r", said("without"))), Some(5));
    assert_eq!(offset(world.publish("chat:r", version(said("two"), 2, "e"))), Some(5));
    // It acts per room.
    assert_eq!(offset(world.publish("chat:s", version(said("two"), 2, "e"))), Some(1));
}

#[test]
fn only_what_is_kept_has_a_version() {
    let mut world = World::new(2, |_| {});
    // A room without history keeps none.
    for _ in 0..2 {
        assert_eq!(offset(world.publish("news", version(post("1"), 3, ""))), None);
    }
    let skipped = |number| Post { skip_history: true, ..version(said("x"), number, "") };
    assert_eq!(offset(world.publish("chat:r", skipped(9))), None);
    assert_eq!(offset(world.publish("chat:r", version(said("x"), 3, ""))), Some(1));
    assert_eq!(offset(world.publish("chat:r", skipped(2))), None);
    assert_eq!(offset(world.publish("chat:r", version(said("x"), 4, ""))), Some(2));
    // What is refused leaves none behind.
    assert!(world.publish("chat:r", version(post("{}"), 8, "")).is_err());
    assert_eq!(offset(world.publish("chat:r", version(said("x"), 5, ""))), Some(3));
    assert_eq!(world.count(|m| m.publications_outdated.get()), 0);
}

#[test]
fn an_idempotency_key_is_asked_first() {
    let mut world = World::new(1, |_| {});
    let keyed = |key: &str, number: u64| Post {
        idempotency_key: Some(key.into()),
        ..version(said("x"), number, "")
    };
    assert_eq!(offset(world.publish("chat:r", keyed("a", 1))), Some(1));
    assert_eq!(offset(world.publish("chat:r", keyed("b", 2))), Some(2));
    assert_eq!(offset(world.publish("chat:r", keyed("a", 1))), Some(1), "like the first time");
    assert_eq!(offset(world.publish("chat:r", keyed("c", 1))), Some(2), "out of date");
    assert_eq!(offset(world.publish("chat:r", keyed("d", 3))), Some(3));
    assert_eq!(offset(world.publish("chat:r", keyed("c", 1))), Some(2), "like the first time");
    assert_eq!(world.count(|m| m.publications_outdated.get()), 1);
}

#[test]
fn a_room_knows_its_version_as_long_as_its_offset() {
    let mut world = World::new(2, |config| {
        config.channel.history_meta_ttl = std::time::Duration::from_hours(48);
    });
    assert_eq!(offset(world.publish("chat:r", version(said("x"), 3, ""))), Some(1));
    let room = RoomName::from("chat:r");
    assert_eq!(world.ask_home("chat:r", Request::HistoryRemove(room)), Ok(Outcome::Done));
    let hour = 3_600_000;
    world.pass(47 * hour);
    assert_eq!(world.past("chat:r", 0, None)["offset"], 1);
    assert_eq!(offset(world.publish("chat:r", version(said("x"), 3, ""))), Some(1));
    world.pass(2 * hour);
    assert_eq!(world.past("chat:r", 0, None)["offset"], 0, "another life of the room");
    assert_eq!(offset(world.publish("chat:r", version(said("x"), 1, ""))), Some(1));
}
