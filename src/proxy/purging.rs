//! Purging: a purge becomes durable, then effective, then acknowledged, here and at the other nodes.
//!
//! In: scopes, what other nodes tell. Out: the stamp from which on nothing older is served. Never: a scan over objects.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::cache::object::Stamp;
use crate::cache::purge::{Purge, Scope};
use crate::fleet::{Bus, BusError, Delivered, FleetError, Opened, Progress, PurgeLog, Received, Seq, Topic};

use super::phases::now_nanos;
use super::shared::Shared;

/// Between two attempts to open a log that another process still holds.
const RETRY: Duration = Duration::from_millis(20);
/// How long one message may take to be kept by the bus.
const PUBLISH: Duration = Duration::from_secs(5);

/// Applies purges.
#[derive(Debug)]
pub struct Purging {
    shared: Arc<Shared>,
    /// Closed while another process holds it: before this one took over, and once the next one has.
    log: ArcSwapOption<PurgeLog>,
    /// How far the bus was taken in.
    progress: Mutex<Progress>,
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
        Purging { shared, log: ArcSwapOption::empty(), progress: Mutex::default(), effective: Mutex::default(), tells }
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

    /// Purges `scopes`, all hard or all `soft`. When this returns, the purge survives a crash, no later request is served what it
    /// covers, and the others will be told.
    pub async fn purge(&self, scopes: Vec<Scope>, soft: bool) -> Result<Accepted, FleetError> {
        let scopes = scopes.into_iter().map(|scope| Purge { scope, soft, at: Stamp(0) }).collect();
        let (purges, stamp) = self.stamped(scopes);
        if !self.tells {
            self.apply(purges, |log, purges| log.append(purges)).await?;
            return Ok(Accepted { stamp, number: 0 });
        }
        let Some(lineage) = self.lineage() else { return Err(FleetError::HandedOver) };
        let given = Arc::new(AtomicU64::new(0));
        let (shared, noted) = (self.shared.clone(), given.clone());
        let applied = self
            .apply(purges, move |log, purges| {
                let (number, outcome) = log.accept(purges);
                noted.store(number, Ordering::Release);
                outcome?;
                // Before it is in force here: see `vector::Seen`.
                shared.seen.announce(lineage, number);
                Ok(())
            })
            .await;
        let number = given.load(Ordering::Acquire);
        self.in_force(lineage, number);
        applied.map(|()| Accepted { stamp, number })
    }

    /// Applies what the bus delivered: each purge once, together with the note that it was.
    pub async fn receive(&self, deliveries: Vec<Delivered>) -> Result<(), FleetError> {
        let Some(log) = self.log.load_full() else { return Err(FleetError::HandedOver) };
        let (mut received, mut progress) = (Received::default(), self.progress.lock().clone());
        deliveries.iter().for_each(|delivered| received.take(delivered, log.lineage(), &mut progress));
        let (purges, _) = self.stamped(received.purges);
        let (written, shared, vector) = (progress.clone(), self.shared.clone(), progress.seen.vector());
        let announced = vector.clone();
        self.apply(purges, move |log, purges| {
            log.receive(purges, &written)?;
            shared.seen.announce_all(&announced);
            Ok(())
        })
        .await?;
        self.shared.seen.done_all(&vector);
        *self.progress.lock() = progress;
        Ok(())
    }

    /// The bus has forgotten what it had: purges everything, and takes in from its beginning what it has now. Blocks on the disk.
    pub fn restart(&self) -> Result<(), FleetError> {
        let Some(log) = self.log.load_full() else { return Err(FleetError::HandedOver) };
        let (purges, _) = self.stamped(vec![Purge { scope: Scope::All, soft: false, at: Stamp(0) }]);
        let mut progress = self.progress.lock();
        let mut fresh = Progress { position: Seq(0), seen: progress.seen.clone() };
        fresh.seen.lost();
        log.receive(&purges, &fresh)?;
        self.shared.marks.apply(&purges);
        *progress = fresh;
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
        sent.map_err(|error| BusError::Refused(error.to_string()))?.map_err(disk)?;
        Ok(true)
    }

    /// Resolves when there may be something to tell.
    pub async fn accepted(&self) {
        match self.log.load_full() {
            Some(log) => log.accepted().await,
            None => std::future::pending().await,
        }
    }

    /// The same purges by this node's clock, and the last stamp.
    fn stamped(&self, mut purges: Vec<Purge>) -> (Vec<Purge>, Stamp) {
        let mut last = Stamp(0);
        for purge in &mut purges {
            last = self.shared.stamps.next(now_nanos());
            purge.at = last;
        }
        (purges, last)
    }

    /// Durable, then effective.
    async fn apply<T: Send + 'static>(
        &self,
        purges: Vec<Purge>,
        write: impl FnOnce(&PurgeLog, &[Purge]) -> Result<T, FleetError> + Send + 'static,
    ) -> Result<T, FleetError> {
        let Some(log) = self.log.load_full() else { return Err(FleetError::HandedOver) };
        let shared = self.shared.clone();
        let bound = shared.live.peek().config.store.purge_scopes;
        // The log syncs to disk: not on a worker.
        let done = tokio::task::spawn_blocking(move || {
            let written = write(&log, &purges)?;
            if !purges.is_empty() {
                shared.marks.apply(&purges);
            }
            if log.overgrown(bound) {
                log.compact(&shared.marks)?;
            }
            Ok(written)
        });
        done.await.map_err(|join| FleetError::Interrupted(join.to_string()))?
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
