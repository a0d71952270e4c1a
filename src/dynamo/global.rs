//! Global: tables that several PoPs have, as what carries them between PoPs sees them.
//!
//! In: what other PoPs wrote. Out: the same here, with the caches told; what this PoP wrote. Never: a unit charged or a write throttled:
//! the PoP that took a write has charged it.

use std::sync::Arc;

use super::cache::epochs::Scope;
use super::engine::Embedded;
use super::fault::Fault;
use super::front::Front;
use super::front::written::{Forgetting, of_items};
use super::version::{Outgoing, Version};

/// The global tables of one front. Clones share it.
#[derive(Clone)]
pub struct Global {
    front: Arc<Front>,
    engine: Arc<Embedded>,
}

// === impl Global ===
impl Global {
    pub(super) fn new(front: Arc<Front>, engine: Arc<Embedded>) -> Global {
        Global { front, engine }
    }

    /// Waits until something was written, which may be told already.
    pub async fn changed(&self) {
        match self.engine.replicas() {
            Some(replicas) => replicas.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Some of what other PoPs do not know, at most `most`; nothing: they know all.
    ///
    /// # Errors
    /// The engine's: it may be asked again.
    pub async fn untold(&self, most: usize) -> Result<Vec<Outgoing>, Fault> {
        self.engine.untold(most).await
    }

    /// They are where other PoPs find them, durably.
    ///
    /// # Errors
    /// The engine's: they may be told again.
    pub async fn told(&self, each: Vec<Outgoing>) -> Result<(), Fault> {
        self.engine.told(each).await
    }

    /// How far the other PoPs' writes were read.
    ///
    /// # Errors
    /// The engine's.
    pub async fn position(&self) -> Result<u64, Fault> {
        self.engine.position().await
    }

    /// Takes in writes of all PoPs, each with its position, in any order and as often as may be; then they are read up to
    /// `position`. How many changed something here.
    ///
    /// # Errors
    /// The engine's: they may be given again.
    pub async fn apply(&self, heard: Vec<(u64, Version)>, position: u64) -> Result<usize, Fault> {
        let heard: Arc<[(u64, Version)]> = heard.into();
        let result = self.engine.apply(Arc::clone(&heard), position).await;
        match &result {
            Ok(applied) => {
                self.forget(applied.iter().filter_map(|at| heard.get(*at)).map(|(_, version)| version)).await
            }
            // Which of them were applied is not known.
            Err(_) => heard.iter().for_each(|(_, one)| self.front.caches.epochs.bump(Scope::Table(&one.table))),
        }
        let applied = result?.len();
        self.front.metrics.replicated(applied);
        Ok(applied)
    }

    /// What carries the writes has lost those it had: all are told again, and all are read from the beginning.
    ///
    /// # Errors
    /// The engine's.
    pub async fn afresh(&self) -> Result<(), Fault> {
        self.engine.afresh().await
    }

    async fn forget(&self, applied: impl Iterator<Item = &Version>) {
        if !self.front.caches.any() {
            return;
        }
        let applied: Vec<_> = applied.map(|version| (version.table.as_str(), version.content.attributes())).collect();
        let mut names: Vec<String> = applied.iter().map(|(table, _)| (*table).to_owned()).collect();
        names.dedup();
        let known = self.front.tables(&names).await.unwrap_or_default();
        drop(Forgetting::new(&self.front, of_items(&applied, &known)));
    }
}

impl std::fmt::Debug for Global {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Global").field("engine", &self.engine).finish_non_exhaustive()
    }
}
