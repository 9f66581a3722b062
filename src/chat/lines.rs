//! The plain-text dialect: entering a room by connecting, and lines of chat.

use super::auth::Identity;
use super::commands::Entry;
use super::grants::Grant;
use super::ids::{Dialect, RoomName};
use super::peer::{PeerMessage, Publish};
use super::session::{Pace, Purpose, Wait};
use super::settings::Operation;
use super::shard::{Effects, Shard};
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::content::Content;
use crate::protocol::plain;
use crate::ws::codec;
use bytes::BytesMut;

impl Shard {
    /// A plain client has come: it takes its nick, if it brings one, then joins its room.
    pub(super) fn enter(&mut self, slot: u32, room: String, fx: &mut Effects) {
        let Some(session) = self.session(slot) else { return };
        if let Identity::Guest(nick) = &session.identity {
            let nick = nick.clone();
            session.connected = false;
            session.waiting = Some(room.into_bytes().into());
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
        self.join(slot, room, Entry::default(), Grant::default(), fx);
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
                return self.notice(slot, plain::refusal(codes::TOO_MANY_REQUESTS), fx);
            }
            Pace::GiveUp => return self.close(slot, codes::TOO_MANY_REQUESTS_CLOSE, fx),
        }
        let Some(text) = plain::said(text) else { return };
        let Some(room) = self.session(slot).and_then(|s| s.rooms.first().map(|m| m.room)) else {
            return;
        };
        let Some(name) = self.rooms.get(room as usize).map(|r| r.name.clone()) else { return };
        if let Err(error) = self.publish(slot, 0, name.as_str(), Content::Line(text), fx) {
            self.metrics.command_errors.inc();
            self.notice(slot, plain::refusal(error), fx);
        }
    }

    /// A line from the server itself.
    pub(super) fn notice(&mut self, slot: u32, line: &str, fx: &mut Effects) {
        let mut frame = BytesMut::with_capacity(line.len() + 10);
        codec::text_frame(&mut frame, line.as_bytes());
        self.send(slot, frame.freeze(), false, fx);
    }

    /// Takes a publication to the room's home, if the connection may publish there.
    pub(super) fn publish(
        &mut self,
        slot: u32,
        id: u32,
        channel: &str,
        content: Content<'_>,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let from = self.origin(slot);
        // A room that has members here is known: neither its name nor its home is looked up again.
        let index = self.room_index.get(channel).copied();
        let session = self.sessions.get(slot as usize).and_then(Option::as_ref);
        let membership = session.zip(index).and_then(|(s, index)| s.membership(index)).copied();
        let member = membership.is_some();
        let author = match membership.filter(|membership| membership.own_info) {
            Some(membership) => self.author_in(slot, membership.room),
            None => self.author_kept(slot),
        };
        let known = index.and_then(|index| self.rooms.get(index as usize));
        let home = match known {
            Some(room) => {
                let (options, user) = (&room.options, author.user.as_str());
                self.settings.permit_in(options, channel, user, Operation::Publish, member)?;
                room.home
            }
            None => {
                self.settings.permit(channel, &author.user, Operation::Publish, member)?;
                self.settings.home(channel)
            }
        };
        if home == self.id {
            self.home_publish(channel, from, id, content, &author, fx);
            return Ok(());
        }
        let room = known.map_or_else(|| RoomName::from(channel), |room| room.name.clone());
        let publish = Publish { room, from, id, content: content.shared(), author };
        self.tell(home, PeerMessage::Publish(Box::new(publish)), fx);
        Ok(())
    }

    /// Whether a connection speaks the plain dialect.
    pub(super) fn is_plain(&mut self, slot: u32) -> bool {
        self.session(slot).is_some_and(|s| s.purpose == Purpose::Chat(Dialect::Plain))
    }
}
