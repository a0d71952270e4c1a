//! Host calls beyond the message, from a guest.

use std::path::Path;

use super::*;
use crate::config::compiled::{FetchGrant, FetchHost, KvBounds, KvGrant, KvStore};
use crate::config::secret::Secret;
use crate::geo::Db;
use crate::hooks::host::kv::{Change, Entry, KvFiles};

/// A payload behind `ok`, and behind `ok(some)`.
const PAYLOAD: &str = "(i32.load (i32.const 4)) (i32.load (i32.const 8))";
const PRESENT: &str = "(i32.load (i32.const 8)) (i32.load (i32.const 12))";

fn granted() -> compiled::Function {
    let mut spec = spec("reach");
    spec.grants.kv = vec![KvGrant { store: "store".into(), write: true }];
    spec.grants.secrets = vec![("token".into(), Secret::new(b"s3cret".to_vec()))];
    spec.grants.geo = true;
    spec.grants.fetch = Some(FetchGrant {
        allow: vec![FetchHost { pattern: "127.0.0.1".into(), port: None }],
        private: vec!["127.0.0.0/8".parse().unwrap()],
        timeout: Duration::from_secs(30),
        requests: 1,
        body: 1000,
    });
    spec
}

fn services_of(dir: &Path) -> Arc<Services> {
    let files = KvFiles::new(dir.to_owned());
    files.attach(Duration::ZERO).unwrap();
    let kv = files.stores(&[KvStore { name: "store".into(), import: None, bounds: KvBounds::EXTENDED }]).unwrap();
    let entry = Entry { key: "key".into(), value: "value".into() };
    kv.get("store").unwrap().update(vec![Change::Put(entry)], None).unwrap();
    let geo = Some(Arc::new(Db::open(&["geo/test.mmdb".into()]).unwrap()));
    Arc::new(Services { geo, ..Services::new(kv, Arc::new(Fetcher::new().unwrap())) })
}

#[tokio::test]
async fn host_calls_reach_what_was_granted() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let services = services_of(dir.path());
    for (interface, named, arguments, from, want) in [
        ("kv", "get", &["store", "key"][..], PRESENT, "value"),
        ("kv", "get", &["store", "none"], PRESENT, ""),
        (
            "kv",
            "get",
            &["other", "key"],
            PRESENT,
            "store 'other' was not granted; add it to the function's `grants.kv`",
        ),
        ("secrets", "get", &["token"], PAYLOAD, "s3cret"),
        ("crypto", "digest", &["md6", ""], PRESENT, "there is no digest 'md6': md5, sha1, sha256, sha384 or sha512"),
        ("dynamic", "call", &["config.all", ""], PAYLOAD, r#"{"COLOR":"blue","A":"1"}"#),
        ("dynamic", "call", &["kv.get", r#"{"store":"store","key":"key"}"#], PAYLOAD, "\u{1}value"),
    ] {
        let mut guest = Guest::default();
        let name = guest.import(interface, named, &format!("(param {} i32)", "i32 i32 ".repeat(arguments.len())));
        let arguments: String = arguments.iter().map(|argument| guest.text(argument)).collect();
        let log = guest.import("log", "write", "(param i32 i32 i32)");
        let code = format!("(call {name} {arguments} (i32.const 0)) (call {log} (i32.const 1) {from})");
        let function = bench.engine.load(&guest.module(&code), &granted(), &services).unwrap();
        let called = call(&function).await;
        called.outcome.unwrap();
        let said = called.logs[0].message.replace(r#"{"A":"1","COLOR":"blue"}"#, r#"{"COLOR":"blue","A":"1"}"#);
        assert_eq!(said, want, "{interface}.{named}");
    }
}

#[tokio::test]
async fn writes_wait_without_a_worker() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let services = services_of(dir.path());
    let mut guest = Guest::default();
    let put = guest.import("kv", "put", "(param i32 i32 i32 i32 i32 i32 i32)");
    let arguments = guest.text("store") + &guest.text("new") + &guest.text("written");
    let function = bench
        .engine
        .load(&guest.module(&format!("(call {put} {arguments} (i32.const 0))")), &granted(), &services)
        .unwrap();
    call(&function).await.outcome.unwrap();
    assert_eq!(services.kv.get("store").unwrap().get("new").as_deref(), Some(&b"written"[..]));
}

/// A host that takes the connection and says nothing.
#[tokio::test]
async fn a_sleeping_host_call_ends_with_the_wall_clock() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let services = services_of(dir.path());
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let mut spec = granted();
    spec.reuse = 10;
    if let Some(fetch) = &mut spec.grants.fetch {
        fetch.allow[0].port = Some(address.port());
    }
    let mut guest = Guest::default();
    let send = guest.import("fetch", "send", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)");
    let (method, url) = (guest.text("GET"), guest.text(&format!("http://{address}/")));
    let empty = "(i32.const 0) (i32.const 0)";
    let module = guest.module(&format!("(call {send} {method} {url} {empty} {empty} (i32.const 0) (i32.const 0))"));
    let function = bench.engine.load(&module, &spec, &services).unwrap();
    let timeout = Duration::from_millis(50);
    for _ in 0..SLOTS * 2 {
        let called = function.call(exchange(Event::ViewerRequest), Budget { timeout, ..budget() }).await;
        assert_eq!(called.outcome, Err(Failure::Timeout(timeout)));
        assert!(called.wall >= timeout && called.cpu < timeout, "{called:?}");
        settled(&bench).await;
    }
    drop(silent);
    serves(&good(&bench)).await;
}

#[tokio::test]
async fn random_bytes_differ_between_instances() {
    let bench = Bench::new();
    let mut guest = Guest::default();
    let random = guest.import("crypto", "random", "(param i32 i32)");
    let set = guest.import("request", "set-body", "(param i32 i32 i32)");
    let code = format!(
        "(call {random} (i32.const 16) (i32.const 0)) \
         (call {set} (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.const 16))"
    );
    let function = bench.load(guest.module(&code), &spec("random"));
    let body = |called: Called| called.exchange.request.body.unwrap().data;
    let (one, other) = (body(call(&function).await), body(call(&function).await));
    assert_eq!(one.len(), 16);
    assert_ne!(one, other);
}
