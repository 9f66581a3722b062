//! The client protocol's protobuf form: each message with its length in front, one or more per
//! binary frame. Pure; tests at the end.
//!
//! What is sent often and everything that is read goes field by field: nothing is allocated, and
//! only what is wanted is looked at. What is sent rarely is made from [`super::messages`].
//! A publication's data is the same JSON as in the other form, so that both kinds of clients
//! understand each other.

use super::messages::{Command, ConnectRequest, HistoryRequest, RoomRequest, SubscribeRequest};
use super::{
    AFTER_TEXT, CONNECT, Common, FIRST_PUBLISH, HISTORY, Position, Request, SUBSCRIBE, Seen,
    answered,
};
use crate::text::{self, Marker};
use prost::Message;

/// What the upgrade asks for.
pub(super) const SUBPROTOCOL: &str = "centrifuge-protobuf";

/// The dialect has nothing to prepare.
#[derive(Debug)]
pub(super) struct Protobuf;

/// A field's number, with the type "bytes" (also a string or a message), as it is written.
const fn bytes_key(field: u8) -> u8 {
    field << 3 | 2
}

/// Fields of the messages that are handled without being decoded.
mod field {
    pub(super) const COMMAND_ID: u8 = 1;
    pub(super) const COMMAND_PUBLISH: u8 = 7;
    pub(super) const PUBLISH_CHANNEL: u8 = 1;
    pub(super) const PUBLISH_DATA: u8 = 2;

    pub(super) const REPLY_ID: u32 = 1;
    pub(super) const REPLY_ERROR: u32 = 2;
    pub(super) const REPLY_PUSH: u32 = 4;
    pub(super) const REPLY_SUBSCRIBE: u32 = 6;
    pub(super) const ERROR_MESSAGE: u32 = 2;
    pub(super) const PUSH_PUBLICATION: u32 = 4;
    pub(super) const PUBLICATION_DATA: u32 = 4;
    pub(super) const PUBLICATION_OFFSET: u32 = 6;
    pub(super) const SUBSCRIBED_EPOCH: u32 = 6;
    pub(super) const SUBSCRIBED_PUBLICATION: u32 = 7;
    pub(super) const SUBSCRIBED_RECOVERED: u32 = 8;
    pub(super) const SUBSCRIBED_OFFSET: u32 = 9;
    pub(super) const SUBSCRIBED_WAS_RECOVERING: u32 = 12;
}

#[inline]
pub(super) fn publish(common: &Common, out: &mut Vec<u8>, room: usize, marker: Marker) {
    let id = u64::from(FIRST_PUBLISH) + u64::from(marker.number);
    let before = common.before_text();
    let text = common.texts.len_of(marker.sender, marker.number);
    // Lengths stand in front, so they are reckoned from the inside out.
    let channel = common.room_len(room);
    let data = before.len() + text + AFTER_TEXT.len();
    let publish = bytes_field_len(channel) + bytes_field_len(data);
    let command = 1 + varint_len(id) + bytes_field_len(publish);
    push_varint(out, command as u64);
    out.push(field::COMMAND_ID << 3);
    push_varint(out, id);
    out.push(bytes_key(field::COMMAND_PUBLISH));
    push_varint(out, publish as u64);
    out.push(bytes_key(field::PUBLISH_CHANNEL));
    push_varint(out, channel as u64);
    common.push_room(out, room);
    out.push(bytes_key(field::PUBLISH_DATA));
    push_varint(out, data as u64);
    out.extend_from_slice(before);
    common.texts.write(out, marker);
    out.extend_from_slice(AFTER_TEXT);
}

#[inline]
pub(super) fn scan<'a>(common: &Common, payload: &'a [u8], report: &mut impl FnMut(Seen<'a>)) {
    let mut rest = payload;
    while !rest.is_empty() {
        let all = rest;
        let Some(message) = take_bytes(&mut rest) else { return report(Seen::Corrupt(all)) };
        if reply(common, message, report).is_none() {
            report(Seen::Corrupt(message));
        }
    }
}

