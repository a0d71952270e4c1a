//! Purging: a purge becomes durable, then effective, then acknowledged, here and at the other nodes.
//!
//! In: scopes, what other nodes tell. Out: the stamp from which on nothing older is served. Never: a scan over objects.

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::cache::object::Stamp;
use crate::cache::purge::{Purge, Scope};
use crate::fleet::{Bus, BusError, Delivered, FleetError, Opened, Progress, PurgeLog, Received, Seq, Topic, Vector};

use super::phases::now_nanos;
use super::shared::Shared;

/// Between two attempts to open a log that another process still holds.
const RETRY: Duration = Duration::from_millis(20);
/// How long one message may take to be kept by the bus.
const PUBLISH: Duration = Duration::from_secs(5);
/// Purges of other nodes that wait for room on the disk; when there are more, they become one of everything.
const UNWRITTEN_MAX: usize = 10_000;

/// Applies purges.
#[derive(Debug)]
pub struct Purging {
    shared: Arc<Shared>,
    /// Closed while another process holds it: before this one took over, and once the next one has.
    log: ArcSwapOption<PurgeLog>,
    /// How far the bus was taken in: all of that is in force.
    progress: Mutex<Progress>,
    /// What of it is on disk too.
    written: Mutex<Vector>,
    /// What is not: the disk is full. Held by who takes in or writes down, so that only one does.
    unwritten: tokio::sync::Mutex<Vec<Purge>>,
    /// Whether there is such. Entries that those make needless stay in the log meanwhile.
    behind: Arc<AtomicBool>,
    /// Own numbers whose purges are in force, or never came to be: without a gap up to the first, and those past one.
    effective: Mutex<(u64, BTreeSet<u64>)>,
    /// Whether there are others to tell.
    tells: bool,
}

/// A purge that counts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub stamp: Stamp,
    /// Its number among this node's, which others are told; 0 = there are none.
    pub number: u64,
}

// === impl Purging ===
impl Purging {
    /// `tells`: there are other nodes.
    pub fn new(shared: Arc<Shared>, tells: bool) -> Self {
        Purging {
            shared,
            log: ArcSwapOption::empty(),
            progress: Mutex::default(),
            written: Mutex::default(),
            unwritten: tokio::sync::Mutex::default(),
            behind: Arc::default(),
            effective: Mutex::default(),
            tells,
        }
    }

    /// Opens the log and applies what it holds. Blocks for as long as a process that hands over still holds it, at most
    /// `patience`.
    pub fn open(&self, path: &Path, patience: Duration) -> Result<(), FleetError> {
        let until = Instant::now() + patience;
        let Opened { log, purges, progress } = loop {
            match PurgeLog::open(path) {
                Ok(opened) => break opened,
                Err(error) if Instant::now() >= until => return Err(error),
                // Start-up, before any worker runs: this thread has nothing else to do.
                Err(_) => std::thread::park_timeout(RETRY),
            }
        };
        self.shared.marks.apply(&purges);
        self.shared.stamps.pass(log.last());
        self.shared.seen.done_all(&progress.seen.vector());
        self.shared.seen.done(log.lineage(), log.number());
        self.effective.lock().0 = log.number();
        *self.written.lock() = progress.seen.vector();
        *self.progress.lock() = progress;
        self.log.store(Some(Arc::new(log)));
        Ok(())
    }

    /// Lets go of the log, so that the process that takes over can have it. Purges are refused from here on.
    pub fn close(&self) {
        self.log.store(None);
    }

    /// This node's name among all lineages; `None` while the log is another process's.
    pub fn lineage(&self) -> Option<u64> {
        self.log.load().as_ref().map(|log| log.lineage())
    }

    /// How far the bus was taken in.
    pub fn position(&self) -> Seq {
        self.progress.lock().position
    }

