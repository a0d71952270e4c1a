//! What may be edited at which event: every rule and every bound of the host calls, as tables.

use super::*;
use crate::hooks::compat::tests::{exchange, map, request, site};

const MODES: [Mode; 2] = [Mode::Strict, Mode::Extended];

fn everywhere() -> impl Iterator<Item = (Mode, Event)> {
    MODES.into_iter().flat_map(|mode| Event::ALL.map(|event| (mode, event)))
}

#[test]
fn statuses() {
    for (mode, event) in everywhere() {
        for (status, valid) in
            [(0, false), (99, false), (100, false), (199, false), (200, true), (404, true), (599, true), (600, false)]
        {
            let mut exchange = exchange(event, mode);
            let want = match (event.is_request(), valid) {
                (true, _) => Err(EditError::WrongEvent),
                (false, true) => Ok(()),
                (false, false) => Err(EditError::Invalid),
            };
            assert_eq!(exchange.set_status(status), want, "{status} at {event}");
            let answered = exchange.respond(status, std::iter::empty(), Bytes::new());
            let want = match (event.is_request(), valid) {
                (false, _) => Err(EditError::WrongEvent),
                (true, true) => Ok(()),
                (true, false) => Err(EditError::Invalid),
            };
            assert_eq!(answered, want, "{status} at {event}");
        }
    }
}

#[test]
fn what_only_one_side_has() {
    for (mode, event) in everywhere().filter(|(_, event)| !event.is_request()) {
        let mut exchange = exchange(event, mode);
        assert_eq!(exchange.set_uri("/b"), Err(EditError::WrongEvent));
        assert_eq!(exchange.set_query("b"), Err(EditError::WrongEvent));
        assert_eq!(exchange.set_origin(OriginChange::To(OriginPatch::default())), Err(EditError::WrongEvent));
        assert_eq!(exchange.edits(), []);
    }
}

#[test]
fn paths_and_queries() {
    for (uri, want) in [
        ("/", Ok("/")),
        ("/a/b", Ok("/a/b")),
        ("/%20", Ok("/%20")),
        ("/é", Ok("/é")),
        ("/a\"<>`b", Ok("/a%22%3C%3E%60b")),
        ("", Err(EditError::Invalid)),
        ("a", Err(EditError::Invalid)),
        ("*", Err(EditError::Invalid)),
        ("/a b", Err(EditError::Invalid)),
        ("/a?b", Err(EditError::Invalid)),
        ("/a#b", Err(EditError::Invalid)),
        ("/a\r\n", Err(EditError::Invalid)),
        ("/a\u{7f}", Err(EditError::Invalid)),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        let done = exchange.set_uri(uri);
        assert_eq!(done.map(|()| exchange.request.uri.as_str()), want, "{uri}");
    }
    for (query, want) in [
        ("", Ok("")),
        ("a=1&b", Ok("a=1&b")),
        ("a=?", Ok("a=?")),
        ("a=<>", Ok("a=%3C%3E")),
        ("a b", Err(EditError::Invalid)),
        ("a#b", Err(EditError::Invalid)),
        ("a\n", Err(EditError::Invalid)),
    ] {
        let mut exchange = exchange(Event::OriginRequest, Mode::Strict);
        let done = exchange.set_query(query);
        assert_eq!(done.map(|()| exchange.request.query.as_str()), want, "{query}");
    }
}

/// CloudFront Developer Guide, "Restrictions on edge functions": URI and query string are less than 8,192 characters.
#[test]
fn sizes_at_the_bound_and_one_over() {
    let text = |len: usize| "a".repeat(len);
    for (uri, query, fits) in [(8191, 0, true), (8192, 0, false), (8000, 190, true), (8000, 191, false)] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        let done = exchange.set_target(Some(&format!("/{}", text(uri - 1))), Some(&text(query)));
        assert_eq!(done, if fits { Ok(()) } else { Err(EditError::TooLarge) }, "{uri} {query}");
        assert_eq!(exchange.edits().len(), if fits { 2 } else { 0 });
    }
    for (mode, event, answer, body) in [
        (Mode::Strict, Event::ViewerRequest, 40 << 10, 40 << 10),
        (Mode::Strict, Event::OriginRequest, 1 << 20, 1 << 20),
        (Mode::Extended, Event::ViewerRequest, 8 << 20, 8 << 20),
    ] {
        let mut exchange = exchange(event, mode);
        let line = || [("x-a", &b"12345"[..])].into_iter();
        let size = "x-a: 12345\r\n".len();
        assert_eq!(exchange.respond(200, line(), Bytes::from(vec![0; answer - size])), Ok(()));
        assert_eq!(exchange.respond(200, line(), Bytes::from(vec![0; answer - size + 1])), Err(EditError::TooLarge));
        assert_eq!(exchange.set_body(Bytes::from(vec![0; body])), Ok(()));
        assert_eq!(exchange.set_body(Bytes::from(vec![0; body + 1])), Err(EditError::TooLarge));
    }
    for (mode, event, body) in [
        (Mode::Strict, Event::OriginResponse, 1 << 20),
        (Mode::Strict, Event::ViewerResponse, 40 << 10),
        (Mode::Extended, Event::ViewerResponse, 8 << 20),
    ] {
        let mut exchange = exchange(event, mode);
        assert_eq!(exchange.set_body(Bytes::from(vec![0; body])), Ok(()));
        assert_eq!(exchange.set_body(Bytes::from(vec![0; body + 1])), Err(EditError::TooLarge));
    }
}

