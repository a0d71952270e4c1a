//! Answer: one handler an endpoint.
//!
//! In: an admin request that may ask. Out: JSON (`/metrics` aside), errors as `{"error", "hint"}`. Never: a decision of its
//! own: the closures in [`AdminState`] decide.

use super::purge::{PurgeError, PurgeRequest, Purged, label};
use super::state::{ConfigState, RECENT, RecentPurge, Status};
use super::{AdminState, access, console, keys, kv, revisions, tail, view};
use crate::cache::purge::Scope;
use crate::fleet::revision::ENVELOPE_MAX;
use crate::observe::metrics::totals::Totals;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, patch, post, put};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a request body: a thousand long URLs do not fit, a thousand tags do.
const MAX_BODY: usize = 256 * 1024;

/// Told to whoever asks for something else.
const ENDPOINTS: &str = "GET /metrics /healthz /readyz /status /top /config /fleet /functions /tail /requests/ID, POST /purge /reload, /keys, /revisions, /blobs/DIGEST, \
     /key-value-stores/NAME, and /console for people";

/// An error answer.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    error: String,
    hint: String,
}

/// Answer of `POST /reload`, `/healthz` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// alive, ready, or the digest of the configuration that runs now.
    pub done: String,
}

#[derive(Debug, Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    hint: &'a str,
}

/// The whole API, to be served on `admin.address`.
pub fn router(state: AdminState) -> Router {
    let blob = state.revisions.as_ref().map_or(0, |desk| desk.size()).try_into().unwrap_or(usize::MAX);
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/top", get(top))
        .route("/config", get(config))
        .route("/purge", post(purge))
        .route("/reload", post(reload))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{name}", patch(keys::change).delete(keys::delete))
        .route("/keys/{name}/usage", get(keys::usage))
        .route("/revisions", get(revisions::list).post(revisions::publish).layer(DefaultBodyLimit::max(ENVELOPE_MAX)))
        .route("/blobs/{digest}", put(revisions::put_blob).head(revisions::has_blob).layer(DefaultBodyLimit::max(blob)))
        .route(kv::ROUTE, any(kv::answer))
        .route("/fleet", get(view::fleet))
        .route("/functions", get(view::functions))
        .route("/tail", get(tail::tail))
        .route("/requests/{id}", get(tail::request))
        .route("/", get(console::home))
        .route("/console", get(console::page))
        .route("/console/{file}", get(console::file))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), access::guard))
        .with_state(state)
}

async fn healthz() -> Json<Done> {
    Json(Done { done: "alive".to_owned() })
}

async fn readyz(State(state): State<AdminState>) -> Result<Json<Done>, Refused> {
    match (state.facts)().not_ready {
        None => Ok(Json(Done { done: "ready".to_owned() })),
        Some(why) => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why, "send traffic to another PoP for now")),
    }
}

/// A thousand behaviors are a megabyte of text: not on a thread that serves.
async fn metrics(State(state): State<AdminState>) -> Result<Response, Refused> {
    let text = tokio::task::spawn_blocking(move || state.metrics.render()).await.map_err(|error| {
        let hint = "the process is ending, or this is a bug: see the PoP's log";
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), hint)
    })?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn status(State(state): State<AdminState>) -> Json<Status> {
    let recent = state.recent.lock().iter().cloned().collect();
    Json(Status::of(&(state.config)(), &(state.facts)(), &state.metrics.numbers(), recent, now_ms()))
}

async fn top(State(state): State<AdminState>) -> Json<Totals> {
    Json(state.metrics.totals(now_ms()))
}

async fn config(State(state): State<AdminState>) -> Json<ConfigState> {
    Json(ConfigState::of(&(state.config)()))
}

async fn purge(
    State(state): State<AdminState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Purged>, Refused> {
    let body = body.map_err(|_| {
        let hint = format!("at most {MAX_BODY} bytes a request: split the list");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut off", hint)
    })?;
    json_only(&headers)?;
    let request = PurgeRequest::parse(&body)?;
    let (scopes, soft) = (request.scopes.clone(), request.soft);
    let done = (state.purge)(request).await.map_err(|why| {
        let hint = "nothing was purged; see the PoP's log, then try again";
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why, hint)
    })?;
    let at_ms = now_ms();
    let what = if soft { "marked stale" } else { "purged" };
    let more = if scopes.len() > 1 { format!(" and {} more", scopes.len() - 1) } else { String::new() };
    log::info!("{what}: {}{more}", scopes.first().unwrap_or(&Scope::All));
    let mut recent = state.recent.lock();
    for scope in &scopes {
        state.metrics.purged(label(scope), soft);
        recent.push_front(RecentPurge {
            at_ms,
            scope: label(scope).as_str().to_owned(),
            what: scope.to_string(),
            soft,
        });
    }
    recent.truncate(RECENT);
    Ok(Json(Purged { purged: scopes.len(), soft, stamp: done.stamp, seen: done.seen, missing: done.missing }))
}

async fn reload(State(state): State<AdminState>) -> Result<Json<Done>, Refused> {
    let result = (state.reload)().await;
    let digest = result.map_err(|why| {
        let hint = "the old configuration goes on serving; `rimward check` shows the same error with its line";
        Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why, hint)
    })?;
    Ok(Json(Done { done: digest }))
}

