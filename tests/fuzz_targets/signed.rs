//! Signed: whatever is sent as signature, policy or cookies, nobody is let in by it; what is stripped is only ours.
#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue};
use rimward::access::Asked;
use rimward::access::signed::{Group, decode, encode, strip_query, stripped};
use rimward::config::compiled::KeyGroup;
use std::sync::LazyLock;

/// The key of RFC 7515 A.3, whose private half signs no input here.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
    6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
    -----END PUBLIC KEY-----\n";

static GROUP: LazyLock<Group> =
    LazyLock::new(|| Group::new(&KeyGroup { name: "g".into(), keys: vec![("K".into(), PEM.into())] }).unwrap());

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut fields = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(data) {
        fields.insert("cookie", value);
    }
    let (path, query) = text.split_once('?').map_or((&*text, None), |(path, query)| (path, Some(query)));
    let asked = Asked {
        method: "GET",
        host: "h",
        path,
        query,
        fields: &fields,
        tls: true,
        viewer: [127, 0, 0, 1].into(),
        now_ms: 0,
    };
    assert!(GROUP.verify(&asked).is_err());
    let kept = strip_query(&text);
    assert!(kept.len() <= text.len() && strip_query(&kept) == kept);
    assert!(kept.split('&').all(|pair| text.split('&').any(|sent| sent == pair) || kept.is_empty()));
    assert_eq!(stripped(Some(&text)).is_none(), kept.is_empty() && !text.is_empty());
    assert_eq!(decode(&encode(data), usize::MAX).as_deref(), Some(data));
    if let Some(decoded) = decode(&text, usize::MAX) {
        assert!(encode(&decoded).trim_end_matches('_') == text.trim_end_matches('_'));
    }
}
