//! Rooms that the backend brings users into, and takes them out of.

use super::*;

#[test]
fn a_user_is_subscribed_and_unsubscribed() {
    let mut world = World::new(3, |config| config.presence.grace = std::time::Duration::ZERO);
    // Two connections of one user (the second took the nick over with proof), one of another.
    let first = world.guest(0, "alice");
    let data = find(&world.take(first), "connect").unwrap()["data"].clone();
    let second = world.open(1, Endpoint::Protocol);
    world.say(second, json!({"id": 1, "connect": {"data": data}}));
    let other = world.guest(2, "bob");
    world.settle();
    world.join(first, "chat:r");
    for index in [first, second, other] {
        world.take(index);
    }
    world.publish("chat:r", said("before")).unwrap();
    world.take(first);
    let data = Some("{\"a\":1}".into());
    let request = Subscribe { data, ..subscribe(user("~alice"), "chat:r") };
    let request = Request::Subscribe(Box::new(request));
    assert_eq!(world.ask_all(&request), Ok(Outcome::Done));
    let joined = world.take(first);
    assert!(find(&joined, "push").is_some_and(|p| p["join"].is_object()), "{joined:?}");
    assert!(!joined.iter().any(|t| t.contains("\"subscribe\"")), "it was a member already");
    let push = find(&world.take(second), "push").unwrap();
    let told = &push["subscribe"];
    assert_eq!((&push["channel"], &told["data"]), (&json!("chat:r"), &json!({"a": 1})));
    assert_eq!((&told["offset"], &told["recoverable"]), (&json!(1), &json!(true)));
    assert_eq!(world.take(other), [""; 0]);
    world.publish("chat:r", said("hi")).unwrap();
    publication(&world.take(first));
    publication(&world.take(second));
    assert_eq!(world.take(other), [""; 0]);
    // Only one of them goes, by its client id.
    let client = world.client_id(first);
    let target = Target { client: Some(client), ..user("~alice") };
    let request = Request::Unsubscribe { target, room: RoomName::from("chat:r") };
    assert_eq!(world.ask_all(&request), Ok(Outcome::Done));
    let push = find(&world.take(first), "push").unwrap();
    let expect = json!({"code": 2000, "reason": "server unsubscribe"});
    assert_eq!((&push["channel"], &push["unsubscribe"]), (&json!("chat:r"), &expect));
    let left = world.take(second);
    assert!(find(&left, "push").is_some_and(|p| p["leave"].is_object()), "{left:?}");
    world.publish("chat:r", said("for one")).unwrap();
    assert_eq!(world.take(first), [""; 0]);
    publication(&world.take(second));
    for index in [first, second, other] {
        world.cut(index);
    }
    world.assert_empty();
}

#[test]
fn a_server_side_subscription_recovers() {
    let mut world = World::new(2, |_| {});
    for text in ["1", "2", "3"] {
        world.publish("chat:r", said(text)).unwrap();
    }
    let epoch = world.past("chat:r", 0, None)["epoch"].as_str().unwrap().to_owned();
    let mut check = |recover: (String, u64), expect: &[u64]| {
        let index = world.guest(0, "alice");
        world.take(index);
        let target = Target { client: Some(world.client_id(index)), ..user(&world.user(index)) };
        let recover = Some(recover);
        let request = Subscribe { recover, ..subscribe(target, "chat:r") };
        assert_eq!(world.ask_all(&Request::Subscribe(Box::new(request))), Ok(Outcome::Done));
        let pushes = world.take(index);
        let pushes: Vec<Value> = pushes.iter().map(|t| serde_json::from_str(t).unwrap()).collect();
        assert_eq!(pushes[0]["push"]["subscribe"]["offset"], 3, "the subscription first");
        let offsets: Vec<u64> =
            pushes.iter().filter_map(|p| p["push"]["pub"]["offset"].as_u64()).collect();
        assert_eq!(offsets, expect);
    };
    check((epoch.clone(), 1), &[2, 3]);
    check((epoch, 3), &[]);
    check(("another".into(), 1), &[]);
}

