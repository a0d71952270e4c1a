//! Registry: the state of limits, which outlives the configuration that names them.
//!
//! In: what a limit is. Out: its state, the same one as long as a configuration that runs names the same limit. Never: state
//! that nobody names.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::bucket::Buckets;
use super::heavy::Heavy;
use super::inflight::Inflight;
use super::sharing::Sharing;
use crate::config::compiled::{Per, Quota};

/// One for the life of the process. It holds nothing alive: the limits of a configuration do, so that a limit's state is kept
/// when the next configuration is made while the last one runs, and goes with the last one that names it.
#[derive(Debug, Default)]
pub struct Registry {
    buckets: Mutex<HashMap<(Scope, Quota, usize), Weak<Buckets>>>,
    inflight: Mutex<HashMap<(Scope, NonZeroU32, usize), Weak<Inflight>>>,
    heavy: Mutex<HashMap<NonZeroU32, Weak<Heavy>>>,
    shared: Mutex<HashMap<(Scope, Quota, usize), Weak<Buckets>>>,
    sharing: Arc<Sharing>,
}

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    Account,
    /// Answers about names.
    Names,
    Plan {
        plan: String,
    },
    Method {
        plan: String,
        stage: Option<String>,
        path: String,
        method: Option<http::Method>,
    },
    Limit {
        behavior: String,
        limit: String,
        per: Per,
    },
}

// === impl Registry ===
impl Registry {
    /// `seed` is the same on every node of a fleet, and known to nobody else.
    pub fn new(seed: u64) -> Self {
        Registry { sharing: Arc::new(Sharing::new(seed)), ..Registry::default() }
    }

    pub fn sharing(&self) -> &Arc<Sharing> {
        &self.sharing
    }

    /// The same as [`Registry::buckets`], or buckets that all nodes share.
    pub fn buckets_of(&self, scope: Scope, quota: Quota, keys: usize, shared: bool) -> Arc<Buckets> {
        if !shared {
            return self.buckets(scope, quota, keys);
        }
        let limit = Sharing::limit(&format!("{scope:?} {quota:?}"));
        let make = || Buckets::shared(quota, keys, limit, self.sharing.clone());
        let buckets = of(&self.shared, (scope, quota, keys), make);
        self.sharing.enlist(limit, &buckets);
        buckets
    }

    /// A limit whose quota (or number of keys) has changed is another one, and begins with full buckets.
    pub fn buckets(&self, scope: Scope, quota: Quota, keys: usize) -> Arc<Buckets> {
        of(&self.buckets, (scope, quota, keys), || Buckets::new(quota, keys))
    }

    pub fn inflight(&self, scope: Scope, most: NonZeroU32, keys: usize) -> Arc<Inflight> {
        of(&self.inflight, (scope, most, keys), || Inflight::new(most, keys))
    }

    pub fn heavy(&self, per_second: NonZeroU32) -> Arc<Heavy> {
        of(&self.heavy, per_second, || Heavy::new(per_second))
    }
}

fn of<K: Eq + std::hash::Hash, T>(known: &Mutex<HashMap<K, Weak<T>>>, key: K, make: impl FnOnce() -> T) -> Arc<T> {
    let mut known = known.lock();
    if let Some(found) = known.get(&key).and_then(Weak::upgrade) {
        return found;
    }
    known.retain(|_, held| held.strong_count() > 0);
    let made = Arc::new(make());
    known.insert(key, Arc::downgrade(&made));
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn state_lives_as_long_as_somebody_names_it() {
        let registry = Registry::default();
        let quota = |burst| Quota { every: Duration::from_secs(1), burst: NonZeroU32::new(burst).unwrap() };
        let scope = |limit: &str| Scope::Limit { behavior: "b".into(), limit: limit.into(), per: Per::ApiKey };
        let first = registry.buckets(scope("a"), quota(1), 10);
        assert!(first.check(b"k", 0).allowed);
        let again = registry.buckets(scope("a"), quota(1), 10);
        drop(first);
        assert!(!again.check(b"k", 0).allowed, "the same bucket");
        assert!(registry.buckets(scope("a"), quota(2), 10).check(b"k", 0).allowed, "another quota");
        assert!(registry.buckets(scope("b"), quota(1), 10).check(b"k", 0).allowed, "another limit");
        drop(again);
        assert!(registry.buckets(scope("a"), quota(1), 10).check(b"k", 0).allowed, "forgotten");
        assert_eq!(registry.buckets.lock().len(), 1);
    }
}
