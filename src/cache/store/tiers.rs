//! Tiers: what becomes of a finished answer, and where one is found.
//!
//! In: fills that ended, slots that are asked for. Out: objects, from the nearest tier that has them. Never: Pingora's state
//! machine (`storage`), a decision about freshness.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::disk::{self, Disk, Record, SpoolWriter, Turn};
use super::fill::Fill;
use super::inflight::Fills;
use super::memory::Memory;
use super::stats::{Counters, Stats};
use super::{StoreError, head};
use crate::cache::invalidated::Invalidated;
use crate::cache::object::{Body, KeyHash, Meta, Object, Stamp};
use crate::config::compiled;

/// One object may take this share of the memory tier.
const OBJECT_SHARE: u64 = 8;
/// All fills together may hold this share of the memory tier's size, besides what the tier itself holds.
const FILL_SHARE: u64 = 4;

/// All tiers of one process. Opened once; Pingora wants it `'static`.
#[derive(Debug)]
pub struct Tiers {
    pub(super) memory: Memory,
    pub(super) fills: Fills,
    disk: Option<Turn>,
    invalidated: Arc<Invalidated>,
    counters: Arc<Counters>,
    /// Bytes of the largest body that memory keeps.
    max_in_memory: u64,
    /// Bytes all fills may hold in memory.
    max_filling: u64,
}

