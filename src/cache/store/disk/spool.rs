//! Spool: a large body on disk while it comes in.
//!
//! In: chunks from the one writer. Out: what has been written, to any number of readers, and at the end a whole body to be
//! adopted. Never: a file that stays when the body does not become whole.

use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::blocks::{self, BLOCK};
use super::{READ, segment};
use crate::cache::store::StoreError;

/// Bytes gathered before they are written.
const WRITE: usize = 4 * BLOCK as usize;

/// What all spools may take together.
#[derive(Debug)]
pub struct Room {
    used: AtomicU64,
    max: u64,
}

/// The readers' side.
#[derive(Debug)]
pub struct Spool {
    file: Arc<File>,
    path: PathBuf,
    /// Bytes of the body that can be read: whole blocks until the body is whole.
    flushed: AtomicU64,
    renamed: AtomicBool,
    room: Arc<Room>,
}

/// The writer's side.
#[derive(Debug)]
pub struct SpoolWriter {
    spool: Arc<Spool>,
    /// The block that is not full yet.
    block: Vec<u8>,
    /// Sealed blocks that are not written yet, and the bytes of the body in them.
    sealed: Vec<u8>,
    sealed_len: u64,
}

/// A whole body.
#[derive(Debug)]
pub struct Finished {
    pub spool: Arc<Spool>,
    pub len: u64,
}

// === impl Room ===
impl Room {
    pub fn new(max: u64) -> Room {
        Room { used: AtomicU64::new(0), max }
    }

    pub fn is_full(&self) -> bool {
        self.used() >= self.max
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, unless they are not there.
    fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| Some(used + bytes).filter(|used| *used <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// === impl Spool ===
impl Spool {
    pub fn new(file: Arc<File>, path: PathBuf, room: Arc<Room>) -> Arc<Spool> {
        Arc::new(Spool { file, path, flushed: AtomicU64::new(0), renamed: AtomicBool::new(false), room })
    }

    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Bytes of the body that can be read.
    pub fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// A piece of the body from `from` on, at most up to `end`, which has been flushed. Blocks.
    pub fn read(&self, from: u64, end: u64) -> Result<Bytes, StoreError> {
        let flushed = self.flushed();
        let end = end.min(flushed).min(from.saturating_add(READ));
        blocks::read(&self.file, segment::MAGIC.len() as u64, flushed, from, end)
    }

    /// Gives the file its name for good; its bytes do not count as a spool's any more.
    pub fn rename(&self, to: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, to)?;
        if !self.renamed.swap(true, Ordering::AcqRel) {
            self.room.give(self.flushed());
        }
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !*self.renamed.get_mut() {
            self.room.give(self.flushed());
            // Nothing is lost when it stays: the next start removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

// === impl SpoolWriter ===
impl SpoolWriter {
    pub fn new(spool: Arc<Spool>) -> SpoolWriter {
        SpoolWriter { spool, block: Vec::new(), sealed: Vec::new(), sealed_len: 0 }
    }

    pub fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// Adds bytes; waits for the disk once some blocks are full. `false`: there is no room for them, or the disk fails; what
    /// was flushed can be read on.
    pub async fn append(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(BLOCK as usize - self.block.len()));
            self.block.extend_from_slice(now);
            data = later;
            if self.block.len() == BLOCK as usize {
                self.seal();
            }
            if self.sealed.len() >= WRITE && !self.flush().await {
                return false;
            }
        }
        true
    }

    /// Writes what is left.
    pub async fn finish(mut self) -> Result<Finished, StoreError> {
        self.seal();
        if !self.flush().await {
            return Err(StoreError::NoRoom);
        }
        Ok(Finished { len: self.spool.flushed(), spool: self.spool })
    }

    fn seal(&mut self) {
        if !self.block.is_empty() {
            blocks::seal(&self.block, &mut self.sealed);
            self.sealed_len += self.block.len() as u64;
            self.block.clear();
        }
    }

    async fn flush(&mut self) -> bool {
        let (len, sealed) = (std::mem::take(&mut self.sealed_len), std::mem::take(&mut self.sealed));
        if !self.spool.room.take(len) {
            return false;
        }
        let (flushed, file) = (self.spool.flushed(), self.spool.file.clone());
        let at = segment::MAGIC.len() as u64 + blocks::stored_len(flushed);
        let write = tokio::task::spawn_blocking(move || file.write_all_at(&sealed, at));
        if let Err(error) = write.await.map_err(std::io::Error::other).flatten() {
            super::seldom::warn(&error);
            self.spool.room.give(len);
            return false;
        }
        self.spool.flushed.store(flushed + len, Ordering::Release);
        true
    }
}
