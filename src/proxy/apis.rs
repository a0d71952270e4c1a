//! Apis: Lambda's and DynamoDB's own APIs, on addresses of their own, for AWS's SDKs and command line.
//!
//! In: connections of clients. Out: the rooms' answers, to those whose signature is good. Never: the viewers' lanes: nothing here is cached,
//! and no behavior applies.

mod patient;
mod plain;

use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::access::sigv4::{Outcome, Verified, Verifier};
use crate::access::{Asked, Denied, Reason};
use crate::dynamo::{self, Caller};
use crate::integration::ROOM_PAGE;
use crate::message::pairs;
use crate::origin::adapter::{Body, BodyError, whole};

use patient::Patient;

use super::denying;
use super::phases::now_ms;
use super::shared::Shared;
use super::snapshot::Snapshot;

/// Connections of one API at once; another waits.
const CONNECTIONS_MAX: usize = 4096;
/// From a connection's first byte to the end of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a request's body, the wait for room included.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request to Lambda's API: a package of 50 MB in base64, and what is around it.
const LAMBDA_BODY_MAX: usize = 70 << 20;
/// After an error of the listening socket, when there may be no more file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Which API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Lambda,
    Dynamo,
}

// === impl Api ===
impl Api {
    /// Where its address is written.
    pub fn key(self) -> &'static str {
        match self {
            Api::Lambda => "local_lambda.listen",
            Api::Dynamo => "dynamodb.listen",
        }
    }
}

/// Serves one API until `ended` says so; connections with a request under way finish it. `signed`: to those whose signature is good.
pub async fn serve(
    socket: std::net::TcpListener,
    api: Api,
    signed: bool,
    shared: Arc<Shared>,
    mut ended: watch::Receiver<bool>,
) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return log::error!("{api} cannot be served: {error}"),
    };
    let turns = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = over(&mut ended) => return,
        };
        match accepted {
            Ok((stream, client)) => {
                let (shared, ended) = (Arc::clone(&shared), ended.clone());
                tokio::spawn(async move {
                    connection(stream, client, api, signed, shared, ended).await;
                    drop(turn);
                });
            }
            Err(error) => {
                log::warn!("{api}: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    mut stream: TcpStream,
    client: SocketAddr,
    api: Api,
    signed: bool,
    shared: Arc<Shared>,
    mut ended: watch::Receiver<bool>,
) {
    // Small answers leave at once; a socket that cannot do it works all the same.
    let _ = stream.set_nodelay(true);
    let mut begun = BytesMut::new();
    let limits = shared.live.load().config.limits.clone();
    if api == Api::Dynamo {
        let answer = |head, body| plainly(head, body, client.ip(), signed, &shared);
        match plain::serve(&mut stream, &limits, &ended, answer).await {
            Ok(Some(other)) => begun = other,
            Ok(None) => return,
            Err(error) => return log::debug!("{api}: {client}: {error}"),
        }
    }
    let (read, write) = stream.into_split();
    let stream = tokio::io::join(Cursor::new(begun).chain(read), Patient::new(write, limits.write_timeout));
    let exchange = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(answer(request, client.ip(), api, signed, &shared).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), exchange));
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = over(&mut ended) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        log::debug!("{api}: {client}: {error}");
    }
}

