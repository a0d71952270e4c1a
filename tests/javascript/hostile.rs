//! Hostile: code that loops, grows, recurses, and leaves traps for others.

use rimward::config::compiled::{Flavor, Mode};

use crate::bench::{Bench, build, text};
use crate::exchange::get;

#[tokio::test]
async fn hostile_code_fails_alone() {
    for (about, source, want) in [
        ("loop", "exports.handler = async () => { for (;;); };", "cpu"),
        ("loop in a regular expression", "exports.handler = async () => /^(a+)+$/.test('a'.repeat(64) + 'b');", "cpu"),
        ("promises without end", "const f = () => Promise.resolve().then(f); exports.handler = () => f();", "cpu"),
        ("timers without end", "exports.handler = () => new Promise(() => setInterval(() => {}, 1));", "cpu"),
        (
            "arrays",
            "exports.handler = async () => { const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1)); };",
            "memory",
        ),
        ("text", "exports.handler = async () => { let s = 'x'; for (;;) s = (s + s).toUpperCase(); };", "execution"),
    ] {
        let mut bench = Bench::of(&text("f.js", source), 1);
        // Less than it takes a fast machine to fill the memory with promises, each of which waits for the next.
        bench.budget.cpu = std::time::Duration::from_millis(if want == "cpu" { 100 } else { 10_000 });
        // It runs when the cores have nothing else to do, which other tests give them.
        bench.budget.timeout = std::time::Duration::from_secs(120);
        let called = bench.run("viewer-request", &get("", "/")).await;
        let failure = called.outcome.unwrap_err();
        let reason = failure.reason();
        // A failed allocation is an error that JavaScript sees first.
        assert!(reason == want || (want == "memory" && reason == "execution"), "{about}: {failure}");
    }
}

#[tokio::test]
async fn deep_recursion_is_an_error_that_the_function_sees() {
    for body in [
        "const f = (n) => f(n + 1) + 1; f(0)",
        "'a'.replace(/a/, function g() { return 'a'.replace(/a/, g); })",
        "const o = { get x() { return this.x; } }; o.x",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x",
        "[1].sort.call(new Proxy([2, 1], { get: (t, k, r) => r[k] }))",
    ] {
        let source = format!(
            "exports.handler = async () => {{ try {{ {body}; }} catch (e) {{ return {{ status: '200', body: e.name }}; }} return {{ status: '204' }}; }};"
        );
        let lines = Bench::of(&text("f.js", &source), 1).call("viewer-request", &get("", "/")).await;
        assert_eq!(lines[0], "answer 200", "{body}: {lines:?}");
    }
}

/// Where QuickJS recurses in C, wasm's stack ends first: the call fails, and nothing else.
#[tokio::test]
async fn deep_data_fail_the_call() {
    for body in ["let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)", "JSON.parse('['.repeat(1e5))"]
    {
        let source = format!("exports.handler = async () => {{ try {{ {body}; }} catch (e) {{ throw e; }} }};");
        let lines = Bench::of(&text("f.js", &source), 1).call("viewer-request", &get("", "/")).await;
        assert!(lines[0].starts_with("execution: "), "{body}: {lines:?}");
    }
}

#[tokio::test]
async fn what_one_call_spoils_the_next_never_sees() {
    let source = "exports.handler = async (event) => {
        const seen = String({}.spoiled) + String(globalThis.left);
        Object.prototype.spoiled = Array.prototype.map = globalThis.left = 'x';
        return { status: '200', body: seen };
    };";
    let bench = Bench::of(&text("f.js", source), 1);
    for _ in 0..3 {
        let lines = bench.call("viewer-request", &get("", "/")).await;
        assert_eq!(lines, ["answer 200", "body undefinedundefined"]);
    }
}

#[tokio::test]
async fn a_thousand_calls_of_one_instance_leak_nothing() {
    let source = "let n = 0;
    exports.handler = async (event) => {
        const cycle = { text: 'x'.repeat(20000) };
        cycle.self = cycle;
        setInterval(() => {}, 5);
        await new Promise((done) => setTimeout(done, 1));
        n++;
        const request = event.Records[0].cf.request;
        request.headers['x-n'] = [{ value: String(n) }];
        return request;
    };";
    let bench = Bench::of(&text("f.js", source), 2000);
    let mut memory = 0;
    for n in 1..=1000 {
        let called = bench.run("viewer-request", &get("", "/")).await;
        called.outcome.unwrap();
        assert_eq!(called.exchange.request.headers["x-n"], n.to_string().as_str());
        if n == 400 {
            memory = called.memory;
        }
        assert!(n < 400 || called.memory <= memory + (1 << 20), "{n}: {} after {memory}", called.memory);
    }
}

