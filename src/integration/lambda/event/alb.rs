//! Alb: what an application load balancer sends to a Lambda target.
//!
//! In: a request. Out: the event. Never: a decoded query parameter: load balancers hand them on as they came.

use serde_json::{Value, json};

use super::{Asked, port};
use crate::message::pairs;
use crate::origin::adapter::About;

/// Names the target group that events come from; functions rarely look.
const TARGET_GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/rimward/0000000000000000";

/// `multi`: `lambda.multi_value_headers.enabled`.
pub(super) fn event(asked: &Asked, about: &About, multi: bool) -> Value {
    let parts = asked.query.as_deref().unwrap_or_default().split('&').filter(|part| !part.is_empty());
    let query: Vec<(String, String)> = parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let (body, base64) = asked.body(asked.is_text());
    let mut event = json!({
        "requestContext": { "elb": { "targetGroupArn": TARGET_GROUP } },
        "httpMethod": asked.method,
        "path": asked.path,
        "body": if body.is_null() { "".into() } else { body },
        "isBase64Encoded": base64,
    });
    let present = |value: Value| if value.is_null() { json!({}) } else { value };
    let (parameters, headers, of) = if multi {
        ("multiValueQueryStringParameters", "multiValueHeaders", pairs::many as fn(&[(String, String)]) -> Value)
    } else {
        ("queryStringParameters", "headers", pairs::last as fn(&[(String, String)]) -> Value)
    };
    event[parameters] = present(of(&query));
    let mut fields: Vec<_> = asked.fields.iter().filter(|(name, _)| name != "x-forwarded-port").cloned().collect();
    fields.push(("x-forwarded-port".to_owned(), port(about)));
    for (name, value) in [
        ("x-forwarded-for", about.viewer.to_canonical().to_string()),
        ("x-forwarded-proto", if about.tls { "https" } else { "http" }.to_owned()),
        ("x-amzn-trace-id", asked.trace(about)),
    ] {
        if !fields.iter().any(|(known, _)| known == name) {
            fields.push((name.to_owned(), value));
        }
    }
    event[headers] = present(of(&fields));
    event
}
