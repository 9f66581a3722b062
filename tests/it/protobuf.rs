//! The protobuf form of the client protocol, beside JSON and plain text.

use super::support::client::PROTOCOL;
use super::support::protobuf::*;
use super::support::*;
use serde_json::{Value, json};

fn message(text: &str) -> Value {
    json!({"type": "message", "text": text})
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{bytes:?}: {e}"))
}

#[test]
fn all_dialects_in_one_room() {
    // With the default interval of pings.
    let server = Server::with_args(&[]);
    let room = "chat:lobby";
    let mut ann = Proto::guest(server.address, "ann");
    assert_eq!((ann.connected.ping, ann.connected.pong), (25, true));
    assert_eq!(ann.connected.client.len(), 36);
    assert_eq!(value(&ann.connected.data)["nick"], "ann");
    let joined = ann.subscribe(room);
    assert!(joined.recoverable && joined.positioned && !joined.was_recovering);
    assert!(!joined.epoch.is_empty());
    let mut ben = Sdk::guest(server.address, "ben");
    ben.subscribe(room);
    for user in ["~ann", "~ben"] {
        let push = ann.push();
        assert_eq!(push.channel, room);
        assert_eq!(push.join.unwrap().info.unwrap().user, user);
    }
    let mut kim = Plain::open(server.address, "/plain?room=lobby&name=kim");
    kim.expect("* kim joined");

    assert_eq!(ann.publish(room, message("from ann").to_string()).publish, Some(Empty {}));
    let own = ann.publication();
    assert_eq!((value(&own.data), own.offset), (message("from ann"), 1));
    assert!(own.time > 1_700_000_000_000);
    let info = own.info.unwrap();
    assert_eq!((info.user.as_str(), value(&info.conn_info)), ("~ann", json!({"nick": "ann"})));
    assert_eq!(info.client, ann.connected.client);
    let seen = ben.publication();
    assert_eq!((&seen["data"], &seen["offset"]), (&message("from ann"), &json!(1)));
    assert_eq!(seen["info"]["client"], ann.connected.client.as_str());
    kim.expect("from ann: from ann");

    ben.publish(room, message("from ben"));
    assert_eq!(value(&ann.publication().data), message("from ben"));
    kim.say("from \"kim\"");
    assert_eq!(value(&ann.publication().data), message("from \"kim\""));
    drop(ben);
    let left = ann.push().leave.unwrap().info.unwrap();
    assert_eq!(left.user, "~ben");
}

#[test]
fn bytes_that_are_no_json() {
    let server = Server::start(&[]);
    let mut ann = Proto::connect(server.address);
    let mut ben = Proto::connect(server.address);
    let mut eve = Sdk::connect(server.address);
    ann.subscribe("r");
    ben.subscribe("r");
    eve.subscribe("r");
    let bytes = b"\xff\x00\x01\x02";
    assert_eq!(ann.publish("r", *bytes).publish, Some(Empty {}));
    for proto in [&mut ann, &mut ben] {
        assert_eq!(proto.publication().data, bytes, "as they came");
    }
    assert_eq!(eve.publication()["data"], "/wABAg==", "as base64");
    // JSON comes as it is, but for line breaks, which would split frames of others.
    assert_eq!(ann.publish("r", *b" {\"a\":\n1}\n").publish, Some(Empty {}));
    assert_eq!(ben.publication().data, b"{\"a\":1}");
    assert_eq!(eve.publication()["data"], json!({"a": 1}));
}

#[test]
fn history_and_recovery() {
    let server = Server::start(&[]);
    let room = "chat:h";
    let mut ann = Proto::connect(server.address);
    let mut eve = Sdk::guest(server.address, "eve");
    let joined = ann.subscribe(room);
    eve.subscribe(room);
    for n in 1..=3 {
        eve.publish(room, message(&n.to_string()));
    }
    let offsets: Vec<u64> = (0..3).map(|_| ann.publication().offset).collect();
    assert_eq!(offsets, [1, 2, 3]);
    drop(ann);
    for n in 4..=20 {
        eve.publish(room, message(&n.to_string()));
    }
    let mut ann = Proto::connect(server.address);
    let recover = |epoch: &str, offset| SubscribeRequest {
        channel: room.into(),
        recover: true,
        epoch: epoch.into(),
        offset,
    };
    let back = ann.subscribe_with(recover(&joined.epoch, 3));
    assert!(back.recovered && back.was_recovering);
    assert_eq!((back.offset, &back.epoch), (20, &joined.epoch));
    let texts = |list: &[Publication]| -> Vec<String> {
        list.iter().map(|p| value(&p.data)["text"].as_str().unwrap().to_owned()).collect()
    };
    let expect: Vec<String> = (4..=20).map(|n: u32| n.to_string()).collect();
    assert_eq!(texts(&back.publications), expect);
    assert_eq!(back.publications[0].info.as_ref().unwrap().user, "~eve");
    eve.publish(room, message("21"));
    assert_eq!(ann.publication().offset, 21);

    let history = HistoryRequest { channel: room.into(), limit: 2, reverse: true };
    let reply = ann.request(Command { history: Some(history), ..Default::default() });
    let history = reply.history.unwrap();
    assert_eq!(
        (texts(&history.publications), history.offset),
        (vec!["21".into(), "20".into()], 21)
    );
    assert_eq!(history.epoch, joined.epoch);
    let all = HistoryRequest { channel: room.into(), limit: -1, reverse: false };
    let reply = ann.request(Command { history: Some(all), ..Default::default() });
    assert_eq!(reply.history.unwrap().publications.len(), 21);

    let mut late = Proto::connect(server.address);
    let failed = late.subscribe_with(recover("gone", 3));
    assert!(!failed.recovered && failed.was_recovering && failed.publications.is_empty());
}

