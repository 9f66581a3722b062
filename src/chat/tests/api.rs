//! What the server API asks of shards: publications, histories, sessions of a user.

use super::*;
use crate::chat::api::{
    Answer, Counts, Disconnect, History, Outcome, Post, Request, Subscribe, Target,
};
use crate::chat::auth::Overrides;
use crate::chat::ids::RoomName;
use crate::protocol::codes;
use crate::protocol::content::SharedContent;
use globset::Glob;

mod subscriptions;

impl World {
    fn call(&mut self, shard: usize, request: Request) -> Answer {
        self.step(shard, Input::Api { ticket: 7, request: Box::new(request) });
        let (ticket, answer) = self.effects[shard].answers.pop().expect("answered at once");
        assert_eq!((ticket, self.effects[shard].answers.len()), (7, 0));
        answer
    }

    /// Asks a room's home.
    pub(super) fn ask_home(&mut self, room: &str, request: Request) -> Answer {
        self.call(self.settings.home(room).index(), request)
    }

    /// Asks every shard and lets everything come to rest; the first error, if there is one.
    fn ask_all(&mut self, request: &Request) -> Answer {
        let answers: Vec<Answer> =
            (0..self.shards.len()).map(|shard| self.call(shard, request.clone())).collect();
        self.settle();
        answers.into_iter().find(Result::is_err).unwrap_or(Ok(Outcome::Done))
    }

    pub(super) fn publish(&mut self, room: &str, post: Post) -> Answer {
        let request = Request::Publish { room: RoomName::from(room), post: Arc::new(post) };
        let answer = self.ask_home(room, request);
        self.settle();
        answer
    }

    /// The history as the API gives it.
    pub(super) fn past(&mut self, room: &str, limit: i32, since: Option<(String, u64)>) -> Value {
        let history = History { room: RoomName::from(room), limit, since, reverse: false };
        match self.ask_home(room, Request::History(history)) {
            Ok(Outcome::Object(object)) => serde_json::from_str(&object).unwrap(),
            Err(error) => json!(error.code),
            other => panic!("{other:?}"),
        }
    }

    fn join(&mut self, index: usize, room: &str) {
        self.say(index, json!({"id": 2, "subscribe": {"channel": room}}));
        self.settle();
        assert!(find(&self.take(index), "subscribe").is_some());
    }
}

pub(super) fn post(data: &str) -> Post {
    Post {
        content: SharedContent::Json(data.into()),
        tags: None,
        skip_history: false,
        idempotency_key: None,
        version: None,
    }
}

pub(super) fn said(text: &str) -> Post {
    post(&json!({"type": "message", "text": text}).to_string())
}

fn user(name: &str) -> Target {
    Target { user: name.into(), ..Target::default() }
}

pub(super) fn offset(answer: Answer) -> Option<u64> {
    match answer {
        Ok(Outcome::Published(kept)) => kept.map(|(_, offset)| offset),
        other => panic!("{other:?}"),
    }
}

/// The only publication in what a client got.
fn publication(got: &[String]) -> Value {
    let pushes: Vec<Value> = got.iter().map(|t| serde_json::from_str(t).unwrap()).collect();
    let mut pubs = pushes.iter().filter(|p| p["push"]["pub"].is_object());
    let found = pubs.next().unwrap_or_else(|| panic!("no publication: {got:?}"));
    assert!(pubs.next().is_none(), "{got:?}");
    found["push"]["pub"].clone()
}

fn subscribe(target: Target, room: &str) -> Subscribe {
    Subscribe {
        target,
        room: RoomName::from(room),
        data: None,
        recover: None,
        info: None,
        overrides: Overrides::default(),
        expires_at: None,
        refused: None,
    }
}

#[test]
fn publications_of_nobody() {
    let mut world = World::new(3, |_| {});
    let json = world.guest(0, "alice");
    world.join(json, "chat:r");
    let plain = world.plain(1, "chat:r", Some("bob"));
    world.settle();
    world.take(json);
    world.take(plain);
    let tags = Some(Arc::new([("k".into(), "v".into())].into()));
    assert_eq!(offset(world.publish("chat:r", Post { tags, ..said("hi") })), Some(1));
    let publication = publication(&world.take(json));
    assert_eq!(publication["data"], json!({"type": "message", "text": "hi"}));
    assert_eq!(publication["tags"], json!({"k": "v"}));
    assert_eq!((publication["offset"].as_u64(), publication.get("info")), (Some(1), None));
    assert_eq!(world.take(plain), ["from #server: hi"]);
    let past = world.past("chat:r", -1, None);
    assert_eq!(past["publications"][0], publication, "kept as it was pushed");
    assert_eq!((&past["offset"], past["epoch"].is_string()), (&json!(1), true));
}

