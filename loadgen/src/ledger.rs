//! Which deliveries have come: every message of a room to every member of it, exactly once, in
//! the order of its sender.
//!
//! Owns, for one thread's connections, the next number expected of each sender; a number that was
//! jumped over is remembered until it comes or the run ends. A connection that leaves is owed
//! nothing more; one that comes back is owed what is sent after it has joined, or, if the server
//! recovers, everything. Allocates only when something is out of line. Pure; tests at the end.

use std::collections::{BTreeMap, BTreeSet};

/// How a delivery fits in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    /// Came for the first time and in order.
    New,
    /// Came for the first time, but after one that was sent later.
    Late,
    /// Came before.
    Duplicate,
    /// Was never sent.
    Unsent,
}

/// The account of one thread's connections.
#[derive(Debug)]
pub struct Ledger {
    /// By connection: where its senders begin in `next`; one more at the end.
    base: Vec<usize>,
    /// By connection, then by sender within its room: the number that should come next.
    next: Vec<u32>,
    /// (index into `next`, number) of each that was jumped over.
    holes: BTreeSet<(usize, u32)>,
    /// Pairs whose connection came back, by index into `next`.
    returns: BTreeMap<usize, Return>,
    /// Connections that are not members now.
    away: BTreeSet<usize>,
    /// Deliveries, each counted once.
    pub delivered: u64,
}

/// A connection came back while a sender was sending.
#[derive(Clone, Copy, Debug)]
struct Return {
    /// Expected next when it left: what came before was had.
    left_at: u32,
    /// What the sender sends from here on is owed; between the two, it may come or not.
    owed_from: u32,
}

impl Ledger {
    /// For as many connections as `senders` yields: how many senders each of them hears.
    pub fn new(senders: impl Iterator<Item = usize>) -> Ledger {
        let mut base = vec![0];
        let mut len = 0;
        base.extend(senders.map(|senders| {
            len += senders;
            len
        }));
        Ledger {
            base,
            next: vec![0; len],
            holes: BTreeSet::new(),
            returns: BTreeMap::new(),
            away: BTreeSet::new(),
            delivered: 0,
        }
    }

    /// Notes message `number` of its room's sender number `rank` on `connection`.
    ///
    /// `sent`: how many messages the sender has sent, asked only when one was jumped over.
    /// Indices out of range are [`Noted::Unsent`].
    #[inline]
    pub fn note(
        &mut self,
        connection: usize,
        rank: usize,
        number: u32,
        sent: impl FnOnce() -> u32,
    ) -> Noted {
        let Some(&[from, to]) = self.base.get(connection..connection + 2) else {
            return Noted::Unsent;
        };
        let at = from + rank;
        let Some(next) = self.next.get_mut(at).filter(|_| at < to) else {
            return Noted::Unsent;
        };
        if number == *next {
            *next = next.wrapping_add(1);
            self.delivered += 1;
            return Noted::New;
        }
        self.out_of_line(at, number, sent)
    }

    #[cold]
    fn out_of_line(&mut self, at: usize, number: u32, sent: impl FnOnce() -> u32) -> Noted {
        let next = self.next[at];
        if number > next {
            if number >= sent() {
                return Noted::Unsent;
            }
            let mut missed = next;
            if let Some(back) = self.returns.remove(&at)
                && back.left_at == next
            {
                missed = missed.max(back.owed_from);
            }
            self.holes.extend((missed..number).map(|missed| (at, missed)));
            self.next[at] = number.wrapping_add(1);
            self.delivered += 1;
            return Noted::New;
        }
        if self.holes.remove(&(at, number)) {
            self.delivered += 1;
            return Noted::Late;
        }
        Noted::Duplicate
    }

    /// The number that is expected next of sender `rank` on `connection`.
    pub fn next(&self, connection: usize, rank: usize) -> u32 {
        self.base.get(connection).and_then(|from| self.next.get(from + rank)).map_or(0, |n| *n)
    }

    /// `connection` is no member any more: nothing more is owed to it.
    pub fn leave(&mut self, connection: usize) {
        self.away.insert(connection);
    }

    /// `connection` is a member again. `sent`: how many messages each of its room's senders has
    /// sent by now; `None`: the server gives it all that it has missed.
    pub fn rejoin(&mut self, connection: usize, sent: Option<&dyn Fn(usize) -> u32>) {
        self.away.remove(&connection);
        let Some(sent) = sent else { return };
        let from = self.base[connection];
        for (rank, at) in (from..self.base[connection + 1]).enumerate() {
            let (left_at, owed_from) = (self.next[at], sent(rank));
            if owed_from > left_at {
                self.returns.insert(at, Return { left_at, owed_from });
            }
        }
    }

    /// Reports the deliveries that `connection` is still owed, as ranges of numbers of a sender,
    /// where `sent` yields how many messages each of its room's senders has sent.
    pub fn missing(
        &self,
        connection: usize,
        sent: impl Iterator<Item = u32>,
        mut report: impl FnMut(usize, std::ops::Range<u32>),
    ) {
        let (from, to) = (self.base[connection], self.base[connection + 1]);
        if !self.holes.is_empty() {
            for (at, number) in self.holes.range((from, 0)..(to, 0)) {
                report(at - from, *number..*number + 1);
            }
        }
        if self.away.contains(&connection) {
            return;
        }
        for (at, sent) in (from..to).zip(sent) {
            let mut next = self.next[at];
            if next < sent {
                if let Some(back) = self.returns.get(&at)
                    && back.left_at == next
                {
                    next = next.max(back.owed_from);
                }
                if next < sent {
                    report(at - from, next..sent);
                }
            }
        }
    }

