//! Prior: what a lane had done for a request that it hands to the full path.
//!
//! In: the lane's attempt, its refusal, or its functions' calls. Out: a context that goes on from there, so that the request is counted, reported and
//! tried again as if the full path had done it. Never: decisions.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use pingora::Error;

use crate::limit::Refused;
use crate::observe::TraceContext;
use crate::origin::OriginError;

use super::context::{OriginNote, RequestCtx};
use super::edge::RequestId;
use super::entering::Entered;
use super::hooked::Seen;
use super::phases::now_ms;
use super::snapshot::{Live, Snapshot};
use super::uploads::Upload;

tokio::task_local! {
    /// Pingora makes a request's context without asking who the request is. It is made within the task that hands over.
    static PRIOR: Cell<Option<Before>>;
}

/// What is known before a request's context is made.
#[derive(Debug, Default)]
pub struct Before {
    pub handed: Option<Handed>,
    /// The snapshot that was chosen for its viewer; `None` is the one in force.
    pub chosen: Option<Arc<Snapshot>>,
    /// The watch over its body.
    pub upload: Option<Arc<Upload>>,
    /// Bytes of its head on the wire; 0 = nobody counted them.
    pub head: u64,
}

/// What is handed over.
#[derive(Debug)]
pub enum Handed {
    Attempt(Box<Prior>),
    /// It was counted, and is one too many.
    Refused(Box<Refused>),
    /// Viewer functions saw it.
    Seen(Box<Seen>),
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
    pub entered: Entered,
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

/// Runs `full`, whose first context goes on from what was `before`.
pub async fn with<F: Future>(before: Before, full: F) -> F::Output {
    match before {
        Before { handed: None, chosen: None, upload: None, head: 0 } => full.await,
        before => PRIOR.scope(Cell::new(Some(before)), full).await,
    }
}

/// A request's context: one that goes on from what was handed over to this task, or a new one.
pub fn context(live: &Live) -> RequestCtx {
    let before = PRIOR.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let head_in = before.head;
    RequestCtx { head_in, ..going_on(before, live) }
}

fn going_on(before: Before, live: &Live) -> RequestCtx {
    let Before { handed, chosen, upload, .. } = before;
    let new =
        || RequestCtx { upload: upload.clone(), ..RequestCtx::new(chosen.unwrap_or_else(|| live.load()), now_ms()) };
    let prior = match handed {
        Some(Handed::Attempt(prior)) => *prior,
        Some(Handed::Refused(refused)) => {
            let mut ctx = new();
            ctx.refused = Some(refused);
            return ctx;
        }
        Some(Handed::Seen(seen)) => {
            let Seen { snapshot, id, started, started_ms, entered, note } = *seen;
            let ctx = RequestCtx::new(snapshot, started_ms);
            return RequestCtx { id, started, entered, hooks: note, upload, ..ctx };
        }
        None => return new(),
    };
    let mut ctx = RequestCtx::new(prior.snapshot, prior.started_ms);
    ctx.id = prior.id;
    ctx.started = prior.started;
    ctx.trace = prior.trace;
    ctx.origin = prior.origin;
    ctx.entered = prior.entered;
    ctx.trouble = Some(prior.trouble);
    ctx
}
