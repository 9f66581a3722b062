//! The protobuf form of the protocol: the same behaviour as in JSON, and both in one room.

use super::*;

fn binary(world: &mut World, index: usize, bytes: &[u8]) {
    let (shard, slot) = (world.clients[index].shard, world.clients[index].slot);
    world.step(shard, Input::Received { slot, message: Message::Binary(bytes) });
    world.settle();
}

fn command(world: &mut World, index: usize, command: Value) -> Vec<String> {
    world.take(index);
    world.say(index, command);
    world.settle();
    world.take(index)
}

fn subscribe(world: &mut World, index: usize, room: &str) {
    let got = command(world, index, json!({"id": 2, "subscribe": {"channel": room}}));
    assert!(find(&got, "subscribe").is_some(), "{got:?}");
}

/// What of the room's publications the client has got since the last look: their data.
fn data(world: &mut World, index: usize) -> Vec<Value> {
    let got = world.take(index);
    let pushes = got.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok());
    pushes.filter_map(|value| value["push"]["pub"].get("data").cloned()).collect()
}

#[test]
fn three_dialects_share_a_room() {
    let mut world = World::new(2, |config| config.presence.grace = std::time::Duration::ZERO);
    let plain = world.plain(0, "chat:r", Some("bob"));
    let json = world.guest(1, "carol");
    subscribe(&mut world, json, "chat:r");
    let proto = world.protobuf_client(0);
    subscribe(&mut world, proto, "chat:r");
    assert!(world.take(json).iter().any(|text| text.contains("\"join\"")), "joins are announced");
    world.take(plain);
    world.send(plain, "say \"hi\"");
    let message = |text: &str| json!({"type": "message", "text": text});
    for (index, text) in [(json, "from json"), (proto, "from protobuf")] {
        let publish = json!({"channel": "chat:r", "data": message(text)});
        world.say(index, json!({"id": 3, "publish": publish}));
    }
    world.settle();
    let lines = world.take(plain);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.contains(&"from bob: say \"hi\"".into()), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with(": from protobuf")), "{lines:?}");
    let got = world.take(proto);
    assert_eq!(find(&got, "publish"), Some(json!({})));
    let pushes = |got: &[String]| -> Vec<String> {
        got.iter().filter(|text| text.contains("\"pub\"")).cloned().collect()
    };
    let value = |text: &String| serde_json::from_str::<Value>(text).unwrap();
    let seen: Vec<Value> = pushes(&got).iter().map(value).collect();
    assert_eq!(seen.len(), 3, "{got:?}");
    let same: Vec<Value> = pushes(&world.take(json)).iter().map(value).collect();
    assert_eq!(seen, same, "both forms say the same");
    assert!(seen.iter().any(|push| push["push"]["pub"]["data"] == message("say \"hi\"")));
    world.cut(json);
    world.settle();
    assert!(world.take(proto).iter().any(|text| text.contains("\"leave\"")));
    world.cut(proto);
    world.cut(plain);
    world.assert_empty();
}

#[test]
fn bytes_that_are_no_json() {
    let mut world = World::new(2, |_| {});
    let (proto, other, json) =
        (world.protobuf_client(0), world.protobuf_client(1), world.client(1));
    for index in [proto, other, json] {
        subscribe(&mut world, index, "r");
        subscribe(&mut world, index, "chat:r");
    }
    let mut publish = |room: &str| {
        let mut request = Vec::new();
        wire::put_bytes(&mut request, 1, room.as_bytes());
        wire::put_bytes(&mut request, 2, b"\xff\x00\x01\x02");
        let mut command = Vec::new();
        wire::put_number(&mut command, 1, 7);
        wire::put_bytes(&mut command, 7, &request);
        let mut frame = vec![command.len() as u8];
        frame.extend(command);
        world.take(proto);
        binary(&mut world, proto, &frame);
        world.clients[proto].got.clone()
    };
    let got = publish("r");
    assert_eq!(find(&got, "publish"), Some(json!({})), "{got:?}");
    let got = publish("chat:r");
    assert_eq!(find(&got, "error").expect("refused")["code"], 107);
    // The protobuf form is shown as JSON here; what its bytes are is seen over a socket.
    for index in [other, json] {
        assert_eq!(data(&mut world, index), ["/wABAg=="]);
    }
}

