//! Tokens and nicks -> who a client is.
//!
//! | file | owns |
//! |---|---|
//! | `auth.rs` | identities, nicks, the proof with which a guest takes its nick back |
//! | `token.rs` | what a connection token or a subscription token says, if it is valid |
//! | `keys.rs` | the keys that check tokens, JSON Web Key Sets |
//! | `es512.rs` | one kind of signature |
//! | `issue.rs` | making a token, for operators |
//! | `tests.rs` | the tests of all of them |
//!
//! No clock: a token's times are compared with the time handed in.

mod es512;
mod issue;
mod keys;
#[cfg(test)]
mod tests;
mod token;

pub use issue::issue;
pub use keys::{Asked, KEY_ID_BYTES_MAX, KeySet};
pub use token::{
    Extra, KeySets, Overrides, ServerSub, SubscriptionGrant, TokenError, User, Verifier, payload,
};

use super::settings::Keys;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Characters of a nick.
pub const NICK_CHARS_MAX: usize = 32;

/// Who is behind a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular: user `""`. In the plain dialect it goes by its number.
    Anonymous,
    /// A nick without a token: user `~nick`.
    Guest(Box<str>),
    /// A token's user.
    User(Box<User>),
}

impl Identity {
    /// The user id on the wire.
    pub fn user(&self) -> String {
        match self {
            Identity::Anonymous => String::new(),
            Identity::Guest(nick) => format!("~{nick}"),
            Identity::User(user) => user.id.to_string(),
        }
    }
}

/// Whether `nick` may be shown as a name: 1 to 32 characters, no control or bidi characters, no
/// `:` `,` `#`, not beginning with `~`, no white space at its ends.
pub fn nick_allowed(nick: &str) -> bool {
    let forbidden = |c: char| {
        c.is_control()
            || matches!(c, ':' | ',' | '#')
            // Bidirectional controls, and characters that cannot be seen.
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    !nick.is_empty()
        && nick.chars().count() <= NICK_CHARS_MAX
        && !nick.starts_with('~')
        && nick.trim() == nick
        && !nick.chars().any(forbidden)
}

/// The proof that `nick` was granted: HMAC-SHA256 of it under this run's key, in hex.
pub fn resume_proof(keys: &Keys, nick: &str) -> String {
    resume_mac(keys, nick).finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether `proof` was made by [`resume_proof`] for `nick` (compared in constant time).
pub fn resume_proven(keys: &Keys, nick: &str, proof: &str) -> bool {
    let bytes: Option<Vec<u8>> = (0..proof.len())
        .step_by(2)
        .map(|i| proof.get(i..i + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
        .collect();
    bytes.is_some_and(|bytes| resume_mac(keys, nick).verify_slice(&bytes).is_ok())
}

fn resume_mac(keys: &Keys, nick: &str) -> Hmac<Sha256> {
    #[allow(clippy::expect_used)] // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(&keys.resume).expect("a key of any length");
    mac.update(nick.as_bytes());
    mac
}
