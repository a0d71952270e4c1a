//! Tests of what authorizers are asked and what their answers mean, by the examples of API Gateway's developer guide.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::config::compiled::{Asks, TokenPattern};

fn spec(kind: AuthorizerKind, identity: Vec<IdentitySource>) -> Authorizer {
    Authorizer {
        name: "a".into(),
        asks: Asks::Function { id: 0, cpu: Duration::from_millis(10), timeout: Duration::from_secs(1) },
        kind,
        identity,
        validate: None,
        ttl: Duration::from_secs(60),
        entries: 10,
        resource: "arn:aws:execute-api:us-east-1:000000000000:api/$stage/$method/$path".into(),
    }
}

fn header(name: &'static str) -> IdentitySource {
    IdentitySource::Header(HeaderName::from_static(name))
}

fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn asked<'a>(path: &'a str, query: Option<&'a str>, fields: &'a HeaderMap) -> Asked<'a, HeaderMap> {
    let viewer = IpAddr::from([192, 0, 2, 1]);
    Asked { method: "GET", host: "api.example:8080", path, query, fields, tls: true, viewer, now_ms: 1_700_000_000_000 }
}

const ABOUT: About<'_> = About { request_id: "id", stage: "prod", protocol: "HTTP/1.1", api: "api" };

fn event(memo: &Memo, asked: &Asked<'_, HeaderMap>, lines: &[(&str, &str)]) -> Value {
    let lines: Vec<(String, String)> =
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let question = memo.question(asked, "prod").unwrap();
    serde_json::from_str(&memo.event(asked, &question, &ABOUT, &lines)).unwrap()
}

#[test]
fn events_are_api_gateways() {
    let fields = fields(&[("authorization", "allow"), ("cookie", "a=1; b=2"), ("user-agent", "curl")]);
    let asked = asked("/pets/1", Some("x=1&x=2&y=a%2Bb+c"), &fields);
    let lines = [("Authorization", "allow"), ("X-Many", "1"), ("X-Many", "2"), ("Cookie", "a=1; b=2")];
    let arn = "arn:aws:execute-api:us-east-1:000000000000:api/prod/GET/pets/1";

    let token = event(&Memo::new(&spec(AuthorizerKind::Token, vec![header("authorization")])), &asked, &lines);
    assert_eq!(token, json!({"type": "TOKEN", "authorizationToken": "allow", "methodArn": arn}));

    let one = event(&Memo::new(&spec(AuthorizerKind::Request1, vec![header("authorization")])), &asked, &lines);
    assert_eq!((&one["type"], &one["methodArn"], &one["httpMethod"]), (&json!("REQUEST"), &json!(arn), &json!("GET")));
    assert_eq!(one["queryStringParameters"], json!({"x": "2", "y": "a+b c"}), "the last value, decoded");
    assert_eq!(one["multiValueQueryStringParameters"], json!({"x": ["1", "2"], "y": ["a+b c"]}));
    assert_eq!(one["multiValueHeaders"]["X-Many"], json!(["1", "2"]), "names as they came");
    assert_eq!((&one["pathParameters"], &one["stageVariables"]), (&Value::Null, &Value::Null));
    assert_eq!(one["requestContext"]["identity"], json!({"sourceIp": "192.0.2.1", "userAgent": "curl"}));
    assert_eq!(one["requestContext"]["domainName"], "api.example");

    let two = event(&Memo::new(&spec(AuthorizerKind::Request2, vec![header("authorization")])), &asked, &lines);
    assert_eq!((&two["version"], &two["routeArn"], &two["rawPath"]), (&json!("2.0"), &json!(arn), &json!("/pets/1")));
    assert_eq!(two["headers"], json!({"authorization": "allow", "x-many": "1,2"}), "lower case, joined, no cookies");
    assert_eq!((&two["cookies"], &two["identitySource"]), (&json!(["a=1", "b=2"]), &json!(["allow"])));
    assert_eq!(two["queryStringParameters"], json!({"x": "1,2", "y": "a+b c"}));
}

