//! The server API's part of a shard: what an application's backend asks for, and what it is
//! answered.
//!
//! Owns [`Request`] and [`Answer`], which stand between HTTP and the rooms, and how a shard carries a
//! request out: at once, without asking another shard. What concerns a room goes to the room's home
//! shard; what concerns users goes to every shard, and who asked puts the answers together. It knows
//! no JSON body, no key and no HTTP. Source: the public docs, "Server API walkthrough". Tests:
//! `chat/tests/api.rs`.

use super::auth::Identity;
use super::auth::Overrides;
use super::grants::Grant;
use super::home::{Home, Limit, NewPublication, Range};
use super::idempotency::Kept;
use super::ids::{Dialect, RoomName};
use super::presence::Presence;
use super::session::{Purpose, Session, Stage};
use super::sessions::FLUSH_BYTES_MAX;
use super::shard::{Effects, Shard};
use super::version::Version;
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::content::SharedContent;
use crate::protocol::messages::{
    PresenceResult, PresenceStatsResult, PushBody, RefreshPush, Reply,
};
use crate::protocol::reply::Tags;
use bytes::Bytes;
use globset::GlobMatcher;
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of publications that one answer with history may carry; the rest is asked for with `since`.
const PAST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is asked of one shard.
#[derive(Debug, Clone)]
pub enum Request {
    /// To a room's home: publish.
    Publish {
        /// Into this room.
        room: RoomName,
        /// What; a broadcast shares it between its rooms.
        post: Arc<Post>,
    },
    /// To a room's home: the past of a room.
    History(History),
    /// To a room's home: forget the past of a room, but not where its stream stands.
    HistoryRemove(RoomName),
    /// To a room's home: who is there.
    Presence(RoomName),
    /// To a room's home: how many are there.
    PresenceStats(RoomName),
    /// To a room's home: whether it can be joined, because it is there or can be made.
    Open(RoomName),
    /// To every shard: bring sessions into a room. Its home is asked first, with
    /// [`Request::Open`]: a join that it refuses later is heard of by nobody.
    Subscribe(Box<Subscribe>),
    /// To every shard: take sessions out of a room.
    Unsubscribe {
        /// Whose.
        target: Target,
        /// Out of this room.
        room: RoomName,
    },
    /// To every shard: close connections.
    Disconnect(Box<Disconnect>),
    /// To every shard: connections live longer, or not any longer.
    Refresh {
        /// Whose.
        target: Target,
        /// Until when, in Unix seconds; `None`: without an end. What is over is closed.
        expires_at: Option<u64>,
    },
    /// To every shard: the rooms at home there that have members.
    Channels(Option<GlobMatcher>),
    /// To every shard: how much is there.
    Info,
}

/// Something to be published.
#[derive(Debug)]
pub struct Post {
    /// The payload.
    pub content: SharedContent,
    /// What is attached to it.
    pub tags: Option<Arc<Tags>>,
    /// It takes no offset and is not kept.
    pub skip_history: bool,
    /// The same key in the same room within five minutes publishes once.
    pub idempotency_key: Option<Box<str>>,
    /// Where it is kept: not published unless it is newer than the newest one.
    pub version: Option<Version>,
}

/// Whose sessions are meant.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The user; `""`: anonymous clients, and then `client` names one.
    pub user: String,
    /// Only the connection with this client id.
    pub client: Option<String>,
    /// Only the session with this id. Sessions have none here, so that nobody is meant.
    pub session: bool,
}

/// A subscription made for a user.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Whose sessions.
    pub target: Target,
    /// Into this room.
    pub room: RoomName,
    /// For the client: raw JSON, or other bytes.
    pub data: Option<Bytes>,
    /// Position from which it is to recover: epoch, offset.
    pub recover: Option<(String, u64)>,
    /// For the others in the room: `chan_info`, raw JSON.
    pub info: Option<Box<str>>,
    /// Options of the room that are different for these sessions.
    pub overrides: Overrides,
    /// When the subscription ends, Unix seconds; `None`: it does not end by itself.
    pub expires_at: Option<u64>,
    /// Why the room's home takes nobody, if so.
    pub refused: Option<ErrorCode>,
}

