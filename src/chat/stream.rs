//! The member's side of a room's stream: joins that are answered, batches that come, and the walk
//! that gives every member the bytes of the turn.

use super::auth::Identity;
use super::ids::{Audience, ConnId, Dialect, RoomName};
use super::outbox::Push;
use super::peer::{Answer, Batch, Joined, PeerMessage, Welcome};
use super::room::{Pending, Room};
use super::session::{Purpose, Stage, Wait};
use super::shard::{Effects, Shard};
use super::terms::Terms;
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::messages::{Body, PushBody, Reply, Subscribe, SubscribeResult};
use crate::protocol::{plain, reply};
use bytes::{Bytes, BytesMut};

impl Shard {
    /// A home has counted one of ours as a member: its part of the stream starts here.
    pub(super) fn joined(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        joined: Joined,
        fx: &mut Effects,
    ) {
        let Joined { id, audience, author, welcome } = joined;
        let Some(&index) = self.room_index.get(name.as_str()) else { return };
        let Some(room) = self.rooms.get_mut(index as usize) else { return };
        room.joining = room.joining.saturating_sub(1);
        let known = author.is_some();
        let asked = self.session_of(conn).and_then(|session| {
            let membership = session.rooms.iter_mut().find(|m| m.room == index)?;
            Some(std::mem::replace(&mut membership.stage, Stage::Joined))
        });
        let Some(asked) = asked else {
            // It went away while the home was asked.
            self.release_room(index);
            let home = self.settings.home(name.as_str());
            let leave = PeerMessage::Leave { room: name.clone(), audience, author };
            return self.tell(home, leave, fx);
        };
        if let Some(room) = self.rooms.get_mut(index as usize) {
            room.group(audience).add(conn.slot);
        }
        let terms = self.session_of(conn).and_then(|s| s.membership(index)).map(|m| m.terms);
        if !known && terms.is_some_and(Terms::known) {
            self.tell_present(conn.slot, index, fx);
        }
        if let Some(welcome) = welcome {
            self.welcome(conn.slot, index, id, *welcome, fx);
        }
        if asked == Stage::Unwanted {
            self.take_out(conn.slot, index, fx);
        }
        self.room_answered(conn, index, fx);
    }

    /// Tells a client of the room that it is in now: in the answer to its command, in the connect
    /// reply, or by a push.
    fn welcome(&mut self, slot: u32, index: u32, id: u32, mut told: Welcome, fx: &mut Effects) {
        let Some(room) = self.rooms.get(index as usize).map(|room| room.name.clone()) else {
            return;
        };
        self.complete(slot, index, &mut told.result);
        if id > 0 {
            let Welcome { result, past } = told;
            let answer = Answer { reply: Reply::new(id, Body::Subscribe(result)), past };
            return self.answer(slot, &answer, fx);
        }
        if self.waits_for_claims(slot) {
            return self.claim_joined(slot, room.as_str(), told, fx);
        }
        let SubscribeResult { recoverable, epoch, offset, positioned, data, .. } = told.result;
        let subscribe = Subscribe { recoverable, epoch, offset, positioned, data };
        let push = Reply::push(room.as_str(), PushBody::Subscribe(subscribe));
        self.reply(slot, &push, fx);
        self.push_past(slot, room.as_str(), told.past.as_deref().unwrap_or_default(), fx);
    }

    /// A home has refused a join.
    pub(super) fn refused(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        id: u32,
        error: ErrorCode,
        fx: &mut Effects,
    ) {
        let Some(&index) = self.room_index.get(name.as_str()) else { return };
        if let Some(room) = self.rooms.get_mut(index as usize) {
            room.joining = room.joining.saturating_sub(1);
        }
        let mut here = false;
        if let Some(session) = self.session_of(conn) {
            session.rooms.retain(|m| m.room != index);
            here = true;
        }
        self.release_room(index);
        if !here {
            return;
        }
        self.grants.remove(conn.slot, index);
        self.metrics.command_errors.inc();
        if self.is_plain(conn.slot) {
            self.notice(conn.slot, "* no more rooms can be opened", fx);
            return self.close(conn.slot, codes::PERMISSION_DENIED_CLOSE, fx);
        }
        if self.waits_for_claims(conn.slot) {
            return self.close(conn.slot, codes::CHANNEL_LIMIT, fx);
        }
        if id > 0 {
            self.reply(conn.slot, &Reply::new(id, error), fx);
        }
        self.room_answered(conn, index, fx);
    }

