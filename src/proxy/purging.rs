//! Purging: an operator's purge becomes durable, then effective, then acknowledged.
//!
//! In: scopes. Out: the stamp from which on nothing older is served. Never: a scan over objects.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::object::Stamp;
use crate::cache::purge::{Purge, Scope};
use arc_swap::ArcSwapOption;

use crate::fleet::{FleetError, PurgeLog};

use super::phases::now_nanos;
use super::shared::Shared;

/// Between two attempts to open a log that another process still holds.
const RETRY: Duration = Duration::from_millis(20);

/// Applies purges of this PoP.
#[derive(Debug)]
pub struct Purging {
    shared: Arc<Shared>,
    /// Closed while another process holds it: before this one took over, and once the next one has.
    log: ArcSwapOption<PurgeLog>,
}

// === impl Purging ===
impl Purging {
    pub fn new(shared: Arc<Shared>) -> Self {
        Purging { shared, log: ArcSwapOption::empty() }
    }

    /// Opens the log and applies what it holds. Blocks for as long as a process that hands over still holds it, at most
    /// `patience`.
    pub fn open(&self, path: &Path, patience: Duration) -> Result<(), FleetError> {
        let until = Instant::now() + patience;
        let (log, purges) = loop {
            match PurgeLog::open(path) {
                Ok(opened) => break opened,
                Err(error) if Instant::now() >= until => return Err(error),
                // Start-up, before any worker runs: this thread has nothing else to do.
                Err(_) => std::thread::park_timeout(RETRY),
            }
        };
        self.shared.marks.apply(&purges);
        self.shared.stamps.pass(log.last());
        self.log.store(Some(Arc::new(log)));
        Ok(())
    }

    /// Lets go of the log, so that the process that takes over can have it. Purges are refused from here on.
    pub fn close(&self) {
        self.log.store(None);
    }

    /// Purges `scopes`, all hard or all `soft`. When this returns, the purge survives a crash and no later request is served what it covers.
    pub async fn purge(&self, scopes: Vec<Scope>, soft: bool) -> Result<Stamp, FleetError> {
        let mut last = Stamp(0);
        let purges: Vec<Purge> = scopes
            .into_iter()
            .map(|scope| {
                last = self.shared.stamps.next(now_nanos());
                Purge { scope, soft, at: last }
            })
            .collect();
        let Some(log) = self.log.load_full() else { return Err(FleetError::HandedOver) };
        let shared = self.shared.clone();
        let bound = shared.live.peek().config.store.purge_scopes;
        // The log syncs to disk: not on a worker.
        let done = tokio::task::spawn_blocking(move || {
            log.append(&purges)?;
            shared.marks.apply(&purges);
            if log.overgrown(bound) {
                log.compact(&shared.marks)?;
            }
            Ok(())
        });
        match done.await {
            Ok(result) => result.map(|()| last),
            Err(join) => Err(FleetError::Interrupted(join.to_string())),
        }
    }
}
