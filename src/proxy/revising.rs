//! Revising: this node's way from one revision to the next.
//!
//! In: signed manifests and other nodes' acknowledgements from the bus. Out: the revision in force, and how far this node is. Never: a decision of
//! its own (`fleet::revision` decides), files that were not verified, a request.

mod accepting;
mod tidying;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::compiled::Config;
use crate::fleet::bus::{Bus, BusError, Delivered, Digest, Message, Seq, Topic};
use crate::fleet::revision::{
    Ack, Envelope, Event, Item, Known, Manifest, ManifestError, NotNow, Placed, Shelf, ShelfError, Want,
};

use super::history::History;
use super::phases::now_ms;
use super::reload::{CanaryRoot, Refused, Reload, Roots};
use super::shared::Shared;
use watching::Before;

/// Between two looks at how what is new does, and between two tries of what the bus did not do.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Before a tail that ended begins again.
const TAIL_AGAIN: Duration = Duration::from_millis(500);
/// Before what cannot be built, and has nothing that could stand in for it, is tried again.
const STUCK: Duration = Duration::from_secs(5);
/// Blobs that are fetched at once.
const AT_ONCE: usize = 8;
/// Tries to get files that the bus says it does not have, before the revision is refused.
const TRIES: u32 = 20;

/// Why a revision was not accepted: nothing of it was published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevisingError {
    #[error("this PoP takes no revisions: `fleet.trust` names no key")]
    Off,
    #[error("this PoP is starting: ask again")]
    Starting,
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{0}")]
    Senseless(String),
    #[error("the file {path:?} is not what the manifest says")]
    File { path: String },
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl From<NotNow> for RevisingError {
    fn from(why: NotNow) -> Self {
        match why {
            NotNow::Manifest(error) => RevisingError::Manifest(error),
            NotNow::Senseless(why) => RevisingError::Senseless(why),
        }
    }
}

/// One node's revisions.
pub struct Revising {
    reload: Arc<Reload>,
    shared: Arc<Shared>,
    shelf: Shelf,
    node: String,
    pop: String,
    trust: Vec<[u8; 32]>,
    /// Bytes of a revision, and how many are kept.
    size: u64,
    most: usize,
    bus: OnceLock<Arc<dyn Bus>>,
    known: Mutex<Known>,
    noted: Mutex<Noted>,
    changed: Notify,
    /// One is accepted at a time, so that each is newer than the one before.
    accepting: tokio::sync::Mutex<()>,
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Noted {
    /// What new acts are compared with.
    before: BTreeMap<u64, Before>,
    /// Tries to get the files of an act that the bus does not have.
    tries: (u64, u32),
    /// The log of revisions was read to its end, and something in it is nothing that this node can read.
    caught_up: bool,
    unread: bool,
}

/// The revision that this node served last: where its files are. It starts with it, whether or not there is a bus.
pub fn last(config: &Config) -> Option<PathBuf> {
    if config.fleet.trust.is_empty() {
        return None;
    }
    let shelf = Shelf::new(&config.pop.state_dir);
    let revision = shelf.course().running().main.revision;
    (revision > 0 && shelf.has(revision)).then(|| shelf.place(revision))
}

// === impl Revising ===
impl Revising {
    /// `None` when the configuration trusts no key. `begun`: the process was started with [`last`].
    pub fn new(config: &Config, begun: bool, reload: Arc<Reload>, shared: Arc<Shared>) -> Option<Arc<Self>> {
        let fleet = &config.fleet;
        if fleet.trust.is_empty() {
            return None;
        }
        let shelf = Shelf::new(&config.pop.state_dir);
        let course = shelf.course();
        let main = if begun { course.running().main } else { Placed::default() };
        // A key may no longer be trusted: what it signed runs on, but nothing new of it is taken.
        let opened = shelf.envelopes().into_iter().filter_map(|(serial, envelope)| {
            let manifest = envelope.open(&fleet.trust, fleet.revision_size).ok()?;
            Some((serial, (envelope, manifest)))
        });
        let known = Known::begin(course, main, opened.collect());
        Some(Arc::new(Revising {
            reload,
            shared,
            shelf,
            node: fleet.node.clone(),
            pop: config.pop.code.clone(),
            trust: fleet.trust.clone(),
            size: fleet.revision_size,
            most: fleet.revisions,
            bus: OnceLock::new(),
            known: Mutex::new(known),
            noted: Mutex::default(),
            changed: Notify::new(),
            accepting: tokio::sync::Mutex::default(),
        }))
    }

