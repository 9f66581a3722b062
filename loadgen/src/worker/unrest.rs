//! What makes a run less quiet: connections that leave and come back, slow readers, requests.
//!
//! Who leaves by churn: neither senders nor slow readers. In a storm all drop at once; a sender
//! does as soon as its own messages are back, so that it is certain which of them the server has.

use super::{Returns, Worker};
use crate::connection::State;
use crate::dialect::Request;
use crate::plan::{Plan, nanos};
use crate::record::Totals;
use crate::shared::Phase;
use std::collections::{HashMap, VecDeque};

/// Slow readers read so often.
const SLOW_EVERY_NS: u64 = 100_000_000;
/// A connection that comes back too early, with operations in flight, is tried again after this.
const AGAIN_NS: u64 = 1_000_000;
/// Ids of requests have this bit, so that they differ from those of messages.
const REQUEST_BIT: u32 = 1 << 31;

/// Something that happens at a rate of the whole run, shared by its shards in turn.
#[derive(Debug, Clone, Copy)]
struct Ticker {
    rate: f64,
    /// Which one of the whole run is this shard's next.
    k: u64,
    step: u64,
}

impl Ticker {
    fn new(rate: f64, shard: usize, shards: usize) -> Ticker {
        Ticker { rate, k: shard as u64, step: shards as u64 }
    }

    /// When the next is due, in nanoseconds after the begin.
    fn next_ns(&self) -> Option<u64> {
        (self.rate > 0.0).then(|| (self.k as f64 / self.rate * 1e9) as u64)
    }

    fn advance(&mut self) {
        self.k += self.step;
    }
}

pub(super) struct Unrest {
    /// By connection.
    slow: Vec<bool>,
    /// Bytes that a slow reader takes at a time.
    slow_chunk: usize,
    slow_at_ns: Option<u64>,
    storms: VecDeque<u64>,
    /// Senders that are to drop.
    dropping: Vec<usize>,
    away_ns: u64,
    returns: Returns,
    churn: Ticker,
    /// Connections that churn may take, and whose turn it is.
    pool: Vec<usize>,
    pool_at: usize,
    requests: [(Request, Ticker); 2],
    /// Whose turn it is to ask.
    asks: usize,
    /// Open requests, by id: what, when it was due, of which connection.
    asked: HashMap<u32, (Request, u64, usize)>,
    next_id: u32,
    /// The window, once it is known.
    from_ns: u64,
    to_ns: u64,
}

impl Unrest {
    pub(super) fn new(plan: &Plan, shard: usize) -> Unrest {
        let (shards, options, layout) = (plan.shards(), &plan.options, &plan.layout);
        let globals = (0..layout.share(shard, shards)).map(|local| local * shards + shard);
        let slow = globals.clone().map(|at| layout.is_slow(at)).collect::<Vec<_>>();
        let calm = globals.enumerate().filter(|(l, at)| *at >= layout.senders() && !slow[*l]);
        let pool = calm.map(|(local, _)| local).collect();
        let ticker = |rate| Ticker::new(rate, shard, shards);
        Unrest {
            slow,
            slow_chunk: (options.slow_rate * SLOW_EVERY_NS / 1_000_000_000).max(1) as usize,
            slow_at_ns: None,
            storms: VecDeque::new(),
            dropping: Vec::new(),
            away_ns: nanos(options.away),
            returns: Returns::new(),
            churn: ticker(options.churn),
            pool,
            pool_at: 0,
            requests: [
                (Request::Presence, ticker(options.presence_rate)),
                (Request::History, ticker(options.history_rate)),
            ],
            asks: 0,
            asked: HashMap::new(),
            next_id: 0,
            from_ns: u64::MAX,
            to_ns: u64::MAX,
        }
        .with_storms(options.storm.iter().map(|after| nanos(*after)).collect())
    }

    fn with_storms(mut self, mut after: Vec<u64>) -> Unrest {
        after.sort_unstable();
        self.storms = after.into();
        self
    }

    /// The measured window is known: unrest lasts as long as it does.
    pub(super) fn begin(&mut self, from_ns: u64, to_ns: u64) {
        if self.from_ns == u64::MAX {
            self.storms.iter_mut().for_each(|at| *at += from_ns);
            self.slow_at_ns = self.slow.contains(&true).then_some(0);
        }
        (self.from_ns, self.to_ns) = (from_ns, to_ns);
    }

    /// Nothing new is begun.
    pub(super) fn end(&mut self) {
        self.to_ns = self.from_ns;
        self.storms.clear();
        self.slow_at_ns = None;
    }

    #[inline]
    pub(super) fn is_slow(&self, local: usize) -> bool {
        self.slow.get(local).is_some_and(|slow| *slow)
    }

    /// When `ticker` is due; not after the window.
    fn tick_ns(&self, ticker: &Ticker) -> Option<u64> {
        let at = self.from_ns.checked_add(ticker.next_ns()?)?;
        (at < self.to_ns).then_some(at)
    }

    /// When there is something to do.
    pub(super) fn next_ns(&self, may_open: bool) -> Option<u64> {
        let returns = self.returns.front().filter(|_| may_open).map(|(at, _)| *at);
        let requests = self.requests.iter().filter_map(|(_, ticker)| self.tick_ns(ticker)).min();
        let storm = self.storms.front().copied().filter(|_| self.from_ns != u64::MAX);
        let churn = self.tick_ns(&self.churn);
        [returns, requests, storm, churn, self.slow_at_ns].into_iter().flatten().min()
    }

