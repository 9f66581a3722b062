//! Client to server: the text of a frame -> [`Command`]s.
//!
//! A frame carries one or more JSON objects, separated by line breaks (or any white space). A
//! command borrows from the frame; payloads stay raw. Unknown fields are ignored, because SDKs
//! send fields of extensions that are not offered here.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

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

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    id: u32,
    #[serde(borrow)]
    connect: Option<Connect<'a>>,
    #[serde(borrow)]
    subscribe: Option<Subscribe<'a>>,
    #[serde(borrow)]
    unsubscribe: Option<Room<'a>>,
    #[serde(borrow)]
    publish: Option<Publish<'a>>,
    #[serde(borrow)]
    presence: Option<Room<'a>>,
    #[serde(borrow)]
    presence_stats: Option<Room<'a>>,
    #[serde(borrow)]
    history: Option<History<'a>>,
    ping: Option<serde::de::IgnoredAny>,
    send: Option<serde::de::IgnoredAny>,
    #[serde(borrow)]
    rpc: Option<Rpc<'a>>,
    #[serde(borrow)]
    refresh: Option<Refresh<'a>>,
    #[serde(borrow)]
    sub_refresh: Option<Room<'a>>,
    /// Version 1 of the protocol named the method here; such a client is refused.
    method: Option<serde::de::IgnoredAny>,
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
        // serde would take an array for a struct; a command is an object.
        let object = self.rest().trim_start().bytes().next().is_none_or(|first| first == b'{');
        let item = match self.stream.next()? {
            Ok(envelope) if object => command(envelope),
            _ => Err(Malformed),
        };
        self.failed = item.is_err();
        Some(item)
    }
}

fn command(e: Envelope<'_>) -> Result<Command<'_>, Malformed> {
    let id = e.id;
    let request = if let Some(publish) = e.publish {
        Request::Publish(publish)
    } else if let Some(connect) = e.connect {
        Request::Connect(connect)
    } else if let Some(subscribe) = e.subscribe {
        Request::Subscribe(subscribe)
    } else if let Some(room) = e.unsubscribe {
        Request::Unsubscribe(room)
    } else if let Some(room) = e.presence {
        Request::Presence(room)
    } else if let Some(room) = e.presence_stats {
        Request::PresenceStats(room)
    } else if let Some(history) = e.history {
        Request::History(history)
    } else if e.ping.is_some() {
        Request::Ping
    } else if e.send.is_some() {
        return Ok(Command { id, request: Request::Send });
    } else if let Some(rpc) = e.rpc {
        Request::Rpc(rpc)
    } else if let Some(refresh) = e.refresh {
        Request::Refresh(refresh)
    } else if let Some(room) = e.sub_refresh {
        Request::SubRefresh(room)
    } else if id == 0 && e.method.is_none() {
        return Ok(Command { id, request: Request::Pong });
    } else {
        return Err(Malformed);
    };
    if id == 0 { Err(Malformed) } else { Ok(Command { id, request }) }
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
