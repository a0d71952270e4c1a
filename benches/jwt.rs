//! What does a token cost a request, and what a signed URL? Seen before: hash, look-up, claims, at most 5 µs. New: at most 1.2 ×
//! its signature alone (`signature/…/prepared key`); beside a verification with the key as an issuer publishes it, which is read each time, it
//! is told as well.
#![allow(clippy::unwrap_used)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use criterion::{Criterion, criterion_group, criterion_main};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use rimward::access::Asked;
use rimward::access::jwt::{Now, Registry, Verifier};
use rimward::access::signed::{Group, canned, encode, strip_query};
use rimward::config::compiled::{Issuer, JwksSource, JwtAlgorithm, JwtRule, KeyGroup, TokenFrom};
use rimward::crypto::{Algorithm, Form, Key, Prepared};
use serde_json::json;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

/// 2026-01-01T00:00:00Z.
const NOW_MS: u64 = 1_767_225_600_000;
/// Fresh tokens made before a run; each is verified once, then they come again, long forgotten.
const FRESH: usize = 4096;
/// Turns that the ratio is the median of.
const TURNS: usize = 31;

struct Signer {
    alg: &'static str,
    rsa: Option<RsaKeyPair>,
    ec: EcdsaKeyPair,
}

// === impl Signer ===
impl Signer {
    fn new(alg: &'static str) -> Self {
        let rsa = (alg == "RS256").then(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        Signer { alg, rsa, ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn jwk(&self) -> String {
        let b64 = |data: &[u8]| URL_SAFE_NO_PAD.encode(data);
        let key = match &self.rsa {
            Some(pair) => {
                let (_, public) = RSAPublicKey::from_der(pair.public_key().as_ref()).unwrap();
                json!({"kid": "k", "alg": "RS256", "kty": "RSA", "n": b64(&public.modulus[1..]), "e": b64(public.exponent)})
            }
            None => {
                let point = &self.ec.public_key().as_ref()[1..];
                json!({"kid": "k", "kty": "EC", "crv": "P-256", "x": b64(&point[..32]), "y": b64(&point[32..])})
            }
        };
        json!({ "keys": [key] }).to_string()
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        match &self.rsa {
            Some(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature).unwrap();
                signature
            }
            None => self.ec.sign(&SystemRandom::new(), data).unwrap().as_ref().to_vec(),
        }
    }

    /// As an access token of Cognito.
    fn token(&self, n: usize) -> String {
        let header = json!({"kid": "k", "alg": self.alg}).to_string();
        let claims = json!({
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["admins", "users"],
            "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_example", "client_id": "web",
            "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "token_use": "access", "scope": "openid orders/read",
            "auth_time": NOW_MS / 1000, "exp": NOW_MS / 1000 + 3600, "iat": NOW_MS / 1000, "jti": n, "username": "alice",
        });
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn verifier(&self) -> Arc<Verifier> {
        let issuer = Issuer {
            name: "customers".into(),
            issuer: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_example".into(),
            jwks: JwksSource::Set(self.jwk()),
            audiences: vec!["web".into()],
            token_use: None,
            algorithms: vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256],
            groups_claim: "cognito:groups".into(),
            principal_claim: "sub".into(),
            leeway: Duration::ZERO,
            from: vec![TokenFrom::Header(AUTHORIZATION)],
            refresh: Duration::from_secs(3600),
            keep: Duration::from_secs(86_400),
            timeout: Duration::from_secs(2),
        };
        Registry::new().unwrap().issuers(&[issuer]).unwrap().remove(0)
    }
}

fn asked<'a>(fields: &'a HeaderMap, query: Option<&'a str>, now_ms: u64) -> Asked<'a, HeaderMap> {
    let viewer = IpAddr::from([192, 0, 2, 7]);
    Asked { method: "GET", host: "shop.example", path: "/film.mp4", query, fields, tls: true, viewer, now_ms }
}

fn good(verifier: &Verifier, rule: &JwtRule, fields: &HeaderMap, now_ms: u64) -> bool {
    matches!(verifier.verify_now(rule, &asked(fields, None, now_ms)), Now::Done(Ok(_)))
}

fn tokens(c: &mut Criterion) {
    let rule = JwtRule { issuer: 0, scopes: vec!["orders/read".into()], groups: vec!["admins".into()] };
    for alg in ["RS256", "ES256"] {
        let signer = Signer::new(alg);
        let verifier = signer.verifier();
        let tokens: Vec<String> = (0..FRESH).map(|n| signer.token(n)).collect();
        let sent: Vec<HeaderMap> = tokens
            .iter()
            .map(|token| {
                HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())])
            })
            .collect();
        assert!(good(&verifier, &rule, &sent[0], NOW_MS));
        c.bench_function(&format!("token/{alg}/seen, {} bytes", tokens[0].len()), |b| {
            b.iter(|| assert!(good(&verifier, &rule, black_box(&sent[0]), NOW_MS)));
        });
        // A clock that goes on makes every look-up a miss: what was seen counts for a minute.
        let (mut at, mut n) = (NOW_MS, 0);
        let verifier = signer.verifier();
        let mut fresh = || {
            n = (n + 1) % FRESH;
            at = if n == 0 { NOW_MS + (at - NOW_MS + 61_000) % 3_000_000 } else { at };
            assert!(good(&verifier, &rule, black_box(&sent[n]), at));
        };
        c.bench_function(&format!("token/{alg}/fresh"), |b| b.iter(&mut fresh));
        raw(c, &signer, &tokens, &mut fresh);
    }
}

