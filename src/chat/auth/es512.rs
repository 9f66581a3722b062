//! ES512: ECDSA on the curve P-521 with SHA-512 (RFC 7518 section 3.4), which the JWT library does
//! not have.
//!
//! Owns the signature of such a token, and nothing of what it says. Tests: `chat/auth/tests.rs`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};
use serde_json::value::RawValue;

/// A public key on the curve P-521.
#[derive(Clone)]
pub(super) struct Key(Box<VerifyingKey>);

impl Key {
    /// `point`: uncompressed, as in SEC 1 section 2.3.3. `None`: not on this curve.
    pub(super) fn new(point: &[u8]) -> Option<Key> {
        VerifyingKey::from_sec1_bytes(point).ok().map(|key| Key(Box::new(key)))
    }

    /// The claims of `token`, if this key has signed it.
    pub(super) fn claims(&self, token: &str) -> Option<Box<RawValue>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, claims) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let signature = Signature::from_slice(&signature).ok()?;
        self.0.verify(signed.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}
