//! Connection tokens and subscription tokens (JWT, RFC 7519) -> who a client is, and what it may
//! join.
//!
//! Source of the claims: the public docs on client authentication and on channel token
//! authorization. No clock: times are compared with the time handed in. Tests:
//! `chat/auth/tests.rs`.

use super::keys::{Asked, Header, KeySet, Ring};
use crate::config::{ClientConfig, TokenConfig};
use crate::protocol::json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a valid connection token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Claim `sub`.
    pub id: Box<str>,
    /// Claim `info` or `b64info`, raw JSON, shown to others as `conn_info`.
    pub info: Option<Box<str>>,
    /// When the connection ends unless it is refreshed, Unix seconds: claim `expire_at`, else
    /// `exp`.
    pub expires_at: Option<u64>,
    /// What few tokens say.
    pub extra: Option<Box<Extra>>,
}

/// The rare claims of a connection token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// Rooms that the server joins for the client: claims `channels` and `subs`.
    pub subs: Vec<ServerSub>,
    /// Claim `meta`, raw JSON, never shown to clients.
    pub meta: Option<Box<str>>,
}

/// A room that the server joins for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSub {
    /// The room.
    pub room: Box<str>,
    /// How it is joined; [`SubscriptionGrant::expires_at`] is `None`.
    pub grant: SubscriptionGrant,
}

/// What a valid subscription token says of the room it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionGrant {
    /// Claim `info` or `b64info`, raw JSON, shown to others as `chan_info`.
    pub info: Option<Box<str>>,
    /// Claim `data` or `b64data`, raw JSON, given to the client with the answer.
    pub data: Option<Box<str>>,
    /// When the subscription ends unless it is refreshed, Unix seconds: claim `expire_at`, else
    /// `exp`.
    pub expires_at: Option<u64>,
    /// Claim `override`.
    pub overrides: Overrides,
}

/// Options of a room that are different for one client. `None`: as the namespace says. Read from
/// `{"presence":{"value":true}, ...}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "RawOverrides")]
pub struct Overrides {
    /// Whether the client is listed as present.
    pub presence: Option<bool>,
    /// Whether its join and leave are events.
    pub join_leave: Option<bool>,
    /// Whether it may recover what it missed.
    pub force_recovery: Option<bool>,
    /// Whether it is told its position.
    pub force_positioning: Option<bool>,
    /// Whether joins and leaves of others are pushed to it.
    pub force_push_join_leave: Option<bool>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token of ours: wrong key, algorithm, shape, audience, issuer, user or room.
    Invalid,
    /// It names a key, by this id, that the key set does not have: it may be newer than the set.
    UnknownKey(Box<str>),
    /// Its time is over, or has not come yet.
    Expired,
    /// The token is good, but the time that it gives (`expire_at`) is over.
    Ended,
}

/// The key sets that were read, for tokens whose section of the configuration names one.
#[derive(Debug, Clone, Default)]
pub struct KeySets {
    /// Those of `client.token`.
    pub connection: Option<Arc<KeySet>>,
    /// Those of `client.subscription_token`.
    pub subscription: Option<Arc<KeySet>>,
    /// What they were searched for.
    pub asked: Asked,
}

/// Checks tokens with the keys of one configuration.
pub struct Verifier {
    connection: Checker,
    subscription: Option<Checker>,
}

impl Verifier {
    /// `config`: has been validated.
    pub fn new(config: &ClientConfig, sets: &KeySets) -> Verifier {
        let own = config.subscription_token.enabled.then_some(&config.subscription_token.token);
        Verifier {
            connection: Checker::new(&config.token, sets.connection.clone(), &sets.asked),
            subscription: own.map(|own| Checker::new(own, sets.subscription.clone(), &sets.asked)),
        }
    }

    /// Checks a connection token at `now_s` (Unix seconds).
    ///
    /// Users may not begin with `~`, which marks guests, and have no control characters.
    pub fn connection(&self, token: &str, now_s: u64) -> Result<User, TokenError> {
        let (standard, claims) = self.connection.check(token, now_s)?;
        let expires_at = standard.ends_at();
        let id = standard.sub.unwrap_or_default();
        if id.starts_with('~') || id.chars().any(char::is_control) {
            return Err(TokenError::Invalid);
        }
        let claims: ConnectionClaims = read(&claims)?;
        // What an application signs to let a user into a room lets nobody connect.
        if claims.channel.is_some_and(|channel| !channel.is_empty()) {
            return Err(TokenError::Invalid);
        }
        let mut options = claims.subs.unwrap_or_default();
        for room in claims.channels.into_iter().flatten() {
            options.entry(room).or_default();
        }
        let mut extra = Extra { subs: Vec::new(), meta: payload(claims.meta, None)? };
        for (room, options) in options {
            extra.subs.push(ServerSub { room: room.into(), grant: options.grant(None)? });
        }
        let said = extra.meta.is_some() || !extra.subs.is_empty();
        Ok(User {
            id: id.into(),
            info: payload(claims.info, claims.b64info)?,
            expires_at,
            extra: said.then(|| Box::new(extra)),
        })
    }

    /// Checks a subscription token at `now_s` (Unix seconds). It has to be for `user` (empty:
    /// anonymous) and for `room`.
    pub fn subscription(
        &self,
        token: &str,
        user: &str,
        room: &str,
        now_s: u64,
    ) -> Result<SubscriptionGrant, TokenError> {
        let checker = self.subscription.as_ref().unwrap_or(&self.connection);
        let (standard, claims) = checker.check(token, now_s)?;
        let own: SubscriptionClaims = read(&claims)?;
        if standard.sub.as_deref().unwrap_or_default() != user || own.channel != room {
            return Err(TokenError::Invalid);
        }
        let options: SubOptions = read(&claims)?;
        options.grant(standard.ends_at())
    }
}

