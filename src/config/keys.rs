//! The table of configuration keys: path, kind of value, unit and help of each.
//!
//! Owns what `--print-config`, `--help`, the environment and `docs/configuration.md` say about a
//! key. It never holds a default: those stand in `Default` of the structs. Tests:
//! `config/tests.rs` compares the table with the serialised structs.

/// What a key's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// `true`, `false`, or not given: then the default depends on other keys.
    Choice,
    /// A whole number, 0 to 4,294,967,295.
    Count,
    /// A TCP port, 0 to 65,535.
    Port,
    /// A size: a whole number of bytes.
    Bytes,
    /// A time such as `"250ms"`, `"25s"`, `"24h"`.
    Duration,
    /// A text that is never shown again.
    Secret,
    /// A text.
    Text,
    /// `"stream"` or `"cache"`.
    RecoveryMode,
    /// `""` or `"transport"`.
    ErrorMode,
    /// A list of texts; comma-separated in the environment and in `--set`.
    Texts,
    /// A list of `ADDR:PORT`; comma-separated in the environment and in `--set`.
    Addresses,
    /// The list of namespaces; JSON in the environment and in `--set`.
    Namespaces,
}

impl Kind {
    /// The unit or form of a value, for people.
    pub fn unit(self) -> &'static str {
        match self {
            Kind::Bool | Kind::Choice => "true or false",
            Kind::Count | Kind::Port => "number",
            Kind::Bytes => "bytes",
            Kind::Duration => "time (\"250ms\", \"25s\", \"24h\")",
            Kind::Secret | Kind::Text => "text",
            Kind::RecoveryMode => "\"stream\" or \"cache\"",
            Kind::ErrorMode => "\"\" or \"transport\"",
            Kind::Texts => "list of texts",
            Kind::Addresses => "list of ADDR:PORT",
            Kind::Namespaces => "list of namespaces",
        }
    }
}

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Dotted path, as in a file and in `--set`.
    pub path: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What it means; what 0 or an empty value means.
    pub help: &'static str,
}

const fn key(path: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { path, kind, help }
}

/// The section that holds the options of rooms without a namespace.
pub(super) const WITHOUT_NAMESPACE: &str = "channel.without_namespace";

/// The key of the list of namespaces.
pub(super) const NAMESPACES: &str = "channel.namespaces";

