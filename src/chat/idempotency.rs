//! What was answered to which idempotency key lately: a publication that the application's backend
//! sends again with the same key, into the same room, within five minutes, is not published again;
//! the first one's answer is given once more.
//!
//! Owns 64-bit keyed hashes of room and key instead of the texts: with a hundred thousand of them a
//! new one collides with a probability of 5e-15. An entry with its age is about 64 bytes. Bounded:
//! above the limit the oldest go first, and are counted. Tests: below.

use super::ids::Epoch;
use ahash::RandomState;
use std::collections::{HashMap, VecDeque};

/// How long a key is remembered, in milliseconds.
pub const KEY_MS: u64 = 5 * 60 * 1_000;

/// Where a publication is kept; `None`: nowhere (no history, or it was to be skipped).
pub type Kept = Option<(Epoch, u64)>;

/// The keys of the rooms whose home is here.
#[derive(Debug)]
pub struct Idempotency {
    hasher: RandomState,
    answers: HashMap<u64, Kept, RandomState>,
    ages: VecDeque<(u64, u64)>,
    len_max: usize,
    /// Keys forgotten before their time.
    pub forgotten: u64,
}

impl Idempotency {
    /// None is known; at most `len_max` will be.
    pub fn new(hasher: RandomState, len_max: usize) -> Idempotency {
        let answers = HashMap::with_hasher(hasher.clone());
        Idempotency { hasher, answers, ages: VecDeque::new(), len_max, forgotten: 0 }
    }

    /// What was answered to `key` in `room` within the last five minutes.
    pub fn find(&mut self, now_ms: u64, room: &str, key: &str) -> Option<Kept> {
        while let Some((_, hash)) = self.ages.pop_front_if(|(at, _)| *at + KEY_MS <= now_ms) {
            self.answers.remove(&hash);
        }
        self.answers.get(&self.hasher.hash_one((room, key))).copied()
    }

    /// Remembers the answer to a key that [`Idempotency::find`] did not know.
    pub fn remember(&mut self, now_ms: u64, room: &str, key: &str, kept: Kept) {
        let hash = self.hasher.hash_one((room, key));
        if self.answers.insert(hash, kept).is_some() {
            return; // its age stands in the list already
        }
        self.ages.push_back((now_ms, hash));
        if self.ages.len() > self.len_max
            && let Some((_, oldest)) = self.ages.pop_front()
        {
            self.answers.remove(&oldest);
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_again_within_five_minutes() {
        let mut keys = Idempotency::new(RandomState::with_seeds(1, 2, 3, 4), 3);
        assert_eq!(keys.find(0, "r", "k"), None);
        keys.remember(0, "r", "k", Some((Epoch(1), 7)));
        keys.remember(1, "s", "k", None);
        assert_eq!(keys.find(KEY_MS - 1, "r", "k"), Some(Some((Epoch(1), 7))));
        assert_eq!(keys.find(KEY_MS - 1, "s", "k"), Some(None));
        assert_eq!((keys.find(1, "r", "l"), keys.find(1, "t", "k")), (None, None));
        assert_eq!(keys.find(KEY_MS, "r", "k"), None);
        assert_eq!((keys.answers.len(), keys.ages.len(), keys.forgotten), (1, 1, 0));
        for key in ["a", "b", "c"] {
            keys.remember(KEY_MS, "r", key, None);
        }
        assert_eq!(keys.find(KEY_MS, "s", "k"), None, "forgotten for want of room");
        assert_eq!((keys.answers.len(), keys.ages.len(), keys.forgotten), (3, 3, 1));
    }
}
