//! What is signed here is what the rule accepts. `tests/signed` compares with other signers.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

/// 2026-01-01T00:00:00Z.
const NOW: Moment = Moment(1_767_225_600_000);

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The file of a private key, and the group with its public half.
fn keys(kind: &str) -> (tempfile::NamedTempFile, Group) {
    let (private, public) = if kind == "RSA" {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        (pem("PRIVATE KEY", private.as_ref()), pem("RSA PUBLIC KEY", pair.public_key().as_ref()))
    } else {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        (pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()), pem("PUBLIC KEY", public.as_ref()))
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), private).unwrap();
    (file, Group::new(&KeyGroup { name: "g".into(), keys: vec![("K2".into(), public)] }).unwrap())
}

fn run(line: &str, key: &tempfile::NamedTempFile) -> Result<String, SignFailed> {
    let line = format!("rimward sign {line} --key-pair-id K2 --key {}", key.path().display());
    let Command::Sign(sign) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("sign") };
    let mut out = Vec::new();
    sign.print(NOW, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn accepted(group: &Group, url: &str, cookies: Option<&str>, now_s: u64) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, rest) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let mut fields = HeaderMap::new();
    if let Some(cookies) = cookies {
        fields.insert(http::header::COOKIE, cookies.parse().unwrap());
    }
    let viewer = IpAddr::from([192, 0, 2, 7]);
    let asked = Asked {
        method: "GET",
        host,
        path,
        query,
        fields: &fields,
        tls: scheme == "https",
        viewer,
        now_ms: now_s * 1000,
    };
    group.verify(&asked).is_ok()
}

#[test]
fn urls_that_the_rule_accepts() {
    let start = NOW.0 / 1000;
    for kind in ["RSA", "P-256"] {
        let (key, group) = keys(kind);
        for hash in ["sha1", "sha256"] {
            for (options, from, until) in [
                ("", 0, 3600),
                ("--expires 90s", 0, 90),
                ("--at 2026-01-01T00:01:00Z", 0, 60),
                ("--at 1767225660", 0, 60),
                ("--not-before 1767225610", 11, 3600),
                ("--ip 192.0.2.0/24", 0, 3600),
                ("--ip 192.0.2.7", 0, 3600),
                ("--resource http*://h.example/*", 0, 3600),
            ] {
                for base in ["https://h.example/a", "http://h.example:8080/a?b=c&d"] {
                    if base.contains("8080") && options.contains("resource") {
                        continue;
                    }
                    let line = format!("url {base} --hash {hash} {options}");
                    let url = run(line.trim(), &key).unwrap();
                    let url = url.trim();
                    let good = |at| accepted(&group, url, None, start + at);
                    assert!(good(from) && good(until - 1), "{kind} {line}");
                    assert!(!good(until) && (from == 0 || !good(from - 1)), "{kind} {line}");
                    assert!(!accepted(&group, &url.replace("/a?", "/b?"), None, start) || options.contains("resource"));
                }
            }
            let elsewhere = run(&format!("url https://h.example/a --ip 198.51.100.1 --hash {hash}"), &key).unwrap();
            assert!(!accepted(&group, elsewhere.trim(), None, start), "{kind}");
        }
    }
}

#[test]
fn cookies_that_the_rule_accepts() {
    let (key, group) = keys("P-256");
    let start = NOW.0 / 1000;
    for (resource, good, bad) in [
        ("https://h.example/films/*", "https://h.example/films/a?b", "https://h.example/a"),
        ("https://h.example/a", "https://h.example/a", "https://h.example/a?b"),
    ] {
        let curl = run(&format!("cookie {resource} --curl --hash sha256"), &key).unwrap();
        let cookies = curl.trim().strip_prefix("-b").unwrap();
        assert!(accepted(&group, good, Some(cookies), start));
        assert!(!accepted(&group, bad, Some(cookies), start));
    }
    let lines = run("cookie https://h.example/a --domain example --path /films", &key).unwrap();
    let names: Vec<&str> = lines.lines().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(
        names,
        ["Set-Cookie: CloudFront-Expires", "Set-Cookie: CloudFront-Signature", "Set-Cookie: CloudFront-Key-Pair-Id"]
    );
    assert!(lines.lines().all(|line| line.ends_with("; Domain=example; Path=/films; Secure; HttpOnly")));
}

#[test]
fn what_would_never_count_is_not_signed() {
    for kind in ["RSA", "P-256"] {
        let (key, _) = keys(kind);
        for (options, says) in [
            ("--expires 0s", Some("--expires is less than a second")),
            ("--expires 999ms", Some("--expires is less than a second")),
            ("--expires 1s", None),
            ("--at 2025-12-31", Some("--at 2025-12-31T00:00:00")),
            ("--at 2026-01-01", Some("has passed")),
            ("--at 1767225601", None),
            ("--not-before 2026-01-02", Some("--not-before is no earlier than the end")),
            ("--not-before 1767225659 --expires 60s", Some("no earlier than the end")),
            ("--not-before 1767225658 --expires 60s", None),
            ("--resource https://h.example/b", Some("'https://h.example/b' does not cover https://h.example/a?b:")),
            ("--resource http://h.example/*", Some("does not cover")),
            ("--resource https://h.example/a", Some("does not cover")),
            ("--resource https://h.example/a*", None),
            ("--resource http*://*.example/* --ip 198.51.100.0/24 --not-before 2026-01-01T00:10:00Z", None),
            ("--resource * --hash sha256", None),
        ] {
            let got = run(&format!("url https://h.example/a?b {options}"), &key);
            match (got, says) {
                (Ok(_), None) => {}
                (Err(SignFailed::Usage(words)), Some(says)) => {
                    assert!(words.contains(says) && words.ends_with("would never count"), "{options}: {words}");
                }
                (got, _) => panic!("{kind} {options}: {got:?}"),
            }
        }
        let cookie = run("cookie https://h.example/* --expires 0s", &key);
        assert!(matches!(cookie, Err(SignFailed::Usage(_))), "{cookie:?}");
    }
}

#[test]
fn what_is_not_signed() {
    let (key, _) = keys("P-256");
    for line in [
        "url /a",
        "url ftp://h/a",
        "url https://h/a#b",
        "url https://h/a?Expires=1",
        "url https://h/ä",
        "cookie https://h/ä",
    ] {
        assert!(matches!(run(line, &key), Err(SignFailed::Usage(_))), "{line}");
    }
    for text in ["", "secret", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(PrivateKey::parse(text).err(), Some(KeyFailed::None), "{text}");
    }
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        assert_eq!(PrivateKey::parse(&pem(label, b"\x30\x03\x02\x01\x00")).err(), Some(KeyFailed::Unusable), "{label}");
    }
}
