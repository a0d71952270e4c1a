//! Revising: revisions in a world: who deploys, forges and goes back, and what nodes make of it.
//!
//! In: a world, a node, what the seed draws. Out: what clients were told and what nodes do about it. Never: a rule that production has.

use std::collections::BTreeSet;

use rand::Rng;

use super::hub::REVISIONS;
use super::mutant::Mutant;
use super::node::Node;
use super::world::{Checked, REVISION_MAX, World, trace};
use crate::fleet::bus::{Delivered, Digest, Message, Seq, Topic};
use crate::fleet::revision::{Ack, Act, Envelope, Event, Item, Manifest, Placed};

// === impl World ===
impl World {
    /// An act that its maker believes to be the next, signed by `key` or by a stranger.
    fn manifest(&mut self, n: usize) -> Manifest {
        let newest = self.nodes[n].process.as_ref().map_or(0, |process| process.known.course.newest());
        let serial = self.nodes[n].clock(self.now).max(newest + 1);
        let known: Vec<u64> = self.truth.revisions.iter().copied().collect();
        let earlier = known.get(self.rng.random_range(0..known.len().max(1))).copied().unwrap_or(0);
        let act = match self.rng.random_range(0..8) {
            0..3 => Act::Deploy,
            3 | 4 => {
                let pop = ["FRA", "NRT", "*"][self.rng.random_range(0..3)];
                Act::Canary { pops: vec![pop.to_owned()], percent: 10 }
            }
            5 => Act::Promote { serial: earlier },
            6 => Act::Rollback { serial: earlier },
            _ => Act::Rollback { serial: 0 },
        };
        let brings = matches!(act, Act::Deploy | Act::Canary { .. });
        let mut manifest = Manifest::new(serial, act, "ada".to_owned(), String::new(), self.now);
        if brings {
            let digest = Digest::of(serial.to_string().as_bytes()).to_string();
            manifest.files = vec![Item { path: "edge.toml".to_owned(), digest, size: 8, secret: false }];
        }
        manifest
    }

    pub fn deploy(&mut self, n: usize) -> Checked {
        let manifest = self.manifest(n);
        let serial = manifest.serial;
        let envelope = manifest.seal(&self.key);
        let opened = envelope.open(&self.trust, REVISION_MAX).map_err(|error| error.to_string())?;
        if !self.reaches(n) || self.process(n).0.known.permits(&opened).is_err() {
            self.stats.count("revision refused");
            return Ok(());
        }
        if let Some(digest) = manifest.files.first().and_then(|item| Digest::parse(&item.digest)) {
            self.hub.blobs.insert(digest);
        }
        if self.fetch(n, &manifest) != Fetched::Here {
            return Ok(());
        }
        let kept = self.publish(n, Topic::Revisions, &envelope.message(serial));
        trace!(self, "node {n} deploys {serial}, {:?}: {kept:?}", manifest.act);
        // The bus may have it whatever it says; the number is a good one now.
        self.truth.forged.remove(&serial);
        if kept.is_err() {
            return Ok(());
        }
        if !self.well && self.chance(5) {
            self.kill(n, "is killed between telling and noting it");
            return Ok(());
        }
        self.arrived(n, &envelope, &opened);
        self.truth.revisions.insert(serial);
        self.stats.count("revision");
        Ok(())
    }

    /// Somebody without a key has a way to the bus.
    pub fn forge(&mut self) -> Checked {
        let mut manifest = self.manifest(0);
        manifest.serial += self.rng.random_range(1..1000);
        if self.truth.revisions.contains(&manifest.serial) {
            return Ok(());
        }
        self.truth.forged.insert(manifest.serial);
        let mut bytes = manifest.seal(&self.stranger).bytes().to_vec();
        if self.chance(50)
            && let Some((_, good)) = self.past.iter().find(|(topic, _)| *topic == Topic::Revisions)
        {
            // A good signature, of other bytes.
            let good: serde_json::Value = serde_json::from_slice(&good.body).unwrap();
            let mut forged: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            forged["key"] = good["key"].clone();
            forged["signature"] = good["signature"].clone();
            bytes = serde_json::to_vec(&forged).unwrap();
        }
        let message =
            Message { subject: manifest.serial.to_string(), id: format!("forged-{}", self.moment), body: bytes.into() };
        if self.hub.up {
            let _ = self.hub.publish(Topic::Revisions, &message, self.now);
            self.stats.count("forged");
        }
        Ok(())
    }

