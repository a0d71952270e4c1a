//! Custom policies: what they allow, and which are refused as a whole.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::engine::general_purpose;

use super::*;
use base64::Engine;

struct Signer {
    pair: EcdsaKeyPair,
    group: Group,
}

impl Signer {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        // RFC 5480 §2: the head of a P-256 SubjectPublicKeyInfo.
        let head = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
        let point = general_purpose::STANDARD.encode(&pair.public_key().as_ref()[1..]);
        let group = group(&format!("-----BEGIN PUBLIC KEY-----\n{head}{point}\n-----END PUBLIC KEY-----\n"));
        Signer { pair, group }
    }

    fn url(&self, base: &str, policy: &str) -> String {
        let signature = self.pair.sign(&SystemRandom::new(), policy.as_bytes()).unwrap();
        let (policy, signature) = (encode(policy.as_bytes()), encode(signature.as_ref()));
        let mark = if base.contains('?') { '&' } else { '?' };
        format!("{base}{mark}Policy={policy}&Signature={signature}&Key-Pair-Id=K1&Hash-Algorithm=SHA256")
    }
}

const BASE: &str = "https://shop.example/a.jpg?x=1";

#[test]
fn conditions() {
    let signer = Signer::new();
    let now = NOW_MS / 1000;
    let with = |more: &str| format!(r#""Condition":{{"DateLessThan":{{"AWS:EpochTime":{}}}{more}}}"#, now + 60);
    let list = |inner: &str| format!(r#"{{"Statement":[{{{inner}}}]}}"#);
    let plain = with("");
    for (name, policy, viewer, want) in [
        ("a list of one", list(&plain), VIEWER, Ok(())),
        ("an object", format!(r#"{{"Statement":{{{plain}}}}}"#), VIEWER, Ok(())),
        ("white space", format!("{{ \"Statement\" : [ {{ {plain}\n }} ] }}"), VIEWER, Ok(())),
        ("resource", list(&format!(r#""Resource":"https://shop.example/*",{plain}"#)), VIEWER, Ok(())),
        ("escaped query", list(&format!(r#""Resource":"https://shop.example/a.jpg\\?x=1",{plain}"#)), VIEWER, Ok(())),
        ("copied query", list(&format!(r#""Resource":"{BASE}",{plain}"#)), VIEWER, Ok(())),
        ("other resource", list(&format!(r#""Resource":"https://shop.example/b*",{plain}"#)), VIEWER, INVALID),
        ("already", list(&with(&format!(r#","DateGreaterThan":{{"AWS:EpochTime":{}}}"#, now - 1))), VIEWER, Ok(())),
        ("not yet", list(&with(&format!(r#","DateGreaterThan":{{"AWS:EpochTime":{now}}}"#))), VIEWER, INVALID),
        ("range", list(&with(r#","IpAddress":{"AWS:SourceIp":"192.0.2.0/24"}"#)), VIEWER, Ok(())),
        ("address", list(&with(r#","IpAddress":{"AWS:SourceIp":"192.0.2.7"}"#)), VIEWER, Ok(())),
        ("mapped", list(&with(r#","IpAddress":{"AWS:SourceIp":"192.0.2.7/32"}"#)), "::ffff:192.0.2.7", Ok(())),
        ("other range", list(&with(r#","IpAddress":{"AWS:SourceIp":"198.51.100.0/24"}"#)), VIEWER, INVALID),
        ("any", list(&with(r#","IpAddress":{"AWS:SourceIp":"0.0.0.0/0"}"#)), "2001:db8::1", Ok(())),
        ("IPv6", list(&with(r#","IpAddress":{"AWS:SourceIp":"2001:db8::/32"}"#)), "2001:db8::1", Ok(())),
        ("IPv4 for IPv6", list(&with(r#","IpAddress":{"AWS:SourceIp":"192.0.2.0/24"}"#)), "2001:db8::1", INVALID),
        ("no range", list(&with(r#","IpAddress":{"AWS:SourceIp":"here"}"#)), VIEWER, INVALID),
        ("a list of ranges", list(&with(r#","IpAddress":{"AWS:SourceIp":["0.0.0.0/0"]}"#)), VIEWER, INVALID),
        ("expired", list(&plain.replace(&(now + 60).to_string(), &now.to_string())), VIEWER, INVALID),
        ("time is text", list(&plain.replace(&(now + 60).to_string(), "\"9999999999\"")), VIEWER, INVALID),
        ("no DateLessThan", list(r#""Condition":{}"#), VIEWER, INVALID),
        ("no condition", list(r#""Resource":"*""#), VIEWER, INVALID),
        ("unknown condition", list(&with(r#","StringEquals":{"a":"b"}"#)), VIEWER, INVALID),
        ("unknown key", list(&with(r#","IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#)), VIEWER, INVALID),
        ("unknown member", list(&format!(r#""Effect":"Deny",{plain}"#)), VIEWER, INVALID),
        ("member beside it", format!(r#"{{"Version":"1","Statement":[{{{plain}}}]}}"#), VIEWER, INVALID),
        ("two statements", format!(r#"{{"Statement":[{{{plain}}},{{{plain}}}]}}"#), VIEWER, INVALID),
        ("no statement", "{}".to_owned(), VIEWER, INVALID),
        ("empty list", r#"{"Statement":[]}"#.to_owned(), VIEWER, INVALID),
        ("twice", list(&format!(r#""Resource":"https://other/","Resource":"*",{plain}"#)), VIEWER, INVALID),
        ("no JSON", "policy".to_owned(), VIEWER, INVALID),
        ("resource is a list", list(&format!(r#""Resource":["*"],{plain}"#)), VIEWER, INVALID),
        ("long", list(&format!(r#""Resource":"{}*",{plain}"#, "*".repeat(6000))), VIEWER, Ok(())),
        ("too long", list(&format!(r#""Resource":"{}*",{plain}"#, "*".repeat(POLICY_MAX))), VIEWER, INVALID),
    ] {
        let url = signer.url(BASE, &policy);
        assert_eq!(Sent { viewer, ..Sent::to(&url) }.verdict(&signer.group), want, "{name}");
    }
}

#[test]
fn one_character_of_the_policy_changed() {
    let signer = Signer::new();
    let policy = format!(r#"{{"Statement":[{{"Condition":{{"DateLessThan":{{"AWS:EpochTime":{}}}}}}}]}}"#, u32::MAX);
    let url = signer.url(BASE, &policy);
    assert_eq!(Sent::to(&url).verdict(&signer.group), Ok(()));
    let altered = url.replacen(&encode(policy.as_bytes()), &encode(policy.replace("4294", "4295").as_bytes()), 1);
    assert_eq!(Sent::to(&altered).verdict(&signer.group), INVALID);
    // Another group's key.
    assert_eq!(Sent::to(&url).verdict(&Signer::new().group), INVALID);
}
