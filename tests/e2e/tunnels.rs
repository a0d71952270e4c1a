//! Tunnels: WebSocket, gRPC and trailers pass through as they are.
//!
//! In: upgrades and long calls. Out: both directions at once, trailers at the end. Never: a cache, a buffer.

use crate::harness::{Gate, H2, Origin, Pop, Raw, Setup};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Accepts the upgrade and echoes every run of bytes in upper case.
fn echo() -> Origin {
    Origin::start(|x| {
        assert_eq!(x.field("upgrade"), Some("websocket"));
        assert_eq!(x.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        let accept =
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        x.head("101 Switching Protocols", accept);
        while let Some(run) = x.read() {
            x.write(run.to_ascii_uppercase());
        }
        x.close();
    })
}

fn upgraded(pop: &Pop) -> Raw {
    let mut viewer = pop.raw();
    viewer.send(UPGRADE);
    let head = viewer.head().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.field("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    viewer
}

#[test]
fn a_websocket_carries_both_directions() {
    let origin = echo();
    let pop = Pop::caching(&origin, "");
    let mut viewer = upgraded(&pop);
    for text in ["hello", "again", "and again"] {
        viewer.send(text);
        assert_eq!(viewer.exactly(text.len()), text.to_uppercase().as_bytes());
    }
    let mut second = upgraded(&pop);
    second.send("other");
    assert_eq!(second.exactly(5), b"OTHER", "an upgrade is never collapsed or cached");
    viewer.send("still");
    assert_eq!(viewer.exactly(5), b"STILL");
}

#[test]
fn bytes_sent_right_behind_the_upgrade_are_not_lost() {
    let origin = echo();
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send(format!("{UPGRADE}early"));
    assert_eq!(viewer.head().unwrap().status, 101);
    assert_eq!(viewer.exactly(5), b"EARLY");
}

#[test]
fn either_end_closes_the_tunnel() {
    let origin = echo();
    let pop = Pop::caching(&origin, "");
    let viewer = upgraded(&pop);
    drop(viewer);
    let origin = Origin::start(|x| {
        x.head("101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
        x.write("bye");
        x.close();
    });
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send(UPGRADE);
    assert_eq!(viewer.head().unwrap().status, 101);
    assert_eq!(viewer.rest(), b"bye");
}

#[test]
fn an_upgrade_that_is_refused_is_an_ordinary_answer() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", "no sockets here");
    let pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send(UPGRADE);
    assert_eq!(viewer.reply("GET").text(), "no sockets here");
    assert_eq!(viewer.get("/next").status, 200, "the connection goes on");
}

#[test]
fn a_101_nobody_asked_for_is_an_error() {
    let origin = Origin::start(|x| {
        x.head("101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
        x.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        x.close();
    });
    let pop = Pop::caching(&origin, "");
    match pop.raw_get("/a") {
        Ok(reply) => assert_eq!(reply.status, 502),
        Err(broken) => assert!(broken.partial.is_none()),
    }
}

#[test]
fn a_chunked_answer_with_trailers_is_whole_without_them() {
    let origin = Origin::start(|x| {
        x.head("200 OK", "Cache-Control: no-store\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n");
        x.chunk("body");
        x.last_chunk("X-Sum: 42\r\n");
    });
    let mut setup = Setup::new(format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o")));
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\n".to_owned();
    let pop = setup.start();
    let reply = H2::plain(pop.extra[0]).get("/a");
    // Pingora reads over what follows the last chunk (RFC 9110 §6.5.1 allows it); README names it.
    assert_eq!((reply.body.as_slice(), reply.trailers.len()), (&b"body"[..], 0));
}

/// A gRPC server: answers each call with its message and status in trailers. Ends with the process.
fn grpc_server(gate: Gate) -> std::net::SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve_grpc(tcp, gate.clone()));
            }
        });
    });
    receiver.recv().unwrap()
}

async fn serve_grpc(tcp: tokio::net::TcpStream, gate: Gate) {
    let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let gate = gate.clone();
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut message = Vec::new();
            while let Some(Ok(run)) = body.data().await {
                let _ = body.flow_control().release_capacity(run.len());
                message.extend_from_slice(&run);
            }
            let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(message.into(), false).unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("grpc-message", "fine".parse().unwrap());
            gate.open();
            stream.send_trailers(trailers).unwrap();
        });
    }
}

#[test]
fn a_grpc_call_keeps_its_trailers_end_to_end() {
    let gate = Gate::new();
    let address = grpc_server(gate.clone());
    let mut setup = Setup::new(format!(
        "[[origin]]\nname = \"g\"\nurl = \"http://{address}\"\nprotocol = \"h2\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"g\"\nmethods = \"all\"\ncache = false\nforward = {{ headers = \"all\" }}\n"
    ));
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\n".to_owned();
    let pop = setup.start();
    let mut h2 = H2::plain(pop.extra[0]);
    for _ in 0..3 {
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let reply = h2.send("POST", "/pkg.Service/Call", &fields, b"\0\0\0\0\x05hello", &[]);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, b"\0\0\0\0\x05hello");
        assert_eq!(reply.trailers.get("grpc-status").unwrap(), "0");
        assert_eq!(reply.trailers.get("grpc-message").unwrap(), "fine");
    }
    gate.wait();
}
