//! Bytes to messages.
//!
//! Owns what has to be remembered between two reads: the rest of an unfinished frame, and the
//! fragments of an unfinished message, both in memory that exists only meanwhile. A frame that
//! lies wholly in the read buffer is unmasked and handed out where it lies. It never waits for a
//! payload whose head already breaks a rule, and says nothing more after a violation or a Close.
//! Tests: `tests.rs`, for each rule, any chunking and any bytes.

use super::encode::CONTROL_PAYLOAD_MAX;
use super::mask::apply_mask;
use std::ops::Range;
use std::str::from_utf8;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// One message or control frame of the peer, borrowed from the read buffer or the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, to be answered by a pong with the same payload, at most 125 bytes.
    Ping(&'a [u8]),
    /// A pong, at most 125 bytes.
    Pong(&'a [u8]),
    /// The peer closes, with a code and a reason if it gave them. Nothing follows.
    Close(Option<(u16, &'a str)>),
}

/// The peer broke RFC 6455: the connection is to be closed with this code and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// 1002 protocol error, 1007 invalid UTF-8, 1009 message too big.
    pub code: u16,
    /// What was wrong, short enough for a Close frame.
    pub reason: &'static str,
}

const fn protocol(reason: &'static str) -> Violation {
    Violation { code: 1002, reason }
}

const NOT_UTF8: Violation = Violation { code: 1007, reason: "text is not UTF-8" };
const TOO_BIG: Violation = Violation { code: 1009, reason: "message too big" };

/// The reading side of one connection: 16 bytes while nothing is unfinished.
///
/// Memory: it grows with the bytes that arrived, not with what a head announces. An unfinished
/// frame takes its own size at most, an unfinished fragmented message the limit at most, so that
/// twice the limit and a frame head bound both together. A caller that pauses (see
/// [`Decoder::feed`]) adds the bytes that it had read already.
#[derive(Debug)]
pub struct Decoder {
    kept: Option<Box<Kept>>,
    /// Bytes of one message, fragments together.
    message_max: u32,
    /// Frames must be masked (we are the server) or must not be (we are the client).
    masked: bool,
    /// After a violation or a Close: whatever comes is ignored.
    done: bool,
}

/// What outlives a read.
#[derive(Debug, Default)]
struct Kept {
    /// Bytes not yet decoded; those before `start` are done with.
    rest: Vec<u8>,
    start: usize,
    /// The fragments so far, unmasked.
    message: Vec<u8>,
    /// A fragmented message is open.
    open: Option<Kind>,
    /// How much of `message` is known to be UTF-8; less than its length by a split character.
    valid: usize,
    /// `message` was handed out whole and may go.
    delivered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
    Ping,
    Pong,
    Close,
}

/// Where a payload lies.
#[derive(Debug, Clone)]
enum Place {
    Input(Range<usize>),
    Rest(Range<usize>),
    Message,
}

/// A frame head that passed every check that a head alone allows.
#[derive(Debug, Clone, Copy)]
struct Head {
    opcode: OpCode,
    is_final: bool,
    mask: Option<[u8; 4]>,
    len: usize,
    payload_len: usize,
}

impl Head {
    fn frame_len(&self) -> usize {
        self.len + self.payload_len
    }
}

impl Decoder {
    /// For the server's side: frames must be masked. `message_max`: bytes of one message.
    pub fn server(message_max: u32) -> Decoder {
        Decoder { kept: None, message_max, masked: true, done: false }
    }

    /// For the client's side: frames must not be masked. `message_max`: bytes of one message.
    pub fn client(message_max: u32) -> Decoder {
        Decoder { kept: None, message_max, masked: false, done: false }
    }

    /// Takes bytes as they were read; [`Feed::next`] then yields the messages one by one.
    ///
    /// `bytes` are unmasked in place. What is left when the feed is dropped, be it the beginning
    /// of a frame or whole frames because the caller stopped in the middle, is kept and comes
    /// first in the next feed; `feed(&mut [])` goes on with what is kept.
    pub fn feed<'a>(&'a mut self, bytes: &'a mut [u8]) -> Feed<'a> {
        Feed { decoder: self, input: bytes, at: 0 }
    }

    /// Whether bytes are kept that were not decoded yet: part of a frame, or, after a pause,
    /// whole frames.
    pub fn has_rest(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.start < kept.rest.len())
    }

    /// Bytes of memory held for what is unfinished; 0 while idle.
    pub fn held_bytes(&self) -> usize {
        self.kept
            .as_ref()
            .map_or(0, |kept| size_of::<Kept>() + kept.rest.capacity() + kept.message.capacity())
    }

    /// Reads and checks the head of the frame that begins at `bytes[0]`; `None`: not all there.
    ///
    /// Not by tungstenite's `FrameHeader::parse`: that costs 40 ns more per frame (65 against 25 ns
    /// for 128 bytes), and refuses nothing before the whole head is there.
    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(protocol("reserved bit set"));
        }
        if (second & 0x80 != 0) != self.masked {
            return Err(protocol(if self.masked { "frame not masked" } else { "frame masked" }));
        }
        let opcode = OpCode::from(first & 0x0f);
        let is_final = first & 0x80 != 0;
        let short = second & 0x7f;
        match opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                return Err(protocol("reserved opcode"));
            }
            OpCode::Control(_) if !is_final => return Err(protocol("control frame fragmented")),
            OpCode::Control(_) if usize::from(short) > CONTROL_PAYLOAD_MAX => {
                return Err(protocol("control frame longer than 125 bytes"));
            }
            _ => {}
        }
        let (payload_len, rest) = match (short, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
            }
            (126 | 127, _) => return Ok(None),
            (len, rest) => (u64::from(len), rest),
        };
        if let OpCode::Data(data) = opcode {
            self.check_data(data, payload_len)?;
        }
        let (mask, rest) = match rest {
            _ if !self.masked => (None, rest),
            [a, b, c, d, rest @ ..] => (Some([*a, *b, *c, *d]), rest),
            _ => return Ok(None),
        };
        Ok(Some(Head {
            opcode,
            is_final,
            mask,
            len: bytes.len() - rest.len(),
            payload_len: payload_len as usize,
        }))
    }

    fn check_data(&self, data: Data, payload_len: u64) -> Result<(), Violation> {
        let open = self.kept.as_ref().filter(|kept| kept.open.is_some());
        match (data, open.is_some()) {
            (Data::Continue, false) => return Err(protocol("continuation of nothing")),
            (Data::Text | Data::Binary, true) => {
                return Err(protocol("new message within a fragmented one"));
            }
            _ => {}
        }
        let so_far = open.map_or(0, |kept| kept.message.len());
        let left = u64::from(self.message_max).saturating_sub(so_far as u64);
        if payload_len > left { Err(TOO_BIG) } else { Ok(()) }
    }

    /// Gives back the memory of what is finished.
    fn release(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if kept.delivered {
            kept.message = Vec::new();
            kept.delivered = false;
            kept.valid = 0;
        }
        if kept.start == kept.rest.len() {
            kept.rest = Vec::new();
            kept.start = 0;
            if kept.open.is_none() {
                self.kept = None;
            }
        }
    }

    /// Keeps bytes that were not decoded.
    fn keep(&mut self, bytes: &[u8]) {
        let kept = self.kept.get_or_insert_default();
        // Only when it moves no more than it frees, so that pausing often stays cheap.
        if kept.start >= kept.rest.len() - kept.start {
            kept.compact();
        }
        if kept.rest.is_empty() {
            kept.rest = bytes.to_vec();
        } else {
            kept.rest.extend_from_slice(bytes);
        }
    }
}

