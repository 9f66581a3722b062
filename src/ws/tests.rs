//! The decoder rule by rule; then what holds for every input: any chunking, any pause, any bytes,
//! both roles.

use super::codec::*;
use super::handshake::{Head, read_head};
use bytes::BytesMut;
use proptest::prelude::*;

/// What a decoder said about some bytes: the messages, then the violation if there was one.
fn said(mut decoder: Decoder, chunks: &[&[u8]]) -> (Vec<String>, Option<Violation>) {
    let mut messages = Vec::new();
    for chunk in chunks {
        let mut bytes = chunk.to_vec();
        let mut feed = decoder.feed(&mut bytes);
        loop {
            match feed.next() {
                Ok(Some(message)) => messages.push(format!("{message:?}")),
                Ok(None) => break,
                Err(violation) => {
                    assert_eq!(feed.next(), Ok(None), "after a violation");
                    drop(feed);
                    assert_eq!(decoder.held_bytes(), 0, "after a violation");
                    return (messages, Some(violation));
                }
            }
        }
    }
    (messages, None)
}

#[test]
fn a_decoder_is_small() {
    assert_eq!(size_of::<Decoder>(), 16);
    assert_eq!(Decoder::server(65_536).held_bytes(), 0);
}

#[test]
fn frames_of_a_server() {
    let check = |chunks: &[&[u8]], expect: &[&str]| {
        assert_eq!(said(Decoder::client(1_000), chunks), (strings(expect), None));
    };
    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| s.to_string()).collect()
    }
    // RFC 6455 section 5.7.
    check(&[b"\x81\x05Hello"], &["Text(\"Hello\")"]);
    check(&[b"\x01\x03Hel\x80\x02lo"], &["Text(\"Hello\")"]);
    check(&[b"\x01\x03Hel", b"\x80\x02lo"], &["Text(\"Hello\")"]);
    check(&[b"\x89\x05Hello"], &["Ping([72, 101, 108, 108, 111])"]);
    check(&[b"\x81", b"\x05Hel", b"", b"lo\x82", b"\x01!"], &["Text(\"Hello\")", "Binary([33])"]);
    // A control frame between fragments comes out at once; fragments may be empty.
    check(
        &[b"\x01\x00\x00\x01a\x8a\x00\x80\x00\x81\x00"],
        &["Pong([])", "Text(\"a\")", "Text(\"\")"],
    );
    // A character split across fragments.
    check(&[b"\x01\x01\xc3\x80\x01\xa4"], &["Text(\"ä\")"]);
    check(&[b"\x88\x00"], &["Close(None)"]);
    check(&[b"\x88\x04\x03\xe8ok"], &["Close(Some((1000, \"ok\")))"]);
    // Nothing counts after a Close, not even nonsense.
    check(&[b"\x88\x00\x81\x01a", b"\xff\xff"], &["Close(None)"]);
}

