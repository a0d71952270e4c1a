//! Journal: what is appended to the disk tier, and what is dropped to make room.
//!
//! In: records, one writer at a time. Out: segments within the configured size, and the index in step with them. Never:
//! called on a worker thread (every method but `file` and `bytes` may wait for the disk).

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::blocks::{self, BLOCK};
use super::index::{Index, Place};
use super::segment::{self, Entry, HEADER, Kind};
use super::spool::{Finished, Room, Spool, SpoolWriter};
use crate::cache::object::{KeyHash, Stamp};
use crate::cache::store::StoreError;
use crate::cache::store::memory::Memory;
use crate::cache::store::stats::Counters;
use crate::config::compiled;

/// A segment's size: a share of the tier between 1/32 and 1/1024, so that dropping one costs little and there is no
/// thousand of open files, and 64 MiB in between.
const SEGMENT: u64 = 64 << 20;
/// Shares of the configured size: segments, and files of bodies that are still coming in. The rest is room for what is
/// written again while its segment is dropped.
const SEGMENTS_SHARE: (u64, u64) = (3, 4);
const SPOOLS_SHARE: (u64, u64) = (3, 16);
/// Bytes gathered before they are written.
const WRITE: usize = 1 << 20;

/// Everything that changes the files.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    segment_size: u64,
    max_bytes: u64,
    index: Arc<Index>,
    /// What it holds is in use, though nobody reads it from disk.
    memory: Memory,
    counters: Arc<Counters>,
    /// One open file a segment.
    files: RwLock<HashMap<u32, Arc<File>>>,
    bytes: AtomicU64,
    spools: Arc<Room>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u32,
    /// Segments that are not written any more, oldest first, and their sizes.
    closed: VecDeque<(u32, u64)>,
    open: Option<Open>,
}

/// The segment being written.
#[derive(Debug)]
struct Open {
    id: u32,
    file: Arc<File>,
    at: u64,
    entries: Vec<Entry>,
}

