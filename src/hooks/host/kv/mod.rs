//! KV: the key-value stores of this PoP.
//!
//! In: the stores of the configuration, keys and values. Out: values from memory, and writes that are on disk before they count.
//! Never: half of an update, a read that waits for a disk, a store's file that is deleted.

pub mod api;
mod change;
mod error;
mod import;
mod shards;
mod store;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::HostError;
use crate::config::compiled::{KvBounds, KvStore};

pub use change::{Change, Entry};
pub use error::KvError;
pub use store::{Dirty, PAGE_MAX, Page, State};

use store::Store;

/// Characters of a store's name (CloudFront API, `KeyValueStoreName`).
const NAME_MAX: usize = 64;

/// Between two attempts to open a file that another process still holds.
const RETRY: Duration = Duration::from_millis(20);

/// The files of this PoP's stores. One per process: it outlives reloads, so that a store which several configurations name is
/// opened once.
#[derive(Debug)]
pub struct KvFiles {
    dir: PathBuf,
    files: Mutex<Files>,
    /// Woken after each write that other nodes are to be told of; `None` = there are no others.
    told: Option<Arc<Notify>>,
}

#[derive(Debug, Default)]
struct Files {
    /// Those of the last configuration, and those that a call in flight still uses.
    open: HashMap<String, Arc<Store>>,
    /// Whether files may be opened; another process holds them before this one took over.
    attached: bool,
    /// What waits for that.
    detached: Vec<(KvStore, Arc<Store>)>,
}

/// The stores of one configuration.
#[derive(Debug, Default, Clone)]
pub struct KvStores(BTreeMap<String, KvHandle>);

/// One store, with the bounds that this configuration gives it.
#[derive(Debug, Clone)]
pub struct KvHandle {
    name: Arc<str>,
    bounds: KvBounds,
    store: Arc<Store>,
}

// === impl KvFiles ===
impl KvFiles {
    /// Stores are kept in `dir`, which is made when the first is opened. Until [`KvFiles::attach`] they are empty and refuse writes.
    pub fn new(dir: PathBuf) -> Self {
        KvFiles { dir, files: Mutex::default(), told: None }
    }

    /// The same, with other nodes that are to be told of each write: `told` is woken then.
    pub fn telling(dir: PathBuf, told: Arc<Notify>) -> Self {
        KvFiles { told: Some(told), ..KvFiles::new(dir) }
    }

    /// Opens the files, at once or as soon as a process that hands over lets go of them, at most after `patience`. Blocks.
    ///
    /// # Errors
    /// The first store that cannot be opened or imported.
    pub fn attach(&self, patience: Duration) -> Result<(), KvError> {
        let until = Instant::now() + patience;
        let mut files = self.files.lock();
        files.attached = true;
        for (configured, store) in std::mem::take(&mut files.detached) {
            loop {
                match self.open(&configured, &store) {
                    Ok(()) => break,
                    Err(error) if Instant::now() >= until => return Err(error),
                    // Start-up, before any worker runs: this thread has nothing else to do.
                    Err(_) => std::thread::park_timeout(RETRY),
                }
            }
        }
        Ok(())
    }

    /// The stores that a configuration names; one that is open already is shared. A new store with an import file begins with
    /// its content. Blocks on the disk.
    ///
    /// # Errors
    /// The first store that cannot be opened or imported; stores of the running configuration are untouched then.
    pub fn stores(&self, configured: &[KvStore]) -> Result<KvStores, KvError> {
        let mut files = self.files.lock();
        let mut stores = BTreeMap::new();
        for one in configured {
            let store = self.store(&mut files, one)?;
            let handle = KvHandle { name: one.name.as_str().into(), bounds: one.bounds, store };
            stores.insert(one.name.clone(), handle);
        }
        files.open.retain(|name, store| stores.contains_key(name) || Arc::strong_count(store) > 1);
        Ok(KvStores(stores))
    }

    /// Lets go of every file, so that the process that takes over can have them. Reads go on, writes are refused.
    pub fn close(&self) {
        self.files.lock().open.values().for_each(|store| store.close());
    }

    fn store(&self, files: &mut Files, configured: &KvStore) -> Result<Arc<Store>, KvError> {
        if let Some(store) = files.open.get(&configured.name) {
            return Ok(store.clone());
        }
        // The name becomes a file's name.
        if !valid_name(&configured.name) {
            return Err(KvError::Name(configured.name.clone()));
        }
        let store = Arc::new(Store::new(self.told.clone()));
        if files.attached {
            self.open(configured, &store)?;
        } else {
            files.detached.push((configured.clone(), store.clone()));
        }
        files.open.insert(configured.name.clone(), store.clone());
        Ok(store)
    }

