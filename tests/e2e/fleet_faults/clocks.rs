//! Clocks: PoPs whose clocks differ, and one whose clock is set back.
//!
//! In: `libfaketime` before the real binary. Out: everything as with one clock. Never: the clock of this machine.

use std::path::PathBuf;

use super::world::{Plan, World, connected, everywhere, has_key, make_key, purge, put, url, value, version};
use crate::harness::{Pop, until};

const STORES: &str = "[[kv_store]]\nname = \"flags\"\n[[usage_plan]]\nname = \"gold\"\n\
                      [cache]\ndisk = { path = \"{dir}/cache\", size = \"64MiB\" }\n";

/// A command whose clock is `ahead` of this machine's: "+10s", "-10s".
fn clock(ahead: &str) -> Vec<String> {
    let library = format!("LD_PRELOAD={}", library().display());
    let rest = [&*format!("FAKETIME={ahead}"), "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
    ["env", &library].into_iter().chain(rest).map(str::to_owned).collect()
}

fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let found = places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    found.expect("libfaketime is missing: install the Debian package faketime")
}

fn skewed() -> Plan {
    Plan {
        rest: STORES.to_owned(),
        origin: "shield = \"FRA\"".to_owned(),
        through: [clock("+10s"), clock("-10s"), clock("+0s")],
        ..Plan::default()
    }
}

/// When a PoP says that it answered a request.
fn time_of(pop: &Pop, path: &str) -> String {
    pop.log_line(&format!("\"path\":\"{path}\""))["time"].as_str().unwrap().to_owned()
}

#[test]
fn clocks_that_differ_change_nothing() {
    let world = World::start(skewed());
    let [fra, nrt, iad] = &world.pops[..] else { unreachable!() };
    world.fill(&["/c/a", "/c/b"]);
    // The shield took what nodes with other clocks signed.
    for pop in [nrt, iad] {
        assert_eq!(pop.log_line("\"path\":\"/c/a\"")["tier"].as_str(), Some("fra hit"));
    }
    // The clocks do differ: the later request has the earlier time.
    version(fra, "/c/early");
    version(nrt, "/c/late");
    assert!(time_of(fra, "/c/early") > time_of(nrt, "/c/late"));

    for pop in &world.pops {
        world.content.change("/c/a");
        let done = purge(pop, &everywhere("/c/a"));
        assert_eq!(done["seen"], serde_json::json!(["fra", "iad", "nrt"]), "{done}");
        world.is_fresh(&["/c/a"]);
        assert!(world.pops.iter().all(|pop| pop.get("/c/a").hit()), "what came after the purge is kept");
    }

    // The last writer wins, whatever its clock says.
    for (pop, text) in [(fra, "one"), (nrt, "two"), (iad, "three"), (nrt, "four")] {
        assert_eq!(put(pop, "flag", text).status, 200);
        for pop in &world.pops {
            until("the entry", || (value(pop, "flag").as_deref() == Some(text)).then_some(()));
        }
    }
    assert_eq!(make_key(nrt, "alice").status, 201);
    for pop in &world.pops {
        until("the key", || has_key(pop, "alice").then_some(()));
    }
    for (pop, body) in [(fra, "first"), (nrt, "second")] {
        let (done, said) = world.deploy(pop, body, &["--wait"]);
        assert!(done, "{said}");
        assert!(world.pops.iter().all(|pop| pop.get("/rev").text() == body), "{said}");
    }

    // Away for a while, with a clock of its own.
    let mut world = world;
    world.pops[1].signal("KILL");
    world.pops[1].wait();
    world.content.change("/c/b");
    purge(&world.pops[0], &url("/c/b"));
    world.pops[1].start_again();
    assert_eq!(version(&world.pops[1], "/c/b"), world.content.version("/c/b"));
    world.settle();
    world.is_fresh(&["/c/a", "/c/b"]);
}

#[test]
fn a_clock_that_is_set_back_brings_nothing_back() {
    let mut world = World::start(skewed());
    world.fill(&["/c/a", "/c/b", "/c/c"]);
    // What it has on disk was fetched in its future.
    world.pops[0].go_through(clock("-10s"));
    world.pops[0].restart();
    connected(&world.pops[0], true);
    assert!(world.pops[0].get("/c/c").hit(), "its disk has them");
    for (at, path) in [(0, "/c/a"), (2, "/c/b")] {
        world.content.change(path);
        purge(&world.pops[at], &everywhere(path));
        world.is_fresh(&[path]);
        assert!(world.pops.iter().all(|pop| pop.get(path).hit()), "what came after the purge is kept");
    }
    // Also while it hears nobody.
    world.leaves[0].kill();
    connected(&world.pops[0], false);
    world.content.change("/c/c");
    purge(&world.pops[0], &url("/c/c"));
    assert_eq!(version(&world.pops[0], "/c/c"), world.content.version("/c/c"));
}
