//! Echo: a function that returns what it was given changes nothing; and the events themselves.

use super::*;

#[test]
fn what_comes_back_unchanged_is_no_edit() {
    for mode in [Mode::Strict, Mode::Extended] {
        for event in Event::ALL {
            for api in apis(event) {
                let mut exchange = exchange(event, mode);
                change(&mut exchange, *api, |_| {}).unwrap();
                assert_eq!(exchange.edits(), [], "{event} {api:?}");
                assert!(exchange.answer().is_none());
            }
        }
    }
}

#[test]
fn a_lambda_event() {
    let exchange = exchange(Event::OriginRequest, Mode::Strict);
    let event: Value = serde_json::from_str(&super::super::event_json(&exchange, Api::LambdaEdge)).unwrap();
    assert_eq!(
        event,
        serde_json::json!({"Records": [{"cf": {
            "config": {
                "distributionDomainName": "d111111abcdef8.cloudfront.net",
                "distributionId": "EDFDVBD6EXAMPLE",
                "eventType": "origin-request",
                "requestId": "id==",
            },
            "request": {
                "clientIp": "192.0.2.7",
                "headers": {
                    "host": [{"key": "Host", "value": "shop.example"}],
                    "user-agent": [{"key": "User-Agent", "value": "curl/8"}],
                    "accept": [{"key": "Accept", "value": "text/html"}, {"key": "Accept", "value": "image/*"}],
                    "cookie": [{"key": "Cookie", "value": "a=1; b=2"}, {"key": "Cookie", "value": "a=3"}],
                    "x-latin": [{"key": "X-Latin", "value": "café"}],
                    "content-length": [{"key": "Content-Length", "value": "4"}],
                },
                "method": "POST",
                "querystring": "7=x&a=1&b=2&b=3&flag",
                "uri": "/a%20b/é",
                "body": {"inputTruncated": false, "action": "read-only", "encoding": "base64", "data": "AAFhYg=="},
                "origin": {"custom": {
                    "customHeaders": {"x-shared": [{"key": "X-Shared", "value": "s"}]},
                    "domainName": "blue.example",
                    "keepaliveTimeout": 5,
                    "path": "/base",
                    "port": 443,
                    "protocol": "https",
                    "readTimeout": 30,
                    "sslProtocols": ["TLSv1.2"],
                }},
            },
        }}]})
    );
}

#[test]
fn a_cloudfront_event() {
    let exchange = exchange(Event::ViewerResponse, Mode::Strict);
    let event: Value = serde_json::from_str(&super::super::event_json(&exchange, Api::CloudFront)).unwrap();
    assert_eq!(
        event,
        serde_json::json!({
            "version": "1.0",
            "context": {
                "distributionDomainName": "d111111abcdef8.cloudfront.net",
                "distributionId": "EDFDVBD6EXAMPLE",
                "eventType": "viewer-response",
                "requestId": "id==",
            },
            "viewer": {"ip": "192.0.2.7"},
            "request": {
                "method": "POST",
                "uri": "/a%20b/é",
                "querystring": {
                    "b": {"value": "2", "multiValue": [{"value": "2"}, {"value": "3"}]},
                    "a": {"value": "1"},
                    "flag": {"value": ""},
                    "7": {"value": "x"},
                },
                "headers": {
                    "host": {"value": "shop.example"},
                    "user-agent": {"value": "curl/8"},
                    "accept": {"value": "text/html", "multiValue": [{"value": "text/html"}, {"value": "image/*"}]},
                    "x-latin": {"value": "café"},
                    "content-length": {"value": "4"},
                },
                "cookies": {
                    "a": {"value": "1", "multiValue": [{"value": "1"}, {"value": "3"}]},
                    "b": {"value": "2"},
                },
            },
            "response": {
                "statusCode": 200,
                "statusDescription": "OK",
                "headers": {
                    "content-type": {"value": "text/html"},
                    "content-length": {"value": "10"},
                    "via": {"value": "1.1 x"},
                    "cache-control": {"value": "max-age=1"},
                },
                "cookies": {
                    "s": {"value": "1", "attributes": "Path=/; Secure"},
                    "t": {"value": "2"},
                },
            },
        })
    );
}

#[test]
fn a_context() {
    let exchange = exchange(Event::ViewerRequest, Mode::Strict);
    let context: Value = serde_json::from_str(&super::super::context_json(&exchange, "f\"", "3f9c", 49)).unwrap();
    let want = serde_json::json!({
        "functionName": "f\"", "functionVersion": "3f9c", "awsRequestId": "id==", "remainingMs": 49,
        "rawQueryString": "7=x&a=1&b=2&b=3&flag", "edgeLocation": {"name": "FRA", "serverIp": "198.51.100.1"},
    });
    assert_eq!(context, want);
}

/// CloudFront Developer Guide, "Raw query string": "" behind a `?` alone, and nothing without one.
#[test]
fn no_query_and_an_empty_one_differ() {
    for (query, has_query, want) in
        [("", false, Value::Null), ("", true, Value::from("")), ("a=%20", true, Value::from("a=%20"))]
    {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        (exchange.request.query, exchange.request.has_query) = (query.to_owned(), has_query);
        let context: Value = serde_json::from_str(&super::super::context_json(&exchange, "f", "3f9c", 49)).unwrap();
        assert_eq!(context["rawQueryString"], want, "{query} {has_query}");
        // A function that sets it to nothing takes the `?` away.
        exchange.set_query("").unwrap();
        assert!(!exchange.request.has_query);
    }
}
