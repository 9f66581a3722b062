//! One thread of the generator: its connections, driven by the server's own dispatcher.
//!
//! Owns what happens in a turn: due messages first, then a bounded number of reads, so that a
//! flood of deliveries does not delay a message that is due. Never decides when a phase begins:
//! that is the coordinator's (`run.rs`).

use crate::connection::{Connection, State};
use crate::frame::{self, opcode};
use crate::options::{Load, Plan};
use crate::schedule::Schedule;
use crate::shared::{Event, Phase, Shared};
use crate::stats::{Tally, ThreadStats, Window};
use crate::text::Marker;
use crate::usage::Usage;
use crate::wire::{self, Seen, Wire};
use hdrhistogram::CreationError;
use ringchat::net::dispatcher::{Handler, Turn};
use ringchat::net::ring::{self, Kind, Op, Token};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Connections that a thread opens at a time: fewer than any accept queue.
const OPENING_MAX: usize = 64;
/// Completions handled before the clock is looked at again.
const SLICE: usize = 16;
/// Completions handled in a turn.
const TURN_MAX: usize = 128;
/// The thread's read buffer, and so the longest frame, in bytes.
const BUFFER_LEN: usize = 256 * 1024;
/// Reads in a row from a connection that fills the buffer.
const READS_MAX: usize = 4;
/// For the close frames to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const TIMER: Token = Token::new(0, Kind::Timer);

/// A thread's connections: the one with local index `i` is connection `i * threads + thread`.
pub(crate) struct Worker {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    thread: usize,
    wire: Wire,
    connections: Vec<Connection>,
    tally: Tally,
    schedule: Schedule,
    phase: Phase,
    /// The next connection to open.
    opened: usize,
    /// Connections on their way.
    opening: usize,
    joined: usize,
    /// Connections that have ended before the run did.
    lost: usize,
    /// The closed loop's first messages are out.
    begun: bool,
    told_sent: bool,
    failed: bool,
    /// Due times of the messages of this turn, until they are submitted.
    submitted: Vec<u64>,
    timer: Option<Op<Box<ring::Timespec>>>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    mask: u32,
    /// Where the thread's time went, at the begin and at the end of the measured window.
    usage: [Option<Usage>; 2],
    /// Set in [`Phase::Close`]: when to wait no longer.
    close_by: Option<Instant>,
    ended: bool,
}