/// Every key but the options of rooms ([`OPTIONS`]). Keys of one section stand together, and a
/// section's own keys stand before its subsections, as TOML wants them.
pub const KEYS: &[Key] = &[
    key("listen", Kind::Addresses, "Addresses to listen on. Port 0: the kernel chooses."),
    key(
        "workers",
        Kind::Count,
        "Worker threads, each pinned to a core. 0: one per core that the process may use.",
    ),
    key(
        "echo",
        Kind::Bool,
        "Serve /echo, which returns every message as it came (conformance suites, round trips).",
    ),
    key(
        "client.allowed_origins",
        Kind::Texts,
        "Origins from which a page may connect, such as https://chat.example.com or \
         https://*.example.com (every subdomain). Empty: only the page's own host. \"*\": any; \
         \"null\": pages without an origin (a file).",
    ),
    key(
        "client.insecure",
        Kind::Bool,
        "Anyone may connect and do anything in every room. Wins over the two keys below.",
    ),
    key(
        "client.allow_guests",
        Kind::Choice,
        "Clients may take a nick without a token. Not given: yes if every address listened on is \
         loopback and there is no token key.",
    ),
    key(
        "client.allow_anonymous_connect_without_token",
        Kind::Choice,
        "Clients may come with neither token nor nick. Not given: yes if every address listened \
         on is loopback and there is no token key.",
    ),
    key(
        "client.connection_limit",
        Kind::Count,
        "WebSocket connections in all. 0: as many as the descriptor limit allows, at most 1000000.",
    ),
    key(
        "client.connection_limit_per_address",
        Kind::Count,
        "WebSocket connections per client address. 0: no limit.",
    ),
    key("client.channel_limit", Kind::Count, "Rooms that one connection may have joined."),
    key(
        "client.queue_max_size",
        Kind::Bytes,
        "Bytes queued for one client, bytes in flight included, at most 4294967295; above it: \
         disconnect 3008.",
    ),
    key(
        "client.queue_total_max_size",
        Kind::Bytes,
        "Bytes queued for all clients together; above it, who has a backlog is disconnected \
         (3008).",
    ),
    key(
        "client.command_rate_limit",
        Kind::Count,
        "Commands per second that a connection may sustain; above it: error 111, then disconnect \
         3013. 0: no limit.",
    ),
    key(
        "client.command_rate_burst",
        Kind::Count,
        "Commands that may come at once before the rate counts.",
    ),
    key("client.ping_interval", Kind::Duration, "Between two pings by the server."),
    key(
        "client.pong_timeout",
        Kind::Duration,
        "For the answer to a ping; later: disconnect 3012. Shorter than client.ping_interval.",
    ),
    key(
        "client.stale_close_delay",
        Kind::Duration,
        "From the upgrade to the first connect command; later: disconnect 3502.",
    ),
    key(
        "client.expired_close_delay",
        Kind::Duration,
        "A connection outlives its token by this long, so that the client can refresh it; later: \
         disconnect 3005.",
    ),
    key(
        "client.expired_sub_close_delay",
        Kind::Duration,
        "A subscription outlives its token by this long, so that the client can refresh it; later: \
         unsubscribed with 2501.",
    ),
    key(
        "client.nick_grace",
        Kind::Duration,
        "A guest's nick stays reserved for this long after its connection ended.",
    ),
    key(
        "client.token.hmac_secret_key",
        Kind::Secret,
        "Key of tokens (JWT) signed with HMAC (HS256, HS384, HS512), at least 32 bytes. Empty: \
         none. Without any key, tokens are not taken.",
    ),
    key(
        "client.token.rsa_public_key",
        Kind::Text,
        "Public key of tokens signed with RSA (RS256, RS384, RS512), 2048 bits or more, in PEM. \
         Empty: none.",
    ),
    key(
        "client.token.ecdsa_public_key",
        Kind::Text,
        "Public key of tokens signed with ECDSA (ES256: curve P-256, ES384: P-384, ES512: P-521), in \
         PEM. Empty: none.",
    ),
    key(
        "client.token.jwks_public_endpoint",
        Kind::Text,
        "URL (http or https) of a JWKS, the public keys of RSA- and ECDSA-signed tokens; a \
         token's kid says which. It has to answer before ringchat starts. Empty: none.",
    ),
    key(
        "client.token.jwks_file",
        Kind::Text,
        "Path of a file that holds a JWKS. Empty: none. Excludes jwks_public_endpoint.",
    ),
    key(
        "client.token.jwks_refresh",
        Kind::Duration,
        "Between two readings of the JWKS, at least 1s; one that fails leaves the keys as they are.",
    ),
    key(
        "client.token.jwks_refresh_min_interval",
        Kind::Duration,
        "A token whose kid is not in the JWKS has it read at once, but not before this time has \
         passed since the last such reading, at least 1s.",
    ),
    key(
        "client.token.audience",
        Kind::Text,
        "What a token's aud claim has to be, or to contain. Empty: anything.",
    ),
    key("client.token.issuer", Kind::Text, "What a token's iss claim has to be. Empty: anything."),
    key(
        "client.subscription_token.enabled",
        Kind::Bool,
        "Subscription tokens have keys and claims of their own: those of this section. If not, \
         they are checked like connection tokens.",
    ),
    key(
        "client.subscription_token.hmac_secret_key",
        Kind::Secret,
        "Key of tokens (JWT) signed with HMAC (HS256, HS384, HS512), at least 32 bytes. Empty: \
         none.",
    ),
    key(
        "client.subscription_token.rsa_public_key",
        Kind::Text,
        "Public key of tokens signed with RSA (RS256, RS384, RS512), 2048 bits or more, in PEM. \
         Empty: none.",
    ),
    key(
        "client.subscription_token.ecdsa_public_key",
        Kind::Text,
        "Public key of tokens signed with ECDSA (ES256: curve P-256, ES384: P-384, ES512: P-521), in \
         PEM. Empty: none.",
    ),
    key(
        "client.subscription_token.jwks_public_endpoint",
        Kind::Text,
        "URL (http or https) of a JWKS, the public keys of RSA- and ECDSA-signed tokens; a \
         token's kid says which. It has to answer before ringchat starts. Empty: none.",
    ),
    key(
        "client.subscription_token.jwks_file",
        Kind::Text,
        "Path of a file that holds a JWKS. Empty: none. Excludes jwks_public_endpoint.",
    ),
    key(
        "client.subscription_token.jwks_refresh",
        Kind::Duration,
        "Between two readings of the JWKS, at least 1s; one that fails leaves the keys as they are.",
    ),
    key(
        "client.subscription_token.jwks_refresh_min_interval",
        Kind::Duration,
        "A token whose kid is not in the JWKS has it read at once, but not before this time has \
         passed since the last such reading, at least 1s.",
    ),
    key(
        "client.subscription_token.audience",
        Kind::Text,
        "What a token's aud claim has to be, or to contain. Empty: anything.",
    ),
    key(
        "client.subscription_token.issuer",
        Kind::Text,
        "What a token's iss claim has to be. Empty: anything.",
    ),
    key(
        "websocket.message_size_limit",
        Kind::Bytes,
        "Bytes of one message from a client; above it: close 1009. At most a quarter of \
         client.queue_max_size.",
    ),
    key("channel.max_length", Kind::Bytes, "Bytes of a room's name."),
    key(
        "channel.nonces_max",
        Kind::Count,
        "Nonces remembered in all, each for five minutes; above it the oldest are forgotten sooner.",
    ),
    key(
        "channel.slow_mode_max",
        Kind::Count,
        "Users who have to wait in slow mode, in all rooms; above it who waits the shortest may \
         go on.",
    ),
    key("channel.rooms_max", Kind::Count, "Rooms in all; above it a join is refused (error 106)."),
    key(
        "channel.history_room_max_size",
        Kind::Bytes,
        "Bytes of history of one room; above it its oldest publications go first.",
    ),
    key(
        "channel.history_meta_ttl",
        Kind::Duration,
        "How long after its last publication a room keeps its epoch and offset, even if nobody is \
         in it and the publications are gone, where its namespace does not say: who comes back \
         within this time learns whether it missed any. \"0s\": as long as its publications.",
    ),
    key(
        "channel.history_total_max_size",
        Kind::Bytes,
        "Bytes of history in all; above it the oldest publications go first.",
    ),
    key(
        "channel.recovery_max_publication_limit",
        Kind::Count,
        "Publications that one recovery or history reply may carry.",
    ),
    key(
        NAMESPACES,
        Kind::Namespaces,
        "Namespaces; a room chat:lobby is in the namespace chat. Each has a name and the options \
         of [channel.without_namespace]. An entry named like a namespace that exists changes the \
         options it gives; a new one starts with every option off.",
    ),
    key(
        "presence.announce_max",
        Kind::Count,
        "Joins and leaves are not announced in rooms with more members than this.",
    ),
    key(
        "presence.grace",
        Kind::Duration,
        "A user who is back in a room within this time, at most 10m, was never away: neither the \
         leave nor the join is announced. \"0s\": both are, at once.",
    ),
    key(
        "presence.max_members",
        Kind::Count,
        "Who is in a room with more members than this is counted, but not listed (error 106).",
    ),
    key(
        "fanout.max_delay",
        Kind::Duration,
        "Publications of a room may wait this long for more, at most 100ms, so that one send \
         carries them all: less CPU at a medium load, for that much latency. \"0s\": none waits.",
    ),
    key(
        "fanout.gather_rooms",
        Kind::Bool,
        "A fresh connection moves to the worker where its first room lives, unless members of the \
         room are on its own already or the other has an eighth and 16 sockets more than the mean: \
         the messages of small rooms cross no core.",
    ),
    key(
        "http_server.connection_limit",
        Kind::Count,
        "HTTP connections served at once; above it: 503.",
    ),
    key(
        "http_server.head_timeout",
        Kind::Duration,
        "For the whole request head; later the connection is answered 408 and closed.",
    ),
    key(
        "http_server.head_size_limit",
        Kind::Bytes,
        "Bytes of a request head, at least 8192; above it: 431.",
    ),
    key(
        "http_server.idle_timeout",
        Kind::Duration,
        "A kept-alive HTTP connection is closed after this long without a request; so is one whose \
         client takes longer than this to take an answer.",
    ),
    key(
        "http_server.internal_port",
        Kind::Port,
        "Port, besides those of listen, for metrics, health and the server API; they are then \
         served there only. 0: no such port.",
    ),
    key("http_server.internal_address", Kind::Text, "IP address of that port. Empty: 127.0.0.1."),
    key(
        "http_api.key",
        Kind::Secret,
        "Key of the server API at /api, in the header X-API-Key of every request: visible ASCII \
         characters. Empty: there is no server API.",
    ),
    key(
        "http_api.body_size_limit",
        Kind::Bytes,
        "Bytes of a request's body to the server API; above it: 413.",
    ),
    key(
        "http_api.timeout",
        Kind::Duration,
        "For the body of a request to the server API (later: 408), and for the rooms to answer it \
         (later: error 100).",
    ),
    key(
        "http_api.idempotency_keys_max",
        Kind::Count,
        "Idempotency keys remembered in all, each for five minutes; above it the oldest are \
         forgotten sooner.",
    ),
    key(
        "http_api.error_mode",
        Kind::ErrorMode,
        "With \"transport\" an error of the server API is the status of the answer, too; a request \
         can ask for that with the header X-Centrifugo-Error-Mode. Empty: the status is 200.",
    ),
    key("shutdown.spread", Kind::Duration, "Clients are told to leave spread over this time."),
    key("shutdown.timeout", Kind::Duration, "The process is out within this time."),
];

