//! The operations on real sockets, and the ring's own promises.

use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const T: Token = Token::new(7, Kind::Send);

/// Runs `future` on a ring of this thread, with a deadline.
fn on_ring<F: Future>(future: F) -> F::Output {
    runtime().unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
    })
}

/// Waits for the operation, as the dispatcher would.
async fn finish<D: Unpin>(token: Token, mut op: Op<D>) -> (io::Result<u32>, D) {
    let mut ready = Vec::new();
    std::future::poll_fn(|cx| {
        set_task(Some(cx.waker().clone()));
        take_ready(&mut ready);
        if ready.contains(&token) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!(ready, [token], "one completion, one token");
    let done = op.take(token).expect("completed");
    assert!(op.take(token).is_none(), "taken once");
    done
}

#[test]
fn tokens_keep_slot_and_kind() {
    for slot in [0, 1, 0x1234_5678, u32::MAX] {
        for kind in
            [Kind::Readable, Kind::Send, Kind::Connect, Kind::Accept, Kind::Kick, Kind::Timer]
        {
            let token = Token::new(slot, kind);
            assert_eq!((token.slot(), token.kind()), (slot, kind));
        }
    }
}

#[test]
fn operations_are_small() {
    assert!(size_of::<Op<()>>() <= 24, "{}", size_of::<Op<()>>());
    assert!(size_of::<Op<Bytes>>() <= 56, "{}", size_of::<Op<Bytes>>());
    assert_eq!(size_of::<Token>(), 8);
}

#[test]
fn this_machine_has_a_ring() {
    probe().unwrap();
}

#[test]
fn errors_are_one_line_with_a_cure() {
    for (errno, cure) in [
        (libc::ENOSYS, "Linux 5.10"),
        (libc::EPERM, "kernel.io_uring_disabled"),
        (libc::ENOMEM, "ulimit -l"),
        (libc::EMFILE, "ulimit -n"),
        (libc::ENFILE, "fs.file-max"),
        (libc::EIO, "Input/output error"),
    ] {
        let text = RingError::Setup(io::Error::from_raw_os_error(errno)).to_string();
        assert!(text.contains(cure) && !text.contains('\n') && !text.contains("  "), "{text}");
    }
}

#[test]
fn polls_then_receives() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut buffer = [0; 16];
    let nothing = recv_now(theirs.as_fd(), &mut buffer).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    on_ring(async {
        let op = poll_readable(T, theirs.as_fd());
        ours.write_all(b"hello").unwrap();
        let (mask, ()) = finish(T, op).await;
        assert_ne!(mask.unwrap() & libc::POLLIN as u32, 0);
        assert_eq!(recv_now(theirs.as_fd(), &mut buffer).unwrap(), 5);
        drop(ours);
        let (mask, ()) = finish(T, poll_readable(T, theirs.as_fd())).await;
        assert_ne!(mask.unwrap() & libc::POLLIN as u32, 0);
        assert_eq!(recv_now(theirs.as_fd(), &mut buffer).unwrap(), 0);
    });
}

#[test]
fn sends_shared_bytes() {
    let bytes = Bytes::from(vec![7; 100]);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    on_ring(async {
        for _ in 0..2 {
            let (sent, back) = finish(T, send(T, ours.as_fd(), bytes.clone())).await;
            assert_eq!((sent.unwrap(), back), (100, bytes.clone()));
        }
    });
    let mut read = [0; 200];
    theirs.read_exact(&mut read).unwrap();
    assert_eq!(read, [7; 200]);
}

#[test]
fn connects_and_explains_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket =
        || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let token = Token::new(1, Kind::Connect);
    on_ring(async {
        let open = socket();
        let (result, _) = finish(token, connect(token, open.as_fd(), address)).await;
        assert_eq!(result.unwrap(), 0);
        assert_eq!(TcpStream::from(open).peer_addr().unwrap(), address);
        drop(listener);
        let (result, _) = finish(token, connect(token, socket().as_fd(), address)).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_timeout_passes() {
    let token = Token::new(0, Kind::Timer);
    on_ring(async {
        let start = std::time::Instant::now();
        let (result, _) =
            finish(token, timeout(token, Box::new(Duration::from_micros(300).into()))).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ETIME));
        assert!(start.elapsed() >= Duration::from_micros(300));
    });
}

#[test]
fn shutdown_ends_what_is_in_flight() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    on_ring(async {
        let blocked = send(T, ours.as_fd(), Bytes::from(vec![0; 8 << 20]));
        let other = Token::new(1, Kind::Timer);
        finish(other, nop(other)).await.0.unwrap();
        shutdown(ours.as_fd(), Shutdown::Both).unwrap();
        let (sent, _) = finish(T, blocked).await;
        assert!(sent.is_err() || sent.unwrap() < 8 << 20);
    });
}

