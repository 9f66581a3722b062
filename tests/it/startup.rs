//! What an operator sees: precedence of settings, refusals that name the cure, the start line.

use super::support::server::{BINARY, Process};
use super::support::*;
use std::net::TcpListener;
use std::process::Command;

#[test]
fn flag_over_environment_over_file_in_every_format() {
    let files = [
        File::new(
            "toml",
            "echo = true\n[client]\nping_interval = \"11s\"\nchannel_limit = 11\nqueue_max_size = 1100000\n",
        ),
        File::new(
            "json",
            r#"{"echo": true, "client": {"ping_interval": "11s", "channel_limit": 11, "queue_max_size": 1100000}}"#,
        ),
        File::new(
            "yaml",
            "echo: true\nclient:\n  ping_interval: 11s\n  channel_limit: 11\n  queue_max_size: 1100000\n",
        ),
    ];
    for file in &files {
        let run = Run::command(
            Command::new(BINARY)
                .args(["--config", file.path(), "--print-config"])
                .args(["--set", "client.channel_limit=33"])
                .env("RINGCHAT_CLIENT_CHANNEL_LIMIT", "22")
                .env("RINGCHAT_CLIENT_QUEUE_MAX_SIZE", "2200000"),
        );
        assert_eq!(run.code, Some(0), "{run:?}");
        for line in [
            "echo = true",
            "ping_interval = \"11s\"",
            "channel_limit = 33",
            "queue_max_size = 2200000",
            "pong_timeout = \"8s\"",
        ] {
            let found = run.output.lines().any(|l| l.trim() == line);
            assert!(found, "{line:?} is not in what {} gives:\n{}", file.path(), run.output);
        }
    }
}

#[test]
fn a_file_decides_how_the_server_runs() {
    let file = File::new("toml", "listen = [\"127.0.0.1:0\"]\nworkers = 1\necho = true\n");
    let server = Server::command(Command::new(BINARY).args(["--config", file.path()]));
    let mut socket = Socket::open(server.address, "/echo");
    socket.send("hello");
    assert_eq!(socket.text(), "hello");
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let check = |args: &[&str], named: &str| {
        let run = Run::new(args);
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        assert!(run.output.contains(named), "{args:?} does not name {named}: {}", run.output);
        assert!(!run.output.contains("http://"), "{args:?} listened: {}", run.output);
    };
    let loopback = "--listen=127.0.0.1:0";
    check(&[loopback, "--set", "client.ping_interval=fast"], "client.ping_interval");
    check(&[loopback, "--set", "client.pong_timeout=60s"], "client.pong_timeout");
    check(&[loopback, "--set", "client.pnig_interval=5s"], "client.pnig_interval");
    check(&[loopback, "--set", "websocket.message_size_limit=0"], "websocket.message_size_limit");
    check(&["--listen", "somewhere"], "listen");
    check(&["--nonsense"], "--nonsense");
    check(&[loopback, "--config", "/does/not/exist.toml"], "/does/not/exist.toml");
    let file = File::new("toml", "[client]\nqueue_max_siez = 5\n");
    check(&[loopback, "--config", file.path()], "client.queue_max_siez");
    let file = File::new("json", "{");
    check(&[loopback, "--config", file.path()], file.path());
    let run = Run::command(Command::new(BINARY).arg(loopback).env("RINGCHAT_WORKERS", "many"));
    assert_eq!(run.code, Some(2));
    assert!(run.output.contains("RINGCHAT_WORKERS"), "{}", run.output);
    let run = Run::new(&["--check-config", loopback]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// Checked before a start and refused by one alike, in a word that names key and cure.
#[test]
fn a_configuration_that_cannot_be_is_refused_before_anything_binds() {
    let namespace = |options: &str| {
        let text = format!("[[channel.namespaces]]\nname = \"news\"\n{options}\n");
        File::new("toml", &text)
    };
    for (file, key, cure) in [
        (namespace("histroy_size = 5"), "channel.namespaces.news.histroy_size", "did you mean"),
        (
            namespace("[[channel.namespaces]]\nname = \"news\""),
            "channel.namespaces",
            "news is there twice; put its options into one entry",
        ),
        (
            namespace("channel_regex = \"[a-z\""),
            "channel.namespaces.news.channel_regex",
            "is no regular expression (unclosed character class); correct it",
        ),
        (namespace("history_size = 5"), "channel.namespaces.news.history_size", "history_ttl"),
    ] {
        let flags = ["--listen", "127.0.0.1:0", "--config", file.path()];
        for args in [vec!["check-config"], vec!["--check-config"], vec![]] {
            let run = Run::new(&[&args, &flags[..]].concat());
            assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
            let named = run.output.contains(&format!("{key}: "));
            assert!(named && run.output.contains(cure), "{args:?}: {run:?}");
            assert!(!run.output.contains("http://"), "{args:?} listened: {run:?}");
        }
    }
}

#[test]
fn the_world_is_not_let_in_by_accident() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let run = Run::new(&["--listen", address]);
        assert_eq!(run.code, Some(2), "{run:?}");
        for key in ["client.token.hmac_secret_key", "client.allow_guests", "client.insecure"] {
            assert!(run.output.contains(key), "{address}: no word of {key}: {}", run.output);
        }
    }
    let server = Server::with_args(&["--listen", "0.0.0.0:0", "--insecure"]);
    assert_ne!(server.address.port(), 0);
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let run = Run::new(&["--listen", &address]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.output.contains(&address), "{}", run.output);
    // Nor may a second server of ours share it, although the workers share their port.
    let server = Server::start(&[]);
    let address = server.address.to_string();
    let run = Run::new(&["--listen", &address]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.output.contains(&address), "{}", run.output);
}

#[test]
fn too_few_descriptors_are_refused() {
    let script = "ulimit -n 256; exec \"$0\" --listen 127.0.0.1:0 --max-connections 1000";
    let run = Run::command(Command::new("sh").args(["-c", script, BINARY]));
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(run.output.contains("256") && run.output.contains("1000"), "{}", run.output);
    assert!(!run.output.contains("http://"), "it listened: {}", run.output);
}

#[test]
fn the_soft_descriptor_limit_is_raised() {
    let script =
        "ulimit -S -n 256; exec \"$0\" --listen 127.0.0.1:0 --workers 2 --max-connections 400";
    let server = Server::command(Command::new("sh").args(["-c", script, BINARY]));
    let clients: Vec<Sdk> = (0..300).map(|_| Sdk::connect(server.address)).collect();
    assert_eq!(server.sessions().iter().sum::<u64>(), clients.len() as u64);
}

#[test]
fn help_and_version() {
    let run = Run::new(&["--version"]);
    assert_eq!(run.code, Some(0));
    assert!(run.output.contains(env!("CARGO_PKG_VERSION")), "{}", run.output);
    let run = Run::new(&["--help"]);
    assert_eq!(run.code, Some(0));
    for flag in ["--listen", "--workers", "--max-connections", "--allow-origin", "--config"] {
        assert!(run.output.contains(flag), "{flag}: {}", run.output);
    }
}

#[test]
fn one_line_at_start_says_what_is_in_force() {
    let mut process =
        Process::spawn(Command::new(BINARY).args(["--listen", "127.0.0.1:0", "--workers", "2"]));
    let line = process.wait_for_line("start line", |line| {
        line.contains("http://127.0.0.1:").then(|| line.to_owned())
    });
    assert!(line.contains("2 worker"), "{line}");
}
