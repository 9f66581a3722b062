//! SIGHUP: the configuration changes, connections stay.

use super::support::server::BINARY;
use super::support::*;
use serde_json::json;
use std::process::Command;

/// A server that reads `file`.
fn server(file: &File) -> Server {
    Server::command(Command::new(BINARY).args(["--config", file.path()]))
}

/// Sends SIGHUP and waits for the line that says what came of it.
fn reload(server: &mut Server) -> String {
    server.signal("HUP");
    server.wait_for_line("answer to SIGHUP", |line| {
        let ended = line.contains("has reloaded") || line.contains("stays as it was");
        ended.then(|| line.to_owned())
    })
}

const BASE: &str = "listen = [\"127.0.0.1:0\"]\nworkers = 2\n";

#[test]
fn limits_namespaces_and_keys_change_and_connections_stay() {
    let file = File::new("toml", &format!("{BASE}[client]\nchannel_limit = 1\n"));
    let mut server = server(&file);
    let mut sdk = Sdk::connect(server.address);
    sdk.subscribe("a");
    assert_eq!(sdk.error("subscribe", json!({"channel": "b"}))["code"], 106);
    assert_eq!(sdk.error("subscribe", json!({"channel": "news:b"}))["code"], 102);

    file.write(&format!(
        "{BASE}[client]\nchannel_limit = 3\n[client.token]\n\
         hmac_secret_key = \"0123456789abcdef0123456789abcdef\"\n\
         [[channel.namespaces]]\nname = \"news\"\nallow_subscribe_for_client = true\n\
         allow_subscribe_for_anonymous = true\n"
    ));
    assert_eq!(reload(&mut server), "ringchat has reloaded its configuration");
    // A worker may still be at a turn that began before.
    eventually("the new limit", || {
        sdk.request("subscribe", json!({"channel": "b"})).get("subscribe").cloned()
    });
    sdk.subscribe("news:b");
    sdk.publish("a", json!("still here"));
    assert_eq!(sdk.publication()["data"], "still here");

    // With a key nobody comes without a token any more; one that is signed with it is good.
    let mut stranger = Socket::open(server.address, client::PROTOCOL);
    stranger.send(r#"{"id":1,"connect":{}}"#);
    assert!(stranger.text().contains("\"code\":101"));
    let run = Run::new(&["--config", file.path(), "token", "--user", "42"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    Sdk::connect_with(server.address, json!({"token": run.output.trim()}));
    let done = server.metric("ringchat_config_reloads_total", &[("result", "done")]);
    assert_eq!(done, 1);
}

#[test]
fn presence_is_switched_off_and_on() {
    let namespace = |presence: bool| {
        format!(
            "{BASE}[[channel.namespaces]]\nname = \"news\"\npresence = {presence}\n\
             join_leave = {presence}\nallow_subscribe_for_client = true\n\
             allow_presence_for_subscriber = true\n"
        )
    };
    let file = File::new("toml", &namespace(true));
    let mut server = server(&file);
    let mut alice = Sdk::guest(server.address, "alice");
    let mut bob = Sdk::guest(server.address, "bob");
    let listed = |sdk: &mut Sdk, room: &str| {
        let reply = sdk.request("presence", json!({"channel": room}));
        reply["presence"]["presence"].as_object().map(serde_json::Map::len)
    };
    alice.subscribe("news:a");
    bob.subscribe("news:a");
    assert_eq!(listed(&mut alice, "news:a"), Some(2));

    file.write(&namespace(false));
    reload(&mut server);
    for sdk in [&mut alice, &mut bob] {
        eventually("the end of presence", || listed(sdk, "news:a").is_none().then_some(()));
        assert_eq!(sdk.error("presence", json!({"channel": "news:a"}))["code"], 108);
    }

    file.write(&namespace(true));
    reload(&mut server);
    // Who was here all the time is known again, and who comes.
    let all = |sdk: &mut Sdk, count| (listed(sdk, "news:a") == Some(count)).then_some(());
    for sdk in [&mut alice, &mut bob] {
        eventually("who is there", || all(sdk, 2));
    }
    let mut carol = Sdk::guest(server.address, "carol");
    carol.subscribe("news:a");
    assert_eq!(listed(&mut alice, "news:a"), Some(3));
    bob.ok("unsubscribe", json!({"channel": "news:a"}));
    drop(carol);
    eventually("who is left", || all(&mut alice, 1));
}

#[test]
fn the_key_of_the_server_api_changes() {
    let file = File::new("toml", BASE);
    let mut server = server(&file);
    let status = |server: &Server, key: &str| {
        let address = server.address;
        let request = format!(
            "POST /api/info HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        http::request(address, &request).status
    };
    assert_eq!(status(&server, "one"), 404);
    for (key, other) in [("one", "two"), ("two", "one")] {
        file.write(&format!("{BASE}[http_api]\nkey = \"{key}\"\n"));
        assert_eq!(reload(&mut server), "ringchat has reloaded its configuration");
        assert_eq!((status(&server, key), status(&server, other)), (200, 401));
    }
}

#[test]
fn a_configuration_with_an_error_changes_nothing() {
    let file = File::new("toml", &format!("{BASE}[client]\nchannel_limit = 1\n"));
    let mut server = server(&file);
    let mut sdk = Sdk::connect(server.address);
    for (text, expected) in [
        ("[client]\nchannel_limti = 9\n", "client.channel_limti: unknown key"),
        ("[client]\nchannel_limit = 0\n", "client.channel_limit: must be more than 0"),
        ("[client\n", "at line 3"),
        ("[client.token]\njwks_file = \"no/such/file.json\"\n", "client.token.jwks_file: no/such"),
    ] {
        file.write(&format!("{BASE}{text}"));
        let line = reload(&mut server);
        assert!(line.starts_with("ringchat: the configuration stays as it was: "), "{line}");
        assert!(line.contains(expected), "{line}");
    }
    sdk.subscribe("a");
    assert_eq!(sdk.error("subscribe", json!({"channel": "b"}))["code"], 106);
    let refused = server.metric("ringchat_config_reloads_total", &[("result", "refused")]);
    assert_eq!(refused, 4);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_only_a_restart_changes_is_named() {
    let file = File::new("toml", BASE);
    let mut server = server(&file);
    file.write("listen = [\"127.0.0.1:1\"]\nworkers = 1\n[http_server]\nidle_timeout = \"9s\"\n");
    server.signal("HUP");
    let warning = server
        .wait_for_line("warning", |line| line.contains("only a restart").then(|| line.to_owned()));
    let expected =
        "ringchat: warning: only a restart changes listen, workers, http_server.idle_timeout";
    assert_eq!(warning, expected);
    Sdk::connect(server.address).subscribe("a");
}
