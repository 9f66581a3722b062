//! A method of the server API and its JSON body -> a [`Call`].
//!
//! Owns the fields of every method and what may stand in them. Unknown fields are ignored, as the
//! clients of this API send fields of extensions that are not offered here (`delta`). Tests: below.

use crate::chat::api::{self, Post, Request, Target};
use crate::chat::auth::{self, Overrides};
use crate::chat::ids::RoomName;
use crate::chat::version::{EPOCH_BYTES_MAX, Version};
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::content::SharedContent;
use crate::protocol::json;
use crate::protocol::reply::Tags;
use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use globset::{GlobBuilder, GlobMatcher};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Every method but `batch`.
pub(super) const METHODS: &[&str] = &[
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "refresh",
    "presence",
    "presence_stats",
    "history",
    "history_remove",
    "channels",
    "info",
];

/// Codes with which the backend may close a connection: those below belong to RFC 6455, those above
/// are reserved (public docs on codes).
const DISCONNECT_CODES: RangeInclusive<u32> = 3000..=4999;

/// Bytes of a close reason: a control frame's 125 without the code (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 1024;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Call {
    /// A room's home is asked.
    Room(RoomName, Request),
    /// The home of each of these is asked to publish.
    Broadcast(Vec<RoomName>, Arc<Post>),
    /// The room's home is asked whether it can be joined, then every shard to do it.
    Subscribe(Box<api::Subscribe>),
    /// Every shard is asked.
    All(Request),
}

/// Why a body is no call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no JSON, or its fields have other types.
    Malformed,
    /// It cannot be done.
    Error(ErrorCode),
}

/// A batch's commands, in order.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) commands: Vec<Command>,
    pub(super) parallel: bool,
}

/// One command of a batch.
#[derive(Debug)]
pub(super) struct Command {
    /// Its name in the reply.
    pub(super) method: &'static str,
    pub(super) call: Result<Call, ErrorCode>,
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Self {
        Refusal::Error(error)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(_: serde_json::Error) -> Self {
        Refusal::Malformed
    }
}

#[derive(Deserialize)]
struct Room {
    #[serde(default)]
    channel: String,
}

/// Fields of `publish`, and of `broadcast`, which has `channels`.
#[derive(Deserialize)]
struct Publish<'a> {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(borrow, default, deserialize_with = "any_json")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    skip_history: Option<bool>,
    tags: Option<Tags>,
    idempotency_key: Option<String>,
    version: Option<u64>,
    version_epoch: Option<String>,
}

/// Whose sessions: a part of several bodies.
#[derive(Deserialize)]
struct Who {
    #[serde(default)]
    user: String,
    client: Option<String>,
    session: Option<String>,
}

#[derive(Deserialize)]
struct Subscribe<'a> {
    #[serde(default)]
    channel: String,
    #[serde(borrow, default, deserialize_with = "any_json")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    recover_since: Option<Position>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    r#override: Option<Overrides>,
    expire_at: Option<i64>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    epoch: String,
}

#[derive(Deserialize)]
struct Disconnect {
    whitelist: Option<Vec<String>>,
    disconnect: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Refresh<'a> {
    expired: Option<bool>,
    expire_at: Option<i64>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    channel: String,
    limit: Option<i32>,
    since: Option<Position>,
    reverse: Option<bool>,
}

#[derive(Deserialize)]
struct Channels {
    pattern: Option<String>,
}

