//! What the operating system does for both ends: CPU time, affinity, descriptors, socket options.

use crate::options::Cpu;
use rustix::net::sockopt;
use rustix::process::{Resource, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::net::TcpStream;
use std::time::Duration;

/// How long either end waits for the other before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// CPU time of the calling thread so far.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs();
    Duration::from_nanos(nanos)
}

/// Keeps the calling thread there.
pub(crate) fn pin(cpu: Cpu, option: &str) -> Result<(), String> {
    let Cpu::Only(number) = cpu else { return Ok(()) };
    let refused = |why: String| format!("{option}: cannot run on CPU {number}: {why}");
    if number >= CpuSet::MAX_CPU {
        return Err(refused("there is no such CPU".to_owned()));
    }
    let mut set = CpuSet::new();
    set.set(number);
    sched_setaffinity(None, &set).map_err(|error| refused(error.to_string()))
}

/// Asks for as many descriptors as the process may have. If that is too few, opening says so.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// A sender that is killed takes its receiver along.
pub(crate) fn end_with_parent() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Sends at once, and gives up when the other end is stuck.
pub(crate) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// A later close leaves no socket behind that waits for a minute: runs follow each other, and
/// ports are few.
pub(crate) fn forget_on_close(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
