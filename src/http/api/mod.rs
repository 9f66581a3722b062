//! The server API: `POST /api/METHOD`, for an application's backend.
//!
//! Owns who may ask (a key, compared in constant time), how large and slow a request may be, and the
//! form of the answers. It touches no room: an [`ApiDoor`] leads to the shards. There is no API
//! unless `http_api.key` is set. Source: the public docs, "Server API walkthrough".
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | the key, the body, statuses, batches |
//! | `call.rs` | a method and its body -> a call |
//! | `carry.rs` | a call -> questions to shards; their answers -> a result |
//!
//! An answer has status 200 and is `{"result":{...}}` or `{"error":{"code":107,"message":"..."}}`; or, if
//! that is wanted, an error is a status and `{"code":107,"message":"..."}`. What is no call at all always
//! has another status: 400 malformed, 401 without the key, 404 no such method,
//! 405 not POST, 408 and 413 a body too slow or too large, 503 while the server drains. Tests:
//! `tests/it/api.rs`, and beside each part.

mod call;
mod carry;

use super::{Places, Scrape, routes};
use crate::chat::api::{Answer, Request};
use crate::config::{ErrorMode, HttpApiConfig};
use crate::protocol::codes::{self, ErrorCode};
use crate::protocol::json;
use axum::body::{Body, Bytes};
use axum::http::{self, HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use call::{Command, Refusal};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Commands of a batch that are carried out at the same time, where it asks for that.
const PARALLEL_MAX: usize = 64;

/// The header that carries the key.
const KEY_HEADER: &str = "x-api-key";

/// The header with which a request wants an error to be the status of the answer: `transport`.
const ERROR_MODE_HEADER: &str = "x-centrifugo-error-mode";

/// The way to the shards. Called on the HTTP thread; neither closure may block.
#[derive(Clone)]
pub struct ApiDoor {
    /// How many there are.
    pub shards: usize,
    /// The shard that orders a room, by the room's name.
    pub home: Arc<dyn Fn(&str) -> usize + Send + Sync>,
    /// Asks a shard. The answer fails to come where the shard has ended.
    pub ask: Arc<dyn Fn(usize, Request) -> oneshot::Receiver<Answer> + Send + Sync>,
    /// Names this process: another after every start.
    pub node_uid: String,
    /// Names this process for people.
    pub node_name: String,
}

impl fmt::Debug for ApiDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiDoor").field("shards", &self.shards).finish_non_exhaustive()
    }
}

/// The server API.
pub(super) struct Api {
    terms: Mutex<Arc<Terms>>,
    door: ApiDoor,
    places: Arc<Places>,
    scrape: Arc<Scrape>,
    start: Instant,
}

/// On which terms it is served: what of the configuration may change while the server runs.
struct Terms {
    /// Hash of the key: hashes have one length, so that a comparison tells nothing about the key's.
    /// `None`: no key is set, so there is no API.
    key: Option<[u8; 32]>,
    body_size_limit: usize,
    timeout: Duration,
    error_mode: ErrorMode,
}

impl Terms {
    fn new(config: &HttpApiConfig) -> Arc<Terms> {
        let key = Some(config.key.as_bytes()).filter(|key| !key.is_empty());
        Arc::new(Terms {
            key: key.map(|key| Sha256::digest(key).into()),
            body_size_limit: config.body_size_limit,
            timeout: config.timeout,
            error_mode: config.error_mode,
        })
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("door", &self.door).finish_non_exhaustive()
    }
}

impl Api {
    pub(super) fn new(
        config: &HttpApiConfig,
        door: ApiDoor,
        places: Arc<Places>,
        scrape: Arc<Scrape>,
    ) -> Arc<Api> {
        let terms = Mutex::new(Terms::new(config));
        Arc::new(Api { terms, door, places, scrape, start: Instant::now() })
    }

    /// Takes on another configuration; requests that have begun go on under the old one.
    pub(super) fn set(&self, config: &HttpApiConfig) {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Terms::new(config);
    }

