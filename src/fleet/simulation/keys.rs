//! Keys: API keys in a world: who makes and revokes them, and which are accepted where.
//!
//! In: a world, a node, what the seed draws. Out: what clients were told and what nodes do about it. Never: a rule that production has.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::Rng;

use super::mutant::Mutant;
use super::world::{Checked, World, trace};
use crate::access::keys::Key;
use crate::fleet::bus::{Delivered, Message, Seq, Topic};
use crate::fleet::data::{Batch, Datum};
use crate::fleet::{KeyChange, StoredKey};

/// Keys that each node makes under names of its own, and keys told at once.
const OWN: u32 = 2;
const TELL_MAX: usize = 2;

pub type Hash = [u8; 32];

/// What clients were told of keys.
#[derive(Debug, Default)]
pub struct Promised {
    /// The node that made it.
    pub made: BTreeMap<Hash, usize>,
    /// The node that revoked it.
    pub revoked: BTreeMap<Hash, usize>,
    /// Revoked by a process that was killed meanwhile.
    pub perhaps: BTreeSet<Hash>,
    /// By node: what was accepted there once, and then was not.
    pub ended: Vec<BTreeSet<Hash>>,
    /// The same, of what its disk does not say: it ends with the process.
    pub refused: Vec<BTreeSet<Hash>>,
}

// === impl Promised ===
impl Promised {
    /// A node has lost its disks.
    pub fn lost(&mut self, node: usize) {
        self.made.retain(|_, by| *by != node);
        self.revoked.retain(|_, by| *by != node);
        self.ended[node].clear();
        self.refused[node].clear();
    }
}

// === impl World ===
impl World {
    /// A client makes, changes or revokes a key, or uses all that there are.
    pub fn key(&mut self, n: usize) -> Checked {
        match self.rng.random_range(0..8) {
            0..3 => self.make_key(n),
            3..5 => self.change_key(n),
            5 | 6 => self.revoke_key(n),
            _ => self.use_keys(n),
        }
    }