    /// The purges, by lineage, that are in force here and stay so: what this node says that it has seen.
    pub fn kept(&self) -> Vector {
        let mut kept = self.written.lock().clone();
        if let Some(lineage) = self.lineage() {
            kept.advance(lineage, self.effective.lock().0);
        }
        kept
    }

    /// Purges `scopes`, all hard or all `soft`. When this returns, the purge survives a crash, no later request is served what it
    /// covers, and the others will be told.
    pub async fn purge(&self, scopes: Vec<Scope>, soft: bool) -> Result<Accepted, FleetError> {
        let purges: Vec<Purge> = scopes.into_iter().map(|scope| Purge { scope, soft, at: Stamp(0) }).collect();
        let Some(lineage) = self.lineage() else { return Err(FleetError::HandedOver) };
        let tells = self.tells;
        let (number, written) = self
            .apply(move |log, shared| {
                if !tells {
                    let purges = stamped(shared, purges);
                    return (0, log.append(&purges).map(|()| purges));
                }
                let mut made = Vec::new();
                let (number, written) = log.accept(|number| {
                    // Before it has a stamp: see `vector::Seen`.
                    shared.seen.announce(lineage, number);
                    made = stamped(shared, purges);
                    made.clone()
                });
                (number, written.map(|()| made))
            })
            .await?;
        if tells {
            self.in_force(lineage, number);
        }
        written.map(|stamp| Accepted { stamp, number })
    }

    /// Applies what the bus delivered: each purge once, together with the note that it was. What a full disk does not take is in force
    /// all the same; it is written by [`Purging::write_down`] once there is room, and not [`Purging::kept`] before.
    pub async fn receive(&self, deliveries: Vec<Delivered>) -> Result<(), FleetError> {
        let Some(log) = self.log.load_full() else { return Err(FleetError::HandedOver) };
        let mut unwritten = self.unwritten.lock().await;
        let (mut received, mut progress) = (Received::default(), self.progress.lock().clone());
        deliveries.iter().for_each(|delivered| received.take(delivered, log.lineage(), &mut progress));
        self.take_in(&mut unwritten, received.purges, progress).await
    }

    /// The bus has forgotten what it had: purges everything, and takes in from its beginning what it has now.
    pub async fn restart(&self) -> Result<(), FleetError> {
        let mut unwritten = self.unwritten.lock().await;
        let mut fresh = Progress { position: Seq(0), seen: self.progress.lock().seen.clone() };
        fresh.seen.lost();
        let all = vec![Purge { scope: Scope::All, soft: false, at: Stamp(0) }];
        self.take_in(&mut unwritten, all, fresh).await
    }

    /// Writes what the disk did not take before; whether anything was written.
    pub async fn write_down(&self) -> Result<bool, FleetError> {
        if !self.behind.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mut unwritten = self.unwritten.lock().await;
        let progress = self.progress.lock().clone();
        self.take_in(&mut unwritten, Vec::new(), progress).await?;
        Ok(!self.behind.load(Ordering::Acquire))
    }

    async fn take_in(
        &self,
        unwritten: &mut Vec<Purge>,
        purges: Vec<Purge>,
        progress: Progress,
    ) -> Result<(), FleetError> {
        let (next, vector) = (progress.clone(), progress.seen.vector());
        // Before they have stamps: see `vector::Seen`.
        self.shared.seen.announce_all(&vector);
        let purges = stamped(&self.shared, purges);
        let mut all = mem::take(unwritten);
        all.extend(purges.iter().cloned());
        let (writing, behind) = (all.clone(), self.behind.clone());
        let applied = self.apply(move |log, _| {
            let written = log.receive(&writing, &next);
            // Before they are in force: see there.
            let was_behind = behind.swap(written.is_err(), Ordering::AcqRel);
            ((was_behind, written), Ok(purges))
        });
        let written = match applied.await {
            Ok((written, _)) => written,
            Err(error) => {
                *unwritten = all;
                return Err(error);
            }
        };
        match written {
            (_, Ok(())) => *self.written.lock() = vector.clone(),
            (was_behind, Err(error)) => {
                if !was_behind {
                    log::warn!("purges of other nodes are in force, and wait for room on the disk: {error}");
                }
                if all.len() > UNWRITTEN_MAX {
                    // Not in force as one: it only has to cover them after a crash.
                    let at = all.iter().map(|purge| purge.at).max().unwrap_or_default();
                    all = vec![Purge { scope: Scope::All, soft: false, at }];
                }
                *unwritten = all;
            }
        }
        self.shared.seen.done_all(&vector);
        *self.progress.lock() = progress;
        Ok(())
    }

