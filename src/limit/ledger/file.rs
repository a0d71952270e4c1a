//! File: the ledger's file and the locks beside it.
//!
//! In: a directory. Out: an open file that is ours, the lock of a lane. Never: a file overwritten that is none
//! of ours.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::slot::SLOT;

/// First bytes of the file. After them, in the first [`SLOT`]: how often a slot was given to another key (u64), what names this file
/// among those of all nodes (u64, 0 = nothing yet), and zeros.
const MAGIC: &[u8; 16] = b"RIMWARD QUOTA 1\n";
pub(super) const REUSED_AT: usize = MAGIC.len();
const LINEAGE_AT: usize = REUSED_AT + 8;

/// Where in the file a slot begins.
pub(super) fn offset(slot: u32) -> u64 {
    (u64::from(slot) + 1) * SLOT as u64
}

/// A lane's lock, unless somebody has it.
pub(super) fn take(dir: &Path, lane: usize) -> io::Result<Option<File>> {
    let path = dir.join(format!("quota.lane-{lane}"));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What names the file: made when it has no name yet. The file's lock is held.
pub(super) fn lineage(file: &File) -> io::Result<u64> {
    let mut kept = [0; 8];
    file.read_exact_at(&mut kept, LINEAGE_AT as u64)?;
    let kept = u64::from_le_bytes(kept);
    if kept != 0 {
        return Ok(kept);
    }
    let made = rand::random::<u64>().max(1);
    file.write_all_at(&made.to_le_bytes(), LINEAGE_AT as u64)?;
    // Counts are told under it: it has to be there after a power loss, when they are.
    file.sync_data()?;
    Ok(made)
}

/// Opens the file, or puts what is none of ours aside and makes a new one.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        file.lock()?;
        let mut first = [0; SLOT];
        let mut ours = [0; SLOT];
        ours[..MAGIC.len()].copy_from_slice(MAGIC);
        let empty = file.metadata()?.len() == 0;
        if empty {
            file.write_all_at(&ours, 0)?;
        }
        let read = file.read_exact_at(&mut first, 0).is_ok();
        first[REUSED_AT..LINEAGE_AT + 8].fill(0);
        if empty || (read && first == ours) {
            file.unlock()?;
            return Ok(file);
        }
        let aside = (0..).map(|n| path.with_extension(format!("broken-{n}"))).find(|aside| !aside.exists());
        let Some(aside) = aside else { return Err(io::ErrorKind::AlreadyExists.into()) };
        std::fs::rename(path, &aside)?;
        log::warn!("{} is no quota ledger: it is now {}, and counts begin anew", path.display(), aside.display());
    }
}
