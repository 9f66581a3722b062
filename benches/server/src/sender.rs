//! The measured loop: one send per member and round, on one thread.
//!
//! Sockets block, so that flow control is the kernel's; besides, the sender is never more than
//! `--window` rounds ahead, or unmerged messages would pile up in the receiver's queues and be read
//! together. Tests: `tests/floor.rs`.

use crate::dispatched::{self, Marks};
use crate::options::{Options, Through};
use crate::receiver::Tally;
use crate::{rounds, system};
use bytes::Bytes;
use ringchat::net::ring::{Sends, Sent};
use rustix::io::Errno;
use rustix::net::{SendFlags, send, sockopt};
use serde::Serialize;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// CPU time of the sending thread for each frame that one member got.
    ns_per_delivery: f64,
    /// CPU time of the sending thread for each round and member.
    ns_per_send: f64,
    /// One frame to one member is one delivery.
    deliveries: u64,
    deliveries_per_s: f64,
    rooms: usize,
    /// Of each room.
    members: usize,
    batch: f64,
    bytes: usize,
    rounds: u64,
    /// Length of the measured window.
    seconds: f64,
    /// Part of it for which the sender was on its CPU, in percent.
    cpu_percent: f64,
    /// Bytes that arrived, warm-up included: all that were sent.
    received_bytes: u64,
}

/// Ends the receiver if the sender ends before it.
pub(crate) struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Receiver {
    /// Its next connection.
    fn connection(&mut self, listener: &TcpListener) -> Result<TcpStream, String> {
        let deadline = Instant::now() + system::PATIENCE;
        loop {
            match listener.accept() {
                Ok((stream, _)) => return Ok(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot accept: {error}")),
            }
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("the receiver failed: {status}"));
            }
            if Instant::now() >= deadline {
                return Err("the receiver does not connect".to_owned());
            }
        }
    }
}

/// How often a sender that waits for its receiver looks whether it still lives.
const GLANCE: Duration = Duration::from_millis(100);

/// Both ends, connected.
pub(crate) struct Ends {
    receiver: Receiver,
    /// For the receiver's answers.
    pub(crate) control: TcpStream,
    /// What is sent to.
    pub(crate) sockets: Vec<TcpStream>,
}

/// Where sender and clock stood at the end of a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) at: Instant,
    cpu: Duration,
    pub(crate) rounds: u64,
}

impl Mark {
    pub(crate) fn now(rounds: u64) -> Mark {
        Mark { at: Instant::now(), cpu: system::thread_cpu(), rounds }
    }
}

/// Measures. The options have been checked.
pub(crate) fn run(options: &Options) -> Result<Report, String> {
    system::raise_descriptor_limit();
    let (rooms, members) = options.size();
    let mut ends = connect(options, rooms * members)?;
    system::pin(options.cpu, "--cpu")?;

    let frames_max = (options.batch.ceil() as usize) + 1;
    let bytes = rounds::frame(options.bytes)?.repeat(frames_max);
    let Marks { from, to } = match options.through {
        Through::Send => round_by_round(options, &mut ends, |sockets, len| {
            let bytes = bytes.get(..len).unwrap_or_default();
            sockets.iter().try_for_each(|socket| send_all(socket, bytes))
        })?,
        Through::Ring => {
            let mut sends = Sends::new().map_err(|error| error.to_string())?;
            let bytes = Bytes::from(bytes);
            round_by_round(options, &mut ends, |sockets, len| {
                send_batched(&mut sends, sockets, &bytes.slice(..len))
            })?
        }
        Through::Dispatcher => {
            let marks;
            (ends, marks) = dispatched::run(options, ends, bytes)?;
            marks
        }
    };
    let Ends { mut receiver, mut control, sockets } = ends;
    let round = to.rounds;

    for socket in &sockets {
        socket.shutdown(Shutdown::Write).map_err(|error| format!("ending a stream: {error}"))?;
    }
    let mut said = Vec::new();
    control.read_to_end(&mut said).map_err(|error| format!("the receiver is stuck: {error}"))?;
    let tally = Tally::from_end(&said).ok_or("the receiver ended too early")?;
    let each = rounds::sum(round, options.batch) * options.bytes as u64;
    let sent = Tally { total: each * sockets.len() as u64, least: each, most: each };
    if tally != sent {
        return Err(format!("bytes were lost: sent {sent:?}, received {tally:?}"));
    }
    let status = receiver.0.wait().map_err(|error| format!("the receiver: {error}"))?;
    if !status.success() {
        return Err(format!("the receiver failed: {status}"));
    }
    Ok(report(options, from, to, tally.total))
}

