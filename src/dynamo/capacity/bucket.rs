//! Bucket: a token bucket of capacity units, a pure function of its state, a cost and the time.
//!
//! In: a rate, a cost, now. Out: whether it holds that much; the state after. Never: a clock, a lock.
//!
//! "DynamoDB retains up to 5 minutes (300 seconds) of unused read and write capacity" (developer guide, "Burst and adaptive
//! capacity"). A new bucket is full. On-demand tables begin at 4,000 write and 12,000 read units and follow twice the
//! highest traffic seen ("On-demand capacity mode", "Initial throughput and scaling").

use std::time::Duration;

use super::Side;

/// Seconds of unused capacity that are kept.
pub const BURST_SECONDS: f64 = 300.0;
const ON_DEMAND_READ: f64 = 12_000.0;
const ON_DEMAND_WRITE: f64 = 4_000.0;
/// A peak is forgotten after this long: traffic may double within 30 minutes.
const PEAK_KEPT: Duration = Duration::from_secs(1800);

/// How a bucket fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many units a second.
    Fixed(f64),
    /// At least so many, and twice the peak.
    Follows(f64),
}

/// The state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    tokens: f64,
    filled_at: Duration,
    /// The most units in one second, and when that was.
    peak: f64,
    peak_at: Duration,
    /// Units in the second that runs.
    second: (u64, f64),
}

// === impl Rate ===
impl Rate {
    pub fn provisioned(units: u64) -> Rate {
        Rate::Fixed(units as f64)
    }

    /// `max`: the table's `OnDemandThroughput`, when it has one.
    pub fn on_demand(max: Option<u64>, side: Side) -> Rate {
        match (max, side) {
            (Some(max), _) => Rate::Fixed(max as f64),
            (None, Side::Read) => Rate::Follows(ON_DEMAND_READ),
            (None, Side::Write) => Rate::Follows(ON_DEMAND_WRITE),
        }
    }
}

// === impl Bucket ===
impl Bucket {
    pub fn full(rate: Rate, now: Duration) -> Bucket {
        let (Rate::Fixed(units) | Rate::Follows(units)) = rate;
        Bucket { tokens: units * BURST_SECONDS, filled_at: now, peak: 0.0, peak_at: now, second: (now.as_secs(), 0.0) }
    }

    /// Units a second at this moment.
    fn units(&self, rate: Rate) -> f64 {
        match rate {
            Rate::Fixed(units) => units,
            Rate::Follows(least) => least.max(2.0 * self.peak),
        }
    }

    /// Fills it up to `now`; a time before the last one changes nothing.
    pub fn refill(&mut self, rate: Rate, now: Duration) {
        if now.saturating_sub(self.peak_at) > PEAK_KEPT {
            (self.peak, self.peak_at) = (0.0, now);
        }
        if now.as_secs() != self.second.0 {
            if self.second.1 > self.peak {
                (self.peak, self.peak_at) = (self.second.1, now);
            }
            self.second = (now.as_secs(), 0.0);
        }
        let units = self.units(rate);
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * units).min(units * BURST_SECONDS);
        self.filled_at = self.filled_at.max(now);
    }

    /// Whether it holds `cost`. What costs more than it can ever hold is let through when it is full.
    pub fn holds(&self, rate: Rate, cost: f64) -> bool {
        self.tokens >= cost.min(self.units(rate) * BURST_SECONDS) && self.tokens > 0.0
    }

    pub fn take(&mut self, cost: f64) {
        self.tokens -= cost;
        self.second.1 += cost;
    }

    pub fn filled_at(&self) -> Duration {
        self.filled_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `tries` requests of `cost` go through at `at`.
    fn through(bucket: &mut Bucket, rate: Rate, at: u64, cost: f64, tries: usize) -> usize {
        bucket.refill(rate, Duration::from_secs(at));
        (0..tries)
            .filter(|_| {
                let holds = bucket.holds(rate, cost);
                if holds {
                    bucket.take(cost);
                }
                holds
            })
            .count()
    }

    #[test]
    fn five_minutes_are_kept_and_no_more() {
        let rate = Rate::provisioned(10);
        let mut bucket = Bucket::full(rate, Duration::from_secs(1000));
        for (at, want) in [(1000, 3000), (1000, 0), (1001, 10), (1003, 20), (1300, 2970), (2300, 3000), (2299, 0)] {
            assert_eq!(through(&mut bucket, rate, at, 1.0, 10_000), want, "at {at}");
        }
    }

    #[test]
    fn half_units_and_debts() {
        let rate = Rate::provisioned(1);
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        assert_eq!(through(&mut bucket, rate, 0, 0.5, 10_000), 600);
        bucket.take(5.0);
        for (at, want) in [(1, 0), (5, 0), (6, 1), (7, 1)] {
            assert_eq!(through(&mut bucket, rate, at, 1.0, 10), want, "at {at}");
        }
    }

    #[test]
    fn nothing_provisioned_lets_nothing_through() {
        let rate = Rate::provisioned(0);
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        assert_eq!(through(&mut bucket, rate, 1000, 1.0, 5), 0);
    }

    #[test]
    fn on_demand_follows_twice_the_peak() {
        let rate = Rate::on_demand(None, Side::Write);
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        bucket.refill(rate, Duration::from_secs(1));
        bucket.take(10_000.0);
        bucket.refill(rate, Duration::from_secs(2));
        assert_eq!(bucket.units(rate), 20_000.0);
        bucket.refill(rate, Duration::from_secs(2 + 1801));
        assert_eq!(bucket.units(rate), 4_000.0, "a peak is forgotten");
        assert_eq!(Rate::on_demand(Some(7), Side::Read), Rate::Fixed(7.0));
    }
}
