//! Others: what the ledgers of other nodes have counted, and what of a quota is left for this one.
//!
//! In: absolute counts by ledger, key and day, as often and in whatever order they come. Out: their sum; what is to be told of this
//! ledger. Never: a count that goes back, a disk.
//!
//! A quota of N nodes is passed by at most what N − 1 of them admit before they are told (`fleet.exchange` and the bus's delay, or
//! `fleet.silence` when they are cut off): a node that hears h of N nodes may use h/N of what was left when it noticed. Each ledger's
//! counts only grow, and the larger of two is the newer, so that they are exact as soon as all were heard. `heard` keeps them on disk, for a
//! process that begins while the bus is silent; what this ledger counted itself is in its file before a request is admitted.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::super::pace::Share;
use super::super::period::Day;
use super::SLOTS;
use super::slot::{DAYS, Id};

/// Ledgers of other nodes, past ones too, that one key is counted in.
const LEDGERS_MAX: usize = 1024;
/// Parts in which a ledger's counts are told: the first byte of the key's id.
const PARTS: usize = 256;

/// What a ledger counted of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub id: Id,
    /// Each day once, with its requests.
    pub days: Vec<(Day, u32)>,
}

/// By ledger, then day.
type Counted = BTreeMap<u64, BTreeMap<Day, u32>>;

#[derive(Debug)]
pub(super) struct Others {
    counted: RwLock<HashMap<Id, Counted>>,
    share: AtomicU64,
    /// While cut off: the first day of the period and what of a key was used when it was first asked for.
    when_cut: Mutex<HashMap<Id, (Day, u64)>>,
    /// A bit a part: something of it was counted since it was told.
    changed: [AtomicU64; PARTS / 64],
}

// === impl Others ===
impl Others {
    /// All is to be told: what was counted before a crash may not have been.
    pub fn new() -> Self {
        Others {
            counted: RwLock::default(),
            share: AtomicU64::new(Share::ALONE.pack()),
            when_cut: Mutex::default(),
            changed: std::array::from_fn(|_| AtomicU64::new(u64::MAX)),
        }
    }

    /// Takes in what a ledger has counted; the keys of which it has counted more than was known.
    pub fn hear(&self, lineage: u64, told: &[Told]) -> Vec<Id> {
        let mut grown = Vec::new();
        let mut counted = self.counted.write();
        for one in told {
            if counted.len() >= SLOTS as usize && !counted.contains_key(&one.id) {
                continue;
            }
            let of_key = counted.entry(one.id).or_default();
            if of_key.len() >= LEDGERS_MAX && !of_key.contains_key(&lineage) {
                continue;
            }
            let days = of_key.entry(lineage).or_default();
            let oldest = if days.len() < DAYS { 0 } else { days.first_key_value().map_or(0, |(day, _)| *day) };
            let mut more = false;
            for &(day, count) in one.days.iter().filter(|(day, _)| *day >= oldest) {
                let known = days.entry(day).or_default();
                more |= count > *known;
                *known = count.max(*known);
            }
            while days.len() > DAYS {
                days.pop_first();
            }
            if more {
                grown.push(one.id);
            }
        }
        grown
    }

    /// All keys that others counted.
    pub fn keys(&self) -> Vec<Id> {
        self.counted.read().keys().copied().collect()
    }

    /// What each ledger counted of a key, by day.
    pub fn of(&self, id: &Id) -> Vec<(u64, Vec<(Day, u32)>)> {
        let counted = self.counted.read();
        let ledgers = counted.get(id).into_iter().flatten();
        ledgers.map(|(ledger, days)| (*ledger, days.iter().map(|(day, count)| (*day, *count)).collect())).collect()
    }

    /// The same of one ledger.
    pub fn days(&self, ledger: u64, id: &Id) -> Vec<(Day, u32)> {
        let counted = self.counted.read();
        let days = counted.get(id).and_then(|ledgers| ledgers.get(&ledger));
        days.into_iter().flatten().map(|(day, count)| (*day, *count)).collect()
    }

