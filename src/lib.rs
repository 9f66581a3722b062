//! ringchat: an io_uring, thread-per-core chat server.
#![warn(missing_docs)]

pub mod chat;
pub mod config;
pub mod http;
pub mod metrics;
pub mod net;
pub mod protocol;
pub mod server;
pub mod ws;
