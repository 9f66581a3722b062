//! The configuration as rooms and sessions need it, and the keys of this run.

use super::auth::{KeySets, Verifier};
use super::ids::ShardId;
use crate::config::{Config, NamespaceOptions};
use crate::protocol::codes::{self, ErrorCode};
use ahash::RandomState;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a client wants to do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Join it.
    Subscribe,
    /// Publish in it.
    Publish,
    /// Read its history.
    History,
    /// Ask who is in it.
    Presence,
}

impl Operation {
    /// Whether `options` allow it to a client. `member`: the client has joined the room;
    /// `known`: it has a user id. Source: the public docs on channel permissions.
    fn allowed(self, options: &NamespaceOptions, member: bool, known: bool) -> bool {
        let o = options;
        let (client, subscriber, anonymous) = match self {
            Operation::Subscribe => {
                (o.allow_subscribe_for_client, false, o.allow_subscribe_for_anonymous)
            }
            Operation::Publish => (
                o.allow_publish_for_client,
                o.allow_publish_for_subscriber,
                o.allow_publish_for_anonymous,
            ),
            Operation::History => (
                o.allow_history_for_client,
                o.allow_history_for_subscriber,
                o.allow_history_for_anonymous,
            ),
            Operation::Presence => (
                o.allow_presence_for_client,
                o.allow_presence_for_subscriber,
                o.allow_presence_for_anonymous,
            ),
        };
        (client || member && subscriber) && (known || anonymous)
    }
}

/// The options of a namespace, ready for use.
#[derive(Debug)]
struct Rooms {
    options: Arc<NamespaceOptions>,
    /// What the name of a room, behind the namespace, has to match.
    names: Option<Regex>,
}

impl Rooms {
    fn new(options: &NamespaceOptions) -> Rooms {
        // A pattern that cannot be read was refused with the configuration.
        let pattern = Some(options.channel_regex.as_str()).filter(|p| !p.is_empty());
        let names = pattern.and_then(|p| Regex::new(p).ok());
        Rooms { options: Arc::new(options.clone()), names }
    }
}

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
    /// Checks tokens.
    pub verifier: Verifier,
    /// Whether guests (a nick, no token) may come.
    pub guests: bool,
    /// Whether anonymous clients (no nick, no token) may come.
    pub anonymous: bool,
    namespaces: BTreeMap<String, Rooms>,
    without_namespace: Rooms,
}

impl Settings {
    /// Prepares `config` for `shards` shards, without key sets.
    pub fn new(config: Config, shards: u16, keys: Keys) -> Settings {
        Settings::with_key_sets(config, shards, keys, &KeySets::default())
    }

    /// Prepares `config` for `shards` shards. `sets`: where the configuration names a JWKS, its
    /// keys.
    pub fn with_key_sets(config: Config, shards: u16, keys: Keys, sets: &KeySets) -> Settings {
        let [a, b, c, d] = keys.hash;
        let namespaces = config.channel.namespaces.iter();
        Settings {
            hasher: RandomState::with_seeds(a, b, c, d),
            verifier: Verifier::new(&config.client, sets),
            guests: config.guests_allowed(),
            anonymous: config.anonymous_allowed(),
            namespaces: namespaces.map(|n| (n.name.clone(), Rooms::new(&n.options))).collect(),
            without_namespace: Rooms::new(&config.channel.without_namespace),
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
    /// Errors: [`codes::BAD_REQUEST`] empty, with control characters or not as the namespace wants
    /// it, [`codes::LIMIT_EXCEEDED`] too long, [`codes::UNKNOWN_CHANNEL`] not a configured
    /// namespace.
    pub fn room_options(&self, name: &str) -> Result<&Arc<NamespaceOptions>, ErrorCode> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(codes::BAD_REQUEST);
        }
        if name.len() > self.config.channel.max_length {
            return Err(codes::LIMIT_EXCEEDED);
        }
        let (rooms, own) = match public_name(name).split_once(':') {
            Some((namespace, own)) => {
                (self.namespaces.get(namespace).ok_or(codes::UNKNOWN_CHANNEL)?, own)
            }
            None => (&self.without_namespace, public_name(name)),
        };
        match &rooms.names {
            Some(names) if !names.is_match(own) => Err(codes::BAD_REQUEST),
            _ => Ok(&rooms.options),
        }
    }

