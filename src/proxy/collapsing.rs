//! Collapsing: which requests for one object wait for one another, and for how long.
//!
//! In: the behavior, the verdict on what was found, how long a request has waited. Out: Pingora's cache lock with its bounds, or none;
//! whether a stale object stands in for an origin that others are asking. Never: a queue before what each request has to have validated,
//! or behind a request whose answer may be for nobody else.

use std::time::Duration;

use pingora::cache::CacheOptionOverrides;
use pingora::cache::lock::CacheKeyLockImpl;
use pingora::proxy::Session;

use crate::cache::object::{KeyHash, Meta};
use crate::cache::policy;
use crate::cache::store;

use super::asked;
use super::context::RequestCtx;
use super::failures::Asker;
use super::keeping;
use super::shared::Shared;

/// Fills that a request waits for, one after the other, before it asks the origin by itself. Another one follows where the first
/// came to nothing: its viewer left, or the store had no room.
const ROUNDS: usize = 8;

/// Has the cache take part, with the lock that collapses requests.
pub fn begin(shared: &Shared, session: &mut Session, ctx: &RequestCtx) {
    if ctx.slot.is_some() {
        // A background request has a lock already, which it takes over.
        let alone = ctx.is_viewer() && keeping::is_one_viewers(session, ctx);
        let lock = lock(shared, ctx).filter(|_| !alone);
        session.cache.enable(shared.tiers, None, Some(shared.predictor), lock, Some(patient(ctx)));
    }
}

/// Settles what a viewer's request waits for, once the object is known and judged. It may be another object each time the request has
/// waited.
pub fn found(shared: &Shared, session: &mut Session, ctx: &RequestCtx) {
    // A background request was given its lock.
    if !ctx.is_viewer() {
        return;
    }
    let at_once = ctx.cache.while_revalidate || ctx.cache.soft_expired;
    let alone = !at_once && keeping::is_one_viewers(session, ctx);
    let (lock, bounds) = match lock(shared, ctx) {
        Some(_) if ctx.cache.apart || alone => (None, None),
        // Pingora would send it past the cache, where nothing stands in for an error. `is_late` ends this wait; twice as long is for when
        // the object is gone meanwhile.
        Some(lock) if ctx.cache.on_error => {
            (Some(lock), Some(bounds(Some(ctx.snapshot.config.store.collapse_timeout * 2), ROUNDS)))
        }
        lock => (lock, Some(patient(ctx))),
    };
    session.cache.set_cache_lock(lock, bounds);
}

fn lock(shared: &Shared, ctx: &RequestCtx) -> Option<&'static CacheKeyLockImpl> {
    let collapse = ctx.served().is_some_and(|served| served.behavior.cache.collapse);
    // What only asks for what is stored has nothing to wait for.
    (collapse && !asked::wants_stored(ctx)).then_some(shared.lock)
}

fn patient(ctx: &RequestCtx) -> CacheOptionOverrides {
    bounds(Some(ctx.snapshot.config.store.collapse_timeout), ROUNDS)
}

fn bounds(wait: Option<Duration>, rounds: usize) -> CacheOptionOverrides {
    let mut bounds = CacheOptionOverrides::default();
    (bounds.wait_timeout, bounds.max_lock_retries) = (wait, Some(rounds));
    bounds
}

/// Whether nobody gains by waiting for another's answer about a stored object that the origin must confirm: it is confirmed for one
/// use only, or was confirmed since the request came and does not serve it.
pub fn is_apart(session: &Session, ctx: &RequestCtx, meta: &Meta, why: &str) -> bool {
    let waited = session.cache.lock_duration().is_some();
    policy::is_always_validated(meta) || why == "request-no-cache" || waited && is_renewed(ctx, meta)
}

/// Whether the origin has sent or confirmed the object since the request came.
fn is_renewed(ctx: &RequestCtx, meta: &Meta) -> bool {
    meta.responded_ms >= ctx.started_ms
}

/// Whether a stale object that serves when the origin fails stands in for it now: the origin has failed for another request, or keeps
/// others waiting for too long.
pub fn stands_in(shared: &Shared, session: &Session, ctx: &RequestCtx, meta: &Meta, why: &str, now_ms: u64) -> bool {
    if !ctx.is_viewer() || asked::wants_stored(ctx) {
        return false;
    }
    let failed = slot(session).is_some_and(|slot| has_failed(shared, ctx, &slot, meta, why, now_ms));
    let late = is_late(session.cache.lock_duration(), ctx.snapshot.config.store.collapse_timeout);
    failed || late && !is_renewed(ctx, meta)
}

/// Whether the origin has failed for the object in `slot`, and that is this request's answer too. Who asks for a newer answer, or asks
/// after a purge, takes no failure that was before.
pub fn has_failed(shared: &Shared, ctx: &RequestCtx, slot: &KeyHash, meta: &Meta, why: &str, now_ms: u64) -> bool {
    let error_ttl = ctx.served().map_or(Duration::ZERO, |served| served.behavior.cache.error_ttl);
    let rest = if why == "stale" { error_ttl } else { Duration::ZERO };
    let asker = Asker { stored_ms: meta.responded_ms, came_ms: ctx.started_ms, now_ms, rest };
    shared.failures.answers(slot, asker)
}

/// Whether a request has waited for others long enough. A wait ends when the fill is `most` old, whenever the request came: with half of
/// that behind it, another wait would make it more than one and a half times as long.
fn is_late(waited: Option<Duration>, most: Duration) -> bool {
    waited.is_some_and(|waited| waited >= most / 2)
}

/// Notes that the origin failed, and the object found stands in for it.
pub fn failed(shared: &Shared, session: &Session, now_ms: u64) {
    if let Some(slot) = slot(session) {
        shared.failures.note(slot, now_ms);
    }
}

fn slot(session: &Session) -> Option<KeyHash> {
    session.cache.maybe_cache_key().map(store::slot_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_waits_for_much_longer_than_one_fill_may_take() {
        let most = Duration::from_secs(4);
        for (waited, want) in
            [(None, false), (Some(0), false), (Some(1_999), false), (Some(2_000), true), (Some(9_000), true)]
        {
            assert_eq!(is_late(waited.map(Duration::from_millis), most), want, "{waited:?}");
        }
    }
}
