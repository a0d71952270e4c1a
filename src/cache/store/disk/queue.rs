//! Queue: what waits for the disk, and the one thread that writes it.
//!
//! In: objects, refreshed metas, removals, from any thread. Out: the same in the journal, in order. Never: a wait of the one
//! who hands something over; an object written after its slot was removed.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::codec;
use super::index::Index;
use super::journal::Journal;
use crate::cache::object::{KeyHash, Object, Stamp};
use crate::cache::store::StoreError;
use crate::cache::store::stats::Counters;

/// Objects and refreshes that may wait; what comes when it is full is not written, and counted.
const JOBS: usize = 1024;
/// Body bytes of the objects that wait (one larger object may wait alone): what the queue may keep in memory.
const BYTES: u64 = 64 << 20;

/// Slots whose removal is remembered while jobs wait. Past it every job that waits is void: they are written at their next
/// fill.
const REMOVED: usize = 64 << 10;

/// The way to the writer thread.
#[derive(Debug)]
pub struct Queue {
    jobs: SyncSender<Job>,
    waiting: Arc<Mutex<Waiting>>,
    index: Arc<Index>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Job {
    Put(u64, Arc<Object>),
    Refresh(u64, KeyHash, Stamp, Vec<u8>),
    /// There are removals.
    Wake,
    #[cfg(test)]
    Settle(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Waiting {
    /// Number of the last job handed over.
    last: u64,
    /// Jobs that are not done, and their body bytes.
    jobs: usize,
    bytes: u64,
    /// Slots removed while jobs waited, and the last job that removal is newer than.
    removed: HashMap<KeyHash, u64>,
    /// Jobs up to this number are void, whatever their slot.
    void_to: u64,
    /// Removals that are not written yet.
    unwritten: Vec<KeyHash>,
}

struct Writer {
    jobs: Receiver<Job>,
    waiting: Arc<Mutex<Waiting>>,
    journal: Arc<Journal>,
    index: Arc<Index>,
    counters: Arc<Counters>,
}

// === impl Queue ===
impl Queue {
    /// Starts the writer thread. It ends when the queue is dropped.
    pub fn spawn(journal: Arc<Journal>, index: Arc<Index>, counters: Arc<Counters>) -> Result<Queue, StoreError> {
        let (jobs, receiver) = sync_channel(JOBS);
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let queue = Queue { jobs, waiting: waiting.clone(), index: index.clone(), counters: counters.clone() };
        let writer = Writer { jobs: receiver, waiting, journal, index, counters };
        std::thread::Builder::new().name("cache-disk".into()).spawn(move || writer.run())?;
        Ok(queue)
    }

    /// Hands an object over. When the queue is full, what the disk holds for its slot is removed instead: it is older.
    pub fn put(&self, object: Arc<Object>) {
        let (hash, bytes) = (object.hash, object.body.len());
        let mut waiting = self.waiting.lock();
        let fits = waiting.bytes == 0 || waiting.bytes + bytes <= BYTES;
        if !fits || !self.hand_over(&mut waiting, bytes, |number| Job::Put(number, object)) {
            drop(waiting);
            self.counters.disk_skipped.add(1);
            self.remove(hash);
        }
    }

    /// Hands a new description over. When the queue is full the old one stays: it is stale, and will be asked about again.
    pub fn refresh(&self, hash: KeyHash, confirmed: Stamp, described: Vec<u8>) {
        let mut waiting = self.waiting.lock();
        if !self.hand_over(&mut waiting, 0, |number| Job::Refresh(number, hash, confirmed, described)) {
            self.counters.disk_skipped.add(1);
        }
    }

    /// Empties the slot, now and for the next start; jobs for it that still wait are void. Never refused. Whether it held
    /// anything.
    pub fn remove(&self, hash: KeyHash) -> bool {
        let mut waiting = self.waiting.lock();
        let held = self.index.remove(&hash);
        waiting.void(hash);
        if held || !self.index.is_recovered() {
            waiting.unwritten.push(hash);
            drop(waiting);
            // A full queue means that the thread is awake.
            let _ = self.jobs.try_send(Job::Wake);
        }
        held
    }

    /// Jobs for the slot that still wait are void: something newer is there already.
    pub fn void(&self, hash: KeyHash) {
        self.waiting.lock().void(hash);
    }

    fn hand_over(&self, waiting: &mut Waiting, bytes: u64, job: impl FnOnce(u64) -> Job) -> bool {
        match self.jobs.try_send(job(waiting.last + 1)) {
            Ok(()) => {
                waiting.last += 1;
                waiting.jobs += 1;
                waiting.bytes += bytes;
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    #[cfg(test)]
    pub fn settle(&self) {
        let (done, wait) = sync_channel(1);
        self.jobs.send(Job::Settle(done)).unwrap();
        wait.recv().unwrap();
    }
}

// === impl Waiting ===
impl Waiting {
    fn void(&mut self, hash: KeyHash) {
        if self.jobs > 0 {
            if self.removed.len() >= REMOVED {
                self.void_to = self.last;
                self.removed.clear();
            }
            self.removed.insert(hash, self.last);
        }
    }
}

// === impl Writer ===
impl Writer {
    fn run(self) {
        while let Ok(job) = self.jobs.recv() {
            let unwritten = std::mem::take(&mut self.waiting.lock().unwritten);
            for hash in unwritten {
                self.note(self.journal.remove(hash));
            }
            match job {
                Job::Put(number, object) => {
                    self.put(number, &object);
                    self.done(object.body.len());
                }
                Job::Refresh(number, hash, confirmed, described) => {
                    if !self.removed(number, &hash) {
                        self.note(self.journal.refresh(hash, confirmed, &described));
                    }
                    self.done(0);
                }
                Job::Wake => {}
                #[cfg(test)]
                Job::Settle(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    fn put(&self, number: u64, object: &Object) {
        if self.removed(number, &object.hash) || self.journal.is_newer(&object.hash, object.meta.fetch_start) {
            return;
        }
        let described = codec::encode(&object.key, &object.meta, &object.head);
        let body = object.body.blocks().collect();
        match self.journal.put(object.hash, &described, body, object.body.len()) {
            // Removed while it was written: the next start must not find it either.
            Ok(place) if self.removed(number, &object.hash) => {
                self.index.remove_if(&object.hash, place);
                self.note(self.journal.remove(object.hash));
            }
            Ok(_) => {}
            Err(error) => {
                self.note(Err(error));
                self.index.remove(&object.hash);
            }
        }
    }

    fn removed(&self, number: u64, hash: &KeyHash) -> bool {
        let waiting = self.waiting.lock();
        number <= waiting.void_to || waiting.removed.get(hash).is_some_and(|last| number <= *last)
    }

    fn done(&self, bytes: u64) {
        let mut waiting = self.waiting.lock();
        waiting.jobs -= 1;
        waiting.bytes -= bytes;
        if waiting.jobs == 0 {
            waiting.removed.clear();
        }
    }

    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.counters.disk_errors.add(1);
            super::seldom::warn(&error);
        }
    }
}
