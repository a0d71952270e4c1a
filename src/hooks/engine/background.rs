//! Background: where calls go on that run for long, so that requests do not wait for them.
//!
//! In: a call. Out: what it comes to. Never: a moment of a core that a serving thread wants: the kernel runs these threads when it
//! has nothing else to run, and takes them off their core at once when it has. Where it never has nothing else to run, such calls
//! have a tenth of a core among requests.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use super::store::Meter;

/// CPU time within which a call is over that is no long one.
const SHORT: Duration = Duration::from_millis(1);
/// Calls of a function that begin in the background after a long one; they go back to the request's thread when all were short.
const WARY: u32 = 16;
/// How long after its time an answer is waited for that no core had time for.
const GRACE: Duration = Duration::from_millis(100);
/// A stretch of a millisecond that takes this long shows that the cores have no time for the background.
const STARVED: Duration = Duration::from_millis(50);
/// How long nothing is begun there then.
const CLOSED: Duration = Duration::from_millis(500);
/// How long a call that found no time there rests after each stretch among requests, times how many such there are.
const REST: Duration = Duration::from_millis(10);

/// The threads of the process, as many as it has cores. They begin with the first long call.
static THREADS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    Builder::new_multi_thread().worker_threads(cores).thread_name("functions-long").on_thread_start(step_back).build()
});
/// What moments are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What an engine knows of the background.
#[derive(Debug, Default)]
pub struct Background {
    /// Milliseconds since [`START`]: until then nothing begins there.
    closed: AtomicU64,
    /// Calls that run among requests because there was no time for them.
    paced: AtomicU32,
}

/// What to expect of a function's next call.
#[derive(Debug, Default)]
pub struct Habit(AtomicU32);

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// No core had time for it.
    Late,
    /// It is gone.
    Gone,
}

/// A call away from home: what it opens, starts and waits for belongs to the runtime that its request runs on.
struct Away<F> {
    home: Handle,
    call: Option<Pin<Box<F>>>,
}

/// How a call comes home.
enum Came<F: Future> {
    Ended(F::Output),
    Starved(Pin<Box<F>>),
}

/// Ends the call when nobody waits for it any more.
struct Ending<T>(JoinHandle<T>);

/// One of the calls that rest; fewer do when it is dropped.
struct Paced<'b>(&'b AtomicU32);

/// Has the kernel run this thread only when it has nothing else to run.
fn step_back() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        log::warn!("long calls of functions have the priority of requests: {error}");
    }
}

fn millis() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Runs a call until it is over, or was found to be long.
async fn stretch<F: Future>(call: &mut Pin<Box<F>>, meter: &Meter) -> Option<F::Output> {
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if meter.is_long() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

// === impl Background ===
impl Background {
    /// Runs a call to its end: here while it is short, in the background when it has run for long or is expected to. `call` ends by
    /// itself after `timeout`.
    ///
    /// # Errors
    /// It did not end in time, or panicked.
    pub async fn run<F>(&self, habit: &Habit, meter: &Meter, timeout: Duration, call: F) -> Result<F::Output, Lost>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut call = Box::pin(call);
        if !habit.is_long() {
            if let Some(ended) = stretch(&mut call, meter).await {
                // It is over, but the next one may begin where it delays nobody.
                if meter.is_long() {
                    habit.was_long();
                }
                return Ok(ended);
            }
            habit.was_long();
        }
        meter.measure();
        let ended = tokio::time::timeout(timeout + GRACE, self.leave(call, meter)).await;
        match ended.is_ok() && meter.spent() < SHORT {
            true => habit.was_short(),
            false => habit.was_long(),
        }
        ended.unwrap_or(Err(Lost::Late))
    }

    async fn leave<F>(&self, call: Pin<Box<F>>, meter: &Meter) -> Result<F::Output, Lost>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        if millis() < self.closed.load(Ordering::Relaxed) {
            return Ok(self.pace(call, meter).await);
        }
        let threads = match &*THREADS {
            Ok(threads) => threads,
            Err(error) => {
                log::warn!("there are no threads for long calls: {error}");
                return Ok(self.pace(call, meter).await);
            }
        };
        let mut ending = Ending(threads.spawn(Away { home: Handle::current(), call: Some(call) }));
        match (&mut ending.0).await {
            Ok(Came::Ended(ended)) => Ok(ended),
            Ok(Came::Starved(call)) => {
                let until = millis().saturating_add(u64::try_from(CLOSED.as_millis()).unwrap_or(u64::MAX));
                self.closed.store(until, Ordering::Relaxed);
                Ok(self.pace(call, meter).await)
            }
            Err(_) => Err(Lost::Gone),
        }
    }

    /// Among requests, but so that all such calls together take a tenth of a core's time.
    async fn pace<F: Future>(&self, mut call: Pin<Box<F>>, meter: &Meter) -> F::Output {
        self.paced.fetch_add(1, Ordering::Relaxed);
        let paced = Paced(&self.paced);
        loop {
            if let Some(ended) = stretch(&mut call, meter).await {
                return ended;
            }
            tokio::time::sleep(REST * paced.0.load(Ordering::Relaxed)).await;
        }
    }
}

