//! URLs that another implementation signed (pyca/cryptography made vectors.json), and policies signed here.

mod terms;

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use super::*;

/// One minute before the vectors expire: 2026-01-01T00:00:00Z.
const NOW_MS: u64 = 1_767_225_600_000;
const VIEWER: &str = "192.0.2.7";

#[derive(Deserialize)]
struct Vectors {
    keys: BTreeMap<String, String>,
    urls: Vec<Url>,
}

#[derive(Deserialize)]
struct Url {
    key: String,
    base: String,
    url: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn group(pem: &str) -> Group {
    Group::new(&KeyGroup { name: "g".into(), keys: vec![("K1".into(), pem.into())] }).unwrap()
}

struct Sent<'a> {
    url: &'a str,
    cookies: &'a [&'a str],
    viewer: &'a str,
    now_ms: u64,
}

impl<'a> Sent<'a> {
    fn to(url: &'a str) -> Self {
        Sent { url, cookies: &[], viewer: VIEWER, now_ms: NOW_MS }
    }

    fn verdict(&self, group: &Group) -> Result<(), Reason> {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let (host, rest) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut fields = HeaderMap::new();
        for line in self.cookies {
            fields.append(http::header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        let asked = Asked {
            method: "GET",
            host,
            path,
            query,
            fields: &fields,
            tls: scheme == "https",
            viewer: self.viewer.parse::<IpAddr>().unwrap(),
            now_ms: self.now_ms,
        };
        group.verify(&asked).map_err(|denied| denied.reason)
    }
}

const INVALID: Result<(), Reason> = Err(Reason::SignedInvalid);

#[test]
fn urls_of_another_implementation() {
    let vectors = vectors();
    for one in &vectors.urls {
        let group = group(&vectors.keys[&one.key]);
        let name = &one.url;
        assert_eq!(Sent::to(&one.url).verdict(&group), Ok(()), "{name}");
        let expired = Sent { now_ms: NOW_MS + 60_000, ..Sent::to(&one.url) };
        assert_eq!(expired.verdict(&group), INVALID, "{name}: expired");
        let last = Sent { now_ms: NOW_MS + 59_999, ..Sent::to(&one.url) };
        assert_eq!(last.verdict(&group), Ok(()), "{name}: a moment before");
        for (what, from, to) in [
            ("other path", "/a.jpg", "/b.jpg"),
            ("other host", "shop.example", "shop.example.evil"),
            ("other scheme", "https://", "http://"),
            ("other expiry", "Expires=17", "Expires=27"),
            ("no expiry", "Expires=1767225660&", ""),
            ("expiry of another form", "Expires=", "Expires=0"),
            ("other key", "Key-Pair-Id=K1", "Key-Pair-Id=K2"),
            ("no signature", "&Signature=", "&Sig="),
            ("twice", "&Signature=", "&Signature=a&Signature="),
            ("other policy", "&Policy=eyJ", "&Policy=eyK"),
            ("SHA1 for SHA256", "&Hash-Algorithm=SHA256", ""),
            ("unknown hash", "Algorithm=SHA256", "Algorithm=SHA512"),
            ("one parameter more", "/a.jpg?", "/a.jpg?more&"),
        ] {
            let altered = one.url.replacen(from, to, 1);
            // A custom policy of the vectors is for all paths of both schemes.
            let custom =
                altered.contains("&Policy=") && matches!(what, "other path" | "other scheme" | "one parameter more");
            if altered != one.url && !custom {
                assert_eq!(Sent::to(&altered).verdict(&group), INVALID, "{name}: {what}");
            }
        }
        let unnamed = one.url.replacen("Key-Pair-Id=K1", "", 1);
        assert_eq!(Sent::to(&unnamed).verdict(&group), Err(Reason::SignedMissing), "{name}: no id");
        let (_, query) = one.url.split_once('?').unwrap();
        let base = one.base.split_once('?').map(|(_, query)| query);
        assert_eq!(stripped(Some(query)).as_deref(), base, "{name}");
    }
}

#[test]
fn keys_in_either_form_and_only_those_two_kinds() {
    let vectors = vectors();
    let one = vectors.urls.iter().find(|one| one.key == "rsa").unwrap();
    assert_eq!(Sent::to(&one.url).verdict(&group(&vectors.keys["rsa-pkcs1"])), Ok(()));
    for pem in [
        "",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
    ] {
        let error = Group::new(&KeyGroup { name: "g".into(), keys: vec![("K1".into(), pem.into())] }).unwrap_err();
        assert_eq!(error.id, "K1");
    }
}

#[test]
fn cookies() {
    let vectors = vectors();
    let one = vectors.urls.iter().find(|one| one.key == "rsa" && one.url.contains("Expires")).unwrap();
    let group = group(&vectors.keys["rsa"]);
    let (_, query) = one.url.split_once('?').unwrap();
    let parts: Vec<String> = query.split('&').map(|pair| format!("CloudFront-{pair}")).collect();
    let [expires, signature, id] = [parts[0].as_str(), parts[1].as_str(), parts[2].as_str()];
    let line = format!("a=1; {expires}; {signature}; {id}");
    let twice = format!("{line}; {id}");
    let bad = format!("{}?Expires=1&Signature=AAAA&Key-Pair-Id=K1", one.base);
    let half = format!("{}?Signature=AAAA", one.base);
    for (name, url, cookies, want) in [
        ("one line", one.base.as_str(), &[line.as_str()][..], Ok(())),
        ("a line each", &one.base, &[id, signature, expires], Ok(())),
        ("no cookies", &one.base, &[], Err(Reason::SignedMissing)),
        ("other cookies", &one.base, &["a=1; Expires=1; Signature=x; Key-Pair-Id=K1"], Err(Reason::SignedMissing)),
        ("no id", &one.base, &[expires, signature], Err(Reason::SignedMissing)),
        ("no signature", &one.base, &[expires, id], INVALID),
        ("twice", &one.base, &[twice.as_str()], INVALID),
        ("URL counts, cookies do not", &bad, &[line.as_str()], INVALID),
        ("half a URL is not completed", &half, &[line.as_str()], Err(Reason::SignedMissing)),
        ("good URL, bad cookies", &one.url, &[twice.as_str()], Ok(())),
    ] {
        assert_eq!(Sent { cookies, ..Sent::to(url) }.verdict(&group), want, "{name}");
    }
}

#[test]
fn what_is_stripped() {
    for (query, want) in [
        ("", ""),
        ("a=1", "a=1"),
        ("a=1&Expires=5&b&Signature=x&Key-Pair-Id=K", "a=1&b"),
        ("Policy=x&Signature=y&Key-Pair-Id=K&Hash-Algorithm=SHA256", ""),
        ("expires=5&SIGNATURE=x", "expires=5&SIGNATURE=x"),
        ("Expires", ""),
        ("Expires2=1&&", "Expires2=1&&"),
        ("&Policy=1&", "&"),
    ] {
        assert_eq!(strip_query(query), want, "{query}");
    }
    assert!(matches!(strip_query("a&b"), Cow::Borrowed(_)));
    assert_eq!((stripped(None), stripped(Some("")).as_deref(), stripped(Some("Policy=x"))), (None, Some(""), None));
}

#[test]
fn base64_of_cloudfront() {
    for data in [&b""[..], b"a", b"ab", b"abc", &[0xfb, 0xff, 0xfe, 0x3e]] {
        let text = encode(data);
        assert!(!text.contains(['+', '/', '=']), "{text}");
        assert_eq!(decode(&text, 100).as_deref(), Some(data));
        assert_eq!(decode(text.trim_end_matches('_'), 100).as_deref(), Some(data), "without padding");
    }
    for text in ["+", "YQ==", "Y/==", "Y Q_", "YQ___", "Y"] {
        assert_eq!(decode(text, 100), None, "{text}");
    }
    assert_eq!(decode("YWJj", 3), None);
}
