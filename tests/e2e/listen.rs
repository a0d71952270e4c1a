//! Listening: protocols, TLS, and what a viewer may cost before any rule is asked.
//!
//! In: viewers of every protocol, some hostile. Out: answers, refusals, closed connections. Never: one viewer's cost on another.

use crate::harness::names::CONNECTIONS;
use crate::harness::raw::request;
use crate::harness::{Authority, H2, Origin, Pop, Raw, Setup, until};

/// A process with more listeners in front of one cached origin.
fn setup(origin: &Origin, listeners: &str, limits: &str) -> Setup {
    let mut setup = Setup::new(format!(
        "{limits}\n{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n",
        origin.config("o")
    ));
    setup.listeners = listeners.to_owned();
    setup
}

fn with_limits(origin: &Origin, limits: &str) -> Pop {
    setup(origin, "", &format!("[limits]\n{limits}\n")).start()
}

const H2C: &str = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\n";

#[test]
fn h2c_by_prior_knowledge_and_http_1_on_one_port() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = setup(&origin, H2C, "").start();
    let mut h2 = H2::plain(pop.extra[0]);
    assert_eq!(h2.get("/a").body, b"v1");
    let hit = h2.get("/a");
    assert_eq!((hit.status, hit.body.as_slice()), (200, &b"v1"[..]));
    assert!(hit.field("cache-status").unwrap().contains("hit"));
    let mut h1 = Raw::connect(pop.extra[0]);
    assert_eq!(h1.get("/a").text(), "v1", "both protocols share the objects");
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_h2_hit_says_the_same_on_either_lane() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\nETag: \"one\"\r\nX-Own: yes\r\n", "hello");
    let pop = setup(&origin, H2C, "").start();
    let mut h2 = H2::plain(pop.extra[0]);
    h2.get("/a");
    let fast = h2.get("/a");
    // A condition is the full path's business; this one is not met.
    let full = h2.send("GET", "/a", &[("if-none-match", "\"two\"")], b"", &[]);
    let said = |fields: &http::HeaderMap| {
        let mut lines: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        // What differs from request to request and from second to second.
        lines.retain(|(name, _)| !["x-amz-cf-id", "age", "date", "cache-status"].contains(&name.as_str()));
        lines.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        lines
    };
    assert_eq!(said(&fast.fields), said(&full.fields));
    for reply in [&fast, &full] {
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hello"[..]));
        assert!(reply.field("cache-status").unwrap().contains("hit") && reply.field("age").is_some());
    }
    assert_ne!(fast.field("x-amz-cf-id"), full.field("x-amz-cf-id"));
    assert_eq!(h2.send("GET", "/a", &[("if-none-match", "\"one\"")], b"", &[]).status, 304);
    assert_eq!(origin.count(), 1);
    let line = pop.log_line("HTTP/2.0");
    assert_eq!(line["path"], "/a");
}

#[test]
fn many_streams_at_once_on_one_h2_connection() {
    let origin = Origin::start(|x| {
        let body = x.request.target.clone();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", body);
    });
    let pop = setup(&origin, H2C, "").start();
    let mut h2 = H2::plain(pop.extra[0]);
    let paths: Vec<String> = (0..80).map(|n| format!("/s/{n}")).collect();
    for _ in 0..2 {
        for (reply, path) in h2.get_all(&paths).iter().zip(&paths) {
            assert_eq!((reply.status, reply.body.as_slice()), (200, path.as_bytes()));
        }
    }
    assert_eq!(origin.count(), 80);
}

