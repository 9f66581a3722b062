//! The text of a message: who sent it, which one it is, when it was due, and padding.
//!
//! `~#SENDER.NUMBER.DUE~PADDING`, with decimal numbers: a line of chat that goes through every
//! server unchanged, is found by a byte scan, and shows damage: the padding is different from one
//! number to the next. Pure; tests at the end.

/// Shortest text that always holds the marker, in bytes.
pub const TEXT_MIN: usize = 48;
/// Longest text, in bytes: with the rest of its frame it stays below a server's 64 KiB.
pub const TEXT_MAX: usize = 60_000;

const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// What a message says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// Index of the sender, which is that of its connection.
    pub sender: u32,
    /// The sender's messages are numbered from 0 without gaps.
    pub number: u32,
    /// When it was to be sent, in nanoseconds since the run's origin.
    pub due_ns: u64,
}

/// Writes and checks texts of one length.
#[derive(Debug)]
pub struct Texts {
    len: usize,
    /// Longer than any padding plus the alphabet, so that each offset has its own padding.
    padding: Vec<u8>,
}

impl Texts {
    /// For texts of `len` bytes, at least [`TEXT_MIN`].
    pub fn new(len: usize) -> Texts {
        let len = len.max(TEXT_MIN);
        let padding = ALPHABET.iter().copied().cycle().take(len + ALPHABET.len()).collect();
        Texts { len, padding }
    }

    /// Appends the text of `marker`.
    pub fn write(&self, out: &mut Vec<u8>, marker: Marker) {
        let start = out.len();
        out.extend_from_slice(b"~#");
        push_decimal(out, marker.sender.into());
        out.push(b'.');
        push_decimal(out, marker.number.into());
        out.push(b'.');
        push_decimal(out, marker.due_ns);
        out.push(b'~');
        let used = out.len() - start;
        out.extend_from_slice(self.padding(marker.number, self.len.saturating_sub(used)));
    }

    /// Reads the text that begins at the start of `bytes`. `None`: there is none, or it is
    /// damaged. What follows it is the caller's to look at: it is `Texts::len` bytes long.
    pub fn read(&self, bytes: &[u8]) -> Option<Marker> {
        let text = bytes.get(..self.len)?;
        let rest = text.strip_prefix(b"~#")?;
        let (sender, rest) = take_decimal(rest, b'.')?;
        let (number, rest) = take_decimal(rest, b'.')?;
        let (due_ns, rest) = take_decimal(rest, b'~')?;
        let sender = u32::try_from(sender).ok()?;
        let number = u32::try_from(number).ok()?;
        (rest == self.padding(number, rest.len())).then_some(Marker { sender, number, due_ns })
    }

    /// Bytes of a text.
    pub fn text_len(&self) -> usize {
        self.len
    }

    fn padding(&self, number: u32, len: usize) -> &[u8] {
        let from = number as usize % ALPHABET.len();
        self.padding.get(from..from + len).unwrap_or_default()
    }
}

/// Where the next text begins in `bytes`.
#[inline]
pub fn find(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'~', &bytes[from..])?;
        if bytes.get(at + 1) == Some(&b'#') {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Appends `value` in decimal.
pub fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A decimal number of 1 to 19 digits and `end`; what follows.
#[inline]
fn take_decimal(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(20) {
        match byte {
            b'0'..=b'9' if at < 19 => value = value * 10 + u64::from(byte - b'0'),
            _ if *byte == end && at > 0 => return Some((value, &bytes[at + 1..])),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(len: usize, marker: Marker) -> Vec<u8> {
        let mut out = Vec::new();
        Texts::new(len).write(&mut out, marker);
        out
    }

    #[test]
    fn texts_come_back() {
        for (sender, number, due_ns) in
            [(0, 0, 0), (17, 42, 123_456_789), (u32::MAX, u32::MAX, 9_999_999_999_999_999_999)]
        {
            let marker = Marker { sender, number, due_ns };
            for len in [TEXT_MIN, 128, TEXT_MAX] {
                let text = written(len, marker);
                assert_eq!(text.len(), len);
                assert_eq!(Texts::new(len).read(&text), Some(marker), "{len}");
            }
        }
    }

    #[test]
    fn damage_is_seen() {
        let texts = Texts::new(64);
        let good = written(64, Marker { sender: 3, number: 5, due_ns: 7 });
        assert!(texts.read(&good).is_some());
        assert!(texts.read(&good[..63]).is_none(), "cut");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(texts.read(&bad).is_none(), "byte {at}");
        }
        let other = written(64, Marker { sender: 3, number: 6, due_ns: 7 });
        let spliced = [&good[..20], &other[20..]].concat();
        assert!(texts.read(&spliced).is_none(), "padding of another message");
    }

    #[test]
    fn finds_the_next_text() {
        assert_eq!(find(b"from ~alice: ~#1.2.3~"), Some(13));
        assert_eq!(find(b"~~#"), Some(1));
        for none in [&b""[..], b"~", b"a~b~", b"#~"] {
            assert_eq!(find(none), None);
        }
    }

    #[test]
    fn numbers_are_total() {
        for none in [&b"."[..], b"1", b"", b"1x.", b"12345678901234567890.", b"-1."] {
            assert!(take_decimal(none, b'.').is_none());
        }
        assert_eq!(take_decimal(b"0042.x", b'.'), Some((42, &b"x"[..])));
    }
}
