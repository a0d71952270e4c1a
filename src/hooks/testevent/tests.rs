//! Event files and recordings, as tables.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::compiled::Mode;
use crate::hooks::compat::tests::{exchange, site};
use crate::hooks::compat::{accept, event_json};
use crate::hooks::engine::Budget;
use crate::hooks::exchange::Exchange;
use crate::hooks::{Api, Event, Failure, Who};

fn given() -> Given {
    Given { site: (*site(Mode::Strict)).clone(), event: None, among: Vec::new(), now_ms: 1_767_225_600_000 }
}

fn read_value(event: &serde_json::Value) -> Result<(Exchange, Api), TestEventError> {
    read(&event.to_string(), given())
}

/// What an event shows, read back, shows the same event.
#[test]
fn events_come_back_from_their_json() {
    for event in Event::ALL {
        for api in [Api::LambdaEdge, Api::CloudFront] {
            if api == Api::CloudFront && !event.is_viewer() {
                continue;
            }
            let text = event_json(&exchange(event, Mode::Strict), api);
            let (back, found) = read(&text, given()).unwrap();
            assert_eq!((back.event, found), (event, api));
            let (was, is): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(&text).unwrap(), serde_json::from_str(&event_json(&back, api)).unwrap());
            assert_eq!(was, is);
        }
    }
}

/// Who asks is shown, comes back, and is kept in recordings; AWS's events have no such member.
#[test]
fn who_asks_is_shown_where_events_are_not_strict() {
    let who = json!({"kind": "jwt", "id": "u-1", "issuer": "pool", "claims": {"tenant": "t\"1"}, "apiKey": null});
    for event in Event::ALL {
        for api in [Api::LambdaEdge, Api::CloudFront] {
            if api == Api::CloudFront && !event.is_viewer() {
                continue;
            }
            let shown = |mode| {
                let mut exchange = exchange(event, mode);
                exchange.request.who = Who::read(&who).map(Arc::new);
                let event: serde_json::Value = serde_json::from_str(&event_json(&exchange, api)).unwrap();
                let cf = if api == Api::CloudFront { &event["viewer"] } else { &event["Records"][0]["cf"] };
                (cf["principal"].clone(), event, exchange)
            };
            let (principal, event, exchange) = shown(Mode::Extended);
            assert_eq!(principal, who, "{api:?}");
            let (back, _) = read_value(&event).unwrap();
            assert_eq!(back.request.who, exchange.request.who);
            let kept = Message::of(&exchange).exchange().unwrap();
            assert_eq!(kept.request.who, exchange.request.who);
            assert_eq!(shown(Mode::Strict).0, serde_json::Value::Null);
        }
    }
    let nobody = json!({"Records": [{"cf": {"request": {}, "principal": "alice"}}]});
    assert!(read_value(&nobody).is_err());
}

#[test]
fn what_is_missing_has_a_default() {
    let (least, api) = read_value(&json!({"Records": [{"cf": {"request": {}}}]})).unwrap();
    assert_eq!((least.event, api), (Event::ViewerRequest, Api::LambdaEdge));
    assert_eq!((least.request.method.as_str(), &*least.request.uri, &*least.request.query), ("GET", "/", ""));
    let (least, api) = read_value(&json!({"version": "1.0", "request": {}, "response": {}})).unwrap();
    assert_eq!((least.event, api), (Event::ViewerResponse, Api::CloudFront));
    assert_eq!(least.response.unwrap().status, 200);
}

/// Files of CloudFront's console and of SAM have no event type, or another than is meant.
#[test]
fn the_event_of_a_file() {
    use Event::{OriginRequest, OriginResponse, ViewerRequest, ViewerResponse};
    let asked = r#"{"request": {}}"#;
    let answered = r#"{"request": {}, "response": {}}"#;
    let says = r#"{"context": {"eventType": "viewer-request"}, "request": {}}"#;
    for (text, event, among, want) in [
        (asked, None, &Event::ALL[..], ViewerRequest),
        (answered, None, &Event::ALL, ViewerResponse),
        (answered, None, &[OriginRequest, OriginResponse], OriginResponse),
        (asked, None, &[OriginResponse, OriginRequest], OriginRequest),
        (answered, None, &[ViewerRequest], ViewerRequest),
        (asked, None, &[ViewerResponse], ViewerResponse),
        (answered, None, &[ViewerRequest, OriginRequest], ViewerResponse),
        (answered, Some(OriginResponse), &Event::ALL, OriginResponse),
        (says, None, &[ViewerResponse], ViewerRequest),
        (says, Some(ViewerResponse), &Event::ALL, ViewerResponse),
    ] {
        let given = Given { event, among: among.to_vec(), ..given() };
        assert_eq!(read(text, given).unwrap().0.event, want, "{text} {event:?} {among:?}");
    }
}

