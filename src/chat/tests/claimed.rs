//! Rooms that a connection token names.

use super::*;
use jsonwebtoken::{EncodingKey, Header, encode};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn world(shards: usize, change: impl FnOnce(&mut Config)) -> World {
    World::new(shards, |config| {
        config.client.token.hmac_secret_key = KEY.into();
        change(config);
    })
}

fn connect(claims: &Value, subs: &Value) -> Value {
    let token =
        encode(&Header::default(), claims, &EncodingKey::from_secret(KEY.as_bytes())).unwrap();
    json!({"id": 1, "connect": {"token": token, "subs": subs}})
}

/// What a client has been sent since the last look.
fn taken(world: &mut World, index: usize) -> Vec<Value> {
    world.take(index).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn the_server_joins_what_the_token_names() {
    let mut world = world(3, |_| {});
    let claims = json!({"sub": "ann", "channels": ["news", "chat:a", "news"],
        "subs": {"dm:#ann,bob": {"data": {"d": 1}}}});
    let ann = world.open(0, Endpoint::Protocol);
    world.say(ann, connect(&claims, &json!({})));
    world.settle();
    let got = taken(&mut world, ann);
    // The reply comes first, and tells of all rooms; what they have brought meanwhile follows.
    let subs = got[0]["connect"]["subs"].as_object().expect("rooms in the connect reply");
    assert_eq!(subs.keys().collect::<Vec<_>>(), ["chat:a", "dm:#ann,bob", "news"], "{got:?}");
    assert_eq!(subs["chat:a"]["recoverable"], true);
    assert_eq!(subs["dm:#ann,bob"]["data"], json!({"d": 1}));
    assert_eq!(subs["news"], json!({}));
    assert!(got[1..].iter().all(|push| push["push"]["join"].is_object()), "{got:?}");
    assert_eq!(got.len(), 3, "her own joins, in two rooms that announce them: {got:?}");
    let epoch = subs["chat:a"]["epoch"].clone();

    // What is missed stands in the next reply.
    let bob = world.open(1, Endpoint::Protocol);
    world.say(bob, connect(&json!({"sub": "bob", "channels": ["chat:a"]}), &json!({})));
    world.settle();
    world.cut(ann);
    world.settle();
    for n in 2..7 {
        let data = json!({"type": "message", "text": n.to_string()});
        world.say(bob, json!({"id": n, "publish": {"channel": "chat:a", "data": data}}));
    }
    world.settle();
    for (offset, expect) in [(2, Some(vec![3, 4, 5])), (5, Some(vec![])), (9, None)] {
        let back = world.open(2, Endpoint::Protocol);
        let subs = json!({"chat:a": {"recover": true, "epoch": epoch, "offset": offset}});
        world.say(back, connect(&claims, &subs));
        world.settle();
        let sub = taken(&mut world, back)[0]["connect"]["subs"]["chat:a"].clone();
        assert_eq!(sub["was_recovering"], true);
        assert_eq!(sub.get("recovered").is_some(), expect.is_some(), "{sub}");
        let publications = sub.get("publications").and_then(Value::as_array);
        let offsets: Vec<u64> =
            publications.into_iter().flatten().map(|p| p["offset"].as_u64().unwrap()).collect();
        assert_eq!(offsets, expect.unwrap_or_default(), "{sub}");
        if let Some(first) = publications.and_then(|all| all.first()) {
            assert_eq!(first["data"], json!({"type": "message", "text": "4"}));
            assert_eq!(first["info"]["user"], "bob");
        }
        world.cut(back);
    }
    world.cut(bob);
    world.settle();
    world.assert_empty();
}

#[test]
fn a_protobuf_client_is_told_the_same() {
    let mut world = world(2, |_| {});
    let claims = json!({"sub": "ann", "channels": ["chat:a", "news"]});
    let ann = world.open_with(0, Endpoint::Protocol, Identity::Anonymous, Encoding::Protobuf);
    let token = connect(&claims, &json!({}))["connect"]["token"].clone();
    world.say(ann, json!({"id": 1, "connect": {"token": token}}));
    world.settle();
    let subs = taken(&mut world, ann)[0]["connect"]["subs"].clone();
    assert_eq!(subs["chat:a"]["recoverable"], true, "{subs}");
    assert_eq!(subs["news"], json!({}));
}

#[test]
fn what_a_room_brings_meanwhile_comes_behind_the_reply() {
    // One claimed room is at home here and answers at once, the other far away and late.
    let mut world = world(2, |_| {});
    let home = |world: &World, shard: u16| {
        let names = (0..).map(|n| format!("chat:{n}"));
        let here = |name: &String| world.shards[0].settings.home(name).0 == shard;
        names.filter(here).take(2).collect::<Vec<_>>()
    };
    let (near, far) = (home(&world, 0), home(&world, 1));
    let bob = world.open(0, Endpoint::Protocol);
    world.say(bob, connect(&json!({"sub": "bob", "channels": [near[0]]}), &json!({})));
    world.settle();
    let ann = world.open(0, Endpoint::Protocol);
    let claims = json!({"sub": "ann", "channels": [near[0], far[0]]});
    world.say(ann, connect(&claims, &json!({})));
    // Before the other shard has heard anything.
    let data = json!({"type": "message", "text": "hi"});
    world.say(bob, json!({"id": 2, "publish": {"channel": near[0], "data": data}}));
    world.end_turn(0);
    assert_eq!(taken(&mut world, ann), Vec::<Value>::new(), "nothing before the reply");
    assert!(world.shards[0].outbox_bytes > 0, "what is held back is counted");
    world.settle();
    let got = taken(&mut world, ann);
    let subs = got[0]["connect"]["subs"].as_object().unwrap();
    assert_eq!((subs.len(), &subs[&near[0]]["offset"]), (2, &json!(0)), "{got:?}");
    let publication = got.iter().position(|push| push["push"]["pub"]["offset"] == 1);
    assert!(publication.is_some_and(|at| at > 0), "{got:?}");

    // Gone while it waits: nothing is left of it.
    let eve = world.open(0, Endpoint::Protocol);
    world.say(eve, connect(&json!({"sub": "eve", "channels": [near[0], far[1]]}), &json!({})));
    world.end_turn(0);
    world.cut(eve);
    world.cut(ann);
    world.cut(bob);
    world.settle();
    world.assert_empty();
    assert!(world.shards.iter().all(|shard| shard.claims.is_empty() && shard.outbox_bytes == 0));
}

#[test]
fn recoveries_of_many_rooms_share_one_reply() {
    let mut world = world(2, |config| config.client.queue_max_size = 64 * 1024);
    let rooms: Vec<String> = (0..8).map(|n| format!("chat:{n}")).collect();
    let claims = json!({"sub": "ann", "channels": rooms});
    let ann = world.open(0, Endpoint::Protocol);
    world.say(ann, connect(&claims, &json!({})));
    world.settle();
    let subs = taken(&mut world, ann)[0]["connect"]["subs"].clone();
    let text = "x".repeat(6_000);
    for (n, room) in rooms.iter().enumerate() {
        let data = json!({"type": "message", "text": text});
        for id in 0..1 + n % 2 {
            let id = 10 + 2 * n + id;
            world.ask(ann, json!({"id": id, "publish": {"channel": room, "data": data}}));
        }
        world.take(ann);
    }
    world.cut(ann);
    world.settle();
    let back = world.open(1, Endpoint::Protocol);
    let positions: serde_json::Map<String, Value> = rooms
        .iter()
        .map(|room| {
            let epoch = &subs[room]["epoch"];
            (room.clone(), json!({"recover": true, "epoch": epoch, "offset": 0}))
        })
        .collect();
    world.say(back, connect(&claims, &Value::Object(positions)));
    world.settle();
    assert!(world.clients[back].open, "no more than it may be sent at once");
    let subs = taken(&mut world, back)[0]["connect"]["subs"].clone();
    for (n, room) in rooms.iter().enumerate() {
        let (recovered, count) = (&subs[room]["recovered"], &subs[room]["publications"]);
        match n % 2 {
            0 => assert_eq!((recovered, count.as_array().unwrap().len()), (&json!(true), 1)),
            _ => assert_eq!((recovered, count), (&Value::Null, &Value::Null), "12 of 7 KB"),
        }
    }
}

#[test]
fn a_token_that_names_what_cannot_be_does_not_connect() {
    let mut world = world(2, |config| config.client.channel_limit = 2);
    for (channels, code) in [(json!(["nowhere:a"]), 102), (json!(["a", "b", "c"]), 106)] {
        let ann = world.open(0, Endpoint::Protocol);
        let reply =
            world.ask(ann, connect(&json!({"sub": "ann", "channels": channels}), &json!({})));
        assert_eq!(reply["error"]["code"], code, "{reply}");
        world.cut(ann);
    }
    world.settle();
    world.assert_empty();
}

#[test]
fn a_room_that_cannot_be_made_ends_the_connection() {
    let mut world = world(1, |config| config.channel.rooms_max = 1);
    let ann = world.open(0, Endpoint::Protocol);
    world.say(ann, connect(&json!({"sub": "ann", "channels": ["a", "b"]}), &json!({})));
    world.settle();
    assert_eq!(world.clients[ann].closed, Some((3505, "channel limit")));
    world.assert_empty();
}
