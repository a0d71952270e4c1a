//! Fleet: what outlives the process and, with several PoPs, travels between them.

mod applied;
pub mod bus;
pub mod counters;
pub mod data;
pub mod items;
mod key_store;
mod local;
mod nats;
pub mod peering;
mod purge_log;
mod purge_wire;
mod purges;
mod reach;
pub mod revision;
pub mod roll;
#[cfg(test)]
mod simulation;
pub mod state;
pub mod vector;

pub use applied::Applied;
pub use bus::{Bus, BusError, Delivered, Message, Seq, Topic};
pub use key_store::{
    DirtyKey, KeyChange, KeyStore, KeyStoreError, NAME_MAX, PLANS_MAX, ReceivedKeys, StoredKey, ToldKey,
};
pub use local::LocalBus;
pub use nats::NatsBus;
pub use purge_log::{Opened, Outgoing, Progress, PurgeLog};
pub use purge_wire::{Received, WireError};
pub use purges::{Accepted, Acted, Purges};
pub use reach::{Reach, Serve};
pub use state::{Board, Heard, Meter, NodeState, Traffic};
pub use vector::{Seen, Vector, VectorError};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::bus::Keep;
use crate::config::compiled::Fleet;

/// The bus that the configuration names: NATS, or a log in `dir` (`state_dir/fleet`), which another process may still have for `patience`.
/// Neither waits for a server.
pub async fn open(config: &Fleet, dir: &Path, patience: Duration) -> Result<Arc<dyn Bus>, BusError> {
    let keep = Keep { purges: config.purge_retention, revisions: config.revisions, blob: config.revision_size };
    if let Some(bus) = &config.bus {
        return Ok(Arc::new(NatsBus::open(bus, &config.node, keep, config.silence).await?));
    }
    let dir = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || LocalBus::open(&dir, keep, patience)).await;
    Ok(Arc::new(opened.map_err(|join| BusError::Away(join.to_string()))??))
}

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
