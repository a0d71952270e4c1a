//! Ledger: how many requests of a quota are used, whatever happens to the process.
//!
//! In: a key's id, its quota, the date. Out: admitted and counted, or not; what was used by day. Never: a count that exists
//! only in memory, an unbounded file, a panic over broken bytes.
//!
//! Every admitted request is in the file (one positioned write, into the page cache) before it is admitted: a process killed at
//! any moment loses and doubles none. [`Ledger::sync`] makes them durable against a power loss, at most a second behind.
//!
//! Several processes may have the ledger open, as they do while one takes over from another that drains: each holds a lane of
//! its own (a lock that ends with the process), writes only there, and reads everybody's before it admits. Nothing has to be
//! told or handed over. A request is counted first, then everybody's counts are read again: when they are past the limit, it
//! is taken back and refused. So the limit is never passed. The last `NEAR` requests of a period are counted under the
//! file's lock, so that two processes at the limit do not both step back before the last one. A process that is alone, as it nearly
//! always is, reads nobody's counts: see `alone`.

mod alone;
mod counts;
mod file;
mod heard;
mod others;
mod place;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use xxhash_rust::xxh3::xxh3_128;

use super::pace::Share;
use super::period::{self, Day};
use crate::config::compiled::PeriodQuota;
use alone::{Known, Rest, claim};
use counts::Counts;
use file::{lineage, offset, open_file};
use heard::Heard;
use others::Others;
pub use others::Told;
use place::Growing;
pub use slot::Id;
use slot::{Head, LANES, Lane, SLOT, lane_at};

/// Pairs of plan and key that the file holds: 64 MiB when all are used.
pub const SLOTS: u32 = 1 << 16;

/// Requests before a limit that are counted under the file's lock.
const NEAR: u64 = 256;

/// How often a lane that another process writes at this moment is read again.
const ATTEMPTS: usize = 16;

/// Locks that keep threads of this process apart, by slot; each with what is known while the process is alone.
const STRIPES: usize = 64;

/// The durable counts of one PoP.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    file: File,
    /// Held as long as this process counts in `lane`.
    _lane: File,
    lane: usize,
    /// The other lanes.
    rest: Mutex<Rest>,
    /// No other process counts, or can begin to. Changes while all stripes are held.
    alone: AtomicBool,
    index: RwLock<HashMap<Id, u32, ahash::RandomState>>,
    /// The lock is taken to add to `index`, and for the file's lock to be one for all threads.
    growing: Mutex<Growing>,
    stripes: [Mutex<Known>; STRIPES],
    dirty: AtomicBool,
    /// Broken lanes met while running.
    broken: AtomicU32,
    others: Others,
    heard: Heard,
    lineage: u64,
}

/// What the ledger says of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub admitted: bool,
    /// This one included, when it was admitted.
    pub used: u64,
    /// The limit of this period: less the offset, in a key's first.
    pub limit: u64,
    /// Until the next period begins.
    pub resets_in: Duration,
}

/// One day of a key, as API Gateway's GetUsage tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUse {
    pub day: Day,
    pub used: u64,
    /// Of the period's limit at the end of that day.
    pub remaining: u64,
}

/// Why requests cannot be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    #[error("quota ledger {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("quota ledger {}: {LANES} processes count in it already", path.display())]
    Lanes { path: PathBuf },
    #[error("quota ledger: {0}")]
    Io(#[from] io::Error),
    #[error("quota ledger: {SLOTS} pairs of plan and key are counted already")]
    Full,
}

/// What a key of a plan is counted under. `made` tells keys apart that had the name one after the other.
pub fn id(plan: &str, key: &str, made: u64) -> Id {
    let mut name = Vec::with_capacity(plan.len() + key.len() + 2 + 8);
    name.extend_from_slice(plan.as_bytes());
    name.push(0);
    name.extend_from_slice(key.as_bytes());
    if made != 0 {
        name.push(0);
        name.extend_from_slice(&made.to_be_bytes());
    }
    xxh3_128(&name).to_le_bytes()
}

