//! Collapse: many viewers, one question to the origin.
//!
//! In: concurrent requests for one object. Out: one fill they all read, or their release. Never: a queue behind the uncacheable.

use crate::harness::raw::request;
use crate::harness::{Gate, Origin, Pop, Raw, until};

const VIEWERS: usize = 30;

/// Sends the same GET on `VIEWERS` connections without reading.
fn crowd(pop: &Pop, path: &str) -> Vec<Raw> {
    let ask = |_| {
        let mut raw = pop.raw();
        raw.send(request("GET", path, &[], b""));
        raw
    };
    (0..VIEWERS).map(ask).collect()
}

#[test]
fn concurrent_misses_ask_the_origin_once() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        held.wait();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", format!("v{}", x.nth + 1));
    });
    let pop = Pop::caching(&origin, "");
    let mut viewers = crowd(&pop, "/hot");
    origin.wait(1);
    gate.open();
    let replies: Vec<_> = viewers.iter_mut().map(|viewer| viewer.reply("GET")).collect();
    assert!(replies.iter().all(|reply| reply.text() == "v1"));
    assert_eq!(origin.count(), 1);
    let leaders = replies.iter().filter(|reply| !reply.hit() && !reply.flag("collapsed")).count();
    assert_eq!(leaders, 1, "one viewer caused the fill, the others say that they were collapsed or hit");
}

#[test]
fn an_uncacheable_answer_releases_everybody() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        if x.nth == 0 {
            held.wait();
        }
        x.reply("200 OK", "Cache-Control: private\r\n", format!("v{}", x.nth + 1));
    });
    let pop = Pop::caching(&origin, "");
    let mut viewers = crowd(&pop, "/mine");
    origin.wait(1);
    gate.open();
    let mut bodies: Vec<String> = viewers.iter_mut().map(|viewer| viewer.reply("GET").text()).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), VIEWERS, "each got an answer of its own");
    assert_eq!(origin.count(), VIEWERS);
}

#[test]
fn known_uncacheable_objects_are_asked_for_in_parallel() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        if x.nth > 0 {
            held.wait();
        }
        x.reply("200 OK", "Cache-Control: no-store\r\n", "x");
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/mine");
    let mut viewers = crowd(&pop, "/mine");
    until("all of them at the origin at once", || (origin.count() == VIEWERS + 1).then_some(()));
    gate.open();
    for viewer in &mut viewers {
        assert_eq!(viewer.reply("GET").text(), "x");
    }
}

#[test]
fn without_collapse_each_asks() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        held.wait();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", "x");
    });
    let pop = Pop::caching(&origin, "cache = { collapse = false }");
    let mut viewers = crowd(&pop, "/hot");
    until("all of them at the origin at once", || (origin.count() == VIEWERS).then_some(()));
    gate.open();
    for viewer in &mut viewers {
        assert_eq!(viewer.reply("GET").text(), "x");
    }
}

#[test]
fn the_first_viewer_leaving_does_not_fail_the_others() {
    let gate = Gate::new();
    let door = gate.clone();
    let origin = Origin::start(move |x| {
        if x.nth == 0 {
            door.wait();
        }
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", "the body");
    });
    let pop = Pop::caching(&origin, "");
    let mut leader = pop.raw();
    leader.send(request("GET", "/hot", &[], b""));
    origin.wait(1);
    let mut follower = pop.raw();
    follower.send(request("GET", "/hot", &[], b""));
    drop(leader);
    gate.open();
    assert_eq!(follower.reply("GET").text(), "the body");
}
