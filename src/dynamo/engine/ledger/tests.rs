//! Simulated fleets over the real triggers and tables: three PoPs, a bus that keeps the newest of each item, clocks that are apart.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;

const NODES: [&str; 3] = ["fra", "iad", "nrt"];
const KEYS: [&str; 4] = ["S:a", "S:b", "S:c", "S:d"];
const SEEDS: u64 = 500;
const STEPS: usize = 60;
/// Clocks are this far apart at most, in milliseconds either way.
const SKEW: i64 = 10_000;

/// What is on the bus under one item.
#[derive(Debug, Clone)]
struct Kept {
    seq: u64,
    place: Place,
    stamp: Stamp,
    item: Result<String, String>,
}

#[derive(Default)]
struct Bus {
    newest: BTreeMap<Place, Kept>,
    /// Ids, as long as they are known.
    ids: Vec<(Place, Stamp, u64)>,
    head: u64,
}

// === impl Bus ===
impl Bus {
    fn publish(&mut self, one: &Untold) {
        let id = (one.place.clone(), one.stamp.clone(), one.news);
        if self.ids.contains(&id) {
            return;
        }
        self.ids.push(id);
        // Positions are far above 1, as a server's are.
        self.head = self.head.max(1000) + 1;
        let (place, stamp, item) = (one.place.clone(), one.stamp.clone(), one.item.clone());
        self.newest.insert(place.clone(), Kept { seq: self.head, place, stamp, item });
    }

    fn after(&self, position: u64) -> Vec<Kept> {
        let mut found: Vec<Kept> = self.newest.values().filter(|kept| kept.seq > position).cloned().collect();
        found.sort_by_key(|kept| kept.seq);
        found
    }
}

#[derive(Debug)]
struct Crash;

impl From<rusqlite::Error> for Crash {
    fn from(error: rusqlite::Error) -> Crash {
        panic!("{error}")
    }
}

struct Pop {
    ledger: Ledger,
    node: &'static str,
    skew: i64,
}

fn shared() -> [Shared; 1] {
    [Shared { name: "t".into(), keys: vec!["pk".into()] }]
}

fn place(key: &str) -> Place {
    Place { table: "t".into(), pk: key.into(), sk: String::new() }
}

const CLOCK: &str = "(SELECT ms FROM clock)";

/// A database as the engine makes it, as far as the triggers see it.
fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE clock (ms INTEGER); INSERT INTO clock VALUES (1000000);
             CREATE TABLE _tables (table_name TEXT PRIMARY KEY, ttl_enabled INTEGER, ttl_attribute TEXT);
             INSERT INTO _tables VALUES ('t', 1, 'e');
             CREATE TABLE t (pk TEXT, sk TEXT, item_json TEXT, PRIMARY KEY (pk, sk));",
        )
        .unwrap();
    connection
}

// === impl Pop ===
impl Pop {
    fn new(node: &'static str, skew: i64) -> Pop {
        Pop { ledger: Ledger::of(database(), &shared(), node, CLOCK).unwrap(), node, skew }
    }

    /// The process ends and begins again.
    fn crash(&mut self) {
        let connection =
            std::mem::replace(&mut self.ledger.connection, Mutex::new(Connection::open_in_memory().unwrap()));
        self.ledger = Ledger::of(connection.into_inner(), &shared(), self.node, CLOCK).unwrap();
    }

    fn sql(&self, statement: &str, values: impl rusqlite::Params) -> usize {
        self.ledger.connection.lock().prepare_cached(statement).unwrap().execute(values).unwrap()
    }

    fn put(&self, key: &str, item: &str) {
        self.sql("INSERT OR REPLACE INTO t VALUES (?1, '', ?2)", params![key, item]);
    }

    fn delete(&self, key: &str) -> bool {
        self.sql("DELETE FROM t WHERE pk = ?1", params![key]) > 0
    }

    /// Everything: items, and stamps with what is gone.
    fn all(&self) -> (Vec<(String, String)>, Vec<(String, Stamp, bool)>) {
        let connection = self.ledger.connection.lock();
        let mut query = connection.prepare_cached("SELECT pk, item_json FROM t ORDER BY pk").unwrap();
        let items = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let mut query = connection
            .prepare_cached("SELECT pk, at, node, gone IS NOT NULL FROM rimward_global_items ORDER BY pk")
            .unwrap();
        let stamps = query.query_map([], |row| Ok((row.get(0)?, stamp(row, 1)?, row.get(3)?))).unwrap();
        (items.map(Result::unwrap).collect(), stamps.map(Result::unwrap).collect())
    }