#[test]
fn a_masked_frame_is_unmasked_where_it_lies() {
    let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::server(1_000);
    let mut feed = decoder.feed(&mut bytes);
    let Ok(Some(Message::Text(text))) = feed.next() else { panic!("no text") };
    assert_eq!(text, "Hello");
    assert!(range.contains(&text.as_ptr()), "copied");
    drop(feed);
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn every_violation() {
    let check = |decoder: Decoder, bytes: &[u8], code: u16, reason: &str| {
        let whole = said(decoder, &[bytes]).1;
        let found = whole.map(|violation| (violation.code, violation.reason));
        assert_eq!(found, Some((code, reason)), "{bytes:02x?}");
    };
    let server = || Decoder::server(1_000);
    let client = || Decoder::client(1_000);
    check(server(), b"\x81\x01a", 1002, "frame not masked");
    check(client(), b"\x81\x81\x00\x00\x00\x00a", 1002, "frame masked");
    for rsv in [0x40, 0x20, 0x10] {
        check(client(), &[0x81 | rsv, 0], 1002, "reserved bit set");
    }
    for opcode in (3..8).chain(11..16) {
        check(client(), &[0x80 | opcode, 0], 1002, "reserved opcode");
    }
    check(client(), b"\x09\x00", 1002, "control frame fragmented");
    check(client(), b"\x89\x7e\x00\x7e", 1002, "control frame longer than 125 bytes");
    check(client(), b"\x80\x00", 1002, "continuation of nothing");
    check(client(), b"\x01\x00\x80\x00\x80\x00", 1002, "continuation of nothing");
    check(client(), b"\x01\x00\x81\x00", 1002, "new message within a fragmented one");
    check(client(), b"\x88\x01\x03", 1002, "close frame of one byte");
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535_u16] {
        let [high, low] = code.to_be_bytes();
        check(client(), &[0x88, 2, high, low], 1002, "close code not allowed");
    }
    check(client(), b"\x88\x03\x03\xe8\xff", 1007, "text is not UTF-8");
    check(client(), b"\x81\x01\xff", 1007, "text is not UTF-8");
    check(client(), b"\x81\x01\xc3", 1007, "text is not UTF-8");
    check(client(), b"\x01\x01\xc3\x80\x00", 1007, "text is not UTF-8");
    // At the fragment that breaks it, not at the end of the message.
    check(client(), b"\x01\x01\xff", 1007, "text is not UTF-8");
    check(client(), b"\x01\x01\xc3\x00\x01a", 1007, "text is not UTF-8");
    check(client(), b"\x01\x02\xed\xa0", 1007, "text is not UTF-8");
    // At the first two bytes, before the rest of the head comes.
    check(server(), b"\x83\xff", 1002, "reserved opcode");
    check(server(), b"\x88\xff", 1002, "control frame longer than 125 bytes");
    // At the head, before the payload comes.
    check(client(), b"\x82\x7e\x03\xe9", 1009, "message too big");
    check(client(), b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 1009, "message too big");
    check(client(), b"\x02\x01a\x80\x7e\x03\xe8", 1009, "message too big");
}

#[test]
fn allowed_close_codes() {
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999_u16]) {
        let [high, low] = code.to_be_bytes();
        let found = said(Decoder::client(0), &[&[0x88, 2, high, low]]);
        assert_eq!(found, (vec![format!("Close(Some(({code}, \"\")))")], None));
    }
}

