//! Handlers: functions as people wrote them, on requests of a table.

use rimward::config::compiled::{Flavor, Mode};
use rimward::hooks::build::{Built, Source};

use crate::bench::{Bench, build, build_for, file, text};
use crate::exchange::{Case, get};

const GOOD: &str = "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6MTkwMDAwMDAwMH0.kDg6CBCu7f7vDiPclHrNdzNJ9kJYrnkgm8XpJJxUrUX0J0eH4x8PpJxM5jgziaSMBzfAy8aPIoBFS_MaEGB_TFVeVxR_CqkJ1rztYOwZcJStu9Asxj1z8OfPiGuZVuAMObKbW62Q19phTJTKJifQMzQ0wLRf688_qQCpporkfbols61oACKdDcDBUE5CfQvMhF5rnuIVABgfZjMc8-9oxSAd1LdUu-uDF39O-glrM05qcpdYNXMMimsxiyMTKRe3FOtcwWb9Xkl8g-iNtdoMKQEhT_ijaH9Qf0RQJL1OjtxGxiAHlA35NaJTlVqXzh159_y173QsIWqsqNhlzwQ0BA";
const OLD: &str = "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6MTcwMDAwMDAwMH0.X-BSYAY-A1-enIHfIFmtK8tfFEIO_NtV_UXwI6XN8Ii_erikx1C27rU2FXRAbgAxd-rdt1x2IZvDpIMiv2Vk-D_ILQMmkO2VBjFjKdDI03r3VLBPOOdYMuRTmpL3c9gdeCX6S_oFPzxn0iFKfQfW3Nljo8xziUp5Y_bXxL1p783nUQ5M2daxbd6G0OJ9s84ZYG6OmcssBTHy-fTAz0oUJUU8gpM0HFRhNuYs7_9aoKlOGPWZtlOzGI4ET_DSFijyyYI3NY_2QXR5XDOzsx9H1LFktJYy8Dqq5bV-s_Hdji6w8A92lmXsYSzS2gbIi-5g_OxpkzL7ypgicn7iwiYgUA";

/// Each case in a fresh instance, and again in one that served the others.
async fn check(name: &str, event: &str, cases: Vec<Case>) {
    let source = Source::Path(file(&format!("handlers/{name}")));
    for reuse in [1, 100] {
        let bench = Bench::of(&source, reuse);
        for case in &cases {
            let want: Vec<&str> = case.want.iter().map(String::as_str).collect();
            assert_eq!(bench.call(event, case).await, want, "{name}, reuse {reuse}: {}", case.about);
        }
    }
}

#[tokio::test]
async fn lambda_edge_callbacks() {
    check(
        "ab-test.js",
        "viewer-request",
        vec![
            get("sticky", "/").with("cookie", "a=b; X-Experiment=b").gives(&["uri /index-b.html"]),
            get("other path", "/x").gives(&[]),
        ],
    )
    .await;
    check(
        "bot.js",
        "viewer-request",
        vec![
            get("the first call counts", "/").with("user-agent", "GoogleBot").gives(&["answer 403", "body no bots"]),
            get("person", "/").asked_from([203, 0, 113, 9]).with("user-agent", "Firefox").gives(&[]),
        ],
    )
    .await;
}

#[tokio::test]
async fn lambda_edge_promises() {
    check(
        "redirects.js",
        "viewer-request",
        vec![
            get("relative", "/old/").gives(&["answer 301", "location: https://www.example.com/new?from=%2Fold%2F"]),
            get("absolute", "/docs").gives(&["answer 301", "location: https://docs.example.com/?from=%2Fdocs"]),
            get("query", "/x?a=1&utm_source=m&b=%20").gives(&["query a=1&b=%20"]),
        ],
    )
    .await;
    check(
        "security-headers.js",
        "viewer-response",
        vec![get("set and removed", "/").answered("x-powered-by", "php").answered("x-frame-options", "ALLOW").gives(
            &[
                "remove x-powered-by",
                "set x-frame-options: DENY",
                "set strict-transport-security: max-age=63072000; includeSubdomains; preload",
                "set x-content-type-options: nosniff",
            ],
        )],
    )
    .await;
    check(
        "origin-switch.js",
        "origin-request",
        vec![
            get("Europe", "/")
                .with("cloudfront-viewer-country", "DE")
                .with("host", "h")
                .gives(&["set host: eu.example.net", "origin of its own"]),
            get("elsewhere", "/").with("cloudfront-viewer-country", "US").with("host", "h").gives(&[]),
        ],
    )
    .await;
    let of_bucket = |mut case: Case| {
        case.origin = "images.s3.amazonaws.com";
        case
    };
    check(
        "s3-region.js",
        "origin-request",
        vec![
            of_bucket(get("near", "/").with("cloudfront-viewer-country", "DE").with("host", "h"))
                .gives(&["set host: images-in-eu-central-1.s3.eu-central-1.amazonaws.com", "origin of its own"]),
            of_bucket(get("far", "/").with("cloudfront-viewer-country", "US")).gives(&[]),
        ],
    )
    .await;
}

