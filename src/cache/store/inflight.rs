//! Inflight: which answers are on their way in.
//!
//! In: fills as they begin and end. Out: the fill of a slot, for who asks meanwhile. Never: a body (`fill` has it), a fill
//! that nobody new may join.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fill::Fill;
use super::stats::Counters;
use crate::cache::object::{KeyHash, Meta};

/// Locks over the map of fills: a look-up takes one of them for some ten nanoseconds.
const SHARDS: usize = 64;

/// Every fill that is going on.
#[derive(Debug)]
pub struct Fills {
    shards: Vec<Mutex<HashMap<KeyHash, Vec<Arc<Fill>>>>>,
    next: AtomicU64,
    counters: Arc<Counters>,
}

// === impl Fills ===
impl Fills {
    pub fn new(counters: Arc<Counters>) -> Fills {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Fills { shards, next: AtomicU64::new(1), counters }
    }

    /// Begins a fill; readers find it until [`Fills::remove`]. The newest fill of a slot is the one they find.
    pub fn begin(&self, hash: KeyHash, key: Box<[u8]>, meta: Meta, head: Box<[u8]>, length: Option<u64>) -> Arc<Fill> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let fill = Arc::new(Fill::new(id, hash, key, meta, head, length, self.counters.clone()));
        self.counters.fills_in_flight.add(1);
        self.shard(&hash).lock().entry(hash).or_default().push(fill.clone());
        fill
    }

    /// The newest joinable fill of `hash` whose key is `key`.
    pub fn find(&self, hash: &KeyHash, key: &[u8]) -> Option<Arc<Fill>> {
        let shard = self.shard(hash).lock();
        shard.get(hash)?.iter().rev().find(|fill| *fill.key == *key && fill.joinable()).cloned()
    }

    /// The fill that `id` names.
    pub fn by_id(&self, hash: &KeyHash, id: u64) -> Option<Arc<Fill>> {
        self.shard(hash).lock().get(hash)?.iter().find(|fill| fill.id == id).cloned()
    }

    /// Ends a fill's time in the map.
    pub fn remove(&self, fill: &Fill) {
        let mut shard = self.shard(&fill.hash).lock();
        let Some(fills) = shard.get_mut(&fill.hash) else { return };
        fills.retain(|other| other.id != fill.id);
        if fills.is_empty() {
            shard.remove(&fill.hash);
        }
    }

    /// What is being filled in this slot will not be stored, and nobody new joins it. Whether there was anything.
    pub fn disown(&self, hash: &KeyHash) -> bool {
        let shard = self.shard(hash).lock();
        let Some(fills) = shard.get(hash) else { return false };
        fills.iter().for_each(|fill| fill.disown());
        true
    }

    fn shard(&self, hash: &KeyHash) -> &Mutex<HashMap<KeyHash, Vec<Arc<Fill>>>> {
        &self.shards[usize::from(hash[8]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::fixture;

    #[test]
    fn the_map_gives_the_newest_joinable_fill() {
        let counters = Arc::new(Counters::default());
        let fills = Fills::new(counters.clone());
        let begin = || fills.begin([1; 16], b"key"[..].into(), fixture::meta(), [].into(), None);
        let (first, second) = (begin(), begin());
        assert_eq!(fills.find(&[1; 16], b"key").unwrap().id, second.id);
        assert!(fills.find(&[1; 16], b"other").is_none());
        assert!(fills.find(&[2; 16], b"key").is_none());
        second.pass();
        assert_eq!(fills.find(&[1; 16], b"key").unwrap().id, first.id, "what passes is not joined");
        assert_eq!(fills.by_id(&[1; 16], second.id).unwrap().id, second.id, "but its writer finds it");
        assert!(fills.disown(&[1; 16]));
        assert!(fills.find(&[1; 16], b"key").is_none() && !first.wanted());
        fills.remove(&first);
        fills.remove(&second);
        assert!(fills.by_id(&[1; 16], first.id).is_none());
        assert_eq!(counters.fills_in_flight.get(), 2);
        first.complete();
        second.fail();
        second.fail();
        assert_eq!((counters.fills_in_flight.get(), counters.fills_failed.get()), (0, 1));
    }
}
