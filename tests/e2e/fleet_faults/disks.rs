//! Disks: a PoP whose disk takes nothing more.
//!
//! In: a limit on what the process may write (`setrlimit(2)`), which needs no right and no mount. Out: what is refused, what is served.
//! Never: something that was accepted and is lost.

use std::process::Command;

use serde_json::{Value, json};

use super::world::{Plan, World, ask_purge, connected, everywhere, has_key, make_key, purge, put, url, value, version};
use crate::harness::{HOST, Pop, until};

const TABLES: &str = "[[kv_store]]\nname = \"flags\"\n[[usage_plan]]\nname = \"gold\"\n";

/// A process that is told of a write past its limit as of a full disk: by an error, not by a signal.
fn told_of_errors() -> Vec<String> {
    ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""].map(str::to_owned).to_vec()
}

fn limit(pop: &Pop, bytes: &str) {
    let arguments = [format!("--pid={}", pop.pid()), format!("--fsize={bytes}:")];
    let status = Command::new("prlimit").args(&arguments).status().unwrap();
    assert!(status.success(), "prlimit {arguments:?}");
}

/// No file of this process takes a byte from now on.
fn fill_disk(pop: &Pop) {
    limit(pop, "0");
}

fn make_room(pop: &Pop) {
    limit(pop, "unlimited");
}

#[test]
fn a_pop_with_a_full_disk_serves_and_promises_nothing() {
    let plan = Plan { rest: TABLES.to_owned(), ..Plan::default() };
    let mut world = World::start(Plan { through: [vec![], vec![], told_of_errors()], ..plan });
    let paths = ["/c/a", "/c/b", "/c/c", "/c/kept", "/c/missed"];
    let stored: Vec<String> = (0..20).map(|n| format!("/c/stored/{n}")).collect();
    let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
    world.fill(&paths);
    world.fill(&stored);
    // Accepted while there is room, and not told yet.
    world.leaves[2].kill();
    connected(&world.pops[2], false);
    world.content.change("/c/c");
    purge(&world.pops[2], &url("/c/c"));
    assert_eq!(put(&world.pops[2], "before", "1").status, 200);
    fill_disk(&world.pops[2]);
    world.content.change("/c/missed");
    purge(&world.pops[0], &url("/c/missed"));
    let caught_up = |pop: &Pop| pop.stderr().matches("no purge is missing").count();
    let before = caught_up(&world.pops[2]);
    world.leaves[2].restart();
    connected(&world.pops[2], true);

    let (fra, iad) = (&world.pops[0], &world.pops[2]);
    // What it missed is in force, though it cannot be written; so it serves what it stored before.
    until("all purges to be in force", || (caught_up(iad) > before).then_some(()));
    let mut stored = stored.into_iter();
    until("an answer from before", || iad.get(stored.next().expect("one of them")).hit().then_some(()));
    assert_eq!(version(iad, "/c/missed"), world.content.version("/c/missed"));
    // What it accepted before reaches the others.
    for pop in &world.pops {
        until("the purge from before", || (version(pop, "/c/c") == world.content.version("/c/c")).then_some(()));
        until("the entry from before", || (value(pop, "before").as_deref() == Some("1")).then_some(()));
    }
    let refused = ask_purge(iad, &url("/c/a"));
    assert!(refused.status >= 500 && refused.text().contains("purge log"), "{} {}", refused.status, refused.text());
    assert!(put(iad, "during", "1").status >= 500);
    assert!(make_key(iad, "during").status >= 500);
    // What others purge is not served, and not said to be seen: it would be forgotten with the process.
    world.content.change("/c/b");
    let done = purge(fra, &json!({"url": format!("http://{HOST}/c/b"), "wait_ms": 1000}));
    assert_eq!(done["missing"], json!(["iad"]), "{done}");
    until("the purge from elsewhere", || (version(iad, "/c/b") == world.content.version("/c/b")).then_some(()));
    assert!(iad.get("/c/b").hit(), "what came after the purge is kept");
    // It serves all the while.
    assert!(iad.get("/c/kept").hit());
    assert_eq!(version(iad, "/c/new"), 0);

    make_room(&world.pops[2]);
    until("a purge to be accepted", || (ask_purge(&world.pops[2], &url("/c/a")).status == 200).then_some(()));
    until("an entry", || (put(&world.pops[2], "after", "1").status == 200).then_some(()));
    assert_eq!(make_key(&world.pops[2], "after").status, 201);
    world.settle();
    assert!(world.pops[2].get("/c/b").hit(), "and was not purged again");
    // It is all on disk now.
    world.pops[2].crash_and_restart();
    world.settle();
    world.is_fresh(&paths);
    for pop in &world.pops {
        for key in ["before", "after"] {
            until(key, || (value(pop, key).as_deref() == Some("1")).then_some(()));
        }
        until("the key", || has_key(pop, "after").then_some(()));
        assert!(value(pop, "during").is_none() && !has_key(pop, "during"), "was refused");
    }
}

