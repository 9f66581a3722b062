//! From a request head to a WebSocket, to the HTTP side, or to a refusal.

use super::connection::{Connection, Phase};
use super::worker::Worker;
use crate::chat::ids::ClientId;
use crate::chat::shard::{Hello, Input, Shard};
use crate::metrics::{Cell, Cells};
use crate::protocol::messages::Encoding;
use crate::protocol::plain::{self, Endpoint};
use crate::ws::codec::Decoder;
use crate::ws::handshake::{self, Head, Reject, Upgrade, origin_allowed};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// The subprotocols of the client protocol's two forms. A client that names none speaks JSON.
const SUBPROTOCOLS: [(&str, Encoding); 2] =
    [("centrifuge-json", Encoding::Json), ("centrifuge-protobuf", Encoding::Protobuf)];

/// A refusal and the counter that counts it.
type Refusal = (Reject, fn(&Cells) -> &Cell);

impl Worker {
    /// More of a head has come: decides what the connection is.
    pub(super) fn head_grew(&mut self, slot: u32) {
        let limit = self.settings.config.http_server.head_size_limit;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let Phase::Head(head) = &mut connection.phase else { return };
        match handshake::read_head(&head.bytes, limit) {
            Head::Incomplete => connection.watch(slot),
            Head::Reject(reject) if reject.status == 431 => {
                self.refuse(slot, (reject, |m| &m.rejected_too_large));
            }
            Head::Reject(reject) => self.refuse(slot, (reject, |m| &m.rejected_head)),
            Head::NotWebSocket { .. } => {
                let bytes = std::mem::take(&mut head.bytes);
                self.hand_to_http(slot, bytes);
            }
            Head::Upgrade(upgrade) => {
                let bytes = std::mem::take(&mut head.bytes);
                let rest = bytes.get(upgrade.head_len..).unwrap_or_default();
                if !self.gather_upgrade(slot, &upgrade, rest) {
                    self.upgrade(slot, &upgrade, rest);
                }
            }
        }
    }

    /// The head did not come in time.
    pub(super) fn head_overdue(&mut self, slot: u32) {
        let reject = Reject::new(408, "the request head took too long");
        self.refuse(slot, (reject, |m| &m.rejected_timeout));
    }

    fn refuse(&mut self, slot: u32, (reject, counter): Refusal) {
        counter(&self.metrics).inc();
        self.begin_close(slot, &[reject.response()]);
    }

    /// No WebSocket: the HTTP side serves it, with the bytes already read.
    fn hand_to_http(&mut self, slot: u32, bytes: Vec<u8>) {
        // Nothing is in flight: its only operation has just completed.
        let Some(connection) = self.remove(slot) else { return };
        let serial = connection.serial;
        if let Err((socket, _)) = (self.shared.http)(connection.into_socket(), bytes) {
            // It has no room: the connection comes back to be told so.
            let back = Connection::new(socket, serial, Decoder::server(0), 0);
            let slot = self.connections.insert(back) as u32;
            self.shared.balance.add(self.index());
            let reject = Reject::new(503, "too many HTTP connections");
            self.refuse(slot, (reject, |m| &m.rejected_http_busy));
        }
    }

    /// Accepts an upgrade, or says why not. `rest`: what the client has sent behind its head.
    pub(super) fn upgrade(&mut self, slot: u32, upgrade: &Upgrade, rest: &[u8]) {
        match self.admit(slot, upgrade) {
            Ok(hello) => {
                if let Some(connection) = self.connections.get_mut(slot as usize) {
                    connection.counted = true;
                    connection.phase = Phase::Open;
                }
                self.step(Input::Opened { slot, hello: Box::new(hello) });
                self.feed(slot, rest);
            }
            Err(refusal) => self.refuse(slot, refusal),
        }
    }

