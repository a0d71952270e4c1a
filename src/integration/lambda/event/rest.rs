//! Rest: payload format 1.0, as REST APIs send it.
//!
//! In: a request. Out: the event. Never: a member that a REST API does not send: there is no `version`.

use serde_json::{Map, Value, json};

use super::{ACCOUNT, API, Asked, account, claim, domain, object, port, prefix, stage};
use crate::config::compiled::LambdaOrigin;
use crate::integration::lambda::binary;
use crate::integration::lambda::route::Matched;
use crate::message::pairs;
use crate::origin::adapter::{About, CallerKind};

/// What no integration sees.
const DROPPED: [&str; 12] = [
    "connection",
    "content-length",
    "content-md5",
    "expect",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

pub(super) fn event(asked: &Asked, about: &About, route: &Matched<'_>, origin: &LambdaOrigin) -> Value {
    let fields = fields(asked, about);
    let query = pairs::of_query(asked.query.as_deref());
    let as_text = !binary::lists(&origin.binary, &asked.media_type());
    let (body, base64) = asked.body(as_text);
    let within = if about.stage.is_empty() { asked.path.clone() } else { format!("/{}{}", about.stage, asked.path) };
    let mut context = json!({
        "accountId": ACCOUNT,
        "apiId": API,
        "deploymentId": API,
        "domainName": domain(about),
        "domainPrefix": prefix(domain(about)),
        "extendedRequestId": about.request_id,
        "httpMethod": asked.method,
        "identity": identity(asked, about),
        "path": within,
        "protocol": "HTTP/1.1",
        "requestId": about.request_id,
        "requestTime": asked.time(),
        "requestTimeEpoch": asked.now_ms,
        "resourceId": route.resource,
        "resourcePath": route.resource,
        "stage": stage(about),
    });
    if let Some(authorizer) = authorizer(about) {
        context["authorizer"] = authorizer;
    }
    json!({
        "resource": route.resource,
        "path": asked.path,
        "httpMethod": asked.method,
        "headers": pairs::last(&fields),
        "multiValueHeaders": pairs::many(&fields),
        "queryStringParameters": pairs::last(&query),
        "multiValueQueryStringParameters": pairs::many(&query),
        "pathParameters": object(&route.variables),
        "stageVariables": object(&origin.stage_variables),
        "requestContext": context,
        "body": body,
        "isBase64Encoded": base64,
    })
}

/// Names as the viewer wrote them; those that the edge added as AWS does.
fn fields(asked: &Asked, about: &About) -> Vec<(String, String)> {
    let signed = |value: &str| value.trim_start().starts_with("AWS4-");
    let mut fields: Vec<(String, String)> = asked
        .fields
        .iter()
        .filter(|(name, _)| !DROPPED.contains(&name.as_str()))
        .filter(|(name, value)| name != "authorization" || !signed(value))
        .map(|(name, value)| (spelled(name, about), value.clone()))
        .collect();
    // The edge's own: what a viewer says of it does not count.
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("x-forwarded-port"));
    fields.push(("X-Forwarded-Port".to_owned(), port(about)));
    for (name, value) in [
        ("X-Forwarded-For", about.viewer.to_canonical().to_string()),
        ("X-Forwarded-Proto", if about.tls { "https" } else { "http" }.to_owned()),
        ("X-Amzn-Trace-Id", asked.trace(about)),
    ] {
        if !fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            fields.push((name.to_owned(), value));
        }
    }
    fields
}

/// As the viewer spelled it; what the edge adds in AWS's spelling.
fn spelled(name: &str, about: &About) -> String {
    if let Some(sent) = about.names.iter().find(|sent| sent.eq_ignore_ascii_case(name)) {
        return sent.clone();
    }
    if let Some(rest) = name.strip_prefix("cloudfront-") {
        return format!("CloudFront-{}", titled(rest));
    }
    match name {
        "host" | "via" | "x-forwarded-for" | "x-forwarded-port" | "x-forwarded-proto" | "x-amz-cf-id"
        | "x-amzn-trace-id" => titled(name),
        _ => name.to_owned(),
    }
}

fn titled(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// Every member is there, `null` where nothing is known.
fn identity(asked: &Asked, about: &About) -> Value {
    let mut identity: Map<String, Value> = [
        "accessKey",
        "accountId",
        "caller",
        "cognitoAuthenticationProvider",
        "cognitoAuthenticationType",
        "cognitoIdentityId",
        "cognitoIdentityPoolId",
        "principalOrgId",
        "user",
        "userArn",
    ]
    .into_iter()
    .map(|name| (name.to_owned(), Value::Null))
    .collect();
    identity.insert("sourceIp".into(), about.viewer.to_canonical().to_string().into());
    identity.insert("userAgent".into(), asked.field("user-agent").into());
    if let Some(caller) = &about.caller {
        if let Some(key) = &caller.api_key {
            identity.insert("apiKey".into(), asked.field("x-api-key").into());
            identity.insert("apiKeyId".into(), key.as_ref().into());
        }
        if caller.kind == CallerKind::SigV4 {
            identity.insert("userArn".into(), caller.id.as_ref().into());
            identity.insert("user".into(), caller.id.as_ref().into());
            identity.insert("caller".into(), caller.id.as_ref().into());
            identity.insert("accountId".into(), account(&caller.id).into());
        }
    }
    Value::Object(identity)
}

/// `claims` of a token; what a function said, its values as text, beside `principalId`.
fn authorizer(about: &About) -> Option<Value> {
    let caller = about.caller.as_ref()?;
    let told = caller.claims.iter().map(|(name, value)| (name.clone(), claim(value).into())).collect::<Map<_, _>>();
    match caller.kind {
        CallerKind::Jwt => Some(json!({ "claims": told })),
        CallerKind::Authorizer => {
            let mut told = told;
            told.insert("principalId".into(), caller.id.as_ref().into());
            Some(Value::Object(told))
        }
        _ => None,
    }
}
