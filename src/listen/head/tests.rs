//! What a head may be, as tables and as a property.

use super::super::tests::limits;
use super::*;
use proptest::prelude::*;

/// One line about what `sent` parses to: the target, host, framing and flags, or the refusal.
fn reading(sent: &[u8], limits: &Limits) -> String {
    let mut slots = slots();
    match parse(sent, &mut slots, limits) {
        Parsed::Partial => "partial".into(),
        Parsed::Refused(refusal) => refusal.to_string(),
        Parsed::Complete(request) => {
            let mut line = format!(
                "{} {} {} 1.{} {:?}",
                request.head.method, request.head.target, request.head.host, request.head.minor, request.framing
            );
            for (flag, set) in
                [(" close", !request.keep_alive), (" expect", request.expect_continue), (" upgrade", request.upgrade)]
            {
                line.push_str(if set { flag } else { "" });
            }
            if request.len < sent.len() {
                line.push_str(&format!(" +{}", sent.len() - request.len));
            }
            line
        }
    }
}

fn table(rows: &[(&str, &str)]) {
    for (sent, want) in rows {
        assert_eq!(reading(sent.as_bytes(), &limits()), *want, "{sent:?}");
    }
}

/// `GET / HTTP/1.1` with a Host and these fields.
fn with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn fields_table(rows: &[(&str, &str)]) {
    for (fields, want) in rows {
        assert_eq!(reading(with(fields).as_bytes(), &limits()), *want, "{fields:?}");
    }
}

#[test]
fn request_lines() {
    table(&[
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / h 1.1 None"),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / h 1.1 None"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET", "GET / h 1.1 None +3"),
        ("PURGE /a?b HTTP/1.1\r\nhOST:h:80 \t\r\n\r\n", "PURGE /a?b h:80 1.1 None"),
        ("GET / HTTP/1.0\r\n\r\n", "GET /  1.0 None close"),
        ("GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n", "GET / h 1.0 None"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * h 1.1 None"),
        ("GET http://h/a HTTP/1.1\r\nHost: H\r\n\r\n", "GET /a H 1.1 None"),
        ("GET http://h/a HTTP/1.0\r\n\r\n", "GET /a h 1.0 None close"),
        ("GET http://h/a HTTP/1.1\r\n\r\n", "400: no Host"),
        ("GET http://h/a HTTP/1.1\r\nHost: g\r\n\r\n", "400: Host differs from the request target"),
        ("GET http://h:80/a HTTP/1.1\r\nHost: h\r\n\r\n", "400: Host differs from the request target"),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid request target"),
        ("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "501: CONNECT is not served here"),
        ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid byte in the request target"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid byte in the request target"),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid HTTP version"),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid request line"),
        ("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid HTTP version"),
        ("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid request line"),
        (" GET / HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid request line"),
        ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid request line"),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "400: CR without LF"),
        ("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", "400: invalid request line"),
        ("GET /\r\n\r\n", "400: invalid request line"),
        ("GET / HTTP/0.9\r\n\r\n", "505: HTTP version not supported"),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505: HTTP version not supported"),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505: HTTP version not supported"),
        ("GET / HTTP/11\r\nHost: h\r\n\r\n", "400: invalid HTTP version"),
        ("GET / http/1.1\r\nHost: h\r\n\r\n", "400: invalid HTTP version"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400: empty line before the request"),
        ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400: empty line before the request"),
        ("\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400: empty line before the request"),
        ("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400: empty line before the request"),
        ("\x16\x03\x01\x02\x00", "400: invalid request line"),
    ]);
}

