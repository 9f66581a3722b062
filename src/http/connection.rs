//! One connection of the HTTP side: hyper over the socket, deadlines, the hand-back.
//!
//! hyper parses and answers one request at a time. When a request is a WebSocket upgrade, its
//! answer is withheld: the service never resolves, and once hyper has flushed every earlier
//! answer (it calls `poll_flush` on the socket exactly when nothing is left to write) the socket
//! is taken from it, with the bytes behind the head. So hyper answers no upgrade, and the worker
//! that gets the socket decides as it does for a first request. Tests: `http/tests.rs`.

use super::api::Api;
use super::{Back, Fresh, HandBack, Places, Pulse, Scrape, routes};
use crate::config::Config;
use crate::ws::handshake::{Reject, Upgrade};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// While closing, this much is read and thrown away: unread input would turn the close into a
/// reset, which can destroy the answer on its way.
const LINGER_BYTES_MAX: u64 = 256 * 1024;

/// While closing, the peer gets this long to take the answer and close.
const LINGER: Duration = Duration::from_secs(2);

/// What all connections share.
pub(super) struct Shared {
    router: Router,
    scrape: Arc<Scrape>,
    back: Back,
    places: Arc<Places>,
    head_timeout: Duration,
    idle_timeout: Duration,
    head_size_limit: usize,
    /// There is an internal port: what is internal is served there, and nothing else.
    internal_port: bool,
}

impl Shared {
    pub(super) fn new(
        config: Arc<Config>,
        scrape: Arc<Scrape>,
        back: Back,
        places: Arc<Places>,
        pulse: Pulse,
        api: Arc<Api>,
    ) -> Self {
        let http = &config.http_server;
        Shared {
            router: routes::router(Arc::clone(&scrape), Arc::clone(&places), pulse, api),
            head_timeout: http.head_timeout,
            idle_timeout: http.idle_timeout,
            // hyper takes no smaller buffer; the configuration allows none.
            head_size_limit: http.head_size_limit.max(8 * 1024),
            internal_port: config.internal().is_some(),
            scrape,
            back,
            places,
        }
    }
}

/// What a connection is waiting for; each phase has a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For the first byte of the next request.
    Idle,
    /// For the rest of a request head.
    Head,
    /// For an answer to be made and taken.
    Answer,
}

/// What the socket, the service and the driver of one connection tell each other.
struct State {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// The service has answered; what is left is writing.
    answered: Cell<bool>,
    /// Nothing is left to write: hyper flushed after its last write.
    flushed: Cell<bool>,
    upgrade: RefCell<Option<Upgrade>>,
}

impl State {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(
    shared: Rc<Shared>,
    fresh: Fresh,
    mut draining: watch::Receiver<Option<Instant>>,
) {
    let Fresh { stream, read, place, internal } = fresh;
    let cells = &shared.scrape.http;
    cells.http_connections.inc();
    let state = Rc::new(State {
        phase: Cell::new(Phase::Head),
        since: Cell::new(Instant::now()),
        answered: Cell::new(false),
        flushed: Cell::new(true),
        upgrade: RefCell::new(None),
    });
    // An error here is the peer's (it is gone); there is nobody to tell.
    if let Ok(stream) = adopt(stream) {
        let gate = Gate { stream, read, given: 0, state: Rc::clone(&state) };
        drive(&shared, gate, &state, internal, &mut draining).await;
    }
    cells.http_connections.sub(1);
    drop(place);
}

fn adopt(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

/// Why the driver looked up.
enum Event {
    /// hyper is done: the peer closed, asked for a close, or broke the protocol.
    Done,
    /// An upgrade is there and every earlier answer has left.
    Upgrade,
    /// The phase is another: another deadline counts.
    Phase,
}

async fn drive(
    shared: &Rc<Shared>,
    gate: Gate,
    state: &Rc<State>,
    internal: bool,
    draining: &mut watch::Receiver<Option<Instant>>,
) {
    let service = Requests { shared: Rc::clone(shared), state: Rc::clone(state), internal };
    let mut connection = http1::Builder::new()
        .max_buf_size(shared.head_size_limit)
        // The deadlines are this file's: hyper's would also end a connection between requests.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(gate), service);
    let mut drain = draining.borrow().is_some();
    loop {
        let phase = state.phase.get();
        let limit = if phase == Phase::Head { shared.head_timeout } else { shared.idle_timeout };
        let deadline = state.since.get() + limit;
        // A request that has begun is still answered (with `Connection: close`). hyper's own
        // graceful shutdown would also end a connection whose first bytes it has not yet read.
        if drain && phase == Phase::Idle {
            break;
        }
        let next = std::future::poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            if polled.is_pending() && state.flushed.get() {
                if state.upgrade.borrow().is_some() {
                    return Poll::Ready(Event::Upgrade);
                }
                if state.answered.take() {
                    state.enter(Phase::Idle);
                }
            }
            match polled {
                Poll::Ready(_) => Poll::Ready(Event::Done),
                Poll::Pending if state.phase.get() != phase => Poll::Ready(Event::Phase),
                Poll::Pending => Poll::Pending,
            }
        });
        tokio::select! {
            event = next => match event {
                Event::Done => break,
                Event::Phase => {}
                Event::Upgrade => {
                    let parts = connection.into_parts();
                    hand_back(shared, parts.io.into_inner(), &parts.read_buf, state);
                    return;
                }
            },
            () = tokio::time::sleep_until(deadline) => {
                shared.scrape.http.http_timeouts.inc();
                let mut gate = connection.into_parts().io.into_inner();
                if phase == Phase::Head {
                    let answer = Reject::new(408, "the request head took too long").response();
                    let _ = tokio::time::timeout(LINGER, gate.stream.write_all(&answer)).await;
                }
                linger(gate.stream).await;
                return;
            }
            _ = draining.changed(), if !drain => drain = true,
        }
    }
    linger(connection.into_parts().io.into_inner().stream).await;
}

