//! Asked: a request of another node of the fleet.
//!
//! In: a request that says it is a node's. Out: that it is one, and the cache key it came with; the word on what was done for it.
//! Never: a node's rights for a viewer; what was done where the viewer asked (access, limits, viewer functions, the log) a second time.

use std::net::SocketAddr;

use http::{HeaderValue, StatusCode, Version};
use pingora::Result;
use pingora::proxy::Session;

use crate::behavior::{Answer, ResultType, compress};
use crate::cache::key;
use crate::fleet::peering::{self, Ask, Did, Line};
use crate::observe::TierResult;
use crate::origin::tier::Mode;

use super::context::{RequestCtx, Role};
use super::edge::RequestId;
use super::phases::now_ms;
use super::plan::Slot;
use super::shared::Shared;
use super::{asking, entering, events, hooking, keeping, respond, soft};

/// Why the cache takes no part where this node has not seen the purges that the asking one has.
const BEHIND: &str = "behind";

/// The word for a request that wants what is stored, where nothing is.
pub const NOTHING: &str = "only-if-cached";

/// Takes the field off a request. One that a node of this fleet signed, for this node, a moment ago, is that node's from here on; any
/// other is a viewer's.
/// `true` = it had the field, on a connection whose front left it to us.
pub fn receive(session: &mut Session, ctx: &mut RequestCtx) -> bool {
    let request = session.req_header();
    let mut lines = request.headers.get_all(peering::FIELD).iter();
    let (Some(text), more) = (lines.next().cloned(), lines.next().is_some()) else { return false };
    let left = ctx.is_viewer() && request.version != Version::HTTP_2;
    // A copy of an HTTP/2 request would not have it any more; nodes ask with HTTP/1.1.
    let mut said = text.to_str().ok().filter(|_| !more && request.version == Version::HTTP_11);
    let fleet = &ctx.snapshot.config.fleet;
    if matches!(ctx.role, Role::Page(..)) {
        // Another request, copied from the same bytes.
        said = None;
    }
    let (host, target) = asking::address(request);
    let line = Line { method: request.method.as_str(), host, target };
    let verified = said
        .zip(fleet.secret.as_ref())
        .map(|(text, secret)| Ask::verify(text, secret.expose(), &line, &fleet.node, now_ms()));
    session.req_header_mut().remove_header(&peering::FIELD);
    match verified {
        Some(Ok(ask)) => {
            ctx.viewer = Some(SocketAddr::new(ask.viewer, 0));
            if let Some(id) = RequestId::parse(&ask.id) {
                ctx.id = id;
            }
            ctx.tier.asked = Some(Box::new(ask));
        }
        Some(Err(error)) => {
            log::debug!("a request that is no node's: {error}");
            ctx.tier.answered = Some(TierResult::Forged);
        }
        None => {}
    }
    left
}

/// Whether a viewer whose request had the field, which no lane looked at, asks too often.
pub fn early(shared: &Shared, ctx: &RequestCtx) -> Option<Answer> {
    let viewer = ctx.viewer?;
    let refused = entering::early(shared, &ctx.snapshot, || viewer.ip()).err()?;
    Some(super::denying::refused(&refused))
}

/// Puts a node's request where its viewer's would be before the cache is looked up; `true` = it is answered.
pub async fn enter(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
    let Some(ask) = &ctx.tier.asked else { return Ok(false) };
    let (mode, covered) = (ask.mode, shared.seen.covers(&ask.seen));
    let named = |name: &str| ctx.snapshot.served.iter().position(|served| served.behavior.name == name);
    let Some(id) = named(&ask.behavior) else {
        let answer = respond::error_answer(session, ctx, 503, "this node has no such behavior");
        respond::answer(session, ctx, answer, "unrouted").await?;
        return Ok(true);
    };
    let key = ask.key.clone();
    ctx.behavior = Some(id);
    let behavior = ctx.snapshot.behavior(id).behavior.clone();
    let request = session.req_header();
    let why = keeping::bypass(&behavior, &request.method, session.is_upgrade_req(), &request.headers);
    ctx.cache.why = why.or((!covered).then_some(BEHIND)).unwrap_or("");
    if ctx.cache.why.is_empty() {
        let coding = behavior.compress.as_ref().and_then(|rule| compress::negotiate(rule, &request.headers));
        ctx.slot = Some(Slot { hash: key::hash(&key), key, coding });
    } else if mode == Mode::Cached {
        return nothing(session, ctx).await;
    }
    if ctx.is_viewer() && mode == Mode::Fill {
        soft::give_time(shared, session, ctx).await;
    }
    Ok(false)
}

/// Answers that nothing is stored (RFC 9111, section 5.2.1.7).
pub async fn nothing(session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
    let answer = respond::error_answer(session, ctx, 504, "nothing is stored for this request");
    respond::answer(session, ctx, answer, NOTHING).await?;
    Ok(true)
}

/// Whether only what is stored is asked for.
pub fn wants_stored(ctx: &RequestCtx) -> bool {
    ctx.tier.asked.as_ref().is_some_and(|ask| ask.mode == Mode::Cached)
}

/// What the asking node is told of what was done; `None` = a viewer asks.
pub fn told(
    session: &Session,
    ctx: &mut RequestCtx,
    status: StatusCode,
    result: ResultType,
    why: &str,
) -> Option<HeaderValue> {
    ctx.tier.asked.as_ref()?;
    let (did, counted) = match result {
        ResultType::Hit => (Did::Hit, TierResult::Hit),
        _ if why == NOTHING => (Did::Nothing, TierResult::Nothing),
        // A function's failure, or a page for an origin's answer, is what there is.
        ResultType::Error if ctx.origin.answered && ctx.origin.failure.is_none() => (Did::Fill, TierResult::Fill),
        ResultType::Error => (Did::Failed, TierResult::Failed),
        _ => (Did::Fill, TierResult::Fill),
    };
    ctx.tier.answered = Some(counted);
    let masked = hooking::masks(events::failed(session, ctx, status), status);
    let masked = if masked { "; masked=1" } else { "" };
    HeaderValue::from_str(&format!("v1; node={}; did={}{masked}", ctx.snapshot.config.fleet.node, did.as_str())).ok()
}