    /// Bytes that one revision, and so one file, may have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a revision that is known names this file: then it is there.
    pub fn has_blob(&self, digest: Digest) -> bool {
        let digest = digest.to_string();
        let known = self.known.lock();
        known.manifests().values().any(|(_, manifest)| manifest.files.iter().any(|file| file.digest == digest))
    }

    /// The revision that viewers here get; `None` = this node's own files alone.
    pub fn serves(&self) -> Option<u64> {
        Some(self.known.lock().course.running().main.revision).filter(|revision| *revision > 0)
    }

    pub fn history(&self) -> History {
        let known = self.known.lock();
        let (main, before) = known.course.mains();
        let mut nodes: BTreeMap<String, Option<Ack>> =
            known.acks().iter().map(|(node, ack)| (node.clone(), Some(ack.clone()))).collect();
        let config = &self.shared.live.load().config;
        let others = config.fleet.peers.iter().map(|peer| peer.node.clone());
        for node in others.chain([self.node.clone()]) {
            nodes.entry(node).or_insert(None);
        }
        History {
            newest: known.course.newest(),
            main,
            before,
            canary: known.course.canary(),
            covered: config.covered.clone(),
            manifests: known.manifests().clone(),
            nodes,
        }
    }

    /// Follows the bus for as long as the process lives.
    pub async fn run(self: Arc<Self>, bus: Arc<dyn Bus>) {
        if self.bus.set(bus).is_err() {
            return;
        }
        tokio::join!(self.follow(Topic::Revisions), self.follow(Topic::Acks), self.work(), self.tidy_always());
    }

    fn bus(&self) -> Result<&Arc<dyn Bus>, RevisingError> {
        self.bus.get().ok_or(RevisingError::Starting)
    }

    /// Everything of a topic, from its beginning: what comes again changes nothing.
    async fn follow(&self, topic: Topic) {
        loop {
            if let Err(error) = self.tail(topic).await {
                log::debug!("{} of the fleet: {error}", topic.name());
            }
            tokio::time::sleep(TAIL_AGAIN).await;
        }
    }

    async fn tail(&self, topic: Topic) -> Result<(), RevisingError> {
        let bus = self.bus()?;
        // Of a row of revisions that were missed, only what they come to is built.
        let head = bus.head(topic).await?;
        let mut tail = bus.tail(topic, Seq(0)).await?;
        let (mut there, mut last, mut whole) = (BTreeSet::new(), Seq(0), false);
        self.known.lock().tell_again();
        loop {
            if last >= head {
                self.noted.lock().caught_up |= topic == Topic::Revisions;
                self.changed.notify_one();
                if topic == Topic::Revisions && !std::mem::replace(&mut whole, true) {
                    self.remind(bus, &there).await?;
                }
            }
            let Some(delivered) = tail.next().await else { return Ok(()) };
            let Delivered::Message { seq, message } = delivered? else { continue };
            match topic {
                Topic::Revisions => there.extend(self.manifest(&message.body).await),
                _ => self.ack(&message),
            }
            last = seq;
        }
    }

