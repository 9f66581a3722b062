//! Lines of text: the URL names the room, `from NAME: TEXT` comes to all, other lines are notices.
//! Pure; tests at the end.

use super::template::push_encoded;
use super::{Common, Seen};
use crate::text;

/// Where the server takes them.
pub(super) const PATH: &str = "/plain";

/// The dialect has nothing to prepare.
#[derive(Debug)]
pub(super) struct Plain;

/// Appends the query that joins `room`. `given`: the path's template; it may name the room itself.
pub(super) fn query(common: &Common, path: &mut Vec<u8>, given: &str, room: usize) {
    let mut joint = if given.contains('?') { b'&' } else { b'?' };
    let room = (!given.contains("{room}")).then(|| ("room=", common.room(room)));
    let token = common.token.clone().map(|token| ("token=", token));
    for (name, value) in room.into_iter().chain(token) {
        path.push(joint);
        path.extend_from_slice(name.as_bytes());
        push_encoded(path, &value);
        joint = b'&';
    }
}

#[inline]
pub(super) fn scan<'a>(common: &Common, payload: &'a [u8], report: &mut impl FnMut(Seen<'a>)) {
    if !payload.starts_with(b"from ") {
        // A notice: joins, leaves, topics.
        return;
    }
    let at = text::find(payload);
    let read = at.and_then(|at| Some((at, common.texts.read(&payload[at..])?)));
    report(match read {
        Some((at, (marker, len))) if at + len == payload.len() => {
            Seen::Delivery { marker, offset: 0, recovered: false }
        }
        _ => Seen::Corrupt(payload),
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn the_url_joins() {
        let wire = wire(&["--dialect=plain", "--namespace=chat"]);
        for (path, expected) in [
            (None, "GET /plain?room=chat:load-1"),
            (Some("/x"), "GET /x?room=chat:load-1"),
            (Some("/x?y=z"), "GET /x?y=z&room=chat:load-1"),
            (Some("/x/{room}/{i}"), "GET /x/chat:load-1/5"),
        ] {
            assert_eq!(request_line(&wire, path), expected);
        }
        let mut out = Vec::new();
        assert!(!wire.join(&mut out, 5, 1, None) && out.is_empty());
        let wire = super::super::testing::wire(&["--dialect=plain", "--token=a.b&c"]);
        assert_eq!(request_line(&wire, None), "GET /plain?room=load-1&token=a.b%26c");
    }

    #[test]
    fn lines_come_back() {
        let wire = wire(&["--dialect=plain"]);
        assert!(!wire.accepts());
        let text = published(&wire, MARKER);
        assert_eq!(text.len(), 64);
        let line = [b"from ~bob: ", &text[..]].concat();
        assert_eq!(scanned(&wire, &line), [delivery(MARKER, 0)]);
        let cut = &line[..line.len() - 1];
        assert_eq!(scanned(&wire, cut), [Seen::Corrupt(cut)]);
        let more = [&line[..], b"!"].concat();
        assert_eq!(scanned(&wire, &more), [Seen::Corrupt(&more)]);
        assert_eq!(scanned(&wire, b"from bob: hello"), [Seen::Corrupt(b"from bob: hello")]);
        assert_eq!(scanned(&wire, b"* bob joined"), []);
    }
}
