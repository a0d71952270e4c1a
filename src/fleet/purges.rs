//! Purges: what one node does about purges, its own and others'.
//!
//! In: scopes accepted here, what the bus delivers, now. Out: purges on disk, in force and counted as seen, in this order. Never: a bus, a
//! clock, a scan over objects.
//!
//! There are two positions. What is in force up to [`Purges::in_force`] is not served by this process: that is what decides whether it may
//! serve. What is on disk up to [`Purges::position`] is not served by any later one either: that is where a process begins, and what
//! others are told. They differ while the disk takes nothing.
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
    /// Held while something is taken in: one thing after the other.
    taken: Mutex<Taken>,
    /// What of it is on disk, for those who only look.
    written: Mutex<Vector>,
    /// Whether more is in force than is on disk, for those who only look.
    behind: AtomicBool,
    /// Up to where it is on disk, and in force, for those who only look.
    position: AtomicU64,
    in_force: AtomicU64,
    /// Own numbers whose purges are in force, or never came to be.
    effective: Mutex<Applied>,
}

/// How far the bus was taken in.
#[derive(Debug)]
struct Taken {
    /// On disk: what is written next goes on from here.
    progress: Progress,
    /// In force. Never behind the other.
    forced: Progress,
    /// The bus had forgotten, so `progress` began anew; that everything was purged then is written with what is written next.
    owes_all: bool,
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
        let position = progress.position.0;
        Purges {
            log,
            written: Mutex::new(progress.seen.vector()),
            taken: Mutex::new(Taken { forced: progress.clone(), progress, owes_all: false }),
            behind: AtomicBool::new(false),
            position: AtomicU64::new(position),
            in_force: AtomicU64::new(position),
            effective: Mutex::new(effective),
        }
    }

    pub fn log(&self) -> &PurgeLog {
        &self.log
    }

    /// This node's name among all lineages.
    pub fn lineage(&self) -> u64 {
        self.log.lineage()
    }

    /// How far the bus was taken in, on disk: a process that begins now begins here.
    pub fn position(&self) -> Seq {
        Seq(self.position.load(Ordering::Acquire))
    }

    /// How far what the bus had is in force in this process, written or not.
    pub fn in_force(&self) -> Seq {
        Seq(self.in_force.load(Ordering::Acquire))
    }

    /// Whether more is in force than is on disk.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
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
            acted.marks.apply(&purges);
            self.tidy(acted);
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
            acted.marks.apply(&made);
            self.tidy(acted);
        }
        let mut effective = self.effective.lock();
        effective.note(self.lineage(), number, number);
        acted.seen.done_all(&effective.vector());
        outcome.map(|()| Accepted { stamp, number })
    }

    /// Applies what the bus delivered after [`Purges::position`]: each purge once, together with the note that it was. After an error of
    /// the disk they are in force all the same, and the bus is to deliver them again: it is not noted that they are.
    pub fn receive(&self, deliveries: &[Delivered], acted: Acted<'_>) -> Result<(), FleetError> {
        let mut taken = self.taken.lock();
        let (mut received, mut next) = (Received::default(), taken.progress.clone());
        deliveries.iter().for_each(|delivered| received.take(delivered, self.lineage(), &mut next));
        if taken.owes_all {
            received.purges.insert(0, all());
        }
        let (fresh, forced) = self.news(&taken, deliveries);
        // Before they have stamps: see `vector::Seen`. The log's are the later ones, so that it keeps them as long as the marks do.
        acted.seen.announce_all(&forced.seen.vector());
        let (fresh, _) = stamped(fresh, acted);
        let (purges, _) = stamped(received.purges, acted);
        let written = self.log.receive(&purges, &next);
        if written.is_ok() {
            self.position.store(next.position.0, Ordering::Release);
            *self.written.lock() = next.seen.vector();
            (taken.progress, taken.owes_all) = (next, false);
        }
        // Also what could not be written: what was purged is not served.
        self.take_effect(&mut taken, &fresh, forced, acted);
        written
    }

    /// Puts in force what the bus delivered after [`Purges::in_force`], and writes nothing: while the disk takes nothing, this process
    /// still serves nothing that was purged. The bus is to deliver it again, to [`Purges::receive`].
    pub fn foresee(&self, deliveries: &[Delivered], acted: Acted<'_>) {
        let mut taken = self.taken.lock();
        let (fresh, forced) = self.news(&taken, deliveries);
        acted.seen.announce_all(&forced.seen.vector());
        let (fresh, _) = stamped(fresh, acted);
        self.take_effect(&mut taken, &fresh, forced, acted);
    }

    /// The bus has forgotten what it had: purges everything, and takes in from its beginning what it has now. After an error of the disk
    /// this process does so all the same, and the next one finds out again.
    pub fn restart(&self, acted: Acted<'_>) -> Result<(), FleetError> {
        let mut taken = self.taken.lock();
        let begin = |progress: &Progress| {
            let mut seen = progress.seen.clone();
            seen.lost();
            Progress { position: Seq(0), seen }
        };
        let (next, forced) = (begin(&taken.progress), begin(&taken.forced));
        let (fresh, _) = stamped(vec![all()], acted);
        let (purges, _) = stamped(vec![all()], acted);
        let written = self.log.receive(&purges, &next);
        (taken.progress, taken.owes_all) = (next, written.is_err());
        self.position.store(0, Ordering::Release);
        self.take_effect(&mut taken, &fresh, forced, acted);
        written
    }

    /// Those of the purges delivered that are not in force yet, and how far they bring it.
    fn news(&self, taken: &Taken, deliveries: &[Delivered]) -> (Vec<Purge>, Progress) {
        let (mut fresh, mut forced) = (Received::default(), taken.forced.clone());
        for delivered in deliveries {
            // What is gone from the bus by now was in force when it was there: only what is on disk lacks it.
            let known = |up_to: Seq| taken.progress.position < up_to && up_to <= forced.position;
            // Nor does it say what was lost past that: the bus was asked for what comes after what is on disk.
            if let Delivered::Message { seq, .. } = delivered
                && forced.position > Seq(0)
                && seq.0 > forced.position.0 + 1
            {
                forced.seen.lost();
                fresh.purges.push(all());
            }
            if !matches!(delivered, Delivered::Lost { up_to } if known(*up_to)) {
                fresh.take(delivered, self.lineage(), &mut forced);
            }
        }
        (fresh.purges, forced)
    }

    /// `fresh` takes effect, and with it all up to `forced` is in force. Their numbers are announced.
    fn take_effect(&self, taken: &mut Taken, fresh: &[Purge], forced: Progress, acted: Acted<'_>) {
        if !fresh.is_empty() {
            acted.marks.apply(fresh);
        }
        acted.seen.done_all(&forced.seen.vector());
        self.in_force.store(forced.position.0, Ordering::Release);
        taken.forced = forced;
        self.behind.store(taken.is_behind(), Ordering::Release);
        self.compact(taken, acted);
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

    /// The purges, by lineage, that are in force here and stay so: what this node says that it has seen.
    pub fn kept(&self) -> Vector {
        let mut kept = self.written.lock().clone();
        kept.advance(self.lineage(), self.effective.lock().vector().get(self.lineage()));
        kept
    }

    /// Makes the log smaller, unless somebody takes in what the bus has: then they do.
    fn tidy(&self, acted: Acted<'_>) {
        if let Some(taken) = self.taken.try_lock() {
            self.compact(&taken, acted);
        }
    }

    /// What is in force and not in the log makes nothing needless that is.
    fn compact(&self, taken: &Taken, acted: Acted<'_>) {
        if self.log.overgrown(acted.scopes)
            && !taken.is_behind()
            && let Err(error) = self.log.compact(acted.marks)
        {
            log::warn!("the purge log keeps what it does not need: {error}");
        }
    }
}

// === impl Taken ===
impl Taken {
    fn is_behind(&self) -> bool {
        self.owes_all || self.forced.position > self.progress.position
    }
}

/// Whatever was purged, this covers it.
fn all() -> Purge {
    Purge { scope: Scope::All, soft: false, at: Stamp(0) }
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
