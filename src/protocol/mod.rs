//! PURE. The only place that knows the bytes of the client protocol.
//!
//! Owns: Centrifugo's client protocol version 2 (public schema `client.proto`), the chat payloads
//! and the plain-text dialect. It parses what clients send into borrowed [`command::Command`]s and
//! writes replies and pushes into byte buffers. It never touches a socket, a clock or a room. Tests
//! stand beside each part.

pub mod chat;
pub mod codes;
pub mod command;
pub mod content;
pub mod json;
pub mod messages;
pub mod plain;
pub mod protobuf;
mod publish;
pub mod reply;
pub mod wire;
