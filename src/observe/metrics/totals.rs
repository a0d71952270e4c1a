//! Totals: what the admin endpoint tells `rimward top`.
//!
//! In: sums since start. Out: the same as JSON both sides agree on. Never: rates (two readings make those).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Paths told at most.
pub const TOP_PATHS: usize = 20;

/// Everything `rimward top` shows, counted since start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Milliseconds since the epoch when the counters were read.
    pub at_ms: u64,
    pub pop: String,
    /// Upper bounds of the latency buckets, in seconds; the last bucket has none.
    pub bounds_s: Vec<f64>,
    pub behaviors: Vec<BehaviorTotals>,
    pub origins: Vec<OriginTotals>,
    /// Heaviest paths first, with estimated shares of recent requests.
    pub paths: Vec<PathShare>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BehaviorTotals {
    pub name: String,
    /// Requests by cache outcome; outcomes that never happened are left out.
    pub cache: BTreeMap<String, u64>,
    /// Answers with a 5xx status.
    pub errors: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Requests by duration, not cumulative.
    pub buckets: Vec<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OriginTotals {
    pub name: String,
    pub errors: u64,
    pub attempts: u64,
    /// Visits by time to first byte, not cumulative.
    pub buckets: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathShare {
    /// Host and path.
    pub path: String,
    /// 0–1.
    pub share: f64,
}
