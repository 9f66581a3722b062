//! Rooms that a connection token names (claims `channels`, `subs`): the server joins them for the
//! client, and the connect reply tells of all of them.
//!
//! The homes of the rooms are asked first. Until the last has answered, the connection is not connected,
//! and what the first rooms bring is held back: a client learns that it is in a room before it hears
//! anything of it. Tests: `chat/tests/claimed.rs`.

use super::auth::{Overrides, User};
use super::commands::Entry;
use super::grants::Grant;
use super::outbox::{Outbox, Push};
use super::peer::Welcome;
use super::session::Wait;
use super::shard::{Effects, Shard};
use super::terms::Wishes;
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::command::Connect;
use crate::protocol::messages::ServerSub;

/// A room to be joined for a client.
#[derive(Debug)]
pub(super) struct Claimed {
    room: Box<str>,
    grant: Grant,
    overrides: Overrides,
    recover: Option<(String, u64)>,
}

/// A connect command that waits for rooms.
#[derive(Debug)]
pub(super) struct Claims {
    /// The command.
    id: u32,
    /// Homes that have not answered yet.
    left: usize,
    /// What the others have said.
    subs: Vec<ServerSub>,
    /// What the rooms have brought since.
    held: Outbox,
}

impl Shard {
    /// The rooms that `user`'s token names, with the positions that the client knows. Errors: one of
    /// them cannot be (102, 107), or there are more than a connection may join (106); the client is
    /// not connected then.
    pub(super) fn claimed_rooms(
        &self,
        user: &User,
        connect: &Connect<'_>,
    ) -> Result<Vec<Claimed>, ErrorCode> {
        let subs = user.extra.as_deref().map_or(&[][..], |extra| &extra.subs);
        if subs.len() > self.settings.config.client.channel_limit {
            return Err(codes::LIMIT_EXCEEDED);
        }
        let claimed = subs.iter().map(|sub| {
            self.settings.room_options(&sub.room)?;
            let known = connect.subs.get(&*sub.room).filter(|known| known.recover);
            Ok(Claimed {
                room: sub.room.clone(),
                grant: Grant::from(sub.grant.clone()),
                overrides: sub.grant.overrides,
                recover: known.map(|known| (known.epoch.to_string(), known.offset)),
            })
        });
        claimed.collect()
    }

    /// Joins them, and then answers the connect command `id`.
    pub(super) fn join_claimed(
        &mut self,
        slot: u32,
        id: u32,
        rooms: Vec<Claimed>,
        fx: &mut Effects,
    ) {
        if rooms.is_empty() {
            return self.connected(slot, id, Vec::new(), fx);
        }
        let recovering = rooms.iter().filter(|claimed| claimed.recover.is_some()).count();
        // All that was missed goes into one reply.
        let past_bytes_max = self.past_bytes(slot) / recovering.max(1);
        let Some(session) = self.session(slot) else { return };
        session.wait = Wait::Claims;
        let claims = Claims { id, left: rooms.len(), subs: Vec::new(), held: Outbox::default() };
        self.claims.insert(slot, claims);
        for Claimed { room, grant, overrides, recover } in rooms {
            // A client that is too slow for the first rooms is gone before the last.
            if !self.claims.contains_key(&slot) {
                return;
            }
            let entry =
                Entry { id: 0, recover, overrides, wishes: Wishes::default(), past_bytes_max };
            self.join(slot, &room, entry, grant, fx);
        }
    }

    /// The home of a claimed room has answered.
    pub(super) fn claim_joined(
        &mut self,
        slot: u32,
        room: &str,
        welcome: Welcome,
        fx: &mut Effects,
    ) {
        let Some(claims) = self.claims.get_mut(&slot) else { return };
        let Welcome { mut result, past } = welcome;
        let past = past.iter().flatten();
        result.publications = past.map(|entry| entry.publication().message()).collect();
        claims.subs.push(ServerSub { room: room.to_owned(), result });
        claims.left -= 1;
        if claims.left > 0 {
            return;
        }
        let Some(Claims { id, subs, mut held, .. }) = self.claims.remove(&slot) else { return };
        if let Some(session) = self.session(slot) {
            session.wait = Wait::Nothing;
        }
        self.outbox_bytes -= held.bytes();
        self.connected(slot, id, subs, fx);
        for frames in held.drain() {
            self.send(slot, frames, false, fx);
        }
        self.resume(slot, fx);
    }

    /// Holds whole frames back until the connect reply is out. `push` queues `length` bytes.
    #[cold]
    pub(super) fn hold_back(
        &mut self,
        slot: u32,
        length: usize,
        push: impl FnOnce(&mut Outbox, usize) -> Push,
        fx: &mut Effects,
    ) {
        let crowded = self.outbox_bytes + length > self.limits.outbox_total;
        let Some(claims) = self.claims.get_mut(&slot) else { return };
        let push = match crowded && claims.held.bytes() > 0 {
            true => Push::Full,
            false => push(&mut claims.held, self.limits.outbox),
        };
        match push {
            Push::Queued => self.outbox_bytes += length,
            Push::Dropped => self.metrics.typing_dropped.inc(),
            Push::Full => self.close(slot, codes::SLOW, fx),
        }
    }

    /// The connection is gone.
    pub(super) fn forget_claims(&mut self, slot: u32) {
        if let Some(claims) = self.claims.remove(&slot) {
            self.outbox_bytes -= claims.held.bytes();
        }
    }

    /// Whether a connect command waits for rooms.
    pub(super) fn waits_for_claims(&mut self, slot: u32) -> bool {
        self.session(slot).is_some_and(|s| s.wait == Wait::Claims)
    }

    /// Joins a room for a connection that the application's backend wants there, which is told by a
    /// push.
    pub(super) fn bring(
        &mut self,
        slot: u32,
        room: &str,
        grant: Grant,
        overrides: Overrides,
        recover: Option<(String, u64)>,
        fx: &mut Effects,
    ) {
        // Nothing waits for this answer: it has to fit beside others.
        let past_bytes_max = self.limits.outbox / 4;
        let entry = Entry { id: 0, recover, overrides, wishes: Wishes::default(), past_bytes_max };
        self.join(slot, room, entry, grant, fx);
    }
}
