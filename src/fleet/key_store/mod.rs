//! Key store: API keys that were made while the PoP ran.
//!
//! In: keys to make, change, remove. Out: all of them again after a restart. Never: a value (only its SHA-256 is written), a
//! change that counts before it is on disk.
//!
//! The file is open only while it is read or written: during an upgrade two processes use it, and redb lets one in at a time.
//! Every call blocks on the disk: run it on `tokio::task::spawn_blocking`.

mod merge;
mod remembered;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::Notify;

use crate::access::keys::{self, Key};
use crate::durable::{Opener, is_damaged, opener};
pub use merge::Hash;
use merge::{Known, Record};
use remembered::Remembered;

/// By name: a [`Record`] as JSON.
const KEYS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("keys");

/// By name: the values that were deleted under it, as far as other nodes are told of them. One SHA-256 after the other, the newest last.
const GONE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("gone");

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
pub struct KeyStore {
    path: PathBuf,
    open: Opener,
    /// Keys that it may hold.
    most: usize,
    /// Threads of this process come one after the other.
    turn: Mutex<()>,
    /// Woken after each change that other nodes are to be told of; `None` = there are no others.
    told: Option<Arc<Notify>>,
    remembered: Mutex<Remembered>,
}

/// What other nodes are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyKey {
    pub name: String,
    /// Of the write.
    pub number: u64,
    /// The key as JSON; `None`: it was deleted.
    pub record: Option<Vec<u8>>,
    /// Values that were deleted under this name.
    pub gone: Vec<Hash>,
}

/// What another node says of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToldKey {
    pub name: String,
    /// The key as JSON; `None`: it was deleted.
    pub record: Option<Vec<u8>>,
    /// Values that were deleted under this name; none where a node of an earlier version deleted it.
    pub gone: Vec<Hash>,
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
    #[error("cannot use the key store {}: {source}{}", path.display(), remedy(source))]
    Store { path: PathBuf, source: Arc<redb::Error> },
    #[error("the key store {} holds what cannot be read under the name {name:?}", path.display())]
    Entry { path: PathBuf, name: String },
    #[error("there is a key {0:?} already")]
    Exists(String),
    #[error("another key, {0:?}, has this value already")]
    Value(String),
    #[error("a key {0:?} with this value was deleted, and stays so: choose another value or another name")]
    Gone(String),
    #[error("there is no key {0:?} that was made here")]
    Unknown(String),
    #[error("there are {0} keys already, as many as there may be")]
    Full(usize),
    #[error("a name has 1 to {NAME_MAX} bytes and no control characters")]
    Name,
    #[error("a key has at most {PLANS_MAX} plans")]
    Plans,
}

type Table<'t> = redb::Table<'t, &'static str, &'static [u8]>;

// === impl KeyStore ===
impl KeyStore {
    /// A store in the file `path`, which is made with the first key. It takes `most` keys (what is there already stays).
    pub fn new(path: &Path, most: usize) -> Self {
        KeyStore::load(opener(path, PAGE_CACHE), path, most, None)
    }

    /// The same for whatever `open` opens; it is there if `path` is.
    pub(super) fn load(open: Opener, path: &Path, most: usize, told: Option<Arc<Notify>>) -> Self {
        let (turn, remembered) = (Mutex::default(), Mutex::default());
        KeyStore { path: path.to_owned(), open, most, turn, told, remembered }
    }

