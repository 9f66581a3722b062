//! Fresh connections that are given up for the home of their first room.

use super::*;

const BOTH: &str = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"small\"}}\n{\"id\":3,\"subscribe\":{\"channel\":\"other\"}}";

/// Two shards, and which of them is home to the room "small".
fn world() -> (World, usize) {
    let world = World::new(2, |_| {});
    let home = world.settings.home("small").index();
    (world, home)
}

fn first_room(world: &World, index: usize, message: Message<'_>) -> Option<String> {
    let Client { shard, slot, .. } = world.clients[index];
    world.shards[shard].first_room(slot, message).map(|room| room.into_owned())
}

#[test]
fn the_first_room_is_that_of_the_first_subscription() {
    let (mut world, _) = world();
    let json = world.open(0, Endpoint::Protocol);
    let identity = Identity::Anonymous;
    let protobuf = world.open_with(0, Endpoint::Protocol, identity, Encoding::Protobuf);
    assert_eq!(first_room(&world, json, Message::Text(BOTH)).as_deref(), Some("small"));
    let bytes: Vec<u8> = BOTH.lines().flat_map(super::protobuf).collect();
    assert_eq!(first_room(&world, protobuf, Message::Binary(&bytes)).as_deref(), Some("small"));
    // Nothing to be had from what asks for no room, is broken before it, or is of another kind.
    for text in [
        "{}",
        "",
        "{\"id\":1,\"connect\":{}}",
        "{\"id\":1,\"connect\":",
        "[]\n{\"id\":2,\"subscribe\":{\"channel\":\"small\"}}",
    ] {
        assert_eq!(first_room(&world, json, Message::Text(text)), None, "{text}");
    }
    assert_eq!(first_room(&world, json, Message::Binary(&bytes)), None);
    assert_eq!(first_room(&world, protobuf, Message::Binary(&bytes[..10])), None);
    assert_eq!(first_room(&world, json, Message::Ping(b"")), None);
}

#[test]
fn home_is_the_better_place_until_somebody_is_here() {
    let (mut world, home) = world();
    let away = 1 - home;
    let place = |world: &World| world.shards[away].better_place("small");
    assert_eq!(world.shards[home].better_place("small"), None);
    assert_eq!(place(&world), Some(ShardId(home as u16)));
    let member = world.client(away);
    world.say(member, json!({"id": 2, "subscribe": {"channel": "small"}}));
    assert_eq!(place(&world), None, "who is joining counts");
    world.settle();
    world.say(member, json!({"id": 3, "unsubscribe": {"channel": "small"}}));
    world.settle();
    assert_eq!(place(&world), Some(ShardId(home as u16)));
    world.step(away, Input::Drain);
    assert_eq!(place(&world), None);
}

#[test]
fn rooms_gather_only_where_they_may_and_can() {
    let alone = World::new(1, |_| {});
    assert_eq!(alone.shards[0].better_place("small"), None);
    let mut off = World::new(2, |config| config.fanout.gather_rooms = false);
    let index = off.open(0, Endpoint::Protocol);
    assert!((0..2).all(|shard| off.shards[shard].better_place("small").is_none()));
    assert!(!off.shards[0].is_fresh(off.clients[index].slot));
}

#[test]
fn who_moves_is_the_same_elsewhere() {
    let (mut world, home) = world();
    let away = 1 - home;
    let index = world.open(away, Endpoint::Protocol);
    let slot = world.clients[index].slot;
    assert!(world.shards[away].is_fresh(slot));
    world.relocate(index, home);
    assert_eq!((world.metrics[away].sessions.get(), world.metrics[home].sessions.get()), (0, 1));
    assert!(!world.shards[away].is_fresh(slot));
    assert!(world.shards[away].give_up(slot, &mut world.effects[away]).is_none(), "only once");

    let slot = world.clients[index].slot;
    world.step(home, Input::Received { slot, message: Message::Text(BOTH) });
    world.settle();
    let got = world.take(index);
    assert_eq!(find(&got, "connect").unwrap()["client"], world.client_id(index));
    assert!(got.iter().any(|text| text.contains("\"id\":3")), "{got:?}");
    assert!(!world.shards[home].is_fresh(slot));
    // And it is nowhere else.
    world.cut(index);
    world.assert_empty();
}

#[test]
fn who_has_done_something_stays() {
    let (mut world, home) = world();
    let away = 1 - home;
    let connected = world.client(away);
    let plain = world.open(away, endpoint("small"));
    let echo = world.open(away, Endpoint::Echo);
    // It has been sent a pong that has not gone out yet.
    let pinged = world.open(away, Endpoint::Protocol);
    let slot = world.clients[pinged].slot;
    world.step(away, Input::Received { slot, message: Message::Ping(b"x") });
    for index in [connected, plain, echo, pinged] {
        let slot = world.clients[index].slot;
        assert!(!world.shards[away].is_fresh(slot), "{index}");
        assert!(world.shards[away].give_up(slot, &mut world.effects[away]).is_none(), "{index}");
    }
    world.settle();
    assert!(world.clients.iter().all(|client| client.open));
}

fn endpoint(room: &str) -> Endpoint {
    Endpoint::Plain { room: room.into(), name: None, token: None }
}
