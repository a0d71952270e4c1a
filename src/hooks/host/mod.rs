//! Host: what a function may call besides its message.
//!
//! In: a call's arguments and what was granted; the services of this PoP. Out: the answer, or a [`HostError`] that the function
//! sees. Never: wasm (`engine` carries the calls here), a grant of its own.

use std::sync::Arc;

use crate::geo;

pub mod crypto;
pub mod dynamic;
mod error;
pub mod fetch;
mod flights;
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
    /// `None` where the configuration has no database: then no address is known.
    pub geo: Option<Arc<geo::Db>>,
}

// === impl Services ===
impl Services {
    /// Without geo, and with the system's randomness.
    pub fn new(kv: kv::KvStores, fetch: Arc<fetch::Fetcher>) -> Self {
        Services { kv, seed: None, fetch, geo: None }
    }
}
