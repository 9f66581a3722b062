//! Contradictions in a configuration, each with its key and its cure.
//!
//! Also answers what follows from several keys: who may come in. Tests: `config/tests.rs`.

use super::{Config, NamespaceOptions, RecoveryMode, TokenConfig, duration};
use jsonwebtoken::DecodingKey;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// Bytes of an RSA public key of 2048 bits (PKCS #1), the shortest that RFC 7518 section 3.3 allows.
const RSA_BYTES_MIN: usize = 270;

/// Bytes of a point of P-256, of P-384 and of P-521 (SEC 1, uncompressed).
const EC_BYTES: [usize; 3] = [65, 97, 133];

/// The longest that a leave may wait for its user to come back: longer, "who is there" is wrong.
const GRACE_MAX: Duration = Duration::from_secs(600);

/// The shortest time between two fetches of a JWKS.
const JWKS_REFRESH_MIN: Duration = Duration::from_secs(1);

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
        self.client.token.has_key()
    }

    /// Where the internal port is bound. `None`: there is none.
    pub fn internal(&self) -> Option<SocketAddr> {
        let http = &self.http_server;
        let ip = match http.internal_address.as_str() {
            "" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            text => text.parse().ok()?,
        };
        (http.internal_port > 0).then_some(SocketAddr::new(ip, http.internal_port))
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
    internal(config, &mut problems);
    access(config, &mut problems);
    tokens("client.token", &config.client.token, &mut problems);
    subscription_tokens(config, &mut problems);
    server_api(config, &mut problems);
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
        if let Some(other) = config.listen[..i].iter().find(|other| same_socket(address, other)) {
            let message = if other == address {
                format!("{address} is there twice; leave one out")
            } else {
                format!("{address} overlaps {other}; keep the wider one or change a port")
            };
            problems.push(Problem::new("listen", message));
        }
    }
}

fn internal(config: &Config, problems: &mut Vec<Problem>) {
    let http = &config.http_server;
    if !http.internal_address.is_empty() && http.internal_address.parse::<IpAddr>().is_err() {
        problems.push(Problem::new(
            "http_server.internal_address",
            "is no IP address; give one, such as \"127.0.0.1\", or leave it empty",
        ));
    }
    if let Some(taken) = config.internal().filter(|own| overlaps(config, own)) {
        problems.push(Problem::new(
            "http_server.internal_port",
            format!("{taken} is one of the addresses of listen; give a port of its own"),
        ));
    }
}

/// Whether an address is one that `listen` takes.
fn overlaps(config: &Config, own: &SocketAddr) -> bool {
    config.listen.iter().any(|other| same_socket(own, other))
}

/// Whether two addresses cannot both be bound.
fn same_socket(a: &SocketAddr, b: &SocketAddr) -> bool {
    let wildcard = a.ip().is_unspecified() || b.ip().is_unspecified();
    let same_family = a.is_ipv4() == b.is_ipv4();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || (same_family && wildcard))
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
                 application signed; there are keys of other kinds, too), client.allow_guests = true (anyone may come under a nick), \
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
}

/// What is wrong with the keys of the section `at`.
fn tokens(at: &str, token: &TokenConfig, problems: &mut Vec<Problem>) {
    let mut add = |key: &str, message: String| {
        problems.push(Problem::new(&format!("{at}.{key}"), message));
    };
    let length = token.hmac_secret_key.len();
    if length > 0 && length < SECRET_BYTES_MIN {
        add(
            "hmac_secret_key",
            format!(
                "has {length} bytes; a key shorter than {SECRET_BYTES_MIN} can be found by trying \
                 keys against one token (RFC 7518 section 3.2). Take a random one, such as the \
                 output of: openssl rand -hex 32"
            ),
        );
    }
    let rsa = DecodingKey::from_rsa_pem(token.rsa_public_key.as_bytes());
    let rsa = rsa.is_ok_and(|key| key.as_bytes().len() >= RSA_BYTES_MIN);
    let ecdsa = DecodingKey::from_ec_pem(token.ecdsa_public_key.as_bytes());
    let ecdsa = ecdsa.is_ok_and(|key| EC_BYTES.contains(&key.as_bytes().len()));
    for (key, pem, readable, kind) in [
        ("rsa_public_key", &token.rsa_public_key, rsa, "RSA, 2048 bits or more"),
        ("ecdsa_public_key", &token.ecdsa_public_key, ecdsa, "EC, curve P-256, P-384 or P-521"),
    ] {
        if pem.contains("PRIVATE KEY") {
            let cure = "holds a private key, which only your application should have. Give the \
                        public one: openssl pkey -in KEY.pem -pubout";
            add(key, cure.to_owned());
        } else if !pem.is_empty() && !readable {
            add(
                key,
                format!(
                    "is no public key of this kind ({kind}) in PEM, which begins with \
                     -----BEGIN PUBLIC KEY----- and has line breaks"
                ),
            );
        }
    }
    let endpoint = &token.jwks_public_endpoint;
    if !endpoint.is_empty() && !endpoint.starts_with("https://") && !endpoint.starts_with("http://")
    {
        add("jwks_public_endpoint", format!("{endpoint:?} is no URL: give http:// or https://"));
    }
    if !endpoint.is_empty() && !token.jwks_file.is_empty() {
        add("jwks_file", "contradicts jwks_public_endpoint: give one of them".to_owned());
    }
    for (key, time) in [
        ("jwks_refresh", token.jwks_refresh),
        ("jwks_refresh_min_interval", token.jwks_refresh_min_interval),
    ] {
        if time < JWKS_REFRESH_MIN {
            add(key, format!("must be at least {}", duration::format(JWKS_REFRESH_MIN)));
        }
    }
}

