//! CORS: which origins' scripts may read an answer.
//!
//! In: the policy, the request's `Origin` and `Access-Control-Request-*`. Out: a preflight's answer, response fields.
//! Never: whether the request itself is served (CORS only tells the browser).
//!
//! Rules: Fetch Standard, "HTTP-CORS protocol"; AWS, "Response headers policy: CORS headers".

use super::answer::{Answer, ResultType};
use super::method;
use crate::config::compiled::{Cors, CorsHeaders, Origins};
use crate::message::Fields;
use crate::observe::Failure;
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

/// Longest `Access-Control-Request-Headers` that is echoed, in bytes.
const REQUEST_HEADERS_MAX: usize = 4096;

/// What a policy that overrides takes away from the origin's answer.
pub(super) const OWNED: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// Answers a preflight: an OPTIONS request (the caller checked that) with `Origin` and `Access-Control-Request-Method`;
/// anything else is `None` and goes on. 204 with what is allowed, 403 for an origin that is not.
pub fn preflight<F: Fields>(cors: &Cors, request: &F) -> Option<Answer> {
    let origin = request.first(&ORIGIN)?;
    request.first(&ACCESS_CONTROL_REQUEST_METHOD)?;
    let Some(allow) = allow_origin(cors, Some(origin)) else {
        let mut answer = Answer::refuse(
            StatusCode::FORBIDDEN,
            Failure::InvalidRequest,
            "This origin may not use this resource (CORS).\n",
        );
        answer.headers.push((VARY, HeaderValue::from_static("origin")));
        return Some(answer);
    };
    let mut headers = vec![(ACCESS_CONTROL_ALLOW_ORIGIN, allow)];
    headers.extend(value(&method::join(&cors.methods)).map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods)));
    let (names, echoed) = allow_headers(cors, request);
    headers.extend(names.map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names)));
    if cors.credentials {
        headers.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
    }
    if let Some(age) = cors.max_age {
        headers.push((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age.as_secs())));
    }
    let vary = match (depends_on_origin(cors), echoed) {
        (true, true) => Some("origin, access-control-request-headers"),
        (true, false) => Some("origin"),
        (false, true) => Some("access-control-request-headers"),
        (false, false) => None,
    };
    headers.extend(vary.map(|names| (VARY, HeaderValue::from_static(names))));
    // No result type says "answered at the edge"; as with other such answers it is not the cache's, which Cache-Status says too.
    let (status, result) = (StatusCode::NO_CONTENT, ResultType::Miss);
    Some(Answer { status, headers, body: Bytes::new(), result, failure: None })
}

