//! Store: where answers are kept, and how they are read while they come in.
//!
//! In: answers that policy admitted, under their slot's hash. Out: the same answers, whole or an error. Never: a decision
//! about freshness, purges or Vary; another room's types but [`Object`] and [`Meta`].

pub mod disk;
mod fill;
mod front;
pub mod head;
mod inflight;
mod memory;
mod reader;
mod stats;
mod storage;
mod table;
mod tiers;
mod writer;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use http::HeaderName;
use pingora::cache::CacheMeta;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::cache::object::{Meta, Object, Stamp};
pub use disk::Record;
pub use fill::Fill;
pub use stats::Stats;
pub use storage::slot_of;
pub use tiers::Tiers;

/// What the proxy puts into `CacheMeta::extensions_mut()` when it admits or revalidates an answer.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The key's bytes: what `CacheKey::primary_key()` gives on look-up.
    pub key: Box<[u8]>,
    /// `variance` is taken from the `CacheMeta`, which Pingora updates last.
    pub meta: Meta,
    /// Fields that this viewer gets and nobody after (`Set-Cookie`, `no-cache` and `private` fields).
    pub strip: Vec<HeaderName>,
    /// A body that turns out larger goes to its viewer and is not stored.
    pub max_body: u64,
    /// The `fetch_start` of the answer that a 304 confirmed: no other is given its fields (RFC 9111 §4.3.4).
    pub confirmed: Option<Stamp>,
}

/// What a look-up found: in the extensions of the `CacheMeta` it gives.
#[derive(Debug, Clone)]
pub enum Stored {
    /// Complete, in memory.
    Object(Arc<Object>),
    /// On its way in.
    Filling(Arc<Fill>),
    /// Complete, on disk only.
    OnDisk(Arc<Record>),
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("cannot use cache directory {path}: {source}")]
    Path { path: PathBuf, source: std::io::Error },
    #[error("an answer was admitted without saying how")]
    NoAdmission,
    #[error("stored header fields are damaged")]
    Head,
    #[error("the answer being stored ended early")]
    FillFailed,
    #[error("content-length says {stated} bytes, {got} came")]
    Length { stated: u64, got: u64 },
    #[error("reader fell too far behind an answer that is not stored")]
    Lagged,
    #[error("viewer of an answer that is not stored has not read for {0} s")]
    Stalled(u64),
    #[error("nobody reads an answer that is not stored")]
    NoReader,
    #[error("no room for another large answer that is still coming in")]
    NoRoom,
    #[error("range starts past the end of the body")]
    Range,
    #[error("stored body is damaged")]
    Damaged,
    #[error("cache disk: {0}")]
    Disk(#[from] std::io::Error),
}

/// What `meta` was looked up from; `None` when it was not looked up here.
pub fn stored(meta: &CacheMeta) -> Option<&Stored> {
    meta.extensions().get()
}

// === impl Stored ===
impl Stored {
    pub fn meta(&self) -> &Meta {
        match self {
            Stored::Object(object) => &object.meta,
            Stored::Filling(fill) => &fill.meta,
            Stored::OnDisk(record) => &record.meta,
        }
    }

    /// The purge generation that an object in memory was last checked against.
    pub fn checked(&self) -> Option<&AtomicU64> {
        match self {
            Stored::Object(object) => Some(&object.checked),
            Stored::Filling(_) | Stored::OnDisk(_) => None,
        }
    }
}

// === impl StoreError ===
impl From<StoreError> for Box<pingora::Error> {
    fn from(error: StoreError) -> Self {
        pingora::Error::because(pingora::ErrorType::InternalError, "cache store", error)
    }
}
