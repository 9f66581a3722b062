//! The process: starts pinned workers and the HTTP thread, obeys signals, joins everything.
//!
//! Owns the order of starting and stopping. It never touches a connection. Tests: `tests/it`.

mod jwks;
mod reload;

use crate::chat::api::Request;
use crate::chat::ids::ClientId;
use crate::chat::settings::{Keys, Settings};
use crate::config::{Config, ConfigError, Loaded};
use crate::http::{self, ApiDoor, HandBack, Scrape};
use crate::metrics::Cells;
use crate::net::dispatcher::Wake;
use crate::net::listener::{self, Balance};
use crate::net::mesh::{ApiCall, Control, Mesh, Reach};
use crate::net::worker::{self, SPARE_SOCKETS, Shared};
use crate::net::{cores, ring};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Descriptors besides those of connections: rings, epolls, listeners, the standard streams.
const OWN_DESCRIPTORS: usize = 64;
/// Descriptors per worker: ring, epoll, eventfd, listeners.
const WORKER_DESCRIPTORS: usize = 16;
/// How long the internal port waits after a failed accept.
const INTERNAL_RETRY: Duration = Duration::from_millis(100);
/// WebSocket connections where neither the operator nor the descriptor limit says less.
const CONNECTIONS_DEFAULT_MAX: usize = 1_000_000;

/// Why the server did not start, or ended.
#[derive(Debug)]
pub enum ServerError {
    /// What was asked for cannot be had here; the message names the cure. Exit code 2.
    Usage(String),
    /// Something failed at run time. Exit code 1.
    Failed(String),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Usage(message) | ServerError::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ServerError {}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    connections_max: usize,
    cores: Vec<usize>,
    reaches: Vec<Reach>,
    workers: Vec<JoinHandle<()>>,
    http: http::Handle,
    config: Arc<Mutex<Config>>,
    /// How the thread that reloads is reached.
    reload: reload::Door,
}

impl Server {
    /// Starts the server; it accepts connections when this returns. `load`: reads the
    /// configuration again, when [`Server::reload`] is called.
    pub fn start(
        config: Config,
        load: impl Fn() -> Result<Loaded, ConfigError> + Send + 'static,
    ) -> Result<Server, ServerError> {
        let cores = cores::available();
        let count = if config.workers == 0 { cores.len() } else { config.workers };
        if count > cores.len() {
            return Err(ServerError::Usage(format!(
                "workers = {count}, but this process may use {} core(s): lower --workers, or \
                 widen the process's CPU affinity or container limit",
                cores.len()
            )));
        }
        ring::probe().map_err(|e| ServerError::Failed(e.to_string()))?;
        let connections_max = connections_max(&config, count)?;
        let sets = jwks::Sets::read(&config.client).map_err(ServerError::Failed)?;
        let listeners =
            listener::bind(&config, count).map_err(|e| ServerError::Failed(e.to_string()))?;
        let internal = config.internal().map(bind_internal).transpose()?;
        let addresses = listeners.first().into_iter().flatten();
        let addresses: Vec<SocketAddr> = addresses.filter_map(|l| l.local_addr().ok()).collect();

        let wakes: Vec<Arc<Wake>> = (0..count).map(|_| Wake::new()).collect();
        let meshes = Mesh::connect(&wakes);
        let reaches = meshes.first().map(|m| m.reaches().to_vec()).unwrap_or_default();
        let cells: Vec<Arc<Cells>> = (0..count).map(|_| Arc::new(Cells::default())).collect();
        let metrics = Arc::new(Scrape::new(cells.clone()));
        let live = reload::Live {
            config: Arc::new(Mutex::new(config.clone())),
            sets,
            shards: count as u16,
            keys: keys()?,
            reaches: reaches.clone(),
            metrics: metrics.clone(),
        };
        let settings = Arc::new(live.settings());
        let door = api_door(&settings, &reaches, &addresses)?;
        let http = start_http(Arc::new(config), &metrics, &reaches, door)?;
        if let Some(listener) = internal {
            serve_internal(listener, http.clone())?;
        }
        let config = live.config.clone();
        let (reload, orders) = reload::Door::new();
        let shared = Arc::new(Shared {
            settings,
            balance: Balance::new(count),
            sessions: AtomicUsize::new(0),
            numbers: AtomicU32::new(0),
            addresses: Default::default(),
            http: {
                let http = http.clone();
                Box::new(move |socket, read| http.serve(socket, read))
            },
            key_wanted: {
                let reload = reload.clone();
                Box::new(move |id| reload.key_wanted(id))
            },
            connections_max,
            start: Instant::now(),
        });
        live.start(Box::new(load), http.clone(), &reload, orders)
            .map_err(|e| ServerError::Failed(format!("no thread to reload: {e}")))?;
        let mut server = Server {
            addresses,
            connections_max,
            cores: cores.iter().take(count).map(|core| core.id).collect(),
            reaches,
            workers: Vec::new(),
            http,
            config,
            reload,
        };
        let parts = cores.into_iter().zip(meshes).zip(wakes).zip(listeners).zip(cells);
        for ((((core, mesh), wake), listeners), cells) in parts {
            let (tell, told) = mpsc::channel();
            let shared = shared.clone();
            let name = format!("ringchat-w{}", server.workers.len());
            let work = move || {
                worker::run(core, mesh, wake, listeners, shared, cells, |result| {
                    let _ = tell.send(result);
                });
            };
            let thread = std::thread::Builder::new().name(name).spawn(work);
            server.workers.push(thread.map_err(|e| ServerError::Failed(e.to_string()))?);
            match told.recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(ServerError::Failed(error)),
                Err(_) => return Err(ServerError::Failed("a worker did not start".into())),
            }
        }
        Ok(server)
    }

    /// The addresses bound, with the ports chosen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// One line: where the page is, which cores serve, which limits hold.
    pub fn describe(&self) -> String {
        let pages: Vec<String> = self.addresses.iter().map(|a| format!("http://{a}/")).collect();
        let cores: Vec<String> = self.cores.iter().map(usize::to_string).collect();
        let config = self.config();
        let internal = config.internal().map(|a| format!(", {a} inside"));
        format!(
            "ringchat {} serves {}{} | {} worker(s) on core(s) {} | limits: {} connections, \
             {} B a message, {} B queued per client, {} commands/s",
            env!("CARGO_PKG_VERSION"),
            pages.join(" "),
            internal.unwrap_or_default(),
            self.cores.len(),
            cores.join(","),
            self.connections_max,
            config.websocket.message_size_limit,
            config.client.queue_max_size,
            config.client.command_rate_limit,
        )
    }

    /// Begins an orderly shutdown; [`Server::join`] returns when it is over.
    pub fn drain(&self) {
        for reach in &self.reaches {
            reach.send(Control::Drain);
        }
        self.http.drain(self.config().shutdown.timeout);
    }

    /// Reads the configuration again and takes on what a running server can; what came of it is
    /// said to the operator. Returns at once.
    pub fn reload(&self) {
        self.reload.reload();
    }

    /// The configuration in force.
    fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the workers and the HTTP thread to end.
    pub fn join(self) -> Result<(), ServerError> {
        for worker in self.workers {
            worker.join().map_err(|_| ServerError::Failed("a worker panicked".into()))?;
        }
        self.http.join();
        Ok(())
    }
}