    fn open(&self, configured: &KvStore, store: &Store) -> Result<(), KvError> {
        crate::durable::private_dir(&self.dir)
            .map_err(|error| KvError::Directory { path: self.dir.clone(), reason: error.to_string() })?;
        store.open(&self.dir.join(format!("{}.redb", configured.name)))?;
        if let Some(file) = configured.import.as_ref().filter(|_| store.state().is_new()) {
            let (entries, mark) = import::read(configured, file)?;
            store.begin(&entries, mark, configured.bounds.store)?;
        }
        Ok(())
    }
}

// === impl KvStores ===
impl KvStores {
    pub fn get(&self, name: &str) -> Option<&KvHandle> {
        self.0.get(name)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &KvHandle> {
        self.0.values()
    }

    /// What is to be said of import files that say something else by now, and are not read again: one line each. Blocks on the disk.
    pub fn unread(&self, configured: &[KvStore]) -> Vec<String> {
        configured.iter().filter_map(|one| self.get(&one.name)?.unread(one)).collect()
    }
}

// === impl KvHandle ===
impl KvHandle {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From memory.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.store.get(key)
    }

    /// What is known of the store as a whole.
    pub fn state(&self) -> State {
        self.store.state()
    }

    /// The line of [`KvStores::unread`]. `None`: the store began with that file, or has what it says.
    fn unread(&self, configured: &KvStore) -> Option<String> {
        let state = self.state();
        let path = configured.import.as_ref()?;
        let (name, file) = (&configured.name, path.display());
        let entries = || {
            let text = import::text(configured, path)?;
            if state.began_with(import::mark(&text)) {
                Ok(Vec::new())
            } else {
                import::entries(configured, path, &text)
            }
        };
        let entries = match entries() {
            Ok(entries) => entries,
            Err(error) => return Some(format!("{error}; the store is in use, and stays as it is")),
        };
        let has = |change: &Change| match change {
            Change::Put(entry) => self.get(&entry.key).as_ref() == Some(&entry.value),
            Change::Delete(_) | Change::DeleteExisting(_) => false,
        };
        if entries.iter().all(has) {
            return None;
        }
        let then = if state.is_new() { "before the next start" } else { "again" };
        Some(format!(
            "kv store '{name}' is in use: {file} is not read {then}; `rimward kv import {name} {file}` sets its keys, and removes none"
        ))
    }

    /// At most `max` entries (and [`PAGE_MAX`]) in the order of their keys, those after `after`. Blocks on the disk.
    pub fn list(&self, after: Option<&str>, max: usize) -> Result<Page, KvError> {
        self.store.list(after, max)
    }

    /// Applies all changes or none, and returns the state after them. With `expected`, only when that is the store's version.
    /// Blocks until the changes are on disk.
    pub fn update(&self, changes: Vec<Change>, expected: Option<&str>) -> Result<State, KvError> {
        change::check(&changes, &self.bounds).map_err(|error| error.held_to(&self.bounds))?;
        self.store.update(&changes, expected, self.bounds.store)
    }

    /// What other nodes are to be told, at most `most` keys. Blocks on the disk.
    pub fn dirty(&self, most: usize) -> Result<Vec<Dirty>, KvError> {
        self.store.dirty(most)
    }

    /// Other nodes know of these. Blocks on the disk.
    pub fn told(&self, told: &[Dirty]) -> Result<(), KvError> {
        self.store.told(told)
    }

    /// Applies what other nodes did, but for keys of which they are still to be told from here: whether there were any. Blocks until it is
    /// on disk.
    pub fn receive(&self, changes: &[Change]) -> Result<bool, KvError> {
        self.store.receive(changes)
    }

    /// A function's own write: on disk when this returns.
    pub async fn write(&self, change: Change) -> Result<(), HostError> {
        let handle = self.clone();
        let Ok(_turn) = handle.store.waiting.clone().try_acquire_owned() else {
            return Err(KvError::Busy.into());
        };
        let written = tokio::task::spawn_blocking(move || handle.update(vec![change], None));
        match written.await {
            Ok(outcome) => outcome.map(|_| ()).map_err(HostError::from),
            Err(error) => Err(HostError::Failed(format!("the write was interrupted: {error}"))),
        }
    }
}

#[cfg(test)]
impl KvHandle {
    /// A store of which other nodes are to be told, in whatever `open` opens.
    pub(crate) fn telling(
        name: &str,
        open: impl Fn() -> Result<redb::Database, redb::DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, KvError> {
        let store = Store::new(Some(Arc::default()));
        store.load(std::path::Path::new(name), Box::new(open))?;
        Ok(KvHandle { name: name.into(), bounds: KvBounds::STRICT, store: Arc::new(store) })
    }
}

/// Whether a new store could begin with its import file, where it has one. Blocks on the disk.
///
/// # Errors
/// What [`KvFiles::stores`] says of the same file.
pub fn importable(configured: &KvStore) -> Result<(), KvError> {
    configured.import.as_ref().map_or(Ok(()), |file| import::read(configured, file).map(drop))
}

/// `[a-zA-Z0-9-_]{1,64}` (CloudFront API).
fn valid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
