//! Tokens and nicks -> who a client is.
//!
//! Source of the token's claims: the public docs on client authentication (`sub`, `exp`, `info`).
//! No clock: a token's expiry is checked against the time handed in.

use super::settings::Keys;
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
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

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Claim `sub`.
    pub id: Box<str>,
    /// Claim `info`, raw JSON, shown to others as `conn_info`.
    pub info: Option<Box<str>>,
    /// Claim `exp`, Unix seconds.
    pub expires_at: Option<u64>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token of ours: wrong key, algorithm or shape.
    Invalid,
    /// Its time is over.
    Expired,
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

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    exp: Option<u64>,
    info: Option<serde_json::Value>,
}

/// Checks a token signed with `key` (HMAC; HS256, HS384 or HS512) at `now_s` (Unix seconds).
///
/// An empty `key` accepts no token. Users may not begin with `~`, which marks guests.
pub fn verify(token: &str, key: &str, now_s: u64) -> Result<User, TokenError> {
    if key.is_empty() {
        return Err(TokenError::Invalid);
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    validation.required_spec_claims.clear();
    validation.validate_exp = false; // looks at a clock; checked below
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(key.as_bytes());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map_err(|_| TokenError::Invalid)?
        .claims;
    if claims.exp.is_some_and(|exp| exp <= now_s) {
        return Err(TokenError::Expired);
    }
    if claims.sub.starts_with('~') || claims.sub.chars().any(char::is_control) {
        return Err(TokenError::Invalid);
    }
    Ok(User {
        id: claims.sub.into(),
        info: claims.info.map(|info| info.to_string().into()),
        expires_at: claims.exp,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn token(claims: serde_json::Value, key: &str, algorithm: Algorithm) -> String {
        encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
    }

    #[test]
    fn tokens() {
        let good = token(json!({"sub":"42","exp":100,"info":{"n":1}}), KEY, Algorithm::HS256);
        let user = verify(&good, KEY, 99).unwrap();
        assert_eq!((&*user.id, user.info.as_deref()), ("42", Some("{\"n\":1}")));
        assert_eq!(verify(&good, KEY, 100), Err(TokenError::Expired));
        assert_eq!(verify(&good, "another-key", 99), Err(TokenError::Invalid));
        assert_eq!(verify(&good, "", 99), Err(TokenError::Invalid));
        assert_eq!(verify("x.y.z", KEY, 99), Err(TokenError::Invalid));
        assert!(verify(&token(json!({"sub":"a"}), KEY, Algorithm::HS512), KEY, 0).is_ok());
        let tilde = token(json!({"sub":"~bob"}), KEY, Algorithm::HS256);
        assert_eq!(verify(&tilde, KEY, 0), Err(TokenError::Invalid));
        // {"alg":"none"}
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9.";
        assert_eq!(verify(none, KEY, 0), Err(TokenError::Invalid));
    }

    #[test]
    fn nicks() {
        for good in ["alice", "Zoë", "李", "a b", "x_1", "👍"] {
            assert!(nick_allowed(good), "{good}");
        }
        for bad in ["", " a", "a ", "~a", "a:b", "a,b", "#a", "a\nb", "a\u{202e}b", "a\u{200b}"] {
            assert!(!nick_allowed(bad), "{bad:?}");
        }
        assert!(nick_allowed(&"é".repeat(32)) && !nick_allowed(&"é".repeat(33)));
    }

    #[test]
    fn proofs() {
        let keys = Keys { hash: [0; 4], resume: [7; 32], epoch: 0 };
        let other = Keys { resume: [8; 32], ..keys };
        let proof = resume_proof(&keys, "alice");
        assert!(resume_proven(&keys, "alice", &proof));
        assert!(!resume_proven(&keys, "bob", &proof) && !resume_proven(&other, "alice", &proof));
        for bad in ["", "zz", "a", "ü", &proof[..10]] {
            assert!(!resume_proven(&keys, "alice", bad));
        }
    }
}
