//! The home's side: joins, leaves, publications and history of the rooms that this shard orders.

use super::home::{Home, Limit, NewPublication, Range};
use super::ids::{Audience, Epoch, Origin, RoomName, ShardId};
use super::peer::{Answer, Author, HistoryRequest, Join, Joined, PeerMessage, Welcome};
use super::presence::Announcement;
use super::rules;
use super::shard::{Effects, Shard};
use super::terms::Terms;
use crate::protocol::chat::Kind;
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::content::Content;
use crate::protocol::messages::{Body, HistoryResult, Reply, SubscribeResult};
use std::cmp::Reverse;
use std::sync::Arc;

/// Bytes of publications that one recovery or history reply may carry.
const PAST_BYTES_MAX: usize = 256 * 1024;
/// Ages of publications kept before those of publications that are gone are cleared out.
pub(super) const AGES_LEN_MIN: usize = 4_096;
/// A room is looked at again no sooner than this, in milliseconds.
const CHECK_MS_MIN: u64 = 1_000;

impl Shard {
    /// The room at home, made if it is not there.
    pub(super) fn home(&mut self, name: &RoomName) -> Result<u32, ErrorCode> {
        if let Some(home) = self.home_index.get(name) {
            return Ok(*home);
        }
        let rooms_max = self.settings.config.channel.rooms_max;
        if self.homes.len() >= rooms_max.div_ceil(usize::from(self.settings.shards)) {
            return Err(codes::LIMIT_EXCEEDED);
        }
        let options = self.settings.room_options(name.as_str())?.clone();
        let epoch = self.next_epoch();
        let home = Home::new(name.clone(), options, epoch);
        let index = self.homes.insert(home) as u32;
        self.home_index.insert(name.clone(), index);
        self.metrics.rooms.set(self.homes.len() as u64);
        Ok(index)
    }

    fn home_mut(&mut self, index: u32) -> Option<&mut Home> {
        self.homes.get_mut(index as usize)
    }

    pub(super) fn home_join(&mut self, join: Join, fx: &mut Effects) {
        let audience = join.audience();
        let Join { room, from, id, dialect, terms, recover, past_bytes, author } = join;
        let conn = from.conn;
        let index = match self.home(&room) {
            Ok(index) => index,
            Err(error) => {
                return self.tell(from.shard, PeerMessage::Refused { room, conn, id, error }, fx);
            }
        };
        // What the turn has brought so far goes out before the answer: the new member's stream
        // starts behind it.
        self.flush_home_now(index, fx);
        let limit = self.past_limit(past_bytes);
        let Some(home) = self.homes.get_mut(index as usize) else { return };
        // A plain client is told nothing.
        let welcome = dialect.encoding().map(|_| {
            let welcome = welcome(home, terms, recover, limit);
            match (welcome.result.was_recovering, welcome.result.recovered) {
                (true, true) => self.metrics.recovered.inc(),
                (true, false) => self.metrics.unrecovered.inc(),
                (false, _) => {}
            }
            Box::new(welcome)
        });
        home.join(from.shard, audience);
        let announcement = author.clone().and_then(|author| self.present(index, author, terms));
        let joined = Joined { id, audience, author, welcome };
        self.tell(from.shard, PeerMessage::Joined { room, conn, joined }, fx);
        self.announce(index, announcement);
    }

    pub(super) fn home_leave(
        &mut self,
        from: ShardId,
        room: &RoomName,
        audience: Audience,
        author: Option<&Author>,
    ) {
        let now_ms = self.now.mono_ms;
        let Some(&index) = self.home_index.get(room) else { return };
        let Some(home) = self.home_mut(index) else { return };
        home.leave(from, audience);
        let heard = home.hears_joins();
        let present = home.presence.as_mut().zip(author);
        let announcement =
            present.and_then(|(presence, author)| presence.leave(now_ms, author.client, heard));
        self.announce(index, announcement);
        self.plan_leaves(index);
        self.release_home(index);
    }

    /// Tells the members of a room who came or went.
    pub(super) fn announce(
        &mut self,
        index: u32,
        announcements: impl IntoIterator<Item = Announcement>,
    ) {
        for announcement in announcements {
            let Some(home) = self.home_mut(index) else { return };
            home.announce(&announcement);
            self.mark_dirty(index);
        }
    }

