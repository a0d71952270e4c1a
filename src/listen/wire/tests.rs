//! What a proxy behind a wire sees, and when it is made to stop.

use super::super::head::{Parsed, parse, slots};
use super::super::tests::limits;
use super::*;
use pingora::protocols::Peek;
use pingora::protocols::http::ServerSession;
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};

const TINY: Duration = Duration::from_millis(20);

/// A wire with these limits, and the viewer's end of its connection.
fn wire(limits: Limits) -> (Wire, DuplexStream) {
    let (viewer, server) = duplex(1 << 16);
    (Wire::new(Box::new(server), Arc::new(limits)), viewer)
}

async fn read_some(wire: &mut Wire) -> io::Result<Vec<u8>> {
    let mut out = vec![0; 4096];
    let n = wire.read(&mut out).await?;
    out.truncate(n);
    Ok(out)
}

/// Reads until the body is finished; whatever comes after it must not come.
async fn read_body(wire: &mut Wire) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    while !wire.body_finished() {
        let bytes = read_some(wire).await?;
        assert!(!bytes.is_empty(), "the connection ended inside the body");
        body.extend(bytes);
    }
    Ok(body)
}

/// Whether a read has nothing to say yet.
async fn silent(wire: &mut Wire) -> bool {
    timeout(TINY, read_some(wire)).await.is_err()
}

#[tokio::test]
async fn pipelined_requests_come_one_at_a_time() {
    let (mut wire, mut viewer) = wire(limits());
    viewer.write_all(b"HEAD1body!HEAD23\r\nabc\r\n0\r\n\r\nHEAD3").await.unwrap();
    assert_eq!(wire.fill().await.unwrap(), 33);

    assert_eq!(&wire.take_head(5)[..], b"HEAD1");
    wire.begin(Framing::Length(5), false, false);
    assert_eq!(read_body(&mut wire).await.unwrap(), b"body!");
    assert!(silent(&mut wire).await);
    assert!(wire.next_request());

    assert_eq!(&wire.take_head(5)[..], b"HEAD2");
    wire.begin(Framing::Chunked, false, false);
    assert_eq!(read_body(&mut wire).await.unwrap(), b"3\r\nabc\r\n0\r\n\r\n");
    assert!(wire.next_request());

    assert_eq!(wire.buffer(), b"HEAD3");
    assert_eq!(wire.received(), 33);
}

#[tokio::test]
async fn heads_answered_in_front_leave_no_trace() {
    let (mut wire, mut viewer) = wire(limits());
    for _ in 0..3 {
        viewer.write_all(b"HEAD1HEAD2").await.unwrap();
        assert_eq!(wire.fill().await.unwrap(), 10);
        for head in [b"HEAD1", b"HEAD2"] {
            assert!(wire.buffer().starts_with(head));
            wire.skip_head(5);
            wire.write_all(b"answer").await.unwrap();
        }
        assert!(wire.buffer().is_empty() && wire.body_finished());
    }
    assert_eq!((wire.received(), wire.sent()), (30, 36));
}

#[tokio::test]
async fn a_read_past_the_end_is_taken_back() {
    let (mut wire, mut viewer) = wire(limits());
    for framing in [Framing::Length(4), Framing::Chunked] {
        wire.begin(framing, false, false);
        let body: &[u8] = if framing == Framing::Chunked { b"1\r\nx\r\n0\r\n\r\n" } else { b"body" };
        viewer.write_all(body).await.unwrap();
        viewer.write_all(b"NEXT").await.unwrap();
        assert_eq!(read_body(&mut wire).await.unwrap(), body);
        assert!(wire.next_request());
        assert_eq!(&wire.take_head(4)[..], b"NEXT");
    }
}

