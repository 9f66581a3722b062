//! RFC 6455 over memory: request heads, frames, messages, on tungstenite's types.
//!
//! Owns: the opening handshake ([`handshake`]) and the frame codec ([`codec`]), for both roles.
//! It never reads a socket, a clock or a random number, and it never allocates for a connection
//! that is idle. Every byte comes from a peer that is not trusted: nothing here panics on input.
//! Tests: beside each file, and `tests.rs` for what holds for every input (any chunking, any
//! bytes, both roles).

pub mod codec;
mod decode;
mod encode;
pub mod handshake;
mod mask;
mod origin;

#[cfg(test)]
mod tests;
