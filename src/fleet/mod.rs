//! Fleet: what outlives the process and, with several PoPs, travels between them.

pub mod bus;
pub mod counters;
mod key_store;
mod purge_log;
pub mod vector;

pub use key_store::{KeyChange, KeyStore, KeyStoreError, NAME_MAX, PLANS_MAX, StoredKey};
pub use purge_log::PurgeLog;
pub use vector::{Vector, VectorError};

use std::path::PathBuf;
use std::sync::Arc;

/// Why something durable could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    #[error("cannot open the purge log {}: {source}", path.display())]
    Open { path: PathBuf, source: Arc<redb::Error> },
    #[error("cannot read the purge log: {0}")]
    Read(#[source] Arc<redb::Error>),
    #[error("cannot write the purge log: {0}")]
    Write(#[source] Arc<redb::Error>),
    /// An entry that no version of this program wrote: what it purged is unknown.
    #[error("the purge log holds an entry that cannot be read, stamp {stamp}")]
    Entry { stamp: u64 },
    #[error("this process hands over to its successor: ask again")]
    HandedOver,
    #[error("the purge was interrupted: {0}")]
    Interrupted(String),
}
