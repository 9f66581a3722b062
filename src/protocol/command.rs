//! Client to server: the text of a frame -> [`Command`]s.
//!
//! A frame carries one or more JSON objects, separated by line breaks (or any white space). A
//! command borrows from the frame; payloads stay raw. Unknown fields are ignored, because SDKs
//! send fields of extensions that are not offered here.

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// One request of a client.
#[derive(Debug)]
pub struct Command<'a> {
    /// Echoed in the reply. 0: the client sent none (only [`Request::Pong`] and
    /// [`Request::Send`] may).
    pub id: u32,
    /// What is asked for.
    pub request: Request<'a>,
}

/// What a command asks for.
#[derive(Debug)]
pub enum Request<'a> {
    /// `{}`: the answer to a server ping.
    Pong,
    /// Says who the client is; must come first.
    Connect(Connect<'a>),
    /// Joins a room.
    Subscribe(Subscribe<'a>),
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
    Send,
    /// A call of a server method.
    Rpc(Rpc<'a>),
    /// A new token for the connection.
    Refresh(Refresh<'a>),
    /// A new token for a subscription.
    SubRefresh(Room<'a>),
}

/// Fields of `connect`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Connect<'a> {
    /// A JWT, or empty.
    #[serde(borrow)]
    pub token: Cow<'a, str>,
    /// Free data; a guest sends `{"nick":..., "resume":...}`.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
    /// Server-side subscriptions to recover (not offered yet: ignored).
    #[serde(borrow)]
    pub subs: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

/// Fields of `subscribe`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subscribe<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// The client has a position and wants what it missed.
    pub recover: bool,
    /// Epoch of its position.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    /// Offset of its position.
    pub offset: u64,
}

/// A command that names only a room.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Room<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
}

/// Fields of `publish`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Publish<'a> {
    /// The room.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// The payload, any JSON value.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

/// Fields of `history`.
#[derive(Debug, Default, Deserialize)]
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
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Position<'a> {
    /// Offset of a publication.
    pub offset: u64,
    /// Epoch in which the offset was given.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
}

/// Fields of `rpc`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rpc<'a> {
    /// The method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
}

/// Fields of `refresh`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refresh<'a> {
    /// A JWT.
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
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
            Key::Send => map.next_value::<Option<IgnoredAny>>()?.map(|_| Request::Send),
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

/// The commands of one frame, in order; knows how far it has read.
pub struct Commands<'a> {
    text: &'a str,
    failed: bool,
    stream: serde_json::StreamDeserializer<'a, serde_json::de::StrRead<'a>, Envelope<'a>>,
}

impl<'a> Commands<'a> {
    /// Reads the commands in `text`, the payload of one frame.
    pub fn new(text: &'a str) -> Self {
        Commands {
            text,
            failed: false,
            stream: serde_json::Deserializer::from_str(text).into_iter(),
        }
    }

    /// What has not been read yet: the part that waits when a connection has to pause.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.stream.byte_offset()..).unwrap_or_default()
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.stream.next()?.map_err(|_| Malformed).and_then(command);
        self.failed = item.is_err();
        Some(item)
    }
}

fn command(envelope: Envelope<'_>) -> Result<Command<'_>, Malformed> {
    let Envelope { id, request, odd } = envelope;
    match request {
        _ if odd => Err(Malformed),
        Some(Request::Send) => Ok(Command { id, request: Request::Send }),
        Some(request) if id > 0 => Ok(Command { id, request }),
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
            "1 Connect(Connect { token: \"\", data: None, subs: None }) | 2 Unsubscribe(Room { channel: \"a\" })",
        );
        check(
            "{\"id\":3,\"publish\":{\"channel\":\"r\\u0061\",\"data\":\n{\"a\" : 1}}}",
            "3 Publish(Publish { channel: \"ra\", data: Some(RawValue({\"a\" : 1})) })",
        );
        check("{\"send\":{\"data\":1}}", "0 Send");
        check("{\"connect\":null,\"id\":1,\"ping\":{},\"rpc\":null}", "1 Ping");
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
        assert_eq!(commands.rest().trim(), "{\"id\":2,\"ping\":{}}");
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
