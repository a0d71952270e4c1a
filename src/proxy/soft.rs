//! Soft timeout: a stale object is not served before the origin had its chance, and not withheld longer than agreed.
//!
//! In: a stale object that may be served on error, the policy's soft timeout. Out: waits until the background
//! revalidation has an answer or the time is up. Never: asks an origin itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora::proxy::Session;
use pingora::proxy::subrequest;
use tokio::sync::watch;

use crate::cache::object::{self, KeyHash};
use crate::cache::vary;

use super::context::{RequestCtx, Role};
use super::judge::{self, Verdict};
use super::phases::now_ms;
use super::shared::Shared;
use super::{asking, collapsing, handing};

/// Revalidations that viewers are waiting for, one per object: bounded by the objects in flight to origins.
#[derive(Debug, Default)]
pub struct Revalidations(Mutex<HashMap<KeyHash, Waiter>>);

/// Held by the background request; the waiting viewers go on when it says that it is done, or is dropped.
#[derive(Debug)]
pub struct Revalidation {
    all: Arc<Revalidations>,
    hash: KeyHash,
    /// Dropping the sender wakes every receiver.
    renewed: watch::Sender<bool>,
}

/// A viewer's side of a revalidation.
#[derive(Debug, Clone)]
pub struct Waiter {
    since: Instant,
    renewed: watch::Receiver<bool>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The origin's answer has arrived; if it may be kept, the cache has it.
    Renewed,
    /// The origin could not be asked, or answered with an error.
    Failed,
    /// The time is up, and the origin is still being asked.
    Late,
}

// === impl Revalidations ===
impl Revalidations {
    /// A waiter that ends with the object's revalidation, and the guard when this caller is to start it.
    pub fn join(self: &Arc<Self>, hash: KeyHash) -> (Waiter, Option<Revalidation>) {
        let mut all = self.0.lock();
        if let Some(running) = all.get(&hash) {
            return (running.clone(), None);
        }
        let (renewed, receiver) = watch::channel(false);
        let waiter = Waiter { since: Instant::now(), renewed: receiver };
        all.insert(hash, waiter.clone());
        (waiter, Some(Revalidation { all: self.clone(), hash, renewed }))
    }
}

// === impl Revalidation ===
impl Revalidation {
    /// The origin has answered.
    pub fn renewed(self) {
        self.renewed.send_replace(true);
    }
}

impl Drop for Revalidation {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.hash);
    }
}

// === impl Waiter ===
impl Waiter {
    /// Waits for the revalidation, until `limit` after it began: who comes later waits for what is left of it.
    pub async fn wait(mut self, limit: Duration) -> Waited {
        let done = async { while self.renewed.changed().await.is_ok() {} };
        if tokio::time::timeout_at((self.since + limit).into(), done).await.is_err() {
            return Waited::Late;
        }
        if *self.renewed.borrow() { Waited::Renewed } else { Waited::Failed }
    }
}

/// A stale object that may only be served on error: gives the origin the soft timeout, then serves stale while the origin is
/// still being asked, or because it failed.
pub async fn give_time(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx) {
    let Some((hash, limit)) = due(shared, session, ctx).await else { return };
    let (waiter, guard) = shared.revalidations.join(hash);
    if guard.is_some() {
        handing::pass(shared, session, ctx);
    }
    asking::make_copyable(session);
    let Some(spawner) = session.subrequest_spawner.as_ref() else { return asking::restore(session) };
    if let Some(guard) = guard {
        let role: Box<dyn std::any::Any + Send + Sync> = Box::new(Role::Revalidation(Some(guard)));
        let sub = subrequest::Ctx::builder().user_ctx(role).build();
        spawner.spawn_background_subrequest(session.as_downstream(), sub);
    }
    asking::restore(session);
    ctx.cache.soft = Some(waiter.wait(limit).await);
}

/// The object and the limit, when this viewer waits for the soft timeout.
async fn due(shared: &Shared, session: &mut Session, ctx: &mut RequestCtx) -> Option<(KeyHash, Duration)> {
    let behavior = ctx.served()?.behavior.clone();
    // Pingora serves stale ahead of the origin's answer only under its cache lock.
    let limit = behavior.cache.soft_timeout.filter(|_| behavior.cache.collapse)?;
    let (first, key) = ctx.slot.as_ref().map(|slot| (slot.hash, slot.key.clone()))?;
    let (mut hash, mut meta) = (first, shared.tiers.meta(first, &key).await?);
    if !meta.vary.is_empty() {
        let variance = vary::variance(&meta.vary, &session.req_header().headers, behavior.compress.is_some());
        if variance != meta.variance {
            hash = object::slot(&first, Some(&variance?));
            meta = shared.tiers.meta(hash, &key).await.filter(|meta| meta.variance == variance)?;
        }
    }
    let request = &session.req_header().headers;
    let now = now_ms();
    match judge::judge(&shared.marks, shared.tiers.invalidated(), &behavior, &meta, None, request, now) {
        // Whom a failure answers already is not kept waiting.
        Verdict::Stale { while_revalidate: false, on_error: true, why } => {
            (!collapsing::has_failed(shared, ctx, &hash, &meta, why, now)).then_some((hash, limit))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn one_starts_and_all_are_woken() {
        let all = Arc::new(Revalidations::default());
        for (renew, want) in [(true, Waited::Renewed), (false, Waited::Failed)] {
            let (first, guard) = all.join([1; 16]);
            let (second, none) = all.join([1; 16]);
            assert!(none.is_none());
            assert_eq!(first.clone().wait(Duration::from_millis(1)).await, Waited::Late);
            let guard = guard.unwrap();
            if renew {
                guard.renewed()
            } else {
                drop(guard)
            }
            assert_eq!([first.wait(LONG).await, second.wait(LONG).await], [want; 2]);
        }
    }

    #[tokio::test]
    async fn who_comes_later_waits_no_longer_than_the_first() {
        let all = Arc::new(Revalidations::default());
        let (_, _guard) = all.join([1; 16]);
        let (mut late, _) = all.join([1; 16]);
        late.since -= LONG;
        assert_eq!(late.wait(LONG).await, Waited::Late);
    }
}
