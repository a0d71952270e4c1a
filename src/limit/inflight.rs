//! Inflight: how many requests of a key run at once.
//!
//! In: a key. Out: a [`Permit`] that counts until it is dropped, or a refusal. Never: a count that stays after its request.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;

/// Independent parts, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// Requests that run, by key. A key takes memory only while it has one, so that the connections bound it; `keys` does besides.
#[derive(Debug)]
pub struct Inflight {
    shards: [Mutex<HashMap<u64, u32, RandomState>>; SHARDS],
    hasher: RandomState,
    most: u32,
    /// Keys of one shard.
    keys: usize,
}

/// One request that runs.
#[derive(Debug)]
pub struct Permit {
    of: Arc<Inflight>,
    hash: u64,
}

// === impl Inflight ===
impl Inflight {
    /// Each of at most `keys` keys may have `most` requests at once.
    pub fn new(most: NonZeroU32, keys: usize) -> Self {
        Inflight {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            most: most.get(),
            keys: keys.div_ceil(SHARDS).max(1),
        }
    }

    /// Counts one request of `key` until the permit is dropped; `None` when as many run as may.
    pub fn enter(self: &Arc<Self>, key: &[u8]) -> Option<Permit> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).lock();
        let known = shard.len();
        match shard.get_mut(&hash) {
            Some(count) if *count >= self.most => return None,
            Some(count) => *count += 1,
            None if known >= self.keys => return None,
            None => drop(shard.insert(hash, 1)),
        }
        Some(Permit { of: self.clone(), hash })
    }

    /// Requests of `key` that run now.
    pub fn running(&self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        self.shard(hash).lock().get(&hash).copied().unwrap_or(0)
    }

    pub fn most(&self) -> u32 {
        self.most
    }

    fn shard(&self, hash: u64) -> &Mutex<HashMap<u64, u32, RandomState>> {
        &self.shards[hash as usize % SHARDS]
    }

    fn leave(&self, hash: u64) {
        let mut shard = self.shard(hash).lock();
        match shard.get_mut(&hash) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(shard.remove(&hash)),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of.leave(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn inflight(most: u32, keys: usize) -> Arc<Inflight> {
        Arc::new(Inflight::new(NonZeroU32::new(most).unwrap(), keys))
    }

    #[test]
    fn a_permit_counts_until_it_is_dropped() {
        let inflight = inflight(2, 100);
        let first = inflight.enter(b"a").unwrap();
        let second = inflight.enter(b"a").unwrap();
        assert!(inflight.enter(b"a").is_none());
        assert!(inflight.enter(b"b").is_some());
        drop(first);
        let third = inflight.enter(b"a").unwrap();
        assert_eq!(inflight.running(b"a"), 2);
        drop((second, third));
        assert_eq!(inflight.running(b"a"), 0);
        assert!(inflight.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn keys_are_bounded() {
        let inflight = inflight(2, SHARDS);
        let permits: Vec<_> = (0..1000u32).filter_map(|key| inflight.enter(&key.to_le_bytes())).collect();
        assert_eq!(permits.len(), SHARDS);
    }

    #[test]
    fn eight_threads_never_pass_the_bound() {
        let inflight = inflight(3, 100);
        let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        if let Some(_permit) = inflight.enter(b"k") {
                            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            now.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.into_inner()));
        assert_eq!(inflight.running(b"k"), 0);
    }
}
