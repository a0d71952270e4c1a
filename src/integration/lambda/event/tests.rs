//! Tests of events, member by member against the examples of AWS's guides and what was recorded of the real service.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::compiled::{AwsEndpoint, Invoke};
use crate::integration::lambda::route;
use crate::origin::adapter::{Caller, CallerKind};

fn origin(payload: Payload) -> LambdaOrigin {
    LambdaOrigin {
        function: "f".into(),
        qualifier: None,
        endpoint: AwsEndpoint::Local,
        payload,
        invoke: Invoke::Buffered,
        routes: vec![],
        binary: vec!["image/*".into()],
        stage_variables: vec![("table".into(), "todo".into())],
        timeout: Duration::from_secs(1),
    }
}

fn asked(method: &str, path: &str, query: Option<&str>, fields: &[(&str, &str)], body: &[u8]) -> Asked {
    Asked {
        method: method.into(),
        path: path.into(),
        query: query.map(str::to_owned),
        fields: fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: bytes::Bytes::copy_from_slice(body),
        // Thu, 26 Nov 2026 17:51:29 GMT
        now_ms: 1_795_715_489_123,
    }
}

fn about(caller: Option<Caller>) -> About {
    About {
        request_id: "req-1".into(),
        stage: "prod".into(),
        viewer: IpAddr::from([192, 0, 2, 7]),
        host: "api.example.com:8443".into(),
        path: "/".into(),
        tls: true,
        protocol: "HTTP/2.0",
        names: vec!["X-Custom-ID".into()],
        caller,
    }
}

fn caller(kind: CallerKind, id: &str, claims: Value, api_key: Option<&str>) -> Caller {
    let claims = claims.as_object().cloned().unwrap_or_default();
    Caller { kind, id: id.into(), issuer: "i".into(), claims: Arc::new(claims), api_key: api_key.map(Into::into) }
}

fn made(payload: Payload, asked: &Asked, about: &About) -> Value {
    let origin = origin(payload);
    let route = route::find(&origin.routes, &asked.method, &asked.path).unwrap();
    serde_json::from_str(&event(asked, about, &route, &origin)).unwrap()
}

#[test]
fn format_1_has_every_member_and_null_where_nothing_is() {
    let event = made(Payload::Rest1, &asked("GET", "/", None, &[], b""), &about(None));
    let mut members: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let expected = [
        "body",
        "headers",
        "httpMethod",
        "isBase64Encoded",
        "multiValueHeaders",
        "multiValueQueryStringParameters",
        "path",
        "pathParameters",
        "queryStringParameters",
        "requestContext",
        "resource",
        "stageVariables",
    ];
    assert_eq!(members, expected, "no version: that is an HTTP API's");
    for name in ["body", "queryStringParameters", "multiValueQueryStringParameters", "pathParameters"] {
        assert_eq!(event[name], Value::Null, "{name}");
    }
    let identity = event["requestContext"]["identity"].as_object().unwrap();
    assert_eq!(identity.len(), 12);
    assert_eq!((&identity["sourceIp"], &identity["userArn"]), (&json!("192.0.2.7"), &Value::Null));
    let context = &event["requestContext"];
    assert_eq!(context["requestTime"], "26/Nov/2026:17:51:29 +0000");
    assert_eq!(context["requestTimeEpoch"], 1_795_715_489_123_u64);
    assert_eq!((&context["path"], &context["protocol"]), (&json!("/prod/"), &json!("HTTP/1.1")));
    assert_eq!((&context["domainName"], &context["domainPrefix"]), (&json!("api.example.com"), &json!("api")));
    assert_eq!(event["stageVariables"], json!({ "table": "todo" }));
}

