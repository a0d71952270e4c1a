//! Bucket: whether a key may come now, by token bucket.
//!
//! In: a key, now. Out: yes or no, what is left, how long to wait. Never: a clock, a waiting queue, memory past its bound.
//!
//! The rule is `governor`'s GCRA, which is a token bucket filled lazily (API Gateway, "Throttle requests": "the token bucket
//! algorithm"); the state is ours, because it must be bounded.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{NotUntil, RateLimiter};

use super::pace::Pace;
use super::sharing::{KeyId, LimitId, Sharing};
use super::table::Table;
use crate::config::compiled::Quota;

/// Nanoseconds that a bucket may take to fill, 73 years: with it the sum with any uptime still fits.
const LONGEST_FILL: u64 = 1 << 61;

/// The buckets of one limit, one a key.
#[derive(Debug)]
pub struct Buckets {
    table: Table,
    quota: Quota,
    rule: governor::Quota,
    /// Where nodes share them.
    shared: Option<(LimitId, Arc<Sharing>)>,
}

/// What a bucket says of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Requests that would be allowed right after this one.
    pub remaining: u32,
    /// Until one more would be allowed; zero when this one was.
    pub retry_after: Duration,
    /// Until the bucket is full again if nothing else comes.
    pub reset_after: Duration,
}

/// The table for the time of one request: the entry's new state is remembered for the answer.
struct View<'t> {
    table: &'t Table,
    now: u64,
    full_at: Cell<u64>,
}

/// The caller's now. A limiter is made for one request; it takes its first reading as the beginning of time, which must be the
/// same for all of them.
struct Given {
    now: u64,
    begun: Cell<bool>,
}

// === impl Buckets ===
impl Buckets {
    /// All full. Remembers `keys` keys; past them the one closest to a full bucket is forgotten (it may then get up to one
    /// burst more).
    pub fn new(quota: Quota, keys: usize) -> Self {
        Buckets { table: Table::new(keys), quota, rule: rule(quota), shared: None }
    }

    /// The same, shared with other nodes: what is admitted here is told there, and the other way round.
    pub fn shared(quota: Quota, keys: usize, limit: LimitId, sharing: Arc<Sharing>) -> Self {
        Buckets { shared: Some((limit, sharing)), ..Buckets::new(quota, keys) }
    }

    /// Takes a token of `key`'s bucket when there is one. `now` is in nanoseconds of [`super::Clock`], which never goes back;
    /// among threads it may be a little older than another's.
    pub fn check(&self, key: &[u8], now: u64) -> Decision {
        if let Some((limit, sharing)) = &self.shared {
            return self.check_shared(key, now, *limit, sharing);
        }
        let view = View { table: &self.table, now, full_at: Cell::new(now) };
        let clock = Given { now, begun: Cell::new(false) };
        let limiter = RateLimiter::<_, _, _, StateInformationMiddleware>::new(self.rule, &view, clock);
        let outcome = limiter.check_key(&self.table.hash(key));
        let (remaining, retry_after) = match &outcome {
            Ok(left) => (left.remaining_burst_capacity(), 0),
            Err(until) => (0, earliest(until).saturating_sub(now)),
        };
        Decision {
            allowed: outcome.is_ok(),
            remaining,
            retry_after: Duration::from_nanos(retry_after),
            reset_after: Duration::from_nanos(view.full_at.get().saturating_sub(now)),
        }
    }

    fn check_shared(&self, key: &[u8], now: u64, limit: LimitId, sharing: &Sharing) -> Decision {
        let (pace, key) = (Pace::new(self.quota, sharing.share()), sharing.key(key));
        let taken = self.table.apply(tag(key), now, |full_at| {
            let (left, next) = pace.take(full_at, now).map_err(|wait| (wait, full_at.unwrap_or(now)))?;
            Ok(((left, next), next))
        });
        let (remaining, wait, full_at) = match taken {
            Ok((left, next)) => (u32::try_from(left).unwrap_or(u32::MAX), 0, next),
            Err((wait, full_at)) => (0, wait, full_at),
        };
        if taken.is_ok() {
            sharing.admitted(limit, key);
        }
        Decision {
            allowed: taken.is_ok(),
            remaining,
            retry_after: Duration::from_nanos(wait),
            reset_after: Duration::from_nanos(full_at.saturating_sub(now)),
        }
    }

    /// Takes what other nodes admitted, as much as the rule keeps of it.
    pub(super) fn charge(&self, key: KeyId, count: u32, now: u64, told_within: Duration) {
        let Some((_, sharing)) = &self.shared else { return };
        let pace = Pace::new(self.quota, sharing.share());
        let rule =
            |full_at| Ok::<_, std::convert::Infallible>(((), pace.charge(full_at, now, count, pace.debt(told_within))));
        let Ok(()) = self.table.apply(tag(key), now, rule);
    }

    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Bytes that the buckets take now.
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Keys whose bucket is not full at `now`.
    pub fn live(&self, now: u64) -> usize {
        self.table.live(now)
    }
}

/// What the table knows a shared key by.
fn tag(key: KeyId) -> u64 {
    (key as u64).max(1)
}

