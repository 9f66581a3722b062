//! The chat payloads: what `data` of a publication means in a room with chat rules.
//!
//! `{"type":"message","text":"hi","nonce":"c0ffee","reply_to":41}`, and the same way `me`, `edit`,
//! `delete`, `react`, `topic`, `typing`. `of` and `reply_to` are offsets in the room. The payload
//! itself is passed through untouched; this module only reads it.

use serde::Deserialize;
use std::borrow::Cow;

/// Bytes of a nonce.
pub const NONCE_BYTES_MAX: usize = 64;
/// Bytes of a reaction's emoji (sequences of several code points are one emoji).
pub const EMOJI_BYTES_MAX: usize = 64;
/// Characters of a topic.
pub const TOPIC_CHARS_MAX: usize = 250;

/// A chat payload, borrowed from the raw JSON.
#[derive(Debug, PartialEq)]
pub struct Payload<'a> {
    /// What it does.
    pub kind: Kind<'a>,
    /// The same nonce of the same user is published once within five minutes.
    pub nonce: Option<Cow<'a, str>>,
}

/// What a chat payload does.
#[derive(Debug, PartialEq)]
pub enum Kind<'a> {
    /// Something said, perhaps as the answer to an earlier message.
    Message {
        /// Not empty.
        text: Cow<'a, str>,
        /// Offset of the message that is answered.
        reply_to: Option<u64>,
    },
    /// `/me waves`.
    Me {
        /// Not empty.
        text: Cow<'a, str>,
    },
    /// New text for a message of one's own.
    Edit {
        /// Offset of the message.
        of: u64,
        /// Not empty.
        text: Cow<'a, str>,
    },
    /// Takes a message of one's own back.
    Delete {
        /// Offset of the message.
        of: u64,
    },
    /// Adds a reaction to a message, or takes it back.
    React {
        /// Offset of the message.
        of: u64,
    },
    /// Sets the room's topic.
    Topic {
        /// May be empty: no topic.
        text: Cow<'a, str>,
    },
    /// Says that somebody is writing, or is not any more.
    Typing {
        /// Whether it is so.
        on: bool,
    },
}

impl Kind<'_> {
    /// What is said, for the limit on texts; a topic has its own.
    pub fn text(&self) -> Option<&str> {
        match self {
            Kind::Message { text, .. } | Kind::Me { text } | Kind::Edit { text, .. } => Some(text),
            Kind::Delete { .. } | Kind::React { .. } | Kind::Topic { .. } | Kind::Typing { .. } => {
                None
            }
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    nonce: Option<Cow<'a, str>>,
    #[serde(default)]
    of: Option<u64>,
    #[serde(default)]
    reply_to: Option<u64>,
    #[serde(borrow, default)]
    emoji: Option<Cow<'a, str>>,
    #[serde(default)]
    on: Option<bool>,
}

/// Reads a payload; `None` when it breaks the rules (error 107 for the client).
pub fn parse(raw: &str) -> Option<Payload<'_>> {
    let wire: Wire<'_> = serde_json::from_str(raw).ok()?;
    if wire.nonce.as_ref().is_some_and(|n| n.is_empty() || n.len() > NONCE_BYTES_MAX) {
        return None;
    }
    let kind = match wire.kind.as_ref() {
        "message" => Kind::Message { text: said(wire.text)?, reply_to: wire.reply_to },
        "me" => Kind::Me { text: said(wire.text)? },
        "edit" => Kind::Edit { of: wire.of?, text: said(wire.text)? },
        "delete" => Kind::Delete { of: wire.of? },
        "react" => {
            wire.emoji.filter(|emoji| is_emoji(emoji))?;
            wire.on?;
            Kind::React { of: wire.of? }
        }
        "topic" => {
            Kind::Topic { text: wire.text.filter(|t| t.chars().count() <= TOPIC_CHARS_MAX)? }
        }
        "typing" => Kind::Typing { on: wire.on? },
        _ => return None,
    };
    Some(Payload { kind, nonce: wire.nonce })
}

/// A text with something in it.
fn said(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    text.filter(|t| !t.trim().is_empty())
}

