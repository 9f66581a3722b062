//! The chat page: the files of `src/web/`, embedded, with their types, ETags and gzip forms.
//!
//! Owns the table of files and what caches are told. Everything is made once, at start. Scripts and
//! style sheets are served without comments (`slim.rs`), the style sheets as one. Tests: below (the
//! table against the folder) and `http/tests.rs`.

use super::slim::slim;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;

/// Path, media type, and the files that are served there, one behind the other.
type Embedded = (&'static str, &'static str, &'static [Source]);

/// Name in the folder, content.
type Source = (&'static str, &'static str);

/// A file of the folder.
macro_rules! web {
    ($name:literal) => {
        ($name, include_str!(concat!("../web/", $name)))
    };
}

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file of the page.
const FILES: &[Embedded] = &[
    ("/", HTML, &[web!("index.html")]),
    ("/attention.js", JS, &[web!("attention.js")]),
    ("/changes.js", JS, &[web!("changes.js")]),
    ("/client.js", JS, &[web!("client.js")]),
    ("/commands.js", JS, &[web!("commands.js")]),
    ("/complete.js", JS, &[web!("complete.js")]),
    ("/composer.js", JS, &[web!("composer.js")]),
    ("/emoji.js", JS, &[web!("emoji.js")]),
    ("/favicon.svg", SVG, &[web!("favicon.svg")]),
    ("/finder.js", JS, &[web!("finder.js")]),
    ("/format.js", JS, &[web!("format.js")]),
    ("/identity.js", JS, &[web!("identity.js")]),
    ("/log.js", JS, &[web!("log.js")]),
    ("/main.js", JS, &[web!("main.js")]),
    ("/people.js", JS, &[web!("people.js")]),
    ("/rooms.js", JS, &[web!("rooms.js")]),
    ("/row.js", JS, &[web!("row.js")]),
    ("/search.js", JS, &[web!("search.js")]),
    ("/session.js", JS, &[web!("session.js")]),
    ("/settings.js", JS, &[web!("settings.js")]),
    ("/sidebar.js", JS, &[web!("sidebar.js")]),
    ("/storage.js", JS, &[web!("storage.js")]),
    ("/store.js", JS, &[web!("store.js")]),
    ("/strings.js", JS, &[web!("strings.js")]),
    (
        "/style.css",
        CSS,
        &[
            web!("style.css"),
            web!("frame.css"),
            web!("log.css"),
            web!("composer.css"),
            web!("search.css"),
            web!("dialogs.css"),
        ],
    ),
    ("/talk.js", JS, &[web!("talk.js")]),
    ("/theme.js", JS, &[web!("theme.js")]),
    ("/tools.js", JS, &[web!("tools.js")]),
    ("/view.js", JS, &[web!("view.js")]),
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
    FILES.iter().map(File::new).collect()
}

impl File {
    fn new((path, media_type, sources): &Embedded) -> Self {
        let whole = |(_, content): &Source| match *media_type {
            SVG => (*content).to_owned(),
            _ => slim(content),
        };
        let bytes = Bytes::from(sources.iter().map(whole).collect::<String>());
        let zipped = gzip(&bytes).filter(|zipped| zipped.len() < bytes.len()).map(Bytes::from);
        File {
            path,
            media_type: HeaderValue::from_static(media_type),
            gzip: zipped.map(|zipped| Form { bytes: zipped, etag: etag(&bytes, "-gzip") }),
            plain: Form { etag: etag(&bytes, ""), bytes },
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
            .collect();
        let served: BTreeSet<String> = FILES
            .iter()
            .flat_map(|(.., sources)| *sources)
            .map(|(name, _)| (*name).to_owned())
            .collect();
        assert_eq!(served, on_disk);
        for (path, media_type, sources) in FILES {
            let expected = match path.rsplit_once('.') {
                None => HTML,
                Some((_, "js")) => JS,
                Some((_, "css")) => CSS,
                Some((_, "svg")) => SVG,
                Some((_, other)) => panic!("{path}: which media type has {other}?"),
            };
            assert_eq!(*media_type, expected, "{path}");
            let first = if *path == "/" { "index.html" } else { path.trim_start_matches('/') };
            assert_eq!(sources[0].0, first, "{path}");
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
