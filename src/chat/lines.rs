//! The plain-text dialect: entering a room by connecting, and lines of chat.

use super::auth::Identity;
use super::ids::{Dialect, RoomName};
use super::peer::{PeerMessage, Publish};
use super::session::{Pace, Purpose, Wait};
use super::shard::{Effects, Shard};
use crate::protocol::{codes, plain};
use crate::ws::codec;
use bytes::BytesMut;

impl Shard {
    /// A plain client has come: it takes its nick, if it brings one, then joins its room.
    pub(super) fn enter(&mut self, slot: u32, room: String, fx: &mut Effects) {
        let Some(session) = self.session(slot) else { return };
        if let Identity::Guest(nick) = &session.identity {
            let nick = nick.clone();
            session.connected = false;
            session.waiting = Some(room.into());
            self.claim(slot, 0, &nick, false, fx);
        } else {
            self.enter_room(slot, &room, fx);
        }
    }

    /// Joins the room; lines wait until the home has answered.
    pub(super) fn enter_room(&mut self, slot: u32, room: &str, fx: &mut Effects) {
        // A room that cannot be made was refused before the upgrade.
        let Some(index) = self.room(room) else { return };
        if let Some(session) = self.session(slot) {
            session.wait = Wait::Room(index);
        }
        self.join(slot, 0, room, Dialect::Plain, None, fx);
    }

    /// A line of a plain client.
    pub(super) fn line(&mut self, slot: u32, text: &str, fx: &mut Effects) {
        self.metrics.commands.inc();
        let client = &self.settings.config.client;
        let (rate, burst) = (client.command_rate_limit, client.command_rate_burst);
        let now_ms = self.now.mono_ms;
        let Some(session) = self.session(slot) else { return };
        match session.pace(now_ms, rate, burst) {
            Pace::Fine => {}
            Pace::TooFast => {
                self.metrics.rate_limited.inc();
                return self.notice(slot, "* too fast: the line was not sent", fx);
            }
            Pace::GiveUp => return self.close(slot, codes::TOO_MANY_REQUESTS_CLOSE, fx),
        }
        let Some(data) = plain::payload(text) else { return };
        let Some(room) = self.session(slot).and_then(|s| s.rooms.first().map(|m| m.room)) else {
            return;
        };
        let Some(name) = self.rooms.get(room as usize).map(|r| r.name.clone()) else { return };
        let user = self.author(slot);
        let allowed = self.settings.permit(name.as_str(), &user.user, |o| {
            o.allow_publish_for_client || o.allow_publish_for_subscriber
        });
        if allowed.is_err() {
            self.metrics.command_errors.inc();
            return self.notice(slot, "* you may not write here", fx);
        }
        self.publish(slot, 0, name.as_str(), &data, fx);
    }

    /// A line from the server itself.
    pub(super) fn notice(&mut self, slot: u32, line: &str, fx: &mut Effects) {
        let mut frame = BytesMut::with_capacity(line.len() + 10);
        codec::text_frame(&mut frame, line.as_bytes());
        self.send(slot, frame.freeze(), false, fx);
    }

    /// Takes a publication to the room's home; permission has been checked.
    pub(super) fn publish(
        &mut self,
        slot: u32,
        id: u32,
        room: &str,
        data: &[u8],
        fx: &mut Effects,
    ) {
        let author = self.author(slot);
        let from = self.origin(slot);
        let home = self.settings.home(room);
        if home == self.id {
            return self.home_publish(room, from, id, data, &author, fx);
        }
        let name = self.room_index.get_key_value(room).map(|(name, _)| name.clone());
        let room = name.unwrap_or_else(|| RoomName::from(room));
        let publish = Publish { room, from, id, data: data.to_vec(), author };
        self.tell(home, PeerMessage::Publish(Box::new(publish)), fx);
    }

    /// Whether a connection speaks the plain dialect.
    pub(super) fn is_plain(&mut self, slot: u32) -> bool {
        self.session(slot).is_some_and(|s| s.purpose == Purpose::Chat(Dialect::Plain))
    }
}
