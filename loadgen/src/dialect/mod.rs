//! What is spoken inside of the WebSocket: the upgrade, joining a room, a message, and what comes
//! back. Pure: no socket, no clock.
//!
//! Incoming bytes are scanned, not parsed: the start of a line tells what it is, and a delivery's
//! text is found by its marker. That costs one pass at the speed of memory and no allocation. Only
//! the answer to a join, of which there are few, is parsed.
//!
//! One file per dialect; tests at the end of each.

mod json;
pub mod messages;
mod plain;
mod protobuf;
mod raw;
mod template;
mod upgrade;

pub use upgrade::answer;

use crate::frame::opcode;
use crate::options::{Dialect, Encoding, Options, Sizes};
use crate::text::{Marker, Texts, decimal_len, push_decimal};
use json::Json;
use plain::Plain;
use protobuf::Protobuf;
use raw::Raw;
use template::{Hole, Template};

/// `id` of the connect command.
const CONNECT: u32 = 1;
/// `id` of the subscribe command.
const SUBSCRIBE: u32 = 2;
/// `id` of a sender's first publish command; the others follow in order.
const FIRST_PUBLISH: u32 = 3;
/// Bit that the `id` of every presence and history command has, and no other command's.
pub const REQUEST: u32 = 1 << 31;
/// Messages that a history command asks for.
const HISTORY: i32 = 20;

/// What a [`Wire`] must know.
#[derive(Clone, Debug)]
pub struct WireSettings {
    /// What is spoken.
    pub dialect: Dialect,
    /// Form of the client protocol.
    pub encoding: Encoding,
    /// Raw: frames to send after the upgrade.
    pub hello: Vec<String>,
    /// Raw: what a connection receives when it has joined.
    pub joined: Option<String>,
    /// Raw: the frame that publishes.
    pub publish: String,
    /// What stands before a room's name, with a colon; messages are chat messages then.
    pub namespace: Option<String>,
    /// What a room's name begins with, before its number.
    pub room_prefix: String,
    /// Client token.
    pub token: Option<String>,
    /// Lengths of texts.
    pub sizes: Sizes,
    /// The run's, which draws these lengths.
    pub seed: u64,
    /// Is the position in the room's stream to be known?
    pub recover: bool,
}

impl From<&Options> for WireSettings {
    fn from(options: &Options) -> WireSettings {
        WireSettings {
            dialect: options.dialect,
            encoding: options.encoding,
            hello: options.hello.clone(),
            joined: options.joined.clone(),
            publish: options.publish.clone(),
            namespace: options.namespace.clone(),
            room_prefix: options.room_prefix.clone(),
            token: options.token.clone(),
            sizes: options.payload,
            seed: options.seed,
            recover: options.recover,
        }
    }
}

/// A frame to send that is a whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutFrame {
    /// One of [`crate::frame::opcode`].
    pub opcode: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A place in a room's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Life of the room, as the server named it.
    pub epoch: String,
    /// Offset of the last publication received.
    pub offset: u64,
}

/// What a member may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Who is in the room.
    Presence,
    /// The last 20 messages.
    History,
}