impl Kept {
    fn compact(&mut self) {
        self.rest.drain(..self.start);
        self.start = 0;
    }

    /// Appends `bytes` to the rest, which waits for `missing` bytes in all.
    fn add_to_rest(&mut self, bytes: &[u8], missing: usize) {
        self.compact();
        let len_max = self.rest.len() + missing;
        append(&mut self.rest, bytes, len_max);
    }

    /// Adds one fragment of a message of at most `message_max` bytes; with the last one the
    /// message is whole.
    fn add_fragment(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        is_final: bool,
        message_max: usize,
    ) -> Result<(), Violation> {
        append(&mut self.message, bytes, message_max);
        self.open = (!is_final).then_some(kind);
        self.delivered = is_final;
        if kind == Kind::Text {
            match from_utf8(&self.message[self.valid..]) {
                Ok(_) => self.valid = self.message.len(),
                // Without a length: the last character is not all there yet.
                Err(e) if e.error_len().is_none() && !is_final => self.valid += e.valid_up_to(),
                Err(_) => return Err(NOT_UTF8),
            }
        }
        Ok(())
    }
}

/// Appends to a buffer that will not need more than `len_max` bytes: its memory doubles as bytes
/// arrive, and ends there.
fn append(buffer: &mut Vec<u8>, bytes: &[u8], len_max: usize) {
    let len = buffer.len();
    if buffer.capacity() - len < bytes.len() {
        let wanted = (len * 2).min(len_max).max(len + bytes.len());
        buffer.reserve_exact(wanted - len);
    }
    buffer.extend_from_slice(bytes);
}

/// Bytes on their way through a [`Decoder`]; see [`Decoder::feed`].
#[derive(Debug)]
pub struct Feed<'a> {
    decoder: &'a mut Decoder,
    input: &'a mut [u8],
    /// Bytes of `input` that are done with.
    at: usize,
}

