//! A run from begin to end: starts the processes and threads, leads them through the phases,
//! collects what they measured.

use crate::child::Child;
use crate::crew;
use crate::plan::{Plan, nanos};
use crate::progress::{self, Watch};
use crate::record::{Record, Second, Totals};
use crate::shared::{Event, Order, Shared, Snapshot};
use crate::system::{self, KernelDrops, ServerProcesses};
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the leader looks at counters and at the interrupt.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// From "everybody has joined" being announced to the first due message.
const LEAD: Duration = Duration::from_millis(20);
/// For deliveries too many to come, once nothing more is owed.
const LINGER: Duration = Duration::from_millis(100);
/// Threads that do not end by then, after they were told to, are left behind.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `plan`. `interrupt`: set to stop early.
///
/// Errors: why the run could not be done, in one line. A failed delivery check is no error: it
/// is in the record.
pub fn run(
    plan: Plan,
    interrupt: &AtomicBool,
    watch: &mut dyn Watch,
) -> Result<(Arc<Plan>, Record), String> {
    let plan = Arc::new(plan);
    let server = ServerProcesses::new(&plan.options.server_pid)?;
    let record = Record {
        server_rss_before: server.rss(),
        started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        ..Record::default()
    };
    let drops = KernelDrops::now();
    let origin_ns = system::monotonic_ns();
    let origin = system::instant_of(origin_ns);
    let (sender, events) = unbounded();
    let mut parties = Vec::new();
    for process in 0..plan.options.processes {
        let events = sender.clone();
        parties.push(match plan.options.processes {
            1 => Party::Here(crew::start(&plan, process, origin, events)?),
            _ => Party::Child(Child::start(&plan, process, origin_ns, events)?),
        });
    }
    drop(sender);
    let sent = vec![0; plan.layout.senders()];
    let mut lead =
        Lead { plan, parties, events, interrupt, watch, server, origin, sent, record, ended: 0 };
    let result = lead.phases();
    lead.watch.end();
    lead.close();
    result?;
    if lead.ended < lead.plan.shards() {
        return Err("a generator thread did not end as it should".into());
    }
    lead.record.kernel_drops = drops.since();
    let counts = &lead.record.totals.counts;
    lead.record.owed = counts.delivered + counts.missing;
    Ok((lead.plan, lead.record))
}

/// The threads of one process.
enum Party {
    Here(Arc<Shared>),
    Child(Child),
}

impl Party {
    fn order(&mut self, order: &Order) {
        match self {
            Party::Here(shared) => shared.order(order),
            Party::Child(child) => child.order(order),
        }
    }

    fn snapshot(&self) -> Snapshot {
        match self {
            Party::Here(shared) => shared.snapshot(),
            Party::Child(child) => child.snapshot(),
        }
    }
}

struct Lead<'a> {
    plan: Arc<Plan>,
    parties: Vec<Party>,
    events: Receiver<Event>,
    interrupt: &'a AtomicBool,
    watch: &'a mut dyn Watch,
    server: ServerProcesses,
    origin: Instant,
    /// By sender: messages sent, once it has said so.
    sent: Vec<u32>,
    record: Record,
    /// Threads that have ended.
    ended: usize,
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Done,
    TimedOut,
    Interrupted,
}

