//! Cell: the marks that many requests read while purges arrive.
//!
//! In: batches of purges, an object's meta and its note of the last check. Out: [`Verdict`]. Never: a lock on a hit that was
//! checked since the last purge.

use super::marks::{Marks, Verdict};
use super::scope::Purge;
use crate::cache::object::{Meta, Stamp};
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Marks that many requests read while purges arrive.
#[derive(Debug)]
pub struct MarksCell {
    marks: RwLock<Marks>,
    /// Grows with every batch of purges, starts at 1: an object that was never checked (0) always is.
    generation: AtomicU64,
    /// Objects whose fetch began before this are as good as purged; 0 = none is.
    held: AtomicU64,
}

// === impl MarksCell ===
impl MarksCell {
    pub fn new(marks: Marks) -> Self {
        MarksCell { marks: RwLock::new(marks), generation: AtomicU64::new(1), held: AtomicU64::new(0) }
    }

    /// Folds purges in; when it returns, no check that begins later lets an object through that they cover.
    pub fn apply(&self, purges: &[Purge]) {
        let mut marks = self.marks.write();
        purges.iter().for_each(|purge| marks.apply(purge));
        // Under the lock: a check that read the old number also sees the new marks, or is repeated.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Until [`MarksCell::release`], nothing passes whose fetch began before: purges may be missing here.
    pub fn hold(&self, before: Stamp) {
        self.held.store(before.0, Ordering::Release);
        // Notes of passed checks count no more.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// No purge is missing any more.
    pub fn release(&self) {
        self.held.store(0, Ordering::Release);
    }

    /// Whether purges may be missing here.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire) != 0
    }

    /// The verdict on one object. `checked` is the object's note of the generation it last passed: one load and compare when
    /// nothing was purged since.
    pub fn check(&self, meta: &Meta, checked: &AtomicU64) -> Verdict {
        self.since(checked, || self.verdict(meta))
    }

    /// The same for an object that hosts share: see [`Marks::verdict_shared`].
    pub fn check_shared(&self, meta: &Meta, shares: impl Fn(&str) -> bool, checked: &AtomicU64) -> Verdict {
        self.since(checked, || self.verdict_shared(meta, shares))
    }

    fn since(&self, checked: &AtomicU64, verdict: impl FnOnce() -> Verdict) -> Verdict {
        let generation = self.generation.load(Ordering::Acquire);
        if checked.load(Ordering::Relaxed) == generation {
            return Verdict::Keep;
        }
        let verdict = verdict();
        if verdict == Verdict::Keep {
            checked.store(generation, Ordering::Relaxed);
        }
        verdict
    }

    /// The verdict on something that is not (yet) in memory: a fill that ends, an object read from disk.
    pub fn verdict(&self, meta: &Meta) -> Verdict {
        if self.holds(meta) { Verdict::Gone } else { self.marks.read().verdict(meta) }
    }

    /// The same for an object that hosts share: see [`Marks::verdict_shared`].
    pub fn verdict_shared(&self, meta: &Meta, shares: impl Fn(&str) -> bool) -> Verdict {
        if self.holds(meta) { Verdict::Gone } else { self.marks.read().verdict_shared(meta, shares) }
    }

    fn holds(&self, meta: &Meta) -> bool {
        meta.fetch_start.0 < self.held.load(Ordering::Acquire)
    }

    /// Lends the marks; purges, and behind them hits, wait meanwhile: look briefly.
    pub fn read<T>(&self, look: impl FnOnce(&Marks) -> T) -> T {
        look(&self.marks.read())
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Scope;
    use super::super::tests::meta;
    use super::*;

    fn purge(scope: Scope, soft: bool, at: u64) -> Purge {
        Purge { scope, soft, at: Stamp(at) }
    }

    #[test]
    fn a_fill_that_began_before_a_purge_does_not_survive_it() {
        let cell = MarksCell::new(Marks::new(10));
        let tag = Scope::Tag("news".into());
        let (filling, later) = (meta("h", "/", &["news"], 10), meta("h", "/", &["news"], 12));
        cell.apply(&[purge(tag.clone(), false, 11)]);
        assert_eq!(cell.verdict(&filling), Verdict::Gone);
        assert_eq!(cell.verdict(&later), Verdict::Keep);
        // Soft: stale until it is validated, which is a newer fetch.
        cell.apply(&[purge(tag, true, 13)]);
        assert_eq!(cell.verdict(&later), Verdict::Soft { at: Stamp(13) });
        assert_eq!(cell.verdict(&meta("h", "/", &["news"], 14)), Verdict::Keep);
    }

    #[test]
    fn what_is_held_is_gone_until_it_is_released() {
        let cell = MarksCell::new(Marks::new(10));
        let (old, new) = (meta("h", "/a", &[], 5), meta("h", "/a", &[], 9));
        let checked = AtomicU64::new(0);
        assert_eq!(cell.check(&old, &checked), Verdict::Keep);
        cell.hold(Stamp(9));
        assert_eq!((cell.check(&old, &checked), cell.verdict(&old)), (Verdict::Gone, Verdict::Gone));
        assert_eq!(cell.check(&new, &AtomicU64::new(0)), Verdict::Keep);
        assert!(cell.is_held());
        cell.release();
        assert!(!cell.is_held());
        assert_eq!((cell.check(&old, &checked), cell.verdict(&old)), (Verdict::Keep, Verdict::Keep));
    }

    #[test]
    fn an_object_is_checked_again_after_every_purge() {
        let cell = MarksCell::new(Marks::new(10));
        let (object, checked) = (meta("h", "/a", &[], 5), AtomicU64::new(0));
        assert_eq!(cell.check(&object, &checked), Verdict::Keep);
        let passed = checked.load(Ordering::Relaxed);
        assert_ne!(passed, 0);
        cell.apply(&[purge(Scope::Host("other".into()), false, 6)]);
        assert_eq!(cell.check(&object, &checked), Verdict::Keep);
        assert!(checked.load(Ordering::Relaxed) > passed);
        cell.apply(&[purge(Scope::Host("h".into()), false, 7)]);
        assert_eq!(cell.check(&object, &checked), Verdict::Gone);
        assert_eq!(cell.check(&object, &checked), Verdict::Gone);
    }
}
