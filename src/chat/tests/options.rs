//! Options of rooms: what they do, and that they change while rooms and connections exist.

use super::*;
use crate::config::{Namespace, NamespaceOptions};
use std::time::Duration;

fn chat(config: &mut Config) -> &mut NamespaceOptions {
    let mut namespaces = config.channel.namespaces.iter_mut();
    &mut namespaces.find(|n| n.name == "chat").expect("a default namespace").options
}

impl World {
    /// Hands new settings to every shard.
    fn reconfigure(&mut self, adjust: impl FnOnce(&mut Config)) {
        let mut config = self.settings.config.clone();
        adjust(&mut config);
        config.validate().expect("a good configuration");
        let shards = self.shards.len();
        self.settings = Arc::new(Settings::new(config, shards as u16, keys()));
        for shard in 0..shards {
            self.step(shard, Input::Settings(self.settings.clone()));
        }
        self.settle();
    }
}

fn say(n: u32) -> Value {
    json!({"id": n, "publish": {"channel": "chat:a", "data":
        {"type": "message", "text": "hi", "nonce": n.to_string()}}})
}

fn history(world: &mut World, index: usize) -> usize {
    let ask = json!({"id": 99, "history": {"channel": "chat:a", "limit": -1}});
    let reply = world.ask(index, ask);
    reply["history"]["publications"].as_array().map_or(0, Vec::len)
}

#[test]
fn rooms_that_exist_take_on_new_options() {
    for shards in [1, 3] {
        let mut world = World::new(shards, |_| {});
        let alice = world.guest(0, "alice");
        world.ask(alice, json!({"id": 2, "subscribe": {"channel": "chat:a"}}));
        for n in 10..20 {
            assert!(world.ask(alice, say(n)).get("publish").is_some());
        }
        assert_eq!(history(&mut world, alice), 10);
        let bytes: usize = world.shards.iter().map(|s| s.history_bytes).sum();

        // A shorter history holds at once.
        world.reconfigure(|config| chat(config).history_size = 3);
        assert_eq!(history(&mut world, alice), 3);
        let now: usize = world.shards.iter().map(|s| s.history_bytes).sum();
        assert!(now > 0 && now < bytes / 2, "{now} of {bytes} bytes");
        world.ask(alice, say(20));
        assert_eq!(history(&mut world, alice), 3);

        // So does a permission, for those who are in.
        world.reconfigure(|config| chat(config).allow_publish_for_subscriber = false);
        assert_eq!(world.ask(alice, say(21))["error"]["code"], 103);
        world.reconfigure(|config| chat(config).allow_publish_for_subscriber = true);
        assert!(world.ask(alice, say(22)).get("publish").is_some());

        // Publications that the new time does not keep go within it.
        world.reconfigure(|config| chat(config).history_ttl = Duration::from_secs(10));
        world.pass(11_000);
        assert_eq!(history(&mut world, alice), 0);
        assert!(world.shards.iter().all(|s| s.history_bytes == 0));

        // Without a history there is none to ask for.
        world.ask(alice, say(23));
        world.reconfigure(|config| {
            let o = chat(config);
            (o.history_size, o.history_ttl, o.force_recovery) = (0, Duration::ZERO, false);
        });
        let ask = json!({"id": 99, "history": {"channel": "chat:a", "limit": -1}});
        assert_eq!(world.ask(alice, ask)["error"]["code"], 108);
        assert!(world.shards.iter().all(|s| s.history_bytes == 0));
        world.cut(alice);
        world.assert_empty();
    }
}

#[test]
fn namespaces_come_and_go() {
    let mut world = World::new(2, |_| {});
    let alice = world.guest(0, "alice");
    let bob = world.guest(1, "bob");
    let join = |id: u32, room: &str| json!({"id": id, "subscribe": {"channel": room}});
    assert_eq!(world.ask(alice, join(2, "news:a"))["error"]["code"], 102);
    let options = NamespaceOptions {
        allow_subscribe_for_client: true,
        allow_publish_for_subscriber: true,
        ..NamespaceOptions::default()
    };
    world.reconfigure(|config| {
        config.channel.namespaces.push(Namespace { name: "news".into(), options });
    });
    assert!(world.ask(alice, join(3, "news:a")).get("subscribe").is_some());

    // Those who are in a room stay there and go on; nobody else comes.
    world.reconfigure(|config| config.channel.namespaces.retain(|n| n.name != "news"));
    assert_eq!(world.ask(bob, join(2, "news:a"))["error"]["code"], 102);
    let publish = json!({"id": 4, "publish": {"channel": "news:a", "data": 7}});
    assert!(world.ask(alice, publish).get("publish").is_some());
    world.cut(alice);
    world.cut(bob);
    world.assert_empty();
}

#[test]
fn limits_and_keys_hold_at_once() {
    let mut world = World::new(1, |config| config.client.channel_limit = 1);
    let alice = world.guest(0, "alice");
    let join = |id: u32, room: &str| json!({"id": id, "subscribe": {"channel": room}});
    assert!(world.ask(alice, join(2, "a")).get("subscribe").is_some());
    assert_eq!(world.ask(alice, join(3, "b"))["error"]["code"], 106);
    world.reconfigure(|config| {
        config.client.channel_limit = 2;
        config.client.token.hmac_secret_key = "0123456789abcdef0123456789abcdef".into();
    });
    assert!(world.ask(alice, join(4, "b")).get("subscribe").is_some());
    assert!(world.clients[alice].open);
    // With a key, whoever comes needs a token.
    let bob = world.open(0, Endpoint::Protocol);
    assert_eq!(world.ask(bob, json!({"id": 1, "connect": {}}))["error"]["code"], 101);
}

