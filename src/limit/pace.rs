//! Pace: the token bucket's rule where several nodes share one.
//!
//! In: the time at which a bucket is full again, now, how many nodes there are. Out: yes or no, and that time anew. Never: a clock,
//! a table.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A), as in `bucket`; by hand, for a node that hears only some of the others
//! fills its buckets only with their share, and for what others admitted is charged afterwards.
//!
//! The bound. Let N nodes share a limit of `rate` and `burst`, exchange what they admitted every `e`, and hear of it at most `d`
//! later. In any time `t` they admit together at most
//!
//! ```text
//! rate · t + burst + (N − 1) · (burst + rate · (e + d))
//! ```
//!
//! For: let the last of them be admitted by node i at the end of that time. Its bucket was charged with all that it admitted itself
//! and with what the others did but for the last `e + d`; so that is at most `rate · t + burst`. In `e + d`, each of the N − 1 others
//! admits at most `burst + rate · (e + d)`. A debt of more than [`Pace::debt`] therefore does not arise, and is not kept.
//!
//! A node that hears h of N nodes for longer than `fleet.silence` fills its buckets at rate · h/N. So each part of a fleet that is
//! cut apart has its share, and the bound holds with the silence in the place of `d` where that is longer; each further cut within `t`
//! adds (N − 1) · (burst + rate · (e + d)), what was not told when it came.

use std::time::Duration;

use crate::config::compiled::Quota;

/// Nodes that are heard, this one included, of those there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub heard: u32,
    pub known: u32,
}

/// One limit's rule at this moment. Nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Of one token.
    every: u64,
    /// By how much the time may lie in the future.
    tolerance: u64,
    known: u64,
}

// === impl Share ===
impl Share {
    pub const ALONE: Share = Share { heard: 1, known: 1 };

    pub fn new(heard: u32, known: u32) -> Self {
        let heard = heard.max(1);
        Share { heard, known: known.max(heard) }
    }

    pub fn is_whole(self) -> bool {
        self.heard == self.known
    }

    /// Of a count.
    pub fn of(self, count: u64) -> u64 {
        let part = u128::from(count) * u128::from(self.heard) / u128::from(self.known.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    pub(super) fn pack(self) -> u64 {
        u64::from(self.heard) << 32 | u64::from(self.known)
    }

    pub(super) fn unpack(packed: u64) -> Self {
        Share::new((packed >> 32) as u32, packed as u32)
    }
}

// === impl Pace ===
impl Pace {
    pub fn new(quota: Quota, share: Share) -> Self {
        let full = u64::try_from(quota.every.as_nanos()).unwrap_or(u64::MAX).max(1);
        let slow = u128::from(full) * u128::from(share.known) / u128::from(share.heard.max(1));
        let every = u64::try_from(slow).unwrap_or(u64::MAX);
        // The bucket's size stays what it is in time; it has room for one token at least.
        let tolerance = full.saturating_mul(quota.burst.get().into()).max(every);
        Pace { every, tolerance, known: share.known.into() }
    }

    /// Takes one: what is left, and the time at which the bucket is full again.
    ///
    /// # Errors
    /// Nanoseconds until one more is there.
    pub fn take(self, full_at: Option<u64>, now: u64) -> Result<(u64, u64), u64> {
        let next = full_at.unwrap_or(now).max(now).saturating_add(self.every);
        let ahead = next - now;
        match ahead <= self.tolerance {
            true => Ok(((self.tolerance - ahead) / self.every, next)),
            false => Err(ahead - self.tolerance),
        }
    }

    /// The time after others took `count`.
    pub fn charge(self, full_at: Option<u64>, now: u64, count: u32, debt: u64) -> u64 {
        let before = full_at.unwrap_or(now).max(now);
        let after = before.saturating_add(self.every.saturating_mul(count.into()));
        after.min(now.saturating_add(self.tolerance).saturating_add(debt)).max(before)
    }

    /// The longest debt that the others can cause: each a whole bucket, and what flows in until it is told.
    pub fn debt(self, told_within: Duration) -> u64 {
        let told = u64::try_from(told_within.as_nanos()).unwrap_or(u64::MAX);
        (self.known - 1).saturating_mul(self.tolerance.saturating_add(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn quota(millis: u64, burst: u32) -> Quota {
        Quota { every: Duration::from_millis(millis), burst: NonZeroU32::new(burst).unwrap() }
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn alone_it_is_the_token_bucket() {
        let (pace, buckets) = (Pace::new(quota(10, 3), Share::ALONE), crate::limit::Buckets::new(quota(10, 3), 10));
        let (mut full_at, mut rng) = (None, 7u64);
        let mut now = 1000 * MS;
        for _ in 0..10_000 {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now += (rng >> 33) % (15 * MS);
            let (own, reference) = (pace.take(full_at, now), buckets.check(b"k", now));
            match own {
                Ok((left, next)) => {
                    assert!(reference.allowed);
                    assert_eq!(left, u64::from(reference.remaining));
                    full_at = Some(next);
                }
                Err(wait) => assert_eq!((reference.allowed, reference.retry_after.as_nanos()), (false, wait.into())),
            }
        }
    }

    #[test]
    fn shares_and_charges() {
        let count = |pace: Pace, mut full_at: Option<u64>, now: u64| {
            let mut taken = 0;
            while let Ok((_, next)) = pace.take(full_at, now) {
                full_at = Some(next);
                taken += 1;
            }
            (taken, full_at)
        };
        for (heard, known, burst, want) in
            [(1, 1, 6, 6), (2, 3, 6, 4), (1, 3, 6, 2), (1, 3, 1, 1), (1, 100, 6, 1), (3, 3, 6, 6)]
        {
            let pace = Pace::new(quota(10, burst), Share::new(heard, known));
            let (taken, full_at) = count(pace, None, 0);
            assert_eq!(taken, want, "{heard}/{known}");
            // And one more after as long as its share takes.
            let wait = 10 * MS * u64::from(known) / u64::from(heard);
            assert_eq!(count(pace, full_at, wait).0, 1, "{heard}/{known}");
            assert_eq!(count(pace, full_at, wait - 1).0, 0, "{heard}/{known}");
        }
        let pace = Pace::new(quota(10, 3), Share::new(2, 2));
        let debt = pace.debt(Duration::from_millis(100));
        assert_eq!(debt, 130 * MS);
        assert_eq!(pace.charge(None, 0, 2, debt), 20 * MS);
        assert_eq!(count(pace, Some(20 * MS), 0).0, 1);
        assert_eq!(pace.charge(Some(20 * MS), 0, 1000, debt), 160 * MS, "at most the debt");
        assert_eq!(pace.charge(Some(500 * MS), 0, 1, debt), 500 * MS, "never back");
        assert_eq!(Share::new(1, 3).of(100), 33);
    }
}
