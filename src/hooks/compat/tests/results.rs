//! Results: what may be returned at all, and every property that a function may or may not change.

use serde_json::json;

use crate::hooks::exchange::Edit;

use super::*;

const NO_OBJECT: &str = "the function returned invalid JSON: the JSON output must be an object type";

fn raw(event: Event, mode: Mode, api: Api, result: &str) -> Result<(), Failure> {
    super::super::accept(&mut exchange(event, mode), api, result).map(drop)
}

#[test]
fn what_is_no_object_is_refused() {
    for event in Event::ALL {
        for result in ["", "null", "undefined", "\"text\"", "5", "true", "[]", "[{}]", "  "] {
            assert_eq!(words(raw(event, Mode::Extended, Api::LambdaEdge, result)), NO_OBJECT, "{result}");
        }
        for result in ["{", "{\"status\":}", "{}{}", "{'a':1}"] {
            let refused = words(raw(event, Mode::Extended, Api::LambdaEdge, result));
            assert!(
                refused.starts_with("the function returned invalid JSON: the JSON output is not parsable"),
                "{refused}"
            );
        }
    }
    for result in
        ["", "null", "[]", "{}", "{\"result\":null}", "{\"result\":5}", "{\"result\":\"x\"}", "{\"origin\":null}"]
    {
        assert_eq!(words(raw(Event::ViewerRequest, Mode::Strict, Api::CloudFront, result)), NO_OBJECT, "{result}");
    }
    let deep = format!("{{\"status\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(words(raw(Event::ViewerRequest, Mode::Strict, Api::LambdaEdge, &deep)).contains("not parsable"));
    let long = format!("{{\"x\":\"{}\"}}", "a".repeat(1 << 20));
    assert!(words(raw(Event::ViewerRequest, Mode::Strict, Api::LambdaEdge, &long)).contains("is larger than"));
}

#[test]
fn a_request_or_a_response_where_it_belongs() {
    let lambda = Api::LambdaEdge;
    for (event, api, result, want) in [
        (Event::ViewerRequest, lambda, json!({}), "neither a request (no \"uri\") nor a response (no \"status\")"),
        (Event::OriginRequest, lambda, json!({"body": "x"}), "neither a request"),
        (Event::OriginResponse, lambda, json!({"uri": "/", "method": "POST"}), "a request was returned"),
        (Event::ViewerResponse, lambda, json!({}), "\"status\" is missing"),
        (Event::ViewerRequest, Api::CloudFront, json!({}), "neither a request"),
        (Event::ViewerResponse, Api::CloudFront, json!({}), "\"statusCode\" is missing"),
        (Event::ViewerResponse, Api::CloudFront, json!({"uri": "/"}), "a request was returned"),
        (Event::ViewerResponse, Api::CloudFront, json!({"status": "200"}), "\"statusCode\" is missing"),
    ] {
        for mode in [Mode::Strict, Mode::Extended] {
            let refused = words(accept(&mut exchange(event, mode), api, &result));
            assert!(refused.contains(want), "{refused}");
        }
    }
    // What strict mode misses, extended leaves as it is.
    for name in ["uri", "method", "headers"] {
        for api in apis(Event::ViewerRequest) {
            let without = |message: &mut Value| _ = message.as_object_mut().unwrap().remove(name);
            let mut strict = exchange(Event::ViewerRequest, Mode::Strict);
            let refused = words(change(&mut strict, *api, without));
            assert_eq!(refused, format!("the function's result failed validation: \"{name}\" is missing"));
            let mut extended = exchange(Event::ViewerRequest, Mode::Extended);
            change(&mut extended, *api, without).unwrap();
            assert_eq!(extended.edits(), []);
        }
    }
}

#[test]
fn statuses() {
    let answers = [
        (json!("200"), true),
        (json!(200), true),
        (json!(200.0), true),
        (json!("599"), true),
        (json!("302"), true),
        (json!("199"), false),
        (json!(199), false),
        (json!("600"), false),
        (json!(600), false),
        (json!("abc"), false),
        (json!("20x"), false),
        (json!("+200"), false),
        (json!(""), false),
        (json!(200.5), false),
        (json!(-200), false),
        (json!(1e300), false),
        (json!("99999999999"), false),
        (json!(true), false),
        (json!([200]), false),
        (json!({"code": 200}), false),
    ];
    for (status, valid) in &answers {
        for event in [Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse] {
            let mut exchange = exchange(event, Mode::Strict);
            let via = json!([{"value": "1.1 x"}]);
            let headers = if event.is_request() { json!({}) } else { json!({ "via": via }) };
            let done = accept(&mut exchange, Api::LambdaEdge, &json!({"status": status, "headers": headers}));
            assert_eq!(done.is_ok(), *valid, "{status} at {event}: {done:?}");
            assert!(*valid || words(done).contains("\"status\" must be"), "{status}");
        }
        for event in [Event::ViewerRequest, Event::ViewerResponse] {
            let done = accept(&mut exchange(event, Mode::Extended), Api::CloudFront, &json!({"statusCode": status}));
            assert_eq!(done.is_ok(), *valid, "{status} at {event}: {done:?}");
            let number = status.is_number();
            let strict = accept(&mut exchange(event, Mode::Strict), Api::CloudFront, &json!({"statusCode": status}));
            assert_eq!(strict.is_ok(), *valid && number, "{status} at {event}: {strict:?}");
        }
    }
}

#[test]
fn the_status_of_a_viewer_response_is_lambdas_to_read() {
    let refused = "the function's result failed validation: \"status\" is read-only in the viewer-response event";
    let set = |message: &mut Value| message["status"] = json!(404);
    let mut strict = exchange(Event::ViewerResponse, Mode::Strict);
    assert_eq!(words(change(&mut strict, Api::LambdaEdge, set)), refused);
    change(&mut strict, Api::LambdaEdge, |message| message["status"] = json!(200)).unwrap();
    assert_eq!(strict.edits(), [], "as a number it is the same");
    let refused = "the function's result failed validation: \"body\" is read-only in the viewer-response event";
    assert_eq!(words(change(&mut strict, Api::LambdaEdge, |message| message["body"] = json!("x"))), refused);

    let mut extended = exchange(Event::ViewerResponse, Mode::Extended);
    change(&mut extended, Api::LambdaEdge, |message| {
        set(message);
        message["body"] = json!("gone");
    })
    .unwrap();
    assert_eq!(extended.edits(), [Edit::Status(StatusCode::NOT_FOUND), Edit::Body("gone".into())]);

    let mut function = exchange(Event::ViewerResponse, Mode::Strict);
    change(&mut function, Api::CloudFront, |message| message["statusCode"] = json!(404)).unwrap();
    assert_eq!(function.edits(), [Edit::Status(StatusCode::NOT_FOUND)]);
}

/// An origin may answer with a status that functions cannot set.
#[test]
fn a_strange_status_passes_through() {
    for (event, api) in [
        (Event::OriginResponse, Api::LambdaEdge),
        (Event::ViewerResponse, Api::LambdaEdge),
        (Event::ViewerResponse, Api::CloudFront),
    ] {
        let mut exchange = exchange(event, Mode::Strict);
        exchange.response.as_mut().unwrap().status = StatusCode::from_u16(999).unwrap();
        change(&mut exchange, api, |_| {}).unwrap();
        assert_eq!(exchange.edits(), []);
    }
}

#[test]
fn what_a_function_may_only_read() {
    for (api, member, value, name) in [
        (Api::LambdaEdge, "method", json!("GET"), "method"),
        (Api::LambdaEdge, "clientIp", json!("192.0.2.8"), "clientIp"),
        (Api::CloudFront, "method", json!("GET"), "method"),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Extended);
        let refused = words(change(&mut exchange, api, |message| message[member] = value));
        assert_eq!(
            refused,
            format!("the function's result failed validation: \"{name}\" is read-only in the viewer-request event")
        );
    }
    // The request of a response event is not part of the result.
    let mut exchange = exchange(Event::OriginResponse, Mode::Strict);
    change(&mut exchange, Api::LambdaEdge, |message| message["querystring"] = json!("x")).unwrap();
    assert_eq!(exchange.edits(), []);
}

