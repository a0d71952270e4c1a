//! Ticker: the thread that makes long calls let others run.
//!
//! In: whether calls run. Out: a tick of both engines each millisecond while they do. Never: work when nothing runs, but for idle
//! instances that it gives back.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{OnceLock, Weak};
use std::thread::Thread;
use std::time::Duration;

use super::{EngineError, Shared};

/// How long a call may run before it lets others run.
const TICK: Duration = Duration::from_millis(1);
/// Ticks it goes on after the last call, so that a quiet but steady stream of calls wakes nobody.
const LINGER: u32 = 1000;
/// How long it sleeps then, unless a call wakes it.
const SLEEP: Duration = Duration::from_secs(10);

/// Starts and wakes the thread.
#[derive(Debug, Default)]
pub struct Ticker {
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
}

// === impl Ticker ===
impl Ticker {
    /// Starts the thread, once; it ends when the engine is gone.
    pub fn start(&self, shared: Weak<Shared>) -> Result<(), EngineError> {
        if self.thread.get().is_some() {
            return Ok(());
        }
        let spawned = std::thread::Builder::new().name("functions-tick".to_owned()).spawn(move || run(&shared));
        let spawned = spawned.map_err(|error| EngineError::Start(format!("cannot start a thread: {error}")))?;
        // Two loads at once: the second thread ticks too, which does no harm, and ends with the engine.
        let _ = self.thread.set(spawned.thread().clone());
        Ok(())
    }

    /// Before each call, with the call already counted.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

fn run(shared: &Weak<Shared>) {
    let mut quiet = 0;
    loop {
        let Some(engine) = shared.upgrade() else { return };
        quiet = if engine.busy() { 0 } else { quiet + 1 };
        if quiet < LINGER {
            engine.tick();
            drop(engine);
            std::thread::park_timeout(TICK);
            continue;
        }
        engine.ticker.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !engine.busy() {
            engine.cool();
            drop(engine);
            std::thread::park_timeout(SLEEP);
        }
        if let Some(engine) = shared.upgrade() {
            engine.ticker.asleep.store(false, Ordering::Relaxed);
        }
        quiet = 0;
    }
}
