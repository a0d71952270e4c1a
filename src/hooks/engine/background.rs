//! Background: where calls go on that run for long, so that requests do not wait for them.
//!
//! In: a call. Out: what it comes to. Never: a moment of a core that a serving thread wants: the kernel runs these threads when it
//! has nothing else to run, and takes them off their core at once when it has.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

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

/// The threads of the process, as many as it has cores. They begin with the first long call.
static THREADS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    Builder::new_multi_thread().worker_threads(cores).thread_name("functions-long").on_thread_start(step_back).build()
});

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
    call: Pin<Box<F>>,
}

/// Ends the call when nobody waits for it any more.
struct Ending<T>(JoinHandle<T>);

/// Runs a call to its end: here while it is short, in the background when it has run for long or is expected to. `call` ends by
/// itself after `timeout`.
///
/// # Errors
/// It did not end in time, or panicked.
pub async fn run<F>(habit: &Habit, meter: &Meter, timeout: Duration, call: F) -> Result<F::Output, Lost>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut call = Box::pin(call);
    if !habit.is_long() {
        let here = poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if meter.is_long() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        if let Some(ended) = here.await {
            return Ok(ended);
        }
        habit.was_long();
    }
    let threads = match &*THREADS {
        Ok(threads) => threads,
        Err(error) => {
            log::warn!("no threads for long calls, they run among requests: {error}");
            return Ok(call.await);
        }
    };
    meter.measure();
    let away = Away { home: Handle::current(), call };
    let mut ending = Ending(threads.spawn(away));
    let ended = tokio::time::timeout(timeout + GRACE, &mut ending.0).await;
    match meter.spent() < SHORT {
        true => habit.was_short(),
        false => habit.was_long(),
    }
    ended.map_err(|_| Lost::Late)?.map_err(|_| Lost::Gone)
}

/// Has the kernel run this thread only when it has nothing else to run.
fn step_back() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        log::warn!("long calls of functions have the priority of requests: {error}");
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
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let away = self.get_mut();
        let _home = away.home.enter();
        away.call.as_mut().poll(cx)
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
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn calls_begin_in_the_background_until_as_many_were_short() {
        let (habit, meter) = (Habit::default(), Meter::default());
        let here = thread();
        assert_eq!(run(&habit, &meter, LONG, async { thread() }).await, Ok(here.clone()));
        habit.was_long();
        for _ in 0..WARY {
            assert_eq!(run(&habit, &meter, LONG, async { thread() }).await, Ok("functions-long".to_owned()));
        }
        assert_eq!(run(&habit, &meter, LONG, async { thread() }).await, Ok(here));
    }

    #[tokio::test]
    async fn what_a_call_away_starts_belongs_to_its_request() {
        let (habit, meter) = (Habit::default(), Meter::default());
        habit.was_long();
        let call = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            (thread(), tokio::spawn(async { thread() }).await.unwrap())
        };
        assert_eq!(run(&habit, &meter, LONG, call).await, Ok(("functions-long".to_owned(), thread())));
    }

    #[tokio::test]
    async fn a_call_ends_when_nobody_waits_for_it() {
        let (habit, meter) = (Habit::default(), Meter::default());
        habit.was_long();
        let (held, gone) = oneshot::channel::<()>();
        let call = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let waiting = run(&habit, &meter, LONG, call);
        assert!(tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err());
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    async fn a_call_that_does_not_end_or_panics_is_lost() {
        let (habit, meter) = (Habit::default(), Meter::default());
        habit.was_long();
        assert_eq!(run(&habit, &meter, Duration::ZERO, std::future::pending::<()>()).await, Err(Lost::Late));
        let call = async { assert!(LONG.is_zero(), "a fault of this process") };
        assert_eq!(run(&habit, &meter, LONG, call).await, Err(Lost::Gone));
    }
}