/// Whether `text` reads as one emoji or a few: symbols, and what joins and varies them.
///
/// No letters, no control characters, no spaces, at most [`EMOJI_BYTES_MAX`] bytes. Not every
/// sequence that passes has a picture; those that have one pass. Source: UTS #51, sections 1.4 and
/// 2, and its emoji-data.txt.
fn is_emoji(text: &str) -> bool {
    let symbol = |c: char| {
        matches!(c,
            '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
            | '\u{2190}'..='\u{23ff}' | '\u{24c2}' | '\u{25a0}'..='\u{27bf}'
            | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}'
            | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
    };
    // Digits, # and * are emoji only on a key (COMBINING ENCLOSING KEYCAP).
    let key = |c: char| c.is_ascii_digit() || matches!(c, '#' | '*');
    // ZERO WIDTH JOINER, variation selectors, the keycap, tags (flags of regions).
    let joint = |c: char| {
        matches!(c, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' | '\u{e0020}'..='\u{e007f}')
    };
    let keycap = text.contains('\u{20e3}');
    text.len() <= EMOJI_BYTES_MAX
        && (keycap || text.chars().any(symbol))
        && text.chars().all(|c| symbol(c) || joint(c) || keycap && key(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_and_their_rules() {
        let good = [
            r#"{"type":"message","text":"hi","nonce":"c0ffee","reply_to":41}"#,
            r#"{"type":"message","text":" x "}"#,
            r#"{"type":"me","text":"waves","extra":{}}"#,
            r#"{"type":"edit","of":42,"text":"hello"}"#,
            r#"{"type":"delete","of":42}"#,
            r#"{"type":"react","of":42,"emoji":"👍","on":true}"#,
            r#"{"type":"topic","text":""}"#,
            r#"{"type":"typing","on":true}"#,
        ];
        let bad = [
            r#"{"type":"message"}"#,
            r#"{"type":"message","text":""}"#,
            r#"{"type":"message","text":" \n"}"#,
            r#"{"type":"message","text":5}"#,
            r#"{"type":"message","text":"a","nonce":""}"#,
            r#"{"type":"edit","text":"hello"}"#,
            r#"{"type":"edit","of":1,"text":""}"#,
            r#"{"type":"delete","of":-1}"#,
            r#"{"type":"react","of":42,"emoji":"","on":true}"#,
            r#"{"type":"react","of":42,"emoji":"👍"}"#,
            r#"{"type":"react","of":42,"emoji":"x","on":true}"#,
            r#"{"type":"typing"}"#,
            r#"{"type":"typing","on":1}"#,
            r#"{"type":"dance","text":"x"}"#,
            r#"{"text":"x"}"#,
            r#""hi""#,
            r#"[]"#,
        ];
        for raw in good {
            assert!(parse(raw).is_some(), "{raw}");
        }
        for raw in bad {
            assert!(parse(raw).is_none(), "{raw}");
        }
        let long = format!(r#"{{"type":"message","text":"a","nonce":"{}"}}"#, "n".repeat(65));
        assert!(parse(&long).is_none());
    }
    #[test]
    fn limits() {
        let topic = |n: usize| format!(r#"{{"type":"topic","text":"{}"}}"#, "ö".repeat(n));
        assert!(parse(&topic(250)).is_some() && parse(&topic(251)).is_none());
        let edit = parse(r#"{"type":"edit","of":1,"text":"new"}"#).unwrap();
        assert_eq!(edit.kind.text(), Some("new"));
        assert_eq!(parse(&topic(1)).unwrap().kind.text(), None);
    }

    #[test]
    fn emoji() {
        let good = [
            "👍",
            "👍🏽",
            "❤️",
            "☺",
            "🇩🇪",
            "1️⃣",
            "#️⃣",
            "👩‍👩‍👧‍👦",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "ℹ️",
            "™",
            "Ⓜ️",
            "㊗️",
            "🅰️",
            "🫠",
            "👍👍",
        ];
        for text in good {
            assert!(is_emoji(text), "{text} {}", text.escape_unicode());
        }
        let bad =
            ["", "x", "+1", ":+1:", "1", "👍x", "👍 ", "👍\n", "é", "李", "\u{200d}", "\u{202e}👍"];
        for text in bad {
            assert!(!is_emoji(text), "{text:?}");
        }
        assert!(is_emoji(&"👍".repeat(16)) && !is_emoji(&"👍".repeat(17)));
    }
}
