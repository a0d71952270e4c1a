//! Key store: API keys that were made while the PoP ran.
//!
//! In: keys to make, change, remove. Out: all of them again after a restart. Never: a value (only its SHA-256 is written), a
//! change that counts before it is on disk.
//!
//! The file is open only while it is read or written: during an upgrade two processes use it, and redb lets one in at a time.
//! Every call blocks on the disk: run it on `tokio::task::spawn_blocking`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::access::keys::Key;

/// By name: a [`Record`] as JSON.
const KEYS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("keys");

/// Names that other nodes are to be told of, with a number of the write.
const DIRTY: TableDefinition<'static, &str, u64> = TableDefinition::new("dirty");

/// redb's page cache, in bytes.
const PAGE_CACHE: usize = 1 << 20;

/// How long another process may have the file before a call gives up, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(10);

/// Bytes of a name (API Gateway, "CreateApiKey": 1024 characters), and plans of a key (its quota: 10).
pub const NAME_MAX: usize = 1024;
pub const PLANS_MAX: usize = 10;

/// The durable keys of one PoP.
#[derive(Debug)]
pub struct KeyStore {
    path: PathBuf,
    /// Keys that it may hold.
    most: usize,
    /// Threads of this process come one after the other.
    turn: Mutex<()>,
    /// Woken after each change that other nodes are to be told of; `None` = there are no others.
    told: Option<Arc<Notify>>,
}

/// What other nodes are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyKey {
    pub name: String,
    /// Of the write.
    pub number: u64,
    /// The key as JSON; `None`: it was deleted.
    pub record: Option<Vec<u8>>,
}

/// What became of other nodes' changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceivedKeys {
    /// Something is other than before.
    pub changed: bool,
    /// Some were passed over: of those keys the others are still to be told from here, and it is not known which the bus has last.
    pub passed: bool,
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub key: Key,
    /// SHA-256 of the value.
    pub hash: [u8; 32],
    /// Milliseconds since the epoch.
    pub created_ms: u64,
}

/// What to change; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    pub enabled: Option<bool>,
    pub plans: Option<Vec<String>>,
}

/// Why a key was not made, changed or removed: nothing was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    #[error("cannot use the key store {}: {source}", path.display())]
    Store { path: PathBuf, source: Arc<redb::Error> },
    #[error("the key store {} holds what cannot be read under the name {name:?}", path.display())]
    Entry { path: PathBuf, name: String },
    #[error("there is a key {0:?} already")]
    Exists(String),
    #[error("another key, {0:?}, has this value already")]
    Value(String),
    #[error("there is no key {0:?} that was made here")]
    Unknown(String),
    #[error("there are {0} keys already, as many as there may be")]
    Full(usize),
    #[error("a name has 1 to {NAME_MAX} bytes and no control characters")]
    Name,
    #[error("a key has at most {PLANS_MAX} plans")]
    Plans,
}

#[derive(Serialize, Deserialize)]
struct Record {
    hash: [u8; 32],
    enabled: bool,
    plans: Vec<String>,
    created_ms: u64,
}

// === impl KeyStore ===
impl KeyStore {
    /// A store in the file `path`, which is made with the first key. It takes `most` keys (what is there already stays).
    pub fn new(path: &Path, most: usize) -> Self {
        KeyStore { path: path.to_owned(), most, turn: Mutex::default(), told: None }
    }

    /// The same, with other nodes that are to be told of each change: `told` is woken then.
    pub fn telling(path: &Path, most: usize, told: Arc<Notify>) -> Self {
        KeyStore { told: Some(told), ..KeyStore::new(path, most) }
    }

