//! The flat world, WASI preview 1 behind it, and AWS's events.

use super::*;
use crate::hooks::engine::shape::Shape;
use crate::hooks::engine::{flat, wrap};
use crate::hooks::failure::Api;
use crate::hooks::host::{Level, LogLine};

/// A core module of the flat world that answers with `output`.
fn flat(output: &[u8]) -> String {
    flat_of(output, output.len())
}

/// The same with what lies behind `output`, up to `length` bytes: zeros.
fn flat_of(output: &[u8], length: usize) -> String {
    let data: String = output.iter().map(|b| format!("\\{b:02x}")).collect();
    format!(
        r#"(module
          (memory (export "memory") 20)
          (global $next (mut i32) (i32.const 1048576))
          (func (export "alloc") (param i32) (result i32)
            (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 0))))
          (func (export "flat") (param i32 i32) (result i64)
            (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const {length})))
          (data (i32.const 1024) "{data}"))"#
    )
}

fn bytes(data: &str) -> Vec<u8> {
    [(data.len() as u32).to_le_bytes().as_slice(), data.as_bytes()].concat()
}

#[tokio::test]
async fn the_flat_world_edits_and_answers() {
    let bench = Bench::new();
    let output = [
        vec![1, 1],
        bytes("/flat"),
        vec![2],
        bytes("x=y"),
        vec![3],
        bytes("x-set"),
        bytes("v"),
        vec![4],
        bytes("x-two"),
        bytes("three"),
        vec![5],
        bytes("host2"),
        vec![6],
        bytes("body"),
        vec![10],
        bytes("other"),
        vec![11, 2],
        bytes("said"),
        vec![8, 0xc8, 0, 1, 0, 0, 0],
        bytes("x-a"),
        bytes("b"),
        bytes("answer"),
    ]
    .concat();
    let function = bench.load(flat(&output), &spec("flat"));
    let called = call(&function).await;
    called.outcome.unwrap();
    assert_eq!(called.exchange.request.uri, "/flat");
    assert_eq!(called.exchange.request.query, "x=y");
    assert_eq!(called.exchange.request.headers.get_all("x-two").iter().count(), 3);
    assert_eq!(called.exchange.edits().len(), 6);
    assert_eq!(called.exchange.answer().unwrap().body, "answer");
    assert_eq!(called.logs, [LogLine { level: Level::Warn, message: "said".into() }]);
}

#[tokio::test]
async fn a_wrong_answer_of_the_flat_world_is_a_validation_failure() {
    let bench = Bench::new();
    for (output, want) in [
        (vec![], "no sequence"),
        (vec![2], "version 2"),
        (vec![1, 99], "operation 99"),
        (vec![1, 1, 255, 255, 255, 255], "no sequence"),
        (vec![1, 7, 99, 0], "status 99"),
        ([vec![1, 3], bytes("via"), bytes("x")].concat(), "'via': it is read-only"),
        ([vec![1, 10], bytes("nowhere")].concat(), "origin 'nowhere': the configuration has no origin of that name"),
        ([vec![1, 8, 0xc8, 0], u32::MAX.to_le_bytes().to_vec()].concat(), "header fields"),
    ] {
        match call(&bench.load(flat(&output), &spec("flat"))).await.outcome {
            Err(Failure::Validation(text)) => assert!(text.contains(want), "{text}"),
            other => panic!("{output:?}: {other:?}"),
        }
    }
    let failed = call(&bench.load(flat(&[vec![1, 9], bytes("no")].concat()), &spec("flat"))).await;
    assert_eq!(failed.outcome, Err(Failure::Execution("no".into())));
}

/// What the host does with an answer no tick meets: its size and its operations have bounds.
#[tokio::test]
async fn an_answer_of_endless_operations_is_refused() {
    let bench = Bench::new();
    let remove = |times: usize| [vec![1], [vec![5], bytes("a")].concat().repeat(times)].concat();
    call(&bench.load(flat(&remove(flat::OPERATIONS_MAX)), &spec("most"))).await.outcome.unwrap();
    let strict = Arc::new(Site { mode: Mode::Strict, ..(*site()).clone() });
    for (module, want) in [
        (flat(&remove(flat::OPERATIONS_MAX + 1)), "more than 4096 operations"),
        (flat_of(&[1], 1_000_000), "1000000 bytes, 565248 are allowed"),
    ] {
        let before = exchange(Event::ViewerRequest);
        let before = Exchange::request(before.event, &strict, "id-1", 0, before.request);
        match bench.load(module, &spec("flat")).call(before, budget()).await.outcome {
            Err(Failure::Validation(text)) => assert!(text.contains(want), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

/// WASI preview 1 behind a flat module: output is logged, the environment is `config`, the clock stands, numbers are random.
#[tokio::test]
async fn preview_1_is_log_config_clock_and_randomness() {
    let bench = Bench::new();
    let wat = r#"(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (global $next (mut i32) (i32.const 4096))
      (func (export "alloc") (param i32) (result i32)
        (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 0))))
      (func $say (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $length))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 0) (i32.const 900)) (i32.store (i32.const 4) (i32.const 1))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
      (func (export "flat") (param i32 i32) (result i64)
        (if (i32.ne (i32.const 8)
              (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0)
                (i64.const 0) (i32.const 0) (i32.const 0)))
          (then (unreachable)))
        (drop (call $sizes (i32.const 16) (i32.const 20)))
        (drop (call $environ (i32.const 32) (i32.const 64)))
        (call $say (i32.load (i32.const 36)) (i32.const 3))
        (call $say (i32.load (i32.const 32)) (i32.const 10))
        (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 200)))
        (if (i64.ne (i64.load (i32.const 200)) (i64.const 1700000000000000000)) (then (unreachable)))
        (i32.store8 (i32.const 1024) (i32.const 1))
        (i32.store8 (i32.const 1025) (i32.const 6))
        (i32.store (i32.const 1026) (i32.const 16))
        (drop (call $random (i32.const 1030) (i32.const 16)))
        (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 22)))
      (data (i32.const 900) "\0a"))"#;
    let function = bench.load(wat, &spec("wasi"));
    let (one, other) = (call(&function).await, call(&function).await);
    one.outcome.unwrap();
    let lines: Vec<&str> = one.logs.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["A=1", "COLOR=blue"]);
    let random = |called: &Exchange| called.request.body.clone().unwrap().data;
    assert_eq!(random(&one.exchange).len(), 16);
    assert_ne!(random(&one.exchange), random(&other.exchange));
}

