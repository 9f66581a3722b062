//! Making tokens, for operators who try a server out. Applications sign theirs with any JWT
//! library. Tests: `chat/auth/tests.rs`.

use crate::config::{ClientConfig, TokenRequest};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value};

/// A token as `request` asks for it, signed (HS256) with the key that the server checks such
/// tokens with; `now_s`: Unix seconds. Errors, for the operator: there is no such key.
pub fn issue(client: &ClientConfig, request: &TokenRequest, now_s: u64) -> Result<String, String> {
    let own = request.channel.is_some() && client.subscription_token.enabled;
    let (at, config) = match own {
        true => ("client.subscription_token", &client.subscription_token.token),
        false => ("client.token", &client.token),
    };
    if config.hmac_secret_key.is_empty() {
        return Err(format!(
            "{at}.hmac_secret_key is not set: without it there is nothing to sign a token with. Set \
             it, for example to the output of: openssl rand -hex 32"
        ));
    }
    let mut claims = Map::new();
    claims.insert("sub".into(), request.user.as_str().into());
    if let Some(channel) = &request.channel {
        claims.insert("channel".into(), channel.as_str().into());
    }
    if let Some(info) = &request.info {
        claims.insert("info".into(), info.clone());
    }
    claims.insert("iat".into(), now_s.into());
    if !request.ttl.is_zero() {
        claims.insert("exp".into(), (now_s + request.ttl.as_secs().max(1)).into());
    }
    for (claim, value) in [("aud", &config.audience), ("iss", &config.issuer)] {
        if !value.is_empty() {
            claims.insert(claim.into(), value.as_str().into());
        }
    }
    let key = EncodingKey::from_secret(config.hmac_secret_key.as_bytes());
    encode(&Header::new(Algorithm::HS256), &Value::Object(claims), &key)
        .map_err(|e| format!("the token cannot be made: {e}"))
}
