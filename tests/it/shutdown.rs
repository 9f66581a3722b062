//! An orderly end: everybody is told, nothing that was accepted is lost.

use super::support::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const ROOM: &str = "chat:drain";

#[test]
fn a_drain_under_load_loses_nothing_that_was_accepted() {
    let mut server = Server::start(&["presence.announce_max=0", "client.command_rate_limit=0"]);
    let address = server.address;
    let member = |_: usize| {
        let mut member = Sdk::connect(address);
        member.subscribe(ROOM);
        member
    };
    let listeners: Vec<Sdk> = (0..10).map(member).collect();
    let publishers: Vec<Sdk> = (0..8).map(member).collect();
    let plain = Plain::open(address, "/plain?room=drain");
    let idle = Sdk::connect(address);

    let (accepted, heard, plain_heard, idle_closed) = std::thread::scope(|scope| {
        let publishing: Vec<_> = publishers
            .into_iter()
            .enumerate()
            .map(|(number, sdk)| scope.spawn(move || publish_until_closed(number, sdk)))
            .collect();
        let listening: Vec<_> = listeners
            .into_iter()
            .map(|sdk| scope.spawn(move || listen_until_closed(sdk)))
            .collect();
        let plain = scope.spawn(move || plain_until_closed(plain));
        let idle = scope.spawn(move || {
            let mut idle = idle;
            idle.socket.closed()
        });
        // In the middle of it all.
        eventually("publishing is under way", || {
            (server.metric("ringchat_publications_total", &[]) > 2_000).then_some(())
        });
        server.signal("TERM");
        let mut accepted = HashSet::new();
        let mut heard = Vec::new();
        for publisher in publishing {
            let (own, all) = publisher.join().unwrap();
            accepted.extend(own);
            heard.push(all);
        }
        heard.extend(listening.into_iter().map(|l| l.join().unwrap()));
        (accepted, heard, plain.join().unwrap(), idle.join().unwrap())
    });

    assert_eq!(server.wait().code(), Some(0), "{}", server.output());
    assert_eq!(idle_closed, Closed::Frame(3001, "shutdown".into()));
    assert!(accepted.len() > 1_000, "{} accepted", accepted.len());
    for (who, texts) in heard.iter().enumerate() {
        let missing = accepted.difference(texts).count();
        assert_eq!(missing, 0, "member {who} missed accepted publications");
    }
    assert_eq!(accepted.difference(&plain_heard).count(), 0, "the plain member missed some");
    assert!(std::net::TcpStream::connect(address).is_err(), "still listening");
}

/// Publishes without waiting for replies (up to 50 at a time) until told to leave. Returns the
/// texts that were accepted, and those heard.
fn publish_until_closed(number: usize, mut sdk: Sdk) -> (HashSet<String>, HashSet<String>) {
    let (mut accepted, mut heard) = (HashSet::new(), HashSet::new());
    let mut sent: Vec<String> = Vec::new();
    let mut outstanding = 0;
    let mut open = true;
    loop {
        while open && outstanding < 50 {
            let text = format!("{number}/{}", sent.len());
            let id = 100 + sent.len();
            let data = json!({"type": "message", "text": text});
            let command = json!({"id": id, "publish": {"channel": ROOM, "data": data}});
            // An error here is the end of the connection, which the next read tells in full.
            open = sdk.socket.try_send(&command.to_string()).is_ok();
            sent.push(text);
            outstanding += 1;
        }
        match sdk.socket.read() {
            Event::Text(frame) => {
                for value in values(&frame) {
                    if value["publish"].is_object() {
                        let id = value["id"].as_u64().unwrap() as usize;
                        accepted.insert(sent[id - 100].clone());
                        outstanding -= 1;
                    } else if value.get("error").is_some() {
                        outstanding -= 1;
                    }
                    heard.extend(text_of(&value));
                }
            }
            Event::Closed(closed) => {
                assert_eq!(closed, Closed::Frame(3001, "shutdown".into()), "publisher {number}");
                return (accepted, heard);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn listen_until_closed(mut sdk: Sdk) -> HashSet<String> {
    let mut heard = HashSet::new();
    loop {
        match sdk.socket.read() {
            Event::Text(frame) => heard.extend(values(&frame).iter().filter_map(text_of)),
            Event::Closed(closed) => {
                assert_eq!(closed, Closed::Frame(3001, "shutdown".into()));
                return heard;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn plain_until_closed(mut plain: Plain) -> HashSet<String> {
    let mut heard = HashSet::new();
    loop {
        match plain.socket.read() {
            Event::Text(line) => {
                heard.extend(line.split_once(": ").map(|(_, text)| text.to_owned()));
            }
            Event::Closed(closed) => {
                assert_eq!(closed.code(), 1001, "{closed:?}");
                return heard;
            }
            _ => {}
        }
    }
}

fn values(frame: &str) -> Vec<Value> {
    frame.split('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text_of(value: &Value) -> Option<String> {
    value["push"]["pub"]["data"]["text"].as_str().map(str::to_owned)
}

#[test]
fn an_idle_server_is_out_soon() {
    for workers in ["1", "2"] {
        for clients in [0, 1, 3] {
            let mut command = std::process::Command::new(server::BINARY);
            let args = ["--listen", "127.0.0.1:0", "--workers", workers];
            let mut server = Server::command(command.args(args));
            let clients: Vec<Sdk> = (0..clients).map(|_| Sdk::connect(server.address)).collect();
            let start = Instant::now();
            server.signal("TERM");
            for mut sdk in clients {
                assert_eq!(sdk.socket.closed(), Closed::Frame(3001, "shutdown".into()));
            }
            assert_eq!(server.wait().code(), Some(0));
            // Far from shutdown.timeout (30 s) and from the next ping (6 s at least).
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
    }
}

#[test]
fn ctrl_c_drains_too() {
    let mut server = Server::start(&[]);
    let mut sdk = Sdk::connect(server.address);
    server.signal("INT");
    assert_eq!(sdk.socket.closed(), Closed::Frame(3001, "shutdown".into()));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_second_signal_leaves_at_once() {
    // A spread of a minute keeps the first signal busy.
    let mut server = Server::start(&["shutdown.spread=60s", "shutdown.timeout=90s"]);
    let _clients: Vec<Sdk> = (0..20).map(|_| Sdk::connect(server.address)).collect();
    server.signal("TERM");
    eventually("the listeners are closed", || {
        std::net::TcpStream::connect(server.address).is_err().then_some(())
    });
    let start = Instant::now();
    server.signal("TERM");
    server.wait();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_ignores_the_end_does_not_hold_it_up() {
    let mut server = Server::start(&["shutdown.spread=100ms", "shutdown.timeout=1s"]);
    // Neither reads nor closes.
    let _deaf = Socket::open(server.address, client::PROTOCOL);
    let start = Instant::now();
    server.signal("TERM");
    let code = server.wait().code();
    assert_eq!(code, Some(0), "{}", server.output());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
