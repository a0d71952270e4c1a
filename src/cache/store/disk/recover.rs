//! Recover: finds again what earlier processes stored.
//!
//! In: the segments that were there at start, newest first. Out: their records in the index, one segment at a time. Never: an
//! error (what cannot be read is skipped), a look-up that waits.

use std::sync::Arc;

use super::index::Index;
use super::journal::Journal;
use crate::cache::store::StoreError;

/// Starts the search in a thread of its own: sealed segments cost one read of their table each.
pub fn spawn(found: Vec<u32>, journal: Arc<Journal>, index: Arc<Index>) -> Result<(), StoreError> {
    let search = move || {
        found.iter().for_each(|id| journal.recover(*id));
        index.recovered();
    };
    std::thread::Builder::new().name("cache-recover".into()).spawn(search)?;
    Ok(())
}