#[test]
fn format_1_keeps_paths_and_decodes_queries() {
    let fields = [
        ("host", "api.example.com"),
        ("x-custom-id", "1"),
        ("x-lower", "a"),
        ("x-lower", "b"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=x"),
        ("cloudfront-viewer-country", "DE"),
    ];
    let query = Some("a=1&a=2%2B&b=x+y&c");
    let asked = asked("POST", "/user/test%2Balias@gmail.com/", query, &fields, b"{}");
    let event = made(Payload::Rest1, &asked, &about(None));
    assert_eq!((&event["path"], &event["resource"]), (&json!("/user/test%2Balias@gmail.com/"), &json!("/{proxy+}")));
    assert_eq!(event["pathParameters"], json!({ "proxy": "user/test%2Balias@gmail.com" }));
    assert_eq!(event["queryStringParameters"], json!({ "a": "2+", "b": "x y", "c": "" }));
    assert_eq!(event["multiValueQueryStringParameters"], json!({ "a": ["1", "2+"], "b": ["x y"], "c": [""] }));
    let headers = event["headers"].as_object().unwrap();
    let trace = headers["X-Amzn-Trace-Id"].as_str().unwrap();
    assert!(trace.starts_with("Root=1-6b08") && trace.len() == 40, "{trace}");
    let mut names: Vec<_> = headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "CloudFront-Viewer-Country",
        "Host",
        "X-Amzn-Trace-Id",
        "X-Custom-ID",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "x-lower",
    ];
    assert_eq!(names, expected);
    assert_eq!((&headers["x-lower"], &headers["X-Forwarded-Port"]), (&json!("b"), &json!("8443")));
    assert_eq!(event["multiValueHeaders"]["x-lower"], json!(["a", "b"]));
}

#[test]
fn bodies_are_text_or_base64() {
    let body = |payload, kind: &str, encoding: Option<&str>, bytes: &[u8]| {
        let mut fields = vec![("content-type", kind)];
        fields.extend(encoding.map(|encoding| ("content-encoding", encoding)));
        let event = made(payload, &asked("POST", "/", None, &fields, bytes), &about(None));
        (event["body"].as_str().map(str::to_owned), event["isBase64Encoded"].as_bool().unwrap())
    };
    let alb = Payload::Alb { multi: false };
    /// Payload, media type, coding, body; what the event says.
    type Case<'a> = (Payload, &'a str, Option<&'a str>, &'a [u8], &'a str, bool);
    let table: &[Case<'_>] = &[
        (Payload::Rest1, "application/json", None, b"{}", "{}", false),
        (Payload::Rest1, "image/png", None, b"png", "cG5n", true),
        // What is no text cannot be sent as text.
        (Payload::Rest1, "application/octet-stream", None, b"\xff", "/w==", true),
        (Payload::Http2, "application/json; charset=utf-8", None, b"{}", "{}", false),
        (Payload::Http2, "application/problem+json", None, b"{}", "{}", false),
        (Payload::Http2, "application/x-www-form-urlencoded", None, b"a=1", "YT0x", true),
        (Payload::FunctionUrl, "text/plain", None, "ü".as_bytes(), "ü", false),
        (alb, "text/plain", None, b"a", "a", false),
        (alb, "text/plain", Some("gzip"), b"a", "YQ==", true),
    ];
    for (payload, kind, encoding, bytes, expected, base64) in table {
        assert_eq!(
            body(*payload, kind, *encoding, bytes),
            (Some((*expected).to_owned()), *base64),
            "{payload:?} {kind}"
        );
    }
}

#[test]
fn format_2_leaves_out_what_is_not_there() {
    let event = made(Payload::Http2, &asked("GET", "/", None, &[], b""), &about(None));
    for name in ["cookies", "queryStringParameters", "pathParameters", "body"] {
        assert!(event.get(name).is_none(), "{name}");
    }
    assert_eq!(
        (&event["version"], &event["rawPath"], &event["routeKey"]),
        (&json!("2.0"), &json!("/prod/"), &json!("$default"))
    );
    let http = &event["requestContext"]["http"];
    assert_eq!(
        (&http["protocol"], &http["sourceIp"], &http["method"]),
        (&json!("HTTP/2.0"), &json!("192.0.2.7"), &json!("GET"))
    );

    let fields = [("cookie", "a=1; b=2"), ("cookie", "c=3"), ("x-a", "1"), ("x-a", "2"), ("user-agent", "curl/8")];
    let event = made(Payload::Http2, &asked("GET", "/p%20q", Some("a=1&a=2&b"), &fields, b""), &about(None));
    assert_eq!(event["cookies"], json!(["a=1", "b=2", "c=3"]));
    assert_eq!(event["headers"]["x-a"], "1,2");
    assert!(event["headers"].get("cookie").is_none());
    assert_eq!((&event["rawPath"], &event["rawQueryString"]), (&json!("/prod/p%20q"), &json!("a=1&a=2&b")));
    assert_eq!(event["queryStringParameters"], json!({ "a": "1,2", "b": "" }));
    assert_eq!(event["requestContext"]["http"]["userAgent"], "curl/8");
}