#[test]
fn a_missing_source_is_not_asked_about() {
    let sources = vec![header("x-a"), IdentitySource::Query("q".into()), IdentitySource::Cookie("c".into())];
    let memo = Memo::new(&spec(AuthorizerKind::Request1, sources));
    let whole = [("x-a", "1"), ("cookie", "c=3")];
    assert!(memo.question(&asked("/", Some("q=2"), &fields(&whole)), "prod").is_ok());
    for (query, list) in
        [(Some("q=2"), &whole[1..]), (Some("q="), &whole[..]), (None, &whole[..]), (Some("q=2"), &whole[..1])]
    {
        let denied = memo.question(&asked("/", query, &fields(list)), "prod").unwrap_err();
        assert_eq!(denied.reason, Reason::AuthorizerUnauthorized, "{query:?} {list:?}");
    }
    // The function may be shown another one of two than its answer is kept under.
    for (query, cookie) in [("q=2&q=3", "c=3"), ("q=2&%71=3", "c=3"), ("q=2", "c=3; b=1; c=4")] {
        let denied =
            memo.question(&asked("/", Some(query), &fields(&[("x-a", "1"), ("cookie", cookie)])), "prod").unwrap_err();
        assert_eq!(denied.reason, Reason::AuthorizerUnauthorized, "{query} {cookie}");
    }
    // A credential is no list; other fields may be.
    let twice = |name| fields(&[(name, "allow"), (name, "deny")]);
    for (kind, name, lets) in [
        (AuthorizerKind::Token, "x-token", false),
        (AuthorizerKind::Request1, "authorization", false),
        (AuthorizerKind::Request2, "authorization", false),
        (AuthorizerKind::Request1, "x-forwarded-for", true),
    ] {
        let memo = Memo::new(&spec(kind, vec![header(name)]));
        assert_eq!(memo.question(&asked("/", None, &twice(name)), "prod").is_ok(), lets, "{kind:?} {name}");
    }
    // Values that run together elsewhere are apart here.
    let memo = Memo::new(&spec(AuthorizerKind::Request1, vec![header("x-a"), header("x-b")]));
    let digest = |a, b| memo.question(&asked("/", None, &fields(&[("x-a", a), ("x-b", b)])), "prod").unwrap().digest();
    assert_ne!(digest("12", "3"), digest("1", "23"));
}

/// A function is shown stage and host, and may decide by them; a token authorizer is shown no host.
#[test]
fn an_answer_is_for_one_stage_and_host() {
    let fields = fields(&[("authorization", "t")]);
    for kind in [AuthorizerKind::Token, AuthorizerKind::Request1, AuthorizerKind::Request2] {
        let memo = Memo::new(&spec(kind, vec![header("authorization")]));
        let question = |host, stage| memo.question(&Asked { host, ..asked("/", None, &fields) }, stage).unwrap();
        let dev = question("a.example", "dev");
        memo.keep(&dev, &Arc::new(memo.understand(Ok(ALLOW))));
        assert!(memo.recall(&question("A.Example", "dev")).is_some(), "{kind:?}");
        assert!(memo.recall(&question("a.example", "prod")).is_none(), "{kind:?}");
        let other = memo.recall(&question("b.example", "dev")).is_some();
        assert_eq!(other, kind == AuthorizerKind::Token, "{kind:?}");
        // Who it is does not depend on them.
        assert_eq!(dev.digest(), question("b.example", "prod").digest());
        assert_ne!(dev.resource, question("a.example", "prod").resource);
    }
}

const ALLOW: &str = r#"{"principalId": "user", "policyDocument": {"Version": "2012-10-17", "Statement":
    [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "arn:aws:execute-api:*:*:api/prod/GET/pets/*"},
     {"Action": "*", "Effect": "Deny", "Resource": "*/pets/secret"}]}, "context": {"n": 1, "s": "x", "b": true}}"#;

