//! What the operating system knows: this machine, this thread, CPUs, the clock; the server process
//! (`server.rs`); what the kernel dropped (`drops.rs`).
//!
//! Never touches the network or a ring. Tests: at the end of each file, against this machine.

mod drops;
mod server;

pub use drops::{KernelDrops, MACHINE_WIDE};
pub use server::{ServerProcess, ServerProcesses};

use crate::options::CpuList;
use crate::report::Environment;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Where a thread's time went so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// On a CPU.
    pub cpu: Duration,
    /// Ready to run, while something else had the CPU; unknown on some kernels.
    pub wait: Option<Duration>,
}

/// Where the calling thread's time went so far.
pub fn thread_usage() -> Usage {
    let wait = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    Usage {
        cpu: Duration::from_nanos(nanos(ClockId::ThreadCPUTime)),
        wait: wait.map(Duration::from_nanos),
    }
}

/// Nanoseconds of the clock that all processes of this machine share and that nobody sets
/// (`CLOCK_MONOTONIC`).
pub fn monotonic_ns() -> u64 {
    nanos(ClockId::Monotonic)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The instant at which [`monotonic_ns`] was, or will be, `monotonic_ns`. An instant too far away
/// to be expressed becomes now.
pub fn instant_of(monotonic_ns: u64) -> Instant {
    // The two clocks are one, but not read at once: this thread may lose its CPU in between. The
    // tightest of a few readings is right to microseconds.
    let read = || {
        let before = Instant::now();
        let ns = self::monotonic_ns();
        (ns, before, before.elapsed())
    };
    let (now_ns, now, _) = (1..READINGS)
        .map(|_| read())
        .fold(read(), |best, next| if next.2 < best.2 { next } else { best });
    let instant = if monotonic_ns >= now_ns {
        now.checked_add(Duration::from_nanos(monotonic_ns - now_ns))
    } else {
        now.checked_sub(Duration::from_nanos(now_ns - monotonic_ns))
    };
    instant.unwrap_or(now)
}

/// How often [`instant_of`] compares the clocks.
const READINGS: usize = 10;

/// A connection is a descriptor: asks for as many as the process may have. If the limit stays low,
/// opening connections says so.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Keeps the calling thread, number `thread_index` of the process, on one CPU: of `cpus` in turn,
/// else from the last one downwards (a server on this machine begins at the first), and on none
/// if there is only one.
///
/// Errors: a CPU of `cpus` is not there, or this process may not use it.
pub fn pin(thread_index: usize, cpus: Option<&CpuList>) -> Result<(), String> {
    let usable = core_affinity::get_core_ids().unwrap_or_default();
    let ids: Vec<usize> = usable.iter().map(|core| core.id).collect();
    let Some(id) = choose(thread_index, cpus.map(|list| list.0.as_slice()), &ids)? else {
        return Ok(());
    };
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id });
    // Nobody asked for the default: a kernel that refuses it costs accuracy, not the run.
    if pinned || cpus.is_none() {
        return Ok(());
    }
    Err(format!("the system refused to run a thread on CPU {id} (--cpus)"))
}

/// The CPU of thread `index`: of those asked for, if any, which must all be usable.
fn choose(
    index: usize,
    asked: Option<&[usize]>,
    usable: &[usize],
) -> Result<Option<usize>, String> {
    let Some(asked) = asked else {
        let several = usable.len() > 1;
        return Ok(usable.iter().rev().cycle().nth(index).copied().filter(|_| several));
    };
    if let Some(missing) = asked.iter().find(|cpu| !usable.contains(cpu)) {
        let usable: Vec<String> = usable.iter().map(usize::to_string).collect();
        return Err(format!(
            "--cpus: this process may not use CPU {missing}; it may use {}",
            usable.join(",")
        ));
    }
    Ok(asked.iter().cycle().nth(index).copied())
}

