//! One connection of the stub: a thread writes what is queued, whoever has queued it; what comes in
//! is read through [`Pipe`]. With or without TLS.

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// Frames that may wait for a slow member, where that is bounded.
pub(super) const QUEUE: usize = 64;
/// How long a member that is shed may take to let the frame in progress end.
const SHED_PATIENCE: Duration = Duration::from_millis(100);

/// While it is shut, nothing is read and nothing is written.
#[derive(Default)]
pub(super) struct Gate(Mutex<Option<Instant>>);

impl Gate {
    pub(super) fn shut_for(&self, time: Duration) {
        *self.0.lock().unwrap() = Some(Instant::now() + time);
    }

    fn pass(&self) {
        let until = *self.0.lock().unwrap();
        if let Some(until) = until {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
    }
}

enum Item {
    Frame(Arc<[u8]>),
    /// TLS has something to say.
    Flush,
    Close(u16),
    Reset,
}

/// Where to send to a connection. Holds nothing open.
#[derive(Clone)]
pub(super) struct Out {
    items: Sender<Item>,
    tcp: Weak<TcpStream>,
    shed: Arc<AtomicBool>,
}

impl Out {
    /// Queues a whole frame. The peer may be gone; if too many wait already, it is shed.
    pub(super) fn frame(&self, frame: Arc<[u8]>) {
        self.push(Item::Frame(frame));
    }

    /// Closes with `code`, after what is queued.
    pub(super) fn close(&self, code: u16) {
        self.push(Item::Close(code));
    }

    /// Resets the connection, after what is queued has arrived.
    pub(super) fn reset(&self) {
        self.push(Item::Reset);
    }

    /// Ends the connection at once.
    pub(super) fn cut(&self) {
        if let Some(tcp) = self.tcp.upgrade() {
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }

    fn push(&self, item: Item) {
        if let Err(TrySendError::Full(_)) = self.items.try_send(item) {
            self.shed.store(true, Ordering::Relaxed);
        }
    }
}

/// What comes in, and a way to answer: a stream for a WebSocket implementation.
pub(super) struct Pipe {
    tcp: Arc<TcpStream>,
    tls: Option<Arc<Mutex<ServerConnection>>>,
    gate: Arc<Gate>,
    out: Out,
}

/// Starts the connection's writer. `bounded`: shed the peer if over [`QUEUE`] frames wait.
pub(super) fn open(
    tcp: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    gate: &Arc<Gate>,
    bounded: bool,
) -> (Pipe, Out) {
    tcp.set_nodelay(true).unwrap();
    tcp.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    let tcp = Arc::new(tcp);
    let tls = tls.map(|config| Arc::new(Mutex::new(ServerConnection::new(config).unwrap())));
    let (items, queue) = match bounded {
        true => crossbeam_channel::bounded(QUEUE),
        false => crossbeam_channel::unbounded(),
    };
    let shed = Arc::new(AtomicBool::new(false));
    let out = Out { items, tcp: Arc::downgrade(&tcp), shed: Arc::clone(&shed) };
    let writer = Writer { tcp: Arc::clone(&tcp), tls: tls.clone(), gate: Arc::clone(gate), shed };
    std::thread::spawn(move || writer.run(&queue));
    (Pipe { tcp, tls, gate: Arc::clone(gate), out: out.clone() }, out)
}

struct Writer {
    tcp: Arc<TcpStream>,
    tls: Option<Arc<Mutex<ServerConnection>>>,
    gate: Arc<Gate>,
    shed: Arc<AtomicBool>,
}

impl Writer {
    fn run(self, queue: &Receiver<Item>) {
        // Ends when nobody can send to the peer any more.
        for item in queue {
            self.gate.pass();
            let written = match item {
                Item::Frame(frame) => self.write(&frame),
                Item::Flush => self.write(&[]),
                Item::Close(code) => return self.close(code),
                Item::Reset => {
                    self.arrived();
                    return self.reset();
                }
            };
            match written {
                Ok(()) if self.shed.load(Ordering::Relaxed) => return self.close(3008),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return self.reset(),
                Err(_) => {
                    let _ = self.tcp.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }

    /// Writes it all, however long that takes, unless the peer is shed (`TimedOut`).
    fn write(&self, plain: &[u8]) -> io::Result<()> {
        let Some(tls) = &self.tls else { return self.write_bytes(plain) };
        let mut cipher = Vec::new();
        {
            let mut tls = tls.lock().unwrap();
            tls.writer().write_all(plain)?;
            while tls.wants_write() {
                tls.write_tls(&mut cipher)?;
            }
        }
        self.write_bytes(&cipher)
    }

    fn write_bytes(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut patience = None;
        while !bytes.is_empty() {
            match (&*self.tcp).write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.shed.load(Ordering::Relaxed) {
                        let until = patience.get_or_insert_with(|| Instant::now() + SHED_PATIENCE);
                        if Instant::now() > *until {
                            return Err(ErrorKind::TimedOut.into());
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn close(&self, code: u16) {
        self.shed.store(true, Ordering::Relaxed);
        let [a, b] = code.to_be_bytes();
        match self.write(&[&[0x88, 6, a, b], &b"stub"[..]].concat()) {
            Ok(()) => drop(self.tcp.shutdown(Shutdown::Write)),
            Err(_) => self.reset(),
        }
    }

    /// Waits until the peer's kernel has everything that was written: a reset throws away what is
    /// still on its way, and nobody could say what was lost.
    fn arrived(&self) {
        let Ok(peer) = self.tcp.peer_addr() else { return };
        let end = |address: SocketAddr| match address {
            SocketAddr::V4(it) => {
                format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port())
            }
            SocketAddr::V6(_) => panic!("the stub listens on 127.0.0.1"),
        };
        let (here, there) = (end(self.tcp.local_addr().unwrap()), end(peer));
        let pending = || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
            let row = rows.find(|row| row[1] == here && row[2] == there);
            row.is_some_and(|row| !row[4].starts_with("00000000:"))
        };
        let start = Instant::now();
        while pending() && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// When the reader has noticed too, and the last one lets go of the socket, it is reset.
    fn reset(&self) {
        let _ = socket2::SockRef::from(&*self.tcp).set_linger(Some(Duration::ZERO));
        let _ = self.tcp.shutdown(Shutdown::Read);
    }
}

impl Pipe {
    fn read_tcp(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.gate.pass();
        let read = (&*self.tcp).read(bytes);
        self.gate.pass();
        read
    }
}

impl Read for Pipe {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.read_tcp(bytes) };
        loop {
            let read = tls.lock().unwrap().reader().read(bytes);
            match read {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            let mut cipher = [0; 4096];
            let len = self.read_tcp(&mut cipher)?;
            if len == 0 {
                return Ok(0);
            }
            let mut cipher = &cipher[..len];
            while !cipher.is_empty() {
                let mut tls = tls.lock().unwrap();
                tls.read_tls(&mut cipher)?;
                let processed = tls.process_new_packets();
                self.out.push(Item::Flush);
                processed.map_err(io::Error::other)?;
            }
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.frame(bytes.into());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
