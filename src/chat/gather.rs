//! Small rooms live on one core: a connection that has done nothing yet is given up, for the home of
//! the first room that it asks for to open it.
//!
//! A message of a room whose members all sit at its home reaches them in the turn that read it:
//! no lane, no other core to be woken. Only who comes first to a shard moves; where members of the
//! room are already, every message has to come anyway. Which core has too many connections for that
//! is not known here: the caller decides. Tests: `tests/gathering.rs`, `tests/it/gathering.rs`.

use super::ids::ShardId;
use super::session::{Session, Wait};
use super::shard::{Effects, Hello, Shard};
use crate::protocol::command::{Command, Commands, Malformed, Request};
use crate::protocol::messages::Encoding;
use crate::protocol::plain::Endpoint;
use crate::protocol::protobuf;
use crate::ws::codec::Message;
use bytes::Bytes;
use std::borrow::Cow;

impl Shard {
    /// The home of a room that has no member here and lives elsewhere: where a fresh connection that
    /// wants to be in it is served best.
    pub fn better_place(&self, room: &str) -> Option<ShardId> {
        let lives_elsewhere = self.gathers() && !self.room_index.contains_key(room);
        lives_elsewhere.then(|| self.settings.home(room)).filter(|home| *home != self.id)
    }

    /// Whether a connection could be given up: it has come and done nothing.
    pub fn is_fresh(&self, slot: u32) -> bool {
        let session = self.sessions.get(slot as usize).and_then(Option::as_ref);
        session.is_some_and(is_fresh) && self.gathers()
    }

    fn gathers(&self) -> bool {
        self.settings.shards > 1 && self.settings.config.fanout.gather_rooms && !self.drain.started
    }

    /// The first room that a fresh connection's first message asks for. SDKs send their subscriptions
    /// right behind `connect`, in the same frame.
    pub fn first_room<'a>(&self, slot: u32, message: Message<'a>) -> Option<Cow<'a, str>> {
        let session = self.sessions.get(slot as usize)?.as_ref()?;
        match (message, session.encoding()?) {
            (Message::Text(text), Encoding::Json) => first_subscription(Commands::new(text)),
            (Message::Binary(bytes), Encoding::Protobuf) => {
                first_subscription(protobuf::Commands::new(bytes))
            }
            _ => None,
        }
    }

    /// Forgets a connection that is fresh; another shard opens it with what this returns.
    pub fn give_up(&mut self, slot: u32, fx: &mut Effects) -> Option<Hello> {
        let encoding = self.session(slot).filter(|session| is_fresh(session))?.encoding()?;
        let session = self.forget(slot, fx)?;
        Some(Hello {
            endpoint: Endpoint::Protocol,
            encoding,
            identity: session.identity,
            client: session.client,
            number: session.number,
            greeting: Bytes::new(),
        })
    }
}

fn is_fresh(session: &Session) -> bool {
    !session.connected
        && session.encoding().is_some()
        && session.wait == Wait::Nothing
        && session.waiting.is_none()
        && session.outbox.is_empty()
}

fn first_subscription<'a>(
    commands: impl Iterator<Item = Result<Command<'a>, Malformed>>,
) -> Option<Cow<'a, str>> {
    commands.map_while(Result::ok).find_map(|command| match command.request {
        Request::Subscribe(subscribe) => Some(subscribe.channel),
        _ => None,
    })
}
