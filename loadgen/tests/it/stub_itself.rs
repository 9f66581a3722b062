//! The misbehaving server itself: it does what its faults say, and nothing else.

use crate::stub::{self, AT, Fault};
use ringchat_loadgen::dialect::{OutFrame, Position, Request, Seen, Wire, WireSettings};
use ringchat_loadgen::options::{Dialect, Encoding, Sizes};
use ringchat_loadgen::text::Marker;
use ringchat_loadgen::tls::Tls;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

const LAST: u32 = 40;

/// How a client speaks.
#[derive(Clone, Copy, Debug)]
struct Speech(Dialect, Encoding);

const JSON: Speech = Speech(Dialect::Ringchat, Encoding::Json);
const PROTOBUF: Speech = Speech(Dialect::Ringchat, Encoding::Protobuf);
const LINES: Speech = Speech(Dialect::Plain, Encoding::Json);
const RAW: Speech = Speech(Dialect::Raw, Encoding::Json);
const ECHO: Speech = Speech(Dialect::Echo, Encoding::Json);

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Got { number: u32, offset: u64, recovered: bool },
    Joined { recovered: Option<bool>, offset: Option<u64> },
    Accepted(u32),
    Answered,
    Refused,
    Ping,
    Corrupt,
    Closed(u16),
    Reset,
    Ended,
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

struct Client {
    wire: Wire,
    socket: WebSocket<Box<dyn Stream>>,
    seen: std::collections::VecDeque<Event>,
    /// A pong has met the reset: no read will tell of it.
    reset: bool,
}

fn wire(Speech(dialect, encoding): Speech, recover: bool, size: usize) -> Wire {
    Wire::new(WireSettings {
        dialect,
        encoding,
        hello: vec![],
        joined: None,
        publish: "{payload}".into(),
        namespace: None,
        room_prefix: "load-".into(),
        token: None,
        sizes: Sizes { min: size, max: size },
        seed: 1,
        recover,
    })
}

fn tcp(server: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(server).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    tcp
}

impl Client {
    /// A member of `load-0`.
    fn new(server: SocketAddr, speech: Speech) -> Client {
        Client::over(Box::new(tcp(server)), wire(speech, false, 100), None)
    }

    fn over(stream: Box<dyn Stream>, wire: Wire, from: Option<&Position>) -> Client {
        let upgrade = wire.upgrade("localhost", None, 0, 0, "KEY");
        let path = upgrade.split(' ').nth(1).unwrap();
        let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
        if let Some(protocol) = wire.subprotocol() {
            let protocol = HeaderValue::from_static(protocol);
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        }
        let (socket, _) = tungstenite::client(request, stream).map_err(|e| e.to_string()).unwrap();
        let mut client = Client { wire, socket, seen: Default::default(), reset: false };
        let mut frames = Vec::new();
        let wait = client.wire.join(&mut frames, 0, 0, from);
        frames.into_iter().for_each(|OutFrame { payload, .. }| client.send(payload));
        if wait {
            while !matches!(client.peek(), Event::Joined { .. }) {
                client.seen.pop_front();
            }
        }
        client
    }

    fn send(&mut self, payload: Vec<u8>) {
        self.try_send(payload).unwrap();
    }

    fn try_send(&mut self, payload: Vec<u8>) -> tungstenite::Result<()> {
        self.socket.send(match self.wire.opcode() {
            1 => Message::text(String::from_utf8(payload).unwrap()),
            _ => Message::binary(payload),
        })
    }

    fn publish(&mut self, sender: u32, number: u32) {
        let mut payload = Vec::new();
        self.wire.publish(&mut payload, 0, 0, Marker { sender, number, due_ns: 0, sent_ns: 0 });
        self.send(payload);
    }

