//! Tests of the shard: a few shards, their lanes and their clients in one thread.
//!
//! [`World`] moves every byte itself: frames from outboxes to clients, batches along lanes, time.
//! Scenarios drive it by hand; the model test drives it from a seed, in any order that the real
//! event loops could produce, and compares what each client saw with what a naive model of a room
//! would have shown it. A failure prints its seed.

use super::auth::Identity;
use super::ids::{ClientId, ShardId};
use super::outbox::Chunks;
use super::peer::PeerMessage;
use super::settings::{Keys, Settings};
use super::shard::{Close, Effects, Hello, Input, Now, Shard};
use crate::config::Config;
use crate::metrics::Cells;
use crate::protocol::messages::{Encoding, Reply};
use crate::protocol::plain::Endpoint;
use crate::protocol::wire;
use crate::ws::codec::{Decoder, Message};
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

mod api;
mod claimed;
mod encodings;
mod gathering;
mod grants;
mod holding;
mod model;
mod options;
mod presence;
mod rpc;
mod rules;
mod scenarios;
mod terms;
mod versions;

/// A client and what it has received.
#[derive(Default)]
struct Client {
    shard: usize,
    slot: u32,
    open: bool,
    /// It speaks protobuf. Here its commands and replies are JSON like everybody's: they are
    /// translated on their way.
    protobuf: bool,
    /// Messages handed over while the shard did not accept any.
    held: VecDeque<String>,
    /// Everything received, one JSON object or line each.
    got: Vec<String>,
    /// Sends that brought it.
    sends: usize,
    closed: Option<(u16, &'static str)>,
    /// It takes nothing: its sends never complete.
    stuck: bool,
}

struct World {
    shards: Vec<Shard>,
    effects: Vec<Effects>,
    metrics: Vec<Arc<Cells>>,
    /// Batches on their way, by (from, to).
    lanes: BTreeMap<(usize, usize), VecDeque<Vec<PeerMessage>>>,
    clients: Vec<Client>,
    by_slot: HashMap<(usize, u32), usize>,
    free: Vec<Vec<u32>>,
    now: Now,
    settings: Arc<Settings>,
}

fn keys() -> Keys {
    Keys { hash: [1, 2, 3, 4], resume: [5; 32], epoch: 6 }
}

impl World {
    fn new(shards: usize, adjust: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::default();
        config.client.command_rate_limit = 0;
        adjust(&mut config);
        let settings = Arc::new(Settings::new(config, shards as u16, keys()));
        let now = Now { mono_ms: 1_000, unix_ms: 1_700_000_000_000 };
        let metrics: Vec<_> = (0..shards).map(|_| Arc::new(Cells::default())).collect();
        let shard =
            |i: usize| Shard::new(ShardId(i as u16), settings.clone(), metrics[i].clone(), now);
        World {
            shards: (0..shards).map(shard).collect(),
            effects: (0..shards).map(|_| Effects::new(shards as u16)).collect(),
            lanes: BTreeMap::new(),
            clients: Vec::new(),
            by_slot: HashMap::new(),
            free: vec![(0..1_000).rev().collect(); shards],
            metrics,
            now,
            settings,
        }
    }

    fn step(&mut self, shard: usize, input: Input<'_>) {
        self.shards[shard].step(self.now, input, &mut self.effects[shard]);
        self.after(shard);
    }

    /// Applies what a step left behind, but does not end the turn.
    fn after(&mut self, shard: usize) {
        for Close { slot, code, reason, before } in std::mem::take(&mut self.effects[shard].closes)
        {
            let index = self.by_slot.remove(&(shard, slot)).expect("a known connection");
            self.free[shard].push(slot);
            if !self.clients[index].stuck {
                before.into_iter().for_each(|bytes| self.receive(index, &bytes));
            }
            self.clients[index].open = false;
            // Leaked, so that scenarios compare it with a literal.
            self.clients[index].closed = Some((code, reason.into_owned().leak()));
        }
        while let Some(slot) = self.effects[shard].resumed.pop() {
            if let Some(&index) = self.by_slot.get(&(shard, slot)) {
                self.hand_over(index);
            }
        }
    }

