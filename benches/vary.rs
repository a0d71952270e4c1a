//! What does it cost to find the variant a request selects? By the number of names in the answer's Vary.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use rimward::cache::vary::{parse, variance};
use std::hint::black_box;

const FIELDS: [(&str, &str); 5] = [
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US, en;q=0.5"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("origin", "https://shop.example"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
];

fn variants(c: &mut Criterion) {
    let request: HeaderMap =
        FIELDS.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
    let names = FIELDS.map(|(name, _)| HeaderName::from_static(name));
    let mut group = c.benchmark_group("variance");
    for count in 0..=names.len() {
        group.bench_with_input(BenchmarkId::from_parameter(count), &names[..count], |b, names| {
            b.iter(|| variance(black_box(names), black_box(&request), false));
        });
    }
    group.finish();
    c.bench_function("variance/the coding is in the key", |b| {
        b.iter(|| variance(black_box(&names[..1]), black_box(&request), true));
    });
    let mut answer = HeaderMap::new();
    answer.insert("vary", HeaderValue::from_static("Accept-Encoding, Accept-Language, Origin"));
    c.bench_function("parse/three names", |b| b.iter(|| parse(black_box(&answer))));
}

criterion_group!(benches, variants);
criterion_main!(benches);
