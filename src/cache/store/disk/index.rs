//! Index: where on disk each slot's answer lies.
//!
//! In: places as records are written and found again. Out: the place for a slot. Never: I/O, keys (the record has them).

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::object::KeyHash;

/// Locks over the map.
const SHARDS: usize = 64;

/// Where an answer lies. With its slot's hash this is what one object on disk costs in memory: 64 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub head_at: u64,
    pub body_at: u64,
    pub body_len: u64,
    pub head_seg: u32,
    /// Another segment than `head_seg` once the answer was revalidated: only the head was written again.
    pub body_seg: u32,
    pub head_len: u32,
    /// Read since it was written: gets a second life when its segment is dropped.
    pub hit: bool,
}

/// All places. Memory: 64 bytes an object.
#[derive(Debug)]
pub struct Index {
    shards: Vec<Mutex<HashMap<KeyHash, Place>>>,
    len: AtomicU64,
    /// Slots removed while an earlier process's records are still being found: those records do not count.
    removed: Mutex<Option<HashSet<KeyHash>>>,
}

// === impl Place ===
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        (self.head_seg, self.head_at, self.body_seg, self.body_at)
            == (other.head_seg, other.head_at, other.body_seg, other.body_at)
    }
}

// === impl Index ===
impl Default for Index {
    fn default() -> Self {
        Index {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            len: AtomicU64::new(0),
            removed: Mutex::new(Some(HashSet::new())),
        }
    }
}

impl Index {
    pub fn get(&self, hash: &KeyHash) -> Option<Place> {
        self.shard(hash).lock().get(hash).copied()
    }

    /// The place, noting that it was asked for.
    pub fn hit(&self, hash: &KeyHash) -> Option<Place> {
        let mut shard = self.shard(hash).lock();
        let place = shard.get_mut(hash)?;
        place.hit = true;
        Some(*place)
    }

    pub fn insert(&self, hash: KeyHash, place: Place) {
        if self.shard(&hash).lock().insert(hash, place).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds a place that an earlier process wrote: what is newer stays. Records are found newest first.
    pub fn recover(&self, hash: KeyHash, place: Place) {
        let mut shard = self.shard(&hash).lock();
        let removed = self.removed.lock();
        if !removed.as_ref().is_some_and(|removed| removed.contains(&hash)) && !shard.contains_key(&hash) {
            shard.insert(hash, place);
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A removal that an earlier process wrote: what is older than it does not count.
    pub fn recover_removal(&self, hash: KeyHash) {
        if let Some(removed) = self.removed.lock().as_mut() {
            removed.insert(hash);
        }
    }

    /// Everything that earlier processes wrote has been found.
    pub fn recovered(&self) {
        *self.removed.lock() = None;
    }

    pub fn is_recovered(&self) -> bool {
        self.removed.lock().is_none()
    }

    /// Whether there was one.
    pub fn remove(&self, hash: &KeyHash) -> bool {
        let mut shard = self.shard(hash).lock();
        self.recover_removal(*hash);
        self.note_removal(shard.remove(hash).is_some())
    }

    /// Removes the place when it is still this one. Whether it was.
    pub fn remove_if(&self, hash: &KeyHash, place: Place) -> bool {
        let mut shard = self.shard(hash).lock();
        let same = shard.get(hash) == Some(&place);
        self.note_removal(same && shard.remove(hash).is_some())
    }

    /// Puts `new` where `old` still is. Whether it was.
    pub fn replace_if(&self, hash: &KeyHash, old: Place, new: Place) -> bool {
        let mut shard = self.shard(hash).lock();
        let place = shard.get_mut(hash).filter(|place| **place == old);
        place.map(|place| *place = new).is_some()
    }

    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    fn note_removal(&self, removed: bool) -> bool {
        if removed {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    fn shard(&self, hash: &KeyHash) -> &Mutex<HashMap<KeyHash, Place>> {
        &self.shards[usize::from(hash[9]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: u64) -> Place {
        Place { head_at: at, body_at: at, body_len: 1, head_seg: 1, body_seg: 1, head_len: 1, hit: false }
    }

    #[test]
    fn an_object_on_disk_costs_64_bytes() {
        assert!(size_of::<(KeyHash, Place)>() <= 64);
    }

    #[test]
    fn what_is_found_later_is_older() {
        let index = Index::default();
        index.insert([1; 16], place(9));
        index.recover([1; 16], place(1));
        assert_eq!(index.get(&[1; 16]), Some(place(9)), "written since start");
        index.recover([2; 16], place(2));
        index.recover([2; 16], place(1));
        assert_eq!(index.get(&[2; 16]), Some(place(2)), "found first");
        index.recover_removal([3; 16]);
        index.recover([3; 16], place(1));
        assert_eq!(index.get(&[3; 16]), None, "removed by then");
        index.remove(&[4; 16]);
        index.recover([4; 16], place(1));
        assert_eq!(index.get(&[4; 16]), None, "removed while it was not found yet");
        index.insert([4; 16], place(5));
        index.recovered();
        assert_eq!((index.get(&[4; 16]), index.len()), (Some(place(5)), 3));
        assert!(!index.remove_if(&[4; 16], place(6)) && index.remove_if(&[4; 16], place(5)));
        assert_eq!(index.len(), 2);
    }
}
