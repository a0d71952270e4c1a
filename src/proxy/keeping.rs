//! Keeping: the request's side of the cache.
//!
//! In: request, stored meta, the origin's answer. Out: the slot, the verdict on a stored object, what is stored. Never: storage.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderName, Method, StatusCode, header};
use pingora::cache::{CacheMeta, ForcedFreshness, NoCacheReason, RespCacheable};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::behavior::compress;
use crate::cache::object::Meta;
use crate::cache::policy::{self, Admit, Ask, Times, Why};
use crate::cache::store::{self, Admission};
use crate::cache::{key, method, purge, range, vary};
use crate::config::compiled::{Behavior, CachePolicy};
use crate::message::Fields;
use crate::origin::{forwarded, hop, rewrite};

use super::context::RequestCtx;
use super::judge::{self, Verdict};
use super::phases::{now_ms, now_nanos};
use super::plan::{self, Slot, Target};
use super::shared::Shared;
use super::snapshot::Served;
use super::soft::Waited;
use super::{asking, collapsing, respond, tiers};

/// Decides whether the cache takes part and under which key; else notes why not.
pub fn plan(session: &Session, ctx: &mut RequestCtx, behavior: &Behavior, host: &str, target: Target<'_>) {
    let at = (tiers::is_tls(session, ctx), host, target);
    let request = session.req_header();
    ctx.cache.why = bypass(behavior, &request.method, session.is_upgrade_req(), &request.headers).unwrap_or("");
    if ctx.cache.why.is_empty() {
        let mut bytes = Vec::with_capacity(128);
        let (hash, coding) = plan::slot(behavior, at, &request.headers, ctx.entered.apart(), &mut bytes);
        ctx.slot = Some(Slot { key: bytes, hash, coding });
    }
}

/// Why the cache takes no part in a request, if it takes none.
pub fn bypass<F: Fields>(behavior: &Behavior, method: &Method, upgrade: bool, fields: &F) -> Option<&'static str> {
    if !behavior.cache.enabled {
        Some("bypass")
    } else if !plan::cacheable(behavior, method) {
        Some("method")
    } else if upgrade {
        Some("upgrade")
    } else if fields.has(&header::IF_MATCH) || fields.has(&header::IF_UNMODIFIED_SINCE) {
        // RFC 9110 §13.1.1: only the origin can evaluate these.
        Some("precondition")
    } else if policy::request_no_store(&behavior.cache, fields) {
        Some("request-no-store")
    } else {
        None
    }
}

/// What a found object may become; notes what it allows.
pub fn judge(shared: &Shared, session: &Session, meta: &CacheMeta, ctx: &mut RequestCtx) -> Option<ForcedFreshness> {
    let Some(stored) = store::stored(meta) else { return Some(ForcedFreshness::ForceMiss) };
    let snapshot = ctx.snapshot.clone();
    let behavior = ctx.behavior.map(|id| &snapshot.behavior(id).behavior)?;
    let now = now_ms();
    ctx.cache.ttl_s = Some(stored.meta().ttl_ms(now).div_euclid(1000));
    ctx.cache.age_s = Some(stored.meta().age_ms(now) / 1000);
    let verdict = judge::judge(
        &shared.marks,
        shared.tiers.invalidated(),
        behavior,
        stored.meta(),
        stored.checked(),
        &session.req_header().headers,
        now,
    );
    // A request that waited for another may find another object than before.
    (ctx.cache.while_revalidate, ctx.cache.on_error) = (false, false);
    (ctx.cache.soft_expired, ctx.cache.bridged, ctx.cache.apart) = (false, false, false);
    match verdict {
        Verdict::Fresh => Some(ForcedFreshness::ForceFresh),
        Verdict::Gone => {
            ctx.cache.why = "purged";
            Some(ForcedFreshness::ForceMiss)
        }
        Verdict::Stale { while_revalidate, on_error, why } => {
            ctx.cache.found_stale = true;
            ctx.cache.asked_for_new = why.starts_with("request-");
            ctx.cache.while_revalidate = while_revalidate;
            ctx.cache.on_error = on_error;
            let meta = stored.meta();
            ctx.cache.bridged = on_error
                && (ctx.cache.soft == Some(Waited::Failed)
                    || !while_revalidate && collapsing::stands_in(shared, session, ctx, meta, why, now));
            ctx.cache.soft_expired = on_error && ctx.cache.soft == Some(Waited::Late);
            let at_once = while_revalidate || ctx.cache.soft_expired;
            ctx.cache.apart = !at_once && collapsing::is_apart(session, ctx, meta, why);
            ctx.cache.why = why;
            if ctx.cache.bridged {
                // Not as stale: each viewer that was woken might become the one who asks again.
                return Some(ForcedFreshness::ForceFresh);
            }
            Some(ForcedFreshness::ForceExpiredServeStale { expired_at: None })
        }
    }
}

