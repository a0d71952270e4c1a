//! Smuggling: a request that can be read in two ways is read in none (RFC 9112 §6.3, §11.2).
//!
//! In: malformed and ambiguous HTTP/1.1. Out: 400, the connection closed, nothing at the origin. Never: repair.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::harness::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, frame, get_block, literal};
use crate::harness::{H2, HOST, Origin, Pop, Raw, until};

/// What must be refused; `{H}` stands for a good Host line.
const REFUSED: &[(&str, &str)] = &[
    ("both lengths", "POST / HTTP/1.1\r\n{H}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "both lengths, other order",
        "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    ),
    ("two different lengths", "POST / HTTP/1.1\r\n{H}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
    ("a list of lengths", "POST / HTTP/1.1\r\n{H}Content-Length: 4, 5\r\n\r\nabcde"),
    ("a signed length", "POST / HTTP/1.1\r\n{H}Content-Length: +4\r\n\r\nabcd"),
    ("a negative length", "POST / HTTP/1.1\r\n{H}Content-Length: -1\r\n\r\n"),
    ("a hexadecimal length", "POST / HTTP/1.1\r\n{H}Content-Length: 0x4\r\n\r\nabcd"),
    ("an empty length", "POST / HTTP/1.1\r\n{H}Content-Length: \r\n\r\n"),
    ("a length beyond 64 bits", "POST / HTTP/1.1\r\n{H}Content-Length: 99999999999999999999999\r\n\r\n"),
    ("a length with a space in it", "POST / HTTP/1.1\r\n{H}Content-Length: 1 1\r\n\r\nabcdefghijk"),
    ("an unknown coding", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: gzip\r\n\r\n"),
    ("chunked not last", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("chunked twice", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    (
        "two coding lines",
        "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    ("a coding with a vertical tab", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"),
    ("a misspelt coding", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("coding in HTTP/1.0", "POST / HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a space before the colon", "POST / HTTP/1.1\r\n{H}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a space before a length's colon", "POST / HTTP/1.1\r\n{H}Content-Length : 4\r\n\r\nabcd"),
    ("a tab before the colon", "GET / HTTP/1.1\r\n{H}X-A\t: 1\r\n\r\n"),
    ("bare LF after the request line", "GET / HTTP/1.1\n{H}\r\n"),
    ("bare LF between fields", "GET / HTTP/1.1\r\n{H}X-A: 1\nX-B: 2\r\n\r\n"),
    ("bare LF at the end", "GET / HTTP/1.1\r\n{H}\n"),
    ("bare CR in a value", "GET / HTTP/1.1\r\n{H}X-A: 1\rX-B: 2\r\n\r\n"),
    ("NUL in a value", "GET / HTTP/1.1\r\n{H}X-A: 1\x002\r\n\r\n"),
    ("NUL in a name", "GET / HTTP/1.1\r\n{H}X\0A: 1\r\n\r\n"),
    ("NUL in the target", "GET /\0 HTTP/1.1\r\n{H}\r\n"),
    ("obs-fold", "GET / HTTP/1.1\r\n{H}X-A: 1\r\n 2\r\n\r\n"),
    ("obs-fold on the first field", "GET / HTTP/1.1\r\n X-A: 1\r\n{H}\r\n"),
    ("a folded coding", "POST / HTTP/1.1\r\n{H}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\n{H}Host: other.example\r\n\r\n"),
    ("the same host twice", "GET / HTTP/1.1\r\n{H}{H}\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ("a host with a path", "GET / HTTP/1.1\r\nHost: shop.example/evil\r\n\r\n"),
    ("a host with userinfo", "GET / HTTP/1.1\r\nHost: evil@shop.example\r\n\r\n"),
    ("a host with a space", "GET / HTTP/1.1\r\nHost: shop.example evil\r\n\r\n"),
    ("a host with a comma", "GET / HTTP/1.1\r\nHost: shop.example, other.example\r\n\r\n"),
    ("a host with a bad port", "GET / HTTP/1.1\r\nHost: shop.example:http\r\n\r\n"),
    ("absolute form with another host", "GET http://other.example/ HTTP/1.1\r\n{H}\r\n"),
    ("a target without a slash", "GET evil HTTP/1.1\r\n{H}\r\n"),
    ("a target that begins with a fragment", "GET # HTTP/1.1\r\n{H}\r\n"),
    ("a fragment in the target", "GET /a#b HTTP/1.1\r\n{H}\r\n"),
    ("a space in the target", "GET /a b HTTP/1.1\r\n{H}\r\n"),
    ("two spaces", "GET  / HTTP/1.1\r\n{H}\r\n"),
    ("a tab for a space", "GET\t/ HTTP/1.1\r\n{H}\r\n"),
    ("a control character in the target", "GET /\u{1} HTTP/1.1\r\n{H}\r\n"),
    ("a field without a colon", "GET / HTTP/1.1\r\n{H}X-A\r\n\r\n"),
    ("an empty field name", "GET / HTTP/1.1\r\n{H}: 1\r\n\r\n"),
    ("a name with a space", "GET / HTTP/1.1\r\n{H}X A: 1\r\n\r\n"),
    ("a name with a slash", "GET / HTTP/1.1\r\n{H}X/A: 1\r\n\r\n"),
    ("a method with a colon", "GE:T / HTTP/1.1\r\n{H}\r\n"),
    ("no version", "GET /\r\n{H}\r\n"),
    ("a version with one digit", "GET / HTTP/1\r\n{H}\r\n"),
    ("lower-case http", "GET / http/1.1\r\n{H}\r\n"),
    ("version 1.12", "GET / HTTP/1.12\r\n{H}\r\n"),
    ("a size that is no number", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
    ("a size with a sign", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n"),
    ("a size with 0x", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
    ("an empty size", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"),
    (
        "a size that overflows",
        "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    ),
    ("bare LF after a size", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"),
    (
        "a chunk longer than its size",
        "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    ),
    ("bare LF after chunk data", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n"),
    ("an extension with bare LF", "POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n"),
];

/// A second request behind each of them: an origin that sees it was reached by smuggling.
const BEHIND: &str = "GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// Sends and reads all there is; the status of the first answer, 0 for none.
fn first_status(raw: &mut Raw, text: &str) -> (u16, String) {
    let _ = raw.try_send(text);
    raw.finish();
    let said = String::from_utf8_lossy(&raw.rest()).into_owned();
    let status = said.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok()).unwrap_or(0);
    (status, said)
}

/// A head that has nothing wrong: what is refused behind it is a chunk.
const STREAMING: &str = "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Keeps the bytes of every body as they came until their sender ended the connection; answers what has no body.
fn listening() -> (Origin, Arc<Mutex<Vec<Vec<u8>>>>) {
    let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&bodies);
    let origin = Origin::unread(move |x| {
        if x.field("transfer-encoding").is_none() && x.field("content-length").is_none() {
            return x.reply("200 OK", "Cache-Control: no-store\r\n", "reached");
        }
        let body = std::iter::from_fn(|| x.read()).flatten().collect();
        kept.lock().push(body);
        x.close();
    });
    (origin, bodies)
}

#[test]
fn whatever_can_be_read_in_two_ways_is_refused_and_closed() {
    let (origin, bodies) = listening();
    let pop = Pop::caching(&origin, "methods = \"all\"\nforward = { headers = \"all\" }");
    let mut wrong = Vec::new();
    for (name, text) in REFUSED {
        let text = text.replace("{H}", "Host: shop.example\r\n") + BEHIND;
        let before = origin.count();
        let mut viewer = pop.raw();
        let _ = viewer.try_send(&text);
        // The viewer leaves its side open: that the connection ends is the edge's doing.
        let status = viewer.try_reply("POST").map_or(0, |reply| reply.status);
        let closed = viewer.closed() && viewer.rest().is_empty();
        if status != 400 || !closed {
            wrong.push(format!("{name}: status {status}, closed: {closed}"));
        }
        // A head that is fine may have gone on before its chunks turned out bad. Nothing else may.
        let streams = text.starts_with(STREAMING);
        let reached = origin.requests()[before..].iter().map(|seen| seen.target.clone()).collect::<Vec<_>>();
        if !streams && !reached.is_empty() {
            wrong.push(format!("{name}: reached the origin as {reached:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), REFUSED.len(), wrong.join("\n"));
    assert_eq!(pop.get("/fine").text(), "reached");
    // Now that all of them are over: whatever went on was cut off before its end, and nothing followed it.
    let begun = origin.requests().iter().filter(|seen| seen.method == "POST").count();
    until("the origin to see them end", || (bodies.lock().len() == begun).then_some(()));
    for body in bodies.lock().iter() {
        let body = String::from_utf8_lossy(body);
        assert!(!body.contains("0\r\n\r\n") && !body.contains("smuggled"), "whole at the origin: {body:?}");
    }
    let targets: Vec<_> = origin.requests().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets.iter().filter(|target| *target != "/").collect::<Vec<_>>(), ["/fine"]);
}

#[test]
fn a_bad_chunk_behind_good_ones_leaves_the_request_unfinished() {
    let (origin, bodies) = listening();
    let pop = Pop::caching(&origin, "methods = \"all\"");
    for (n, bad) in
        ["zz\r\nabc", "+3\r\nabc", "3\nabc", "3\r\nabcdef", "3\r\nabc\n0", "3;a\nb\r\nabc"].into_iter().enumerate()
    {
        let mut viewer = pop.raw();
        viewer.send(format!("{STREAMING}3\r\nabc\r\n"));
        origin.wait(n + 1);
        // The edge may be gone before the last of it is sent.
        let _ = viewer.try_send(format!("{bad}\r\n0\r\n\r\n{BEHIND}"));
        // The request is at the origin by now: an answer may come or not, but no other one.
        let status = viewer.try_reply("POST").map_or(0, |reply| reply.status);
        assert!(matches!(status, 0 | 400), "{bad:?}: {status}");
        assert!(viewer.closed() && viewer.rest().is_empty(), "{bad:?}: and closed");
        until("the origin to see it end", || (bodies.lock().len() == n + 1).then_some(()));
    }
    assert_eq!(pop.get("/fine").text(), "reached");
    for body in bodies.lock().iter() {
        let body = String::from_utf8_lossy(body);
        assert!(!body.contains("0\r\n\r\n") && !body.contains("smuggled"), "whole at the origin: {body:?}");
    }
    assert!(origin.requests().iter().all(|seen| seen.target != "/smuggled"));
}

#[test]
fn what_only_looks_odd_is_served() {
    let origin = Origin::start(|x| {
        let body = format!("{}|{}", x.request.target, String::from_utf8_lossy(&x.request.body));
        x.reply("200 OK", "Cache-Control: no-store\r\n", body);
    });
    let pop = Pop::caching(&origin, "methods = \"all\"");
    let table = [
        ("absolute form", "GET http://shop.example/a HTTP/1.1\r\nHost: shop.example\r\n\r\n", "/a|"),
        ("an empty value", "GET /a HTTP/1.1\r\nHost: shop.example\r\nX-A:\r\n\r\n", "/a|"),
        ("spaces around a value", "GET /a HTTP/1.1\r\nHost: \t shop.example \t\r\n\r\n", "/a|"),
        ("an empty line before the request", "\r\nGET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n", "/a|"),
        (
            "chunk extensions",
            "POST /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
            "/a|abc",
        ),
        (
            "trailers",
            "POST /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
            "/a|abc",
        ),
        (
            "coding in upper case",
            "POST /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "/a|abc",
        ),
        ("a port in the host", "GET /a HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n", "/a|"),
        ("bytes above ASCII in a value", "GET /a HTTP/1.1\r\nHost: shop.example\r\nX-A: caf\u{e9}\r\n\r\n", "/a|"),
    ];
    for (name, text, want) in table {
        let mut viewer = pop.raw();
        viewer.send(text);
        let method = if text.starts_with("POST") { "POST" } else { "GET" };
        let reply = viewer.reply(method);
        assert_eq!((reply.status, reply.text().as_str()), (200, want), "{name}");
        viewer.send(BEHIND);
        assert_eq!(viewer.reply("GET").text(), "/smuggled|", "{name}: the connection is in step");
    }
}

#[test]
fn connect_and_unknown_versions_are_refused() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", "reached");
    let pop = Pop::caching(&origin, "methods = \"all\"");
    for text in [
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    ] {
        let (status, said) = first_status(&mut pop.raw(), text);
        assert!((400..=501).contains(&status), "{text:?}: {said:?}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_length_in_an_answer_to_head_does_not_shift_the_connection() {
    let origin = Origin::start(|x| {
        if x.request.method == "HEAD" {
            x.write("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 100\r\n\r\n");
        } else {
            x.reply("200 OK", "Cache-Control: no-store\r\n", "body");
        }
    });
    let pop = Pop::caching(&origin, "cache = false");
    let mut viewer = pop.raw();
    for _ in 0..3 {
        assert!(viewer.ask("HEAD", "/a", &[]).body.is_empty());
        assert_eq!(viewer.get("/a").text(), "body");
    }
}

/// RFC 9113 §8.3.1, RFC 9110 §8.6: what one reader of an HTTP/2 request would take for another request than the next one does.
#[test]
fn http_2_that_can_be_read_in_two_ways_reaches_no_origin() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = Pop::caching(&origin, "methods = \"all\"");
    let refused: &[(&str, &[(&str, &str)])] = &[
        ("another host", &[("host", "other.example")]),
        ("two hosts", &[("host", HOST), ("host", HOST)]),
        ("an empty host", &[("host", "")]),
        ("two lengths", &[("content-length", "4"), ("content-length", "3")]),
        ("a list of lengths", &[("content-length", "4, 3")]),
    ];
    for (what, fields) in refused {
        // Reset is refused too, be it before the client has sent its body.
        if let Ok(reply) = H2::plain(pop.http).try_send("POST", "/a", fields, b"abcd", &[]) {
            assert_eq!(reply.status, 400, "{what}");
        }
        assert_eq!(origin.count(), 0, "{what}");
    }
    let reply = H2::plain(pop.http).send("POST", "/a", &[("host", HOST), ("content-length", "4")], b"abcd", &[]);
    assert_eq!((reply.status, origin.count()), (200, 1));
}

/// RFC 9113 §8.2.2.
#[test]
fn http_2_with_fields_of_a_connection_reaches_no_origin() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = Pop::caching(&origin, "");
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("proxy-connection", "close"),
        ("keep-alive", "timeout=5"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        let mut viewer = Frames::connect(pop.http, &[]);
        let block = [get_block("/a"), literal(name, value)].concat();
        assert!(viewer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)));
        let ended =
            std::iter::from_fn(|| viewer.next()).find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY | HEADERS));
        assert!(ended.is_some_and(|frame| frame.kind != HEADERS), "{name}");
        assert_eq!(origin.count(), 0, "{name}");
    }
}

/// A CGI, and who decodes names like one, takes `_` for `-` (RFC 3875 §4.1.18): such a field would be a second frame.
#[test]
fn no_double_of_a_framing_field_reaches_an_origin() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", "reached");
    for behavior in
        ["", "forward = { headers = \"all\" }", "cache = false", "cache = false\nforward = { headers = \"all\" }"]
    {
        let pop = Pop::caching(&origin, &format!("methods = \"all\"\n{behavior}"));
        let doubles =
            [("Transfer_Encoding", "chunked"), ("CONTENT_LENGTH", "40"), ("keep_alive", "x"), ("X_Mine", "1")];
        // The last is the pass-through lane's where nothing is stored.
        for (method, body) in [("POST", &b"abcd"[..]), ("GET", b"")] {
            assert_eq!(pop.send(method, "/a", &doubles, body).status, 200);
            let seen = origin.last();
            let left: Vec<_> = seen.fields.iter().map(|(name, _)| &**name).filter(|name| name.contains('_')).collect();
            assert_eq!((left, &*seen.body), (vec!["x_mine"], body), "{behavior} {method}");
        }
    }
}
