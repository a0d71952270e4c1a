//! Access: who may use the admin API.
//!
//! In: the configured token, a request's head. Out: nothing, or why not. Never: a comparison whose time tells the token.

use super::AdminState;
use super::answer::Refused;
use super::kv;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// Open to whoever reaches the address. A load balancer learns only that the process lives, and serves; a browser gets the console's
/// page, which asks for the token and holds nothing by itself.
const OPEN: [&str; 7] =
    ["/healthz", "/readyz", "/", "/console", "/console/app.js", "/console/deploy.js", "/console/style.css"];

/// Where the clients are AWS's: they sign. Where nobody says whose signature counts, they have the token as their session token.
const SIGNED: &str = crate::hooks::host::kv::api::PREFIX;
const SESSION_TOKEN: &str = "x-amz-security-token";

/// What proxies add, this PoP's own listeners among them.
const PROXIED: [&str; 4] = ["via", "forwarded", "x-forwarded-for", "x-amz-cf-id"];

/// Middleware in front of every route.
pub async fn guard(State(state): State<AdminState>, mut request: Request, next: Next) -> Response {
    if !OPEN.contains(&request.uri().path()) {
        let token = state.token.as_ref().map(|token| token.expose().as_str());
        let signed = request.uri().path().starts_with(SIGNED);
        let verifier = if signed && kv::is_signed(&request) { (state.signer)() } else { None };
        if let Some(verifier) = verifier {
            request.extensions_mut().insert(kv::Signed(verifier));
        } else if let Err(refused) = check(token, request.headers(), signed) {
            return refused.into_response();
        }
    }
    next.run(request).await
}

fn check(token: Option<&str>, headers: &HeaderMap, signed: bool) -> Result<(), Refused> {
    match token {
        Some(token) if signed && session(token, headers) => Ok(()),
        Some(token) => bearer(token, headers),
        None => same_machine(headers),
    }
}

/// An AWS client sends its session token beside a signature, which is in `Authorization`.
fn session(token: &str, headers: &HeaderMap) -> bool {
    headers.get(SESSION_TOKEN).is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
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
/// foreign page can make it send (DNS rebinding by Host, cross-site posts by Origin). So does a proxy, which sends what others ask.
fn same_machine(headers: &HeaderMap) -> Result<(), Refused> {
    if let Some(field) = PROXIED.into_iter().find(|field| headers.contains_key(*field)) {
        return Err(Refused::new(
            StatusCode::FORBIDDEN,
            format!("without a token no request may come through a proxy, and this one has the field '{field}'"),
            "ask http://127.0.0.1:PORT without a proxy, or set admin.token",
        ));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let local = text(HOST).and_then(|host| host.parse::<Uri>().ok()).is_some_and(|host| {
        let name = host.host().unwrap_or_default();
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        local_name(name) || ip.is_ok_and(|ip| ip.is_loopback())
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

/// RFC 6761 §6.3: no DNS server answers for these names, so no foreign page can have one.
fn local_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
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
            ("below localhost", None, "host: 123456789012.LocalHost:9901", None),
            ("not below localhost", None, "host: evillocalhost", Some(403)),
            ("session token elsewhere", Some("s3cret"), "x-amz-security-token: s3cret", Some(401)),
            ("rebinding", None, "host: evil.example", Some(403)),
            ("no host", None, "accept: */*", Some(403)),
            ("own page", None, "host: 127.0.0.1:9901\norigin: http://127.0.0.1:9901", None),
            ("foreign page", None, "host: 127.0.0.1:9901\norigin: http://evil.example", Some(403)),
            ("through a proxy", None, "host: localhost:9901\nvia: 1.1 FRA.rimward (Rimward)", Some(403)),
            ("through another", None, "host: localhost:9901\nforwarded: for=192.0.2.1", Some(403)),
            ("for somebody", None, "host: localhost:9901\nx-forwarded-for: 192.0.2.1", Some(403)),
            ("from a distribution", None, "host: localhost:9901\nx-amz-cf-id: a", Some(403)),
            ("through a proxy, token", Some("s3cret"), "authorization: Bearer s3cret\nvia: 1.1 a", None),
            ("sandboxed page", None, "host: 127.0.0.1:9901\norigin: null", Some(403)),
        ] {
            let mut headers = HeaderMap::new();
            for (field, value) in head.lines().filter_map(|line| line.split_once(": ")) {
                headers.insert(axum::http::HeaderName::from_bytes(field.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let got = check(token, &headers, false).err().map(|refused| refused.into_response().status().as_u16());
            assert_eq!(got, want, "{name}");
        }
    }
}