#[test]
fn protobuf_clients_are_told_the_same() {
    let mut world = World::new(2, |_| {});
    assert_eq!(offset(world.publish("chat:r", said("1"))), Some(1));
    let epoch = world.past("chat:r", 0, None)["epoch"].as_str().unwrap().to_owned();
    let index = world.protobuf_client(1);
    world.settle();
    world.take(index);
    let target = Target { client: Some(world.client_id(index)), ..Target::default() };
    let (data, recover) = (Some(Bytes::from_static(b"[7]")), Some((epoch, 0)));
    let request = Subscribe { data, recover, ..subscribe(target.clone(), "chat:r") };
    assert_eq!(world.ask_all(&Request::Subscribe(Box::new(request))), Ok(Outcome::Done));
    let got = world.take(index);
    let told = find(&got[..1], "push").unwrap();
    assert_eq!((&told["channel"], &told["subscribe"]["data"]), (&json!("chat:r"), &json!([7])));
    assert_eq!(told["subscribe"]["offset"], 1);
    assert_eq!(publication(&got)["data"], json!({"type": "message", "text": "1"}));
    let tags = Some(Arc::new([("k".into(), "v".into())].into()));
    world.publish("chat:r", Post { tags, ..said("2") }).unwrap();
    let got = publication(&world.take(index));
    assert_eq!((&got["tags"], got.get("info")), (&json!({"k": "v"}), None));
    let room = RoomName::from("chat:r");
    assert_eq!(world.ask_all(&Request::Unsubscribe { target, room }), Ok(Outcome::Done));
    let told = find(&world.take(index), "push").unwrap();
    assert_eq!(told["unsubscribe"]["code"], 2000);
    // Bytes that are no JSON, in a room without chat rules.
    let binary = || Post { content: SharedContent::Binary([0, 255].into()), ..post("0") };
    assert_eq!(world.publish("chat:r", binary()), Err(codes::BAD_REQUEST));
    world.say(index, json!({"id": 5, "subscribe": {"channel": "news"}}));
    world.settle();
    world.take(index);
    assert_eq!(offset(world.publish("news", binary())), None);
    assert_eq!(publication(&world.take(index))["data"], "AP8=");
}

#[test]
fn an_unsubscribe_meets_a_join_under_way() {
    let mut world = World::new(3, |_| {});
    let room = (0..).map(|n| format!("chat:{n}"));
    let room = room.into_iter().find(|r| world.settings.home(r).index() == 2).unwrap();
    let alice = world.guest(0, "alice");
    world.take(alice);
    // The answer of the home is still on its way, and a command behind it waits.
    world.say(alice, json!({"id": 2, "subscribe": {"channel": room}}));
    let target = user("~alice");
    let request = Request::Unsubscribe { target, room: RoomName::from(room.as_str()) };
    assert_eq!(world.call(0, request), Ok(Outcome::Done));
    world.say(alice, json!({"id": 3, "subscribe": {"channel": room}}));
    world.settle();
    let got: Vec<Value> =
        world.take(alice).iter().map(|t| serde_json::from_str(t).unwrap()).collect();
    let order: Vec<(u64, bool)> = got
        .iter()
        .filter(|v| v["push"]["join"].is_null() && v["push"]["leave"].is_null())
        .map(|v| (v["id"].as_u64().unwrap_or(0), v["push"]["unsubscribe"].is_object()))
        .collect();
    assert_eq!(order, [(2, false), (0, true), (3, false)], "{got:?}");
    world.publish(&room, said("once")).unwrap();
    publication(&world.take(alice));
    world.cut(alice);
    world.assert_empty();
}

