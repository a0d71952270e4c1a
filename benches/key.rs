//! What does it cost to name a request's object? By how much the policy takes into the key, and by who holds the
//! fields.

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use rimward::cache::key;
use rimward::config::compiled::{KeyPolicy, Select};
use rimward::message::{Fields, Head};
use std::hint::black_box;

/// What a browser sends, as it stands in the connection's buffer.
const FIELDS: [(&str, &str); 10] = [
    ("host", "shop.example"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://shop.example/"),
    ("cookie", "session=0123456789abcdef; theme=dark; _ga=GA1.2.3.4; lang=en"),
    ("sec-fetch-dest", "document"),
    ("x-device", "desktop"),
    ("priority", "u=0, i"),
];
const QUERY: &str = "utm_source=mail&page=3&sort=price&utm_medium=x&color=red";

fn plain() -> KeyPolicy {
    KeyPolicy { headers: Vec::new(), cookies: Select::None, query: Select::All, sort_query: false, ignore_host: false }
}

fn full() -> KeyPolicy {
    KeyPolicy {
        headers: vec![HeaderName::from_static("x-device"), HeaderName::from_static("accept-language")],
        cookies: Select::Only(vec!["session".into(), "lang".into()]),
        query: Select::AllExcept(vec!["utm_source".into(), "utm_medium".into()]),
        sort_query: true,
        ignore_host: false,
    }
}

fn measure<F: Fields>(c: &mut Criterion, name: &str, policy: &KeyPolicy, fields: &F) {
    let mut out = Vec::with_capacity(512);
    c.bench_function(name, |b| {
        b.iter(|| {
            out.clear();
            let (host, path) = (black_box("shop.example"), black_box("/catalog/shoes/index.html"));
            key::build(policy, host, path, Some(QUERY), black_box(fields), None, &mut out);
            key::hash(&out)
        });
    });
}

fn keys(c: &mut Criterion) {
    let map: HeaderMap =
        FIELDS.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
    let lines = FIELDS.map(|(name, value)| httparse::Header { name, value: value.as_bytes() });
    let head = Head { method: "GET", target: "/", host: "shop.example", minor: 1, fields: &lines };
    measure(c, "key/host, path and query/map", &plain(), &map);
    measure(c, "key/host, path and query/head", &plain(), &head);
    measure(c, "key/sorted query, cookies and headers/map", &full(), &map);
    measure(c, "key/sorted query, cookies and headers/head", &full(), &head);
}

criterion_group!(benches, keys);
criterion_main!(benches);
