//! What comes: bytes, frames, what is in them.

use super::{BUFFER_LEN, Worker};
use crate::connection::State;
use crate::dialect::{Position, Refused, Seen};
use crate::frame::{self, Frame, opcode};
use crate::shared::{Event, Phase};
use crate::tally::Delivery;
use ringchat::net::ring::Token;
use std::io;

/// Reads in a row from a connection that fills the buffer.
const READS_MAX: usize = 4;

impl Worker {
    pub(super) fn readable(&mut self, token: Token) {
        let local = token.slot() as usize;
        let polled = self.connections.get_mut(local).and_then(|c| c.polled(token));
        // A slow reader reads at its own pace while the run lasts.
        if polled.is_none() || self.is_paced(local) {
            return;
        }
        self.read(local, BUFFER_LEN);
        let connection = &mut self.connections[local];
        connection.poll(local as u32);
        connection.flush(local as u32);
    }

    pub(super) fn is_paced(&self, local: usize) -> bool {
        self.phase == Phase::Run
            && self.unrest.is_slow(local)
            && self.connections[local].state == State::Open
    }

    /// Reads and handles what is there, at most `limit` bytes at a time.
    pub(super) fn read(&mut self, local: usize, limit: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_MAX {
            let connection = &mut self.connections[local];
            if matches!(connection.state, State::Over | State::New) {
                break;
            }
            let kept = connection.rest.len();
            if kept >= BUFFER_LEN {
                self.over(local, 1009, "a frame longer than 256 KiB".into());
                break;
            }
            let tls = connection.has_tls();
            // Unfinished bytes stand before the new ones; with TLS they wait deciphered.
            let before = if tls { 0 } else { kept };
            buffer[..before].copy_from_slice(&connection.rest[..before]);
            let room = (BUFFER_LEN - before).min(limit);
            match connection.recv(&mut buffer[before..before + room]) {
                Ok(0) => self.over(local, 1006, "ended without a close frame".into()),
                Ok(n) if tls => {
                    if let Err(why) = self.connections[local].decipher(&buffer[..n]) {
                        self.over(local, 1006, why);
                        break;
                    }
                    let mut plain = std::mem::take(&mut self.connections[local].rest);
                    let used = self.take_in(local, &plain);
                    plain.drain(..used);
                    self.connections[local].rest = plain;
                    if n == room && limit == BUFFER_LEN {
                        continue;
                    }
                }
                Ok(n) => {
                    self.connections[local].rest.clear();
                    let filled = before + n;
                    let used = self.take_in(local, &buffer[..filled]);
                    self.connections[local].rest.extend_from_slice(&buffer[used..filled]);
                    if filled == BUFFER_LEN {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.over(local, 1006, error.to_string()),
            }
            break;
        }
        self.buffer = buffer;
    }

    /// Handles the whole frames in `bytes`; how many bytes that took.
    fn take_in(&mut self, local: usize, bytes: &[u8]) -> usize {
        let now_ns = self.shared.now_ns();
        let mut used = 0;
        if let State::Upgrading(key) = &self.connections[local].state {
            let key = key.clone();
            used = self.take_answer(local, bytes, &key);
            if used == 0 {
                return 0;
            }
        }
        while !matches!(self.connections[local].state, State::Over | State::New) {
            match frame::read(&bytes[used..]) {
                Ok(Some(frame)) => {
                    used += frame.len;
                    self.frame(local, &frame, now_ns);
                }
                Ok(None) => return used,
                Err(frame::NotAFrame) => self.over(local, 1002, "not a server's frame".into()),
            }
        }
        bytes.len()
    }

    #[inline]
    fn frame(&mut self, local: usize, frame: &Frame<'_>, now_ns: u64) {
        let connection = &mut self.connections[local];
        match (frame.opcode, frame.last) {
            (opcode::TEXT | opcode::BINARY, true) => {
                self.message(local, frame.payload, frame.opcode == opcode::BINARY, now_ns);
            }
            (opcode::TEXT | opcode::BINARY, false) | (opcode::CONTINUATION, _) => {
                if frame.opcode != opcode::CONTINUATION {
                    connection.binary = frame.opcode == opcode::BINARY;
                }
                connection.fragments.extend_from_slice(frame.payload);
                if connection.fragments.len() > BUFFER_LEN {
                    self.over(local, 1009, "a message longer than 256 KiB".into());
                } else if frame.last {
                    let (message, binary) =
                        (std::mem::take(&mut connection.fragments), connection.binary);
                    self.message(local, &message, binary, now_ns);
                }
            }
            (opcode::PING, _) => {
                let mask = self.next_mask();
                self.connections[local].write(opcode::PONG, frame.payload, mask);
            }
            (opcode::PONG, _) => {}
            (opcode::CLOSE, _) => {
                let (code, reason) = match frame.payload {
                    [a, b, reason @ ..] => {
                        (u16::from_be_bytes([*a, *b]), String::from_utf8_lossy(reason).into())
                    }
                    _ => (1005, String::new()),
                };
                self.over(local, code, reason);
            }
            _ => self.tally.corrupt(local, b"a frame of an unknown kind"),
        }
    }

    /// One message of the server.
    #[inline]
    fn message(&mut self, local: usize, payload: &[u8], binary: bool, now_ns: u64) {
        let me = self.global(local);
        let slow = self.unrest.is_slow(local);
        let Worker { wire, tally, connections, unrest, shared, .. } = self;
        let connection = &mut connections[local];
        let (mut own, mut pings, mut joined, mut refused) = (0u32, 0u32, None, None);
        wire.scan(payload, binary, |seen| match seen {
            Seen::Delivery { marker, offset, recovered } => {
                let delivery = Delivery { marker, local, recovered, slow, now_ns };
                let new = tally.delivery(delivery);
                own += u32::from(new && marker.sender as usize == me);
                if let Some(position) = &mut connection.position {
                    position.offset = position.offset.max(offset);
                }
            }
            Seen::Accepted { .. } => connection.answered += 1,
            Seen::Answered { id } => unrest.answered(id, now_ns, &mut tally.totals),
            Seen::Ping => pings += 1,
            Seen::Joined { recovered, position } => {
                if connection.state == State::Joining && joined.is_none() {
                    if connection.left_ns.is_some() {
                        // A server that was asked and does not say so has not recovered anything.
                        let asked = connection.position.is_some();
                        tally.rejoined(local, recovered.or(asked.then_some(false)));
                    }
                    joined = Some(position.map(|(epoch, offset)| Position {
                        epoch: String::from_utf8_lossy(epoch).into(),
                        offset,
                    }));
                }
            }
            Seen::Refused { what, line, .. } => match what {
                Refused::Join => refused = Some(String::from_utf8_lossy(line).into_owned()),
                Refused::Publish { number } => {
                    connection.answered += 1;
                    own += 1;
                    tally.refused(local, "a message", line);
                    shared.tell(Event::Refused(me as u32, number));
                }
                Refused::Request { id } => {
                    unrest.forget(id);
                    tally.refused(local, "a request", line);
                }
            },
            Seen::Corrupt(line) => tally.corrupt(local, line),
        });
        if let Some(position) = joined {
            self.joined(local, position);
        }
        if let Some(line) = refused {
            self.over(local, 1006, format!("the server refused the join: {line}"));
        }
        for _ in 0..pings {
            let mask = self.next_mask();
            self.scratch.clear();
            self.wire.pong(&mut self.scratch);
            self.connections[local].write(self.wire.opcode(), &self.scratch, mask);
        }
        if own > 0 && self.is_closed_loop() && self.phase == Phase::Run && self.is_sender(local) {
            let goes_on = now_ns < self.tally.window.to;
            for _ in 0..if goes_on { own } else { 0 } {
                self.due(local, now_ns, now_ns);
            }
        }
    }
}
