//! Fleet: what this node tells the others of purges, and what it does about theirs.
//!
//! In: the bus, purges accepted here. Out: theirs in force here, ours told, how far everyone is. Never: a request that waits for it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::config::compiled::{self, Config};
use crate::fleet::bus::at_hand;
use crate::fleet::roll::{Roll, Standing};
use crate::fleet::{self, Bus, BusError, Delivered, NodeState, Reach, Seq, Serve, Topic, counters};
use crate::observe::metrics::FleetNumbers;

use super::phases::{now_ms, now_nanos};
use super::purging::Purging;
use super::replicating;
use super::shared::Shared;
use super::sharing;

/// How often the bus is asked where it is.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// Between two attempts at what failed.
const RETRY: Duration = Duration::from_millis(200);
/// The same for a bus that cannot be opened at all.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// Purges of one message, and deliveries taken in at once: one commit each.
const TELL_MAX: usize = 1024;
const TAKE_MAX: usize = 4096;
/// A node says how far it is when that changes, and at least this often.
const STAND_EVERY: Duration = Duration::from_secs(5);

/// This node among the others.
pub struct Fleet {
    shared: Arc<Shared>,
    purging: Arc<Purging>,
    config: compiled::Fleet,
    pop: String,
    /// `state_dir/fleet`.
    dir: PathBuf,
    /// Absent until it is open.
    bus: watch::Sender<Option<Arc<dyn Bus>>>,
    /// Woken when an API key or an entry of a store changed here.
    changed: Arc<Notify>,
    /// Whether the bus answers, and whether purges may be missing here.
    reach: Mutex<Reach>,
    roll: Mutex<Roll>,
    /// Somebody is further than before.
    moved: Notify,
    /// This node is.
    advanced: Notify,
    /// What the bus delivered could not be written.
    unwritten: Notify,
}

/// Who has seen a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    pub seen: Vec<String>,
    pub missing: Vec<String>,
}

// === impl Fleet ===
impl Fleet {
    /// Nothing happens until [`Fleet::run`].
    pub fn new(shared: Arc<Shared>, purging: Arc<Purging>, config: &Config, changed: Option<Arc<Notify>>) -> Self {
        Fleet {
            shared,
            purging,
            config: config.fleet.clone(),
            pop: config.pop.code.clone(),
            dir: config.pop.state_dir.join("fleet"),
            bus: watch::Sender::new(None),
            changed: changed.unwrap_or_default(),
            reach: Mutex::default(),
            roll: Mutex::default(),
            moved: Notify::new(),
            advanced: Notify::new(),
            unwritten: Notify::new(),
        }
    }

    /// Whether the bus answers.
    pub fn connected(&self) -> bool {
        self.reach.lock().is_connected()
    }

