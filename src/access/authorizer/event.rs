//! Event: what an authorizer function is shown.
//!
//! In: a request. Out: API Gateway's JSON. Never: a body; authorizers do not see it.

use std::borrow::Cow;

use http::header::{COOKIE, USER_AGENT};
use serde_json::{Map, Value, json};

use super::super::Asked;
use super::address;
use crate::message::{Fields, pairs};

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

/// The values of a query parameter, decoded.
pub fn parameters(query: Option<&str>, name: &str) -> Vec<String> {
    pairs::of_query(query).into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
}

/// The values of the cookies of one name. Many parsers take a name without the white space around it: two such are two.
pub fn cookies_named<F: Fields>(fields: &F, name: &str) -> Vec<String> {
    let pairs = cookies(fields);
    let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).collect()
}

fn cookies<F: Fields>(fields: &F) -> Vec<String> {
    let lines = fields.lines(&COOKIE).map(String::from_utf8_lossy);
    lines.flat_map(|line| line.split(';').map(|pair| pair.trim().to_owned()).collect::<Vec<_>>()).collect()
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
    let query = pairs::of_query(asked.query);
    let stage = if about.stage.is_empty() { "$default" } else { about.stage };
    json!({
        "type": "REQUEST",
        "methodArn": resource,
        "resource": asked.path,
        "path": asked.path,
        "httpMethod": asked.method,
        "headers": pairs::last(lines),
        "multiValueHeaders": pairs::many(lines),
        "queryStringParameters": pairs::last(&query),
        "multiValueQueryStringParameters": pairs::many(&query),
        "pathParameters": Value::Null,
        "stageVariables": Value::Null,
        "requestContext": {
            "apiId": about.api,
            "domainName": pairs::without_port(asked.host),
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
        pairs::join(&mut headers, name.to_ascii_lowercase(), value);
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
            "domainName": pairs::without_port(asked.host),
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
    let query = pairs::of_query(asked.query);
    if !query.is_empty() {
        let mut parameters = Map::new();
        for (name, value) in query {
            pairs::join(&mut parameters, name, &value);
        }
        event["queryStringParameters"] = Value::Object(parameters);
    }
    event.to_string()
}

fn agent<'a, F: Fields>(asked: &Asked<'a, F>) -> Cow<'a, str> {
    asked.fields.first(&USER_AGENT).map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}
