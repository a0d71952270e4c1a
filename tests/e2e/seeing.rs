//! Seeing: one line of log and one number for everything that happens.
//!
//! In: hits, misses, errors, purges. Out: access-log lines that say why, metrics that add up. Never: unbounded labels.

use crate::harness::hooked;
use crate::harness::names::{
    BEHAVIOR, CACHE, CONNECTIONS, DURATION, HOST, METHOD, ORIGIN_REQUESTS, PATH, REASON, REQUESTS, STATUS,
};
use crate::harness::raw::request;
use crate::harness::wat::Flat;
use crate::harness::{H2, Origin, Pop, Raw, Setup, until};
use serde_json::Value;

fn start() -> (Origin, Pop) {
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/private" => x.reply("200 OK", "Cache-Control: private\r\n", "mine"),
        "/broken" => x.reset(),
        _ => x.reply("200 OK", "Cache-Control: max-age=60\r\n", "hello"),
    });
    let pop = Pop::start(format!(
        "{}attempts = 1\n[[behavior]]\nname = \"everything\"\nmatch = \"*\"\norigin = \"o\"\n",
        origin.config("o")
    ));
    (origin, pop)
}

#[test]
fn one_json_line_a_request_that_says_why() {
    let (_origin, pop) = start();
    for (n, path) in ["/first", "/first", "/private", "/broken"].into_iter().enumerate() {
        pop.get(path);
        // Workers hand their lines over in batches: only a line that is written keeps its place.
        until("its line", || (pop.access_lines().len() > n).then_some(()));
    }
    let lines = until("four lines", || Some(pop.access_log()).filter(|lines| lines.len() >= 4));
    assert_eq!(lines.len(), 4);
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let expected =
        [("/first", 200, "Miss"), ("/first", 200, "Hit"), ("/private", 200, "Miss"), ("/broken", 502, "Error")];
    for (line, (path, status, cache)) in lines.iter().zip(expected) {
        assert_eq!(line[STATUS], status, "{line}");
        assert_eq!(text(line, PATH), path, "{line}");
        assert_eq!(text(line, CACHE), cache.to_ascii_lowercase(), "{line}");
        assert_eq!(text(line, METHOD), "GET", "{line}");
        assert_eq!(text(line, HOST), crate::harness::HOST, "{line}");
        assert_eq!(text(line, BEHAVIOR), "everything", "{line}");
    }
    assert!(text(&lines[0], REASON).contains("uri-miss"), "{}", lines[0]);
    assert!(lines[2].to_string().contains("private"), "says why it was not stored: {}", lines[2]);
    assert!(!text(&lines[3], REASON).is_empty(), "{}", lines[3]);
}

#[test]
fn a_line_cannot_be_forged_by_a_viewer() {
    let (_origin, pop) = start();
    let agent = "\"}\\{\"status\":999,\"x\":\"";
    pop.get_with("/%0a%22%7D", &[("User-Agent", agent), ("Referer", "a\tb")]);
    let lines = until("a line", || Some(pop.access_log()).filter(|lines| !lines.is_empty()));
    assert_eq!(lines.len(), 1);
    assert_ne!(lines[0][STATUS], 999);
}

