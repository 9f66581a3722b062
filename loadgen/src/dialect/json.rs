//! The client protocol as lines of JSON, one or more per frame. Pure; tests at the end.
//!
//! A delivery is `{"push":{"channel":C,"pub":{"data":{"text":T},...}}}`, where T is a message's
//! text. It is found by its marker and checked; what stands around it is not.

use super::{
    AFTER_TEXT, CONNECT, Common, FIRST_PUBLISH, HISTORY, Position, Request, SUBSCRIBE, Seen,
    answered,
};
use crate::text::{self, Marker, push_decimal};
use memchr::memmem::{Finder, FinderRev};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

const PUSH: &[u8] = b"{\"push\":";
const REPLY: &[u8] = b"{\"id\":";
const OFFSET: &[u8] = b"\"offset\":";

/// What is the same for all messages.
#[derive(Debug)]
pub(super) struct Json {
    /// Between a publish command's `id` and its room's number, and between that and the text.
    before_room: Vec<u8>,
    before_text: Vec<u8>,
    publication: Finder<'static>,
    offset: FinderRev<'static>,
}

impl Json {
    pub(super) fn new(common: &Common) -> Json {
        // As JSON, less the quote behind it: the room's number follows.
        let mut prefix = json!(common.prefix).to_string();
        prefix.pop();
        Json {
            before_room: format!(",\"publish\":{{\"channel\":{prefix}").into_bytes(),
            before_text: [b"\",\"data\":", common.before_text()].concat(),
            publication: Finder::new(b"\"pub\":"),
            offset: FinderRev::new(OFFSET),
        }
    }

    #[inline]
    pub(super) fn publish(&self, common: &Common, out: &mut Vec<u8>, room: usize, marker: Marker) {
        out.extend_from_slice(REPLY);
        push_decimal(out, u64::from(FIRST_PUBLISH) + u64::from(marker.number));
        out.extend_from_slice(&self.before_room);
        push_decimal(out, room as u64);
        out.extend_from_slice(&self.before_text);
        common.texts.write(out, marker);
        out.extend_from_slice(AFTER_TEXT);
        out.extend_from_slice(b"}}");
    }

    #[inline]
    pub(super) fn scan<'a>(
        &self,
        common: &Common,
        payload: &'a [u8],
        report: &mut impl FnMut(Seen<'a>),
    ) {
        // Where the next text begins, once that is known: a frame full of joins and leaves is
        // searched only once.
        let mut next = None;
        let mut at = 0;
        while at < payload.len() {
            if payload[at..].starts_with(PUSH) {
                let text = match next {
                    Some(text) if text >= at => text,
                    _ => text::find(&payload[at..]).map_or(usize::MAX, |text| at + text),
                };
                next = Some(text);
                if let Some((seen, end)) = self.delivery(common, payload, at, text) {
                    report(seen);
                    at = end;
                    continue;
                }
            }
            let (line, _) = split_line(&payload[at..]);
            self.line(common, line, report);
            at += line.len() + 1;
        }
    }

    /// The delivery in the line that begins `at`, if the text that begins at `text` is whole and
    /// stands in this line; and where the next line begins.
    #[inline]
    fn delivery(
        &self,
        common: &Common,
        payload: &[u8],
        at: usize,
        text: usize,
    ) -> Option<(Seen<'static>, usize)> {
        let before = payload.get(at..text)?;
        if memchr::memchr(b'\n', before).is_some() {
            return None;
        }
        let (marker, len) = common.texts.read(&payload[text..])?;
        let rest = &payload[text + len..];
        if rest.first() != Some(&b'"') {
            return None;
        }
        let (tail, _) = split_line(rest);
        let offset = if common.recover { self.offset_in(tail) } else { 0 };
        let end = text + len + tail.len() + 1;
        Some((Seen::Delivery { marker, offset, recovered: false }, end))
    }

    /// The publication's offset, in what follows its text: the last one, for what comes before is
    /// somebody else's (`info`).
    fn offset_in(&self, tail: &[u8]) -> u64 {
        let at = self.offset.rfind(tail).map(|at| at + OFFSET.len());
        at.and_then(|at| leading_number(&tail[at..])).map_or(0, |(offset, _)| offset)
    }

