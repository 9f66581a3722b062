//! The methods of `rpc`, over several shards.

use super::*;

/// The result of a call, or the code of the error.
fn call(world: &mut World, index: usize, method: &str, data: Value) -> Result<Value, u64> {
    world.settle();
    world.take(index);
    world.say(index, json!({"id": 9, "rpc": {"method": method, "data": data}}));
    world.settle();
    let got = world.take(index);
    match find(&got, "error") {
        Some(error) => Err(error["code"].as_u64().unwrap()),
        None => {
            Ok(find(&got, "rpc").unwrap_or_else(|| panic!("no answer: {got:?}"))["data"].take())
        }
    }
}

fn subscribe(world: &mut World, index: usize, room: &str) {
    world.say(index, json!({"id": 2, "subscribe": {"channel": room}}));
    world.settle();
}

/// Names and members of the rooms.
fn rooms(world: &mut World, index: usize) -> Vec<(String, u64)> {
    let result = call(world, index, "rooms", Value::Null).unwrap();
    let room = |room: &Value| {
        let name = room["channel"].as_str().unwrap().to_owned();
        (name, room["members"].as_u64().unwrap())
    };
    result["rooms"].as_array().unwrap().iter().map(room).collect()
}

#[test]
fn who_am_i() {
    let mut world = World::new(2, |_| {});
    let alice = world.guest(0, "alice");
    let told = call(&mut world, alice, "whoami", Value::Null).unwrap();
    let client = ClientId(alice as u128 + 1).to_string();
    assert_eq!(told, json!({"user": "~alice", "client": client, "nick": "alice"}));
    let nobody = world.client(1);
    let told = call(&mut world, nobody, "whoami", json!({})).unwrap();
    assert_eq!((&told["user"], told.get("nick")), (&json!(""), None));
    assert_eq!(call(&mut world, nobody, "dance", Value::Null), Err(104));
}

#[test]
fn public_rooms_of_all_shards_largest_first() {
    let mut world = World::new(3, |_| {});
    let alice = world.guest(0, "alice");
    let bob = world.guest(1, "bob");
    assert_eq!(rooms(&mut world, alice), []);
    for room in ["chat:a", "chat:b", "chat:c", "news", "typing:a"] {
        subscribe(&mut world, alice, room);
    }
    subscribe(&mut world, alice, "dm:#~alice,~bob");
    subscribe(&mut world, bob, "chat:b");
    let topic = json!({"type": "topic", "text": "tea \"time\""});
    world.say(bob, json!({"id": 3, "publish": {"channel": "chat:b", "data": topic}}));
    world.pass(1_000);
    let expect = [("chat:b", 2), ("chat:a", 1), ("chat:c", 1)];
    assert_eq!(rooms(&mut world, bob), expect.map(|(name, n)| (name.to_owned(), n)));
    let listed = call(&mut world, alice, "rooms", Value::Null).unwrap();
    assert_eq!(listed["rooms"][0]["topic"], "tea \"time\"");
    assert_eq!(listed["rooms"][1].get("topic"), None);
    // A list is good for a second.
    world.cut(bob);
    assert_eq!(rooms(&mut world, alice)[0], ("chat:b".to_owned(), 2));
    world.pass(1_000);
    assert_eq!(rooms(&mut world, alice)[0], ("chat:a".to_owned(), 1));
    world.cut(alice);
    world.assert_empty();
}

#[test]
fn many_who_ask_at_once_are_answered_by_one_walk() {
    let mut world = World::new(3, |_| {});
    let clients: Vec<_> = (0..30).map(|n| world.client(n % 2)).collect();
    subscribe(&mut world, clients[0], "chat:a");
    clients.iter().for_each(|index| drop(world.take(*index)));
    let ask = json!({"id": 5, "rpc": {"method": "rooms"}});
    for index in &clients {
        // What follows waits for the answer.
        let ping = json!({"id": 6, "ping": {}});
        world.send(*index, &format!("{ask}\n{ping}"));
    }
    world.cut(clients[7]);
    world.settle();
    for index in clients.iter().filter(|index| **index != clients[7]) {
        let got = world.take(*index);
        assert_eq!(got.len(), 2, "{got:?}");
        assert!(got[0].contains("chat:a") && got[1].contains("ping"), "{got:?}");
    }
}

