//! Judge: whether what is new does worse than what was there.
//!
//! In: what both did. Out: nothing, or why the new one has to go. Never: a clock, a counter of its own.

use serde::{Deserialize, Serialize};

/// Requests of the new one before anything is said of it, and of the old one before it is compared with.
pub const ENOUGH: u64 = 20;
/// How much larger, in shares of all requests, failures may become.
pub const WORSE: f64 = 0.05;
/// The share of failures that is too much where there is nothing to compare with.
pub const ALONE: f64 = 0.5;
/// How many times longer answers may take on the average, and how much longer they must take to count.
pub const SLOWER: f64 = 3.0;
pub const SLOWER_MS: f64 = 100.0;
/// The longest that one answer may weigh, so that a single one decides nothing.
pub const LONGEST_MS: u64 = 10_000;

/// What happened to requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub requests: u64,
    /// Answers with a status of 500 or more.
    pub errors: u64,
    /// Until the first byte, all together; each at most [`LONGEST_MS`].
    pub micros: u64,
    /// Requests with a function that failed.
    pub hooks: u64,
}

/// Why `new` is worse than `old`; `None` while it is not known to be.
pub fn judge(old: &Sample, new: &Sample) -> Option<String> {
    if new.requests < ENOUGH {
        return None;
    }
    let known = old.requests >= ENOUGH;
    let share = |count: u64, of: &Sample| count as f64 / of.requests.max(1) as f64;
    let most = |count: u64| if known { share(count, old) + WORSE } else { ALONE };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    for (what, before, now) in
        [("answers with 5xx", old.errors, new.errors), ("requests with failed functions", old.hooks, new.hooks)]
    {
        let now = share(now, new);
        if now > most(before) {
            let before = if known { percent(share(before, old)) } else { "an unknown share".to_owned() };
            return Some(format!("{what}: {} of {}, {before} before", percent(now), new.requests));
        }
    }
    let mean = |of: &Sample| of.micros as f64 / of.requests.max(1) as f64 / 1000.0;
    let (before, now) = (mean(old), mean(new));
    if known && now > before * SLOWER && now > before + SLOWER_MS {
        return Some(format!("answers take {now:.0} ms on the average, {before:.0} ms before"));
    }
    None
}

// === impl Sample ===
impl Sample {
    /// What came after `earlier`.
    pub fn since(&self, earlier: &Sample) -> Sample {
        Sample {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            micros: self.micros.saturating_sub(earlier.micros),
            hooks: self.hooks.saturating_sub(earlier.hooks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(requests: u64, errors: u64, ms: u64, hooks: u64) -> Sample {
        Sample { requests, errors, micros: requests * ms * 1000, hooks }
    }

    #[test]
    fn verdicts() {
        for (name, old, new, want) in [
            ("nothing happened", sample(0, 0, 0, 0), sample(0, 0, 0, 0), None),
            ("too few to say", sample(100, 0, 1, 0), sample(19, 19, 1, 0), None),
            ("as before", sample(100, 3, 10, 1), sample(100, 3, 10, 1), None),
            ("bad before too", sample(100, 90, 10, 0), sample(100, 92, 10, 0), None),
            ("within bounds", sample(100, 0, 10, 0), sample(100, 5, 10, 0), None),
            (
                "errors",
                sample(100, 0, 10, 0),
                sample(100, 6, 10, 0),
                Some("answers with 5xx: 6.0 % of 100, 0.0 % before"),
            ),
            ("alone, half", sample(0, 0, 0, 0), sample(20, 10, 1, 0), None),
            (
                "alone, more",
                sample(0, 0, 0, 0),
                sample(20, 11, 1, 0),
                Some("answers with 5xx: 55.0 % of 20, an unknown share before"),
            ),
            (
                "functions",
                sample(100, 0, 10, 1),
                sample(50, 0, 10, 10),
                Some("requests with failed functions: 20.0 % of 50, 1.0 % before"),
            ),
            (
                "slow",
                sample(100, 0, 100, 0),
                sample(100, 0, 301, 0),
                Some("answers take 301 ms on the average, 100 ms before"),
            ),
            ("slower, but not by much", sample(100, 0, 1, 0), sample(100, 0, 90, 0), None),
            ("slower, but not by far", sample(100, 0, 400, 0), sample(100, 0, 900, 0), None),
            ("slow alone", sample(19, 0, 1, 0), sample(100, 0, 900, 0), None),
        ] {
            assert_eq!(judge(&old, &new).as_deref(), want, "{name}");
        }
        assert_eq!(sample(5, 2, 1, 1).since(&sample(3, 1, 1, 1)), sample(2, 1, 1, 0));
    }
}
