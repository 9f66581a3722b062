//! A broadcast server that misbehaves on demand: two threads per connection, all dialects.
//!
//! `/connection/websocket` speaks the client protocol, `/plain?room=ROOM` lines, `/echo` sends back;
//! any other path is the name of a room in which every text goes to everybody as it is.
//!
//! Here: rooms, and what goes wrong in them. `speech` says it in the dialects, `peer` moves bytes.
// Not every program that includes this needs all of it.
#![allow(dead_code)]

#[path = "stub/peer.rs"]
mod peer;
#[path = "stub/speech.rs"]
mod speech;

use peer::{Gate, Out, Pipe};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringchat_loadgen::dialect::messages::{
    ClientInfo, Command, ConnectResult, Empty, Error, HistoryResult, PresenceResult,
    PresenceStatsResult, Publication, Reply, SubscribeRequest, SubscribeResult,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use speech::{Form, frame};
use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tungstenite::WebSocket;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;

/// What goes wrong, once, in the room `load-0` (of whatever namespace): with the delivery of its
/// message [`AT`] to the member that joined first, unless something else is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Nothing,
    Drop,
    Repeat,
    /// The next one of the same sender comes first.
    Swap,
    /// This one, and all that follow, come when so many more messages of the room have come in.
    Delay(usize),
    /// This one, and all that follow, come so many milliseconds after this one was due.
    DelayMs(u64),
    /// For so many milliseconds, nothing is read from anybody, and nothing is sent to anybody.
    BlockSenders(u64),
    /// A byte of its text is another one.
    Damage,
    /// The member is closed with 3008 instead: too slow.
    Shed,
    /// The same with another code.
    Close(u16),
    /// The member's connection is reset instead.
    Reset,
    /// The message itself is refused, for all.
    Refuse,
    /// The server goes away, for all, and lets nobody in again.
    Vanish,
    /// Nobody recovers anything, in all rooms and from the start.
    Forget,
    /// Whoever lets 64 deliveries wait is closed with 3008, or reset if that cannot be sent; in all
    /// rooms and from the start.
    ShedSlow,
}

/// Which message of the room is hit, from 0, in the order in which they come in.
pub(crate) const AT: usize = 20;
/// Messages of a room that are kept.
const HISTORY: usize = 100;
/// The life of every room.
const EPOCH: &str = "e1";

struct Member {
    /// Its connection.
    number: usize,
    out: Out,
    form: Form,
    /// Does it want offsets?
    positioned: bool,
}

#[derive(Default)]
struct Room {
    /// In the order in which they joined.
    members: Vec<Member>,
    /// Messages that came in.
    messages: usize,
    /// The last ones that were taken.
    history: VecDeque<Publication>,
    /// Offset of the newest of them.
    offset: u64,
    held: Option<Held>,
}

/// Deliveries held back for one member.
struct Held {
    member: usize,
    frames: Vec<Arc<[u8]>>,
    /// Swapped: the sender whose next message goes first.
    from: Option<usize>,
}

struct Stub {
    fault: Fault,
    published: Sender<()>,
    rooms: Mutex<HashMap<String, Room>>,
    gate: Arc<Gate>,
    gone: AtomicBool,
}

/// Starts a server with this fault; it serves until the test's end.
pub(crate) fn start(fault: Fault) -> SocketAddr {
    start_counted(fault).0
}

/// The same; the receiver yields once for each message that comes in.
pub(crate) fn start_counted(fault: Fault) -> (SocketAddr, Receiver<()>) {
    start_with(fault, None)
}

/// The same with TLS, for `localhost` and 127.0.0.1; the PEM file of who vouches for it.
pub(crate) fn start_tls(fault: Fault) -> (SocketAddr, PathBuf) {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "stub");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let address = start_with(fault, Some(Arc::new(config))).0;
    let name = format!("ringchat-loadgen-stub-{}-{}", std::process::id(), address.port());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, ca.pem()).unwrap();
    (address, file)
}

