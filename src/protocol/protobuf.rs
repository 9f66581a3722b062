//! Client to server: the bytes of a binary frame -> [`Command`]s.
//!
//! A frame carries one or more commands, each with its length before it; a command of no bytes is
//! the answer to a ping. Fields and numbers: `client.proto` of the public protocol. A command
//! borrows from the frame. Unknown fields are ignored, as in the JSON form, and the same rules
//! hold: the same command means the same in both forms. Tests: below.

use super::command::{
    Command, Connect, Data, Frame, History, Malformed, Position, Publish, Refresh, Request, Room,
    Rpc, Send, SubRefresh, Subscribe, checked,
};
use super::wire::{Fields, Value, take_bytes};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The commands in the bytes of one frame.
#[derive(Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Commands<'a> {
    /// Reads the commands in `bytes`, the payload of one frame.
    pub fn new(bytes: &'a [u8]) -> Self {
        Commands { rest: bytes, failed: false }
    }
}

impl<'a> Frame<'a> for Commands<'a> {
    fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let item = take_bytes(&mut self.rest).and_then(command);
        self.failed = item.is_err();
        Some(item)
    }
}

fn command(bytes: &[u8]) -> Result<Command<'_>, Malformed> {
    let (mut id, mut request, mut odd) = (0, None, false);
    for field in Fields(bytes) {
        let (number, value) = field?;
        let next = match number {
            1 => {
                id = u32::try_from(value.number()?).map_err(|_| Malformed)?;
                continue;
            }
            4 => Request::Connect(Box::new(connect(value.bytes()?)?)),
            5 => Request::Subscribe(Box::new(subscribe(value.bytes()?)?)),
            6 => Request::Unsubscribe(room(value.bytes()?)?),
            7 => Request::Publish(publish(value.bytes()?)?),
            8 => Request::Presence(room(value.bytes()?)?),
            9 => Request::PresenceStats(room(value.bytes()?)?),
            10 => Request::History(history(value.bytes()?)?),
            11 => value.bytes().map(|_| Request::Ping)?,
            12 => Request::Send(send(value.bytes()?)?),
            13 => Request::Rpc(rpc(value.bytes()?)?),
            14 => Request::Refresh(refresh(value.bytes()?)?),
            15 => Request::SubRefresh(sub_refresh(value.bytes()?)?),
            _ => continue,
        };
        odd |= request.is_some();
        request = Some(next);
    }
    checked(id, request, odd)
}

fn connect(bytes: &[u8]) -> Result<Connect<'_>, Malformed> {
    let mut connect = Connect::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => connect.token = value.text()?,
            2 => connect.data = value.data()?,
            3 => {
                let (channel, sub) = sub(value.bytes()?)?;
                connect.subs.insert(channel, sub);
            }
            4 => connect.name = value.text()?,
            5 => connect.version = value.text()?,
            _ => {}
        }
    }
    Ok(connect)
}

/// An entry of `connect.subs`: a room and how it is subscribed to.
fn sub(bytes: &[u8]) -> Result<(Cow<'_, str>, Subscribe<'_>), Malformed> {
    let (mut channel, mut sub) = Default::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => channel = value.text()?,
            2 => sub = subscribe(value.bytes()?)?,
            _ => {}
        }
    }
    Ok((channel, sub))
}

fn subscribe(bytes: &[u8]) -> Result<Subscribe<'_>, Malformed> {
    let mut subscribe = Subscribe::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => subscribe.channel = value.text()?,
            2 => subscribe.token = value.text()?,
            3 => subscribe.recover = value.flag()?,
            6 => subscribe.epoch = value.text()?,
            7 => subscribe.offset = value.number()?,
            8 => subscribe.data = value.data()?,
            9 => subscribe.positioned = value.flag()?,
            10 => subscribe.recoverable = value.flag()?,
            11 => subscribe.join_leave = value.flag()?,
            _ => {}
        }
    }
    Ok(subscribe)
}

/// `UnsubscribeRequest`, `PresenceRequest` and `PresenceStatsRequest`.
fn room(bytes: &[u8]) -> Result<Room<'_>, Malformed> {
    let mut room = Room::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        if number == 1 {
            room.channel = value.text()?;
        }
    }
    Ok(room)
}

fn publish(bytes: &[u8]) -> Result<Publish<'_>, Malformed> {
    let mut publish = Publish::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => publish.channel = value.text()?,
            2 => publish.data = value.data()?,
            _ => {}
        }
    }
    Ok(publish)
}