#[test]
fn header_sections_are_bounded() {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Extended);
    let bound = exchange.limits().fields;
    let value = vec![b'v'; bound - "x-a: \r\n".len()];
    let over = vec![b'v'; value.len() + 1];
    assert_eq!(exchange.set_header("x-a", &over), Err(EditError::TooLarge));
    assert_eq!(exchange.set_header("x-a", &value), Ok(()));
    assert_eq!(exchange.append_header("x-b", b""), Err(EditError::TooLarge), "the bound is on all that one call adds");

    let mut many = self::exchange(Event::ViewerRequest, Mode::Extended);
    while many.request.headers.len() < FIELDS_MAX {
        many.append_header("x-n", b"1").unwrap();
    }
    assert_eq!(many.append_header("x-n", b"1"), Err(EditError::TooLarge));
    assert_eq!(many.set_header("x-other", b"1"), Err(EditError::TooLarge));
    assert_eq!(many.set_header("user-agent", b"me"), Ok(()), "one that is there takes no more room");
    let lines = vec![("x-n", &b"1"[..]); FIELDS_MAX + 1];
    assert_eq!(many.respond(200, lines.iter().copied().skip(1), Bytes::new()), Ok(()));
    assert_eq!(many.respond(200, lines.into_iter(), Bytes::new()), Err(EditError::TooLarge));
}

#[test]
fn names_and_values() {
    for (name, value, valid) in [
        ("x-a", &b"1"[..], true),
        ("X-A", b"caf\xe9", true),
        ("x-a", b"a\tb", true),
        ("x-a", b"", true),
        ("", b"1", false),
        ("x a", b"1", false),
        ("x:a", b"1", false),
        ("x-é", b"1", false),
        ("x-a", b"a\rb", false),
        ("x-a", b"a\nb", false),
        ("x-a", b"a\0b", false),
        ("x-a", b"a\x7fb", false),
    ] {
        for event in Event::ALL {
            let want = if valid { Ok(()) } else { Err(EditError::Invalid) };
            assert_eq!(exchange(event, Mode::Strict).set_header(name, value), want, "{name:?} {value:?}");
            assert_eq!(exchange(event, Mode::Strict).append_header(name, value), want, "{name:?} {value:?}");
        }
    }
}

/// RFC 9112 §3.2: one Host, and a valid one.
#[test]
fn host_stays_one() {
    let mut exchange = exchange(Event::OriginRequest, Mode::Strict);
    for bad in ["", "a b", "a/b", "u@a"] {
        assert_eq!(exchange.set_header("host", bad.as_bytes()), Err(EditError::Invalid), "{bad}");
    }
    assert_eq!(exchange.append_header("host", b"b.example"), Err(EditError::Invalid));
    assert_eq!(exchange.remove_header("host"), Err(EditError::Invalid));
    assert_eq!(exchange.set_header("Host", b"b.example:8443"), Ok(()));
    assert_eq!(exchange.request.headers["host"], "b.example:8443");
    let mut answer = self::exchange(Event::OriginResponse, Mode::Strict);
    assert_eq!(answer.set_header("host", b"any thing"), Ok(()), "in a response it means nothing");
}

