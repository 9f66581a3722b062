//! Durations as people write them: `"25s"`, `"24h"`, `"250ms"`, `"1m 30s"`.
//!
//! The finest step is a millisecond. What is written here is read back to the same value.

use serde::{Deserialize, Deserializer, Serializer};
use std::time::Duration;

/// Reads a duration. Errors: what is wrong with the text, for people.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a time such as \"250ms\", \"25s\" or \"24h\", got {text:?}");
    let parsed = humantime::parse_duration(text).map_err(|_| wrong())?;
    if parsed.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("{text:?} is finer than a millisecond"));
    }
    if parsed > Duration::from_secs(LONGEST_SECONDS) {
        return Err(format!("{text:?} is longer than ten years"));
    }
    Ok(parsed)
}

/// Ten years: longer is a slip, and far from where adding to a clock would overflow.
const LONGEST_SECONDS: u64 = 3650 * 24 * 3600;

/// Writes a duration with the largest of h, m, s, ms that divides it.
pub(super) fn format(d: Duration) -> String {
    let millis = d.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(size, _)| millis > 0 && millis.is_multiple_of(*size));
    match whole {
        Some((size, unit)) => format!("{}{unit}", millis / size),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&format(*d))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
}
