//! One listener per core on the same port, and the choice of who serves a fresh socket.
//!
//! `SO_REUSEPORT` lets the kernel spread connections by hash: binomial, not even. So a fresh
//! socket moves to the emptiest core when that one has noticeably fewer, before any byte is read.

use crate::config::Config;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections that the kernel keeps ready for `accept`; capped by `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// Binds every address of the configuration once per worker: `[worker][address]`.
///
/// Errors: an address is taken, by another server with `SO_REUSEPORT` too, or not ours.
pub fn bind(config: &Config, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut listeners: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for wanted in &config.listen {
        let dual_stack = wanted.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            && !config.listen.iter().any(|a| a.is_ipv4() && a.port() == wanted.port());
        let explain = |e: io::Error| io::Error::new(e.kind(), format!("{wanted}: {e}"));
        // Alone first: with SO_REUSEPORT a second server would share the port unnoticed.
        if wanted.port() != 0 {
            open(*wanted, dual_stack, false).map_err(explain)?;
        }
        let mut addr = *wanted;
        for of_worker in &mut listeners {
            let listener = open(addr, dual_stack, true).map_err(explain)?;
            addr = listener.local_addr().map_err(explain)?; // port 0: the first one chooses
            of_worker.push(listener);
        }
    }
    Ok(listeners)
}

fn open(addr: SocketAddr, dual_stack: bool, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.bind(&addr.into())?;
    if share {
        socket.set_tcp_nodelay(true)?; // what it accepts inherits this
        socket.set_nonblocking(true)?; // what it accepts does not inherit this
    }
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sockets that a worker may have beyond its share because rooms gather there, besides an eighth: a
/// small room fits, whatever the rest does.
const GATHER_SPARE: usize = 16;

/// How many sockets each worker has, counted by all of them.
#[derive(Debug)]
pub struct Balance {
    sockets: Vec<AtomicUsize>,
}

impl Balance {
    /// For so many workers, none of which has a socket.
    pub fn new(workers: usize) -> Balance {
        Balance { sockets: (0..workers).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// The worker that should serve a socket that `accepted_by` has accepted; counts it there.
    pub fn place(&self, accepted_by: usize) -> usize {
        let count = |worker: usize| {
            self.sockets.get(worker).map_or(usize::MAX, |n| n.load(Ordering::Relaxed))
        };
        let emptiest = (0..self.sockets.len()).min_by_key(|worker| count(*worker));
        let own = count(accepted_by);
        let chosen = match emptiest {
            // Moving costs a wake-up: a difference of a few in a hundred does no harm.
            Some(emptiest) if own > count(emptiest) + 1 + count(emptiest) / 32 => emptiest,
            _ => accepted_by,
        };
        self.add(chosen);
        chosen
    }

    /// Whether a worker may take a connection that another one has, for the sake of its room: if
    /// it does not have noticeably more than the others.
    pub fn may_gather(&self, to: usize) -> bool {
        let mean = self.total() / self.sockets.len().max(1);
        let sockets = self.sockets.get(to).map_or(usize::MAX, |n| n.load(Ordering::Relaxed));
        sockets < mean + mean / 8 + GATHER_SPARE
    }

    /// Counts a socket of a worker.
    pub fn add(&self, worker: usize) {
        if let Some(n) = self.sockets.get(worker) {
            n.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a socket of a worker less.
    pub fn remove(&self, worker: usize) {
        if let Some(n) = self.sockets.get(worker) {
            n.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sockets of all workers.
    pub fn total(&self) -> usize {
        self.sockets.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_all_come_to_one_worker_are_spread() {
        let balance = Balance::new(2);
        for _ in 0..64 {
            balance.place(0);
        }
        assert_eq!(balance.total(), 64);
        let first = balance.sockets[0].load(Ordering::Relaxed);
        assert!((29..=35).contains(&first), "{first}");
    }

    #[test]
    fn a_port_is_not_shared_with_another_server() {
        let mut config =
            Config { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Config::default() };
        let ours = bind(&config, 2).unwrap();
        let addr = ours[0][0].local_addr().unwrap();
        assert_eq!(addr, ours[1][0].local_addr().unwrap());
        config.listen = vec![addr];
        let error = bind(&config, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()));
    }
}
