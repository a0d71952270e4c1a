//! What do the cache's rules cost a request? A hit asks whether the object may be used, and says so; a miss asks
//! whether the answer may be kept.

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rimward::cache::object::{Meta, Stamp};
use rimward::cache::policy::{Ask, Times, admit, reuse};
use rimward::cache::status::{CacheStatus, FwdReason, Outcome};
use rimward::cache::{conditional, range};
use rimward::config::compiled::{CachePolicy, KeyPolicy, RequestDirectives, Select, SetCookie};
use std::hint::black_box;
use std::time::Duration;

/// 2026-01-01T00:00:00Z, in milliseconds.
const NOW: u64 = 1_767_225_600_000;

fn policy(request_directives: RequestDirectives) -> CachePolicy {
    CachePolicy {
        enabled: true,
        min_ttl: Duration::ZERO,
        default_ttl: Duration::from_secs(86_400),
        max_ttl: Duration::from_secs(31_536_000),
        key: KeyPolicy {
            headers: Vec::new(),
            cookies: Select::None,
            query: Select::All,
            sort_query: false,
            ignore_host: false,
        },
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        soft_timeout: None,
        heuristic_percent: 0,
        error_ttl: Duration::from_secs(10),
        request_directives,
        set_cookie: SetCookie::Refuse,
        max_object: 1 << 30,
        tag_headers: Vec::new(),
        collapse: true,
    }
}

fn meta() -> Meta {
    Meta {
        status: 200,
        responded_ms: NOW,
        initial_age_ms: 0,
        lifetime_ms: 60_000,
        stale_while_revalidate_ms: 0,
        stale_if_error_ms: 0,
        must_revalidate: false,
        no_cache: false,
        fetch_start: Stamp(1),
        host: "shop.example".into(),
        uri: "/".into(),
        tags: Box::new([]),
        vary: Box::new([]),
        variance: None,
        masked: false,
    }
}

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

fn hits(c: &mut Criterion) {
    let meta = meta();
    let plain = fields(&[("accept", "*/*"), ("user-agent", "curl/8")]);
    let reload = fields(&[("accept", "*/*"), ("cache-control", "max-age=0"), ("if-none-match", "\"a\", \"b\"")]);
    for (name, directives) in [("ignored", RequestDirectives::Ignore), ("honored", RequestDirectives::Honor)] {
        let policy = policy(directives);
        c.bench_function(&format!("reuse/request directives {name}/none sent"), |b| {
            b.iter(|| reuse(&policy, black_box(&meta), black_box(&plain), black_box(NOW + 1000)));
        });
        c.bench_function(&format!("reuse/request directives {name}/max-age=0"), |b| {
            b.iter(|| reuse(&policy, black_box(&meta), black_box(&reload), black_box(NOW + 1000)));
        });
    }
    let etag = Some(&b"\"b\""[..]);
    c.bench_function("conditional/none sent", |b| {
        b.iter(|| conditional::check(black_box(&plain), &Method::GET, 200, etag, None));
    });
    c.bench_function("conditional/if-none-match of two", |b| {
        b.iter(|| conditional::check(black_box(&reload), &Method::GET, 200, etag, None));
    });
    let ranged = fields(&[("range", "bytes=100-199")]);
    c.bench_function("range/none sent", |b| {
        b.iter(|| range::resolve(black_box(&plain), &Method::GET, 10_000, etag, None, 5));
    });
    c.bench_function("range/one", |b| {
        b.iter(|| range::resolve(black_box(&ranged), &Method::GET, 10_000, etag, None, 5));
    });
}

fn statuses(c: &mut Criterion) {
    let hit = CacheStatus {
        pop: "FRA",
        outcome: Outcome::Hit,
        ttl_s: Some(12_345),
        stored: false,
        collapsed: false,
        fwd_status: None,
        key: None,
        detail: None,
    };
    let outcome = Outcome::Fwd(FwdReason::UriMiss);
    let miss = CacheStatus { outcome, fwd_status: Some(200), stored: true, ..hit };
    let mut out = String::with_capacity(128);
    for (name, status) in [("hit", hit), ("miss", miss)] {
        c.bench_function(&format!("cache-status/{name}"), |b| {
            b.iter(|| {
                out.clear();
                black_box(&status).write(&mut out).is_ok()
            });
        });
    }
}

fn misses(c: &mut Criterion) {
    let policy = policy(RequestDirectives::Ignore);
    let ask = Ask { authorization: false };
    let times = Times { request_ms: NOW - 20, response_ms: NOW };
    let short = fields(&[("cache-control", "max-age=60"), ("content-length", "1024")]);
    let long = fields(&[
        ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT"),
        ("expires", "Fri, 02 Jan 2026 00:00:00 GMT"),
        ("age", "17"),
        ("vary", "Accept-Encoding, Accept-Language"),
        ("cache-control", "public, max-age=3600, stale-while-revalidate=60, stale-if-error=86400"),
        ("etag", "\"0123456789abcdef\""),
        ("content-length", "1024"),
    ]);
    c.bench_function("admit/max-age alone", |b| b.iter(|| admit(&policy, ask, 200, black_box(&short), times)));
    c.bench_function("admit/everything named", |b| b.iter(|| admit(&policy, ask, 200, black_box(&long), times)));
}

criterion_group!(benches, hits, statuses, misses);
criterion_main!(benches);
