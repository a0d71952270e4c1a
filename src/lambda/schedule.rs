//! Schedule: which environment takes which call.
//!
//! In: a version and a call. Out: its answer. Never: a call that waits for an environment (it starts one or is refused).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::concurrency::Seat;
use super::now_ms;
use super::run::{
    self, Answer, Called, Failure, Order, Part, Reply, Runner, Scripts, Settings, Unstarted, Version, Word,
};
use super::shift::Shifts;

/// Environments that may turn out to be gone before a call finds one that is not.
const TRIES: usize = 8;
/// How often environments that are idle for too long are looked for, at most and at least.
const SWEEP: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How long ending everything may take.
const CLOSE: Duration = Duration::from_secs(5);
/// Pieces of a watched stream on their way to the caller.
const PIECES: usize = 1;

/// What a caller wants done.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub request_id: String,
    pub payload: Bytes,
    pub arn: String,
    pub trace: String,
    pub client_context: Option<String>,
    /// Whether the caller takes a streamed answer as it comes.
    pub streams: bool,
}

/// Every environment there is.
#[derive(Debug)]
pub(super) struct Schedule {
    settings: ArcSwap<Settings>,
    /// What runs JavaScript within this process.
    scripts: Option<Scripts>,
    /// Who is told how calls went.
    shifts: Arc<Shifts>,
    /// By name and version.
    pools: Mutex<HashMap<(String, String), Arc<Pool>>>,
    closing: AtomicBool,
    /// Calls and endings under way, and a word whenever one is over.
    busy: AtomicUsize,
    over: Notify,
    /// The sweeper; dropped, it ends.
    tasks: Mutex<JoinSet<()>>,
}

/// The environments of one version.
#[derive(Debug)]
struct Pool {
    version: Arc<Version>,
    /// The last one used is the first to be used again.
    idle: Mutex<Vec<Box<dyn Runner>>>,
    /// No call will come any more.
    retired: AtomicBool,
}

