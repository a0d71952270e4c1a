//! Handing: what a background request must know of the viewer's request that it copies.
//!
//! In: a viewer's request that functions changed, or that a canary serves. Out: the same changes on the copy, for the same canary. Never:
//! a second call of the functions.
//!
//! Pingora copies an HTTP/1.1 request from the bytes that it received, without what a function changed since. So the front puts a
//! field with an id nobody can guess into the bytes of a request that functions will see, and the copy finds what was changed under
//! that id. HTTP/2 requests are copied as they are now; their copy only has to keep its behavior.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use pingora::proxy::Session;

use crate::hooks::Edit;

use super::context::{RequestCtx, Role};
use super::entering::Entered;
use super::rerouting::Way;
use super::shared::Shared;
use super::snapshot::{Served, Snapshot};

/// The field's name; functions never see it (`x-edge-*`), origins never get it.
pub const FIELD: HeaderName = HeaderName::from_static("x-edge-call");

/// Requests on their way to their copy; each stays for the moment between two tasks.
const HANDED_MAX: usize = 10_000;

/// What copies will ask for.
#[derive(Debug, Default)]
pub struct Handed(Mutex<Generations>);

/// Two of them: when the younger is full, what is still in the elder was left by requests that made no copy.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<HeaderValue, Passed>,
    old: HashMap<HeaderValue, Passed>,
}

/// What a viewer's request became.
#[derive(Debug, Clone)]
pub struct Passed {
    /// By name: a reload may have come between.
    behavior: String,
    pub edits: Vec<Edit>,
    pub way: Option<Way>,
    pub entered: Entered,
    /// Whose request it is a copy of.
    pub viewer: Option<SocketAddr>,
    /// The canary that served it: what it keeps is apart from what others get.
    canary: Option<Arc<Snapshot>>,
}

// === impl Passed ===
impl Passed {
    /// Where its behavior is now.
    pub fn behavior(&self, ctx: &RequestCtx) -> Option<usize> {
        ctx.snapshot.served.iter().position(|served| served.behavior.name == self.behavior)
    }
}

/// The field's line for a request that functions will see.
pub fn line() -> Vec<u8> {
    [FIELD.as_str().as_bytes(), b": ", unguessable().as_bytes(), b"\r\n"].concat()
}

fn unguessable() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Takes the field off a request. A viewer's is kept for its copies; a copy's leads to what was passed to it.
pub fn receive(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx) -> Option<Passed> {
    let first = session.req_header().headers.get(FIELD).cloned()?;
    session.req_header_mut().remove_header(&FIELD);
    if ctx.is_viewer() {
        ctx.hooks.call = Some(first);
        return None;
    }
    if matches!(ctx.role, Role::Page(..)) {
        // A page is another request, copied from the same bytes.
        return None;
    }
    let mut handed = shared.handed.0.lock();
    let found = handed.young.remove(&first).or_else(|| handed.old.remove(&first));
    // Its functions run again, so that it asks for what its viewer asked for.
    ctx.hooks.orphan = found.is_none();
    if let Some(canary) = found.as_ref().and_then(|passed| passed.canary.clone()) {
        ctx.snapshot = canary;
    }
    found
}

/// Leaves for the copy that is made next what this request became.
pub fn pass(shared: &Shared, session: &mut Session, ctx: &RequestCtx) {
    let is_canary = |served: &Served| served.behavior.canary.is_some();
    let Some(served) = ctx.served().filter(|served| served.changes() || is_canary(served)) else { return };
    let copied_as_received = session.as_http2().is_none();
    let id = match (&ctx.hooks.call, copied_as_received) {
        (Some(id), true) => id.clone(),
        (None, true) => return,
        (_, false) => {
            let Ok(id) = HeaderValue::from_str(&unguessable()) else { return };
            // A name and a value that are valid already cannot be refused.
            let _ = session.req_header_mut().insert_header(FIELD, id.clone());
            id
        }
    };
    let passed = Passed {
        behavior: served.behavior.name.clone(),
        edits: if copied_as_received { ctx.hooks.viewer_edits.clone() } else { Vec::new() },
        way: ctx.hooks.way.clone(),
        // What the viewer's request counted for ends with it.
        entered: Entered { entry: ctx.entered.entry.clone(), admitted: None },
        viewer: ctx.viewer,
        canary: is_canary(served).then(|| ctx.snapshot.clone()),
    };
    let mut handed = shared.handed.0.lock();
    if handed.young.len() >= HANDED_MAX / 2 {
        handed.old = std::mem::take(&mut handed.young);
    }
    handed.young.insert(id, passed);
}
