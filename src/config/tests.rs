//! Tests of the configuration: each is a table of inputs and what they lead to.

use super::keys::{self, Kind};
use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

mod contradictions;
mod documents;
mod reload;

const SUBSCRIPTION_KEY: &str =
    "client.subscription_token.hmac_secret_key=0123456789abcdef0123456789abcdef";

/// Made with `openssl genpkey`, as the keys in `chat/auth/tests.rs`.
const RSA_PEM: &str = include_str!("../chat/auth/test_keys/rsa.pub.pem");
const EC_PEM: &str = include_str!("../chat/auth/test_keys/p256.pub.pem");

fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let args = ["ringchat"].iter().chain(args).map(OsString::from);
    load(args, env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))))
}

fn good(args: &[&str], env: &[(&str, &str)]) -> Config {
    read(args, env).unwrap_or_else(|e| panic!("{args:?} {env:?}: {e}")).config
}

fn problems(args: &[&str], env: &[(&str, &str)]) -> String {
    match read(args, env) {
        Ok(_) => panic!("{args:?} {env:?} was taken"),
        Err(e) => e.to_string(),
    }
}

/// A file of the test's own, removed when it ends.
struct File(PathBuf);

impl File {
    fn new(extension: &str, text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringchat-config-{}-{n}.{extension}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        File(path)
    }

