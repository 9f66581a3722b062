//! What the stub understands and says: the client protocol in both forms, lines, and plain texts.
//! Commands and replies are the protobuf form's own; JSON is made from them and into them.

use prost::Message as _;
use ringchat_loadgen::dialect::messages::{
    Command, ConnectRequest, HistoryRequest, Publication, PublishRequest, Push, Reply, RoomRequest,
    SubscribeRequest,
};
use serde_json::Value;
use std::sync::Arc;
use tungstenite::Message;

/// How a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Json,
    Protobuf,
    /// `from N: TEXT`.
    Lines,
    /// Texts as they come.
    Raw,
}

impl Form {
    /// The commands in one message. What makes no sense is the test's mistake.
    pub(super) fn commands(self, message: &Message) -> Vec<Command> {
        match (self, message) {
            (Form::Json, Message::Text(text)) => text.lines().map(from_json).collect(),
            (Form::Protobuf, Message::Binary(bytes)) => {
                let mut bytes = &bytes[..];
                let mut all = Vec::new();
                while !bytes.is_empty() {
                    all.push(Command::decode_length_delimited(&mut bytes).unwrap());
                }
                all
            }
            _ => panic!("{self:?} in the wrong kind of frame: {message:?}"),
        }
    }

    /// A frame with one reply of the client protocol.
    pub(super) fn reply(self, reply: &Reply) -> Arc<[u8]> {
        match self {
            Form::Protobuf => frame(2, &reply.encode_length_delimited_to_vec()),
            _ => frame(1, json(reply).as_bytes()),
        }
    }

    /// A frame with a message for a room's members. `number`: the sender's connection.
    pub(super) fn push(self, room: &str, publication: Publication, number: usize) -> Arc<[u8]> {
        match self {
            Form::Json | Form::Protobuf => {
                let push =
                    Push { channel: room.into(), r#pub: Some(publication), ..Push::default() };
                self.reply(&Reply { push: Some(push), ..Reply::default() })
            }
            Form::Lines => {
                let line = [format!("from n{number}: ").as_bytes(), &publication.data].concat();
                frame(1, &line)
            }
            Form::Raw => frame(1, &publication.data),
        }
    }
}

/// A server's frame.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Arc<[u8]> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame.into()
}

fn from_json(line: &str) -> Command {
    let json: Value = serde_json::from_str(line).unwrap();
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let flag = |object: &Value, field: &str| object[field].as_bool().unwrap_or_default();
    let room = |object: &Value| RoomRequest { channel: text(object, "channel") };
    Command {
        id: u32::try_from(json["id"].as_u64().unwrap_or_default()).unwrap(),
        connect: json.get("connect").map(|it| ConnectRequest { token: text(it, "token") }),
        subscribe: json.get("subscribe").map(|it| SubscribeRequest {
            channel: text(it, "channel"),
            recover: flag(it, "recover"),
            epoch: text(it, "epoch"),
            offset: it["offset"].as_u64().unwrap_or_default(),
            positioned: flag(it, "positioned"),
            recoverable: flag(it, "recoverable"),
        }),
        publish: json.get("publish").map(|it| PublishRequest {
            channel: text(it, "channel"),
            data: it["data"].to_string().into_bytes(),
        }),
        presence: json.get("presence").map(room),
        presence_stats: json.get("presence_stats").map(room),
        history: json.get("history").map(|it| HistoryRequest {
            channel: text(it, "channel"),
            limit: it["limit"].as_i64().unwrap_or_default() as i32,
        }),
    }
}

fn json(reply: &Reply) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    if let Some(Push { channel, r#pub: Some(publication), .. }) = &reply.push {
        let publication = publication_json(publication);
        return format!(r#"{{"push":{{"channel":{},"pub":{publication}}}}}"#, quoted(channel));
    }
    let result = if let Some(error) = &reply.error {
        format!(r#""error":{{"code":{},"message":{}}}"#, error.code, quoted(&error.message))
    } else if let Some(it) = &reply.connect {
        format!(
            r#""connect":{{"client":{},"ping":{},"pong":{}}}"#,
            quoted(&it.client),
            it.ping,
            it.pong
        )
    } else if let Some(it) = &reply.subscribe {
        let mut fields = Vec::new();
        let flags = [
            ("recoverable", it.recoverable),
            ("positioned", it.positioned),
            ("was_recovering", it.was_recovering),
            ("recovered", it.recovered),
        ];
        fields.extend(flags.iter().filter(|(_, set)| *set).map(|(n, _)| format!("\"{n}\":true")));
        if !it.epoch.is_empty() {
            fields.push(format!(r#""epoch":{},"offset":{}"#, quoted(&it.epoch), it.offset));
        }
        if !it.publications.is_empty() {
            fields.push(format!(r#""publications":{}"#, list(&it.publications)));
        }
        format!(r#""subscribe":{{{}}}"#, fields.join(","))
    } else if let Some(it) = &reply.presence {
        let clients = it.presence.iter().map(|(id, info)| {
            format!(
                r#"{}:{{"user":{},"client":{}}}"#,
                quoted(id),
                quoted(&info.user),
                quoted(&info.client)
            )
        });
        format!(r#""presence":{{"presence":{{{}}}}}"#, clients.collect::<Vec<_>>().join(","))
    } else if let Some(it) = &reply.presence_stats {
        format!(
            r#""presence_stats":{{"num_clients":{},"num_users":{}}}"#,
            it.num_clients, it.num_users
        )
    } else if let Some(it) = &reply.history {
        format!(
            r#""history":{{"publications":{},"epoch":{},"offset":{}}}"#,
            list(&it.publications),
            quoted(&it.epoch),
            it.offset
        )
    } else if reply.publish.is_some() {
        r#""publish":{}"#.to_owned()
    } else {
        return "{}".to_owned();
    };
    format!(r#"{{"id":{},{result}}}"#, reply.id)
}

fn list(publications: &[Publication]) -> String {
    format!("[{}]", publications.iter().map(publication_json).collect::<Vec<_>>().join(","))
}

fn publication_json(publication: &Publication) -> String {
    let data = str::from_utf8(&publication.data).unwrap();
    match publication.offset {
        0 => format!(r#"{{"data":{data}}}"#),
        offset => format!(r#"{{"data":{data},"offset":{offset}}}"#),
    }
}
