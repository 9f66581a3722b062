//! The opening handshake (RFC 6455 section 4.2): request head to answer.
//!
//! Owns the rules of an upgrade request and the bytes of the 101 and of a refusal. It never looks
//! at what a path means or who may come; [`origin_allowed`] only compares names. The same rules
//! serve a raw head ([`read_head`]) and a request that an HTTP stack parsed
//! ([`Upgrade::from_parts`]). Tests: below, and `tests.rs` for arbitrary bytes.

pub use super::origin::origin_allowed;

use bytes::Bytes;
use tungstenite::handshake::derive_accept_key;

/// Headers that a request may have; more are refused with 431.
const HEADERS_MAX: usize = 64;

const NOT_UTF8: &str = "a header is not UTF-8";

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// The head goes on; read more.
    Incomplete,
    /// A valid WebSocket upgrade.
    Upgrade(Upgrade),
    /// A whole HTTP request head of `head_len` bytes that asks for no WebSocket.
    NotWebSocket {
        /// Bytes of the head, the empty line included.
        head_len: usize,
    },
    /// To be answered and closed.
    Reject(Reject),
}

/// A valid upgrade request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The path, beginning with `/`, not decoded.
    pub path: String,
    /// What follows the `?`, not decoded.
    pub query: Option<String>,
    /// The `Host` header.
    pub host: Option<String>,
    /// The `Origin` header; browsers send it always, others seldom.
    pub origin: Option<String>,
    /// The `Sec-WebSocket-Key` header.
    pub key: String,
    /// The subprotocols offered, in order of preference.
    pub protocols: Vec<String>,
    /// Bytes of the head, the empty line included; 0 if it was not read by [`read_head`].
    pub head_len: usize,
}

/// A refusal: an HTTP status and one sentence for the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// HTTP status code.
    pub status: u16,
    /// What was wrong.
    pub reason: &'static str,
}

/// Reads a request head from the first bytes of a connection.
///
/// `size_limit`: bytes of a head; a longer one is refused with 431. Each call starts over, so
/// that nothing is kept between two reads but the bytes themselves.
pub fn read_head(bytes: &[u8], size_limit: usize) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let too_large = Reject::new(431, "request head too large");
    let head_len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head_len)) if head_len <= size_limit => head_len,
        Ok(httparse::Status::Partial) if bytes.len() < size_limit => return Head::Incomplete,
        Ok(_) => return Head::Reject(too_large),
        Err(httparse::Error::TooManyHeaders) => {
            return Head::Reject(Reject::new(431, "too many headers"));
        }
        Err(_) => return Head::Reject(Reject::new(400, "not an HTTP/1.1 request")),
    };
    let fields = Fields::gather(request.headers.iter().map(|h| (h.name, h.value)));
    if !fields.asks_for_websocket() {
        return Head::NotWebSocket { head_len };
    }
    if request.version != Some(1) {
        return Head::Reject(Reject::new(400, "a WebSocket needs HTTP/1.1"));
    }
    let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    match fields.check(method, target) {
        Ok(upgrade) => Head::Upgrade(Upgrade { head_len, ..upgrade }),
        Err(reject) => Head::Reject(reject),
    }
}

impl Upgrade {
    /// The same rules for an HTTP/1.1 request that is parsed already.
    ///
    /// `target`: path and query. `headers`: names in any case, values as they came.
    /// Errors: the refusal to answer with, also if no WebSocket was asked for.
    pub fn from_parts<'a>(
        method: &str,
        target: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Upgrade, Reject> {
        Fields::gather(headers).check(method, target)
    }

