//! Hook events: which functions run in each situation of CloudFront's table, and which do not.
//!
//! In: a function at each event, a request that ends early or late. Out: the calls in the log, in order. Never: what they change
//! (`hooks`), how they fail (`hook_limits`).

use crate::harness::hooked::{ALL, calls, marks, pop, ran};
use crate::harness::wat::Flat;
use crate::harness::{Origin, Pop, Setup, until};

const EACH: [&str; 4] = ["viewer-request", "origin-request", "origin-response", "viewer-response"];

/// The events of the last line of the log, once it has so many.
fn events(pop: &Pop, lines: usize) -> Vec<String> {
    calls(pop, lines).into_iter().map(|(event, _)| event).collect()
}

/// Developer Guide, "CloudFront events that can trigger a function": a viewer-request function runs once a request is let in.
#[test]
fn what_the_edge_answers_by_itself_runs_no_function() {
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("key.pem");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(&pem, key.public_key_pem()).unwrap();
    let keys =
        format!("[[key_group]]\nname = \"premium\"\n[[key_group.key]]\nid = \"K1\"\nfile = \"{}\"\n", pem.display());
    let geo = format!("[geo]\ndatabases = [\"{}/geo/test.mmdb\"]\n", env!("CARGO_MANIFEST_DIR"));
    let list = "[[address_list]]\nname = \"elsewhere\"\nnets = [\"192.0.2.0/24\"]\n";
    for (behavior, rest, method, status) in [
        ("viewer_protocol = \"redirect-to-https\"", "", "GET", 301),
        ("viewer_protocol = \"https-only\"", "", "GET", 403),
        ("methods = [\"GET\"]", "", "DELETE", 403),
        ("access = { address = \"elsewhere\" }", list, "GET", 403),
        ("access = { country = [\"DE\"] }", &geo, "GET", 403),
        ("access = { signed = \"premium\" }", &keys, "GET", 403),
    ] {
        let origin = Origin::fixed("", "hello");
        let pop = pop(&origin, &marks(), behavior, &format!("{ALL}\n{rest}"));
        let reply = pop.send(method, "/a", &[], b"");
        assert_eq!((reply.status, ran(&reply)), (status, (false, false)), "{behavior}: {}", reply.text());
        assert_eq!(events(&pop, 1), [""; 0], "{behavior}");
        assert_eq!(origin.count(), 0, "{behavior}");
    }
}

/// The rows of the table where an origin is asked, or fails.
#[test]
fn which_events_run_by_what_became_of_the_request() {
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/checked" if x.request.field("if-none-match").is_some() => x.head("304 Not Modified", "ETag: \"e\"\r\n"),
        "/checked" => x.reply("200 OK", "Cache-Control: no-cache\r\nETag: \"e\"\r\n", "v"),
        "/late" => while x.read().is_some() {},
        _ => x.reply("200 OK", "Cache-Control: max-age=60\r\n", "v"),
    });
    let mut setup = Setup::new("");
    setup.rest = format!("{}timeouts = {{ read = \"300ms\" }}\n", origin.config("o"));
    for (name, text) in marks() {
        std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
        setup.rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n"));
    }
    setup.rest.push_str(&format!(
        "[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n[behavior.hooks]\n{ALL}\n"
    ));
    let pop = setup.start();
    let viewers = ["viewer-request", "viewer-response"];
    for (lines, (method, path, status, want)) in (1..).zip([
        ("GET", "/a", 200, &EACH[..]),
        ("GET", "/a", 200, &viewers),
        ("HEAD", "/a", 200, &viewers),
        ("POST", "/a", 200, &EACH),
        ("GET", "/checked", 200, &EACH),
        ("GET", "/checked", 200, &EACH),
        ("GET", "/late", 504, &["viewer-request", "origin-request"]),
    ]) {
        let reply = pop.send(method, path, &[], b"");
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(events(&pop, lines), want, "{method} {path}, line {lines}");
    }
}