/// The loop: `send(sockets, len)` sends a round, the first `len` bytes to each socket.
fn round_by_round(
    options: &Options,
    ends: &mut Ends,
    mut send: impl FnMut(&[TcpStream], usize) -> Result<(), String>,
) -> Result<Marks, String> {
    let warmup = Duration::from_secs_f64(options.warmup);
    let duration = Duration::from_secs_f64(options.seconds);
    let begun = Instant::now();
    let mut from: Option<Mark> = None;
    let mut round = 0;
    let mut finished = 0;
    loop {
        while round - finished >= options.window {
            finished += answers(&mut ends.control)?;
        }
        let now = Instant::now();
        match from {
            None if now - begun >= warmup => from = Some(Mark::now(round)),
            Some(from) if now - from.at >= duration && round > from.rounds => {
                return Ok(Marks { from, to: Mark::now(round) });
            }
            _ => {}
        }
        let len = rounds::frames(round, options.batch) as usize * options.bytes;
        send(&ends.sockets, len)?;
        round += 1;
    }
}

fn report(options: &Options, from: Mark, to: Mark, received_bytes: u64) -> Report {
    let (rooms, members) = options.size();
    let sockets = (rooms * members) as u64;
    let frames = rounds::sum(to.rounds, options.batch) - rounds::sum(from.rounds, options.batch);
    let deliveries = frames * sockets;
    let sends = (to.rounds - from.rounds) * sockets;
    let cpu_ns = (to.cpu - from.cpu).as_nanos() as f64;
    let seconds = (to.at - from.at).as_secs_f64();
    Report {
        ns_per_delivery: cpu_ns / deliveries as f64,
        ns_per_send: cpu_ns / sends as f64,
        deliveries,
        deliveries_per_s: deliveries as f64 / seconds,
        rooms,
        members,
        batch: options.batch,
        bytes: options.bytes,
        rounds: to.rounds - from.rounds,
        seconds,
        cpu_percent: cpu_ns / 1e7 / seconds,
        received_bytes,
    }
}

/// Starts the receiver and takes its connections; the first is the one for answers.
fn connect(options: &Options, sockets: usize) -> Result<Ends, String> {
    let failed = |error: std::io::Error| format!("cannot connect the two ends: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    // A receiver that died would be waited for without end.
    sockopt::set_socket_timeout(&listener, sockopt::Timeout::Recv, Some(GLANCE))
        .map_err(|error| failed(error.into()))?;
    let port = listener.local_addr().map_err(failed)?.port();
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("receive")
        .args(["--port", &port.to_string()])
        .args(["--sockets", &sockets.to_string()])
        .args(["--batch", &options.batch.to_string()])
        .args(["--bytes", &options.bytes.to_string()])
        .args(["--cpu", &options.reader_cpu.to_string()])
        .args(["--wait", if options.spins() { "spin" } else { "sleep" }])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start the receiver: {error}"))?;
    let mut receiver = Receiver(child);
    let mut accept = || -> Result<TcpStream, String> {
        let stream = receiver.connection(&listener)?;
        system::prepare(&stream).map_err(failed)?;
        Ok(stream)
    };
    let control = accept()?;
    let sockets = (0..sockets).map(|_| accept()).collect::<Result<_, _>>()?;
    Ok(Ends { receiver, control, sockets })
}

/// Waits until at least one more round has arrived; says how many.
fn answers(control: &mut TcpStream) -> Result<u64, String> {
    let mut bytes = [0; 256];
    match control.read(&mut bytes) {
        Ok(0) => Err("the receiver ended too early".to_owned()),
        Ok(n) => Ok(n as u64),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(format!("the receiver does not answer: {error}")),
    }
}

/// All of it, as the server does it; what a socket does not take at once, by a blocking send.
fn send_batched(sends: &mut Sends, sockets: &[TcpStream], bytes: &Bytes) -> Result<(), String> {
    let mut ended = Vec::new();
    let mut slots = (0u32..).zip(sockets).peekable();
    while let Some((slot, socket)) = slots.next() {
        sends.push(slot, socket.as_fd(), bytes.clone());
        if !sends.is_full() && slots.peek().is_some() {
            continue;
        }
        sends.run(&mut ended);
        for (slot, sent) in ended.drain(..) {
            match (sent, sockets.get(slot as usize)) {
                (Sent::All, _) => {}
                (Sent::Rest(rest), Some(socket)) => send_all(socket, &rest)?,
                _ => return Err("sending: the connection is broken".to_owned()),
            }
        }
    }
    Ok(())
}

/// All of it; a blocking send takes all at once unless a signal interrupts it.
fn send_all(socket: &TcpStream, mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(format!("sending: {error}")),
        }
    }
    Ok(())
}
