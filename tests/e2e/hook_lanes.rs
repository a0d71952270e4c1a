//! Hook lanes: a hit that viewer functions see is answered ahead of the full path, and nobody can tell.
//!
//! In: the same request twice, once with a field that forces the full path. Out: the same answer, log line and calls from both.
//! Never: what functions may do (`hooks`), how they fail (`hook_limits`).

use std::collections::BTreeSet;

use crate::harness::h2::H2;
use crate::harness::hooked::{ALL, FORWARD, calls, marks, pop};
use crate::harness::names::REQUESTS;
use crate::harness::raw::request;
use crate::harness::wat::{self, Flat};
use crate::harness::{Origin, Pop, Reply, Setup, until};
use serde_json::{Map, Value};

/// It asks for nothing here, but no lane takes a request with it.
const FULL: (&str, &str) = ("TE", "trailers");

/// Pingora says `keep-alive` where the lanes leave that unsaid: how a test knows which way an answer came.
fn came_by_lane(reply: &Reply) -> bool {
    reply.field("connection") != Some("keep-alive")
}

/// An answer without what is its own: its id, its age, its second, its connection.
fn comparable(reply: &Reply) -> (u16, BTreeSet<(String, String)>, String) {
    let own = ["x-amz-cf-id", "date", "connection", "age", "cache-status"];
    let fields = reply.fields.iter().filter(|(name, _)| !own.contains(&name.as_str())).cloned().collect();
    (reply.status, fields, reply.text().replace(reply.field("x-amz-cf-id").unwrap(), "ID"))
}

/// A log line without what is its own. `bytes_out` counts the `Connection` field, which differs.
fn comparable_line(line: &Value) -> Map<String, Value> {
    let own =
        ["time", "id", "port", "ms", "first_byte_ms", "bytes_out", "bytes_in", "ttl", "age", "trace_id", "span_id"];
    let mut line = line.as_object().unwrap().clone();
    line.retain(|key, _| !own.contains(&key.as_str()));
    for call in line.get_mut("functions").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().unwrap().retain(|key, _| !key.ends_with("ms"));
    }
    line
}

fn origin() -> Origin {
    Origin::start(|x| {
        let target = x.request.target.clone();
        let kept = "Cache-Control: max-age=600\r\nContent-Type: text/plain\r\nETag: \"e\"\r\n";
        match target.split('?').next().unwrap() {
            "/missing" => x.reply("404 Not Found", kept, "no such page"),
            "/empty" => x.reply("200 OK", kept, ""),
            "/large" => x.reply("200 OK", kept, "large ".repeat(10_000)),
            "/never" => x.reply("200 OK", "Cache-Control: no-store\r\n", target),
            _ => x.reply("200 OK", kept, target),
        }
    })
}

/// Asks for `path` until it is stored, then once down each path; whether the lane took the second.
fn compare(pop: &Pop, path: &str, what: &str) -> bool {
    let asks = [("User-Agent", "test"), ("Cookie", "a=1; b=2"), ("Accept-Encoding", "gzip"), ("Referer", "r")];
    let full: Vec<_> = asks.iter().copied().chain([FULL]).collect();
    for _ in 0..2 {
        pop.get_with(path, &full);
    }
    let both = [&asks[..], &full].map(|fields| pop.get_with(path, fields));
    let lines = both.each_ref().map(|reply| pop.log_line(reply.field("x-amz-cf-id").unwrap()));
    let [lane, full] = &both;
    // Behind some errors the connection closes, whichever way they came.
    let shows = |reply: &Reply| reply.status < 500;
    assert!(!shows(full) || !came_by_lane(full), "{what}");
    assert_eq!(comparable(lane), comparable(full), "{what}: the answers");
    let without = |reply: &Reply| -> Vec<String> {
        let lines = reply.all("cache-status").into_iter();
        lines.map(|line| line.split(';').filter(|part| !part.contains("ttl=")).collect()).collect()
    };
    assert_eq!(without(lane), without(full), "{what}: what the cache says");
    assert_eq!(comparable_line(&lines[0]), comparable_line(&lines[1]), "{what}: the log lines");
    shows(lane) && came_by_lane(lane)
}