    /// Checks, orders, keeps and encodes one publication, and answers its sender.
    pub(super) fn home_publish(
        &mut self,
        room: &str,
        from: Origin,
        id: u32,
        content: Content<'_>,
        author: &Arc<Author>,
        fx: &mut Effects,
    ) {
        let author = Some(author);
        let new = NewPublication { content, author, tags: None, skip_history: false };
        let result = self.accept_publication(room, new).map(|_| ());
        if result.is_err() {
            self.metrics.command_errors.inc();
        }
        // A plain client hears of a refusal only.
        if id == 0 && result.is_ok() {
            return;
        }
        if from.shard == self.id {
            self.published(from.conn, id, result, fx);
        } else {
            self.tell(from.shard, PeerMessage::Published { conn: from.conn, id, result }, fx);
        }
    }

    /// Checks, orders, keeps and encodes one publication; returns where it is kept, if it is.
    pub(super) fn accept_publication(
        &mut self,
        room: &str,
        new: NewPublication<'_>,
    ) -> Result<Option<(Epoch, u64)>, ErrorCode> {
        let index = match self.home_index.get(room) {
            Some(index) => *index,
            None => self.home(&RoomName::from(room))?,
        };
        let accepted = self.order_publication(index, new);
        if accepted.is_err() {
            self.release_home(index);
        }
        accepted
    }

    fn order_publication(
        &mut self,
        index: u32,
        new: NewPublication<'_>,
    ) -> Result<Option<(Epoch, u64)>, ErrorCode> {
        let now = self.now;
        let Some(home) = self.homes.get_mut(index as usize) else { return Ok(None) };
        let author = new.author.map(|author| &**author);
        let mut change = 0;
        let payload = rules::read(&home.options, new.content)?;
        if let Some(payload) = &payload {
            home.check(&payload.kind, author)?;
        }
        let nonce = payload.as_ref().and_then(|payload| payload.nonce.as_deref());
        let slow_ms = home.options.slow_mode.as_millis() as u64;
        // Slow mode is for users: the application's backend has its own reasons to be fast.
        let slowed = slow_ms > 0 && author.is_some() && rules::is_slowed(payload.as_ref());
        if slowed || nonce.is_some() {
            let room = home.name.as_str();
            let client;
            let user: &str = match author {
                // Nobody's nonces: neither a user nor a client has an empty id here.
                None => "",
                Some(author) if author.user.is_empty() => {
                    client = author.client.to_string();
                    &client
                }
                Some(author) => &author.user,
            };
            // Published already: the sender only missed the answer.
            if slowed && nonce.is_some_and(|n| self.nonces.known(now.mono_ms, room, user, n)) {
                return Ok(None);
            }
            if slowed && !self.slow.pass(now.mono_ms, room, user, slow_ms) {
                self.metrics.slow_mode_refused.inc();
                return Err(codes::TOO_MANY_REQUESTS);
            }
            if nonce.is_some_and(|nonce| !self.nonces.fresh(now.mono_ms, room, user, nonce)) {
                return Ok(None);
            }
        }
        match payload.map(|payload| payload.kind) {
            Some(Kind::Delete { of }) => change += home.blank(of),
            Some(Kind::Topic { text }) => {
                home.topic = Some(&*text).filter(|text| !text.is_empty()).map(Arc::from);
            }
            _ => {}
        }
        let before = home.turn_bytes();
        let ordered = home.publish(now.unix_ms, new);
        self.turn_bytes += home.turn_bytes() - before;
        change += ordered.change;
        let room_max = self.settings.config.channel.history_room_max_size;
        change -= home.bound_bytes(room_max) as isize;
        let kept = ordered.offset.map(|offset| (home.epoch, offset));
        self.metrics.publications.inc();
        self.history_bytes = self.history_bytes.saturating_add_signed(change);
        if let Some((epoch, offset)) = kept {
            let meta_ttl_ms = self.settings.meta_ttl_ms(&home.options);
            home.keep_until_ms = now.unix_ms.saturating_add(meta_ttl_ms);
            self.ages.push_back((index, epoch.0, offset));
            self.bound_history();
            self.plan_check(index);
        }
        self.mark_dirty(index);
        Ok(kept)
    }

