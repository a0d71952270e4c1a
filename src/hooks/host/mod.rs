//! Host: what a function may call besides its message.
//!
//! In: a call's arguments and what was granted; the services of this PoP. Out: the answer, or a [`HostError`] that the function
//! sees. Never: wasm (`engine` carries the calls here), a grant of its own.

use std::sync::Arc;

use crate::geo::Db;

pub mod crypto;
pub mod dynamic;
mod error;
pub mod fetch;
pub mod kv;
pub mod log;
pub mod random;
pub mod state;

pub use error::HostError;
pub use log::{Level, LogLine};
pub use state::{CallState, Identity};

/// What every function of this PoP may be granted a part of.
#[derive(Debug)]
pub struct Services {
    pub kv: kv::KvStores,
    /// Every call's randomness begins with this instead of the system's: for tests, never on a PoP.
    pub seed: Option<u64>,
    pub fetch: Arc<fetch::Fetcher>,
    /// `None`: the configuration names no database, and no address is anywhere.
    pub geo: Option<Arc<Db>>,
}