/// One line to the operator, on stderr. If nobody reads stderr any more the server goes on: a
/// `eprintln!` would panic, and so turn the end of a log reader into the end of the server.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Runs the server until a signal has ended it: the first SIGTERM or SIGINT drains, the second
/// leaves at once. SIGHUP reloads the configuration: `load` reads it again.
pub fn run(
    config: Config,
    load: impl Fn() -> Result<Loaded, ConfigError> + Send + 'static,
) -> Result<(), ServerError> {
    die_on_panic();
    let failed = |e: std::io::Error| ServerError::Failed(format!("signals: {e}"));
    let signals =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // Before the workers, so that no signal can kill a server that serves already.
    let _inside = signals.enter();
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let open = config.is_open().then_some(match config.client.insecure {
        true => {
            "ringchat is open: anyone who reaches it may do anything in every room (client.insecure \
             is true)"
        }
        false => {
            "ringchat is open: anyone who reaches it may join and publish in every room without a \
             token (set client.token.hmac_secret_key to change that)"
        }
    });
    let server = Server::start(config, load)?;
    say(&server.describe());
    if let Some(open) = open {
        say(open);
    }
    signals.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => server.reload(),
            }
        }
    });
    say(&format!(
        "ringchat drains (at most {}s); a second signal leaves at once",
        server.config().shutdown.timeout.as_secs()
    ));
    server.drain();
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || tell.send(server.join()));
    signals.block_on(async {
        tokio::select! {
            result = told => {
                result.unwrap_or_else(|_| Err(ServerError::Failed("a worker panicked".into())))
            }
            _ = terminate.recv() => Err(ServerError::Failed("left at the second signal".into())),
            _ = interrupt.recv() => Err(ServerError::Failed("left at the second signal".into())),
        }
    })
}

/// Ends the process when any thread panics: a server that lost one worker would accept
/// connections that nobody serves. A supervisor restarts it.
pub fn die_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        say("ringchat ends: a thread panicked, and half a server serves nobody");
        std::process::exit(1);
    }));
}

