//! The chat page: the files of `src/web/`, embedded, with their types, ETags and gzip forms.
//!
//! Owns the table of files and what caches are told. Everything is made once, at start. Tests:
//! below (the table against the folder) and `http/tests.rs`.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;

/// Path, media type, content.
type Embedded = (&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file of the page.
const FILES: &[Embedded] = &[
    ("/", HTML, include_bytes!("../web/index.html")),
    ("/attention.js", JS, include_bytes!("../web/attention.js")),
    ("/bell.js", JS, include_bytes!("../web/bell.js")),
    ("/changes.js", JS, include_bytes!("../web/changes.js")),
    ("/client.js", JS, include_bytes!("../web/client.js")),
    ("/commands.js", JS, include_bytes!("../web/commands.js")),
    ("/complete.js", JS, include_bytes!("../web/complete.js")),
    ("/composer.css", CSS, include_bytes!("../web/composer.css")),
    ("/composer.js", JS, include_bytes!("../web/composer.js")),
    ("/dialogs.css", CSS, include_bytes!("../web/dialogs.css")),
    ("/emoji.js", JS, include_bytes!("../web/emoji.js")),
    ("/favicon.svg", SVG, include_bytes!("../web/favicon.svg")),
    ("/finder.js", JS, include_bytes!("../web/finder.js")),
    ("/format.js", JS, include_bytes!("../web/format.js")),
    ("/frame.css", CSS, include_bytes!("../web/frame.css")),
    ("/gate.js", JS, include_bytes!("../web/gate.js")),
    ("/help.js", JS, include_bytes!("../web/help.js")),
    ("/identity.js", JS, include_bytes!("../web/identity.js")),
    ("/log.css", CSS, include_bytes!("../web/log.css")),
    ("/log.js", JS, include_bytes!("../web/log.js")),
    ("/main.js", JS, include_bytes!("../web/main.js")),
    ("/people.js", JS, include_bytes!("../web/people.js")),
    ("/picker.js", JS, include_bytes!("../web/picker.js")),
    ("/presence.js", JS, include_bytes!("../web/presence.js")),
    ("/rooms.js", JS, include_bytes!("../web/rooms.js")),
    ("/row.js", JS, include_bytes!("../web/row.js")),
    ("/search.js", JS, include_bytes!("../web/search.js")),
    ("/session.js", JS, include_bytes!("../web/session.js")),
    ("/settings.js", JS, include_bytes!("../web/settings.js")),
    ("/sidebar.js", JS, include_bytes!("../web/sidebar.js")),
    ("/storage.js", JS, include_bytes!("../web/storage.js")),
    ("/store.js", JS, include_bytes!("../web/store.js")),
    ("/strings.js", JS, include_bytes!("../web/strings.js")),
    ("/style.css", CSS, include_bytes!("../web/style.css")),
    ("/suggestions.js", JS, include_bytes!("../web/suggestions.js")),
    ("/talk.js", JS, include_bytes!("../web/talk.js")),
    ("/theme.js", JS, include_bytes!("../web/theme.js")),
    ("/tools.js", JS, include_bytes!("../web/tools.js")),
    ("/typing.js", JS, include_bytes!("../web/typing.js")),
    ("/view.js", JS, include_bytes!("../web/view.js")),
];

/// A file as it is served.
pub(super) struct File {
    /// Path on the server.
    pub(super) path: &'static str,
    media_type: HeaderValue,
    plain: Form,
    /// Where it is smaller.
    gzip: Option<Form>,
}

/// One encoding of a file; a strong ETag names bytes, so each form has its own.
struct Form {
    bytes: Bytes,
    etag: HeaderValue,
}

/// Makes every file ready to serve.
pub(super) fn files() -> Vec<File> {
    FILES.iter().map(|(path, media_type, bytes)| File::new(path, media_type, bytes)).collect()
}

impl File {
    fn new(path: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        let zipped = gzip(bytes).filter(|zipped| zipped.len() < bytes.len()).map(Bytes::from);
        File {
            path,
            media_type: HeaderValue::from_static(media_type),
            plain: Form { bytes: Bytes::from_static(bytes), etag: etag(bytes, "") },
            gzip: zipped.map(|zipped| Form { bytes: zipped, etag: etag(bytes, "-gzip") }),
        }
    }

    /// The answer to a request with these headers: 200, or 304 if the client has it already.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response<Body> {
        let zipped = self.gzip.as_ref().filter(|_| accepts_gzip(request));
        let form = zipped.unwrap_or(&self.plain);
        let known = is_known(request, &form.etag);
        let mut response =
            Response::new(Body::from(if known { Bytes::new() } else { form.bytes.clone() }));
        let headers = response.headers_mut();
        headers.insert(header::ETAG, form.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy(request));
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, self.media_type.clone());
        if zipped.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// 64 bits of a hash of the content: enough to tell versions of a file apart.
fn etag(content: &[u8], form: &str) -> HeaderValue {
    let hash: String = Sha256::digest(content)[..8].iter().map(|b| format!("{b:02x}")).collect();
    // Hexadecimal digits are always a header value; `""` names nothing in particular.
    HeaderValue::try_from(format!("\"{hash}{form}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What the page may load and where it may connect: this host only. `'self'` covers WebSockets
/// in CSP level 3; browsers of level 2 need the host by name, taken from the request.
fn policy(request: &HeaderMap) -> HeaderValue {
    const BEFORE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                          img-src 'self' data:; connect-src 'self'";
    const AFTER: &str = "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let host = request.get(header::HOST).and_then(|h| h.to_str().ok()).filter(|h| is_host(h));
    let sockets = host.map(|h| format!(" ws://{h} wss://{h}")).unwrap_or_default();
    HeaderValue::from_str(&format!("{BEFORE}{sockets}{AFTER}"))
        .unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// A host and port that cannot end one source of a policy and begin another.
fn is_host(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed)
}

/// `Accept-Encoding` names gzip with a weight above 0 (RFC 9110 section 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING);
    let items = values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let mut any = false;
    for item in items {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters.trim().strip_prefix("q=").unwrap_or("1");
        let wanted = weight.parse::<f32>().is_ok_and(|q| q > 0.0);
        match name.trim() {
            n if n.eq_ignore_ascii_case("gzip") => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// `If-None-Match` names this ETag (RFC 9110 section 13.1.2, weak comparison).
fn is_known(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH);
    let mut items = values.iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    items.any(|item| {
        let item = item.trim_ascii();
        item == b"*" || item.strip_prefix(b"W/").unwrap_or(item) == etag.as_bytes()
    })
}

/// `None` if it cannot be compressed, which memory never refuses.
fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web");
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .map(|name| if name == "index.html" { "/".into() } else { format!("/{name}") })
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|(path, ..)| path.to_string()).collect();
        assert_eq!(served, on_disk);
        for (path, media_type, _) in FILES {
            let expected = match path.rsplit_once('.') {
                None => HTML,
                Some((_, "js")) => JS,
                Some((_, "css")) => CSS,
                Some((_, "svg")) => SVG,
                Some((_, other)) => panic!("{path}: which media type has {other}?"),
            };
            assert_eq!(*media_type, expected, "{path}");
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP", true),
            ("gzip;q=0.5", true),
            ("gzip; q=0", false),
            ("*", true),
            ("*;q=0", false),
            ("*, gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn etags_are_compared_as_lists() {
        let etag = HeaderValue::from_static("\"a\"");
        for (value, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            assert_eq!(is_known(&headers, &etag), expected, "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), &etag));
    }

    #[test]
    fn a_host_cannot_widen_the_policy() {
        for (host, named) in [
            ("chat.example.com:8000", true),
            ("[::1]:8000", true),
            ("a; script-src *", false),
            ("a b", false),
            ("*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            let policy = policy(&headers).to_str().unwrap().to_owned();
            assert_eq!(policy.contains(host), named, "{policy}");
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        }
    }
}