    fn peek(&mut self) -> Event {
        while self.seen.is_empty() {
            let seen = &mut self.seen;
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.wire
                        .scan(text.as_bytes(), false, |event| seen.push_back(Event::from(event)));
                }
                Ok(Message::Binary(bytes)) => {
                    self.wire.scan(&bytes, true, |event| seen.push_back(Event::from(event)));
                }
                Ok(Message::Close(frame)) => {
                    seen.push_back(Event::Closed(frame.unwrap().code.into()))
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset => {
                    seen.push_back(Event::Reset);
                }
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("nothing comes");
                }
                Err(_) => seen.push_back(if self.reset { Event::Reset } else { Event::Ended }),
            }
        }
        self.seen[0].clone()
    }

    fn next(&mut self) -> Event {
        self.peek();
        self.seen.pop_front().unwrap()
    }

    /// The next event but pings. A pong may meet the reset: what came before it is still read.
    fn news(&mut self) -> Event {
        loop {
            match self.next() {
                Event::Ping => {
                    let mut pong = Vec::new();
                    self.wire.pong(&mut pong);
                    match self.try_send(pong) {
                        Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset => {
                            self.reset = true;
                        }
                        sent => sent.unwrap(),
                    }
                }
                event => return event,
            }
        }
    }

    /// Publishes and waits until it has come back and is accepted.
    fn publish_all(&mut self, numbers: RangeInclusive<u32>) {
        for number in numbers {
            self.publish(0, number);
            assert!(matches!(self.news(), Event::Got { number: got, .. } if got == number));
            if self.wire.accepts() {
                assert_eq!(self.news(), Event::Accepted(number));
            }
        }
    }

    fn ask(&mut self, what: Request) {
        let mut payload = Vec::new();
        self.wire.request(&mut payload, what, 0, 1);
        self.send(payload);
    }

    /// Everything up to the answer to a request sent now, without that.
    fn until_now(&mut self) -> Vec<Event> {
        self.ask(Request::Presence);
        let mut all = Vec::new();
        loop {
            match self.news() {
                Event::Answered => return all,
                event => all.push(event),
            }
        }
    }
}

impl From<Seen<'_>> for Event {
    fn from(seen: Seen<'_>) -> Event {
        match seen {
            Seen::Delivery { marker, offset, recovered } => {
                Event::Got { number: marker.number, offset, recovered }
            }
            Seen::Joined { recovered, position } => {
                assert!(position.is_none_or(|(epoch, _)| epoch == b"e1"));
                Event::Joined { recovered, offset: position.map(|(_, offset)| offset) }
            }
            Seen::Accepted { number } => Event::Accepted(number),
            Seen::Answered { .. } => Event::Answered,
            Seen::Refused { .. } => Event::Refused,
            Seen::Ping => Event::Ping,
            Seen::Corrupt(_) => Event::Corrupt,
        }
    }
}

fn got(number: u32) -> Event {
    Event::Got { number, offset: 0, recovered: false }
}

fn all(numbers: impl IntoIterator<Item = u32>) -> Vec<Event> {
    numbers.into_iter().map(got).collect()
}

/// The first member, and another one, who sends.
fn pair(fault: Fault, speech: Speech) -> (Client, Client) {
    let server = stub::start(fault);
    let mut first = Client::new(server, speech);
    if first.wire.accepts() {
        assert_eq!(first.next(), Event::Joined { recovered: None, offset: None });
        // Left without an answer: who writes to a connection that was reset never reads the rest.
        assert_eq!(first.next(), Event::Ping);
    }
    let mut other = Client::new(server, speech);
    if other.wire.accepts() {
        other.next();
    }
    (first, other)
}

/// What the first member sees when another one sends to the end.
fn check(fault: Fault, expected: impl Fn() -> Vec<Event>) {
    for speech in [JSON, PROTOBUF] {
        let (mut first, mut other) = pair(fault, speech);
        other.publish_all(0..=LAST);
        assert_eq!(first.until_now(), expected(), "{fault:?} {speech:?}");
    }
}

#[test]
fn messages_go_to_all() {
    check(Fault::Nothing, || all(0..=LAST));
    for speech in [LINES, RAW, JSON, PROTOBUF] {
        let (mut first, mut other) = pair(Fault::Nothing, speech);
        other.publish_all(0..=LAST);
        for number in 0..=LAST {
            assert_eq!(first.news(), got(number), "{speech:?}");
        }
    }
    let (_, mut echo) = pair(Fault::Nothing, ECHO);
    echo.publish_all(0..=LAST);
}

#[test]
fn deliveries_go_wrong() {
    let at = AT as u32;
    check(Fault::Drop, || all((0..=LAST).filter(|number| *number != at)));
    check(Fault::Repeat, || all((0..=at).chain(at..=LAST)));
    check(Fault::Swap, || all((0..at).chain([at + 1, at]).chain(at + 2..=LAST)));
    check(Fault::Damage, || {
        let mut expected = all(0..=LAST);
        expected[AT] = Event::Corrupt;
        expected
    });
    check(Fault::Delay(5), || all(0..=LAST));
    check(Fault::Delay(100), || all(0..at));
    for speech in [JSON, PROTOBUF] {
        let (mut first, mut other) = pair(Fault::Delay(5), speech);
        other.publish_all(0..=at + 4);
        assert_eq!(first.until_now(), all(0..at), "held back");
        other.publish_all(at + 5..=at + 5);
        assert_eq!(first.until_now(), all(at..=at + 5), "all at once");
    }
}

