//! Lanes between cores: a batch from one thread to another and back, and within one thread.
//!
//! Measured: `round_trip` is two hops of `net::mesh` between two threads that both look without
//! pause, so that nobody sleeps and nothing is woken; `own_thread` is the same two hops with one
//! thread at both ends, which leaves the queue's own work. A batch holds as many messages as named,
//! in a vector that goes to and fro. Not measured: the wake-up of a sleeping core (a system call of
//! some microseconds) and the turn that a busy core finishes first. On a machine without two idle
//! cores `round_trip` measures the scheduler.

use bytes::Bytes;
use criterion::Criterion;
use ringchat::chat::ids::{AUDIENCES, RoomName, ShardId};
use ringchat::chat::peer::{Batch, PeerMessage};
use ringchat::net::dispatcher::Wake;
use ringchat::net::mesh::{Control, Mesh, News};
use std::hint;
use std::thread;

/// Looks in vain after which a thread lets others run, should there be no core for it.
const LOOKS_MAX: u32 = 100;

const SIZES: [(&str, usize); 2] = [("one_message", 1), ("thirty_two_messages", 32)];

pub fn benches(c: &mut Criterion) {
    own_thread(c);
    round_trip(c);
}

fn messages(count: usize) -> Vec<PeerMessage> {
    let mut frames = [const { Bytes::new() }; AUDIENCES];
    frames[0] = Bytes::from(vec![b'a'; 256]);
    let batch = Batch { room: RoomName::from("lobby"), frames, count: 1 };
    (0..count).map(|_| PeerMessage::Batch(batch.clone())).collect()
}

fn pair() -> (Mesh, Mesh) {
    let mut meshes = Mesh::connect(&[Wake::new(), Wake::new()]).into_iter();
    (meshes.next().expect("the first"), meshes.next().expect("the second"))
}

/// Sends `messages` to the other core and leaves none behind.
fn send(mesh: &mut Mesh, messages: Vec<PeerMessage>) {
    let to_first = mesh.id() != ShardId(0);
    let mut lanes = if to_first { [messages, Vec::new()] } else { [Vec::new(), messages] };
    assert_eq!(mesh.send(&mut lanes), (1, 0), "one batch on its way, none waiting");
}

fn batch(news: Option<News>) -> Option<(ShardId, Vec<PeerMessage>)> {
    match news {
        Some(News::Batch(from, messages)) => Some((from, messages)),
        _ => None,
    }
}

fn own_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("lane/own_thread");
    let (mut a, mut b) = pair();
    let mut hops = |messages: Vec<PeerMessage>| {
        send(&mut a, messages);
        let (from, messages) = batch(b.next_news()).expect("it came");
        assert_eq!(from, ShardId(0));
        send(&mut b, messages);
        batch(a.next_news()).expect("it came back").1
    };
    for (name, count) in SIZES {
        let mut batch = hops(messages(count));
        assert_eq!(batch.len(), count);
        group.bench_function(name, |b| b.iter(|| batch = hops(std::mem::take(&mut batch))));
        assert_eq!(batch.len(), count);
    }
}

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("lane/round_trip");
    let (mut here, mut there) = pair();
    let stop = here.reaches()[1].clone();
    let echo = thread::spawn(move || {
        let mut echoed = 0u64;
        while let Some(messages) = wait(&mut there) {
            send(&mut there, messages);
            echoed += 1;
        }
        echoed
    });
    let mut trips = 0u64;
    let mut trip = |messages: Vec<PeerMessage>| {
        trips += 1;
        send(&mut here, messages);
        wait(&mut here).expect("it came back")
    };
    for (name, count) in SIZES {
        let mut batch = trip(messages(count));
        assert_eq!(batch.len(), count);
        group.bench_function(name, |b| b.iter(|| batch = trip(std::mem::take(&mut batch))));
        assert_eq!(batch.len(), count);
    }
    assert!(stop.send(Control::Drain));
    assert_eq!(echo.join().expect("the other thread"), trips, "every batch was there and back");
}

/// Looks until a batch comes; `None`: told to stop.
fn wait(mesh: &mut Mesh) -> Option<Vec<PeerMessage>> {
    let mut looks = 0;
    loop {
        match mesh.next_news() {
            Some(News::Batch(_, messages)) => return Some(messages),
            Some(News::Control(_)) => return None,
            None => looks += 1,
        }
        if looks == LOOKS_MAX {
            looks = 0;
            thread::yield_now();
        } else {
            hint::spin_loop();
        }
    }
}
