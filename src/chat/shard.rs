//! The server's behaviour without I/O: a state machine per core.
//!
//! Owns the sessions of one core, their rooms, and the rooms and nicks whose home is this core.
//! [`Shard::step`] takes one input; [`Shard::end_turn`] closes a round of the event loop and hands
//! the turn's bytes to the members; [`Shard::pop_writable`] and [`Shard::take_outbox`] say what to
//! send. It never waits, reads a clock or draws a random number. Tests: `chat/tests.rs`.

use super::auth::{self, Identity, TokenError};
use super::home::Home;
use super::ids::{ClientId, ConnId, Dialect, Epoch, Origin, RoomName, ShardId};
use super::nicks::{self, Nicks};
use super::nonces::Nonces;
use super::outbox::{Chunks, Push};
use super::peer::{Author, Barrier, PeerMessage};
use super::room::Room;
use super::session::{Beat, Purpose, Session, Stage, Wait};
use super::settings::Settings;
use super::wheel::Wheel;
use crate::metrics::Cells;
use crate::protocol::codes::{self, Disconnect};
use crate::protocol::plain::Endpoint;
use crate::protocol::reply;
use crate::ws::codec::{self, Message, Violation};
use ahash::RandomState;
use bytes::{Bytes, BytesMut};
use slab::Slab;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

/// Queued bytes that still go out before a Close frame; more is dropped.
const FLUSH_BYTES_MAX: usize = 64 * 1024;
/// A connection outlives its token by this long, in seconds, so that it can refresh it.
const EXPIRED_CLOSE_DELAY_S: u64 = 25;

/// The time, handed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds since some start.
    pub mono_ms: u64,
    /// Unix time in milliseconds.
    pub unix_ms: u64,
}

/// What is known of a connection when its upgrade is accepted.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Where it connected.
    pub endpoint: Endpoint,
    /// Who it is, from [`Shard::admit`].
    pub identity: Identity,
    /// Its id on the wire, drawn outside.
    pub client: ClientId,
    /// Its number over the whole server, from 1.
    pub number: u32,
    /// What goes out before the first frame: the answer to the upgrade.
    pub greeting: Bytes,
}

/// One thing that happens to a shard.
#[derive(Debug)]
pub enum Input<'a> {
    /// An upgrade was accepted; the connection gets `slot`, which is free.
    Opened {
        /// Index chosen by the caller.
        slot: u32,
        /// What is known.
        hello: Box<Hello>,
    },
    /// A message came. Only when [`Shard::accepts`] says so.
    Received {
        /// Which connection.
        slot: u32,
        /// The message.
        message: Message<'a>,
    },
    /// The peer broke RFC 6455.
    Violated {
        /// Which connection.
        slot: u32,
        /// How.
        violation: Violation,
    },
    /// The connection is gone; nothing can be sent any more.
    Closed {
        /// Which connection.
        slot: u32,
    },
    /// What [`Shard::take_outbox`] returned has been handed to the kernel.
    Sent {
        /// Which connection.
        slot: u32,
    },
    /// A batch of another shard.
    Peer {
        /// Which shard.
        from: ShardId,
        /// In order.
        messages: Vec<PeerMessage>,
    },
    /// Time passed: [`Shard::next_deadline_ms`] may be over.
    Tick,
    /// The process shuts down: take no commands any more.
    Drain,
}

/// A connection to be closed: the Close frame, and what goes out before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Close {
    /// Which connection. Its slot is free for the shard from now on.
    pub slot: u32,
    /// Code of the Close frame.
    pub code: u16,
    /// Reason of the Close frame.
    pub reason: &'static str,
    /// Whole frames to be sent first.
    pub before: Vec<Bytes>,
}

/// What has to happen outside.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages for the other shards, by shard.
    pub lanes: Vec<Vec<PeerMessage>>,
    /// Connections to close.
    pub closes: Vec<Close>,
    /// Connections for which [`Shard::accepts`] said no and which may go on.
    pub resumed: Vec<u32>,
}

impl Effects {
    /// Nothing yet, for `shards` shards.
    pub fn new(shards: u16) -> Effects {
        Effects { lanes: (0..shards).map(|_| Vec::new()).collect(), ..Effects::default() }
    }
}

/// How far an orderly shutdown has come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Drain {
    started: bool,
    commands: Vec<ShardId>,
    publications: Vec<ShardId>,
    said_publications: bool,
}

