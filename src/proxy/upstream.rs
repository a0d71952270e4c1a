//! Upstream: which origin is asked next, and whether it is asked again.
//!
//! In: the behavior's origin or group, what was tried, what failed. Out: a peer, or a decision to retry, to move on, or to
//! answer in the origin's place. Never: connects by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::cache::policy;
use crate::config::compiled::{Action, Generated, OriginId, Upstream};
use crate::observe::Failure;
use crate::origin::adapter::Adapter;
use crate::origin::group::{self, Cause};
use crate::origin::peer::Needs;
use crate::origin::retry::{self, Attempt, Body, Reached};
use crate::origin::{self, OriginError, Pick};

use super::context::{Instead, RequestCtx, Role};
use super::prior::Trouble;
use super::shared::Shared;
use super::{about, asking, events, failure, pages, respond, tiers, uploads};

/// The peer for the next attempt.
pub async fn peer(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
    match ctx.trouble.take() {
        Some(Trouble::Unpicked(error)) => return Err(unpicked(session, ctx, &error)),
        Some(Trouble::Broke { error, connected, reused }) => {
            return Err(failed(session, ctx, error, connected, reused));
        }
        None => {}
    }
    uploads::hold(&ctx.upload);
    ctx.origin.answered = false;
    if ctx.origin.instead.is_none() {
        ctx.origin.status = 0;
        ctx.hooks.origin_failed = None;
    }
    ctx.origin.started.get_or_insert_with(Instant::now);
    match ctx.origin.instead.clone() {
        Some(Instead::Ready(answer)) => return adapter(session, ctx, &answer),
        Some(Instead::Status(status)) => {
            let words = ctx.origin.failure.map_or("the origin answered with an error", failure::origin_words);
            let answer = pages::instead(session, ctx, status, words).await;
            ctx.origin.instead = Some(Instead::Ready(answer.clone()));
            return adapter(session, ctx, &answer);
        }
        None => {}
    }
    let Some(current) = current(ctx) else {
        return Err(Error::explain(ErrorType::InternalError, "a redirect has no origin"));
    };
    if let Some(peer) = tiers::next(shared, session, ctx, current).await {
        return Ok(peer);
    }
    events::origin_request(&shared.guard.bodies, session, ctx, current).await?;
    if let Some(Instead::Ready(answer)) = ctx.origin.instead.clone() {
        return adapter(session, ctx, &answer);
    }
    let current = ctx.origin.current.unwrap_or(current);
    ctx.origin.attempts += 1;
    begin_body(ctx);
    let snapshot = ctx.snapshot.clone();
    let viewer_host = asking::viewer_host(session, ctx);
    let about = snapshot.origins.is_within(current).then(|| about::about(session, ctx));
    let hash = match &ctx.slot {
        Some(slot) => u64::from_le_bytes(slot.hash[..8].try_into().unwrap_or_default()),
        None => {
            let (host, target) = asking::address(session.req_header());
            Pick::unkeyed(host, target)
        }
    };
    let pick = Pick {
        hash,
        tried: &ctx.origin.tried,
        viewer_host: viewer_host.as_ref(),
        needs: Needs { upgrade: session.is_upgrade_req(), grpc: is_grpc(session.req_header()) },
        about: about.as_ref(),
    };
    let reroute = ctx.hooks.way.as_ref().and_then(|way| way.own.reroute.as_ref());
    let picked = match reroute {
        None => snapshot.origins.pick(current, &pick).await,
        Some(reroute) => snapshot.origins.pick_rerouted(current, reroute, &pick).await,
    };
    match picked {
        Ok(picked) => {
            ctx.origin.tried.push(picked.target.index);
            ctx.origin.target = Some(picked.target);
            ctx.origin.host = Some(picked.host);
            Ok(picked.peer)
        }
        Err(error) => Err(unpicked(session, ctx, &error)),
    }
}

/// A peer that serves `answer` from within this process, so that it is filtered and cached like any origin's.
fn adapter(session: &Session, ctx: &mut RequestCtx, answer: &Arc<Generated>) -> Result<Box<HttpPeer>> {
    begin_body(ctx);
    let picked = Adapter::generated("edge", answer).pick(asking::viewer_host(session, ctx).as_ref(), Arc::default());
    ctx.origin.target = None;
    ctx.origin.host = Some(picked.host);
    Ok(picked.peer)
}

/// What was read of the body is sent, and counted, again.
fn begin_body(ctx: &mut RequestCtx) {
    ctx.body_in = 0;
    ctx.ahead.begin();
}

/// No target could be chosen: retried at the next member, else an upstream error with the reason.
fn unpicked(session: &Session, ctx: &mut RequestCtx, error: &OriginError) -> Box<Error> {
    let kind = match error {
        OriginError::Name { .. } => Failure::OriginDns,
        _ => Failure::OriginUnavailable,
    };
    ctx.origin.failure = Some(kind);
    ctx.origin.error = error.to_string();
    let etype = if kind == Failure::OriginDns { ErrorType::Custom("dns") } else { ErrorType::Custom("unavailable") };
    let mut out = Error::create(etype, ErrorSource::Upstream, Some(error.to_string().into()), None);
    out.set_retry(after_failure(session, ctx, 502));
    out
}

