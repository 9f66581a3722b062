//! Clients: a WebSocket, and on it the two dialects.

use super::{DEADLINE, http};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

/// The endpoint of the JSON client protocol.
pub const PROTOCOL: &str = "/connection/websocket";

/// What came from the server.
#[derive(Debug, PartialEq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    /// A WebSocket ping; it is answered with the next read or write.
    Ping,
    Closed(Closed),
}

/// How the server ended a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Closed {
    /// With a Close frame.
    Frame(u16, String),
    /// By a reset or an end of the stream without a Close frame.
    Cut,
}

impl Closed {
    pub fn code(&self) -> u16 {
        match self {
            Closed::Frame(code, _) => *code,
            Closed::Cut => 1006,
        }
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket {
    pub ws: WebSocket<TcpStream>,
}

impl Socket {
    pub fn open(address: SocketAddr, path: &str) -> Socket {
        Socket::over(http::connect(address), path)
    }

    /// Opens one with a subprotocol, which the server has to agree to.
    pub fn speaking(address: SocketAddr, path: &str, subprotocol: &str) -> Socket {
        Socket::upgrade(http::connect(address), path, Some(subprotocol))
    }

    /// Upgrades a connection that is there already.
    pub fn over(stream: TcpStream, path: &str) -> Socket {
        Socket::upgrade(stream, path, None)
    }

    fn upgrade(stream: TcpStream, path: &str, subprotocol: Option<&str>) -> Socket {
        let address = stream.peer_addr().unwrap();
        let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
        let url = format!("ws://{address}{path}");
        let mut request = url.as_str().into_client_request().unwrap();
        if let Some(subprotocol) = subprotocol {
            let value = subprotocol.parse().unwrap();
            request.headers_mut().insert("Sec-WebSocket-Protocol", value);
        }
        match tungstenite::client::client_with_config(request, stream, Some(config)) {
            Ok((ws, _)) => Socket { ws },
            Err(e) => panic!("{url}: {e}"),
        }
    }

    pub fn stream(&self) -> &TcpStream {
        self.ws.get_ref()
    }

    pub fn send(&mut self, text: &str) {
        self.try_send(text).unwrap_or_else(|e| panic!("sending {text:?}: {e}"));
    }

    pub fn try_send(&mut self, text: &str) -> Result<(), Error> {
        self.ws.send(Message::text(text))
    }

    pub fn read(&mut self) -> Event {
        match self.ws.read() {
            Ok(Message::Text(text)) => Event::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Event::Binary(bytes.to_vec()),
            Ok(Message::Ping(_)) => Event::Ping,
            Ok(Message::Pong(_) | Message::Frame(_)) => self.read(),
            Ok(Message::Close(frame)) => Event::Closed(self.finish(frame)),
            Err(Error::Io(e)) if is_timeout(&e) => panic!("nothing came within {DEADLINE:?}"),
            Err(Error::Io(e)) if e.kind() == ErrorKind::Interrupted => self.read(),
            Err(_) => Event::Closed(Closed::Cut),
        }
    }

    /// Answers the server's Close frame and sees the connection end.
    fn finish(&mut self, frame: Option<CloseFrame>) -> Closed {
        loop {
            match self.ws.read() {
                Ok(_) => {}
                Err(Error::Io(e)) if is_timeout(&e) => panic!("open {DEADLINE:?} after a Close"),
                Err(_) => break,
            }
        }
        let frame = frame.map(|f| (u16::from(f.code), f.reason.as_str().to_owned()));
        let (code, reason) = frame.unwrap_or((1005, String::new()));
        Closed::Frame(code, reason)
    }

    /// The next text.
    pub fn text(&mut self) -> String {
        // Pings alone would keep a read from its deadline.
        let end = Instant::now() + DEADLINE;
        loop {
            match self.read() {
                Event::Text(text) => return text,
                Event::Ping => assert!(Instant::now() < end, "only pings within {DEADLINE:?}"),
                other => panic!("instead of a text: {other:?}"),
            }
        }
    }

    /// Reads on until the connection ends.
    pub fn closed(&mut self) -> Closed {
        loop {
            if let Event::Closed(closed) = self.read() {
                return closed;
            }
        }
    }

    /// Closes from this side and returns how the server answered.
    pub fn close(&mut self, code: u16, reason: &str) -> Closed {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
        self.ws.close(Some(frame)).unwrap();
        self.closed()
    }
}

fn is_timeout(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A client of the plain-text dialect.
#[derive(Debug)]
pub struct Plain {
    pub socket: Socket,
}

impl Plain {
    /// `path`: `/`, or `/plain?room=R&name=N`.
    pub fn open(address: SocketAddr, path: &str) -> Plain {
        Plain { socket: Socket::open(address, path) }
    }

    pub fn say(&mut self, line: &str) {
        self.socket.send(line);
    }

    pub fn line(&mut self) -> String {
        self.socket.text()
    }

    /// Reads up to the line `expect`, over joins and leaves.
    pub fn expect(&mut self, expect: &str) {
        loop {
            let line = self.line();
            if line == expect {
                return;
            }
            let notice = line.ends_with(" joined") || line.ends_with(" left");
            assert!(notice, "{line:?} instead of {expect:?}");
        }
    }
}

/// A client of the JSON protocol, connected.
#[derive(Debug)]
pub struct Sdk {
    pub socket: Socket,
    /// The connect result.
    pub connected: Value,
    next_id: u32,
    replies: VecDeque<Value>,
    pushes: VecDeque<Value>,
}

impl Sdk {
    /// Connects without a name.
    pub fn connect(address: SocketAddr) -> Sdk {
        Sdk::connect_with(address, json!({}))
    }

    /// Connects as a guest with a nick.
    pub fn guest(address: SocketAddr, nick: &str) -> Sdk {
        Sdk::connect_with(address, json!({"data": {"nick": nick}}))
    }

    /// Connects with the fields of a `connect` command.
    pub fn connect_with(address: SocketAddr, connect: Value) -> Sdk {
        let mut sdk = Sdk::unconnected(address);
        sdk.connected = sdk.ok("connect", connect);
        sdk
    }

    fn unconnected(address: SocketAddr) -> Sdk {
        Sdk {
            socket: Socket::open(address, PROTOCOL),
            connected: Value::Null,
            next_id: 1,
            replies: VecDeque::new(),
            pushes: VecDeque::new(),
        }
    }

    /// Connects and joins a room in one frame, as SDKs do.
    pub fn joining(address: SocketAddr, room: &str) -> Sdk {
        let mut sdk = Sdk::unconnected(address);
        let subscribe = json!({"id": 2, "subscribe": {"channel": room}});
        sdk.socket.send(&format!("{}\n{subscribe}", json!({"id": 1, "connect": {}})));
        sdk.next_id = 3;
        for (id, method) in [(1, "connect"), (2, "subscribe")] {
            let reply = sdk.reply();
            assert!(reply["id"] == id && reply[method].is_object(), "{method}: {reply}");
        }
        sdk
    }

    /// The id that the server gave this connection.
    pub fn id(&self) -> &str {
        self.connected["client"].as_str().unwrap()
    }

    /// Sends a command and returns its id; the reply is read later.
    pub fn command(&mut self, method: &str, params: &Value) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.socket.send(&json!({"id": id, method: params}).to_string());
        id
    }

    /// Sends a command and returns the whole reply.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.command(method, &params);
        let reply = self.reply();
        assert_eq!(reply["id"], id, "{reply}");
        reply
    }

    /// Sends a command that has to succeed and returns its result.
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        let reply = self.request(method, params);
        assert!(reply[method].is_object(), "{method}: {reply}");
        reply[method].clone()
    }

