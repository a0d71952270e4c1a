//! Context: what is learned about one request on its way, left to right.
//!
//! In: each phase writes its own part. Out: the log record at the end. Never: decisions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use pingora::proxy::Session;

use crate::access::Denied;
use crate::access::sigv4::PayloadCheck;
use crate::behavior::compress::Encoder;
use crate::cache::object::Stamp;
use crate::config::compiled::{BehaviorId, Generated, OriginId};
use crate::limit::{Hold, Refused};
use crate::observe::{Failure, Outcome, TraceContext};
use crate::origin::{TargetId, TargetRef};

use super::ahead::Ahead;
use super::edge::RequestId;
use super::entering::Entered;
use super::hooking::HookNote;
use super::plan::Slot;
use super::prior::Trouble;
use super::snapshot::{Served, Snapshot};
use super::soft::{Revalidation, Waited};
use super::tiers::TierNote;
use super::uploads::Upload;

/// Everything about one request on the full path. Its shape is the pipeline's.
pub struct RequestCtx {
    pub snapshot: Arc<Snapshot>,
    pub id: RequestId,
    pub started: Instant,
    pub started_ms: u64,
    pub role: Role,
    pub viewer: Option<SocketAddr>,
    pub trace: Option<TraceContext>,
    pub behavior: Option<BehaviorId>,
    pub slot: Option<Slot>,
    pub cache: CacheNote,
    pub origin: OriginNote,
    /// Other nodes of the fleet: the one that asks, those that are asked.
    pub tier: TierNote,
    /// What became of an attempt made before this context was.
    pub trouble: Option<Trouble>,
    pub answer: AnswerNote,
    pub hooks: HookNote,
    /// Who asks, and what it counted for.
    pub entered: Entered,
    /// A lane before this one counted it, and found it one too many.
    pub refused: Option<Box<Refused>>,
    /// What its body must turn out to be.
    pub payload: Option<Box<PayloadCheck>>,
    /// It was read, and is what was signed.
    pub verified: bool,
    /// Room for it in memory.
    pub held: Option<Hold>,
    /// Why its body was not taken.
    pub denied: Option<Denied>,
    /// Bytes of its head as the viewer sent it; 0 until that is known.
    pub head_in: u64,
    pub body_in: u64,
    /// The beginning of its body, if functions see it.
    pub ahead: Ahead,
    /// Holds its body to a pace.
    pub upload: Option<Arc<Upload>>,
    /// Reused for the field values this request writes.
    pub scratch: String,
}

/// Why this request exists.
#[derive(Debug, Default)]
pub enum Role {
    /// A viewer waits for it.
    #[default]
    Viewer,
    /// Refreshes a stale object while viewers are served from it.
    Revalidation(Option<Revalidation>),
    /// Fetches an error page, at this path, through the behaviors of the request that failed.
    Page(String, Arc<Snapshot>),
}

/// What the cache said.
#[derive(Debug, Default)]
pub struct CacheNote {
    /// Why the cache took no part, or why the object found was not good enough.
    pub why: &'static str,
    /// What the judged object allows (RFC 5861).
    pub while_revalidate: bool,
    pub on_error: bool,
    /// A stale object was found, whatever became of it.
    pub found_stale: bool,
    /// The object found was good, but the request asked for a newer one.
    pub asked_for_new: bool,
    /// Nothing was looked up: the last answer could not be stored.
    pub bypassed: bool,
    /// What is stored under this URL varies.
    pub vary_found: bool,
    /// How the wait for the soft timeout ended, if there was one.
    pub soft: Option<Waited>,
    /// The soft timeout allows this object to be served stale at once.
    pub soft_expired: bool,
    /// The origin has just failed for another request, or keeps others waiting for too long: the object is served as it is.
    pub bridged: bool,
    /// The origin must confirm the object for this request by itself: nobody waits for another's answer.
    pub apart: bool,
    pub stored: bool,
    pub ttl_s: Option<i64>,
    pub age_s: Option<u64>,
    /// Fields of the 304 that confirmed the object.
    pub not_modified: Option<HeaderMap>,
}

