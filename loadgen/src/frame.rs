//! WebSocket frames as a client sees them (RFC 6455 section 5): its own are masked, the server's
//! are not. Pure; tests at the end.

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
#[inline]
pub fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8], key: u32) {
    let key = key.to_ne_bytes();
    let [a, b, c, d] = key;
    out.reserve(payload.len() + 14);
    match payload.len() {
        len @ 0..126 => out.extend_from_slice(&[0x80 | opcode, 0x80 | len as u8, a, b, c, d]),
        len @ 126..=0xFFFF => {
            let [e, f] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[0x80 | opcode, 0x80 | 126, e, f, a, b, c, d]);
        }
        len => {
            out.extend_from_slice(&[0x80 | opcode, 0x80 | 127]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
            out.extend_from_slice(&key);
        }
    }
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], key);
}

/// Masks `bytes` with `key`, or takes the mask off.
#[inline]
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
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
        for len in [0, 1, 5, 7, 8, 9, 15, 125, 126, 65_535, 65_536] {
            let payload = (0..len).map(|i| i as u8).collect::<Vec<_>>();
            let mut out = b"before".to_vec();
            write(&mut out, opcode::TEXT, &payload, 0xDEAD_BEEF);
            let mut cursor = std::io::Cursor::new(&out[6..]);
            let (header, read) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert_eq!(read as usize, len);
            let start = 6 + cursor.position() as usize;
            let key = header.mask.unwrap();
            let plain =
                out[start..].iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect::<Vec<_>>();
            assert_eq!(plain, payload);
            mask(&mut out[start..], key);
            assert_eq!(out[start..], payload, "the mask comes off");
        }
    }
}
