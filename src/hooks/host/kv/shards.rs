//! Shards: a store's entries in memory, as they are at one version.
//!
//! In: an update. Out: the entries after it, sharing all that did not change. Never: a change of what readers hold.

use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use ahash::{HashMap, RandomState};
use bytes::Bytes;

use super::change::Change;
use super::{KvError, State};

/// Maps an update copies one of for each key it changes: a million entries are 4,096 to copy, a thousand are 4.
const SHARDS: usize = 256;

type Map = HashMap<Arc<str>, Bytes>;

/// All entries of one version. About 100 bytes an entry besides key and value.
#[derive(Debug, Clone)]
pub struct Shards {
    maps: Vec<Arc<Map>>,
    hasher: RandomState,
    pub state: State,
}

// === impl Shards ===
impl Shards {
    pub fn new(state: State) -> Self {
        Shards { maps: vec![Arc::default(); SHARDS], hasher: RandomState::new(), state }
    }

    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.maps.get(self.shard(key))?.get(key)
    }

    /// An entry that is on disk already. Does not change the version.
    pub fn load(&mut self, key: &str, value: &[u8]) {
        self.put(key, Bytes::copy_from_slice(value));
    }

    /// These entries with `changes`: the version is left to the caller.
    ///
    /// # Errors
    /// A key that has to be there is not.
    pub fn with(&self, changes: &[Change]) -> Result<Shards, KvError> {
        let mut next = self.clone();
        for change in changes {
            match change {
                Change::Put(entry) => next.put(&entry.key, entry.value.clone()),
                Change::Delete(key) => {
                    next.delete(key);
                }
                Change::DeleteExisting(key) if next.delete(key) => {}
                Change::DeleteExisting(_) => return Err(KvError::NoKey),
            }
        }
        Ok(next)
    }

    fn put(&mut self, key: &str, value: Bytes) {
        let shard = self.shard(key);
        let Some(map) = self.maps.get_mut(shard) else { return };
        let added = value.len() as u64;
        match Arc::make_mut(map).entry(key.into()) {
            Slot::Occupied(mut slot) => self.state.size -= slot.insert(value).len() as u64,
            Slot::Vacant(slot) => {
                slot.insert(value);
                self.state.count += 1;
                self.state.size += key.len() as u64;
            }
        }
        self.state.size += added;
    }

    /// Whether it was there.
    fn delete(&mut self, key: &str) -> bool {
        let shard = self.shard(key);
        let Some(map) = self.maps.get_mut(shard).filter(|map| map.contains_key(key)) else { return false };
        let Some(value) = Arc::make_mut(map).remove(key) else { return false };
        self.state.count -= 1;
        self.state.size -= (key.len() + value.len()) as u64;
        true
    }

    fn shard(&self, key: &str) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }
}