/// Waits for the end. Nobody who could say it is the end too.
async fn over(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn answer(request: Request<Incoming>, client: IpAddr, api: Api, signed: bool, shared: &Shared) -> Response<Body> {
    let (head, body) = request.into_parts();
    // One snapshot says who signs and checks it: a reload may have given the number to somebody else.
    let snapshot = shared.live.load();
    let claimed = match let_in(&head, client, api, signed, &snapshot) {
        Ok(claimed) => claimed,
        Err(response) => return (*response).map(whole),
    };
    let (body, _room) = match read(&head, body, api, shared).await {
        Ok(read) => read,
        Err(response) => return response.map(whole),
    };
    if api == Api::Dynamo {
        return tables(head, body, claimed, client, shared).await.map(whole);
    }
    let body = match proven(claimed, &head, body, client, api, shared) {
        Ok((_, body)) => body,
        Err(response) => return (*response).map(whole),
    };
    match shared.integrations.local.lambda() {
        Some(lambda) => {
            let answer = lambda.handle(Request::from_parts(head, body)).await;
            answer.map(|body| body.map_err(BodyError::from).boxed_unsync())
        }
        None => unopened(api).map(whole),
    }
}

/// The same of a plain request to the tables, whose body is there and small.
async fn plainly(head: Parts, body: Bytes, client: IpAddr, signed: bool, shared: &Shared) -> Response<Bytes> {
    let snapshot = shared.live.load();
    match let_in(&head, client, Api::Dynamo, signed, &snapshot) {
        Ok(claimed) => tables(head, body, claimed, client, shared).await,
        Err(response) => *response,
    }
}

async fn tables(
    head: Parts,
    body: Bytes,
    claimed: Option<(&Verifier, Outcome)>,
    client: IpAddr,
    shared: &Shared,
) -> Response<Bytes> {
    let (verified, body) = match proven(claimed, &head, body, client, Api::Dynamo, shared) {
        Ok(proven) => proven,
        Err(response) => return *response,
    };
    let Some(tables) = shared.integrations.local.dynamo() else { return unopened(Api::Dynamo) };
    let agent = head.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let caller = Caller {
        arn: verified.as_ref().map(|verified| verified.principal().to_owned()),
        policy: verified.as_ref().and_then(Verified::policy_of_key),
        source_ip: client,
        secure: false,
        user_agent: agent.map(str::to_owned),
    };
    tables.handle(&caller, Request::from_parts(head, body)).await
}

/// Whether who sent this head may go on: what it claims, where signatures are looked at.
fn let_in<'v>(
    head: &Parts,
    client: IpAddr,
    api: Api,
    signed: bool,
    snapshot: &'v Snapshot,
) -> Result<Option<(&'v Verifier, Outcome)>, Box<Response<Bytes>>> {
    if !signed && is_from_a_page(head) {
        log::info!("{api}: {client}: a page of another site is not let in without signatures");
        let words = "pages may ask only where signatures are checked";
        return Err(Box::new(refusal(api, StatusCode::FORBIDDEN, "AccessDeniedException", words)));
    }
    // A browser asks ahead, unsigned, whether its page may ask.
    let asks_ahead = api == Api::Dynamo && head.method == Method::OPTIONS;
    if !signed || asks_ahead {
        return Ok(None);
    }
    let claimed = signer(api, snapshot).and_then(|verifier| claimed(verifier, head, client));
    claimed.map(Some).map_err(|denied| refused(api, client, &denied))
}

/// Whether the body is what was claimed.
fn proven(
    claimed: Option<(&Verifier, Outcome)>,
    head: &Parts,
    body: Bytes,
    client: IpAddr,
    api: Api,
    shared: &Shared,
) -> Result<(Option<Verified>, Bytes), Box<Response<Bytes>>> {
    let Some(claimed) = claimed else { return Ok((None, body)) };
    let verified = verified(claimed, head, body, client, api, shared);
    verified.map(|(verified, body)| (Some(verified), body)).map_err(|denied| refused(api, client, &denied))
}

fn refused(api: Api, client: IpAddr, denied: &Denied) -> Box<Response<Bytes>> {
    log::info!("{api}: {client} is not let in: {denied}");
    Box::new(denial(api, denied))
}

/// Whether a browser may have sent it for somebody else's page: it says where it is from, or it believes to ask another host (DNS
/// rebinding). Where no signature is asked for, being on this machine is all that lets a client in, and a page is not.
fn is_from_a_page(head: &Parts) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = pairs::without_port(host);
    let here =
        host == "localhost" || host.ends_with(".localhost") || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    head.headers.contains_key(ORIGIN) || !here
}

/// The whole body, and the room that it takes until the answer is there.
async fn read(
    head: &Parts,
    body: Incoming,
    api: Api,
    shared: &Shared,
) -> Result<(Bytes, OwnedSemaphorePermit), Response<Bytes>> {
    let most = match api {
        Api::Lambda => LAMBDA_BODY_MAX,
        // One byte more shows the room that there is more.
        Api::Dynamo => dynamo::BODY_MAX + 1,
    };
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let least = if head.headers.contains_key(TRANSFER_ENCODING) { most } else { announced.unwrap_or_default() };
    if least > most {
        return Err(refusal(
            api,
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            "the request is too large",
        ));
    }
    let pages = u32::try_from(least / ROOM_PAGE + 1).unwrap_or(u32::MAX);
    let room = Arc::clone(&shared.integrations.local.room).acquire_many_owned(pages);
    let reading = async { Some((room.await.ok()?, Limited::new(body, most).collect().await)) };
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Some((room, Ok(body)))) => Ok((body.to_bytes(), room)),
        Ok(Some((_, Err(_)))) => {
            Err(refusal(api, StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", "the request is too large"))
        }
        Ok(None) | Err(_) => Err(refusal(
            api,
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeoutException",
            "the request did not arrive in time",
        )),
    }
}