#[test]
fn several_commands_in_one_frame() {
    let server = Server::start(&[]);
    let mut proto = Proto::connect(server.address);
    let subscribe = |room: &str| Command {
        subscribe: Some(SubscribeRequest { channel: room.into(), ..Default::default() }),
        ..Default::default()
    };
    let history = HistoryRequest { channel: "chat:a".into(), limit: 1, reverse: false };
    let leave = RoomRequest { channel: "chat:a".into() };
    let first = proto.commands([
        subscribe("chat:a"),
        subscribe("chat:a"),
        Command { history: Some(history), ..Default::default() },
        subscribe("nowhere:b"),
        Command { unsubscribe: Some(leave), ..Default::default() },
    ]);
    let replies: Vec<Reply> = (0..5).map(|_| proto.reply()).collect();
    assert_eq!(replies.iter().map(|r| r.id - first).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let code = |reply: &Reply| reply.error.as_ref().map(|e| e.code);
    assert!(replies[0].subscribe.is_some());
    assert_eq!(code(&replies[1]), Some(105));
    assert!(replies[2].history.is_some());
    assert_eq!(code(&replies[3]), Some(102));
    assert_eq!(replies[4].unsubscribe, Some(Empty {}));
    assert_eq!(server.metric("ringchat_command_errors_total", &[]), 2);
}

#[test]
fn heartbeats_are_one_byte() {
    let server = Server::start(&["client.ping_interval=2s", "client.pong_timeout=1500ms"]);
    let mut deaf = Proto::connect(server.address);
    let mut alive = Proto::connect(server.address);
    while alive.pings < 3 {
        alive.read();
    }
    assert_eq!(deaf.socket.read(), Event::Binary(vec![0]));
    assert_eq!(deaf.socket.closed(), Closed::Frame(3012, "no pong".into()));
    alive.subscribe("r");
}

#[test]
fn what_is_no_protobuf_ends_the_connection() {
    let server = Server::start(&[]);
    let refused = Closed::Frame(3501, "bad request".into());
    let mut text = Proto::connect(server.address);
    text.socket.send("{}");
    assert_eq!(text.socket.closed(), refused);
    for bytes in [&b"\x05"[..], b"hello", b"", b"\x02\x08\x07"] {
        let mut proto = Proto::connect(server.address);
        proto.send(bytes.to_vec());
        assert_eq!(proto.socket.closed(), refused, "{bytes:?}");
    }
    let mut early = Socket::speaking(server.address, PROTOCOL, SUBPROTOCOL);
    let publish = PublishRequest { channel: "r".into(), data: b"1".to_vec() };
    let command = Command { id: 1, publish: Some(publish), ..Default::default() };
    let bytes = prost::Message::encode_length_delimited_to_vec(&command);
    early.ws.send(tungstenite::Message::binary(bytes)).unwrap();
    assert_eq!(early.closed(), refused);
}

#[test]
fn the_client_chooses_the_form() {
    let server = Server::start(&[]);
    let check = |offered: &str, answered: &str| {
        let header = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let mut stream = http::connect(server.address);
        let upgrade = http::upgrade(server.address, PROTOCOL, &header);
        std::io::Write::write_all(&mut stream, upgrade.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let line = format!("Sec-WebSocket-Protocol: {answered}\r\n");
        assert!(head.contains(&line), "{offered}: {head}");
    };
    check("centrifuge-json", "centrifuge-json");
    check("centrifuge-protobuf", "centrifuge-protobuf");
    check("centrifuge-protobuf, centrifuge-json", "centrifuge-protobuf");
    check("other, centrifuge-json, centrifuge-protobuf", "centrifuge-json");
}
