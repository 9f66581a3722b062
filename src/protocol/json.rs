//! Small JSON tools around `serde_json`: writing strings, passing raw values through.

use bytes::BufMut;
use std::borrow::Cow;

/// Nesting that a passed-through payload may have.
pub const DEPTH_MAX: usize = 64;

/// Appends `text` as a JSON string, quotes included.
pub fn write_str(out: &mut impl BufMut, text: &str) {
    // Writing to memory that grows cannot fail, and a &str always serialises.
    let _ = serde_json::to_writer(out.writer(), text);
}

/// Bytes that [`write_str`] appends.
pub fn str_len(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5, // \u001f
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(more).sum::<usize>()
}

/// Appends a decimal number.
pub fn write_u64(out: &mut impl BufMut, n: u64) {
    out.put_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// A payload, ready to be passed through to others.
///
/// `raw` is valid JSON already (a `RawValue`). Raw line breaks can only stand between tokens
/// there; they are removed, because a line break splits a frame into replies. `None` when the
/// value is nested deeper than [`DEPTH_MAX`] (readers with a recursion limit would choke on it).
pub fn pass_through(raw: &str) -> Option<Cow<'_, str>> {
    let bytes = raw.as_bytes();
    // A string is one token: nothing stands between tokens, and nothing is nested.
    if bytes.first() == Some(&b'"') {
        return Some(Cow::Borrowed(raw));
    }
    let many = memchr::memchr2_iter(b'{', b'[', bytes).nth(DEPTH_MAX).is_some();
    if many && depth(bytes) > DEPTH_MAX {
        return None;
    }
    if memchr::memchr2(b'\n', b'\r', bytes).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    Some(Cow::Owned(raw.chars().filter(|c| !matches!(c, '\n' | '\r')).collect()))
}

/// Deepest nesting of arrays and objects in a valid JSON text.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut deepest) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_between_tokens_go_and_nothing_else() {
        assert_eq!(pass_through("{\"a\": \"b\\n\"}").unwrap(), "{\"a\": \"b\\n\"}");
        assert_eq!(pass_through("{\r\n\"a\":\n1}").unwrap(), "{\"a\":1}");
        assert_eq!(pass_through("\"a\\n{\"").unwrap(), "\"a\\n{\"");
    }

    #[test]
    fn depth_counts_nesting_outside_of_strings() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(pass_through(&deep(64)).is_some());
        assert!(pass_through(&deep(65)).is_none());
        assert!(pass_through(&format!("\"{}\"", "[".repeat(100))).is_some());
        assert!(pass_through(&format!("\"\\\"{}\"", "[".repeat(100))).is_some());
        assert!(pass_through(&format!("[{}]", vec!["{}"; 100].join(","))).is_some());
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = Vec::new();
        write_str(&mut out, "a\"\n\u{1}é");
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"\\n\\u0001é\"");
    }
}
