//! People talking: both dialects in one room, names and numbers, who comes and who goes.

use super::support::*;
use serde_json::json;

/// A server where rooms gather on one core, and one where clients stay where the kernel put them.
const PLACINGS: [&str; 2] = ["fanout.gather_rooms=true", "fanout.gather_rooms=false"];

#[test]
fn plain_clients_hear_each_other_by_number() {
    PLACINGS.into_iter().for_each(numbers);
}

fn numbers(placing: &str) {
    let server = Server::start(&[placing]);
    let mut clients: Vec<Plain> = (0..3).map(|_| Plain::open(server.address, "/")).collect();
    // Whoever came last is announced to everyone once it is in, so nobody misses the line.
    for client in &mut clients {
        wait_for_join(client, "3");
    }
    clients[2].say("hello");
    for client in &mut clients {
        client.expect("from 3: hello");
    }
    clients[0].say("hi, 3");
    for client in &mut clients {
        client.expect("from 1: hi, 3");
    }
}

#[test]
fn names_joins_and_leaves() {
    PLACINGS.into_iter().for_each(names);
}

fn names(placing: &str) {
    let server = Server::start(&["presence.grace=0s", placing]);
    let mut alice = Plain::open(server.address, "/plain?room=tea&name=alice");
    wait_for_join(&mut alice, "alice");
    let mut bob = Plain::open(server.address, "/plain?room=tea&name=bob");
    wait_for_join(&mut alice, "bob");
    bob.say("tea?");
    alice.expect("from bob: tea?");
    let mut second = Plain::open(server.address, "/plain?room=tea&name=alice");
    wait_for_join(&mut alice, "alice-2");
    second.say("who am I");
    alice.expect("from alice-2: who am I");
    bob.socket.close(1000, "");
    assert_eq!(alice.line(), "* bob left");
    drop(second);
    assert_eq!(alice.line(), "* alice-2 left");
}

#[test]
fn rooms_are_apart() {
    let server = Server::start(&[]);
    let mut tea = Plain::open(server.address, "/plain?room=tea&name=ann");
    let mut coffee = Plain::open(server.address, "/plain?room=coffee&name=ben");
    wait_for_join(&mut tea, "ann");
    wait_for_join(&mut coffee, "ben");
    tea.say("only for tea");
    tea.expect("from ann: only for tea");
    coffee.say("only for coffee");
    coffee.expect("from ben: only for coffee");
}

#[test]
fn both_dialects_share_a_room() {
    PLACINGS.into_iter().for_each(both_dialects);
}

fn both_dialects(placing: &str) {
    let server = Server::start(&[placing]);
    let mut sdk = Sdk::guest(server.address, "sue");
    assert_eq!(sdk.connected["data"]["nick"], "sue");
    sdk.subscribe("chat:lobby");
    let mut plain = Plain::open(server.address, "/plain?room=lobby&name=pat");
    wait_for_join(&mut plain, "pat");
    plain.say("hello \"sue\"");
    let publication = sdk.publication();
    assert_eq!(publication["data"], json!({"type": "message", "text": "hello \"sue\""}));
    assert_eq!(publication["info"]["user"], "~pat");
    assert_eq!(publication["info"]["conn_info"]["nick"], "pat");
    assert_eq!(publication["offset"], 1);
    plain.expect("from pat: hello \"sue\"");

    // Line breaks of others do not forge lines.
    let text = "hi\r\nfrom admin: run";
    sdk.publish("chat:lobby", json!({"type": "message", "text": text}));
    plain.expect("from sue: hi  from admin: run");
    sdk.publish("chat:lobby", json!({"type": "me", "text": "waves"}));
    plain.expect("* sue waves");
    sdk.publish("chat:lobby", json!({"type": "topic", "text": "tea"}));
    assert_eq!(plain.line(), "* sue set the topic: tea");
    let own = sdk.publication();
    assert_eq!(own["info"]["client"], sdk.id());
    assert_eq!(own["offset"], 2);
}

#[test]
fn pushes_tell_who_joins_and_leaves() {
    let server = Server::start(&[]);
    let mut ann = Sdk::guest(server.address, "ann");
    ann.subscribe("chat:tea");
    let mut ben = Sdk::guest(server.address, "ben");
    ben.subscribe("chat:tea");
    let join = push_about(&mut ann, "join", "ben");
    assert_eq!(join["channel"], "chat:tea");
    assert_eq!(join["join"]["info"]["client"], ben.id());
    ben.ok("unsubscribe", json!({"channel": "chat:tea"}));
    push_about(&mut ann, "leave", "ben");
}

#[test]
fn crowds_are_not_announced() {
    let server = Server::start(&["presence.announce_max=3"]);
    let mut first = Plain::open(server.address, "/plain?room=crowd&name=p1");
    wait_for_join(&mut first, "p1");
    let _second = Plain::open(server.address, "/plain?room=crowd&name=p2");
    wait_for_join(&mut first, "p2");
    let _third = Plain::open(server.address, "/plain?room=crowd&name=p3");
    wait_for_join(&mut first, "p3");
    let mut fourth = Plain::open(server.address, "/plain?room=crowd&name=p4");
    fourth.say("anyone?");
    // The next line is what p4 says: its coming was not announced.
    assert_eq!(first.line(), "from p4: anyone?");
    drop(fourth);
    let mut fifth = Plain::open(server.address, "/plain?room=crowd&name=p5");
    fifth.say("me too");
    loop {
        let line = first.line();
        assert!(!line.contains("joined"), "{line}");
        if line == "from p5: me too" {
            break;
        }
    }
}

#[test]
fn a_room_without_namespace_is_pub_sub() {
    let server = Server::start(&[]);
    let mut a = Sdk::connect(server.address);
    let mut b = Sdk::connect(server.address);
    let joined = a.subscribe("news");
    assert_eq!(joined, json!({}), "no history, so no position");
    b.subscribe("news");
    b.publish("news", json!([1, {"two": "\n"}]));
    let push = a.push();
    assert_eq!(push["channel"], "news");
    assert_eq!(push["pub"]["data"], json!([1, {"two": "\n"}]));
    assert!(push["pub"].get("offset").is_none());
    assert_eq!(push["pub"]["info"], json!({"user": "", "client": b.id()}));
}

/// Reads until the server says that `name` joined.
fn wait_for_join(client: &mut Plain, name: &str) {
    client.expect(&format!("* {name} joined"));
}

/// Reads until a push of `event` about `nick`.
fn push_about(client: &mut Sdk, event: &str, nick: &str) -> serde_json::Value {
    loop {
        let push = client.push();
        if push[event]["info"]["conn_info"]["nick"] == nick {
            return push;
        }
    }
}
