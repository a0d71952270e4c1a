//! KV error: why a store is not opened or not changed.

use std::path::PathBuf;

use crate::config::compiled::KvBounds;
use crate::hooks::host::HostError;

/// Every way a store's work can fail. Keys are shown, values never.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    #[error("'{0}' is no name of a store: 1 to 64 letters, digits, '-' and '_'")]
    Name(String),
    #[error("cannot make {path}: {reason}", path = path.display())]
    Directory { path: PathBuf, reason: String },
    #[error("cannot open {path}: {reason}", path = path.display())]
    Open { path: PathBuf, reason: String },
    #[error("store '{store}': cannot import {path}: {reason}", path = path.display())]
    Import { store: String, path: PathBuf, reason: String },
    /// One entry or update is not valid.
    #[error("{0}")]
    Invalid(String),
    /// A key, value or update larger than its bound.
    #[error("{0}")]
    TooLarge(String),
    /// The store would be larger than its bound.
    #[error("the store would hold {size} bytes, {limit} are allowed{}", strict(*limit == KvBounds::STRICT.store))]
    Full { size: u64, limit: u64 },
    #[error("no such key")]
    NoKey,
    #[error("the store has changed: its version is no longer the one given")]
    Stale,
    #[error("too many writes are waiting for this store")]
    Busy,
    #[error("this process hands over to its successor: ask again")]
    HandedOver,
    #[error("cannot read or write the store: {0}")]
    Disk(String),
}

// === impl KvError ===
impl KvError {
    /// The same, with the reason for `bounds` where larger ones could be had.
    pub(super) fn held_to(self, bounds: &KvBounds) -> Self {
        match self {
            KvError::TooLarge(words) => KvError::TooLarge(words + strict(*bounds == KvBounds::STRICT)),
            other => other,
        }
    }
}

/// What is said of a bound that could be larger.
fn strict(is_strict: bool) -> &'static str {
    if is_strict { " with mode = \"strict\"" } else { "" }
}

impl From<KvError> for HostError {
    fn from(error: KvError) -> Self {
        let words = error.to_string();
        match error {
            KvError::Name(_) | KvError::Invalid(_) => HostError::Invalid(words),
            KvError::TooLarge(_) | KvError::Full { .. } => HostError::TooLarge(words),
            _ => HostError::Failed(words),
        }
    }
}

impl From<redb::Error> for KvError {
    fn from(error: redb::Error) -> Self {
        KvError::Disk(error.to_string())
    }
}
