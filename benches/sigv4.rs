//! What does it cost to verify a signature whose signing key is known, and to ask a policy? By where the signature is and
//! of which kind.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rimward::access::Asked;
use rimward::access::iam::{Request, evaluate};
use rimward::access::sigv4::{Outcome, Verifier};
use rimward::config::compiled::{AccessKey, KeyMaterial, PayloadPolicy, Signer};
use rimward::config::iam::Policy;
use rimward::config::secret::Secret;
use rimward::message::Head;

/// 2015-08-30T12:36:00Z.
const NOW: u64 = 1_440_938_160_000;
const HOST: (&str, &str) = ("host", "example.amazonaws.com");
const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
const REGIONS: (&str, &str) = ("x-amz-region-set", "us-east-1");
// The vectors `get-vanilla` of AWS's suite.
const HEADER: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
    SignedHeaders=host;x-amz-date, \
    Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const QUERY: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2F\
    aws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=\
    e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d";
const ASYMMETRIC: &str = "AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20150830/service/aws4_request, \
    SignedHeaders=host;x-amz-date;x-amz-region-set, \
    Signature=3046022100fddaaf816a31e30d04973875b13bc27b98da10907a3a1872fd5819a221334abc022100de2ee81d83b54f31efc8\
    2834de07e6cd4d5c6f25bfa08e0f29a15bb0977c343e";

fn verifier() -> Verifier {
    let key = |id: String| AccessKey {
        id,
        material: KeyMaterial::Secret(Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned())),
        session_token: None,
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        policy: None,
    };
    let mut keys: Vec<_> = (0..1000).map(|n| key(format!("AKID{n:04}"))).collect();
    keys.push(key("AKIDEXAMPLE".to_owned()));
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    Verifier::new(&Signer {
        name: "s".to_owned(),
        service: "service".to_owned(),
        regions: vec!["us-east-1".to_owned()],
        skew: Duration::from_secs(900),
        payload: PayloadPolicy::default(),
        normalize: true,
        keys: Arc::new(keys),
        action: "execute-api:Invoke".to_owned(),
        resource: "arn:aws:execute-api:$region:123456789012:api/prod/$method/$path".to_owned(),
    })
}

fn verifying(c: &mut Criterion) {
    let verifier = verifier();
    let cases = [
        ("sigv4/header", None, &[HOST, DATE, ("authorization", HEADER)][..]),
        ("sigv4/presigned", Some(QUERY), &[HOST]),
        ("sigv4/asymmetric", None, &[HOST, DATE, REGIONS, ("authorization", ASYMMETRIC)]),
    ];
    for (name, query, fields) in cases {
        let mut lines: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        for (name, value) in [("user-agent", "aws-sdk-js/3"), ("accept", "*/*"), ("accept-encoding", "gzip, br")] {
            lines.push(httparse::Header { name, value: value.as_bytes() });
        }
        let head = Head { method: "GET", target: "/", host: HOST.1, minor: 1, fields: &lines };
        let viewer = std::net::IpAddr::from([203, 0, 113, 7]);
        let asked =
            Asked { method: "GET", host: HOST.1, path: "/", query, fields: &head, tls: true, viewer, now_ms: NOW };
        assert!(matches!(verifier.verify(&asked, false), Ok(Outcome::Verified(_))), "{name}");
        c.bench_function(name, |b| b.iter(|| verifier.verify(black_box(&asked), false)));
    }
}

fn policies(c: &mut Criterion) {
    let statement = |n: usize| {
        format!(
            r#"{{"Effect":"Allow","Action":["execute-api:Invoke","s3:Get*"],
                "Resource":"arn:aws:execute-api:*:123456789012:api/*/GET/things{n}/*",
                "Condition":{{"IpAddress":{{"aws:SourceIp":["10.0.0.0/8","203.0.113.0/24"]}},"Bool":{{"aws:SecureTransport":true}}}}}}"#
        )
    };
    let statements: Vec<_> = (0..20).map(statement).collect();
    let Ok(policy) = Policy::parse(&format!(r#"{{"Statement":[{}]}}"#, statements.join(","))) else { return };
    let request = Request {
        action: "execute-api:Invoke",
        resource: "arn:aws:execute-api:us-east-1:123456789012:api/prod/GET/things19/7",
        bare: None,
        source_ip: std::net::IpAddr::from([203, 0, 113, 7]),
        now_ms: NOW,
        secure: true,
        principal_arn: Some("arn:aws:iam::123456789012:user/alice"),
        user_agent: Some("aws-sdk-js/3"),
        referer: None,
        dynamodb: Default::default(),
    };
    c.bench_function("iam/20 statements", |b| b.iter(|| evaluate(&policy, black_box(&request))));
}

criterion_group!(benches, verifying, policies);
criterion_main!(benches);
