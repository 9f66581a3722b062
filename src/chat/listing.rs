//! The list of public rooms: which rooms this shard is home to, and the lists of all shards put
//! together.
//!
//! Owns the call to the other shards that is under way, who waits for it, and the last result, which
//! is good for a second: however many ask, each shard walks its rooms once a second. Bounded: so
//! many rooms, so many who wait, so long. It reads no room itself and answers nobody. Tests: below,
//! and `chat/tests/rpc.rs`.

use super::ids::{ConnId, RoomName};
use std::cmp::Reverse;
use std::sync::Arc;

/// Rooms in a list; the largest are kept.
pub const ROOMS_MAX: usize = 1_000;
/// How long a list is good, in milliseconds.
const FRESH_MS: u64 = 1_000;
/// How long the other shards may take to answer, in milliseconds.
const CALL_MS: u64 = 5_000;
/// Connections that may wait for a list.
const WAITING_MAX: usize = 10_000;

/// One public room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: RoomName,
    /// Connections in it.
    pub members: usize,
    /// What it is about.
    pub topic: Option<Arc<str>>,
}

/// Who waits for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The connection.
    pub conn: ConnId,
    /// Command to answer.
    pub id: u32,
    /// Bytes that the answer may have.
    pub bytes_max: usize,
}

/// What has to happen when somebody asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// Here it is.
    Here(Arc<[Listed]>),
    /// It comes later; ask the other shards in this call.
    Call(u64),
    /// It comes later; the others have been asked already.
    Wait,
    /// Too many wait.
    Full,
}

/// The list of rooms, as a shard gives it to its clients.
#[derive(Debug, Default)]
pub struct Listing {
    call: u64,
    pending: Option<Pending>,
    /// All shards' rooms, and since when (monotonic milliseconds).
    all: Option<(u64, Arc<[Listed]>)>,
    /// This shard's rooms, and since when.
    own: Option<(u64, Arc<[Listed]>)>,
}

/// A call under way.
#[derive(Debug)]
struct Pending {
    missing: usize,
    until_ms: u64,
    rooms: Vec<Listed>,
    waiting: Vec<Asker>,
}

/// The largest rooms first, equal ones by name, and no more than there may be.
pub fn largest(mut rooms: Vec<Listed>) -> Vec<Listed> {
    rooms
        .sort_unstable_by(|a, b| (Reverse(a.members), &a.name).cmp(&(Reverse(b.members), &b.name)));
    rooms.truncate(ROOMS_MAX);
    rooms
}

impl Listing {
    /// This shard's rooms as they were within the last second.
    pub fn own(&self, now_ms: u64) -> Option<Arc<[Listed]>> {
        fresh(self.own.as_ref(), now_ms)
    }

    /// Keeps this shard's rooms.
    pub fn keep_own(&mut self, now_ms: u64, rooms: Vec<Listed>) -> Arc<[Listed]> {
        let rooms: Arc<[Listed]> = largest(rooms).into();
        self.own = Some((now_ms, rooms.clone()));
        rooms
    }

    /// Somebody asks. `others`: how many other shards there are. After [`Ask::Call`] this shard's
    /// own rooms have to be put in like those of the others.
    pub fn ask(&mut self, now_ms: u64, asker: Asker, others: usize) -> Ask {
        if let Some(all) = fresh(self.all.as_ref(), now_ms) {
            return Ask::Here(all);
        }
        if let Some(pending) = &mut self.pending {
            if pending.waiting.len() >= WAITING_MAX {
                return Ask::Full;
            }
            pending.waiting.push(asker);
            return Ask::Wait;
        }
        self.call += 1;
        self.pending = Some(Pending {
            missing: others + 1,
            until_ms: now_ms + CALL_MS,
            rooms: Vec::new(),
            waiting: vec![asker],
        });
        Ask::Call(self.call)
    }

