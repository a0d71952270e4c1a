//! Queue: calls accepted for later. Durable before they are accepted, run at least once, given up by rule.
//!
//! In: events. Out: calls, made when they are due; the words about those that were given up. Never: an event forgotten before it
//! is done with, more of them than allowed.

mod deliver;
mod event;
mod log;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

pub(super) use deliver::{Deliver, target, told};
pub(super) use event::{AGE_DEFAULT, Delivery, Event, Next, Outcome, RETRIES_DEFAULT, Rules, next_attempt};
use log::Log;

use super::fault::{Fault, Reason};
use super::registry::{EventChange, Store};
use super::{Inner, LambdaError, now_ms};

/// Events that run at once. Each also needs a seat like any call.
const RUNNING: usize = 64;
/// Longest sleep: the clock may be set while the queue waits.
const NAP: Duration = Duration::from_secs(30);

/// Everything that waits.
#[derive(Debug)]
pub(super) struct Queue {
    log: Log,
    store: Arc<Store>,
    waiting: Mutex<Waiting>,
    changed: Notify,
    running: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// When it is due, and its number. Those that run now are not in it.
    due: BTreeSet<(u64, u64)>,
    /// Bytes of every event there is.
    sizes: HashMap<u64, u64>,
    bytes: u64,
    next: u64,
}

// === impl Queue ===
impl Queue {
    /// All that was accepted before. Reads the disk.
    pub(super) fn open(store: Arc<Store>) -> Result<Self, LambdaError> {
        let mut waiting = Waiting::default();
        let read = store.events(|id, bytes| {
            // What cannot be read cannot be run; it stays for whoever can.
            let due = Event::decode(bytes).map_or(u64::MAX, |event| event.next_ms);
            waiting.insert(id, due, bytes.len() as u64);
        });
        read.map_err(LambdaError::Store)?;
        Ok(Queue {
            log: Log::open(Arc::clone(&store)),
            store,
            waiting: Mutex::new(waiting),
            changed: Notify::new(),
            running: Arc::new(Semaphore::new(RUNNING)),
        })
    }

    /// Accepts `event`: it is on disk when this returns. At most `most` events and bytes wait.
    pub(super) async fn put(self: &Arc<Self>, event: Event, most: (usize, u64)) -> Result<(), Fault> {
        let (due, bytes) = (event.next_ms, event.encode());
        let size = bytes.len() as u64;
        let id = {
            let mut waiting = self.waiting.lock();
            if waiting.sizes.len() >= most.0 || waiting.bytes + size > most.1 {
                return Err(Fault::throttled(Reason::Queue));
            }
            waiting.reserve(size)
        };
        // A task of its own: a caller that goes away must not leave an event that is written and never run.
        let this = Arc::clone(self);
        let written = tokio::spawn(async move {
            let written = this.log.change(vec![EventChange::Put(id, bytes)]).await;
            let mut waiting = this.waiting.lock();
            match &written {
                Ok(()) => drop(waiting.due.insert((due, id))),
                Err(_) => waiting.forget(id),
            }
            drop(waiting);
            this.changed.notify_one();
            written
        });
        match written.await {
            Ok(written) => written.map_err(|error| Fault::service(&error)),
            Err(panic) => Err(Fault::service(&LambdaError::Worker(panic.to_string()))),
        }
    }