/// Reads the body of a method, one of [`METHODS`].
pub(super) fn read(method: &str, body: &str) -> Result<Call, Refusal> {
    // Else an array of the fields' values would do, too.
    if !body.trim_start().starts_with('{') {
        return Err(Refusal::Malformed);
    }
    let room = || serde_json::from_str::<Room>(body).map(|room| RoomName::from(&*room.channel));
    Ok(match method {
        "publish" => {
            let publish: Publish<'_> = serde_json::from_str(body)?;
            let room = RoomName::from(&*publish.channel);
            let post = Arc::new(publish.post()?);
            Call::Room(room.clone(), Request::Publish { room, post })
        }
        "broadcast" => {
            let publish: Publish<'_> = serde_json::from_str(body)?;
            if publish.channels.is_empty() {
                return Err(codes::BAD_REQUEST.into());
            }
            let rooms = publish.channels.iter().map(|room| RoomName::from(&**room)).collect();
            Call::Broadcast(rooms, Arc::new(publish.post()?))
        }
        "history" => {
            let History { channel, limit, since, reverse } = serde_json::from_str(body)?;
            let room = RoomName::from(&*channel);
            let history = api::History {
                room: room.clone(),
                limit: limit.unwrap_or_default(),
                since: since.map(|since| (since.epoch, since.offset)),
                reverse: reverse.unwrap_or_default(),
            };
            Call::Room(room, Request::History(history))
        }
        "history_remove" => room().map(|r| Call::Room(r.clone(), Request::HistoryRemove(r)))?,
        "presence" => room().map(|r| Call::Room(r.clone(), Request::Presence(r)))?,
        "presence_stats" => room().map(|r| Call::Room(r.clone(), Request::PresenceStats(r)))?,
        "subscribe" => Call::Subscribe(Box::new(subscribe(body)?)),
        "unsubscribe" => Call::All(Request::Unsubscribe { target: target(body)?, room: room()? }),
        "disconnect" => Call::All(Request::Disconnect(Box::new(disconnect(body)?))),
        "refresh" => {
            let Refresh { expired, expire_at, info } = serde_json::from_str(body)?;
            // Not offered, and must not be left undone in silence.
            if info.is_some() {
                return Err(codes::NOT_AVAILABLE.into());
            }
            let expires_at = match (expired, expire_at) {
                (Some(true), _) => Some(0),
                (_, Some(at)) if at != 0 => Some(u64::try_from(at).unwrap_or(0)),
                _ => None,
            };
            Call::All(Request::Refresh { target: target(body)?, expires_at })
        }
        "channels" => {
            let Channels { pattern } = serde_json::from_str(body)?;
            let pattern = pattern.filter(|pattern| !pattern.is_empty());
            Call::All(Request::Channels(pattern.map(|p| matcher(&p)).transpose()?))
        }
        "info" => {
            serde_json::from_str::<IgnoredAny>(body)?;
            Call::All(Request::Info)
        }
        _ => return Err(codes::METHOD_NOT_FOUND.into()),
    })
}

/// Reads the body of `batch`; `None`: malformed.
///
/// A command is an object with the method's name as its only key. One that is malformed fails alone.
pub(super) fn batch(body: &str) -> Option<Batch> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default)]
        commands: Vec<BTreeMap<Cow<'a, str>, &'a RawValue>>,
        parallel: Option<bool>,
    }
    let wire: Wire<'_> = serde_json::from_str(body).ok()?;
    let command = |command: BTreeMap<Cow<'_, str>, &RawValue>| {
        let mut fields = command.iter();
        let (Some((name, body)), None) = (fields.next(), fields.next()) else {
            return Command { method: "", call: Err(codes::BAD_REQUEST) };
        };
        let Some(method) = METHODS.iter().find(|method| **method == &**name) else {
            return Command { method: "", call: Err(codes::METHOD_NOT_FOUND) };
        };
        let call = read(method, body.get()).map_err(|refusal| match refusal {
            Refusal::Malformed => codes::BAD_REQUEST,
            Refusal::Error(error) => error,
        });
        Command { method, call }
    };
    let commands = wire.commands.into_iter().map(command).collect();
    Some(Batch { commands, parallel: wire.parallel.unwrap_or_default() })
}

