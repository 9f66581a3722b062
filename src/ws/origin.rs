//! Which pages may connect (RFC 6455 section 10.2, RFC 6454).
//!
//! Owns the comparison of an `Origin` with the page's own host or a list of allowed origins.
//! It says nothing about who the user is. Tests: below.

use super::handshake::Upgrade;

/// Whether the page that a browser names in `Origin` may open this connection.
///
/// Without an `Origin` the client is not a browser, and allowed. With an empty list the origin's
/// host and port have to be those of the request's `Host`. Entries of the list: `"*"` (any),
/// `"null"` (pages without an origin, such as files), or an origin such as
/// `https://example.org:8443`, whose host may begin with `*.` for every subdomain. Scheme and
/// host are compared without regard to case; a missing port is the scheme's own.
pub fn origin_allowed(upgrade: &Upgrade, allowed: &[String]) -> bool {
    let Some(origin) = upgrade.origin.as_deref() else { return true };
    if allowed.iter().any(|entry| entry == "*") {
        return true;
    }
    if origin.eq_ignore_ascii_case("null") {
        return allowed.iter().any(|entry| entry.eq_ignore_ascii_case("null"));
    }
    let Some(origin) = Origin::parse(origin) else { return false };
    if allowed.is_empty() {
        return upgrade.host.as_deref().is_some_and(|host| origin.is_at(host));
    }
    allowed.iter().filter_map(|entry| Origin::parse(entry)).any(|entry| origin.matches(&entry))
}

/// `scheme://host[:port]`, nothing behind.
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Origin<'a>> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = host_and_port(authority)?;
        Some(Origin { scheme, host, port: port.or(default_port(scheme)) })
    }

    fn is_at(&self, authority: &str) -> bool {
        host_and_port(authority).is_some_and(|(host, port)| {
            self.host.eq_ignore_ascii_case(host) && self.port == port.or(default_port(self.scheme))
        })
    }

    fn matches(&self, entry: &Origin<'_>) -> bool {
        let host_fits = match entry.host.strip_prefix("*.") {
            Some(parent) => is_subdomain(self.host, parent),
            None => self.host.eq_ignore_ascii_case(entry.host),
        };
        host_fits && self.scheme.eq_ignore_ascii_case(entry.scheme) && self.port == entry.port
    }
}

/// `None` for what is no authority of an origin: empty, with a path, a user or a bad port.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let split = match authority.rfind(']') {
        // [::1]:8000
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let (host, port) = split;
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return None;
    }
    match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        Some(_) => None,
        None => port.is_empty().then_some((host, None)),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        s if s.eq_ignore_ascii_case("http") => Some(80),
        s if s.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}

fn is_subdomain(host: &str, parent: &str) -> bool {
    let (host, parent) = (host.as_bytes(), parent.as_bytes());
    let Some(dot) = host.len().checked_sub(parent.len() + 1) else { return false };
    dot > 0 && host[dot] == b'.' && host[dot + 1..].eq_ignore_ascii_case(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(host: Option<&str>, origin: Option<&str>) -> Upgrade {
        Upgrade {
            path: "/".into(),
            query: None,
            host: host.map(Into::into),
            origin: origin.map(Into::into),
            key: "dGhlIHNhbXBsZSBub25jZQ==".into(),
            protocols: Vec::new(),
            head_len: 0,
        }
    }

    #[test]
    fn the_own_page_is_allowed() {
        let check = |host: &str, origin: &str, expect: bool| {
            let upgrade = upgrade(Some(host), Some(origin));
            assert_eq!(origin_allowed(&upgrade, &[]), expect, "{origin} at {host}");
        };
        check("example.org", "http://example.org", true);
        check("Example.ORG:80", "http://example.org", true);
        check("example.org", "https://example.org", true);
        check("example.org:443", "https://EXAMPLE.org", true);
        check("localhost:8000", "http://localhost:8000", true);
        check("[::1]:8000", "http://[::1]:8000", true);
        check("[::1]", "http://[::1]", true);
        check("localhost:8000", "http://localhost:8001", false);
        check("localhost:8000", "http://localhost", false);
        check("example.org", "http://example.org.evil.net", false);
        check("example.org", "http://evil.net", false);
        check("example.org", "http://user@example.org", false);
        check("example.org", "http://example.org/", false);
        check("example.org", "http://example.org:80x", false);
        check("example.org", "http://example.org:+80", false);
        check("example.org", "http://", false);
        check("example.org", "example.org", false);
        check("example.org", "null", false);
        check("example.org", "", false);
        check("", "http://example.org", false);
    }

    #[test]
    fn no_origin_is_no_browser() {
        assert!(origin_allowed(&upgrade(Some("a"), None), &[]));
        assert!(origin_allowed(&upgrade(None, None), &["https://b".into()]));
        assert!(!origin_allowed(&upgrade(None, Some("http://a")), &[]));
    }

    #[test]
    fn a_list_replaces_the_own_host() {
        let check = |allowed: &[&str], origin: &str, expect: bool| {
            let allowed: Vec<String> = allowed.iter().map(|s| s.to_string()).collect();
            let upgrade = upgrade(Some("chat.example.org"), Some(origin));
            assert_eq!(origin_allowed(&upgrade, &allowed), expect, "{origin} in {allowed:?}");
        };
        check(&["*"], "http://anything", true);
        check(&["*"], "null", true);
        check(&["null"], "null", true);
        check(&["null"], "http://chat.example.org", false);
        check(&["https://example.org"], "https://Example.org", true);
        check(&["https://example.org:443"], "https://example.org", true);
        check(&["https://example.org"], "http://example.org", false);
        check(&["https://example.org"], "https://example.org:8443", false);
        check(&["https://example.org"], "https://chat.example.org", false);
        check(&["https://a", "https://b"], "https://b", true);
        check(&["https://*.example.org"], "https://a.b.EXAMPLE.org", true);
        check(&["https://*.example.org"], "https://example.org", false);
        check(&["https://*.example.org"], "https://.example.org", false);
        check(&["https://*.example.org"], "https://badexample.org", false);
        check(&["https://*.example.org"], "https://a.example.org:1", false);
        check(&["https://*.example.org:1"], "https://a.example.org:1", true);
        check(&["app://x"], "app://x", true);
        check(&["nonsense"], "https://nonsense", false);
    }
}
