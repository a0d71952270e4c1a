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

/// Calls of one function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionTotals {
    pub name: String,
    pub calls: u64,
    /// Calls by how they ended; what never happened is left out.
    pub outcomes: BTreeMap<String, u64>,
    /// CPU and wall-clock time of all calls together.
    pub cpu_ms: f64,
    pub wall_ms: f64,
    /// CPU time of one call; `None` = there was none.
    pub cpu_p50_ms: Option<f64>,
    pub cpu_p99_ms: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathShare {
    /// Host and path.
    pub path: String,
    /// 0–1.
    pub share: f64,
}