/// AWS lets functions write the length of a response; the edge computes it.
#[test]
fn framing_of_a_response_is_accepted_and_the_edges_own() {
    for (event, name) in [
        (Event::OriginResponse, "content-length"),
        (Event::ViewerResponse, "content-length"),
        (Event::ViewerResponse, "transfer-encoding"),
    ] {
        let mut exchange = exchange(event, Mode::Strict);
        assert_eq!(exchange.set_header(name, b"5"), Ok(()));
        assert_eq!(exchange.append_header(name, b"6"), Ok(()));
        assert_eq!(exchange.remove_header(name), Ok(()));
        assert_eq!(exchange.set_header(name, b"a\nb"), Err(EditError::Invalid));
        assert_eq!(exchange.edits(), []);
    }
}

#[test]
fn answers_carry_no_framing_and_no_read_only_names() {
    for (mode, name, want, sent) in [
        (Mode::Strict, "content-length", Err(EditError::ReadOnly), 0),
        (Mode::Extended, "content-length", Ok(()), 0),
        (Mode::Strict, "transfer-encoding", Ok(()), 0),
        (Mode::Extended, "transfer-encoding", Ok(()), 0),
        (Mode::Strict, "via", Err(EditError::ReadOnly), 0),
        (Mode::Extended, "via", Err(EditError::ReadOnly), 0),
        (Mode::Strict, "host", Err(EditError::ReadOnly), 0),
        (Mode::Extended, "host", Ok(()), 1),
        (Mode::Strict, "x-a", Ok(()), 1),
        (Mode::Strict, "connection", Err(EditError::Forbidden), 0),
        (Mode::Extended, "connection", Err(EditError::Forbidden), 0),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, mode);
        let done = exchange.respond(200, [(name, &b"5"[..])].into_iter(), Bytes::from_static(b"x"));
        assert_eq!(done, want, "{mode:?} {name}");
        assert_eq!(exchange.answer().map_or(0, |answer| answer.headers.len()), sent, "{mode:?} {name}");
    }
}

#[test]
fn statuses_without_a_body_have_none() {
    let body = || Bytes::from_static(b"x");
    for status in [204, 304] {
        let mut asked = exchange(Event::ViewerRequest, Mode::Extended);
        assert_eq!(asked.respond(status, std::iter::empty(), body()), Err(EditError::Invalid));
        assert_eq!(asked.respond(status, std::iter::empty(), Bytes::new()), Ok(()));
        let mut there = exchange(Event::OriginResponse, Mode::Extended);
        there.set_body(body()).unwrap();
        assert_eq!(there.set_status(status), Err(EditError::Invalid));
        there.set_body(Bytes::new()).unwrap();
        assert_eq!(there.set_status(status), Ok(()));
        assert_eq!(there.set_body(body()), Err(EditError::Invalid));
    }
}

#[test]
fn bodies_need_the_grant() {
    let mut site = site(Mode::Extended);
    Arc::make_mut(&mut site).include_body = false;
    let mut exchange = Exchange::request(Event::ViewerRequest, &site, "id", 0, request(Event::ViewerRequest));
    assert_eq!(exchange.set_body(Bytes::new()), Err(EditError::WrongEvent));
}

#[test]
fn what_can_only_be_one_is_kept_once() {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Extended);
    for n in 0..1000 {
        exchange.set_uri(&format!("/{n}")).unwrap();
        exchange.set_query(&format!("{n}")).unwrap();
        exchange.set_body(Bytes::from(n.to_string())).unwrap();
        exchange.set_origin(OriginChange::To(OriginPatch { port: Some(443), ..OriginPatch::default() })).unwrap();
    }
    assert_eq!(exchange.edits().len(), 4);
    assert_eq!(exchange.edits()[0], Edit::Uri("/999".to_owned()));
    let mut answer = self::exchange(Event::OriginResponse, Mode::Extended);
    (200..600).for_each(|status| answer.set_status(status).unwrap());
    assert_eq!(answer.edits(), [Edit::Status(StatusCode::from_u16(599).unwrap())]);
}

