//! Disk: which answers survive a restart, and where they lie.
//!
//! In: complete objects, large bodies as they come. Out: the same answers, each block checked against its checksum; a damaged
//! one is a miss. Never: a wait of a worker thread for the disk, an error because of what an earlier process left behind.
//!
//! Layout: segments are files of records, written once from start to end and dropped whole, oldest first. A sealed segment
//! ends with a table of its records; only a segment that was being written when the process ended is scanned. Nothing is
//! synced: what a power failure tears is recognised by its checksum.

mod blocks;
pub mod codec;
mod index;
mod journal;
mod queue;
mod recover;
pub mod segment;
pub(super) mod seldom;
mod spool;
mod turn;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use std::fs::File;
use std::sync::Arc;

use super::StoreError;
use super::memory::Memory;
use super::stats::Counters;
use crate::cache::object::{Body, KeyHash, Meta, Object, Stamp};
use crate::config::compiled;
use index::Index;
pub use index::Place;
use journal::Journal;
use queue::Queue;
pub use spool::{Spool, SpoolWriter};
pub use turn::Turn;

/// One object may take this share of the disk tier.
const OBJECT_SHARE: u64 = 8;
/// Bytes of a larger body read at once; what one viewer of a large object costs in memory.
const READ: u64 = 256 << 10;

/// The disk tier.
#[derive(Debug)]
pub struct Disk {
    index: Arc<Index>,
    journal: Arc<Journal>,
    queue: Queue,
    counters: Arc<Counters>,
    max_object: u64,
    /// Locked as long as this process uses the directory.
    _lock: File,
}

/// One complete answer on disk.
#[derive(Debug)]
pub struct Record {
    pub hash: KeyHash,
    pub key: Box<[u8]>,
    pub meta: Meta,
    pub head: Box<[u8]>,
    pub body_len: u64,
    place: Place,
    /// Open as long as this record is: its segment may be dropped meanwhile.
    body: Arc<File>,
}

// === impl Disk ===
impl Disk {
    /// Opens the tier in `config.path`, which `lock` keeps for this process. What it holds is found by a thread in the
    /// background.
    fn open(config: &compiled::Disk, lock: File, memory: Memory, counters: Arc<Counters>) -> Result<Disk, StoreError> {
        let index = Arc::new(Index::default());
        let (journal, found) = Journal::open(config, index.clone(), memory, counters.clone())
            .map_err(|source| StoreError::Path { path: config.path.clone(), source })?;
        let journal = Arc::new(journal);
        recover::spawn(found, journal.clone(), index.clone())?;
        let queue = Queue::spawn(journal.clone(), index.clone(), counters.clone())?;
        Ok(Disk { index, journal, queue, counters, max_object: config.size / OBJECT_SHARE, _lock: lock })
    }

    /// The largest body, in bytes, that is kept here.
    pub fn max_object(&self) -> u64 {
        self.max_object
    }

    /// Length of the body stored for the slot; no I/O.
    pub fn body_len(&self, hash: &KeyHash) -> Option<u64> {
        self.index.get(hash).map(|place| place.body_len)
    }

    /// The record in slot `hash` whose key is `key`, and the first piece of its body, checked. A damaged record is dropped and
    /// is `None`. With a body of at most `whole` bytes the piece is all of it.
    pub async fn load(&'static self, hash: KeyHash, key: &[u8], whole: u64) -> Option<(Record, Bytes)> {
        let place = self.index.hit(&hash)?;
        let loaded = tokio::task::spawn_blocking(move || self.read_record(hash, place, whole)).await.ok()?;
        match loaded {
            Ok((record, piece)) => (*record.key == *key).then_some((record, piece)),
            Err(_) => {
                self.damaged(&hash, place);
                None
            }
        }
    }

    /// A piece of the record's body from `from` on: up to `end`, at most 256 KiB. Blocks.
    pub fn read(&self, record: &Record, from: u64, end: u64) -> Result<Bytes, StoreError> {
        let end = end.min(record.body_len).min(from.saturating_add(READ));
        let read = blocks::read(&record.body, record.place.body_at, record.body_len, from, end);
        read.inspect_err(|_| self.damaged(&record.hash, record.place))
    }

