//! Samples that use what the host grants: keys, secrets, places, other servers.

use std::time::Duration;

use rimward::config::compiled::{FetchGrant, FetchHost, Grants};
use rimward::config::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::check;
use crate::exchange::{Case, get, with_config};

/// A token of tests/samples/jwt/tokens.txt. They were signed for 2027-01-15, the time of every call here.
fn token(name: &str) -> &'static str {
    let lines = include_str!("jwt/tokens.txt").lines().filter_map(|line| line.split_once(' '));
    lines.into_iter().find(|(key, _)| *key == name).unwrap().1
}

#[tokio::test]
async fn jwt() {
    let grants = with_config(&[
        ("key.r1", include_str!("jwt/rsa.pem")),
        ("key.e1", include_str!("jwt/ec.jwk")),
        ("issuer", "https://id.example"),
        ("audience", "shop"),
    ]);
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

/// 192.0.2.0/25 is in Germany, 192.0.2.128/25 in the United States: geo/test_database.py.
#[tokio::test]
async fn geo_redirect() {
    let to = |place| ["answer 302", place, NO_STORE];
    let mut grants = with_config(&[("sites", "de=/de at=/de fr=/fr")]);
    grants.geo = true;
    let cases = vec![
        get("a country with a site", "/a?x=1").gives(&to("location: /de/a?x=1")),
        get("a country without", "/a").asked_from([192, 0, 2, 200]).gives(&[]),
        get("nobody knows where", "/a").asked_from([203, 0, 113, 1]).gives(&[]),
        get("who is there already", "/fr/a").gives(&[]),
        get("a path that begins alike", "/frost").gives(&to("location: /de/frost")),
        get("who chose a site", "/a").with("cookie", "site=us").gives(&[]),
    ];
    check("geo-redirect", "viewer-request", grants, cases).await;
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

/// A server on this machine that answers every request with one page; gives its port.
async fn server(headers: &'static str, page: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let target = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap().to_owned();
            let page = page.replace("TARGET", &target);
            let length = page.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{page}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn html_rewrite() {
    const PAGE: &str = "<body><img src=\"http://a/b\">TARGET<script>'<img>'</script>";
    for (about, headers, want) in [
        (
            "a page",
            "content-type: text/html; charset=utf-8\r\netag: \"1\"\r\n",
            [
                "answer 200",
                "content-type: text/html; charset=utf-8",
                "body <body><b>News</b><img src=\"https://a/b\" loading=\"lazy\">/p/q?x=1<script>'<img>'</script>",
            ],
        ),
        (
            "no page",
            "content-type: text/plain\r\n",
            [
                "answer 200",
                "content-type: text/plain",
                "body <body><img src=\"http://a/b\">/p/q?x=1<script>'<img>'</script>",
            ],
        ),
    ] {
        let port = server(headers, PAGE).await;
        let origin = format!("http://127.0.0.1:{port}/");
        let mut grants = with_config(&[("origin", &origin), ("banner", "<b>News</b>")]);
        grants.fetch = Some(FetchGrant {
            allow: vec![FetchHost { pattern: "127.0.0.1".to_owned(), port: Some(port) }],
            private: vec!["127.0.0.0/8".parse().unwrap()],
            timeout: Duration::from_secs(5),
            requests: 1,
            body: 1 << 20,
        });
        check("html-rewrite", "origin-request", grants, vec![get(about, "/p/q?x=1").gives(&want)]).await;
    }
}
