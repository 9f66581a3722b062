//! Who holds which nick, at the nick's home shard.
//!
//! A nick is held while its connection lives and for a grace period after; within it, coming back
//! needs proof. A nick that is taken becomes `alice-2`, `alice-3`, and so on; all of these live at
//! the home of `alice`. Memory: at most one entry per connection, and those in grace.

use super::ids::Origin;
use ahash::RandomState;
use std::collections::{HashMap, VecDeque};

/// Numbered variants tried before giving up.
const VARIANTS_MAX: u32 = 1_000;
/// Characters of a nick that decide its home: what is left of the longest nick in `nick-999`.
const HOME_KEY_CHARS: usize = super::auth::NICK_CHARS_MAX - 4;

#[derive(Debug)]
struct Holder {
    /// `None`: gone, the grace period runs.
    origin: Option<Origin>,
    free_at_ms: u64,
}

/// The nicks whose home is here.
#[derive(Debug)]
pub struct Nicks {
    held: HashMap<String, Holder, RandomState>,
    /// Ends of grace periods, in order (the period is the same for all).
    grace: VecDeque<(u64, String)>,
    grace_ms: u64,
}

/// The nick that decides the home: `alice` for `alice-2`.
pub fn base(nick: &str) -> &str {
    match nick.rsplit_once('-') {
        Some((base, number))
            if !base.is_empty()
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            base
        }
        _ => nick,
    }
}

/// What decides a nick's home: its base, cut so that every variant of a nick has the same.
pub fn home_key(nick: &str) -> String {
    base(nick).chars().take(HOME_KEY_CHARS).collect()
}

impl Nicks {
    /// No nick is held.
    pub fn new(hasher: RandomState, grace_ms: u64) -> Nicks {
        Nicks { held: HashMap::with_hasher(hasher), grace: VecDeque::new(), grace_ms }
    }

    /// Gives `from` the nick, or the next free variant of it. `proven`: it was granted to this
    /// client before. `None`: too many variants are taken.
    pub fn claim(
        &mut self,
        now_ms: u64,
        nick: &str,
        from: Origin,
        proven: bool,
        chars_max: usize,
    ) -> Option<String> {
        self.expire(now_ms);
        if proven || !self.held.contains_key(nick) {
            self.hold(nick.to_owned(), from);
            return Some(nick.to_owned());
        }
        let base = base(nick);
        (2..VARIANTS_MAX).find_map(|number| {
            let suffix = format!("-{number}");
            let stem: String = base.chars().take(chars_max.saturating_sub(suffix.len())).collect();
            let variant = format!("{stem}{suffix}");
            (!self.held.contains_key(&variant)).then(|| {
                self.hold(variant.clone(), from);
                variant
            })
        })
    }

    /// The connection that held `nick` is gone: its grace period starts.
    pub fn release(&mut self, now_ms: u64, nick: &str, from: Origin) {
        self.expire(now_ms);
        let Some(holder) = self.held.get_mut(nick) else { return };
        if holder.origin != Some(from) {
            return; // taken over with proof by a newer connection
        }
        holder.origin = None;
        holder.free_at_ms = now_ms + self.grace_ms;
        self.grace.push_back((holder.free_at_ms, nick.to_owned()));
        self.expire(now_ms);
    }

    fn hold(&mut self, nick: String, from: Origin) {
        self.held.insert(nick, Holder { origin: Some(from), free_at_ms: 0 });
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some((at, nick)) = self.grace.pop_front_if(|(at, _)| *at <= now_ms) {
            let over = |h: &Holder| h.origin.is_none() && h.free_at_ms == at;
            if self.held.get(&nick).is_some_and(over) {
                self.held.remove(&nick);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::{ConnId, ShardId};
    use super::*;

    fn origin(slot: u32) -> Origin {
        Origin { shard: ShardId(0), conn: ConnId { slot, generation: slot } }
    }

    fn nicks() -> Nicks {
        Nicks::new(RandomState::with_seeds(1, 2, 3, 4), 1_000)
    }

    #[test]
    fn taken_nicks_get_a_number_and_proof_takes_them_back() {
        let mut nicks = nicks();
        let mut claim = |now, nick, slot, proven| nicks.claim(now, nick, origin(slot), proven, 32);
        assert_eq!(claim(0, "alice", 1, false).as_deref(), Some("alice"));
        assert_eq!(claim(0, "alice", 2, false).as_deref(), Some("alice-2"));
        assert_eq!(claim(0, "alice-2", 3, false).as_deref(), Some("alice-3"));
        assert_eq!(claim(0, "alice", 4, true).as_deref(), Some("alice"));
        // The old connection's end does not free what the new one holds.
        nicks.release(1, "alice", origin(1));
        assert_eq!(nicks.claim(5_000, "alice", origin(5), false, 32).as_deref(), Some("alice-4"));
    }

    #[test]
    fn a_nick_is_free_after_its_grace() {
        let mut nicks = nicks();
        nicks.claim(0, "bob", origin(1), false, 32);
        nicks.release(10, "bob", origin(1));
        assert_eq!(nicks.claim(500, "bob", origin(2), false, 32).as_deref(), Some("bob-2"));
        assert_eq!(nicks.claim(1_010, "bob", origin(3), false, 32).as_deref(), Some("bob"));
        nicks.release(1_020, "bob-2", origin(2));
        nicks.release(1_020, "bob", origin(3));
        nicks.expire(2_020);
        assert!(nicks.held.is_empty() && nicks.grace.is_empty());
    }

    #[test]
    fn variants_stay_within_the_length() {
        let mut nicks = nicks();
        let long = "é".repeat(32);
        nicks.claim(0, &long, origin(1), false, 32);
        let variant = nicks.claim(0, &long, origin(2), false, 32).unwrap();
        assert_eq!(variant.chars().count(), 32);
        assert!(variant.ends_with("-2"));
        assert_eq!(home_key(&variant), home_key(&long), "all variants have one home");
    }

    #[test]
    fn bases() {
        for (nick, expect) in
            [("alice", "alice"), ("alice-2", "alice"), ("a-b", "a-b"), ("-2", "-2"), ("a-", "a-")]
        {
            assert_eq!(base(nick), expect);
        }
    }
}