    fn make_key(&mut self, n: usize) -> Checked {
        self.moment += 1;
        let name = format!("n{n}k{}", self.rng.random_range(0..OWN));
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.moment.to_le_bytes());
        let key = Key { name: name.as_str().into(), enabled: true, plans: vec!["gold".into()], made: 0 };
        let made = self.process(n).0.keys.create(StoredKey { key, hash, created_ms: 0 });
        trace!(self, "node {n} makes the key {name} = {}: {made:?}", self.moment);
        if self.dead(n) {
            return Ok(());
        }
        if made.is_ok() && self.read_keys(n)? {
            self.truth.keys.made.insert(hash, n);
            self.stats.count("API key made");
        }
        Ok(())
    }

    fn any_key(&mut self, n: usize) -> Option<(String, Hash)> {
        let keys: Vec<_> = self.process(n).0.accepted.iter().map(|(name, hash)| (name.clone(), *hash)).collect();
        let at = self.rng.random_range(0..keys.len().max(1));
        keys.get(at).cloned()
    }

    fn change_key(&mut self, n: usize) -> Checked {
        let Some((name, _)) = self.any_key(n) else { return Ok(()) };
        self.moment += 1;
        let change = KeyChange { enabled: None, plans: Some(vec![self.moment.to_string()]) };
        let done = self.process(n).0.keys.change(&name, &change).map(drop);
        trace!(self, "node {n} changes the key {name}: {done:?}");
        if !self.dead(n) && done.is_ok() {
            self.read_keys(n)?;
        }
        Ok(())
    }

    fn revoke_key(&mut self, n: usize) -> Checked {
        let Some((name, hash)) = self.any_key(n) else { return Ok(()) };
        let deletes = self.chance(50);
        let keys = &self.process(n).0.keys;
        let done = match deletes {
            true => keys.delete(&name),
            false => keys.change(&name, &KeyChange { enabled: Some(false), plans: None }).map(drop),
        };
        trace!(self, "node {n} revokes the key {name}, deletes: {deletes}: {done:?}");
        if self.dead(n) {
            self.truth.keys.perhaps.insert(hash);
            return Ok(());
        }
        match done {
            Ok(()) if self.read_keys(n)? => {
                self.truth.keys.revoked.insert(hash, n);
                self.stats.count("API key revoked");
            }
            Ok(()) => drop(self.truth.keys.perhaps.insert(hash)),
            Err(_) => self.stats.count("API key not revoked"),
        }
        Ok(())
    }

    /// Which are accepted now; whether that could be read. What was revoked here is not accepted again here.
    pub fn read_keys(&mut self, n: usize) -> Result<bool, String> {
        let process = self.nodes[n].process.as_mut().unwrap();
        let Ok(list) = process.keys.list() else {
            process.keys_read = false;
            return Ok(false);
        };
        let enabled = list.into_iter().filter(|stored| stored.key.enabled);
        let now: BTreeMap<String, Hash> = enabled.map(|stored| (stored.key.name.to_string(), stored.hash)).collect();
        let before = std::mem::replace(&mut process.accepted, now);
        process.keys_read = true;
        let accepted: BTreeSet<Hash> = process.accepted.values().copied().collect();
        self.truth.keys.ended[n].extend(before.into_values().filter(|hash| !accepted.contains(hash)));
        self.use_keys(n)?;
        Ok(true)
    }

    /// As `proxy::sharing` does when the disk takes nothing: what others revoked is refused, also what comes after what could not be written.
    fn refuse_keys(&mut self, n: usize) -> Checked {
        if self.mutant == Mutant::NotRefused {
            return Ok(());
        }
        let from = self.process(n).0.data_from;
        let deliveries = self.next(n, Topic::Data, from, usize::MAX);
        let (process, _) = self.process(n);
        process.keys.refuse(&Batch::of(&deliveries).keys);
        let enabled = process.keys.remembered().into_iter().filter(|stored| stored.key.enabled);
        let now: BTreeSet<Hash> = enabled.map(|stored| stored.hash).collect();
        let (kept, ended) = std::mem::take(&mut process.accepted).into_iter().partition(|(_, hash)| now.contains(hash));
        process.accepted = kept;
        let ended: BTreeMap<String, Hash> = ended;
        if !ended.is_empty() {
            self.stats.count("API key refused past a full disk");
        }
        self.truth.keys.refused[n].extend(ended.into_values());
        self.use_keys(n)
    }

    /// Whatever a node's disk takes: what the bus says is deleted is not accepted by who hears it.
    pub fn keys_refused(&mut self) -> Checked {
        let read = |message: &Message| match Datum::read(message) {
            Some(Datum::ApiKey { name, gone, .. }) => Some((name, gone)),
            _ => None,
        };
        let told: Vec<_> = self.hub.kept(Topic::Data).iter().filter_map(read).collect();
        for node in &self.nodes {
            let Some(process) = &node.process else { continue };
            let is_accepted = |(name, gone): &&(String, Vec<Hash>)| {
                process.accepted.get(name).is_some_and(|hash| gone.contains(hash))
            };
            if let Some((name, _)) = told.iter().find(is_accepted) {
                return Err(format!(
                    "{} accepts {name}, which the bus says is deleted; disk full: {}",
                    node.name, node.full
                ));
            }
        }
        Ok(())
    }

    fn use_keys(&mut self, n: usize) -> Checked {
        let (ended, refused) = (&self.truth.keys.ended[n], &self.truth.keys.refused[n]);
        let process = self.nodes[n].process.as_ref().unwrap();
        match process.accepted.iter().find(|(_, hash)| ended.contains(*hash) || refused.contains(*hash)) {
            Some((name, hash)) => Err(format!("node {n} accepts {name} = {} again", number(hash))),
            None => Ok(()),
        }
    }

    pub fn tell_keys(&mut self, n: usize) -> Checked {
        let Ok(dirty) = self.process(n).0.keys.dirty(TELL_MAX) else { return Ok(()) };
        if self.dead(n) {
            return Ok(());
        }
        for one in &dirty {
            let (name, gone) = (one.name.clone(), one.gone.clone());
            let datum = Datum::ApiKey { name, value: one.record.clone().map(Bytes::from), gone };
            let id: u128 = self.rng.random();
            let kept = self.publish(n, Topic::Data, &datum.message(format!("{id:032x}")));
            trace!(self, "node {n} tells of the key {}: {kept:?}", one.name);
            if kept.is_err() && self.mutant != Mutant::NotedUntold {
                return Ok(());
            }
        }
        if !self.well && self.chance(5) {
            self.kill(n, "is killed between telling and noting it");
            return Ok(());
        }
        if !dirty.is_empty() {
            let _ = self.process(n).0.keys.told(&dirty);
            self.dead(n);
        }
        Ok(())
    }

    /// The keys among what others did; whether something was passed over, and whether something failed.
    pub fn take_keys(&mut self, n: usize, deliveries: &[Delivered], batch: &Batch) -> Result<(bool, bool), String> {
        let reached = deliveries.iter().map(Delivered::seq).max();
        let (process, _) = self.process(n);
        if let Some(lacking) = &mut process.lacking_keys {
            lacking.there.extend(batch.keys.iter().map(|key| key.name.clone()));
            lacking.reached = lacking.reached.max(reached.unwrap_or_default());
        }
        let (mut passed, mut failed) = (false, false);
        if !batch.keys.is_empty() {
            let told = self.mutant.told_keys(&batch.keys);
            let (process, _) = self.process(n);
            let received = process.keys.receive(&told);
            let read = process.keys_read;
            if self.dead(n) {
                return Ok((false, false));
            }
            match received {
                Ok(received) => {
                    passed = received.passed;
                    failed = (received.changed || !read) && !self.read_keys(n)?;
                    if failed {
                        self.process(n).0.keys.refuse(&told);
                        self.refuse_keys(n)?;
                    }
                }
                Err(_) => {
                    failed = true;
                    self.refuse_keys(n)?;
                }
            }
        }
        let forgets = self.mutant == Mutant::KeysNotReminded;
        let (process, _) = self.process(n);
        if let Some(lacking) = &process.lacking_keys
            && !failed
            && lacking.reached >= lacking.head
            && (forgets || process.keys.tell_again(&lacking.there).is_ok())
        {
            process.lacking_keys = None;
        }
        Ok((passed, failed))
    }

    pub fn keys_settled(&mut self) -> Checked {
        let mut first: Option<Vec<StoredKey>> = None;
        for n in 0..self.nodes.len() {
            let process = self.process(n).0;
            if !process.keys.dirty(1).is_ok_and(|dirty| dirty.is_empty()) {
                return Err(format!("node {n} has not told all its API keys"));
            }
            let list = process.keys.list().map_err(|error| error.to_string())?;
            let accepted: BTreeSet<Hash> = process.accepted.values().copied().collect();
            let promised = &self.truth.keys;
            if let Some(hash) = promised.revoked.keys().find(|hash| accepted.contains(*hash)) {
                return Err(format!("node {n} accepts {}, which was revoked", number(hash)));
            }
            let ended = |hash: &Hash| promised.revoked.contains_key(hash) || promised.perhaps.contains(hash);
            if let Some(hash) = promised.made.keys().find(|hash| !ended(hash) && !accepted.contains(*hash)) {
                return Err(format!("node {n} does not accept {}, which was made", number(hash)));
            }
            match &first {
                None => first = Some(list),
                Some(first) if *first == list => {}
                Some(first) => return Err(format!("node {n} has the keys {list:?}, node 0 {first:?}")),
            }
        }
        Ok(())
    }
}

/// What of its keys a bus lacks, while that is found out.
#[derive(Debug)]
pub struct LackingKeys {
    pub head: Seq,
    pub reached: Seq,
    pub there: BTreeSet<String>,
}

/// What a hash was made of.
fn number(hash: &Hash) -> u64 {
    hash.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
