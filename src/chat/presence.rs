//! Who is in a room, at its home, and which comings and goings are told to the members.
//!
//! Owns one entry per connection in the room, the number of connections per user, and the leaves
//! that wait: a user who comes back within the grace period was never announced to have left. It
//! encodes nothing and sends nothing. Memory: the members, and the leaves that wait. Tests: below,
//! against a naive model; `chat/tests/presence.rs` drives whole shards.
//!
//! A leave that waits belongs to a user, and one connection of the same user that comes takes its
//! place: neither the leave nor that join is announced. When the connection goes for good, the
//! leave is announced in the name of the connection whose join was announced, so for each client
//! id joins and leaves alternate. Anonymous users cannot be told apart; they have no grace.

use super::ids::ClientId;
use super::peer::Author;
use ahash::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// What is announced, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A leave waits so long, in milliseconds, for the user to come back. 0: none waits.
    pub grace_ms: u64,
    /// Nothing is announced while the room has more members than this. 0: nothing ever.
    pub announce_max: usize,
}

/// What the members are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// A connection has come.
    Join(Arc<Author>),
    /// A connection has gone.
    Leave(Arc<Author>),
}

/// A connection in the room.
#[derive(Debug)]
struct Member {
    author: Arc<Author>,
    /// In whose place it came: the join of that one was announced.
    announced: Option<Arc<Author>>,
}

/// A leave that waits.
#[derive(Debug)]
struct Leaving {
    at_ms: u64,
    author: Arc<Author>,
    /// Whether the room was small enough to be told.
    told: bool,
}

/// The presence of one room.
#[derive(Debug)]
pub struct Presence {
    rules: Rules,
    members: HashMap<ClientId, Member, RandomState>,
    /// Connections per user.
    users: HashMap<Box<str>, u32, RandomState>,
    /// Leaves that wait, by ticket. Later leaves have higher tickets.
    leaving: BTreeMap<u64, Leaving>,
    /// Tickets per user, in order.
    tickets: HashMap<Box<str>, VecDeque<u64>, RandomState>,
    next_ticket: u64,
    /// When the room's home looks at it again (monotonic milliseconds); 0: not planned.
    pub check_at_ms: u64,
}

impl Presence {
    /// Nobody is there.
    pub fn new(hasher: RandomState, rules: Rules) -> Presence {
        Presence {
            rules,
            members: HashMap::with_hasher(hasher.clone()),
            users: HashMap::with_hasher(hasher.clone()),
            leaving: BTreeMap::new(),
            tickets: HashMap::with_hasher(hasher),
            next_ticket: 0,
            check_at_ms: 0,
        }
    }

    /// Other rules from now on. Leaves that wait already keep their time.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// A connection has come. Returns what is to be announced.
    ///
    /// If a leave of the same user waits, the connection takes its place and nothing is announced.
    pub fn join(&mut self, author: Arc<Author>) -> Option<Announcement> {
        let back = self.take_back(&author.user);
        let quiet = back.is_some();
        let announced = back.filter(|before| before.client != author.client);
        let member = Member { author: author.clone(), announced };
        if let Some(replaced) = self.members.insert(author.client, member) {
            self.uncount(&replaced.author.user);
        }
        match self.users.get_mut(author.user.as_str()) {
            Some(count) => *count += 1,
            None => {
                self.users.insert(author.user.as_str().into(), 1);
            }
        }
        let told = !quiet && self.members.len() <= self.rules.announce_max;
        told.then_some(Announcement::Join(author))
    }

    /// A connection has gone, at `now_ms` (monotonic milliseconds). Returns what is to be
    /// announced at once.
    pub fn leave(&mut self, now_ms: u64, client: ClientId) -> Option<Announcement> {
        let told = self.members.len() <= self.rules.announce_max;
        let member = self.members.remove(&client)?;
        self.uncount(&member.author.user);
        if self.members.is_empty() {
            // Nobody is left who could be told, and whoever comes has been told nothing.
            self.leaving.clear();
            self.tickets.clear();
            return None;
        }
        let author = member.announced.unwrap_or(member.author);
        let Rules { grace_ms, announce_max } = self.rules;
        if author.user.is_empty() || grace_ms == 0 || announce_max == 0 {
            return told.then_some(Announcement::Leave(author));
        }
        // One that is not told waits all the same, so that the comeback is not told either.
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.entry(author.user.as_str().into()).or_default().push_back(ticket);
        let leaving = Leaving { at_ms: now_ms.saturating_add(grace_ms), author, told };
        self.leaving.insert(ticket, leaving);
        None
    }