#[test]
fn the_lane_and_the_full_path_answer_alike() {
    let (request, response) = ("viewer_request = \"f\"", "viewer_response = \"f\"");
    let skipped = "viewer_request = [{ function = \"f\", on_error = \"skip\" }]";
    let origin = origin();
    for (name, function, hooks, taken) in [
        ("nothing", Flat::new(), request, true),
        ("a field", Flat::new().set("x-seen", "1"), request, true),
        ("a path", Flat::new().uri("/other"), request, true),
        ("a query", Flat::new().query("q=2&r"), request, true),
        ("no query", Flat::new().query(""), request, true),
        ("what the log names", Flat::new().set("user-agent", "f").remove("cookie").set("referer", "f"), request, true),
        ("a refused edit", Flat::new().set("host", "other.example"), request, false),
        ("a condition", Flat::new().set("if-none-match", "\"e\""), request, false),
        ("a range", Flat::new().set("range", "bytes=0-1"), request, false),
        ("another origin", Flat::new().choose("o"), request, false),
        ("an answer", Flat::new().respond(302, &[("location", "/there")], ""), request, false),
        ("a failure", Flat::new().fail("on purpose"), request, false),
        ("a failure that is skipped", Flat::new().set("x-seen", "1").fail("on purpose"), skipped, true),
        (
            "an answer's field",
            Flat::new().set("x-seen", "1").append("etag", "\"f\"").remove("content-type"),
            response,
            true,
        ),
        ("a media type", Flat::new().set("content-type", "text/css"), response, true),
        ("a status", Flat::new().status(203), response, true),
        ("a status without a body", Flat::new().status(204), response, true),
        ("a status without content", Flat::new().status(205), response, true),
        ("a status of a condition", Flat::new().status(304), response, true),
        ("no body", Flat::new().body("").status(204), response, true),
        ("a body", Flat::new().body("written"), response, true),
        ("a coded body", Flat::new().set("content-encoding", "br").body("written"), response, true),
        ("a status and a body", Flat::new().status(418).body("written"), response, true),
        ("a failed answer", Flat::new().fail("on purpose"), response, false),
        ("a forbidden field", Flat::new().set("via", "x"), response, false),
    ] {
        let behavior = format!("{FORWARD}\nresponse = {{ set = {{ x-frame-options = \"DENY\" }} }}\ncompress = true");
        let pop = pop(&origin, &[("f", function.wat())], &behavior, hooks);
        for path in ["/a?q=1", "/missing", "/empty", "/large"] {
            let lane = compare(&pop, path, &format!("{name} {path}"));
            // Functions do not see the answers of errors.
            let quiet = path == "/missing" && hooks == response;
            assert_eq!(lane, taken || quiet, "{name} {path}");
        }
    }
}

#[test]
fn functions_run_once_whichever_path_a_request_ends_on() {
    let origin = origin();
    let pop = pop(&origin, &marks(), FORWARD, ALL);
    let mut viewer = pop.raw();
    let run = |event: &str| pop.metric("rimward_function_calls_total", &[&format!("function=\"{event}\"")]);
    // A miss, its hits, and what is never stored; on one connection, some of it sent ahead.
    let paths = ["/a", "/a", "/never", "/a", "/b", "/never", "/b", "/a"];
    for path in paths {
        let reply = viewer.get(path);
        let id = reply.field("x-amz-cf-id").unwrap();
        let line = pop.log_line(id);
        let events: Vec<_> = line["functions"].as_array().unwrap().iter().map(|call| call["event"].clone()).collect();
        let want: &[&str] = match reply.hit() {
            true => &["viewer-request", "viewer-response"],
            false => &["viewer-request", "origin-request", "origin-response", "viewer-response"],
        };
        assert_eq!(events, want, "{path}");
        assert_eq!(came_by_lane(&reply), reply.hit(), "{path}");
    }
    let seen = origin.requests();
    for asked in &seen {
        assert_eq!(asked.fields.iter().filter(|(name, _)| name == "x-vreq").count(), 1, "{asked:?}");
        assert!(!asked.fields.iter().any(|(name, _)| name.starts_with("x-edge")), "{asked:?}");
    }
    let ahead: Vec<u8> = paths.iter().flat_map(|path| request("GET", path, &[], b"")).collect();
    viewer.send(ahead);
    for path in paths {
        assert_eq!(viewer.reply("GET").text(), path);
    }
    let last = viewer.ask("GET", "/a", &[("Connection", "close")]);
    assert_eq!((last.text().as_str(), last.field("connection"), last.hit()), ("/a", Some("close"), true));
    assert!(viewer.closed());
    let asked = (2 * paths.len() + 1) as f64;
    until("the counts", || (pop.metric(REQUESTS, &[]) == asked).then_some(()));
    assert_eq!((run("vreq"), run("vres")), (asked, asked));
    assert_eq!((run("oreq"), run("ores")), (origin.count() as f64, origin.count() as f64));
}