#[test]
fn the_history_of_a_room_is_bounded_in_bytes() {
    let mut world = World::new(1, |config| config.channel.history_room_max_size = 4_096);
    let alice = world.guest(0, "alice");
    world.ask(alice, json!({"id": 2, "subscribe": {"channel": "chat:a"}}));
    for n in 10..60 {
        world.ask(alice, say(n));
    }
    let kept = history(&mut world, alice);
    assert!((2..25).contains(&kept), "{kept}");
    let bytes = world.shards[0].history_bytes;
    assert!((2_048..=4_096).contains(&bytes), "{bytes}");
    // What is kept is the newest, and adds up.
    let ask = json!({"id": 99, "history": {"channel": "chat:a", "limit": 1, "reverse": true}});
    assert_eq!(world.ask(alice, ask)["history"]["publications"][0]["offset"], 50);
}

#[test]
fn a_room_keeps_its_position_for_longer_than_its_publications() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    for (meta_ttl, recovered) in [(hours(0), false), (hours(3), true)] {
        let mut world = World::new(2, |config| {
            chat(config).history_ttl = hours(1);
            chat(config).history_meta_ttl = meta_ttl;
        });
        let alice = world.guest(0, "alice");
        let join = json!({"id": 2, "subscribe": {"channel": "chat:a"}});
        world.ask(alice, join);
        world.ask(alice, say(10));
        let ask = json!({"id": 99, "history": {"channel": "chat:a", "limit": 0}});
        let epoch = world.ask(alice, ask)["history"]["epoch"].clone();
        world.cut(alice);
        world.pass(hours(2).as_millis() as u64);
        assert!(world.shards.iter().all(|s| s.history_bytes == 0));
        let back = world.guest(1, "bob");
        let join = json!({"id": 2, "subscribe":
            {"channel": "chat:a", "recover": true, "epoch": epoch, "offset": 1}});
        let reply = world.ask(back, join);
        assert_eq!(reply["subscribe"]["recovered"] == true, recovered, "{reply}");
        world.cut(back);
        world.pass(hours(2).as_millis() as u64);
        assert!(world.shards.iter().all(|s| s.homes.is_empty()), "it is forgotten in the end");
    }
}

#[test]
fn a_cache_brings_the_newest_publication() {
    use crate::config::RecoveryMode;
    let mut world = World::new(2, |config| {
        chat(config).force_recovery_mode = RecoveryMode::Cache;
    });
    let alice = world.guest(0, "alice");
    let recover = |epoch: &str, offset: u64| {
        json!({"id": 2, "subscribe":
            {"channel": "chat:a", "recover": true, "epoch": epoch, "offset": offset}})
    };
    let leave = json!({"id": 3, "unsubscribe": {"channel": "chat:a"}});
    let subscribe = |world: &mut World, epoch: &str, offset: u64| {
        let reply = world.ask(alice, recover(epoch, offset))["subscribe"].clone();
        world.ask(alice, leave.clone());
        let offsets = reply["publications"].as_array().cloned().unwrap_or_default();
        let offsets: Vec<u64> = offsets.iter().map(|p| p["offset"].as_u64().unwrap()).collect();
        (reply["recovered"] == true, offsets, reply["epoch"].as_str().unwrap().to_owned())
    };
    let (recovered, offsets, _) = subscribe(&mut world, "", 0);
    assert_eq!((recovered, offsets), (false, vec![]), "there is nothing yet");

    let writer = world.guest(1, "bob");
    world.ask(writer, json!({"id": 2, "subscribe": {"channel": "chat:a"}}));
    for n in 10..15 {
        world.ask(writer, say(n));
    }
    let (recovered, offsets, epoch) = subscribe(&mut world, "", 0);
    assert_eq!((recovered, offsets), (true, vec![5]), "the newest, without a position");
    let (recovered, offsets, _) = subscribe(&mut world, &epoch, 2);
    assert_eq!((recovered, offsets), (true, vec![5]), "not what came between");
    let (recovered, offsets, _) = subscribe(&mut world, &epoch, 5);
    assert_eq!((recovered, offsets), (true, vec![]), "it has the newest");
}

#[test]
fn joins_are_pushed_where_the_namespace_says_so() {
    for push in [true, false] {
        let mut world = World::new(2, |config| chat(config).force_push_join_leave = push);
        let alice = world.guest(0, "alice");
        let join = json!({"id": 2, "subscribe": {"channel": "chat:a"}});
        world.ask(alice, join.clone());
        world.take(alice);
        let bob = world.guest(1, "bob");
        world.ask(bob, join);
        world.cut(bob);
        world.settle();
        // With a grace period a leave may come later.
        world.pass(6_000);
        let got = world.take(alice);
        assert_eq!(got.iter().any(|text| text.contains("\"join\"")), push, "{got:?}");
        assert_eq!(got.iter().any(|text| text.contains("\"leave\"")), push, "{got:?}");
    }
}

#[test]
fn members_are_told_their_position_where_the_namespace_says_so() {
    for (recovery, positioning) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut world = World::new(2, |config| {
            chat(config).force_recovery = recovery;
            chat(config).force_positioning = positioning;
        });
        let alice = world.guest(0, "alice");
        let join = json!({"id": 2, "subscribe":
            {"channel": "chat:a", "recover": true, "epoch": "x", "offset": 0}});
        let result = world.ask(alice, join)["subscribe"].clone();
        assert_eq!(result["recoverable"] == true, recovery, "{result}");
        assert_eq!(result["was_recovering"] == true, recovery, "{result}");
        assert_eq!(result["positioned"] == true, recovery || positioning, "{result}");
        assert_eq!(result.get("epoch").is_some(), recovery || positioning, "{result}");
    }
}
