//! Jwt: whatever is sent as a token, nobody is let in by it; what is taken apart is what was sent.
#![allow(clippy::unwrap_used)]

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use rimward::access::jwt::{Now, Parsed, Registry, TOKEN_MAX, Verifier};
use rimward::access::{Asked, Claims};
use rimward::config::compiled::{Issuer, JwksSource, JwtAlgorithm, JwtRule, TokenFrom};
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The key of RFC 8037 A.2: its private half is public, but no input signs with it.
const SET: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

static VERIFIER: LazyLock<Arc<Verifier>> = LazyLock::new(|| {
    let issuer = Issuer {
        name: "i".into(),
        issuer: "https://i".into(),
        jwks: JwksSource::Set(SET.into()),
        audiences: Vec::new(),
        token_use: None,
        algorithms: vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
        groups_claim: "groups".into(),
        principal_claim: "sub".into(),
        leeway: Duration::ZERO,
        from: vec![TokenFrom::Header(AUTHORIZATION), TokenFrom::Cookie("jwt".into()), TokenFrom::Query("t".into())],
        refresh: Duration::from_secs(60),
        keep: Duration::from_secs(60),
        timeout: Duration::from_secs(1),
    };
    Registry::new().unwrap().issuers(&[issuer]).unwrap().remove(0)
});

/// A reader that takes the last of two members reads the same, in whichever form they are kept.
fn one_meaning(text: Vec<u8>) {
    let Ok(claims) = Claims::parse(text.clone()) else { return };
    let all = serde_json::from_slice::<Map<String, Value>>(&text).unwrap();
    for (name, value) in &all {
        let claim = claims.get(name).unwrap();
        let words = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!((claim.as_str(), claim.words().into_owned()), (value.as_str(), words));
        assert_eq!(claim.as_f64(), value.as_f64());
        let list = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        assert!(claim.list().eq(list));
    }
    assert_eq!(**claims.all(), all);
}

pub fn run(data: &[u8]) {
    one_meaning(data.to_vec());
    let text = String::from_utf8_lossy(data);
    if let Ok(parsed) = Parsed::new(&text, None) {
        assert!(text.len() <= TOKEN_MAX && text.as_bytes().starts_with(parsed.signed));
        assert_eq!(parsed.signed.iter().filter(|byte| **byte == b'.').count(), 1);
        one_meaning(parsed.payload);
    }
    let mut fields = HeaderMap::new();
    for name in ["authorization", "cookie"] {
        if let Ok(value) = HeaderValue::from_bytes(data) {
            fields.insert(name, value);
        }
    }
    let rule = JwtRule { issuer: 0, scopes: vec!["s".into()], groups: Vec::new() };
    let asked = Asked {
        method: "GET",
        host: "h",
        path: "/",
        query: Some(&text),
        fields: &fields,
        tls: false,
        viewer: [127, 0, 0, 1].into(),
        now_ms: 0,
    };
    assert!(matches!(VERIFIER.verify_now(&rule, &asked), Now::Done(Err(_))));
}
