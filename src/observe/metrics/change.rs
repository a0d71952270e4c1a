//! Change: what happened between two readings of a PoP's totals.
//!
//! In: two readings. Out: counts between them, quantiles of their durations. Never: a clock, text.

use super::totals::{BehaviorTotals, Totals};

/// Counts between two readings. A PoP that restarted in between counts from zero again: its counters are taken as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    pub requests: u64,
    /// Answered from the cache: hit, stale, revalidated.
    pub hits: u64,
    /// Requests the cache was asked for.
    pub cacheable: u64,
    /// Answers with a 5xx status.
    pub errors: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Requests by duration, not cumulative.
    pub buckets: Vec<u64>,
}

/// A quantile out of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// Seconds.
    At(f64),
    /// Somewhere past the last bound, in seconds.
    Past(f64),
}

// === impl Change ===
impl Change {
    /// Of one behavior; `then` is `None` when it was not there.
    pub fn of(then: Option<&BehaviorTotals>, now: &BehaviorTotals) -> Self {
        let count = |totals: &BehaviorTotals, names: &[&str]| {
            totals.cache.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, count)| count).sum::<u64>()
        };
        let all = |totals: &BehaviorTotals| totals.cache.values().sum::<u64>();
        let zero = BehaviorTotals::default();
        let then = then.filter(|then| all(then) <= all(now)).unwrap_or(&zero);
        let between = |read: &dyn Fn(&BehaviorTotals) -> u64| read(now).saturating_sub(read(then));
        let hits = &["hit", "stale", "revalidated"];
        let cacheable = &["hit", "stale", "revalidated", "miss", "error"];
        Change {
            requests: between(&all),
            hits: between(&|totals| count(totals, hits)),
            cacheable: between(&|totals| count(totals, cacheable)),
            errors: between(&|totals| totals.errors),
            bytes_in: between(&|totals| totals.bytes_in),
            bytes_out: between(&|totals| totals.bytes_out),
            buckets: subtract(&now.buckets, &then.buckets),
        }
    }

    /// Of all behaviors together.
    pub fn between(before: &Totals, after: &Totals) -> Self {
        let mut all = Change::default();
        for now in &after.behaviors {
            all.add(&Change::of(before.behaviors.iter().find(|then| then.name == now.name), now));
        }
        all
    }

    pub fn add(&mut self, other: &Change) {
        self.requests += other.requests;
        self.hits += other.hits;
        self.cacheable += other.cacheable;
        self.errors += other.errors;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (sum, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += count;
        }
    }
}

// === impl Quantile ===
impl Quantile {
    /// As far as it is known.
    pub fn seconds(self) -> f64 {
        match self {
            Quantile::At(seconds) | Quantile::Past(seconds) => seconds,
        }
    }
}

/// What the second reading of a histogram has more than the first.
pub fn subtract(now: &[u64], then: &[u64]) -> Vec<u64> {
    now.iter().enumerate().map(|(at, count)| count.saturating_sub(then.get(at).copied().unwrap_or(0))).collect()
}

/// By linear interpolation inside its bucket, as Prometheus' `histogram_quantile` does; `bounds` are in seconds.
pub fn quantile(buckets: &[u64], bounds: &[f64], quantile: f64) -> Option<Quantile> {
    let total: u64 = buckets.iter().sum();
    let rank = quantile * total as f64;
    let mut below = 0;
    for (at, &count) in buckets.iter().enumerate() {
        if (below + count) as f64 >= rank && count > 0 {
            let low = at.checked_sub(1).and_then(|at| bounds.get(at)).copied().unwrap_or(0.0);
            return Some(match bounds.get(at) {
                Some(high) => Quantile::At(low + (high - low) * (rank - below as f64) / count as f64),
                None => Quantile::Past(low),
            });
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let bounds = [1.0, 4.0];
        for (buckets, share, want) in [
            (&[][..], 0.5, None),
            (&[0, 0, 0], 0.5, None),
            (&[10, 0, 0], 0.5, Some(Quantile::At(0.5))),
            (&[10, 10, 0], 0.75, Some(Quantile::At(2.5))),
            (&[0, 0, 3], 0.5, Some(Quantile::Past(4.0))),
        ] {
            assert_eq!(quantile(buckets, &bounds, share), want, "{buckets:?}");
        }
    }
}
