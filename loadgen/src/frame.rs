//! WebSocket frames as a client sees them (RFC 6455 section 5): its own are masked, the server's
//! are not. Pure; tests at the end.

use bytes::{BufMut, BytesMut};

/// What a frame is (RFC 6455 section 5.2).
pub mod opcode {
    #![allow(missing_docs)]
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// A whole frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Is it the last of its message?
    pub last: bool,
    /// One of [`opcode`], or a reserved one.
    pub opcode: u8,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes that it took.
    pub len: usize,
}

/// The bytes are not a frame that a server may send without extensions.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAFrame;

/// Reads the frame at the start of `bytes`. `None`: it is not complete yet.
#[inline]
pub fn read(bytes: &[u8]) -> Result<Option<Frame<'_>>, NotAFrame> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(NotAFrame);
    }
    let (header, len) = match (second, rest) {
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let len = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (10, usize::try_from(len).map_err(|_| NotAFrame)?)
        }
        (126 | 127, _) => return Ok(None),
        (len, _) => (2, usize::from(len)),
    };
    let end = header + len.min(usize::MAX - header);
    let Some(payload) = bytes.get(header..end) else { return Ok(None) };
    Ok(Some(Frame { last: first & 0x80 != 0, opcode: first & 0x0F, payload, len: end }))
}

/// Appends one frame that is a whole message, masked with `key`.
pub fn write(out: &mut BytesMut, opcode: u8, payload: &[u8], key: u32) {
    out.reserve(payload.len() + 14);
    out.put_u8(0x80 | opcode);
    match payload.len() {
        len @ 0..126 => out.put_u8(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            out.put_u8(0x80 | 126);
            out.put_u16(len as u16);
        }
        len => {
            out.put_u8(0x80 | 127);
            out.put_u64(len as u64);
        }
    }
    let key = key.to_ne_bytes();
    out.put_slice(&key);
    let start = out.len();
    out.put_slice(payload);
    for chunk in out[start..].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::frame::FrameHeader;

    /// A server's frame.
    fn server(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            len @ 0..126 => out.push(len as u8),
            len @ 126..=0xFFFF => {
                out.push(126);
                out.extend((len as u16).to_be_bytes());
            }
            len => {
                out.push(127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        out.extend(payload);
        out
    }

    #[test]
    fn reads_whole_frames_only() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload = vec![b'x'; len];
            let bytes = server(0x81, &payload);
            let frame = read(&bytes).unwrap().unwrap();
            assert_eq!((frame.last, frame.opcode, frame.len), (true, 1, bytes.len()));
            assert_eq!(frame.payload, payload);
            for cut in [0, 1, 2, 3, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(read(&bytes[..cut]), Ok(None), "{cut} of {len}");
                }
            }
        }
    }

    #[test]
    fn refuses_what_a_server_may_not_send() {
        assert_eq!(read(&[0x81, 0x80, 1, 2, 3, 4]), Err(NotAFrame), "masked");
        assert_eq!(read(&[0xC1, 0x00]), Err(NotAFrame), "reserved bit");
        let endless = [0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(read(&endless), Ok(None), "no overflow");
    }

    #[test]
    fn writes_what_a_server_reads() {
        for len in [0, 1, 5, 125, 126, 65_535, 65_536] {
            let payload = (0..len).map(|i| i as u8).collect::<Vec<_>>();
            let mut out = BytesMut::new();
            write(&mut out, opcode::TEXT, &payload, 0xDEAD_BEEF);
            let mut cursor = std::io::Cursor::new(&out[..]);
            let (header, read) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert_eq!(read as usize, len);
            let mask = header.mask.unwrap();
            let start = cursor.position() as usize;
            let plain =
                out[start..].iter().enumerate().map(|(i, b)| b ^ mask[i % 4]).collect::<Vec<_>>();
            assert_eq!(plain, payload);
        }
    }
}
