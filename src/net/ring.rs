//! Every operation that is submitted to io_uring, and the waker that names it.
//!
//! Owns: the ring's setup and the words with which its failure is explained, the token waker and
//! the thread's ready list, the ring of the sends that end at once, the memory that the kernel reads
//! while an operation is in flight.
//! Never: decides what an operation is for (the handlers of [`super::dispatcher`] do), closes a
//! descriptor, submits an operation with more than one completion (tokio-uring would panic).
//!
//! This is the only file with `unsafe`. Tests: `ring/tests.rs` and the end of `dispatcher.rs`.
//!
//! # Rules for callers
//!
//! * Submit, [`Op::take`] and drop operations on the thread that runs the ring only. An operation
//!   submitted outside of [`Runtime::block_on`] panics: that is a programmer's error.
//! * A descriptor stays open until its operations have completed: submission happens when the
//!   thread parks, and by then a closed number could belong to another connection. Shut the
//!   socket down, wait for the completions, then close.
//! * Sockets are in blocking mode: io_uring honours `O_NONBLOCK`, and a send into a full socket
//!   would answer `EAGAIN` instead of waiting.
#![allow(unsafe_code)]

use bytes::Bytes;
pub use io_uring::types::Timespec;
use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};
use socket2::{SockAddr, SockRef};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use tokio_uring::{InFlightOneshot, OneshotOutputTransform, UnsubmittedOneshot};

mod error;

pub use error::RingError;

/// Submission queue entries. A fuller turn submits in between, so this is no limit.
const ENTRIES: u32 = 4096;
/// Completion queue entries: every operation in flight may complete at once.
const COMPLETIONS: u32 = 65_536;

// ---------------------------------------------------------------------------------------------
// Tokens and the ready list

/// What an operation was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A connection became readable, or its peer hung up.
    Readable = 0,
    /// A send has ended.
    Send = 1,
    /// A connect has ended.
    Connect = 2,
    /// A listener became readable.
    Accept = 3,
    /// The dispatcher's own way to yield; handlers never see it.
    Kick = 4,
    /// A [`timeout`] has passed.
    Timer = 5,
}

/// Names an operation: the slot of its owner and its [`Kind`].
///
/// It is what the ready list holds and what the waker carries in place of a pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(usize);

const KIND_BITS: u32 = 3;
const _: () = assert!(usize::BITS >= u32::BITS + KIND_BITS, "a token needs a 64-bit word");

impl Token {
    /// The token of `kind` for `slot`.
    pub const fn new(slot: u32, kind: Kind) -> Token {
        Token((slot as usize) << KIND_BITS | kind as usize)
    }

    /// Whose operation it was.
    pub const fn slot(self) -> u32 {
        (self.0 >> KIND_BITS) as u32
    }

    /// What it was for.
    pub const fn kind(self) -> Kind {
        match self.0 & ((1 << KIND_BITS) - 1) {
            0 => Kind::Readable,
            1 => Kind::Send,
            2 => Kind::Connect,
            3 => Kind::Accept,
            5 => Kind::Timer,
            _ => Kind::Kick,
        }
    }
}

struct Ready {
    tokens: RefCell<Vec<Token>>,
    task: RefCell<Option<Waker>>,
}

thread_local! {
    static READY: Ready =
        const { Ready { tokens: RefCell::new(Vec::new()), task: RefCell::new(None) } };
    /// Set while this thread's [`Runtime`] is dropped; see [`Stored`].
    static CLOSING: Cell<bool> = const { Cell::new(false) };
}

/// Notes that `token`'s operation has completed. Runs inside the driver's borrow: it may not
/// touch the driver, and the two cells are borrowed nowhere else while the driver is.
fn push_ready(token: Token) {
    READY.with(|ready| {
        let was_empty = {
            let mut tokens = ready.tokens.borrow_mut();
            tokens.push(token);
            tokens.len() == 1
        };
        if was_empty && let Some(task) = &*ready.task.borrow() {
            task.wake_by_ref();
        }
    });
}

/// Appends to `into` the tokens whose operations have completed since the last call, in order
/// of completion. When `into` is empty the two lists swap their memory.
pub fn take_ready(into: &mut Vec<Token>) {
    READY.with(|ready| {
        let mut tokens = ready.tokens.borrow_mut();
        if into.is_empty() {
            std::mem::swap(&mut *tokens, into);
        } else {
            into.append(&mut tokens);
        }
    });
}

