//! The bus: one contract, kept by the log of one machine and by NATS through a leaf node.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract;
mod crashes;
mod cuts;
#[path = "../support/nats.rs"]
mod nats;
#[path = "../support/relay.rs"]
mod relay;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use nats::{Hub, Server};
use rimward::config::compiled::{Fleet, FleetBus};
use rimward::config::secret::Secret;
use rimward::fleet::bus::{Bus, Delivered, Message, Seq, Tail, Topic};
use tempfile::TempDir;

/// A busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(120);
pub const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Local,
    Nats,
}

pub const KINDS: [Kind; 2] = [Kind::Local, Kind::Nats];

/// A bus, and what it is made of.
pub struct Place {
    pub bus: Arc<dyn Bus>,
    pub config: Fleet,
    pub dir: TempDir,
    pub servers: Option<(Hub, Server)>,
}

// === impl Place ===
impl Place {
    pub async fn new(kind: Kind) -> Place {
        Place::with(kind, |_| {}).await
    }

    pub async fn with(kind: Kind, change: impl FnOnce(&mut Fleet)) -> Place {
        let dir = TempDir::new().unwrap();
        let servers = (kind == Kind::Nats).then(|| {
            let hub = Hub::start();
            let leaf = hub.leaf("fra");
            (hub, leaf)
        });
        let mut config = fleet(servers.as_ref().map(|(_, leaf)| leaf.url()));
        change(&mut config);
        let bus = open(&config, dir.path()).await;
        reached(&bus).await;
        Place { bus, config, dir, servers }
    }

    /// Opens the bus again, which was not closed.
    pub async fn again(self) -> Place {
        let Place { bus, config, dir, servers } = self;
        drop(bus);
        let bus = open(&config, dir.path()).await;
        reached(&bus).await;
        Place { bus, config, dir, servers }
    }

    pub fn blobs(&self) -> PathBuf {
        self.dir.path().join("blobs")
    }
}

pub async fn open(config: &Fleet, dir: &Path) -> Arc<dyn Bus> {
    rimward::fleet::open(config, dir, PATIENCE).await.unwrap()
}

/// Waits until the bus can be reached: a leaf finds its hub after a while.
pub async fn reached(bus: &Arc<dyn Bus>) {
    let look = async {
        while let Err(error) = bus.head(Topic::Purges).await {
            println!("not yet: {error}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the bus is reached");
}

/// A fleet's configuration, alone or with a server.
pub fn fleet(url: Option<String>) -> Fleet {
    let bus = url.map(|url| FleetBus {
        url,
        domain: nats::DOMAIN.into(),
        user: Some((nats::USER.into(), Secret::new(nats::PASSWORD.into()))),
        ca: None,
    });
    Fleet {
        node: "fra".into(),
        bus,
        secret: None,
        trust: Vec::new(),
        peers: Vec::new(),
        purge_retention: Duration::from_secs(3600),
        revisions: 64,
        revision_size: 8 << 20,
        exchange: Duration::from_secs(1),
        silence: Duration::from_secs(2),
    }
}

pub fn message(subject: &str, id: impl ToString, body: impl ToString) -> Message {
    Message { subject: subject.into(), id: id.to_string(), body: Bytes::from(body.to_string()) }
}

pub async fn next(tail: &mut Tail) -> Delivered {
    let next = tokio::time::timeout(PATIENCE, tail.next()).await.expect("something comes");
    next.expect("the tail goes on").unwrap()
}

/// The position and the body of the next message.
pub async fn said(tail: &mut Tail) -> (u64, String) {
    match next(tail).await {
        Delivered::Message { seq, message } => (seq.0, String::from_utf8(message.body.to_vec()).unwrap()),
        Delivered::Lost { up_to } => panic!("lost up to {up_to:?}"),
    }
}

/// The positions and bodies of everything up to the newest.
pub async fn all(bus: &Arc<dyn Bus>, topic: Topic, after: u64) -> Vec<(u64, String)> {
    let head = bus.head(topic).await.unwrap();
    let mut tail = bus.tail(topic, Seq(after)).await.unwrap();
    let mut found: Vec<(u64, String)> = Vec::new();
    while found.last().map_or(after, |(seq, _)| *seq) < head.0 {
        found.push(said(&mut tail).await);
    }
    found
}
