//! Sharing: key-value stores and API keys, the same at every node.
//!
//! In: what changed here, what the bus delivers. Out: theirs on disk and in force here, ours told. Never: a read or a write that waits
//! for the bus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{Mutex, Notify};

use crate::fleet::bus::at_hand;
use crate::fleet::data::Datum;
use crate::fleet::{Bus, BusError, Delivered, Message, Seq, Topic};
use crate::hooks::host::kv::{Change, Entry};

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
    // What others write of a key counts here once it is not to be told from here any more. So nothing is taken in between the moment at
    // which the bus has what this node wrote, and the note of it: what came later is newer, and would be passed over.
    let turn = Mutex::default();
    tokio::join!(tell(&shared, &*bus, &changed, &turn), take(&shared, &*bus, &turn));
}

async fn tell(shared: &Arc<Shared>, bus: &dyn Bus, changed: &Notify, turn: &Mutex<()>) {
    loop {
        let some = async {
            let _turn = turn.lock().await;
            tell_some(shared, bus).await
        };
        match some.await {
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
        let datum = Datum::ApiKey { name: one.name.clone(), value: one.record.clone().map(Bytes::from) };
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

async fn take(shared: &Arc<Shared>, bus: &dyn Bus, turn: &Mutex<()>) {
    loop {
        if let Err(error) = take_until_it_ends(shared, bus, turn).await {
            log::debug!("keys and values of others: {error}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// From the beginning each time: the bus has the newest of each, and what is known already changes nothing.
async fn take_until_it_ends(shared: &Arc<Shared>, bus: &dyn Bus, turn: &Mutex<()>) -> Result<(), BusError> {
    let names = |shared: &Shared| -> Vec<String> {
        shared.live.load().functions.kv.iter().map(|store| store.name().to_owned()).collect()
    };
    let stores = names(shared);
    let begun = tokio::time::timeout(PATIENCE, bus.tail(Topic::Data, Seq(0))).await;
    let mut tail = begun.map_err(|_| BusError::Away("no answer".to_owned()))??;
    loop {
        let Ok(first) = tokio::time::timeout(STORES_EVERY, tail.next()).await else {
            if names(shared) != stores {
                return Ok(());
            }
            continue;
        };
        let Some(first) = first else { return Ok(()) };
        let (deliveries, ended) = at_hand(&mut tail, first?, TAKE_MAX);
        let applying = shared.clone();
        let _turn = turn.lock().await;
        blocking(move || apply(&applying, &deliveries)).await?;
        if let Some(error) = ended {
            return Err(error);
        }
    }
}

/// Applies a batch: the last of each key counts. Blocks on the disk.
fn apply(shared: &Shared, deliveries: &[Delivered]) -> Result<(), String> {
    let mut entries: BTreeMap<(String, String), Option<Bytes>> = BTreeMap::new();
    let mut keys: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    for delivered in deliveries {
        let Delivered::Message { message, .. } = delivered else { continue };
        match Datum::read(message) {
            Some(Datum::Entry { store, key, value }) => drop(entries.insert((store, key), value)),
            Some(Datum::ApiKey { name, value }) => drop(keys.insert(name, value.map(Vec::from))),
            None => log::warn!("{}: not understood here", message.subject),
        }
    }
    let snapshot = shared.live.load();
    let mut by_store: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for ((store, key), value) in entries {
        let change = match value {
            Some(value) => Change::Put(Entry { key, value }),
            None => Change::Delete(key),
        };
        by_store.entry(store).or_default().push(change);
    }
    for (store, changes) in by_store {
        // A store that this configuration does not have is read once it has.
        if let Some(handle) = snapshot.functions.kv.get(&store) {
            handle.receive(&changes).map_err(|error| format!("the store '{store}': {error}"))?;
        }
    }
    let keys: Vec<_> = keys.into_iter().collect();
    if !keys.is_empty() && shared.guard.store.receive(&keys).map_err(|error| error.to_string())? {
        shared.guard.read_keys(&snapshot.config).map_err(|error| error.to_string())?;
    }
    Ok(())
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