#[test]
fn members_of_the_wrong_kind_are_named() {
    let event = Event::OriginRequest;
    for (member, value, want) in [
        ("uri", json!(5), "\"uri\" must be a string, not a number"),
        ("uri", json!("no-slash"), "\"uri\" must begin with \"/\""),
        ("uri", json!("/a?b"), "\"uri\" must begin with \"/\""),
        ("uri", json!("/a b"), "hold no space"),
        ("querystring", json!({}), "\"querystring\" must be a string, not an object"),
        ("querystring", json!("a b"), "\"querystring\" must not hold a space"),
        ("querystring", json!("a#b"), "\"querystring\" must not hold a space"),
        ("querystring", json!("a\u{1}"), "\"querystring\" must not hold a space"),
        ("method", json!([]), "\"method\" must be a string, not an array"),
        ("clientIp", json!(false), "\"clientIp\" must be a string, not a boolean"),
        ("headers", json!([]), "\"headers\" must be an object"),
        ("headers", json!("x"), "\"headers\" must be an object"),
        ("headers", json!(null), "\"headers\" must be an object"),
        ("headers", json!({"x-a": "1"}), "the header \"x-a\" must be an array"),
        ("headers", json!({"x-a": {"value": "1"}}), "the header \"x-a\" must be an array"),
        ("headers", json!({"x-a": null}), "the header \"x-a\" must be an array"),
        ("headers", json!({"x-a": ["1"]}), "the value of \"x-a\" must be a string, not absent"),
        ("headers", json!({"x-a": [{}]}), "the value of \"x-a\" must be a string, not absent"),
        ("headers", json!({"x-a": [{"value": null}]}), "the value of \"x-a\" must be a string, not null"),
        ("headers", json!({"x-a": [{"value": 5}]}), "the value of \"x-a\" must be a string, not a number"),
        ("headers", json!({"x-a": [{"value": ["1", 2]}]}), "the value of \"x-a\" must be a string, not a number"),
        ("headers", json!({"x-a": [{"key": 5, "value": "1"}]}), "\"key\" must be a string, not a number"),
        ("body", json!("x"), "\"body\" must be an object, not a string"),
        ("origin", json!("x"), "\"origin\" must be an object, not a string"),
    ] {
        let mut exchange = exchange(event, Mode::Strict);
        let refused = words(change(&mut exchange, Api::LambdaEdge, |message| message[member] = value));
        assert!(refused.contains(want), "{refused}");
    }
    for (name, value) in [("x a", "1"), ("", "1"), ("x-a", "a\r\nb: c"), ("x-é", "1")] {
        let mut exchange = exchange(event, Mode::Extended);
        let refused = words(change(&mut exchange, Api::LambdaEdge, |message| {
            message["headers"][name] = json!([{ "value": value }]);
        }));
        assert!(refused.contains("has an invalid name or value"), "{refused}");
    }
}