impl Publish<'_> {
    fn post(self) -> Result<Post, ErrorCode> {
        let key = self.idempotency_key.as_deref().filter(|key| !key.is_empty());
        if key.is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return Err(codes::BAD_REQUEST);
        }
        let epoch = self.version_epoch.unwrap_or_default();
        if epoch.len() > EPOCH_BYTES_MAX {
            return Err(codes::BAD_REQUEST);
        }
        let version = self.version.filter(|number| *number > 0);
        let content = payload(self.data, self.b64data.as_deref())?.ok_or(codes::BAD_REQUEST)?;
        Ok(Post {
            content,
            tags: self.tags.filter(|tags| !tags.is_empty()).map(Arc::new),
            skip_history: self.skip_history.unwrap_or_default(),
            idempotency_key: key.map(Into::into),
            version: version.map(|number| Version { number, epoch: epoch.into() }),
        })
    }
}

/// The payload of a publication or a subscription: JSON that can be passed through, or, in base64,
/// any bytes. Base64 wins where both are given.
fn payload(data: Option<&RawValue>, b64: Option<&str>) -> Result<Option<SharedContent>, ErrorCode> {
    let decoded;
    let raw = match b64.filter(|b64| !b64.is_empty()) {
        None => match data {
            None => return Ok(None),
            Some(data) => data.get(),
        },
        Some(b64) => {
            decoded = STANDARD.decode(b64).map_err(|_| codes::BAD_REQUEST)?;
            match serde_json::from_slice::<&RawValue>(&decoded) {
                Ok(value) => value.get(),
                Err(_) => return Ok(Some(SharedContent::Binary(decoded.into()))),
            }
        }
    };
    let json = json::pass_through(raw).ok_or(codes::BAD_REQUEST)?;
    Ok(Some(SharedContent::Json(json.into())))
}

fn target(body: &str) -> Result<Target, Refusal> {
    let Who { user, client, session } = serde_json::from_str(body)?;
    let client = client.filter(|client| !client.is_empty());
    // Without a user all anonymous clients would be meant.
    if user.is_empty() && client.is_none() {
        return Err(codes::BAD_REQUEST.into());
    }
    Ok(Target { user, client, session: session.is_some_and(|session| !session.is_empty()) })
}

fn subscribe(body: &str) -> Result<api::Subscribe, Refusal> {
    let wire: Subscribe<'_> = serde_json::from_str(body)?;
    // As a token's.
    let info = auth::payload(wire.info.map(RawValue::to_owned), wire.b64info);
    let info = info.map_err(|_| codes::BAD_REQUEST)?;
    let data = match payload(wire.data, wire.b64data.as_deref())? {
        None => None,
        Some(SharedContent::Json(data)) => Some(Bytes::copy_from_slice(data.as_bytes())),
        Some(SharedContent::Line(text)) => Some(Bytes::copy_from_slice(text.as_bytes())),
        Some(SharedContent::Binary(bytes)) => Some(Bytes::copy_from_slice(&bytes)),
    };
    // A time before 1970 is over.
    let expires_at = wire.expire_at.filter(|at| *at != 0).map(|at| u64::try_from(at).unwrap_or(0));
    Ok(api::Subscribe {
        target: target(body)?,
        room: RoomName::from(&*wire.channel),
        data,
        recover: wire.recover_since.map(|since| (since.epoch, since.offset)),
        info,
        overrides: wire.r#override.unwrap_or_default(),
        expires_at,
        refused: None,
    })
}

fn disconnect(body: &str) -> Result<api::Disconnect, Refusal> {
    let Disconnect { whitelist, disconnect } = serde_json::from_str(body)?;
    let default = codes::FORCE_DISCONNECT;
    let (code, reason) = match disconnect {
        Some(Reason { code, reason }) => (code, reason),
        None => (default.code.into(), default.reason.to_owned()),
    };
    if !DISCONNECT_CODES.contains(&code) || reason.len() > REASON_BYTES_MAX {
        return Err(codes::BAD_REQUEST.into());
    }
    let code = u16::try_from(code).map_err(|_| codes::BAD_REQUEST)?;
    let whitelist = whitelist.unwrap_or_default();
    Ok(api::Disconnect { target: target(body)?, whitelist, code, reason })
}

/// `*` any characters, `?` one byte, `[ab]` one of these, `{a,b}` one of these.
fn matcher(pattern: &str) -> Result<GlobMatcher, ErrorCode> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|_| codes::BAD_REQUEST)
}

