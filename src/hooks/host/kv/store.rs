//! Store: one key-value store, in memory and on disk.
//!
//! In: reads, updates. Out: values of the last version, updates that survive a crash. Never: a reader that waits for a writer.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{Notify, Semaphore};

use crate::durable::{Durable, Opener, opener};

use super::KvError;
use super::change::{Change, Entry};
use super::shards::Shards;

/// Entries of one page of a listing (CloudFront KeyValueStore API, `ListKeys`).
pub const PAGE_MAX: usize = 50;
/// Functions' writes that wait for one store at once; one more fails at once. Each holds a thread of the blocking pool.
pub(super) const WAITING_MAX: usize = 64;
/// redb's page cache of one store, in bytes: reads come from our own memory.
const PAGE_CACHE: usize = 1 << 20;

const ENTRIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("entries");
/// `created`, `updated` (milliseconds since the epoch) and `version`; `import` of a store that began with a file.
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

/// Keys that other nodes are to be told of, with the version that last wrote each.
const DIRTY: TableDefinition<'static, &str, u64> = TableDefinition::new("dirty");

/// What other nodes are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirty {
    pub key: String,
    /// The update that wrote it.
    pub version: u64,
    /// `None`: it was deleted.
    pub value: Option<Bytes>,
}

/// What is known of a store as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Entries.
    pub count: u64,
    /// Bytes of all keys and values.
    pub size: u64,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The same; that of `created_ms` when nothing was written yet.
    pub updated_ms: u64,
    /// Updates so far.
    version: u64,
    /// The mark of the file that it began with.
    imported: Option<u64>,
}

/// Some entries in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// There are more after the last of these.
    pub more: bool,
}

#[derive(Debug)]
pub struct Store {
    pub(super) live: ArcSwap<Shards>,
    /// Absent before this process has the file, and once it has let go of it.
    db: ArcSwapOption<Durable>,
    /// One update at a time.
    writing: Mutex<()>,
    /// Turns to write for functions.
    pub(super) waiting: Arc<Semaphore>,
    /// Woken after each update that other nodes are to be told of; `None` = there are no others.
    told: Option<Arc<Notify>>,
}

// === impl State ===
impl State {
    /// Names this version of this store: no other had or will have the same.
    pub fn etag(&self) -> String {
        format!("KV{:X}V{:X}", self.created_ms, self.version)
    }

    /// Nothing was ever written.
    pub fn is_new(&self) -> bool {
        self.version == 0
    }

    /// Whether it began with a file of this [`super::import::mark`].
    pub(super) fn began_with(&self, mark: u64) -> bool {
        self.imported == Some(mark)
    }
}

