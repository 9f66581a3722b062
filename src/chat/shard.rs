//! The server's behaviour without I/O: a state machine per core.
//!
//! Owns the sessions of one core, their rooms, and the rooms and nicks whose home is this core.
//! [`Shard::step`] takes one input; [`Shard::end_turn`] closes a round of the event loop and hands
//! the turn's bytes to the members; [`Shard::pop_writable`] and [`Shard::take_outbox`] say what to
//! send. It never waits, reads a clock or draws a random number. Its chapters are other files of this
//! folder: `sessions`, `gather`, `beats`, `commands`, `claimed`, `grants`, `lines`, `stream`, `homes`, `who`, `rpc`,
//! `api`, `reload`. Tests: `chat/tests`.

use super::api::{Answer, Request};
use super::auth::{self, Identity, TokenError};
use super::claimed::Claims;
use super::grants::Grants;
use super::hold::Hold;
use super::home::Home;
use super::idempotency::Idempotency;
use super::ids::{ClientId, Dialect, Epoch, RoomName, ShardId};
use super::listing::Listing;
use super::nicks::Nicks;
use super::nonces::Nonces;
use super::outbox::Chunks;
use super::peer::{Barrier, PeerMessage};
use super::room::Room;
use super::session::{Purpose, Session, Wait};
use super::settings::{Operation, Settings};
use super::slow::Slow;
use super::wheel::Wheel;
use crate::metrics::Cells;
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::messages::Encoding;
use crate::protocol::plain::Endpoint;
use crate::ws::codec::{Message, Violation};
use ahash::RandomState;
use bytes::{Bytes, BytesMut};
use slab::Slab;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::vec;

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
    /// The form of the protocol that was agreed upon; only the protocol's endpoint has one.
    pub encoding: Encoding,
    /// Who it is, from [`Shard::admit`].
    pub identity: Identity,
    /// Its id on the wire, drawn outside.
    pub client: ClientId,
    /// Its number over the whole server, from 1.
    pub number: u32,
    /// What goes out before the first frame: the answer to the upgrade. Empty: it has gone out.
    pub greeting: Bytes,
}

/// Bytes of publications that fill a turn, however much may wait for a member: with what was read
/// and what is sent they stay in a core's cache.
const TURN_BYTES_MAX: usize = 256 * 1024;

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
    /// What [`Shard::next_send`] returned has been handed to the kernel.
    Sent {
        /// Which connection.
        slot: u32,
    },
    /// A batch of another shard.
    Peer {
        /// Which shard.
        from: ShardId,
        /// In order. Those that it has when the turn is full are for the next one.
        messages: &'a mut vec::IntoIter<PeerMessage>,
    },
    /// A call of the server API; answered in [`Effects::answers`] at once.
    Api {
        /// Names the call in its answer.
        ticket: usize,
        /// What is asked for.
        request: Box<Request>,
    },
    /// Time passed: [`Shard::next_deadline_ms`] may be over.
    Tick,
    /// The configuration or a key set has changed.
    Settings(Arc<Settings>),
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
    pub reason: Cow<'static, str>,
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
    /// Answers to calls of the server API, by ticket.
    pub answers: Vec<(usize, Answer)>,
    /// Ids of keys that tokens have named and the key sets do not have: the sets have to be read
    /// again, and come as [`Input::Settings`].
    pub keys_wanted: Vec<Box<str>>,
}

/// Why an upgrade is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAdmitted {
    /// HTTP status.
    pub status: u16,
    /// For the client.
    pub reason: &'static str,
    /// As in [`Effects::keys_wanted`].
    pub key_wanted: Option<Box<str>>,
}

