//! Tokens: made by `ringchat token`, checked with secrets, key files and key endpoints, and
//! running out.

use super::support::server::BINARY;
use super::support::*;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const SECRET: &str = "client.token.hmac_secret_key=0123456789abcdef0123456789abcdef";
const RSA: &str = include_str!("../../src/chat/auth/test_keys/rsa.pem");
const P256: &str = include_str!("../../src/chat/auth/test_keys/p256.pem");

/// Runs `ringchat token` with the secret.
fn token(args: &[&str]) -> String {
    let run = Run::new(&[&["--set", SECRET, "token"], args].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    run.output.trim().to_owned()
}

fn connect(server: &Server, token: &str) -> Value {
    let mut socket = Socket::open(server.address, client::PROTOCOL);
    socket.send(&json!({"id": 1, "connect": {"token": token}}).to_string());
    match socket.read() {
        Event::Text(text) => serde_json::from_str(&text).unwrap(),
        Event::Closed(closed) => json!({"closed": closed.code()}),
        other => panic!("{other:?}"),
    }
}

fn rsa_key() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap()
}

fn ec_key() -> EncodingKey {
    EncodingKey::from_ec_pem(P256.as_bytes()).unwrap()
}

fn signed(algorithm: Algorithm, kid: &str, key: &EncodingKey) -> String {
    let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
    encode(&header, &json!({"sub": "42"}), key).unwrap()
}

/// Connects with a token whose key is not known yet: the client is to try again.
fn assert_try_again(server: &Server, token: &str) {
    let reply = connect(server, token);
    assert_eq!(reply["error"]["code"], 100, "{reply}");
    assert_eq!(reply["error"]["temporary"], true, "{reply}");
}

/// Connects until the server says that the token is not ours.
fn eventually_refused(server: &Server, token: &str) {
    let closed = eventually("a refusal", || connect(server, token).get("closed").cloned());
    assert_eq!(closed, 3500);
}

fn key_set(algorithm: Algorithm, kid: &str, key: &EncodingKey) -> String {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.into());
    json!({ "keys": [jwk] }).to_string()
}

