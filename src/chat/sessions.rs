//! Connections of a shard: how they open, what they receive, what they are sent, how they end.

use super::auth::Identity;
use super::home::Entry;
use super::ids::{Audience, ClientId, ConnId, Dialect, Origin, RoomName};
use super::nicks;
use super::outbox::{Outbox, Push};
use super::peer::{Answer, Author, PeerMessage};
use super::room::{Pending, Room};
use super::session::{Beat, Purpose, Session, Stage, Wait};
use super::shard::{Close, Effects, Hello, Shard};
use crate::protocol::codes::{self, Disconnect};
use crate::protocol::command::Commands;
use crate::protocol::messages::{Encoding, Reply};
use crate::protocol::plain::Endpoint;
use crate::protocol::protobuf;
use crate::protocol::reply::{self, Info};
use crate::ws::codec::{self, Message, Violation};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;
use std::sync::Arc;

/// Queued bytes that still go out before a Close frame; more is dropped.
pub(super) const FLUSH_BYTES_MAX: usize = 64 * 1024;
/// Replies up to this many bytes are put together with those before them.
const REPLY_COPIED_MAX: usize = 1024;
/// The buffer in which replies are encoded is kept up to this many bytes.
const ENCODED_KEPT_MAX: usize = 64 * 1024;

impl Shard {
    pub(super) fn session(&mut self, slot: u32) -> Option<&mut Session> {
        self.sessions.get_mut(slot as usize)?.as_mut()
    }

    /// The session of an answer, unless the connection is gone and the slot perhaps another's.
    pub(super) fn session_of(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.session(conn.slot).filter(|s| s.generation == conn.generation)
    }

    pub(super) fn origin(&self, slot: u32) -> Origin {
        let session = self.sessions.get(slot as usize).and_then(Option::as_ref);
        let generation = session.map_or(0, |s| s.generation);
        Origin { shard: self.id, conn: ConnId { slot, generation } }
    }

