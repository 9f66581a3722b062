//! What may be published where, and how often.

use super::*;
use std::time::Duration;

/// Publishes and returns the error, if there is one: its code, and whether it is temporary.
fn publish(world: &mut World, index: usize, room: &str, data: &Value) -> Option<(u64, bool)> {
    world.settle();
    world.take(index);
    world.say(index, json!({"id": 3, "publish": {"channel": room, "data": data}}));
    world.settle();
    let got = world.take(index);
    assert!(find(&got, "error").is_some() != find(&got, "publish").is_some(), "{got:?}");
    let error = find(&got, "error")?;
    Some((error["code"].as_u64().unwrap(), error["temporary"] == true))
}

fn member(world: &mut World, shard: usize, nick: &str, rooms: &[&str]) -> usize {
    let index = world.guest(shard, nick);
    for room in rooms {
        world.say(index, json!({"id": 2, "subscribe": {"channel": room}}));
    }
    world.settle();
    index
}

fn message(text: &str) -> Value {
    json!({"type": "message", "text": text})
}

#[test]
fn typing_has_rooms_of_its_own() {
    let mut world = World::new(2, |_| {});
    let alice = member(&mut world, 0, "alice", &["chat:r", "typing:r", "news"]);
    let typing = json!({"type": "typing", "on": true});
    assert_eq!(publish(&mut world, alice, "typing:r", &typing), None);
    assert_eq!(publish(&mut world, alice, "news", &typing), None, "no rules, no meaning");
    assert_eq!(publish(&mut world, alice, "chat:r", &typing), Some((107, false)));
    assert_eq!(publish(&mut world, alice, "typing:r", &message("psst")), Some((107, false)));
    assert_eq!(publish(&mut world, alice, "typing:r", &json!(1)), Some((107, false)));
}

#[test]
fn a_text_has_a_limit() {
    let mut world = World::new(2, |config| {
        config.channel.namespaces[0].options.text_size_limit = 10;
    });
    let alice = member(&mut world, 0, "alice", &["chat:r"]);
    let bob = world.plain(1, "chat:r", Some("bob"));
    assert_eq!(publish(&mut world, alice, "chat:r", &message("0123456789")), None);
    let long = message("0123456789+");
    assert_eq!(publish(&mut world, alice, "chat:r", &long), Some((106, false)));
    let edit = json!({"type": "edit", "of": 1, "text": "0123456789+"});
    assert_eq!(publish(&mut world, alice, "chat:r", &edit), Some((106, false)));
    world.settle();
    world.take(bob);
    world.send(bob, "0123456789+");
    world.settle();
    assert_eq!(world.take(bob), ["* too long: the line was not sent"]);
}

#[test]
fn slow_mode_holds_for_each_user_and_room() {
    let mut world = World::new(3, |config| {
        config.channel.namespaces[0].options.slow_mode = Duration::from_secs(10);
    });
    let rooms = ["chat:r", "chat:s"];
    let alice = member(&mut world, 0, "alice", &rooms);
    let bob = member(&mut world, 1, "bob", &rooms);
    let wait = Some((111, true));
    assert_eq!(publish(&mut world, alice, "chat:r", &message("one")), None);
    assert_eq!(publish(&mut world, alice, "chat:r", &message("two")), wait);
    assert_eq!(publish(&mut world, bob, "chat:r", &message("one")), None, "another user");
    assert_eq!(publish(&mut world, alice, "chat:s", &message("one")), None, "another room");
    let change = json!({"type": "edit", "of": 1, "text": "better"});
    assert_eq!(publish(&mut world, alice, "chat:r", &change), None, "nothing new is said");
    assert_eq!(publish(&mut world, alice, "chat:r", &json!({"type": "dance"})), Some((107, false)));
    world.pass(9_999);
    assert_eq!(publish(&mut world, alice, "chat:r", &message("two")), wait);
    world.pass(1);
    assert_eq!(publish(&mut world, alice, "chat:r", &message("two")), None);
    assert_eq!(world.count(|m| m.slow_mode_refused.get()), 2);
}

#[test]
fn slow_mode_and_nonces() {
    let mut world = World::new(2, |config| {
        config.channel.namespaces[0].options.slow_mode = Duration::from_secs(10);
    });
    let alice = member(&mut world, 0, "alice", &["chat:r"]);
    let say = |text: &str, nonce: &str| json!({"type": "message", "text": text, "nonce": nonce});
    assert_eq!(publish(&mut world, alice, "chat:r", &say("one", "a")), None);
    assert_eq!(publish(&mut world, alice, "chat:r", &say("one", "a")), None, "asked again");
    assert_eq!(publish(&mut world, alice, "chat:r", &say("two", "b")), Some((111, true)));
    world.pass(10_000);
    // What was refused has not been published: its nonce is still good.
    assert_eq!(publish(&mut world, alice, "chat:r", &say("two", "b")), None);
    assert_eq!(world.count(|m| m.publications.get()), 2);
}

#[test]
fn a_plain_client_hears_that_it_is_too_fast() {
    let mut world = World::new(2, |config| {
        config.channel.namespaces[0].options.slow_mode = Duration::from_secs(10);
    });
    let bob = world.plain(0, "chat:r", Some("bob"));
    world.settle();
    world.send(bob, "one");
    world.settle();
    world.send(bob, "two");
    world.settle();
    let got = world.take(bob);
    assert_eq!(got, ["* bob joined", "from bob: one", "* too fast: the line was not sent"]);
}

#[test]
fn a_room_knows_its_topic() {
    let mut world = World::new(2, |_| {});
    let alice = member(&mut world, 0, "alice", &["chat:r"]);
    let topic = |world: &World| {
        let mut homes = world.shards.iter().flat_map(|shard| shard.homes.iter());
        homes.find_map(|(_, home)| home.topic.clone())
    };
    let set = |text: &str| json!({"type": "topic", "text": text});
    assert_eq!(topic(&world), None);
    assert_eq!(publish(&mut world, alice, "chat:r", &set("tea")), None);
    assert_eq!(publish(&mut world, alice, "chat:r", &set(&"x".repeat(251))), Some((107, false)));
    assert_eq!(topic(&world).as_deref(), Some("tea"));
    assert_eq!(publish(&mut world, alice, "chat:r", &set("")), None);
    assert_eq!(topic(&world), None);
}
