//! Every metric's name, unit and help, in one place.
//!
//! Owns: one [`Cells`] per shard (and one for the HTTP side), written by its own thread only and
//! read by whoever scrapes. It never aggregates on the hot path: sums are made when scraped.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread writes and any thread may read.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds `n`. A plain load and store, not a locked instruction: each cell has one writer.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes `n` away (gauges only).
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// Sets the value (gauges only).
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What a metric counts: a total that only grows, or a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One metric: its exported name (without the `ringchat_` prefix and a counter's `_total`), kind,
/// help, and how to read it from a set of cells.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Exported name, without prefix and suffix.
    pub name: &'static str,
    /// Label pair, if several metrics share the name: `("reason", "slow")`.
    pub label: Option<(&'static str, &'static str)>,
    /// Counter or gauge.
    pub kind: Kind,
    /// One sentence, with the unit.
    pub help: &'static str,
    /// Reads the cell.
    pub read: fn(&Cells) -> u64,
}

macro_rules! metrics {
    ($( $field:ident : $kind:ident $name:literal $({ $label:literal = $value:literal })? , $help:literal ; )*) => {
        /// One shard's cells: one field per metric; the table [`METRICS`] names them.
        #[derive(Debug, Default)]
        pub struct Cells {
            $( #[doc = $help] pub $field: Cell, )*
        }

        /// Every metric there is, in the order in which they are exported.
        pub const METRICS: &[Metric] = &[
            $( Metric {
                name: $name,
                label: metrics!(@label $($label, $value)?),
                kind: Kind::$kind,
                help: $help,
                read: |cells| cells.$field.get(),
            }, )*
        ];
    };
    (@label) => { None };
    (@label $label:literal, $value:literal) => { Some(($label, $value)) };
}

metrics! {
    connections: Gauge "connections", "Sockets open now (WebSocket, or still sending their request head).";
    sessions: Gauge "sessions", "WebSocket connections open now.";
    accepted: Counter "accepted", "Sockets accepted.";
    handed_over: Counter "handed_over", "Fresh sockets given to an emptier worker.";
    gathered: Counter "gathered", "Fresh connections that moved to the worker where their first room lives.";
    accept_errors: Counter "accept_errors", "Failed accepts (descriptors or memory short).";
    rejected_head: Counter "rejected" {"reason" = "bad_head"}, "Request heads refused, by reason.";
    rejected_too_large: Counter "rejected" {"reason" = "head_too_large"}, "Request heads refused, by reason.";
    rejected_timeout: Counter "rejected" {"reason" = "head_timeout"}, "Request heads refused, by reason.";
    rejected_origin: Counter "rejected" {"reason" = "origin"}, "Request heads refused, by reason.";
    rejected_full: Counter "rejected" {"reason" = "max_connections"}, "Request heads refused, by reason.";
    rejected_address: Counter "rejected" {"reason" = "max_connections_per_address"}, "Request heads refused, by reason.";
    rejected_unauthorized: Counter "rejected" {"reason" = "unauthorized"}, "Request heads refused, by reason.";
    rejected_http_busy: Counter "rejected" {"reason" = "http_busy"}, "Request heads refused, by reason.";
    http_requests: Counter "http_requests", "Requests served by the HTTP side.";
    http_connections: Gauge "http_connections", "Connections of the HTTP side open now.";
    http_handed_back: Counter "http_handed_back", "WebSocket upgrades on kept-alive HTTP connections, handed back to a worker.";
    http_timeouts: Counter "http_timeouts", "HTTP connections closed because a head, an answer or the next request took too long.";
    config_reloaded: Counter "config_reloads" {"result" = "done"}, "Reloads of the configuration (SIGHUP), by result.";
    config_not_reloaded: Counter "config_reloads" {"result" = "refused"}, "Reloads of the configuration (SIGHUP), by result.";
    jwks_read: Counter "jwks_refreshes" {"result" = "done"}, "Readings of the key sets (JWKS) since the start, by result.";
    jwks_not_read: Counter "jwks_refreshes" {"result" = "failed"}, "Readings of the key sets (JWKS) since the start, by result.";
    jwks_early: Counter "jwks_early_refreshes", "Readings of the key sets (JWKS) because a token named a key that was not in them.";
    http_api_calls: Counter "http_api_calls", "Calls of the server API that were carried out, each command of a batch counted.";
    http_api_errors: Counter "http_api_errors", "Calls of the server API that were answered with an error.";
    http_api_unauthorized: Counter "http_api_unauthorized", "Requests to the server API without the right key.";
    http_api_refused: Counter "http_api_refused", "Requests to the server API refused as a whole: malformed, too large, too slow, unknown method, or while the server drains.";
    rooms: Gauge "rooms", "Rooms that this shard is home to.";
    history_bytes: Gauge "history_bytes", "Bytes of history kept.";
    outbox_bytes: Gauge "outbox_bytes", "Bytes queued for clients, bytes in flight included.";
    commands: Counter "commands", "Commands and chat lines received.";
    publications: Counter "publications", "Publications accepted and given an offset.";
    deliveries: Counter "deliveries", "Publications queued for a member, counted per member.";
    sends: Counter "sends", "Send operations submitted.";
    sends_waited: Counter "sends_waited", "Sends that a full socket did not take at once.";
    sent_bytes: Counter "sent_bytes", "Bytes handed to the kernel.";
    received_bytes: Counter "received_bytes", "Bytes received.";
    turns: Counter "turns", "Rounds of the event loop.";
    lane_batches: Counter "lane_batches", "Batches sent to other shards.";
    lane_spills: Counter "lane_spills", "Batches that a full lane did not take at once.";
    command_errors: Counter "command_errors", "Commands answered with an error.";
    typing_dropped: Counter "droppable_dropped", "Droppable notices not queued because an outbox was over half full.";
    rate_limited: Counter "rate_limited", "Commands refused with error 111.";
    token_keys_unknown: Counter "token_keys_unknown", "Tokens refused for the time being because the key set (JWKS) has no key of the name they give.";
    slow_mode_refused: Counter "slow_mode_refused", "Publications refused with error 111 because their user has to wait (slow_mode).";
    nonces_forgotten: Counter "nonces_forgotten", "Nonces forgotten before their five minutes were over (channel.nonces_max).";
    publications_outdated: Counter "publications_outdated", "Publications of the server API that were not published because a newer version was there already.";
    idempotency_keys_forgotten: Counter "idempotency_keys_forgotten", "Idempotency keys forgotten before their five minutes were over (http_api.idempotency_keys_max).";
    recovered: Counter "recoveries" {"result" = "recovered"}, "Subscribes that asked for recovery, by result.";
    unrecovered: Counter "recoveries" {"result" = "unrecovered"}, "Subscribes that asked for recovery, by result.";
    ws_protocol_errors: Counter "websocket_errors" {"reason" = "protocol"}, "Connections closed for breaking RFC 6455, by reason.";
    ws_invalid_utf8: Counter "websocket_errors" {"reason" = "utf8"}, "Connections closed for breaking RFC 6455, by reason.";
    ws_too_big: Counter "websocket_errors" {"reason" = "too_big"}, "Connections closed for breaking RFC 6455, by reason.";
    closed_shutdown: Counter "disconnects" {"reason" = "shutdown"}, "Connections that the server closed, by reason.";
    closed_slow: Counter "disconnects" {"reason" = "slow"}, "Connections that the server closed, by reason.";
    closed_no_pong: Counter "disconnects" {"reason" = "no_pong"}, "Connections that the server closed, by reason.";
    closed_too_many_requests: Counter "disconnects" {"reason" = "too_many_requests"}, "Connections that the server closed, by reason.";
    closed_bad_request: Counter "disconnects" {"reason" = "bad_request"}, "Connections that the server closed, by reason.";
    closed_forced: Counter "disconnects" {"reason" = "forced"}, "Connections that the server closed, by reason.";
    closed_stale: Counter "disconnects" {"reason" = "stale"}, "Connections that the server closed, by reason.";
    closed_other: Counter "disconnects" {"reason" = "other"}, "Connections that the server closed, by reason.";
}
