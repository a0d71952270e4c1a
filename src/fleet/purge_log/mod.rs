//! Purge log: every purge that counts here, on disk before it does, and what of the fleet's purges was seen and is still to be told.
//!
//! In: purges accepted here or come from other nodes. Out: all of them again after a restart, none twice. Never: which objects they
//! cover (the marks decide).
//!
//! A purge and what is to be done about it are one commit: accepted with its place among what other nodes are to be told, received
//! with the note that it was seen.
//!
//! Every call blocks on the disk: run it on `tokio::task::spawn_blocking`. The order for a new purge is `append`, then
//! [`MarksCell::apply`]: what viewers stopped getting must not come back after a crash. When [`PurgeLog::open`] fails, what
//! was purged is unknown: the caller must set the file aside, open a new log and append a purge of everything.

mod scope;

use super::{Applied, FleetError, Seq};
use crate::cache::object::Stamp;
use crate::cache::purge::{MarksCell, Purge};
use crate::durable::{Durable, Opener, opener};
use parking_lot::{Condvar, Mutex, MutexGuard};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
pub(super) use scope::{decode, encode};
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Stamp and encoded scope. Both are the key: purges made at once may share a stamp, and writing one twice is harmless.
const PURGES: TableDefinition<'static, (u64, &[u8]), ()> = TableDefinition::new("purges");

/// What other nodes are still to be told, by number: encoded purges.
const OUTBOX: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("outbox");

/// [`LINEAGE`], [`NUMBER`], [`SENT`], [`POSITION`].
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
/// This file's name among those of all nodes; the newest number given; the newest that others were told; the newest place of the bus
/// that was taken in.
const LINEAGE: &str = "lineage";
const NUMBER: &str = "number";
const SENT: &str = "sent";
const POSITION: &str = "position";

/// [`Applied`] as JSON.
const SEEN: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("seen");
const SEEN_KEY: &str = "seen";

/// Entries looked at or removed by compaction before it lets purges through again.
const STEP: usize = 4096;

/// redb's page cache for the log, in bytes: it is written far more than read.
const PAGE_CACHE: usize = 4 << 20;

/// Bytes of scopes in one message to the others, past which no further number is taken in. One number has at most as many again: what a
/// request to purge may have. As text both are well within what a bus takes.
const TELL_BYTES: usize = 256 << 10;

/// The durable log of one PoP.
#[derive(Debug)]
pub struct PurgeLog {
    db: Durable,
    queue: Mutex<Queue>,
    committed: Condvar,
    /// Newest stamp that is durable.
    last: AtomicU64,
    /// Entries on disk.
    len: AtomicU64,
    lineage: u64,
    /// Newest number that is durable.
    number: AtomicU64,
    /// The newest number that others were told since this process started, written down or not: a disk that is full must not have
    /// them told again and again.
    sent: AtomicU64,
    /// Wakes whoever tells other nodes.
    told: tokio::sync::Notify,
}

/// What a log holds when it is opened.
#[derive(Debug)]
pub struct Opened {
    pub log: PurgeLog,
    /// Oldest first.
    pub purges: Vec<Purge>,
    pub progress: Progress,
}

/// How far the bus was taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub position: Seq,
    pub seen: Applied,
}

/// What other nodes are to be told next: everything that was accepted under these numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub first: u64,
    pub last: u64,
    /// A number without a purge is one whose commit failed.
    pub purges: Vec<(u64, Purge)>,
}

/// Group commit: callers that come while a commit runs share the next one. It holds at most what the callers blocked in
/// [`PurgeLog::append`] brought.
#[derive(Debug, Default)]
struct Queue {
    gathering: Arc<Batch>,
    waiting: Vec<(Option<u64>, Purge)>,
    /// Newest number given.
    number: u64,
    /// Whether one of the callers is writing for all.
    writing: bool,
}

/// One commit, and how it went once it is over.
#[derive(Debug, Default)]
struct Batch(OnceLock<Result<(), FleetError>>);