    pub(super) fn home_history(&mut self, request: &HistoryRequest, fx: &mut Effects) {
        let HistoryRequest { ref room, from, id, limit, ref since, reverse, .. } = *request;
        let most = self.past_limit(request.past_bytes);
        let answer = match self.home(room) {
            Err(error) => Answer { reply: Reply::new(id, error), past: None },
            Ok(index) => {
                let Some(home) = self.homes.get(index as usize) else { return };
                let epoch = home.epoch.to_string();
                let same_life = |(e, _): &(String, u64)| e.is_empty() || *e == epoch;
                let answer = if since.as_ref().is_some_and(|since| !same_life(since)) {
                    Answer { reply: Reply::new(id, codes::UNRECOVERABLE_POSITION), past: None }
                } else {
                    let count = usize::try_from(limit).unwrap_or(most.count).min(most.count);
                    let limit = Limit { count, ..most };
                    let since = since.as_ref().map(|(_, offset)| *offset);
                    let past = Some(home.range(Range { since, limit, reverse }));
                    let result = HistoryResult { epoch, offset: home.offset, ..Default::default() };
                    Answer { reply: Reply::new(id, Body::History(result)), past }
                };
                self.release_home(index);
                answer
            }
        };
        let answer = Box::new(answer);
        self.tell(from.shard, PeerMessage::Past { conn: from.conn, answer }, fx);
    }

    /// How much of the past one reply may carry. `past_bytes`: what its receiver has room for.
    fn past_limit(&self, past_bytes: usize) -> Limit {
        let count = self.settings.config.channel.recovery_max_publication_limit;
        Limit { count, bytes: past_bytes.min(PAST_BYTES_MAX) }
    }

    // ---- the turn

    fn mark_dirty(&mut self, index: u32) {
        if let Some(home) = self.home_mut(index)
            && !std::mem::replace(&mut home.dirty, true)
        {
            self.dirty_homes.push(index);
        }
    }

    /// Hands out what a room has brought and forgets the room if nothing is left of it.
    pub(super) fn flush_home(&mut self, index: u32, fx: &mut Effects) {
        self.flush_home_now(index, fx);
        if let Some(home) = self.home_mut(index) {
            home.dirty = false;
        }
        self.release_home(index);
    }

    /// Hands what a room has brought so far to every shard that has members.
    fn flush_home_now(&mut self, index: u32, fx: &mut Effects) {
        let id = self.id;
        let Some(home) = self.homes.get_mut(index as usize) else { return };
        let Some((batch, shards)) = home.take_batch() else { return };
        let mut here = false;
        for shard in shards {
            if shard == id {
                here = true;
            } else if let Some(lane) = fx.lanes.get_mut(shard.index()) {
                lane.push(PeerMessage::Batch(batch.clone()));
            }
        }
        if here {
            self.batch(&batch);
        }
    }

    // ---- bounds

    pub(super) fn release_home(&mut self, index: u32) {
        let now_ms = self.now.unix_ms;
        if self.homes.get(index as usize).is_some_and(|home| home.is_unused(now_ms)) {
            let home = self.homes.remove(index as usize);
            self.home_index.remove(&home.name);
            self.metrics.rooms.set(self.homes.len() as u64);
        }
    }

    /// Keeps the history of all rooms within its bound: the oldest publications go first.
    pub(super) fn bound_history(&mut self) {
        let config = &self.settings.config.channel;
        let bytes_max = config.history_total_max_size / usize::from(self.settings.shards);
        while self.history_bytes > bytes_max || self.oldest_is_gone() {
            let Some((index, epoch, offset)) = self.ages.pop_front() else { break };
            let Some(home) = self.homes.get_mut(index as usize) else { continue };
            if home.epoch.0 == epoch && home.oldest() == Some(offset) {
                self.history_bytes = self.history_bytes.saturating_sub(home.forget_oldest());
            }
        }
        self.metrics.history_bytes.set(self.history_bytes as u64);
        // A quiet room's old publication may stand before the ages of many that are gone.
        if self.ages.len() >= self.ages_len_max {
            let homes = &self.homes;
            self.ages.retain(|(index, epoch, offset)| {
                let home = homes.get(*index as usize).filter(|h| h.epoch.0 == *epoch);
                home.and_then(Home::oldest).is_some_and(|oldest| oldest <= *offset)
            });
            self.ages_len_max = self.ages.len() * 2 + AGES_LEN_MIN;
        }
    }