impl Worker {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        shared: &Arc<Shared>,
        thread: usize,
    ) -> Result<Worker, CreationError> {
        let senders = (thread..plan.senders).step_by(plan.threads).map(|s| s as u32).collect();
        let rate = match plan.load {
            Load::Rate(rate) => rate,
            Load::Closed(_) => 1.0,
        };
        Ok(Worker {
            plan: Arc::clone(plan),
            shared: Arc::clone(shared),
            thread,
            wire: Wire::new(plan),
            connections: (0..plan.share_of(thread)).map(|_| Connection::new()).collect(),
            tally: Tally::new(plan, shared, thread)?,
            schedule: Schedule::new(rate, plan.senders, senders, plan.end_ns()),
            phase: Phase::Join,
            opened: 0,
            opening: 0,
            joined: 0,
            lost: 0,
            begun: false,
            told_sent: false,
            failed: false,
            submitted: Vec::new(),
            timer: None,
            buffer: vec![0; BUFFER_LEN],
            scratch: Vec::new(),
            // Masks protect proxies from browsers (RFC 6455 section 10.3); any odd start will do.
            mask: 0x9E37_79B9 ^ thread as u32,
            usage: [None, None],
            close_by: None,
            ended: false,
        })
    }

    /// The result, after the last turn.
    pub(crate) fn finish(self) -> ThreadStats {
        let mut stats = self.tally.finish(self.thread);
        if let [Some(begin), Some(end)] = self.usage {
            let wall = end.at.saturating_duration_since(begin.at).as_secs_f64();
            let part = |begin: Duration, end: Duration| {
                (wall > 0.0).then(|| end.saturating_sub(begin).as_secs_f64() / wall)
            };
            stats.cpu = part(begin.cpu, end.cpu);
            stats.wait = begin.wait.zip(end.wait).and_then(|(begin, end)| part(begin, end));
        }
        stats
    }

    fn global(&self, local: usize) -> usize {
        local * self.plan.threads + self.thread
    }

    fn next_mask(&mut self) -> u32 {
        // xorshift32
        self.mask ^= self.mask << 13;
        self.mask ^= self.mask >> 17;
        self.mask ^= self.mask << 5;
        self.mask
    }

    fn fail(&mut self, why: String) {
        if !self.failed {
            self.failed = true;
            self.shared.tell(Event::Failed(why));
        }
    }

    // --- phases

    fn follow_phase(&mut self, now: Instant) {
        let phase = self.shared.phase();
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        if phase >= Phase::Run {
            let start = self.shared.start_ns();
            let options = &self.plan.options;
            let from = start.saturating_add(crate::options::nanos(options.warmup));
            let to = start.saturating_add(self.plan.end_ns()).min(self.shared.stop_ns());
            self.tally.window = Window { from, to };
        }
        if phase >= Phase::Stop {
            self.schedule.stop();
        }
        if phase == Phase::Close {
            self.close_by = Some(now + CLOSE_TIMEOUT);
            for local in 0..self.connections.len() {
                let mask = self.next_mask();
                let connection = &mut self.connections[local];
                if connection.state == State::Open {
                    connection.write(opcode::CLOSE, &1000u16.to_be_bytes(), mask);
                    connection.flush(local as u32);
                }
            }
        }
    }

    /// Notes the CPU time at the window's edges, and that all was sent: what is due is sent before
    /// this is called, and no connection means nothing to send.
    fn pass_marks(&mut self, now: Instant, now_ns: u64) {
        let Window { from, to } = self.tally.window;
        if self.phase == Phase::Join {
            return;
        }
        if self.usage[0].is_none() && now_ns >= from {
            self.usage[0] = Some(Usage::at(now));
        }
        if now_ns >= to || self.lost == self.connections.len() {
            if self.usage[1].is_none() {
                self.usage[1] = Some(Usage::at(now));
            }
            if !self.told_sent {
                self.told_sent = true;
                self.shared.tell(Event::Sent);
            }
        }
    }

    fn is_closed_loop(&self) -> bool {
        matches!(self.plan.load, Load::Closed(_))
    }

    /// In [`Phase::Close`]: is all said and done?
    fn closed(&mut self, now: Instant) -> bool {
        let Some(close_by) = self.close_by else { return false };
        let late = now >= close_by;
        if !self.ended && (late || !self.connections.iter().any(Connection::is_sending)) {
            self.ended = true;
            self.connections.iter_mut().for_each(Connection::end);
            self.close_by = Some(now + CLOSE_TIMEOUT);
            return !self.connections.iter().any(Connection::has_operations);
        }
        self.ended && (late || !self.connections.iter().any(Connection::has_operations))
    }

    // --- opening

    fn open_more(&mut self) {
        while self.phase == Phase::Join
            && !self.failed
            && self.opening < OPENING_MAX
            && self.opened < self.connections.len()
        {
            let local = self.opened;
            self.opened += 1;
            self.opening += 1;
            if let Err(error) = self.connections[local].open(local as u32, self.plan.address) {
                let cure = match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE) => ": raise the limit with `ulimit -n`",
                    _ => "",
                };
                self.fail(format!("cannot open socket {}: {error}{cure}", self.opened));
            }
        }
    }

    fn connected(&mut self, token: Token) {
        let local = token.slot() as usize;
        let room = self.plan.room(self.global(local));
        let Some(connection) = self.connections.get_mut(local) else { return };
        match connection.connected(token) {
            None => {}
            Some(Err(error)) => {
                let address = self.plan.address;
                self.fail(format!("cannot connect to {address}: {error}"));
            }
            Some(Ok(_)) if connection.state == State::Connecting => {
                let key = tungstenite::handshake::client::generate_key();
                let request = self.wire.upgrade(room, &key);
                connection.pending.extend_from_slice(request.as_bytes());
                connection.state = State::Upgrading(key);
                connection.poll(local as u32);
                connection.flush(local as u32);
            }
            Some(Ok(_)) => {}
        }
    }

    fn joined(&mut self, local: usize) {
        if self.connections[local].state != State::Joining {
            return;
        }
        self.connections[local].state = State::Open;
        self.opening -= 1;
        self.joined += 1;
        self.shared.progress[self.thread].joined.store(self.joined as u64, Ordering::Relaxed);
        if self.joined == self.connections.len() {
            self.shared.tell(Event::Joined);
        }
    }

    /// A connection has ended, with a close frame or without.
    fn over(&mut self, local: usize, code: u16, reason: String) {
        let connection = &mut self.connections[local];
        let before = std::mem::replace(&mut connection.state, State::Over);
        connection.end();
        match before {
            State::Over => {}
            _ if self.phase == Phase::Close => {}
            State::Open => {
                self.tally.closed(code, reason);
                self.lost += 1;
            }
            _ => self.fail(format!(
                "the server closed connection {local} before it had joined: {code} {reason}"
            )),
        }
    }

    // --- sending

    fn send_due(&mut self, now_ns: u64) {
        if self.phase != Phase::Run {
            return;
        }
        let start = self.shared.start_ns();
        if let Load::Closed(outstanding) = self.plan.load {
            if !self.begun && now_ns >= start {
                self.begun = true;
                for local in 0..self.connections.len() {
                    if self.global(local) < self.plan.senders {
                        (0..outstanding).for_each(|_| self.publish(local, now_ns));
                        self.connections[local].flush(local as u32);
                    }
                }
            }
            return;
        }
        while let Some((due, sender)) = self.schedule.peek()
            && start.saturating_add(due) <= now_ns
        {
            let local = sender as usize / self.plan.threads;
            self.publish(local, start + due);
            self.connections[local].flush(local as u32);
            self.submitted.push(start + due);
            self.schedule.advance();
        }
    }

    /// Queues the next message of a connection.
    fn publish(&mut self, local: usize, due_ns: u64) {
        let sender = self.global(local);
        let mask = self.next_mask();
        let connection = &mut self.connections[local];
        if connection.state != State::Open {
            return;
        }
        let marker = Marker { sender: sender as u32, number: connection.number, due_ns };
        connection.number += 1;
        self.scratch.clear();
        self.wire.publish(&mut self.scratch, self.plan.room(sender), marker);
        connection.write(opcode::TEXT, &self.scratch, mask);
        if let Some(sent) = self.shared.sent.get(sender) {
            sent.store(connection.number, Ordering::Release);
        }
        if self.tally.window.has(due_ns) {
            self.tally.stats.sent_in_window += 1;
        }
    }

    fn sent(&mut self, token: Token) {
        let local = token.slot() as usize;
        let Some(connection) = self.connections.get_mut(local) else { return };
        match connection.sent(token) {
            Some(Ok(())) => connection.flush(token.slot()),
            Some(Err(error)) => self.over(local, 1006, error.to_string()),
            None => {}
        }
    }

    /// Sees to it that the next message that is due has a turn.
    fn arm_timer(&mut self, now_ns: u64) {
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
            let after = Duration::from_nanos(at.saturating_sub(now_ns));
            self.timer = Some(ring::timeout(TIMER, after));
        }
    }

    // --- receiving

    fn readable(&mut self, token: Token) {
        let local = token.slot() as usize;
        let polled = self.connections.get_mut(local).and_then(|c| c.polled(token));
        if polled.is_none() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_MAX {
            let connection = &mut self.connections[local];
            if connection.state == State::Over {
                break;
            }
            let kept = connection.rest.len();
            if kept >= BUFFER_LEN {
                self.over(local, 1009, "a frame longer than 256 KiB".into());
                break;
            }
            buffer[..kept].copy_from_slice(&connection.rest);
            connection.rest.clear();
            match connection.recv(&mut buffer[kept..]) {
                Ok(0) => self.over(local, 1006, "ended without a close frame".into()),
                Ok(n) => {
                    let filled = kept + n;
                    let used = self.take_in(local, &buffer[..filled]);
                    self.connections[local].rest.extend_from_slice(&buffer[used..filled]);
                    if filled == BUFFER_LEN {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connections[local].rest.extend_from_slice(&buffer[..kept]);
                }
                Err(error) => self.over(local, 1006, error.to_string()),
            }
            break;
        }
        self.buffer = buffer;
        let connection = &mut self.connections[local];
        connection.poll(local as u32);
        connection.flush(local as u32);
    }

    /// Handles the whole frames in `bytes`; how many bytes that took.
    fn take_in(&mut self, local: usize, bytes: &[u8]) -> usize {
        let now_ns = self.shared.now_ns();
        let mut used = 0;
        if let State::Upgrading(key) = &self.connections[local].state {
            match wire::answer(bytes, key) {
                Ok(None) => return 0,
                Ok(Some(len)) => used = len,
                Err(why) => {
                    self.connections[local].end();
                    self.fail(why);
                    return bytes.len();
                }
            }
            self.upgraded(local);
        }
        while self.connections[local].state != State::Over {
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

    fn upgraded(&mut self, local: usize) {
        let room = self.plan.room(self.global(local));
        let mask = self.next_mask();
        self.connections[local].state = State::Joining;
        match self.wire.join(room) {
            Some(commands) => {
                self.connections[local].write(opcode::TEXT, commands.as_bytes(), mask);
            }
            None => self.joined(local),
        }
    }

    #[inline]
    fn frame(&mut self, local: usize, frame: &frame::Frame<'_>, now_ns: u64) {
        let connection = &mut self.connections[local];
        match (frame.opcode, frame.last) {
            (opcode::TEXT, true) => self.text(local, frame.payload, now_ns),
            (opcode::TEXT, false) | (opcode::CONTINUATION, _) => {
                connection.fragments.extend_from_slice(frame.payload);
                if connection.fragments.len() > BUFFER_LEN {
                    self.over(local, 1009, "a message longer than 256 KiB".into());
                } else if frame.last {
                    let message = std::mem::take(&mut connection.fragments);
                    self.text(local, &message, now_ns);
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
            _ => self.tally.corrupt(b"a binary frame"),
        }
    }

    /// One text message of the server.
    #[inline]
    fn text(&mut self, local: usize, payload: &[u8], now_ns: u64) {
        let me = self.global(local);
        let room = self.plan.room(me) as u32;
        let tally = &mut self.tally;
        let (mut own, mut pings, mut joined, mut refused) = (0u32, 0u32, false, None);
        self.wire.scan(payload, |seen| match seen {
            Seen::Delivery(marker) => {
                let new = tally.delivery(local, room, marker, now_ns);
                own += u32::from(new && marker.sender as usize == me);
            }
            Seen::Accepted => tally.stats.accepted += 1,
            Seen::Ping => pings += 1,
            Seen::Joined => joined = true,
            Seen::Refused(line) => {
                tally.refused(room, line);
                refused = Some(line);
            }
            Seen::Corrupt(line) => tally.corrupt(line),
        });
        if joined {
            self.joined(local);
        }
        if let Some(line) = refused
            && self.connections[local].state == State::Joining
        {
            let line = String::from_utf8_lossy(line);
            self.fail(format!("the server refused the join: {line}"));
        }
        for _ in 0..pings {
            let mask = self.next_mask();
            let pong = self.wire.pong();
            self.connections[local].write(opcode::TEXT, pong, mask);
        }
        if own > 0
            && self.is_closed_loop()
            && self.phase == Phase::Run
            && now_ns < self.tally.window.to
        {
            (0..own).for_each(|_| self.publish(local, now_ns));
        }
    }

    /// Tells how far this thread is, after the turn's work.
    fn publish_progress(&self) {
        let progress = &self.shared.progress[self.thread];
        progress.delivered.store(self.tally.ledger.counts.delivered, Ordering::Relaxed);
        let answered = self.tally.stats.accepted + self.tally.stats.refused;
        progress.answered.store(answered, Ordering::Relaxed);
        progress.closed.store(self.lost as u64, Ordering::Relaxed);
        progress.waived.store(self.tally.stats.waived, Ordering::Relaxed);
    }
}

impl Handler for Worker {
    fn turn(&mut self, ready: &mut Vec<Token>, now: Instant) -> Turn {
        self.follow_phase(now);
        let now_ns = self.shared.ns(now);
        self.send_due(now_ns);
        self.pass_marks(now, now_ns);
        let taken = ready.len().min(TURN_MAX);
        for (at, token) in ready.drain(..taken).enumerate() {
            match token.kind() {
                Kind::Readable => self.readable(token),
                Kind::Send => self.sent(token),
                Kind::Connect => self.connected(token),
                Kind::Timer => {
                    if self.timer.as_mut().is_some_and(|timer| timer.take(TIMER).is_some()) {
                        self.timer = None;
                    }
                }
                Kind::Accept | Kind::Kick => {}
            }
            if at % SLICE == SLICE - 1 {
                self.send_due(self.shared.now_ns());
            }
        }
        self.open_more();
        let end_ns = self.shared.now_ns();
        self.send_due(end_ns);
        for due_ns in self.submitted.drain(..) {
            if self.tally.window.has(due_ns) {
                self.tally.stats.lag.saturating_record(end_ns.saturating_sub(due_ns));
            }
        }
        self.arm_timer(end_ns);
        self.publish_progress();
        if self.closed(now) { Turn::Done } else { Turn::Park }
    }

    fn deadline(&self) -> Option<Instant> {
        let mark = match (self.phase, &self.usage) {
            (Phase::Join, _) => return None,
            (Phase::Close, _) => return self.close_by,
            (_, [None, _]) => self.tally.window.from,
            (_, [_, None]) => self.tally.window.to,
            _ => return None,
        };
        Some(self.shared.origin + Duration::from_nanos(mark))
    }

    fn has_work(&self) -> bool {
        self.shared.phase() != self.phase
    }
}