/// As the CloudFront Functions samples' test files have it, small v and all; and an origin as the documentation's.
#[test]
fn files_as_they_are_found() {
    let (cff, _) = read_value(&json!({
        "version": "1.0",
        "context": {"eventType": "viewer-request"},
        "viewer": {"ip": "1.2.3.4"},
        "request": {
            "method": "GET", "uri": "/index.html",
            "querystring": {
                "test": {"value": "true"}, "arg": {"value": "val1", "multivalue": [{"value": "val1"}, {"value": "val2"}]},
            },
            "headers": {
                "host": {"value": "www.example.com"},
                "accept": {"value": "text/html", "multivalue": [{"value": "text/html"}, {"value": "*/*"}]},
            },
            "cookies": {"id": {"value": "CookieIdValue"}, "loggedIn": {"value": "false"}},
        },
    }))
    .unwrap();
    let mut query: Vec<&str> = cff.request.query.split('&').collect();
    query.sort_unstable();
    assert_eq!(query, ["arg=val1", "arg=val2", "test=true"]);
    assert_eq!(cff.request.headers.get_all("accept").iter().count(), 2);
    assert_eq!(cff.request.headers["cookie"], "id=CookieIdValue; loggedIn=false");
    assert_eq!(cff.request.client_ip.to_string(), "1.2.3.4");

    let (lambda, _) = read_value(&json!({"Records": [{"cf": {
        "config": {"distributionDomainName": "d.example", "distributionId": "E", "eventType": "origin-request", "requestId": "r"},
        "request": {
            "clientIp": "2001:0db8:85a3:0:0:8a2e:0370:7334", "method": "PUT", "uri": "/picture.jpg", "querystring": "size=large",
            "headers": {"host": [{"key": "Host", "value": "d.example"}]},
            "body": {"action": "read-only", "encoding": "text", "data": "abc", "inputTruncated": true},
            "origin": {"s3": {"authMethod": "none", "domainName": "b.s3.amazonaws.com", "path": "/s3_path", "region": "us-east-1",
                "customHeaders": {"my-origin-custom-header": [{"key": "My-Origin-Custom-Header", "value": "Test"}]}}},
        },
    }}]}))
    .unwrap();
    assert_eq!((&*lambda.site.domain, &*lambda.request_id), ("d.example", "r"));
    let body = lambda.request.body.unwrap();
    assert_eq!((&body.data[..], body.truncated), (&b"abc"[..], true));
    let origin = lambda.request.origin.unwrap();
    assert_eq!((&*origin.host, origin.port, origin.tls, &*origin.path), ("b.s3.amazonaws.com", 443, true, "/s3_path"));
    assert_eq!(origin.headers.len(), 1);
}