/// The names a stored or about-to-be-stored answer varies by.
pub fn vary_names(meta: &CacheMeta) -> Option<Box<[HeaderName]>> {
    let names = match store::stored(meta) {
        Some(stored) => stored.meta().vary.clone(),
        None => meta.extensions().get::<Admission>()?.meta.vary.clone(),
    };
    (!names.is_empty()).then_some(names)
}

/// Why a 304 confirms nothing: it is about another answer than the stored one (RFC 9111 §4.3.4).
pub const MISMATCH: &str = "validator-mismatch";

/// Why an answer is not stored that says nothing about the next one: the cache is asked again.
pub const ONE_VIEWERS: &str = "one-viewers";

/// Whether and how an answer is stored.
pub fn admit(
    shared: &Shared,
    session: &Session,
    response: &ResponseHeader,
    ctx: &mut RequestCtx,
) -> Result<RespCacheable> {
    if ctx.hooks.refused.is_some() {
        return Err(Error::explain(ErrorType::InternalError, "a function failed on what confirms the stored answer"));
    }
    let snapshot = ctx.snapshot.clone();
    let (Some(served), Some(slot)) = (ctx.behavior.map(|id| snapshot.behavior(id)), ctx.slot.clone()) else {
        return Ok(never(ctx, "bypass"));
    };
    let policy_of = &served.behavior.cache;
    ctx.cache.bypassed = session.cache.bypassing();
    if ctx.origin.close_delimited {
        return Ok(never(ctx, "no-length"));
    }
    let request = session.req_header();
    let ask = Ask { authorization: is_authorized(session, ctx) };
    let response_ms = now_ms();
    let times = Times { request_ms: ctx.origin.asked_ms, response_ms };
    if ctx.cache.bypassed && matches!(response.status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
        let most = shared.tiers.max_object().min(policy_of.max_object);
        let large = session.cache.predicted_uncacheable_reason() == Some(NoCacheReason::Custom(Why::TooLarge.as_str()))
            || range::whole_length(&response.headers).is_some_and(|length| length > most);
        let verdict = policy::admit(policy_of, ask, 200, &response.headers, times);
        return Ok(deferred(ctx, verdict, large, response));
    }
    let mut header = response.clone();
    let confirmed = session.cache.maybe_cache_meta().and_then(store::stored).map(|stored| stored.meta());
    let bridges = confirmed.is_some_and(|meta| {
        let stale_ms = meta.ttl_ms(response_ms).saturating_neg();
        !meta.must_revalidate && stale_ms < i64::try_from(meta.stale_if_error_ms).unwrap_or(i64::MAX)
    });
    let validated = ctx.cache.not_modified.is_some();
    let verdict = match (ctx.cache.not_modified.take(), session.cache.maybe_cache_meta(), confirmed) {
        (Some(not_modified), Some(stored), Some(meta)) => {
            header = stored.response_header_copy();
            if !policy::selects(&header.headers, &not_modified) {
                return Ok(never(ctx, MISMATCH));
            }
            respond::edit(&mut header, |fields| {
                let verdict = policy::refresh(policy_of, ask, meta, fields, &not_modified, times);
                if served.behavior.compress.is_some() && not_modified.contains_key(header::VARY) {
                    compress::mark_negotiated(fields);
                }
                verdict
            })?
        }
        _ => {
            // A page in an error's place lives as long as its rule says, whatever its status.
            let page =
                ctx.origin.instead.is_some().then(|| CachePolicy { min_ttl: Duration::ZERO, ..policy_of.clone() });
            policy::admit(page.as_ref().unwrap_or(policy_of), ask, header.status.as_u16(), &header.headers, times)
        }
    };
    let life = match verdict {
        Admit::Store(life) => life,
        // About this request: nothing follows for the next one.
        Admit::Never(why @ Why::Authorization) => return Ok(one_viewers(ctx, why.as_str())),
        // About this viewer: what is stored is still good for others, should the origin fail.
        Admit::Never(why @ Why::SetCookie) if bridges => return Ok(one_viewers(ctx, why.as_str())),
        Admit::Never(why) => return Ok(never(ctx, why.as_str())),
    };
    if policy::declared_length(&header.headers).is_some_and(|length| length > shared.tiers.max_object()) {
        return Ok(never(ctx, Why::TooLarge.as_str()));
    }
    let names = match vary::parse(&header.headers) {
        vary::Vary::Star => return Ok(never(ctx, "vary-star")),
        vary::Vary::None => Box::default(),
        // The origin did not see what it says its answer depends on, because of this request's `Connection`.
        vary::Vary::Names(names) if hop::hides(&request.headers, &names) => {
            return Ok(one_viewers(ctx, "hidden-vary"));
        }
        // It saw more than there is to tell requests apart by.
        vary::Vary::Names(names) if names.iter().any(|name| forwarded::is_unkeyed(name, &served.behavior.request)) => {
            return Ok(never(ctx, "edge-vary"));
        }
        vary::Vary::Names(names) => names,
    };
    let (host, target) = asking::address(request);
    let target = Target::parse(target);
    let meta = Meta {
        status: header.status.as_u16(),
        responded_ms: response_ms,
        initial_age_ms: life.initial_age_ms,
        lifetime_ms: life.lifetime_ms,
        stale_while_revalidate_ms: life.stale_while_revalidate_ms,
        stale_if_error_ms: life.stale_if_error_ms,
        must_revalidate: life.must_revalidate,
        no_cache: life.no_cache,
        fetch_start: ctx.origin.fetch_start,
        host: plan::host_name(host).to_ascii_lowercase().into(),
        uri: key::uri(&policy_of.key, target.path, target.query).into(),
        tags: purge::parse_tags(&policy_of.tag_headers, &header.headers),
        vary: names,
        variance: None,
        masked: match confirmed {
            Some(meta) if validated => meta.masked,
            _ => ctx.hooks.masks(header.status),
        },
    };
    ctx.cache.stored = true;
    ctx.cache.ttl_s = Some(meta.ttl_ms(response_ms).div_euclid(1000));
    let mut out = CacheMeta::new(
        UNIX_EPOCH + Duration::from_millis(response_ms + meta.lifetime_ms.saturating_sub(meta.initial_age_ms)),
        UNIX_EPOCH,
        0,
        0,
        header,
    );
    out.set_epoch_override(UNIX_EPOCH + Duration::from_millis(response_ms.saturating_sub(meta.initial_age_ms)));
    out.extensions_mut().insert(Admission {
        key: slot.key.into(),
        meta,
        confirmed: confirmed.map(|meta| meta.fetch_start),
        strip: life.strip,
        max_body: policy_of.max_object,
    });
    Ok(RespCacheable::Cacheable(out))
}