#[test]
fn what_skips_the_history_takes_no_offset() {
    let mut world = World::new(2, |_| {});
    let reader = world.guest(0, "alice");
    world.join(reader, "chat:r");
    assert_eq!(offset(world.publish("chat:r", said("1"))), Some(1));
    world.take(reader);
    let skipped = Post { skip_history: true, ..said("2") };
    assert_eq!(offset(world.publish("chat:r", skipped)), None);
    let pushed = publication(&world.take(reader));
    assert_eq!((&pushed["data"]["text"], pushed.get("offset")), (&json!("2"), None));
    assert_eq!(offset(world.publish("chat:r", said("3"))), Some(2), "no gap");
    let past = world.past("chat:r", 10, None);
    assert_eq!(past["publications"].as_array().map(Vec::len), Some(2));
    // A room without history keeps nothing, and knows no offset.
    assert_eq!(offset(world.publish("news", post("1"))), None);
    assert_eq!(world.past("news", 1, None), 108);
}

#[test]
fn the_rules_of_rooms_hold_for_the_api() {
    let mut world = World::new(2, |config| config.client.queue_max_size = 4_096);
    let alice = world.guest(0, "alice");
    world.join(alice, "chat:r");
    let theirs = json!({"id": 3, "publish": {"channel": "chat:r", "data":
        {"type": "message", "text": "hers"}}});
    world.say(alice, theirs);
    world.settle();
    let mut refused = |room: &str, data: Value| {
        let answer = world.publish(room, post(&data.to_string()));
        answer.err().map(|error| error.code)
    };
    let message = json!({"type": "message", "text": "x"});
    assert_eq!(refused("", message.clone()), Some(107));
    assert_eq!(refused("nowhere:x", message.clone()), Some(102));
    assert_eq!(refused(&"x".repeat(256), message.clone()), Some(106));
    assert_eq!(refused("chat:r", json!({"text": "x"})), Some(107));
    assert_eq!(refused("chat:r", json!({"type": "delete", "of": 1})), Some(103), "not its own");
    assert_eq!(refused("chat:r", json!({"type": "edit", "of": 9, "text": "x"})), Some(107));
    assert_eq!(refused("chat:r", message.clone()), None);
    assert_eq!(refused("chat:r", json!({"type": "delete", "of": 2})), None, "its own");
    assert_eq!(refused("free", json!("x".repeat(1_100))), Some(106), "a quarter of the queue");
    assert_eq!(refused("dm:#a,b", message), None, "no permission is needed");
    // Nobody else may delete what the backend wrote.
    assert_eq!(refused("chat:r", json!({"type": "message", "text": "y"})), None);
    world.take(alice);
    world.say(
        alice,
        json!({"id": 4, "publish": {"channel": "chat:r", "data": {"type": "delete", "of": 4}}}),
    );
    world.settle();
    assert_eq!(find(&world.take(alice), "error").map(|e| e["code"].clone()), Some(json!(103)));
}

#[test]
fn an_idempotency_key_publishes_once() {
    let mut world = World::new(2, |_| {});
    let reader = world.guest(1, "alice");
    world.join(reader, "chat:r");
    let keyed = |key: &str| Post { idempotency_key: Some(key.into()), ..said("hi") };
    let first = world.publish("chat:r", keyed("k"));
    assert_eq!(world.publish("chat:r", keyed("k")), first);
    publication(&world.take(reader));
    assert_eq!(offset(world.publish("chat:r", keyed("l"))), Some(2));
    assert_eq!(offset(world.publish("chat:s", keyed("k"))), Some(1), "it acts per room");
    // What was refused is not remembered.
    let bad = Post { idempotency_key: Some("m".into()), ..post("{}") };
    assert_eq!(world.publish("chat:r", bad), Err(codes::BAD_REQUEST));
    assert_eq!(offset(world.publish("chat:r", keyed("m"))), Some(3));
    world.now.mono_ms += 5 * 60 * 1_000;
    assert_eq!(offset(world.publish("chat:r", keyed("k"))), Some(4), "after five minutes");
}

