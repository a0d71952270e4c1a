//! Limits: how often somebody may come, what they are told, and what outlives the process.
//!
//! In: many requests. Out: exact counts. Never: the speed of anything; buckets that fill slowly enough that a test's time does not
//! matter.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::credentials::sha256;
use crate::harness::{Gate, H2, HOST, LOOK_AGAIN, Origin, Pop, Raw, until};

/// SHA-256 of `KEY`.
const KEY: &str = "tests-key-0123456789abcdef";

fn rest(origin: &Origin, tables: &str, behavior: &str) -> String {
    format!("{}{tables}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{behavior}\n", origin.config("o"))
}

fn statuses(pop: &Pop, n: usize, fields: &[(&str, &str)]) -> Vec<u16> {
    let mut raw = pop.raw();
    (0..n).map(|_| raw.ask("GET", "/a", fields).status).collect()
}

#[test]
fn a_bucket_holds_what_it_holds_and_says_so() {
    let origin = Origin::counting("");
    let limit = "cache = false\nlimit = { per = \"address\", rate = \"1/h\", burst = 3 }";
    let pop = Pop::start(rest(&origin, "", limit));
    let first = pop.get("/a");
    assert_eq!(first.field("ratelimit-policy"), Some("\"address\";q=3;w=10800"));
    assert!(first.field("ratelimit").unwrap().starts_with("\"address\";r=2;t="), "{:?}", first.field("ratelimit"));
    assert_eq!(statuses(&pop, 4, &[]), [200, 200, 429, 429]);
    let refused = pop.get("/a");
    assert_eq!((refused.status, refused.text().as_str()), (429, "{\"message\":\"Too Many Requests\"}"));
    assert_eq!(refused.field("x-amzn-errortype"), Some("TooManyRequestsException"));
    assert!(refused.field("ratelimit").unwrap().starts_with("\"address\";r=0;t="));
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    let line = until("the log", || pop.access_log().into_iter().find(|line| line["status"] == 429));
    assert_eq!(line["failure"], "limit_exceeded");
    assert_eq!(origin.count(), 3);
}

