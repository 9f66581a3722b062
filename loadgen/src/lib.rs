//! Loads a chat or pub/sub server over WebSocket and checks every delivery.
//!
//! `options` (what was asked for) -> `plan` (what follows from it: who is where, what is due when)
//! -> `lead` (the phases) -> a crew of threads in this process or in several -> a `worker` per
//! thread on the server's own ring and dispatcher -> `record` -> `report`.
//!
//! The pure parts know no socket and no clock: `text` (what a message says about itself), `frame`
//! (WebSocket), `dialect` (what is spoken), `ledger` (who is owed what), `schedule` (what is due
//! when), `layout` (who is where), `record`, `report`.
//!
//! What the figures mean and how to measure honestly: `docs/loadgen.md`. Tests: at the end of each
//! file; against a server that misbehaves on demand, `tests/`.
#![warn(missing_docs)]

pub mod child;
mod connection;
mod crew;
pub mod dialect;
pub mod frame;
pub mod layout;
mod lead;
pub mod ledger;
pub mod options;
pub mod plan;
pub mod progress;
pub mod record;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod server;
mod shared;
pub mod system;
mod tally;
pub mod text;
pub mod tls;
pub mod values;
mod worker;

pub use lead::run;