#[test]
fn paths_and_queries_change_together() {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
    let long = "a".repeat(8000);
    change(&mut exchange, Api::LambdaEdge, |message| message["querystring"] = json!(long)).unwrap();
    change(&mut exchange, Api::LambdaEdge, |message| {
        message["uri"] = json!(format!("/{long}"));
        message["querystring"] = json!("");
    })
    .unwrap();
    let refused =
        words(change(&mut exchange, Api::LambdaEdge, |message| message["querystring"] = json!("a".repeat(191))));
    assert_eq!(refused, "the function's result failed validation: \"uri\" and \"querystring\" exceed 8191 bytes");
    let mut none = self::exchange(Event::ViewerRequest, Mode::Strict);
    change(&mut none, Api::LambdaEdge, |message| message["querystring"] = json!(null)).unwrap();
    assert_eq!(none.edits(), [Edit::Query(String::new())]);
}

#[test]
fn fields_that_changed_and_no_others() {
    let name = |name| HeaderName::from_static(name);
    let value = |value| HeaderValue::from_static(value);
    let lines = |lines: &[&str]| Value::Array(lines.iter().map(|line| json!({ "value": line })).collect());
    for (edit, want) in [
        (
            json!({"x-new": lines(&["1", "2"])}),
            vec![Edit::Set(name("x-new"), value("1")), Edit::Append(name("x-new"), value("2"))],
        ),
        (json!({"X-New": lines(&["1"])}), vec![Edit::Set(name("x-new"), value("1"))]),
        (json!({"accept": lines(&["text/html", "image/*", "a"])}), vec![Edit::Append(name("accept"), value("a"))]),
        (
            json!({"accept": lines(&["image/*", "text/html"])}),
            vec![Edit::Set(name("accept"), value("image/*")), Edit::Append(name("accept"), value("text/html"))],
        ),
        (json!({"accept": lines(&["text/html"])}), vec![Edit::Set(name("accept"), value("text/html"))]),
        (json!({"accept": [{"value": ["text/html", "image/*"]}]}), vec![]),
        (json!({"accept": []}), vec![Edit::Remove(name("accept"))]),
        (json!({"x-none": []}), vec![]),
        (
            json!({"Accept": lines(&["a"])}),
            vec![
                Edit::Set(name("accept"), value("a")),
                Edit::Append(name("accept"), value("text/html")),
                Edit::Append(name("accept"), value("image/*")),
            ],
        ),
        (json!({"x-latin": lines(&["café"])}), vec![]),
        (
            json!({"x-latin": lines(&["thé"])}),
            vec![Edit::Set(name("x-latin"), HeaderValue::from_bytes("thé".as_bytes()).unwrap())],
        ),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        change(&mut exchange, Api::LambdaEdge, |message| {
            for (name, lines) in edit.as_object().unwrap() {
                message["headers"][name] = lines.clone();
            }
        })
        .unwrap();
        assert_eq!(exchange.edits(), want, "{edit}");
    }
    let mut gone = exchange(Event::ViewerRequest, Mode::Strict);
    change(&mut gone, Api::LambdaEdge, |message| _ = message["headers"].as_object_mut().unwrap().remove("user-agent"))
        .unwrap();
    assert_eq!(gone.edits(), [Edit::Remove(name("user-agent"))]);
}