// === impl Tiers ===
impl Tiers {
    /// Opens the tiers and keeps them for the life of the process. What is on disk is found in the background: until then
    /// it is a miss. Errors when the disk tier's directory cannot be used.
    pub fn open(config: &compiled::Store) -> Result<&'static Tiers, StoreError> {
        let counters = Arc::new(Counters::default());
        let memory = Memory::new(config.memory, counters.clone());
        let invalidated = Arc::new(Invalidated::default());
        let turn = |disk| Turn::take(disk, memory.clone(), counters.clone(), invalidated.clone());
        let disk = config.disk.as_ref().map(turn).transpose()?;
        Ok(Box::leak(Box::new(Tiers {
            memory,
            fills: Fills::new(counters.clone()),
            disk,
            invalidated,
            counters,
            max_in_memory: config.memory / OBJECT_SHARE,
            max_filling: config.memory / FILL_SHARE,
        })))
    }

    /// URLs whose objects an unsafe request made invalid (RFC 9111 §4.4); remembered for as long as objects are kept.
    pub fn invalidated(&self) -> &Invalidated {
        &self.invalidated
    }

    /// The complete object in slot `hash` whose key is `key`, when memory has it. For the fast lane: sync, about 0.1 µs for
    /// what this thread serves often.
    pub fn peek(&'static self, hash: &KeyHash, key: &[u8]) -> Option<Arc<Object>> {
        self.memory.get(hash, key)
    }

    /// What is known of the complete object in slot `hash` whose key is `key`, in whichever tier it is. A record on disk is read for it,
    /// and moves up when it is small.
    pub async fn meta(&'static self, hash: KeyHash, key: &[u8]) -> Option<Meta> {
        if let Some(object) = self.peek(&hash, key) {
            return Some(object.meta.clone());
        }
        Some(match self.load(hash, key).await?.1 {
            Loaded::Object(object) => object.meta.clone(),
            Loaded::Record(record, _) => record.meta.clone(),
        })
    }

    /// The largest body, in bytes, that any tier keeps: a larger `Content-Length` need not be admitted.
    pub fn max_object(&self) -> u64 {
        self.max_in_memory.max(self.disk().map_or(0, Disk::max_object))
    }

    /// Drops what the slot holds in every tier; an answer that is just coming in for it is not stored. Whether there was
    /// anything.
    pub fn remove(&self, hash: &KeyHash) -> bool {
        let filling = self.fills.disown(hash);
        // The disk before memory: a record that is just being moved up sees it gone (see `promote`).
        let on_disk = self.disk_to_change(hash).is_some_and(|disk| disk.remove(hash));
        self.memory.remove(hash) | on_disk | filling
    }

    /// The tiers in numbers.
    pub fn stats(&self) -> Stats {
        let (memory_bytes, memory_objects) = self.memory.size();
        let (disk_bytes, disk_objects) = self.disk().map_or((0, 0), Disk::size);
        Stats {
            memory_bytes,
            memory_objects,
            disk_bytes,
            disk_objects,
            evictions: self.counters.evictions.get(),
            disk_evictions: self.counters.disk_evictions.get(),
            fills_in_flight: self.counters.fills_in_flight.get(),
            fill_bytes: self.counters.fill_bytes.get(),
            fills_failed: self.counters.fills_failed.get(),
            fills_unstored: self.counters.fills_unstored.get(),
            disk_errors: self.counters.disk_errors.get(),
            disk_skipped: self.counters.disk_skipped.get(),
        }
    }

    /// The disk tier, where there is one and this process uses it already.
    pub(super) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()?.disk()
    }

    fn disk_to_change(&self, hash: &KeyHash) -> Option<&Disk> {
        self.disk.as_ref()?.change(hash)
    }

    /// Whether memory may hold all of `fill`, as far as is known.
    pub(super) fn may_hold(&self, fill: &Fill) -> bool {
        fill.written().max(fill.length.unwrap_or(0)) <= self.max_in_memory
            && self.counters.fill_bytes.get() <= self.max_filling
    }

    /// Begins a spool for `fill`; `None` when there is no disk tier, or it has no room for this body.
    pub(super) async fn spool(&'static self, fill: &Fill) -> Option<SpoolWriter> {
        let disk = self.disk()?;
        let len = fill.length.unwrap_or_default().max(fill.written());
        if len > disk.max_object() { None } else { disk.spool().await }
    }

    /// Ends a fill whose body is whole: it becomes an object where it may.
    pub(super) async fn keep(&'static self, fill: &Arc<Fill>, spool: Option<SpoolWriter>) {
        if fill.wanted() && !self.has_newer(fill).await {
            match (spool, self.disk()) {
                (Some(spool), Some(disk)) => self.adopt(fill, disk, spool).await,
                _ if fill.in_memory() => self.insert(object(fill)),
                _ => {}
            }
        }
        // In this order: a look-up in between finds what was stored, or the fill, never neither.
        fill.complete();
        self.fills.remove(fill);
    }

    /// Whether a tier has an answer that was asked for after this one: the newer one, whichever ended first (RFC 9111 §4).
    async fn has_newer(&'static self, fill: &Fill) -> bool {
        let stamp = fill.meta.fetch_start;
        if self.memory.holds(&fill.hash) {
            return self.memory.is_newer(&fill.hash, stamp);
        }
        match self.disk() {
            Some(disk) => disk.is_newer(fill.hash, stamp).await,
            None => false,
        }
    }

    /// The slot's record on disk and its first bytes, or the object that it became in memory.
    pub(super) async fn load(&'static self, hash: KeyHash, key: &[u8]) -> Option<(&'static Disk, Loaded)> {
        let disk = self.disk()?;
        let (record, piece) = disk.load(hash, key, Body::ONE_BLOCK.min(self.max_in_memory)).await?;
        if (piece.len() as u64) < record.body_len {
            return Some((disk, Loaded::Record(Arc::new(record), piece)));
        }
        Some((disk, Loaded::Object(self.promote(disk, record, piece))))
    }

    async fn adopt(&self, fill: &Fill, disk: &'static Disk, spool: SpoolWriter) {
        let head = head_of(fill);
        let newer = || self.memory.is_newer(&fill.hash, fill.meta.fetch_start);
        match disk.adopt(spool, fill.hash, (&fill.key, &fill.meta, &head), newer).await {
            // What memory still has is older.
            Ok(()) if !self.memory.is_newer(&fill.hash, fill.meta.fetch_start) => _ = self.memory.remove(&fill.hash),
            Ok(()) => {}
            Err(error) => disk::seldom::warn(&format_args!("a large answer was not kept: {error}")),
        }
    }

    fn insert(&self, object: Object) {
        let object = Arc::new(object);
        self.memory.insert(object.clone());
        if let Some(disk) = self.disk_to_change(&object.hash) {
            disk.store(object);
        }
    }

    /// Moves a record up into memory, unless memory has something newer or the slot was emptied meanwhile.
    fn promote(&self, disk: &Disk, record: Record, body: Bytes) -> Arc<Object> {
        let place = record.place();
        let object = self.memory.insert_if_absent(Arc::new(record.into_object(body)));
        if !disk.still_holds(&object.hash, place) {
            self.memory.remove(&object.hash);
        }
        object
    }

    /// Gives the answer that a 304 confirmed new fields and a new meta, and keeps its body (RFC 9111 §4.3.4). Whether the slot still
    /// holds it: another answer may have taken its place since it was asked about, and keeps what it has.
    pub(super) fn refresh(
        &self,
        hash: &KeyHash,
        key: &[u8],
        confirmed: Stamp,
        meta: Meta,
        (fields, strip): (&HeaderMap, &[HeaderName]),
    ) -> bool {
        let old = self.memory.get(hash, key);
        if old.as_ref().is_some_and(|old| old.meta.fetch_start != confirmed) {
            return false;
        }
        let on_disk = || self.disk().and_then(|disk| disk.body_len(hash));
        let Some(len) = old.as_ref().map(|old| old.body.len()).or_else(on_disk) else { return false };
        let head = head::lines(meta.status, fields, strip, Some(len));
        if let Some(disk) = self.disk_to_change(hash) {
            disk.refresh(hash, key, confirmed, &meta, &head);
        }
        let Some(old) = old else { return true };
        let (key, body) = (old.key.clone(), old.body.clone());
        let (checked, live) = (AtomicU64::new(0), AtomicBool::new(true));
        self.memory.replace(&old, Arc::new(Object { hash: *hash, key, meta, head, body, checked, live }))
    }

    /// Ends a fill whose body is not whole.
    pub(super) fn abandon(&self, fill: &Arc<Fill>) {
        self.fills.remove(fill);
        fill.fail();
    }
}

/// What [`Tiers::load`] found.
pub(super) enum Loaded {
    Object(Arc<Object>),
    Record(Arc<Record>, Bytes),
}

/// A complete fill's head lines, which state its length.
fn head_of(fill: &Fill) -> Box<[u8]> {
    match fill.length {
        Some(_) => fill.head.clone(),
        None => head::with_length(fill.meta.status, &fill.head, fill.written()),
    }
}

/// The object that a complete fill in memory becomes.
fn object(fill: &Fill) -> Object {
    Object {
        hash: fill.hash,
        key: fill.key.clone(),
        meta: fill.meta.clone(),
        head: head_of(fill),
        body: Body::gather(fill.chunks().iter(), fill.written()),
        checked: AtomicU64::new(0),
        live: AtomicBool::new(true),
    }
}