    /// A home has answered a history request.
    pub(super) fn past(&mut self, conn: ConnId, answer: &Answer, fx: &mut Effects) {
        let Some(session) = self.session_of(conn) else { return };
        session.wait = Wait::Nothing;
        self.answer(conn.slot, answer, fx);
        self.resume(conn.slot, fx);
    }

    /// A home has answered a publish.
    pub(super) fn published(
        &mut self,
        conn: ConnId,
        id: u32,
        result: Result<(), ErrorCode>,
        fx: &mut Effects,
    ) {
        if self.session_of(conn).is_none() {
            return;
        }
        match result {
            Err(error) if id == 0 => self.notice(conn.slot, plain::refusal(error), fx),
            _ => {
                let write =
                    |encoding, out: &mut BytesMut| reply::published(out, encoding, id, result);
                self.encode(conn.slot, write, fx);
            }
        }
    }

    fn room_answered(&mut self, conn: ConnId, room: u32, fx: &mut Effects) {
        if let Some(session) = self.session_of(conn)
            && session.wait == Wait::Room(room)
        {
            session.wait = Wait::Nothing;
            self.resume(conn.slot, fx);
        }
    }

    /// A nick's home has answered.
    pub(super) fn claimed(&mut self, conn: ConnId, nick: Option<String>, fx: &mut Effects) {
        let origin = super::ids::Origin { shard: self.id, conn };
        let Some(session) = self.session_of(conn) else {
            // It went away meanwhile: the nick is free again after its grace.
            if let Some(nick) = nick {
                let home = self.settings.home(&super::nicks::home_key(&nick));
                self.tell(home, PeerMessage::Release { nick, from: origin }, fx);
            }
            return;
        };
        let Wait::Nick(id) = session.wait else { return };
        session.wait = Wait::Nothing;
        if session.connected {
            return self.renamed(conn, id, nick, fx);
        }
        let Some(nick) = nick else {
            return self.close(conn.slot, codes::PERMISSION_DENIED_CLOSE, fx);
        };
        session.identity = Identity::Guest(nick.into());
        if session.purpose == Purpose::Chat(Dialect::Plain) {
            session.connected = true;
            let room = session.waiting.take().unwrap_or_default();
            self.enter_room(conn.slot, &String::from_utf8_lossy(&room), fx);
        } else {
            self.connected(conn.slot, id, Vec::new(), fx);
            self.resume(conn.slot, fx);
        }
    }

    /// A home's publications of one of its turns.
    pub(super) fn batch(&mut self, batch: &Batch) {
        let Some(&index) = self.room_index.get(batch.room.as_str()) else { return };
        let Some(room) = self.rooms.get_mut(index as usize) else { return };
        let before = room.turn_bytes();
        for group in &mut room.groups {
            group.append(&batch.frames[group.audience.index()], batch.count);
        }
        // More of its home's batches may be on the lane.
        self.turn_bytes += batch.frames.iter().map(Bytes::len).sum::<usize>();
        match room.pending {
            Pending::Due => return,
            Pending::Nothing if self.hold.is_off() => {
                room.pending = Pending::Due;
                return self.dirty_rooms.push(index);
            }
            Pending::Nothing => {
                room.pending = Pending::Held;
                self.hold.begin(self.now.mono_ms, index);
            }
            Pending::Held => {}
        }
        let bytes = room.turn_bytes();
        if self.hold.grow(bytes - before, bytes) {
            self.hold_no_longer(index);
        }
    }

    /// What a room has leaves at the end of this turn.
    fn hold_no_longer(&mut self, index: u32) {
        let room = self.rooms.get_mut(index as usize).filter(|r| r.pending == Pending::Held);
        let Some(room) = room else { return };
        room.pending = Pending::Due;
        self.hold.end(room.turn_bytes());
        self.dirty_rooms.push(index);
    }

