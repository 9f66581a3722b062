//! Contradictions are refused, and who may come in follows from the whole.

use super::*;

#[test]
fn contradictions_name_key_and_cure() {
    let ns = "channel.without_namespace";
    let option = |o: &str| format!("--set={ns}.{o}");
    for (args, key, cure) in [
        (vec!["--listen=0.0.0.0:1"], "listen", "client.allow_guests = true"),
        (vec!["--listen=0.0.0.0:1"], "listen", "client.token.hmac_secret_key"),
        (vec!["--listen=[::]:1"], "listen", "client.insecure = true"),
        (vec!["--listen=127.0.0.1:1", "--listen=192.0.2.1:1"], "listen", "192.0.2.1:1"),
        (vec!["--set=listen="], "listen", "give at least one"),
        (vec!["--listen=127.0.0.1:1", "--listen=127.0.0.1:1"], "listen", "there twice"),
        (vec!["--insecure", "--listen=127.0.0.1:1", "--listen=0.0.0.0:1"], "listen", "overlaps"),
        (
            vec![
                "--set=client.allow_guests=false",
                "--set=client.allow_anonymous_connect_without_token=false",
            ],
            "client.allow_guests",
            "nobody could ever connect",
        ),
        (
            vec!["--set=client.token.hmac_secret_key=0123456789012345678901234567890"],
            "client.token.hmac_secret_key",
            "has 31 bytes",
        ),
        (vec!["--set=client.channel_limit=0"], "client.channel_limit", "more than 0"),
        (vec!["--set=client.ping_interval=0s"], "client.ping_interval", "more than 0"),
        (vec!["--set=client.pong_timeout=0s"], "client.pong_timeout", "more than 0"),
        (vec!["--set=client.stale_close_delay=0s"], "client.stale_close_delay", "more than 0"),
        (vec!["--set=channel.max_length=0"], "channel.max_length", "more than 0"),
        (vec!["--set=channel.rooms_max=0"], "channel.rooms_max", "more than 0"),
        (
            vec!["--set=websocket.message_size_limit=0"],
            "websocket.message_size_limit",
            "more than 0",
        ),
        (
            vec!["--set=http_server.connection_limit=0"],
            "http_server.connection_limit",
            "more than 0",
        ),
        (vec!["--set=http_server.head_timeout=0s"], "http_server.head_timeout", "more than 0"),
        (vec!["--set=http_api.body_size_limit=0"], "http_api.body_size_limit", "more than 0"),
        (vec!["--set=http_api.timeout=0s"], "http_api.timeout", "more than 0"),
        (
            vec!["--set=http_api.idempotency_keys_max=0"],
            "http_api.idempotency_keys_max",
            "more than 0",
        ),
        (vec!["--set=http_api.key=two words"], "http_api.key", "visible ASCII"),
        (vec!["--set=http_api.key=sch\u{fc}ssel"], "http_api.key", "visible ASCII"),
        (vec!["--set=shutdown.timeout=0s"], "shutdown.timeout", "more than 0"),
        (vec!["--set=client.command_rate_burst=0"], "client.command_rate_burst", "more than 0"),
        (vec!["--set=client.pong_timeout=25s"], "client.pong_timeout", "shorter than"),
        (vec!["--set=shutdown.spread=30s"], "shutdown.spread", "shorter than"),
        (vec!["--set=fanout.max_delay=101ms"], "fanout.max_delay", "at most 100ms"),
        (
            vec!["--set=websocket.message_size_limit=262145"],
            "websocket.message_size_limit",
            "Raise client.queue_max_size to 1048580",
        ),
        (vec!["--set=client.queue_max_size=4294967296"], "client.queue_max_size", "at most"),
        (vec!["--set=http_server.head_size_limit=0"], "http_server.head_size_limit", "at least"),
        (vec!["--set=http_server.head_size_limit=8191"], "http_server.head_size_limit", "at least"),
        (vec!["--set=client.queue_total_max_size=1000"], "client.queue_total_max_size", "less"),
        (
            vec!["--max-connections=5", "--set=client.connection_limit_per_address=6"],
            "client.connection_limit_per_address",
            "more than client.connection_limit (5)",
        ),
        (vec![&option("history_size=5")], &format!("{ns}.history_size"), "needs history_ttl"),
        (vec![&option("history_ttl=5s")], &format!("{ns}.history_ttl"), "needs history_size"),
        (vec![&option("force_positioning=true")], &format!("{ns}.force_positioning"), "history"),
        (
            vec![&option("force_recovery_mode=cache")],
            &format!("{ns}.force_recovery_mode"),
            "set force_recovery",
        ),
        (vec![&option("history_meta_ttl=1h")], &format!("{ns}.history_meta_ttl"), "history_size"),
        (
            vec!["--set=channel.namespaces.chat.history_meta_ttl=23h"],
            "channel.namespaces.chat.history_meta_ttl",
            "has to be as long",
        ),
        (
            vec!["--set=channel.history_meta_ttl=23h"],
            "channel.namespaces.dm.history_meta_ttl",
            "has to be as long",
        ),
        (
            vec![&option("force_push_join_leave=true")],
            &format!("{ns}.force_push_join_leave"),
            "set join_leave",
        ),
        (
            vec!["--set=channel.namespaces.chat.text_size_limit=0"],
            "channel.namespaces.chat.text_size_limit",
            "more than 0",
        ),
        (
            vec!["--set=channel.namespaces.chat.channel_regex=^[a-z$"],
            "channel.namespaces.chat.channel_regex",
            "\"^[a-z$\" is no regular expression (unclosed character class); correct it",
        ),
        (vec!["--set=presence.grace=601s"], "presence.grace", "at most 10m"),
        (
            vec!["--set=http_server.internal_port=8000"],
            "http_server.internal_port",
            "127.0.0.1:8000 is one of the addresses of listen",
        ),
        (
            vec!["--set=http_server.internal_address=localhost"],
            "http_server.internal_address",
            "no IP address",
        ),
        (
            vec!["--set=client.token.rsa_public_key=PEM"],
            "client.token.rsa_public_key",
            "-----BEGIN PUBLIC KEY-----",
        ),
        (
            vec![concat!(
                "--set=client.token.rsa_public_key=",
                include_str!("../../chat/auth/test_keys/rsa.pem")
            )],
            "client.token.rsa_public_key",
            "private key",
        ),
        (
            vec![concat!(
                "--set=client.token.ecdsa_public_key=",
                include_str!("../../chat/auth/test_keys/rsa.pub.pem")
            )],
            "client.token.ecdsa_public_key",
            "no public key of this kind",
        ),
        (
            vec![concat!("--set=client.token.rsa_public_key=", include_str!("rsa1024.pub.pem"))],
            "client.token.rsa_public_key",
            "2048 bits or more",
        ),
        (
            vec!["--set=client.token.jwks_public_endpoint=ftp://id.example"],
            "client.token.jwks_public_endpoint",
            "http:// or https://",
        ),
        (
            vec![
                "--set=client.token.jwks_public_endpoint=https://id.example",
                "--set=client.token.jwks_file=keys.json",
            ],
            "client.token.jwks_file",
            "give one of them",
        ),
        (vec!["--set=client.token.jwks_refresh=999ms"], "client.token.jwks_refresh", "at least 1s"),
        (
            vec!["--set=client.token.jwks_refresh_min_interval=0s"],
            "client.token.jwks_refresh_min_interval",
            "at least 1s",
        ),
        (
            vec!["--set=client.subscription_token.enabled=true"],
            "client.subscription_token.enabled",
            "needs a key",
        ),
        (
            vec!["--set=client.subscription_token.issuer=me"],
            "client.subscription_token.enabled",
            "set it to true",
        ),
        (vec!["--set=channel.history_room_max_size=0"], "channel.history_room_max_size", "than 0"),
        (vec![&option("force_recovery=true")], &format!("{ns}.force_recovery"), "set history_size"),
        (
            vec!["--set=channel.namespaces.chat.droppable=true"],
            "channel.namespaces.chat.droppable",
            "contradicts history_size",
        ),
        (
            vec!["--set=channel.history_total_max_size=0"],
            "channel.namespaces.chat.history_size",
            "channel.history_total_max_size",
        ),
    ] {
        let said = problems(&args, &[]);
        let hit = said.lines().any(|l| l.starts_with(&format!("{key}: ")) && l.contains(cure));
        assert!(hit, "{args:?}: {said}");
    }
}