    /// Tells the others the oldest of what they do not know; `false` = there is nothing.
    pub async fn tell(&self, bus: &dyn Bus, most: usize) -> Result<bool, BusError> {
        let Some(log) = self.log.load_full() else { return Ok(false) };
        let disk = |error: FleetError| BusError::Disk { what: "the purge log".to_owned(), why: error.to_string() };
        let reader = log.clone();
        let read = tokio::task::spawn_blocking(move || reader.outgoing(most)).await;
        let Some(outgoing) = read.map_err(|error| BusError::Refused(error.to_string()))?.map_err(disk)? else {
            return Ok(false);
        };
        let kept = tokio::time::timeout(PUBLISH, bus.publish(Topic::Purges, outgoing.message(log.lineage())));
        kept.await.map_err(|_| BusError::Away("no answer".to_owned()))??;
        let sent = tokio::task::spawn_blocking(move || log.sent(outgoing.last)).await;
        if let Err(error) = sent.map_err(|error| BusError::Refused(error.to_string()))? {
            log::warn!("what others were told stays in the purge log: {error}");
        }
        Ok(true)
    }

    /// Resolves when there may be something to tell.
    pub async fn accepted(&self) {
        match self.log.load_full() {
            Some(log) => log.accepted().await,
            None => std::future::pending().await,
        }
    }

    /// Durable, then effective: `write` gives the purges that are to be in force; this the last stamp of those.
    async fn apply<T: Send + 'static>(
        &self,
        write: impl FnOnce(&PurgeLog, &Shared) -> (T, Result<Vec<Purge>, FleetError>) + Send + 'static,
    ) -> Result<(T, Result<Stamp, FleetError>), FleetError> {
        let Some(log) = self.log.load_full() else { return Err(FleetError::HandedOver) };
        let (shared, behind) = (self.shared.clone(), self.behind.clone());
        let bound = shared.live.peek().config.store.purge_scopes;
        // The log syncs to disk: not on a worker.
        let done = tokio::task::spawn_blocking(move || {
            let (came_to, purges) = write(&log, &shared);
            let purges = match purges {
                Ok(purges) => purges,
                Err(error) => return (came_to, Err(error)),
            };
            if !purges.is_empty() {
                shared.marks.apply(&purges);
            }
            if log.overgrown(bound)
                && !behind.load(Ordering::Acquire)
                && let Err(error) = log.compact(&shared.marks)
            {
                log::warn!("the purge log stays long: {error}");
            }
            (came_to, Ok(purges.last().map_or(Stamp(0), |purge| purge.at)))
        });
        done.await.map_err(|join| FleetError::Interrupted(join.to_string()))
    }

    /// Notes that an own number's purges are in force, or never will be: once all before it are too, other nodes may count on it.
    fn in_force(&self, lineage: u64, number: u64) {
        let mut effective = self.effective.lock();
        let (upto, ahead) = &mut *effective;
        ahead.insert(number);
        while ahead.first().is_some_and(|next| *next <= *upto + 1) {
            *upto = (*upto).max(ahead.pop_first().unwrap_or(0));
        }
        self.shared.seen.done(lineage, *upto);
    }
}

/// The same purges by this node's clock.
fn stamped(shared: &Shared, mut purges: Vec<Purge>) -> Vec<Purge> {
    for purge in &mut purges {
        purge.at = shared.stamps.next(now_nanos());
    }
    purges
}