#[test]
fn strict_cloudfront_functions_are_held_to_their_limits() {
    for (source, want) in [
        ("function handler(event) { return eval('event'); }", "f.js:1:34: eval is not available"),
        ("var f = [].constructor.constructor; f('return 1')();\nfunction handler(e) { return e; }", "EvalError"),
    ] {
        for flavor in [Flavor::CloudFront2, Flavor::Auto] {
            let error = build(&text("f.js", source), flavor, Mode::Strict).unwrap_err();
            assert!(error.to_string().contains(want), "{flavor:?}: {error}");
        }
    }
    let long = format!("function handler(event) {{ return event.request; }} //{}", "x".repeat(10_240));
    for flavor in [Flavor::CloudFront1, Flavor::Auto] {
        let error = build(&text("f.js", &long), flavor, Mode::Strict).unwrap_err();
        assert!(error.to_string().contains("10240") || error.to_string().contains("10290"), "{flavor:?}: {error}");
    }
    build(&text("f.js", &long), Flavor::CloudFront1, Mode::Extended).unwrap();
}

/// "Quotas on CloudFront Functions".
#[tokio::test]
async fn strict_cloudfront_functions_have_two_megabytes() {
    let source = text(
        "f.js",
        "function handler(event) {\n  var n = Number(event.request.querystring.n.value);\n  \
         return { statusCode: 200, headers: { 'x-n': { value: String('x'.repeat(n).length) } } };\n}\n",
    );
    for flavor in [Flavor::CloudFront1, Flavor::CloudFront2] {
        let (strict, extended) = (Bench::strict(&source, flavor), Bench::flavored(&source, flavor, 1));
        for (bench, bytes, good) in [
            (&strict, 1_000_000, true),
            (&strict, 3_000_000, false),
            (&extended, 3_000_000, true),
            (&strict, 1_000_000, true),
        ] {
            let called = bench.run("viewer-request", &get("", &format!("/?n={bytes}"))).await;
            assert_eq!(called.outcome.is_ok(), good, "{flavor:?} {bytes}: {:?}", called.outcome);
        }
    }
}

#[tokio::test]
async fn strict_cloudfront_functions_have_the_globals_of_their_runtime() {
    let seen = |names: &str| {
        let body =
            format!("'{names}'.split(' ').map((name) => (globalThis[name] === undefined ? '-' : name)).join(' ')");
        text("f.js", &format!("function handler(event) {{ return {{ statusCode: 200, body: {body} }}; }}"))
    };
    let names =
        "Buffer TextEncoder TextDecoder atob btoa URL URLSearchParams process structuredClone fetch setTimeout WeakRef";
    for (flavor, want) in [
        (Flavor::CloudFront1, "- - - - - - - - - - - -"),
        (Flavor::CloudFront2, "Buffer TextEncoder TextDecoder atob btoa - - - - - - -"),
    ] {
        let lines = Bench::strict(&seen(names), flavor).call("viewer-request", &get("", "/")).await;
        assert_eq!(lines, ["answer 200", &format!("body {want}")], "{flavor:?}");
    }
    // What they have works without the others.
    let source = "var crypto = require('crypto'), qs = require('querystring');
    function handler(event) {
        var hash = crypto.createHash('sha256').update('a').digest('hex').slice(0, 8);
        console.log(qs.stringify({ a: 'b c' }));
        return { statusCode: 200, body: hash + ' ' + qs.parse('a=b%20c').a };
    }";
    for flavor in [Flavor::CloudFront1, Flavor::CloudFront2] {
        let lines = Bench::strict(&text("f.js", source), flavor).call("viewer-request", &get("", "/")).await;
        assert_eq!(lines, ["answer 200", "body ca978112 b c"], "{flavor:?}");
    }
    // Nor Node's modules, by a name that is made up at run time.
    let source = "function handler(event) {
        var found = ['crypto', 'fs', 'https', 'node:fs', 'zlib', 'http', '@aws-sdk/client-s3', 'process'].filter((name) => {
            try { return require(name); } catch (e) { return false; }
        });
        return { statusCode: 200, body: found.join(' ') };
    }";
    for (bench, want) in [
        (Bench::strict(&text("f.js", source), Flavor::CloudFront2), "body crypto"),
        (
            Bench::flavored(&text("f.js", source), Flavor::CloudFront2, 1),
            "body crypto fs https node:fs zlib http process",
        ),
    ] {
        let lines = bench.call("viewer-request", &get("", "/")).await;
        assert_eq!(lines[..2], ["answer 200", want]);
    }
}