#[test]
fn line_ends() {
    table(&[
        ("GET / HTTP/1.1\nHost: h\r\n\r\n", "400: line end without CR"),
        ("GET / HTTP/1.1\r\nHost: h\n\r\n", "400: line end without CR"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n", "400: line end without CR"),
        ("GET / HTTP/1.1\r\nHost: h\n\n", "400: line end without CR"),
        ("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "400: invalid header field value"),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", "400: invalid header field value"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\rX", "400: CR without LF"),
    ]);
}

#[test]
fn fields() {
    fields_table(&[
        ("A: b\r\n", "GET / h 1.1 None"),
        ("A:\r\nB: \t\r\n", "GET / h 1.1 None"),
        ("A: \u{e9}\r\n", "GET / h 1.1 None"),
        ("A : b\r\n", "400: invalid header field name"),
        ("A\t: b\r\n", "400: invalid header field name"),
        (": b\r\n", "400: invalid header field name"),
        ("A\r\n", "400: invalid header field name"),
        ("A b: c\r\n", "400: invalid header field name"),
        ("(A): c\r\n", "400: invalid header field name"),
        ("A: b\r\n c\r\n", "400: invalid header field name"),
        ("A: b\r\n\tc\r\n", "400: invalid header field name"),
        ("A: b\0c\r\n", "400: invalid header field value"),
        ("A: b\x0bc\r\n", "400: invalid header field value"),
        ("A: b\x7fc\r\n", "400: invalid header field value"),
        ("Host: h\r\n", "400: more than one Host"),
        ("Host: g\r\n", "400: more than one Host"),
        ("Host:\r\n", "400: invalid Host"),
    ]);
    table(&[
        ("GET / HTTP/1.1\r\n\r\n", "400: no Host"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400: invalid Host"),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", "400: invalid Host"),
        ("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", "400: invalid Host"),
        ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400: invalid header field name"),
    ]);
}

#[test]
fn framings() {
    fields_table(&[
        ("Content-Length: 5\r\n", "GET / h 1.1 Length(5)"),
        ("Content-Length: 0\r\n", "GET / h 1.1 Length(0)"),
        ("Content-Length: 007\r\n", "GET / h 1.1 Length(7)"),
        ("Transfer-Encoding: chunked\r\n", "GET / h 1.1 Chunked"),
        ("transfer-encoding:\tCHUNKED \r\n", "GET / h 1.1 Chunked"),
        ("Content-Length:\r\n", "400: invalid Content-Length"),
        ("Content-Length: +5\r\n", "400: invalid Content-Length"),
        ("Content-Length: -5\r\n", "400: invalid Content-Length"),
        ("Content-Length: 0x5\r\n", "400: invalid Content-Length"),
        ("Content-Length: 5 5\r\n", "400: invalid Content-Length"),
        ("Content-Length: 5, 5\r\n", "400: invalid Content-Length"),
        ("Content-Length: 5,\r\n", "400: invalid Content-Length"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "400: more than one Content-Length"),
        ("Content-Length: 5\r\nContent-length: 6\r\n", "400: more than one Content-Length"),
        ("Content-Length: 18446744073709551616\r\n", "400: invalid Content-Length"),
        ("Content-Length: 18446744073709551615\r\n", "413: request body too large"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400: both Content-Length and Transfer-Encoding"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400: both Content-Length and Transfer-Encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400: more than one Transfer-Encoding"),
        ("Transfer-Encoding: identity\r\n", "400: invalid Transfer-Encoding"),
        ("Transfer-Encoding:\r\n", "400: invalid Transfer-Encoding"),
        ("Transfer-Encoding: xchunked\r\n", "400: invalid Transfer-Encoding"),
        ("Transfer-Encoding: chunked, gzip\r\n", "400: invalid Transfer-Encoding"),
        ("Transfer-Encoding: chunked, chunked\r\n", "400: invalid Transfer-Encoding"),
        ("Transfer-Encoding: ,chunked\r\n", "400: invalid Transfer-Encoding"),
        ("Transfer-Encoding: chunked;q=1\r\n", "400: invalid Transfer-Encoding"),
        ("Transfer-Encoding: \x0bchunked\r\n", "400: invalid header field value"),
        ("Transfer-Encoding: gzip, chunked\r\n", "501: transfer coding not supported"),
        ("Transfer-Encoding : chunked\r\n", "400: invalid header field name"),
    ]);
    table(&[
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400: Transfer-Encoding in HTTP/1.0"),
        ("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n", "POST /  1.0 Length(2) close"),
    ]);
}

#[test]
fn connections() {
    fields_table(&[
        ("Connection: close\r\n", "GET / h 1.1 None close"),
        ("Connection: keep-alive, Close\r\n", "GET / h 1.1 None close"),
        ("Connection: keep-alive\r\nConnection: x, close ,\r\n", "GET / h 1.1 None close"),
        ("Connection: closed\r\n", "GET / h 1.1 None"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", "GET / h 1.1 None upgrade"),
        ("Connection: keep-alive, upgrade\r\nUpgrade: h2c, websocket\r\n", "GET / h 1.1 None upgrade"),
        ("Connection: Upgrade\r\n", "GET / h 1.1 None"),
        ("Upgrade: websocket\r\n", "GET / h 1.1 None"),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", "GET / h 1.1 None"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", "GET / h 1.1 Length(1)"),
        ("Expect: 100-Continue\r\nContent-Length: 1\r\n", "GET / h 1.1 Length(1) expect"),
        ("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "GET / h 1.1 Chunked expect"),
        ("Expect: 100-continue\r\nContent-Length: 0\r\n", "GET / h 1.1 Length(0)"),
        ("Expect: 100-continue\r\n", "GET / h 1.1 None"),
        ("Expect: tea\r\n", "417: unknown expectation"),
    ]);
    table(&[(
        "POST / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "POST /  1.0 Length(1) close",
    )]);
}

#[test]
fn bounds() {
    let limits = Limits { uri_size: 10, header_size: 56, header_count: 2, body_size: 9, ..limits() };
    let long = |n: usize| "x".repeat(n);
    for (sent, want) in [
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long(9)), "GET /xxxxxxxxx h 1.1 None"),
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long(10)), "414: request target too long"),
        (format!("GET /{}", long(100)), "414: request target too long"),
        (format!("GET /{}", long(20)), "partial"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", long(24)), "GET / h 1.1 None"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", long(25)), "431: header section too large"),
        // The request line counts: nine bytes more there are nine fewer for the fields.
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", long(9), long(15)), "GET /xxxxxxxxx h 1.1 None"),
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", long(9), long(16)), "431: header section too large"),
        // What is too long is named: the target, though the whole is too large as well.
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long(60)), "414: request target too long"),
        (format!("GET /{} HTTP/1.1\r\nHost: h", long(100)), "414: request target too long"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", long(29)), "431: header section too large"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", long(60)), "431: header section too large"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", long(20)), "partial"),
        ("GET / HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\n\r\n".into(), "431: too many header fields"),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n".into(), "PUT / h 1.1 Length(9)"),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n".into(), "413: request body too large"),
    ] {
        assert_eq!(reading(sent.as_bytes(), &limits), want, "{sent:?}");
    }
}

