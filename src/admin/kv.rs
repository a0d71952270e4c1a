//! KV: CloudFront's KeyValueStore API on the admin address.
//!
//! In: requests that may ask. Out: what the stores answer. Never: a signature looked at: the guard in front decides who may ask.
//!
//! Unmodified AWS clients work with `endpoint_url = "http://localhost:PORT"`: they put the account of the store's ARN before
//! the name, and `*.localhost` is this machine. With `admin.token` set, the token is the client's session token.

use super::AdminState;
use crate::hooks::host::kv::api;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

/// Where these routes are: the rest of the path is the API's own.
pub const ROUTE: &str = "/key-value-stores/{*rest}";

pub async fn answer(State(state): State<AdminState>, request: Request) -> Response<Body> {
    let (Parts { method, uri, headers, .. }, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, api::BODY_MAX).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {} bytes a request", api::BODY_MAX)).into_response();
    };
    let stores = (state.kv)();
    // Writes sync to disk: not on a worker.
    let answered = tokio::task::spawn_blocking(move || api::handle(&stores, &method, &uri, &headers, &body)).await;
    match answered {
        Ok(response) => response.map(|bytes: Bytes| Body::from(bytes)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use crate::admin::fixture::Pop;
    use serde_json::Value;

    #[test]
    fn stores_are_reached_by_those_who_may_ask() {
        let open = Pop::start(None);
        let (status, text) = open.ask("GET", "/key-value-stores/flags/keys/beta", None, "");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &value["Value"]), (200, &Value::from("on")));
        let guarded = Pop::start(Some("s3cret"));
        for (name, session, status) in
            [("none", None, 401), ("the token", Some("s3cret"), 200), ("another", Some("s3creT"), 401)]
        {
            let got = guarded.ask_with("/key-value-stores/flags", session.map(|token| ("x-amz-security-token", token)));
            assert_eq!(got, status, "{name}");
        }
        // Only there: elsewhere it is no credential.
        assert_eq!(guarded.ask_with("/status", Some(("x-amz-security-token", "s3cret"))), 401);
        let large = "x".repeat(super::api::BODY_MAX + 1);
        assert_eq!(open.ask("POST", "/key-value-stores/flags/keys", None, &large).0, 413);
        // As an AWS client names it: the account before the endpoint's name.
        let port = open.address.port();
        let host = format!("123456789012.localhost:{port}");
        assert_eq!(open.ask_with("/key-value-stores/flags", Some(("host", &host))), 200);
        assert_eq!(open.ask_with("/key-value-stores/flags", Some(("host", "localhost.evil.example"))), 403);
    }
}