    /// Somebody in the room goes by another name from now on: as if it left and came at once.
    pub fn rename(&mut self, author: Arc<Author>) -> [Option<Announcement>; 2] {
        let Some(member) = self.members.get_mut(&author.client) else { return [None, None] };
        let before = std::mem::replace(&mut member.author, author.clone());
        let announced = member.announced.take();
        self.uncount(&before.user);
        *self.users.entry(author.user.as_str().into()).or_default() += 1;
        if self.members.len() > self.rules.announce_max {
            return [None, None];
        }
        let leave = Announcement::Leave(announced.unwrap_or(before));
        [Some(leave), Some(Announcement::Join(author))]
    }

    /// Appends the leaves whose grace period is over at `now_ms`.
    pub fn expire(&mut self, now_ms: u64, out: &mut Vec<Announcement>) {
        let small = self.members.len() <= self.rules.announce_max;
        while let Some(first) = self.leaving.first_entry() {
            if first.get().at_ms > now_ms {
                return;
            }
            let Leaving { author, told, .. } = first.remove();
            // A user's leaves expire in the order in which they began to wait.
            self.drop_ticket(&author.user, VecDeque::pop_front);
            if told && small {
                out.push(Announcement::Leave(author));
            }
        }
    }

    /// When the next grace period is over (monotonic milliseconds).
    pub fn next_ms(&self) -> Option<u64> {
        self.leaving.first_key_value().map(|(_, leaving)| leaving.at_ms)
    }

    /// Everybody who is there, each connection once, in no order.
    pub fn list(&self) -> impl Iterator<Item = &Author> {
        self.members.values().map(|member| &*member.author)
    }

    /// Connections and users who are there; all anonymous connections are one user.
    pub fn stats(&self) -> (usize, usize) {
        (self.members.len(), self.users.len())
    }

    /// The last leave of the user that waits, which does not wait any longer.
    fn take_back(&mut self, user: &str) -> Option<Arc<Author>> {
        let ticket = self.drop_ticket(user, VecDeque::pop_back)?;
        self.leaving.remove(&ticket).map(|leaving| leaving.author)
    }

    fn drop_ticket(
        &mut self,
        user: &str,
        pop: fn(&mut VecDeque<u64>) -> Option<u64>,
    ) -> Option<u64> {
        let tickets = self.tickets.get_mut(user)?;
        let ticket = pop(tickets);
        if tickets.is_empty() {
            self.tickets.remove(user);
        }
        ticket
    }

