//! Cells: how one request is added up without waiting for another thread.
//!
//! In: a finished request, an origin visit. Out: sums over all threads. Never: a lock, a label, an allocation while adding.

use super::totals::{BehaviorTotals, OriginTotals};
use crate::observe::record::{Failure, Outcome, Record, Visit};
use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Upper bounds of the latency buckets, in nanoseconds; one more bucket catches the rest. Fine at both ends: a hit takes
/// tens of microseconds, an origin seconds.
pub const BOUNDS_NS: [u64; 18] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];
const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Status label by hundreds; a viewer that left before an answer has none.
pub const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const CLASSES: usize = STATUS_CLASSES.len();
const OUTCOMES: usize = Outcome::ALL.len();
const ORIGIN_FAILURES: usize = Failure::OF_ORIGINS.len();
const GUARD_FAILURES: usize = Failure::OF_GUARDS.len();

/// Most copies of a counter, so that threads do not pull one cache line to and fro. Memory: about 2 KiB a behavior and shard.
const MAX_SHARDS: usize = 8;

/// Counts of one behavior. Held by the snapshot that runs, borrowed by every [`Record`] of it.
pub struct BehaviorMetrics {
    name: String,
    shards: Box<[BehaviorShard]>,
}

/// Counts of one origin.
pub struct OriginMetrics {
    name: String,
    shards: Box<[OriginShard]>,
}

#[repr(align(128))]
#[derive(Default)]
struct BehaviorShard {
    requests: [[AtomicU64; CLASSES]; OUTCOMES],
    latency: [Latency; OUTCOMES],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    turned_away: Counters<GUARD_FAILURES>,
}

#[repr(align(128))]
#[derive(Default)]
struct OriginShard {
    latency: Latency,
    attempts: AtomicU64,
    errors: Counters<ORIGIN_FAILURES>,
}

/// Buckets and sum of a duration.
#[derive(Default)]
pub(super) struct Latency {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// Plain sums of a [`Latency`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LatencySum {
    /// Not cumulative.
    pub buckets: [u64; BUCKETS],
    pub nanos: u64,
}

/// Plain sums of a behavior.
#[derive(Debug, Default)]
pub struct BehaviorSum {
    pub requests: [[u64; CLASSES]; OUTCOMES],
    pub latency: [LatencySum; OUTCOMES],
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub turned_away: [u64; GUARD_FAILURES],
}

/// Plain sums of an origin.
#[derive(Debug, Default)]
pub struct OriginSum {
    pub latency: LatencySum,
    pub attempts: u64,
    pub errors: [u64; ORIGIN_FAILURES],
}

/// A fixed row of rare counters.
pub struct Counters<const N: usize>([AtomicU64; N]);

// === impl BehaviorMetrics ===
impl BehaviorMetrics {
    pub(super) fn new(name: &str) -> Self {
        BehaviorMetrics { name: name.to_owned(), shards: shards() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn finish(&self, record: &Record<'_>) {
        let Some(shard) = self.shards.get(shard() & (self.shards.len() - 1)) else { return };
        let outcome = record.cache as usize;
        add(&shard.requests[outcome][class(record.status)], 1);
        shard.latency[outcome].add(record.duration_ns);
        add(&shard.bytes_in, record.bytes_in);
        add(&shard.bytes_out, record.bytes_out);
        if let Some(failure) = record.failure
            && let Some(at) = Failure::OF_GUARDS.iter().position(|&of| of == failure)
        {
            shard.turned_away.add(at);
        }
    }

    pub(super) fn sum(&self) -> BehaviorSum {
        let mut sum = BehaviorSum::default();
        for shard in &self.shards {
            for outcome in 0..OUTCOMES {
                for (total, cell) in sum.requests[outcome].iter_mut().zip(&shard.requests[outcome]) {
                    *total += get(cell);
                }
                shard.latency[outcome].add_to(&mut sum.latency[outcome]);
            }
            sum.bytes_in += get(&shard.bytes_in);
            sum.bytes_out += get(&shard.bytes_out);
            for (total, count) in sum.turned_away.iter_mut().zip(shard.turned_away.get()) {
                *total += count;
            }
        }
        sum
    }

    pub(super) fn totals(&self) -> BehaviorTotals {
        let sum = self.sum();
        let mut buckets = vec![0; BUCKETS];
        for latency in &sum.latency {
            for (total, count) in buckets.iter_mut().zip(latency.buckets) {
                *total += count;
            }
        }
        BehaviorTotals {
            name: self.name.clone(),
            cache: Outcome::ALL
                .iter()
                .map(|&outcome| (outcome.as_str().to_owned(), sum.requests[outcome as usize].iter().sum::<u64>()))
                .filter(|(_, count)| *count > 0)
                .collect(),
            errors: sum.requests.iter().map(|classes| classes[5]).sum(),
            bytes_in: sum.bytes_in,
            bytes_out: sum.bytes_out,
            buckets,
        }
    }
}

impl fmt::Debug for BehaviorMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BehaviorMetrics").field(&self.name).finish()
    }
}

