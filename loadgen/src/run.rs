//! A run from begin to end: starts the threads, leads them through the phases, collects.

use crate::options::{Load, Plan};
use crate::report::{Outline, Report};
use crate::shared::{Event, Phase, Shared};
use crate::stats::ThreadStats;
use crate::usage::server_cpu;
use crate::wire::Wire;
use crate::worker::Worker;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use ringchat::net::{dispatcher, ring};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the coordinator looks at counters and at the interrupt.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// From "everybody has joined" being announced to the first due message.
const LEAD: Duration = Duration::from_millis(20);
/// For deliveries too many to come, once nothing more is owed.
const LINGER: Duration = Duration::from_millis(100);
/// Threads that do not end by then, after they were told to, are left behind.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `plan`. `interrupt`: set to stop early. `progress`: told what happens, a line at a time.
///
/// Errors: why the run could not be done, in one line. A failed delivery check is no error: it
/// is in the report.
pub fn run(
    plan: Plan,
    interrupt: &AtomicBool,
    progress: impl FnMut(&str),
) -> Result<Report, String> {
    let (sender, events) = unbounded();
    let shared = Shared::new(plan.senders, plan.threads, sender);
    let plan = Arc::new(plan);
    for thread in 0..plan.threads {
        let (plan, shared) = (Arc::clone(&plan), Arc::clone(&shared));
        std::thread::Builder::new()
            .name(format!("loadgen-{thread}"))
            .spawn(move || {
                let result = work(&plan, &shared, thread);
                shared.tell(Event::Ended(result.map(Box::new)));
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
    }
    let running = plan.threads;
    let mut lead = Lead { plan, shared, events, interrupt, progress, running, ended: Vec::new() };
    let outline = lead.phases();
    lead.close();
    let outline = outline?;
    if lead.ended.len() < lead.plan.threads {
        return Err("a generator thread did not end as it should".into());
    }
    Ok(Report::new(&lead.plan, outline, lead.ended))
}

/// One thread, from its ring to its result.
fn work(plan: &Arc<Plan>, shared: &Arc<Shared>, thread: usize) -> Result<ThreadStats, String> {
    // From the last CPU downwards: a server on this machine begins at the first.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.len() > 1
        && let Some(core) = cores.iter().rev().cycle().nth(thread)
    {
        core_affinity::set_for_current(*core);
    }
    let runtime = ring::runtime().map_err(|error| error.to_string())?;
    let worker = Worker::new(plan, shared, thread).map_err(|error| error.to_string())?;
    let wake = shared.wakes.get(thread).map(Arc::clone).unwrap_or_default();
    let worker = runtime
        .block_on(async { tokio_uring::spawn(dispatcher::run(worker, wake)).await })
        .map_err(|error| format!("a generator thread ended early: {error}"))?;
    Ok(worker.finish())
}

/// Leads the threads.
struct Lead<'a, P> {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    events: Receiver<Event>,
    interrupt: &'a AtomicBool,
    progress: P,
    /// Threads that have not ended.
    running: usize,
    ended: Vec<ThreadStats>,
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Done,
    TimedOut,
    Interrupted,
}

impl<P: FnMut(&str)> Lead<'_, P> {
    fn phases(&mut self) -> Result<Outline, String> {
        let plan = Arc::clone(&self.plan);
        let options = &plan.options;
        let mut outline = Outline { answers: Wire::new(&plan).accepts(), ..Outline::default() };

        let mut waiting = plan.threads;
        let joined = self.wait(Instant::now() + options.connect_timeout, true, |lead, event| {
            waiting -= usize::from(matches!(event, Some(Event::Joined)));
            let joined = lead.shared.sum(|p| &p.joined);
            lead.say(Step::Joining, &format!("{joined} of {} joined", options.connections));
            waiting == 0
        })?;
        match joined {
            Waited::Done => {}
            Waited::Interrupted => return Err("interrupted before all had joined".into()),
            Waited::TimedOut => {
                let joined = self.shared.sum(|p| &p.joined);
                return Err(format!(
                    "only {joined} of {} connections had joined after {:.0} s (--connect-timeout)",
                    options.connections,
                    options.connect_timeout.as_secs_f64()
                ));
            }
        }
        outline.join_s = self.shared.origin.elapsed().as_secs_f64();
        if self.wait(Instant::now() + options.settle, true, |_, _| false)? == Waited::Interrupted {
            return Err("interrupted before the first message".into());
        }

        let start = Instant::now() + LEAD;
        let (from, to) = (start + options.warmup, start + options.warmup + options.duration);
        self.shared.start(self.shared.ns(start));
        let mut waiting = plan.threads;
        let mut cpu = [None, None];
        let mut all_sent = |lead: &mut Self, event: Option<&Event>| {
            let now = Instant::now();
            for (cpu, at) in cpu.iter_mut().zip([from, to]) {
                if cpu.is_none() && now >= at {
                    *cpu = options.server_pid.and_then(server_cpu).map(|time| (time, now));
                }
            }
            let delivered = lead.shared.sum(|p| &p.delivered);
            lead.say(Step::Running, &format!("{delivered} deliveries"));
            waiting -= usize::from(matches!(event, Some(Event::Sent)));
            waiting == 0
        };
        let grace = Duration::from_secs(60);
        let mut sent = self.wait(to + grace, true, &mut all_sent)?;
        if sent == Waited::Interrupted {
            outline.interrupted = true;
            self.shared.stop();
            self.say(Step::Draining, "interrupted; waiting for what is owed");
            sent = self.wait(Instant::now() + grace, false, &mut all_sent)?;
        }
        if sent != Waited::Done {
            return Err("the generator's threads did not finish sending".into());
        }
        let measured_to = to.min(self.shared.origin + Duration::from_nanos(self.shared.stop_ns()));
        outline.measured_s = measured_to.saturating_duration_since(from).as_secs_f64();
        if let [Some((cpu_0, wall_0)), Some((cpu_1, wall_1))] = cpu {
            outline.server_cpu = Some((cpu_1 - cpu_0, (wall_1 - wall_0).as_secs_f64()));
        }

        for (sender, sent) in self.shared.sent.iter().enumerate() {
            let sent = u64::from(sent.load(Ordering::Acquire));
            outline.sent += sent;
            outline.owed += sent * plan.members(plan.room(sender)) as u64;
        }
        let answers = if outline.answers { outline.sent } else { 0 };
        let drained = self.wait(Instant::now() + options.drain, false, |lead, _| {
            let delivered = lead.shared.sum(|p| &p.delivered);
            lead.say(Step::Draining, &format!("{delivered} of {} deliveries", outline.owed));
            let waived = lead.shared.sum(|p| &p.waived);
            let complete =
                delivered + waived >= outline.owed && lead.shared.sum(|p| &p.answered) >= answers;
            complete || lead.shared.sum(|p| &p.closed) >= options.connections as u64
        })?;
        if drained == Waited::Done {
            self.wait(Instant::now() + LINGER, false, |_, _| false)?;
        }
        Ok(outline)
    }

    /// Says goodbye and collects the threads' results.
    fn close(&mut self) {
        self.shared.enter(Phase::Close);
        let deadline = Instant::now() + END_TIMEOUT;
        while self.running > 0
            && let Ok(event) = self.events.recv_deadline(deadline)
        {
            if let Event::Ended(result) = event {
                self.running -= 1;
                self.ended.extend(result.map(|stats| *stats));
            }
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
                    self.running -= 1;
                    return Err(result.err().unwrap_or("a generator thread ended early".into()));
                }
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err("no generator thread".into()),
            };
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

    fn say(&mut self, step: Step, what: &str) {
        let step = match (step, self.plan.load) {
            (Step::Joining, _) => "joining",
            (Step::Running, Load::Rate(_)) => "running (open loop)",
            (Step::Running, Load::Closed(_)) => "running (closed loop)",
            (Step::Draining, _) => "draining",
        };
        (self.progress)(&format!("{step}: {what}"));
    }
}

/// What progress is about.
#[derive(Clone, Copy)]
enum Step {
    Joining,
    Running,
    Draining,
}
