//! What every test uses: a server process, clients of all dialects, a little HTTP.

pub mod client;
pub mod http;
pub mod protobuf;
pub mod server;

pub use client::{Closed, Event, Plain, Sdk, Socket};
pub use server::{Run, Server};

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Within this time everything that a test waits for has happened, or the test fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Tries again until `attempt` yields something. Every attempt should be a round trip to the
/// server, so that this does not spin.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
    }
}

/// Runs one closure per item, each in its own thread, and collects what they return, in order.
pub fn in_parallel<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    run: impl Fn(usize, I) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(i, item)| scope.spawn(move || run(i, item)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect()
    })
}

/// A port of 127.0.0.1 that is given to nobody else by chance, and on which nobody listens unless it
/// is asked to by number.
#[derive(Debug)]
pub struct Port(socket2::Socket);

impl Port {
    /// Bound, and never listening: a listener that was closed may live on for a moment, in a child
    /// that another test is just starting.
    pub fn reserve() -> Port {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Port(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

/// A file of a test's own, removed at the end.
#[derive(Debug)]
pub struct File(PathBuf);

impl File {
    pub fn new(extension: &str, text: &str) -> File {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringchat-it-{}-{number}.{extension}", std::process::id());
        let file = File(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    /// Writes another text into it.
    pub fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
