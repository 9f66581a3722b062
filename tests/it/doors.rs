//! How a connection begins and ends: origins, kept-alive HTTP, IPv6, the closing handshake.

use super::support::client::PROTOCOL;
use super::support::*;
use std::io::Write;

#[test]
fn only_the_own_page_may_connect() {
    let server = Server::start(&[]);
    let own = server.address;
    let check = |origin: &str, status: u16| {
        let header = format!("Origin: {origin}\r\n");
        let found = http::upgrade_status(server.address, PROTOCOL, &header);
        assert_eq!(found, status, "from {origin}");
    };
    check(&format!("http://{own}"), 101);
    check("http://evil.example", 403);
    check(&format!("http://{own}.evil.example"), 403);
    check("http://127.0.0.1:1", 403);
    check("null", 403);
    check("nonsense", 403);
    assert_eq!(server.metric("ringchat_rejected_total", &[("reason", "origin")]), 5);
    assert_eq!(http::upgrade_status(server.address, PROTOCOL, ""), 101, "not a browser");
    assert_eq!(http::upgrade_status(server.address, "/", "Origin: http://evil.example\r\n"), 403);
}

#[test]
fn origins_can_be_allowed() {
    let check = |allowed: &[&str], expect: &[(&str, u16)]| {
        let args: Vec<&str> = allowed.iter().flat_map(|o| ["--allow-origin", *o]).collect();
        let server = Server::with_args(&args);
        for (origin, status) in expect {
            let header = format!("Origin: {origin}\r\n");
            let found = http::upgrade_status(server.address, PROTOCOL, &header);
            assert_eq!(found, *status, "{origin} with {allowed:?}");
        }
    };
    check(&["*"], &[("null", 101), ("http://anyone.example", 101)]);
    check(&["null"], &[("null", 101), ("http://anyone.example", 403)]);
    check(
        &["https://a.example", "http://b.example:8080"],
        &[
            ("https://a.example", 101),
            ("http://b.example:8080", 101),
            ("http://a.example", 403),
            ("http://b.example", 403),
            ("null", 403),
        ],
    );
}

#[test]
fn a_kept_alive_connection_may_upgrade_later() {
    let server = Server::start(&[]);
    for (path, rounds) in [(PROTOCOL, 1), ("/plain?room=lobby&name=kim", 3)] {
        let mut stream = http::connect(server.address);
        for _ in 0..rounds {
            let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
            stream.write_all(request.as_bytes()).unwrap();
            assert_eq!(http::read_one(&mut stream).status, 200);
        }
        let mut socket = Socket::over(stream, path);
        if path == PROTOCOL {
            socket.send(r#"{"id":1,"connect":{}}"#);
            assert!(socket.text().starts_with(r#"{"id":1,"connect":{"#));
        } else {
            socket.send("back from the web");
            while socket.text() != "from kim: back from the web" {}
        }
        assert_eq!(server.sessions().iter().sum::<u64>(), 1, "it is a session like any other");
        assert_eq!(socket.close(1000, ""), Closed::Frame(1000, String::new()));
        eventually("the session ends", || {
            (server.sessions().iter().sum::<u64>() == 0).then_some(())
        });
    }
}

#[test]
fn frames_may_follow_the_upgrade_at_once() {
    let server = Server::with_args(&["--echo"]);
    let mut stream = http::connect(server.address);
    let mut bytes = http::upgrade(server.address, "/echo", "").into_bytes();
    bytes.extend_from_slice(b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0");
    stream.write_all(&bytes).unwrap();
    let response = http::read_to_end(&mut stream);
    assert_eq!(response.status, 101);
    assert!(response.body.starts_with("\u{fffd}\u{2}hi"), "{response:?}");
}

#[test]
fn ipv6_is_spoken() {
    let server = Server::with_args(&["--listen", "[::1]:0"]);
    assert!(server.address.is_ipv6());
    let mut plain = Plain::open(server.address, "/plain?room=six&name=ada");
    plain.say("over six");
    plain.expect("from ada: over six");
    let own = format!("Origin: http://{}\r\n", server.address);
    assert_eq!(http::upgrade_status(server.address, PROTOCOL, &own), 101);
}

#[test]
fn several_addresses_at_once() {
    let args = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"];
    let server = Server::with_args(&args);
    let addresses: Vec<std::net::SocketAddr> = server
        .output()
        .split("http://")
        .skip(1)
        .filter_map(|rest| rest.split('/').next()?.parse().ok())
        .collect();
    assert_eq!(addresses.len(), 2, "{}", server.output());
    let mut one = Plain::open(addresses[0], "/plain?name=one");
    one.expect("* one joined");
    let mut two = Plain::open(addresses[1], "/plain?name=two");
    one.expect("* two joined");
    two.say("hello");
    one.expect("from two: hello");
}

#[test]
fn the_client_closes() {
    let server = Server::with_args(&["--echo"]);
    for path in [PROTOCOL, "/", "/echo"] {
        let mut socket = Socket::open(server.address, path);
        // The code comes back, and then the connection ends (Socket::closed waits for that).
        assert_eq!(socket.close(1000, "done").code(), 1000, "{path}");
        let mut socket = Socket::open(server.address, path);
        assert_eq!(socket.close(4321, "").code(), 4321, "{path}");
        let mut socket = Socket::open(server.address, path);
        socket.ws.close(None).unwrap();
        assert_eq!(socket.closed().code(), 1000, "{path}");
    }
}

#[test]
fn the_server_closes() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(server.address, PROTOCOL);
    socket.send("nonsense");
    // Socket::closed answers the Close frame and waits for the end of the stream.
    assert_eq!(socket.closed(), Closed::Frame(3501, "bad request".into()));
    // What a client sends meanwhile does not destroy the code.
    let mut socket = Socket::open(server.address, PROTOCOL);
    socket.send("nonsense");
    for _ in 0..100 {
        if socket.try_send(&"x".repeat(1_000)).is_err() {
            break;
        }
    }
    assert_eq!(socket.closed(), Closed::Frame(3501, "bad request".into()));
    eventually("all sessions end", || (server.sessions().iter().sum::<u64>() == 0).then_some(()));
}

#[test]
fn the_internal_port_has_what_is_internal() {
    let port = Port::reserve();
    let free = port.address();
    let server = Server::start(&[&format!("http_server.internal_port={}", free.port())]);
    for (path, internal) in [("/", false), ("/health", true), ("/metrics", true), ("/x", false)] {
        let (outside, inside) = (http::get(server.address, path), http::get(free, path));
        let found = if path == "/x" { 404 } else { 200 };
        let (here, there) = if internal { (inside, outside) } else { (outside, inside) };
        assert_eq!((here.status, there.status), (found, 404), "{path}");
    }
    // No WebSocket in there.
    assert_eq!(http::upgrade_status(free, "/connection/websocket", ""), 404);
    Sdk::connect(server.address);
    // It keeps connections alive as the other does.
    let mut stream = http::connect(free);
    for _ in 0..2 {
        let request = format!("GET /health HTTP/1.1\r\nHost: {free}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(http::read_one(&mut stream).status, 200);
    }
}
