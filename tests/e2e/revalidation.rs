//! Revalidation: asking whether a stored answer still holds (RFC 9111 §4.3, RFC 9110 §13).
//!
//! In: validators of the origin and of the viewer. Out: 304s that save bodies. Never: an old body under a new validator.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::raw::request;
use crate::harness::{Exchange, Gate, Origin, Pop, until};

/// An origin that knows one version: 304 when asked for it.
fn versioned(x: &mut Exchange<'_>) {
    let confirmed = x.field("if-none-match") == Some("\"one\"");
    let nth = x.nth + 1;
    if confirmed {
        x.head("304 Not Modified", &format!("ETag: \"one\"\r\nCache-Control: max-age=600\r\nX-Round: {nth}\r\n"));
    } else {
        x.reply("200 OK", &format!("ETag: \"one\"\r\nCache-Control: max-age=1\r\nX-Round: {nth}\r\n"), "the body");
    }
}

#[test]
fn a_304_renews_the_stored_answer() {
    let origin = Origin::start(versioned);
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.get("/a").field("x-round"), Some("1"));
    let renewed = until("a revalidation", || {
        let reply = pop.get("/a");
        (origin.count() == 2).then_some(reply)
    });
    assert_eq!((renewed.status, renewed.text().as_str()), (200, "the body"));
    assert_eq!(renewed.field("x-round"), Some("2"), "the 304's fields replace the stored ones (RFC 9111 §3.2)");
    assert_eq!(renewed.param("fwd").as_deref(), Some("stale"));
    assert_eq!(renewed.param("fwd-status").as_deref(), Some("304"));
    assert!(renewed.field("x-cache").unwrap().starts_with("RefreshHit"));
    let after = pop.get("/a");
    assert!(after.hit(), "the 304's max-age=600 holds");
    assert_eq!(after.field("x-round"), Some("2"));
    assert_eq!(origin.count(), 2);
}

/// RFC 9111 §4.3.4: a 304 is about the answer whose validator was sent. One that comes late finds another in its place.
#[test]
fn a_late_304_changes_nothing_of_what_was_stored_since() {
    let gate = Gate::new();
    let (held, asked) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let revalidations = asked.clone();
    let origin = Origin::start(move |x| match x.field("if-none-match") {
        None => x.reply("200 OK", "ETag: \"one\"\r\nCache-Control: no-cache\r\nX-Of: one\r\n", "the first"),
        Some(_) if revalidations.fetch_add(1, Ordering::AcqRel) == 0 => {
            held.wait();
            x.head("304 Not Modified", "ETag: \"one\"\r\nCache-Control: max-age=600\r\n");
        }
        Some(_) => x.reply("200 OK", "ETag: \"two\"\r\nCache-Control: max-age=600\r\nX-Of: two\r\n", "the second one"),
    });
    let pop = Pop::caching(&origin, "cache = { collapse = false }");
    assert_eq!(pop.get("/a").text(), "the first");
    let mut late = pop.raw();
    late.send(request("GET", "/a", &[], b""));
    until("its question at the origin", || (asked.load(Ordering::Acquire) == 1).then_some(()));
    assert_eq!(pop.get("/a").text(), "the second one");
    gate.open();
    assert_eq!(late.reply("GET").text(), "the first", "who asked about the first gets the first");
    let after = pop.get("/a");
    assert!(after.hit(), "{:?}", after.field("cache-status"));
    assert_eq!(
        (after.text().as_str(), after.field("etag"), after.field("x-of")),
        ("the second one", Some("\"two\""), Some("two"))
    );
}

