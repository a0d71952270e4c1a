//! Each contract, and each host call.

use super::*;
use crate::hooks::engine::shape::Shape;
use crate::hooks::engine::wrap;
use crate::hooks::failure::Api;
use crate::hooks::host::{Level, LogLine};

/// Where a value-returning host call puts its pointer and length.
const RETURNED: &str = "(i32.load (i32.const 0)) (i32.load (i32.const 4))";
/// The same behind an option's flag.
const OPTIONAL: &str = "(i32.load (i32.const 4)) (i32.load (i32.const 8))";

/// Calls `interface.function` at an event, and returns what it gave as a header (request events).
async fn echo(bench: &Bench, event: Event, call: (&str, &str), argument: Option<&str>, from: &str) -> String {
    let mut guest = Guest::default();
    let signature = if argument.is_some() { "(param i32 i32 i32)" } else { "(param i32)" };
    let name = guest.import(call.0, call.1, signature);
    let argument = argument.map(|argument| guest.text(argument)).unwrap_or_default();
    let set = guest.set_header_to("x-echo", from);
    let module = guest.module(&format!("(call {name} {argument} (i32.const 0)) {set}"));
    let called = bench.load(module, &spec("echo")).call(exchange(event), budget()).await;
    called.outcome.unwrap();
    called.exchange.request.headers["x-echo"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_reading_host_call_gives_what_the_message_has() {
    let bench = Bench::new();
    let at = Event::OriginRequest;
    for (interface, function, argument, from, want) in [
        ("call", "request-id", None, RETURNED, "id-1"),
        ("call", "event", None, RETURNED, "origin-request"),
        ("call", "pop", None, RETURNED, "FRA"),
        ("call", "behavior", None, RETURNED, "default"),
        ("call", "function", None, RETURNED, "echo"),
        ("request", "method", None, RETURNED, "GET"),
        ("request", "uri", None, RETURNED, "/a/b"),
        ("request", "querystring", None, RETURNED, "q=1"),
        ("request", "client-ip", None, RETURNED, "192.0.2.7"),
        ("request", "http-version", None, RETURNED, "HTTP/2.0"),
        ("request", "header", Some("X-Two"), OPTIONAL, "one"),
        ("request", "header", Some("X-Edge-Secret"), OPTIONAL, ""),
        ("request", "body", None, OPTIONAL, "payload"),
        ("origin", "name", None, OPTIONAL, "main"),
        ("config", "get", Some("COLOR"), OPTIONAL, "blue"),
        ("config", "get", Some("COLOUR"), OPTIONAL, ""),
        // The second line of a list of lists; the second field's name of a list of records.
        (
            "request",
            "header-lines",
            Some("x-two"),
            "(i32.load offset=8 (i32.load (i32.const 0))) (i32.load offset=12 (i32.load (i32.const 0)))",
            "two",
        ),
        (
            "request",
            "headers",
            None,
            "(i32.load offset=8 (i32.load (i32.const 0))) (i32.load offset=12 (i32.load (i32.const 0)))",
            "example.test",
        ),
        // host, then port, tls, path: of the option's record.
        ("origin", "get", None, OPTIONAL, "origin.test"),
        ("origin", "get", None, "(i32.load (i32.const 16)) (i32.load (i32.const 20))", "/base"),
    ] {
        let got = echo(&bench, at, (interface, function), argument, from).await;
        assert_eq!(got, want, "{interface}.{function}({argument:?})");
    }
}

/// Host calls that edit, at each event, and what they answer: 0 done, else 1 + the `edit-error`.
#[tokio::test]
async fn every_edit_is_checked_by_its_event() {
    const READ_ONLY: i32 = 1;
    const FORBIDDEN: i32 = 2;
    const INVALID: i32 = 3;
    const WRONG: i32 = 5;
    let bench = Bench::new();
    let (request, response) = (Event::OriginRequest, Event::OriginResponse);
    for (event, interface, function, arguments, want) in [
        (request, "request", "set-uri", &["/new"][..], 0),
        (request, "request", "set-uri", &["no slash"], INVALID),
        (response, "request", "set-uri", &["/new"], WRONG),
        (request, "request", "set-querystring", &["a=b"], 0),
        (response, "request", "set-querystring", &["a=b"], WRONG),
        (request, "request", "set-header", &["X-New", "1"], 0),
        (request, "request", "set-header", &["via", "1"], READ_ONLY),
        (request, "request", "set-header", &["x-edge-id", "1"], FORBIDDEN),
        (request, "request", "set-header", &["x new", "1"], INVALID),
        (response, "request", "set-header", &["x-new", "1"], WRONG),
        (request, "request", "append-header", &["x-two", "3"], 0),
        (response, "request", "append-header", &["x-two", "3"], WRONG),
        (request, "request", "remove-header", &["x-two"], 0),
        (response, "request", "remove-header", &["x-two"], WRONG),
        (request, "request", "set-body", &["new"], 0),
        (response, "request", "set-body", &["new"], WRONG),
        (request, "origin", "choose", &["other"], 0),
        (request, "origin", "choose", &["nowhere"], INVALID),
        (response, "origin", "choose", &["other"], WRONG),
        (response, "response", "set-header", &["x-new", "1"], 0),
        (request, "response", "set-header", &["x-new", "1"], WRONG),
        (response, "response", "append-header", &["x-new", "1"], 0),
        (request, "response", "append-header", &["x-new", "1"], WRONG),
        (response, "response", "remove-header", &["content-type"], 0),
        (request, "response", "remove-header", &["content-type"], WRONG),
        (response, "response", "set-body", &["new"], 0),
        (request, "response", "set-body", &["new"], WRONG),
    ] {
        let mut guest = Guest::default();
        let params = "i32 i32 ".repeat(arguments.len());
        let name = guest.import(interface, function, &format!("(param {params} i32)"));
        let texts: String = arguments.iter().map(|argument| guest.text(argument)).collect();
        let result = answered(&mut guest);
        let module = guest.module(&format!("(call {name} {texts} (i32.const 0)) {result}"));
        let called = bench.load(module, &spec("edit")).call(exchange(event), budget()).await;
        called.outcome.unwrap();
        assert_eq!(called.logs[0].message.len() as i32, want, "{event} {interface}.{function} {arguments:?}");
        assert_eq!(called.exchange.edits().len(), usize::from(want == 0), "{event} {interface}.{function}");
    }
}

/// Logs as many characters as the answer's number: 0 for `ok`, 1 + the error otherwise.
fn answered(guest: &mut Guest) -> String {
    let log = guest.import("log", "write", "(param i32 i32 i32)");
    let dots = guest.text("......");
    let at = dots.split(')').next().unwrap().to_owned() + ")";
    format!(
        "(call {log} (i32.const 1) {at} (select (i32.add (i32.load8_u (i32.const 1)) (i32.const 1)) (i32.const 0) \
         (i32.load8_u (i32.const 0))))"
    )
}

#[tokio::test]
async fn a_status_is_read_and_changed_at_response_events() {
    let bench = Bench::new();
    let mut guest = Guest::default();
    let status = guest.import("response", "status", "(result i32)");
    let set = guest.import("response", "set-status", "(param i32 i32)");
    let code = format!("(call {set} (i32.add (call {status}) (i32.const 204)) (i32.const 0))");
    let function = bench.load(guest.module(&code), &spec("status"));
    let called = function.call(exchange(Event::OriginResponse), budget()).await;
    called.outcome.unwrap();
    assert_eq!(called.exchange.response.unwrap().status, 404);
    let called = function.call(exchange(Event::ViewerRequest), budget()).await;
    called.outcome.unwrap();
    assert!(called.exchange.edits().is_empty());
}

#[tokio::test]
async fn a_function_answers_by_itself() {
    let bench = Bench::new();
    let mut guest = Guest::default();
    let respond = guest.import("answer", "respond", "(param i32 i32 i32 i32 i32 i32)");
    let (name, value, body) = (guest.text("location"), guest.text("/elsewhere"), guest.text("gone"));
    let stored: String = [&name, &value]
        .iter()
        .flat_map(|pair| pair.split(") ").map(|one| one.trim_end_matches(')').to_owned() + ")"))
        .enumerate()
        .map(|(n, part)| format!("(i32.store (i32.const {}) {part})", 128 + 4 * n))
        .collect();
    let code = format!("{stored} (call {respond} (i32.const 302) (i32.const 128) (i32.const 1) {body} (i32.const 0))");
    let called = call(&bench.load(guest.module(&code), &spec("answer"))).await;
    called.outcome.unwrap();
    let answer = called.exchange.answer().unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(answer.headers[0].1, "/elsewhere");
    assert_eq!(answer.body, "gone");
}

#[tokio::test]
async fn an_error_of_the_handler_is_a_failure_with_its_words() {
    let bench = Bench::new();
    let mut guest = Guest::default();
    let words = guest.text("no such tenant");
    let (at, length) = words.split_once(") ").unwrap();
    let code = format!(
        "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) {at})) (i32.store (i32.const 264) {length})"
    );
    let function = bench.load(guest.module(&code), &spec("error"));
    assert_eq!(call(&function).await.outcome, Err(Failure::Execution("no such tenant".into())));
    assert_eq!(function.api(), Api::Native);
    assert!(Event::ALL.iter().all(|&event| function.handles(event)));
}

/// A core module of the flat world that answers with `output`, and with its input as a log line.
fn flat(output: &[u8]) -> String {
    let data: String = output.iter().map(|b| format!("\\{b:02x}")).collect();
    format!(
        r#"(module
          (memory (export "memory") 2)
          (global $next (mut i32) (i32.const 4096))
          (func (export "alloc") (param i32) (result i32)
            (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 0))))
          (func (export "flat") (param i32 i32) (result i64)
            (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const {})))
          (data (i32.const 1024) "{data}"))"#,
        output.len()
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