/// What can come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A message, intact.
    Delivery {
        /// What it says about itself.
        marker: Marker,
        /// Its offset in the room's stream. 0: unknown; read only with [`WireSettings::recover`].
        offset: u64,
        /// Did it come in the answer to a join?
        recovered: bool,
    },
    /// The room is joined. In the raw dialect, this may come again. If the answer brings messages
    /// that were missed, this comes before them.
    Joined {
        /// Is everything that was missed here? `None`: that was not asked for, or the server does
        /// not say so.
        recovered: Option<bool>,
        /// The room's epoch, and the offset of its newest message.
        position: Option<(&'a [u8], u64)>,
    },
    /// The server took a message.
    Accepted {
        /// Which one of this connection.
        number: u32,
    },
    /// The server answered a request.
    Answered {
        /// As sent, with [`REQUEST`].
        id: u32,
    },
    /// The server refused a command.
    Refused {
        /// The command's `id`, as sent.
        id: u32,
        /// What it asked for.
        what: Refused,
        /// The server's words.
        line: &'a [u8],
    },
    /// The server's ping inside of the dialect.
    Ping,
    /// A delivery that is damaged or not of this generator, or something that makes no sense.
    Corrupt(&'a [u8]),
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Connect or subscribe: there will be no [`Seen::Joined`].
    Join,
    /// A message.
    Publish {
        /// Which one of this connection.
        number: u32,
    },
    /// Presence or history.
    Request {
        /// As sent, with [`REQUEST`].
        id: u32,
    },
}

/// The dialect of a run. One serves all connections.
#[derive(Debug)]
pub struct Wire {
    kind: Kind,
    common: Common,
}

#[derive(Debug)]
enum Kind {
    Json(Json),
    Protobuf(Protobuf),
    Plain(Plain),
    Raw(Raw),
}

/// What all dialects need.
#[derive(Debug)]
struct Common {
    texts: Texts,
    /// What a room's name begins with, namespace included.
    prefix: String,
    /// Are messages chat messages?
    chat: bool,
    token: Option<String>,
    recover: bool,
}

impl Common {
    fn room(&self, room: usize) -> String {
        format!("{}{room}", self.prefix)
    }

    fn push_room(&self, out: &mut Vec<u8>, room: usize) {
        out.extend_from_slice(self.prefix.as_bytes());
        push_decimal(out, room as u64);
    }

    /// Bytes of a room's name.
    fn room_len(&self, room: usize) -> usize {
        self.prefix.len() + decimal_len(room as u64)
    }

    /// What stands before the text in a publication's data, which is JSON in both encodings.
    fn before_text(&self) -> &'static [u8] {
        if self.chat { b"{\"type\":\"message\",\"text\":\"" } else { b"{\"text\":\"" }
    }
}

/// What stands behind the text.
const AFTER_TEXT: &[u8] = b"\"}";

impl Wire {
    /// Prepares everything that is the same for all connections.
    pub fn new(settings: WireSettings) -> Wire {
        let prefix = match &settings.namespace {
            Some(namespace) => format!("{namespace}:{}", settings.room_prefix),
            None => settings.room_prefix.clone(),
        };
        let common = Common {
            texts: Texts::new(settings.sizes, settings.seed),
            prefix,
            chat: settings.namespace.is_some(),
            token: settings.token.clone(),
            recover: settings.recover,
        };
        let kind = match (settings.dialect, settings.encoding) {
            (Dialect::Ringchat, Encoding::Json) => Kind::Json(Json::new(&common)),
            (Dialect::Ringchat, Encoding::Protobuf) => Kind::Protobuf(Protobuf),
            (Dialect::Plain, _) => Kind::Plain(Plain),
            (Dialect::Echo, _) => Kind::Raw(Raw::echo()),
            (Dialect::Raw, _) => Kind::Raw(Raw::new(&settings)),
        };
        Wire { kind, common }
    }

    /// The request that asks for a WebSocket: `connection` will be a member of `room`.
    ///
    /// `path`: instead of the dialect's own, with its `{i}` and `{room}` to fill in. `key`: 16
    /// random bytes in base64.
    pub fn upgrade(
        &self,
        host: &str,
        path: Option<&str>,
        connection: usize,
        room: usize,
        key: &str,
    ) -> String {
        let own = match &self.kind {
            Kind::Json(_) | Kind::Protobuf(_) => "/connection/websocket",
            Kind::Plain(_) => plain::PATH,
            Kind::Raw(raw) => raw.path(),
        };
        let given = path.unwrap_or(own);
        let mut path = Vec::new();
        Template::new(given, &[Hole::Connection, Hole::Room]).fill(
            &mut path,
            |out, hole| match hole {
                Hole::Connection => push_decimal(out, connection as u64),
                _ => template::push_encoded(out, &self.common.room(room)),
            },
        );
        if let Kind::Plain(_) = self.kind {
            plain::query(&self.common, &mut path, given, room);
        }
        let path = String::from_utf8_lossy(&path);
        let protocol = match self.subprotocol() {
            Some(protocol) => format!("Sec-WebSocket-Protocol: {protocol}\r\n"),
            None => String::new(),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{protocol}\r\n"
        )
    }

