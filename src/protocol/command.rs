//! Client to server: what a client may ask for, and the JSON text of a frame -> [`Command`]s.
//!
//! A frame carries one or more JSON objects, separated by line breaks (or any white space). A
//! command borrows from the frame; payloads stay raw. Unknown fields are ignored, because SDKs
//! send fields of extensions that are not offered here. The protobuf form of the same commands is
//! read in `protobuf.rs`, the usual publish in `publish.rs`. Field names and meanings: `client.proto` of
//! the public protocol.

use super::publish;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// One request of a client.
#[derive(Debug, PartialEq)]
pub struct Command<'a> {
    /// Echoed in the reply. 0: the client sent none (only [`Request::Pong`] and
    /// [`Request::Send`] may).
    pub id: u32,
    /// What is asked for.
    pub request: Request<'a>,
}

/// What a command asks for. What is large and comes seldom is boxed: every publish moves this.
#[derive(Debug, PartialEq)]
pub enum Request<'a> {
    /// `{}`: the answer to a server ping.
    Pong,
    /// Says who the client is; must come first.
    Connect(Box<Connect<'a>>),
    /// Joins a room.
    Subscribe(Box<Subscribe<'a>>),
    /// Leaves a room.
    Unsubscribe(Room<'a>),
    /// Publishes into a room.
    Publish(Publish<'a>),
    /// Asks for publications of the past.
    History(History<'a>),
    /// Asks who is in a room.
    Presence(Room<'a>),
    /// Asks how many are in a room.
    PresenceStats(Room<'a>),
    /// A client's own ping; answered with an empty `ping` result.
    Ping,
    /// A message to the server that wants no answer.
    Send(Send<'a>),
    /// A call of a server method.
    Rpc(Rpc<'a>),
    /// A new token for the connection.
    Refresh(Refresh<'a>),
    /// A new token for a subscription.
    SubRefresh(SubRefresh<'a>),
}

/// A payload as it came: `data` of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data<'a> {
    /// One JSON value, valid, without white space around it.
    Json(&'a str),
    /// Bytes that are no JSON; only the protobuf form can carry them.
    Binary(&'a [u8]),
}

impl<'a> Data<'a> {
    /// The JSON text, if it is JSON.
    pub fn json(self) -> Option<&'a str> {
        match self {
            Data::Json(text) => Some(text),
            Data::Binary(_) => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Data::Json(raw.get()))
    }
}

/// Fields of `connect`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Connect<'a> {
    /// A JWT, or empty.
    #[serde(borrow)]
    pub token: Cow<'a, str>,
    /// Free data; a guest sends `{"nick":..., "resume":...}`.
    #[serde(borrow)]
    pub data: Option<Data<'a>>,
    /// The client's software, in its own words.
    #[serde(borrow, deserialize_with = "nullable")]
    pub name: Cow<'a, str>,
    /// Its version.
    #[serde(borrow, deserialize_with = "nullable")]
    pub version: Cow<'a, str>,
    /// Server-side subscriptions to recover, by room.
    #[serde(borrow, deserialize_with = "nullable")]
    pub subs: BTreeMap<Cow<'a, str>, Subscribe<'a>>,
}

/// Fields of `subscribe`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Subscribe<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// A JWT for this room, or empty.
    #[serde(borrow, deserialize_with = "nullable")]
    pub token: Cow<'a, str>,
    /// The client has a position and wants what it missed.
    pub recover: bool,
    /// Epoch of its position.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    /// Offset of its position.
    pub offset: u64,
    /// Free data.
    #[serde(borrow)]
    pub data: Option<Data<'a>>,
    /// It wants to know the room's position.
    #[serde(deserialize_with = "nullable")]
    pub positioned: bool,
    /// It wants to be able to recover later.
    #[serde(deserialize_with = "nullable")]
    pub recoverable: bool,
    /// It wants joins and leaves to be announced to it.
    #[serde(deserialize_with = "nullable")]
    pub join_leave: bool,
}

/// A command that names only a room.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Room<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
}

/// Fields of `publish`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Publish<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// The payload; in the JSON form any JSON value but `null`.
    #[serde(borrow)]
    pub data: Option<Data<'a>>,
}

/// Fields of `history`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct History<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// Publications wanted: 0 (or none) asks for the position only, negative for as many as allowed.
    pub limit: i32,
    /// Only what lies beyond this position.
    #[serde(borrow)]
    pub since: Option<Position<'a>>,
    /// Newest first.
    pub reverse: bool,
}

/// A position in a room's stream.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Position<'a> {
    /// Offset of a publication.
    pub offset: u64,
    /// Epoch in which the offset was given.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
}

/// Fields of `send`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Send<'a> {
    /// The payload.
    #[serde(borrow)]
    pub data: Option<Data<'a>>,
}

/// Fields of `rpc`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rpc<'a> {
    /// The method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Its argument.
    #[serde(borrow)]
    pub data: Option<Data<'a>>,
}

/// Fields of `refresh`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Refresh<'a> {
    /// A JWT.
    #[serde(borrow)]
    pub token: Cow<'a, str>,
}

/// Fields of `sub_refresh`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SubRefresh<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// A JWT for this room.
    #[serde(borrow)]
    pub token: Cow<'a, str>,
}