#[test]
fn tls_picks_the_certificate_by_name_and_the_protocol_by_alpn() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let authority = Authority::new();
    let mut setup = setup(&origin, "", "");
    authority.issue(&["first.example"]).files(setup.dir(), "first");
    authority.issue(&["second.example", "*.wild.example"]).files(setup.dir(), "second");
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\ntls = { certificates = [\
        { cert = \"{dir}/first.pem\", key = \"{dir}/first.key\" }, { cert = \"{dir}/second.pem\", key = \"{dir}/second.key\" }] }\n"
        .to_owned();
    let pop = setup.start();
    let h1 = authority.client(&["http/1.1"], None);
    for name in ["first.example", "second.example", "any.wild.example"] {
        let mut viewer = Raw::secure(pop.extra[0], name, h1.clone()).expect(name);
        assert_eq!(viewer.get("/a").text(), "v1", "{name}");
    }
    assert!(Raw::tls(pop.extra[0], "third.example", h1).is_err(), "the default certificate does not cover it");
    let mut h2 = H2::tls(pop.extra[0], "first.example", authority.client(&["h2", "http/1.1"], None));
    assert_eq!(h2.get("/a").body, b"v1");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let (old, new) = (Authority::new(), Authority::new());
    let mut setup = setup(&origin, "", "");
    old.issue(&["shop.example"]).files(setup.dir(), "shop");
    setup.listeners = TLS.to_owned();
    let pop = setup.start();
    let mut kept = Raw::secure(pop.extra[0], "shop.example", old.client(&[], None)).expect("the old certificate");
    new.issue(&["shop.example"]).files(pop.dir(), "shop");
    pop.signal("HUP");
    until("the new certificate", || Raw::secure(pop.extra[0], "shop.example", new.client(&[], None)).ok());
    assert_eq!(kept.get("/a").status, 200, "a connection of before is not cut");
}

const TLS: &str = "[[listener]]\naddress = \"127.0.0.1:{port}\"\n\
                   tls = { certificates = [{ cert = \"{dir}/shop.pem\", key = \"{dir}/shop.key\" }] }\n";

#[test]
fn client_certificates() {
    let origin = Origin::counting("Cache-Control: no-store\r\n");
    let (authority, stranger) = (Authority::new(), Authority::new());
    let own = authority.issue(&["viewer.example"]);
    let forged = stranger.issue(&["viewer.example"]);
    for (mode, without, with_forged) in [("required", false, false), ("optional", true, false)] {
        let mut setup = setup(&origin, "", "");
        authority.issue(&["shop.example"]).files(setup.dir(), "shop");
        authority.file(setup.dir());
        setup.listeners =
            TLS.replace(" }\n", &format!(", client_auth = \"{mode}\", client_ca = \"{{dir}}/authority.pem\" }}\n"));
        let pop = setup.start();
        // With TLS 1.3 the client's handshake may end before the server has judged: the first answer tells.
        let served = |own| {
            let connection = Raw::secure(pop.extra[0], "shop.example", authority.client(&[], own));
            connection.is_ok_and(|mut viewer| {
                viewer.try_send(request("GET", "/a", &[], b"")).is_ok()
                    && viewer.try_reply("GET").is_ok_and(|r| r.status == 200)
            })
        };
        assert!(served(Some(&own)), "{mode}: its own certificate");
        assert_eq!(served(None), without, "{mode}: none");
        assert_eq!(served(Some(&forged)), with_forged, "{mode}: one of a stranger");
    }
}

#[test]
fn plain_http_on_a_tls_port_and_the_other_way_round_harm_nobody() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let authority = Authority::new();
    let mut setup = setup(&origin, "", "");
    authority.issue(&["shop.example"]).files(setup.dir(), "shop");
    setup.listeners = TLS.to_owned();
    let pop = setup.start();
    let mut confused = Raw::connect(pop.extra[0]);
    confused.send(request("GET", "/a", &[], b""));
    confused.rest();
    assert!(Raw::tls(pop.http, "shop.example", authority.client(&[], None)).is_err());
    assert_eq!(origin.count(), 0);
    assert_eq!(pop.get("/a").status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|x| {
        let body = x.request.target.clone();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", body);
    });
    let pop = with_limits(&origin, "");
    for _ in 0..2 {
        let mut viewer = pop.raw();
        let all: Vec<u8> = (0..10).flat_map(|n| request("GET", &format!("/p/{n}"), &[], b"")).collect();
        viewer.send(all);
        for n in 0..10 {
            assert_eq!(viewer.reply("GET").text(), format!("/p/{n}"));
        }
    }
}

#[test]
fn a_pipelined_body_is_not_read_as_a_request() {
    let origin = Origin::start(|x| {
        let body = format!("{} {}", x.request.target, String::from_utf8_lossy(&x.request.body));
        x.reply("200 OK", "Cache-Control: no-store\r\n", body);
    });
    let pop = with_limits(&origin, "");
    let mut viewer = pop.raw();
    let trap = b"GET /trap HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    viewer.send([request("POST", "/a", &[], trap), request("GET", "/b", &[], b"")].concat());
    assert!(viewer.reply("POST").text().starts_with("/a GET /trap"));
    assert!(viewer.reply("GET").text().starts_with("/b"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn heads_beyond_the_limits_are_refused() {
    let origin = Origin::counting("Cache-Control: no-store\r\n");
    let pop = with_limits(&origin, "header_count = 20\nheader_size = \"4KiB\"\nuri_size = \"1KiB\"");
    let long = "x".repeat(5_000);
    let many: String = (0..40).map(|n| format!("X-{n}: 1\r\n")).collect();
    let table = [
        ("a long field", format!("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Long: {long}\r\n\r\n"), 431),
        ("many fields", format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{many}\r\n"), 431),
        ("a long target", format!("GET /{} HTTP/1.1\r\nHost: shop.example\r\n\r\n", "x".repeat(2_000)), 414),
    ];
    for (name, text, status) in table {
        let mut viewer = pop.raw();
        viewer.send(text);
        assert_eq!(viewer.reply("GET").status, status, "{name}");
        assert!(viewer.closed(), "{name}: and closed");
    }
    let mut endless = pop.raw();
    endless.send("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Endless: ");
    while endless.try_send([b'x'; 16 * 1024]).is_ok() {}
    assert_eq!(origin.count(), 0);
    assert_eq!(pop.get("/").status, 200);
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let origin = Origin::counting("Cache-Control: no-store\r\n");
    let pop = with_limits(&origin, "header_timeout = \"300ms\"\nidle_timeout = \"300ms\"");
    let mut silent = pop.raw();
    let mut half = pop.raw();
    half.send("GET / HTTP/1.1\r\nHost: shop");
    let mut dripping = pop.raw();
    let mut drops = b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
    until("the dripping head to be cut off", || dripping.try_send([*drops.next().unwrap()]).is_err().then_some(()));
    let said = half.rest();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&said));
    silent.rest();
    assert_eq!(origin.count(), 0);
    assert_eq!(pop.get("/").status, 200);
}

#[test]
fn a_body_slower_than_the_minimum_is_cut_off() {
    let origin = Origin::counting("Cache-Control: no-store\r\n");
    let pop = with_limits(&origin, "body_min_rate = \"1KiB\"\nbody_grace = \"300ms\"\nbody_timeout = \"20s\"");
    let mut viewer = pop.raw();
    viewer.send("POST /up HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1000000\r\n\r\n");
    until("the slow body to be cut off", || viewer.try_send(b"x").is_err().then_some(()));
    until("it to be counted", || {
        (pop.metric("rimward_connections_refused_total", &["why=\"slow\""]) == 1.0).then_some(())
    });
    assert_eq!(pop.get("/").status, 200);
}

#[test]
fn a_body_that_stalls_or_is_too_large_is_refused() {
    let origin = Origin::counting("Cache-Control: no-store\r\n");
    let pop = with_limits(&origin, "body_timeout = \"300ms\"\nbody_size = \"1KiB\"");
    let mut stalled = pop.raw();
    stalled.send("POST /up HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100\r\n\r\nabc");
    let said = String::from_utf8_lossy(&stalled.rest()).into_owned();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said:?}");
    let mut large = pop.raw();
    large.send("POST /up HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100000\r\n\r\n");
    assert_eq!(large.reply("POST").status, 413);
    let mut chunked = pop.raw();
    chunked.send("POST /up HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat();
    for _ in 0..4 {
        let _ = chunked.try_send(&chunk);
    }
    match chunked.try_reply("POST") {
        Ok(reply) => assert!(reply.status == 413 || reply.status == 502, "{}", reply.status),
        Err(broken) => assert!(broken.partial.is_none()),
    }
    assert_eq!(pop.get("/").status, 200);
}

#[test]
fn one_address_has_a_bounded_number_of_connections() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = with_limits(&origin, "connections_per_address = 5");
    let mut kept: Vec<Raw> = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let mut raw = pop.raw();
        if raw.try_send(request("GET", "/a", &[], b"")).is_ok() && raw.try_reply("GET").is_ok_and(|r| r.status == 200) {
            kept.push(raw);
        } else {
            refused += 1;
        }
    }
    assert_eq!((kept.len(), refused), (5, 15));
    pop.counted("rimward_connections_refused_total", &["why=\"per_address\""], 15.0);
    drop(kept);
    until("room again", || {
        let mut raw = pop.raw();
        raw.try_send(request("GET", "/a", &[], b"")).ok()?;
        raw.try_reply("GET").ok().filter(|reply| reply.status == 200)
    });
}

#[test]
fn a_connection_serves_a_bounded_number_of_requests() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = with_limits(&origin, "requests_per_connection = 3");
    let mut viewer = pop.raw();
    for n in 1..=3 {
        let reply = viewer.get("/a");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.field("connection") == Some("close"), n == 3, "request {n}");
    }
    assert!(viewer.closed());
}

