//! Tokens through a verifier, with an issuer of our own.

mod mint;
mod served;
mod stub;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::access::{Asked, Denied, Principal, Reason};
use crate::config::compiled::{Issuer, JwksSource, JwtAlgorithm, JwtRule, TokenFrom};
use mint::{Mint, b64};

const NOW_MS: u64 = 1_767_225_600_000;
const ANY: JwtRule = JwtRule { issuer: 0, scopes: Vec::new(), groups: Vec::new() };
const ALL: [JwtAlgorithm; 7] = [
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Rs384,
    JwtAlgorithm::Rs512,
    JwtAlgorithm::Ps256,
    JwtAlgorithm::Es256,
    JwtAlgorithm::Es384,
    JwtAlgorithm::EdDsa,
];

fn issuer(jwks: JwksSource) -> Issuer {
    Issuer {
        name: "customers".into(),
        issuer: "https://issuer.example/pool".into(),
        jwks,
        audiences: vec!["web".into()],
        token_use: None,
        algorithms: ALL.to_vec(),
        groups_claim: "cognito:groups".into(),
        principal_claim: "sub".into(),
        leeway: Duration::ZERO,
        from: vec![TokenFrom::Header(AUTHORIZATION)],
        refresh: Duration::from_secs(3600),
        keep: Duration::from_secs(86_400),
        timeout: Duration::from_secs(2),
    }
}

fn registry() -> Registry {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let roots = rustls::RootCertStore::empty();
    Registry::with_fetcher(Fetcher::with_tls(tls.with_root_certificates(roots).with_no_client_auth()))
}

fn fixed(keys: &[Value]) -> Arc<Verifier> {
    fixed_with(keys, |_| {})
}

fn fixed_with(keys: &[Value], change: impl FnOnce(&mut Issuer)) -> Arc<Verifier> {
    let mut issuer = issuer(JwksSource::Set(json!({ "keys": keys }).to_string()));
    change(&mut issuer);
    registry().issuers(&[issuer]).unwrap().remove(0)
}

fn good() -> Value {
    json!({"iss": "https://issuer.example/pool", "sub": "u-1", "aud": "web", "exp": NOW_MS / 1000 + 600})
}

fn asked(fields: &HeaderMap, now_ms: u64) -> Asked<'_, HeaderMap> {
    let viewer = IpAddr::from([127, 0, 0, 1]);
    Asked { method: "GET", host: "h", path: "/", query: None, fields, tls: true, viewer, now_ms }
}

fn bearer(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())])
}

fn now(verifier: &Verifier, rule: &JwtRule, token: &str, now_ms: u64) -> Result<Principal, Denied> {
    match verifier.verify_now(rule, &asked(&bearer(token), now_ms)) {
        Now::Done(outcome) => outcome,
        Now::Wait(_) => panic!("has to wait"),
    }
}

fn reason(outcome: Result<Principal, Denied>) -> Option<Reason> {
    outcome.err().map(|denied| denied.reason)
}

#[test]
fn every_algorithm() {
    for (kind, algorithms) in [
        ("RSA", &["RS256", "RS384", "RS512", "PS256"][..]),
        ("P-256", &["ES256"]),
        ("P-384", &["ES384"]),
        ("Ed25519", &["EdDSA"]),
    ] {
        let mint = Mint::new(kind, "k");
        let open = fixed(&[mint.jwk()]);
        for alg in algorithms {
            let token = mint.token(alg, &good());
            let principal = now(&open, &ANY, &token, NOW_MS).unwrap();
            assert_eq!((&*principal.id, &*principal.issuer), ("u-1", "customers"));
            assert_eq!(principal.claims.all()["aud"], "web");
            let mut bound = mint.jwk();
            bound["alg"] = json!(alg);
            assert!(now(&fixed(&[bound]), &ANY, &token, NOW_MS).is_ok(), "{alg}");
            // The issuer's list, a key bound to another algorithm, a key of another kind.
            let listed = fixed_with(&[mint.jwk()], |issuer| {
                issuer.algorithms.retain(|one| format!("{one:?}").to_uppercase() != *alg.to_uppercase())
            });
            assert_eq!(reason(now(&listed, &ANY, &token, NOW_MS)), Some(Reason::TokenInvalid), "{alg} is not listed");
            let other = if *alg == "RS256" { "RS384" } else { "RS256" };
            let mut bound = mint.jwk();
            bound["alg"] = json!(other);
            let keys = [bound, Mint::new("RSA", "other").jwk()];
            assert_eq!(reason(now(&fixed(&keys), &ANY, &token, NOW_MS)), Some(Reason::TokenInvalid), "{alg} is bound");
            for other in ["RS256", "ES256", "ES384", "EdDSA", "PS256"].iter().filter(|other| *other != alg) {
                let confused = mint.with_header(&json!({"alg": other, "kid": "k"}), &good());
                if !(kind == "RSA" && *other != "ES256" && other.starts_with(['R', 'P'])) {
                    assert_eq!(
                        reason(now(&open, &ANY, &confused, NOW_MS)),
                        Some(Reason::TokenInvalid),
                        "{alg} as {other}"
                    );
                }
            }
        }
    }
}