    fn uncount(&mut self, user: &str) {
        let Some(count) = self.users.get_mut(user) else { return };
        *count -= 1;
        if *count == 0 {
            self.users.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::reply::Info;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const GRACE_MS: u64 = 5_000;

    fn presence(announce_max: usize) -> Presence {
        let rules = Rules { grace_ms: GRACE_MS, announce_max };
        Presence::new(RandomState::with_seeds(1, 2, 3, 4), rules)
    }

    fn author(client: u128, user: &str) -> Arc<Author> {
        let (client, name) = (ClientId(client), user.to_owned());
        Arc::new(Author {
            user: user.to_owned(),
            client,
            name,
            info: Info::new("", "", None, None),
        })
    }

    fn expire(presence: &mut Presence, now_ms: u64) -> Vec<Announcement> {
        let mut out = Vec::new();
        presence.expire(now_ms, &mut out);
        out
    }

    fn join(author: &Arc<Author>) -> Option<Announcement> {
        Some(Announcement::Join(author.clone()))
    }

    fn leave(author: &Arc<Author>) -> Announcement {
        Announcement::Leave(author.clone())
    }

    /// Nothing waits, and nothing is kept of what has waited.
    fn at_rest(presence: &Presence) -> bool {
        presence.leaving.is_empty() && presence.tickets.is_empty() && presence.next_ms().is_none()
    }

    #[test]
    fn a_leave_is_told_after_the_grace_period() {
        let mut room = presence(100);
        let (watcher, alice) = (author(1, "~watcher"), author(2, "~alice"));
        assert_eq!(room.join(watcher.clone()), join(&watcher));
        assert_eq!(room.join(alice.clone()), join(&alice));
        assert_eq!(room.stats(), (2, 2));
        assert_eq!(room.leave(1_000, ClientId(2)), None);
        assert_eq!((room.stats(), room.list().count()), ((1, 1), 1), "the truth, at once");
        assert_eq!(room.next_ms(), Some(6_000));
        assert_eq!(expire(&mut room, 5_999), []);
        assert_eq!(expire(&mut room, 6_000), [leave(&alice)]);
        assert!(at_rest(&room));
        assert_eq!(room.leave(7_000, ClientId(2)), None, "it is gone already");
    }

    #[test]
    fn a_comeback_cancels_one_leave_and_is_not_told() {
        let mut room = presence(100);
        let [a, b, back] = [10, 11, 12].map(|client| author(client, "~alice"));
        room.join(author(1, "~watcher"));
        room.join(a.clone());
        room.join(b.clone());
        assert_eq!(room.stats(), (3, 2));
        room.leave(1_000, a.client);
        room.leave(2_000, b.client);
        assert_eq!(room.join(back.clone()), None, "in the place of the one that left last");
        assert_eq!(expire(&mut room, 20_000), [leave(&a)]);
        assert!(room.list().any(|author| author.client == back.client), "the truth");
        // Another one, now that nothing waits, is told; so is the leave of the first, under the
        // name that was told.
        let late = author(13, "~alice");
        assert_eq!(room.join(late.clone()), join(&late));
        room.leave(20_000, back.client);
        assert_eq!(expire(&mut room, 25_000), [leave(&b)]);
        // The same connection leaves and comes again.
        room.leave(30_000, late.client);
        assert_eq!(room.join(late.clone()), None);
        room.leave(31_000, late.client);
        assert_eq!(expire(&mut room, 36_000), [leave(&late)]);
        assert!(at_rest(&room));
    }

    #[test]
    fn no_grace_for_anonymous_users_and_where_it_is_off() {
        let mut room = presence(100);
        let (watcher, nobody) = (author(1, "~watcher"), author(2, ""));
        room.join(watcher.clone());
        room.join(nobody.clone());
        room.join(author(3, ""));
        assert_eq!(room.stats(), (3, 2), "anonymous connections are one user");
        assert_eq!(room.leave(0, nobody.client), Some(leave(&nobody)));
        let rules = Rules { grace_ms: 0, announce_max: 100 };
        let mut room = Presence::new(RandomState::with_seeds(1, 2, 3, 4), rules);
        room.join(author(2, "~alice"));
        room.join(watcher.clone());
        assert_eq!(room.leave(0, watcher.client), Some(leave(&watcher)));
        assert!(at_rest(&room));
    }

    #[test]
    fn nothing_is_told_in_large_rooms() {
        let mut room = presence(100);
        let all: Vec<_> = (0..10_000).map(|n| author(n, &format!("~{n}"))).collect();
        let told = all.iter().filter_map(|author| room.join(author.clone())).count();
        assert_eq!(told, 100);
        all.iter().skip(1).for_each(|author| assert_eq!(room.leave(0, author.client), None));
        // All are back but ten; nobody was told that they were away.
        all.iter().skip(11).for_each(|author| assert_eq!(room.join(author.clone()), None));
        assert_eq!(expire(&mut room, GRACE_MS), [], "they left a large room");
        all.iter().skip(1).for_each(|author| drop(room.leave(10_000, author.client)));
        assert_eq!(room.stats(), (1, 1));
        assert_eq!(expire(&mut room, 10_000 + GRACE_MS).len(), 99, "no more than may be told");
        assert!(at_rest(&room));
    }

    #[test]
    fn an_empty_room_keeps_nothing() {
        let mut room = presence(100);
        room.join(author(1, "~alice"));
        room.join(author(2, "~bob"));
        room.leave(0, ClientId(1));
        room.leave(0, ClientId(2));
        assert!(at_rest(&room) && room.users.is_empty());
    }

    #[test]
    fn another_name_is_a_leave_and_a_join() {
        let mut room = presence(2);
        let (alice, bob) = (author(1, "~alice"), author(1, "~bob"));
        room.join(alice.clone());
        assert_eq!(room.rename(bob.clone()), [Some(leave(&alice)), join(&bob)]);
        assert_eq!((room.stats(), room.list().next()), ((1, 1), Some(&*bob)));
        assert_eq!(room.rename(author(9, "~eve")), [None, None], "not in the room");
        (2..4).for_each(|client| drop(room.join(author(client, ""))));
        assert_eq!(room.rename(alice.clone()), [None, None], "a large room");
        assert_eq!(room.stats(), (3, 2));
    }

    /// One thing that happens; connections and users are numbers, user 0 is anonymous.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Join { user: u8 },
        Leave { which: usize },
        Pass { ms: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..5).prop_map(|user| Step::Join { user }),
            (0usize..100).prop_map(|which| Step::Leave { which }),
            (0u64..2 * GRACE_MS).prop_map(|ms| Step::Pass { ms }),
        ]
    }