// === impl Ledger ===
impl Ledger {
    /// Opens or creates `quota.ledger` in `dir`. Blocks on the disk.
    ///
    /// A file that is none of ours is renamed, a broken lane that nobody writes is emptied, both with a warning.
    pub fn open(dir: &Path) -> Result<Ledger, LedgerError> {
        let path = dir.join("quota.ledger");
        let failed = |source| LedgerError::Open { path: path.clone(), source };
        crate::durable::private_dir(dir).map_err(failed)?;
        let (lane, held) = claim(dir).map_err(failed)?.ok_or_else(|| LedgerError::Lanes { path: path.clone() })?;
        let file = open_file(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let lineage = lineage(&file);
        file.unlock().map_err(failed)?;
        let others = Others::new();
        let heard = Heard::open(dir, lane, &others).map_err(failed)?;
        let ledger = Ledger {
            dir: dir.to_owned(),
            file,
            _lane: held,
            lane,
            rest: Mutex::default(),
            alone: AtomicBool::new(false),
            index: RwLock::default(),
            growing: Mutex::default(),
            stripes: std::array::from_fn(|_| Mutex::default()),
            dirty: AtomicBool::new(false),
            broken: AtomicU32::new(0),
            others,
            heard,
            lineage: lineage.map_err(failed)?,
        };
        let repaired = ledger.locked(|| {
            ledger.see(&mut ledger.growing.lock())?;
            ledger.repair(dir)
        });
        let repaired = repaired.map_err(failed)?;
        if repaired > 0 {
            log::warn!("{}: {repaired} broken counts begin at zero", path.display());
        }
        Ok(ledger)
    }

    /// Counts one request at `now_ms` (milliseconds since the epoch) when the quota allows it. When this returns `admitted`,
    /// the count survives the process.
    ///
    /// # Errors
    /// Nothing was counted: what cannot be counted must not be given away.
    pub fn count(&self, id: &Id, quota: &PeriodQuota, now_ms: u64) -> Result<Counted, LedgerError> {
        if !quota.shared {
            return self.count_own(id, quota, now_ms);
        }
        let slot = self.slot(id, period::day(now_ms))?;
        let (left, others, limit) = self.left(slot, id, quota, now_ms)?;
        let mut counted = self.count_own(id, &left, now_ms)?;
        if counted.admitted {
            self.others.change(id[0]);
        }
        counted.used += others;
        counted.limit = limit;
        Ok(counted)
    }

    /// What [`Ledger::count`] would say of a quota that is used up, and counts nothing; `None` = it may have some left. Only `count`
    /// is exact: this is to refuse early. Reads the file only while other processes count.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spent(&self, id: &Id, quota: &PeriodQuota, now_ms: u64) -> Result<Option<Counted>, LedgerError> {
        // A key that is not known has counted nothing here, and gets a slot only when it is counted.
        let known = self.index.read().get(id).copied();
        let Some(slot) = known else { return Ok(None) };
        let at = (now_ms, period::day(now_ms));
        if !quota.shared {
            let judged = self.judged(slot, id, [quota, quota], at)?;
            return Ok(judged.map(|[counted, _]| counted).filter(|counted| !counted.admitted));
        }
        let (left, others, limit) = self.left(slot, id, quota, now_ms)?;
        let judged = self.judged(slot, id, [&left, &left], at)?;
        let spent = judged.map(|[counted, _]| counted).filter(|counted| !counted.admitted);
        Ok(spent.map(|counted| Counted { used: counted.used + others, limit, ..counted }))
    }

    /// What is left of a shared quota for this node, what other nodes used, and the limit of the period.
    fn left(
        &self,
        slot: u32,
        id: &Id,
        quota: &PeriodQuota,
        now_ms: u64,
    ) -> Result<(PeriodQuota, u64, u64), LedgerError> {
        let today = period::day(now_ms);
        let begins = period::first(quota.period, today);
        let others = self.others.used(id, begins, today);
        let mut left = PeriodQuota { limit: quota.limit.saturating_sub(others), ..*quota };
        let mut limit = quota.limit;
        if let Some([all, whole]) = self.judged(slot, id, [quota, &left], (now_ms, today))? {
            limit = all.limit;
            let allowed = self.others.allowed(id, begins, whole.used, whole.limit);
            left.limit -= whole.limit - allowed.min(whole.limit);
        }
        Ok((left, others, limit))
    }