#[test]
fn altered_and_foreign_tokens() {
    let mint = Mint::new("P-256", "k");
    let stranger = Mint::new("P-256", "k");
    let open = fixed(&[mint.jwk()]);
    let token = mint.token("ES256", &good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let mut admin = good();
    admin["sub"] = json!("admin");
    let none = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(good().to_string()));
    let secret = mint.jwk().to_string();
    let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let shared = format!("{}.{}", b64(r#"{"alg":"HS256","kid":"k"}"#), b64(good().to_string()));
    let shared = format!("{shared}.{}", b64(aws_lc_rs::hmac::sign(&hmac, shared.as_bytes())));
    let double = format!(r#"{{"sub":"a",{}"#, &good().to_string()[1..]);
    for (name, token) in [
        ("claims exchanged", format!("{header}.{}.{signature}", b64(admin.to_string()))),
        ("signature shortened", token[..token.len() - 4].to_owned()),
        ("signature of zeros", format!("{signed}.{}", b64([0; 64]))),
        ("by somebody else", stranger.token("ES256", &good())),
        ("unsigned", none),
        ("by the public key as a secret", shared),
        (
            "key in the header",
            stranger.with_header(&json!({"alg": "ES256", "kid": "k", "jwk": stranger.jwk()}), &good()),
        ),
        ("no sub", mint.token("ES256", &json!({"iss": good()["iss"], "aud": "web", "exp": good()["exp"]}))),
        ("text", "a.b.c".to_owned()),
        ("empty parts", "..".to_owned()),
    ] {
        assert_eq!(reason(now(&open, &ANY, &token, NOW_MS)), Some(Reason::TokenInvalid), "{name}");
    }
    assert!(double.contains("u-1"));
    assert!(now(&open, &ANY, &token, NOW_MS).is_ok());
}

#[test]
fn a_token_that_was_seen_is_checked_again() {
    let mint = Mint::new("P-256", "k");
    let open = fixed(&[mint.jwk()]);
    let mut claims = good();
    claims["scope"] = json!("read");
    let token = mint.token("ES256", &claims);
    let scoped = |scope: &str| JwtRule { issuer: 0, scopes: vec![scope.into()], groups: vec![] };
    assert_eq!(reason(now(&open, &scoped("write"), &token, NOW_MS)), Some(Reason::TokenScope));
    assert!(now(&open, &scoped("read"), &token, NOW_MS).is_ok());
    assert!(now(&open, &scoped("read"), &token, NOW_MS + 1000).is_ok());
    assert_eq!(reason(now(&open, &scoped("write"), &token, NOW_MS)), Some(Reason::TokenScope));
    assert_eq!(reason(now(&open, &ANY, &token, NOW_MS + 600_000)), Some(Reason::TokenInvalid), "expired");
    assert_eq!(reason(now(&open, &ANY, &token[..token.len() - 1], NOW_MS)), Some(Reason::TokenInvalid));
}

#[test]
fn keys_and_their_names() {
    let (a, b) = (Mint::new("P-256", "a"), Mint::new("P-256", "b"));
    let unnamed = |mint: &Mint| mint.with_header(&json!({"alg": "ES256"}), &good());
    let one = fixed(&[a.jwk()]);
    assert!(now(&one, &ANY, &unnamed(&a), NOW_MS).is_ok(), "the only key");
    assert_eq!(reason(now(&one, &ANY, &unnamed(&b), NOW_MS)), Some(Reason::TokenInvalid));
    let two = fixed(&[a.jwk(), b.jwk()]);
    assert_eq!(reason(now(&two, &ANY, &unnamed(&a), NOW_MS)), Some(Reason::TokenInvalid), "which of two?");
    assert!(now(&two, &ANY, &a.token("ES256", &good()), NOW_MS).is_ok());
    assert_eq!(reason(now(&one, &ANY, &b.token("ES256", &good()), NOW_MS)), Some(Reason::TokenInvalid), "unknown");
    // Two keys of one name are alternatives (RFC 7517 §4.5).
    let twin = Mint::new("P-256", "a");
    let twins = fixed(&[a.jwk(), twin.jwk()]);
    assert!(now(&twins, &ANY, &a.token("ES256", &good()), NOW_MS).is_ok());
    assert!(now(&twins, &ANY, &twin.token("ES256", &good()), NOW_MS).is_ok());
    // The principal's claim may be a number.
    let numbered = fixed_with(&[a.jwk()], |issuer| issuer.principal_claim = "uid".into());
    for (uid, want) in [(json!(7), Some("7")), (json!("x"), Some("x")), (json!(""), None), (json!(["x"]), None)] {
        let mut claims = good();
        claims["uid"] = uid;
        let got = now(&numbered, &ANY, &a.token("ES256", &claims), NOW_MS);
        assert_eq!(got.ok().map(|principal| principal.id.to_string()).as_deref(), want);
    }
}

#[test]
fn sets() {
    let key = Mint::new("P-256", "k").jwk();
    let with = |name: &str, value: Value| {
        let mut changed = key.clone();
        changed[name] = value;
        changed
    };
    for (name, keys, want) in [
        ("one", json!([key]), Some((1, 0))),
        ("for signatures", json!([with("use", json!("sig"))]), Some((1, 0))),
        ("one for encryption beside it", json!([key, with("use", json!("enc"))]), Some((1, 1))),
        ("for encryption", json!([with("use", json!("enc"))]), None),
        ("to verify", json!([with("key_ops", json!(["verify"]))]), Some((1, 0))),
        ("to sign", json!([with("key_ops", json!(["sign"]))]), None),
        ("secret", json!([key, {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]), Some((1, 1))),
        ("other algorithm", json!([with("alg", json!("ES512"))]), None),
        ("algorithm of another kind", json!([with("alg", json!("RS256"))]), None),
        ("other curve", json!([with("crv", json!("P-521"))]), None),
        ("off the curve", json!([with("x", json!(b64([1; 32])))]), None),
        ("not an object", json!([key, 1, null, "k"]), Some((1, 3))),
        ("kid is a number", json!([with("kid", json!(1))]), None),
        ("long kid", json!([with("kid", json!("k".repeat(KID_MAX + 1)))]), None),
        ("no keys", json!([]), None),
        ("a hundred", json!(vec![&key; KEYS_MAX]), Some((8, KEYS_MAX - 8))),
        ("more", json!(vec![&key; KEYS_MAX + 1]), None),
        ("no list", json!({}), None),
    ] {
        let got = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes());
        assert_eq!(got.ok().map(|set| (set.usable(), set.skipped)), want, "{name}");
    }
    for text in ["", "[]", "{}", "null", r#"{"keys":[],"keys":[]}"#, &" ".repeat(SET_MAX + 1)] {
        assert!(KeySet::parse(text.as_bytes()).is_err());
    }
    let rsa = KeySet::parse(json!({ "keys": [Mint::new("RSA", "r").jwk()] }).to_string().as_bytes()).unwrap();
    assert_eq!(rsa.usable(), 4, "each algorithm that it fits");
}

#[test]
fn issuers_that_are_wrong() {
    for source in [
        JwksSource::Set("{}".into()),
        JwksSource::Url("ftp://h/".into()),
        JwksSource::Url("issuer.example".into()),
        JwksSource::Url(String::new()),
    ] {
        let error = registry().issuers(&[issuer(source)]).err().unwrap();
        assert!(error.to_string().starts_with("issuer 'customers'"), "{error}");
    }
}
