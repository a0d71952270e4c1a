//! Runtime API: what a runtime of one environment asks for and answers, over HTTP.
//!
//! In: connections on a loopback port of the environment's own. Out: what was said, in order. Never: a decision about it, more
//! of an answer in memory than may be sent, a page of a browser on this machine.
//!
//! Lambda Developer Guide, "Using the Lambda runtime API", version 2018-06-01.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Things said that wait to be heard; past it the runtime waits.
const SAID: usize = 8;
/// Pieces of a streamed answer that wait for its reader; past it the runtime waits.
const PIECES: usize = 4;
/// Connections of one environment; more wait.
const CONNECTIONS: usize = 64;
/// How long nothing is accepted after accepting failed.
const PAUSE: Duration = Duration::from_millis(50);

const BASE: &str = "/2018-06-01/runtime/";

/// What the runtime is given to do.
#[derive(Debug)]
pub(crate) struct Order {
    pub request_id: String,
    pub payload: Bytes,
    /// Of what was invoked, with its qualifier.
    pub arn: String,
    pub trace: String,
    /// JSON.
    pub client_context: Option<String>,
    /// Milliseconds since the epoch.
    pub deadline_ms: u64,
}

/// What the runtime said.
#[derive(Debug)]
pub(super) enum Said {
    /// It is ready for an order.
    Next(oneshot::Sender<Arc<Order>>),
    /// It cannot start: the error as JSON.
    InitError(Bytes),
    /// It has answered the order that it has.
    Answer(Posted),
}

#[derive(Debug)]
pub(super) enum Posted {
    Whole(Bytes),
    /// The error as JSON.
    Error(Bytes),
    TooLarge,
    Stream {
        pieces: mpsc::Receiver<Piece>,
    },
}

#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// It gave up midway: the error as JSON.
    Error(Bytes),
    /// All of it was there. Without this the answer is cut off.
    End,
}

/// The endpoint of one environment; dropped, it closes every connection.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    /// The request id that may be answered, once.
    open: Mutex<Option<String>>,
    said: mpsc::Sender<Said>,
    /// Bytes of an answer that is not streamed.
    most: usize,
    /// The address as the runtime is given it.
    host: String,
}

// === impl Desk ===
impl Desk {
    /// Opens a port. `most` bounds answers that are not streamed.
    pub(super) async fn open(most: usize) -> io::Result<(Self, mpsc::Receiver<Said>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (said, heard) = mpsc::channel(SAID);
        let shared = Arc::new(Shared { open: Mutex::new(None), said, most, host: address.to_string() });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared)));
        Ok((Desk { address, shared, _server: server }, heard))
    }

    /// From now on `request_id` may be answered.
    pub(super) fn expect(&self, request_id: &str) {
        *self.shared.open.lock() = Some(request_id.to_owned());
    }

    /// Nothing may be answered any more.
    pub(super) fn close(&self) {
        *self.shared.open.lock() = None;
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&shared)))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Without it each warm call waits for delayed acknowledgements, twice 40 ms.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        log::debug!(target: "lambda", "runtime API: {error}");
    }
}

type Reply = Response<Full<Bytes>>;

/// An environment that ends closes the connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the environment ends")]
struct Ending;

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Reply, Ending> {
    if !from_runtime(request.headers(), &shared.host) {
        return Ok(refusal(StatusCode::FORBIDDEN, "only the runtime may ask"));
    }
    let path = request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix(BASE) else { return Ok(refusal(StatusCode::NOT_FOUND, "no such path")) };
    let parts: Vec<&str> = rest.split('/').collect();
    match (request.method().clone(), parts.as_slice()) {
        (Method::GET, ["invocation", "next"]) => next(&shared).await,
        (Method::POST, ["init", "error"]) => {
            let error = body(request.into_body(), shared.most).await.unwrap_or_default();
            shared.say(Said::InitError(error)).await?;
            Ok(accepted())
        }
        (Method::POST, ["invocation", id, what @ ("response" | "error")]) => {
            if !shared.claim(id) {
                return Ok(refusal(StatusCode::BAD_REQUEST, "this request is not being handled"));
            }
            let (head, incoming) = request.into_parts();
            match *what {
                "error" => {
                    let error = body(incoming, shared.most).await.unwrap_or_default();
                    shared.say(Said::Answer(Posted::Error(error))).await?;
                    Ok(accepted())
                }
                _ if streams(&head.headers) => stream(&shared, incoming).await,
                _ => whole(&shared, incoming).await,
            }
        }
        _ => Ok(refusal(StatusCode::NOT_FOUND, "no such path")),
    }
}

// === impl Shared ===
impl Shared {
    async fn say(&self, said: Said) -> Result<(), Ending> {
        self.said.send(said).await.map_err(|_| Ending)
    }

    /// Whether `id` may be answered; it may not be again.
    fn claim(&self, id: &str) -> bool {
        let mut open = self.open.lock();
        let ours = open.as_deref() == Some(id);
        if ours {
            *open = None;
        }
        ours
    }
}