/// The options of rooms: keys of `channel.without_namespace` and of every namespace.
pub const OPTIONS: &[Key] = &[
    key("chat", Kind::Bool, "Chat rules: payloads are checked."),
    key(
        "text_size_limit",
        Kind::Bytes,
        "Bytes of a text in a chat payload; above it: error 106. Goes with chat.",
    ),
    key(
        "slow_mode",
        Kind::Duration,
        "Time between two messages of one user in a room; sooner: error 111. \"0s\": no limit.",
    ),
    key(
        "history_size",
        Kind::Count,
        "Publications kept per room. 0: no history. Goes with history_ttl.",
    ),
    key(
        "history_ttl",
        Kind::Duration,
        "How long a publication is kept. \"0s\": no history. Goes with history_size.",
    ),
    key(
        "history_meta_ttl",
        Kind::Duration,
        "As channel.history_meta_ttl, for these rooms; no shorter than history_ttl. \"0s\": what \
         that key says.",
    ),
    key(
        "force_positioning",
        Kind::Bool,
        "Every subscriber is told its position in the stream. Needs a history.",
    ),
    key(
        "force_recovery",
        Kind::Bool,
        "Every subscriber may recover what it missed. Needs a history.",
    ),
    key(
        "force_recovery_mode",
        Kind::RecoveryMode,
        "What a recovery brings: all that was missed (stream), or the newest publication (cache).",
    ),
    key("presence", Kind::Bool, "Who is in a room can be asked."),
    key("join_leave", Kind::Bool, "Joins and leaves are events of the room."),
    key(
        "force_push_join_leave",
        Kind::Bool,
        "Joins and leaves are pushed to every member. Needs join_leave.",
    ),
    key(
        "droppable",
        Kind::Bool,
        "Publications are notices that may be dropped for a slow member (typing).",
    ),
    key(
        "channel_regex",
        Kind::Text,
        "What a room's name, without its namespace, has to match, such as ^[a-z0-9-]+$; other \
         names are refused (error 107). Empty: anything.",
    ),
    key(
        "allow_user_limited_channels",
        Kind::Bool,
        "Rooms named ns:#alice,bob are for these users alone.",
    ),
    key("allow_subscribe_for_client", Kind::Bool, "Clients may subscribe."),
    key(
        "allow_subscribe_for_anonymous",
        Kind::Bool,
        "Anonymous clients (user \"\") may subscribe where clients may.",
    ),
    key("allow_publish_for_client", Kind::Bool, "Clients may publish without having joined."),
    key("allow_publish_for_subscriber", Kind::Bool, "Members may publish."),
    key(
        "allow_publish_for_anonymous",
        Kind::Bool,
        "Anonymous clients may publish where clients or members may.",
    ),
    key(
        "allow_history_for_client",
        Kind::Bool,
        "Clients may read the history without having joined.",
    ),
    key("allow_history_for_subscriber", Kind::Bool, "Members may read the history."),
    key(
        "allow_history_for_anonymous",
        Kind::Bool,
        "Anonymous clients may read the history where clients or members may.",
    ),
    key(
        "allow_presence_for_client",
        Kind::Bool,
        "Clients may ask who is in a room without having joined.",
    ),
    key("allow_presence_for_subscriber", Kind::Bool, "Members may ask who is in the room."),
    key(
        "allow_presence_for_anonymous",
        Kind::Bool,
        "Anonymous clients may ask who is in a room where clients or members may.",
    ),
];

