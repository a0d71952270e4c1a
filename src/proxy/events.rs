//! Events: the four places where functions run, and what becomes of what they did.
//!
//! In: the session at an event. Out: the request or answer changed, an answer in its place, or an error with AWS's status.
//! Never: runs where CloudFront does not run them (Developer Guide, "CloudFront events that can trigger a function"); a function's
//! failure is never stored.

use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};
use pingora::cache::CachePhase;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::behavior::{Answer, ResultType};
use crate::cache::store;
use crate::config::compiled::{Generated, OriginId};
use crate::hooks::{Api, Body, Edit, Event, Failure, OriginChange, Request, Response, limits};
use crate::limit::Held;

use super::ahead::Room;
use super::context::{Instead, RequestCtx};
use super::functions::Link;
use super::hooking::{self, HookNote, Ran};
use super::phases::now_ms;
use super::snapshot::Served;
use super::{answering, applying, asking, failure, pages, record, rerouting, respond, views};

/// Runs the viewer-request functions; `Some` = the viewer is answered with this. What they change takes part in the cache key.
pub async fn viewer_request(held: &Arc<Held>, session: &mut Session, ctx: &mut RequestCtx) -> Result<Option<Answer>> {
    let Some(served) = chains(ctx, Event::ViewerRequest) else { return Ok(None) };
    if !ctx.is_viewer() && !ctx.hooks.orphan {
        // A background request was shown to them already; a page is nobody's request.
        return Ok(None);
    }
    let ran = match ctx.hooks.request_ran.take() {
        Some(ran) => ran,
        None => {
            let links = &served.chains.viewer_request;
            let body = body(held, session, ctx, (Event::ViewerRequest, links)).await?;
            let request = views::viewer_request(session, ctx, body);
            run(ctx, links, Event::ViewerRequest, (request, None)).await
        }
    };
    match ran {
        Ran::Go(edits, _) => {
            let before = asking::address(session.req_header()).1.to_owned();
            ctx.hooks.viewer_edits.clone_from(&edits);
            let asked = applying::viewer_request(session.req_header_mut(), edits)?;
            if asked.target {
                ctx.hooks.asked_target.get_or_insert(before);
            }
            if let Some(body) = asked.body {
                ctx.hooks.ask_with(body);
            }
            for change in &asked.origins {
                go(ctx, change)?;
            }
            Ok(None)
        }
        Ran::Answer(answer, api) => {
            ctx.hooks.result = Some(api.generated());
            Ok(Some(Answer {
                status: answer.status,
                headers: answer.headers,
                body: answer.body,
                result: ResultType::Miss,
                failure: None,
            }))
        }
        Ran::Fail(failed, api) => Err(fails(&mut ctx.hooks, failed, api)),
    }
}

/// Runs the origin-request functions for `origin`, once an origin: what they answer is stored like an origin's answer.
pub async fn origin_request(
    held: &Arc<Held>,
    session: &mut Session,
    ctx: &mut RequestCtx,
    origin: OriginId,
) -> Result<()> {
    let Some(served) = chains(ctx, Event::OriginRequest) else { return Ok(()) };
    let chosen = ctx.hooks.chosen_group.as_ref().is_some_and(|group| group.members.contains(&origin));
    if ctx.hooks.ran_for == Some(origin) || chosen {
        return Ok(());
    }
    let links = &served.chains.origin_request;
    let body = body(held, session, ctx, (Event::OriginRequest, links)).await?;
    // Which target is asked is not decided yet; what it is called is.
    let host = asking::viewer_host(session, ctx);
    ctx.origin.host = ctx.snapshot.origins.host(origin, host.as_ref());
    let request = views::origin_request(session, ctx, origin, body)?;
    ctx.hooks.ran_for = Some(origin);
    match run(ctx, links, Event::OriginRequest, (request, None)).await {
        Ran::Go(edits, _) => {
            for edit in &edits {
                match edit {
                    Edit::Body(data) => ctx.hooks.request_body = Some(data.clone()),
                    Edit::Origin(change) => {
                        if let Some(base) = go(ctx, change)? {
                            // It was chosen by the functions: they do not run again for it.
                            ctx.origin.current = Some(base);
                            ctx.hooks.ran_for = Some(base);
                            ctx.hooks.chosen_group = ctx.hooks.way.as_ref().and_then(|way| way.group.clone());
                        }
                    }
                    _ => {}
                }
            }
            ctx.hooks.origin_edits = edits;
            Ok(())
        }
        Ran::Answer(answer, api) => {
            instead(ctx, answer);
            ctx.hooks.origin_failed = Some(false);
            ctx.hooks.result = Some(api.generated());
            Ok(())
        }
        Ran::Fail(failed, api) => Err(fails(&mut ctx.hooks, failed, api)),
    }
}