/// Lambda's Node runtimes look at what a handler returns only where it is a promise.
#[tokio::test]
async fn strict_lambda_edge_takes_nothing_from_a_handler_that_is_neither_async_nor_calls_back() {
    for (source, strict) in [
        ("exports.handler = (event) => event.Records[0].cf.request;", false),
        ("exports.handler = async (event) => event.Records[0].cf.request;", true),
        ("exports.handler = (event, context, callback) => callback(null, event.Records[0].cf.request);", true),
        ("exports.handler = (event) => Promise.resolve(event.Records[0].cf.request);", true),
    ] {
        let source = text("f.js", source);
        let called = Bench::of(&source, 1).run("viewer-request", &get("", "/")).await;
        assert!(called.outcome.is_ok(), "{source:?}");
        let called = Bench::strict(&source, Flavor::LambdaEdge).run("viewer-request", &get("", "/")).await;
        assert_eq!(called.outcome.is_ok(), strict, "{source:?}: {:?}", called.outcome);
    }
}

/// Once its CPU time is used up, JavaScript is stopped where it is, past every `catch`, and the log has its stack.
#[tokio::test]
async fn a_function_stopped_for_its_cpu_says_where_it_was() {
    let spins = "\nfunction spin(n) {\n  for (;;) n++;\n}";
    for (about, handler, want) in [
        ("at once", "async () => spin(1);", "at spin (f.js:3:"),
        ("caught", "async () => { for (;;) try { spin(1); } catch { /* again */ } };", "at spin (f.js:3:"),
        ("after a wait", "async () => { await null; return spin(1); };", "at spin (f.js:3:"),
        (
            "what is not awaited",
            "async () => { (async () => { await 0; spin(1); })(); await new Promise(() => {}); };",
            "at spin (f.js:3:",
        ),
        ("in a timer", "() => new Promise(() => setTimeout(() => spin(1), 1));", "at spin (f.js:3:"),
        (
            "after calling back",
            "(e, c, done) => { setTimeout(() => spin(1), 1); done(null, {}); };",
            "at spin (f.js:3:",
        ),
        ("regular expression", "async () => /^(a+)+$/.test('a'.repeat(64) + 'b');", "at f.js:1:"),
        ("then", "() => ({ get then() { for (;;); } });", "at get then (f.js:1:"),
        ("generator", "async () => { for await (const x of (async function* () { for (;;) yield 1; })()); };", "at "),
        ("awaits", "async () => { for (;;) await null; };", "at f.js:1:"),
        ("jobs", "() => new Promise(() => { (function again() { queueMicrotask(again); })(); });", "at again (f.js:1:"),
        ("timers", "async () => { for (;;) await new Promise((r) => setTimeout(r, 0)); };", "at f.js:1:"),
        (
            "an interval",
            "() => new Promise(() => setInterval(function tick() { JSON.stringify({}); }, 0));",
            "at tick (f.js:1:",
        ),
        (
            "immediates",
            "() => new Promise(() => { (function again() { setImmediate(again); })(); });",
            "at again (f.js:1:",
        ),
        ("in the engine alone", "async () => { for (;;) 'x'.repeat(1e6).split('').sort(); };", ""),
    ] {
        let source = format!("exports.handler = {handler}{spins}");
        let mut bench = Bench::of(&text("f.js", &source), 1);
        bench.budget.cpu = std::time::Duration::from_millis(50);
        bench.budget.timeout = std::time::Duration::from_secs(120);
        let called = bench.run("viewer-request", &get("", "/")).await;
        assert_eq!(called.outcome.unwrap_err().reason(), "cpu", "{about}");
        let log: Vec<_> = called.logs.iter().map(|line| line.message.as_str()).collect();
        let said = log.iter().any(|line| !want.is_empty() && line.starts_with(want));
        assert_eq!((said, log.is_empty()), (!want.is_empty(), want.is_empty()), "{about}: {log:?}");
        assert!(called.cpu >= bench.budget.cpu, "{about}");
    }
}
