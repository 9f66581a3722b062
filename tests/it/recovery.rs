//! What a client missed: from the history, whole and in order, or not at all.

use super::support::*;
use serde_json::{Value, json};

fn say(client: &mut Sdk, room: &str, texts: impl IntoIterator<Item = u32>) {
    for text in texts {
        client.publish(room, json!({"type": "message", "text": text.to_string()}));
    }
}

fn texts(publications: &Value) -> Vec<u32> {
    let list = publications.as_array().unwrap_or_else(|| panic!("no list: {publications}"));
    list.iter().map(|p| p["data"]["text"].as_str().unwrap().parse().unwrap()).collect()
}

fn recover(room: &str, joined: &Value, offset: u64) -> Value {
    json!({"channel": room, "recover": true, "epoch": joined["epoch"], "offset": offset})
}

#[test]
fn what_was_missed_comes_with_the_subscribe() {
    let server = Server::start(&[]);
    let room = "chat:r";
    let mut ann = Sdk::guest(server.address, "ann");
    let mut ben = Sdk::guest(server.address, "ben");
    let joined = ann.subscribe(room);
    assert_eq!(joined["recoverable"], true);
    assert_eq!(joined["positioned"], true);
    assert_eq!(joined["offset"], 0);
    ben.subscribe(room);
    say(&mut ben, room, 1..=3);
    let offsets: Vec<u64> = (0..3).map(|_| ann.publication()["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3]);
    drop(ann);
    say(&mut ben, room, 4..=20);

    let mut ann = Sdk::guest(server.address, "ann");
    let back = ann.ok("subscribe", recover(room, &joined, 3));
    assert_eq!(back["recovered"], true);
    assert_eq!(back["was_recovering"], true);
    assert_eq!(back["epoch"], joined["epoch"]);
    assert_eq!(texts(&back["publications"]), (4..=20).collect::<Vec<_>>());
    let offsets: Vec<u64> = back["publications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["offset"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, (4..=20).collect::<Vec<_>>());
    // What comes after goes on where the recovery ended.
    say(&mut ben, room, [21]);
    assert_eq!(ann.publication()["offset"], 21);

    // Nothing missed is recovered too.
    let mut third = Sdk::connect(server.address);
    let back = third.ok("subscribe", recover(room, &joined, 21));
    assert_eq!((&back["recovered"], &back["offset"]), (&json!(true), &json!(21)));
    assert_eq!(back.get("publications").map_or(0, |p| p.as_array().unwrap().len()), 0);
}

#[test]
fn a_gap_is_admitted() {
    let namespaces = r#"channel.namespaces=[{"name":"tiny","history_size":5,"history_ttl":"1h",
        "force_recovery":true,"allow_subscribe_for_client":true,
        "allow_publish_for_subscriber":true,"allow_subscribe_for_anonymous":true,
        "allow_publish_for_anonymous":true}]"#;
    let server = Server::start(&[namespaces, "channel.recovery_max_publication_limit=4"]);
    let room = "tiny:r";
    let mut ben = Sdk::connect(server.address);
    let joined = ben.subscribe(room);
    say(&mut ben, room, 1..=10);
    let epoch = joined["epoch"].as_str().unwrap();
    let check = |epoch: &str, offset: u64, expect: Option<Vec<u32>>| {
        let mut ann = Sdk::connect(server.address);
        let params = json!({"channel": room, "recover": true, "epoch": epoch, "offset": offset});
        let back = ann.ok("subscribe", params);
        assert_eq!(back["was_recovering"], true, "{back}");
        assert_eq!((&back["epoch"], &back["offset"]), (&joined["epoch"], &json!(10)));
        match expect {
            Some(expect) => {
                assert_eq!(back["recovered"], true, "since {offset}: {back}");
                assert_eq!(texts(&back["publications"]), expect, "since {offset}");
            }
            None => {
                assert_ne!(back["recovered"], true, "since {offset} of {epoch}: {back}");
                let list = back.get("publications").and_then(Value::as_array);
                assert!(list.is_none_or(Vec::is_empty), "a part is never given: {back}");
            }
        }
    };
    check(epoch, 6, Some(vec![7, 8, 9, 10]));
    check(epoch, 9, Some(vec![10]));
    // Five are kept, but a recovery may carry four.
    check(epoch, 5, None);
    // Some of it is gone.
    check(epoch, 4, None);
    check(epoch, 0, None);
    // Another life of the room; an offset that was never given.
    check("gone", 9, None);
    check(epoch, 11, None);
    assert_eq!(server.metric("ringchat_recoveries_total", &[("result", "recovered")]), 2);
    assert_eq!(server.metric("ringchat_recoveries_total", &[("result", "unrecovered")]), 5);
}

#[test]
fn history_can_be_read() {
    let server = Server::start(&[]);
    let room = "chat:h";
    let mut ann = Sdk::guest(server.address, "ann");
    let joined = ann.subscribe(room);
    say(&mut ann, room, 1..=10);
    let mut check = |mut params: Value, expect: &[u32]| {
        params["channel"] = room.into();
        let result = ann.ok("history", params.clone());
        assert_eq!(texts(&result["publications"]), expect, "{params}");
        assert_eq!(result["offset"], 10);
        assert_eq!(result["epoch"], joined["epoch"]);
    };
    let since = |offset: u64| json!({"offset": offset, "epoch": joined["epoch"]});
    check(json!({"limit": 3}), &[1, 2, 3]);
    check(json!({"limit": 3, "reverse": true}), &[10, 9, 8]);
    check(json!({"limit": 3, "since": since(8)}), &[9, 10]);
    check(json!({"limit": 2, "since": since(8), "reverse": true}), &[7, 6]);
    check(json!({"limit": -1}), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    check(json!({}), &[]);
}

#[test]
fn a_restart_begins_a_new_life() {
    let mut server = Server::start(&[]);
    let mut ann = Sdk::connect(server.address);
    let joined = ann.subscribe("chat:r");
    say(&mut ann, "chat:r", 1..=3);
    server.signal("TERM");
    assert_eq!(ann.socket.closed().code(), 3001);
    assert_eq!(server.wait().code(), Some(0));

    let server = Server::start(&[]);
    let mut ann = Sdk::connect(server.address);
    let back = ann.ok("subscribe", recover("chat:r", &joined, 2));
    assert_ne!(back["recovered"], true);
    assert_ne!(back["epoch"], joined["epoch"]);
}

#[test]
fn a_nonce_is_published_once() {
    let server = Server::start(&[]);
    let mut ann = Sdk::guest(server.address, "ann");
    ann.subscribe("chat:n");
    let message = json!({"type": "message", "text": "once", "nonce": "c0ffee"});
    ann.publish("chat:n", message.clone());
    ann.publish("chat:n", message);
    ann.publish("chat:n", json!({"type": "message", "text": "end", "nonce": "other"}));
    assert_eq!(ann.publication()["data"]["text"], "once");
    let last = ann.publication();
    assert_eq!((&last["data"]["text"], &last["offset"]), (&json!("end"), &json!(2)));
}

#[test]
fn deleted_text_does_not_come_back() {
    let server = Server::start(&[]);
    let room = "chat:d";
    let mut ann = Sdk::guest(server.address, "ann");
    let mut ben = Sdk::guest(server.address, "ben");
    let joined = ann.subscribe(room);
    ben.subscribe(room);
    ann.publish(room, json!({"type": "message", "text": "a secret"}));
    let foreign =
        ben.error("publish", json!({"channel": room, "data": {"type": "delete", "of": 1}}));
    assert_eq!(foreign["code"], 103);
    ann.publish(room, json!({"type": "delete", "of": 1}));
    let mut eve = Sdk::connect(server.address);
    let back = eve.ok("subscribe", recover(room, &joined, 0));
    assert_eq!(back["recovered"], true);
    assert_eq!(back["publications"].as_array().unwrap().len(), 2);
    assert!(!back.to_string().contains("secret"), "{back}");
}