/// `every` is at least a nanosecond, and the bucket fills within [`LONGEST_FILL`]: a larger burst is cut to what does.
fn rule(quota: Quota) -> governor::Quota {
    let every = u64::try_from(quota.every.as_nanos()).unwrap_or(LONGEST_FILL).clamp(1, LONGEST_FILL);
    let most = u32::try_from(LONGEST_FILL / every).unwrap_or(u32::MAX);
    let burst = quota.burst.min(std::num::NonZeroU32::new(most).unwrap_or(std::num::NonZeroU32::MIN));
    match governor::Quota::with_period(Duration::from_nanos(every)) {
        Some(rule) => rule.allow_burst(burst),
        None => governor::Quota::per_second(burst),
    }
}

fn earliest(until: &NotUntil<Nanos>) -> u64 {
    until.earliest_possible().as_u64()
}

impl StateStore for &View<'_> {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, rule: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.table.apply(*key, self.now, |kept| {
            self.full_at.set(kept.unwrap_or(self.now));
            let (outcome, next) = rule(kept.map(Nanos::from))?;
            self.full_at.set(next.as_u64());
            Ok((outcome, next.as_u64()))
        })
    }
}

impl Clock for Given {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(if self.begun.replace(true) { self.now } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicU64, Ordering};

    const SECOND: u64 = 1_000_000_000;

    fn quota(every_ms: u64, burst: u32) -> Quota {
        Quota { every: Duration::from_millis(every_ms), burst: NonZeroU32::new(burst).unwrap() }
    }

    #[test]
    fn what_a_bucket_says() {
        let buckets = Buckets::new(quota(500, 3), 10);
        let ms = Duration::from_millis;
        for (at_ms, allowed, remaining, retry, reset) in [
            (0, true, 2, 0, 500),
            (0, true, 1, 0, 1000),
            (0, true, 0, 0, 1500),
            (0, false, 0, 500, 1500),
            (499, false, 0, 1, 1001),
            (500, true, 0, 0, 1500),
            (1250, true, 0, 0, 1250),
            (60_000, true, 2, 0, 500),
        ] {
            let got = buckets.check(b"k", at_ms * 1_000_000);
            let want = Decision { allowed, remaining, retry_after: ms(retry), reset_after: ms(reset) };
            assert_eq!(got, want, "at {at_ms}");
        }
        assert!(buckets.check(b"another", 0).allowed);
    }

    #[test]
    fn extreme_quotas_do_not_overflow() {
        for every in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(u64::MAX), Duration::MAX] {
            for burst in [NonZeroU32::MIN, NonZeroU32::MAX] {
                let buckets = Buckets::new(Quota { every, burst }, 1);
                for now in [0, SECOND, u64::MAX >> 2] {
                    buckets.check(b"", now);
                }
            }
        }
    }

    #[test]
    fn eight_threads_get_exactly_what_there_is() {
        const THREADS: u64 = 8;
        let buckets = Buckets::new(quota(10, 50), 1000);
        // A clock that all share: each reading is a millisecond after the one before.
        let clock = AtomicU64::new(0);
        let admitted = AtomicU64::new(0);
        const READINGS: u64 = 20_000;
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    loop {
                        let ms = clock.fetch_add(1, Ordering::Relaxed);
                        if ms >= READINGS {
                            break;
                        }
                        admitted.fetch_add(buckets.check(b"k", ms * 1_000_000).allowed.into(), Ordering::Relaxed);
                    }
                });
            }
        });
        // Ten requests for each token: whoever comes out of order is refused by at most one thread's delay at the very end.
        let all = 50 + (READINGS - 1) / 10;
        let got = admitted.into_inner();
        assert!(got <= all && got >= all - 1, "{got} of {all}");
    }

    #[test]
    fn eight_threads_at_one_instant_get_exactly_the_burst() {
        let buckets = Buckets::new(quota(1000, 777), 1000);
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        admitted.fetch_add(buckets.check(b"k", SECOND).allowed.into(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 777);
    }

    proptest! {
        /// Against a bucket that is counted out in exact fractions.
        #[test]
        fn never_more_and_never_fewer_than_a_token_bucket(
            every in 1u64..1000,
            burst in 1u32..20,
            gaps in proptest::collection::vec(0u64..3000, 1..300),
        ) {
            let buckets = Buckets::new(Quota { every: Duration::from_nanos(every), burst: NonZeroU32::new(burst).unwrap() }, 10);
            let (mut now, mut admitted) = (0u64, 0u64);
            // In units of 1/every tokens.
            let capacity = u64::from(burst) * every;
            let mut level = capacity;
            for gap in gaps {
                now += gap;
                level = (level + gap).min(capacity);
                let want = level >= every;
                if want {
                    level -= every;
                }
                let got = buckets.check(b"k", now);
                prop_assert_eq!(got.allowed, want);
                prop_assert_eq!(u64::from(got.remaining), if want { level / every } else { 0 });
                prop_assert_eq!(got.reset_after.as_nanos() as u64, capacity - level);
                admitted += u64::from(got.allowed);
                prop_assert!(admitted <= u64::from(burst) + now / every);
            }
        }
    }
}
