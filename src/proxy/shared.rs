//! Shared: what both lanes and every request use for as long as the process lives.

use std::sync::Arc;

use pingora::cache::lock::{CacheKeyLockImpl, CacheLock};
use pingora::cache::predictor::Predictor;

use crate::cache::object::Stamps;
use crate::cache::purge::{Marks, MarksCell};
use crate::cache::store::Tiers;
use crate::fleet::{Board, Seen};
use crate::integration::Integrations;
use crate::observe::Observer;
use crate::origin::Pool;

use super::failures::Failures;
use super::functions::Functions;
use super::guard::Guard;
use super::handing::Handed;
use super::keeping::ONE_VIEWERS;
use super::snapshot::Live;
use super::soft::Revalidations;

/// Keys remembered as uncacheable, so that requests for them do not queue behind each other: 32 shards of this many.
const PREDICTED_PER_SHARD: usize = 4096;

/// Process-wide state. The parts Pingora wants as `'static` are leaked once, here.
pub struct Shared {
    pub live: Live,
    pub tiers: &'static Tiers,
    pub lock: &'static CacheKeyLockImpl,
    pub predictor: &'static Predictor<32>,
    pub marks: MarksCell,
    /// How much of the fleet's purges has taken effect here.
    pub seen: Seen,
    pub stamps: Stamps,
    pub revalidations: Arc<Revalidations>,
    /// What origins have just failed for.
    pub failures: Failures,
    pub observer: Arc<Observer>,
    pub functions: Functions,
    pub guard: Guard,
    pub integrations: Integrations,
    pub handed: Handed,
    /// How every node of the fleet is.
    pub board: Arc<Board>,
    /// Connections of the pass-through lane.
    pub pool: Pool,
}

impl Shared {
    pub fn new(
        live: Live,
        tiers: &'static Tiers,
        observer: Arc<Observer>,
        functions: Functions,
        guard: Guard,
        integrations: Integrations,
    ) -> Self {
        // A fill that is older than this no longer holds others back; it goes on by itself.
        let config = live.load().config.store.clone();
        let (age, scopes) = (config.collapse_timeout, config.purge_scopes);
        Shared {
            live,
            tiers,
            lock: Box::leak(CacheLock::new_boxed(age)),
            predictor: Box::leak(Box::new(Predictor::new(PREDICTED_PER_SHARD, Some(|why| why == ONE_VIEWERS)))),
            marks: MarksCell::new(Marks::new(scopes)),
            seen: Seen::default(),
            stamps: Stamps::default(),
            revalidations: Arc::default(),
            failures: Failures::default(),
            observer,
            functions,
            guard,
            integrations,
            handed: Handed::default(),
            board: Arc::default(),
            pool: Pool::default(),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("live", &self.live).finish_non_exhaustive()
    }
}
