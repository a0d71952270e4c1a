//! Fleet: this PoP among others, references resolved.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::secret::Secret;

/// What carries revisions, purges, keys and counts between PoPs, and who they are.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// This process's name among the nodes.
    pub node: String,
    /// `None`: this machine alone.
    pub bus: Option<FleetBus>,
    /// What nodes sign their requests to one another with.
    pub secret: Option<Secret<Vec<u8>>>,
    /// Ed25519 public keys whose revisions are taken.
    pub trust: Vec<[u8; 32]>,
    pub peers: Vec<FleetPeer>,
    /// Keys are spread over the nodes of this PoP.
    pub shard: bool,
    pub purge_retention: Duration,
    /// Revisions kept.
    pub revisions: usize,
    /// Bytes of one revision's files.
    pub revision_size: u64,
    pub exchange: Duration,
    pub silence: Duration,
}

/// A NATS server.
#[derive(Debug, Clone)]
pub struct FleetBus {
    pub url: String,
    pub domain: String,
    pub user: Option<(String, Secret<String>)>,
    pub ca: Option<PathBuf>,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPeer {
    pub node: String,
    /// IATA code, upper case.
    pub pop: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// Instead of the system's certificates.
    pub ca: Option<PathBuf>,
}