#[test]
fn members_are_thrown_out() {
    for (fault, end) in [
        (Fault::Shed, Event::Closed(3008)),
        (Fault::Close(3501), Event::Closed(3501)),
        (Fault::Reset, Event::Reset),
    ] {
        for speech in [JSON, PROTOBUF, LINES, RAW] {
            let (mut first, mut other) = pair(fault, speech);
            other.publish_all(0..=LAST);
            for number in 0..AT as u32 {
                assert_eq!(first.news(), got(number), "{fault:?} {speech:?}");
            }
            assert_eq!(first.news(), end, "{speech:?}");
        }
    }
}

#[test]
fn messages_are_refused() {
    for speech in [JSON, PROTOBUF] {
        let (mut first, mut other) = pair(Fault::Refuse, speech);
        let at = AT as u32;
        other.publish_all(0..=at - 1);
        other.publish(0, at);
        assert_eq!(other.news(), Event::Refused);
        other.publish_all(at + 1..=LAST);
        assert_eq!(first.until_now(), all((0..=LAST).filter(|number| *number != at)));
    }
}

#[test]
fn the_server_goes_away() {
    let server = stub::start(Fault::Vanish);
    let (mut first, mut other) = (Client::new(server, JSON), Client::new(server, JSON));
    first.next();
    other.next();
    other.publish_all(0..=AT as u32 - 1);
    other.publish(0, AT as u32);
    for client in [&mut first, &mut other] {
        while matches!(client.peek(), Event::Got { .. } | Event::Ping) {
            client.seen.pop_front();
        }
        assert!(matches!(client.next(), Event::Ended | Event::Reset));
    }
    let request = "ws://localhost/load-0".into_client_request().unwrap();
    assert!(tungstenite::client(request, tcp(server)).is_err(), "nobody is let in again");
}

#[test]
fn deliveries_come_late() {
    let late = Duration::from_millis(300);
    for speech in [JSON, PROTOBUF, LINES] {
        let (mut first, mut other) = pair(Fault::DelayMs(300), speech);
        other.publish_all(0..=AT as u32 - 1);
        let start = Instant::now();
        other.publish_all(AT as u32..=LAST);
        for number in 0..AT as u32 {
            assert_eq!(first.news(), got(number));
        }
        assert_eq!(first.news(), got(AT as u32));
        assert!(start.elapsed() >= late);
        for number in AT as u32 + 1..=LAST {
            assert_eq!(first.news(), got(number));
        }
    }
}

