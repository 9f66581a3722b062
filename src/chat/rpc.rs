//! The methods of the command `rpc`: `rooms`, `whoami`, `nick`.

use super::auth::{self, Identity};
use super::commands::Refusal;
use super::ids::{ConnId, Origin, ShardId};
use super::listing::{Ask, Asker, Listed};
use super::nicks;
use super::peer::{Author, PeerMessage};
use super::session::Wait;
use super::settings::Operation;
use super::shard::{Effects, Shard};
use crate::protocol::codes;
use crate::protocol::command::GuestData;
use crate::protocol::messages::{Body, Reply, RpcResult};
use serde_json::json;
use std::sync::Arc;

/// Bytes of the largest list of rooms.
const LIST_BYTES_MAX: usize = 256 * 1024;

impl Shard {
    /// Calls a method of the server; `data`: its argument, raw JSON.
    pub(super) fn rpc(
        &mut self,
        slot: u32,
        id: u32,
        method: &str,
        data: Option<&str>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        match method {
            "rooms" => self.rooms_list(slot, id, fx),
            "whoami" => {
                self.who_am_i(slot, id, fx);
                Ok(())
            }
            "nick" => self.new_nick(slot, id, data, fx),
            _ => Err(codes::METHOD_NOT_FOUND.into()),
        }
    }

    fn rpc_answer(&mut self, slot: u32, id: u32, data: &serde_json::Value, fx: &mut Effects) {
        self.rpc_result(slot, id, data.to_string(), fx);
    }

    /// Answers with `data`, raw JSON.
    fn rpc_result(&mut self, slot: u32, id: u32, data: String, fx: &mut Effects) {
        let result = RpcResult { data: data.into() };
        self.reply(slot, &Reply::new(id, Body::Rpc(result)), fx);
    }

    // ---- whoami

    fn who_am_i(&mut self, slot: u32, id: u32, fx: &mut Effects) {
        let user = self.user(slot);
        let Some(session) = self.session(slot) else { return };
        let mut data = json!({"user": user, "client": session.client.to_string()});
        if let (Identity::Guest(nick), Some(data)) = (&session.identity, data.as_object_mut()) {
            data.insert("nick".into(), (&**nick).into());
        }
        self.rpc_answer(slot, id, &data, fx);
    }

    // ---- nick

    /// A guest wants another nick. Who sits in a room for named users keeps the name.
    fn new_nick(
        &mut self,
        slot: u32,
        id: u32,
        data: Option<&str>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let data = data.ok_or(codes::BAD_REQUEST)?;
        let wanted: GuestData<'_> = serde_json::from_str(data).map_err(|_| codes::BAD_REQUEST)?;
        let nick = wanted.nick.filter(|nick| auth::nick_allowed(nick));
        let nick = nick.ok_or(codes::BAD_REQUEST)?;
        let rooms = &self.rooms;
        let session = self.sessions.get(slot as usize).and_then(Option::as_ref);
        let Some(session) = session else { return Ok(()) };
        let Identity::Guest(present) = &session.identity else {
            return Err(codes::PERMISSION_DENIED.into());
        };
        let mut names = session.rooms.iter().filter_map(|m| rooms.get(m.room as usize));
        if names.any(|room| is_private(room.name.as_str())) {
            return Err(codes::PERMISSION_DENIED.into());
        }
        if **present == *nick {
            self.nick_granted(slot, id, &nick, fx);
            return Ok(());
        }
        let proof = wanted.resume;
        let proven =
            proof.is_some_and(|proof| auth::resume_proven(&self.settings.keys, &nick, &proof));
        self.claim(slot, id, &nick, proven, fx);
        Ok(())
    }

    /// The nick's home has answered a guest who is connected; `None`: no nick like it is free.
    pub(super) fn renamed(
        &mut self,
        conn: ConnId,
        id: u32,
        nick: Option<String>,
        fx: &mut Effects,
    ) {
        let slot = conn.slot;
        match nick {
            None => {
                self.metrics.command_errors.inc();
                self.reply(slot, &Reply::new(id, codes::LIMIT_EXCEEDED), fx);
            }
            Some(nick) => {
                self.take_nick(conn, &nick, fx);
                self.nick_granted(slot, id, &nick, fx);
            }
        }
        self.resume(slot, fx);
    }

    fn take_nick(&mut self, conn: ConnId, nick: &str, fx: &mut Effects) {
        let slot = conn.slot;
        let Some(session) = self.session(slot) else { return };
        let before = std::mem::replace(&mut session.identity, Identity::Guest(nick.into()));
        session.author = None;
        let rooms = session.rooms.iter().filter(|m| m.terms.known());
        let joined: Vec<u32> = rooms.map(|m| m.room).collect();
        self.grants.forget_authors(slot);
        if let Identity::Guest(before) = before
            && *before != *nick
        {
            let home = self.settings.home(&nicks::home_key(&before));
            let from = Origin { shard: self.id, conn };
            self.tell(home, PeerMessage::Release { nick: before.into(), from }, fx);
        }
        for index in joined {
            let Some(room) = self.rooms.get(index as usize) else { continue };
            let (room, home) = (room.name.clone(), room.home);
            let author = self.author_in(slot, index);
            self.tell(home, PeerMessage::Renamed { room, author }, fx);
        }
    }

