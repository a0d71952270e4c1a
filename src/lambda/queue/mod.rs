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
/// Those of them that are for the same function or endpoint, so that a slow one does not stop the others.
const LANE: usize = RUNNING / 2;
/// When an event that the disk did not let happen is tried again.
const AGAIN_MS: u64 = 60_000;
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
    /// When it is due, and its number. Those that run now and those that are held are not in it.
    due: BTreeSet<(u64, u64)>,
    /// Every event there is.
    events: HashMap<u64, Known>,
    bytes: u64,
    next: u64,
    /// By whom they are for; those of which an event runs.
    lanes: HashMap<Arc<str>, Lane>,
}

#[derive(Debug)]
struct Known {
    size: u64,
    lane: Arc<str>,
}

/// Events for one function or endpoint.
#[derive(Debug, Default)]
struct Lane {
    running: usize,
    /// Due, as soon as one that runs is over.
    held: BTreeSet<(u64, u64)>,
}

/// Why an event could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// There is none.
    Gone,
    /// The disk failed.
    Failed,
    /// It stays for whoever can read it.
    Unknown,
}

/// A place in a lane; dropped, the next one has it.
struct Place {
    queue: Arc<Queue>,
    lane: Arc<str>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.waiting.lock().done(&self.lane);
        self.queue.changed.notify_one();
    }
}

