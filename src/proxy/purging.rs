//! Purging: a purge becomes durable, then effective, then acknowledged, here and at the other nodes.
//!
//! In: scopes, what other nodes tell. Out: the stamp from which on nothing older is served. Never: a decision of its own
//! (`fleet::Purges` decides), a scan over objects.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::cache::key;
use crate::cache::purge::Scope;
use crate::fleet::{Accepted, Acted, Bus, BusError, Delivered, FleetError, PurgeLog, Purges, Seq, Topic, Vector};

use super::phases::now_nanos;
use super::plan::{self, Target};
use super::shared::Shared;
use super::snapshot::Snapshot;

/// Between two attempts to open a log that another process still holds.
const RETRY: Duration = Duration::from_millis(20);
/// How long one message may take to be kept by the bus.
const PUBLISH: Duration = Duration::from_secs(5);

/// Applies purges.
#[derive(Debug)]
pub struct Purging {
    shared: Arc<Shared>,
    /// Closed while another process holds the log: before this one took over, and once the next one has.
    purges: ArcSwapOption<Purges>,
    /// Whether there are others to tell.
    tells: bool,
}

// === impl Purging ===
impl Purging {
    /// `tells`: there are other nodes.
    pub fn new(shared: Arc<Shared>, tells: bool) -> Self {
        Purging { shared, purges: ArcSwapOption::empty(), tells }
    }

    /// Opens the log and applies what it holds. Blocks for as long as a process that hands over still holds it, at most
    /// `patience`. With other nodes, from now until the bus was heard, or kept silent for `fleet.silence`, what the cache held before is
    /// not served.
    pub fn open(&self, path: &Path, patience: Duration) -> Result<(), FleetError> {
        let until = Instant::now() + patience;
        let opened = loop {
            match PurgeLog::open(path) {
                Ok(opened) => break opened,
                Err(error) if Instant::now() >= until => return Err(error),
                // Start-up, before any worker runs: this thread has nothing else to do.
                Err(_) => std::thread::park_timeout(RETRY),
            }
        };
        self.purges.store(Some(Arc::new(Purges::begin(opened, self.tells, acted(&self.shared)))));
        Ok(())
    }

    /// Lets go of the log, so that the process that takes over can have it. Purges are refused from here on.
    pub fn close(&self) {
        self.purges.store(None);
    }

    /// This node's name among all lineages; `None` while the log is another process's.
    pub fn lineage(&self) -> Option<u64> {
        self.purges.load().as_ref().map(|purges| purges.lineage())
    }

    /// How far the bus was taken in, on disk.
    pub fn position(&self) -> Seq {
        self.purges.load().as_ref().map_or(Seq(0), |purges| purges.position())
    }

    /// How far what the bus had is in force, on disk or not.
    pub fn in_force(&self) -> Seq {
        self.purges.load().as_ref().map_or(Seq(0), |purges| purges.in_force())
    }

    /// Whether more is in force than is on disk.
    pub fn is_behind(&self) -> bool {
        self.purges.load().as_ref().is_some_and(|purges| purges.is_behind())
    }

    /// The purges, by lineage, that are in force here and stay so: what this node says that it has seen.
    pub fn kept(&self) -> Vector {
        self.purges.load().as_ref().map_or_else(Vector::default, |purges| purges.kept())
    }

    /// Purges `scopes`, all hard or all `soft`. When this returns, the purge survives a crash, no later request is served what it
    /// covers, and the others will be told.
    pub async fn purge(&self, scopes: Vec<Scope>, soft: bool) -> Result<Accepted, FleetError> {
        let tells = self.tells;
        let scopes = as_stored(&self.shared.live.load(), scopes);
        self.blocking(move |purges, acted| purges.accept(scopes, soft, tells, acted)).await
    }

    /// Applies what the bus delivered: each purge once, together with the note that it was.
    pub async fn receive(&self, deliveries: Vec<Delivered>) -> Result<(), FleetError> {
        self.blocking(move |purges, acted| purges.receive(&deliveries, acted)).await
    }

    /// Puts in force what the bus delivered after [`Purging::in_force`], and writes nothing.
    pub async fn foresee(&self, deliveries: Vec<Delivered>) -> Result<(), FleetError> {
        self.blocking(move |purges, acted| {
            purges.foresee(&deliveries, acted);
            Ok(())
        })
        .await
    }

    /// The bus has forgotten what it had: purges everything, and takes in from its beginning what it has now.
    pub async fn restart(&self) -> Result<(), FleetError> {
        self.blocking(|purges, acted| purges.restart(acted)).await
    }

    /// Tells the others the oldest of what they do not know; `false` = there is nothing.
    pub async fn tell(&self, bus: &dyn Bus, most: usize) -> Result<bool, BusError> {
        let disk = |error: FleetError| BusError::Disk { what: "the purge log".to_owned(), why: error.to_string() };
        let outgoing = match self.blocking(move |purges, _| purges.outgoing(most)).await {
            Ok(Some(outgoing)) => outgoing,
            Ok(None) | Err(FleetError::HandedOver) => return Ok(false),
            Err(error) => return Err(disk(error)),
        };
        let (message, last) = outgoing;
        let kept = tokio::time::timeout(PUBLISH, bus.publish(Topic::Purges, message)).await;
        kept.map_err(|_| BusError::Away("no answer".to_owned()))??;
        self.blocking(move |purges, _| purges.sent(last)).await.map_err(disk)?;
        Ok(true)
    }

    /// Resolves when there may be something to tell.
    pub async fn accepted(&self) {
        match self.purges.load_full() {
            Some(purges) => purges.log().accepted().await,
            None => std::future::pending().await,
        }
    }

    /// The log syncs to disk: not on a worker.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Purges, Acted<'_>) -> Result<T, FleetError> + Send + 'static,
    ) -> Result<T, FleetError> {
        let Some(purges) = self.purges.load_full() else { return Err(FleetError::HandedOver) };
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || work(&purges, acted(&shared)));
        done.await.map_err(|join| FleetError::Interrupted(join.to_string()))?
    }
}

/// The same scopes, and each URL also as the behavior that serves it has it in its key: without the parameters that it does not tell
/// apart, in its order.
fn as_stored(snapshot: &Snapshot, mut scopes: Vec<Scope>) -> Vec<Scope> {
    let stored = scopes.iter().filter_map(|scope| {
        let Scope::Url { host, uri } = scope else { return None };
        let target = Target::parse(uri);
        let behavior = snapshot.behavior(plan::route(snapshot, host, target.path).ok()?);
        let stored = key::uri(&behavior.behavior.cache.key, target.path, target.query);
        (*stored != **uri).then(|| Scope::Url { host: host.clone(), uri: stored.into() })
    });
    let stored: Vec<Scope> = stored.collect();
    scopes.extend(stored);
    scopes
}

/// What purges act on here, now.
fn acted(shared: &Shared) -> Acted<'_> {
    let scopes = shared.live.peek().config.store.purge_scopes;
    Acted { marks: &shared.marks, stamps: &shared.stamps, seen: &shared.seen, scopes, now: now_nanos() }
}
