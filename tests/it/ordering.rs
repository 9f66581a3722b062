//! One room, one order: every member of a room sees all of it, the same way round.

use super::support::*;
use serde::Deserialize;
use std::sync::Barrier;

const MEMBERS: usize = 100;
const PUBLISHERS: usize = 20;
const MESSAGES: usize = 500;

#[derive(Deserialize)]
struct Frame<'a> {
    id: Option<u32>,
    #[serde(borrow)]
    error: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    push: Option<Push<'a>>,
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(rename = "pub", borrow)]
    publication: Option<Publication<'a>>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    data: Data<'a>,
    offset: u64,
}

#[derive(Deserialize)]
struct Data<'a> {
    text: &'a str,
}

#[test]
fn a_hundred_members_on_two_workers_see_one_order() {
    // Room for what queues while a hundred threads of this test share two cores with the server.
    let server = Server::start(&[
        "client.queue_max_size=67108864",
        "client.command_rate_burst=10000",
        "presence.announce_max=0",
    ]);
    let room = "chat:order";
    let members: Vec<Sdk> = (0..MEMBERS)
        .map(|_| {
            let mut member = Sdk::connect(server.address);
            member.subscribe(room);
            member
        })
        .collect();
    let spread = server.sessions();
    assert!(spread.iter().all(|n| *n >= 20), "spread {spread:?}");

    let start = Barrier::new(MEMBERS);
    let orders = in_parallel(members, |number, mut member| {
        start.wait();
        let publishes = number < PUBLISHERS;
        if publishes {
            for n in 0..MESSAGES {
                let text = format!("{number}/{n}");
                member.socket.send(&format!(
                    r#"{{"id":{},"publish":{{"channel":"{room}","data":{{"type":"message","text":"{text}"}}}}}}"#,
                    n + 10
                ));
            }
        }
        collect(&mut member.socket, if publishes { MESSAGES } else { 0 })
    });

    for (number, order) in orders.iter().enumerate() {
        assert!(order == &orders[0], "member {number} saw another order than member 0");
    }
    // Complete, nothing twice, and each publisher's messages in the order in which it sent them.
    let mut next = [0; PUBLISHERS];
    for text in &orders[0] {
        let (publisher, n) = text.split_once('/').unwrap();
        let publisher: usize = publisher.parse().unwrap();
        assert_eq!(n.parse(), Ok(next[publisher]), "of publisher {publisher}");
        next[publisher] += 1;
    }
    assert_eq!(next, [MESSAGES; PUBLISHERS]);
}

/// Reads all publications, with offsets without a gap, and `replies` replies without an error.
fn collect(socket: &mut Socket, mut replies: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(PUBLISHERS * MESSAGES);
    while texts.len() < PUBLISHERS * MESSAGES || replies > 0 {
        let text = match socket.read() {
            Event::Text(text) => text,
            other => panic!("after {} publications: {other:?}", texts.len()),
        };
        for line in text.split('\n') {
            let frame: Frame<'_> = serde_json::from_str(line).unwrap();
            assert!(frame.error.is_none(), "{line}");
            if frame.id.is_some() {
                replies -= 1;
            } else if let Some(publication) = frame.push.and_then(|push| push.publication) {
                assert_eq!(publication.offset, texts.len() as u64 + 1);
                texts.push(publication.data.text.to_owned());
            }
        }
    }
    texts
}
