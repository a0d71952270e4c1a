//! Purging: objects and purges in a world.
//!
//! In: a world, a node, what the seed draws. Out: what viewers get and what nodes purge. Never: a rule that production has.

use rand::Rng;

use super::mutant::Mutant;
use super::node::{Fill, Object, SILENCE};
use super::truth::{self, Purged, URLS};
use super::world::{Checked, World, ids, trace};
use crate::cache::object::{Meta, Stamp};
use crate::cache::purge::{Scope, Verdict};
use crate::fleet::bus::{Delivered, Seq, Topic};
use crate::fleet::{Reach, Serve};

/// Deliveries that a node with a full disk takes at once: so few that it needs several turns.
const FULL_MAX: usize = 2;
/// The tail of what is put in force and not written.
const AHEAD: &str = "ahead";

/// The purges that deliveries tell of.
fn told(deliveries: &[Delivered]) -> Vec<u64> {
    let messages = deliveries.iter().filter_map(|delivered| match delivered {
        Delivered::Message { message, .. } => Some(message),
        Delivered::Lost { .. } => None,
    });
    messages.flat_map(ids).collect()
}

// === impl World ===
impl World {
    // === Objects ===

    pub fn read(&mut self, n: usize) -> Checked {
        let url = self.rng.random_range(0..URLS);
        let node = &self.nodes[n];
        let process = node.process.as_ref().unwrap();
        let found = node.stored.get(&url).map(|object| (process.marks.check(&object.meta, &object.checked), object));
        if let Some((Verdict::Keep, object)) = found {
            self.stats.count(if process.purges.is_behind() { "hit past a full disk" } else { "hit" });
            return self.truth.served(n, url, object.fetched);
        }
        if found.is_some() {
            self.stats.count("purged object");
        }
        let asked = self.rng.random_ratio(1, 3).then(|| self.rng.random_range(0..self.nodes.len()));
        let (process, clock) = self.process(n);
        let stamp = process.stamps.next(clock);
        let told = process.seen.asks(process.marks.is_held());
        self.moment += 1;
        let mut fetched = self.moment;
        // Another node may have it.
        if let Some(peer) = asked.filter(|peer| *peer != n)
            && let Some(other) = &self.nodes[peer].process
            && (other.seen.covers(&told) || self.mutant == Mutant::PeerNotAsked)
            && let Some(object) = self.nodes[peer].stored.get(&url)
            && other.marks.check(&object.meta, &object.checked) == Verdict::Keep
        {
            fetched = object.fetched;
            self.stats.count("hit of a peer");
            trace!(self, "node {n} gets url {url} of moment {fetched} from node {peer}");
            self.truth.served(n, url, fetched)?;
        }
        let process = self.nodes[n].process.as_mut().unwrap();
        process.fills.push(Fill { url, stamp, fetched });
        Ok(())
    }

    /// What is on its way arrives, and is stored unless it was purged meanwhile.
    pub fn end_fills(&mut self, n: usize) -> Checked {
        let node = &mut self.nodes[n];
        let process = node.process.as_mut().unwrap();
        for Fill { url, stamp, fetched } in process.fills.drain(..) {
            let meta = Meta {
                status: 200,
                responded_ms: 0,
                initial_age_ms: 0,
                lifetime_ms: u64::MAX,
                stale_while_revalidate_ms: 0,
                stale_if_error_ms: 0,
                must_revalidate: false,
                no_cache: false,
                fetch_start: stamp,
                host: truth::HOST.into(),
                uri: truth::uri(url).into(),
                tags: [format!("t{url}").into()].into(),
                vary: Box::new([]),
                variance: None,
                masked: false,
            };
            if process.marks.verdict(&meta) == Verdict::Keep {
                node.stored.insert(url, Object { meta, checked: 0.into(), fetched });
            }
        }
        Ok(())
    }

    // === Purges ===