    /// Everything that can refuse an upgrade. The connection is counted when this says yes.
    fn admit(&mut self, slot: u32, upgrade: &Upgrade) -> Result<Hello, Refusal> {
        let shared = self.shared.clone();
        let settings = self.settings.clone();
        let config = &settings.config;
        let bad: fn(&Cells) -> &Cell = |m| &m.rejected_head;
        let endpoint = plain::endpoint(&upgrade.path, upgrade.query.as_deref());
        let endpoint = endpoint
            .filter(|endpoint| config.echo || *endpoint != Endpoint::Echo)
            .ok_or((Reject::new(404, "no WebSocket is served here"), bad))?;
        if !origin_allowed(upgrade, &config.client.allowed_origins) {
            let reject = Reject::new(403, "pages of this origin may not connect");
            return Err((reject, |m| &m.rejected_origin));
        }
        let (protocol, encoding) = subprotocol(&endpoint, &upgrade.protocols);
        if self.drain.is_some() {
            let reject = Reject::new(503, "the server is shutting down");
            return Err((reject, |m| &m.rejected_full));
        }
        let identity = Shard::admit(&settings, &endpoint, self.now.unix_ms).map_err(|why| {
            if let Some(id) = why.key_wanted {
                self.metrics.token_keys_unknown.inc();
                self.fx.keys_wanted.push(id);
            }
            (Reject::new(why.status, why.reason), UNAUTHORIZED)
        })?;
        let client = random_client_id().ok_or_else(|| {
            let reject = Reject::new(503, "no random numbers to be had");
            (reject, bad)
        })?;
        let max = shared.connections_max;
        let one_more = |n: usize| (n < max).then_some(n + 1);
        if shared.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            let reject = Reject::new(503, "the server has as many connections as it may");
            return Err((reject, |m| &m.rejected_full));
        }
        if let Err(refusal) = self.count_address(slot) {
            shared.sessions.fetch_sub(1, Ordering::Relaxed);
            return Err(refusal);
        }
        Ok(Hello {
            endpoint,
            encoding,
            identity,
            client,
            number: shared.numbers.fetch_add(1, Ordering::Relaxed) + 1,
            greeting: upgrade.response(protocol),
        })
    }

    /// Counts the connection's address, where that is limited.
    fn count_address(&mut self, slot: u32) -> Result<(), Refusal> {
        let limit = self.settings.config.client.connection_limit_per_address;
        let connection = self.connections.get(slot as usize);
        let Some(address) = connection.and_then(|c| c.address.as_deref()) else { return Ok(()) };
        let mut counts = self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(*address).or_default();
        if *count >= limit {
            let reject = Reject::new(503, "too many connections from this address");
            return Err((reject, |m| &m.rejected_address));
        }
        *count += 1;
        Ok(())
    }
}

/// The subprotocol to answer with, the first of those `offered` that is known, and the form that it
/// stands for. Only the protocol's endpoint has any.
fn subprotocol(endpoint: &Endpoint, offered: &[String]) -> (Option<&'static str>, Encoding) {
    let known = |name: &String| SUBPROTOCOLS.into_iter().find(|(known, _)| known == name);
    let chosen = offered.iter().find_map(known).filter(|_| *endpoint == Endpoint::Protocol);
    chosen.map_or((None, Encoding::Json), |(name, encoding)| (Some(name), encoding))
}

const UNAUTHORIZED: fn(&Cells) -> &Cell = |m| &m.rejected_unauthorized;

fn random_client_id() -> Option<ClientId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(ClientId(u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subprotocol_that_is_known() {
        let check = |endpoint: &Endpoint, offered: &[&str], expect: (Option<&str>, Encoding)| {
            let names: Vec<String> = offered.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(subprotocol(endpoint, &names), expect, "{offered:?}");
        };
        let (json, protobuf) = ("centrifuge-json", "centrifuge-protobuf");
        let protocol = Endpoint::Protocol;
        check(&protocol, &[], (None, Encoding::Json));
        check(&protocol, &["chat"], (None, Encoding::Json));
        check(&protocol, &[json], (Some(json), Encoding::Json));
        check(&protocol, &["chat", protobuf], (Some(protobuf), Encoding::Protobuf));
        check(&protocol, &[protobuf, json], (Some(protobuf), Encoding::Protobuf));
        check(&protocol, &[json, protobuf], (Some(json), Encoding::Json));
        check(&Endpoint::Echo, &[protobuf], (None, Encoding::Json));
    }
}
