//! Http api: results in payload format 2.0.
//!
//! In: the result. Out: the answer. Never: refusal for what it has besides.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use super::{Answered, Object, add, decoded, flag, kind, scalar, status, table, text};

pub(super) fn answer(bytes: &[u8]) -> Result<Answered, String> {
    let result: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))?;
    let json = HeaderValue::from_static("application/json");
    let object = match &result {
        Value::Object(object) if object.contains_key("statusCode") => object,
        // "API Gateway makes assumptions": without a status, the result is the body.
        other => {
            let body = match other {
                Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
                _ => Bytes::copy_from_slice(bytes),
            };
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
            return Ok(Answered { status: StatusCode::OK, headers, body });
        }
    };
    let status = status(object.get("statusCode").unwrap_or(&Value::Null), true)?;
    let mut headers = HeaderMap::new();
    fields(object, &mut headers)?;
    let body = match text(object)? {
        None => Bytes::new(),
        Some(text) if flag(object, "isBase64Encoded")? => decoded(text)?,
        Some(text) => Bytes::copy_from_slice(text.as_bytes()),
    };
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, json);
    }
    Ok(Answered { status, headers, body })
}

/// The head of a streamed answer: like a result, without its body. API Gateway takes `multiValueHeaders` too.
pub(super) fn head(object: &Object) -> Result<(StatusCode, HeaderMap), String> {
    let status = object.get("statusCode").map_or(Ok(StatusCode::OK), |written| status(written, true))?;
    let mut headers = HeaderMap::new();
    for (name, values) in table(object, "multiValueHeaders")?.into_iter().flatten() {
        let Value::Array(values) = values else { return Err(format!("multiValueHeaders: {name} is no list")) };
        for value in values {
            add(&mut headers, name, &scalar(name, value)?)?;
        }
    }
    fields(object, &mut headers)?;
    Ok((status, headers))
}

/// `headers` and `cookies`.
fn fields(object: &Object, headers: &mut HeaderMap) -> Result<(), String> {
    for (name, value) in table(object, "headers")?.into_iter().flatten() {
        add(headers, name, &scalar(name, value)?)?;
    }
    match object.get("cookies") {
        None | Some(Value::Null) => {}
        Some(Value::Array(cookies)) => {
            for cookie in cookies {
                let Value::String(cookie) = cookie else { return Err(format!("a cookie is {}", kind(cookie))) };
                add(headers, "set-cookie", cookie)?;
            }
        }
        Some(other) => return Err(format!("cookies is {}", kind(other))),
    }
    Ok(())
}