fn start_with(fault: Fault, tls: Option<Arc<ServerConfig>>) -> (SocketAddr, Receiver<()>) {
    let (published, messages) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Fault::BlockSenders(_) = fault {
        // What they send while nobody reads must not fit into the kernel's memory.
        socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    }
    let address = listener.local_addr().unwrap();
    let (gate, gone) = (Arc::default(), AtomicBool::new(false));
    let stub = Arc::new(Stub { fault, published, rooms: Mutex::default(), gate, gone });
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { continue };
            if stub.gone.load(Ordering::Relaxed) {
                continue;
            }
            let (stub, tls) = (Arc::clone(&stub), tls.clone());
            std::thread::spawn(move || stub.serve(number, stream, tls));
        }
    });
    (address, messages)
}

impl Stub {
    fn serve(self: &Arc<Self>, number: usize, stream: TcpStream, tls: Option<Arc<ServerConfig>>) {
        let (pipe, out) = peer::open(stream, tls, &self.gate, self.fault == Fault::ShedSlow);
        let (mut target, mut protobuf) = (String::new(), false);
        #[allow(clippy::result_large_err)]
        let callback = |request: &Request, mut response: Response| {
            target = request.uri().to_string();
            let asked = request.headers().get("sec-websocket-protocol");
            protobuf = asked.is_some_and(|asked| asked == "centrifuge-protobuf");
            if protobuf {
                let protocol = HeaderValue::from_static("centrifuge-protobuf");
                response.headers_mut().insert("sec-websocket-protocol", protocol);
            }
            Ok(response)
        };
        let Ok(socket) = tungstenite::accept_hdr(pipe, callback) else { return };
        let form = if protobuf { Form::Protobuf } else { Form::Json };
        self.listen(number, &target, form, socket, &out);
        for room in self.rooms.lock().unwrap().values_mut() {
            room.members.retain(|member| member.number != number);
        }
    }

