//! The configuration as rooms and sessions need it, and the keys of this run.

use super::ids::ShardId;
use crate::config::{Config, NamespaceOptions};
use crate::protocol::codes::{self, ErrorCode};
use ahash::RandomState;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Random keys of one run of the process, drawn outside and the same for all shards.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// Keys the hash of room names, nicks and nonces.
    pub hash: [u64; 4],
    /// Keys the proof with which a guest takes its nick back.
    pub resume: [u8; 32],
    /// Seeds epochs.
    pub epoch: u64,
}

/// What every shard knows.
#[derive(Debug)]
pub struct Settings {
    /// The whole configuration.
    pub config: Config,
    /// Shards in the process.
    pub shards: u16,
    /// Keys of this run.
    pub keys: Keys,
    /// Hasher for maps and for the home of a room.
    pub hasher: RandomState,
    /// Whether guests (a nick, no token) may come.
    pub guests: bool,
    /// Whether anonymous clients (no nick, no token) may come.
    pub anonymous: bool,
    namespaces: BTreeMap<String, Arc<NamespaceOptions>>,
    without_namespace: Arc<NamespaceOptions>,
}

impl Settings {
    /// Prepares `config` for `shards` shards.
    pub fn new(config: Config, shards: u16, keys: Keys) -> Settings {
        let [a, b, c, d] = keys.hash;
        let namespaces = config.channel.namespaces.iter();
        Settings {
            hasher: RandomState::with_seeds(a, b, c, d),
            guests: config.guests_allowed(),
            anonymous: config.anonymous_allowed(),
            namespaces: namespaces.map(|n| (n.name.clone(), Arc::new(n.options.clone()))).collect(),
            without_namespace: Arc::new(config.channel.without_namespace.clone()),
            config,
            shards,
            keys,
        }
    }

    /// The shard that orders the room (or holds the nick) `name`.
    pub fn home(&self, name: &str) -> ShardId {
        // Lossless: the remainder is below a u16.
        ShardId((self.hasher.hash_one(name) % u64::from(self.shards.max(1))) as u16)
    }

    /// The options of a room, after checking its name.
    ///
    /// Errors: [`codes::BAD_REQUEST`] empty or with control characters,
    /// [`codes::LIMIT_EXCEEDED`] too long, [`codes::UNKNOWN_CHANNEL`] not a configured namespace.
    pub fn room_options(&self, name: &str) -> Result<&Arc<NamespaceOptions>, ErrorCode> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(codes::BAD_REQUEST);
        }
        if name.len() > self.config.channel.max_length {
            return Err(codes::LIMIT_EXCEEDED);
        }
        match name.split_once(':') {
            Some((namespace, _)) => self.namespaces.get(namespace).ok_or(codes::UNKNOWN_CHANNEL),
            None => Ok(&self.without_namespace),
        }
    }

    /// Whether `user` may do in `room` what `allowed` (one of the namespace's permissions) says.
    pub fn permit(
        &self,
        room: &str,
        user: &str,
        allowed: impl Fn(&NamespaceOptions) -> bool,
    ) -> Result<&Arc<NamespaceOptions>, ErrorCode> {
        let options = self.room_options(room)?;
        self.permit_in(options, room, user, allowed).map(|()| options)
    }

    /// The same, for a `room` that is known, with its `options`.
    pub fn permit_in(
        &self,
        options: &NamespaceOptions,
        room: &str,
        user: &str,
        allowed: impl Fn(&NamespaceOptions) -> bool,
    ) -> Result<(), ErrorCode> {
        let name = room.split_once(':').map_or(room, |(_, name)| name);
        // User-limited rooms are for the users they name, whatever else is allowed.
        if let Some(users) = name.strip_prefix('#').filter(|_| options.allow_user_limited_channels)
        {
            let listed = !user.is_empty() && users.split(',').any(|listed| listed == user);
            return if listed { Ok(()) } else { Err(codes::PERMISSION_DENIED) };
        }
        if self.config.client.insecure {
            return Ok(());
        }
        // A namespace of user-limited rooms has no others; `$` rooms want a token of their own.
        let closed = options.allow_user_limited_channels || name.starts_with(['#', '$']);
        let known = !user.is_empty() || options.allow_anonymous;
        if !closed && known && allowed(options) { Ok(()) } else { Err(codes::PERMISSION_DENIED) }
    }
}