impl Lead<'_> {
    fn phases(&mut self) -> Result<(), String> {
        let plan = Arc::clone(&self.plan);
        if self.join(&plan)? == Waited::Interrupted || self.settle(&plan)? == Waited::Interrupted {
            // What there is: how connecting went.
            self.record.interrupted = true;
            return Ok(());
        }
        self.measure(&plan)?;
        self.drain(&plan)
    }

    fn join(&mut self, plan: &Plan) -> Result<Waited, String> {
        let connections = plan.layout.connections();
        let options = &plan.options;
        self.watch.phase(progress::Phase::Connect, connections as u64);
        let at_rate = options.connect_rate.map_or(0.0, |rate| connections as f64 / rate);
        let timeout = options.connect_timeout + Duration::from_secs_f64(at_rate);
        let mut waiting = plan.shards();
        let joined = self.wait(Instant::now() + timeout, true, |lead, event| {
            waiting -= usize::from(matches!(event, Some(Event::Joined)));
            lead.watch.at(lead.snapshot().joined, "");
            waiting == 0
        })?;
        if joined == Waited::TimedOut {
            return Err(format!(
                "only {} of {connections} connections had joined after {:.0} s (--connect-timeout)",
                self.snapshot().joined,
                timeout.as_secs_f64()
            ));
        }
        self.record.join_s = self.origin.elapsed().as_secs_f64();
        Ok(joined)
    }

    fn settle(&mut self, plan: &Plan) -> Result<Waited, String> {
        let settle = plan.options.settle;
        self.watch.phase(progress::Phase::Settle, millis(settle));
        let begin = Instant::now();
        let waited = self.wait(begin + settle, true, |lead, _| {
            lead.watch.at(millis(begin.elapsed()), "");
            false
        })?;
        self.record.server_rss_joined = self.server.rss();
        Ok(waited)
    }

    /// Warm-up and the measured window, until all has been sent.
    fn measure(&mut self, plan: &Plan) -> Result<(), String> {
        let options = &plan.options;
        let start = Instant::now() + LEAD;
        let (from, to) = (start + options.warmup, start + options.warmup + options.duration);
        self.order(&Order::Run(nanos(start - self.origin)));
        self.watch.phase(progress::Phase::WarmUp, millis(options.warmup));
        let mut next_sample = Some(from);
        let mut measuring = false;
        let mut waiting = plan.shards();
        let mut all_sent = |lead: &mut Self, event: Option<&Event>| {
            let now = Instant::now();
            if now >= from && !measuring {
                measuring = true;
                lead.watch.phase(progress::Phase::Measure, millis(options.duration));
            }
            if let Some(at) = next_sample.filter(|at| now >= *at) {
                next_sample = (at < to).then(|| to.min(at + Duration::from_secs(1)));
                let sample = lead.server.sample((now - from).as_secs_f64());
                lead.record.server.extend(sample);
            }
            let since = if measuring { now - from } else { now.saturating_duration_since(start) };
            let note = lead.note();
            lead.watch.at(millis(since), &note);
            waiting -= usize::from(matches!(event, Some(Event::Sent(_))));
            waiting == 0
        };
        let mut sent = self.wait(to + options.drain.max(LEAD * 5), true, &mut all_sent)?;
        if sent != Waited::Done {
            self.record.interrupted = sent == Waited::Interrupted;
            let what =
                if self.record.interrupted { "interrupted" } else { "not all could be sent" };
            self.watch.say(&format!("{what}; waiting for what is owed"));
            self.order(&Order::Stop);
            sent = self.wait(Instant::now() + END_TIMEOUT, false, &mut all_sent)?;
        }
        if sent != Waited::Done {
            return Err("the generator's threads did not finish sending".into());
        }
        let end = if self.record.interrupted { Instant::now().min(to) } else { to };
        self.record.measured_s = end.saturating_duration_since(from).as_secs_f64();
        Ok(())
    }

    /// Waits for what is still owed.
    fn drain(&mut self, plan: &Plan) -> Result<(), String> {
        self.order(&Order::Drain(self.sent.clone()));
        self.watch.phase(progress::Phase::Drain, 0);
        let drained = self.wait(Instant::now() + plan.options.drain, false, |lead, _| {
            let snapshot = lead.snapshot();
            let note = match snapshot.outstanding {
                Some(outstanding) => format!("{outstanding} deliveries outstanding"),
                None => String::new(),
            };
            lead.watch.at(snapshot.delivered, &note);
            snapshot.outstanding == Some(0)
        })?;
        if drained == Waited::Done {
            self.wait(Instant::now() + LINGER, false, |_, _| false)?;
        }
        Ok(())
    }

    /// Says goodbye and collects the threads' results.
    fn close(&mut self) {
        self.order(&Order::Close);
        let deadline = Instant::now() + END_TIMEOUT;
        while self.ended < self.plan.shards()
            && let Ok(event) = self.events.recv_deadline(deadline)
        {
            self.take(&event);
            match event {
                Event::Ended(result) => {
                    self.ended += 1;
                    self.record.totals.add(result.map_or_else(|_| Totals::default(), |t| *t));
                }
                Event::Second(second) => self.second(second),
                _ => {}
            }
        }
    }

    fn order(&mut self, order: &Order) {
        self.parties.iter_mut().for_each(|party| party.order(order));
    }

    fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot { outstanding: Some(0), ..Snapshot::default() };
        self.parties.iter().for_each(|party| all.add(party.snapshot()));
        all
    }

    /// What the last second that is over was like.
    fn note(&self) -> String {
        let Some(second) = self.record.seconds.iter().rev().nth(1) else { return String::new() };
        let p99 = second.latency.histogram().value_at_quantile(0.99) as f64 / 1e6;
        format!("{} deliveries/s, p99 {p99:.2} ms", second.delivered)
    }

    /// Adds a thread's second to those of the others.
    fn second(&mut self, second: Box<Second>) {
        let seconds = &mut self.record.seconds;
        while seconds.len() <= second.index as usize {
            let index = seconds.len() as u32;
            seconds.push(Second { index, ..Second::default() });
        }
        if let Some(sum) = seconds.get_mut(second.index as usize) {
            sum.add(&second);
        }
        if let Some(Party::Here(shared)) = self.parties.first() {
            shared.recycle(second);
        }
    }

    /// Notes what an event says, besides what the wait is for.
    fn take(&mut self, event: &Event) {
        match event {
            Event::Sent(counts) => {
                for (sender, sent) in counts {
                    if let Some(cell) = self.sent.get_mut(*sender as usize) {
                        *cell = *sent;
                    }
                }
            }
            Event::Refused(sender, number) => self.order(&Order::Refused(*sender, *number)),
            _ => {}
        }
    }

    /// Waits until `done` says so: asked after every event and every [`LOOK_EVERY`].
    fn wait(
        &mut self,
        deadline: Instant,
        interruptible: bool,
        mut done: impl FnMut(&mut Self, Option<&Event>) -> bool,
    ) -> Result<Waited, String> {
        loop {
            let event = match self.events.recv_timeout(LOOK_EVERY) {
                Ok(Event::Failed(why)) => return Err(why),
                Ok(Event::Ended(result)) => {
                    self.ended += 1;
                    return Err(result.err().unwrap_or("a generator thread ended early".into()));
                }
                Ok(Event::Second(second)) => {
                    self.second(second);
                    None
                }
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err("no generator thread".into()),
            };
            if let Some(event) = &event {
                self.take(event);
            }
            if done(self, event.as_ref()) {
                return Ok(Waited::Done);
            }
            if interruptible && self.interrupt.load(Ordering::Relaxed) {
                return Ok(Waited::Interrupted);
            }
            if Instant::now() >= deadline {
                return Ok(Waited::TimedOut);
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    nanos(duration) / 1_000_000
}
