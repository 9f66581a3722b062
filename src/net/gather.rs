//! A fresh connection moves to the core where the first room that it asks for lives.
//!
//! Once, and before anything is done for it: a plain client when its request head has come, a client of
//! the protocol when its first message has. What was read moves along. See `chat/gather.rs` for why.
//! Tests: `tests/it/gathering.rs`.

use super::connection::{Connection, Phase};
use super::mesh::Control;
use super::worker::Worker;
use crate::chat::shard::{Hello, Input};
use crate::protocol::plain::{self, Endpoint};
use crate::ws::codec::Decoder;
use crate::ws::handshake::Upgrade;
use std::net::{IpAddr, TcpStream};

/// Bytes of a first read that are looked at: connect with a token, and subscribe.
const PEEK_BYTES: usize = 8 * 1024;

/// A connection on its way from core to core, with nothing in flight.
#[derive(Debug)]
pub struct Moved {
    socket: TcpStream,
    /// Set where connections are counted per address.
    address: Option<Box<IpAddr>>,
    stage: Stage,
    /// What it has sent behind its head.
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    /// The upgrade is to be answered.
    Head(Upgrade),
    /// It has been, and the connection counts as one.
    Open(Hello),
}

impl Worker {
    /// Moves a plain client whose room lives elsewhere. False: the connection stays.
    pub(super) fn gather_upgrade(&mut self, slot: u32, upgrade: &Upgrade, rest: &[u8]) -> bool {
        let endpoint = plain::endpoint(&upgrade.path, upgrade.query.as_deref());
        let Some(Endpoint::Plain { room, .. }) = endpoint else { return false };
        let Some(to) = self.better_core(&room) else { return false };
        self.move_out(slot, to, Stage::Head(upgrade.clone()), rest.to_vec());
        true
    }

    /// Moves a client of the protocol whose first message lies in the buffer and asks for a room that
    /// lives elsewhere. False: the connection stays.
    pub(super) fn gather_first(&mut self, slot: u32, n: usize) -> bool {
        let Some(to) = self.first_home(slot, n) else { return false };
        let Some(hello) = self.shard.give_up(slot, &mut self.fx) else { return false };
        let bytes = self.buffer.get(..n).unwrap_or_default().to_vec();
        self.move_out(slot, to, Stage::Open(hello), bytes);
        true
    }

    /// Goes on with a connection that another core has moved out (and that is counted here already).
    pub(super) fn move_in(&mut self, moved: Moved) {
        let Moved { socket, address, stage, bytes } = moved;
        let slot = self.insert(socket, address);
        let hello = match stage {
            Stage::Head(upgrade) => return self.upgrade(slot, &upgrade, &bytes),
            Stage::Open(hello) => Box::new(hello),
        };
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.counted = true;
            connection.phase = Phase::Open;
        }
        self.step(Input::Opened { slot, hello });
        match self.drain {
            None => self.feed(slot, &bytes),
            // Who is told has been chosen already.
            Some(_) => self.shard.shut_down(self.now, slot, &mut self.fx),
        }
    }

    /// Where the room lives, if a fresh connection had better be there.
    fn better_core(&self, room: &str) -> Option<usize> {
        let to = self.shard.better_place(room)?.index();
        self.shared.balance.may_gather(to).then_some(to)
    }

    /// The same for the room that a connection's first `n` bytes ask for.
    fn first_home(&self, slot: u32, n: usize) -> Option<usize> {
        let idle = |c: &&Connection| !c.is_sending() && !c.decoder.has_rest();
        if !self.shard.is_fresh(slot) || self.connections.get(slot as usize).filter(idle).is_none()
        {
            return None;
        }
        // Of a copy: whoever serves the connection unmasks the bytes themselves.
        let mut copy = self.buffer.get(..n.min(PEEK_BYTES))?.to_vec();
        let mut decoder = Decoder::server(PEEK_BYTES as u32);
        let mut feed = decoder.feed(&mut copy);
        let room = self.shard.first_room(slot, feed.next().ok()??)?;
        self.better_core(&room)
    }

    /// Hands over a connection that is watched by nobody.
    fn move_out(&mut self, slot: u32, to: usize, stage: Stage, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        // One that is open stays counted, as one and for its address.
        connection.counted = false;
        let address = connection.address.take();
        let Some(connection) = self.remove(slot) else { return };
        let socket = connection.into_socket();
        self.metrics.gathered.inc();
        self.shared.balance.add(to);
        if let Some(reach) = self.mesh.reaches().get(to) {
            reach.send(Control::Moved(Box::new(Moved { socket, address, stage, bytes })));
        }
    }
}