// === impl Queue ===
impl Queue {
    /// All that was accepted before. Reads the disk.
    pub(super) fn open(store: Arc<Store>) -> Result<Self, LambdaError> {
        let mut waiting = Waiting::default();
        let read = store.events(|id, bytes| {
            // What cannot be read cannot be run; it stays for whoever can.
            let event = Event::decode(bytes);
            let (due, lane) = event.as_ref().map_or((u64::MAX, ""), |event| (event.next_ms, event.lane()));
            waiting.insert(id, due, bytes.len() as u64, lane);
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
            if waiting.events.len() >= most.0 || waiting.bytes + size > most.1 {
                return Err(Fault::throttled(Reason::Queue));
            }
            waiting.reserve(size, event.lane())
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
                Ok((id, lane)) => {
                    let place = Place { queue: Arc::clone(&queue), lane };
                    tokio::spawn(async move {
                        this.queue.run(&this, id).await;
                        drop((place, permit));
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
        let event = match self.read(id).await {
            Ok(event) => event,
            Err(why) => {
                self.waiting.lock().unread(id, why, now_ms());
                return self.changed.notify_one();
            }
        };
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
                    let id = self.waiting.lock().reserve(bytes.len() as u64, event.lane());
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
                waiting.due.insert((now_ms() + AGAIN_MS, id));
            }
        }
        drop(waiting);
        self.changed.notify_one();
    }

    async fn read(&self, id: u64) -> Result<Event, Unread> {
        let store = Arc::clone(&self.store);
        let error = match tokio::task::spawn_blocking(move || store.event(id)).await {
            Ok(Ok(Some(bytes))) => return Event::decode(&bytes).ok_or(Unread::Unknown),
            Ok(Ok(None)) => return Err(Unread::Gone),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        ::log::error!(target: "lambda", "event {id} cannot be read: {error}");
        Err(Unread::Failed)
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
    fn insert(&mut self, id: u64, due: u64, size: u64, lane: &str) {
        self.due.insert((due, id));
        self.events.insert(id, Known { size, lane: lane.into() });
        self.bytes += size;
        self.next = self.next.max(id + 1);
    }

    /// A number for an event of this size, which is counted from now on.
    fn reserve(&mut self, size: u64, lane: &str) -> u64 {
        let id = self.next;
        self.next += 1;
        self.events.insert(id, Known { size, lane: lane.into() });
        self.bytes += size;
        id
    }

    fn forget(&mut self, id: u64) {
        self.bytes -= self.events.remove(&id).map_or(0, |known| known.size);
    }

    /// The first event that is due at `now_ms` and has a place in its lane, which it takes; else how long until the next one.
    fn take(&mut self, now_ms: u64) -> Result<(u64, Arc<str>), Option<Duration>> {
        loop {
            let Some((due, id)) = self.due.first().copied() else { return Err(None) };
            if due > now_ms {
                return Err(Some(Duration::from_millis(due - now_ms)));
            }
            self.due.remove(&(due, id));
            let name = self.events.get(&id).map(|known| Arc::clone(&known.lane)).unwrap_or_default();
            let lane = self.lanes.entry(Arc::clone(&name)).or_default();
            if lane.running < LANE {
                lane.running += 1;
                return Ok((id, name));
            }
            lane.held.insert((due, id));
        }
    }

    /// One event of a lane is over; the first that is held is due in its place.
    fn done(&mut self, name: &Arc<str>) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        lane.running = lane.running.saturating_sub(1);
        match lane.held.pop_first() {
            Some(next) => drop(self.due.insert(next)),
            None if lane.running == 0 => drop(self.lanes.remove(name)),
            None => {}
        }
    }

    /// What becomes of an event that was taken at `now_ms` and could not be read.
    fn unread(&mut self, id: u64, why: Unread, now_ms: u64) {
        match why {
            Unread::Gone => self.forget(id),
            Unread::Failed => drop(self.due.insert((now_ms + AGAIN_MS, id))),
            Unread::Unknown => drop(self.due.insert((u64::MAX, id))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(waiting: &mut Waiting, now_ms: u64) -> Result<u64, Option<Duration>> {
        waiting.take(now_ms).map(|(id, _)| id)
    }

    #[test]
    fn what_is_due_first_comes_first() {
        let mut waiting = Waiting::default();
        for (id, due, size) in [(7, 30, 1), (3, 10, 2), (5, 20, 4)] {
            waiting.insert(id, due, size, "f");
        }
        assert_eq!((waiting.bytes, waiting.reserve(8, "f")), (7, 8));
        assert_eq!(take(&mut waiting, 5), Err(Some(Duration::from_millis(5))));
        assert_eq!([take(&mut waiting, 25), take(&mut waiting, 25)], [Ok(3), Ok(5)]);
        assert_eq!(take(&mut waiting, 25), Err(Some(Duration::from_millis(5))));
        [3, 5, 8, 8].into_iter().for_each(|id| waiting.forget(id));
        assert_eq!((waiting.bytes, waiting.events.len(), take(&mut waiting, 30)), (1, 1, Ok(7)));
        assert_eq!(take(&mut waiting, 30), Err(None));
    }

    #[test]
    fn a_slow_function_does_not_stop_the_others() {
        let (mut waiting, most) = (Waiting::default(), LANE as u64);
        (0..most + 3).for_each(|id| waiting.insert(id, id, 1, "slow"));
        waiting.insert(1_000, 500, 1, "other");
        for id in 0..most {
            assert_eq!(take(&mut waiting, 500), Ok(id));
        }
        assert_eq!([take(&mut waiting, 500), take(&mut waiting, 500)], [Ok(1_000), Err(None)]);
        // Each that is over makes place for the next one, and nothing is left when all are.
        let slow: Arc<str> = "slow".into();
        for id in most..most + 3 {
            waiting.done(&slow);
            assert_eq!([take(&mut waiting, 500), take(&mut waiting, 500)], [Ok(id), Err(None)]);
        }
        (0..most).for_each(|_| waiting.done(&slow));
        waiting.done(&"other".into());
        assert!(waiting.lanes.is_empty());
    }

    #[test]
    fn events_that_could_not_be_read_are_tried_again() {
        let mut waiting = Waiting::default();
        for (id, why, again) in [
            (1, Unread::Failed, Err(Some(Duration::from_millis(AGAIN_MS)))),
            (2, Unread::Unknown, Err(Some(Duration::from_millis(u64::MAX - 10)))),
            (3, Unread::Gone, Err(None)),
        ] {
            waiting.insert(id, 10, 1, "f");
            assert_eq!(take(&mut waiting, 10), Ok(id));
            waiting.unread(id, why, 10);
            waiting.done(&"f".into());
            assert_eq!((take(&mut waiting, 10), waiting.events.len()), (again, usize::from(why != Unread::Gone)));
            waiting = Waiting::default();
        }
        waiting.insert(1, 10, 1, "f");
        assert_eq!(take(&mut waiting, 10), Ok(1));
        waiting.unread(1, Unread::Failed, 10);
        assert_eq!(take(&mut waiting, 10 + AGAIN_MS), Ok(1));
    }
}