    fn terms(&self) -> Arc<Terms> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers one request to a path below `/api/`.
    pub(super) async fn serve(self: Arc<Self>, request: http::Request<Body>) -> Response<Body> {
        let terms = self.terms();
        let Some(key) = &terms.key else { return routes::not_found() };
        if !is_authorized(key, request.headers(), request.uri().query()) {
            self.scrape.http.http_api_unauthorized.inc();
            return routes::text(StatusCode::UNAUTHORIZED, "the key is missing or wrong\n");
        }
        match self.clone().answer(request, &terms).await {
            Ok((status, body)) => {
                routes::answer(status, HeaderValue::from_static("application/json"), body)
            }
            Err((status, sentence)) => {
                self.scrape.http.http_api_refused.inc();
                let mut response = routes::text(status, sentence);
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                }
                response
            }
        }
    }

    /// Status and body of the answer. Errors: what is no call at all, as a sentence.
    async fn answer(
        self: Arc<Self>,
        request: http::Request<Body>,
        terms: &Terms,
    ) -> Result<(StatusCode, String), (StatusCode, &'static str)> {
        let method = request.uri().path().strip_prefix("/api/").unwrap_or_default().to_owned();
        if request.method() != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "this path takes POST\n"));
        }
        if method != "batch" && !call::METHODS.contains(&method.as_str()) {
            return Err((StatusCode::NOT_FOUND, "there is no such method\n"));
        }
        if self.places.draining.load(Ordering::Relaxed) {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "the server shuts down\n"));
        }
        let asked = request.headers().get(ERROR_MODE_HEADER).is_some_and(|v| v == "transport");
        let by_status = asked || terms.error_mode == ErrorMode::Transport;
        let body = body(request.into_body(), terms).await?;
        let text = match std::str::from_utf8(&body) {
            Ok(text) if text.trim().is_empty() => "{}",
            Ok(text) => text,
            Err(_) => return Err((StatusCode::BAD_REQUEST, "the body is no UTF-8\n")),
        };
        let malformed = (StatusCode::BAD_REQUEST, "the body does not fit the method\n");
        let deadline = Instant::now() + terms.timeout;
        if method == "batch" {
            let batch = call::batch(text).ok_or(malformed)?;
            let replies = self.batch(batch.commands, batch.parallel, deadline).await;
            return Ok((StatusCode::OK, replies));
        }
        let call = match call::read(&method, text) {
            Err(Refusal::Malformed) => return Err(malformed),
            Err(Refusal::Error(error)) => Err(error),
            Ok(call) => Ok(call),
        };
        Ok(match self.carry_out(call, deadline).await {
            Ok(result) => (StatusCode::OK, format!("{{\"result\":{result}}}")),
            Err(error) if by_status => (status(error), error_object(error)),
            Err(error) => (StatusCode::OK, format!("{{\"error\":{}}}", error_object(error))),
        })
    }

    /// `{"replies":[{"publish":{...}},{"error":{...}}]}`: one for each command, in order.
    async fn batch(
        self: Arc<Self>,
        commands: Vec<Command>,
        parallel: bool,
        deadline: Instant,
    ) -> String {
        let mut replies = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let mut running = JoinSet::new();
            let at_once = if parallel { PARALLEL_MAX } else { 1 };
            for (i, command) in commands.by_ref().take(at_once).enumerate() {
                let api = self.clone();
                running.spawn(async move { (i, api.reply(command, deadline).await) });
            }
            let mut done = running.join_all().await;
            done.sort_unstable_by_key(|(i, _)| *i);
            replies.extend(done.into_iter().map(|(_, reply)| reply));
        }
        format!("{{\"replies\":[{}]}}", replies.join(","))
    }

    async fn reply(&self, command: Command, deadline: Instant) -> String {
        let Command { method, call } = command;
        match self.carry_out(call, deadline).await {
            Ok(result) => format!("{{\"{method}\":{result}}}"),
            Err(error) => format!("{{\"error\":{}}}", error_object(error)),
        }
    }

    /// A result object, encoded. Errors: those of the shards; [`codes::INTERNAL`] where one of them
    /// does not answer before the deadline.
    async fn carry_out(
        &self,
        call: Result<call::Call, ErrorCode>,
        deadline: Instant,
    ) -> Result<String, ErrorCode> {
        let result = match call {
            Ok(call) => match timeout_at(deadline, self.ask(call)).await {
                Ok(result) => result,
                Err(_) => Err(codes::INTERNAL),
            },
            Err(error) => Err(error),
        };
        let cells = &self.scrape.http;
        let counter = if result.is_ok() { &cells.http_api_calls } else { &cells.http_api_errors };
        counter.inc();
        result
    }
}

/// Whether a request shows the key whose hash is `expect`: `X-API-Key: KEY`, `Authorization: apikey
/// KEY`, or `?api_key=KEY`.
fn is_authorized(expect: &[u8; 32], headers: &HeaderMap, query: Option<&str>) -> bool {
    let shown = headers.get(KEY_HEADER).map(HeaderValue::as_bytes).or_else(|| {
        let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("apikey").then(|| key.trim().as_bytes())
    });
    let right = |key: &[u8]| {
        let hash: [u8; 32] = Sha256::digest(key).into();
        bool::from(hash.as_slice().ct_eq(expect))
    };
    match shown {
        Some(key) => right(key),
        None => form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .find(|(name, _)| name == "api_key")
            .is_some_and(|(_, key)| right(key.as_bytes())),
    }
}

/// Reads a body, as far as it is neither too large nor too slow.
async fn body(body: Body, terms: &Terms) -> Result<Bytes, (StatusCode, &'static str)> {
    let limited = Limited::new(body, terms.body_size_limit);
    match tokio::time::timeout(terms.timeout, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n"))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body ended early\n")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long\n")),
    }
}

/// The status that an error has as such. Source: the public docs, "Transport error mode"; they know
/// no 103, no 106 and no 110.
fn status(error: ErrorCode) -> StatusCode {
    match error {
        codes::UNKNOWN_CHANNEL | codes::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        codes::BAD_REQUEST
        | codes::NOT_AVAILABLE
        | codes::LIMIT_EXCEEDED
        | codes::EXPIRED_ERROR => StatusCode::BAD_REQUEST,
        codes::PERMISSION_DENIED => StatusCode::FORBIDDEN,
        codes::UNRECOVERABLE_POSITION => StatusCode::RANGE_NOT_SATISFIABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `{"code":107,"message":"bad request"}`
fn error_object(error: ErrorCode) -> String {
    let mut out = format!("{{\"code\":{},\"message\":", error.code).into_bytes();
    json::write_str(&mut out, error.message);
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_as_statuses() {
        for (error, expect) in [
            (codes::INTERNAL, 500),
            (codes::UNKNOWN_CHANNEL, 404),
            (codes::PERMISSION_DENIED, 403),
            (codes::METHOD_NOT_FOUND, 404),
            (codes::LIMIT_EXCEEDED, 400),
            (codes::BAD_REQUEST, 400),
            (codes::NOT_AVAILABLE, 400),
            (codes::EXPIRED_ERROR, 400),
            (codes::UNRECOVERABLE_POSITION, 416),
            (codes::TOO_MANY_REQUESTS, 500),
        ] {
            assert_eq!(status(error).as_u16(), expect, "{error:?}");
        }
    }
}