/// The origin in force: the first of the group until something moved on.
pub fn current(ctx: &mut RequestCtx) -> Option<OriginId> {
    if ctx.origin.current.is_none() {
        let served = ctx.behavior.map(|id| ctx.snapshot.behavior(id))?;
        if let Some(chosen) = ctx.hooks.way.as_ref().and_then(|way| way.base) {
            ctx.origin.current = Some(chosen);
            return ctx.origin.current;
        }
        let first = match &served.behavior.action {
            Action::Forward(Upstream::Origin(id)) => *id,
            Action::Forward(Upstream::Group(id)) => *ctx.snapshot.config.groups[*id].members.first()?,
            Action::Redirect(_) => return None,
        };
        ctx.origin.current = Some(first);
    }
    ctx.origin.current
}

/// The next member of the group after `cause`, if the behavior has a group and the request may move on: its
/// method allows it, and its body can be sent again.
pub fn next_member(session: &Session, ctx: &RequestCtx, cause: Cause) -> Option<OriginId> {
    let served = ctx.behavior.map(|id| ctx.snapshot.behavior(id))?;
    let made = ctx.hooks.way.as_ref().and_then(|way| way.group.as_deref());
    let group = match (made, &served.behavior.action) {
        (Some(group), _) => group,
        // An origin that a function chose stands alone.
        (None, _) if ctx.hooks.way.as_ref().is_some_and(|way| way.base.is_some()) => return None,
        (None, Action::Forward(Upstream::Group(group))) => &ctx.snapshot.config.groups[*group],
        (None, _) => return None,
    };
    let current = ctx.origin.current.filter(|_| !ctx.tier.is_asking())?;
    if session.as_ref().retry_buffer_truncated() {
        return None;
    }
    let mut asked = ctx.origin.asked.clone();
    asked.push(current);
    group::next(group, &asked, cause, &session.req_header().method)
}

/// Moves on to another member; its attempts begin anew.
pub fn move_on(ctx: &mut RequestCtx, to: OriginId) {
    if let Some(from) = ctx.origin.current.replace(to) {
        ctx.origin.asked.push(from);
    }
    ctx.origin.attempt = 0;
    ctx.origin.tried.clear();
    if let Some(way) = &mut ctx.hooks.way {
        way.move_on(to);
    }
    // Functions that chose a group made the request for all its members: they do not run again.
    if ctx.hooks.chosen_group.as_ref().is_none_or(|group| !group.members.contains(&to)) {
        ctx.hooks.origin_edits.clear();
        ctx.hooks.request_body.clone_from(&ctx.hooks.asked_body);
    }
}

/// Decides after a failed attempt without an answer: `true` = go round again. Order: the same origin while attempts are
/// left, the next member, stale (Pingora serves it when nothing is retried), an answer in the origin's place.
pub fn after_failure(session: &Session, ctx: &mut RequestCtx, status: u16) -> bool {
    if ctx.origin.instead.is_some() || respond::begun(session) {
        return false;
    }
    if let Some(to) = next_member(session, ctx, Cause::Failed) {
        move_on(ctx, to);
        return true;
    }
    if stays(session, ctx) || keeps_stale(ctx) {
        return false;
    }
    place(session, ctx, status)
}

/// Whether a stale answer was found that stands in for a failing origin. Pingora finds out by itself, but not of what a node passes on.
pub fn stays(session: &Session, ctx: &RequestCtx) -> bool {
    ctx.bridges_errors() && session.cache.can_serve_stale_error()
}

/// Whether a failing origin leaves the stored answer alone: a background request refreshes one that still serves, and an
/// error in its place would be worse than a stale answer (RFC 5861 §3, §4).
pub fn keeps_stale(ctx: &RequestCtx) -> bool {
    matches!(ctx.role, Role::Revalidation(_)) && (ctx.cache.while_revalidate || ctx.cache.on_error)
}

/// What a status says of the member that was asked.
pub fn cause(status: u16) -> Cause {
    http::StatusCode::from_u16(status).map_or(Cause::Failed, Cause::Status)
}

/// Whether a stale answer stands in for what `error` says of the origin: it failed (RFC 5861 §4), and no other member is to be asked.
pub fn is_bridged(session: &Session, ctx: &RequestCtx, error: &Error) -> bool {
    let failed = match error.etype() {
        // A node's 504 may say that it has nothing stored: the origin comes after it.
        ErrorType::HTTPStatus(_) if ctx.tier.awaits_word() => false,
        // An answer in the origin's place is what the viewer is to get; a background request has what is stored stay.
        ErrorType::HTTPStatus(_) if ctx.origin.instead.is_some() && ctx.is_viewer() => false,
        // Its functions see it first: then it comes as an error of its own.
        ErrorType::HTTPStatus(_) if !ctx.tier.is_asking() && events::awaits_origin_response(ctx) => false,
        ErrorType::HTTPStatus(status) => is_failure(session, ctx, *status),
        _ => true,
    };
    failed && error.esource() == &ErrorSource::Upstream && ctx.bridges_errors()
}