    /// Ends the shard's turn: lanes take their batches, members their bytes.
    fn end_turn(&mut self, shard: usize) {
        self.shards[shard].end_turn(&mut self.effects[shard]);
        for to in 0..self.shards.len() {
            let batch = std::mem::take(&mut self.effects[shard].lanes[to]);
            if !batch.is_empty() {
                assert_ne!(to, shard);
                self.lanes.entry((shard, to)).or_default().push_back(batch);
            }
        }
        self.after(shard);
        while let Some((slot, chunks)) = self.shards[shard].next_send() {
            let Some(&index) = self.by_slot.get(&(shard, slot)) else { continue };
            if self.clients[index].stuck {
                continue;
            }
            self.clients[index].sends += 1;
            match chunks {
                Chunks::One(bytes) => self.receive(index, &bytes),
                Chunks::Many(many) => many.iter().for_each(|bytes| self.receive(index, bytes)),
            }
            self.step(shard, Input::Sent { slot });
        }
    }

    /// Delivers the oldest batch of a lane. False: there is none.
    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(messages) = self.lanes.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
            return false;
        };
        let mut messages = messages.into_iter();
        while messages.len() > 0 {
            if self.shards[to].turn_full() {
                self.end_turn(to);
            }
            self.step(to, Input::Peer { from: ShardId(from as u16), messages: &mut messages });
        }
        true
    }

    /// Runs until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            (0..self.shards.len()).for_each(|shard| self.end_turn(shard));
            let lanes: Vec<_> = self.lanes.keys().copied().collect();
            let moved = lanes.into_iter().filter(|(from, to)| self.deliver(*from, *to)).count();
            let writable = self.shards.iter().any(|s| s.has_writable() || s.is_dirty());
            if moved == 0 && !writable {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn receive(&mut self, index: usize, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut decoder = Decoder::client(1 << 20);
        let mut feed = decoder.feed(&mut bytes);
        let mut got = Vec::new();
        while let Some(message) = feed.next().expect("whole frames") {
            match message {
                Message::Text(text) => got.extend(text.split('\n').map(str::to_owned)),
                Message::Binary(mut bytes) if self.clients[index].protobuf => {
                    while !bytes.is_empty() {
                        let reply = Reply::decode_length_delimited(&mut bytes).expect("a reply");
                        got.push(as_json(&reply));
                    }
                }
                Message::Pong(_) => got.push("PONG".into()),
                Message::Ping(_) => got.push("PING".into()),
                other => got.push(format!("{other:?}")),
            }
        }
        drop(feed);
        assert!(!decoder.has_rest(), "outboxes hold whole frames");
        self.clients[index].got.extend(got);
    }

    fn open(&mut self, shard: usize, endpoint: Endpoint) -> usize {
        let identity = Shard::admit(&self.settings, &endpoint, self.now.unix_ms).expect("admitted");
        self.open_as(shard, endpoint, identity)
    }

    fn open_as(&mut self, shard: usize, endpoint: Endpoint, identity: Identity) -> usize {
        self.open_with(shard, endpoint, identity, Encoding::Json)
    }

    fn open_with(
        &mut self,
        shard: usize,
        endpoint: Endpoint,
        identity: Identity,
        encoding: Encoding,
    ) -> usize {
        let slot = self.free[shard].pop().expect("a free slot");
        let index = self.clients.len();
        let protobuf = encoding == Encoding::Protobuf;
        self.clients.push(Client { shard, slot, open: true, protobuf, ..Client::default() });
        self.by_slot.insert((shard, slot), index);
        let hello = Hello {
            endpoint,
            encoding,
            identity,
            client: ClientId(index as u128 + 1),
            number: index as u32 + 1,
            greeting: Bytes::new(),
        };
        self.step(shard, Input::Opened { slot, hello: Box::new(hello) });
        index
    }

    /// Another shard takes a client that has done nothing yet.
    fn relocate(&mut self, index: usize, to: usize) {
        let Client { shard: from, slot, .. } = self.clients[index];
        let hello = self.shards[from].give_up(slot, &mut self.effects[from]).expect("fresh");
        self.by_slot.remove(&(from, slot));
        self.free[from].push(slot);
        let slot = self.free[to].pop().expect("a free slot");
        self.by_slot.insert((to, slot), index);
        (self.clients[index].shard, self.clients[index].slot) = (to, slot);
        self.step(to, Input::Opened { slot, hello: Box::new(hello) });
    }

    /// A protocol client, connected.
    fn client(&mut self, shard: usize) -> usize {
        let index = self.open(shard, Endpoint::Protocol);
        self.say(index, json!({"id": 1, "connect": {}}));
        index
    }

    /// A protocol client that speaks protobuf, connected.
    fn protobuf_client(&mut self, shard: usize) -> usize {
        let (endpoint, identity) = (Endpoint::Protocol, Identity::Anonymous);
        let index = self.open_with(shard, endpoint, identity, Encoding::Protobuf);
        self.say(index, json!({"id": 1, "connect": {}}));
        index
    }

    /// Says a command and returns the whole reply.
    fn ask(&mut self, index: usize, command: Value) -> Value {
        self.take(index);
        self.say(index, command.clone());
        self.settle();
        let got = self.take(index);
        let replies = got.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok());
        let mut replies = replies.filter(|reply| reply["id"] == command["id"]);
        replies.next().unwrap_or_else(|| panic!("no reply to {command}: {got:?}"))
    }

    /// A protocol client with a nick.
    fn guest(&mut self, shard: usize, nick: &str) -> usize {
        let index = self.open(shard, Endpoint::Protocol);
        self.say(index, json!({"id": 1, "connect": {"data": {"nick": nick}}}));
        self.settle();
        index
    }

    fn plain(&mut self, shard: usize, room: &str, name: Option<&str>) -> usize {
        let name = name.map(str::to_owned);
        self.open(shard, Endpoint::Plain { room: room.into(), name, token: None })
    }

    fn say(&mut self, index: usize, command: Value) {
        self.send(index, &command.to_string());
    }

    fn send(&mut self, index: usize, text: &str) {
        self.clients[index].held.push_back(text.to_owned());
        self.hand_over(index);
    }

    /// Hands messages to the shard while it accepts any.
    fn hand_over(&mut self, index: usize) {
        let (shard, slot) = (self.clients[index].shard, self.clients[index].slot);
        while self.clients[index].open
            && !self.clients[index].held.is_empty()
            && self.shards[shard].accepts(slot)
        {
            let text = self.clients[index].held.pop_front().expect("held");
            if self.clients[index].protobuf {
                let bytes: Vec<u8> = text.lines().flat_map(protobuf).collect();
                self.step(shard, Input::Received { slot, message: Message::Binary(&bytes) });
            } else {
                self.step(shard, Input::Received { slot, message: Message::Text(&text) });
            }
        }
    }

    /// The client's id on the wire.
    fn client_id(&self, index: usize) -> String {
        ClientId(index as u128 + 1).to_string()
    }

    /// The client's user.
    fn user(&mut self, index: usize) -> String {
        let (shard, slot) = (self.clients[index].shard, self.clients[index].slot);
        self.shards[shard].session(slot).map(|s| s.identity.user()).expect("a session")
    }

    /// The connection breaks.
    fn cut(&mut self, index: usize) {
        let (shard, slot) = (self.clients[index].shard, self.clients[index].slot);
        if std::mem::take(&mut self.clients[index].open) {
            self.by_slot.remove(&(shard, slot));
            self.step(shard, Input::Closed { slot });
            self.free[shard].push(slot);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += ms;
        (0..self.shards.len()).for_each(|shard| self.tick(shard));
        self.settle();
    }

    /// Lets a shard know the time if it wants to.
    fn tick(&mut self, shard: usize) {
        if self.shards[shard].next_deadline_ms().is_some_and(|at| at <= self.now.mono_ms) {
            self.step(shard, Input::Tick);
        }
    }

    /// What the client has received since the last call.
    fn take(&mut self, index: usize) -> Vec<String> {
        std::mem::take(&mut self.clients[index].got)
    }

    fn count(&self, read: fn(&Cells) -> u64) -> u64 {
        self.metrics.iter().map(|cells| read(cells)).sum()
    }

    /// Nothing is left behind when everybody has gone.
    fn assert_empty(&mut self) {
        self.settle();
        for shard in &self.shards {
            assert_eq!(shard.slots().count(), 0);
            assert_eq!(shard.rooms.len(), 0, "rooms of members");
            assert_eq!(shard.outbox_bytes, 0);
            assert!(shard.homes.iter().all(|(_, home)| home.is_empty()), "members at home");
        }
    }
}

