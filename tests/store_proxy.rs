//! Store behind Pingora's proxy: a large answer of unknown length with a slow viewer.
//!
//! In: an origin that sends as fast as it can, a viewer that reads slowly, real sockets. Out: the whole body, with bounded
//! memory. Never: another room of this project.
#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use pingora::Result;
use pingora::apps::HttpServerApp;
use pingora::cache::{CacheKey, CacheMeta, RespCacheable};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use rimward::cache::object::{Meta, Stamp};
use rimward::cache::store::{Admission, Tiers};
use rimward::config::compiled;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY: usize = 128 << 20;
const CHUNK: usize = 64 << 10;

struct Front {
    origin: SocketAddr,
    tiers: &'static Tiers,
}

#[async_trait]
impl ProxyHttp for Front {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.origin, false, String::new())))
    }

    fn request_cache_filter(&self, session: &mut Session, (): &mut ()) -> Result<()> {
        session.cache.enable(self.tiers, None, None, None, None);
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, (): &mut ()) -> Result<CacheKey> {
        Ok(CacheKey::new(session.req_header().uri.path(), ""))
    }

    fn response_cache_filter(&self, session: &Session, header: &ResponseHeader, (): &mut ()) -> Result<RespCacheable> {
        let now = SystemTime::now();
        let mut view = CacheMeta::new(now + Duration::from_secs(60), now, 0, 0, header.clone());
        let path = session.req_header().uri.path();
        let meta = Meta {
            status: 200,
            responded_ms: now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64,
            initial_age_ms: 0,
            lifetime_ms: 60_000,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            must_revalidate: false,
            no_cache: false,
            fetch_start: Stamp(1),
            host: "h".into(),
            uri: path.into(),
            tags: [].into(),
            vary: [].into(),
            variance: None,
            masked: false,
        };
        view.extensions_mut().insert(Admission {
            key: path.as_bytes().into(),
            meta,
            strip: vec![],
            max_body: u64::MAX,
            confirmed: None,
        });
        Ok(RespCacheable::Cacheable(view))
    }
}

/// Sends `BODY` bytes in chunks to the first who asks, and cuts the connection of the second in the middle.
async fn origin(listener: TcpListener) {
    for whole in [true, false] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        assert!(read > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut chunk = format!("{CHUNK:x}\r\n").into_bytes();
        chunk.extend_from_slice(&[b'x'; CHUNK]);
        chunk.extend_from_slice(b"\r\n");
        for _ in 0..if whole { BODY / CHUNK } else { 100 } {
            stream.write_all(&chunk).await.unwrap();
        }
        if whole {
            stream.write_all(b"0\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
            // Until the proxy closes.
            let _ = stream.read(&mut request).await;
        }
    }
}

async fn ask(proxy: SocketAddr, path: &str) -> TcpStream {
    let mut viewer = TcpStream::connect(proxy).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    viewer.write_all(request.as_bytes()).await.unwrap();
    viewer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_to_a_slow_viewer_is_whole_and_bounded() {
    let config =
        compiled::Store { memory: 8 << 20, disk: None, collapse_timeout: Duration::from_secs(1), purge_scopes: 10 };
    let tiers = Tiers::open(&config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = Front { origin: listener.local_addr().unwrap(), tiers };
    tokio::spawn(origin(listener));
    let front = http_proxy(&Arc::new(ServerConf::default()), front);
    let front = Arc::new(front);
    let downstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = downstream.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = downstream.accept().await.unwrap();
            let (front, (_, shutdown)) = (front.clone(), tokio::sync::watch::channel(false));
            tokio::spawn(async move {
                let session = ServerSession::new_http1(Box::new(Stream::from(stream)));
                front.process_new_http(session, &shutdown).await
            });
        }
    });

    let mut viewer = ask(address, "/whole").await;
    let (mut got, mut most) = (0, 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = viewer.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        got += buffer[..read].iter().filter(|byte| **byte == b'x').count();
        most = most.max(tiers.stats().fill_bytes);
        // Slower than the origin for the first part.
        if got < 16 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(got, BODY);
    assert!(most > 0 && most < 16 << 20, "{most} bytes in memory");

    let mut viewer = ask(address, "/cut").await;
    let mut answer = Vec::new();
    let _ = viewer.read_to_end(&mut answer).await;
    assert!(!answer.ends_with(b"0\r\n\r\n"), "a cut answer does not look whole");
    assert_eq!(tiers.stats().fills_in_flight, 0);
    assert_eq!(tiers.stats().memory_objects, 0);
}
