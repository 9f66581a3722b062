//! The client protocol's manners: frames with several commands, error codes, disconnect codes.

use super::support::client::PROTOCOL;
use super::support::*;
use serde_json::{Value, json};

#[test]
fn several_commands_in_one_frame() {
    // With the default interval of pings.
    let server = Server::with_args(&[]);
    let mut socket = Socket::open(server.address, PROTOCOL);
    socket.send(concat!(
        r#"{"id":1,"connect":{"name":"js","flag":1}}"#,
        "\n",
        r#"{"id":2,"subscribe":{"channel":"chat:a","flag":1}}"#,
        "\n",
        r#"{"id":3,"subscribe":{"channel":"b"}}"#,
        "\n",
        r#"{"id":4,"publish":{"channel":"b","data":"x"}}"#,
        "\n",
        r#"{"id":5,"rpc":{"method":"nothing"}}"#,
    ));
    let mut seen = Vec::new();
    let mut pushed = false;
    while seen.len() < 5 || !pushed {
        for line in socket.text().split('\n') {
            let value: Value = serde_json::from_str(line).unwrap();
            match value["id"].as_u64() {
                Some(id) => seen.push((id, value)),
                None => pushed |= value["push"]["pub"]["data"] == "x",
            }
        }
    }
    seen.sort_by_key(|(id, _)| *id);
    assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(seen[0].1["connect"]["ping"], 25);
    assert_eq!(seen[0].1["connect"]["pong"], true);
    assert_eq!(seen[1].1["subscribe"]["recoverable"], true);
    assert_eq!(seen[3].1["publish"], json!({}));
    assert_eq!(seen[4].1["error"]["code"], 104, "no such method");
}

#[test]
fn error_codes() {
    let server = Server::start(&["client.channel_limit=4"]);
    let mut sdk = Sdk::guest(server.address, "eve");
    sdk.subscribe("chat:a");
    sdk.subscribe("news");
    let mut check = |code: u32, method: &str, params: Value| {
        let error = sdk.error(method, params.clone());
        assert_eq!(error["code"], code, "{method} {params}: {error}");
        assert_eq!(error.get("temporary").is_some(), [100, 111, 113].contains(&code), "{error}");
    };
    let message = |text: &str| json!({"type": "message", "text": text});
    check(105, "subscribe", json!({"channel": "chat:a"}));
    check(102, "subscribe", json!({"channel": "nowhere:a"}));
    check(102, "publish", json!({"channel": "nowhere:a", "data": 1}));
    check(103, "subscribe", json!({"channel": "dm:#alice,bob"}));
    check(103, "publish", json!({"channel": "chat:b", "data": message("not a member")}));
    check(103, "history", json!({"channel": "chat:b", "limit": 1}));
    check(107, "subscribe", json!({"channel": ""}));
    check(107, "publish", json!({"channel": "chat:a"}));
    check(107, "publish", json!({"channel": "chat:a", "data": {"type": "nonsense"}}));
    check(107, "publish", json!({"channel": "chat:a", "data": {"type": "message"}}));
    check(
        107,
        "publish",
        json!({"channel": "chat:a", "data": {"type": "edit", "of": 99, "text": ""}}),
    );
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    check(107, "publish", json!({"channel": "news", "data": deep}));
    check(106, "subscribe", json!({"channel": "x".repeat(256)}));
    check(108, "history", json!({"channel": "news", "limit": 1}));
    check(104, "rpc", json!({"method": "nothing"}));
    check(107, "rpc", json!({"method": "nick"}));
    check(103, "presence", json!({"channel": "chat:b"}));
    check(103, "presence", json!({"channel": "news"}));
    sdk.subscribe("c");
    sdk.subscribe("d");
    let error = sdk.error("subscribe", json!({"channel": "e"}));
    assert_eq!(error["code"], 106, "a fifth room: {error}");
    sdk.ok("unsubscribe", json!({"channel": "d"}));
    sdk.subscribe("e");
    assert!(server.metric("ringchat_command_errors_total", &[]) >= 16);
}

#[test]
fn too_many_commands() {
    let settings = ["client.command_rate_limit=1", "client.command_rate_burst=10"];
    let server = Server::start(&settings);
    let mut sdk = Sdk::connect(server.address);
    let replies: Vec<Value> = (0..20).map(|_| sdk.request("ping", json!({}))).collect();
    let refused = replies.iter().filter(|r| r["error"]["code"] == 111).count();
    assert!(refused >= 8, "{replies:?}");
    let error = replies.iter().find(|r| r["error"]["code"] == 111).unwrap();
    assert_eq!(error["error"]["temporary"], true);
    // Whoever goes on regardless has to go.
    for _ in 0..1_000 {
        if sdk.socket.try_send(r#"{"id":99,"ping":{}}"#).is_err() {
            break;
        }
    }
    assert_eq!(sdk.socket.closed(), Closed::Frame(3013, "too many requests".into()));
}