#[test]
fn the_maps_key_names_the_field() {
    let mut exchange = exchange(Event::OriginResponse, Mode::Strict);
    let mut message = given(&exchange, Api::LambdaEdge);
    message["headers"]["last-modified"] = json!([{"key": "X-Amz-Meta-Last-Modified", "value": "then"}]);
    let warnings = super::super::accept(&mut exchange, Api::LambdaEdge, &message.to_string()).unwrap();
    assert_eq!(
        warnings,
        ["the header \"last-modified\" carries the key \"X-Amz-Meta-Last-Modified\": \"last-modified\" is used"]
    );
    let set = Edit::Set(HeaderName::from_static("last-modified"), HeaderValue::from_static("then"));
    assert_eq!(exchange.edits(), [set]);
}

/// CloudFront Developer Guide, "Restrictions on Lambda@Edge", CloudFront headers.
#[test]
fn the_country_may_not_be_made_up() {
    let set = |message: &mut Value| message["headers"]["cloudfront-viewer-country"] = json!([{"value": "FR"}]);
    let mut strict = exchange(Event::ViewerRequest, Mode::Strict);
    assert!(words(change(&mut strict, Api::LambdaEdge, set)).contains("\"cloudfront-viewer-country\" may not be set"));
    strict.request.headers.insert("cloudfront-viewer-country", HeaderValue::from_static("FR"));
    change(&mut strict, Api::LambdaEdge, set).unwrap();
    for (event, mode) in [(Event::OriginRequest, Mode::Strict), (Event::ViewerRequest, Mode::Extended)] {
        change(&mut exchange(event, mode), Api::LambdaEdge, set).unwrap();
    }
}

#[test]
fn numbers_are_text_in_extended_mode() {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Extended);
    change(&mut exchange, Api::LambdaEdge, |message| {
        message["headers"]["x-a"] = json!([{"value": 5}, {"value": true}])
    })
    .unwrap();
    let name = HeaderName::from_static("x-a");
    let want =
        [Edit::Set(name.clone(), HeaderValue::from_static("5")), Edit::Append(name, HeaderValue::from_static("true"))];
    assert_eq!(exchange.edits(), want);
}

#[test]
fn two_hosts_are_refused() {
    let mut exchange = exchange(Event::OriginRequest, Mode::Extended);
    let refused = words(change(&mut exchange, Api::LambdaEdge, |message| {
        message["headers"]["host"] = json!([{"value": "a.example"}, {"value": "b.example"}]);
    }));
    assert!(refused.contains("the header \"host\" has an invalid name or value"), "{refused}");
}

#[test]
fn a_section_made_anew() {
    let mut exchange = exchange(Event::OriginRequest, Mode::Extended);
    change(&mut exchange, Api::LambdaEdge, |message| {
        message["headers"] = json!({"x-a": [{"value": "1"}]});
    })
    .unwrap();
    let names: Vec<&str> = exchange.request.headers.keys().map(HeaderName::as_str).collect();
    let want = ["host", "content-length", "connection", "x-edge-x", "x-a"];
    assert_eq!(names.len(), want.len(), "{names:?}");
    assert!(want.iter().all(|name| names.contains(name)), "Host, read-only and hidden fields stay: {names:?}");
}
