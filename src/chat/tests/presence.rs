//! Who is in a room, asked and announced, over several shards.

use super::*;
use std::collections::BTreeSet;
use std::time::Duration;

const ROOM: &str = "chat:r";
const GRACE_MS: u64 = 5_000;

/// Nobody has to answer a ping while a test lets time pass.
fn patient(config: &mut Config) {
    config.client.ping_interval = Duration::from_secs(3_600);
}

/// A client with a nick, in the room.
fn member(world: &mut World, shard: usize, nick: &str) -> usize {
    let index = world.guest(shard, nick);
    subscribe(world, index);
    index
}

fn subscribe(world: &mut World, index: usize) {
    world.say(index, json!({"id": 2, "subscribe": {"channel": ROOM}}));
    world.settle();
}

/// The result of a presence command, or the code of the error.
fn ask(world: &mut World, index: usize, command: &str, room: &str) -> Result<Value, u64> {
    world.settle();
    world.take(index);
    world.say(index, json!({"id": 9, command: {"channel": room}}));
    world.settle();
    let got = world.take(index);
    match find(&got, "error") {
        Some(error) => Err(error["code"].as_u64().unwrap()),
        None => Ok(find(&got, command).unwrap_or_else(|| panic!("no answer: {got:?}"))),
    }
}

/// The users who are there.
fn users(world: &mut World, index: usize) -> Vec<String> {
    let result = ask(world, index, "presence", ROOM).unwrap();
    let all = result["presence"].as_object().unwrap();
    for (client, info) in all {
        assert_eq!(info["client"], client.as_str());
    }
    let mut users: Vec<_> =
        all.values().map(|info| info["user"].as_str().unwrap().to_owned()).collect();
    users.sort_unstable();
    users
}

fn stats(world: &mut World, index: usize) -> (u64, u64) {
    let result = ask(world, index, "presence_stats", ROOM).unwrap();
    (result["num_clients"].as_u64().unwrap(), result["num_users"].as_u64().unwrap())
}

/// What was announced to the client since the last look: `+user` and `-user`.
fn announced(world: &mut World, index: usize) -> Vec<String> {
    let user = |push: &Value| push["info"]["user"].as_str().unwrap_or_default().to_owned();
    let line = |text: &String| {
        let value: Value = serde_json::from_str(text).ok()?;
        let push = value.get("push")?;
        let join = push.get("join").map(|join| format!("+{}", user(join)));
        join.or_else(|| push.get("leave").map(|leave| format!("-{}", user(leave))))
    };
    let got = world.take(index);
    got.iter().filter_map(line).collect()
}

#[test]
fn who_is_there() {
    let mut world = World::new(3, |_| {});
    let alice = member(&mut world, 0, "alice");
    assert_eq!(users(&mut world, alice), ["~alice"]);
    let second = world.open(1, Endpoint::Protocol);
    world.say(second, json!({"id": 1, "connect": {}}));
    subscribe(&mut world, second);
    let plain = world.plain(2, ROOM, Some("bob"));
    world.settle();
    assert_eq!(users(&mut world, alice), ["", "~alice", "~bob"]);
    assert_eq!(stats(&mut world, second), (3, 3));
    world.cut(second);
    world.settle();
    world.say(alice, json!({"id": 3, "unsubscribe": {"channel": ROOM}}));
    world.settle();
    assert_eq!(ask(&mut world, alice, "presence", ROOM), Err(103), "for members");
    subscribe(&mut world, alice);
    assert_eq!(users(&mut world, alice), ["~alice", "~bob"], "at once, without a grace period");
    world.cut(plain);
    world.settle();
    assert_eq!(stats(&mut world, alice), (2, 2), "he may be back within the grace period");
    world.pass(GRACE_MS);
    assert_eq!(stats(&mut world, alice), (1, 1));
    world.cut(alice);
    world.assert_empty();
}

#[test]
fn what_cannot_be_asked() {
    let mut world = World::new(2, |config| {
        config.presence.max_members = 2;
        config.channel.namespaces[0].options.allow_presence_for_client = true;
        config.channel.without_namespace.allow_presence_for_client = true;
    });
    let outside = world.guest(0, "eve");
    assert_eq!(users(&mut world, outside), [""; 0], "a room that is not there");
    assert_eq!(world.shards.iter().map(|s| s.homes.len()).sum::<usize>(), 0, "and is not made");
    assert_eq!(ask(&mut world, outside, "presence", "nope:x"), Err(102));
    assert_eq!(ask(&mut world, outside, "presence", ""), Err(107));
    assert_eq!(ask(&mut world, outside, "presence", "news"), Err(108));
    assert_eq!(ask(&mut world, outside, "presence_stats", "news"), Err(108));
    for n in 0..2 {
        member(&mut world, n, &format!("m{n}"));
    }
    assert_eq!(users(&mut world, outside), ["~m0", "~m1"]);
    member(&mut world, 1, "m2");
    assert_eq!(ask(&mut world, outside, "presence", ROOM), Err(106), "too many to be listed");
    assert_eq!(stats(&mut world, outside), (3, 3), "but not to be counted");
}

