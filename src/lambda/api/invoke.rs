//! Invoke: one call of a function, answered whole or as it streams.
//!
//! In: the request of `Invoke` or `InvokeWithResponseStream`. Out: the answer; a function's own error is one too. Never: a call
//! that breaks a limit of the service.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;

use super::{Call, empty};
use crate::lambda::fault::{Fault, Reason};
use crate::lambda::name::{Asked, Owner};
use crate::lambda::queue::Event;
use crate::lambda::registry::Resolved;
use crate::lambda::run::{Answer, Part, Reply};
use crate::lambda::schedule::Work;
use crate::lambda::{Body, Inner, LambdaError, frames, full, now_ms};

/// Bytes of a client context in base64 (Lambda API reference, "Invoke").
const CONTEXT_MAX: usize = 3583;
/// Bytes of a trace header that is passed on; longer ones are replaced.
const TRACE_MAX: usize = 512;
/// What a call without a payload gives its function.
const NOTHING: &[u8] = b"{}";
/// What every failed call is called now; `Handled` was Node's `context.fail`.
const FAILED: &str = "Unhandled";

const EXECUTED: HeaderName = HeaderName::from_static("x-amz-executed-version");

/// How a call is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

/// `Invoke`.
pub(super) async fn whole(inner: &Inner, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let asked = prepare(inner, name, &call, Kind::RequestResponse)?;
    let executed = asked.resolved.version.version.clone();
    match asked.kind {
        Kind::DryRun => return Ok(empty(StatusCode::NO_CONTENT)),
        Kind::Event => return accept(inner, asked, call).await,
        Kind::RequestResponse => {}
    }
    let tail = asked.tail;
    let mut response = match run(inner, asked, call, false).await? {
        Answer::Whole(reply) => whole_response(reply, tail),
        // Never asked for; an answer all the same.
        Answer::Stream { parts } => Response::new(chunks(parts, tail)),
        Answer::Throttled => return Err(Fault::throttled(Reason::Concurrency)),
    };
    insert(response.headers_mut(), EXECUTED, &executed);
    Ok(response)
}

/// `InvokeWithResponseStream`.
pub(super) async fn streamed(inner: &Inner, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let asked = prepare(inner, name, &call, Kind::RequestResponse)?;
    let executed = asked.resolved.version.version.clone();
    let tail = asked.tail;
    let mut response = match asked.kind {
        Kind::DryRun => return Ok(empty(StatusCode::NO_CONTENT)),
        Kind::Event => return Err(Fault::invalid("InvocationType Event cannot be streamed")),
        Kind::RequestResponse => match run(inner, asked, call, true).await? {
            Answer::Throttled => return Err(Fault::throttled(Reason::Concurrency)),
            Answer::Stream { parts } => Response::new(chunks(parts, tail)),
            Answer::Whole(reply) => {
                let log = tail.then_some(reply.log.as_str());
                let mut all = Vec::new();
                if reply.failed {
                    let details = String::from_utf8_lossy(&reply.payload);
                    all.extend(frames::complete(Some((FAILED, &details)), log));
                } else {
                    all.extend(frames::chunk(&reply.payload));
                    all.extend(frames::complete(None, log));
                }
                Response::new(full(all.into()))
            }
        },
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(frames::CONTENT_TYPE));
    insert(response.headers_mut(), EXECUTED, &executed);
    Ok(response)
}

/// `InvokeAsync`, which `Invoke` with type `Event` has replaced.
pub(super) async fn legacy(inner: &Inner, name: &str, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let asked = prepare(inner, name, &call, Kind::Event)?;
    accept(inner, asked, call).await
}

