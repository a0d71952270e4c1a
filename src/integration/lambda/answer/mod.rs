//! Answer: what a function returned becomes an HTTP answer.
//!
//! In: the result's bytes. Out: status, fields, body; or why it is no answer. Never: I/O; what the failure of a call looks like to viewers
//! is one table, [`failed`].
//!
//! Sources: API Gateway Developer Guide ("Output format of a Lambda function for proxy integration", "Lambda function response for format
//! 2.0"), Lambda Developer Guide ("Response payload format"), Elastic Load Balancing ("Respond to the load balancer").

mod alb;
mod http_api;
mod rest;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::config::compiled::{LambdaOrigin, Payload};

/// Bytes of a function's error that go to the log.
const SHOWN_MAX: usize = 300;

/// An answer, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why a call has no answer of the function's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// What it returned is no answer.
    Malformed(String),
    /// It failed: `X-Amz-Function-Error`.
    Function(String),
    /// It, or the account, has too many calls at once; seconds to wait.
    Throttled(Option<u64>),
    /// The service refused the call: no such function, no permission.
    Refused(String),
    /// No answer in time.
    Timeout(String),
    /// No connection, or a broken one.
    Unreachable(String),
    /// No route takes the request.
    NoRoute,
    /// The request is larger than Lambda takes.
    TooLarge,
}

/// Reads a result. `accept` is the request's.
///
/// # Errors
/// It is no answer in this payload format.
pub fn answer(result: &[u8], accept: Option<&str>, origin: &LambdaOrigin) -> Result<Answered, Failure> {
    let read = match origin.payload {
        Payload::Rest1 => rest::answer(result, accept, &origin.binary),
        Payload::Http2 | Payload::FunctionUrl => http_api::answer(result),
        Payload::Alb { .. } => alb::answer(result),
    };
    read.map_err(Failure::Malformed)
}

/// Status and fields of a streamed answer.
///
/// # Errors
/// It is no head.
pub fn head(written: &Map<String, Value>) -> Result<(StatusCode, HeaderMap), String> {
    http_api::head(written)
}

/// What viewers are told of a failure: the words of the service that `payload` stands for.
pub fn failed(failure: &Failure, payload: Payload) -> Answered {
    let rest = payload == Payload::Rest1;
    let internal = if rest { "Internal server error" } else { "Internal Server Error" };
    let (status, words, kind) = match (failure, payload) {
        (Failure::Throttled(_), _) => (429, "Too Many Requests", "TooManyRequestsException"),
        (Failure::NoRoute, Payload::Rest1) => {
            (403, "Missing Authentication Token", "MissingAuthenticationTokenException")
        }
        (Failure::NoRoute, _) => (404, "Not Found", "NotFoundException"),
        (Failure::TooLarge, Payload::Rest1) => (413, "Request Too Long", "RequestTooLongException"),
        (Failure::TooLarge, _) => (413, "Request Entity Too Large", "RequestEntityTooLargeException"),
        (Failure::Timeout(_), Payload::Rest1) => {
            (504, "Endpoint request timed out", "EndpointRequestTimedOutException")
        }
        (Failure::Timeout(_), Payload::Http2) => (503, "Service Unavailable", "ServiceUnavailableException"),
        (Failure::Timeout(_), _) => (504, "Gateway Timeout", "GatewayTimeoutException"),
        (Failure::Malformed(_) | Failure::Function(_), Payload::Http2)
        | (Failure::Refused(_), Payload::Rest1 | Payload::Http2) => (500, internal, "InternalServerErrorException"),
        (Failure::Unreachable(_), Payload::Http2) => (503, "Service Unavailable", "ServiceUnavailableException"),
        (Failure::Malformed(_) | Failure::Function(_) | Failure::Refused(_) | Failure::Unreachable(_), _) => {
            (502, internal, "InternalServerErrorException")
        }
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
    if let Failure::Throttled(after) = failure {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.unwrap_or(1)));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let body = if matches!(payload, Payload::Alb { .. }) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let line = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        format!(
            "<html>\r\n<head><title>{line}</title></head>\r\n<body>\r\n<center><h1>{line}</h1></center>\r\n</body>\r\n</html>\r\n"
        )
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        serde_json::json!({ "message": words }).to_string()
    };
    Answered { status, headers, body: body.into() }
}

// === impl Failure ===
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Malformed(why) => write!(f, "its result is no answer: {why}"),
            Failure::Function(error) => {
                // What it threw may hold the viewer's message: what kind of error, and its beginning, are for the log.
                let shown = error.get(..error.floor_char_boundary(SHOWN_MAX)).unwrap_or_default();
                write!(f, "it failed: {shown}{}", if shown.len() < error.len() { "…" } else { "" })
            }
            Failure::Throttled(_) => f.write_str("it has too many calls at once"),
            Failure::Refused(why) => write!(f, "the call was refused: {why}"),
            Failure::Timeout(why) | Failure::Unreachable(why) => f.write_str(why),
            Failure::NoRoute => f.write_str("none of its routes takes the request"),
            Failure::TooLarge => f.write_str("the request is larger than Lambda takes"),
        }
    }
}

// === what the formats share ===

type Object = Map<String, Value>;

/// A status of 100 to 599; text is taken where `text` says so.
fn status(value: &Value, text: bool) -> Result<StatusCode, String> {
    let number = match value {
        Value::Number(number) => {
            number.as_u64().or_else(|| number.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as u64))
        }
        Value::String(digits) if text => digits.parse().ok(),
        _ => None,
    };
    // An informational status is no answer.
    number
        .filter(|number| (200..=599).contains(number))
        .and_then(|number| StatusCode::from_u16(number as u16).ok())
        .ok_or_else(|| format!("statusCode is {value}"))
}

/// The object under `name`; absent and `null` are one.
fn table<'a>(result: &'a Object, name: &str) -> Result<Option<&'a Object>, String> {
    match result.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(table)) => Ok(Some(table)),
        Some(_) => Err(format!("{name} is no object")),
    }
}

/// Text, number or boolean as a field's value.
fn scalar(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(format!("the value of header {name} is {}", kind(value))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
    }
}

/// Adds one line. Framing is the connection's own.
fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header name"))?;
    let value =
        HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("the value of header {name} is not one line"))?;
    if ![CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(&name) {
        headers.append(name, value);
    }
    Ok(())
}

/// The body's text, `None` without one.
fn text(result: &Object) -> Result<Option<&str>, String> {
    match result.get("body") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("body is {}", kind(other))),
    }
}

fn flag(result: &Object, name: &str) -> Result<bool, String> {
    match result.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(format!("{name} is {}", kind(other))),
    }
}

fn decoded(text: &str) -> Result<Bytes, String> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("body is no base64: {error}"))
}

#[cfg(test)]
mod tests;