    /// Serves a connection until it ends.
    fn listen(
        self: &Arc<Self>,
        number: usize,
        target: &str,
        form: Form,
        mut socket: WebSocket<Pipe>,
        out: &Out,
    ) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let room = query.split('&').find_map(|pair| pair.strip_prefix("room="));
        let (form, room) = match path {
            "/connection/websocket" => (form, ""),
            "/echo" => (Form::Raw, ""),
            "/plain" => (Form::Lines, room.unwrap()),
            path => (Form::Raw, &path[1..]),
        };
        if !room.is_empty() {
            let member = Member { number, out: out.clone(), form, positioned: false };
            let mut rooms = self.rooms.lock().unwrap();
            if form == Form::Lines {
                out.frame(frame(1, b"* somebody joined"));
            }
            rooms.entry(room.to_owned()).or_default().members.push(member);
        }
        while let Ok(message) = socket.read() {
            if !(message.is_text() || message.is_binary()) {
                continue;
            }
            match form {
                Form::Json | Form::Protobuf => {
                    for command in form.commands(&message) {
                        self.command(number, command, form, out);
                    }
                }
                Form::Raw if room.is_empty() => {
                    let opcode = if message.is_text() { 1 } else { 2 };
                    out.frame(frame(opcode, &message.into_data()));
                }
                Form::Raw | Form::Lines => {
                    self.publish(room, number, message.into_data().to_vec(), None);
                }
            }
        }
    }

    fn command(self: &Arc<Self>, number: usize, command: Command, form: Form, out: &Out) {
        let id = command.id;
        let mut reply = Reply { id, ..Reply::default() };
        if command.connect.is_some() {
            let client = format!("c{number}");
            reply.connect = Some(ConnectResult { client, ping: 25, pong: true });
        } else if let Some(subscribe) = command.subscribe {
            return self.subscribe(number, id, subscribe, form, out);
        } else if let Some(publish) = command.publish {
            return self.publish(&publish.channel, number, publish.data, Some((out, form, id)));
        } else if let Some(asked) = command.presence {
            let client = |number| format!("c{number}");
            let info = |number| ClientInfo { user: String::new(), client: client(number) };
            let members = self.members(&asked.channel).into_iter();
            let presence = members.map(|number| (client(number), info(number))).collect();
            reply.presence = Some(PresenceResult { presence });
        } else if let Some(asked) = command.presence_stats {
            let members = self.members(&asked.channel).len() as u32;
            let result = PresenceStatsResult { num_clients: members, num_users: members };
            reply.presence_stats = Some(result);
        } else if let Some(asked) = command.history {
            let mut rooms = self.rooms.lock().unwrap();
            let room = rooms.entry(asked.channel).or_default();
            let left_out = room.history.len().saturating_sub(asked.limit.max(0) as usize);
            let publications = room.history.iter().skip(left_out).cloned().collect();
            let result =
                HistoryResult { publications, epoch: EPOCH.to_owned(), offset: room.offset };
            reply.history = Some(result);
        } else {
            // The answer to a ping.
            return;
        }
        out.frame(form.reply(&reply));
    }

    fn members(&self, room: &str) -> Vec<usize> {
        let rooms = self.rooms.lock().unwrap();
        let members = rooms.get(room).into_iter().flat_map(|room| &room.members);
        members.map(|member| member.number).collect()
    }

    /// Lets a member in: its answer comes before any delivery, and a ping behind it.
    fn subscribe(&self, number: usize, id: u32, asked: SubscribeRequest, form: Form, out: &Out) {
        let mut rooms = self.rooms.lock().unwrap();
        let room = rooms.entry(asked.channel).or_default();
        let positioned = asked.positioned || asked.recoverable || asked.recover;
        let mut result = SubscribeResult::default();
        if positioned {
            result.recoverable = true;
            result.positioned = true;
            result.epoch = EPOCH.to_owned();
            result.offset = room.offset;
        }
        if asked.recover {
            let oldest = room.history.front().map_or(room.offset + 1, |oldest| oldest.offset);
            let known = asked.offset <= room.offset && asked.offset + 1 >= oldest;
            result.was_recovering = true;
            result.recovered = asked.epoch == EPOCH && known && self.fault != Fault::Forget;
            if result.recovered {
                let missed = room.history.iter().filter(|missed| missed.offset > asked.offset);
                result.publications = missed.cloned().collect();
            }
        }
        out.frame(form.reply(&Reply { id, subscribe: Some(result), ..Reply::default() }));
        out.frame(form.reply(&Reply::default()));
        room.members.push(Member { number, out: out.clone(), form, positioned });
    }

    /// Sends a message to all members, and the answer to the sender; here is what goes wrong.
    fn publish(
        self: &Arc<Self>,
        name: &str,
        from: usize,
        data: Vec<u8>,
        answer: Option<(&Out, Form, u32)>,
    ) {
        // Most tests do not count.
        let _ = self.published.send(());
        let mut rooms = self.rooms.lock().unwrap();
        let room = rooms.entry(name.to_owned()).or_default();
        let hit = name.rsplit(':').next() == Some("load-0") && room.messages == AT;
        if hit && self.fault == Fault::Vanish {
            self.gone.store(true, Ordering::Relaxed);
            let members = rooms.values().flat_map(|room| &room.members);
            return members.for_each(|member| member.out.cut());
        }
        room.messages += 1;
        if hit && self.fault == Fault::Refuse {
            if let Some((out, form, id)) = answer {
                let error = Some(Error { code: 111, message: "too many requests".into() });
                out.frame(form.reply(&Reply { id, error, ..Reply::default() }));
            }
            return;
        }
        room.offset += 1;
        let publication = Publication { data, info: None, offset: room.offset };
        let mut frames = Frames { name, publication: &publication, from, made: Vec::new() };
        let mut members = room.members.iter();
        let first = members.next().map(|first| (first.number, first.out.clone(), frames.of(first)));
        members.for_each(|member| member.out.frame(frames.of(member)));
        room.history.push_back(publication);
        if room.history.len() > HISTORY {
            room.history.pop_front();
        }
        if let Some((number, out, frame)) = first {
            self.to_first(room, hit, name, from, (number, &out), frame);
        }
        if let Some((out, form, id)) = answer {
            let publish = Some(Empty {});
            out.frame(form.reply(&Reply { id, publish, ..Reply::default() }));
        }
        if let Fault::BlockSenders(ms) = self.fault
            && hit
        {
            self.gate.shut_for(Duration::from_millis(ms));
        }
    }

    /// Throws a member out, if that is what goes wrong.
    fn expel(&self, out: &Out) -> bool {
        match self.fault {
            Fault::Shed => out.close(3008),
            Fault::Close(code) => out.close(code),
            Fault::Reset => out.reset(),
            _ => return false,
        }
        true
    }

    /// The delivery to the member that joined first.
    fn to_first(
        self: &Arc<Self>,
        room: &mut Room,
        hit: bool,
        name: &str,
        from: usize,
        (number, out): (usize, &Out),
        frame: Arc<[u8]>,
    ) {
        if hit && self.expel(out) {
            room.members.remove(0);
            return;
        }
        if hit {
            let mut hold = |frame, from| {
                room.held = Some(Held { member: number, frames: vec![frame], from });
            };
            match self.fault {
                Fault::Drop => {}
                Fault::Repeat => {
                    [Arc::clone(&frame), frame].into_iter().for_each(|it| out.frame(it))
                }
                Fault::Damage => out.frame(damaged(&frame)),
                Fault::Swap => hold(frame, Some(from)),
                Fault::Delay(_) => hold(frame, None),
                Fault::DelayMs(ms) => {
                    hold(frame, None);
                    let (stub, name) = (Arc::clone(self), name.to_owned());
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(ms));
                        if let Some(room) = stub.rooms.lock().unwrap().get_mut(&name) {
                            room.release();
                        }
                    });
                }
                _ => out.frame(frame),
            }
            return;
        }
        match (self.fault, &mut room.held) {
            // It has left; what was held back for it goes with it.
            (_, Some(held)) if held.member != number => {
                room.held = None;
                out.frame(frame);
            }
            (Fault::Swap, Some(held)) if held.from == Some(from) => {
                out.frame(frame);
                room.release();
            }
            (Fault::Delay(_) | Fault::DelayMs(_), Some(held)) => {
                held.frames.push(frame);
                if let Fault::Delay(until) = self.fault
                    && room.messages > AT + until
                {
                    room.release();
                }
            }
            _ => out.frame(frame),
        }
    }
}