    fn arg(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn nothing_given_is_the_default() {
    let loaded = read(&[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.action, Action::Run);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_table_of_keys_is_complete() {
    fn walk(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(table) => {
                for (name, inner) in table {
                    let path =
                        if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&path, inner, found);
                }
            }
            _ => _ = found.insert(prefix.to_owned()),
        }
    }
    let mut in_structs = BTreeSet::new();
    walk("", &print::tree(&Config::default()), &mut in_structs);
    let in_table: Vec<String> = keys::all().map(|(path, _)| path).collect();
    assert_eq!(in_table.iter().cloned().collect::<BTreeSet<_>>(), in_structs);
    assert_eq!(in_table.len(), in_structs.len(), "a key is there twice");

    let variables: BTreeSet<String> = in_table.iter().map(|path| keys::variable(path)).collect();
    assert_eq!(variables.len(), in_table.len(), "two keys share a variable");
    for (path, key) in keys::all() {
        assert!(key.help.ends_with('.'), "{path}: {}", key.help);
    }
}

#[test]
fn every_key_can_be_set_by_flag_and_by_variable() {
    let defaults = print::tree(&Config::default());
    for (path, key) in keys::all() {
        let (text, expect) = match key.kind {
            Kind::Bool | Kind::Choice => {
                let other = !print::at(&defaults, &path).as_bool().unwrap_or(false);
                (other.to_string(), Value::from(other))
            }
            // Small enough for a rate, large enough for a size.
            Kind::Count | Kind::Port => ("9".into(), Value::from(9)),
            Kind::RecoveryMode => ("cache".into(), Value::from("cache")),
            Kind::ErrorMode => ("transport".into(), Value::from("transport")),
            Kind::Text => {
                let text = match path.rsplit('.').next().unwrap() {
                    "rsa_public_key" => RSA_PEM.trim(),
                    "ecdsa_public_key" => EC_PEM.trim(),
                    "jwks_public_endpoint" => "https://id.example/jwks.json",
                    "internal_address" => "::1",
                    _ => "some-text",
                };
                (text.into(), Value::from(text))
            }
            Kind::Bytes => ("262144".into(), Value::from(262_144)),
            Kind::Duration if path == "fanout.max_delay" => ("7ms".into(), Value::from("7ms")),
            Kind::Duration => ("7s".into(), Value::from("7s")),
            Kind::Secret => ("k".repeat(32), Value::from("k".repeat(32))),
            Kind::Texts => {
                ("https://a.example, null".into(), serde_json::json!(["https://a.example", "null"]))
            }
            Kind::Addresses => {
                ("127.0.0.1:1, [::1]:2".into(), serde_json::json!(["127.0.0.1:1", "[::1]:2"]))
            }
            Kind::Namespaces => (r#"[{"name":"news"}]"#.into(), Value::Null),
        };
        // What each of these needs beside it to make sense.
        let also: &[&str] = match path.rsplit('.').next().unwrap() {
            "history_size" => &["channel.without_namespace.history_ttl=1h"],
            "history_ttl" => &["channel.without_namespace.history_size=1"],
            "force_recovery" => &[
                "channel.without_namespace.history_ttl=1h",
                "channel.without_namespace.history_size=1",
            ],
            "message_size_limit" | "queue_total_max_size" => &["client.queue_max_size=1048576"],
            "history_meta_ttl" if path.starts_with(keys::WITHOUT_NAMESPACE) => &[
                "channel.without_namespace.history_ttl=1s",
                "channel.without_namespace.history_size=1",
            ],
            // No shorter than what the default namespaces keep.
            "history_meta_ttl" => {
                &["channel.namespaces.chat.history_ttl=1s", "channel.namespaces.dm.history_ttl=1s"]
            }
            "force_positioning" => &[
                "channel.without_namespace.history_ttl=1h",
                "channel.without_namespace.history_size=1",
            ],
            "force_recovery_mode" => &[
                "channel.without_namespace.history_ttl=1h",
                "channel.without_namespace.history_size=1",
                "channel.without_namespace.force_recovery=true",
            ],
            "force_push_join_leave" => &["channel.without_namespace.join_leave=true"],
            "pong_timeout" => &["client.ping_interval=8s"],
            "ping_interval" => &["client.pong_timeout=1s"],
            _ if path == "client.subscription_token.hmac_secret_key" => {
                &["client.subscription_token.enabled=true"]
            }
            "enabled" => &[SUBSCRIPTION_KEY],
            _ if path.starts_with("client.subscription_token.") => {
                &["client.subscription_token.enabled=true", SUBSCRIPTION_KEY]
            }
            _ => &[],
        };
        if path == "client.queue_total_max_size" {
            continue; // 262144 is less than one client may use; the next table covers it.
        }
        let more: Vec<String> = also.iter().map(|pair| format!("--set={pair}")).collect();
        let mut args: Vec<&str> = more.iter().map(String::as_str).collect();
        let by_variable = good(&args, &[(&keys::variable(&path), &text)]);
        let set = format!("--set={path}={text}");
        args.push(&set);
        let by_flag = good(&args, &[]);
        assert_eq!(by_flag, by_variable, "{path}");
        if key.kind == Kind::Namespaces {
            assert!(by_flag.channel.namespaces.iter().any(|n| n.name == "news"));
        } else {
            assert_eq!(*print::at(&print::tree(&by_flag), &path), expect, "{path}");
        }
    }
    assert_eq!(
        good(&["--set", "client.queue_total_max_size=2097152"], &[]).client.queue_total_max_size,
        2_097_152
    );
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file =
        File::new("toml", "workers = 1\n[client]\nping_interval = \"11s\"\nchannel_limit = 5");
    let env = [("RINGCHAT_CLIENT_PING_INTERVAL", "12s"), ("RINGCHAT_CLIENT_CHANNEL_LIMIT", "6")];
    let args = ["--config", file.arg(), "--set", "client.channel_limit=7"];
    let c = good(&args, &env);
    assert_eq!(c.workers, 1);
    assert_eq!(c.client.ping_interval, Duration::from_secs(12));
    assert_eq!(c.client.channel_limit, 7);
    assert_eq!(c.client.nick_grace, Duration::from_secs(30));

    let other = File::new("toml", "workers = 2");
    let named = [("RINGCHAT_CONFIG", other.arg())];
    assert_eq!(good(&[], &named).workers, 2);
    assert_eq!(good(&["--config", file.arg()], &named).workers, 1);
}

#[test]
fn the_flags_mean_their_keys() {
    let args = "--listen 127.0.0.1:1 --listen [::1]:2 --workers 3 --max-connections 4 \
                --allow-origin https://a.example --allow-origin null --echo --insecure";
    let c = good(&args.split_whitespace().collect::<Vec<_>>(), &[]);
    assert_eq!(c.listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    assert_eq!((c.workers, c.client.connection_limit), (3, 4));
    assert_eq!(c.client.allowed_origins, ["https://a.example", "null"]);
    assert!(c.echo && c.client.insecure);

    for (args, action) in [
        (vec!["--check-config"], Action::Check),
        (vec!["--print-config"], Action::Print),
        (vec!["check-config"], Action::Check),
        (vec!["default-config"], Action::PrintDefault),
        (vec![], Action::Run),
    ] {
        assert_eq!(read(&args, &[]).unwrap().action, action);
    }
}

#[test]
fn a_token_is_asked_for() {
    let request = TokenRequest {
        user: "42".into(),
        channel: None,
        ttl: Duration::from_secs(3600),
        info: None,
    };
    let set = ["--set", "client.channel_limit=7"];
    let token = ["token", "--user", "42"];
    for args in [[token.as_slice(), &set].concat(), [set.as_slice(), &token].concat()] {
        let loaded = read(&args, &[]).unwrap();
        assert_eq!(loaded.action, Action::Token(request.clone()));
        assert_eq!(loaded.config.client.channel_limit, 7, "{args:?}");
    }
    let args = ["token", "--user=", "--channel=$a", "--ttl=90s", "--info={\"n\":1}"];
    let request = TokenRequest {
        user: String::new(),
        channel: Some("$a".into()),
        ttl: Duration::from_secs(90),
        info: Some(serde_json::json!({"n":1})),
    };
    assert_eq!(read(&args, &[]).unwrap().action, Action::Token(request));
}

#[test]
fn help_names_every_flag_and_true_defaults() {
    let Err(ConfigError::Usage(help)) = read(&["--help"], &[]) else { panic!("no help") };
    assert_eq!(help.exit_code(), 0);
    let help = help.to_string();
    let d = Config::default();
    for expected in [
        format!("[default: {}]", d.listen[0]),
        "(key workers) [default: 0]".into(),
        "[default: 0] [RINGCHAT_WORKERS]".into(),
        "(key client.connection_limit) [default: 0]".into(),
        "[bytes] [default: 65536] [RINGCHAT_WEBSOCKET_MESSAGE_SIZE_LIMIT]".into(),
        "[default: 25s] [RINGCHAT_CLIENT_PING_INTERVAL]".into(),
        "[default: chat, dm, typing]".into(),
        "Exit codes: 0 done, 1 failed at run time, 2 wrong usage".into(),
    ] {
        let flat = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat(&help).contains(&flat(&expected)), "{expected}\n{help}");
    }
    assert_eq!((d.workers, d.client.connection_limit), (0, 0));
    for (path, _) in keys::all() {
        assert!(help.contains(&path), "{path}");
    }
    let Err(ConfigError::Usage(version)) = read(&["--version"], &[]) else { panic!("no version") };
    assert_eq!(version.exit_code(), 0);
    assert!(version.to_string().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_refused_by_exit_code_2() {
    for args in [
        vec!["--nonsense"],
        vec!["--workers", "many"],
        vec!["--set", "workers"],
        vec!["--set", "=3"],
        vec!["stray"],
        vec!["--check-config", "--print-config"],
        vec!["token"],
        vec!["token", "--user=a", "--ttl=soon"],
        vec!["token", "--user=a", "--info={"],
    ] {
        let Err(ConfigError::Usage(e)) = read(&args, &[]) else { panic!("{args:?} was taken") };
        assert_eq!(e.exit_code(), 2, "{args:?}");
    }
}

#[test]
fn wrong_values_are_named() {
    for (args, expected) in [
        (
            &["--set", "client.queue_max_siez=1"][..],
            "--set: client.queue_max_siez: unknown key (did you mean client.queue_max_size?)",
        ),
        (
            &["--set", "queue_max_size=1"],
            "--set: queue_max_size: unknown key (did you mean client.queue_max_size?)",
        ),
        (&["--set", "quux=1"], "--set: quux: unknown key"),
        (
            &["--set", "channel.namespaces.chat.histroy_size=1"],
            "--set: channel.namespaces.chat.histroy_size: unknown key (did you mean \
             channel.namespaces.chat.history_size?)",
        ),
        (&["--set", "client=1"], "--set: client: is a section; give the keys below it"),
        (
            &["--set", "workers=-1"],
            "--set: workers: expected a whole number from 0 to 4294967295, got \"-1\"",
        ),
        (
            &["--set", "client.queue_max_size=1MiB"],
            "--set: client.queue_max_size: expected a whole number of bytes, got \"1MiB\"",
        ),
        (&["--set", "echo=yes"], "--set: echo: expected true or false, got \"yes\""),
        (
            &["--set", "client.ping_interval=25"],
            "--set: client.ping_interval: expected a time such as \"250ms\", \"25s\" or \"24h\", \
             got \"25\"",
        ),
        (
            &["--set", "client.ping_interval=1us"],
            "--set: client.ping_interval: \"1us\" is finer than a millisecond",
        ),
        (
            &["--set", "client.nick_grace=11years"],
            "--set: client.nick_grace: \"11years\" is longer than ten years",
        ),
        (
            &["--listen", "localhost:8000"],
            "--listen: listen: expected a list of ADDR:PORT such as \"127.0.0.1:8000\" or \
             \"[::]:8000\", got [\"localhost:8000\"]",
        ),
        (
            &["--workers", "1", "--set", "workers=2"],
            "--set: workers: given twice on the command line",
        ),
        (
            &["--set", "channel.namespaces={}"],
            "--set: channel.namespaces: expected a JSON list of namespaces, got \"{}\"",
        ),
        (
            &["--set", "channel.namespaces=[{\"name\":\"ab\",\"name\":\"cd\"}]"],
            "--set: channel.namespaces: name is there twice; leave one out at line 1 column 20",
        ),
    ] {
        assert_eq!(problems(args, &[]), expected, "{args:?}");
    }
    assert_eq!(
        problems(&[], &[("RINGCHAT_ECHO", "1"), ("RINGCHAT_WORKERS", "x")]),
        "RINGCHAT_ECHO: echo: expected true or false, got \"1\"\n\
         RINGCHAT_WORKERS: workers: expected a whole number from 0 to 4294967295, got \"x\""
    );
}

#[test]
fn unknown_variables_are_warned_of() {
    let env = [("RINGCHAT_PORT", "tcp://10.0.0.1:80"), ("HOME", "/"), ("RINGCHAT_ECHO", "true")];
    let loaded = read(&[], &env).unwrap();
    assert!(loaded.config.echo);
    assert_eq!(loaded.warnings, ["RINGCHAT_PORT: unknown environment variable, ignored"]);
    let near = read(&[], &[("RINGCHAT_WORKRES", "2")]).unwrap().warnings;
    assert!(near[0].ends_with(", ignored (did you mean RINGCHAT_WORKERS?)"), "{near:?}");
}

#[test]
fn the_three_forms_of_a_file_agree() {
    let toml = r#"
        listen = ["0.0.0.0:9000"]
        [client]
        allow_guests = true
        ping_interval = "10s"
        [client.token]
        hmac_secret_key = "0123456789abcdef0123456789abcdef"
        [[channel.namespaces]]
        name = "chat"
        history_size = 1000
        [[channel.namespaces]]
        name = "news"
        allow_subscribe_for_client = true
    "#;
    let json = r#"{"listen": ["0.0.0.0:9000"],
        "client": {"allow_guests": true, "ping_interval": "10s",
                   "token": {"hmac_secret_key": "0123456789abcdef0123456789abcdef"}},
        "channel": {"namespaces": [{"name": "chat", "history_size": 1000},
                                   {"name": "news", "allow_subscribe_for_client": true}]}}"#;
    let yaml = "listen: ['0.0.0.0:9000']\nclient:\n  allow_guests: true\n  ping_interval: 10s\n  \
                token:\n    hmac_secret_key: 0123456789abcdef0123456789abcdef\n\
                channel:\n  namespaces:\n    - name: chat\n      history_size: 1000\n    \
                - name: news\n      allow_subscribe_for_client: true\n";
    let configs =
        [("toml", toml), ("json", json), ("yaml", yaml), ("yml", yaml)].map(|(e, text)| {
            let file = File::new(e, text);
            good(&["--config", file.arg()], &[])
        });
    let [c, rest @ ..] = &configs;
    for other in rest {
        assert_eq!(other, c);
    }
    assert_eq!(c.listen, ["0.0.0.0:9000".parse().unwrap()]);
    assert_eq!(c.client.allow_guests, Some(true));
    let names: Vec<&str> = c.channel.namespaces.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["chat", "dm", "typing", "news"]);
    let (chat, news) = (&c.channel.namespaces[0].options, &c.channel.namespaces[3].options);
    assert!(chat.chat && chat.history_size == 1000, "the other options of chat stay");
    let only_subscribe =
        NamespaceOptions { allow_subscribe_for_client: true, ..NamespaceOptions::default() };
    assert_eq!(*news, only_subscribe, "a new namespace starts closed");
}

#[test]
fn wrong_files_are_named() {
    for (extension, text, expected) in [
        ("toml", "workers = ", " at line 1"),
        ("toml", "workers = 1\n\n[client\n", " at line 3"),
        (
            "toml",
            "[client]\nqueue_max_siez = 1",
            ": client.queue_max_siez: unknown key (did you mean client.queue_max_size?)",
        ),
        ("toml", "client = 3", ": client: is a section; give the keys below it"),
        (
            "toml",
            "[workers]\nx = 1",
            ": workers: expected a whole number from 0 to 4294967295, got {\"x\":1}",
        ),
        (
            "toml",
            "workers = \"2\"",
            ": workers: expected a whole number from 0 to 4294967295, got \"2\"",
        ),
        (
            "toml",
            "[client]\nping_interval = 25",
            ": client.ping_interval: expected a time such as \"250ms\", \"25s\" or \"24h\", got 25",
        ),
        (
            "toml",
            "[client.token]\nhmac_secret_key = 1234567",
            ": client.token.hmac_secret_key: expected a text",
        ),
        (
            "toml",
            "[channel.namespaces]\nx = 1",
            ": channel.namespaces: expected a list of namespaces, got {\"x\":1}",
        ),
        (
            "toml",
            "[[channel.namespaces]]\nname = \"chat\"\nhistory = 1",
            ": channel.namespaces.chat.history: unknown key",
        ),
        (
            "toml",
            "[[channel.namespaces]]\nhistory_size = 1",
            ": channel.namespaces: \"\" is no name: every namespace needs a `name` of two or more of the characters - a-z A-Z 0-9 _",
        ),
        (
            "toml",
            "[[channel.namespaces]]\nname = \"a:b\"",
            ": channel.namespaces: \"a:b\" is no name: every namespace needs a `name` of two or more of the characters - a-z A-Z 0-9 _",
        ),
        (
            "toml",
            "[[channel.namespaces]]\nname = \"ab\"\n[[channel.namespaces]]\nname = \"ab\"",
            ": channel.namespaces: ab is there twice; put its options into one entry",
        ),
        (
            "toml",
            "listen = \"127.0.0.1:1\"",
            ": listen: expected a list, such as [\"127.0.0.1:1\"], got \"127.0.0.1:1\"",
        ),
        ("toml", "workers = 1\nworkers = 2", " at line 2"),
        ("json", "{\"echo\": true, \"echo\": false}", ": echo is there twice; leave one out"),
        ("yaml", "echo: true\nworkers: 1\necho: false", "echo is there twice; leave one out"),
        ("json", "{", " at line 1 column 1"),
        ("json", "[]", ": expected a table of keys"),
        ("yaml", "workers: [", " at line 2 column 1"),
        ("yaml", "echo: nope", ": echo: expected true or false, got \"nope\""),
        ("ini", "", ": a configuration file ends in .toml, .json, .yaml or .yml"),
    ] {
        let file = File::new(extension, text);
        let said = problems(&["--config", file.arg()], &[]);
        assert!(said.starts_with(file.arg()), "{text}: {said}");
        assert!(said.contains(expected), "{text}: {said}");
    }
    let missing = problems(&["--config", "no/such/file.toml"], &[]);
    assert!(missing.starts_with("no/such/file.toml: cannot read this configuration file: "));
    let empty = File::new("yaml", "# nothing yet\n");
    assert_eq!(good(&["--config", empty.arg()], &[]), Config::default());
}

#[test]
fn errors_and_debug_never_show_a_secret() {
    let secret = "swordfish-swordfish-swordfish-42";
    let c = good(
        &[],
        &[("RINGCHAT_CLIENT_TOKEN_HMAC_SECRET_KEY", secret), ("RINGCHAT_HTTP_API_KEY", secret)],
    );
    assert_eq!(
        (c.client.token.hmac_secret_key.as_str(), c.http_api.key.as_str()),
        (secret, secret)
    );
    for text in [format!("{c:?}"), to_toml(&c)] {
        assert!(!text.contains("swordfish"), "{text}");
    }
    let short = problems(&[], &[("RINGCHAT_CLIENT_TOKEN_HMAC_SECRET_KEY", "swordfish")]);
    assert!(!short.contains("swordfish") && short.contains("has 9 bytes"), "{short}");
    let spaced = problems(&[], &[("RINGCHAT_HTTP_API_KEY", "sword fish")]);
    assert!(!spaced.contains("fish") && spaced.contains("http_api.key"), "{spaced}");
}