/// What a guest sends as `connect.data`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GuestData<'a> {
    /// The nick wanted.
    #[serde(borrow)]
    pub nick: Option<Cow<'a, str>>,
    /// Proof of an earlier grant of this nick.
    #[serde(borrow)]
    pub resume: Option<Cow<'a, str>>,
}

/// The frame, or one of its commands, is not of the protocol. The connection is closed (3501).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// `null` stands for nothing.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The commands of one frame, in order. It ends behind the first that is malformed.
pub trait Frame<'a>: Iterator<Item = Result<Command<'a>, Malformed>> {
    /// What has not been read yet: the part that waits when a connection has to pause. Empty when
    /// no command is left.
    fn rest(&self) -> &'a [u8];
}

/// A command as it stands in the frame. Read by hand, because a derived struct of fourteen optional
/// fields is 400 bytes to fill, move and drop for every command.
struct Envelope<'a> {
    id: u32,
    request: Option<Request<'a>>,
    /// It has more than one request, or the shape of the protocol's version 1.
    odd: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Presence,
    PresenceStats,
    History,
    Ping,
    Send,
    Rpc,
    Refresh,
    SubRefresh,
    /// Version 1 of the protocol named the method here; such a client is refused.
    Method,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Fields<'a> {
            type Value = Envelope<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'a>, A::Error> {
                let mut envelope = Envelope { id: 0, request: None, odd: false };
                while let Some(key) = map.next_key()? {
                    envelope.field(key, &mut map)?;
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

impl<'a> Envelope<'a> {
    fn field<'de: 'a, A: MapAccess<'de>>(&mut self, key: Key, map: &mut A) -> Result<(), A::Error> {
        let request = match key {
            Key::Id => {
                self.id = map.next_value()?;
                None
            }
            Key::Publish => map.next_value::<Option<_>>()?.map(Request::Publish),
            Key::Connect => map.next_value::<Option<_>>()?.map(Request::Connect),
            Key::Subscribe => map.next_value::<Option<_>>()?.map(Request::Subscribe),
            Key::Unsubscribe => map.next_value::<Option<_>>()?.map(Request::Unsubscribe),
            Key::Presence => map.next_value::<Option<_>>()?.map(Request::Presence),
            Key::PresenceStats => map.next_value::<Option<_>>()?.map(Request::PresenceStats),
            Key::History => map.next_value::<Option<_>>()?.map(Request::History),
            Key::Ping => map.next_value::<Option<IgnoredAny>>()?.map(|_| Request::Ping),
            Key::Send => map.next_value::<Option<_>>()?.map(Request::Send),
            Key::Rpc => map.next_value::<Option<_>>()?.map(Request::Rpc),
            Key::Refresh => map.next_value::<Option<_>>()?.map(Request::Refresh),
            Key::SubRefresh => map.next_value::<Option<_>>()?.map(Request::SubRefresh),
            Key::Method | Key::Other => {
                map.next_value::<IgnoredAny>()?;
                self.odd |= matches!(key, Key::Method);
                None
            }
        };
        if request.is_some() {
            self.odd |= self.request.is_some();
            self.request = request;
        }
        Ok(())
    }
}

/// The commands in the text of one frame.
pub struct Commands<'a> {
    text: &'a str,
    /// Bytes of `text` that have been read.
    at: usize,
    failed: bool,
}

impl<'a> Commands<'a> {
    /// Reads the commands in `text`, the payload of one frame.
    pub fn new(text: &'a str) -> Self {
        Commands { text, at: 0, failed: false }
    }
}

impl<'a> Frame<'a> for Commands<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default().trim_ascii_start()
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let rest = self.text.get(self.at..)?.trim_start_matches([' ', '\n', '\r', '\t']);
        self.at = self.text.len() - rest.len();
        let usual = publish::read(rest).map(|(command, len)| (Ok(command), len));
        let (item, len) = usual.or_else(|| by_serde(rest))?;
        self.at += len;
        self.failed = item.is_err();
        Some(item)
    }
}

/// Reads the command at the start of `text`, in whatever form: it, and the bytes up to its end.
/// `None`: there is none.
pub(super) fn by_serde(text: &str) -> Option<(Result<Command<'_>, Malformed>, usize)> {
    let mut envelopes = serde_json::Deserializer::from_str(text).into_iter::<Envelope<'_>>();
    let item = envelopes.next()?.map_err(|_| Malformed);
    let item = item.and_then(|e| checked(e.id, e.request, e.odd));
    Some((item, envelopes.byte_offset()))
}

