//! One thread of the generator: its connections, driven by the server's own dispatcher.
//!
//! Owns what happens in a turn: due messages first, then a bounded number of reads, so that a
//! flood of deliveries does not delay a message that is due. Never decides when a phase begins:
//! that is the leader's (`lead.rs`). `opening.rs`: connect, upgrade, join, the end of a
//! connection; `sending.rs`: what is due; `receiving.rs`: what comes; `unrest.rs`: churn, storms,
//! slow readers, requests.

mod opening;
mod receiving;
mod sending;
mod unrest;

use crate::connection::{Connection, State};
use crate::dialect::{OutFrame, Wire};
use crate::frame::opcode;
use crate::plan::{Plan, nanos};
use crate::record::Totals;
use crate::report::Load;
use crate::schedule::Schedule;
use crate::shared::{Event, Phase, Shared};
use crate::system::{Usage, thread_usage};
use crate::tally::{Tally, Window};
use crate::tls::Tls;
use ringchat::net::dispatcher::{Handler, Turn};
use ringchat::net::ring::{Kind, Op, Timespec, Token};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use unrest::Unrest;

/// Completions handled before the clock is looked at again.
const SLICE: usize = 16;
/// Completions handled in a turn.
const TURN_MAX: usize = 128;
/// The thread's read buffer, and so the longest frame, in bytes.
const BUFFER_LEN: usize = 256 * 1024;
/// For the close frames to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often what is owed is counted, while it drains; ten times as long as the counting takes, if
/// that is more.
const COUNT_EVERY_NS: u64 = 20_000_000;

const TIMER: Token = Token::new(0, Kind::Timer);

/// A thread's connections: the one with local index `i` is connection `i * shards + shard`.
pub(crate) struct Worker {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    /// Of this process.
    thread: usize,
    shard: usize,
    shards: usize,
    wire: Wire,
    tls: Option<Arc<rustls::ClientConfig>>,
    connections: Vec<Connection>,
    tally: Tally,
    schedule: Schedule,
    unrest: Unrest,
    phase: Phase,
    /// The next connection to open for the first time.
    opened: usize,
    /// Connections on their way, for the first time or again.
    opening: usize,
    joined: usize,
    /// Connections that have ended for good before the run did.
    lost: usize,
    /// Of these, the ones that the server shed.
    shed: BTreeSet<usize>,
    /// Messages that are due and wait for their connection.
    waiting: usize,
    /// The closed loop's first messages are out.
    begun: bool,
    told_sent: bool,
    failed: bool,
    /// Due times of the messages of this turn, until they are submitted.
    submitted: Vec<u64>,
    timer: Option<Op<Box<Timespec>>>,
    timer_memory: Option<Box<Timespec>>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    frames: Vec<OutFrame>,
    mask: u32,
    /// Where the thread's time went, at the begin and at the end of the measured window.
    usage: [Option<(Instant, Usage)>; 2],
    /// In [`Phase::Drain`]: when to count again what is owed.
    count_at_ns: u64,
    /// In [`Phase::Close`]: when to wait no longer.
    close_by: Option<Instant>,
    ended: bool,
}