/// All three lanes count alike: hits ahead of Pingora, plain requests passed on, and the full path.
#[test]
fn every_lane_counts_a_request_once() {
    for (lane, behavior, method, path) in [
        ("hits", "", "GET", "/a"),
        ("passed on", "cache = false", "GET", "/a"),
        ("the full path", "cache = false\nmethods = \"all\"", "POST", "/a"),
    ] {
        let origin = Origin::counting("Cache-Control: max-age=60\r\n");
        let limit = "limit = [{ per = \"address\", rate = \"1/h\", burst = 5 }, { per = \"behavior\", rate = \"1/h\", burst = 100 }]";
        let pop = Pop::start(rest(&origin, "", &format!("{behavior}\n{limit}")));
        let mut raw = pop.raw();
        let got: Vec<u16> = (0..8)
            .map(|_| {
                raw.send(format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n"));
                raw.reply(method).status
            })
            .collect();
        assert_eq!(got, [200, 200, 200, 200, 200, 429, 429, 429], "{lane}");
        let after = pop.send(method, path, &[], b"");
        assert_eq!(after.status, 429, "{lane}");
    }
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let pop = Pop::start(rest(&origin, "", "limit = { per = \"address\", rate = \"1/h\", burst = 3 }"));
    let mut h2 = H2::plain(pop.http);
    let replies: Vec<_> = (0..5).map(|_| h2.get("/a")).collect();
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    assert!(replies[1].field("ratelimit").is_some() && replies[3].field("retry-after").is_some());
}

#[test]
fn what_has_a_bucket_of_its_own() {
    let origin = Origin::counting("");
    let limit = "cache = false\nlimit = { per = { header = \"x-device\" }, rate = \"1/h\", burst = 2 }";
    let pop = Pop::start(rest(&origin, "", limit));
    assert_eq!(statuses(&pop, 3, &[("X-Device", "a")]), [200, 200, 429]);
    assert_eq!(statuses(&pop, 3, &[("X-Device", "b")]), [200, 200, 429]);
    assert_eq!(statuses(&pop, 3, &[]), [200, 200, 429], "those without share one");
}

/// The issue: exact counts under 8 concurrent clients.
#[test]
fn counts_are_exact_under_eight_clients() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "x");
    let pop = Pop::start(rest(&origin, "", "limit = { per = \"behavior\", rate = \"1/d\", burst = 1000 }"));
    let (good, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut raw = pop.raw();
                for _ in 0..200 {
                    match raw.get("/a").status {
                        200 => good.fetch_add(1, Ordering::Relaxed),
                        429 => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    assert_eq!((good.into_inner(), refused.into_inner()), (1000, 600));
}

#[test]
fn requests_at_once() {
    let gate = std::sync::Arc::new(Gate::new());
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        held.wait();
        x.reply("200 OK", "", "x");
    });
    let pop = Pop::start(rest(&origin, "", "cache = false\nlimit = { per = \"address\", concurrency = 2 }"));
    let mut waiting: Vec<Raw> = (0..2).map(|_| pop.raw()).collect();
    for raw in &mut waiting {
        raw.send(format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    }
    origin.wait(2);
    assert_eq!(pop.get("/a").status, 429);
    gate.open();
    for raw in &mut waiting {
        assert_eq!(raw.reply("GET").status, 200);
    }
    until("room for another", || (pop.get("/a").status == 200).then_some(()));
}

#[test]
fn a_buckets_state_survives_a_reload() {
    let origin = Origin::counting("");
    let limit = "cache = false\nlimit = { per = \"address\", rate = \"1/h\", burst = 2 }";
    let pop = Pop::start(rest(&origin, "", limit));
    assert_eq!(statuses(&pop, 2, &[]), [200, 200]);
    let reply = pop.reload(&rest(&origin, "# changed\n", limit));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(pop.get("/a").status, 429);
    let wider = rest(&origin, "", "cache = false\nlimit = { per = \"address\", rate = \"1/h\", burst = 3 }");
    assert_eq!(pop.reload(&wider).status, 200);
    assert_eq!(statuses(&pop, 4, &[]), [200, 200, 200, 429], "another limit begins anew");
}

fn with_plan(quota: &str) -> String {
    format!(
        "[[usage_plan]]\nname = \"gold\"\n{quota}\n[[api_key]]\nname = \"acme\"\nsha256 = \"{}\"\nplans = [\"gold\"]\n",
        sha256(KEY)
    )
}

/// The issue: "quota exact across kill -9 and restart".
#[test]
fn a_quota_is_exact_across_kill_and_restart() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", "x");
    let tables = with_plan("quota = { limit = 25, period = \"month\" }");
    let mut pop = Pop::start(rest(&origin, &tables, "access = \"api_key\""));
    let key = [("X-Api-Key", KEY)];
    assert_eq!(statuses(&pop, 10, &key), [200; 10]);
    pop.crash_and_restart();
    assert_eq!(statuses(&pop, 10, &key), [200; 10]);
    pop.restart();
    assert_eq!(statuses(&pop, 7, &key), [200, 200, 200, 200, 200, 429, 429]);
    let over = pop.get_with("/a", &key);
    assert_eq!((over.status, over.text().as_str()), (429, "{\"message\":\"Limit Exceeded\"}"));
    assert_eq!(over.field("x-amzn-errortype"), Some("LimitExceededException"));
    let usage = pop.admin("GET", "/keys/acme/usage", "");
    assert!(usage.text().contains("\"used\":25") && usage.text().contains("\"remaining\":0"), "{}", usage.text());
    assert_eq!(pop.get_with("/a", &[("X-Api-Key", "another")]).status, 403, "not metered");
}

/// Both processes count for a while, and neither lets one request too many or too few in.
#[test]
fn a_quota_is_exact_across_an_upgrade() {
    const LIMIT: usize = 1500;
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", "x");
    let tables = with_plan(&format!("quota = {{ limit = {LIMIT}, period = \"month\" }}"));
    let mut pop = Pop::start(rest(&origin, &tables, "access = \"api_key\""));
    let address = pop.http;
    let (admitted, over, hurried) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while over.load(Ordering::Acquire) < 50 {
                    let fields = [("X-Api-Key", KEY), ("Connection", "close")];
                    let counted = match Raw::try_connect(address).unwrap().ask("GET", "/a", &fields).status {
                        200 => &admitted,
                        429 => &over,
                        other => panic!("{other}"),
                    };
                    counted.fetch_add(1, Ordering::AcqRel);
                    if !hurried.load(Ordering::Acquire) {
                        std::thread::park_timeout(5 * LOOK_AGAIN);
                    }
                }
            });
        }
        until("the old process to count", || (admitted.load(Ordering::Acquire) >= 50).then_some(()));
        let mut old = pop.upgrade();
        until("the old process to end", || old.try_wait().unwrap());
        pop.wait_ready();
        assert_eq!(over.load(Ordering::Acquire), 0, "the new process has something left to count");
        hurried.store(true, Ordering::Release);
    });
    assert_eq!(admitted.load(Ordering::Acquire), LIMIT);
}

