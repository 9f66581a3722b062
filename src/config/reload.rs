//! What of a new configuration a running server takes on.
//!
//! Tests: `config/tests/reload.rs`.

use super::{Config, print, validate};
use serde_json::Value;

/// Keys and sections that only a restart changes: they decide what is bound, and the size or the
/// order of tables that exist.
pub(super) const FIXED: &[&str] = &[
    "listen",
    "workers",
    "client.connection_limit",
    "client.connection_limit_per_address",
    "client.queue_max_size",
    "client.queue_total_max_size",
    "client.nick_grace",
    "channel.nonces_max",
    "channel.slow_mode_max",
    "fanout",
    "http_server",
    "http_api.idempotency_keys_max",
];

/// `new`, but with the values of `running` where only a restart changes them; and the keys for
/// which that makes a difference. Errors, for the operator: the two do not fit together.
pub fn for_running(new: &Config, running: &Config) -> Result<(Config, Vec<String>), String> {
    let (mut tree, old) = (print::tree(new), print::tree(running));
    let mut kept = Vec::new();
    for fixed in FIXED {
        let pointer = format!("/{}", fixed.replace('.', "/"));
        let (Some(place), Some(value)) = (tree.pointer_mut(&pointer), old.pointer(&pointer)) else {
            continue;
        };
        match (&*place, value) {
            (Value::Object(new), Value::Object(old)) => {
                let differs = |(name, value): &(&String, &Value)| new.get(*name) != Some(value);
                kept.extend(old.iter().filter(differs).map(|(name, _)| format!("{fixed}.{name}")));
            }
            (new, old) if new != old => kept.push((*fixed).to_owned()),
            _ => {}
        }
        place.clone_from(value);
    }
    let config: Config = serde_json::from_value(tree).map_err(|e| e.to_string())?;
    validate::validate(&config).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("with what only a restart changes: {}", problems.join("; "))
    })?;
    Ok((config, kept))
}