impl Worker {
    /// `thread`: its number in this process.
    pub(crate) fn new(
        plan: &Arc<Plan>,
        shared: &Arc<Shared>,
        thread: usize,
    ) -> Result<Worker, String> {
        let shards = plan.shards();
        let shard = shared.process * plan.threads + thread;
        let senders = plan.layout.senders();
        let mine = (shard..senders).step_by(shards).map(|s| s as u32).collect();
        let rate = match plan.load {
            Load::Rate(rate) => rate,
            Load::Closed(_) => 1.0,
        };
        let options = &plan.options;
        let seed = options.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(shard as u64);
        let has_tls = plan.servers.iter().any(|server| server.tls_name.is_some());
        let tls = has_tls.then(|| Tls::config(options.ca.as_deref())).transpose()?;
        let count = plan.layout.share(shard, shards);
        Ok(Worker {
            thread,
            shard,
            shards,
            wire: Wire::new(options.into()),
            tls,
            connections: (0..count).map(|_| Connection::new()).collect(),
            tally: Tally::new(plan, shared, shard),
            schedule: Schedule::new(options.arrivals, rate, senders, mine, seed, plan.end_ns()),
            unrest: Unrest::new(plan, shard),
            phase: Phase::Join,
            opened: 0,
            opening: 0,
            joined: 0,
            lost: 0,
            shed: BTreeSet::new(),
            waiting: 0,
            begun: false,
            told_sent: false,
            failed: false,
            submitted: Vec::new(),
            timer: None,
            timer_memory: None,
            buffer: vec![0; BUFFER_LEN],
            scratch: Vec::new(),
            frames: Vec::new(),
            // Masks protect proxies from browsers (RFC 6455 section 10.3); any odd start will do.
            mask: 0x9E37_79B9 ^ (shard as u32) << 1,
            usage: [None, None],
            count_at_ns: 0,
            close_by: None,
            ended: false,
            plan: Arc::clone(plan),
            shared: Arc::clone(shared),
        })
    }

    /// The result, after the last turn.
    pub(crate) fn finish(self) -> Totals {
        let unanswered = self.unanswered(|_| true);
        let Worker { tally, shed, shared, usage, unrest, .. } = self;
        let mut totals = tally.finish(shared.now_ns(), |local| shed.contains(&local));
        totals.counts.unanswered = unanswered + unrest.open_requests();
        if let [Some((begin_at, begin)), Some((end_at, end))] = usage {
            let wall = end_at.saturating_duration_since(begin_at).as_secs_f64();
            let part = |begin: Duration, end: Duration| {
                (wall > 0.0).then(|| end.saturating_sub(begin).as_secs_f64() / wall)
            };
            totals.cpu = part(begin.cpu, end.cpu);
            totals.wait = begin.wait.zip(end.wait).and_then(|(begin, end)| part(begin, end));
            totals.cpu_ns = nanos(end.cpu.saturating_sub(begin.cpu));
        }
        totals
    }

    fn global(&self, local: usize) -> usize {
        local * self.shards + self.shard
    }

    fn is_sender(&self, local: usize) -> bool {
        self.global(local) < self.plan.layout.senders()
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
        let before = std::mem::replace(&mut self.phase, phase);
        if phase >= Phase::Run && self.shared.start_ns() != u64::MAX {
            let start = self.shared.start_ns();
            let from = start.saturating_add(nanos(self.plan.options.warmup));
            let to = start.saturating_add(self.plan.end_ns()).min(self.shared.stop_ns());
            self.tally.measure(Window { from: from.min(to), to });
            self.unrest.begin(from, to);
        }
        if phase >= Phase::Stop && before < Phase::Stop {
            self.schedule.stop();
            self.give_up_waiting();
            self.unrest.end();
            for local in 0..self.connections.len() {
                if self.unrest.is_slow(local) {
                    self.connections[local].poll(local as u32);
                }
            }
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
            self.usage[0] = Some((now, thread_usage()));
        }
        let gone = self.lost == self.connections.len();
        if now_ns >= to || gone {
            if self.usage[1].is_none() {
                self.usage[1] = Some((now, thread_usage()));
            }
            if !self.told_sent && (self.waiting == 0 || gone) {
                self.told_sent = true;
                let count = self.connections.len();
                let senders = (0..count).map(|l| (l, self.global(l)));
                let senders = senders.take_while(|(_, at)| *at < self.plan.layout.senders());
                let sent = senders.map(|(l, at)| (at as u32, self.connections[l].number));
                self.shared.tell(Event::Sent(sent.collect()));
            }
        }
    }

    fn is_closed_loop(&self) -> bool {
        matches!(self.plan.load, Load::Closed(_))
    }

    /// Messages without an answer, of connections that `wanted` says count.
    fn unanswered(&self, wanted: impl Fn(&Connection) -> bool) -> u64 {
        if !self.wire.accepts() {
            return 0;
        }
        let connections = self.connections.iter().enumerate();
        let counted = connections.filter(|(l, c)| wanted(c) && !self.shed.contains(l));
        counted.map(|(_, c)| u64::from(c.number.saturating_sub(c.answered))).sum()
    }