fn is_failure(session: &Session, ctx: &RequestCtx, status: u16) -> bool {
    policy::is_failure(status) && next_member(session, ctx, cause(status)).is_none()
}

/// Whether origin-response functions are to see an answer of this status in whose place a stale one goes out. Without functions, Pingora
/// has come to that before any of its filters runs, on the same conditions.
pub fn leaves_stale(session: &Session, ctx: &RequestCtx, status: u16) -> bool {
    let may = session.cache.enabled() && session.cache.can_serve_stale_error() && session.response_written().is_none();
    may && ctx.bridges_errors() && events::awaits_origin_response(ctx) && is_failure(session, ctx, status)
}

/// Puts an answer for `status` in the origin's place, where that can be served and kept.
pub fn place(session: &Session, ctx: &mut RequestCtx, status: u16) -> bool {
    let method = &session.req_header().method;
    let safe = *method == Method::GET || *method == Method::HEAD;
    if !safe || session.is_upgrade_req() || ctx.origin.instead.is_some() {
        return false;
    }
    ctx.origin.instead = Some(Instead::Status(status));
    ctx.hooks.origin_failed = Some(true);
    true
}

/// Notes an attempt that failed and decides whether another follows. `reused`: the connection came from the pool.
pub fn failed(
    session: &mut Session,
    ctx: &mut RequestCtx,
    mut error: Box<Error>,
    connected: bool,
    reused: bool,
) -> Box<Error> {
    if let ErrorType::Custom(failure::FAILOVER | failure::ERROR_PAGE | failure::REPLACED | failure::UNCONFIRMED) =
        error.etype()
    {
        error.set_retry(!respond::begun(session));
        return error;
    }
    // A status of our own making (413, 508…) or a viewer that left is no origin's failure.
    if error.esource() != &ErrorSource::Upstream || matches!(error.etype(), ErrorType::HTTPStatus(_)) {
        error.set_retry(false);
        return error;
    }
    let mut error = match tiers::failed(session, ctx, error, reused) {
        Ok(moves_on) => return moves_on,
        Err(error) => error,
    };
    let (status, kind) = failure::classify(&error);
    ctx.origin.failure = Some(kind);
    ctx.origin.error = failure::words(&error);
    report(ctx, kind);
    if ctx.origin.answered {
        error.set_retry(false);
        return error;
    }
    ctx.origin.attempt += 1;
    let attempt = Attempt {
        method: &session.req_header().method,
        body: if session.as_ref().retry_buffer_truncated() { Body::Gone } else { Body::Replayable },
        reached: if connected { Reached::Sent } else { Reached::Nothing },
        reused,
        made: ctx.origin.attempt,
        allowed: attempts(ctx),
    };
    if ctx.origin.instead.is_none() && retry::may_retry(&attempt) {
        error.set_retry(true);
        return error;
    }
    let again = after_failure(session, ctx, status);
    error.set_retry(again);
    error
}

/// Attempts in all that the origin in force allows.
fn attempts(ctx: &RequestCtx) -> u32 {
    let described =
        ctx.hooks.way.as_ref().and_then(|way| way.own.reroute.as_ref()).and_then(|reroute| reroute.attempts);
    described.or_else(|| ctx.origin.current.map(|id| ctx.snapshot.origins.attempts(id))).unwrap_or(1)
}

/// Whether a function described the origin: what it did says nothing about the configured one's targets.
pub fn is_rerouted(ctx: &RequestCtx) -> bool {
    ctx.hooks.way.as_ref().and_then(|way| way.own.reroute.as_ref()).is_some_and(|reroute| !reroute.is_same_server())
}

fn report(ctx: &RequestCtx, kind: Failure) {
    if is_rerouted(ctx) {
        return;
    }
    if let (Some(origin), Some(target)) = (ctx.origin.current, &ctx.origin.target) {
        ctx.snapshot.origins.report(origin, target, outcome(kind));
    }
}

/// What a failure says of the target that was asked.
pub fn outcome(kind: Failure) -> origin::Outcome {
    match kind {
        Failure::OriginConnect | Failure::OriginTls => origin::Outcome::ConnectFailed,
        Failure::OriginTimeout => origin::Outcome::Timeout,
        _ => origin::Outcome::ReadFailed,
    }
}

pub fn is_grpc(request: &RequestHeader) -> bool {
    request.version == http::Version::HTTP_2
        && request
            .headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Time since `start`, when there is one.
pub fn since(start: Option<Instant>) -> Duration {
    start.map_or(Duration::ZERO, |start| start.elapsed())
}
