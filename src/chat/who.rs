//! Who is in a room: the commands `presence` and `presence_stats`, and what a room's home answers.

use super::commands::Refusal;
use super::ids::RoomName;
use super::peer::{Answer, Author, PeerMessage, PresenceRequest};
use super::presence::{Announcement, Presence, Rules};
use super::session::{Membership, Stage, Wait};
use super::settings::Operation;
use super::shard::{Effects, Shard};
use super::terms::Terms;
use crate::protocol::codes;
use crate::protocol::messages::{Body, PresenceResult, PresenceStatsResult, Reply};
use std::sync::Arc;

/// Bytes of the largest list of members.
const LIST_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a client id and what stands around it in such a list.
const CLIENT_ID_BYTES: usize = 40;

impl Shard {
    /// What rooms tell of who comes and goes.
    pub(super) fn presence_rules(&self) -> Rules {
        let config = &self.settings.config.presence;
        Rules { grace_ms: config.grace.as_millis() as u64, announce_max: config.announce_max }
    }

    /// Remembers who has joined a room, by its index at home. Returns what is to be announced.
    pub(super) fn present(
        &mut self,
        index: u32,
        author: Arc<Author>,
        terms: Terms,
    ) -> Option<Announcement> {
        self.presence_of(index)?.join(author, terms.into())
    }

    /// Who is in a room, by its index at home.
    fn presence_of(&mut self, index: u32) -> Option<&mut Presence> {
        let rules = self.presence_rules();
        let home = self.homes.get_mut(index as usize)?;
        let new = || Box::new(Presence::new(self.settings.hasher.clone(), rules));
        Some(home.presence.get_or_insert_with(new))
    }

    /// Tells a room's home who a member is that it has counted without knowing.
    pub(super) fn tell_present(&mut self, slot: u32, index: u32, fx: &mut Effects) {
        let membership = self.session(slot).and_then(|s| s.membership(index)).copied();
        let Some(Membership { terms, .. }) = membership.filter(|m| m.stage == Stage::Joined) else {
            return;
        };
        let Some(room) = self.rooms.get(index as usize) else { return };
        let (room, home) = (room.name.clone(), room.home);
        let author = self.author_in(slot, index);
        self.tell(home, PeerMessage::Present { room, author, terms }, fx);
    }

    /// Remembers a member of a room that has not been asked so far. Nobody is told of a join: it
    /// was here all the time.
    pub(super) fn home_present(&mut self, room: &RoomName, author: Arc<Author>, terms: Terms) {
        let index = self.home_index.get(room).copied();
        if let Some(presence) = index.and_then(|index| self.presence_of(index)) {
            presence.know(author, terms.into());
        }
    }

    /// Asks a room's home who is there; the connection waits for the answer, which may be large.
    pub(super) fn presence(
        &mut self,
        slot: u32,
        id: u32,
        channel: &str,
        count_only: bool,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let member = self.is_member(slot, channel);
        let user = self.user(slot);
        let options = self.settings.permit(channel, &user, Operation::Presence, member)?;
        if !options.presence {
            return Err(codes::NOT_AVAILABLE.into());
        }
        let room = RoomName::from(channel);
        let from = self.origin(slot);
        let bytes_max = self.past_bytes(slot).min(LIST_BYTES_MAX);
        if let Some(session) = self.session(slot) {
            session.wait = Wait::Past;
        }
        let request = PresenceRequest { room, from, id, count_only, bytes_max };
        self.tell(self.settings.home(channel), PeerMessage::Presence(Box::new(request)), fx);
        Ok(())
    }

    /// Answers who is in a room. One that nobody is in need not exist for that.
    pub(super) fn home_presence(&mut self, request: &PresenceRequest, fx: &mut Effects) {
        let &PresenceRequest { ref room, from, id, count_only, bytes_max } = request;
        let home = self.home_index.get(room).and_then(|index| self.homes.get(*index as usize));
        let presence = home.and_then(|home| home.presence.as_deref());
        let (clients, users) = presence.map_or((0, 0), Presence::stats);
        let listed = || presence.into_iter().flat_map(Presence::list);
        let bytes = || listed().map(|author| CLIENT_ID_BYTES + author.info.bytes()).sum::<usize>();
        let body = if count_only {
            // Lossless: there are fewer connections than a u32 counts.
            let (num_clients, num_users) = (clients as u32, users as u32);
            Ok(Body::PresenceStats(PresenceStatsResult { num_clients, num_users }))
        } else if clients <= self.settings.config.presence.max_members && bytes() <= bytes_max {
            let presence =
                listed().map(|author| (author.client.to_string(), author.info.message()));
            Ok(Body::Presence(PresenceResult { presence: presence.collect() }))
        } else {
            Err(codes::LIMIT_EXCEEDED)
        };
        let reply = match body {
            Ok(body) => Reply::new(id, body),
            Err(error) => {
                self.metrics.command_errors.inc();
                Reply::new(id, error)
            }
        };
        let answer = Box::new(Answer { reply, past: None });
        self.tell(from.shard, PeerMessage::Past { conn: from.conn, answer }, fx);
    }
}