/// This machine, now, and this program. What cannot be found out stays empty or 0; the server is
/// not filled in.
pub fn environment() -> Environment {
    let line = |path: &str| {
        std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let kernel =
        format!("{} {}", line("/proc/sys/kernel/ostype"), line("/proc/sys/kernel/osrelease"));
    let cpu = procfs_cpu().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let started = jiff::Timestamp::now().as_second();
    Environment {
        started: jiff::Timestamp::from_second(started).map(|t| t.to_string()).unwrap_or_default(),
        kernel: kernel.trim().to_owned(),
        cpu,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory().unwrap_or(0),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server: None,
        command: blank_tokens(std::env::args_os().map(|a| a.to_string_lossy().into_owned())),
    }
}

fn procfs_cpu() -> Option<String> {
    use procfs::Current;
    let info = procfs::CpuInfo::current().ok()?;
    info.model_name(0).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn memory() -> Option<u64> {
    use procfs::Current;
    procfs::Meminfo::current().ok().map(|info| info.mem_total)
}

/// A command line as a report may show it: the program without its path, no token.
fn blank_tokens(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for (index, argument) in arguments.into_iter().enumerate() {
        let blank = shown.last().is_some_and(|last| last == "--token");
        shown.push(match argument {
            program if index == 0 => basename(&program).to_owned(),
            _ if blank => "***".to_owned(),
            token if token.starts_with("--token=") => "--token=***".to_owned(),
            other => other,
        });
    }
    shown
}

fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_found_again_by_its_nanoseconds() {
        for offset in [0, 5_000_000_000] {
            // The test itself reads two clocks one after the other: its best try counts.
            let off = (0..20).map(|_| {
                let (want, ns) = (Instant::now(), monotonic_ns());
                let got = instant_of(ns + offset) - Duration::from_nanos(offset);
                got.max(want) - got.min(want)
            });
            assert!(off.min().unwrap() < Duration::from_millis(1));
        }
        let (now, ns) = (Instant::now(), monotonic_ns());
        assert!(instant_of(ns - 1_000_000_000) < now);
        assert!(instant_of(ns + 1_000_000_000) > now);
        assert!(instant_of(u64::MAX) >= instant_of(0));
    }

    #[test]
    fn time_on_the_cpu_is_seen() {
        let begin = thread_usage();
        let wall = Instant::now();
        while thread_usage().cpu < begin.cpu + Duration::from_millis(20) {
            std::hint::black_box(0);
        }
        assert!(wall.elapsed() >= Duration::from_millis(19));
        let end = thread_usage();
        assert_eq!(begin.wait.is_some(), end.wait.is_some());
        assert!(end.wait >= begin.wait);
    }

    #[test]
    fn threads_get_cpus_in_turn() {
        let check = |index, asked: Option<&[usize]>, usable: &[usize], want| {
            assert_eq!(choose(index, asked, usable), Ok(want), "{index} {asked:?} {usable:?}");
        };
        check(0, None, &[0, 1, 4], Some(4));
        check(1, None, &[0, 1, 4], Some(1));
        check(3, None, &[0, 1, 4], Some(4));
        check(0, None, &[0], None);
        check(0, None, &[], None);
        check(0, Some(&[0]), &[0], Some(0));
        check(0, Some(&[2, 1]), &[0, 1, 2], Some(2));
        check(3, Some(&[2, 1]), &[0, 1, 2], Some(1));
        let why = choose(0, Some(&[1, 9]), &[0, 1]).unwrap_err();
        assert_eq!(why, "--cpus: this process may not use CPU 9; it may use 0,1");
    }

    #[test]
    fn a_pinned_thread_stays_on_its_cpu() {
        // In a thread of its own: the affinity would stay with the test runner's.
        std::thread::spawn(|| {
            let first = core_affinity::get_core_ids().unwrap()[0].id;
            pin(0, Some(&CpuList(vec![first]))).unwrap();
            let now: Vec<usize> =
                core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect();
            assert_eq!(now, [first]);
            assert!(pin(0, Some(&CpuList(vec![4095]))).unwrap_err().contains("CPU 4095"));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn this_machine_is_described() {
        let environment = environment();
        assert!(environment.kernel.starts_with("Linux "), "{}", environment.kernel);
        assert!(environment.cores >= 1);
        assert!(environment.memory_bytes > 1 << 20);
        assert!(!environment.cpu.is_empty());
        assert!(!environment.version.is_empty());
        assert!(!environment.command[0].contains('/'));
        let started: jiff::Timestamp = environment.started.parse().unwrap();
        assert!(jiff::Timestamp::now().as_second() - started.as_second() < 60);
        assert!(environment.started.ends_with('Z') && !environment.started.contains('.'));
    }

    #[test]
    fn no_token_is_shown() {
        let check = |given: &str, want: &str| {
            let shown = blank_tokens(given.split(' ').map(str::to_owned));
            assert_eq!(shown.join(" "), want);
        };
        check("/a/b/gen -c 5", "gen -c 5");
        check("gen --token ey.J -c 5", "gen --token *** -c 5");
        check("gen --token=ey.J -c 5", "gen --token=*** -c 5");
        check("gen -c 5 --token", "gen -c 5 --token");
        check("gen --token --token --rate 5", "gen --token *** --rate 5");
        check("--token x", "--token ***");
    }
}
