//! Passing: requests that no cache takes part in go to their origin and back on a lane of their own, and nobody can tell.
//!
//! In: two behaviors that differ only in what forces the full path. Out: the same answers, requests and log lines from both;
//! streams that flow, ends that show. Never: a short answer that looks whole, a body held in memory.

use crate::harness::names::{BEHAVIOR, ORIGIN_REQUESTS, REQUESTS};
use crate::harness::raw::request;
use crate::harness::{Exchange, Gate, Origin, Pop, Reply, until};
use serde_json::{Map, Value};

/// `/lane/*` and `/full/*`: an error page for a status no origin here sends sends the second down the full path.
fn both(origin: &Origin, of_origin: &str, of_both: &str) -> Pop {
    let behavior = |name: &str, more: &str| {
        format!(
            "[[behavior]]\nname = \"{name}\"\nmatch = \"/{name}/*\"\norigin = \"o\"\nstrip_prefix = \"/{name}\"\n\
             cache = false\n{more}\n{of_both}\n"
        )
    };
    Pop::start(format!(
        "{}{of_origin}\n{}{}",
        origin.config("o"),
        behavior("lane", ""),
        behavior("full", "errors = [{ status = [418], page = \"/never\" }]")
    ))
}

/// Pingora says `keep-alive` where the lane leaves that unsaid: how a test knows which way an answer came.
fn came_by_lane(reply: &Reply) -> bool {
    reply.field("connection") != Some("keep-alive")
}

/// An answer without what is its own: its id, its second, its connection.
fn comparable(reply: &Reply) -> (u16, Vec<(String, String)>, String, usize) {
    let own = ["x-amz-cf-id", "date", "connection"];
    let mut fields: Vec<_> = reply.fields.iter().filter(|(name, _)| !own.contains(&name.as_str())).cloned().collect();
    fields.sort();
    let text = reply.text().replace(reply.field("x-amz-cf-id").unwrap(), "ID");
    (reply.status, fields, text, reply.trailers.len())
}

/// A log line without what is its own. `bytes_out` counts the `Connection` field and chunk sizes, which differ; a connection
/// that was kept has one attempt more.
fn comparable_line(line: &Value) -> Map<String, Value> {
    let own = ["time", "id", "port", "behavior", "path", "ms", "first_byte_ms", "bytes_out"];
    let mut line = line.as_object().unwrap().clone();
    line.retain(|key, _| !own.contains(&key.as_str()));
    if let Some(origin) = line.get_mut("origin").and_then(Value::as_object_mut) {
        origin.retain(|key, _| !key.ends_with("ms") && key != "attempts");
    }
    line
}

