//! Admin: the operator's HTTP API.
//!
//! In: requests on the admin address, closures over what runs. Out: metrics, state, purges, reloads, as JSON that says what
//! to do when something is wrong. Never: a viewer's traffic, a secret in an answer, an unbounded body.

mod access;
mod answer;
mod console;
mod explain;
#[cfg(test)]
pub(crate) mod fixture;
pub mod keys;
mod kv;
mod purge;
mod revisions;
mod state;
mod tail;
mod view;

pub use answer::{Done, router};
pub use purge::{Body as PurgeBody, PurgeDone, PurgeError, PurgeRequest, Purged, Several};
pub use revisions::{Accepted, Revision, Revisions, Stored};
pub use state::{CacheState, ConfigState, LastReload, OriginState, RecentPurge, Status, TargetState};

use crate::access::sigv4::Verifier;
use crate::config::compiled::Config;
use crate::config::secret::Secret;
use crate::fleet::Board;
use crate::hooks::host::kv::KvStores;
use crate::observe::{Metrics, Recent};
use crate::proxy::revising::Revising;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What a handler needs of the rest of the process.
#[derive(Clone)]
pub struct AdminState {
    /// `None` = no token: only pages on this machine's own addresses may ask (the configuration binds loopback then).
    pub token: Option<Arc<Secret<String>>>,
    pub metrics: Arc<Metrics>,
    /// The configuration that runs.
    pub config: Arc<dyn Fn() -> Arc<Config> + Send + Sync>,
    pub facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    /// Applies a purge durably; `Err` is told to the operator.
    pub purge: Arc<dyn Fn(PurgeRequest) -> BoxFuture<'static, Result<PurgeDone, String>> + Send + Sync>,
    /// Reads the configuration again and swaps it in; gives the new digest. `Err` is the checker's message.
    pub reload: Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>,
    /// The key-value stores of the configuration that runs.
    pub kv: Arc<dyn Fn() -> KvStores + Send + Sync>,
    /// Who checks signatures of requests to the key-value stores; `None` = they are not asked for.
    pub signer: Arc<dyn Fn() -> Option<Arc<Verifier>> + Send + Sync>,
    /// API keys; `None` = this PoP keeps none.
    pub keys: Option<Arc<keys::KeyDesk>>,
    /// `None` = no key is trusted.
    pub revisions: Option<Arc<Revising>>,
    /// The newest requests.
    pub requests: Arc<Recent>,
    /// How every node is.
    pub board: Arc<Board>,
    /// Begins empty (`Arc::default()`).
    pub recent: Arc<Mutex<VecDeque<RecentPurge>>>,
}

/// What only the process itself knows.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Milliseconds since the epoch.
    pub started_ms: u64,
    /// Why traffic should go elsewhere (starting, draining); `None` = ready.
    pub not_ready: Option<String>,
    /// The revision that its viewers get; `None` = its own files alone.
    pub revision: Option<u64>,
    pub last_reload: Option<LastReload>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").field("token", &self.token.is_some()).finish_non_exhaustive()
    }
}
