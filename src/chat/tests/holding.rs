//! Publications that wait for more (`fanout.max_delay`): what is held, until when, and that nobody
//! who comes or goes meanwhile misses any or gets one twice.

use super::*;
use std::time::Duration;

const DELAY_MS: u64 = 5;
const ROOM: &str = "chat:r";

fn world(shards: usize) -> World {
    World::new(shards, |config| {
        config.fanout.max_delay = Duration::from_millis(DELAY_MS);
        config.presence.announce_max = 0;
    })
}

/// A client that is in the room and has read everything.
fn member(world: &mut World, shard: usize) -> usize {
    let index = world.client(shard);
    subscribe(world, index, json!({"channel": ROOM}));
    world.pass(DELAY_MS);
    world.take(index);
    index
}

fn subscribe(world: &mut World, index: usize, subscribe: Value) {
    world.say(index, json!({"id": 2, "subscribe": subscribe}));
    world.settle();
}

fn publish(world: &mut World, index: usize, text: &str) {
    let data = json!({"type": "message", "text": text});
    world.say(index, json!({"id": 3, "publish": {"channel": ROOM, "data": data}}));
    world.settle();
}

/// The texts of the publications that the client has got since the last look.
fn texts(world: &mut World, index: usize) -> Vec<String> {
    let got = world.take(index);
    let text = |line: &String| {
        let value: Value = serde_json::from_str(line).ok()?;
        Some(value["push"]["pub"]["data"]["text"].as_str()?.to_owned())
    };
    got.iter().filter_map(text).collect()
}

#[test]
fn several_turns_leave_in_one_send() {
    let mut world = world(2);
    let (writer, other) = (member(&mut world, 0), member(&mut world, 1));
    let sends = world.clients[other].sends;
    for (n, text) in ["a", "b", "c"].into_iter().enumerate() {
        publish(&mut world, writer, text);
        assert!(find(&world.take(writer), "publish").is_some(), "replies do not wait");
        world.pass(u64::from(n < 2));
    }
    // Two milliseconds have passed since the first.
    world.pass(DELAY_MS - 3);
    assert_eq!(texts(&mut world, other), [""; 0]);
    world.pass(1);
    assert_eq!(texts(&mut world, other), ["a", "b", "c"]);
    assert_eq!(texts(&mut world, writer), ["a", "b", "c"]);
    assert_eq!(world.clients[other].sends, sends + 1);
    assert_eq!(world.count(|m| m.deliveries.get()), 6);
}

#[test]
fn the_deadline_is_asked_for_and_only_then() {
    let mut world = world(1);
    let writer = member(&mut world, 0);
    let before = world.shards[0].next_deadline_ms();
    publish(&mut world, writer, "a");
    assert_eq!(world.shards[0].next_deadline_ms(), Some(world.now.mono_ms + DELAY_MS));
    assert!(!world.shards[0].is_dirty(), "no turn follows for it");
    world.pass(DELAY_MS);
    assert_eq!(world.shards[0].next_deadline_ms(), before);

    // Without a delay nothing waits.
    let mut world = World::new(1, |_| {});
    let writer = member(&mut world, 0);
    let before = world.shards[0].next_deadline_ms();
    publish(&mut world, writer, "a");
    assert_eq!(texts(&mut world, writer), ["a"]);
    assert_eq!(world.shards[0].next_deadline_ms(), before);
}

#[test]
fn a_room_with_much_does_not_wait() {
    let mut world = world(1);
    let writer = member(&mut world, 0);
    // 64 KiB are the most that a room holds.
    let text = "x".repeat(16_000);
    (0..4).for_each(|_| publish(&mut world, writer, &text));
    assert_eq!(texts(&mut world, writer).len(), 0);
    publish(&mut world, writer, &text);
    assert_eq!(texts(&mut world, writer).len(), 5);
    // The next waits again, and what is left of the first wait ends it early at most.
    publish(&mut world, writer, "next");
    world.pass(DELAY_MS);
    assert_eq!(texts(&mut world, writer), ["next"]);
    world.cut(writer);
    world.pass(DELAY_MS);
    world.assert_empty();
}

