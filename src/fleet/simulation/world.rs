//! World: what happens, drawn from a seed.
//!
//! In: a seed. Out: what clients and nodes did, the first promise that was broken. Never: an order that the seed does not fix.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::hub::{Hub, Tail};
use super::mutant::Mutant;
use super::node::{Birth, Node, Process};
use super::truth::{self, Truth};
use crate::fleet::bus::{BusError, Delivered, Message, Seq, Topic};
use crate::fleet::counters::Usage;
use crate::fleet::purge_wire;
use crate::fleet::revision::{DeployKey, Envelope};
use crate::limit::ledger;

/// What happens in one world before it heals.
const STEPS: u32 = 120;
/// When worlds begin: milliseconds since the epoch, the middle of a month.
pub const BEGAN: u64 = 1_794_800_000_000;
const POPS: [&str; 3] = ["FRA", "NRT", "IAD"];
/// Bytes of a revision.
pub const REVISION_MAX: u64 = 1 << 20;

/// What was counted while worlds went by.
#[derive(Debug, Default, Clone)]
pub struct Stats(BTreeMap<&'static str, u64>);

pub struct World {
    pub rng: StdRng,
    pub now: u64,
    /// Counts what happens: what is later has a larger one.
    pub moment: u64,
    pub hub: Hub,
    pub nodes: Vec<Node>,
    pub names: Vec<String>,
    pub truth: Truth,
    pub stats: Stats,
    pub trace: bool,
    pub key: DeployKey,
    pub stranger: DeployKey,
    pub trust: Vec<[u8; 32]>,
    /// Everything that was ever on the bus of a topic whose messages may come again.
    pub past: Vec<(Topic, Message)>,
    /// Times at which something began that lets more through.
    pub faults: u64,
    /// A hub lost its disk: what it had is where nodes have it.
    pub forgotten: bool,
    /// Nothing fails any more.
    pub well: bool,
    /// Somebody keeps what was published, and brings it again.
    pub repeats: bool,
    pub mutant: Mutant,
}

pub type Checked = Result<(), String>;

// === impl Stats ===
impl Stats {
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Stats) {
        other.0.iter().for_each(|(what, count)| *self.0.entry(what).or_default() += count);
    }

    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

macro_rules! trace {
    ($world:expr, $($words:tt)*) => {
        if $world.trace {
            println!("{:>8} ms  #{:<4} {}", $world.elapsed(), $world.moment, format!($($words)*));
        }
    };
}

pub(super) use trace;

// === impl World ===
impl World {
    pub fn new(seed: u64, trace: bool, mutant: Mutant) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = [2, 2, 3, 3, 3, 4, 5, 6][rng.random_range(0..8)];
        let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
        let node = |(n, name): (usize, &String)| {
            Node::new(name.clone(), POPS[n % POPS.len()], rng.random_range(-10_000..=10_000))
        };
        let nodes: Vec<Node> = names.iter().enumerate().map(node).collect();
        let (key, stranger) = (DeployKey::make().unwrap().0, DeployKey::make().unwrap().0);
        let mut truth = Truth::default();
        truth.bound.resize_with(count, Default::default);
        truth.synced = vec![0; count];
        truth.keys.ended.resize_with(count, Default::default);
        truth.keys.refused.resize_with(count, Default::default);
        let (mut trust, repeats) = (vec![key.trusted()], rng.random());
        trust.extend((mutant == Mutant::StrangerTrusted).then(|| stranger.trusted()));
        World {
            rng,
            now: BEGAN,
            moment: 0,
            hub: Hub::new(BEGAN),
            nodes,
            names,
            truth,
            stats: Stats::default(),
            trace,
            key,
            stranger,
            trust,
            past: Vec::new(),
            faults: 0,
            forgotten: false,
            well: false,
            repeats,
            mutant,
        }
    }

    pub fn run(mut self) -> Result<Stats, String> {
        for n in 0..self.nodes.len() {
            self.start(n)?;
        }
        for _ in 0..STEPS {
            self.step()?;
        }
        self.heal()?;
        self.settled()?;
        Ok(self.stats)
    }

    /// Milliseconds since it began.
    pub fn elapsed(&self) -> u64 {
        self.now - BEGAN
    }

    /// How many of something are taken at once.
    pub fn some(&mut self, most: usize) -> usize {
        if self.well { usize::MAX } else { self.rng.random_range(1..most) }
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    /// Something happens.
    fn step(&mut self) -> Checked {
        self.now += if self.rng.random_ratio(1, 40) {
            self.rng.random_range(1000..60_000)
        } else {
            self.rng.random_range(1..300)
        };
        let n = self.rng.random_range(0..self.nodes.len());
        if self.nodes[n].process.is_some() {
            self.dead(n);
        }
        if self.nodes[n].process.is_none() {
            return if self.chance(30) { self.start(n) } else { Ok(()) };
        }
        match self.rng.random_range(0..100) {
            0..18 => self.read(n),
            18..22 => self.end_fills(n),
            22..30 => self.purge(n),
            30..34 => self.put(n),
            34..36 => self.key(n),
            36..40 => self.key(n),
            40..43 => self.spend(n),
            43..46 => self.deploy(n),
            46..48 => self.forge(),
            48..50 => self.repeat(),
            50..92 => self.turn(n),
            _ => self.fault(n),
        }
    }

    /// A node does what it does all the time: some of it.
    fn turn(&mut self, n: usize) -> Checked {
        match self.rng.random_range(0..16) {
            0 | 1 => self.probe(n),
            2 => self.tell_purges(n),
            3 | 4 => self.take_purges(n),
            5 => self.tell_data(n),
            6 => self.take_data(n),
            7 => self.exchange(n),
            8 => self.take_counts(n),
            9 => self.take_revisions(n),
            10 => self.take_acks(n),
            11 => self.foresee(n).map(drop),
            12 => self.sync_counts(n),
            13 => self.tell_keys(n),
            14 => self.raise_horizon(n),
            _ => self.work(n),
        }
    }

    fn fault(&mut self, n: usize) -> Checked {
        match self.rng.random_range(0..14) {
            0..3 => {
                self.nodes[n].link = false;
                trace!(self, "node {n} is cut off");
                self.stats.count("cut off");
                self.faults += 1;
            }
            3..5 => {
                self.nodes.iter_mut().for_each(|node| node.link = true);
                trace!(self, "all links are whole");
            }
            5..7 => self.kill(n, "killed"),
            7 => {
                // In the middle of whatever it writes next.
                let writes = self.rng.random_range(0..24);
                let which = [0, 0, 0, 1, 2][self.rng.random_range(0..5)];
                self.nodes[n].disks().nth(which).unwrap().kill_after(writes);
                trace!(self, "node {n} will be killed by its write {writes}");
            }
            8..10 => {
                let full = !self.nodes[n].full;
                self.nodes[n].fill_disks(full);
                trace!(self, "node {n}: disk full: {full}");
                self.stats.count("disk full");
            }
            10 if self.chance(40) => {
                self.kill(n, "loses its disks");
                self.lose_disks(n);
                self.stats.count("disk lost");
            }
            11 => {
                self.hub.up = false;
                trace!(self, "the hub is down");
                self.stats.count("hub down");
                self.faults += 1;
            }
            12 => self.restart_hub(),
            13 if self.chance(25) => {
                self.hub.lose(self.now);
                self.restart_hub();
                self.forgotten = true;
                self.truth.forgotten = self.truth.published.clone();
                for (node, bound) in self.nodes.iter().zip(&mut self.truth.bound) {
                    if node.position == Seq(0) {
                        bound.excused = self.truth.published.clone();
                        bound.awaited.clear();
                    }
                }
                self.forget_revisions();
                trace!(self, "the hub has lost its disk");
                self.stats.count("hub lost");
                self.faults += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn restart_hub(&mut self) {
        self.hub.restart();
        // It takes longer than a node waits before it tries again.
        self.nodes.iter_mut().filter_map(|node| node.process.as_mut()).for_each(|process| process.data_from = Seq(0));
        trace!(self, "the hub begins");
        self.stats.count("hub restarted");
    }

    pub fn start(&mut self, n: usize) -> Checked {
        let (fresh, boot) = (self.rng.random(), self.rng.random());
        self.set_clock(n);
        let open = |envelope: &Envelope| envelope.open(&self.trust, REVISION_MAX).ok();
        let birth = Birth { now: self.now, fresh, boot, nodes: &self.names, open: &open, mutant: self.mutant };
        match self.nodes[n].start(&birth) {
            Ok(()) => {
                self.truth.came_back(n);
                trace!(self, "node {n} begins");
                self.counts_again(n)?;
                self.read_keys(n)?;
            }
            // As the process does: it says why, and ends.
            Err(error) if self.nodes[n].full => trace!(self, "node {n} cannot begin: {error}"),
            Err(error) => return Err(format!("node {n} cannot begin: {error}")),
        }
        Ok(())
    }

    /// A machine that comes back may have another idea of the time.
    fn set_clock(&mut self, n: usize) {
        if self.well || !self.chance(40) {
            return;
        }
        let (before, ahead) = (self.nodes[n].ahead, self.rng.random_range(-10_000..=10_000));
        self.nodes[n].ahead = ahead;
        trace!(self, "node {n}: its clock is {ahead} ms ahead, before {before}");
        if ahead < before {
            self.stats.count("clock stepped back");
        }
    }

    fn raise_horizon(&mut self, n: usize) -> Checked {
        let (process, clock) = self.process(n);
        process.horizon.raise(&process.stamps, clock);
        Ok(())
    }

    pub fn kill(&mut self, n: usize, how: &str) {
        trace!(self, "node {n} {how}");
        // Nothing of it is written any more.
        self.nodes[n].disks().for_each(|disk| disk.kill_after(0));
        self.nodes[n].process = None;
        self.truth.killed(n);
        self.forget_revisions();
        self.stats.count("killed");
        self.faults += 1;
    }

    fn lose_disks(&mut self, n: usize) {
        let lineage = self.truth_of_ledger(n);
        self.nodes[n].lose_disks();
        self.truth.lost(n);
        self.forget_revisions();
        // What the bus has of its counts is all that is left of them.
        if let Some(lineage) = lineage {
            let told = self.told_counts(lineage);
            self.truth.counted.insert(lineage, told);
        }
    }

    fn truth_of_ledger(&mut self, n: usize) -> Option<u64> {
        let ledger = ledger::Ledger::open(self.nodes[n].ledger_dir.path()).ok()?;
        Some(ledger.lineage())
    }

    fn told_counts(&mut self, lineage: u64) -> u64 {
        let messages = self.hub.kept(Topic::Usage);
        let usages = messages.iter().filter_map(|message| Usage::decode(&message.body).ok());
        let days = usages.filter(|usage| usage.lineage == lineage).flat_map(|usage| usage.counts);
        days.flat_map(|told| told.days).map(|(_, count)| u64::from(count)).sum()
    }

    /// A write killed it, and nothing that it was about to do happens.
    pub fn dead(&mut self, n: usize) -> bool {
        let dead = self.nodes[n].is_killed();
        if dead {
            self.kill(n, "is killed by its write");
            self.stats.count("killed while writing");
        }
        dead
    }

    pub fn reaches(&self, n: usize) -> bool {
        self.nodes[n].link && self.hub.up
    }

    /// The process of a node that has one, and its clock in nanoseconds.
    pub fn process(&mut self, n: usize) -> (&mut Process, u64) {
        let clock = self.nodes[n].clock(self.now) * 1_000_000;
        (self.nodes[n].process.as_mut().unwrap(), clock)
    }

    /// The bus keeps it, or not; and it may keep it without a word.
    pub fn publish(&mut self, n: usize, topic: Topic, message: &Message) -> Result<Seq, BusError> {
        if !self.reaches(n) || (!self.well && self.chance(4)) {
            return Err(BusError::Away("away".to_owned()));
        }
        let seq = self.hub.publish(topic, message, self.now)?;
        if topic != Topic::Data {
            self.past.push((topic, message.clone()));
        }
        if !self.well && self.chance(4) {
            self.stats.count("kept without a word");
            return Err(BusError::Away("no answer".to_owned()));
        }
        Ok(seq)
    }

    // === Tails ===

    /// What a tail that begins after `from` delivers next.
    pub fn next(&mut self, n: usize, topic: Topic, from: Seq, most: usize) -> Vec<Delivered> {
        self.next_as(n, topic.name(), topic, from, most)
    }

    /// The same for one tail of several of a topic: `name` is its own.
    pub fn next_as(&mut self, n: usize, name: &'static str, topic: Topic, from: Seq, most: usize) -> Vec<Delivered> {
        if !self.reaches(n) {
            self.process(n).0.tails.remove(name);
            return Vec::new();
        }
        let life = self.hub.life;
        let kept: Option<Tail> = self.process(n).0.tails.get(name).copied().filter(|tail| tail.life == life);
        let mut tail = match kept {
            Some(tail) => tail,
            None => self.hub.tail(topic, from),
        };
        let deliveries = self.hub.next(topic, &mut tail, most);
        self.process(n).0.tails.insert(name, tail);
        deliveries
    }

    /// Whether a tail of this topic goes on.
    pub fn has_tail(&mut self, n: usize, topic: Topic) -> bool {
        let (life, reaches) = (self.hub.life, self.reaches(n));
        reaches && self.process(n).0.tails.get(topic.name()).is_some_and(|tail| tail.life == life)
    }

    pub fn old(&mut self, topic: Topic) -> Option<Message> {
        if !self.repeats || !self.rng.random_ratio(1, 10) {
            return None;
        }
        let of: Vec<_> = self.past.iter().filter(|(one, _)| *one == topic).collect();
        let at = self.rng.random_range(0..of.len().max(1));
        of.get(at).map(|(_, message)| message.clone())
    }

    /// What was published is published again, by somebody who kept it.
    fn repeat(&mut self) -> Checked {
        if !self.hub.up || !self.repeats || self.past.is_empty() {
            return Ok(());
        }
        let at = self.rng.random_range(0..self.past.len());
        let (topic, mut message) = self.past[at].clone();
        if matches!(topic, Topic::Purges | Topic::Revisions) {
            message.id.push_str(&format!("-again-{}", self.moment));
            let _ = self.hub.publish(topic, &message, self.now);
            self.truth.published.extend(ids(&message).iter().filter(|id| self.truth.purges.contains_key(id)));
            self.stats.count("published again");
        }
        Ok(())
    }
}

/// The purges that a message tells of.
pub fn ids(message: &Message) -> Vec<u64> {
    purge_wire::scopes(message).iter().filter_map(truth::id_of).collect()
}
