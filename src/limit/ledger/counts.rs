//! Counts: what one more request of a key is, and what a day used.
//!
//! In: what all processes have counted, a quota, now. Out: the decision. Never: I/O, a count changed.

use std::time::Duration;

use super::super::period::{self, Day};
use super::slot::{DAYS, Head, LANES, Lane};
use super::{Counted, DayUse};
use crate::config::compiled::PeriodQuota;

/// What is counted for one key, by all processes.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) head: Head,
    pub(super) lanes: [Option<Lane>; LANES],
}

// === impl Counts ===
impl Counts {
    fn of(&self, day: Day) -> u64 {
        self.lanes.iter().flatten().map(|lane| lane.of(day)).sum()
    }

    /// What one more request is, not yet counted.
    pub(super) fn judge(&self, quota: &PeriodQuota, now_ms: u64) -> Counted {
        judge(&self.head, |day| self.of(day), quota, now_ms)
    }

    pub(super) fn day(&self, quota: &PeriodQuota, day: Day) -> DayUse {
        let begins = period::first(quota.period, day);
        let so_far: u64 = (begins..=day).map(|day| self.of(day)).sum();
        DayUse { day, used: self.of(day), remaining: limit(&self.head, quota, begins).saturating_sub(so_far) }
    }

    /// Every day that is remembered and has requests.
    pub(super) fn days(&self) -> Vec<(Day, u32)> {
        let newest = self.newest();
        let all = (newest.saturating_sub(DAYS as Day - 1)..=newest).map(|day| (day, self.of(day)));
        all.filter(|(_, count)| *count > 0)
            .map(|(day, count)| (day, u32::try_from(count).unwrap_or(u32::MAX)))
            .collect()
    }

    pub(super) fn newest(&self) -> Day {
        self.lanes.iter().flatten().map(Lane::newest).fold(self.head.first, Day::max)
    }
}

fn limit(head: &Head, quota: &PeriodQuota, begins: Day) -> u64 {
    // The offset is taken off "in the initial time period" (API Gateway, `QuotaSettings`).
    let initial = begins <= head.first;
    if initial { quota.limit.saturating_sub(quota.offset) } else { quota.limit }
}

/// What one more request of a key is, not yet counted; `of` is what a day used.
pub(super) fn judge(head: &Head, of: impl Fn(Day) -> u64, quota: &PeriodQuota, now_ms: u64) -> Counted {
    let today = period::day(now_ms);
    let begins = period::first(quota.period, today);
    let used = (begins..=today).map(of).sum();
    let limit = limit(head, quota, begins);
    let ends_ms = period::begins_ms(period::next(quota.period, today));
    let resets_in = Duration::from_millis(ends_ms.saturating_sub(now_ms));
    Counted { admitted: used < limit, used, limit, resets_in }
}