    pub fn purge(&mut self, n: usize) -> Checked {
        self.moment += 1;
        let (id, url) = (self.moment, self.rng.random_range(0..URLS));
        let only = |url: usize| std::array::from_fn(|one| one == url);
        let (scope, covers) = match self.rng.random_range(0..10) {
            0..5 => (Scope::Url { host: truth::HOST.into(), uri: truth::uri(url).into() }, only(url)),
            5..7 => (Scope::Tag(format!("t{url}").into()), only(url)),
            7 => (Scope::Prefix { host: None, path: "/even".into() }, std::array::from_fn(|one| one % 2 == 0)),
            8 => (Scope::Host(truth::HOST.into()), [true; URLS]),
            _ if self.chance(20) => (Scope::All, [true; URLS]),
            _ => (Scope::Tag(format!("t{url}").into()), only(url)),
        };
        let (soft, before) = (self.chance(20), self.stamp(n));
        trace!(self, "node {n} is asked to purge {scope} as {id}");
        let (process, clock) = self.process(n);
        let done = process.purges.accept(vec![scope, truth::tag(id)], soft, true, process.acted(clock));
        if self.dead(n) {
            return Ok(());
        }
        match done {
            Ok(accepted) => {
                self.truth.purges.insert(id, Purged { began: id, covers });
                self.applied(n, id, before);
                self.stats.count("purge");
                trace!(self, "  number {}", accepted.number);
            }
            Err(_) => {
                self.truth.refused.insert(id);
                self.stats.count("purge refused");
            }
        }
        Ok(())
    }

    pub fn stamp(&mut self, n: usize) -> Stamp {
        let (process, clock) = self.process(n);
        process.stamps.next(clock)
    }

    fn applied(&mut self, n: usize, id: u64, before: Stamp) {
        let after = self.stamp(n);
        let bound = &mut self.truth.bound[n];
        bound.durable.insert(id);
        bound.applied.push((id, before, after));
    }

    pub fn probe(&mut self, n: usize) -> Checked {
        let head = self.reaches(n).then(|| self.hub.head(Topic::Purges));
        let now = self.now;
        let (process, clock) = self.process(n);
        let Some(head) = head else {
            if now - process.heard.unwrap_or(process.began) >= SILENCE.as_millis() as u64 {
                process.reach.cut();
                process.marks.release();
                self.truth.cut(n);
            }
            return Ok(());
        };
        process.heard = Some(now);
        if !process.reach.is_connected() {
            let mut forgot = false;
            if Reach::has_forgotten(head, process.purges.in_force()) {
                forgot = true;
                // Said in the log, no more.
                let _ = process.purges.restart(process.acted(clock));
            }
            let position = process.purges.in_force();
            let serve = process.reach.reached(head, position);
            process.serve(serve, clock);
            if serve == Serve::Held {
                self.stats.count("held");
            }
            if forgot {
                self.stats.count("forgotten by the bus");
            }
            trace!(self, "node {n} at {} reaches the hub at {}", position.0, head.0);
            if !self.dead(n) {
                self.truth.came_back(n);
            }
        }
        self.caught_up(n)
    }

    fn caught_up(&mut self, n: usize) -> Checked {
        if self.nodes[n].process.is_none() {
            return Ok(());
        }
        let (process, clock) = self.process(n);
        let serve = process.reach.moved(process.purges.in_force());
        process.serve(serve, clock);
        if serve == Serve::Released && process.purges.is_behind() {
            self.stats.count("released past a full disk");
        }
        Ok(())
    }

    pub fn tell_purges(&mut self, n: usize) -> Checked {
        let most = self.some(4);
        let (process, _) = self.process(n);
        let outgoing = process.purges.outgoing(most);
        if self.dead(n) {
            return Ok(());
        }
        let Ok(Some((message, last))) = outgoing else { return Ok(()) };
        let ids = ids(&message);
        if let Some(id) = ids.iter().find(|id| self.truth.refused.contains(id)) {
            return Err(format!("node {n} tells of purge {id}, which it refused"));
        }
        let kept = self.publish(n, Topic::Purges, &message);
        if self.hub.kept(Topic::Purges).iter().any(|one| one.id == message.id) {
            self.truth.published.extend(ids.iter().filter(|id| self.truth.purges.contains_key(id)));
        }
        trace!(self, "node {n} tells of {ids:?}: {kept:?}");
        if kept.is_err() {
            return Ok(());
        }
        if !self.well && self.chance(5) {
            self.kill(n, "is killed between telling and noting it");
            return Ok(());
        }
        let (process, _) = self.process(n);
        let _ = process.purges.sent(last);
        self.dead(n);
        Ok(())
    }

