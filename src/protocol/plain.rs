//! The plain-text dialect: a WebSocket text frame is a line of chat.
//!
//! Owns: the address of the dialects' endpoints, and how publications, joins and leaves read as
//! lines. A line never holds a line break, so nobody forges one of somebody else.

use super::chat::{self, Kind};
use super::codes::{self, ErrorCode};
use bytes::BufMut;
use std::borrow::Cow;

/// The room of an upgrade on `/`.
pub const LOBBY: &str = "chat:lobby";

/// What the path of an upgrade asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `/` and `/plain?room=R&name=N&token=T`.
    Plain {
        /// The room; a name without a namespace stands for `chat:NAME`.
        room: String,
        /// The nick asked for; none: the client goes by its number.
        name: Option<String>,
        /// A client token, where tokens are required.
        token: Option<String>,
    },
    /// `/connection/websocket`: the client protocol.
    Protocol,
    /// `/echo`: every message as it came (only if switched on).
    Echo,
}

/// Finds the endpoint of a path and its query; `None`: there is no such endpoint.
pub fn endpoint(path: &str, query: Option<&str>) -> Option<Endpoint> {
    let pair = |key: &str| {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs.find(|(k, _)| k == key).map(|(_, v)| v.into_owned()).filter(|v| !v.is_empty())
    };
    match path {
        "/connection/websocket" => Some(Endpoint::Protocol),
        "/echo" => Some(Endpoint::Echo),
        "/" | "/plain" => {
            let room = match pair("room") {
                Some(room) if path == "/plain" && room.contains(':') => room,
                Some(room) if path == "/plain" => format!("chat:{room}"),
                _ => LOBBY.to_owned(),
            };
            Some(Endpoint::Plain { room, name: pair("name"), token: pair("token") })
        }
        _ => None,
    }
}

/// What a line of a plain client says; `None` for an empty line.
pub fn said(line: &str) -> Option<&str> {
    let line = line.trim_end_matches(['\r', '\n']);
    (!line.trim().is_empty()).then_some(line)
}

/// A publication as plain clients read it.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    before: &'static str,
    behind: &'static str,
    text: Cow<'a, str>,
}

impl<'a> Line<'a> {
    /// `from NAME: TEXT`
    pub fn message(text: Cow<'a, str>) -> Line<'a> {
        Line { before: "from ", behind: ": ", text }
    }

    /// How raw JSON reads as a line; `None`: it is not shown to plain clients.
    pub fn of_json(data: &'a str) -> Option<Line<'a>> {
        if let Some(payload) = chat::parse(data) {
            return match payload.kind {
                Kind::Message { text, .. } => Some(Line::message(text)),
                Kind::Me { text } => Some(Line { before: "* ", behind: " ", text }),
                Kind::Topic { text } => {
                    Some(Line { before: "* ", behind: " set the topic: ", text })
                }
                Kind::Edit { .. }
                | Kind::Delete { .. }
                | Kind::React { .. }
                | Kind::Typing { .. } => None,
            };
        }
        // A room without chat rules: a bare JSON string is shown, other data is not text.
        serde_json::from_str(data).ok().map(Line::message)
    }

    /// Writes the line. `name`: who published. A line break within it becomes a space, or somebody
    /// could write lines in another's name.
    pub fn write(&self, name: &str, out: &mut impl BufMut) {
        for part in [self.before, name, self.behind] {
            out.put_slice(part.as_bytes());
        }
        let mut rest = self.text.as_bytes();
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (before, behind) = rest.split_at(at);
            out.put_slice(before);
            out.put_u8(b' ');
            rest = behind.get(1..).unwrap_or_default();
        }
        out.put_slice(rest);
    }
}

/// What a plain client reads when its line was not published, because of `error`.
pub fn refusal(error: ErrorCode) -> &'static str {
    match error {
        codes::PERMISSION_DENIED => "* you may not write here",
        codes::TOO_MANY_REQUESTS => "* too fast: the line was not sent",
        codes::LIMIT_EXCEEDED => "* too long: the line was not sent",
        _ => "* the line was not sent",
    }
}

/// `* alice joined`
pub fn join_line(name: &str) -> String {
    format!("* {name} joined")
}

/// `* alice left`
pub fn leave_line(name: &str) -> String {
    format!("* {name} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let plain = |room: &str, name: Option<&str>| {
            Some(Endpoint::Plain { room: room.into(), name: name.map(str::to_owned), token: None })
        };
        assert_eq!(endpoint("/", None), plain("chat:lobby", None));
        assert_eq!(endpoint("/", Some("room=x&name=bob")), plain("chat:lobby", Some("bob")));
        assert_eq!(endpoint("/plain", None), plain("chat:lobby", None));
        assert_eq!(endpoint("/plain", Some("room=caf%C3%A9+x&name=")), plain("chat:café x", None));
        assert_eq!(endpoint("/plain", Some("room=news:x")), plain("news:x", None));
        assert_eq!(endpoint("/connection/websocket", Some("a=b")), Some(Endpoint::Protocol));
        assert_eq!(endpoint("/nowhere", None), None);
    }

    #[test]
    fn publications_as_lines() {
        let check = |data: &str, expect: Option<&str>| {
            let line = Line::of_json(data).map(|line| {
                let mut out = Vec::new();
                line.write("bob", &mut out);
                String::from_utf8(out).unwrap()
            });
            assert_eq!(line.as_deref(), expect, "{data}");
        };
        check(r#"{"type":"message","text":"hi"}"#, Some("from bob: hi"));
        check(r#"{"type":"message","text":"a\r\nfrom eve: b"}"#, Some("from bob: a  from eve: b"));
        check(r#"{"type":"message","text":"\nx\r"}"#, Some("from bob:  x "));
        check(r#"{"type":"me","text":"waves"}"#, Some("* bob waves"));
        check(r#"{"type":"topic","text":"tea"}"#, Some("* bob set the topic: tea"));
        check(r#"{"type":"delete","of":3}"#, None);
        check(r#""bare""#, Some("from bob: bare"));
        check(r#""es\"caped""#, Some("from bob: es\"caped"));
        check(r#"{"x":1}"#, None);
    }

    #[test]
    fn what_a_line_says() {
        assert_eq!(said("say \"hi\"\n"), Some("say \"hi\""));
        assert_eq!(said("  \r\n"), None);
    }
}
