//! What the HTTP side answers: the page, `/health`, `/metrics`, the server API; 404 and 405 for the
//! rest.
//!
//! Owns paths and headers. It never reads a request's body; `api` does. Tests: `http/tests.rs`.

use super::api::Api;
use super::{Places, Pulse, Scrape, export, page};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{any, get};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// For every worker to show that it turns.
const PULSE_TIME: Duration = Duration::from_secs(1);

/// Media type of a sentence for people.
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The routes. GET and HEAD, POST below `/api/`; another method on a known path is 405 with `Allow`.
pub(super) fn router(
    scrape: Arc<Scrape>,
    places: Arc<Places>,
    pulse: Pulse,
    api: Arc<Api>,
) -> Router {
    let mut router = Router::new();
    router = router.route(
        "/api/{method}",
        any(move |request: Request| async move { api.serve(request).await }),
    );
    for file in page::files() {
        let path = file.path;
        let file = Arc::new(file);
        router = router.route(
            path,
            get(move |headers: HeaderMap| async move { guarded(file.answer(&headers)) }),
        );
    }
    router
        .route("/health", get(move || async move { health(&places, &pulse).await }))
        .route("/metrics", get(move || async move { metrics(&scrape) }))
        .method_not_allowed_fallback(|| async {
            text(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET and HEAD\n")
        })
        .fallback(|| async { not_found() })
}

/// Whether a path is served on the internal port, if there is one: metrics, health, the server
/// API.
pub(super) fn is_internal(path: &str) -> bool {
    matches!(path, "/health" | "/metrics" | "/api") || path.starts_with("/api/")
}

/// There is nothing at this path.
pub(super) fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// 200 while connections are taken and every worker turns; 503 while the server drains, or when a
/// worker does not answer in time.
async fn health(places: &Places, pulse: &Pulse) -> Response<Body> {
    let draining = places.draining.load(Ordering::Relaxed);
    let (status, word) = if draining {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if !all_turn(pulse()).await {
        (StatusCode::SERVICE_UNAVAILABLE, "a worker does not answer")
    } else {
        (StatusCode::OK, "ok")
    };
    let version = env!("CARGO_PKG_VERSION");
    let body = format!("{{\"status\":\"{word}\",\"version\":\"{version}\"}}\n");
    answer(status, HeaderValue::from_static("application/json"), body)
}

/// Whether every worker has answered within [`PULSE_TIME`].
async fn all_turn(answers: Vec<oneshot::Receiver<()>>) -> bool {
    let all = async {
        for answer in answers {
            answer.await?;
        }
        Ok::<(), oneshot::error::RecvError>(())
    };
    matches!(tokio::time::timeout(PULSE_TIME, all).await, Ok(Ok(())))
}

fn metrics(scrape: &Arc<Scrape>) -> Response<Body> {
    match export::encode(scrape) {
        Ok(body) => answer(StatusCode::OK, HeaderValue::from_static(export::CONTENT_TYPE), body),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
    }
}

pub(super) fn text(status: StatusCode, sentence: &'static str) -> Response<Body> {
    answer(status, TEXT, sentence)
}

pub(super) fn answer(
    status: StatusCode,
    media_type: HeaderValue,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    guarded(response)
}

/// Every answer says that its type is not to be guessed and that links tell nobody this address.
fn guarded(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
