//! Source: functions that are called with the changes of tables (event source mappings).
//!
//! In: mappings, streams. Out: calls in the order of each shard; how far they have come, on disk. Never: a record skipped, a place
//! said to be done with before its records are.
//!
//! `poll` finds shards, `shard` reads one and calls, `lanes` and `batch` decide.

mod batch;
mod lanes;
mod mapping;
mod poll;
mod record;
mod shard;
mod shards;
mod word;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) use batch::Rules;
pub(super) use mapping::{Mapping, Place, Progress, Source, configured};

use super::Inner;

/// How long calls under way may take when everything ends.
const CLOSE: Duration = Duration::from_secs(5);

/// What is known of a mapping that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its stream, once it was found.
    pub stream: Option<String>,
    /// Whether it has its place in the stream.
    pub started: bool,
    /// In the service's words: "OK", "PROBLEM: Function call failed".
    pub result: String,
    /// How old the newest record of the last call was; nothing = no record waits.
    pub lag: Duration,
    /// Records done with, and those of them that were given up.
    pub records: u64,
    pub given_up: u64,
}

pub(super) type Status = Mutex<Seen>;

/// Every mapping, and those that run.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: ArcSwap<BTreeMap<String, Arc<Mapping>>>,
    running: Mutex<HashMap<String, Running>>,
}

#[derive(Debug)]
struct Running {
    mapping: Arc<Mapping>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    status: Arc<Status>,
    /// Whether it is another's successor.
    again: bool,
}

// === impl Seen ===
impl Default for Seen {
    fn default() -> Self {
        Seen {
            stream: None,
            started: false,
            result: "No records processed".to_owned(),
            lag: Duration::ZERO,
            records: 0,
            given_up: 0,
        }
    }
}

// === impl Sources ===
impl Sources {
    pub(super) fn all(&self) -> Arc<BTreeMap<String, Arc<Mapping>>> {
        self.known.load_full()
    }

    pub(super) fn get(&self, uuid: &str) -> Option<Arc<Mapping>> {
        self.known.load().get(uuid).map(Arc::clone)
    }

    /// Makes what runs follow `known`: what changed ends after the call that it makes, and begins again where it was.
    pub(super) fn set(&self, known: BTreeMap<String, Arc<Mapping>>, inner: &Arc<Inner>) {
        let mut running = self.running.lock();
        self.known.store(Arc::new(known.clone()));
        running.retain(|uuid, one| {
            let wanted = known.get(uuid).is_some_and(|mapping| mapping.enabled && mapping.same(&one.mapping));
            if !wanted {
                one.stop.send_replace(true);
            }
            !one.task.is_finished() || wanted
        });
        let Some(tables) = &inner.tables else { return };
        for (uuid, mapping) in known.into_iter().filter(|(_, mapping)| mapping.enabled) {
            let before = match running.remove(&uuid) {
                Some(same) if !*same.stop.borrow() => {
                    running.insert(uuid, same);
                    continue;
                }
                before => before,
            };
            let seen = before.as_ref().map(|before| Seen { started: false, ..before.status.lock().clone() });
            let status = Arc::new(Mutex::new(seen.unwrap_or_default()));
            let (stop, stopped) = watch::channel(false);
            let again = before.is_some();
            let poller = poll::Poller {
                inner: Arc::downgrade(inner),
                tables: tables.clone(),
                mapping: Arc::clone(&mapping),
                status: Arc::clone(&status),
                stop: stopped,
                progress: Default::default(),
            };
            let task = inner.runtime.spawn(async move {
                // One at a time: the other's last call is not over.
                if let Some(before) = before {
                    let _ = before.task.await;
                }
                Arc::new(poller).run().await;
            });
            running.insert(uuid, Running { mapping, stop, task, status, again });
        }
    }

    /// What is known of one that runs.
    pub(super) fn seen(&self, uuid: &str) -> Option<Seen> {
        self.running.lock().get(uuid).map(|one| one.status.lock().clone())
    }

    /// In the service's words (Lambda API reference, "EventSourceMappingConfiguration": State).
    pub(super) fn state(&self, mapping: &Mapping) -> &'static str {
        let running = self.running.lock();
        match (running.get(&mapping.uuid), mapping.enabled) {
            (Some(one), true) if one.status.lock().started => "Enabled",
            (Some(one), true) if one.again => "Updating",
            (_, true) => "Creating",
            (Some(one), false) if !one.task.is_finished() => "Disabling",
            (_, false) => "Disabled",
        }
    }

    /// Begins no more calls.
    pub(super) fn stop(&self) {
        for one in self.running.lock().values() {
            one.stop.send_replace(true);
        }
    }

    /// Waits until those that were stopped are over.
    pub(super) async fn ended(&self) {
        let tasks: Vec<_> = self.running.lock().drain().map(|(_, one)| one.task).collect();
        let _ = tokio::time::timeout(CLOSE, futures::future::join_all(tasks)).await;
    }
}
