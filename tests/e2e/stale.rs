//! Stale: when an old answer is better than none or than waiting (RFC 5861).
//!
//! In: an expired object and an origin that is slow, wrong or gone. Out: the old answer within its windows. Never: past them.

use crate::harness::raw::request;
use crate::harness::{Gate, Origin, PATIENCE, Pop, Raw, until};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

#[test]
fn stale_while_revalidate_answers_at_once_and_renews_behind() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        let n = x.nth + 1;
        if n > 1 {
            held.wait();
        }
        let age = if n == 1 { 1 } else { 600 };
        x.reply("200 OK", &format!("Cache-Control: max-age={age}, stale-while-revalidate=600\r\n"), format!("v{n}"));
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    until("a background revalidation", || {
        assert_eq!(pop.get("/a").text(), "v1", "answered while the origin holds its answer back");
        (origin.count() == 2).then_some(())
    });
    for _ in 0..5 {
        let stale = pop.get("/a");
        assert_eq!(stale.text(), "v1");
        assert!(stale.hit(), "{:?}", stale.cache());
    }
    assert_eq!(origin.count(), 2, "one revalidation for everybody");
    gate.open();
    until("the new version", || (pop.get("/a").text() == "v2").then_some(()));
    assert!(pop.get("/a").hit());
    assert_eq!(origin.count(), 2);
}

/// An origin that answers well once and then does `after`.
fn well_once(fields: &'static str, after: &'static str) -> Origin {
    Origin::start(move |x| match (x.nth, after) {
        (0, _) => x.reply("200 OK", fields, "good"),
        (_, "reset") => x.reset(),
        (_, "truncated head") => {
            x.write("HTTP/1.1 200 OK\r\nCache-");
            x.close();
        }
        (_, status) => x.reply(status, "", "bad"),
    })
}

#[test]
fn stale_if_error_bridges_a_failing_origin() {
    for after in ["500 Internal", "502 Bad", "503 Busy", "504 Late", "reset", "truncated head"] {
        let origin = well_once("Cache-Control: max-age=1, stale-if-error=600\r\n", after);
        let pop = Pop::caching(&origin, "");
        pop.get("/a");
        let bridged = until("the origin to be asked again", || {
            let reply = pop.get("/a");
            (origin.count() >= 2).then_some(reply)
        });
        assert_eq!((bridged.status, bridged.text().as_str()), (200, "good"), "{after}");
    }
}

/// Viewers that ask at the same time.
const CROWD: usize = 10;

/// A PoP that has `/a`, stale, and `CROWD` connections that ask for it. Waiting for that asks the origin nothing: who wants a stored
/// answer or none is refused once it is stale.
fn a_stale_object_and_a_crowd(origin: &Origin, cache: &str) -> (Pop, Vec<Raw>) {
    let rule = "[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = { request_directives = \"honor\" }";
    let pop = Pop::start(format!("{}{cache}{rule}\n", origin.config("o")));
    assert_eq!(pop.get("/a").text(), "good");
    until("the object to be stale", || {
        let stored = pop.get_with("/a", &[("Cache-Control", "only-if-cached")]);
        (stored.status == 504).then_some(())
    });
    assert_eq!(origin.count(), 1);
    let ask = |_| {
        let mut raw = pop.raw();
        raw.send(request("GET", "/a", &[], b""));
        raw
    };
    let crowd = (0..CROWD).map(ask).collect();
    (pop, crowd)
}

fn good_once_then_busy_behind_a_gate() -> (Origin, Gate) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| match x.nth {
        0 => x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n", "good"),
        _ => {
            held.wait();
            x.reply("503 Busy", "", "bad");
        }
    });
    (origin, gate)
}

/// Each viewer that waited became the next one to ask, and after a few such rounds the error was shown.
#[test]
fn stale_if_error_bridges_for_all_who_ask_at_once() {
    let (origin, gate) = good_once_then_busy_behind_a_gate();
    let (pop, mut crowd) = a_stale_object_and_a_crowd(&origin, "");
    origin.wait(2);
    gate.open();
    for viewer in &mut crowd {
        let reply = viewer.reply("GET");
        assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{:?}", reply.cache());
    }
    assert_eq!(pop.get("/a").text(), "good");
    assert_eq!(origin.count(), 2, "the failure is everybody's answer for `error_ttl`");
}