// === impl Schedule ===
impl Schedule {
    pub(super) fn new(settings: Settings, scripts: Option<Scripts>, shifts: Arc<Shifts>) -> Arc<Self> {
        Arc::new(Schedule {
            settings: ArcSwap::from_pointee(settings),
            scripts,
            shifts,
            pools: Mutex::default(),
            closing: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            over: Notify::new(),
            tasks: Mutex::default(),
        })
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// New settings end every environment that does not run a call; the others end after theirs.
    pub(super) fn set(self: &Arc<Self>, settings: Settings) {
        self.settings.store(Arc::new(settings));
        let pools = std::mem::take(&mut *self.pools.lock());
        pools.into_values().for_each(|pool| self.retire(&pool));
    }

    /// Ends what runs versions that `keep` does not know any more.
    pub(super) fn keep(self: &Arc<Self>, keep: impl Fn(&Version) -> bool) {
        let mut gone = Vec::new();
        self.pools.lock().retain(|_, pool| {
            let kept = keep(&pool.version);
            if !kept {
                gone.push(Arc::clone(pool));
            }
            kept
        });
        gone.iter().for_each(|pool| self.retire(pool));
        self.scripts.iter().for_each(|scripts| scripts.keep(&keep));
    }

    /// Runs one call to its end, whether or not its caller waits. `None`: it was not run, because all of this ends.
    pub(super) async fn run(self: &Arc<Self>, version: Arc<Version>, work: Work, seat: Seat) -> Option<Answer> {
        let (mut reply, answer) = oneshot::channel();
        if self.closing() {
            return None;
        }
        if self.shifts.tally.watches(&version.name, &version.version) {
            reply = self.counted(&version, reply);
        }
        let this = Arc::clone(self);
        let busy = self.busy();
        tokio::spawn(async move {
            let word = this.work(version, work, reply).await;
            drop(seat);
            word.into_iter().for_each(Word::say);
            drop(busy);
        });
        answer.await.ok()
    }

    /// Where to answer instead of `reply`, so that the call counts: on a task of its own, because a caller that goes away
    /// before the end must not keep a version that hangs from being counted.
    fn counted(self: &Arc<Self>, version: &Arc<Version>, reply: oneshot::Sender<Answer>) -> oneshot::Sender<Answer> {
        let (give, answer) = oneshot::channel();
        let (shifts, version, began) = (Arc::clone(&self.shifts), Arc::clone(version), Instant::now());
        tokio::spawn(pass_on(answer, reply, move |failed| {
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            shifts.tally.add(&version.name, &version.version, now_ms(), took_ms, failed);
        }));
        give
    }

    /// Whether no more calls are taken.
    pub(super) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// What is left to say to the caller when the call is over.
    async fn work(self: &Arc<Self>, version: Arc<Version>, work: Work, reply: oneshot::Sender<Answer>) -> Option<Word> {
        let settings = self.settings();
        let pool = self.pool(&version);
        let mut reply = Some(reply);
        let mut started = false;
        for _ in 0..TRIES {
            let environment = match pool.take() {
                Some(environment) => environment,
                None => {
                    started = true;
                    match start(&version, &settings, self.scripts.as_ref()).await {
                        Ok(environment) => environment,
                        Err(Unstarted { failure, log }) => {
                            let payload = failure.document(&work.request_id);
                            return reply.take().map(|reply| Word::Whole(reply, Reply { payload, failed: true, log }));
                        }
                    }
                }
            };
            match self.call(environment, &pool, &work, &settings, &mut reply).await {
                Called::Stale if !started => {}
                Called::Stale => return None,
                Called::Ready(word) | Called::Broken(word) => return word,
            }
        }
        None
    }

    async fn call(
        self: &Arc<Self>,
        mut environment: Box<dyn Runner>,
        pool: &Arc<Pool>,
        work: &Work,
        settings: &Settings,
        reply: &mut Option<oneshot::Sender<Answer>>,
    ) -> Called {
        let version = &pool.version;
        let deadline = Instant::now() + version.timeout;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + version.timeout;
        let order = Order {
            request_id: work.request_id.clone(),
            payload: work.payload.clone(),
            arn: work.arn.clone(),
            trace: work.trace.clone(),
            client_context: work.client_context.clone(),
            deadline_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        };
        let mode = (work.streams, deadline);
        let called = environment.call(Arc::new(order), version, settings, mode, reply).await;
        match called {
            Called::Ready(_) => self.give(pool, environment),
            Called::Broken(_) | Called::Stale => self.end(environment),
        }
        called
    }

    /// An environment that can take the next call, or has had its last.
    fn give(self: &Arc<Self>, pool: &Arc<Pool>, environment: Box<dyn Runner>) {
        // Under the lock, so that an environment is either found by who retires the pool, or sees that it is retired.
        let mut idle = pool.idle.lock();
        if pool.retired.load(Ordering::Acquire) {
            drop(idle);
            self.end(environment);
        } else {
            idle.push(environment);
        }
    }

    fn pool(self: &Arc<Self>, version: &Arc<Version>) -> Arc<Pool> {
        let key = (version.name.clone(), version.version.clone());
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(&key)
            && pool.version == *version
        {
            return Arc::clone(pool);
        }
        let fresh = Arc::new(Pool {
            version: Arc::clone(version),
            idle: Mutex::default(),
            retired: AtomicBool::new(self.closing.load(Ordering::Acquire)),
        });
        let old = pools.insert(key, Arc::clone(&fresh));
        self.sweeping();
        drop(pools);
        if let Some(old) = old {
            self.retire(&old);
        }
        fresh
    }

    fn retire(self: &Arc<Self>, pool: &Pool) {
        let idle = {
            let mut idle = pool.idle.lock();
            pool.retired.store(true, Ordering::Release);
            std::mem::take(&mut *idle)
        };
        idle.into_iter().for_each(|environment| self.end(environment));
    }

    fn end(self: &Arc<Self>, environment: Box<dyn Runner>) {
        let busy = self.busy();
        // Outside a runtime there is nothing to wait with: dropping it kills its processes.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                environment.end().await;
                drop(busy);
            });
        }
    }

    /// Starts the task that ends idle environments, once.
    fn sweeping(self: &Arc<Self>) {
        let mut tasks = self.tasks.lock();
        if !tasks.is_empty() {
            return;
        }
        let this = Arc::downgrade(self);
        tasks.spawn(async move {
            loop {
                let Some(every) = this.upgrade().map(|this| this.settings().idle / 4) else { return };
                tokio::time::sleep(every.clamp(SWEEP.0, SWEEP.1)).await;
                let Some(this) = this.upgrade() else { return };
                this.sweep(Instant::now());
            }
        });
    }

    /// Ends what has been idle for too long at `now`.
    fn sweep(self: &Arc<Self>, now: Instant) {
        let idle = self.settings().idle;
        let pools: Vec<_> = self.pools.lock().values().map(Arc::clone).collect();
        for pool in pools {
            let mut held = pool.idle.lock();
            let (over, rest): (Vec<_>, Vec<_>) =
                held.drain(..).partition(|environment| now.saturating_duration_since(environment.idle_since()) >= idle);
            *held = rest;
            drop(held);
            over.into_iter().for_each(|environment| self.end(environment));
        }
    }

    /// Takes no more calls, ends every idle environment, waits for calls under way. Those that are not over in time are
    /// killed with this process (see `run::command`).
    pub(super) async fn close(self: &Arc<Self>) {
        self.closing.store(true, Ordering::Release);
        let pools = std::mem::take(&mut *self.pools.lock());
        pools.into_values().for_each(|pool| self.retire(&pool));
        let _ = tokio::time::timeout(CLOSE, async {
            loop {
                let over = self.over.notified();
                if self.busy.load(Ordering::Acquire) == 0 {
                    return;
                }
                over.await;
            }
        })
        .await;
        self.tasks.lock().abort_all();
    }

    fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }
}