    /// The same, with other nodes that are to be told of each change: `told` is woken then.
    pub fn telling(path: &Path, most: usize, told: Arc<Notify>) -> Self {
        KeyStore::load(opener(path, PAGE_CACHE), path, most, Some(told))
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
        let gone = match read.open_table(GONE) {
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            table => Some(table.map_err(|e| self.failed(e.into()))?),
        };
        let mut all = Vec::new();
        for entry in table.iter().map_err(|e| self.failed(e.into()))?.take(most) {
            let (name, number) = entry.map_err(|e| self.failed(e.into()))?;
            let record = keys.get(name.value()).map_err(|e| self.failed(e.into()))?;
            let record = record.map(|record| record.value().to_vec());
            let gone = match &gone {
                Some(gone) => self.gone(gone, name.value())?,
                None => Vec::new(),
            };
            all.push(DirtyKey { name: name.value().to_owned(), number: number.value(), record, gone });
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

    /// Applies what other nodes did. Of keys of which they are still to be told from here, only what revokes something counts.
    ///
    /// # Errors
    /// A record that cannot be read, or a disk that takes nothing: nothing is applied, but what was revoked is [`KeyStore::refuse`]d.
    pub fn receive(&self, told: &[ToldKey]) -> Result<ReceivedKeys, KeyStoreError> {
        let received = self.apply(told);
        match received {
            Ok(mut received) => {
                received.changed |= self.remembered.lock().written(told);
                Ok(received)
            }
            Err(error) => {
                self.refuse(told);
                Err(error)
            }
        }
    }

    /// What other nodes revoked counts here from now on, though it is not on disk: [`KeyStore::remembered`] and [`KeyStore::list`] say so.
    /// It ends with the process, or when it is received.
    pub fn refuse(&self, told: &[ToldKey]) {
        self.remembered.lock().refuse(told);
    }

    /// Every key as it was read last, by name, less what was revoked since: asks no disk.
    pub fn remembered(&self) -> Vec<StoredKey> {
        self.remembered.lock().list()
    }

    fn apply(&self, told: &[ToldKey]) -> Result<ReceivedKeys, KeyStoreError> {
        if !self.path.exists() && told.iter().all(|one| one.record.is_none() && one.gone.is_empty()) {
            return Ok(ReceivedKeys::default());
        }
        let (done, tells) = self.commit(|write| {
            let mut dirty = write.open_table(DIRTY).map_err(|e| self.failed(e.into()))?;
            let mut keys = write.open_table(KEYS).map_err(|e| self.failed(e.into()))?;
            let mut gone = write.open_table(GONE).map_err(|e| self.failed(e.into()))?;
            let (mut done, mut tells) = (ReceivedKeys::default(), false);
            for one in told {
                let name = one.name.as_str();
                let record = one.record.as_deref().map(|record| self.record(name, record)).transpose()?;
                let there = Known { record, gone: one.gone.clone() };
                let here = Known { record: self.find(&keys, name)?, gone: self.gone(&gone, name)? };
                let waits = dirty.get(name).map_err(|e| self.failed(e.into()))?.is_some();
                let (known, tell) = here.merge(&there, waits);
                done.passed |= waits && known.record != there.record;
                if known.record != here.record {
                    done.changed = true;
                    match &known.record {
                        Some(record) => self.put(&mut keys, name, record)?,
                        None => drop(keys.remove(name).map_err(|e| self.failed(e.into()))?),
                    }
                }
                if known.gone != here.gone {
                    gone.insert(name, known.gone.concat().as_slice()).map_err(|e| self.failed(e.into()))?;
                }
                if tell && self.told.is_some() {
                    dirty.insert(name, rand::random::<u64>()).map_err(|e| self.failed(e.into()))?;
                    tells = true;
                }
            }
            Ok((done, tells))
        })?;
        if tells && let Some(told) = &self.told {
            told.notify_one();
        }
        Ok(done)
    }

    /// Other nodes are to be told again of what the bus does not have: `there` are the names that it has.
    pub fn tell_again(&self, there: &BTreeSet<String>) -> Result<(), KeyStoreError> {
        let Some(told) = self.told.as_ref().filter(|_| self.path.exists()) else { return Ok(()) };
        let lacking = self.commit(|write| {
            let mut dirty = write.open_table(DIRTY).map_err(|e| self.failed(e.into()))?;
            let mut lacking = BTreeSet::new();
            for table in [KEYS, GONE] {
                let table = write.open_table(table).map_err(|e| self.failed(e.into()))?;
                for entry in table.iter().map_err(|e| self.failed(e.into()))? {
                    let name = entry.map_err(|e| self.failed(e.into()))?.0.value().to_owned();
                    if !there.contains(&name) {
                        lacking.insert(name);
                    }
                }
            }
            for name in &lacking {
                dirty.insert(name.as_str(), rand::random::<u64>()).map_err(|e| self.failed(e.into()))?;
            }
            Ok(!lacking.is_empty())
        })?;
        if lacking {
            told.notify_one();
        }
        Ok(())
    }

    /// Every key, by name; those that others revoked are not enabled.
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
        let records = self.all(&table)?;
        let mut remembered = self.remembered.lock();
        remembered.read(records);
        Ok(remembered.list())
    }

    /// Makes a key; when it returns `Ok` the key is on disk (fsync).
    pub fn create(&self, key: StoredKey) -> Result<(), KeyStoreError> {
        let name = &key.key.name;
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(KeyStoreError::Name);
        }
        plans(&key.key.plans)?;
        self.write(&key.key.name, |table, gone| {
            let known = self.all(table)?;
            if known.iter().any(|(other, _)| **other == **name) {
                return Err(KeyStoreError::Exists(name.to_string()));
            }
            if let Some((other, _)) = known.iter().find(|(_, other)| other.hash == key.hash) {
                return Err(KeyStoreError::Value(other.clone()));
            }
            if self.gone(gone, name)?.contains(&key.hash) {
                return Err(KeyStoreError::Gone(name.to_string()));
            }
            if known.len() >= self.most {
                return Err(KeyStoreError::Full(known.len()));
            }
            let Key { enabled, plans, .. } = key.key.clone();
            let record = Record { hash: key.hash, enabled, plans, created_ms: key.created_ms, switched: 0 };
            self.put(table, name, &record)
        })
    }

