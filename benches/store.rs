//! Store: what does a hit cost, at 100,000 objects of 1 KiB?
//!
//! In: a full memory tier and keys as they are asked (a few often, or any). Out: time a look-up. Never: a network, a clock
//! besides criterion's.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use pingora::cache::key::HashBinary;
use pingora::cache::trace::Span;
use pingora::cache::{CacheKey, CacheMeta, Storage};
use pingora::http::ResponseHeader;
use rimward::cache::object::{Meta, Stamp};
use rimward::cache::store::{Admission, Tiers};
use rimward::config::compiled;
use std::hint::black_box;
use std::time::{Duration, SystemTime};
use xxhash_rust::xxh3::xxh3_128;

const OBJECTS: usize = 100_000;

fn name(n: usize) -> String {
    format!("shop.example/items/{n:06}?page=1")
}

fn hash(name: &str) -> HashBinary {
    xxh3_128(name.as_bytes()).to_le_bytes()
}

fn key(name: &str) -> CacheKey {
    let mut key = CacheKey::new(name.as_bytes(), "");
    key.set_primary_bin_override(hash(name));
    key
}

fn admitted(name: &str) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    for (field, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "1024"),
        ("cache-control", "public, max-age=60"),
        ("etag", "\"5f3a-0123456789\""),
        ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ] {
        header.append_header(field, value).unwrap();
    }
    let now = SystemTime::now();
    let mut view = CacheMeta::new(now, now, 0, 0, header);
    let meta = Meta {
        status: 200,
        responded_ms: 0,
        initial_age_ms: 0,
        lifetime_ms: 60_000,
        stale_while_revalidate_ms: 0,
        stale_if_error_ms: 0,
        must_revalidate: false,
        no_cache: false,
        fetch_start: Stamp(0),
        host: "shop.example".into(),
        uri: name.into(),
        tags: [].into(),
        vary: [].into(),
        variance: None,
        masked: false,
    };
    let key = name.as_bytes().into();
    view.extensions_mut().insert(Admission { key, meta, strip: vec![], max_body: u64::MAX, confirmed: None });
    view
}

async fn fill(tiers: &'static Tiers) {
    for n in 0..OBJECTS {
        let name = name(n);
        let span = Span::inactive().handle();
        let mut writer = tiers.get_miss_handler(&key(&name), &admitted(&name), &span).await.unwrap();
        writer.write_body(Bytes::from(vec![b'x'; 1024]), true).await.unwrap();
        writer.finish().await.unwrap();
    }
}

fn hits(bench: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (collapse_timeout, purge_scopes) = (Duration::from_secs(1), 10);
    let config = compiled::Store { memory: 1 << 30, disk: None, collapse_timeout, purge_scopes };
    let tiers = Tiers::open(&config).unwrap();
    runtime.block_on(fill(tiers));
    let names: Vec<String> = (0..OBJECTS).map(name).collect();
    let hashes: Vec<_> = names.iter().map(|name| hash(name)).collect();
    let mut next = 0;
    // A step that is prime to the number of objects: every one in turn, none near the last.
    let mut any = || {
        next = (next + 61_803) % OBJECTS;
        next
    };

    bench.bench_function("peek: hit among 100 popular keys", |bench| {
        bench.iter(|| {
            let n = any() % 100;
            black_box(tiers.peek(&hashes[n], names[n].as_bytes()).unwrap())
        });
    });
    bench.bench_function("peek: hit, any of 100k keys", |bench| {
        bench.iter(|| {
            let n = any();
            black_box(tiers.peek(&hashes[n], names[n].as_bytes()).unwrap())
        });
    });
    bench.bench_function("peek: miss", |bench| {
        bench.iter(|| black_box(tiers.peek(&[7; 16], b"nothing").is_none()));
    });
    bench.bench_function("Storage::lookup and read: hit, any of 100k keys", |bench| {
        let span = Span::inactive().handle();
        bench.iter(|| {
            let name = &names[any()];
            let key = key(name);
            runtime.block_on(async {
                let (meta, mut reader) = tiers.lookup(&key, &span).await.unwrap().unwrap();
                black_box((reader.read_body().await.unwrap(), meta))
            })
        });
    });
}

criterion_group!(benches, hits);
criterion_main!(benches);