/// Edits an answer for `request`. Without `over`, an answer in which the origin allowed an origin itself stays as it is.
/// `Vary: Origin` is added whenever another viewer could have been answered otherwise, also when this one sent no `Origin`.
pub fn respond<F: Fields>(cors: &Cors, request: &F, response: &mut HeaderMap) {
    if !cors.over && response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        return;
    }
    for name in &OWNED {
        response.remove(name);
    }
    if depends_on_origin(cors) {
        vary(response, "origin");
    }
    let origin = request.first(&ORIGIN);
    if origin.is_none() && depends_on_origin(cors) {
        return;
    }
    let Some(allow) = allow_origin(cors, origin) else { return };
    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allow);
    if cors.credentials {
        response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if let Some(names) = names(&cors.expose) {
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
}

/// What [`respond`] sets whoever asks and whatever the origin said, or `None` when that depends on either.
pub(super) fn fixed(cors: &Cors) -> Option<impl Iterator<Item = (HeaderName, HeaderValue)> + use<>> {
    let same = cors.over && !depends_on_origin(cors);
    let expose = names(&cors.expose).map(|names| (ACCESS_CONTROL_EXPOSE_HEADERS, names));
    let allow = (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    same.then(|| [allow].into_iter().chain(expose))
}

/// Adds `name` (lower case) to Vary unless it is there, or Vary is `*`.
pub(super) fn vary(headers: &mut HeaderMap, name: &'static str) {
    let named = |value: &HeaderValue| {
        let mut members = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
        members.any(|member| member == b"*" || member.eq_ignore_ascii_case(name.as_bytes()))
    };
    if !headers.get_all(VARY).iter().any(named) {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}

/// Whether two origins can get different answers: always, except for "anyone, without credentials".
fn depends_on_origin(cors: &Cors) -> bool {
    cors.credentials || cors.origins != Origins::Any
}

/// The value of Access-Control-Allow-Origin. Never `*` with credentials, which browsers refuse (Fetch Standard, "CORS
/// protocol and credentials"): the origin itself is named then.
fn allow_origin(cors: &Cors, origin: Option<&[u8]>) -> Option<HeaderValue> {
    if !depends_on_origin(cors) {
        return Some(HeaderValue::from_static("*"));
    }
    let origin = origin?;
    let allowed = match &cors.origins {
        Origins::Any => true,
        Origins::List(list) => list.iter().any(|allowed| origin_matches(allowed, origin)),
    };
    allowed.then(|| HeaderValue::from_bytes(origin).ok()).flatten()
}

/// Exact, or `https://*.example.com` for any depth of subdomains of it (not itself); scheme and host in any case.
fn origin_matches(allowed: &str, origin: &[u8]) -> bool {
    let Some((scheme, domain)) = allowed.split_once("*.") else {
        return allowed == "*" || allowed.as_bytes().eq_ignore_ascii_case(origin);
    };
    let Some((start, rest)) = origin.split_at_checked(scheme.len()) else { return false };
    // The dot before the domain belongs to the match: `evilexample.com` is no subdomain of `example.com`.
    let Some(cut) = rest.len().checked_sub(domain.len() + 1).filter(|cut| *cut > 0) else { return false };
    let (label, end) = rest.split_at(cut);
    start.eq_ignore_ascii_case(scheme.as_bytes())
        && end.first() == Some(&b'.')
        && end[1..].eq_ignore_ascii_case(domain.as_bytes())
        && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The value of Access-Control-Allow-Headers, and whether it repeats what was asked. "Any" repeats: `*` would not cover
/// `Authorization`, nor anything with credentials.
fn allow_headers<F: Fields>(cors: &Cors, request: &F) -> (Option<HeaderValue>, bool) {
    match &cors.headers {
        CorsHeaders::List(list) => (names(list), false),
        CorsHeaders::Any => {
            let asked = request.first(&ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| {
                let name = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, \t".contains(b);
                asked.len() <= REQUEST_HEADERS_MAX && asked.iter().all(name)
            });
            (asked.and_then(|asked| HeaderValue::from_bytes(asked).ok()), true)
        }
    }
}

fn names(list: &[HeaderName]) -> Option<HeaderValue> {
    value(&list.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", "))
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use std::time::Duration;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let list = origins.iter().map(|o| (*o).to_owned()).collect();
        Cors {
            origins: if origins.is_empty() { Origins::Any } else { Origins::List(list) },
            methods: vec![Method::GET, Method::PUT],
            headers: CorsHeaders::Any,
            expose: vec![HeaderName::from_static("x-total")],
            credentials,
            max_age: Some(Duration::from_secs(600)),
            over: true,
        }
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn origins() {
        for (allowed, origin, want) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example:8443", false),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://evil.test/.example.com", false),
            ("https://*.example.com", "http://a.example.com", false),
            ("https://*.example.com:8443", "https://a.example.com:8443", true),
            ("https://a.example", "null", false),
        ] {
            assert_eq!(origin_matches(allowed, origin.as_bytes()), want, "{allowed} {origin}");
        }
    }

    #[test]
    fn preflights() {
        let ask = fields(&[
            ("origin", "https://a.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization,x-id"),
        ]);
        let answer = preflight(&cors(&[], false), &ask).unwrap();
        assert_eq!(answer.status, 204);
        let have: HeaderMap = answer.headers.into_iter().collect();
        let want = fields(&[
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "authorization,x-id"),
            ("access-control-max-age", "600"),
            ("vary", "access-control-request-headers"),
        ]);
        assert_eq!(have, want);

        let refused = preflight(&cors(&["https://b.example"], false), &ask).unwrap();
        assert_eq!(refused.status, 403);
        assert!(refused.headers.iter().all(|(name, _)| *name != ACCESS_CONTROL_ALLOW_ORIGIN));

        assert_eq!(preflight(&cors(&[], false), &fields(&[("origin", "https://a.example")])), None);
        assert_eq!(preflight(&cors(&[], false), &fields(&[("access-control-request-method", "GET")])), None);
    }

    #[test]
    fn answers() {
        let a = "https://a.example";
        for (name, cors, origin, want) in [
            ("anyone", cors(&[], false), Some(a), (Some("*"), None, None)),
            ("anyone, and no origin", cors(&[], false), None, (Some("*"), None, None)),
            ("credentials name the origin", cors(&[], true), Some(a), (Some(a), Some("true"), Some("origin"))),
            ("credentials without origin", cors(&[], true), None, (None, None, Some("origin"))),
            ("listed", cors(&[a], false), Some(a), (Some(a), None, Some("origin"))),
            ("not listed", cors(&["https://b.example"], true), Some(a), (None, None, Some("origin"))),
        ] {
            let request: HeaderMap = origin.map(|o| (ORIGIN, HeaderValue::from_static(o))).into_iter().collect();
            let mut response = fields(&[("access-control-allow-origin", "https://origin.said")]);
            respond(&cors, &request, &mut response);
            let get = |name: HeaderName| response.get(name).map(|v| v.to_str().unwrap());
            assert_eq!(
                (get(ACCESS_CONTROL_ALLOW_ORIGIN), get(ACCESS_CONTROL_ALLOW_CREDENTIALS), get(VARY)),
                want,
                "{name}"
            );
        }
    }

    #[test]
    fn the_origin_wins_without_override() {
        let mut response = fields(&[("access-control-allow-origin", "https://origin.said")]);
        let before = response.clone();
        respond(&Cors { over: false, ..cors(&[], false) }, &HeaderMap::new(), &mut response);
        assert_eq!(response, before);
    }

    #[test]
    fn vary_is_added_once() {
        for (before, lines) in [("", 1), ("Origin", 1), ("accept, ORIGIN", 1), ("*", 1), ("accept", 2), ("x-origin", 2)]
        {
            let mut map = HeaderMap::new();
            if !before.is_empty() {
                map.insert(VARY, before.parse().unwrap());
            }
            vary(&mut map, "origin");
            assert_eq!(map.get_all(VARY).iter().count(), lines, "{before}");
        }
    }
}