/// Where a record's body is.
enum Body<'a> {
    None,
    Chunks(Vec<&'a Bytes>),
    /// Blocks with their checksums.
    Sealed(&'a [u8]),
}

// === impl Journal ===
impl Journal {
    /// Opens the directory, which this process alone uses. Gives the segments that are there, newest first, to be searched.
    pub fn open(
        config: &compiled::Disk,
        index: Arc<Index>,
        memory: Memory,
        counters: Arc<Counters>,
    ) -> io::Result<(Journal, Vec<u32>)> {
        let (dir, size) = (&config.path, config.size);
        let mut closed = Vec::new();
        let mut files = HashMap::new();
        let mut newest = 0;
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            newest = newest.max(segment::id(&path).unwrap_or(0));
            match existing(&path) {
                Ok(Some((id, file, len))) => {
                    closed.push((id, len));
                    files.insert(id, Arc::new(file));
                }
                Ok(None) => {}
                Err(error) => log::warn!("cache disk: {} is left alone: {error}", path.display()),
            }
        }
        closed.sort_unstable();
        let found = closed.iter().rev().map(|(id, _)| *id).collect();
        let state = State { next: newest + 1, closed: closed.iter().copied().collect(), open: None };
        let share = |(part, of): (u64, u64)| size / of * part;
        let journal = Journal {
            dir: dir.clone(),
            segment_size: (size / 32).min(SEGMENT.max(size / 1024)),
            max_bytes: share(SEGMENTS_SHARE),
            index,
            memory,
            counters,
            files: RwLock::new(files),
            bytes: AtomicU64::new(closed.iter().map(|(_, len)| len).sum()),
            spools: Arc::new(Room::new(share(SPOOLS_SHARE))),
            state: Mutex::new(state),
        };
        Ok((journal, found))
    }

    /// The file of a segment, while it exists.
    pub fn file(&self, id: u32) -> Option<Arc<File>> {
        self.files.read().get(&id).cloned()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Appends a whole answer and puts it into the index.
    pub fn put(&self, hash: KeyHash, described: &[u8], body: Vec<&Bytes>, len: u64) -> io::Result<Place> {
        let mut state = self.state.lock();
        self.make_room(&mut state, HEADER as u64 + described.len() as u64 + blocks::stored_len(len))?;
        let place = self.append(&mut state, Kind::Put, hash, described, Body::Chunks(body), (0, 0, len))?;
        self.index.insert(hash, place);
        Ok(place)
    }

    /// Appends a new description of the answer fetched at `confirmed`; nothing when the slot holds nothing, or another.
    pub fn refresh(&self, hash: KeyHash, confirmed: Stamp, described: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        self.make_room(&mut state, (HEADER + described.len()) as u64)?;
        // After making room: that may have moved or dropped the body.
        let Some(old) = self.index.get(&hash) else { return Ok(()) };
        if self.fetched(&hash, old) != Some(confirmed) {
            return Ok(());
        }
        let body = (old.body_seg, old.body_at, old.body_len);
        let new = self.append(&mut state, Kind::Refresh, hash, described, Body::None, body)?;
        self.index.replace_if(&hash, old, Place { hit: old.hit, ..new });
        Ok(())
    }

    /// Whether the slot holds an answer that was asked for after `stamp`: the newer one, whichever came first (RFC 9111 §4).
    pub fn is_newer(&self, hash: &KeyHash, stamp: Stamp) -> bool {
        self.index.get(hash).and_then(|place| self.fetched(hash, place)).is_some_and(|held| held > stamp)
    }

    fn fetched(&self, hash: &KeyHash, place: Place) -> Option<Stamp> {
        let (_, meta, _) = segment::read_described(&*self.file(place.head_seg)?, hash, place).ok()?;
        Some(meta.fetch_start)
    }

    /// Appends that the slot is empty.
    pub fn remove(&self, hash: KeyHash) -> io::Result<()> {
        let mut state = self.state.lock();
        self.make_room(&mut state, HEADER as u64)?;
        self.append(&mut state, Kind::Remove, hash, &[], Body::None, (0, 0, 0)).map(|_| ())
    }

    /// Begins a file for one large body; `None` when all of them together have their share.
    pub fn spool(&self) -> io::Result<Option<SpoolWriter>> {
        if self.spools.is_full() {
            return Ok(None);
        }
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = self.dir.join(format!("{}.spool", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        file.write_all_at(&segment::MAGIC, 0)?;
        Ok(Some(SpoolWriter::new(Spool::new(Arc::new(file), path, self.spools.clone()))))
    }

    /// Makes a finished spool a segment of its own and puts it into the index.
    pub fn adopt(&self, finished: Finished, hash: KeyHash, described: &[u8]) -> Result<(), StoreError> {
        let (spool, body_len) = (finished.spool, finished.len);
        let body_at = segment::MAGIC.len() as u64;
        let head_at = body_at + blocks::stored_len(body_len);
        let mut state = self.state.lock();
        // Segments are in the order in which their records count.
        self.seal(&mut state)?;
        self.make_room(&mut state, head_at + (HEADER + described.len()) as u64)?;
        self.seal(&mut state)?;
        let id = state.next;
        let head_len = segment::described_len(described)?;
        let place = Place { head_at, body_at, body_len, head_seg: id, body_seg: id, head_len, hit: false };
        let entry = Entry { kind: Kind::Put, hash, place };
        let mut tail = segment::record(&entry, described);
        let table_at = head_at + tail.len() as u64;
        tail.extend_from_slice(&segment::table(&[entry], table_at));
        spool.file().write_all_at(&tail, head_at)?;
        spool.rename(&segment::path(&self.dir, id))?;
        state.next += 1;
        let len = head_at + tail.len() as u64;
        self.files.write().insert(id, spool.file().clone());
        self.close(&mut state, id, len);
        self.bytes.fetch_add(len, Ordering::Relaxed);
        self.index.insert(hash, place);
        Ok(())
    }

    /// Puts what segment `id` holds into the index, unless it was dropped meanwhile. Seals it when it was not.
    pub fn recover(&self, id: u32) {
        let mut state = self.state.lock();
        let Some(at) = state.closed.iter().position(|(closed, _)| *closed == id) else { return };
        let Some(file) = self.file(id) else { return };
        let len = state.closed[at].1;
        let entries = segment::read_table(&file, id, len).unwrap_or_else(|| {
            let (entries, end) = segment::scan(&file, id, len);
            let sealed = seal_torn(&file, &entries, end).unwrap_or(len);
            state.closed[at].1 = sealed;
            self.bytes.fetch_add(sealed, Ordering::Relaxed);
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            entries
        });
        let files = self.files.read();
        for entry in entries.iter().rev() {
            match entry.kind {
                Kind::Remove => self.index.recover_removal(entry.hash),
                Kind::Put | Kind::Refresh if files.contains_key(&entry.place.body_seg) => {
                    self.index.recover(entry.hash, entry.place);
                }
                Kind::Put | Kind::Refresh => {}
            }
        }
    }

    /// Drops segments until `more` bytes fit, and has a segment open that takes them.
    fn make_room(&self, state: &mut State, more: u64) -> io::Result<()> {
        let full = |open: &Open| open.at > segment::MAGIC.len() as u64 && open.at + more > self.segment_size;
        if state.open.as_ref().is_some_and(full) {
            self.seal(state)?;
        }
        if state.open.is_none() {
            let id = state.next;
            let path = segment::path(&self.dir, id);
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
            file.write_all_at(&segment::MAGIC, 0)?;
            state.next += 1;
            let file = Arc::new(file);
            self.files.write().insert(id, file.clone());
            self.bytes.fetch_add(segment::MAGIC.len() as u64, Ordering::Relaxed);
            state.open = Some(Open { id, file, at: segment::MAGIC.len() as u64, entries: Vec::new() });
        }
        // With a segment open: what was read lately is appended again.
        while self.bytes() + more > self.max_bytes && !state.closed.is_empty() {
            self.drop_oldest(state)?;
        }
        Ok(())
    }

    /// Appends a record to the open segment. `body` names a body that lies elsewhere, or the length of the one given.
    fn append(
        &self,
        state: &mut State,
        kind: Kind,
        hash: KeyHash,
        described: &[u8],
        content: Body<'_>,
        (body_seg, body_at, body_len): (u32, u64, u64),
    ) -> io::Result<Place> {
        let open = state.open.as_mut().ok_or_else(|| io::Error::other("no segment is open"))?;
        let head_len = segment::described_len(described)?;
        let head_end = open.at + (HEADER + described.len()) as u64;
        let (body_seg, body_at) = if kind == Kind::Put { (open.id, head_end) } else { (body_seg, body_at) };
        let place = Place { head_at: open.at, body_at, body_len, head_seg: open.id, body_seg, head_len, hit: false };
        let entry = Entry { kind, hash, place };
        let mut out = segment::record(&entry, described);
        let mut at = open.at;
        match content {
            Body::None => {}
            Body::Sealed(sealed) => out.extend_from_slice(sealed),
            Body::Chunks(chunks) => {
                for block in Blocks::of(chunks) {
                    blocks::seal(&block, &mut out);
                    if out.len() >= WRITE {
                        open.file.write_all_at(&out, at)?;
                        at += out.len() as u64;
                        out.clear();
                    }
                }
            }
        }
        open.file.write_all_at(&out, at)?;
        let end = at + out.len() as u64;
        self.bytes.fetch_add(end - open.at, Ordering::Relaxed);
        open.at = end;
        open.entries.push(entry);
        Ok(place)
    }

    /// Ends the open segment with its table.
    fn seal(&self, state: &mut State) -> io::Result<()> {
        let Some(open) = state.open.take() else { return Ok(()) };
        if open.entries.is_empty() {
            self.files.write().remove(&open.id);
            self.bytes.fetch_sub(open.at, Ordering::Relaxed);
            return std::fs::remove_file(segment::path(&self.dir, open.id));
        }
        let table = segment::table(&open.entries, open.at);
        let written = open.file.write_all_at(&table, open.at);
        // Without its table it is scanned when it is needed again.
        let len = open.at + written.as_ref().map_or(0, |()| table.len() as u64);
        self.bytes.fetch_add(len - open.at, Ordering::Relaxed);
        self.close(state, open.id, len);
        written
    }

    fn close(&self, state: &mut State, id: u32, len: u64) {
        state.closed.push_back((id, len));
    }

    /// Drops the oldest segment. What was read since it was written, or is in memory, is appended again, up to a quarter of a segment.
    fn drop_oldest(&self, state: &mut State) -> io::Result<()> {
        let Some((id, len)) = state.closed.pop_front() else { return Ok(()) };
        let Some(file) = self.files.write().remove(&id) else { return Ok(()) };
        let entries = segment::read_table(&file, id, len).unwrap_or_else(|| segment::scan(&file, id, len).0);
        let mut budget = self.segment_size / 4;
        for entry in entries {
            let Some(place) = self.index.get(&entry.hash) else { continue };
            if place.head_seg != id && place.body_seg != id {
                continue;
            }
            if !self.rescue(state, &file, id, entry.hash, place, &mut budget) {
                self.index.remove_if(&entry.hash, place);
            }
        }
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        self.counters.disk_evictions.add(1);
        std::fs::remove_file(segment::path(&self.dir, id))
    }

    /// Appends an answer of the segment being dropped again when it is in use. Whether it did.
    fn rescue(&self, state: &mut State, file: &File, id: u32, hash: KeyHash, place: Place, budget: &mut u64) -> bool {
        let stored = blocks::stored_len(place.body_len);
        let cost = stored + HEADER as u64 + u64::from(place.head_len);
        let used = place.hit || self.memory.holds(&hash);
        if !used || place.body_seg != id || cost > *budget || state.open.is_none() {
            return false;
        }
        let head = if place.head_seg == id { None } else { self.file(place.head_seg) };
        let Some(described) = segment::read_raw(head.as_deref().unwrap_or(file), place) else { return false };
        let mut body = vec![0; stored as usize];
        if file.read_exact_at(&mut body, place.body_at).is_err() {
            return false;
        }
        let len = (0, 0, place.body_len);
        let Ok(new) = self.append(state, Kind::Put, hash, &described, Body::Sealed(&body), len) else { return false };
        *budget -= cost;
        self.index.replace_if(&hash, place, new)
    }

    #[cfg(test)]
    pub fn spooling(&self) -> u64 {
        self.spools.used()
    }
}

/// The segment at `path`, its number and its size. What was a spool, or is another layout's segment, is removed.
fn existing(path: &Path) -> io::Result<Option<(u32, File, u64)>> {
    if path.extension().is_some_and(|extension| extension == "spool") {
        std::fs::remove_file(path)?;
    }
    let Some(id) = segment::id(path) else { return Ok(None) };
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if !segment::is_segment(&file) {
        std::fs::remove_file(path)?;
        return Ok(None);
    }
    let len = file.metadata()?.len();
    Ok(Some((id, file, len)))
}

/// Cuts a torn segment at its last whole record and seals it. Gives its size.
fn seal_torn(file: &File, entries: &[Entry], end: u64) -> io::Result<u64> {
    file.set_len(end)?;
    let table = segment::table(entries, end);
    file.write_all_at(&table, end)?;
    Ok(end + table.len() as u64)
}

/// Chunks of any size as blocks of [`BLOCK`] bytes.
struct Blocks<'a> {
    chunks: std::vec::IntoIter<&'a Bytes>,
    chunk: &'a [u8],
}

// === impl Blocks ===
impl<'a> Blocks<'a> {
    fn of(chunks: Vec<&'a Bytes>) -> Blocks<'a> {
        Blocks { chunks: chunks.into_iter(), chunk: &[] }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut block = Vec::with_capacity(BLOCK as usize);
        while block.len() < BLOCK as usize {
            if self.chunk.is_empty() {
                let Some(chunk) = self.chunks.next() else { break };
                self.chunk = chunk;
            }
            let (now, later) = self.chunk.split_at(self.chunk.len().min(BLOCK as usize - block.len()));
            block.extend_from_slice(now);
            self.chunk = later;
        }
        (!block.is_empty()).then_some(block)
    }
}
