//! Clients that break rules or ask for too much: each gets a clear answer and is counted, and a
//! bystander notices nothing.

use super::support::client::PROTOCOL;
use super::support::*;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Somebody who chats all the while.
struct Bystander {
    client: Sdk,
    said: u32,
}

impl Bystander {
    fn new(server: &Server) -> Bystander {
        let mut client = Sdk::guest(server.address, "bystander");
        client.subscribe("chat:lobby");
        Bystander { client, said: 0 }
    }

    /// Says something and hears it, and nothing else.
    fn notices_nothing(&mut self) {
        self.said += 1;
        let text = self.said.to_string();
        self.client.publish("chat:lobby", json!({"type": "message", "text": text}));
        let heard = self.client.publication();
        assert_eq!(heard["data"]["text"], text.as_str());
        assert_eq!(heard["offset"], self.said);
        assert_eq!(self.client.pending(), 0);
    }
}

#[test]
fn frames_that_break_the_rules() {
    let server = Server::start(&[]);
    let mut bystander = Bystander::new(&server);
    let masked = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    };
    let cases: [(&str, Vec<u8>, u16, &str); 9] = [
        ("not masked", b"\x81\x02{}".to_vec(), 1002, "protocol"),
        ("reserved opcode", masked(0x83, b""), 1002, "protocol"),
        ("reserved bit", masked(0xc1, b"{}"), 1002, "protocol"),
        ("fragmented ping", masked(0x09, b""), 1002, "protocol"),
        ("stray continuation", masked(0x80, b""), 1002, "protocol"),
        ("close of one byte", masked(0x88, b"x"), 1002, "protocol"),
        ("text that is not UTF-8", masked(0x81, b"\xff\xfe"), 1007, "utf8"),
        // Only the heads: refused before the payload comes.
        ("10 MiB", masked_head(0x81, 10 * 1024 * 1024), 1009, "too_big"),
        ("2^63 bytes", masked_head(0x82, 1 << 63), 1009, "too_big"),
    ];
    for (path, peer) in [(PROTOCOL, true), ("/", false)] {
        for (what, bytes, code, reason) in &cases {
            let before = server.metric("ringchat_websocket_errors_total", &[("reason", reason)]);
            let mut socket = Socket::open(server.address, path);
            if peer {
                socket.send(r#"{"id":1,"connect":{}}"#);
                socket.text();
            }
            socket.stream().write_all(bytes).unwrap();
            assert_eq!(socket.closed().code(), *code, "{what} on {path}");
            let after = server.metric("ringchat_websocket_errors_total", &[("reason", reason)]);
            assert_eq!(after, before + 1, "{what} on {path}: counted as {reason}");
            if peer {
                bystander.notices_nothing();
            }
        }
    }
}

fn masked_head(first: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first, 0x80 | 127];
    head.extend_from_slice(&len.to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    head
}

