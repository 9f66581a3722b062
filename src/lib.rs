//! ringchat: an io_uring, thread-per-core chat server.
//!
//! One message, from socket to sockets:
//!
//! ```text
//!  sender's socket                                        members' sockets
//!       | recv (into the worker's one buffer)                   ^ send (shared bytes)
//!       v                                                       |
//!  ws::codec --message--> protocol::command --Command--> chat::Shard::step
//!                                                               |
//!                                                mesh lane      v one hop, if home is elsewhere
//!                                  home: offset, history, dedup, encoded once
//!                                                               | one batch per shard with members
//!                                                               v
//!                                    each shard: the room's bytes of this turn
//!                                                               | end of turn
//!                                                               v
//!                       the same `Bytes` into every member's outbox: one send per member
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | file, environment and flags: one checked configuration |
//! | [`metrics`] | every metric; one writer per cell |
//! | [`protocol`] | PURE: the bytes of the client protocol and of the plain-text dialect |
//! | [`ws`] | PURE: RFC 6455 over memory |
//! | [`chat`] | PURE: the behaviour, a state machine per core |
//! | [`net`] | rings, sockets, lanes: brings events to a shard and applies what comes back |
//! | [`http`] | everything that is no WebSocket, on one ordinary thread |
//! | [`server`] | starts and stops all of it |
//!
//! Nothing imports what stands to its right: `config, metrics < protocol < ws < chat < net, http <
//! server`; a test keeps that true. The pure modules name no socket, clock, thread or randomness.
//! `unsafe` is denied but for `net/ring.rs`; `unwrap` and `expect` outside of tests are lints.
//! ARCHITECTURE.md says more.

pub mod chat;
pub mod config;
pub mod http;
pub mod metrics;
pub mod net;
pub mod protocol;
pub mod server;
pub mod ws;
