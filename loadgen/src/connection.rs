//! One connection: its socket, the operations in flight, the bytes and the messages that wait.
//!
//! Knows nothing of the dialect or of what is owed: that is `worker`'s.

use crate::dialect::Position;
use crate::frame;
use crate::tls::Tls;
use ringchat::net::ring::{self, Kind, Op, Token};
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsFd;

/// A send buffer that grew longer than this is not kept, in bytes.
const KEPT_MAX: usize = 8 * 1024;
/// Receive buffer of a slow reader, in bytes, so that what it does not read waits at the server.
const SLOW_BUFFER: usize = 4 * 1024;

/// How far a connection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Not opened yet, or away by plan and to be opened again.
    New,
    Connecting,
    /// The upgrade was asked for with this key.
    Upgrading(String),
    /// Upgraded; the room's answer is to come.
    Joining,
    Open,
    /// Has said goodbye, by plan; reads until the server ends it.
    Leaving,
    /// Ended for good.
    Over,
}

pub(crate) struct Connection {
    pub(crate) state: State,
    /// Number of its next message.
    pub(crate) number: u32,
    /// How many of them the server has answered.
    pub(crate) answered: u32,
    /// Due times of messages that wait for the connection to be free.
    pub(crate) waiting: VecDeque<u64>,
    /// Bytes of an unfinished frame.
    pub(crate) rest: Vec<u8>,
    /// Payload of an unfinished message.
    pub(crate) fragments: Vec<u8>,
    /// That message is binary.
    pub(crate) binary: bool,
    /// Where it is in the room's stream, if it is to recover.
    pub(crate) position: Option<Box<Position>>,
    /// Begin of the TCP connect.
    pub(crate) opened_ns: u64,
    /// When it left by plan, until it is back.
    pub(crate) left_ns: Option<u64>,
    /// It is to drop as soon as its own messages are back.
    pub(crate) dropping: bool,
    /// Frames to send.
    pending: Vec<u8>,
    /// With TLS: records to send.
    records: Vec<u8>,
    /// Empty, with memory.
    spare: Vec<u8>,
    tls: Option<Box<Tls>>,
    socket: Option<Socket>,
    connecting: Option<Op<Box<SockAddr>>>,
    polling: Option<Op<()>>,
    sending: Option<Op<Vec<u8>>>,
}

impl Connection {
    pub(crate) fn new() -> Connection {
        Connection {
            state: State::New,
            number: 0,
            answered: 0,
            waiting: VecDeque::new(),
            rest: Vec::new(),
            fragments: Vec::new(),
            binary: false,
            position: None,
            opened_ns: 0,
            left_ns: None,
            dropping: false,
            pending: Vec::new(),
            records: Vec::new(),
            spare: Vec::new(),
            tls: None,
            socket: None,
            connecting: None,
            polling: None,
            sending: None,
        }
    }

    /// Begins to connect; again, if it was open before and has no operation in flight.
    pub(crate) fn open(
        &mut self,
        slot: u32,
        peer: SocketAddr,
        source: Option<IpAddr>,
        tls: Option<Tls>,
        slow: bool,
    ) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(peer), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        if slow {
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
        }
        if let Some(source) = source {
            ring::bind_without_port(socket.as_fd())?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        self.rest.clear();
        self.fragments.clear();
        self.pending.clear();
        self.records.clear();
        self.tls = tls.map(Box::new);
        let token = Token::new(slot, Kind::Connect);
        self.connecting = Some(ring::connect(token, socket.as_fd(), peer));
        self.socket = Some(socket);
        self.state = State::Connecting;
        Ok(())
    }

    /// The result of the connect.
    pub(crate) fn connected(&mut self, token: Token) -> Option<io::Result<u32>> {
        let (result, _) = self.connecting.as_mut()?.take(token)?;
        self.connecting = None;
        Some(result)
    }

    /// Waits for something to read, unless it does already or the connection is over.
    pub(crate) fn poll(&mut self, slot: u32) {
        if let (Some(socket), None) = (&self.socket, &self.polling)
            && !matches!(self.state, State::Over | State::New)
        {
            let token = Token::new(slot, Kind::Readable);
            self.polling = Some(ring::poll_readable(token, socket.as_fd()));
        }
    }

    /// The poll has ended. `None`: not this one.
    pub(crate) fn polled(&mut self, token: Token) -> Option<()> {
        // An error is one of the socket: reading tells which.
        let _ = self.polling.as_mut()?.take(token)?;
        self.polling = None;
        Some(())
    }

    /// Reads what is there into `into`, as it comes from the network.
    pub(crate) fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.socket {
            Some(socket) => ring::recv_now(socket.as_fd(), into),
            None => Ok(0),
        }
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Deciphers what came from the network into [`Connection::rest`].
    pub(crate) fn decipher(&mut self, cipher: &[u8]) -> Result<(), String> {
        match &mut self.tls {
            Some(tls) => tls.read(cipher, &mut self.rest, &mut self.records),
            None => Ok(()),
        }
    }

    /// Queues a frame, masked with `key`.
    pub(crate) fn write(&mut self, opcode: u8, payload: &[u8], key: u32) {
        frame::write(&mut self.pending, opcode, payload, key);
    }

    /// Queues bytes that are no frame.
    pub(crate) fn write_raw(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Bytes that are queued and not yet handed to the ring.
    pub(crate) fn queued(&self) -> usize {
        self.pending.len()
    }

    /// Sends what is queued, unless a send is in flight or the connection is over.
    pub(crate) fn flush(&mut self, slot: u32) {
        let (Some(socket), None) = (&self.socket, &self.sending) else { return };
        if matches!(self.state, State::Over | State::New | State::Connecting) {
            return;
        }
        if let Some(tls) = &mut self.tls {
            // An error ends the connection at the next read.
            let _ = tls.write(&self.pending, &mut self.records);
            self.pending.clear();
            std::mem::swap(&mut self.pending, &mut self.records);
        }
        if !self.pending.is_empty() {
            let bytes = std::mem::replace(&mut self.pending, std::mem::take(&mut self.spare));
            let token = Token::new(slot, Kind::Send);
            self.sending = Some(ring::send_vec(token, socket.as_fd(), bytes));
        }
    }

    /// The result of the send: was everything taken?
    pub(crate) fn sent(&mut self, token: Token) -> Option<io::Result<()>> {
        let (result, mut bytes) = self.sending.as_mut()?.take(token)?;
        self.sending = None;
        let whole = matches!(&result, Ok(n) if *n as usize == bytes.len());
        if bytes.capacity() <= KEPT_MAX {
            bytes.clear();
            self.spare = bytes;
        }
        Some(match result {
            Ok(_) if whole => Ok(()),
            Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        })
    }

    /// Ends both directions, so that what is in flight completes. The caller sets the state.
    pub(crate) fn end(&mut self) {
        if let Some(socket) = &self.socket {
            // An error means that the connection has ended before.
            let _ = ring::shutdown(socket.as_fd(), Shutdown::Both);
        }
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    pub(crate) fn has_operations(&self) -> bool {
        self.connecting.is_some() || self.polling.is_some() || self.sending.is_some()
    }
}
