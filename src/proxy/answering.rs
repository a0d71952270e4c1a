//! Answering: the origin's answer on its way to cache and viewer.
//!
//! In: what the origin, or the cache, answered. Out: the answer as it is stored, and as the viewer gets it. Never: storage.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use pingora::cache::{CachePhase, NoCacheReason};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::proxy::{MultiRangeInfo, RangeType};
use pingora::{Error, ErrorType, Result};

use crate::behavior::ResultType;
use crate::behavior::compress::{self, Encoder};
use crate::cache::conditional::{self, Condition};
use crate::cache::policy;
use crate::cache::range::{self, Ranges};
use crate::cache::status::{self, CacheStatus, FwdReason, Outcome as StatusOutcome};
use crate::fleet::peering::FIELD;
use crate::observe::Outcome;
use crate::origin;

use super::context::RequestCtx;
use super::{failure, keeping, respond};

/// Ranges one request may ask for; more are answered with the whole (RFC 9110 §14.2 allows it).
const RANGES_MAX: usize = 32;

/// Cleans the origin's header section and decides on compression, before anything is stored.
pub fn receive(session: &Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    respond::edit(response, |fields| {
        origin::response::uncode(fields);
        fields.remove(FIELD);
    })?;
    let head_asked = session.req_header().method == Method::HEAD && !session.cache.enabled();
    let bodiless = origin::response::bodiless(head_asked, response.status);
    // RFC 9112 §6.3 rule 8: only the connection's end ends it, so a truncation cannot be seen.
    ctx.origin.close_delimited = !bodiless
        && response.version != Version::HTTP_2
        && !response.headers.contains_key(header::CONTENT_LENGTH)
        && !response.headers.contains_key(header::TRANSFER_ENCODING);
    // Where they are announced: nothing can be written between what the encoder holds back and trailers.
    let trailers = response.headers.contains_key(header::TRAILER);
    let pop = ctx.snapshot.config.pop.code.clone();
    let version = response.version;
    let status = response.status;
    respond::edit(response, |fields| {
        origin::response::clean(fields, status, version, &pop, SystemTime::now());
        status::sift(fields);
    })?;
    origin::response::length(&response.headers)
        .map_err(|e| Error::because(ErrorType::InvalidHTTPHeader, "origin", e).into_up())?;
    respond::edit(response, |fields| origin::response::unframe(fields, status))?;
    let Some(served) = ctx.behavior.map(|id| ctx.snapshot.clone().behavior(id).behavior.clone()) else { return Ok(()) };
    if let (Some(compression), Some(slot)) = (&served.compress, &ctx.slot) {
        let method = if session.cache.enabled() { &Method::GET } else { &session.req_header().method };
        if compress::eligible(compression, response.status, &response.headers, method) {
            match slot.coding.filter(|_| !trailers) {
                Some(coding) => {
                    ctx.origin.encoder = Some(
                        Encoder::new(coding).map_err(|e| Error::because(ErrorType::InternalError, "compress", e))?,
                    );
                    respond::edit(response, |fields| compress::rewrite(fields, coding))?;
                    response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
                }
                None => respond::edit(response, compress::mark_negotiated)?,
            }
        }
    }
    Ok(())
}

/// Keeps the fields of the 304 that confirmed a stored answer, cleaned like any answer's. One that is about another answer
/// changes nothing of the stored one (RFC 9111 §4.3.4).
pub fn confirm(session: &Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    let (status, version) = (response.status, response.version);
    let pop = ctx.snapshot.config.pop.code.clone();
    respond::edit(response, |fields| {
        origin::response::clean(fields, status, version, &pop, SystemTime::now());
        status::sift(fields);
    })?;
    response.remove_header(&FIELD);
    ctx.cache.not_modified = Some(response.headers.clone());
    let stored = session.cache.maybe_cache_meta().map(|meta| meta.headers());
    if stored.is_some_and(|stored| !policy::selects(stored, &response.headers)) {
        respond::edit(response, http::HeaderMap::clear)?;
    }
    Ok(())
}

