//! Stats: what the tiers hold and how they fare, in plain numbers.
//!
//! In: counts as they happen. Out: one [`Stats`] at an instant. Never: labels, a metrics library.

use std::sync::atomic::{AtomicU64, Ordering};

/// The tiers at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub memory_bytes: u64,
    pub memory_objects: u64,
    pub disk_bytes: u64,
    pub disk_objects: u64,
    /// Objects the memory tier let go for lack of room, since start.
    pub evictions: u64,
    /// Disk segments dropped for lack of room, since start.
    pub disk_evictions: u64,
    pub fills_in_flight: u64,
    /// Body bytes of those fills that memory holds.
    pub fill_bytes: u64,
    /// Fills that failed or were dropped, since start.
    pub fills_failed: u64,
    /// Fills that went on to their viewer but were not stored: too large, or too many at once. Since start.
    pub fills_unstored: u64,
    /// Failed reads and writes, and blocks whose checksum was wrong, since start.
    pub disk_errors: u64,
    /// Objects not written because the writer's queue was full, since start.
    pub disk_skipped: u64,
}

/// One number that threads count together.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

/// The counts behind [`Stats`] that nothing else holds.
#[derive(Debug, Default)]
pub struct Counters {
    pub evictions: Count,
    pub disk_evictions: Count,
    pub fills_in_flight: Count,
    pub fill_bytes: Count,
    pub fills_failed: Count,
    pub fills_unstored: Count,
    pub disk_errors: Count,
    pub disk_skipped: Count,
}

// === impl Count ===
impl Count {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
