//! One connection: its read side, its write side, and the three steps of closing it.
//!
//! Owns the socket, the operations in flight on it and its phase. A socket is closed only after
//! all of its operations have completed: stop (say why, stop writing), join (wait for what is in
//! flight, read what the peer still sends), close. It knows nothing of rooms or sessions.

use super::ring::{self, Kind, Op, Token};
use crate::ws::codec::Decoder;
use bytes::{Bytes, BytesMut};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

/// For the send in flight and the Close frame behind it, in milliseconds.
pub(super) const FLUSH_MS: u64 = 5_000;
/// For the peer to answer a close by closing, in milliseconds.
pub(super) const LINGER_MS: u64 = 2_000;
/// Bytes read and discarded while closing. Unread input would turn the close into a reset, which
/// destroys the Close frame on its way.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

/// A connection of a worker.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    /// Tells users of one slot apart, for timers.
    pub(super) serial: u32,
    pub(super) phase: Phase,
    read: Option<Op<()>>,
    send: Option<Op<Bytes>>,
    pub(super) decoder: Decoder,
    /// Set where connections are counted per address.
    pub(super) address: Option<Box<IpAddr>>,
    /// Counts as one of the WebSocket connections that are limited.
    pub(super) counted: bool,
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its request head is being read.
    Head(Box<Head>),
    /// It is a WebSocket; the shard knows it by its slot.
    Open,
    /// It is being closed.
    Closing(Box<Closing>),
}

/// A request head so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) deadline_ms: u64,
}

/// How far a close has come.
#[derive(Debug)]
pub(super) struct Closing {
    /// What still goes out; empty once it is with the kernel.
    queue: Bytes,
    step: Step,
    discarded: usize,
    pub(super) deadline_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Sending the rest and the Close frame.
    Flush,
    /// Writing is shut down; the peer's last bytes are read and discarded.
    Linger,
    /// Both directions are shut down; the operations in flight end.
    Join,
}

/// What is left to do after an event of a closing connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Wait for the next event.
    Wait,
    /// All operations are joined: the connection can be dropped.
    Gone,
}

impl Connection {
    /// A connection whose head is still to come.
    pub(super) fn new(socket: TcpStream, serial: u32, decoder: Decoder, deadline_ms: u64) -> Self {
        Connection {
            socket,
            serial,
            phase: Phase::Head(Box::new(Head { bytes: Vec::new(), deadline_ms })),
            read: None,
            send: None,
            decoder,
            address: None,
            counted: false,
        }
    }

    /// The socket, once nothing is in flight; otherwise the connection, unchanged.
    pub(super) fn into_socket(self) -> TcpStream {
        debug_assert!(!self.in_flight(), "a descriptor moves only with nothing in flight");
        self.socket
    }