/// Compresses the body on its way into the cache.
pub fn encode(ctx: &mut RequestCtx, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    let Some(encoder) = ctx.origin.encoder.as_mut() else { return Ok(()) };
    let failed = |e| Error::because(ErrorType::InternalError, "compress", e);
    let mut out = match body.take() {
        Some(data) if !data.is_empty() => encoder.write(&data).map_err(failed)?,
        _ => Bytes::new(),
    };
    if end && let Some(encoder) = ctx.origin.encoder.take() {
        let rest = encoder.finish().map_err(failed)?;
        out = if out.is_empty() { rest } else { [out, rest].concat().into() };
    }
    *body = Some(out);
    Ok(())
}

/// Trailers end a body that the encoder has not ended: what is compressed so far is no whole answer.
pub fn trailer(ctx: &RequestCtx) -> Result<()> {
    match ctx.origin.encoder {
        Some(_) => {
            Err(Error::explain(ErrorType::InternalError, "trailers after a body that is being compressed").into_up())
        }
        None => Ok(()),
    }
}

/// Whether the viewer has this representation already (RFC 9110 §13.2.2, the part a cache evaluates).
pub fn not_modified(session: &Session, response: &ResponseHeader) -> bool {
    let request = session.req_header();
    let (etag, modified) = validators(response);
    conditional::check(&request.headers, &request.method, response.status.as_u16(), etag, modified)
        == Condition::NotModified
}

fn validators(response: &ResponseHeader) -> (Option<&[u8]>, Option<&[u8]>) {
    let value = |name| response.headers.get(name).map(|v: &http::HeaderValue| v.as_bytes());
    (value(header::ETAG), value(header::LAST_MODIFIED))
}

/// The error that has the origin asked again where a 304 confirmed nothing: Pingora would serve what is stored as confirmed. Past the
/// cache, the next question has the viewer's own conditions.
pub fn unconfirmed(session: &mut Session, ctx: &RequestCtx) -> Option<Box<Error>> {
    let mismatch = NoCacheReason::Custom(keeping::MISMATCH);
    if session.cache.phase() != CachePhase::RevalidatedNoCache(mismatch) {
        return None;
    }
    session.cache.disable(mismatch);
    session.upstream_headers_mutated_for_cache = false;
    let mut error = failure::again(failure::UNCONFIRMED);
    // What a background request would get nobody reads.
    error.set_retry(ctx.is_viewer());
    Some(error)
}

/// Cuts a complete answer to the ranges the viewer asked for.
pub fn range(session: &Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) -> RangeType {
    let request = session.req_header();
    if response.status != StatusCode::OK || !request.headers.contains_key(header::RANGE) {
        return RangeType::None;
    }
    let length =
        response.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let Some(total) = length else { return RangeType::None };
    let (etag, modified) = validators(response);
    let date = response.headers.get(header::DATE).map(|date| date.as_bytes());
    // A coding of our own makes other bytes of one version each time: no date tells those apart.
    let recoded = ctx.served().is_some_and(|served| served.behavior.compress.is_some())
        && compress::may_be_ours(&response.headers);
    let modified = modified.filter(|modified| !recoded && range::is_strong(modified, date));
    let asked = range::resolve(&request.headers, &request.method, total, etag, modified, RANGES_MAX);
    match cut(response, ctx, asked, total) {
        Ok(kind) => kind,
        Err(_) => RangeType::None,
    }
}

