//! Sharing: key-value stores and API keys, the same at every node.
//!
//! In: what changed here, what the bus delivers. Out: theirs on disk and in force here, ours told. Never: a read or a write that waits
//! for the bus.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Notify;

use crate::fleet::bus::at_hand;
use crate::fleet::data::{Batch, Datum};
use crate::fleet::{Bus, BusError, Delivered, Message, Seq, Topic};

use super::shared::Shared;

/// Between two attempts at what failed.
const RETRY: Duration = Duration::from_millis(200);
/// How long the bus may take to keep one message, or to begin to deliver.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keys of one store told at once, and messages taken in at once.
const TELL_MAX: usize = 256;
const TAKE_MAX: usize = 1024;
/// How often it is looked whether the configuration has other stores than before: what the bus has of them is read then.
const STORES_EVERY: Duration = Duration::from_secs(1);

/// Runs for as long as the process. `changed` is woken when there is something to tell.
pub async fn run(shared: Arc<Shared>, bus: Arc<dyn Bus>, changed: Arc<Notify>) {
    tokio::join!(tell(&shared, &*bus, &changed), take(&shared, &*bus));
}

async fn tell(shared: &Arc<Shared>, bus: &dyn Bus, changed: &Notify) {
    loop {
        match tell_some(shared, bus).await {
            Ok(true) => {}
            Ok(false) => changed.notified().await,
            Err(error) => {
                log::debug!("keys and values wait for the bus: {error}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Tells some of what others do not know; `false` = they know all.
async fn tell_some(shared: &Arc<Shared>, bus: &dyn Bus) -> Result<bool, BusError> {
    let mut told_any = false;
    let stores: Vec<_> = shared.live.load().functions.kv.iter().cloned().collect();
    for store in stores {
        let reader = store.clone();
        let dirty = blocking(move || reader.dirty(TELL_MAX)).await?;
        for one in &dirty {
            let (name, key) = (store.name().to_owned(), one.key.clone());
            let datum = Datum::Entry { store: name, key, value: one.value.clone() };
            publish(bus, datum.message(id())).await?;
        }
        if !dirty.is_empty() {
            told_any = true;
            let dirty = Arc::new(dirty);
            noted(|| (store.clone(), dirty.clone()), |(store, dirty)| store.told(&dirty)).await;
        }
    }
    let keys = shared.guard.store.clone();
    let reader = keys.clone();
    let dirty = blocking(move || reader.dirty(TELL_MAX)).await?;
    for one in &dirty {
        let (name, gone) = (one.name.clone(), one.gone.clone());
        let datum = Datum::ApiKey { name, value: one.record.clone().map(Bytes::from), gone };
        publish(bus, datum.message(id())).await?;
    }
    if !dirty.is_empty() {
        told_any = true;
        let dirty = Arc::new(dirty);
        noted(|| (keys.clone(), dirty.clone()), |(keys, dirty)| keys.told(&dirty)).await;
    }
    Ok(told_any)
}

/// Notes what others were told, however long the disk takes to have room: told again, it would undo what others wrote since.
async fn noted<W: Send + 'static, E: ToString + Send + 'static>(
    what: impl Fn() -> W,
    note: impl Fn(W) -> Result<(), E> + Copy + Send + 'static,
) {
    loop {
        let what = what();
        match blocking(move || note(what)).await {
            Ok(()) => return,
            Err(error) => log::warn!("what others were told is not noted yet: {error}"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// What a key is may be told more than once; nothing depends on how often.
fn id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

async fn publish(bus: &dyn Bus, message: Message) -> Result<(), BusError> {
    let kept = tokio::time::timeout(PATIENCE, bus.publish(Topic::Data, message)).await;
    kept.map_err(|_| BusError::Away("no answer".to_owned()))?.map(drop)
}

async fn take(shared: &Arc<Shared>, bus: &dyn Bus) {
    // From the beginning each time: the bus has the newest of each, and what is known already changes nothing.
    let mut from = Seq(0);
    loop {
        from = match take_until_it_ends(shared, bus, from).await {
            Ok(again) => again,
            Err(error) => {
                log::debug!("keys and values of others: {error}");
                Seq(0)
            }
        };
        tokio::time::sleep(RETRY).await;
    }
}

/// Gives where to begin again.
async fn take_until_it_ends(shared: &Arc<Shared>, bus: &dyn Bus, from: Seq) -> Result<Seq, BusError> {
    let names = |shared: &Shared| -> Vec<String> {
        shared.live.load().functions.kv.iter().map(|store| store.name().to_owned()).collect()
    };
    let stores = names(shared);
    // What the bus lacks of this node's keys up to here is told again: a hub that lost its disk has forgotten it.
    let head = tokio::time::timeout(PATIENCE, bus.head(Topic::Data)).await;
    let mut lacking = (from == Seq(0)).then_some(head.map_err(|_| BusError::Away("no answer".to_owned()))??);
    let (mut there, mut reached) = (BTreeSet::new(), Seq(0));
    let begun = tokio::time::timeout(PATIENCE, bus.tail(Topic::Data, from)).await;
    let mut tail = begun.map_err(|_| BusError::Away("no answer".to_owned()))??;
    // From where it is to be read again, and since when: something was passed over, or the disk takes nothing. What comes after it is looked
    // at first.
    let mut again: Option<(Seq, Instant)> = None;
    let mut stuck = false;
    loop {
        if !stuck && lacking.is_some_and(|head| reached >= head) {
            match tell_again(shared, &there).await {
                Ok(()) => lacking = None,
                Err(error) => log::debug!("keys that the bus lacks: {error}"),
            }
        }
        let wait = if again.is_some() { RETRY } else { STORES_EVERY };
        let first = tokio::time::timeout(wait, tail.next()).await;
        if let Some((before, since)) = again
            && (first.is_err() || since.elapsed() >= PATIENCE)
        {
            // Once this node has told its own, the bus's order says which of the two counts.
            return Ok(if stuck && lacking.is_some() { Seq(0) } else { before });
        }
        let Ok(first) = first else {
            if names(shared) != stores {
                return Ok(Seq(0));
            }
            continue;
        };
        let Some(first) = first else { return Ok(Seq(0)) };
        let (deliveries, ended) = at_hand(&mut tail, first?, TAKE_MAX);
        reached = deliveries.iter().map(Delivered::seq).max().unwrap_or(reached);
        let (applying, batch) = (shared.clone(), Batch::of(&deliveries));
        let before = batch.before;
        if lacking.is_some() {
            there.extend(batch.keys.iter().map(|key| key.name.clone()));
        }
        if stuck {
            // Nothing is written before what could not be; but what was revoked is refused.
            refuse(shared, &batch);
        } else {
            match blocking(move || apply(&applying, batch)).await {
                Ok(false) => {}
                Ok(true) => drop(again.get_or_insert((before, Instant::now()))),
                Err(error) => {
                    log::debug!("keys and values of others: {error}");
                    again.get_or_insert((before, Instant::now()));
                    stuck = true;
                }
            }
        }
        if let Some(error) = ended {
            return Err(error);
        }
    }
}

async fn tell_again(shared: &Arc<Shared>, there: &BTreeSet<String>) -> Result<(), BusError> {
    let (keys, there) = (shared.guard.store.clone(), there.clone());
    blocking(move || keys.tell_again(&there)).await
}

/// Applies a batch; whether something was passed over, for this node has changed it too and has yet to tell. Blocks on the disk.
fn apply(shared: &Shared, batch: Batch) -> Result<bool, String> {
    let snapshot = shared.live.load();
    let mut passed = false;
    // First: what is revoked is refused, whatever becomes of the rest.
    if !batch.keys.is_empty() {
        let received = shared.guard.store.receive(&batch.keys).map_err(|error| {
            shared.guard.refuse_keys(&snapshot.config);
            error.to_string()
        })?;
        passed |= received.passed;
        if received.changed || !shared.guard.has_read_keys() {
            shared.guard.read_keys(&snapshot.config).map_err(|error| {
                refuse(shared, &batch);
                error.to_string()
            })?;
        }
    }
    for (store, changes) in batch.stores {
        // A store that this configuration does not have is read once it has.
        if let Some(handle) = snapshot.functions.kv.get(&store) {
            passed |= handle.receive(&changes).map_err(|error| format!("the store '{store}': {error}"))?;
        }
    }
    Ok(passed)
}

fn refuse(shared: &Shared, batch: &Batch) {
    if !batch.keys.is_empty() {
        shared.guard.store.refuse(&batch.keys);
        shared.guard.refuse_keys(&shared.live.load().config);
    }
}

async fn blocking<T: Send + 'static, E: ToString + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, BusError> {
    let disk = |why: String| BusError::Disk { what: "keys and values".to_owned(), why };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| disk(error.to_string())),
        Err(join) => Err(disk(join.to_string())),
    }
}