impl From<(u16, &'static str)> for NotAdmitted {
    fn from((status, reason): (u16, &'static str)) -> Self {
        NotAdmitted { status, reason, key_wanted: None }
    }
}

impl Effects {
    /// Nothing yet, for `shards` shards.
    pub fn new(shards: u16) -> Effects {
        Effects { lanes: (0..shards).map(|_| Vec::new()).collect(), ..Effects::default() }
    }

    /// Whether something is left that needs another turn.
    pub fn need_turn(&self) -> bool {
        !self.closes.is_empty()
            || !self.resumed.is_empty()
            || self.lanes.iter().any(|l| !l.is_empty())
    }
}

/// Bounds that are looked at for every delivery.
#[derive(Debug)]
pub(super) struct Limits {
    /// Bytes queued for one connection.
    pub(super) outbox: usize,
    /// Bytes queued for all connections of the shard.
    pub(super) outbox_total: usize,
    /// Bytes of publications that fill a turn, from the lanes and then from connections: a quarter of
    /// an outbox at most, for a member of all the rooms gets both, and a batch more, at once.
    pub(super) turn: usize,
}

/// How far an orderly shutdown has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Drain {
    pub(super) started: bool,
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
    pub(super) generations: u32,
    pub(super) rooms: Slab<Room>,
    pub(super) room_index: HashMap<RoomName, u32, RandomState>,
    pub(super) dirty_rooms: Vec<u32>,
    pub(super) hold: Hold,
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
    pub(super) slow: Slow,
    pub(super) listing: Listing,
    pub(super) idempotency: Idempotency,
    pub(super) nicks: Nicks,
    pub(super) grants: Grants,
    pub(super) claims: BTreeMap<u32, Claims>,
    pub(super) wheel: Wheel,
    pub(super) fired: Vec<u64>,
    pub(super) writable: VecDeque<u32>,
    pub(super) outbox_bytes: usize,
    pub(super) turn_bytes: usize,
    pub(super) reading_suspended: bool,
    /// The frame that was encoded last.
    pub(super) encoded: BytesMut,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
}