    /// `crash` says where it ends: before the item is written, or after.
    fn take(&self, kept: &Kept, crash: Option<bool>) -> Result<Verdict, Crash> {
        let gone = kept.item.as_ref().err().map(String::as_str);
        let write = || {
            if crash == Some(true) {
                return Err(Crash);
            }
            match &kept.item {
                Ok(item) => self.put(&kept.place.pk, item),
                Err(_) => drop(self.delete(&kept.place.pk)),
            }
            if crash.is_some() { Err(Crash) } else { Ok(()) }
        };
        self.ledger.take(&kept.place, &kept.stamp, gone, kept.seq, write)
    }
}

/// Every write that was acknowledged: its stamp, and what it made of the item.
type Written = BTreeMap<String, BTreeMap<Stamp, Option<String>>>;

struct World {
    pops: Vec<Pop>,
    bus: Bus,
    written: Written,
    random: StdRng,
    now: i64,
    count: usize,
}

// === impl World ===
impl World {
    fn new(seed: u64) -> World {
        let mut random = StdRng::seed_from_u64(seed);
        let pops = NODES.map(|node| Pop::new(node, random.random_range(-SKEW..=SKEW))).into();
        World { pops, bus: Bus::default(), written: Written::new(), random, now: 100_000_000, count: 0 }
    }

    fn step(&mut self) {
        self.now += self.random.random_range(0..1500);
        let at = self.random.random_range(0..NODES.len());
        let key = KEYS[self.random.random_range(0..KEYS.len())];
        let skew = self.pops[at].skew;
        self.pops[at].sql("UPDATE clock SET ms = ?1", params![self.now + skew]);
        match self.random.random_range(0..10) {
            0..4 => {
                self.count += 1;
                // Some expire before long.
                let ends = self.random.random_bool(0.3).then(|| (self.now / 1000) + self.random.random_range(0..8));
                let end = ends.map(|at| format!(r#","e":{{"N":"{at}"}}"#)).unwrap_or_default();
                let item = format!(r#"{{"pk":{{"S":"{key}"}},"n":{{"N":"{}"}}{end}}}"#, self.count);
                let before = self.pops[at].ledger.stamp(&place(key)).unwrap();
                self.pops[at].put(key, &item);
                self.acknowledged(at, key, Some(item), before);
            }
            4 => {
                let before = self.pops[at].ledger.stamp(&place(key)).unwrap();
                if self.pops[at].delete(key) {
                    self.acknowledged(at, key, None, before);
                }
            }
            5 => self.sweep(at),
            6..8 => self.tell(at, true),
            _ => self.take(at, true),
        }
    }

    /// The last write of its PoP to that item is later than all that it knew of.
    fn acknowledged(&mut self, at: usize, key: &str, item: Option<String>, before: Option<Stamp>) {
        let stamp = self.pops[at].ledger.stamp(&place(key)).unwrap().unwrap();
        assert!(before.is_none_or(|before| before < stamp), "{key} at {at}");
        let before = self.written.entry(key.into()).or_default().insert(stamp, item.clone());
        assert!(before.is_none_or(|before| before == item), "two writes have one stamp");
    }

    /// As the engine's sweep does: what has expired by this PoP's clock.
    fn sweep(&mut self, at: usize) {
        let seconds = (self.now + self.pops[at].skew) / 1000;
        for (key, item) in self.pops[at].all().0 {
            let item: serde_json::Value = serde_json::from_str(&item).unwrap();
            let end = item["e"]["N"].as_str().and_then(|end| end.parse::<i64>().ok());
            if end.is_some_and(|end| end < seconds) {
                let before = self.pops[at].ledger.stamp(&place(&key)).unwrap();
                assert!(self.pops[at].delete(&key));
                // What ends is that write, and none that this PoP has not heard of.
                let ended = before.clone().map(|before| Stamp { at: before.at | 1, ..before });
                assert_eq!(self.pops[at].ledger.stamp(&place(&key)).unwrap(), ended);
                self.acknowledged(at, &key, None, before);
            }
        }
    }

    fn tell(&mut self, at: usize, faulty: bool) {
        let untold = self.pops[at].ledger.untold(if faulty { 2 } else { 100 }).unwrap();
        untold.iter().for_each(|one| self.bus.publish(one));
        if faulty && self.random.random_bool(0.2) {
            // Written between; then the end, before it is noted that they are on the bus.
            return self.pops[at].crash();
        }
        self.pops[at].ledger.told(untold.iter().map(|one| (&one.place, &one.stamp, one.news))).unwrap();
        if faulty && self.random.random_bool(0.1) {
            // What was told long ago is known by its id no longer.
            self.bus.ids.clear();
        }
    }

    fn take(&mut self, at: usize, faulty: bool) {
        let mut position = self.pops[at].ledger.position().unwrap();
        if faulty && self.random.random_bool(0.2) {
            // Delivered twice.
            position = position.saturating_sub(self.random.random_range(0..5));
        }
        let mut heard = self.bus.after(position);
        heard.truncate(if faulty { self.random.random_range(0..4) } else { 100 });
        let Some(last) = heard.last().map(|kept| kept.seq) else { return };
        if faulty {
            heard.shuffle(&mut self.random);
        }
        for kept in &heard {
            let crash = (faulty && self.random.random_bool(0.1)).then(|| self.random.random_bool(0.5));
            if self.pops[at].take(kept, crash).is_err() {
                return self.pops[at].crash();
            }
        }
        self.pops[at].ledger.over().unwrap();
        self.pops[at].ledger.read_to(last).unwrap();
    }

    /// Everybody is heard, until nobody has anything to say.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 20, "it does not come to an end");
            let head = self.bus.head;
            (0..NODES.len()).for_each(|at| self.tell(at, false));
            (0..NODES.len()).for_each(|at| self.take(at, false));
            let quiet = self.pops.iter().all(|pop| pop.ledger.untold(1).unwrap().is_empty());
            if quiet && self.bus.head == head {
                return;
            }
        }
    }

    fn agree(&self, seed: u64) {
        let (items, stamps) = self.pops[0].all();
        for pop in &self.pops {
            assert_eq!(pop.all(), (items.clone(), stamps.clone()), "seed {seed}: {} has others", pop.node);
        }
        for (key, writes) in &self.written {
            let (stamp, item) = writes.last_key_value().unwrap();
            let (_, own, gone) = stamps.iter().find(|(known, ..)| known == key).unwrap();
            assert_eq!((own, *gone), (stamp, item.is_none()), "seed {seed}: {key} is not the last write");
            let found = items.iter().find(|(known, _)| known == key).map(|(_, item)| item.clone());
            assert_eq!(&found, item, "seed {seed}: {key}");
            let kept = &self.bus.newest[&place(key)];
            assert_eq!((&kept.stamp, kept.item.clone().ok()), (stamp, item.clone()), "seed {seed}: the bus has {key}");
        }
    }
}

/// Delays, messages twice and out of order, processes that end at any point, clocks ten seconds apart either way.
#[test]
fn pops_agree_on_the_last_write() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.settle();
        world.agree(seed);
        // A PoP that comes late has all from the bus.
        let late = Pop::new("lhr", 0);
        for kept in world.bus.after(0) {
            late.take(&kept, None).unwrap();
        }
        assert_eq!(late.all(), world.pops[0].all(), "seed {seed}");
        assert_eq!(late.ledger.untold(9).unwrap(), [], "seed {seed}: it tells what it was told");
    }
}