    /// Sends a command that has to fail and returns the error.
    pub fn error(&mut self, method: &str, params: Value) -> Value {
        let reply = self.request(method, params);
        assert!(reply["error"].is_object(), "{method}: {reply}");
        reply["error"].clone()
    }

    pub fn subscribe(&mut self, room: &str) -> Value {
        self.ok("subscribe", json!({"channel": room}))
    }

    pub fn publish(&mut self, room: &str, data: Value) {
        self.ok("publish", json!({"channel": room, "data": data}));
    }

    /// The next reply.
    pub fn reply(&mut self) -> Value {
        while self.replies.is_empty() {
            self.read();
        }
        self.replies.pop_front().unwrap()
    }

    /// The next push: `{"channel":..., "pub"|"join"|"leave"|...: ...}`.
    pub fn push(&mut self) -> Value {
        while self.pushes.is_empty() {
            self.read();
        }
        self.pushes.pop_front().unwrap()
    }

    /// The next publication, over joins and leaves.
    pub fn publication(&mut self) -> Value {
        loop {
            let mut push = self.push();
            if push["pub"].is_object() {
                return push["pub"].take();
            }
        }
    }

    /// The pushes that have come and were not looked at.
    pub fn pending(&self) -> usize {
        self.pushes.len()
    }

    fn read(&mut self) {
        let text = self.socket.text();
        for line in text.split('\n') {
            let mut value: Value = serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("the server sent {line:?}: {e}"));
            if value.get("id").is_some() {
                self.replies.push_back(value);
            } else if value.get("push").is_some() {
                self.pushes.push_back(value["push"].take());
            } else {
                assert_eq!(value, json!({}), "neither reply nor push nor ping");
                self.socket.send("{}");
            }
        }
    }
}
