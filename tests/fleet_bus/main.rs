//! The bus: one contract, kept by the log of one machine and by NATS through a leaf node.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract;
mod crashes;
mod cuts;
#[path = "../support/nats.rs"]
mod nats;
#[path = "../support/relay.rs"]
mod relay;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use nats::{Hub, Server};
use parking_lot::Mutex;
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
    /// Where each log begins; tests count from there.
    origins: Mutex<HashMap<Topic, u64>>,
}

// === impl Place ===
impl Place {
    pub async fn new(kind: Kind) -> Place {
        Place::with(kind, |_| {}).await
    }

    /// An open log of one machine, from its beginning.
    pub fn of(bus: Arc<dyn Bus>, config: Fleet, dir: TempDir) -> Place {
        let origins = Mutex::new(Topic::ALL.map(|topic| (topic, 1)).into());
        Place { bus, config, dir, servers: None, origins }
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
        Place { bus, config, dir, servers, origins: Mutex::default() }
    }

    /// Opens the bus again, which was not closed.
    pub async fn again(self) -> Place {
        let Place { bus, config, dir, servers, origins } = self;
        drop(bus);
        let bus = open(&config, dir.path()).await;
        reached(&bus).await;
        Place { bus, config, dir, servers, origins }
    }

    /// The message's place from 1 on: the first that is published is the log's first.
    pub async fn publish(&self, topic: Topic, message: Message) -> u64 {
        let seq = self.bus.publish(topic, message).await.unwrap().0;
        seq + 1 - *self.origins.lock().entry(topic).or_insert(seq)
    }

    fn origin(&self, topic: Topic) -> u64 {
        self.origins.lock().get(&topic).copied().unwrap_or(1)
    }

    pub async fn tail(&self, topic: Topic, after: u64) -> Tail {
        let after = if after == 0 { 0 } else { self.origin(topic) - 1 + after };
        self.bus.tail(topic, Seq(after)).await.unwrap()
    }

    /// The place and the body of the next message.
    pub async fn said(&self, topic: Topic, tail: &mut Tail) -> (u64, String) {
        match next(tail).await {
            Delivered::Message { seq, message } => (seq.0 + 1 - self.origin(topic), text(&message)),
            Delivered::Lost { up_to } => panic!("lost up to {up_to:?}"),
        }
    }

    /// The places and bodies of everything up to the newest.
    pub async fn all(&self, topic: Topic, after: u64) -> Vec<(u64, String)> {
        let head = self.bus.head(topic).await.unwrap().0;
        let head = if head == 0 { 0 } else { head + 1 - self.origin(topic) };
        let mut tail = self.tail(topic, after).await;
        let mut found: Vec<(u64, String)> = Vec::new();
        while found.last().map_or(after, |(seq, _)| *seq) < head {
            found.push(self.said(topic, &mut tail).await);
        }
        found
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
        shard: false,
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

/// A client that looks at what the hub has.
pub async fn client(hub: &Hub) -> async_nats::Client {
    let options = async_nats::ConnectOptions::new().user_and_password(nats::USER.into(), nats::PASSWORD.into());
    options.connect(hub.url()).await.unwrap()
}

pub fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}
