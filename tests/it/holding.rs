//! `fanout.max_delay`: publications wait for more of their room, and nothing else changes.

use super::support::*;
use serde_json::{Value, json};

const MEMBERS: usize = 20;
const MESSAGES: usize = 300;
const ROOM: &str = "chat:held";

fn members(server: &Server) -> Vec<Sdk> {
    let member = |_| {
        let mut member = Sdk::connect(server.address);
        member.subscribe(ROOM);
        member
    };
    (0..MEMBERS).map(member).collect()
}

fn message(n: usize) -> Value {
    json!({"type": "message", "text": n.to_string()})
}

#[test]
fn one_send_carries_what_several_turns_brought() {
    let server = Server::start(&["fanout.max_delay=100ms", "presence.announce_max=0"]);
    let mut members = members(&server);
    let spread = server.sessions();
    assert!(spread.iter().all(|n| *n > 0), "spread {spread:?}");
    let counts = || {
        ["publications", "deliveries", "sends"]
            .map(|name| server.metric(&format!("ringchat_{name}_total"), &[]))
    };
    let before = counts();
    // Each waits for its reply: it has a turn of its own, so that only the delay can merge them.
    for n in 0..MESSAGES {
        members[0].publish(ROOM, message(n));
    }
    for (who, member) in members.iter_mut().enumerate() {
        for n in 0..MESSAGES {
            let publication = member.publication();
            assert_eq!(publication["data"]["text"], n.to_string(), "member {who}");
            assert_eq!(publication["offset"], n + 1, "member {who}");
        }
    }
    // Nothing comes twice, and nothing is left: a mark is the next that everybody sees.
    members[1].publish(ROOM, message(MESSAGES));
    for member in &mut members {
        assert_eq!(member.publication()["offset"], MESSAGES + 1);
        assert_eq!(member.pending(), 0);
    }
    let after = counts();
    let [publications, deliveries, sends] = [0, 1, 2].map(|i| after[i] - before[i]);
    assert_eq!(publications, MESSAGES as u64 + 1);
    assert_eq!(deliveries, publications * MEMBERS as u64);
    // A reply to each publication is a send, too. Unmerged, it would be more than the deliveries.
    assert!(sends < deliveries / 2, "{sends} sends for {deliveries} deliveries");
}

#[test]
fn what_is_held_leaves_before_the_end() {
    let mut server = Server::start(&["fanout.max_delay=100ms", "presence.announce_max=0"]);
    let mut members = members(&server);
    members[0].publish(ROOM, message(7));
    server.signal("TERM");
    for member in &mut members {
        assert_eq!(member.publication()["data"]["text"], "7");
        assert_eq!(member.socket.closed(), Closed::Frame(3001, "shutdown".into()));
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.output());
}
