//! Limits: rates and quotas that three PoPs share.
//!
//! In: viewers at all PoPs, a PoP that is killed, a PoP that is cut off. Out: at most what the reference says is admitted too much;
//! counts that are exact once all were heard. Never: a request that waits for the bus.

use super::world::{NODES, Plan, World, connected, used};
use crate::harness::credentials::sha256;
use crate::harness::{Pop, until};

const KEY: &str = "key-of-a-test-only-0123456789";
const BURST: usize = 20;
const LIMIT: u64 = 60;

/// A plan `gold` and a key of it, acme; `/quota` counts.
fn metered(plan: &str) -> Plan {
    let rest = format!(
        "[[usage_plan]]\nname = \"gold\"\nshared = true\n{plan}\n\
         [[api_key]]\nname = \"acme\"\nsha256 = \"{}\"\nplans = [\"gold\"]\n",
        sha256(KEY)
    );
    let behavior = "[[behavior]]\nmatch = \"/quota\"\norigin = \"o\"\naccess = \"api_key\"\ncache = false\n";
    Plan { rest, behavior: format!("\n{behavior}"), fleet: "exchange = \"200ms\"\n".to_owned(), ..Plan::default() }
}

fn admitted(pop: &Pop) -> bool {
    match pop.get_with("/quota", &[("X-Api-Key", KEY)]).status {
        200 => true,
        429 => false,
        other => panic!("{other}"),
    }
}

/// How many of `n` requests, one after another, are admitted.
fn admits(pop: &Pop, n: usize) -> u64 {
    (0..n).filter(|_| admitted(pop)).count() as u64
}

/// All PoPs know of exactly so many.
fn counted(world: &World, want: u64) {
    for (pop, node) in world.pops.iter().zip(NODES) {
        until(&format!("{want} at {node}"), || (used(pop, "acme") == want).then_some(()));
    }
}

/// Three requests, after which all PoPs hear one another: what a node counted is told after what it admitted, and it takes its share anew
/// before it tells.
fn heard(world: &World) {
    assert!(admitted(&world.pops[1]) && admitted(&world.pops[2]));
    counted(world, 2);
    assert!(admitted(&world.pops[0]));
    counted(world, 3);
}

/// What is used at one PoP is not there at another one any more, as soon as that was told.
#[test]
fn a_rate_is_one_for_all_pops() {
    // Nothing comes back while the test runs; the quota says when the others were told.
    let world = World::start(metered(&format!(
        "rate = \"1/h\"\nburst = {BURST}\nquota = {{ limit = 100000, period = \"month\" }}"
    )));
    heard(&world);
    let first = admits(&world.pops[0], 2 * BURST);
    // Before all heard one another, each had its share, and one request cost what the others' shares would have been.
    assert!((BURST as u64 / 2..=BURST as u64 - 3).contains(&first), "what was used elsewhere is used here: {first}");
    counted(&world, 3 + first);
    for (pop, node) in world.pops.iter().zip(NODES).skip(1) {
        let mut more = 0;
        until(&format!("nothing to be left at {node}"), || {
            let one = admitted(pop);
            more += u64::from(one);
            (!one).then_some(())
        });
        assert!(more < BURST as u64, "{node} was not told: {more}");
    }
}

