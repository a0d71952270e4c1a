//! Snapshot: everything one request needs of the configuration, immutable.
//!
//! In: a compiled configuration. Out: routes, origins and per-behavior data behind one `Arc`. Never: changes after it is built.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::behavior::headers::HeadEdits;
use crate::config::compiled::{Behavior, BehaviorId, Config};
use crate::observe::{BehaviorMetrics, Metrics, OriginMetrics};
use crate::origin::Origins;
use crate::route::Table;

use super::edge::Signature;
use super::functions::{Chains, LoadError, Set};

/// One configuration as the request path uses it.
pub struct Snapshot {
    pub config: Config,
    pub routes: Table,
    pub origins: Arc<Origins>,
    pub served: Vec<Arc<Served>>,
    /// By `OriginId`.
    pub origin_metrics: Vec<Arc<OriginMetrics>>,
    pub signature: Signature,
    pub functions: Set,
}

/// One behavior with what is computed once from it.
pub struct Served {
    pub behavior: Arc<Behavior>,
    /// Header edits that no request changes, over plain and over TLS connections; `None` sends hits down the full path.
    pub edits: [Option<HeadEdits>; 2],
    pub metrics: Arc<BehaviorMetrics>,
    pub chains: Chains,
}

impl Snapshot {
    /// # Errors
    /// A function attached to an event that it has no handler for.
    pub fn new(config: Config, origins: Arc<Origins>, functions: Set, metrics: &Metrics) -> Result<Self, LoadError> {
        let routes = Table::new(&config.behaviors);
        let counters = metrics.behaviors(config.behaviors.iter().map(|b| b.name.as_str()));
        let served = config
            .behaviors
            .iter()
            .zip(counters)
            .map(|(behavior, metrics)| {
                let chains = Chains::new(&config, behavior, &functions.loaded)?;
                let plain = chains.viewer_request.is_empty() && chains.viewer_response.is_empty();
                let edits = [false, true].map(|tls| HeadEdits::new(&behavior.response, tls).filter(|_| plain));
                Ok(Arc::new(Served { behavior: behavior.clone(), edits, metrics, chains }))
            })
            .collect::<Result<_, LoadError>>()?;
        let origin_metrics = metrics.origins(config.origins.iter().map(|o| o.name.as_str()));
        let signature = Signature::new(&config.pop.code);
        Ok(Snapshot { config, routes, origins, served, origin_metrics, signature, functions })
    }

    /// The behavior with this index; indexes come from this snapshot's own routes.
    pub fn behavior(&self, id: BehaviorId) -> &Arc<Served> {
        &self.served[id]
    }
}

/// The snapshot in force. Requests load it once and keep what they loaded.
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Live(ArcSwap::new(snapshot))
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// A borrow without touching the reference count, for the fast lane.
    pub fn peek(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.load()
    }

    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshot").field(&self.config.digest).finish()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.peek().config.digest).finish()
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Served").field(&self.behavior.name).finish()
    }
}
