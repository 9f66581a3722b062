//! Server to client, what is sent often: publications, joins and leaves, the answer to a publish.
//!
//! Written by hand, straight into the frame, in both forms of the protocol; everything else is a
//! typed message of `messages.rs`. A push is the same for everybody who speaks its form: nothing
//! per connection is in it. It knows no WebSocket frame. Tests: below; what is written here reads
//! back as the typed message.

use super::codes::ErrorCode;
use super::content::Content;
use super::json::{self, write_str, write_u64};
use super::messages::{self, Body, ClientInfo, Encoding, Reply};
use super::wire;
use bytes::{BufMut, BytesMut};
use prost::Message;
use std::collections::BTreeMap;

/// The version in the connect result.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a publisher puts beside the payload: pairs of texts.
pub type Tags = BTreeMap<String, String>;

/// A client info object, encoded in each form: who published, joined or left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    json: Box<[u8]>,
    protobuf: Box<[u8]>,
}

impl Info {
    /// `conn_info`, `chan_info`: raw JSON without line breaks.
    pub fn new(user: &str, client: &str, conn_info: Option<&str>, chan_info: Option<&str>) -> Info {
        let mut json = b"{\"user\":".to_vec();
        write_str(&mut json, user);
        json.extend_from_slice(b",\"client\":");
        write_str(&mut json, client);
        let mut protobuf = Vec::new();
        for (field, text) in [(1, Some(user)), (2, Some(client)), (3, conn_info), (4, chan_info)] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                wire::put_bytes(&mut protobuf, field, text.as_bytes());
            }
        }
        for (name, raw) in [("conn_info", conn_info), ("chan_info", chan_info)] {
            if let Some(raw) = raw {
                json.extend_from_slice(b",\"");
                json.extend_from_slice(name.as_bytes());
                json.extend_from_slice(b"\":");
                json.extend_from_slice(raw.as_bytes());
            }
        }
        json.push(b'}');
        Info { json: json.into(), protobuf: protobuf.into() }
    }

    /// The typed message, for replies that list clients.
    pub fn message(&self) -> ClientInfo {
        // Our own bytes: they decode.
        ClientInfo::decode(&*self.protobuf).unwrap_or_default()
    }

    /// Bytes of both forms.
    pub fn bytes(&self) -> usize {
        self.json.len() + self.protobuf.len()
    }
}

/// What a publication tells.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// What was published.
    pub content: Content<'a>,
    /// Who published it; `None`: the server.
    pub info: Option<&'a Info>,
    /// Offset and Unix time in milliseconds; only in rooms with history.
    pub stamp: Option<(u64, u64)>,
    /// What the publisher put beside it.
    pub tags: Option<&'a Tags>,
}

impl<'a> Publication<'a> {
    fn tags(&self) -> impl Iterator<Item = (&'a String, &'a String)> {
        self.tags.into_iter().flatten()
    }

    /// Appends the JSON object.
    pub fn write_json(&self, out: &mut impl BufMut) {
        out.put_slice(b"{\"data\":");
        self.content.write_json(out);
        if let Some(info) = self.info {
            out.put_slice(b",\"info\":");
            out.put_slice(&info.json);
        }
        if let Some((offset, time_ms)) = self.stamp {
            out.put_slice(b",\"offset\":");
            write_u64(out, offset);
            out.put_slice(b",\"time\":");
            write_u64(out, time_ms);
        }
        if self.tags.is_some_and(|tags| !tags.is_empty()) {
            let mut before: &[u8] = b",\"tags\":{";
            for (key, value) in self.tags() {
                out.put_slice(before);
                write_str(out, key);
                out.put_u8(b':');
                write_str(out, value);
                before = b",";
            }
            out.put_u8(b'}');
        }
        out.put_u8(b'}');
    }

    /// The typed message, for replies that hold publications of several rooms.
    pub fn message(&self) -> messages::Publication {
        let mut bytes = BytesMut::with_capacity(self.protobuf_len());
        self.write_protobuf(&mut bytes);
        // Our own bytes: they decode.
        messages::Publication::decode(bytes.freeze()).unwrap_or_default()
    }