    /// What is held for a member that goes: it was a member when that came, and would have had it
    /// long ago if nothing were held.
    fn owed(&mut self, slot: u32, index: u32) -> Option<(Bytes, bool)> {
        let session = self.session(slot)?;
        let Purpose::Chat(dialect) = session.purpose else { return None };
        let hears_joins = session.membership(index)?.terms.hears_joins;
        let audience = Audience { dialect, hears_joins };
        let room = self.rooms.get_mut(index as usize)?;
        let droppable = room.options.droppable;
        let (bytes, count) = room.group(audience).owed(slot)?;
        self.metrics.deliveries.add(u64::from(count));
        Some((bytes, droppable))
    }

    /// Sends a member that leaves a room what is held for it.
    pub(super) fn send_owed(&mut self, slot: u32, index: u32, fx: &mut Effects) {
        if !self.settings.config.fanout.max_delay.is_zero()
            && let Some((bytes, droppable)) = self.owed(slot, index)
        {
            self.send(slot, bytes, droppable, fx);
        }
    }

    /// Queues what is held for a connection that is being closed, as far as the outbox stays within
    /// `bytes_max`.
    pub(super) fn queue_owed(&mut self, slot: u32, bytes_max: usize) {
        if bytes_max == 0 || self.settings.config.fanout.max_delay.is_zero() {
            return;
        }
        let Some(session) = self.session(slot) else { return };
        let rooms: Vec<u32> = session.rooms.iter().map(|m| m.room).collect();
        for index in rooms {
            let Some((bytes, droppable)) = self.owed(slot, index) else { continue };
            let length = bytes.len();
            let Some(session) = self.session(slot) else { return };
            if session.outbox.push(bytes, droppable, bytes_max) == Push::Queued {
                self.outbox_bytes += length;
            }
        }
    }

    /// Gives every member of every room the bytes of the turn: small rooms first, so that a large
    /// one does not hold them up. Per member: one reference to the shared bytes. Rooms that may
    /// wait for more are left out.
    pub(super) fn flush_rooms(&mut self, fx: &mut Effects) {
        while let Some(index) = self.hold.pop_due(self.now.mono_ms) {
            self.hold_no_longer(index);
        }
        let mut dirty = std::mem::take(&mut self.dirty_rooms);
        if dirty.len() > 1 {
            dirty.sort_by_cached_key(|room| {
                self.rooms.get(*room as usize).map_or(0, Room::member_count)
            });
        }
        for index in dirty.drain(..) {
            let groups = self.rooms.get(index as usize).map_or(0, |room| room.groups.len());
            for group in 0..groups {
                self.flush_group(index, group, fx);
            }
            if let Some(room) = self.rooms.get_mut(index as usize) {
                room.pending = Pending::Nothing;
            }
            self.release_room(index);
        }
        self.dirty_rooms = dirty;
    }

    fn flush_group(&mut self, index: u32, at: usize, fx: &mut Effects) {
        let Some(room) = self.rooms.get_mut(index as usize) else { return };
        let droppable = room.options.droppable;
        let Some(group) = room.groups.get_mut(at) else { return };
        let Some((frames, count)) = group.take_turn() else { return };
        // Closing a slow member takes it out of the list that is being walked: the list is taken
        // out first and whoever was closed is removed from it after the walk.
        let members = std::mem::take(&mut group.members);
        let late = group.late.clone();
        self.metrics.deliveries.add(u64::from(count) * (members.len() + late.len()) as u64);
        let closes = fx.closes.len();
        for slot in &members {
            self.send(*slot, frames.clone(), droppable, fx);
        }
        for (slot, before) in late {
            let rest = frames.slice(before.min(frames.len())..);
            if !rest.is_empty() {
                self.send(slot, rest, droppable, fx);
            }
        }
        let Some(room) = self.rooms.get_mut(index as usize) else { return };
        let Some(group) = room.groups.get_mut(at) else { return };
        group.members = members;
        group.settle();
        for close in fx.closes.get(closes..).unwrap_or_default() {
            group.remove(close.slot);
        }
    }
}