impl Room {
    /// Sends what is held back.
    fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        if let Some(member) = self.members.iter().find(|member| member.number == held.member) {
            held.frames.into_iter().for_each(|frame| member.out.frame(frame));
        }
    }
}

/// One message as each member gets it; members that speak alike share it.
struct Frames<'a> {
    name: &'a str,
    publication: &'a Publication,
    from: usize,
    made: Vec<(Form, bool, Arc<[u8]>)>,
}

impl Frames<'_> {
    fn of(&mut self, member: &Member) -> Arc<[u8]> {
        let alike = |(form, positioned, _): &&(Form, bool, Arc<[u8]>)| {
            (*form, *positioned) == (member.form, member.positioned)
        };
        if let Some((_, _, frame)) = self.made.iter().find(alike) {
            return Arc::clone(frame);
        }
        let mut publication = self.publication.clone();
        if !member.positioned {
            publication.offset = 0;
        }
        let frame = member.form.push(self.name, publication, self.from);
        self.made.push((member.form, member.positioned, Arc::clone(&frame)));
        frame
    }
}

/// The same with another byte right behind the numbers of the text.
fn damaged(frame: &[u8]) -> Arc<[u8]> {
    let mut frame = frame.to_vec();
    let text = frame.windows(2).position(|two| two == b"~#").unwrap();
    let padding = frame[text + 2..].iter().position(|byte| *byte == b'~').unwrap() + text + 3;
    frame[padding] = b'!';
    frame.into()
}
