//! Sharing: keys and values, rates and quotas in a world.
//!
//! In: a world, a node, what the seed draws. Out: what clients were told and what nodes do about it. Never: a rule that production has.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::Rng;

use super::keys::LackingKeys;
use super::mutant::Mutant;
use super::node::{EXCHANGE, QUOTA, SILENCE, STORE};
use super::world::{Checked, World, trace};
use crate::fleet::bus::{Delivered, Message, Seq, Topic};
use crate::fleet::counters::{self, KEYS_MAX, Lacking, Rates, Usage};
use crate::fleet::data::{Batch, Datum};
use crate::hooks::host::kv::{Change, Entry};
use crate::limit::{ledger, period};

/// Keys of the store.
const KEYS: u32 = 4;
/// Keys of one store told at once.
const TELL_MAX: usize = 2;

// === impl World ===
impl World {
    // === Keys and values ===

    pub fn put(&mut self, n: usize) -> Checked {
        self.moment += 1;
        let (key, value) = (format!("k{}", self.rng.random_range(0..KEYS)), format!("v{}", self.moment));
        let deletes = self.chance(15);
        let (process, _) = self.process(n);
        let change = match deletes {
            true => Change::Delete(key.clone()),
            false => Change::Put(Entry { key: key.clone(), value: Bytes::from(value.clone()) }),
        };
        let done = process.data.update(vec![change], None);
        trace!(self, "node {n} puts {key} = {value}, deletes: {deletes}: {}", done.is_ok());
        let dead = self.dead(n);
        if deletes || dead {
            // Whatever was there is gone, or may be.
            self.truth.values.entry((n, key)).or_default().push((value, false));
            return Ok(());
        }
        match done {
            Ok(_) => {
                self.truth.values.entry((n, key)).or_default().push((value, true));
                self.stats.count("key put");
            }
            Err(_) => {
                self.truth.refused_values.insert(value);
                self.stats.count("key refused");
            }
        }
        Ok(())
    }

    pub fn tell_data(&mut self, n: usize) -> Checked {
        let (process, _) = self.process(n);
        let Ok(dirty) = process.data.dirty(TELL_MAX) else { return Ok(()) };
        for one in &dirty {
            let datum = Datum::Entry { store: STORE.into(), key: one.key.clone(), value: one.value.clone() };
            let id: u128 = self.rng.random();
            let value = one.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
            if let Some(value) = value.as_ref().filter(|value| self.truth.refused_values.contains(*value)) {
                return Err(format!("node {n} tells of {} = {value}, which it refused", one.key));
            }
            let message = datum.message(format!("{id:032x}"));
            let kept = self.publish(n, Topic::Data, &message);
            if self.hub.kept(Topic::Data).iter().any(|kept| kept.id == message.id) {
                self.truth.published_values.extend(value.clone());
            }
            trace!(self, "node {n} tells of {} = {value:?}: {kept:?}", one.key);
            if kept.is_err() && self.mutant != Mutant::NotedUntold {
                return Ok(());
            }
            if self.chance(10) {
                // Another node's turn comes before this one has noted it; what that writes, the bus has last.
                let other = self.rng.random_range(0..self.nodes.len());
                if !self.well && other != n && self.nodes[other].process.is_some() && !self.dead(other) {
                    self.put(other)?;
                    if self.nodes[other].process.is_some() {
                        self.tell_data(other)?;
                    }
                }
                if self.nodes[n].process.is_none() {
                    return Ok(());
                }
                self.take_data(n)?;
                if self.nodes[n].process.is_none() {
                    return Ok(());
                }
            }
        }
        if !self.well && self.chance(5) {
            self.kill(n, "is killed between telling and noting it");
            return Ok(());
        }
        if !dirty.is_empty() {
            let _ = self.process(n).0.data.told(&dirty);
            self.dead(n);
        }
        Ok(())
    }

    pub fn take_data(&mut self, n: usize) -> Checked {
        let from = self.process(n).0.data_from;
        if !self.has_tail(n, Topic::Data) && self.reaches(n) && from == Seq(0) {
            let head = self.hub.head(Topic::Data);
            let lacking = LackingKeys { head, reached: Seq(0), there: BTreeSet::new() };
            self.process(n).0.lacking_keys = Some(lacking);
        }
        let most = self.some(6);
        let deliveries = self.next(n, Topic::Data, from, most);
        let batch = Batch::of(&deliveries);
        let (mut passed, mut failed) = self.take_keys(n, &deliveries, &batch)?;
        if self.dead(n) || self.nodes[n].process.is_none() || deliveries.is_empty() {
            return Ok(());
        }
        trace!(self, "node {n} takes {:?}", batch.stores);
        let (process, _) = self.process(n);
        let stores = if failed { None } else { Some(batch.stores.values()) };
        for changes in stores.into_iter().flatten() {
            match process.data.receive(changes) {
                Ok(some) => passed |= some,
                Err(_) => failed = true,
            }
        }
        // From there when the disk took nothing or something was passed over; from the beginning when that is not known.
        let known = process.lacking_keys.is_none() || !failed;
        process.data_from = if (passed || failed) && known { batch.before } else { Seq(0) };
        if passed || failed {
            process.end_tail(Topic::Data);
        }
        if passed {
            self.stats.count("data passed over");
        }
        self.dead(n);
        Ok(())
    }

    // === Rates and quotas ===

