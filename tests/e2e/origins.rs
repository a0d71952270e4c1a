//! Origins: which one is asked, how often, and what happens when it fails.
//!
//! In: origins that refuse, fail, hang or lie about who they are. Out: another one, or an error that says why. Never: a second POST.

use crate::harness::pop::free_port;
use crate::harness::{Authority, Gate, Origin, Pop, Reply, Setup, until};

fn named(name: &'static str) -> Origin {
    Origin::start(move |x| x.reply("200 OK", "Cache-Control: no-store\r\n", name))
}

fn broken(status: &'static str) -> Origin {
    Origin::start(move |x| x.reply(status, "Cache-Control: no-store\r\n", "broken"))
}

const ALL: &str = "[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\ncache = { error_ttl = \"0s\" }\n";

/// An origin `o` with several targets and more lines.
fn targets(origins: &[&Origin], more: &str) -> String {
    let list: Vec<String> = origins.iter().map(|origin| format!("\"{}\"", origin.url())).collect();
    format!("[[origin]]\nname = \"o\"\ntargets = [{}]\n{more}\n{ALL}", list.join(", "))
}

/// A group `o` of these origins, in order.
fn group(origins: &[&Origin], failover: &str) -> String {
    let mut text = String::new();
    let mut names = Vec::new();
    for (n, origin) in origins.iter().enumerate() {
        text.push_str(&origin.config(&format!("m{n}")));
        names.push(format!("\"m{n}\""));
    }
    format!("{text}[[origin_group]]\nname = \"o\"\norigins = [{}]\nfailover = {failover}\n{ALL}", names.join(", "))
}

#[test]
fn connections_to_an_origin_are_kept() {
    let origin = named("one");
    let pop = Pop::start(format!("{}{ALL}", origin.config("o")));
    let mut viewer = pop.raw();
    for _ in 0..20 {
        assert_eq!(viewer.get("/a").text(), "one");
    }
    assert_eq!(origin.count(), 20);
    assert!(origin.connections() <= 3, "{} connections for 20 requests in a row", origin.connections());
}

#[test]
fn a_kept_connection_that_died_is_replaced_without_an_error() {
    let origin = Origin::start(|x| {
        x.reply("200 OK", "Cache-Control: no-store\r\n", "fine");
        x.close();
    });
    let pop = Pop::start(format!("{}{ALL}", origin.config("o")));
    for n in 0..20 {
        assert_eq!(pop.get("/a").status, 200, "request {n}");
    }
}

#[test]
fn what_is_safe_is_tried_again_and_nothing_else() {
    let origin = Origin::start(|x| match x.nth {
        0 => x.reset(),
        _ => x.reply("200 OK", "Cache-Control: no-store\r\n", "second try"),
    });
    let pop = Pop::start(format!("{}attempts = 3\n{ALL}", origin.config("o")));
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str()), (200, "second try"));

    let origin = Origin::start(|x| x.reset());
    let pop = Pop::start(format!("{}attempts = 3\n{ALL}", origin.config("o")));
    assert_eq!(pop.send("POST", "/a", &[], b"pay").status, 502);
    assert_eq!(origin.count(), 1, "a POST that may have had its effect is not sent again (RFC 9110 §9.2.2)");
    assert_eq!(pop.get("/a").status, 502);
    assert_eq!(origin.count(), 4, "a GET is, attempts = 3");
}

#[test]
fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    let one = named("alive");
    let dead = free_port();
    let text = format!(
        "[[origin]]\nname = \"o\"\ntargets = [\"http://{dead}\", \"{}\"]\nattempts = 3\nbalance = \"round-robin\"\n{ALL}",
        one.url()
    );
    let pop = Pop::start(text);
    for method in ["GET", "POST"] {
        for _ in 0..6 {
            assert_eq!(pop.send(method, "/a", &[], b"").text(), "alive", "{method}");
        }
    }
}

#[test]
fn failover_goes_on_to_the_next_member() {
    for status in ["500 Oops", "503 Busy", "404 No"] {
        let (first, second) = (broken(status), named("second"));
        let pop = Pop::start(group(&[&first, &second], "[404, 500, 502, 503, 504]"));
        assert_eq!(pop.get("/a").text(), "second", "{status}");
        assert_eq!((first.count(), second.count()), (1, 1), "{status}");
        assert_eq!(pop.send("POST", "/a", &[], b"x").text(), "broken", "{status}: GET, HEAD, OPTIONS only");
    }
}