#[test]
fn what_was_there_before_is_seeded_and_what_is_no_longer_global_forgotten() {
    let connection = database();
    connection.execute("INSERT INTO t VALUES ('S:a', '', '{}')", []).unwrap();
    let ledger = Ledger::of(connection, &shared(), "fra", CLOCK).unwrap();
    let untold = ledger.untold(9).unwrap();
    let first = Stamp { at: 0, node: "fra".into() };
    assert_eq!(untold, [Untold { place: place("S:a"), stamp: first, item: Ok("{}".into()), news: 1 }]);
    ledger.read_to(77).unwrap();
    let ledger = Ledger::of(ledger.connection.into_inner(), &shared(), "fra", CLOCK).unwrap();
    assert_eq!((ledger.untold(9).unwrap().len(), ledger.position().unwrap()), (1, 77), "once");
    ledger.told(untold.iter().map(|one| (&one.place, &one.stamp, one.news))).unwrap();
    assert_eq!(ledger.untold(9).unwrap(), []);
    ledger.afresh().unwrap();
    assert_eq!((ledger.untold(9).unwrap().len(), ledger.position().unwrap()), (1, 0));
    let ledger = Ledger::of(ledger.connection.into_inner(), &[], "fra", CLOCK).unwrap();
    assert_eq!(ledger.untold(9).unwrap(), []);
    ledger.connection.lock().execute("DELETE FROM t", []).unwrap();
    assert_eq!(ledger.untold(9).unwrap(), [], "it has no trigger");
}
