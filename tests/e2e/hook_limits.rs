//! Hook limits: what functions cannot do to a message, to the PoP or to each other, and what a viewer gets when they fail.
//!
//! In: functions that fail, loop, or ask for what is not theirs. Out: AWS's status and name, whole messages. Never: a stored failure.

use crate::harness::hooked::{ALL, FORWARD, calls, marks, pop, ran, result};
use crate::harness::wat::{self, Flat};
use crate::harness::{Origin, Pop, Setup, until};

/// CloudFront Developer Guide, "Troubleshooting HTTP 5xx": status and result type of each failure.
#[test]
fn failures_have_their_documented_status_and_name_and_are_never_stored() {
    let loops = wat::module("", "(loop (br 0)) i64.const 0");
    let recursion = "(module (memory (export \"memory\") 4)\n (func (export \"alloc\") (param i32) (result i32) i32.const 1024)\n \
                     (func $f (export \"flat\") (param i32 i32) (result i64) (call $f (local.get 0) (local.get 1))))";
    for (name, text, status, want, outcome) in [
        ("trap", wat::module("", "unreachable"), 503, "FunctionExecutionError", "execution"),
        ("error", Flat::new().fail("on purpose").wat(), 503, "FunctionExecutionError", "execution"),
        ("recursion", recursion.to_owned(), 503, "FunctionExecutionError", "execution"),
        ("loop", loops, 503, "FunctionExecutionError", "cpu"),
        ("read-only", Flat::new().set("via", "x").wat(), 502, "FunctionValidationError", "validation"),
        ("forbidden", Flat::new().set("x-edge-a", "x").wat(), 502, "FunctionValidationError", "validation"),
        ("no version", wat::module("\\09", "i64.const 4398046511105"), 502, "FunctionValidationError", "validation"),
        ("out of bounds", wat::module("", "i64.const -1"), 503, "FunctionExecutionError", "execution"),
    ] {
        for event in ["viewer_request", "origin_request", "origin_response", "viewer_response"] {
            let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
            let pop = pop(&origin, &[("f", text.clone())], "", &format!("{event} = \"f\""));
            for _ in 0..2 {
                let reply = pop.get("/a");
                assert_eq!((reply.status, result(&reply)), (status, want), "{name} at {event}: {}", reply.text());
                assert!(!reply.text().contains("on purpose"), "a function's own words stay with the operator");
            }
            assert!(calls(&pop, 2).iter().any(|(_, how)| how == outcome), "{name} at {event}: {:?}", calls(&pop, 2));
            let labels = ["function=\"f\"", &format!("outcome=\"{outcome}\"")];
            pop.counts_to("rimward_function_calls_total", &labels, 2.0);
            assert_eq!(pop.access_log().last().unwrap()["functions"][0]["result"], want, "{name} at {event}");
            assert_eq!(
                pop.metric("rimward_function_errors_total", &["function=\"f\"", want]),
                2.0,
                "{name} at {event}"
            );
        }
    }
}

#[test]
fn skip_goes_on_as_if_the_function_were_not_there() {
    let broken = Flat::new().set("x-before", "1").fail("on purpose").wat();
    for event in ["viewer_request", "origin_request", "origin_response", "viewer_response"] {
        let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
        let hooks = format!("{event} = [{{ function = \"f\", on_error = \"skip\" }}, \"idle\"]");
        let pop = pop(&origin, &[("f", broken.clone()), ("idle", wat::idle())], FORWARD, &hooks);
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str(), result(&reply)), (200, "hello", "Miss"), "{event}");
        assert_eq!(reply.field("x-before"), None, "{event}");
        assert!(!origin.last().fields.iter().any(|(name, _)| name == "x-before"), "{event}");
    }
}

#[test]
fn a_function_that_cannot_be_loaded_changes_nothing() {
    let origin = Origin::fixed("", "hello");
    let pop = pop(&origin, &[("f", Flat::new().set("x-v", "1").wat())], "", "viewer_response = \"f\"");
    assert_eq!(pop.get("/a").field("x-v"), Some("1"));
    for (broken, words) in [
        ("(module", "f.wat"),
        ("(module)", "must export memory"),
        (&wat::importing("wasi:sockets/tcp@0.2.0", "x"), "wasi:sockets/tcp"),
    ] {
        std::fs::write(pop.dir().join("f.wat"), broken).unwrap();
        let reply = pop.admin("POST", "/reload", "");
        assert_eq!(reply.status / 100, 4, "{broken}: {}", reply.text());
        assert!(reply.text().contains(words), "{broken}: {}", reply.text());
        assert_eq!(pop.get("/a").field("x-v"), Some("1"), "{broken}");
    }
    std::fs::write(pop.dir().join("f.wat"), Flat::new().set("x-v", "2").wat()).unwrap();
    until("the changed file", || (pop.get("/a").field("x-v") == Some("2")).then_some(()));
}