/// Where the request went and what came back.
#[derive(Debug)]
pub struct OriginNote {
    /// The member of the group, or the origin, asked now.
    pub current: Option<OriginId>,
    pub asked: Vec<OriginId>,
    pub tried: Vec<TargetId>,
    pub target: Option<TargetRef>,
    pub host: Option<http::HeaderValue>,
    /// Attempts at the current origin, and in all.
    pub attempt: u32,
    pub attempts: u32,
    pub fetch_start: Stamp,
    pub started: Option<Instant>,
    pub asked_ms: u64,
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub status: u16,
    /// A header section arrived from the origin in force: no second attempt may follow.
    pub answered: bool,
    /// Answer to serve through the adapter lane instead of asking an origin (again).
    pub instead: Option<Instead>,
    /// The answer has no framing that could show a truncation (RFC 9112 §6.3, rule 8).
    pub close_delimited: bool,
    pub encoder: Option<Encoder>,
    pub failure: Option<Failure>,
    pub error: String,
}

/// An answer the edge makes in an origin's place; it is cached like one.
#[derive(Debug, Clone)]
pub enum Instead {
    /// The page or plain error for this status is still to be made.
    Status(u16),
    Ready(Arc<Generated>),
}

/// What the viewer was told.
#[derive(Debug, Default)]
pub struct AnswerNote {
    pub status: u16,
    pub outcome: Option<Outcome>,
    pub first_byte: Option<Duration>,
    pub failure: Option<Failure>,
    pub error: String,
    pub range: Option<(u64, u64)>,
    /// Nothing of it is what the viewer asked for (416).
    pub no_such_range: bool,
    pub content_type: Vec<u8>,
    pub content_length: Option<u64>,
}

// === impl RequestCtx ===
impl RequestCtx {
    pub fn new(snapshot: Arc<Snapshot>, now_ms: u64) -> Self {
        RequestCtx {
            snapshot,
            id: RequestId::random(),
            started: Instant::now(),
            started_ms: now_ms,
            role: Role::Viewer,
            viewer: None,
            trace: None,
            behavior: None,
            slot: None,
            cache: CacheNote::default(),
            origin: OriginNote::default(),
            tier: TierNote::default(),
            trouble: None,
            answer: AnswerNote::default(),
            hooks: HookNote::default(),
            entered: Entered::default(),
            refused: None,
            payload: None,
            verified: false,
            held: None,
            denied: None,
            head_in: 0,
            body_in: 0,
            ahead: Ahead::default(),
            upload: None,
            scratch: String::new(),
        }
    }

    /// The behavior in force; `None` before routing.
    pub fn served(&self) -> Option<&Arc<Served>> {
        self.behavior.map(|id| self.snapshot.behavior(id))
    }

    pub fn is_viewer(&self) -> bool {
        matches!(self.role, Role::Viewer)
    }

    /// Whether the object found stays in force when the origin fails. A revalidation that fails leaves what viewers are
    /// being served.
    pub fn bridges_errors(&self) -> bool {
        self.cache.on_error || !self.is_viewer() && self.cache.while_revalidate
    }
}

// === impl Role ===
impl Role {
    /// A subrequest carries its role in the context that spawned it; Pingora's own revalidations carry none.
    pub fn of(session: &mut Session) -> Role {
        let Some(sub) = session.subrequest_ctx.as_mut() else { return Role::Viewer };
        match sub.user_ctx_mut().and_then(|ctx| ctx.downcast_mut::<Role>()) {
            Some(role) => std::mem::take(role),
            None => Role::Revalidation(None),
        }
    }
}

// === impl OriginNote ===
impl Default for OriginNote {
    fn default() -> Self {
        OriginNote {
            current: None,
            asked: Vec::new(),
            tried: Vec::new(),
            target: None,
            host: None,
            attempt: 0,
            attempts: 0,
            fetch_start: Stamp(0),
            started: None,
            asked_ms: 0,
            connect: None,
            first_byte: None,
            status: 0,
            answered: false,
            instead: None,
            close_delimited: false,
            encoder: None,
            failure: None,
            error: String::new(),
        }
    }
}