    /// Publishes again what the bus has forgotten, with its files: who has none of them leaves it to others.
    async fn remind(&self, bus: &Arc<dyn Bus>, there: &BTreeSet<u64>) -> Result<(), RevisingError> {
        let lacking = self.known.lock().lacking(there, self.most);
        for (serial, envelope) in lacking {
            let items = self.known.lock().manifest(serial).map(|manifest| manifest.files.clone()).unwrap_or_default();
            if !items.is_empty() && !self.shelf.has(serial) {
                continue;
            }
            log::warn!("the bus has forgotten revision {serial}: it is told again");
            for item in items {
                let (shelf, path) = (self.shelf.clone(), item.path);
                let read = tokio::task::spawn_blocking(move || shelf.read(serial, &path)).await;
                bus.put_blob(read.map_err(|error| BusError::Away(error.to_string()))??).await?;
            }
            bus.publish(Topic::Revisions, envelope.message(serial)).await?;
        }
        Ok(())
    }

    /// Its number, if it is one.
    async fn manifest(&self, body: &[u8]) -> Option<u64> {
        let opened = Envelope::parse(body).and_then(|envelope| Ok((envelope.open(&self.trust, self.size)?, envelope)));
        match opened {
            Ok((manifest, envelope)) => {
                let serial = manifest.serial;
                self.arrived(envelope, manifest).await;
                Some(serial)
            }
            Err(error) => {
                log::warn!("a revision on the bus is not taken: {error}");
                self.noted.lock().unread = true;
                None
            }
        }
    }

    async fn arrived(&self, envelope: Envelope, manifest: Manifest) {
        let serial = manifest.serial;
        if !self.known.lock().arrived(&envelope, &manifest, now_ms(), self.most) {
            return;
        }
        let shelf = self.shelf.clone();
        let filed = tokio::task::spawn_blocking(move || shelf.file(serial, &envelope)).await;
        if let Ok(Err(error)) = filed {
            log::error!("{error}");
        }
        self.changed.notify_one();
    }

    fn ack(&self, message: &Message) {
        if self.known.lock().heard(message, now_ms(), self.most) == Some(false) {
            log::warn!("the acknowledgement {} cannot be read", message.subject);
        }
    }

    async fn work(&self) {
        loop {
            let _ = tokio::time::timeout(LOOK_EVERY, self.changed.notified()).await;
            self.watch();
            loop {
                let work = self.known.lock().course.work(&self.pop);
                let Some(want) = work else { break };
                if let Err(error) = self.reach(want).await {
                    log::warn!("the next revision has to wait: {error}");
                    break;
                }
            }
            if let Err(error) = self.tell().await {
                log::debug!("how far this node is could not be told: {error}");
            }
        }
    }

    /// Fetches, builds, swaps. `Err`: it is to be tried again.
    async fn reach(&self, want: Want) -> Result<(), RevisingError> {
        let placed = [Some(want.main), want.canary.map(|(placed, _)| placed)];
        for placed in placed.into_iter().flatten().filter(|placed| placed.revision > 0) {
            if self.shelf.has(placed.revision) {
                continue;
            }
            let manifest = self.known.lock().manifest(placed.revision).cloned();
            let Some(manifest) = manifest else {
                let why = format!("the files of revision {} are not known here", placed.revision);
                return self.unbuilt(&want, Event::Refused { act: placed.act, why }).await;
            };
            match self.fetch(&manifest).await {
                Ok(()) => {}
                Err(error) if self.is_final(placed.act, &error) => {
                    let event = Event::Refused { act: placed.act, why: error.to_string() };
                    return self.unbuilt(&want, event).await;
                }
                Err(error) => return Err(error),
            }
        }
        let root = |placed: Placed| (placed.revision > 0).then(|| self.shelf.place(placed.revision));
        let canary = want
            .canary
            .and_then(|(placed, percent)| Some(CanaryRoot { root: root(placed)?, serial: placed.revision, percent }));
        let before = self.shared.live.load().tally.clone();
        match self.reload.revise(Roots { main: root(want.main), canary }) {
            Ok(()) => {
                self.compare(&want, before);
                self.settle(Event::Built(want)).await
            }
            Err(Refused::Main(why)) => self.unbuilt(&want, self.refused(want.main, &why)).await,
            Err(Refused::Canary(why)) => {
                let placed = want.canary.map(|(placed, _)| placed).unwrap_or_default();
                self.unbuilt(&want, self.refused(placed, &why)).await
            }
        }
    }

