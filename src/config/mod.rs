//! One validated [`Config`]: every limit, its unit and its default.
//!
//! File, environment and flags are merged here (flag over environment over file over default)
//! and checked before anything binds. Nothing else in the program reads the environment.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | the structs and the defaults |
//! | `keys.rs` | the table of keys: path, unit, help |
//! | `cli.rs` | the flags |
//! | `load.rs` | file + environment + flags -> [`Config`] |
//! | `tree.rs` | a file as a tree of values |
//! | `validate.rs` | contradictions; who may come in |
//! | `print.rs` | `--print-config` and the list of keys in `--help` |
//! | `reload.rs` | what of a new configuration a running server takes on |
//! | `tests.rs` | the tests of all of them |

mod cli;
mod defaults;
mod duration;
pub mod keys;
mod load;
mod print;
mod reload;
#[cfg(test)]
mod tests;
mod tree;
mod validate;

pub use cli::{Action, TokenRequest};
pub use load::{ConfigError, Loaded, load};
pub use print::to_toml;
pub use reload::for_running;
pub use validate::Problem;

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Everything that an operator can set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses to listen on. Port 0: the kernel chooses.
    pub listen: Vec<SocketAddr>,
    /// Worker threads, each pinned to a core. 0: one per core that the process may use.
    pub workers: usize,
    /// Serve `/echo`, which returns every message as it came (conformance suites, round trips).
    pub echo: bool,
    /// What a client may do and how much of it.
    pub client: ClientConfig,
    /// WebSocket limits.
    pub websocket: WebSocketConfig,
    /// Rooms: names, options by namespace, totals.
    pub channel: ChannelConfig,
    /// Who is there.
    pub presence: PresenceConfig,
    /// How publications leave.
    pub fanout: FanoutConfig,
    /// The HTTP side.
    pub http_server: HttpConfig,
    /// The server API.
    pub http_api: HttpApiConfig,
    /// Orderly shutdown.
    pub shutdown: ShutdownConfig,
}

/// What a client may do and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// Origins from which a page may connect; empty: only the page's own host. `"*"`: any;
    /// `"null"`: pages without an origin (a file).
    pub allowed_origins: Vec<String>,
    /// Anyone may connect and do anything in every room; wins over the two keys below.
    pub insecure: bool,
    /// Clients may take a nick without a token. `None`: yes on loopback without a token key.
    pub allow_guests: Option<bool>,
    /// Clients may come without token and nick. `None`: as `allow_guests`' default.
    pub allow_anonymous_connect_without_token: Option<bool>,
    /// How connection tokens are checked.
    pub token: TokenConfig,
    /// How subscription tokens are checked, if not like connection tokens.
    pub subscription_token: SubscriptionTokenConfig,
    /// WebSocket connections in all. 0: as many as the descriptor limit allows.
    pub connection_limit: usize,
    /// WebSocket connections per client address. 0: no limit.
    pub connection_limit_per_address: usize,
    /// Rooms that one connection may have joined.
    pub channel_limit: usize,
    /// Bytes queued for one client, bytes in flight included; above it: disconnect 3008.
    pub queue_max_size: usize,
    /// Bytes queued for all clients together; above it, who has a backlog is disconnected (3008).
    pub queue_total_max_size: usize,
    /// Commands per second that a connection may sustain; above it: error 111, then 3013.
    /// 0: no limit.
    pub command_rate_limit: u32,
    /// Commands that may come at once before the rate counts.
    pub command_rate_burst: u32,
    /// Between two server pings.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// For the answer to a ping; later: disconnect 3012.
    #[serde(with = "duration")]
    pub pong_timeout: Duration,
    /// From the upgrade to the first `connect` command; later: disconnect 3502.
    #[serde(with = "duration")]
    pub stale_close_delay: Duration,
    /// A connection outlives its token by this long, so that the client can refresh it; later:
    /// disconnect 3005.
    #[serde(with = "duration")]
    pub expired_close_delay: Duration,
    /// A subscription outlives its token by this long; later: unsubscribed with 2501.
    #[serde(with = "duration")]
    pub expired_sub_close_delay: Duration,
    /// A guest's nick stays reserved for this long after its connection ended.
    #[serde(with = "duration")]
    pub nick_grace: Duration,
}