    /// The bus, as soon as it is open.
    pub async fn bus(&self) -> Arc<dyn Bus> {
        let mut opened = self.bus.subscribe();
        loop {
            let bus = opened.borrow_and_update().clone();
            if let Some(bus) = bus {
                return bus;
            }
            // The sender lives as long as this.
            if opened.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Lets go of the bus's files, so that the process that takes over can have them.
    pub async fn close(&self) {
        let bus = self.bus.borrow().clone();
        if let Some(bus) = bus {
            bus.close().await;
        }
    }

    /// What gauges show.
    pub fn numbers(&self) -> Option<FleetNumbers> {
        self.config.bus.as_ref()?;
        let nodes = self.roll.lock().nodes().count() as u64;
        Some(FleetNumbers { connected: self.connected(), nodes, purge_position: self.purging.position().0 })
    }

    /// Lends what the nodes say of themselves.
    pub fn roll<T>(&self, look: impl FnOnce(&Roll) -> T) -> T {
        look(&self.roll.lock())
    }

    /// Waits until every node has seen number `n` of this node's purges, at most `patience`.
    pub async fn acknowledged(&self, n: u64, patience: Duration) -> Acknowledged {
        let until = Instant::now() + patience;
        loop {
            let moved = self.moved.notified();
            let lineage = self.purging.lineage().unwrap_or_default();
            let (seen, missing) = self.roll.lock().seen(lineage, n, now_ms(), self.config.purge_retention);
            let left = until.saturating_duration_since(Instant::now());
            if missing.is_empty() && !seen.is_empty() || left.is_zero() {
                // Nobody said anything: the bus was never reached, and no other node has the purge.
                let missing = if seen.is_empty() && missing.is_empty() { self.named() } else { missing };
                return Acknowledged { seen, missing };
            }
            let _ = tokio::time::timeout(left, moved).await;
        }
    }

    /// The nodes that the configuration names, this one first.
    fn named(&self) -> Vec<String> {
        let peers = self.config.peers.iter().map(|peer| peer.node.clone());
        std::iter::once(self.config.node.clone()).chain(peers).collect()
    }

    /// Runs for as long as the process. `patience`: how long another process may still have the bus's files.
    pub async fn run(self: Arc<Self>, patience: Duration) {
        let began = Instant::now();
        let bus = loop {
            match fleet::open(&self.config, &self.dir, patience).await {
                Ok(bus) => break bus,
                Err(error) => {
                    log::error!("{error}");
                    if began.elapsed() >= self.config.silence {
                        self.cut(&error);
                    }
                    tokio::time::sleep(OPEN_AGAIN).await;
                }
            }
        };
        self.bus.send_replace(Some(bus.clone()));
        if self.config.bus.is_some() {
            let settings = counters::Settings {
                node: self.config.node.clone(),
                peers: self.config.peers.iter().map(|peer| peer.node.clone()).collect(),
                exchange: self.config.exchange,
                silence: self.config.silence,
            };
            let ledger = || self.shared.guard.counts().cloned();
            let limits = &self.shared.guard.limits;
            let counted = counters::Shared { limits, clock: self.shared.guard.clock, ledger: &ledger };
            let counting = counters::run(bus.clone(), &settings, &counted);
            let sharing = sharing::run(self.shared.clone(), bus.clone(), self.changed.clone());
            let replicating = replicating::run(self.shared.clone(), bus.clone());
            let bus = &*bus;
            tokio::join!(
                self.probe(bus),
                self.tell(bus),
                self.take(bus),
                self.foresee(bus),
                self.stand(bus),
                self.fare(bus),
                self.listen(bus),
                sharing,
                replicating,
                counting
            );
        }
    }

    /// Asks the bus where it is, and keeps `connected` and what follows from it.
    async fn probe(&self, bus: &dyn Bus) {
        let began = Instant::now();
        let mut heard: Option<Instant> = None;
        loop {
            match limited(self.config.silence, bus.head(Topic::Purges)).await {
                Ok(head) => {
                    heard = Some(Instant::now());
                    if !self.connected() {
                        self.reached(head).await;
                    }
                    self.caught_up();
                }
                Err(error) => {
                    let since = heard.unwrap_or(began).elapsed();
                    if since >= self.config.silence {
                        self.cut(&error);
                    }
                }
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    /// The bus answers, for the first time or again.
    async fn reached(&self, head: Seq) {
        if Reach::has_forgotten(head, self.purging.in_force()) {
            log::warn!("the bus has forgotten purges that it had: everything is purged, and read again");
            if let Err(error) = self.purging.restart().await {
                log::error!("the purge log: {error}");
            }
        }
        let position = self.purging.in_force();
        self.serve(|reach| reach.reached(head, position));
        log::info!("the bus is reached: purge {} of {}", position.0, head.0);
    }

    /// Serves everything again once what the bus had is in force here.
    fn caught_up(&self) {
        if self.serve(|reach| reach.moved(self.purging.in_force())) == Serve::Released {
            log::info!("no purge is missing");
        }
    }

    /// The bus is silent: this node serves from what it has.
    fn cut(&self, error: &BusError) {
        let mut heard = false;
        self.serve(|reach| {
            heard = reach.cut();
            Serve::Released
        });
        if heard {
            log::warn!("the bus is silent, this PoP serves on by itself: {error}");
        }
    }

    /// What becomes of objects that were stored before. One at a time decides and does it.
    fn serve(&self, decide: impl FnOnce(&mut Reach) -> Serve) -> Serve {
        let mut reach = self.reach.lock();
        let serve = decide(&mut reach);
        match serve {
            Serve::Held => self.shared.marks.hold(self.shared.stamps.next(now_nanos())),
            Serve::Released => self.shared.marks.release(),
            Serve::Unchanged => {}
        }
        serve
    }

    /// Tells the others what was accepted here.
    async fn tell(&self, bus: &dyn Bus) {
        loop {
            match self.purging.tell(bus, TELL_MAX).await {
                Ok(true) => {}
                Ok(false) => self.purging.accepted().await,
                Err(error) => {
                    log::debug!("purges wait for the bus: {error}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Takes in what others tell.
    async fn take(&self, bus: &dyn Bus) {
        loop {
            if let Err(error) = self.take_until_it_ends(bus).await {
                log::debug!("the purges of others: {error}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn take_until_it_ends(&self, bus: &dyn Bus) -> Result<(), BusError> {
        // Where to begin is only known once it is known that the bus has not forgotten: the probe says so.
        if !self.connected() {
            return Ok(());
        }
        let mut tail = limited(self.config.silence, bus.tail(Topic::Purges, self.purging.position())).await?;
        while let Some(first) = tail.next().await {
            let (deliveries, ended) = at_hand(&mut tail, first?, TAKE_MAX);
            let received = self.purging.receive(deliveries).await;
            // In force also where they cannot be written.
            self.caught_up();
            if let Err(error) = received {
                self.unwritten.notify_one();
                return Err(BusError::Disk { what: "the purge log".to_owned(), why: error.to_string() });
            }
            self.advanced.notify_one();
            if let Some(error) = ended {
                return Err(error);
            }
        }
        Ok(())
    }

    /// While the disk takes nothing, puts in force what others tell, so that this node may serve; [`Fleet::take`] writes it once there is
    /// room.
    async fn foresee(&self, bus: &dyn Bus) {
        loop {
            match self.connected() && self.purging.is_behind() {
                true => {
                    if let Err(error) = self.foresee_until_it_is_written(bus).await {
                        log::debug!("the purges of others, past a full disk: {error}");
                    }
                    tokio::time::sleep(RETRY).await;
                }
                false => {
                    let _ = tokio::time::timeout(STAND_EVERY, self.unwritten.notified()).await;
                }
            }
        }
    }

    async fn foresee_until_it_is_written(&self, bus: &dyn Bus) -> Result<(), BusError> {
        let mut tail = limited(self.config.silence, bus.tail(Topic::Purges, self.purging.in_force())).await?;
        while self.connected() && self.purging.is_behind() {
            // Looks whether it is written from time to time.
            let Ok(next) = tokio::time::timeout(STAND_EVERY, tail.next()).await else { continue };
            let Some(first) = next else { break };
            let (deliveries, ended) = at_hand(&mut tail, first?, TAKE_MAX);
            self.purging.foresee(deliveries).await.map_err(|error| BusError::Away(error.to_string()))?;
            self.caught_up();
            if let Some(error) = ended {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Says how far this node is.
    async fn stand(&self, bus: &dyn Bus) {
        loop {
            if let Some(standing) = self.standing()
                && let Err(error) = limited(self.config.silence, bus.publish(Topic::Acks, standing.message())).await
            {
                log::debug!("this node's standing waits for the bus: {error}");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            let _ = tokio::time::timeout(STAND_EVERY, self.advanced.notified()).await;
        }
    }

    /// Says how this node fares, as the board has it.
    async fn fare(&self, bus: &dyn Bus) {
        loop {
            tokio::time::sleep(self.config.exchange).await;
            let own = self.shared.board.nodes().into_iter().find(|heard| heard.state.node == self.config.node);
            if let Some(own) = own
                && let Err(error) = limited(self.config.silence, bus.publish(Topic::Acks, own.state.message())).await
            {
                log::debug!("this node's state waits for the bus: {error}");
            }
        }
    }

    fn standing(&self) -> Option<Standing> {
        let lineage = self.purging.lineage()?;
        let seen = self.purging.kept().text()?;
        Some(Standing {
            node: self.config.node.clone(),
            pop: self.pop.clone(),
            lineage: format!("{lineage:x}"),
            seen,
            at_ms: now_ms(),
        })
    }

    /// Hears how far the others are.
    async fn listen(&self, bus: &dyn Bus) {
        let mut position = Seq(0);
        loop {
            if let Ok(mut tail) = limited(self.config.silence, bus.tail(Topic::Acks, position)).await {
                while let Some(Ok(delivered)) = tail.next().await {
                    let Delivered::Message { seq, message } = delivered else { continue };
                    position = seq;
                    if let Some(state) = NodeState::read(&message) {
                        self.shared.board.hear(state, now_ms());
                    } else if self.roll.lock().take(&message, now_ms()) {
                        self.moved.notify_waiters();
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The bus's answer, or that it gave none in time.
async fn limited<T>(patience: Duration, asked: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(BusError::Away(format!("no answer for {} ms", patience.as_millis()))),
    }
}
