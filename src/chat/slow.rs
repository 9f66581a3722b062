//! Slow mode: who has to wait before the next message in a room.
//!
//! Owns 64-bit keyed hashes of room and user with the time at which they may go on (about 50 bytes
//! each), at the room's home. An entry is forgotten when its time is over. Bounded: above the limit
//! those who would wait the shortest may go on sooner. Tests: below.

use ahash::RandomState;
use std::collections::{BTreeSet, HashMap};

/// Who waits, in the rooms whose home is here.
#[derive(Debug)]
pub struct Slow {
    hasher: RandomState,
    /// Until when (monotonic milliseconds).
    until: HashMap<u64, u64, RandomState>,
    /// The same in order of time.
    order: BTreeSet<(u64, u64)>,
    len_max: usize,
}

impl Slow {
    /// Nobody waits; at most `len_max` will.
    pub fn new(hasher: RandomState, len_max: usize) -> Slow {
        let until = HashMap::with_hasher(hasher.clone());
        Slow { hasher, until, order: BTreeSet::new(), len_max }
    }

    /// Whether `user` may say something in `room` at `now_ms` (monotonic milliseconds). If so, the
    /// next time is `gap_ms` later; asking too early does not put it off.
    ///
    /// `user`: the user, or the client id where the user is anonymous.
    pub fn pass(&mut self, now_ms: u64, room: &str, user: &str, gap_ms: u64) -> bool {
        while let Some(&(at_ms, hash)) = self.order.first() {
            if at_ms > now_ms {
                break;
            }
            self.order.pop_first();
            self.until.remove(&hash);
        }
        let hash = self.hasher.hash_one((room, user));
        if self.until.contains_key(&hash) {
            return false;
        }
        if self.order.len() >= self.len_max
            && let Some((_, soonest)) = self.order.pop_first()
        {
            self.until.remove(&soonest);
        }
        let at_ms = now_ms.saturating_add(gap_ms);
        self.until.insert(hash, at_ms);
        self.order.insert((at_ms, hash));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(len_max: usize) -> Slow {
        Slow::new(RandomState::with_seeds(1, 2, 3, 4), len_max)
    }

    #[test]
    fn once_per_gap_user_and_room() {
        let mut slow = slow(100);
        assert!(slow.pass(0, "r", "u", 1_000));
        assert!(!slow.pass(0, "r", "u", 1_000) && !slow.pass(999, "r", "u", 1_000));
        assert!(slow.pass(1, "r", "v", 1_000) && slow.pass(1, "s", "u", 1_000));
        assert!(slow.pass(1_000, "r", "u", 1_000), "trying did not put it off");
        assert!(!slow.pass(1_500, "r", "u", 1_000));
        assert!(slow.pass(10_000, "r", "u", 1_000));
        assert_eq!((slow.until.len(), slow.order.len()), (1, 1), "the others are forgotten");
    }

    #[test]
    fn bounded() {
        let mut slow = slow(2);
        assert!(slow.pass(0, "r", "long", 60_000) && slow.pass(0, "r", "short", 1_000));
        assert!(slow.pass(0, "r", "other", 30_000));
        assert!(slow.pass(0, "r", "short", 1_000), "forgotten for want of room");
        assert!(!slow.pass(0, "r", "long", 60_000));
        assert_eq!((slow.until.len(), slow.order.len()), (2, 2));
    }

    proptest! {
        #[test]
        fn like_a_list_of_times(
            steps in proptest::collection::vec((0u64..1_500, 0usize..3, 0usize..3), 1..200),
        ) {
            const GAPS_MS: [u64; 3] = [500, 1_000, 3_000];
            let mut slow = slow(1_000);
            let mut last: HashMap<(usize, usize), u64> = HashMap::new();
            let mut now_ms = 0;
            for (ms, room, user) in steps {
                now_ms += ms;
                let may = last.get(&(room, user)).is_none_or(|at| at + GAPS_MS[room] <= now_ms);
                let passed =
                    slow.pass(now_ms, &room.to_string(), &user.to_string(), GAPS_MS[room]);
                prop_assert_eq!(passed, may);
                if may {
                    last.insert((room, user), now_ms);
                }
                prop_assert_eq!(slow.until.len(), slow.order.len());
            }
        }
    }
}
