//! Event: what an authorizer function is shown.
//!
//! In: a request. Out: API Gateway's JSON. Never: a body; authorizers do not see it.

use std::borrow::Cow;

use http::header::{COOKIE, USER_AGENT};
use serde_json::{Map, Value, json};

use super::super::Asked;
use super::address;
use crate::message::Fields;

/// What of a request is not in its head.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    pub request_id: &'a str,
    /// The behavior's stage; "" = "$default".
    pub stage: &'a str,
    /// "HTTP/1.1".
    pub protocol: &'a str,
    pub api: &'a str,
}

/// The first value of a query parameter, decoded.
pub fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    pairs(query).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The value of a cookie.
pub fn cookie<F: Fields>(fields: &F, name: &str) -> Option<String> {
    cookies(fields).into_iter().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}

fn cookies<F: Fields>(fields: &F) -> Vec<String> {
    let lines = fields.lines(&COOKIE).map(String::from_utf8_lossy);
    lines.flat_map(|line| line.split(';').map(|pair| pair.trim().to_owned()).collect::<Vec<_>>()).collect()
}

/// Names and values, decoded (`+` is a space), in order.
fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let digits = [ahead.next(), ahead.next()].map(|b| b.and_then(|b| char::from(b).to_digit(16)));
                match digits {
                    [Some(high), Some(low)] => {
                        // Two hex digits make a byte.
                        bytes.push((high * 16 + low) as u8);
                        rest = ahead;
                    }
                    _ => bytes.push(byte),
                }
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn token(token: &str, resource: &str) -> String {
    json!({ "type": "TOKEN", "authorizationToken": token, "methodArn": resource }).to_string()
}

/// `lines` are all fields of the request, in order, names as they came.
pub fn request_1<F: Fields>(
    asked: &Asked<'_, F>,
    about: &About<'_>,
    lines: &[(String, String)],
    resource: &str,
) -> String {
    let query = pairs(asked.query);
    let stage = if about.stage.is_empty() { "$default" } else { about.stage };
    json!({
        "type": "REQUEST",
        "methodArn": resource,
        "resource": asked.path,
        "path": asked.path,
        "httpMethod": asked.method,
        "headers": last(lines),
        "multiValueHeaders": many(lines),
        "queryStringParameters": last(&query),
        "multiValueQueryStringParameters": many(&query),
        "pathParameters": Value::Null,
        "stageVariables": Value::Null,
        "requestContext": {
            "apiId": about.api,
            "domainName": host(asked.host),
            "httpMethod": asked.method,
            "identity": { "sourceIp": address(asked.viewer), "userAgent": agent(asked) },
            "path": asked.path,
            "protocol": about.protocol,
            "requestId": about.request_id,
            "requestTimeEpoch": asked.now_ms,
            "resourcePath": asked.path,
            "stage": stage,
        },
    })
    .to_string()
}

pub fn request_2<F: Fields>(
    asked: &Asked<'_, F>,
    about: &About<'_>,
    lines: &[(String, String)],
    sources: &[String],
    resource: &str,
) -> String {
    let mut headers = Map::new();
    for (name, value) in lines.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("cookie")) {
        join(&mut headers, name.to_ascii_lowercase(), value);
    }
    let stage = if about.stage.is_empty() { "$default" } else { about.stage };
    let key = format!("{} {}", asked.method, asked.path);
    let mut event = json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": resource,
        "identitySource": sources,
        "routeKey": key,
        "rawPath": asked.path,
        "rawQueryString": asked.query.unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "apiId": about.api,
            "domainName": host(asked.host),
            "http": {
                "method": asked.method,
                "path": asked.path,
                "protocol": about.protocol,
                "sourceIp": address(asked.viewer),
                "userAgent": agent(asked),
            },
            "requestId": about.request_id,
            "routeKey": key,
            "stage": stage,
            "timeEpoch": asked.now_ms,
        },
    });
    let cookies = cookies(asked.fields);
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    let query = pairs(asked.query);
    if !query.is_empty() {
        let mut parameters = Map::new();
        for (name, value) in query {
            join(&mut parameters, name, &value);
        }
        event["queryStringParameters"] = Value::Object(parameters);
    }
    event.to_string()
}

fn agent<'a, F: Fields>(asked: &Asked<'a, F>) -> Cow<'a, str> {
    asked.fields.first(&USER_AGENT).map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}

/// Without its port.
fn host(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or(host),
    }
}

/// Appends to a comma-separated value.
fn join(map: &mut Map<String, Value>, name: String, value: &str) {
    match map.get_mut(&name) {
        Some(Value::String(joined)) => {
            joined.push(',');
            joined.push_str(value);
        }
        _ => {
            map.insert(name, value.into());
        }
    }
}

/// The last value of each name; `null` when there is none.
fn last(pairs: &[(String, String)]) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    Value::Object(pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
}

/// Every value of each name; `null` when there is none.
fn many(pairs: &[(String, String)]) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    let mut map = Map::new();
    for (name, value) in pairs {
        if let Value::Array(values) = map.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new())) {
            values.push(value.as_str().into());
        }
    }
    Value::Object(map)
}
