//! Streaming: bytes go on as they come (fills, events, long answers), and a fill that fails fails for everybody.
//!
//! In: an origin that is still writing. Out: what it wrote so far. Never: a buffer in between, a short success.

use crate::harness::raw::request;
use crate::harness::{Gate, H2, Origin, Pop, Setup, until};

#[test]
fn the_first_byte_arrives_before_the_origin_has_finished() {
    for (name, fields) in [("stored", "Cache-Control: max-age=60\r\n"), ("not stored", "Cache-Control: no-store\r\n")] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |x| {
            x.head("200 OK", &format!("{fields}Transfer-Encoding: chunked\r\n"));
            x.chunk("first");
            held.wait();
            x.chunk("second");
            x.last_chunk("");
        });
        let pop = Pop::caching(&origin, "");
        let mut viewer = pop.raw();
        viewer.send(request("GET", "/slow", &[], b""));
        let head = viewer.head().unwrap();
        assert_eq!(viewer.body_prefix(&head, 5), b"first", "{name}");
        gate.open();
        assert_eq!(viewer.body("GET", head).unwrap().text(), "second", "{name}");
    }
}

#[test]
fn a_body_of_stated_length_is_not_held_back_either() {
    for fields in ["Cache-Control: max-age=60\r\n", "Cache-Control: no-store\r\n"] {
        let gates = [Gate::new(), Gate::new()];
        let doors = gates.clone();
        let origin = Origin::start(move |x| {
            x.head("200 OK", &format!("{fields}Content-Length: 15\r\n"));
            for (part, door) in ["first", "other"].iter().zip(&doors) {
                x.write(part);
                door.wait();
            }
            x.write("third");
        });
        let pop = Pop::caching(&origin, "");
        let mut viewer = pop.raw();
        viewer.send(request("GET", "/slow", &[], b""));
        let head = viewer.head().unwrap();
        for (part, gate) in ["first", "other"].iter().zip(&gates) {
            assert_eq!(viewer.exactly(5), part.as_bytes(), "{fields:?}");
            assert!(!gate.is_open(), "the origin had to go on first");
            gate.open();
        }
        assert_eq!((viewer.exactly(5).as_slice(), head.field("content-length")), (&b"third"[..], Some("15")));
    }
}

#[test]
fn readers_follow_a_fill() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n");
        x.chunk("first");
        held.wait();
        x.chunk("second");
        x.last_chunk("");
    });
    let pop = Pop::caching(&origin, "");
    let mut viewers: Vec<_> = (0..5).map(|_| pop.raw()).collect();
    let mut heads = Vec::new();
    for viewer in &mut viewers {
        viewer.send(request("GET", "/slow", &[], b""));
        let head = viewer.head().unwrap();
        assert_eq!(viewer.body_prefix(&head, 5), b"first");
        heads.push(head);
    }
    assert_eq!(origin.count(), 1);
    gate.open();
    for (viewer, head) in viewers.iter_mut().zip(heads) {
        assert_eq!(viewer.body("GET", head).unwrap().text(), "second");
    }
    let hit = pop.get("/slow");
    assert_eq!((hit.hit(), hit.text().as_str()), (true, "firstsecond"));
}

#[test]
fn a_fill_that_fails_is_an_error_to_every_reader() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: max-age=60\r\nContent-Length: 100\r\n");
        x.write("first");
        if x.nth == 0 {
            held.wait();
            x.reset();
        } else {
            x.write([b'x'; 95]);
        }
    });
    let pop = Pop::caching(&origin, "");
    let mut viewers: Vec<_> = (0..4).map(|_| pop.raw()).collect();
    let mut heads = Vec::new();
    for viewer in &mut viewers {
        viewer.send(request("GET", "/slow", &[], b""));
        let head = viewer.head().unwrap();
        viewer.body_prefix(&head, 5);
        heads.push(head);
    }
    assert_eq!(origin.count(), 1, "they follow the one fill");
    gate.open();
    for (n, (viewer, head)) in viewers.iter_mut().zip(heads).enumerate() {
        if head.field("content-length").is_some() {
            assert!(viewer.closed(), "viewer {n} (0 caused the fill): the missing bytes never come");
        } else {
            viewer.body("GET", head).expect_err("a cut chunked body has no last chunk");
        }
    }
    let whole = pop.get("/slow");
    assert!(!whole.hit(), "nothing was kept of it");
    assert_eq!(whole.body.len(), 100);
}

#[test]
fn a_fill_that_fails_resets_the_streams_of_its_h2_readers() {
    for framing in ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |x| {
            x.head("200 OK", &format!("Cache-Control: max-age=60\r\n{framing}"));
            x.write(if framing.contains("chunked") { "5\r\nfirst\r\n" } else { "first" });
            held.wait();
            x.reset();
        });
        let mut setup = Setup::new(format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o")));
        setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\n".to_owned();
        let pop = setup.start();
        let ends = H2::plain(pop.extra[0]).follow(4, "/slow", || {
            assert_eq!(origin.count(), 1, "they follow the one fill");
            gate.open();
        });
        for (n, end) in ends.into_iter().enumerate() {
            let error = end.expect_err("no end of stream");
            assert!(error.is_reset(), "viewer {n} (0 caused the fill), {framing:?}: {error}");
        }
    }
}

#[test]
fn server_sent_events_are_not_held_back() {
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let doors = gates.clone();
    let origin = Origin::start(move |x| {
        x.head(
            "200 OK",
            "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n",
        );
        for (n, door) in doors.iter().enumerate() {
            x.chunk(format!("data: {n}\n\n"));
            door.wait();
        }
        x.last_chunk("");
    });
    let pop = Pop::caching(&origin, "compress = true");
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/events", &[("Accept", "text/event-stream"), ("Accept-Encoding", "gzip")], b""));
    let head = viewer.head().unwrap();
    assert_eq!(head.field("content-encoding"), None, "an event stream is not compressed: it would be held back");
    for (n, gate) in gates.iter().enumerate() {
        assert_eq!(viewer.body_prefix(&head, 9), format!("data: {n}\n\n").as_bytes());
        gate.open();
    }
    assert_eq!(viewer.body("GET", head).unwrap().text(), "");
}

#[test]
fn a_stream_over_h2_is_not_held_back() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n");
        x.chunk("first");
        held.wait();
        x.chunk("second");
        x.last_chunk("");
    });
    let mut setup = Setup::new(format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o")));
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\n".to_owned();
    let pop = setup.start();
    let reply = H2::plain(pop.extra[0]).stream("/slow", |run| {
        assert_eq!(run, b"first");
        gate.open();
    });
    assert_eq!(reply.body, b"firstsecond");
}

#[test]
fn a_viewer_that_leaves_does_not_keep_an_uncacheable_fetch_alive() {
    let gate = Gate::new();
    let held = gate.clone();
    let gone = Gate::new();
    let seen = gone.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n");
        x.chunk("first");
        held.wait();
        while x.write([b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat()) {}
        seen.open();
    });
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/endless", &[], b""));
    let head = viewer.head().unwrap();
    viewer.body_prefix(&head, 5);
    drop(viewer);
    gate.open();
    gone.wait();
    until("the process to serve on", || (pop.admin("GET", "/healthz", "").status == 200).then_some(()));
}