/// Who checks the signatures of an API, by the configuration in force.
fn signer(api: Api, snapshot: &Snapshot) -> Result<&Verifier, Denied> {
    let config = &snapshot.config;
    let named = match api {
        Api::Lambda => config.local_lambda.as_ref().and_then(|spec| spec.access),
        Api::Dynamo => config.dynamodb.as_ref().and_then(|spec| spec.access),
    };
    let gone = || Denied::new(Reason::SignatureInvalid, "no signer is configured any more");
    named.and_then(|signer| snapshot.guards.signer(signer)).map(Arc::as_ref).ok_or_else(gone)
}

fn asked<'a>(head: &'a Parts, path: &'a str, client: IpAddr) -> Asked<'a, HeaderMap> {
    Asked {
        method: head.method.as_str(),
        host: head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        path,
        query: head.uri.query(),
        fields: &head.headers,
        tls: false,
        viewer: client,
        now_ms: now_ms(),
    }
}

/// What a request's head comes to: before its body is read, so that nobody is read who shows nothing.
fn claimed<'v>(verifier: &'v Verifier, head: &Parts, client: IpAddr) -> Result<(&'v Verifier, Outcome), Denied> {
    let empty = head.headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    let body = !empty || head.headers.contains_key(TRANSFER_ENCODING);
    Ok((verifier, verifier.verify(&asked(head, head.uri.path(), client), body)?))
}

/// Whose request it is, and the body within what it was sent in.
fn verified(
    (verifier, outcome): (&Verifier, Outcome),
    head: &Parts,
    body: Bytes,
    client: IpAddr,
    api: Api,
    shared: &Shared,
) -> Result<(Verified, Bytes), Denied> {
    let (verified, body) = outcome.proven(body)?;
    // What a policy says of tables and their items, the tables ask themselves.
    if api == Api::Lambda {
        verifier.authorize(&verified, &asked(head, head.uri.path(), client), "")?;
        // A function has several names; its own must be allowed too.
        if let Some(plain) = shared.integrations.local.lambda().and_then(|lambda| lambda.plain_path(&head.uri)) {
            verifier.authorize(&verified, &asked(head, &plain, client), "")?;
        }
    }
    Ok((verified, body))
}

/// What AWS says to those who are not let in.
fn denial(api: Api, denied: &Denied) -> Response<Bytes> {
    let answer = denying::denied(denied);
    if api == Api::Lambda {
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        for (name, value) in answer.headers {
            response.headers_mut().append(name, value);
        }
        return response;
    }
    let (kind, words) = match denied.reason {
        Reason::SignatureMissing => ("MissingAuthenticationTokenException", "Request is missing Authentication Token"),
        Reason::SignatureIncomplete => {
            ("IncompleteSignatureException", "The request signature does not conform to AWS standards.")
        }
        _ => (
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
             signing method. Consult the service documentation for details.",
        ),
    };
    refusal(api, StatusCode::BAD_REQUEST, kind, words)
}

fn unopened(api: Api) -> Response<Bytes> {
    refusal(api, StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", "it is not open yet")
}

fn refusal(api: Api, status: StatusCode, kind: &'static str, words: &str) -> Response<Bytes> {
    let (content, body) = match api {
        Api::Lambda => ("application/json", json!({ "Type": "User", "message": words })),
        Api::Dynamo => {
            let kind = format!("com.amazon.coral.service#{kind}");
            ("application/x-amz-json-1.0", json!({ "__type": kind, "message": words }))
        }
    };
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    response
}

// === impl Api ===
impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Api::Lambda => "Lambda's API",
            Api::Dynamo => "DynamoDB's API",
        })
    }
}
