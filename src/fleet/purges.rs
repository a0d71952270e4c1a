//! Purges: what one node does about purges, its own and others'.
//!
//! In: scopes accepted here, what the bus delivers, now. Out: purges on disk, in force and counted as seen, in this order. Never: a bus, a
//! clock, a scan over objects.
//!
//! Every call blocks on the disk, but for those that only look.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::purge_log::{Opened, Progress, PurgeLog};
use super::{Applied, Delivered, FleetError, Message, Received, Seen, Seq, Vector};
use crate::cache::object::{Stamp, Stamps};
use crate::cache::purge::{MarksCell, Purge, Scope};

/// What purges act on at this node.
#[derive(Debug, Clone, Copy)]
pub struct Acted<'a> {
    pub marks: &'a MarksCell,
    pub stamps: &'a Stamps,
    pub seen: &'a Seen,
    /// Scopes that are marked one by one: `cache.purge_scopes`.
    pub scopes: usize,
    /// Nanoseconds since the epoch, by this node's clock.
    pub now: u64,
}

/// A purge that counts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub stamp: Stamp,
    /// Its number among this node's, which others are told; 0 = there are none.
    pub number: u64,
}

/// The log of a node, and how far it is.
#[derive(Debug)]
pub struct Purges {
    log: PurgeLog,
    /// How far the bus was taken in, on disk. Held while something is: one thing after the other.
    progress: Mutex<Progress>,
    /// What of it is on disk, for those who only look.
    written: Mutex<Vector>,
    /// How far what it brought is in force: further, while the disk is full.
    forced: Mutex<Progress>,
    /// Whether it is. Entries that those make needless stay in the log meanwhile.
    behind: AtomicBool,
    /// Its position, for those who only look.
    position: AtomicU64,
    /// Own numbers whose purges are in force, or never came to be.
    effective: Mutex<Applied>,
}

// === impl Purges ===
impl Purges {
    /// Puts in force what the log holds. `tells`: there are other nodes; then nothing that was stored before is served until
    /// [`MarksCell::release`], for it may have been purged while this node was away.
    pub fn begin(opened: Opened, tells: bool, acted: Acted<'_>) -> Self {
        let Opened { log, purges, progress } = opened;
        acted.marks.apply(&purges);
        acted.stamps.pass(log.last());
        if tells {
            acted.marks.hold(acted.stamps.next(acted.now));
        }
        acted.seen.done_all(&progress.seen.vector());
        acted.seen.done(log.lineage(), log.number());
        let mut effective = Applied::default();
        effective.begin(log.lineage(), log.number());
        let position = AtomicU64::new(progress.position.0);
        let (written, forced) = (Mutex::new(progress.seen.vector()), Mutex::new(progress.clone()));
        let progress = Mutex::new(progress);
        let behind = AtomicBool::new(false);
        Purges { log, progress, written, forced, behind, position, effective: Mutex::new(effective) }
    }

    pub fn log(&self) -> &PurgeLog {
        &self.log
    }

    /// This node's name among all lineages.
    pub fn lineage(&self) -> u64 {
        self.log.lineage()
    }

    /// How far the bus was taken in.
    pub fn position(&self) -> Seq {
        Seq(self.position.load(Ordering::Acquire))
    }

    /// Purges `scopes`, all hard or all `soft`. When this returns `Ok`, the purge survives a crash, no later request is served what it
    /// covers, and with `tells` the others will be told. After an error it never was, unless the disk has it all the same.
    pub fn accept(
        &self,
        scopes: Vec<Scope>,
        soft: bool,
        tells: bool,
        acted: Acted<'_>,
    ) -> Result<Accepted, FleetError> {
        let purges: Vec<_> = scopes.into_iter().map(|scope| Purge { scope, soft, at: Stamp(0) }).collect();
        if !tells {
            let (purges, stamp) = stamped(purges, acted);
            self.log.append(&purges)?;
            self.force(&purges, acted);
            return Ok(Accepted { stamp, number: 0 });
        }
        let (mut made, mut stamp) = (Vec::new(), Stamp(0));
        let (number, outcome) = self.log.accept(|number| {
            // Before it has a stamp: see `vector::Seen`.
            acted.seen.announce(self.lineage(), number);
            (made, stamp) = stamped(purges, acted);
            made.clone()
        });
        if outcome.is_ok() {
            self.force(&made, acted);
        }
        let mut effective = self.effective.lock();
        effective.note(self.lineage(), number, number);
        acted.seen.done_all(&effective.vector());
        outcome.map(|()| Accepted { stamp, number })
    }