    /// The whole 101 answer. `protocol`: the subprotocol chosen among those offered.
    pub fn response(&self, protocol: Option<&str>) -> Bytes {
        let accept = derive_accept_key(self.key.as_bytes());
        let mut out = String::with_capacity(192);
        out.push_str("HTTP/1.1 101 Switching Protocols\r\n");
        out.push_str("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
        out.push_str(&accept);
        out.push_str("\r\n");
        if let Some(protocol) = protocol {
            out.push_str("Sec-WebSocket-Protocol: ");
            out.push_str(protocol);
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        Bytes::from(out)
    }
}

impl Reject {
    /// A refusal with an HTTP `status` of 400 or more and one sentence for the body.
    pub const fn new(status: u16, reason: &'static str) -> Reject {
        Reject { status, reason }
    }

    /// The whole answer, after which the connection is to be closed.
    pub fn response(&self) -> Bytes {
        // The headers that RFC 9110 asks for with a status.
        let (phrase, headers) = match self.status {
            400 => ("Bad Request", ""),
            401 => ("Unauthorized", "WWW-Authenticate: Bearer\r\n"),
            403 => ("Forbidden", ""),
            404 => ("Not Found", ""),
            405 => ("Method Not Allowed", "Allow: GET\r\n"),
            408 => ("Request Timeout", ""),
            426 => ("Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            429 => ("Too Many Requests", ""),
            431 => ("Request Header Fields Too Large", ""),
            503 => ("Service Unavailable", ""),
            _ => ("Refused", ""),
        };
        let connection = if self.status == 426 { "close, upgrade" } else { "close" };
        let Reject { status, reason } = self;
        Bytes::from(format!(
            "HTTP/1.1 {status} {phrase}\r\nConnection: {connection}\r\n{headers}\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{reason}\n",
            reason.len() + 1
        ))
    }
}

/// The headers that matter to an upgrade.
#[derive(Default)]
struct Fields {
    connection_upgrade: bool,
    upgrade_websocket: bool,
    version: Option<String>,
    key: Option<String>,
    host: Option<String>,
    origin: Option<String>,
    protocols: Vec<String>,
    has_body: bool,
    /// The first header that cannot be right. It matters only if a WebSocket is asked for.
    flaw: Option<&'static str>,
}

impl Fields {
    fn gather<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in headers {
            fields.read(name, value);
        }
        fields
    }

    fn read(&mut self, name: &str, value: &[u8]) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("connection") {
            self.connection_upgrade |= tokens(value).any(|t| t.eq_ignore_ascii_case(b"upgrade"));
        } else if is("upgrade") {
            self.upgrade_websocket |= tokens(value).any(|t| t.eq_ignore_ascii_case(b"websocket"));
        } else if is("sec-websocket-version") {
            self.once(|f| &mut f.version, value, "Sec-WebSocket-Version given twice");
        } else if is("sec-websocket-key") {
            self.once(|f| &mut f.key, value, "Sec-WebSocket-Key given twice");
        } else if is("host") {
            self.once(|f| &mut f.host, value, "Host given twice");
        } else if is("origin") {
            self.once(|f| &mut f.origin, value, "Origin given twice");
        } else if is("sec-websocket-protocol") {
            for token in tokens(value) {
                match std::str::from_utf8(token) {
                    Ok(token) => self.protocols.push(token.to_owned()),
                    Err(_) => self.flaw = Some(NOT_UTF8),
                }
            }
        } else if is("transfer-encoding") {
            self.has_body = true;
        } else if is("content-length") {
            self.has_body |= value.trim_ascii() != b"0";
        }
    }

    /// Sets a field of which there may be one.
    fn once(
        &mut self,
        field: impl Fn(&mut Fields) -> &mut Option<String>,
        value: &[u8],
        repeated: &'static str,
    ) {
        match std::str::from_utf8(value.trim_ascii()) {
            Ok(value) if field(self).replace(value.to_owned()).is_some() => {
                self.flaw = Some(repeated);
            }
            Ok(_) => {}
            Err(_) => self.flaw = Some(NOT_UTF8),
        }
    }

    fn asks_for_websocket(&self) -> bool {
        self.upgrade_websocket || self.key.is_some()
    }

    fn check(self, method: &str, target: &str) -> Result<Upgrade, Reject> {
        let bad = |reason| Err(Reject::new(400, reason));
        if let Some(reason) = self.flaw {
            return bad(reason);
        }
        if method != "GET" {
            return Err(Reject::new(405, "a WebSocket is opened with GET"));
        }
        if !self.upgrade_websocket {
            return bad("Upgrade: websocket is missing");
        }
        if !self.connection_upgrade {
            return bad("Connection: Upgrade is missing");
        }
        match self.version.as_deref() {
            Some("13") => {}
            Some(_) => return Err(Reject::new(426, "only WebSocket version 13 is spoken here")),
            None => return bad("Sec-WebSocket-Version is missing"),
        }
        let Some(key) = self.key.filter(|key| is_key(key)) else {
            return bad("Sec-WebSocket-Key is not 16 bytes in base64");
        };
        if self.has_body {
            return bad("an upgrade request has no body");
        }
        if !target.starts_with('/') {
            return bad("the request target is not a path");
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Ok(Upgrade {
            path: path.to_owned(),
            query,
            host: self.host,
            origin: self.origin,
            key,
            protocols: self.protocols,
            head_len: 0,
        })
    }
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1).
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// 16 bytes in base64 are 22 characters and two of padding.
fn is_key(key: &str) -> bool {
    let digits = key.strip_suffix("==").unwrap_or("");
    digits.len() == 22
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 * 1024;
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The example of RFC 6455 section 1.2, without the lines that start with one of `without`,
    /// with those of `with`.
    fn request(without: &[&str], with: &str) -> String {
        let lines = [
            "GET /chat?room=a HTTP/1.1",
            "Host: server.example.com",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Origin: http://example.com",
            "Sec-WebSocket-Protocol: chat, superchat",
            "Sec-WebSocket-Version: 13",
        ];
        let kept = lines.iter().filter(|line| !without.iter().any(|w| line.starts_with(w)));
        let mut text: String = kept.map(|line| format!("{line}\r\n")).collect();
        text.push_str(with);
        text.push_str("\r\n");
        text
    }

    fn upgrade_of(text: &str) -> Upgrade {
        match read_head(text.as_bytes(), LIMIT) {
            Head::Upgrade(upgrade) => upgrade,
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn the_example_of_the_rfc() {
        let text = request(&[], "");
        let upgrade = upgrade_of(&format!("{text}more"));
        let expect = Upgrade {
            path: "/chat".into(),
            query: Some("room=a".into()),
            host: Some("server.example.com".into()),
            origin: Some("http://example.com".into()),
            key: KEY.into(),
            protocols: vec!["chat".into(), "superchat".into()],
            head_len: text.len(),
        };
        assert_eq!(upgrade, expect);
        assert_eq!(
            upgrade.response(Some("chat")),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
             Sec-WebSocket-Protocol: chat\r\n\r\n"
        );
    }

    #[test]
    fn upgrades_in_other_words() {
        upgrade_of(&request(&["Connection"], "connection: keep-alive, UPGRADE\r\n"));
        upgrade_of(&request(&["Connection"], "Connection: keep-alive\r\nConnection: upgrade\r\n"));
        upgrade_of(&request(&["Upgrade"], "UPGRADE: h2c , WebSocket\r\n"));
        upgrade_of(&request(&[], "Content-Length: 0\r\n"));
        upgrade_of(&request(&["Host", "Origin", "Sec-WebSocket-Protocol"], ""));
        let two = request(
            &["Sec-WebSocket-P"],
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b,,c\r\n",
        );
        assert_eq!(upgrade_of(&two).protocols, ["a", "b", "c"]);
        let bare = request(&["GET"], "");
        let upgrade = upgrade_of(&format!("GET / HTTP/1.1\r\n{bare}"));
        assert_eq!((upgrade.path.as_str(), upgrade.query), ("/", None));
    }

    #[test]
    fn bad_upgrades_are_refused() {
        let check = |text: String, status: u16, reason: &str| {
            let expect = match read_head(text.as_bytes(), LIMIT) {
                Head::Reject(reject) => reject,
                other => panic!("{text:?} gave {other:?}"),
            };
            assert_eq!((expect.status, expect.reason), (status, reason), "{text:?}");
        };
        let with_line = |line: &str| format!("{line}\r\n{}", request(&["GET"], ""));
        check(with_line("POST / HTTP/1.1"), 405, "a WebSocket is opened with GET");
        check(with_line("GET / HTTP/1.0"), 400, "a WebSocket needs HTTP/1.1");
        check(with_line("GET http://h/ HTTP/1.1"), 400, "the request target is not a path");
        check(request(&["Upgrade"], ""), 400, "Upgrade: websocket is missing");
        check(request(&["Connection"], ""), 400, "Connection: Upgrade is missing");
        let no_version = || request(&["Sec-WebSocket-V"], "");
        check(no_version(), 400, "Sec-WebSocket-Version is missing");
        for version in ["8", "13, 8", "013", ""] {
            let text =
                request(&["Sec-WebSocket-V"], &format!("Sec-WebSocket-Version: {version}\r\n"));
            check(text, 426, "only WebSocket version 13 is spoken here");
        }
        let no_key = "Sec-WebSocket-Key is not 16 bytes in base64";
        check(request(&["Sec-WebSocket-K"], ""), 400, no_key);
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZ?==",
            "dGhlIHNhbXBsZSBub25jZQAA",
            "dGhlIHNhbXBsZSBub25jZWFhYQ==",
        ] {
            check(
                request(&["Sec-WebSocket-K"], &format!("Sec-WebSocket-Key: {key}\r\n")),
                400,
                no_key,
            );
        }
        for (header, reason) in [
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key given twice"),
            ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version given twice"),
            ("Host: other", "Host given twice"),
            ("Origin: http://other", "Origin given twice"),
            ("Content-Length: 5", "an upgrade request has no body"),
            ("Content-Length: 0, 5", "an upgrade request has no body"),
            ("Transfer-Encoding: chunked", "an upgrade request has no body"),
        ] {
            check(request(&[], &format!("{header}\r\n")), 400, reason);
        }
        check(request(&[], &"X: y\r\n".repeat(64)), 431, "too many headers");
        check(
            request(&[], &format!("X: {}\r\n", "y".repeat(LIMIT))),
            431,
            "request head too large",
        );
    }

    #[test]
    fn garbage_is_refused_at_once() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00"[..],
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            b"\x00",
        ] {
            let expect = Head::Reject(Reject::new(400, "not an HTTP/1.1 request"));
            assert_eq!(read_head(bytes, LIMIT), expect, "{bytes:?}");
        }
        let mut not_utf8 = request(&["Host"], "").into_bytes();
        not_utf8.truncate(not_utf8.len() - 2);
        not_utf8.extend_from_slice(b"Host: \xff\r\n\r\n");
        assert_eq!(read_head(&not_utf8, LIMIT), Head::Reject(Reject::new(400, NOT_UTF8)));
    }

    #[test]
    fn other_requests_are_left_to_http() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "POST /api/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ] {
            let head = read_head(format!("{text}{{}}").as_bytes(), LIMIT);
            assert_eq!(head, Head::NotWebSocket { head_len: text.len() }, "{text:?}");
        }
    }

    #[test]
    fn incomplete_until_the_limit() {
        let text = request(&[], "");
        for len in 0..text.len() {
            assert_eq!(read_head(&text.as_bytes()[..len], LIMIT), Head::Incomplete, "{len} bytes");
        }
        assert!(matches!(read_head(text.as_bytes(), text.len()), Head::Upgrade(_)));
        let too_large = Head::Reject(Reject::new(431, "request head too large"));
        assert_eq!(read_head(text.as_bytes(), text.len() - 1), too_large);
        assert_eq!(read_head(&text.as_bytes()[..100], 100), too_large);
        assert_eq!(read_head(&b"\r\n".repeat(50), 100), too_large);
    }

    #[test]
    fn parsed_requests_obey_the_same_rules() {
        let mut headers = vec![
            ("connection", &b"upgrade"[..]),
            ("upgrade", b"websocket"),
            ("sec-websocket-version", b"13"),
            ("sec-websocket-key", KEY.as_bytes()),
        ];
        let upgrade = Upgrade::from_parts("GET", "/plain?name=a", headers.clone()).unwrap();
        assert_eq!(upgrade.query.as_deref(), Some("name=a"));
        assert_eq!(upgrade.head_len, 0);
        headers.remove(0);
        let reject = Upgrade::from_parts("GET", "/", headers).unwrap_err();
        assert_eq!(reject, Reject::new(400, "Connection: Upgrade is missing"));
        assert_eq!(Upgrade::from_parts("GET", "/", []).unwrap_err().status, 400);
    }

    #[test]
    fn refusals_say_why() {
        assert_eq!(
            Reject::new(400, "no").response(),
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nno\n"
        );
        let has = |status: u16, line: &str| {
            let response = Reject::new(status, "x").response();
            let text = std::str::from_utf8(&response).unwrap();
            assert!(text.lines().any(|l| l == line), "{line:?} not in {text:?}");
        };
        has(401, "WWW-Authenticate: Bearer");
        has(405, "Allow: GET");
        has(426, "Sec-WebSocket-Version: 13");
        has(426, "Connection: close, upgrade");
        has(431, "HTTP/1.1 431 Request Header Fields Too Large");
        has(503, "Connection: close");
    }
}
