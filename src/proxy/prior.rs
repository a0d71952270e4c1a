//! Prior: what the pass-through lane had done for a request that it hands to the full path.
//!
//! In: the lane's attempt. Out: a context that goes on from there, so that the request is counted, reported and tried again
//! as if the full path had made the attempt. Never: decisions.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use pingora::Error;

use crate::observe::TraceContext;
use crate::origin::OriginError;

use super::context::{OriginNote, RequestCtx};
use super::edge::RequestId;
use super::snapshot::Snapshot;

tokio::task_local! {
    /// Pingora makes a request's context without asking who the request is. It is made within the task that hands over.
    static PRIOR: Cell<Option<Box<Prior>>>;
}

/// One attempt that came to nothing.
#[derive(Debug)]
pub struct Prior {
    pub snapshot: Arc<Snapshot>,
    pub id: RequestId,
    pub started: Instant,
    pub started_ms: u64,
    pub trace: Option<TraceContext>,
    pub origin: OriginNote,
    pub trouble: Trouble,
}

/// What it came to.
#[derive(Debug)]
pub enum Trouble {
    /// No target could be chosen.
    Unpicked(OriginError),
    Broke {
        error: Box<Error>,
        /// The origin may have seen the request.
        connected: bool,
        /// On a connection that had served another.
        reused: bool,
    },
}

/// Runs `full`, whose first context goes on from `prior`.
pub async fn with<F: Future>(prior: Option<Box<Prior>>, full: F) -> F::Output {
    match prior {
        Some(prior) => PRIOR.scope(Cell::new(Some(prior)), full).await,
        None => full.await,
    }
}

/// The context that goes on from what was handed over to this task, if something was.
pub fn context() -> Option<RequestCtx> {
    let prior = *PRIOR.try_with(Cell::take).ok().flatten()?;
    let mut ctx = RequestCtx::new(prior.snapshot, prior.started_ms);
    ctx.id = prior.id;
    ctx.started = prior.started;
    ctx.trace = prior.trace;
    ctx.origin = prior.origin;
    ctx.trouble = Some(prior.trouble);
    Some(ctx)
}
