//! Local: the bus of a fleet of one: a log and blobs in a directory.
//!
//! In: messages, blobs. Out: the same after a crash, in one order. Never: another machine, a disk that is asked again and again.

mod blobs;
mod log;
mod rates;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot, watch};

use self::blobs::Blobs;
use self::log::Log;
use self::rates::Rates;
use super::bus::{Bus, BusError, Delivered, Digest, Keep, Message, Seq, Tail, Topic, missing, start};

/// Callers that wait for their message to be on disk; more wait before that.
const WAITING_MAX: usize = 1024;
/// Messages, and about as many bytes, that a tail has in memory.
const AHEAD: usize = 256;
const AHEAD_BYTES: usize = 4 << 20;
/// Between two attempts to open a log that another process still holds.
const RETRY: Duration = Duration::from_millis(20);

/// A log and blobs of this machine. Only one process at a time has it.
#[derive(Debug)]
pub struct LocalBus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: Log,
    rates: Mutex<Rates>,
    blobs: Blobs,
    queue: Mutex<Queue>,
    room: Semaphore,
    /// The newest position of each topic: wakes tails.
    heads: [watch::Sender<u64>; Topic::ALL.len()],
    closed: AtomicBool,
}

/// What is on its way to the disk: one thread writes all that came meanwhile, with one sync.
#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    writing: bool,
}

#[derive(Debug)]
struct Waiting {
    topic: Topic,
    message: Message,
    done: oneshot::Sender<Result<Seq, BusError>>,
}

