//! A room's members here: who gets the bytes that a turn brings.
//!
//! Owns dense lists of members and the bytes of the turn. It knows nothing of order or history
//! (that is the room's home) and nothing of connections (they are slots).

use super::ids::{Audience, RoomName, ShardId};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

use crate::config::NamespaceOptions;

/// A room as this shard's members see it.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub name: RoomName,
    /// Options of its namespace.
    pub options: Arc<NamespaceOptions>,
    /// The shard that orders it.
    pub home: ShardId,
    /// Members and bytes, by audience; those that have been here at some time. Most rooms have one.
    pub groups: Vec<Group>,
    /// Members whose join is under way.
    pub joining: u32,
    /// Where it stands with what it has for its members.
    pub pending: Pending,
}

/// Where a room stands with what it has for its members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pending {
    /// It has nothing.
    #[default]
    Nothing,
    /// It has something that may wait for more.
    Held,
    /// It waits in the list of rooms to flush.
    Due,
}

/// The members who take the same bytes.
#[derive(Debug)]
pub struct Group {
    /// Who they are.
    pub audience: Audience,
    /// Slots of the members who were here when the turn began to bring bytes.
    pub members: Vec<u32>,
    /// Members who came since, each with the number of bytes that came before it.
    pub late: Vec<(u32, usize)>,
    turn: Turn,
    count: u32,
}

/// The bytes of a turn: usually one batch, passed on as it came; several are copied together once.
#[derive(Debug, Default)]
enum Turn {
    #[default]
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Room {
    /// A room without members.
    pub fn new(name: RoomName, options: Arc<NamespaceOptions>, home: ShardId) -> Room {
        let pending = Pending::Nothing;
        Room { name, options, home, groups: Vec::new(), joining: 0, pending }
    }

    /// Members here, without those whose join is under way.
    pub fn member_count(&self) -> usize {
        self.groups.iter().map(|g| g.members.len() + g.late.len()).sum()
    }

    /// Bytes that wait for its members.
    pub fn turn_bytes(&self) -> usize {
        self.groups.iter().map(Group::turn_bytes).sum()
    }

    /// Whether nobody is here or coming.
    pub fn is_unused(&self) -> bool {
        self.joining == 0 && self.member_count() == 0
    }

    /// The group of an audience, made if it is not there.
    pub fn group(&mut self, audience: Audience) -> &mut Group {
        let at = self.groups.iter().position(|group| group.audience == audience);
        let at = at.unwrap_or_else(|| {
            self.groups.reserve_exact(1);
            self.groups.push(Group::new(audience));
            self.groups.len() - 1
        });
        &mut self.groups[at]
    }
}

impl Group {
    /// Nobody yet.
    pub fn new(audience: Audience) -> Group {
        Group { audience, members: Vec::new(), late: Vec::new(), turn: Turn::default(), count: 0 }
    }

    /// Appends a batch for everybody who is a member now. `count`: publications in it.
    pub fn append(&mut self, frames: &Bytes, count: u32) {
        if frames.is_empty() || self.members.is_empty() && self.late.is_empty() {
            return;
        }
        self.count += count;
        self.turn = match std::mem::take(&mut self.turn) {
            Turn::Empty => Turn::One(frames.clone()),
            Turn::One(first) => {
                let mut all = BytesMut::with_capacity((first.len() + frames.len()) * 2);
                all.extend_from_slice(&first);
                all.extend_from_slice(frames);
                Turn::Many(all)
            }
            Turn::Many(mut all) => {
                all.extend_from_slice(frames);
                Turn::Many(all)
            }
        };
    }

    /// Bytes of this turn so far.
    pub fn turn_bytes(&self) -> usize {
        match &self.turn {
            Turn::Empty => 0,
            Turn::One(bytes) => bytes.len(),
            Turn::Many(bytes) => bytes.len(),
        }
    }

    /// Adds a member. It receives what comes from now on.
    pub fn add(&mut self, slot: u32) {
        match self.turn_bytes() {
            0 => self.members.push(slot),
            before => self.late.push((slot, before)),
        }
    }