#[test]
fn memory_grows_with_what_arrived() {
    let mut decoder = Decoder::client(65_536);
    // A head that announces 65,536 bytes takes no such memory.
    decoder.feed(&mut [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert!(decoder.has_rest());
    assert!(decoder.held_bytes() < 200, "{}", decoder.held_bytes());
    for _ in 0..65_535 {
        let mut byte = [b'a'];
        assert_eq!(decoder.feed(&mut byte).next(), Ok(None));
    }
    assert!(decoder.held_bytes() < 66_000, "{}", decoder.held_bytes());
    let mut last = [b'a'];
    let mut feed = decoder.feed(&mut last);
    assert_eq!(feed.next(), Ok(Some(Message::Binary(&[b'a'; 65_536]))));
    drop(feed);
    assert!(!decoder.has_rest());
    assert_eq!(decoder.held_bytes(), 0);
}

/// A message with memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Owned {
        match message {
            Message::Text(text) => Owned::Text(text.into()),
            Message::Binary(bytes) => Owned::Binary(bytes.into()),
            Message::Ping(bytes) => Owned::Ping(bytes.into()),
            Message::Pong(bytes) => Owned::Pong(bytes.into()),
            Message::Close(close) => Owned::Close(close.map(|(code, why)| (code, why.into()))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Server,
    Client,
}

const MESSAGE_MAX: u32 = 100_000;

impl Role {
    fn decoder(self) -> Decoder {
        match self {
            Role::Server => Decoder::server(MESSAGE_MAX),
            Role::Client => Decoder::client(MESSAGE_MAX),
        }
    }

    /// One frame as the other side sends it to this role.
    fn frame(self, out: &mut BytesMut, opcode: OpCode, payload: &[u8], is_final: bool) {
        let start = out.len();
        match self {
            Role::Server => masked_frame(out, opcode, payload, [0x12, 0x34, 0xab, 0xff]),
            Role::Client => {
                let (head, head_len) = frame_head(opcode, payload.len());
                out.extend_from_slice(&head[..head_len]);
                out.extend_from_slice(payload);
            }
        }
        if !is_final {
            out[start] &= 0x7f;
        }
    }

    /// A message in one frame, or data messages cut into fragments of `fragment` bytes with a
    /// pong between them.
    fn message(self, out: &mut BytesMut, message: &Owned, fragment: Option<usize>) {
        let (opcode, payload) = match message {
            Owned::Text(text) => (OpCode::Data(Data::Text), text.as_bytes().to_vec()),
            Owned::Binary(bytes) => (OpCode::Data(Data::Binary), bytes.clone()),
            Owned::Ping(bytes) => (OpCode::Control(Control::Ping), bytes.clone()),
            Owned::Pong(bytes) => (OpCode::Control(Control::Pong), bytes.clone()),
            Owned::Close(None) => (OpCode::Control(Control::Close), Vec::new()),
            Owned::Close(Some((code, reason))) => {
                let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
                (OpCode::Control(Control::Close), payload)
            }
        };
        let Some(size) = fragment.filter(|_| matches!(opcode, OpCode::Data(_))) else {
            return self.frame(out, opcode, &payload, true);
        };
        self.frame(out, opcode, &payload[..size.min(payload.len())], false);
        for chunk in payload.get(size..).unwrap_or_default().chunks(size) {
            self.frame(out, OpCode::Control(Control::Ping), b"between", true);
            self.frame(out, OpCode::Data(Data::Continue), chunk, false);
        }
        self.frame(out, OpCode::Data(Data::Continue), b"", true);
    }
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![
        8 => 0..200usize,
        4 => 100..1_000usize,
        1 => 65_000..66_000usize,
    ];
    (any::<u8>(), size)
        .prop_map(|(first, size)| (0..size).map(|i| first.wrapping_add((i * 7) as u8)).collect())
}

fn message() -> impl Strategy<Value = Owned> {
    let control = || proptest::collection::vec(any::<u8>(), 0..=CONTROL_PAYLOAD_MAX);
    prop_oneof![
        4 => "[a-z ä€🙂]{0,200}".prop_map(Owned::Text),
        3 => payload().prop_map(Owned::Binary),
        1 => control().prop_map(Owned::Ping),
        1 => control().prop_map(Owned::Pong),
    ]
}

/// Messages with the size of their fragments, if they are cut.
fn messages() -> impl Strategy<Value = Vec<(Owned, Option<usize>)>> {
    let fragment = prop_oneof![3 => Just(None), 1 => (1..300usize).prop_map(Some)];
    proptest::collection::vec((message(), fragment), 0..12)
}

/// Sizes into which bytes are cut, used in turn.
fn chunks() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![4 => 1..20usize, 2 => 20..2_000usize, 1 => 10_000..200_000usize];
    proptest::collection::vec(size, 1..8)
}

/// Feeds `bytes` cut into `chunks`. After `pause` messages of a feed, that feed is dropped, and the
/// decoder goes on with what it keeps, as for a connection that has to wait.
fn decode(
    decoder: &mut Decoder,
    bytes: &[u8],
    chunks: &[usize],
    pause: usize,
) -> Result<Vec<Owned>, Violation> {
    let mut found = Vec::new();
    let mut sizes = chunks.iter().cycle();
    let mut left = bytes;
    while let (false, Some(size)) = (left.is_empty(), sizes.next()) {
        let (chunk, rest) = left.split_at((*size).min(left.len()));
        left = rest;
        let mut buffer = chunk.to_vec();
        loop {
            let mut feed = decoder.feed(&mut buffer);
            let mut taken = 0;
            while taken < pause {
                let Some(message) = feed.next()? else { break };
                found.push(message.into());
                taken += 1;
            }
            drop(feed);
            buffer.clear();
            if taken < pause {
                break;
            }
        }
    }
    Ok(found)
}

fn without_between(messages: Vec<Owned>) -> Vec<Owned> {
    messages.into_iter().filter(|m| *m != Owned::Ping(b"between".to_vec())).collect()
}

proptest! {
    #[test]
    fn any_chunking_and_any_pause_yield_the_same_messages(
        role in role(),
        messages in messages(),
        close in proptest::option::of((3000..5000u16, "[a-zä]{0,40}")),
        chunks in chunks(),
        pause in prop_oneof![Just(usize::MAX), 1..4usize],
    ) {
        let mut bytes = BytesMut::new();
        for (message, fragment) in &messages {
            role.message(&mut bytes, message, *fragment);
        }
        let mut expect: Vec<Owned> = messages.into_iter().map(|(message, _)| message).collect();
        let close = Owned::Close(close);
        role.message(&mut bytes, &close, None);
        expect.push(close);
        let mut decoder = role.decoder();
        let found = decode(&mut decoder, &bytes, &chunks, pause).unwrap();
        prop_assert_eq!(without_between(found), expect);
        prop_assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn what_the_server_encodes_a_client_decodes(text in "\\PC{0,300}", bytes in payload()) {
        let mut out = BytesMut::new();
        text_frame(&mut out, text.as_bytes());
        text_frame_with(&mut out, |out| out.extend_from_slice(text.as_bytes()));
        binary_frame(&mut out, &bytes);
        out.extend_from_slice(&ping_frame(&bytes));
        out.extend_from_slice(&pong_frame(b"p"));
        out.extend_from_slice(&close_frame(3001, &text));
        let mut decoder = Decoder::client(MESSAGE_MAX);
        let found = decode(&mut decoder, &out, &[usize::MAX], usize::MAX).unwrap();
        prop_assert_eq!(&found[..3], &[
            Owned::Text(text.clone()), Owned::Text(text.clone()), Owned::Binary(bytes.clone()),
        ]);
        let cut = &bytes[..bytes.len().min(CONTROL_PAYLOAD_MAX)];
        prop_assert_eq!(&found[3..5], &[Owned::Ping(cut.to_vec()), Owned::Pong(b"p".to_vec())]);
        let Owned::Close(Some((3001, reason))) = &found[5] else { panic!("{:?}", found[5]) };
        prop_assert!(text.starts_with(reason.as_str()));
    }

    #[test]
    fn any_bytes_neither_panic_nor_take_memory(
        role in role(),
        bytes in proptest::collection::vec(
            // Likely first and second bytes, so that some heads are valid.
            prop_oneof![Just(0x81u8), Just(0x01), Just(0x80), Just(0x82), Just(0xfe), any::<u8>()],
            0..3_000,
        ),
        chunks in chunks(),
        pause in 1..4usize,
    ) {
        let max = 1_000;
        let mut decoder = match role {
            Role::Server => Decoder::server(max),
            Role::Client => Decoder::client(max),
        };
        for chunk in bytes.chunks(chunks[0]) {
            if decode(&mut decoder, chunk, &chunks, pause).is_err() {
                prop_assert_eq!(decoder.held_bytes(), 0);
            }
            prop_assert!(decoder.held_bytes() <= 2 * max as usize + 14 + 128);
        }
    }

    #[test]
    fn any_head_gets_an_answer(bytes: Vec<u8>, limit in 1..100usize) {
        if read_head(&bytes, limit) == Head::Incomplete {
            prop_assert!(bytes.len() < limit);
        }
    }
}
