//! Versions of what an application's backend publishes into a room: where each publication holds a
//! whole state, one that is older than the newest is not worth publishing any more.
//!
//! Owns the comparison, and nothing of the room: [`super::home::Home`] keeps the newest version for
//! as long as it remembers its offset. Source: the public docs, "Server API walkthrough", `version`
//! and `version_epoch` of a publish request. Tests: below, and `chat/tests/versions.rs`.

/// Bytes of a [`Version`]'s epoch.
pub const EPOCH_BYTES_MAX: usize = 255;

/// The version of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The larger, the newer. More than 0.
    pub number: u64,
    /// Numbers of different epochs cannot be compared; empty: the epoch of the one before. At most
    /// [`EPOCH_BYTES_MAX`] bytes.
    pub epoch: Box<str>,
}

impl Version {
    /// Whether this is older than `newest`, or the same.
    pub fn is_outdated(&self, newest: &Version) -> bool {
        let same_epoch = self.epoch.is_empty() || self.epoch == newest.epoch;
        same_epoch && self.number <= newest.number
    }

    /// Takes the place of `newest`, whose epoch it goes on with if it names none.
    pub fn replace(&self, newest: &mut Option<Box<Version>>) {
        let before = newest.take().filter(|_| self.epoch.is_empty());
        let epoch = before.map_or_else(|| self.epoch.clone(), |before| before.epoch);
        *newest = Some(Box::new(Version { number: self.number, epoch }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_within_its_epoch() {
        let mut newest = None;
        let mut passes = |number: u64, epoch: &str| {
            let version = Version { number, epoch: epoch.into() };
            let passes = newest.as_deref().is_none_or(|newest| !version.is_outdated(newest));
            if passes {
                version.replace(&mut newest);
            }
            passes
        };
        for (number, epoch, expect) in [
            (3, "", true),
            (3, "", false),
            (2, "", false),
            (4, "", true),
            // An epoch where there was none, then another one: any number is new.
            (1, "a", true),
            (1, "a", false),
            (2, "a", true),
            (1, "b", true),
            (5, "b", true),
            // Without an epoch: the one before.
            (5, "", false),
            (6, "", true),
            (6, "b", false),
            (7, "b", true),
            (u64::MAX, "b", true),
            (u64::MAX, "", false),
        ] {
            assert_eq!(passes(number, epoch), expect, "{number} {epoch:?}");
        }
    }
}