    /// What a member that goes would have got so far, and how many publications that is (for one
    /// that came late, at most). `None`: nothing.
    pub fn owed(&mut self, slot: u32) -> Option<(Bytes, u32)> {
        if self.turn_bytes() == 0 {
            return None;
        }
        let before = match self.members.contains(&slot) {
            true => 0,
            false => self.late.iter().find(|(late, _)| *late == slot)?.1,
        };
        // Many may go at once: they share one copy.
        if let Turn::Many(all) = &self.turn {
            self.turn = Turn::One(Bytes::copy_from_slice(all));
        }
        let Turn::One(bytes) = &self.turn else { return None };
        let owed = bytes.slice(before.min(bytes.len())..);
        (!owed.is_empty()).then_some((owed, self.count))
    }

    /// Removes a member. A walk over a dense list: 10,000 members are 40 KB, about 2 us.
    pub fn remove(&mut self, slot: u32) {
        match self.members.iter().position(|member| *member == slot) {
            Some(at) => {
                self.members.swap_remove(at);
            }
            None => self.late.retain(|(late, _)| *late != slot),
        }
    }

    /// Ends the turn: the bytes and how many publications they hold, or `None` if it brought
    /// nothing. The late members still stand in `late`, with the bytes that they do not get;
    /// [`Group::settle`] makes them members like the others.
    pub fn take_turn(&mut self) -> Option<(Bytes, u32)> {
        let bytes = match std::mem::take(&mut self.turn) {
            Turn::Empty => return None,
            Turn::One(bytes) => bytes,
            // An allocation of its own size: a small batch never pins a large block.
            Turn::Many(all) => Bytes::copy_from_slice(&all),
        };
        Some((bytes, std::mem::take(&mut self.count)))
    }

    /// Makes the late members like the others.
    pub fn settle(&mut self) {
        self.members.extend(self.late.drain(..).map(|(slot, _)| slot));
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::Dialect;
    use super::*;

    fn empty() -> Group {
        Group::new(Audience { dialect: Dialect::Json, hears_joins: true })
    }

    /// What each member gets, the walk that the shard does.
    fn flush(group: &mut Group) -> Vec<(u32, Vec<u8>)> {
        let mut got = Vec::new();
        if let Some((bytes, _)) = group.take_turn() {
            got.extend(group.members.iter().map(|m| (*m, bytes.to_vec())));
            got.extend(group.late.iter().map(|(m, before)| (*m, bytes[*before..].to_vec())));
        }
        group.settle();
        got.retain(|(_, bytes)| !bytes.is_empty());
        got
    }

    #[test]
    fn a_member_gets_the_turn_from_its_join_on() {
        let mut group = empty();
        group.append(&Bytes::from_static(b"nobody hears this"), 1);
        group.add(1);
        group.append(&Bytes::from_static(b"a"), 1);
        group.add(2);
        group.append(&Bytes::from_static(b"b"), 1);
        group.add(3);
        assert_eq!(flush(&mut group), [(1, b"ab".to_vec()), (2, b"b".to_vec())]);
        group.append(&Bytes::from_static(b"c"), 1);
        assert_eq!(flush(&mut group).len(), 3);
        assert_eq!(flush(&mut group), []);
    }

    #[test]
    fn what_a_member_that_goes_is_owed() {
        let mut group = empty();
        (0..2).for_each(|slot| group.add(slot));
        assert_eq!(group.owed(0), None);
        group.append(&Bytes::from_static(b"a"), 1);
        assert_eq!(group.owed(0), Some((Bytes::from_static(b"a"), 1)));
        group.append(&Bytes::from_static(b"b"), 1);
        group.add(7);
        assert_eq!((group.owed(7), group.owed(8)), (None, None));
        group.append(&Bytes::from_static(b"c"), 1);
        assert_eq!(group.owed(0).unwrap().0, "abc");
        assert_eq!(group.owed(7).unwrap().0, "c");
        group.remove(0);
        group.append(&Bytes::from_static(b"d"), 1);
        assert_eq!(flush(&mut group), [(1, b"abcd".to_vec()), (7, b"cd".to_vec())]);
    }

    #[test]
    fn leaving() {
        let mut group = empty();
        (0..4).for_each(|slot| group.add(slot));
        [1, 3, 2, 9].into_iter().for_each(|slot| group.remove(slot));
        assert_eq!(group.members, [0]);
        group.append(&Bytes::from_static(b"x"), 1);
        group.add(7);
        group.remove(7);
        assert_eq!(flush(&mut group), [(0, b"x".to_vec())]);
    }
}
