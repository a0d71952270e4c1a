//! Tokens of servers that others wrote to stand in for Cognito: moto and cognito-local. A user signs up and in; both tokens are
//! verified with the keys that the server publishes.
//!
//! Fetches the servers into target/tmp the first time.
#![allow(clippy::unwrap_used)]

mod pop;
mod server;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use pop::Pop;
use rimward::access::jwt::{Now, Registry, Verifier};
use rimward::access::{Asked, Principal, Reason};
use rimward::config::compiled::{Issuer, JwksSource, JwtAlgorithm, JwtRule, TokenFrom, TokenUse};
use server::{Server, User};

const MINUTE_MS: u64 = 60_000;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn issuer(server: &Server, user: &User, iss: &str, token_use: TokenUse) -> Issuer {
    Issuer {
        name: "pool".into(),
        issuer: iss.into(),
        jwks: JwksSource::Url(format!("{}/{}/.well-known/jwks.json", server.url, user.pool)),
        audiences: vec![user.client.clone()],
        token_use: Some(token_use),
        algorithms: vec![JwtAlgorithm::Rs256],
        groups_claim: "cognito:groups".into(),
        principal_claim: "sub".into(),
        leeway: Duration::from_secs(5),
        from: vec![TokenFrom::Header(AUTHORIZATION)],
        refresh: Duration::from_secs(3600),
        keep: Duration::from_secs(86_400),
        timeout: Duration::from_secs(5),
    }
}

async fn verify(verifier: &Verifier, rule: &JwtRule, token: &str, now_ms: u64) -> Result<Principal, Reason> {
    let fields = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())]);
    let viewer = IpAddr::from([127, 0, 0, 1]);
    let asked = Asked { method: "GET", host: "h", path: "/", query: None, fields: &fields, tls: true, viewer, now_ms };
    let outcome = verifier.verify(rule, &asked).await;
    // By now the keys are there: nobody waits again.
    assert!(matches!(verifier.verify_now(rule, &asked), Now::Done(_)));
    outcome.map_err(|denied| denied.reason)
}

async fn check(server: &Server, region: &str, iss: impl Fn(&str) -> String) {
    let user = server.sign_up(region);
    let iss = iss(&user.pool);
    let registry = Registry::new().unwrap();
    let issuers = [TokenUse::Id, TokenUse::Access].map(|token_use| issuer(server, &user, &iss, token_use));
    let verifiers: Vec<Arc<Verifier>> = registry.issuers(&issuers).unwrap();
    let [id, access] = verifiers.as_slice() else { panic!("two verifiers") };
    let any = JwtRule { issuer: 0, scopes: Vec::new(), groups: Vec::new() };
    let group = |name: &str| JwtRule { groups: vec![name.into()], ..any.clone() };
    let scope = |name: &str| JwtRule { scopes: vec![name.into()], ..any.clone() };
    let now = now_ms();

    let by_id = verify(id, &group("admins"), &user.id, now).await.unwrap();
    let by_access = verify(access, &group("admins"), &user.access, now).await.unwrap();
    assert_eq!(by_id.id, by_access.id, "the same user");
    assert_eq!((by_id.id.as_ref(), by_id.issuer.as_ref()), (by_id.claims.all()["sub"].as_str().unwrap(), "pool"));
    assert_eq!(by_id.claims.all()["aud"], user.client.as_str());
    assert_eq!(by_access.claims.all()["client_id"], user.client.as_str());

    let signed_in = "aws.cognito.signin.user.admin";
    assert!(verify(access, &scope(signed_in), &user.access, now).await.is_ok());
    for (name, verifier, rule, token, at, want) in [
        ("id for access", id, &any, &user.access, now, Reason::TokenInvalid),
        ("access for id", access, &any, &user.id, now, Reason::TokenInvalid),
        ("other group", id, &group("owners"), &user.id, now, Reason::TokenScope),
        ("other scope", access, &scope("orders/write"), &user.access, now, Reason::TokenScope),
        ("expired", id, &any, &user.id, now + 60 * 24 * MINUTE_MS + MINUTE_MS, Reason::TokenInvalid),
        ("altered", id, &any, &user.id.replacen('.', ".e", 1), now, Reason::TokenInvalid),
    ] {
        // A later moment is beyond the keys' time too; the claims are looked at first.
        assert_eq!(verify(verifier, rule, token, at).await.err(), Some(want), "{name}");
    }
    // The same through a PoP, over sockets.
    let pop = Pop::start(&iss, &format!("{}/{}/.well-known/jwks.json", server.url, user.pool), &user.client);
    for (name, path, token, want) in [
        ("id", "/id", Some(&user.id), 200),
        ("access", "/access", Some(&user.access), 200),
        ("access for id", "/id", Some(&user.access), 401),
        ("id for access", "/access", Some(&user.id), 401),
        ("other group", "/owners", Some(&user.id), 403),
        ("altered", "/id", Some(&user.id.replacen('.', ".e", 1)), 401),
        ("none", "/id", None, 401),
    ] {
        assert_eq!(pop.get(path, token.map(String::as_str)), want, "{name}, through a PoP");
    }
    // A user of another pool, and one whose client is not ours.
    let stranger = Issuer { issuer: format!("{iss}x"), ..issuers[0].clone() };
    let other_client = Issuer { audiences: vec!["other".into()], ..issuers[0].clone() };
    for verifier in registry.issuers(&[stranger, other_client]).unwrap() {
        assert_eq!(verify(&verifier, &any, &user.id, now).await.err(), Some(Reason::TokenInvalid));
    }
}

#[tokio::test]
async fn moto() {
    let server = Server::moto();
    // It signs as the real service would.
    check(&server, "us-east-1", |pool| format!("https://cognito-idp.us-east-1.amazonaws.com/{pool}")).await;
}

#[tokio::test]
async fn cognito_local() {
    let server = Server::cognito_local();
    check(&server, "local", |pool| format!("{}/{pool}", server.url)).await;
}
