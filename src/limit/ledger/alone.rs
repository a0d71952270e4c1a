//! Alone: counting from memory, while no other process counts in the ledger.
//!
//! In: the locks of the lanes. Out: what one key has used, without reading the file. Never: an admitted request that is only in memory; a
//! second process that counts meanwhile.
//!
//! Who has the locks of all lanes is alone, and stays so: nobody else can take one. What others once counted does not change then, and what
//! this process counts it knows, so that a request costs one write and no read. Another process that wants a lane holds the lock of
//! `quota.wanted`. [`Ledger::settle`] sees that, gives back all lanes but its own, and never takes them again: the process that came is the
//! one that stays.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::period::Day;
use super::counts::{Counts, judge};
use super::file::take;
use super::slot::{DAYS, Head, Id, LANES, Lane, lane_at};
use super::{Counted, Ledger, offset};
use crate::config::compiled::PeriodQuota;

/// How long a process that is alone may take to see that another one wants a lane: some turns of [`Ledger::settle`].
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The locks of all other lanes, or how it stands with them.
#[derive(Debug, Default)]
pub(super) enum Rest {
    /// Others have some of them, as far as is known.
    #[default]
    Elsewhere,
    Held {
        _locks: Vec<File>,
    },
    /// They were wanted.
    Yielded,
}

/// What is known of one key while this process is alone, by slot.
pub(super) type Known = HashMap<u32, Key, ahash::RandomState>;

/// One key's counts.
#[derive(Debug)]
pub(super) struct Key {
    head: Head,
    own: Lane,
    /// Those of all other lanes together, where there are any.
    others: Option<Box<Lane>>,
}

// === impl Key ===
impl Key {
    fn new(counts: Counts, lane: usize, today: Day) -> Self {
        let Counts { head, mut lanes } = counts;
        let own = lanes.get_mut(lane).and_then(Option::take).unwrap_or_else(|| Lane::new(today));
        let others = lanes.iter().flatten().map(Lane::newest).max().map(|newest| {
            let of = |day| lanes.iter().flatten().map(|lane| lane.of(day)).sum();
            Box::new(Lane::of_days(newest, of))
        });
        Key { head, own, others }
    }

    fn judge(&self, quota: &PeriodQuota, now_ms: u64) -> Counted {
        let of = |day| self.own.of(day) + self.others.as_ref().map_or(0, |others| others.of(day));
        judge(&self.head, of, quota, now_ms)
    }

    /// Whether its slot is still its own for certain: one that was not counted in for so long may be another key's.
    fn holds(&self, id: &Id, today: Day) -> bool {
        self.head.id == *id && self.own.newest() + (DAYS as Day) > today
    }
}

// === impl Ledger ===
impl Ledger {
    /// Takes all lanes when no other process has one, and gives them back for good when one wants to count. To be called about once a
    /// second; never waits.
    ///
    /// # Errors
    /// The locks cannot be asked for; everything stays as it was.
    pub fn settle(&self) -> io::Result<()> {
        let mut rest = self.rest.lock();
        let wanted = is_wanted(&self.dir)?;
        match (&*rest, wanted) {
            (Rest::Held { .. }, true) => {
                self.between_counts(false);
                *rest = Rest::Yielded;
            }
            (Rest::Elsewhere, false) => {
                let mut locks = Vec::with_capacity(LANES - 1);
                for lane in (0..LANES).filter(|lane| *lane != self.lane) {
                    let Some(lock) = take(&self.dir, lane)? else { return Ok(()) };
                    locks.push(lock);
                }
                *rest = Rest::Held { _locks: locks };
                self.between_counts(true);
            }
            _ => {}
        }
        Ok(())
    }

    /// Changes how requests are counted while none is.
    fn between_counts(&self, alone: bool) {
        let mut stripes: Vec<_> = self.stripes.iter().map(|stripe| stripe.lock()).collect();
        stripes.iter_mut().for_each(|known| known.clear());
        self.alone.store(alone, Ordering::Release);
    }

    /// Counts one request; `None` = the slot is another key's. The stripe of `known` is held, and this process is alone.
    pub(super) fn count_alone(
        &self,
        known: &mut Known,
        slot: u32,
        id: &Id,
        quota: &PeriodQuota,
        (now_ms, today): (u64, Day),
    ) -> io::Result<Option<Counted>> {
        let Some(key) = self.known(known, slot, id, today)? else { return Ok(None) };
        let mut counted = key.judge(quota, now_ms);
        if counted.admitted {
            key.own.add(today);
            let written = self.put(slot, &key.own.encode(id));
            if let Err(error) = written {
                // What is in the file now is read the next time.
                known.remove(&slot);
                return Err(error);
            }
            counted.used += 1;
        }
        Ok(Some(counted))
    }

    /// What one more request would be by two quotas.
    pub(super) fn judged(
        &self,
        slot: u32,
        id: &Id,
        quotas: [&PeriodQuota; 2],
        (now_ms, today): (u64, Day),
    ) -> io::Result<Option<[Counted; 2]>> {
        let mut known = self.stripe(slot).lock();
        if self.alone.load(Ordering::Acquire) {
            let key = self.known(&mut known, slot, id, today)?;
            return Ok(key.map(|key| quotas.map(|quota| key.judge(quota, now_ms))));
        }
        drop(known);
        Ok(self.read(slot, id)?.map(|counts| quotas.map(|quota| counts.judge(quota, now_ms))))
    }

    fn known<'k>(&self, known: &'k mut Known, slot: u32, id: &Id, today: Day) -> io::Result<Option<&'k mut Key>> {
        if !known.get(&slot).is_some_and(|key| key.holds(id, today)) {
            let Some(counts) = self.read(slot, id)? else { return Ok(None) };
            known.insert(slot, Key::new(counts, self.lane, today));
        }
        Ok(known.get_mut(&slot))
    }

    /// Writes this process's lane of a slot.
    pub(super) fn put(&self, slot: u32, lane: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(lane, offset(slot) + lane_at(self.lane) as u64)?;
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }
}

/// A lane for a process that begins to count: the first that no living process has. One that is alone has them all, and is told that one
/// is wanted. Blocks for at most [`PATIENCE`].
pub(super) fn claim(dir: &Path) -> io::Result<Option<(usize, File)>> {
    if let Some(free) = first_free(dir)? {
        return Ok(Some(free));
    }
    let wanted = wanted(dir)?;
    let (until, mut told) = (Instant::now() + PATIENCE, false);
    loop {
        // Held until this ends. Who only looks has it for a moment; another that wants a lane tells the same.
        told = told || wanted.try_lock().is_ok();
        #[expect(clippy::disallowed_methods, reason = "once in a process that starts while another one counts")]
        std::thread::sleep(LOOK_AGAIN);
        if let Some(free) = first_free(dir)? {
            return Ok(Some(free));
        }
        if Instant::now() > until {
            return Ok(None);
        }
    }
}

fn first_free(dir: &Path) -> io::Result<Option<(usize, File)>> {
    for lane in 0..LANES {
        if let Some(held) = take(dir, lane)? {
            return Ok(Some((lane, held)));
        }
    }
    Ok(None)
}

fn wanted(dir: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("quota.wanted"))
}

fn is_wanted(dir: &Path) -> io::Result<bool> {
    match wanted(dir)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