#[test]
fn what_closes_the_connection() {
    let check = |what: &str, connected: bool, message: Message<'_>| {
        let mut world = World::new(1, |_| {});
        let index = match connected {
            true => world.protobuf_client(0),
            false => {
                world.open_with(0, Endpoint::Protocol, Identity::Anonymous, Encoding::Protobuf)
            }
        };
        let slot = world.clients[index].slot;
        world.step(0, Input::Received { slot, message });
        assert_eq!(world.clients[index].closed, Some((3501, "bad request")), "{what}");
    };
    check("text", true, Message::Text("{}"));
    check("nothing", true, Message::Binary(b""));
    check("a length alone", true, Message::Binary(b"\x05"));
    check("no protobuf", true, Message::Binary(b"hello"));
    check("a command before connect", false, Message::Binary(&protobuf(r#"{"id":1,"ping":{}}"#)));
    check("connect again", true, Message::Binary(&protobuf(r#"{"id":1,"connect":{}}"#)));
    check("no id", false, Message::Binary(&protobuf(r#"{"connect":{}}"#)));
    let mut world = World::new(1, |_| {});
    let json = world.client(0);
    binary(&mut world, json, b"\0");
    assert_eq!(world.clients[json].closed, Some((3501, "bad request")), "bytes of a JSON client");
}

#[test]
fn heartbeats() {
    let mut world = World::new(1, |_| {});
    let (endpoint, identity) = (Endpoint::Protocol, Identity::Anonymous);
    let stale = world.open_with(0, endpoint, identity, Encoding::Protobuf);
    let (silent, alive) = (world.protobuf_client(0), world.protobuf_client(0));
    let mut pings = 0;
    for _ in 0..400 {
        world.pass(250);
        for text in world.take(alive) {
            if text == "{}" {
                pings += 1;
                world.send(alive, "{}");
            }
        }
    }
    assert_eq!(world.clients[stale].closed, Some((3502, "stale")));
    assert_eq!(world.clients[silent].closed, Some((3012, "no pong")));
    assert!(world.clients[alive].open && pings >= 3, "{pings}");
    let (slot, now) = (world.clients[alive].slot, world.now);
    world.shards[0].shut_down(now, slot, &mut world.effects[0]);
    world.after(0);
    assert_eq!(world.clients[alive].closed, Some((3001, "shutdown")));
}

#[test]
fn what_follows_a_command_that_waits_is_kept() {
    let mut world = World::new(3, |_| {});
    let writer = world.client(0);
    subscribe(&mut world, writer, "chat:r");
    for text in ["a", "b", "c"] {
        let data = json!({"type": "message", "text": text});
        world.say(writer, json!({"id": 3, "publish": {"channel": "chat:r", "data": data}}));
    }
    world.settle();
    let (endpoint, identity) = (Endpoint::Protocol, Identity::Anonymous);
    let reader = world.open_with(1, endpoint, identity, Encoding::Protobuf);
    let commands = [
        json!({"id": 1, "connect": {}}),
        json!({"id": 2, "subscribe": {"channel": "chat:r"}}),
        json!({"id": 3, "history": {"channel": "chat:r", "limit": 2}}),
        json!({"id": 4, "history": {"channel": "chat:r", "limit": -1}}),
        json!({"id": 5, "rpc": {"method": "none"}}),
        json!({"id": 6, "unsubscribe": {"channel": "chat:r"}}),
    ];
    let frame: Vec<String> = commands.iter().map(Value::to_string).collect();
    world.send(reader, &frame.join("\n"));
    world.settle();
    let got = world.take(reader);
    let replies: Vec<Value> = got
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap())
        .filter(|value| value.get("id").is_some())
        .collect();
    let ids: Vec<u64> = replies.iter().map(|reply| reply["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6], "{got:?}");
    let count = |reply: &Value| reply["history"]["publications"].as_array().unwrap().len();
    assert_eq!((count(&replies[2]), count(&replies[3])), (2, 3));
    assert_eq!(replies[3]["history"]["offset"], 3);
    assert_eq!(replies[4]["error"]["code"], 104);
    assert_eq!(replies[5]["unsubscribe"], json!({}));
}
