//! Keys from a server: fetched once, anew, not at all, too late.

use super::stub::{Mood, Stub, set};
use super::*;

/// Until an answer that was sent is read, or broken off.
const SOON: Duration = Duration::from_millis(300);
/// Until a fetch in the background reaches the server, however busy the machine is.
const AT_LAST: Duration = Duration::from_secs(10);

struct Case {
    registry: Registry,
    issuer: Issuer,
    stub: Stub,
}

impl Case {
    async fn new(mood: Mood) -> Self {
        let stub = Stub::new(mood).await;
        let issuer = issuer(JwksSource::Url(stub.url.clone()));
        Case { registry: registry(), issuer, stub }
    }

    fn verifier(&self) -> Arc<Verifier> {
        self.registry.issuers(std::slice::from_ref(&self.issuer)).unwrap().remove(0)
    }
}

impl Case {
    async fn asked(&self, count: usize) {
        let reached = async {
            while self.stub.count() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(AT_LAST, reached).await.unwrap();
        tokio::time::sleep(SOON).await;
        assert_eq!(self.stub.count(), count);
    }
}

async fn verify(verifier: &Verifier, token: &str, now_ms: u64) -> Option<Reason> {
    reason(verifier.verify(&ANY, &asked(&bearer(token), now_ms)).await)
}

/// The registry's own clock is the system's: these tests' times have to be near it.
fn clock() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn claims(now_ms: u64) -> Value {
    let mut claims = good();
    claims["exp"] = json!(now_ms / 1000 + 1_000_000);
    claims
}

#[tokio::test]
async fn a_hundred_at_once_are_one_fetch() {
    let mint = Mint::new("P-256", "k");
    let case = Case::new(Mood::Slow(Duration::from_millis(100), set(&[mint.jwk()]))).await;
    let (verifier, now_ms) = (case.verifier(), clock());
    let token = mint.token("ES256", &claims(now_ms));
    let all = (0..100).map(|_| verify(&verifier, &token, now_ms));
    assert!(futures::future::join_all(all).await.iter().all(Option::is_none));
    assert_eq!(case.stub.count(), 1);
    // Now nothing waits.
    assert!(now(&verifier, &ANY, &token, now_ms).is_ok());
    // A reload keeps the keys.
    let again = case.verifier();
    assert!(now(&again, &ANY, &token, now_ms).is_ok());
    assert_eq!(case.stub.count(), 1);
}

#[tokio::test]
async fn whoever_waits_may_go_away() {
    let mint = Mint::new("P-256", "k");
    let case = Case::new(Mood::Slow(Duration::from_millis(100), set(&[mint.jwk()]))).await;
    let (verifier, now_ms) = (case.verifier(), clock());
    let token = mint.token("ES256", &claims(now_ms));
    let given_up = tokio::time::timeout(Duration::from_millis(10), verify(&verifier, &token, now_ms)).await;
    assert!(given_up.is_err());
    assert_eq!(verify(&verifier, &token, now_ms).await, None);
    assert_eq!(case.stub.count(), 1);
}

#[tokio::test]
async fn rotation() {
    let (old, new) = (Mint::new("P-256", "old"), Mint::new("P-256", "new"));
    let case = Case::new(Mood::Serve(set(&[old.jwk()]))).await;
    let (verifier, now_ms) = (case.verifier(), clock());
    let (old_token, new_token) = (old.token("ES256", &claims(now_ms)), new.token("ES256", &claims(now_ms)));
    assert_eq!(verify(&verifier, &old_token, now_ms).await, None);
    case.stub.becomes(Mood::Serve(set(&[new.jwk()])));
    assert_eq!(verify(&verifier, &new_token, now_ms).await, None, "noticed by its kid");
    assert_eq!(case.stub.count(), 2);
    // Its key is gone, and so is what was remembered of it.
    assert_eq!(verify(&verifier, &old_token, now_ms).await, Some(Reason::TokenInvalid));
    assert_eq!(case.stub.count(), 2);
}

#[tokio::test]
async fn a_storm_of_unknown_kids() {
    let mint = Mint::new("P-256", "k");
    let case = Case::new(Mood::Serve(set(&[mint.jwk()]))).await;
    let (verifier, now_ms) = (case.verifier(), clock());
    assert_eq!(verify(&verifier, &mint.token("ES256", &claims(now_ms)), now_ms).await, None);
    let storm = |at: u64| {
        let (verifier, mint) = (verifier.clone(), &mint);
        async move {
            for n in 0..1000 {
                let header = json!({"alg": "ES256", "kid": format!("{at}-{n}")});
                let token = mint.with_header(&header, &claims(at));
                assert_eq!(verify(&verifier, &token, at).await, Some(Reason::TokenInvalid));
            }
        }
    };
    storm(now_ms).await;
    assert_eq!(case.stub.count(), 2, "the first of them leads to a fetch");
    storm(now_ms + 9_999).await;
    assert_eq!(case.stub.count(), 2);
    storm(now_ms + 10_000).await;
    assert_eq!(case.stub.count(), 3, "ten seconds later the next");
    // The same kid again does not, while it is remembered.
    let known = mint.with_header(&json!({"alg": "ES256", "kid": format!("{}-0", now_ms + 10_000)}), &claims(now_ms));
    assert_eq!(verify(&verifier, &known, now_ms + 20_000).await, Some(Reason::TokenInvalid));
    // Neither does a token that is of no use whatever its key.
    for change in [json!({"iss": "https://other.example"}), json!({"exp": 1}), json!({"aud": "tv"})] {
        let mut claims = claims(now_ms);
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let token = mint.with_header(&json!({"alg": "ES256", "kid": "x"}), &claims);
        assert_eq!(verify(&verifier, &token, now_ms + 20_000).await, Some(Reason::TokenInvalid));
    }
    assert_eq!(case.stub.count(), 3);
}

/// A fetch that failed does not say that there is no such key.
#[tokio::test]
async fn a_kid_is_not_unknown_because_a_fetch_failed() {
    let (old, new) = (Mint::new("P-256", "old"), Mint::new("P-256", "new"));
    let case = Case::new(Mood::Serve(set(&[old.jwk()]))).await;
    let (verifier, now_ms) = (case.verifier(), clock());
    let (old_token, new_token) = (old.token("ES256", &claims(now_ms)), new.token("ES256", &claims(now_ms)));
    assert_eq!(verify(&verifier, &old_token, now_ms).await, None);
    case.stub.becomes(Mood::Status(500));
    assert_eq!(verify(&verifier, &new_token, now_ms + 10).await, Some(Reason::TokenInvalid));
    assert_eq!(case.stub.count(), 2);
    case.stub.becomes(Mood::Serve(set(&[old.jwk(), new.jwk()])));
    assert_eq!(verify(&verifier, &new_token, now_ms + 60_000).await, None);
}

/// The proxy's way: the request is judged anew after the wait, a little later. Whoever names the same key again starts no fetch.
#[tokio::test]
async fn a_kid_that_the_fetched_set_has_not_is_not_fetched_for_again() {
    let (old, made_up) = (Mint::new("P-256", "old"), Mint::new("P-256", "made-up"));
    let case = Case::new(Mood::Serve(set(&[old.jwk()]))).await;
    let (verifier, now_ms) = (case.verifier(), clock());
    let token = bearer(&made_up.token("ES256", &claims(now_ms)));
    assert_eq!(verify(&verifier, &old.token("ES256", &claims(now_ms)), now_ms).await, None);
    let Now::Wait(fetch) = verifier.verify_now(&ANY, &asked(&token, now_ms + 10)) else { panic!("a fetch may help") };
    let since_ms = fetch.since_ms();
    fetch.done().await;
    assert!(verifier.verify_after(&ANY, &asked(&token, now_ms + 60), since_ms).is_err());
    assert_eq!(case.stub.count(), 2);
    assert!(matches!(verifier.verify_now(&ANY, &asked(&token, now_ms + 20_000)), Now::Done(Err(_))));
}

#[tokio::test]
async fn the_last_good_keys_serve_until_they_are_too_old() {
    let mint = Mint::new("P-256", "k");
    let case = Case::new(Mood::Serve(set(&[mint.jwk()]))).await;
    let (verifier, start) = (case.verifier(), clock());
    let token = mint.token("ES256", &claims(start));
    assert_eq!(verify(&verifier, &token, start).await, None);
    for mood in [
        Mood::Status(500),
        Mood::Status(302),
        Mood::BreakOff,
        Mood::Endless,
        Mood::Serve("{".into()),
        Mood::Serve(set(&[])),
        Mood::Serve(" ".repeat(SET_MAX + 1)),
    ] {
        case.stub.becomes(mood);
        // Each time later than the longest pause after a failure.
        let at = start + 3_600_000 + 60_000 * case.stub.count() as u64;
        let before = case.stub.count();
        assert!(now(&verifier, &ANY, &token, at).is_ok(), "old keys do not make anybody wait");
        // But are fetched anew.
        case.asked(before + 1).await;
        assert!(now(&verifier, &ANY, &token, at).is_ok(), "and serve when that fails");
        assert_eq!(case.stub.count(), before + 1, "which is not tried again at once");
    }
    assert_eq!(verify(&verifier, &token, start + 86_500_000).await, Some(Reason::TokenKeys), "a day later");
    case.stub.becomes(Mood::Serve(set(&[mint.jwk()])));
    assert_eq!(verify(&verifier, &token, start + 86_600_000).await, None);
}

#[tokio::test]
async fn no_keys_at_all() {
    let mint = Mint::new("P-256", "k");
    let now_ms = clock();
    let token = mint.token("ES256", &claims(now_ms));
    for mood in [Mood::Status(404), Mood::Slow(Duration::from_secs(30), set(&[mint.jwk()])), Mood::Endless] {
        let mut case = Case::new(mood).await;
        case.issuer.timeout = Duration::from_millis(200);
        let verifier = case.verifier();
        assert_eq!(verify(&verifier, &token, now_ms).await, Some(Reason::TokenKeys));
        // Everybody else is told at once.
        assert_eq!(reason(now(&verifier, &ANY, &token, now_ms)), Some(Reason::TokenKeys));
        assert_eq!(reason(now(&verifier, &ANY, "a.b.c", now_ms)), Some(Reason::TokenInvalid));
        assert_eq!(case.stub.count(), 1);
        case.stub.becomes(Mood::Serve(set(&[mint.jwk()])));
        assert_eq!(verify(&verifier, &token, now_ms + 2_000).await, None);
    }
    let mut gone = issuer(JwksSource::Url("http://127.0.0.1:1/".into()));
    gone.timeout = Duration::from_millis(200);
    let verifier = registry().issuers(&[gone]).unwrap().remove(0);
    assert_eq!(verify(&verifier, &token, now_ms).await, Some(Reason::TokenKeys));
}

#[tokio::test]
async fn keys_are_there_before_anybody_asks() {
    let mint = Mint::new("P-256", "k");
    let case = Case::new(Mood::Serve(set(&[mint.jwk()]))).await;
    // Without a runtime nothing is fetched; `run` makes up for it.
    let issuer = case.issuer.clone();
    let registry = super::registry();
    let (registry, verifier) = std::thread::spawn(move || {
        let verifier = registry.issuers(&[issuer]).unwrap().remove(0);
        (registry, verifier)
    })
    .join()
    .unwrap();
    assert_eq!(case.stub.count(), 0);
    let running = tokio::spawn(async move { registry.run().await });
    case.asked(1).await;
    let now_ms = clock();
    assert!(now(&verifier, &ANY, &mint.token("ES256", &claims(now_ms)), now_ms).is_ok());
    running.abort();
}
