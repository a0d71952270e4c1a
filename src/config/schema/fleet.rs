//! Fleet: the table `[fleet]`.
//!
//! In: TOML. Out: what was written, defaults filled in. Never: secrets read, keys decoded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::origin::Reference;
use crate::config::units::{ByteSize, Duration};

/// This PoP among others: what carries revisions, purges, keys and counts between them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// This process's name, unlike any other's: lower-case letters, digits and '-'. Left out: the PoP's code in lower case.
    pub node: Option<String>,
    /// What carries it. Left out: this machine alone, with a log in `state_dir/fleet`.
    pub bus: Option<FleetBus>,
    /// What nodes sign their requests to one another with, the same everywhere: "env:NAME" or "file:path", at least 32 bytes.
    /// Needed for `peer`.
    pub secret: Option<Reference>,
    /// Public keys whose revisions are taken: "ed25519:BASE64", as `rimward deploy --new-key` prints them, or "file:path" or "env:NAME"
    /// that holds one. None: revisions are refused, and the configuration file alone counts.
    pub trust: Vec<String>,
    /// The other nodes, for shields, sharding and asking peers first.
    pub peer: Vec<FleetPeer>,
    /// PEM file with the certificates that nodes with an "https:" URL are verified with. Left out: the system's.
    pub ca: Option<String>,
    /// Spread the cache keys over the nodes of this PoP: each key has one node that fills it, and the others ask that node.
    pub shard: bool,
    /// How long purges are kept for a node that is away; one that was away longer drops its whole cache.
    pub purge_retention: Duration,
    /// Revisions that are kept, to roll back to.
    pub revisions: usize,
    /// The largest revision: its files together.
    pub revision_size: ByteSize,
    /// How often nodes tell each other what they admitted and how they are.
    pub exchange: Duration,
    /// How long the bus may be silent before this node counts as cut off.
    pub silence: Duration,
}

impl Default for Fleet {
    fn default() -> Self {
        Fleet {
            node: None,
            bus: None,
            secret: None,
            trust: Vec::new(),
            peer: Vec::new(),
            ca: None,
            shard: false,
            purge_retention: Duration::days(7),
            revisions: 64,
            revision_size: ByteSize::mib(256),
            exchange: Duration::secs(1),
            silence: Duration::secs(2),
        }
    }
}

/// NATS with JetStream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetBus {
    /// Required. The leaf node beside this PoP, or any server of the cluster: "nats://127.0.0.1:4222", "tls://…".
    pub url: String,
    /// JetStream domain that keeps the logs: the hub's.
    #[serde(default = "hub")]
    pub domain: String,
    /// How this node is let in.
    #[serde(default)]
    pub user: Option<String>,
    /// "env:NAME" or "file:path".
    #[serde(default)]
    pub password: Option<Reference>,
    /// Certificates that `tls://` servers are verified with. Left out: the system's.
    #[serde(default)]
    pub ca: Option<String>,
}

fn hub() -> String {
    "hub".into()
}

/// Another node.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetPeer {
    /// Required. Its `fleet.node`.
    pub node: String,
    /// Required. The code of its PoP.
    pub pop: String,
    /// Required. Where it takes requests of other nodes: the URL of one of its listeners.
    pub url: String,
}
