//! What runs: the configuration after every name is resolved, every unit read and every bound checked.
//!
//! In: nothing (built only by `config::compile`). Out: plain data that cannot be wrong. Never: raw text, I/O, defaults.

mod access;
mod behavior;
mod dns;
mod dynamodb;
mod fleet;
mod function;
mod integration;
mod lambda;
mod limit;
mod listen;
mod mapping;
mod observe;
mod origin;

pub use access::*;
pub use behavior::*;
pub use dns::*;
pub use dynamodb::*;
pub use fleet::*;
pub use function::*;
pub use integration::*;
pub use lambda::*;
pub use limit::*;
pub use listen::*;
pub use mapping::*;
pub use observe::*;
pub use origin::*;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::Diagnostic;
use super::source::Sources;

/// One whole configuration. Indexes (`OriginId`, `GroupId`, `BehaviorId`) are positions in its vectors.
#[derive(Debug, Clone)]
pub struct Config {
    pub pop: Pop,
    pub listeners: Vec<Listener>,
    pub limits: Limits,
    pub store: Store,
    pub origins: Vec<Origin>,
    pub groups: Vec<OriginGroup>,
    /// In the order written: the first whose pattern matches serves the request.
    pub behaviors: Vec<Arc<Behavior>>,
    /// Edge functions, in the order written.
    pub functions: Vec<Function>,
    pub engine: Functions,
    pub kv_stores: Vec<KvStore>,
    /// Where the import file of each of them is named; the message is whoever's who cannot use it.
    pub kv_imports: Vec<Option<Diagnostic>>,
    /// Lambda functions of this machine; `None` = nothing of them is written.
    pub local_lambda: Option<LocalLambda>,
    /// What access rules name.
    pub access: Access,
    pub rates: Rates,
    pub dynamodb: Option<DynamoDb>,
    /// MaxMind databases, of a directory each of its own.
    pub geo: Vec<Database>,
    /// `None`: no names are answered.
    pub dns: Option<GeoDns>,
    /// Always there: without `[fleet]`, a fleet of one.
    pub fleet: Fleet,
    pub admin: Option<Admin>,
    pub observe: Observe,
    /// First 12 hex digits of the XXH3-128 of the configuration's texts and the pages they name: names the revision in logs
    /// and `/status`.
    pub digest: String,
    /// Every file this configuration was read from (itself, includes, certificates, secrets, pages): what to watch.
    pub sources: Vec<PathBuf>,
    /// What is legal but most likely not meant, one line each with its place.
    pub warnings: Vec<String>,
    /// Parts of the own files that the revision took the place of, one line each with its place: they may be deleted there.
    pub covered: Vec<String>,
    /// What it was compiled from, for findings of whoever loads what it names; empty as soon as it is in force.
    pub texts: Arc<Sources>,
}

pub type OriginId = usize;
pub type GroupId = usize;
pub type BehaviorId = usize;

/// A database of addresses, which is opened elsewhere.
#[derive(Debug, Clone)]
pub struct Database {
    pub path: PathBuf,
    /// Where it is named; the message is whoever's who cannot use it.
    pub place: Diagnostic,
}

/// Who and where this process is.
#[derive(Debug, Clone)]
pub struct Pop {
    /// IATA code, upper case: appears in `Via`, `Cache-Status`, `X-Amz-Cf-Pop`, logs and metrics.
    pub code: String,
    /// Worker threads; 0 = one a core.
    pub threads: usize,
    /// Where caches, the purge log and the upgrade socket live.
    pub state_dir: PathBuf,
    /// How long in-flight requests may take to finish on shutdown or upgrade.
    pub drain: Duration,
}

/// The cache tiers, shared by every behavior.
#[derive(Debug, Clone)]
pub struct Store {
    pub memory: u64,
    pub disk: Option<Disk>,
    /// How long a request waits for another one's fill before it asks the origin itself.
    pub collapse_timeout: Duration,
    /// Distinct purge scopes remembered; past it the oldest fold into "everything older than it".
    pub purge_scopes: usize,
}

#[derive(Debug, Clone)]
pub struct Disk {
    pub path: PathBuf,
    pub size: u64,
}
