//! A server of bare system calls: `epoll_wait`, `accept4`, `recv`, and what a [`Service`] makes of
//! what came. No limits, no time, no memory of what was: what servers are measured beside.
//!
//! It ends when it is killed. Tests: below, and `tests/floor.rs` against the program.

use crate::system;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, accept_with, bind,
    getsockname, listen, recv, send, socket_with, sockopt,
};
use std::net::Ipv4Addr;
use tungstenite::handshake::derive_accept_key;

/// Events taken at once.
const EVENTS: usize = 1024;
/// Bytes that one `recv` brings at most.
const RECV_MAX: usize = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// The listening socket among the events.
const LISTENER: u64 = u64::MAX;

const KEY: &str = "sec-websocket-key:";
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";

/// The open connections by their numbers, which are not used again.
pub(crate) type Sockets = [Option<OwnedFd>];

/// What a server does with what comes.
pub(crate) trait Service {
    /// A connection said this. False: it is over, or speaks of something else.
    fn hear(&mut self, number: usize, socket: &OwnedFd, came: &mut [u8]) -> bool;

    /// All who had something to say have been heard.
    fn end_turn(&mut self, _sockets: &Sockets) {}
}

/// Serves on 127.0.0.1 until it is killed; prints the address when clients can connect. Port 0: a
/// free one.
pub(crate) fn serve(port: u16, service: &mut impl Service) -> Result<(), String> {
    system::raise_descriptor_limit();
    let explain = |error: Errno| format!("cannot serve: {error}");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener =
        socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).map_err(explain)?;
    sockopt::set_socket_reuseaddr(&listener, true).map_err(explain)?;
    // Accepted sockets have it, too.
    sockopt::set_tcp_nodelay(&listener, true).map_err(explain)?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).map_err(explain)?;
    listen(&listener, BACKLOG).map_err(explain)?;
    let address = SocketAddrV4::try_from(getsockname(&listener).map_err(explain)?);
    println!("{}", address.map_err(explain)?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(explain)?;
    let told = |number| epoll::EventData::new_u64(number);
    epoll::add(&epoll, &listener, told(LISTENER), epoll::EventFlags::IN).map_err(explain)?;

    let mut sockets: Vec<Option<OwnedFd>> = Vec::new();
    let mut buffer = vec![0; RECV_MAX];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(explain(error)),
        }
        for event in &events {
            let number = event.data.u64() as usize;
            if event.data.u64() != LISTENER {
                let Some(place) = sockets.get_mut(number) else { continue };
                let lasts = place.as_ref().is_none_or(|socket| {
                    read(socket, &mut buffer, |came| service.hear(number, socket, came))
                });
                if !lasts {
                    *place = None;
                }
                continue;
            }
            loop {
                // It blocks: a send takes all or waits. Reading never waits.
                match accept_with(&listener, SocketFlags::CLOEXEC) {
                    Ok(socket) => {
                        let number = told(sockets.len() as u64);
                        epoll::add(&epoll, &socket, number, epoll::EventFlags::IN)
                            .map_err(explain)?;
                        sockets.push(Some(socket));
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR | Errno::CONNABORTED) => {}
                    Err(error) => return Err(explain(error)),
                }
            }
        }
        service.end_turn(&sockets);
    }
}

/// Reads once. False: the connection is over.
fn read(socket: &OwnedFd, buffer: &mut [u8], hear: impl FnOnce(&mut [u8]) -> bool) -> bool {
    match recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
        Ok((bytes, _)) if bytes > 0 => buffer.get_mut(..bytes).is_some_and(hear),
        Err(Errno::AGAIN | Errno::INTR) => true,
        Ok(_) | Err(_) => false,
    }
}

/// All of it. False: the connection is broken.
pub(crate) fn send_all(socket: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// The path and the answer of a request head that asks for a WebSocket.
pub(crate) fn upgrade(head: &[u8]) -> Option<(&str, String)> {
    let head = str::from_utf8(head).ok()?;
    let path = head.strip_prefix("GET ")?.split(' ').next()?;
    let named = |line: &&str| line.get(..KEY.len()).is_some_and(|n| n.eq_ignore_ascii_case(KEY));
    let key = head.lines().find(named)?.get(KEY.len()..)?.trim();
    Some((path, format!("{ANSWER}{}\r\n\r\n", derive_accept_key(key.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_request_of_the_standard() {
        let request =
            b"GET /a HTTP/1.1\r\nHost: a\r\nsec-webSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let (path, answer) = upgrade(request).unwrap();
        assert_eq!(path, "/a");
        assert!(answer.ends_with("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{answer}");
        assert_eq!(upgrade(b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(upgrade(b"\x81\x85\x37"), None);
    }
}