#[test]
fn what_a_function_changed_is_found_under_its_own_key() {
    let origin = origin();
    let pop = pop(&origin, &[("f", Flat::new().uri("/b").wat())], "", "viewer_request = \"f\"");
    assert_eq!(pop.get("/a").text(), "/b");
    let reply = pop.get("/c");
    assert_eq!((reply.text().as_str(), reply.hit(), came_by_lane(&reply)), ("/b", true, true));
    assert_eq!(pop.log_line(reply.field("x-amz-cf-id").unwrap())["path"], "/c");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_purge_is_seen_by_the_lane() {
    let origin = origin();
    let pop = pop(&origin, &[("idle", wat::idle())], "", "viewer_request = \"idle\"\nviewer_response = \"idle\"");
    let mut viewer = pop.raw();
    viewer.get("/a");
    assert!(viewer.get("/a").hit());
    pop.purge(&serde_json::json!({ "all": true }));
    assert!(!viewer.get("/a").hit());
    assert!(viewer.get("/a").hit());
    assert_eq!(calls(&pop, 4).len(), 2);
}

#[test]
fn a_request_counts_once_whichever_path_it_ends_on() {
    let origin = origin();
    let limit = "limit = [{ per = \"address\", rate = \"1/m\", burst = 5 }, { per = \"behavior\", concurrency = 1 }]";
    let pop = pop(&origin, &[("idle", wat::idle())], limit, "viewer_request = \"idle\"\nviewer_response = \"idle\"");
    let mut viewer = pop.raw();
    for (left, (path, fields)) in
        [("/a", &[][..]), ("/a", &[]), ("/never", &[]), ("/a", &[FULL]), ("/a", &[])].into_iter().enumerate()
    {
        let reply = viewer.ask("GET", path, fields);
        let shown = reply.field("ratelimit").unwrap_or_default();
        assert_eq!(reply.status, 200, "{path}");
        assert!(shown.contains(&format!("r={}", 4 - left)), "{path}: {shown}");
    }
    let refused = viewer.get("/a");
    assert_eq!(refused.status, 429);
    // By its id: one that is as quick begins in the same millisecond.
    let line = pop.log_line(refused.field("x-amz-cf-id").unwrap());
    assert_eq!(line.get("functions"), None, "functions do not see what is refused");
}

#[test]
fn the_streams_of_http_2_have_the_lane_too() {
    let origin = origin();
    let pop = pop(&origin, &marks(), FORWARD, ALL);
    let mut viewer = H2::plain(pop.http);
    for path in ["/a", "/a", "/a", "/missing", "/missing"] {
        let h2 = viewer.get(path);
        let full = pop.get_with(path, &[FULL]);
        for name in ["x-cache", "x-vres", "x-ores", "content-type", "etag"] {
            if h2.field("x-cache") == full.field("x-cache") {
                assert_eq!(h2.field(name), full.field(name), "{path} {name}");
            }
        }
        let line = pop.log_line(h2.field("x-amz-cf-id").unwrap());
        let run = line["functions"].as_array().unwrap().len();
        let want = match (h2.field("x-cache").unwrap().starts_with("Hit"), path) {
            (true, "/missing") => 1,
            (true, _) => 2,
            (false, _) => 4 - usize::from(path == "/missing"),
        };
        assert_eq!(run, want, "{path}: {line}");
    }
    assert_eq!(origin.count(), 2);
}

/// CloudFront Developer Guide, "Helper methods for edge location": `serverIp`. Its `region` is AWS's.
#[test]
fn every_lane_says_which_address_the_viewer_came_to() {
    let origin = Origin::fixed("", "from the origin");
    let mut setup = Setup::new("");
    let source = "import cf from 'cloudfront';\nfunction handler() {\n  \
                  return { statusCode: 200, body: JSON.stringify(cf.edgeLocation) };\n}\n";
    std::fs::write(setup.dir().join("f.js"), source).unwrap();
    setup.rest = format!(
        "{}[[function]]\nname = \"f\"\nfile = \"f.js\"\ncpu = \"5s\"\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nhooks = {{ viewer_request = \"f\" }}\n",
        origin.config("o")
    );
    let pop = setup.start();
    // No lane ahead of Pingora's takes the second.
    let h2 = String::from_utf8(H2::plain(pop.http).send("GET", "/a", &[], b"", &[]).body).unwrap();
    for reply in [pop.get("/a"), pop.get_with("/a", &[FULL])].map(|reply| reply.text()) {
        assert_eq!(reply, h2);
    }
    assert_eq!(h2, r#"{"name":"TST","serverIp":"127.0.0.1"}"#);
}