#[test]
fn an_unknown_function_is_refused_with_the_nearest_name() {
    let origin = Origin::fixed("", "hello");
    let pop = pop(&origin, &[("normalize", wat::idle())], "", "");
    let reply = pop.reload(&format!(
        "{}[[function]]\nname = \"normalize\"\nfile = \"normalize.wat\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ viewer_request = \"normalise\" }}\n",
        origin.config("o")
    ));
    assert!(reply.text().contains("unknown function 'normalise'"), "{}", reply.text());
    assert!(reply.text().contains("normalize"), "{}", reply.text());
    assert_eq!(pop.get("/a").text(), "hello");
}

#[test]
fn an_unmodified_lambda_edge_file_runs_at_both_ends() {
    let origin = Origin::start(|x| {
        let body = x.request.target.clone();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", body);
    });
    let handler = "'use strict';\n\
        exports.handler = (event, context, callback) => {\n\
          const { config, request, response } = event.Records[0].cf;\n\
          if (config.eventType === 'viewer-response') {\n\
            response.headers['x-seen'] = [{ key: 'X-Seen', value: request.uri }];\n\
            return callback(null, response);\n\
          }\n\
          if (request.uri === '/gone') return callback(null, { status: '410', statusDescription: 'Gone', body: 'gone' });\n\
          if (request.uri === '/throws') throw new Error('on purpose');\n\
          if (request.uri === '/invalid') return callback(null, { status: 'x' });\n\
          request.uri = request.uri.replace(/^\\/v1\\//, '/');\n\
          callback(null, request);\n\
        };\n";
    let hooks = "viewer_request = \"f\"\nviewer_response = \"f\"";
    let pop = pop(&origin, &[("f", handler.to_owned())], "", hooks);
    let rewritten = pop.get("/v1/a");
    assert_eq!((rewritten.text().as_str(), rewritten.field("x-seen")), ("/a", Some("/a")));
    assert!(pop.get("/a").hit(), "under the rewritten path");
    let gone = pop.get("/gone");
    assert_eq!((gone.status, gone.text().as_str(), result(&gone)), (410, "gone", "LambdaGeneratedResponse"));
    for (path, status, want) in [("/throws", 503, "LambdaExecutionError"), ("/invalid", 502, "LambdaValidationError")] {
        let reply = pop.get(path);
        assert_eq!((reply.status, result(&reply)), (status, want), "{path}: {}", reply.text());
        assert!(!reply.text().contains("on purpose"), "{path}");
    }
}

#[test]
fn an_origin_that_a_function_makes_up_has_a_public_address_or_a_configured_name_and_port() {
    let (first, second) = (Origin::fixed("", "first"), Origin::fixed("", "second"));
    let port = second.address.port();
    let handler = format!(
        "exports.handler = async (event) => {{\n\
           const request = event.Records[0].cf.request;\n\
           request.origin = {{ custom: {{ domainName: 'localhost', port: {port}, protocol: 'http', path: '/below', \
           customHeaders: {{}}, keepaliveTimeout: 5, readTimeout: 5, sslProtocols: ['TLSv1.2'] }} }};\n\
           request.headers.host = [{{ key: 'Host', value: 'other.example' }}];\n\
           return request;\n\
         }};\n"
    );
    for (configured, named) in [(None, false), (Some(1), false), (Some(port), true)] {
        let mut setup = Setup::new("");
        std::fs::write(setup.dir().join("f.js"), &handler).unwrap();
        setup.rest = format!(
            "{}[[function]]\nname = \"f\"\nfile = \"f.js\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ origin_request = \"f\" }}\n",
            first.config("o")
        );
        if let Some(port) = configured {
            // The operator knows that name, and what listens at that port.
            setup.rest.push_str(&format!("[[origin]]\nname = \"local\"\nurl = \"http://localhost:{port}\"\n"));
        }
        let pop = setup.start();
        let reply = pop.get("/a");
        if named {
            assert_eq!((reply.status, reply.text().as_str()), (200, "second"));
            let seen = second.last();
            assert_eq!(seen.target, "/below/a");
            assert!(seen.fields.contains(&("host".to_owned(), "other.example".to_owned())), "{seen:?}");
        } else {
            assert_eq!(reply.status, 502);
            let line = until("the log", || pop.access_log().pop());
            assert!(line["error"].as_str().unwrap_or_default().contains("not public"), "{line}");
        }
        assert_eq!(first.count(), 0);
    }
}

