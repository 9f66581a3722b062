//! One behaviour each, driven by hand.

use super::*;
use serde_json::json;

fn lines(world: &mut World, index: usize) -> Vec<String> {
    world.settle();
    world.take(index)
}

#[test]
fn plain_clients_hear_each_other_across_shards() {
    let mut world = World::new(2, |_| {});
    let a = world.plain(0, "chat:lobby", None);
    let b = world.plain(1, "chat:lobby", Some("bob"));
    world.settle();
    world.send(a, "hello");
    world.send(b, "hi\nthere");
    world.send(b, "   ");
    let got = lines(&mut world, a);
    assert_eq!(got[..2], ["* 1 joined", "* bob joined"]);
    assert!(got.contains(&"from 1: hello".into()) && got.contains(&"from bob: hi there".into()));
    assert_eq!(got.len(), 4);
    world.cut(b);
    world.pass(5_000); // he might have come back
    assert_eq!(lines(&mut world, a), ["* bob left"]);
    world.cut(a);
    world.assert_empty();
}

#[test]
fn both_dialects_share_a_room() {
    let mut world = World::new(2, |_| {});
    let plain = world.plain(0, "chat:lobby", Some("bob"));
    let json = world.guest(1, "carol");
    world.say(json, json!({"id": 2, "subscribe": {"channel": "chat:lobby"}}));
    world.settle();
    world.send(plain, "hello");
    world.say(
        json,
        json!({"id": 3, "publish": {"channel": "chat:lobby", "data":
        {"type": "me", "text": "waves"}}}),
    );
    let got = lines(&mut world, plain);
    assert!(got.contains(&"from bob: hello".into()), "{got:?}");
    assert!(got.contains(&"* carol waves".into()), "{got:?}");
    let got = world.take(json);
    let text = got.iter().find(|t| t.contains("\"text\":\"hello\"")).expect("the line");
    let push: Value = serde_json::from_str(text).unwrap();
    let info = &push["push"]["pub"]["info"];
    assert_eq!((&info["user"], &info["conn_info"]["nick"]), (&json!("~bob"), &json!("bob")));
    assert_eq!(find(&got, "publish"), Some(json!({})));
}

#[test]
fn nicks_are_unique_and_come_back_with_proof() {
    let mut world = World::new(3, |_| {});
    let nick = |world: &mut World, index: usize| {
        let got = world.take(index);
        find(&got, "connect").expect("connected")["data"].clone()
    };
    let first = world.guest(0, "alice");
    let data = nick(&mut world, first);
    assert_eq!(data["nick"], "alice");
    let second = world.guest(1, "alice");
    assert_eq!(nick(&mut world, second)["nick"], "alice-2");
    world.cut(first);
    world.settle();
    let third = world.guest(2, "alice");
    assert_eq!(nick(&mut world, third)["nick"], "alice-3", "within the grace period");
    let fourth = world.open(1, Endpoint::Protocol);
    world.say(fourth, json!({"id": 1, "connect": {"data": data}}));
    world.settle();
    assert_eq!(nick(&mut world, fourth)["nick"], "alice");
    let plain = world.plain(0, "chat:lobby", Some("alice"));
    world.settle();
    assert_eq!(world.take(plain), ["* alice-4 joined"]);
}

