//! Log: one writer for all events, so that one fsync serves many.
//!
//! In: changes. Out: a word when they are on disk. Never: half of one caller's changes.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::super::LambdaError;
use super::super::registry::{EventChange, Store};

/// Callers that wait for the writer; more wait for a place.
const CALLERS: usize = 1024;
/// Callers that one commit serves.
const BATCH: usize = 256;

type Job = (Vec<EventChange>, oneshot::Sender<Result<(), Arc<redb::Error>>>);

#[derive(Debug)]
pub(super) struct Log {
    jobs: mpsc::Sender<Job>,
}

// === impl Log ===
impl Log {
    /// Starts a thread that ends with this.
    pub(super) fn open(store: Arc<Store>) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(CALLERS);
        std::thread::spawn(move || {
            let mut batch = Vec::new();
            while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
                let result = store.change(batch.iter().flat_map(|(changes, _)| changes)).map_err(|e| Arc::new(*e));
                for (_, done) in batch.drain(..) {
                    // Whoever no longer waits has no use for it.
                    let _ = done.send(result.clone());
                }
            }
        });
        Log { jobs }
    }

    /// Writes `changes`, all or none; they are on disk when it returns.
    pub(super) async fn change(&self, changes: Vec<EventChange>) -> Result<(), LambdaError> {
        let gone = || LambdaError::Worker("the writer of events is gone".to_owned());
        let (done, wait) = oneshot::channel();
        self.jobs.send((changes, done)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?.map_err(LambdaError::Events)
    }
}
