//! Bodies: encodings, actions, and every size at its bound and one over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::hooks::exchange::Edit;

use super::*;

fn encoded(len: usize) -> String {
    STANDARD.encode(vec![b'x'; len])
}

fn replace(event: Event, mode: Mode, body: Value) -> (Result<(), Failure>, Exchange) {
    let mut exchange = exchange(event, mode);
    let done = change(&mut exchange, Api::LambdaEdge, |message| message["body"] = body);
    (done, exchange)
}

#[test]
fn request_bodies() {
    let data = |data: &'static str| vec![Edit::Body(Bytes::from_static(data.as_bytes()))];
    for (body, want) in [
        (json!(null), vec![]),
        (json!({}), vec![]),
        (json!({"data": "ignored", "encoding": "odd"}), vec![]),
        (json!({"action": "read-only", "data": "!", "encoding": "base64"}), vec![]),
        (json!({"action": "replace", "data": "new", "encoding": "text"}), data("new")),
        (json!({"action": "replace", "data": "bmV3", "encoding": "base64"}), data("new")),
        (json!({"action": "replace", "data": "bmV3"}), data("new")),
        (json!({"action": "replace", "data": "", "encoding": "text"}), data("")),
        (json!({"action": "replace", "data": "AAFhYg==", "encoding": "base64"}), vec![]),
        (json!({"action": "replace", "data": "AAFhYg", "encoding": "base64"}), vec![]),
    ] {
        for event in [Event::ViewerRequest, Event::OriginRequest] {
            let (done, exchange) = replace(event, Mode::Strict, body.clone());
            done.unwrap();
            assert_eq!(exchange.edits(), want, "{body}");
        }
    }
    for (body, want) in [
        (json!([]), "\"body\" must be an object, not an array"),
        (json!({"action": "drop"}), "\"body.action\" must be \"read-only\" or \"replace\", not \"drop\""),
        (json!({"action": 5}), "\"body.action\" must be a string, not a number"),
        (json!({"action": "replace"}), "\"body.data\" is missing"),
        (json!({"action": "replace", "data": 5}), "\"body.data\" must be a string, not a number"),
        (
            json!({"action": "replace", "data": "x", "encoding": "utf8"}),
            "\"body.encoding\" must be \"text\" or \"base64\"",
        ),
        (json!({"action": "replace", "data": "x", "encoding": 5}), "\"body.encoding\" must be \"text\" or \"base64\""),
        (json!({"action": "replace", "data": "no base64!"}), "\"body.data\" is not valid base64"),
        (json!({"action": "replace", "data": "abcde"}), "\"body.data\" is not valid base64"),
        (json!({"inputTruncated": true}), "\"body.inputTruncated\" is read-only"),
        (json!({"inputTruncated": "no"}), "\"body.inputTruncated\" must be a boolean"),
    ] {
        let (done, _) = replace(Event::ViewerRequest, Mode::Extended, body);
        let refused = words(done);
        assert!(refused.contains(want), "{refused}");
    }
}

#[test]
fn a_truncated_body_that_comes_back_replaces() {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
    exchange.request.body = Some(Body { data: Bytes::from_static(b"beg"), truncated: true });
    change(&mut exchange, Api::LambdaEdge, |message| message["body"]["action"] = json!("replace")).unwrap();
    assert_eq!(exchange.edits(), [Edit::Body(Bytes::from_static(b"beg"))]);
}

#[test]
fn a_body_needs_the_association_to_include_it() {
    let mut site = site(Mode::Strict);
    Arc::make_mut(&mut site).include_body = false;
    let mut plain = request(Event::ViewerRequest);
    plain.body = None;
    let mut exchange = Exchange::request(Event::ViewerRequest, &site, "id", 0, plain);
    assert!(given(&exchange, Api::LambdaEdge).get("body").is_none());
    let refused = words(change(&mut exchange, Api::LambdaEdge, |message| {
        message["body"] = json!({"action": "replace", "data": ""});
    }));
    assert!(refused.contains("the association does not include the body"), "{refused}");
}