    /// Counts by what this node's processes have counted alone.
    fn count_own(&self, id: &Id, quota: &PeriodQuota, now_ms: u64) -> Result<Counted, LedgerError> {
        let today = period::day(now_ms);
        // A slot that was given to another key in between is looked for once more.
        for _ in 0..2 {
            let slot = self.slot(id, today)?;
            let mut known = self.stripe(slot).lock();
            if self.alone.load(Ordering::Acquire) {
                match self.count_alone(&mut known, slot, id, quota, (now_ms, today))? {
                    Some(counted) => return Ok(counted),
                    None => self.index.write().remove(id),
                };
                continue;
            }
            let Some(mut counts) = self.read(slot, id)? else {
                self.index.write().remove(id);
                continue;
            };
            let mut counted = counts.judge(quota, now_ms);
            if counted.admitted && counted.limit - counted.used < NEAR {
                return self.locked_count(slot, id, quota, now_ms);
            }
            if counted.admitted {
                self.write(slot, id, &mut counts, |lane| lane.add(today), today)?;
                let all = self.read(slot, id)?.map(|counts| counts.judge(quota, now_ms));
                // Another process may have counted many while this one stood still between reading and writing.
                if all.is_some_and(|all| all.used > all.limit) {
                    self.write(slot, id, &mut counts, |lane| lane.take_back(today), today)?;
                    counted.admitted = false;
                }
                counted.used += 1;
            }
            return Ok(counted);
        }
        Err(LedgerError::Full)
    }

    /// Used and remaining, a day each from `from` to `to`, both included. Only the last 48 days are remembered; what was before
    /// is 0.
    pub fn usage(&self, id: &Id, quota: &PeriodQuota, from: Day, to: Day) -> Result<Vec<DayUse>, LedgerError> {
        let slot = {
            let mut growing = self.growing.lock();
            self.locked(|| self.see(&mut growing))?;
            self.index.read().get(id).copied()
        };
        let counts = match slot {
            Some(slot) => self.read(slot, id)?,
            None => None,
        };
        let days = (from..=to).map(|day| {
            let own = match &counts {
                Some(counts) => counts.day(quota, day),
                None => DayUse { day, used: 0, remaining: quota.limit.saturating_sub(quota.offset) },
            };
            if !quota.shared {
                return own;
            }
            let so_far = self.others.used(id, period::first(quota.period, day), day);
            let used = own.used + self.others.used(id, day, day);
            DayUse { day, used, remaining: own.remaining.saturating_sub(so_far) }
        });
        Ok(days.collect())
    }

    /// Names this file among those of all nodes, for as long as its counts only grow.
    pub fn lineage(&self) -> u64 {
        self.lineage
    }

    /// How much of shared quotas this node may use.
    pub fn set_share(&self, share: Share) {
        self.others.set_share(share);
    }

    /// Takes in what another node's ledger has counted. [`Ledger::sync`] makes it durable.
    pub fn hear(&self, lineage: u64, told: &[Told]) {
        if lineage != self.lineage {
            self.heard.grew(lineage, self.others.hear(lineage, told));
        }
    }

    /// What the other nodes are to be told: in parts, each whole, those in which something was counted since the last time. At first
    /// all of them. Blocks on the disk.
    pub fn told(&self) -> io::Result<Vec<(u8, Vec<Told>)>> {
        let parts = self.others.changes();
        let read = self.told_of(&parts);
        if read.is_err() {
            (0..=u8::MAX).filter(|part| others::names(&parts, *part)).for_each(|part| self.others.change(part));
        }
        read
    }