/// The signatures of the same tokens alone: with a parsed key, and with one that is read each time. All of them, as one signature again
/// and again is what a processor's predictions learn. Last, what a `fresh` token costs as a multiple of its signature: the median of
/// turns by turns, which a busy machine slows alike.
fn raw(c: &mut Criterion, signer: &Signer, tokens: &[String], fresh: &mut impl FnMut()) {
    let parts = tokens.iter().map(|token| token.rsplit_once('.').unwrap());
    let parts = parts.map(|(signed, signature)| (signed.as_bytes(), URL_SAFE_NO_PAD.decode(signature).unwrap()));
    let parts: Vec<(&[u8], Vec<u8>)> = parts.collect();
    let next = |n: &mut usize| {
        *n = (*n + 1) % FRESH;
        let (signed, signature) = &parts[*n];
        (black_box(*signed), black_box(signature.as_slice()))
    };
    let (algorithm, key, unparsed) = match &signer.rsa {
        Some(pair) => {
            let der = pair.public_key().as_ref().to_vec();
            let pem =
                format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", STANDARD.encode(&der));
            (Algorithm::Rs256, Key::pem(&pem).unwrap(), UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der))
        }
        None => {
            let point = signer.ec.public_key().as_ref().to_vec();
            (Algorithm::Es256, Key::P256(point.clone()), UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point))
        }
    };
    let prepared = Prepared::new(algorithm, Form::Fixed, &key).unwrap();
    c.bench_function(&format!("signature/{}/prepared key", signer.alg), |b| {
        let mut n = 0;
        b.iter(|| {
            let (signed, signature) = next(&mut n);
            assert!(prepared.verify(signed, signature));
        });
    });
    c.bench_function(&format!("signature/{}/key read each time", signer.alg), |b| {
        let mut n = 0;
        b.iter(|| {
            let (signed, signature) = next(&mut n);
            assert!(unparsed.verify(signed, signature).is_ok());
        });
    });
    let (mut n, mut m) = (0, 0);
    let mut published = || {
        let (signed, signature) = next(&mut n);
        assert!(unparsed.verify(signed, signature).is_ok());
    };
    let mut with_prepared = || {
        let (signed, signature) = next(&mut m);
        assert!(prepared.verify(signed, signature));
    };
    for (what, alone) in [
        ("the key as it is published", &mut published as &mut dyn FnMut()),
        ("a prepared key", &mut with_prepared as &mut dyn FnMut()),
    ] {
        let mut ratios: Vec<f64> = (0..TURNS).map(|_| timed(fresh) / timed(alone)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        println!("token/{}/fresh: {:.2} × its signature with {what}", signer.alg, ratios[TURNS / 2]);
    }
}

/// Seconds of one turn.
fn timed(work: &mut (impl FnMut() + ?Sized)) -> f64 {
    let began = Instant::now();
    (0..FRESH / 4).for_each(|_| work());
    began.elapsed().as_secs_f64()
}

fn urls(c: &mut Criterion) {
    let fields = HeaderMap::new();
    let expires = NOW_MS / 1000 + 60;
    let policy = format!(
        r#"{{"Statement":[{{"Resource":"https://shop.example/*","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}},"IpAddress":{{"AWS:SourceIp":"192.0.2.0/24"}}}}}}]}}"#
    );
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let pem =
        |label: &str, der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
    // RFC 5480 §2: the head of a P-256 SubjectPublicKeyInfo.
    let head = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
    let spki = [head.as_slice(), &ec.public_key().as_ref()[1..]].concat();
    let keys = vec![
        ("RSA".to_owned(), pem("RSA PUBLIC KEY", rsa.public_key().as_ref())),
        ("EC".to_owned(), pem("PUBLIC KEY", &spki)),
    ];
    let group = Group::new(&KeyGroup { name: "g".into(), keys }).unwrap();
    let sign = |id: &str, data: &[u8]| match id {
        "RSA" => {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature).unwrap();
            signature
        }
        _ => ec.sign(&SystemRandom::new(), data).unwrap().as_ref().to_vec(),
    };
    for id in ["RSA", "EC"] {
        let simple = sign(id, canned("https://shop.example/film.mp4?q=1", expires).as_bytes());
        let custom = sign(id, policy.as_bytes());
        for (name, terms, signature) in [
            ("canned", format!("Expires={expires}"), simple),
            ("custom", format!("Policy={}", encode(policy.as_bytes())), custom),
        ] {
            let query = format!("q=1&{terms}&Signature={}&Key-Pair-Id={id}&Hash-Algorithm=SHA256", encode(&signature));
            c.bench_function(&format!("signed url/{id}/{name}"), |b| {
                b.iter(|| assert!(group.verify(&asked(&fields, Some(black_box(&query)), NOW_MS)).is_ok()));
            });
            if name == "canned" && id == "RSA" {
                c.bench_function("signed url/query stripped", |b| b.iter(|| strip_query(black_box(&query)).len()));
                c.bench_function("signed url/query without any", |b| {
                    b.iter(|| strip_query(black_box("a=1&b=2")).len())
                });
            }
        }
    }
}

criterion_group!(benches, tokens, urls);
criterion_main!(benches);