/// The viewer gets the stale answer with its own two; the background request runs the origin's two.
#[test]
fn a_stale_answer_that_is_refreshed_behind_runs_the_viewers_two() {
    let origin = Origin::start(|x| {
        let age = if x.nth == 0 { 1 } else { 600 };
        x.reply(
            "200 OK",
            &format!("Cache-Control: max-age={age}, stale-while-revalidate=600\r\n"),
            format!("v{}", x.nth),
        );
    });
    let pop = pop(&origin, &marks(), "", ALL);
    pop.get("/a");
    let mut lines = 1;
    until("the origin to be asked again", || {
        lines += 1;
        let reply = pop.get("/a");
        assert!(ran(&reply).1);
        assert_eq!(events(&pop, lines), ["viewer-request", "viewer-response"], "line {lines}");
        (reply.text() == "v1").then_some(())
    });
    for (function, calls) in [("vreq", lines), ("oreq", 2), ("ores", 2), ("vres", lines)] {
        pop.counted("rimward_function_calls_total", &[&format!("function=\"{function}\"")], calls as f64);
    }
}

/// A page is nobody's request: the functions of its own behavior run at its origin, those of viewers do not.
#[test]
fn an_error_page_runs_its_origins_functions() {
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/page" => {
            let asked = x.request.field("x-oreq").unwrap_or("none").to_owned();
            x.reply("200 OK", "Cache-Control: max-age=60\r\n", asked);
        }
        _ => x.reply("404 Not Found", "", "none"),
    });
    let mut setup = Setup::new(origin.config("o"));
    for (name, text) in marks() {
        std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
        setup.rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n"));
    }
    setup.rest.push_str(&format!(
        "[[behavior]]\nmatch = \"/page\"\norigin = \"o\"\n[behavior.hooks]\n{ALL}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nerrors = [{{ status = [404], page = \"/page\" }}]\n"
    ));
    let pop = setup.start();
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str()), (404, "1"), "the page as origin-request asked for it");
    assert_eq!(origin.last().field("x-vreq"), None);
    pop.counted("rimward_function_calls_total", &["function=\"oreq\""], 1.0);
    pop.counted("rimward_function_calls_total", &["function=\"ores\""], 1.0);
    pop.counted("rimward_function_calls_total", &["function=\"vreq\""], 0.0);
    pop.counted("rimward_function_calls_total", &["function=\"vres\""], 0.0);
}

/// The origin's failure is seen where an answer came; what viewers get is the stored answer, which was none.
#[test]
fn a_stale_answer_in_a_failures_place_is_shown_to_viewer_response_functions() {
    for (fails, seen) in [("503 Busy", &EACH[..]), ("reset", &["viewer-request", "origin-request", "viewer-response"])]
    {
        let origin = Origin::start(move |x| match (x.nth, fails) {
            (0, _) => x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n", "good"),
            (_, "reset") => x.reset(),
            (_, status) => x.reply(status, "", "bad"),
        });
        let pop = pop(&origin, &marks(), "", ALL);
        let mut lines = 1;
        pop.get("/a");
        let stale = until("the origin to be asked again", || {
            lines += 1;
            let reply = pop.get("/a");
            (origin.count() > 1).then_some(reply)
        });
        assert_eq!((stale.status, stale.text().as_str(), ran(&stale)), (200, "good", (true, true)), "{fails}");
        assert_eq!(events(&pop, lines), seen, "{fails}");
    }
}

/// Developer Guide, "Custom error responses": they stand for what an origin answers.
#[test]
fn an_error_that_a_viewer_request_function_answers_gets_no_error_page() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "page");
    let handler = "function handler(event) { return { statusCode: 404, statusDescription: 'Not Found', \
                   body: { encoding: 'text', data: 'own' } }; }\n";
    let native = Flat::new().respond(404, &[], "own").wat();
    for text in [handler.to_owned(), native] {
        let errors = "errors = [{ status = [404], page = \"/page\" }]";
        let pop = pop(&origin, &[("answer", text)], errors, "viewer_request = \"answer\"");
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str()), (404, "own"));
    }
    assert_eq!(origin.count(), 0);
}

