//! A server process on this machine: its CPU time, memory and context switches.
//!
//! Reads `/proc` once per sample and thread; never touches the process.

use crate::record::ServerSample;
use procfs::process::Process;
use std::cell::Cell;

/// A process that is looked at from time to time. One that comes later with the same number is
/// not taken for it.
#[derive(Debug)]
pub struct ServerProcess {
    process: Process,
    /// What may not go back although threads end.
    seen: Cell<Seen>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// CPU seconds of threads that ended.
    ended_s: f64,
    cpu_s: f64,
    voluntary: u64,
    involuntary: u64,
}

/// `stat` counts all threads, those that ended as well, but in ticks of 10 ms, user and system
/// time each rounded down: the sum over the threads that there are is less only if some ended.
const COARSE_S: f64 = 0.03;

impl ServerProcess {
    /// Errors: there is no such process, or this user may not look at it.
    pub fn new(pid: u32) -> Result<ServerProcess, String> {
        let number = i32::try_from(pid).map_err(|_| format!("there is no process {pid}"))?;
        let explain = |error: procfs::ProcError| match error {
            procfs::ProcError::NotFound(_) => {
                format!("there is no process {pid} on this machine (--server-pid)")
            }
            procfs::ProcError::PermissionDenied(_) => {
                format!("process {pid} (--server-pid) may not be read by this user")
            }
            other => format!("cannot read process {pid} (--server-pid): {other}"),
        };
        let process = Process::new(number).map_err(explain)?;
        process.stat().map_err(explain)?;
        let server = ServerProcess { process, seen: Cell::default() };
        match server.sample(0.0) {
            Some(_) => Ok(server),
            None => Err(format!("process {pid} (--server-pid) has ended, or may not be read")),
        }
    }

    /// The process as it is now, `at_s` seconds after the start of the measured window. None when
    /// it has ended.
    pub fn sample(&self, at_s: f64) -> Option<ServerSample> {
        let stat = self.process.stat().ok().filter(|stat| !matches!(stat.state, 'Z' | 'X'))?;
        let ticks = procfs::ticks_per_second() as f64;
        let (user_s, system_s) = (stat.utime as f64 / ticks, stat.stime as f64 / ticks);
        let threads = self.threads()?;

        let mut seen = self.seen.get();
        let cpu_s = match threads.cpu_ns {
            None => user_s + system_s,
            Some(ns) => {
                let living_s = ns as f64 / 1e9;
                let lost = user_s + system_s - (living_s + seen.ended_s);
                if lost > COARSE_S {
                    seen.ended_s += lost;
                }
                living_s + seen.ended_s
            }
        };
        seen.cpu_s = seen.cpu_s.max(cpu_s);
        seen.voluntary = seen.voluntary.max(threads.voluntary);
        seen.involuntary = seen.involuntary.max(threads.involuntary);
        self.seen.set(seen);
        Some(ServerSample {
            at_s,
            user_s,
            system_s,
            cpu_s: seen.cpu_s,
            rss_bytes: stat.rss * procfs::page_size(),
            voluntary: seen.voluntary,
            involuntary: seen.involuntary,
        })
    }

    /// Resident memory in bytes. None when the process has ended.
    pub fn rss(&self) -> Option<u64> {
        let memory = self.process.statm().ok()?;
        Some(memory.resident * procfs::page_size()).filter(|bytes| *bytes > 0)
    }

    /// The program's name, without its path.
    pub fn command(&self) -> Option<String> {
        // Another user's executable cannot be read; its name can.
        match self.process.exe() {
            Ok(path) => {
                let name = path.file_name()?.to_string_lossy();
                // Replaced by a newer build while it runs.
                Some(name.trim_end_matches(" (deleted)").to_owned())
            }
            Err(_) => self.process.stat().ok().map(|stat| stat.comm),
        }
    }

    /// Sums over the threads that there are. None when the process has ended.
    fn threads(&self) -> Option<Threads> {
        let mut sum = Threads { cpu_ns: Some(0), voluntary: 0, involuntary: 0 };
        let mut read = 0;
        for task in self.process.tasks().ok()? {
            // A thread may end between two reads.
            let Ok(task) = task else { continue };
            let Ok(status) = task.status() else { continue };
            sum.voluntary += status.voluntary_ctxt_switches.unwrap_or(0);
            sum.involuntary += status.nonvoluntary_ctxt_switches.unwrap_or(0);
            let spent = task.schedstat().ok().map(|schedule| schedule.sum_exec_runtime);
            sum.cpu_ns = sum.cpu_ns.zip(spent).map(|(a, b)| a + b);
            read += 1;
        }
        (read > 0).then_some(sum)
    }
}