/// Sets the task that is woken when this thread's ready list becomes non-empty.
pub(super) fn set_task(task: Option<Waker>) {
    READY.with(|ready| ready.task.replace(task));
}

static TOKEN_WAKER: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &TOKEN_WAKER),
    |data| push_ready(Token(data.addr())),
    |data| push_ready(Token(data.addr())),
    |_| {},
);

fn waker(token: Token) -> Waker {
    let raw = RawWaker::new(ptr::without_provenance(token.0), &TOKEN_WAKER);
    // SAFETY: the four functions take `data` as an integer and never follow it, so they are
    // valid for any value, on any thread, any number of times; there is nothing to release.
    unsafe { Waker::from_raw(raw) }
}

// ---------------------------------------------------------------------------------------------
// Operations

/// What the kernel may read while an operation is in flight.
///
/// When the driver is dropped, tokio-uring 0.5 frees the data of operations whose futures are
/// gone before it cancels them, while the kernel may still read it. So data that is dropped while
/// the runtime is being dropped is leaked: only what was in flight, and only when a core ends.
struct Stored<D>(Option<D>);

impl<D> Drop for Stored<D> {
    fn drop(&mut self) {
        if CLOSING.try_with(Cell::get).unwrap_or(true) {
            std::mem::forget(self.0.take());
        }
    }
}

/// Turns a completion into `(result, data)`.
struct Outcome<D>(std::marker::PhantomData<fn() -> D>);

impl<D> OneshotOutputTransform for Outcome<D> {
    type Output = (i32, Option<D>);
    type StoredData = Stored<D>;

    fn transform_oneshot_output(self, mut data: Stored<D>, cqe: cqueue::Entry) -> Self::Output {
        (cqe.result(), data.0.take())
    }
}

type InFlight<D> = InFlightOneshot<Stored<D>, Outcome<D>>;

enum State<D: 'static> {
    InFlight(InFlight<D>),
    /// Completed before the waker was registered.
    Early(i32, Option<D>),
    Taken,
}

/// A submitted operation and the data it works on (at most one completion).
///
/// Dropping it does not end the operation: the data stays with the driver until it completes.
pub struct Op<D: 'static>(State<D>);

impl<D: Unpin + 'static> Op<D> {
    /// Submits `entry`, which may point into what `data` owns, and registers `token`'s waker.
    ///
    /// # Safety
    ///
    /// Every pointer in `entry` stays valid, for what the operation does with it, as long as
    /// `data` is not dropped, wherever `data` itself is moved.
    unsafe fn submit(token: Token, data: D, entry: squeue::Entry) -> Op<D> {
        let outcome = Outcome(std::marker::PhantomData);
        let mut flight = UnsubmittedOneshot::new(Stored(Some(data)), outcome, entry).submit();
        let waker = waker(token);
        match Pin::new(&mut flight).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Op(State::InFlight(flight)),
            Poll::Ready((result, data)) => {
                push_ready(token);
                Op(State::Early(result, data))
            }
        }
    }

    /// The result and the data, once the operation has completed.
    ///
    /// `None`: still in flight, or taken before. Errors: what the kernel answered.
    pub fn take(&mut self, token: Token) -> Option<(io::Result<u32>, D)> {
        if let State::InFlight(flight) = &mut self.0 {
            let waker = waker(token);
            match Pin::new(flight).poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => return None,
                Poll::Ready((result, data)) => self.0 = State::Early(result, data),
            }
        }
        match std::mem::replace(&mut self.0, State::Taken) {
            State::Early(result, Some(data)) => Some((answer(result), data)),
            _ => None,
        }
    }
}

impl<D> fmt::Debug for Op<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::InFlight(_) => "Op(in flight)",
            State::Early(..) => "Op(completed)",
            State::Taken => "Op(taken)",
        })
    }
}

/// A completion's result: not negative, or an errno.
fn answer(result: i32) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg()))
}

fn fd(fd: BorrowedFd<'_>) -> types::Fd {
    types::Fd(fd.as_raw_fd())
}

/// Waits until `socket` has something to read, has ended or has failed (or, for a listener,
/// until there is a connection to accept). Result: the poll mask.
pub fn poll_readable(token: Token, socket: BorrowedFd<'_>) -> Op<()> {
    let entry = opcode::PollAdd::new(fd(socket), libc::POLLIN as u32).build();
    // SAFETY: the entry has no pointer.
    unsafe { Op::submit(token, (), entry) }
}

