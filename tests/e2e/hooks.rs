//! Hooks: where functions run, what becomes of what they do, and what a viewer gets when they fail.
//!
//! In: functions attached to the four events. Out: what viewer and origin see, the log, the metrics. Never: the engine's own limits
//! (tests beside the engine hold them).

use crate::harness::wat::{self, Flat};
use crate::harness::{Origin, Pop, Reply, Setup, until};

/// A PoP with one origin and these functions; `hooks` are the lines of `[behavior.hooks]`, `behavior` more of the behavior.
fn pop(origin: &Origin, functions: &[(&str, String)], behavior: &str, hooks: &str) -> Pop {
    let mut setup = Setup::new("");
    let mut rest = origin.config("o");
    for (name, text) in functions {
        let extension = if text.trim_start().starts_with("(module") { "wat" } else { "js" };
        std::fs::write(setup.dir().join(format!("{name}.{extension}")), text).unwrap();
        rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.{extension}\"\n"));
    }
    rest.push_str(&format!("[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{behavior}\n[behavior.hooks]\n{hooks}\n"));
    setup.rest = rest;
    setup.start()
}

/// The calls of the last line of the access log: event and outcome.
fn calls(pop: &Pop, lines: usize) -> Vec<(String, String)> {
    let log = until("the log", || {
        let log = pop.access_log();
        (log.len() >= lines).then_some(log)
    });
    let line = log.last().unwrap();
    let word = |call: &serde_json::Value, key: &str| call[key].as_str().unwrap_or_default().to_owned();
    line["functions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| (word(call, "event"), word(call, "outcome")))
        .collect()
}

fn result(reply: &Reply) -> &str {
    reply.field("x-cache").unwrap().strip_suffix(" from rimward").unwrap()
}

/// Each event leaves its mark: which of them ran is in the answer's fields and in the log.
fn marks() -> Vec<(&'static str, String)> {
    vec![
        ("vreq", Flat::new().set("x-vreq", "1").wat()),
        ("oreq", Flat::new().set("x-oreq", "1").wat()),
        ("ores", Flat::new().set("x-ores", "1").wat()),
        ("vres", Flat::new().set("x-vres", "1").wat()),
    ]
}

const ALL: &str =
    "viewer_request = \"vreq\"\norigin_request = \"oreq\"\norigin_response = \"ores\"\nviewer_response = \"vres\"";
const FORWARD: &str = "forward = { headers = \"all\" }";

fn ran(reply: &Reply) -> (bool, bool) {
    (reply.field("x-ores").is_some(), reply.field("x-vres").is_some())
}

/// CloudFront Developer Guide, "CloudFront events that can trigger a function".
#[test]
fn on_a_miss_all_four_run_and_on_a_hit_the_viewers_two() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let pop = pop(&origin, &marks(), FORWARD, ALL);
    let miss = pop.get("/a");
    assert_eq!((miss.status, miss.text().as_str(), ran(&miss)), (200, "hello", (true, true)));
    let seen = origin.last();
    let has = |name: &str| seen.fields.iter().any(|(n, v)| n == name && v == "1");
    assert!(has("x-vreq") && has("x-oreq"), "{seen:?}");
    let names = |n| calls(&pop, n).into_iter().map(|(event, _)| event).collect::<Vec<_>>();
    assert_eq!(names(1), ["viewer-request", "origin-request", "origin-response", "viewer-response"]);
    let hit = pop.get("/a");
    assert!(hit.hit());
    assert_eq!(ran(&hit), (true, true), "what origin-response wrote is stored");
    assert_eq!(names(2), ["viewer-request", "viewer-response"]);
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_viewer_response_changes_is_not_stored() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let counted = Flat::new().append("x-vres", "1").wat();
    let pop = pop(&origin, &[("vres", counted)], "", "viewer_response = \"vres\"");
    for _ in 0..3 {
        assert_eq!(pop.get("/a").all("x-vres"), ["1"], "once an answer");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_origin_error_skips_viewer_response() {
    let origin = Origin::start(|x| x.reply("404 Not Found", "", "gone"));
    let pop = pop(&origin, &marks(), FORWARD, ALL);
    let reply = pop.get("/a");
    assert_eq!((reply.status, ran(&reply)), (404, (true, false)));
    let stored = pop.get("/a");
    assert_eq!((stored.hit(), ran(&stored)), (true, (true, false)), "{:?}", stored.cache());
}

#[test]
fn an_unreachable_origin_runs_no_response_functions() {
    let origin = Origin::start(|x| x.reset());
    let pop = pop(&origin, &marks(), FORWARD, ALL);
    let reply = pop.get("/a");
    assert_eq!((reply.status, ran(&reply)), (502, (false, false)));
    let events: Vec<_> = calls(&pop, 1).into_iter().map(|(event, _)| event).collect();
    assert_eq!(events, ["viewer-request", "origin-request"]);
}

#[test]
fn an_answer_of_viewer_request_is_final_and_never_stored() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let answer = Flat::new().respond(302, &[("location", "/there"), ("cache-control", "max-age=60")], "moved").wat();
    let mut functions = marks();
    functions[0].1 = answer;
    let pop = pop(&origin, &functions, "", ALL);
    for _ in 0..2 {
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str(), ran(&reply)), (302, "moved", (false, false)));
        assert_eq!(reply.field("location"), Some("/there"));
        assert_eq!(result(&reply), "FunctionGeneratedResponse");
        assert!(!reply.hit());
    }
    assert_eq!(calls(&pop, 2), [("viewer-request".to_owned(), "answered".to_owned())]);
    assert_eq!(pop.send("HEAD", "/a", &[], b"").field("content-length"), Some("5"));
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_answer_of_origin_request_is_stored_and_skips_origin_response() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let answer = Flat::new().respond(200, &[("cache-control", "max-age=60")], "made").wat();
    let mut functions = marks();
    functions[1].1 = answer;
    let pop = pop(&origin, &functions, "", ALL);
    let first = pop.get("/a");
    assert_eq!((first.status, first.text().as_str(), ran(&first)), (200, "made", (false, true)));
    assert_eq!(result(&first), "FunctionGeneratedResponse");
    assert!(first.flag("stored"), "{:?}", first.cache());
    let second = pop.get("/a");
    assert_eq!((second.text().as_str(), second.hit(), ran(&second)), ("made", true, (false, true)));
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_changed_path_takes_part_in_the_key_and_chooses_no_other_behavior() {
    let origin = Origin::start(|x| {
        let body = x.request.target.clone();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", body);
    });
    let rewrite = Flat::new().uri("/same").query("a=1").wat();
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("f.wat"), rewrite).unwrap();
    setup.rest = format!(
        "{}[[function]]\nname = \"f\"\nfile = \"f.wat\"\n[[behavior]]\nmatch = \"/same\"\nredirect = {{ to = \"/no\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = {{ key.query = \"all\" }}\nhooks = {{ viewer_request = \"f\" }}\n",
        origin.config("o")
    );
    let pop = setup.start();
    assert_eq!(pop.get("/x?b=2").text(), "/same?a=1");
    let other = pop.get("/y");
    assert_eq!((other.text().as_str(), other.hit()), ("/same?a=1", true));
    let log = until("both lines", || Some(pop.access_log()).filter(|log| log.len() == 2));
    assert_eq!((log[0]["path"].as_str(), log[0]["query"].as_str()), (Some("/x"), Some("b=2")), "as the viewer asked");
}