    /// Hands an object to the writer thread; it is found here once it is written.
    pub fn store(&self, object: Arc<Object>) {
        if object.body.len() <= self.max_object {
            self.queue.put(object);
        } else {
            self.remove(&object.hash);
        }
    }

    /// Hands the writer thread a new meta and head for the answer fetched at `confirmed`, if the slot holds that one then.
    pub fn refresh(&self, hash: &KeyHash, key: &[u8], confirmed: Stamp, meta: &Meta, head: &[u8]) {
        self.queue.refresh(*hash, confirmed, codec::encode(key, meta, head));
    }

    /// Forgets what the slot holds, now and after a restart. Whether there was anything.
    pub fn remove(&self, hash: &KeyHash) -> bool {
        self.queue.remove(*hash)
    }

    /// Whether the slot still holds the record at `place`.
    pub fn still_holds(&self, hash: &KeyHash, place: Place) -> bool {
        self.index.get(hash) == Some(place)
    }

    /// Begins a file for a body that memory cannot hold. `None` when all such files together have their share of the disk,
    /// or the disk fails.
    pub async fn spool(&'static self) -> Option<SpoolWriter> {
        let begun = tokio::task::spawn_blocking(|| self.journal.spool()).await.ok()?;
        begun.inspect_err(|_| self.counters.disk_errors.add(1)).ok()?
    }

    /// Makes a whole spooled body an object of this tier, unless `newer` says once it is whole that there is a newer one.
    pub async fn adopt(
        &'static self,
        spool: SpoolWriter,
        hash: KeyHash,
        (key, meta, head): (&[u8], &Meta, &[u8]),
        newer: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let (described, stamp) = (codec::encode(key, meta, head), meta.fetch_start);
        let finished = spool.finish().await?;
        if newer() {
            return Ok(());
        }
        self.queue.void(hash);
        let adopt = move || match self.journal.is_newer(&hash, stamp) {
            true => Ok(()),
            false => self.journal.adopt(finished, hash, &described),
        };
        let adopted = tokio::task::spawn_blocking(adopt).await;
        adopted.map_err(|_| StoreError::FillFailed)?.inspect_err(|_| self.counters.disk_errors.add(1))
    }

    /// Whether the slot holds an answer that was asked for after `stamp`.
    pub async fn is_newer(&'static self, hash: KeyHash, stamp: Stamp) -> bool {
        if self.index.get(&hash).is_none() {
            return false;
        }
        tokio::task::spawn_blocking(move || self.journal.is_newer(&hash, stamp)).await.unwrap_or(false)
    }

    /// Bytes on disk and objects found there.
    pub fn size(&self) -> (u64, u64) {
        (self.journal.bytes(), self.index.len())
    }

    fn read_record(&self, hash: KeyHash, place: Place, whole: u64) -> Result<(Record, Bytes), StoreError> {
        let file = self.journal.file(place.head_seg).ok_or(StoreError::Damaged)?;
        let (key, meta, head) = segment::read_described(&file, &hash, place)?;
        let body = self.journal.file(place.body_seg).ok_or(StoreError::Damaged)?;
        let record = Record { hash, key, meta, head, body_len: place.body_len, place, body };
        let piece = if place.body_len <= whole { place.body_len } else { place.body_len.min(READ) };
        let piece = blocks::read(&record.body, place.body_at, place.body_len, 0, piece)?;
        Ok((record, piece))
    }

    fn damaged(&self, hash: &KeyHash, place: Place) {
        // A segment that was dropped between index and read is no damage, and its entries are gone already.
        if self.still_holds(hash, place) {
            self.counters.disk_errors.add(1);
            self.queue.remove(*hash);
        }
    }

    #[cfg(test)]
    pub fn settle(&self) {
        while !self.index.is_recovered() {
            std::thread::yield_now();
        }
        self.queue.settle();
    }

    /// As if the process had ended.
    #[cfg(test)]
    pub fn unlock(&self) {
        self._lock.unlock().unwrap();
    }
}

// === impl Record ===
impl Record {
    pub fn place(&self) -> Place {
        self.place
    }

    /// This record as an object, `body` being all of its body.
    pub fn into_object(self, body: Bytes) -> Object {
        Object {
            hash: self.hash,
            key: self.key,
            meta: self.meta,
            head: self.head,
            body: Body::One(body),
            checked: Default::default(),
            live: true.into(),
        }
    }
}