#[tokio::test]
async fn lambda_edge_modules() {
    check(
        "jwt.mjs",
        "viewer-request",
        vec![
            get("good", "/").with("authorization", GOOD).gives(&["remove authorization", "set x-user: alice"]),
            get("old", "/")
                .with("authorization", OLD)
                .gives(&["answer 401", "www-authenticate: Bearer error=\"expired\""]),
            get("forged", "/").with("authorization", &GOOD.replace("Bearer e", "Bearer ey")).gives(&[
                "execution: SyntaxError: Expected property name or '}' in JSON at position 1 (line 1 column 2)",
            ]),
            get("none", "/").gives(&["answer 401", "www-authenticate: Bearer error=\"missing\""]),
        ],
    )
    .await;
    check(
        "signed-cookie.js",
        "viewer-request",
        vec![
            get("good", "/")
                .with("cookie", "a=1; session=ann.kmYXWsDlaS23k8L_S3IGjCuh5BqeTT5qxQ99LM9ZRBs")
                .gives(&["set x-user: ann"]),
            get("bad", "/").with("cookie", "session=ann.x").gives(&["answer 403"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_top_level_that_reads_the_clock_gets_the_time_of_the_build() {
    let bench = Bench::of(&Source::Path(file("handlers/page.js")), 1);
    assert_eq!(bench.built.deferred, None);
    let year = &httpdate::fmt_http_date(std::time::SystemTime::now())[12..16];
    check("page.js", "viewer-request", vec![get("items", "/?item=a%20b&item=<x>").gives(&[
        "answer 200",
        "content-type: text/html; charset=utf-8",
        &format!("body <!doctype html>\n<title>2 items</title>\n<ul><li>a b</li><li>&#60;x&#62;</li></ul>\n<footer>© {year}</footer>"),
    ])]).await;
}

#[tokio::test]
async fn what_the_top_level_may_know_it_is_told_once() {
    let source = text(
        "f.js",
        "const key = process.env.SESSION_KEY, all = { ...process.env }, now = Date.now(), since = performance.now();
         exports.handler = async () => {
             const then = Date.now() > now && now % 86400000 === 0;
             return { status: '200', body: [key, all.SESSION_KEY, process.env.SESSION_KEY, process.env.AWS_LAMBDA_FUNCTION_NAME, then].join() };
         };",
    );
    let given = build_for(&source, &[("SESSION_KEY", "k")]);
    assert_eq!(given.deferred, None, "with its configuration it is evaluated once");
    let unknown = build(&source, Flavor::Auto, Mode::Extended).unwrap();
    assert_eq!(unknown.deferred.as_deref(), Some("process.env.SESSION_KEY"));
    // Where it was evaluated once, its clock is a day's beginning before the call; else the call's own.
    for (built, want) in [(given, "k,k,k,js,true"), (unknown, "k,k,k,js,false")] {
        let called = Bench::made(built).run("viewer-request", &get("", "/")).await;
        called.outcome.unwrap();
        assert_eq!(called.exchange.answer().unwrap().body, want);
    }
}

#[tokio::test]
async fn what_only_a_call_has_runs_the_top_level_at_the_first_one() {
    for (top, needs) in [
        ("const id = require('crypto').randomUUID();", "crypto.random"),
        ("const name = process.env.AWS_LAMBDA_FUNCTION_NAME;", "process.env.AWS_LAMBDA_FUNCTION_NAME"),
        ("const key = process.env.AWS_SECRET_ACCESS_KEY;", "process.env.AWS_SECRET_ACCESS_KEY"),
        ("const all = { ...process.env };", "process.env"),
    ] {
        let source = text("f.js", &format!("{top} exports.handler = async (e) => e.Records[0].cf.request;"));
        let built = build_for(&source, &[("AWS_SECRET_ACCESS_KEY", "s3cret")]);
        assert_eq!(built.deferred.as_deref(), Some(needs), "{top}");
        Bench::made(built).run("viewer-request", &get("", "/")).await.outcome.unwrap();
    }
}

#[test]
fn a_snapshot_has_what_was_read_and_no_credentials() {
    let source = text(
        "f.js",
        "const color = process.env.COLOR; exports.handler = async () => ({ status: '200', body: color });",
    );
    let holds = |built: &Built, text: &str| built.component.windows(text.len()).any(|at| at == text.as_bytes());
    let one = build_for(&source, &[("COLOR", "ultramarine"), ("AWS_SECRET_ACCESS_KEY", "s3cret-1")]);
    assert_eq!(one.deferred, None);
    assert!(holds(&one, "ultramarine") && !holds(&one, "s3cret-1"));
    let other = build_for(&source, &[("COLOR", "vermilion"), ("AWS_SECRET_ACCESS_KEY", "s3cret-2")]);
    assert!(holds(&other, "vermilion") && !holds(&other, "ultramarine"));
}

/// In runtime 1.0 bytes are strings, and keys and data where they come back.
#[tokio::test]
async fn runtime_1_has_byte_strings() {
    let source = text(
        "f.js",
        "var crypto = require('crypto'), top = String.bytesFrom([200, 201]);
         function mac(key, data) { return crypto.createHmac('sha256', key).update(data).digest(); }
         function md5(data) { return crypto.createHash('md5').update(data).digest('hex'); }
         function handler(event) {
             var bytes = crypto.createHash('sha256').update('a').digest();
             event.request.uri = '/' + [typeof bytes, bytes.length, md5(mac(mac('key', 'day'), 'region')), md5(top), md5('é')].join('/');
             return event.request;
         }",
    );
    // The sums are what Node gives for the same bytes.
    let bytes = "string/32/a6592b3fcaaab959f5f97877529b3702/337fa723cce95d6f7ccc24b646da3a91";
    let bench = Bench::flavored(&source, Flavor::CloudFront1, 8);
    for call in 0..3 {
        let lines = bench.call("viewer-request", &get("", "/")).await;
        assert_eq!(lines, [format!("uri /{bytes}/66ddcd97cfdeabb2f6fb8a999b4bc76f")], "{call}");
    }
}

#[tokio::test]
async fn a_store_of_async_hooks_ends_with_its_call() {
    let source = text(
        "f.js",
        "const storage = new (require('async_hooks').AsyncLocalStorage)();
         exports.handler = async () => {
             const before = storage.getStore();
             storage.enterWith('mine');
             await 0;
             return { status: '200', body: `${before} ${storage.getStore()}` };
         };",
    );
    let bench = Bench::of(&source, 8);
    for _ in 0..3 {
        let called = bench.run("viewer-request", &get("", "/")).await;
        called.outcome.unwrap();
        assert_eq!(called.exchange.answer().unwrap().body, "undefined mine");
    }
}

#[tokio::test]
async fn cloudfront_functions() {
    check(
        "cff-index.js",
        "viewer-request",
        vec![
            get("directory", "/a/").gives(&["uri /a/index.html"]),
            get("bare", "/a").gives(&["uri /a/index.html"]),
            get("file", "/a.css").gives(&[]),
        ],
    )
    .await;
    check("cff-query.js", "viewer-request", vec![get("sorted", "/?b=2&utm_x=1&a=X&a=1").gives(&["query a=1&a=x&b=2"])])
        .await;
    check(
        "cff-kvs.js",
        "viewer-request",
        vec![
            get("rule", "/blue/x").gives(&["uri /b/x", "set x-tag: 16477688", "origin of its own"]),
            get("none", "/red/x?q=1").gives(&["answer 404", "x-query: q=1"]),
        ],
    )
    .await;
    check(
        "cff-1.0.js",
        "viewer-request",
        vec![
            get(
                "token",
                "/?jwt=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.wEhskkarB9IwH3Yn9ea7-TzD-1ucZv9Wfab49OiiClo&a=1",
            )
            .gives(&["query a=1", "set x-sub: bob"]),
            get("no token", "/").gives(&["answer 401"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn cloudfront_functions_choose_origins() {
    for (call, want) in [
        ("cf.selectRequestOriginById('next')", "origin next"),
        ("cf.updateRequestOrigin({ domainName: 'x.example', originPath: '/p' })", "origin of its own"),
        (
            "cf.createRequestOriginGroup({ originIds: ['main', 'next'], failoverCriteria: { statusCodes: [503] } })",
            "origins main next",
        ),
        ("event.request.uri = '/' + cf.edgeLocation.name", "uri /FRA"),
    ] {
        let source =
            format!("import cf from 'cloudfront';\nfunction handler(event) {{ {call}; return event.request; }}");
        let lines = Bench::of(&text("f.js", &source), 1).call("viewer-request", &get("", "/")).await;
        assert_eq!(lines, [want], "{call}");
    }
}

#[tokio::test]
async fn a_directory_with_packages() {
    check(
        "bundle",
        "viewer-request",
        vec![
            get("late modules", "/x").with("cookie", "lang=DE-de").gives(&["uri /de/x"]),
            get("its own files", "/secret/1").gives(&["answer 451", "body <p>/secret/1 is not here</p>"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn errors_say_where() {
    let handler = "\nexports.handler = async () => {\n  const inner = () => {\n    throw new RangeError('far');\n  };\n  inner();\n};\n";
    for (source, want, stack) in [
        (handler, "RangeError: far", "at inner (f.js:4:15)\nat f.js:6:3"),
        ("exports.handler = (e, c, done) => done(new TypeError('no'));", "TypeError: no", "at f.js:1:44"),
        ("exports.handler = (e, c, done) => done('words');", "string: words", ""),
        ("exports.handler = () => { null.x; };", "TypeError: cannot read property 'x' of null", "f.js:1:"),
        // Reads of what is not there, the commonest fault: the place of the read, not of its function.
        (
            "exports.handler = async (event) => {\n  const { headers } = event.Records[0].cf.request;\n\n  return headers['x-none'][0].value;\n};",
            "TypeError: cannot read property '0' of undefined",
            "f.js:4:",
        ),
        (
            "exports.handler = async (event) => {\n  const none = event.none;\n  await 0;\n  return none.deep;\n};",
            "TypeError: cannot read property 'deep' of undefined",
            "f.js:4:",
        ),
        (
            "exports.handler = () => new Promise(() => {});",
            "Runtime.NeverSettles: the handler's promise never settles",
            "",
        ),
        (
            "exports.handler = async () => { Promise.reject(new Error('lost')); await new Promise((r) => setTimeout(r, 9)); };",
            "Error: lost",
            "f.js:1:",
        ),
        (
            "exports.handler = async () => require('zlib').gzipSync('x');",
            "Error: zlib.gzipSync is not in this engine",
            "",
        ),
        (
            "exports.handler = async () => require('node:sqlite');",
            "Error: Node's module 'sqlite' is not in this engine",
            "",
        ),
        (
            "exports.handler = async () => require('aws-sdk');",
            "Error: Cannot find module 'aws-sdk': the AWS SDK is not",
            "",
        ),
    ] {
        let bench = Bench::of(&text("f.js", source), 1);
        let called = bench.run("viewer-request", &get("", "/")).await;
        let failure = called.outcome.unwrap_err().to_string();
        assert!(failure.starts_with(want), "{source}: {failure}");
        let logs: Vec<&str> = called.logs.iter().map(|line| line.message.as_str()).collect();
        assert!(stack.is_empty() || logs.iter().any(|line| line.contains(stack)), "{source}: {logs:?}");
    }
}
