//! What is due: messages of the open loop at their time, of the closed loop when one is back.

use super::{TIMER, Worker};
use crate::connection::State;
use crate::report::Load;
use crate::shared::Phase;
use crate::text::Marker;
use ringchat::net::ring::{self, Token};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Messages that waited are put together in one send up to so many bytes.
const TOGETHER_MAX: usize = 64 * 1024;

impl Worker {
    pub(super) fn send_due(&mut self, now_ns: u64) {
        if self.phase != Phase::Run {
            return;
        }
        let start = self.shared.start_ns();
        if let Load::Closed(outstanding) = self.plan.load {
            if !self.begun && now_ns >= start {
                self.begun = true;
                for local in 0..self.connections.len() {
                    if self.is_sender(local) {
                        for _ in 0..outstanding {
                            self.due(local, now_ns, now_ns);
                        }
                        self.connections[local].flush(local as u32);
                    }
                }
            }
            return;
        }
        while let Some((due, sender)) = self.schedule.peek()
            && start.saturating_add(due) <= now_ns
        {
            let local = sender as usize / self.shards;
            if self.due(local, start + due, now_ns) {
                self.connections[local].flush(local as u32);
                self.submitted.push(start + due);
            }
            self.schedule.advance();
        }
    }

    /// A message of a connection is due: queued as a frame if the connection is free, else it
    /// waits. Was it queued?
    pub(super) fn due(&mut self, local: usize, due_ns: u64, now_ns: u64) -> bool {
        let connection = &mut self.connections[local];
        if connection.state == State::Over {
            if !self.shed.contains(&local) {
                self.tally.totals.counts.unsent += 1;
            }
            return false;
        }
        let free = connection.state == State::Open
            && !connection.is_sending()
            && !connection.dropping
            && connection.waiting.is_empty();
        if free {
            self.publish(local, due_ns, now_ns);
        } else {
            connection.waiting.push_back(due_ns);
            self.waiting += 1;
            // In a closed loop nothing is due before the connection is free.
            if !self.is_closed_loop() {
                self.tally.totals.counts.held_back += 1;
            }
        }
        free
    }

    /// The connection is free: what waited goes, as much as one send should carry.
    pub(super) fn pump(&mut self, local: usize) {
        let connection = &self.connections[local];
        if connection.waiting.is_empty()
            || connection.state != State::Open
            || connection.is_sending()
            || connection.dropping
        {
            return;
        }
        let now_ns = self.shared.now_ns();
        while self.connections[local].queued() < TOGETHER_MAX
            && let Some(due_ns) = self.connections[local].waiting.pop_front()
        {
            self.waiting -= 1;
            self.publish(local, due_ns, now_ns);
        }
    }

    /// Queues the next message of a connection.
    fn publish(&mut self, local: usize, due_ns: u64, now_ns: u64) {
        let sender = self.global(local);
        let room = self.plan.layout.room_of(sender);
        let mask = self.next_mask();
        let connection = &mut self.connections[local];
        let number = connection.number;
        connection.number += 1;
        let marker = Marker { sender: sender as u32, number, due_ns, sent_ns: now_ns.max(due_ns) };
        self.scratch.clear();
        self.wire.publish(&mut self.scratch, sender, room, marker);
        connection.write(self.wire.opcode(), &self.scratch, mask);
        if let Some(sent) = self.shared.sent.get(sender) {
            sent.store(connection.number, Ordering::Release);
        }
        self.tally.sent(now_ns);
    }

    /// Sending is over: what waits is not sent any more.
    pub(super) fn give_up_waiting(&mut self) {
        // After Ctrl-C nobody misses them; at the run's end the server did not take them.
        let in_full = self.shared.stop_ns() >= self.shared.start_ns() + self.plan.end_ns();
        let counts = in_full && !self.is_closed_loop();
        for (local, connection) in self.connections.iter_mut().enumerate() {
            if counts && !self.shed.contains(&local) {
                self.tally.totals.counts.unsent += connection.waiting.len() as u64;
            }
            connection.waiting.clear();
        }
        self.waiting = 0;
    }

    pub(super) fn sent(&mut self, token: Token) {
        let local = token.slot() as usize;
        let Some(connection) = self.connections.get_mut(local) else { return };
        match connection.sent(token) {
            Some(Ok(())) => {
                self.pump(local);
                self.connections[local].flush(token.slot());
            }
            Some(Err(error)) => self.over(local, 1006, error.to_string()),
            None => {}
        }
    }

    /// Sees to it that the next message that is due has a turn.
    pub(super) fn arm_timer(&mut self, now_ns: u64) {
        if self.timer.is_some() || self.phase != Phase::Run {
            return;
        }
        let start = self.shared.start_ns();
        let next = match self.plan.load {
            Load::Closed(_) if self.begun => None,
            Load::Closed(_) => Some(start),
            Load::Rate(_) => self.schedule.peek().map(|(due, _)| start.saturating_add(due)),
        };
        if let Some(at) = next {
            let after = Duration::from_nanos(at.saturating_sub(now_ns)).into();
            let memory = match self.timer_memory.take() {
                Some(mut memory) => {
                    *memory = after;
                    memory
                }
                None => Box::new(after),
            };
            self.timer = Some(ring::timeout(TIMER, memory));
        }
    }
}