    /// How long a room with `options` keeps its position after a publication, in milliseconds; 0:
    /// as long as its publications.
    pub fn meta_ttl_ms(&self, options: &NamespaceOptions) -> u64 {
        let own = options.history_meta_ttl;
        let ttl = if own.is_zero() { self.config.channel.history_meta_ttl } else { own };
        u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether `user` (empty: anonymous) may do `operation` in `room`, of which it is a `member`
    /// or not: the room's options, or [`codes::PERMISSION_DENIED`] and the errors of
    /// [`Settings::room_options`].
    pub fn permit(
        &self,
        room: &str,
        user: &str,
        operation: Operation,
        member: bool,
    ) -> Result<&Arc<NamespaceOptions>, ErrorCode> {
        let options = self.room_options(room)?;
        self.permit_in(options, room, user, operation, member).map(|()| options)
    }

    /// The same, for a `room` that is known, with its `options`.
    pub fn permit_in(
        &self,
        options: &NamespaceOptions,
        room: &str,
        user: &str,
        operation: Operation,
        member: bool,
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
        let allowed = operation.allowed(options, member, !user.is_empty());
        // `$` rooms, and `#` rooms where users are not looked at, want a subscription token. Who came
        // in with one takes part like every member.
        let private = room.starts_with('$') || name.starts_with(['#', '$']);
        let closed = private && !member;
        if allowed && !closed { Ok(()) } else { Err(codes::PERMISSION_DENIED) }
    }
}

/// A room's name without the mark of a private room: `$chat:lobby` is in the namespace `chat`.
fn public_name(name: &str) -> &str {
    name.strip_prefix('$').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Namespace;

    fn settings(change: impl FnOnce(&mut Config)) -> Settings {
        let mut config = Config::default();
        change(&mut config);
        config.validate().unwrap();
        Settings::new(config, 1, Keys { hash: [1; 4], resume: [7; 32], epoch: 9 })
    }

    /// One namespace `ns` with `options`.
    fn namespace(options: NamespaceOptions) -> Settings {
        let ns = Namespace { name: "ns".into(), options };
        settings(|config| config.channel.namespaces = vec![ns])
    }

    #[test]
    fn each_operation_has_its_own_keys() {
        type Set = fn(&mut NamespaceOptions) -> &mut bool;
        let table: [(Operation, Set, Option<Set>, Set); 4] = [
            (
                Operation::Subscribe,
                |o| &mut o.allow_subscribe_for_client,
                None,
                |o| &mut o.allow_subscribe_for_anonymous,
            ),
            (
                Operation::Publish,
                |o| &mut o.allow_publish_for_client,
                Some(|o| &mut o.allow_publish_for_subscriber),
                |o| &mut o.allow_publish_for_anonymous,
            ),
            (
                Operation::History,
                |o| &mut o.allow_history_for_client,
                Some(|o| &mut o.allow_history_for_subscriber),
                |o| &mut o.allow_history_for_anonymous,
            ),
            (
                Operation::Presence,
                |o| &mut o.allow_presence_for_client,
                Some(|o| &mut o.allow_presence_for_subscriber),
                |o| &mut o.allow_presence_for_anonymous,
            ),
        ];
        for (operation, client, subscriber, anonymous) in table {
            let with = |set: &[Set]| {
                let mut options = NamespaceOptions::default();
                set.iter().for_each(|set| *set(&mut options) = true);
                namespace(options)
            };
            let check = |set: &[Set], user: &str, member: bool, expected: bool| {
                let settings = with(set);
                let result = settings.permit("ns:room", user, operation, member);
                assert_eq!(result.is_ok(), expected, "{operation:?} {user:?} {member}");
                for other in table.iter().map(|row| row.0).filter(|other| *other != operation) {
                    assert_eq!(
                        settings.permit("ns:room", user, other, member),
                        Err(codes::PERMISSION_DENIED)
                    );
                }
            };
            check(&[], "u", true, false);
            check(&[anonymous], "", true, false);
            check(&[client], "u", false, true);
            check(&[client], "", true, false);
            check(&[client, anonymous], "", false, true);
            if let Some(subscriber) = subscriber {
                check(&[subscriber], "u", true, true);
                check(&[subscriber], "u", false, false);
                check(&[subscriber], "", true, false);
                check(&[subscriber, anonymous], "", true, true);
                check(&[subscriber, anonymous], "", false, false);
            }
        }
    }

    #[test]
    fn names_are_checked_behind_the_namespace() {
        let options = NamespaceOptions {
            channel_regex: "^[a-z]+$".into(),
            allow_subscribe_for_client: true,
            ..NamespaceOptions::default()
        };
        let settings = namespace(options);
        for (room, expected) in [
            ("ns:abc", Ok(())),
            ("$ns:abc", Ok(())),
            ("ns:abc1", Err(codes::BAD_REQUEST)),
            ("ns:", Err(codes::BAD_REQUEST)),
            ("ns:a:b", Err(codes::BAD_REQUEST)),
            ("abc1", Ok(())),
            ("", Err(codes::BAD_REQUEST)),
            ("ab\nc", Err(codes::BAD_REQUEST)),
            ("no:abc", Err(codes::UNKNOWN_CHANNEL)),
        ] {
            assert_eq!(settings.room_options(room).map(|_| ()), expected, "{room:?}");
        }
        let long = "a".repeat(256);
        assert_eq!(settings.room_options(&long).map(|_| ()), Err(codes::LIMIT_EXCEEDED));
    }

    #[test]
    fn private_rooms_are_for_those_who_are_in() {
        let settings = settings(|_| {});
        for room in ["$lobby", "$chat:lobby", "chat:$lobby", "chat:#alice"] {
            let permit = |operation, member| settings.permit(room, "alice", operation, member);
            assert_eq!(
                permit(Operation::Subscribe, false),
                Err(codes::PERMISSION_DENIED),
                "{room}"
            );
            assert!(permit(Operation::Publish, false).is_err(), "{room}");
            assert!(permit(Operation::Publish, true).is_ok(), "{room}");
        }
    }
}
