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
//!
//! Members are shown what they are told: [`Presence::list`] and [`Presence::stats`] have a user whose
//! leave waits, and a connection under the name that was announced, so that who asks in between and
//! then follows the announcements has the same picture as everybody. Which connections there are,
//! at once, the application's backend sees: [`Presence::connections`].

use super::ids::ClientId;
use super::peer::Author;
use ahash::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// What is announced, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A leave waits so long, in milliseconds, for the user to come back. 0: none waits.
    pub grace_ms: u64,
    /// Nothing is announced while the room has more members than this. 0: nothing ever.
    pub announce_max: usize,
}

/// How far the others may know of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// It is listed and counted.
    pub listed: bool,
    /// Its join and leave are announced.
    pub announced: bool,
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
    /// Whether it is listed until then.
    listed: bool,
}

/// The presence of one room.
#[derive(Debug)]
pub struct Presence {
    rules: Rules,
    members: HashMap<ClientId, Member, RandomState>,
    /// Those that are not listed, and those that are not announced: few, if any.
    unlisted: BTreeSet<ClientId>,
    unannounced: BTreeSet<ClientId>,
    /// Connections per user, of those that are listed.
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
            unlisted: BTreeSet::new(),
            unannounced: BTreeSet::new(),
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
    pub fn join(&mut self, author: Arc<Author>, standing: Standing) -> Option<Announcement> {
        let back = standing.announced.then(|| self.take_back(&author.user)).flatten();
        let quiet = back.is_some() || !standing.announced;
        let before = back.filter(|before| before.client != author.client);
        self.enter(Member { author: author.clone(), announced: before }, standing);
        let told = !quiet && self.members.len() <= self.rules.announce_max;
        told.then_some(Announcement::Join(author))
    }

    /// A connection was here already; nobody is told.
    pub fn know(&mut self, author: Arc<Author>, standing: Standing) {
        self.enter(Member { author, announced: None }, standing);
    }

    fn enter(&mut self, member: Member, standing: Standing) {
        let author = member.author.clone();
        if let Some(replaced) = self.members.insert(author.client, member) {
            self.forget_standing(&replaced.author);
        }
        if !standing.announced {
            self.unannounced.insert(author.client);
        }
        if standing.listed {
            self.count(&author.user);
        } else {
            self.unlisted.insert(author.client);
        }
    }