    /// A part could not be told.
    pub fn tell_again(&self, part: u8) {
        self.others.change(part);
    }

    fn told_of(&self, parts: &[u64; 4]) -> io::Result<Vec<(u8, Vec<Told>)>> {
        if parts.iter().all(|bits| *bits == 0) {
            return Ok(Vec::new());
        }
        {
            let mut growing = self.growing.lock();
            self.locked(|| self.see(&mut growing))?;
        }
        let index = self.index.read();
        let listed: Vec<(Id, u32)> = index.iter().map(|(id, slot)| (*id, *slot)).collect();
        drop(index);
        let mut told: BTreeMap<u8, Vec<Told>> = BTreeMap::new();
        for (id, slot) in listed.into_iter().filter(|(id, _)| others::names(parts, id[0])) {
            let Some(counts) = self.read(slot, &id)? else { continue };
            let days = counts.days();
            if !days.is_empty() {
                told.entry(id[0]).or_default().push(Told { id, days });
            }
        }
        Ok(told.into_iter().collect())
    }

    /// Makes durable what was counted here, and heard of others, since the last time (fdatasync). Blocks on the disk.
    pub fn sync(&self) -> io::Result<()> {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.file.sync_data().inspect_err(|_| self.dirty.store(true, Ordering::Release))?;
        }
        self.heard.write(&self.others)
    }

    /// The last ones of a period. The stripe is held.
    fn locked_count(&self, slot: u32, id: &Id, quota: &PeriodQuota, now_ms: u64) -> Result<Counted, LedgerError> {
        // One lock of the file is one for the whole process: its threads must not share it.
        let _growing = self.growing.lock();
        self.locked(|| {
            let Some(mut counts) = self.read(slot, id)? else { return Err(LedgerError::Full) };
            let mut counted = counts.judge(quota, now_ms);
            if counted.admitted {
                let today = period::day(now_ms);
                self.write(slot, id, &mut counts, |lane| lane.add(today), today)?;
                counted.used += 1;
            }
            Ok(counted)
        })
    }

    /// Runs `work` while no other process does.
    fn locked<T, E: From<io::Error>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.file.lock()?;
        let done = work();
        self.file.unlock()?;
        done
    }

    /// The counts of `id`; `None` when the slot is another key's.
    fn read(&self, slot: u32, id: &Id) -> io::Result<Option<Counts>> {
        let mut bytes = [0; SLOT];
        for attempt in 1..=ATTEMPTS {
            self.file.read_exact_at(&mut bytes, offset(slot))?;
            let Some(head) = Head::decode(&bytes).filter(|head| head.id == *id) else { return Ok(None) };
            let mut counts = Counts { head, lanes: [const { None }; LANES] };
            let mut torn = false;
            for (lane, kept) in counts.lanes.iter_mut().enumerate() {
                match Lane::decode(id, bytes.get(lane_at(lane)..).unwrap_or_default()) {
                    Ok(read) => *kept = read,
                    Err(slot::Torn) => torn = true,
                }
            }
            if !torn {
                return Ok(Some(counts));
            }
            if attempt == ATTEMPTS {
                if self.broken.fetch_add(1, Ordering::Relaxed) == 0 {
                    log::warn!("the quota ledger has broken counts in slot {slot}: they are taken as zero");
                }
                return Ok(Some(counts));
            }
            std::hint::spin_loop();
        }
        Ok(None)
    }

    /// Changes this process's lane. The stripe is held.
    fn write(
        &self,
        slot: u32,
        id: &Id,
        counts: &mut Counts,
        change: impl FnOnce(&mut Lane),
        today: Day,
    ) -> io::Result<()> {
        let lane = counts.lanes[self.lane].get_or_insert_with(|| Lane::new(today));
        change(lane);
        self.put(slot, &lane.encode(id))
    }

    /// What keeps this process's counts of a slot apart.
    fn stripe(&self, slot: u32) -> &Mutex<Known> {
        &self.stripes[slot as usize % STRIPES]
    }
}
