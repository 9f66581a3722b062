//! The other end: reads whatever comes, counts it, and says when a round has arrived whole.
//!
//! Never looks into the bytes; nothing here is measured. Tests: `tests/floor.rs`.

use crate::options::{Orders, Wait};
use crate::{rounds, system};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io::Write;
use std::net::TcpStream;

/// Larger than any receive queue, so that one read empties it.
const BUFFER: usize = 8 << 20;
/// Events taken at once.
const EVENTS: usize = 1024;

/// What arrived, said to the sender at the end: three numbers, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Bytes in all.
    pub(crate) total: u64,
    /// Bytes of the socket that got least.
    pub(crate) least: u64,
    /// Bytes of the socket that got most.
    pub(crate) most: u64,
}

impl Tally {
    /// Length of its form on the wire.
    pub(crate) const BYTES: usize = 24;

    fn to_bytes(self) -> [u8; Tally::BYTES] {
        let mut bytes = [0; Tally::BYTES];
        for (part, number) in bytes.chunks_mut(8).zip([self.total, self.least, self.most]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// From the end of everything the receiver said. None: it ended before it could say it.
    pub(crate) fn from_end(said: &[u8]) -> Option<Tally> {
        let (_, bytes) = said.split_last_chunk::<{ Tally::BYTES }>()?;
        let number = |at: usize| {
            bytes[at * 8..][..8].iter().rev().fold(0, |n, byte| (n << 8) | u64::from(*byte))
        };
        Some(Tally { total: number(0), least: number(1), most: number(2) })
    }
}

/// Connects, reads until the sender has ended all streams, and reports.
pub(crate) fn run(orders: &Orders) -> Result<(), String> {
    system::end_with_parent();
    system::raise_descriptor_limit();
    system::pin(orders.cpu, "--reader-cpu")?;
    let explain = |what: &str, error: std::io::Error| format!("receiver: {what}: {error}");
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", orders.port))?;
        system::prepare(&stream)?;
        system::forget_on_close(&stream);
        Ok(stream)
    };
    let mut control = connect().map_err(|error| explain("connecting", error))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
        .map_err(|error| explain("epoll", error.into()))?;
    let mut sockets = Vec::with_capacity(orders.sockets);
    for number in 0..orders.sockets as u64 {
        let stream = connect().map_err(|error| explain("connecting", error))?;
        epoll::add(&epoll, &stream, epoll::EventData::new_u64(number), epoll::EventFlags::IN)
            .map_err(|error| explain("epoll", error.into()))?;
        sockets.push((stream, 0u64));
    }

    let round_bytes = (orders.sockets * orders.bytes) as u64;
    let mut arrived = 0u64;
    let mut finished = 0u64;
    let mut due = rounds::sum(1, orders.batch) * round_bytes;
    let mut open = orders.sockets;
    let mut buffer = vec![0; BUFFER];
    let mut events = Vec::with_capacity(EVENTS);
    let timeout = match orders.wait {
        Wait::Spin => Timespec { tv_sec: 0, tv_nsec: 0 },
        Wait::Sleep => Timespec { tv_sec: system::PATIENCE.as_secs() as i64, tv_nsec: 0 },
    };
    while open > 0 {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(0) if orders.wait == Wait::Sleep => {
                return Err("receiver: nothing comes any more".to_owned());
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(explain("epoll", error.into())),
        }
        for event in &events {
            let Some((stream, count)) = sockets.get_mut(event.data.u64() as usize) else {
                continue;
            };
            match recv(&*stream, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    open -= 1;
                    epoll::delete(&epoll, &*stream)
                        .map_err(|error| explain("epoll", error.into()))?;
                }
                Ok((bytes, _)) => {
                    *count += bytes as u64;
                    arrived += bytes as u64;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(explain("reading", error.into())),
            }
            // After each read, not after all: the sender may be waiting for this.
            while arrived >= due {
                finished += 1;
                due = rounds::sum(finished + 1, orders.batch) * round_bytes;
                control.write_all(&[0]).map_err(|error| explain("answering", error))?;
            }
        }
    }
    let counts = || sockets.iter().map(|(_, count)| *count);
    let tally = Tally {
        total: arrived,
        least: counts().min().unwrap_or(0),
        most: counts().max().unwrap_or(0),
    };
    control.write_all(&tally.to_bytes()).map_err(|error| explain("answering", error))?;
    // The one stream that is closed in order: a reset could overtake the tally.
    let _ = rustix::net::sockopt::set_socket_linger(&control, None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_read_from_the_end() {
        let tally = Tally { total: 1 << 40, least: 7, most: u64::MAX };
        let mut said = vec![0; 5];
        said.extend_from_slice(&tally.to_bytes());
        assert_eq!(Tally::from_end(&said), Some(tally));
        assert_eq!(Tally::from_end(&said[..20]), None);
    }
}