/// One core's part of the server.
#[derive(Debug)]
pub struct Shard {
    pub(super) id: ShardId,
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: Arc<Cells>,
    pub(super) now: Now,
    pub(super) sessions: Vec<Option<Session>>,
    generations: u32,
    pub(super) rooms: Slab<Room>,
    pub(super) room_index: HashMap<RoomName, u32, RandomState>,
    pub(super) dirty_rooms: Vec<u32>,
    pub(super) homes: Slab<Home>,
    pub(super) home_index: HashMap<RoomName, u32, RandomState>,
    pub(super) dirty_homes: Vec<u32>,
    /// When homes have to be looked at: (monotonic ms, index, epoch).
    pub(super) home_checks: BinaryHeap<Reverse<(u64, u32, u64)>>,
    /// Publications kept, oldest first: (home, epoch, offset).
    pub(super) ages: VecDeque<(u32, u64, u64)>,
    pub(super) ages_len_max: usize,
    pub(super) history_bytes: usize,
    pub(super) epochs: u64,
    pub(super) nonces: Nonces,
    pub(super) nicks: Nicks,
    wheel: Wheel,
    fired: Vec<u64>,
    writable: VecDeque<u32>,
    pub(super) outbox_bytes: usize,
    pub(super) turn_full: bool,
    reading_suspended: bool,
    pub(super) scratch: Vec<u8>,
    drain: Drain,
}

impl Shard {
    /// A shard without connections.
    pub fn new(id: ShardId, settings: Arc<Settings>, metrics: Arc<Cells>, now: Now) -> Shard {
        let hasher = || settings.hasher.clone();
        let grace_ms = settings.config.client.nick_grace.as_millis() as u64;
        Shard {
            id,
            metrics,
            now,
            sessions: Vec::new(),
            generations: 0,
            rooms: Slab::new(),
            room_index: HashMap::with_hasher(hasher()),
            dirty_rooms: Vec::new(),
            homes: Slab::new(),
            home_index: HashMap::with_hasher(hasher()),
            dirty_homes: Vec::new(),
            home_checks: BinaryHeap::new(),
            ages: VecDeque::new(),
            ages_len_max: super::homes::AGES_LEN_MIN,
            history_bytes: 0,
            epochs: 0,
            nonces: Nonces::new(hasher()),
            nicks: Nicks::new(hasher(), grace_ms),
            wheel: Wheel::new(now.mono_ms),
            fired: Vec::new(),
            writable: VecDeque::new(),
            outbox_bytes: 0,
            turn_full: false,
            reading_suspended: false,
            scratch: Vec::new(),
            drain: Drain::default(),
            settings,
        }
    }

    /// Takes one input; what must happen outside is appended to `fx`.
    pub fn step(&mut self, now: Now, input: Input<'_>, fx: &mut Effects) {
        self.now = now;
        match input {
            Input::Opened { slot, hello } => self.open(slot, *hello, fx),
            Input::Received { slot, message } => self.receive(slot, message, fx),
            Input::Violated { slot, violation } => self.violated(slot, violation, fx),
            Input::Closed { slot } => {
                self.forget(slot, fx);
            }
            Input::Sent { slot } => self.sent(slot, fx),
            Input::Peer { from, messages } => {
                for message in messages {
                    self.hear(from, message, fx);
                }
            }
            Input::Tick => self.tick(fx),
            Input::Drain => self.start_drain(fx),
        }
    }

    /// Whether the plain or protocol endpoint may be entered with these credentials, before the
    /// upgrade is accepted: the identity (protocol clients say who they are later), or the HTTP
    /// status and reason of the refusal.
    pub fn admit(
        settings: &Settings,
        endpoint: &Endpoint,
        unix_ms: u64,
    ) -> Result<Identity, (u16, &'static str)> {
        let Endpoint::Plain { room, name, token } = endpoint else {
            return Ok(Identity::Anonymous);
        };
        let key = &settings.config.client.token.hmac_secret_key;
        let identity = match (token, name) {
            (Some(token), _) => match auth::verify(token, key, unix_ms / 1_000) {
                Ok(user) => Identity::User(Box::new(user)),
                Err(TokenError::Expired) => return Err((401, "the token has expired")),
                Err(TokenError::Invalid) => return Err((401, "the token is not valid here")),
            },
            (None, Some(name)) if settings.guests => {
                if !auth::nick_allowed(name) {
                    return Err((400, "this name is not allowed"));
                }
                Identity::Guest(name.as_str().into())
            }
            (None, None) if settings.anonymous => Identity::Anonymous,
            (None, _) => return Err((401, "a token is required")),
        };
        match settings.permit(room, &identity.user(), |o| o.allow_subscribe_for_client) {
            Ok(_) => Ok(identity),
            Err(codes::PERMISSION_DENIED) => Err((403, "this room is not open to you")),
            Err(codes::UNKNOWN_CHANNEL) => Err((404, "there is no such kind of room")),
            Err(_) => Err((400, "this room name is not allowed")),
        }
    }