fn bind_internal(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let failed = |e| {
        ServerError::Failed(format!("http_server.internal_port: {address} cannot be bound: {e}"))
    };
    TcpListener::bind(address).map_err(failed)
}

/// Hands what comes on the internal port to the HTTP thread, until the process ends.
fn serve_internal(listener: TcpListener, http: http::Handle) -> Result<(), ServerError> {
    let accept = move || {
        loop {
            match listener.accept() {
                Ok((stream, _)) => http.serve_internal(stream),
                // No descriptors, say: not at once again.
                Err(_) => std::thread::sleep(INTERNAL_RETRY),
            }
        }
    };
    let thread = std::thread::Builder::new().name("internal".to_owned()).spawn(accept);
    thread.map(drop).map_err(|e| ServerError::Failed(format!("no thread for a port: {e}")))
}

fn start_http(
    config: Arc<Config>,
    metrics: &Arc<Scrape>,
    reaches: &[Reach],
    door: ApiDoor,
) -> Result<http::Handle, ServerError> {
    let asked = reaches.to_vec();
    let pulse = move || {
        let ask = |reach: &Reach| {
            let (answer, answered) = oneshot::channel();
            reach.send(Control::Ping(answer));
            answered
        };
        asked.iter().map(ask).collect()
    };
    let next = AtomicUsize::new(0);
    let reaches = reaches.to_vec();
    let back = move |back: HandBack| {
        let HandBack { stream, upgrade, read } = back;
        let worker = next.fetch_add(1, Ordering::Relaxed) % reaches.len().max(1);
        if let Some(reach) = reaches.get(worker) {
            reach.send(Control::Upgrade(stream, Box::new(upgrade), read));
        }
    };
    http::start(config, metrics.clone(), Arc::new(back), Arc::new(pulse), door)
        .map_err(|e| ServerError::Failed(format!("the HTTP thread does not start: {e}")))
}

/// How the server API reaches the rooms.
fn api_door(
    settings: &Arc<Settings>,
    reaches: &[Reach],
    addresses: &[SocketAddr],
) -> Result<ApiDoor, ServerError> {
    let settings = settings.clone();
    let home = move |room: &str| settings.home(room).index();
    let shards = reaches.len();
    let reaches = reaches.to_vec();
    let ask = move |shard: usize, request: Request| {
        let (answer, answered) = oneshot::channel();
        if let Some(reach) = reaches.get(shard) {
            reach.send(Control::Api(ApiCall { request: Box::new(request), answer }));
        }
        answered
    };
    let uid = getrandom::u64().and_then(|a| Ok((a, getrandom::u64()?)));
    let (high, low) = uid.map_err(no_random_numbers)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let port = addresses.first().map_or(0, SocketAddr::port);
    Ok(ApiDoor {
        shards,
        home: Arc::new(home),
        ask: Arc::new(ask),
        node_uid: ClientId(u128::from(high) << 64 | u128::from(low)).to_string(),
        node_name: format!("{host}_{port}"),
    })
}

/// Raises the descriptor limit and says how many connections it allows.
fn connections_max(config: &Config, workers: usize) -> Result<usize, ServerError> {
    static RAISED: OnceLock<u64> = OnceLock::new();
    let limit = *RAISED.get_or_init(raise_descriptor_limit);
    let reserve = OWN_DESCRIPTORS
        + WORKER_DESCRIPTORS * workers
        + SPARE_SOCKETS
        + config.http_server.connection_limit;
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(reserve);
    let wanted = config.client.connection_limit;
    if wanted > room || room == 0 {
        return Err(ServerError::Usage(format!(
            "{} connections need {} file descriptors, but this process may open {limit}: raise the \
             hard limit (ulimit -Hn {}, or LimitNOFILE= in the service), or lower --max-connections \
             to at most {room}",
            wanted.max(1),
            wanted.max(1) + reserve,
            wanted.max(1) + reserve,
        )));
    }
    Ok(if wanted == 0 { room.min(CONNECTIONS_DEFAULT_MAX) } else { wanted })
}

/// Raises the soft limit to the hard one; returns the limit in force.
fn raise_descriptor_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.or(current).unwrap_or(u64::MAX)
}

/// Draws the keys of this run.
fn keys() -> Result<Keys, ServerError> {
    let mut resume = [0; 32];
    getrandom::fill(&mut resume).map_err(no_random_numbers)?;
    let random = || getrandom::u64().map_err(no_random_numbers);
    Ok(Keys { hash: [random()?, random()?, random()?, random()?], resume, epoch: random()? })
}

fn no_random_numbers(error: getrandom::Error) -> ServerError {
    ServerError::Failed(format!("no random numbers to be had: {error}"))
}