fn script(x: &mut Exchange<'_>) {
    let target = x.request.target.clone();
    match target.split('?').next().unwrap() {
        "/plain" => x.reply(
            "200 OK",
            "Content-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Cache: theirs\r\n\
             Cache-Status: origin; hit\r\nVia: 1.1 other\r\nKeep-Alive: timeout=5\r\nConnection: x-hop\r\nX-Hop: 1\r\n",
            "hello",
        ),
        "/chunked" => {
            x.head("200 OK", "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n");
            x.chunk("hello ");
            x.write("5;ext=1\r\nworld\r\n");
            x.last_chunk("X-Sum: 1\r\n");
        }
        "/until-close" => {
            x.head("200 OK", "");
            x.write("until the end");
            x.close();
        }
        "/old" => {
            x.write("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold");
            x.close();
        }
        "/identity" => {
            x.head("200 OK", "Transfer-Encoding: identity\r\n");
            x.write("plain");
            x.close();
        }
        "/both" => {
            x.head("200 OK", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n");
            x.chunk("five!");
            x.last_chunk("");
        }
        "/empty" => x.reply("200 OK", "", ""),
        "/nothing" => x.head("204 No Content", ""),
        "/nothing-of-length" => x.head("204 No Content", "Content-Length: 0\r\n"),
        "/nothing-in-chunks" => x.head("204 No Content", "Transfer-Encoding: chunked\r\n"),
        "/same" => x.head("304 Not Modified", "ETag: \"e\"\r\n"),
        "/part" => x.reply("206 Partial Content", "Content-Range: bytes 0-1/5\r\n", "he"),
        "/missing" => x.reply("404 Not Found", "Content-Type: text/html\r\n", "no such page"),
        "/failed" => x.reply("500 Internal Server Error", "", "oops"),
        "/odd" => x.reply("299 Whatever", "X-Folded: a\r\n b\r\n", "odd"),
        "/hints" => {
            x.head("103 Early Hints", "Link: </a.css>; rel=preload\r\nConnection: x\r\n");
            x.reply("200 OK", "", "after hints");
        }
        "/unasked" => x.head("101 Switching Protocols", "Upgrade: chess\r\nConnection: upgrade\r\n"),
        "/lengths" => {
            x.head("200 OK", "Content-Length: 5\r\nContent-Length: 6\r\n");
            x.write("short");
            x.close();
        }
        "/twice" => {
            x.head("200 OK", "Content-Length: 5\r\nContent-Length: 5\r\n");
            x.write("short");
            x.close();
        }
        "/nonsense" => {
            x.write("SSH-2.0-OpenSSH_9.2\r\n\r\n");
            x.close();
        }
        "/silent" => x.close(),
        "/reset" => x.reset(),
        other => x.reply("200 OK", "", other),
    }
}

#[test]
fn the_lane_and_the_full_path_answer_alike() {
    let origin = Origin::start(script);
    let policy = "forward = { headers = \"all\", cookies = \"all\", query = \"all\" }\n\
                  response = { set = { x-frame-options = \"DENY\", server = \"edge\" }, remove = [\"x-powered-by\"] }";
    let pop = both(&origin, "attempts = 2", policy);
    let browser = [
        ("User-Agent", "Mozilla/5.0"),
        ("Accept-Encoding", "gzip, br"),
        ("Cookie", "a=1; b=2"),
        ("Referer", "https://a.example/"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("Via", "1.1 elsewhere"),
        ("X-Amz-Cf-Id", "forged"),
        ("Proxy", "forged"),
        ("TE", "trailers"),
    ];
    for (method, target, fields) in [
        ("GET", "/plain?q=1&r", &browser[..]),
        ("HEAD", "/plain", &[]),
        ("GET", "/chunked", &[]),
        ("GET", "/until-close", &[]),
        ("HEAD", "/until-close", &[]),
        ("GET", "/old", &[]),
        ("GET", "/identity", &[]),
        ("GET", "/both", &[]),
        ("GET", "/empty", &[]),
        ("GET", "/nothing", &[]),
        ("GET", "/nothing-of-length", &[]),
        ("GET", "/nothing-in-chunks", &[]),
        ("GET", "/same", &[("If-None-Match", "\"e\"")]),
        ("GET", "/same", &[]),
        ("GET", "/part", &[("Range", "bytes=0-1")]),
        ("GET", "/missing", &[]),
        ("GET", "/failed", &[]),
        ("GET", "/odd", &[]),
        ("GET", "/hints", &[]),
        ("GET", "/unasked", &[]),
        ("GET", "/lengths", &[]),
        ("GET", "/twice", &[]),
        ("GET", "/nonsense", &[]),
        ("GET", "/silent", &[]),
        ("GET", "/reset", &[]),
        ("GET", "/", &[]),
        ("GET", "/a%20b;c?x=%2F", &[("Connection", "keep-alive")]),
    ] {
        let what = format!("{method} {target} {fields:?}");
        let mut answers = Vec::new();
        for lane in ["lane", "full"] {
            let seen = origin.count();
            let reply = pop.send(method, &format!("/{lane}{target}"), fields, b"");
            let id = reply.field("x-amz-cf-id").unwrap().to_owned();
            let line = pop.log_line(&id);
            assert_eq!(line[BEHAVIOR], lane, "{what}");
            let mut requests: Vec<_> = origin.requests()[seen..]
                .iter()
                .map(|seen| {
                    let mut fields = seen.fields.clone();
                    assert_eq!(seen.field("x-amz-cf-id"), Some(id.as_str()), "{what}");
                    fields.retain(|(name, _)| name != "x-amz-cf-id");
                    fields.sort();
                    (seen.method.clone(), seen.target.clone(), fields)
                })
                .collect();
            requests.dedup();
            answers.push((comparable(&reply), comparable_line(&line), requests));
            if reply.status == 204 {
                let framing = ["content-length", "transfer-encoding"].map(|name| reply.field(name));
                assert_eq!(framing, [None, None], "{what}: RFC 9112 §6.1");
            }
            if reply.status < 502 {
                assert_eq!(came_by_lane(&reply), lane == "lane", "{what}: {:?}", reply.fields);
            }
        }
        assert_eq!(answers[0].0, answers[1].0, "{what}: the answers");
        assert_eq!(answers[0].1, answers[1].1, "{what}: the log lines");
        assert_eq!(answers[0].2, answers[1].2, "{what}: what the origin was asked");
    }
    // Nothing is counted twice, whichever lane a request ended on.
    until("the counts", || (pop.metric(ORIGIN_REQUESTS, &[]) as usize == origin.count()).then_some(()));
    let counted = |lane: &str| pop.metric(REQUESTS, &[&format!("behavior=\"{lane}\"")]);
    until("both lanes to have counted", || (counted("lane") == counted("full")).then_some(()));
}

#[test]
fn what_asks_for_more_takes_the_full_path() {
    let origin = Origin::start(script);
    let pop = both(&origin, "", "methods = \"all\"");
    for (method, fields, body) in [
        ("POST", &[][..], "x"),
        ("GET", &[("Upgrade", "websocket"), ("Connection", "upgrade")], ""),
        ("GET", &[("Connection", "x-mine")], ""),
        ("OPTIONS", &[], ""),
        ("DELETE", &[], ""),
    ] {
        let reply = pop.send(method, "/lane/any", fields, body.as_bytes());
        assert_eq!((reply.status, came_by_lane(&reply)), (200, false), "{method} {fields:?}");
    }
    assert!(came_by_lane(&pop.get("/lane/any")));
}

#[test]
fn many_requests_share_one_connection_on_either_side() {
    let origin = Origin::start(script);
    let pop = both(&origin, "", "");
    let mut viewer = pop.raw();
    for n in 0..50 {
        let path = ["/plain", "/chunked", "/nothing", "/hints", "/empty"][n % 5];
        let reply = viewer.get(&format!("/lane{path}"));
        assert!(came_by_lane(&reply), "{path}");
    }
    assert_eq!(origin.connections(), 1);
    // Sent ahead, answered in order.
    let ahead: Vec<u8> = (0..20).flat_map(|n| request("GET", &format!("/lane/n{n}"), &[], b"")).collect();
    viewer.send(ahead);
    for n in 0..20 {
        assert_eq!(viewer.reply("GET").text(), format!("/n{n}"));
    }
    // The last says so, and ends.
    let last = viewer.ask("GET", "/lane/last", &[("Connection", "close")]);
    assert_eq!((last.text().as_str(), last.field("connection")), ("/last", Some("close")));
    assert!(viewer.closed());
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_broken_answer_shows_and_its_connection_is_not_used_again() {
    type Breakage = fn(&mut Exchange<'_>);
    let breakages: [(&str, Breakage, &str); 7] = [
        (
            "ends early",
            |x| {
                x.head("200 OK", "Content-Length: 100\r\n");
                x.write("short");
                x.close()
            },
            "truncated",
        ),
        (
            "resets",
            |x| {
                x.head("200 OK", "Content-Length: 100\r\n");
                x.write("short");
                x.reset()
            },
            "read",
        ),
        (
            "no last chunk",
            |x| {
                x.head("200 OK", "Transfer-Encoding: chunked\r\n");
                x.chunk("short");
                x.close()
            },
            "truncated",
        ),
        (
            "ends within a chunk",
            |x| {
                x.head("200 OK", "Transfer-Encoding: chunked\r\n");
                x.write("64\r\nshort");
                x.close()
            },
            "truncated",
        ),
        (
            "ends within the trailers",
            |x| {
                x.head("200 OK", "Transfer-Encoding: chunked\r\n");
                x.write("0\r\nA: b\r\n");
                x.close()
            },
            "truncated",
        ),
        (
            "no chunk size",
            |x| {
                x.head("200 OK", "Transfer-Encoding: chunked\r\n");
                x.chunk("short");
                x.write("zz\r\nmore\r\n0\r\n\r\n");
                x.close()
            },
            "read",
        ),
        (
            "resets instead of ending",
            |x| {
                x.head("200 OK", "");
                x.write("short");
                x.reset()
            },
            "read",
        ),
    ];
    for (name, breakage, failure) in breakages {
        let origin = Origin::start(move |x| if x.nth == 0 { breakage(x) } else { x.reply("200 OK", "", "whole") });
        let pop = both(&origin, "attempts = 1", "");
        let mut viewer = pop.raw();
        viewer.send(request("GET", "/lane/a", &[], b""));
        match viewer.try_reply("GET") {
            // A reset may overtake the head.
            Ok(reply) => assert_eq!(reply.status, 502, "{name}"),
            Err(broken) => {
                assert!(broken.partial.is_some(), "{name}: {broken:?}");
                assert!(viewer.closed(), "{name}");
            }
        }
        let line = pop.log_line("/lane/a");
        assert_eq!(line["failure"], failure, "{name}: {line}");
        assert_eq!(pop.get("/lane/b").text(), "whole", "{name}");
    }
    let origin = Origin::start(|x| {
        x.reply("200 OK", "", "right");
        x.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    });
    let pop = both(&origin, "", "");
    for path in ["/lane/a", "/lane/b", "/lane/c"] {
        assert_eq!(pop.get(path).text(), "right", "{path}: bytes past the length belong to nobody");
    }
}

#[test]
fn an_answer_flows_as_it_comes() {
    for (name, head) in
        [("chunked", "Transfer-Encoding: chunked\r\n"), ("length", "Content-Length: 11\r\n"), ("close", "")]
    {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |x| {
            x.head("200 OK", &format!("Content-Type: text/event-stream\r\n{head}"));
            let chunked = head.contains("chunked");
            if chunked {
                x.chunk("first")
            } else {
                x.write("first");
            }
            held.wait();
            if chunked {
                x.chunk("second");
                x.last_chunk("");
            } else {
                x.write("second");
                x.close();
            }
        });
        let pop = both(&origin, "", "");
        let mut viewer = pop.raw();
        viewer.send(request("GET", "/lane/events", &[], b""));
        let reply = viewer.head().unwrap();
        assert!(came_by_lane(&reply));
        assert_eq!(viewer.body_prefix(&reply, 5), b"first", "{name}: not held back");
        gate.open();
        assert_eq!(viewer.body_prefix(&reply, 6), b"second", "{name}");
    }
}

#[test]
fn a_large_answer_is_not_held_in_memory() {
    const SIZE: usize = 256 << 20;
    let origin = Origin::start(|x| {
        x.head("200 OK", &format!("Content-Length: {SIZE}\r\n"));
        let block = vec![b'x'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            if !x.write(&block) {
                return;
            }
        }
    });
    let pop = both(&origin, "", "");
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/lane/large", &[], b""));
    let head = viewer.head().unwrap();
    assert!(came_by_lane(&head));
    viewer.drain(SIZE as u64, |_| {});
    assert!(pop.peak_rss_kib() < 200 << 10, "{} KiB", pop.peak_rss_kib());
}

#[test]
fn silence_of_either_side_ends() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        if x.request.target == "/body" {
            x.head("200 OK", "Content-Length: 100\r\n");
            x.write("first");
        }
        held.wait();
    });
    let pop = both(&origin, "timeouts.read = \"300ms\"\nattempts = 1", "");
    assert_eq!(pop.get("/lane/head").status, 504);
    assert_eq!(pop.log_line("/lane/head")["failure"], "timeout");
    assert!(pop.raw_get("/lane/body").is_err(), "the timeout counts between packets too");
    let line = pop.log_line("/lane/body");
    assert_eq!((&line["status"], &line["failure"]), (&Value::from(200), &Value::from("timeout")), "{line}");
    gate.open();
}