    /// Requests that others counted from `first` to `last`, both included.
    pub fn used(&self, id: &Id, first: Day, last: Day) -> u64 {
        let counted = self.counted.read();
        let ledgers = counted.get(id).into_iter().flat_map(BTreeMap::values);
        ledgers.flat_map(|days| days.range(first..=last)).map(|(_, count)| u64::from(*count)).sum()
    }

    pub fn set_share(&self, share: Share) {
        self.share.store(share.pack(), Ordering::Relaxed);
        if share.is_whole() {
            self.when_cut.lock().clear();
        }
    }

    /// What of `limit` may be used, when `used` are now: all, or this part's share of what was left when it was cut off.
    pub fn allowed(&self, id: &Id, period: Day, used: u64, limit: u64) -> u64 {
        let share = Share::unpack(self.share.load(Ordering::Relaxed));
        if share.is_whole() {
            return limit;
        }
        let mut when_cut = self.when_cut.lock();
        if when_cut.len() >= SLOTS as usize && !when_cut.contains_key(id) {
            return used;
        }
        let (then, before) = when_cut.entry(*id).or_insert((period, used));
        if *then != period {
            (*then, *before) = (period, used);
        }
        before.saturating_add(share.of(limit.saturating_sub(*before)))
    }

    pub fn change(&self, part: u8) {
        if let Some(bits) = self.changed.get(usize::from(part) / 64) {
            bits.fetch_or(1 << (part % 64), Ordering::AcqRel);
        }
    }

    /// The parts that changed since the last time, as bits.
    pub fn changes(&self) -> [u64; PARTS / 64] {
        std::array::from_fn(|at| self.changed[at].swap(0, Ordering::AcqRel))
    }
}

/// Whether a part is among them.
pub(super) fn names(parts: &[u64; PARTS / 64], part: u8) -> bool {
    parts.get(usize::from(part) / 64).is_some_and(|bits| bits & (1 << (part % 64)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_grow_whatever_comes_when() {
        let others = Others::new();
        let told = |days: &[(Day, u32)]| [Told { id: [1; 16], days: days.to_vec() }];
        for (lineage, days) in
            [(1, &[(10, 5), (11, 2)][..]), (2, &[(11, 7)]), (1, &[(10, 3)]), (2, &[(11, 7)]), (1, &[(12, 1)])]
        {
            others.hear(lineage, &told(days));
        }
        let used =
            [(10, 10), (11, 11), (10, 12), (12, 12), (13, 90)].map(|(first, last)| others.used(&[1; 16], first, last));
        assert_eq!(used, [5, 9, 15, 1, 0]);
        assert_eq!(others.used(&[2; 16], 0, 99), 0);
        others.hear(1, &told(&(0..100).map(|day| (day + 100, 1)).collect::<Vec<_>>()));
        assert_eq!(others.used(&[1; 16], 0, 199), DAYS as u64 + 7, "old days are forgotten");
    }

    #[test]
    fn what_a_part_may_use() {
        let others = Others::new();
        let allowed = |used, limit| others.allowed(&[1; 16], 7, used, limit);
        assert_eq!(allowed(10, 100), 100);
        others.set_share(Share::new(1, 3));
        assert_eq!([allowed(10, 100), allowed(25, 100), allowed(40, 100)], [40, 40, 40]);
        assert_eq!(others.allowed(&[1; 16], 8, 0, 100), 33, "another period");
        others.set_share(Share::new(3, 3));
        assert_eq!(allowed(40, 100), 100);
        others.set_share(Share::new(2, 3));
        assert_eq!(allowed(40, 100), 80);
        let all = others.changes();
        assert!((0..=255).all(|part| names(&all, part)));
        others.change(200);
        let some = others.changes();
        assert_eq!((0..=255).filter(|part| names(&some, *part)).collect::<Vec<u8>>(), [200]);
    }
}
