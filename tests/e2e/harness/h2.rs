//! H2: an HTTP/2 viewer, plain (prior knowledge) or over TLS.
//!
//! In: requests. Out: answers with their trailers, streams that can be read piece by piece. Never: HTTP/1.

use super::{HOST, PATIENCE};
use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use rustls::ClientConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

pub struct H2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    scheme: &'static str,
}

/// One whole HTTP/2 answer.
#[derive(Debug)]
pub struct H2Reply {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

// === impl H2Reply ===
impl H2Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }
}

// === impl H2 ===
impl H2 {
    /// Prior knowledge on a plain port.
    pub fn plain(address: SocketAddr) -> Self {
        let runtime = runtime();
        let sender = runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            open(tcp).await
        });
        H2 { runtime, sender, scheme: "http" }
    }

    /// ALPN on a TLS port; panics when the server picks anything but h2.
    pub fn tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Self {
        let runtime = runtime();
        let name = name.to_owned().try_into().unwrap();
        let sender = runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            let tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            open(tls).await
        });
        H2 { runtime, sender, scheme: "https" }
    }

    pub fn get(&mut self, path: &str) -> H2Reply {
        self.send("GET", path, &[], b"", &[])
    }

    /// A whole exchange; `trailers` are sent after the body when there are any.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
        trailers: &[(&'static str, &str)],
    ) -> H2Reply {
        self.try_send(method, path, fields, body, trailers).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// A whole exchange, or the stream's or connection's error.
    pub fn try_send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
        trailers: &[(&'static str, &str)],
    ) -> Result<H2Reply, h2::Error> {
        let request = build(self.scheme, method, path, fields);
        let mut sender = self.sender.clone();
        let body = Bytes::copy_from_slice(body);
        let trailers: HeaderMap = trailers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        let exchange = async move {
            std::future::poll_fn(|cx| sender.poll_ready(cx)).await?;
            let bare = body.is_empty() && trailers.is_empty();
            let (response, mut stream) = sender.send_request(request, bare)?;
            if !bare {
                stream.send_data(body, trailers.is_empty())?;
            }
            if !trailers.is_empty() {
                stream.send_trailers(trailers)?;
            }
            collect(response).await
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time") })
    }

    /// Several GETs at once on this one connection, answers in the order asked.
    pub fn get_all(&mut self, paths: &[String]) -> Vec<H2Reply> {
        let scheme = self.scheme;
        let asks = paths.iter().map(|path| {
            let (mut sender, request) = (self.sender.clone(), build(scheme, "GET", path, &[]));
            async move {
                std::future::poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
                let (response, _) = sender.send_request(request, true).unwrap();
                collect(response).await.unwrap()
            }
        });
        let all = futures::future::join_all(asks);
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await.expect("answers in time") })
    }

    /// Starts a GET and hands `first` the first body bytes while the answer is still open; then reads the rest.
    pub fn stream(&mut self, path: &str, first: impl FnOnce(&[u8])) -> H2Reply {
        let request = build(self.scheme, "GET", path, &[]);
        let mut sender = self.sender.clone();
        let exchange = async move {
            std::future::poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            let (parts, mut body) = response.await.unwrap().into_parts();
            let run = body.data().await.expect("a first run").unwrap();
            body.flow_control().release_capacity(run.len()).unwrap();
            first(&run);
            let mut all = run.to_vec();
            while let Some(run) = body.data().await {
                let run = run.unwrap();
                body.flow_control().release_capacity(run.len()).unwrap();
                all.extend_from_slice(&run);
            }
            let trailers = body.trailers().await.unwrap().unwrap_or_default();
            H2Reply { status: parts.status.as_u16(), fields: parts.headers, body: all, trailers }
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time") })
    }

    /// Starts `n` GETs one after another, each once the one before has its first body bytes; calls `then` when all have;
    /// then says how each ended.
    pub fn follow(&mut self, n: usize, path: &str, then: impl FnOnce()) -> Vec<Result<(), h2::Error>> {
        let (mut sender, scheme) = (self.sender.clone(), self.scheme);
        let exchanges = async move {
            let mut bodies = Vec::new();
            for _ in 0..n {
                std::future::poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
                let (response, _) = sender.send_request(build(scheme, "GET", path, &[]), true).unwrap();
                let mut body = response.await.unwrap().into_body();
                body.data().await.expect("a first run").unwrap();
                bodies.push(body);
            }
            then();
            let mut ends = Vec::new();
            for mut body in bodies {
                ends.push(loop {
                    match body.data().await {
                        None => break Ok(()),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => break Err(error),
                    }
                });
            }
            ends
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, exchanges).await.expect("ends in time") })
    }
}

async fn open(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (sender, connection) = handshake(io).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender
}

async fn collect(response: h2::client::ResponseFuture) -> Result<H2Reply, h2::Error> {
    let (parts, mut body) = response.await?.into_parts();
    let mut all = Vec::new();
    while let Some(run) = body.data().await {
        let run = run?;
        body.flow_control().release_capacity(run.len())?;
        all.extend_from_slice(&run);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok(H2Reply { status: parts.status.as_u16(), fields: parts.headers, body: all, trailers })
}

fn build(scheme: &str, method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request =
        Request::builder().version(http::Version::HTTP_2).method(method).uri(format!("{scheme}://{HOST}{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