#[test]
fn a_token_from_the_command_line_is_taken() {
    let server = Server::start(&[SECRET]);
    let info = json!({"name": "Ann"});
    let good = token(&["--user", "42", "--info", &info.to_string()]);
    let mut sdk = Sdk::connect_with(server.address, json!({"token": good}));
    assert_eq!(sdk.connected["expires"], true);
    assert!(sdk.connected["ttl"].as_u64().unwrap() > 3_500);
    sdk.subscribe("room");
    sdk.publish("room", json!(1));
    let publication = sdk.publication();
    assert_eq!(publication["info"]["user"], "42");
    assert_eq!(publication["info"]["conn_info"], info);

    assert!(connect(&server, &token(&["--user", "42", "--ttl", "0s"]))["connect"].is_object());
    assert_eq!(connect(&server, &format!("{good}x")), json!({"closed": 3500}));
    let run = Run::new(&["token", "--user", "42"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.output.contains("client.token.hmac_secret_key is not set"), "{run:?}");
}

#[test]
fn a_token_for_a_room_opens_it() {
    let server = Server::start(&[SECRET, "client.expired_sub_close_delay=0s"]);
    let mut sdk = Sdk::connect_with(server.address, json!({"token": token(&["--user", "42"])}));
    let room = "$chat:secret";
    assert_eq!(sdk.error("subscribe", json!({"channel": room}))["code"], 103);
    let other = token(&["--user", "43", "--channel", room]);
    let error = sdk.error("subscribe", json!({"channel": room, "token": other}));
    assert_eq!(error["code"], 103);
    // It is none to connect with.
    assert_eq!(connect(&server, &other), json!({"closed": 3500}));

    let short = token(&["--user", "42", "--channel", room, "--ttl", "4s"]);
    let result = sdk.ok("subscribe", json!({"channel": room, "token": short}));
    assert_eq!(result["expires"], true);
    sdk.publish(room, json!({"type": "message", "text": "hush", "nonce": "1"}));
    assert_eq!(sdk.publication()["data"]["text"], "hush");
    let ended = loop {
        let push = sdk.push();
        if push["unsubscribe"].is_object() {
            break push;
        }
    };
    assert_eq!((&ended["channel"], &ended["unsubscribe"]["code"]), (&json!(room), &json!(2501)));
}

#[test]
fn a_token_that_runs_out_has_to_be_refreshed() {
    let server = Server::start(&[SECRET, "client.expired_close_delay=0s"]);
    let short = || token(&["--user", "42", "--ttl", "6s"]);
    let mut stays = Sdk::connect_with(server.address, json!({"token": short()}));
    let mut goes = Sdk::connect_with(server.address, json!({"token": short()}));
    let other = token(&["--user", "43"]);
    let mut wrong = Sdk::connect_with(server.address, json!({"token": short()}));
    wrong.command("refresh", &json!({"token": other}));
    assert_eq!(wrong.socket.closed().code(), 3500);
    stays.ok("refresh", json!({"token": token(&["--user", "42"])}));
    assert_eq!(goes.socket.closed(), Closed::Frame(3005, "connection expired".into()));
    stays.subscribe("room");

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let key = EncodingKey::from_secret(SECRET.split_once('=').unwrap().1.as_bytes());
    let old = encode(&Header::default(), &json!({"sub": "42", "exp": now - 1}), &key).unwrap();
    assert_eq!(connect(&server, &old)["error"]["code"], 109);
}

#[test]
fn keys_from_a_file() {
    let file = File::new("json", &key_set(Algorithm::ES256, "one", &ec_key()));
    let set = format!("client.token.jwks_file={}", file.path());
    let server = Server::start(&[&set]);
    let good = signed(Algorithm::ES256, "one", &ec_key());
    assert!(connect(&server, &good)["connect"].is_object());
    let unknown = signed(Algorithm::ES256, "two", &ec_key());
    assert_try_again(&server, &unknown);
    eventually_refused(&server, &unknown);
    let without = connect(&server, "");
    assert_eq!(without["error"]["code"], 101, "there is a key, so a token is needed: {without}");
}

/// A key endpoint: answers every request with what is in `answer`, until the test ends.
fn endpoint(answer: &Arc<Mutex<String>>) -> SocketAddr {
    counting_endpoint(answer, &Arc::default())
}

/// The same; counts its requests.
fn counting_endpoint(answer: &Arc<Mutex<String>>, requests: &Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, requests) = (answer.clone(), requests.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            requests.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(answer.lock().unwrap().as_bytes());
        }
    });
    address
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn keys_from_an_endpoint() {
    let first = response("200 OK", &key_set(Algorithm::RS256, "one", &rsa_key()));
    let answer = Arc::new(Mutex::new(first));
    let url = format!("http://{}/jwks.json", endpoint(&answer));
    let server = Server::start(&[
        &format!("client.token.jwks_public_endpoint={url}"),
        "client.token.jwks_refresh=1s",
    ]);
    let one = signed(Algorithm::RS256, "one", &rsa_key());
    let two = signed(Algorithm::ES256, "two", &ec_key());
    let mut stays = Sdk::connect_with(server.address, json!({"token": one}));
    assert_try_again(&server, &two);
    eventually_refused(&server, &two);

    // The key changes.
    *answer.lock().unwrap() = response("200 OK", &key_set(Algorithm::ES256, "two", &ec_key()));
    eventually("the new key", || connect(&server, &two).get("connect").cloned());
    eventually("the end of the old key", || connect(&server, &one).get("closed").cloned());
    stays.subscribe("room");

    // The endpoint fails: the keys stay, and it shows.
    for broken in [response("500 Oh", ""), response("200 OK", "{}"), "nonsense".to_owned()] {
        let failed = || server.metric("ringchat_jwks_refreshes_total", &[("result", "failed")]);
        let before = failed();
        *answer.lock().unwrap() = broken;
        eventually("a failed refresh", || (failed() > before).then_some(()));
        assert!(connect(&server, &two)["connect"].is_object());
    }
    assert!(server.output().contains("ringchat: the keys stay as they were: "));
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it() {
    let first = response("200 OK", &key_set(Algorithm::RS256, "one", &rsa_key()));
    let answer = Arc::new(Mutex::new(first));
    let url = format!("http://{}/jwks.json", endpoint(&answer));
    let server = Server::start(&[
        &format!("client.token.jwks_public_endpoint={url}"),
        "client.token.jwks_refresh=1h",
        "client.token.jwks_refresh_min_interval=1s",
    ]);
    let two = signed(Algorithm::ES256, "two", &ec_key());
    // The endpoint fails: the key may come all the same.
    *answer.lock().unwrap() = response("500 Oh", "");
    assert_try_again(&server, &two);
    let failed = || server.metric("ringchat_jwks_refreshes_total", &[("result", "failed")]);
    eventually("a failed reading", || (failed() > 0).then_some(()));
    assert_try_again(&server, &two);

    *answer.lock().unwrap() = response("200 OK", &key_set(Algorithm::ES256, "two", &ec_key()));
    eventually("the new key", || connect(&server, &two).get("connect").cloned());
    let one = signed(Algorithm::RS256, "one", &rsa_key());
    assert_try_again(&server, &one);
    eventually_refused(&server, &one);
}

#[test]
fn tokens_that_name_any_key_do_not_hammer_the_endpoint() {
    let keys = key_set(Algorithm::RS256, "one", &rsa_key());
    let (answer, requests) = (Arc::new(Mutex::new(response("200 OK", &keys))), Arc::default());
    let url = format!("http://{}/jwks.json", counting_endpoint(&answer, &requests));
    let server = Server::start(&[
        &format!("client.token.jwks_public_endpoint={url}"),
        "client.token.jwks_refresh=1h",
        "client.token.jwks_refresh_min_interval=1h",
    ]);
    let one = signed(Algorithm::RS256, "one", &rsa_key());
    let gone = signed(Algorithm::ES256, "gone", &ec_key());
    let mut stays = Sdk::connect_with(server.address, json!({"token": one}));
    assert_try_again(&server, &gone);
    eventually_refused(&server, &gone);
    for n in 0..200 {
        let garbage = signed(Algorithm::ES256, &format!("garbage {n}"), &ec_key());
        assert_try_again(&server, &garbage);
    }
    // Every kind of command that shows a token says the same, and the plain endpoint.
    let other = signed(Algorithm::ES256, "other", &ec_key());
    for (method, params) in [
        ("refresh", json!({"token": other})),
        ("subscribe", json!({"channel": "$room", "token": other})),
    ] {
        let error = stays.error(method, params);
        assert_eq!((&error["code"], &error["temporary"]), (&json!(100), &json!(true)), "{method}");
    }
    let path = format!("/plain?room=room&token={other}");
    assert_eq!(http::upgrade_status(server.address, &path, ""), 503);
    let path = format!("/plain?room=room&token={gone}");
    assert_eq!(http::upgrade_status(server.address, &path, ""), 401);
    eventually_refused(&server, &gone);

    assert_eq!(requests.load(Ordering::Relaxed), 2, "at the start, and once since");
    assert_eq!(server.metric("ringchat_jwks_early_refreshes_total", &[]), 1);
    assert!(server.metric("ringchat_token_keys_unknown_total", &[]) >= 204);
}

#[test]
fn without_its_keys_the_server_does_not_start() {
    let port = Port::reserve();
    let closed = port.address();
    let big = Arc::new(Mutex::new(response("200 OK", &" ".repeat(2 * 1024 * 1024))));
    let big = endpoint(&big);
    for (set, expected) in [
        (format!("jwks_public_endpoint=http://{closed}/"), "cannot fetch this"),
        (format!("jwks_public_endpoint=http://{big}/"), "cannot fetch this"),
        ("jwks_file=no/such/file".to_owned(), "cannot read this file"),
        ("jwks_file=Cargo.toml".to_owned(), "this is no JWKS"),
    ] {
        let mut command = Command::new(BINARY);
        command.args(["--listen", "127.0.0.1:0", "--set", &format!("client.token.{set}")]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        let run = Run::command(&mut command);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.output.contains("ringchat: client.token.jwks_"), "{run:?}");
        assert!(run.output.contains(expected), "{run:?}");
    }
}
