//! Applied: which messages of every lineage were applied, so that none is applied twice and none is missed.
//!
//! In: numbers that messages carry, in any order and any number of times. Out: whether one is new. Never: a message's meaning.
//!
//! A lineage is one node's state directory: it numbers what it accepts from 1, without gaps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Vector;

/// Lineages remembered; the one that was silent longest makes room. More nodes than that, or a state directory lost as often.
const LINEAGES_MAX: usize = 1024;
/// Numbers ahead of a gap that are remembered one by one. Further ahead the gap is taken for lost, and what fills it later is applied.
const AHEAD_MAX: usize = 4096;
/// Rows of numbers that are known to be applied although not everything before them is; the oldest make room.
const LATE_MAX: usize = 256;

/// What was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    lineages: BTreeMap<u64, Lineage>,
    /// Counts the calls that told something new: says who was silent longest.
    clock: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lineage {
    /// Numbers up to this one are not known to be applied: they came before this node's time, or are no longer kept.
    base: u64,
    /// But for these, from and to, ascending: they came after all, or before something was lost.
    #[serde(default)]
    late: Vec<(u64, u64)>,
    /// Those after `base` up to this one are.
    upto: u64,
    /// So are these, past a gap.
    ahead: BTreeSet<u64>,
    /// The next number ends whatever gap there is.
    loose: bool,
    told: u64,
}

// === impl Applied ===
impl Applied {
    /// Whether number `n` of a lineage is to be applied: it is not known to have been.
    pub fn is_new(&self, lineage: u64, n: u64) -> bool {
        match self.lineages.get(&lineage) {
            None => true,
            Some(own) if n <= own.base => !own.late.iter().any(|(first, last)| (*first..=*last).contains(&n)),
            Some(own) => n > own.upto && !own.ahead.contains(&n),
        }
    }

    /// Whether anything of a lineage was ever seen.
    pub fn knows(&self, lineage: u64) -> bool {
        self.lineages.contains_key(&lineage)
    }

    /// Notes that `first..=last` of a lineage were applied, or never were anything.
    pub fn note(&mut self, lineage: u64, first: u64, last: u64) {
        if first == 0 || last < first {
            return;
        }
        self.clock += 1;
        if !self.lineages.contains_key(&lineage) {
            self.make_room();
        }
        let own = self.lineages.entry(lineage).or_insert_with(|| Lineage { loose: true, ..Lineage::default() });
        own.told = self.clock;
        own.late(first, last.min(own.base));
        if own.loose && first > own.upto.saturating_add(1) {
            own.jump(first - 1);
            (own.upto, own.loose) = (last, false);
            own.ahead.retain(|n| *n > last);
        } else if first <= own.upto.saturating_add(1) {
            own.loose &= last <= own.upto;
            own.upto = own.upto.max(last);
        } else {
            own.ahead.extend(first..=last.min(first.saturating_add(AHEAD_MAX as u64)));
        }
        own.close();
    }

    /// A lineage whose numbers up to `upto` were applied, and of which none is skipped from here on: this node's own.
    pub fn begin(&mut self, lineage: u64, upto: u64) {
        self.lineages.insert(lineage, Lineage { upto, ..Lineage::default() });
    }

    /// Messages are gone that were never seen, of whatever lineage: the next number of each counts as the next.
    pub fn lost(&mut self) {
        self.lineages.values_mut().for_each(|own| own.loose = true);
    }

    /// How far every lineage was seen.
    pub fn vector(&self) -> Vector {
        self.lineages.iter().map(|(lineage, own)| (*lineage, own.upto)).collect()
    }

    fn make_room(&mut self) {
        if self.lineages.len() >= LINEAGES_MAX
            && let Some(silent) = self.lineages.iter().min_by_key(|(_, own)| own.told).map(|(lineage, _)| *lineage)
        {
            self.lineages.remove(&silent);
        }
    }
}

// === impl Lineage ===
impl Lineage {
    /// Numbers up to `base` that were applied all the same.
    fn late(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let mut whole = (first, last);
        self.late.retain(|(first, last)| {
            let apart = *last < whole.0.saturating_sub(1) || *first > whole.1.saturating_add(1);
            if !apart {
                whole = (whole.0.min(*first), whole.1.max(*last));
            }
            apart
        });
        self.late.push(whole);
        self.late.sort_unstable();
        let over = self.late.len().saturating_sub(LATE_MAX);
        self.late.drain(..over);
    }

    /// Whatever is missing up to `base` is given up; what was applied is still known to have been.
    fn jump(&mut self, base: u64) {
        self.late(self.base + 1, self.upto);
        while let Some(n) = self.ahead.first().copied().filter(|n| *n <= base) {
            self.ahead.pop_first();
            self.late(n, n);
        }
        (self.base, self.upto) = (base, base);
    }