/// One reply. `None`: it is damaged, or a delivery in it is.
#[inline]
fn reply<'a>(common: &Common, message: &'a [u8], report: &mut impl FnMut(Seen<'a>)) -> Option<()> {
    if message.is_empty() {
        report(Seen::Ping);
        return Some(());
    }
    let (mut id, mut error, mut subscribed) = (0, None, None);
    let mut fields = Fields(message);
    while !fields.is_empty() {
        match fields.next()? {
            (field::REPLY_PUSH, Value::Bytes(push)) => return pushed(common, push, report),
            (field::REPLY_ID, Value::Number(number)) => id = u32::try_from(number).ok()?,
            (field::REPLY_ERROR, Value::Bytes(bytes)) => error = Some(bytes),
            (field::REPLY_SUBSCRIBE, Value::Bytes(bytes)) => subscribed = Some(bytes),
            _ => {}
        }
    }
    let error = match error {
        Some(error) => Some(words(error)?),
        None => None,
    };
    match (answered(id, error), id) {
        (Some(seen), _) => report(seen),
        // Left out, it says that nothing in it is set.
        (None, SUBSCRIBE) => joined(common, subscribed.unwrap_or_default(), report)?,
        (None, CONNECT) => {}
        (None, _) => return None,
    }
    Some(())
}

/// An error's message.
fn words(error: &[u8]) -> Option<&[u8]> {
    let mut words = &error[..0];
    let mut fields = Fields(error);
    while !fields.is_empty() {
        if let (field::ERROR_MESSAGE, Value::Bytes(bytes)) = fields.next()? {
            words = bytes;
        }
    }
    Some(if words.is_empty() { b"an error without words" } else { words })
}

#[inline]
fn pushed<'a>(common: &Common, push: &'a [u8], report: &mut impl FnMut(Seen<'a>)) -> Option<()> {
    let mut fields = Fields(push);
    while !fields.is_empty() {
        if let (field::PUSH_PUBLICATION, Value::Bytes(bytes)) = fields.next()? {
            let (marker, offset) = publication(common, bytes, common.recover)?;
            report(Seen::Delivery { marker, offset, recovered: false });
        }
        // Other pushes: joins and leaves.
    }
    Some(())
}

/// The text in a publication, and its offset if that is wanted, else 0.
#[inline]
fn publication(common: &Common, bytes: &[u8], with_offset: bool) -> Option<(Marker, u64)> {
    let (mut found, mut offset) = (None, 0);
    let mut fields = Fields(bytes);
    while !fields.is_empty() {
        match fields.next()? {
            (field::PUBLICATION_DATA, Value::Bytes(data)) => {
                let at = text::find(data)?;
                let (marker, len) = common.texts.read(&data[at..])?;
                if data.get(at + len) != Some(&b'"') {
                    return None;
                }
                found = Some(marker);
                if !with_offset {
                    break;
                }
            }
            (field::PUBLICATION_OFFSET, Value::Number(number)) => offset = number,
            _ => {}
        }
    }
    Some((found?, offset))
}

fn joined<'a>(common: &Common, result: &'a [u8], report: &mut impl FnMut(Seen<'a>)) -> Option<()> {
    let (mut epoch, mut offset) = (&result[..0], 0);
    let (mut recovered, mut asked) = (false, false);
    let mut fields = Fields(result);
    while !fields.is_empty() {
        match fields.next()? {
            (field::SUBSCRIBED_EPOCH, Value::Bytes(bytes)) => epoch = bytes,
            (field::SUBSCRIBED_OFFSET, Value::Number(number)) => offset = number,
            (field::SUBSCRIBED_RECOVERED, Value::Number(number)) => recovered = number != 0,
            (field::SUBSCRIBED_WAS_RECOVERING, Value::Number(number)) => asked = number != 0,
            _ => {}
        }
    }
    report(Seen::Joined {
        recovered: (asked || recovered).then_some(recovered),
        position: (!epoch.is_empty()).then_some((epoch, offset)),
    });
    let mut fields = Fields(result);
    while !fields.is_empty() {
        if let (field::SUBSCRIBED_PUBLICATION, Value::Bytes(bytes)) = fields.next()? {
            report(match publication(common, bytes, true) {
                Some((marker, offset)) => Seen::Delivery { marker, offset, recovered: true },
                None => Seen::Corrupt(bytes),
            });
        }
    }
    Some(())
}