fn history(bytes: &[u8]) -> Result<History<'_>, Malformed> {
    let mut history = History::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => history.channel = value.text()?,
            // A negative int32 stands there as 64 bits.
            7 => history.limit = value.number()? as i32,
            8 => history.since = Some(position(value.bytes()?)?),
            9 => history.reverse = value.flag()?,
            _ => {}
        }
    }
    Ok(history)
}

fn position(bytes: &[u8]) -> Result<Position<'_>, Malformed> {
    let mut position = Position::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => position.offset = value.number()?,
            2 => position.epoch = value.text()?,
            _ => {}
        }
    }
    Ok(position)
}

fn send(bytes: &[u8]) -> Result<Send<'_>, Malformed> {
    let mut send = Send::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        if number == 1 {
            send.data = value.data()?;
        }
    }
    Ok(send)
}

fn rpc(bytes: &[u8]) -> Result<Rpc<'_>, Malformed> {
    let mut rpc = Rpc::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => rpc.data = value.data()?,
            2 => rpc.method = value.text()?,
            _ => {}
        }
    }
    Ok(rpc)
}

fn refresh(bytes: &[u8]) -> Result<Refresh<'_>, Malformed> {
    let mut refresh = Refresh::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        if number == 1 {
            refresh.token = value.text()?;
        }
    }
    Ok(refresh)
}

fn sub_refresh(bytes: &[u8]) -> Result<SubRefresh<'_>, Malformed> {
    let mut sub_refresh = SubRefresh::default();
    for field in Fields(bytes) {
        let (number, value) = field?;
        match number {
            1 => sub_refresh.channel = value.text()?,
            2 => sub_refresh.token = value.text()?,
            _ => {}
        }
    }
    Ok(sub_refresh)
}

impl<'a> Value<'a> {
    fn number(self) -> Result<u64, Malformed> {
        match self {
            Value::Number(number) => Ok(number),
            Value::Bytes(_) | Value::Fixed => Err(Malformed),
        }
    }

    fn flag(self) -> Result<bool, Malformed> {
        self.number().map(|number| number != 0)
    }

    fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Number(_) | Value::Fixed => Err(Malformed),
        }
    }

    fn text(self) -> Result<Cow<'a, str>, Malformed> {
        std::str::from_utf8(self.bytes()?).map(Cow::Borrowed).map_err(|_| Malformed)
    }

    /// A payload. Empty, or the JSON value `null`: none, as in the JSON form.
    fn data(self) -> Result<Option<Data<'a>>, Malformed> {
        let bytes = self.bytes()?;
        Ok(match serde_json::from_slice::<&RawValue>(bytes).map(RawValue::get) {
            Ok("null") => None,
            Ok(text) => Some(Data::Json(text)),
            Err(_) if bytes.is_empty() => None,
            Err(_) => Some(Data::Binary(bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{command, wire};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    /// The fields of a message, by hand, so that nothing here shares a table with the reader.
    #[derive(Debug, Clone, Default)]
    struct Bytes(Vec<u8>);

    impl Bytes {
        fn bytes(mut self, field: u8, bytes: impl AsRef<[u8]>) -> Bytes {
            if !bytes.as_ref().is_empty() {
                wire::put_bytes(&mut self.0, field, bytes.as_ref());
            }
            self
        }

        fn number(mut self, field: u8, number: u64) -> Bytes {
            if number > 0 {
                wire::put_number(&mut self.0, field, number);
            }
            self
        }

        /// A message is there even when it is empty.
        fn message(mut self, field: u8, message: Bytes) -> Bytes {
            wire::put_bytes(&mut self.0, field, &message.0);
            self
        }
    }

    /// One command with its length before it.
    fn framed(id: u64, field: u8, request: Bytes) -> Vec<u8> {
        let command = Bytes::default().number(1, id).message(field, request).0;
        let mut out = Vec::new();
        wire::put_varint(&mut out, command.len() as u64);
        out.extend(command);
        out
    }

    #[test]
    fn commands_of_a_frame() {
        let subscribe = Bytes::default().bytes(1, "a").number(3, 1).bytes(6, "e").number(7, 300);
        let mut frame = framed(1, 4, Bytes::default());
        frame.extend(framed(2, 5, subscribe.bytes(12, "fossil").number(14, 1)));
        frame.push(0);
        frame.extend(framed(0, 12, Bytes::default().bytes(1, b"\xff")));
        let mut commands = Commands::new(&frame);
        let mut next = || commands.next().unwrap().unwrap();
        assert_eq!(next(), Command { id: 1, request: Request::Connect(Default::default()) });
        let subscribe = Subscribe {
            channel: "a".into(),
            recover: true,
            epoch: "e".into(),
            offset: 300,
            ..Default::default()
        };
        assert_eq!(next(), Command { id: 2, request: Request::Subscribe(Box::new(subscribe)) });
        assert_eq!(next(), Command { id: 0, request: Request::Pong });
        let send = Send { data: Some(Data::Binary(b"\xff")) };
        assert_eq!(next(), Command { id: 0, request: Request::Send(send) });
        assert_eq!(commands.next(), None);
    }

    #[test]
    fn malformed_frames() {
        let check = |what: &str, frame: &[u8]| {
            let mut commands = Commands::new(frame);
            assert_eq!(commands.next(), Some(Err(Malformed)), "{what}");
            assert_eq!(commands.next(), None, "{what}");
        };
        let raw = |command: Bytes| {
            let mut out = vec![command.0.len() as u8];
            out.extend(command.0);
            out
        };
        check("no id", &framed(0, 4, Bytes::default()));
        check("an id alone", &raw(Bytes::default().number(1, 1)));
        check("an id that is too large", &framed(1 << 32, 11, Bytes::default()));
        check("an unknown request", &framed(1, 3, Bytes::default()));
        let two = Bytes::default().number(1, 1).message(11, Bytes::default());
        check("two requests", &raw(two.message(8, Bytes::default())));
        check("a number for a room", &framed(1, 5, Bytes::default().number(1, 1)));
        check("no UTF-8", &framed(1, 5, Bytes::default().bytes(1, b"\xff")));
        check("a text for a flag", &framed(1, 5, Bytes::default().bytes(3, "x")));
        check("a number for a request", &raw(Bytes::default().number(1, 1).number(11, 1)));
        check("text", b"{\"id\":1,\"connect\":{}}");
        let whole = framed(1, 7, Bytes::default().bytes(1, "r").bytes(2, "1"));
        for cut in 1..whole.len() {
            check("cut", &whole[..cut]);
        }
    }

    #[test]
    fn the_rest_of_a_frame_can_be_kept() {
        let mut frame = framed(1, 4, Bytes::default());
        let ping = framed(2, 11, Bytes::default());
        frame.extend(&ping);
        let mut commands = Commands::new(&frame);
        assert_eq!(commands.rest(), frame);
        commands.next().unwrap().unwrap();
        assert_eq!(commands.rest(), ping);
        commands.next().unwrap().unwrap();
        assert_eq!(commands.rest(), b"");
    }

    #[test]
    fn payloads() {
        let check = |bytes: &[u8], expect| assert_eq!(Value::Bytes(bytes).data(), Ok(expect));
        check(b"{\"a\": 1}", Some(Data::Json("{\"a\": 1}")));
        check(b" 1\n", Some(Data::Json("1")));
        check(b"", None);
        check(b"null", None);
        check(b"nul", Some(Data::Binary(b"nul")));
        check(b"1 2", Some(Data::Binary(b"1 2")));
        check(b"\"\xff\"", Some(Data::Binary(b"\"\xff\"")));
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        check(deep.as_bytes(), Some(Data::Json(&deep)));
    }

    /// Any JSON value but `null`.
    fn value() -> impl Strategy<Value = Json> {
        prop_oneof![
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            ".*".prop_map(Json::from),
            proptest::collection::vec(".*", 0..3).prop_map(Json::from),
            proptest::collection::btree_map(".*", any::<u32>(), 0..3).prop_map(|map| json!(map)),
        ]
    }

    type Form = (&'static str, u8, Json, Bytes);

    fn subscribe() -> impl Strategy<Value = (Json, Bytes)> {
        let texts = (".*", ".*", ".*", any::<u64>(), value());
        (texts, any::<[bool; 4]>()).prop_map(|((channel, token, epoch, offset, data), flags)| {
            let [recover, positioned, recoverable, join_leave] = flags;
            let text = data.to_string();
            let json = json!({
                "channel": channel, "token": token, "recover": recover, "epoch": epoch,
                "offset": offset, "data": data, "positioned": positioned,
                "recoverable": recoverable, "join_leave": join_leave,
            });
            let bytes =
                Bytes::default().bytes(1, channel).bytes(2, token).number(3, recover.into());
            let bytes = bytes.bytes(6, epoch).number(7, offset).bytes(8, text);
            let bytes = bytes.number(9, positioned.into()).number(10, recoverable.into());
            (json, bytes.number(11, join_leave.into()))
        })
    }

    fn connect() -> impl Strategy<Value = (Json, Bytes)> {
        let subs = proptest::collection::btree_map(".*", subscribe(), 0..3);
        (".*", value(), ".*", ".*", subs).prop_map(|(token, data, name, version, subs)| {
            let json_subs: serde_json::Map<_, _> =
                subs.iter().map(|(channel, (json, _))| (channel.clone(), json.clone())).collect();
            let json = json!({
                "token": token, "data": data, "name": name, "version": version, "subs": json_subs,
            });
            let mut bytes = Bytes::default().bytes(1, token).bytes(2, data.to_string());
            for (channel, (_, sub)) in subs {
                bytes = bytes.message(3, Bytes::default().bytes(1, channel).message(2, sub));
            }
            (json, bytes.bytes(4, name).bytes(5, version))
        })
    }

    /// A request in both forms: its name, its number, its fields.
    fn request() -> impl Strategy<Value = Form> {
        let room = |name, number| {
            ".*".prop_map(move |channel: String| {
                (name, number, json!({"channel": channel}), Bytes::default().bytes(1, channel))
            })
        };
        let history = (".*", any::<i32>(), any::<u64>(), ".*", any::<bool>());
        prop_oneof![
            connect().prop_map(|(json, bytes)| ("connect", 4, json, bytes)),
            subscribe().prop_map(|(json, bytes)| ("subscribe", 5, json, bytes)),
            room("unsubscribe", 6),
            room("presence", 8),
            room("presence_stats", 9),
            (".*", value()).prop_map(|(channel, data)| {
                let bytes = Bytes::default().bytes(1, &channel).bytes(2, data.to_string());
                ("publish", 7, json!({"channel": channel, "data": data}), bytes)
            }),
            history.prop_map(|(channel, limit, offset, epoch, reverse)| {
                let json = json!({
                    "channel": channel, "limit": limit, "reverse": reverse,
                    "since": {"offset": offset, "epoch": epoch},
                });
                let since = Bytes::default().number(1, offset).bytes(2, epoch);
                let bytes = Bytes::default().bytes(1, channel).number(7, i64::from(limit) as u64);
                ("history", 10, json, bytes.message(8, since).number(9, reverse.into()))
            }),
            Just(()).prop_map(|()| ("ping", 11, json!({}), Bytes::default())),
            value().prop_map(|data| {
                let bytes = Bytes::default().bytes(1, data.to_string());
                ("send", 12, json!({"data": data}), bytes)
            }),
            (".*", value()).prop_map(|(method, data)| {
                let bytes = Bytes::default().bytes(1, data.to_string()).bytes(2, &method);
                ("rpc", 13, json!({"method": method, "data": data}), bytes)
            }),
            ".*".prop_map(|token| {
                ("refresh", 14, json!({"token": token}), Bytes::default().bytes(1, token))
            }),
            (".*", ".*").prop_map(|(channel, token)| {
                let bytes = Bytes::default().bytes(1, &channel).bytes(2, &token);
                ("sub_refresh", 15, json!({"channel": channel, "token": token}), bytes)
            }),
        ]
    }

    proptest! {
        #[test]
        fn both_forms_of_a_command_are_the_same(
            id in 0..u32::MAX,
            (name, number, json, bytes) in request(),
        ) {
            let text = json!({"id": id, name: json}).to_string();
            let frame = framed(id.into(), number, bytes);
            let text: Vec<_> = command::Commands::new(&text).collect();
            let binary: Vec<_> = Commands::new(&frame).collect();
            prop_assert_eq!(text.len(), 1);
            prop_assert_eq!(text, binary);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut commands = Commands::new(&bytes);
            let count = commands.by_ref().count();
            prop_assert!(count <= bytes.len());
        }

        /// Bytes that are nearly right go further into the reader.
        #[test]
        fn damaged_commands_are_read_to_an_end(
            (_, number, _, bytes) in request(),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut frame = framed(1, number, bytes);
            let at = at.index(frame.len());
            frame[at] = byte;
            let _ = Commands::new(&frame).count();
        }
    }
}
