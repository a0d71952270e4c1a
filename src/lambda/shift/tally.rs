//! Tally: how the latest calls of some versions went.
//!
//! In: calls, as they end. Out: counts over a window. Never: more calls than a bound, a version that nobody watches.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::plan::Counts;

/// Calls of one version that are remembered.
const CALLS_MAX: usize = 10_000;

/// By name and version.
#[derive(Debug, Default)]
pub(in crate::lambda) struct Tally(Mutex<HashMap<(String, String), VecDeque<Call>>>);

#[derive(Debug, Clone, Copy)]
struct Call {
    at_ms: u64,
    took_ms: u64,
    failed: bool,
}

// === impl Tally ===
impl Tally {
    /// Watches these versions, and no others; what is known of one that is watched already is kept.
    pub(in crate::lambda) fn watch(&self, versions: &[(String, String)]) {
        let mut all = self.0.lock();
        all.retain(|version, _| versions.contains(version));
        for version in versions {
            all.entry(version.clone()).or_default();
        }
    }

    /// Whether calls of this version are remembered.
    pub(in crate::lambda) fn watches(&self, name: &str, version: &str) -> bool {
        let all = self.0.lock();
        // Mostly nothing is watched: no key is made for that.
        !all.is_empty() && all.contains_key(&(name.to_owned(), version.to_owned()))
    }

    /// A call that is over at `at_ms`.
    pub(in crate::lambda) fn add(&self, name: &str, version: &str, at_ms: u64, took_ms: u64, failed: bool) {
        let mut all = self.0.lock();
        // Mostly nothing is watched: no key is made for that.
        if all.is_empty() {
            return;
        }
        if let Some(calls) = all.get_mut(&(name.to_owned(), version.to_owned())) {
            if calls.len() == CALLS_MAX {
                calls.pop_front();
            }
            calls.push_back(Call { at_ms, took_ms, failed });
        }
    }

    /// The calls of the last `window_ms`.
    pub(in crate::lambda) fn counts(&self, name: &str, version: &str, window_ms: u64, now_ms: u64) -> Counts {
        let all = self.0.lock();
        let Some(calls) = all.get(&(name.to_owned(), version.to_owned())) else { return Counts::default() };
        let from = now_ms.saturating_sub(window_ms);
        let recent: Vec<Call> = calls.iter().filter(|call| call.at_ms >= from).copied().collect();
        drop(all);
        let mut took: Vec<u64> = recent.iter().map(|call| call.took_ms).collect();
        took.sort_unstable();
        // The nearest rank.
        let rank = (took.len() * 99).div_ceil(100).saturating_sub(1);
        let errors = recent.iter().filter(|call| call.failed).count();
        Counts { calls: recent.len(), errors, p99_ms: took.get(rank).copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_counts() {
        let tally = Tally::default();
        let key = ("f".to_owned(), "2".to_owned());
        tally.add("f", "2", 0, 1, true);
        assert_eq!(tally.counts("f", "2", 1_000, 0), Counts::default(), "nobody watched");
        tally.watch(std::slice::from_ref(&key));
        for n in 0..200u64 {
            tally.add("f", "2", n * 10, n, n % 10 == 0);
            tally.add("f", "1", n * 10, 9_999, true);
        }
        tally.watch(std::slice::from_ref(&key));
        assert_eq!(tally.counts("f", "2", 990, 1_990), Counts { calls: 100, errors: 10, p99_ms: Some(198) });
        assert_eq!(tally.counts("f", "2", 5_000, 1_990), Counts { calls: 200, errors: 20, p99_ms: Some(197) });
        assert_eq!(tally.counts("f", "1", 5_000, 1_990), Counts::default());
        assert_eq!(tally.counts("f", "2", 100, 9_000), Counts::default());
        for _ in 0..CALLS_MAX + 5 {
            tally.add("f", "2", 10_000, 1, false);
        }
        assert_eq!(tally.counts("f", "2", u64::MAX, 10_000).calls, CALLS_MAX);
        tally.watch(&[]);
        assert_eq!(tally.counts("f", "2", u64::MAX, 10_000), Counts::default());
    }
}