    fn name(user: u8) -> String {
        if user == 0 { String::new() } else { format!("~{user}") }
    }

    proptest! {
        /// What somebody knows who has been in the room all the time and has only the
        /// announcements: after the grace period it is the truth, for each user.
        #[test]
        fn announcements_lead_to_the_truth(steps in proptest::collection::vec(step(), 1..200)) {
            let mut room = presence(usize::MAX);
            room.join(author(1_000, "~watcher"));
            let mut now_ms = 0;
            // The truth: connections and their users, and when the last of a user's leaves was.
            let mut there: BTreeMap<u128, u8> = BTreeMap::new();
            // What was told: connections and their users.
            let mut told: BTreeMap<u128, String> = BTreeMap::new();
            let hear = |told: &mut BTreeMap<u128, String>, announcement| match announcement {
                Announcement::Join(a) => {
                    let known = told.insert(a.client.0, a.user.clone());
                    assert_eq!(known, None, "joined twice");
                }
                Announcement::Leave(a) => {
                    assert_eq!(told.remove(&a.client.0), Some(a.user.clone()), "left without join");
                }
            };
            for (client, step) in (0u128..).zip(steps) {
                match step {
                    Step::Join { user } => {
                        there.insert(client, user);
                        let heard = room.join(author(client, &name(user)));
                        heard.into_iter().for_each(|a| hear(&mut told, a));
                    }
                    Step::Leave { which } => {
                        let gone = there.keys().nth(which % there.len().max(1)).copied();
                        if let Some(gone) = gone {
                            there.remove(&gone);
                            let heard = room.leave(now_ms, ClientId(gone));
                            heard.into_iter().for_each(|a| hear(&mut told, a));
                        }
                    }
                    Step::Pass { ms } => {
                        now_ms += ms;
                        expire(&mut room, now_ms).into_iter().for_each(|a| hear(&mut told, a));
                        prop_assert!(room.next_ms().is_none_or(|at| at > now_ms));
                    }
                }
                let users: BTreeSet<u8> = there.values().copied().collect();
                prop_assert_eq!(room.stats(), (there.len() + 1, users.len() + 1));
                let listed: BTreeSet<u128> = room.list().map(|a| a.client.0).collect();
                let expected = there.keys().copied().chain([1_000]).collect();
                prop_assert_eq!(listed, expected);
                // Who is there was announced, itself or the one in whose place it is; nobody is
                // announced who is neither there nor waiting.
                for user in 0..5 {
                    let count = there.values().filter(|u| **u == user).count();
                    let known = told.values().filter(|u| **u == name(user)).count();
                    let waiting = room.tickets.get(name(user).as_str()).map_or(0, VecDeque::len);
                    prop_assert_eq!(known, count + waiting);
                }
            }
            now_ms += GRACE_MS;
            expire(&mut room, now_ms).into_iter().for_each(|a| hear(&mut told, a));
            prop_assert!(at_rest(&room));
            for user in 0..5 {
                let count = there.values().filter(|u| **u == user).count();
                let known = told.values().filter(|u| **u == name(user)).count();
                prop_assert_eq!(known, count);
            }
        }
    }
}