#[test]
fn a_background_revalidation_keeps_the_behavior_and_runs_the_origins_functions() {
    let origin = Origin::start(|x| {
        let n = x.nth + 1;
        let age = if n == 1 { 1 } else { 600 };
        x.reply("200 OK", &format!("Cache-Control: max-age={age}, stale-while-revalidate=600\r\n"), format!("v{n}"));
    });
    let mut setup = Setup::new("");
    for (name, text) in [("vreq", Flat::new().uri("/same").wat()), ("ores", Flat::new().append("x-ores", "1").wat())] {
        std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
        setup.rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n"));
    }
    setup.rest.push_str(&format!(
        "{}[[behavior]]\nmatch = \"/same\"\nredirect = {{ to = \"/no\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ viewer_request = \"vreq\", origin_response = \"ores\" }}\n",
        origin.config("o")
    ));
    let pop = setup.start();
    assert_eq!(pop.get("/a").text(), "v1");
    until("the new version", || (pop.get("/a").text() == "v2").then_some(()));
    let fresh = pop.get("/b");
    assert_eq!((fresh.text().as_str(), fresh.hit(), fresh.all("x-ores")), ("v2", true, vec!["1"]));
    assert_eq!(origin.last().target, "/same");
    assert_eq!(origin.count(), 2);
}

#[test]
fn origin_response_may_write_status_fields_and_body_of_what_is_stored() {
    for (status, body) in [("404 Not Found", "gone"), ("204 No Content", ""), ("200 OK", "whole")] {
        let origin = Origin::start(move |x| {
            x.reply(status, "Content-Encoding: x-secret\r\nX-Drop: 1\r\n", body);
        });
        let write = Flat::new()
            .status(200)
            .set("cache-control", "max-age=60")
            .set("content-type", "text/x-own")
            .remove("x-drop")
            .body("written by a function")
            .wat();
        let pop = pop(&origin, &[("ores", write)], "", "origin_response = \"ores\"");
        for n in 0..2 {
            let reply = pop.get("/a");
            assert_eq!((reply.status, reply.text().as_str()), (200, "written by a function"), "{status}");
            assert_eq!(reply.field("content-type"), Some("text/x-own"), "{status}");
            assert_eq!((reply.field("content-encoding"), reply.field("x-drop")), (None, None), "{status}");
            assert_eq!(reply.hit(), n == 1, "{status}");
        }
        assert_eq!(origin.count(), 1, "{status}");
    }
}

