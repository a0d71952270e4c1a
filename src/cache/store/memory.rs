//! Memory: which complete objects stay in memory.
//!
//! In: complete objects, and look-ups. Out: the objects that fit the configured bytes, most used first. Never: I/O, an
//! object that is still being filled.

use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::front::{self, Seen};
use super::stats::Counters;
use super::table::{Identity, Table};
use crate::cache::object::{KeyHash, Object, Stamp};

/// Objects in memory, bounded in bytes by [`Object::weight`] (TinyLFU: a newcomer may be refused for what is used more).
/// Clones share the objects.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Tells the per-thread fronts apart.
    id: u32,
    /// Decides what stays.
    objects: Cache<KeyHash, Arc<Object>, BuildHasherDefault<Identity>>,
    /// The same objects, for reading.
    table: Arc<Table>,
}

// === impl Memory ===
impl Memory {
    /// A tier of `bytes`.
    pub fn new(bytes: u64, counters: Arc<Counters>) -> Memory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let table: Arc<Table> = Arc::default();
        let dropped = table.clone();
        let objects = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, object: &Arc<Object>| object.weight())
            .eviction_listener(move |_, object: Arc<Object>, cause| {
                object.live.store(false, Ordering::Release);
                dropped.remove(&object);
                if cause == RemovalCause::Size {
                    counters.evictions.add(1);
                }
            })
            .build_with_hasher(BuildHasherDefault::default());
        Memory { id: NEXT.fetch_add(1, Ordering::Relaxed), objects, table }
    }

    /// The object in slot `hash` whose key is `key`. Sync and cheap: an array look-up, else one in a table; one hit in some
    /// is told to the tier, so that it sees what is popular.
    pub fn get(&self, hash: &KeyHash, key: &[u8]) -> Option<Arc<Object>> {
        let object = match front::get(self.id, hash) {
            Seen::Here(object) => object,
            Seen::TellTier => self.objects.get(hash)?,
            Seen::Not => {
                let object = self.table.get(hash).or_else(|| self.objects.get(hash))?;
                front::put(self.id, &object);
                object
            }
        };
        (*object.key == *key).then_some(object)
    }

    /// Whether the slot holds an object, without counting as a use of it.
    pub fn holds(&self, hash: &KeyHash) -> bool {
        self.objects.contains_key(hash)
    }

    /// Whether the slot holds an answer that was asked for after `stamp`: the newer one, whichever came first (RFC 9111 §4).
    pub fn is_newer(&self, hash: &KeyHash, stamp: Stamp) -> bool {
        self.table.get(hash).is_some_and(|held| held.meta.fetch_start > stamp)
    }

    /// Offers an object to the tier; it takes the slot's place.
    pub fn insert(&self, object: Arc<Object>) {
        // The table first: when the tier refuses the object at once, it is taken out again.
        self.table.insert(object.clone());
        self.objects.insert(object.hash, object);
    }

    /// Offers an object to the tier unless the slot is taken. What the slot holds now.
    pub fn insert_if_absent(&self, object: Arc<Object>) -> Arc<Object> {
        let entry = self.objects.entry(object.hash).or_insert(object);
        if entry.is_fresh() {
            self.table.insert(entry.value().clone());
            // Dropped by the tier meanwhile: not by the table, which did not have it yet.
            if !entry.value().live.load(Ordering::Acquire) {
                self.table.remove(entry.value());
            }
        }
        entry.into_value()
    }

    /// Puts `new` in the place of `old`, unless the slot holds something else by now. Whether it did.
    pub fn replace(&self, old: &Arc<Object>, new: Arc<Object>) -> bool {
        let put = self.objects.entry(new.hash).and_compute_with(|entry| match entry {
            Some(entry) if Arc::ptr_eq(entry.value(), old) => {
                self.table.insert(new.clone());
                Op::Put(new)
            }
            _ => Op::Nop,
        });
        matches!(put, CompResult::ReplacedWith(_))
    }

    /// Whether there was one.
    pub fn remove(&self, hash: &KeyHash) -> bool {
        self.objects.remove(hash).is_some()
    }

    /// Bytes and objects held, as of the tier's last housekeeping.
    pub fn size(&self) -> (u64, u64) {
        // moka counts late otherwise; who asks for the size asks seldom.
        self.objects.run_pending_tasks();
        (self.objects.weighted_size(), self.objects.entry_count())
    }

    #[cfg(test)]
    pub fn settle(&self) {
        self.objects.run_pending_tasks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::fixture;

    fn memory(bytes: u64) -> (Memory, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        (Memory::new(bytes, counters.clone()), counters)
    }

    #[test]
    fn ten_times_its_size_stays_within_it() {
        let (memory, counters) = memory(1 << 20);
        for n in 0..10_000 {
            memory.insert(Arc::new(fixture::object(n, &[7; 400])));
        }
        memory.settle();
        let (bytes, objects) = memory.size();
        assert!(bytes <= 1 << 20, "{bytes}");
        assert!(objects > 500, "{objects}");
        assert_eq!(counters.evictions.get() + objects, 10_000);
    }

    #[test]
    fn a_hit_needs_the_whole_key() {
        let (memory, _) = memory(1 << 20);
        let object = Arc::new(fixture::object(1, b"x"));
        memory.insert(object.clone());
        for _ in 0..40 {
            assert!(memory.get(&object.hash, &object.key).is_some());
            assert!(memory.get(&object.hash, b"another key").is_none());
        }
    }

    #[test]
    fn the_front_follows_replacement_and_removal() {
        let (memory, _) = memory(1 << 20);
        let (old, new) = (Arc::new(fixture::object(1, b"old")), Arc::new(fixture::object(1, b"new")));
        memory.insert(old.clone());
        assert!(memory.get(&old.hash, &old.key).is_some());
        memory.insert(new.clone());
        for _ in 0..40 {
            let got = memory.get(&old.hash, &old.key).unwrap();
            assert_eq!(got.body.whole().unwrap(), "new");
        }
        assert!(memory.remove(&new.hash));
        assert!(!memory.remove(&new.hash));
        assert!((0..40).all(|_| memory.get(&new.hash, &new.key).is_none()));
    }
}