#[tokio::test]
async fn a_body_that_is_not_whole_ends_the_connection() {
    let (mut wire, mut viewer) = wire(limits());
    wire.begin(Framing::Length(10), false, false);
    viewer.write_all(b"half").await.unwrap();
    assert_eq!(read_some(&mut wire).await.unwrap(), b"half");
    drop(viewer);
    assert_eq!(read_some(&mut wire).await.unwrap(), b"");
    assert!(!wire.next_request());
}

#[tokio::test]
async fn bad_chunks_are_an_error_and_not_a_byte() {
    for (good, bad, reason) in [
        ("3\r\nabc\r\n", "x\r\n", "invalid chunk size"),
        ("3\r\nabc\r\n", "3\nabc\r\n0\r\n\r\n", "invalid chunk size"),
        ("3\r\nabc", "d\r\n", "chunk longer than its size"),
        ("0\r\n", "A : b\r\n\r\n", "invalid trailer field"),
    ] {
        let (mut wire, mut viewer) = wire(limits());
        wire.begin(Framing::Chunked, false, false);
        viewer.write_all(good.as_bytes()).await.unwrap();
        assert_eq!(read_some(&mut wire).await.unwrap(), good.as_bytes());
        viewer.write_all(bad.as_bytes()).await.unwrap();
        let error = read_some(&mut wire).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{bad:?}");
        assert_eq!(Refusal::of(&error), Some(Refusal::bad(reason)), "{bad:?}");
        assert_eq!(wire.refusal(), Some(Refusal::bad(reason)), "{bad:?}");
        assert!(!wire.next_request());
    }
}

#[tokio::test]
async fn a_chunked_body_is_capped() {
    let (mut wire, mut viewer) = wire(Limits { body_size: 4, ..limits() });
    wire.begin(Framing::Chunked, false, false);
    viewer.write_all(b"3\r\nabc\r\n2\r\n").await.unwrap();
    let error = read_some(&mut wire).await.unwrap_err();
    assert_eq!(Refusal::of(&error).map(|refusal| refusal.status), Some(413));
}

#[tokio::test]
async fn a_viewer_that_goes_away_is_noticed_after_its_body() {
    let (mut wire, viewer) = wire(limits());
    wire.begin(Framing::None, false, false);
    assert!(silent(&mut wire).await);
    drop(viewer);
    assert_eq!(read_some(&mut wire).await.unwrap(), b"");
}