#[test]
fn stale_if_error_bridges_a_refused_connection_for_all() {
    let origin = Origin::start(|x| {
        x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\nConnection: close\r\n", "good");
        x.close();
    });
    let address = origin.address;
    let config = origin.config("o");
    let rule = "[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n";
    let pop = Pop::start(format!("{config}{rule}"));
    assert_eq!(pop.get("/a").text(), "good");
    drop(origin);
    until("the port to be closed", || std::net::TcpStream::connect(address).is_err().then_some(()));
    until("the object to be stale", || {
        let mut crowd: Vec<_> = (0..CROWD).map(|_| pop.raw()).collect();
        for viewer in &mut crowd {
            viewer.send(request("GET", "/a", &[], b""));
        }
        let bridged = crowd.iter_mut().map(|viewer| {
            let reply = viewer.reply("GET");
            assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{:?}", reply.cache());
            reply.param("detail").is_some_and(|detail| detail.contains("stale-if-error"))
        });
        bridged.fold(true, |all, one| all & one).then_some(())
    });
}

/// Who waited for the one that asks a silent origin went past the cache when the time was up, and waited for the origin too.
#[test]
fn who_waits_behind_a_silent_origin_gets_what_is_stale() {
    let (origin, gate) = good_once_then_busy_behind_a_gate();
    let (_pop, crowd) = a_stale_object_and_a_crowd(&origin, "[cache]\ncollapse_timeout = \"200ms\"\n");
    let (send, replies) = mpsc::channel();
    for mut viewer in crowd {
        let send = send.clone();
        std::thread::spawn(move || drop(send.send(viewer.reply("GET"))));
    }
    let reply = replies.recv_timeout(PATIENCE).expect("an answer while the origin is silent");
    assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{:?}", reply.cache());
    gate.open();
    for _ in 1..CROWD {
        let reply = replies.recv_timeout(PATIENCE).expect("an answer for each");
        assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{:?}", reply.cache());
    }
}

#[test]
fn the_operators_window_holds_where_the_origin_names_none() {
    let origin = well_once("Cache-Control: max-age=1\r\n", "503 Busy");
    let pop = Pop::caching(&origin, "cache = { stale_if_error = \"10m\" }");
    pop.get("/a");
    let bridged = until("the origin to be asked again", || Some(pop.get("/a")).filter(|_| origin.count() >= 2));
    assert_eq!((bridged.status, bridged.text().as_str()), (200, "good"));
}

#[test]
fn must_revalidate_and_windows_of_zero_show_the_error() {
    for fields in [
        "Cache-Control: max-age=1, must-revalidate, stale-if-error=600\r\n",
        "Cache-Control: max-age=1, stale-if-error=0\r\n",
    ] {
        let origin = well_once(fields, "503 Busy");
        let pop = Pop::caching(&origin, "");
        pop.get("/a");
        let reply = until("the origin to be asked again", || Some(pop.get("/a")).filter(|_| origin.count() >= 2));
        assert_eq!(reply.status, 503, "{fields:?} (RFC 9111 §5.2.2.2)");
    }
}

#[test]
fn an_error_that_means_something_is_not_bridged() {
    // RFC 5861 §4: 500, 502, 503 and 504 are errors.
    for (after, status) in [("404 Gone", 404), ("501 Not Implemented", 501), ("505 Version", 505), ("507 Full", 507)] {
        let origin = well_once("Cache-Control: max-age=1, stale-if-error=600\r\n", after);
        let pop = Pop::caching(&origin, "");
        pop.get("/a");
        let reply = until("the origin to be asked again", || Some(pop.get("/a")).filter(|_| origin.count() >= 2));
        assert_eq!(reply.status, status);
    }
}