/// Connections to be closed.
#[derive(Debug, Clone)]
pub struct Disconnect {
    /// Whose.
    pub target: Target,
    /// Client ids that stay.
    pub whitelist: Vec<String>,
    /// Code of the Close frame, 3000 to 4999.
    pub code: u16,
    /// Reason of the Close frame, at most 123 bytes.
    pub reason: String,
}

/// What of a room's past is wanted.
#[derive(Debug, Clone)]
pub struct History {
    /// The room.
    pub room: RoomName,
    /// Publications wanted; 0: the position only; negative: as many as there are.
    pub limit: i32,
    /// Only what lies beyond this position: epoch (empty: any), offset.
    pub since: Option<(String, u64)>,
    /// Newest first.
    pub reverse: bool,
}

/// What one shard answers.
pub type Answer = Result<Outcome, ErrorCode>;

/// What was done, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is published, and kept there.
    Published(Kept),
    /// A result object, encoded.
    Object(String),
    /// Rooms and how many members each has.
    Channels(Vec<(RoomName, usize)>),
    /// How much is there.
    Info(Counts),
}

/// How much there is on a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub clients: usize,
    /// Memberships in rooms at home here.
    pub subscriptions: usize,
    /// Rooms at home here that have members.
    pub channels: usize,
    /// Users with a connection here, as keyed hashes: a user may have others elsewhere.
    pub users: Vec<u64>,
}

impl Post {
    fn borrow(&self) -> NewPublication<'_> {
        NewPublication {
            content: self.content.view(),
            author: None,
            tags: self.tags.as_ref(),
            skip_history: self.skip_history,
        }
    }

    /// Bytes of it, about.
    pub fn bytes(&self) -> usize {
        let tags = self.tags.iter().flat_map(|tags| tags.iter());
        let tags: usize = tags.map(|(word, value)| word.len() + value.len()).sum();
        self.content.view().json_len() + tags
    }
}

impl Target {
    /// Whether a session is meant: one that chats, and has said who it is.
    fn means(&self, session: &Session) -> bool {
        let user = match &session.identity {
            Identity::Anonymous => self.user.is_empty(),
            Identity::Guest(nick) => self.user.strip_prefix('~') == Some(&**nick),
            Identity::User(user) => *user.id == *self.user,
        };
        user && !self.session
            && session.connected
            && matches!(session.purpose, Purpose::Chat(_))
            && self.client.as_ref().is_none_or(|client| *client == session.client.to_string())
    }
}

impl Shard {
    /// Carries a request out.
    ///
    /// Errors: those of the client protocol; [`codes::INTERNAL`] once the shutdown has begun.
    pub(super) fn api(&mut self, request: Request, fx: &mut Effects) -> Answer {
        if self.drain.started {
            return Err(codes::INTERNAL);
        }
        match request {
            Request::Publish { room, post } => self.api_publish(&room, &post),
            Request::History(history) => self.api_history(&history),
            Request::HistoryRemove(room) => self.api_history_remove(&room),
            Request::Presence(room) => self.api_presence(&room),
            Request::PresenceStats(room) => self.api_presence_stats(&room),
            Request::Open(room) => self.api_open(&room),
            Request::Subscribe(subscribe) => self.api_subscribe(&subscribe, fx),
            Request::Unsubscribe { target, room } => self.api_unsubscribe(&target, &room, fx),
            Request::Disconnect(disconnect) => self.api_disconnect(&disconnect, fx),
            Request::Refresh { target, expires_at } => self.api_refresh(&target, expires_at, fx),
            Request::Channels(pattern) => Ok(self.api_channels(pattern.as_ref())),
            Request::Info => Ok(self.api_info()),
        }
    }

    // ---- rooms

