//! What holds for every input: any chunking, any pause, any bytes, both roles.

use super::codec::*;
use super::handshake::{Head, read_head};
use bytes::BytesMut;
use proptest::prelude::*;

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
