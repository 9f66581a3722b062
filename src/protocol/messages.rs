//! Server to client, what is sent seldom: replies and pushes as typed messages, in both forms.
//!
//! Owns the names and numbers of the public schema (`client.proto`) as far as stream channels need
//! them, and how they are written: as JSON, where fields at their defaults are left out and a result
//! is there even when empty; as protobuf, where a message has its length before it. Bytes (`data`,
//! `conn_info`, `chan_info`) are raw JSON in the JSON form; what is no JSON becomes a string that
//! holds its base64. What is sent for every publication is written by hand, in `reply.rs`. It never
//! knows who receives a message. Tests: `messages/tests.rs`, and `reply.rs` for replies with publications.

use super::codes::{self, Disconnect, ErrorCode};
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The form of the client protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON texts in text frames.
    Json,
    /// Protobuf messages, each with its length before it, in binary frames.
    Protobuf,
}

/// What a connection is sent: the answer to a command, or a push.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Reply {
    /// The command's id; 0: it is a push.
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub id: u32,
    /// What it says; `None`: a ping.
    #[prost(oneof = "Body", tags = "2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    #[serde(flatten)]
    pub body: Option<Body>,
}

/// What a reply says.
#[derive(Clone, PartialEq, prost::Oneof, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The command was not carried out.
    #[prost(message, tag = "2")]
    Error(Error),
    /// No answer: something happened.
    #[prost(message, tag = "4")]
    Push(Push),
    /// To `connect`.
    #[prost(message, tag = "5")]
    Connect(ConnectResult),
    /// To `subscribe`.
    #[prost(message, tag = "6")]
    Subscribe(SubscribeResult),
    /// To `unsubscribe`.
    #[prost(message, tag = "7")]
    Unsubscribe(Empty),
    /// To `publish`.
    #[prost(message, tag = "8")]
    Publish(Empty),
    /// To `presence`.
    #[prost(message, tag = "9")]
    Presence(PresenceResult),
    /// To `presence_stats`.
    #[prost(message, tag = "10")]
    PresenceStats(PresenceStatsResult),
    /// To `history`.
    #[prost(message, tag = "11")]
    History(HistoryResult),
    /// To `ping`.
    #[prost(message, tag = "12")]
    Ping(Empty),
    /// To `rpc`.
    #[prost(message, tag = "13")]
    Rpc(RpcResult),
    /// To `refresh`.
    #[prost(message, tag = "14")]
    Refresh(RefreshResult),
    /// To `sub_refresh`.
    #[prost(message, tag = "15")]
    SubRefresh(SubRefreshResult),
}

/// A result that says no more than that it went well.
#[derive(Clone, Copy, PartialEq, Message, Serialize)]
pub struct Empty {}

/// Why a command was not carried out.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Error {
    /// Number, see [`codes::ERRORS`].
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// Text.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Whether an SDK repeats the command.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub temporary: bool,
}

/// Result of `connect`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct ConnectResult {
    /// The connection's id, a UUID.
    #[prost(string, tag = "1")]
    pub client: String,
    /// Version of the server.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
    /// Whether the connection has to be refreshed.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: u32,
    /// For the application: a guest's nick and proof.
    #[prost(bytes = "bytes", tag = "5")]
    #[serde(skip_serializing_if = "is_default", serialize_with = "raw")]
    pub data: Bytes,
    /// Server-side subscriptions.
    #[prost(message, repeated, tag = "6")]
    #[serde(skip_serializing_if = "is_default", serialize_with = "by_room")]
    pub subs: Vec<ServerSub>,
    /// Seconds between server pings; SDKs wait a little longer than this.
    #[prost(uint32, tag = "7")]
    #[serde(skip_serializing_if = "is_default")]
    pub ping: u32,
    /// Whether pings have to be answered.
    #[prost(bool, tag = "8")]
    #[serde(skip_serializing_if = "is_default")]
    pub pong: bool,
}

/// A server-side subscription: an entry of the schema's map from rooms to results. (In a map the
/// library leaves an empty result out, and the JavaScript SDK wants to find one.)
#[derive(Clone, PartialEq, Message)]
pub struct ServerSub {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// Where it stands.
    #[prost(message, required, tag = "2")]
    pub result: SubscribeResult,
}

