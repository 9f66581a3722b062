//! How connections take part in rooms: what clients ask for, what their tokens say.

use super::*;
use crate::config::{Namespace, NamespaceOptions};
use jsonwebtoken::{EncodingKey, Header, encode};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// `free:` keeps history and presence and forces nothing on anybody.
fn world(shards: usize) -> World {
    World::new(shards, |config| {
        config.client.token.hmac_secret_key = KEY.into();
        config.client.allow_guests = Some(true);
        config.channel.namespaces.push(Namespace {
            name: "free".into(),
            options: NamespaceOptions {
                history_size: 10,
                history_ttl: std::time::Duration::from_secs(60),
                presence: true,
                join_leave: true,
                allow_subscribe_for_client: true,
                allow_publish_for_subscriber: true,
                allow_history_for_subscriber: true,
                allow_presence_for_subscriber: true,
                ..NamespaceOptions::default()
            },
        });
    })
}

fn token(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(KEY.as_bytes())).unwrap()
}

fn user(world: &mut World, shard: usize, claims: &Value) -> usize {
    let index = world.open(shard, Endpoint::Protocol);
    world.say(index, json!({"id": 1, "connect": {"token": token(claims)}}));
    world.settle();
    world.take(index);
    index
}

/// Joins with a token whose claims have more than the room and the user.
fn join(world: &mut World, index: usize, user: &str, room: &str, more: Value) -> Value {
    let mut claims = json!({"sub": user, "channel": room});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let subscribe = json!({"channel": room, "token": token(&claims)});
    world.ask(index, json!({"id": 2, "subscribe": subscribe}))["subscribe"].clone()
}

fn wish(world: &mut World, index: usize, subscribe: &Value) -> Value {
    world.ask(index, json!({"id": 2, "subscribe": subscribe}))["subscribe"].clone()
}

/// The pushes of one kind (`join`, `pub`) that a client got since the last look.
fn pushes(world: &mut World, index: usize, kind: &str) -> Vec<Value> {
    world.settle();
    let got = world.take(index);
    let push = |text: &String| serde_json::from_str::<Value>(text).ok()?["push"].get(kind).cloned();
    got.iter().filter_map(push).collect()
}

fn publish(world: &mut World, index: usize, room: &str) {
    let reply = world.ask(index, json!({"id": 9, "publish": {"channel": room, "data": 1}}));
    assert_eq!(reply["publish"], json!({}), "{reply}");
}

#[test]
fn a_client_recovers_where_it_asked_to_be_able_to() {
    let mut world = world(2);
    let bob = user(&mut world, 0, &json!({"sub": "bob"}));
    assert_eq!(wish(&mut world, bob, &json!({"channel": "free:a"})), json!({}));
    publish(&mut world, bob, "free:a");
    let ann = user(&mut world, 1, &json!({"sub": "ann"}));
    let told = wish(&mut world, ann, &json!({"channel": "free:a", "positioned": true}));
    assert_eq!((&told["positioned"], told.get("recoverable")), (&json!(true), None));
    assert_eq!(told["offset"], 1);
    world.ask(ann, json!({"id": 3, "unsubscribe": {"channel": "free:a"}}));
    let told = wish(&mut world, ann, &json!({"channel": "free:a", "recoverable": true}));
    assert_eq!((&told["recoverable"], &told["positioned"]), (&json!(true), &json!(true)));
    world.ask(ann, json!({"id": 3, "unsubscribe": {"channel": "free:a"}}));
    publish(&mut world, bob, "free:a");
    let back = json!({"channel": "free:a", "recoverable": true, "recover": true,
        "epoch": told["epoch"], "offset": told["offset"]});
    let told = wish(&mut world, ann, &back);
    assert_eq!((&told["recovered"], &told["publications"][0]["offset"]), (&json!(true), &json!(2)));
    // Without the wish there is nothing to recover by.
    world.ask(ann, json!({"id": 3, "unsubscribe": {"channel": "free:a"}}));
    let mut other = back.clone();
    other["recoverable"] = json!(false);
    assert_eq!(wish(&mut world, ann, &other), json!({}));
    // A room that keeps no history has no position, whatever is asked for.
    let all =
        json!({"channel": "news", "positioned": true, "recoverable": true, "join_leave": true});
    assert_eq!(wish(&mut world, ann, &all), json!({}));
}

#[test]
fn joins_are_told_to_those_who_asked() {
    let mut world = world(3);
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| (name, json!({"sub": name})));
    let [ann, bob, eve] =
        [(0, ann), (1, bob), (2, eve)].map(|(shard, (_, claims))| user(&mut world, shard, &claims));
    wish(&mut world, ann, &json!({"channel": "free:a", "join_leave": true}));
    assert_eq!(pushes(&mut world, ann, "join").len(), 0, "taken with the answer");
    wish(&mut world, bob, &json!({"channel": "free:a"}));
    assert_eq!(pushes(&mut world, ann, "join")[0]["info"]["user"], "bob");
    world.take(bob);
    wish(&mut world, eve, &json!({"channel": "free:a"}));
    assert_eq!(pushes(&mut world, ann, "join")[0]["info"]["user"], "eve");
    assert_eq!(pushes(&mut world, bob, "join"), Vec::<Value>::new());
    // What is published reaches both, each once and in order.
    for _ in 0..3 {
        publish(&mut world, eve, "free:a");
    }
    for index in [ann, bob] {
        let offsets: Vec<Value> =
            pushes(&mut world, index, "pub").iter().map(|p| p["offset"].clone()).collect();
        assert_eq!(offsets, [1, 2, 3], "{index}");
    }
    world.cut(eve);
    world.settle();
    world.pass(5_000);
    assert_eq!(pushes(&mut world, ann, "leave")[0]["info"]["user"], "eve");
    assert_eq!(pushes(&mut world, bob, "leave"), Vec::<Value>::new());
    world.cut(ann);
    world.cut(bob);
    world.settle();
    world.assert_empty();
}

