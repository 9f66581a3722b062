//! The measured loop with every send as an operation of the server's dispatcher, through tokio-uring,
//! and nothing of a chat. Beside `--through ring` it says what it saves to let sends end at once, outside
//! of the event loop. Tests: `tests/floor.rs`.

use crate::options::Options;
use crate::rounds;
use crate::sender::{Ends, Mark};
use bytes::Bytes;
use ringchat::net::dispatcher::{self, Handler, Turn, Wake};
use ringchat::net::ring::{self, Kind, Op, Token};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Sends rounds until the time is over; gives back the ends.
pub(crate) fn run(options: &Options, ends: Ends, bytes: Vec<u8>) -> Result<(Ends, Marks), String> {
    // io_uring wants sockets that block.
    let rounds = Rounds {
        in_flight: ends.sockets.iter().map(|_| None).collect(),
        options: options.clone(),
        ends,
        bytes: bytes.into(),
        answers: None,
        pending: 0,
        round: 0,
        finished: 0,
        begun: Instant::now(),
        from: None,
        result: None,
    };
    let runtime = ring::runtime().map_err(|error| error.to_string())?;
    let done = runtime
        .block_on(async { tokio_uring::spawn(dispatcher::run(rounds, Wake::new())).await })
        .map_err(|error| format!("the sender: {error}"))?;
    let marks = done.result.unwrap_or_else(|| Err("the sender ended too early".to_owned()))?;
    Ok((done.ends, marks))
}

/// Where the measured window begins and ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) from: Mark,
    pub(crate) to: Mark,
}

struct Rounds {
    options: Options,
    ends: Ends,
    bytes: Bytes,
    in_flight: Vec<Option<Op<Bytes>>>,
    /// Waits for the receiver to say that rounds have arrived.
    answers: Option<Op<()>>,
    /// Sends of the round that have not completed.
    pending: usize,
    round: u64,
    finished: u64,
    begun: Instant,
    from: Option<Mark>,
    result: Option<Result<Marks, String>>,
}

impl Rounds {
    fn handle(&mut self, ready: &mut Vec<Token>) -> Result<(), String> {
        for token in ready.drain(..) {
            match token.kind() {
                Kind::Send => self.sent(token)?,
                _ => self.answered(token)?,
            }
        }
        if self.answers.is_none() {
            let token = Token::new(0, Kind::Readable);
            self.answers = Some(ring::poll_readable(token, self.ends.control.as_fd()));
        }
        Ok(())
    }

    fn sent(&mut self, token: Token) -> Result<(), String> {
        let place = self.in_flight.get_mut(token.slot() as usize);
        let done = place.and_then(|op| op.as_mut()?.take(token));
        let Some((result, bytes)) = done else { return Ok(()) };
        match result {
            Ok(sent) if sent as usize == bytes.len() => self.pending -= 1,
            Ok(sent) => return Err(format!("sent {sent} bytes of {}", bytes.len())),
            Err(error) => return Err(format!("sending: {error}")),
        }
        Ok(())
    }

    fn answered(&mut self, token: Token) -> Result<(), String> {
        if self.answers.as_mut().is_some_and(|op| op.take(token).is_some()) {
            self.answers = None;
        }
        let mut said = [0; 256];
        match ring::recv_now(self.ends.control.as_fd(), &mut said) {
            Ok(0) => Err("the receiver ended too early".to_owned()),
            Ok(n) => {
                self.finished += n as u64;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(format!("the receiver does not answer: {error}")),
        }
    }

    /// Sends the next round, if the receiver is not too far behind; `Some`: the time is over.
    fn next_round(&mut self) -> Option<Marks> {
        if self.pending > 0 || self.round - self.finished >= self.options.window {
            return None;
        }
        let now = Instant::now();
        let warmup = Duration::from_secs_f64(self.options.warmup);
        let duration = Duration::from_secs_f64(self.options.seconds);
        match self.from {
            None if now - self.begun >= warmup => self.from = Some(Mark::now(self.round)),
            Some(from) if now - from.at >= duration && self.round > from.rounds => {
                return Some(Marks { from, to: Mark::now(self.round) });
            }
            _ => {}
        }
        let len = rounds::frames(self.round, self.options.batch) as usize * self.options.bytes;
        let bytes = self.bytes.slice(..len);
        for (slot, socket) in (0u32..).zip(&self.ends.sockets) {
            let op = ring::send(Token::new(slot, Kind::Send), socket.as_fd(), bytes.clone());
            if let Some(place) = self.in_flight.get_mut(slot as usize) {
                *place = Some(op);
            }
        }
        self.pending = self.ends.sockets.len();
        self.round += 1;
        None
    }
}

impl Handler for Rounds {
    fn turn(&mut self, ready: &mut Vec<Token>, _: Instant) -> Turn {
        self.result = match self.handle(ready) {
            Ok(()) => self.next_round().map(Ok),
            Err(why) => Some(Err(why)),
        };
        if self.result.is_some() { Turn::Done } else { Turn::Park }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn has_work(&self) -> bool {
        false
    }
}
