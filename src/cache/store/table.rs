//! Table: the memory tier's objects by slot, for reading.
//!
//! In: objects as the tier takes and drops them. Out: the object of a slot in a fraction of the time the tier itself takes
//! (it notes every use). Never: a decision about what stays.

use parking_lot::RwLock;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use crate::cache::object::{KeyHash, Object};

/// Locks over the table; writers are rare.
const SHARDS: usize = 256;

/// Objects by slot. Memory: 10 to 20 bytes an object.
#[derive(Debug)]
pub struct Table(Vec<RwLock<HashSet<Entry, BuildHasherDefault<Identity>>>>);

/// An object as its slot's hash.
#[derive(Debug)]
struct Entry(Arc<Object>);

/// Keys are hashes already: any 8 bytes of one are a hash.
#[derive(Debug, Default, Clone)]
pub struct Identity(u64);

// === impl Table ===
impl Default for Table {
    fn default() -> Self {
        Table((0..SHARDS).map(|_| RwLock::default()).collect())
    }
}

impl Table {
    pub fn get(&self, hash: &KeyHash) -> Option<Arc<Object>> {
        self.shard(hash).read().get(hash).map(|entry| entry.0.clone())
    }

    /// Puts `object` in its slot.
    pub fn insert(&self, object: Arc<Object>) {
        let replaced = self.shard(&object.hash).write().replace(Entry(object));
        // Freed after the lock.
        drop(replaced);
    }

    /// Empties the slot when it still holds this very object.
    pub fn remove(&self, object: &Arc<Object>) {
        let mut shard = self.shard(&object.hash).write();
        if shard.get(&object.hash).is_some_and(|entry| Arc::ptr_eq(&entry.0, object)) {
            shard.remove(&object.hash);
        }
    }

    fn shard(&self, hash: &KeyHash) -> &RwLock<HashSet<Entry, BuildHasherDefault<Identity>>> {
        &self.0[usize::from(hash[7]) % SHARDS]
    }
}

// === impl Entry ===
impl Borrow<KeyHash> for Entry {
    fn borrow(&self) -> &KeyHash {
        &self.0.hash
    }
}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl Eq for Entry {}

// === impl Identity ===
impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        // A `[u8; 16]` hashes its length and then itself; its tail counts: front and shards are cut from its head.
        if let Some(tail) = bytes.last_chunk::<8>() {
            self.0 = u64::from_le_bytes(*tail);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::fixture;

    #[test]
    fn only_the_very_object_is_removed() {
        let table = Table::default();
        let (old, new) = (Arc::new(fixture::object(1, b"old")), Arc::new(fixture::object(1, b"new")));
        table.insert(old.clone());
        table.insert(new.clone());
        table.remove(&old);
        assert!(Arc::ptr_eq(&table.get(&old.hash).unwrap(), &new));
        table.remove(&new);
        assert!(table.get(&old.hash).is_none());
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 1));
    }
}
