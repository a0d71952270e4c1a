//! Cf: what CloudFront Functions ask of the `cf` module about where a request goes.

use serde_json::json;

use crate::config::compiled::Signing;
use crate::hooks::exchange::{Edit, OriginChange, OriginPatch};

use super::origins::patch;
use super::*;

fn asked(origin: &Value) -> (Result<(), Failure>, Exchange) {
    let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
    let result = json!({"result": given(&exchange, Api::CloudFront), "origin": origin}).to_string();
    (super::super::accept(&mut exchange, Api::CloudFront, &result).map(drop), exchange)
}

#[test]
fn the_cf_module() {
    let seconds = |n| Some(Duration::from_secs(n));
    for (origin, want) in [
        (
            json!({"op": "update", "origin": {
                "domainName": "b.example", "hostHeader": "h.example", "originPath": "/p", "sni": "s.example",
                "customHeaders": {"x-a": "1"}, "connectionAttempts": 2,
                "timeouts": {"readTimeout": 30, "connectionTimeout": 5, "keepAliveTimeout": 5},
                "customOriginConfig": {"port": 8443, "protocol": "https", "sslProtocols": ["TLSv1.2"]},
                "originAccessControlConfig": {"enabled": false}, "originShield": {"enabled": false},
            }}),
            OriginPatch {
                base: None,
                host: Some("b.example".to_owned()),
                port: Some(8443),
                tls: Some(true),
                path: Some("/p".to_owned()),
                host_header: Some("h.example".to_owned()),
                sni: Some("s.example".to_owned()),
                headers: Some(vec![(HeaderName::from_static("x-a"), HeaderValue::from_static("1"))]),
                connect_timeout: seconds(5),
                read_timeout: seconds(30),
                attempts: Some(2),
                signing: Some(Signing::Off),
            },
        ),
        (
            json!({"op": "update", "origin": {"domainName": "b.s3.us-west-2.amazonaws.com", "originAccessControlConfig": {
                "enabled": true, "signingBehavior": "always", "signingProtocol": "sigv4", "originType": "s3"
            }}}),
            OriginPatch {
                host: Some("b.s3.us-west-2.amazonaws.com".to_owned()),
                signing: Some(Signing::On {
                    service: "s3".to_owned(),
                    region: Some("us-west-2".to_owned()),
                    always: true,
                }),
                ..OriginPatch::default()
            },
        ),
        (
            json!({"op": "update", "origin": {"domainName": "b.example", "originAccessControlConfig": {
                "enabled": true, "signingBehavior": "no-override", "region": "eu-west-1", "originType": "lambda"
            }}}),
            OriginPatch {
                host: Some("b.example".to_owned()),
                signing: Some(Signing::On {
                    service: "lambda".to_owned(),
                    region: Some("eu-west-1".to_owned()),
                    always: false,
                }),
                ..OriginPatch::default()
            },
        ),
        (
            json!({"op": "update", "origin": {"originAccessControlConfig": {"enabled": true, "signingBehavior": "never"}}}),
            OriginPatch { signing: Some(Signing::Off), ..OriginPatch::default() },
        ),
        // What is not said is inherited.
        (
            json!({"op": "update", "origin": {"domainName": "id.lambda-url.us-east-2.on.aws"}}),
            OriginPatch {
                host: Some("id.lambda-url.us-east-2.on.aws".to_owned()),
                signing: Some(Signing::Kept { region: Some("us-east-2".to_owned()) }),
                ..OriginPatch::default()
            },
        ),
        (
            json!({"op": "select", "id": "green", "overrides": null}),
            OriginPatch { base: Some("green".to_owned()), ..OriginPatch::default() },
        ),
        (
            json!({"op": "select", "id": "green", "overrides": {"originPath": "/p"}}),
            OriginPatch { base: Some("green".to_owned()), path: Some("/p".to_owned()), ..OriginPatch::default() },
        ),
    ] {
        let (done, exchange) = asked(&origin);
        done.unwrap();
        assert_eq!(patch(&exchange), want);
    }
    assert_eq!(asked(&json!({"op": "update", "origin": {}})).1.edits(), []);
    let overrides = json!({"originPath": "/p"});
    let ids = json!(["blue", {"originId": "green", "originOverrides": overrides}]);
    let group = json!({"op": "group", "originIds": ids, "statusCodes": [500, 404, 500]});
    let (done, exchange) = asked(&group);
    done.unwrap();
    let want = OriginChange::Group {
        members: vec![
            OriginPatch { base: Some("blue".to_owned()), ..OriginPatch::default() },
            OriginPatch { base: Some("green".to_owned()), path: Some("/p".to_owned()), ..OriginPatch::default() },
        ],
        failover: vec![StatusCode::INTERNAL_SERVER_ERROR, StatusCode::NOT_FOUND],
    };
    assert_eq!(exchange.edits(), [Edit::Origin(Box::new(want))]);
}

