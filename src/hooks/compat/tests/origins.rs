//! Origins: what a function may make of where a request goes.

use http::header::HOST;
use serde_json::json;

use crate::config::compiled::Signing;
use crate::hooks::exchange::{Edit, OriginChange, OriginPatch};

use super::*;

const EVENT: Event = Event::OriginRequest;

pub(super) fn patch(exchange: &Exchange) -> OriginPatch {
    match exchange.edits() {
        [.., Edit::Origin(change)] => match &**change {
            OriginChange::To(patch) => patch.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_differs_of_a_custom_origin() {
    let none = OriginPatch::default;
    for (member, value, want) in [
        (
            "domainName",
            json!("b.example"),
            // What was shown of the way there is said of the new host.
            OriginPatch {
                host: Some("b.example".to_owned()),
                host_header: Some("shop.example".to_owned()),
                port: Some(443),
                tls: Some(true),
                ..none()
            },
        ),
        ("path", json!("/v2"), OriginPatch { path: Some("/v2".to_owned()), ..none() }),
        ("path", json!(""), OriginPatch { path: Some(String::new()), ..none() }),
        ("port", json!(8443), OriginPatch { port: Some(8443), ..none() }),
        ("protocol", json!("http"), OriginPatch { tls: Some(false), ..none() }),
        ("readTimeout", json!(4), OriginPatch { read_timeout: Some(Duration::from_secs(4)), ..none() }),
        ("customHeaders", json!({}), OriginPatch { headers: Some(Vec::new()), ..none() }),
        (
            "customHeaders",
            json!({"X-Shared": [{"value": "t"}]}),
            OriginPatch {
                headers: Some(vec![(HeaderName::from_static("x-shared"), HeaderValue::from_static("t"))]),
                ..none()
            },
        ),
    ] {
        let mut exchange = exchange(EVENT, Mode::Strict);
        change(&mut exchange, Api::LambdaEdge, |message| message["origin"]["custom"][member] = value).unwrap();
        assert_eq!(patch(&exchange), want, "{member}");
    }
    let mut same = exchange(EVENT, Mode::Strict);
    change(&mut same, Api::LambdaEdge, |message| {
        message["origin"]["custom"]["keepaliveTimeout"] = json!(60);
        message["origin"]["custom"]["sslProtocols"] = json!(["TLSv1.2", "TLSv1"]);
    })
    .unwrap();
    assert_eq!(same.edits(), []);
}

/// A configured origin keeps to no range of AWS's; what was shown of it may come back.
#[test]
fn an_origin_outside_awss_ranges_comes_back_as_it_was_shown() {
    let mut exchange = exchange(EVENT, Mode::Strict);
    let origin = exchange.request.origin.as_mut().unwrap();
    (origin.port, origin.read_timeout, origin.keepalive_timeout) =
        (81, Duration::from_millis(500), Duration::from_secs(300));
    change(&mut exchange, Api::LambdaEdge, |_| {}).unwrap();
    assert_eq!(exchange.edits(), []);
}

/// The documented way to another origin: its name, and Host to match.
#[test]
fn host_follows_the_functions_own() {
    let mut exchange = exchange(EVENT, Mode::Strict);
    change(&mut exchange, Api::LambdaEdge, |message| {
        message["origin"]["custom"]["domainName"] = json!("b.example");
        message["headers"]["host"] = json!([{"key": "host", "value": "b.example"}]);
    })
    .unwrap();
    assert_eq!(exchange.edits()[0], Edit::Set(HOST, HeaderValue::from_static("b.example")));
    assert_eq!(patch(&exchange).host_header.as_deref(), Some("b.example"));
}

#[test]
fn what_no_origin_may_be() {
    for (member, value, want) in [
        ("domainName", json!(""), "\"origin.custom.domainName\" must be a domain name"),
        ("domainName", json!("a:80"), "\"origin.custom.domainName\" must be a domain name"),
        ("domainName", json!("192.0.2.1"), "\"origin.custom.domainName\" must be a domain name"),
        ("domainName", json!("a".repeat(254)), "\"origin.custom.domainName\" must be a domain name"),
        ("domainName", json!(5), "\"origin.custom.domainName\" must be a string"),
        ("path", json!("/a/"), "\"origin.custom.path\" must be \"\" or a URL-encoded path"),
        ("path", json!("a"), "\"origin.custom.path\" must be \"\" or a URL-encoded path"),
        ("path", json!("/é"), "\"origin.custom.path\" must be \"\" or a URL-encoded path"),
        ("path", json!(format!("/{}", "a".repeat(255))), "\"origin.custom.path\" must be \"\" or a URL-encoded path"),
        ("port", json!(79), "\"origin.custom.port\" must be 80, 443 or 1024 to 65535"),
        ("port", json!(1023), "\"origin.custom.port\" must be"),
        ("port", json!(65536), "\"origin.custom.port\" must be"),
        ("port", json!("443"), "\"origin.custom.port\" must be a whole number, not a string"),
        ("port", json!(443.5), "\"origin.custom.port\" must be a whole number"),
        ("protocol", json!("ftp"), "\"origin.custom.protocol\" must be \"http\" or \"https\", not \"ftp\""),
        ("readTimeout", json!(0), "\"origin.custom.readTimeout\" must be 1 to 120 seconds, not 0"),
        ("readTimeout", json!(121), "\"origin.custom.readTimeout\" must be 1 to 120 seconds, not 121"),
        ("keepaliveTimeout", json!(121), "\"origin.custom.keepaliveTimeout\" must be 1 to 120 seconds"),
        ("sslProtocols", json!(["TLSv9"]), "\"origin.custom.sslProtocols\" must be an array"),
        ("sslProtocols", json!("TLSv1.2"), "\"origin.custom.sslProtocols\" must be an array"),
        ("customHeaders", json!([]), "origin.custom.customHeaders\" must be an object"),
        ("customHeaders", json!({"x-b": "1"}), "the header \"x-b\" of origin.custom.customHeaders must be an array"),
        ("customHeaders", json!({"x-b": [{"key": "x-b"}]}), "needs a string as its value"),
        ("customHeaders", json!({"x b": [{"value": "1"}]}), "is not valid"),
        ("customHeaders", json!({"x-b": [{"value": "a\nb"}]}), "is not valid"),
        ("customHeaders", json!({"Cookie": [{"value": "1"}]}), "the header \"cookie\" is disallowed"),
        ("customHeaders", json!({"X-Edge-A": [{"value": "1"}]}), "the header \"x-edge-a\" is disallowed"),
        ("customHeaders", json!({"User-Agent": [{"value": "1"}]}), "is already in the request's headers"),
    ] {
        let mut exchange = exchange(EVENT, Mode::Strict);
        let refused =
            words(change(&mut exchange, Api::LambdaEdge, |message| message["origin"]["custom"][member] = value));
        assert!(refused.contains(want), "{refused}");
    }
    for (origin, want) in [
        (json!({}), "\"origin\" must have \"custom\" or \"s3\""),
        (json!({"custom": {}, "s3": {}}), "not both"),
        (json!({"custom": "x"}), "\"origin.custom\" must be an object, not a string"),
        (json!({"s3": 5}), "\"origin.s3\" must be an object, not a number"),
        (json!({"s3": {}}), "\"origin.s3.domainName\" is missing"),
        (json!({"s3": {"domainName": "B.s3.amazonaws.com"}}), "\"origin.s3.domainName\" must be a lower-case"),
        (json!({"s3": {"domainName": "b".repeat(129)}}), "\"origin.s3.domainName\" must be a lower-case"),
        (json!({"s3": {"domainName": "b", "path": "/a/"}}), "\"origin.s3.path\" must be"),
        (
            json!({"s3": {"domainName": "b", "authMethod": "origin-access-identity", "region": "us-east-1"}}),
            "\"origin-access-identity\" is not available here",
        ),
        (json!({"s3": {"domainName": "b", "authMethod": "x"}}), "\"origin.s3.authMethod\" must be \"none\""),
    ] {
        let mut exchange = exchange(EVENT, Mode::Strict);
        let refused = words(change(&mut exchange, Api::LambdaEdge, |message| message["origin"] = origin));
        assert!(refused.contains(want), "{refused}");
    }
}

#[test]
fn a_bucket_is_an_origin_over_tls() {
    let mut exchange = exchange(EVENT, Mode::Strict);
    change(&mut exchange, Api::LambdaEdge, |message| {
        message["origin"] = json!({"s3": {
            "authMethod": "none", "customHeaders": {}, "domainName": "b.s3.amazonaws.com", "path": "/p", "region": "",
        }});
    })
    .unwrap();
    assert_eq!(
        patch(&exchange),
        OriginPatch {
            host: Some("b.s3.amazonaws.com".to_owned()),
            host_header: Some("shop.example".to_owned()),
            path: Some("/p".to_owned()),
            port: Some(443),
            tls: Some(true),
            headers: Some(Vec::new()),
            ..OriginPatch::default()
        }
    );
}

#[test]
fn another_host_is_asked_at_the_port_that_is_named() {
    for (shown, want) in [(443, Some(443)), (8443, Some(8443)), (81, None)] {
        let mut exchange = exchange(EVENT, Mode::Strict);
        exchange.request.origin.as_mut().unwrap().port = shown;
        change(&mut exchange, Api::LambdaEdge, |message| {
            message["origin"]["custom"]["domainName"] = json!("b.example")
        })
        .unwrap();
        assert_eq!(patch(&exchange).port, want, "{shown}");
    }
}

/// The exchange of an origin that is a bucket.
fn of_bucket(host: &str, signed: bool) -> Exchange {
    let mut exchange = exchange(EVENT, Mode::Strict);
    let origin = exchange.request.origin.as_mut().unwrap();
    (origin.host, origin.signed) = (host.to_owned(), signed);
    exchange
}

const BUCKET: &str = "b.s3.eu-central-1.amazonaws.com";

#[test]
fn a_bucket_is_shown_as_one() {
    for (host, signed, method, region) in [
        (BUCKET, false, "none", "eu-central-1"),
        (BUCKET, true, "origin-access-identity", "eu-central-1"),
        ("b.s3.amazonaws.com", false, "none", "us-east-1"),
        ("b.c.s3-sa-east-1.amazonaws.com", false, "none", "sa-east-1"),
    ] {
        let want = json!({"s3": {
            "authMethod": method,
            "customHeaders": {"x-shared": [{"key": "X-Shared", "value": "s"}]},
            "domainName": host,
            "path": "/base",
            "region": region,
        }});
        let mut exchange = of_bucket(host, signed);
        assert_eq!(given(&exchange, Api::LambdaEdge)["origin"], want);
        change(&mut exchange, Api::LambdaEdge, |_| {}).unwrap();
        assert_eq!(exchange.edits(), [], "{host}");
    }
    let website = of_bucket("b.s3-website.eu-central-1.amazonaws.com", false);
    assert_eq!(given(&website, Api::LambdaEdge)["origin"]["custom"]["port"], 443);
}

#[test]
fn what_differs_of_a_bucket() {
    let none = OriginPatch::default;
    let other = |host: &str| OriginPatch {
        host: Some(host.to_owned()),
        host_header: Some("shop.example".to_owned()),
        path: Some("/base".to_owned()),
        port: Some(443),
        tls: Some(true),
        ..none()
    };
    let west = "b.s3.us-west-2.amazonaws.com";
    let signed_in =
        |region: &str| Some(Signing::On { service: "s3".to_owned(), region: Some(region.to_owned()), always: true });
    let line = (HeaderName::from_static("x-shared"), HeaderValue::from_static("t"));
    for (signed, members, want) in [
        (false, json!({"domainName": west, "region": "us-west-2"}), other(west)),
        (false, json!({"path": "/v2"}), OriginPatch { path: Some("/v2".to_owned()), ..none() }),
        (true, json!({"path": ""}), OriginPatch { path: Some(String::new()), ..none() }),
        (false, json!({"customHeaders": {}}), OriginPatch { headers: Some(Vec::new()), ..none() }),
        (
            true,
            json!({"customHeaders": {"X-Shared": [{"value": "t"}]}}),
            OriginPatch { headers: Some(vec![line]), ..none() },
        ),
        // Without the signature it is another way to the same bucket.
        (true, json!({"authMethod": "none"}), OriginPatch { host_header: None, ..other(BUCKET) }),
        (true, json!({"authMethod": "none", "domainName": west, "region": "us-west-2"}), other(west)),
        // AWS's own sample moves a signed bucket from region to region.
        (
            true,
            json!({"domainName": west, "region": "us-west-2"}),
            OriginPatch { signing: signed_in("us-west-2"), host_header: None, ..other(west) },
        ),
        (
            true,
            json!({"domainName": "c.example", "region": "us-west-2"}),
            OriginPatch { signing: signed_in("us-west-2"), host_header: None, ..other("c.example") },
        ),
    ] {
        let mut exchange = of_bucket(BUCKET, signed);
        change(&mut exchange, Api::LambdaEdge, |message| {
            for (name, value) in members.as_object().unwrap() {
                message["origin"]["s3"][name] = value.clone();
            }
        })
        .unwrap();
        assert_eq!(patch(&exchange), want, "{members}");
        let moved = exchange.request.origin.as_ref().unwrap();
        assert_eq!(moved.signed, signed && (want.host.is_none() || want.signing.is_some()), "{members}");
    }
}

#[test]
fn what_a_bucket_may_not_be() {
    for (signed, member, value, want) in [
        (true, "authMethod", "x", "\"origin.s3.authMethod\" must be \"none\""),
        (false, "authMethod", "origin-access-identity", "\"origin-access-identity\" is not available here"),
        (true, "domainName", "B.s3.amazonaws.com", "\"origin.s3.domainName\" must be a lower-case"),
        (false, "domainName", "B.s3.amazonaws.com", "\"origin.s3.domainName\" must be a lower-case"),
    ] {
        let mut exchange = of_bucket(BUCKET, signed);
        let refused =
            words(change(&mut exchange, Api::LambdaEdge, |message| message["origin"]["s3"][member] = json!(value)));
        assert!(refused.contains(want), "{refused}");
    }
    let mut exchange = of_bucket(BUCKET, true);
    let refused = words(change(&mut exchange, Api::LambdaEdge, |message| {
        message["origin"]["s3"]["domainName"] = json!("c.example");
        message["origin"]["s3"]["region"] = json!("a/b");
    }));
    assert!(refused.contains("\"origin.s3.region\" is not a region"), "{refused}");
    // A region says nothing that the domain name does not.
    let mut exchange = of_bucket(BUCKET, false);
    let mut message = given(&exchange, Api::LambdaEdge);
    message["origin"]["s3"]["region"] = json!("us-west-2");
    let warnings = super::super::accept(&mut exchange, Api::LambdaEdge, &message.to_string()).unwrap();
    assert_eq!((exchange.edits(), warnings.len()), (&[][..], 1));
}

#[test]
fn secrets_are_not_shown_and_stay() {
    let mut exchange = exchange(EVENT, Mode::Strict);
    let origin = exchange.request.origin.as_mut().unwrap();
    origin.headers[0].1.set_sensitive(true);
    let shown = &given(&exchange, Api::LambdaEdge)["origin"]["custom"]["customHeaders"]["x-shared"];
    assert_eq!(*shown, json!([{"key": "X-Shared", "value": ""}]));
    change(&mut exchange, Api::LambdaEdge, |message| {
        message["origin"]["custom"]["customHeaders"]["x-more"] = json!([{"value": "1"}]);
    })
    .unwrap();
    let mut headers = patch(&exchange).headers.unwrap();
    headers.sort_by_key(|(name, _)| name.as_str().to_owned());
    assert_eq!(
        headers,
        [
            (HeaderName::from_static("x-more"), HeaderValue::from_static("1")),
            (HeaderName::from_static("x-shared"), HeaderValue::from_static("s")),
        ]
    );
}

#[test]
fn at_viewer_request_only_extended_mode_has_an_origin() {
    let origin = json!({"custom": {"domainName": "b.example", "protocol": "https", "port": 443}});
    let mut strict = exchange(Event::ViewerRequest, Mode::Strict);
    let mut message = given(&strict, Api::LambdaEdge);
    message["origin"] = origin;
    let warnings = super::super::accept(&mut strict, Api::LambdaEdge, &message.to_string()).unwrap();
    assert_eq!((strict.edits(), warnings.len()), (&[][..], 1));
    let mut extended = exchange(Event::ViewerRequest, Mode::Extended);
    accept(&mut extended, Api::LambdaEdge, &message).unwrap();
    assert_eq!(patch(&extended).host.as_deref(), Some("b.example"));
}
