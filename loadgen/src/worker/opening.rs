//! How connections begin and end: connect, upgrade, join; leave by plan, be closed, come back.

use super::Worker;
use crate::connection::State;
use crate::dialect::Position;
use crate::frame::opcode;
use crate::shared::{Event, Phase};
use crate::tls::Tls;
use ringchat::net::ring::Token;
use std::sync::atomic::Ordering;

/// Connections that a thread opens at a time: fewer than any accept queue.
pub(super) const OPENING_MAX: usize = 64;
/// Disconnect code of the client protocol: the server could not keep the connection up.
const SLOW: u16 = 3008;

impl Worker {
    /// When the next connection is due to be opened for the first time; `None`: now, or never.
    pub(super) fn next_open_ns(&self) -> Option<u64> {
        let rate = self.plan.options.connect_rate?;
        if self.opened >= self.connections.len() {
            return None;
        }
        Some((self.global(self.opened) as f64 / rate * 1e9) as u64)
    }

    pub(super) fn open_more(&mut self, now_ns: u64) {
        while self.phase == Phase::Join
            && !self.failed
            && self.opening < OPENING_MAX
            && self.opened < self.connections.len()
            && self.next_open_ns().is_none_or(|due| due <= now_ns)
        {
            let local = self.opened;
            self.opened += 1;
            self.open(local);
        }
        while self.phase < Phase::Close
            && self.opening < OPENING_MAX
            && let Some(local) = self.unrest.next_return(now_ns)
        {
            if self.connections[local].has_operations() {
                self.unrest.put_back(local, now_ns);
                break;
            }
            self.open(local);
        }
    }