fn hand_back(shared: &Shared, gate: Gate, read_buf: &[u8], state: &State) {
    let mut read = read_buf.to_vec();
    read.extend_from_slice(&gate.read[gate.given..]);
    let blocking = |stream: std::net::TcpStream| stream.set_nonblocking(false).map(|()| stream);
    // Neither can fail; if one did, closing is the only answer.
    let (Some(upgrade), Ok(stream)) =
        (state.upgrade.take(), gate.stream.into_std().and_then(blocking))
    else {
        return;
    };
    shared.scrape.http.http_handed_back.inc();
    (shared.back)(HandBack { stream, upgrade, read });
}

/// Closes so that the last answer arrives: says that nothing more comes, then reads what the peer
/// still sends until it closes too, up to [`LINGER_BYTES_MAX`] and [`LINGER`].
async fn linger(mut stream: TcpStream) {
    let closing = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, closing).await;
}

/// The socket, the bytes read before it came here first.
struct Gate {
    stream: TcpStream,
    read: Vec<u8>,
    given: usize,
    state: Rc<State>,
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given < self.read.len() {
            let n = buf.remaining().min(self.read.len() - self.given);
            buf.put_slice(&self.read[self.given..self.given + n]);
            self.given += n;
            if self.given == self.read.len() {
                self.read = Vec::new();
                self.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before && self.state.phase.get() == Phase::Idle {
            self.state.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.state.flushed.set(false);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state.flushed.set(false);
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.flushed.set(true);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The requests of one connection, as hyper hands them out.
struct Requests {
    shared: Rc<Shared>,
    state: Rc<State>,
    internal: bool,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        self.state.enter(Phase::Answer);
        let other_port = routes::is_internal(request.uri().path()) != self.internal;
        if self.shared.internal_port && other_port {
            self.state.answered.set(true);
            return Box::pin(std::future::ready(Ok(routes::not_found())));
        }
        if asks_for_websocket(&request) {
            match upgrade_of(&request) {
                Ok(upgrade) => {
                    *self.state.upgrade.borrow_mut() = Some(upgrade);
                    return Box::pin(std::future::pending());
                }
                Err(reject) => {
                    self.state.answered.set(true);
                    return Box::pin(std::future::ready(Ok(refusal(reject))));
                }
            }
        }
        self.shared.scrape.http.http_requests.inc();
        let (shared, state) = (Rc::clone(&self.shared), Rc::clone(&self.state));
        Box::pin(async move {
            let mut router = shared.router.clone();
            let mut response = tower_service::Service::call(&mut router, request).await?;
            if shared.places.closing() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            state.answered.set(true);
            Ok(response)
        })
    }
}

/// The same question that a worker asks of a first request: is this meant to be a WebSocket?
fn asks_for_websocket(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let names_it = |value: &HeaderValue| {
        let mut tokens = value.as_bytes().split(|b| *b == b',');
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    headers.contains_key(header::SEC_WEBSOCKET_KEY)
        || headers.get_all(header::UPGRADE).iter().any(names_it)
}

fn upgrade_of(request: &Request<Incoming>) -> Result<Upgrade, Reject> {
    if request.version() != Version::HTTP_11 {
        return Err(Reject::new(400, "a WebSocket needs HTTP/1.1"));
    }
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Upgrade::from_parts(request.method().as_str(), &request.uri().to_string(), headers)
}

/// A refused upgrade as an answer after which the connection closes.
fn refusal(reject: Reject) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", reject.reason)));
    *response.status_mut() = StatusCode::from_u16(reject.status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, routes::TEXT);
    match reject.status {
        405 => _ = headers.insert(header::ALLOW, HeaderValue::from_static("GET")),
        426 => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    response
}
