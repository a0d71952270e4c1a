//! Signed URLs and cookies against other signers: botocore's and the JavaScript SDK's. What they sign our rule accepts; what
//! `rimward sign` signs is theirs to the byte where a signature has one form only (RSA).
//!
//! Fetches botocore and the SDK into target/tmp the first time.
#![allow(clippy::unwrap_used)]

mod tools;

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use rimward::access::Asked;
use rimward::access::signed::{Group, strip_query};
use rimward::config::compiled::KeyGroup;
use serde::{Deserialize, Serialize};

/// 2100-01-01T00:00:00Z, in seconds since the epoch: nothing that has ended already is signed.
const NOW: u64 = 4_102_444_800;

#[derive(Serialize)]
struct Case {
    url: &'static str,
    expires: u64,
    after: Option<u64>,
    ip: Option<&'static str>,
    hash: &'static str,
}

#[derive(Deserialize)]
struct Signed {
    url: String,
    cookies: std::collections::BTreeMap<String, serde_json::Value>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for hash in ["sha1", "sha256"] {
        for url in ["https://shop.example/film.mp4", "http://shop.example:8080/a/b?c=d&e=f%20g"] {
            for (after, ip) in [
                (None, None),
                (Some(NOW - 60), None),
                (None, Some("192.0.2.0/24")),
                (Some(NOW - 60), Some("192.0.2.7")),
            ] {
                cases.push(Case { url, expires: NOW + 3600, after, ip, hash });
            }
        }
    }
    cases
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Writes a private key; gives the group with its public half.
fn key(kind: &str, path: &Path) -> Group {
    let (private, public) = if kind == "RSA" {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        (pem("PRIVATE KEY", private.as_ref()), pem("RSA PUBLIC KEY", pair.public_key().as_ref()))
    } else {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        (pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()), pem("PUBLIC KEY", public.as_ref()))
    };
    std::fs::write(path, private).unwrap();
    Group::new(&KeyGroup { name: "g".into(), keys: vec![("K2".into(), public)] }).unwrap()
}

fn rimward(case: &Case, key: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rimward"));
    command.args(["sign", "url", case.url, "--key-pair-id", "K2", "--hash", case.hash]).arg("--key").arg(key);
    command.args(["--at", &case.expires.to_string()]);
    if let Some(after) = case.after {
        command.args(["--not-before", &after.to_string()]);
    }
    if let Some(ip) = case.ip {
        command.args(["--ip", ip]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn accepted(group: &Group, url: &str, cookies: Option<&str>) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, rest) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let mut fields = HeaderMap::new();
    if let Some(cookies) = cookies {
        fields.insert(http::header::COOKIE, cookies.parse().unwrap());
    }
    let viewer = IpAddr::from([192, 0, 2, 7]);
    let asked =
        Asked { method: "GET", host, path, query, fields: &fields, tls: scheme == "https", viewer, now_ms: NOW * 1000 };
    group.verify(&asked).is_ok()
}

/// The URL with each of its parts altered that a signature covers, or is.
fn altered(url: &str) -> Vec<String> {
    let (resource, query) = url.split_once('?').unwrap();
    let pairs: Vec<&str> = query.split('&').collect();
    let mut all = vec![format!("{resource}x?{query}"), url.replace("://", "://other.")];
    for (at, pair) in pairs.iter().enumerate() {
        let (name, value) = pair.split_once('=').unwrap();
        // The first character: the last one of base64 may hold bits that say nothing.
        let other = if value.starts_with('1') { "2" } else { "1" };
        let mut changed = pairs.clone();
        let altered = format!("{name}={other}{}", &value[1..]);
        changed[at] = &altered;
        all.push(format!("{resource}?{}", changed.join("&")));
        changed.remove(at);
        all.push(format!("{resource}?{}", changed.join("&")));
    }
    all
}

/// The parameters of a signature, in any order.
fn parts(url: &str) -> Vec<&str> {
    let (_, query) = url.split_once('?').unwrap();
    let mut parts: Vec<&str> = query.split('&').filter(|pair| strip_query(pair).is_empty()).collect();
    parts.sort_unstable();
    parts
}

#[test]
fn botocore() {
    let python = tools::python();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private.pem");
    for kind in ["RSA", "P-256"] {
        let group = key(kind, &path);
        let input = serde_json::json!({ "key": path, "cases": cases() });
        let signed: Vec<String> = tools::ask(Command::new(&python).arg(tools::script("botocore_sign.py")), &input);
        for (case, theirs) in cases().iter().zip(&signed) {
            let ours = rimward(case, &path);
            assert!(accepted(&group, theirs, None), "{kind} {theirs}");
            assert!(accepted(&group, &ours, None), "{kind} {ours}");
            for altered in altered(theirs) {
                assert!(!accepted(&group, &altered, None), "{kind} {altered}");
            }
            if kind == "RSA" {
                assert_eq!(&ours, theirs);
            }
        }
    }
}

#[test]
fn javascript_sdk() {
    let modules = tools::modules();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private.pem");
    for kind in ["RSA", "P-256"] {
        let group = key(kind, &path);
        let input = serde_json::json!({ "key": path, "modules": modules, "cases": cases() });
        let signed: Vec<Signed> = tools::ask(Command::new("node").arg(tools::script("sdk_sign.mjs")), &input);
        for (case, theirs) in cases().iter().zip(&signed) {
            assert!(accepted(&group, &theirs.url, None), "{kind} {}", theirs.url);
            let cookies: Vec<String> = theirs
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"')))
                .collect();
            assert!(accepted(&group, case.url, Some(&cookies.join("; "))), "{kind} {cookies:?}");
            // The SDK writes a custom policy's conditions in another order.
            if kind == "RSA" && (case.after.is_none() || case.ip.is_none()) {
                assert_eq!(parts(&rimward(case, &path)), parts(&theirs.url));
            }
        }
    }
}