    /// When the connection has to be looked at, in this phase.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Head(head) => Some(head.deadline_ms),
            Phase::Open => None,
            Phase::Closing(closing) => Some(closing.deadline_ms),
        }
    }

    fn in_flight(&self) -> bool {
        self.read.is_some() || self.send.is_some()
    }

    // ---- reading

    /// Waits for something to read, if that is not being waited for already.
    pub(super) fn watch(&mut self, slot: u32) {
        if self.read.is_none() {
            let token = Token::new(slot, Kind::Readable);
            self.read = Some(ring::poll_readable(token, self.socket.as_fd()));
        }
    }

    /// Takes the completed wait. False: it has not completed.
    pub(super) fn take_readable(&mut self, token: Token) -> bool {
        let done = self.read.as_mut().is_some_and(|op| op.take(token).is_some());
        if done {
            self.read = None;
        }
        done
    }

    /// Reads what is there into `buffer`. `Ok(None)`: nothing after all. `Ok(Some(0))`: the peer
    /// has ended.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
        match ring::recv_now(self.socket.as_fd(), buffer) {
            Ok(n) => Ok(Some(n)),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    // ---- writing

    /// Whether a send is in flight.
    pub(super) fn is_sending(&self) -> bool {
        self.send.is_some()
    }

    /// What [`ring::Sends`] send to. Only when no send is in flight.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Submits one send, which ends when the socket has taken all. Only when none is in flight.
    pub(super) fn send(&mut self, slot: u32, bytes: Bytes) {
        let token = Token::new(slot, Kind::Send);
        self.send = Some(ring::send(token, self.socket.as_fd(), bytes));
    }

    /// Takes the completed send: `None` while it is in flight, then whether all of it went out.
    pub(super) fn take_sent(&mut self, token: Token) -> Option<bool> {
        let (result, bytes) = self.send.as_mut()?.take(token)?;
        self.send = None;
        Some(result.is_ok_and(|sent| sent as usize == bytes.len()))
    }

    // ---- closing

    /// Begins to close: sends `last` (whole frames or a response, the Close frame at its end),
    /// then stops writing. What the peer sends meanwhile is read and discarded.
    pub(super) fn begin_close(&mut self, slot: u32, last: &[Bytes], now_ms: u64) -> After {
        let mut queue = BytesMut::with_capacity(last.iter().map(Bytes::len).sum());
        last.iter().for_each(|bytes| queue.extend_from_slice(bytes));
        self.phase = Phase::Closing(Box::new(Closing {
            queue: queue.freeze(),
            step: Step::Flush,
            discarded: 0,
            deadline_ms: now_ms + FLUSH_MS,
        }));
        // The memory of unfinished messages is not needed any more.
        self.decoder = Decoder::server(0);
        self.watch(slot);
        self.go_on(slot, now_ms)
    }

    /// Ends both directions at once; what is in flight is joined.
    pub(super) fn terminate(&mut self, slot: u32, now_ms: u64) -> After {
        let _ = ring::shutdown(self.socket.as_fd(), Shutdown::Both);
        self.decoder = Decoder::server(0);
        self.phase = Phase::Closing(Box::new(Closing {
            queue: Bytes::new(),
            step: Step::Join,
            discarded: 0,
            deadline_ms: now_ms + FLUSH_MS,
        }));
        self.go_on(slot, now_ms)
    }

    /// Goes on with a close after a send, a read or a deadline.
    pub(super) fn go_on(&mut self, slot: u32, now_ms: u64) -> After {
        let sending = self.is_sending();
        let in_flight = self.in_flight();
        let Phase::Closing(closing) = &mut self.phase else { return After::Wait };
        match closing.step {
            Step::Flush if sending => After::Wait,
            Step::Flush if !closing.queue.is_empty() => {
                let queue = std::mem::take(&mut closing.queue);
                self.send(slot, queue);
                After::Wait
            }
            Step::Flush => {
                closing.step = Step::Linger;
                closing.deadline_ms = now_ms + LINGER_MS;
                let shut = ring::shutdown(self.socket.as_fd(), Shutdown::Write);
                self.watch(slot);
                if shut.is_err() { self.terminate(slot, now_ms) } else { After::Wait }
            }
            Step::Linger => After::Wait,
            Step::Join if in_flight => After::Wait,
            Step::Join => After::Gone,
        }
    }

    /// The last send of a close failed: nothing more can be said.
    pub(super) fn cannot_send(&mut self, slot: u32, now_ms: u64) -> After {
        self.terminate(slot, now_ms)
    }

    /// Something came while closing: it is discarded, up to a bound.
    pub(super) fn discard(&mut self, slot: u32, buffer: &mut [u8], now_ms: u64) -> After {
        if matches!(&self.phase, Phase::Closing(closing) if closing.step == Step::Join) {
            return self.go_on(slot, now_ms);
        }
        match self.read(buffer) {
            Ok(None) => {}
            Ok(Some(n)) if n > 0 => {
                if let Phase::Closing(closing) = &mut self.phase {
                    closing.discarded += n;
                    if closing.discarded > DISCARD_BYTES_MAX {
                        return self.terminate(slot, now_ms);
                    }
                }
            }
            // The peer has ended too. What is being sent may still arrive there.
            Ok(Some(_)) if self.is_flushing() => return After::Wait,
            Ok(Some(_)) | Err(_) => return self.terminate(slot, now_ms),
        }
        self.watch(slot);
        After::Wait
    }

    fn is_flushing(&self) -> bool {
        matches!(&self.phase, Phase::Closing(closing) if closing.step == Step::Flush)
    }

    /// The close takes too long.
    pub(super) fn overdue(&mut self, slot: u32, now_ms: u64) -> After {
        self.terminate(slot, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection>() <= 160, "{}", size_of::<Connection>());
    }
}