#[test]
fn failover_covers_connections_and_timeouts() {
    let second = named("second");
    let dead = free_port();
    let text = format!(
        "[[origin]]\nname = \"m0\"\nurl = \"http://{dead}\"\n{}[[origin_group]]\nname = \"o\"\norigins = [\"m0\", \"m1\"]\nfailover = [503]\n{ALL}",
        second.config("m1")
    );
    assert_eq!(Pop::start(text).get("/a").text(), "second", "refused");

    let gate = Gate::new();
    let held = gate.clone();
    let silent = Origin::start(move |_| held.wait());
    let text = group(&[&silent, &second], "[503]").replacen(
        "name = \"m0\"\n",
        "name = \"m0\"\ntimeouts.read = \"300ms\"\n",
        1,
    );
    assert_eq!(Pop::start(text).get("/a").text(), "second", "silent");
    gate.open();
}

#[test]
fn a_status_not_listed_is_passed_on() {
    let (first, second) = (broken("418 Teapot"), named("second"));
    let pop = Pop::start(group(&[&first, &second], "[500]"));
    let reply = pop.get("/a");
    assert_eq!((reply.status, second.count()), (418, 0));
}

#[test]
fn when_every_member_fails_the_last_answer_is_shown() {
    let (first, second) = (broken("500 Oops"), broken("503 Busy"));
    let pop = Pop::start(group(&[&first, &second], "[500, 503]"));
    assert_eq!(pop.get("/a").status, 503);
}

#[test]
fn balance() {
    let (a, b) = (named("a"), named("b"));
    let pop = Pop::start(targets(&[&a, &b], "balance = \"round-robin\""));
    for _ in 0..10 {
        pop.get("/a");
    }
    assert_eq!((a.count(), b.count()), (5, 5), "in turn");

    let (a, b) = (named("a"), named("b"));
    let pop = Pop::start(targets(&[&a, &b], "balance = \"consistent\""));
    shares(&a, &b, |path| pop.get(path));

    // What has no key has its URL.
    let (a, b) = (named("a"), named("b"));
    let text =
        targets(&[&a, &b], "balance = \"consistent\"").replace("cache = { error_ttl = \"0s\" }", "cache = false");
    let pop = Pop::start(text);
    shares(&a, &b, |path| pop.get(path));
    shares(&a, &b, |path| pop.raw().ask("POST", path, &[]));
}

/// Each URL asks one of the two, and each of the two is asked.
fn shares(a: &Origin, b: &Origin, ask: impl Fn(&str) -> Reply) {
    let (had_a, had_b) = (a.count(), b.count());
    let all = || -> Vec<String> { (0..20).map(|n| ask(&format!("/{n}")).text()).collect() };
    assert_eq!(all(), all(), "the same URL asks the same target");
    assert!(a.count() > had_a && b.count() > had_b, "and both have some");
}

#[test]
fn weights() {
    let (heavy, light) = (named("heavy"), named("light"));
    let text = format!(
        "[[origin]]\nname = \"o\"\nbalance = \"round-robin\"\ntargets = [{{ url = \"{}\", weight = 3 }}, {{ url = \"{}\", weight = 1 }}]\n{ALL}",
        heavy.url(),
        light.url()
    );
    let pop = Pop::start(text);
    for _ in 0..40 {
        pop.get("/a");
    }
    assert_eq!((heavy.count(), light.count()), (30, 10));
}

#[test]
fn health_checks_take_a_target_out_and_bring_it_back() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let sick = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&sick);
    let patient = Origin::start(move |x| match (x.request.target.as_str(), state.load(Ordering::Acquire)) {
        ("/health", true) => x.reply("500 Sick", "", ""),
        _ => x.reply("200 OK", "Cache-Control: no-store\r\n", "patient"),
    });
    let sound = named("sound");
    let health = "health = { path = \"/health\", interval = \"1s\", timeout = \"1s\", rise = 1, fall = 1 }";
    let pop = Pop::start(targets(&[&patient, &sound], &format!("balance = \"round-robin\"\n{health}")));
    let ten = || -> Vec<String> { (0..10).map(|_| pop.get("/a").text()).collect() };
    until("the sick target to be left out", || ten().iter().all(|body| body == "sound").then_some(()));
    sick.store(false, Ordering::Release);
    until("the healed target to come back", || ten().contains(&"patient".to_owned()).then_some(()));
}