/// Of a miss the log told what functions and the edge had made of the request, and two bytes too few.
#[test]
fn bytes_in_are_those_that_the_viewer_sent() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let changes = Flat::new().set("x-more", "than was sent").set("user-agent", "f").remove("cookie").wat();
    let behavior = "methods = \"all\"";
    let asks = [("User-Agent", "the viewer's own"), ("Cookie", "a=1; b=2")];
    // No lane takes a request with the third.
    let full = [asks[0], asks[1], ("TE", "trailers")];
    for pop in
        [Pop::caching(&origin, behavior), hooked::pop(&origin, &[("f", changes)], behavior, "viewer_request = \"f\"")]
    {
        let logged = |id: Option<&str>| {
            let line = pop.log_line(id.unwrap());
            (line["bytes_in"].as_u64().unwrap(), line[CACHE].as_str().unwrap_or_default().to_owned())
        };
        for target in ["/a".to_owned(), format!("http://{}/absolute", crate::harness::HOST)] {
            for (fields, cache) in [(&asks[..], "miss"), (&asks[..], "hit"), (&full[..], "hit")] {
                let reply = pop.get_with(&target, fields);
                let sent = request("GET", &target, fields, b"").len() as u64;
                assert_eq!(logged(reply.field("x-amz-cf-id")), (sent, cache.to_owned()), "{target} {fields:?}");
            }
        }
        let reply = pop.send("POST", "/a", &asks, b"a body");
        assert_eq!(logged(reply.field("x-amz-cf-id")).0, request("POST", "/a", &asks, b"a body").len() as u64);
        let mut h2 = H2::plain(pop.http);
        for cache in ["miss", "hit"] {
            let reply = h2.send("GET", "/h2", &asks, b"", &[]);
            let as_http_1 = request("GET", "/h2", &asks, b"").len() as u64;
            assert_eq!(logged(reply.field("x-amz-cf-id")), (as_http_1, cache.to_owned()), "HTTP/2");
        }
    }
    // A body that a function sees and no origin gets.
    let answers = Flat::new().respond(200, &[], "by itself").wat();
    let seen = "viewer_request = { function = \"f\", include_body = true }";
    let pop = hooked::pop(&origin, &[("f", answers)], behavior, seen);
    let reply = pop.send("POST", "/a", &asks, &[b'x'; 500]);
    let line = pop.log_line(reply.field("x-amz-cf-id").unwrap());
    assert_eq!(line["bytes_in"].as_u64().unwrap(), request("POST", "/a", &asks, &[b'x'; 500]).len() as u64);
}

#[test]
fn cloudfronts_standard_format() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n", "hello");
    let mut setup = Setup::new(format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o")));
    setup.log_format = "cloudfront-standard".to_owned();
    let pop = setup.start();
    pop.get_with("/a b?q=1".replace(' ', "%20").as_str(), &[("User-Agent", "My Agent/1.0"), ("Cookie", "a=1")]);
    pop.get("/second");
    let records = until("two records", || {
        let lines: Vec<String> = pop.access_lines().into_iter().filter(|line| !line.starts_with('#')).collect();
        (lines.len() == 2).then_some(lines)
    });
    let head = pop.access_lines();
    assert_eq!(head[0], "#Version: 1.0");
    assert!(
        head[1]
            .starts_with("#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status")
    );
    // Each worker writes its own lines, so they are not in the order of the requests.
    let record = records.iter().find(|record| record.contains("/a%2520b")).expect("the first request's record");
    let fields: Vec<&str> = record.split('\t').collect();
    assert_eq!(fields.len(), 33, "{record}");
    assert_eq!(head[1].split_whitespace().count() - 1, 33);
    assert_eq!((fields[4], fields[5], fields[7], fields[8]), ("127.0.0.1", "GET", "/a%2520b", "200"));
    assert_eq!(fields[11], "q=1");
    assert_eq!(fields[13], "Miss");
    assert!(fields[10].starts_with("My%20Agent"), "{}", fields[10]);
    assert!(fields.iter().all(|field| !field.is_empty()), "an empty field is '-'");
}

#[test]
fn cloudfronts_real_time_format() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "hello");
    let database = concat!(env!("CARGO_MANIFEST_DIR"), "/geo/test.mmdb");
    let behavior = "[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n";
    let mut setup = Setup::new(format!("[geo]\ndatabases = [\"{database}\"]\n\n{}{behavior}", origin.config("o")));
    setup.log_format = "cloudfront-realtime".to_owned();
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned();
    let pop = setup.start();
    // A miss of the full path, then hits of the fast lane.
    for (at, (from, country, asn)) in
        [("192.0.2.1", "DE", "-"), ("192.0.2.200", "US", "-"), ("198.51.100.1", "-", "64496"), ("198.18.0.1", "-", "-")]
            .into_iter()
            .enumerate()
    {
        Raw::connect(pop.extra[0]).ask("GET", "/a", &[("X-Forwarded-For", from)]);
        let line = until("a record", || pop.access_lines().into_iter().filter(|line| !line.starts_with('#')).nth(at));
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 43, "{line}");
        assert_eq!((fields[1], fields[3], fields[5]), (from, "200", "GET"));
        assert!(fields[0].parse::<f64>().is_ok(), "{}", fields[0]);
        assert_eq!((fields[33], fields[42]), (country, asn), "c-country and asn of {from}");
    }
}

