//! Samples: what well-known functions return, and what that does. The results are those of the examples in the CloudFront
//! Developer Guide ("Lambda@Edge example functions", "Example CloudFront Functions"), written down as data.

use serde_json::json;

use crate::hooks::exchange::Edit;

use super::*;

fn set(name: &'static str, value: &'static str) -> Edit {
    Edit::Set(HeaderName::from_static(name), HeaderValue::from_static(value))
}

fn edits(event: Event, api: Api, edit: impl FnOnce(&mut Value)) -> Vec<Edit> {
    let mut exchange = exchange(event, Mode::Strict);
    change(&mut exchange, api, edit).unwrap();
    assert!(exchange.answer().is_none());
    exchange.take_edits()
}

fn answer(event: Event, api: Api, result: &Value) -> (u16, Vec<(String, String)>, Bytes) {
    let mut exchange = exchange(event, Mode::Strict);
    accept(&mut exchange, api, result).unwrap();
    let answer = exchange.take_answer().unwrap();
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let lines = answer.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    (answer.status.as_u16(), lines, answer.body)
}

fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn lambda_requests() {
    let (viewer, origin) = (Event::ViewerRequest, Event::OriginRequest);
    // A/B testing: another object for the same address.
    assert_eq!(
        edits(viewer, Api::LambdaEdge, |message| message["uri"] = json!("/experiment-pixel.jpg")),
        [Edit::Uri("/experiment-pixel.jpg".to_owned())]
    );
    // Query string normalised: parameters in order, lower case.
    assert_eq!(
        edits(viewer, Api::LambdaEdge, |message| message["querystring"] = json!("a=1&b=2")),
        [Edit::Query("a=1&b=2".to_owned())]
    );
    // Desktop or mobile content, by a header that the edge added: the path gets a prefix.
    assert_eq!(
        edits(origin, Api::LambdaEdge, |message| message["uri"] = json!("/mobile/a")),
        [Edit::Uri("/mobile/a".to_owned())]
    );
    // Query parameter into a header that the origin reads.
    assert_eq!(
        edits(origin, Api::LambdaEdge, |message| {
            message["headers"]["x-size"] = json!([{"key": "X-Size", "value": "large"}]);
            message["querystring"] = json!("");
        }),
        [Edit::Query(String::new()), set("x-size", "large")]
    );
    // A form's body, read and replaced.
    assert_eq!(
        edits(viewer, Api::LambdaEdge, |message| {
            message["body"]["action"] = json!("replace");
            message["body"]["encoding"] = json!("text");
            message["body"]["data"] = json!("name=changed");
        }),
        [Edit::Body(Bytes::from_static(b"name=changed"))]
    );
}

#[test]
fn lambda_answers() {
    let event = Event::ViewerRequest;
    // A static page, keys generated.
    assert_eq!(
        answer(
            event,
            Api::LambdaEdge,
            &json!({
                "status": "200",
                "statusDescription": "OK",
                "headers": {
                    "cache-control": [{"key": "Cache-Control", "value": "max-age=100"}],
                    "content-type": [{"key": "Content-Type", "value": "text/html"}],
                },
                "body": "<html></html>",
            })
        ),
        (
            200,
            lines(&[("cache-control", "max-age=100"), ("content-type", "text/html")]),
            Bytes::from_static(b"<html></html>")
        )
    );
    // A redirect.
    let redirect = json!({
        "status": "302", "statusDescription": "Found",
        "headers": {"location": [{"key": "Location", "value": "https://docs.example/"}]},
    });
    let want = (302, lines(&[("location", "https://docs.example/")]), Bytes::new());
    assert_eq!(answer(event, Api::LambdaEdge, &redirect), want);
    assert_eq!(answer(Event::OriginRequest, Api::LambdaEdge, &redirect), want);
    // Not signed in: a status and nothing else.
    assert_eq!(answer(event, Api::LambdaEdge, &json!({"status": "401"})), (401, Vec::new(), Bytes::new()));
    // Two cookies, and a compressed page.
    assert_eq!(
        answer(
            event,
            Api::LambdaEdge,
            &json!({
                "status": 200,
                "headers": {"set-cookie": [{"key": "Set-Cookie", "value": "a=1"}, {"value": "b=2; Secure"}]},
                "body": "H4sI", "bodyEncoding": "base64",
            })
        ),
        (200, lines(&[("set-cookie", "a=1"), ("set-cookie", "b=2; Secure")]), Bytes::from_static(b"\x1f\x8b\x08"))
    );
}