    /// Whether the oldest age stands for a publication that is gone already.
    fn oldest_is_gone(&self) -> bool {
        self.ages.front().is_some_and(|(index, epoch, offset)| {
            let home = self.homes.get(*index as usize).filter(|h| h.epoch.0 == *epoch);
            home.and_then(Home::oldest).is_none_or(|oldest| oldest > *offset)
        })
    }

    fn plan_check(&mut self, index: u32) {
        let now = self.now;
        let Some(home) = self.home_mut(index).filter(|home| home.check_at_ms == 0) else { return };
        let Some(at) = home.next_check_ms(now.unix_ms) else { return };
        let at = now.mono_ms + at.saturating_sub(now.unix_ms).max(CHECK_MS_MIN);
        home.check_at_ms = at;
        let epoch = home.epoch.0;
        self.home_checks.push(Reverse((at, index, epoch)));
    }

    /// Looks at the room again when the first of the leaves that wait is due.
    fn plan_leaves(&mut self, index: u32) {
        let Some(home) = self.home_mut(index) else { return };
        let epoch = home.epoch.0;
        let Some(presence) = home.presence.as_mut().filter(|p| p.check_at_ms == 0) else { return };
        let Some(at) = presence.next_ms() else { return };
        presence.check_at_ms = at;
        self.home_checks.push(Reverse((at, index, epoch)));
    }

    /// Tells the members of a room who has been gone for the grace period.
    fn check_leaves(&mut self, index: u32) {
        let now_ms = self.now.mono_ms;
        let Some(home) = self.home_mut(index) else { return };
        let Some(presence) = home.presence.as_mut() else { return };
        if presence.check_at_ms == 0 || presence.check_at_ms > now_ms {
            return;
        }
        presence.check_at_ms = 0;
        let mut announcements = Vec::new();
        presence.expire(now_ms, &mut announcements);
        self.announce(index, announcements);
        self.plan_leaves(index);
    }

    /// Plans anew, because the room keeps its publications for another time than before.
    pub(super) fn replan_check(&mut self, index: u32) {
        if let Some(home) = self.home_mut(index) {
            home.check_at_ms = 0;
        }
        self.plan_check(index);
    }

    /// Lets publications expire whose time is over, and leaves be told that have waited.
    pub(super) fn check_homes(&mut self) {
        while let Some(&Reverse((at, index, epoch))) = self.home_checks.peek() {
            if at > self.now.mono_ms {
                break;
            }
            self.home_checks.pop();
            let unix_ms = self.now.unix_ms;
            let Some(home) = self.home_mut(index).filter(|h| h.epoch.0 == epoch) else { continue };
            if home.check_at_ms == at {
                home.check_at_ms = 0;
                let freed = home.expire(unix_ms);
                self.history_bytes = self.history_bytes.saturating_sub(freed);
                self.plan_check(index);
            }
            self.check_leaves(index);
            self.release_home(index);
        }
        self.metrics.history_bytes.set(self.history_bytes as u64);
    }
}

/// What a client that joins on `terms` is told of the room, and what it missed since its position
/// `recover` (epoch, offset).
fn welcome(home: &Home, terms: Terms, recover: Option<(String, u64)>, limit: Limit) -> Welcome {
    let recoverable = terms.recoverable;
    if !home.has_history() || !(terms.recoverable || terms.positioned) {
        return Welcome { result: SubscribeResult::default(), past: None };
    }
    let recover = recover.filter(|_| recoverable);
    let was_recovering = recover.is_some();
    let past = recover.and_then(|(epoch, offset)| home.missed(&epoch, offset, limit));
    let result = SubscribeResult {
        recoverable,
        positioned: true,
        epoch: home.epoch.to_string(),
        offset: Some(home.offset),
        was_recovering,
        recovered: past.is_some(),
        ..Default::default()
    };
    Welcome { result, past }
}
