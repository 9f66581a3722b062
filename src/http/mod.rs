//! HTTP that is not a WebSocket: the page, health, metrics, the server API, on one ordinary thread.
//!
//! Owns the thread, its tokio runtime and the connections that the workers hand to it, each with
//! the bytes already read. It never accepts, never answers a WebSocket upgrade (a connection that
//! asks for one goes back to a worker, see [`HandBack`]) and never touches a room: the server API asks
//! the shards through [`ApiDoor`].
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | the thread: [`start`], [`Handle`], drain |
//! | `connection.rs` | one connection: hyper, deadlines, the hand-back |
//! | `routes.rs` | what is answered |
//! | `api/` | the server API |
//! | `page.rs` | the embedded files: types, ETags, gzip |
//! | `slim.rs` | scripts and style sheets without comments |
//! | `export.rs` | the metrics as OpenMetrics text |
//! | `tests.rs` | the tests, over real sockets |

mod api;
mod connection;
mod export;
mod page;
mod routes;
mod slim;
#[cfg(test)]
mod tests;

pub use api::ApiDoor;
pub use export::Scrape;

use crate::config::{Config, HttpApiConfig};
use crate::ws::handshake::Upgrade;
use api::Api;
use connection::Shared;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

/// A connection on which a WebSocket upgrade came after other requests.
///
/// The upgrade is well-formed (RFC 6455 section 4.2.1); nothing was answered to it, and every
/// earlier answer has left. The receiver checks origin, limits and tokens and writes the 101 or
/// the refusal, as for a first request.
#[derive(Debug)]
pub struct HandBack {
    /// The socket, in blocking mode as io_uring wants it, free of any event loop.
    pub stream: TcpStream,
    /// The request; its `head_len` is 0, for the head is not in `read`.
    pub upgrade: Upgrade,
    /// Bytes that came behind the head: the first WebSocket frames of an eager client.
    pub read: Vec<u8>,
}

/// Receives connections that go back. Called on the HTTP thread; it must not block.
pub type Back = Arc<dyn Fn(HandBack) + Send + Sync>;

/// Asks every worker to show that it turns: one answer each. Called on the HTTP thread; it must
/// not block.
pub type Pulse = Arc<dyn Fn() -> Vec<oneshot::Receiver<()>> + Send + Sync>;

/// The HTTP side as the rest of the process sees it. Clones are the same HTTP side.
#[derive(Debug, Clone)]
pub struct Handle {
    queue: mpsc::Sender<Fresh>,
    places: Arc<Places>,
    drain: watch::Sender<Option<Instant>>,
    api: Arc<Api>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Starts the HTTP thread.
///
/// `metrics`: what `/metrics` shows and where this side counts. `back`: takes connections that
/// turned out to be WebSockets. `pulse`: asked by `/health`. `door`: asked by `/api`. Errors: no
/// thread, no runtime.
pub fn start(
    config: Arc<Config>,
    metrics: Arc<Scrape>,
    back: Back,
    pulse: Pulse,
    door: ApiDoor,
) -> io::Result<Handle> {
    let places = Arc::new(Places::new(config.http_server.connection_limit));
    let (queue, fresh) = mpsc::channel(places.limit);
    let (drain, draining) = watch::channel(None);
    let api = Api::new(&config.http_api, door, Arc::clone(&places), Arc::clone(&metrics));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Shared::new(config, metrics, back, Arc::clone(&places), pulse, Arc::clone(&api));
    let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
        // Built here: connections of this thread share it without locks.
        let shared = std::rc::Rc::new(shared);
        LocalSet::new().block_on(&runtime, run(shared, fresh, draining));
    })?;
    Ok(Handle { queue, places, drain, api, thread: Arc::new(Mutex::new(Some(thread))) })
}

impl Handle {
    /// Hands a connection over, with the bytes of it that were read.
    ///
    /// `read` holds at least one whole request head. Never blocks. Errors: both come back when
    /// `http_server.connection_limit` connections are here or the HTTP side drains; the caller
    /// answers 503.
    pub fn serve(&self, stream: TcpStream, read: Vec<u8>) -> Result<(), (TcpStream, Vec<u8>)> {
        let Some(place) = Places::take(&self.places) else { return Err((stream, read)) };
        self.queue.try_send(Fresh { stream, read, place, internal: false }).map_err(|e| {
            let fresh = e.into_inner();
            (fresh.stream, fresh.read)
        })
    }

    /// Hands over a connection of the internal port, of which nothing was read. Never blocks. One
    /// for which there is no place, or that comes while the HTTP side drains, is closed.
    pub fn serve_internal(&self, stream: TcpStream) {
        if let Some(place) = Places::take(&self.places) {
            let fresh = Fresh { stream, read: Vec::new(), place, internal: true };
            // The queue is as long as there are places.
            let _ = self.queue.try_send(fresh);
        }
    }

    /// Takes no more connections, closes the idle ones, lets requests in flight finish (`/health`
    /// answers 503) and ends the thread after `timeout` at the latest. Returns at once.
    pub fn drain(&self, timeout: Duration) {
        self.places.draining.store(true, Ordering::Relaxed);
        self.drain.send_replace(Some(Instant::now() + timeout));
    }

    /// Changes key and limits of the server API, for requests that begin from now on.
    pub fn set_api(&self, config: &HttpApiConfig) {
        self.api.set(config);
    }

    /// Waits for the thread to end; only [`Handle::drain`] makes it end. A second call returns at
    /// once.
    pub fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic on that thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// A connection on its way to the HTTP thread.
#[derive(Debug)]
struct Fresh {
    stream: TcpStream,
    read: Vec<u8>,
    place: Place,
    /// It came on the internal port.
    internal: bool,
}

/// How many connections there may be, and are: queued or served.
#[derive(Debug)]
struct Places {
    limit: usize,
    taken: AtomicUsize,
    draining: AtomicBool,
}

impl Places {
    fn new(limit: usize) -> Self {
        Places { limit: limit.max(1), taken: AtomicUsize::new(0), draining: AtomicBool::new(false) }
    }

    fn take(places: &Arc<Places>) -> Option<Place> {
        if places.draining.load(Ordering::Relaxed) {
            return None;
        }
        let free = |n: usize| (n < places.limit).then_some(n + 1);
        places.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Place(Arc::clone(places)))
    }

    /// Whether a connection is not kept alive now: the server drains, or more than half of the
    /// places are taken and others need room.
    fn closing(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || self.taken.load(Ordering::Relaxed) > self.limit / 2
    }
}

/// One connection's place, free again when dropped.
#[derive(Debug)]
struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The thread's life: serves what comes until it is drained.
async fn run(
    shared: std::rc::Rc<Shared>,
    mut fresh: mpsc::Receiver<Fresh>,
    mut draining: watch::Receiver<Option<Instant>>,
) {
    let mut connections = JoinSet::new();
    let mut open = true;
    let mut deadline = None;
    while open || !connections.is_empty() {
        let out_of_time = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            next = fresh.recv(), if open => match next {
                Some(fresh) => {
                    let (shared, draining) = (shared.clone(), draining.clone());
                    connections.spawn_local(connection::serve(shared, fresh, draining));
                }
                None => open = false,
            },
            _ = connections.join_next(), if !connections.is_empty() => {}
            changed = draining.changed(), if deadline.is_none() => {
                // What is queued is still served: `recv` yields it before it says closed.
                deadline = Some(draining.borrow_and_update().unwrap_or_else(Instant::now));
                if changed.is_err() {
                    deadline = Some(Instant::now());
                }
                fresh.close();
            }
            () = out_of_time => return,
        }
    }
}
