//! Shield: PoPs that fill through another one while content changes, and a shield that hangs.
//!
//! In: viewers and purges at all PoPs at once; a process that is stopped with its connections open. Out: never a version older than
//! the one that the last purge was about. Never: a viewer that waits for a node longer than for an origin.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng as _;
use serde_json::json;

use super::world::{Content, NODES, Plan, World, everywhere, purge, version};
use crate::nats::{Hub, Server};

const PATHS: [&str; 4] = ["/c/a", "/c/b", "/c/c", "/c/d"];
const PURGES: usize = 60;
const VIEWERS: usize = 6;

fn shielded(more: &str) -> Plan {
    Plan { origin: format!("shield = \"FRA\"\n{more}"), ..Plan::default() }
}

/// Fills that a purge overtakes: the origin answers with what it had when it was asked.
#[test]
fn no_pop_serves_what_was_purged_whichever_way_it_was_filled() {
    let hub = Hub::start();
    let leaves: Vec<Server> = NODES.iter().map(|node| hub.leaf(node)).collect();
    let content = Content::default();
    let origin = content.origin(|| std::thread::park_timeout(Duration::from_millis(rand::random_range(0..15))));
    let world = World::with(shielded(""), hub, leaves, content, origin);
    // The version that every PoP has confirmed, by path: none may serve an older one from then on.
    let least: HashMap<&str, AtomicU64> = PATHS.iter().map(|path| (*path, AtomicU64::new(0))).collect();
    let over = AtomicBool::new(false);
    let asked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..VIEWERS {
            scope.spawn(|| {
                let mut rng = rand::rng();
                while !over.load(Ordering::Acquire) {
                    let (path, at) = (PATHS[rng.random_range(0..PATHS.len())], rng.random_range(0..NODES.len()));
                    let want = least[path].load(Ordering::Acquire);
                    let got = version(&world.pops[at], path);
                    if got < want {
                        over.store(true, Ordering::Release);
                        panic!("{path} at {}: version {got} after {want} was confirmed", NODES[at]);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut rng = rand::rng();
        for _ in 0..PURGES {
            if over.load(Ordering::Acquire) {
                break;
            }
            let (path, at) = (PATHS[rng.random_range(0..PATHS.len())], rng.random_range(0..NODES.len()));
            let newest = world.content.change(path);
            let done = purge(&world.pops[at], &everywhere(path));
            assert_eq!(done["seen"], json!(["fra", "iad", "nrt"]), "{done}");
            least[path].fetch_max(newest, Ordering::AcqRel);
        }
        over.store(true, Ordering::Release);
    });
    assert!(asked.load(Ordering::Relaxed) > PURGES as u64);
    world.is_fresh(&PATHS);
    let through = world.pops[0].metric("rimward_tier_requests_total", &["side=\"answered\""]);
    assert!(through > 0.0, "the shield was asked");
}

#[test]
fn a_shield_that_hangs_is_passed_over() {
    let timeouts = "timeouts = { connect = \"200ms\", read = \"300ms\" }\n";
    let world = World::start(shielded(timeouts));
    let [fra, nrt, iad] = &world.pops[..] else { unreachable!() };
    assert_eq!(version(nrt, "/c/before"), 0);
    fra.signal("STOP");
    for n in 0..4 {
        assert_eq!(version(nrt, &format!("/c/{n}")), 0, "the origin is asked");
    }
    let tier = |n: usize| {
        let line = nrt.log_line(&format!("\"path\":\"/c/{n}\""));
        line["tier"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(tier(0), "fra away");
    assert_eq!(tier(3), "", "it rests");
    assert_eq!(version(iad, "/c/other"), 0, "it finds out for itself");
    fra.signal("CONT");
}
