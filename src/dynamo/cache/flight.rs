//! Flight: one question to the engine for all who ask it at once.
//!
//! In: keys, and how to ask. Out: the answer, and who asked. Never: an answer for one who came after it was there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Questions under way: no more than there are callers.
#[derive(Debug)]
pub struct Flights<T> {
    open: Mutex<HashMap<Vec<u8>, Arc<OnceCell<T>>>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Flights<T> {
        Flights { open: Mutex::default() }
    }
}

/// Closes a flight when its last passenger leaves, however that comes.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Vec<u8>,
    /// Until it is left.
    cell: Option<Arc<OnceCell<T>>>,
}

// === impl Flights ===
impl<T: Clone> Flights<T> {
    /// Asks, or waits for one who does; whether it was asked for this one. Who gives up leaves the question to the next.
    pub async fn join<F: Future<Output = T>>(&self, key: Vec<u8>, ask: impl FnOnce() -> F) -> (T, bool) {
        let seat = self.sit(key.clone());
        let Some(cell) = seat.cell.as_ref() else { return (ask().await, true) };
        let asked = AtomicBool::new(false);
        let answer = cell.get_or_init(|| {
            asked.store(true, Ordering::Relaxed);
            ask()
        });
        let answer = answer.await.clone();
        // Who comes later asks anew: the answer may be old by then.
        let mut open = self.open.lock();
        if open.get(&key).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            open.remove(&key);
        }
        drop(open);
        (answer, asked.into_inner())
    }

    fn sit(&self, key: Vec<u8>) -> Seat<'_, T> {
        let cell = Some(Arc::clone(self.open.lock().entry(key.clone()).or_default()));
        Seat { flights: self, key, cell }
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut open = self.flights.open.lock();
        let Some(cell) = self.cell.take() else { return };
        let known = open.get(&self.key).is_some_and(|known| Arc::ptr_eq(known, &cell));
        // Left within the lock, so that the last to leave sees that it is: the table's own is the other one.
        drop(cell);
        if known && open.get(&self.key).is_some_and(|known| Arc::strong_count(known) == 1) {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn one_asks_for_all() {
        let (flights, times, go) =
            (Arc::new(Flights::default()), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let each: Vec<_> = (0..10)
            .map(|_| {
                let (flights, times, go) = (flights.clone(), times.clone(), go.clone());
                tokio::spawn(async move {
                    let ask = || async {
                        go.notified().await;
                        times.fetch_add(1, Ordering::SeqCst)
                    };
                    flights.join(b"k".to_vec(), ask).await
                })
            })
            .collect();
        while flights.open.lock().get(b"k".as_slice()).is_none_or(|cell| Arc::strong_count(cell) < 11) {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        let mut askers = 0;
        for one in each {
            let (answer, asked) = one.await.unwrap();
            assert_eq!(answer, 0);
            askers += usize::from(asked);
        }
        assert_eq!((askers, times.load(Ordering::SeqCst), flights.open.lock().len()), (1, 1, 0));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing() {
        let flights = Flights::<u8>::default();
        {
            let gone = flights.join(b"k".to_vec(), std::future::pending);
            tokio::pin!(gone);
            assert!(futures::poll!(gone).is_pending());
        }
        assert_eq!(flights.open.lock().len(), 0);
        assert_eq!(flights.join(b"k".to_vec(), || async { 7 }).await, (7, true));
    }
}
