//! Small rooms live on one core: fresh connections move to the core of the first room that they ask
//! for, and nobody notices.

use super::support::client::PROTOCOL;
use super::support::*;
use serde_json::json;

const ROOMS: usize = 16;
const MEMBERS: usize = 2;

fn lane_batches(server: &Server) -> u64 {
    server.metric("ringchat_lane_batches_total", &[])
}

fn gathered(server: &Server) -> u64 {
    server.metric("ringchat_gathered_total", &[])
}

#[test]
fn messages_of_small_rooms_cross_no_core() {
    let server = Server::start(&[]);
    let rooms: Vec<String> = (0..ROOMS).map(|n| format!("small-{n}")).collect();
    let mut members: Vec<(String, Sdk)> = (0..MEMBERS)
        .flat_map(|_| &rooms)
        .map(|room| (room.clone(), Sdk::joining(server.address, room)))
        .collect();
    assert!(gathered(&server) > 0, "of {} connections nobody moved", members.len());
    let spread = server.sessions();
    assert!(spread.iter().all(|n| *n > 0), "all rooms on one core: {spread:?}");

    let before = lane_batches(&server);
    for sender in 0..members.len() {
        let (room, client) = &mut members[sender];
        let room = room.clone();
        client.publish(&room, json!(sender));
        for (_, member) in members.iter_mut().filter(|(other, _)| *other == room) {
            assert_eq!(member.publication()["data"], sender);
        }
    }
    assert_eq!(lane_batches(&server), before);
    assert!(members.iter().all(|(_, member)| member.pending() == 0), "somebody heard too much");
}

#[test]
fn plain_clients_gather_too() {
    let server = Server::start(&["presence.announce_max=0"]);
    let mut members: Vec<(usize, Plain)> = (0..ROOMS * MEMBERS)
        .map(|n| {
            let room = n % ROOMS;
            (room, Plain::open(server.address, &format!("/plain?room=plain-{room}&name=p{n}")))
        })
        .collect();
    assert!(gathered(&server) > 0);
    // Who has heard itself has joined; lanes may have been needed for the nick until then.
    for (n, (_, member)) in members.iter_mut().enumerate() {
        member.say("here");
        while member.line() != format!("from p{n}: here") {}
    }
    let before = lane_batches(&server);
    for sender in 0..members.len() {
        let room = members[sender].0;
        members[sender].1.say("hello");
        for (_, member) in members.iter_mut().filter(|(other, _)| *other == room) {
            while member.line() != format!("from p{sender}: hello") {}
        }
    }
    assert_eq!(lane_batches(&server), before);
}

#[test]
fn what_comes_early_moves_along() {
    const LINES: usize = 50;
    let server = Server::start(&["client.command_rate_limit=0"]);
    for n in 0..20 {
        let room = format!("early-{n}");
        let mut socket = Socket::open(server.address, PROTOCOL);
        let subscribe = json!({"id": 2, "subscribe": {"channel": room}});
        // Many frames at once, behind the one that moves the connection.
        socket.send(&format!("{}\n{subscribe}", json!({"id": 1, "connect": {}})));
        for line in 0..LINES {
            let publish = json!({"channel": room, "data": line});
            socket.send(&json!({"id": 3 + line, "publish": publish}).to_string());
        }
        let (mut replies, mut heard) = (Vec::new(), Vec::new());
        while replies.len() < LINES + 2 || heard.len() < LINES {
            for reply in socket.text().lines() {
                let reply: serde_json::Value = serde_json::from_str(reply).unwrap();
                match reply["id"].as_u64() {
                    Some(id) => replies.push(id as usize),
                    None => heard.push(reply["push"]["pub"]["data"].as_u64().unwrap() as usize),
                }
            }
        }
        assert_eq!(replies, (1..=LINES + 2).collect::<Vec<_>>(), "{room}");
        assert_eq!(heard, (0..LINES).collect::<Vec<_>>(), "{room}");
    }
    assert!(gathered(&server) > 0);
}

#[test]
fn a_large_room_is_spread() {
    let server = Server::start(&["client.command_rate_limit=0"]);
    let mut members: Vec<Sdk> = (0..200).map(|_| Sdk::joining(server.address, "large")).collect();
    let spread = server.sessions();
    assert_eq!(spread.iter().sum::<u64>(), 200);
    assert!(spread.iter().all(|n| *n >= 80), "spread {spread:?}");
    members[0].publish("large", json!("all"));
    for member in &mut members {
        assert_eq!(member.publication()["data"], "all");
    }
}

#[test]
fn who_moves_stays_counted() {
    let server = Server::start(&["client.connection_limit_per_address=3"]);
    for round in 0..10 {
        let clients: Vec<Sdk> = (0..3)
            .map(|n| {
                // The places of the last round are free as soon as the server has seen the end.
                eventually("a place", || {
                    let status = http::upgrade_status(server.address, PROTOCOL, "");
                    (status == 101).then_some(())
                });
                let gone = |server: &Server| server.sessions().iter().sum::<u64>() == n;
                eventually("the trial is over", || gone(&server).then_some(()));
                Sdk::joining(server.address, &format!("counted-{round}-{n}"))
            })
            .collect();
        assert_eq!(http::upgrade_status(server.address, PROTOCOL, ""), 503);
        drop(clients);
        let none = |server: &Server| server.sessions() == [0, 0];
        eventually("all have gone", || none(&server).then_some(()));
    }
    assert!(gathered(&server) > 0);
    let open = || server.metric("ringchat_connections", &[]);
    eventually("every socket is closed", || (open() == 0).then_some(()));
}

#[test]
fn rooms_need_not_gather() {
    let server = Server::start(&["fanout.gather_rooms=false"]);
    let mut members: Vec<Sdk> = (0..32).map(|_| Sdk::joining(server.address, "apart")).collect();
    let spread = server.sessions();
    assert!(spread.iter().all(|n| *n >= 8), "spread {spread:?}");
    members[0].publish("apart", json!(1));
    members.iter_mut().for_each(|member| assert_eq!(member.publication()["data"], 1));
    assert_eq!(gathered(&server), 0);
    assert!(lane_batches(&server) > 0);
}
