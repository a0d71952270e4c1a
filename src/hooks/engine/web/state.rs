//! State: what a `wasi:http` component finds behind WASI.
//!
//! In: grants, a memory bound, a deadline. Out: WASI without files, sockets or the host's environment; requests that were granted. Never: a
//! request to where `fetch` does not allow one.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::config::compiled::{FetchGrant, Grants};
use crate::hooks::engine::store::{Bound, Meter};
use crate::hooks::host::HostError;
use crate::hooks::host::fetch::{Outgoing, Share};
use crate::hooks::host::log::{Log, Stream};

/// Bytes of a request's body that a component may send.
const SENT_MAX: usize = 6 << 20;
/// Bytes of one write to stdout or stderr.
const WRITE_MAX: usize = 64 << 10;

/// What a store holds.
pub struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    out: Out,
    pub bound: Bound,
    pub meter: Arc<Meter>,
}

/// Requests of one call.
struct Out {
    fetch: Arc<Share>,
    grant: Option<FetchGrant>,
    deadline: Instant,
    sent: u32,
}

/// Stdout or stderr.
struct Print {
    log: Arc<Mutex<Log>>,
    stream: Stream,
}

type Late = Box<dyn Future<Output = Result<(), Error>> + Send>;

// === impl State ===
impl State {
    pub fn new(grants: &Grants, fetch: &Arc<Share>, memory: usize, deadline: Instant, log: &Arc<Mutex<Log>>) -> Self {
        let mut wasi = WasiCtx::builder();
        for (name, value) in &grants.config {
            wasi.env(name, value);
        }
        for (name, secret) in &grants.secrets {
            wasi.env(name, String::from_utf8_lossy(secret.expose()));
        }
        wasi.stdout(Print { log: Arc::clone(log), stream: Stream::Out });
        wasi.stderr(Print { log: Arc::clone(log), stream: Stream::Err });
        let out = Out { fetch: Arc::clone(fetch), grant: grants.fetch.clone(), deadline, sent: 0 };
        State {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            out,
            bound: Bound::new(memory),
            meter: Arc::default(),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.out }
    }
}

// === impl Out ===
impl WasiHttpHooks for Out {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Late,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Late), Error>> + Send> {
        let (fetch, deadline) = (Arc::clone(&self.fetch), self.deadline);
        self.sent += 1;
        let grant = self.grant.clone().filter(|grant| self.sent <= grant.requests);
        Box::new(async move {
            let Some(grant) = grant else { return Err(Error::HttpRequestDenied) };
            let (head, body) = request.into_parts();
            let body = Limited::new(body, SENT_MAX).collect().await;
            let body = body.map_err(|_| Error::HttpRequestBodySize(None))?.to_bytes();
            let headers =
                head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
            let outgoing = Outgoing {
                method: head.method.as_str().to_owned(),
                url: head.uri.to_string(),
                headers: headers.collect(),
                body,
                timeout: options.and_then(|options| options.first_byte_timeout),
            };
            let incoming = fetch.send(&grant, outgoing, deadline).await.map_err(refused)?;
            let body = Full::new(incoming.body).map_err(|never| match never {}).boxed_unsync();
            let mut response = Response::new(body);
            *response.status_mut() =
                http::StatusCode::from_u16(incoming.status).map_err(|_| Error::HttpProtocolError)?;
            *response.headers_mut() = incoming.headers.into_iter().collect::<HeaderMap>();
            let late: Late = Box::new(async { Ok(()) });
            Ok((response, late))
        })
    }
}

fn refused(error: HostError) -> Error {
    match error {
        HostError::Denied(_) => Error::HttpRequestDenied,
        HostError::Invalid(_) => Error::HttpRequestUriInvalid,
        HostError::Timeout(_) => Error::ConnectionReadTimeout,
        HostError::TooLarge(_) => Error::HttpResponseIncomplete,
        HostError::Failed(_) => Error::DestinationUnavailable,
    }
}

// === impl Print ===
impl IsTerminal for Print {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Print {
    /// WASI 0.2 asks for the other one.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Print { log: Arc::clone(&self.log), stream: self.stream })
    }
}

#[async_trait::async_trait]
impl Pollable for Print {
    async fn ready(&mut self) {}
}

impl OutputStream for Print {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.lock().output(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_MAX)
    }
}
