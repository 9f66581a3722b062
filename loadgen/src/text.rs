//! The text of a message: who sent it, which one it is, when it was due and sent, and padding.
//!
//! `~#SENDER.NUMBER.DUE.SENT~PADDING`, with decimal numbers: a line of chat that goes through every
//! server unchanged, and is found by a byte scan. DUE is in nanoseconds since the run's origin;
//! SENT is how many nanoseconds later the message was sent, which is shorter.
//!
//! The padding is a piece of one cyclic alphabet, and all four numbers say where it begins: any one
//! wrong digit, and any two neighbours that changed places, move it, so damage is always seen. Of
//! larger damage to the numbers one in 61 goes unseen here; the ledger sees most of that.
//!
//! Pure; allocates only when made. Tests at the end.

use crate::options::Sizes;

/// Shortest text, in bytes: it holds the numbers, whatever they are.
pub const TEXT_MIN: usize = 64;
/// Longest text, in bytes: with the rest of its frame it stays below a server's 64 KiB.
pub const TEXT_MAX: usize = 60_000;

const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
/// Padding begins at one of so many places. A prime that does not divide 10: a digit that is off by
/// 1 to 9 then changes the remainder, at whatever place of a number it stands.
const PLACES: u64 = 61;
/// Longest number, in digits: two of these and two `u32` fit into [`TEXT_MIN`].
const DIGITS: usize = 19;
const NUMBER_MAX: u64 = 10u64.pow(DIGITS as u32) - 1;

/// What a message says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// Number of the connection that sent it.
    pub sender: u32,
    /// The sender's messages are numbered from 0 without gaps.
    pub number: u32,
    /// When it was to be sent, in nanoseconds since the run's origin.
    pub due_ns: u64,
    /// When it was sent, the same; not before `due_ns`.
    pub sent_ns: u64,
}

/// Writes and checks texts.
#[derive(Debug, Clone)]
pub struct Texts {
    min: usize,
    /// How many lengths there are.
    lengths: u64,
    seed: u64,
    /// The alphabet again and again, long enough for the longest padding from any place.
    padding: Vec<u8>,
}

impl Texts {
    /// For texts of these lengths, within [`TEXT_MIN`] to [`TEXT_MAX`]. `seed`: of the run; who
    /// writes and who reads must have the same.
    pub fn new(sizes: Sizes, seed: u64) -> Texts {
        let min = sizes.min.clamp(TEXT_MIN, TEXT_MAX);
        let max = sizes.max.clamp(min, TEXT_MAX);
        let padding = ALPHABET.iter().copied().cycle().take(max + PLACES as usize).collect();
        Texts { min, lengths: (max - min) as u64 + 1, seed, padding }
    }

    /// Bytes of a sender's message: drawn anew for each, the same for everybody who asks.
    #[inline]
    pub fn len_of(&self, sender: u32, number: u32) -> usize {
        if self.lengths == 1 {
            return self.min;
        }
        let hash = mixed(self.seed ^ mixed(u64::from(sender) << 32 | u64::from(number)));
        // The high half of the product: evenly spread over 0..lengths.
        let drawn = (u128::from(hash) * u128::from(self.lengths)) >> 64;
        self.min + drawn as usize
    }

    /// Appends the text of `marker`, [`Texts::len_of`] bytes. Times past 300 years are cut off.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, marker: Marker) {
        let len = self.len_of(marker.sender, marker.number);
        let due = marker.due_ns.min(NUMBER_MAX);
        let late = marker.sent_ns.saturating_sub(due).min(NUMBER_MAX);
        out.reserve(len);
        let start = out.len();
        out.extend_from_slice(b"~#");
        push_decimal(out, marker.sender.into());
        out.push(b'.');
        push_decimal(out, marker.number.into());
        out.push(b'.');
        push_decimal(out, due);
        out.push(b'.');
        push_decimal(out, late);
        out.push(b'~');
        let used = out.len() - start;
        let place = place(marker.sender, marker.number, due, late);
        out.extend_from_slice(self.padding(place, len.saturating_sub(used)));
    }

    /// Reads the text that begins at the start of `bytes`: its marker and its length. `None`: there
    /// is none, or it is damaged. What follows it is the caller's to look at.
    #[inline]
    pub fn read(&self, bytes: &[u8]) -> Option<(Marker, usize)> {
        let rest = bytes.strip_prefix(b"~#")?;
        let (sender, rest) = take_decimal(rest, b'.')?;
        let (number, rest) = take_decimal(rest, b'.')?;
        let (due_ns, rest) = take_decimal(rest, b'.')?;
        let (late, rest) = take_decimal(rest, b'~')?;
        let sender = u32::try_from(sender).ok()?;
        let number = u32::try_from(number).ok()?;
        let sent_ns = due_ns.checked_add(late)?;
        let len = self.len_of(sender, number);
        let padding = rest.get(..len.checked_sub(bytes.len() - rest.len())?)?;
        let whole = padding == self.padding(place(sender, number, due_ns, late), padding.len());
        whole.then_some((Marker { sender, number, due_ns, sent_ns }, len))
    }

    #[inline]
    fn padding(&self, place: usize, len: usize) -> &[u8] {
        self.padding.get(place..place + len).unwrap_or_default()
    }
}

