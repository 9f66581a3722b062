//! Subscriptions of which a token, or the application's backend, says more: data for the client, who
//! it is for the others in the room, and when the subscription runs out.
//!
//! Owns one entry per such subscription, none for others; it knows connections and rooms by their
//! indices here. Tests: `chat/tests/grants.rs`.

use super::auth::{SubscriptionGrant, TokenError};
use super::peer::{Author, PeerMessage};
use super::session::Stage;
use super::shard::{Effects, Shard};
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::messages::{Body, PushBody, Reply, SubRefreshResult, SubscribeResult};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A subscription whose answer is still under way is looked at again after this, in milliseconds.
const AGAIN_MS: u64 = 1_000;

/// The subscriptions of a shard of which more is known.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// By connection and room.
    granted: BTreeMap<(u32, u32), Granted>,
    /// When they have to be looked at (Unix milliseconds), with connection and room.
    ends: BTreeSet<(u64, u32, u32)>,
}

#[derive(Debug)]
struct Granted {
    /// When the token's time is over, Unix seconds.
    expires_at: Option<u64>,
    /// Where it stands in `ends`.
    look_ms: Option<u64>,
    /// For the client, in what it is told of the room.
    data: Option<Bytes>,
    /// For the others in the room: `chan_info`, raw JSON.
    info: Option<Box<str>>,
    /// Who the client is for them, made when it is asked for.
    author: Option<Arc<Author>>,
}

impl Grants {
    /// Remembers what is said of a subscription; it may run out `delay_ms` late.
    fn insert(&mut self, slot: u32, room: u32, grant: Grant, delay_ms: u64) {
        self.remove(slot, room);
        let Grant { data, info, expires_at } = grant;
        let look_ms = expires_at.map(|at| at.saturating_mul(1_000).saturating_add(delay_ms));
        let granted = Granted { expires_at, look_ms, data, info, author: None };
        self.granted.insert((slot, room), granted);
        self.ends.extend(look_ms.map(|at| (at, slot, room)));
    }

    /// What others are told of a client in a room.
    fn info(&self, slot: u32, room: u32) -> Option<&str> {
        self.granted.get(&(slot, room))?.info.as_deref()
    }

    /// Who a client is in its rooms has to be made anew: it has another name.
    pub(super) fn forget_authors(&mut self, slot: u32) {
        for (_, granted) in self.granted.range_mut((slot, 0)..=(slot, u32::MAX)) {
            granted.author = None;
        }
    }

    /// The subscription has ended.
    pub(super) fn remove(&mut self, slot: u32, room: u32) {
        let gone = self.granted.remove(&(slot, room));
        if let Some(at) = gone.and_then(|granted| granted.look_ms) {
            self.ends.remove(&(at, slot, room));
        }
    }

    /// When [`Shard::expire_grants`] has something to do (Unix milliseconds).
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.ends.first().map(|(at, ..)| *at)
    }

    /// Whether no subscription needed a token.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.granted.is_empty() && self.ends.is_empty()
    }
}

/// What is said of one subscription.
#[derive(Debug, Default)]
pub(super) struct Grant {
    /// For the client.
    pub(super) data: Option<Bytes>,
    /// For the others in the room, raw JSON.
    pub(super) info: Option<Box<str>>,
    /// When it ends, Unix seconds.
    pub(super) expires_at: Option<u64>,
}

impl Grant {
    /// Whether it says anything.
    fn is_empty(&self) -> bool {
        self.data.is_none() && self.info.is_none() && self.expires_at.is_none()
    }
}

impl From<SubscriptionGrant> for Grant {
    fn from(grant: SubscriptionGrant) -> Grant {
        let SubscriptionGrant { info, data, expires_at, .. } = grant;
        let data = data.map(|data| Bytes::from(String::from(data)));
        Grant { data, info, expires_at }
    }
}

impl Shard {
    /// What the subscription token of a connection grants in the room `channel`.
    ///
    /// Errors: [`codes::TOKEN_EXPIRED`]; [`codes::EXPIRED_ERROR`] what it gives is over already; [`codes::PERMISSION_DENIED`] not a token of ours, or for
    /// another user or room; [`codes::INTERNAL`] its key may come; the errors of a room's name.
    pub(super) fn granted(
        &self,
        token: &str,
        user: &str,
        channel: &str,
        fx: &mut Effects,
    ) -> Result<SubscriptionGrant, ErrorCode> {
        self.settings.room_options(channel)?;
        let now_s = self.now.unix_ms / 1_000;
        let grant = self.settings.verifier.subscription(token, user, channel, now_s);
        grant.map_err(|error| match error {
            TokenError::Expired => codes::TOKEN_EXPIRED,
            TokenError::Ended => codes::EXPIRED_ERROR,
            TokenError::Invalid => codes::PERMISSION_DENIED,
            TokenError::UnknownKey(id) => self.want_key(id, fx),
        })
    }