/// Sends all of `bytes`. Result: the bytes sent, fewer only when the connection ended.
pub fn send(token: Token, socket: BorrowedFd<'_>, bytes: Bytes) -> Op<Bytes> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let entry = opcode::Send::new(fd(socket), bytes.as_ptr(), len)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
        .build();
    // SAFETY: the pointer is to `len` bytes owned by `bytes`, which are immutable and stay where
    // they are when the `Bytes` is moved.
    unsafe { Op::submit(token, bytes, entry) }
}

/// Sends all of `bytes` as one operation; the vector comes back, for the next send. For clients,
/// whose bytes go to one socket only. Result: as [`send`].
pub fn send_vec(token: Token, socket: BorrowedFd<'_>, bytes: Vec<u8>) -> Op<Vec<u8>> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let entry = opcode::Send::new(fd(socket), bytes.as_ptr(), len)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
        .build();
    // SAFETY: the pointer is to `len` bytes on the heap, which stay where they are when the `Vec`
    // is moved, and which nobody can change before the operation gives the `Vec` back.
    unsafe { Op::submit(token, bytes, entry) }
}

/// Connects `socket` to `peer`. Result: 0.
pub fn connect(token: Token, socket: BorrowedFd<'_>, peer: SocketAddr) -> Op<Box<SockAddr>> {
    let address = Box::new(SockAddr::from(peer));
    let entry = opcode::Connect::new(fd(socket), address.as_ptr().cast(), address.len()).build();
    // SAFETY: the address lies in the box, which stays where it is when the `Box` is moved.
    unsafe { Op::submit(token, address, entry) }
}

/// Completes with `ETIME` after the time that `after` holds, to the kernel's clock (finer than a
/// tokio timer, whose unit is 1 ms). The box comes back, for the next one.
pub fn timeout(token: Token, after: Box<Timespec>) -> Op<Box<Timespec>> {
    let entry = opcode::Timeout::new(&raw const *after).build();
    // SAFETY: the time lies in the box, which stays where it is when the `Box` is moved.
    unsafe { Op::submit(token, after, entry) }
}

/// Completes at the next look at the ring. Result: 0.
pub fn nop(token: Token) -> Op<()> {
    // SAFETY: the entry has no pointer.
    unsafe { Op::submit(token, (), opcode::Nop::new().build()) }
}

/// Receives what is there, without waiting and without the ring. 0: the peer has ended.
///
/// Errors: `WouldBlock` when there is nothing; otherwise the connection is broken.
pub fn recv_now(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: `into` is exclusively borrowed and `len` bytes long; the kernel only writes.
        let n = unsafe {
            libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT)
        };
        if let Ok(n) = usize::try_from(n) {
            return Ok(n);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Lets a socket bind to an address and choose its port only when it connects
/// (`IP_BIND_ADDRESS_NO_PORT`), so that a port can serve many pairs of addresses.
pub fn bind_without_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to an int of `len` bytes that outlives the call, which only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Shuts one or both directions down. `Both` ends every operation in flight on the socket, which
/// closing the descriptor would not do.
pub fn shutdown(socket: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    SockRef::from(&socket).shutdown(how)
}

// ---------------------------------------------------------------------------------------------
// Sends that end at once

/// Sends of one [`Sends::run`].
const SENDS: usize = 128;
/// DONTWAIT: the send ends at once. WAITALL: as much as the socket takes.
const AT_ONCE: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL | libc::MSG_DONTWAIT;

/// Sends for sockets that have room, which are nearly all: they end while the caller waits, so they
/// need no waker, no place in a table and no turn of the event loop. What a socket does not take
/// comes back, and [`send`] waits for its room.
///
/// A ring of its own, beside tokio-uring's: one system call for up to 128 sends.
pub struct Sends {
    ring: IoUring,
    /// Whose it is, and what the kernel reads.
    queued: Vec<(u32, Read)>,
    results: Vec<i32>,
}

/// What the kernel reads for one send.
enum Read {
    One(Bytes),
    Many(Box<Vectored>),
}

/// Several buffers of one send, with the header that names them to the kernel.
struct Vectored {
    header: libc::msghdr,
    /// What `header` points to.
    iovecs: Vec<libc::iovec>,
    buffers: Vec<Bytes>,
}

impl Vectored {
    fn new(buffers: Vec<Bytes>) -> Box<Vectored> {
        let iovec =
            |b: &Bytes| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() };
        let iovecs = buffers.iter().map(iovec).collect();
        // SAFETY: all zeroes is a valid `msghdr`: null pointers and zero lengths.
        let header: libc::msghdr = unsafe { std::mem::zeroed() };
        let mut vectored = Box::new(Vectored { header, iovecs, buffers });
        vectored.header.msg_iov = vectored.iovecs.as_mut_ptr();
        vectored.header.msg_iovlen = vectored.iovecs.len() as _;
        vectored
    }
}

