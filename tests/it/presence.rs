//! Who is in a room: asked for, and told when it changes, also when many come and go at once.

use super::support::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const ROOM: &str = "chat:r";

/// The client ids and users of the members.
fn members(sdk: &mut Sdk) -> Vec<(String, String)> {
    let result = sdk.ok("presence", json!({"channel": ROOM}));
    let all = result["presence"].as_object().unwrap();
    let entry = |(client, info): (&String, &Value)| {
        assert_eq!(info["client"], client.as_str());
        (client.clone(), info["user"].as_str().unwrap().to_owned())
    };
    all.iter().map(entry).collect()
}

fn stats(sdk: &mut Sdk) -> (u64, u64) {
    let result = sdk.ok("presence_stats", json!({"channel": ROOM}));
    (result["num_clients"].as_u64().unwrap(), result["num_users"].as_u64().unwrap())
}

/// The next join or leave of somebody else: what it is, and the user.
fn change(sdk: &mut Sdk) -> (&'static str, String) {
    let own = sdk.id().to_owned();
    loop {
        let push = sdk.push();
        let kind = if push["join"].is_object() { "join" } else { "leave" };
        let info = &push[kind]["info"];
        assert!(info.is_object(), "{push}");
        if info["client"] != own.as_str() {
            return (kind, info["user"].as_str().unwrap().to_owned());
        }
    }
}

#[test]
fn members_are_listed_and_counted() {
    let server = Server::start(&["presence.max_members=3", "presence.grace=200ms"]);
    let mut alice = Sdk::guest(server.address, "alice");
    alice.subscribe(ROOM);
    let mut nobody = Sdk::connect(server.address);
    nobody.subscribe(ROOM);
    let _bob = Plain::open(server.address, "/plain?room=r&name=bob");
    eventually("all are there", || (stats(&mut alice) == (3, 3)).then_some(()));
    let listed = members(&mut nobody);
    let users: BTreeSet<_> = listed.iter().map(|(_, user)| user.as_str()).collect();
    assert_eq!(users, BTreeSet::from(["", "~alice", "~bob"]));
    assert!(listed.contains(&(alice.id().to_owned(), "~alice".to_owned())));
    // One more than may be listed.
    let mut carol = Sdk::guest(server.address, "carol");
    carol.subscribe(ROOM);
    assert_eq!(carol.error("presence", json!({"channel": ROOM}))["code"], 106);
    assert_eq!(stats(&mut carol), (4, 4));
    carol.ok("unsubscribe", json!({"channel": ROOM}));
    assert_eq!(carol.error("presence", json!({"channel": ROOM}))["code"], 103, "for members");
    while change(&mut alice) != ("leave", "~carol".into()) {}
    assert_eq!(stats(&mut alice), (3, 3));
}

#[test]
fn a_comeback_is_not_announced_and_an_absence_is() {
    let server = Server::start(&["presence.grace=3s"]);
    let mut watcher = Sdk::guest(server.address, "watcher");
    watcher.subscribe(ROOM);
    let mut bob = Sdk::guest(server.address, "bob");
    bob.subscribe(ROOM);
    assert_eq!(change(&mut watcher), ("join", "~bob".into()));
    let data = bob.connected["data"].clone();
    drop(bob);
    let connections = || server.metric("ringchat_sessions", &[]);
    eventually("bob is gone", || (connections() == 1).then_some(()));
    assert_eq!(stats(&mut watcher), (2, 2), "he may be back");
    let mut back = Sdk::connect_with(server.address, json!({"data": data}));
    back.subscribe(ROOM);
    assert_eq!(stats(&mut watcher), (2, 2));
    drop(back);
    // Nothing but the absence: neither the first leave nor the second join came before.
    assert_eq!(change(&mut watcher), ("leave", "~bob".into()));
    assert_eq!(stats(&mut watcher), (1, 1));
    assert_eq!(members(&mut watcher), [(watcher.id().to_owned(), "~watcher".to_owned())]);
    assert_eq!(watcher.pending(), 0);
}

