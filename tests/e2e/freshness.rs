//! Freshness: how long an answer is used without asking (RFC 9111 §4.2, RFC 9213, CloudFront's TTL table).
//!
//! In: what the origin says about its answer. Out: hit or not. Never: a pause; expiry is waited for by asking.

use crate::harness::{Origin, Pop, until};

/// Whether the second of two requests is a hit when the origin answers with `fields` under `behavior`.
fn second_hits(fields: &'static str, behavior: &str) -> bool {
    let origin = Origin::counting(fields);
    let pop = Pop::caching(&origin, behavior);
    assert_eq!(pop.get("/a").text(), "v1");
    let second = pop.get("/a");
    assert_eq!(second.hit(), origin.count() == 1, "Cache-Status tells the truth: {:?}", second.cache());
    second.hit()
}

#[test]
fn what_the_origin_says_decides() {
    let table: &[(&str, &str, &str, bool)] = &[
        ("max-age", "Cache-Control: max-age=60\r\n", "", true),
        ("s-maxage beats max-age", "Cache-Control: max-age=60, s-maxage=0\r\n", "", false),
        ("s-maxage=60 beats max-age=0", "Cache-Control: max-age=0, s-maxage=60\r\n", "", true),
        ("Age spends the lifetime", "Cache-Control: max-age=60\r\nAge: 60\r\n", "", false),
        ("no-store", "Cache-Control: no-store, max-age=60\r\n", "", false),
        ("private", "Cache-Control: private, max-age=60\r\n", "", false),
        ("no-cache", "Cache-Control: no-cache, max-age=60\r\n", "", false),
        ("Expires in the past", "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "", false),
        ("Expires: 0 is in the past", "Expires: 0\r\n", "", false),
        ("max-age beats Expires", "Cache-Control: max-age=60\r\nExpires: 0\r\n", "", true),
        ("CDN-Cache-Control beats all", "CDN-Cache-Control: max-age=60\r\nCache-Control: no-store\r\n", "", true),
        ("CDN-Cache-Control: no-store", "CDN-Cache-Control: no-store\r\nCache-Control: max-age=60\r\n", "", false),
        ("names fold case", "cache-CONTROL: MAX-AGE=60\r\n", "", true),
        ("nothing said: the default TTL", "", "", true),
        ("nothing said, default 0", "", "cache = { ttl = \"0s\" }", false),
        ("max_ttl clamps", "Cache-Control: max-age=60\r\n", "cache = { max_ttl = \"0s\" }", false),
        ("min_ttl lifts", "Cache-Control: max-age=0\r\n", "cache = { min_ttl = \"60s\" }", true),
        (
            "min_ttl lifts even no-store, as CloudFront does",
            "Cache-Control: no-store\r\n",
            "cache = { min_ttl = \"60s\" }",
            true,
        ),
        ("cache = false", "Cache-Control: max-age=60\r\n", "cache = false", false),
        ("Vary: * is never stored", "Cache-Control: max-age=60\r\nVary: *\r\n", "", false),
    ];
    for (name, fields, behavior, want) in table {
        assert_eq!(second_hits(fields, behavior), *want, "{name}");
    }
}

#[test]
fn age_counts_on_from_what_the_origin_sent() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\nAge: 100\r\n", "x");
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let age = pop.get("/a").age().unwrap();
    assert!((100..160).contains(&age), "Age: {age}");
}

#[test]
fn an_object_expires() {
    let origin = Origin::counting("Cache-Control: max-age=1\r\n");
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.get("/a").text(), "v1");
    let fresh_again = until("the object to expire", || {
        let reply = pop.get("/a");
        (reply.text() == "v2").then_some(reply)
    });
    assert!(!fresh_again.hit());
    assert_eq!(fresh_again.fwd(), "stale");
}

#[test]
fn request_directives_count_only_where_the_operator_says_so() {
    for (behavior, want) in [("", true), ("cache = { request_directives = \"honor\" }", false)] {
        let origin = Origin::counting("Cache-Control: max-age=60\r\n");
        let pop = Pop::caching(&origin, behavior);
        pop.get("/a");
        assert_eq!(pop.get_with("/a", &[("Cache-Control", "no-cache")]).hit(), want, "{behavior:?}");
    }
}

#[test]
fn only_if_cached_is_answered_504_on_a_miss() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = Pop::caching(&origin, "cache = { request_directives = \"honor\" }");
    assert_eq!(pop.get_with("/a", &[("Cache-Control", "only-if-cached")]).status, 504);
    assert_eq!(origin.count(), 0);
    pop.get("/a");
    assert_eq!(pop.get_with("/a", &[("Cache-Control", "only-if-cached")]).text(), "v1");
}
