//! Floods: HTTP/2 used as a weapon ends the connection it came on, nothing else (RFC 9113 §10.5).
//!
//! In: frames no honest client sends. Out: GOAWAY or a closed socket; others are served all the while. Never: the process.

use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    frame, get_block, literal, post_block,
};
use std::net::TcpListener;

use serde_json::json;

use crate::harness::{H2, Origin, Pop, Setup, until};

/// More frames than any limit lets through; a flood that gets them all taken was not stopped.
const MANY: u32 = 2_000_000;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u16 = 4;

struct Target {
    pop: Pop,
    origin: Origin,
}

// === impl Target ===
impl Target {
    fn start(limits: &str) -> Self {
        Self::beside(limits, "")
    }

    /// With more origins and behaviors.
    fn beside(limits: &str, more: &str) -> Self {
        let origin = Origin::start(|x| {
            let body = if x.request.target == "/big" { vec![b'x'; 1 << 20] } else { b"served".to_vec() };
            x.reply("200 OK", "Cache-Control: max-age=600\r\n", body);
        });
        let mut setup = Setup::new(format!(
            "[limits]\n{limits}\n{}{more}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n",
            origin.config("o")
        ));
        setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\n".to_owned();
        Target { pop: setup.start(), origin }
    }

    fn attack(&self) -> Frames {
        Frames::connect(self.pop.extra[0], &[])
    }

    /// Others are served, by the same process.
    fn lives(&mut self) {
        assert!(self.pop.alive());
        assert_eq!(H2::plain(self.pop.extra[0]).get("/small").body, b"served");
        assert_eq!(self.pop.get("/small").text(), "served");
    }

    /// Nothing but what `lives` asks for reached the origin. Looked at last: what comes late is seen too.
    fn forwarded_nothing(&self) {
        let seen = self.origin.requests();
        assert!(seen.iter().all(|seen| seen.target == "/small"), "{seen:?}");
    }

    /// Sends what `next` makes until the peer refuses; fails when it takes all of it.
    fn flood(&self, mut frames: Frames, next: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
        for n in 0..MANY {
            if !frames.send(&next(n)) {
                return frames.ended();
            }
        }
        panic!("{MANY} frames were taken");
    }
}

/// How the request on stream 1 was refused.
#[derive(Debug)]
enum Refused {
    Reset,
    /// GOAWAY with an error.
    Ended,
    Status(u16),
}

/// The status that a header block begins with, as far as it is a refusal; else 0. RFC 7541: 400 is entry 12 of the static table (§6.1), 431
/// a literal in Huffman code with the name of entry 8 (§6.2.1).
fn status(block: &[u8]) -> u16 {
    match block {
        [0x8c, ..] => 400,
        [0x48, 0x83, 0x69, 0x90, 0xff, ..] => 431,
        _ => 0,
    }
}

/// The first word about stream 1; `None` when the connection ended without one.
fn refused(frames: &mut Frames) -> Option<Refused> {
    std::iter::from_fn(|| frames.next()).find_map(|frame| match (frame.kind, frame.stream) {
        (RST_STREAM, 1) => Some(Refused::Reset),
        (GOAWAY, _) if frame.payload[4..8] != [0; 4] => Some(Refused::Ended),
        (HEADERS, 1) => Some(Refused::Status(status(&frame.payload))),
        _ => None,
    })
}

#[test]
fn rapid_reset() {
    let mut target = Target::start("h2_resets = 50\nh2_reset_window = \"30s\"");
    let before = target.origin.count();
    target.flood(target.attack(), |n| {
        let stream = n * 2 + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get_block("/flood"));
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    assert!(target.origin.count() - before < 200, "most of them cost the origin nothing");
    target.lives();
}

#[test]
fn resets_provoked_from_the_server() {
    // "MadeYouReset": frames that oblige the server to reset the stream, which then no longer counts as open.
    let mut target = Target::start("h2_resets = 50\nh2_reset_window = \"30s\"");
    target.flood(target.attack(), |n| {
        let stream = n * 2 + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get_block("/flood"));
        [open, frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())].concat()
    });
    target.lives();
}

