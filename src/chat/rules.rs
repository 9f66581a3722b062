//! What may be published in a room, as far as its namespace and the payload alone decide it.
//!
//! Owns the rules of chat rooms (`chat`) and of rooms for notices (`droppable`). What depends on
//! the room's history stands in `home`, on time in `nonces` and `slow`. Tests: below; whole rooms
//! in `chat/tests`.

use crate::config::NamespaceOptions;
use crate::protocol::chat::{Kind, Payload};
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::content::Content;

/// Reads a publication by the rules of a room with `options`; `Ok(None)`: there are none.
///
/// Errors: [`codes::BAD_REQUEST`] what is not known, not complete or not for such a room;
/// [`codes::LIMIT_EXCEEDED`] a text longer than `text_size_limit`.
pub fn read<'a>(
    options: &NamespaceOptions,
    content: Content<'a>,
) -> Result<Option<Payload<'a>>, ErrorCode> {
    if !options.chat && !options.droppable {
        return Ok(None);
    }
    let payload = content.chat().ok_or(codes::BAD_REQUEST)?;
    // Whoever is typing is told in rooms of their own, where nothing else is: what is said there
    // could be dropped.
    if matches!(payload.kind, Kind::Typing { .. }) != options.droppable {
        return Err(codes::BAD_REQUEST);
    }
    if payload.kind.text().is_some_and(|text| text.len() > options.text_size_limit) {
        return Err(codes::LIMIT_EXCEEDED);
    }
    Ok(Some(payload))
}

/// Whether slow mode counts the publication: in a room with chat rules only what is said anew,
/// not what is changed.
pub fn is_slowed(payload: Option<&Payload<'_>>) -> bool {
    match payload.map(|payload| &payload.kind) {
        Some(Kind::Message { .. } | Kind::Me { .. } | Kind::Topic { .. }) | None => true,
        Some(
            Kind::Edit { .. } | Kind::Delete { .. } | Kind::React { .. } | Kind::Typing { .. },
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_said_where() {
        let plain = NamespaceOptions::default();
        let chat = NamespaceOptions { chat: true, text_size_limit: 5, ..plain.clone() };
        let typing = NamespaceOptions { droppable: true, ..plain.clone() };
        let check = |options: &NamespaceOptions, raw: &str, expect: Result<bool, ErrorCode>| {
            let read = read(options, Content::Json(raw));
            assert_eq!(read.map(|payload| payload.is_some()), expect, "{raw}");
        };
        let bad = Err(codes::BAD_REQUEST);
        check(&plain, "17", Ok(false));
        check(&chat, "17", bad);
        check(&typing, "17", bad);
        let notice = r#"{"type":"typing","on":true}"#;
        check(&plain, notice, Ok(false));
        check(&chat, notice, bad);
        check(&typing, notice, Ok(true));
        check(&typing, r#"{"type":"message","text":"hello"}"#, bad);
        check(&chat, r#"{"type":"message","text":"hello"}"#, Ok(true));
        let long = Err(codes::LIMIT_EXCEEDED);
        check(&chat, r#"{"type":"message","text":"hello!"}"#, long);
        check(&chat, r#"{"type":"me","text":"hello!"}"#, long);
        check(&chat, r#"{"type":"edit","of":1,"text":"hello!"}"#, long);
        check(&chat, r#"{"type":"message","text":"ööö"}"#, long);
        check(&chat, r#"{"type":"topic","text":"has its own limit"}"#, Ok(true));
        assert_eq!(read(&chat, Content::Line("hello!")), Err(codes::LIMIT_EXCEEDED));
        assert!(read(&typing, Content::Line("hello")).is_err());
    }

    #[test]
    fn what_slow_mode_counts() {
        let slowed = |raw| {
            let payload = Content::Json(raw).chat();
            assert!(payload.is_some(), "{raw}");
            is_slowed(payload.as_ref())
        };
        assert!(is_slowed(None));
        assert!(slowed(r#"{"type":"message","text":"a"}"#));
        assert!(slowed(r#"{"type":"topic","text":"a"}"#));
        assert!(!slowed(r#"{"type":"edit","of":1,"text":"a"}"#));
        assert!(!slowed(r#"{"type":"react","of":1,"emoji":"👍","on":true}"#));
    }
}