    /// A connection has gone, at `now_ms` (monotonic milliseconds). `heard`: somebody in the room is
    /// told of leaves. Returns what is to be announced at once.
    pub fn leave(&mut self, now_ms: u64, client: ClientId, heard: bool) -> Option<Announcement> {
        let told = self.members.len() <= self.rules.announce_max;
        let member = self.members.remove(&client)?;
        let Standing { listed, announced } = self.forget_standing(&member.author);
        if !announced {
            return None;
        }
        if self.members.is_empty() || !heard {
            // Nobody is here who could be told, and whoever comes has been told nothing.
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
        let leaving = Leaving { at_ms: now_ms.saturating_add(grace_ms), author, told, listed };
        self.leaving.insert(ticket, leaving);
        None
    }

    /// Somebody in the room is shown differently from now on. By another name it is as if it left
    /// and came at once.
    pub fn rename(&mut self, author: Arc<Author>) -> [Option<Announcement>; 2] {
        let Some(member) = self.members.get_mut(&author.client) else { return [None, None] };
        let before = std::mem::replace(&mut member.author, author.clone());
        if before.user == author.user {
            return [None, None];
        }
        let announced = member.announced.take();
        if !self.unlisted.contains(&author.client) {
            self.uncount(&before.user);
            self.count(&author.user);
        }
        let unannounced = self.unannounced.contains(&author.client);
        if unannounced || self.members.len() > self.rules.announce_max {
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

    /// Everybody who is there, as the members are told, in no order: with those whose leave waits.
    pub fn list(&self) -> impl Iterator<Item = &Author> {
        let told = self.members.len() <= self.rules.announce_max;
        let here = self.listed().map(move |member| match &member.announced {
            Some(announced) if told => &**announced,
            _ => &*member.author,
        });
        here.chain(self.waiting().map(|author| &**author))
    }

    /// How many connections and users [`Presence::list`] has; all anonymous connections are one
    /// user.
    pub fn stats(&self) -> (usize, usize) {
        let away = |author: &&Arc<Author>| !self.users.contains_key(author.user.as_str());
        let users: BTreeSet<&str> = self.waiting().filter(away).map(|a| a.user.as_str()).collect();
        let (connections, here) = self.connection_stats();
        (connections + self.waiting().count(), here + users.len())
    }

    /// The connections that are there now, in no order.
    pub fn connections(&self) -> impl Iterator<Item = &Author> {
        self.listed().map(|member| &*member.author)
    }

    /// How many connections, and users, are there now.
    pub fn connection_stats(&self) -> (usize, usize) {
        (self.members.len() - self.unlisted.len(), self.users.len())
    }

    fn listed(&self) -> impl Iterator<Item = &Member> {
        let all = self.unlisted.is_empty();
        let members = self.members.iter();
        members.filter(move |(id, _)| all || !self.unlisted.contains(id)).map(|(_, member)| member)
    }

    /// Whose leave waits and will be told. In a room that is too large for announcements: nobody.
    fn waiting(&self) -> impl Iterator<Item = &Arc<Author>> {
        let small = self.members.len() <= self.rules.announce_max;
        let waiting = small.then(|| self.leaving.values()).into_iter().flatten();
        waiting.filter(|leaving| leaving.told && leaving.listed).map(|leaving| &leaving.author)
    }

    /// A connection is gone, or replaced: how far the others knew of it.
    fn forget_standing(&mut self, author: &Author) -> Standing {
        let listed = !self.unlisted.remove(&author.client);
        if listed {
            self.uncount(&author.user);
        }
        Standing { listed, announced: !self.unannounced.remove(&author.client) }
    }

    fn count(&mut self, user: &str) {
        match self.users.get_mut(user) {
            Some(count) => *count += 1,
            None => {
                self.users.insert(user.into(), 1);
            }
        }
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

    const ALL: Standing = Standing { listed: true, announced: true };

    /// As in a room where everybody is told of everybody.
    impl Presence {
        fn come(&mut self, author: Arc<Author>) -> Option<Announcement> {
            self.join(author, ALL)
        }

        fn go(&mut self, now_ms: u64, client: ClientId) -> Option<Announcement> {
            self.leave(now_ms, client, true)
        }
    }

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
        assert_eq!(room.come(watcher.clone()), join(&watcher));
        assert_eq!(room.come(alice.clone()), join(&alice));
        assert_eq!(room.stats(), (2, 2));
        assert_eq!(room.go(1_000, ClientId(2)), None);
        assert_eq!((room.stats(), room.list().count()), ((2, 2), 2), "nobody was told yet");
        assert_eq!((room.connection_stats(), room.connections().count()), ((1, 1), 1));
        assert_eq!(room.next_ms(), Some(6_000));
        assert_eq!(expire(&mut room, 5_999), []);
        assert_eq!(expire(&mut room, 6_000), [leave(&alice)]);
        assert!(at_rest(&room));
        assert_eq!((room.stats(), room.list().count()), ((1, 1), 1));
        assert_eq!(room.go(7_000, ClientId(2)), None, "it is gone already");
    }

    #[test]
    fn a_comeback_cancels_one_leave_and_is_not_told() {
        let mut room = presence(100);
        let [a, b, back] = [10, 11, 12].map(|client| author(client, "~alice"));
        room.come(author(1, "~watcher"));
        room.come(a.clone());
        room.come(b.clone());
        assert_eq!(room.stats(), (3, 2));
        room.go(1_000, a.client);
        room.go(2_000, b.client);
        assert_eq!(room.come(back.clone()), None, "in the place of the one that left last");
        assert_eq!(expire(&mut room, 20_000), [leave(&a)]);
        assert!(room.connections().any(|author| author.client == back.client), "the truth");
        assert!(room.list().any(|author| author.client == b.client), "as it was told");
        // Another one, now that nothing waits, is told; so is the leave of the first, under the
        // name that was told.
        let late = author(13, "~alice");
        assert_eq!(room.come(late.clone()), join(&late));
        room.go(20_000, back.client);
        assert_eq!(expire(&mut room, 25_000), [leave(&b)]);
        // The same connection leaves and comes again.
        room.go(30_000, late.client);
        assert_eq!(room.come(late.clone()), None);
        room.go(31_000, late.client);
        assert_eq!(expire(&mut room, 36_000), [leave(&late)]);
        assert!(at_rest(&room));
    }

    #[test]
    fn no_grace_for_anonymous_users_and_where_it_is_off() {
        let mut room = presence(100);
        let (watcher, nobody) = (author(1, "~watcher"), author(2, ""));
        room.come(watcher.clone());
        room.come(nobody.clone());
        room.come(author(3, ""));
        assert_eq!(room.stats(), (3, 2), "anonymous connections are one user");
        assert_eq!(room.go(0, nobody.client), Some(leave(&nobody)));
        let rules = Rules { grace_ms: 0, announce_max: 100 };
        let mut room = Presence::new(RandomState::with_seeds(1, 2, 3, 4), rules);
        room.come(author(2, "~alice"));
        room.come(watcher.clone());
        assert_eq!(room.go(0, watcher.client), Some(leave(&watcher)));
        assert!(at_rest(&room));
    }

    #[test]
    fn nothing_is_told_in_large_rooms() {
        let mut room = presence(100);
        let all: Vec<_> = (0..10_000).map(|n| author(n, &format!("~{n}"))).collect();
        let told = all.iter().filter_map(|author| room.come(author.clone())).count();
        assert_eq!(told, 100);
        all.iter().skip(1).for_each(|author| assert_eq!(room.go(0, author.client), None));
        // All are back but ten; nobody was told that they were away.
        all.iter().skip(11).for_each(|author| assert_eq!(room.come(author.clone()), None));
        assert_eq!(expire(&mut room, GRACE_MS), [], "they left a large room");
        all.iter().skip(1).for_each(|author| drop(room.go(10_000, author.client)));
        assert_eq!((room.connection_stats(), room.stats()), ((1, 1), (100, 100)));
        assert_eq!(expire(&mut room, 10_000 + GRACE_MS).len(), 99, "no more than may be told");
        assert_eq!(room.stats(), (1, 1));
        assert!(at_rest(&room));
    }

    #[test]
    fn an_empty_room_keeps_nothing() {
        let mut room = presence(100);
        room.come(author(1, "~alice"));
        room.come(author(2, "~bob"));
        room.go(0, ClientId(1));
        room.go(0, ClientId(2));
        assert!(at_rest(&room) && room.users.is_empty());
    }

    #[test]
    fn where_nobody_hears_it_nothing_waits() {
        let mut room = presence(100);
        room.come(author(1, "~alice"));
        room.come(author(2, "~bob"));
        assert_eq!(room.leave(0, ClientId(2), false), None);
        assert!(at_rest(&room));
        assert_eq!(room.stats(), (1, 1));
        // Whoever hears by now has not been told of bob.
        let bob = author(3, "~bob");
        assert_eq!(room.come(bob.clone()), join(&bob));
    }

    #[test]
    fn who_is_not_listed_or_not_announced() {
        let mut room = presence(100);
        room.come(author(1, "~watcher"));
        let [hidden, silent, ghost] = [2, 3, 4].map(|client| author(client, &format!("~{client}")));
        let standing = |listed, announced| Standing { listed, announced };
        assert_eq!(room.join(hidden.clone(), standing(false, true)), join(&hidden));
        assert_eq!(room.join(silent.clone(), standing(true, false)), None);
        assert_eq!(room.join(ghost.clone(), standing(false, false)), None);
        assert_eq!((room.stats(), room.connection_stats()), ((2, 2), (2, 2)));
        let listed: BTreeSet<u128> = room.list().map(|author| author.client.0).collect();
        assert_eq!(listed, [1, 3].into());
        for author in [&hidden, &silent, &ghost] {
            assert_eq!(room.go(0, author.client), None);
        }
        assert_eq!(room.stats(), (1, 1), "who is not listed is not listed while its leave waits");
        assert_eq!(expire(&mut room, GRACE_MS), [leave(&hidden)]);
        assert!(at_rest(&room) && room.unlisted.is_empty() && room.unannounced.is_empty());
    }

    #[test]
    fn another_name_is_a_leave_and_a_join() {
        let mut room = presence(2);
        let (alice, bob) = (author(1, "~alice"), author(1, "~bob"));
        room.come(alice.clone());
        let told =
            Author { info: Info::new("", "", None, Some("1")), ..(*author(1, "~alice")).clone() };
        let told = Arc::new(told);
        assert_eq!(room.rename(told.clone()), [None, None], "the same, shown differently");
        assert_eq!(room.list().next(), Some(&*told));
        assert_eq!(room.rename(bob.clone()), [Some(leave(&told)), join(&bob)]);
        assert_eq!((room.stats(), room.list().next()), ((1, 1), Some(&*bob)));
        assert_eq!(room.rename(author(9, "~eve")), [None, None], "not in the room");
        (2..4).for_each(|client| drop(room.come(author(client, ""))));
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
            room.come(author(1_000, "~watcher"));
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
                        let heard = room.come(author(client, &name(user)));
                        heard.into_iter().for_each(|a| hear(&mut told, a));
                    }
                    Step::Leave { which } => {
                        let gone = there.keys().nth(which % there.len().max(1)).copied();
                        if let Some(gone) = gone {
                            there.remove(&gone);
                            let heard = room.go(now_ms, ClientId(gone));
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
                prop_assert_eq!(room.connection_stats(), (there.len() + 1, users.len() + 1));
                let now: BTreeSet<u128> = room.connections().map(|a| a.client.0).collect();
                let expected = there.keys().copied().chain([1_000]).collect();
                prop_assert_eq!(now, expected);
                // Who asks now sees what those know who have heard everything.
                let listed: BTreeSet<u128> = room.list().map(|a| a.client.0).collect();
                let expected = told.keys().copied().chain([1_000]).collect();
                prop_assert_eq!(listed, expected);
                let users: BTreeSet<&String> = told.values().collect();
                prop_assert_eq!(room.stats(), (told.len() + 1, users.len() + 1));
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