/// Result of `subscribe`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct SubscribeResult {
    /// Whether the subscription has to be refreshed.
    #[prost(bool, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: u32,
    /// Whether what is missed can be had later.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub recoverable: bool,
    /// Life of the room.
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "is_default")]
    pub epoch: String,
    /// All that was missed, oldest first.
    #[prost(message, repeated, tag = "7")]
    #[serde(skip_serializing_if = "is_default")]
    pub publications: Vec<Publication>,
    /// Whether all that was missed is there.
    #[prost(bool, tag = "8")]
    #[serde(skip_serializing_if = "is_default")]
    pub recovered: bool,
    /// Offset of the newest publication, 0: none yet; only in rooms with a position.
    #[prost(uint64, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Whether the position is watched.
    #[prost(bool, tag = "10")]
    #[serde(skip_serializing_if = "is_default")]
    pub positioned: bool,
    /// For the application.
    #[prost(bytes = "bytes", tag = "11")]
    #[serde(skip_serializing_if = "is_default", serialize_with = "raw")]
    pub data: Bytes,
    /// Whether the client had asked for what it missed.
    #[prost(bool, tag = "12")]
    #[serde(skip_serializing_if = "is_default")]
    pub was_recovering: bool,
}

/// Result of `presence`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct PresenceResult {
    /// Who is there, by client id.
    #[prost(btree_map = "string, message", tag = "1")]
    pub presence: BTreeMap<String, ClientInfo>,
}

/// Result of `presence_stats`.
#[derive(Clone, Copy, PartialEq, Message, Serialize)]
pub struct PresenceStatsResult {
    /// Connections.
    #[prost(uint32, tag = "1")]
    pub num_clients: u32,
    /// Different users.
    #[prost(uint32, tag = "2")]
    pub num_users: u32,
}

/// Result of `history`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct HistoryResult {
    /// In the order asked for.
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub publications: Vec<Publication>,
    /// Life of the room.
    #[prost(string, tag = "2")]
    pub epoch: String,
    /// Offset of the newest publication; 0: none yet.
    #[prost(uint64, tag = "3")]
    pub offset: u64,
}

/// Result of `rpc`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct RpcResult {
    /// What the method returns.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(skip_serializing_if = "is_default", serialize_with = "raw")]
    pub data: Bytes,
}

/// Result of `refresh`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct RefreshResult {
    /// The connection's id.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub client: String,
    /// Version of the server.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
    /// Whether the connection has to be refreshed again.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: u32,
}

/// Result of `sub_refresh`.
#[derive(Clone, Copy, PartialEq, Message, Serialize)]
pub struct SubRefreshResult {
    /// Whether the subscription has to be refreshed again.
    #[prost(bool, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: u32,
}

/// Something that happened, in a room or to the connection.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Push {
    /// The room; empty: it is about the connection.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub channel: String,
    /// What happened.
    #[prost(oneof = "PushBody", tags = "4, 5, 6, 7, 8, 9, 11, 12")]
    #[serde(flatten)]
    pub body: Option<PushBody>,
}

/// What a push tells.
#[derive(Clone, PartialEq, prost::Oneof, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PushBody {
    /// Something was published.
    #[prost(message, tag = "4")]
    Pub(Publication),
    /// Somebody joined.
    #[prost(message, tag = "5")]
    Join(Presence),
    /// Somebody left.
    #[prost(message, tag = "6")]
    Leave(Presence),
    /// The connection is no member any more.
    #[prost(message, tag = "7")]
    Unsubscribe(Unsubscribe),
    /// A message of the server, for no room.
    #[prost(message, tag = "8")]
    Message(ServerMessage),
    /// The server made the connection a member.
    #[prost(message, tag = "9")]
    Subscribe(Subscribe),
    /// The connection will be closed.
    #[prost(message, tag = "11")]
    Disconnect(DisconnectPush),
    /// The connection's time has changed.
    #[prost(message, tag = "12")]
    Refresh(RefreshPush),
}

/// A publication.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Publication {
    /// The payload.
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(serialize_with = "raw")]
    pub data: Bytes,
    /// Who published it; none: the server.
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<ClientInfo>,
    /// Its place in the stream; 0: the room has none.
    #[prost(uint64, tag = "6")]
    #[serde(skip_serializing_if = "is_default")]
    pub offset: u64,
    /// What the publisher put beside it.
    #[prost(btree_map = "string, string", tag = "7")]
    #[serde(skip_serializing_if = "is_default")]
    pub tags: BTreeMap<String, String>,
    /// When it was published, in Unix milliseconds.
    #[prost(int64, tag = "9")]
    #[serde(skip_serializing_if = "is_default")]
    pub time: i64,
}