    /// What other nodes are to be told, at most `most` keys.
    pub fn dirty(&self, most: usize) -> Result<Vec<DirtyKey>, KeyStoreError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let _turn = self.turn.lock();
        let db = self.open()?;
        let read = db.begin_read().map_err(|e| self.failed(e.into()))?;
        let table = match read.open_table(DIRTY) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table.map_err(|e| self.failed(e.into()))?,
        };
        let keys = read.open_table(KEYS).map_err(|e| self.failed(e.into()))?;
        let mut all = Vec::new();
        for entry in table.iter().map_err(|e| self.failed(e.into()))?.take(most) {
            let (name, number) = entry.map_err(|e| self.failed(e.into()))?;
            let record = keys.get(name.value()).map_err(|e| self.failed(e.into()))?;
            let record = record.map(|record| record.value().to_vec());
            all.push(DirtyKey { name: name.value().to_owned(), number: number.value(), record });
        }
        Ok(all)
    }

    /// Other nodes know of these, unless they were changed again since.
    pub fn told(&self, told: &[DirtyKey]) -> Result<(), KeyStoreError> {
        self.commit(|write| {
            let mut table = write.open_table(DIRTY).map_err(|e| self.failed(e.into()))?;
            for one in told {
                let now = table.get(one.name.as_str()).map_err(|e| self.failed(e.into()))?.map(|n| n.value());
                if now == Some(one.number) {
                    table.remove(one.name.as_str()).map_err(|e| self.failed(e.into()))?;
                }
            }
            Ok(())
        })
    }

    /// Applies what other nodes did (records as JSON, `None` = deleted), but for keys of which they are still to be told from here.
    ///
    /// # Errors
    /// A record that cannot be read: nothing is applied.
    pub fn receive(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<ReceivedKeys, KeyStoreError> {
        if !self.path.exists() && changes.iter().all(|(_, record)| record.is_none()) {
            return Ok(ReceivedKeys::default());
        }
        self.commit(|write| {
            let dirty = write.open_table(DIRTY).map_err(|e| self.failed(e.into()))?;
            let mut table = write.open_table(KEYS).map_err(|e| self.failed(e.into()))?;
            let mut done = ReceivedKeys::default();
            for (name, record) in changes {
                let before = table.get(name.as_str()).map_err(|e| self.failed(e.into()))?.map(|r| r.value().to_vec());
                if before == *record {
                    continue;
                }
                if dirty.get(name.as_str()).map_err(|e| self.failed(e.into()))?.is_some() {
                    done.passed = true;
                    continue;
                }
                done.changed = true;
                match record {
                    Some(record) => {
                        self.decode(name, record)?;
                        table.insert(name.as_str(), record.as_slice()).map_err(|e| self.failed(e.into()))?;
                    }
                    None => drop(table.remove(name.as_str()).map_err(|e| self.failed(e.into()))?),
                }
            }
            Ok(done)
        })
    }

    /// Every key, by name.
    pub fn list(&self) -> Result<Vec<StoredKey>, KeyStoreError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let _turn = self.turn.lock();
        let db = self.open()?;
        let read = db.begin_read().map_err(|e| self.failed(e.into()))?;
        let table = match read.open_table(KEYS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table.map_err(|e| self.failed(e.into()))?,
        };
        self.all(&table)
    }

    /// Makes a key; when it returns `Ok` the key is on disk (fsync).
    pub fn create(&self, key: StoredKey) -> Result<(), KeyStoreError> {
        let name = &key.key.name;
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(KeyStoreError::Name);
        }
        plans(&key.key.plans)?;
        self.write(&key.key.name, |table| {
            let known = self.all(table)?;
            if known.iter().any(|other| other.key.name == *name) {
                return Err(KeyStoreError::Exists(name.clone()));
            }
            if let Some(other) = known.iter().find(|other| other.hash == key.hash) {
                return Err(KeyStoreError::Value(other.key.name.clone()));
            }
            if known.len() >= self.most {
                return Err(KeyStoreError::Full(known.len()));
            }
            self.put(table, &key)
        })
    }

    /// Changes a key; when it returns `Ok` the change is on disk. Gives the key as it is now.
    pub fn change(&self, name: &str, change: &KeyChange) -> Result<StoredKey, KeyStoreError> {
        change.plans.as_deref().map_or(Ok(()), plans)?;
        self.write(name, |table| {
            let mut key = self.get(table, name)?;
            key.key.enabled = change.enabled.unwrap_or(key.key.enabled);
            if let Some(plans) = &change.plans {
                key.key.plans.clone_from(plans);
            }
            self.put(table, &key)?;
            Ok(key)
        })
    }

    /// Removes a key for good; when it returns `Ok` it is gone from the disk's table.
    pub fn delete(&self, name: &str) -> Result<(), KeyStoreError> {
        self.write(name, |table| {
            let removed = table.remove(name).map_err(|e| self.failed(e.into()))?;
            removed.map(drop).ok_or_else(|| KeyStoreError::Unknown(name.to_owned()))
        })
    }

    /// A change of the key `name`, and the note that other nodes are to be told of it.
    fn write<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut redb::Table<'_, &str, &[u8]>) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let done = self.commit(|write| {
            let mut table = write.open_table(KEYS).map_err(|e| self.failed(e.into()))?;
            let done = work(&mut table)?;
            if self.told.is_some() {
                let mut dirty = write.open_table(DIRTY).map_err(|e| self.failed(e.into()))?;
                dirty.insert(name, rand::random::<u64>()).map_err(|e| self.failed(e.into()))?;
            }
            Ok(done)
        })?;
        if let Some(told) = &self.told {
            told.notify_one();
        }
        Ok(done)
    }

    /// One durable commit (redb's default durability is an fsync), or none at all.
    fn commit<T>(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let _turn = self.turn.lock();
        let db = self.open()?;
        let write = db.begin_write().map_err(|e| self.failed(e.into()))?;
        let done = work(&write)?;
        write.commit().map_err(|e| self.failed(e.into()))?;
        Ok(done)
    }

    fn open(&self) -> Result<Database, KeyStoreError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Database::builder().set_cache_size(PAGE_CACHE).create(&self.path) {
                Err(redb::DatabaseError::DatabaseAlreadyOpen) if Instant::now() < until => {
                    std::thread::park_timeout(RETRY);
                }
                opened => return opened.map_err(|e| self.failed(e.into())),
            }
        }
    }

    fn all(&self, table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Vec<StoredKey>, KeyStoreError> {
        let mut keys = Vec::new();
        for entry in table.iter().map_err(|e| self.failed(e.into()))? {
            let (name, record) = entry.map_err(|e| self.failed(e.into()))?;
            keys.push(self.decode(name.value(), record.value())?);
        }
        Ok(keys)
    }

    fn get(&self, table: &redb::Table<'_, &str, &[u8]>, name: &str) -> Result<StoredKey, KeyStoreError> {
        let record = table.get(name).map_err(|e| self.failed(e.into()))?;
        let record = record.ok_or_else(|| KeyStoreError::Unknown(name.to_owned()))?;
        self.decode(name, record.value())
    }

    fn put(&self, table: &mut redb::Table<'_, &str, &[u8]>, key: &StoredKey) -> Result<(), KeyStoreError> {
        let Key { name, enabled, plans } = &key.key;
        let record = Record { hash: key.hash, enabled: *enabled, plans: plans.clone(), created_ms: key.created_ms };
        let bytes = serde_json::to_vec(&record).map_err(|_| self.entry(name))?;
        table.insert(name.as_str(), bytes.as_slice()).map_err(|e| self.failed(e.into()))?;
        Ok(())
    }

    fn decode(&self, name: &str, record: &[u8]) -> Result<StoredKey, KeyStoreError> {
        let Record { hash, enabled, plans, created_ms } =
            serde_json::from_slice(record).map_err(|_| self.entry(name))?;
        Ok(StoredKey { key: Key { name: name.to_owned(), enabled, plans }, hash, created_ms })
    }

    fn entry(&self, name: &str) -> KeyStoreError {
        KeyStoreError::Entry { path: self.path.clone(), name: name.to_owned() }
    }

    fn failed(&self, error: redb::Error) -> KeyStoreError {
        KeyStoreError::Store { path: self.path.clone(), source: Arc::new(error) }
    }
}

