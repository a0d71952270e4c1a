//! How long does it take to find a request's behavior among 10, 100 and 1,000?
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rimward::config::compiled::Pattern;
use rimward::route::Table;
use std::hint::black_box;

fn pattern(host: Option<String>, path: String) -> Pattern {
    Pattern { text: path.clone(), host, path }
}

/// A quarter each: directories of one host, directories of any host, extensions, hosts; then the default.
fn patterns(count: usize) -> Vec<Pattern> {
    let rule = |n: usize| match n % 4 {
        0 => pattern(Some("www.example.com".to_owned()), format!("/app{n}/*")),
        1 => pattern(None, format!("/static/{n}/*.js")),
        2 => pattern(None, format!("*.ext{n}")),
        _ => pattern(Some(format!("*.tenant{n}.example.com")), "/*".to_owned()),
    };
    (1..count).map(rule).chain([pattern(None, "*".to_owned())]).collect()
}

fn select(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for count in [10, 100, 1000] {
        let table = Table::of(&patterns(count));
        for (name, host, path) in [
            ("default", "www.example.com", "/some/page.html"),
            ("directory", "www.example.com", "/static/5/vendor/main.js"),
            ("host", "shop.tenant7.example.com", "/cart"),
        ] {
            group.bench_with_input(BenchmarkId::new(name, count), &table, |b, table| {
                b.iter(|| table.select(black_box(host), black_box(path)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, select);
criterion_main!(benches);
