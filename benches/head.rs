//! What does reading one request head cost? The budget is 1 µs for twelve fields.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rimward::config::compiled::Limits;
use rimward::listen::framing::Body;
use rimward::listen::head::{Framing, Parsed, parse, slots};
use std::hint::black_box;
use std::time::Duration;

const TWO: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: wrk\r\n\r\n";

const TWELVE: &[u8] = b"GET /assets/app-3f9c1e.js?v=20&lang=en HTTP/1.1\r\n\
Host: www.example.com\r\n\
Connection: keep-alive\r\n\
Cache-Control: max-age=0\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: no-cors\r\n\
Sec-Fetch-Dest: script\r\n\
Referer: https://www.example.com/index.html\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

fn limits() -> Limits {
    Limits {
        connections: 10_000,
        connections_per_address: 1000,
        connections_exempt: Vec::new(),
        header_timeout: Duration::from_secs(10),
        header_count: 100,
        header_size: 32 << 10,
        uri_size: 8 << 10,
        idle_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_secs(30),
        body_min_rate: 500,
        body_grace: Duration::from_secs(5),
        body_size: 1 << 30,
        signed_bodies: 1 << 20,
        signed_bodies_per_address: 1 << 20,
        signed_body_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        requests_per_connection: 10_000,
        h2_streams: 128,
        h2_resets: 100,
        h2_reset_window: Duration::from_secs(10),
    }
}

/// What does a head cost to read?
fn heads(c: &mut Criterion) {
    let limits = limits();
    let mut group = c.benchmark_group("head");
    for (name, bytes) in [("2 fields", TWO), ("12 fields", TWELVE)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut slots = slots();
                let parsed = parse(black_box(bytes), &mut slots, &limits);
                matches!(black_box(&parsed), Parsed::Complete(_))
            });
        });
    }
    group.finish();
}

/// What does it cost to follow a chunked body?
fn bodies(c: &mut Criterion) {
    let limits = limits();
    let mut group = c.benchmark_group("chunked body");
    for size in [100_usize, 8000] {
        let chunk = [format!("{size:x}\r\n").into_bytes(), vec![b'x'; size], b"\r\n".to_vec()].concat();
        let body = [chunk.repeat(10), b"0\r\n\r\n".to_vec()].concat();
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("10 chunks of {size}"), |b| {
            b.iter(|| Body::new(Framing::Chunked, &limits).take(black_box(&body)));
        });
    }
    group.finish();
}

criterion_group!(benches, heads, bodies);
criterion_main!(benches);