pub(super) fn join(common: &Common, room: usize, from: Option<&Position>) -> Vec<u8> {
    let connect = ConnectRequest { token: common.token.clone().unwrap_or_default() };
    let connect = Command { id: CONNECT, connect: Some(connect), ..Default::default() };
    let positioned = common.recover || from.is_some();
    let (epoch, offset) = from.map(|from| (from.epoch.clone(), from.offset)).unwrap_or_default();
    let subscribe = SubscribeRequest {
        channel: common.room(room),
        recover: from.is_some(),
        epoch,
        offset,
        positioned,
        recoverable: positioned,
    };
    let subscribe = Command { id: SUBSCRIBE, subscribe: Some(subscribe), ..Default::default() };
    [connect, subscribe].map(|command| command.encode_length_delimited_to_vec()).concat()
}

pub(super) fn request(common: &Common, out: &mut Vec<u8>, what: Request, room: usize, id: u32) {
    let channel = common.room(room);
    let command = match what {
        Request::Presence => {
            Command { id, presence: Some(RoomRequest { channel }), ..Default::default() }
        }
        Request::History => {
            let history = HistoryRequest { channel, limit: HISTORY };
            Command { id, history: Some(history), ..Default::default() }
        }
    };
    out.extend_from_slice(&command.encode_length_delimited_to_vec());
}

/// Bytes of a field that holds `len` bytes.
#[inline]
fn bytes_field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[inline]
fn varint_len(value: u64) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

#[inline]
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(first.into());
    }
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if *byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// What a length stands in front of.
#[inline]
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed size; there are none of interest.
    Other,
}

