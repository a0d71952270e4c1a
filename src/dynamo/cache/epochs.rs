//! Epochs: whether something was written since.
//!
//! In: names of what is read and written. Out: numbers that change with each write. Never: more memory than at first.
//!
//! A fill notes the epoch before it asks the engine, and a hit compares it: what was read before a write was acknowledged is
//! never served after it, whichever of the two ends first. Names share epochs by their hash: that may only make a miss.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::Xxh3;

/// Epochs: 512 KiB.
const COUNT: usize = 1 << 16;

/// The epochs of one front.
#[derive(Debug)]
pub struct Epochs {
    each: Box<[AtomicU64]>,
    /// Counts in every one of them.
    all: AtomicU64,
}

/// What may be written.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// The whole table: made, deleted, or written by what does not say where.
    Table(&'a str),
    /// Any item of it.
    Anything(&'a str),
    /// Items with a partition key value.
    Partition(&'a str, &'a str),
    /// Any entry of a global index.
    Index(&'a str, &'a str),
    /// One item, by its key.
    Item(&'a str, &'a [u8]),
}

// === impl Epochs ===
impl Default for Epochs {
    fn default() -> Epochs {
        Epochs { each: (0..COUNT).map(|_| AtomicU64::new(0)).collect(), all: AtomicU64::new(0) }
    }
}

impl Epochs {
    pub fn of(&self, scope: Scope<'_>) -> u64 {
        // Both only grow: their sum is the same only while both are.
        let own = self.place(scope).map_or(0, |epoch| epoch.load(Ordering::SeqCst));
        own + self.all.load(Ordering::SeqCst)
    }

    /// Something in `scope` was written.
    pub fn bump(&self, scope: Scope<'_>) {
        if let Some(epoch) = self.place(scope) {
            epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Anything may have been written.
    pub fn bump_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    fn place(&self, scope: Scope<'_>) -> Option<&AtomicU64> {
        let (kind, table, rest): (u8, &str, &[u8]) = match scope {
            Scope::Table(table) => (0, table, &[]),
            Scope::Anything(table) => (1, table, &[]),
            Scope::Partition(table, value) => (2, table, value.as_bytes()),
            Scope::Index(table, index) => (3, table, index.as_bytes()),
            Scope::Item(table, key) => (4, table, key),
        };
        let mut hash = Xxh3::new();
        hash.update(&[kind]);
        hash.update(table.as_bytes());
        hash.update(&[0]);
        hash.update(rest);
        self.each.get(hash.digest() as usize % COUNT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_seen_where_they_are() {
        let epochs = Epochs::default();
        let all = [
            Scope::Table("t"),
            Scope::Anything("t"),
            Scope::Partition("t", "a"),
            Scope::Index("t", "a"),
            Scope::Item("t", b"a"),
            Scope::Item("u", b"a"),
        ];
        let before = all.map(|scope| epochs.of(scope));
        epochs.bump(Scope::Item("t", b"a"));
        let after = all.map(|scope| epochs.of(scope));
        let moved: Vec<usize> = (0..all.len()).filter(|at| before[*at] != after[*at]).collect();
        assert_eq!(moved, [4]);
    }
}