#[test]
fn a_viewer_that_leaves_takes_its_origins_connection_with_it() {
    for answers in [false, true] {
        let (gone, asked) = (Gate::new(), Gate::new());
        let (seen, held) = (gone.clone(), asked.clone());
        let origin = Origin::start(move |x| {
            if answers {
                x.head("200 OK", "Transfer-Encoding: chunked\r\n");
                x.chunk("first");
            }
            held.open();
            while x.read().is_some() {}
            seen.open();
            x.close();
        });
        let pop = both(&origin, "", "");
        let mut viewer = pop.raw();
        viewer.send(request("GET", "/lane/endless", &[], b""));
        asked.wait();
        drop(viewer);
        gone.wait();
        assert!(gone.is_open(), "the origin sees it: {answers}");
        let line = pop.log_line("/lane/endless");
        assert_eq!(line["failure"], "client_aborted", "{line}");
    }
}

#[test]
fn a_viewer_that_takes_nothing_is_let_go() {
    let gone = Gate::new();
    let seen = gone.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Transfer-Encoding: chunked\r\n");
        while x.write([b"10000\r\n".as_slice(), &[b'x'; 65536], b"\r\n"].concat()) {}
        seen.open();
    });
    let pop = Pop::start(format!(
        "{}[limits]\nwrite_timeout = \"300ms\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n",
        origin.config("o")
    ));
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/endless", &[], b""));
    gone.wait();
    assert!(gone.is_open());
    assert_eq!(pop.log_line("/endless")["failure"], "client_aborted");
}