    /// A line that is not an intact delivery.
    fn line<'a>(&self, common: &Common, line: &'a [u8], report: &mut impl FnMut(Seen<'a>)) {
        if line == b"{}" {
            return report(Seen::Ping);
        }
        if let Some(reply) = line.strip_prefix(REPLY)
            && let Some((id, rest)) = leading_number(reply)
            && let Ok(id) = u32::try_from(id)
        {
            let error = rest.starts_with(b",\"error\":").then_some(line);
            match answered(id, error) {
                Some(seen) => report(seen),
                None if id == SUBSCRIBE => joined(common, line, report),
                None if id == CONNECT => {}
                None => report(Seen::Corrupt(line)),
            }
        } else if line.starts_with(PUSH) && self.publication.find(line).is_none() || line.is_empty()
        {
            // Other pushes: joins and leaves.
        } else {
            report(Seen::Corrupt(line));
        }
    }
}

/// The answer to a subscribe command.
#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    subscribe: Subscribed<'a>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Subscribed<'a> {
    epoch: &'a str,
    offset: u64,
    recovered: bool,
    was_recovering: bool,
    #[serde(borrow)]
    publications: Vec<Publication<'a>>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    offset: u64,
}

fn joined<'a>(common: &Common, line: &'a [u8], report: &mut impl FnMut(Seen<'a>)) {
    let Ok(Reply { subscribe }) = serde_json::from_slice::<Reply<'a>>(line) else {
        return report(Seen::Corrupt(line));
    };
    let epoch = subscribe.epoch.as_bytes();
    report(Seen::Joined {
        recovered: (subscribe.recovered || subscribe.was_recovering).then_some(subscribe.recovered),
        position: (!epoch.is_empty()).then_some((epoch, subscribe.offset)),
    });
    for Publication { data, offset } in subscribe.publications {
        let data = data.get().as_bytes();
        let text = text::find(data).map(|at| &data[at..]);
        let read = text.and_then(|text| Some((common.texts.read(text)?, text)));
        report(match read {
            Some(((marker, len), text)) if text.get(len) == Some(&b'"') => {
                Seen::Delivery { marker, offset, recovered: true }
            }
            _ => Seen::Corrupt(data),
        });
    }
}

pub(super) fn join(common: &Common, room: usize, from: Option<&Position>) -> Vec<u8> {
    let connect = match &common.token {
        Some(token) => json!({"id": CONNECT, "connect": {"token": token}}),
        None => json!({"id": CONNECT, "connect": {}}),
    };
    let mut subscribe = json!({"channel": common.room(room)});
    if common.recover || from.is_some() {
        subscribe["recoverable"] = true.into();
        subscribe["positioned"] = true.into();
    }
    if let Some(Position { epoch, offset }) = from {
        subscribe["recover"] = true.into();
        subscribe["epoch"] = epoch.as_str().into();
        subscribe["offset"] = (*offset).into();
    }
    format!("{connect}\n{}", json!({"id": SUBSCRIBE, "subscribe": subscribe})).into_bytes()
}

pub(super) fn request(common: &Common, out: &mut Vec<u8>, what: Request, room: usize, id: u32) {
    let channel = common.room(room);
    let command = match what {
        Request::Presence => json!({"id": id, "presence": {"channel": channel}}),
        Request::History => json!({"id": id, "history": {"channel": channel, "limit": HISTORY}}),
    };
    out.extend_from_slice(command.to_string().as_bytes());
}

