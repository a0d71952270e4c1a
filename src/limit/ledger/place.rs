//! Place: which slot of the file a key has.
//!
//! In: a key's id. Out: its slot, made when it has none. Never: a slot taken from a key that is still counted, more than
//! [`SLOTS`].

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::super::period::Day;
use super::file::{REUSED_AT, offset, take};
use super::slot::{DAYS, Head, Id, LANE, LANES, Lane, SLOT, lane_at};
use super::{Ledger, LedgerError, SLOTS};

/// What this process knows of the slots.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// Slots of the file that are in the index.
    seen: u32,
    /// As it was in the file when its slots were seen.
    reused: u64,
    /// Slots that nobody seems to use any more.
    free: Vec<u32>,
    /// The day on which the full file was last searched for such slots.
    searched: Option<Day>,
}

// === impl Ledger ===
impl Ledger {
    /// Where `id` is counted; makes it a place when it has none.
    pub(super) fn slot(&self, id: &Id, today: Day) -> Result<u32, LedgerError> {
        if let Some(&slot) = self.index.read().get(id) {
            return Ok(slot);
        }
        let mut growing = self.growing.lock();
        self.locked(|| {
            self.see(&mut growing)?;
            if let Some(&slot) = self.index.read().get(id) {
                return Ok(slot);
            }
            let slot = self.free(&mut growing, today)?;
            let mut bytes = [0; SLOT];
            let head = Head { id: *id, first: today }.encode();
            bytes[..head.len()].copy_from_slice(&head);
            // Whole, so that later counts find their bytes allocated on a disk that is full by then.
            self.file.write_all_at(&bytes, offset(slot))?;
            self.dirty.store(true, Ordering::Release);
            growing.seen = growing.seen.max(slot + 1);
            let mut index = self.index.write();
            index.retain(|_, &mut other| other != slot);
            index.insert(*id, slot);
            Ok(slot)
        })
    }

    /// Takes slots into the index that other processes have added. The file's lock is held.
    pub(super) fn see(&self, growing: &mut Growing) -> io::Result<()> {
        let mut reused = [0; 8];
        self.file.read_exact_at(&mut reused, REUSED_AT as u64)?;
        let reused = u64::from_le_bytes(reused);
        if reused != growing.reused {
            // Another process gave away slots that were seen.
            *growing = Growing { reused, ..Growing::default() };
            self.index.write().clear();
        }
        let slots = self.slots()?;
        if slots <= growing.seen {
            return Ok(());
        }
        let mut index = self.index.write();
        let mut bytes = [0; SLOT];
        for slot in growing.seen..slots {
            self.file.read_exact_at(&mut bytes, offset(slot))?;
            if let Some(head) = Head::decode(&bytes) {
                index.insert(head.id, slot);
            }
        }
        growing.seen = slots;
        Ok(())
    }

    fn slots(&self) -> io::Result<u32> {
        let slots = (self.file.metadata()?.len() / SLOT as u64).saturating_sub(1);
        Ok(u32::try_from(slots).unwrap_or(SLOTS).min(SLOTS))
    }

    /// A slot to write over: one at the end, or one that was not counted in for so long that all of it is forgotten. The
    /// file's lock is held.
    fn free(&self, growing: &mut Growing, today: Day) -> Result<u32, LedgerError> {
        let end = self.slots()?;
        if end < SLOTS {
            return Ok(end);
        }
        if growing.free.is_empty() && growing.searched != Some(today) {
            growing.searched = Some(today);
            for slot in 0..end {
                if self.forgotten(slot, today)? {
                    growing.free.push(slot);
                }
            }
        }
        while let Some(slot) = growing.free.pop() {
            // It may be counted in again since it was found.
            if self.forgotten(slot, today)? {
                growing.reused = growing.reused.wrapping_add(1);
                self.file.write_all_at(&growing.reused.to_le_bytes(), REUSED_AT as u64)?;
                return Ok(slot);
            }
        }
        Err(LedgerError::Full)
    }

    fn forgotten(&self, slot: u32, today: Day) -> io::Result<bool> {
        let mut bytes = [0; SLOT];
        self.file.read_exact_at(&mut bytes, offset(slot))?;
        let Some(head) = Head::decode(&bytes) else { return Ok(true) };
        let counts = self.read(slot, &head.id)?;
        Ok(counts.is_none_or(|counts| counts.newest() + (DAYS as Day) < today))
    }

    /// Empties broken lanes that no living process writes; returns how many. The file's lock is held.
    pub(super) fn repair(&self, dir: &Path) -> io::Result<usize> {
        let used: Vec<(Id, u32)> = self.index.read().iter().map(|(id, slot)| (*id, *slot)).collect();
        let (mut bytes, mut repaired) = ([0; SLOT], 0);
        for (id, slot) in used {
            self.file.read_exact_at(&mut bytes, offset(slot))?;
            for lane in 0..LANES {
                if Lane::decode(&id, bytes.get(lane_at(lane)..).unwrap_or_default()).is_ok() {
                    continue;
                }
                if lane == self.lane || take(dir, lane)?.is_some() {
                    self.file.write_all_at(&[0; LANE], offset(slot) + lane_at(lane) as u64)?;
                    repaired += 1;
                }
            }
        }
        Ok(repaired)
    }
}
