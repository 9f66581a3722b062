//! Loads a chat or pub/sub server over WebSocket and checks every delivery.
//!
//! `options` (what to do) -> `run` (the phases) -> a `worker` per thread on the server's own ring
//! and dispatcher -> `report`. The pure parts know no socket and no clock: `text` (what a message
//! says about itself), `frame` (WebSocket), `wire` (the dialects), `ledger` (who is owed what),
//! `schedule` (what is due when).
//!
//! What the figures mean and how to measure honestly: `docs/loadgen.md`. Tests: at the end of each
//! file; against a server that misbehaves on demand, `tests/`.
#![warn(missing_docs)]

mod connection;
pub mod frame;
pub mod ledger;
pub mod options;
mod print;
pub mod report;
mod run;
pub mod schedule;
mod shared;
mod stats;
pub mod text;
mod usage;
pub mod wire;
mod worker;

pub use run::run;