/// A line without its end, and what follows it.
#[inline]
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// The decimal number of 1 to 19 digits with which `bytes` begin, and what follows it.
#[inline]
fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=19).contains(&digits) {
        return None;
    }
    let (number, rest) = bytes.split_at(digits);
    Some((number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')), rest))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{REQUEST, Refused, Wire};
    use super::*;
    use serde_json::Value;

    fn command(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    fn joined_by(wire: &Wire, from: Option<&Position>) -> (Value, Value) {
        let mut out = Vec::new();
        assert!(wire.join(&mut out, 5, 1, from));
        assert_eq!((out.len(), out[0].opcode), (1, wire.opcode()));
        let (connect, subscribe) = split_line(&out[0].payload);
        (command(connect), command(subscribe))
    }

    /// What a server would push for `wire`'s own publish command.
    fn push(wire: &Wire, marker: Marker, more: &str) -> String {
        let command = command(&published(wire, marker));
        let (data, channel) = (&command["publish"]["data"], &command["publish"]["channel"]);
        format!(
            "{{\"push\":{{\"channel\":{channel},\"pub\":{{\"data\":{data},\
             \"info\":{{\"user\":\"~#al~\",\"conn_info\":{{\"offset\":9}}}}{more}}}}}}}"
        )
    }

    #[test]
    fn speaks_the_client_protocol() {
        let wire = wire(&[]);
        assert_eq!(request_line(&wire, None), "GET /connection/websocket");
        assert_eq!(request_line(&wire, Some("/x")), "GET /x");
        let (connect, subscribe) = joined_by(&wire, None);
        assert_eq!(connect, json!({"id": 1, "connect": {}}));
        assert_eq!(subscribe, json!({"id": 2, "subscribe": {"channel": "load-1"}}));
        let publish = command(&published(&wire, MARKER));
        let data = json!({"text": text(&wire, MARKER)});
        assert_eq!(publish, json!({"id": 42, "publish": {"channel": "load-1", "data": data}}));
        let mut out = Vec::new();
        wire.pong(&mut out);
        assert_eq!(out, b"{}");
        assert!(wire.accepts());
    }

    #[test]
    fn speaks_chat() {
        let wire = wire(&["--namespace=chat", "--token=a.b.c", "--room-prefix=\"x\""]);
        let (connect, subscribe) = joined_by(&wire, None);
        assert_eq!(connect["connect"]["token"], "a.b.c");
        assert_eq!(subscribe["subscribe"]["channel"], "chat:\"x\"1");
        let publish = command(&published(&wire, MARKER));
        assert_eq!(publish["publish"]["channel"], "chat:\"x\"1");
        assert_eq!(publish["publish"]["data"]["type"], "message");
        let push = push(&wire, MARKER, "");
        assert_eq!(scanned(&wire, push.as_bytes()), [delivery(MARKER, 0)]);
    }

    #[test]
    fn asks_for_what_was_missed() {
        let wire = wire(&["--recover"]);
        let (_, subscribe) = joined_by(&wire, None);
        let asked = json!({"channel": "load-1", "recoverable": true, "positioned": true});
        assert_eq!(subscribe["subscribe"], asked);
        let from = Position { epoch: "e\"1".into(), offset: 7 };
        let (_, subscribe) = joined_by(&wire, Some(&from));
        let asked = json!({"channel": "load-1", "recoverable": true, "positioned": true,
            "recover": true, "epoch": "e\"1", "offset": 7});
        assert_eq!(subscribe["subscribe"], asked);
    }

    #[test]
    fn asks_who_and_what() {
        let wire = wire(&[]);
        for (what, expected) in [
            (Request::Presence, json!({"id": 2147483653u32, "presence": {"channel": "load-1"}})),
            (
                Request::History,
                json!({"id": 2147483653u32, "history": {"channel": "load-1", "limit": 20}}),
            ),
        ] {
            let mut out = Vec::new();
            wire.request(&mut out, what, 1, 5);
            assert_eq!(command(&out), expected);
        }
    }

    #[test]
    fn reads_every_line_of_a_frame() {
        let wire = wire(&["--payload=64-300"]);
        let next = Marker { number: 40, ..MARKER };
        let refused = r#"{"id":7,"error":{"code":111,"message":"too many requests"}}"#;
        let banned = r#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#;
        let history = format!(
            r#"{{"id":2147483650,"history":{{"publications":[{{"data":"{}"}}]}}}}"#,
            text(&wire, next)
        );
        let frame = [
            r#"{"id":1,"connect":{"client":"x","ping":25,"pong":true}}"#,
            r#"{"id":2,"subscribe":{}}"#,
            r#"{"push":{"channel":"load-1","join":{"info":{"client":"x"}}}}"#,
            &push(&wire, MARKER, ""),
            r#"{"push":{"channel":"load-1","join":{"info":{"client":"x"}}}}"#,
            &history,
            &push(&wire, next, ",\"offset\":3"),
            "{}",
            r#"{"id":22,"publish":{}}"#,
            r#"{"id":2147483649,"presence":{"presence":{}}}"#,
            refused,
            banned,
            r#"{"id":2147483651,"error":{"code":108}}"#,
            "",
        ]
        .join("\n");
        let last = br#"{"id":2147483651,"error":{"code":108}}"#;
        assert_eq!(
            scanned(&wire, frame.as_bytes()),
            [
                Seen::Joined { recovered: None, position: None },
                delivery(MARKER, 0),
                Seen::Answered { id: REQUEST | 2 },
                delivery(next, 0),
                Seen::Ping,
                Seen::Accepted { number: 19 },
                Seen::Answered { id: REQUEST | 1 },
                Seen::Refused {
                    id: 7,
                    what: Refused::Publish { number: 4 },
                    line: refused.as_bytes()
                },
                Seen::Refused { id: 2, what: Refused::Join, line: banned.as_bytes() },
                Seen::Refused {
                    id: REQUEST | 3,
                    what: Refused::Request { id: REQUEST | 3 },
                    line: last
                },
            ]
        );
    }

    #[test]
    fn reads_offsets_where_they_matter() {
        for (arguments, more, expected) in
            [(&["--recover"][..], ",\"offset\":12,\"time\":34", 12), (&[], ",\"offset\":12", 0)]
        {
            let wire = wire(arguments);
            let frame =
                [push(&wire, MARKER, more), push(&wire, MARKER, ",\"offset\":5")].join("\n");
            let second = if arguments.is_empty() { 0 } else { 5 };
            assert_eq!(
                scanned(&wire, frame.as_bytes()),
                [delivery(MARKER, expected), delivery(MARKER, second)]
            );
        }
    }

    #[test]
    fn reads_what_was_missed() {
        let wire = wire(&["--recover"]);
        let texts = [39, 40].map(|number| text(&wire, Marker { number, ..MARKER }));
        let publications = json!([
            {"data": {"text": texts[0]}, "offset": 8, "info": {"user": "x"}},
            {"data": {"text": texts[1]}, "offset": 9},
            {"data": {"text": "else"}, "offset": 10},
        ]);
        let reply = json!({"id": 2, "subscribe": {"recoverable": true, "epoch": "e1", "offset": 9,
            "was_recovering": true, "recovered": true, "publications": publications}});
        // The protocol's servers put `id` first.
        let line = format!("{{\"id\":2,\"subscribe\":{}}}", reply["subscribe"]);
        let position = Some((&b"e1"[..], 9));
        let missed = |number, offset| Seen::Delivery {
            marker: Marker { number, ..MARKER },
            offset,
            recovered: true,
        };
        assert_eq!(
            scanned(&wire, line.as_bytes()),
            [
                Seen::Joined { recovered: Some(true), position },
                missed(39, 8),
                missed(40, 9),
                Seen::Corrupt(b"{\"text\":\"else\"}"),
            ]
        );
        for (result, expected) in [
            (r#"{"epoch":"e1","offset":9,"was_recovering":true}"#, (Some(false), position)),
            (r#"{"epoch":"e1","offset":9}"#, (None, position)),
            (r#"{"was_recovering":true}"#, (Some(false), None)),
        ] {
            let line = format!("{{\"id\":2,\"subscribe\":{result}}}");
            let (recovered, position) = expected;
            assert_eq!(scanned(&wire, line.as_bytes()), [Seen::Joined { recovered, position }]);
        }
        let broken = b"{\"id\":2,\"subscribe\":{\"epoch\":}}";
        assert_eq!(scanned(&wire, broken), [Seen::Corrupt(broken)]);
    }

    #[test]
    fn damaged_lines_are_corrupt() {
        let wire = wire(&[]);
        let push = push(&wire, MARKER, "");
        for (from, to) in [("abc", "abx"), ("~#1", "~#x"), ("\"}", "x\"}"), ("text", "t\next")] {
            let bad = push.replacen(from, to, 1);
            assert_ne!(bad, push);
            let frame = [&bad, &push].map(String::as_str).join("\n");
            let all = scanned(&wire, frame.as_bytes());
            assert!(matches!(all.first(), Some(Seen::Corrupt(_))), "{bad}: {all:?}");
            assert_eq!(all.last(), Some(&delivery(MARKER, 0)), "the next line is fine");
        }
        for bad in ["hello", "{\"id\":0,\"publish\":{}}", "{\"id\":4294967296,\"publish\":{}}"] {
            assert_eq!(scanned(&wire, bad.as_bytes()), [Seen::Corrupt(bad.as_bytes())]);
        }
        assert_eq!(scanned(&wire, b"{\"push\":"), [], "no publication in it");
    }
}
