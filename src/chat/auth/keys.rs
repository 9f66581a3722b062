//! The keys that check tokens, by kind; JSON Web Key Sets.
//!
//! A key is only ever used with an algorithm of its own kind: whoever knows a public key must not
//! be able to sign with it as an HMAC secret (RFC 8725 section 3.1). Fetches nothing: the text of
//! a key set is handed in. Tests: `chat/auth/tests.rs`.

use super::es512;
use crate::config::TokenConfig;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
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

/// What the header of a token says (RFC 7515 section 4).
#[derive(Deserialize)]
pub(super) struct Header {
    alg: Signing,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Header {
    /// The header of a token that may be ours. `None`: malformed, an algorithm that is not known
    /// here, or extensions that are critical, none of which is known here (section 4.1.11).
    pub(super) fn read(token: &str) -> Option<Header> {
        let (header, _) = token.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        header.crit.is_none().then_some(header)
    }
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Signing {
    /// In a way that the library knows.
    Library(Algorithm),
    /// In the one that it does not.
    Own(Own),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Own {
    #[serde(rename = "ES512")]
    Es512,
}

/// A key, ready for use.
#[derive(Clone)]
pub(super) enum Key {
    /// For the library.
    Library(DecodingKey),
    /// On the curve P-521.
    P521(es512::Key),
}

impl Key {
    /// The claims of `token`, whose header is `header`, if this key has signed it.
    pub(super) fn claims(&self, token: &str, header: &Header) -> Option<Box<RawValue>> {
        match (self, header.alg) {
            (Key::Library(key), Signing::Library(algorithm)) => {
                decode(token, key, &signature_alone(algorithm)).ok().map(|decoded| decoded.claims)
            }
            (Key::P521(key), Signing::Own(Own::Es512)) => key.claims(token),
            _ => None,
        }
    }
}

/// The signature is left to the library; claims are checked here, without a clock.
fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

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
    algorithms: Vec<Signing>,
    key: Key,
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
                 to be for signatures, RSA (2048 bits or more) or EC (P-256, P-384, P-521)"
            ));
        }
        Ok(KeySet { keys })
    }

    fn find(&self, id: &str, signing: Signing) -> Option<&Key> {
        let fits = |key: &&PublicKey| key.id == id && key.algorithms.contains(&signing);
        self.keys.iter().find(fits).map(|key| &key.key)
    }
}

impl PublicKey {
    fn read(value: serde_json::Value) -> Option<PublicKey> {
        // An algorithm that the library does not know reads as one that nothing is known of.
        let es512_or_any = value.get("alg").is_none_or(|name| name == "ES512");
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
        let mut algorithms: Vec<Signing> = kind
            .iter()
            .filter(|(_, name)| common.key_algorithm.is_none_or(|only| only == *name))
            .map(|(algorithm, _)| Signing::Library(*algorithm))
            .collect();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let key = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P521 => {
                algorithms.extend(es512_or_any.then_some(Signing::Own(Own::Es512)));
                Key::P521(es512::Key::new(key.as_bytes())?)
            }
            _ => Key::Library(key),
        };
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
    hmac: Option<Key>,
    rsa: Option<Key>,
    ecdsa: Option<Key>,
    set: Option<Arc<KeySet>>,
    asked: Asked,
}

impl Ring {
    /// `config`: has been validated; a key that cannot be read all the same checks nothing.
    pub(super) fn new(config: &TokenConfig, set: Option<Arc<KeySet>>, asked: Asked) -> Ring {
        let given = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        Ring {
            hmac: given(&config.hmac_secret_key)
                .map(|key| Key::Library(DecodingKey::from_secret(&key))),
            rsa: given(&config.rsa_public_key)
                .and_then(|key| DecodingKey::from_rsa_pem(&key).ok())
                .map(Key::Library),
            ecdsa: given(&config.ecdsa_public_key)
                .and_then(|key| DecodingKey::from_ec_pem(&key).ok())
                .map(|key| match es512::Key::new(key.as_bytes()) {
                    Some(key) => Key::P521(key),
                    None => Key::Library(key),
                }),
            set,
            asked,
        }
    }

    /// The key's id in the header of a token that could not be checked, if the key set has no such
    /// key but may have one when it is read again; `now_s`: Unix seconds.
    pub(super) fn unknown_id<'a>(&self, header: &'a Header, now_s: u64) -> Option<&'a str> {
        let set = self.set.as_ref()?;
        let id = header.kid.as_deref()?;
        let symmetric = matches!(
            header.alg,
            Signing::Library(Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
        );
        let known = set.keys.iter().any(|key| key.id == id);
        let in_vain = now_s < self.asked.until_s && self.asked.ids.contains(id);
        let may_come = !symmetric && !known && !in_vain && id.len() <= KEY_ID_BYTES_MAX;
        may_come.then_some(id)
    }

    /// The key for a token with this header: the one of the set that it names, or the configured
    /// one of its kind.
    pub(super) fn key(&self, header: &Header) -> Option<&Key> {
        let named = header.kid.as_deref().zip(self.set.as_ref());
        if let Some(key) = named.and_then(|(id, set)| set.find(id, header.alg)) {
            return Some(key);
        }
        let Signing::Library(algorithm) = header.alg else { return self.ecdsa.as_ref() };
        match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => self.hmac.as_ref(),
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => self.rsa.as_ref(),
            Algorithm::ES256 | Algorithm::ES384 => self.ecdsa.as_ref(),
            _ => None,
        }
    }
}
