//! Tests of results: API Gateway's recorded cases, the examples of AWS's guides, and what is none.

use std::time::Duration;

use super::*;
use crate::config::compiled::{AwsEndpoint, Invoke};

fn read(payload: Payload, result: &str, accept: Option<&str>) -> Result<Answered, Failure> {
    let origin = LambdaOrigin {
        function: "f".into(),
        qualifier: None,
        endpoint: AwsEndpoint::Local,
        payload,
        invoke: Invoke::Buffered,
        routes: vec![],
        binary: vec!["image/png".into()],
        stage_variables: vec![],
        timeout: Duration::from_secs(1),
    };
    answer(result.as_bytes(), accept, &origin)
}

fn lines(answered: &Answered, name: &str) -> Vec<String> {
    answered.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// The cases recorded of a REST API (`test_aws_proxy_response_payload_format_validation`).
#[test]
fn format_1_is_strict() {
    let good = [
        (r#"{"statusCode": 200}"#, 200),
        (r#"{"statusCode": 201, "headers": null}"#, 201),
        (r#"{"headers": {"test-header": "value"}}"#, 200),
        (r#"{"statusCode": "201"}"#, 201),
        (r#"{"statusCode": 201.0, "body": null}"#, 201),
        ("{}", 200),
    ];
    for (result, status) in good {
        let answered = read(Payload::Rest1, result, None).unwrap_or_else(|failure| panic!("{result}: {failure}"));
        assert_eq!((answered.status.as_u16(), answered.body.len()), (status, 0), "{result}");
        assert_eq!(lines(&answered, "content-type"), ["application/json"], "{result}");
    }
    let bad = [
        r#"{"statusCode": 200, "wrongValue": 1}"#,
        r#""text""#,
        r#"{"statusCode": "test"}"#,
        "null",
        "[]",
        "not json",
        r#"{"multiValueHeaders": {"a": "b"}}"#,
        r#"{"headers": {"a": ["b"]}}"#,
        r#"{"statusCode": 99}"#,
        r#"{"statusCode": 600}"#,
        r#"{"body": {"a": 1}}"#,
        r#"{"headers": {"a b": "c"}}"#,
        "{\"headers\": {\"a\": \"b\\r\\nc: d\"}}",
        r#"{"headers": []}"#,
        r#"{"isBase64Encoded": "true", "body": "x"}"#,
        r#"{"statusCode": 101}"#,
    ];
    for result in bad {
        assert!(matches!(read(Payload::Rest1, result, None), Err(Failure::Malformed(_))), "{result}");
    }
}

#[test]
fn format_1_merges_fields() {
    let result = r#"{"headers": {"X-A": "single", "set-cookie": "c=3", "flag": true, "number": 7, "Server": "me", "Content-Length": 9},
        "multiValueHeaders": {"x-a": ["m1", "m2"], "Set-Cookie": ["a=1", "b=2"]}}"#;
    let answered = read(Payload::Rest1, result, None).unwrap();
    assert_eq!(lines(&answered, "x-a"), ["m1, m2, single"]);
    assert_eq!(lines(&answered, "set-cookie"), ["a=1", "b=2", "c=3"]);
    assert_eq!((lines(&answered, "flag"), lines(&answered, "number")), (vec!["true".into()], vec!["7".into()]));
    assert_eq!(lines(&answered, "x-amzn-remapped-server"), ["me"]);
    assert_eq!(lines(&answered, "x-amzn-remapped-content-length"), ["9"]);
    assert!(!answered.headers.contains_key("server") && !answered.headers.contains_key("content-length"));
}

#[test]
fn format_1_decodes_what_the_viewer_accepts_first() {
    let result = r#"{"isBase64Encoded": true, "body": "aGk=", "headers": {"content-type": "image/png"}}"#;
    for (accept, body) in [
        (Some("image/png"), "hi"),
        (Some("image/png;q=1, text/html"), "hi"),
        (Some("text/html, image/png"), "aGk="),
        (None, "aGk="),
    ] {
        assert_eq!(read(Payload::Rest1, result, accept).unwrap().body, body, "{accept:?}");
    }
    let broken = r#"{"isBase64Encoded": true, "body": "%"}"#;
    assert!(read(Payload::Rest1, broken, Some("image/png")).is_err());
}

#[test]
fn format_2_makes_assumptions() {
    let table = [
        (r#"{"statusCode": 201, "body": "b", "other": 1}"#, 201, "b", "application/json"),
        (r#"{"statusCode": 200, "headers": {"content-type": "text/html"}, "body": "<p>"}"#, 200, "<p>", "text/html"),
        (r#"{"statusCode": 200, "isBase64Encoded": true, "body": "aGk="}"#, 200, "hi", "application/json"),
        (r#"{"hello": "world"}"#, 200, r#"{"hello": "world"}"#, "application/json"),
        (r#""Hello from Lambda!""#, 200, "Hello from Lambda!", "application/json"),
        ("[1, 2]", 200, "[1, 2]", "application/json"),
    ];
    for (result, status, body, kind) in table {
        let answered = read(Payload::Http2, result, None).unwrap_or_else(|failure| panic!("{result}: {failure}"));
        assert_eq!((answered.status.as_u16(), &*answered.body), (status, body.as_bytes()), "{result}");
        assert_eq!(lines(&answered, "content-type"), [kind], "{result}");
    }
    let answered =
        read(Payload::FunctionUrl, r#"{"statusCode": 200, "cookies": ["a=1", "b=2; Path=/"]}"#, None).unwrap();
    assert_eq!(lines(&answered, "set-cookie"), ["a=1", "b=2; Path=/"]);
    for result in [
        "",
        "{",
        r#"{"statusCode": "x"}"#,
        r#"{"statusCode": null}"#,
        r#"{"statusCode": 200, "cookies": [1]}"#,
        r#"{"statusCode": 200, "body": 1}"#,
    ] {
        assert!(read(Payload::Http2, result, None).is_err(), "{result}");
    }
}

#[test]
fn load_balancers_want_a_status() {
    let alb = Payload::Alb { multi: true };
    let answered = read(alb, r#"{"statusCode": 200, "statusDescription": "200 OK", "multiValueHeaders": {"a": ["1", "2"]}, "headers": {"b": "x"}, "body": "t"}"#, None).unwrap();
    assert_eq!(
        (lines(&answered, "a"), lines(&answered, "b").len(), &*answered.body),
        (vec!["1".into(), "2".into()], 0, &b"t"[..])
    );
    for result in ["{}", r#"{"statusCode": "200"}"#, "null"] {
        assert!(read(alb, result, None).is_err(), "{result}");
    }
}

#[test]
fn failures_look_as_the_service_makes_them() {
    let alb = Payload::Alb { multi: false };
    let table = [
        (Failure::Malformed(String::new()), [502, 500, 502, 502]),
        (Failure::Function(String::new()), [502, 500, 502, 502]),
        (Failure::Throttled(Some(3)), [429; 4]),
        (Failure::Refused(String::new()), [500, 500, 502, 502]),
        (Failure::Timeout(String::new()), [504, 503, 504, 504]),
        (Failure::Unreachable(String::new()), [502, 503, 502, 502]),
        (Failure::NoRoute, [403, 404, 404, 404]),
        (Failure::TooLarge, [413; 4]),
    ];
    for (failure, statuses) in table {
        let payloads = [Payload::Rest1, Payload::Http2, Payload::FunctionUrl, alb];
        assert_eq!(payloads.map(|payload| failed(&failure, payload).status.as_u16()), statuses, "{failure:?}");
    }
    let rest = failed(&Failure::Malformed(String::new()), Payload::Rest1);
    assert_eq!(rest.body, r#"{"message":"Internal server error"}"#);
    assert_eq!(lines(&rest, "x-amzn-errortype"), ["InternalServerErrorException"]);
    let late = failed(&Failure::Timeout(String::new()), Payload::Rest1);
    assert_eq!(late.body, r#"{"message":"Endpoint request timed out"}"#);
    assert_eq!(lines(&failed(&Failure::Throttled(Some(3)), Payload::Http2), "retry-after"), ["3"]);
    assert!(failed(&Failure::Malformed(String::new()), alb).body.starts_with(b"<html>"));
}
