//! Cache: answers that need no engine, as DAX keeps them (developer guide, "DAX: How it works"), and as it does not: a
//! write drops the results that it may change.
//!
//! In: what was asked and answered, what was written, the time. Out: answers with their age. Never: an answer from before a
//! write that was acknowledged, one older than its TTL, one ahead of a policy.

pub mod epochs;
mod flight;
pub mod key;
mod outcome;
pub mod stored;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;

use crate::config::compiled::CacheBounds;
use epochs::{Epochs, Scope};
pub use flight::Flights;
pub use outcome::{Behind, Outcome, Why};

/// Projections that the engine has taken once, by their text.
const FORMS_MAX: u64 = 10_000;
/// Bytes that an entry costs beside its key and its body.
const OVERHEAD: usize = 160;

/// A cache of answers.
#[derive(Debug)]
pub struct Store {
    entries: Cache<Vec<u8>, Arc<Entry>>,
    ttl: Duration,
    counts: [AtomicU64; 3],
}

#[derive(Debug)]
struct Entry {
    body: Bytes,
    made: Duration,
    mark: Mark,
}

/// The epochs under which an answer is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    table: u64,
    part: u64,
}

/// Both caches of a front.
#[derive(Debug)]
pub struct Caches {
    pub items: Option<Store>,
    pub queries: Option<Store>,
    pub epochs: Epochs,
    pub forms: Cache<String, ()>,
}

// === impl Caches ===
impl Caches {
    pub fn new(items: CacheBounds, queries: CacheBounds) -> Caches {
        Caches {
            items: Store::new(items),
            queries: Store::new(queries),
            epochs: Epochs::default(),
            forms: Cache::new(FORMS_MAX),
        }
    }

    pub fn any(&self) -> bool {
        self.items.is_some() || self.queries.is_some()
    }

    /// To be taken before the engine is asked.
    pub fn mark(&self, table: &str, part: Scope<'_>) -> Mark {
        Mark { table: self.epochs.of(Scope::Table(table)), part: self.epochs.of(part) }
    }
}

// === impl Mark ===
impl Mark {
    /// What it is once one write of the part has ended, and no other one.
    pub fn after_one(self) -> Mark {
        Mark { part: self.part + 1, ..self }
    }
}

// === impl Store ===
impl Store {
    /// `None` when it is turned off.
    fn new(bounds: CacheBounds) -> Option<Store> {
        if bounds.ttl.is_zero() || bounds.size == 0 {
            return None;
        }
        let weight = |key: &Vec<u8>, entry: &Arc<Entry>| {
            u32::try_from(key.len() + entry.body.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder().weigher(weight).max_capacity(bounds.size).build();
        Some(Store { entries, ttl: bounds.ttl, counts: Default::default() })
    }

    /// What is kept under `key`, if it is still good, and its age.
    pub fn get(&self, key: &[u8], mark: Mark, now: Duration) -> Option<(Bytes, Duration)> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_sub(entry.made);
        match entry.mark == mark && age < self.ttl {
            true => Some((entry.body.clone(), age)),
            false => {
                self.entries.invalidate(key);
                None
            }
        }
    }

    /// `mark` is from before the engine was asked.
    pub fn put(&self, key: Vec<u8>, mark: Mark, body: Bytes, now: Duration) {
        self.entries.insert(key, Arc::new(Entry { body, made: now, mark }));
    }

    pub fn count(&self, outcome: Outcome) {
        let at = match outcome {
            Outcome::Hit { .. } => 0,
            Outcome::Miss { .. } => 1,
            Outcome::Bypass | Outcome::Behind(_) => 2,
        };
        self.counts[at].fetch_add(1, Ordering::Relaxed);
    }

    /// Hits, misses, and what went past it.
    pub fn counts(&self) -> [u64; 3] {
        self.counts.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: CacheBounds = CacheBounds { ttl: Duration::from_secs(300), size: 10_000 };
    const OFF: CacheBounds = CacheBounds { ttl: Duration::ZERO, size: 10_000 };

    #[test]
    fn answers_age_and_are_dropped_by_writes() {
        let caches = Caches::new(BOUNDS, OFF);
        let (store, at) = (caches.items.as_ref().unwrap(), Duration::from_secs);
        let item = Scope::Item("t", b"a");
        let mark = || caches.mark("t", item);
        store.put(b"a".to_vec(), mark(), Bytes::from_static(b"{}"), at(1000));
        for (now, want) in [(1000, Some(0)), (1299, Some(299)), (1300, None), (1000, None)] {
            assert_eq!(store.get(b"a", mark(), at(now)).map(|(_, age)| age.as_secs()), want, "{now}");
        }
        for scope in [item, Scope::Table("t")] {
            store.put(b"a".to_vec(), mark(), Bytes::new(), at(1000));
            caches.epochs.bump(scope);
            assert_eq!(store.get(b"a", mark(), at(1000)), None);
            let before = mark();
            caches.epochs.bump(scope);
            store.put(b"a".to_vec(), before, Bytes::new(), at(1000));
            assert_eq!(store.get(b"a", mark(), at(1000)), None, "a fill that raced a write is not served");
        }
        assert!(caches.queries.is_none());
    }

    #[test]
    fn a_write_fills_only_when_it_was_alone() {
        let caches = Caches::new(BOUNDS, OFF);
        let (store, item, other) = (caches.items.as_ref().unwrap(), Scope::Item("t", b"a"), Scope::Item("t", b"b"));
        let now = || caches.mark("t", item);
        let get = || store.get(b"a", now(), Duration::ZERO).is_some();
        let put = |mark: Mark| store.put(b"a".to_vec(), mark.after_one(), Bytes::new(), Duration::ZERO);
        for (name, ended, alone) in [
            ("alone", &[item][..], true),
            ("beside another item's", &[other, item], true),
            ("another ended before", &[item, item], false),
            ("the table was written", &[Scope::Table("t"), item], false),
        ] {
            let begun = now();
            ended.iter().for_each(|scope| caches.epochs.bump(*scope));
            put(begun);
            assert_eq!(get(), alone, "{name}");
            // One that was under way meanwhile, and may have come before or after.
            caches.epochs.bump(item);
            assert!(!get(), "{name}");
        }
        let begun = now();
        caches.epochs.bump_all();
        caches.epochs.bump(item);
        put(begun);
        assert!(!get());
    }

    #[test]
    fn memory_is_bounded() {
        let caches = Caches::new(BOUNDS, OFF);
        let store = caches.items.as_ref().unwrap();
        let mark = caches.mark("t", Scope::Anything("t"));
        for number in 0..1000u32 {
            store.put(number.to_be_bytes().to_vec(), mark, Bytes::from(vec![0; 1000]), Duration::ZERO);
        }
        store.entries.run_pending_tasks();
        assert!(store.entries.weighted_size() <= 10_000);
    }
}