    /// Takes in what follows without a gap; gives a gap up when too much waits behind it.
    fn close(&mut self) {
        loop {
            while let Some(next) = self.ahead.first().copied().filter(|n| *n <= self.upto.saturating_add(1)) {
                self.ahead.pop_first();
                self.upto = self.upto.max(next);
            }
            match self.ahead.first().copied() {
                // Everything up to the gap's end may come again: it is applied then.
                Some(next) if self.ahead.len() > AHEAD_MAX => self.jump(next - 1),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom as _;
    use rand::{Rng as _, SeedableRng as _};

    #[test]
    fn what_is_new() {
        let mut seen = Applied::default();
        assert!(seen.is_new(7, 1));
        seen.note(7, 1, 3);
        assert_eq!([1, 3, 4, 6].map(|n| seen.is_new(7, n)), [false, false, true, true]);
        // Past a gap, then the gap.
        seen.note(7, 6, 7);
        assert_eq!([4, 5, 6, 7, 8].map(|n| seen.is_new(7, n)), [true, true, false, false, true]);
        assert_eq!(seen.vector().get(7), 3);
        seen.note(7, 4, 5);
        assert_eq!((seen.vector().get(7), seen.is_new(7, 5)), (7, false));
        // Again, or nothing.
        seen.note(7, 2, 6);
        seen.note(7, 9, 8);
        seen.note(7, 0, 0);
        assert_eq!(seen.vector().get(7), 7);
    }

    #[test]
    fn who_comes_late_begins_where_the_log_does() {
        let mut seen = Applied::default();
        seen.note(7, 500, 500);
        assert_eq!((seen.vector().get(7), seen.is_new(7, 500), seen.is_new(7, 501)), (500, false, true));
        // It may have been missed: applied when it comes after all, once.
        assert!(seen.is_new(7, 499));
        seen.note(7, 499, 499);
        assert_eq!([498, 499, 500].map(|n| seen.is_new(7, n)), [true, false, false]);
    }

    #[test]
    fn after_a_loss_the_next_is_the_next() {
        let mut seen = Applied::default();
        seen.note(7, 1, 10);
        seen.note(7, 12, 12);
        seen.lost();
        seen.note(7, 40, 41);
        assert_eq!((seen.vector().get(7), seen.is_new(7, 41), seen.is_new(7, 20)), (41, false, true));
        // What was applied before is not applied again, what was not is.
        assert_eq!([10, 11, 12].map(|n| seen.is_new(7, n)), [false, true, false]);
        // Only once.
        seen.note(7, 44, 44);
        assert_eq!(seen.vector().get(7), 41);
        // Nothing was missed: what follows is no jump.
        seen.lost();
        seen.note(7, 42, 44);
        seen.note(7, 45, 45);
        assert_eq!((seen.vector().get(7), seen.is_new(7, 42), seen.is_new(7, 45)), (45, false, false));
    }

    #[test]
    fn a_lineage_that_begins_skips_none() {
        let mut seen = Applied::default();
        seen.begin(7, 0);
        seen.note(7, 2, 2);
        assert_eq!((seen.vector().get(7), seen.is_new(7, 1), seen.is_new(7, 2)), (0, true, false));
        seen.note(7, 1, 1);
        assert_eq!(seen.vector().get(7), 2);
    }

    #[test]
    fn a_gap_that_stays_is_given_up() {
        let mut seen = Applied::default();
        seen.note(7, 1, 1);
        for n in 0..=AHEAD_MAX as u64 {
            seen.note(7, 3 + n, 3 + n);
        }
        assert_eq!(seen.vector().get(7), 3 + AHEAD_MAX as u64);
        assert!(seen.is_new(7, 2));
    }

    #[test]
    fn lineages_are_bounded() {
        let mut seen = Applied::default();
        for lineage in 0..=LINEAGES_MAX as u64 {
            seen.note(lineage, 1, 1);
        }
        assert_eq!(seen.lineages.len(), LINEAGES_MAX);
        assert!(seen.is_new(0, 1) && !seen.is_new(1, 1));
    }

    #[test]
    fn in_any_order_each_is_applied_once() {
        for seed in 0..2000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut seen = Applied::default();
            seen.note(7, 1, 1);
            let last = rng.random_range(2..60u64);
            let mut order: Vec<u64> = (2..=last).collect();
            // Some twice.
            order.extend((2..=last).filter(|_| rng.random_bool(0.3)));
            order.shuffle(&mut rng);
            let mut applied = BTreeMap::<u64, u32>::new();
            for n in order {
                if seen.is_new(7, n) {
                    *applied.entry(n).or_default() += 1;
                }
                seen.note(7, n, n);
            }
            assert_eq!(applied, (2..=last).map(|n| (n, 1)).collect(), "seed {seed}");
            assert_eq!(seen.vector().get(7), last, "seed {seed}");
        }
    }
}