#[test]
fn viewer_response_may_write_the_body_of_one_answer() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "from the origin");
    let write = Flat::new().body("shorter").set("x-own", "1").wat();
    let pop = pop(&origin, &[("vres", write)], "", "viewer_response = \"vres\"");
    for _ in 0..2 {
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str(), reply.field("x-own")), (200, "shorter", Some("1")));
        assert_eq!(reply.field("content-length"), Some("7"));
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn functions_of_one_event_run_in_order_and_each_sees_the_one_before() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let functions = [
        ("first", Flat::new().set("x-a", "1").append("x-order", "first").wat()),
        ("second", Flat::new().remove("x-a").append("x-order", "second").wat()),
    ];
    let pop = pop(&origin, &functions, "", "viewer_response = [\"first\", { function = \"second\" }]");
    let reply = pop.get("/a");
    assert_eq!((reply.all("x-order"), reply.field("x-a")), (vec!["first", "second"], None));
}

#[test]
fn an_answer_ends_the_chain() {
    let origin = Origin::fixed("", "hello");
    let functions = [
        ("first", Flat::new().respond(403, &[], "no").wat()),
        ("second", Flat::new().respond(200, &[], "never").wat()),
    ];
    let pop = pop(&origin, &functions, "", "viewer_request = [\"first\", \"second\"]");
    assert_eq!(pop.get("/a").text(), "no");
    assert_eq!(calls(&pop, 1).len(), 1);
}

#[test]
fn a_function_chooses_another_origin() {
    for event in ["viewer_request", "origin_request"] {
        let (first, second) = (Origin::fixed("", "first"), Origin::fixed("Cache-Control: max-age=60\r\n", "second"));
        let mut setup = Setup::new("");
        std::fs::write(setup.dir().join("f.wat"), Flat::new().choose("p").wat()).unwrap();
        setup.rest = format!(
            "{}{}[[function]]\nname = \"f\"\nfile = \"f.wat\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ {event} = \"f\" }}\n",
            first.config("o"),
            second.config("p")
        );
        let pop = setup.start();
        let reply = pop.get("/a");
        assert_eq!(reply.text(), "second", "{event}");
        assert!(pop.get("/a").hit(), "{event}");
        assert_eq!((first.count(), second.count()), (0, 1), "{event}");
        assert_eq!(second.last().fields.iter().find(|(n, _)| n == "host").unwrap().1, second.address.to_string());
    }
}

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
            let counted =
                pop.metric("rimward_function_calls_total", &["function=\"f\"", &format!("outcome=\"{outcome}\"")]);
            assert!(counted >= 2.0, "{name} at {event}: {counted}");
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
fn request_bodies_are_seen_when_asked_for_and_may_be_replaced() {
    for event in ["viewer_request", "origin_request"] {
        let origin = Origin::start(|x| {
            let body = x.request.body.clone();
            x.reply("200 OK", "", body);
        });
        let replace = Flat::new().body("from the function").wat();
        let behavior = "methods = \"all\"\ncache = false";
        let hooks = format!("{event} = {{ function = \"f\", include_body = true }}");
        let pop = pop(&origin, &[("f", replace), ("idle", wat::idle())], behavior, &hooks);
        let long = vec![b'x'; 100_000];
        for body in [&b"short"[..], &long] {
            let reply = pop.send("POST", "/a", &[], body);
            assert_eq!(reply.text(), "from the function", "{event} {}", body.len());
        }
        let length = origin.last().fields.iter().find(|(name, _)| name == "content-length").unwrap().1.clone();
        assert_eq!(length, "17", "{event}");
    }
}

#[test]
fn a_body_that_was_shown_reaches_the_origin_whole() {
    for event in ["viewer_request", "origin_request"] {
        let origin = Origin::start(|x| {
            let body = x.request.body.clone();
            x.reply("200 OK", "", body);
        });
        let hooks = format!("{event} = {{ function = \"idle\", include_body = true }}");
        let pop = pop(&origin, &[("idle", wat::idle())], "methods = \"all\"\ncache = false", &hooks);
        for size in [0, 1, 1000, (40 << 10) - 1, 40 << 10, (40 << 10) + 1, 64 << 10, (64 << 10) + 1, 1 << 20] {
            let body: Vec<u8> = (0..size).map(|n| b'a' + (n % 23) as u8).collect();
            let reply = pop.send("POST", "/a", &[], &body);
            assert!(reply.status == 200 && reply.body == body, "{event} {size}: {} {}", reply.status, reply.body.len());
        }
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
fn an_origin_that_a_function_makes_up_has_a_public_address_or_a_configured_name() {
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
    for named in [false, true] {
        let mut setup = Setup::new("");
        std::fs::write(setup.dir().join("f.js"), &handler).unwrap();
        setup.rest = format!(
            "{}[[function]]\nname = \"f\"\nfile = \"f.js\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ origin_request = \"f\" }}\n",
            first.config("o")
        );
        if named {
            // The operator knows that name.
            setup.rest.push_str("[[origin]]\nname = \"local\"\nurl = \"http://localhost:1\"\n");
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
    let pop = pop(&first, &functions, "", "origin_request = [\"port\", \"path\"]");
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