    pub(super) fn open(&mut self, slot: u32, hello: Hello, fx: &mut Effects) {
        let index = slot as usize;
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, || None);
        }
        self.generations = self.generations.wrapping_add(1);
        let purpose = match hello.endpoint {
            Endpoint::Protocol => Purpose::Chat(hello.encoding.into()),
            Endpoint::Plain { .. } => Purpose::Chat(Dialect::Plain),
            Endpoint::Echo => Purpose::Echo,
        };
        let client = &self.settings.config.client;
        let protocol = matches!(purpose, Purpose::Chat(dialect) if dialect.encoding().is_some());
        let (beat, delay) = if protocol {
            (Beat::Connect, client.stale_close_delay.as_millis() as u64)
        } else {
            (Beat::Ping, self.first_beat_ms(hello.client))
        };
        let session = Session {
            generation: self.generations,
            purpose,
            connected: !protocol,
            identity: hello.identity,
            client: hello.client,
            number: hello.number,
            wait: Wait::Nothing,
            waiting: None,
            author: None,
            rooms: Vec::new(),
            outbox: Default::default(),
            writable: false,
            paused: false,
            beat,
            deadline_ms: self.now.mono_ms + delay,
            timer_ms: u64::MAX,
            budget: client.command_rate_burst.saturating_mul(1_000),
            budget_ms: self.now.mono_ms as u32,
            refused: 0,
        };
        if let Some(place) = self.sessions.get_mut(index) {
            *place = Some(session);
        }
        self.arm(slot);
        self.metrics.sessions.add(1);
        if !hello.greeting.is_empty() {
            self.send(slot, hello.greeting, false, fx);
        }
        if let Endpoint::Plain { room, .. } = hello.endpoint {
            self.enter(slot, room, fx);
        }
    }

    pub(super) fn receive(&mut self, slot: u32, message: Message<'_>, fx: &mut Effects) {
        if self.drain.started {
            return; // what is not accepted yet is not lost: nobody was told otherwise
        }
        let Some(session) = self.session(slot) else { return };
        let (purpose, encoding) = (session.purpose, session.encoding());
        match (message, purpose) {
            (Message::Ping(payload), _) => {
                if self.control_paced(slot, fx) {
                    self.send(slot, codec::pong_frame(payload), false, fx);
                }
            }
            (Message::Pong(_), _) => {
                if encoding.is_none() {
                    self.pong(slot);
                }
                self.control_paced(slot, fx);
            }
            (Message::Close(code), _) => {
                let code = code.map_or(codes::NORMAL.code, |(code, _)| code);
                self.close_after(slot, code, "", FLUSH_BYTES_MAX, fx);
            }
            (Message::Text(text), Purpose::Chat(Dialect::Json)) => {
                self.commands(slot, Commands::new(text), fx);
            }
            (Message::Binary(bytes), Purpose::Chat(Dialect::Protobuf)) => {
                self.commands(slot, protobuf::Commands::new(bytes), fx);
            }
            (Message::Text(text), Purpose::Chat(Dialect::Plain)) => self.line(slot, text, fx),
            (Message::Text(text), Purpose::Echo) => {
                let mut frame = BytesMut::with_capacity(text.len() + 10);
                codec::text_frame(&mut frame, text.as_bytes());
                self.send(slot, frame.freeze(), false, fx);
            }
            (Message::Binary(data), Purpose::Echo) => {
                let mut frame = BytesMut::with_capacity(data.len() + 10);
                codec::binary_frame(&mut frame, data);
                self.send(slot, frame.freeze(), false, fx);
            }
            (Message::Binary(_), Purpose::Chat(Dialect::Json))
            | (Message::Text(_), Purpose::Chat(Dialect::Protobuf)) => {
                self.close(slot, codes::BAD_REQUEST_CLOSE, fx);
            }
            (Message::Binary(_), Purpose::Chat(Dialect::Plain)) => {
                self.close(slot, codes::UNSUPPORTED_DATA, fx);
            }
        }
    }

    pub(super) fn violated(&mut self, slot: u32, violation: Violation, fx: &mut Effects) {
        match violation.code {
            1007 => self.metrics.ws_invalid_utf8.inc(),
            1009 => self.metrics.ws_too_big.inc(),
            _ => self.metrics.ws_protocol_errors.inc(),
        }
        self.close_after(slot, violation.code, violation.reason, FLUSH_BYTES_MAX, fx);
    }

    /// Who the session is for others. Kept, for one that publishes: it will again.
    pub(super) fn author_kept(&mut self, slot: u32) -> Arc<Author> {
        let author = self.author(slot);
        if let Some(session) = self.session(slot)
            && session.author.is_none()
        {
            session.author = Some(author.clone());
        }
        author
    }

    /// Who the session is for others. Made anew for one that only comes and goes: 300 bytes that
    /// an idle connection need not keep.
    pub(super) fn author(&mut self, slot: u32) -> Arc<Author> {
        let known = self.session(slot).and_then(|session| session.author.clone());
        known.unwrap_or_else(|| self.new_author(slot, None))
    }

    /// Who the session is for others. `chan_info`: what they are told beside it in one room, raw
    /// JSON.
    pub(super) fn new_author(&self, slot: u32, chan_info: Option<&str>) -> Arc<Author> {
        let Some(session) = self.sessions.get(slot as usize).and_then(Option::as_ref) else {
            return Arc::new(Author {
                user: String::new(),
                client: ClientId(0),
                name: String::new(),
                info: Info::default(),
            });
        };
        let user = session.identity.user();
        let nick = |nick: &str| Some(format!("{{\"nick\":{}}}", serde_json::Value::from(nick)));
        let (name, conn_info) = match &session.identity {
            Identity::Guest(name) => (name.to_string(), nick(name)),
            Identity::User(known) => {
                (known.id.to_string(), known.info.as_ref().map(|info| info.to_string()))
            }
            Identity::Anonymous => {
                let number = session.number.to_string();
                let info = nick(&number);
                let plain = session.purpose == Purpose::Chat(Dialect::Plain);
                (number, info.filter(|_| plain))
            }
        };
        let client = session.client.to_string();
        let info = Info::new(&user, &client, conn_info.as_deref(), chan_info);
        Arc::new(Author { user, client: session.client, name, info })
    }

    // ---- sending

    /// Queues whole frames for a connection; one that is too slow for them is closed.
    #[inline]
    pub(super) fn send(&mut self, slot: u32, frames: Bytes, droppable: bool, fx: &mut Effects) {
        let length = frames.len();
        self.queue(slot, length, |outbox, limit| outbox.push(frames, droppable, limit), fx);
    }

    /// `push` queues `length` bytes, unless all connections together hold too much already.
    #[inline]
    fn queue(
        &mut self,
        slot: u32,
        length: usize,
        push: impl FnOnce(&mut Outbox, usize) -> Push,
        fx: &mut Effects,
    ) {
        let crowded = self.outbox_bytes + length > self.limits.outbox_total;
        let limit = self.limits.outbox;
        let Some(session) = self.session(slot) else { return };
        if session.wait == Wait::Claims {
            return self.hold_back(slot, length, push, fx);
        }
        let push = match crowded && session.outbox.bytes() > 0 {
            true => Push::Full,
            false => push(&mut session.outbox, limit),
        };
        match push {
            Push::Queued => {
                let idle = !std::mem::replace(&mut session.writable, true);
                if idle {
                    self.writable.push_back(slot);
                }
                self.outbox_bytes += length;
            }
            Push::Dropped => self.metrics.typing_dropped.inc(),
            Push::Full => self.close(slot, codes::SLOW, fx),
        }
    }

    /// Encodes a reply and queues it.
    pub(super) fn reply(&mut self, slot: u32, reply: &Reply, fx: &mut Effects) {
        self.encode(slot, |encoding, out| reply.write(encoding, out), fx);
    }

    /// Encodes a reply with the publications of the past that belong into it, and queues it.
    pub(super) fn answer(&mut self, slot: u32, answer: &Answer, fx: &mut Effects) {
        let Answer { reply, past } = answer;
        let Some(past) = past else { return self.reply(slot, reply, fx) };
        let past = past.iter().map(Entry::publication);
        let write = |encoding, out: &mut BytesMut| {
            reply::with_publications(out, encoding, reply, past);
        };
        self.encode(slot, write, fx);
    }

    /// Encodes publications of the past as pushes, and queues them.
    pub(super) fn push_past(&mut self, slot: u32, channel: &str, past: &[Entry], fx: &mut Effects) {
        let prefix = reply::push_prefix(channel);
        for entry in past {
            let push = reply::Push::Publication(entry.publication());
            let write = |encoding, out: &mut BytesMut| match encoding {
                Encoding::Json => reply::push_json(out, &prefix, push),
                Encoding::Protobuf => reply::push_protobuf(out, channel, push),
            };
            self.encode(slot, write, fx);
        }
    }

    /// Queues a frame around what `write` writes in the connection's encoding.
    pub(super) fn encode(
        &mut self,
        slot: u32,
        write: impl FnOnce(Encoding, &mut BytesMut),
        fx: &mut Effects,
    ) {
        let Some(encoding) = self.session(slot).and_then(|s| s.encoding()) else { return };
        let mut frame = std::mem::take(&mut self.encoded);
        frame.clear();
        match encoding {
            Encoding::Json => codec::text_frame_with(&mut frame, |out| write(encoding, out)),
            Encoding::Protobuf => codec::binary_frame_with(&mut frame, |out| write(encoding, out)),
        }
        if frame.len() > REPLY_COPIED_MAX {
            self.send(slot, Bytes::copy_from_slice(&frame), false, fx);
        } else {
            let push = |outbox: &mut Outbox, limit: usize| outbox.push_copy(&frame, limit);
            self.queue(slot, frame.len(), push, fx);
        }
        // It is used again, unless it grew large.
        if frame.capacity() <= ENCODED_KEPT_MAX {
            self.encoded = frame;
        }
    }

    pub(super) fn sent(&mut self, slot: u32, fx: &mut Effects) {
        let quarter = self.limits.outbox / 4;
        let Some(session) = self.session(slot) else { return };
        let sent = session.outbox.sent();
        let more = !session.outbox.is_empty() && !std::mem::replace(&mut session.writable, true);
        let waits = session.paused || session.waiting.is_some();
        let eased = waits && session.outbox.bytes() <= quarter;
        self.outbox_bytes -= sent;
        if more {
            self.writable.push_back(slot);
        }
        if eased {
            self.resume(slot, fx);
        }
    }

    /// Goes on with a connection that had to wait, if it need not wait any longer.
    pub(super) fn resume(&mut self, slot: u32, fx: &mut Effects) {
        let Some(session) = self.session(slot) else { return };
        if session.wait != Wait::Nothing {
            return;
        }
        if let Some(rest) = session.waiting.take() {
            match session.purpose {
                Purpose::Chat(Dialect::Json) => {
                    // A part of a text, cut between two commands.
                    let rest = std::str::from_utf8(&rest).unwrap_or_default();
                    self.commands(slot, Commands::new(rest), fx);
                }
                Purpose::Chat(Dialect::Protobuf) => {
                    self.commands(slot, protobuf::Commands::new(&rest), fx);
                }
                // What waits of a plain client is no frame.
                Purpose::Chat(Dialect::Plain) | Purpose::Echo => {}
            }
        }
        let Some(session) = self.session(slot) else { return };
        if session.paused && session.wait == Wait::Nothing && session.waiting.is_none() {
            session.paused = false;
            fx.resumed.push(slot);
        }
    }

    // ---- closing

    /// Closes a connection by the server's decision.
    pub(super) fn close(&mut self, slot: u32, why: Disconnect, fx: &mut Effects) {
        let reason = match why {
            codes::SLOW => &self.metrics.closed_slow,
            codes::NO_PONG => &self.metrics.closed_no_pong,
            codes::TOO_MANY_REQUESTS_CLOSE => &self.metrics.closed_too_many_requests,
            codes::BAD_REQUEST_CLOSE => &self.metrics.closed_bad_request,
            codes::STALE => &self.metrics.closed_stale,
            _ => &self.metrics.closed_other,
        };
        reason.inc();
        let flush = if why == codes::SLOW { 0 } else { FLUSH_BYTES_MAX };
        self.close_after(slot, why.code, why.reason, flush, fx);
    }

    /// Forgets a connection and lets the caller close it. What is queued goes out first, if it is
    /// no more than `flush_max` bytes.
    pub(super) fn close_after(
        &mut self,
        slot: u32,
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        flush_max: usize,
        fx: &mut Effects,
    ) {
        self.queue_owed(slot, flush_max);
        let Some(mut session) = self.forget(slot, fx) else { return };
        let before = match session.outbox.bytes() <= flush_max {
            true => session.outbox.drain(),
            false => Vec::new(),
        };
        fx.closes.push(Close { slot, code, reason: reason.into(), before });
    }

    /// Takes a connection out of everything: its rooms, its nick, the accounts.
    pub(super) fn forget(&mut self, slot: u32, fx: &mut Effects) -> Option<Session> {
        let origin = self.origin(slot);
        let left: Vec<u32> = self.session(slot)?.rooms.iter().map(|m| m.room).collect();
        for room in left {
            self.leave(slot, room, fx);
        }
        let session = self.sessions.get_mut(slot as usize)?.take()?;
        self.forget_claims(slot);
        self.metrics.sessions.sub(1);
        self.outbox_bytes -= session.outbox.bytes();
        if let Identity::Guest(nick) = &session.identity
            && session.connected
        {
            let home = self.settings.home(&nicks::home_key(nick));
            let release = PeerMessage::Release { nick: nick.to_string(), from: origin };
            self.tell(home, release, fx);
        }
        Some(session)
    }

    /// Gives back the memory of places that no connection needs any more.
    pub fn shrink(&mut self) {
        let used = self.sessions.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.sessions.truncate(used);
        self.sessions.shrink_to_fit();
        self.rooms.shrink_to_fit();
        self.room_index.shrink_to_fit();
        self.writable.shrink_to(self.sessions.len());
    }

    /// Places for connections, used or not.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.sessions.capacity()
    }

    // ---- their rooms

    /// The room as members see it here, made if it is not there.
    pub(super) fn room(&mut self, name: &str) -> Option<u32> {
        if let Some(room) = self.room_index.get(name) {
            return Some(*room);
        }
        let options = self.settings.room_options(name).ok()?.clone();
        let name = RoomName::from(name);
        let home = self.settings.home(name.as_str());
        let index = self.rooms.insert(Room::new(name.clone(), options, home)) as u32;
        self.room_index.insert(name, index);
        Some(index)
    }

    /// Forgets a room that nobody is in or coming to.
    pub(super) fn release_room(&mut self, index: u32) {
        let unused = self
            .rooms
            .get(index as usize)
            .is_some_and(|r| r.is_unused() && r.pending == Pending::Nothing);
        if unused {
            let room = self.rooms.remove(index as usize);
            self.room_index.remove(room.name.as_str());
        }
    }

    /// Takes a connection out of a room, by the room's index.
    pub(super) fn leave(&mut self, slot: u32, index: u32, fx: &mut Effects) {
        let Some(session) = self.session(slot) else { return };
        let Some(at) = session.rooms.iter().position(|m| m.room == index) else { return };
        let membership = session.rooms.swap_remove(at);
        let purpose = session.purpose;
        self.grants.remove(slot, index);
        let Purpose::Chat(dialect) = purpose else { return };
        // A join under way ends in `joined`, which finds nobody and leaves again.
        if membership.stage != Stage::Joined {
            return;
        }
        let Some(room) = self.rooms.get_mut(index as usize) else { return };
        let audience = Audience { dialect, hears_joins: membership.terms.hears_joins };
        room.group(audience).remove(slot);
        let name = room.name.clone();
        let author = membership.terms.known().then(|| self.author_kept(slot));
        self.release_room(index);
        let home = self.settings.home(name.as_str());
        self.tell(home, PeerMessage::Leave { room: name, audience, author }, fx);
    }
}
