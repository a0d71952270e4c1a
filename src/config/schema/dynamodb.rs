//! DynamoDB: the table `[dynamodb]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: names resolved, secrets read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Toggle;
use super::integration::Credentials;
use crate::config::units::{ByteSize, Duration, Percent};

/// A DynamoDB endpoint at this PoP, for any SDK with `endpoint-url`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dynamodb {
    /// "address:port" where SDKs come in. Left out: only origins and functions of this PoP reach the tables.
    pub listen: Option<String>,
    /// The `[[sigv4]]` table whose keys may sign (its service is "dynamodb"); the policies of its keys hold for tables,
    /// indexes, keys and attributes. Left out: signatures are not looked at, which is refused where others can listen.
    pub access: Option<String>,
    /// Who keeps the tables: "embedded" (this process, under `state_dir/dynamodb`), "aws:REGION", or the URL of what speaks
    /// like it.
    pub endpoint: String,
    /// In ARNs, and what requests to a URL are signed for. "aws:REGION" says it already.
    pub region: String,
    /// Twelve digits, in ARNs.
    pub account: String,
    /// What requests to another endpoint are signed with. Left out: they are not signed.
    pub credentials: Option<Credentials>,
    /// Enforce provisioned and on-demand capacity, with five minutes of burst. The embedded engine only: others enforce
    /// their own.
    pub throttle: bool,
    /// The item cache: eventually consistent GetItem and BatchGetItem. PutItem and DeleteItem are written through when the engine is
    /// embedded; all other writes drop what they touch.
    pub items: DynamodbItems,
    /// The query cache: eventually consistent Query and Scan, dropped by writes to their partition.
    pub queries: DynamodbQueries,
    /// Read the streams of another endpoint's tables, so that writes by others drop what they touch in both caches: `true`,
    /// `false` or a table. A table without a stream keeps to the caches' `ttl`.
    pub follow: Toggle<DynamodbFollow>,
    /// How often items that have expired are looked for.
    pub ttl_sweep: Duration,
    /// Threads that wait for the embedded engine, which does one thing at a time; more than one reads JSON meanwhile.
    pub threads: usize,
    /// Requests that may wait for the engine; past it they are answered 503, which SDKs try again.
    pub queue: usize,
    /// When a write is acknowledged: "normal" once the operating system has it, which survives the end of the process, or
    /// "full" once the disk has it, which survives the end of the machine.
    pub sync: DynamodbSync,
    /// Tables that are made at start when they are missing. Embedded engine only.
    pub table: Vec<DynamodbTable>,
}

impl Default for Dynamodb {
    fn default() -> Self {
        Dynamodb {
            listen: None,
            access: None,
            endpoint: "embedded".into(),
            region: "us-east-1".into(),
            account: "000000000000".into(),
            credentials: None,
            throttle: true,
            items: DynamodbItems::default(),
            queries: DynamodbQueries::default(),
            follow: Toggle::Switch(false),
            ttl_sweep: Duration::secs(60),
            threads: 2,
            queue: 1024,
            sync: DynamodbSync::Normal,
            table: Vec::new(),
        }
    }
}

/// Bounds of the item cache.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DynamodbItems {
    /// How long an item, or that there is none, is served; "0" turns the cache off. What does not pass this front is seen
    /// no sooner, unless `follow` tells of it: writes elsewhere to a remote table.
    pub ttl: Duration,
    /// Memory for it.
    pub size: ByteSize,
}

impl Default for DynamodbItems {
    fn default() -> Self {
        DynamodbItems { ttl: Duration::secs(300), size: ByteSize::mib(64) }
    }
}

/// Bounds of the query cache.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DynamodbQueries {
    /// How long a result is served; "0" turns the cache off.
    pub ttl: Duration,
    /// Memory for it.
    pub size: ByteSize,
}

impl Default for DynamodbQueries {
    fn default() -> Self {
        DynamodbQueries { ttl: Duration::secs(0), size: ByteSize::mib(16) }
    }
}

/// How streams are followed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DynamodbFollow {
    /// How far the caches may be behind a table's stream; past it, and while the stream cannot be read, reads pass them by.
    pub lag: Duration,
    /// Between two looks at a shard where nothing was new.
    pub poll: Duration,
}

impl Default for DynamodbFollow {
    fn default() -> Self {
        DynamodbFollow { lag: Duration::secs(2), poll: Duration::millis(250) }
    }
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DynamodbSync {
    Normal,
    Full,
}

/// A table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamodbTable {
    /// Required. 3 to 255 of letters, digits, '-', '_' and '.'.
    pub name: String,
    /// Required. The partition key and its type: "pk:S", "id:N" or "hash:B".
    pub hash: String,
    /// The sort key and its type.
    #[serde(default)]
    pub range: Option<String>,
    /// Secondary indexes.
    #[serde(default)]
    pub index: Vec<DynamodbIndex>,
    /// What its stream records: "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE" or "NEW_AND_OLD_IMAGES". Left out: no stream.
    #[serde(default)]
    pub stream: Option<DynamodbView>,
    /// The attribute that holds when an item expires, in seconds since 1970.
    #[serde(default)]
    pub ttl: Option<String>,
    /// Replicated between PoPs over `fleet.bus`: each takes writes, and of two writes to an item the last one holds
    /// everywhere. All of them declare the table, with the same keys.
    #[serde(default)]
    pub global: bool,
    /// Provisioned read units, of the table and of each global index. With `write`, or not at all: on demand.
    #[serde(default)]
    pub read: Option<DynamodbUnits>,
    /// Provisioned write units, of the table and of each global index.
    #[serde(default)]
    pub write: Option<DynamodbUnits>,
}

/// A secondary index.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamodbIndex {
    /// Required. 3 to 255 of letters, digits, '-', '_' and '.'.
    pub name: String,
    /// The partition key and its type. Left out: the table's, and the index is a local one.
    #[serde(default)]
    pub hash: Option<String>,
    /// The sort key and its type.
    #[serde(default)]
    pub range: Option<String>,
    /// What it holds: "all", "none" (its keys and the table's), or a list of attributes beside them.
    #[serde(default = "all")]
    pub projection: super::Selection,
}

fn all() -> super::Selection {
    super::Selection::All
}

/// What a stream records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DynamodbView {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

/// Units a second: fixed, or following what is consumed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamodbUnits {
    /// At first. Left out: `min`.
    #[serde(default)]
    pub units: Option<u32>,
    /// The least that there is to be, with `max`: the table's units follow what is consumed; those of its indexes stay.
    #[serde(default)]
    pub min: Option<u32>,
    /// The most.
    #[serde(default)]
    pub max: Option<u32>,
    /// The part of the units that is to be consumed, 20 to 90 percent.
    #[serde(default = "seventy")]
    pub target: Percent,
}

fn seventy() -> Percent {
    Percent::new(70)
}