#[test]
fn a_pop_that_ends_with_a_full_disk_takes_in_again_what_it_could_not_write() {
    let rest = "[cache]\ndisk = { path = \"{dir}/cache\", size = \"64MiB\" }\nmemory = \"1MiB\"\n";
    let plan = Plan { rest: rest.to_owned(), ..Plan::default() };
    let mut world = World::start(Plan { through: [vec![], vec![], told_of_errors()], ..plan });
    world.fill(&["/c/a", "/c/kept"]);
    // Its disk has them.
    world.pops[2].restart();
    connected(&world.pops[2], true);
    assert!(world.pops[2].get("/c/a").hit());
    fill_disk(&world.pops[2]);
    world.content.change("/c/a");
    purge(&world.pops[0], &url("/c/a"));
    until("the purge", || (version(&world.pops[2], "/c/a") == world.content.version("/c/a")).then_some(()));
    world.pops[2].crash_and_restart();
    assert_eq!(version(&world.pops[2], "/c/a"), world.content.version("/c/a"), "its first answer is not the old one");
    world.settle();
    world.is_fresh(&["/c/a"]);
    assert!(world.pops[2].get("/c/kept").hit());
    purge(&world.pops[2], &everywhere("/c/kept"));
}

/// What `/keyed` says to a key: 200 or 403.
fn says(pop: &Pop, key: &str) -> u16 {
    pop.get_with("/keyed", &[("X-Api-Key", key)]).status
}

/// A key that is deleted or switched off elsewhere lets nobody in any more, though the disk here does not take that it is.
#[test]
fn a_key_that_is_revoked_elsewhere_is_refused_past_a_full_disk() {
    let behavior = "\n[[behavior]]\nmatch = \"/keyed\"\norigin = \"o\"\naccess = \"api_key\"\ncache = false\n";
    let plan = Plan { rest: TABLES.to_owned(), behavior: behavior.to_owned(), ..Plan::default() };
    let mut world = World::start(Plan { through: [vec![], vec![], told_of_errors()], ..plan });
    let names = ["deleted", "off", "kept"];
    let keys = names.map(|name| {
        let made: Value = serde_json::from_slice(&make_key(&world.pops[0], name).body).unwrap();
        made["value"].as_str().unwrap().to_owned()
    });
    for (pop, key) in world.pops.iter().flat_map(|pop| keys.iter().map(move |key| (pop, key))) {
        until("the key", || (says(pop, key) == 200).then_some(()));
    }
    fill_disk(&world.pops[2]);
    // An entry of a store, which cannot be written either, comes before.
    assert_eq!(put(&world.pops[0], "first", "1").status, 200);
    assert!(world.pops[0].admin("DELETE", "/keys/deleted", "").status < 300);
    assert!(world.pops[0].admin("PATCH", "/keys/off", &json!({"enabled": false}).to_string()).status < 300);
    for pop in [&world.pops[1], &world.pops[2]] {
        for key in &keys[..2] {
            until("the key to be refused", || (says(pop, key) == 403).then_some(()));
        }
        assert_eq!(says(pop, &keys[2]), 200);
    }
    let said = world.pops[2].admin("POST", "/reload", "");
    assert!(says(&world.pops[2], &keys[0]) == 403 && says(&world.pops[2], &keys[1]) == 403, "{}", said.text());
    make_room(&world.pops[2]);
    until("the key to be gone", || (!has_key(&world.pops[2], "deleted")).then_some(()));
    until("the entry", || (value(&world.pops[2], "first").as_deref() == Some("1")).then_some(()));
    // It is on disk now, and nobody has to tell it again.
    world.leaves[2].kill();
    world.pops[2].crash_and_restart();
    assert_eq!(keys.each_ref().map(|key| says(&world.pops[2], key)), [403, 403, 200]);
}
