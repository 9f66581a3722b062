//! Server to client: replies and pushes as JSON bytes (no WebSocket frame around them yet).
//!
//! A reply echoes the command's `id`; a push has none. A result is present even when empty.

use super::codes::ErrorCode;
use super::content::Content;
use super::json::{write_str, write_u64};
use bytes::BufMut;

/// The server's ping, and a client's answer to it.
pub const PING: &[u8] = b"{}";

/// The version in the connect result.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Fields of the connect result.
#[derive(Debug, Clone)]
pub struct ConnectResult<'a> {
    /// The connection's id, a UUID.
    pub client: &'a str,
    /// Seconds between server pings; SDKs wait a little longer than this.
    pub ping_seconds: u64,
    /// Seconds until the token runs out; `None`: it does not.
    pub ttl_seconds: Option<u64>,
    /// Raw JSON for the application: a guest's nick and proof.
    pub data: Option<&'a str>,
}

/// `{"id":1,"connect":{...}}`
pub fn connect(out: &mut Vec<u8>, id: u32, result: &ConnectResult<'_>) {
    open(out, id, "connect");
    out.extend_from_slice(b"{\"client\":");
    write_str(out, result.client);
    out.extend_from_slice(b",\"version\":");
    write_str(out, VERSION);
    expiry(out, result.ttl_seconds);
    out.extend_from_slice(b",\"ping\":");
    write_u64(out, result.ping_seconds);
    out.extend_from_slice(b",\"pong\":true");
    if let Some(data) = result.data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
}

/// `{"id":1,"refresh":{...}}`
pub fn refresh(out: &mut Vec<u8>, id: u32, client: &str, ttl_seconds: Option<u64>) {
    open(out, id, "refresh");
    out.extend_from_slice(b"{\"client\":");
    write_str(out, client);
    out.extend_from_slice(b",\"version\":");
    write_str(out, VERSION);
    expiry(out, ttl_seconds);
    out.extend_from_slice(b"}}");
}

fn expiry(out: &mut Vec<u8>, ttl_seconds: Option<u64>) {
    if let Some(ttl) = ttl_seconds {
        out.extend_from_slice(b",\"expires\":true,\"ttl\":");
        write_u64(out, ttl);
    }
}

/// Where a room's stream stands.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// Life of the room.
    pub epoch: &'a str,
    /// Offset of the newest publication; 0: none yet.
    pub offset: u64,
}

/// How a subscribe that asked for recovery went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It did not ask.
    NotAsked,
    /// All that was missed is in the reply.
    Recovered,
    /// Some of it is gone; none is in the reply.
    Unrecovered,
}

/// `{"id":1,"subscribe":{...}}`
///
/// `position`: only in rooms with history. `publications`: oldest first.
pub fn subscribe<'a>(
    out: &mut Vec<u8>,
    id: u32,
    position: Option<Position<'_>>,
    recovery: Recovery,
    publications: impl Iterator<Item = Publication<'a>>,
) {
    open(out, id, "subscribe");
    out.push(b'{');
    if let Some(position) = position {
        out.extend_from_slice(b"\"recoverable\":true,\"positioned\":true,");
        write_position(out, position);
        if recovery != Recovery::NotAsked {
            out.extend_from_slice(b",\"was_recovering\":true");
        }
        if recovery == Recovery::Recovered {
            out.extend_from_slice(b",\"recovered\":true,\"publications\":");
            list(out, publications);
        }
    } else if recovery != Recovery::NotAsked {
        out.extend_from_slice(b"\"was_recovering\":true");
    }
    out.extend_from_slice(b"}}");
}

/// `{"id":1,"history":{...}}`; `publications` in the order asked for.
pub fn history<'a>(
    out: &mut Vec<u8>,
    id: u32,
    position: Position<'_>,
    publications: impl Iterator<Item = Publication<'a>>,
) {
    open(out, id, "history");
    out.extend_from_slice(b"{\"publications\":");
    list(out, publications);
    out.push(b',');
    write_position(out, position);
    out.extend_from_slice(b"}}");
}

/// A reply whose result is empty: `{"id":1,"publish":{}}`.
pub fn empty(out: &mut Vec<u8>, id: u32, method: &str) {
    open(out, id, method);
    out.extend_from_slice(b"{}}");
}