/// A protobuf reply as the JSON form has it. There a recovery of nothing has an empty list, which
/// protobuf cannot tell from none.
fn as_json(reply: &Reply) -> String {
    let mut value = serde_json::to_value(reply).expect("JSON");
    if value["subscribe"]["recovered"] == true && value["subscribe"]["publications"].is_null() {
        value["subscribe"]["publications"] = json!([]);
    }
    value.to_string()
}

/// A JSON command as protobuf, with its length before it.
fn protobuf(command: &str) -> Vec<u8> {
    let command: Value = serde_json::from_str(command).expect("a JSON command");
    let mut bytes = Vec::new();
    for (name, value) in command.as_object().expect("an object") {
        match name.as_str() {
            "id" => wire::put_number(&mut bytes, 1, value.as_u64().expect("a number")),
            "connect" => put_fields(&mut bytes, 4, value, &[("token", 1), ("data", 2)]),
            "subscribe" => {
                let fields = [("channel", 1), ("recover", 3), ("epoch", 6), ("offset", 7)];
                put_fields(&mut bytes, 5, value, &fields);
            }
            "unsubscribe" => put_fields(&mut bytes, 6, value, &[("channel", 1)]),
            "publish" => put_fields(&mut bytes, 7, value, &[("channel", 1), ("data", 2)]),
            "presence" => put_fields(&mut bytes, 8, value, &[("channel", 1)]),
            "history" => put_fields(&mut bytes, 10, value, &[("channel", 1), ("limit", 7)]),
            "ping" => put_fields(&mut bytes, 11, value, &[]),
            "rpc" => put_fields(&mut bytes, 13, value, &[("data", 1), ("method", 2)]),
            other => panic!("no number is known of {other}"),
        }
    }
    let mut framed = Vec::new();
    wire::put_varint(&mut framed, bytes.len() as u64);
    framed.extend(bytes);
    framed
}

fn put_fields(out: &mut Vec<u8>, number: u8, message: &Value, fields: &[(&str, u8)]) {
    let mut bytes = Vec::new();
    for (name, value) in message.as_object().expect("an object") {
        let field = fields.iter().find(|(known, _)| known == name).expect("a known field").1;
        match value {
            _ if name == "data" => wire::put_bytes(&mut bytes, field, value.to_string().as_bytes()),
            Value::String(text) => wire::put_bytes(&mut bytes, field, text.as_bytes()),
            Value::Bool(flag) => wire::put_number(&mut bytes, field, u64::from(*flag)),
            Value::Number(n) => {
                wire::put_number(&mut bytes, field, n.as_i64().expect("whole") as u64);
            }
            other => panic!("not a field: {other}"),
        }
    }
    wire::put_bytes(out, number, &bytes);
}

/// The first text of `name` in the received objects, as JSON.
fn find(got: &[String], name: &str) -> Option<Value> {
    got.iter()
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .find_map(|value| value.get(name).cloned())
}