fn plans(plans: &[String]) -> Result<(), KeyStoreError> {
    if plans.len() > PLANS_MAX { Err(KeyStoreError::Plans) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, hash: u8) -> StoredKey {
        let key = Key { name: name.into(), enabled: true, plans: vec!["gold".into()] };
        StoredKey { key, hash: [hash; 32], created_ms: 7 }
    }

    #[test]
    fn keys_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.redb");
        let store = KeyStore::new(&path, 10);
        assert_eq!(store.list().unwrap(), []);
        assert!(!path.exists());
        store.create(stored("bob", 2)).unwrap();
        store.create(stored("alice", 1)).unwrap();
        store.create(stored("carol", 3)).unwrap();
        store.delete("carol").unwrap();
        let change = KeyChange { enabled: Some(false), plans: Some(vec!["free".into()]) };
        let changed = store.change("bob", &change).unwrap();
        assert_eq!((changed.key.enabled, &changed.key.plans[..]), (false, &["free".to_owned()][..]));
        assert_eq!(store.change("bob", &KeyChange::default()).unwrap(), changed);
        // Another process, while this one lives.
        let again = KeyStore::new(&path, 10);
        assert_eq!(again.list().unwrap(), [stored("alice", 1), changed]);
    }

    #[test]
    fn what_cannot_be_done_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(&dir.path().join("keys.redb"), 2);
        store.create(stored("a", 1)).unwrap();
        let long = "x".repeat(NAME_MAX + 1);
        let many = StoredKey { key: Key { plans: vec!["p".into(); 11], ..stored("m", 9).key }, ..stored("m", 9) };
        let says = |result: Result<(), KeyStoreError>| result.unwrap_err().to_string();
        assert_eq!(says(store.create(stored("a", 2))), "there is a key \"a\" already");
        assert_eq!(says(store.create(stored("b", 1))), "another key, \"a\", has this value already");
        assert!(matches!(store.create(stored(&long, 3)), Err(KeyStoreError::Name)));
        assert!(matches!(store.create(stored("", 3)), Err(KeyStoreError::Name)));
        assert!(matches!(store.create(stored("a\nb", 3)), Err(KeyStoreError::Name)));
        assert!(matches!(store.create(many), Err(KeyStoreError::Plans)));
        store.create(stored("b", 2)).unwrap();
        assert!(matches!(store.create(stored("c", 3)), Err(KeyStoreError::Full(2))));
        assert!(matches!(store.delete("c"), Err(KeyStoreError::Unknown(_))));
        assert!(matches!(store.change("c", &KeyChange::default()), Err(KeyStoreError::Unknown(_))));
        assert_eq!(store.list().unwrap(), [stored("a", 1), stored("b", 2)]);
    }

    #[test]
    fn what_others_are_to_be_told_and_what_they_told() {
        let dir = tempfile::tempdir().unwrap();
        let [here, there] =
            ["here", "there"].map(|name| KeyStore::telling(&dir.path().join(name), 10, Arc::new(Notify::new())));
        let carry = |from: &KeyStore, to: &KeyStore| {
            let dirty = from.dirty(10).unwrap();
            let changes: Vec<_> = dirty.iter().map(|one| (one.name.clone(), one.record.clone())).collect();
            let changed = to.receive(&changes).unwrap().changed;
            (dirty, changed)
        };
        here.create(stored("a", 1)).unwrap();
        here.create(stored("b", 2)).unwrap();
        let (dirty, changed) = carry(&here, &there);
        assert!(changed && there.list().unwrap() == here.list().unwrap());
        // Told of once, and what was received is not told on.
        assert!(there.dirty(10).unwrap().is_empty());
        here.delete("b").unwrap();
        here.told(&dirty).unwrap();
        let (dirty, changed) = carry(&here, &there);
        assert_eq!((dirty.len(), dirty[0].record.is_none(), changed), (1, true, true));
        assert_eq!(there.list().unwrap(), [stored("a", 1)]);
        assert!(!carry(&here, &there).1, "the same again changes nothing");
        // What the others do not know yet comes after what they tell.
        there.create(stored("c", 3)).unwrap();
        assert!(!there.receive(&[("c".into(), None)]).unwrap().changed);
        assert!(there.receive(&[("d".into(), Some(b"{}".to_vec()))]).is_err());
        assert_eq!(there.list().unwrap(), [stored("a", 1), stored("c", 3)]);
    }

    #[test]
    fn threads_and_stores_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.redb");
        let stores = [KeyStore::new(&path, 100), KeyStore::new(&path, 100)];
        std::thread::scope(|scope| {
            for n in 0..8u8 {
                let store = &stores[usize::from(n % 2)];
                scope.spawn(move || store.create(stored(&n.to_string(), n)).unwrap());
            }
        });
        assert_eq!(stores[0].list().unwrap().len(), 8);
    }

    #[test]
    fn what_is_no_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.redb");
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        assert!(matches!(KeyStore::new(&path, 1).list(), Err(KeyStoreError::Store { .. })));
    }
}
