//! Waiting: for events, never for time to pass.
//!
//! In: a condition or a gate another thread opens. Out: it happened, or the test fails. Never: a fixed pause.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long any event may take before the test is given up: far above what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a condition that nobody announces.
pub const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Asks `condition` again and again until it answers; panics with `what` when it never does.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "gave up waiting: {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// A door that starts closed; whoever waits passes once it is open. Cloned, it is the same door.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

// === impl Gate ===
impl Gate {
    pub fn new() -> Self {
        Gate::default()
    }

    pub fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    pub fn is_open(&self) -> bool {
        *self.0.0.lock()
    }

    /// Waits until it is open. Gives up silently after [`PATIENCE`]: the test's own assertions say what is missing.
    pub fn wait(&self) {
        let mut open = self.0.0.lock();
        let deadline = Instant::now() + PATIENCE;
        while !*open {
            if self.0.1.wait_until(&mut open, deadline).timed_out() {
                return;
            }
        }
    }
}
