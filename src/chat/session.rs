//! One connection's state: who it is, what it waits for, its rooms, its heartbeat, its limits.

use super::auth::{Identity, Overrides};
use super::ids::{ClientId, Dialect};
use super::outbox::Outbox;
use super::peer::Author;
use super::terms::Terms;
use crate::protocol::messages::Encoding;
use std::sync::Arc;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It chats, in a dialect.
    Chat(Dialect),
    /// It gets back what it sends.
    Echo,
}

/// What has to happen before the next command of a connection is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing.
    Nothing,
    /// The home of its nick has to answer; the `connect` command to answer then (0: plain).
    Nick(u32),
    /// The home of a room has to answer a request for history or presence.
    Past,
    /// The homes of the rooms that its token names have to answer; what these rooms bring
    /// meanwhile is held back, for the connect reply comes first.
    Claims,
    /// A room (index) that it is joining has to answer: another command on that room came, or its
    /// answer may be large.
    Room(u32),
}

/// Where a membership stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The home has been asked.
    Joining,
    /// The home has been asked, and the connection is to leave as soon as it has answered.
    Unwanted,
    /// The home has counted it.
    Joined,
}

/// One room of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Membership {
    /// Index of the room in this shard.
    pub room: u32,
    /// Where it stands.
    pub stage: Stage,
    /// How it takes part.
    pub terms: Terms,
    /// What its token says of that.
    pub overrides: Overrides,
    /// Its token says more of who it is in this room.
    pub own_info: bool,
}

/// What the next deadline of a connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The first `connect` command must have come.
    Connect,
    /// A ping is due.
    Ping,
    /// The answer to a ping must have come.
    Pong,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    /// Tells users of one slot apart.
    pub generation: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether the client has said who it is (plain clients do so by coming).
    pub connected: bool,
    /// Who it is.
    pub identity: Identity,
    /// Its id on the wire.
    pub client: ClientId,
    /// Its number, counted from 1 over the whole server.
    pub number: u32,
    /// What it waits for.
    pub wait: Wait,
    /// The part of a frame that waits; for a plain client that waits for its nick, its room.
    pub waiting: Option<Box<[u8]>>,
    /// Who it is for others, kept from its first publication on.
    pub author: Option<Arc<Author>>,
    /// Its rooms.
    pub rooms: Vec<Membership>,
    /// What it still has to be sent.
    pub outbox: Outbox,
    /// Whether it stands in the list of connections with something to send.
    pub writable: bool,
    /// Whether reading was refused because of its outbox.
    pub paused: bool,
    /// What the deadline means.
    pub beat: Beat,
    /// The next deadline (monotonic milliseconds).
    pub deadline_ms: u64,
    /// When the wheel wakes the connection: no later than its deadline.
    pub timer_ms: u64,
    /// Commands it may still send at once, in thousandths.
    pub budget: u32,
    /// When the budget was last counted (monotonic milliseconds, wrapping).
    pub budget_ms: u32,
    /// Commands refused in a row for coming too fast.
    pub refused: u16,
}

/// What the budget says to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Go on.
    Fine,
    /// Refuse it.
    TooFast,
    /// It has been refused too often: disconnect.
    GiveUp,
}

/// Commands refused in a row before the connection is closed.
const REFUSED_MAX: u16 = 200;

impl Session {
    /// The form of the protocol that it speaks; `None`: not the protocol.
    pub fn encoding(&self) -> Option<Encoding> {
        match self.purpose {
            Purpose::Chat(dialect) => dialect.encoding(),
            Purpose::Echo => None,
        }
    }

    /// The membership in a room, by the room's index.
    pub fn membership(&self, room: u32) -> Option<&Membership> {
        self.rooms.iter().find(|m| m.room == room)
    }

    /// Counts one command against `rate` per second with `burst` at once (rate 0: no limit).
    pub fn pace(&mut self, now_ms: u64, rate: u32, burst: u32) -> Pace {
        if rate == 0 {
            return Pace::Fine;
        }
        let now = now_ms as u32; // wraps after 49 days; differences stay right
        let full = u64::from(burst.max(1)) * 1_000;
        let earned = u64::from(now.wrapping_sub(self.budget_ms)) * u64::from(rate);
        self.budget = (u64::from(self.budget) + earned).min(full).min(u64::from(u32::MAX)) as u32;
        self.budget_ms = now;
        if self.budget >= 1_000 {
            self.budget -= 1_000;
            self.refused = 0;
            return Pace::Fine;
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused > REFUSED_MAX { Pace::GiveUp } else { Pace::TooFast }
    }
}