/// The rules that hold in every form. `odd`: it has more than one request, or is not of this version
/// of the protocol.
pub(super) fn checked(
    id: u32,
    request: Option<Request<'_>>,
    odd: bool,
) -> Result<Command<'_>, Malformed> {
    match request {
        _ if odd => Err(Malformed),
        Some(request) if id > 0 || matches!(request, Request::Send(_)) => {
            Ok(Command { id, request })
        }
        None if id == 0 => Ok(Command { id, request: Request::Pong }),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let got: Vec<String> = Commands::new(text)
            .map(|c| match c {
                Ok(c) => format!("{} {:?}", c.id, c.request),
                Err(Malformed) => "malformed".into(),
            })
            .collect();
        assert_eq!(got.join(" | "), expect, "{text}");
    }

    #[test]
    fn commands_of_a_frame() {
        check("{}", "0 Pong");
        check("", "");
        check(
            "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"unsubscribe\":{\"channel\":\"a\",\"flag\":1}}",
            "1 Connect(Connect { token: \"\", data: None, name: \"\", version: \"\", subs: {} }) | 2 Unsubscribe(Room { channel: \"a\" })",
        );
        check(
            "{\"id\":3,\"publish\":{\"channel\":\"r\\u0061\",\"data\":\n{\"a\" : 1}}}",
            "3 Publish(Publish { channel: \"ra\", data: Some(Json(\"{\\\"a\\\" : 1}\")) })",
        );
        check("{\"send\":{\"data\":1}}", "0 Send(Send { data: Some(Json(\"1\")) })");
        check(
            r#"{"id":4,"sub_refresh":{"channel":"a","token":"t"}}"#,
            r#"4 SubRefresh(SubRefresh { channel: "a", token: "t" })"#,
        );
        check(
            r#"{"id":5,"rpc":{"method":"m","data":[]}} {"id":6,"connect":{"subs":null,"name":null}}"#,
            r#"5 Rpc(Rpc { method: "m", data: Some(Json("[]")) }) | 6 Connect(Connect { token: "", data: None, name: "", version: "", subs: {} })"#,
        );
        check("{\"connect\":null,\"id\":1,\"ping\":{},\"rpc\":null}", "1 Ping");
    }

    #[test]
    fn every_field_of_connect_and_subscribe() {
        let text = r#"{"id":1,"connect":{"token":"t","data":{"n":1},"name":"js","version":"5","flag":1,
            "subs":{"a\u0062":{"recover":true,"epoch":"e","offset":7},"c":{}}}}
            {"id":2,"subscribe":{"channel":"ch","token":"u","recover":true,"epoch":"x","offset":9,
            "data":"d","positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil"}}"#;
        let mut commands = Commands::new(text).map(|c| c.unwrap().request);
        let sub = Subscribe { recover: true, epoch: "e".into(), offset: 7, ..Default::default() };
        let connect = Connect {
            token: "t".into(),
            data: Some(Data::Json("{\"n\":1}")),
            name: "js".into(),
            version: "5".into(),
            subs: [("ab".into(), sub), ("c".into(), Subscribe::default())].into(),
        };
        assert_eq!(commands.next(), Some(Request::Connect(Box::new(connect))));
        let subscribe = Subscribe {
            channel: "ch".into(),
            token: "u".into(),
            recover: true,
            epoch: "x".into(),
            offset: 9,
            data: Some(Data::Json("\"d\"")),
            positioned: true,
            recoverable: true,
            join_leave: true,
        };
        assert_eq!(commands.next(), Some(Request::Subscribe(Box::new(subscribe))));
    }

    #[test]
    fn a_command_is_small() {
        assert!(size_of::<Command<'_>>() <= 80, "{}", size_of::<Command<'_>>());
    }

    #[test]
    fn malformed_frames() {
        for text in [
            "{\"connect\":{}}",
            "{\"id\":1}",
            "{\"id\":1,\"dance\":{}}",
            "{\"id\":-1,\"connect\":{}}",
            "{\"id\":1,\"connect\":[]",
            "hello",
            "[]",
            "7",
            "{\"id\":1,\"subscribe\":{\"channel\":5}}",
            "{\"method\":1}",
            "{\"id\":1,\"method\":1,\"ping\":{}}",
            "{\"id\":1,\"ping\":{},\"history\":{\"channel\":\"a\"}}",
            "[1,{}]",
        ] {
            check(text, "malformed");
        }
    }

    #[test]
    fn the_rest_of_a_frame_can_be_kept() {
        let text = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"ping\":{}}";
        let mut commands = Commands::new(text);
        assert!(commands.next().is_some());
        assert_eq!(commands.rest(), b"{\"id\":2,\"ping\":{}}");
        assert!(commands.next().is_some());
        assert_eq!(commands.rest(), b"");
        assert_eq!(Commands::new(" \n").rest(), b"");
    }

    #[test]
    fn borrowed_when_nothing_is_escaped() {
        let mut commands =
            Commands::new("{\"id\":1,\"publish\":{\"channel\":\"room\",\"data\":1}}");
        match commands.next() {
            Some(Ok(Command { request: Request::Publish(p), .. })) => {
                assert!(matches!(p.channel, Cow::Borrowed("room")));
            }
            other => panic!("{other:?}"),
        }
    }
}