#[test]
fn metrics_add_up() {
    let (origin, pop) = start();
    pop.get("/a");
    for _ in 0..9 {
        pop.get("/a");
    }
    pop.get("/broken");
    pop.counted(REQUESTS, &[], 11.0);
    let of = |word: &str| {
        let sum: f64 = [word.to_owned(), word.to_ascii_lowercase()]
            .iter()
            .map(|w| pop.metric(REQUESTS, &[&format!("\"{w}\"")]))
            .sum();
        sum
    };
    assert_eq!(of("Hit"), 9.0, "{}", pop.metrics());
    assert_eq!(pop.metric(&format!("{DURATION}_count"), &[]), 11.0);
    assert_eq!(pop.metric(ORIGIN_REQUESTS, &[]), origin.count() as f64);
    for line in pop.metrics().lines().filter(|line| !line.starts_with('#')) {
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn connections_are_counted_while_they_are_open() {
    let (_origin, pop) = start();
    let mut kept: Vec<_> = (0..5).map(|_| pop.raw()).collect();
    for raw in &mut kept {
        raw.get("/a");
    }
    until("five connections", || (pop.metric(CONNECTIONS, &[]) >= 5.0).then_some(()));
    drop(kept);
    until("none", || (pop.metric(CONNECTIONS, &[]) == 0.0).then_some(()));
}

#[test]
fn hosts_and_paths_do_not_multiply_the_metrics() {
    let (_origin, pop) = start();
    pop.get("/warm");
    let before = pop.metrics().lines().count();
    for n in 0..300 {
        pop.get_with(&format!("/p{n}"), &[("Host", &format!("h{n}.example"))]);
    }
    let grown = pop.metrics().lines().count() - before;
    assert!(grown < 2_500, "{grown} more lines for 300 hosts and paths");
    let text = pop.metrics();
    assert!(!text.contains("/p250"), "no path is a label");
}

#[test]
fn health_readiness_and_status() {
    let (_origin, pop) = start();
    assert_eq!(pop.admin("GET", "/healthz", "").status, 200);
    assert_eq!(pop.admin("GET", "/readyz", "").status, 200);
    let status = pop.status().to_string();
    assert!(status.contains("TST"), "names the PoP: {status}");
    assert_eq!(pop.admin("GET", "/nothing-here", "").status, 404);
    assert!(matches!(pop.admin("DELETE", "/status", "").status, 404 | 405));
}

#[test]
fn a_moved_log_is_opened_again() {
    let (_origin, pop) = start();
    pop.get("/before");
    pop.log_line("/before");
    std::fs::rename(pop.dir().join("access.log"), pop.dir().join("access.log.1")).unwrap();
    pop.signal("USR1");
    until("lines in a new file", || {
        pop.get("/after");
        (!pop.access_lines().is_empty()).then_some(())
    });
    assert!(pop.access_lines().iter().all(|line| line.contains("/after")));
}

#[test]
fn every_answer_names_itself() {
    let (_origin, pop) = start();
    let (one, two) = (pop.get("/a"), pop.get("/a"));
    let id = |reply: &crate::harness::Reply| reply.field("x-amz-cf-id").map(str::to_owned);
    assert!(id(&one).is_some());
    assert_ne!(id(&one), id(&two), "a request's id is its own, on hits too");
    assert!(one.field("x-amz-cf-pop").unwrap().starts_with("TST"));
}
