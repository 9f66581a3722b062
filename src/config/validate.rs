//! Contradictions in a configuration, each with its key and its cure.
//!
//! Also answers what follows from several keys: who may come in. Tests: `config/tests.rs`.

use super::{Config, NamespaceOptions, duration};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was given: a file's path, a variable, a flag; empty: nowhere in particular.
    pub origin: String,
    /// Dotted path of the key; empty: the whole source.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: &str, message: impl Into<String>) -> Self {
        Problem { origin: String::new(), key: key.to_owned(), message: message.into() }
    }

    pub(super) fn from_origin(origin: &str, key: &str, message: String) -> Self {
        Problem { origin: origin.to_owned(), key: key.to_owned(), message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.origin, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// Bytes that a key for HMAC-SHA256 needs at least (RFC 7518 section 3.2: as long as the hash).
const SECRET_BYTES_MIN: usize = 32;

/// Bytes that a request head may always have: browsers send several KiB with their cookies, and
/// the HTTP stack takes no smaller buffer.
const HEAD_BYTES_MIN: usize = 8 * 1024;

/// Bytes of one client's queue that its counters can count.
const QUEUE_BYTES_MAX: usize = u32::MAX as usize;

/// The longest that publications may wait for more: longer, people would notice, and a core has
/// long stopped to gain by it.
const FANOUT_DELAY_MAX: Duration = Duration::from_millis(100);

/// How a namespace may be called, for people.
pub(super) const NAMESPACE_NAME_RULE: &str = "two or more of the characters - a-z A-Z 0-9 _";

/// `[-a-zA-Z0-9_]{2,}`: no colon, which ends a namespace in a room's name.
pub(super) fn is_namespace_name(name: &str) -> bool {
    let allowed = |b: u8| b == b'-' || b == b'_' || b.is_ascii_alphanumeric();
    name.len() >= 2 && name.bytes().all(allowed)
}

impl Config {
    /// Checks that the settings fit together. Errors: every contradiction found.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        validate(self)
    }

    /// Whether client tokens are taken: there is a key to check them.
    pub fn tokens_taken(&self) -> bool {
        !self.client.token.hmac_secret_key.is_empty()
    }

    /// Whether only this machine can reach the server.
    pub fn loopback_only(&self) -> bool {
        self.listen.iter().all(|a| a.ip().to_canonical().is_loopback())
    }

    /// Whether a client may take a nick without a token.
    pub fn guests_allowed(&self) -> bool {
        self.client.insecure || self.client.allow_guests.unwrap_or_else(|| self.open_by_default())
    }

    /// Whether a client may come with neither token nor nick.
    pub fn anonymous_allowed(&self) -> bool {
        let given = self.client.allow_anonymous_connect_without_token;
        self.client.insecure || given.unwrap_or_else(|| self.open_by_default())
    }

    /// Whether whoever reaches the server may come in and take part without proving who they are,
    /// because nothing else was asked for (loopback, no token key) or because
    /// `client.insecure` says so. The line at start tells the operator.
    pub fn is_open(&self) -> bool {
        self.client.insecure || self.open_by_default()
    }

    fn open_by_default(&self) -> bool {
        self.loopback_only() && !self.tokens_taken()
    }
}

/// See [`Config::validate`].
pub(super) fn validate(config: &Config) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    listen(config, &mut problems);
    access(config, &mut problems);
    zeros(config, &mut problems);
    limits(config, &mut problems);
    origins(&config.client.allowed_origins, &mut problems);
    rooms(config, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn listen(config: &Config, problems: &mut Vec<Problem>) {
    if config.listen.is_empty() {
        problems.push(Problem::new("listen", "is empty; give at least one ADDR:PORT"));
    }
    for (i, address) in config.listen.iter().enumerate() {
        let taken = |other: &&SocketAddr| {
            let same_port = other.port() == address.port() && address.port() != 0;
            let same_family = other.is_ipv4() == address.is_ipv4();
            let wildcard = other.ip().is_unspecified() || address.ip().is_unspecified();
            same_port && (other.ip() == address.ip() || (same_family && wildcard))
        };
        if let Some(other) = config.listen[..i].iter().find(taken) {
            let message = if other == address {
                format!("{address} is there twice; leave one out")
            } else {
                format!("{address} overlaps {other}; keep the wider one or change a port")
            };
            problems.push(Problem::new("listen", message));
        }
    }
}

fn access(config: &Config, problems: &mut Vec<Problem>) {
    let client = &config.client;
    let public = config.listen.iter().find(|a| !a.ip().to_canonical().is_loopback());
    let stated = config.tokens_taken() || client.insecure || client.allow_guests == Some(true);
    let unstated = public.filter(|_| !stated);
    if let Some(address) = unstated {
        problems.push(Problem::new(
            "listen",
            format!(
                "{address} can be reached from other machines, and nothing says who may come in. \
                 Set one of: client.token.hmac_secret_key (clients bring a token that your \
                 application signed), client.allow_guests = true (anyone may come under a nick), \
                 client.insecure = true (anyone may do anything)"
            ),
        ));
    } else if !config.tokens_taken() && !config.guests_allowed() && !config.anonymous_allowed() {
        problems.push(Problem::new(
            "client.allow_guests",
            "nobody could ever connect: guests and anonymous clients are refused and there is no \
             token key. Set client.token.hmac_secret_key, or allow one of the others",
        ));
    }
    let length = client.token.hmac_secret_key.len();
    if length > 0 && length < SECRET_BYTES_MIN {
        problems.push(Problem::new(
            "client.token.hmac_secret_key",
            format!(
                "has {length} bytes; a key shorter than {SECRET_BYTES_MIN} can be found by trying \
                 keys against one token (RFC 7518 section 3.2). Take a random one, such as the \
                 output of: openssl rand -hex 32"
            ),
        ));
    }
}

fn zeros(config: &Config, problems: &mut Vec<Problem>) {
    let (client, channel, http) = (&config.client, &config.channel, &config.http_server);
    let numbers = [
        ("client.channel_limit", client.channel_limit),
        ("client.queue_max_size", client.queue_max_size),
        ("client.queue_total_max_size", client.queue_total_max_size),
        ("websocket.message_size_limit", config.websocket.message_size_limit),
        ("channel.max_length", channel.max_length),
        ("channel.rooms_max", channel.rooms_max),
        ("channel.nonces_max", channel.nonces_max),
        ("channel.slow_mode_max", channel.slow_mode_max),
        ("channel.recovery_max_publication_limit", channel.recovery_max_publication_limit),
        ("http_server.connection_limit", http.connection_limit),
    ];
    let times = [
        ("client.ping_interval", client.ping_interval),
        ("client.pong_timeout", client.pong_timeout),
        ("client.stale_close_delay", client.stale_close_delay),
        ("http_server.head_timeout", http.head_timeout),
        ("http_server.idle_timeout", http.idle_timeout),
        ("shutdown.timeout", config.shutdown.timeout),
    ];
    let zero_numbers = numbers.iter().filter(|(_, n)| *n == 0).map(|(key, _)| *key);
    let zero_times = times.iter().filter(|(_, t)| t.is_zero()).map(|(key, _)| *key);
    for key in zero_numbers.chain(zero_times) {
        problems.push(Problem::new(key, "must be more than 0: with 0 nothing would ever pass"));
    }
    if client.command_rate_limit > 0 && client.command_rate_burst == 0 {
        problems.push(Problem::new(
            "client.command_rate_burst",
            "must be more than 0 where client.command_rate_limit is: with 0 every command would \
             be refused",
        ));
    }
}

fn limits(config: &Config, problems: &mut Vec<Problem>) {
    let client = &config.client;
    let mut shorter = |key: &str, value: Duration, than: &str, limit: Duration| {
        if value >= limit && !limit.is_zero() {
            let (value, limit) = (duration::format(value), duration::format(limit));
            let message = format!("{value} must be shorter than {than} ({limit})");
            problems.push(Problem::new(key, message));
        }
    };
    shorter("client.pong_timeout", client.pong_timeout, "client.ping_interval", {
        client.ping_interval
    });
    let shutdown = &config.shutdown;
    shorter("shutdown.spread", shutdown.spread, "shutdown.timeout", shutdown.timeout);

    if config.fanout.max_delay > FANOUT_DELAY_MAX {
        let value = duration::format(config.fanout.max_delay);
        let most = duration::format(FANOUT_DELAY_MAX);
        let message =
            format!("{value} is too long: every publication may wait so long; at most {most}");
        problems.push(Problem::new("fanout.max_delay", message));
    }
    if client.queue_max_size > QUEUE_BYTES_MAX {
        let message = format!("must be at most {QUEUE_BYTES_MAX}");
        problems.push(Problem::new("client.queue_max_size", message));
    }
    if config.http_server.head_size_limit < HEAD_BYTES_MIN {
        problems.push(Problem::new(
            "http_server.head_size_limit",
            format!("must be at least {HEAD_BYTES_MIN}: browsers send heads of several KiB"),
        ));
    }
    let message = config.websocket.message_size_limit;
    if message > client.queue_max_size / 4 && client.queue_max_size > 0 {
        problems.push(Problem::new(
            "websocket.message_size_limit",
            format!(
                "{message} is more than a quarter of client.queue_max_size ({}): a few messages \
                 would disconnect every member of a room. Raise client.queue_max_size to {} or \
                 lower this",
                client.queue_max_size,
                message.saturating_mul(4)
            ),
        ));
    }
    if client.queue_total_max_size < client.queue_max_size {
        problems.push(Problem::new(
            "client.queue_total_max_size",
            format!(
                "{} is less than client.queue_max_size ({}), which one client may use alone",
                client.queue_total_max_size, client.queue_max_size
            ),
        ));
    }
    let (all, per_address) = (client.connection_limit, client.connection_limit_per_address);
    if all > 0 && per_address > all {
        problems.push(Problem::new(
            "client.connection_limit_per_address",
            format!("{per_address} is more than client.connection_limit ({all})"),
        ));
    }
}

fn origins(origins: &[String], problems: &mut Vec<Problem>) {
    for (i, origin) in origins.iter().enumerate() {
        let wrong = origin_problem(origin)
            .or_else(|| origins[..i].contains(origin).then_some("is there twice; leave one out"));
        if let Some(wrong) = wrong {
            problems.push(Problem::new("client.allowed_origins", format!("{origin:?} {wrong}")));
        }
    }
}

/// What is wrong with an entry: it has to be something that `ws::handshake::origin_allowed` can
/// find equal to what browsers send (RFC 6454 section 6.2).
fn origin_problem(origin: &str) -> Option<&'static str> {
    if origin == "*" || origin == "null" {
        return None;
    }
    let form = "is no origin: write scheme://host or scheme://host:port, such as \
                https://chat.example.com";
    let Some((scheme, authority)) = origin.split_once("://") else { return Some(form) };
    let scheme_ok = !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_ok = port.is_none_or(|p| p.parse::<u16>().is_ok());
    let name = host.strip_prefix("*.").unwrap_or(host);
    if authority.contains(['/', '?', '#', '@']) {
        Some("has more than scheme, host and port; leave out what follows the host")
    } else if !scheme_ok || name.is_empty() || !port_ok {
        Some(form)
    } else if name.contains('*') {
        Some("has a pattern; only *. before a host is one (every subdomain), or \"*\" alone (any)")
    } else if !name.bytes().all(|b| b.is_ascii_graphic()) {
        Some("is not how browsers send it: ASCII (punycode), no spaces")
    } else {
        None
    }
}

fn rooms(config: &Config, problems: &mut Vec<Problem>) {
    let channel = &config.channel;
    options(config, "channel.without_namespace", &channel.without_namespace, problems);
    for (i, namespace) in channel.namespaces.iter().enumerate() {
        let name = namespace.name.as_str();
        let key = format!("channel.namespaces.{name}");
        if !is_namespace_name(name) {
            let message = format!("{name:?} is no name for a namespace: use {NAMESPACE_NAME_RULE}");
            problems.push(Problem::new("channel.namespaces", message));
        }
        if channel.namespaces[..i].iter().any(|n| n.name == name) {
            problems.push(Problem::new(&key, "is there twice; leave one out"));
        }
        options(config, &key, &namespace.options, problems);
    }
}

fn options(config: &Config, at: &str, o: &NamespaceOptions, problems: &mut Vec<Problem>) {
    let mut add = |option: &str, message: &str| {
        problems.push(Problem::new(&format!("{at}.{option}"), message));
    };
    let history = o.history_size > 0 && !o.history_ttl.is_zero();
    if o.history_size > 0 && o.history_ttl.is_zero() {
        add("history_size", "needs history_ttl, how long a publication is kept, such as \"24h\"");
    }
    if o.history_size == 0 && !o.history_ttl.is_zero() {
        add("history_ttl", "needs history_size, how many publications are kept, such as 500");
    }
    if o.force_recovery && !history {
        add("force_recovery", "needs a history: set history_size and history_ttl");
    }
    if o.droppable && history {
        add("droppable", "contradicts history_size: what is kept must not be dropped; choose one");
    }
    if history && config.channel.history_total_max_size == 0 {
        add("history_size", "keeps nothing while channel.history_total_max_size is 0; raise that");
    }
}