    /// A shard has answered `call`. When all have: the whole list, and who waits for it.
    pub fn put(
        &mut self,
        now_ms: u64,
        call: u64,
        rooms: &[Listed],
    ) -> Option<(Arc<[Listed]>, Vec<Asker>)> {
        let pending = self.pending.as_mut().filter(|_| call == self.call)?;
        pending.rooms.extend_from_slice(rooms);
        pending.missing -= 1;
        if pending.missing > 0 {
            return None;
        }
        let pending = self.pending.take()?;
        let all: Arc<[Listed]> = largest(pending.rooms).into();
        self.all = Some((now_ms, all.clone()));
        Some((all, pending.waiting))
    }

    /// When the call under way has taken too long (monotonic milliseconds).
    pub fn next_ms(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.until_ms)
    }

    /// Gives a call up that has taken too long; returns who waited for it. Lists that are no longer
    /// good are forgotten when somebody asks.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Asker> {
        let late = self.pending.take_if(|pending| pending.until_ms <= now_ms);
        late.map(|pending| pending.waiting).unwrap_or_default()
    }
}

fn fresh(kept: Option<&(u64, Arc<[Listed]>)>, now_ms: u64) -> Option<Arc<[Listed]>> {
    kept.filter(|(since_ms, _)| now_ms < since_ms + FRESH_MS).map(|(_, rooms)| rooms.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, members: usize) -> Listed {
        Listed { name: RoomName::from(name), members, topic: None }
    }

    fn asker(slot: u32) -> Asker {
        Asker { conn: ConnId { slot, generation: 1 }, id: slot, bytes_max: 1_000 }
    }

    fn names(rooms: &[Listed]) -> Vec<&str> {
        rooms.iter().map(|room| room.name.as_str()).collect()
    }

    #[test]
    fn the_lists_of_all_shards_are_put_together() {
        let mut listing = Listing::default();
        assert_eq!(listing.ask(0, asker(1), 2), Ask::Call(1));
        assert_eq!(listing.ask(1, asker(2), 2), Ask::Wait);
        assert_eq!(listing.put(2, 1, &[listed("b", 2), listed("a", 2)]), None);
        assert_eq!(listing.put(2, 1, &[]), None);
        let (all, waiting) = listing.put(3, 1, &[listed("c", 7), listed("d", 1)]).unwrap();
        assert_eq!((names(&all), waiting), (vec!["c", "a", "b", "d"], vec![asker(1), asker(2)]));
        assert_eq!(listing.next_ms(), None);
        assert_eq!(listing.ask(1_002, asker(3), 2), Ask::Here(all));
        assert_eq!(listing.ask(1_003, asker(3), 2), Ask::Call(2), "a second later");
        assert_eq!(listing.put(1_003, 1, &[]), None, "an answer to the call before");
    }

    #[test]
    fn a_call_that_takes_too_long_is_given_up() {
        let mut listing = Listing::default();
        listing.ask(0, asker(1), 1);
        assert_eq!(listing.next_ms(), Some(5_000));
        assert_eq!(listing.expire(4_999), []);
        assert_eq!(listing.expire(5_000), [asker(1)]);
        assert_eq!((listing.next_ms(), listing.put(5_001, 1, &[])), (None, None));
        assert_eq!(listing.ask(5_002, asker(1), 1), Ask::Call(2));
    }

    #[test]
    fn bounded() {
        let mut listing = Listing::default();
        for n in 0..10_000 {
            assert_ne!(listing.ask(0, asker(n), 1), Ask::Full);
        }
        assert_eq!(listing.ask(0, asker(0), 1), Ask::Full);
        let many = |from: usize| (from..from + 800).map(|n| listed(&n.to_string(), n)).collect();
        listing.put(0, 1, &largest(many(0)));
        let (all, waiting) = listing.put(0, 1, &largest(many(800))).unwrap();
        assert_eq!((all.len(), waiting.len()), (ROOMS_MAX, 10_000));
        assert_eq!((all[0].members, all[999].members), (1_599, 600));
        let own = listing.keep_own(0, many(0));
        assert_eq!((listing.own(999), listing.own(1_000)), (Some(own), None));
    }
}
