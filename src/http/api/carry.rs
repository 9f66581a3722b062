//! Carries a call out: asks the shards, and puts their answers together as a result object.
//!
//! A call about a room goes to the room's home; one about users goes to all shards at once; one that
//! brings users into a room goes to the room's home first. Tests: below for the putting together,
//! `http/tests.rs` for who is asked, `tests/it/api.rs` for the rest.

use super::call::Call;
use super::{Api, error_object};
use crate::chat::api::{Answer, Counts, Outcome, Post, Request};
use crate::chat::idempotency::Kept;
use crate::chat::ids::RoomName;
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::reply::VERSION;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bytes of a broadcast that are on their way to rooms at the same time.
const BROADCAST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rooms of a broadcast that are asked at the same time.
const BROADCAST_ROOMS_MAX: usize = 256;

impl Api {
    /// A result object, encoded.
    pub(super) async fn ask(&self, call: Call) -> Result<String, ErrorCode> {
        match call {
            Call::Room(room, request) => {
                let shard = (self.door.home)(room.as_str());
                one(answered((self.door.ask)(shard, request)).await?)
            }
            Call::Broadcast(rooms, post) => Ok(self.broadcast(&rooms, &post).await),
            Call::Subscribe(mut subscribe) => {
                let home = (self.door.home)(subscribe.room.as_str());
                let open = Request::Open(subscribe.room.clone());
                // Whether it matters is for the shards to say: perhaps nobody is meant.
                subscribe.refused = answered((self.door.ask)(home, open)).await.err();
                self.ask_all(Request::Subscribe(subscribe)).await
            }
            Call::All(request) => self.ask_all(request).await,
        }
    }

    async fn ask_all(&self, request: Request) -> Result<String, ErrorCode> {
        let asked: Vec<_> =
            (0..self.door.shards).map(|shard| (self.door.ask)(shard, request.clone())).collect();
        let mut all = All::default();
        for answer in asked {
            all.add(answered(answer).await);
        }
        self.all(all, &request)
    }

    /// `{"responses":[{"result":{...}},{"error":{...}}]}`: one for each room, in order.
    async fn broadcast(&self, rooms: &[RoomName], post: &Arc<Post>) -> String {
        let at_once = (BROADCAST_BYTES_MAX / post.bytes().max(1)).clamp(1, BROADCAST_ROOMS_MAX);
        let mut responses = Vec::with_capacity(rooms.len());
        for rooms in rooms.chunks(at_once) {
            let ask = |room: &RoomName| {
                let request = Request::Publish { room: room.clone(), post: post.clone() };
                (self.door.ask)((self.door.home)(room.as_str()), request)
            };
            let asked: Vec<_> = rooms.iter().map(ask).collect();
            for answer in asked {
                responses.push(match answered(answer).await.and_then(one) {
                    Ok(result) => format!("{{\"result\":{result}}}"),
                    Err(error) => format!("{{\"error\":{}}}", error_object(error)),
                });
            }
        }
        format!("{{\"responses\":[{}]}}", responses.join(","))
    }

    /// What all shards have answered, as one result.
    fn all(&self, all: All, request: &Request) -> Result<String, ErrorCode> {
        if let Some(error) = all.error {
            return Err(error);
        }
        let result = match request {
            Request::Channels(_) => json!({ "channels": all.channels }),
            Request::Info => json!({"nodes": [{
                "uid": self.door.node_uid,
                "name": self.door.node_name,
                "version": VERSION,
                "num_clients": all.counts.clients,
                "num_users": all.users.len(),
                "num_subs": all.counts.subscriptions,
                "num_channels": all.counts.channels,
                "uptime": self.start.elapsed().as_secs(),
            }]}),
            _ => json!({}),
        };
        Ok(result.to_string())
    }
}

/// The answer of a shard; [`codes::INTERNAL`] where it has ended.
async fn answered(answer: oneshot::Receiver<Answer>) -> Answer {
    answer.await.unwrap_or(Err(codes::INTERNAL))
}

/// What a room's home has answered, as a result.
fn one(outcome: Outcome) -> Result<String, ErrorCode> {
    match outcome {
        Outcome::Done => Ok("{}".to_owned()),
        Outcome::Published(kept) => Ok(published(kept)),
        Outcome::Object(object) => Ok(object),
        Outcome::Channels(_) | Outcome::Info(_) => Err(codes::INTERNAL),
    }
}

/// `{"offset":4,"epoch":"ab"}`, or `{}` where the publication is not kept.
fn published(kept: Kept) -> String {
    match kept {
        Some((epoch, offset)) => format!("{{\"offset\":{offset},\"epoch\":\"{epoch}\"}}"),
        None => "{}".to_owned(),
    }
}

/// The answers of all shards, put together.
#[derive(Default)]
struct All {
    channels: Map<String, Value>,
    counts: Counts,
    users: HashSet<u64>,
    error: Option<ErrorCode>,
}

impl All {
    fn add(&mut self, answer: Answer) {
        match answer {
            Ok(Outcome::Channels(rooms)) => {
                let info = |n: usize| json!({ "num_clients": n });
                self.channels.extend(rooms.iter().map(|(room, n)| (room.to_string(), info(*n))));
            }
            Ok(Outcome::Info(counts)) => {
                self.counts.clients += counts.clients;
                self.counts.subscriptions += counts.subscriptions;
                self.counts.channels += counts.channels;
                self.users.extend(counts.users);
            }
            Ok(_) => {}
            Err(error) => self.error = self.error.or(Some(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ids::Epoch;

    #[test]
    fn results_of_one_room() {
        let check = |outcome, expect: &str| assert_eq!(one(outcome).as_deref(), Ok(expect));
        check(Outcome::Done, "{}");
        check(Outcome::Published(None), "{}");
        check(Outcome::Published(Some((Epoch(0xab), 4))), r#"{"offset":4,"epoch":"ab"}"#);
    }

    #[test]
    fn answers_of_all_shards_are_added_up() {
        let mut all = All::default();
        let info = |users: &[u64]| {
            let users = users.to_vec();
            Ok(Outcome::Info(Counts { clients: 3, subscriptions: 2, channels: 1, users }))
        };
        all.add(info(&[1, 2]));
        all.add(info(&[2, 3]));
        all.add(Ok(Outcome::Channels(vec![(RoomName::from("a"), 2)])));
        all.add(Ok(Outcome::Channels(vec![(RoomName::from("b"), 1)])));
        assert_eq!((all.counts.clients, all.counts.subscriptions, all.counts.channels), (6, 4, 2));
        assert_eq!(all.users.len(), 3, "a user on two shards is one user");
        let channels = Value::from(all.channels.clone());
        assert_eq!(channels, json!({"a": {"num_clients": 2}, "b": {"num_clients": 1}}));
        assert_eq!(all.error, None);
        all.add(Err(codes::LIMIT_EXCEEDED));
        all.add(Err(codes::INTERNAL));
        assert_eq!(all.error, Some(codes::LIMIT_EXCEEDED), "the first error is the answer");
    }
}
