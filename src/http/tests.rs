//! Tests of the HTTP side over real sockets on 127.0.0.1, port 0.
//!
//! [`Side::open`] plays the worker: it accepts, and hands the socket over with the bytes that the
//! worker would have read.

use super::*;
use crate::chat::api::{Answer, Outcome, Request};
use crate::config::ErrorMode;
use crate::metrics::{Cells, METRICS};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Instant;

/// Nothing here takes this long; it only keeps a broken test from hanging.
const DEADLINE: Duration = Duration::from_secs(20);

const UPGRADE: &str = "GET /connection/websocket?x=1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

type Ask = Arc<dyn Fn(usize, Request) -> oneshot::Receiver<Answer> + Send + Sync>;

struct Side {
    listener: TcpListener,
    handle: Handle,
    scrape: Arc<Scrape>,
    backs: mpsc::Receiver<HandBack>,
}

impl Side {
    fn start(set: impl FnOnce(&mut Config)) -> Side {
        Side::start_with(set, Arc::new(Vec::new))
    }

    fn start_with(set: impl FnOnce(&mut Config), pulse: Pulse) -> Side {
        // The shards of this server API have ended.
        Side::start_asking(set, pulse, Arc::new(|_, _| oneshot::channel().1))
    }

    fn start_asking(set: impl FnOnce(&mut Config), pulse: Pulse, ask: Ask) -> Side {
        let mut config = Config::default();
        set(&mut config);
        let (send, backs) = mpsc::channel();
        let send = Mutex::new(send);
        let scrape = Arc::new(Scrape::new(vec![Arc::new(Cells::default()), Arc::default()]));
        let back: Back = Arc::new(move |b| send.lock().unwrap().send(b).unwrap());
        let door = ApiDoor {
            shards: 2,
            home: Arc::new(|_| 1),
            ask,
            node_uid: "uid".to_owned(),
            node_name: "name".to_owned(),
        };
        let handle = start(Arc::new(config), Arc::clone(&scrape), back, pulse, door).unwrap();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Side { listener, handle, scrape, backs }
    }

    /// A connection whose first bytes were read already. `None`: refused.
    fn try_open(&self, read: &[u8]) -> Option<Client> {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (stream, _) = self.listener.accept().unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.set_write_timeout(Some(DEADLINE)).unwrap();
        self.handle.serve(stream, read.to_vec()).ok()?;
        Some(Client(client))
    }

    fn open(&self, read: &str) -> Client {
        self.try_open(read.as_bytes()).unwrap()
    }

    /// One request on a connection of its own.
    fn ask(&self, request: &str) -> Reply {
        self.open(request).reply_to(request)
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < DEADLINE, "{what}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.handle.drain(Duration::ZERO);
        self.handle.join();
    }
}

struct Client(TcpStream);

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    fn reply_to(&mut self, request: &str) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let n = self.0.read(&mut byte).unwrap();
            assert_eq!(n, 1, "closed after {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |l| l.parse().unwrap());
        if !request.starts_with("HEAD") && status != 304 {
            reply.body = vec![0; length];
            self.0.read_exact(&mut reply.body).unwrap();
        }
        reply
    }

    fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: chat.example.com:8000\r\n{headers}\r\n")
}

