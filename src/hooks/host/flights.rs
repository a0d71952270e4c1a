//! Flights: requests of one call that are on their way while its code goes on.
//!
//! In: what sends a request; how long to wait. Out: outcomes, as they come. Never: a request that outlives its call.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::HostError;
use super::fetch::Incoming;

/// What became of the request with this number.
pub type Landed = (u32, Result<Incoming, HostError>);

/// Bytes of bodies that requests on their way hold together. Their number, and the answers, are the grant's to bound.
pub const BODIES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
pub struct Flights {
    // Dropped, it ends its tasks.
    tasks: JoinSet<Landed>,
    handles: HashMap<u32, Flight>,
    last: u32,
}

#[derive(Debug)]
struct Flight {
    handle: AbortHandle,
    /// Bytes of its body.
    bytes: usize,
}

// === impl Flights ===
impl Flights {
    /// The number of the request that `answer` sends, with a body of `bytes`.
    ///
    /// # Errors
    /// Bodies of more than [`BODIES_MAX`] would be on their way.
    pub fn start(
        &mut self,
        bytes: usize,
        answer: impl Future<Output = Result<Incoming, HostError>> + Send + 'static,
    ) -> Result<u32, HostError> {
        let held: usize = self.handles.values().map(|flight| flight.bytes).sum();
        if held.saturating_add(bytes) > BODIES_MAX {
            return Err(HostError::TooLarge(format!("requests on their way may send {BODIES_MAX} bytes together")));
        }
        self.last = self.last.wrapping_add(1);
        let number = self.last;
        let handle = self.tasks.spawn(async move { (number, answer.await) });
        self.handles.insert(number, Flight { handle, bytes });
        Ok(number)
    }

    /// Waits for one, and takes all that are there then; none when `bound` is over first.
    pub async fn next(&mut self, bound: Option<Duration>) -> Result<Vec<Landed>, HostError> {
        let first = match bound {
            None => self.first().await,
            Some(bound) => match tokio::time::timeout(bound, self.first()).await {
                Ok(first) => first,
                Err(_) => return Ok(Vec::new()),
            },
        };
        let mut landed = vec![first.ok_or_else(|| HostError::Invalid("no request is on its way".to_owned()))?];
        while let Some(ended) = self.tasks.try_join_next() {
            landed.extend(self.ended(ended));
        }
        landed.sort_unstable_by_key(|(number, _)| *number);
        Ok(landed)
    }

    /// Gives a request up; one that is over already is nobody's any more.
    pub fn give_up(&mut self, number: u32) {
        if let Some(flight) = self.handles.remove(&number) {
            flight.handle.abort();
        }
    }

    async fn first(&mut self) -> Option<Landed> {
        loop {
            let ended = self.tasks.join_next().await?;
            if let Some(landed) = self.ended(ended) {
                return Some(landed);
            }
        }
    }

    /// `None`: it was given up, perhaps with its answer there already.
    fn ended(&mut self, ended: Result<Landed, JoinError>) -> Option<Landed> {
        match ended {
            Ok(landed) => self.handles.remove(&landed.0).map(|_| landed),
            Err(error) => {
                let (number, _) = self.handles.iter().find(|(_, flight)| flight.handle.id() == error.id())?;
                let number = *number;
                self.handles.remove(&number);
                Some((number, Err(HostError::Failed("the request broke off".to_owned()))))
            }
        }
    }
}
