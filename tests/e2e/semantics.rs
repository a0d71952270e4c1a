//! Semantics: what an origin may answer, and what becomes of it when it should not have (RFC 9110, 9111, 9112).
//!
//! In: answers that are odd, contradictory or unasked for. Out: nothing wrong reaches a viewer or the cache. Never: a guess.

use crate::harness::raw::request;
use crate::harness::{H2, Origin, Pop, until};

#[test]
fn an_error_behind_a_stale_answer_does_not_take_its_place() {
    let renewals =
        ["max-age=0, stale-while-revalidate=600", "max-age=0, stale-while-revalidate=600, stale-if-error=600"];
    for control in renewals {
        for dies in [false, true] {
            let origin = Origin::start(move |x| match x.nth {
                0 => x.reply("200 OK", &format!("ETag: \"a\"\r\nCache-Control: {control}\r\n"), "good"),
                _ if dies => x.reset(),
                _ => x.reply("500 Internal", "Cache-Control: max-age=600\r\n", "bad"),
            });
            let pop = Pop::caching(&origin, "");
            assert_eq!(pop.get("/a").text(), "good");
            // The second background request can only begin after the first has ended.
            until("two background requests", || {
                let reply = pop.get("/a");
                assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{control}: {:?}", reply.cache());
                (origin.count() >= 5).then_some(())
            });
        }
    }
}

#[test]
fn a_304_nobody_asked_for_is_no_answer() {
    let origin = Origin::start(|x| x.head("304 Not Modified", "ETag: \"x\"\r\n"));
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.get("/a").status, 502);
    assert_eq!(pop.get_with("/b", &[("If-None-Match", "\"x\"")]).status, 502, "the viewer's condition did not go on");
    let passing = Pop::caching(&origin, "cache = false");
    assert_eq!(passing.get("/a").status, 502);
    assert_eq!(passing.get_with("/a", &[("If-None-Match", "\"x\"")]).status, 304);
}

#[test]
fn a_304_about_another_answer_changes_nothing() {
    for control in ["max-age=0", "no-cache", "max-age=0, must-revalidate", "max-age=0, stale-if-error=600"] {
        let origin = Origin::start(move |x| match (x.nth, x.field("if-none-match")) {
            (0, _) => x.reply("200 OK", &format!("ETag: \"v1\"\r\nCache-Control: {control}\r\n"), "v1"),
            (_, Some(_)) => x.head("304 Not Modified", "ETag: \"v2\"\r\nCache-Control: max-age=600\r\n"),
            (_, None) => x.reply("200 OK", "ETag: \"v2\"\r\nCache-Control: max-age=600\r\n", "v2"),
        });
        let pop = Pop::caching(&origin, "");
        pop.get("/a");
        for _ in 0..2 {
            let reply = pop.get("/a");
            assert_eq!(
                (reply.status, reply.text().as_str(), reply.field("etag")),
                (200, "v2", Some("\"v2\"")),
                "{control}: asked for again without conditions"
            );
        }
        let had: Vec<bool> = origin.requests().iter().map(|seen| seen.field("if-none-match").is_some()).collect();
        assert_eq!(had[..3], [false, true, false], "{control}");
        until("the new answer to be kept", || pop.get("/a").hit().then_some(()));
    }
}

