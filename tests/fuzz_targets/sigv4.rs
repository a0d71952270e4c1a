//! Sigv4: no request verifies with a secret that did not sign it, a policy allows only by a statement that does, and a body
//! in chunks comes to the same however it is cut. The first byte chooses: a request (host, path, query, field lines), a
//! policy, a body.

use std::sync::Arc;
use std::time::Duration;

use rimward::access::Asked;
use rimward::access::iam::{Decision, Request, evaluate};
use rimward::access::sigv4::{Outcome, PayloadCheck, Verified, Verifier};
use rimward::config::compiled::{AccessKey, KeyMaterial, PayloadPolicy, Signer};
use rimward::config::iam::Policy;
use rimward::config::secret::Secret;
use rimward::message::Head;

/// S3's documented request in chunks, without its body.
const CHUNKED: [(&str, &str); 8] = [
    ("host", "s3.amazonaws.com"),
    ("x-amz-date", "20130524T000000Z"),
    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    ("content-encoding", "aws-chunked"),
    ("x-amz-decoded-content-length", "66560"),
    ("content-length", "66824"),
    (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=\
         content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
         x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    ),
];

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, rest)) => request(rest),
        Some((1, rest)) => policy(rest),
        Some((_, rest)) => body(rest),
        None => {}
    }
}

fn signer(id: &str, secret: &str, service: &str, normalize: bool) -> Signer {
    let key = AccessKey {
        id: id.to_owned(),
        material: KeyMaterial::Secret(Secret::new(secret.to_owned())),
        session_token: None,
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        policy: None,
    };
    Signer {
        name: "s".to_owned(),
        service: service.to_owned(),
        regions: Vec::new(),
        skew: Duration::from_secs(900),
        payload: PayloadPolicy { unsigned: true, chunked: true },
        normalize,
        keys: Arc::new(vec![key]),
        action: "execute-api:Invoke".to_owned(),
        resource: "arn:aws:execute-api:$region:1:api/$method/$path".to_owned(),
    }
}

fn ask(
    signer: &Signer,
    method: &str,
    parts: (&str, &str, Option<&str>),
    lines: &[(&str, &[u8])],
    now_ms: u64,
) -> Option<Verified> {
    let (host, path, query) = parts;
    let fields: Vec<_> = lines.iter().map(|(name, value)| httparse::Header { name, value }).collect();
    let head = Head { method, target: path, host, minor: 1, fields: &fields };
    let viewer = std::net::IpAddr::from([203, 0, 113, 7]);
    let asked = Asked { method, host, path, query, fields: &head, tls: true, viewer, now_ms };
    let verifier = Verifier::new(signer);
    for body in [false, true] {
        let verified = match verifier.verify(&asked, body) {
            Ok(Outcome::Verified(verified)) => Some(verified),
            Ok(Outcome::NeedsBody(pending)) => pending.finish([7; 32]).ok(),
            Err(denied) => {
                assert!(!denied.detail.contains("SECRET"));
                None
            }
        };
        if let Some(verified) = verified {
            let _ = verifier.authorize(&verified, &asked, "dev");
            return Some(verified);
        }
    }
    None
}

fn request(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let mut next = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(host), Some(path), Some(query)) = (next(), next(), next()) else { return };
    let fields: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            Some((std::str::from_utf8(&line[..at]).ok()?, &line[at + 1..]))
        })
        .collect();
    let query = (!query.is_empty()).then_some(query);
    let good = signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "service", true);
    ask(&good, "GET", (host, path, query), &fields, 1_440_938_160_000);
    let other = signer("AKIDEXAMPLE", "SECRET", "service", true);
    assert!(ask(&other, "GET", (host, path, query), &fields, 1_440_938_160_000).is_none());
}

fn policy(data: &[u8]) {
    let Ok(policy) = std::str::from_utf8(data).map_err(drop).and_then(|text| Policy::parse(text).map_err(drop)) else {
        return;
    };
    let request = Request {
        action: "execute-api:Invoke",
        resource: "arn:aws:execute-api:us-east-1:1:api/GET/é",
        bare: None,
        source_ip: std::net::IpAddr::from([203, 0, 113, 7]),
        now_ms: 0,
        secure: false,
        principal_arn: Some("arn:aws:iam::1:user/alice"),
        user_agent: None,
        referer: Some(""),
        dynamodb: rimward::access::iam::Items::default(),
    };
    match evaluate(&policy, &request) {
        Decision::Allow => assert!(policy.statements.iter().any(|statement| statement.allow)),
        Decision::ExplicitDeny => assert!(policy.statements.iter().any(|statement| !statement.allow)),
        Decision::ImplicitDeny => {}
    }
}

fn body(data: &[u8]) {
    let signer = signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "s3", false);
    let lines = CHUNKED.map(|(name, value)| (name, value.as_bytes()));
    let parts = ("s3.amazonaws.com", "/examplebucket/chunkObject.txt", None);
    let verified = ask(&signer, "PUT", parts, &lines, 1_369_353_600_000);
    let verified = verified.filter(|_| !data.is_empty());
    let Some(verified) = verified else { return assert!(data.is_empty()) };
    let whole = decode(&verified, data, data.len());
    assert!(whole.is_none(), "nothing so short is what was signed");
    assert_eq!(whole, decode(&verified, data, 3));
}

fn decode(verified: &Verified, data: &[u8], step: usize) -> Option<Vec<u8>> {
    let mut check = PayloadCheck::new(verified);
    let mut got = Vec::new();
    for piece in data.chunks(step.max(1)) {
        got.extend_from_slice(&check.push(piece.to_vec().into()).ok()?);
    }
    got.extend_from_slice(&check.finish().ok()?);
    assert!(got.len() < data.len());
    Some(got)
}