/// Runs the origin-response functions: what they make of the answer is what is stored. An answer whose body they wrote is served
/// through the adapter lane, so that every status and framing is right.
pub async fn origin_response(session: &mut Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    let Some(served) = chains(ctx, Event::OriginResponse) else { return Ok(()) };
    if ctx.origin.instead.is_some() || response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let confirmed = response.status == StatusCode::NOT_MODIFIED;
    let ended = ends_here(session, response);
    let message = (views::asked(session, ctx)?, Some(views::response(response)));
    match run(ctx, &served.chains.origin_response, Event::OriginResponse, message).await {
        Ran::Go(edits, _) => {
            let before = response.status;
            let changed = applying::response(response, edits)?;
            if confirmed {
                // The stored answer keeps its status and body.
                return Ok(());
            }
            if let Some(status) = changed.status {
                response.set_status(status)?;
            }
            ctx.hooks.origin_failed = Some(before.as_u16() >= 400);
            let Some(body) = changed.body.or_else(|| emptied(response.status, ended)) else {
                return frame(response, before, changed.coding_set);
            };
            // A request that cannot be sent again keeps its answer, with this body in place of the one that comes.
            if session.as_ref().retry_buffer_truncated() && !session.cache.enabled() && !ended {
                respond::edit(response, |headers| applying::reframe(headers, &body, changed.coding_set))?;
                ctx.hooks.viewer_body = Some(body);
                return Ok(());
            }
            replace(session, response, ctx, body, changed.coding_set)
        }
        Ran::Answer(..) => Ok(()),
        Ran::Fail(failed, api) => Err(fails(&mut ctx.hooks, failed, api)),
    }
}

/// Whether there are origin-response functions that are still to see what the origin answered.
pub fn awaits_origin_response(ctx: &RequestCtx) -> bool {
    chains(ctx, Event::OriginResponse).is_some() && ctx.hooks.origin_failed.is_none()
}

/// Runs the origin-response functions on an answer that failover, or a stale one, leaves behind: they see it, and nothing of it is served.
pub async fn left_behind(session: &mut Session, response: &ResponseHeader, ctx: &mut RequestCtx) {
    let mut response = response.clone();
    // Whatever they did, or whether they failed, another answer is served.
    let _ = origin_response(session, &mut response, ctx).await;
    ctx.origin.instead = None;
    (ctx.hooks.answered, ctx.hooks.origin_failed) = (false, Some(true));
    (ctx.hooks.result, ctx.hooks.failed) = (None, None);
}

/// Runs the viewer-response functions, on hits as well; what they change is never stored. `true` = they ran.
pub async fn viewer_response(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestCtx,
) -> Result<bool> {
    let Some(served) = chains(ctx, Event::ViewerResponse) else { return Ok(false) };
    let failed = failed(session, ctx, response.status) || ctx.answer.no_such_range;
    if !ctx.is_viewer() || ctx.tier.asked.is_some() || !is_shown(response.status, failed) {
        return Ok(false);
    }
    let ended = ends_here(session, response);
    let ran = match ctx.hooks.response_ran.take() {
        Some(ran) => ran,
        None => {
            let message = (views::viewer_request(session, ctx, None), Some(views::response(response)));
            run(ctx, &served.chains.viewer_response, Event::ViewerResponse, message).await
        }
    };
    match ran {
        Ran::Go(edits, _) => {
            if let Some(body) = show(response, edits, ended)? {
                ctx.answer.range = None;
                ctx.hooks.viewer_body = Some(body);
            }
        }
        Ran::Answer(..) => {}
        Ran::Fail(failed, api) => refuse(session, response, ctx, failed, api)?,
    }
    Ok(true)
}

/// Whether nothing can follow this head: the status has no body, or Pingora has seen the end of an empty one. (What the cache sends
/// is ended by its body, also by an empty one.)
fn ends_here(session: &Session, response: &ResponseHeader) -> bool {
    let stored = matches!(session.cache.phase(), CachePhase::Hit | CachePhase::Stale | CachePhase::StaleUpdating);
    let empty = response.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
    bodiless(response.status) || empty && !stored
}

/// Whether no body follows an answer of this status, whoever wrote one.
pub fn bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether the answer that is on its way had an origin's error behind it, or is one of the edge's own.
pub fn failed(session: &Session, ctx: &RequestCtx, status: StatusCode) -> bool {
    match session.cache.maybe_cache_meta().and_then(store::stored) {
        Some(stored) => stored.meta().failed(),
        None => ctx.hooks.failed_before(status),
    }
}

