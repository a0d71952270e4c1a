//! Decide: what a behavior answers before the cache is asked.
//!
//! In: the behavior, the request's line and fields. Out: an answer of the edge's own, or nothing. Never: the cache, a body.
//!
//! The order is CloudFront's; each step sees only requests that passed the ones before it:
//! 1. viewer protocol ([`super::protocol`]): nothing else is told over plain HTTP where that is not wanted;
//! 2. method ([`super::method`]): 403 for one that is not listed (a preflight needs OPTIONS listed), 403 for GET or HEAD
//!    with a body;
//! 3. CORS preflight ([`super::cors`]), when the behavior has CORS;
//! 4. redirect ([`super::redirect`]), when that is the behavior's action.

use super::answer::Answer;
use super::{cors, method, protocol, redirect};
use crate::config::compiled::{Action, Behavior};
use crate::message::Fields;
use http::{Method, Version};

/// A request's line and where it came in.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    pub method: &'a Method,
    pub version: Version,
    pub tls: bool,
    /// As sent, with port.
    pub host: &'a str,
    /// As sent, without query.
    pub path: &'a str,
    /// Without `?`; `Some("")` when the target ends with `?`.
    pub query: Option<&'a str>,
}

/// Everything that answers before the cache, first match first.
pub fn before_cache<F: Fields>(
    behavior: &Behavior,
    viewer: &Viewer<'_>,
    request: &F,
    has_body: bool,
) -> Option<Answer> {
    if let Some(answer) = protocol::check(behavior.viewer_protocol, viewer) {
        return Some(answer);
    }
    if let Err(answer) =
        method::allowed(behavior, viewer.method).and_then(|()| method::without_body(viewer.method, has_body))
    {
        return Some(answer);
    }
    if let Some(cors) = &behavior.response.cors
        && viewer.method == Method::OPTIONS
        && let Some(answer) = cors::preflight(cors, request)
    {
        return Some(answer);
    }
    if let Some(answer) = method::last_hop(behavior, viewer.method, request) {
        return Some(answer);
    }
    match &behavior.action {
        Action::Redirect(to) => Some(redirect::answer(to, viewer)),
        Action::Forward(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::config::compiled::{Cors, CorsHeaders, Origins, Redirect, ViewerProtocol};
    use http::{HeaderMap, StatusCode};

    #[test]
    fn order() {
        let mut behavior = sample::behavior();
        behavior.viewer_protocol = ViewerProtocol::RedirectToHttps;
        behavior.action = Action::Redirect(Redirect { status: StatusCode::FOUND, to: "/elsewhere".to_owned() });
        behavior.response.cors = Some(Cors {
            origins: Origins::Any,
            methods: vec![Method::GET],
            headers: CorsHeaders::Any,
            expose: vec![],
            credentials: false,
            max_age: None,
            over: true,
        });
        let mut asks = HeaderMap::new();
        asks.insert("origin", "https://a.example".parse().unwrap());
        asks.insert("access-control-request-method", "GET".parse().unwrap());
        let none = HeaderMap::new();
        for (method, tls, fields, body, want) in [
            (Method::PUT, false, &none, false, 307),
            (Method::PUT, true, &none, false, 403),
            (Method::GET, true, &none, true, 403),
            (Method::OPTIONS, true, &asks, false, 204),
            (Method::OPTIONS, true, &none, false, 302),
            (Method::GET, true, &asks, false, 302),
        ] {
            let answer = before_cache(&behavior, &sample::viewer(&method, tls, "/", None), fields, body);
            assert_eq!(answer.unwrap().status, want, "{method} {tls} {body}");
        }
        let plain = sample::behavior();
        let viewer = sample::viewer(&Method::GET, false, "/", None);
        assert_eq!(before_cache(&plain, &viewer, &none, false), None);
    }
}
