//! What does an edge function cost a request? Fresh and reused instances; host calls, the flat world, an unmodified Lambda@Edge
//! handler; loading one from the artifact cache; a thousand of them.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use rimward::config::compiled::{self, Flavor, Grants, Mode};
use rimward::hooks::build::{Builder, ENGINE, Source};
use rimward::hooks::engine::{Budget, Engine, EngineSettings, Function};
use rimward::hooks::host::Services;
use rimward::hooks::host::fetch::Fetcher;
use rimward::hooks::host::kv::KvStores;
use rimward::hooks::{Event, Exchange, Request, Site};
use tokio::runtime::Runtime;

/// Bytes a function's memory may have.
const MEMORY: usize = 64 << 20;

/// Reads the path, sets a header; with `$all` also walks all headers and sets the request id.
fn native(all: bool) -> String {
    let more = r#"(call $headers (i32.const 16)) (call $id (i32.const 24))
        (call $set (i32.const 1040) (i32.const 4) (i32.load (i32.const 24)) (i32.load (i32.const 28)) (i32.const 512))"#;
    format!(
        r#"(module
          (import "rimward:edge/request@0.1.0" "uri" (func $uri (param i32)))
          (import "rimward:edge/request@0.1.0" "headers" (func $headers (param i32)))
          (import "rimward:edge/call@0.1.0" "request-id" (func $id (param i32)))
          (import "rimward:edge/request@0.1.0" "set-header" (func $set (param i32 i32 i32 i32 i32)))
          (memory (export "memory") 2 2)
          (global $next (mut i32) (i32.const 4096))
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
          (func (export "on-viewer-request") (result i32)
            (global.set $next (i32.const 4096))
            (call $uri (i32.const 0))
            (call $set (i32.const 1024) (i32.const 6) (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.const 512))
            {}
            (i32.const 256))
          (data (i32.const 1024) "x-path") (data (i32.const 1040) "x-id"))"#,
        if all { more } else { "" }
    )
}