/// How tokens (JWT) are checked: keys by kind, and claims that have to fit.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// Key of HMAC-signed tokens (HS256, HS384, HS512). Empty: none.
    pub hmac_secret_key: String,
    /// Public key, in PEM, of RSA-signed tokens (RS256, RS384, RS512). Empty: none.
    pub rsa_public_key: String,
    /// Public key, in PEM, of ECDSA-signed tokens (ES256, ES384, ES512). Empty: none.
    pub ecdsa_public_key: String,
    /// Where the keys of RSA- and ECDSA-signed tokens are published as a JWKS. Empty: nowhere.
    pub jwks_public_endpoint: String,
    /// A file that holds a JWKS. Empty: none.
    pub jwks_file: String,
    /// Between two fetches of the JWKS, from the endpoint or the file.
    #[serde(with = "duration")]
    pub jwks_refresh: Duration,
    /// Between two fetches of the JWKS because a token names a key that is not in it.
    #[serde(with = "duration")]
    pub jwks_refresh_min_interval: Duration,
    /// What the claim `aud` has to be, or to contain. Empty: anything.
    pub audience: String,
    /// What the claim `iss` has to be. Empty: anything.
    pub issuer: String,
}

impl TokenConfig {
    /// Whether there is a key to check tokens with.
    pub fn has_key(&self) -> bool {
        let keys = [&self.hmac_secret_key, &self.rsa_public_key, &self.ecdsa_public_key];
        keys.iter().any(|key| !key.is_empty()) || self.has_jwks()
    }

    /// Whether keys come from a JWKS.
    pub fn has_jwks(&self) -> bool {
        !self.jwks_public_endpoint.is_empty() || !self.jwks_file.is_empty()
    }
}

/// Says whether there is a secret key, never which.
impl std::fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenConfig")
            .field("hmac_secret_key", &shown_secret(&self.hmac_secret_key))
            .field("rsa_public_key", &self.rsa_public_key)
            .field("ecdsa_public_key", &self.ecdsa_public_key)
            .field("jwks_public_endpoint", &self.jwks_public_endpoint)
            .field("jwks_file", &self.jwks_file)
            .finish_non_exhaustive()
    }
}

fn shown_secret(secret: &str) -> &'static str {
    if secret.is_empty() { "none" } else { "set" }
}

/// How subscription tokens are checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionTokenConfig {
    /// Subscription tokens have keys and claims of their own: those below. If not, they are
    /// checked like connection tokens.
    #[serde(default)]
    pub enabled: bool,
    /// Their keys and claims.
    #[serde(flatten)]
    pub token: TokenConfig,
}

/// WebSocket limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketConfig {
    /// Bytes of one message from a client; above it: close 1009.
    pub message_size_limit: usize,
}

/// Rooms: names, options by namespace, totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelConfig {
    /// Bytes of a room's name.
    pub max_length: usize,
    /// Rooms in all; above it a join is refused with error 106.
    pub rooms_max: usize,
    /// Nonces remembered in all, each for five minutes; above it the oldest are forgotten sooner.
    pub nonces_max: usize,
    /// Users who have to wait in slow mode, in all rooms; above it who waits the shortest may go on.
    pub slow_mode_max: usize,
    /// Bytes of history of one room; above it its oldest publications go first.
    pub history_room_max_size: usize,
    /// How long after its last publication a room keeps its position, where its namespace does not
    /// say. 0: as long as its publications.
    #[serde(with = "duration")]
    pub history_meta_ttl: Duration,
    /// Bytes of history in all; above it the oldest publications go first.
    pub history_total_max_size: usize,
    /// Publications that one recovery or history reply may carry.
    pub recovery_max_publication_limit: usize,
    /// Options of rooms whose name has no namespace.
    pub without_namespace: NamespaceOptions,
    /// Namespaces; a room `chat:lobby` is in the namespace `chat`.
    pub namespaces: Vec<Namespace>,
}

/// A namespace: a name and the options of its rooms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    /// What stands before the colon in a room's name.
    pub name: String,
    /// Options of its rooms.
    #[serde(flatten)]
    pub options: NamespaceOptions,
}

