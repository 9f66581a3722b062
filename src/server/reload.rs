//! What changes while the server runs: the configuration at SIGHUP, key sets from time to time.
//!
//! Owns one thread, which may wait for files and for the network; it hands finished settings to
//! the workers. Whatever fails leaves everything as it is. Tests: `tests/it/reload.rs`.

use super::jwks::{self, Sets};
use super::say;
use crate::chat::settings::{Keys, Settings};
use crate::config::{Config, ConfigError, Loaded, for_running};
use crate::http::{self, Scrape};
use crate::net::mesh::{Control, Reach};
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Reads file, environment and flags again.
pub(super) type Load = Box<dyn Fn() -> Result<Loaded, ConfigError> + Send>;

/// The thread looks around this often where nothing has to be refreshed.
const IDLE: Duration = Duration::from_secs(24 * 3600);

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

    /// Starts the thread. Each message reloads the configuration; without its sender it ends.
    pub(super) fn start(mut self, load: Load, http: http::Handle) -> io::Result<Sender<()>> {
        let (order, orders) = mpsc::channel();
        let run = move || {
            let mut read = Instant::now();
            loop {
                let interval = jwks::refresh_interval(&self.config().client).unwrap_or(IDLE);
                let wait = (read + interval).saturating_duration_since(Instant::now());
                match orders.recv_timeout(wait) {
                    Ok(()) => self.reload(&load, &http),
                    Err(RecvTimeoutError::Timeout) => {
                        self.refresh();
                        read = Instant::now();
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        std::thread::Builder::new().name("reload".to_owned()).spawn(run)?;
        Ok(order)
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

    /// Reads the key sets anew.
    fn refresh(&mut self) {
        let client = self.config().client;
        if jwks::refresh_interval(&client).is_none() {
            return;
        }
        let counters = &self.metrics.http;
        match Sets::read(&client) {
            Ok(sets) => {
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