#[test]
fn errors_and_disconnects() {
    // What a client says in one frame, and the error code or close code it gets.
    let check = |say: &str, expect: u64| {
        let mut world = World::new(1, |_| {});
        let index = world.open(0, Endpoint::Protocol);
        world.send(index, say);
        world.settle();
        let code = match world.clients[index].closed {
            Some((code, _)) => u64::from(code),
            None => find(&world.take(index), "error").map_or(0, |e| e["code"].as_u64().unwrap()),
        };
        assert_eq!(code, expect, "{say}");
    };
    let connected =
        |say: &str, expect| check(&format!("{{\"id\":1,\"connect\":{{}}}}\n{say}"), expect);
    check("hello", 3501);
    check(r#"{"id":1,"subscribe":{"channel":"a"}}"#, 3501);
    check(r#"{"connect":{}}"#, 3501);
    check(r#"{"id":1,"connect":{"token":"x"}}"#, 3500);
    check(r#"{"id":1,"connect":{"data":{"nick":"a:b"}}}"#, 107);
    connected(r#"{"id":2,"connect":{}}"#, 3501);
    connected(r#"{"id":2,"dance":{}}"#, 3501);
    connected(r#"{"id":2,"subscribe":{"channel":"nope:x"}}"#, 102);
    connected(r#"{"id":2,"subscribe":{"channel":"dm:#a,b"}}"#, 103);
    connected(r#"{"id":2,"subscribe":{"channel":"chat:$x"}}"#, 103);
    connected(r#"{"id":2,"subscribe":{"channel":""}}"#, 107);
    connected(&format!(r#"{{"id":2,"subscribe":{{"channel":"{}"}}}}"#, "x".repeat(256)), 106);
    connected(
        "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"subscribe\":{\"channel\":\"a\"}}",
        105,
    );
    connected(
        r#"{"id":2,"publish":{"channel":"chat:a","data":{"type":"message","text":"x"}}}"#,
        103,
    );
    connected(r#"{"id":2,"publish":{"channel":"a"}}"#, 107);
    connected(r#"{"id":2,"publish":{"channel":"a","data":1}}"#, 0);
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    connected(&format!(r#"{{"id":2,"publish":{{"channel":"a","data":{deep}}}}}"#), 107);
    connected(
        "{\"id\":2,\"subscribe\":{\"channel\":\"chat:a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"chat:a\",\"data\":{}}}",
        107,
    );
    connected(
        "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"history\":{\"channel\":\"a\"}}",
        108,
    );
    connected(r#"{"id":2,"rpc":{"method":"x"}}"#, 104);
    connected(r#"{"id":2,"rpc":{}}"#, 104);
    connected(r#"{"id":2,"unsubscribe":{"channel":"a"}}"#, 0);
    connected(r#"{"id":2,"ping":{}}"#, 0);
}

#[test]
fn recovery_is_all_or_nothing() {
    let mut world = World::new(2, |config| config.channel.namespaces[0].options.history_size = 5);
    let writer = world.client(0);
    let reader = world.client(1);
    for (id, index) in [(2, writer), (2, reader)] {
        world.say(index, json!({"id": id, "subscribe": {"channel": "chat:r"}}));
    }
    world.settle();
    let got = world.take(reader);
    let epoch = find(&got, "subscribe").unwrap()["epoch"].clone();
    let publish = |world: &mut World, n: u64| {
        world.say(
            writer,
            json!({"id": 9, "publish": {"channel": "chat:r", "data":
            {"type": "message", "text": n.to_string()}}}),
        );
        world.settle();
    };
    (1..=2).for_each(|n| publish(&mut world, n));
    world.cut(reader);
    (3..=6).for_each(|n| publish(&mut world, n));
    let recover = |world: &mut World, epoch: &Value, offset: u64| {
        let index = world.client(1);
        world.say(
            index,
            json!({"id": 2, "subscribe":
            {"channel": "chat:r", "recover": true, "epoch": epoch, "offset": offset}}),
        );
        world.settle();
        let got = world.take(index);
        world.cut(index);
        find(&got, "subscribe").unwrap()
    };
    let offsets = |result: &Value| -> Vec<u64> {
        let list = result["publications"].as_array().cloned().unwrap_or_default();
        list.iter().map(|p| p["offset"].as_u64().unwrap()).collect()
    };
    let result = recover(&mut world, &epoch, 2);
    assert_eq!((&result["recovered"], offsets(&result)), (&json!(true), vec![3, 4, 5, 6]));
    let result = recover(&mut world, &epoch, 6);
    assert_eq!((&result["recovered"], offsets(&result)), (&json!(true), vec![]));
    for (epoch, offset) in [(&epoch, 0), (&json!("other"), 5), (&epoch, 7)] {
        let result = recover(&mut world, epoch, offset);
        assert_eq!((result.get("recovered"), offsets(&result)), (None, vec![]), "{offset}");
        assert_eq!((&result["was_recovering"], &result["offset"]), (&json!(true), &json!(6)));
    }
}

#[test]
fn chat_rules_at_home() {
    let mut world = World::new(2, |_| {});
    let alice = world.guest(0, "alice");
    let bob = world.guest(1, "bob");
    for index in [alice, bob] {
        world.say(index, json!({"id": 2, "subscribe": {"channel": "chat:r"}}));
    }
    world.settle();
    let mut publish = |index: usize, data: Value| -> Option<u64> {
        world.take(index);
        world.say(index, json!({"id": 3, "publish": {"channel": "chat:r", "data": data}}));
        world.settle();
        let got = world.take(index);
        assert!(find(&got, "error").is_some() != find(&got, "publish").is_some(), "{got:?}");
        find(&got, "error").map(|e| e["code"].as_u64().unwrap())
    };
    let hello = json!({"type": "message", "text": "secret", "nonce": "n1"});
    assert_eq!(publish(alice, hello.clone()), None);
    assert_eq!(publish(alice, hello.clone()), None, "answered like the first");
    assert_eq!(publish(bob, hello), None, "another user's nonce");
    assert_eq!(publish(bob, json!({"type": "edit", "of": 1, "text": "x"})), Some(103));
    assert_eq!(publish(bob, json!({"type": "message", "text": "x", "reply_to": 99})), Some(107));
    assert_eq!(
        publish(bob, json!({"type": "react", "of": 1, "emoji": "x", "on": true})),
        Some(107)
    );
    assert_eq!(publish(bob, json!({"type": "react", "of": 1, "emoji": "👍", "on": true})), None);
    assert_eq!(publish(alice, json!({"type": "edit", "of": 1, "text": "better"})), None);
    assert_eq!(publish(alice, json!({"type": "delete", "of": 1})), None);
    assert_eq!(world.count(|m| m.publications.get()), 5);
    world.say(bob, json!({"id": 4, "history": {"channel": "chat:r", "limit": -1}}));
    world.settle();
    let got = world.take(bob);
    let history = find(&got, "history").unwrap();
    let first = &history["publications"][0];
    assert_eq!((&first["offset"], &first["data"]["text"]), (&json!(1), &json!("")));
}

#[test]
fn a_slow_member_is_closed_and_the_others_are_served() {
    let mut world = World::new(2, |config| config.client.queue_max_size = 4_096);
    let (writer, slow, other) = (world.client(0), world.client(1), world.client(1));
    for index in [writer, slow, other] {
        world.say(index, json!({"id": 2, "subscribe": {"channel": "r"}}));
    }
    world.settle();
    world.take(other);
    world.clients[slow].stuck = true;
    for n in 0..100 {
        let data = json!({"n": n, "fill": "x".repeat(100)});
        world.say(writer, json!({"id": 3, "publish": {"channel": "r", "data": data}}));
        world.settle();
    }
    assert_eq!(world.clients[slow].closed, Some((3008, "slow")));
    assert_eq!(world.take(other).iter().filter(|t| t.contains("\"pub\"")).count(), 100);
    assert_eq!(world.count(|m| m.closed_slow.get()), 1);
    world.cut(writer);
    world.cut(other);
    world.assert_empty();
}

#[test]
fn droppable_notices_do_not_close_a_slow_member() {
    let mut world = World::new(1, |config| config.client.queue_max_size = 4_096);
    let (writer, slow) = (world.client(0), world.client(0));
    for index in [writer, slow] {
        world.say(index, json!({"id": 2, "subscribe": {"channel": "typing:r"}}));
    }
    world.settle();
    world.clients[slow].stuck = true;
    for _ in 0..100 {
        let data = json!({"type": "typing", "on": true});
        world.say(writer, json!({"id": 3, "publish": {"channel": "typing:r", "data": data}}));
        world.settle();
    }
    assert!(world.clients[slow].open);
    assert!(world.count(|m| m.typing_dropped.get()) > 0);
}

#[test]
fn heartbeat_and_deadlines() {
    let mut world = World::new(1, |_| {});
    let stale = world.open(0, Endpoint::Protocol);
    let silent = world.client(0);
    let alive = world.client(0);
    let plain = world.plain(0, "chat:lobby", None);
    world.settle();
    for _ in 0..400 {
        world.pass(250);
        for index in [alive, plain] {
            for text in world.take(index) {
                match text.as_str() {
                    "{}" => world.send(index, "{}"),
                    "PING" => {
                        let slot = world.clients[index].slot;
                        world.step(0, Input::Received { slot, message: Message::Pong(b"") });
                    }
                    _ => {}
                }
            }
        }
    }
    assert_eq!(world.clients[stale].closed, Some((3502, "stale")));
    assert_eq!(world.clients[silent].closed, Some((3012, "no pong")));
    assert!(world.clients[alive].open && world.clients[plain].open);
}

#[test]
fn a_ping_interval_beyond_the_horizon_of_the_wheel() {
    let mut world = World::new(1, |config| {
        config.client.ping_interval = std::time::Duration::from_secs(200);
        config.client.stale_close_delay = std::time::Duration::from_secs(150);
    });
    let stale = world.open(0, Endpoint::Protocol);
    let alive = world.client(0);
    let mut pings = 0;
    for second in 0..1_000 {
        world.pass(1_000);
        assert_eq!(world.clients[stale].open, second < 149, "{second}");
        if world.take(alive).contains(&"{}".to_owned()) {
            pings += 1;
            world.send(alive, "{}");
        }
    }
    assert!(world.clients[alive].open && (4..=6).contains(&pings), "{pings}");
}

#[test]
fn too_many_commands() {
    let mut world = World::new(1, |config| {
        config.client.command_rate_limit = 10;
        config.client.command_rate_burst = 5;
    });
    let index = world.client(0);
    for id in 2..=6 {
        world.say(index, json!({"id": id, "ping": {}}));
    }
    world.settle();
    let got = world.take(index);
    assert!(got[4].contains("\"ping\"") && got[5].contains("111") && got[5].contains("temporary"));
    world.pass(1_000);
    world.say(index, json!({"id": 9, "ping": {}}));
    world.settle();
    assert!(world.take(index).iter().any(|t| t.contains("\"ping\"")));
    for id in 10..400 {
        world.say(index, json!({"id": id, "ping": {}}));
    }
    assert_eq!(world.clients[index].closed, Some((3013, "too many requests")));
    // Pings and pongs count like commands.
    let index = world.client(0);
    (0..400).for_each(|_| world.send(index, "{}"));
    assert_eq!(world.clients[index].closed, Some((3013, "too many requests")));
    let index = world.plain(0, "chat:lobby", None);
    world.settle();
    let slot = world.clients[index].slot;
    for _ in 0..400 {
        if world.clients[index].open {
            world.step(0, Input::Received { slot, message: Message::Ping(b"") });
        }
    }
    assert_eq!(world.clients[index].closed, Some((3013, "too many requests")));
}

#[test]
fn history_expires_and_rooms_are_forgotten() {
    let mut world = World::new(2, |config| {
        config.channel.namespaces[0].options.history_ttl = std::time::Duration::from_secs(60);
    });
    let index = world.plain(0, "chat:r", None);
    world.settle();
    world.send(index, "hello");
    world.settle();
    world.cut(index);
    world.settle();
    assert_eq!(world.shards.iter().map(|s| s.homes.len()).sum::<usize>(), 1);
    (0..61).for_each(|_| world.pass(1_000));
    assert_eq!(world.shards.iter().map(|s| s.homes.len()).sum::<usize>(), 0);
    assert_eq!(world.shards.iter().map(|s| s.history_bytes).sum::<usize>(), 0);
}

#[test]
fn history_is_bounded_in_all() {
    let mut world = World::new(1, |config| config.channel.history_total_max_size = 20_000);
    let index = world.client(0);
    world.say(index, json!({"id": 2, "subscribe": {"channel": "chat:a"}}));
    world.say(index, json!({"id": 3, "subscribe": {"channel": "chat:b"}}));
    for n in 0..300 {
        let room = if n == 0 || n > 290 { "chat:a" } else { "chat:b" };
        world.say(
            index,
            json!({"id": 4, "publish": {"channel": room, "data":
            {"type": "message", "text": format!("{n}")}}}),
        );
        world.settle();
        assert!(world.shards[0].history_bytes <= 20_000);
    }
    let kept: usize = world.shards[0].homes.iter().map(|(_, h)| h.history_bytes()).sum();
    assert_eq!(kept, world.shards[0].history_bytes, "the account is right");
}

#[test]
fn limits_of_rooms() {
    let mut world = World::new(1, |config| {
        config.channel.rooms_max = 3;
        config.client.channel_limit = 4;
    });
    let index = world.client(0);
    let mut subscribe = |room: &str| {
        world.say(index, json!({"id": 2, "subscribe": {"channel": room}}));
        world.settle();
        find(&world.take(index), "error").map(|e| e["code"].as_u64().unwrap())
    };
    assert_eq!(["a", "b", "c", "d"].map(&mut subscribe), [None, None, None, Some(106)]);
    let plain = world.plain(0, "chat:full", None);
    world.settle();
    assert_eq!(world.clients[plain].closed.map(|c| c.0), Some(3507));
    world.cut(index);
    world.assert_empty();
}

#[test]
fn announcements_stop_in_large_rooms() {
    let mut world = World::new(2, |config| config.presence.announce_max = 2);
    let first = world.plain(0, "chat:r", None);
    let others: Vec<usize> = (0..3).map(|n| world.plain(n % 2, "chat:r", None)).collect();
    world.settle();
    assert!(world.take(first).len() <= 2);
    others.iter().for_each(|index| world.cut(*index));
    world.settle();
    assert_eq!(world.take(first).len(), 1, "only the leave that left two or fewer");
}

#[test]
fn a_drain_loses_nothing_that_was_accepted() {
    let mut world = World::new(3, |_| {});
    let clients: Vec<usize> = (0..6).map(|n| world.client(n % 3)).collect();
    for index in &clients {
        for room in ["a", "b", "c"] {
            world.say(*index, json!({"id": 2, "subscribe": {"channel": room}}));
        }
    }
    world.settle();
    clients.iter().for_each(|index| drop(world.take(*index)));
    for (n, index) in clients.iter().enumerate() {
        for room in ["a", "b", "c"] {
            world.say(*index, json!({"id": 3, "publish": {"channel": room, "data": n}}));
        }
    }
    // Nothing has moved yet: everything is in the shards and the lanes.
    (0..3).for_each(|shard| world.step(shard, Input::Drain));
    world.say(clients[0], json!({"id": 4, "publish": {"channel": "a", "data": "too late"}}));
    world.settle();
    assert!(world.shards.iter().all(Shard::drained));
    for index in clients {
        let got = world.take(index);
        assert_eq!(got.iter().filter(|t| t.contains("\"pub\"")).count(), 18);
        assert_eq!(got.iter().filter(|t| t.contains("\"publish\"")).count(), 3);
        let (shard, slot) = (world.clients[index].shard, world.clients[index].slot);
        let now = world.now;
        world.shards[shard].shut_down(now, slot, &mut world.effects[shard]);
        world.after(shard);
        assert_eq!(world.clients[index].closed, Some((3001, "shutdown")));
    }
}

#[test]
fn tokens() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let mut world = World::new(1, |config| config.client.token.hmac_secret_key = KEY.into());
    let token = |exp: u64| {
        let claims = json!({"sub": "42", "exp": exp, "info": {"name": "Ann"}});
        encode(&Header::default(), &claims, &EncodingKey::from_secret(KEY.as_bytes())).unwrap()
    };
    let now_s = world.now.unix_ms / 1_000;
    let nobody = world.open(0, Endpoint::Protocol);
    world.say(nobody, json!({"id": 1, "connect": {}}));
    let late = world.open(0, Endpoint::Protocol);
    world.say(late, json!({"id": 1, "connect": {"token": token(now_s)}}));
    let good = world.open(0, Endpoint::Protocol);
    world.say(good, json!({"id": 1, "connect": {"token": token(now_s + 60)}}));
    world.settle();
    let code = |got: Vec<String>| find(&got, "error").map(|e| e["code"].as_u64().unwrap());
    assert_eq!(code(world.take(nobody)), Some(101));
    assert_eq!(code(world.take(late)), Some(109));
    let got = world.take(good);
    let result = find(&got, "connect").unwrap();
    assert_eq!((&result["expires"], &result["ttl"]), (&json!(true), &json!(60)));
    world.say(good, json!({"id": 2, "refresh": {"token": token(now_s + 90)}}));
    world.settle();
    assert_eq!(find(&world.take(good), "refresh").unwrap()["ttl"], 90);
    for _ in 0..600 {
        world.pass(250);
        if world.take(good).contains(&"{}".to_owned()) {
            world.send(good, "{}");
        }
    }
    assert_eq!(world.clients[good].closed.map(|c| c.0), Some(3005));
    let plain =
        |token: Option<String>| Endpoint::Plain { room: "chat:r".into(), name: None, token };
    let admit = |endpoint| Shard::admit(&world.settings, &endpoint, world.now.unix_ms);
    assert_eq!(admit(plain(None)).unwrap_err().status, 401);
    assert_eq!(admit(plain(Some("x".into()))).unwrap_err().status, 401);
    assert!(admit(plain(Some(token(now_s + 1_000)))).is_ok());
}

#[test]
fn large_answers_wait_for_each_other() {
    // Each room holds more than a third of what the outbox takes: asked for in one frame, the
    // answers come one after the other and nobody is closed for being slow.
    let mut world = World::new(3, |config| config.client.queue_max_size = 40_000);
    let rooms: Vec<String> = (0..8).map(|n| format!("chat:{n}")).collect();
    let writer = world.client(0);
    let mut epochs = Vec::new();
    for room in &rooms {
        world.say(writer, json!({"id": 2, "subscribe": {"channel": room}}));
        world.settle();
        epochs.push(find(&world.take(writer), "subscribe").unwrap()["epoch"].clone());
        for _ in 0..15 {
            let data = json!({"type": "message", "text": "x".repeat(1_000)});
            world.say(writer, json!({"id": 3, "publish": {"channel": room, "data": data}}));
            world.settle();
        }
    }
    let reader = world.client(1);
    let mut frame = String::new();
    for (room, epoch) in rooms.iter().zip(&epochs) {
        let subscribe = json!({"channel": room, "recover": true, "epoch": epoch, "offset": 0});
        frame += &format!("{}\n", json!({"id": 2, "subscribe": subscribe}));
        let history = json!({"channel": room, "limit": 10});
        frame += &format!("{}\n", json!({"id": 3, "history": history}));
    }
    world.send(reader, frame.trim_end());
    world.settle();
    let got = world.take(reader);
    assert_eq!(world.clients[reader].closed, None);
    assert_eq!(got.iter().filter(|t| t.contains("\"recovered\":true")).count(), 8);
    assert_eq!(got.iter().filter(|t| t.contains("\"history\"")).count(), 8);
}

#[test]
fn places_are_given_back_after_a_peak() {
    let mut world = World::new(1, |_| ());
    let clients = (0..100).map(|_| world.client(0)).collect::<Vec<_>>();
    for client in &clients {
        world.say(*client, json!({"id": 2, "subscribe": {"channel": "r"}}));
    }
    world.settle();
    clients.iter().skip(1).for_each(|client| world.cut(*client));
    world.settle();
    world.shards[0].shrink();
    assert_eq!(world.shards[0].slots().count(), 1);
    assert!(world.shards[0].places() < 10, "{}", world.shards[0].places());
    // Whoever is left, and whoever comes, is served.
    let late = world.client(0);
    world.say(late, json!({"id": 2, "subscribe": {"channel": "r"}}));
    world.settle();
    world.take(clients[0]);
    world.say(late, json!({"id": 3, "publish": {"channel": "r", "data": 1}}));
    world.settle();
    assert!(world.take(clients[0]).iter().any(|line| line.contains(r#""data":1"#)));
}

#[test]
fn much_at_once_cuts_off_nobody_who_reads() {
    // All in one room, or in a room each.
    for rooms in [1, 20] {
        let mut world = World::new(2, |config| config.client.queue_max_size = 64 * 1024);
        let home = world.settings.home("r").index();
        let same = |room: &String| world.settings.home(room).index() == home;
        let rooms: Vec<_> = (0..).map(|n| format!("r{n}")).filter(same).take(rooms).collect();
        let writer = world.client(home);
        let readers = [world.client(home), world.client(1 - home)];
        for client in [writer, readers[0], readers[1]] {
            for room in &rooms {
                world.say(client, json!({"id": 2, "subscribe": {"channel": room}}));
            }
        }
        world.settle();
        // The home goes on and on while the other shard is busy.
        let text = "x".repeat(8_000);
        for (n, room) in (0..20).zip(rooms.iter().cycle()) {
            let data = json!({"n": n, "text": text});
            world.say(writer, json!({"id": 3, "publish": {"channel": room, "data": data}}));
            world.end_turn(home);
        }
        while world.deliver(home, 1 - home) {}
        world.settle();
        for reader in readers {
            assert_eq!(world.clients[reader].closed, None);
            let got = world.take(reader);
            let came = |n| got.iter().any(|line| line.contains(&format!("\"n\":{n},")));
            assert!((0..20).all(came), "{} lines, {} rooms", got.len(), rooms.len());
        }
    }
}

#[test]
fn what_other_shards_bring_leaves_room_for_what_connections_bring() {
    let mut world = World::new(2, |config| config.client.queue_max_size = 64 * 1024);
    let home = world.settings.home("r").index();
    let [writer, reader] = [world.client(home), world.client(1 - home)];
    for client in [writer, reader] {
        world.say(client, json!({"id": 2, "subscribe": {"channel": "r"}}));
    }
    world.settle();
    let publish = json!({"id": 3, "publish": {"channel": "r", "data": "x".repeat(20_000)}});
    world.say(writer, publish);
    assert!(world.shards[home].turn_full(), "a quarter of the outbox has come");
    world.end_turn(home);
    assert!(!world.shards[home].turn_full());
    assert!(world.deliver(home, 1 - home));
    assert!(world.shards[1 - home].turn_full());
    world.shards[1 - home].lanes_heard();
    assert!(!world.shards[1 - home].turn_full());
    world.settle();
    assert_eq!(world.clients[reader].closed, None);
}

/// Who has begun may go on where nobody else begins any more.
#[test]
fn the_last_quarter_of_a_turn_is_for_who_has_begun() {
    let mut world = World::new(1, |config| config.client.queue_max_size = 64 * 1024);
    let writer = world.client(0);
    world.say(writer, json!({"id": 2, "subscribe": {"channel": "r"}}));
    world.settle();
    let publish = json!({"id": 3, "publish": {"channel": "r", "data": "x".repeat(2_000)}});
    let mut ends_and_full = Vec::new();
    for _ in 0..9 {
        world.say(writer, publish.clone());
        ends_and_full.push((world.shards[0].turn_ends(), world.shards[0].turn_full()));
    }
    let expect = [[(false, false); 5].as_slice(), &[(true, false); 2], &[(true, true); 2]].concat();
    assert_eq!(ends_and_full, expect, "of 16 KiB");
    world.end_turn(0);
    assert!(!world.shards[0].turn_ends());
}