#[test]
fn plans_throttle_by_method_first_then_by_key() {
    let origin = Origin::counting("");
    let tables = with_plan(
        "rate = \"1/h\"\nburst = 4\n[[usage_plan.method]]\npath = \"/slow/*\"\nmethod = \"GET\"\nrate = \"1/h\"\nburst = 1",
    );
    let pop = Pop::start(rest(&origin, &tables, "access = \"api_key\"\ncache = false"));
    let get = |path: &str| pop.get_with(path, &[("X-Api-Key", KEY)]).status;
    assert_eq!([get("/slow/a"), get("/slow/a")], [200, 429]);
    assert_eq!([get("/a"), get("/a"), get("/a"), get("/a")], [200, 200, 200, 429]);
}

/// However a path is spelled, it is its method's.
#[test]
fn a_plans_method_counts_every_spelling_of_its_path() {
    let origin = Origin::counting("");
    let tables = with_plan(
        "rate = \"1/h\"\nburst = 99\n[[usage_plan.method]]\npath = \"/caf%c3%a9/*\"\nrate = \"1/h\"\nburst = 1",
    );
    let pop = Pop::start(rest(&origin, &tables, "access = \"api_key\"\ncache = false"));
    let get = |path: &str| pop.get_with(path, &[("X-Api-Key", KEY)]).status;
    for (path, want) in [
        ("/caf%C3%A9/a", 200),
        ("/caf%c3%a9/a", 429),
        ("//caf%C3%A9/a", 429),
        ("/caf%C3%A9%2fa", 429),
        ("/caf%C3%A9;x/a", 429),
        ("/cafe/a", 200),
    ] {
        assert_eq!(get(path), want, "{path}");
    }
}

/// Also where a lane that does not wait has counted it.
#[test]
fn the_log_says_who_was_refused() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    for cache in [true, false] {
        let behavior = format!(
            "access = \"api_key\"\nlimit = {{ per = \"api_key\", rate = \"1/h\", burst = 2 }}\ncache = {cache}"
        );
        let pop = Pop::start(rest(&origin, &with_plan("rate = \"1/h\"\nburst = 99"), &behavior));
        assert_eq!(statuses(&pop, 3, &[("X-Api-Key", KEY)]), [200, 200, 429]);
        let line = pop.log_line("\"status\":429");
        assert_eq!(line["principal"], pop.log_line("\"status\":200")["principal"], "{cache}: {line}");
        assert!(line["principal"].as_str().is_some_and(|who| !who.is_empty()), "{line}");
    }
}

#[test]
fn the_account_limit_is_for_everybody() {
    let origin = Origin::counting("");
    let pop = Pop::start(rest(&origin, "[rates]\naccount = { rate = \"1/h\", burst = 2 }\n", "cache = false"));
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.field("ratelimit")), (200, None), "no viewer's business");
    assert_eq!(statuses(&pop, 2, &[]), [200, 429]);
}

#[test]
fn a_request_is_counted_once_for_its_address_whichever_path_it_takes() {
    let origin = Origin::counting("");
    let rates = "[rates]\nper_address = 40\n";
    for (what, behavior, method) in
        [("full path", "cache = false\nmethods = \"all\"", "POST"), ("miss", "", "GET"), ("head", "", "HEAD")]
    {
        let pop = Pop::start(rest(&origin, rates, behavior));
        let mut raw = pop.raw();
        let statuses: Vec<u16> = (0..30).map(|n| raw.ask(method, &format!("/{n}"), &[]).status).collect();
        assert_eq!(statuses, [200; 30], "{what}");
    }
}