    /// Whether the next message of a connection may be handed in now. If not, the caller keeps it
    /// (and stops reading) until the slot appears in [`Effects::resumed`].
    pub fn accepts(&mut self, slot: u32) -> bool {
        let quarter = self.settings.config.client.queue_max_size / 4;
        let draining = self.drain.started;
        let Some(session) = self.session(slot) else { return false };
        let ready = session.wait == Wait::Nothing
            && session.waiting.is_none()
            && session.outbox.bytes() <= quarter;
        session.paused = !ready;
        ready && !draining
    }

    /// Whether this turn has brought a room so much that the rest should be read in the next.
    pub fn turn_full(&self) -> bool {
        self.turn_full
    }

    /// Tells the shard that its worker reads no client socket for now (a lane is full): answers to
    /// pings cannot arrive then.
    pub fn suspend_reading(&mut self, suspended: bool) {
        self.reading_suspended = suspended;
    }

    /// Whether something came up after the turn's end (a slow member that was closed has left its
    /// rooms, say), so that another turn must follow.
    pub fn is_dirty(&self) -> bool {
        !self.dirty_homes.is_empty() || !self.dirty_rooms.is_empty()
    }

    /// Whether everything accepted before the shutdown began has reached every member's outbox.
    pub fn drained(&self) -> bool {
        let peers = usize::from(self.settings.shards) - 1;
        self.drain.said_publications && self.drain.publications.len() == peers
    }

    /// Ends a round of the event loop: rooms at home hand their publications to every shard that
    /// has members; the members here get the turn's bytes, small rooms first.
    pub fn end_turn(&mut self, fx: &mut Effects) {
        for home in std::mem::take(&mut self.dirty_homes) {
            self.flush_home(home, fx);
        }
        if self.drain.started
            && !self.drain.said_publications
            && self.drain.commands.len() == usize::from(self.settings.shards) - 1
        {
            self.drain.said_publications = true;
            self.tell_all(Barrier::Publications, fx);
        }
        self.flush_rooms(fx);
        self.turn_full = false;
        self.metrics.outbox_bytes.set(self.outbox_bytes as u64);
    }

    /// The next connection that has something to send and no send in flight.
    pub fn pop_writable(&mut self) -> Option<u32> {
        loop {
            let slot = self.writable.pop_front()?;
            if let Some(session) = self.session(slot)
                && std::mem::take(&mut session.writable)
            {
                return Some(slot);
            }
        }
    }

    /// Whether connections wait for their bytes to be sent.
    pub fn has_writable(&self) -> bool {
        !self.writable.is_empty()
    }

    /// What the next send of a connection carries; [`Input::Sent`] must follow.
    pub fn take_outbox(&mut self, slot: u32) -> Option<Chunks> {
        self.session(slot)?.outbox.take()
    }