/// A field that may hold `null`, which is JSON like any other.
fn any_json<'de, D: Deserializer<'de>>(d: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::content::Content;

    fn error(method: &str, body: &str) -> Option<u16> {
        match read(method, body) {
            Ok(_) => None,
            Err(Refusal::Malformed) => Some(0),
            Err(Refusal::Error(error)) => Some(error.code),
        }
    }

    fn post(body: &str) -> Post {
        match read("publish", body) {
            Ok(Call::Room(_, Request::Publish { post, .. })) => Arc::into_inner(post).unwrap(),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn publications() {
        let full = post(
            r#"{"channel":"r","data":{"a":
            1},"tags":{"b":"2","a":"1"},"skip_history":true,"idempotency_key":"k","delta":true,
            "version":7,"version_epoch":"e"}"#,
        );
        assert_eq!(full.content.view(), Content::Json(r#"{"a":            1}"#));
        let tags = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        assert_eq!(full.tags.as_deref(), Some(&Tags::from(tags)));
        assert!(full.skip_history && full.idempotency_key.as_deref() == Some("k"));
        assert_eq!(full.version, Some(Version { number: 7, epoch: "e".into() }));
        assert_eq!(post(r#"{"channel":"r","data":null}"#).content.view(), Content::Json("null"));
        // {"x": 1}, and the base64 wins.
        let b64 = post(r#"{"channel":"r","data":2,"b64data":"eyJ4IjogMX0="}"#);
        assert_eq!(b64.content.view(), Content::Json(r#"{"x": 1}"#));
        let binary = post(r#"{"channel":"r","b64data":"AAAA"}"#);
        assert_eq!(binary.content.view(), Content::Binary(&[0, 0, 0]));
        let bare = post(r#"{"channel":"r","data":1,"idempotency_key":"","tags":null}"#);
        assert!(bare.tags.is_none() && bare.idempotency_key.is_none() && !bare.skip_history);
        assert_eq!(bare.version, None);
        let version =
            |fields: &str| post(&format!(r#"{{"channel":"r","data":1,{fields}}}"#)).version;
        assert_eq!(version(r#""version":0,"version_epoch":"e""#), None);
        assert_eq!(version(r#""version":1"#), Some(Version { number: 1, epoch: "".into() }));
    }

    #[test]
    fn subscriptions() {
        let read = |body: &str| match read("subscribe", body) {
            Ok(Call::Subscribe(subscribe)) => *subscribe,
            other => panic!("{body}: {other:?}"),
        };
        let full = read(
            r#"{"user":"u","channel":"r","info":{"a":
            1},"override":{"presence":{"value":false},"force_recovery":{}},"expire_at":17}"#,
        );
        assert_eq!(full.info.as_deref(), Some(r#"{"a":            1}"#));
        let expected = Overrides {
            presence: Some(false),
            force_recovery: Some(false),
            ..Overrides::default()
        };
        assert_eq!((full.overrides, full.expires_at), (expected, Some(17)));
        let info = |b64: &str| {
            read(&format!(r#"{{"user":"u","channel":"r","info":1,"b64info":"{b64}"}}"#)).info
        };
        assert_eq!(info("eyJ4IjogMX0=").as_deref(), Some(r#"{"x": 1}"#), "base64 wins");
        assert_eq!(info("AAAA").as_deref(), Some(r#""AAAA""#), "what is no JSON");
        let bare = read(r#"{"user":"u","channel":"r","info":null,"override":null,"expire_at":0}"#);
        assert_eq!(
            (bare.info, bare.overrides, bare.expires_at),
            (None, Overrides::default(), None)
        );
        let past = read(r#"{"user":"u","channel":"r","expire_at":-5}"#);
        assert_eq!(past.expires_at, Some(0));
    }

    #[test]
    fn refusals() {
        for method in METHODS {
            for body in ["", "[", "[]", "7", "nonsense"] {
                assert_eq!(error(method, body), Some(0), "{method} {body}");
            }
        }
        let deep = format!(r#"{{"channel":"r","data":{}1{}}}"#, "[".repeat(65), "]".repeat(65));
        for (method, body, code) in [
            ("publish", r#"{"channel":5,"data":1}"#, 0),
            ("publish", r#"{"channel":"r"}"#, 107),
            ("publish", &deep, 107),
            ("publish", r#"{"channel":"r","b64data":"?"}"#, 107),
            ("publish", r#"{"channel":"r","data":1,"version":-1}"#, 0),
            ("publish", r#"{"channel":"r","data":1,"tags":{"a":1}}"#, 0),
            ("broadcast", r#"{"channels":[],"data":1}"#, 107),
            ("broadcast", r#"{"channels":["a"]}"#, 107),
            ("subscribe", r#"{"channel":"r"}"#, 107),
            ("subscribe", r#"{"user":"u","channel":"r","b64info":"?"}"#, 107),
            ("subscribe", r#"{"user":"u","channel":"r","override":{"presence":true}}"#, 0),
            ("unsubscribe", r#"{"user":"","channel":"r"}"#, 107),
            ("disconnect", r#"{}"#, 107),
            ("disconnect", r#"{"user":"u","disconnect":{"code":1000,"reason":"x"}}"#, 107),
            ("disconnect", r#"{"user":"u","disconnect":{"code":5000,"reason":"x"}}"#, 107),
            ("disconnect", r#"{"user":"u","disconnect":{"code":-1}}"#, 0),
            ("refresh", r#"{"expired":true}"#, 107),
            ("refresh", r#"{"user":"u","info":{}}"#, 108),
            ("channels", r#"{"pattern":"[a"}"#, 107),
            ("dance", "{}", 104),
        ] {
            assert_eq!(error(method, body), Some(code), "{method} {body}");
        }
        for (length, expect) in [(EPOCH_BYTES_MAX, None), (EPOCH_BYTES_MAX + 1, Some(107))] {
            let epoch = "x".repeat(length);
            let body = format!(r#"{{"channel":"r","data":1,"version_epoch":"{epoch}"}}"#);
            assert_eq!(error("publish", &body), expect);
        }
        let reason = "x".repeat(124);
        let body = format!(r#"{{"user":"u","disconnect":{{"code":4000,"reason":"{reason}"}}}}"#);
        assert_eq!(error("disconnect", &body), Some(107));
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in "\\PC*", field in "[a-z_0-9]{1,15}") {
            let nested = format!("{{\"{field}\":{body}}}");
            let quoted = format!("{{\"{field}\":{}}}", serde_json::Value::from(body.as_str()));
            for body in [&body, &nested, &quoted] {
                METHODS.iter().for_each(|method| _ = read(method, body));
                batch(body);
            }
        }
    }

    #[test]
    fn patterns() {
        let check = |pattern: &str, name: &str| matcher(pattern).unwrap().is_match(name);
        for (pattern, name, expect) in [
            ("chat:*", "chat:a/b:c", true),
            ("chat:*", "dm:a", false),
            ("*:lobby", "chat:lobby", true),
            ("chat:?", "chat:x", true),
            ("chat:?", "chat:ab", false),
            ("{chat,dm}:[ab]", "dm:b", true),
            ("{chat,dm}:[!ab]", "dm:b", false),
        ] {
            assert_eq!(check(pattern, name), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn batches() {
        let batch = batch(
            r#"{"parallel":true,"commands":[{"info":{}},{"dance":{}},{"publish":{"channel":1}},
               {"info":{},"channels":{}},{}]}"#,
        )
        .unwrap();
        assert!(batch.parallel);
        let found: Vec<_> = batch
            .commands
            .iter()
            .map(|c| (c.method, c.call.as_ref().err().map_or(0, |e| e.code)))
            .collect();
        assert_eq!(found, [("info", 0), ("", 104), ("publish", 107), ("", 107), ("", 107)]);
        for body in ["[]", r#"{"commands":[1]}"#, r#"{"commands":{}}"#] {
            assert!(super::batch(body).is_none(), "{body}");
        }
    }
}
