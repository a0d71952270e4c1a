//! Samples that use what the host grants: keys, secrets, places, other servers.

use rimward::config::compiled::Grants;
use rimward::config::secret::Secret;

use crate::check;
use crate::exchange::{Case, get};

/// A token of tests/samples/jwt/tokens.txt. They were signed for 2027-01-15, the time of every call here.
fn token(name: &str) -> &'static str {
    let lines = include_str!("jwt/tokens.txt").lines().filter_map(|line| line.split_once(' '));
    lines.into_iter().find(|(key, _)| *key == name).unwrap().1
}

#[tokio::test]
async fn jwt() {
    let grants = Grants {
        config: [
            ("key.r1", include_str!("jwt/rsa.pem")),
            ("key.e1", include_str!("jwt/ec.jwk")),
            ("issuer", "https://id.example"),
            ("audience", "shop"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        ..Grants::default()
    };
    let refused = |code: &str| -> Vec<String> {
        vec![
            "answer 401".to_owned(),
            format!("www-authenticate: Bearer error=\"{code}\""),
            "cache-control: no-store".to_owned(),
        ]
    };
    let mut cases: Vec<Case> = vec![
        get("RS256", "/").with("authorization", &format!("Bearer {}", token("rs256"))).gives(&["set x-user: alice"]),
        get("ES256, and a forged name", "/")
            .with("authorization", &format!("Bearer {}", token("es256")))
            .with("x-user", "root")
            .gives(&["remove x-user", "set x-user: alice"]),
    ];
    for about in ["expired", "early", "other_audience", "other_key", "no_expiry", "none", "unknown_kid", "confused"] {
        let mut case = get(about, "/").with("authorization", &format!("Bearer {}", token(about)));
        case.want = refused("invalid_token");
        cases.push(case);
    }
    for (about, authorization) in [("cut off", &token("es256")[..80]), ("no token", ""), ("dots", "..")] {
        let mut case = get(about, "/").with("authorization", &format!("Bearer {authorization}"));
        case.want = refused("invalid_token");
        cases.push(case);
    }
    let mut case = get("another scheme", "/").with("authorization", "Basic YTpi");
    case.want = refused("invalid_request");
    cases.push(case);
    check("jwt", "viewer-request", grants, cases).await;
}

#[tokio::test]
async fn signed_cookie() {
    const VALID: &str = "alice.1800000600.eaf6f5f4dce2abab07d40a23141dda407a7c2c72650c0acaebcf1af56553d86d";
    const OVER: &str = "alice.1799999999.d0a684b5c9ea0c938515c215d7cf6797487885b8ec7e223c64c9787475021850";
    let login = |next: &str| ["answer 302".to_owned(), format!("location: /login?next={next}"), NO_STORE.to_owned()];
    let away = |next: &str| {
        let mut lines = login(next).to_vec();
        lines.push("set-cookie: session=; Path=/; Max-Age=0; Secure; HttpOnly".to_owned());
        lines
    };
    let with = |about, cookie: &str| get(about, "/a").with("cookie", &format!("x=1; session={cookie}"));
    let mut cases = vec![
        with("a signed one", VALID).with("x-user", "root").gives(&["remove x-user", "set x-user: alice"]),
        get("the login page", "/login").gives(&[]),
        get("none", "/a/b"),
    ];
    cases[2].want = login("/a/b").into();
    for (about, cookie) in [
        ("over", OVER),
        ("somebody else's signature", &VALID.replace("alice", "root")[..]),
        ("a longer life", &VALID.replace("1800000600", "1900000600")),
        ("cut off", &VALID[..70]),
        ("no signature", "alice.1800000600"),
        ("no user", &VALID["alice".len()..]),
        ("nothing", "."),
    ] {
        let mut case = with(about, cookie);
        case.want = away("/a");
        cases.push(case);
    }
    let grants =
        || Grants { secrets: vec![("cookie-key".to_owned(), Secret::new(b"hunter2".to_vec()))], ..Grants::default() };
    check("signed-cookie", "viewer-request", grants(), cases).await;
}

const NO_STORE: &str = "cache-control: no-store";