/// Answers as soon as the call is on disk.
async fn accept(inner: &Inner, asked: Prepared, call: Call<'_>) -> Result<Response<Body>, Fault> {
    let now_ms = now_ms();
    let event = Event {
        request_id: call.id.to_owned(),
        function: asked.resolved.version.name.clone(),
        qualifier: asked.qualifier,
        trace: trace(call.headers),
        client_context: asked.client_context,
        accepted_ms: now_ms,
        next_ms: now_ms,
        failures: 0,
        refusals: 0,
        hops: 0,
        deliver: None,
        payload: payload(call.body),
    };
    let limits = inner.spec.load().limits;
    inner.queue.put(event, (limits.queue, limits.queue_size)).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// A call that may be made.
struct Prepared {
    resolved: Resolved,
    qualifier: Option<String>,
    kind: Kind,
    tail: bool,
    client_context: Option<String>,
}

fn prepare(inner: &Inner, name: &str, call: &Call<'_>, usual: Kind) -> Result<Prepared, Fault> {
    let spec = inner.spec.load();
    let owner = Owner { region: &spec.region, account: &spec.account };
    let asked = Asked::parse(name, call.target.query("Qualifier"), &owner)?;
    let kind = match text(call.headers, "x-amz-invocation-type") {
        None => usual,
        Some("RequestResponse") => Kind::RequestResponse,
        Some("Event") => Kind::Event,
        Some("DryRun") => Kind::DryRun,
        Some(other) => {
            return Err(Fault::validation(format!(
                "1 validation error detected: Value '{other}' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
            )));
        }
    };
    let tail = match text(call.headers, "x-amz-log-type") {
        None | Some("None") => false,
        Some("Tail") => true,
        Some(other) => {
            return Err(Fault::validation(format!(
                "1 validation error detected: Value '{other}' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]"
            )));
        }
    };
    let most = if kind == Kind::Event { spec.limits.event } else { spec.limits.payload };
    if call.body.len() > most {
        let operation = if kind == Kind::Event { "InvokeAsync" } else { "InvokeFunction" };
        return Err(Fault::too_large(most as u64, operation));
    }
    if !call.body.is_empty() {
        serde_json::from_slice::<IgnoredAny>(&call.body)
            .map_err(|error| Fault::content(format!("Could not parse request body into json: {error}")))?;
    }
    let client_context = text(call.headers, "x-amz-client-context").map(context).transpose()?;
    let dice = rand::random::<f64>();
    let resolved = inner.registry.resolve(&asked.name, asked.qualifier.as_deref(), &owner, dice)?;
    Ok(Prepared { resolved, qualifier: asked.qualifier, kind, tail, client_context })
}

/// The client's context as JSON on one line, as a header carries it to the runtime.
fn context(base64: &str) -> Result<String, Fault> {
    let bad = || Fault::content("Client context must be a valid Base64-encoded JSON object.");
    if base64.len() > CONTEXT_MAX {
        return Err(bad());
    }
    let json: serde_json::Value =
        serde_json::from_slice(&STANDARD.decode(base64).map_err(|_| bad())?).map_err(|_| bad())?;
    // A header carries ASCII; JSON can say everything in it.
    let mut escaped = String::new();
    for c in json.to_string().chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    if json.is_object() { Ok(escaped) } else { Err(bad()) }
}

async fn run(inner: &Inner, asked: Prepared, call: Call<'_>, streams: bool) -> Result<Answer, Fault> {
    let Prepared { resolved, client_context, .. } = asked;
    let seat = inner.seats.take(&resolved.version.name).map_err(Fault::throttled)?;
    let work = Work {
        request_id: call.id.to_owned(),
        payload: payload(call.body),
        arn: resolved.arn,
        trace: trace(call.headers),
        client_context,
        streams,
    };
    match inner.schedule.run(resolved.version, work, seat).await {
        Some(answer) => Ok(answer),
        None => Err(Fault::service(&LambdaError::Closing)),
    }
}

fn payload(body: Bytes) -> Bytes {
    if body.is_empty() { Bytes::from_static(NOTHING) } else { body }
}

/// The caller's trace, or a new one (X-Ray Developer Guide, "Tracing header").
fn trace(headers: &HeaderMap) -> String {
    match text(headers, "x-amzn-trace-id") {
        Some(trace) if trace.starts_with("Root=") && trace.len() <= TRACE_MAX => trace.to_owned(),
        _ => super::trace(),
    }
}

fn whole_response(reply: Reply, tail: bool) -> Response<Body> {
    let mut response = Response::new(full(reply.payload));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if reply.failed {
        headers.insert("x-amz-function-error", HeaderValue::from_static(FAILED));
    }
    if tail {
        insert(headers, HeaderName::from_static("x-amz-log-result"), &reply.log);
    }
    response
}

/// The event stream of an answer that is on its way.
fn chunks(parts: mpsc::Receiver<Part>, tail: bool) -> Body {
    let frames = stream::unfold(Some(parts), move |parts| async move {
        let mut parts = parts?;
        match parts.recv().await {
            Some(Part::Data(data)) => Some((Ok(Frame::data(frames::chunk(&data))), Some(parts))),
            Some(Part::End { error, log }) => {
                let details = error.as_ref().map(|error| String::from_utf8_lossy(error));
                let error = details.as_deref().map(|details| (FAILED, details));
                Some((Ok(Frame::data(frames::complete(error, tail.then_some(&log)))), None))
            }
            // No end came: the reader must not take what it has for all.
            None => Some((Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)), None)),
        }
    });
    StreamBody::new(frames).boxed()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Sets a header whose value is known to be one.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
