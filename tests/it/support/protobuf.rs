//! A client of the protobuf form of the protocol, with messages of its own: names and numbers are
//! those of the public `client.proto`, as far as the tests look at them.

use super::client::{Event, PROTOCOL, Socket};
use prost::Message;
use std::collections::VecDeque;
use std::net::SocketAddr;

pub const SUBPROTOCOL: &str = "centrifuge-protobuf";

#[derive(Clone, PartialEq, Message)]
pub struct Command {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(message, optional, tag = "4")]
    pub connect: Option<ConnectRequest>,
    #[prost(message, optional, tag = "5")]
    pub subscribe: Option<SubscribeRequest>,
    #[prost(message, optional, tag = "6")]
    pub unsubscribe: Option<RoomRequest>,
    #[prost(message, optional, tag = "7")]
    pub publish: Option<PublishRequest>,
    #[prost(message, optional, tag = "10")]
    pub history: Option<HistoryRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConnectRequest {
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    #[prost(string, tag = "4")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct SubscribeRequest {
    #[prost(string, tag = "1")]
    pub channel: String,
    #[prost(bool, tag = "3")]
    pub recover: bool,
    #[prost(string, tag = "6")]
    pub epoch: String,
    #[prost(uint64, tag = "7")]
    pub offset: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct RoomRequest {
    #[prost(string, tag = "1")]
    pub channel: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PublishRequest {
    #[prost(string, tag = "1")]
    pub channel: String,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct HistoryRequest {
    #[prost(string, tag = "1")]
    pub channel: String,
    #[prost(int32, tag = "7")]
    pub limit: i32,
    #[prost(bool, tag = "9")]
    pub reverse: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reply {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(message, optional, tag = "2")]
    pub error: Option<Error>,
    #[prost(message, optional, tag = "4")]
    pub push: Option<Push>,
    #[prost(message, optional, tag = "5")]
    pub connect: Option<ConnectResult>,
    #[prost(message, optional, tag = "6")]
    pub subscribe: Option<SubscribeResult>,
    #[prost(message, optional, tag = "7")]
    pub unsubscribe: Option<Empty>,
    #[prost(message, optional, tag = "8")]
    pub publish: Option<Empty>,
    #[prost(message, optional, tag = "11")]
    pub history: Option<HistoryResult>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub struct Error {
    #[prost(uint32, tag = "1")]
    pub code: u32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(bool, tag = "3")]
    pub temporary: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Push {
    #[prost(string, tag = "2")]
    pub channel: String,
    #[prost(message, optional, tag = "4")]
    pub publication: Option<Publication>,
    #[prost(message, optional, tag = "5")]
    pub join: Option<Presence>,
    #[prost(message, optional, tag = "6")]
    pub leave: Option<Presence>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Presence {
    #[prost(message, optional, tag = "1")]
    pub info: Option<ClientInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ClientInfo {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub client: String,
    #[prost(bytes = "vec", tag = "3")]
    pub conn_info: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Publication {
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub info: Option<ClientInfo>,
    #[prost(uint64, tag = "6")]
    pub offset: u64,
    #[prost(int64, tag = "9")]
    pub time: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConnectResult {
    #[prost(string, tag = "1")]
    pub client: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(bytes = "vec", tag = "5")]
    pub data: Vec<u8>,
    #[prost(uint32, tag = "7")]
    pub ping: u32,
    #[prost(bool, tag = "8")]
    pub pong: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct SubscribeResult {
    #[prost(bool, tag = "3")]
    pub recoverable: bool,
    #[prost(string, tag = "6")]
    pub epoch: String,
    #[prost(message, repeated, tag = "7")]
    pub publications: Vec<Publication>,
    #[prost(bool, tag = "8")]
    pub recovered: bool,
    #[prost(uint64, tag = "9")]
    pub offset: u64,
    #[prost(bool, tag = "10")]
    pub positioned: bool,
    #[prost(bool, tag = "12")]
    pub was_recovering: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct HistoryResult {
    #[prost(message, repeated, tag = "1")]
    pub publications: Vec<Publication>,
    #[prost(string, tag = "2")]
    pub epoch: String,
    #[prost(uint64, tag = "3")]
    pub offset: u64,
}

/// A client of the protobuf form, connected.
#[derive(Debug)]
pub struct Proto {
    pub socket: Socket,
    /// The connect result.
    pub connected: ConnectResult,
    /// Pings that were answered.
    pub pings: usize,
    next_id: u32,
    replies: VecDeque<Reply>,
    pushes: VecDeque<Push>,
}

impl Proto {
    pub fn connect(address: SocketAddr) -> Proto {
        Proto::connect_with(address, ConnectRequest::default())
    }

    /// Connects as a guest with a nick.
    pub fn guest(address: SocketAddr, nick: &str) -> Proto {
        let data = serde_json::json!({ "nick": nick }).to_string().into_bytes();
        Proto::connect_with(address, ConnectRequest { data, name: "test".into() })
    }

    fn connect_with(address: SocketAddr, connect: ConnectRequest) -> Proto {
        let mut proto = Proto {
            socket: Socket::speaking(address, PROTOCOL, SUBPROTOCOL),
            connected: ConnectResult::default(),
            pings: 0,
            next_id: 1,
            replies: VecDeque::new(),
            pushes: VecDeque::new(),
        };
        let reply = proto.request(Command { connect: Some(connect), ..Command::default() });
        proto.connected = reply.connect.clone().unwrap_or_else(|| panic!("{reply:?}"));
        proto
    }

    pub fn send(&mut self, bytes: Vec<u8>) {
        self.socket.ws.send(tungstenite::Message::binary(bytes)).unwrap();
    }

    /// Sends commands in one frame; each gets the next id. Returns the first of the ids.
    pub fn commands(&mut self, commands: impl IntoIterator<Item = Command>) -> u32 {
        let first = self.next_id;
        let mut bytes = Vec::new();
        for command in commands {
            let command = Command { id: self.next_id, ..command };
            self.next_id += 1;
            bytes.extend(command.encode_length_delimited_to_vec());
        }
        self.send(bytes);
        first
    }

    /// Sends a command and returns its reply.
    pub fn request(&mut self, command: Command) -> Reply {
        let id = self.commands([command]);
        let reply = self.reply();
        assert_eq!(reply.id, id, "{reply:?}");
        reply
    }

    pub fn subscribe_with(&mut self, subscribe: SubscribeRequest) -> SubscribeResult {
        let reply = self.request(Command { subscribe: Some(subscribe), ..Command::default() });
        reply.subscribe.clone().unwrap_or_else(|| panic!("{reply:?}"))
    }

    pub fn subscribe(&mut self, room: &str) -> SubscribeResult {
        self.subscribe_with(SubscribeRequest { channel: room.into(), ..Default::default() })
    }

    pub fn publish(&mut self, room: &str, data: impl Into<Vec<u8>>) -> Reply {
        let publish = Some(PublishRequest { channel: room.into(), data: data.into() });
        self.request(Command { publish, ..Command::default() })
    }

    /// The next reply.
    pub fn reply(&mut self) -> Reply {
        while self.replies.is_empty() {
            self.read();
        }
        self.replies.pop_front().unwrap()
    }

    /// The next push.
    pub fn push(&mut self) -> Push {
        while self.pushes.is_empty() {
            self.read();
        }
        self.pushes.pop_front().unwrap()
    }

    /// The next publication, over joins and leaves.
    pub fn publication(&mut self) -> Publication {
        loop {
            if let Some(publication) = self.push().publication {
                return publication;
            }
        }
    }

    /// Reads a frame, and answers pings.
    pub fn read(&mut self) {
        let frame = match self.socket.read() {
            Event::Binary(bytes) => bytes,
            other => panic!("instead of a binary frame: {other:?}"),
        };
        let mut rest = &frame[..];
        while !rest.is_empty() {
            let reply = Reply::decode_length_delimited(&mut rest)
                .unwrap_or_else(|e| panic!("the server sent {frame:?}: {e}"));
            if reply.id > 0 {
                self.replies.push_back(reply);
            } else if let Some(push) = reply.push {
                self.pushes.push_back(push);
            } else {
                assert_eq!(reply, Reply::default(), "neither reply nor push nor ping");
                self.pings += 1;
                self.send(vec![0]);
            }
        }
    }
}
