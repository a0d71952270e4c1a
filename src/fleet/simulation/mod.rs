//! Simulation: whole PoPs in one process, one thread and no time, under every fault that there is a name for.
//!
//! In: a seed. Out: nothing, or what a world of that seed broke, and how to see it again. Never: a real clock, a thread within a world,
//! a copy of a rule: what decides is what decides in production.
//!
//! A world has a hub (`hub`), nodes with disks (`node`, `disk`), faults (`world`) and clients (`purging`, `sharing`, `keys`, `revising`); `truth` knows what was
//! promised to whom, `heal` whether it was kept. All that happens is drawn from the seed.

mod disk;
mod heal;
mod hub;
mod keys;
mod mutant;
mod node;
mod purging;
mod revising;
mod sharing;
mod truth;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use mutant::Mutant;
use parking_lot::Mutex;
use world::{Stats, World};

/// Worlds of one run of the test, and the variable that says which one alone is to be seen.
const WORLDS: u64 = 1000;
const ALONE: &str = "RIMWARD_SIMULATE";

/// What has to have happened in them.
const HAPPEN: [&str; 32] = [
    "API key made",
    "API key not revoked",
    "API key refused past a full disk",
    "API key revoked",
    "begins to count while cut off",
    "clock stepped back",
    "cut off",
    "data passed over",
    "disk full",
    "disk lost",
    "foreseen",
    "forged",
    "held",
    "hit",
    "hit of a peer",
    "hit past a full disk",
    "hub lost",
    "judged",
    "kept without a word",
    "key put",
    "key refused",
    "killed",
    "killed while writing",
    "not received",
    "published again",
    "purge received",
    "purge refused",
    "purges lost",
    "quota refused",
    "released past a full disk",
    "revision that cannot be built",
    "revision told again",
];

fn simulate(seed: u64, trace: bool) -> Result<Stats, String> {
    World::new(seed, trace, Mutant::None).run().map_err(|why| {
        format!(
            "world {seed}: {why}\nsee it: {ALONE}={seed} cargo test --locked --lib fleet::simulation -- --nocapture"
        )
    })
}

#[test]
fn nothing_that_was_promised_is_broken() {
    if let Ok(alone) = std::env::var(ALONE) {
        let seed = alone.parse().unwrap();
        return println!("{:?}", simulate(seed, true).unwrap_or_else(|why| panic!("{why}")));
    }
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Stats::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= WORLDS {
                return sum;
            }
            sum.add(&simulate(seed, false).unwrap_or_else(|why| panic!("{why}")));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let sum = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = Stats::default();
        all.into_iter().for_each(|one| sum.add(&one.join().unwrap()));
        sum
    });
    // Worlds in which nothing happens prove nothing.
    println!("{sum:?}");
    for what in HAPPEN {
        assert!(sum.of(what) > 0, "{what}: never in {WORLDS} worlds");
    }
}

/// Worlds within which a rule that does not hold has to show.
const MUTANTS: u64 = 500;

#[test]
fn a_rule_that_does_not_hold_shows() {
    let (next, hidden) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let shown = (0..MUTANTS).find_map(|seed| Some((seed, World::new(seed, false, *mutant).run().err()?)));
            match shown {
                Some((seed, why)) => println!("{mutant:?}: world {seed}: {why}"),
                None => hidden.lock().push(mutant),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let hidden = hidden.into_inner();
    assert!(hidden.is_empty(), "{MUTANTS} worlds, and none shows that these rules do not hold: {hidden:?}");
}