#[test]
fn a_list_that_does_not_fit_is_refused() {
    let mut world = World::new(1, |config| config.client.queue_max_size = 1_200);
    let members: Vec<_> = (0..20).map(|n| world.plain(0, ROOM, Some(&format!("m{n}")))).collect();
    world.settle();
    members.iter().for_each(|index| drop(world.take(*index)));
    let asker = member(&mut world, 0, "asker");
    assert_eq!(ask(&mut world, asker, "presence", ROOM), Err(106));
    assert_eq!(stats(&mut world, asker), (21, 21));
    assert!(world.clients[asker].open);
}

#[test]
fn a_flapping_client_is_not_announced() {
    let mut world = World::new(3, patient);
    let watcher = member(&mut world, 0, "watcher");
    let bob = member(&mut world, 1, "bob");
    assert_eq!(announced(&mut world, watcher), ["+~watcher", "+~bob"]);
    let data = find(&world.take(bob), "connect").expect("connected")["data"].clone();
    let mut last = bob;
    for _ in 0..5 {
        world.cut(last);
        world.pass(GRACE_MS - 1);
        last = world.open(2, Endpoint::Protocol);
        // The nick, and the proof that it was granted.
        world.say(last, json!({"id": 1, "connect": {"data": data}}));
        subscribe(&mut world, last);
    }
    world.pass(2 * GRACE_MS);
    assert_eq!(announced(&mut world, watcher), [""; 0]);
    assert_eq!(users(&mut world, watcher), ["~bob", "~watcher"]);
    world.take(watcher);
    world.cut(last);
    world.pass(GRACE_MS - 1);
    assert_eq!(announced(&mut world, watcher), [""; 0]);
    world.pass(1);
    assert_eq!(announced(&mut world, watcher), ["-~bob"]);
    world.cut(watcher);
    world.assert_empty();
}

#[test]
fn without_grace_everything_is_announced() {
    let mut world = World::new(2, |config| config.presence.grace = Duration::ZERO);
    let watcher = member(&mut world, 0, "watcher");
    let bob = world.plain(1, ROOM, Some("bob"));
    world.settle();
    world.cut(bob);
    world.settle();
    assert_eq!(announced(&mut world, watcher), ["+~watcher", "+~bob", "-~bob"]);
}

#[test]
fn who_asks_in_between_has_the_same_picture() {
    let mut world = World::new(3, patient);
    let watcher = member(&mut world, 0, "watcher");
    let bob = member(&mut world, 1, "bob");
    let connected = find(&world.take(bob), "connect").expect("connected");
    let (data, first) = (connected["data"].clone(), connected["client"].clone());
    // Bob is away when ann comes, and back before anybody was told.
    world.cut(bob);
    world.settle();
    let ann = member(&mut world, 2, "ann");
    assert_eq!(users(&mut world, ann), ["~ann", "~bob", "~watcher"]);
    let back = world.open(2, Endpoint::Protocol);
    world.say(back, json!({"id": 1, "connect": {"data": data}}));
    subscribe(&mut world, back);
    world.pass(2 * GRACE_MS);
    assert_eq!(announced(&mut world, ann), [""; 0]);
    let listed = ask(&mut world, ann, "presence", ROOM).unwrap()["presence"].clone();
    assert!(listed.get(first.as_str().unwrap()).is_some(), "as he was announced: {listed}");
    world.take(watcher);
    // The leave names whom the list named.
    world.cut(back);
    world.pass(GRACE_MS);
    for index in [ann, watcher] {
        let push = find(&world.take(index), "push").expect("a leave");
        assert_eq!(push["leave"]["info"]["client"], first);
    }
}

