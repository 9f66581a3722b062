//! PURE. The whole behaviour of the server, without a socket, a clock or a thread.
//!
//! Owns: sessions, rooms, their order and history, nicks, limits, heartbeats, shutdown. Everything
//! goes through [`shard::Shard::step`]; what must happen outside comes back as
//! [`shard::Effects`]. Time, ids and keys are handed in, so the same code runs on the ring, in a
//! unit test and in a simulator.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`] | newtypes: shard, connection, client, room, epoch |
//! | [`settings`] | the configuration as rooms and sessions need it, and the run's keys |
//! | [`auth`] | tokens, nicks, the proof with which a guest takes its nick back |
//! | [`peer`] | what shards say to each other |
//! | [`outbox`] | a bounded queue of shared bytes |
//! | [`wheel`] | the timer wheel |
//! | [`room`] | a room's members here: who gets this turn's bytes |
//! | [`hold`] | rooms whose bytes wait for more, where `fanout.max_delay` allows it |
//! | [`home`] | a room at home: order, history, who has members |
//! | [`terms`] | how a connection takes part in a room |
//! | `grants` | subscriptions of which a token says more |
//! | [`nicks`] | who holds which nick (at the nick's home shard) |
//! | [`presence`] | who is in a room (at the room's home), and who is told of it |
//! | [`rules`] | what may be published in a room, by its namespace and the payload |
//! | [`listing`] | the public rooms of all shards, put together |
//! | [`slow`] | who has to wait before the next message (at the room's home) |
//! | [`nonces`] | which messages were published already (at the room's home) |
//! | [`idempotency`] | what was answered to which idempotency key (at the room's home) |
//! | [`version`] | which publication of the application's backend is out of date |
//! | [`api`] | what the server API may ask for, and what it is answered |
//! | [`session`] | one connection's state |
//! | [`shard`] | the state machine; `sessions`, `gather`, `beats`, `commands`, `claimed`, `lines`, `stream`, `homes`, `who`, `rpc`, `api`, `reload` are its chapters |

pub mod api;
pub mod auth;
mod beats;
mod claimed;
mod commands;
mod gather;
mod grants;
pub mod hold;
pub mod home;
mod homes;
pub mod idempotency;
pub mod ids;
mod lines;
pub mod listing;
pub mod nicks;
pub mod nonces;
pub mod outbox;
pub mod peer;
pub mod presence;
mod reload;
pub mod room;
mod rpc;
pub mod rules;
pub mod session;
mod sessions;
pub mod settings;
pub mod shard;
pub mod slow;
mod stream;
pub mod terms;
pub mod version;
pub mod wheel;
mod who;

#[cfg(test)]
mod tests;
