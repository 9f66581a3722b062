//! The server API: every method over real sockets, keys, bodies, batches, idempotency.

use super::support::http::Response;
use super::support::*;
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

const KEY: &str = "a-key-of-the-backend";

fn start(settings: &[&str]) -> Server {
    let mut all = vec!["http_api.key=a-key-of-the-backend"];
    all.extend(settings);
    Server::start(&all)
}

/// Sends `body` with `headers` (lines, each with its line break) and returns the answer.
fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> Response {
    let length = body.len();
    http::request(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
        ),
    )
}

/// Calls a method with the key and returns the whole answer.
fn call(address: SocketAddr, method: &str, body: Value) -> Value {
    let headers = format!("X-API-Key: {KEY}\r\n");
    let response = post(address, &format!("/api/{method}"), &headers, &body.to_string());
    assert_eq!(response.status, 200, "{method} {body}: {response:?}");
    assert!(response.head.to_lowercase().contains("content-type: application/json"));
    serde_json::from_str(&response.body).unwrap_or_else(|e| panic!("{e}: {}", response.body))
}

/// The result of a call that has to succeed.
fn ok(address: SocketAddr, method: &str, body: Value) -> Value {
    let answer = call(address, method, body);
    assert!(answer["result"].is_object() && answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

/// The code of a call's error.
fn error(address: SocketAddr, method: &str, body: Value) -> u64 {
    let answer = call(address, method, body);
    assert!(answer["error"]["message"].is_string() && answer.get("result").is_none(), "{answer}");
    answer["error"]["code"].as_u64().unwrap()
}

fn said(text: &str) -> Value {
    json!({"type": "message", "text": text})
}

#[test]
fn only_with_the_key() {
    let server = start(&[]);
    let status = |path: &str, headers: &str| post(server.address, path, headers, "{}").status;
    assert_eq!(status("/api/info", ""), 401);
    for wrong in ["", "x", "a-key-of-the-backend-", "a-key-of-the-backen"] {
        assert_eq!(status("/api/info", &format!("X-API-Key: {wrong}\r\n")), 401, "{wrong:?}");
        assert_eq!(status("/api/info", &format!("Authorization: apikey {wrong}\r\n")), 401);
        assert_eq!(status(&format!("/api/info?api_key={wrong}"), ""), 401, "{wrong:?}");
    }
    assert_eq!(status("/api/info", &format!("Authorization: Bearer {KEY}\r\n")), 401);
    assert_eq!(status("/api/dance", ""), 401, "no method is named to strangers");
    assert_eq!(status("/api/info", &format!("X-API-Key: {KEY}\r\n")), 200);
    assert_eq!(status("/api/info", &format!("Authorization: apikey {KEY}\r\n")), 200);
    assert_eq!(status(&format!("/api/info?api_key={KEY}"), ""), 200);
    assert_eq!(server.metric("ringchat_http_api_unauthorized_total", &[]), 15);
    assert_eq!(server.metric("ringchat_http_api_calls_total", &[]), 3);
}

#[test]
fn without_a_key_there_is_no_api() {
    let server = Server::start(&[]);
    for headers in ["", "X-API-Key: \r\n", "X-API-Key: x\r\n"] {
        assert_eq!(post(server.address, "/api/info", headers, "{}").status, 404, "{headers:?}");
    }
}

#[test]
fn what_is_no_call() {
    let server = start(&["http_api.body_size_limit=1000", "http_api.timeout=2s"]);
    let key = format!("X-API-Key: {KEY}\r\n");
    let status = |path: &str, body: &str| post(server.address, path, &key, body).status;
    assert_eq!(status("/api/publish", "{"), 400);
    assert_eq!(status("/api/publish", "[]"), 400);
    assert_eq!(status("/api/publish", r#"{"channel":1,"data":1}"#), 400);
    assert_eq!(status("/api/batch", r#"{"commands":1}"#), 400);
    assert_eq!(status("/api/dance", "{}"), 404);
    assert_eq!(status("/api/", "{}"), 404);
    assert_eq!(status("/api/publish/x", "{}"), 404);
    assert_eq!(status("/api/info", ""), 200, "no body at all is an empty one");
    let fits = json!({"channel": "news", "data": "x".repeat(900)}).to_string();
    assert_eq!(status("/api/publish", &fits), 200);
    let large = json!({"channel": "news", "data": "x".repeat(1_000)}).to_string();
    assert_eq!(status("/api/publish", &large), 413);
    let get = format!("GET /api/info HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{key}\r\n");
    let response = http::request(server.address, &get);
    assert_eq!(response.status, 405);
    assert!(response.head.to_lowercase().contains("allow: post"), "{}", response.head);
    // A body that does not come.
    let mut stream = http::connect(server.address);
    let head = format!("POST /api/info HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n{key}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(http::read_to_end(&mut stream).status, 408);
    assert_eq!(server.metric("ringchat_http_api_refused_total", &[]), 8);
}

#[test]
fn a_publication_reaches_members_and_the_history() {
    let server = start(&[]);
    let mut members: Vec<Sdk> =
        ["ann", "bob"].iter().map(|nick| Sdk::guest(server.address, nick)).collect();
    for member in &mut members {
        member.subscribe("chat:r");
    }
    let mut plain = Plain::open(server.address, "/plain?room=r&name=pat");
    plain.expect("* pat joined");
    let body = json!({"channel": "chat:r", "data": said("hi"), "tags": {"a": "b"}});
    let first = ok(server.address, "publish", body);
    assert_eq!((&first["offset"], first["epoch"].is_string()), (&json!(1), true));
    for member in &mut members {
        let publication = member.publication();
        assert_eq!(publication["data"], said("hi"));
        assert_eq!((&publication["tags"], publication.get("info")), (&json!({"a": "b"}), None));
    }
    plain.expect("from #server: hi");
    let skipped = json!({"channel": "chat:r", "data": said("gone"), "skip_history": true});
    assert_eq!(ok(server.address, "publish", skipped), json!({}));
    // {"type": "me", "text": "waves"}
    let b64 = "eyJ0eXBlIjogIm1lIiwgInRleHQiOiAid2F2ZXMifQ==";
    let second =
        ok(server.address, "publish", json!({"channel": "chat:r", "data": 0, "b64data": b64}));
    assert_eq!(second["offset"], 2);
    for member in &mut members {
        assert_eq!(member.publication()["data"]["text"], "gone");
        assert_eq!(member.publication()["data"], json!({"type": "me", "text": "waves"}));
    }
    let history = ok(server.address, "history", json!({"channel": "chat:r", "limit": 10}));
    let texts: Vec<&Value> =
        history["publications"].as_array().unwrap().iter().map(|p| &p["data"]["text"]).collect();
    assert_eq!(texts, ["hi", "waves"]);
    assert_eq!((&history["offset"], &history["epoch"]), (&json!(2), &first["epoch"]));
    let position = ok(server.address, "history", json!({"channel": "chat:r"}));
    assert_eq!(position["publications"], json!([]));
    let since = json!({"offset": 2, "epoch": first["epoch"]});
    let before = json!({"channel": "chat:r", "limit": 10, "since": since, "reverse": true});
    let before = ok(server.address, "history", before);
    assert_eq!(before["publications"][0]["data"]["text"], "hi");
    assert_eq!(ok(server.address, "history_remove", json!({"channel": "chat:r"})), json!({}));
    let none = ok(server.address, "history", json!({"channel": "chat:r", "limit": 10}));
    assert_eq!((&none["publications"], &none["offset"]), (&json!([]), &json!(2)));
    // A room without history gives no position.
    assert_eq!(ok(server.address, "publish", json!({"channel": "news", "data": 1})), json!({}));
}

#[test]
fn errors() {
    let server = start(&[]);
    for (method, body, code) in [
        ("publish", json!({"channel": "chat:r"}), 107),
        ("publish", json!({"channel": "", "data": 1}), 107),
        ("publish", json!({"channel": "chat:r", "data": {"type": "dance"}}), 107),
        ("publish", json!({"channel": "chat:r", "data": {"type": "delete", "of": 1}}), 107),
        ("publish", json!({"channel": "nowhere:r", "data": 1}), 102),
        ("publish", json!({"channel": "x".repeat(300), "data": 1}), 106),
        ("publish", json!({"channel": "news", "data": "x".repeat(300_000)}), 106),
        ("publish", json!({"channel": "news", "data": 1, "version_epoch": "x".repeat(256)}), 107),
        ("broadcast", json!({"channels": [], "data": 1}), 107),
        ("history", json!({"channel": "news", "limit": 1}), 108),
        ("history_remove", json!({"channel": "nowhere:r"}), 102),
        ("presence", json!({"channel": "news"}), 108),
        ("presence_stats", json!({"channel": "news"}), 108),
        ("subscribe", json!({"user": "u", "channel": "nowhere:r"}), 102),
        ("subscribe", json!({"channel": "news"}), 107),
        ("unsubscribe", json!({"user": "u", "channel": "nowhere:r"}), 102),
        ("disconnect", json!({"user": "u", "disconnect": {"code": 1000, "reason": ""}}), 107),
        ("refresh", json!({}), 107),
        ("channels", json!({"pattern": "[z-a]"}), 107),
    ] {
        assert_eq!(error(server.address, method, body.clone()), code, "{method} {body}");
    }
    assert_eq!(server.metric("ringchat_http_api_errors_total", &[]), 19);
}

#[test]
fn an_error_can_be_the_status() {
    let cases = [
        ("publish", json!({"channel": "chat:r"}), 400, 107),
        ("publish", json!({"channel": "nowhere:r", "data": 1}), 404, 102),
        ("publish", json!({"channel": "x".repeat(300), "data": 1}), 400, 106),
        ("history", json!({"channel": "news", "limit": 1}), 400, 108),
        ("history", json!({"channel": "chat:r", "since": {"offset": 1, "epoch": "x"}}), 416, 112),
    ];
    let transport = "X-Centrifugo-Error-Mode: transport\r\n";
    for (settings, header) in [(&[][..], transport), (&["http_api.error_mode=transport"], "")] {
        let server = start(settings);
        let headers = format!("X-API-Key: {KEY}\r\n{header}");
        let ask = |method: &str, body: &Value| {
            post(server.address, &format!("/api/{method}"), &headers, &body.to_string())
        };
        for (method, body, status, code) in &cases {
            let response = ask(method, body);
            assert_eq!(response.status, *status, "{method} {body}");
            assert!(response.head.to_lowercase().contains("content-type: application/json"));
            let error: Value = serde_json::from_str(&response.body).unwrap();
            assert_eq!(error["code"], *code, "{method} {body}");
            assert!(error["message"].is_string(), "{error}");
        }
        // What has no error, and what has errors inside, is as ever.
        let broadcast = json!({"channels": ["nowhere:r"], "data": 1});
        let batch = json!({"commands": [{"publish": {"channel": "nowhere:r", "data": 1}}]});
        for (method, body, path) in [
            ("publish", json!({"channel": "news", "data": 1}), "/result"),
            ("broadcast", broadcast, "/result/responses/0/error"),
            ("batch", batch, "/replies/0/error"),
        ] {
            let response = ask(method, &body);
            let answer: Value = serde_json::from_str(&response.body).unwrap();
            assert_eq!((response.status, answer.pointer(path).is_some()), (200, true), "{answer}");
        }
    }
    // Another value of the header is none.
    let server = start(&[]);
    let headers = format!("X-API-Key: {KEY}\r\nX-Centrifugo-Error-Mode: other\r\n");
    assert_eq!(post(server.address, "/api/publish", &headers, "{}").status, 200);
}

#[test]
fn an_idempotency_key_publishes_once() {
    let server = start(&[]);
    let mut member = Sdk::connect(server.address);
    member.subscribe("chat:r");
    let body = |text: &str, key: &str| json!({"channel": "chat:r", "data": said(text), "idempotency_key": key});
    let first = ok(server.address, "publish", body("one", "k1"));
    assert_eq!(ok(server.address, "publish", body("one", "k1")), first);
    let address = server.address;
    let answers = in_parallel(0..8, |_, _| ok(address, "publish", body("two", "k2")));
    assert!(answers.iter().all(|answer| answer["offset"] == 2), "{answers:?}");
    assert_eq!(ok(server.address, "publish", body("three", "k3"))["offset"], 3);
    for text in ["one", "two", "three"] {
        assert_eq!(member.publication()["data"]["text"], text);
    }
}

#[test]
fn what_is_out_of_date_is_not_published() {
    let server = start(&[]);
    let mut member = Sdk::connect(server.address);
    member.subscribe("chat:r");
    let publish = |text: &str, version: u64, epoch: &str| {
        let body = json!({"channel": "chat:r", "data": said(text), "version": version,
            "version_epoch": epoch});
        ok(server.address, "publish", body)["offset"].as_u64().unwrap()
    };
    assert_eq!(publish("third", 3, "a"), 1);
    assert_eq!(publish("second", 2, "a"), 1, "where the stream stands");
    assert_eq!(publish("third", 3, "a"), 1);
    assert_eq!(publish("first of another epoch", 1, "b"), 2);
    // A broadcast looks at every room's own version; a room without history has none.
    let channels = json!(["chat:r", "chat:s", "news"]);
    let body =
        json!({"channels": channels, "data": said("all"), "version": 1, "version_epoch": "b"});
    let result = ok(server.address, "broadcast", body);
    let offsets: Vec<&Value> =
        result["responses"].as_array().unwrap().iter().map(|r| &r["result"]["offset"]).collect();
    assert_eq!(offsets, [&json!(2), &json!(1), &Value::Null]);
    assert_eq!(publish("last", 2, "b"), 3);
    for text in ["third", "first of another epoch", "last"] {
        assert_eq!(member.publication()["data"]["text"], text);
    }
    assert_eq!(server.metric("ringchat_publications_outdated_total", &[]), 3);
}

#[test]
fn a_broadcast_answers_for_every_room() {
    let server = start(&[]);
    let mut member = Sdk::connect(server.address);
    let rooms: Vec<String> = (0..300).map(|n| format!("chat:{n}")).collect();
    member.subscribe("chat:299");
    let mut channels = rooms.clone();
    channels.insert(7, "nowhere:x".into());
    let body = json!({"channels": channels, "data": said("to all"), "tags": {"a": "b"}});
    let result = ok(server.address, "broadcast", body.clone());
    let responses = result["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 301);
    assert_eq!(responses[7]["error"]["code"], 102);
    assert_eq!(responses.iter().filter(|r| r["result"]["offset"] == 1).count(), 300);
    assert_eq!(member.publication()["data"], said("to all"));
    assert_eq!(ok(server.address, "broadcast", body)["responses"][300]["result"]["offset"], 2);
}

#[test]
fn users_are_subscribed_unsubscribed_and_disconnected() {
    let server = start(&[]);
    let mut ann = Sdk::guest(server.address, "ann");
    let mut bob = Sdk::guest(server.address, "bob");
    let data = json!({"from": "backend"});
    let body = json!({"user": "~ann", "channel": "chat:r", "data": data});
    assert_eq!(ok(server.address, "subscribe", body), json!({}));
    let push = loop {
        let push = ann.push();
        if push["subscribe"].is_object() {
            break push;
        }
    };
    assert_eq!((&push["channel"], &push["subscribe"]["data"]), (&json!("chat:r"), &data));
    assert_eq!(push["subscribe"]["recoverable"], true);
    ok(server.address, "publish", json!({"channel": "chat:r", "data": said("hi")}));
    assert_eq!(ann.publication()["data"], said("hi"));
    ann.publish("chat:r", said("I am a member"));
    assert_eq!(ann.publication()["data"], said("I am a member"));
    // Somebody else's client id: nobody is meant.
    let body = json!({"user": "~ann", "channel": "chat:r", "client": bob.id()});
    ok(server.address, "unsubscribe", body);
    ok(server.address, "unsubscribe", json!({"user": "~ann", "channel": "chat:r", "session": "s"}));
    ok(server.address, "unsubscribe", json!({"user": "~ann", "channel": "chat:r"}));
    let push = loop {
        let push = ann.push();
        if push["join"].is_null() {
            break push;
        }
    };
    assert_eq!(push["unsubscribe"], json!({"code": 2000, "reason": "server unsubscribe"}));
    let body = json!({"channel": "chat:r", "data": said("no member")});
    assert_eq!(ann.error("publish", body)["code"], 103);
    let whitelist = json!([ann.id()]);
    ok(server.address, "disconnect", json!({"user": "~ann", "whitelist": whitelist}));
    ann.ok("ping", json!({}));
    ok(server.address, "disconnect", json!({"user": "~ann"}));
    assert_eq!(ann.socket.closed(), Closed::Frame(3503, "force disconnect".into()));
    let custom = json!({"code": 4321, "reason": "try later"});
    ok(server.address, "disconnect", json!({"user": "~bob", "disconnect": custom}));
    assert_eq!(bob.socket.closed(), Closed::Frame(4321, "try later".into()));
    assert_eq!(server.metric("ringchat_disconnects_total", &[("reason", "forced")]), 2);
}

#[test]
fn a_room_that_cannot_be_made_is_not_subscribed_in_silence() {
    let server = start(&["channel.rooms_max=2"]);
    // One room for each worker; which is whose differs from run to run.
    let publish = |n: u32| json!({"channel": format!("chat:{n}"), "data": said("hi")});
    let kept: Vec<bool> = (0..64)
        .map(|n| call(server.address, "publish", publish(n)).get("result").is_some())
        .collect();
    assert_eq!((kept[0], kept.iter().filter(|kept| **kept).count()), (true, 2));
    let mut ann = Sdk::guest(server.address, "ann");
    let subscribe = |user: &str, room: &str| json!({"user": user, "channel": room});
    assert_eq!(error(server.address, "subscribe", subscribe("~ann", "chat:new")), 106);
    // Where nobody would join it, nothing is refused.
    ok(server.address, "subscribe", subscribe("~nobody", "chat:new"));
    ok(server.address, "subscribe", subscribe("~ann", "chat:0"));
    let push = ann.push();
    assert_eq!((&push["channel"], push["subscribe"].is_object()), (&json!("chat:0"), true));
}

#[test]
fn a_subscription_has_information_and_an_end() {
    let server = start(&["client.expired_sub_close_delay=0s"]);
    let mut ann = Sdk::guest(server.address, "ann");
    let mut bob = Sdk::guest(server.address, "bob");
    bob.subscribe("chat:r");
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let subscribe = |more: Value| {
        let mut body = json!({"user": "~ann", "channel": "chat:r"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    assert_eq!(error(server.address, "subscribe", subscribe(json!({"expire_at": now_s - 1}))), 110);
    let more = json!({"info": {"role": "owner"}, "expire_at": now_s + 2,
        "override": {"force_push_join_leave": {"value": false}}});
    ok(server.address, "subscribe", subscribe(more));
    let join = loop {
        let push = bob.push();
        if push["join"]["info"]["user"] == "~ann" {
            break push["join"]["info"].clone();
        }
    };
    assert_eq!(join["chan_info"], json!({"role": "owner"}));
    assert!(ann.push()["subscribe"].is_object());
    // No joins in between, and by itself:
    assert_eq!(ann.push()["unsubscribe"]["code"], 2501);
}

#[test]
fn a_connection_is_refreshed_and_expires() {
    let server = start(&["client.allow_guests=true"]);
    let mut ann = Sdk::guest(server.address, "ann");
    assert_eq!(ok(server.address, "refresh", json!({"user": "~ann"})), json!({}));
    assert_eq!(ann.push()["refresh"], json!({}));
    assert_eq!(
        error(server.address, "refresh", json!({"user": "~ann", "expire_at": 9_999_999_999_u64})),
        108
    );
    assert_eq!(ok(server.address, "refresh", json!({"user": "~ann", "expired": true})), json!({}));
    assert_eq!(ann.socket.closed(), Closed::Frame(3005, "connection expired".into()));
}

#[test]
fn what_there_is() {
    let server = start(&[]);
    let mut sdks: Vec<Sdk> =
        ["ann", "bob", "cat"].iter().map(|nick| Sdk::guest(server.address, nick)).collect();
    for (sdk, rooms) in sdks.iter_mut().zip([["chat:a", "news"], ["chat:a", "b"], ["chat:c", "b"]])
    {
        rooms.iter().for_each(|room| _ = sdk.subscribe(room));
    }
    let nobody = Sdk::connect(server.address);
    let all = ok(server.address, "channels", json!({}));
    let count = |n: u32| json!({"num_clients": n});
    let expect = json!({"chat:a": count(2), "chat:c": count(1), "b": count(2), "news": count(1)});
    assert_eq!(all["channels"], expect);
    let some = ok(server.address, "channels", json!({"pattern": "chat:*"}));
    assert_eq!(some["channels"], json!({"chat:a": count(2), "chat:c": count(1)}));
    let info = ok(server.address, "info", json!({}));
    let nodes = info["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1);
    for (field, expect) in
        [("num_clients", 4), ("num_users", 3), ("num_channels", 4), ("num_subs", 6)]
    {
        assert_eq!(nodes[0][field], expect, "{field} of {info}");
    }
    assert!(nodes[0]["uid"].is_string() && nodes[0]["name"].is_string(), "{info}");
    assert!(nodes[0]["version"].is_string() && nodes[0]["uptime"].is_u64(), "{info}");
    drop(nobody);
}

#[test]
fn who_is_in_a_room() {
    let server = start(&[]);
    let mut ann = Sdk::guest(server.address, "ann");
    ann.subscribe("chat:r");
    let all = ok(server.address, "presence", json!({"channel": "chat:r"}));
    let expect = json!({"user": "~ann", "client": ann.id(), "conn_info": {"nick": "ann"}});
    assert_eq!(all["presence"], json!({ann.id(): expect}));
    let counts = ok(server.address, "presence_stats", json!({"channel": "chat:r"}));
    assert_eq!(counts, json!({"num_clients": 1, "num_users": 1}));
}

#[test]
fn batches() {
    let server = start(&[]);
    let commands = json!([
        {"publish": {"channel": "chat:r", "data": said("one")}},
        {"publish": {"channel": "nowhere:r", "data": 1}},
        {"dance": {}},
        {"publish": {"channel": 5}},
        {"broadcast": {"channels": ["chat:r"], "data": said("two")}},
        {"history": {"channel": "chat:r", "limit": 9}},
        {"info": {}},
    ]);
    let answer = call(server.address, "batch", json!({"commands": commands}));
    let replies = answer["replies"].as_array().unwrap();
    assert_eq!(replies.len(), 7, "{answer}");
    assert_eq!(replies[0]["publish"]["offset"], 1);
    for (at, code) in [(1, 102), (2, 104), (3, 107)] {
        assert_eq!(replies[at]["error"]["code"], code, "{}", replies[at]);
    }
    assert_eq!(replies[4]["broadcast"]["responses"][0]["result"]["offset"], 2);
    let past = &replies[5]["history"]["publications"];
    assert_eq!(past.as_array().map(Vec::len), Some(2), "carried out in order");
    assert!(replies[6]["info"]["nodes"].is_array());
    let many: Vec<Value> = (0..200)
        .map(|n| json!({"publish": {"channel": format!("chat:p{n}"), "data": said("x")}}))
        .collect();
    let answer = call(server.address, "batch", json!({"commands": many, "parallel": true}));
    let replies = answer["replies"].as_array().unwrap();
    assert_eq!(replies.iter().filter(|r| r["publish"]["offset"] == 1).count(), 200);
    assert_eq!(call(server.address, "batch", json!({"commands": []})), json!({"replies": []}));
    assert_eq!(server.metric("ringchat_http_api_calls_total", &[]), 4 + 200);
    assert_eq!(server.metric("ringchat_http_api_errors_total", &[]), 3);
}

#[test]
fn one_connection_carries_many_calls() {
    let server = start(&[]);
    let mut stream = http::connect(server.address);
    for n in 1..=20 {
        let body = json!({"channel": "chat:r", "data": said("x")}).to_string();
        let request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&http::read_one(&mut stream).body).unwrap();
        assert_eq!(answer["result"]["offset"], n);
    }
}