/// Shows no key.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// The keys and the wanted claims of one kind of token.
struct Checker {
    ring: Ring,
    audience: String,
    issuer: String,
}

impl Checker {
    fn new(config: &TokenConfig, set: Option<Arc<KeySet>>, asked: &Asked) -> Checker {
        let ring = Ring::new(config, set, asked.clone());
        Checker { ring, audience: config.audience.clone(), issuer: config.issuer.clone() }
    }

    /// The claims of a token that one of our keys has signed, that is for us and whose time is now.
    fn check(&self, token: &str, now_s: u64) -> Result<(Standard, Box<RawValue>), TokenError> {
        let header = Header::read(token).ok_or(TokenError::Invalid)?;
        let not_ours = || match self.ring.unknown_id(&header, now_s) {
            Some(id) => TokenError::UnknownKey(id.into()),
            None => TokenError::Invalid,
        };
        let key = self.ring.key(&header).ok_or_else(not_ours)?;
        let claims = key.claims(token, &header).ok_or_else(not_ours)?;
        let standard: Standard = read(&claims)?;
        let for_us = self.audience.is_empty()
            || standard.aud.as_ref().is_some_and(|aud| aud.contains(&self.audience));
        let by_them =
            self.issuer.is_empty() || standard.iss.as_deref() == Some(self.issuer.as_str());
        if !for_us || !by_them {
            return Err(TokenError::Invalid);
        }
        let over = standard.exp.is_some_and(|exp| exp.0 <= now_s);
        let early = standard.nbf.is_some_and(|nbf| nbf.0 > now_s);
        if over || early {
            return Err(TokenError::Expired);
        }
        if standard.ends_at().is_some_and(|at| at <= now_s) {
            return Err(TokenError::Ended);
        }
        Ok((standard, claims))
    }
}

/// Some of the claims of a token.
fn read<T: DeserializeOwned>(claims: &RawValue) -> Result<T, TokenError> {
    serde_json::from_str(claims.get()).map_err(|_| TokenError::Invalid)
}

/// A time in seconds since 1970; fractions are cut off (RFC 7519 section 2, NumericDate).
#[derive(Debug, Clone, Copy)]
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The cast saturates: times before 1970 are 0.
        f64::deserialize(deserializer).map(|seconds| NumericDate(seconds as u64))
    }
}

/// One audience, or a list of them (RFC 7519 section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Audience::One(one) => one == wanted,
            Audience::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// The claims that both kinds of token have.
#[derive(Deserialize)]
struct Standard {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    expire_at: Option<NumericDate>,
    aud: Option<Audience>,
    iss: Option<String>,
}

impl Standard {
    /// When what the token grants ends; `expire_at` 0: never.
    fn ends_at(&self) -> Option<u64> {
        match self.expire_at {
            Some(at) => Some(at.0).filter(|at| *at > 0),
            None => self.exp.map(|exp| exp.0),
        }
    }
}

/// The claims of a connection token alone.
#[derive(Deserialize)]
struct ConnectionClaims {
    /// Only a subscription token has it.
    channel: Option<String>,
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    channels: Option<Vec<String>>,
    subs: Option<BTreeMap<String, SubOptions>>,
    meta: Option<Box<RawValue>>,
}

/// The claim that only a subscription token has; its others are [`SubOptions`].
#[derive(Deserialize)]
struct SubscriptionClaims {
    channel: String,
}

/// How a room is joined.
#[derive(Default, Deserialize)]
struct SubOptions {
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<Overrides>,
}

impl SubOptions {
    fn grant(self, expires_at: Option<u64>) -> Result<SubscriptionGrant, TokenError> {
        Ok(SubscriptionGrant {
            info: payload(self.info, self.b64info)?,
            data: payload(self.data, self.b64data)?,
            expires_at,
            overrides: self.overrides.unwrap_or_default(),
        })
    }
}

#[derive(Default, Deserialize)]
struct RawOverrides {
    presence: Option<BoolValue>,
    join_leave: Option<BoolValue>,
    force_recovery: Option<BoolValue>,
    force_positioning: Option<BoolValue>,
    force_push_join_leave: Option<BoolValue>,
}

#[derive(Deserialize)]
struct BoolValue {
    #[serde(default)]
    value: bool,
}

impl From<RawOverrides> for Overrides {
    fn from(raw: RawOverrides) -> Overrides {
        let value = |given: Option<BoolValue>| given.map(|given| given.value);
        Overrides {
            presence: value(raw.presence),
            join_leave: value(raw.join_leave),
            force_recovery: value(raw.force_recovery),
            force_positioning: value(raw.force_positioning),
            force_push_join_leave: value(raw.force_push_join_leave),
        }
    }
}

/// A payload of a token as raw JSON, fit to be passed through. `encoded` (base64) wins over `raw`;
/// bytes that are no JSON become a JSON string of their base64. Errors: nested too deep, or no base64.
pub fn payload(
    raw: Option<Box<RawValue>>,
    encoded: Option<String>,
) -> Result<Option<Box<str>>, TokenError> {
    let fit = |text: &str| json::pass_through(text).map(|text| Box::from(text.as_ref()));
    let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty()) else {
        return raw.map(|raw| fit(raw.get()).ok_or(TokenError::Invalid)).transpose();
    };
    let bytes = STANDARD.decode(&encoded).map_err(|_| TokenError::Invalid)?;
    match serde_json::from_slice::<&RawValue>(&bytes) {
        Ok(raw) => fit(raw.get()).ok_or(TokenError::Invalid).map(Some),
        Err(_) => Ok(Some(serde_json::Value::from(encoded).to_string().into())),
    }
}
