//! Http api: payload format 2.0, as HTTP APIs and function URLs send it.
//!
//! In: a request. Out: the event; what there is nothing of is left out. Never: a cookie among the headers.

use serde_json::{Map, Value, json};

use super::{ACCOUNT, API, Asked, account, claim, domain, object, port, prefix, stage};
use crate::config::compiled::{LambdaOrigin, Payload};
use crate::integration::lambda::route::Matched;
use crate::message::pairs;
use crate::origin::adapter::{About, CallerKind};

pub(super) fn event(asked: &Asked, about: &About, route: &Matched<'_>, origin: &LambdaOrigin) -> Value {
    let url = origin.payload == Payload::FunctionUrl;
    let stage = if url { "$default" } else { stage(about) };
    let within = if stage == "$default" { asked.path.clone() } else { format!("/{stage}{}", asked.path) };
    let key = if url { "$default" } else { route.key };
    let mut context = json!({
        "accountId": if url { "anonymous" } else { ACCOUNT },
        "apiId": if url { prefix(domain(about)) } else { API },
        "domainName": domain(about),
        "domainPrefix": prefix(domain(about)),
        "http": {
            "method": asked.method,
            "path": within,
            "protocol": about.protocol,
            "sourceIp": about.viewer.to_canonical().to_string(),
            "userAgent": asked.field("user-agent"),
        },
        "requestId": about.request_id,
        "routeKey": key,
        "stage": stage,
        "time": asked.time(),
        "timeEpoch": asked.now_ms,
    });
    if let Some(authorizer) = authorizer(about) {
        context["authorizer"] = authorizer;
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": key,
        "rawPath": within,
        "rawQueryString": asked.query.as_deref().unwrap_or_default(),
        "headers": headers(asked, about),
        "requestContext": context,
    });
    let cookies: Vec<&str> = asked
        .fields
        .iter()
        .filter(|(name, _)| name == "cookie")
        .flat_map(|(_, value)| value.split(';').map(str::trim).filter(|pair| !pair.is_empty()))
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    let mut parameters = Map::new();
    for (name, value) in pairs::of_query(asked.query.as_deref()) {
        pairs::join(&mut parameters, name, &value);
    }
    if !parameters.is_empty() {
        event["queryStringParameters"] = parameters.into();
    }
    // Function URLs have neither.
    if !url && let Some(variables) = object(&route.variables).filter(|_| route.key != "$default") {
        event["pathParameters"] = variables;
    }
    if !url && let Some(variables) = object(&origin.stage_variables) {
        event["stageVariables"] = variables;
    }
    let (body, base64) = asked.body(asked.is_text());
    if !body.is_null() {
        event["body"] = body;
    }
    event["isBase64Encoded"] = base64.into();
    event
}

/// Lower case, several lines of one joined with commas.
fn headers(asked: &Asked, about: &About) -> Map<String, Value> {
    let mut headers = Map::new();
    let hidden = ["cookie", "connection", "te", "transfer-encoding", "trailer", "upgrade", "expect"];
    for (name, value) in asked.fields.iter().filter(|(name, _)| !hidden.contains(&name.as_str())) {
        pairs::join(&mut headers, name.clone(), value);
    }
    if !asked.body.is_empty() {
        headers.insert("content-length".into(), asked.body.len().to_string().into());
    }
    // The edge's own: what a viewer says of it does not count.
    headers.insert("x-forwarded-port".into(), port(about).into());
    for (name, value) in [
        ("x-forwarded-for", about.viewer.to_canonical().to_string()),
        ("x-forwarded-proto", if about.tls { "https" } else { "http" }.to_owned()),
        ("x-amzn-trace-id", asked.trace(about)),
    ] {
        headers.entry(name).or_insert_with(|| value.into());
    }
    headers
}

fn authorizer(about: &About) -> Option<Value> {
    let caller = about.caller.as_ref()?;
    match caller.kind {
        CallerKind::Jwt => {
            let claims: Map<String, Value> =
                caller.claims.iter().map(|(name, value)| (name.clone(), claim(value).into())).collect();
            let scope = caller.claims.get("scope").or_else(|| caller.claims.get("scp"));
            let scopes = match scope {
                Some(Value::String(text)) => text.split(' ').map(Value::from).collect(),
                Some(Value::Array(list)) => list.clone(),
                _ => vec![],
            };
            let scopes = if scopes.is_empty() { Value::Null } else { scopes.into() };
            Some(json!({ "jwt": { "claims": claims, "scopes": scopes } }))
        }
        CallerKind::Authorizer => Some(json!({ "lambda": *caller.claims })),
        CallerKind::SigV4 => Some(json!({ "iam": {
            "accessKey": null,
            "accountId": account(&caller.id),
            "callerId": &*caller.id,
            "cognitoIdentity": null,
            "principalOrgId": null,
            "userArn": &*caller.id,
            "userId": &*caller.id,
        } })),
        CallerKind::ApiKey | CallerKind::Certificate => None,
    }
}