#[test]
fn many_that_break_at_once_leave_no_ghosts() {
    const COUNT: usize = 300;
    let server = Server::start(&["presence.grace=200ms", "client.command_rate_limit=0"]);
    let mut watcher = Sdk::guest(server.address, "watcher");
    watcher.subscribe(ROOM);
    for _ in 0..2 {
        let clients: Vec<Sdk> = in_parallel(0..6, |_, thread| {
            let join = |n| {
                let mut sdk = Sdk::guest(server.address, &format!("u{thread}x{n}"));
                sdk.subscribe(ROOM);
                sdk
            };
            (0..COUNT / 6).map(join).collect::<Vec<_>>()
        })
        .into_iter()
        .flatten()
        .collect();
        let all = COUNT as u64 + 1;
        assert_eq!(stats(&mut watcher), (all, all));
        assert_eq!(members(&mut watcher).len(), COUNT + 1);
        // No Close frames: the sockets just end.
        drop(clients);
        eventually("all are gone", || (stats(&mut watcher) == (1, 1)).then_some(()));
        assert_eq!(members(&mut watcher).len(), 1);
    }
}

/// How the clients of a test go.
#[derive(Clone, Copy)]
enum Go {
    /// The end of the stream, without a Close frame.
    End,
    /// A reset.
    Reset,
}

/// Ends all connections at once, every other one with a reset.
fn break_all(clients: Vec<Sdk>) {
    let ways = [Go::End, Go::Reset].into_iter().cycle();
    for (sdk, go) in clients.iter().zip(ways) {
        if let Go::Reset = go {
            let socket = socket2::SockRef::from(sdk.socket.stream());
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    // Closing is all that is left to do.
    drop(clients);
}

/// As many guests as `guests` has `connect.data` for, all in the room.
fn join_all(address: SocketAddr, guests: &[Value]) -> Vec<Sdk> {
    let threads = guests.chunks(guests.len().div_ceil(4));
    let clients = in_parallel(threads, |_, guests| {
        let join = |data: &Value| {
            let mut sdk = Sdk::connect_with(address, json!({"data": data}));
            sdk.subscribe(ROOM);
            sdk
        };
        guests.iter().map(join).collect::<Vec<_>>()
    });
    clients.into_iter().flatten().collect()
}

fn guests(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"nick": format!("u{n}")})).collect()
}

/// Asks until exactly these client ids are listed and counted.
fn eventually_only(watcher: &mut Sdk, ids: &BTreeSet<String>) {
    let all = ids.len() as u64;
    eventually("only they are there", || (stats(watcher) == (all, all)).then_some(()));
    let listed: BTreeSet<String> = members(watcher).into_iter().map(|(id, _)| id).collect();
    assert_eq!(listed, *ids);
}

#[test]
fn ten_thousand_that_break_at_once_leave_no_ghosts() {
    const COUNT: usize = 10_000;
    let server = Server::start(&["presence.grace=200ms", "client.command_rate_limit=0"]);
    let mut watcher = Sdk::guest(server.address, "watcher");
    watcher.subscribe(ROOM);
    let mut clients = join_all(server.address, &guests(COUNT));
    let all = COUNT as u64 + 1;
    assert_eq!(stats(&mut watcher), (all, all));
    assert_eq!(watcher.error("presence", json!({"channel": ROOM}))["code"], 106);
    // Some stay, from the beginning, the middle and the end.
    let mut stay: Vec<Sdk> = (0..10).map(|n| clients.swap_remove(n * (COUNT - 10) / 10)).collect();
    let ids = stay.iter().chain([&watcher]).map(|sdk| sdk.id().to_owned()).collect();
    break_all(clients);
    eventually_only(&mut watcher, &ids);
    // Whoever stayed is served.
    for sdk in &mut stay {
        assert_eq!(stats(sdk), (ids.len() as u64, ids.len() as u64));
    }
}

#[test]
fn a_reconnect_storm_leaves_each_there_once() {
    const COUNT: usize = 1_000;
    let server = Server::start(&["presence.max_members=2000", "client.command_rate_limit=0"]);
    let mut watcher = Sdk::guest(server.address, "watcher");
    watcher.subscribe(ROOM);
    let mut clients = join_all(server.address, &guests(COUNT));
    for _ in 0..3 {
        // With the proof that the nick is theirs, they come back while the old connections end.
        let same: Vec<Value> = clients.iter().map(|sdk| sdk.connected["data"].clone()).collect();
        break_all(clients);
        clients = join_all(server.address, &same);
        let ids = clients.iter().chain([&watcher]).map(|sdk| sdk.id().to_owned()).collect();
        eventually_only(&mut watcher, &ids);
    }
    let users: BTreeSet<String> = members(&mut watcher).into_iter().map(|(_, user)| user).collect();
    let expected = (0..COUNT).map(|n| format!("~u{n}")).chain(["~watcher".to_owned()]);
    assert_eq!(users, expected.collect());
}
