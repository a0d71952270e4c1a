//! Metrics: what the front counts.
//!
//! In: what became of calls. Out: plain numbers for a scrape. Never: a label that a caller can invent.

use std::sync::atomic::{AtomicU64, Ordering};

use super::follow::Followings;
use super::op::Op;

/// Counters of one front; they only grow.
#[derive(Debug, Default)]
pub struct Metrics {
    calls: Calls,
    throttled: AtomicU64,
    denied: AtomicU64,
    unprocessed: AtomicU64,
    /// Thousandths of units.
    read_units: AtomicU64,
    write_units: AtomicU64,
    expired: AtomicU64,
    replicated: AtomicU64,
}

#[derive(Debug)]
struct Calls([[AtomicU64; 3]; Op::ALL.len()]);

impl Default for Calls {
    fn default() -> Calls {
        Calls(std::array::from_fn(|_| Default::default()))
    }
}

/// A reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// Operation, then calls that were answered, refused (4xx) and failed (5xx); those that were called at all.
    pub calls: Vec<(&'static str, [u64; 3])>,
    /// Calls, or parts of batches, that there was no capacity for.
    pub throttled: u64,
    pub unprocessed: u64,
    /// Calls that a policy denied.
    pub denied: u64,
    pub read_units: f64,
    pub write_units: f64,
    /// Items deleted by TTL.
    pub expired: u64,
    /// Writes of other PoPs that changed an item here.
    pub replicated: u64,
    /// Reads that the item cache answered, did not, and was not asked for.
    pub items: [u64; 3],
    /// The same of the query cache.
    pub queries: [u64; 3],
    /// `None` = streams are not followed.
    pub follow: Option<Followings>,
}

// === impl Metrics ===
impl Metrics {
    /// `status`: the answer's.
    pub fn called(&self, op: Op, status: u16) {
        let outcome = match status {
            0..400 => 0,
            400..500 => 1,
            _ => 2,
        };
        if let Some(counters) = Op::ALL.iter().position(|known| *known == op).and_then(|at| self.calls.0.get(at)) {
            counters[outcome].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    pub fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    pub fn unprocessed(&self, parts: usize) {
        self.unprocessed.fetch_add(parts as u64, Ordering::Relaxed);
    }

    pub fn consumed(&self, read: f64, write: f64) {
        self.read_units.fetch_add((read * 1000.0) as u64, Ordering::Relaxed);
        self.write_units.fetch_add((write * 1000.0) as u64, Ordering::Relaxed);
    }

    pub fn expired(&self, items: usize) {
        self.expired.fetch_add(items as u64, Ordering::Relaxed);
    }

    pub fn replicated(&self, items: usize) {
        self.replicated.fetch_add(items as u64, Ordering::Relaxed);
    }

    pub fn numbers(&self) -> Numbers {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let calls = Op::ALL.iter().zip(&self.calls.0).map(|(op, each)| (op.name(), each.each_ref().map(load)));
        Numbers {
            calls: calls.filter(|(_, each)| each.iter().any(|count| *count > 0)).collect(),
            throttled: load(&self.throttled),
            unprocessed: load(&self.unprocessed),
            denied: load(&self.denied),
            read_units: load(&self.read_units) as f64 / 1000.0,
            write_units: load(&self.write_units) as f64 / 1000.0,
            expired: load(&self.expired),
            replicated: load(&self.replicated),
            ..Numbers::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let metrics = Metrics::default();
        metrics.called(Op::GetItem, 200);
        metrics.called(Op::GetItem, 400);
        metrics.called(Op::Scan, 503);
        metrics.consumed(0.5, 2.0);
        metrics.unprocessed(3);
        let numbers = metrics.numbers();
        assert_eq!(numbers.calls, [("GetItem", [1, 1, 0]), ("Scan", [0, 0, 1])]);
        assert_eq!((numbers.read_units, numbers.write_units, numbers.unprocessed), (0.5, 2.0, 3));
    }
}