    /// Bytes of the JSON object. The protobuf message has fewer.
    pub fn json_len(&self) -> usize {
        let digits = |n: u64| n.checked_ilog10().map_or(1, |log| log as usize + 1);
        let info = self.info.map_or(0, |info| r#","info":"#.len() + info.json.len());
        let stamp = self.stamp.map_or(0, |(offset, time_ms)| {
            r#","offset":,"time":"#.len() + digits(offset) + digits(time_ms)
        });
        let pair = |(key, value): (&String, &String)| {
            json::str_len(key) + json::str_len(value) + ":,".len()
        };
        let tags = match self.tags.is_some_and(|tags| !tags.is_empty()) {
            true => r#","tags":{}"#.len() - 1 + self.tags().map(pair).sum::<usize>(),
            false => 0,
        };
        r#"{"data":}"#.len() + self.content.json_len() + info + stamp + tags
    }

    /// Appends the protobuf message, without its length.
    pub fn write_protobuf(&self, out: &mut impl BufMut) {
        wire::put_head(out, 4, self.content.protobuf_len());
        self.content.write_protobuf(out);
        if let Some(info) = self.info {
            wire::put_bytes(out, 5, &info.protobuf);
        }
        if let Some((offset, _)) = self.stamp {
            wire::put_number(out, 6, offset);
        }
        for (key, value) in self.tags() {
            wire::put_head(out, 7, tag_len(key, value));
            wire::put_bytes(out, 1, key.as_bytes());
            wire::put_bytes(out, 2, value.as_bytes());
        }
        if let Some((_, time_ms)) = self.stamp {
            wire::put_number(out, 9, time_ms);
        }
    }

    /// Bytes of the protobuf message, without its length.
    pub fn protobuf_len(&self) -> usize {
        let info = self.info.map_or(0, |info| wire::bytes_len(info.protobuf.len()));
        let stamp = self
            .stamp
            .map_or(0, |(offset, time_ms)| wire::number_len(offset) + wire::number_len(time_ms));
        let tags = self.tags().map(|(key, value)| wire::bytes_len(tag_len(key, value)));
        wire::bytes_len(self.content.protobuf_len()) + info + stamp + tags.sum::<usize>()
    }
}

/// Bytes of an entry of a map of texts.
fn tag_len(key: &str, value: &str) -> usize {
    wire::bytes_len(key.len()) + wire::bytes_len(value.len())
}

/// Whether somebody came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody joined.
    Join,
    /// Somebody left.
    Leave,
}

