//! How a connection takes part in a room: what the room's namespace wants for everybody, what a token
//! says of this client, and what the client itself asks for.
//!
//! Pure rules; who may ask for what is the namespace's business (public docs, "Channel permission
//! model": who may read the history may follow the stream's position, who may see who is there may
//! be told of joins and leaves). Tests: below.

use super::auth::Overrides;
use super::presence::Standing;
use super::settings::{Operation, Settings};
use crate::config::NamespaceOptions;

/// How a connection takes part in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// It is listed among those who are there.
    pub listed: bool,
    /// Others are told of its join and leave.
    pub announced: bool,
    /// It is told of the joins and leaves of others.
    pub hears_joins: bool,
    /// It may recover what it missed, where the room keeps history.
    pub recoverable: bool,
    /// It is told its position in the stream, where the room keeps history.
    pub positioned: bool,
}

/// What a client asks for when it subscribes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// To be told its position.
    pub positioned: bool,
    /// To be able to recover.
    pub recoverable: bool,
    /// To be told of joins and leaves.
    pub join_leave: bool,
}

impl Terms {
    /// Whether the room's home has to know who it is.
    pub fn known(self) -> bool {
        self.listed || self.announced
    }
}

impl From<Terms> for Standing {
    fn from(terms: Terms) -> Standing {
        Standing { listed: terms.listed, announced: terms.announced }
    }
}

impl Settings {
    /// The terms on which `user` (empty: anonymous) takes part in `room`, which has `options`. A wish
    /// that the namespace does not allow is not granted, and no error: an SDK goes on without.
    pub fn terms(
        &self,
        options: &NamespaceOptions,
        room: &str,
        user: &str,
        overrides: Overrides,
        wishes: Wishes,
    ) -> Terms {
        let may = |operation| self.permit_in(options, room, user, operation, true).is_ok();
        let given = |own: Option<bool>, all: bool| own.unwrap_or(all);
        let recoverable = given(overrides.force_recovery, options.force_recovery)
            || wishes.recoverable && may(Operation::History);
        let positioned = given(overrides.force_positioning, options.force_positioning)
            || wishes.positioned && may(Operation::History);
        let hears_joins = given(overrides.force_push_join_leave, options.force_push_join_leave)
            || wishes.join_leave && may(Operation::Presence);
        Terms {
            // Nobody could read a list that the namespace does not offer.
            listed: options.presence && given(overrides.presence, true),
            announced: given(overrides.join_leave, options.join_leave),
            hears_joins,
            recoverable,
            positioned: positioned || recoverable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Keys;
    use super::*;
    use crate::config::{Config, Namespace};

    fn terms(options: NamespaceOptions, overrides: Overrides, wishes: Wishes) -> Terms {
        let namespace = Namespace { name: "ns".into(), options: options.clone() };
        let mut config = Config::default();
        config.channel.namespaces = vec![namespace];
        let keys = Keys { hash: [1; 4], resume: [7; 32], epoch: 9 };
        Settings::new(config, 1, keys).terms(&options, "ns:room", "ann", overrides, wishes)
    }

    const ALL: Wishes = Wishes { positioned: true, recoverable: true, join_leave: true };

    #[test]
    fn the_namespace_decides_for_all() {
        let nothing = NamespaceOptions::default();
        let none = terms(nothing.clone(), Overrides::default(), Wishes::default());
        assert_eq!(none, Terms::default());
        let forced = NamespaceOptions {
            force_positioning: true,
            force_recovery: true,
            force_push_join_leave: true,
            join_leave: true,
            presence: true,
            ..nothing
        };
        let all = Terms {
            listed: true,
            announced: true,
            hears_joins: true,
            recoverable: true,
            positioned: true,
        };
        assert_eq!(terms(forced, Overrides::default(), Wishes::default()), all);
    }

    #[test]
    fn a_client_has_what_it_asks_for_where_it_may_read_the_same() {
        let nothing = NamespaceOptions::default();
        assert_eq!(terms(nothing.clone(), Overrides::default(), ALL), Terms::default());
        let history = NamespaceOptions { allow_history_for_subscriber: true, ..nothing.clone() };
        let got = terms(history.clone(), Overrides::default(), ALL);
        assert_eq!((got.positioned, got.recoverable, got.hears_joins), (true, true, false));
        let positioned = Wishes { positioned: true, ..Wishes::default() };
        let got = terms(history, Overrides::default(), positioned);
        assert_eq!((got.positioned, got.recoverable), (true, false));
        let presence = NamespaceOptions { allow_presence_for_client: true, ..nothing };
        let got = terms(presence, Overrides::default(), ALL);
        assert_eq!((got.positioned, got.recoverable, got.hears_joins), (false, false, true));
    }

    #[test]
    fn a_token_has_the_last_word_on_what_is_forced() {
        let off = Overrides {
            presence: Some(false),
            join_leave: Some(false),
            force_recovery: Some(false),
            force_positioning: Some(false),
            force_push_join_leave: Some(false),
        };
        let chat = Config::default().channel.namespaces[0].options.clone();
        assert!(chat.force_recovery && chat.force_push_join_leave && chat.presence);
        assert_eq!(terms(chat.clone(), off, Wishes::default()), Terms::default());
        // What it may read, it may still ask for.
        let asked = terms(chat, off, ALL);
        assert!(asked.recoverable && asked.hears_joins && !asked.known());
        let on = Overrides {
            presence: Some(true),
            join_leave: Some(true),
            force_recovery: Some(true),
            force_positioning: Some(true),
            force_push_join_leave: Some(true),
        };
        let got = terms(NamespaceOptions::default(), on, Wishes::default());
        // There is no list to stand in.
        assert_eq!((got.listed, got.announced, got.hears_joins), (false, true, true));
        assert!(got.recoverable && got.positioned);
    }
}
