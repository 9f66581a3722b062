//! The server as a process.

use super::{DEADLINE, http};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ringchat");

/// A process whose output is collected and whose end is waited for with a deadline. It is killed
/// when dropped.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    output: Arc<Mutex<String>>,
    lines: Receiver<String>,
    exit: Receiver<ExitStatus>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, without the settings of whoever runs the tests.
    pub fn spawn(command: &mut Command) -> Process {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RINGCHAT_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let pid = child.id();
        let output = Arc::new(Mutex::new(String::new()));
        let (line, lines) = channel();
        let readers = [
            collect(child.stdout.take(), output.clone(), line.clone()),
            collect(child.stderr.take(), output.clone(), line),
        ];
        let (ended, exit) = channel();
        thread::spawn(move || wait(&mut child, readers, &ended));
        Process { pid, output, lines, exit, ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// All that it wrote so far, to stdout and stderr.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// The next line that `wanted` takes; fails when the process ends without one.
    pub fn wait_for_line<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {what} within {DEADLINE:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without {what}:\n{}", self.output())
                }
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let status = self.kill(name);
        assert!(status.is_ok_and(|s| s.success()), "kill -s {name} {}", self.pid);
    }

    fn kill(&self, name: &str) -> std::io::Result<ExitStatus> {
        Command::new("kill").args(["-s", name, &self.pid.to_string()]).status()
    }

    /// Waits for the end of the process; its output is whole then.
    pub fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        let status = self.exit.recv_timeout(DEADLINE);
        let status = status.unwrap_or_else(|_| panic!("still running:\n{}", self.output()));
        self.ended = Some(status);
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() && self.exit.try_recv().is_err() {
            // It may have ended just now.
            let _ = self.kill("KILL");
            let _ = self.exit.recv_timeout(DEADLINE);
        }
        if thread::panicking() {
            eprintln!("--- output of process {}:\n{}---", self.pid, self.output());
        }
    }
}

fn collect(
    from: Option<impl Read + Send + 'static>,
    output: Arc<Mutex<String>>,
    lines: Sender<String>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let Some(from) = from else { return };
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let mut all = output.lock().unwrap();
            all.push_str(&line);
            all.push('\n');
            drop(all);
            let _ = lines.send(line);
        }
    })
}

fn wait(child: &mut Child, readers: [thread::JoinHandle<()>; 2], ended: &Sender<ExitStatus>) {
    let status = child.wait();
    for reader in readers {
        let _ = reader.join();
    }
    if let Ok(status) = status {
        let _ = ended.send(status);
    }
}

/// A run of the binary that is expected to end by itself.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub output: String,
}

impl Run {
    pub fn new(args: &[&str]) -> Run {
        Run::command(Command::new(BINARY).args(args))
    }

    pub fn command(command: &mut Command) -> Run {
        let mut process = Process::spawn(command);
        let code = process.wait().code();
        Run { code, output: process.output() }
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    process: Process,
    pub address: SocketAddr,
}

impl Server {
    /// Two workers on a free port of the loopback, with `--set` for each of `settings`. Unless these
    /// say otherwise, nobody is asked for a sign of life: on a busy machine, a test's thousands of
    /// clients may not come to give one in time.
    pub fn start(settings: &[&str]) -> Server {
        const PATIENT: &str = "client.ping_interval=1h";
        let about_pings = settings.iter().any(|pair| pair.starts_with("client.ping_interval="));
        let patient = (!about_pings).then_some(PATIENT);
        let settings = settings.iter().copied().chain(patient);
        let args: Vec<&str> = settings.flat_map(|pair| ["--set", pair]).collect();
        Server::with_args(&args)
    }

    /// Two workers on a free port of the loopback, with arguments.
    pub fn with_args(args: &[&str]) -> Server {
        let mut command = Command::new(BINARY);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Server::command(command.args(["--workers", "2"]).args(args))
    }

    /// Runs `command` and waits until it says where it listens.
    pub fn command(command: &mut Command) -> Server {
        let mut process = Process::spawn(command);
        let address = process.wait_for_line("address", |line| {
            let (_, rest) = line.split_once("http://")?;
            rest.split('/').next()?.parse().ok()
        });
        Server { process, address }
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn output(&self) -> String {
        self.process.output()
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// The next line of its output that `wanted` takes.
    pub fn wait_for_line<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.process.wait_for_line(what, wanted)
    }

    /// The sum of the samples of a metric that carry all of `labels`; 0 if there are none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let response = http::get(self.address, "/metrics");
        assert_eq!(response.status, 200, "/metrics: {}", response.body);
        let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let samples = response.body.lines().filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (found, given) = sample.split_once('{').unwrap_or((sample, ""));
            let fits = found == name && wanted.iter().all(|pair| given.contains(pair.as_str()));
            fits.then(|| value.parse::<f64>().ok()).flatten()
        });
        samples.sum::<f64>() as u64
    }

    /// WebSocket connections of each of the two workers.
    pub fn sessions(&self) -> [u64; 2] {
        ["0", "1"].map(|worker| self.metric("ringchat_sessions", &[("worker", worker)]))
    }
}