// === impl PurgeLog ===
impl PurgeLog {
    /// Opens or creates the log.
    pub fn open(path: &Path) -> Result<Opened, FleetError> {
        // 0 is nobody's: see `Seen::asks`.
        PurgeLog::load(opener(path, PAGE_CACHE), path, rand::random_range(1..=u64::MAX))
    }

    /// The same for whatever `open` opens; `path` names it. `fresh`: the name of a log that has none yet.
    pub(super) fn load(open: Opener, path: &Path, fresh: u64) -> Result<Opened, FleetError> {
        let failed = |e: redb::Error| FleetError::Open { path: path.to_owned(), source: Arc::new(e) };
        let db = Durable::load(path, open).map_err(|e| failed(e.into()))?;
        // The tables must exist before the first read.
        let create = |db: &Database| -> Result<(u64, u64, Progress), redb::Error> {
            let write = db.begin_write()?;
            write.open_table(PURGES)?;
            write.open_table(OUTBOX)?;
            let kept = {
                let mut meta = write.open_table(META)?;
                let lineage = meta.get(LINEAGE)?.map(|value| value.value());
                let lineage = match lineage {
                    Some(lineage) => lineage,
                    None => {
                        meta.insert(LINEAGE, fresh)?;
                        fresh
                    }
                };
                let number = meta.get(NUMBER)?.map_or(0, |value| value.value());
                let position = Seq(meta.get(POSITION)?.map_or(0, |value| value.value()));
                let seen = write.open_table(SEEN)?.get(SEEN_KEY)?.map(|bytes| serde_json::from_slice(bytes.value()));
                match seen.transpose() {
                    Ok(seen) => (lineage, number, Progress { position, seen: seen.unwrap_or_default() }),
                    // Not known what was seen: everything that the bus still has is taken in again.
                    Err(_) => (lineage, number, Progress::default()),
                }
            };
            write.commit()?;
            Ok(kept)
        };
        let (lineage, number, progress) = db.with(create).map_err(failed)?;
        let mut purges = Vec::new();
        let log = PurgeLog {
            db,
            queue: Mutex::new(Queue { number, ..Queue::default() }),
            committed: Condvar::new(),
            last: AtomicU64::new(0),
            len: AtomicU64::new(0),
            lineage,
            number: AtomicU64::new(number),
            sent: AtomicU64::new(0),
            told: tokio::sync::Notify::new(),
        };
        log.each(|purge| purges.push(purge))?;
        log.len.store(purges.len() as u64, Ordering::Relaxed);
        log.last.store(purges.last().map_or(0, |purge| purge.at.0), Ordering::Relaxed);
        Ok(Opened { log, purges, progress })
    }

    /// This log's name among those of all nodes.
    pub fn lineage(&self) -> u64 {
        self.lineage
    }

    /// The newest number of this node's that is durable.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// The newest stamp in the log: new stamps must come after it (`Stamps::after`).
    pub fn last(&self) -> Stamp {
        Stamp(self.last.load(Ordering::Acquire))
    }

    /// Whether the log holds more than twice what `scopes` distinct scopes need: time to [`PurgeLog::compact`].
    pub fn overgrown(&self, scopes: usize) -> bool {
        // Each scope has a hard and a soft mark at most, "all" as well.
        self.len.load(Ordering::Relaxed) > 2 * (scopes as u64 + 1)
    }

    /// Writes purges that concern this node alone; when it returns `Ok` they are on disk (fsync). Callers that overlap share one commit.
    pub fn append(&self, purges: &[Purge]) -> Result<(), FleetError> {
        let mut queue = self.queue.lock();
        queue.waiting.extend(purges.iter().map(|purge| (None, purge.clone())));
        self.committed(queue)
    }

    /// The same for purges that other nodes are to be told of: those that `purges` makes once it knows their number, which is used up also
    /// when this fails.
    pub fn accept(&self, purges: impl FnOnce(u64) -> Vec<Purge>) -> (u64, Result<(), FleetError>) {
        let mut queue = self.queue.lock();
        queue.number += 1;
        let number = queue.number;
        queue.waiting.extend(purges(number).into_iter().map(|purge| (Some(number), purge)));
        let outcome = self.committed(queue);
        if outcome.is_ok() {
            self.told.notify_one();
        }
        (number, outcome)
    }