#[test]
fn function_urls_have_no_stage_and_no_route() {
    let event = made(Payload::FunctionUrl, &asked("PUT", "/a", None, &[], b""), &about(None));
    let context = &event["requestContext"];
    assert_eq!(
        (&event["rawPath"], &context["stage"], &context["apiId"]),
        (&json!("/a"), &json!("$default"), &json!("api"))
    );
    assert_eq!(context["accountId"], "anonymous");
    assert!(event.get("stageVariables").is_none() && event.get("pathParameters").is_none());
}

#[test]
fn load_balancers_decode_nothing() {
    let fields = [("x-a", "1"), ("x-a", "2")];
    let asked = asked("GET", "/a%20b", Some("a=1%2B&a=2"), &fields, b"");
    let one = made(Payload::Alb { multi: false }, &asked, &about(None));
    assert_eq!((&one["queryStringParameters"], &one["headers"]["x-a"]), (&json!({ "a": "2" }), &json!("2")));
    assert_eq!(
        (&one["headers"]["x-forwarded-port"], &one["headers"]["x-forwarded-proto"]),
        (&json!("8443"), &json!("https"))
    );
    assert_eq!((&one["body"], &one["path"]), (&json!(""), &json!("/a%20b")));
    assert!(one["requestContext"]["elb"]["targetGroupArn"].is_string() && one.get("multiValueHeaders").is_none());
    let many = made(Payload::Alb { multi: true }, &asked, &about(None));
    assert_eq!(many["multiValueQueryStringParameters"], json!({ "a": ["1%2B", "2"] }));
    assert_eq!(many["multiValueHeaders"]["x-a"], json!(["1", "2"]));
    assert!(many.get("headers").is_none());
}

#[test]
fn the_port_is_what_the_viewer_asked_not_what_it_says() {
    let asked = asked("GET", "/", None, &[("x-forwarded-port", "1")], b"");
    assert_eq!(made(Payload::Rest1, &asked, &about(None))["headers"]["X-Forwarded-Port"], "8443");
    assert_eq!(made(Payload::Rest1, &asked, &about(None))["multiValueHeaders"]["X-Forwarded-Port"], json!(["8443"]));
    for payload in [Payload::Http2, Payload::FunctionUrl, Payload::Alb { multi: false }] {
        assert_eq!(made(payload, &asked, &about(None))["headers"]["x-forwarded-port"], "8443", "{payload:?}");
    }
}

#[test]
fn functions_are_told_who_asks() {
    let claims = json!({ "sub": "u1", "scope": "read write", "groups": ["a", "b"], "exp": 7 });
    let get = asked("GET", "/", None, &[("x-api-key", "k")], b"");
    let token = about(Some(caller(CallerKind::Jwt, "u1", claims.clone(), None)));
    let text = json!({ "sub": "u1", "scope": "read write", "groups": "[a b]", "exp": "7" });
    assert_eq!(made(Payload::Rest1, &get, &token)["requestContext"]["authorizer"], json!({ "claims": text }));
    let jwt = json!({ "jwt": { "claims": text, "scopes": ["read", "write"] } });
    assert_eq!(made(Payload::Http2, &get, &token)["requestContext"]["authorizer"], jwt);

    let context = json!({ "plan": "gold", "number": 1 });
    let function = about(Some(caller(CallerKind::Authorizer, "user", context.clone(), None)));
    let told = json!({ "plan": "gold", "number": "1", "principalId": "user" });
    assert_eq!(made(Payload::Rest1, &get, &function)["requestContext"]["authorizer"], told);
    assert_eq!(made(Payload::Http2, &get, &function)["requestContext"]["authorizer"], json!({ "lambda": context }));

    let arn = "arn:aws:iam::123456789012:user/u";
    let signed = about(Some(caller(CallerKind::SigV4, arn, json!({}), None)));
    let identity = &made(Payload::Rest1, &get, &signed)["requestContext"]["identity"];
    assert_eq!((&identity["userArn"], &identity["accountId"]), (&json!(arn), &json!("123456789012")));
    let iam = &made(Payload::Http2, &get, &signed)["requestContext"]["authorizer"]["iam"];
    assert_eq!((&iam["userArn"], &iam["accountId"]), (&json!(arn), &json!("123456789012")));

    let key = about(Some(caller(CallerKind::ApiKey, "acme", json!({}), Some("acme"))));
    let identity = &made(Payload::Rest1, &get, &key)["requestContext"]["identity"];
    assert_eq!((&identity["apiKey"], &identity["apiKeyId"]), (&json!("k"), &json!("acme")));
}