#[test]
fn a_viewer_that_does_not_read_is_let_go() {
    let origin = Origin::start(|x| {
        x.head("200 OK", "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n");
        while x.write([b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat()) {}
    });
    let pop = with_limits(&origin, "write_timeout = \"500ms\"");
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/endless", &[], b""));
    origin.wait(1);
    until("the connection to be given up", || {
        let open = pop.metric(CONNECTIONS, &[]);
        (open == 0.0).then_some(())
    });
}

#[test]
fn expect_100_continue() {
    let origin = Origin::start(|x| {
        let body = x.request.body.clone();
        x.reply("200 OK", "Cache-Control: no-store\r\n", body);
    });
    let pop = with_limits(&origin, "");
    for _ in 0..2 {
        let mut viewer = pop.raw();
        viewer.send("POST /up HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(viewer.head().unwrap().status, 100, "asked for the body before it is sent");
        viewer.send("hello");
        assert_eq!(viewer.reply("POST").text(), "hello");
    }
}

#[test]
fn early_hints_do_not_confuse_the_final_answer() {
    let origin = Origin::start(|x| {
        x.write("HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n");
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", "final");
    });
    let pop = with_limits(&origin, "");
    for _ in 0..2 {
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str()), (200, "final"));
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_is_refused_unread_says_so_in_cache_status() {
    let origin = Origin::fixed("", "hello");
    let pop = with_limits(&origin, "header_count = 20\nheader_size = \"4KiB\"\nuri_size = \"1KiB\"");
    let many = (0..30).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(2000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), 431),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n".to_owned(), 505),
    ] {
        let mut raw = pop.raw();
        raw.send(&head);
        let reply = raw.reply("GET");
        assert_eq!(reply.status, status, "{head}");
        assert_eq!((reply.param("fwd"), reply.hit()), (None, false), "RFC 9211 §2.2: it went nowhere: {head}");
        assert_eq!(reply.param("detail"), Some(reply.text().trim().to_owned()), "{head}");
    }
    assert_eq!(origin.count(), 0);
}
