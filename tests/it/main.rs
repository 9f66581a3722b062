//! The server as its clients, operators and attackers meet it: the real binary, real sockets.
//!
//! Every test starts a server of its own on a free port of the loopback, waits for events with a
//! deadline, and ends the server by its process id. `support/` holds the server's and the
//! clients' side; every other module is one subject.

// A test crate: nothing outside of it uses its items, and a failed unwrap is a failed test.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod api;
mod commands;
mod conversation;
mod direction;
mod doors;
mod gathering;
mod holding;
mod limits;
mod ordering;
mod panics;
mod placement;
mod presence;
mod protobuf;
mod race;
mod recovery;
mod reload;
mod rpc;
mod shutdown;
mod slow;
mod startup;
mod support;
mod tokens;
