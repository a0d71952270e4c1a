//! Deliveries: purges that come twice, and late.
//!
//! In: a link between a leaf node and the hub that loses what the hub answers, PoPs that are killed while they wait for it.
//! Out: each purge once. Never: an order that the hub did not keep.
//!
//! The hub keeps one order, so purges pass one another only on their way to it: a PoP that is cut off tells late what it accepted
//! early. Twice they come because the word that the hub has them is lost: they are told again, together with newer ones.

use super::world::{Content, NODES, Plan, World, connected, purge, url, version};
use crate::harness::until;
use crate::nats::{Hub, Server};
use crate::relay::Relay;

fn behind_a_relay() -> (World, Relay) {
    let hub = Hub::start();
    let relay = Relay::to(hub.leaves);
    let leaves: Vec<Server> =
        NODES.iter().map(|node| if *node == "fra" { Hub::leaf_to(relay.port, node) } else { hub.leaf(node) }).collect();
    let content = Content::default();
    let origin = content.origin(|| {});
    let rest = "[cache]\ndisk = { path = \"{dir}/cache\", size = \"64MiB\" }\n".to_owned();
    (World::with(Plan { rest, ..Plan::default() }, hub, leaves, content, origin), relay)
}

/// Purges at one PoP, until it is gone at the others; from then on they have the newest.
fn purged(world: &World, at: usize, path: &str) {
    let newest = world.content.change(path);
    purge(&world.pops[at], &url(path));
    for pop in &world.pops[1..] {
        until(&format!("{path} to go"), || (version(pop, path) == newest).then_some(()));
        assert!(pop.get(path).hit());
    }
}

#[test]
fn a_purge_that_is_told_twice_counts_once() {
    let (mut world, relay) = behind_a_relay();
    let paths = ["/c/a", "/c/b", "/c/c"];
    world.fill(&paths);
    // The hub has the first and nobody says so: it is told again, with the second, and after a crash with the third.
    relay.lose();
    purged(&world, 0, "/c/a");
    world.content.change("/c/b");
    purge(&world.pops[0], &url("/c/b"));
    world.pops[0].crash_and_restart();
    world.content.change("/c/c");
    purge(&world.pops[0], &url("/c/c"));
    relay.cut();
    relay.mend();
    for pop in &world.pops[1..] {
        for path in ["/c/b", "/c/c"] {
            until(path, || (version(pop, path) == world.content.version(path)).then_some(()));
        }
        assert!(pop.get("/c/a").hit(), "the first did not count again");
    }
    world.settle();
    world.is_fresh(&paths);
    assert!(world.pops[1..].iter().all(|pop| paths.iter().all(|path| pop.get(path).hit())));
}

#[test]
fn purges_that_pass_one_another_all_count() {
    let (mut world, relay) = behind_a_relay();
    let paths = ["/c/a", "/c/b", "/c/c"];
    world.fill(&paths);
    relay.cut();
    connected(&world.pops[0], false);
    // Accepted first, and heard of last.
    world.content.change("/c/a");
    purge(&world.pops[0], &url("/c/a"));
    purged(&world, 1, "/c/b");
    world.pops[0].crash_and_restart();
    purged(&world, 2, "/c/c");
    relay.mend();
    connected(&world.pops[0], true);
    world.settle();
    world.is_fresh(&paths);
    assert!(world.pops[1..].iter().all(|pop| ["/c/b", "/c/c"].iter().all(|path| pop.get(path).hit())));
}
