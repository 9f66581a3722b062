//! Which nonces were used lately: the same nonce of the same user in the same room within five
//! minutes is published once.
//!
//! Owns 64-bit keyed hashes only (16 bytes per nonce and its age); with a million of them a new
//! one collides with a probability of 5e-14. Bounded: above the limit the oldest go first.

use ahash::RandomState;
use std::collections::{HashSet, VecDeque};

/// How long a nonce is remembered, in milliseconds.
pub const NONCE_MS: u64 = 5 * 60 * 1_000;

/// The nonces of the rooms whose home is here.
#[derive(Debug)]
pub struct Nonces {
    hasher: RandomState,
    known: HashSet<u64, RandomState>,
    ages: VecDeque<(u64, u64)>,
    len_max: usize,
    /// Nonces forgotten before their time.
    pub forgotten: u64,
}

impl Nonces {
    /// None is known; at most `len_max` will be.
    pub fn new(hasher: RandomState, len_max: usize) -> Nonces {
        let known = HashSet::with_hasher(hasher.clone());
        Nonces { known, hasher, ages: VecDeque::new(), len_max, forgotten: 0 }
    }

    /// Whether a nonce was used within the last five minutes.
    pub fn known(&mut self, now_ms: u64, room: &str, user: &str, nonce: &str) -> bool {
        self.expire(now_ms);
        self.known.contains(&self.hasher.hash_one((room, user, nonce)))
    }

    /// Remembers a nonce; false: it was used within the last five minutes.
    ///
    /// `user`: the user, or the client id where the user is anonymous.
    pub fn fresh(&mut self, now_ms: u64, room: &str, user: &str, nonce: &str) -> bool {
        self.expire(now_ms);
        let hash = self.hasher.hash_one((room, user, nonce));
        if !self.known.insert(hash) {
            return false;
        }
        self.ages.push_back((now_ms, hash));
        if self.ages.len() > self.len_max
            && let Some((_, oldest)) = self.ages.pop_front()
        {
            self.known.remove(&oldest);
            self.forgotten += 1;
        }
        true
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some((_, hash)) = self.ages.pop_front_if(|(at, _)| *at + NONCE_MS <= now_ms) {
            self.known.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_within_five_minutes() {
        let mut nonces = Nonces::new(RandomState::with_seeds(1, 2, 3, 4), 3);
        assert!(nonces.fresh(0, "r", "u", "n"));
        assert!(!nonces.fresh(1, "r", "u", "n"));
        assert!(nonces.known(1, "r", "u", "n") && !nonces.known(1, "r", "u", "m"));
        assert!(nonces.fresh(1, "r", "v", "n") && nonces.fresh(1, "s", "u", "n"));
        assert!(!nonces.fresh(NONCE_MS - 1, "r", "u", "n"));
        assert!(nonces.fresh(NONCE_MS, "r", "u", "n"));
        assert!(nonces.fresh(3 * NONCE_MS, "r", "u", "n"));
        assert_eq!((nonces.known.len(), nonces.ages.len()), (1, 1));
        for nonce in ["a", "b", "c"] {
            assert!(nonces.fresh(3 * NONCE_MS, "r", "u", nonce));
        }
        assert!(nonces.fresh(3 * NONCE_MS, "r", "u", "n"), "forgotten for want of room");
        assert_eq!((nonces.known.len(), nonces.forgotten), (3, 2));
    }
}
