//! A member that does not read hurts nobody but itself, and finds back.

use super::support::*;
use serde_json::json;
use socket2::{Domain, Socket as RawSocket, Type};
use std::io::Write;
use std::net::TcpStream;

const ROOM: &str = "chat:slow";

/// A connection whose receive buffer is small, so that the server soon notices that nothing is
/// read.
fn small(server: &Server) -> TcpStream {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn a_slow_reader_is_let_go_and_recovers() {
    // What is dropped with the queue has to fit into one recovery, and its reply into seven eighths
    // of the queue again: a push is a fifth larger than the publication in it.
    let server = Server::start(&[
        "client.queue_max_size=65536",
        "websocket.message_size_limit=16384",
        "presence.announce_max=0",
        "channel.recovery_max_publication_limit=500",
        "client.command_rate_limit=0",
    ]);
    let mut slow = Socket::over(small(&server), client::PROTOCOL);
    slow.send(&format!(
        "{}\n{}",
        json!({"id": 1, "connect": {}}),
        json!({"id": 2, "subscribe": {"channel": ROOM}})
    ));
    let mut epoch = None;
    while epoch.is_none() {
        for line in slow.text().split('\n') {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            epoch = value["subscribe"]["epoch"].as_str().map(str::to_owned).or(epoch);
        }
    }
    let mut witness = Sdk::connect(server.address);
    witness.subscribe(ROOM);
    let mut speaker = Sdk::connect(server.address);
    speaker.subscribe(ROOM);

    // From here on the slow one reads nothing. Every message is waited for by the witness, so
    // that a delay of one member by another would show as a stop.
    let text = "x".repeat(40);
    let mut sent = 0;
    while server.metric("ringchat_disconnects_total", &[("reason", "slow")]) == 0 {
        assert!(sent < 50_000, "the slow one was never let go");
        for _ in 0..10 {
            speaker.publish(ROOM, json!({"type": "message", "text": text}));
            sent += 1;
            assert_eq!(witness.publication()["offset"], sent);
        }
    }

    assert!(server.metric("ringchat_sends_waited_total", &[]) > 0, "its socket was never full");

    // It wakes up, reads what the network still holds, and learns why it had to go.
    let mut last = 0;
    let closed = loop {
        match slow.read() {
            Event::Text(frame) => {
                for line in frame.split('\n') {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    if let Some(offset) = value["push"]["pub"]["offset"].as_u64() {
                        assert_eq!(offset, last + 1, "a gap before the end");
                        last = offset;
                    }
                }
            }
            Event::Closed(closed) => break closed,
            other => panic!("{other:?}"),
        }
    };
    assert!(
        closed == Closed::Cut || closed == Closed::Frame(3008, "slow".into()),
        "closed with {closed:?}"
    );
    assert!(last < sent, "it missed nothing");

    let mut back = Sdk::connect(server.address);
    let params = json!({"channel": ROOM, "recover": true, "epoch": epoch, "offset": last});
    let joined = back.ok("subscribe", params);
    assert_eq!(joined["recovered"], true, "from {last} to {sent}, {closed:?}");
    let offsets: Vec<u64> = joined["publications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["offset"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, (last + 1..=sent).collect::<Vec<_>>());
    speaker.publish(ROOM, json!({"type": "message", "text": "welcome back"}));
    assert_eq!(back.publication()["offset"], sent + 1);
}

#[test]
fn a_flood_of_short_lines_harms_nobody_who_reads() {
    // All lines of a sender come in one read, and for a reader each is thirty times as long:
    // together ten times of what may wait for it.
    const LINES: u64 = 3_000;
    let server = Server::start(&[
        "client.queue_max_size=65536",
        "websocket.message_size_limit=16384",
        "presence.announce_max=0",
        "client.command_rate_limit=0",
    ]);
    let mut reader = Sdk::connect(server.address);
    reader.subscribe("chat:lobby");
    // The mask is zero: what is sent is what is masked.
    let lines = [&[0x81, 0x81, 0, 0, 0, 0, b'x'][..]; LINES as usize].concat();
    // The room's home is on one core only; connections are on both.
    let mut offset = 0;
    for name in ["ann", "ben", "cid"] {
        let mut flood = Plain::open(server.address, &format!("/plain?room=lobby&name={name}"));
        flood.socket.stream().write_all(&lines).unwrap();
        for _ in 0..LINES {
            offset += 1;
            assert_eq!(reader.publication()["offset"], offset);
        }
        // Its sender, who gets them too, is still served.
        flood.expect(&format!("from {name}: x"));
    }
    assert_eq!(server.metric("ringchat_disconnects_total", &[("reason", "slow")]), 0);
}
