//! Heal: all faults of a world are over, and everything has to be everywhere.
//!
//! In: a world. Out: the first promise that is still broken. Never: a fault.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::Disk;
use super::node::{EXCHANGE, Node, RATE, SILENCE};
use super::world::{Checked, World, trace};
use crate::cache::object::Stamp;
use crate::cache::purge::{Scope, Verdict, tests::meta};
use crate::fleet::bus::{Message, Topic};
use crate::fleet::data::Datum;

/// Rounds in which everything has to be everywhere.
const ROUNDS: u32 = 10;

// === impl World ===
impl World {
    /// Everybody is there and does all that there is to do.
    pub fn heal(&mut self) -> Checked {
        trace!(self, "all faults are over");
        if !self.hub.up {
            self.hub.restart();
        }
        self.well = true;
        for n in 0..self.nodes.len() {
            self.nodes[n].link = true;
            let spent = self.nodes[n].is_killed() && self.nodes[n].process.is_some();
            if spent {
                self.kill(n, "was killed by its write");
            }
            self.nodes[n].disks().for_each(Disk::revive);
        }
        self.start_all()?;
        self.round(ROUNDS / 2)?;
        self.all_serve()?;
        self.keys_refused()?;
        self.nodes.iter_mut().for_each(|node| node.fill_disks(false));
        self.start_all()?;
        self.round(ROUNDS / 2)?;
        // Whatever a node missed of another's numbers counts once there is a newer one.
        for n in 0..self.nodes.len() {
            let (process, clock) = self.process(n);
            let acted = process.acted(clock);
            process.purges.accept(vec![Scope::Tag("last".into())], false, true, acted).map_err(|e| e.to_string())?;
        }
        self.round(ROUNDS / 2)
    }

    /// But for those whose disk keeps them from it.
    fn start_all(&mut self) -> Checked {
        for n in 0..self.nodes.len() {
            if self.nodes[n].process.is_none() {
                self.start(n)?;
            }
        }
        Ok(())
    }

    /// Nothing is missing that a node hears of: a full disk keeps nobody from serving what it stored.
    fn all_serve(&self) -> Checked {
        let held = |node: &Node| node.process.as_ref().is_some_and(|process| process.marks.is_held());
        match self.nodes.iter().find(|node| held(node)) {
            Some(node) => {
                Err(format!("{} serves nothing, and nothing is missing; disk full: {}", node.name, node.full))
            }
            None => Ok(()),
        }
    }

    fn round(&mut self, rounds: u32) -> Checked {
        for _ in 0..rounds {
            self.now += EXCHANGE.as_millis() as u64;
            for n in 0..self.nodes.len() {
                if self.nodes[n].process.is_none() {
                    continue;
                }
                self.probe(n)?;
                for _ in 0..2 {
                    self.tell_purges(n)?;
                    self.take_purges(n)?;
                    while self.foresee(n)? {}
                    self.tell_data(n)?;
                    self.take_data(n)?;
                    self.take_revisions(n)?;
                }
                self.tell_keys(n)?;
                self.exchange(n)?;
                self.take_counts(n)?;
                self.take_acks(n)?;
                self.work(n)?;
                self.read(n)?;
                self.end_fills(n)?;
            }
        }
        Ok(())
    }

    pub fn settled(&mut self) -> Checked {
        self.purges_settled()?;
        self.data_settled()?;
        self.keys_settled()?;
        self.quotas_settled()?;
        self.rates_settled()?;
        self.revisions_settled()
    }

    fn purges_settled(&mut self) -> Checked {
        let numbers: BTreeMap<u64, u64> = self
            .nodes
            .iter()
            .filter_map(|node| node.process.as_ref())
            .map(|process| (process.purges.lineage(), process.purges.log().number()))
            .collect();
        let head = self.hub.head(Topic::Purges);
        for (n, node) in self.nodes.iter().enumerate() {
            let Some(process) = &node.process else { return Err(format!("node {n} is away")) };
            if process.purges.position() != head || !process.reach.is_connected() {
                return Err(format!("node {n} is at {:?} of {head:?}", process.purges.position()));
            }
            if !matches!(process.purges.outgoing(1), Ok(None)) {
                return Err(format!("node {n} has not told all its purges"));
            }
            let told = process.seen.told();
            // Of what somebody brings again after a loss it is not known that it is old: then its lineage is seen late.
            let behind = numbers.iter().find(|(lineage, number)| told.get(**lineage) != **number);
            if let Some((lineage, number)) = behind.filter(|_| !self.repeats) {
                return Err(format!("node {n} has seen {} of {lineage:x}, which is at {number}", told.get(*lineage)));
            }
            if !process.seen.covers(&told) {
                return Err(format!("node {n} has not done all that it announced"));
            }
            // In force: nothing that was stored before it passes. Once: what was stored after it does.
            let all = |stamp: Stamp| process.marks.verdict(&meta("else", "/else", &[], stamp.0));
            let of =
                |id: u64, stamp: Stamp| process.marks.verdict(&meta("else", "/else", &[&format!("id-{id}")], stamp.0));
            for (id, before, after) in &self.truth.bound[n].applied {
                if of(*id, *before) == Verdict::Keep {
                    return Err(format!("node {n} has lost purge {id}"));
                }
                if of(*id, *after) != Verdict::Keep && all(*after) == Verdict::Keep {
                    let how = of(*id, *after);
                    return Err(format!("node {n} has applied purge {id} twice: {how:?}, first at {before:?}"));
                }
            }
            let excused = &self.truth.bound[n].excused;
            let missing = self.truth.published.difference(excused).find(|id| of(**id, Stamp(1)) == Verdict::Keep);
            if let Some(id) = missing {
                return Err(format!("node {n} has never heard of purge {id}"));
            }
        }
        Ok(())
    }