    fn nick_granted(&mut self, slot: u32, id: u32, nick: &str, fx: &mut Effects) {
        let resume = auth::resume_proof(&self.settings.keys, nick);
        self.rpc_answer(slot, id, &json!({"nick": nick, "resume": resume}), fx);
    }

    /// A member of a room goes by another name.
    pub(super) fn home_renamed(&mut self, room: &str, author: Arc<Author>) {
        let Some(&index) = self.home_index.get(room) else { return };
        let Some(home) = self.homes.get_mut(index as usize) else { return };
        let Some(presence) = home.presence.as_mut() else { return };
        let announcements = presence.rename(author);
        self.announce(index, announcements.into_iter().flatten());
    }

    // ---- rooms

    /// Asks all shards for their rooms, unless the answer is known; the connection waits.
    fn rooms_list(&mut self, slot: u32, id: u32, fx: &mut Effects) -> Result<(), Refusal> {
        let conn = self.origin(slot).conn;
        let bytes_max = self.past_bytes(slot).min(LIST_BYTES_MAX);
        let asker = Asker { conn, id, bytes_max };
        let others = usize::from(self.settings.shards) - 1;
        let call = match self.listing.ask(self.now.mono_ms, asker, others) {
            Ask::Full => return Err(codes::TOO_MANY_REQUESTS.into()),
            Ask::Here(all) => {
                self.list_rooms(asker, &all, fx);
                return Ok(());
            }
            Ask::Wait => None,
            Ask::Call(call) => Some(call),
        };
        if let Some(session) = self.session(slot) {
            session.wait = Wait::Past;
        }
        if let Some(call) = call {
            for shard in (0..self.settings.shards).map(ShardId) {
                self.tell(shard, PeerMessage::ListRooms { call }, fx);
            }
        }
        Ok(())
    }

    /// Another shard, or this one, wants to know the public rooms whose home is here.
    pub(super) fn home_rooms(&mut self, from: ShardId, call: u64, fx: &mut Effects) {
        let now_ms = self.now.mono_ms;
        let rooms = match self.listing.own(now_ms) {
            Some(rooms) => rooms,
            None => {
                let public = self.homes.iter().map(|(_, home)| home).filter(|home| {
                    let open = home.options.chat && home.options.allow_subscribe_for_client;
                    open && !home.is_empty() && !is_private(home.name.as_str())
                });
                let listed = public.map(|home| Listed {
                    name: home.name.clone(),
                    members: home.len(),
                    topic: home.topic.clone(),
                });
                let listed = listed.collect();
                self.listing.keep_own(now_ms, listed)
            }
        };
        self.tell(from, PeerMessage::RoomList { call, rooms }, fx);
    }

    /// A shard has named its rooms.
    pub(super) fn rooms_named(&mut self, call: u64, rooms: &[Listed], fx: &mut Effects) {
        let Some((all, waiting)) = self.listing.put(self.now.mono_ms, call, rooms) else { return };
        for asker in waiting {
            if self.waits_no_longer(asker) {
                self.list_rooms(asker, &all, fx);
                self.resume(asker.conn.slot, fx);
            }
        }
    }

    /// Gives a call up that the other shards do not answer.
    pub(super) fn check_listing(&mut self, fx: &mut Effects) {
        for asker in self.listing.expire(self.now.mono_ms) {
            if self.waits_no_longer(asker) {
                let slot = asker.conn.slot;
                self.metrics.command_errors.inc();
                self.reply(slot, &Reply::new(asker.id, codes::INTERNAL), fx);
                self.resume(slot, fx);
            }
        }
    }

    /// Whether the connection is still there.
    fn waits_no_longer(&mut self, asker: Asker) -> bool {
        let session = self.session_of(asker.conn);
        session.map(|session| session.wait = Wait::Nothing).is_some()
    }

    /// Answers with the rooms that the client may join, as many as fit.
    fn list_rooms(&mut self, asker: Asker, all: &[Listed], fx: &mut Effects) {
        let user = self.user(asker.conn.slot);
        let mut bytes = 64; // what stands around the list
        let settings = &self.settings;
        let may = |room: &&Listed| {
            settings.permit(room.name.as_str(), &user, Operation::Subscribe, false).is_ok()
        };
        let entries = all.iter().filter(may).map(|room| {
            let mut entry = json!({"channel": room.name.as_str(), "members": room.members});
            if let (Some(topic), Some(entry)) = (&room.topic, entry.as_object_mut()) {
                entry.insert("topic".into(), (&**topic).into());
            }
            entry.to_string()
        });
        let fitting = entries.take_while(|entry| {
            bytes += entry.len() + 1;
            bytes <= asker.bytes_max
        });
        let data = format!("{{\"rooms\":[{}]}}", fitting.collect::<Vec<_>>().join(","));
        self.rpc_result(asker.conn.slot, asker.id, data, fx);
    }
}

/// Whether a room is not for everybody, by its name: for named users, or by token only.
fn is_private(room: &str) -> bool {
    let name = room.split_once(':').map_or(room, |(_, name)| name);
    room.starts_with('$') || name.starts_with(['#', '$'])
}
