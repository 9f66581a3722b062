//! The threads of one process.

use crate::plan::Plan;
use crate::record::Totals;
use crate::shared::{Event, Shared};
use crate::system;
use crate::worker::Worker;
use crossbeam_channel::Sender;
use ringchat::net::{dispatcher, ring};
use std::sync::Arc;
use std::time::Instant;

/// Starts the threads of process number `process`; they do what is ordered through the result,
/// and tell `events`: at last, each that it has ended.
pub(crate) fn start(
    plan: &Arc<Plan>,
    process: usize,
    origin: Instant,
    events: Sender<Event>,
) -> Result<Arc<Shared>, String> {
    let shared = Shared::new(plan, process, origin, events);
    for thread in 0..plan.threads {
        let (plan, shared) = (Arc::clone(plan), Arc::clone(&shared));
        std::thread::Builder::new()
            .name(format!("loadgen-{thread}"))
            .spawn(move || {
                let result = work(&plan, &shared, thread);
                shared.tell(Event::Ended(result.map(Box::new)));
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
    }
    Ok(shared)
}

/// One thread, from its ring to its result.
fn work(plan: &Arc<Plan>, shared: &Arc<Shared>, thread: usize) -> Result<Totals, String> {
    let shard = shared.process * plan.threads + thread;
    system::pin(shard, plan.options.cpus.as_ref())?;
    let runtime = ring::runtime().map_err(|error| error.to_string())?;
    let worker = Worker::new(plan, shared, thread)?;
    let wake = shared.wakes.get(thread).map(Arc::clone).unwrap_or_default();
    let worker = runtime
        .block_on(async { tokio_uring::spawn(dispatcher::run(worker, wake)).await })
        .map_err(|error| format!("a generator thread ended early: {error}"))?;
    Ok(worker.finish())
}