fn cut(response: &mut ResponseHeader, ctx: &mut RequestCtx, asked: Ranges, total: u64) -> Result<RangeType> {
    let size = |range: &std::ops::Range<u64>| range.start as usize..range.end as usize;
    Ok(match asked {
        Ranges::Whole => RangeType::None,
        Ranges::One(one) => {
            response.set_status(StatusCode::PARTIAL_CONTENT)?;
            response.insert_header(header::CONTENT_LENGTH, one.end - one.start)?;
            response.insert_header(header::CONTENT_RANGE, range::content_range(&one, total))?;
            ctx.answer.range = Some((one.start, one.end - 1));
            RangeType::Single(size(&one))
        }
        Ranges::Many(many) => {
            let mut parts = MultiRangeInfo::new(many.iter().map(size).collect());
            if let Some(kind) = response.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) {
                parts.set_content_type(kind.to_owned());
            }
            parts.set_total_length(total as usize);
            response.set_status(StatusCode::PARTIAL_CONTENT)?;
            response.insert_header(header::CONTENT_LENGTH, parts.calculate_multipart_length())?;
            response
                .insert_header(header::CONTENT_TYPE, format!("multipart/byteranges; boundary={}", parts.boundary))?;
            response.remove_header(&header::CONTENT_RANGE);
            RangeType::Multi(parts)
        }
        Ranges::Unsatisfiable => {
            response.set_status(StatusCode::RANGE_NOT_SATISFIABLE)?;
            response.insert_header(header::CONTENT_LENGTH, 0)?;
            response.insert_header(header::CONTENT_RANGE, range::unsatisfied(total))?;
            response.remove_header(&header::CONTENT_TYPE);
            response.remove_header(&header::CONTENT_ENCODING);
            response.remove_header(&header::TRANSFER_ENCODING);
            ctx.answer.no_such_range = true;
            RangeType::Invalid
        }
    })
}

/// The viewer's header section: what the cache did, the response headers policy, the edge's own fields.
pub fn send(session: &mut Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    let phase = session.cache.phase();
    let (outcome, status, result, why) = classify(phase, ctx);
    ctx.answer.outcome = Some(outcome);
    if !matches!(outcome, Outcome::Hit | Outcome::Stale) {
        ctx.cache.age_s = None;
    }
    ctx.cache.why = match &status {
        StatusOutcome::Fwd(reason) if why.is_empty() => reason.as_str(),
        _ => why,
    };
    let snapshot = ctx.snapshot.clone();
    let hit = matches!(status, StatusOutcome::Hit);
    // Pingora may have decided against it after the answer was admitted.
    let stored = ctx.cache.stored && !hit && session.cache.enabled();
    let words = CacheStatus {
        pop: &snapshot.config.pop.code,
        outcome: status,
        ttl_s: (hit || stored).then_some(ctx.cache.ttl_s).flatten(),
        stored,
        collapsed: hit && session.cache.lock_duration().is_some(),
        fwd_status: (!hit && ctx.origin.status != 0).then_some(ctx.origin.status),
        key: None,
        detail: (!why.is_empty()).then_some(why),
    };
    let chunks_known = session.req_header().version != Version::HTTP_10;
    if !chunks_known || response.headers.contains_key(header::CONTENT_LENGTH) {
        response.remove_header(&header::TRANSFER_ENCODING);
    }
    if !chunks_known && !response.headers.contains_key(header::CONTENT_LENGTH) {
        // Only the connection's end can end this body.
        session.set_keepalive(None);
    }
    respond::dress(session, ctx, response, result, Some(words), why)?;
    respond::promise(session);
    note(response, ctx);
    Ok(())
}

/// Notes the answer's head for the log.
pub fn note(response: &ResponseHeader, ctx: &mut RequestCtx) {
    let length =
        response.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    respond::note(ctx, response, length);
}

