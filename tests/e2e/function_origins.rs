//! Function origins: a wasi:http component behind the cache.
//!
//! In: functions/samples/web-origin, built. Out: what viewers get; what hostile requests cost. Never: the engine's own edge cases.

use std::path::Path;

use crate::harness::pop::run;
use crate::harness::{Origin, Pop, Setup, until};

const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/functions/samples/fixtures/web-origin.wasm");

fn pop(keys: &str, behavior: &str) -> Pop {
    assert!(Path::new(COMPONENT).exists());
    let mut setup = Setup::new("");
    setup.rest = format!(
        "[[origin]]\nname = \"site\"\nfunction = {{ file = \"{COMPONENT}\", {keys} }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"site\"\nmethods = \"all\"\n{behavior}\n"
    );
    setup.start()
}

#[test]
fn a_component_answers_as_an_origin() {
    let pop = pop("grants = { config = { TITLE = \"Rim\" } }", "cache = { ttl = \"1m\" }");
    let page = pop.get("/");
    assert_eq!((page.status, page.text()), (200, "<h1>Rim</h1>\n".to_owned()));
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(pop.get("/").hit(), "kept like any origin's answer");
    let body = vec![b'a'; 300_000];
    let echo = pop.send("POST", "/echo", &[], &body);
    assert!(echo.body == body.to_ascii_uppercase(), "{} of {} bytes", echo.body.len(), body.len());
    let count = pop.get("/count").text();
    assert!(count.starts_with("line 1\nline 2\n") && count.ends_with("line 1000\n"), "{}", count.len());
    assert_eq!(pop.get("/nothing").status, 404);
    assert_eq!(pop.send("POST", "/echo", &[], &vec![b'a'; (6 << 20) + 1]).status, 413);
}

#[test]
fn an_answer_that_traps_on_its_way_is_not_whole() {
    let pop = pop("", "cache = { ttl = \"1h\" }");
    for _ in 0..2 {
        assert!(pop.raw_get("/broken").is_err(), "it breaks off, and nothing of it is kept");
    }
    assert_eq!(pop.get("/silent").status, 502, "no answer is a wrong one");
}

#[test]
fn hostile_requests_cost_their_own_budget_only() {
    // Each has its own: on a slow machine so much memory takes longer than the loop may.
    for (path, budget, words) in [
        ("/spin", "cpu = \"50ms\"", "used more than 50ms of CPU time"),
        ("/hoard", "cpu = \"5s\", memory = \"8MiB\"", "out of memory: more than 8388608 bytes"),
    ] {
        let mut pop = pop(budget, "cache = false");
        assert_eq!(pop.get(path).status, 503, "{path}");
        assert_eq!(pop.get("/").status, 200, "after {path}");
        until(words, || pop.stderr().contains(words).then_some(()));
        assert!(pop.alive());
    }
}

#[test]
fn requests_go_where_they_may() {
    let other = Origin::fixed("", "from elsewhere");
    let url = format!("/proxy?{}/x", other.url());
    let granted = format!(
        "grants = {{ fetch = {{ allow = [\"127.0.0.1:{}\"], private = [\"127.0.0.0/8\"] }} }}",
        other.address.port()
    );
    let allowed = pop(&granted, "cache = false");
    let reply = allowed.get(&url);
    assert_eq!((reply.status, reply.text()), (200, "from elsewhere".to_owned()));
    assert_eq!(other.last().target, "/x");
    let reply = pop("", "cache = false").get(&url);
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("HttpRequestDenied"), "{}", reply.text());
    assert_eq!(other.count(), 1);
}

#[test]
fn what_is_no_such_component_is_refused_by_name() {
    let pop = pop("", "cache = false");
    let hook = concat!(env!("CARGO_MANIFEST_DIR"), "/functions/samples/fixtures/pretty-urls.wasm");
    let rest = format!(
        "[[origin]]\nname = \"site\"\nfunction = {{ file = \"{hook}\" }}\n[[behavior]]\nmatch = \"*\"\norigin = \"site\"\n"
    );
    const WORDS: &str = "does not export wasi:http/incoming-handler@0.2";
    let reply = pop.reload(&rest);
    assert!(reply.text().contains(WORDS), "{}", reply.text());
    let file = pop.dir().join("rimward.toml");
    let (status, _, said) = run(&["check", file.to_str().unwrap()]);
    assert!(!status.success() && said.contains(WORDS), "{said}");
    assert_eq!(pop.get("/").status, 200, "what served goes on");
}