#[test]
fn a_ring_may_end_with_operations_in_flight() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let runtime = runtime().unwrap();
    let kept = runtime.block_on(async {
        // One whose owner is gone, one whose owner outlives the ring.
        drop(send(T, ours.as_fd(), Bytes::from(vec![0; 8 << 20])));
        poll_readable(T, ours.as_fd())
    });
    drop(runtime);
    drop((kept, theirs));
    assert!(!CLOSING.get());
}

/// Pushes and runs; every slot's end, in order.
fn send_now(sends: &mut Sends, what: &[(u32, &UnixStream, Bytes)]) -> Vec<(u32, Sent)> {
    let mut ended = Vec::new();
    for (slot, socket, bytes) in what {
        if sends.is_full() {
            sends.run(&mut ended);
        }
        sends.push(*slot, socket.as_fd(), bytes.clone());
    }
    sends.run(&mut ended);
    ended
}

#[test]
fn sends_that_end_at_once() {
    let mut sends = Sends::new().unwrap();
    let mut none = Vec::new();
    sends.run(&mut none);
    assert_eq!(none, []);

    // More than one run holds, several for one socket.
    let (ours, theirs): (Vec<_>, Vec<_>) = (0..300).map(|_| UnixStream::pair().unwrap()).unzip();
    let what: Vec<_> = (0u32..)
        .zip(ours.iter().chain(&ours))
        .map(|(slot, socket)| (slot, socket, Bytes::from(vec![slot as u8; 1 + slot as usize])))
        .collect();
    let ended = send_now(&mut sends, &what);
    assert_eq!(ended, (0..600).map(|slot| (slot, Sent::All)).collect::<Vec<_>>());
    drop(ours);
    for (slot, mut socket) in theirs.into_iter().enumerate() {
        let mut got = Vec::new();
        socket.read_to_end(&mut got).unwrap();
        let mut expect = vec![slot as u8; 1 + slot];
        expect.extend(vec![(slot + 300) as u8; 301 + slot]);
        assert_eq!(got, expect, "{slot}");
    }
}

#[test]
fn what_a_socket_does_not_take_comes_back() {
    let mut sends = Sends::new().unwrap();
    let (full, mut reader) = UnixStream::pair().unwrap();
    let (good, _good_peer) = UnixStream::pair().unwrap();
    let (broken, gone) = UnixStream::pair().unwrap();
    drop(gone);
    let bytes: Bytes = (0..8 << 20).map(|n: u32| (n / 1000) as u8).collect();
    let small = Bytes::from_static(b"x");
    let ended = send_now(
        &mut sends,
        &[(1, &full, bytes.clone()), (2, &broken, small.clone()), (3, &good, small.clone())],
    );
    let (1, Sent::Rest(rest)) = &ended[0] else { panic!("{:?}", ended[0].0) };
    assert!(!rest.is_empty() && rest.len() < bytes.len(), "a part of it");
    assert_eq!(ended[1..], [(2, Sent::Broken), (3, Sent::All)]);
    let again = send_now(&mut sends, &[(1, &full, small.clone())]);
    assert_eq!(again, [(1, Sent::Rest(small))], "nothing of it");

    // What was taken and what came back are the whole.
    let rest = rest.clone();
    drop(full);
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    got.extend_from_slice(&rest);
    assert!(got == bytes);
}

#[test]
fn several_buffers_in_one_send() {
    let mut sends = Sends::new().unwrap();
    let mut ended = Vec::new();
    let buffers =
        |n: usize, len: usize| (0..n).map(|i| Bytes::from(vec![i as u8; len])).collect::<Vec<_>>();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let some = buffers(Sends::BUFFERS_MAX, 10);
    sends.push_vectored(1, ours.as_fd(), some.clone());
    sends.push(2, ours.as_fd(), Bytes::from_static(b"behind"));
    sends.run(&mut ended);
    assert_eq!(ended, [(1, Sent::All), (2, Sent::All)]);

    // What was taken of many and what comes back are the whole.
    let (full, mut reader) = UnixStream::pair().unwrap();
    let many = buffers(8, 1 << 20);
    sends.push_vectored(3, full.as_fd(), many.clone());
    sends.push_vectored(4, ours.as_fd(), buffers(Sends::BUFFERS_MAX + 1, 1));
    ended.clear();
    sends.run(&mut ended);
    let (3, Sent::Rest(rest)) = &ended[0] else { panic!("{:?}", ended[0].0) };
    assert!(!rest.is_empty() && rest.len() < 8 << 20, "a part of it");
    assert_eq!(ended[1..], [(4, Sent::Broken)], "more than the kernel takes");
    drop((ours, full));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    theirs.read_to_end(&mut first).unwrap();
    assert_eq!(first, [&some.concat()[..], b"behind"].concat());
    reader.read_to_end(&mut second).unwrap();
    second.extend_from_slice(rest);
    assert!(second == many.concat());
}

#[test]
#[should_panic(expected = "run comes before")]
fn a_push_too_many() {
    let mut sends = Sends::new().unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    (0..1000).for_each(|slot| sends.push(slot, socket.as_fd(), Bytes::new()));
}