/// An origin-response function of Lambda@Edge that does this when `when` holds.
fn on_response(when: &str, what: &str) -> String {
    format!(
        "exports.handler = async (event) => {{ const {{ request, response }} = event.Records[0].cf; \
         if ({when}) {{ {what} }} return response; }};\n"
    )
}

/// Of a failure that a stale answer stands in for, functions see all and serve nothing, whatever they make of it; its origin rests.
#[test]
fn what_functions_make_of_a_failure_takes_no_stale_answers_place() {
    for what in ["response.status = '502';", "response.body = 'own';", "throw new Error('on purpose');"] {
        let origin = Origin::start(|x| match x.nth {
            0 => x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n", "good"),
            _ => x.reply("503 Busy", "", "bad"),
        });
        let second = Origin::fixed("", "second");
        // What the function writes is no reason to ask another member: the origin's own status is.
        let group = format!(
            "{}[[origin_group]]\nname = \"g\"\norigins = [\"o\", \"p\"]\nfailover = [502]\n",
            second.config("p")
        );
        let mut setup = Setup::new("");
        std::fs::write(setup.dir().join("f.js"), on_response("response.status >= '500'", what)).unwrap();
        setup.rest = format!(
            "{}{group}[[function]]\nname = \"f\"\nfile = \"f.js\"\n\
             [[behavior]]\nmatch = \"*\"\norigin = \"g\"\nhooks = {{ origin_response = \"f\" }}\n",
            origin.config("o")
        );
        let pop = setup.start();
        pop.get("/a");
        until("the origin to be asked again", || {
            let reply = pop.get("/a");
            assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{what}");
            (origin.count() > 1).then_some(())
        });
        for _ in 0..3 {
            assert_eq!(pop.get("/a").text(), "good", "{what}");
        }
        assert_eq!(
            (origin.count(), second.count()),
            (2, 0),
            "{what}: the failure is everybody's answer for `error_ttl`"
        );
        pop.counted("rimward_function_calls_total", &[], 2.0);
    }
}

/// Where no failure of the origin is behind it, a function's own 503 is what viewers get, stale answer or not.
#[test]
fn a_functions_own_503_is_served() {
    let origin = Origin::start(|x| {
        let body = if x.nth == 0 { "good" } else { "closed" };
        x.reply("200 OK", &format!("Cache-Control: max-age=1, stale-if-error=600\r\nX-Is: {body}\r\n"), body);
    });
    let closed = on_response("response.headers['x-is'][0].value === 'closed'", "response.status = '503';");
    let pop = pop(&origin, &[("f", closed)], "", "origin_response = \"f\"");
    assert_eq!(pop.get("/a").text(), "good");
    let reply = until("the object to be stale", || Some(pop.get("/a")).filter(|reply| reply.text() != "good"));
    assert_eq!((reply.status, reply.text().as_str()), (503, "closed"));
}

/// An origin's error that a stale answer may not stand in for is the origin's own, with or without functions.
#[test]
fn an_error_after_a_304_about_another_answer_is_the_origins_own() {
    for function in ["response.headers['x-seen'] = [{ value: '1' }];", ""] {
        let origin = Origin::start(|x| match (x.nth, x.request.field("if-none-match")) {
            (0, _) => x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\nETag: \"x\"\r\n", "good"),
            (_, Some(_)) => x.head("304 Not Modified", "ETag: \"y\"\r\n"),
            _ => x.reply("503 Busy", "", "the origin's"),
        });
        let hooks = if function.is_empty() { "" } else { "origin_response = \"f\"" };
        let pop = pop(&origin, &[("f", on_response("true", function))], "", hooks);
        assert_eq!(pop.get("/a").text(), "good");
        let reply = until("the object to be stale", || Some(pop.get("/a")).filter(|reply| reply.text() != "good"));
        assert_eq!((reply.status, reply.text().as_str()), (503, "the origin's"));
    }
}

