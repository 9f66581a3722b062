//! The command line.
//!
//! Owns the flags and their help. It never decides what a value means: flags become settings in
//! `config/load.rs`. Tests: `config/tests.rs`.

use super::{duration, print};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Serve.
    Run,
    /// Say whether the configuration is good, and leave.
    Check,
    /// Print the merged configuration, and leave.
    Print,
    /// Print the default configuration, and leave.
    PrintDefault,
    /// Print a token, and leave.
    Token(TokenRequest),
}

/// A token that an operator wants.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRequest {
    /// Claim `sub`.
    pub user: String,
    /// Claim `channel`: the room of a subscription token. `None`: a connection token.
    pub channel: Option<String>,
    /// From now to the claim `exp`. Zero: no such claim.
    pub ttl: Duration,
    /// Claim `info`.
    pub info: Option<Value>,
}

/// A chat server: WebSocket clients, a chat page and metrics on one port.
///
/// Settings come from a file, from environment variables and from flags; a flag wins over a
/// variable, a variable over the file, the file over the default. Everything is checked before
/// anything binds.
#[derive(Debug, Parser)]
#[command(name = "ringchat", version)]
pub(super) struct Cli {
    /// What to do instead of serving
    #[command(subcommand)]
    command: Option<Task>,

    /// Configuration file; its ending says what it is: .toml, .json, .yaml or .yml
    /// [environment: RINGCHAT_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,

    /// Address to listen on; may be given more than once; port 0: the kernel chooses
    /// (key listen) [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR:PORT", global = true)]
    listen: Vec<String>,

    /// Worker threads, each pinned to a core; 0: one per core that the process may use
    /// (key workers) [default: 0]
    #[arg(long, value_name = "N", global = true)]
    workers: Option<u32>,

    /// WebSocket connections in all; 0: as many as the descriptor limit allows
    /// (key client.connection_limit) [default: 0]
    #[arg(long, value_name = "N", global = true)]
    max_connections: Option<u32>,

    /// Origin from which a page may connect, such as https://chat.example.com; may be given more
    /// than once; "*": any (key client.allowed_origins) [default: only the page's own host]
    #[arg(long, value_name = "ORIGIN", global = true)]
    allow_origin: Vec<String>,

    /// Serve /echo, which returns every message as it came (key echo) [default: off]
    #[arg(long, global = true)]
    echo: bool,

    /// Anyone may connect and do anything in every room (key client.insecure) [default: off]
    #[arg(long, global = true)]
    insecure: bool,

    /// Set any key of the configuration, such as client.ping_interval=10s; may be given more than
    /// once; lists are comma-separated. Other users of the machine can read a command line: put
    /// secrets into the file or the environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = check_set, global = true)]
    pub(super) set: Vec<String>,

    /// Check the configuration, say what is wrong, and leave: exit code 0 or 2
    #[arg(long)]
    check_config: bool,

    /// Print the merged configuration as TOML with every key explained, and leave
    #[arg(long, conflicts_with = "check_config")]
    print_config: bool,
}

/// What can be done instead of serving.
#[derive(Debug, Clone, Subcommand)]
enum Task {
    /// Print a client's token, signed with the key of the configuration (HS256)
    Token {
        /// User id (claim sub); "" is an anonymous client
        #[arg(long, value_name = "USER")]
        user: String,

        /// Room: makes it a token to subscribe to this room, not one to connect
        #[arg(long, value_name = "ROOM")]
        channel: Option<String>,

        /// How long it is valid; 0s: for ever
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::parse)]
        ttl: Duration,

        /// What others see of the user (claim info), as JSON
        #[arg(long, value_name = "JSON", value_parser = check_json)]
        info: Option<Value>,
    },
    /// Check the configuration, say what is wrong, and leave: exit code 0 or 2
    CheckConfig,
    /// Print the default configuration as TOML with every key explained, and leave
    DefaultConfig,
}

impl Cli {
    /// Reads a command line, the program's name first. Errors: wrong usage, or a request for help
    /// or the version.
    pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Cli::command().after_long_help(print::help());
        let matches = command.try_get_matches_from_mut(args)?;
        Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command))
    }

    /// What is asked for.
    pub(super) fn action(&self) -> Action {
        match &self.command {
            Some(Task::Token { user, channel, ttl, info }) => Action::Token(TokenRequest {
                user: user.clone(),
                channel: channel.clone(),
                ttl: *ttl,
                info: info.clone(),
            }),
            Some(Task::CheckConfig) => Action::Check,
            Some(Task::DefaultConfig) => Action::PrintDefault,
            None if self.check_config => Action::Check,
            None if self.print_config => Action::Print,
            None => Action::Run,
        }
    }

    /// Flags that stand for a key: flag, key, value as a file would give it.
    pub(super) fn shorthands(&self) -> Vec<(&'static str, &'static str, Value)> {
        let mut given = Vec::new();
        if !self.listen.is_empty() {
            given.push(("--listen", "listen", Value::from(self.listen.clone())));
        }
        if let Some(n) = self.workers {
            given.push(("--workers", "workers", Value::from(n)));
        }
        if let Some(n) = self.max_connections {
            given.push(("--max-connections", "client.connection_limit", Value::from(n)));
        }
        if !self.allow_origin.is_empty() {
            let origins = Value::from(self.allow_origin.clone());
            given.push(("--allow-origin", "client.allowed_origins", origins));
        }
        if self.echo {
            given.push(("--echo", "echo", Value::Bool(true)));
        }
        if self.insecure {
            given.push(("--insecure", "client.insecure", Value::Bool(true)));
        }
        given
    }
}

fn check_set(pair: &str) -> Result<String, String> {
    match pair.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(pair.to_owned()),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn check_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("this is no JSON: {e}"))
}

/// Key and value of a `--set`.
pub(super) fn split_set(pair: &str) -> (&str, &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (key.trim(), value.trim())
}
