//! Log: every topic that outlives the process, in one redb file.
//!
//! In: messages, now. Out: positions; messages after a position. Never: a message that counts before it is on disk.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::fleet::bus::{BusError, KNOWN_FOR, Keep, Message, Topic};

/// When it came (milliseconds since the epoch), id, subject, body.
type Kept = (u64, &'static str, &'static str, &'static [u8]);

/// By topic and position.
const MESSAGES: TableDefinition<'static, (u8, u64), Kept> = TableDefinition::new("messages");
/// The newest position of each topic, kept when the message itself is not.
const HEADS: TableDefinition<'static, u8, u64> = TableDefinition::new("heads");
/// Where the newest of a subject is.
const NEWEST: TableDefinition<'static, (u8, &str), u64> = TableDefinition::new("newest");
/// Ids that are known, by topic and position: when, and the id. Longer there than a message that a newer one replaced.
const IDS: TableDefinition<'static, (u8, u64), (u64, &str)> = TableDefinition::new("ids");

/// redb's page cache, in bytes.
const PAGE_CACHE: usize = 4 << 20;
/// Ids that are known at most: the oldest are forgotten first.
const IDS_MAX: usize = 200_000;
/// What one commit removes at most of what is no longer kept.
const STEP: usize = 1024;

/// The file. Every call blocks on the disk.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    keep: Keep,
    /// `None` after an error of the disk, until it is opened again, and once it is closed.
    db: RwLock<Option<Database>>,
    /// What the file says too. Writers hold it: one at a time.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    closed: bool,
    heads: HashMap<u8, u64>,
    ids: Ids,
}

/// Which ids came lately.
#[derive(Debug, Default)]
struct Ids {
    at: HashMap<(u8, String), u64>,
    /// Oldest first: when, topic, position, id.
    order: VecDeque<(u64, u8, u64, String)>,
}

// === impl Log ===
impl Log {
    pub fn open(path: &Path, keep: Keep) -> Result<Self, BusError> {
        let log = Log { path: path.to_owned(), keep, db: RwLock::default(), known: Mutex::default() };
        log.reopen(&mut log.known.lock())?;
        Ok(log)
    }

    /// Lets go of the file, once a write that runs is done.
    pub fn close(&self) {
        let mut known = self.known.lock();
        known.closed = true;
        *self.db.write() = None;
    }

    pub fn head(&self, topic: Topic) -> Option<u64> {
        self.known.lock().heads.get(&number(topic)).copied()
    }

    /// Writes messages in one durable commit; their positions. After an error all of them or none may be there.
    pub fn append<'m>(
        &self,
        messages: impl Iterator<Item = (Topic, &'m Message)>,
        now_ms: u64,
    ) -> Result<Vec<u64>, BusError> {
        let mut known = self.known.lock();
        if known.closed {
            return Err(super::handed_over());
        }
        if self.db.read().is_none() {
            self.reopen(&mut known)?;
        }
        let wrote = match &*self.db.read() {
            Some(db) => self.commit(db, &mut known, messages, now_ms),
            None => return Err(super::handed_over()),
        };
        wrote.map_err(|error| {
            // redb does nothing more after an error of the disk, and what is known may no longer be what is there.
            *self.db.write() = None;
            self.failed(error)
        })
    }

    fn commit<'m>(
        &self,
        db: &Database,
        known: &mut Known,
        messages: impl Iterator<Item = (Topic, &'m Message)>,
        now_ms: u64,
    ) -> Result<Vec<u64>, redb::Error> {
        let write = db.begin_write()?;
        let mut seqs = Vec::new();
        {
            let mut tables = Tables::open(&write)?;
            for (topic, message) in messages {
                let kind = number(topic);
                if let Some(seq) = known.ids.at.get(&(kind, message.id.clone())) {
                    seqs.push(*seq);
                    continue;
                }
                let head = known.heads.entry(kind).or_default();
                *head += 1;
                tables.put(topic, *head, message, now_ms)?;
                known.ids.note(now_ms, kind, *head, message.id.clone());
                seqs.push(*head);
            }
            let horizon = now_ms.saturating_sub(millis(KNOWN_FOR));
            for (kind, seq) in known.ids.forget(horizon) {
                tables.ids.remove((kind, seq))?;
            }
            let purges = now_ms.saturating_sub(millis(self.keep.purges));
            tables.expire(Topic::Purges, |_, at| at < purges)?;
            let revisions = known.heads.get(&number(Topic::Revisions)).copied().unwrap_or(0);
            let oldest = (revisions + 1).saturating_sub(self.keep.revisions as u64);
            tables.expire(Topic::Revisions, |seq, _| seq < oldest)?;
        }
        write.commit()?;
        Ok(seqs)
    }

    /// The first position that is kept and the newest.
    pub fn bounds(&self, topic: Topic) -> Result<(u64, u64), BusError> {
        let kind = number(topic);
        let db = self.reading()?;
        let read = || -> Result<(u64, u64), redb::Error> {
            let Some(db) = &*db else { return Ok((1, 0)) };
            let read = db.begin_read()?;
            let last = read.open_table(HEADS)?.get(kind)?.map_or(0, |head| head.value());
            let messages = read.open_table(MESSAGES)?;
            let first = messages.range((kind, 0)..=(kind, u64::MAX))?.next().transpose()?;
            Ok((first.map_or(last + 1, |(key, _)| key.value().1), last))
        };
        read().map_err(|e| self.failed(e))
    }

