//! What is spoken inside of the WebSocket: the upgrade, joining a room, a message, and what comes
//! back. Pure; tests at the end.
//!
//! Incoming bytes are scanned, not parsed: the start of a line tells what it is, and a delivery's
//! text is found by its marker. That costs one pass at the speed of memory and no allocation.

use crate::options::{Dialect, Plan};
use crate::text::{self, Marker, Texts, push_decimal};
use tungstenite::handshake::derive_accept_key;

/// `id` of the first publish command; 1 and 2 are connect and subscribe.
const FIRST_PUBLISH: u64 = 3;

/// The dialect of a run.
#[derive(Debug)]
pub struct Wire {
    dialect: Dialect,
    host: String,
    path: Option<String>,
    /// What a room's name begins with.
    prefix: String,
    chat: bool,
    token: Option<String>,
    texts: Texts,
}

/// What can come in.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A message, intact.
    Delivery(Marker),
    /// The server answered that the room is joined.
    Joined,
    /// The server took a message.
    Accepted,
    /// The server refused a command; the whole line.
    Refused(&'a [u8]),
    /// The server's ping inside of the dialect.
    Ping,
    /// A delivery that is damaged or not of this generator, or a line that makes no sense.
    Corrupt(&'a [u8]),
}

impl Wire {
    /// For the plan's dialect.
    pub fn new(plan: &Plan) -> Wire {
        let options = &plan.options;
        let prefix = match &options.namespace {
            Some(namespace) => format!("{namespace}:{}", options.room_prefix),
            None => options.room_prefix.clone(),
        };
        Wire {
            dialect: options.dialect,
            host: plan.host.clone(),
            path: plan.path.clone(),
            prefix,
            chat: options.namespace.is_some(),
            token: options.token.clone(),
            texts: Texts::new(options.payload),
        }
    }

    /// The request that asks for a WebSocket in `room`.
    pub fn upgrade(&self, room: usize, key: &str) -> String {
        let path = match (self.dialect, &self.path) {
            (Dialect::Ringchat, None) => "/connection/websocket".to_owned(),
            (Dialect::Ringchat, Some(path)) => path.clone(),
            (Dialect::Plain, path) => {
                let path = path.as_deref().unwrap_or("/plain");
                let join = if path.contains('?') { '&' } else { '?' };
                let token = self.token.as_ref().map(|token| format!("&token={token}"));
                let token = token.unwrap_or_default();
                format!("{path}{join}room={}{room}{token}", self.prefix)
            }
            (Dialect::Broadcast, path) => {
                let path = path.as_deref().unwrap_or_default().trim_end_matches('/');
                format!("{path}/{}{room}", self.prefix)
            }
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
            self.host
        )
    }

    /// What to send once upgraded to join `room`; `None`: the upgrade has done it.
    pub fn join(&self, room: usize) -> Option<String> {
        if self.dialect != Dialect::Ringchat {
            return None;
        }
        let connect = match &self.token {
            Some(token) => serde_json::json!({"id": 1, "connect": {"token": token}}),
            None => serde_json::json!({"id": 1, "connect": {}}),
        };
        let channel = format!("{}{room}", self.prefix);
        let subscribe = serde_json::json!({"id": 2, "subscribe": {"channel": channel}});
        Some(format!("{connect}\n{subscribe}"))
    }

    /// Appends the frame payload of `marker`'s message in `room`.
    pub fn publish(&self, out: &mut Vec<u8>, room: usize, marker: Marker) {
        if self.dialect != Dialect::Ringchat {
            self.texts.write(out, marker);
            return;
        }
        out.extend_from_slice(b"{\"id\":");
        push_decimal(out, FIRST_PUBLISH + u64::from(marker.number));
        out.extend_from_slice(b",\"publish\":{\"channel\":\"");
        out.extend_from_slice(self.prefix.as_bytes());
        push_decimal(out, room as u64);
        let kind: &[u8] = if self.chat { b"\"type\":\"message\"," } else { b"" };
        out.extend_from_slice(b"\",\"data\":{");
        out.extend_from_slice(kind);
        out.extend_from_slice(b"\"text\":\"");
        self.texts.write(out, marker);
        out.extend_from_slice(b"\"}}}");
    }

    /// The answer to [`Seen::Ping`].
    pub fn pong(&self) -> &'static [u8] {
        b"{}"
    }

    /// Does the server answer each message to its sender?
    pub fn accepts(&self) -> bool {
        self.dialect == Dialect::Ringchat
    }

    /// Reports what is in one text frame, in order.
    #[inline]
    pub fn scan<'a>(&self, payload: &'a [u8], mut report: impl FnMut(Seen<'a>)) {
        match self.dialect {
            Dialect::Ringchat => {
                let mut rest = payload;
                while !rest.is_empty() {
                    rest = self.line(rest, &mut report);
                }
            }
            Dialect::Plain if payload.starts_with(b"from ") => {
                let text = text::find(payload).map(|at| &payload[at..]);
                let whole = text.filter(|text| text.len() == self.texts.text_len());
                report(match whole.and_then(|text| self.texts.read(text)) {
                    Some(marker) => Seen::Delivery(marker),
                    None => Seen::Corrupt(payload),
                });
            }
            // A notice: joins, leaves, topics.
            Dialect::Plain => {}
            Dialect::Broadcast => {
                if let Some(at) = text::find(payload) {
                    report(match self.texts.read(&payload[at..]) {
                        Some(marker) => Seen::Delivery(marker),
                        None => Seen::Corrupt(payload),
                    });
                }
            }
        }
    }

    /// One line of the client protocol; returns what follows it.
    #[inline]
    fn line<'a>(&self, bytes: &'a [u8], report: &mut impl FnMut(Seen<'a>)) -> &'a [u8] {
        if bytes.starts_with(b"{\"push\":")
            && let Some(at) = text::find(bytes)
            && let Some(marker) = self.texts.read(&bytes[at..])
        {
            let end = at + self.texts.text_len();
            if bytes.get(end) == Some(&b'"') && memchr::memchr(b'\n', &bytes[..at]).is_none() {
                report(Seen::Delivery(marker));
                return split_line(&bytes[end..]).1;
            }
        }
        let (line, rest) = split_line(bytes);
        if line == b"{}" {
            report(Seen::Ping);
        } else if let Some(reply) = line.strip_prefix(b"{\"id\":") {
            let digits = reply.iter().take_while(|b| b.is_ascii_digit()).count();
            if reply[digits..].starts_with(b",\"error\":") {
                report(Seen::Refused(line));
            } else if reply[..digits] == *b"2" {
                report(Seen::Joined);
            } else if reply[..digits] != *b"1" {
                report(Seen::Accepted);
            }
        } else if !line.starts_with(b"{\"push\":")
            || memchr::memmem::find(line, b"\"pub\":").is_some()
        {
            report(Seen::Corrupt(line));
        }
        // Other pushes: joins and leaves.
        rest
    }
}

/// A line without its end, and what follows it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// Reads the answer to an upgrade with `key`: how long it is, or `None` if it is not complete.
///
/// Errors: why it is not a WebSocket, with the server's own words.
pub fn answer(bytes: &[u8], key: &str) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < 16 * 1024 => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("an answer without end to the upgrade".into()),
        Err(error) => return Err(format!("not an HTTP answer to the upgrade: {error}")),
    };
    if response.code != Some(101) {
        let code = response.code.unwrap_or_default();
        let body = String::from_utf8_lossy(&bytes[len..bytes.len().min(len + 200)]);
        let reason = response.reason.unwrap_or_default();
        return Err(format!("the server refused the upgrade: {code} {reason} {}", body.trim()));
    }
    let accept =
        response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("sec-websocket-accept"));
    if accept.is_none_or(|h| h.value != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err("the server's Sec-WebSocket-Accept does not fit the key".into());
    }
    Ok(Some(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use clap::Parser;

    fn wire(arguments: &str) -> Wire {
        let words = format!("x -c 10 --rooms 2 --rate 1 --payload 64 {arguments}");
        let options = Options::parse_from(words.split_whitespace());
        Wire::new(&Plan::new(options, 1).unwrap())
    }

    const MARKER: Marker = Marker { sender: 1, number: 39, due_ns: 1234 };

    fn seen<'a>(wire: &Wire, payload: &'a [u8]) -> Vec<Seen<'a>> {
        let mut all = Vec::new();
        wire.scan(payload, |seen| all.push(seen));
        all
    }

    /// What a server would push for `wire`'s own publish command.
    fn push(wire: &Wire) -> String {
        let mut command = Vec::new();
        wire.publish(&mut command, 1, MARKER);
        let command: serde_json::Value = serde_json::from_slice(&command).unwrap();
        let data = &command["publish"]["data"];
        let channel = &command["publish"]["channel"];
        format!(
            r#"{{"push":{{"channel":{channel},"pub":{{"data":{data},"info":{{"user":"~#al~"}}}}}}}}"#
        )
    }

    #[test]
    fn speaks_the_client_protocol() {
        let wire = wire("");
        assert!(
            wire.upgrade(1, "KEY").starts_with("GET /connection/websocket HTTP/1.1\r\nHost: 1")
        );
        assert_eq!(
            wire.join(1).unwrap(),
            "{\"connect\":{},\"id\":1}\n{\"id\":2,\"subscribe\":{\"channel\":\"load-1\"}}"
        );
        let mut out = Vec::new();
        wire.publish(&mut out, 1, MARKER);
        let command: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(command["id"], 42);
        assert_eq!(command["publish"]["channel"], "load-1");
        assert_eq!(command["publish"]["data"]["text"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn speaks_chat() {
        let wire = wire("--namespace chat --token a.b.c");
        assert!(wire.join(0).unwrap().contains(r#"{"token":"a.b.c"}"#));
        assert!(wire.join(0).unwrap().contains(r#""channel":"chat:load-0""#));
        let push = push(&wire);
        assert!(push.contains(r#""type":"message""#), "{push}");
        assert_eq!(seen(&wire, push.as_bytes()), [Seen::Delivery(MARKER)]);
    }

    #[test]
    fn reads_every_line_of_a_frame() {
        let wire = wire("");
        let push = push(&wire);
        let refused = r#"{"id":7,"error":{"code":111,"message":"too many requests"}}"#;
        let frame = [
            r#"{"id":1,"connect":{"client":"x","ping":25,"pong":true}}"#,
            r#"{"id":2,"subscribe":{}}"#,
            &push,
            r#"{"push":{"channel":"load-1","join":{"info":{"client":"x"}}}}"#,
            &push,
            "{}",
            r#"{"id":22,"publish":{}}"#,
            refused,
        ]
        .join("\n");
        assert_eq!(
            seen(&wire, frame.as_bytes()),
            [
                Seen::Joined,
                Seen::Delivery(MARKER),
                Seen::Delivery(MARKER),
                Seen::Ping,
                Seen::Accepted,
                Seen::Refused(refused.as_bytes()),
            ]
        );
    }

    #[test]
    fn damaged_lines_are_corrupt() {
        let wire = wire("");
        let push = push(&wire);
        for (from, to) in [("abc", "abx"), ("~#1", "~#x"), ("\"}", "x\"}"), ("text", "t\next")] {
            let bad = push.replacen(from, to, 1);
            assert_ne!(bad, push);
            let all = seen(&wire, bad.as_bytes());
            assert!(matches!(all.first(), Some(Seen::Corrupt(_))), "{bad}: {all:?}");
        }
        assert_eq!(seen(&wire, b"hello"), [Seen::Corrupt(b"hello")]);
        assert_eq!(seen(&wire, b"{\"push\":"), [], "no publication in it");
    }

    #[test]
    fn speaks_lines() {
        let wire = wire("--dialect plain --namespace chat");
        assert!(wire.upgrade(1, "KEY").starts_with("GET /plain?room=chat:load-1 HTTP/1.1\r\n"));
        assert_eq!(wire.join(1), None);
        let mut text = Vec::new();
        wire.publish(&mut text, 1, MARKER);
        let line = [b"from ~bob: ", &text[..]].concat();
        assert_eq!(seen(&wire, &line), [Seen::Delivery(MARKER)]);
        assert_eq!(seen(&wire, &line[..70]), [Seen::Corrupt(&line[..70])]);
        assert_eq!(seen(&wire, b"* bob joined"), []);
    }

    #[test]
    fn speaks_nothing() {
        let wire = wire("--dialect broadcast --url ws://127.0.0.1:1/ws/");
        assert!(wire.upgrade(1, "KEY").starts_with("GET /ws/load-1 HTTP/1.1\r\n"));
        let mut text = Vec::new();
        wire.publish(&mut text, 1, MARKER);
        assert_eq!(text.len(), 64);
        assert_eq!(seen(&wire, &text), [Seen::Delivery(MARKER)]);
        assert_eq!(seen(&wire, &text[..60]), [Seen::Corrupt(&text[..60])]);
        assert_eq!(seen(&wire, b"welcome"), []);
    }

    #[test]
    fn judges_the_upgrade() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(answer(format!("{good}\u{1}").as_bytes(), key), Ok(Some(good.len())));
        assert_eq!(answer(&good.as_bytes()[..50], key), Ok(None));
        let refused = "HTTP/1.1 503 Service Unavailable\r\n\r\ntoo many connections\n";
        for (bytes, key, why) in [
            (good, "other", "does not fit"),
            (refused, key, "503 Service Unavailable too many connections"),
            ("SSH-2.0-x\r\n", key, "not an HTTP answer"),
        ] {
            let error = answer(bytes.as_bytes(), key).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