#[test]
fn continuation_without_end() {
    let mut target = Target::start("");
    let mut frames = target.attack();
    frames.send(&frame(HEADERS, END_STREAM, 1, &get_block("/flood")));
    target.flood(frames, |n| {
        frame(CONTINUATION, 0, 1, &literal(&format!("x-{n}"), "filler filler filler filler filler"))
    });
    target.lives();
}

#[test]
fn empty_continuations() {
    let mut target = Target::start("");
    let mut frames = target.attack();
    frames.send(&frame(HEADERS, END_STREAM, 1, &get_block("/flood")));
    target.flood(frames, |_| frame(CONTINUATION, 0, 1, b""));
    target.lives();
}

#[test]
fn many_tiny_fields() {
    let mut target = Target::start("header_count = 100\nheader_size = \"16KiB\"");
    let mut frames = target.attack();
    let mut block = get_block("/tiny");
    for n in 0..1_000 {
        block.extend(literal(&format!("x{n}"), ""));
    }
    let (first, rest) = block.split_at(block.len() / 2);
    frames.send(&frame(HEADERS, END_STREAM, 1, first));
    frames.send(&frame(CONTINUATION, END_HEADERS, 1, rest));
    let how = refused(&mut frames);
    assert!(matches!(how, Some(Refused::Reset | Refused::Ended | Refused::Status(431))), "{how:?}");
    target.lives();
    target.forwarded_nothing();
}

#[test]
fn one_cookie_in_ten_thousand_crumbs() {
    let mut target = Target::start("header_count = 100\nheader_size = \"16KiB\"");
    let mut frames = target.attack();
    frames.send(&frame(HEADERS, END_STREAM, 1, &get_block("/crumbs")));
    let crumb = literal("cookie", "a=1");
    for _ in 0..20 {
        frames.send(&frame(CONTINUATION, 0, 1, &crumb.repeat(500)));
    }
    frames.send(&frame(CONTINUATION, END_HEADERS, 1, b""));
    let how = refused(&mut frames);
    assert!(matches!(how, Some(Refused::Reset | Refused::Ended | Refused::Status(431))), "{how:?}");
    target.lives();
    target.forwarded_nothing();
}

#[test]
fn settings_and_pings_without_reading_the_answers() {
    for kind in [SETTINGS, PING] {
        let mut target = Target::start("write_timeout = \"1s\"");
        let payload: &[u8] = if kind == PING { b"whatever" } else { b"" };
        let burst = frame(kind, 0, 0, payload).repeat(1_000);
        target.flood(target.attack(), |_| burst.clone());
        target.lives();
    }
}

#[test]
fn a_window_that_never_opens_holds_nothing_for_ever() {
    let mut target = Target::start("write_timeout = \"500ms\"\nidle_timeout = \"1s\"");
    let mut stalled: Vec<Frames> = (0..10)
        .map(|_| {
            let mut frames = Frames::connect(target.pop.extra[0], &[(INITIAL_WINDOW, 0)]);
            for stream in 0..10 {
                frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream * 2 + 1, &get_block("/big")));
            }
            frames
        })
        .collect();
    target.lives();
    for frames in stalled.drain(..) {
        frames.ended();
    }
    until("the process to serve on", || (target.pop.get("/small").status == 200).then_some(()));
    assert!(target.pop.peak_rss_kib() < 400 * 1024, "{} KiB", target.pop.peak_rss_kib());
}