// === impl OriginMetrics ===
impl OriginMetrics {
    pub(super) fn new(name: &str) -> Self {
        OriginMetrics { name: name.to_owned(), shards: shards() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn finish(&self, visit: &Visit<'_>, failure: Option<Failure>) {
        let Some(shard) = self.shards.get(shard() & (self.shards.len() - 1)) else { return };
        shard.latency.add(visit.first_byte_ns.unwrap_or(visit.total_ns));
        add(&shard.attempts, u64::from(visit.attempts));
        if let Some(at) = failure.and_then(|failure| Failure::OF_ORIGINS.iter().position(|&of| of == failure)) {
            shard.errors.add(at);
        }
    }

    pub(super) fn sum(&self) -> OriginSum {
        let mut sum = OriginSum::default();
        for shard in &self.shards {
            shard.latency.add_to(&mut sum.latency);
            sum.attempts += get(&shard.attempts);
            for (total, count) in sum.errors.iter_mut().zip(shard.errors.get()) {
                *total += count;
            }
        }
        sum
    }

    pub(super) fn totals(&self) -> OriginTotals {
        let sum = self.sum();
        OriginTotals {
            name: self.name.clone(),
            errors: sum.errors.iter().sum(),
            attempts: sum.attempts,
            buckets: sum.latency.buckets.to_vec(),
        }
    }
}

impl fmt::Debug for OriginMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OriginMetrics").field(&self.name).finish()
    }
}

// === impl Latency ===
impl Latency {
    pub(super) fn add(&self, nanos: u64) {
        // Linear: most requests are hits and end in the first two steps.
        let at = BOUNDS_NS.iter().position(|&bound| nanos <= bound).unwrap_or(BOUNDS_NS.len());
        add(&self.buckets[at], 1);
        add(&self.nanos, nanos);
    }

    pub(super) fn add_to(&self, sum: &mut LatencySum) {
        for (total, cell) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += get(cell);
        }
        sum.nanos += get(&self.nanos);
    }
}

// === impl LatencySum ===
impl LatencySum {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

// === impl Counters ===
impl<const N: usize> Counters<N> {
    pub fn add(&self, at: usize) {
        if let Some(cell) = self.0.get(at) {
            add(cell, 1);
        }
    }

    pub fn get(&self) -> [u64; N] {
        std::array::from_fn(|at| get(&self.0[at]))
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// This thread's number, given out in order of first use.
pub fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static MINE: Cell<usize> = const { Cell::new(usize::MAX) } }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        mine.get()
    })
}

/// Copies of each counter in this process: a power of two, so that a mask picks one.
pub fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        cores.next_power_of_two().min(MAX_SHARDS)
    })
}

fn shards<T: Default>() -> Box<[T]> {
    (0..shard_count()).map(|_| T::default()).collect()
}

fn class(status: u16) -> usize {
    usize::from(status / 100).min(CLASSES - 1)
}

fn add(cell: &AtomicU64, n: u64) {
    cell.fetch_add(n, Ordering::Relaxed);
}

fn get(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::sample;

    #[test]
    fn latencies_fall_into_the_first_bucket_that_holds_them() {
        for (nanos, bucket) in [
            (0, 0),
            (50_000, 0),
            (50_001, 1),
            (1_000_000, 4),
            (30_000_000_000, 17),
            (30_000_000_001, 18),
            (u64::MAX / 2, 18),
        ] {
            let latency = Latency::default();
            latency.add(nanos);
            let mut sum = LatencySum::default();
            latency.add_to(&mut sum);
            assert_eq!((sum.buckets[bucket], sum.count(), sum.nanos), (1, 1, nanos), "{nanos}");
        }
    }

    #[test]
    fn statuses_fall_into_classes() {
        for (status, want) in
            [(0, "none"), (101, "1xx"), (204, "2xx"), (304, "3xx"), (499, "4xx"), (599, "5xx"), (999, "5xx")]
        {
            assert_eq!(STATUS_CLASSES[class(status)], want, "{status}");
        }
    }

    #[test]
    fn threads_add_up() {
        let behavior = BehaviorMetrics::new("b");
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..50).for_each(|_| behavior.finish(&sample(&behavior))));
            }
        });
        let sum = behavior.sum();
        assert_eq!(sum.requests[Outcome::Hit as usize][2], 1000);
        assert_eq!((sum.bytes_in, sum.bytes_out), (90_000, 1_200_000));
        assert_eq!(sum.latency[Outcome::Hit as usize].nanos, 1_234_567_000);
    }
}
