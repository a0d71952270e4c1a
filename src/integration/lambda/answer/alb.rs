//! Alb: results as a load balancer takes them.
//!
//! In: the result. Out: the answer. Never: a status of its own: a result without one is no answer.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::{Answered, add, decoded, flag, scalar, status, table, text};

pub(super) fn answer(result: &[u8]) -> Result<Answered, String> {
    let Ok(Value::Object(result)) = serde_json::from_slice(result) else { return Err("it is no object".to_owned()) };
    let status = status(result.get("statusCode").unwrap_or(&Value::Null), false)?;
    let mut headers = HeaderMap::new();
    for (name, values) in table(&result, "multiValueHeaders")?.into_iter().flatten() {
        let Value::Array(values) = values else { return Err(format!("multiValueHeaders: {name} is no list")) };
        for value in values {
            add(&mut headers, name, &scalar(name, value)?)?;
        }
    }
    if headers.is_empty() {
        for (name, value) in table(&result, "headers")?.into_iter().flatten() {
            add(&mut headers, name, &scalar(name, value)?)?;
        }
    }
    let body = match text(&result)? {
        None => Bytes::new(),
        Some(text) if flag(&result, "isBase64Encoded")? => decoded(text)?,
        Some(text) => Bytes::copy_from_slice(text.as_bytes()),
    };
    Ok(Answered { status, headers, body })
}