#[test]
fn forgotten_keys_are_counted() {
    let mut world = World::new(1, |config| config.http_api.idempotency_keys_max = 2);
    for key in ["a", "b", "c"] {
        let keyed = Post { idempotency_key: Some(key.into()), ..post("1") };
        assert_eq!(offset(world.publish("r", keyed)), None);
    }
    assert_eq!(world.count(|m| m.idempotency_keys_forgotten.get()), 1);
}

#[test]
fn histories_and_their_end() {
    let mut world = World::new(2, |_| {});
    let member = world.guest(0, "alice");
    world.join(member, "chat:r");
    for text in ["1", "2", "3"] {
        world.publish("chat:r", said(text)).unwrap();
    }
    let all = world.past("chat:r", -1, None);
    assert_eq!(all["publications"].as_array().map(Vec::len), Some(3));
    assert_eq!(world.past("chat:r", 0, None)["publications"], json!([]));
    let epoch = all["epoch"].as_str().unwrap().to_owned();
    let since = world.past("chat:r", 1, Some((epoch.clone(), 1)));
    assert_eq!(since["publications"][0]["data"]["text"], "2");
    assert_eq!(world.past("chat:r", 1, Some(("x".into(), 1))), 112);
    let removed = world.ask_home("chat:r", Request::HistoryRemove(RoomName::from("chat:r")));
    assert_eq!(removed, Ok(Outcome::Done));
    let none = world.past("chat:r", -1, None);
    assert_eq!(none, json!({"publications": [], "epoch": epoch, "offset": 3}));
    assert_eq!(world.count(|m| m.history_bytes.get()), 0);
    assert_eq!(offset(world.publish("chat:r", said("4"))), Some(4), "the stream goes on");
    let homes = world.shards.iter().flat_map(|shard| shard.homes.iter());
    let kept: usize = homes.map(|(_, home)| home.history_bytes()).sum();
    assert_eq!(world.count(|m| m.history_bytes.get()), kept as u64, "counted anew");
    let removed = world.ask_home("news", Request::HistoryRemove(RoomName::from("news")));
    assert_eq!(removed, Err(codes::NOT_AVAILABLE));
}

#[test]
fn who_is_in_a_room() {
    let mut world = World::new(2, |config| config.presence.max_members = 2);
    let object = |answer: Answer| match answer {
        Ok(Outcome::Object(object)) => serde_json::from_str::<Value>(&object).unwrap(),
        Err(error) => json!(error.code),
        other => panic!("{other:?}"),
    };
    let who = |world: &mut World, room: &str| {
        let list = world.ask_home(room, Request::Presence(room.into()));
        let stats = world.ask_home(room, Request::PresenceStats(room.into()));
        (object(list), object(stats))
    };
    let counts = |clients: u32, users: u32| json!({"num_clients": clients, "num_users": users});
    assert_eq!(who(&mut world, "chat:r"), (json!({"presence": {}}), counts(0, 0)));
    assert_eq!(who(&mut world, "news"), (json!(108), json!(108)), "a room without presence");
    assert_eq!(who(&mut world, "x:r"), (json!(102), json!(102)));
    let alice = world.guest(0, "alice");
    world.join(alice, "chat:r");
    world.plain(1, "chat:r", Some("bob"));
    world.settle();
    let (list, stats) = who(&mut world, "chat:r");
    let client = world.client_id(alice);
    let expect = json!({"user": "~alice", "client": client, "conn_info": {"nick": "alice"}});
    assert_eq!((&list["presence"][&client], stats), (&expect, counts(2, 2)));
    assert_eq!(list["presence"].as_object().map(|all| all.len()), Some(2));
    world.plain(1, "chat:r", None);
    world.settle();
    assert_eq!(who(&mut world, "chat:r"), (json!(106), counts(3, 3)), "counted, not listed");
}

