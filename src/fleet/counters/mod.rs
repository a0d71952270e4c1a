//! Counters: limits and quotas that all nodes share, told from node to node.
//!
//! In: what this node admitted and counted, what the bus brings. Out: messages of the topics `rates` and `usage`; charges, totals and
//! shares to the limits. Never: a request that waits, a key itself.
//!
//! Rates are told as differences, each once: a message that comes twice, or after a later one, is known by its number. Quotas are told
//! as absolute counts, which only grow: whatever comes twice, late or not at all, the newest says it all.

mod hearing;
mod message;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;

pub use hearing::Hearing;
pub use message::{Malformed, Rates, Usage};

use super::bus::{Bus, BusError, Delivered, Message, Seq, Topic};
use crate::limit::pace::Share;
use crate::limit::{Clock, Ledger, Registry};

/// Keys in one message of `rates`.
pub const KEYS_MAX: usize = 8192;
/// How long a message may be on its way to the bus.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an error of the bus.
const AGAIN: Duration = Duration::from_millis(500);

/// Who this node is, and how often it tells.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `fleet.node`.
    pub node: String,
    /// `fleet.peer`: nodes that are there though nothing was heard of them yet.
    pub peers: Vec<String>,
    pub exchange: Duration,
    pub silence: Duration,
}

/// What is shared, as this process has it.
pub struct Shared<'a> {
    pub limits: &'a Registry,
    pub clock: Clock,
    /// The quotas' counts, once a plan has a quota.
    pub ledger: &'a (dyn Fn() -> Option<Arc<Ledger>> + Sync),
}

/// Tells and listens. Never ends.
pub async fn run(bus: Arc<dyn Bus>, settings: &Settings, shared: &Shared<'_>) {
    let peers = settings.peers.iter().cloned();
    let hearing = Mutex::new(Hearing::new(settings.node.clone(), peers, settings.exchange, settings.silence));
    let tell = Teller { bus: &*bus, settings, shared, hearing: &hearing, boot: rand::random() };
    tokio::join!(tell.run(), listen_rates(&*bus, settings, shared, &hearing), listen_usage(&*bus, shared));
}

/// Whether what could not be told is told the next time. Cut off, a node keeps to its share: what it admits of that is not to be charged to
/// the others afterwards.
pub(super) fn is_told_later(share: Share) -> bool {
    share.heard > 1 || share.is_whole()
}

struct Teller<'a> {
    bus: &'a dyn Bus,
    settings: &'a Settings,
    shared: &'a Shared<'a>,
    hearing: &'a Mutex<Hearing>,
    /// Unlike any other process's.
    boot: u64,
}

// === impl Teller ===
impl Teller<'_> {
    async fn run(&self) {
        let mut ticks = tokio::time::interval(self.settings.exchange);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sequence = 0;
        loop {
            ticks.tick().await;
            let share = self.hearing.lock().share(self.shared.clock.now().ns);
            self.shared.limits.sharing().set_share(share);
            let ledger = (self.shared.ledger)();
            if let Some(ledger) = &ledger {
                ledger.set_share(share);
            }
            sequence += 1;
            self.rates(sequence, share).await;
            if let Some(ledger) = ledger {
                self.usage(&ledger, sequence).await;
            }
        }
    }

    /// Told also when there is nothing to tell: who is not heard counts as cut off.
    async fn rates(&self, sequence: u64, share: Share) {
        let sharing = self.shared.limits.sharing();
        if !sharing.in_use() && (self.shared.ledger)().is_none() {
            return;
        }
        let spent = sharing.drain(KEYS_MAX);
        let (node, boot) = (&self.settings.node, self.boot);
        let body = Rates { boot, sequence, spent: spent.clone() }.encode();
        let message = Message { subject: node.clone(), id: format!("{node}-{boot:x}-{sequence}"), body };
        if self.publish(Topic::Rates, message).await.is_err() && is_told_later(share) {
            sharing.restore(spent);
        }
    }

    async fn usage(&self, ledger: &Arc<Ledger>, sequence: u64) {
        let reading = ledger.clone();
        let told = match tokio::task::spawn_blocking(move || reading.told()).await {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => return log::warn!("quota counts cannot be told: {error}"),
            Err(_) => return,
        };
        let lineage = ledger.lineage();
        for (part, counts) in told {
            let body = Usage { lineage, counts }.encode();
            let id = format!("{lineage:x}-{part:x}-{:x}-{sequence}", self.boot);
            let message = Message { subject: format!("{lineage:016x}.{part:02x}"), id, body };
            if self.publish(Topic::Usage, message).await.is_err() {
                ledger.tell_again(part);
            }
        }
    }

    async fn publish(&self, topic: Topic, message: Message) -> Result<Seq, BusError> {
        match tokio::time::timeout(PATIENCE, self.bus.publish(topic, message)).await {
            Ok(done) => done,
            Err(_) => Err(BusError::Away("no answer in time".to_owned())),
        }
        .inspect_err(|error| log::debug!("{} are not told: {error}", topic.name()))
    }
}

