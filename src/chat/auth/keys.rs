//! The keys that check tokens, by kind; JSON Web Key Sets.
//!
//! A key is only ever used with an algorithm of its own kind: whoever knows a public key must not
//! be able to sign with it as an HMAC secret (RFC 8725 section 3.1). Fetches nothing: the text of
//! a key set is handed in. Tests: `chat/auth/tests.rs`.

use crate::config::TokenConfig;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Keys of a set that are looked at; a set of an identity provider has two or three.
const KEYS_MAX: usize = 100;

/// Characters of an RSA modulus of 2048 bits in base64url, the shortest that RFC 7518 section 3.3
/// allows.
const RSA_MODULUS_CHARS_MIN: usize = 342;

/// Bytes of a key's id for which a key set is read again; ids of identity providers have at most 64.
pub const KEY_ID_BYTES_MAX: usize = 256;

/// The ids that tokens had named, and no key had, when the key sets were read last. Until a time such
/// a token is not ours; after it, the key may have been published meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The ids.
    pub ids: Arc<BTreeSet<Box<str>>>,
    /// Until when, Unix seconds.
    pub until_s: u64,
}

/// The usable keys of a JSON Web Key Set (RFC 7517).
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

#[derive(Clone)]
struct PublicKey {
    id: String,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads the JSON text of a key set.
    ///
    /// Keys that cannot check a token here are left out: those without a `kid`, for encryption, of
    /// another kind or curve, symmetric ones, RSA keys shorter than 2048 bits. Errors, for the
    /// operator: no key set, or none of its keys can be used.
    pub fn parse(text: &str) -> Result<KeySet, String> {
        let document: Document =
            serde_json::from_str(text).map_err(|e| format!("this is no JWKS: {e}"))?;
        let given = document.keys.len();
        let keys: Vec<PublicKey> =
            document.keys.into_iter().take(KEYS_MAX).filter_map(PublicKey::read).collect();
        if keys.is_empty() {
            return Err(format!(
                "none of the {given} key(s) of this JWKS can check a token: each needs a kid, and \
                 to be for signatures, RSA (2048 bits or more) or EC (P-256, P-384)"
            ));
        }
        Ok(KeySet { keys })
    }

    fn find(&self, id: &str, algorithm: Algorithm) -> Option<&DecodingKey> {
        let fits = |key: &&PublicKey| key.id == id && key.algorithms.contains(&algorithm);
        self.keys.iter().find(fits).map(|key| &key.key)
    }
}

impl PublicKey {
    fn read(value: serde_json::Value) -> Option<PublicKey> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        let kind: &[(Algorithm, KeyAlgorithm)] = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) if rsa.n.len() >= RSA_MODULUS_CHARS_MIN => &[
                (Algorithm::RS256, KeyAlgorithm::RS256),
                (Algorithm::RS384, KeyAlgorithm::RS384),
                (Algorithm::RS512, KeyAlgorithm::RS512),
            ],
            AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
                EllipticCurve::P256 => &[(Algorithm::ES256, KeyAlgorithm::ES256)],
                EllipticCurve::P384 => &[(Algorithm::ES384, KeyAlgorithm::ES384)],
                _ => &[],
            },
            _ => &[],
        };
        let algorithms: Vec<Algorithm> = kind
            .iter()
            .filter(|(_, name)| common.key_algorithm.is_none_or(|only| only == *name))
            .map(|(algorithm, _)| *algorithm)
            .collect();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let id = jwk.common.key_id.filter(|id| !id.is_empty())?;
        (!algorithms.is_empty()).then_some(PublicKey { id, algorithms, key })
    }
}

/// Names the keys.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// The keys of one section of the configuration and of its key set.
pub(super) struct Ring {
    hmac: Option<DecodingKey>,
    rsa: Option<DecodingKey>,
    ecdsa: Option<DecodingKey>,
    set: Option<Arc<KeySet>>,
    asked: Asked,
}

impl Ring {
    /// `config`: has been validated; a key that cannot be read all the same checks nothing.
    pub(super) fn new(config: &TokenConfig, set: Option<Arc<KeySet>>, asked: Asked) -> Ring {
        let given = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        Ring {
            hmac: given(&config.hmac_secret_key).map(|key| DecodingKey::from_secret(&key)),
            rsa: given(&config.rsa_public_key).and_then(|k| DecodingKey::from_rsa_pem(&k).ok()),
            ecdsa: given(&config.ecdsa_public_key).and_then(|k| DecodingKey::from_ec_pem(&k).ok()),
            set,
            asked,
        }
    }

    /// The key's id in the header of a token that could not be checked, if the key set has no such
    /// key but may have one when it is read again; `now_s`: Unix seconds.
    pub(super) fn unknown_id<'a>(&self, header: &'a Header, now_s: u64) -> Option<&'a str> {
        let set = self.set.as_ref()?;
        let id = header.kid.as_deref()?;
        let symmetric =
            matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        let known = set.keys.iter().any(|key| key.id == id);
        let in_vain = now_s < self.asked.until_s && self.asked.ids.contains(id);
        let may_come = !symmetric && !known && !in_vain && id.len() <= KEY_ID_BYTES_MAX;
        may_come.then_some(id)
    }

    /// The key for a token with this header: the one of the set that it names, or the configured
    /// one of its kind.
    pub(super) fn key(&self, header: &Header) -> Option<&DecodingKey> {
        let named = header.kid.as_deref().zip(self.set.as_ref());
        if let Some(key) = named.and_then(|(id, set)| set.find(id, header.alg)) {
            return Some(key);
        }
        match header.alg {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => self.hmac.as_ref(),
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => self.rsa.as_ref(),
            Algorithm::ES256 | Algorithm::ES384 => self.ecdsa.as_ref(),
            _ => None,
        }
    }
}