#[test]
fn what_the_cf_module_says_of_what_is_not_here() {
    for (shield, want) in [(json!({"enabled": false}), 0), (json!({"enabled": true, "region": "eu-west-1"}), 1)] {
        let mut exchange = exchange(Event::ViewerRequest, Mode::Strict);
        let origin = json!({"op": "update", "origin": {"originPath": "/p", "originShield": shield}});
        let result = json!({"result": given(&exchange, Api::CloudFront), "origin": origin}).to_string();
        let warnings = super::super::accept(&mut exchange, Api::CloudFront, &result).unwrap();
        assert_eq!(warnings.len(), want, "{shield}: {warnings:?}");
    }
}

#[test]
fn what_the_cf_module_may_not() {
    for (origin, want) in [
        (json!("x"), "\"origin\" must be an object"),
        (json!({"op": "other"}), "\"origin.op\" \"other\" is not known"),
        (json!({"op": "select", "id": "red"}), "selectRequestOriginById: there is no origin \"red\""),
        (json!({"op": "select"}), "origin id\" is missing"),
        (json!({"op": "update", "origin": {"domainName": "192.0.2.1"}}), "\"domainName\" must be a domain name"),
        (json!({"op": "update", "origin": {"originPath": "p"}}), "\"originPath\" must be"),
        (json!({"op": "update", "origin": {"hostHeader": "a b"}}), "\"hostHeader\" is not a host"),
        (
            json!({"op": "update", "origin": {"connectionAttempts": 4}}),
            "\"connectionAttempts\" must be a whole number from 1 to 3",
        ),
        (
            json!({"op": "update", "origin": {"timeouts": {"readTimeout": 0}}}),
            "\"readTimeout\" must be a whole number from 1 to 120",
        ),
        (json!({"op": "update", "origin": {"customOriginConfig": {"port": 81}}}), "\"port\" must be 80, 443"),
        (json!({"op": "update", "origin": {"customOriginConfig": {"protocol": "x"}}}), "\"protocol\" must be"),
        (json!({"op": "update", "origin": {"customHeaders": {"cookie": "x"}}}), "\"cookie\" is disallowed"),
        (json!({"op": "update", "origin": {"customHeaders": {"x-a": 5}}}), "the value of \"x-a\" must be a string"),
        (
            json!({"op": "update", "origin": {"originAccessControlConfig": {"enabled": true, "signingBehavior": "always"}}}),
            "\"originAccessControlConfig.originType\" says what requests are signed for",
        ),
        (
            json!({"op": "update", "origin": {"originAccessControlConfig": {"enabled": true, "originType": "ec2"}}}),
            "\"originAccessControlConfig.originType\" must be one of s3, lambda,",
        ),
        (
            json!({"op": "update", "origin": {"originAccessControlConfig": {"enabled": true, "signingProtocol": "sigv2"}}}),
            "\"originAccessControlConfig.signingProtocol\" must be one of sigv4",
        ),
        (
            json!({"op": "update", "origin": {"originAccessControlConfig": {"enabled": true, "originType": "s3", "region": "a/b"}}}),
            "\"originAccessControlConfig.region\" is not a region",
        ),
        (
            json!({"op": "update", "origin": {"originAccessControlConfig": {"enabled": "yes"}}}),
            "originAccessControlConfig.enabled\" must be a boolean",
        ),
        (
            json!({"op": "group", "originIds": ["blue", {"originId": "green", "originOverrides": {"originPath": "p"}}], "statusCodes": [500]}),
            "createRequestOriginGroup: \"originPath\" must be",
        ),
        (json!({"op": "update", "origin": {"allowedCertificateNames": ["a"]}}), "is not available here"),
        (
            json!({"op": "group", "originIds": ["blue"], "statusCodes": [500]}),
            "\"originIds\" must be two origins, not 1",
        ),
        (
            json!({"op": "group", "originIds": ["blue", "blue"], "statusCodes": [500]}),
            "\"originIds\" has \"blue\" twice",
        ),
        (json!({"op": "group", "originIds": ["blue", "red"], "statusCodes": [500]}), "there is no origin \"red\""),
        (json!({"op": "group", "originIds": ["blue", "green"], "statusCodes": [200]}), "may hold only"),
        (json!({"op": "group", "originIds": ["blue", "green"], "statusCodes": "x"}), "must be an array"),
        (
            json!({"op": "group", "originIds": ["blue", "green"], "statusCodes": [500], "selectionCriteria": "media-quality-score"}),
            "\"selectionCriteria\" must be \"default\"",
        ),
    ] {
        let refused = words(asked(&origin).0);
        assert!(refused.contains(want), "{refused}");
    }
}