/// Takes what others admitted, from now on: what was before is within the bound, and over.
async fn listen_rates(bus: &dyn Bus, settings: &Settings, shared: &Shared<'_>, hearing: &Mutex<Hearing>) {
    let told_within = settings.exchange + settings.silence;
    loop {
        let from = bus.head(Topic::Rates).await;
        take(bus, Topic::Rates, from, |body, subject, _| {
            let now = shared.clock.now().ns;
            let Ok(rates) = Rates::decode(body) else { return };
            if hearing.lock().hear(subject, rates.boot, rates.sequence, now) {
                rates.spent.into_iter().for_each(|spent| shared.limits.sharing().charge(spent, now, told_within));
            }
        })
        .await;
    }
}

/// Takes what others counted, from the beginning: the bus keeps the newest of each. What it lacks of this node's is told again: a hub that
/// lost its disk has forgotten it.
async fn listen_usage(bus: &dyn Bus, shared: &Shared<'_>) {
    loop {
        let Some(ledger) = (shared.ledger)() else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let head = bus.head(Topic::Usage).await;
        let mut lacking = Lacking::new(&ledger, head.as_ref().map_or(Seq(u64::MAX), |head| *head));
        take(bus, Topic::Usage, head.map(|_| Seq(0)), |body, _, seq| {
            if let Ok(usage) = Usage::decode(body) {
                ledger.hear(usage.lineage, &usage.counts);
                lacking.take(&ledger, &usage, seq);
            }
        })
        .await;
    }
}

/// Which parts of this node's counts the bus has not been seen to have.
#[derive(Debug)]
pub struct Lacking {
    head: Seq,
    parts: BTreeSet<u8>,
}

// === impl Lacking ===
impl Lacking {
    /// Before the bus's messages up to `head`.
    pub fn new(ledger: &Ledger, head: Seq) -> Self {
        let mut lacking = Lacking { head, parts: (0..=u8::MAX).collect() };
        lacking.tell(ledger, Seq(0));
        lacking
    }

    /// Takes in one of them.
    pub fn take(&mut self, ledger: &Ledger, usage: &Usage, seq: Seq) {
        if usage.lineage == ledger.lineage() {
            self.parts.retain(|part| !usage.counts.iter().any(|told| told.id[0] == *part));
        }
        self.tell(ledger, seq);
    }

    fn tell(&mut self, ledger: &Ledger, seq: Seq) {
        if seq >= self.head {
            std::mem::take(&mut self.parts).into_iter().for_each(|part| ledger.tell_again(part));
        }
    }
}

/// Hands each message on until the bus fails.
async fn take(bus: &dyn Bus, topic: Topic, from: Result<Seq, BusError>, mut each: impl FnMut(&Bytes, &str, Seq)) {
    let opened = match from {
        Ok(from) => bus.tail(topic, from).await,
        Err(error) => Err(error),
    };
    let why = match opened {
        Ok(mut tail) => loop {
            match tail.next().await {
                Some(Ok(Delivered::Message { seq, message })) => each(&message.body, &message.subject, seq),
                Some(Ok(Delivered::Lost { .. })) => {}
                Some(Err(error)) => break error.to_string(),
                None => break "it ended".to_owned(),
            }
        },
        Err(error) => error.to_string(),
    };
    log::debug!("{} of other nodes: {why}", topic.name());
    tokio::time::sleep(AGAIN).await;
}
