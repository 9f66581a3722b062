//! What somebody publishes, in the form in which it came.
//!
//! Members read it in another form perhaps: then, and only then, it is turned into that one. So a
//! plain line in a room of plain clients is never JSON.

use super::chat::{self, Kind, Payload};
use super::json;
use super::plain::Line;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

const MESSAGE_BEGINS: &[u8] = b"{\"type\":\"message\",\"text\":";

/// What is published, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Any JSON value: valid, and without a line break.
    Json(&'a str),
    /// The text of a plain client's line; stands for `{"type":"message","text":TEXT}`.
    Line(&'a str),
    /// Bytes that are no JSON. In the JSON form a string that holds their base64 (RFC 4648 section
    /// 4); not chat, and not shown to plain clients.
    Binary(&'a [u8]),
}

/// The same, shared: on its way to another core, or kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedContent {
    /// See [`Content::Json`].
    Json(Arc<str>),
    /// See [`Content::Line`].
    Line(Arc<str>),
    /// See [`Content::Binary`].
    Binary(Arc<[u8]>),
}

impl SharedContent {
    /// The same, borrowed.
    pub fn view(&self) -> Content<'_> {
        match self {
            SharedContent::Json(data) => Content::Json(data),
            SharedContent::Line(text) => Content::Line(text),
            SharedContent::Binary(bytes) => Content::Binary(bytes),
        }
    }
}

impl<'a> Content<'a> {
    /// Bytes of it as it came.
    pub fn len(self) -> usize {
        match self {
            Content::Json(data) | Content::Line(data) => data.len(),
            Content::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// A copy that can be shared.
    pub fn shared(self) -> SharedContent {
        match self {
            Content::Json(data) => SharedContent::Json(data.into()),
            Content::Line(text) => SharedContent::Line(text.into()),
            Content::Binary(bytes) => SharedContent::Binary(bytes.into()),
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
            Content::Binary(_) => None,
        }
    }

    /// As plain clients read it; `None`: it is not shown to them.
    pub fn line(self) -> Option<Line<'a>> {
        match self {
            Content::Json(data) => Line::of_json(data),
            Content::Line(text) => Some(Line::message(Cow::Borrowed(text))),
            Content::Binary(_) => None,
        }
    }

    /// Bytes that it has as JSON.
    pub fn json_len(self) -> usize {
        match self {
            Content::Json(data) => data.len(),
            Content::Line(text) => MESSAGE_BEGINS.len() + json::str_len(text) + 1,
            Content::Binary(bytes) => bytes.len().div_ceil(3) * 4 + 2,
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
            Content::Binary(bytes) => {
                // Writing to memory that grows cannot fail.
                let _ = write!(out.writer(), "\"{}\"", Base64Display::new(bytes, &STANDARD));
            }
        }
    }

    /// Bytes that it has as a protobuf client reads it.
    pub fn protobuf_len(self) -> usize {
        match self {
            Content::Json(_) | Content::Line(_) => self.json_len(),
            Content::Binary(bytes) => bytes.len(),
        }
    }

    /// Appends it as a protobuf client reads it: binary as it came, everything else as JSON.
    pub fn write_protobuf(self, out: &mut impl BufMut) {
        match self {
            Content::Json(_) | Content::Line(_) => self.write_json(out),
            Content::Binary(bytes) => out.put_slice(bytes),
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
        assert_eq!(content.shared().view(), content);
    }

    #[test]
    fn bytes_that_are_no_json() {
        let content = Content::Binary(b"\xff\x00\x01\x02");
        let (mut json, mut protobuf) = (Vec::new(), Vec::new());
        content.write_json(&mut json);
        content.write_protobuf(&mut protobuf);
        assert_eq!(json, b"\"/wABAg==\"");
        assert_eq!(protobuf, b"\xff\x00\x01\x02");
        assert_eq!((content.chat(), content.line()), (None, None));
        assert_eq!(content.shared().view(), content);
    }

    #[test]
    fn its_length_is_known_beforehand() {
        let every: String =
            (0..0x80u8).map(char::from).chain("äöü\u{7f}\u{2028}🎈".chars()).collect();
        for text in ["", "hi", "\"\"\"", "\\", &every] {
            for content in
                [Content::Line(text), Content::Json(text), Content::Binary(text.as_bytes())]
            {
                let (mut json, mut protobuf) = (Vec::new(), Vec::new());
                content.write_json(&mut json);
                content.write_protobuf(&mut protobuf);
                assert_eq!(json.len(), content.json_len(), "{content:?}");
                assert_eq!(protobuf.len(), content.protobuf_len(), "{content:?}");
            }
        }
    }
}