/// Who publishes, joins, leaves or is present.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct ClientInfo {
    /// The user; empty: anonymous.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The connection's id.
    #[prost(string, tag = "2")]
    pub client: String,
    /// What the connection's token says of the user.
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(skip_serializing_if = "is_default", serialize_with = "raw")]
    pub conn_info: Bytes,
    /// What the subscription's token says of the user.
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(skip_serializing_if = "is_default", serialize_with = "raw")]
    pub chan_info: Bytes,
}

/// `Join` and `Leave` of the schema.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Presence {
    /// Who.
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<ClientInfo>,
}

/// Why the connection is no member any more.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Unsubscribe {
    /// Number, see [`codes::UNSUBSCRIBES`].
    #[prost(uint32, tag = "2")]
    pub code: u32,
    /// Text.
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub reason: String,
}

/// `Message` of the schema.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct ServerMessage {
    /// The payload.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(serialize_with = "raw")]
    pub data: Bytes,
}

/// Of what the server made the connection a member.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Subscribe {
    /// Whether what is missed can be had later.
    #[prost(bool, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub recoverable: bool,
    /// Life of the room.
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub epoch: String,
    /// Offset of the newest publication, 0: none yet; only in rooms with a position.
    #[prost(uint64, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Whether the position is watched.
    #[prost(bool, tag = "6")]
    #[serde(skip_serializing_if = "is_default")]
    pub positioned: bool,
    /// For the application.
    #[prost(bytes = "bytes", tag = "7")]
    #[serde(skip_serializing_if = "is_default", serialize_with = "raw")]
    pub data: Bytes,
}

/// `Disconnect` of the schema.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct DisconnectPush {
    /// Number, see [`codes::DISCONNECTS`].
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// Text.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// Whether the client should connect again.
    #[prost(bool, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub reconnect: bool,
}

/// `Refresh` of the schema.
#[derive(Clone, Copy, PartialEq, Message, Serialize)]
pub struct RefreshPush {
    /// Whether the connection has to be refreshed.
    #[prost(bool, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: u32,
}

impl Reply {
    /// The answer to the command `id`.
    pub fn new(id: u32, body: impl Into<Body>) -> Reply {
        Reply { id, body: Some(body.into()) }
    }

    /// A push of the room `channel` (empty: about the connection).
    pub fn push(channel: &str, body: PushBody) -> Reply {
        let push = Push { channel: channel.to_owned(), body: Some(body) };
        Reply { id: 0, body: Some(Body::Push(push)) }
    }

    /// Appends it: a JSON text, or a protobuf message with its length before it.
    ///
    /// In the JSON form bytes that are JSON have to be without line breaks.
    pub fn write(&self, encoding: Encoding, out: &mut BytesMut) {
        // Memory that grows always takes what is written, and nothing here fails to serialise.
        match encoding {
            Encoding::Json => {
                let _ = serde_json::to_writer(out.writer(), self);
            }
            Encoding::Protobuf => {
                let _ = self.encode_length_delimited(out);
            }
        }
    }
}

impl From<ErrorCode> for Body {
    fn from(error: ErrorCode) -> Body {
        let ErrorCode { code, message, temporary } = error;
        Body::Error(Error { code: code.into(), message: message.into(), temporary })
    }
}

impl From<codes::Unsubscribe> for PushBody {
    fn from(why: codes::Unsubscribe) -> PushBody {
        PushBody::Unsubscribe(Unsubscribe { code: why.code.into(), reason: why.reason.into() })
    }
}

impl From<Disconnect> for PushBody {
    fn from(why: Disconnect) -> PushBody {
        let reconnect = why.may_reconnect();
        let Disconnect { code, reason } = why;
        PushBody::Disconnect(DisconnectPush { code: code.into(), reason: reason.into(), reconnect })
    }
}

/// The JSON form of a map.
fn by_room<S: Serializer>(subs: &[ServerSub], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(subs.iter().map(|sub| (&sub.room, &sub.result)))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Bytes in the JSON form: as they are if they are JSON, otherwise a string with their base64.
fn raw<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(json) => json.serialize(serializer),
        Err(_) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
    }
}

#[cfg(test)]
mod tests;
