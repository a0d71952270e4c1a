//! Hooks: where functions run, and what becomes of what they do.
//!
//! In: functions attached to the four events. Out: what viewer and origin see, the log. Never: how they fail (`hook_limits`), the
//! engine's own limits (tests beside the engine hold them).

use crate::harness::hooked::{ALL, FORWARD, calls, marks, pop, ran, result};
use crate::harness::pop::run;
use crate::harness::wat::Flat;
use crate::harness::{HOST, Origin, Reply, Setup, until};

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

/// Who answers is settled before a function writes the path: under the same path another behavior may have another origin.
#[test]
fn a_path_that_a_function_wrote_is_no_hit_for_the_behavior_it_belongs_to() {
    let uploads = Origin::fixed("Cache-Control: max-age=60\r\n", "uploaded");
    let app = Origin::fixed("Cache-Control: max-age=60\r\n", "the app's own");
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("f.wat"), Flat::new().uri("/login").wat()).unwrap();
    setup.rest = format!(
        "{}{}[[function]]\nname = \"f\"\nfile = \"f.wat\"\n[[behavior]]\nmatch = \"/img/*\"\norigin = \"uploads\"\n\
         hooks = {{ viewer_request = \"f\" }}\n[[behavior]]\nmatch = \"*\"\norigin = \"app\"\n",
        uploads.config("uploads"),
        app.config("app")
    );
    let pop = setup.start();
    for (path, body) in [("/img/login", "uploaded"), ("/login", "the app's own")] {
        let first = pop.get(path);
        assert_eq!((first.text().as_str(), first.hit()), (body, false), "{path}");
        let second = pop.get(path);
        assert_eq!((second.text().as_str(), second.hit()), (body, true), "{path}");
    }
    assert_eq!(uploads.last().target, "/login");
    // A purge goes by host and path, whichever behavior stored what is there.
    pop.purge(&serde_json::json!({"url": format!("http://{HOST}/login")}));
    assert!(!pop.get("/img/login").hit() && !pop.get("/login").hit());
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

/// A call that was recorded in the PoP runs again at the command line, with the message and the clock it had; another code shows how
/// it differs. Who may read the recording is the PoP's user alone: it holds what viewers sent.
#[test]
fn recorded_calls_are_replayed() {
    use std::os::unix::fs::PermissionsExt as _;
    let code = "exports.handler = async ({ Records: [{ cf: { request } }] }) => {\n  \
                if (request.uri === '/broken') throw new Error('on purpose');\n  \
                if (request.uri === '/large') request.headers['x-large'] = [{ value: String(new Uint8Array(32 << 20).length) }];\n  \
                request.headers['x-at'] = [{ value: String(Date.now()) }];\n  return request;\n};\n";
    let origin = Origin::start(|x| {
        let at = x.request.field("x-at").unwrap_or("none").to_owned();
        x.reply("200 OK", "", at);
    });
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("f.js"), code).unwrap();
    setup.rest = format!(
        "{}[[function]]\nname = \"f\"\nfile = \"f.js\"\nrecord = \"100%\"\ncpu = \"2s\"\nmemory = \"48MiB\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
         cache = false\nforward = {{ headers = \"all\" }}\n\
         hooks = {{ viewer_request = {{ function = \"f\", memory = \"128MiB\" }} }}\n",
        origin.config("o")
    );
    let pop = setup.start();
    let good = pop.get_with("/good", &[("cookie", "a=b")]);
    let broken = pop.get("/broken");
    // More than the function's own memory, and less than it has where it is attached.
    let large = pop.get("/large");
    assert_eq!((good.status, broken.status, large.status), (200, 503, 200));
    let config = pop.dir().join("rimward.toml");
    let replay = |reply: &Reply, more: &[&str]| {
        let id = reply.field("x-amz-cf-id").unwrap();
        let records = until("the recording", || {
            let files = std::fs::read_dir(pop.dir().join("state/records")).unwrap().flatten();
            files.map(|file| file.path()).find(|path| {
                path.file_name().unwrap().to_string_lossy().starts_with(id)
                    && serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).is_ok()
            })
        });
        assert_eq!(std::fs::metadata(&records).unwrap().permissions().mode() & 0o777, 0o600);
        let (status, out, err) = run(&[&["fn", "replay", id, "--pop-config", config.to_str().unwrap()], more].concat());
        (status.code().unwrap(), format!("{out}{err}"))
    };
    for (reply, shows) in
        [(&good, good.text()), (&broken, "on purpose".to_owned()), (&large, "x-large: 33554432".to_owned())]
    {
        let (code, said) = replay(reply, &[]);
        assert!(code == 0 && said.contains("the same outcome as recorded (the same code)"), "{said}");
        assert!(said.contains(&shows), "{shows} in {said}");
    }
    let other = pop.dir().join("other.js");
    std::fs::write(&other, code.replace("Date.now()", "1")).unwrap();
    let (code, said) = replay(&good, &["--function", other.to_str().unwrap()]);
    let differs = format!("- set x-at: {}\n+ set x-at: 1\n", good.text());
    assert!(code == 1 && said.contains("another outcome than recorded") && said.contains(&differs), "{said}");
    let (code, said) = replay(&broken, &["--function", other.to_str().unwrap()]);
    assert!(code == 0 && said.contains("as recorded (version "), "it fails as before, by other code: {said}");
}