/// A private host that is an origin is one service, not whatever else listens there: the PoP's own admin API first of all.
#[test]
fn another_port_of_a_private_origin_is_no_way_to_what_else_listens_there() {
    let (first, second) = (Origin::fixed("", "first"), Origin::fixed("", "second"));
    let lambda = "exports.handler = async (event) => { const request = event.Records[0].cf.request; \
                  request.origin.custom.port = Number(request.headers['x-port'][0].value); return request; };\n";
    let cloudfront = "import cf from 'cloudfront';\n\
                      function handler(event) { const request = event.request; \
                      const port = Number(request.headers['x-port'].value); \
                      cf.updateRequestOrigin({ customOriginConfig: { port, protocol: 'http', sslProtocols: ['TLSv1.2'] } }); \
                      return request; }\n";
    for (text, event) in [(lambda, "origin_request"), (cloudfront, "viewer_request")] {
        let behavior = format!("methods = \"all\"\ncache = false\n{FORWARD}");
        let pop = pop(&first, &[("f", text.to_owned())], &behavior, &format!("{event} = \"f\""));
        for (nth, port) in [pop.admin.port(), second.address.port()].into_iter().enumerate() {
            let reply = pop.get_with("/healthz", &[("x-port", port.to_string().as_str())]);
            assert_eq!(reply.status, 502, "{event} {port}: {}", reply.text());
            let line = until("the log", || pop.access_log().into_iter().nth(nth));
            assert!(line["error"].as_str().unwrap_or_default().contains("not public"), "{event}: {line}");
        }
        let port = first.address.port().to_string();
        assert_eq!(pop.get_with("/a", &[("x-port", port.as_str())]).text(), "first", "{event}: its own");
        assert_eq!(second.count(), 0, "{event}");
    }
}

/// CloudFront Developer Guide, "Use origin failover with Lambda@Edge functions".
#[test]
fn failover_runs_the_origins_functions_again_and_the_viewers_once() {
    let (first, second) = (Origin::start(|x| x.reply("503 Busy", "", "no")), Origin::fixed("", "second"));
    let mut setup = Setup::new("");
    for (name, text) in marks() {
        std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
        setup.rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n"));
    }
    setup.rest.push_str(&format!(
        "{}{}[[origin_group]]\nname = \"g\"\norigins = [\"o\", \"p\"]\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"g\"\n{FORWARD}\n[behavior.hooks]\n{ALL}\n",
        first.config("o"),
        second.config("p")
    ));
    let pop = setup.start();
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str(), ran(&reply)), (200, "second", (true, true)));
    for origin in [&first, &second] {
        let lines = origin.last().fields.iter().filter(|(name, _)| name == "x-oreq").count();
        assert_eq!(lines, 1, "once a request");
    }
    let events: Vec<_> = calls(&pop, 1).into_iter().map(|(event, _)| event).collect();
    assert_eq!(
        events,
        ["viewer-request", "origin-request", "origin-response", "origin-request", "origin-response", "viewer-response"]
    );
}

#[test]
fn a_looping_function_costs_its_own_requests_only() {
    let origin = Origin::fixed("", "hello");
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("loop.wat"), wat::module("", "(loop (br 0)) i64.const 0")).unwrap();
    setup.rest = format!(
        "{}[[function]]\nname = \"loop\"\nfile = \"loop.wat\"\nconcurrency = 2\n\
         [[behavior]]\nmatch = \"/loop\"\norigin = \"o\"\nhooks = {{ viewer_request = \"loop\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\n",
        origin.config("o")
    );
    let pop = setup.start();
    std::thread::scope(|scope| {
        let looping: Vec<_> = (0..8).map(|_| scope.spawn(|| pop.get("/loop"))).collect();
        for n in 0..50 {
            assert_eq!(pop.get(&format!("/{n}")).status, 200);
        }
        let results: Vec<String> = looping.into_iter().map(|one| result(&one.join().unwrap()).to_owned()).collect();
        let known = ["FunctionExecutionError", "FunctionThrottledError"];
        assert!(results.iter().all(|result| known.contains(&result.as_str())), "{results:?}");
    });
}