/// `{"id":1,"error":{"code":103,"message":"permission denied"}}`
pub fn error(out: &mut Vec<u8>, id: u32, error: ErrorCode) {
    open(out, id, "error");
    out.extend_from_slice(b"{\"code\":");
    write_u64(out, u64::from(error.code));
    out.extend_from_slice(b",\"message\":");
    write_str(out, error.message);
    if error.temporary {
        out.extend_from_slice(b",\"temporary\":true");
    }
    out.extend_from_slice(b"}}");
}

/// Who published, joined or left: `{"user":"~alice","client":"...","conn_info":{"nick":"alice"}}`.
///
/// `conn_info`: raw JSON.
pub fn client_info(out: &mut Vec<u8>, user: &str, client: &str, conn_info: Option<&str>) {
    out.extend_from_slice(b"{\"user\":");
    write_str(out, user);
    out.extend_from_slice(b",\"client\":\"");
    out.extend_from_slice(client.as_bytes());
    out.push(b'"');
    if let Some(conn_info) = conn_info {
        out.extend_from_slice(b",\"conn_info\":");
        out.extend_from_slice(conn_info.as_bytes());
    }
    out.push(b'}');
}

/// What a publication object tells.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// What was published.
    pub content: Content<&'a str>,
    /// Who published it: a client info object, encoded.
    pub info: &'a [u8],
    /// Offset and Unix time in milliseconds; only in rooms with history.
    pub stamp: Option<(u64, u64)>,
}

impl Publication<'_> {
    /// Appends the object.
    pub fn write(&self, out: &mut impl BufMut) {
        out.put_slice(b"{\"data\":");
        self.content.write_json(out);
        out.put_slice(b",\"info\":");
        out.put_slice(self.info);
        if let Some((offset, time_ms)) = self.stamp {
            out.put_slice(b",\"offset\":");
            out.put_slice(itoa::Buffer::new().format(offset).as_bytes());
            out.put_slice(b",\"time\":");
            out.put_slice(itoa::Buffer::new().format(time_ms).as_bytes());
        }
        out.put_u8(b'}');
    }

    /// No fewer bytes than the object has.
    pub fn len_max(&self) -> usize {
        let digits = |n: u64| n.checked_ilog10().map_or(1, |log| log as usize + 1);
        let stamp = self.stamp.map_or(0, |(offset, time_ms)| {
            r#","offset":,"time":"#.len() + digits(offset) + digits(time_ms)
        });
        r#"{"data":,"info":}"#.len() + self.content.json_len_max() + self.info.len() + stamp
    }
}

/// What stands before the event in every push of a room: `{"push":{"channel":"r",`.
pub fn push_prefix(channel: &str) -> Vec<u8> {
    let mut out = b"{\"push\":{\"channel\":".to_vec();
    write_str(&mut out, channel);
    out.push(b',');
    out
}

/// A whole push: `prefix` from [`push_prefix`], `event` one of `pub`, `join`, `leave`.
///
/// `body` writes, for `pub`, a publication object, otherwise a client info.
pub fn push<B: BufMut>(out: &mut B, prefix: &[u8], event: Event, body: impl FnOnce(&mut B)) {
    out.put_slice(prefix);
    out.put_slice(match event {
        Event::Publication => b"\"pub\":".as_slice(),
        Event::Join => b"\"join\":{\"info\":",
        Event::Leave => b"\"leave\":{\"info\":",
    });
    body(out);
    out.put_slice(match event {
        Event::Publication => b"}}".as_slice(),
        Event::Join | Event::Leave => b"}}}",
    });
}

/// What a push of a room tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Something was published.
    Publication,
    /// Somebody joined.
    Join,
    /// Somebody left.
    Leave,
}