impl Read {
    fn len(&self) -> usize {
        match self {
            Read::One(bytes) => bytes.len(),
            Read::Many(vectored) => vectored.buffers.iter().map(Bytes::len).sum(),
        }
    }

    /// What is left behind the first `n` bytes.
    fn rest(self, n: usize) -> Bytes {
        match self {
            Read::One(bytes) => bytes.slice(n..),
            Read::Many(vectored) => Bytes::from(vectored.buffers.concat()).slice(n..),
        }
    }
}

/// How one of [`Sends`] has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it is with the kernel.
    All,
    /// The socket is full: this is what it has not taken.
    Rest(Bytes),
    /// The connection is broken.
    Broken,
}

impl Sends {
    /// Buffers of one send at most (`UIO_MAXIOV`).
    pub const BUFFERS_MAX: usize = 1024;

    /// A ring for the calling thread, which must be the thread that uses it.
    pub fn new() -> Result<Sends, RingError> {
        let ring = with_flags(&IoUring::builder(), |uring| uring.build(SENDS as u32))?;
        Ok(Sends { ring, queued: Vec::with_capacity(SENDS), results: vec![0; SENDS] })
    }

    /// Whether [`Sends::run`] has to come before the next push.
    pub fn is_full(&self) -> bool {
        self.queued.len() == SENDS
    }

    /// Adds a send, which begins with [`Sends::run`]; `socket` stays open until then. One send for
    /// each `slot`, or their order is lost.
    ///
    /// # Panics
    ///
    /// When it is full.
    pub fn push(&mut self, slot: u32, socket: BorrowedFd<'_>, bytes: Bytes) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(fd(socket), bytes.as_ptr(), len).flags(AT_ONCE).build();
        // SAFETY: the pointer is to `len` immutable bytes owned by `bytes`, which stay where they
        // are when the `Bytes` is moved.
        unsafe { self.push_entry(slot, Read::One(bytes), entry) }
    }

    /// The same for several buffers, in order; [`Sends::BUFFERS_MAX`] at most, or the kernel refuses
    /// it and the connection counts as broken.
    ///
    /// # Panics
    ///
    /// When it is full.
    pub fn push_vectored(&mut self, slot: u32, socket: BorrowedFd<'_>, buffers: Vec<Bytes>) {
        let vectored = Vectored::new(buffers);
        let header = &raw const vectored.header;
        let entry = opcode::SendMsg::new(fd(socket), header).flags(AT_ONCE as u32).build();
        // SAFETY: header (in the box), iovecs (in the vector's memory) and bytes (owned by the
        // `Bytes`) stay where they are when the box is moved, and nothing changes them.
        unsafe { self.push_entry(slot, Read::Many(vectored), entry) }
    }

    /// # Safety
    ///
    /// What `entry` points to stays valid and unchanged as long as `read` is not dropped, wherever
    /// `read` itself is moved.
    unsafe fn push_entry(&mut self, slot: u32, read: Read, entry: squeue::Entry) {
        assert!(!self.is_full(), "run comes before the next push");
        let entry = entry.user_data(self.queued.len() as u64);
        // SAFETY: by the contract of this function; `read` is kept until the completion has been
        // seen.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        assert!(pushed.is_ok(), "the queue has a place for each send");
        self.queued.push((slot, read));
    }