/// Sets one header and looks at nothing.
const FLAT: &str = r#"(module
  (memory (export "memory") 2 2)
  (func (export "alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "flat") (param i32 i32) (result i64) (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 16)))
  (data (i32.const 1024) "\01\03\05\00\00\00x-set\01\00\00\001"))"#;

/// As people write them.
const LAMBDA: &str = "'use strict';
exports.handler = async (event) => {
    const request = event.Records[0].cf.request;
    if (request.uri.startsWith('/old/')) {
        return { status: '301', headers: { location: [{ key: 'Location', value: request.uri.replace('/old/', '/new/') }] } };
    }
    request.headers['x-path'] = [{ key: 'X-Path', value: request.uri }];
    if (request.uri.endsWith('/')) request.uri += 'index.html';
    return request;
};
";

fn spec(name: &str, reuse: u32) -> compiled::Function {
    compiled::Function {
        name: name.to_owned(),
        file: PathBuf::from(name),
        flavor: Flavor::Auto,
        mode: Mode::Extended,
        cpu: Duration::from_millis(100),
        timeout: Duration::from_secs(5),
        memory: MEMORY,
        concurrency: 128,
        reuse,
        grants: Grants::default(),
        record: 0,
    }
}

fn budget() -> Budget {
    Budget { cpu: Duration::from_millis(100), timeout: Duration::from_secs(5), memory: MEMORY }
}

fn exchange(fields: usize) -> Exchange {
    let site = Site {
        pop: "FRA".into(),
        behavior: "default".into(),
        domain: "d1.cloudfront.net".into(),
        distribution: "E1".into(),
        origins: vec!["main".into()],
        mode: Mode::Extended,
        include_body: false,
    };
    let mut headers = HeaderMap::new();
    for n in 0..fields {
        let name = HeaderName::from_bytes(format!("x-some-header-{n}").as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_static("text/html,application/xhtml+xml,application/xml;q=0.9"));
    }
    let request = Request {
        method: Method::GET,
        uri: "/a/b/c/".into(),
        query: "a=1&b=two".into(),
        has_query: true,
        client_ip: [203, 0, 113, 7].into(),
        server_ip: None,
        who: None,
        version: Version::HTTP_2,
        tls: true,
        headers,
        body: None,
        origin: None,
    };
    Exchange::request(Event::ViewerRequest, &Arc::new(site), "id-1", 1_700_000_000_000, request)
}

struct Bench {
    engine: Engine,
    services: Arc<Services>,
    runtime: Runtime,
    artifacts: tempfile::TempDir,
}

fn bench() -> Bench {
    let artifacts = tempfile::tempdir().unwrap();
    let settings = EngineSettings { concurrency: 256, memory: MEMORY, artifacts: artifacts.path().to_owned() };
    Bench {
        engine: Engine::new(&settings).unwrap(),
        services: Arc::new(Services::new(KvStores::default(), Arc::new(Fetcher::new().unwrap()))),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        artifacts,
    }
}

impl Bench {
    fn load(&self, wasm: &[u8], reuse: u32) -> Arc<Function> {
        self.engine.load(wasm, &spec("f", reuse), &self.services).unwrap()
    }
}

fn lambda() -> Vec<u8> {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    let build = || {
        let source = Source::Text { name: "index.js".into(), text: LAMBDA.into() };
        Builder::new(ENGINE).build(&source, Flavor::Auto, Mode::Extended).unwrap().component
    };
    BUILT.get_or_init(build).clone()
}

type Guest = fn() -> Vec<u8>;

fn calls(c: &mut Criterion) {
    let bench = bench();
    let guests: [(&str, Guest, usize); 5] = [
        ("native, 1 header", || native(false).into_bytes(), 1),
        ("native, 20 headers", || native(false).into_bytes(), 20),
        ("native, 20 headers read, request id", || native(true).into_bytes(), 20),
        ("flat, 20 headers", || FLAT.into(), 20),
        ("lambda, 20 headers", lambda, 20),
    ];
    let mut group = c.benchmark_group("hook_call");
    group.bench_function("what the message costs, 20 headers", |b| {
        let message = exchange(20);
        b.iter(|| black_box(message.clone()));
    });
    for (name, guest, fields) in guests {
        for (kind, reuse) in [("fresh", 1), ("reused", 1_000_000)] {
            group.bench_function(format!("{name}, {kind}"), |b| {
                let function = bench.load(&guest(), reuse);
                let message = exchange(fields);
                b.iter(|| {
                    let called = bench.runtime.block_on(function.call(message.clone(), budget()));
                    assert_eq!(called.outcome, Ok(()));
                    called
                });
            });
        }
    }
    group.finish();
}

fn loading(c: &mut Criterion) {
    let bench = bench();
    let guests: [(&str, Guest); 2] = [("native", || native(false).into_bytes()), ("lambda", lambda)];
    let mut group = c.benchmark_group("hook_load");
    group.sample_size(20);
    for (name, guest) in guests {
        group.bench_function(format!("{name}, from the artifact cache"), |b| {
            let wasm = guest();
            bench.load(&wasm, 1);
            b.iter(|| bench.load(&wasm, 1));
        });
    }
    group.finish();
    drop(bench.artifacts);
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Not a timing: what functions and instances hold. Printed.
fn memory(c: &mut Criterion) {
    let guests: [(&str, Guest); 2] = [("native", || native(false).into_bytes()), ("lambda", lambda)];
    for (name, guest) in guests {
        let printed = Once::new();
        c.bench_function(&format!("hook_memory/{name}"), |b| {
            printed.call_once(|| hold(name, &guest()));
            b.iter(|| ());
        });
    }
}

fn hold(name: &str, wasm: &[u8]) {
    let bench = bench();
    let began = Instant::now();
    let first = bench.load(wasm, 2);
    println!("{name}: the first is loaded after {:?}", began.elapsed());
    let before = resident();
    let functions: Vec<_> = (0..1000).map(|_| bench.load(wasm, 2)).collect();
    let loaded = resident();
    println!("{name}: 1,000 more functions hold {} KiB each", loaded.saturating_sub(before) / 1000);
    let called = 200;
    for function in &functions[..called] {
        bench.runtime.block_on(function.call(exchange(20), budget())).outcome.unwrap();
    }
    println!("{name}: an instance holds {} KiB", resident().saturating_sub(loaded) / called as u64);
    drop(first);
}

criterion_group!(benches, calls, loading, memory);
criterion_main!(benches);
