//! Each contract, and each host call.

use super::*;
use crate::hooks::failure::Api;

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
