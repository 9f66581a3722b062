//! What shards say to each other. Messages between two shards arrive in order, none is lost.

use super::home::Entry;
use super::ids::{AUDIENCES, Audience, ClientId, ConnId, Dialect, Origin, RoomName};
use super::listing::Listed;
use super::terms::Terms;
use crate::protocol::codes::ErrorCode;
use crate::protocol::content::SharedContent;
use crate::protocol::messages::{Reply, SubscribeResult};
use crate::protocol::reply::Info;
use bytes::Bytes;
use std::sync::Arc;

/// Who publishes, joins or leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// User id; `""` for anonymous clients, `~nick` for guests.
    pub user: String,
    /// The connection's client id.
    pub client: ClientId,
    /// How plain clients read the author.
    pub name: String,
    /// How clients of the protocol read the author.
    pub info: Info,
}

/// A client wants to join a room.
#[derive(Debug)]
pub struct Join {
    /// The room.
    pub room: RoomName,
    /// Who asks.
    pub from: Origin,
    /// Command to answer (0: none).
    pub id: u32,
    /// Which encoding it takes.
    pub dialect: Dialect,
    /// How it takes part.
    pub terms: Terms,
    /// Position from which it wants to recover: epoch as text, offset.
    pub recover: Option<(String, u64)>,
    /// Bytes of the past that the answer may carry.
    pub past_bytes: usize,
    /// Who joins, if the room keeps who is there.
    pub author: Option<Arc<Author>>,
}

impl Join {
    /// Whose bytes it takes.
    pub fn audience(&self) -> Audience {
        Audience { dialect: self.dialect, hears_joins: self.terms.hears_joins }
    }
}

/// What a home answers to a join.
#[derive(Debug)]
pub struct Joined {
    /// Command to answer (0: none).
    pub id: u32,
    /// Whose bytes the member takes.
    pub audience: Audience,
    /// Who joined, as in [`Join`], for the leave that follows if the client is gone by now.
    pub author: Option<Arc<Author>>,
    /// What the client is told; `None`: it speaks the plain dialect.
    pub welcome: Option<Box<Welcome>>,
}

/// What a client that has joined is told of the room.
#[derive(Debug)]
pub struct Welcome {
    /// Where the room stands.
    pub result: SubscribeResult,
    /// What the client missed, in order, if it asked for it and all of it is there.
    pub past: Option<Vec<Entry>>,
}

/// A client publishes.
#[derive(Debug)]
pub struct Publish {
    /// The room.
    pub room: RoomName,
    /// Who asks.
    pub from: Origin,
    /// Command to answer (0: a plain client, no answer).
    pub id: u32,
    /// What it publishes.
    pub content: SharedContent,
    /// Who publishes.
    pub author: Arc<Author>,
}

/// A client asks for the past of a room.
#[derive(Debug)]
pub struct HistoryRequest {
    /// The room.
    pub room: RoomName,
    /// Who asks.
    pub from: Origin,
    /// Command to answer.
    pub id: u32,
    /// Publications wanted; 0: the position only; negative: as many as allowed.
    pub limit: i32,
    /// Only what lies beyond this position: epoch (empty: any), offset.
    pub since: Option<(String, u64)>,
    /// Newest first.
    pub reverse: bool,
    /// Bytes of the past that the answer may carry.
    pub past_bytes: usize,
}

/// A reply, encoded where its connection is.
#[derive(Debug)]
pub struct Answer {
    /// The reply, without publications.
    pub reply: Reply,
    /// The publications of the past that belong into it, in order.
    pub past: Option<Vec<Entry>>,
}

/// A client asks who is in a room.
#[derive(Debug)]
pub struct PresenceRequest {
    /// The room.
    pub room: RoomName,
    /// Who asks.
    pub from: Origin,
    /// Command to answer.
    pub id: u32,
    /// Only how many there are.
    pub count_only: bool,
    /// Bytes that the answer may have.
    pub bytes_max: usize,
}

/// The publications of one room in one turn of its home, encoded per audience.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The room.
    pub room: RoomName,
    /// Whole frames, concatenated; empty where an audience has no member.
    pub frames: [Bytes; AUDIENCES],
    /// Publications in it.
    pub count: u32,
}

/// A message from one shard to another.
#[derive(Debug)]
pub enum PeerMessage {
    /// To a home: a client joins.
    Join(Box<Join>),
    /// To a home: a member of one's own has left.
    Leave {
        /// The room.
        room: RoomName,
        /// Whose bytes it took.
        audience: Audience,
        /// Who left, if the room keeps who is there.
        author: Option<Arc<Author>>,
    },
    /// To a home: who a member is, of which the home has not wanted to know it so far.
    Present {
        /// The room.
        room: RoomName,
        /// Who it is.
        author: Arc<Author>,
        /// How it takes part.
        terms: Terms,
    },
    /// To a home: a member goes by another name from now on.
    Renamed {
        /// The room.
        room: RoomName,
        /// Who it is now.
        author: Arc<Author>,
    },
    /// To every shard: a client asks for the public rooms.
    ListRooms {
        /// Comes back with the answer.
        call: u64,
    },
    /// The answer to [`PeerMessage::ListRooms`].
    RoomList {
        /// The call.
        call: u64,
        /// The public rooms whose home the shard is.
        rooms: Arc<[Listed]>,
    },
    /// To a home: a client publishes.
    Publish(Box<Publish>),
    /// To a home: a client asks for the past.
    History(Box<HistoryRequest>),
    /// To a home: a client asks who is there.
    Presence(Box<PresenceRequest>),
    /// To a nick's home: a client wants it.
    Claim {
        /// The nick wanted.
        nick: String,
        /// Who wants it.
        from: Origin,
        /// It has proven an earlier grant.
        proven: bool,
    },
    /// To a nick's home: the holder is gone.
    Release {
        /// The nick held.
        nick: String,
        /// Who held it.
        from: Origin,
    },
    /// From a home: the member is counted; the stream of the room starts here for it.
    Joined {
        /// The room.
        room: RoomName,
        /// Who joined.
        conn: ConnId,
        /// How.
        joined: Joined,
    },
    /// From a home: the join was refused.
    Refused {
        /// The room.
        room: RoomName,
        /// Who asked.
        conn: ConnId,
        /// Command to answer (0: none).
        id: u32,
        /// Why.
        error: ErrorCode,
    },
    /// From a home: what the turn brought.
    Batch(Batch),
    /// From a home: the answer to a request for history or presence; commands behind it have
    /// waited for it.
    Past {
        /// Who asked.
        conn: ConnId,
        /// What the client is told.
        answer: Box<Answer>,
    },
    /// From a home: the answer to a publish.
    Published {
        /// Who asked.
        conn: ConnId,
        /// Command to answer.
        id: u32,
        /// Whether it was published.
        result: Result<(), ErrorCode>,
    },
    /// From a nick's home: the nick is yours (perhaps another one than asked for).
    Claimed {
        /// Who asked.
        conn: ConnId,
        /// The nick granted; `None`: none could be found.
        nick: Option<String>,
    },
    /// Everything said before this barrier of a shutdown has been said.
    Barrier(Barrier),
}

/// The two barriers of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// The shard takes no commands any more: nothing new will come to a home.
    Commands,
    /// The shard has heard [`Barrier::Commands`] from all and published everything it is home to.
    Publications,
}