#[test]
fn ten_mebibytes_in_one_message() {
    let server = Server::start(&[]);
    let mut bystander = Bystander::new(&server);
    let mut socket = Socket::open(server.address, "/");
    // All of it, as a client would that does not know the limit. The server may stop reading and
    // cut the connection after its Close frame.
    let _ = socket.try_send(&"x".repeat(10 * 1024 * 1024));
    let closed = socket.closed();
    assert!(closed.code() == 1009 || closed == Closed::Cut, "{closed:?}");
    assert_eq!(server.metric("ringchat_websocket_errors_total", &[("reason", "too_big")]), 1);
    bystander.notices_nothing();
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_does_not() {
    let server = Server::with_args(&["--echo", "--set", "websocket.message_size_limit=1000"]);
    let mut socket = Socket::open(server.address, "/echo");
    socket.send(&"x".repeat(1_000));
    assert_eq!(socket.text().len(), 1_000);
    socket.send(&"x".repeat(1_001));
    assert_eq!(socket.closed().code(), 1009);
}

#[test]
fn request_heads() {
    let server = Server::start(&["http_server.head_timeout=2s"]);
    let mut bystander = Bystander::new(&server);
    let mut check = |what: &str, response: http::Response, expect: &[u16], reason: &str| {
        assert!(expect.contains(&response.status), "{what}: {response:?}");
        assert_eq!(server.metric("ringchat_rejected_total", &[("reason", reason)]), 1, "{what}");
        bystander.notices_nothing();
    };
    let long = format!("X-Long: {}\r\n", "x".repeat(20 * 1024));
    let long = http::upgrade(server.address, PROTOCOL, &long);
    let response = http::request(server.address, &long);
    check("20 KiB of headers", response, &[431], "head_too_large");
    let response = http::request(server.address, "\x16\x03\x01\x02 this is no HTTP\r\n\r\n");
    check("not HTTP", response, &[400], "bad_head");
    let mut stream = http::connect(server.address);
    let head = http::upgrade(server.address, PROTOCOL, "");
    let response = byte_by_byte(&mut stream, head.as_bytes());
    // 0: the connection was ended without an answer.
    check("one byte at a time", response, &[408, 0], "head_timeout");
}

/// Sends `head` byte by byte, but never the last one, until the server ends the connection.
fn byte_by_byte(stream: &mut TcpStream, head: &[u8]) -> http::Response {
    let mut reader = stream.try_clone().unwrap();
    let answer = std::thread::spawn(move || http::read_to_end(&mut reader));
    let mut bytes = head[..head.len() - 1].iter();
    while !answer.is_finished() {
        if let Some(byte) = bytes.next()
            && stream.write_all(&[*byte]).is_err()
        {
            break;
        }
        std::thread::yield_now();
    }
    answer.join().unwrap()
}

#[test]
fn wrong_upgrades_are_refused() {
    let server = Server::start(&[]);
    let check = |headers: &str, status: u16, header: &str| {
        let head = format!(
            "GET {PROTOCOL} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             {headers}\r\n",
            server.address
        );
        let response = http::request(server.address, &head);
        assert_eq!(response.status, status, "{headers:?}: {response:?}");
        assert!(response.head.contains(header), "{headers:?}: {response:?}");
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    check(&format!("{key}Sec-WebSocket-Version: 8\r\n"), 426, "Sec-WebSocket-Version: 13");
    check(key, 400, "");
    check("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", 400, "");
    assert_eq!(http::upgrade_status(server.address, "/nowhere", ""), 404);
    assert_eq!(http::upgrade_status(server.address, PROTOCOL, ""), 101);
}

#[test]
fn connections_have_a_limit() {
    let server = Server::with_args(&["--max-connections", "4"]);
    let mut clients: Vec<Sdk> = (0..4).map(|_| Sdk::connect(server.address)).collect();
    assert_eq!(http::upgrade_status(server.address, PROTOCOL, ""), 503);
    assert_eq!(server.metric("ringchat_rejected_total", &[("reason", "max_connections")]), 1);
    clients[0].socket.close(1000, "");
    eventually("a place is free again", || {
        (http::upgrade_status(server.address, PROTOCOL, "") == 101).then_some(())
    });
}

#[test]
fn addresses_have_a_limit() {
    let server = Server::start(&["client.connection_limit_per_address=2"]);
    let _clients = [Sdk::connect(server.address), Sdk::connect(server.address)];
    let status = http::upgrade_status(server.address, PROTOCOL, "");
    assert!([429, 503].contains(&status), "{status}");
    let reason = [("reason", "max_connections_per_address")];
    assert_eq!(server.metric("ringchat_rejected_total", &reason), 1);
}

#[test]
fn half_open_connections_do_no_harm() {
    let server = Server::start(&[]);
    let mut bystander = Bystander::new(&server);
    for bytes in ["", "GET ", "GET / HTTP/1.1\r\n"] {
        drop(http::connect(server.address));
        let mut stream = http::connect(server.address);
        stream.write_all(bytes.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    // In the middle of a frame.
    let socket = Socket::open(server.address, PROTOCOL);
    socket.stream().write_all(&[0x81, 0xfe, 0x10]).unwrap();
    drop(socket);
    bystander.notices_nothing();
    eventually("only the bystander is left", || {
        (server.sessions().iter().sum::<u64>() == 1).then_some(())
    });
}