#[tokio::test]
async fn a_clock_stands_still_without_the_grant() {
    let bench = Bench::new();
    let module = || {
        let mut guest = Guest::default();
        let now = guest.import("clock", "now-ms", "(result i64)");
        let log = guest.import("log", "write", "(param i32 i32 i32)");
        let frozen = guest.text("frozen");
        // Says whether the time is the call's beginning.
        guest.module(&format!(
            "(if (i64.eq (call {now}) (i64.const 1700000000000)) (then (call {log} (i32.const 1) {frozen})))"
        ))
    };
    let mut granted = spec("clock");
    assert_eq!(call(&bench.load(module(), &granted)).await.logs.len(), 1);
    granted.grants.clock = true;
    assert_eq!(call(&bench.load(module(), &granted)).await.logs.len(), 0);
}

#[tokio::test]
async fn an_instance_is_fresh_for_every_call_unless_reuse_is_wanted() {
    let bench = Bench::new();
    let module = || {
        let mut guest = Guest::default();
        guest.items = "(global $calls (mut i32) (i32.const 0))".into();
        let log = guest.import("log", "write", "(param i32 i32 i32)");
        let dots = guest.text("..........");
        let at = dots.split(") ").next().unwrap().to_owned();
        guest.module(&format!(
            "(global.set $calls (i32.add (global.get $calls) (i32.const 1))) \
             (call {log} (i32.const 1) {at}) (global.get $calls))"
        ))
    };
    for (reuse, want) in [(1, [1, 1, 1, 1, 1]), (3, [1, 2, 3, 1, 2])] {
        let mut spec = spec("count");
        spec.reuse = reuse;
        let function = bench.load(module(), &spec);
        for want in want {
            let called = call(&function).await;
            called.outcome.unwrap();
            assert_eq!(called.logs[0].message.len(), want, "reuse = {reuse}");
        }
    }
    // The functions are gone, and their idle instances with them.
    assert_eq!(bench.engine.instances(), 0);
}

/// A guest of the `aws` world that answers with `result`, behind the event and the context in the log.
fn aws(bench: &Bench, result: Result<&str, &str>, api: Option<&str>) -> Arc<Function> {
    let (flag, text) = match result {
        Ok(text) => (0, text),
        Err(text) => (1, text),
    };
    let data: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
    let wat = format!(
        r#"(module
          (import "rimward:edge/log@0.1.0" "write" (func $log (param i32 i32 i32)))
          (memory (export "memory") 2)
          (global $next (mut i32) (i32.const 65536))
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
        text.len()
    );
    let module = wrap::embed(wat::parse_str(&wat).unwrap(), "aws").unwrap();
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