    /// In [`Phase::Drain`]: counts what is still to come on connections that live.
    fn count_outstanding(&mut self, now_ns: u64) {
        if self.phase != Phase::Drain || now_ns < self.count_at_ns {
            return;
        }
        let mut outstanding = self.unanswered(|c| c.state != State::Over);
        outstanding += self.unrest.open_requests();
        for (local, connection) in self.connections.iter().enumerate() {
            if connection.state == State::Over {
                continue;
            }
            outstanding += u64::from(connection.left_ns.is_some());
            outstanding += self.tally.missing(local, |_, _| ());
        }
        self.shared.progress[self.thread].outstanding.store(outstanding, Ordering::Release);
        let took_ns = self.shared.now_ns().saturating_sub(now_ns);
        self.count_at_ns = now_ns + COUNT_EVERY_NS.max(10 * took_ns);
    }

    /// In [`Phase::Close`]: is all said and done?
    fn closed(&mut self, now: Instant) -> bool {
        let Some(close_by) = self.close_by else { return false };
        let late = now >= close_by;
        if !self.ended && (late || !self.connections.iter().any(Connection::is_sending)) {
            self.ended = true;
            for connection in &mut self.connections {
                connection.state = State::Over;
                connection.end();
            }
            self.close_by = Some(now + CLOSE_TIMEOUT);
            return !self.connections.iter().any(Connection::has_operations);
        }
        self.ended && (late || !self.connections.iter().any(Connection::has_operations))
    }

    /// Tells how far this thread is, after the turn's work.
    fn publish_progress(&self) {
        let progress = &self.shared.progress[self.thread];
        progress.delivered.store(self.tally.ledger.delivered, Ordering::Relaxed);
    }
}

impl Handler for Worker {
    fn turn(&mut self, ready: &mut Vec<Token>, now: Instant) -> Turn {
        self.follow_phase(now);
        let now_ns = self.shared.ns(now);
        self.tally.tick(now_ns);
        self.send_due(now_ns);
        self.make_unrest(now_ns);
        self.pass_marks(now, now_ns);
        let taken = ready.len().min(TURN_MAX);
        for (at, token) in ready.drain(..taken).enumerate() {
            match token.kind() {
                Kind::Readable => self.readable(token),
                Kind::Send => self.sent(token),
                Kind::Connect => self.connected(token),
                Kind::Timer => {
                    if let Some((_, memory)) = self.timer.as_mut().and_then(|t| t.take(TIMER)) {
                        (self.timer, self.timer_memory) = (None, Some(memory));
                    }
                }
                Kind::Accept | Kind::Kick => {}
            }
            if at % SLICE == SLICE - 1 {
                self.send_due(self.shared.now_ns());
            }
        }
        self.open_more(now_ns);
        let end_ns = self.shared.now_ns();
        self.send_due(end_ns);
        for due_ns in self.submitted.drain(..) {
            if self.tally.window.has(due_ns) {
                self.tally.totals.lag.record(end_ns.saturating_sub(due_ns));
            }
        }
        self.arm_timer(end_ns);
        self.count_outstanding(end_ns);
        self.publish_progress();
        if self.closed(now) { Turn::Done } else { Turn::Park }
    }

    fn deadline(&self) -> Option<Instant> {
        let mark = match (self.phase, &self.usage) {
            (Phase::Close, _) => return self.close_by,
            (Phase::Join, _) => self.next_open_ns(),
            (_, [None, _]) => Some(self.tally.window.from),
            (_, [_, None]) => Some(self.tally.window.to),
            _ => None,
        };
        let count = (self.phase == Phase::Drain).then_some(self.count_at_ns);
        let next = [mark, count, self.unrest.next_ns(self.opening < opening::OPENING_MAX)]
            .into_iter()
            .flatten()
            .min()?;
        Some(self.shared.instant(next))
    }

    fn has_work(&self) -> bool {
        self.shared.phase() != self.phase
    }
}

/// Connections that wait to be opened again: when, and which.
type Returns = VecDeque<(u64, usize)>;
