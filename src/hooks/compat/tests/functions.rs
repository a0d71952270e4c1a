//! Functions: the write-back rules of CloudFront Functions, for query parameters, headers and cookies.

use serde_json::json;

use crate::hooks::exchange::Edit;

use super::*;

const API: Api = Api::CloudFront;

/// Queries in, the returned member as JSON text (its order counts), the query out.
#[test]
fn query_strings() {
    for (now, returned, want) in [
        ("", r#"{}"#, ""),
        ("a=1&b=2", r#"{"a":{"value":"1"},"b":{"value":"2"}}"#, "a=1&b=2"),
        ("a=1&&b", r#"{"a":{"value":"1"},"b":{"value":""}}"#, "a=1&&b"),
        // A name given twice, apart: nothing moves while nothing changes.
        (
            "a=1&b=2&a=3",
            r#"{"a":{"value":"1","multiValue":[{"value":"1"},{"value":"3"}]},"b":{"value":"2"}}"#,
            "a=1&b=2&a=3",
        ),
        // JavaScript lists array indexes first.
        ("b=2&7=x&1=y", r#"{"1":{"value":"y"},"7":{"value":"x"},"b":{"value":"2"}}"#, "b=2&7=x&1=y"),
        ("b=2&7=x", r#"{"7":{"value":"z"},"b":{"value":"2"}}"#, "b=2&7=z"),
        ("b=2&07=x", r#"{"07":{"value":"x"},"b":{"value":"2"}}"#, "07=x&b=2"),
        // A changed value leaves the others' spelling alone.
        ("flag&a=%20&b=2", r#"{"flag":{"value":""},"a":{"value":"%20"},"b":{"value":"3"}}"#, "flag&a=%20&b=3"),
        ("flag", r#"{"flag":{"value":"1"}}"#, "flag=1"),
        ("a=1", r#"{"a":{"value":"1"},"new":{"value":""}}"#, "a=1&new="),
        ("a=1&b=2", r#"{"b":{"value":"2"}}"#, "b=2"),
        ("a=1", r#"{}"#, ""),
        ("a=1", "null", ""),
        // An object in a new order was put in it.
        ("b=1&a=2", r#"{"a":{"value":"2"},"b":{"value":"1"}}"#, "a=2&b=1"),
        // multiValue, where it changed, is what counts; otherwise value is the first.
        ("a=1&a=2", r#"{"a":{"value":"9","multiValue":[{"value":"1"},{"value":"2"}]}}"#, "a=9&a=2"),
        ("a=1&a=2", r#"{"a":{"value":"9","multiValue":[{"value":"1"},{"value":"3"}]}}"#, "a=1&a=3"),
        ("a=1&a=2", r#"{"a":{"value":"9"}}"#, "a=9&a=2"),
        ("a=1&a=2", r#"{"a":{"value":"1","multiValue":[]}}"#, ""),
        ("a=1", r#"{"a":{"value":"1","multiValue":[{"value":"x"},{"value":"y"}]}}"#, "a=x&a=y"),
        ("", r#"{"a":{"value":"1","multiValue":[]}}"#, "a=1"),
        ("", r#"{"a":{"multiValue":[{"value":"x"},{"value":"y"}]}}"#, "a=x&a=y"),
        // The samples' spelling is no member.
        ("a=1", r#"{"a":{"value":"1","multivalue":[{"value":"x"}]}}"#, "a=1"),
        // A string in the place of the object.
        ("b=1&a=2", r#""a=2&b=1""#, "a=2&b=1"),
        ("a=1", r#""""#, ""),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        exchange.request.query = now.to_owned();
        let mut message = given(&exchange, API);
        message["querystring"] = json!("QUERY");
        let text = wrapped(API, &message).replace("\"QUERY\"", returned);
        super::super::accept(&mut exchange, API, &text).unwrap();
        assert_eq!(exchange.request.query, want, "{now} {returned}");
        assert_eq!(exchange.edits().len(), usize::from(now != want), "{now} {returned}");
    }
    for (returned, want) in [
        (json!(5), "\"querystring\" must be an object or a string"),
        (json!([]), "\"querystring\" must be an object or a string"),
        (json!("a b"), "\"querystring\" must not hold a space"),
        (json!({"a": "1"}), "\"querystring\": \"a\" must be an object with \"value\""),
        (json!({"a": {}}), "the value of \"a\" must be a string, not absent"),
        (json!({"a": {"value": 5}}), "the value of \"a\" must be a string, not a number"),
        (json!({"a": {"value": "1", "multiValue": "x"}}), "\"multiValue\" of \"a\" must be an array, not a string"),
        (json!({"a": {"value": "1", "multiValue": ["x"]}}), "the value of \"a\" must be a string, not absent"),
        (json!({"a b": {"value": "1"}}), "\"querystring\" must not hold a space"),
        (json!({"a": {"value": "#"}}), "\"querystring\" must not hold a space"),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        let refused = words(change(&mut exchange, API, |message| message["querystring"] = returned));
        assert!(refused.contains(want), "{refused}");
    }
}

/// Many parameters cost a look-up each, not a comparison with all others.
#[test]
fn ten_thousand_parameters() {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Extended);
    exchange.request.query = (0..10_000).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
    let text = super::super::event_json(&exchange, API);
    let at = text.find("\"request\":").unwrap() + "\"request\":".len();
    let result = format!("{{\"result\":{}}}", &text[at..text.len() - 1]);
    let begun = std::time::Instant::now();
    super::super::accept(&mut exchange, API, &result).unwrap();
    assert_eq!(exchange.edits(), []);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn headers() {
    let name = |name| HeaderName::from_static(name);
    let value = |value| HeaderValue::from_static(value);
    for (edit, want) in [
        (json!({"x-new": {"value": "1"}}), vec![Edit::Set(name("x-new"), value("1"))]),
        (
            json!({"accept": {"value": "a", "multiValue": [{"value": "text/html"}, {"value": "image/*"}]}}),
            vec![Edit::Set(name("accept"), value("a")), Edit::Append(name("accept"), value("image/*"))],
        ),
        (
            json!({"accept": {"value": "a"}}),
            vec![Edit::Set(name("accept"), value("a")), Edit::Append(name("accept"), value("image/*"))],
        ),
        (json!({"accept": {"value": "text/html"}}), vec![]),
        (
            json!({"accept": {"value": "x", "multiValue": [{"value": "b"}]}}),
            vec![Edit::Set(name("accept"), value("b"))],
        ),
        (json!({"accept": {"value": "x", "multiValue": []}}), vec![Edit::Remove(name("accept"))]),
        (
            json!({"x-two": {"value": "1", "multiValue": [{"value": "1"}, {"value": "2"}]}}),
            vec![Edit::Set(name("x-two"), value("1")), Edit::Append(name("x-two"), value("2"))],
        ),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        change(&mut exchange, API, |message| {
            edit.as_object().unwrap().iter().for_each(|(name, value)| message["headers"][name] = value.clone());
        })
        .unwrap();
        assert_eq!(exchange.edits(), want, "{edit}");
    }
    let set = |name: &'static str, value: Value| move |message: &mut Value| message["headers"][name] = value.clone();
    for (name, value, want) in [
        ("X-New", json!({"value": "1"}), "the header \"X-New\" must be lower-case"),
        ("x-new", json!("1"), "the header \"x-new\" must be an object with \"value\""),
        ("x-new", json!([{"value": "1"}]), "the header \"x-new\" must be an object with \"value\""),
        ("x-new", json!({}), "the value of \"x-new\" must be a string, not absent"),
        ("x-new", json!({"value": 1}), "the value of \"x-new\" must be a string, not a number"),
        ("x-new", json!({"value": "a\nb"}), "the header \"x-new\" has an invalid name or value"),
        ("cookie", json!({"value": "a=1"}), "the header \"cookie\" belongs in \"cookies\""),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        let refused = words(change(&mut exchange, API, set(name, value)));
        assert!(refused.contains(want), "{refused}");
    }
    let mut capital = exchange(Event::ViewerRequest, Mode::Extended);
    change(&mut capital, API, set("X-New", json!({"value": 1}))).unwrap();
    assert_eq!(capital.edits(), [Edit::Set(name("x-new"), value("1"))]);
}

#[test]
fn request_cookies() {
    for (lines, returned, want) in [
        (
            &["a=1; b=2", "a=3"][..],
            r#"{"a":{"value":"1","multiValue":[{"value":"1"},{"value":"3"}]},"b":{"value":"2"}}"#,
            None,
        ),
        (&["a=1;b"], r#"{"a":{"value":"1"},"b":{"value":"x"}}"#, Some("a=1; b=x")),
        (&["a=1"], r#"{"a":{"value":"1"},"n":{"value":"2"}}"#, Some("a=1; n=2")),
        (&["a=1; b=2"], r#"{"b":{"value":"2"}}"#, Some("b=2")),
        (&["a=1"], r#"{}"#, Some("")),
        (&["a=1"], r#"null"#, Some("")),
        (&[], r#"{}"#, None),
        (&[], r#"{"a":{"value":"1","attributes":"Secure"}}"#, Some("a=1")),
    ] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        exchange.request.headers.remove("cookie");
        for line in lines {
            exchange.request.headers.append("cookie", HeaderValue::from_static(line));
        }
        let mut message = given(&exchange, API);
        message["cookies"] = json!("COOKIES");
        let text = wrapped(API, &message).replace("\"COOKIES\"", returned);
        super::super::accept(&mut exchange, API, &text).unwrap();
        let edits = exchange.edits().len();
        let got: Vec<_> = exchange.request.headers.get_all("cookie").iter().collect();
        match want {
            None => assert_eq!((got.len(), edits), (lines.len(), 0), "{returned}"),
            Some("") => assert_eq!((got.len(), edits), (0, 1), "{returned}"),
            Some(want) => {
                assert_eq!(got, [want], "{returned}");
                assert_eq!(edits, 1);
            }
        }
    }
}

#[test]
fn response_cookies() {
    // The message has s=1; Path=/; Secure and t=2.
    for (edit, want) in [
        (json!({"u": {"value": "3", "attributes": "Max-Age=1"}}), vec!["s=1; Path=/; Secure", "t=2", "u=3; Max-Age=1"]),
        (json!({"t": {"value": "9"}}), vec!["s=1; Path=/; Secure", "t=9"]),
        (json!({"s": {"value": "1", "attributes": "Path=/"}}), vec!["s=1; Path=/", "t=2"]),
        (json!({"s": {"value": "1"}}), vec!["s=1", "t=2"]),
        (
            json!({"t": {"value": "2", "multiValue": [{"value": "2"}, {"value": "3", "attributes": "Secure"}]}}),
            vec!["s=1; Path=/; Secure", "t=2", "t=3; Secure"],
        ),
    ] {
        let mut exchange = exchange(Event::ViewerResponse, Mode::Strict);
        change(&mut exchange, API, |message| {
            edit.as_object().unwrap().iter().for_each(|(name, value)| message["cookies"][name] = value.clone());
        })
        .unwrap();
        let got: Vec<_> = exchange.response.as_ref().unwrap().headers.get_all("set-cookie").iter().collect();
        assert_eq!(got, want, "{edit}");
    }
    let mut added = exchange(Event::ViewerResponse, Mode::Strict);
    change(&mut added, API, |message| message["cookies"]["z"] = json!({"value": "1"})).unwrap();
    assert_eq!(added.edits().len(), 1, "what is only added is one edit");
    let mut fresh = exchange(Event::ViewerResponse, Mode::Extended);
    accept(&mut fresh, API, &json!({"statusCode": 200, "headers": {}})).unwrap();
    assert!(!fresh.response.unwrap().headers.contains_key("set-cookie"), "a section without cookies has none");
    let field = |message: &mut Value| message["headers"]["set-cookie"] = json!({"value": "z=1; Secure"});
    let refused = words(change(&mut exchange(Event::ViewerResponse, Mode::Strict), API, field));
    assert!(refused.contains("the header \"set-cookie\" belongs in \"cookies\""), "{refused}");
    let mut extended = exchange(Event::ViewerResponse, Mode::Extended);
    change(&mut extended, API, field).unwrap();
    assert_eq!(extended.edits(), [Edit::Append(http::header::SET_COOKIE, HeaderValue::from_static("z=1; Secure"))]);
}

#[test]
fn an_answer_ends_the_question_of_an_origin() {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
    let text = json!({"result": {"statusCode": 403}, "origin": {"op": "select", "id": "red"}}).to_string();
    super::super::accept(&mut exchange, API, &text).unwrap();
    assert_eq!(exchange.answer().unwrap().status, StatusCode::FORBIDDEN);
    assert_eq!(exchange.edits(), []);
}