/// CloudFront Developer Guide, "Restrictions on Lambda@Edge", request body: 40 KB and 1 MB as text, 53.2 KB and 1.33 MB as
/// base64; more is a validation error.
#[test]
fn request_bodies_at_the_bound_and_one_over() {
    for (mode, event, text, base64) in [
        (Mode::Strict, Event::ViewerRequest, 40_960, 54_477),
        (Mode::Strict, Event::OriginRequest, 1_048_576, 1_394_606),
        (Mode::Extended, Event::ViewerRequest, 8 << 20, (8usize << 20).div_ceil(3) * 4),
    ] {
        let full = |len| json!({"action": "replace", "encoding": "text", "data": "x".repeat(len)});
        assert!(replace(event, mode, full(text)).0.is_ok());
        let refused = words(replace(event, mode, full(text + 1)).0);
        assert!(
            refused.ends_with(&format!("\"body.data\" exceeds the maximum size of {text} bytes as text")),
            "{refused}"
        );

        // Base64 comes in fours.
        let fits = base64 / 4 * 4;
        let full = |len: usize| json!({"action": "replace", "encoding": "base64", "data": encoded(len / 4 * 3)});
        let (done, exchange) = replace(event, mode, full(fits));
        match exchange.limits().body_text >= fits / 4 * 3 {
            true => done.unwrap(),
            false => assert!(words(done).contains("exceeds the maximum size")),
        }
        let refused = words(replace(event, mode, full(fits + 4)).0);
        assert!(refused.contains(&format!("exceeds the maximum size of {base64} bytes as base64")), "{refused}");
    }
}

#[test]
fn response_bodies() {
    let data = |data: &'static str| Some(Bytes::from_static(data.as_bytes()));
    for (edit, want) in [
        (json!({}), None),
        (json!({"body": null}), None),
        (json!({"body": "text"}), data("text")),
        (json!({"body": ""}), data("")),
        (json!({"body": "text", "bodyEncoding": "text"}), data("text")),
        (json!({"body": "dGV4dA==", "bodyEncoding": "base64"}), data("text")),
        (json!({"body": {"data": "text"}}), data("text")),
        (json!({"body": {"data": "dGV4dA==", "encoding": "base64"}}), data("text")),
        (json!({"body": {"encoding": "base64"}}), None),
    ] {
        for (event, api) in [(Event::OriginResponse, Api::LambdaEdge), (Event::ViewerResponse, Api::CloudFront)] {
            let mut exchange = exchange(event, Mode::Strict);
            change(&mut exchange, api, |message| {
                edit.as_object().unwrap().iter().for_each(|(name, value)| message[name] = value.clone());
            })
            .unwrap();
            assert_eq!(exchange.response.unwrap().body, want, "{edit}");
        }
    }
    for (edit, want) in [
        (json!({"body": 5}), "\"body\" must be a string or an object, not a number"),
        (json!({"body": ["x"]}), "\"body\" must be a string or an object, not an array"),
        (json!({"body": "x", "bodyEncoding": "gzip"}), "\"bodyEncoding\" must be \"text\" or \"base64\", not \"gzip\""),
        (json!({"body": "no base64!", "bodyEncoding": "base64"}), "\"body\" is not valid base64"),
        (json!({"body": {"data": 5}}), "\"body.data\" must be a string, not a number"),
        (json!({"body": {"price": 5}}), "\"body.data\" is missing"),
        (json!({"body": {"data": null, "price": 5}}), "\"body.data\" must be a string, not null"),
        (json!({"body": {"data": "%", "encoding": "base64"}}), "\"body\" is not valid base64"),
        (json!({"statusDescription": 5}), "\"statusDescription\" must be a string, not a number"),
    ] {
        let mut exchange = exchange(Event::OriginResponse, Mode::Extended);
        let refused = words(change(&mut exchange, Api::LambdaEdge, |message| {
            edit.as_object().unwrap().iter().for_each(|(name, value)| message[name] = value.clone());
        }));
        assert!(refused.contains(want), "{refused}");
    }
}

