//! One of several processes of a run: its side, and the leader's.
//!
//! The leader writes a [`Hello`] and then [`Order`]s to its stdin, a line of JSON each; it answers
//! with [`Line`]s on stdout. All processes make the same plan of the same options and count time
//! from the same instant, so that their connections can share rooms. When stdin ends, it does.

use crate::crew;
use crate::options::Options;
use crate::plan::Plan;
use crate::shared::{Event, Order, Snapshot};
use crate::system;
use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a process says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(20);

/// What a process is told first.
#[derive(Serialize, Deserialize)]
struct Hello {
    options: Box<Options>,
    process: usize,
    /// The run's origin on the machine's monotonic clock.
    origin_ns: u64,
}

/// What it says.
#[derive(Serialize, Deserialize)]
enum Line {
    Event(Event),
    Progress(Snapshot),
}

/// A process, as the leader sees it. Ended when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    stdin: Option<BufWriter<ChildStdin>>,
    progress: Arc<Mutex<Snapshot>>,
}

impl Child {
    /// Starts process number `process`; what it tells comes out of `events`.
    pub(crate) fn start(
        plan: &Plan,
        process: usize,
        origin_ns: u64,
        events: Sender<Event>,
    ) -> Result<Child, String> {
        let wrong = |error: std::io::Error| format!("cannot start process {process}: {error}");
        let mut child = Command::new(std::env::current_exe().map_err(wrong)?)
            .arg("child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is the leader's to handle.
            .process_group(0)
            .spawn()
            .map_err(wrong)?;
        let stdin = child.stdin.take().map(BufWriter::new);
        let stdout = child.stdout.take();
        let mut this = Child { process: child, stdin, progress: Arc::default() };
        let options = Box::new(plan.options.clone());
        this.tell(&Hello { options, process, origin_ns });
        let progress = Arc::clone(&this.progress);
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()) {
                match line.map(|line| serde_json::from_str(&line)) {
                    Ok(Ok(Line::Progress(snapshot))) => {
                        *progress.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
                    }
                    Ok(Ok(Line::Event(event))) => drop(events.send(event)),
                    _ => break,
                }
            }
            // The leader listens no more if it ended as it should.
            let _ = events.send(Event::Failed(format!("process {process} ended early")));
        });
        Ok(this)
    }

    pub(crate) fn order(&mut self, order: &Order) {
        self.tell(order);
    }

    /// If it does not listen any more, its thread says that it has ended.
    fn tell(&mut self, what: &impl Serialize) {
        if let (Some(stdin), Ok(line)) = (&mut self.stdin, serde_json::to_string(what)) {
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The end of its stdin ends it.
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // It hangs: nothing can be waited for but its death.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is such a process: takes orders on stdin until it ends.
pub fn serve() -> Result<(), String> {
    let mut lines = BufReader::new(std::io::stdin()).lines();
    let hello = match lines.next() {
        Some(Ok(line)) => {
            serde_json::from_str::<Hello>(&line).map_err(|error| error.to_string())?
        }
        _ => return Err("nobody gives orders: this is started by --processes".into()),
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Arc::new(Plan::new(*hello.options, cpus)?);
    let (sender, events) = unbounded();
    let origin = system::instant_of(hello.origin_ns);
    let shared = crew::start(&plan, hello.process, origin, sender)?;
    let orders = Arc::clone(&shared);
    std::thread::spawn(move || {
        for line in lines {
            match line.map(|line| serde_json::from_str::<Order>(&line)) {
                Ok(Ok(order)) => orders.order(&order),
                _ => break,
            }
        }
        // The leader is gone, or has all it wants.
        std::process::exit(0);
    });
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut say = |line: &Line| {
        let text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| error.to_string())
    };
    let mut running = plan.threads;
    let (mut said, mut said_at) = (Snapshot::default(), Instant::now());
    while running > 0 {
        let event = match events.recv_timeout(PROGRESS_EVERY) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let snapshot = shared.snapshot();
        if snapshot != said && (event.is_none() || said_at.elapsed() >= PROGRESS_EVERY) {
            (said, said_at) = (snapshot, Instant::now());
            say(&Line::Progress(snapshot))?;
        }
        if let Some(event) = event {
            running -= usize::from(matches!(event, Event::Ended(_)));
            let line = Line::Event(event);
            say(&line)?;
            if let Line::Event(Event::Second(second)) = line {
                shared.recycle(second);
            }
        }
    }
    Ok(())
}