    /// Reads the answer to [`Wire::upgrade`]; see [`answer`].
    pub fn answer(&self, bytes: &[u8], key: &str) -> Result<Option<usize>, String> {
        answer(bytes, key, self.subprotocol())
    }

    /// The subprotocol that the upgrade asks for, and that the server must accept.
    pub fn subprotocol(&self) -> Option<&'static str> {
        matches!(self.kind, Kind::Protobuf(_)).then_some(protobuf::SUBPROTOCOL)
    }

    /// Adds what to send once upgraded to join `room`; `from`: what came later is wanted too.
    ///
    /// True: wait for [`Seen::Joined`]. False: joined as soon as this is sent.
    pub fn join(
        &self,
        out: &mut Vec<OutFrame>,
        connection: usize,
        room: usize,
        from: Option<&Position>,
    ) -> bool {
        match &self.kind {
            Kind::Json(_) => {
                let payload = json::join(&self.common, room, from);
                out.push(OutFrame { opcode: opcode::TEXT, payload });
                true
            }
            Kind::Protobuf(_) => {
                let payload = protobuf::join(&self.common, room, from);
                out.push(OutFrame { opcode: opcode::BINARY, payload });
                true
            }
            Kind::Plain(_) => false,
            Kind::Raw(raw) => raw.join(&self.common, out, connection, room),
        }
    }

    /// Appends the frame payload of `marker`'s message of `connection` in `room`. Does not allocate,
    /// except to let `out` grow.
    #[inline]
    pub fn publish(&self, out: &mut Vec<u8>, connection: usize, room: usize, marker: Marker) {
        match &self.kind {
            Kind::Json(json) => json.publish(&self.common, out, room, marker),
            Kind::Protobuf(_) => protobuf::publish(&self.common, out, room, marker),
            Kind::Plain(_) => self.common.texts.write(out, marker),
            Kind::Raw(raw) => raw.publish(&self.common, out, connection, room, marker),
        }
    }

    /// Opcode of the frames that [`Wire::publish`], [`Wire::request`] and [`Wire::pong`] fill.
    #[inline]
    pub fn opcode(&self) -> u8 {
        match self.kind {
            Kind::Protobuf(_) => opcode::BINARY,
            _ => opcode::TEXT,
        }
    }

    /// Appends the frame payload of a request. `id`: below 2^31; [`REQUEST`] is set in what is sent
    /// and comes back. Nothing in dialects that have no requests.
    pub fn request(&self, out: &mut Vec<u8>, what: Request, room: usize, id: u32) {
        let id = id | REQUEST;
        match &self.kind {
            Kind::Json(_) => json::request(&self.common, out, what, room, id),
            Kind::Protobuf(_) => protobuf::request(&self.common, out, what, room, id),
            Kind::Plain(_) | Kind::Raw(_) => {}
        }
    }

    /// Appends the answer to [`Seen::Ping`].
    pub fn pong(&self, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Json(_) => out.extend_from_slice(b"{}"),
            Kind::Protobuf(_) => out.push(0),
            Kind::Plain(_) | Kind::Raw(_) => {}
        }
    }

    /// Does the server answer each message to its sender?
    #[inline]
    pub fn accepts(&self) -> bool {
        matches!(self.kind, Kind::Json(_) | Kind::Protobuf(_))
    }

    /// Reports what is in one message of the server, in order. `binary`: its frame was a binary one.
    #[inline]
    pub fn scan<'a>(&self, payload: &'a [u8], binary: bool, mut report: impl FnMut(Seen<'a>)) {
        match &self.kind {
            Kind::Json(json) => json.scan(&self.common, payload, &mut report),
            Kind::Protobuf(_) if binary => protobuf::scan(&self.common, payload, &mut report),
            Kind::Protobuf(_) => report(Seen::Corrupt(payload)),
            Kind::Plain(_) => plain::scan(&self.common, payload, &mut report),
            Kind::Raw(raw) => raw.scan(&self.common, payload, &mut report),
        }
    }
}

