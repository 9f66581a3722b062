//! A broadcast server that misbehaves on demand: a thread per connection, both dialects.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use tungstenite::handshake::server::{Request, Response};

/// What goes wrong, once: at the delivery [`AT`] to the member that joined a room first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Nothing,
    Drop,
    Repeat,
    /// The next one of the same sender comes first.
    Swap,
    /// This one, and all that follow, come when so many more messages of the room have come in.
    Delay(usize),
    /// A byte of its text is another one.
    Damage,
    /// The connection is closed with 3008 instead.
    Close,
    /// The message itself is refused, for all.
    Refuse,
    /// The server goes away.
    Vanish,
}

/// Which delivery is hit.
const AT: usize = 20;

#[derive(Default)]
struct Room {
    members: Vec<TcpStream>,
    /// Messages that came in.
    messages: usize,
    /// Deliveries held back for the first member, and the sender of the swapped one.
    held: Vec<Vec<u8>>,
    held_from: Option<usize>,
}

struct Stub {
    fault: Fault,
    published: Sender<()>,
    rooms: Mutex<HashMap<String, Room>>,
}

/// Starts a server with this fault in the room `load-0`; it serves until the test's end.
pub(crate) fn start(fault: Fault) -> SocketAddr {
    start_counted(fault).0
}

/// The same; the receiver yields once for each message that comes in.
pub(crate) fn start_counted(fault: Fault) -> (SocketAddr, Receiver<()>) {
    let (published, messages) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stub = Arc::new(Stub { fault, published, rooms: Mutex::default() });
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stub = Arc::clone(&stub);
            std::thread::spawn(move || stub.serve(number, stream.unwrap()));
        }
    });
    (address, messages)
}

impl Stub {
    fn serve(&self, number: usize, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let writer = stream.try_clone().unwrap();
        let mut target = String::new();
        #[allow(clippy::result_large_err)]
        let callback = |request: &Request, response: Response| {
            target = request.uri().to_string();
            Ok(response)
        };
        let Ok(mut socket) = tungstenite::accept_hdr(stream, callback) else { return };
        let plain = target.split_once("room=").map(|(_, room)| room.to_owned());
        if let Some(room) = &plain {
            self.join(room, &writer, b"* somebody joined");
        } else {
            assert_eq!(target, "/connection/websocket");
        }
        while let Ok(message) = socket.read() {
            let tungstenite::Message::Text(text) = message else { continue };
            match &plain {
                Some(room) => {
                    self.publish(
                        room,
                        number,
                        format!("from n{number}: {text}").into_bytes(),
                        None,
                    );
                }
                None => text.lines().for_each(|line| self.command(number, line, &writer)),
            }
        }
    }

    fn join(&self, room: &str, writer: &TcpStream, answer: &[u8]) {
        let mut rooms = self.rooms.lock().unwrap();
        send(writer, answer);
        send(writer, b"{}");
        rooms.entry(room.to_owned()).or_default().members.push(writer.try_clone().unwrap());
    }

    fn command(&self, number: usize, line: &str, writer: &TcpStream) {
        let command: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = &command["id"];
        if command.get("connect").is_some() {
            send(
                writer,
                format!(r#"{{"id":{id},"connect":{{"ping":25,"pong":true}}}}"#).as_bytes(),
            );
        } else if let Some(subscribe) = command.get("subscribe") {
            let answer = format!(r#"{{"id":{id},"subscribe":{{}}}}"#);
            self.join(subscribe["channel"].as_str().unwrap(), writer, answer.as_bytes());
        } else if let Some(publish) = command.get("publish") {
            let (channel, data) = (&publish["channel"], &publish["data"]);
            let push = format!(r#"{{"push":{{"channel":{channel},"pub":{{"data":{data}}}}}}}"#);
            let answer = Some((writer, id.to_string()));
            self.publish(channel.as_str().unwrap(), number, push.into_bytes(), answer);
        }
    }

    /// Sends `push` to all members, and the answer to the sender; here is what goes wrong.
    fn publish(
        &self,
        name: &str,
        from: usize,
        push: Vec<u8>,
        answer: Option<(&TcpStream, String)>,
    ) {
        // Most tests do not count.
        let _ = self.published.send(());
        let mut rooms = self.rooms.lock().unwrap();
        if self.fault == Fault::Vanish && rooms[name].messages == AT {
            let members = rooms.values().flat_map(|room| &room.members);
            return members.for_each(|member| member.shutdown(Shutdown::Both).unwrap_or_default());
        }
        let room = rooms.get_mut(name).unwrap();
        let hit = name.ends_with("load-0") && room.messages == AT;
        room.messages += 1;
        if hit && self.fault == Fault::Refuse {
            let (writer, id) = answer.unwrap();
            send(writer, format!(r#"{{"id":{id},"error":{{"code":111}}}}"#).as_bytes());
            return;
        }
        let (first, others) = room.members.split_first().unwrap();
        others.iter().for_each(|member| send(member, &push));
        match self.fault {
            Fault::Drop if hit => {}
            Fault::Repeat if hit => [&push, &push].iter().for_each(|push| send(first, push)),
            Fault::Damage if hit => {
                let mut push = push;
                let at = push.windows(3).position(|w| w == b"pqr").unwrap();
                push[at] = b'P';
                send(first, &push);
            }
            Fault::Close if hit => {
                let reason = b"\x0b\xc0slow";
                let _ = (&*first).write_all(&[&[0x88, reason.len() as u8], &reason[..]].concat());
            }
            Fault::Swap if hit => {
                room.held.push(push);
                room.held_from = Some(from);
            }
            Fault::Delay(_) if hit => room.held.push(push),
            Fault::Delay(until) if !room.held.is_empty() => {
                room.held.push(push);
                if room.messages > AT + until {
                    room.held.drain(..).for_each(|push| send(first, &push));
                }
            }
            _ => {
                send(first, &push);
                if room.held_from == Some(from) {
                    room.held_from = None;
                    room.held.drain(..).for_each(|push| send(first, &push));
                }
            }
        }
        if let Some((writer, id)) = answer {
            send(writer, format!(r#"{{"id":{id},"publish":{{}}}}"#).as_bytes());
        }
    }
}

/// One text frame. The peer may be gone.
fn send(mut to: &TcpStream, payload: &[u8]) {
    let mut frame = vec![0x81];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len => {
            frame.push(126);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend(payload);
    let _ = to.write_all(&frame);
}