    fn open(&mut self, local: usize) {
        self.opening += 1;
        let at = self.global(local);
        let server = self.plan.server_of(at);
        let name = server.tls_name.as_deref().zip(self.tls.as_ref());
        let tls = match name.map(|(name, config)| Tls::new(config.clone(), name)).transpose() {
            Ok(tls) => tls,
            Err(why) => return self.fail(why),
        };
        let (source, slow) = (self.plan.source_of(at), self.unrest.is_slow(local));
        let connection = &mut self.connections[local];
        connection.opened_ns = self.shared.now_ns();
        if let Err(error) = connection.open(local as u32, server.address, source, tls, slow) {
            let cure = match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => {
                    ": raise the limit with `ulimit -n`, or use more --processes"
                }
                Some(libc::EADDRNOTAVAIL) => ": give a --source address that this machine has",
                _ => "",
            };
            self.fail(format!("cannot open socket {}: {error}{cure}", self.opened));
        }
    }

    pub(super) fn connected(&mut self, token: Token) {
        let local = token.slot() as usize;
        let at = self.global(local);
        let Some(connection) = self.connections.get_mut(local) else { return };
        match connection.connected(token) {
            None => {}
            Some(Err(error)) => {
                let address = self.plan.server_of(at).address;
                let cure = match error.raw_os_error() {
                    Some(libc::EADDRNOTAVAIL) => {
                        ": no port is free for this pair of addresses: give more --source addresses"
                    }
                    Some(libc::ETIMEDOUT) => ": lower --connect-rate",
                    _ => "",
                };
                self.over(local, 1006, format!("cannot connect to {address}: {error}{cure}"));
            }
            Some(Ok(_)) if connection.state == State::Connecting => {
                let key = tungstenite::handshake::client::generate_key();
                let server = self.plan.server_of(at);
                let room = self.plan.layout.room_of(at);
                let path = server.path.as_deref();
                let request = self.wire.upgrade(&server.host, path, at, room, &key);
                connection.write_raw(request.as_bytes());
                connection.state = State::Upgrading(key);
                connection.poll(local as u32);
                connection.flush(local as u32);
            }
            Some(Ok(_)) => {}
        }
    }

    /// Takes the answer to the upgrade at the start of `bytes`: how long it is, 0 if it is not
    /// complete.
    pub(super) fn take_answer(&mut self, local: usize, bytes: &[u8], key: &str) -> usize {
        let len = match self.wire.answer(bytes, key) {
            Ok(None) => return 0,
            Ok(Some(len)) => len,
            Err(why) => {
                self.over(local, 1006, why);
                return bytes.len();
            }
        };
        let now_ns = self.shared.now_ns();
        let at = self.global(local);
        let room = self.plan.layout.room_of(at);
        let connection = &mut self.connections[local];
        if connection.left_ns.is_none() {
            let took = now_ns.saturating_sub(connection.opened_ns);
            self.tally.totals.handshake.record(took);
        }
        connection.state = State::Joining;
        let position = connection.position.take();
        let mut frames = std::mem::take(&mut self.frames);
        let wait = self.wire.join(&mut frames, at, room, position.as_deref());
        for frame in frames.drain(..) {
            let mask = self.next_mask();
            self.connections[local].write(frame.opcode, &frame.payload, mask);
        }
        self.frames = frames;
        self.connections[local].position = position;
        if !wait {
            if self.connections[local].left_ns.is_some() {
                self.tally.rejoined(local, None);
            }
            self.joined(local, None);
        }
        len
    }

    /// The room is joined; `position`: where its stream is, if the server said so.
    pub(super) fn joined(&mut self, local: usize, position: Option<Position>) {
        let now_ns = self.shared.now_ns();
        let connection = &mut self.connections[local];
        if connection.state != State::Joining {
            return;
        }
        connection.state = State::Open;
        if let Some(position) = position {
            connection.position = Some(Box::new(position));
        }
        self.opening -= 1;
        if let Some(left_ns) = connection.left_ns.take() {
            self.tally.totals.back.record(now_ns.saturating_sub(left_ns));
            self.pump(local);
            self.connections[local].flush(local as u32);
            return;
        }
        self.tally.totals.join.record(now_ns.saturating_sub(connection.opened_ns));
        self.joined += 1;
        self.shared.progress[self.thread].joined.store(self.joined as u64, Ordering::Relaxed);
        if self.joined == self.connections.len() {
            self.shared.tell(Event::Joined);
        }
    }

    /// A connection leaves by plan: drops at once, or, `politely`, after a close frame.
    pub(super) fn leave(&mut self, local: usize, politely: bool) {
        let mask = self.next_mask();
        let connection = &mut self.connections[local];
        connection.dropping = false;
        if politely {
            connection.write(opcode::CLOSE, &1000u16.to_be_bytes(), mask);
            connection.flush(local as u32);
            connection.state = State::Leaving;
        } else {
            self.gone(local);
        }
    }

    /// It has left by plan, and will come back.
    fn gone(&mut self, local: usize) {
        let now_ns = self.shared.now_ns();
        let connection = &mut self.connections[local];
        connection.end();
        connection.state = State::New;
        connection.left_ns = Some(now_ns);
        // Answers that did not come before it left will not come after.
        connection.answered = connection.number;
        self.tally.totals.counts.left += 1;
        self.tally.ledger.leave(local);
        self.unrest.comes_back(local, now_ns);
    }

    /// A connection has ended, with a close frame or without (1006).
    pub(super) fn over(&mut self, local: usize, code: u16, reason: String) {
        let connection = &mut self.connections[local];
        match connection.state {
            State::Over | State::New => return,
            State::Leaving => return self.gone(local),
            _ => {}
        }
        let before = std::mem::replace(&mut connection.state, State::Over);
        connection.end();
        if before != State::Open {
            self.opening -= 1;
        }
        if self.phase == Phase::Close {
            return;
        }
        if before != State::Open && self.phase == Phase::Join {
            let what = match code {
                1006 => reason,
                _ => format!(
                    "the server closed connection {} before it had joined: {code} {reason}",
                    self.global(local)
                ),
            };
            return self.fail(what);
        }
        let shed = code == SLOW || code == 1006 && self.unrest.is_slow(local);
        self.tally.closed(code, reason, shed);
        self.lost += 1;
        if shed {
            self.shed.insert(local);
        }
        let waited = std::mem::take(&mut self.connections[local].waiting).len();
        self.waiting -= waited;
        if !shed && !self.is_closed_loop() {
            self.tally.totals.counts.unsent += waited as u64;
        }
    }
}