#[test]
fn an_address_that_floods_is_cut_off_before_anything_is_looked_at() {
    let origin = Origin::counting("");
    let pop = Pop::start(rest(&origin, "[rates]\nper_address = 20\n", "cache = false"));
    let refused = (0..200).filter(|_| pop.get("/a").status == 429).count();
    assert!(refused >= 1, "200 requests, one at a time, and none refused");
    let mut raw = pop.raw();
    let reply = until("the bound", || {
        raw = pop.raw();
        Some(raw.get("/a")).filter(|reply| reply.status == 429)
    });
    assert_eq!(reply.field("retry-after"), Some("1"));
    assert_eq!(reply.field("x-amzn-errortype"), Some("TooManyRequestsException"));
    assert_eq!(reply.text(), "{\"message\":\"Too Many Requests\"}");
    assert!(raw.closed(), "such a connection ends");
}

/// Over HTTP/2 too: neither a path that nobody serves nor a method that is not allowed is looked at first.
#[test]
fn an_address_that_floods_over_http_2_is_cut_off_whatever_it_asks_for() {
    let origin = Origin::counting("");
    let behavior = "cache = false\nmethods = [\"GET\", \"HEAD\"]";
    let rest = rest(&origin, "[rates]\nper_address = 2\n", behavior).replace("match = \"*\"", "match = \"/a\"");
    let pop = Pop::start(rest);
    let mut h2 = H2::plain(pop.http);
    for (method, path) in [("GET", "/a"), ("GET", "/nowhere"), ("POST", "/a")] {
        let reply =
            until("the bound", || Some(h2.send(method, path, &[], b"", &[])).filter(|reply| reply.status == 429));
        assert_eq!(reply.field("x-amzn-errortype"), Some("TooManyRequestsException"), "{method} {path}");
    }
}

/// A key that is made anew is another one (API Gateway gives it another id).
#[test]
fn a_key_with_a_deleted_ones_name_inherits_neither_answers_nor_counts() {
    let origin = Origin::counting("Cache-Control: max-age=600\r\n");
    let tables = "[[usage_plan]]\nname = \"gold\"\nquota = { limit = 100, period = \"month\" }\n";
    let pop = Pop::start(rest(&origin, tables, "access = \"api_key\""));
    let make = || {
        let reply = pop.admin("POST", "/keys", &json!({"name": "acme", "plans": ["gold"]}).to_string());
        let answer: Value = serde_json::from_str(&reply.text()).unwrap();
        answer["value"].as_str().unwrap().to_owned()
    };
    let used = || pop.admin("GET", "/keys/acme/usage", "").text().matches("\"used\":3").count();
    let first = make();
    let get = |key: &str| pop.get_with("/a", &[("X-Api-Key", key)]);
    assert_eq!([get(&first), get(&first), get(&first)].map(|reply| reply.text()), ["v1", "v1", "v1"]);
    assert_eq!(used(), 1);
    assert_eq!(pop.admin("DELETE", "/keys/acme", "").status, 200);
    let second = make();
    assert_eq!(used(), 0);
    assert_eq!((get(&first).status, get(&second).text().as_str()), (403, "v2"));
}

#[test]
fn a_key_whose_plans_leave_the_configuration_opens_nothing() {
    let origin = Origin::counting("");
    let behavior = format!(
        "{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = \"api_key\"\ncache = false\n",
        origin.config("o")
    );
    let pop = Pop::start(format!("[[usage_plan]]\nname = \"gold\"\n{behavior}"));
    let make = |new: Value| {
        let answer: Value = serde_json::from_str(&pop.admin("POST", "/keys", &new.to_string()).text()).unwrap();
        answer["value"].as_str().unwrap().to_owned()
    };
    let (gold, none) = (make(json!({"name": "gold", "plans": ["gold"]})), make(json!({"name": "none"})));
    let get = |key: &str| pop.get_with("/a", &[("X-Api-Key", key)]).status;
    assert_eq!((get(&gold), get(&none)), (200, 403));
    assert_eq!(pop.reload(&behavior).status, 200);
    assert_eq!((get(&gold), get(&none)), (403, 200), "where nobody speaks of plans, any key will do");
    until("a warning", || {
        pop.stderr()
            .contains("1 API keys name the usage plan \"gold\", which is not in the configuration")
            .then_some(())
    });
}