/// A part, or "you have it", of what could not be stored the last time. Nothing of it is stored; where its fields allow it, the next
/// request asks for the whole.
fn deferred(ctx: &mut RequestCtx, verdict: Admit, large: bool, response: &ResponseHeader) -> RespCacheable {
    match verdict {
        Admit::Never(why) => never(ctx, why.as_str()),
        Admit::Store(_) if large => never(ctx, Why::TooLarge.as_str()),
        Admit::Store(_) => {
            ctx.cache.why = "deferred";
            RespCacheable::Cacheable(CacheMeta::new(UNIX_EPOCH, UNIX_EPOCH, 0, 0, response.clone()))
        }
    }
}

fn never(ctx: &mut RequestCtx, why: &'static str) -> RespCacheable {
    ctx.cache.why = why;
    RespCacheable::Uncacheable(NoCacheReason::Custom(why))
}

fn one_viewers(ctx: &mut RequestCtx, why: &'static str) -> RespCacheable {
    ctx.cache.why = why;
    RespCacheable::Uncacheable(NoCacheReason::Custom(ONE_VIEWERS))
}

/// Whether the origin gets the viewer's credential. One that was for the edge has done its work: who may see the answer is settled by
/// the rule and the key.
fn is_authorized(session: &Session, ctx: &RequestCtx) -> bool {
    let request = session.req_header();
    let goes_on = |served: &Arc<Served>| {
        let Behavior { request: policy, cache, .. } = &*served.behavior;
        rewrite::goes_on(&header::AUTHORIZATION, policy, &cache.key, &request.method)
    };
    request.headers.contains_key(header::AUTHORIZATION)
        && ctx.served().is_some_and(goes_on)
        && !ctx.entered.used_authorization()
        && !ctx.tier.used_authorization()
}

/// Whether the answer may be of no use to others because of what this one request has in it: nobody should wait for it, and it
/// waits for nobody.
pub fn is_one_viewers(session: &Session, ctx: &RequestCtx) -> bool {
    // What a key with the credential in it names is for all who have that one.
    let keyed = ctx.served().is_some_and(|served| served.behavior.cache.key.headers.contains(&header::AUTHORIZATION));
    hop::hides_some(&session.req_header().headers) || !keyed && is_authorized(session, ctx)
}

/// A successful unsafe request makes what is stored under its URLs invalid (RFC 9111 §4.4).
pub fn invalidate(shared: &Shared, session: &Session, response: &ResponseHeader, ctx: &RequestCtx) {
    let request = session.req_header();
    if !method::invalidates(&request.method, response.status.as_u16()) || ctx.origin.status == 0 {
        return;
    }
    let (host, own) = asking::address(request);
    let at = shared.stamps.next(now_nanos());
    for (host, uri) in
        method::targets(&request.method, response.status.as_u16(), &response.headers, plan::host_name(host), own)
    {
        let target = Target::parse(&uri);
        // Each is stored as the behavior has it that serves it; where the request's own goes, a function may have changed since.
        let serves = if uri == own { ctx.behavior } else { plan::route(&ctx.snapshot, &host, target.path).ok() };
        let Some(id) = serves else { continue };
        let policy = &ctx.snapshot.behavior(id).behavior.cache.key;
        let uri = key::uri(policy, target.path, target.query);
        let host = if policy.ignore_host { "" } else { &*host };
        shared.tiers.invalidated().note(host, &uri, at);
    }
}
