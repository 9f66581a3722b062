//! Time: heartbeats, deadlines, tokens that run out.

use super::auth::{self, Identity};
use super::ids::{ClientId, ConnId};
use super::session::Beat;
use super::shard::{Effects, Shard};
use crate::protocol::codes;
use crate::protocol::messages::Reply;
use crate::ws::codec;

/// A connection outlives its token by this long, in seconds, so that it can refresh it.
const EXPIRED_CLOSE_DELAY_S: u64 = 25;

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
        self.check_homes();
        self.check_listing(fx);
    }

    fn beat(&mut self, conn: ConnId, fx: &mut Effects) {
        let slot = conn.slot;
        let now = self.now;
        let suspended = self.reading_suspended;
        let pong_ms = self.settings.config.client.pong_timeout.as_millis() as u64;
        let Some(session) = self.session_of(conn) else { return };
        if now.mono_ms < session.timer_ms {
            return; // an entry of a deadline that was moved forward
        }
        session.timer_ms = u64::MAX;
        let mut ping = None;
        if now.mono_ms >= session.deadline_ms {
            let overdue = |user: &auth::User| {
                user.expires_at.is_some_and(|at| at + EXPIRED_CLOSE_DELAY_S < now.unix_ms / 1_000)
            };
            if matches!(&session.identity, Identity::User(user) if overdue(user)) {
                return self.close(slot, codes::EXPIRED, fx);
            }
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

    /// Puts the connection on the wheel, unless it stands there for its deadline or before.
    pub(super) fn arm(&mut self, slot: u32) {
        let session = self.sessions.get_mut(slot as usize).and_then(Option::as_mut);
        if let Some(session) = session
            && session.deadline_ms < session.timer_ms
        {
            let key = timer_key(slot, session.generation);
            session.timer_ms = self.wheel.schedule(key, session.deadline_ms);
        }
    }
}

/// What the wheel holds for a connection.
fn timer_key(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}