/// Something under way.
struct Busy(Arc<Schedule>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
        self.0.over.notify_waiters();
    }
}

// === impl Pool ===
impl Pool {
    fn take(&self) -> Option<Box<dyn Runner>> {
        let mut idle = self.idle.lock();
        while let Some(mut environment) = idle.pop() {
            if environment.alive() {
                return Some(environment);
            }
        }
        None
    }
}

/// Passes an answer on and has it counted when it ends, failed or not, before the caller hears of the end. What was not run
/// does not count.
async fn pass_on(answer: oneshot::Receiver<Answer>, caller: oneshot::Sender<Answer>, count: impl FnOnce(bool)) {
    let mut from = match answer.await {
        Ok(Answer::Stream { parts }) => parts,
        Ok(answer) => {
            if let Answer::Whole(reply) = &answer {
                count(reply.failed);
            }
            // A caller that is gone has no use for it.
            return drop(caller.send(answer));
        }
        Err(_) => return,
    };
    let (to, parts) = mpsc::channel(PIECES);
    let _ = caller.send(Answer::Stream { parts });
    let end = loop {
        match from.recv().await {
            Some(Part::End { error, log }) => break Some(Part::End { error, log }),
            // Without a caller it is read to its end all the same.
            Some(part) => drop(to.send(part).await),
            None => break None,
        }
    };
    // Without its end it was cut off.
    count(!matches!(end, Some(Part::End { error: None, .. })));
    if let Some(end) = end {
        let _ = to.send(end).await;
    }
}

/// A start that took too long is made once more, within the call's own time (Lambda Developer Guide, "Understanding the
/// Lambda execution environment lifecycle": Init phase).
async fn start(
    version: &Arc<Version>,
    settings: &Arc<Settings>,
    scripts: Option<&Scripts>,
) -> Result<Box<dyn Runner>, Unstarted> {
    match run::start(version, settings, scripts, Instant::now() + settings.limits.init).await {
        Err(Unstarted { failure: Failure::Timeout(_), .. }) => {
            run::start(version, settings, scripts, Instant::now() + version.timeout).await
        }
        started => started,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(error: Option<&'static str>) -> Part {
        Part::End { error: error.map(|text| Bytes::from_static(text.as_bytes())), log: String::new() }
    }

    #[tokio::test]
    async fn calls_count_though_their_callers_are_gone() {
        let whole = |failed| Answer::Whole(Reply { payload: Bytes::new(), failed, log: String::new() });
        for (answer, want) in [
            (Some(whole(true)), Some(true)),
            (Some(whole(false)), Some(false)),
            (Some(Answer::Throttled), None),
            (None, None),
        ] {
            let (give, heard) = oneshot::channel();
            let (reply, caller) = oneshot::channel();
            drop(caller);
            let mut counted = None;
            match answer {
                Some(answer) => drop(give.send(answer)),
                None => drop(give),
            }
            pass_on(heard, reply, |failed| counted = Some(failed)).await;
            assert_eq!(counted, want);
        }
    }

    #[tokio::test]
    async fn streams_count_as_they_end() {
        let data = || Part::Data(Bytes::from_static(b"a"));
        for (parts, want) in [
            (vec![data(), data(), end(None)], false),
            (vec![data(), end(Some("{}"))], true),
            // Cut off.
            (vec![data()], true),
        ] {
            for listens in [true, false] {
                let (give, heard) = oneshot::channel();
                let (reply, caller) = oneshot::channel();
                let (to, from) = mpsc::channel(parts.len());
                give.send(Answer::Stream { parts: from }).unwrap();
                for part in &parts {
                    let copy = match part {
                        Part::Data(data) => Part::Data(data.clone()),
                        Part::End { error, log } => Part::End { error: error.clone(), log: log.clone() },
                    };
                    to.send(copy).await.unwrap();
                }
                drop(to);
                let mut counted = None;
                let passing = pass_on(heard, reply, |failed| counted = Some(failed));
                let listening = async {
                    let mut got = 0;
                    if listens && let Ok(Answer::Stream { parts: mut theirs }) = caller.await {
                        while theirs.recv().await.is_some() {
                            got += 1;
                        }
                    }
                    got
                };
                let ((), got) = tokio::join!(passing, listening);
                assert_eq!((counted, got), (Some(want), if listens { parts.len() } else { 0 }));
            }
        }
    }
}