    /// Deliveries of messages that were never sent, where `sent` yields how many each sender of
    /// the connection's room has sent.
    pub fn unsent(&self, connection: usize, sent: impl Iterator<Item = u32>) -> u64 {
        let range = self.base[connection]..self.base[connection + 1];
        self.next[range].iter().zip(sent).map(|(n, sent)| u64::from(n.saturating_sub(sent))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Noted::*;

    fn ledger(connections: usize, senders: usize) -> Ledger {
        Ledger::new(std::iter::repeat_n(senders, connections))
    }

    fn missing(ledger: &Ledger, connection: usize, sent: &[u32]) -> Vec<(usize, u32)> {
        let mut all = Vec::new();
        ledger.missing(connection, sent.iter().copied(), |rank, numbers| {
            all.extend(numbers.map(|number| (rank, number)));
        });
        all
    }

    /// Notes `numbers` of one sender who has sent `sent`, on connection 1, sender 2.
    fn check(sent: u32, numbers: &[u32], noted: &[Noted], delivered: u64, lost: &[u32]) {
        let mut ledger = ledger(3, 4);
        let got = numbers.iter().map(|n| ledger.note(1, 2, *n, || sent)).collect::<Vec<_>>();
        assert_eq!(got, noted);
        for other in [0, 2] {
            assert_eq!(missing(&ledger, other, &[0; 4]), []);
        }
        assert_eq!(ledger.delivered, delivered);
        let lost = lost.iter().map(|number| (2, *number)).collect::<Vec<_>>();
        assert_eq!(missing(&ledger, 1, &[0, 0, sent, 0]), lost);
    }

    #[test]
    fn accounts_for_each_delivery() {
        check(3, &[0, 1, 2], &[New, New, New], 3, &[]);
        check(3, &[0, 1], &[New, New], 2, &[2]);
        check(3, &[0, 2], &[New, New], 2, &[1]);
        check(3, &[0, 2, 1], &[New, New, Late], 3, &[]);
        check(2, &[0, 0, 1], &[New, Duplicate, New], 2, &[]);
        check(4, &[3, 1, 1, 0], &[New, Late, Duplicate, Late], 3, &[2]);
        check(2, &[0, 2, 1], &[New, Unsent, New], 2, &[]);
    }

    #[test]
    fn keeps_connections_and_senders_apart() {
        let mut ledger = ledger(2, 2);
        for connection in 0..2 {
            for rank in 0..2 {
                assert_eq!(ledger.note(connection, rank, 0, || 1), New);
            }
        }
        assert_eq!(ledger.note(0, 2, 0, || 1), Unsent, "no such sender");
        assert_eq!(ledger.note(2, 0, 0, || 1), Unsent, "no such connection");
        assert_eq!(ledger.note(0, 1, 2, || 3), New);
        assert_eq!(missing(&ledger, 0, &[1, 3]), [(1, 1)]);
        assert_eq!(missing(&ledger, 1, &[1, 3]), [(1, 1), (1, 2)]);
    }

    #[test]
    fn rooms_have_as_many_senders_as_they_have() {
        let mut ledger = Ledger::new([0, 3, 1].into_iter());
        assert_eq!(ledger.note(0, 0, 0, || 1), Unsent);
        assert_eq!(ledger.note(1, 2, 0, || 1), New);
        assert_eq!(ledger.note(2, 0, 0, || 1), New);
        assert_eq!(ledger.note(2, 1, 0, || 1), Unsent);
    }

    #[test]
    fn who_is_away_is_owed_nothing() {
        let mut ledger = ledger(1, 1);
        ledger.note(0, 0, 0, || 9);
        ledger.note(0, 0, 2, || 9);
        ledger.leave(0);
        assert_eq!(missing(&ledger, 0, &[9]), [(0, 1)], "only what was jumped over before");
    }

    #[test]
    fn who_comes_back_is_owed_what_is_sent_from_then_on() {
        // Left when 2 were had, came back when 5 had been sent, which goes on to 8.
        for (numbers, noted, lost) in [
            (&[][..], &[][..], &[5, 6, 7][..]),
            (&[5, 6, 7], &[New, New, New], &[]),
            (&[4, 5, 6, 7], &[New, New, New, New], &[]),
            (&[2, 3, 4, 5, 6, 7], &[New; 6], &[]),
            (&[6, 7], &[New, New], &[5]),
            (&[5, 7], &[New, New], &[6]),
            (&[3, 5, 6, 7], &[New; 4], &[4]),
            (&[1, 5, 6, 7], &[Duplicate, New, New, New], &[]),
        ] {
            let mut ledger = ledger(1, 1);
            (0..2).for_each(|n| assert_eq!(ledger.note(0, 0, n, || 2), New));
            ledger.leave(0);
            ledger.rejoin(0, Some(&|_| 5));
            let got = numbers.iter().map(|n| ledger.note(0, 0, *n, || 8)).collect::<Vec<_>>();
            assert_eq!(got, noted, "{numbers:?}");
            let lost = lost.iter().map(|n| (0, *n)).collect::<Vec<_>>();
            assert_eq!(missing(&ledger, 0, &[8]), lost, "{numbers:?}");
        }
    }

    #[test]
    fn who_recovers_is_owed_everything() {
        let mut ledger = ledger(1, 1);
        ledger.note(0, 0, 0, || 1);
        ledger.leave(0);
        ledger.rejoin(0, None);
        ledger.note(0, 0, 3, || 4);
        assert_eq!(missing(&ledger, 0, &[5]), [(0, 1), (0, 2), (0, 4)]);
        assert_eq!(ledger.unsent(0, [3].into_iter()), 1);
    }
}