    fn arrived(&mut self, n: usize, envelope: &Envelope, manifest: &Manifest) {
        let now = self.now;
        let node = &mut self.nodes[n];
        let process = node.process.as_mut().unwrap();
        if process.known.arrived(envelope, manifest, now, REVISIONS) && !node.full {
            node.shelf.envelopes.insert(manifest.serial, envelope.clone());
        }
    }

    pub fn take_revisions(&mut self, n: usize) -> Checked {
        let begins = !self.has_tail(n, Topic::Revisions);
        let head = self.hub.head(Topic::Revisions);
        let most = self.some(8);
        let deliveries = self.next(n, Topic::Revisions, Seq(0), most);
        if !self.reaches(n) {
            return Ok(());
        }
        if begins {
            let (process, _) = self.process(n);
            process.there = Some((head, BTreeSet::new()));
            process.known.tell_again();
        }
        let mut last = Seq(0);
        for delivered in &deliveries {
            let Delivered::Message { seq, message } = delivered else { continue };
            last = *seq;
            let opened = Envelope::parse(&message.body)
                .and_then(|envelope| Ok((envelope.open(&self.trust, REVISION_MAX)?, envelope)));
            let Ok((manifest, envelope)) = opened else { continue };
            self.arrived(n, &envelope, &manifest);
            if let Some((_, there)) = &mut self.process(n).0.there {
                there.insert(manifest.serial);
            }
        }
        // What the bus has forgotten is told again.
        let reminds = self.mutant != Mutant::RevisionsNotReminded;
        let (process, _) = self.process(n);
        let whole = process.there.as_ref().is_some_and(|(head, _)| last >= *head);
        if whole
            && let Some((_, there)) = process.there.take()
            && reminds
        {
            for (serial, envelope) in process.known.lacking(&there, REVISIONS) {
                if !self.put_again(n, serial) {
                    continue;
                }
                trace!(self, "node {n} tells again of {serial}");
                self.stats.count("revision told again");
                if self.publish(n, Topic::Revisions, &envelope.message(serial)).is_err() {
                    self.process(n).0.end_tail(Topic::Revisions);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Its files; whether this node has all of them.
    fn put_again(&mut self, n: usize, serial: u64) -> bool {
        let brings = self.process(n).0.known.manifest(serial).is_some_and(|manifest| !manifest.files.is_empty());
        if brings && self.reaches(n) && self.nodes[n].shelf.files.contains(&serial) {
            self.hub.blobs.insert(Digest::of(serial.to_string().as_bytes()));
        }
        !brings || self.nodes[n].shelf.files.contains(&serial)
    }

    /// Two disks at once: what neither the hub nor a node has whole is gone.
    pub fn forget_revisions(&mut self) {
        if !self.forgotten {
            return;
        }
        let there: BTreeSet<String> =
            self.hub.kept(Topic::Revisions).into_iter().map(|message| message.subject).collect();
        let has = |node: &Node, serial: &u64| {
            let on_disk = node.shelf.envelopes.contains_key(serial);
            let manifest = node.process.as_ref().and_then(|process| process.known.manifest(*serial));
            let brings = manifest.is_some_and(|manifest| !manifest.files.is_empty());
            on_disk && (node.shelf.files.contains(serial) || manifest.is_some() && !brings)
        };
        let nodes = &self.nodes;
        let revisions = &mut self.truth.revisions;
        revisions.retain(|serial| there.contains(&serial.to_string()) || nodes.iter().any(|node| has(node, serial)));
    }

    pub fn take_acks(&mut self, n: usize) -> Checked {
        let deliveries = self.next(n, Topic::Acks, Seq(0), usize::MAX);
        let now = self.now;
        for delivered in deliveries {
            let Delivered::Message { message, .. } = delivered else { continue };
            if self.process(n).0.known.heard(&message, now, REVISIONS) != Some(true) {
                return Err("an acknowledgement that cannot be read".into());
            }
        }
        Ok(())
    }

    fn fetch(&mut self, n: usize, manifest: &Manifest) -> Fetched {
        let digest = manifest.files.first().and_then(|item| Digest::parse(&item.digest));
        if digest.is_none() || self.nodes[n].shelf.files.contains(&manifest.serial) {
            return Fetched::Here;
        }
        let there = digest.is_some_and(|digest| self.hub.blobs.contains(&digest));
        if !self.reaches(n) || !there || self.nodes[n].full {
            return Fetched::Later;
        }
        self.nodes[n].shelf.files.insert(manifest.serial);
        Fetched::Here
    }

    /// As `proxy::revising` does: judge, fetch, build, note, tell.
    pub fn work(&mut self, n: usize) -> Checked {
        let (now, pop, name) = (self.now, self.nodes[n].pop, self.names[n].clone());
        if !self.well && self.chance(10) {
            let (process, _) = self.process(n);
            let course = &mut process.known.course;
            if let Some(act) = course.watched(now).next() {
                course.take(Event::Judged { act, why: "worse".to_owned() }, now, REVISIONS);
                trace!(self, "node {n} finds {act} worse");
                self.stats.count("judged");
            }
        }
        while let Some(want) = self.process(n).0.known.course.work(pop) {
            let placed = [Some(want.main), want.canary.map(|(placed, _)| placed)];
            let mut event = Event::Built(want);
            for placed in placed.into_iter().flatten().filter(|placed| placed.revision > 0) {
                match self.fetched(n, placed) {
                    Ok(Fetched::Here) => {}
                    Ok(Fetched::Later) => return Ok(()),
                    Err(why) => {
                        event = Event::Refused { act: placed.act, why: why.to_owned() };
                        break;
                    }
                }
            }
            if !self.well && self.chance(5) {
                self.kill(n, "is killed between building and noting it");
                return Ok(());
            }
            let node = &mut self.nodes[n];
            let process = node.process.as_mut().unwrap();
            let kept = process.known.settle(event, now, REVISIONS);
            if !node.full {
                node.shelf.course = serde_json::to_vec(&process.known.course).ok();
                node.shelf.files.retain(|serial| kept.contains(serial));
                node.shelf.envelopes.retain(|serial, _| kept.contains(serial));
            }
            self.in_force(n)?;
        }
        if let Some(ack) = self.process(n).0.known.untold(pop) {
            let dated = Ack { at_ms: now, ..ack.clone() };
            if self.publish(n, Topic::Acks, &dated.message(&name)).is_ok() {
                self.process(n).0.known.told(&name, ack, dated);
            }
        }
        Ok(())
    }

    /// Whether the files of what is wanted are here; what cannot be built is refused everywhere alike.
    fn fetched(&mut self, n: usize, placed: Placed) -> Result<Fetched, &'static str> {
        if placed.revision.is_multiple_of(7) {
            self.stats.count("revision that cannot be built");
            return Err("it does not load");
        }
        if self.nodes[n].shelf.files.contains(&placed.revision) {
            return Ok(Fetched::Here);
        }
        match self.process(n).0.known.manifest(placed.revision).cloned() {
            Some(manifest) => Ok(self.fetch(n, &manifest)),
            None => Err("its files are not known here"),
        }
    }

    fn in_force(&mut self, n: usize) -> Checked {
        let running = self.process(n).0.known.course.running().clone();
        let placed = [Some(running.main), running.canary.map(|(placed, _)| placed)];
        for placed in placed.into_iter().flatten() {
            let forged = [placed.act, placed.revision].into_iter().find(|serial| self.truth.forged.contains(serial));
            if let Some(serial) = forged {
                return Err(format!("node {n} serves {serial}, which nobody signed who may"));
            }
        }
        Ok(())
    }
}

/// Whether the files of a revision are on the shelf.
#[derive(Debug, PartialEq, Eq)]
enum Fetched {
    Here,
    /// Neither the hub nor the disk is well.
    Later,
}
