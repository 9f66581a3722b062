//! What is written about the configuration reads back and is complete.

use super::*;

#[test]
fn the_printed_configuration_reads_back() {
    let all = "--set=client.allow_guests=false --set=client.ping_interval=1500ms --echo \
               --set=client.allow_anonymous_connect_without_token=true --workers=2 \
               --allow-origin=https://a.example --set=channel.namespaces.news.presence=true";
    for args in [vec![], all.split_whitespace().collect()] {
        let mut args: Vec<&str> = args;
        args.push("--set=client.pong_timeout=1s");
        let config = good(&args, &[]);
        let text = to_toml(&config);
        let file = File::new("toml", &text);
        assert_eq!(good(&["--config", file.arg()], &[]), config, "{text}");
        assert!(text.lines().all(|l| l.len() <= 100), "{text}");
        for (path, _) in keys::all() {
            assert!(text.contains(&keys::variable(&path)), "{path}");
        }
    }
    let text = to_toml(&Config::default());
    assert!(text.contains(
        "# Bytes queued for one client, bytes in flight included, at most 4294967295; above it: \
         disconnect\n# 3008.\n# Unit: bytes. Default: 1048576. Environment: RINGCHAT_CLIENT_QUEUE_MAX_SIZE.\n\
         queue_max_size = 1048576\n"
    ));
}

#[test]
fn durations_are_written_as_they_are_read() {
    for (text, written) in [
        ("0s", "0s"),
        ("250ms", "250ms"),
        ("1500ms", "1500ms"),
        ("25s", "25s"),
        ("90s", "90s"),
        ("1m 30s", "90s"),
        ("120s", "2m"),
        ("24h", "24h"),
        ("2days", "48h"),
    ] {
        let d = duration::parse(text).unwrap();
        assert_eq!(duration::format(d), written);
        assert_eq!(duration::parse(written).unwrap(), d);
    }
}

/// The tables of `docs/configuration.md`, made from the table of keys.
fn tables() -> String {
    let defaults = print::tree(&Config::default());
    let cell = |text: &str| text.replace('|', "\\|");
    let mut out =
        String::from("| key, environment | unit | default | meaning |\n|---|---|---|---|\n");
    for (path, key) in keys::all().filter(|(path, _)| !path.starts_with(keys::WITHOUT_NAMESPACE)) {
        let default = print::shown(&key, print::at(&defaults, &path));
        out += &format!(
            "| `{path}`<br>`{}` | {} | {default} | {} |\n",
            keys::variable(&path),
            key.kind.unit(),
            cell(key.help)
        );
    }
    let options = |o: &NamespaceOptions| serde_json::to_value(o).unwrap();
    let channel = ChannelConfig::default();
    let columns: Vec<(String, Value)> =
        std::iter::once(("none".to_owned(), options(&channel.without_namespace)))
            .chain(
                channel.namespaces.iter().map(|n| (format!("`{}`", n.name), options(&n.options))),
            )
            .chain([("new".to_owned(), options(&NamespaceOptions::default()))])
            .collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    out += &format!("\n| option | unit | {} | meaning |\n", names.join(" | "));
    out += &format!("|---|---|{}---|\n", "---|".repeat(columns.len()));
    for option in keys::OPTIONS {
        let values = columns.iter().map(|(_, o)| print::shown(option, &o[option.path]));
        out += &format!(
            "| `{}` | {} | {} | {} |\n",
            option.path,
            option.kind.unit(),
            values.collect::<Vec<_>>().join(" | "),
            cell(option.help)
        );
    }
    out
}

#[test]
fn the_document_names_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    for table in tables().split("\n\n") {
        let table = table.trim();
        assert!(document.contains(table), "docs/configuration.md should contain:\n\n{table}\n");
    }
}