#[test]
fn mistakes_are_named() {
    let lambda = |request| json!({"Records": [{"cf": {"request": request}}]});
    for (event, want) in [
        (json!({}), "\"request\": is missing"),
        (json!({"Records": [{"cf": {}}]}), "\"Records[0].cf.request\": is missing"),
        (json!({"Records": []}), "\"Records\": needs one record with \"cf\""),
        (json!({"context": {"eventType": "viewer"}}), "\"eventType\": unknown event"),
        (json!({"context": 5}), "\"context\": must be an object"),
        (lambda(json!(5)), "\"Records[0].cf.request\": must be an object"),
        (lambda(json!({"uri": 5})), "\"request.uri\": must be a string"),
        (lambda(json!({"uri": "a"})), "\"request.uri\": must begin with"),
        (lambda(json!({"querystring": "a b"})), "\"request.querystring\": must hold no space"),
        (lambda(json!({"method": "A B"})), "\"request.method\": is no method"),
        (lambda(json!({"clientIp": "here"})), "\"clientIp\": here is no address"),
        (lambda(json!({"headers": {"host": "h"}})), "\"request.headers.host\": must be an array"),
        (lambda(json!({"headers": {"host": [{}]}})), "\"request.headers.host\": needs a string \"value\""),
        (lambda(json!({"headers": {"a b": [{"value": "1"}]}})), "\"request.headers.a b\": is no valid header"),
        (lambda(json!({"body": {"data": "!"}})), "\"request.body.data\": is no base64"),
        (lambda(json!({"body": {"encoding": "x"}})), "\"request.body.encoding\": must be"),
        (lambda(json!({"origin": {}})), "\"request.origin\": must have"),
        (lambda(json!({"origin": {"custom": {"port": 70000}}})), "\"request.origin.custom.port\": is no port"),
        (json!({"request": {}, "response": {"statusCode": 5}}), "\"response.statusCode\": is no status"),
    ] {
        let words = read_value(&event).unwrap_err().to_string();
        assert!(words.starts_with(want), "{words}");
    }
    assert!(read("{", given()).unwrap_err().to_string().starts_with("not JSON"));
    let event = event_json(&exchange(Event::ViewerRequest, Mode::Strict), Api::LambdaEdge);
    assert!(read(&format!("\u{feff}{event}"), given()).is_ok());
}

fn called(event: Event, api: Api, edit: impl FnOnce(&mut serde_json::Value)) -> (Exchange, Exchange) {
    let before = exchange(event, Mode::Extended);
    let mut after = before.clone();
    crate::hooks::compat::tests::change(&mut after, api, edit).unwrap();
    (before, after)
}

#[test]
fn recordings_come_back() {
    let budget = Budget { cpu: Duration::from_micros(1500), timeout: Duration::from_secs(5), memory: 48 << 20 };
    for event in Event::ALL {
        let (before, after) = called(event, Api::LambdaEdge, |message| {
            message["headers"]["x-latin"] = json!([{"value": "é"}]);
        });
        let recording =
            Recording::new("f", "0123456789ab", Api::LambdaEdge, Some(budget), Message::of(&before), Ok(&after));
        let back = Recording::read(&recording.write()).unwrap();
        assert_eq!(back, recording);
        assert_eq!(back.allowed.map(Budget::from), Some(budget));
        let again = back.exchange.exchange().unwrap();
        assert_eq!(event_json(&again, Api::LambdaEdge), event_json(&before, Api::LambdaEdge));
        assert_eq!(Message::of(&again), back.exchange);
        assert!(matches!(&back.outcome, Outcome::Continue(changes) if changes.len() == 1));
    }
    let mut answered = exchange(Event::ViewerRequest, Mode::Strict);
    let before = Message::of(&answered);
    accept(&mut answered, Api::LambdaEdge, "{\"status\":\"403\",\"body\":\"no\"}").unwrap();
    assert_eq!(
        Outcome::of(Ok(&answered)),
        Outcome::Answer { status: 403, headers: Vec::new(), body: Raw::Text("no".to_owned()) }
    );
    let failed = Failure::Execution("TypeError: x".to_owned());
    let recording = Recording::new("f", "v", Api::CloudFront, None, before, Err(&failed));
    assert!(!recording.write().contains("allowed"), "as recordings were written before it was noted");
    assert!(recording.write().contains(r#""outcome":{"failed":{"reason":"execution","words":"TypeError: x"}}"#));
    assert_eq!(Api::from(Recording::read(&recording.write()).unwrap().api), Api::CloudFront);
}

#[test]
fn secrets_are_not_recorded() {
    let mut exchange = exchange(Event::OriginRequest, Mode::Strict);
    let origin = exchange.request.origin.as_mut().unwrap();
    let mut secret = http::HeaderValue::from_static("hush");
    secret.set_sensitive(true);
    origin.headers[0].1 = secret;
    assert!(!serde_json::to_string(&Message::of(&exchange)).unwrap().contains("hush"));
    let before = exchange.clone();
    crate::hooks::compat::tests::change(&mut exchange, Api::LambdaEdge, |message| {
        message["origin"]["custom"]["customHeaders"]["x-more"] = json!([{"value": "1"}]);
    })
    .unwrap();
    let recording = Recording::new("f", "v", Api::LambdaEdge, None, Message::of(&before), Ok(&exchange));
    assert!(!recording.write().contains("hush"));
}