#[test]
fn a_storm_leaves_no_ghosts() {
    const COUNT: usize = 1_000;
    let mut world = World::new(3, |config| {
        patient(config);
        config.presence.max_members = 2 * COUNT;
    });
    let watcher = member(&mut world, 0, "watcher");
    let name = |n: usize| format!("u{n}");
    let come = |world: &mut World, n: usize| {
        let proof = crate::chat::auth::resume_proof(&keys(), &name(n));
        let data = json!({"nick": name(n), "resume": proof});
        let index = world.open(n % 3, Endpoint::Protocol);
        world.say(index, json!({"id": 1, "connect": {"data": data}}));
        world.say(index, json!({"id": 2, "subscribe": {"channel": ROOM}}));
        index
    };
    let mut clients: Vec<usize> = (0..COUNT).map(|n| come(&mut world, n)).collect();
    world.settle();
    assert_eq!(stats(&mut world, watcher), (1_001, 1_001));
    // All break at once, and are back in another order, some before their old connection is
    // known to be gone.
    for round in 0..3 {
        let (first, second) = clients.split_at(COUNT / 2);
        first.iter().for_each(|index| world.cut(*index));
        let mut back: Vec<_> = (0..COUNT).rev().map(|n| come(&mut world, n)).collect();
        second.iter().for_each(|index| world.cut(*index));
        world.settle();
        back.reverse();
        clients = back;
        assert_eq!(announced(&mut world, watcher), [""; 0], "the room is too large to be told");
        assert_eq!(stats(&mut world, watcher), (1_001, 1_001), "round {round}");
        world.pass(2 * GRACE_MS);
        assert_eq!(announced(&mut world, watcher), [""; 0], "round {round}");
    }
    let mut expect: Vec<_> = (0..COUNT).map(|n| format!("~{}", name(n))).collect();
    expect.push("~watcher".into());
    expect.sort_unstable();
    assert_eq!(users(&mut world, watcher), expect);
    // Everybody goes at once.
    clients.iter().for_each(|index| world.cut(*index));
    world.settle();
    let presence = |shard: &Shard| {
        shard
            .homes
            .iter()
            .find_map(|(_, home)| home.presence.as_ref())
            .map(|presence| presence.connection_stats())
    };
    assert_eq!(world.shards.iter().find_map(presence), Some((1, 1)), "at once");
    world.pass(GRACE_MS);
    let told = announced(&mut world, watcher);
    assert_eq!(users(&mut world, watcher), ["~watcher"]);
    assert_eq!(stats(&mut world, watcher), (1, 1));
    assert!(told.len() <= 100, "no flood: {}", told.len());
    assert!(told.iter().all(|line| line.starts_with('-')));
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len());
    world.cut(watcher);
    world.assert_empty();
    assert!(world.shards.iter().all(|shard| shard.homes.is_empty()), "nothing is kept");
}

#[test]
fn presence_that_is_switched_on_knows_who_is_here() {
    for room in ["chat:0", "chat:1", "chat:2", "chat:3", "chat:4"] {
        let known = |on: bool| {
            move |config: &mut Config| {
                patient(config);
                let chat = &mut config.channel.namespaces[0].options;
                (chat.presence, chat.join_leave) = (on, on);
                chat.force_push_join_leave = on;
            }
        };
        let mut world = World::new(3, known(false));
        let come = |world: &mut World, shard: usize| {
            let index = world.client(shard);
            world.say(index, json!({"id": 2, "subscribe": {"channel": room}}));
            index
        };
        let [ann, bob, cat] = [0, 1, 2].map(|shard| come(&mut world, shard));
        world.settle();
        // The shards swap one after the other, and clients come and go meanwhile.
        let swap = |world: &mut World, shard: usize, on: bool| {
            let mut config = world.settings.config.clone();
            known(on)(&mut config);
            let settings = Arc::new(Settings::new(config, 3, keys()));
            world.step(shard, Input::Settings(settings));
        };
        swap(&mut world, 1, true);
        let dan = come(&mut world, 0);
        let eve = come(&mut world, 1);
        world.settle();
        let far = come(&mut world, 2);
        swap(&mut world, 0, true);
        world.cut(bob);
        let gone = come(&mut world, 2);
        swap(&mut world, 2, true);
        world.cut(gone);
        world.settle();
        let present = |world: &World| {
            let homes = world.shards.iter().flat_map(|shard| shard.homes.iter());
            let known = homes.filter_map(|(_, home)| home.presence.as_ref());
            known.flat_map(|p| p.connections().map(|a| a.client.0)).collect::<BTreeSet<u128>>()
        };
        let ids = |all: &[usize]| all.iter().map(|n| *n as u128 + 1).collect::<BTreeSet<u128>>();
        assert_eq!(present(&world), ids(&[ann, cat, dan, eve, far]), "{room}");
        // Off and on again: nobody who went meanwhile is a ghost.
        (0..3).for_each(|shard| swap(&mut world, shard, false));
        world.cut(ann);
        world.settle();
        swap(&mut world, 2, true);
        world.cut(far);
        swap(&mut world, 0, true);
        swap(&mut world, 1, true);
        world.settle();
        assert_eq!(present(&world), ids(&[cat, dan, eve]), "{room}");
        [cat, dan, eve].into_iter().for_each(|index| world.cut(index));
        world.settle();
        world.assert_empty();
    }
}
