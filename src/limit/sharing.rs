//! Sharing: what this node tells the others of its shared limits, and what it is told.
//!
//! In: admitted requests, what others admitted, which nodes are heard. Out: counts by limit and key since the last time, charges to
//! the buckets. Never: a key itself (only 128 bits of its hash), the network, memory past its bound.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::bucket::Buckets;
use super::pace::Share;

/// Parts of the counts, so that threads seldom wait for one another.
const PARTS: usize = 16;
/// Keys that are counted between two exchanges, in each part: 65,536 in all. Further ones are not told of until there is room.
const PART_KEYS: usize = 4096;

/// Names a limit on every node alike.
pub type LimitId = u128;
/// Names a key of it.
pub type KeyId = u128;

/// Requests admitted of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    pub limit: LimitId,
    pub key: KeyId,
    pub count: u32,
}

/// One for the life of the process.
#[derive(Debug)]
pub struct Sharing {
    /// The same on every node, and nobody else's: so that nobody can choose keys that are one.
    seed: u64,
    share: AtomicU64,
    spent: [Mutex<HashMap<(LimitId, KeyId), u32>>; PARTS],
    hasher: RandomState,
    buckets: Mutex<HashMap<LimitId, Weak<Buckets>>>,
}

// === impl Sharing ===
impl Sharing {
    pub fn new(seed: u64) -> Self {
        Sharing {
            seed,
            share: AtomicU64::new(Share::ALONE.pack()),
            spent: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            buckets: Mutex::default(),
        }
    }

    /// A limit by its words.
    pub fn limit(words: &str) -> LimitId {
        xxh3_128(words.as_bytes())
    }

    pub(super) fn key(&self, key: &[u8]) -> KeyId {
        xxh3_128_with_seed(key, self.seed)
    }

    pub fn share(&self) -> Share {
        Share::unpack(self.share.load(Ordering::Relaxed))
    }

    pub fn set_share(&self, share: Share) {
        self.share.store(share.pack(), Ordering::Relaxed);
    }

    /// Whether some configuration that runs has a shared limit.
    pub fn in_use(&self) -> bool {
        self.buckets.lock().values().any(|buckets| buckets.strong_count() > 0)
    }

    pub(super) fn enlist(&self, limit: LimitId, buckets: &Arc<Buckets>) {
        let mut listed = self.buckets.lock();
        listed.retain(|_, held| held.strong_count() > 0);
        listed.insert(limit, Arc::downgrade(buckets));
    }

    pub(super) fn admitted(&self, limit: LimitId, key: KeyId) {
        self.add(Spent { limit, key, count: 1 });
    }

    fn add(&self, spent: Spent) {
        let at = (spent.limit, spent.key);
        let Some(part) = self.spent.get(self.hasher.hash_one(at) as usize % PARTS) else { return };
        let mut part = part.lock();
        if part.len() < PART_KEYS || part.contains_key(&at) {
            let count = part.entry(at).or_default();
            *count = count.saturating_add(spent.count);
        }
    }

    /// What was admitted since the last time: at most `most` keys, those with most requests first. The others are kept.
    pub fn drain(&self, most: usize) -> Vec<Spent> {
        let parts = self.spent.iter().flat_map(|part| std::mem::take(&mut *part.lock()));
        let mut all: Vec<Spent> = parts.map(|((limit, key), count)| Spent { limit, key, count }).collect();
        all.sort_unstable_by_key(|spent| std::cmp::Reverse(spent.count));
        self.restore(all.drain(most.min(all.len())..));
        all
    }

    /// Puts back what could not be told.
    pub fn restore(&self, spent: impl IntoIterator<Item = Spent>) {
        spent.into_iter().for_each(|spent| self.add(spent));
    }

    /// Charges what another node admitted. `now` is of [`super::Clock`]; what is told is told within `told_within`.
    pub fn charge(&self, spent: Spent, now: u64, told_within: Duration) {
        let buckets = self.buckets.lock().get(&spent.limit).and_then(Weak::upgrade);
        // A limit that this node does not have: another configuration is in force there.
        if let Some(buckets) = buckets {
            buckets.charge(spent.key, spent.count, now, told_within);
        }
    }
}

impl Default for Sharing {
    fn default() -> Self {
        Sharing::new(0)
    }
}