    /// When [`Input::Tick`] is wanted, in monotonic milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let check = self.home_checks.peek().map(|Reverse((at, ..))| *at);
        self.wheel.next_ms().into_iter().chain(check).min()
    }

    /// Connections that the shard knows.
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.sessions).filter(|(_, s)| s.is_some()).map(|(slot, _)| slot)
    }

    /// Closes a connection with the shutdown code of its dialect, after everything queued for it.
    pub fn shut_down(&mut self, now: Now, slot: u32, fx: &mut Effects) {
        self.now = now;
        let Some(session) = self.session(slot) else { return };
        let why = match session.purpose {
            Purpose::Chat(Dialect::Json) => codes::SHUTDOWN,
            Purpose::Chat(Dialect::Plain) | Purpose::Echo => codes::GOING_AWAY,
        };
        self.metrics.closed_shutdown.inc();
        self.close_after(slot, why.code, why.reason, usize::MAX, fx);
    }

    // ---- sessions

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

    fn open(&mut self, slot: u32, hello: Hello, fx: &mut Effects) {
        let index = slot as usize;
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, || None);
        }
        self.generations = self.generations.wrapping_add(1);
        let purpose = match hello.endpoint {
            Endpoint::Protocol => Purpose::Chat(Dialect::Json),
            Endpoint::Plain { .. } => Purpose::Chat(Dialect::Plain),
            Endpoint::Echo => Purpose::Echo,
        };
        let client = &self.settings.config.client;
        let (beat, delay) = if purpose == Purpose::Chat(Dialect::Json) {
            (Beat::Connect, client.stale_close_delay.as_millis() as u64)
        } else {
            (Beat::Ping, self.first_beat_ms(hello.client))
        };
        let session = Session {
            generation: self.generations,
            purpose,
            connected: purpose != Purpose::Chat(Dialect::Json),
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
            budget: client.command_rate_burst.saturating_mul(1_000),
            budget_ms: self.now.mono_ms as u32,
            refused: 0,
        };
        self.wheel.schedule(timer_key(slot, session.generation), session.deadline_ms);
        if let Some(place) = self.sessions.get_mut(index) {
            *place = Some(session);
        }
        self.metrics.sessions.add(1);
        self.send(slot, hello.greeting, false, fx);
        if let Endpoint::Plain { room, .. } = hello.endpoint {
            self.enter(slot, room, fx);
        }
    }

    /// The first ping comes at a moment of its own, so that many who came at once spread out.
    pub(super) fn first_beat_ms(&self, client: ClientId) -> u64 {
        let interval = self.settings.config.client.ping_interval.as_millis().max(1);
        (interval / 4 + client.0 % interval.div_ceil(4).max(1) * 3) as u64
    }

    fn receive(&mut self, slot: u32, message: Message<'_>, fx: &mut Effects) {
        if self.drain.started {
            return; // what is not accepted yet is not lost: nobody was told otherwise
        }
        let Some(session) = self.session(slot) else { return };
        let purpose = session.purpose;
        match (message, purpose) {
            (Message::Ping(payload), _) => {
                let frame = codec::pong_frame(payload);
                self.send(slot, frame, false, fx);
            }
            (Message::Pong(_), Purpose::Chat(Dialect::Plain) | Purpose::Echo) => self.pong(slot),
            (Message::Pong(_), Purpose::Chat(Dialect::Json)) => {}
            (Message::Close(code), _) => {
                let code = code.map_or(codes::NORMAL.code, |(code, _)| code);
                self.close_after(slot, code, "", FLUSH_BYTES_MAX, fx);
            }
            (Message::Text(text), Purpose::Chat(Dialect::Json)) => self.commands(slot, text, fx),
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
            (Message::Binary(_), Purpose::Chat(Dialect::Json)) => {
                self.close(slot, codes::BAD_REQUEST_CLOSE, fx);
            }
            (Message::Binary(_), Purpose::Chat(Dialect::Plain)) => {
                self.close(slot, codes::UNSUPPORTED_DATA, fx);
            }
        }
    }

    fn violated(&mut self, slot: u32, violation: Violation, fx: &mut Effects) {
        match violation.code {
            1007 => self.metrics.ws_invalid_utf8.inc(),
            1009 => self.metrics.ws_too_big.inc(),
            _ => self.metrics.ws_protocol_errors.inc(),
        }
        self.close_after(slot, violation.code, violation.reason, FLUSH_BYTES_MAX, fx);
    }

    /// Who the session is for others.
    pub(super) fn author(&mut self, slot: u32) -> Arc<Author> {
        let Some(session) = self.session(slot) else {
            return Arc::new(Author {
                user: String::new(),
                client: ClientId(0),
                name: String::new(),
                info: Vec::new(),
            });
        };
        if let Some(author) = &session.author {
            return author.clone();
        }
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
        let mut info = Vec::new();
        reply::client_info(&mut info, &user, &session.client.to_string(), conn_info.as_deref());
        let author = Arc::new(Author { user, client: session.client, name, info });
        session.author = Some(author.clone());
        author
    }

    // ---- sending

    /// Queues whole frames for a connection; one that is too slow for them is closed.
    pub(super) fn send(&mut self, slot: u32, frames: Bytes, droppable: bool, fx: &mut Effects) {
        let client = &self.settings.config.client;
        let limit = client.queue_max_size;
        let total = client.queue_total_max_size / usize::from(self.settings.shards);
        let crowded = self.outbox_bytes + frames.len() > total;
        let length = frames.len();
        let Some(session) = self.session(slot) else { return };
        let push = match crowded && session.outbox.bytes() > 0 {
            true => Push::Full,
            false => session.outbox.push(frames, droppable, limit),
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
    pub(super) fn reply(&mut self, slot: u32, write: impl FnOnce(&mut Vec<u8>), fx: &mut Effects) {
        let frame = self.frame(write);
        self.send(slot, frame, false, fx);
    }

    /// A text frame of its own size around what `write` writes.
    pub(super) fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        self.scratch.clear();
        write(&mut self.scratch);
        let mut frame = BytesMut::with_capacity(self.scratch.len() + 10);
        codec::text_frame(&mut frame, &self.scratch);
        if self.scratch.capacity() > 64 * 1024 {
            self.scratch = Vec::new();
        }
        frame.freeze()
    }

    fn sent(&mut self, slot: u32, fx: &mut Effects) {
        let quarter = self.settings.config.client.queue_max_size / 4;
        let Some(session) = self.session(slot) else { return };
        let sent = session.outbox.sent();
        let more = !session.outbox.is_empty() && !std::mem::replace(&mut session.writable, true);
        let eased = session.outbox.bytes() <= quarter;
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
                Purpose::Chat(Dialect::Json) => self.commands(slot, &rest, fx),
                Purpose::Chat(Dialect::Plain) | Purpose::Echo => self.line(slot, &rest, fx),
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
    fn close_after(
        &mut self,
        slot: u32,
        code: u16,
        reason: &'static str,
        flush_max: usize,
        fx: &mut Effects,
    ) {
        let Some(mut session) = self.forget(slot, fx) else { return };
        let before = match session.outbox.bytes() <= flush_max {
            true => session.outbox.drain(),
            false => Vec::new(),
        };
        fx.closes.push(Close { slot, code, reason, before });
    }

    /// Takes a connection out of everything: its rooms, its nick, the accounts.
    fn forget(&mut self, slot: u32, fx: &mut Effects) -> Option<Session> {
        let origin = self.origin(slot);
        let left: Vec<u32> = self.session(slot)?.rooms.iter().map(|m| m.room).collect();
        for room in left {
            self.leave(slot, room, fx);
        }
        let session = self.sessions.get_mut(slot as usize)?.take()?;
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

    // ---- time

    fn tick(&mut self, fx: &mut Effects) {
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.expire(self.now.mono_ms, &mut fired);
        for key in fired.drain(..) {
            let conn = ConnId { slot: key as u32, generation: (key >> 32) as u32 };
            self.beat(conn, fx);
        }
        self.fired = fired;
        self.check_homes();
    }

    fn beat(&mut self, conn: ConnId, fx: &mut Effects) {
        let slot = conn.slot;
        let now = self.now;
        let suspended = self.reading_suspended;
        let pong_ms = self.settings.config.client.pong_timeout.as_millis() as u64;
        let Some(session) = self.session_of(conn) else { return };
        let mut ping = None;
        if now.mono_ms >= session.deadline_ms {
            let overdue = |user: &auth::User| {
                user.expires_at.is_some_and(|at| at + EXPIRED_CLOSE_DELAY_S < now.unix_ms / 1_000)
            };
            if matches!(&session.identity, Identity::User(user) if overdue(user)) {
                return self.close(slot, codes::EXPIRED, fx);
            }
            match session.beat {
                Beat::Connect => return self.close(slot, codes::STALE, fx),
                Beat::Pong if !suspended && !session.paused => {
                    return self.close(slot, codes::NO_PONG, fx);
                }
                // Its answer may stand in what is not being read: it gets the time again.
                Beat::Pong => {}
                Beat::Ping => {
                    session.beat = Beat::Pong;
                    ping = Some(session.purpose);
                }
            }
            session.deadline_ms = now.mono_ms + pong_ms;
        }
        let deadline_ms = session.deadline_ms;
        self.wheel.schedule(timer_key(slot, conn.generation), deadline_ms);
        match ping {
            Some(Purpose::Chat(Dialect::Json)) => {
                self.reply(slot, |out| out.extend_from_slice(reply::PING), fx);
            }
            Some(_) => self.send(slot, codec::ping_frame(b""), false, fx),
            None => {}
        }
    }

    /// The connection has answered a ping.
    pub(super) fn pong(&mut self, slot: u32) {
        let next = self.now.mono_ms + self.settings.config.client.ping_interval.as_millis() as u64;
        if let Some(session) = self.session(slot)
            && session.beat == Beat::Pong
        {
            session.beat = Beat::Ping;
            session.deadline_ms = next;
        }
    }

    /// The connection's next deadline is `delay_ms` from now.
    pub(super) fn set_beat(&mut self, slot: u32, beat: Beat, delay_ms: u64) {
        let at = self.now.mono_ms + delay_ms;
        let Some(session) = self.session(slot) else { return };
        session.beat = beat;
        session.deadline_ms = at;
        let key = timer_key(slot, session.generation);
        self.wheel.schedule(key, at);
    }

    // ---- other shards

    /// Says something to a shard, which may be this one.
    pub(super) fn tell(&mut self, shard: ShardId, message: PeerMessage, fx: &mut Effects) {
        if shard == self.id {
            self.hear(shard, message, fx);
        } else if let Some(lane) = fx.lanes.get_mut(shard.index()) {
            lane.push(message);
        }
    }

    fn tell_all(&mut self, barrier: Barrier, fx: &mut Effects) {
        for (shard, lane) in fx.lanes.iter_mut().enumerate() {
            if shard != self.id.index() {
                lane.push(PeerMessage::Barrier(barrier));
            }
        }
    }

    fn hear(&mut self, from: ShardId, message: PeerMessage, fx: &mut Effects) {
        match message {
            PeerMessage::Join(join) => self.home_join(*join, fx),
            PeerMessage::Leave { room, dialect, author } => {
                self.home_leave(from, &room, dialect, author.as_deref());
            }
            PeerMessage::Publish(p) => {
                self.home_publish(p.room.as_str(), p.from, p.id, &p.data, &p.author, fx);
            }
            PeerMessage::History(request) => self.home_history(&request, fx),
            PeerMessage::Claim { nick, from, proven } => {
                let now_ms = self.now.mono_ms;
                let nick = self.nicks.claim(now_ms, &nick, from, proven, auth::NICK_CHARS_MAX);
                self.tell(from.shard, PeerMessage::Claimed { conn: from.conn, nick }, fx);
            }
            PeerMessage::Release { nick, from } => {
                self.nicks.release(self.now.mono_ms, &nick, from);
            }
            PeerMessage::Joined { room, conn, dialect, author, reply } => {
                self.joined(&room, conn, dialect, author, reply, fx);
            }
            PeerMessage::Refused { room, conn, reply } => self.refused(&room, conn, reply, fx),
            PeerMessage::Batch(batch) => self.batch(&batch),
            PeerMessage::Reply { conn, frame } => {
                if self.session_of(conn).is_some() {
                    self.send(conn.slot, frame, false, fx);
                }
            }
            PeerMessage::Claimed { conn, nick } => self.claimed(conn, nick, fx),
            PeerMessage::Barrier(Barrier::Commands) => self.drain.commands.push(from),
            PeerMessage::Barrier(Barrier::Publications) => self.drain.publications.push(from),
        }
    }

    fn start_drain(&mut self, fx: &mut Effects) {
        if !std::mem::replace(&mut self.drain.started, true) {
            self.tell_all(Barrier::Commands, fx);
        }
    }

    /// A new life of a room: never the same twice in a run, and not to be guessed.
    pub(super) fn next_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        let seed = (self.settings.keys.epoch, self.id.0, self.epochs);
        Epoch(self.settings.hasher.hash_one(seed))
    }

    /// The room as members see it here, made if it is not there.
    pub(super) fn room(&mut self, name: &str) -> Option<u32> {
        if let Some(room) = self.room_index.get(name) {
            return Some(*room);
        }
        let options = self.settings.room_options(name).ok()?.clone();
        let name = RoomName::from(name);
        let index = self.rooms.insert(Room::new(name.clone(), options)) as u32;
        self.room_index.insert(name, index);
        Some(index)
    }

    /// Forgets a room that nobody is in or coming to.
    pub(super) fn release_room(&mut self, index: u32) {
        let unused = self.rooms.get(index as usize).is_some_and(|r| r.is_unused() && !r.dirty);
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
        let Purpose::Chat(dialect) = session.purpose else { return };
        // A join under way ends in `joined`, which finds nobody and leaves again.
        if membership.stage == Stage::Joining {
            return;
        }
        let Some(room) = self.rooms.get_mut(index as usize) else { return };
        room.group(dialect).remove(slot);
        let (name, announced) = (room.name.clone(), room.options.join_leave);
        let author = announced.then(|| self.author(slot));
        self.release_room(index);
        let home = self.settings.home(name.as_str());
        self.tell(home, PeerMessage::Leave { room: name, dialect, author }, fx);
    }
}

fn timer_key(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}