#[test]
fn a_shard_that_does_not_answer() {
    let mut world = World::new(2, |_| {});
    let alice = world.client(0);
    world.settle();
    world.take(alice);
    world.say(alice, json!({"id": 5, "rpc": {"method": "rooms"}}));
    world.end_turn(0);
    world.lanes.clear();
    world.pass(4_999);
    assert_eq!(world.take(alice), [""; 0]);
    world.pass(1);
    assert_eq!(find(&world.take(alice), "error").unwrap()["code"], 100);
    assert_eq!(rooms(&mut world, alice), [], "the next one is answered");
}

#[test]
fn a_guest_takes_another_nick() {
    let mut world = World::new(3, |_| {});
    let alice = world.guest(0, "alice");
    let bob = world.guest(1, "bob");
    subscribe(&mut world, alice, "chat:r");
    subscribe(&mut world, bob, "chat:r");
    world.take(bob);
    let told = call(&mut world, alice, "nick", json!({"nick": "carol"})).unwrap();
    assert_eq!(told["nick"], "carol");
    let pushes = world.take(bob);
    assert!(pushes[0].contains("\"leave\"") && pushes[0].contains("~alice"), "{pushes:?}");
    assert!(pushes[1].contains("\"join\"") && pushes[1].contains("~carol"), "{pushes:?}");
    let data = json!({"type": "message", "text": "it is me"});
    world.say(alice, json!({"id": 3, "publish": {"channel": "chat:r", "data": data}}));
    world.settle();
    let publication = find(&world.take(bob), "push").unwrap();
    assert_eq!(publication["pub"]["info"]["conn_info"]["nick"], "carol");
    world.say(bob, json!({"id": 4, "presence": {"channel": "chat:r"}}));
    world.settle();
    let present = find(&world.take(bob), "presence").unwrap()["presence"].to_string();
    assert!(present.contains("~carol") && !present.contains("~alice"), "{present}");
    // What is taken gets a number; the proof holds for the next connection.
    let told = call(&mut world, bob, "nick", json!({"nick": "carol"})).unwrap();
    assert_eq!(told["nick"], "carol-2");
    let again = call(&mut world, bob, "nick", json!({"nick": "carol-2"})).unwrap();
    assert_eq!(again, told);
    world.cut(bob);
    let back = world.open(2, Endpoint::Protocol);
    world.say(back, json!({"id": 1, "connect": {"data": told}}));
    world.settle();
    assert_eq!(find(&world.take(back), "connect").unwrap()["data"]["nick"], "carol-2");
    // The nick that was given up is free again after its grace.
    world.pass(30_000);
    let late = world.guest(1, "alice");
    assert_eq!(find(&world.take(late), "connect").unwrap()["data"]["nick"], "alice");
}

#[test]
fn who_may_not_take_another_nick() {
    let mut world = World::new(2, |_| {});
    let alice = world.guest(0, "alice");
    let nick = |nick: &str| json!({"nick": nick});
    for bad in [json!(null), json!({}), json!("x"), nick("a:b"), nick("~x"), nick(" x")] {
        assert_eq!(call(&mut world, alice, "nick", bad), Err(107));
    }
    let nobody = world.client(1);
    assert_eq!(call(&mut world, nobody, "nick", nick("x")), Err(103));
    subscribe(&mut world, alice, "dm:#~alice,~bob");
    assert_eq!(call(&mut world, alice, "nick", nick("x")), Err(103), "it would not be let in");
    world.say(alice, json!({"id": 3, "unsubscribe": {"channel": "dm:#~alice,~bob"}}));
    assert_eq!(call(&mut world, alice, "nick", nick("x")).unwrap()["nick"], "x");
    // The connection ends while the nick's home is asked.
    world.say(alice, json!({"id": 4, "rpc": {"method": "nick", "data": {"nick": "y"}}}));
    world.cut(alice);
    world.settle();
    world.pass(30_000);
    for name in ["x", "y"] {
        let index = world.guest(1, name);
        assert_eq!(find(&world.take(index), "connect").unwrap()["data"]["nick"], name);
    }
}
