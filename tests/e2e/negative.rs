//! Negative caching: how long an error is remembered (CloudFront's error caching).
//!
//! In: error answers. Out: one question to the origin within the TTL. Never: an error in place of a good answer for a day.

use crate::harness::pop::free_port;
use crate::harness::{Origin, Pop, until};

fn failing(status: &'static str, fields: &'static str) -> Origin {
    Origin::start(move |x| x.reply(status, fields, format!("e{}", x.nth + 1)))
}

#[test]
fn which_errors_are_remembered() {
    let long = "cache = { error_ttl = \"10m\" }";
    let table: &[(&str, &str, &str, bool)] = &[
        ("404 Not Found", "", long, true),
        ("414 URI Too Long", "", long, true),
        ("500 Oops", "", long, true),
        ("501 Not Implemented", "", long, true),
        ("502 Bad", "", long, true),
        ("503 Busy", "", long, true),
        ("504 Late", "", long, true),
        ("400 Bad", "", long, false),
        ("403 No", "", long, false),
        ("403 No", "Cache-Control: max-age=60\r\n", long, true),
        ("412 No", "", long, false),
        ("416 No", "Cache-Control: max-age=60\r\n", long, false),
        ("404 Not Found", "", "cache = { error_ttl = \"0s\" }", false),
        ("404 Not Found", "Cache-Control: max-age=60\r\n", "cache = { error_ttl = \"0s\" }", true),
        ("404 Not Found", "Cache-Control: no-store\r\n", long, false),
        ("302 Found", "Location: /b\r\nCache-Control: max-age=60\r\n", long, true),
        ("301 Moved", "Location: /b\r\nCache-Control: max-age=60\r\n", long, true),
    ];
    for (status, fields, behavior, want) in table {
        let origin = failing(status, fields);
        let pop = Pop::caching(&origin, behavior);
        let first = pop.get("/a");
        assert_eq!(first.status.to_string(), status[..3], "passed on as it is");
        pop.get("/a");
        assert_eq!(origin.count() == 1, *want, "{status} {fields:?} {behavior}");
    }
}

#[test]
fn a_remembered_error_is_forgotten_after_its_ttl() {
    let origin = Origin::start(|x| match x.nth {
        0 => x.reply("404 Not Found", "", "nothing"),
        _ => x.reply("200 OK", "Cache-Control: max-age=60\r\n", "here now"),
    });
    let pop = Pop::caching(&origin, "cache = { error_ttl = \"1s\" }");
    assert_eq!(pop.get("/a").status, 404);
    until("the error to be forgotten", || (pop.get("/a").text() == "here now").then_some(()));
}

#[test]
fn an_origin_that_cannot_be_reached_is_asked_once_within_the_ttl() {
    for (ttl, want) in [("10m", true), ("0s", false)] {
        let dead = free_port();
        let pop = Pop::start(format!(
            "[[origin]]\nname = \"o\"\nurl = \"http://{dead}\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
             cache = {{ error_ttl = \"{ttl}\" }}\n"
        ));
        assert_eq!(pop.get("/a").status, 502);
        let second = pop.get("/a");
        assert_eq!((second.status, second.hit()), (502, want), "{ttl}");
    }
}