#[test]
fn every_prefix_of_a_head_is_partial() {
    let sent = b"\r\nPOST http://h/a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nA: b\r\n\r\n";
    for end in 0..sent.len() {
        assert_eq!(reading(&sent[..end], &limits()), "partial", "{end}");
    }
    assert_eq!(reading(sent, &limits()), "POST /a?b h 1.1 Length(3)");
}

#[test]
fn what_was_sent_in_another_form_is_rewritten() {
    for (sent, want) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", None),
        ("GET http://h/a?b HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n", Some("GET /a?b HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n")),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", Some("GET / HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("OPTIONS http://h HTTP/1.0\r\n\r\n", Some("OPTIONS * HTTP/1.0\r\nHost: h\r\n\r\n")),
        ("\r\nGET / HTTP/1.0\r\nA: b\r\n\r\n", Some("GET / HTTP/1.0\r\nA: b\r\n\r\n")),
    ] {
        let mut slots = slots();
        let Parsed::Complete(request) = parse(sent.as_bytes(), &mut slots, &limits()) else {
            panic!("{sent:?} is refused");
        };
        let rewritten = request.rewritten(sent.as_bytes());
        assert_eq!(rewritten.as_deref(), want.map(str::as_bytes), "{sent:?}");
    }
}

/// Everything that a reading decides, as text, and the head written out again from it.
fn decided(sent: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut slots = slots();
    let Parsed::Complete(Request { head, framing, keep_alive, expect_continue, upgrade, .. }) =
        parse(sent, &mut slots, &limits())
    else {
        return None;
    };
    let mut text = format!("{} {} HTTP/1.{}\r\n", head.method, head.target, head.minor).into_bytes();
    for field in head.fields {
        text.extend_from_slice(&[field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    Some((format!("{head:?} {framing:?} {keep_alive} {expect_continue} {upgrade}"), text))
}

/// Bytes that look enough like a head to be accepted now and then.
fn almost_heads() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b=c HTTP/1.1\r\n",
        "GET http://h/a HTTP/1.1\r\n",
        "\r\nGET /x HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET /\\ HTTP/1.1\n",
    ]);
    let field = prop_oneof![
        prop::sample::select(vec![
            "Host: h\r\n",
            "Host: g\r\n",
            "Content-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "Connection: close\r\n",
            "Connection: upgrade\r\n",
            "Upgrade: websocket\r\n",
            "Expect: 100-continue\r\n",
            "X: \t y \t\r\n",
        ])
        .prop_map(|field| field.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|value| [b"X:", value.as_slice(), b"\r\n"].concat()),
        "[ -~]{0,12}\r?\n".prop_map(String::into_bytes),
    ];
    (line, prop::collection::vec(field, 0..6))
        .prop_map(|(line, fields)| [line.as_bytes(), b"Host: h\r\n", &fields.concat(), b"\r\n"].concat())
}

proptest! {
    /// An accepted head written out again is accepted again and says the same: there is one reading.
    #[test]
    fn an_accepted_head_has_one_reading(sent in almost_heads()) {
        if let Some((reading, text)) = decided(&sent) {
            prop_assert_eq!(decided(&text), Some((reading, text.clone())));
        }
    }

    /// No input at all makes the parser do anything but answer.
    #[test]
    fn any_bytes_are_answered(sent in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!reading(&sent, &limits()).is_empty());
    }
}