/// A body or an error that viewer-response writes for an answer that ended with its head is never announced and not sent.
#[test]
fn an_empty_answer_of_an_origin_stays_whole_whatever_viewer_response_writes() {
    for (text, status, body) in
        [(Flat::new().body("written").wat(), 200, "written"), (Flat::new().fail("on purpose").wat(), 503, "")]
    {
        let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "");
        let pop = pop(&origin, &[("f", text)], "", "viewer_response = \"f\"");
        let mut viewer = pop.raw();
        let first = viewer.get("/a");
        assert_eq!((first.status, first.text().as_str()), (status, ""), "a miss");
        let second = viewer.get("/a");
        assert_eq!(second.status, status);
        if status == 200 {
            assert_eq!((second.text().as_str(), second.hit()), (body, true), "the cache's own empty body is replaced");
        }
    }
}

#[test]
fn a_part_whose_body_a_function_replaced_is_no_part() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n", "0123456789");
    let pop = pop(&origin, &[("f", Flat::new().body("written").wat())], "", "viewer_response = \"f\"");
    pop.get("/a");
    for range in ["bytes=2-4", "bytes=0-1,3-4"] {
        let reply = pop.get_with("/a", &[("Range", range)]);
        assert_eq!((reply.status, reply.text().as_str()), (200, "written"), "{range}");
        assert_eq!(reply.field("content-range"), None, "{range}");
        assert!(!reply.field("content-type").unwrap_or_default().starts_with("multipart"), "{range}");
    }
}

#[test]
fn what_two_functions_say_of_the_origin_adds_up() {
    let (first, second) = (Origin::fixed("", "first"), Origin::fixed("", "second"));
    let port = second.address.port();
    let js = |change: &str| {
        format!(
            "exports.handler = async (event) => {{ const request = event.Records[0].cf.request; \
             request.origin.custom.{change}; request.uri += '.html'; return request; }};\n"
        )
    };
    let functions = [("port", js(&format!("port = {port}"))), ("path", js("path = '/below'"))];
    let configured = second.config("p");
    let pop = pop(&first, &functions, "", &format!("origin_request = [\"port\", \"path\"]\n{configured}"));
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str()), (200, "second"), "{:?}", pop.access_log());
    assert_eq!(second.last().target, "/below/a.html.html");
    assert_eq!(first.count(), 0);
}

#[test]
fn error_pages_stand_in_for_failures_and_not_for_limits() {
    let loops = wat::module("", "(loop (br 0)) i64.const 0");
    for (text, paged) in [(wat::module("", "unreachable"), true), (loops, false)] {
        let origin = Origin::fixed("", "hello");
        let errors = "errors = [{ status = [503], page = \"/sorry\" }]";
        let mut setup = Setup::new("");
        std::fs::write(setup.dir().join("f.wat"), text).unwrap();
        setup.rest = format!(
            "{}[[function]]\nname = \"f\"\nfile = \"f.wat\"\n[[behavior]]\nmatch = \"/sorry\"\norigin = \"o\"\n\
             [[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{errors}\nhooks = {{ viewer_request = \"f\" }}\n",
            origin.config("o")
        );
        let pop = setup.start();
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text() == "hello"), (503, paged), "{}", reply.text());
    }
}