    fn api_publish(&mut self, room: &RoomName, post: &Post) -> Answer {
        // As for clients: a few of the largest must not close every member for being slow.
        if post.bytes() > self.limits.outbox / 4 {
            return Err(codes::LIMIT_EXCEEDED);
        }
        let now_ms = self.now.mono_ms;
        let key = post.idempotency_key.as_deref();
        if let Some(known) = key.and_then(|k| self.idempotency.find(now_ms, room.as_str(), k)) {
            return Ok(Outcome::Published(known));
        }
        let kept = match self.newer_position(room, post) {
            Some(newer) => {
                self.metrics.publications_outdated.inc();
                Some(newer)
            }
            None => self.publish_version(room, post)?,
        };
        if let Some(key) = key {
            self.idempotency.remember(now_ms, room.as_str(), key, kept);
        }
        Ok(Outcome::Published(kept))
    }

    /// Where the room's stream stands, if what it holds is as new as `post`, or newer.
    fn newer_position(&self, room: &RoomName, post: &Post) -> Kept {
        let version = post.version.as_ref().filter(|_| !post.skip_history)?;
        let home = self.homes.get(*self.home_index.get(room)? as usize)?;
        let newest = home.newest_version.as_ref().filter(|_| home.has_history())?;
        version.is_outdated(newest).then_some((home.epoch, home.offset))
    }

    fn publish_version(&mut self, room: &RoomName, post: &Post) -> Result<Kept, ErrorCode> {
        let kept = self.accept_publication(room.as_str(), post.borrow())?;
        if let Some(version) = post.version.as_ref().filter(|_| kept.is_some())
            && let Some(&index) = self.home_index.get(room)
            && let Some(home) = self.homes.get_mut(index as usize)
        {
            version.replace(&mut home.newest_version);
        }
        Ok(kept)
    }

    fn api_history(&mut self, history: &History) -> Answer {
        let room = &history.room;
        if self.settings.room_options(room.as_str())?.history_size == 0 {
            return Err(codes::NOT_AVAILABLE);
        }
        let index = self.home(room)?;
        let object = self.homes.get(index as usize).map(|home| past(home, history));
        self.release_home(index);
        object.unwrap_or(Err(codes::INTERNAL)).map(Outcome::Object)
    }

    fn api_history_remove(&mut self, room: &RoomName) -> Answer {
        if self.settings.room_options(room.as_str())?.history_size == 0 {
            return Err(codes::NOT_AVAILABLE);
        }
        if let Some(&index) = self.home_index.get(room)
            && let Some(home) = self.homes.get_mut(index as usize)
        {
            self.history_bytes = self.history_bytes.saturating_sub(home.forget_all());
            self.metrics.history_bytes.set(self.history_bytes as u64);
            self.release_home(index);
        }
        Ok(Outcome::Done)
    }

    fn api_open(&mut self, room: &RoomName) -> Answer {
        let index = self.home(room)?;
        self.release_home(index);
        Ok(Outcome::Done)
    }

    /// Who is in a room with presence; `None`: nobody is. A room that nobody is in need not exist.
    fn who_is(&self, room: &RoomName) -> Result<Option<&Presence>, ErrorCode> {
        if !self.settings.room_options(room.as_str())?.presence {
            return Err(codes::NOT_AVAILABLE);
        }
        let home = self.home_index.get(room).and_then(|index| self.homes.get(*index as usize));
        Ok(home.and_then(|home| home.presence.as_deref()))
    }

    fn api_presence(&self, room: &RoomName) -> Answer {
        let present = self.who_is(room)?;
        let (clients, _) = present.map_or((0, 0), Presence::connection_stats);
        if clients > self.settings.config.presence.max_members {
            return Err(codes::LIMIT_EXCEEDED);
        }
        let listed = present.into_iter().flat_map(Presence::connections);
        let presence = listed.map(|a| (a.client.to_string(), a.info.message())).collect();
        object(&PresenceResult { presence })
    }

