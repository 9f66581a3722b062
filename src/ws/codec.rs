//! Bytes to messages, messages to frames (RFC 6455 section 5).
//!
//! Owns the public face of the codec: [`Decoder`] and its [`Feed`] on the reading side, the
//! `*_frame` functions on the writing side. It never decides what a message means. Tests: in
//! `encode.rs` and `mask.rs`, and `tests.rs` for decoding and both sides together.

pub use super::decode::{Decoder, Feed, Message, Violation};
pub use super::encode::{
    CONTROL_PAYLOAD_MAX, HEAD_MAX, binary_frame, binary_frame_with, close_frame, frame_head,
    masked_frame, masked_text_frame, ping_frame, pong_frame, text_frame, text_frame_with,
};
pub use super::mask::apply_mask;
pub use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