/// Options of the rooms of a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamespaceOptions {
    /// Chat rules: payloads are checked.
    pub chat: bool,
    /// Bytes of a text in a chat payload.
    pub text_size_limit: usize,
    /// Time between two messages of one user in a room. 0: no limit.
    #[serde(with = "duration")]
    pub slow_mode: Duration,
    /// Publications kept per room. 0: no history.
    pub history_size: usize,
    /// How long a publication is kept.
    #[serde(with = "duration")]
    pub history_ttl: Duration,
    /// How long after its last publication a room keeps its position. 0: as
    /// `channel.history_meta_ttl` says.
    #[serde(with = "duration")]
    pub history_meta_ttl: Duration,
    /// Every subscriber learns its position in the stream, and is told of a gap.
    pub force_positioning: bool,
    /// Every subscriber may recover what it missed.
    pub force_recovery: bool,
    /// What a recovery brings.
    pub force_recovery_mode: RecoveryMode,
    /// Who is in a room can be asked.
    pub presence: bool,
    /// Joins and leaves are events of the room.
    pub join_leave: bool,
    /// Joins and leaves are pushed to every member.
    pub force_push_join_leave: bool,
    /// Publications are notices that may be dropped for a slow member (typing).
    pub droppable: bool,
    /// What a room's name, behind the namespace, has to match. Empty: anything.
    pub channel_regex: String,
    /// Rooms named `ns:#alice,bob` are for these users alone.
    pub allow_user_limited_channels: bool,
    /// Clients may subscribe.
    pub allow_subscribe_for_client: bool,
    /// What clients may do by subscribing, anonymous clients (user `""`) may, too.
    pub allow_subscribe_for_anonymous: bool,
    /// Clients may publish without having joined.
    pub allow_publish_for_client: bool,
    /// Members may publish.
    pub allow_publish_for_subscriber: bool,
    /// What the two keys above allow, they allow anonymous clients, too.
    pub allow_publish_for_anonymous: bool,
    /// Clients may read the history without having joined.
    pub allow_history_for_client: bool,
    /// Members may read the history.
    pub allow_history_for_subscriber: bool,
    /// What the two keys above allow, they allow anonymous clients, too.
    pub allow_history_for_anonymous: bool,
    /// Clients may ask who is in a room without having joined.
    pub allow_presence_for_client: bool,
    /// Members may ask who is in a room.
    pub allow_presence_for_subscriber: bool,
    /// What the two keys above allow, they allow anonymous clients, too.
    pub allow_presence_for_anonymous: bool,
}

/// What a recovery brings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryMode {
    /// All that was missed.
    #[default]
    Stream,
    /// The newest publication, whatever was missed.
    Cache,
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceConfig {
    /// Joins and leaves are not announced in rooms with more members than this.
    pub announce_max: usize,
    /// A user who is back within this time was never away: neither the leave nor the join is
    /// announced. 0: both are, at once.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// Who is in a room with more members than this is not listed, only counted.
    pub max_members: usize,
}

/// How publications leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanoutConfig {
    /// A room's publications may wait this long for more, so that one send carries them all.
    /// 0: they leave at the end of the turn.
    #[serde(with = "duration")]
    pub max_delay: Duration,
    /// A fresh connection moves to the worker where its first room lives, unless members of the room
    /// are on its own, or the other has noticeably more connections.
    pub gather_rooms: bool,
}

/// The HTTP side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// HTTP connections served at once; above it: 503.
    pub connection_limit: usize,
    /// For the whole request head; later the connection is answered 408 and closed.
    #[serde(with = "duration")]
    pub head_timeout: Duration,
    /// Bytes of a request head; above it: 431.
    pub head_size_limit: usize,
    /// A kept-alive connection is closed after this long without a request; so is one whose client
    /// takes longer than this to take an answer.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Port, besides those of `listen`, for metrics, health and the server API. 0: none.
    pub internal_port: u16,
    /// IP address of that port. Empty: loopback.
    pub internal_address: String,
}

/// The server API: what an application's backend may ask for over HTTP.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpApiConfig {
    /// Key that every request shows. Empty: there is no server API.
    pub key: String,
    /// Bytes of a request's body; above it: 413.
    pub body_size_limit: usize,
    /// For a request's body, and for the rooms to answer it.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Idempotency keys remembered in all, each for five minutes; above it the oldest are
    /// forgotten sooner.
    pub idempotency_keys_max: usize,
    /// Where an error is told.
    pub error_mode: ErrorMode,
}

/// Where the server API tells an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorMode {
    /// In the body alone: the status is 200.
    #[default]
    #[serde(rename = "")]
    Body,
    /// By the status of the answer, too.
    Transport,
}

/// Says whether there is a key, never which.
impl std::fmt::Debug for HttpApiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpApiConfig")
            .field("key", &shown_secret(&self.key))
            .field("body_size_limit", &self.body_size_limit)
            .field("timeout", &self.timeout)
            .field("idempotency_keys_max", &self.idempotency_keys_max)
            .field("error_mode", &self.error_mode)
            .finish()
    }
}

/// Orderly shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// Clients are told to leave spread over this time.
    #[serde(with = "duration")]
    pub spread: Duration,
    /// The process is out within this time.
    #[serde(with = "duration")]
    pub timeout: Duration,
}