    /// Remembers what is said of a subscription until it ends. Returns whether it says more of who
    /// the client is.
    pub(super) fn keep_grant(&mut self, slot: u32, room: u32, grant: Grant) -> bool {
        let own_info = grant.info.is_some();
        if !grant.is_empty() {
            let delay_ms = self.settings.config.client.expired_sub_close_delay.as_millis() as u64;
            self.grants.insert(slot, room, grant, delay_ms);
        }
        own_info
    }

    /// Who a client is for the others in a room, by the room's index.
    pub(super) fn author_in(&mut self, slot: u32, room: u32) -> Arc<Author> {
        let membership = self.session(slot).and_then(|s| s.membership(room));
        if !membership.is_some_and(|m| m.own_info) {
            return self.author_kept(slot);
        }
        let known = self.grants.granted.get(&(slot, room)).and_then(|g| g.author.clone());
        known.unwrap_or_else(|| {
            let author = self.new_author(slot, self.grants.info(slot, room));
            if let Some(granted) = self.grants.granted.get_mut(&(slot, room)) {
                granted.author = Some(author.clone());
            }
            author
        })
    }

    /// Completes what a client is told of a room with what its token says.
    pub(super) fn complete(&mut self, slot: u32, room: u32, result: &mut SubscribeResult) {
        let now_s = self.now.unix_ms / 1_000;
        let Some(granted) = self.grants.granted.get_mut(&(slot, room)) else { return };
        if let Some(at) = granted.expires_at {
            result.expires = true;
            result.ttl = seconds(at.saturating_sub(now_s));
        }
        if let Some(data) = granted.data.take() {
            result.data = data;
        }
    }

    /// A new token for a subscription.
    pub(super) fn sub_refresh(
        &mut self,
        slot: u32,
        id: u32,
        channel: &str,
        token: &str,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let room = self.room_index.get(channel).copied();
        let room = room.filter(|_| self.is_member(slot, channel));
        let room = room.ok_or(codes::PERMISSION_DENIED)?;
        let user = self.session(slot).map(|s| s.identity.user()).unwrap_or_default();
        let grant = self.granted(token, &user, channel, fx)?;
        let now_s = self.now.unix_ms / 1_000;
        let ttl = grant.expires_at.map(|at| at.saturating_sub(now_s));
        let before = self.grants.info(slot, room).map(Box::from);
        // The answer to the subscribe command has brought its data.
        let grant = Grant { data: None, ..Grant::from(grant) };
        let changed = before != grant.info;
        self.grants.remove(slot, room);
        let own_info = self.keep_grant(slot, room, grant);
        if changed {
            self.change_info(slot, room, own_info, fx);
        }
        let result = SubRefreshResult { expires: ttl.is_some(), ttl: ttl.map_or(0, seconds) };
        self.reply(slot, &Reply::new(id, Body::SubRefresh(result)), fx);
        Ok(())
    }

    /// A new token says something else of who the client is in a room.
    fn change_info(&mut self, slot: u32, room: u32, own_info: bool, fx: &mut Effects) {
        let Some(session) = self.session(slot) else { return };
        let Some(membership) = session.rooms.iter_mut().find(|m| m.room == room) else { return };
        membership.own_info = own_info;
        if membership.terms.known()
            && let Some(name) = self.rooms.get(room as usize).map(|room| room.name.clone())
        {
            let author = self.author_in(slot, room);
            let home = self.settings.home(name.as_str());
            self.tell(home, PeerMessage::Renamed { room: name, author }, fx);
        }
    }

    /// Ends the subscriptions whose tokens have run out.
    pub(super) fn expire_grants(&mut self, fx: &mut Effects) {
        let now_ms = self.now.unix_ms;
        while let Some(&(at, slot, room)) = self.grants.ends.first()
            && at <= now_ms
        {
            let membership = self.session(slot).and_then(|s| s.membership(room).copied());
            if membership.is_some_and(|m| m.stage == Stage::Joining) {
                self.grants.ends.remove(&(at, slot, room));
                let again_ms = now_ms + AGAIN_MS;
                self.grants.ends.insert((again_ms, slot, room));
                if let Some(granted) = self.grants.granted.get_mut(&(slot, room)) {
                    granted.look_ms = Some(again_ms);
                }
                continue;
            }
            self.grants.remove(slot, room);
            let name = self.rooms.get(room as usize).map(|room| room.name.clone());
            if let Some(name) = name.filter(|_| membership.is_some()) {
                self.send_owed(slot, room, fx);
                self.leave(slot, room, fx);
                let push = PushBody::from(codes::SUBSCRIPTION_EXPIRED);
                self.reply(slot, &Reply::push(name.as_str(), push), fx);
            }
        }
    }
}

/// Seconds as the protocol has them; what does not fit is as good as never.
pub(super) fn seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