#[test]
fn many_rooms_together_do_not_overflow_an_outbox() {
    let mut world = World::new(1, |config| {
        config.fanout.max_delay = Duration::from_millis(DELAY_MS);
        config.client.queue_max_size = 40_000;
    });
    let reader = world.client(0);
    let writer = world.client(0);
    for n in 0..100 {
        subscribe(&mut world, reader, json!({"channel": format!("r{n}")}));
    }
    world.take(reader);
    // No time passes, and each room has far less than it may hold.
    for n in 0..100 {
        let data = "x".repeat(1_000);
        let channel = format!("r{n}");
        world.say(writer, json!({"id": 3, "publish": {"channel": channel, "data": data}}));
        world.settle();
    }
    let early = world.take(reader).len();
    assert!((85..100).contains(&early), "{early}: all but a quarter of an outbox");
    world.pass(DELAY_MS);
    assert_eq!(early + world.take(reader).len(), 100);
    assert_eq!(world.clients[reader].closed, None);
    world.cut(reader);
    world.cut(writer);
    world.assert_empty();
}

#[test]
fn who_joins_meanwhile_gets_what_comes_from_then_on() {
    let mut world = world(2);
    let writer = member(&mut world, 0);
    let gone = member(&mut world, 1);
    publish(&mut world, writer, "a");
    world.pass(DELAY_MS);
    world.cut(gone);
    publish(&mut world, writer, "b");
    let (late, back) = (world.client(0), world.client(0));
    subscribe(&mut world, late, json!({"channel": ROOM}));
    let epoch = find(&world.take(late), "subscribe").expect("joined")["epoch"].clone();
    let recover = json!({"channel": ROOM, "recover": true, "epoch": epoch, "offset": 1});
    subscribe(&mut world, back, recover);
    let missed = find(&world.take(back), "subscribe").expect("joined");
    assert_eq!(missed["publications"].as_array().map(Vec::len), Some(1), "what is held, too");
    publish(&mut world, writer, "c");
    world.pass(DELAY_MS);
    assert_eq!(texts(&mut world, late), ["c"]);
    assert_eq!(texts(&mut world, back), ["c"]);
    assert_eq!(texts(&mut world, writer), ["a", "b", "c"]);
}

#[test]
fn who_leaves_meanwhile_gets_what_is_held_first() {
    let mut world = world(1);
    let (writer, leaver) = (member(&mut world, 0), member(&mut world, 0));
    publish(&mut world, writer, "a");
    publish(&mut world, writer, "b");
    world.say(leaver, json!({"id": 4, "unsubscribe": {"channel": ROOM}}));
    world.settle();
    let got = world.take(leaver);
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(got[0].contains("\"a\"") && got[1].contains("\"b\""), "before the reply: {got:?}");
    assert!(got[2].contains("\"unsubscribe\""));
    // Back in the same wait: nothing twice.
    subscribe(&mut world, leaver, json!({"channel": ROOM}));
    publish(&mut world, writer, "c");
    world.pass(DELAY_MS);
    assert_eq!(texts(&mut world, leaver), ["c"]);
    assert_eq!(texts(&mut world, writer), ["a", "b", "c"]);
}

#[test]
fn who_is_closed_meanwhile_gets_what_is_held_first() {
    let mut world = world(1);
    let writer = member(&mut world, 0);
    let [broken, slow, cut] = [(); 3].map(|()| member(&mut world, 0));
    publish(&mut world, writer, "a");
    world.cut(cut);
    world.send(broken, "no command");
    assert_eq!(world.clients[broken].closed, Some((3501, "bad request")));
    assert_eq!(texts(&mut world, broken), ["a"]);
    // A slow one is cut off without more, as ever.
    world.clients[slow].stuck = true;
    for _ in 0..80 {
        publish(&mut world, writer, &"x".repeat(16_000));
        world.take(writer);
        world.pass(1);
    }
    assert_eq!(world.clients[slow].closed, Some((3008, "slow")));
    world.cut(writer);
    // Nobody is left: the room goes when its time has come.
    world.pass(DELAY_MS);
    world.assert_empty();
}

#[test]
fn a_drain_does_not_wait() {
    let mut world = world(2);
    let (writer, other) = (member(&mut world, 0), member(&mut world, 1));
    publish(&mut world, writer, "a");
    (0..2).for_each(|shard| world.step(shard, Input::Drain));
    world.settle();
    assert!(world.shards.iter().all(Shard::drained));
    assert_eq!(texts(&mut world, other), ["a"]);
    assert_eq!(texts(&mut world, writer), ["a"]);
}