    /// Carries out what was pushed, in order; says of each how it has ended.
    ///
    /// # Panics
    ///
    /// When the kernel refuses the ring itself.
    pub fn run(&mut self, ended: &mut Vec<(u32, Sent)>) {
        let mut waiting = self.queued.len();
        while waiting > 0 {
            match self.ring.submit_and_wait(waiting) {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => panic!("io_uring does not take sends: {error}"),
            }
            for completion in self.ring.completion() {
                if let Some(result) = self.results.get_mut(completion.user_data() as usize) {
                    *result = completion.result();
                    waiting -= 1;
                }
            }
        }
        ended.extend(self.queued.drain(..).zip(&self.results).map(|((slot, read), result)| {
            let sent = match answer(*result) {
                Ok(n) if n as usize == read.len() => Sent::All,
                Ok(n) => Sent::Rest(read.rest(n as usize)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Rest(read.rest(0)),
                Err(_) => Sent::Broken,
            };
            (slot, sent)
        }));
    }
}

/// A signal, or memory that is short for a moment: the same call may succeed now.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

impl Drop for Sends {
    fn drop(&mut self) {
        // A panic has ended `run`: the kernel may still read it.
        if !self.queued.is_empty() {
            std::mem::forget(std::mem::take(&mut self.queued));
        }
    }
}

impl fmt::Debug for Sends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sends({} queued)", self.queued.len())
    }
}

// ---------------------------------------------------------------------------------------------
// The runtime

/// One thread's ring and the executor of its tasks. Made by [`runtime`], on the thread that uses
/// it.
pub struct Runtime {
    inner: tokio_uring::Runtime,
    // Dropped after `inner`.
    _closed: Closed,
}

struct Closed;

impl Drop for Closed {
    fn drop(&mut self) {
        CLOSING.set(false);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        CLOSING.set(true);
    }
}

impl Runtime {
    /// Runs `future` to its end. Start the dispatcher inside of it with [`tokio_uring::spawn`]:
    /// polled as `future` itself it would cost an epoll call more per turn.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.inner.block_on(future)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

/// A ring for the calling thread, which must be the thread that uses it (`SINGLE_ISSUER`).
///
/// Kernels before 6.0 do not know all of the set-up flags; there the ring is made without them.
pub fn runtime() -> Result<Runtime, RingError> {
    with_flags(&events(), |uring| {
        let mut builder = tokio_uring::builder();
        builder.entries(ENTRIES).uring_builder(uring);
        tokio_uring::Runtime::new(&builder)
    })
    .map(|inner| Runtime { inner, _closed: Closed })
}

/// Tries what the workers will do: makes a ring of their size, asks for the operations, runs one.
///
/// Errors: what is missing, with the cure; nothing is left behind.
pub fn probe() -> Result<(), RingError> {
    let mut ring = with_flags(&events(), |uring| uring.build(ENTRIES))?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known).map_err(RingError::Run)?;
    for (code, name) in [
        (opcode::PollAdd::CODE, "POLL_ADD"),
        (opcode::Send::CODE, "SEND"),
        (opcode::SendMsg::CODE, "SENDMSG"),
        (opcode::Connect::CODE, "CONNECT"),
        (opcode::Timeout::CODE, "TIMEOUT"),
        (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
        (opcode::Nop::CODE, "NOP"),
    ] {
        if !known.is_supported(code) {
            return Err(RingError::Missing(name));
        }
    }
    // SAFETY: the entry has no pointer.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }
        .map_err(|error| RingError::Run(io::Error::other(error)))?;
    ring.submit_and_wait(1).map_err(RingError::Run)?;
    match ring.completion().next() {
        Some(entry) => answer(entry.result()).map(drop).map_err(RingError::Run),
        None => Err(RingError::Run(io::Error::other("an operation did not complete"))),
    }
}

/// The set-up of the workers' rings.
fn events() -> io_uring::Builder {
    let mut uring = IoUring::builder();
    uring.setup_cqsize(COMPLETIONS).setup_clamp();
    uring
}

/// Calls `make` with `plain` and the flags that make a ring cheaper; without them if the kernel
/// does not know them (`EINVAL`).
fn with_flags<R>(
    plain: &io_uring::Builder,
    make: impl Fn(&io_uring::Builder) -> io::Result<R>,
) -> Result<R, RingError> {
    // Not DEFER_TASKRUN: tokio-uring waits in epoll, where deferred completions would not wake it.
    let mut tuned = plain.clone();
    tuned.setup_single_issuer().setup_coop_taskrun();
    match make(&tuned) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => make(plain),
        made => made,
    }
    .map_err(RingError::Setup)
}

#[cfg(test)]
mod tests;
