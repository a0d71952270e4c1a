//! Access: who may use the admin API.
//!
//! In: the configured token, a request's head. Out: nothing, or why not. Never: a comparison whose time tells the token.

use super::AdminState;
use super::answer::Refused;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// Open to whoever reaches the address, such as a load balancer: they say only that the process lives, and serves.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Middleware in front of every route.
pub async fn guard(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    if !OPEN.contains(&request.uri().path()) {
        let token = state.token.as_ref().map(|token| token.expose().as_str());
        if let Err(refused) = check(token, request.headers()) {
            return refused.into_response();
        }
    }
    next.run(request).await
}

fn check(token: Option<&str>, headers: &HeaderMap) -> Result<(), Refused> {
    match token {
        Some(token) => bearer(token, headers),
        None => same_machine(headers),
    }
}

/// RFC 6750 §2.1.
fn bearer(token: &str, headers: &HeaderMap) -> Result<(), Refused> {
    let refused = |error| {
        Refused::new(
            StatusCode::UNAUTHORIZED,
            error,
            "send `Authorization: Bearer TOKEN` with the token of admin.token",
        )
    };
    let Some(value) = headers.get(AUTHORIZATION).map(|value| value.as_bytes()) else {
        return Err(refused("this PoP wants a token"));
    };
    match value.split_at_checked(7) {
        Some((scheme, given))
            if scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(given.ct_eq(token.as_bytes())) =>
        {
            Ok(())
        }
        _ => Err(refused("the token does not match")),
    }
}

/// Without a token the loopback address is the only fence, and a browser on this machine stands inside it: refuse what a
/// foreign page can make it send (DNS rebinding by Host, cross-site posts by Origin).
fn same_machine(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let local = text(HOST).and_then(|host| host.parse::<Uri>().ok()).is_some_and(|host| {
        let name = host.host().unwrap_or_default();
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    });
    let same_origin = match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
        (Some(_), None) => false,
        (None, _) => !headers.contains_key(ORIGIN),
    };
    if local && same_origin {
        return Ok(());
    }
    Err(Refused::new(
        StatusCode::FORBIDDEN,
        "without a token only this machine itself may ask",
        "use http://127.0.0.1:PORT or http://localhost:PORT, or set admin.token",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_ask() {
        for (name, token, head, want) in [
            ("right token", Some("s3cret"), "authorization: Bearer s3cret", None),
            ("scheme in any case", Some("s3cret"), "authorization: bEARER s3cret", None),
            ("wrong token", Some("s3cret"), "authorization: Bearer s3creT", Some(401)),
            ("longer token", Some("s3cret"), "authorization: Bearer s3cret1", Some(401)),
            ("empty token", Some("s3cret"), "authorization: Bearer ", Some(401)),
            ("other scheme", Some("s3cret"), "authorization: Basic s3cret", Some(401)),
            ("no token sent", Some("s3cret"), "host: localhost", Some(401)),
            ("loopback", None, "host: 127.0.0.1:9901", None),
            ("loopback, v6", None, "host: [::1]:9901", None),
            ("localhost", None, "host: localhost:9901", None),
            ("rebinding", None, "host: evil.example", Some(403)),
            ("no host", None, "accept: */*", Some(403)),
            ("own page", None, "host: 127.0.0.1:9901\norigin: http://127.0.0.1:9901", None),
            ("foreign page", None, "host: 127.0.0.1:9901\norigin: http://evil.example", Some(403)),
            ("sandboxed page", None, "host: 127.0.0.1:9901\norigin: null", Some(403)),
        ] {
            let mut headers = HeaderMap::new();
            for (field, value) in head.lines().filter_map(|line| line.split_once(": ")) {
                headers.insert(axum::http::HeaderName::from_bytes(field.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let got = check(token, &headers).err().map(|refused| refused.into_response().status().as_u16());
            assert_eq!(got, want, "{name}");
        }
    }
}