#[test]
fn the_page_and_its_headers() {
    let side = Side::start(|_| {});
    let page = side.ask(&get("/", ""));
    assert_eq!(
        (page.status, page.body.as_slice()),
        (200, slim::slim(include_str!("../web/index.html")).as_bytes())
    );
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("vary", "accept-encoding"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self' ws://chat.example.com:8000 wss://chat.example.com:8000; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let script = side.ask(&get("/main.js", ""));
    assert_eq!(script.status, 200);
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let side = Side::start(|_| {});
    let mut etags = Vec::new();
    for accept in ["", "Accept-Encoding: br, gzip\r\n"] {
        let page = side.ask(&get("/", accept));
        let etag = page.header("etag").unwrap().to_owned();
        let again = side.ask(&get("/", &format!("{accept}If-None-Match: {etag}\r\n")));
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(again.header("etag"), Some(etag.as_str()));
        assert!(again.header("content-security-policy").is_some());
        assert_eq!(side.ask(&get("/", "If-None-Match: \"other\"\r\n")).status, 200);
        etags.push(etag);
    }
    assert_ne!(etags[0], etags[1], "each encoding has an ETag of its own");
}

#[test]
fn gzip_for_those_who_take_it() {
    let side = Side::start(|_| {});
    let page = side.ask(&get("/", "Accept-Encoding: gzip\r\n"));
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    let plain = slim::slim(include_str!("../web/index.html")).into_bytes();
    assert!(page.body.len() < plain.len());
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(page.body.as_slice()).read_to_end(&mut unzipped).unwrap();
    assert_eq!(unzipped, plain);
    assert_eq!(side.ask(&get("/", "")).header("content-encoding"), None);
}

#[test]
fn paths_and_methods() {
    let side = Side::start(|_| {});
    for (request, status) in [
        ("GET / HTTP/1.1", 200),
        ("GET /?room=x HTTP/1.1", 200),
        ("HEAD / HTTP/1.1", 200),
        ("HEAD /health HTTP/1.1", 200),
        ("HEAD /metrics HTTP/1.1", 200),
        ("GET /nothing HTTP/1.1", 404),
        ("GET /../Cargo.toml HTTP/1.1", 404),
        ("GET /health/ HTTP/1.1", 404),
        ("POST / HTTP/1.1", 405),
        ("DELETE /health HTTP/1.1", 405),
        ("OPTIONS /metrics HTTP/1.1", 405),
    ] {
        let reply = side.ask(&format!("{request}\r\nHost: h\r\n\r\n"));
        assert_eq!(reply.status, status, "{request}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{request}");
        let allow = (status == 405).then_some("GET,HEAD");
        assert_eq!(reply.header("allow"), allow, "{request}");
    }
    let whole = side.ask(&get("/", ""));
    let head = side.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(head.header("content-length"), whole.header("content-length"));
}

#[test]
fn health_needs_every_worker() {
    // The other end is dropped: a worker that is gone.
    let side = Side::start_with(|_| {}, Arc::new(|| vec![tokio::sync::oneshot::channel().1]));
    assert_eq!(side.ask(&get("/health", "")).status, 503);
}

#[test]
fn health_says_ok() {
    let side = Side::start(|_| {});
    let reply = side.ask(&get("/health", ""));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(reply.text(), format!("{{\"status\":\"ok\",\"version\":\"{version}\"}}\n"));
}

#[test]
fn metrics_of_every_worker() {
    let side = Side::start(|_| {});
    side.scrape.workers[0].sessions.set(3);
    side.scrape.workers[1].closed_slow.add(5);
    let reply = side.ask(&get("/metrics", ""));
    assert_eq!(reply.header("content-type"), Some(export::CONTENT_TYPE));
    let text = reply.text();
    for line in [
        "# HELP ringchat_sessions WebSocket connections open now.",
        "# TYPE ringchat_sessions gauge",
        "ringchat_sessions{worker=\"0\"} 3",
        "ringchat_sessions{worker=\"1\"} 0",
        "# TYPE ringchat_disconnects counter",
        "ringchat_disconnects_total{worker=\"1\",reason=\"slow\"} 5",
        "ringchat_disconnects_total{worker=\"0\",reason=\"slow\"} 0",
        "ringchat_http_requests_total 1",
        "ringchat_http_connections 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let mut described: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    let names = METRICS.chunk_by(|a, b| a.name == b.name).count();
    assert_eq!(described.len(), names);
    described.sort_unstable();
    described.dedup();
    assert_eq!(described.len(), names, "TYPE once per name");
    assert_eq!(text.lines().filter(|l| l.starts_with("# HELP")).count(), names);
}

#[test]
fn requests_in_one_piece_and_in_many() {
    let side = Side::start(|_| {});
    let (health, missing) = (get("/health", ""), get("/missing", ""));
    // Three requests at once, the last of them cut: the worker read that far.
    let (start, rest) = health.split_at(9);
    let mut client = side.open(&format!("{health}{missing}{start}"));
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.reply().status, 404);
    for piece in rest.as_bytes() {
        client.0.write_all(&[*piece]).unwrap();
    }
    assert_eq!(client.reply().status, 200);
    client.send(&get("/missing", "Connection: close\r\n"));
    assert_eq!(client.reply().status, 404);
    client.assert_closed();
    let mut old = side.open("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(old.reply().status, 200);
    old.assert_closed();
}

#[test]
fn a_request_with_a_body_is_answered() {
    let side = Side::start(|_| {});
    let mut client = side.open("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.status, 405);
    // Not read to its end: the connection ends instead.
    client.assert_closed();
}

#[test]
fn an_upgrade_goes_back_after_other_requests() {
    let side = Side::start(|_| {});
    let mut client = side.open(&get("/health", ""));
    assert_eq!(client.reply().status, 200);
    client.send(&format!("{UPGRADE}frames"));
    let mut back = side.backs.recv_timeout(DEADLINE).unwrap();
    assert_eq!(
        (back.upgrade.path.as_str(), back.upgrade.query.as_deref()),
        ("/connection/websocket", Some("x=1"))
    );
    // What did not come with the head is still in the socket.
    let mut frames = back.read.clone();
    let have = frames.len();
    frames.resize("frames".len(), 0);
    back.stream.read_exact(&mut frames[have..]).unwrap();
    assert_eq!(frames, b"frames");
    back.stream.write_all(&back.upgrade.response(None)).unwrap();
    let answer = client.reply();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    side.until("the place is free again", || side.scrape.http.http_connections.get() == 0);
    assert_eq!(side.scrape.http.http_handed_back.get(), 1);
    // It belongs to the worker now: draining does not touch it.
    side.handle.drain(Duration::ZERO);
    side.handle.join();
    back.stream.write_all(b"still here").unwrap();
    let mut text = [0; 10];
    client.0.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"still here");
}

#[test]
fn an_upgrade_waits_for_the_answers_before_it() {
    let side = Side::start(|_| {});
    // 60 MB: three quarters of it are more than the sockets' buffers may grow to (4 and 32 MB), so
    // that hyper cannot write it all before the upgrade.
    let count = 4_000;
    let requests = get("/store.js", "").repeat(count);
    let mut client = side.open(&format!("{requests}{UPGRADE}"));
    for n in 0..count {
        if n == count / 4 {
            assert!(side.backs.try_recv().is_err(), "handed back before the answers were read");
        }
        assert_eq!(client.reply().status, 200);
    }
    let mut back = side.backs.recv_timeout(DEADLINE).unwrap();
    back.stream.write_all(&back.upgrade.response(None)).unwrap();
    assert_eq!(client.reply().status, 101);
}

#[test]
fn a_bad_upgrade_is_refused() {
    let side = Side::start(|_| {});
    for (request, status) in [
        (UPGRADE.replace("Version: 13", "Version: 8"), 426),
        (UPGRADE.replace("GET", "POST"), 405),
        (UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), 400),
        (UPGRADE.replace("Upgrade: websocket", "X: y"), 400),
        (UPGRADE.replace("Sec-WebSocket-Key: ", "X: "), 400),
    ] {
        let mut client = side.open(&get("/health", ""));
        assert_eq!(client.reply().status, 200);
        client.send(&request);
        let reply = client.reply();
        assert_eq!(reply.status, status, "{request}");
        let version = (status == 426).then_some("13");
        assert_eq!(reply.header("sec-websocket-version"), version);
        client.assert_closed();
    }
    assert!(side.backs.try_recv().is_err());
}

#[test]
fn heads_are_bounded() {
    let side = Side::start(|_| {});
    let mut client = side.open(&get("/health", ""));
    assert_eq!(client.reply().status, 200);
    client.send(&get("/", &format!("X: {}\r\n", "y".repeat(17 * 1024))));
    assert_eq!(client.reply().status, 431);
    client.assert_closed();
    let mut garbage = side.open("nonsense\r\n\r\n");
    assert_eq!(garbage.reply().status, 400);
    garbage.assert_closed();
}

#[test]
fn a_slow_head_is_answered_408() {
    let side = Side::start(|c| c.http_server.head_timeout = Duration::from_millis(50));
    let mut client = side.open(&get("/health", ""));
    assert_eq!(client.reply().status, 200);
    client.send("GET /hea");
    assert_eq!(client.reply().status, 408);
    client.assert_closed();
    assert_eq!(side.scrape.http.http_timeouts.get(), 1);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let side = Side::start(|c| c.http_server.idle_timeout = Duration::from_millis(50));
    let mut client = side.open(&get("/health", ""));
    assert_eq!(client.reply().status, 200);
    client.assert_closed();
}

#[test]
fn who_does_not_take_the_answer_is_closed() {
    let side = Side::start(|c| c.http_server.idle_timeout = Duration::from_millis(200));
    let client = side.open(&get("/store.js", "").repeat(1_500));
    side.until("closed", || side.scrape.http.http_timeouts.get() == 1);
    drop(client);
    side.until("the place is free again", || side.scrape.http.http_connections.get() == 0);
}

#[test]
fn connections_are_bounded() {
    let side = Side::start(|c| c.http_server.connection_limit = 4);
    let mut clients: Vec<Client> = (0..2).map(|_| side.open(&get("/health", ""))).collect();
    for client in &mut clients {
        assert_eq!(client.reply().header("connection"), None);
    }
    clients.extend((0..2).map(|_| side.open("")));
    assert!(side.try_open(b"").is_none(), "the worker answers 503");
    // Crowded: whoever is answered now is not kept.
    clients[3].send(&get("/health", ""));
    assert_eq!(clients[3].reply().header("connection"), Some("close"));
    clients[3].assert_closed();
    drop(clients.remove(3));
    side.until("a place is free", || side.try_open(b"").is_some());
}

/// A request to the server API, whose key is `k`.
fn api(method: &str, body: &str) -> String {
    format!(
        "POST /api/{method} HTTP/1.1\r\nHost: h\r\nX-API-Key: k\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_server_api_does_not_wait_forever() {
    const INTERNAL: &str = r#"{"error":{"code":100,"message":"internal server error"}}"#;
    let set = |config: &mut Config| {
        config.http_api.key = "k".into();
        config.http_api.timeout = Duration::from_millis(100);
    };
    let silent = Mutex::new(Vec::new());
    let never: Ask = Arc::new(move |_, _| {
        let (answer, answered) = oneshot::channel();
        silent.lock().unwrap().push(answer);
        answered
    });
    let ended: Ask = Arc::new(|_, _| oneshot::channel().1);
    for ask in [never, ended] {
        let side = Side::start_asking(set, Arc::new(Vec::new), ask);
        for (method, body) in [("info", "{}"), ("history", r#"{"channel":"r"}"#)] {
            let reply = side.ask(&api(method, body));
            assert_eq!((reply.status, reply.text()), (200, INTERNAL), "{method}");
        }
        let batch = side.ask(&api("batch", r#"{"commands":[{"info":{}},{"info":{}}]}"#));
        let error = INTERNAL;
        assert_eq!(batch.text(), format!("{{\"replies\":[{error},{error}]}}"));
        assert_eq!(side.scrape.http.http_api_errors.get(), 4);
    }
}

#[test]
fn the_server_api_asks_homes_and_all_shards() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let ask: Ask = Arc::new(move |shard, _| {
        log.lock().unwrap().push(shard);
        let (answer, answered) = oneshot::channel();
        let _ = answer.send(Ok(Outcome::Done));
        answered
    });
    let set = |config: &mut Config| config.http_api.key = "k".into();
    let side = Side::start_asking(set, Arc::new(Vec::new), ask);
    for (method, body, shards) in [
        ("publish", r#"{"channel":"r","data":1}"#, vec![1]),
        ("broadcast", r#"{"channels":["r","s"],"data":1}"#, vec![1, 1]),
        ("history_remove", r#"{"channel":"r"}"#, vec![1]),
        ("subscribe", r#"{"channel":"r","user":"u"}"#, vec![1, 0, 1]),
        ("unsubscribe", r#"{"channel":"r","user":"u"}"#, vec![0, 1]),
        ("disconnect", r#"{"user":"u"}"#, vec![0, 1]),
        ("publish", r#"{"channel":"r"}"#, vec![]),
    ] {
        assert_eq!(side.ask(&api(method, body)).status, 200);
        assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), shards, "{method} {body}");
    }
}

#[test]
fn the_key_and_the_error_mode_of_the_server_api_can_change() {
    let side = Side::start(|_| {});
    let status = || side.ask(&api("channels", r#"{"pattern":"["}"#)).status;
    assert_eq!(status(), 404);
    let (body, transport) = (ErrorMode::Body, ErrorMode::Transport);
    for (key, error_mode, expect) in
        [("k", body, 200), ("k", transport, 400), ("another", transport, 401), ("", body, 404)]
    {
        let key = key.to_owned();
        side.handle.set_api(&HttpApiConfig { key, error_mode, ..HttpApiConfig::default() });
        assert_eq!(status(), expect);
    }
}

#[test]
fn the_server_api_takes_nothing_while_draining() {
    let side = Side::start(|config| config.http_api.key = "k".into());
    let request = api("publish", r#"{"channel":"r","data":1}"#);
    let (begin, rest) = request.split_at(10);
    let mut begun = side.open(begin);
    side.until("it is served", || side.scrape.http.http_connections.get() == 1);
    side.handle.drain(DEADLINE);
    begun.send(rest);
    assert_eq!(begun.reply().status, 503);
    assert_eq!(side.scrape.http.http_api_refused.get(), 1);
}

#[test]
fn draining_finishes_what_was_begun() {
    let side = Side::start(|_| {});
    let mut idle = side.open(&get("/health", ""));
    assert_eq!(idle.reply().status, 200);
    let mut begun = side.open("GET /health HT");
    side.until("both are served", || side.scrape.http.http_connections.get() == 2);
    side.handle.drain(DEADLINE);
    idle.assert_closed();
    begun.send("TP/1.1\r\nHost: h\r\n\r\n");
    let reply = begun.reply();
    assert_eq!((reply.status, reply.header("connection")), (503, Some("close")));
    assert!(reply.text().contains("\"status\":\"draining\""));
    begun.assert_closed();
    drop(begun);
    drop(idle);
    assert!(side.try_open(b"").is_none(), "the worker answers 503");
    side.handle.join();
    assert_eq!(side.scrape.http.http_connections.get(), 0);
}

#[test]
fn draining_answers_what_was_handed_over_before() {
    let side = Side::start(|_| {});
    // Handed over and drained at once: most of these are still in the queue then.
    let mut clients: Vec<Client> = (0..50).map(|_| side.open(&get("/health", ""))).collect();
    side.handle.drain(DEADLINE);
    for client in &mut clients {
        assert!(matches!(client.reply().status, 200 | 503));
        client.assert_closed();
    }
    drop(clients);
    side.handle.join();
}

#[test]
fn draining_ends_at_its_deadline() {
    let side = Side::start(|_| {});
    let mut begun = side.open("GET /health HT");
    side.until("it is served", || side.scrape.http.http_connections.get() == 1);
    side.handle.drain(Duration::from_millis(50));
    side.handle.join();
    begun.assert_closed();
}
