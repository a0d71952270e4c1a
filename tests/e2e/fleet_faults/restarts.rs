//! Restarts: hub, leaf nodes and PoPs end and start in any order, some killed, while operators go on with whoever is up.
//!
//! In: a seed. Out: whatever was accepted, everywhere, once. Never: an order that only luck finds again.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::world::{NODES, Plan, World, connected, has_key, make_key, purge, put, url, used, value, version};
use crate::harness::credentials::sha256;
use crate::harness::{Pop, until};

const KEY: &str = "key-of-a-test-only-0123456789";
const PATHS: [&str; 4] = ["/c/a", "/c/b", "/c/c", "/c/d"];

/// What was accepted.
#[derive(Default)]
struct Accepted {
    keys: Vec<String>,
    entries: Vec<String>,
    counted: u64,
    revision: Option<String>,
    acts: usize,
}

/// Hub, leaf nodes, PoPs.
const PROCESSES: usize = 1 + 2 * NODES.len();

struct Drill {
    world: World,
    up: [bool; PROCESSES],
    accepted: Accepted,
    rng: StdRng,
}

// === impl Drill ===
impl Drill {
    fn new(seed: u64) -> Drill {
        let tables = format!(
            "[[kv_store]]\nname = \"flags\"\n[[usage_plan]]\nname = \"gold\"\nshared = true\n\
             quota = {{ limit = 100000, period = \"month\" }}\n\
             [[api_key]]\nname = \"acme\"\nsha256 = \"{}\"\nplans = [\"gold\"]\n\
             [cache]\ndisk = {{ path = \"{{dir}}/cache\", size = \"64MiB\" }}\n",
            sha256(KEY)
        );
        let counted = "[[behavior]]\nmatch = \"/counted\"\norigin = \"o\"\naccess = \"api_key\"\ncache = false\n";
        let behavior = format!("\n{counted}");
        let plan = Plan { rest: tables, behavior, fleet: "exchange = \"200ms\"\n".to_owned(), ..Plan::default() };
        let world = World::start(plan);
        world.fill(&PATHS);
        Drill { world, up: [true; PROCESSES], accepted: Accepted::default(), rng: StdRng::seed_from_u64(seed) }
    }

    fn order(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..PROCESSES).collect();
        order.shuffle(&mut self.rng);
        order
    }

    fn stop(&mut self, process: usize) {
        self.up[process] = false;
        match process {
            0 => self.world.hub.server.kill(),
            1..=3 => self.world.leaves[process - 1].kill(),
            _ => {
                let pop = &mut self.world.pops[process - 4];
                pop.signal(if self.rng.random_bool(0.7) { "KILL" } else { "TERM" });
                pop.wait();
            }
        }
    }

    fn start(&mut self, process: usize) {
        match process {
            0 => self.world.hub.server.restart(),
            1..=3 => self.world.leaves[process - 1].restart(),
            _ => self.world.pops[process - 4].start_again(),
        }
        self.up[process] = true;
    }

    /// An operator and a viewer at some PoP that is up.
    fn act(&mut self) {
        let up: Vec<usize> = (0..NODES.len()).filter(|i| self.up[4 + i]).collect();
        let Some(at) = up.choose(&mut self.rng).copied() else { return };
        let (pop, world) = (&self.world.pops[at], &self.world);
        self.accepted.acts += 1;
        let n = self.accepted.acts;
        let path = *PATHS.choose(&mut self.rng).unwrap();
        let newest = world.content.change(path);
        purge(pop, &url(path));
        assert_eq!(version(pop, path), newest, "{path} at {}", NODES[at]);
        let name = format!("name-{n}");
        assert_eq!(put(pop, &name, "1").status, 200);
        self.accepted.entries.push(name.clone());
        assert_eq!(make_key(pop, &name).status, 201);
        self.accepted.keys.push(name);
        for _ in 0..3 {
            assert_eq!(pop.get_with("/counted", &[("X-Api-Key", KEY)]).status, 200);
            self.accepted.counted += 1;
        }
        // A revision needs the bus: without it, it is refused.
        if self.up[0] && self.up[1 + at] && self.rng.random_bool(0.5) {
            let body = format!("revision-{n}");
            if world.deploy(pop, &body, &[]).0 {
                self.accepted.revision = Some(body);
            }
        }
    }

    /// All have all of it, once.
    fn check(&self, seed: u64) {
        let world = &self.world;
        world.settle();
        world.is_fresh(&PATHS);
        let accepted = &self.accepted;
        for (pop, node) in world.pops.iter().zip(NODES) {
            let what = |what: &str| format!("seed {seed}: {what} at {node}");
            for name in &accepted.entries {
                until(&what(name), || value(pop, name).map(|_| ()));
            }
            for name in &accepted.keys {
                until(&what(name), || has_key(pop, name).then_some(()));
            }
            until(&what("the count"), || (used(pop, "acme") == accepted.counted).then_some(()));
            if let Some(body) = &accepted.revision {
                until(&what("the revision"), || (pop.get("/rev").text() == *body).then_some(()));
            }
        }
    }
}

fn hits(pops: &[Pop]) -> bool {
    pops.iter().all(|pop| PATHS.iter().all(|path| pop.get(path).hit()))
}

fn drill(seed: u64) {
    let mut drill = Drill::new(seed);
    for process in drill.order() {
        drill.stop(process);
        drill.act();
    }
    for process in drill.order() {
        drill.start(process);
        drill.act();
    }
    drill.check(seed);
    // Nothing comes a second time: what was fetched since is kept, whoever hears everything anew.
    assert!(hits(&drill.world.pops), "seed {seed}");
    drill.stop(0);
    drill.world.pops.iter().for_each(|pop| connected(pop, false));
    drill.start(0);
    drill.world.settle();
    assert!(hits(&drill.world.pops), "seed {seed}");
    drill.check(seed);
}

#[test]
fn everything_restarts_in_one_order() {
    drill(1);
}

#[test]
fn everything_restarts_in_another_order() {
    drill(2);
}

#[test]
fn everything_restarts_in_a_third_order() {
    drill(3);
}