/// The bound with all asked at once: rate · t + burst + (N − 1) · (burst + rate · …), where the rate is nothing.
#[test]
fn all_pops_at_once_admit_no_more_than_the_bound() {
    let world = World::start(metered(&format!(
        "rate = \"1/h\"\nburst = {BURST}\nquota = {{ limit = 100000, period = \"month\" }}"
    )));
    heard(&world);
    let each: Vec<u64> = std::thread::scope(|scope| {
        let running: Vec<_> = world.pops.iter().map(|pop| scope.spawn(|| admits(pop, 4 * BURST))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let all = 3 + each.iter().sum::<u64>();
    assert!((BURST..=NODES.len() * BURST).contains(&(all as usize)), "{each:?}");
    counted(&world, all);
    // In debt or empty, none has anything left.
    for pop in &world.pops {
        until("nothing to be left", || (!admitted(pop)).then_some(()));
    }
}

/// After `all`, the rest of the quota is admitted one by one wherever it is asked for, and nothing past it.
fn up_to_the_last(world: &World, all: u64) {
    for (i, pop) in world.pops.iter().cycle().take((LIMIT - all) as usize).enumerate() {
        assert!(admitted(pop), "{i}");
        counted(world, all + i as u64 + 1);
    }
    assert!(world.pops.iter().all(|pop| !admitted(pop)));
    counted(world, LIMIT);
}

#[test]
fn a_quota_is_exact_once_all_were_heard() {
    let mut world = World::start(metered(&format!("quota = {{ limit = {LIMIT}, period = \"month\" }}")));
    let mut all = 0;
    for pop in &world.pops {
        all += admits(pop, 10);
    }
    assert_eq!(all, 30);
    counted(&world, all);
    // One is killed before it told what it counted, one is cut off.
    world.leaves[2].kill();
    connected(&world.pops[2], false);
    all += admits(&world.pops[2], 4) + admits(&world.pops[0], 4);
    all += admits(&world.pops[1], 4);
    world.pops[1].crash_and_restart();
    assert_eq!(all, 42);
    world.leaves[2].restart();
    counted(&world, all);
    up_to_the_last(&world, all);
}

/// What a PoP counts before and after it is killed, all of it cut off, is told once it hears the others again, and counts once.
#[test]
fn a_quota_is_exact_after_a_restart_that_nobody_heard_of() {
    let mut world = World::start(metered(&format!("quota = {{ limit = {LIMIT}, period = \"month\" }}")));
    let mut all: u64 = world.pops.iter().map(|pop| admits(pop, 5)).sum();
    assert_eq!(all, 15);
    counted(&world, all);
    world.leaves[2].kill();
    connected(&world.pops[2], false);
    let before = admits(&world.pops[2], 3);
    world.pops[2].crash_and_restart();
    connected(&world.pops[2], false);
    // It goes on from what it counted itself; what others counted it may have known less than a second.
    assert!(used(&world.pops[2], "acme") >= 5 + before, "its own are on disk");
    let after = admits(&world.pops[2], 3);
    all += before + after + admits(&world.pops[0], 4) + admits(&world.pops[1], 4);
    assert_eq!(all, 29, "each has enough of a share");
    // And once more, with nothing counted since.
    world.pops[2].crash_and_restart();
    world.leaves[2].restart();
    connected(&world.pops[2], true);
    counted(&world, all);
    up_to_the_last(&world, all);
}

/// Each part of a fleet that is cut apart has its share, and what all parts admitted is known afterwards.
#[test]
fn a_quota_is_not_passed_twice_while_a_pop_is_cut_off() {
    let mut world = World::start(metered(&format!("quota = {{ limit = {LIMIT}, period = \"month\" }}")));
    counted(&world, admits(&world.pops[0], 3));
    world.leaves[2].kill();
    connected(&world.pops[2], false);
    // A quarter of the quota more than there is may come before each part has noticed; then each has its share.
    let each: Vec<u64> = std::thread::scope(|scope| {
        let asks = |pop: &Pop| {
            let mut admitted_here = 0;
            let mut refused = 0;
            while refused < 20 && admitted_here < LIMIT {
                match admitted(pop) {
                    true => admitted_here += 1,
                    false => refused += 1,
                }
            }
            admitted_here
        };
        let running: Vec<_> = world.pops.iter().map(|pop| scope.spawn(move || asks(pop))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let all = 3 + each.iter().sum::<u64>();
    assert!(all <= 3 * LIMIT, "{each:?}");
    world.leaves[2].restart();
    counted(&world, all);
    assert!(world.pops.iter().all(|pop| all < LIMIT || !admitted(pop)), "{each:?}");
    counted(&world, all);
}
