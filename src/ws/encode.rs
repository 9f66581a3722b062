//! Messages to frames.
//!
//! Owns the frame head and every frame that is sent: unmasked ones for the server (they can be
//! shared between connections), masked ones for clients (load generator, tests). It never
//! fragments a message and never compresses. Tests: below, round trips in `tests.rs`.

use super::mask::apply_mask;
use bytes::{Bytes, BytesMut};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// The longest head of an unmasked frame, in bytes.
pub const HEAD_MAX: usize = 10;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Room for the head that [`text_frame_with`] sets aside: that of a medium payload.
const HEAD_MEDIUM: usize = 4;

/// The head of an unmasked, unfragmented frame with a payload of `len` bytes, and how many bytes
/// of the array it takes: 2, 4 or 10 (RFC 6455 section 5.2).
#[inline]
pub fn frame_head(opcode: OpCode, len: usize) -> ([u8; HEAD_MAX], usize) {
    let mut head = [0; HEAD_MAX];
    head[0] = FIN | u8::from(opcode);
    if len <= CONTROL_PAYLOAD_MAX {
        head[1] = len as u8;
        (head, 2)
    } else if let Ok(len) = u16::try_from(len) {
        head[1] = 126;
        head[2..4].copy_from_slice(&len.to_be_bytes());
        (head, HEAD_MEDIUM)
    } else {
        head[1] = 127;
        head[2..].copy_from_slice(&(len as u64).to_be_bytes());
        (head, HEAD_MAX)
    }
}

/// Appends one text frame with `payload`, which the caller knows to be UTF-8.
pub fn text_frame(out: &mut BytesMut, payload: &[u8]) {
    frame(out, OpCode::Data(Data::Text), payload);
}

/// Appends one binary frame with `payload`.
pub fn binary_frame(out: &mut BytesMut, payload: &[u8]) {
    frame(out, OpCode::Data(Data::Binary), payload);
}

/// Appends one text frame whose payload is what `write` appends, without a buffer in between.
///
/// `write` only appends, and only UTF-8. A payload of 126 to 65,535 bytes stays where it was
/// written; a shorter one moves by two bytes, a longer one by six.
pub fn text_frame_with(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    frame_with(out, OpCode::Data(Data::Text), write);
}

/// Appends one binary frame whose payload is what `write` appends; otherwise like
/// [`text_frame_with`].
pub fn binary_frame_with(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    frame_with(out, OpCode::Data(Data::Binary), write);
}

fn frame_with(out: &mut BytesMut, opcode: OpCode, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    let body = start + HEAD_MEDIUM;
    out.extend_from_slice(&[0; HEAD_MEDIUM]);
    write(out);
    assert!(out.len() >= body, "frame_with: `write` took bytes away");
    let end = out.len();
    let (head, head_len) = frame_head(opcode, end - body);
    if head_len > HEAD_MEDIUM {
        out.resize(end + head_len - HEAD_MEDIUM, 0);
    }
    if head_len != HEAD_MEDIUM {
        out.copy_within(body..end, start + head_len);
        out.truncate(end + head_len - HEAD_MEDIUM);
    }
    out[start..start + head_len].copy_from_slice(&head[..head_len]);
}

/// A Close frame with `code` and `reason`, the latter cut at 123 bytes, never inside a character.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(CONTROL_PAYLOAD_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    control_frame(Control::Close, &payload)
}

/// A Ping frame; `payload` is cut at 125 bytes.
pub fn ping_frame(payload: &[u8]) -> Bytes {
    control_frame(Control::Ping, payload)
}

/// A Pong frame with the payload of the Ping that it answers, cut at 125 bytes.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(Control::Pong, payload)
}

/// Appends one masked text frame, as a client sends it. `payload` is UTF-8.
pub fn masked_text_frame(out: &mut BytesMut, payload: &[u8], mask: [u8; 4]) {
    masked_frame(out, OpCode::Data(Data::Text), payload, mask);
}

/// Appends one masked, unfragmented frame, as a client sends it.
///
/// `payload` is at most 125 bytes in a control frame. A client should draw `mask` anew for every
/// frame (RFC 6455 section 5.3).
pub fn masked_frame(out: &mut BytesMut, opcode: OpCode, payload: &[u8], mask: [u8; 4]) {
    let (mut head, head_len) = frame_head(opcode, payload.len());
    head[1] |= MASKED;
    out.reserve(head_len + mask.len() + payload.len());
    out.extend_from_slice(&head[..head_len]);
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

fn frame(out: &mut BytesMut, opcode: OpCode, payload: &[u8]) {
    let (head, head_len) = frame_head(opcode, payload.len());
    out.reserve(head_len + payload.len());
    out.extend_from_slice(&head[..head_len]);
    out.extend_from_slice(payload);
}

fn control_frame(control: Control, payload: &[u8]) -> Bytes {
    let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)];
    let mut out = BytesMut::with_capacity(2 + payload.len());
    frame(&mut out, OpCode::Control(control), payload);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_the_shortest_form() {
        let check = |len: usize, expect: &[u8]| {
            let (head, head_len) = frame_head(OpCode::Data(Data::Text), len);
            assert_eq!(&head[..head_len], expect, "payload of {len} bytes");
        };
        check(0, &[0x81, 0]);
        check(125, &[0x81, 125]);
        check(126, &[0x81, 126, 0, 126]);
        check(65_535, &[0x81, 126, 0xff, 0xff]);
        check(65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_payload_written_in_place_is_the_same_frame() {
        for len in [0, 1, 124, 125, 126, 127, 1_000, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..len).map(|i| b'a' + (i % 26) as u8).collect();
            let mut expect = BytesMut::from(&b"before"[..]);
            text_frame(&mut expect, &payload);
            let mut out = BytesMut::from(&b"before"[..]);
            text_frame_with(&mut out, |out| {
                let (first, second) = payload.split_at(len / 2);
                out.extend_from_slice(first);
                out.extend_from_slice(second);
            });
            assert_eq!(out, expect, "payload of {len} bytes");
            let (mut expect, mut out) = (BytesMut::new(), BytesMut::new());
            binary_frame(&mut expect, &payload);
            binary_frame_with(&mut out, |out| out.extend_from_slice(&payload));
            assert_eq!(out, expect, "payload of {len} bytes");
        }
    }

    #[test]
    fn close_reasons_are_cut_between_characters() {
        assert_eq!(&close_frame(1000, "")[..], &[0x88, 2, 0x03, 0xe8]);
        assert_eq!(&close_frame(3008, "slow")[..], b"\x88\x06\x0b\xc0slow");
        // 61 characters of two bytes fit into 123 bytes; the 62nd would be cut in half.
        let frame = close_frame(1008, &"ä".repeat(70));
        assert_eq!(frame[1], 2 + 122);
        assert_eq!(&frame[4..], "ä".repeat(61).as_bytes());
    }

    #[test]
    fn control_frames() {
        assert_eq!(&ping_frame(b"")[..], &[0x89, 0]);
        assert_eq!(&pong_frame(b"hi")[..], b"\x8a\x02hi");
        assert_eq!(pong_frame(&[7; 200]).len(), 2 + 125);
    }

    #[test]
    fn masked_frames() {
        // RFC 6455 section 5.7.
        let mut out = BytesMut::new();
        masked_text_frame(&mut out, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        let expect = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(&out[..], expect);
    }
}