#[test]
fn a_subscription_has_information_options_and_an_end() {
    let mut world = World::new(2, |config| {
        config.client.expired_sub_close_delay = std::time::Duration::ZERO;
        config.client.ping_interval = std::time::Duration::from_secs(3_600);
    });
    let bob = world.guest(0, "bob");
    world.join(bob, "chat:r");
    let alice = world.guest(1, "alice");
    world.settle();
    world.take(bob);
    world.take(alice);
    let now_s = world.now.unix_ms / 1_000;
    let request = Subscribe {
        info: Some(r#"{"role":"owner"}"#.into()),
        overrides: Overrides { force_push_join_leave: Some(false), ..Overrides::default() },
        expires_at: Some(now_s + 10),
        ..subscribe(user("~alice"), "chat:r")
    };
    assert_eq!(world.ask_all(&Request::Subscribe(Box::new(request))), Ok(Outcome::Done));
    let join = find(&world.take(bob), "push").unwrap()["join"]["info"].clone();
    let info = |conn: &Value| (conn["conn_info"].clone(), conn["chan_info"].clone());
    assert_eq!(info(&join), (json!({"nick": "alice"}), json!({"role": "owner"})));
    let told = world.take(alice);
    assert!(find(&told, "push").is_some_and(|p| p["subscribe"].is_object()), "{told:?}");
    assert_eq!(told.len(), 1, "she is not told of joins: {told:?}");
    world.pass(11_000);
    let push = find(&world.take(alice), "push").unwrap();
    assert_eq!(push["unsubscribe"], json!({"code": 2501, "reason": "subscription expired"}));
    world.cut(alice);
    world.cut(bob);
    world.assert_empty();
}

#[test]
fn what_cannot_be_subscribed() {
    let mut world = World::new(2, |config| config.client.channel_limit = 1);
    let alice = world.guest(0, "alice");
    let plain = world.plain(1, "chat:lobby", Some("bob"));
    world.settle();
    let mut check = |request: Subscribe, expect: Answer| {
        assert_eq!(world.ask_all(&Request::Subscribe(Box::new(request))), expect);
    };
    let done = Ok(Outcome::Done);
    check(subscribe(user("~alice"), "nowhere:x"), Err(codes::UNKNOWN_CHANNEL));
    let over = Subscribe { expires_at: Some(1_700_000_000), ..subscribe(user("~alice"), "chat:r") };
    check(over, Err(codes::EXPIRED_ERROR));
    let session = Target { session: true, ..user("~alice") };
    check(subscribe(session, "chat:r"), done.clone());
    check(subscribe(user("~bob"), "chat:r"), done.clone());
    check(subscribe(user("~alice"), "chat:r"), done);
    check(subscribe(user("~alice"), "chat:s"), Err(codes::LIMIT_EXCEEDED));
    // A room that its home refuses matters to those only who would join it.
    let refused = |target: Target, room: &str| {
        let refused = Some(codes::INTERNAL);
        Subscribe { refused, ..subscribe(target, room) }
    };
    check(refused(user("~alice"), "chat:r"), Ok(Outcome::Done));
    check(refused(user("~nobody"), "chat:s"), Ok(Outcome::Done));
    let got = world.take(alice);
    assert_eq!(got.iter().filter(|t| t.contains("\"subscribe\":{")).count(), 1, "{got:?}");
    let carol = world.guest(0, "carol");
    let request = Request::Subscribe(Box::new(refused(user("~carol"), "chat:s")));
    assert_eq!(world.ask_all(&request), Err(codes::INTERNAL));
    assert!(!world.take(carol).iter().any(|t| t.contains("\"subscribe\":{")));
    // A plain client has nothing without its room.
    world.take(plain);
    let request = Request::Unsubscribe { target: user("~bob"), room: "chat:lobby".into() };
    assert_eq!(world.ask_all(&request), Ok(Outcome::Done));
    assert_eq!(world.take(plain), ["* you were taken out of the room"]);
    assert_eq!(world.clients[plain].closed, Some((3503, "force disconnect")));
}

#[test]
fn a_room_that_can_be_joined() {
    let mut world = World::new(1, |config| config.channel.rooms_max = 1);
    let open = |world: &mut World, room: &str| world.ask_home(room, Request::Open(room.into()));
    for room in ["chat:one", "chat:two"] {
        assert_eq!(open(&mut world, room), Ok(Outcome::Done), "asking makes no room");
    }
    let alice = world.guest(0, "alice");
    world.join(alice, "chat:one");
    assert_eq!(open(&mut world, "chat:one"), Ok(Outcome::Done));
    assert_eq!(open(&mut world, "chat:two"), Err(codes::LIMIT_EXCEEDED));
    world.cut(alice);
    world.settle();
    assert_eq!(open(&mut world, "chat:two"), Ok(Outcome::Done));
    assert_eq!(open(&mut world, "nowhere:x"), Err(codes::UNKNOWN_CHANNEL));
}
