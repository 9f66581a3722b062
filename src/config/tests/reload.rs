//! What of a new configuration a running server takes on.

use super::*;

#[test]
fn what_only_a_restart_changes_stays() {
    let running = good(&["--workers=1", "--set=client.channel_limit=5"], &[]);
    let args = [
        "--workers=2",
        "--set=client.channel_limit=6",
        "--set=http_server.idle_timeout=9s",
        "--set=channel.namespaces.news.allow_subscribe_for_client=true",
    ];
    let new = good(&args, &[]);
    let (config, kept) = for_running(&new, &running).unwrap();
    assert_eq!(kept, ["workers", "http_server.idle_timeout"]);
    let expected = Config { workers: 1, http_server: running.http_server.clone(), ..new };
    assert_eq!(config, expected);
    let (same, kept) = for_running(&config, &config).unwrap();
    assert_eq!((same, kept), (config, vec![]));
}

#[test]
fn what_stays_has_to_fit_what_is_new() {
    let key = "--set=client.token.hmac_secret_key=01234567890123456789012345678901";
    let running = good(&["--listen=0.0.0.0:8000", key], &[]);
    let error = for_running(&good(&[], &[]), &running).unwrap_err();
    assert!(error.contains("listen: 0.0.0.0:8000 can be reached from other machines"), "{error}");
}

#[test]
fn what_only_a_restart_changes_is_in_the_table_and_the_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, section) = document.split_once("## Changing a running server").unwrap();
    for fixed in super::super::reload::FIXED {
        assert!(!matches!(keys::find(fixed), keys::Found::Unknown), "{fixed}");
        assert!(section.contains(&format!("`{fixed}")), "{fixed}");
    }
}
