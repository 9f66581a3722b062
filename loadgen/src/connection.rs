//! One connection: its socket, the operations in flight, the bytes that wait.

use crate::frame;
use bytes::{Bytes, BytesMut};
use ringchat::net::ring::{self, Kind, Op, Token};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;

/// How far a connection has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not opened yet.
    New,
    Connecting,
    /// The upgrade was asked for with this key.
    Upgrading(String),
    /// Upgraded; the room's answer is to come.
    Joining,
    Open,
    /// Ended by either side.
    Over,
}

pub(crate) struct Connection {
    pub(crate) state: State,
    /// Number of its next message.
    pub(crate) number: u32,
    /// Bytes of an unfinished frame.
    pub(crate) rest: Vec<u8>,
    /// Payload of an unfinished message.
    pub(crate) fragments: Vec<u8>,
    /// Frames to send.
    pub(crate) pending: BytesMut,
    socket: Option<Socket>,
    connecting: Option<Op<Box<SockAddr>>>,
    polling: Option<Op<()>>,
    sending: Option<Op<Bytes>>,
}

impl Connection {
    pub(crate) fn new() -> Connection {
        Connection {
            state: State::New,
            number: 0,
            rest: Vec::new(),
            fragments: Vec::new(),
            pending: BytesMut::new(),
            socket: None,
            connecting: None,
            polling: None,
            sending: None,
        }
    }

    /// Begins to connect.
    pub(crate) fn open(&mut self, slot: u32, peer: SocketAddr) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(peer), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
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
            && self.state != State::Over
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

    /// Reads what is there into `into`.
    pub(crate) fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.socket {
            Some(socket) => ring::recv_now(socket.as_fd(), into),
            None => Ok(0),
        }
    }

    /// Queues a frame, masked with `key`.
    pub(crate) fn write(&mut self, opcode: u8, payload: &[u8], key: u32) {
        frame::write(&mut self.pending, opcode, payload, key);
    }

    /// Sends what is queued, unless a send is in flight or the connection is over.
    pub(crate) fn flush(&mut self, slot: u32) {
        if let (Some(socket), None) = (&self.socket, &self.sending)
            && !self.pending.is_empty()
            && self.state != State::Over
        {
            let token = Token::new(slot, Kind::Send);
            let bytes = self.pending.split().freeze();
            self.sending = Some(ring::send(token, socket.as_fd(), bytes));
        }
    }

    /// The result of the send: was everything taken?
    pub(crate) fn sent(&mut self, token: Token) -> Option<io::Result<()>> {
        let (result, bytes) = self.sending.as_mut()?.take(token)?;
        self.sending = None;
        Some(match result {
            Ok(n) if n as usize == bytes.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        })
    }

    /// Ends both directions, so that what is in flight completes.
    pub(crate) fn end(&mut self) {
        self.state = State::Over;
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