/// Every key with its whole path, in the order of the file; namespaces are one key here.
pub fn all() -> impl Iterator<Item = (String, Key)> {
    let split = KEYS.iter().position(|k| k.path == NAMESPACES).unwrap_or(KEYS.len());
    let (before, after) = KEYS.split_at(split);
    let own = |k: &Key| (k.path.to_owned(), *k);
    before
        .iter()
        .map(own)
        .chain(OPTIONS.iter().map(|k| (format!("{WITHOUT_NAMESPACE}.{}", k.path), *k)))
        .chain(after.iter().map(own))
}

/// The environment variable of a key: `client.insecure` is `RINGCHAT_CLIENT_INSECURE`.
pub fn variable(path: &str) -> String {
    format!("RINGCHAT_{}", path.replace('.', "_").to_uppercase())
}

/// What stands at a dotted path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A key with a value of this kind.
    Value(Kind),
    /// A section: keys stand below it.
    Section,
    /// Nothing.
    Unknown,
}

/// Looks a path up. An option of a namespace is `channel.namespaces.NAME.OPTION`.
pub(super) fn find(path: &str) -> Found {
    let option = |name: &str| {
        OPTIONS.iter().find(|k| k.path == name).map_or(Found::Unknown, |k| Found::Value(k.kind))
    };
    if let Some(k) = KEYS.iter().find(|k| k.path == path) {
        return Found::Value(k.kind);
    }
    if let Some(rest) = path.strip_prefix(NAMESPACES).and_then(|r| r.strip_prefix('.')) {
        return rest.split_once('.').map_or(Found::Unknown, |(_, name)| option(name));
    }
    if path == WITHOUT_NAMESPACE {
        return Found::Section;
    }
    if let Some(name) = path.strip_prefix(WITHOUT_NAMESPACE).and_then(|r| r.strip_prefix('.')) {
        return option(name);
    }
    let below = |k: &Key| k.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if KEYS.iter().any(below) { Found::Section } else { Found::Unknown }
}

/// The key that an unknown path was probably meant to be.
pub(super) fn suggest(path: &str) -> Option<String> {
    let known: Vec<String> = match path.strip_prefix(NAMESPACES).and_then(|r| r.strip_prefix('.')) {
        Some(rest) => {
            let (name, _) = rest.split_once('.')?;
            OPTIONS.iter().map(|k| format!("{NAMESPACES}.{name}.{}", k.path)).collect()
        }
        None => all().map(|(path, _)| path).collect(),
    };
    let last = |p: &str| p.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = last(path);
    if let Some(same) = known.iter().find(|k| last(k) == wanted) {
        return Some(same.clone());
    }
    known
        .into_iter()
        .map(|k| {
            let whole = strsim::damerau_levenshtein(&k, path);
            (whole.min(strsim::damerau_levenshtein(&last(&k), &wanted) + 1), k)
        })
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