impl Shard {
    /// A shard without connections.
    pub fn new(id: ShardId, settings: Arc<Settings>, metrics: Arc<Cells>, now: Now) -> Shard {
        let hasher = || settings.hasher.clone();
        let nonces_max = settings.config.channel.nonces_max.div_ceil(usize::from(settings.shards));
        let slow_max = settings.config.channel.slow_mode_max.div_ceil(usize::from(settings.shards));
        let keys_max = settings.config.http_api.idempotency_keys_max;
        let keys_max = keys_max.div_ceil(usize::from(settings.shards));
        let grace_ms = settings.config.client.nick_grace.as_millis() as u64;
        let max_delay = settings.config.fanout.max_delay;
        Shard {
            id,
            metrics,
            now,
            sessions: Vec::new(),
            generations: 0,
            rooms: Slab::new(),
            room_index: HashMap::with_hasher(hasher()),
            dirty_rooms: Vec::new(),
            hold: Hold::new(max_delay, settings.config.client.queue_max_size),
            homes: Slab::new(),
            home_index: HashMap::with_hasher(hasher()),
            dirty_homes: Vec::new(),
            home_checks: BinaryHeap::new(),
            ages: VecDeque::new(),
            ages_len_max: super::homes::AGES_LEN_MIN,
            history_bytes: 0,
            epochs: 0,
            nonces: Nonces::new(hasher(), nonces_max),
            slow: Slow::new(hasher(), slow_max),
            listing: Listing::default(),
            idempotency: Idempotency::new(hasher(), keys_max),
            nicks: Nicks::new(hasher(), grace_ms),
            grants: Grants::default(),
            claims: BTreeMap::new(),
            wheel: Wheel::new(now.mono_ms),
            fired: Vec::new(),
            writable: VecDeque::new(),
            outbox_bytes: 0,
            turn_bytes: 0,
            reading_suspended: false,
            encoded: BytesMut::new(),
            limits: Limits {
                outbox: settings.config.client.queue_max_size,
                outbox_total: settings.config.client.queue_total_max_size
                    / usize::from(settings.shards),
                turn: TURN_BYTES_MAX.min(settings.config.client.queue_max_size / 4),
            },
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
                while !self.turn_full()
                    && let Some(message) = messages.next()
                {
                    self.hear(from, message, fx);
                }
            }
            Input::Api { ticket, request } => {
                let answer = self.api(*request, fx);
                fx.answers.push((ticket, answer));
            }
            Input::Tick => self.tick(fx),
            Input::Settings(settings) => self.reconfigure(settings, fx),
            Input::Drain => self.start_drain(fx),
        }
    }

    /// Whether the plain or protocol endpoint may be entered with these credentials, before the
    /// upgrade is accepted: the identity (protocol clients say who they are later), or why not.
    pub fn admit(
        settings: &Settings,
        endpoint: &Endpoint,
        unix_ms: u64,
    ) -> Result<Identity, NotAdmitted> {
        let Endpoint::Plain { room, name, token } = endpoint else {
            return Ok(Identity::Anonymous);
        };
        let identity = match (token, name) {
            (Some(token), _) => match settings.verifier.connection(token, unix_ms / 1_000) {
                Ok(user) => Identity::User(Box::new(user)),
                Err(TokenError::Expired | TokenError::Ended) => {
                    return Err((401, "the token has expired").into());
                }
                Err(TokenError::Invalid) => return Err((401, "the token is not valid here").into()),
                Err(TokenError::UnknownKey(id)) => {
                    let reason = "the token's key is being looked for: try again";
                    return Err(NotAdmitted { status: 503, reason, key_wanted: Some(id) });
                }
            },
            (None, Some(name)) if settings.guests => {
                if !auth::nick_allowed(name) {
                    return Err((400, "this name is not allowed").into());
                }
                Identity::Guest(name.as_str().into())
            }
            (None, None) if settings.anonymous => Identity::Anonymous,
            (None, _) => return Err((401, "a token is required").into()),
        };
        match settings.permit(room, &identity.user(), Operation::Subscribe, false) {
            Ok(_) => Ok(identity),
            Err(codes::PERMISSION_DENIED) => Err((403, "this room is not open to you").into()),
            Err(codes::UNKNOWN_CHANNEL) => Err((404, "there is no such kind of room").into()),
            Err(_) => Err((400, "this room name is not allowed").into()),
        }
    }

    /// A token names a key that the key sets do not have: they are to be read again, and the client
    /// is to try again.
    pub(super) fn want_key(&self, id: Box<str>, fx: &mut Effects) -> ErrorCode {
        self.metrics.token_keys_unknown.inc();
        fx.keys_wanted.push(id);
        codes::INTERNAL
    }

    /// Whether the next message of a connection may be handed in now. If not, the caller keeps it
    /// (and stops reading) until the slot appears in [`Effects::resumed`].
    pub fn accepts(&mut self, slot: u32) -> bool {
        let quarter = self.limits.outbox / 4;
        let draining = self.drain.started;
        let Some(session) = self.session(slot) else { return false };
        let ready = session.wait == Wait::Nothing
            && session.waiting.is_none()
            && session.outbox.bytes() <= quarter;
        session.paused = !ready;
        ready && !draining
    }

    /// Whether this turn has brought so much that the rest has to wait for the next: what is in the
    /// sockets, in the decoders and on the lanes.
    pub fn turn_full(&self) -> bool {
        self.turn_bytes > self.limits.turn
    }

    /// Whether no other connection is to be read in this turn: the last quarter is for who has begun.
    /// Else what a sender has outstanding would be cut where the turn ends, and leave in two sends to
    /// each member instead of one, again and again: the two halves come back apart.
    pub fn turn_ends(&self) -> bool {
        self.turn_bytes > self.limits.turn / 4 * 3
    }

    /// What is on the lanes has been heard as far as the turn bears it. What connections bring counts
    /// anew: no load of other cores may keep this one from reading its own.
    pub fn lanes_heard(&mut self) {
        self.turn_bytes = 0;
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
    /// has members; the members here get the turn's bytes, small rooms first, unless they may wait.
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
        self.turn_bytes = 0;
        self.metrics.nonces_forgotten.set(self.nonces.forgotten);
        self.metrics.idempotency_keys_forgotten.set(self.idempotency.forgotten);
        self.metrics.outbox_bytes.set(self.outbox_bytes as u64);
    }

    /// The next connection that has something to send and no send in flight, and what its send
    /// carries; [`Input::Sent`] must follow.
    pub fn next_send(&mut self) -> Option<(u32, Chunks)> {
        loop {
            let slot = self.writable.pop_front()?;
            // Who has a send in flight comes again when it has ended.
            if let Some(session) = self.session(slot)
                && std::mem::take(&mut session.writable)
                && let Some(chunks) = session.outbox.take()
            {
                return Some((slot, chunks));
            }
        }
    }

    /// Whether connections wait for their bytes to be sent.
    pub fn has_writable(&self) -> bool {
        !self.writable.is_empty()
    }

    /// When [`Input::Tick`] is wanted, in monotonic milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let check = self.home_checks.peek().map(|Reverse((at, ..))| *at);
        let ends = self
            .grants
            .next_ms()
            .map(|at| self.now.mono_ms.saturating_add(at.saturating_sub(self.now.unix_ms)));
        let others = [check, self.hold.next_ms(), self.listing.next_ms(), ends];
        self.wheel.next_ms().into_iter().chain(others.into_iter().flatten()).min()
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
            Purpose::Chat(Dialect::Json | Dialect::Protobuf) => codes::SHUTDOWN,
            Purpose::Chat(Dialect::Plain) | Purpose::Echo => codes::GOING_AWAY,
        };
        self.metrics.closed_shutdown.inc();
        self.close_after(slot, why.code, why.reason, usize::MAX, fx);
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

    pub(super) fn hear(&mut self, from: ShardId, message: PeerMessage, fx: &mut Effects) {
        match message {
            PeerMessage::Join(join) => self.home_join(*join, fx),
            PeerMessage::Leave { room, audience, author } => {
                self.home_leave(from, &room, audience, author.as_deref());
            }
            PeerMessage::Publish(p) => {
                self.home_publish(p.room.as_str(), p.from, p.id, p.content.view(), &p.author, fx);
            }
            PeerMessage::History(request) => self.home_history(&request, fx),
            PeerMessage::Present { room, author, terms } => {
                self.home_present(&room, author, terms);
            }
            PeerMessage::Renamed { room, author } => self.home_renamed(room.as_str(), author),
            PeerMessage::ListRooms { call } => self.home_rooms(from, call, fx),
            PeerMessage::RoomList { call, rooms } => self.rooms_named(call, &rooms, fx),
            PeerMessage::Presence(request) => self.home_presence(&request, fx),
            PeerMessage::Claim { nick, from, proven } => {
                let now_ms = self.now.mono_ms;
                let nick = self.nicks.claim(now_ms, &nick, from, proven, auth::NICK_CHARS_MAX);
                self.tell(from.shard, PeerMessage::Claimed { conn: from.conn, nick }, fx);
            }
            PeerMessage::Release { nick, from } => {
                self.nicks.release(self.now.mono_ms, &nick, from);
            }
            PeerMessage::Joined { room, conn, joined } => self.joined(&room, conn, joined, fx),
            PeerMessage::Refused { room, conn, id, error } => {
                self.refused(&room, conn, id, error, fx);
            }
            PeerMessage::Batch(batch) => self.batch(&batch),
            PeerMessage::Past { conn, answer } => self.past(conn, &answer, fx),
            PeerMessage::Published { conn, id, result } => self.published(conn, id, result, fx),
            PeerMessage::Claimed { conn, nick } => self.claimed(conn, nick, fx),
            PeerMessage::Barrier(Barrier::Commands) => self.drain.commands.push(from),
            PeerMessage::Barrier(Barrier::Publications) => self.drain.publications.push(from),
        }
    }

    fn start_drain(&mut self, fx: &mut Effects) {
        if !std::mem::replace(&mut self.drain.started, true) {
            self.hold.stop();
            self.tell_all(Barrier::Commands, fx);
        }
    }

    /// A new life of a room: never the same twice in a run, and not to be guessed.
    pub(super) fn next_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        let seed = (self.settings.keys.epoch, self.id.0, self.epochs);
        Epoch(self.settings.hasher.hash_one(seed))
    }
}