/// Where in the alphabet the padding begins. Each factor is one that [`PLACES`] does not divide.
#[inline]
fn place(sender: u32, number: u32, due: u64, late: u64) -> usize {
    let sum = u64::from(sender) % PLACES
        + u64::from(number) % PLACES * 7
        + due % PLACES * 11
        + late % PLACES * 17;
    (sum % PLACES) as usize
}

/// Spreads what is close together (the last steps of SplitMix64).
#[inline]
fn mixed(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
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

/// `00` to `99`, side by side.
const PAIRS: [u8; 200] = {
    let mut pairs = [b'0'; 200];
    let mut i = 0;
    while i < 100 {
        pairs[2 * i] += (i / 10) as u8;
        pairs[2 * i + 1] += (i % 10) as u8;
        i += 1;
    }
    pairs
};

/// Appends `value` in decimal.
#[inline]
pub fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while value >= 10 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    // A last pair leaves 0 behind, and it may have begun with a 0 of its own.
    if value > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Digits of `value` in decimal.
#[inline]
pub fn decimal_len(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A decimal number of 1 to [`DIGITS`] digits and `end`; what follows. Eight digits at a time.
#[inline]
fn take_decimal(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let (mut value, mut rest, mut taken) = (0u64, bytes, 0);
    loop {
        let (word, digits) = match rest.first_chunk() {
            Some(chunk) => leading_digits(u64::from_le_bytes(*chunk)),
            None => {
                let mut chunk = [0; 8];
                chunk[..rest.len()].copy_from_slice(rest);
                leading_digits(u64::from_le_bytes(chunk))
            }
        };
        taken += digits;
        if taken > DIGITS {
            return None;
        }
        value = value * POWERS[digits] + word;
        rest = &rest[digits..];
        if digits < 8 {
            let (last, rest) = rest.split_first()?;
            return (*last == end && taken > 0).then_some((value, rest));
        }
    }
}

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number with which eight characters (the first one lowest) begin, and its digits, 0 to 8.
#[inline]
fn leading_digits(word: u64) -> (u64, usize) {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    // '0'..='9' become 0..=9. To all others, adding 0x76 sets the highest bit, if it is not set
    // already; what is carried from there falsifies only bytes behind the first of them.
    let word = word ^ ZEROS;
    let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    let digits = (others.trailing_zeros() / 8) as usize;
    if digits == 0 {
        return (0, 0);
    }
    // The digits go to the top, zeros come in front of them; then neighbours are added in pairs.
    let word = word << (64 - 8 * digits as u32);
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let mask = 0x0000_00FF_0000_00FF;
    let high = (pairs & mask).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & mask).wrapping_mul(1 + (10_000 << 32));
    (high.wrapping_add(low) >> 32, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker { sender: 3, number: 52, due_ns: 7_000_123, sent_ns: 7_000_456 };

    fn texts(min: usize, max: usize) -> Texts {
        Texts::new(Sizes { min, max }, 1)
    }

    fn written(texts: &Texts, marker: Marker) -> Vec<u8> {
        let mut out = Vec::new();
        texts.write(&mut out, marker);
        out
    }

    #[test]
    fn texts_come_back() {
        for (sender, number, due_ns, sent_ns) in [
            (0, 0, 0, 0),
            (17, 42, 123_456_789, 123_456_790),
            (u32::MAX, u32::MAX, NUMBER_MAX / 2, NUMBER_MAX),
            (1, 2, 3, 12_345_678_901_234_567_890),
        ] {
            let marker = Marker { sender, number, due_ns, sent_ns };
            for (min, max) in [(TEXT_MIN, TEXT_MIN), (128, 128), (64, TEXT_MAX), (0, 1 << 20)] {
                let texts = texts(min, max);
                let text = written(&texts, marker);
                let len = texts.len_of(sender, number);
                assert_eq!(text.len(), len);
                let longer = [&text[..], b"~#1.2.3.4~"].concat();
                for bytes in [text, longer] {
                    let expected = Marker { sent_ns: sent_ns.min(due_ns + NUMBER_MAX), ..marker };
                    assert_eq!(texts.read(&bytes), Some((expected, len)), "{min}-{max}");
                }
            }
        }
        let early = Marker { sent_ns: 0, ..MARKER };
        let texts = texts(64, 64);
        let read = texts.read(&written(&texts, early)).unwrap().0;
        assert_eq!(read.sent_ns, early.due_ns, "never before it was due");
    }

    #[test]
    fn forever_fits() {
        let texts = texts(TEXT_MIN, TEXT_MIN);
        let marker =
            Marker { sender: u32::MAX, number: u32::MAX, due_ns: u64::MAX, sent_ns: u64::MAX };
        assert_eq!(written(&texts, marker).len(), TEXT_MIN);
    }

    #[test]
    fn lengths_are_spread_evenly() {
        let texts = texts(100, 199);
        let mut seen = [0; 100];
        for number in 0..10_000 {
            let len = texts.len_of(7, number);
            assert_eq!(len, Texts::new(Sizes { min: 100, max: 199 }, 1).len_of(7, number));
            seen[len - 100] += 1;
        }
        let (min, max) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!((50..100).contains(min) && (100..160).contains(max), "{min} to {max}");
        let lengths = |seed, sender| {
            let texts = Texts::new(Sizes { min: 100, max: 199 }, seed);
            (0..50).map(|number| texts.len_of(sender, number)).collect::<Vec<_>>()
        };
        assert_ne!(lengths(1, 1), lengths(2, 1), "another seed");
        assert_ne!(lengths(1, 1), lengths(1, 2), "another sender");
    }

    #[test]
    fn any_damaged_byte_is_seen() {
        for texts in [texts(64, 64), texts(200, 200)] {
            let good = written(&texts, MARKER);
            assert!(texts.read(&good).is_some());
            assert!(texts.read(&good[..good.len() - 1]).is_none(), "cut");
            for at in 0..good.len() {
                for byte in (b' '..=b'~').filter(|byte| *byte != good[at]) {
                    let mut bad = good.clone();
                    bad[at] = byte;
                    assert!(texts.read(&bad).is_none(), "{}", String::from_utf8_lossy(&bad));
                }
                if at > 0 && good[at] != good[at - 1] {
                    let mut bad = good.clone();
                    bad.swap(at - 1, at);
                    assert!(texts.read(&bad).is_none(), "{}", String::from_utf8_lossy(&bad));
                }
            }
        }
    }

    #[test]
    fn the_padding_of_another_message_is_seen() {
        let texts = texts(128, 128);
        let good = written(&texts, MARKER);
        for other in [
            Marker { sender: 4, ..MARKER },
            Marker { number: 53, ..MARKER },
            Marker { due_ns: MARKER.due_ns + 1, sent_ns: MARKER.sent_ns + 1, ..MARKER },
            Marker { sent_ns: MARKER.sent_ns + 1, ..MARKER },
        ] {
            let other = written(&texts, other);
            let spliced = [&good[..40], &other[40..]].concat();
            assert!(texts.read(&spliced).is_none(), "{}", String::from_utf8_lossy(&spliced));
        }
    }

    #[test]
    fn writing_does_not_allocate_twice() {
        let texts = texts(64, 300);
        let mut out = Vec::with_capacity(300);
        let before = out.as_ptr();
        for number in 0..1000 {
            out.clear();
            texts.write(&mut out, Marker { number, ..MARKER });
        }
        assert_eq!(out.as_ptr(), before);
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
    fn numbers_come_back() {
        let mut values = vec![0, u64::from(u32::MAX), NUMBER_MAX];
        for digits in 1..19 {
            let power = 10u64.pow(digits);
            values.extend([power - 1, power, power + 1, power / 3, power / 7 * 5]);
        }
        for value in values {
            let text = value.to_string();
            let mut out = Vec::new();
            push_decimal(&mut out, value);
            assert_eq!(out, text.as_bytes());
            assert_eq!(decimal_len(value), text.len());
            for (end, rest) in
                [(b'.', ""), (b'~', "x"), (b'.', "123456789~~~~~~~~~"), (b'~', "¹²³")]
            {
                let bytes = [text.as_bytes(), &[end], rest.as_bytes()].concat();
                assert_eq!(take_decimal(&bytes, end), Some((value, rest.as_bytes())), "{text}");
            }
        }
        let mut out = Vec::new();
        push_decimal(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn numbers_are_total() {
        for none in
            ["", ".", "1", "12345678", "1x.", "12345678901234567890.", "-1.", "1234567\u{b9}."]
        {
            assert!(take_decimal(none.as_bytes(), b'.').is_none(), "{none}");
        }
        for byte in (0..=255).filter(|byte: &u8| !byte.is_ascii_digit() && *byte != b'.') {
            for at in 0..12 {
                let mut bytes = *b"123456789012.";
                bytes[at] = byte;
                assert!(take_decimal(&bytes, b'.').is_none(), "{byte} at {at}");
            }
        }
        assert_eq!(take_decimal(b"0042.x", b'.'), Some((42, &b"x"[..])));
    }
}
