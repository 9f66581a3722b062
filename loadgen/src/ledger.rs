//! Which deliveries have come: every message of a room to every member of it, exactly once, in
//! the order of its sender.
//!
//! Owns, for one thread's connections, the next number expected of each sender; a number that
//! was jumped over is remembered until it comes or the run ends. Allocates only then. Pure; tests
//! at the end.

use std::collections::BTreeSet;

/// How a delivery fits in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    /// Came for the first time (in order, or after one that was sent later).
    New,
    /// Came before.
    Duplicate,
    /// Was never sent.
    Unsent,
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Deliveries, each counted once.
    pub delivered: u64,
    /// Deliveries that had come before.
    pub duplicate: u64,
    /// Deliveries that came after one of the same sender that was sent later.
    pub out_of_order: u64,
}

/// The account of one thread's connections.
#[derive(Debug)]
pub struct Ledger {
    senders_per_room: usize,
    /// By connection, then by sender within its room.
    next: Vec<u32>,
    /// (index into `next`, number) of each that was jumped over.
    holes: BTreeSet<(usize, u32)>,
    /// What was counted so far.
    pub counts: Counts,
}

impl Ledger {
    /// For `connections`, each of which hears at most `senders_per_room` senders.
    pub fn new(connections: usize, senders_per_room: usize) -> Ledger {
        Ledger {
            senders_per_room,
            next: vec![0; connections * senders_per_room],
            holes: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// Notes message `number` of the room's `sender` on `connection`.
    ///
    /// `sent`: how many messages the sender has sent, asked only when one was jumped over.
    /// Indices out of range are [`Noted::Unsent`].
    #[inline]
    pub fn note(
        &mut self,
        connection: usize,
        sender: usize,
        number: u32,
        sent: impl FnOnce() -> u32,
    ) -> Noted {
        let at = connection * self.senders_per_room + sender;
        let Some(next) = self.next.get_mut(at).filter(|_| sender < self.senders_per_room) else {
            return Noted::Unsent;
        };
        if number == *next {
            *next = next.wrapping_add(1);
            self.counts.delivered += 1;
            return Noted::New;
        }
        if number > *next {
            if number >= sent() {
                return Noted::Unsent;
            }
            self.holes.extend((*next..number).map(|missed| (at, missed)));
            *next = number.wrapping_add(1);
            self.counts.delivered += 1;
            return Noted::New;
        }
        if self.holes.remove(&(at, number)) {
            self.counts.delivered += 1;
            self.counts.out_of_order += 1;
            return Noted::New;
        }
        self.counts.duplicate += 1;
        Noted::Duplicate
    }

    /// Deliveries that `connection` is still owed, where `sent` is how many messages each of its
    /// room's senders has sent.
    pub fn missing(&self, connection: usize, sent: impl Iterator<Item = u32>) -> u64 {
        let from = connection * self.senders_per_room;
        let to = from + self.senders_per_room;
        let tail = self.next.get(from..to).unwrap_or_default().iter().zip(sent);
        let tail: u64 = tail.map(|(next, sent)| u64::from(sent.saturating_sub(*next))).sum();
        tail + self.holes.range((from, 0)..(to, 0)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Noted::*;

    /// Notes `numbers` of one sender who has sent `sent`, on connection 1, sender 2.
    fn check(sent: u32, numbers: &[u32], noted: &[Noted]) -> (Counts, u64) {
        let mut ledger = Ledger::new(3, 4);
        let got = numbers.iter().map(|n| ledger.note(1, 2, *n, || sent)).collect::<Vec<_>>();
        assert_eq!(got, noted);
        for other in [0, 2] {
            assert_eq!(ledger.missing(other, [0, 0, 0, 0].into_iter()), 0);
        }
        (ledger.counts, ledger.missing(1, [0, 0, sent, 0].into_iter()))
    }

    #[test]
    fn accounts_for_each_delivery() {
        let counts =
            |delivered, duplicate, out_of_order| Counts { delivered, duplicate, out_of_order };
        assert_eq!(check(3, &[0, 1, 2], &[New, New, New]), (counts(3, 0, 0), 0));
        assert_eq!(check(3, &[0, 1], &[New, New]), (counts(2, 0, 0), 1), "the last is missing");
        assert_eq!(check(3, &[0, 2], &[New, New]), (counts(2, 0, 0), 1), "one in between");
        assert_eq!(check(3, &[0, 2, 1], &[New, New, New]), (counts(3, 0, 1), 0), "swapped");
        assert_eq!(check(2, &[0, 0, 1], &[New, Duplicate, New]), (counts(2, 1, 0), 0));
        assert_eq!(
            check(4, &[3, 1, 1, 0], &[New, New, Duplicate, New]),
            (counts(3, 1, 2), 1),
            "reversed, one repeated, one missing"
        );
        assert_eq!(check(2, &[0, 2, 1], &[New, Unsent, New]), (counts(2, 0, 0), 0));
    }

    #[test]
    fn keeps_connections_and_senders_apart() {
        let mut ledger = Ledger::new(2, 2);
        for connection in 0..2 {
            for sender in 0..2 {
                assert_eq!(ledger.note(connection, sender, 0, || 1), New);
            }
        }
        assert_eq!(ledger.note(0, 2, 0, || 1), Unsent, "no such sender");
        assert_eq!(ledger.note(2, 0, 0, || 1), Unsent, "no such connection");
        assert_eq!(ledger.note(0, 1, 2, || 3), New);
        assert_eq!(ledger.missing(0, [1, 3].into_iter()), 1);
        assert_eq!(ledger.missing(1, [1, 3].into_iter()), 2);
    }
}
