//! Disk: bytes that outlive a process, and what may happen to them.
//!
//! In: reads and writes of redb. Out: bytes, or the error of a disk that is full or of a process that is killed between two writes. Never: a
//! file.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, DatabaseError, StorageBackend};

/// redb's page cache, in bytes.
const PAGE_CACHE: usize = 64 << 10;

/// A file on a disk of one node.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    full: bool,
    /// Writes until the process that writes is killed; 0 = it is.
    fuse: Option<u32>,
}

// === impl Disk ===
impl Disk {
    pub fn open(&self) -> Result<Database, DatabaseError> {
        Database::builder().set_cache_size(PAGE_CACHE).create_with_backend(self.clone())
    }

    pub fn fill(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// The process is killed after so many more writes.
    pub fn kill_after(&self, writes: u32) {
        self.0.lock().fuse = Some(writes);
    }

    /// Whether it was.
    pub fn is_killed(&self) -> bool {
        self.0.lock().fuse == Some(0)
    }

    /// A new process has it.
    pub fn revive(&self) {
        self.0.lock().fuse = None;
    }
}

// === impl State ===
impl State {
    fn may_write(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => return Err(io::Error::other("killed")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (state, from) = (self.0.lock(), offset as usize);
        out.copy_from_slice(&state.bytes[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        state.may_write()?;
        state.bytes.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().may_write()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        state.may_write()?;
        let from = offset as usize;
        state.bytes[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}