#[test]
fn nobody_is_read() {
    let (mut first, mut other) = pair(Fault::BlockSenders(500), JSON);
    other.publish_all(0..=AT as u32 - 1);
    let start = Instant::now();
    other.publish(0, AT as u32);
    // The kernel takes only so much from a sender whom nobody reads.
    let text = "x".repeat(1 << 20);
    for _ in 0..10 {
        first.socket.send(Message::text(format!("{{\"x\":\"{text}\"}}"))).unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    other.publish(0, AT as u32 + 1);
    let expected = [got(20), Event::Accepted(20), got(21), Event::Accepted(21)];
    for event in expected {
        assert_eq!(other.news(), event);
    }
    for number in 0..=AT as u32 + 1 {
        assert_eq!(first.news(), got(number));
    }
}

#[test]
fn the_slow_are_shed() {
    let server = stub::start(Fault::ShedSlow);
    let open = || Client::over(Box::new(tcp(server)), wire(JSON, false, 60_000), None);
    let (mut slow, mut other) = (open(), open());
    other.next();
    other.publish_all(0..=400);
    let mut last = None;
    let end = loop {
        match slow.news() {
            Event::Joined { .. } => {}
            Event::Got { number, .. } => {
                assert_eq!(number, last.map_or(0, |last: u32| last + 1));
                last = Some(number);
            }
            end => break end,
        }
    };
    assert!(matches!(end, Event::Closed(3008) | Event::Reset), "{end:?}");
    assert!(last < Some(400), "{last:?}");
}

#[test]
fn what_was_missed_is_recovered() {
    let numbers = |range: RangeInclusive<u32>, recovered| {
        let event = |number| Event::Got { number, offset: u64::from(number) + 1, recovered };
        range.map(event).collect::<Vec<_>>()
    };
    for (fault, speech) in
        [(Fault::Nothing, JSON), (Fault::Nothing, PROTOBUF), (Fault::Forget, JSON)]
    {
        let server = stub::start(fault);
        let mut other = Client::new(server, speech);
        other.next();
        let open = |offset: Option<u64>| {
            let from = offset.map(|offset| Position { epoch: "e1".into(), offset });
            Client::over(Box::new(tcp(server)), wire(speech, true, 100), from.as_ref())
        };
        let mut first = open(None);
        assert_eq!(first.next(), Event::Joined { recovered: None, offset: Some(0) });
        other.publish_all(0..=4);
        assert_eq!(first.until_now(), numbers(0..=4, false));
        drop(first);
        other.publish_all(5..=9);
        let mut first = open(Some(5));
        let recovered = Some(fault == Fault::Nothing);
        assert_eq!(first.next(), Event::Joined { recovered, offset: Some(10) });
        let missed = if fault == Fault::Nothing { numbers(5..=9, true) } else { vec![] };
        assert_eq!(first.until_now(), missed);
        other.publish_all(10..=10);
        assert_eq!(first.until_now(), numbers(10..=10, false));
        other.publish_all(11..=110);
        for (offset, recovered) in [(10, false), (11, fault == Fault::Nothing), (112, false)] {
            let joined = open(Some(offset)).next();
            assert_eq!(joined, Event::Joined { recovered: Some(recovered), offset: Some(111) });
        }
    }
}

#[test]
fn who_leaves_is_gone() {
    let server = stub::start(Fault::Nothing);
    let (first, mut other) = (Client::new(server, JSON), Client::new(server, JSON));
    other.next();
    assert_eq!(other.next(), Event::Ping);
    let mut members = move || {
        other.send(br#"{"id":9,"presence":{"channel":"load-0"}}"#.to_vec());
        let who = other.socket.read().unwrap().into_text().unwrap().to_string();
        other.send(br#"{"id":9,"presence_stats":{"channel":"load-0"}}"#.to_vec());
        let count = other.socket.read().unwrap().into_text().unwrap().to_string();
        (who, count)
    };
    let (who, count) = members();
    assert!(who.contains(r#""c0":{"user":"","client":"c0"}"#) && who.contains(r#""c1":"#), "{who}");
    assert_eq!(count, r#"{"id":9,"presence_stats":{"num_clients":2,"num_users":2}}"#);
    // No close frame, and nobody waits for the stub to notice.
    drop(first);
    let start = Instant::now();
    while !members().1.contains(r#""num_clients":1"#) {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn history_is_the_end() {
    let (_first, mut other) = pair(Fault::Nothing, JSON);
    other.publish_all(0..=LAST);
    other.ask(Request::History);
    let text = other.socket.read().unwrap().into_text().unwrap();
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let history = &answer["history"];
    let publications = history["publications"].as_array().unwrap();
    assert_eq!((history["epoch"].as_str(), history["offset"].as_u64()), (Some("e1"), Some(41)));
    assert_eq!((publications.len(), publications[0]["offset"].as_u64()), (20, Some(22)));
}

#[test]
fn messages_are_counted() {
    let (server, messages) = stub::start_counted(Fault::Refuse);
    let mut client = Client::new(server, LINES);
    client.publish_all(0..=4);
    assert_eq!(messages.try_iter().count(), 5);
}

#[test]
fn tls_changes_nothing() {
    let (server, ca) = stub::start_tls(Fault::Drop);
    let config = Tls::config(Some(&ca)).unwrap();
    let open = |speech| {
        let name = "localhost".try_into().unwrap();
        let tls = rustls::ClientConnection::new(config.clone(), name).unwrap();
        let stream = rustls::StreamOwned::new(tls, tcp(server));
        Client::over(Box::new(stream), wire(speech, false, 100), None)
    };
    let (mut first, mut other) = (open(JSON), open(PROTOBUF));
    first.next();
    other.next();
    other.publish_all(0..=LAST);
    let expected = (0..=LAST).filter(|number| *number != AT as u32);
    assert_eq!(first.until_now(), all(expected));
    std::fs::remove_dir_all(ca.parent().unwrap()).unwrap();
}