#[test]
fn last_modified_revalidates_too() {
    const DAY: &str = "Tue, 03 Nov 2026 10:00:00 GMT";
    let origin = Origin::start(|x| {
        if x.field("if-modified-since") == Some(DAY) {
            x.head("304 Not Modified", "Cache-Control: max-age=600\r\n");
        } else {
            x.reply("200 OK", &format!("Last-Modified: {DAY}\r\nCache-Control: max-age=1\r\n"), "the body");
        }
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let renewed = until("a revalidation", || Some(pop.get("/a")).filter(|_| origin.count() == 2));
    assert_eq!((renewed.status, renewed.text().as_str()), (200, "the body"));
}

#[test]
fn no_cache_is_stored_and_asked_about_every_time() {
    let origin = Origin::start(|x| {
        if x.field("if-none-match") == Some("\"e\"") {
            x.head("304 Not Modified", "ETag: \"e\"\r\nCache-Control: no-cache\r\n");
        } else {
            x.reply("200 OK", "ETag: \"e\"\r\nCache-Control: no-cache\r\n", "the body");
        }
    });
    let pop = Pop::caching(&origin, "");
    for n in 1..=3 {
        assert_eq!(pop.get("/a").text(), "the body");
        assert_eq!(origin.count(), n, "each use is validated (RFC 9111 §5.2.2.4)");
    }
    assert_eq!(origin.last().field("if-none-match"), Some("\"e\""));
}

#[test]
fn a_changed_answer_replaces_the_stored_one() {
    let origin = Origin::start(|x| {
        let n = x.nth + 1;
        let age = if n == 1 { 1 } else { 600 };
        x.reply("200 OK", &format!("ETag: \"{n}\"\r\nCache-Control: max-age={age}\r\n"), format!("v{n}"));
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    until("the new version", || (pop.get("/a").text() == "v2").then_some(()));
    assert_eq!(origin.last().field("if-none-match"), Some("\"1\""));
    let hit = pop.get("/a");
    assert_eq!((hit.hit(), hit.text().as_str(), hit.field("etag")), (true, "v2", Some("\"2\"")));
}

#[test]
fn the_viewers_own_conditions_are_answered_from_the_cache() {
    const DAY: &str = "Tue, 03 Nov 2026 10:00:00 GMT";
    let origin = Origin::start(|x| {
        assert_eq!(x.field("if-none-match"), None, "a fill asks for the whole object");
        x.reply(
            "200 OK",
            &format!("ETag: \"one\"\r\nLast-Modified: {DAY}\r\nCache-Control: max-age=60\r\n"),
            "the body",
        );
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let table: &[(&[(&str, &str)], u16)] = &[
        (&[("If-None-Match", "\"one\"")], 304),
        (&[("If-None-Match", "W/\"one\"")], 304),
        (&[("If-None-Match", "\"zero\", \"one\"")], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"zero\"")], 200),
        (&[("If-Modified-Since", DAY)], 304),
        (&[("If-Modified-Since", "Mon, 02 Nov 2026 10:00:00 GMT")], 200),
        (&[("If-None-Match", "\"zero\""), ("If-Modified-Since", DAY)], 200),
        (&[("If-Modified-Since", "not a date")], 200),
    ];
    for (conditions, want) in table {
        let reply = pop.get_with("/a", conditions);
        assert_eq!(reply.status, *want, "{conditions:?}");
        assert!(reply.hit(), "{conditions:?}");
        if *want == 304 {
            assert!(reply.body.is_empty());
            assert_eq!(reply.field("etag"), Some("\"one\""), "a 304 carries the validators (RFC 9110 §15.4.5)");
            assert!(reply.field("cache-control").is_some());
        } else {
            assert_eq!(reply.text(), "the body");
        }
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_conditional_miss_still_fills_the_cache_whole() {
    let origin = Origin::start(versioned_for_all);
    let pop = Pop::caching(&origin, "");
    let first = pop.get_with("/a", &[("If-None-Match", "\"one\"")]);
    assert_eq!(first.status, 304, "the viewer has it already");
    let second = pop.get("/a");
    assert_eq!((second.status, second.text().as_str()), (200, "the body"));
    assert_eq!(second.hit(), origin.count() == 1);
}

fn versioned_for_all(x: &mut Exchange<'_>) {
    if x.field("if-none-match") == Some("\"one\"") {
        x.head("304 Not Modified", "ETag: \"one\"\r\nCache-Control: max-age=60\r\n");
    } else {
        x.reply("200 OK", "ETag: \"one\"\r\nCache-Control: max-age=60\r\n", "the body");
    }
}
