//! DynamoDB: the front and its tables, units read.

use std::net::SocketAddr;
use std::time::Duration;

use super::Credentials;

/// The DynamoDB front of this PoP.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    /// Where SDKs with `--endpoint-url` come in.
    pub listen: Option<SocketAddr>,
    /// The `[[sigv4]]` table whose keys may sign: a position in `Access::signers`. `None`: signatures are not asked for.
    pub access: Option<usize>,
    pub endpoint: DynamoEndpoint,
    /// In ARNs, and what requests to a remote endpoint are signed for.
    pub region: String,
    /// Twelve digits, in ARNs.
    pub account: String,
    /// Capacity is enforced. The embedded engine only: a remote one enforces its own.
    pub throttle: bool,
    pub items: CacheBounds,
    pub queries: CacheBounds,
    /// `None` = the streams of a remote endpoint's tables are not read.
    pub follow: Option<DynamoFollow>,
    /// How often expired items are looked for.
    pub ttl_sweep: Duration,
    /// Threads that wait for the embedded engine.
    pub threads: usize,
    /// Requests that wait for the embedded engine, or are under way to the remote one.
    pub queue: usize,
    /// Commits reach the disk before they are acknowledged, not only the operating system.
    pub sync_full: bool,
    /// This node's name, in the stamps of writes to global tables: `fleet.node`.
    pub node: String,
    /// Created at start when they are missing.
    pub tables: Vec<DynamoTable>,
}

/// Who keeps the tables.
#[derive(Debug, Clone)]
pub enum DynamoEndpoint {
    /// This process, under `state_dir/dynamodb`.
    Embedded,
    /// AWS or what speaks like it: `https://dynamodb.eu-central-1.amazonaws.com`.
    Remote { url: String, credentials: Option<Credentials> },
}

/// Bounds of a cache. A `ttl` of 0 turns it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheBounds {
    pub ttl: Duration,
    /// Bytes.
    pub size: u64,
}

/// How the streams of a remote endpoint's tables are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamoFollow {
    /// How far the caches may be behind.
    pub lag: Duration,
    /// Between two looks at a shard.
    pub poll: Duration,
}

/// A declared table.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamoTable {
    pub name: String,
    pub hash: DynamoKey,
    pub range: Option<DynamoKey>,
    pub indexes: Vec<DynamoIndex>,
    /// "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE" or "NEW_AND_OLD_IMAGES".
    pub stream: Option<&'static str>,
    /// The attribute that holds when an item expires.
    pub ttl: Option<String>,
    /// Replicated between PoPs.
    pub global: bool,
    /// `None` = on demand.
    pub capacity: Option<Capacity>,
}

/// A key attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoKey {
    pub name: String,
    /// "S", "N" or "B".
    pub kind: &'static str,
}

/// A secondary index: global, or local when its partition key is the table's and `local` says so.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamoIndex {
    pub name: String,
    pub local: bool,
    pub hash: DynamoKey,
    pub range: Option<DynamoKey>,
    pub projection: DynamoProjection,
}

/// What an index holds of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynamoProjection {
    All,
    KeysOnly,
    Include(Vec<String>),
}

/// Provisioned capacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    pub read: Units,
    pub write: Units,
}

/// Units a second, and how they follow what is consumed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Units {
    /// At first, and always without `scaling`.
    pub units: u32,
    pub scaling: Option<Scaling>,
}

/// Target tracking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    pub min: u32,
    pub max: u32,
    /// Percent of the units that are to be consumed: 20 to 90.
    pub target: u8,
}