/// A push of a room.
#[derive(Debug, Clone, Copy)]
pub enum Push<'a> {
    /// Something was published.
    Publication(Publication<'a>),
    /// Somebody joined or left.
    Presence(Event, &'a Info),
}

/// What stands before the event in every push of a room: `{"push":{"channel":"r",`.
pub fn push_prefix(channel: &str) -> Vec<u8> {
    let mut out = b"{\"push\":{\"channel\":".to_vec();
    write_str(&mut out, channel);
    out.push(b',');
    out
}

/// Appends a push as JSON; `prefix` from [`push_prefix`].
pub fn push_json(out: &mut impl BufMut, prefix: &[u8], push: Push<'_>) {
    out.put_slice(prefix);
    match push {
        Push::Publication(publication) => {
            out.put_slice(b"\"pub\":");
            publication.write_json(out);
            out.put_slice(b"}}");
        }
        Push::Presence(event, info) => {
            out.put_slice(match event {
                Event::Join => b"\"join\":{\"info\":".as_slice(),
                Event::Leave => b"\"leave\":{\"info\":",
            });
            out.put_slice(&info.json);
            out.put_slice(b"}}}");
        }
    }
}

/// Appends a push of the room `channel` as a protobuf message with its length before it.
pub fn push_protobuf(out: &mut impl BufMut, channel: &str, push: Push<'_>) {
    let (field, event_len) = match push {
        Push::Publication(publication) => (4, publication.protobuf_len()),
        Push::Presence(Event::Join, info) => (5, wire::bytes_len(info.protobuf.len())),
        Push::Presence(Event::Leave, info) => (6, wire::bytes_len(info.protobuf.len())),
    };
    let push_len = wire::bytes_len(channel.len()) + wire::bytes_len(event_len);
    wire::put_varint(out, wire::bytes_len(push_len) as u64);
    wire::put_head(out, 4, push_len);
    wire::put_bytes(out, 2, channel.as_bytes());
    wire::put_head(out, field, event_len);
    match push {
        Push::Publication(publication) => publication.write_protobuf(out),
        Push::Presence(_, info) => wire::put_bytes(out, 1, &info.protobuf),
    }
}

/// Appends the answer to a publish.
pub fn published(out: &mut BytesMut, encoding: Encoding, id: u32, result: Result<(), ErrorCode>) {
    match (result, encoding) {
        (Err(error), _) => Reply::new(id, error).write(encoding, out),
        (Ok(()), Encoding::Json) => {
            out.put_slice(b"{\"id\":");
            write_u64(out, id.into());
            out.put_slice(b",\"publish\":{}}");
        }
        (Ok(()), Encoding::Protobuf) => {
            wire::put_varint(out, (wire::number_len(id.into()) + wire::bytes_len(0)) as u64);
            wire::put_number(out, 1, id.into());
            wire::put_bytes(out, 8, b"");
        }
    }
}

/// Appends a subscribe or history reply with the publications that belong into it, in order: they
/// are shared with the history, and written like those of a push.
///
/// `reply` holds none itself. Any other reply is written as it is.
pub fn with_publications<'a>(
    out: &mut BytesMut,
    encoding: Encoding,
    reply: &Reply,
    publications: impl Iterator<Item = Publication<'a>> + Clone,
) {
    // Field of the result in the reply, field of the publications in the result.
    let (field, list, result) = match &reply.body {
        Some(Body::Subscribe(result)) => (6, 7, result.encode_to_vec()),
        Some(Body::History(result)) => (11, 1, result.encode_to_vec()),
        _ => return reply.write(encoding, out),
    };
    match encoding {
        Encoding::Json => {
            reply.write(encoding, out);
            // Behind the fields of the result: both objects are opened again.
            let end = out.len().saturating_sub(2);
            out.truncate(end);
            let mut before: &[u8] = match out.last() {
                Some(b'{') => b"\"publications\":[",
                _ => b",\"publications\":[",
            };
            let none = before;
            for publication in publications {
                out.put_slice(before);
                publication.write_json(out);
                before = b",";
            }
            if before == none {
                out.put_slice(none);
            }
            out.put_slice(b"]}}");
        }
        Encoding::Protobuf => {
            let lens = publications.clone().map(|p| wire::bytes_len(p.protobuf_len()));
            let result_len = result.len() + lens.sum::<usize>();
            let id_len = wire::number_len(reply.id.into());
            wire::put_varint(out, (id_len + wire::bytes_len(result_len)) as u64);
            wire::put_number(out, 1, reply.id.into());
            wire::put_head(out, field, result_len);
            out.put_slice(&result);
            for publication in publications {
                wire::put_head(out, list, publication.protobuf_len());
                publication.write_protobuf(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Empty, HistoryResult, Presence, PushBody, SubscribeResult};
    use super::*;
    use crate::protocol::codes;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn info() -> Info {
        Info::new("~al", "c-1", Some(r#"{"nick":"al"}"#), None)
    }

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        let text = String::from_utf8(out.to_vec()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert!(!text.contains(['\n', '\r']));
        text
    }

    fn read(write: impl FnOnce(&mut BytesMut)) -> Reply {
        let mut out = BytesMut::new();
        write(&mut out);
        let mut bytes = out.freeze();
        let reply = Reply::decode_length_delimited(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        reply
    }

    #[test]
    fn who() {
        let full = Info::new("", "c", Some("1"), Some("{\"a\":2}"));
        assert_eq!(
            std::str::from_utf8(&full.json).unwrap(),
            r#"{"user":"","client":"c","conn_info":1,"chan_info":{"a":2}}"#
        );
        let message = ClientInfo {
            client: "c".into(),
            conn_info: "1".into(),
            chan_info: "{\"a\":2}".into(),
            ..Default::default()
        };
        assert_eq!(full.message(), message);
        assert_eq!(serde_json::to_vec(&message).unwrap(), *full.json);
        assert_eq!(serde_json::to_vec(&info().message()).unwrap(), *info().json);
    }

    #[test]
    fn answers_to_a_publish() {
        let published =
            |encoding, result| move |out: &mut BytesMut| published(out, encoding, 300, result);
        assert_eq!(text(published(Encoding::Json, Ok(()))), r#"{"id":300,"publish":{}}"#);
        assert_eq!(
            read(published(Encoding::Protobuf, Ok(()))),
            Reply::new(300, Body::Publish(Empty {}))
        );
        let error = Err(codes::BAD_REQUEST);
        assert_eq!(
            text(published(Encoding::Json, error)),
            r#"{"id":300,"error":{"code":107,"message":"bad request"}}"#
        );
        assert_eq!(read(published(Encoding::Protobuf, error)), Reply::new(300, codes::BAD_REQUEST));
    }

    #[test]
    fn pushes() {
        let info = info();
        let prefix = push_prefix("a\"b");
        let content = Content::Json("1");
        let publication =
            Publication { content, info: Some(&info), stamp: Some((9, 17)), tags: None };
        let push = Push::Publication(publication);
        assert_eq!(
            text(|out| push_json(out, &prefix, push)),
            r#"{"push":{"channel":"a\"b","pub":{"data":1,"info":{"user":"~al","client":"c-1","conn_info":{"nick":"al"}},"offset":9,"time":17}}}"#
        );
        let expect = messages::Publication {
            data: "1".into(),
            info: Some(info.message()),
            offset: 9,
            time: 17,
            ..Default::default()
        };
        let got = read(|out| push_protobuf(out, "a\"b", push));
        assert_eq!(got, Reply::push("a\"b", PushBody::Pub(expect)));
        let push = Push::Presence(Event::Leave, &info);
        assert_eq!(
            text(|out| push_json(out, &prefix, push)),
            r#"{"push":{"channel":"a\"b","leave":{"info":{"user":"~al","client":"c-1","conn_info":{"nick":"al"}}}}}"#
        );
        for (event, body) in
            [(Event::Join, PushBody::Join as fn(_) -> _), (Event::Leave, PushBody::Leave)]
        {
            let got = read(|out| push_protobuf(out, "r", Push::Presence(event, &info)));
            assert_eq!(got, Reply::push("r", body(Presence { info: Some(info.message()) })));
        }
    }

    #[test]
    fn replies_with_publications() {
        let publication = |data, offset| Publication {
            content: Content::Json(data),
            info: None,
            stamp: Some((offset, 17)),
            tags: None,
        };
        let list = [publication("1", 3), publication("[]", 4)];
        let subscribed = SubscribeResult {
            recoverable: true,
            positioned: true,
            epoch: "ab".into(),
            offset: Some(4),
            was_recovering: true,
            recovered: true,
            ..Default::default()
        };
        let bare = SubscribeResult::default();
        let history = HistoryResult { epoch: "ab".into(), offset: 4, publications: Vec::new() };
        let cases = [
            (
                Body::Subscribe(subscribed),
                2,
                r#"{"id":7,"subscribe":{"recoverable":true,"epoch":"ab","recovered":true,"offset":4,"positioned":true,"was_recovering":true,"publications":[{"data":1,"offset":3,"time":17},{"data":[],"offset":4,"time":17}]}}"#,
            ),
            (Body::Subscribe(bare), 0, r#"{"id":7,"subscribe":{"publications":[]}}"#),
            (
                Body::History(history.clone()),
                1,
                r#"{"id":7,"history":{"epoch":"ab","offset":4,"publications":[{"data":1,"offset":3,"time":17}]}}"#,
            ),
            (
                Body::History(history),
                0,
                r#"{"id":7,"history":{"epoch":"ab","offset":4,"publications":[]}}"#,
            ),
            (Body::Ping(Empty {}), 0, r#"{"id":7,"ping":{}}"#),
        ];
        for (body, count, expect) in cases {
            let mut reply = Reply::new(7, body);
            let write = |encoding| {
                let reply = &reply;
                let list = list.iter().copied().take(count);
                move |out: &mut BytesMut| with_publications(out, encoding, reply, list)
            };
            assert_eq!(text(write(Encoding::Json)), expect);
            let got = read(write(Encoding::Protobuf));
            let expect = list.iter().take(count).map(|p| read_publication(p)).collect();
            match &mut reply.body {
                Some(Body::Subscribe(result)) => result.publications = expect,
                Some(Body::History(result)) => result.publications = expect,
                _ => {}
            }
            assert_eq!(got, reply);
        }
    }

    fn read_publication(publication: &Publication<'_>) -> messages::Publication {
        let mut out = Vec::new();
        publication.write_protobuf(&mut out);
        assert_eq!(out.len(), publication.protobuf_len());
        messages::Publication::decode(&*out).unwrap()
    }

    proptest! {
        #[test]
        fn a_publication_in_both_forms(
            line in any::<bool>(),
            text in ".*",
            user in ".*",
            stamp in proptest::option::of((1..u64::MAX, 1..i64::MAX as u64)),
            tags in proptest::collection::btree_map(".{0,5}", ".*", 0..4),
        ) {
            let info = Info::new(&user, "c", None, Some("{}"));
            let json = serde_json::Value::from(text.as_str()).to_string();
            let content = if line { Content::Line(&text) } else { Content::Json(&json) };
            let publication =
                Publication { content, info: Some(&info), stamp, tags: Some(&tags) };
            let mut out = Vec::new();
            publication.write_json(&mut out);
            prop_assert_eq!(out.len(), publication.json_len());
            prop_assert!(publication.protobuf_len() < out.len());
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let message = read_publication(&publication);
            prop_assert_eq!(&message.tags, &tags);
            prop_assert_eq!((message.offset, message.time as u64), stamp.unwrap_or_default());
            prop_assert_eq!(serde_json::to_value(&message).unwrap(), value);
            let data: Bytes = message.data;
            let said = if line { "text" } else { "" };
            let data: serde_json::Value = serde_json::from_slice(&data).unwrap();
            prop_assert_eq!(if line { &data[said] } else { &data }, &text);
        }
    }
}