/// What Pingora's cache phase means in the words of RFC 9211, the log, and CloudFront.
fn classify(phase: CachePhase, ctx: &RequestCtx) -> (Outcome, StatusOutcome, ResultType, &'static str) {
    let error = ctx.origin.instead.is_some() && !ctx.hooks.answered;
    let forwarded = |reason| StatusOutcome::Fwd(reason);
    match phase {
        CachePhase::Hit if ctx.cache.bridged => (Outcome::Stale, StatusOutcome::Hit, ResultType::Hit, "stale-if-error"),
        CachePhase::Hit => (Outcome::Hit, StatusOutcome::Hit, ResultType::Hit, ""),
        CachePhase::StaleUpdating if ctx.cache.soft_expired => {
            (Outcome::Stale, StatusOutcome::Hit, ResultType::Hit, "soft-timeout")
        }
        CachePhase::StaleUpdating => (Outcome::Stale, StatusOutcome::Hit, ResultType::Hit, "stale-while-revalidate"),
        CachePhase::Stale => (Outcome::Stale, StatusOutcome::Hit, ResultType::Hit, "stale-if-error"),
        CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => {
            (Outcome::Revalidated, forwarded(reason(ctx)), ResultType::RefreshHit, ctx.cache.why)
        }
        _ if error && ctx.origin.failure.is_none() => {
            (Outcome::Error, forwarded(reason(ctx)), ResultType::Error, "error-page")
        }
        _ if error => (Outcome::Error, forwarded(reason(ctx)), ResultType::Error, "origin-failed"),
        CachePhase::Miss | CachePhase::Expired => {
            (Outcome::Miss, forwarded(reason(ctx)), ResultType::Miss, stale_why(ctx))
        }
        _ if ctx.slot.is_some() => (Outcome::Miss, forwarded(reason(ctx)), ResultType::Miss, disabled_why(phase, ctx)),
        _ => (Outcome::Pass, forwarded(reason(ctx)), ResultType::Miss, ctx.cache.why),
    }
}

/// Why a request went on to an origin (RFC 9211 §2.2).
pub fn reason(ctx: &RequestCtx) -> FwdReason {
    match ctx.slot {
        None => passed(ctx.cache.why),
        Some(_) if ctx.cache.bypassed => FwdReason::Bypass,
        Some(_) if ctx.cache.asked_for_new => FwdReason::Request,
        Some(_) if ctx.cache.found_stale => FwdReason::Stale,
        Some(_) if ctx.cache.vary_found => FwdReason::VaryMiss,
        Some(_) => FwdReason::UriMiss,
    }
}

/// The same where the cache took no part, from [`keeping::bypass`].
pub fn passed(why: &str) -> FwdReason {
    match why {
        "method" => FwdReason::Method,
        "bypass" => FwdReason::Bypass,
        _ => FwdReason::Request,
    }
}

fn stale_why(ctx: &RequestCtx) -> &'static str {
    if ctx.cache.found_stale || ctx.cache.why == "purged" { ctx.cache.why } else { "" }
}

/// Why the cache took no further part, in words like those of [`Why`](policy::Why).
fn disabled(reason: NoCacheReason) -> &'static str {
    match reason {
        NoCacheReason::Custom(why) => why,
        NoCacheReason::NeverEnabled => "",
        NoCacheReason::OriginNotCache => "not-cacheable",
        NoCacheReason::ResponseTooLarge | NoCacheReason::PredictedResponseTooLarge => "too-large",
        NoCacheReason::StorageError => "store-failed",
        NoCacheReason::InternalError => "internal",
        NoCacheReason::Deferred => "deferred",
        NoCacheReason::DeclinedToUpstream => "declined",
        NoCacheReason::UpstreamError => "origin-failed",
        NoCacheReason::CacheLockGiveUp => "collapse-released",
        NoCacheReason::CacheLockTimeout => "collapse-timeout",
        NoCacheReason::CacheLockRetryLimit => "collapse-rounds",
    }
}

/// Our own reason when there is one, else what Pingora's means.
fn disabled_why(phase: CachePhase, ctx: &RequestCtx) -> &'static str {
    match phase {
        CachePhase::Disabled(reason) if ctx.cache.why.is_empty() => disabled(reason),
        CachePhase::Bypass if ctx.cache.why.is_empty() => "predicted-uncacheable",
        _ => ctx.cache.why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_the_cache_took_no_part_is_told_in_our_words() {
        use NoCacheReason::*;
        for reason in [
            OriginNotCache,
            ResponseTooLarge,
            PredictedResponseTooLarge,
            StorageError,
            InternalError,
            Deferred,
            DeclinedToUpstream,
            UpstreamError,
            CacheLockGiveUp,
            CacheLockTimeout,
            CacheLockRetryLimit,
            Custom("one-viewers"),
        ] {
            let word = disabled(reason);
            let ours = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            assert!(ours && !word.is_empty(), "{reason:?}: {word}");
        }
    }
}