#[test]
fn a_body_slower_than_the_minimum_ends_its_stream() {
    // Takes calls, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = Target::beside(
        "body_min_rate = \"1KiB\"\nbody_grace = \"300ms\"\nbody_timeout = \"20s\"",
        &format!(
            "[[origin]]\nname = \"silent\"\nurl = \"http://{}\"\n[[behavior]]\nmatch = \"/call\"\norigin = \"silent\"\nmethods = \"all\"\n",
            silent.local_addr().unwrap()
        ),
    );
    let mut frames = target.attack();
    // A gRPC stream may be silent; a slow body ends no other stream of its connection.
    let grpc = [post_block("/call"), literal("content-type", "application/grpc")].concat();
    assert!(frames.send(&frame(HEADERS, END_HEADERS, 1, &grpc)));
    assert!(frames.send(&frame(HEADERS, END_HEADERS, 3, &post_block("/up"))));
    assert!(frames.send(&frame(DATA, 0, 3, b"x")));
    let ended = std::iter::from_fn(|| frames.next()).find(|frame| frame.kind == RST_STREAM).map(|frame| frame.stream);
    assert_eq!(ended, Some(3));
    assert!(frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &get_block("/small"))));
    let answered =
        std::iter::from_fn(|| frames.next()).find(|frame| frame.stream != 0).map(|frame| (frame.stream, frame.kind));
    assert_eq!(answered, Some((5, HEADERS)));
    target.pop.counted("rimward_connections_refused_total", &["why=\"slow\""], 1.0);
    let line = target.pop.log_line("/up");
    assert_eq!((&line["status"], &line["method"]), (&json!(408), &json!("POST")));
    target.lives();
}

#[test]
fn a_get_with_a_body_that_no_field_announces_is_refused() {
    let mut target = Target::start("");
    let before = target.origin.count();
    let reply = H2::plain(target.pop.extra[0]).send("GET", "/sized", &[], b"x=evil", &[]);
    assert_eq!((reply.status, target.origin.count()), (403, before));
    target.lives();
}

#[test]
fn more_streams_than_allowed() {
    let mut target = Target::start("h2_streams = 10");
    let mut frames = Frames::connect(target.pop.extra[0], &[(INITIAL_WINDOW, 0)]);
    for n in 0..200_u32 {
        if !frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &get_block("/big"))) {
            break;
        }
    }
    let mut refused = 0;
    while refused < 100 {
        match frames.next() {
            Some(answer) if answer.kind == RST_STREAM => refused += 1,
            Some(_) => {}
            None => break,
        }
    }
    target.lives();
}

#[test]
fn nonsense() {
    let mut target = Target::start("");
    let table: &[(&str, Vec<u8>)] = &[
        ("DATA on an idle stream", frame(DATA, 0, 5, b"x")),
        ("HEADERS on stream 0", frame(HEADERS, END_HEADERS, 0, &get_block("/x"))),
        ("an even stream", frame(HEADERS, END_HEADERS, 2, &get_block("/x"))),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, b"")),
        ("a frame beyond the size limit", frame(DATA, 0, 1, &vec![0; 100_000])),
        ("SETTINGS of five bytes", frame(SETTINGS, 0, 0, b"12345")),
        ("a window beyond 31 bits", frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
        ("HPACK garbage", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 64])),
    ];
    for (name, bytes) in table {
        let mut frames = target.attack();
        frames.send(bytes);
        let code = frames.ended();
        assert!(code.is_none_or(|code| code != 0), "{name}: ended in peace");
    }
    target.lives();
}

#[test]
fn pseudo_fields_that_smuggle_into_http_1() {
    let mut target = Target::start("");
    let table: &[(&str, Vec<u8>)] = &[
        ("CRLF in a value", literal("x-a", "1\r\nx-b: 2")),
        ("NUL in a value", literal("x-a", "1\x002")),
        ("upper case in a name", literal("X-A", "1")),
        ("a connection field", literal("connection", "close")),
        ("a transfer coding", literal("transfer-encoding", "chunked")),
        ("a colon in a name", literal("x:a", "1")),
        ("a length that does not fit", literal("content-length", "5")),
        ("another host", literal("host", "evil.example")),
        ("a second path", literal(":path", "/evil")),
    ];
    for (name, field) in table {
        let mut frames = target.attack();
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[get_block("/smuggled"), field.clone()].concat()));
        let how = refused(&mut frames);
        assert!(matches!(how, Some(Refused::Reset | Refused::Ended | Refused::Status(400))), "{name}: {how:?}");
    }
    target.lives();
    target.forwarded_nothing();
}