/// What the viewer has, and wants of it, is settled by the answer that came.
#[test]
fn a_304_about_another_answer_is_no_answer_to_the_viewers_conditions() {
    let origin = Origin::start(|x| match (x.nth, x.field("if-none-match")) {
        (0, _) => x.reply("200 OK", "ETag: \"v1\"\r\nCache-Control: no-cache\r\n", "v1"),
        (_, Some(_)) => x.head("304 Not Modified", "ETag: \"v2\"\r\n"),
        (_, None) => x.reply("200 OK", "ETag: \"v2\"\r\nCache-Control: no-cache\r\n", "v2"),
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let had = pop.get_with("/a", &[("If-None-Match", "\"v2\"")]);
    assert_eq!((had.status, had.field("etag")), (304, Some("\"v2\"")));
}

#[test]
fn a_compressed_object_is_renewed_by_the_origins_strong_tag() {
    let page = "<p>words</p>".repeat(500);
    let origin = Origin::start(move |x| match x.field("if-none-match").is_some_and(|tag| tag.ends_with("\"v1\"")) {
        true => {
            let fields = "ETag: \"v1\"\r\nCache-Control: max-age=600\r\nDigest: sha-256=plain\r\n";
            x.head("304 Not Modified", fields);
        }
        false => {
            x.reply("200 OK", "ETag: \"v1\"\r\nContent-Type: text/html\r\nCache-Control: max-age=0\r\n", &page);
        }
    });
    let pop = Pop::caching(&origin, "compress = true");
    let gzip = [("Accept-Encoding", "gzip")];
    let first = pop.get_with("/a", &gzip);
    let renewed = pop.get_with("/a", &gzip);
    assert_eq!(renewed.param("fwd-status").as_deref(), Some("304"));
    assert!(renewed.flag("stored"), "{:?}", renewed.cache());
    let hit = pop.get_with("/a", &gzip);
    assert!(hit.hit(), "{:?}", hit.cache());
    for reply in [&renewed, &hit] {
        assert_eq!(reply.body, first.body);
        assert_eq!(reply.field("etag"), Some("W/\"v1\""), "weak: the bytes are ours");
        assert_eq!(reply.field("digest"), None, "a digest of other bytes");
        assert_eq!(reply.field("vary"), Some("accept-encoding"));
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_field_hidden_from_the_origin_selects_no_variant() {
    let origin = Origin::start(|x| {
        let body = x.field("x-lang").unwrap_or("none").to_owned();
        x.reply("200 OK", "Vary: X-Lang\r\nCache-Control: max-age=600\r\n", body);
    });
    let pop = Pop::caching(&origin, "forward = { headers = \"all\" }");
    let hidden = pop.get_with("/a", &[("X-Lang", "de"), ("Connection", "x-lang")]);
    assert_eq!((hidden.text().as_str(), hidden.flag("stored")), ("none", false));
    assert_eq!(pop.get_with("/a", &[("X-Lang", "de")]).text(), "de");
}

#[test]
fn interim_answers_are_no_final_ones() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
    let origin = Origin::start(move |x| {
        x.write(hints);
        match x.request.target.as_str() {
            "/dies" => x.reset(),
            _ => x.reply("200 OK", "", "fine"),
        }
    });
    let pop = Pop::caching(&origin, "methods = \"all\"");
    let mut raw = pop.raw();
    raw.send(request("POST", "/a", &[], b"x"));
    let interim = raw.head().unwrap();
    assert_eq!((interim.status, interim.field("link"), interim.field("x-hop")), (103, Some("</a>"), None));
    assert_eq!(raw.reply("POST").text(), "fine");
    assert_eq!(raw.get("/b").text(), "fine", "the connection goes on");
    let error = pop.send("POST", "/dies", &[], b"x");
    assert_eq!(error.status, 502, "an interim answer leaves room for the error");
    let mut old = pop.raw();
    old.send("POST /a HTTP/1.0\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(old.head().unwrap().status, 200, "HTTP/1.0 knows no interim answers");
}

#[test]
fn an_origin_that_is_gone_after_100_continue_is_an_error() {
    let pop = Pop::start(format!(
        "[[origin]]\nname = \"o\"\nurl = \"http://{}\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n",
        crate::harness::pop::free_port()
    ));
    let mut raw = pop.raw();
    raw.send(request("POST", "/a", &[("Expect", "100-continue"), ("Content-Length", "2")], b""));
    assert_eq!(raw.head().unwrap().status, 100);
    let error = raw.reply("POST");
    assert_eq!((error.status, error.fwd().as_str()), (502, "method"), "{:?}", error.cache());
}

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    for (coding, status) in [("gzip, chunked", 502), ("gzip", 502), ("chunked, chunked", 502), ("Chunked", 200)] {
        let origin = Origin::start(move |x| {
            let fields = format!("Cache-Control: max-age=600\r\nTransfer-Encoding: {coding}\r\n");
            x.head("200 OK", &fields);
            x.chunk("abc");
            x.last_chunk("");
            x.close();
        });
        let pop = Pop::caching(&origin, "");
        assert_eq!(pop.get("/a").status, status, "{coding}");
        assert_eq!(pop.get("/a").status, status, "{coding}, again");
    }
    // No coding at all: ends with the connection, so it is never kept.
    let origin = Origin::start(|x| {
        x.write("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: identity\r\n\r\nabc");
        x.close();
    });
    let pop = Pop::caching(&origin, "");
    for _ in 0..2 {
        let reply = pop.get("/a");
        assert_eq!((reply.text().as_str(), reply.flag("stored"), reply.hit()), ("abc", false, false));
    }
}

#[test]
fn an_error_tells_a_viewer_nothing_of_the_origins_bytes() {
    let origin = Origin::start(|x| {
        x.write("HTTP/1.1 200 OK\r\nSet-Cookie: secret=1\r\nno colon here\r\n\r\n");
        x.close();
    });
    let pop = Pop::caching(&origin, "methods = \"all\"");
    for reply in [pop.get("/a"), pop.send("POST", "/a", &[], b"x")] {
        assert_eq!(reply.status, 502);
        assert!(!reply.text().contains("secret") && !reply.text().contains("127.0.0.1"), "{}", reply.text());
    }
    let line = pop.log_line("127.0.0.1");
    assert!(line.to_string().contains("OriginInvalid") || line.to_string().contains("invalid"), "{line}");
}

#[test]
fn a_page_asked_for_by_a_viewer_does_not_wait_for_itself() {
    let origin = Origin::start(|x| x.reply("404 Not Found", "", "raw"));
    // Far beyond the patience of this test.
    let pop = Pop::start(format!(
        "{}[cache]\ncollapse_timeout = \"10m\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
         errors = [{{ status = [404], page = \"/errors/404.html\", ttl = \"10s\" }}]\n",
        origin.config("o")
    ));
    let reply = pop.get("/errors/404.html");
    assert_eq!((reply.status, reply.text().as_str()), (404, "raw"));
}

#[test]
fn error_pages_reach_viewers_over_h2() {
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/errors/404.html" => x.reply("200 OK", "Content-Type: text/html\r\n", "<h1>lost</h1>"),
        _ => x.reply("404 Not Found", "", "raw"),
    });
    let pop = Pop::caching(&origin, "errors = [{ status = [404], page = \"/errors/404.html\", ttl = \"10s\" }]");
    let mut viewer = H2::plain(pop.http);
    let reply = viewer.get("/nowhere");
    assert_eq!((reply.status, reply.body.as_slice()), (404, &b"<h1>lost</h1>"[..]));
}

#[test]
fn a_stale_answer_over_h2_is_renewed_too() {
    for window in ["stale-while-revalidate=600", "stale-if-error=600"] {
        let origin = Origin::start(move |x| {
            let body = format!("v{}", x.nth + 1);
            x.reply("200 OK", &format!("Cache-Control: max-age={}, {window}\r\n", x.nth * 600), body);
        });
        let pop = Pop::caching(&origin, "cache = { soft_timeout = \"30s\" }");
        let mut viewer = H2::plain(pop.http);
        viewer.get("/a");
        let renewed = until("the renewed answer", || {
            let reply = viewer.get("/a");
            reply.body.starts_with(b"v2").then_some(reply)
        });
        assert_eq!(renewed.status, 200);
        assert_eq!(origin.count(), 2, "{window}");
        let line = pop.log_line("\"status\":200");
        assert_eq!(line["protocol"], "HTTP/2.0");
    }
}

#[test]
fn both_lanes_take_a_no_store_request_past_the_cache() {
    let origin = Origin::counting("Cache-Control: max-age=600\r\n");
    let pop = Pop::caching(&origin, "cache = { request_directives = \"honor\" }");
    pop.get("/a");
    // `Via` is what sends a plain hit down the full path.
    for more in [&[][..], &[("Via", "1.1 x")][..]] {
        let fields = [&[("Cache-Control", "no-store")], more].concat();
        let reply = pop.get_with("/a", &fields);
        assert_eq!((reply.fwd().as_str(), reply.flag("stored")), ("request", false), "{:?}", reply.cache());
    }
    let asked = pop.get_with("/a", &[("Cache-Control", "no-cache")]);
    assert_eq!(asked.fwd(), "request", "fresh, but the viewer wanted a newer one");
    assert_eq!(origin.count(), 4);
}

#[test]
fn an_unsafe_request_to_one_host_changes_the_object_of_all() {
    let origin = Origin::counting("Cache-Control: max-age=600\r\n");
    let pop = Pop::caching(&origin, "methods = \"all\"\ncache = { key = { ignore_host = true } }");
    pop.get("/a");
    pop.send("POST", "/a", &[("Host", "other.example")], b"x");
    assert_eq!(pop.get("/a").text(), "v3");
}

#[test]
fn a_body_that_cannot_be_sent_again_does_not_move_on() {
    let broken = Origin::start(|x| x.reply("500 Internal", "", "bad"));
    let next = Origin::start(|x| {
        let body = x.request.body.len().to_string();
        x.reply("200 OK", "", body);
    });
    let pop = Pop::start(format!(
        "{}{}[[origin_group]]\nname = \"g\"\norigins = [\"a\", \"b\"]\nfailover = [500]\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"g\"\nmethods = \"all\"\n",
        broken.config("a"),
        next.config("b")
    ));
    let small = pop.send("OPTIONS", "/a", &[], &[b'x'; 1000]);
    assert_eq!((small.status, small.text().as_str()), (200, "1000"));
    let large = pop.send("OPTIONS", "/a", &[], &[b'x'; 500_000]);
    assert_eq!(large.status, 500, "half a body would be another request");
}

#[test]
fn a_body_ended_by_the_connection_is_announced_so_to_http_1_0() {
    let origin = Origin::start(|x| {
        x.head("200 OK", "Transfer-Encoding: chunked\r\n");
        x.chunk("abc");
        x.last_chunk("");
    });
    let pop = Pop::caching(&origin, "cache = false");
    let mut raw = pop.raw();
    raw.send("GET /a HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n");
    let reply = raw.reply("GET");
    assert_eq!((reply.text().as_str(), reply.field("connection")), ("abc", Some("close")));
}

/// RFC 8941 §4.2: a list with one broken member is ignored whole, ours with it.
#[test]
fn a_broken_cache_status_does_not_take_ours_along() {
    let origin = Origin::fixed(
        "Cache-Control: max-age=60\r\nCache-Status: HIT from cache\r\nCache-Status: Shield; hit\r\nCache-Status: x; \"\r\n",
        "body",
    );
    for behavior in ["", "cache = false"] {
        let pop = Pop::caching(&origin, behavior);
        // From the origin, then where there is a cache from there, by the fast lane and by the full path.
        for fields in [&[][..], &[], &[("Range", "bytes=0-0")]] {
            let reply = pop.get_with("/a", fields);
            let lines = reply.all("cache-status");
            assert!(
                lines.len() == 2 && lines[0] == "Shield; hit" && lines[1].starts_with("TST; "),
                "{behavior}: {lines:?}"
            );
        }
    }
}

#[test]
fn why_an_answer_was_not_stored_is_told_in_words_of_ours() {
    let origin = Origin::start(|x| match x.nth {
        0 => x.reply("200 OK", "Cache-Control: max-age=60\r\nSet-Cookie: a=1\r\n", "body"),
        _ => x.reply("200 OK", "Cache-Control: max-age=60\r\n", "body"),
    });
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.get("/a").param("detail").as_deref(), Some("set-cookie"));
    // What could not be stored once goes past the cache, and a HEAD has nothing to store.
    let head = pop.send("HEAD", "/a", &[], b"");
    assert_eq!(head.param("detail").as_deref(), Some("deferred"), "{:?}", head.cache());
}