#[test]
fn users_are_disconnected() {
    let mut world = World::new(2, |_| {});
    let a = world.guest(0, "alice");
    let b = world.plain(1, "chat:r", Some("bob"));
    let nobody = world.client(1);
    let unsaid = world.open(0, Endpoint::Protocol);
    world.settle();
    let disconnect = |world: &mut World, target: Target, whitelist: Vec<String>, code: u16| {
        let reason = "because".to_owned();
        let request = Disconnect { target, whitelist, code, reason };
        assert_eq!(world.ask_all(&Request::Disconnect(Box::new(request))), Ok(Outcome::Done));
        world.clients.iter().map(|c| c.closed).collect::<Vec<_>>()
    };
    let (keep, only) = (world.client_id(a), world.client_id(nobody));
    let closed = disconnect(&mut world, user("~alice"), vec![keep], 4_000);
    assert_eq!(closed, [None; 4], "whitelisted");
    let closed = disconnect(&mut world, user("~alice"), vec![], 4_000);
    assert_eq!(closed, [Some((4_000, "because")), None, None, None]);
    let closed = disconnect(&mut world, user("~bob"), vec![], 3_503);
    assert_eq!(closed[b], Some((3_503, "because")));
    let target = Target { client: Some(only), ..Target::default() };
    let closed = disconnect(&mut world, target, vec![], 4_500);
    assert_eq!((closed[nobody], closed[unsaid]), (Some((4_500, "because")), None));
    assert_eq!(world.count(|m| m.closed_forced.get()), 3);
}

#[test]
fn connections_are_refreshed() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let mut world = World::new(2, |config| {
        config.client.token.hmac_secret_key = KEY.into();
        config.client.allow_guests = Some(true);
    });
    let now_s = world.now.unix_ms / 1_000;
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let token = encode(&Header::default(), &json!({"sub": "42", "exp": now_s + 60}), &key).unwrap();
    let user_42 = world.open(1, Endpoint::Protocol);
    world.say(user_42, json!({"id": 1, "connect": {"token": token}}));
    let guest = world.guest(0, "alice");
    world.take(user_42);
    world.take(guest);
    let refresh = |world: &mut World, target: Target, expires_at: Option<u64>| {
        world.ask_all(&Request::Refresh { target, expires_at })
    };
    let push = |world: &mut World, index: usize| find(&world.take(index), "push").unwrap();
    assert_eq!(refresh(&mut world, user("42"), Some(now_s + 90)), Ok(Outcome::Done));
    let expect = json!({"refresh": {"expires": true, "ttl": 90}});
    assert_eq!(push(&mut world, user_42), expect);
    assert_eq!(refresh(&mut world, user("42"), None), Ok(Outcome::Done));
    assert_eq!(push(&mut world, user_42), json!({"refresh": {}}));
    let later = Some(now_s + 90);
    assert_eq!(refresh(&mut world, user("~alice"), later), Err(codes::NOT_AVAILABLE));
    assert_eq!(refresh(&mut world, user("42"), Some(0)), Ok(Outcome::Done));
    assert_eq!(world.clients[user_42].closed, Some((3005, "connection expired")));
    assert_eq!(world.clients[guest].closed, None);
}

#[test]
fn rooms_and_counts() {
    let mut world = World::new(2, |_| {});
    let a = world.guest(0, "alice");
    let b = world.guest(1, "bob");
    world.client(1);
    world.join(a, "chat:one");
    world.join(b, "chat:one");
    world.join(b, "news");
    world.publish("chat:empty", said("nobody is here")).unwrap();
    let channels = |world: &mut World, pattern: Option<&str>| {
        let pattern = pattern.map(|p| Glob::new(p).unwrap().compile_matcher());
        let mut all: Vec<(String, usize)> = Vec::new();
        for shard in 0..2 {
            match world.call(shard, Request::Channels(pattern.clone())) {
                Ok(Outcome::Channels(rooms)) => {
                    all.extend(rooms.iter().map(|(room, n)| (room.to_string(), *n)));
                }
                other => panic!("{other:?}"),
            }
        }
        all.sort();
        all
    };
    let all = channels(&mut world, None);
    assert_eq!(all, [("chat:one".to_owned(), 2), ("news".to_owned(), 1)]);
    assert_eq!(channels(&mut world, Some("chat:*")), [("chat:one".to_owned(), 2)]);
    let mut total = Counts::default();
    for shard in 0..2 {
        match world.call(shard, Request::Info) {
            Ok(Outcome::Info(counts)) => {
                total.clients += counts.clients;
                total.subscriptions += counts.subscriptions;
                total.channels += counts.channels;
                total.users.extend(counts.users);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((total.clients, total.subscriptions, total.channels), (3, 3, 2));
    assert_eq!(total.users.len(), 2, "anonymous clients are no users");
}

#[test]
fn a_shard_that_shuts_down_takes_no_calls() {
    let mut world = World::new(2, |_| {});
    (0..2).for_each(|shard| world.step(shard, Input::Drain));
    assert_eq!(world.publish("r", post("1")), Err(codes::INTERNAL));
    assert_eq!(world.call(0, Request::Info), Err(codes::INTERNAL));
}