/// The answer to a command that was neither connect nor subscribe, or a refusal.
fn answered<'a>(id: u32, error: Option<&'a [u8]>) -> Option<Seen<'a>> {
    let what = match id {
        CONNECT | SUBSCRIBE => Refused::Join,
        FIRST_PUBLISH..REQUEST => Refused::Publish { number: id - FIRST_PUBLISH },
        REQUEST.. => Refused::Request { id },
        0 => return None,
    };
    Some(match (error, what) {
        (Some(line), what) => Seen::Refused { id, what, line },
        (None, Refused::Publish { number }) => Seen::Accepted { number },
        (None, Refused::Request { id }) => Seen::Answered { id },
        (None, Refused::Join) => return None,
    })
}

/// What the tests of the dialects share.
#[cfg(test)]
mod testing {
    use super::*;
    use clap::Parser;

    pub(super) const MARKER: Marker = Marker { sender: 1, number: 39, due_ns: 1234, sent_ns: 1300 };

    pub(super) fn settings(arguments: &[&str]) -> WireSettings {
        let sized = arguments.iter().any(|argument| argument.starts_with("--payload"));
        let payload = (!sized).then_some("--payload=64");
        let words = ["x", "--rate=1"].into_iter().chain(payload).chain(arguments.iter().copied());
        let cli = crate::options::Cli::try_parse_from(words).unwrap();
        WireSettings::from(&cli.options.unwrap())
    }

    pub(super) fn wire(arguments: &[&str]) -> Wire {
        Wire::new(settings(arguments))
    }

    pub(super) fn published(wire: &Wire, marker: Marker) -> Vec<u8> {
        let mut out = Vec::new();
        wire.publish(&mut out, 5, 1, marker);
        out
    }

    pub(super) fn text(wire: &Wire, marker: Marker) -> String {
        let mut out = Vec::new();
        wire.common.texts.write(&mut out, marker);
        String::from_utf8(out).unwrap()
    }

    pub(super) fn scanned<'a>(wire: &Wire, payload: &'a [u8]) -> Vec<Seen<'a>> {
        let mut all = Vec::new();
        wire.scan(payload, wire.opcode() == opcode::BINARY, |seen| all.push(seen));
        all
    }

    pub(super) fn delivery(marker: Marker, offset: u64) -> Seen<'static> {
        Seen::Delivery { marker, offset, recovered: false }
    }

    pub(super) fn request_line(wire: &Wire, path: Option<&str>) -> String {
        let upgrade = wire.upgrade("example.com:80", path, 5, 1, "KEY");
        assert!(upgrade.contains("\r\nHost: example.com:80\r\n") && upgrade.ends_with("\r\n\r\n"));
        assert!(upgrade.contains("\r\nSec-WebSocket-Key: KEY\r\n"));
        upgrade.lines().next().unwrap().replace(" HTTP/1.1", "")
    }

    /// Every dialect must take any bytes, and find every text that is whole.
    #[test]
    fn any_bytes_can_be_scanned() {
        let mut random = fastrand::Rng::with_seed(7);
        for arguments in [
            &["--recover"][..],
            &["--encoding=protobuf", "--recover"],
            &["--dialect=plain"],
            &["--dialect=echo"],
            &["--dialect=raw", "--joined=hi"],
        ] {
            let wire = wire(arguments);
            let good = published(&wire, MARKER);
            for _ in 0..20_000 {
                let mut bytes = good.clone();
                for _ in 0..random.usize(0..4) {
                    let at = random.usize(0..bytes.len());
                    match random.u8(0..4) {
                        0 => bytes[at] = random.u8(..),
                        1 => bytes.truncate(at + 1),
                        2 => bytes.insert(at, random.u8(..)),
                        _ => bytes.extend_from_within(at..),
                    }
                }
                scanned(&wire, &bytes);
            }
        }
    }
}
