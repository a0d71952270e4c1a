//! Replicating: global tables, between the engine of this PoP and the bus.
//!
//! In: what was written here, what the bus delivers. Out: theirs applied here, ours told. Never: a read or a write that waits for the bus.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;

use crate::dynamo::{Fault, Global, Outgoing, Version};
use crate::fleet::bus::at_hand;
use crate::fleet::items::{self, Heard, Telling};
use crate::fleet::{Bus, BusError, Delivered, Message, Seq, Topic};

use super::shared::Shared;

/// Between two attempts at what failed.
const RETRY: Duration = Duration::from_millis(200);
/// How long the bus may take to keep one message or blob, or to begin to deliver.
const PATIENCE: Duration = Duration::from_secs(5);
/// Items told at once, and how many of them are on their way together.
const TELL_MAX: usize = 256;
const IN_FLIGHT: usize = 64;
/// Items applied at once: writers here wait for as long as that takes.
const TAKE_MAX: usize = 32;

/// Why it waits.
#[derive(Debug, thiserror::Error)]
enum Waits {
    #[error("{0}")]
    Bus(#[from] BusError),
    #[error("the engine: {}", .0.kind)]
    Engine(Fault),
}

impl From<Fault> for Waits {
    fn from(fault: Fault) -> Waits {
        Waits::Engine(fault)
    }
}

/// Runs for as long as the process.
pub async fn run(shared: Arc<Shared>, bus: Arc<dyn Bus>) {
    let Some(global) = tables(&shared).await else { return };
    tokio::join!(tell(&global, &*bus), take(&global, &*bus));
}

/// The global tables, as soon as they are open; `None` when there are none.
async fn tables(shared: &Shared) -> Option<Global> {
    // It does not change until the next start.
    shared.live.load().config.dynamodb.as_ref()?;
    loop {
        match shared.integrations.local.dynamo() {
            Some(dynamo) => return dynamo.global().cloned(),
            None => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn tell(global: &Global, bus: &dyn Bus) {
    loop {
        match tell_some(global, bus).await {
            Ok(true) => {}
            Ok(false) => global.changed().await,
            Err(error) => {
                log::debug!("items of global tables wait: {error}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Tells some of what others do not know; `false` = they know all.
async fn tell_some(global: &Global, bus: &dyn Bus) -> Result<bool, Waits> {
    let untold = global.untold(TELL_MAX).await?;
    if untold.is_empty() {
        return Ok(false);
    }
    // Each is another item: their order does not matter.
    let each = futures::stream::iter(untold).map(|one| publish(bus, one)).buffer_unordered(IN_FLIGHT);
    let told = each.fold((Vec::new(), None), async |(mut told, mut failed), result| {
        match result {
            Ok(one) => told.push(one),
            Err(error) => failed = Some(error),
        }
        (told, failed)
    });
    let (told, failed) = told.await;
    global.told(told).await?;
    failed.map_or(Ok(true), |error| Err(error.into()))
}

async fn publish(bus: &dyn Bus, outgoing: Outgoing) -> Result<Outgoing, BusError> {
    let Telling { message, blob } = items::telling(&outgoing);
    let keep = async {
        if let Some(blob) = blob {
            bus.put_blob(blob).await?;
        }
        bus.publish(Topic::Items, message).await
    };
    limited(keep).await.map(|_| outgoing)
}

async fn take(global: &Global, bus: &dyn Bus) {
    loop {
        if let Err(error) = take_until_it_ends(global, bus).await {
            log::debug!("global tables of others: {error}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn take_until_it_ends(global: &Global, bus: &dyn Bus) -> Result<(), Waits> {
    let position = Seq(global.position().await?);
    let mut tail = limited(bus.tail(Topic::Items, position)).await?;
    while let Some(first) = tail.next().await {
        let (deliveries, ended) = at_hand(&mut tail, first?, TAKE_MAX);
        let (mut heard, mut position) = (Vec::with_capacity(deliveries.len()), None);
        for delivered in deliveries {
            match delivered {
                Delivered::Lost { .. } => {
                    log::warn!("the bus has forgotten the items of global tables: they are told and read again");
                    global.afresh().await?;
                }
                Delivered::Message { seq, message } => {
                    position = Some(seq.0);
                    heard.extend(version(bus, &message).await?.map(|version| (seq.0, version)));
                }
            }
        }
        if let Some(position) = position {
            global.apply(heard, position).await?;
        }
        if let Some(error) = ended {
            return Err(error.into());
        }
    }
    Ok(())
}

/// What a message says; `None` when that is nothing here.
async fn version(bus: &dyn Bus, message: &Message) -> Result<Option<Version>, BusError> {
    let version = match items::heard(&message.body) {
        Some(Heard::Version(version)) => Some(version),
        Some(Heard::Blob(digest)) => match limited(bus.blob(digest)).await {
            Ok(blob) => items::version(&blob),
            // A later version has replaced it, and comes.
            Err(BusError::NoBlob(_)) => return Ok(None),
            Err(error) => return Err(error),
        },
        None => None,
    };
    if version.is_none() {
        log::warn!("an item of a global table, {}: not understood here", message.subject);
    }
    Ok(version)
}

/// The bus's answer, or that it gave none in time.
async fn limited<T>(asked: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(BusError::Away("no answer".to_owned())),
    }
}
