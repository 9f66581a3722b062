//! Subscriptions with tokens.

use super::*;
use jsonwebtoken::{EncodingKey, Header, encode};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn world() -> World {
    World::new(2, |config| config.client.token.hmac_secret_key = KEY.into())
}

fn token(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(KEY.as_bytes())).unwrap()
}

fn user(world: &mut World, shard: usize, user: &str) -> usize {
    let index = world.open(shard, Endpoint::Protocol);
    world.say(index, json!({"id": 1, "connect": {"token": token(&json!({"sub": user}))}}));
    world.settle();
    world.take(index);
    index
}

fn join(room: &str, claims: &Value) -> Value {
    json!({"id": 2, "subscribe": {"channel": room, "token": token(claims)}})
}

#[test]
fn a_token_opens_a_private_room() {
    let mut world = world();
    let now_s = world.now.unix_ms / 1_000;
    let ann = user(&mut world, 0, "ann");
    for room in ["$secret", "$chat:secret", "dm:#bob,eve", "dm:hall"] {
        let alone = world.ask(ann, json!({"id": 2, "subscribe": {"channel": room}}));
        assert_eq!(alone["error"]["code"], 103, "{room}: {alone}");
        for (claims, code) in [
            (json!({"sub": "bob", "channel": room}), 103),
            (json!({"sub": "ann", "channel": "$other"}), 103),
            (json!({"sub": "ann"}), 103),
            (json!({"sub": "ann", "channel": room, "exp": now_s}), 109),
            (json!({"sub": "ann", "channel": room, "expire_at": now_s}), 110),
        ] {
            let reply = world.ask(ann, join(room, &claims));
            assert_eq!(reply["error"]["code"], code, "{room} {claims}: {reply}");
        }
        let claims = json!({"sub": "ann", "channel": room, "data": {"d": 1}, "exp": now_s + 60});
        let result = world.ask(ann, join(room, &claims))["subscribe"].clone();
        assert_eq!(result["data"], json!({"d": 1}), "{room}: {result}");
        assert_eq!((&result["expires"], &result["ttl"]), (&json!(true), &json!(60)));
    }
    let broken = json!({"id": 3, "subscribe": {"channel": "$a", "token": "x.y.z"}});
    assert_eq!(world.ask(ann, broken)["error"]["code"], 103);
    let unknown = json!({"sub": "ann", "channel": "nowhere:a"});
    assert_eq!(world.ask(ann, join("nowhere:a", &unknown))["error"]["code"], 102);
    world.cut(ann);
    world.assert_empty();
    assert!(world.shards.iter().all(|shard| shard.grants.is_empty()));
}

#[test]
fn a_subscription_ends_with_its_token() {
    let mut world = world();
    let now_s = world.now.unix_ms / 1_000;
    let ann = user(&mut world, 0, "ann");
    let claims = |exp: u64| json!({"sub": "ann", "channel": "$a", "exp": exp});
    world.ask(ann, join("$a", &claims(now_s + 10)));
    let refresh =
        |claims: &Value| json!({"id": 3, "sub_refresh": {"channel": "$a", "token": token(claims)}});
    world.pass(5_000);
    let other = json!({"sub": "bob", "channel": "$a"});
    assert_eq!(world.ask(ann, refresh(&other))["error"]["code"], 103);
    let result = world.ask(ann, refresh(&claims(now_s + 20)))["sub_refresh"].clone();
    assert_eq!(result, json!({"expires": true, "ttl": 15}));
    // Its first end passes, with the delay, and the second without it.
    world.pass(30_500);
    world.send(ann, "{}");
    assert_eq!(find(&world.take(ann), "push"), None);
    world.pass(10_000);
    let push = find(&world.take(ann), "push").expect("a push");
    let expected = json!({"code": 2501, "reason": "subscription expired"});
    assert_eq!((&push["channel"], &push["unsubscribe"]), (&json!("$a"), &expected));
    assert!(world.clients[ann].open, "the connection stays");
    assert_eq!(world.ask(ann, refresh(&claims(now_s + 99)))["error"]["code"], 103);
    assert!(world.shards.iter().all(|shard| shard.rooms.is_empty() && shard.grants.is_empty()));
}

#[test]
fn who_leaves_is_not_told_later() {
    let mut world = world();
    let now_s = world.now.unix_ms / 1_000;
    let ann = user(&mut world, 1, "ann");
    let claims = json!({"sub": "ann", "channel": "$a", "exp": now_s + 5});
    world.ask(ann, join("$a", &claims));
    world.ask(ann, json!({"id": 3, "unsubscribe": {"channel": "$a"}}));
    assert!(world.shards.iter().all(|shard| shard.grants.is_empty()));
    // One without an end stays.
    let forever = json!({"sub": "ann", "channel": "$a", "exp": now_s + 5, "expire_at": 0});
    let result = world.ask(ann, join("$a", &forever))["subscribe"].clone();
    assert_eq!(result.get("expires"), None);
    for _ in 0..10 {
        world.pass(5_000);
        world.send(ann, "{}");
        assert_eq!(find(&world.take(ann), "push"), None);
    }
    assert!(world.clients[ann].open);
}
