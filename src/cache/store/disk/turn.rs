//! Turn: which process uses the directory.
//!
//! In: the configured directory. Out: the disk tier, at once or when the process that has it now has ended. Never: two
//! processes writing there, a wait at start (during a binary upgrade the new process runs without its disk tier for as long
//! as the old one drains).

use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{Disk, segment};
use crate::cache::invalidated::Invalidated;
use crate::cache::object::KeyHash;
use crate::cache::store::StoreError;
use crate::cache::store::memory::Memory;
use crate::cache::store::stats::Counters;
use crate::config::compiled;

/// Slots whose change is remembered while another process has the directory, 16 bytes each. Past it, what that process
/// leaves behind is dropped.
const CHANGED: usize = 256 << 10;

/// The file of URLs that unsafe requests invalidated.
const INVALIDATED: &str = "invalidated";

/// The disk tier, once it is this process's turn.
#[derive(Debug)]
pub struct Turn {
    disk: Arc<OnceLock<Disk>>,
    /// Slots stored or emptied before: what the disk has for them is older.
    changed: Arc<Mutex<HashSet<KeyHash>>>,
}

// === impl Turn ===
impl Turn {
    /// Opens the tier in `config.path`, made when it is missing, or has a thread wait for it. What `invalidated` remembers is kept
    /// there with it. Errors when the directory cannot
    /// be used.
    pub fn take(
        config: &compiled::Disk,
        memory: Memory,
        counters: Arc<Counters>,
        invalidated: Arc<Invalidated>,
    ) -> Result<Turn, StoreError> {
        let unusable = |source| StoreError::Path { path: config.path.clone(), source };
        let lock = prepare(&config.path).map_err(unusable)?;
        let turn = Turn { disk: Arc::default(), changed: Arc::default() };
        let open = {
            let (disk, changed) = (turn.disk.clone(), turn.changed.clone());
            let (config, lock) = (config.clone(), lock.try_clone().map_err(unusable)?);
            move || {
                // Held until the tier is there: a change is either in the set or made in the tier.
                let mut changed = changed.lock();
                if changed.len() >= CHANGED {
                    empty(&config.path)?;
                }
                // Before anything is found that an earlier process was told not to serve.
                if !invalidated.keep(&config.path.join(INVALIDATED))? {
                    log::error!("cache disk: what is stored is dropped, for it may be invalidated");
                    empty(&config.path)?;
                }
                let opened = Disk::open(&config, lock, memory, counters)?;
                changed.drain().for_each(|hash| _ = opened.remove(&hash));
                _ = disk.set(opened);
                Ok(())
            }
        };
        match lock.try_lock() {
            Ok(()) => open()?,
            Err(TryLockError::WouldBlock) => wait(&config.path, lock, open)?,
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        Ok(turn)
    }

    pub fn disk(&self) -> Option<&Disk> {
        self.disk.get()
    }

    /// The tier, for a change to the slot; remembers the slot when it is not this process's turn yet.
    pub fn change(&self, hash: &KeyHash) -> Option<&Disk> {
        if self.disk.get().is_none() {
            let mut changed = self.changed.lock();
            if self.disk.get().is_none() && changed.len() < CHANGED {
                changed.insert(*hash);
            }
        }
        self.disk.get()
    }
}

/// Has a thread wait for the lock and then open the tier.
fn wait(
    path: &Path,
    lock: File,
    open: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) -> Result<(), StoreError> {
    log::info!("cache disk: another process uses {}; waiting for its end", path.display());
    let wait = move || {
        if let Err(error) = lock.lock().map_err(StoreError::from).and_then(|()| open()) {
            log::warn!("cache disk: not used: {error}");
        }
    };
    std::thread::Builder::new().name("cache-disk-turn".into()).spawn(wait)?;
    Ok(())
}

/// Removes every segment.
fn empty(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if segment::id(&path).is_some() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Makes the directory, shows that it can be written, and gives the file to lock.
fn prepare(path: &Path) -> io::Result<File> {
    crate::durable::private_dir(path)?;
    let lock = File::create(path.join("lock"))?;
    let probe = path.join("probe.tmp");
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)?;
    Ok(lock)
}