/// The same of limits and memory, in each contract.
#[test]
fn limits_have_their_documented_status_and_name() {
    let silent = Origin::start(|x| while x.read().is_some() {});
    let port = silent.address.port();
    let wait = format!(
        "exports.handler = async (event) => {{ await fetch('http://127.0.0.1:{port}/'); return event.Records[0].cf.request; }};\n"
    );
    let fetch = format!(
        "grants = {{ fetch = {{ allow = [\"127.0.0.1:{port}\"], private = [\"127.0.0.0/8\"], timeout = \"1m\" }} }}\n"
    );
    let grow = wat::module("", "(loop (br_if 0 (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) unreachable");
    let lambda = "exports.handler = async () => { for (;;); };\n";
    let cloudfront = |what: &str| format!("function handler(event) {{ {what} }}\n");
    for (name, text, more, status, want, outcome) in [
        ("wait", wait.as_str(), &*format!("{fetch}timeout = \"200ms\"\n"), 503, "LambdaLimitExceeded", "timeout"),
        ("loop", lambda, "", 503, "LambdaLimitExceeded", "cpu"),
        ("grow", &*grow, "", 503, "FunctionExecutionError", "memory"),
        ("loop", &*cloudfront("for (;;);"), "", 503, "FunctionExecutionError", "cpu"),
        ("throw", &*cloudfront("throw new Error('on purpose');"), "", 503, "FunctionExecutionError", "execution"),
        ("invalid", &*cloudfront("return { statusCode: 99 };"), "", 502, "FunctionValidationError", "validation"),
    ] {
        let origin = Origin::fixed("", "hello");
        let pop = with_function(&origin, text, more);
        let reply = pop.get("/a");
        assert_eq!((reply.status, result(&reply)), (status, want), "{name}: {}", reply.text());
        assert_eq!(calls(&pop, 1), [("viewer-request".to_owned(), outcome.to_owned())], "{name}");
        assert_eq!(pop.access_log()[0]["functions"][0]["result"], want, "{name}");
    }
    // As many calls as may run are running: the next one is refused at once.
    let spin = cloudfront("if (event.request.uri === '/long') for (;;); return event.request;");
    for (text, more, want) in [
        (wait.as_str(), &*format!("{fetch}concurrency = 1\ntimeout = \"3s\"\n"), "LambdaLimitExceeded"),
        (&*spin, "concurrency = 1\ncpu = \"3s\"\n", "FunctionThrottledError"),
    ] {
        let origin = Origin::fixed("", "hello");
        let pop = with_function(&origin, text, more);
        let replies: Vec<(u16, String)> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| pop.get("/long"))).collect();
            asked
                .into_iter()
                .map(|one| one.join().unwrap())
                .map(|reply| (reply.status, result(&reply).to_owned()))
                .collect()
        });
        assert!(replies.iter().all(|(status, _)| *status == 503), "{replies:?}");
        assert!(replies.iter().any(|(_, result)| result == want), "{replies:?}");
        pop.counts_to("rimward_function_calls_total", &["outcome=\"throttled\""], 1.0);
    }
}

/// Developer Guide, "Restrictions on all edge functions": what AWS does not associate, strict mode refuses.
#[test]
fn strict_functions_are_attached_as_aws_attaches_them() {
    let origin = Origin::fixed("", "hello");
    let mut setup = Setup::new("");
    let lambda = "exports.handler = async ({ Records: [{ cf }] }) => cf.response || cf.request;\n";
    std::fs::write(setup.dir().join("lambda.js"), lambda).unwrap();
    std::fs::write(setup.dir().join("cff.js"), "function handler(event) { return event.response || event.request; }\n")
        .unwrap();
    let config = |mode: &str, hooks: &str| {
        let function =
            |name: &str| format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.js\"\nmode = \"{mode}\"\n");
        format!(
            "{}{}{}[[behavior]]\nname = \"all\"\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ {hooks} }}\n",
            origin.config("o"),
            function("lambda"),
            function("cff")
        )
    };
    setup.rest = config("strict", "viewer_request = \"cff\", origin_request = \"lambda\", viewer_response = \"cff\"");
    let pop = setup.start();
    assert_eq!(pop.get("/a").text(), "hello");
    for (hooks, words) in [
        ("origin_response = [\"lambda\", \"lambda\"]", "at origin-response: an event has one function"),
        ("viewer_request = \"cff\", viewer_response = \"lambda\"", "CloudFront functions or Lambda@Edge, not both"),
    ] {
        let reply = pop.reload(&config("strict", hooks));
        assert!(reply.status / 100 == 4 && reply.text().contains(words), "{hooks}: {}", reply.text());
        let reply = pop.reload(&config("extended", hooks));
        assert_eq!(reply.status, 200, "{hooks}: {}", reply.text());
    }
}

/// A PoP whose function at viewer-request is this; `more` are lines of it.
fn with_function(origin: &Origin, text: &str, more: &str) -> Pop {
    let mut setup = Setup::new("");
    let file = if text.starts_with("(module") { "f.wat" } else { "f.js" };
    std::fs::write(setup.dir().join(file), text).unwrap();
    setup.rest = format!(
        "{}[[function]]\nname = \"f\"\nfile = \"{file}\"\n{more}\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\nhooks = {{ viewer_request = \"f\" }}\n",
        origin.config("o")
    );
    setup.start()
}
