//! A publish in the form in which SDKs write it, read by hand: most of what a busy server reads.
//!
//! With a text of 128 bytes this takes a third of the time that serde's general path takes (`cargo bench
//! -- command/parse` has both: `publish_128B`, and `publish_128B_spaced` for the general path), which
//! was a third of what a message in rooms of 20 cost outside of the kernel (ARCHITECTURE.md).
//!
//! Owns no rule: what is not exactly of this form is left to `command.rs`, and what is read here is
//! what would be read there. Tests: below; both ways read the same.

use super::command::{Command, Data, Publish, Request};
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// Reads `{"id":7,"publish":{"channel":"r","data":VALUE}}`, or the same with `id` last, at the start
/// of `text`: the command and its length. No white space outside of VALUE, nothing escaped in the
/// name; VALUE is a string, an object or an array.
///
/// `None`: something else, or not valid.
pub(super) fn read(text: &str) -> Option<(Command<'_>, usize)> {
    let mut rest = Rest(text);
    rest.skip("{")?;
    let (id, publish) = if rest.skip("\"id\":").is_some() {
        let id = rest.id()?;
        rest.skip(",")?;
        (id, rest.publish()?)
    } else {
        let publish = rest.publish()?;
        rest.skip(",\"id\":")?;
        (rest.id()?, publish)
    };
    rest.skip("}")?;
    Some((Command { id, request: Request::Publish(publish) }, text.len() - rest.0.len()))
}

/// What has not been read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number above 0 that fits in any case.
    fn id(&mut self) -> Option<u32> {
        let len = self.0.bytes().take(10).take_while(u8::is_ascii_digit).count();
        let digits = self.take(len).filter(|digits| len < 10 && !digits.starts_with('0'))?;
        digits.parse().ok()
    }

    fn publish(&mut self) -> Option<Publish<'a>> {
        self.skip("\"publish\":{\"channel\":")?;
        let quoted = self.string()?;
        let channel = Cow::Borrowed(quoted.get(1..quoted.len() - 1)?);
        self.skip(",\"data\":")?;
        let data = Some(Data::Json(self.value()?));
        self.skip("}")?;
        Some(Publish { channel, data })
    }

    /// A string in which nothing is escaped, with its quotes. Nothing is taken if it is another.
    fn string(&mut self) -> Option<&'a str> {
        let inner = self.0.strip_prefix('"')?.as_bytes();
        let (inside, behind) = inner.split_at(memchr::memchr2(b'"', b'\\', inner)?);
        // RFC 8259 section 7: control characters are escaped. The least of all, without leaving early:
        // the compiler turns that into vector instructions, ten times as fast.
        let least = inside.iter().fold(u8::MAX, |least, byte| least.min(*byte));
        let plain = behind.first() == Some(&b'"') && least >= b' ';
        if plain { self.take(inside.len() + 2) } else { None }
    }

    /// A string, an object or an array: its end can be seen without what follows.
    fn value(&mut self) -> Option<&'a str> {
        if let Some(string) = self.string() {
            return Some(string);
        }
        if !self.0.starts_with(['"', '{', '[']) {
            return None;
        }
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let len = values.byte_offset();
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Commands, by_serde};
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: Option<(u32, &str, &str)>) {
        let got = read(text);
        if let Some((command, len)) = &got {
            let (slow, slow_len) = by_serde(text).unwrap();
            assert_eq!((slow.as_ref(), slow_len), (Ok(command), *len), "{text}");
        }
        let got = got.map(|(command, _)| match command.request {
            Request::Publish(Publish { channel: Cow::Borrowed(channel), data }) => {
                (command.id, channel, data.and_then(Data::json).unwrap())
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn forms_of_sdks() {
        let channel = "chat:\u{e4}";
        for data in [r#"{"text":"a\"}\u00e4"}"#, r#""hi""#, r#""""#, r#""\n""#, "[1,[{}]]", "{}"] {
            let publish = format!(r#""publish":{{"channel":"{channel}","data":{data}}}"#);
            for text in [format!(r#"{{"id":41,{publish}}}"#), format!(r#"{{{publish},"id":41}}"#)] {
                check(&text, Some((41, channel, data)));
                check(&format!("{text}\n{text}"), Some((41, channel, data)));
                check(&text[..text.len() - 1], None);
            }
        }
    }

    #[test]
    fn what_is_left_to_the_general_path() {
        for text in [
            "",
            "{}",
            r#"{"id":1,"connect":{}}"#,
            r#"{"id":0,"publish":{"channel":"a","data":{}}}"#,
            r#"{"id":01,"publish":{"channel":"a","data":{}}}"#,
            r#"{"id":1.5,"publish":{"channel":"a","data":{}}}"#,
            r#"{"id":4294967296,"publish":{"channel":"a","data":{}}}"#,
            r#"{"id":1,"publish":{"channel":"a","data":1}}"#,
            r#"{"id":1,"publish":{"channel":"a","data":null}}"#,
            r#"{"id":1,"publish":{"channel":"a","data":{}},"ping":{}}"#,
            r#"{"id":1,"publish":{"channel":"a","data":{},"x":1}}"#,
            r#"{"id":1,"publish":{"channel":"\u0061","data":{}}}"#,
            r#"{"id":1, "publish":{"channel":"a","data":{}}}"#,
            r#"{"id":1,"publish":{"channel":"a","data":"\x"}}"#,
            r#"{"id":1,"publish":{"channel":"a","data":{"a":}}}"#,
            "{\"id\":1,\"publish\":{\"channel\":\"a\tb\",\"data\":{}}}",
            "{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\"a\nb\"}}",
        ] {
            check(text, None);
        }
    }

    proptest! {
        /// However a publish is written or broken: both ways read the same.
        #[test]
        fn both_ways_read_the_same(
            id_last in any::<bool>(),
            id in "[0-9]{1,11}",
            data in r#""[ -~ä👍]{0,40}"|\{"t":"[a-z"\\]{0,5}"\}|[0-9.e-]{1,4}|null|\[\]"#,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), "[\0-~]"), 0..3),
        ) {
            let publish = format!(r#""publish":{{"channel":"room","data":{data}}}"#);
            let mut text = match id_last {
                true => format!(r#"{{{publish},"id":{id}}}"#),
                false => format!(r#"{{"id":{id},{publish}}}"#),
            };
            for (at, with) in changes {
                let starts: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
                let at = *at.get(&starts);
                let len = text[at..].chars().next().map_or(0, char::len_utf8);
                text.replace_range(at..at + len, &with);
            }
            let text = format!("{text} {text}");
            let (mut slow, mut rest) = (Vec::new(), text.as_str());
            while let Some((item, len)) = by_serde(rest) {
                rest = &rest[len..];
                slow.push(item);
                if slow.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            prop_assert_eq!(Commands::new(&text).collect::<Vec<_>>(), slow);
        }
    }
}