pub(super) async fn unknown(request: Request) -> Refused {
    let error = format!("no such endpoint: {}", request.uri().path());
    Refused::new(StatusCode::NOT_FOUND, error, format!("there are: {ENDPOINTS}"))
}

async fn wrong_method(request: Request) -> Refused {
    let error = format!("{} is not for {}", request.method(), request.uri().path());
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, error, format!("there are: {ENDPOINTS}"))
}

/// A foreign page cannot send this type without asking first (a CORS preflight, which nobody answers).
pub(super) fn json_only(headers: &HeaderMap) -> Result<(), Refused> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let hint = "send `Content-Type: application/json`, e.g. curl --json '{\"url\":\"https://shop.example/a\"}'";
    Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("content type {kind:?} is not JSON"), hint))
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

// === impl Refused ===
impl Refused {
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refused { status, error: error.into(), hint: hint.into() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: &self.error, hint: &self.hint })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<PurgeError> for Refused {
    fn from(error: PurgeError) -> Self {
        let hint = match error.prefix() {
            Some(prefix) => format!("for every URL that begins so, send {}", serde_json::json!({ "prefix": prefix })),
            None => r#"send {"url"|"prefix"|"host"|"tag": "…" or ["…"], "all": true, "soft": false, "wait_ms": 10000}, any of them together"#.to_owned(),
        };
        Refused::new(StatusCode::BAD_REQUEST, error.to_string(), hint)
    }
}

#[cfg(test)]
mod tests {
    use crate::admin::fixture::{Pop, Seen};
    use serde_json::{Value, json};

    #[test]
    fn every_endpoint_answers() {
        let pop = Pop::start(None);
        for (method, path, body, status, says) in [
            ("GET", "/healthz", "", 200, json!({"done": "alive"})),
            ("GET", "/readyz", "", 200, json!({"done": "ready"})),
            (
                "POST",
                "/purge",
                r#"{"tag":["a","b"],"soft":true}"#,
                200,
                json!({"purged": 2, "soft": true, "stamp": 42}),
            ),
            ("POST", "/reload", "", 200, json!({"done": "abc123"})),
            (
                "GET",
                "/config",
                "",
                200,
                json!({"digest": "abc123", "pop": "FRA", "sources": ["edge.toml"], "listen": [],
                       "origins": ["hello: generated"], "behaviors": []}),
            ),
        ] {
            let (got, text) = pop.ask(method, path, None, body);
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((got, value), (status, says), "{method} {path}");
        }
        let (status, text) = pop.ask("GET", "/metrics", None, "");
        assert_eq!(status, 200);
        assert!(text.contains("rimward_purges_total{mode=\"soft\",scope=\"tag\"} 2"), "{text}");
        let (_, text) = pop.ask("GET", "/status", None, "");
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["purges"][0]["what"], json!("#b"));
        assert_eq!((&status["ready"], &status["cache"]["memory_limit"]), (&json!(true), &json!(1000)));
        let (_, text) = pop.ask("GET", "/top", None, "");
        assert!(serde_json::from_str::<crate::observe::metrics::totals::Totals>(&text).unwrap().at_ms > 0);
        assert_eq!(pop.seen(), Seen { purges: 1, reloads: 1 });
    }

    #[test]
    fn errors_say_what_to_do() {
        let pop = Pop::start(Some("s3cret"));
        let large = format!(r#"{{"url":"{}"}}"#, "x".repeat(super::MAX_BODY));
        let token = Some("s3cret");
        for (method, path, token, body, status, hint) in [
            ("GET", "/status", None, "", 401, "Authorization: Bearer"),
            ("GET", "/metrics", Some("wrong"), "", 401, "admin.token"),
            ("GET", "/", token, "", 404, "/purge"),
            ("GET", "/purge", token, "", 405, "POST /purge"),
            ("POST", "/purge", token, "{}", 400, "soft"),
            ("POST", "/purge", token, r#"{"url":"/a"}"#, 400, r#"send {"prefix":"/a"}"#),
            ("POST", "/purge", token, r#"{"url":"/a*"}"#, 400, r#"send {"prefix":"/a"}"#),
            ("POST", "/purge", token, r#"{"tag":"broken"}"#, 500, "nothing was purged"),
            ("POST", "/purge", token, &large, 413, "at most"),
        ] {
            let (got, text) = pop.ask(method, path, token, body);
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(got, status, "{method} {path} {text}");
            assert!(value["hint"].as_str().is_some_and(|text| text.contains(hint)), "{method} {path} {text}");
            assert!(value["error"].as_str().is_some_and(|text| !text.is_empty()), "{text}");
        }
        assert_eq!(pop.ask("GET", "/healthz", None, "").0, 200, "a probe needs no token");
    }

    #[test]
    fn a_purge_must_say_that_it_is_json() {
        let pop = Pop::start(None);
        let (status, text) = pop.ask_as("text/plain", "POST", "/purge", None, r#"{"all":true}"#);
        assert_eq!(status, 415, "{text}");
        assert_eq!(pop.seen().purges, 0);
    }
}
