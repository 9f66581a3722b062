//! What a chat asks of the kernel under the load of the generator: `recv` of what was said, a `send`
//! to each member, and between them only what no relay can leave out.
//!
//! ```text
//!   a turn:  recv from each that has something  -->  unmask, append to the bytes of its room
//!            -->  one send of the room's bytes to each of its members
//! ```
//!
//! The path is the room. A text goes to everybody in its room, the sender too, as it came. It
//! blocks where a socket's buffer is full. The CPU time of its sends is counted by itself:
//! `GET /metrics` says what a bare `send` loop costs to the same receiver under the same load.
//! Tests: `tests/floor.rs`, against the program.

use crate::bare::{Service, Sockets, send_all, upgrade};
use crate::system;
use bytes::BytesMut;
use ringchat::ws::codec::{Decoder, Message, text_frame};
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::time::Duration;

/// Bytes of the longest text.
const MESSAGE_MAX: u32 = 1 << 20;

/// All rooms.
#[derive(Default)]
pub(crate) struct Relay {
    /// By the number of their connection; none: it has not been upgraded.
    members: Vec<Option<Member>>,
    rooms: Vec<Room>,
    names: HashMap<String, usize>,
    /// Rooms in which something was said in this turn.
    spoken: Vec<usize>,
    counts: Counts,
}

/// Somebody in a room.
struct Member {
    room: usize,
    decoder: Decoder,
}

/// Who hears each other, and what this turn sends to them.
#[derive(Default)]
struct Room {
    members: Vec<usize>,
    out: BytesMut,
    messages: u64,
}

/// What was done so far.
#[derive(Default)]
struct Counts {
    deliveries: u64,
    sends: u64,
    sent_bytes: u64,
    turns: u64,
    /// CPU time of the sends.
    sending: Duration,
}

impl Service for Relay {
    fn hear(&mut self, number: usize, socket: &OwnedFd, came: &mut [u8]) -> bool {
        if came.starts_with(b"GET /metrics ") {
            send_all(socket, self.counts.page().as_bytes());
            return false;
        }
        if self.members.len() <= number {
            self.members.resize_with(number + 1, || None);
        }
        match self.members.get_mut(number) {
            Some(Some(member)) => {
                let Some(room) = self.rooms.get_mut(member.room) else { return false };
                let was_silent = room.messages == 0;
                let lasts = member.listen(came, room);
                if was_silent && room.messages > 0 {
                    self.spoken.push(member.room);
                }
                if !lasts {
                    self.leave(number);
                }
                lasts
            }
            _ => upgrade(came).is_some_and(|(path, answer)| {
                self.join(number, path);
                send_all(socket, answer.as_bytes())
            }),
        }
    }

    fn end_turn(&mut self, sockets: &Sockets) {
        if self.spoken.is_empty() {
            return;
        }
        let before = system::thread_cpu();
        for room in self.spoken.drain(..) {
            let Some(room) = self.rooms.get_mut(room) else { continue };
            let members = room.members.len() as u64;
            for member in &room.members {
                if let Some(Some(socket)) = sockets.get(*member) {
                    // Who is gone is noticed when it is read from.
                    send_all(socket, &room.out);
                }
            }
            self.counts.deliveries += members * room.messages;
            self.counts.sends += members;
            self.counts.sent_bytes += members * room.out.len() as u64;
            room.out.clear();
            room.messages = 0;
        }
        self.counts.turns += 1;
        self.counts.sending += system::thread_cpu().saturating_sub(before);
    }
}

impl Relay {
    fn join(&mut self, number: usize, path: &str) {
        let next = self.rooms.len();
        let room = *self.names.entry(path.to_owned()).or_insert(next);
        if room == next {
            self.rooms.push(Room::default());
        }
        if let Some(room) = self.rooms.get_mut(room) {
            room.members.push(number);
        }
        if let Some(place) = self.members.get_mut(number) {
            *place = Some(Member { room, decoder: Decoder::server(MESSAGE_MAX) });
        }
    }

    fn leave(&mut self, number: usize) {
        let member = self.members.get_mut(number).and_then(Option::take);
        if let Some(room) = member.and_then(|member| self.rooms.get_mut(member.room)) {
            room.members.retain(|other| *other != number);
        }
    }
}

impl Member {
    /// Its texts go to the room. False: it closes, or breaks the protocol.
    fn listen(&mut self, came: &mut [u8], room: &mut Room) -> bool {
        let mut feed = self.decoder.feed(came);
        loop {
            match feed.next() {
                Ok(Some(Message::Text(text))) => {
                    text_frame(&mut room.out, text.as_bytes());
                    room.messages += 1;
                }
                Ok(Some(Message::Close(_))) | Err(_) => return false,
                Ok(Some(_)) => {}
                Ok(None) => return true,
            }
        }
    }
}

impl Counts {
    /// The answer to `GET /metrics`.
    fn page(&self) -> String {
        let Counts { deliveries, sends, sent_bytes, turns, sending } = self;
        let sending = sending.as_secs_f64();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
             relay_deliveries_total {deliveries}\nrelay_sends_total {sends}\n\
             relay_sent_bytes_total {sent_bytes}\nrelay_turns_total {turns}\n\
             relay_sending_cpu_seconds_total {sending}\n"
        )
    }
}