    /// Writes purges of other nodes together with how far the bus was taken in.
    pub fn receive(&self, purges: &[Purge], progress: &Progress) -> Result<(), FleetError> {
        let purges: Vec<_> = purges.iter().map(|purge| (None, purge.clone())).collect();
        self.write(&purges, Some(progress)).map_err(|e| FleetError::Write(Arc::new(e)))
    }

    fn committed<'q>(&'q self, mut queue: MutexGuard<'q, Queue>) -> Result<(), FleetError> {
        let mine = queue.gathering.clone();
        loop {
            if let Some(outcome) = mine.0.get() {
                return outcome.clone();
            }
            if queue.writing {
                self.committed.wait(&mut queue);
                continue;
            }
            // Nobody writes, so the batch being gathered is still mine: write it for everyone in it.
            queue.writing = true;
            let (batch, purges) = (mem::take(&mut queue.gathering), mem::take(&mut queue.waiting));
            drop(queue);
            let outcome = self.write(&purges, None).map_err(|e| FleetError::Write(Arc::new(e)));
            queue = self.queue.lock();
            queue.writing = false;
            // Set once: only the caller that took the batch does.
            let _ = batch.0.set(outcome);
            self.committed.notify_all();
        }
    }

    /// Resolves when something may have been accepted since it resolved last.
    pub async fn accepted(&self) {
        self.told.notified().await;
    }

    /// What was accepted and not yet told: about `most` purges, and what one message has room for; `None` when there is nothing.
    pub fn outgoing(&self, most: usize) -> Result<Option<Outgoing>, FleetError> {
        let failed = |e: redb::Error| FleetError::Read(Arc::new(e));
        let told = self.sent.load(Ordering::Acquire);
        let read = |db: &Database| -> Result<Option<Outgoing>, redb::Error> {
            let read = db.begin_read()?;
            let meta = read.open_table(META)?;
            let first = meta.get(SENT)?.map_or(0, |value| value.value()).max(told) + 1;
            let newest = meta.get(NUMBER)?.map_or(0, |value| value.value());
            if newest < first {
                return Ok(None);
            }
            let mut purges = Vec::new();
            let (mut last, mut size) = (newest, 0);
            for entry in read.open_table(OUTBOX)?.range((first, 0)..)? {
                let (key, bytes) = entry?;
                let (number, _) = key.value();
                // All of one number or none of it.
                let full = purges.len() >= most || size >= TELL_BYTES;
                if full && purges.last().is_some_and(|(before, _)| *before != number) {
                    last = number - 1;
                    break;
                }
                size += bytes.value().len();
                if let Some(purge) = decode(Stamp(0), bytes.value()) {
                    purges.push((number, purge));
                }
            }
            Ok(Some(Outgoing { first, last, purges }))
        };
        self.db.with(read).map_err(failed)
    }

    /// Forgets what others were told, up to a number. They are not told again by this process, also when this fails.
    pub fn sent(&self, up_to: u64) -> Result<(), FleetError> {
        self.sent.fetch_max(up_to, Ordering::AcqRel);
        let failed = |e: redb::Error| FleetError::Write(Arc::new(e));
        let write = |db: &Database| -> Result<(), redb::Error> {
            let write = db.begin_write()?;
            write.open_table(META)?.insert(SENT, up_to)?;
            write.open_table(OUTBOX)?.retain_in(..=(up_to, u64::MAX), |_, _| false)?;
            Ok(write.commit()?)
        };
        self.db.with(write).map_err(failed)
    }

    /// Forgets entries that newer ones made needless; returns how many. All purges in `marks` must be in the log already
    /// (`append` before `apply`). Purges go on meanwhile, and a crash at any point keeps every verdict.
    pub fn compact(&self, marks: &MarksCell) -> Result<usize, FleetError> {
        let mut needless = Vec::new();
        let mut step = Vec::with_capacity(STEP);
        let mut judge = |step: &mut Vec<Purge>| {
            marks.read(|marks| step.retain(|purge| marks.supersedes(purge)));
            needless.append(step);
        };
        self.each(|purge| {
            step.push(purge);
            if step.len() == STEP {
                judge(&mut step);
            }
        })?;
        judge(&mut step);
        // Scopes folded into "all" left no entry of their own for it: written before theirs go.
        let all: Vec<Purge> = marks.read(|marks| marks.all().collect());
        let failed = |e: redb::Error| FleetError::Write(Arc::new(e));
        let all: Vec<_> = all.into_iter().map(|purge| (None, purge)).collect();
        self.write(&all, None).map_err(failed)?;
        for purges in needless.chunks(STEP) {
            self.forget(purges).map_err(failed)?;
        }
        Ok(needless.len())
    }

    /// One durable commit (redb's default durability is an fsync).
    fn write(&self, purges: &[(Option<u64>, Purge)], progress: Option<&Progress>) -> Result<(), redb::Error> {
        let numbered = purges.iter().filter_map(|(number, _)| *number).max();
        let len = self.db.with(|db| {
            let write = db.begin_write()?;
            let len = insert(&write, purges, numbered, progress)?;
            write.commit()?;
            Ok(len)
        })?;
        self.len.store(len, Ordering::Relaxed);
        let newest = purges.iter().map(|(_, purge)| purge.at.0).max().unwrap_or(0);
        self.last.fetch_max(newest, Ordering::AcqRel);
        self.number.fetch_max(numbered.unwrap_or(0), Ordering::AcqRel);
        Ok(())
    }

    fn forget(&self, purges: &[Purge]) -> Result<(), redb::Error> {
        let len = self.db.with(|db| {
            let write = db.begin_write()?;
            let len = {
                let mut table = write.open_table(PURGES)?;
                for purge in purges {
                    table.remove((purge.at.0, encode(purge).as_slice()))?;
                }
                table.len()?
            };
            write.commit()?;
            Ok(len)
        })?;
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    /// Every entry as of now, oldest first.
    fn each(&self, mut visit: impl FnMut(Purge)) -> Result<(), FleetError> {
        let mut unread = None;
        let read = |db: &Database| -> Result<(), redb::Error> {
            for entry in db.begin_read()?.open_table(PURGES)?.iter()? {
                let (key, _) = entry?;
                let (stamp, bytes) = key.value();
                match decode(Stamp(stamp), bytes) {
                    Some(purge) => visit(purge),
                    None => unread = unread.or(Some(stamp)),
                }
            }
            Ok(())
        };
        self.db.with(read).map_err(|e| FleetError::Read(Arc::new(e)))?;
        unread.map_or(Ok(()), |stamp| Err(FleetError::Entry { stamp }))
    }
}

/// Puts purges, and how far the bus was taken in, into the tables; how many purges there are then.
fn insert(
    write: &WriteTransaction,
    purges: &[(Option<u64>, Purge)],
    numbered: Option<u64>,
    progress: Option<&Progress>,
) -> Result<u64, redb::Error> {
    let mut table = write.open_table(PURGES)?;
    let mut outbox = write.open_table(OUTBOX)?;
    for (place, (number, purge)) in purges.iter().enumerate() {
        let bytes = encode(purge);
        table.insert((purge.at.0, bytes.as_slice()), ())?;
        if let Some(number) = number {
            outbox.insert((*number, place as u64), bytes.as_slice())?;
        }
    }
    let mut meta = write.open_table(META)?;
    if let Some(number) = numbered {
        meta.insert(NUMBER, number)?;
    }
    if let Some(Progress { position, seen }) = progress {
        meta.insert(POSITION, position.0)?;
        let json = serde_json::to_vec(seen).map_err(|error| redb::Error::Io(error.into()))?;
        write.open_table(SEEN)?.insert(SEEN_KEY, json.as_slice())?;
    }
    Ok(table.len()?)
}

#[cfg(test)]
mod tests;
