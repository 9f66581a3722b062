//! What somebody publishes, in the form in which it came.
//!
//! Members read it in another form perhaps: then, and only then, it is turned into that one. So a
//! plain line in a room of plain clients is never JSON.

use super::chat::{self, Kind, Payload};
use super::json;
use super::plain::Line;
use bytes::BufMut;
use std::borrow::Cow;

const MESSAGE_BEGINS: &[u8] = b"{\"type\":\"message\",\"text\":";

/// What is published; `T` is `&str`, or `Box<str>` on its way to another core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<T> {
    /// Any JSON value: valid, and without a line break.
    Json(T),
    /// The text of a plain client's line; stands for `{"type":"message","text":TEXT}`.
    Line(T),
}

impl<T: AsRef<str>> Content<T> {
    /// The same, borrowed.
    pub fn borrow(&self) -> Content<&str> {
        match self {
            Content::Json(data) => Content::Json(data.as_ref()),
            Content::Line(text) => Content::Line(text.as_ref()),
        }
    }
}

impl<'a> Content<&'a str> {
    /// The JSON or the text as it came.
    pub fn as_str(self) -> &'a str {
        match self {
            Content::Json(data) | Content::Line(data) => data,
        }
    }

    /// The same, for another core.
    pub fn boxed(self) -> Content<Box<str>> {
        match self {
            Content::Json(data) => Content::Json(data.into()),
            Content::Line(text) => Content::Line(text.into()),
        }
    }

    /// As a chat payload; `None` when it breaks the rules of chat.
    pub fn chat(self) -> Option<Payload<'a>> {
        match self {
            Content::Json(data) => chat::parse(data),
            Content::Line(text) => {
                let kind = Kind::Message { text: Cow::Borrowed(text), reply_to: None };
                Some(Payload { kind, nonce: None })
            }
        }
    }

    /// As plain clients read it; `None`: it is not shown to them.
    pub fn line(self) -> Option<Line<'a>> {
        match self {
            Content::Json(data) => Line::of_json(data),
            Content::Line(text) => Some(Line::message(Cow::Borrowed(text))),
        }
    }

    /// No fewer bytes than it has as JSON.
    pub fn json_len_max(self) -> usize {
        match self {
            Content::Json(data) => data.len(),
            Content::Line(text) => {
                // A control character takes up to six bytes there, a quote or backslash two.
                let more = |byte: u8| match byte {
                    0..0x20 => 5,
                    b'"' | b'\\' => 1,
                    _ => 0,
                };
                let more: usize = text.bytes().map(more).sum();
                MESSAGE_BEGINS.len() + 3 + text.len() + more
            }
        }
    }

    /// Appends it as JSON.
    pub fn write_json(self, out: &mut impl BufMut) {
        match self {
            Content::Json(data) => out.put_slice(data.as_bytes()),
            Content::Line(text) => {
                out.put_slice(MESSAGE_BEGINS);
                json::write_str(out, text);
                out.put_u8(b'}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_both_forms() {
        let content = Content::Line("say \"hi\"");
        let mut json = Vec::new();
        content.write_json(&mut json);
        let json = String::from_utf8(json).unwrap();
        assert_eq!(json, r#"{"type":"message","text":"say \"hi\""}"#);
        assert_eq!(Content::Json(json.as_str()).line(), content.line());
        assert_eq!(Content::Json(json.as_str()).chat(), content.chat());
        assert_eq!(content.boxed().borrow(), content);
    }
}