    fn api_presence_stats(&self, room: &RoomName) -> Answer {
        let present = self.who_is(room)?;
        let (clients, users) = present.map_or((0, 0), Presence::connection_stats);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        object(&PresenceStatsResult { num_clients: count(clients), num_users: count(users) })
    }

    fn api_channels(&self, pattern: Option<&GlobMatcher>) -> Outcome {
        let wanted = |home: &&Home| {
            !home.is_empty() && pattern.is_none_or(|pattern| pattern.is_match(home.name.as_str()))
        };
        let homes = self.homes.iter().map(|(_, home)| home).filter(wanted);
        Outcome::Channels(homes.map(|home| (home.name.clone(), home.len())).collect())
    }

    // ---- users

    /// The connections that are meant. A walk over all of them.
    fn slots_of(&self, target: &Target) -> Vec<u32> {
        let sessions = (0u32..).zip(&self.sessions);
        let meant = sessions.filter(|(_, s)| s.as_ref().is_some_and(|s| target.means(s)));
        meant.map(|(slot, _)| slot).collect()
    }

    fn api_subscribe(&mut self, subscribe: &Subscribe, fx: &mut Effects) -> Answer {
        let room = subscribe.room.as_str();
        self.settings.room_options(room)?;
        if subscribe.expires_at.is_some_and(|at| at <= self.now.unix_ms / 1_000) {
            return Err(codes::EXPIRED_ERROR);
        }
        let limit = self.settings.config.client.channel_limit;
        let mut answer = Ok(Outcome::Done);
        for slot in self.slots_of(&subscribe.target) {
            let Some(Purpose::Chat(dialect)) = self.session(slot).map(|s| s.purpose) else {
                continue;
            };
            // A plain client has one room, for its whole life.
            if dialect == Dialect::Plain || self.is_member(slot, room) {
                continue;
            }
            if self.session(slot).is_some_and(|s| s.rooms.len() >= limit) {
                answer = Err(codes::LIMIT_EXCEEDED);
            } else if let Some(error) = subscribe.refused {
                answer = Err(error);
            } else {
                let &Subscribe { ref data, ref info, expires_at, .. } = subscribe;
                let grant = Grant { data: data.clone(), info: info.clone(), expires_at };
                self.bring(slot, room, grant, subscribe.overrides, subscribe.recover.clone(), fx);
            }
        }
        answer
    }

    fn api_unsubscribe(&mut self, target: &Target, room: &RoomName, fx: &mut Effects) -> Answer {
        self.settings.room_options(room.as_str())?;
        let Some(&index) = self.room_index.get(room.as_str()) else { return Ok(Outcome::Done) };
        for slot in self.slots_of(target) {
            let Some(session) = self.session(slot) else { continue };
            let Some(membership) = session.rooms.iter_mut().find(|m| m.room == index) else {
                continue;
            };
            match membership.stage {
                Stage::Joined => self.take_out(slot, index, fx),
                // The home's answer is on its way: the connection leaves when it is here.
                Stage::Joining | Stage::Unwanted => membership.stage = Stage::Unwanted,
            }
        }
        Ok(Outcome::Done)
    }

    /// Takes a member out of a room and tells it. A plain client has nothing without its room: it is
    /// closed.
    pub(super) fn take_out(&mut self, slot: u32, index: u32, fx: &mut Effects) {
        let Some(room) = self.rooms.get(index as usize).map(|room| room.name.clone()) else {
            return;
        };
        if self.is_plain(slot) {
            self.notice(slot, "* you were taken out of the room", fx);
            let why = codes::FORCE_DISCONNECT;
            return self.force(slot, why.code, why.reason, fx);
        }
        self.send_owed(slot, index, fx);
        self.leave(slot, index, fx);
        let push = Reply::push(room.as_str(), codes::SERVER_UNSUBSCRIBE.into());
        self.reply(slot, &push, fx);
    }

