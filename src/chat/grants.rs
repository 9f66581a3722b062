//! Subscriptions that a token allowed: what their tokens say, and when they run out.
//!
//! Owns one entry per such subscription, none for others; it knows connections and rooms by their
//! indices here. Tests: `chat/tests/grants.rs`.

use super::auth::{SubscriptionGrant, TokenError};
use super::session::Stage;
use super::shard::{Effects, Shard};
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::messages::{Body, PushBody, Reply, SubRefreshResult, SubscribeResult};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A subscription whose answer is still under way is looked at again after this, in milliseconds.
const AGAIN_MS: u64 = 1_000;

/// The subscriptions of a shard that a token allowed.
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
    /// For the answer to the subscribe command.
    data: Option<Box<str>>,
}

impl Grants {
    /// Remembers what the token of a subscription says; it may run out `delay_ms` late.
    fn insert(&mut self, slot: u32, room: u32, grant: SubscriptionGrant, delay_ms: u64) {
        self.remove(slot, room);
        let SubscriptionGrant { data, expires_at, .. } = grant;
        let look_ms = expires_at.map(|at| at.saturating_mul(1_000).saturating_add(delay_ms));
        self.granted.insert((slot, room), Granted { expires_at, look_ms, data });
        self.ends.extend(look_ms.map(|at| (at, slot, room)));
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

impl Shard {
    /// What the subscription token of a connection grants in the room `channel`.
    ///
    /// Errors: [`codes::TOKEN_EXPIRED`]; [`codes::PERMISSION_DENIED`] not a token of ours, or for
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
            TokenError::Invalid => codes::PERMISSION_DENIED,
            TokenError::UnknownKey(id) => self.want_key(id, fx),
        })
    }

    /// Remembers the grant of a subscription until it ends.
    pub(super) fn keep_grant(&mut self, slot: u32, room: u32, grant: SubscriptionGrant) {
        let delay_ms = self.settings.config.client.expired_sub_close_delay.as_millis() as u64;
        self.grants.insert(slot, room, grant, delay_ms);
    }

    /// Completes the answer to a subscribe command with what its token says.
    pub(super) fn complete(&mut self, slot: u32, room: u32, result: &mut SubscribeResult) {
        let now_s = self.now.unix_ms / 1_000;
        let Some(granted) = self.grants.granted.get_mut(&(slot, room)) else { return };
        if let Some(at) = granted.expires_at {
            result.expires = true;
            result.ttl = seconds(at.saturating_sub(now_s));
        }
        if let Some(data) = granted.data.take() {
            result.data = Bytes::from(String::from(data));
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
        // The answer to the subscribe command has brought its data.
        self.keep_grant(slot, room, SubscriptionGrant { data: None, ..grant });
        let result = SubRefreshResult { expires: ttl.is_some(), ttl: ttl.map_or(0, seconds) };
        self.reply(slot, &Reply::new(id, Body::SubRefresh(result)), fx);
        Ok(())
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
