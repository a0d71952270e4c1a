//! Tests of the whole core: events out, results in, in tables that follow the reference page's.

mod bodies;
mod cf;
mod echo;
mod functions;
pub mod generated;
mod headers;
mod origins;
pub mod property;
mod results;
mod samples;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use serde_json::Value;

use crate::config::compiled::Mode;
use crate::hooks::exchange::{Body, Exchange, Origin, Request, Response, Site};
use crate::hooks::{Api, Event, Failure};

pub fn site(mode: Mode) -> Arc<Site> {
    Arc::new(Site {
        pop: "FRA".to_owned(),
        behavior: "default".to_owned(),
        domain: "d111111abcdef8.cloudfront.net".to_owned(),
        distribution: "EDFDVBD6EXAMPLE".to_owned(),
        origins: vec!["blue".to_owned(), "green".to_owned()],
        mode,
        include_body: true,
    })
}

pub fn map(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    map
}

/// A request with a bit of everything: hidden fields, repeated ones, cookies, ISO-8859-1, a body.
pub fn request(event: Event) -> Request {
    let origin = Origin {
        name: "blue".to_owned(),
        host: "blue.example".to_owned(),
        port: 443,
        tls: true,
        path: "/base".to_owned(),
        read_timeout: Duration::from_secs(30),
        keepalive_timeout: Duration::from_secs(5),
        headers: vec![(HeaderName::from_static("x-shared"), HeaderValue::from_static("s"))],
        signed: false,
    };
    Request {
        method: Method::POST,
        uri: "/a%20b/é".to_owned(),
        query: "7=x&a=1&b=2&b=3&flag".to_owned(),
        has_query: true,
        client_ip: IpAddr::from([192, 0, 2, 7]),
        server_ip: Some(IpAddr::from([198, 51, 100, 1])),
        who: None,
        version: Version::HTTP_11,
        tls: true,
        headers: map(&[
            ("host", b"shop.example"),
            ("user-agent", b"curl/8"),
            ("accept", b"text/html"),
            ("accept", b"image/*"),
            ("cookie", b"a=1; b=2"),
            ("cookie", b"a=3"),
            ("x-latin", b"caf\xe9"),
            ("content-length", b"4"),
            ("connection", b"keep-alive"),
            ("x-edge-x", b"hidden"),
        ]),
        body: Some(Body { data: Bytes::from_static(b"\x00\x01ab"), truncated: false }),
        origin: (!event.is_viewer()).then_some(origin),
    }
}

pub fn exchange(event: Event, mode: Mode) -> Exchange {
    let site = site(mode);
    if event.is_request() {
        return Exchange::request(event, &site, "id==", 1_767_225_600_000, request(event));
    }
    let response = Response {
        status: StatusCode::OK,
        headers: map(&[
            ("content-type", b"text/html"),
            ("content-length", b"10"),
            ("set-cookie", b"s=1; Path=/; Secure"),
            ("set-cookie", b"t=2"),
            ("via", b"1.1 x"),
            ("x-cache", b"Hit"),
            ("cache-control", b"max-age=1"),
        ]),
        body: None,
    };
    Exchange::response(event, &site, "id==", 1_767_225_600_000, request(event), response)
}

/// What the function is given of the message it returns.
pub fn given(exchange: &Exchange, api: Api) -> Value {
    let event: Value = serde_json::from_str(&super::event_json(exchange, api)).unwrap();
    let cf = if api == Api::CloudFront { &event } else { &event["Records"][0]["cf"] };
    cf[if exchange.event.is_request() { "request" } else { "response" }].clone()
}

/// A result as the guest returns it.
pub fn wrapped(api: Api, result: &Value) -> String {
    match api {
        Api::CloudFront => serde_json::json!({ "result": result, "origin": null }).to_string(),
        _ => result.to_string(),
    }
}

pub fn accept(exchange: &mut Exchange, api: Api, result: &Value) -> Result<(), Failure> {
    super::accept(exchange, api, &wrapped(api, result)).map(drop)
}

/// Changes what the function was given and returns it.
pub fn change(exchange: &mut Exchange, api: Api, edit: impl FnOnce(&mut Value)) -> Result<(), Failure> {
    let mut value = given(exchange, api);
    edit(&mut value);
    accept(exchange, api, &value)
}

/// The words of a validation failure.
pub fn words(outcome: Result<(), Failure>) -> String {
    match outcome {
        Err(Failure::Validation(words)) => words,
        other => panic!("accepted, or failed otherwise: {other:?}"),
    }
}

/// The APIs that have this event.
pub fn apis(event: Event) -> &'static [Api] {
    if event.is_viewer() { &[Api::LambdaEdge, Api::CloudFront] } else { &[Api::LambdaEdge] }
}
