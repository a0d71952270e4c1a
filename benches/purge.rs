//! What does the purge check add to a hit with 1, 1,000 and 100,000 scopes purged, and how many purges a second get durable?
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rimward::cache::object::{Meta, Stamp};
use rimward::cache::purge::{Marks, MarksCell, Purge, Scope};
use rimward::fleet::PurgeLog;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// Callers that append at the same time.
const CALLERS: u64 = 64;

fn purge(n: u64) -> Purge {
    let host = |n: u64| format!("h{}.example", n % 100).into();
    let scope = match n % 4 {
        0 => Scope::Tag(format!("product-{n}").into()),
        1 => Scope::Url { host: host(n), uri: format!("/products/{n}").into() },
        2 => Scope::Prefix { host: Some(host(n)), path: format!("/assets/{n}/").into() },
        _ => Scope::Prefix { host: None, path: format!("/shared/{n}/").into() },
    };
    Purge { scope, soft: false, at: Stamp(n + 1) }
}

fn meta() -> Meta {
    Meta {
        status: 200,
        responded_ms: 0,
        initial_age_ms: 0,
        lifetime_ms: 60_000,
        stale_while_revalidate_ms: 0,
        stale_if_error_ms: 0,
        must_revalidate: false,
        no_cache: false,
        fetch_start: Stamp(u64::MAX),
        host: "h7.example".into(),
        uri: "/assets/5007/images/large/front.jpg?width=800".into(),
        tags: ["product-5007", "shop", "images", "front"].map(Into::into).into(),
        vary: Box::new([]),
        variance: None,
        masked: false,
    }
}

fn verdict(c: &mut Criterion) {
    let mut group = c.benchmark_group("purge");
    for count in [1, 1_000, 100_000] {
        let mut marks = Marks::new(1_000_000);
        (0..count).for_each(|n| marks.apply(&purge(n)));
        let (cell, meta, checked) = (MarksCell::new(marks), meta(), AtomicU64::new(0));
        group.bench_function(BenchmarkId::new("first check", count), |b| {
            b.iter(|| cell.verdict(black_box(&meta)));
        });
        group.bench_function(BenchmarkId::new("later check", count), |b| {
            b.iter(|| cell.check(black_box(&meta), &checked));
        });
    }
    group.finish();
}

fn append(c: &mut Criterion) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let Ok(opened) = PurgeLog::open(&dir.path().join("purges.redb")) else { return };
    let log = opened.log;
    let next = AtomicU64::new(0);
    let mut group = c.benchmark_group("purge log");
    group.sample_size(10).throughput(Throughput::Elements(CALLERS * 10));
    group.bench_function("64 callers, 10 purges each, one at a time", |b| {
        b.iter(|| {
            std::thread::scope(|scope| {
                for _ in 0..CALLERS {
                    scope.spawn(|| (0..10).all(|_| log.append(&[purge(next.fetch_add(1, Ordering::Relaxed))]).is_ok()));
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, verdict, append);
criterion_main!(benches);
