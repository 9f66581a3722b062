//! What it costs the kernel to take connections in: `accept`, `recv` of the request, `send` of the
//! answer, and to be told when more comes. No server can upgrade a connection for less with these.
//!
//! It ends when it is killed. What comes after the upgrade is sent back, whole frames in one read
//! each, as the generator's dialect `echo` wants it. Tests: below, and
//! `tests/floor.rs` against the program.

use crate::options::Accept;
use crate::system;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, accept_with, bind,
    listen, recv, send, socket_with, sockopt,
};
use std::net::Ipv4Addr;
use tungstenite::handshake::derive_accept_key;

/// Events taken at once.
const EVENTS: usize = 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// The listening socket among the events.
const LISTENER: u64 = u64::MAX;

const KEY: &str = "sec-websocket-key:";
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";

/// Accepts until it is killed.
pub(crate) fn run(orders: &Accept) -> Result<(), String> {
    system::raise_descriptor_limit();
    let explain = |error: Errno| format!("cannot accept: {error}");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener =
        socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).map_err(explain)?;
    sockopt::set_socket_reuseaddr(&listener, true).map_err(explain)?;
    // Accepted sockets have it, too.
    sockopt::set_tcp_nodelay(&listener, true).map_err(explain)?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, orders.port)).map_err(explain)?;
    listen(&listener, BACKLOG).map_err(explain)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(explain)?;
    let told = |number| epoll::EventData::new_u64(number);
    epoll::add(&epoll, &listener, told(LISTENER), epoll::EventFlags::IN).map_err(explain)?;

    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(explain(error)),
        }
        for event in &events {
            if event.data.u64() != LISTENER {
                let Some(place) = connections.get_mut(event.data.u64() as usize) else { continue };
                if place.as_ref().is_some_and(|socket| !serve(socket, &mut buffer)) {
                    *place = None;
                }
                continue;
            }
            loop {
                match accept_with(&listener, flags) {
                    Ok(socket) => {
                        let number = told(connections.len() as u64);
                        epoll::add(&epoll, &socket, number, epoll::EventFlags::IN)
                            .map_err(explain)?;
                        connections.push(Some(socket));
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR | Errno::CONNABORTED) => {}
                    Err(error) => return Err(explain(error)),
                }
            }
        }
    }
}

/// Reads once and answers. False: the connection is over, or speaks of something else.
fn serve(socket: &OwnedFd, buffer: &mut [u8]) -> bool {
    let bytes = match recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
        Ok((bytes, _)) if bytes > 0 => bytes,
        Err(Errno::AGAIN | Errno::INTR) => return true,
        Ok(_) | Err(_) => return false,
    };
    let Some(came) = buffer.get(..bytes) else { return false };
    let answer = if came.starts_with(b"GET ") { answer(came) } else { echo(came) };
    answer.is_some_and(|answer| send(socket, &answer, SendFlags::NOSIGNAL) == Ok(answer.len()))
}

/// The answer to a request head that asks for a WebSocket.
fn answer(head: &[u8]) -> Option<Vec<u8>> {
    let head = str::from_utf8(head).ok()?;
    let named = |line: &&str| line.get(..KEY.len()).is_some_and(|n| n.eq_ignore_ascii_case(KEY));
    let key = head.lines().find(named)?.get(KEY.len()..)?.trim();
    Some(format!("{ANSWER}{}\r\n\r\n", derive_accept_key(key.as_bytes())).into_bytes())
}

/// A client's frame of less than 64 KiB as a server sends it back: without its mask.
fn echo(frame: &[u8]) -> Option<Vec<u8>> {
    let (&[first, second], rest) = frame.split_first_chunk::<2>()?;
    let mut out = vec![first, second & 0x7f];
    let (len, rest) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            out.extend_from_slice(len);
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => return None,
        len => (usize::from(len), rest),
    };
    let (key, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..len)?;
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_request_of_the_standard() {
        let request =
            b"GET / HTTP/1.1\r\nHost: a\r\nsec-webSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let answer = String::from_utf8(answer(request).unwrap()).unwrap();
        assert!(answer.ends_with("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{answer}");
        assert_eq!(super::answer(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn a_frame_comes_back_without_its_mask() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(echo(&hello).unwrap(), b"\x81\x05Hello");
        let long = [&[0x81, 0xfe, 0, 200, 1, 1, 1, 1][..], &[b'a' ^ 1; 200]].concat();
        assert_eq!(echo(&long).unwrap(), [&[0x81, 126, 0, 200][..], &[b'a'; 200]].concat());
        for short in [vec![0x81], vec![0x81, 0x85, 1, 1, 1, 1, b'a'], vec![0x81, 0xff, 0, 0]] {
            assert_eq!(echo(&short), None, "{short:?}");
        }
    }
}