    /// Changes a key; when it returns `Ok` the change is on disk. Gives the key as it is now.
    pub fn change(&self, name: &str, change: &KeyChange) -> Result<StoredKey, KeyStoreError> {
        change.plans.as_deref().map_or(Ok(()), plans)?;
        self.write(name, |table, _| {
            let record = self.find(table, name)?;
            let mut record = record.ok_or_else(|| KeyStoreError::Unknown(name.to_owned()))?;
            if let Some(enabled) = change.enabled.filter(|enabled| *enabled != record.enabled) {
                record.enabled = enabled;
                record.switched += 1;
            }
            if let Some(plans) = &change.plans {
                record.plans.clone_from(plans);
            }
            self.put(table, name, &record)?;
            Ok(stored(name, record))
        })
    }

    /// Removes a key for good; when it returns `Ok` it is gone from the disk's table.
    pub fn delete(&self, name: &str) -> Result<(), KeyStoreError> {
        self.write(name, |table, gone| {
            let record = self.find(table, name)?;
            let record = record.ok_or_else(|| KeyStoreError::Unknown(name.to_owned()))?;
            table.remove(name).map_err(|e| self.failed(e.into()))?;
            if self.told.is_some() {
                let mut known = Known { record: None, gone: self.gone(gone, name)? };
                known.revoke(record.hash);
                gone.insert(name, known.gone.concat().as_slice()).map_err(|e| self.failed(e.into()))?;
            }
            Ok(())
        })
    }

    /// A change of the key `name`, and the note that other nodes are to be told of it.
    fn write<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Table<'_>, &mut Table<'_>) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let done = self.commit(|write| {
            let mut table = write.open_table(KEYS).map_err(|e| self.failed(e.into()))?;
            let mut gone = write.open_table(GONE).map_err(|e| self.failed(e.into()))?;
            let done = work(&mut table, &mut gone)?;
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
            match (self.open)() {
                Err(redb::DatabaseError::DatabaseAlreadyOpen) if Instant::now() < until => {
                    std::thread::park_timeout(RETRY);
                }
                opened => return opened.map_err(|e| self.failed(e.into())),
            }
        }
    }

    fn all(
        &self,
        table: &impl ReadableTable<&'static str, &'static [u8]>,
    ) -> Result<Vec<(String, Record)>, KeyStoreError> {
        let mut keys = Vec::new();
        for entry in table.iter().map_err(|e| self.failed(e.into()))? {
            let (name, record) = entry.map_err(|e| self.failed(e.into()))?;
            keys.push((name.value().to_owned(), self.record(name.value(), record.value())?));
        }
        Ok(keys)
    }

    /// The key of a name, as it is written.
    fn find(&self, table: &Table<'_>, name: &str) -> Result<Option<Record>, KeyStoreError> {
        let record = table.get(name).map_err(|e| self.failed(e.into()))?;
        record.map(|record| self.record(name, record.value())).transpose()
    }

    /// The values that were deleted under a name.
    fn gone(
        &self,
        table: &impl ReadableTable<&'static str, &'static [u8]>,
        name: &str,
    ) -> Result<Vec<Hash>, KeyStoreError> {
        let gone = table.get(name).map_err(|e| self.failed(e.into()))?;
        let hashes = |bytes: &[u8]| bytes.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
        Ok(gone.map(|bytes| hashes(bytes.value())).unwrap_or_default())
    }

    fn put(&self, table: &mut Table<'_>, name: &str, record: &Record) -> Result<(), KeyStoreError> {
        let bytes = serde_json::to_vec(record).map_err(|_| self.entry(name))?;
        table.insert(name, bytes.as_slice()).map_err(|e| self.failed(e.into()))?;
        Ok(())
    }

    fn record(&self, name: &str, record: &[u8]) -> Result<Record, KeyStoreError> {
        serde_json::from_slice(record).map_err(|_| self.entry(name))
    }

    fn entry(&self, name: &str) -> KeyStoreError {
        KeyStoreError::Entry { path: self.path.clone(), name: name.to_owned() }
    }

    fn failed(&self, error: redb::Error) -> KeyStoreError {
        KeyStoreError::Store { path: self.path.clone(), source: Arc::new(error) }
    }
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore").field("path", &self.path).field("most", &self.most).finish_non_exhaustive()
    }
}

/// What to do where trying again does not help.
fn remedy(error: &redb::Error) -> &'static str {
    match is_damaged(error) {
        true => {
            "; move the file away, and put a backup of it in its place or start without one: keys that were made while running, and what \
             was revoked since the backup, are lost but for what the fleet's bus, where there is one, tells again. Keys of the \
             configuration are not in this file"
        }
        false => "",
    }
}

fn stored(name: &str, record: Record) -> StoredKey {
    let Record { hash, enabled, plans, created_ms, .. } = record;
    StoredKey { key: Key { name: name.into(), enabled, plans, made: keys::made(&hash) }, hash, created_ms }
}

fn plans(plans: &[String]) -> Result<(), KeyStoreError> {
    if plans.len() > PLANS_MAX { Err(KeyStoreError::Plans) } else { Ok(()) }
}
