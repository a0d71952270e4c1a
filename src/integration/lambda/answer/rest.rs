//! Rest: results in payload format 1.0.
//!
//! In: the result. Out: the answer. Never: a member that API Gateway does not know: it refuses those.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::{Answered, add, decoded, flag, scalar, status, table, text};
use crate::integration::lambda::binary;

/// What a result may have; `base64Encoded` is the older name.
const MEMBERS: [&str; 6] = ["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded", "base64Encoded"];

/// Fields that the edge writes itself; the function's go under another name.
const REMAPPED: [&str; 5] = ["connection", "content-length", "date", "server", "www-authenticate"];

pub(super) fn answer(result: &[u8], accept: Option<&str>, types: &[String]) -> Result<Answered, String> {
    let Ok(Value::Object(result)) = serde_json::from_slice(result) else { return Err("it is no object".to_owned()) };
    if let Some(other) = result.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(format!("it has a member {other:?}"));
    }
    let status = match result.get("statusCode") {
        None | Some(Value::Null) => StatusCode::OK,
        Some(written) => status(written, true)?,
    };
    let mut headers = HeaderMap::new();
    let many = table(&result, "multiValueHeaders")?;
    for (name, values) in many.into_iter().flatten() {
        let Value::Array(values) = values else { return Err(format!("multiValueHeaders: {name} is no list")) };
        for value in values {
            put(&mut headers, name, &scalar(name, value)?)?;
        }
    }
    for (name, value) in table(&result, "headers")?.into_iter().flatten() {
        put(&mut headers, name, &scalar(name, value)?)?;
    }
    let headers = joined(&headers)?;
    let mut answered = Answered { status, headers, body: Bytes::new() };
    if let Some(text) = text(&result)? {
        let base64 = flag(&result, "isBase64Encoded")? || flag(&result, "base64Encoded")?;
        // Only the first media type of Accept counts (API Gateway Developer Guide, "Content type conversions").
        let wanted = binary::lists(types, &binary::first_accepted(accept));
        answered.body = if base64 && wanted { decoded(text)? } else { Bytes::copy_from_slice(text.as_bytes()) };
    }
    if !answered.headers.contains_key(CONTENT_TYPE) {
        answered.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(answered)
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if REMAPPED.contains(&lower.as_str()) {
        return add(headers, &format!("x-amzn-remapped-{lower}"), value);
    }
    add(headers, name, value)
}

/// Several lines of one name become one, but for cookies.
fn joined(headers: &HeaderMap) -> Result<HeaderMap, String> {
    let mut out = HeaderMap::with_capacity(headers.len());
    for name in headers.keys() {
        let lines = headers.get_all(name);
        if *name == SET_COOKIE {
            for line in lines {
                out.append(SET_COOKIE, line.clone());
            }
            continue;
        }
        let line = lines.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
        out.insert(HeaderName::clone(name), HeaderValue::from_bytes(&line).map_err(|_| format!("header {name}"))?);
    }
    Ok(out)
}
