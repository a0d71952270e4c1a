//! Collapse: many viewers, one question to the origin.
//!
//! In: concurrent requests for one object. Out: one fill they all read, or their release. Never: a queue behind the uncacheable.

use crate::harness::raw::request;
use crate::harness::{Gate, Origin, Pop, Raw, until};

const VIEWERS: usize = 30;

/// Sends the same GET on `VIEWERS` connections without reading.
fn crowd(pop: &Pop, path: &str) -> Vec<Raw> {
    crowd_with(pop, path, &[])
}

fn crowd_with(pop: &Pop, path: &str, fields: &[(&str, &str)]) -> Vec<Raw> {
    let ask = |_| {
        let mut raw = pop.raw();
        raw.send(request("GET", path, fields, b""));
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

/// A key with the credential in it has an object for each; who has the same one need not ask twice.
#[test]
fn who_share_a_credential_that_is_in_the_key_share_a_fill() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        held.wait();
        x.reply("200 OK", "Cache-Control: max-age=60\r\n", format!("v{}", x.nth + 1));
    });
    let pop = Pop::caching(&origin, "cache = { key = { headers = [\"authorization\"] } }");
    let mut viewers = crowd_with(&pop, "/hot", &[("Authorization", "Bearer service")]);
    origin.wait(1);
    gate.open();
    assert!(viewers.iter_mut().all(|viewer| viewer.reply("GET").text() == "v1"));
    assert_eq!(origin.count(), 1);
    assert_eq!(pop.get_with("/hot", &[("Authorization", "Bearer another")]).text(), "v2");
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

/// Whom each use has to be confirmed for does not wait for another's answer, and sends no less of a question for it.
#[test]
fn what_each_use_has_validated_is_asked_about_in_parallel() {
    let reload: &[(&str, &str)] = &[("Cache-Control", "no-cache")];
    let table = [
        ("no-cache", &[][..]),
        ("max-age=0", &[][..]),
        ("max-age=0, stale-if-error=600", &[][..]),
        ("max-age=600", reload),
    ];
    for (control, asked) in table {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |x| {
            let fields = format!("ETag: \"e\"\r\nCache-Control: {control}\r\n");
            if x.nth > 0 {
                held.wait();
            }
            match x.field("if-none-match") {
                Some(_) => x.head("304 Not Modified", &fields),
                None => x.reply("200 OK", &fields, "the body"),
            }
        });
        let pop = Pop::caching(&origin, "cache = { request_directives = \"honor\" }");
        pop.get("/a");
        let mut viewers = crowd_with(&pop, "/a", asked);
        until("all of them at the origin at once", || (origin.count() == VIEWERS + 1).then_some(()));
        gate.open();
        for viewer in &mut viewers {
            let reply = viewer.reply("GET");
            assert_eq!((reply.status, reply.text().as_str()), (200, "the body"), "{control}: {:?}", reply.cache());
        }
        let whole = origin.requests().iter().filter(|seen| seen.field("if-none-match").is_none()).count();
        assert_eq!((origin.count(), whole), (VIEWERS + 1, 1), "{control}");
    }
}

/// The same where nothing was stored when they came: one of them fills the cache for all, then the others ask.
#[test]
fn who_waited_for_what_must_be_validated_asks_in_parallel() {
    let (first, others) = (Gate::new(), Gate::new());
    let held = (first.clone(), others.clone());
    let origin = Origin::start(move |x| {
        let fields = "ETag: \"e\"\r\nCache-Control: no-cache\r\n";
        match x.field("if-none-match") {
            Some(_) => {
                held.1.wait();
                x.head("304 Not Modified", fields);
            }
            None => {
                held.0.wait();
                x.reply("200 OK", fields, "the body");
            }
        }
    });
    let pop = Pop::caching(&origin, "");
    let mut viewers = crowd(&pop, "/a");
    origin.wait(1);
    first.open();
    until("all of them at the origin at once", || (origin.count() == VIEWERS).then_some(()));
    others.open();
    for viewer in &mut viewers {
        assert_eq!(viewer.reply("GET").text(), "the body");
    }
    let whole = origin.requests().iter().filter(|seen| seen.field("if-none-match").is_none()).count();
    assert_eq!(whole, 1);
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

/// What hides a field from the origin, and a credential, are of one request: they say nothing of the answers to others.
const ONE_VIEWERS: [(&str, &[(&str, &str)]); 2] =
    [("hidden-vary", &[("X-V", "new"), ("Connection", "x-v")]), ("authorization", &[("Authorization", "Basic x")])];

#[test]
fn one_viewers_request_leaves_the_cache_to_the_others() {
    for (why, fields) in ONE_VIEWERS {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |x| {
            if x.nth > 0 {
                held.wait();
            }
            x.reply("200 OK", "Cache-Control: max-age=60\r\nVary: X-V\r\n", format!("v{}", x.nth + 1));
        });
        let pop = Pop::caching(&origin, "forward = { headers = \"all\" }");
        assert_eq!(pop.get_with("/a", fields).param("detail").as_deref(), Some(why));
        let mut viewers = crowd(&pop, "/a");
        origin.wait(2);
        gate.open();
        assert!(viewers.iter_mut().all(|viewer| viewer.reply("GET").text() == "v2"), "{why}");
        assert_eq!(origin.count(), 2, "{why}: one fill for all of them");
        // With the object there: parts of it and HEAD take the full path, which asks first whether the cache is of use.
        pop.get_with("/a", fields);
        let asked = origin.count();
        assert!(pop.get_with("/a", &[("Range", "bytes=0-0")]).hit(), "{why}");
        assert!(pop.send("HEAD", "/a", &[], b"").hit(), "{why}");
        assert_eq!(origin.count(), asked, "{why}");
    }
}

#[test]
fn nobody_waits_for_an_answer_that_may_be_one_viewers() {
    for (why, fields) in ONE_VIEWERS {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |x| {
            if x.nth == 0 {
                held.wait();
            }
            x.reply("200 OK", "Cache-Control: max-age=60\r\nVary: X-V\r\n", format!("v{}", x.nth + 1));
        });
        let pop = Pop::caching(&origin, "forward = { headers = \"all\" }");
        let mut one = pop.raw();
        one.send(request("GET", "/a", fields, b""));
        origin.wait(1);
        assert_eq!(pop.get("/a").text(), "v2", "{why}");
        assert!(pop.get("/a").hit(), "{why}");
        gate.open();
        assert_eq!(one.reply("GET").text(), "v1", "{why}");
    }
}
