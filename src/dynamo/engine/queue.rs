//! Queue: jobs that wait for a thread with a deep stack.
//!
//! In: closures. Out: they are run, in order of arrival. Never: more than its bound of them waiting; a tokio worker blocked.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Bytes of a thread's stack. The engine's parsers call themselves for each parenthesis.
const STACK: usize = 16 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// The waiting room of some threads, which end when it is closed and empty.
pub struct Queue {
    shared: Arc<Shared>,
    bound: usize,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// The queue is full or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

// === impl Queue ===
impl Queue {
    /// # Errors
    /// No thread could be started.
    pub fn open(name: &str, threads: usize, bound: usize) -> std::io::Result<Queue> {
        let waiting = Mutex::new(Waiting { jobs: VecDeque::new(), closed: false });
        let shared = Arc::new(Shared { waiting, arrived: Condvar::new() });
        let mut started = Vec::with_capacity(threads);
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("{name}-{number}")).stack_size(STACK);
            started.push(thread.spawn(move || shared.work())?);
        }
        Ok(Queue { shared, bound, threads: Mutex::new(started) })
    }

    /// # Errors
    /// The queue is full or closed; the job is dropped.
    pub fn push(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
        let mut waiting = self.shared.waiting.lock();
        if waiting.closed || waiting.jobs.len() >= self.bound {
            return Err(Refused);
        }
        waiting.jobs.push_back(Box::new(job));
        drop(waiting);
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// Takes no more; what waits is still done.
    pub fn close(&self) {
        self.shared.waiting.lock().closed = true;
        self.shared.arrived.notify_all();
    }

    /// Waits until all is done; blocks.
    pub fn join(&self) {
        self.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A job that panicked was answered by its dropped channel.
            let _ = thread.join();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

// === impl Shared ===
impl Shared {
    fn work(&self) {
        loop {
            let job = {
                let mut waiting = self.waiting.lock();
                loop {
                    match waiting.jobs.pop_front() {
                        Some(job) => break job,
                        None if waiting.closed => return,
                        None => self.arrived.wait(&mut waiting),
                    }
                }
            };
            // A panic in the engine costs the request that met it, not the thread that others wait for.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                log::error!("dynamodb: the embedded engine panicked on a request");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn jobs_are_done_bounded_and_drained() {
        let queue = Queue::open("test", 1, 2).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let (done, each) = mpsc::channel::<u8>();
        let say = |number: u8| {
            let done = done.clone();
            move || done.send(number).unwrap()
        };
        let (began, begin) = mpsc::channel::<()>();
        queue
            .push(move || {
                began.send(()).unwrap();
                wait.recv().unwrap();
            })
            .unwrap();
        begin.recv().unwrap();
        assert_eq!(queue.push(say(1)), Ok(()));
        assert_eq!(queue.push(say(2)), Ok(()));
        assert_eq!(queue.push(say(3)), Err(Refused), "two wait");
        go.send(()).unwrap();
        queue.join();
        assert_eq!(each.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(queue.push(say(4)), Err(Refused), "closed");
    }

    #[test]
    fn a_panic_costs_one_job() {
        let queue = Queue::open("test", 1, 8).unwrap();
        let (done, each) = mpsc::channel::<u8>();
        queue.push(|| panic!("on purpose")).unwrap();
        queue.push(move || done.send(1).unwrap()).unwrap();
        queue.join();
        assert_eq!(each.try_iter().collect::<Vec<_>>(), [1]);
    }
}