#[test]
fn bad_commands_end_the_connection() {
    let server = Server::start(&[]);
    let connect = r#"{"id":1,"connect":{}}"#;
    let cases: &[(&str, &[&str])] = &[
        ("broken JSON", &["{nonsense"]),
        ("not an object", &["[1]"]),
        ("a number", &["1"]),
        ("a command before connect", &[r#"{"id":1,"subscribe":{"channel":"a"}}"#]),
        ("no id", &[r#"{"connect":{}}"#]),
        ("no id later", &[connect, r#"{"publish":{"channel":"a","data":1}}"#]),
        ("an unknown command", &[connect, r#"{"id":2,"dance":{}}"#]),
        ("an id alone", &[connect, r#"{"id":2}"#]),
        ("connect again", &[connect, r#"{"id":2,"connect":{}}"#]),
        ("broken JSON behind a good command", &["{\"id\":1,\"connect\":{}}\n{\"id\""]),
    ];
    for (what, frames) in cases {
        let mut socket = Socket::open(server.address, PROTOCOL);
        for frame in *frames {
            socket.send(frame);
        }
        assert_eq!(socket.closed(), Closed::Frame(3501, "bad request".into()), "{what}");
    }
    let count = server.metric("ringchat_disconnects_total", &[("reason", "bad_request")]);
    assert_eq!(count, cases.len() as u64);
}

#[test]
fn binary_frames_are_not_understood() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(server.address, PROTOCOL);
    socket.ws.send(tungstenite::Message::binary(vec![0, 1, 2])).unwrap();
    assert_eq!(socket.closed().code(), 3501);
    let mut socket = Socket::open(server.address, "/");
    socket.ws.send(tungstenite::Message::binary(vec![0, 1, 2])).unwrap();
    assert_eq!(socket.closed().code(), 1003);
}

#[test]
fn who_does_not_connect_is_stale() {
    let server = Server::start(&["client.stale_close_delay=2s"]);
    let mut silent = Socket::open(server.address, PROTOCOL);
    let mut sdk = Sdk::connect(server.address);
    assert_eq!(silent.closed(), Closed::Frame(3502, "stale".into()));
    assert_eq!(server.metric("ringchat_disconnects_total", &[("reason", "stale")]), 1);
    sdk.subscribe("a");
}

#[test]
fn who_does_not_answer_pings_goes() {
    let server = Server::start(&[
        "client.ping_interval=2s",
        "client.pong_timeout=1500ms",
        "client.command_rate_limit=0",
    ]);
    let mut deaf = Socket::open(server.address, PROTOCOL);
    deaf.send(r#"{"id":1,"connect":{}}"#);
    let mut sdk = Sdk::connect(server.address);
    let mut plain = Plain::open(server.address, "/");
    // The others read and answer, until the deaf one is gone.
    let deaf = std::thread::spawn(move || {
        let mut pings = 0;
        loop {
            match deaf.read() {
                Event::Text(text) => pings += usize::from(text == "{}"),
                Event::Closed(closed) => return (closed, pings),
                _ => {}
            }
        }
    });
    while !deaf.is_finished() {
        sdk.request("ping", json!({}));
        plain.say("here");
        plain.expect("from 3: here");
    }
    let (closed, pings) = deaf.join().unwrap();
    assert_eq!(closed, Closed::Frame(3012, "no pong".into()));
    assert_eq!(pings, 1);
    assert_eq!(server.metric("ringchat_disconnects_total", &[("reason", "no_pong")]), 1);
    // Of a client that answers, several more pings are waited for.
    let mut pings = 0;
    while pings < 3 {
        match plain.socket.read() {
            Event::Ping => pings += 1,
            Event::Text(line) => assert!(line.starts_with("* "), "{line}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn echo_returns_every_message() {
    let server = Server::with_args(&["--echo"]);
    let mut socket = Socket::open(server.address, "/echo");
    for text in ["", "hello", &"ä".repeat(30_000)] {
        socket.send(text);
        assert_eq!(socket.read(), Event::Text(text.into()));
    }
    socket.ws.send(tungstenite::Message::binary(vec![0; 65_536])).unwrap();
    assert_eq!(socket.read(), Event::Binary(vec![0; 65_536]));
    // Without the flag there is no such thing.
    let server = Server::start(&[]);
    assert_eq!(http::upgrade_status(server.address, "/echo", ""), 404);
}