#[test]
fn a_token_says_who_a_client_is_in_a_room() {
    let mut world = world(2);
    let bob = user(&mut world, 0, &json!({"sub": "bob"}));
    join(&mut world, bob, "bob", "$chat:team", json!({}));
    let ann = user(&mut world, 1, &json!({"sub": "ann", "info": {"name": "Ann"}}));
    join(&mut world, ann, "ann", "$chat:team", json!({"info": {"role": "owner"}}));
    let info =
        |push: &Value| (push["info"]["conn_info"].clone(), push["info"]["chan_info"].clone());
    let whole = |role: &str| (json!({"name": "Ann"}), json!({"role": role}));
    let joined = pushes(&mut world, bob, "join");
    assert_eq!(info(joined.last().unwrap()), whole("owner"), "{joined:?}");
    let say = |world: &mut World, id: u32| {
        let data = json!({"type": "message", "text": "hi"});
        world.ask(ann, json!({"id": id, "publish": {"channel": "$chat:team", "data": data}}));
    };
    say(&mut world, 5);
    assert_eq!(info(&pushes(&mut world, bob, "pub")[0]), whole("owner"));
    // In other rooms she is only who she is everywhere.
    join(&mut world, bob, "bob", "free:a", json!({}));
    join(&mut world, ann, "ann", "free:a", json!({}));
    publish(&mut world, ann, "free:a");
    assert_eq!(info(&pushes(&mut world, bob, "pub")[0]), (json!({"name": "Ann"}), Value::Null));
    let presence = |world: &mut World| {
        let reply = world.ask(bob, json!({"id": 7, "presence": {"channel": "$chat:team"}}));
        let all = reply["presence"]["presence"].as_object().expect("a list").clone();
        all.values().find(|info| info["user"] == "ann").expect("ann")["chan_info"].clone()
    };
    assert_eq!(presence(&mut world), json!({"role": "owner"}));
    // A new token says something else: that holds from now on, and nobody has come or gone.
    let claims = json!({"sub": "ann", "channel": "$chat:team", "info": {"role": "guest"}});
    world.ask(
        ann,
        json!({"id": 8, "sub_refresh": {"channel": "$chat:team", "token": token(&claims)}}),
    );
    assert_eq!(pushes(&mut world, bob, "join"), Vec::<Value>::new());
    say(&mut world, 9);
    assert_eq!(info(&pushes(&mut world, bob, "pub")[0]), whole("guest"));
    assert_eq!(presence(&mut world), json!({"role": "guest"}));
    world.cut(ann);
    world.settle();
    world.pass(5_000);
    assert_eq!(pushes(&mut world, bob, "leave").len(), 1, "in one room of two leaves are told");
    world.cut(bob);
    world.assert_empty();
    assert!(world.shards.iter().all(|shard| shard.grants.is_empty()));
}

#[test]
fn a_connection_token_says_who_a_client_is_in_its_rooms() {
    let mut world = world(2);
    let bob = user(&mut world, 0, &json!({"sub": "bob", "channels": ["chat:a"]}));
    let subs = json!({"chat:a": {"info": {"role": "owner"}, "data": 7}});
    let ann = user(&mut world, 1, &json!({"sub": "ann", "subs": subs}));
    let joined = pushes(&mut world, bob, "join");
    assert_eq!(joined[0]["info"]["chan_info"], json!({"role": "owner"}), "{joined:?}");
    world.cut(ann);
    world.cut(bob);
    world.assert_empty();
    assert!(world.shards.iter().all(|shard| shard.grants.is_empty()));
}

#[test]
fn a_token_overrides_what_the_namespace_forces() {
    let off = json!({"value": false});
    let on = json!({"value": true});
    let mut world = world(2);
    let bob = user(&mut world, 0, &json!({"sub": "bob"}));
    join(&mut world, bob, "bob", "chat:a", json!({}));
    let ann = user(&mut world, 1, &json!({"sub": "ann"}));
    let quiet = json!({"override": {"presence": off, "join_leave": off, "force_recovery": off,
        "force_positioning": off, "force_push_join_leave": off}});
    assert_eq!(join(&mut world, ann, "ann", "chat:a", quiet), json!({}), "no position");
    assert_eq!(pushes(&mut world, bob, "join").len(), 0, "not announced");
    let listed = world.ask(bob, json!({"id": 7, "presence": {"channel": "chat:a"}}));
    assert_eq!(listed["presence"]["presence"].as_object().unwrap().len(), 1, "not listed");
    let eve = world.guest(0, "eve");
    world.say(eve, json!({"id": 2, "subscribe": {"channel": "chat:a"}}));
    assert_eq!(pushes(&mut world, ann, "join").len(), 0, "hears nothing of others");
    assert_eq!(pushes(&mut world, bob, "join").len(), 1);
    world.cut(ann);
    world.settle();
    world.pass(5_000);
    assert_eq!(pushes(&mut world, bob, "leave").len(), 0, "nobody knew of her");
    // And the other way round, in a namespace that forces nothing.
    let ann = user(&mut world, 1, &json!({"sub": "ann"}));
    let loud = json!({"override": {"force_recovery": on, "force_push_join_leave": on}});
    let told = join(&mut world, ann, "ann", "free:a", loud);
    assert_eq!((&told["recoverable"], &told["offset"]), (&json!(true), &json!(0)));
    world.take(ann);
    join(&mut world, bob, "bob", "free:a", json!({}));
    assert_eq!(pushes(&mut world, ann, "join").len(), 1);
}
