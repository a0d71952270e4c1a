//! Result: what a function returned is refused or becomes edits that leave a valid message, whatever it says. The first byte
//! picks event, contract and mode; the rest is the text.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use rimward::config::compiled::Mode;
use rimward::hooks::compat::{accept, event_json, guest_error};
use rimward::hooks::exchange::{Body, Exchange, Request, Response, Site};
use rimward::hooks::{Api, Event, fields};

pub fn run(data: &[u8]) {
    let Some((pick, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let event = Event::ALL[usize::from(pick & 3)];
    let api = if pick & 4 == 0 { Api::LambdaEdge } else { Api::CloudFront };
    let before = exchange(event, if pick & 8 == 0 { Mode::Strict } else { Mode::Extended });
    let mut after = before.clone();
    let outcome = accept(&mut after, api, &text);
    check(&before, &after);
    if outcome.is_ok() {
        // Whatever it has become can be shown to the next function.
        let event = event_json(&after, api);
        assert!(serde_json::from_str::<serde_json::Value>(&event).is_ok_and(|event| event.is_object()), "{event}");
    }
    assert!(!guest_error(&text).words.is_empty());
}

fn check(before: &Exchange, after: &Exchange) {
    let target = format!("{}?{}", after.request.uri, after.request.query);
    assert!(target.parse::<http::Uri>().is_ok(), "{target}");
    let (was, is) = (section(before), section(after));
    for name in was.keys().chain(is.keys()) {
        if fields::hidden(name.as_str()) || fields::read_only(after.event, name.as_str()) {
            assert!(was.get_all(name).iter().eq(is.get_all(name)), "{name} was touched");
        }
    }
    assert!(is.len() <= 256);
    if after.event.is_request() {
        assert_eq!(is.get_all("host").iter().count(), 1);
    }
    if let Some(response) = &after.response {
        assert!((200..600).contains(&response.status.as_u16()));
        let empty = response.body.as_ref().is_none_or(|body| body.is_empty());
        assert!(empty || !matches!(response.status.as_u16(), 204 | 304));
    }
    if let Some(answer) = after.answer() {
        assert!((200..600).contains(&answer.status.as_u16()));
        assert!(answer.body.len() <= after.limits().answer);
        assert!(answer.headers.iter().all(|(name, _)| !fields::hidden(name.as_str()) && name != "content-length"));
    }
}

fn section(exchange: &Exchange) -> &HeaderMap {
    exchange.response.as_ref().map_or(&exchange.request.headers, |response| &response.headers)
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn exchange(event: Event, mode: Mode) -> Exchange {
    let site = Arc::new(Site {
        pop: "FRA".to_owned(),
        behavior: "b".to_owned(),
        domain: "d.example".to_owned(),
        distribution: "E".to_owned(),
        origins: vec!["a".to_owned(), "b".to_owned()],
        mode,
        include_body: true,
    });
    let request = Request {
        method: Method::GET,
        uri: "/a".to_owned(),
        query: "a=1&b=2".to_owned(),
        has_query: true,
        client_ip: [192, 0, 2, 1].into(),
        server_ip: None,
        who: None,
        version: Version::HTTP_11,
        tls: true,
        headers: headers(&[("host", "h"), ("x-a", "1"), ("cookie", "a=1; b"), ("via", "v"), ("x-edge-a", "e")]),
        body: Some(Body { data: "abc".into(), truncated: false }),
        origin: None,
    };
    if event.is_request() {
        return Exchange::request(event, &site, "id", 0, request);
    }
    let headers = headers(&[("content-type", "t"), ("set-cookie", "a=1; Path=/"), ("via", "v"), ("x-cache", "Hit")]);
    Exchange::response(event, &site, "id", 0, request, Response { status: StatusCode::OK, headers, body: None })
}
