//! Table: a bounded map from a hashed key to the time at which its bucket is full again.
//!
//! In: a key, now, a rule for one entry. Out: what the rule says, applied under that entry's lock. Never: the key itself (only
//! 64 bits of its keyed hash), a growth past the bound, an allocation for keys that never came.

use std::mem;

use ahash::RandomState;
use parking_lot::Mutex;

/// Independent parts, so that threads seldom wait for each other. A power of two.
const SHARDS: usize = 64;

/// Entries among which a key looks for its own. With half of them in use on average (see [`SLACK`]) fewer than one set in two
/// hundred is ever full.
const WAYS: usize = 16;

/// Room for this many times the keys that are to be remembered: sets fill unevenly.
const SLACK: usize = 2;

/// A tag that stands for no key.
const EMPTY: u64 = 0;

/// See the module's documentation. Times are nanoseconds of one clock.
#[derive(Debug)]
pub struct Table {
    shards: Box<[Mutex<Shard>]>,
    /// Seeded anew for each table: nobody outside can aim at one set, or at another's key.
    hasher: RandomState,
    /// Sets that one shard may have; a power of two.
    most: usize,
}

/// Sets whose number is a power of two: bits of the hash choose the shard, then the set.
#[derive(Debug, Default)]
struct Shard {
    sets: Vec<Set>,
}

/// Tags beside each other, so that a look-up reads two cache lines of them and one of times.
#[derive(Debug, Clone)]
struct Set {
    tags: [u64; WAYS],
    full_at: [u64; WAYS],
}

// === impl Table ===
impl Table {
    /// Remembers at least `keys` keys that are evenly spread; has room for twice as many, 16 bytes each, and takes it only as
    /// keys come.
    pub fn new(keys: usize) -> Self {
        let sets = keys.saturating_mul(SLACK).div_ceil(SHARDS * WAYS).max(1);
        // No power of two above it: such a table could not be addressed anyway.
        let most = sets.checked_next_power_of_two().unwrap_or(1 << 32);
        Table { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new(), most }
    }

    /// The hash under which this table knows `key`.
    pub fn hash(&self, key: &[u8]) -> u64 {
        match self.hasher.hash_one(key) {
            EMPTY => 1,
            hash => hash,
        }
    }

    /// Applies `rule` to the time kept for `hash`, `None` when there is none, and keeps the time that it gives. Nothing is
    /// kept when it fails.
    ///
    /// A new key takes a place that is free or whose bucket is full again by `now` (forgetting it loses nothing), else the
    /// table grows, else the key closest to a full bucket is forgotten.
    pub fn apply<T, E>(
        &self,
        hash: u64,
        now: u64,
        rule: impl FnOnce(Option<u64>) -> Result<(T, u64), E>,
    ) -> Result<T, E> {
        let mut shard = self.shards[hash as usize % SHARDS].lock();
        if let Some(kept) = shard.find(hash) {
            let (outcome, next) = rule(Some(*kept))?;
            *kept = next;
            return Ok(outcome);
        }
        let (outcome, next) = rule(None)?;
        shard.insert(hash, next, now, self.most);
        Ok(outcome)
    }

    /// Bytes that the entries take now.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().sets.capacity() * mem::size_of::<Set>()).sum()
    }

    /// Keys whose bucket is not full at `now`.
    pub fn live(&self, now: u64) -> usize {
        let live = |set: &Set| set.full_at.iter().filter(|&&full_at| full_at > now).count();
        self.shards.iter().map(|shard| shard.lock().sets.iter().map(live).sum::<usize>()).sum()
    }
}

// === impl Shard ===
impl Shard {
    /// Which of the sets; the shard's bits are used up.
    fn set(&self, hash: u64) -> usize {
        (hash / SHARDS as u64) as usize & (self.sets.len().wrapping_sub(1))
    }

    fn find(&mut self, hash: u64) -> Option<&mut u64> {
        let at = self.set(hash);
        let set = self.sets.get_mut(at)?;
        let way = set.tags.iter().position(|&tag| tag == hash)?;
        set.full_at.get_mut(way)
    }