/// A guest of the `aws` world that answers with `result`, behind the event and the context in the log.
fn aws(bench: &Bench, result: Result<&str, &str>, api: Option<&str>) -> Arc<Function> {
    let (flag, text) = match result {
        Ok(text) => (0, text),
        Err(text) => (1, text),
    };
    let data: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
    let pages = (1024 + text.len()).div_ceil(65_536) + 1;
    let wat = format!(
        r#"(module
          (import "rimward:edge/log@0.1.0" "write" (func $log (param i32 i32 i32)))
          (memory (export "memory") {pages})
          (global $next (mut i32) (i32.const {}))
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 3))))
          (func (export "rimward:edge/lambda-edge@0.1.0#handle") (param i32 i32 i32 i32) (result i32)
            (call $log (i32.const 0) (local.get 0) (local.get 1))
            (call $log (i32.const 0) (local.get 2) (local.get 3))
            (i32.store (i32.const 0) (i32.const {flag}))
            (i32.store (i32.const 4) (i32.const 1024))
            (i32.store (i32.const 8) (i32.const {}))
            (i32.const 0))
          (data (i32.const 1024) "{data}"))"#,
        (pages - 1) * 65_536,
        text.len()
    );
    let module = wat::parse_str(&wat).unwrap();
    let mut component = wrap::component(&module, &Shape::of(&module).unwrap()).unwrap();
    if let Some(api) = api {
        let data = format!(r#"{{"api":"{api}","runtime":"2.0","source":"f.js","engine":"quickjs"}}"#).into_bytes();
        let section = wasm_encoder::CustomSection { name: "rimward".into(), data: data.into() };
        wasm_encoder::ComponentSection::append_to_component(&section, &mut component);
    }
    bench.load(component, &spec("aws"))
}

#[tokio::test]
async fn aws_events_go_in_and_results_come_out() {
    let bench = Bench::new();
    let function = aws(&bench, Ok(r#"{"status":"302","headers":{"location":[{"value":"/x"}]}}"#), None);
    assert_eq!(function.api(), Api::LambdaEdge);
    let called = call(&function).await;
    called.outcome.unwrap();
    assert_eq!(called.exchange.answer().unwrap().status, 302);
    assert!(called.logs[0].message.starts_with(r#"{"Records":[{"cf":"#), "{}", called.logs[0].message);
    assert!(called.logs[1].message.contains(r#""functionName":"aws""#), "{}", called.logs[1].message);

    let function = aws(&bench, Ok("{}"), Some("cloudfront"));
    assert_eq!(function.api(), Api::CloudFront);
    let called = call(&function).await;
    assert!(matches!(called.outcome, Err(Failure::Validation(_))));
    assert!(called.logs[0].message.contains(r#""eventType":"viewer-request""#));
}

/// Reading a result is the call's time too, although no tick meets it.
#[tokio::test]
async fn a_result_that_takes_long_to_read_is_over_the_budget() {
    let bench = Bench::new();
    let request = format!(r#"{{"uri":"/a/b","method":"GET","headers":{{}},"more":"{}"}}"#, "\\n".repeat(1 << 20));
    let function = aws(&bench, Ok(&request), None);
    let cpu = Duration::from_micros(200);
    let called = function.call(exchange(Event::ViewerRequest), Budget { cpu, ..budget() }).await;
    assert_eq!(called.outcome, Err(Failure::Cpu(cpu)));
    assert!(called.cpu > cpu);
}

#[tokio::test]
async fn what_a_handler_threw_is_the_failures_words() {
    let bench = Bench::new();
    let thrown =
        r#"{"errorType":"TypeError","errorMessage":"x is not a function","stackTrace":["at handler (f.js:3)"]}"#;
    let called = call(&aws(&bench, Err(thrown), Some("lambda-edge"))).await;
    assert_eq!(called.outcome, Err(Failure::Execution("TypeError: x is not a function".into())));
    assert_eq!(called.logs[2], LogLine { level: Level::Error, message: "at handler (f.js:3)".into() });
    let called = call(&aws(&bench, Err("plain words"), None)).await;
    assert_eq!(called.outcome, Err(Failure::Execution("plain words".into())));
}
