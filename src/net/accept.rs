//! Sockets that come: listening, accepting, giving a fresh one to the emptiest worker.

use super::connection::Connection;
use super::mesh::Control;
use super::ring::{self, Kind, Op, Token};
use super::worker::{SPARE_SOCKETS, Worker, millis};
use crate::ws::codec::Decoder;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

/// Sockets accepted per listener and turn.
const ACCEPTS_MAX: usize = 64;
/// After a failed accept (no descriptors, no memory) the listener rests this long.
const ACCEPT_REST_MS: u64 = 100;

/// A listener of a worker.
pub(super) struct Listening {
    pub(super) socket: TcpListener,
    pub(super) watch: Option<Op<()>>,
    /// It has been shut down; it goes when its last operation has ended.
    pub(super) closing: bool,
}

impl Worker {
    pub(super) fn watch_listeners(&mut self) {
        for (slot, listening) in (0u32..).zip(&mut self.listeners) {
            if let Some(listening) = listening
                && listening.watch.is_none()
            {
                let token = Token::new(slot, Kind::Accept);
                listening.watch = Some(ring::poll_readable(token, listening.socket.as_fd()));
            }
        }
    }

    pub(super) fn listener_ready(&mut self, token: Token) {
        let index = token.slot() as usize;
        let Some(Some(listening)) = self.listeners.get_mut(index) else { return };
        if listening.watch.as_mut().is_none_or(|op| op.take(token).is_none()) {
            return;
        }
        listening.watch = None;
        if listening.closing {
            self.listeners[index] = None;
            return;
        }
        if self.accept(index, ACCEPTS_MAX) {
            self.watch_listeners();
        } else {
            // Descriptors or memory are short: trying at once again would spin.
            self.accept_again_ms = Some(self.now.mono_ms + ACCEPT_REST_MS);
        }
    }

    /// Accepts what is there, up to `max` sockets. False: accepting failed and should rest.
    pub(super) fn accept(&mut self, index: usize, max: usize) -> bool {
        for _ in 0..max {
            let Some(Some(listening)) = self.listeners.get(index) else { return true };
            match listening.socket.accept() {
                Ok((socket, address)) => self.place(socket, address),
                Err(e) => match e.kind() {
                    std::io::ErrorKind::WouldBlock => return true,
                    std::io::ErrorKind::ConnectionAborted
                    | std::io::ErrorKind::ConnectionReset
                    | std::io::ErrorKind::Interrupted => {}
                    _ => {
                        self.metrics.accept_errors.inc();
                        return false;
                    }
                },
            }
        }
        true
    }

    /// Gives a fresh socket to the emptiest worker, before anything is done with it.
    fn place(&mut self, socket: TcpStream, address: SocketAddr) {
        self.metrics.accepted.inc();
        if self.shared.balance.total() >= self.shared.connections_max + SPARE_SOCKETS {
            self.metrics.rejected_full.inc();
            return; // dropped: there is no room even to say so
        }
        let own = self.index();
        let chosen = self.shared.balance.place(own);
        if chosen != own
            && self.drain.is_none()
            && let Some(reach) = self.mesh.reaches().get(chosen)
        {
            self.metrics.handed_over.inc();
            reach.send(Control::Socket(socket, address));
        } else {
            if chosen != own {
                self.shared.balance.remove(chosen);
                self.shared.balance.add(own);
            }
            self.adopt(socket, address);
        }
    }

    /// A socket becomes a connection of this worker (and is counted as one already).
    pub(super) fn adopt(&mut self, socket: TcpStream, address: SocketAddr) -> u32 {
        let limited = self.settings.config.client.connection_limit_per_address > 0;
        let address = limited.then(|| Box::new(address.ip().to_canonical()));
        let slot = self.insert(socket, address);
        self.schedule(slot);
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.watch(slot);
        }
        slot
    }

    /// A place for a socket, of which the head is still to come.
    pub(super) fn insert(&mut self, socket: TcpStream, address: Option<Box<IpAddr>>) -> u32 {
        let config = &self.settings.config;
        let deadline_ms = self.now.mono_ms + millis(config.http_server.head_timeout);
        let decoder = Decoder::server(config.websocket.message_size_limit as u32);
        self.serials = self.serials.wrapping_add(1);
        let mut connection = Connection::new(socket, self.serials, decoder, deadline_ms);
        connection.address = address;
        let slot = self.connections.insert(connection) as u32;
        self.metrics.connections.set(self.connections.len() as u64);
        slot
    }

    /// Puts the connection's deadline on the wheel.
    pub(super) fn schedule(&mut self, slot: u32) {
        if let Some(connection) = self.connections.get(slot as usize)
            && let Some(at) = connection.deadline_ms()
        {
            self.wheel.schedule(u64::from(connection.serial) << 32 | u64::from(slot), at);
        }
    }
}
