//! Change: what one update does, and whether it may.
//!
//! In: puts and deletes, the store's bounds. Out: nothing, or why not. Never: the store.

use std::collections::HashSet;

use bytes::Bytes;

use super::KvError;
use crate::config::compiled::KvBounds;

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
}

/// One line of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds the entry, or replaces the key's value.
    Put(Entry),
    /// Deleting what is not there changes nothing.
    Delete(String),
    /// The same, but fails the update when the key is not there.
    DeleteExisting(String),
}

// === impl Change ===
impl Change {
    pub fn key(&self) -> &str {
        match self {
            Change::Put(entry) => &entry.key,
            Change::Delete(key) | Change::DeleteExisting(key) => key,
        }
    }

    /// Bytes of key and value.
    fn size(&self) -> usize {
        match self {
            Change::Put(entry) => entry.key.len() + entry.value.len(),
            Change::Delete(key) | Change::DeleteExisting(key) => key.len(),
        }
    }
}

/// Whether every change, and all of them together, keep to the bounds; no key twice.
pub fn check(changes: &[Change], bounds: &KvBounds) -> Result<(), KvError> {
    if changes.len() > bounds.batch_keys {
        let words = format!("an update of {} keys, {} are allowed", changes.len(), bounds.batch_keys);
        return Err(KvError::TooLarge(words));
    }
    let size: usize = changes.iter().map(Change::size).sum();
    if size > bounds.batch {
        return Err(KvError::TooLarge(format!("an update of {size} bytes, {} are allowed", bounds.batch)));
    }
    entries(changes, bounds)
}

/// Whether each change by itself is valid, and no key is there twice.
pub fn entries(changes: &[Change], bounds: &KvBounds) -> Result<(), KvError> {
    let mut keys = HashSet::with_capacity(changes.len());
    for change in changes {
        let key = change.key();
        if key.is_empty() {
            return Err(KvError::Invalid("a key has at least one character".to_owned()));
        }
        if key.len() > bounds.key {
            return Err(KvError::TooLarge(format!("a key of {} bytes, {} are allowed", key.len(), bounds.key)));
        }
        if let Change::Put(entry) = change
            && entry.value.len() > bounds.value
        {
            let (size, limit) = (entry.value.len(), bounds.value);
            return Err(KvError::TooLarge(format!(
                "'{}': a value of {size} bytes, {limit} are allowed",
                key.escape_debug()
            )));
        }
        if !keys.insert(key) {
            return Err(KvError::Invalid(format!("'{}' is there twice", key.escape_debug())));
        }
    }
    Ok(())
}
