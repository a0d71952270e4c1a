//! Ranges: parts of stored and of still-filling objects (RFC 9110 §14).
//!
//! In: Range and If-Range. Out: exactly those bytes, 206 or 416 or the whole. Never: a part presented as the whole.

use crate::harness::raw::request;
use crate::harness::{Gate, Origin, Pop};

const BODY: &str = "0123456789abcdefghij";

fn origin() -> Origin {
    Origin::start(|x| {
        assert_eq!(x.field("range"), None, "a fill asks for the whole object");
        x.reply("200 OK", "Cache-Control: max-age=60\r\nETag: \"one\"\r\nContent-Type: text/x-plain\r\n", BODY);
    })
}

#[test]
fn single_ranges_of_a_stored_object() {
    let origin = origin();
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let table = [
        ("bytes=0-0", 206, "0", "bytes 0-0/20"),
        ("bytes=5-9", 206, "56789", "bytes 5-9/20"),
        ("bytes=15-", 206, "fghij", "bytes 15-19/20"),
        ("bytes=15-99", 206, "fghij", "bytes 15-19/20"),
        ("bytes=-3", 206, "hij", "bytes 17-19/20"),
        ("bytes=-99", 206, BODY, "bytes 0-19/20"),
        ("bytes=20-", 416, "", "bytes */20"),
        ("bytes=-0", 416, "", "bytes */20"),
        ("bytes=9-5", 200, BODY, ""),
        ("lines=1-2", 200, BODY, ""),
        ("bytes=a-b", 200, BODY, ""),
    ];
    for (range, status, body, content_range) in table {
        let reply = pop.get_with("/a", &[("Range", range)]);
        assert_eq!(reply.status, status, "{range}");
        assert_eq!(reply.field("content-range").unwrap_or_default(), content_range, "{range}");
        if status != 416 {
            assert_eq!(reply.text(), body, "{range}");
            assert_eq!(reply.field("etag"), Some("\"one\""), "{range}");
            assert_eq!(reply.field("content-length").unwrap(), body.len().to_string(), "{range}");
        }
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn several_ranges_come_as_multipart() {
    let origin = origin();
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let reply = pop.get_with("/a", &[("Range", "bytes=0-1,5-6,-2")]);
    assert_eq!(reply.status, 206);
    let boundary = reply.field("content-type").and_then(|t| t.strip_prefix("multipart/byteranges; boundary=")).unwrap();
    let boundary = boundary.trim_matches('"');
    let text = reply.text();
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 5, "a preamble, three parts, the end: {text:?}");
    assert!(parts[4].starts_with("--"));
    for (part, (range, body)) in parts[1..4].iter().zip([("0-1", "01"), ("5-6", "56"), ("18-19", "ij")]) {
        let (head, content) = part.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.contains(&format!("content-range: bytes {range}/20")), "{head:?}");
        assert!(head.contains("content-type: text/x-plain"), "{head:?}");
        assert_eq!(content.trim_end_matches("\r\n"), body);
    }
}

#[test]
fn many_ranges_are_not_an_amplifier() {
    let origin = origin();
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let ranges = vec!["0-"; 500].join(",");
    let reply = pop.get_with("/a", &[("Range", &format!("bytes={ranges}"))]);
    assert!(reply.status == 200 || reply.status == 416, "{}", reply.status);
    assert!(reply.body.len() <= BODY.len());
}

#[test]
fn if_range_guards_against_mixing_versions() {
    let origin = origin();
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    let ask = |validator: &str| pop.get_with("/a", &[("Range", "bytes=0-1"), ("If-Range", validator)]);
    assert_eq!((ask("\"one\"").status, ask("\"one\"").text().as_str()), (206, "01"));
    assert_eq!((ask("\"two\"").status, ask("\"two\"").text().as_str()), (200, BODY));
    assert_eq!(ask("W/\"one\"").status, 200, "a weak validator never matches here (RFC 9110 §13.1.5)");
}

#[test]
fn a_range_miss_fills_the_whole_object() {
    let origin = origin();
    let pop = Pop::caching(&origin, "");
    let part = pop.get_with("/a", &[("Range", "bytes=5-9")]);
    assert_eq!((part.status, part.text().as_str()), (206, "56789"));
    let whole = pop.get("/a");
    assert_eq!((whole.status, whole.text().as_str(), whole.hit()), (200, BODY, true));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_range_of_a_filling_object_does_not_wait_for_its_end() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: max-age=60\r\nETag: \"one\"\r\nContent-Length: 200000\r\n");
        x.write([b'a'; 100_000]);
        held.wait();
        x.write([b'b'; 100_000]);
    });
    let pop = Pop::caching(&origin, "");
    let mut first = pop.raw();
    first.send(request("GET", "/big", &[], b""));
    let head = first.head().unwrap();
    let mut got = first.body_prefix(&head, 1);
    let part = pop.get_with("/big", &[("Range", "bytes=10-19")]);
    assert_eq!((part.status, part.text().as_str()), (206, "aaaaaaaaaa"), "answered while the origin holds the rest");
    assert_eq!(part.field("content-range"), Some("bytes 10-19/200000"));
    gate.open();
    got.extend(first.body_prefix(&head, 200_000 - got.len()));
    assert_eq!(got.iter().filter(|b| **b == b'b').count(), 100_000);
    let tail = pop.get_with("/big", &[("Range", "bytes=-5")]);
    assert_eq!(tail.text(), "bbbbb");
    assert_eq!(origin.count(), 1);
}