#[test]
fn a_status_without_a_body() {
    for status in [204, 205, 304] {
        for api in [Api::LambdaEdge, Api::CloudFront] {
            let name = if api == Api::CloudFront { "statusCode" } else { "status" };
            let answer = |body: &str| json!({ name: status, "body": body });
            let mut asked = exchange(Event::ViewerRequest, Mode::Extended);
            let refused = words(accept(&mut asked, api, &answer("x")));
            assert!(refused.ends_with(&format!("\"body\" must be empty with status {status}")), "{refused}");
            accept(&mut asked, api, &answer("")).unwrap();
            assert_eq!(asked.answer().unwrap().status.as_u16(), status);

            let mut there = exchange(Event::ViewerResponse, Mode::Extended);
            let set = |body: &'static str| {
                move |message: &mut Value| {
                    message[name] = json!(status);
                    message["body"] = json!(body);
                }
            };
            assert!(words(change(&mut there, api, set("x"))).contains("must be empty"));
            change(&mut there, api, set("")).unwrap();
        }
    }
    // The way back: a status first, then the body.
    let mut exchange = exchange(Event::OriginResponse, Mode::Strict);
    exchange.response.as_mut().unwrap().status = StatusCode::NO_CONTENT;
    change(&mut exchange, Api::LambdaEdge, |message| {
        message["status"] = json!("200");
        message["body"] = json!("x");
    })
    .unwrap();
    assert_eq!(exchange.edits(), [Edit::Status(StatusCode::OK), Edit::Body("x".into())]);
}

/// CloudFront Developer Guide, "Generate HTTP responses in request triggers": 40 KB and 1 MB, headers included.
#[test]
fn answers_at_the_bound_and_one_over() {
    let section = "content-type: text/plain\r\n".len();
    for (mode, event, max) in [
        (Mode::Strict, Event::ViewerRequest, 40_960),
        (Mode::Strict, Event::OriginRequest, 1_048_576),
        (Mode::Extended, Event::ViewerRequest, 8 << 20),
        (Mode::Extended, Event::OriginRequest, 8 << 20),
    ] {
        for api in apis(event) {
            let answer = |len: usize| match api {
                Api::CloudFront => json!({
                    "statusCode": 200, "headers": {"content-type": {"value": "text/plain"}}, "body": "x".repeat(len),
                }),
                _ => json!({
                    "status": "200", "headers": {"content-type": [{"value": "text/plain"}]}, "body": "x".repeat(len),
                }),
            };
            accept(&mut exchange(event, mode), *api, &answer(max - section)).unwrap();
            let refused = words(accept(&mut exchange(event, mode), *api, &answer(max - section + 1)));
            assert!(refused.contains("exceeds the maximum size"), "{refused}");
        }
    }
}

#[test]
fn replaced_response_bodies_at_the_bound_and_one_over() {
    for (event, api, max) in
        [(Event::OriginResponse, Api::LambdaEdge, 1_048_576), (Event::ViewerResponse, Api::CloudFront, 40_960)]
    {
        let section: usize = Exchange::visible(&exchange(event, Mode::Strict).response.unwrap().headers)
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        let set = |len: usize| move |message: &mut Value| message["body"] = json!("x".repeat(len));
        change(&mut exchange(event, Mode::Strict), api, set(max - section)).unwrap();
        let refused = words(change(&mut exchange(event, Mode::Strict), api, set(max - section + 1)));
        assert!(refused.contains("exceeds the maximum size"), "{refused}");
        change(&mut exchange(event, Mode::Extended), api, set(max + 1)).unwrap();
    }
}
