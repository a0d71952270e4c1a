//! Hit: what does the fast lane take to answer one hit, from the bytes of its head to the bytes of its answer?
//!
//! In: a PoP that is open and does not listen, one warm object of 1 KiB. Out: time a request. Never: a socket.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use pingora::cache::trace::Span;
use pingora::cache::{CacheKey, CacheMeta, Storage};
use pingora::http::ResponseHeader;
use rimward::cache::object::{Meta, Stamp};
use rimward::cache::store::Admission;
use rimward::config;
use rimward::listen::head::{self, Parsed};
use rimward::proxy::fast::{self, Arrival};
use rimward::proxy::plan::{self, Scratch, Target};
use rimward::proxy::server::{Pop, Start};
use rimward::proxy::shared::Shared;
use std::hint::black_box;
use std::path::Path;
use std::time::SystemTime;

const PLAIN: &[u8] = b"GET /1k/a HTTP/1.1\r\nHost: shop.example\r\n\r\n";

const BROWSER: &[u8] = b"GET /1k/a HTTP/1.1\r\n\
Host: shop.example\r\n\
Connection: keep-alive\r\n\
Sec-Ch-Ua-Platform: \"Linux\"\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: no-cors\r\n\
Sec-Fetch-Dest: script\r\n\
Referer: https://shop.example/index.html\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

fn open(state: &Path) -> Pop {
    let text = format!(
        "[pop]\ncode = \"BEN\"\nlisten = [\"127.0.0.1:9\"]\nstate_dir = {state:?}\n\
         [[origin]]\nname = \"o\"\nurl = \"http://127.0.0.1:9\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n"
    );
    let config = config::parse(&text, "bench.toml", state).unwrap();
    Pop::open(config, Start::default()).unwrap()
}

/// Stores the answer to `raw`, fresh for a day, under the key that the proxy itself gives it.
async fn store(shared: &Shared, raw: &[u8]) {
    let snapshot = shared.live.load();
    let mut slots = head::slots();
    let Parsed::Complete(request) = head::parse(raw, &mut slots, &snapshot.config.limits) else { panic!("no request") };
    let (host, target) = (plan::host_name(request.head.host), Target::parse(request.head.target));
    let behavior = plan::route(&snapshot, host, target.path).ok().unwrap();
    let mut bytes = Vec::new();
    let (hash, _) =
        plan::slot(&snapshot.behavior(behavior).behavior, (false, host, target), &request.head, &[], &mut bytes);
    let now = SystemTime::now();
    let mut answer = ResponseHeader::build(200, None).unwrap();
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "1024"),
        ("cache-control", "public, max-age=86400"),
        ("etag", "\"5f3a-0123456789\""),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ] {
        answer.append_header(name, value).unwrap();
    }
    let mut view = CacheMeta::new(now, now, 0, 0, answer);
    let meta = Meta {
        status: 200,
        responded_ms: now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64,
        initial_age_ms: 0,
        lifetime_ms: 86_400_000,
        stale_while_revalidate_ms: 0,
        stale_if_error_ms: 0,
        must_revalidate: false,
        no_cache: false,
        fetch_start: Stamp(now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64),
        host: host.into(),
        uri: target.path.into(),
        tags: [].into(),
        vary: [].into(),
        variance: None,
        masked: false,
    };
    view.extensions_mut().insert(Admission {
        key: bytes.clone().into(),
        meta,
        strip: vec![],
        max_body: u64::MAX,
        confirmed: None,
    });
    let mut key = CacheKey::new(bytes, "");
    key.set_primary_bin_override(hash);
    let span = Span::inactive().handle();
    let mut writer = shared.tiers.get_miss_handler(&key, &view, &span).await.unwrap();
    writer.write_body(Bytes::from(vec![b'x'; 1024]), true).await.unwrap();
    writer.finish().await.unwrap();
}

fn hits(bench: &mut Criterion) {
    let state = tempfile::tempdir().unwrap();
    let pop = open(state.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store(&pop.shared, PLAIN));
    let mut scratch = Scratch::default();
    let viewer = "127.0.0.1:5".parse().unwrap();
    let mut group = bench.benchmark_group("hit of 1 KiB");
    for (name, raw) in [("1 field", PLAIN), ("12 fields", BROWSER)] {
        group.bench_function(format!("head to answer, {name}"), |bench| {
            bench.iter(|| {
                let snapshot = pop.shared.live.peek();
                let mut slots = head::slots();
                let Parsed::Complete(request) = head::parse(black_box(raw), &mut slots, &snapshot.config.limits) else {
                    return None;
                };
                let keep_alive = request.keep_alive;
                let host = plan::host_name(request.head.host);
                let behavior = plan::route(&snapshot, host, Target::parse(request.head.target).path).ok();
                let arrival = Arrival { raw, viewer, certificate: None, tls: false, keep_alive, behavior };
                let hit = fast::answer(&pop.shared, &snapshot, &request, arrival, &mut scratch).unwrap();
                assert!(hit.is_some(), "not a hit");
                hit
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hits);
criterion_main!(benches);
