//! The cases of aws-jwt-verify's tests, by what they are about; where we differ it is said.

use std::time::Duration;

use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::*;
use crate::config::compiled::{JwksSource, JwtAlgorithm, TokenFrom};

const NOW_MS: u64 = 1_767_225_600_000;
const NOW: u64 = NOW_MS / 1000;

fn issuer() -> Issuer {
    Issuer {
        name: "customers".into(),
        issuer: "https://issuer.example/pool".into(),
        jwks: JwksSource::Url("http://127.0.0.1:1/".into()),
        audiences: vec!["web".into(), "app".into()],
        token_use: None,
        algorithms: vec![JwtAlgorithm::Rs256],
        groups_claim: "cognito:groups".into(),
        principal_claim: "sub".into(),
        leeway: Duration::from_secs(10),
        from: vec![TokenFrom::Header(AUTHORIZATION)],
        refresh: Duration::from_secs(3600),
        keep: Duration::from_secs(86_400),
        timeout: Duration::from_secs(1),
    }
}

/// A good token's claims with some changed; `null` removes one.
fn claims(changes: Value) -> String {
    let mut claims = json!({"iss": "https://issuer.example/pool", "sub": "u", "aud": "web", "exp": NOW + 60});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims.to_string()
}

fn outcome(issuer: &Issuer, rule: &JwtRule, changes: Value) -> Option<Reason> {
    let flat = claims(changes);
    let read = flat.replacen('{', r#"{"\u0078\u0078":{},"#, 1);
    let [one, other] = [flat, read].map(|text| {
        let claims = Claims::parse(text.into()).unwrap();
        check(issuer, rule, &claims, NOW_MS).err().map(|denied| denied.reason)
    });
    assert_eq!(one, other);
    one
}

const INVALID: Option<Reason> = Some(Reason::TokenInvalid);
const SCOPE: Option<Reason> = Some(Reason::TokenScope);

#[test]
fn issuer_times_and_audience() {
    let rule = JwtRule { issuer: 0, scopes: vec![], groups: vec![] };
    for (name, changes, want) in [
        ("good", json!({}), None),
        ("no iss", json!({"iss": null}), INVALID),
        ("iss with a slash more", json!({"iss": "https://issuer.example/pool/"}), INVALID),
        ("iss in a list", json!({"iss": ["https://issuer.example/pool"]}), INVALID),
        // aws-jwt-verify accepts a token without `exp`; we do not.
        ("no exp", json!({"exp": null}), INVALID),
        ("exp is text", json!({"exp": (NOW + 60).to_string()}), INVALID),
        ("exp is true", json!({"exp": true}), INVALID),
        ("expired", json!({"exp": NOW - 60}), INVALID),
        ("expired within the leeway", json!({"exp": NOW - 9}), None),
        ("expired by the leeway", json!({"exp": NOW - 10}), INVALID),
        ("exp with a fraction", json!({"exp": NOW as f64 + 0.5}), None),
        ("exp is huge", json!({"exp": 1e300}), None),
        ("exp is negative", json!({"exp": -1}), INVALID),
        ("nbf has come", json!({"nbf": NOW}), None),
        ("nbf within the leeway", json!({"nbf": NOW + 10}), None),
        ("nbf later", json!({"nbf": NOW + 11}), INVALID),
        ("nbf is text", json!({"nbf": "0"}), INVALID),
        ("iat later", json!({"iat": NOW + 11}), INVALID),
        ("iat within the leeway", json!({"iat": NOW + 10}), None),
        ("iat is text", json!({"iat": "0"}), INVALID),
        ("second audience", json!({"aud": "app"}), None),
        ("other audience", json!({"aud": "tv"}), INVALID),
        ("one of several", json!({"aud": ["tv", "app"]}), None),
        ("none of several", json!({"aud": ["tv"]}), INVALID),
        ("empty list", json!({"aud": []}), INVALID),
        ("audience is a number", json!({"aud": 1}), INVALID),
        ("client_id without aud", json!({"aud": null, "client_id": "web"}), None),
        ("other client_id", json!({"aud": null, "client_id": "tv"}), INVALID),
        ("client_id beside another aud", json!({"aud": "tv", "client_id": "web"}), INVALID),
        ("client_id beside an empty list", json!({"aud": [], "client_id": "web"}), INVALID),
        ("neither", json!({"aud": null}), INVALID),
    ] {
        assert_eq!(outcome(&issuer(), &rule, changes), want, "{name}");
    }
    let any = Issuer { audiences: vec![], ..issuer() };
    assert_eq!(outcome(&any, &rule, json!({"aud": null})), None);
    let strict = Issuer { leeway: Duration::ZERO, ..issuer() };
    assert_eq!(outcome(&strict, &rule, json!({"exp": NOW})), INVALID);
    assert_eq!(outcome(&strict, &rule, json!({"exp": NOW + 1})), None);
}

#[test]
fn token_use() {
    let rule = JwtRule { issuer: 0, scopes: vec![], groups: vec![] };
    for (wanted, sent, want) in [
        (TokenUse::Id, json!("id"), None),
        (TokenUse::Id, json!("access"), INVALID),
        (TokenUse::Access, json!("access"), None),
        (TokenUse::Access, json!("id"), INVALID),
        (TokenUse::Access, json!(null), INVALID),
        (TokenUse::Access, json!(["access"]), INVALID),
    ] {
        let issuer = Issuer { token_use: Some(wanted), ..issuer() };
        assert_eq!(outcome(&issuer, &rule, json!({"token_use": sent})), want, "{wanted:?} {sent}");
    }
}

#[test]
fn scopes_and_groups_are_any_of() {
    let scoped = JwtRule { issuer: 0, scopes: vec!["read".into(), "write".into()], groups: vec![] };
    let grouped = JwtRule { issuer: 0, scopes: vec![], groups: vec!["admins".into()] };
    let both = JwtRule { groups: grouped.groups.clone(), ..scoped.clone() };
    for (name, rule, changes, want) in [
        ("no scope", &scoped, json!({}), SCOPE),
        ("one", &scoped, json!({"scope": "read"}), None),
        ("one of several", &scoped, json!({"scope": "a write b"}), None),
        ("part of a word", &scoped, json!({"scope": "readonly"}), SCOPE),
        ("other case", &scoped, json!({"scope": "READ"}), SCOPE),
        ("spaces", &scoped, json!({"scope": "  read  "}), None),
        ("scp", &scoped, json!({"scp": ["x", "read"]}), None),
        ("scp as text", &scoped, json!({"scp": "x read"}), None),
        ("scp beside scope", &scoped, json!({"scope": "x", "scp": ["write"]}), None),
        ("a list with spaces", &scoped, json!({"scp": ["x read"]}), SCOPE),
        ("a number", &scoped, json!({"scope": 1}), SCOPE),
        ("group", &grouped, json!({"cognito:groups": ["users", "admins"]}), None),
        ("other groups", &grouped, json!({"cognito:groups": ["users"]}), SCOPE),
        ("no groups", &grouped, json!({}), SCOPE),
        ("groups are no list", &grouped, json!({"cognito:groups": "admins"}), SCOPE),
        ("both", &both, json!({"scope": "read", "cognito:groups": ["admins"]}), None),
        ("scope alone", &both, json!({"scope": "read"}), SCOPE),
        ("group alone", &both, json!({"cognito:groups": ["admins"]}), SCOPE),
        ("expired and without scope", &scoped, json!({"exp": NOW - 60}), INVALID),
    ] {
        assert_eq!(outcome(&issuer(), rule, changes), want, "{name}");
    }
}
