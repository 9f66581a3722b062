//! Rooms that a connection token names (claims `channels`, `subs`): the server joins them for the
//! client, as soon as it is connected.
//!
//! Each join is told by a `subscribe` push behind the connect reply; what the client missed since the
//! position that it gave in `connect.subs` follows as publications. Tests: `chat/tests/claimed.rs`.

use super::auth::User;
use super::commands::Entry;
use super::peer::ServerSide;
use super::session::Purpose;
use super::shard::{Effects, Shard};
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::command::Connect;
use bytes::Bytes;

/// A room to be joined for a client.
#[derive(Debug)]
pub(super) struct Claimed {
    room: Box<str>,
    data: Option<Bytes>,
    recover: Option<(String, u64)>,
}

impl Shard {
    /// The rooms that `user`'s token names, with the positions that the client knows. Errors: one of
    /// them cannot be (102, 107), or there are more than a connection may join (106); the client is
    /// not connected then.
    pub(super) fn claimed_rooms(
        &self,
        user: &User,
        connect: &Connect<'_>,
    ) -> Result<Vec<Claimed>, ErrorCode> {
        let subs = user.extra.as_deref().map_or(&[][..], |extra| &extra.subs);
        if subs.len() > self.settings.config.client.channel_limit {
            return Err(codes::LIMIT_EXCEEDED);
        }
        let claimed = subs.iter().map(|sub| {
            self.settings.room_options(&sub.room)?;
            let known = connect.subs.get(&*sub.room).filter(|known| known.recover);
            Ok(Claimed {
                room: sub.room.clone(),
                data: sub.grant.data.as_ref().map(|data| Bytes::copy_from_slice(data.as_bytes())),
                recover: known.map(|known| (known.epoch.to_string(), known.offset)),
            })
        });
        claimed.collect()
    }

    /// Joins them.
    pub(super) fn join_claimed(&mut self, slot: u32, rooms: Vec<Claimed>, fx: &mut Effects) {
        for Claimed { room, data, recover } in rooms {
            // A slow client may be gone after any of them.
            let Some(Purpose::Chat(dialect)) = self.session(slot).map(|s| s.purpose) else {
                return;
            };
            if self.is_member(slot, &room) {
                continue; // named twice
            }
            let server_side = Some(ServerSide { data });
            self.join(slot, &room, Entry { id: 0, dialect, recover, server_side }, fx);
        }
    }
}
