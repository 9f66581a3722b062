//! Any server: templates say what to send, and texts are found wherever they come back. Echo is the
//! simple case of it. Pure; tests at the end.

use super::template::{Hole, Template};
use super::{Common, OutFrame, Seen, WireSettings};
use crate::frame::opcode;
use crate::text::{self, Marker, push_decimal};
use memchr::memmem::Finder;

/// The templates, taken apart.
#[derive(Debug)]
pub(super) struct Raw {
    path: &'static str,
    hello: Vec<Template>,
    publish: Template,
    joined: Option<Finder<'static>>,
}

impl Raw {
    pub(super) fn new(settings: &WireSettings) -> Raw {
        let holes = [Hole::Connection, Hole::Frame, Hole::Room];
        let all = [Hole::Connection, Hole::Frame, Hole::Room, Hole::Payload];
        Raw {
            path: "/{room}",
            hello: settings.hello.iter().map(|hello| Template::new(hello, &holes)).collect(),
            publish: Template::new(&settings.publish, &all),
            joined: settings.joined.as_ref().map(|text| Finder::new(text).into_owned()),
        }
    }

    /// The text alone, at `/echo`.
    pub(super) fn echo() -> Raw {
        let publish = Template::new("{payload}", &[Hole::Payload]);
        Raw { path: "/echo", hello: Vec::new(), publish, joined: None }
    }

    /// Where to connect to, as a template.
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    pub(super) fn join(
        &self,
        common: &Common,
        out: &mut Vec<OutFrame>,
        connection: usize,
        room: usize,
    ) -> bool {
        for (frame, hello) in self.hello.iter().enumerate() {
            let mut payload = Vec::new();
            hello.fill(&mut payload, |out, hole| match hole {
                Hole::Connection => push_decimal(out, connection as u64),
                Hole::Frame => push_decimal(out, frame as u64),
                Hole::Room => common.push_room(out, room),
                Hole::Payload => {}
            });
            out.push(OutFrame { opcode: opcode::TEXT, payload });
        }
        self.joined.is_some()
    }

    #[inline]
    pub(super) fn publish(
        &self,
        common: &Common,
        out: &mut Vec<u8>,
        connection: usize,
        room: usize,
        marker: Marker,
    ) {
        self.publish.fill(out, |out, hole| match hole {
            Hole::Connection => push_decimal(out, connection as u64),
            Hole::Frame => push_decimal(out, self.hello.len() as u64 + u64::from(marker.number)),
            Hole::Room => common.push_room(out, room),
            Hole::Payload => common.texts.write(out, marker),
        });
    }

    #[inline]
    pub(super) fn scan<'a>(
        &self,
        common: &Common,
        payload: &'a [u8],
        report: &mut impl FnMut(Seen<'a>),
    ) {
        if self.joined.as_ref().is_some_and(|joined| joined.find(payload).is_some()) {
            report(Seen::Joined { recovered: None, position: None });
        }
        let mut rest = payload;
        while let Some(at) = text::find(rest) {
            match common.texts.read(&rest[at..]) {
                Some((marker, len)) => {
                    report(Seen::Delivery { marker, offset: 0, recovered: false });
                    rest = &rest[at + len..];
                }
                None => {
                    report(Seen::Corrupt(payload));
                    rest = &rest[at + 2..];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Wire;
    use super::super::testing::*;
    use super::*;

    #[test]
    fn the_path_is_the_room() {
        let wire = wire(&["--dialect=raw"]);
        for (path, expected) in [
            (None, "GET /load-1"),
            (Some("/ws"), "GET /ws"),
            (Some("/ws/{room}?user={i}"), "GET /ws/load-1?user=5"),
        ] {
            assert_eq!(request_line(&wire, path), expected);
        }
        assert_eq!(
            request_line(&super::super::testing::wire(&["--dialect=echo"]), None),
            "GET /echo"
        );
    }

    fn hellos(wire: &Wire) -> (Vec<String>, bool) {
        let mut out = Vec::new();
        let wait = wire.join(&mut out, 5, 1, None);
        assert!(out.iter().all(|frame| frame.opcode == opcode::TEXT));
        (out.into_iter().map(|frame| String::from_utf8(frame.payload).unwrap()).collect(), wait)
    }

    #[test]
    fn templates_are_filled_in() {
        let wire = wire(&[
            "--dialect=raw",
            "--hello=40",
            "--hello=[\"{i}\",\"{n}\",\"{room}\",{payload}]",
            "--joined=\"ok\"",
            "--publish={n} {i} {room} {payload}!",
        ]);
        let hello = vec!["40".to_owned(), r#"["5","1","load-1",{payload}]"#.to_owned()];
        assert_eq!(hellos(&wire), (hello, true));
        let expected = format!("41 5 load-1 {}!", text(&wire, MARKER));
        assert_eq!(String::from_utf8(published(&wire, MARKER)).unwrap(), expected);
        assert_eq!(scanned(&wire, expected.as_bytes()), [delivery(MARKER, 0)]);
        let joined = Seen::Joined { recovered: None, position: None };
        let both = format!("\"ok\"{expected}");
        assert_eq!(scanned(&wire, both.as_bytes()), [joined, delivery(MARKER, 0)]);
    }

    #[test]
    fn the_text_alone_is_enough() {
        for dialect in ["--dialect=raw", "--dialect=echo"] {
            let wire = wire(&[dialect]);
            assert!(!wire.accepts());
            assert_eq!(hellos(&wire), (vec![], false));
            let text = published(&wire, MARKER);
            assert_eq!(text.len(), 64);
            assert_eq!(scanned(&wire, &text), [delivery(MARKER, 0)]);
            let cut = &text[..60];
            assert_eq!(scanned(&wire, cut), [Seen::Corrupt(cut)]);
            assert_eq!(scanned(&wire, b"welcome"), []);
        }
    }

    #[test]
    fn all_texts_of_a_frame_are_found() {
        let wire = wire(&["--dialect=raw", "--payload=64-200"]);
        let next = Marker { number: 40, ..MARKER };
        let (one, two) = (text(&wire, MARKER), text(&wire, next));
        let frame = format!("[{one},~#,{two}{one}]");
        let expected = [
            delivery(MARKER, 0),
            Seen::Corrupt(frame.as_bytes()),
            delivery(next, 0),
            delivery(MARKER, 0),
        ];
        assert_eq!(scanned(&wire, frame.as_bytes()), expected);
    }
}