    fn api_disconnect(&mut self, disconnect: &Disconnect, fx: &mut Effects) -> Answer {
        for slot in self.slots_of(&disconnect.target) {
            let client = self.session(slot).map(|s| s.client.to_string()).unwrap_or_default();
            if !disconnect.whitelist.contains(&client) {
                self.force(slot, disconnect.code, disconnect.reason.clone(), fx);
            }
        }
        Ok(Outcome::Done)
    }

    /// Closes a connection because the application's backend says so.
    fn force(
        &mut self,
        slot: u32,
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        fx: &mut Effects,
    ) {
        self.metrics.closed_forced.inc();
        self.close_after(slot, code, reason, FLUSH_BYTES_MAX, fx);
    }

    fn api_refresh(
        &mut self,
        target: &Target,
        expires_at: Option<u64>,
        fx: &mut Effects,
    ) -> Answer {
        let now_s = self.now.unix_ms / 1_000;
        let mut answer = Ok(Outcome::Done);
        for slot in self.slots_of(target) {
            if expires_at.is_some_and(|at| at <= now_s) {
                self.close(slot, codes::EXPIRED, fx);
                continue;
            }
            let Some(session) = self.session(slot) else { continue };
            match &mut session.identity {
                Identity::User(user) => user.expires_at = expires_at,
                // Without a token nothing ends by itself.
                Identity::Guest(_) | Identity::Anonymous if expires_at.is_some() => {
                    answer = Err(codes::NOT_AVAILABLE);
                    continue;
                }
                Identity::Guest(_) | Identity::Anonymous => {}
            }
            self.arm(slot);
            let ttl = expires_at.map_or(0, |at| u32::try_from(at - now_s).unwrap_or(u32::MAX));
            let push = RefreshPush { expires: expires_at.is_some(), ttl };
            // A plain client is told nothing.
            self.reply(slot, &Reply::push("", PushBody::Refresh(push)), fx);
        }
        answer
    }

    fn api_info(&self) -> Outcome {
        let chats = |s: &&Session| s.connected && matches!(s.purpose, Purpose::Chat(_));
        let mut counts = Counts::default();
        for session in self.sessions.iter().flatten().filter(chats) {
            counts.clients += 1;
            if session.identity != Identity::Anonymous {
                counts.users.push(self.settings.hasher.hash_one(session.identity.user()));
            }
        }
        counts.users.sort_unstable();
        counts.users.dedup();
        for (_, home) in self.homes.iter().filter(|(_, home)| !home.is_empty()) {
            counts.channels += 1;
            counts.subscriptions += home.len();
        }
        Outcome::Info(counts)
    }
}

/// A result of the client protocol as the API gives it: the same fields.
fn object(result: &impl Serialize) -> Answer {
    serde_json::to_string(result).map(Outcome::Object).map_err(|_| codes::INTERNAL)
}

/// `{"publications":[...],"epoch":"ab","offset":4}`
fn past(home: &Home, history: &History) -> Result<String, ErrorCode> {
    let epoch = home.epoch.to_string();
    let same_life = |(e, _): &(String, u64)| e.is_empty() || *e == epoch;
    if history.since.as_ref().is_some_and(|since| !same_life(since)) {
        return Err(codes::UNRECOVERABLE_POSITION);
    }
    let count = usize::try_from(history.limit).unwrap_or(usize::MAX);
    let publications = home.range(Range {
        since: history.since.as_ref().map(|(_, offset)| *offset),
        limit: Limit { count, bytes: PAST_BYTES_MAX },
        reverse: history.reverse,
    });
    let mut out = b"{\"publications\":[".to_vec();
    for (i, entry) in publications.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        entry.publication().write_json(&mut out);
    }
    out.extend_from_slice(
        format!("],\"epoch\":\"{epoch}\",\"offset\":{}}}", home.offset).as_bytes(),
    );
    // Written as UTF-8 above.
    String::from_utf8(out).map_err(|_| codes::INTERNAL)
}