#[tokio::test]
async fn a_viewer_that_ends_after_its_last_request_still_gets_answers() {
    let (mut wire, mut viewer) = wire(limits());
    wire.begin(Framing::None, false, false);
    viewer.write_all(b"NEXT").await.unwrap();
    AsyncWriteExt::shutdown(&mut viewer).await.unwrap();
    assert!(silent(&mut wire).await);
    assert!(wire.next_request());
    assert_eq!(&wire.take_head(4)[..], b"NEXT");
    assert_eq!(wire.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn requests_sent_ahead_are_bounded() {
    let (mut wire, mut viewer) = wire(limits());
    wire.begin(Framing::None, false, false);
    viewer.write_all(&vec![b'x'; 1 << 16]).await.unwrap();
    assert!(silent(&mut wire).await);
    assert!(wire.buffer().len() < AHEAD + READ, "{}", wire.buffer().len());
}

#[tokio::test]
async fn slow_heads_end() {
    let (mut wire, mut viewer) = wire(Limits { header_timeout: TINY, ..limits() });
    viewer.write_all(b"GET /").await.unwrap();
    assert_eq!(wire.fill().await.unwrap(), 5);
    let error = wire.fill().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(wire.refusal().map(|refusal| refusal.status), Some(408));
}

#[tokio::test]
async fn a_dripped_head_ends_although_bytes_come() {
    let (mut wire, mut viewer) = wire(Limits { header_timeout: TINY, ..limits() });
    let dripping = tokio::spawn(async move {
        while viewer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(TINY / 5).await;
        }
    });
    let error = loop {
        if let Err(error) = wire.fill().await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(wire);
    dripping.await.unwrap();
}

#[tokio::test]
async fn idle_connections_end_without_an_answer() {
    let (mut wire, _viewer) = wire(Limits { idle_timeout: TINY, ..limits() });
    assert_eq!(wire.fill().await.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(wire.refusal(), None);
}

#[tokio::test]
async fn slow_bodies_end() {
    let stalled = Limits { body_timeout: TINY, ..limits() };
    let dripped = Limits { body_min_rate: 1 << 20, body_grace: TINY, ..limits() };
    for limits in [stalled, dripped] {
        let (mut wire, mut viewer) = wire(limits);
        wire.begin(Framing::Length(1000), false, false);
        viewer.write_all(b"x").await.unwrap();
        assert_eq!(read_some(&mut wire).await.unwrap(), b"x");
        let error = read_some(&mut wire).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(Refusal::of(&error).map(|refusal| refusal.status), Some(408));
    }
}

#[tokio::test]
async fn a_body_held_back_for_a_100_is_not_slow() {
    let (mut wire, mut viewer) = wire(Limits { body_timeout: TINY, ..limits() });
    wire.begin(Framing::Length(4), true, false);
    assert!(timeout(TINY * 3, read_some(&mut wire)).await.is_err());
    wire.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.unwrap();
    assert!(timeout(TINY * 3, read_some(&mut wire)).await.is_err());
    wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    viewer.write_all(b"bo").await.unwrap();
    assert_eq!(read_some(&mut wire).await.unwrap(), b"bo");
    assert_eq!(read_some(&mut wire).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_tunnel_opens_with_a_101_only() {
    let (mut wire, mut viewer) = wire(limits());
    wire.begin(Framing::None, false, true);
    viewer.write_all(b"early").await.unwrap();
    assert!(silent(&mut wire).await);
    wire.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
    assert_eq!(read_some(&mut wire).await.unwrap(), b"early");
    viewer.write_all(b"late").await.unwrap();
    assert_eq!(read_some(&mut wire).await.unwrap(), b"late");
    assert!(!wire.next_request());

    let (mut wire, mut viewer) = self::wire(limits());
    wire.begin(Framing::None, false, true);
    wire.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    wire.write_all(b"HTTP/1.1 101 is only a body").await.unwrap();
    viewer.write_all(b"NEXT").await.unwrap();
    assert!(silent(&mut wire).await);
    assert!(wire.next_request());
    assert_eq!(wire.buffer(), b"NEXT");
}

#[tokio::test]
async fn a_pending_reader_is_woken_when_the_tunnel_opens() {
    let (mut wire, mut viewer) = wire(limits());
    wire.begin(Framing::None, false, true);
    viewer.write_all(b"early").await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(wire);
    let read = tokio::spawn(async move {
        let mut out = [0; 5];
        reader.read_exact(&mut out).await.map(|_| out)
    });
    tokio::task::yield_now().await;
    writer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
    assert_eq!(&read.await.unwrap().unwrap(), b"early");
}

#[tokio::test]
async fn idle_tunnels_end() {
    let (mut wire, _viewer) = wire(Limits { idle_timeout: TINY, ..limits() });
    wire.begin(Framing::None, false, true);
    wire.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
    assert_eq!(read_some(&mut wire).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_viewer_that_takes_no_bytes_is_let_go() {
    for h2 in [false, true] {
        let (viewer, server) = duplex(16);
        let mut wire = Wire::new(Box::new(server), Arc::new(Limits { write_timeout: TINY, ..limits() }));
        if h2 {
            wire = wire.into_h2();
        }
        let error = wire.write_all(&[b'x'; 100]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(wire.sent(), 16);
        drop(viewer);
    }
}

#[tokio::test]
async fn http2_is_seen_by_its_preface() {
    for (sent, want) in [(PREFACE, true), (b"PRI * HTTP/2.0\r\n\r\nXX", false), (b"PUT", false), (b"PR", false)] {
        let (mut wire, mut viewer) = wire(limits());
        viewer.write_all(sent).await.unwrap();
        AsyncWriteExt::shutdown(&mut viewer).await.unwrap();
        assert_eq!(wire.speaks_h2().await.unwrap(), want);
        assert_eq!(wire.buffer(), sent);
    }
}

#[tokio::test]
async fn http2_floods_end_and_bytes_pass() {
    let (wire, mut viewer) = wire(Limits { h2_resets: 2, ..limits() });
    let mut wire = wire.into_h2();
    viewer.write_all(PREFACE).await.unwrap();
    let mut peeked = [0; 24];
    assert!(wire.try_peek(&mut peeked).await.unwrap());
    assert_eq!(peeked, PREFACE);
    assert_eq!(read_some(&mut wire).await.unwrap(), PREFACE);
    let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    viewer.write_all(&reset.repeat(2)).await.unwrap();
    assert_eq!(read_some(&mut wire).await.unwrap(), reset.repeat(2));
    viewer.write_all(&reset).await.unwrap();
    assert_eq!(read_some(&mut wire).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn http2_that_never_begins_ends() {
    let (wire, _viewer) = wire(Limits { header_timeout: TINY, ..limits() });
    assert_eq!(read_some(&mut wire.into_h2()).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_refused_viewer_gets_the_whole_answer_while_it_sends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let stream: pingora::protocols::l4::stream::Stream = socket.into();
        let mut wire = Wire::new(Box::new(stream), Arc::new(limits()));
        wire.fill().await.unwrap();
        wire.refuse(&Refusal::bad("no").render("FRA")).await;
    });
    let mut viewer = tokio::net::TcpStream::connect(address).await.unwrap();
    viewer.write_all(&vec![b'x'; 100_000]).await.unwrap();
    let mut answer = String::new();
    viewer.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.ends_with("\r\n\r\nno\n"), "{answer}");
    drop(viewer);
    server.await.unwrap();
}

/// What Pingora makes of a request that came through a wire: method, target, Host, and the body decoded.
async fn seen_by_pingora(sent: &[u8]) -> (String, Vec<u8>) {
    let (mut wire, mut viewer) = wire(limits());
    viewer.write_all(sent).await.unwrap();
    wire.fill().await.unwrap();
    let mut slots = slots();
    let Parsed::Complete(request) = parse(wire.buffer(), &mut slots, &wire.limits) else {
        panic!("refused: {}", sent.escape_ascii());
    };
    let rewritten = request.rewritten(&wire.buffer()[..request.len]);
    let decided = format!("{} {} {}", request.head.method, request.head.target, request.head.host);
    let (len, framing) = (request.len, request.framing);
    let head = wire.take_head(len);
    wire.begin(framing, false, false);

    let mut session = ServerSession::new_http1(Box::new(wire));
    session.set_keepalive(Some(60));
    session.set_pipelined_prefix(rewritten.unwrap_or(head));
    assert!(session.read_request().await.unwrap());
    let header = session.req_header();
    let host = header.headers.get("host").map_or("", |host| host.to_str().unwrap());
    let path = std::str::from_utf8(header.raw_path()).unwrap();
    assert_eq!(decided, format!("{} {path} {host}", header.method));
    let mut body = Vec::new();
    while let Some(bytes) = session.read_request_body().await.unwrap() {
        body.extend_from_slice(&bytes);
    }
    (decided, body)
}

/// What was decided on and what is forwarded are the same request.
#[tokio::test]
async fn pingora_reads_what_was_decided() {
    for (sent, want, body) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\nNEXT", "GET / h", ""),
        ("\r\nGET //a?b=|{} HTTP/1.1\r\nHost: h:1\r\n\r\nNEXT", "GET //a?b=|{} h:1", ""),
        ("GET http://h/a HTTP/1.1\r\nHost: H\r\n\r\nNEXT", "GET /a H", ""),
        ("GET http://h/a HTTP/1.0\r\n\r\nNEXT", "GET /a h", ""),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\nNEXT", "OPTIONS * h", ""),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 004\r\n\r\nbodyNEXT", "PUT / h", "body"),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n\
             03;a=\"b c\"\r\nbod\r\n1\r\ny\r\n000\r\nA: b\r\n\r\nNEXT",
            "PUT / h",
            "body",
        ),
    ] {
        assert_eq!(seen_by_pingora(sent.as_bytes()).await, (want.to_owned(), body.as_bytes().to_vec()), "{sent:?}");
    }
}

/// Pingora takes a wire as its stream and gives the same wire back.
#[tokio::test]
async fn a_wire_survives_being_a_stream() {
    let (wire, mut viewer) = wire(limits());
    let mut stream: Stream = Box::new(wire);
    viewer.write_all(b"NEXT").await.unwrap();
    let mut out = [0; 1];
    assert!(timeout(TINY, stream.read(&mut out)).await.is_err());
    let wire = stream.into_any().downcast::<Wire>().unwrap();
    assert_eq!(wire.buffer(), b"NEXT");
}

/// A body as it is framed, and how.
fn framed(kind: u8, payload: &[u8]) -> (Framing, Vec<u8>) {
    match kind {
        0 => (Framing::None, Vec::new()),
        1 => (Framing::Length(payload.len() as u64), payload.to_vec()),
        _ => {
            let mut body: Vec<u8> = payload
                .chunks(7)
                .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
                .collect();
            body.extend_from_slice(b"0\r\n\r\n");
            (Framing::Chunked, body)
        }
    }
}

proptest! {
    /// However requests are cut into packets and reads, each is given its own bytes.
    #[test]
    fn requests_are_cut_where_they_end(
        messages in prop::collection::vec((0_u8..3, prop::collection::vec(any::<u8>(), 0..60)), 1..6),
        packet in 1_usize..100,
        read in 1_usize..100,
    ) {
        let messages: Vec<_> = messages.iter().map(|(kind, payload)| framed(*kind, payload)).collect();
        let sent: Vec<u8> = messages.iter().flat_map(|(_, body)| [b"HEAD", body.as_slice()].concat()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut wire, mut viewer) = wire(limits());
            let sending = tokio::spawn(async move {
                for piece in sent.chunks(packet) {
                    viewer.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                viewer
            });
            for (framing, body) in &messages {
                while wire.buffer().len() < 4 {
                    assert_ne!(wire.fill().await.unwrap(), 0);
                }
                assert_eq!(&wire.take_head(4)[..], b"HEAD");
                wire.begin(*framing, false, false);
                let mut got = Vec::new();
                while !wire.body_finished() {
                    let mut out = vec![0; read];
                    let n = wire.read(&mut out).await.unwrap();
                    assert_ne!(n, 0);
                    got.extend_from_slice(&out[..n]);
                }
                assert_eq!(&got, body);
                assert!(wire.next_request());
            }
            assert!(wire.buffer().is_empty());
            sending.await.unwrap();
        });
    }
}

#[tokio::test]
async fn http2_comes_round_again_to_send_what_it_wrote_and_for_nothing_else() {
    let (wire, mut viewer) = wire(limits());
    let mut wire = wire.into_h2();
    wire.flush().await.unwrap();
    assert_eq!(wire.owed, Owed::Nothing);
    for answer in [b"one", b"two"] {
        wire.write_all(answer).await.unwrap();
        wire.flush().await.unwrap();
        assert_eq!(wire.owed, Owed::Soon, "one more round, however many answers there are");
    }
    assert!(silent(&mut wire).await);
    let mut got = [0; 6];
    viewer.read_exact(&mut got).await.unwrap();
    assert_eq!((&got, wire.owed), (b"onetwo", Owed::Nothing));
    wire.flush().await.unwrap();
    assert_eq!(wire.owed, Owed::Nothing, "without bytes there is no reason to come round again");
}