// === impl LocalBus ===
impl LocalBus {
    /// Opens or makes the bus in a directory. Blocks for as long as a process that hands over still has it, at most `patience`.
    pub fn open(dir: &Path, keep: Keep, patience: Duration) -> Result<Self, BusError> {
        let blobs = Blobs::open(&dir.join("blobs"), keep.blob)?;
        let until = Instant::now() + patience;
        let log = loop {
            match Log::open(&dir.join("bus.redb"), keep) {
                Ok(log) => break log,
                Err(error) if Instant::now() >= until => return Err(error),
                // Start-up, on a thread that may block: it has nothing else to do.
                Err(_) => std::thread::park_timeout(RETRY),
            }
        };
        let heads = Topic::ALL.map(|topic| watch::Sender::new(log.head(topic).unwrap_or(0)));
        let shared = Shared {
            log,
            rates: Mutex::default(),
            blobs,
            queue: Mutex::default(),
            room: Semaphore::new(WAITING_MAX),
            heads,
            closed: AtomicBool::new(false),
        };
        Ok(LocalBus { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, topic: Topic, message: Message) -> Result<Seq, BusError> {
        message.checked()?;
        self.shared.usable()?;
        if topic == Topic::Rates {
            let seq = self.shared.rates.lock().push(message, Instant::now());
            self.shared.moved(topic, seq);
            return Ok(Seq(seq));
        }
        let _room = self.shared.room.acquire().await.map_err(|_| handed_over())?;
        let (done, outcome) = oneshot::channel();
        let idle = {
            let mut queue = self.shared.queue.lock();
            queue.waiting.push(Waiting { topic, message, done });
            !std::mem::replace(&mut queue.writing, true)
        };
        if idle {
            let shared = self.shared.clone();
            tokio::task::spawn_blocking(move || shared.write());
        }
        outcome.await.map_err(|_| handed_over())?
    }

    async fn tail(&self, topic: Topic, after: Seq) -> Result<Tail, BusError> {
        self.shared.usable()?;
        let shared = self.shared.clone();
        let (first, last) = blocking(move || shared.bounds(topic)).await??;
        let (last, lost) = start(topic, after.0, first, last);
        let ready = lost.map(|up_to| Delivered::Lost { up_to }).into_iter().collect();
        let head = topic_head(&self.shared.heads, topic).subscribe();
        let reading = Reading { shared: self.shared.clone(), topic, last, ready, head };
        let tail = futures::stream::unfold(Some(reading), |reading| async {
            let mut reading = reading?;
            match reading.next().await {
                Ok(delivered) => Some((Ok(delivered), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(tail.boxed())
    }

    async fn head(&self, topic: Topic) -> Result<Seq, BusError> {
        self.shared.usable()?;
        Ok(Seq(*topic_head(&self.shared.heads, topic).borrow()))
    }

    async fn put_blob(&self, bytes: Bytes) -> Result<Digest, BusError> {
        self.shared.usable()?;
        let shared = self.shared.clone();
        blocking(move || shared.blobs.put(&bytes)).await?
    }

    async fn blob(&self, digest: Digest) -> Result<Bytes, BusError> {
        self.shared.usable()?;
        let shared = self.shared.clone();
        blocking(move || shared.blobs.get(digest)).await?
    }

    async fn touch_blob(&self, digest: Digest) -> Result<(), BusError> {
        self.shared.usable()?;
        let shared = self.shared.clone();
        blocking(move || shared.blobs.touch(digest)).await?
    }

    async fn blobs(&self) -> Result<Vec<Digest>, BusError> {
        self.shared.usable()?;
        let shared = self.shared.clone();
        blocking(move || shared.blobs.all()).await?
    }

    async fn forget_blob(&self, digest: Digest, untouched: Duration) -> Result<bool, BusError> {
        self.shared.usable()?;
        let shared = self.shared.clone();
        blocking(move || shared.blobs.forget(digest, untouched)).await?
    }

    async fn close(&self) {
        let shared = self.shared.clone();
        shared.closed.store(true, Ordering::Release);
        shared.room.close();
        // Waits for a write that runs: what it answered `Ok` is on disk before the file is let go of.
        let _ = blocking(move || shared.log.close()).await;
        for head in &self.shared.heads {
            head.send_modify(|_| ());
        }
    }
}

// === impl Shared ===
impl Shared {
    fn usable(&self) -> Result<(), BusError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(handed_over()),
            false => Ok(()),
        }
    }

    /// Writes until nothing waits, and tells everyone who waited.
    fn write(&self) {
        let _writer = Writer(self);
        loop {
            let waiting = {
                let mut queue = self.queue.lock();
                queue.writing = !queue.waiting.is_empty();
                match queue.writing {
                    true => std::mem::take(&mut queue.waiting),
                    false => return,
                }
            };
            match self.log.append(waiting.iter().map(|one| (one.topic, &one.message)), now_ms()) {
                Ok(seqs) => {
                    for (one, seq) in waiting.into_iter().zip(seqs) {
                        self.moved(one.topic, seq);
                        let _ = one.done.send(Ok(Seq(seq)));
                    }
                }
                Err(error) => waiting.into_iter().for_each(|one| drop(one.done.send(Err(error.clone())))),
            }
        }
    }

    fn moved(&self, topic: Topic, seq: u64) {
        topic_head(&self.heads, topic).send_if_modified(|head| {
            let newer = seq > *head;
            *head = seq.max(*head);
            newer
        });
    }

    /// The first position that is kept and the newest.
    fn bounds(&self, topic: Topic) -> Result<(u64, u64), BusError> {
        match topic {
            Topic::Rates => Ok(self.rates.lock().bounds(Instant::now())),
            _ => self.log.bounds(topic),
        }
    }

    fn after(&self, topic: Topic, after: u64) -> Result<Vec<(u64, Message)>, BusError> {
        match topic {
            Topic::Rates => Ok(self.rates.lock().after(after, AHEAD, Instant::now())),
            _ => self.log.after(topic, after, AHEAD, AHEAD_BYTES),
        }
    }
}

/// Whoever writes: after a panic somebody else does.
struct Writer<'a>(&'a Shared);

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.lock().writing = false;
        }
    }
}

/// A tail, between two messages.
#[derive(Debug)]
struct Reading {
    shared: Arc<Shared>,
    topic: Topic,
    last: u64,
    ready: VecDeque<Delivered>,
    head: watch::Receiver<u64>,
}

// === impl Reading ===
impl Reading {
    async fn next(&mut self) -> Result<Delivered, BusError> {
        loop {
            self.shared.usable()?;
            if let Some(delivered) = self.ready.pop_front() {
                return Ok(delivered);
            }
            let head = *self.head.borrow_and_update();
            if head <= self.last {
                self.head.changed().await.map_err(|_| handed_over())?;
                continue;
            }
            let (shared, topic, last) = (self.shared.clone(), self.topic, self.last);
            let read = blocking(move || shared.after(topic, last)).await??;
            if read.is_empty() {
                // All up to there is no longer kept.
                self.ready.extend(missing(topic, self.last, head + 1).map(|up_to| Delivered::Lost { up_to }));
                self.last = head;
            }
            for (seq, message) in read {
                self.ready.extend(missing(topic, self.last, seq).map(|up_to| Delivered::Lost { up_to }));
                self.ready.push_back(Delivered::Message { seq: Seq(seq), message });
                self.last = seq;
            }
        }
    }
}

fn topic_head(heads: &[watch::Sender<u64>; Topic::ALL.len()], topic: Topic) -> &watch::Sender<u64> {
    let [purges, revisions, data, items, usage, acks, rates] = heads;
    match topic {
        Topic::Purges => purges,
        Topic::Revisions => revisions,
        Topic::Data => data,
        Topic::Items => items,
        Topic::Usage => usage,
        Topic::Acks => acks,
        Topic::Rates => rates,
    }
}

fn handed_over() -> BusError {
    BusError::Away("this process hands over to its successor".into())
}

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work).await.map_err(|join| BusError::Away(join.to_string()))
}