// === impl Store ===
impl Store {
    /// A store without its file: empty, and not to be written.
    pub fn new(told: Option<Arc<Notify>>) -> Self {
        Store {
            told,
            live: ArcSwap::from_pointee(Shards::new(State::default())),
            db: ArcSwapOption::empty(),
            writing: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// Opens or creates the file and reads all of it.
    pub fn open(&self, path: &Path) -> Result<(), KvError> {
        self.load(path, opener(path, PAGE_CACHE))
    }

    /// The same for whatever `open` opens; `path` names it.
    pub(super) fn load(&self, path: &Path, open: Opener) -> Result<(), KvError> {
        let failed = |error: redb::Error| KvError::Open { path: path.to_owned(), reason: error.to_string() };
        let db = Durable::load(path, open).map_err(|error| failed(error.into()))?;
        let shards = db.with(read).map_err(failed)?;
        self.live.store(Arc::new(shards));
        self.db.store(Some(Arc::new(db)));
        Ok(())
    }

    /// Lets go of the file. Reads go on from memory.
    pub fn close(&self) {
        let _turn = self.writing.lock();
        self.db.store(None);
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.live.load().get(key).cloned()
    }

    pub fn state(&self) -> State {
        self.live.load().state
    }

    pub fn list(&self, after: Option<&str>, max: usize) -> Result<Page, KvError> {
        let db = self.db.load_full().ok_or(KvError::HandedOver)?;
        Ok(db.with(|db| page(db, after.unwrap_or_default(), max.clamp(1, PAGE_MAX)))?)
    }

    /// Applies all of `changes` or none; `limit` is the store's size in bytes.
    pub fn update(&self, changes: &[Change], expected: Option<&str>, limit: u64) -> Result<State, KvError> {
        let state = self.change(changes, expected, limit, self.told.is_some())?;
        if let Some(told) = &self.told {
            told.notify_one();
        }
        Ok(state)
    }

    /// The same for what a new store begins with, on every node alike: nobody is told.
    pub fn begin(&self, changes: &[Change], mark: u64, limit: u64) -> Result<State, KvError> {
        let _turn = self.writing.lock();
        self.write(changes, None, limit, false, Some(mark))
    }

    /// Applies what other nodes did, but for keys of which they are still to be told from here: whether there were any. Then it is not
    /// known which of the two the bus has last.
    pub fn receive(&self, changes: &[Change]) -> Result<bool, KvError> {
        // No update in between: it would be overwritten by what came before it.
        let _turn = self.writing.lock();
        let db = self.db.load_full().ok_or(KvError::HandedOver)?;
        let own = db.with(|db| own(db, changes))?;
        let is_news = |change: &Change| {
            let known = self.get(change.key());
            let same = match change {
                Change::Put(entry) => known.as_ref() == Some(&entry.value),
                Change::Delete(_) | Change::DeleteExisting(_) => known.is_none(),
            };
            !same
        };
        let (passed, new): (Vec<Change>, Vec<Change>) =
            changes.iter().filter(|change| is_news(change)).cloned().partition(|change| own.contains(change.key()));
        // Not refused for its size: the node that took it has said that it fits.
        if !new.is_empty() {
            self.write(&new, None, u64::MAX, false, None)?;
        }
        Ok(!passed.is_empty())
    }

    /// At most `most` keys that other nodes are to be told of. Blocks on the disk.
    pub fn dirty(&self, most: usize) -> Result<Vec<Dirty>, KvError> {
        // Between a handover and the end of the process there is nothing to tell.
        let Some(db) = self.db.load_full() else { return Ok(Vec::new()) };
        Ok(db.with(|db| dirty(db, most))?)
    }

    /// Other nodes know of these, unless they were written again since. Blocks on the disk.
    pub fn told(&self, told: &[Dirty]) -> Result<(), KvError> {
        let Some(db) = self.db.load_full() else { return Ok(()) };
        let work = |db: &Database| -> Result<(), redb::Error> {
            let write = db.begin_write()?;
            {
                let mut table = write.open_table(DIRTY)?;
                for one in told {
                    let same = table.get(one.key.as_str())?.is_some_and(|version| version.value() == one.version);
                    if same {
                        table.remove(one.key.as_str())?;
                    }
                }
            }
            Ok(write.commit()?)
        };
        Ok(db.with(work)?)
    }

    fn change(&self, changes: &[Change], expected: Option<&str>, limit: u64, dirty: bool) -> Result<State, KvError> {
        let _turn = self.writing.lock();
        self.write(changes, expected, limit, dirty, None)
    }

    /// The same, for who has the turn; `imported` is the mark of the file that `changes` are.
    fn write(
        &self,
        changes: &[Change],
        expected: Option<&str>,
        limit: u64,
        dirty: bool,
        imported: Option<u64>,
    ) -> Result<State, KvError> {
        let db = self.db.load_full().ok_or(KvError::HandedOver)?;
        let before = self.live.load_full();
        if expected.is_some_and(|version| version != before.state.etag()) {
            return Err(KvError::Stale);
        }
        let mut next = before.with(changes)?;
        let size = next.state.size;
        // A store that is too large already, under a smaller bound than before, may shrink.
        if size > limit && size > before.state.size {
            return Err(KvError::Full { size, limit });
        }
        next.state.version += 1;
        next.state.imported = imported.or(before.state.imported);
        next.state.updated_ms = now_ms().max(before.state.updated_ms);
        db.with(|db| write(db, changes, &next.state, dirty))?;
        let state = next.state;
        self.live.store(Arc::new(next));
        Ok(state)
    }
}

fn read(db: &Database) -> Result<Shards, redb::Error> {
    // The tables, and the store's beginning, must exist before the first read.
    let begin = db.begin_write()?;
    {
        begin.open_table(ENTRIES)?;
        let mut meta = begin.open_table(META)?;
        if meta.get("created")?.is_none() {
            let now = now_ms();
            meta.insert("created", now)?;
            meta.insert("updated", now)?;
            meta.insert("version", 0)?;
        }
    }
    begin.commit()?;
    let read = db.begin_read()?;
    let meta = read.open_table(META)?;
    let number = |name| -> Result<u64, redb::Error> { Ok(meta.get(name)?.map_or(0, |value| value.value())) };
    let state = State {
        created_ms: number("created")?,
        updated_ms: number("updated")?,
        version: number("version")?,
        imported: meta.get("import")?.map(|mark| mark.value()),
        ..State::default()
    };
    let mut shards = Shards::new(state);
    for entry in read.open_table(ENTRIES)?.iter()? {
        let (key, value) = entry?;
        shards.load(key.value(), value.value());
    }
    Ok(shards)
}

/// One durable commit (redb's default durability is an fsync).
fn write(db: &Database, changes: &[Change], state: &State, dirty: bool) -> Result<(), redb::Error> {
    let write = db.begin_write()?;
    {
        let mut entries = write.open_table(ENTRIES)?;
        for change in changes {
            match change {
                Change::Put(entry) => entries.insert(entry.key.as_str(), entry.value.as_ref())?,
                Change::Delete(key) | Change::DeleteExisting(key) => entries.remove(key.as_str())?,
            };
        }
        if dirty {
            let mut table = write.open_table(DIRTY)?;
            for change in changes {
                table.insert(change.key(), state.version)?;
            }
        }
        let mut meta = write.open_table(META)?;
        meta.insert("updated", state.updated_ms)?;
        meta.insert("version", state.version)?;
        if let Some(mark) = state.imported {
            meta.insert("import", mark)?;
        }
    }
    Ok(write.commit()?)
}

/// Keys of `changes` of which other nodes are still to be told from here.
fn own(db: &Database, changes: &[Change]) -> Result<HashSet<String>, redb::Error> {
    let table = match db.begin_read()?.open_table(DIRTY) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(HashSet::new()),
        table => table?,
    };
    let mut own = HashSet::new();
    for change in changes {
        if table.get(change.key())?.is_some() {
            own.insert(change.key().to_owned());
        }
    }
    Ok(own)
}

fn dirty(db: &Database, most: usize) -> Result<Vec<Dirty>, redb::Error> {
    let read = db.begin_read()?;
    let table = match read.open_table(DIRTY) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let entries = read.open_table(ENTRIES)?;
    let mut all = Vec::new();
    for entry in table.iter()?.take(most) {
        let (key, version) = entry?;
        let value = entries.get(key.value())?.map(|value| Bytes::copy_from_slice(value.value()));
        all.push(Dirty { key: key.value().to_owned(), version: version.value(), value });
    }
    Ok(all)
}

fn page(db: &Database, after: &str, max: usize) -> Result<Page, redb::Error> {
    use std::ops::Bound::{Excluded, Unbounded};
    let read = db.begin_read()?;
    let mut page = Page::default();
    // No key is empty: after "" are all.
    for entry in read.open_table(ENTRIES)?.range::<&str>((Excluded(after), Unbounded))? {
        let (key, value) = entry?;
        if page.entries.len() == max {
            page.more = true;
            break;
        }
        let value = Bytes::copy_from_slice(value.value());
        page.entries.push(Entry { key: key.value().to_owned(), value });
    }
    Ok(page)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