impl<'a> Fields<'a> {
    #[inline]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field's number and value. `None`: there is none, or it makes no sense.
    #[inline]
    fn next(&mut self) -> Option<(u32, Value<'a>)> {
        let key = take_varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Number(take_varint(&mut self.0)?),
            1 => self.skip(8)?,
            2 => Value::Bytes(take_bytes(&mut self.0)?),
            5 => self.skip(4)?,
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, value))
    }

    fn skip(&mut self, len: usize) -> Option<Value<'a>> {
        self.0 = self.0.get(len..)?;
        Some(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{self, *};
    use super::super::testing::*;
    use super::super::{REQUEST, Refused, Wire};
    use super::*;
    use crate::frame::opcode;

    fn protobuf(arguments: &[&str]) -> Wire {
        wire(&[&["--encoding=protobuf"], arguments].concat())
    }

    fn commands(mut bytes: &[u8]) -> Vec<Command> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            all.push(Command::decode_length_delimited(&mut bytes).unwrap());
        }
        all
    }

    fn joined_by(wire: &Wire, from: Option<&Position>) -> SubscribeRequest {
        let mut out = Vec::new();
        assert!(wire.join(&mut out, 5, 1, from));
        assert_eq!((out.len(), out[0].opcode), (1, opcode::BINARY));
        let [connect, subscribe] = &commands(&out[0].payload)[..] else { panic!("{out:?}") };
        assert_eq!((connect.id, subscribe.id), (1, 2));
        assert!(connect.connect.is_some());
        subscribe.subscribe.clone().unwrap()
    }

    fn frame(replies: &[Reply]) -> Vec<u8> {
        replies.iter().flat_map(|reply| reply.encode_length_delimited_to_vec()).collect()
    }

    /// What a server would push for `wire`'s own publish command.
    fn push(wire: &Wire, marker: Marker, offset: u64) -> Reply {
        let publish = commands(&published(wire, marker)).remove(0).publish.unwrap();
        let info = Some(ClientInfo { user: "~#al~".into(), client: "x".into() });
        let publication = Publication { data: publish.data, info, offset };
        let push = Push { channel: publish.channel, r#pub: Some(publication), ..Push::default() };
        Reply { push: Some(push), ..Reply::default() }
    }

    fn error(id: u32, message: &str) -> Reply {
        let error = messages::Error { code: 111, message: message.into() };
        Reply { id, error: Some(error), ..Reply::default() }
    }

    #[test]
    fn speaks_the_client_protocol() {
        let wire = protobuf(&["--payload=64-300"]);
        assert_eq!(request_line(&wire, None), "GET /connection/websocket");
        let upgrade = wire.upgrade("h", None, 0, 0, "KEY");
        assert!(upgrade.contains("\r\nSec-WebSocket-Protocol: centrifuge-protobuf\r\n"));
        let channel = "load-1".to_owned();
        let expected = SubscribeRequest { channel: channel.clone(), ..Default::default() };
        assert_eq!(joined_by(&wire, None), expected);
        for number in [0, 39, 124, 125, 126, 20_000, REQUEST - 4] {
            let marker = Marker { number, ..MARKER };
            let data = format!("{{\"text\":\"{}\"}}", text(&wire, marker)).into_bytes();
            let publish = PublishRequest { channel: channel.clone(), data };
            let expected = Command { id: number + 3, publish: Some(publish), ..Default::default() };
            assert_eq!(commands(&published(&wire, marker)), [expected]);
            let bytes = frame(&[push(&wire, marker, 0)]);
            assert_eq!(scanned(&wire, &bytes), [delivery(marker, 0)]);
        }
        let mut out = Vec::new();
        wire.pong(&mut out);
        assert_eq!(out, [0]);
        assert!(wire.accepts());
    }

    #[test]
    fn speaks_chat() {
        let wire = protobuf(&["--namespace=chat", "--token=a.b.c"]);
        assert_eq!(joined_by(&wire, None).channel, "chat:load-1");
        let mut out = Vec::new();
        wire.join(&mut out, 5, 1, None);
        let connect = commands(&out[0].payload).remove(0).connect.unwrap();
        assert_eq!(connect.token, "a.b.c");
        let publish = commands(&published(&wire, MARKER)).remove(0).publish.unwrap();
        let data: serde_json::Value = serde_json::from_slice(&publish.data).unwrap();
        assert_eq!(data["type"], "message");
        let bytes = frame(&[push(&wire, MARKER, 0)]);
        assert_eq!(scanned(&wire, &bytes), [delivery(MARKER, 0)]);
    }

    #[test]
    fn asks_for_what_was_missed() {
        let wire = protobuf(&["--recover"]);
        let mut expected = SubscribeRequest {
            channel: "load-1".into(),
            positioned: true,
            recoverable: true,
            ..Default::default()
        };
        assert_eq!(joined_by(&wire, None), expected);
        (expected.recover, expected.epoch, expected.offset) = (true, "e1".into(), 7);
        let from = Position { epoch: "e1".into(), offset: 7 };
        assert_eq!(joined_by(&wire, Some(&from)), expected);
    }

    #[test]
    fn asks_who_and_what() {
        let wire = protobuf(&[]);
        let mut out = Vec::new();
        wire.request(&mut out, Request::Presence, 1, 5);
        wire.request(&mut out, Request::History, 1, 6);
        let channel = "load-1".to_owned();
        let presence = Some(RoomRequest { channel: channel.clone() });
        let history = Some(HistoryRequest { channel, limit: 20 });
        assert_eq!(
            commands(&out),
            [
                Command { id: REQUEST | 5, presence, ..Default::default() },
                Command { id: REQUEST | 6, history, ..Default::default() },
            ]
        );
    }

    #[test]
    fn reads_every_reply_of_a_frame() {
        let wire = protobuf(&["--recover", "--payload=64-300"]);
        let next = Marker { number: 40, ..MARKER };
        let missed = push(&wire, next, 8).push.unwrap().r#pub.unwrap();
        let presence = messages::Presence { info: Some(ClientInfo::default()) };
        let join = Push { channel: "load-1".into(), join: Some(presence), ..Push::default() };
        let connect = ConnectResult { client: "x".into(), ping: 25, pong: true };
        let history = HistoryResult { publications: vec![missed; 3], ..Default::default() };
        let bytes = frame(&[
            Reply { id: 1, connect: Some(connect), ..Reply::default() },
            Reply { id: 2, subscribe: Some(SubscribeResult::default()), ..Reply::default() },
            push(&wire, MARKER, 7),
            Reply { push: Some(join), ..Reply::default() },
            push(&wire, next, 300),
            Reply::default(),
            Reply { id: 22, publish: Some(Empty {}), ..Reply::default() },
            Reply { id: REQUEST | 1, history: Some(history), ..Reply::default() },
            error(7, "too many requests"),
            error(1, ""),
            error(REQUEST | 9, "not available"),
        ]);
        let refused =
            |id, what, words: &'static str| Seen::Refused { id, what, line: words.as_bytes() };
        let id = REQUEST | 9;
        assert_eq!(
            scanned(&wire, &bytes),
            [
                Seen::Joined { recovered: None, position: None },
                delivery(MARKER, 7),
                delivery(next, 300),
                Seen::Ping,
                Seen::Accepted { number: 19 },
                Seen::Answered { id: REQUEST | 1 },
                refused(7, Refused::Publish { number: 4 }, "too many requests"),
                refused(1, Refused::Join, "an error without words"),
                refused(id, Refused::Request { id }, "not available"),
            ]
        );
        let unwanted = protobuf(&["--payload=64-300"]);
        assert_eq!(scanned(&unwanted, &bytes)[1], delivery(MARKER, 0));
    }

    #[test]
    fn reads_what_was_missed() {
        let wire = protobuf(&["--recover"]);
        let publication = |offset| push(&wire, MARKER, offset).push.unwrap().r#pub.unwrap();
        let broken = Publication { data: b"{}".to_vec(), ..Publication::default() };
        let corrupt = broken.encode_to_vec();
        let result = SubscribeResult {
            recoverable: true,
            epoch: "e1".into(),
            publications: vec![publication(8), publication(9), broken],
            recovered: true,
            offset: 9,
            positioned: true,
            was_recovering: true,
        };
        let missed = |offset| Seen::Delivery { marker: MARKER, offset, recovered: true };
        let position = Some((&b"e1"[..], 9));
        let answer =
            |result| frame(&[Reply { id: 2, subscribe: Some(result), ..Reply::default() }]);
        assert_eq!(
            scanned(&wire, &answer(result.clone())),
            [
                Seen::Joined { recovered: Some(true), position },
                missed(8),
                missed(9),
                Seen::Corrupt(&corrupt)
            ]
        );
        let none = SubscribeResult { publications: vec![], recovered: false, ..result };
        let failed = Seen::Joined { recovered: Some(false), position };
        assert_eq!(scanned(&wire, &answer(none.clone())), [failed]);
        let fresh = SubscribeResult { was_recovering: false, ..none };
        let joined = Seen::Joined { recovered: None, position };
        assert_eq!(scanned(&wire, &answer(fresh)), [joined]);
    }

    #[test]
    fn damaged_replies_are_corrupt() {
        let wire = protobuf(&[]);
        let good = push(&wire, MARKER, 0);
        let bytes = frame(std::slice::from_ref(&good));
        let text = text::find(&bytes).unwrap();
        for at in text..=text + 64 {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            bad.extend(&bytes);
            let all = scanned(&wire, &bad);
            let last = delivery(MARKER, 0);
            assert!(matches!(all[..], [Seen::Corrupt(_), seen] if seen == last), "{at}: {all:?}");
        }
        for cut in 1..bytes.len() {
            let cut = &bytes[..cut];
            assert_eq!(scanned(&wire, cut), [Seen::Corrupt(cut)], "the length is not all there");
        }
        let mut all = Vec::new();
        wire.scan(&bytes, false, |seen| all.push(seen));
        assert_eq!(all, [Seen::Corrupt(&bytes)], "not a binary frame");
        for bad in [&b"\x02\x08\x00"[..], b"\x01\x0b", b"\x06\x08\xff\xff\xff\xff\xff", b"\x01\x80"]
        {
            assert_eq!(scanned(&wire, bad), [Seen::Corrupt(&bad[1..])]);
        }
        let endless = [0xFF; 11];
        assert_eq!(scanned(&wire, &endless), [Seen::Corrupt(&endless)]);
    }

    #[test]
    fn varints_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                push_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(out.len(), prost::encoding::encoded_len_varint(value));
                let mut rest = &out[..];
                assert_eq!((take_varint(&mut rest), rest), (Some(value), &[][..]));
            }
        }
    }
}
