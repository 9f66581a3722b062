//! Protobuf's wire format, as far as the hand-written parts need it.
//!
//! Owns varints, and fields that hold bytes or a number. It knows no message: `protobuf.rs` reads
//! commands with it, `reply.rs` writes what is sent for every publication; the rest is `messages.rs`
//! and prost. Source: "Encoding" in the public documentation of Protocol Buffers.

use super::command::Malformed;
use bytes::BufMut;

/// Bytes of a varint, at most.
const VARINT_MAX: usize = 10;

/// Bytes of `value` as a varint.
#[inline]
pub fn varint_len(value: u64) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Bytes of a field that holds `len` bytes. The field's number is below 16.
#[inline]
pub fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Appends the head of a field of `len` bytes, which have to follow.
#[inline]
pub fn put_head(out: &mut impl BufMut, field: u8, len: usize) {
    out.put_u8(field << 3 | 2);
    put_varint(out, len as u64);
}

/// Appends a field of bytes.
#[inline]
pub fn put_bytes(out: &mut impl BufMut, field: u8, bytes: &[u8]) {
    put_head(out, field, bytes.len());
    out.put_slice(bytes);
}

/// Bytes of a field that holds a number. The field's number is below 16.
#[inline]
pub fn number_len(value: u64) -> usize {
    1 + varint_len(value)
}

/// Appends a field with a number.
#[inline]
pub fn put_number(out: &mut impl BufMut, field: u8, value: u64) {
    out.put_u8(field << 3);
    put_varint(out, value);
}

/// Takes a varint off the front.
#[inline]
pub fn take_varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(VARINT_MAX) {
        if at == VARINT_MAX - 1 && *byte > 1 {
            break; // more than 64 bits
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *bytes = bytes.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Takes a length and as many bytes off the front.
#[inline]
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(take_varint(bytes)?).map_err(|_| Malformed)?;
    let (taken, rest) = bytes.split_at_checked(len).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number (wire type 0).
    Number(u64),
    /// Bytes, a text or a message (wire type 2).
    Bytes(&'a [u8]),
    /// Four or eight bytes; no field that is read here has them.
    Fixed,
}

/// The fields of a message, in order: number and value. Groups, which are long out of use, are
/// malformed.
#[derive(Debug, Clone)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = take_varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).ok().filter(|n| *n > 0).ok_or(Malformed)?;
        let value = match key & 7 {
            0 => Value::Number(take_varint(&mut self.0)?),
            1 => self.skip(8)?,
            2 => Value::Bytes(take_bytes(&mut self.0)?),
            5 => self.skip(4)?,
            _ => return Err(Malformed),
        };
        Ok((number, value))
    }

    fn skip(&mut self, len: usize) -> Result<Value<'a>, Malformed> {
        self.0 = self.0.get(len..).ok_or(Malformed)?;
        Ok(Value::Fixed)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varints_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                let mut rest = &out[..];
                assert_eq!(take_varint(&mut rest), Ok(value));
                assert_eq!(rest, b"");
                let mut cut = &out[..out.len() - 1];
                assert_eq!(take_varint(&mut cut), Err(Malformed));
            }
        }
        for mut bad in [&[0xff; 10][..], &[0xff; 11], b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"] {
            assert_eq!(take_varint(&mut bad), Err(Malformed));
        }
    }

    #[test]
    fn fields_and_what_is_none() {
        let mut out = Vec::new();
        put_number(&mut out, 1, 300);
        put_bytes(&mut out, 2, b"ab");
        out.extend_from_slice(b"\x19\0\0\0\0\0\0\0\0\x25\0\0\0\0");
        let fields: Vec<_> = Fields(&out).map(Result::unwrap).collect();
        let expect = [
            (1, Value::Number(300)),
            (2, Value::Bytes(b"ab")),
            (3, Value::Fixed),
            (4, Value::Fixed),
        ];
        assert_eq!(fields, expect);
        assert_eq!(out.len(), number_len(300) + bytes_len(2) + 14);
        for bad in
            [&b"\x00\x00"[..], b"\x0b", b"\x0c", b"\x0e\x00", b"\x12\x03ab", b"\x19\0", b"\x08"]
        {
            let fields: Vec<_> = Fields(bad).collect();
            assert_eq!(fields, [Err(Malformed)], "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Fields(&bytes).count() <= bytes.len());
        }
    }
}