    /// Takes in that something cannot be built. Where nothing is left to go back to, the same is wanted again, after a while.
    async fn unbuilt(&self, want: &Want, event: Event) -> Result<(), RevisingError> {
        self.settle(event).await?;
        if self.known.lock().course.work(&self.pop).as_ref() == Some(want) {
            tokio::time::sleep(STUCK).await;
        }
        Ok(())
    }

    /// Files are named as whoever deployed them names them, not by where they lie here.
    fn refused(&self, placed: Placed, why: &str) -> Event {
        let why = why.replace(&format!("{}/", self.shelf.place(placed.revision).display()), "");
        log::error!("revision {} is refused, what was there keeps serving:\n{why}", placed.revision);
        Event::Refused { act: placed.act, why }
    }

    /// Whether more tries would change nothing.
    fn is_final(&self, act: u64, error: &RevisingError) -> bool {
        let tried = {
            let mut noted = self.noted.lock();
            noted.tries = if noted.tries.0 == act { (act, noted.tries.1 + 1) } else { (act, 1) };
            noted.tries.1
        };
        match error {
            RevisingError::File { .. } => true,
            RevisingError::Bus(BusError::NoBlob(_) | BusError::Corrupt(_)) => tried >= TRIES,
            _ => false,
        }
    }

    /// Takes in what came of it, durably, and forgets what nobody needs.
    async fn settle(&self, event: Event) -> Result<(), RevisingError> {
        let (course, kept) = {
            let mut known = self.known.lock();
            let kept = known.settle(event, now_ms(), self.most);
            (known.course.clone(), kept)
        };
        let shelf = self.shelf.clone();
        let done = tokio::task::spawn_blocking(move || {
            shelf.keep(&course)?;
            shelf.sweep(&kept);
            Ok(())
        });
        done.await.unwrap_or(Ok(()))
    }

    /// Brings a revision's files here, every one verified.
    async fn fetch(&self, manifest: &Manifest) -> Result<(), RevisingError> {
        if manifest.files.is_empty() || self.shelf.has(manifest.serial) {
            return Ok(());
        }
        let bus = self.bus()?.clone();
        let each = manifest.files.clone().into_iter().map(move |item| fetched(bus.clone(), item));
        let files: Vec<_> = futures::stream::iter(each).buffered(AT_ONCE).try_collect().await?;
        let (shelf, serial) = (self.shelf.clone(), manifest.serial);
        let put = tokio::task::spawn_blocking(move || shelf.put(serial, &files)).await;
        Ok(put.map_err(|error| BusError::Away(error.to_string()))??)
    }

    /// Tells how far this node is, when that has changed.
    async fn tell(&self) -> Result<(), RevisingError> {
        let (ack, at_ms) = {
            let known = self.known.lock();
            let Some(ack) = known.untold(&self.pop) else { return Ok(()) };
            let at_ms = known.course.told_at(&ack);
            (ack, at_ms.unwrap_or_else(now_ms))
        };
        let dated = Ack { at_ms, ..ack.clone() };
        self.bus()?.publish(Topic::Acks, dated.message(&self.node)).await?;
        self.known.lock().told(&self.node, ack, dated.clone());
        self.settle(Event::Told(dated)).await
    }
}

/// One file, verified.
async fn fetched(bus: Arc<dyn Bus>, item: Item) -> Result<(Item, Bytes), RevisingError> {
    let wrong = || RevisingError::File { path: item.path.clone() };
    let digest = Digest::parse(&item.digest).ok_or_else(wrong)?;
    let bytes = bus.blob(digest).await?;
    match Digest::of(&bytes) == digest && bytes.len() as u64 == item.size {
        true => Ok((item, bytes)),
        false => Err(wrong()),
    }
}