    fn data_settled(&mut self) -> Checked {
        let read = |message: &Message| match Datum::read(message) {
            Some(Datum::Entry { key, value, .. }) => Some((key, value)),
            _ => None,
        };
        let there: BTreeMap<_, _> = self.hub.kept(Topic::Data).iter().filter_map(read).collect();
        for n in 0..self.nodes.len() {
            let (process, _) = self.process(n);
            if !process.data.dirty(1).is_ok_and(|dirty| dirty.is_empty()) {
                return Err(format!("node {n} has not told all its keys"));
            }
            let data = process.data.clone();
            for (key, value) in &there {
                if data.get(key) != *value {
                    return Err(format!("node {n} has {key} = {:?}, the bus {value:?}", data.get(key)));
                }
            }
        }
        // What a client was told is kept was told to all, unless the same node wrote the key again before.
        for ((n, key), values) in &self.truth.values {
            let last = values.last().filter(|(value, kept)| *kept && !self.truth.published_values.contains(value));
            if let Some((value, _)) = last {
                return Err(format!("node {n} accepted {key} = {value} and told nobody"));
            }
        }
        Ok(())
    }

    fn quotas_settled(&mut self) -> Checked {
        let truth: u64 = self.truth.counted.values().sum();
        let ledgers =
            self.nodes.iter().filter_map(|node| node.process.as_ref()).map(|process| process.ledger.lineage());
        let live: u64 = ledgers.filter_map(|lineage| self.truth.counted.get(&lineage)).sum();
        for n in 0..self.nodes.len() {
            let used = self.used(n)?;
            // Of a ledger that is lost, a hub that is lost too may have known alone.
            let (least, most) = if self.forgotten { (live, self.truth.ever_counted) } else { (truth, truth) };
            if used < least || used > most {
                return Err(format!("node {n} knows of {used} requests of a quota, {truth} were let through"));
            }
        }
        Ok(())
    }

    /// The bound of `limit::pace`, with one more part for every fault: what was not told then.
    fn rates_settled(&mut self) -> Checked {
        let every = RATE.every.as_nanos() as f64;
        let (mut least, mut most) = (f64::MAX, 0.0f64);
        for (n, &at) in self.truth.admitted.iter().enumerate() {
            let ahead = n as f64 - at as f64 / every;
            least = least.min(ahead);
            most = most.max(ahead + 1.0 - least);
        }
        let unseen = f64::from(RATE.burst.get()) + (EXCHANGE * 2 + SILENCE).as_nanos() as f64 / every;
        let bound = self.nodes.len() as f64 * unseen * (self.faults + 1) as f64;
        match most <= bound {
            true => Ok(()),
            false => Err(format!("{most} requests beyond the rate, {bound} are the bound")),
        }
    }

    fn revisions_settled(&mut self) -> Checked {
        let mut mains: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for n in 0..self.nodes.len() {
            let (pop, name) = (self.nodes[n].pop, self.names[n].clone());
            let course = self.process(n).0.known.course.clone();
            if let Some(want) = course.work(pop).filter(|_| !self.forgotten) {
                return Err(format!("{name} is to serve {want:?} and serves {:?}", course.running()));
            }
            // Only who is to build a canary finds out that it cannot be.
            let canary = course.canary().filter(|revision| !revision.is_multiple_of(7));
            // What a hub that is lost had alone, with all the files that there were, is wherever it came to before.
            let known = self.forgotten.then(|| self.nodes[n].process.as_ref().map(|p| p.known.manifests().clone()));
            let known: Vec<u64> = known.flatten().unwrap_or_default().into_keys().collect();
            mains.entry(known).or_default().insert((course.want(pop).main.revision, canary));
            let newest = course.newest();
            let lost = self.truth.revisions.iter().find(|serial| !course.knows(**serial));
            if let Some(serial) = lost {
                return Err(format!("{name} does not know revision {serial}"));
            }
            if self.truth.forged.contains(&newest) {
                return Err(format!("{name} took {newest}, which nobody signed who may"));
            }
        }
        match mains.values().all(|mains| mains.len() == 1) {
            true => Ok(()),
            false => Err(format!("nodes serve different revisions: {mains:?}")),
        }
    }
}
