//! CPU time: of a thread of this process, and of a server on this machine.

use std::time::{Duration, Instant};

/// Where this thread's time went so far.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) at: Instant,
    /// On a CPU.
    pub(crate) cpu: Duration,
    /// Ready to run, while something else had the CPU; unknown on some kernels.
    pub(crate) wait: Option<Duration>,
}

impl Usage {
    pub(crate) fn at(now: Instant) -> Usage {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let wait = std::fs::read_to_string("/proc/thread-self/schedstat")
            .ok()
            .and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        Usage {
            at: now,
            cpu: Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32),
            wait: wait.map(Duration::from_nanos),
        }
    }
}

/// CPU seconds that all threads of process `pid` have used.
pub(crate) fn server_cpu(pid: u32) -> Option<f64> {
    let mut nanos = 0u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end between the two reads.
        let Ok(text) = std::fs::read_to_string(task.ok()?.path().join("schedstat")) else {
            continue;
        };
        nanos += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(nanos as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_the_cpu_is_seen() {
        let begin = Usage::at(Instant::now());
        let ours = server_cpu(std::process::id()).unwrap();
        while Usage::at(Instant::now()).cpu < begin.cpu + Duration::from_millis(20) {
            std::hint::black_box(0);
        }
        assert!(server_cpu(std::process::id()).unwrap() - ours >= 0.015);
        assert_eq!(server_cpu(u32::MAX), None);
    }
}