    /// Applies what the bus delivered: each purge once, together with the note that it was. After an error of the disk they are in force
    /// all the same, and the bus is to deliver them again: it is not noted that they are.
    pub fn receive(&self, deliveries: &[Delivered], acted: Acted<'_>) -> Result<(), FleetError> {
        let mut progress = self.progress.lock();
        let (mut received, mut next) = (Received::default(), progress.clone());
        deliveries.iter().for_each(|delivered| received.take(delivered, self.lineage(), &mut next));
        // What was in force already, and could not be written, is not purged again.
        let mut forced = self.forced.lock();
        let mut fresh = Received::default();
        deliveries.iter().for_each(|delivered| fresh.take(delivered, self.lineage(), &mut forced));
        drop(forced);
        self.take_in(received.purges, Some(fresh.purges), &mut progress, next, acted)?;
        acted.seen.done_all(&progress.seen.vector());
        Ok(())
    }

    /// The bus has forgotten what it had: purges everything, and takes in from its beginning what it has now.
    pub fn restart(&self, acted: Acted<'_>) -> Result<(), FleetError> {
        let all = vec![Purge { scope: Scope::All, soft: false, at: Stamp(0) }];
        let mut progress = self.progress.lock();
        let mut fresh = Progress { position: Seq(0), seen: progress.seen.clone() };
        fresh.seen.lost();
        self.take_in(all, None, &mut progress, fresh, acted)
    }

    /// What the others are to be told next, at most about `most` purges: the message, and the number up to which it tells.
    pub fn outgoing(&self, most: usize) -> Result<Option<(Message, u64)>, FleetError> {
        let outgoing = self.log.outgoing(most)?;
        Ok(outgoing.map(|outgoing| (outgoing.message(self.lineage()), outgoing.last)))
    }

    /// The bus has what was told up to a number.
    pub fn sent(&self, up_to: u64) -> Result<(), FleetError> {
        self.log.sent(up_to)
    }

    /// `fresh`: those of `purges` that are not in force yet; `None` = all.
    fn take_in(
        &self,
        purges: Vec<Purge>,
        fresh: Option<Vec<Purge>>,
        progress: &mut Progress,
        next: Progress,
        acted: Acted<'_>,
    ) -> Result<(), FleetError> {
        // Before they have stamps: see `vector::Seen`.
        acted.seen.announce_all(&next.seen.vector());
        let (purges, _) = stamped(purges, acted);
        let fresh = fresh.map_or_else(|| purges.clone(), |fresh| stamped(fresh, acted).0);
        let written = self.log.receive(&purges, &next);
        self.behind.store(written.is_err(), Ordering::Release);
        // Also what could not be written: what was purged is not served.
        self.force(&fresh, acted);
        written?;
        self.position.store(next.position.0, Ordering::Release);
        *self.forced.lock() = next.clone();
        *self.written.lock() = next.seen.vector();
        *progress = next;
        Ok(())
    }

    /// The purges, by lineage, that are in force here and stay so: what this node says that it has seen.
    pub fn kept(&self) -> Vector {
        let mut kept = self.written.lock().clone();
        kept.advance(self.lineage(), self.effective.lock().vector().get(self.lineage()));
        kept
    }

    /// What is on disk takes effect.
    fn force(&self, purges: &[Purge], acted: Acted<'_>) {
        if !purges.is_empty() {
            acted.marks.apply(purges);
        }
        if self.log.overgrown(acted.scopes)
            && !self.behind.load(Ordering::Acquire)
            && let Err(error) = self.log.compact(acted.marks)
        {
            log::warn!("the purge log keeps what it does not need: {error}");
        }
    }
}

/// The same purges by this node's clock, and the last stamp.
fn stamped(mut purges: Vec<Purge>, acted: Acted<'_>) -> (Vec<Purge>, Stamp) {
    let mut last = Stamp(0);
    for purge in &mut purges {
        last = acted.stamps.next(acted.now);
        purge.at = last;
    }
    (purges, last)
}