#[test]
fn a_target_that_fails_real_requests_rests() {
    let (failing, sound) = (Origin::start(|x| x.reset()), named("sound"));
    let eject = "attempts = 2\neject = { failures = 3, window = \"60s\", rest = \"60s\", max_percent = 50 }";
    let pop = Pop::start(targets(&[&failing, &sound], &format!("balance = \"round-robin\"\n{eject}")));
    for n in 0..40 {
        assert_eq!(pop.get("/a").text(), "sound", "request {n}");
    }
    assert!(failing.count() < 15, "asked {} times", failing.count());
}

#[test]
fn an_origin_that_does_not_answer_is_a_504() {
    let gate = Gate::new();
    let held = gate.clone();
    let silent = Origin::start(move |_| held.wait());
    let pop = Pop::start(format!("{}timeouts.read = \"300ms\"\nattempts = 1\n{ALL}", silent.config("o")));
    let reply = pop.get("/a");
    assert_eq!(reply.status, 504);
    gate.open();
}

#[test]
fn an_origin_that_stalls_within_its_body_is_cut_off() {
    let gate = Gate::new();
    let held = gate.clone();
    let stalling = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: max-age=60\r\nContent-Length: 100\r\n");
        x.write("first");
        held.wait();
    });
    let pop = Pop::start(format!("{}timeouts.read = \"300ms\"\nattempts = 1\n{ALL}", stalling.config("o")));
    assert!(pop.raw_get("/a").is_err(), "the timeout counts between packets too");
    gate.open();
}

#[test]
fn a_slow_drip_within_the_timeout_is_fine() {
    let origin = Origin::start(|x| {
        x.head("200 OK", "Cache-Control: max-age=60\r\nContent-Length: 200\r\n");
        for _ in 0..200 {
            x.write("x");
        }
    });
    let pop = Pop::start(format!("{}{ALL}", origin.config("o")));
    assert_eq!(pop.get("/a").body, [b'x'; 200]);
    assert!(pop.get("/a").hit());
}

#[test]
fn errors_say_why_in_the_log_and_never_hang() {
    let dead = free_port();
    for (name, url, reason) in [
        ("refused", format!("http://{dead}"), "connect"),
        ("no such name", "http://nobody.invalid:80".to_owned(), "dns"),
    ] {
        let pop = Pop::start(format!("[[origin]]\nname = \"o\"\nurl = \"{url}\"\nattempts = 1\n{ALL}"));
        assert_eq!(pop.get("/why").status, 502, "{name}");
        let line = pop.log_line("/why").to_string().to_ascii_lowercase();
        assert!(line.contains(reason), "{name}: the log line says so: {line}");
        assert!(pop.metrics().contains("rimward_"), "{name}");
    }
}

#[test]
fn tls_to_the_origin_is_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = authority.issue(&["origin.example", "127.0.0.1"]);
    let origin = Origin::tls(good.server(), |x| x.reply("200 OK", "Cache-Control: no-store\r\n", "secret"));
    let ask = |tls: &str, authority: &Authority| {
        let setup = Setup::new(format!("{}attempts = 1\n{tls}\n{ALL}", origin.config("o")));
        authority.file(setup.dir());
        setup.start().get("/a")
    };
    let table = [
        ("its own authority", "tls = { ca = \"{dir}/authority.pem\", sni = \"origin.example\" }", 200),
        ("the public roots", "", 502),
        ("another name", "tls = { ca = \"{dir}/authority.pem\", sni = \"other.example\" }", 502),
        ("not verified on purpose", "tls = { verify = false }", 200),
    ];
    for (name, tls, status) in table {
        assert_eq!(ask(tls, &authority).status, status, "{name}");
    }
    let reply = ask("tls = { ca = \"{dir}/authority.pem\", sni = \"origin.example\" }", &stranger);
    assert_eq!(reply.status, 502, "a stranger's authority");
}

#[test]
fn a_generated_origin_answers_through_the_cache() {
    let pop = Pop::start(
        "[[origin]]\nname = \"o\"\ngenerated = { status = 203, headers = { cache-control = \"max-age=60\", x-own = \"yes\" }, body = \"hello\" }\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\n",
    );
    for hit in [false, true] {
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str(), reply.hit()), (203, "hello", hit));
        assert_eq!(reply.field("x-own"), Some("yes"));
    }
    let part = pop.get_with("/a", &[("Range", "bytes=1-2")]);
    assert!(
        part.status == 206 && part.text() == "el" || part.status == 203 && part.text() == "hello",
        "{}",
        part.status
    );
}
