//! Tally: what happened to the requests of one snapshot.
//!
//! In: answers of all lanes. Out: their sum. Never: a lock; anything where no revisions are taken.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::fleet::revision::{LONGEST_MS, Sample};
use crate::observe::{Call, CallOutcome};

/// Threads count apart, so that they do not wait for each other's cache lines.
const SHARDS: usize = 16;

/// Counts since it was made.
#[derive(Debug)]
pub struct Tally {
    on: bool,
    shards: [Shard; SHARDS],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    requests: AtomicU64,
    errors: AtomicU64,
    micros: AtomicU64,
    hooks: AtomicU64,
}

thread_local! {
    static MINE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % SHARDS
    };
}

// === impl Tally ===
impl Tally {
    /// `on`: whether anything is counted.
    pub fn new(on: bool) -> Self {
        Tally { on, shards: Default::default() }
    }

    /// One request and its answer.
    pub fn count(&self, status: u16, first_byte_ns: u64, calls: &[Call]) {
        if !self.on {
            return;
        }
        let Some(shard) = self.shards.get(MINE.with(|mine| *mine)) else { return };
        shard.requests.fetch_add(1, Relaxed);
        shard.micros.fetch_add((first_byte_ns / 1000).min(LONGEST_MS * 1000), Relaxed);
        if status >= 500 {
            shard.errors.fetch_add(1, Relaxed);
        }
        if calls.iter().any(|call| !matches!(call.outcome, CallOutcome::Ok | CallOutcome::Answered)) {
            shard.hooks.fetch_add(1, Relaxed);
        }
    }

    pub fn now(&self) -> Sample {
        self.shards.iter().fold(Sample::default(), |sum, shard| Sample {
            requests: sum.requests + shard.requests.load(Relaxed),
            errors: sum.errors + shard.errors.load(Relaxed),
            micros: sum.micros + shard.micros.load(Relaxed),
            hooks: sum.hooks + shard.hooks.load(Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_together() {
        let tally = Tally::new(true);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..100 {
                        tally.count(if n < 10 { 503 } else { 499 }, if n == 0 { u64::MAX } else { 2000 }, &[]);
                    }
                });
            }
        });
        let micros = 4 * (99 * 2 + LONGEST_MS * 1000);
        assert_eq!(tally.now(), Sample { requests: 400, errors: 40, micros, hooks: 0 });
        let off = Tally::new(false);
        off.count(500, 1, &[]);
        assert_eq!(off.now(), Sample::default());
    }
}