#[test]
fn namespaces_built_in_code_are_checked_too() {
    let mut config = Config::default();
    let twice = config.channel.namespaces[0].clone();
    config.channel.namespaces.push(twice);
    let bad = Namespace { name: "a:b".into(), options: NamespaceOptions::default() };
    config.channel.namespaces.push(bad);
    let keys: Vec<String> = config.validate().unwrap_err().into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["channel.namespaces.chat", "channel.namespaces"]);
}

#[test]
fn an_error_mode_is_one_of_two() {
    let said = problems(&["--set=http_api.error_mode=on"], &[]);
    let expect = "--set: http_api.error_mode: expected \"\" or \"transport\", got \"on\"";
    assert_eq!(said, expect);
    let config = good(&["--set=http_api.error_mode="], &[]);
    assert_eq!(config.http_api.error_mode, ErrorMode::Body);
}

#[test]
fn origins_are_what_browsers_send() {
    for (origin, wrong) in [
        ("*", None),
        ("null", None),
        ("https://chat.example.com", None),
        ("http://localhost:8080", None),
        ("http://[::1]:8080", None),
        ("http://[::1]", None),
        ("capacitor://localhost", None),
        ("chat.example.com", Some("is no origin")),
        ("https://", Some("is no origin")),
        ("://host", Some("is no origin")),
        ("https://host:port", Some("is no origin")),
        ("https://:80", Some("is no origin")),
        ("https://host/", Some("more than scheme, host and port")),
        ("https://user@host", Some("more than scheme, host and port")),
        ("https://*.example.com", None),
        ("https://Example.com:443", None),
        ("https://a*.example.com", Some("pattern")),
        ("https://*", Some("pattern")),
        ("https://*.", Some("is no origin")),
        ("https://münchen.example", Some("punycode")),
    ] {
        let config = Config {
            client: ClientConfig { allowed_origins: vec![origin.into()], ..Default::default() },
            ..Default::default()
        };
        match (config.validate(), wrong) {
            (Ok(()), None) => {}
            (Err(problems), Some(wrong)) => {
                assert_eq!(problems[0].key, "client.allowed_origins");
                assert!(problems[0].message.contains(wrong), "{origin}: {}", problems[0]);
            }
            (result, _) => panic!("{origin}: {result:?}"),
        }
    }
}

#[test]
fn who_may_come_in() {
    let token = "--set=client.token.hmac_secret_key=01234567890123456789012345678901";
    // arguments; guests, anonymous, open
    for (args, expected) in [
        (vec![], (true, true, true)),
        (vec!["--listen=[::1]:1"], (true, true, true)),
        (vec!["--listen=[::ffff:127.0.0.1]:1"], (true, true, true)),
        (vec![token], (false, false, false)),
        (vec![token, "--set=client.allow_guests=true"], (true, false, false)),
        (vec!["--set=client.allow_guests=false"], (false, true, true)),
        (vec!["--listen=0.0.0.0:1", token], (false, false, false)),
        (vec!["--listen=0.0.0.0:1", "--set=client.allow_guests=true"], (true, false, false)),
        (vec!["--listen=0.0.0.0:1", "--insecure"], (true, true, true)),
        (vec!["--insecure", "--set=client.allow_guests=false", token], (true, true, true)),
    ] {
        let c = good(&args, &[]);
        assert_eq!((c.guests_allowed(), c.anonymous_allowed(), c.is_open()), expected, "{args:?}");
    }
}
