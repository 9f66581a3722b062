//! The plain-text dialect: a WebSocket text frame is a line of chat.
//!
//! Owns: the address of the dialects' endpoints, and how publications, joins and leaves read as
//! lines. A line never holds a line break, so nobody forges one of somebody else.

use super::chat::{self, Kind};
use super::json;
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

/// The chat payload that a line of a plain client stands for; `None` for an empty line.
pub fn payload(line: &str) -> Option<Vec<u8>> {
    let line = line.trim_end_matches(['\r', '\n']);
    if line.trim().is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(line.len() + 32);
    out.extend_from_slice(b"{\"type\":\"message\",\"text\":");
    json::write_str(&mut out, line);
    out.push(b'}');
    Some(out)
}

/// How a publication reads as a line; `None`: it is not shown to plain clients.
///
/// `name`: who published it; `data`: the raw payload.
pub fn publication_line(name: &str, data: &str) -> Option<String> {
    if let Some(payload) = chat::parse(data) {
        return match payload.kind {
            Kind::Message { text, .. } => Some(format!("from {name}: {}", one_line(&text))),
            Kind::Me { text } => Some(format!("* {name} {}", one_line(&text))),
            Kind::Topic { text } => Some(format!("* {name} set the topic: {}", one_line(&text))),
            Kind::Edit { .. } | Kind::Delete { .. } | Kind::React { .. } => None,
        };
    }
    // A room without chat rules: a bare JSON string is shown, other data is not text.
    let text: String = serde_json::from_str(data).ok()?;
    Some(format!("from {name}: {}", one_line(&text)))
}

/// `* alice joined`
pub fn join_line(name: &str) -> String {
    format!("* {name} joined")
}

/// `* alice left`
pub fn leave_line(name: &str) -> String {
    format!("* {name} left")
}

fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\n']) {
        Cow::Owned(text.replace(['\r', '\n'], " "))
    } else {
        Cow::Borrowed(text)
    }
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
            assert_eq!(publication_line("bob", data).as_deref(), expect, "{data}");
        };
        check(r#"{"type":"message","text":"hi"}"#, Some("from bob: hi"));
        check(r#"{"type":"message","text":"a\r\nfrom eve: b"}"#, Some("from bob: a  from eve: b"));
        check(r#"{"type":"me","text":"waves"}"#, Some("* bob waves"));
        check(r#"{"type":"topic","text":"tea"}"#, Some("* bob set the topic: tea"));
        check(r#"{"type":"delete","of":3}"#, None);
        check(r#""bare""#, Some("from bob: bare"));
        check(r#"{"x":1}"#, None);
    }

    #[test]
    fn lines_as_payloads() {
        let text = |line: &str| payload(line).map(|p| String::from_utf8(p).unwrap());
        assert_eq!(text("say \"hi\"\n").unwrap(), r#"{"type":"message","text":"say \"hi\""}"#);
        assert_eq!(text("  \r\n"), None);
    }
}