#[test]
fn lambda_responses() {
    // Security headers.
    assert_eq!(
        edits(Event::ViewerResponse, Api::LambdaEdge, |message| {
            message["headers"]["strict-transport-security"] =
                json!([{"key": "Strict-Transport-Security", "value": "max-age=63072000"}]);
        }),
        [set("strict-transport-security", "max-age=63072000")]
    );
    // A header overridden with another's value; the inner key still names the source.
    assert_eq!(
        edits(Event::OriginResponse, Api::LambdaEdge, |message| {
            message["headers"]["last-modified"] = json!([{"key": "X-Amz-Meta-Last-Modified", "value": "then"}]);
        }),
        [set("last-modified", "then")]
    );
    // An origin's error turned into a page, and into a redirect.
    assert_eq!(
        edits(Event::OriginResponse, Api::LambdaEdge, |message| {
            message["status"] = json!(404);
            message["statusDescription"] = json!("Not Found");
            message["body"] = json!("Body generation example");
        }),
        [Edit::Status(StatusCode::NOT_FOUND), Edit::Body(Bytes::from_static(b"Body generation example"))]
    );
    assert_eq!(
        edits(Event::OriginResponse, Api::LambdaEdge, |message| {
            message["status"] = json!("302");
            message["statusDescription"] = json!("Found");
            message["body"] = json!("");
            message["headers"]["location"] = json!([{"key": "Location", "value": "https://example.org/"}]);
        }),
        [set("location", "https://example.org/"), Edit::Status(StatusCode::FOUND), Edit::Body(Bytes::new())]
    );
}

#[test]
fn function_requests() {
    let event = Event::ViewerRequest;
    // Pretty addresses.
    assert_eq!(
        edits(event, Api::CloudFront, |message| message["uri"] = json!("/a/index.html")),
        [Edit::Uri("/a/index.html".to_owned())]
    );
    // The viewer's address for the origin.
    assert_eq!(
        edits(event, Api::CloudFront, |message| message["headers"]["true-client-ip"] = json!({"value": "192.0.2.7"})),
        [set("true-client-ip", "192.0.2.7")]
    );
    // Query string normalised: a string takes the object's place.
    assert_eq!(
        edits(event, Api::CloudFront, |message| message["querystring"] = json!("b=2&b=3")),
        [Edit::Query("b=2&b=3".to_owned())]
    );
    // A cookie for the origin, another dropped.
    assert_eq!(
        edits(event, Api::CloudFront, |message| {
            message["cookies"].as_object_mut().unwrap().remove("a");
            message["cookies"]["group"] = json!({"value": "x"});
        }),
        [set("cookie", "b=2; group=x")]
    );
}

#[test]
fn function_answers() {
    let event = Event::ViewerRequest;
    // Country redirect.
    assert_eq!(
        answer(
            event,
            Api::CloudFront,
            &json!({
                "statusCode": 302, "statusDescription": "Found",
                "headers": {"location": {"value": "https://shop.example/de/index.html"}},
            })
        ),
        (302, lines(&[("location", "https://shop.example/de/index.html")]), Bytes::new())
    );
    // A token that does not check.
    assert_eq!(
        answer(event, Api::CloudFront, &json!({"statusCode": 401, "statusDescription": "Unauthorized"})),
        (401, Vec::new(), Bytes::new())
    );
    // The guide's response object: repeated cookies, a body in a member of its own.
    assert_eq!(
        answer(
            event,
            Api::CloudFront,
            &json!({
                "statusCode": 200, "statusDescription": "OK",
                "headers": {"content-type": {"value": "text/html; charset=UTF-8"}},
                "cookies": {
                    "id": {"value": "1", "attributes": "Expires=Wed, 05 Apr 2021 07:28:00 GMT"},
                    "n": {"value": "a", "multiValue": [
                        {"value": "a", "attributes": "Secure; Path=/; Domain=example.com"},
                        {"value": "b", "attributes": "Secure; Path=/"},
                    ]},
                },
                "body": {"encoding": "text", "data": "<html></html>"},
            })
        ),
        (
            200,
            lines(&[
                ("content-type", "text/html; charset=UTF-8"),
                ("set-cookie", "id=1; Expires=Wed, 05 Apr 2021 07:28:00 GMT"),
                ("set-cookie", "n=a; Secure; Path=/; Domain=example.com"),
                ("set-cookie", "n=b; Secure; Path=/"),
            ]),
            Bytes::from_static(b"<html></html>")
        )
    );
}

#[test]
fn function_responses() {
    let event = Event::ViewerResponse;
    // Security and CORS headers, and a longer life.
    assert_eq!(
        edits(event, Api::CloudFront, |message| {
            message["headers"]["access-control-allow-origin"] = json!({"value": "*"});
            message["headers"]["cache-control"] = json!({"value": "public, max-age=63072000"});
        }),
        [set("access-control-allow-origin", "*"), set("cache-control", "public, max-age=63072000")]
    );
    // A page in place of the origin's, with the length that goes with it.
    assert_eq!(
        edits(event, Api::CloudFront, |message| {
            message["statusCode"] = json!(200);
            message["headers"]["content-length"] = json!({"value": "4"});
            message["body"] = json!("page");
        }),
        [Edit::Body(Bytes::from_static(b"page"))]
    );
}