#[test]
fn answers() {
    let memo = Memo::new(&spec(AuthorizerKind::Token, vec![header("authorization")]));
    let fields = fields(&[("authorization", "t")]);
    let judge = |said: Result<&str, &str>, path: &str| {
        let asked = asked(path, None, &fields);
        let question = memo.question(&asked, "prod").unwrap();
        memo.judge(&asked, &question, &memo.understand(said)).map_err(|denied| denied.reason)
    };
    let (principal, usage) = judge(Ok(ALLOW), "/pets/1").unwrap();
    assert_eq!((&*principal.id, &*principal.issuer, usage), ("user", "a", None));
    assert_eq!(principal.claims.all()["n"], 1);
    for (said, path, want) in [
        (Ok(ALLOW), "/owners/1", Reason::AuthorizerNotAllowed),
        (Ok(ALLOW), "/pets/secret", Reason::AuthorizerDenies),
        (Ok(ALLOW), "/pets/%73ecret", Reason::AuthorizerDenies),
        (Err("Unauthorized"), "/pets/1", Reason::AuthorizerUnauthorized),
        (Err("Error: Unauthorized"), "/pets/1", Reason::AuthorizerUnauthorized),
        (Err("Error: other"), "/pets/1", Reason::AuthorizerFailed),
        (Ok("null"), "/pets/1", Reason::AuthorizerFailed),
        (Ok("{}"), "/pets/1", Reason::AuthorizerFailed),
        (Ok(r#"{"principalId": "u"}"#), "/pets/1", Reason::AuthorizerFailed),
        (Ok(r#"{"principalId": "u", "policyDocument": {"Statement": "x"}}"#), "/pets/1", Reason::AuthorizerFailed),
        (Ok(r#"{"isAuthorized": true}"#), "/pets/1", Reason::AuthorizerFailed),
    ] {
        assert_eq!(judge(said, path).unwrap_err(), want, "{said:?} {path}");
    }
    // As many functions answer: what they were shown is allowed.
    let shown = ALLOW.replace("pets/*", "items/a%20b");
    assert!(judge(Ok(&shown), "/items/a%20b").is_ok());
    let nested = ALLOW.replace("\"n\": 1", "\"n\": {}");
    assert_eq!(judge(Ok(&nested), "/pets/1").unwrap_err(), Reason::AuthorizerFailed, "context of format 1.0 is flat");
    let usage = ALLOW.replace("\"principalId\"", "\"usageIdentifierKey\": \"key\", \"principalId\"");
    assert_eq!(judge(Ok(&usage), "/pets/1").unwrap().1.as_deref(), Some("key"));
}

#[test]
fn simple_answers_and_what_is_kept() {
    let memo = Memo::new(&spec(AuthorizerKind::Request2, vec![header("authorization")]));
    let fields = fields(&[("authorization", "t")]);
    let asked = asked("/pets/1", None, &fields);
    let question = memo.question(&asked, "prod").unwrap();
    let judge = |said| memo.judge(&asked, &question, &memo.understand(Ok(said))).map_err(|denied| denied.reason);
    let (named, _) = judge(r#"{"isAuthorized": true, "context": {"sub": "u", "any": {"x": []}}}"#).unwrap();
    assert_eq!(&*named.id, "u");
    let (unnamed, _) = judge(r#"{"isAuthorized": true}"#).unwrap();
    assert_eq!(unnamed.id.len(), 64, "named by what it was shown");
    assert_eq!(judge(r#"{"isAuthorized": false}"#).unwrap_err(), Reason::AuthorizerDenies);
    assert_eq!(judge(r#"{"isAuthorized": "yes"}"#).unwrap_err(), Reason::AuthorizerFailed);

    assert!(memo.recall(&question).is_none());
    memo.keep(&question, &Arc::new(Decision::Failed("broken".into())));
    assert!(memo.recall(&question).is_none(), "failures are not kept");
    memo.keep(&question, &Arc::new(memo.understand(Ok(ALLOW))));
    assert!(memo.recall(&question).is_some());
    let never = Memo::new(&Authorizer { ttl: Duration::ZERO, ..memo.spec.clone() });
    never.keep(&question, &Arc::new(Decision::Unauthorized));
    assert!(never.recall(&question).is_none());
}

fn questions(memo: &Memo, who: &[&'static str]) -> Vec<Question> {
    let fields: Vec<HeaderMap> = who.iter().map(|who| fields(&[("authorization", who)])).collect();
    fields.iter().map(|fields| memo.question(&asked("/", None, fields), "prod").unwrap()).collect()
}

/// Answers once `go` says so; counts how often it was asked.
async fn answer(count: &AtomicUsize, go: &Notify, said: Decision) -> Decision {
    count.fetch_add(1, Ordering::Relaxed);
    go.notified().await;
    said
}

#[tokio::test]
async fn the_same_is_asked_once_while_it_is_asked() {
    let memo = Memo::new(&spec(AuthorizerKind::Token, vec![header("authorization")]));
    let questions = questions(&memo, &["a", "a", "a", "b"]);
    let (count, go) = (AtomicUsize::new(0), Notify::new());
    let failed = || Decision::Failed("broken".into());
    let mut waiting: Vec<_> =
        questions.iter().map(|question| Box::pin(memo.once(question, || answer(&count, &go, failed())))).collect();
    for one in &mut waiting {
        assert!(poll_once(one).await.is_none());
    }
    assert_eq!((count.load(Ordering::Relaxed), memo.asked.lock().len()), (2, 2), "one for each identity");
    // Who asked first goes away: the next asks in its place, and nobody waits for ever.
    drop(waiting.remove(0));
    assert!(poll_once(&mut waiting[0]).await.is_none() && poll_once(&mut waiting[1]).await.is_none());
    assert_eq!(count.load(Ordering::Relaxed), 3);
    go.notify_waiters();
    for one in waiting {
        assert_eq!(*one.await, failed(), "a failure is for all who waited");
    }
    assert_eq!((count.load(Ordering::Relaxed), memo.asked.lock().len()), (3, 0), "and is asked about again");
    let allowed = memo.understand(Ok(ALLOW));
    for _ in 0..2 {
        let decision = memo.once(&questions[0], || async {
            count.fetch_add(1, Ordering::Relaxed);
            allowed.clone()
        });
        assert_eq!(*decision.await, allowed);
    }
    assert_eq!(count.load(Ordering::Relaxed), 4, "what is kept is not asked about");
    // All who wait go away: nothing of them stays.
    let mut given_up = Box::pin(memo.once(&questions[3], || answer(&count, &go, failed())));
    assert!(poll_once(&mut given_up).await.is_none());
    drop(given_up);
    assert!(memo.asked.lock().is_empty());
}

/// One poll.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn a_token_must_match_as_a_whole() {
    let validate = Some(TokenPattern::parse("Bearer [a-z]+|key").unwrap());
    let memo = Memo::new(&Authorizer { validate, ..spec(AuthorizerKind::Token, vec![header("authorization")]) });
    for (token, want) in [
        ("Bearer abc", true),
        ("key", true),
        ("Bearer a1", false),
        ("a key", false),
        ("keys", false),
        ("Bearer ", false),
    ] {
        let fields: HeaderMap = [(http::header::AUTHORIZATION, HeaderValue::from_static(token))].into_iter().collect();
        let asked = memo.question(&asked("/", None, &fields), "prod");
        assert_eq!(asked.is_ok(), want, "{token:?}");
        assert!(want || asked.unwrap_err().reason == Reason::AuthorizerUnauthorized);
    }
    assert!(TokenPattern::parse("a)|(b").is_err(), "it does not end the group that it is put into");
}

/// "Output from an API Gateway Lambda authorizer": 1,600 bytes; HTTP APIs are told no limit.
#[test]
fn a_rest_apis_method_arn_has_at_most_1600_bytes() {
    let fields = fields(&[("authorization", "t")]);
    let room = 1600 - "arn:aws:execute-api:us-east-1:000000000000:api/prod/GET/".len();
    for (kind, len, want) in [
        (AuthorizerKind::Token, room, None),
        (AuthorizerKind::Token, room + 1, Some(Reason::AuthorizerTooLong)),
        (AuthorizerKind::Request1, room, None),
        (AuthorizerKind::Request1, room + 1, Some(Reason::AuthorizerTooLong)),
        (AuthorizerKind::Request2, room + 1, None),
    ] {
        let path = format!("/{}", "p".repeat(len));
        let asked = asked(&path, None, &fields);
        let reason =
            Memo::new(&spec(kind, vec![header("authorization")])).question(&asked, "prod").err().map(|why| why.reason);
        assert_eq!(reason, want, "{kind:?} {len}");
    }
}

#[test]
fn without_sources_all_that_is_shown_keeps_principals_apart() {
    let memo = Memo::new(&Authorizer { ttl: Duration::ZERO, ..spec(AuthorizerKind::Request1, Vec::new()) });
    let apart = |path, query, list: &[(&'static str, &'static str)]| {
        memo.question(&asked(path, query, &fields(list)), "prod").unwrap().apart()
    };
    // Nor do the sources of one that is asked each time: it may decide by more.
    let each = Memo::new(&Authorizer { ttl: Duration::ZERO, ..spec(AuthorizerKind::Request1, vec![header("x-who")]) });
    let of = |cookie| {
        each.question(&asked("/", None, &fields(&[("x-who", "a"), ("cookie", cookie)])), "prod").unwrap().apart()
    };
    assert_ne!(of("c=1"), of("c=2"));
    let one = apart("/a", None, &[("x-who", "a"), ("cookie", "c=1")]);
    assert_eq!(one, apart("/b", None, &[("cookie", "c=1"), ("x-who", "a")]), "in any order, for any path");
    for (query, list) in [
        (None, [("x-who", "b"), ("cookie", "c=1")]),
        (None, [("x-who", "a"), ("cookie", "c=2")]),
        (Some("k=1"), [("x-who", "a"), ("cookie", "c=1")]),
    ] {
        assert_ne!(one, apart("/a", query, &list), "{query:?} {list:?}");
    }
    let named = Memo::new(&spec(AuthorizerKind::Request1, vec![header("x-who")]));
    let question =
        |cookie| named.question(&asked("/", None, &fields(&[("x-who", "a"), ("cookie", cookie)])), "prod").unwrap();
    assert_eq!(question("c=1").apart(), question("c=2").apart(), "the sources say who it is");
}