/// What could not be stored once passes by the cache; parts and confirmations of it say that it can be stored now.
#[test]
fn parts_of_what_was_not_stored_once_lead_back_to_the_cache() {
    for condition in [("Range", "bytes=5-9"), ("If-None-Match", "\"one\"")] {
        let origin = Origin::start(|x| {
            let good = "Cache-Control: max-age=60\r\nETag: \"one\"\r\n";
            match (x.nth, x.field("range"), x.field("if-none-match")) {
                (0, ..) => x.reply("200 OK", &format!("{good}Set-Cookie: a=1\r\n"), BODY),
                (_, Some(_), _) => {
                    x.reply("206 Partial Content", &format!("{good}Content-Range: bytes 5-9/20\r\n"), &BODY[5..10]);
                }
                (_, _, Some(_)) => x.head("304 Not Modified", good),
                _ => x.reply("200 OK", good, BODY),
            }
        });
        let pop = Pop::caching(&origin, "");
        assert_eq!(pop.get("/a").param("detail").as_deref(), Some("set-cookie"));
        let status = if condition.0 == "Range" { 206 } else { 304 };
        let by = pop.get_with("/a", &[condition]);
        assert_eq!((by.status, by.fwd().as_str()), (status, "bypass"), "{:?}", by.field("cache-status"));
        let filling = pop.get_with("/a", &[condition]);
        assert_eq!(
            (filling.status, filling.fwd().as_str()),
            (status, "uri-miss"),
            "{:?}",
            filling.field("cache-status")
        );
        let after = pop.get_with("/a", &[condition]);
        assert!(after.status == status && after.hit(), "{condition:?}: {:?}", after.field("cache-status"));
        assert_eq!(origin.count(), 3);
    }
}

#[test]
fn a_range_for_an_answer_that_may_not_be_stored_still_works() {
    let origin = Origin::start(|x| {
        if x.field("range") == Some("bytes=5-9") {
            x.reply("206 Partial Content", "Cache-Control: no-store\r\nContent-Range: bytes 5-9/20\r\n", &BODY[5..10]);
        } else {
            x.reply("200 OK", "Cache-Control: no-store\r\n", BODY);
        }
    });
    let pop = Pop::caching(&origin, "cache = false");
    let part = pop.get_with("/a", &[("Range", "bytes=5-9")]);
    assert_eq!((part.status, part.text().as_str()), (206, "56789"));
    assert_eq!(pop.get("/a").text(), BODY, "a part never poses as the whole");
}

/// Compressed bytes depend on how the origin's came in: two fills of one version have its date in common, and not their bytes.
#[test]
fn a_date_joins_no_parts_of_two_compressions() {
    const SINCE: &str = "Mon, 05 Jan 2026 00:00:00 GMT";
    let origin = Origin::start(|x| {
        let page: String = (0..3000).map(|n| format!("line {} of the page\n", n * n)).collect();
        let fields = "Cache-Control: max-age=600\r\nContent-Type: text/plain\r\nETag: \"one\"\r\n";
        x.head("200 OK", &format!("{fields}Last-Modified: {SINCE}\r\nContent-Length: {}\r\n", page.len()));
        let size = if x.nth == 0 { 900 } else { 30_000 };
        for piece in page.as_bytes().chunks(size) {
            x.write(piece);
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
    });
    let pop = Pop::caching(&origin, "compress = true");
    let gzip = ("Accept-Encoding", "gzip");
    let first = pop.get_with("/a", &[gzip]);
    pop.purge(&serde_json::json!({ "all": true }));
    let second = pop.get_with("/a", &[gzip]);
    assert_eq!(origin.count(), 2);
    let range = ("Range", "bytes=1000-");
    let resumed = pop.get_with("/a", &[gzip, range, ("If-Range", SINCE)]);
    assert_eq!((resumed.status, resumed.hit()), (200, true), "{:?}", resumed.fields);
    assert!(resumed.body == second.body, "all of the one that is stored");
    assert_eq!(first.field("last-modified"), second.field("last-modified"));
    let part = pop.get_with("/a", &[gzip, range]);
    assert!(part.status == 206 && part.body == second.body[1000..], "who asks for a part of whatever is there gets it");
    // What is sent as its origin has it is the same with the same date.
    let plain = pop.get("/a");
    let resumed = pop.get_with("/a", &[range, ("If-Range", SINCE)]);
    assert!(resumed.status == 206 && resumed.body == plain.body[1000..], "{:?}", resumed.fields);
}