    /// Runs events as they become due, until the room is gone.
    pub(super) async fn pump(inner: Weak<Inner>) {
        loop {
            let Some(this) = inner.upgrade() else { return };
            let queue = Arc::clone(&this.queue);
            if this.schedule.closing() {
                return;
            }
            // Both are asked for before looking, so that no word is lost between looking and waiting.
            let changed = queue.changed.notified();
            let Ok(permit) = Arc::clone(&queue.running).acquire_owned().await else { return };
            let taken = queue.waiting.lock().take(now_ms());
            match taken {
                Ok(id) => {
                    tokio::spawn(async move {
                        this.queue.run(&this, id).await;
                        drop(permit);
                    });
                }
                Err(wait) => {
                    drop((permit, this));
                    let wait = wait.map_or(NAP, |wait| wait.min(NAP));
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// One try of one event, and what follows from it.
    async fn run(&self, inner: &Arc<Inner>, id: u64) {
        let Some(event) = self.read(id).await else { return };
        let changes = match &event.deliver {
            None => inner.attempt(&event).await,
            Some(delivery) => inner.deliver(&event, delivery).await,
        };
        let mut writes = Vec::new();
        let mut fresh = Vec::new();
        for change in &changes {
            match change {
                Follow::Keep(next) => writes.push(EventChange::Put(id, next.encode())),
                Follow::Forget => writes.push(EventChange::Remove(id)),
                Follow::Add(event) => {
                    let bytes = event.encode();
                    let id = self.waiting.lock().reserve(bytes.len() as u64);
                    fresh.push((event.next_ms, id));
                    writes.push(EventChange::Put(id, bytes));
                }
            }
        }
        // Before it is on disk nothing has happened: at worst the event runs again.
        let written = self.log.change(writes).await;
        let mut waiting = self.waiting.lock();
        match &written {
            Ok(()) => {
                waiting.due.extend(fresh);
                for change in &changes {
                    match change {
                        Follow::Keep(next) => drop(waiting.due.insert((next.next_ms, id))),
                        Follow::Forget => waiting.forget(id),
                        Follow::Add(_) => {}
                    }
                }
            }
            Err(error) => {
                ::log::error!(target: "lambda", "event {}: {error}", event.request_id);
                fresh.iter().for_each(|(_, id)| waiting.forget(*id));
                waiting.due.insert((now_ms() + 60_000, id));
            }
        }
        drop(waiting);
        self.changed.notify_one();
    }

    async fn read(&self, id: u64) -> Option<Event> {
        let store = Arc::clone(&self.store);
        let read = tokio::task::spawn_blocking(move || store.event(id)).await;
        match read {
            Ok(Ok(Some(bytes))) => Event::decode(&bytes),
            Ok(Ok(None)) | Err(_) => None,
            Ok(Err(error)) => {
                ::log::error!(target: "lambda", "event {id} cannot be read: {error}");
                None
            }
        }
    }
}

/// What is written after a try, all of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Follow {
    /// The event, changed.
    Keep(Event),
    Forget,
    /// Another one.
    Add(Event),
}

// === impl Waiting ===
impl Waiting {
    fn insert(&mut self, id: u64, due: u64, size: u64) {
        self.due.insert((due, id));
        self.sizes.insert(id, size);
        self.bytes += size;
        self.next = self.next.max(id + 1);
    }

    /// A number for an event of this size, which is counted from now on.
    fn reserve(&mut self, size: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        self.sizes.insert(id, size);
        self.bytes += size;
        id
    }

    fn forget(&mut self, id: u64) {
        self.bytes -= self.sizes.remove(&id).unwrap_or(0);
    }

    /// The first event that is due at `now_ms`; else how long until the next one.
    fn take(&mut self, now_ms: u64) -> Result<u64, Option<Duration>> {
        match self.due.first().copied() {
            Some((due, id)) if due <= now_ms => {
                self.due.remove(&(due, id));
                Ok(id)
            }
            Some((due, _)) => Err(Some(Duration::from_millis(due - now_ms))),
            None => Err(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first() {
        let mut waiting = Waiting::default();
        for (id, due, size) in [(7, 30, 1), (3, 10, 2), (5, 20, 4)] {
            waiting.insert(id, due, size);
        }
        assert_eq!((waiting.bytes, waiting.reserve(8)), (7, 8));
        assert_eq!(waiting.take(5), Err(Some(Duration::from_millis(5))));
        assert_eq!([waiting.take(25), waiting.take(25)], [Ok(3), Ok(5)]);
        assert_eq!(waiting.take(25), Err(Some(Duration::from_millis(5))));
        [3, 5, 8, 8].into_iter().for_each(|id| waiting.forget(id));
        assert_eq!((waiting.bytes, waiting.sizes.len(), waiting.take(30)), (1, 1, Ok(7)));
        assert_eq!(waiting.take(30), Err(None));
    }
}
