//! The methods that a client may call: rooms, whoami, nick.

use super::support::*;
use serde_json::{Value, json};

fn call(sdk: &mut Sdk, method: &str, data: &Value) -> Value {
    sdk.ok("rpc", json!({"method": method, "data": data}))["data"].take()
}

#[test]
fn rooms_of_both_workers() {
    let server = Server::start(&[]);
    // Some of ten rooms are at home with either worker.
    let mut clients: Vec<Sdk> = (0..10).map(|_| Sdk::connect(server.address)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        (0..=n).for_each(|room| drop(client.subscribe(&format!("chat:room{room}"))));
        client.subscribe("elsewhere");
    }
    let topic = json!({"type": "topic", "text": "tea"});
    clients[9].publish("chat:room0", topic);
    let ana = &mut Sdk::guest(server.address, "ana");
    ana.subscribe("dm:#~ana,~ben");
    let listed = eventually("the list has all of them", || {
        let listed = call(ana, "rooms", &Value::Null);
        (listed["rooms"].as_array()?.len() == 10).then_some(listed)
    });
    let expect: Vec<Value> = (0..10)
        .map(|n| match n {
            0 => json!({"channel": "chat:room0", "members": 10, "topic": "tea"}),
            _ => json!({"channel": format!("chat:room{n}"), "members": 10 - n}),
        })
        .collect();
    assert_eq!(listed["rooms"], json!(expect));
}

#[test]
fn a_guest_and_its_nicks() {
    let server = Server::start(&[]);
    let mut ana = Sdk::guest(server.address, "ana");
    let mut ben = Sdk::guest(server.address, "ben");
    ana.subscribe("chat:r");
    ben.subscribe("chat:r");
    let client = ana.id().to_owned();
    let who = call(&mut ana, "whoami", &Value::Null);
    assert_eq!(who, json!({"user": "~ana", "client": client, "nick": "ana"}));
    assert_eq!(call(&mut ana, "nick", &json!({"nick": "ben"}))["nick"], "ben-2");
    assert_eq!(call(&mut ana, "whoami", &Value::Null)["user"], "~ben-2");
    ana.publish("chat:r", json!({"type": "message", "text": "hi"}));
    let publication = ben.publication();
    assert_eq!(publication["info"]["user"], "~ben-2");
    assert_eq!(publication["info"]["client"], client.as_str());
    assert_eq!(ana.error("rpc", json!({"method": "nick", "data": {"nick": "a:b"}}))["code"], 107);
    assert_eq!(ana.error("rpc", json!({"method": "dance"}))["code"], 104);
}
