//! Text with holes: `{i}`, `{n}`, `{room}`, `{payload}`. Pure; tests at the end.

/// What stands in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hole {
    /// `{i}`: the connection's number.
    Connection,
    /// `{n}`: the frame's number on its connection.
    Frame,
    /// `{room}`: the room's name.
    Room,
    /// `{payload}`: the message's text.
    Payload,
}

impl Hole {
    fn name(self) -> &'static str {
        match self {
            Hole::Connection => "{i}",
            Hole::Frame => "{n}",
            Hole::Room => "{room}",
            Hole::Payload => "{payload}",
        }
    }
}

/// A text, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

impl Template {
    /// Of `text`, with these holes; other braces stay what they are.
    pub(super) fn new(text: &str, holes: &[Hole]) -> Template {
        let mut parts = Vec::new();
        let mut rest = text;
        let next = |rest: &str| {
            let found = holes.iter().filter_map(|hole| Some((rest.find(hole.name())?, *hole)));
            found.min_by_key(|(at, _)| *at)
        };
        while let Some((at, hole)) = next(rest) {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            parts.push(Part::Hole(hole));
            rest = &rest[at + hole.name().len()..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Template(parts)
    }

    /// Appends it to `out`; `hole` appends what stands in a hole.
    #[inline]
    pub(super) fn fill(&self, out: &mut Vec<u8>, mut hole: impl FnMut(&mut Vec<u8>, Hole)) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Hole(which) => hole(out, *which),
            }
        }
    }
}

/// Appends `text` as part of a URL: what may not stand there as it is becomes `%XX`.
pub(super) fn push_encoded(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(byte),
            b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'@' | b'$' => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_what_it_may() {
        let all = [Hole::Connection, Hole::Frame, Hole::Room, Hole::Payload];
        for (text, holes, expected) in [
            ("", &all[..], ""),
            ("plain", &all, "plain"),
            ("{payload}", &all, "<Payload>"),
            (
                "42[\"m\",{\"i\":{i},\"n\":{n}}]",
                &all,
                "42[\"m\",{\"i\":<Connection>,\"n\":<Frame>}]",
            ),
            ("/{room}/{i}/{n}", &[Hole::Connection, Hole::Room], "/<Room>/<Connection>/{n}"),
            ("{{i}}{i", &all, "{<Connection>}{i"),
            ("{room}{room}", &all, "<Room><Room>"),
        ] {
            let mut out = Vec::new();
            Template::new(text, holes).fill(&mut out, |out, hole| {
                out.extend_from_slice(format!("<{hole:?}>").as_bytes());
            });
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn encodes_for_a_url() {
        for (text, expected) in
            [("chat:load-1", "chat:load-1"), ("a b&c", "a%20b%26c"), ("ö\r\n", "%C3%B6%0D%0A")]
        {
            let mut out = Vec::new();
            push_encoded(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