    pub fn take_purges(&mut self, n: usize) -> Checked {
        let (process, _) = self.process(n);
        if !process.reach.is_connected() {
            return Ok(());
        }
        let position = process.purges.position();
        let most = if self.nodes[n].full { FULL_MAX } else { self.some(6) };
        let mut deliveries = self.next(n, Topic::Purges, position, most);
        // More than a bus may do: something old comes once more.
        let old = self.old(Topic::Purges);
        deliveries.extend(old.clone().map(|message| Delivered::Message { seq: Seq(1), message }));
        if deliveries.is_empty() {
            return Ok(());
        }
        if deliveries.iter().any(|delivered| matches!(delivered, Delivered::Lost { .. })) {
            self.stats.count("purges lost");
        }
        self.received(n, &deliveries)?;
        if let Some(message) = old.filter(|_| self.nodes[n].process.is_some()) {
            self.purge_again(n, &message);
        }
        Ok(())
    }

    /// What a disk that takes nothing would keep from being in force; whether there was any.
    pub fn foresee(&mut self, n: usize) -> Result<bool, String> {
        let foresees_not = self.mutant == Mutant::NotForeseen;
        let (process, _) = self.process(n);
        if !process.reach.is_connected() || !process.purges.is_behind() || foresees_not {
            process.tails.remove(AHEAD);
            return Ok(false);
        }
        let position = process.purges.in_force();
        let deliveries = self.next_as(n, AHEAD, Topic::Purges, position, FULL_MAX);
        if deliveries.is_empty() {
            return Ok(false);
        }
        let (news, before) = (told(&deliveries), self.stamp(n));
        trace!(self, "node {n} puts {news:?} in force and cannot write them");
        let (process, clock) = self.process(n);
        process.purges.foresee(&deliveries, process.acted(clock));
        self.handed(n, &deliveries);
        self.forced(n, &news, before);
        self.stats.count("foreseen");
        self.caught_up(n)?;
        Ok(true)
    }

    /// They are in force from here on.
    fn handed(&mut self, n: usize, deliveries: &[Delivered]) {
        let lost = deliveries.iter().any(|delivered| matches!(delivered, Delivered::Lost { .. }));
        let bound = &mut self.truth.bound[n];
        bound.handed.extend(told(deliveries).iter().filter(|id| self.truth.purges.contains_key(id)));
        if lost {
            bound.handed.extend(self.truth.published.iter());
        }
    }

    /// And not on disk.
    fn forced(&mut self, n: usize, news: &[u64], before: Stamp) {
        let bound = &mut self.truth.bound[n];
        for id in news.iter().filter(|id| self.truth.purges.contains_key(id) && !bound.durable.contains(id)) {
            bound.forced.entry(*id).or_insert(before);
        }
    }

    fn received(&mut self, n: usize, deliveries: &[Delivered]) -> Checked {
        let news = told(deliveries);
        trace!(self, "node {n} receives {news:?} in {} deliveries", deliveries.len());
        let before = self.stamp(n);
        let (process, clock) = self.process(n);
        let done = process.purges.receive(deliveries, process.acted(clock));
        if self.dead(n) {
            // They may be on its disk, or not.
            self.truth.bound[n].perhaps.extend(news);
            return Ok(());
        }
        self.handed(n, deliveries);
        if done.is_err() {
            self.forced(n, &news, before);
            self.stats.count("not received");
            let (process, _) = self.process(n);
            process.end_tail(Topic::Purges);
            return self.caught_up(n);
        }
        self.nodes[n].position = self.process(n).0.purges.position();
        for id in news {
            if self.truth.purges.contains_key(&id) && !self.truth.bound[n].durable.contains(&id) {
                if self.truth.bound[n].perhaps.contains(&id) {
                    self.truth.bound[n].durable.insert(id);
                    continue;
                }
                let before = self.truth.bound[n].forced.remove(&id).unwrap_or(before);
                self.applied(n, id, before);
                self.stats.count("purge received");
            }
        }
        self.caught_up(n)
    }
}
