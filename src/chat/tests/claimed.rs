//! Rooms that a connection token names.

use super::*;
use jsonwebtoken::{EncodingKey, Header, encode};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn connect(claims: &Value, subs: &Value) -> Value {
    let token =
        encode(&Header::default(), claims, &EncodingKey::from_secret(KEY.as_bytes())).unwrap();
    json!({"id": 1, "connect": {"token": token, "subs": subs}})
}

#[test]
fn the_server_joins_what_the_token_names() {
    let mut world = World::new(3, |config| config.client.token.hmac_secret_key = KEY.into());
    let claims = json!({"sub": "ann", "channels": ["news", "chat:a", "news"],
        "subs": {"dm:#ann,bob": {"data": {"d": 1}}}});
    let ann = world.open(0, Endpoint::Protocol);
    world.say(ann, connect(&claims, &json!({})));
    world.settle();
    let got: Vec<Value> =
        world.take(ann).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(got[0]["connect"]["client"], got[0]["connect"]["client"].as_str().unwrap());
    let mut rooms: Vec<&Value> =
        got.iter().filter(|push| push["push"]["subscribe"].is_object()).collect();
    rooms.sort_by_key(|push| push["push"]["channel"].to_string());
    let names: Vec<_> =
        rooms.iter().map(|push| push["push"]["channel"].as_str().unwrap()).collect();
    assert_eq!(names, ["chat:a", "dm:#ann,bob", "news"], "{got:?}");
    assert_eq!(rooms[0]["push"]["subscribe"]["recoverable"], true);
    assert_eq!(rooms[1]["push"]["subscribe"]["data"], json!({"d": 1}));
    assert_eq!(rooms[2]["push"]["subscribe"], json!({}));
    let epoch = rooms[0]["push"]["subscribe"]["epoch"].clone();

    // What is missed comes behind the next subscribe push.
    let bob = world.open(1, Endpoint::Protocol);
    world.say(bob, connect(&json!({"sub": "bob", "channels": ["chat:a"]}), &json!({})));
    world.settle();
    world.cut(ann);
    world.settle();
    for n in 2..7 {
        let data = json!({"type": "message", "text": n.to_string()});
        world.say(bob, json!({"id": n, "publish": {"channel": "chat:a", "data": data}}));
    }
    world.settle();
    let back = world.open(2, Endpoint::Protocol);
    let subs = json!({"chat:a": {"recover": true, "epoch": epoch, "offset": 2}});
    world.say(back, connect(&claims, &subs));
    world.settle();
    let got = world.take(back);
    let offsets: Vec<u64> = got
        .iter()
        .filter_map(|text| {
            serde_json::from_str::<Value>(text).unwrap()["push"]["pub"]["offset"].as_u64()
        })
        .collect();
    assert_eq!(offsets, [3, 4, 5], "{got:?}");
    world.cut(back);
    world.cut(bob);
    world.settle();
    world.assert_empty();
}

#[test]
fn a_token_that_names_what_cannot_be_does_not_connect() {
    let mut world = World::new(2, |config| {
        config.client.token.hmac_secret_key = KEY.into();
        config.client.channel_limit = 2;
    });
    for (channels, code) in [(json!(["nowhere:a"]), 102), (json!(["a", "b", "c"]), 106)] {
        let ann = world.open(0, Endpoint::Protocol);
        let reply =
            world.ask(ann, connect(&json!({"sub": "ann", "channels": channels}), &json!({})));
        assert_eq!(reply["error"]["code"], code, "{reply}");
        world.cut(ann);
    }
    world.settle();
    world.assert_empty();
}
