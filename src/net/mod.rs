//! The only place that names tokio-uring, core_affinity and libc: a core and its connections.
//!
//! Owns: the rings, the sockets, the lanes between cores. It brings bytes to
//! [`crate::chat::shard::Shard`] and applies what comes back; it decides nothing about chat.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ring`] | every operation that is submitted; the only `unsafe` |
//! | [`dispatcher`] | the one task of a core, generic over what handles its events |
//! | [`listener`] | one listener per core, and who serves a fresh socket |
//! | [`mesh`] | lanes between cores, wake-ups |
//! | `connection` | one socket: reading, writing, the three steps of closing |
//! | [`cores`] | the cores that the process may use |
//! | `accept`, `upgrade`, `gather`, `drain` | the worker's chapters: sockets that come, request heads, connections that move to their room's core, shutdown |
//! | [`worker`] | a core of the server: its events, its shard, its turns |

mod accept;
mod connection;
pub mod cores;
pub mod dispatcher;
mod drain;
mod gather;
pub mod listener;
pub mod mesh;
pub mod ring;
mod upgrade;
pub mod worker;