/// A 304 that a function fails on confirms nothing, and is no answer to who asked without conditions: the viewer gets the failure, what is
/// stored stays as it is.
#[test]
fn a_function_that_fails_on_a_304_is_a_failure() {
    let origin = Origin::start(|x| {
        let fields = "Cache-Control: no-cache\r\nETag: \"e\"\r\n";
        match (x.request.field("if-none-match"), x.nth) {
            (Some(_), 4) => x.head("304 Not Modified", &format!("{fields}X-Well: 1\r\n")),
            (Some(_), _) => x.head("304 Not Modified", fields),
            (None, _) => x.reply("200 OK", fields, "0123456789"),
        }
    });
    let fails =
        on_response("response.status === '304' && !response.headers['x-well']", "throw new Error('on purpose');");
    let pop = pop(&origin, &[("f", fails)], "", "origin_response = \"f\"");
    assert_eq!(pop.get("/a").status, 200);
    for (nth, fields) in [(2, &[][..]), (3, &[("Range", "bytes=0-3")]), (4, &[("If-None-Match", "\"e\"")])] {
        let reply = pop.get_with("/a", fields);
        let name = reply.field("x-cache").unwrap();
        assert!(reply.status == 503 && name.starts_with("LambdaExecutionError"), "{fields:?}: {} {name}", reply.status);
        assert!(reply.text().contains("the Lambda function failed") || !fields.is_empty(), "{}", reply.text());
        assert_eq!(reply.field("cache-control"), Some("no-store"), "nobody keeps it");
        assert_eq!(origin.count(), nth, "one question each");
    }
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str(), origin.count()), (200, "0123456789", 5), "confirmed at last");
}

/// As on any other answer of the origin.
#[test]
fn a_page_stands_in_for_a_function_that_fails_on_a_304() {
    let origin = Origin::start(|x| match (x.request.target.as_str(), x.request.field("if-none-match")) {
        ("/page", _) => x.reply("200 OK", "Cache-Control: max-age=60\r\nContent-Type: text/x-page\r\n", "page"),
        (_, Some(_)) => x.head("304 Not Modified", "ETag: \"e\"\r\n"),
        (_, None) => x.reply("200 OK", "Cache-Control: no-cache\r\nETag: \"e\"\r\n", "stored"),
    });
    let fails = on_response("response.status === '304'", "throw new Error('on purpose');");
    let errors = "errors = [{ status = [503], page = \"/page\", respond = 500 }]";
    let pop = pop(&origin, &[("f", fails)], errors, "origin_response = \"f\"");
    assert_eq!(pop.get("/a").text(), "stored");
    for _ in 0..2 {
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str()), (500, "page"), "{:?}", reply.field("content-type"));
        assert_eq!(reply.field("content-type"), Some("text/x-page"));
        assert!(reply.field("x-cache").unwrap().starts_with("LambdaExecutionError"));
    }
    assert_eq!(pop.get_with("/a", &[("Range", "bytes=0-1")]).text(), "page");
    assert_eq!(origin.count(), 5, "one question each, and the page once");
}

/// What a function writes in the origin's place is not taken for a failure of the origin.
#[test]
fn an_answer_that_functions_wrote_is_bridged_by_nothing_stale() {
    let closed = "closed = response.headers['x-is'][0].value === 'closed'";
    let write = format!("const {closed}; if (closed) {{ response.status = '503'; response.body = 'mine'; }}");
    let request = "exports.handler = async ({ Records: [{ cf: { request } }] }) => request.headers['x-close'] ? \
                   { status: '503', body: 'mine' } : request;\n";
    let at = "cache = { stale_if_error = \"10m\" }\nforward = { headers = [\"x-close\"] }";
    for (text, event) in [(on_response("true", &write), "origin_response"), (request.to_owned(), "origin_request")] {
        let origin = Origin::start(|x| {
            let body = if x.nth == 0 { "good" } else { "closed" };
            x.reply("200 OK", &format!("Cache-Control: max-age=1\r\nX-Is: {body}\r\n"), body);
        });
        let pop = pop(&origin, &[("f", text)], at, &format!("{event} = \"f\""));
        assert_eq!(pop.get("/a").text(), "good");
        let ask = || pop.get_with("/a", &[("X-Close", "1")]);
        let reply = until("the object to be stale", || Some(ask()).filter(|reply| reply.text() != "good"));
        assert_eq!((reply.status, reply.text().as_str()), (503, "mine"), "{event}");
    }
}