fn subscription_tokens(config: &Config, problems: &mut Vec<Problem>) {
    let at = "client.subscription_token";
    let own = &config.client.subscription_token;
    tokens(at, &own.token, problems);
    if own.enabled && !own.token.has_key() {
        problems.push(Problem::new(
            &format!("{at}.enabled"),
            "needs a key in the same section, such as hmac_secret_key; without `enabled`, \
             subscription tokens are checked with the keys of client.token",
        ));
    }
    if !own.enabled && own.token != TokenConfig::default() {
        problems.push(Problem::new(
            &format!("{at}.enabled"),
            "is false, so the other keys of this section would be ignored; set it to true, or \
             leave them out",
        ));
    }
}

fn server_api(config: &Config, problems: &mut Vec<Problem>) {
    // The message does not repeat the key: it is a secret.
    if !config.http_api.key.bytes().all(|b| b.is_ascii_graphic()) {
        problems.push(Problem::new(
            "http_api.key",
            "has characters that cannot stand in an HTTP header; take visible ASCII characters \
             without spaces, such as the output of: openssl rand -hex 32",
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
        ("channel.history_room_max_size", channel.history_room_max_size),
        ("http_server.connection_limit", http.connection_limit),
        ("http_api.body_size_limit", config.http_api.body_size_limit),
        ("http_api.idempotency_keys_max", config.http_api.idempotency_keys_max),
    ];
    let times = [
        ("client.ping_interval", client.ping_interval),
        ("client.pong_timeout", client.pong_timeout),
        ("client.stale_close_delay", client.stale_close_delay),
        ("http_server.head_timeout", http.head_timeout),
        ("http_server.idle_timeout", http.idle_timeout),
        ("http_api.timeout", config.http_api.timeout),
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
    if config.presence.grace > GRACE_MAX {
        let (value, most) = (duration::format(config.presence.grace), duration::format(GRACE_MAX));
        let message = format!(
            "{value} is too long: for so long a user would seem to be there; at most {most}"
        );
        problems.push(Problem::new("presence.grace", message));
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
    for (option, on) in
        [("force_recovery", o.force_recovery), ("force_positioning", o.force_positioning)]
    {
        if on && !history {
            add(option, "needs a history: set history_size and history_ttl");
        }
    }
    if o.force_recovery_mode == RecoveryMode::Cache && !o.force_recovery {
        add("force_recovery_mode", "says what a recovery brings: set force_recovery, too");
    }
    let meta_ttl = match o.history_meta_ttl.is_zero() {
        true => config.channel.history_meta_ttl,
        false => o.history_meta_ttl,
    };
    if !o.history_meta_ttl.is_zero() && !history {
        add("history_meta_ttl", "needs a history: set history_size and history_ttl");
    } else if history && !meta_ttl.is_zero() && meta_ttl < o.history_ttl {
        let cure = "a position would be forgotten before its publications: with this history_ttl, \
                    history_meta_ttl (or channel.history_meta_ttl) has to be as long, or \"0s\"";
        add("history_meta_ttl", cure);
    }
    if o.force_push_join_leave && !o.join_leave {
        add("force_push_join_leave", "has nothing to push: set join_leave, too");
    }
    if o.chat && o.text_size_limit == 0 {
        add("text_size_limit", "must be more than 0 where chat is true: no text would ever pass");
    }
    if let Err(error) = regex::Regex::new(&o.channel_regex) {
        // The last line of the error says what is wrong, those before show where.
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        add(
            "channel_regex",
            &format!("{:?} is no regular expression ({why}); correct it", o.channel_regex),
        );
    }
    if o.droppable && history {
        add("droppable", "contradicts history_size: what is kept must not be dropped; choose one");
    }
    if history && config.channel.history_total_max_size == 0 {
        add("history_size", "keeps nothing while channel.history_total_max_size is 0; raise that");
    }
}
