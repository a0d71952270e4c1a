//! Apis: Lambda's and DynamoDB's own APIs, on addresses of their own, for AWS's SDKs and command line.
//!
//! In: connections of clients. Out: the rooms' answers, to those whose signature is good. Never: the viewers' lanes: nothing here is cached,
//! and no behavior applies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::access::sigv4::{Outcome, PayloadCheck, Verified};
use crate::access::{Asked, Denied, Reason};
use crate::crypto;
use crate::dynamo::{self, Caller};
use crate::message::pairs;
use crate::origin::adapter::{Body, BodyError, whole};

use super::denying;
use super::phases::now_ms;
use super::shared::Shared;

/// Connections of one API at once; another waits.
const CONNECTIONS_MAX: usize = 4096;
/// From a connection's first byte to the end of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
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

/// Serves one API until `ended` says so; connections with a request under way finish it.
pub async fn serve(
    socket: std::net::TcpListener,
    api: Api,
    signer: Option<usize>,
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
                    connection(stream, client, api, signer, shared, ended).await;
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
    stream: TcpStream,
    client: SocketAddr,
    api: Api,
    signer: Option<usize>,
    shared: Arc<Shared>,
    mut ended: watch::Receiver<bool>,
) {
    // Small answers leave at once; a socket that cannot do it works all the same.
    let _ = stream.set_nodelay(true);
    let exchange = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(answer(request, client.ip(), api, signer, &shared).await) }
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

async fn answer(
    request: Request<Incoming>,
    client: IpAddr,
    api: Api,
    signer: Option<usize>,
    shared: &Shared,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    if signer.is_none() && is_from_a_page(&head) {
        log::info!("{api}: {client}: a page of another site is not let in without signatures");
        return refusal(
            api,
            StatusCode::FORBIDDEN,
            "AccessDeniedException",
            "pages may ask only where signatures are checked",
        );
    }
    let most = match api {
        Api::Lambda => LAMBDA_BODY_MAX,
        // One byte more shows the room that there is more.
        Api::Dynamo => dynamo::BODY_MAX + 1,
    };
    let body = match Limited::new(body, most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            return refusal(api, StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", "the request is too large");
        }
    };
    // A browser asks ahead, unsigned, whether its page may ask.
    let asks_ahead = api == Api::Dynamo && head.method == Method::OPTIONS;
    let (verified, body) = match signer
        .filter(|_| !asks_ahead)
        .map(|signer| verify(&head, body.clone(), client, api, signer, shared))
        .transpose()
    {
        Ok(Some((verified, body))) => (Some(verified), body),
        Ok(None) => (None, body),
        Err(denied) => {
            log::info!("{api}: {client} is not let in: {denied}");
            return denial(api, &denied);
        }
    };
    let agent = head.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
    let request = Request::from_parts(head, body);
    let local = &shared.integrations.local;
    match api {
        Api::Lambda => match local.lambda() {
            Some(lambda) => lambda.handle(request).await.map(|body| body.map_err(BodyError::from).boxed_unsync()),
            None => unopened(api),
        },
        Api::Dynamo => match local.dynamo() {
            Some(tables) => {
                let caller = Caller {
                    arn: verified.as_ref().map(|verified| verified.principal().to_owned()),
                    policy: verified.as_ref().and_then(Verified::policy_of_key),
                    source_ip: client,
                    secure: false,
                    user_agent: agent,
                };
                tables.handle(&caller, request).await.map(whole)
            }
            None => unopened(api),
        },
    }
}

/// Whether a browser may have sent it for somebody else's page: it says where it is from, or it believes to ask another host (DNS
/// rebinding). Where no signature is asked for, being on this machine is all that lets a client in, and a page is not.
fn is_from_a_page(head: &http::request::Parts) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = pairs::without_port(host);
    let here =
        host == "localhost" || host.ends_with(".localhost") || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    head.headers.contains_key(ORIGIN) || !here
}

/// Whose request it is, and the body within what it was sent in.
fn verify(
    head: &http::request::Parts,
    body: Bytes,
    client: IpAddr,
    api: Api,
    signer: usize,
    shared: &Shared,
) -> Result<(Verified, Bytes), Denied> {
    let snapshot = shared.live.peek();
    let missing = || Denied { reason: Reason::SignatureInvalid, detail: "its signer is gone".to_owned() };
    let verifier = snapshot.guards.signer(signer).ok_or_else(missing)?;
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let asked = Asked {
        method: head.method.as_str(),
        host,
        path: head.uri.path(),
        query: head.uri.query(),
        fields: &head.headers,
        tls: false,
        viewer: client,
        now_ms: now_ms(),
    };
    let verified = match verifier.verify(&asked, !body.is_empty())? {
        Outcome::Verified(verified) => verified,
        Outcome::NeedsBody(pending) => pending.finish(crypto::sha256(&body))?,
    };
    let mut check = PayloadCheck::new(&verified);
    let begun = check.push(body)?;
    let rest = check.finish()?;
    let body = if begun.is_empty() { rest } else { Bytes::from([begun, rest].concat()) };
    // What a policy says of tables and their items, the tables ask themselves.
    if api == Api::Lambda {
        verifier.authorize(&verified, &asked)?;
    }
    Ok((verified, body))
}

/// What AWS says to those who are not let in.
fn denial(api: Api, denied: &Denied) -> Response<Body> {
    let answer = denying::denied(denied);
    if api == Api::Lambda {
        let mut response = Response::new(Full::new(answer.body).map_err(|never| match never {}).boxed_unsync());
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

fn unopened(api: Api) -> Response<Body> {
    refusal(api, StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", "it is not open yet")
}

fn refusal(api: Api, status: StatusCode, kind: &'static str, words: &str) -> Response<Body> {
    let (content, body) = match api {
        Api::Lambda => ("application/json", json!({ "Type": "User", "message": words })),
        Api::Dynamo => {
            let kind = format!("com.amazon.coral.service#{kind}");
            ("application/x-amz-json-1.0", json!({ "__type": kind, "message": words }))
        }
    };
    let mut response = Response::new(whole(body.to_string()));
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
