//! Tests of the room against real sockets: scripted origins and a scripted DNS server on the loopback address.

mod checks;
mod lanes;
mod names;
mod secured;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::config::compiled::{
    Balance, Dns, HostHeader, HttpOrigin, Origin, OriginKind, OriginTls, Target, Tier, UpstreamProtocol,
};

/// An origin that answers every connection's first request with one status.
struct Scripted {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (status, asked) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (Arc::clone(&status), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                if stream.read(&mut head).await.is_err() {
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let status = told.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    continue;
                }
            }
        });
        Scripted { address, status, asked }
    }
}

/// What the scripted DNS server answers to A questions; `None` = SERVFAIL.
struct Zone {
    server: SocketAddr,
    answer: Arc<Mutex<Option<Vec<Ipv4Addr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Zone {
    /// A server that knows `name.test` and answers NXDOMAIN for the rest, with a TTL of one hour.
    async fn start(addresses: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(Some(addresses.to_vec())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (told, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((size, from)) = socket.recv_from(&mut query).await {
                let (reply, is_a) = reply(&query[..size], told.lock().as_deref());
                count.fetch_add(usize::from(is_a), Ordering::SeqCst);
                if socket.send_to(&reply, from).await.is_err() {
                    break;
                }
            }
        });
        Zone { server, answer, asked }
    }

    fn dns(&self, max_ttl: Duration) -> Dns {
        Dns { min_ttl: Duration::ZERO, max_ttl, servers: vec![self.server] }
    }
}

/// RFC 1035 §4.1, as little of it as one question needs. Also whether it was an A question.
fn reply(query: &[u8], addresses: Option<&[Ipv4Addr]>) -> (Vec<u8>, bool) {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
    let question = &query[12..12 + name + 5];
    let is_a = question[name + 1..name + 3] == [0, 1];
    let known = question[..name].to_ascii_lowercase().starts_with(b"\x04name\x04test");
    let (code, answers) = match addresses {
        None => (2, &[][..]),
        Some(_) if !known => (3, &[][..]),
        Some(addresses) if is_a => (0, addresses),
        Some(_) => (0, &[][..]),
    };
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1, 0, answers.len() as u8, 0, 0, 0, 0]);
    out.extend(question);
    for address in answers {
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
        out.extend(address.octets());
    }
    (out, is_a)
}

/// These configurations have HTTP and generated origins only.
fn no_endpoints(_: &Origin) -> Option<Arc<dyn super::adapter::Endpoint>> {
    None
}

fn target(host: &str, port: u16) -> Target {
    Target { host: host.into(), port, tls: false, weight: 1 }
}

fn http(targets: Vec<Target>) -> HttpOrigin {
    HttpOrigin {
        targets,
        host: HostHeader::Origin,
        balance: Balance::RoundRobin,
        protocol: UpstreamProtocol::H1,
        connect_timeout: Duration::from_secs(3),
        read_timeout: Duration::from_secs(20),
        write_timeout: Duration::from_secs(21),
        keepalive_timeout: Duration::from_secs(5),
        attempts: 2,
        tls: OriginTls { verify: true, sni: None, ca: None, client: None },
        dns: Dns {
            min_ttl: Duration::ZERO,
            max_ttl: Duration::from_secs(60),
            servers: vec!["127.0.0.1:1".parse().unwrap()],
        },
        health: None,
        eject: None,
    }
}

fn origin(name: &str, http: HttpOrigin) -> Origin {
    Origin {
        name: name.into(),
        kind: OriginKind::Http(Box::new(http)),
        headers: Vec::new(),
        path: String::new(),
        tier: Tier::default(),
    }
}

/// Waits until `done`, a few seconds at most.
async fn until(done: impl Fn() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come about");
}