/// Whether a runtime can have sent this: it asks the address that it was given. Pages in a browser on this machine say that
/// they are pages (`Origin`, `Sec-Fetch-Site`), and under a name of their own that leads here, that name.
fn from_runtime(headers: &HeaderMap, host: &str) -> bool {
    let page = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    let mut hosts = headers.get_all(header::HOST).iter();
    !page && hosts.next().is_some_and(|asked| asked == host) && hosts.next().is_none()
}

async fn next(shared: &Shared) -> Result<Reply, Ending> {
    let (give, wait) = oneshot::channel();
    shared.say(Said::Next(give)).await?;
    let order = wait.await.map_err(|_| Ending)?;
    let mut reply = Response::new(Full::new(order.payload.clone()));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let deadline = order.deadline_ms.to_string();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", Some(order.request_id.as_str())),
        ("lambda-runtime-deadline-ms", Some(deadline.as_str())),
        ("lambda-runtime-invoked-function-arn", Some(order.arn.as_str())),
        ("lambda-runtime-trace-id", Some(order.trace.as_str())),
        ("lambda-runtime-client-context", order.client_context.as_deref()),
    ] {
        // What a header cannot carry was refused where it came in.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(reply)
}

fn streams(headers: &HeaderMap) -> bool {
    headers.get("lambda-runtime-function-response-mode").is_some_and(|mode| mode.as_bytes() == b"streaming")
}

async fn whole(shared: &Shared, incoming: Incoming) -> Result<Reply, Ending> {
    match body(incoming, shared.most).await {
        Ok(bytes) => {
            shared.say(Said::Answer(Posted::Whole(bytes))).await?;
            Ok(accepted())
        }
        Err(Unread::TooLarge) => {
            shared.say(Said::Answer(Posted::TooLarge)).await?;
            Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE, "the answer exceeds the limit"))
        }
        // Its process is gone, or soon is: that is seen elsewhere.
        Err(Unread::Broken) => Err(Ending),
    }
}

async fn stream(shared: &Shared, mut incoming: Incoming) -> Result<Reply, Ending> {
    let (give, pieces) = mpsc::channel(PIECES);
    shared.say(Said::Answer(Posted::Stream { pieces })).await?;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Ending)?;
        let piece = match frame.into_data() {
            Ok(data) => Piece::Data(data),
            Err(frame) => match frame.into_trailers().ok().and_then(|trailers| midway(&trailers)) {
                Some(error) => Piece::Error(error),
                None => continue,
            },
        };
        let last = matches!(piece, Piece::Error(_));
        give.send(piece).await.map_err(|_| Ending)?;
        if last {
            return Ok(accepted());
        }
    }
    give.send(Piece::End).await.map_err(|_| Ending)?;
    Ok(accepted())
}

/// An error that the runtime met while it streamed: trailers with its type, and its body in base64.
fn midway(trailers: &HeaderMap) -> Option<Bytes> {
    let kind = trailers.get("lambda-runtime-function-error-type")?;
    let body = trailers.get("lambda-runtime-function-error-body").and_then(|body| STANDARD.decode(body).ok());
    let plain = || json!({ "errorType": String::from_utf8_lossy(kind.as_bytes()) }).to_string().into_bytes();
    Some(Bytes::from(body.filter(|body| !body.is_empty()).unwrap_or_else(plain)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    TooLarge,
    Broken,
}

/// All of a body that has at most `most` bytes. What is beyond is read and dropped, so that the runtime hears the answer.
async fn body(mut incoming: Incoming, most: usize) -> Result<Bytes, Unread> {
    let mut all = BytesMut::new();
    let mut over = false;
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        over |= all.len() + data.len() > most;
        if over {
            all.clear();
        } else {
            all.extend_from_slice(&data);
        }
    }
    if over { Err(Unread::TooLarge) } else { Ok(all.freeze()) }
}

fn accepted() -> Reply {
    reply(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn refusal(status: StatusCode, message: &str) -> Reply {
    let kind = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
        StatusCode::BAD_REQUEST => "InvalidRequestID",
        StatusCode::FORBIDDEN => "AccessDenied",
        _ => "NotFound",
    };
    reply(status, &json!({ "errorType": kind, "errorMessage": message }))
}

fn reply(status: StatusCode, body: &serde_json::Value) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body.to_string())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_browsers_are_no_runtimes() {
        for (fields, want) in [
            (&[("host", "127.0.0.1:9")][..], true),
            (&[("host", "127.0.0.1:9"), ("sec-fetch-mode", "cors")], true),
            (&[("host", "127.0.0.1:9"), ("origin", "null")], false),
            (&[("host", "127.0.0.1:9"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "rebound.example:9")], false),
            (&[("host", "localhost:9")], false),
            (&[("host", "127.0.0.1:9"), ("host", "127.0.0.1:9")], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(from_runtime(&headers, "127.0.0.1:9"), want, "{fields:?}");
        }
    }
}