/// Whether viewer-response functions see an answer; `failed`: its origin gave it a status of 400 or above. What a function made of that,
/// or a status of 400 or above that a function wrote, changes nothing (Developer Guide, "Restrictions on edge functions").
pub fn is_shown(status: StatusCode, failed: bool) -> bool {
    !failed && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Puts on an answer's head what viewer-response functions made of it. `Some` = the body that takes the place of the one that comes,
/// when there may be one: a part of that one it is no longer.
pub fn show(response: &mut ResponseHeader, edits: Vec<Edit>, ended: bool) -> Result<Option<Bytes>> {
    let before = response.status;
    let changed = applying::response(response, edits)?;
    // The status of a part, or of "you have it", belongs to the body that follows, or does not.
    let fixed = matches!(response.status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(status) = changed.status.filter(|_| !fixed) {
        response.set_status(status)?;
    }
    let body = changed.body.filter(|_| !ended).or_else(|| emptied(response.status, ended || fixed));
    let Some(body) = body else {
        frame(response, before, changed.coding_set)?;
        return Ok(None);
    };
    if response.status == StatusCode::PARTIAL_CONTENT {
        response.set_status(StatusCode::OK)?;
        let kind = response.headers.get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/byteranges")) {
            response.remove_header(&header::CONTENT_TYPE);
        }
    }
    respond::edit(response, |headers| applying::reframe(headers, &body, changed.coding_set))?;
    Ok(Some(body))
}

/// What takes the place of the body that follows a 205: it has none, but unlike a 204 is framed as any other (RFC 9110 §15.3.6).
fn emptied(status: StatusCode, ended: bool) -> Option<Bytes> {
    (status == StatusCode::RESET_CONTENT && !ended).then(Bytes::new)
}

/// Says of an answer that its status `before` ended with its head, and which now may have a body, that it has none.
fn frame(response: &mut ResponseHeader, before: StatusCode, coding_set: bool) -> Result<()> {
    if bodiless(before) && !bodiless(response.status) {
        respond::edit(response, |headers| applying::reframe(headers, &Bytes::new(), coding_set))?;
    }
    Ok(())
}

/// Makes an answer that is on its way into the error that a failed viewer-response function means. (An error from Pingora's filter
/// would be answered by Pingora itself.)
fn refuse(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestCtx,
    failed: Failure,
    api: Api,
) -> Result<()> {
    let error = fails(&mut ctx.hooks, failed, api);
    let answer = respond::error_answer(session, ctx, failure::classify(&error).0, &failure::words(&error));
    become_error(session, response, ctx, &error, answer)
}

/// The same where an origin-response function failed on the 304 that would have confirmed what is on its way: as after its failure on any
/// other answer of the origin, an error page may stand in. Nobody reads what a background request gets.
pub async fn refuse_confirmed(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestCtx,
    error: &Error,
) -> Result<()> {
    if !ctx.is_viewer() {
        return Ok(());
    }
    let status = failure::classify(error).0;
    let answer = match pages::page(session, ctx, status).await {
        Some(page) => pages::answer(&page),
        None => respond::error_answer(session, ctx, status, &failure::words(error)),
    };
    become_error(session, response, ctx, error, answer)?;
    answering::note(response, ctx);
    Ok(())
}

fn become_error(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestCtx,
    error: &Error,
    answer: Answer,
) -> Result<()> {
    let ended = ends_here(session, response);
    respond::fail(ctx, crate::observe::Failure::Internal, failure::words(error));
    ctx.answer.outcome = Some(crate::observe::Outcome::Error);
    response.set_status(answer.status)?;
    let body = if ended { Bytes::new() } else { answer.body };
    respond::edit(response, |headers| {
        headers.clear();
        headers.extend(answer.headers);
        applying::reframe(headers, &body, false);
    })?;
    response.insert_header(header::DATE, httpdate::fmt_http_date(std::time::SystemTime::now()))?;
    response.insert_header(header::VIA, ctx.snapshot.signature.via.clone())?;
    ctx.hooks.viewer_body = (!ended).then_some(body);
    respond::dress(session, ctx, response, ResultType::Error, None, "function")
}

/// Puts the body that a viewer-response function wrote in the place of the one that comes.
pub fn viewer_body(ctx: &mut RequestCtx, body: &mut Option<Bytes>) {
    if let Some(written) = &ctx.hooks.viewer_body {
        *body = Some(if std::mem::replace(&mut ctx.hooks.body_sent, true) { Bytes::new() } else { written.clone() });
    }
}

/// Puts the body that a request function wrote in the place of the viewer's.
pub fn request_body(ctx: &HookNote, body: &mut Option<Bytes>, end: bool) {
    if let Some(written) = &ctx.request_body {
        // One piece, at the end: what the viewer sends is read to its end and dropped.
        *body = Some(if end { written.clone() } else { Bytes::new() });
    }
}

async fn run(ctx: &mut RequestCtx, links: &[Link], event: Event, message: (Request, Option<Response>)) -> Ran {
    let id = ctx.id;
    hooking::run(links, event, id.as_str(), now_ms(), message, &mut ctx.hooks).await
}

/// The behavior in force, when it has functions at `event`.
fn chains(ctx: &RequestCtx, event: Event) -> Option<Arc<Served>> {
    ctx.served().filter(|served| !served.chains.of(event).is_empty()).cloned()
}

/// What functions of `event` see of the body, where one of `links` sees it.
async fn body(
    held: &Arc<Held>,
    session: &mut Session,
    ctx: &mut RequestCtx,
    (event, links): (Event, &[Link]),
) -> Result<Option<Body>> {
    if !links.iter().any(|link| link.include_body) {
        return Ok(None);
    }
    let most = limits::body_seen(event);
    if let Some(read) = &ctx.hooks.request_body {
        // It was read to check its signature, or a viewer-request function wrote it: the origin gets it.
        return Ok(Some(views::beginning(read, most)));
    }
    asking::bound_body(session, ctx, asking::announced(session.req_header()).unwrap_or(0))?;
    let snapshot = ctx.snapshot.clone();
    let address = ctx.viewer.unwrap_or(record::NOBODY).ip();
    let room = Room { held, address, limits: &snapshot.config.limits };
    let read = ctx.ahead.read(session, &ctx.upload, most, room).await?;
    // Of a body that did not say its length, what functions may see can be more than it may have.
    let came = read.as_ref().map_or(0, |body| body.data.len() as u64 + u64::from(body.truncated));
    asking::bound_body(session, ctx, came)?;
    Ok(read)
}

/// Notes where a function sends the request, on top of what functions before it said; the configured origin it chose, if it did.
fn go(ctx: &mut RequestCtx, change: &OriginChange) -> Result<Option<OriginId>> {
    let next = rerouting::way(change, &ctx.snapshot.config).ok_or_else(|| {
        Error::explain(ErrorType::HTTPStatus(502), "a function chose an origin that is not configured")
    })?;
    let base = next.base;
    ctx.hooks.way = Some(ctx.hooks.way.take().unwrap_or_default().then(next));
    Ok(base)
}

/// Serves `answer` in the origin's place.
fn instead(ctx: &mut RequestCtx, answer: Generated) {
    ctx.origin.instead = Some(Instead::Ready(Arc::new(answer)));
    ctx.hooks.answered = true;
}

fn replace(
    session: &Session,
    response: &ResponseHeader,
    ctx: &mut RequestCtx,
    body: Bytes,
    coding_set: bool,
) -> Result<()> {
    if session.as_ref().retry_buffer_truncated() {
        let what =
            "a function replaced the body of an answer to a request whose own body is too large to be sent again";
        return Err(Error::explain(ErrorType::HTTPStatus(502), what));
    }
    let mut headers = response.headers.clone();
    applying::reframe(&mut headers, &body, coding_set);
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    instead(ctx, Generated { status: response.status, headers, body });
    let mut error = Error::new_up(ErrorType::Custom(failure::REPLACED));
    error.set_retry(true);
    Err(error)
}

/// The error that a failed call becomes.
fn fails(note: &mut HookNote, failed: Failure, api: Api) -> Box<Error> {
    note.result = Some(failed.result_type(api));
    let error = Error::explain(ErrorType::HTTPStatus(failed.status()), told(&failed, api));
    note.failed = Some(failed);
    error
}

/// What a viewer is told: never a function's own words.
fn told(failed: &Failure, api: Api) -> &'static str {
    match (failed, api) {
        (Failure::Validation(_), Api::LambdaEdge) => "the Lambda function returned an invalid result",
        (Failure::Validation(_), _) => "the function returned an invalid result",
        (Failure::Execution(_) | Failure::Memory(_), Api::LambdaEdge) => "the Lambda function failed",
        (Failure::Execution(_) | Failure::Memory(_), _) => "the function failed",
        (_, Api::LambdaEdge) => "the Lambda function reached a limit",
        (_, _) => "the function reached a limit",
    }
}
