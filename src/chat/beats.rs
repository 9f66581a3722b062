//! Time: heartbeats, deadlines, tokens that run out.

use super::auth::Identity;
use super::ids::{ClientId, ConnId};
use super::session::{Beat, Session};
use super::shard::{Effects, Shard};
use crate::protocol::codes;
use crate::protocol::messages::Reply;
use crate::ws::codec;

impl Shard {
    /// The first ping comes at a moment of its own, so that many who came at once spread out.
    pub(super) fn first_beat_ms(&self, client: ClientId) -> u64 {
        let interval = self.settings.config.client.ping_interval.as_millis().max(1);
        (interval / 4 + client.0 % interval.div_ceil(4).max(1) * 3) as u64
    }

    pub(super) fn tick(&mut self, fx: &mut Effects) {
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.expire(self.now.mono_ms, &mut fired);
        for key in fired.drain(..) {
            let conn = ConnId { slot: key as u32, generation: (key >> 32) as u32 };
            self.beat(conn, fx);
        }
        self.fired = fired;
        self.expire_grants(fx);
        self.check_homes();
        self.check_listing(fx);
    }

    fn beat(&mut self, conn: ConnId, fx: &mut Effects) {
        let slot = conn.slot;
        let now = self.now;
        let suspended = self.reading_suspended;
        let pong_ms = self.settings.config.client.pong_timeout.as_millis() as u64;
        let expired_ms = self.settings.config.client.expired_close_delay.as_millis() as u64;
        let Some(session) = self.session_of(conn) else { return };
        if now.mono_ms < session.timer_ms {
            return; // an entry of a deadline that was moved forward
        }
        session.timer_ms = u64::MAX;
        if token_ends_ms(session, expired_ms).is_some_and(|at| at <= now.unix_ms) {
            return self.close(slot, codes::EXPIRED, fx);
        }
        let mut ping = None;
        if now.mono_ms >= session.deadline_ms {
            match session.beat {
                Beat::Connect => return self.close(slot, codes::STALE, fx),
                Beat::Pong if !suspended && !session.paused => {
                    return self.close(slot, codes::NO_PONG, fx);
                }
                // Its answer may stand in what is not being read: it gets the time again.
                Beat::Pong => {}
                Beat::Ping => {
                    session.beat = Beat::Pong;
                    ping = Some(session.encoding());
                }
            }
            session.deadline_ms = now.mono_ms + pong_ms;
        }
        self.arm(slot);
        match ping {
            Some(Some(_)) => self.reply(slot, &Reply::default(), fx),
            Some(None) => self.send(slot, codec::ping_frame(b""), false, fx),
            None => {}
        }
    }

    /// The connection has answered a ping.
    pub(super) fn pong(&mut self, slot: u32) {
        let next = self.now.mono_ms + self.settings.config.client.ping_interval.as_millis() as u64;
        if let Some(session) = self.session(slot)
            && session.beat == Beat::Pong
        {
            session.beat = Beat::Ping;
            session.deadline_ms = next;
        }
    }

    /// The connection's next deadline is `delay_ms` from now.
    pub(super) fn set_beat(&mut self, slot: u32, beat: Beat, delay_ms: u64) {
        let at = self.now.mono_ms + delay_ms;
        let Some(session) = self.session(slot) else { return };
        session.beat = beat;
        session.deadline_ms = at;
        self.arm(slot);
    }

    /// Puts the connection on the wheel, unless it stands there for its deadline or the end of its
    /// token or before.
    pub(super) fn arm(&mut self, slot: u32) {
        let now = self.now;
        let expired_ms = self.settings.config.client.expired_close_delay.as_millis() as u64;
        let session = self.sessions.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(session) = session else { return };
        let token_ends_ms = token_ends_ms(session, expired_ms)
            .map_or(u64::MAX, |at| now.mono_ms.saturating_add(at.saturating_sub(now.unix_ms)));
        let at = session.deadline_ms.min(token_ends_ms);
        if at < session.timer_ms {
            let key = timer_key(slot, session.generation);
            session.timer_ms = self.wheel.schedule(key, at);
        }
    }
}

/// When the connection has had its token, and `delay_ms` to refresh it (Unix milliseconds).
fn token_ends_ms(session: &Session, delay_ms: u64) -> Option<u64> {
    let Identity::User(user) = &session.identity else { return None };
    Some(user.expires_at?.saturating_mul(1_000).saturating_add(delay_ms))
}

/// What the wheel holds for a connection.
fn timer_key(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}