/// CloudFront Developer Guide, "Lambda@Edge event structure", custom origin; "Custom headers that CloudFront can't add to origin
/// requests".
#[test]
fn origins() {
    let with = |change: fn(&mut OriginPatch)| {
        let mut patch = OriginPatch::default();
        change(&mut patch);
        exchange(Event::OriginRequest, Mode::Strict).set_origin(OriginChange::To(patch))
    };
    for bad in ["", "a:80", "192.0.2.1", "::1", "a/b", "a b", &"a".repeat(254)] {
        let patch = OriginPatch { host: Some(bad.to_owned()), ..OriginPatch::default() };
        let done = exchange(Event::OriginRequest, Mode::Strict).set_origin(OriginChange::To(patch));
        assert_eq!(done, Err(EditError::Invalid), "{bad}");
    }
    for (port, valid) in [(0, false), (79, false), (80, true), (443, true), (1023, false), (1024, true), (65535, true)]
    {
        let patch = OriginPatch { port: Some(port), ..OriginPatch::default() };
        let done = exchange(Event::OriginRequest, Mode::Strict).set_origin(OriginChange::To(patch));
        assert_eq!(done.is_ok(), valid, "{port}");
    }
    for (path, valid) in [("", true), ("/a", true), ("/a/", false), ("a", false), ("/é", false), ("/a?b", false)] {
        let patch = OriginPatch { path: Some(path.to_owned()), ..OriginPatch::default() };
        let done = exchange(Event::OriginRequest, Mode::Strict).set_origin(OriginChange::To(patch));
        assert_eq!(done.is_ok(), valid, "{path}");
    }
    for (len, valid) in [(255, true), (256, false)] {
        let patch = OriginPatch { path: Some(format!("/{}", "a".repeat(len - 1))), ..OriginPatch::default() };
        let done = exchange(Event::OriginRequest, Mode::Strict).set_origin(OriginChange::To(patch));
        assert_eq!(done.is_ok(), valid, "{len}");
    }
    assert_eq!(with(|patch| patch.base = Some("green".to_owned())), Ok(()));
    assert_eq!(with(|patch| patch.base = Some("red".to_owned())), Err(EditError::NoOrigin));
    assert_eq!(with(|patch| patch.attempts = Some(3)), Ok(()));
    assert_eq!(with(|patch| patch.attempts = Some(4)), Err(EditError::Invalid));
    assert_eq!(with(|patch| patch.read_timeout = Some(Duration::from_secs(120))), Ok(()));
    assert_eq!(with(|patch| patch.read_timeout = Some(Duration::from_secs(121))), Err(EditError::Invalid));
    assert_eq!(with(|patch| patch.read_timeout = Some(Duration::ZERO)), Err(EditError::Invalid));
    assert_eq!(with(|patch| patch.connect_timeout = Some(Duration::from_secs(11))), Err(EditError::Invalid));
    assert_eq!(with(|patch| patch.host_header = Some("a\nb".to_owned())), Err(EditError::Invalid));

    let fields = |mode, lines: &[(&str, &[u8])]| {
        let headers = map(lines).iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let patch = OriginPatch { headers: Some(headers), ..OriginPatch::default() };
        exchange(Event::OriginRequest, mode).set_origin(OriginChange::To(patch))
    };
    for name in [
        "cache-control",
        "connection",
        "content-length",
        "cookie",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "pragma",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "request-range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
        "x-amz-anything",
        "x-edge-anything",
        "x-cache",
        "keep-alive",
    ] {
        for mode in MODES {
            assert_eq!(fields(mode, &[(name, b"1")]), Err(EditError::Forbidden), "{name}");
        }
    }
    assert_eq!(fields(Mode::Strict, &[("x-a", &[b'a'; 1783])]), Ok(()));
    assert_eq!(fields(Mode::Strict, &[("x-a", &[b'a'; 1784])]), Err(EditError::TooLarge));
    assert_eq!(fields(Mode::Extended, &[("x-a", &[b'a'; 1784])]), Ok(()));
    assert_eq!(fields(Mode::Extended, &[("x-a", &[b'a'; 10_237])]), Ok(()));
    assert_eq!(fields(Mode::Extended, &[("x-a", &[b'a'; 10_238])]), Err(EditError::TooLarge));
    assert_eq!(fields(Mode::Strict, &[("x-a", &b"1"[..]); 10]), Ok(()));
    assert_eq!(fields(Mode::Strict, &[("x-a", &b"1"[..]); 11]), Err(EditError::TooLarge));

    let group = |members: &[&str], failover: &[u16]| {
        exchange(Event::ViewerRequest, Mode::Strict).set_origin(OriginChange::Group {
            members: members
                .iter()
                .map(|name| OriginPatch { base: Some((*name).to_owned()), ..OriginPatch::default() })
                .collect(),
            failover: failover.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect(),
        })
    };
    assert_eq!(group(&["blue", "green"], &[500]), Ok(()));
    assert_eq!(group(&["blue"], &[500]), Err(EditError::Invalid));
    assert_eq!(group(&["blue", "red"], &[500]), Err(EditError::NoOrigin));
    assert_eq!(group(&["blue", "green"], &[399]), Err(EditError::Invalid));
    assert_eq!(group(&["blue"; 9], &[500]), Err(EditError::Invalid));
}