    pub fn spend(&mut self, n: usize) -> Checked {
        let elapsed = self.elapsed() * 1_000_000;
        for _ in 0..self.rng.random_range(1..8) {
            let clock = self.nodes[n].clock(self.now);
            let process = self.nodes[n].process.as_mut().unwrap();
            let rated = process.buckets.check(b"key", elapsed).allowed;
            if rated {
                self.truth.admitted.push(elapsed);
            }
            let id = ledger::id("gold", "alice", 0);
            let counted = process.ledger.count(&id, &QUOTA, clock).map_err(|error| error.to_string())?;
            if counted.admitted {
                *self.truth.counted.entry(process.ledger.lineage()).or_default() += 1;
                self.truth.ever_counted += 1;
                self.stats.count("quota counted");
            } else {
                self.stats.count("quota refused");
            }
        }
        Ok(())
    }

    /// As `counters::run` does every `fleet.exchange`.
    pub fn exchange(&mut self, n: usize) -> Checked {
        let elapsed = self.elapsed() * 1_000_000;
        let now = self.now;
        let name = self.names[n].clone();
        let (process, _) = self.process(n);
        if now - process.exchanged < EXCHANGE.as_millis() as u64 {
            return Ok(());
        }
        process.exchanged = now;
        let share = process.hearing.share(elapsed);
        process.limits.sharing().set_share(share);
        process.ledger.set_share(share);
        process.sequence += 1;
        let (boot, sequence) = (process.boot, process.sequence);
        let spent = process.limits.sharing().drain(KEYS_MAX);
        let body = Rates { boot, sequence, spent: spent.clone() }.encode();
        let message = Message { subject: name.clone(), id: format!("{name}-{boot:x}-{sequence}"), body };
        if self.publish(n, Topic::Rates, &message).is_err() && counters::is_told_later(share) {
            self.process(n).0.limits.sharing().restore(spent);
        }
        let (process, _) = self.process(n);
        let lineage = process.ledger.lineage();
        for (part, counts) in process.ledger.told().map_err(|error| error.to_string())? {
            let id = format!("{lineage:x}-{part:x}-{boot:x}-{sequence}");
            let body = Usage { lineage, counts }.encode();
            let message = Message { subject: format!("{lineage:016x}.{part:02x}"), id, body };
            if self.publish(n, Topic::Usage, &message).is_err() {
                self.process(n).0.ledger.tell_again(part);
            }
        }
        Ok(())
    }

    /// As `proxy::guard` does every second: what it heard outlives the process from here on.
    pub fn sync_counts(&mut self, n: usize) -> Checked {
        let (process, _) = self.process(n);
        process.ledger.sync().map_err(|error| error.to_string())?;
        self.truth.synced[n] = self.used(n)?;
        Ok(())
    }

    /// Requests of the quota that a node knows of.
    pub fn used(&self, n: usize) -> Result<u64, String> {
        let (id, day) = (ledger::id("gold", "alice", 0), period::day(self.now));
        let Some(process) = &self.nodes[n].process else { return Err(format!("node {n} is away")) };
        let usage = process.ledger.usage(&id, &QUOTA, day - 2, day + 2).map_err(|error| error.to_string())?;
        Ok(usage.iter().map(|day| day.used).sum())
    }

    /// A process that begins counts what was on disk, whether or not it hears anybody.
    pub fn counts_again(&mut self, n: usize) -> Checked {
        let (used, synced) = (self.used(n)?, self.truth.synced[n]);
        if used < synced {
            return Err(format!("node {n} begins with {used} requests of a quota, and knew of {synced}"));
        }
        if !self.reaches(n) && synced > 0 {
            self.stats.count("begins to count while cut off");
        }
        Ok(())
    }

    pub fn take_counts(&mut self, n: usize) -> Checked {
        let elapsed = self.elapsed() * 1_000_000;
        let told_within = EXCHANGE + SILENCE;
        let head = self.hub.head(Topic::Rates);
        let mut rates = self.next(n, Topic::Rates, head, usize::MAX);
        let old = self.old(Topic::Rates);
        rates.extend(old.map(|message| Delivered::Message { seq: Seq(1), message }));
        let head = self.hub.head(Topic::Usage);
        let begins = !self.has_tail(n, Topic::Usage);
        let mut usages = self.next(n, Topic::Usage, Seq(0), usize::MAX);
        let reaches = self.reaches(n);
        let old = self.old(Topic::Usage);
        usages.extend(old.map(|message| Delivered::Message { seq: Seq(1), message }));
        let again = self.mutant == Mutant::CountedAgain;
        let (process, _) = self.process(n);
        for delivered in rates {
            let Delivered::Message { message, .. } = delivered else { continue };
            let Ok(rates) = Rates::decode(&message.body) else { return Err("rates that cannot be read".into()) };
            if process.hearing.hear(&message.subject, rates.boot, rates.sequence, elapsed) {
                let sharing = process.limits.sharing();
                rates.spent.into_iter().for_each(|spent| sharing.charge(spent, elapsed, told_within));
            }
        }
        if begins && reaches {
            process.lacking = Some(Lacking::new(&process.ledger, head));
        }
        for delivered in usages {
            let Delivered::Message { seq, message } = delivered else { continue };
            let Ok(usage) = Usage::decode(&message.body) else { return Err("counts that cannot be read".into()) };
            let lineage = if again { usage.lineage.wrapping_add(seq.0) } else { usage.lineage };
            process.ledger.hear(lineage, &usage.counts);
            if let Some(lacking) = &mut process.lacking {
                lacking.take(&process.ledger, &usage, seq);
            }
        }
        Ok(())
    }
}