    /// A connection has left; nobody will answer what it asked.
    pub(super) fn comes_back(&mut self, local: usize, now_ns: u64) {
        self.asked.retain(|_, (_, _, asker)| *asker != local);
        self.returns.push_back((now_ns + self.away_ns, local));
    }

    /// A connection that is to be opened again now.
    pub(super) fn next_return(&mut self, now_ns: u64) -> Option<usize> {
        let (at, local) = *self.returns.front()?;
        (at <= now_ns).then(|| {
            self.returns.pop_front();
            local
        })
    }

    /// It cannot be opened yet.
    pub(super) fn put_back(&mut self, local: usize, now_ns: u64) {
        self.returns.push_front((now_ns + AGAIN_NS, local));
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, id: u32, now_ns: u64, totals: &mut Totals) {
        let Some((what, due_ns, _)) = self.asked.remove(&id) else { return };
        let took = now_ns.saturating_sub(due_ns);
        match what {
            Request::Presence => totals.presence.record(took),
            Request::History => totals.history.record(took),
        }
    }

    /// A request was refused.
    pub(super) fn forget(&mut self, id: u32) {
        self.asked.remove(&id);
    }

    pub(super) fn open_requests(&self) -> u64 {
        self.asked.len() as u64
    }
}

impl Worker {
    pub(super) fn make_unrest(&mut self, now_ns: u64) {
        if self.phase == Phase::Run {
            self.storm(now_ns);
            self.churn(now_ns);
            self.ask(now_ns);
            self.read_slowly(now_ns);
        }
        self.drop_senders();
    }

    fn storm(&mut self, now_ns: u64) {
        if self.unrest.storms.front().is_none_or(|at| *at > now_ns) {
            return;
        }
        self.unrest.storms.pop_front();
        for local in 0..self.connections.len() {
            if self.connections[local].state != State::Open {
                continue;
            }
            if self.is_sender(local) {
                self.connections[local].dropping = true;
                self.unrest.dropping.push(local);
            } else {
                self.leave(local, false);
            }
        }
    }

    /// Senders that are to drop do, once the server has answered for all of their messages.
    fn drop_senders(&mut self) {
        let mut at = 0;
        while let Some(&local) = self.unrest.dropping.get(at) {
            let connection = &self.connections[local];
            let rank = self.plan.layout.rank_of(self.global(local));
            let settled = self.tally.ledger.next(local, rank) == connection.number
                && (!self.wire.accepts() || connection.answered >= connection.number)
                && !connection.is_sending()
                && connection.queued() == 0;
            if connection.state == State::Open && !settled && self.phase == Phase::Run {
                at += 1;
                continue;
            }
            self.unrest.dropping.swap_remove(at);
            if settled && connection.state == State::Open {
                self.leave(local, false);
            } else {
                self.connections[local].dropping = false;
            }
        }
    }

    fn churn(&mut self, now_ns: u64) {
        while self.unrest.tick_ns(&self.unrest.churn).is_some_and(|at| at <= now_ns) {
            self.unrest.churn.advance();
            for _ in 0..self.unrest.pool.len() {
                let local = self.unrest.pool[self.unrest.pool_at];
                self.unrest.pool_at = (self.unrest.pool_at + 1) % self.unrest.pool.len();
                if self.connections[local].state == State::Open {
                    self.leave(local, true);
                    break;
                }
            }
        }
    }

    /// Sends the requests that are due.
    fn ask(&mut self, now_ns: u64) {
        for at in 0..self.unrest.requests.len() {
            while let (what, ticker) = self.unrest.requests[at]
                && let Some(due_ns) = self.unrest.tick_ns(&ticker).filter(|due| *due <= now_ns)
            {
                self.unrest.requests[at].1.advance();
                let count = self.connections.len();
                let mut candidates = (0..count).map(|k| (self.unrest.asks + k) % count);
                let is_open = |local: &usize| {
                    let connection = &self.connections[*local];
                    connection.state == State::Open && !connection.dropping
                };
                let Some(local) = candidates.find(is_open) else { continue };
                self.unrest.asks = local + 1;
                let id = REQUEST_BIT | self.unrest.next_id;
                self.unrest.next_id = (self.unrest.next_id + 1) & !REQUEST_BIT;
                self.unrest.asked.insert(id, (what, due_ns, local));
                let room = self.plan.layout.room_of(self.global(local));
                let mask = self.next_mask();
                self.scratch.clear();
                self.wire.request(&mut self.scratch, what, room, id);
                self.connections[local].write(self.wire.opcode(), &self.scratch, mask);
                self.connections[local].flush(local as u32);
            }
        }
    }

    fn read_slowly(&mut self, now_ns: u64) {
        if self.unrest.slow_at_ns.is_none_or(|at| at > now_ns) {
            return;
        }
        self.unrest.slow_at_ns = Some(now_ns + SLOW_EVERY_NS);
        for local in 0..self.connections.len() {
            if self.is_paced(local) {
                self.read(local, self.unrest.slow_chunk);
                self.connections[local].flush(local as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_a_rate() {
        let mut all = Vec::new();
        for shard in 0..3 {
            let mut ticker = Ticker::new(10.0, shard, 3);
            while let Some(at) = ticker.next_ns().filter(|at| *at < 2_000_000_000) {
                all.push(at);
                ticker.advance();
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..20).map(|k| k * 100_000_000).collect::<Vec<_>>());
        assert_eq!(Ticker::new(0.0, 0, 1).next_ns(), None);
    }
}