#[test]
fn connections_that_died_meanwhile_cost_a_viewer_nothing() {
    let origin = Origin::start(|x| {
        x.reply("200 OK", "", "fine");
        x.close();
    });
    let pop = both(&origin, "attempts = 1", "");
    let mut viewer = pop.raw();
    for n in 0..30 {
        assert_eq!(viewer.get("/lane/a").text(), "fine", "request {n}");
    }
}

#[test]
fn failing_targets_are_reported_and_others_asked() {
    let failing = Origin::start(|x| x.reset());
    let sound = Origin::start(|x| x.reply("200 OK", "", "sound"));
    let pop = Pop::start(format!(
        "[[origin]]\nname = \"o\"\ntargets = [\"{}\", \"{}\"]\nbalance = \"round-robin\"\nattempts = 2\n\
         eject = {{ failures = 3, window = \"60s\", rest = \"60s\", max_percent = 50 }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n",
        failing.url(),
        sound.url()
    ));
    for n in 0..20 {
        let reply = pop.get("/a");
        assert_eq!(reply.text(), "sound", "request {n}");
        let line = pop.log_line(reply.field("x-amz-cf-id").unwrap());
        let attempts = line["origin"]["attempts"].as_u64().unwrap_or(1);
        assert!(attempts <= 2, "{line}");
    }
    assert_eq!(failing.count(), 3, "three failures, then it rests");
    pop.counted(ORIGIN_REQUESTS, &[], 23.0);
}