impl Feed<'_> {
    /// The next message; `None`: more bytes are needed, or nothing follows any more.
    ///
    /// Errors: the peer broke the protocol. Nothing is yielded after an error or a Close.
    #[allow(clippy::should_implement_trait)] // A message borrows from the feed.
    pub fn next(&mut self) -> Result<Option<Message<'_>>, Violation> {
        if self.decoder.done {
            return Ok(None);
        }
        let (kind, place) = match self.find() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.decoder.done = true;
                return Err(violation);
            }
        };
        let Decoder { kept, done, .. } = &mut *self.decoder;
        let payload: &[u8] = match (&place, kept) {
            (Place::Input(range), _) => &self.input[range.clone()],
            (Place::Rest(range), Some(kept)) => &kept.rest[range.clone()],
            (Place::Message, Some(kept)) => &kept.message,
            (_, None) => &[],
        };
        let message = read_payload(kind, payload);
        *done = message.is_err() || kind == Kind::Close;
        message.map(Some)
    }

    /// Finds the next whole message, gathering fragments on the way.
    fn find(&mut self) -> Result<Option<(Kind, Place)>, Violation> {
        self.decoder.release();
        while let Some((head, place)) = self.frame()? {
            let kind = match head.opcode {
                OpCode::Control(Control::Close) => return Ok(Some((Kind::Close, place))),
                OpCode::Control(Control::Ping) => return Ok(Some((Kind::Ping, place))),
                OpCode::Control(_) => return Ok(Some((Kind::Pong, place))),
                OpCode::Data(Data::Text) => Kind::Text,
                OpCode::Data(_) => Kind::Binary,
            };
            let goes_on = head.opcode == OpCode::Data(Data::Continue);
            if head.is_final && !goes_on {
                return Ok(Some((kind, place)));
            }
            let message_max = self.decoder.message_max as usize;
            let kept = self.decoder.kept.get_or_insert_default();
            let kind = if goes_on { kept.open.unwrap_or(kind) } else { kind };
            match place {
                Place::Input(range) => {
                    let bytes = &self.input[range];
                    kept.add_fragment(kind, bytes, head.is_final, message_max)?;
                }
                Place::Rest(range) => {
                    let rest = std::mem::take(&mut kept.rest);
                    let bytes = &rest[range];
                    let added = kept.add_fragment(kind, bytes, head.is_final, message_max);
                    kept.rest = rest;
                    added?;
                }
                Place::Message => {}
            }
            if head.is_final {
                return Ok(Some((kind, Place::Message)));
            }
            self.decoder.release();
        }
        Ok(None)
    }

    /// Takes the next whole frame and unmasks it where it lies.
    fn frame(&mut self) -> Result<Option<(Head, Place)>, Violation> {
        if self.decoder.has_rest() {
            return self.frame_of_rest();
        }
        let bytes = &mut self.input[self.at..];
        let Some(head) = self.decoder.head(bytes)? else { return Ok(None) };
        let Some(payload) = bytes.get_mut(head.len..head.frame_len()) else { return Ok(None) };
        if let Some(mask) = head.mask {
            apply_mask(payload, mask);
        }
        let start = self.at + head.len;
        self.at += head.frame_len();
        Ok(Some((head, Place::Input(start..self.at))))
    }

    /// The same for a frame that began in an earlier feed. Only its own bytes are added to the
    /// rest, so that the frames behind it are decoded in the read buffer again.
    fn frame_of_rest(&mut self) -> Result<Option<(Head, Place)>, Violation> {
        loop {
            let Some(kept) = &self.decoder.kept else { return Ok(None) };
            let bytes = &kept.rest[kept.start..];
            let head = self.decoder.head(bytes)?;
            // The length of a head shows as it is read: byte by byte, 14 at most.
            let missing = head.map_or(1, |head| head.frame_len().saturating_sub(bytes.len()));
            let Some(kept) = &mut self.decoder.kept else { return Ok(None) };
            let take = missing.min(self.input.len() - self.at);
            if take > 0 {
                kept.add_to_rest(&self.input[self.at..self.at + take], missing);
                self.at += take;
            }
            if take < missing {
                return Ok(None);
            }
            let Some(head) = head else { continue };
            let start = kept.start + head.len;
            kept.start += head.frame_len();
            if let Some(mask) = head.mask {
                apply_mask(&mut kept.rest[start..kept.start], mask);
            }
            return Ok(Some((head, Place::Rest(start..kept.start))));
        }
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        if self.decoder.done {
            self.decoder.kept = None;
            return;
        }
        self.decoder.release();
        if self.at < self.input.len() {
            self.decoder.keep(&self.input[self.at..]);
        }
    }
}

fn read_payload(kind: Kind, payload: &[u8]) -> Result<Message<'_>, Violation> {
    Ok(match kind {
        Kind::Text => Message::Text(from_utf8(payload).map_err(|_| NOT_UTF8)?),
        Kind::Binary => Message::Binary(payload),
        Kind::Ping => Message::Ping(payload),
        Kind::Pong => Message::Pong(payload),
        Kind::Close => Message::Close(read_close(payload)?),
    })
}

fn read_close(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(protocol("close frame of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            // 1014 (bad gateway) is registered, but not among the crate's codes.
            if code != 1014 && !CloseCode::from(code).is_allowed() {
                return Err(protocol("close code not allowed"));
            }
            Ok(Some((code, from_utf8(reason).map_err(|_| NOT_UTF8)?)))
        }
    }
}