    /// Messages after a position: at most `most`, and no more once they have `bytes` bytes.
    pub fn after(&self, topic: Topic, after: u64, most: usize, bytes: usize) -> Result<Vec<(u64, Message)>, BusError> {
        let db = self.reading()?;
        let read = || -> Result<Vec<(u64, Message)>, redb::Error> {
            let (mut found, mut size) = (Vec::new(), 0);
            let Some(db) = &*db else { return Ok(found) };
            let messages = db.begin_read()?.open_table(MESSAGES)?;
            let kind = number(topic);
            for entry in messages.range((kind, after.saturating_add(1))..=(kind, u64::MAX))? {
                let (key, value) = entry?;
                let (_, id, subject, body) = value.value();
                size += body.len();
                let body = Bytes::copy_from_slice(body);
                found.push((key.value().1, Message { subject: subject.to_owned(), id: id.to_owned(), body }));
                if found.len() >= most || size >= bytes {
                    break;
                }
            }
            Ok(found)
        };
        read().map_err(|e| self.failed(e))
    }

    /// The file for a reader, who waits for no writer; opened again when a write failed.
    fn reading(&self) -> Result<RwLockReadGuard<'_, Option<Database>>, BusError> {
        let db = self.db.read();
        if db.is_some() {
            return Ok(db);
        }
        drop(db);
        let mut known = self.known.lock();
        if known.closed {
            return Err(super::handed_over());
        }
        if self.db.read().is_none() {
            self.reopen(&mut known)?;
        }
        Ok(self.db.read())
    }

    fn reopen(&self, known: &mut Known) -> Result<(), BusError> {
        let load = || -> Result<(Database, Known), redb::Error> {
            let db = Database::builder().set_cache_size(PAGE_CACHE).create(&self.path)?;
            let write = db.begin_write()?;
            let known = {
                let tables = Tables::open(&write)?;
                let mut heads = HashMap::new();
                for entry in tables.heads.iter()? {
                    let (kind, seq) = entry?;
                    heads.insert(kind.value(), seq.value());
                }
                let mut order = Vec::new();
                for entry in tables.ids.iter()? {
                    let (key, value) = entry?;
                    let ((kind, seq), (at, id)) = (key.value(), value.value());
                    order.push((at, kind, seq, id.to_owned()));
                }
                order.sort_unstable();
                let mut ids = Ids::default();
                order.into_iter().for_each(|(at, kind, seq, id)| ids.note(at, kind, seq, id));
                Known { closed: false, heads, ids }
            };
            // The tables must be there before the first read.
            write.commit()?;
            Ok((db, known))
        };
        let (db, fresh) = load().map_err(|e| self.failed(e))?;
        *self.db.write() = Some(db);
        *known = fresh;
        Ok(())
    }

    fn failed(&self, error: redb::Error) -> BusError {
        BusError::Disk { what: self.path.display().to_string(), why: error.to_string() }
    }
}

/// The tables while something is written.
struct Tables<'a> {
    messages: Table<'a, (u8, u64), Kept>,
    heads: Table<'a, u8, u64>,
    newest: Table<'a, (u8, &'static str), u64>,
    ids: Table<'a, (u8, u64), (u64, &'static str)>,
}

// === impl Tables ===
impl<'a> Tables<'a> {
    fn open(write: &'a WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Tables {
            messages: write.open_table(MESSAGES)?,
            heads: write.open_table(HEADS)?,
            newest: write.open_table(NEWEST)?,
            ids: write.open_table(IDS)?,
        })
    }

    fn put(&mut self, topic: Topic, seq: u64, message: &Message, now_ms: u64) -> Result<(), redb::Error> {
        let (kind, id, subject) = (number(topic), message.id.as_str(), message.subject.as_str());
        self.messages.insert((kind, seq), (now_ms, id, subject, message.body.as_ref()))?;
        self.heads.insert(kind, seq)?;
        self.ids.insert((kind, seq), (now_ms, id))?;
        if topic.newest() {
            let before = self.newest.insert((kind, subject), seq)?.map(|before| before.value());
            if let Some(before) = before {
                self.messages.remove((kind, before))?;
            }
        }
        Ok(())
    }

    /// Removes the oldest messages for as long as `gone` says so of position and time.
    fn expire(&mut self, topic: Topic, gone: impl Fn(u64, u64) -> bool) -> Result<(), redb::Error> {
        let kind = number(topic);
        let mut old = Vec::new();
        for entry in self.messages.range((kind, 0)..=(kind, u64::MAX))?.take(STEP) {
            let (key, value) = entry?;
            if !gone(key.value().1, value.value().0) {
                break;
            }
            old.push(key.value());
        }
        for key in old {
            self.messages.remove(key)?;
        }
        Ok(())
    }
}

// === impl Ids ===
impl Ids {
    fn note(&mut self, at: u64, kind: u8, seq: u64, id: String) {
        self.at.insert((kind, id.clone()), seq);
        self.order.push_back((at, kind, seq, id));
    }

    /// Forgets ids that came before `horizon`, and the oldest of too many; where they were.
    fn forget(&mut self, horizon: u64) -> Vec<(u8, u64)> {
        let mut forgotten = Vec::new();
        while self.order.len() > IDS_MAX || self.order.front().is_some_and(|(at, ..)| *at < horizon) {
            let Some((_, kind, seq, id)) = self.order.pop_front() else { break };
            self.at.remove(&(kind, id));
            forgotten.push((kind, seq));
        }
        forgotten
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As topics are written in the file: numbers that never change.
fn number(topic: Topic) -> u8 {
    match topic {
        Topic::Purges => 1,
        Topic::Revisions => 2,
        Topic::Data => 3,
        Topic::Usage => 4,
        Topic::Acks => 5,
        Topic::Rates => 6,
        Topic::Items => 7,
    }
}
