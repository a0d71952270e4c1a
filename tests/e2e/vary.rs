//! Vary: one URL, several answers (RFC 9111 §4.1).
//!
//! In: answers that name request fields. Out: each viewer the answer made for such a request. Never: another's variant.

use crate::harness::{H2, Origin, Pop, until};

const FORWARD: &str = "forward = { headers = \"all\" }";

fn by_language() -> Origin {
    Origin::start(|x| {
        let body = format!("{}#{}", x.field("accept-language").unwrap_or("none"), x.nth);
        x.reply("200 OK", "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", body);
    })
}

#[test]
fn each_variant_is_its_own_object() {
    let origin = by_language();
    let pop = Pop::caching(&origin, FORWARD);
    for (language, body) in [("en", "en#0"), ("de", "de#1"), ("en", "en#0"), ("de", "de#1")] {
        assert_eq!(pop.get_with("/a", &[("Accept-Language", language)]).text(), body);
    }
    let bare = pop.get("/a");
    assert_eq!(bare.text(), "none#2", "an absent field is a value of its own");
    assert_eq!(bare.fwd(), "vary-miss");
    assert_eq!(pop.get("/a").text(), "none#2");
    assert_eq!(origin.count(), 3);
}

#[test]
fn several_lines_of_a_field_are_one_value() {
    let origin = by_language();
    let pop = Pop::caching(&origin, FORWARD);
    pop.get_with("/a", &[("Accept-Language", "en, de")]);
    let split = pop.get_with("/a", &[("Accept-Language", "en"), ("Accept-Language", "de")]);
    assert!(split.hit(), "RFC 9111 §4.1: combined field values match: {:?}", split.cache());
}

/// RFC 9113 §8.2.3: HTTP/2 may send each cookie in a line, and the origin gets one line with `; ` between them.
#[test]
fn lines_of_cookies_are_not_one_cookie_with_a_comma() {
    let origin = Origin::start(|x| {
        let body = format!("{:?}", x.field("cookie"));
        x.reply("200 OK", "Cache-Control: max-age=60\r\nVary: Cookie\r\n", body);
    });
    let pop = Pop::caching(&origin, "forward = { cookies = \"all\" }");
    let comma = pop.get_with("/a", &[("Cookie", "lang=en,theme=dark")]);
    assert_eq!(comma.text(), "Some(\"lang=en,theme=dark\")");
    let crumbs = H2::plain(pop.http).send("GET", "/a", &[("cookie", "lang=en"), ("cookie", "theme=dark")], b"", &[]);
    assert_eq!(String::from_utf8_lossy(&crumbs.body), "Some(\"lang=en; theme=dark\")");
    assert!(pop.get_with("/a", &[("Cookie", "lang=en; theme=dark")]).hit(), "whatever brought them");
}

/// The origin reads more in such a field than the viewer sent: nothing tells apart whom the answer is for.
#[test]
fn an_answer_that_varies_by_what_the_edge_writes_is_not_stored() {
    let origin = Origin::start(|x| {
        let vary = x.request.target.trim_start_matches('/').to_owned();
        let body = format!("{:?}", x.field(&vary.to_ascii_lowercase()));
        x.reply("200 OK", &format!("Cache-Control: max-age=60\r\nVary: Accept, {vary}\r\n"), body);
    });
    let plain = Pop::caching(&origin, "");
    let keyed = Pop::caching(&origin, "cache = { key.headers = [\"x-forwarded-for\"] }");
    let told = Pop::caching(&origin, "forward = { forwarded = true }");
    for (pop, name, hit) in [
        (&plain, "X-Forwarded-For", false),
        (&keyed, "X-Forwarded-For", false),
        (&plain, "Via", false),
        (&plain, "X-Amz-Cf-Id", false),
        (&told, "Forwarded", false),
        (&plain, "Forwarded", true),
        (&plain, "X-Forwarded-Host", true),
        (&plain, "X-Forwarded-Proto", true),
        (&plain, "Host", true),
        (&plain, "User-Agent", true),
    ] {
        let path = format!("/{name}");
        let first = pop.get(&path);
        assert_eq!(first.flag("stored"), hit, "{name}: {:?}", first.cache());
        assert_eq!(first.param("detail").as_deref() == Some("edge-vary"), !hit, "{name}: {:?}", first.cache());
        assert_eq!(pop.get(&path).hit(), hit, "{name}");
    }
}

#[test]
fn a_value_cannot_pose_as_two() {
    let origin = Origin::start(|x| {
        let body = format!("{:?}|{:?}", x.field("x-a"), x.field("x-b"));
        x.reply("200 OK", "Cache-Control: max-age=60\r\nVary: X-A, X-B\r\n", body);
    });
    let pop = Pop::caching(&origin, FORWARD);
    let one = pop.get_with("/a", &[("X-A", "1x-b2"), ("X-B", "")]);
    let two = pop.get_with("/a", &[("X-A", "1"), ("X-B", "2")]);
    let three = pop.get_with("/a", &[("X-A", ""), ("X-B", "12")]);
    assert!(!two.hit() && !three.hit());
    assert_eq!(two.text(), "Some(\"1\")|Some(\"2\")");
    assert_ne!(one.text(), two.text());
}

#[test]
fn the_union_of_vary_fields_keeps_variants_apart() {
    let origin = Origin::start(|x| {
        let vary = if x.field("x-a").is_some() { "X-A, X-B" } else { "X-A" };
        let body = format!("{:?}{:?}", x.field("x-a"), x.field("x-b"));
        x.reply("200 OK", &format!("Cache-Control: max-age=60\r\nVary: {vary}\r\n"), body);
    });
    let pop = Pop::caching(&origin, FORWARD);
    for fields in [&[("X-A", "1"), ("X-B", "1")][..], &[("X-A", "1"), ("X-B", "2")], &[], &[("X-A", "1"), ("X-B", "1")]]
    {
        let reply = pop.get_with("/a", fields);
        let value = |name| fields.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        assert_eq!(reply.text(), format!("{:?}{:?}", value("X-A"), value("X-B")));
    }
}

/// A background request is HTTP/1.1 with a Host, whatever brought the viewer's; both lead to the same variant.
#[test]
fn a_refresh_for_http_2_reaches_the_variant_it_was_for() {
    let origin = Origin::counting("Cache-Control: max-age=0, stale-while-revalidate=600\r\nVary: Host\r\n");
    let pop = Pop::caching(&origin, "");
    let mut viewer = H2::plain(pop.http);
    assert_eq!(viewer.get("/a").body, b"v1");
    until("the refreshed answer", || (viewer.get("/a").body != b"v1").then_some(()));
    assert!(pop.get("/a").hit(), "the same host over HTTP/1.1");
}
