//! Samples that need nothing from the host but their message and config.

use rimward::config::compiled::Grants;

use crate::check;
use crate::exchange::{get, with_config};

#[tokio::test]
async fn pretty_urls() {
    let cases = vec![
        get("a directory", "/docs/").gives(&["uri /docs/index.html"]),
        get("a page without its slash", "/docs").gives(&["uri /docs/index.html"]),
        get("the root", "/").gives(&["uri /index.html"]),
        get("a file", "/logo.svg").gives(&[]),
        get("a dot in a directory", "/v1.2/docs?a=b").gives(&["uri /v1.2/docs/index.html"]),
        get("a longer path than the one before", &format!("/{}", "a".repeat(70_000 / 10)))
            .gives(&[&format!("uri /{}/index.html", "a".repeat(7_000))]),
    ];
    check("pretty-urls", "viewer-request", Grants::default(), cases).await;
}

#[tokio::test]
async fn security_headers() {
    let want = [
        "set strict-transport-security: max-age=63072000; includeSubDomains; preload",
        "set x-content-type-options: nosniff",
        "set x-frame-options: SAMEORIGIN",
        "set referrer-policy: strict-origin-when-cross-origin",
        "set content-security-policy: default-src 'self'; object-src 'none'; upgrade-insecure-requests",
    ];
    let cases = vec![get("any response", "/").answered("x-frame-options", "DENY").gives(&want)];
    check("security-headers", "viewer-response", Grants::default(), cases).await;
}

#[tokio::test]
async fn image_format() {
    let cases = vec![
        get("AVIF first", "/img/cat.jpg").with("accept", "image/webp,image/avif,*/*").gives(&["uri /img/cat.avif"]),
        get("WebP where there is no AVIF", "/img/cat.jpeg")
            .with("accept", "text/html, Image/WebP;q=0.8")
            .gives(&["uri /img/cat.webp"]),
        get("a format that is refused", "/img/cat.png")
            .with("accept", "image/avif;q=0.0,image/webp;q=0.05")
            .gives(&["uri /img/cat.webp"]),
        get("a wildcard says nothing", "/img/cat.png").with("accept", "image/*,*/*;q=0.8").gives(&[]),
        get("no Accept", "/img/cat.png").gives(&[]),
        get("no image", "/img/cat.html").with("accept", "image/avif").gives(&[]),
    ];
    check("image-format", "viewer-request", Grants::default(), cases).await;

    let cases = vec![
        get("an image", "/img/cat.avif").answered("content-type", "image/avif").gives(&["append vary: Accept"]),
        get("a page", "/").answered("content-type", "text/html").gives(&[]),
    ];
    check("image-format", "viewer-response", Grants::default(), cases).await;
}

#[tokio::test]
async fn bot_rule() {
    const SAFARI: &str = "Mozilla/5.0 (Macintosh) Safari/605.1.15";
    let denied = [
        "answer 403",
        "content-type: text/plain",
        "cache-control: no-store",
        "body Automated requests are not served here.\n",
    ];
    let grants = with_config(&[("allow", "Googlebot,bingbot"), ("deny", "curl,,python-requests")]);
    let cases = vec![
        get("a browser", "/").with("user-agent", SAFARI).with("accept-language", "de").gives(&["set x-bot: no"]),
        get("says it is a browser", "/").with("user-agent", SAFARI).gives(&denied),
        get("a program on the list", "/").with("user-agent", "CURL/8.1").gives(&denied),
        get("a program not on the list", "/").with("user-agent", "Feedly/1.0").gives(&["set x-bot: yes"]),
        get("no name at all", "/").gives(&denied),
        get("no name, for robots.txt", "/robots.txt").gives(&["set x-bot: yes"]),
        get("a search engine", "/")
            .with("user-agent", "Mozilla/5.0 (compatible; googlebot/2.1)")
            .gives(&["set x-bot: yes"]),
    ];
    check("bot-rule", "viewer-request", grants, cases).await;
}

#[tokio::test]
async fn canary() {
    let canary = ["origin next", "set x-canary: 1"];
    let cases = vec![
        get("who asks for it", "/").with("cookie", "a=b; canary=always").gives(&canary),
        get("who does not want it", "/").with("cookie", "canary=never").asked_from([192, 0, 2, 6]).gives(&[]),
        get("an address in the share", "/").asked_from([192, 0, 2, 6]).gives(&canary),
        get("an address outside", "/").asked_from([192, 0, 2, 7]).gives(&[]),
    ];
    check("canary", "origin-request", with_config(&[("origin", "next"), ("percent", "20")]), cases).await;

    let cases = vec![get("nothing is configured", "/").gives(&["execution: ConfigHasNoOrigin"])];
    check("canary", "origin-request", Grants::default(), cases).await;

    let cases = vec![get("nobody", "/").gives(&[])];
    check("canary", "origin-request", with_config(&[("origin", "next"), ("percent", "0")]), cases).await;
}

#[tokio::test]
async fn device() {
    let cases: Vec<_> = [
        ("a desktop", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140", "", "desktop", ""),
        ("a phone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148", "", "mobile", "ios"),
        ("an Android phone", "Mozilla/5.0 (Linux; Android 15) Chrome/140 Mobile Safari/537", "", "mobile", "android"),
        ("an Android tablet", "Mozilla/5.0 (Linux; Android 15) Chrome/140 Safari/537", "?0", "tablet", "android"),
        ("a hint against the name", "Mozilla/5.0 (Linux; Android 15) Chrome/140", "?1", "mobile", "android"),
        ("an iPad", "Mozilla/5.0 (iPad; CPU OS 18_0) Mobile/15E148", "", "tablet", "ios"),
        ("a television", "Mozilla/5.0 (SMART-TV; Tizen 8.0)", "", "tv", ""),
    ]
    .into_iter()
    .map(|(about, agent, hint, device, system)| {
        let case = get(about, "/").with("user-agent", agent).with("x-device", "forged");
        let case = if hint.is_empty() { case } else { case.with("sec-ch-ua-mobile", hint) };
        case.gives(&[&format!("set x-device: {device}"), &format!("set x-os: {system}")])
    })
    .collect();
    check("device", "viewer-request", Grants::default(), cases).await;
}
