//! Directives: any field lines are read, bounded, and no restriction is overlooked. One line of input a field line; its
//! first byte picks the field.

use http::{HeaderMap, HeaderName, HeaderValue};
use rimward::cache::directives::{CacheControl, MAX_DELTA, RequestControl, targeted};
use rimward::cache::policy::{Admit, Ask, Times, admit};
use rimward::config::compiled::{CachePolicy, KeyPolicy, RequestDirectives, Select, SetCookie};
use rimward::message::{Fields, Head};
use std::time::Duration;

const NAMES: [&str; 10] = [
    "cache-control",
    "cdn-cache-control",
    "rimward-cache-control",
    "expires",
    "date",
    "age",
    "vary",
    "etag",
    "set-cookie",
    "last-modified",
];

pub fn run(data: &[u8]) {
    let fields: Vec<httparse::Header<'_>> = data
        .split(|b| *b == b'\n')
        .take(16)
        .filter_map(|line| {
            let (pick, value) = line.split_first()?;
            Some(httparse::Header { name: NAMES[usize::from(*pick) % NAMES.len()], value })
        })
        .collect();
    let head = Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields };

    let control = CacheControl::parse(head.lines(&http::header::CACHE_CONTROL));
    let request = RequestControl::read(&head);
    let cdn = targeted::parse(head.lines(&http::header::CDN_CACHE_CONTROL));
    for seconds in [control.max_age, control.s_maxage, control.stale_if_error, request.max_age, request.max_stale] {
        assert!(seconds.is_none_or(|seconds| seconds <= MAX_DELTA));
    }
    assert_eq!(control.no_store, request.no_store, "both sides read one grammar");
    assert!(cdn.is_none_or(|cdn| cdn.max_age.is_none_or(|seconds| seconds <= MAX_DELTA)));

    let times = Times { request_ms: 1_767_225_600_000, response_ms: 1_767_225_600_500 };
    let ask = Ask { authorization: false };
    let verdict = admit(&policy(), ask, 200, &head, times);
    if let Some(map) = map(&fields) {
        assert_eq!(verdict, admit(&policy(), ask, 200, &map, times), "both holders get one verdict");
    }
    if let Admit::Store(lifetimes) = verdict {
        assert!(lifetimes.lifetime_ms.saturating_sub(lifetimes.initial_age_ms) <= 1_000_000, "max_ttl holds");
        assert!(!lifetimes.must_revalidate || lifetimes.stale_if_error_ms == 0);
        assert!(!head.has(&http::header::SET_COOKIE) || lifetimes.strip.contains(&http::header::SET_COOKIE));
        let ruled = fields.iter().any(|field| field.name.ends_with("-cache-control"));
        assert!(ruled || control.must_understand || !control.no_store, "no-store is obeyed");
    }
}

/// The same fields in the other holder, when it takes them.
fn map(fields: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for field in fields {
        map.append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(map)
}

fn policy() -> CachePolicy {
    CachePolicy {
        enabled: true,
        min_ttl: Duration::ZERO,
        default_ttl: Duration::from_secs(60),
        max_ttl: Duration::from_secs(1000),
        key: KeyPolicy {
            headers: Vec::new(),
            cookies: Select::None,
            query: Select::All,
            sort_query: false,
            ignore_host: false,
        },
        stale_while_revalidate: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(5),
        soft_timeout: None,
        heuristic_percent: 10,
        error_ttl: Duration::from_secs(10),
        request_directives: RequestDirectives::Honor,
        set_cookie: SetCookie::Strip,
        max_object: 1 << 20,
        tag_headers: Vec::new(),
        collapse: true,
    }
}