struct Threads {
    /// None: this kernel does not say.
    cpu_ns: Option<u64>,
    voluntary: u64,
    involuntary: u64,
}

/// All processes of the servers of a run, as if they were one.
#[derive(Debug, Default)]
pub struct ServerProcesses(Vec<ServerProcess>);

impl ServerProcesses {
    /// Errors: which of them is not there or may not be read.
    pub fn new(pids: &[u32]) -> Result<ServerProcesses, String> {
        pids.iter().map(|pid| ServerProcess::new(*pid)).collect::<Result<_, _>>().map(Self)
    }

    /// The sum of all. `None`: one has ended, or there is none.
    pub fn sample(&self, at_s: f64) -> Option<ServerSample> {
        let samples = self.0.iter().map(|process| process.sample(at_s));
        samples.reduce(|a, b| a.zip(b).map(|(a, b)| sum(a, b))).flatten()
    }

    /// Resident memory of all, in bytes.
    pub fn rss(&self) -> Option<u64> {
        self.0.iter().map(ServerProcess::rss).reduce(|a, b| Some(a? + b?)).flatten()
    }

    /// Names of their programs, each once.
    pub fn command(&self) -> Option<String> {
        let mut names = self.0.iter().filter_map(ServerProcess::command).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

fn sum(a: ServerSample, b: ServerSample) -> ServerSample {
    ServerSample {
        at_s: a.at_s,
        user_s: a.user_s + b.user_s,
        system_s: a.system_s + b.system_s,
        cpu_s: a.cpu_s + b.cpu_s,
        rss_bytes: a.rss_bytes + b.rss_bytes,
        voluntary: a.voluntary + b.voluntary,
        involuntary: a.involuntary + b.involuntary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(cpu_s: f64) {
        let begin = crate::system::thread_usage().cpu;
        while (crate::system::thread_usage().cpu - begin).as_secs_f64() < cpu_s {
            std::hint::black_box(0);
        }
    }

    #[test]
    fn this_process_is_seen() {
        let ours = ServerProcess::new(std::process::id()).unwrap();
        let before = ours.sample(-1.5).unwrap();
        spin(0.02);
        let after = ours.sample(0.0).unwrap();
        assert_eq!(before.at_s, -1.5);
        assert!(after.cpu_s - before.cpu_s >= 0.015, "{before:?} {after:?}");
        assert!((after.cpu_s - after.user_s - after.system_s).abs() < 0.2, "{after:?}");
        assert!(after.rss_bytes > 1 << 20);
        let rss = ours.rss().unwrap();
        assert!(rss / 2 < after.rss_bytes && after.rss_bytes < rss * 2);
        assert!(after.voluntary + after.involuntary > 0);
        assert!(ours.command().is_some_and(|name| name.contains("ringchat_loadgen")));
    }

    #[test]
    fn threads_that_end_are_not_forgotten() {
        let ours = ServerProcess::new(std::process::id()).unwrap();
        let before = ours.sample(0.0).unwrap().cpu_s;
        std::thread::spawn(|| spin(0.2)).join().unwrap();
        let after = ours.sample(1.0).unwrap().cpu_s;
        assert!(after - before >= 0.2 - 2.0 * COARSE_S, "{before} {after}");
    }

    #[test]
    fn a_process_that_ended_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let server = ServerProcess::new(child.id()).unwrap();
        assert!(server.sample(0.0).is_some() && server.rss().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(server.sample(1.0), None);
        assert_eq!(server.rss(), None);
        let why = ServerProcess::new(child.id()).unwrap_err();
        assert!(why.starts_with("there is no process"), "{why}");
        assert!(ServerProcess::new(u32::MAX).unwrap_err().starts_with("there is no process"));
    }

    #[test]
    fn several_are_summed() {
        let pid = std::process::id();
        let [one, two] = [&[pid][..], &[pid, pid]].map(|p| ServerProcesses::new(p).unwrap());
        let (one, both) = (one.sample(1.0).unwrap(), two.sample(1.0).unwrap());
        assert_eq!(both.at_s, 1.0);
        assert!(both.rss_bytes > one.rss_bytes && both.cpu_s >= one.cpu_s, "{one:?} {both:?}");
        assert!(two.rss().unwrap() > 0 && !two.command().unwrap().contains(','));
        let none = ServerProcesses::default();
        assert_eq!((none.sample(0.0), none.rss(), none.command()), (None, None, None));
        assert!(ServerProcesses::new(&[pid, u32::MAX]).is_err());
    }
}
