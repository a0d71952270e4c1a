//! Samples that are AWS's own kind of file, unmodified.

use rimward::config::compiled::{Grants, KvGrant};

use crate::bench::Bench;
use crate::check;
use crate::exchange::{get, with_config};

#[tokio::test]
async fn geo_redirect_in_python() {
    let from = |about, country: &str, target: &str| get(about, target).with("cloudfront-viewer-country", country);
    let to = |place| ["answer 302", place, "cache-control: max-age=300"];
    let cases = vec![
        from("a country with a site", "DE", "/a%20b?x=1").gives(&to("location: https://shop.example/de/a%20b?x=1")),
        from("a country with another's", "BE", "/").gives(&to("location: https://shop.example/fr/")),
        from("a country without", "US", "/").gives(&[]),
        from("who is there already", "DE", "/de/a").gives(&[]),
        get("nobody knows where", "/").gives(&[]),
    ];
    let grants = with_config(&[("SITE", "https://shop.example")]);
    check("geo-redirect-python", "origin-request", grants, cases).await;
}

#[tokio::test]
async fn security_headers_in_javascript() {
    let page = [
        "remove x-powered-by",
        "set strict-transport-security: max-age=63072000; includeSubDomains; preload",
        "set x-content-type-options: nosniff",
        "set content-security-policy: default-src 'self'; object-src 'none'",
        "set referrer-policy: strict-origin-when-cross-origin",
        "set x-page: 8a5edab28263",
    ];
    let image = [page[1], page[2], page[5]];
    let cases = vec![
        get("a page", "/")
            .answered("content-type", "text/html; charset=utf-8")
            .answered("x-powered-by", "something")
            .gives(&page),
        get("an image", "/").answered("content-type", "image/png").gives(&image),
    ];
    check("security-headers-lambda/index.js", "origin-response", Grants::default(), cases).await;
}

#[tokio::test]
async fn pretty_urls_as_a_cloudfront_function() {
    let cases = vec![
        get("a directory", "/docs/").gives(&["uri /docs/index.html"]),
        get("a page without its slash", "/docs?a=1&b=").gives(&["answer 301", "location: /docs/?a=1&b="]),
        get("a file", "/docs/a.css").gives(&[]),
    ];
    check("pretty-urls-cloudfront/index.js", "viewer-request", Grants::default(), cases).await;
}

#[tokio::test]
async fn redirects_of_a_key_value_store() {
    let cases = vec![
        get("on the list", "/old").gives(&["answer 308", "location: /new"]),
        get("on the list, elsewhere", "/blog/1").gives(&["answer 308", "location: https://blog.example/first"]),
        get("not on the list", "/new").gives(&[]),
    ];
    let grants = Grants { kv: vec![KvGrant { store: "redirects".to_owned(), write: false }], ..Grants::default() };
    check("redirects-kvs/index.js", "viewer-request", grants, cases).await;
}

#[tokio::test]
async fn ab_split_in_typescript() {
    const DAYS: &str = "Path=/; Max-Age=2592000; Secure; SameSite=Lax";
    let cases = vec![
        get("who saw a", "/x").with("cookie", "z=1; version=a").gives(&["uri /a/x"]),
        get("who saw b", "/x").with("cookie", "version=b").gives(&["uri /b/x"]),
    ];
    check("ab-split", "viewer-request", Grants::default(), cases).await;

    let cookie = |version| format!("set set-cookie: version={version}; {DAYS}");
    let cases = vec![
        get("who has it", "/b/x").with("cookie", "version=b").gives(&[]),
        get("who is new", "/b/x").gives(&[&cookie("b")]),
        get("who has another", "/a/x").with("cookie", "version=b").gives(&[&cookie("a")]),
        get("who is given two", "/a/x")
            .answered("set-cookie", "s=1")
            .gives(&[&cookie("a").replacen("set", "append", 1)]),
    ];
    check("ab-split", "viewer-response", Grants::default(), cases).await;
}

/// Chance is not frozen with the snapshot: both versions come, in fresh instances and in one that is reused.
#[tokio::test]
async fn ab_split_leaves_it_to_chance() {
    let bench = Bench::all("ab-split", &Grants::default()).pop().unwrap();
    let mut seen = [0; 2];
    for _ in 0..64 {
        let lines = bench.call("viewer-request", &get("new", "/x")).await;
        match lines.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["uri /a/x"] => seen[0] += 1,
            ["uri /b/x"] => seen[1] += 1,
            ref other => panic!("{other:?}"),
        }
    }
    assert!(seen.iter().all(|&times| times > 8), "{seen:?}");
}
