//! What does it cost to have seen a hit? Metrics alone, with each log format, and the formatting by itself.

use criterion::{Criterion, criterion_group, criterion_main};
use rimward::config::compiled::{AccessLog, LogFormat, LogTarget, Observe};
use rimward::observe::log::{cloudfront, json};
use rimward::observe::{BehaviorMetrics, Observer, Outcome, Record, Tls};
use std::hint::black_box;
use std::net::SocketAddr;

fn hit(behavior: &BehaviorMetrics) -> Record<'_> {
    Record {
        started_ms: 1_700_000_000_123,
        duration_ns: 42_000,
        first_byte_ns: 40_000,
        request_id: "01JD3M9V5Z7Q8W2X4Y6A0B1C2D",
        viewer: SocketAddr::from(([192, 0, 2, 7], 50_123)),
        method: "GET",
        scheme: "https",
        host: "shop.example",
        path: b"/assets/images/products/1234/front.webp",
        query: b"w=640&h=480",
        protocol: "HTTP/2.0",
        tls: Some(Tls { version: "TLSv1.3", cipher: "TLS13_AES_128_GCM_SHA256", sni: "shop.example" }),
        behavior,
        pattern: "shop.example/assets/*",
        status: 200,
        bytes_in: 480,
        bytes_out: 1_400,
        cache: Outcome::Hit,
        reason: "fresh",
        ttl_s: Some(3_540),
        age_s: Some(60),
        origin: None,
        failure: None,
        error: "",
        referer: b"https://shop.example/products/1234",
        accept: b"*/*",
        accept_encoding: b"gzip, deflate, br",
        user_agent:
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
        cookie: b"",
        forwarded_for: b"",
        content_type: b"image/webp",
        content_length: Some(1_024),
        range: None,
        trace: None,
        calls: &[],
        result: None,
        principal: "",
        tier: "",
        asked_by: "",
    }
}

fn observer(format: Option<LogFormat>, recent: usize) -> Result<Observer, rimward::observe::ObserveError> {
    let access_log = format.map(|format| AccessLog {
        format,
        to: LogTarget::File("/dev/null".into()),
        queue: 1_000_000,
        sample_percent: 100,
    });
    Observer::start(
        &Observe { access_log, level: log::LevelFilter::Off, traces: None, metric_hosts: 100, recent },
        "FRA",
    )
}

fn finish(c: &mut Criterion) {
    let mut group = c.benchmark_group("finish_a_hit");
    for (name, format) in [
        ("metrics_only", None),
        ("metrics_and_recent", None),
        ("metrics_and_json_log", Some(LogFormat::Json)),
        ("metrics_and_cloudfront_log", Some(LogFormat::CloudfrontStandard)),
    ] {
        let recent = if name == "metrics_and_recent" { 1024 } else { 0 };
        let observer = match observer(format, recent) {
            Ok(observer) => observer,
            Err(error) => {
                eprintln!("{name} left out: {error}");
                continue;
            }
        };
        let behaviors = observer.metrics().behaviors(["assets"]);
        let Some(behavior) = behaviors.first() else { continue };
        group.bench_function(name, |b| b.iter(|| observer.finish(black_box(&hit(behavior)))));
    }
    group.finish();
}

fn format(c: &mut Criterion) {
    let metrics = rimward::observe::Metrics::new("FRA", 0);
    let record = hit(metrics.unrouted());
    let mut group = c.benchmark_group("format_a_hit");
    let mut line = Vec::with_capacity(4096);
    group.bench_function("json", |b| {
        b.iter(|| {
            line.clear();
            json::write(&mut line, black_box(&record), "FRA");
            line.len()
        });
    });
    group.bench_function("cloudfront_standard", |b| {
        b.iter(|| {
            line.clear();
            cloudfront::write_standard(&mut line, black_box(&record), "FRA");
            line.len()
        });
    });
    group.finish();
}

fn scrape(c: &mut Criterion) {
    let metrics = rimward::observe::Metrics::new("FRA", 100);
    let names: Vec<String> = (0..100).map(|n| format!("behavior-{n}")).collect();
    let behaviors = metrics.behaviors(names.iter().map(String::as_str));
    behaviors.iter().for_each(|behavior| metrics.finish(&hit(behavior)));
    c.bench_function("scrape_100_behaviors", |b| b.iter(|| metrics.render().len()));
}

criterion_group!(benches, finish, format, scrape);
criterion_main!(benches);
