//! Hits: what the cache answers by itself, and what it says about it (RFC 9111 §4, RFC 9211).
//!
//! In: the same request twice. Out: the same content, once from the origin. Never: a second look at the origin.

use crate::harness::{Origin, Pop};

#[test]
fn a_miss_is_stored_and_the_next_request_is_a_hit() {
    let origin = Origin::start(|x| {
        x.reply("200 OK", "Cache-Control: max-age=60\r\nContent-Type: text/plain\r\nX-Own: yes\r\n", "hello");
    });
    let pop = Pop::caching(&origin, "");

    let miss = pop.get("/a");
    assert_eq!((miss.status, miss.text().as_str()), (200, "hello"));
    assert!(!miss.hit());
    assert_eq!(miss.fwd(), "uri-miss");
    assert!(miss.flag("stored"), "{:?}", miss.cache());
    assert!(miss.field("x-cache").unwrap().starts_with("Miss"));

    let hit = pop.get("/a");
    assert_eq!((hit.status, hit.text().as_str()), (200, "hello"));
    assert!(hit.hit());
    assert!(hit.field("x-cache").unwrap().starts_with("Hit"));
    assert_eq!(hit.field("x-own"), Some("yes"));
    assert_eq!(hit.field("content-type"), Some("text/plain"));
    assert_eq!(hit.field("content-length"), Some("5"));
    assert!(hit.age().is_some(), "a stored answer carries Age (RFC 9111 §5.1)");
    assert!(hit.field("via").is_some());
    assert_eq!(origin.count(), 1);
}

/// What `curl --http2` sends of a plain URL: an offer that is not taken, on an ordinary request (RFC 9110 §7.8).
#[test]
fn an_offer_of_h2c_is_an_ordinary_request() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let pop = Pop::caching(&origin, "");
    let offer =
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")];
    assert!(!pop.get_with("/a", &offer).hit());
    let again = pop.get_with("/a", &offer);
    assert!(again.hit() && again.text() == "hello", "{:?}", again.field("cache-status"));
    assert_eq!((origin.count(), origin.last().field("upgrade")), (1, None));
}

#[test]
fn many_hits_on_one_connection_keep_their_framing() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "0123456789");
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    for n in 0..200 {
        let reply = viewer.get("/same");
        assert_eq!(reply.body, b"0123456789", "answer {n}");
        assert_eq!(reply.hit(), n > 0, "answer {n}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn head_is_answered_from_a_stored_get() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let head = pop.send("HEAD", "/a", &[], b"");
    assert!(head.hit());
    assert_eq!(head.field("content-length"), Some("5"));
    assert!(head.body.is_empty());
    assert_eq!(origin.count(), 1);
}

#[test]
fn head_first_fills_the_cache_for_get() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    let head = viewer.ask("HEAD", "/a", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(viewer.get("/a").text(), "hello", "no byte of a body followed the HEAD answer");
}

#[test]
fn paths_and_hosts_do_not_share_objects() {
    let origin = Origin::start(|x| {
        let body = format!("{}{}", x.field("host").unwrap_or_default(), x.request.target);
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", body);
    });
    let pop = Pop::caching(&origin, "");
    for (host, path) in [("one.example", "/a"), ("two.example", "/a"), ("one.example", "/A"), ("one.example", "/a/")] {
        assert!(!pop.get_with(path, &[("Host", host)]).hit(), "{host}{path} is its own object");
    }
    assert!(pop.get_with("/a", &[("Host", "ONE.example")]).hit(), "host names fold case (RFC 9110 §4.2.3)");
    assert_eq!(origin.count(), 4);
}

#[test]
fn an_answer_of_http_1_0_viewers_has_no_chunks() {
    let origin = Origin::start(|x| {
        x.head("200 OK", "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n");
        x.chunk("hello ");
        x.chunk("world");
        x.last_chunk("");
    });
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send("GET /a HTTP/1.0\r\nHost: shop.example\r\n\r\n");
    let reply = viewer.reply("GET");
    assert_eq!(reply.field("transfer-encoding"), None);
    assert_eq!(reply.text(), "hello world");
}

#[test]
fn large_and_small_objects_are_the_same_bytes_again() {
    for size in [0, 1, 1023, 65_536, 3_000_001] {
        let body: Vec<u8> = (0..size).map(|n: usize| (n * 31 % 251) as u8).collect();
        let copy = body.clone();
        let origin = Origin::start(move |x| x.reply("200 OK", "Cache-Control: max-age=60\r\n", &copy));
        let pop = Pop::caching(&origin, "");
        assert_eq!(pop.get("/f").body, body, "{size} bytes, miss");
        let hit = pop.get("/f");
        assert!(hit.hit(), "{size} bytes");
        assert_eq!(hit.body, body, "{size} bytes, hit");
    }
}
