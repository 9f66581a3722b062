//! Rooms that wait for company: what `fanout.max_delay` lets a shard hold back.
//!
//! Owns the list of rooms that wait, until when, and how many bytes they have. It knows neither
//! members nor bytes themselves (those are the room's), reads no clock, and with a delay of 0 it
//! never holds anything. Time is in whole milliseconds, as the timer of a core is: a core that
//! sleeps may wake a millisecond or two after the time has come, a busy one looks in every turn.
//! Tests: at the end of this file, and `chat/tests/holding.rs`.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of one room at which waiting gains nothing any more: a send of 64 KiB costs what its
/// bytes cost, and a longer one only makes the turn longer.
const ROOM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of all rooms together, no more than fill a turn. A member may be in all of them, and then
/// they reach its outbox at once.
const BYTES_MAX: usize = 256 * 1024;

/// The rooms whose publications are held back.
#[derive(Debug)]
pub struct Hold {
    delay_ms: u64,
    room_bytes_max: usize,
    bytes_max: usize,
    bytes: usize,
    /// Until when, and which room; in order of time, because the delay is the same for all. A room
    /// that was full before its time leaves its entry behind, which may end a later wait of a room
    /// at the same index early, never late.
    rooms: VecDeque<(u64, u32)>,
}

impl Hold {
    /// Holds for `delay` at most, and a quarter of an outbox of `queue_max` bytes at most.
    pub fn new(delay: Duration, queue_max: usize) -> Hold {
        let quarter = queue_max / 4;
        Hold {
            delay_ms: delay.as_millis() as u64,
            room_bytes_max: ROOM_BYTES_MAX.min(quarter),
            bytes_max: BYTES_MAX.min(quarter),
            bytes: 0,
            rooms: VecDeque::new(),
        }
    }

    /// Whether nothing is held back (any more).
    pub fn is_off(&self) -> bool {
        self.delay_ms == 0
    }

    /// From now on nothing is held back, and what is held is due.
    pub fn stop(&mut self) {
        self.delay_ms = 0;
    }

    /// `room` begins to wait.
    pub fn begin(&mut self, now_ms: u64, room: u32) {
        self.rooms.push_back((now_ms + self.delay_ms, room));
    }

    /// A room that waits has got `more` bytes and has `all` now. Returns whether it is full.
    pub fn grow(&mut self, more: usize, all: usize) -> bool {
        self.bytes += more;
        all >= self.room_bytes_max
    }

    /// A room with `bytes` waits no longer.
    pub fn end(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// The next room that has to wait no longer: its time has come, or all together hold too much,
    /// or nothing is held any more. [`Hold::end`] follows, unless it has waited no longer already.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<u32> {
        let (until_ms, room) = *self.rooms.front()?;
        let due = until_ms <= now_ms || self.bytes > self.bytes_max || self.is_off();
        due.then(|| {
            self.rooms.pop_front();
            room
        })
    }

    /// When the next room has waited long enough.
    pub fn next_ms(&self) -> Option<u64> {
        self.rooms.front().map(|(until_ms, _)| *until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_bytes_and_the_end() {
        let mut hold = Hold::new(Duration::from_millis(5), 1 << 20);
        assert_eq!((hold.next_ms(), hold.pop_due(99)), (None, None));
        hold.begin(100, 7);
        hold.begin(102, 8);
        assert!(!hold.grow(10, 10));
        assert_eq!((hold.next_ms(), hold.pop_due(104)), (Some(105), None));
        assert_eq!((hold.pop_due(105), hold.pop_due(105)), (Some(7), None));
        hold.end(10);
        // A room is full at 64 KiB; all together at more than 256 KiB, oldest first.
        assert!(!hold.grow((64 << 10) - 1, (64 << 10) - 1) && hold.grow(1, 64 << 10));
        hold.begin(103, 9);
        hold.grow(192 << 10, 1);
        assert_eq!(hold.pop_due(103), None);
        hold.grow(1, 1);
        assert_eq!(hold.pop_due(103), Some(8));
        hold.end(64 << 10);
        assert_eq!(hold.pop_due(103), None);
        hold.stop();
        assert_eq!((hold.is_off(), hold.pop_due(103)), (true, Some(9)));
    }

    #[test]
    fn no_more_than_a_quarter_of_an_outbox() {
        let mut hold = Hold::new(Duration::from_millis(5), 4_096);
        hold.begin(0, 1);
        assert!(!hold.grow(1_023, 1_023) && hold.grow(1, 1_024));
        assert_eq!(hold.pop_due(0), None);
        hold.grow(1, 1);
        assert_eq!(hold.pop_due(0), Some(1));
    }
}
