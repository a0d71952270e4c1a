//! Hosts: which hosts count under their own name.
//!
//! In: host and status of a finished request. Out: a bounded list of counts. Never: more names than configured, whatever
//! viewers send.

use super::cells::{shard, shard_count};
use ahash::AHashMap;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longer names count as `other`: a DNS name has at most 253 characters (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// Requests by host. Reading is lock-free; a new name replaces the map, at most `bound` times in the life of the process.
#[derive(Debug)]
pub struct Hosts {
    bound: usize,
    named: ArcSwap<AHashMap<Box<str>, Arc<Count>>>,
    other: Count,
    admitting: Mutex<()>,
}

/// One host's requests, a cell a shard: most traffic is one host's, from every thread at once.
#[derive(Debug)]
struct Count(Box<[Padded]>);

#[repr(align(128))]
#[derive(Debug, Default)]
struct Padded(AtomicU64);

// === impl Hosts ===
impl Hosts {
    pub fn new(bound: usize) -> Self {
        Hosts { bound, named: ArcSwap::default(), other: Count::default(), admitting: Mutex::new(()) }
    }

    /// Adds one request. A host earns its own name with an answer that is no error, so that a scan of made-up hosts
    /// does not use the names up.
    pub fn count(&self, host: &str, status: u16) {
        if self.bound == 0 {
            return;
        }
        let named = self.named.load();
        if let Some(count) = named.get(host) {
            count.add();
        } else if named.len() >= self.bound || status == 0 || status >= 400 || host.is_empty() || host.len() > MAX_HOST
        {
            self.other.add();
        } else {
            self.admit(host);
        }
    }

    /// Names and counts in order of name, `other` last; nothing when hosts are not counted.
    pub fn counts(&self) -> Vec<(String, u64)> {
        if self.bound == 0 {
            return Vec::new();
        }
        let mut counts: Vec<_> =
            self.named.load().iter().map(|(host, count)| (host.to_string(), count.sum())).collect();
        counts.sort();
        counts.push(("other".to_owned(), self.other.sum()));
        counts
    }

    fn admit(&self, host: &str) {
        let _one = self.admitting.lock();
        let named = self.named.load_full();
        match named.get(host) {
            Some(count) => {
                count.add();
            }
            None if named.len() >= self.bound => {
                self.other.add();
            }
            None => {
                let mut more = AHashMap::clone(&named);
                let count = Arc::new(Count::default());
                count.add();
                more.insert(host.into(), count);
                self.named.store(Arc::new(more));
            }
        }
    }
}

// === impl Count ===
impl Count {
    fn add(&self) {
        if let Some(Padded(cell)) = self.0.get(shard() & (self.0.len() - 1)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|Padded(cell)| cell.load(Ordering::Relaxed)).sum()
    }
}

impl Default for Count {
    fn default() -> Self {
        Count((0..shard_count()).map(|_| Padded::default()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_bounded_and_must_earn_their_name() {
        let hosts = Hosts::new(2);
        let long = "x".repeat(254);
        for (host, status) in [
            ("scan.example", 404),
            ("a", 200),
            ("a", 500),
            ("", 200),
            (&long, 200),
            ("b", 301),
            ("c", 200),
            ("gone", 0),
        ] {
            hosts.count(host, status);
        }
        assert_eq!(hosts.counts(), [("a".to_owned(), 2), ("b".to_owned(), 1), ("other".to_owned(), 5)]);
    }

    #[test]
    fn zero_turns_them_off() {
        let hosts = Hosts::new(0);
        hosts.count("a", 200);
        assert_eq!(hosts.counts(), []);
    }
}