#[test]
fn what_a_background_request_is_told_replaces_what_was_stored() {
    let origin = well_once("Cache-Control: max-age=1, stale-while-revalidate=600\r\n", "501 Not Implemented");
    let pop = Pop::caching(&origin, "cache = { error_ttl = \"10m\" }");
    pop.get("/a");
    until("the answer of the background request", || (pop.get("/a").status == 501).then_some(()));
    assert_eq!(origin.count(), 2);
}

#[test]
fn after_the_soft_timeout_a_stale_answer_goes_out_while_the_origin_is_still_asked() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        let n = x.nth + 1;
        if n > 1 {
            held.wait();
        }
        let age = if n == 1 { 1 } else { 600 };
        x.reply("200 OK", &format!("Cache-Control: max-age={age}\r\n"), format!("v{n}"));
    });
    let pop = Pop::caching(&origin, "cache = { stale_if_error = \"10m\", soft_timeout = \"50ms\" }");
    pop.get("/a");
    let stale = until("the origin to be asked again", || Some(pop.get("/a")).filter(|_| origin.count() == 2));
    assert_eq!(stale.text(), "v1", "answered while the origin holds its answer back");
    gate.open();
    let renewed = until("the late answer to be stored", || Some(pop.get("/a")).filter(|reply| reply.text() == "v2"));
    assert_eq!(renewed.status, 200);
    assert_eq!(origin.count(), 2, "the late answer was used, not asked for again");
}

#[test]
fn the_soft_timeout_holds_for_what_only_the_disk_has() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        if x.nth > 1 {
            held.wait();
        }
        let body = x.request.target.repeat(if x.request.target == "/large" { 100_000 } else { 1 });
        x.reply("200 OK", "Cache-Control: max-age=1\r\nVary: Accept-Language\r\n", body);
    });
    let cache = "[cache]\nmemory = \"4MiB\"\ndisk = { path = \"{dir}/cache\", size = \"64MiB\" }\n";
    let rule =
        "[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = { stale_if_error = \"10m\", soft_timeout = \"50ms\" }\n";
    let mut pop = Pop::start(format!("{cache}{}{rule}", origin.config("o")));
    let ask = |pop: &Pop, path| pop.get_with(path, &[("Accept-Language", "de")]);
    for path in ["/small", "/large"] {
        assert_eq!(ask(&pop, path).status, 200);
    }
    pop.restart();
    for (path, asked) in [("/small", 3), ("/large", 4)] {
        let stale = until("the origin to be asked again", || Some(ask(&pop, path)).filter(|_| origin.count() == asked));
        assert_eq!(
            stale.text(),
            path.repeat(if path == "/large" { 100_000 } else { 1 }),
            "answered while the origin holds back"
        );
    }
    gate.open();
}

#[test]
fn viewers_within_the_soft_timeout_get_what_the_origin_says() {
    for (answer, text, asked) in [("200 OK", "v2", 2), ("304 Same", "v1", 2), ("500 Internal", "v1", 3)] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |x| match (x.nth, answer) {
            (0, _) => x.reply("200 OK", "Cache-Control: max-age=0\r\nETag: \"1\"\r\n", "v1"),
            (_, "304 Same") => {
                held.wait();
                x.head(answer, "Cache-Control: max-age=600\r\nETag: \"1\"\r\n");
            }
            _ => {
                held.wait();
                x.reply(answer, "Cache-Control: max-age=600\r\n", "v2");
            }
        });
        let pop = Pop::caching(&origin, "cache = { stale_if_error = \"10m\", soft_timeout = \"20s\" }");
        pop.get("/a");
        let mut viewers: Vec<_> = (0..5).map(|_| pop.raw()).collect();
        for viewer in &mut viewers {
            viewer.send(request("GET", "/a", &[], b""));
        }
        origin.wait(2);
        gate.open();
        for viewer in &mut viewers {
            let reply = viewer.reply("GET");
            assert_eq!((reply.status, reply.text().as_str()), (200, text), "{answer}: {:?}", reply.cache());
        }
        assert!(origin.count() <= asked, "{answer}: asked {} times", origin.count());
    }
}

