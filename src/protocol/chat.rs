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
        "edit" => {
            said(wire.text)?;
            Kind::Edit { of: wire.of? }
        }
        "delete" => Kind::Delete { of: wire.of? },
        "react" => {
            wire.emoji.filter(|e| !e.is_empty() && e.len() <= EMOJI_BYTES_MAX)?;
            wire.on?;
            Kind::React { of: wire.of? }
        }
        "topic" => {
            Kind::Topic { text: wire.text.filter(|t| t.chars().count() <= TOPIC_CHARS_MAX)? }
        }
        _ => return None,
    };
    Some(Payload { kind, nonce: wire.nonce })
}

/// A text with something in it.
fn said(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    text.filter(|t| !t.trim().is_empty())
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
            r#"{"type":"react","of":42,"emoji":"x"}"#,
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
}
