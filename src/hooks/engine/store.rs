//! Store: what an instance carries: the call's state, its memory bound, its CPU meter.
//!
//! In: a call and its budget. Out: refusals to grow, and an end to calls that took too much. Never: the wall clock; `function`
//! holds that.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::hooks::host::CallState;

/// Entries a function's tables may have; also what a slot of the pool has room for.
pub const TABLE_MAX: usize = 20_000;

/// What the first stretch of a call counts at most. The thread's CPU clock is a system call, so only calls that a tick has met are
/// measured by it; before that, time on the fiber includes time the machine gave to others, and no tick is longer than this.
const FIRST_STRETCH: Duration = Duration::from_millis(2);

/// CPU time beyond its budget in which a call that asks for it may say where it was.
const LAST_WORDS: Duration = Duration::from_millis(10);

/// What a store holds.
pub struct Data {
    pub call: CallState,
    pub bound: Bound,
    pub meter: Arc<Meter>,
}

/// How much memory an instance has, and may have.
#[derive(Debug)]
pub struct Bound {
    limit: usize,
    used: usize,
    /// Of that, what the instance began with.
    begun: usize,
    refused: bool,
}

/// CPU time of one call: the time its fiber ran, not the time it waited.
#[derive(Debug, Default)]
pub struct Meter {
    budget: AtomicU64,
    spent: AtomicU64,
    /// Of that, what the thread's clock measured.
    sure: AtomicU64,
    /// When the running stretch began, by the clock that `precise` says.
    began: AtomicU64,
    precise: AtomicBool,
    /// Stretches are measured by the thread's clock from now on.
    ticked: AtomicBool,
    /// The last stretch was one of CPU time, and long.
    long: AtomicBool,
}

/// The call had its share of CPU time.
#[derive(Debug, thiserror::Error)]
#[error("the CPU budget is used up")]
pub struct Spent;

/// A future whose polls are counted.
pub struct Metered<'m, F> {
    meter: &'m Meter,
    future: F,
}

/// CPU time of one stretch by which a call is known to be a long one. Less than a tick, which may be another thread's time too.
const LONG: Duration = Duration::from_micros(500);

// === impl Bound ===
impl Bound {
    pub fn new(limit: usize) -> Self {
        Bound { limit, used: 0, begun: 0, refused: false }
    }

    pub fn renew(&mut self, limit: usize) {
        self.limit = limit;
        self.refused = false;
    }

    /// The instance is made.
    pub fn begin(&mut self) {
        self.begun = self.used;
    }

    /// This call may have no more than `room` bytes beyond what the instance began with.
    pub fn confine(&mut self, room: usize) {
        self.limit = self.limit.min(self.begun.saturating_add(room));
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of all linear memories.
    pub fn used(&self) -> usize {
        self.used
    }

    pub fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Bound {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_MAX)
    }
}

// === impl Meter ===
impl Meter {
    /// For another call.
    pub fn renew(&self, budget: Duration) {
        self.budget.store(nanos(budget), Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
        self.sure.store(0, Ordering::Relaxed);
        self.ticked.store(false, Ordering::Relaxed);
        self.long.store(false, Ordering::Relaxed);
    }

    /// Measures by the thread's clock from the next stretch on.
    pub fn measure(&self) {
        self.ticked.store(true, Ordering::Relaxed);
    }

    /// Begins a stretch of its own for what the host does with a result: no tick meets that.
    pub fn apart(&self) {
        if !self.precise.load(Ordering::Relaxed) {
            self.end();
            self.measure();
            self.begin();
        }
    }

    /// Whether the call surely took more than its budget: stretches before the first tick may have been the machine's, which gave its time
    /// to others.
    pub fn is_over(&self) -> bool {
        self.sure.load(Ordering::Relaxed) > self.budget.load(Ordering::Relaxed)
    }

    /// Whether its last stretch shows that it runs for long.
    pub fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// At each tick of the epoch: lets others run, or ends the call. `tell` says to its code that the time is used up, if that listens.
    pub fn tick(&self, tell: impl FnOnce() -> bool) -> wasmtime::Result<UpdateDeadline> {
        self.measure();
        let spent = self.spent.load(Ordering::Relaxed) + self.stretch();
        match spent.checked_sub(self.budget.load(Ordering::Relaxed)) {
            Some(over @ 1..) if over > nanos(LAST_WORDS) || !tell() => Err(Spent.into()),
            _ => Ok(UpdateDeadline::Yield(1)),
        }
    }

    fn begin(&self) {
        let precise = self.ticked.load(Ordering::Relaxed);
        self.precise.store(precise, Ordering::Relaxed);
        self.began.store(now(precise), Ordering::Relaxed);
    }

    fn end(&self) {
        let stretch = self.stretch();
        self.spent.fetch_add(stretch, Ordering::Relaxed);
        let precise = self.precise.load(Ordering::Relaxed);
        if precise {
            self.sure.fetch_add(stretch, Ordering::Relaxed);
        }
        self.long.store(precise && stretch >= nanos(LONG), Ordering::Relaxed);
    }

    /// Nanoseconds of the running stretch.
    fn stretch(&self) -> u64 {
        let precise = self.precise.load(Ordering::Relaxed);
        let stretch = now(precise).saturating_sub(self.began.load(Ordering::Relaxed));
        if precise { stretch } else { stretch.min(nanos(FIRST_STRETCH)) }
    }
}

/// Nanoseconds: the thread's CPU time, or since some moment.
fn now(precise: bool) -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let thread = if precise { ThreadTime::try_now().ok() } else { None };
    nanos(thread.map_or_else(|| START.elapsed(), |now| now.as_duration()))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Metered ===
impl<'m, F> Metered<'m, F> {
    pub fn new(meter: &'m Meter, future: F) -> Self {
        Metered { meter, future }
    }
}

impl<F: Future + Unpin> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.begin();
        let polled = Pin::new(&mut self.future).poll(cx);
        self.meter.end();
        polled
    }
}
