//! What changes while the server runs: the configuration at SIGHUP, key sets from time to time and
//! when a token names a key that they do not have.
//!
//! Owns one thread, which may wait for files and for the network; it hands finished settings to
//! the workers. Whatever fails leaves everything as it is. Tests: `tests/it/reload.rs`,
//! `tests/it/tokens.rs`.

use super::jwks::{self, Sets};
use super::say;
use crate::chat::auth::Asked;
use crate::chat::settings::{Keys, Settings};
use crate::config::{Config, ConfigError, Loaded, for_running};
use crate::http::{self, Scrape};
use crate::net::mesh::{Control, Reach};
use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads file, environment and flags again.
pub(super) type Load = Box<dyn Fn() -> Result<Loaded, ConfigError> + Send>;

/// The thread looks around this often where nothing has to be refreshed.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// Keys that are looked for in one reading of the key sets. Clients whose tokens name others are told
/// to try again, too, and ask again.
const WANTED_MAX: usize = 64;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// Take the configuration anew.
    Reload,
    /// A key is wanted; see [`Door`].
    KeyWanted,
}

/// How others reach the thread; it ends when nobody can any more.
#[derive(Debug, Clone)]
pub(super) struct Door {
    order: Sender<Order>,
    wanted: Wanted,
}

/// Ids of keys to look for at the next reading of the key sets.
type Wanted = Arc<Mutex<BTreeSet<Box<str>>>>;

impl Door {
    /// A door, and what comes through it.
    pub(super) fn new() -> (Door, Receiver<Order>) {
        let (order, orders) = mpsc::channel();
        (Door { order, wanted: Wanted::default() }, orders)
    }

    /// Has the configuration taken anew.
    pub(super) fn reload(&self) {
        let _ = self.order.send(Order::Reload);
    }

    /// Has the key sets read again as soon as they may be: a token names a key that they do not have.
    pub(super) fn key_wanted(&self, id: Box<str>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let first = wanted.is_empty();
        if wanted.len() < WANTED_MAX {
            wanted.insert(id);
        }
        if first {
            let _ = self.order.send(Order::KeyWanted);
        }
    }
}

/// What is in force.
pub(super) struct Live {
    /// The configuration; shared with who drains the server.
    pub(super) config: Arc<Mutex<Config>>,
    /// The key sets.
    pub(super) sets: Sets,
    /// Shards in the process.
    pub(super) shards: u16,
    /// Keys of this run.
    pub(super) keys: Keys,
    /// How the workers are reached.
    pub(super) reaches: Vec<Reach>,
    /// Where reloads are counted.
    pub(super) metrics: Arc<Scrape>,
}

impl Live {
    /// The settings for the workers.
    pub(super) fn settings(&self) -> Settings {
        Settings::with_key_sets(self.config(), self.shards, self.keys, &self.sets.sets)
    }

    fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the thread, which obeys `orders`, those of `door`.
    pub(super) fn start(
        mut self,
        load: Load,
        http: http::Handle,
        door: &Door,
        orders: Receiver<Order>,
    ) -> io::Result<()> {
        let wanted = door.wanted.clone();
        let run = move || {
            let mut read = Instant::now();
            let mut read_early: Option<Instant> = None;
            loop {
                let client = self.config().client;
                let regular = read + jwks::refresh_interval(&client).unwrap_or(IDLE);
                let is_wanted = !wanted.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                let early = is_wanted.then(|| {
                    read_early.map_or(read, |early| early + jwks::early_interval(&client))
                });
                let next = early.map_or(regular, |early| early.min(regular));
                match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(Order::Reload) => self.reload(&load, &http),
                    // When the key sets are read next is worked out anew.
                    Ok(Order::KeyWanted) => {}
                    Err(RecvTimeoutError::Timeout) => {
                        let is_early = next < regular;
                        self.refresh(&wanted, is_early);
                        read = Instant::now();
                        if is_early {
                            read_early = Some(read);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        std::thread::Builder::new().name("reload".to_owned()).spawn(run).map(drop)
    }

    /// Takes the configuration anew.
    fn reload(&mut self, load: &Load, http: &http::Handle) {
        let counters = &self.metrics.http;
        match self.prepare(load) {
            Ok((config, sets, warnings)) => {
                counters.config_reloaded.inc();
                *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
                self.sets = sets;
                self.apply();
                http.set_api(&self.config().http_api);
                for warning in warnings {
                    say(&format!("ringchat: warning: {warning}"));
                }
                say("ringchat has reloaded its configuration");
            }
            Err(why) => {
                counters.config_not_reloaded.inc();
                let why = why.replace('\n', "; ");
                say(&format!("ringchat: the configuration stays as it was: {why}"));
            }
        }
    }

    fn prepare(&self, load: &Load) -> Result<(Config, Sets, Vec<String>), String> {
        let running = self.config();
        let Loaded { config, mut warnings, .. } = load().map_err(|e| e.to_string())?;
        let (config, kept) = for_running(&config, &running)?;
        if !kept.is_empty() {
            warnings.push(format!("only a restart changes {}", kept.join(", ")));
        }
        let sets = match jwks::same_places(&config.client, &running.client) {
            true => self.sets.clone(),
            false => Sets::read(&config.client)?,
        };
        Ok((config, sets, warnings))
    }

    /// Reads the key sets anew and looks for the keys that are `wanted` by now. `early`: it is only
    /// because of them.
    fn refresh(&mut self, wanted: &Wanted, early: bool) {
        let ids = std::mem::take(&mut *wanted.lock().unwrap_or_else(PoisonError::into_inner));
        let client = self.config().client;
        if jwks::refresh_interval(&client).is_none() {
            return;
        }
        let counters = &self.metrics.http;
        if early {
            counters.jwks_early.inc();
        }
        match Sets::read(&client) {
            Ok(mut sets) => {
                let until = SystemTime::now() + jwks::early_interval(&client);
                let until_s = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                sets.sets.asked = Asked { ids: Arc::new(ids), until_s };
                counters.jwks_read.inc();
                if !sets.same(&self.sets) {
                    self.sets = sets;
                    self.apply();
                }
            }
            Err(why) => {
                counters.jwks_not_read.inc();
                say(&format!("ringchat: the keys stay as they were: {why}"));
            }
        }
    }

    /// Hands what is in force to the workers.
    fn apply(&self) {
        let settings = Arc::new(self.settings());
        for reach in &self.reaches {
            reach.send(Control::Settings(settings.clone()));
        }
    }
}