// === impl Paced ===
impl Drop for Paced<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Habit ===
impl Habit {
    fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn was_long(&self) {
        self.0.store(WARY, Ordering::Relaxed);
    }

    fn was_short(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |wary| wary.checked_sub(1));
    }
}

// === impl Away ===
impl<F: Future> Future for Away<F> {
    type Output = Came<F>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Came<F>> {
        let away = self.get_mut();
        let Some(call) = &mut away.call else { return Poll::Pending };
        let _home = away.home.enter();
        let began = Instant::now();
        // The kernel may give a thread that has waited a turn before others, whatever its policy: this gives the turn away.
        std::thread::yield_now();
        match call.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Came::Ended(ended)),
            Poll::Pending if began.elapsed() >= STARVED => {
                away.call.take().map_or(Poll::Pending, |call| Poll::Ready(Came::Starved(call)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

// === impl Ending ===
impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use cpu_time::ThreadTime;
    use tokio::sync::oneshot;

    use super::*;
    use crate::hooks::engine::store::Metered;

    const LONG: Duration = Duration::from_secs(60);

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn calls_begin_in_the_background_until_as_many_were_short() {
        let (all, habit, meter) = (Background::default(), Habit::default(), Meter::default());
        let here = thread();
        assert_eq!(all.run(&habit, &meter, LONG, async { thread() }).await, Ok(here.clone()));
        habit.was_long();
        for _ in 0..WARY {
            assert_eq!(all.run(&habit, &meter, LONG, async { thread() }).await, Ok("functions-long".to_owned()));
        }
        assert_eq!(all.run(&habit, &meter, LONG, async { thread() }).await, Ok(here));
    }

    /// Nothing in it lets others run: a large result that is read, say.
    #[tokio::test]
    async fn a_long_call_that_never_paused_is_known_too() {
        let (all, habit, meter) = (Background::default(), Habit::default(), Arc::new(Meter::default()));
        let metered = Arc::clone(&meter);
        let call = async move {
            let work = pin!(async {
                metered.apart();
                let began = ThreadTime::now();
                while began.elapsed() < SHORT {
                    std::hint::spin_loop();
                }
                thread()
            });
            Metered::new(&metered, work).await
        };
        assert_eq!(all.run(&habit, &meter, LONG, call).await, Ok(thread()));
        assert_eq!(all.run(&habit, &meter, LONG, async { thread() }).await, Ok("functions-long".to_owned()));
    }

    #[tokio::test]
    async fn what_a_call_away_starts_belongs_to_its_request() {
        let (all, habit, meter) = (Background::default(), Habit::default(), Meter::default());
        habit.was_long();
        let call = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            (thread(), tokio::spawn(async { thread() }).await.unwrap())
        };
        assert_eq!(all.run(&habit, &meter, LONG, call).await, Ok(("functions-long".to_owned(), thread())));
    }

    #[tokio::test]
    async fn a_call_that_no_core_has_time_for_comes_home() {
        let (all, habit, meter) = (Background::default(), Habit::default(), Meter::default());
        habit.was_long();
        let call = async {
            let began = thread();
            let until = Instant::now() + STARVED;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
            (began, thread())
        };
        assert_eq!(all.run(&habit, &meter, LONG, call).await, Ok(("functions-long".to_owned(), thread())));
        // The next one does not try.
        assert_eq!(all.run(&habit, &meter, LONG, async { thread() }).await, Ok(thread()));
        assert_eq!(all.paced.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_call_ends_when_nobody_waits_for_it() {
        let (all, habit, meter) = (Background::default(), Habit::default(), Meter::default());
        habit.was_long();
        let (held, gone) = oneshot::channel::<()>();
        let call = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let waiting = all.run(&habit, &meter, LONG, call);
        assert!(tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err());
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    async fn a_call_that_does_not_end_or_panics_is_lost() {
        let (all, habit, meter) = (Background::default(), Habit::default(), Meter::default());
        habit.was_long();
        assert_eq!(all.run(&habit, &meter, Duration::ZERO, std::future::pending::<()>()).await, Err(Lost::Late));
        let call = async { assert!(LONG.is_zero(), "a fault of this process") };
        assert_eq!(all.run(&habit, &meter, LONG, call).await, Err(Lost::Gone));
    }
}