fn open(out: &mut Vec<u8>, id: u32, method: &str) {
    out.extend_from_slice(b"{\"id\":");
    write_u64(out, u64::from(id));
    out.extend_from_slice(b",\"");
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_position(out: &mut Vec<u8>, position: Position<'_>) {
    out.extend_from_slice(b"\"epoch\":");
    write_str(out, position.epoch);
    out.extend_from_slice(b",\"offset\":");
    write_u64(out, position.offset);
}

fn list<'a>(out: &mut Vec<u8>, publications: impl Iterator<Item = Publication<'a>>) {
    out.push(b'[');
    for (i, publication) in publications.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        publication.write(out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codes;

    fn check(write: impl FnOnce(&mut Vec<u8>), expect: &str) {
        let mut out = Vec::new();
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, expect);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert!(!text.contains(['\n', '\r']));
    }

    #[test]
    fn bytes_of_replies() {
        check(|o| empty(o, 5, "publish"), r#"{"id":5,"publish":{}}"#);
        check(
            |o| error(o, 7, codes::TOO_MANY_REQUESTS),
            r#"{"id":7,"error":{"code":111,"message":"too many requests","temporary":true}}"#,
        );
        let position = Position { epoch: "ab", offset: 4 };
        let publication = |data, offset| Publication {
            content: Content::Json(data),
            info: b"{}",
            stamp: Some((offset, 17)),
        };
        let publications = [publication("1", 3), publication("[]", 4)];
        check(
            |o| subscribe(o, 2, Some(position), Recovery::Recovered, publications.into_iter()),
            r#"{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"ab","offset":4,"was_recovering":true,"recovered":true,"publications":[{"data":1,"info":{},"offset":3,"time":17},{"data":[],"info":{},"offset":4,"time":17}]}}"#,
        );
        check(
            |o| subscribe(o, 2, Some(position), Recovery::Unrecovered, std::iter::empty()),
            r#"{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"ab","offset":4,"was_recovering":true}}"#,
        );
        check(
            |o| subscribe(o, 2, None, Recovery::NotAsked, std::iter::empty()),
            r#"{"id":2,"subscribe":{}}"#,
        );
        check(
            |o| history(o, 3, position, std::iter::empty()),
            r#"{"id":3,"history":{"publications":[],"epoch":"ab","offset":4}}"#,
        );
    }

    #[test]
    fn bytes_of_connect() {
        let result = ConnectResult {
            client: "c-1",
            ping_seconds: 25,
            ttl_seconds: Some(60),
            data: Some(r#"{"nick":"a"}"#),
        };
        check(
            |o| connect(o, 1, &result),
            &format!(
                r#"{{"id":1,"connect":{{"client":"c-1","version":"{VERSION}","expires":true,"ttl":60,"ping":25,"pong":true,"data":{{"nick":"a"}}}}}}"#
            ),
        );
    }

    #[test]
    fn bytes_of_pushes() {
        let prefix = push_prefix("a\"b");
        let mut info = Vec::new();
        client_info(&mut info, "~al", "id", Some(r#"{"nick":"al"}"#));
        let publication =
            Publication { content: Content::Json("1"), info: &info, stamp: Some((9, 17)) };
        check(
            |o| push(o, &prefix, Event::Publication, |o| publication.write(o)),
            r#"{"push":{"channel":"a\"b","pub":{"data":1,"info":{"user":"~al","client":"id","conn_info":{"nick":"al"}},"offset":9,"time":17}}}"#,
        );
        check(
            |o| push(o, &prefix, Event::Leave, |o| o.extend_from_slice(&info)),
            r#"{"push":{"channel":"a\"b","leave":{"info":{"user":"~al","client":"id","conn_info":{"nick":"al"}}}}}"#,
        );
    }

    #[test]
    fn a_publication_is_no_longer_than_it_says() {
        let check = |content: Content<&str>, stamp| {
            let publication = Publication { content, info: b"{\"user\":\"a\"}", stamp };
            let mut out = Vec::new();
            publication.write(&mut out);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            assert!(out.len() <= publication.len_max(), "{content:?}");
            assert!(publication.len_max() <= 6 * content.as_str().len() + 200, "{content:?}");
        };
        for text in ["", "hi", "\"\"\"\"", "\\\\", "\u{1}\u{2}\u{1f}\n\t", "äöü\u{7f}\u{2028}🎈"]
        {
            check(Content::Line(text), Some((u64::MAX, u64::MAX)));
            check(Content::Line(text), None);
        }
        for stamp in [None, Some((0, 9)), Some((10, 99)), Some((1_000, u64::MAX))] {
            let publication = Publication { content: Content::Json("[1]"), info: b"{}", stamp };
            let mut out = Vec::new();
            publication.write(&mut out);
            assert_eq!(out.len(), publication.len_max(), "exact for JSON");
        }
    }
}