    fn insert(&mut self, hash: u64, full_at: u64, now: u64, most: usize) {
        if self.sets.is_empty() {
            self.sets.reserve_exact(1);
            self.sets.push(Set::default());
        }
        loop {
            let at = self.set(hash);
            let set = &mut self.sets[at];
            let (way, first) = set.first();
            // An empty place was full before time began.
            if first <= now || self.sets.len() >= most {
                let set = &mut self.sets[at];
                set.tags[way] = hash;
                set.full_at[way] = full_at;
                return;
            }
            self.grow(now);
        }
    }

    /// Twice the sets: what one held goes to itself or to its new twin, so that it always fits.
    fn grow(&mut self, now: u64) {
        let half = self.sets.len();
        self.sets.reserve_exact(half);
        self.sets.resize(half * 2, Set::default());
        for at in 0..half {
            let old = mem::take(&mut self.sets[at]);
            let mut used = [0; 2];
            for (&tag, &full_at) in old.tags.iter().zip(&old.full_at) {
                if tag == EMPTY || full_at <= now {
                    continue;
                }
                let to = self.set(tag);
                let way = &mut used[usize::from(to != at)];
                self.sets[to].tags[*way] = tag;
                self.sets[to].full_at[*way] = full_at;
                *way += 1;
            }
        }
    }
}

// === impl Set ===
impl Set {
    /// The place whose bucket is full first, and when.
    fn first(&self) -> (usize, u64) {
        let mut first = (0, u64::MAX);
        for (way, &full_at) in self.full_at.iter().enumerate() {
            if full_at < first.1 {
                first = (way, full_at);
            }
        }
        first
    }
}

impl Default for Set {
    fn default() -> Self {
        Set { tags: [EMPTY; WAYS], full_at: [0; WAYS] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &Table, key: u64, full_at: u64, now: u64) -> Option<u64> {
        let hash = table.hash(&key.to_le_bytes());
        table.apply(hash, now, |kept| Ok::<_, ()>((kept, full_at))).unwrap()
    }

    #[test]
    fn keys_are_found_again_while_the_table_grows() {
        let table = Table::new(100_000);
        assert_eq!(table.bytes(), 0);
        for key in 0..10 {
            put(&table, key, 100, 0);
        }
        assert!(table.bytes() < 4096, "ten keys cost {} bytes", table.bytes());
        for key in 10..50_000 {
            assert_eq!(put(&table, key, 1000 + key, 0), None, "{key}");
        }
        for key in 10..50_000 {
            assert_eq!(put(&table, key, 1000 + key, 0), Some(1000 + key), "{key}");
        }
        assert_eq!(table.live(0), 50_000);
    }

    #[test]
    fn a_million_random_keys_stay_within_the_bound() {
        const KEYS: usize = 10_000;
        let table = Table::new(KEYS);
        for key in 0..1_000_000 {
            put(&table, key, 10 + key, 0);
        }
        let bound = KEYS * SLACK * 2 * mem::size_of::<Set>() / WAYS;
        assert!(table.bytes() <= bound, "{} > {bound}", table.bytes());
        assert!(table.live(0) >= KEYS);
        // The newest are the furthest from a full bucket: they are what is left.
        let kept = (990_000..1_000_000).filter(|&key| put(&table, key, 10 + key, 0).is_some()).count();
        assert!(kept > 9_800, "{kept}");
    }

    #[test]
    fn a_rule_that_fails_leaves_nothing() {
        let table = Table::new(10);
        let hash = table.hash(b"a");
        assert_eq!(table.apply(hash, 0, Err::<((), u64), _>), Err(None));
        assert_eq!(table.live(0), 0);
    }

    #[test]
    fn a_full_bucket_gives_its_place_to_a_new_key() {
        let table = Table::new(1);
        for key in 0..10_000 {
            put(&table, key, key + 1, key);
        }
        // Without a live neighbour nothing has to grow.
        assert!(table.bytes() <= SHARDS * mem::size_of::<Set>());
    }
}