#[test]
fn viewers_past_the_soft_timeout_are_not_held_by_the_one_who_asks() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        if x.nth > 0 {
            held.wait();
        }
        x.reply("200 OK", "Cache-Control: max-age=0\r\nETag: \"1\"\r\n", "v1");
    });
    let pop = Pop::caching(&origin, "cache = { stale_if_error = \"10m\", soft_timeout = \"20ms\" }");
    pop.get("/a");
    for _ in 0..3 {
        let mut viewers: Vec<_> = (0..5).map(|_| pop.raw()).collect();
        for viewer in &mut viewers {
            viewer.send(request("GET", "/a", &[], b""));
        }
        for viewer in &mut viewers {
            let reply = viewer.reply("GET");
            assert_eq!((reply.text().as_str(), reply.hit()), ("v1", true), "{:?}", reply.cache());
        }
    }
    assert_eq!(origin.count(), 2, "one revalidation for everybody");
    gate.open();
}

#[test]
fn a_background_revalidation_that_fails_leaves_what_is_served() {
    for after in ["503 Busy", "reset"] {
        let origin = well_once("Cache-Control: max-age=0, stale-while-revalidate=600\r\nETag: \"1\"\r\n", after);
        let pop = Pop::caching(&origin, "");
        pop.get("/a");
        until("several revalidations", || {
            let reply = pop.get("/a");
            assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{after}: {:?}", reply.cache());
            (origin.count() >= 4).then_some(())
        });
    }
}

#[test]
fn an_origin_that_comes_back_is_noticed() {
    let broken = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&broken);
    let origin = Origin::start(move |x| {
        if state.load(Ordering::Acquire) {
            x.reply("503 Busy", "", "bad");
        } else {
            x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n", format!("v{}", x.nth + 1));
        }
    });
    let pop = Pop::caching(&origin, "cache = { error_ttl = \"0s\" }");
    pop.get("/a");
    broken.store(true, Ordering::Release);
    until("the error to be bridged", || {
        assert_eq!(pop.get("/a").text(), "v1");
        (origin.count() >= 2).then_some(())
    });
    broken.store(false, Ordering::Release);
    until("a new answer", || (pop.get("/a").text() != "v1").then_some(()));
}

/// A viewer who gets a cookie instead of what is stored changes nothing for the others.
#[test]
fn an_answer_for_one_viewer_does_not_end_stale_if_error_for_all() {
    let origin = Origin::start(|x| match (x.field("x-new").is_some(), x.nth) {
        (_, 0) => x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n", "good"),
        (true, _) => x.reply("200 OK", "Cache-Control: max-age=1\r\nSet-Cookie: a=1\r\n", "new"),
        (false, _) => x.reply("500 Internal", "", "bad"),
    });
    let pop = Pop::caching(&origin, "");
    pop.get("/a");
    until("one viewer's own answer", || (pop.get_with("/a", &[("X-New", "1")]).text() == "new").then_some(()));
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str()), (200, "good"), "{:?}", reply.fields);
}

/// A request that hides from the origin what the answer varies by gets an answer for itself alone, and takes nothing from others.
#[test]
fn stale_if_error_holds_after_one_viewers_request() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let origin = Origin::start(move |x| match failing.load(Ordering::Acquire) {
        false => x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\nVary: X-V\r\n", "good"),
        true => x.reply("500 Internal", "", "bad"),
    });
    let pop = Pop::caching(&origin, "cache = { request_directives = \"honor\" }");
    let variant = ("X-V", "1");
    assert_eq!(pop.get_with("/a", &[variant]).text(), "good");
    until("the object to be stale", || {
        let stored = pop.get_with("/a", &[variant, ("Cache-Control", "only-if-cached")]);
        (stored.status == 504).then_some(())
    });
    let one = pop.get_with("/a", &[("X-V", "7"), ("Connection", "x-v")]);
    assert_eq!((one.text().as_str(), one.param("detail").as_deref()), ("good", Some("hidden-vary")));
    fails.store(true, Ordering::Release);
    for _ in 0..2 {
        let bridged = pop.get_with("/a", &[variant]);
        assert_eq!((bridged.status, bridged.text().as_str()), (200, "good"), "{:?}", bridged.cache());
    }
}
