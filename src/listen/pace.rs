//! Pace: how long a request body may still be waited for.
//!
//! In: how many bytes came, how long they were waited for. Out: the patience left. Never: clocks.

use crate::config::compiled::Limits;
use std::time::Duration;

/// One body's progress. Only time spent waiting for the viewer counts: a slow origin is not the viewer's fault.
#[derive(Debug, Default)]
pub struct Pace {
    bytes: u64,
    waited: Duration,
}

// === impl Pace ===

impl Pace {
    /// Bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `bytes` came after a wait of `waited`.
    pub fn came(&mut self, bytes: usize, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited = self.waited.saturating_add(waited);
    }

    /// How long the next byte may take: `body_timeout`, and no longer than until the average falls below
    /// `body_min_rate` after `body_grace`.
    pub fn patience(&self, limits: &Limits) -> Duration {
        let Some(earned) = self.bytes.saturating_mul(1000).checked_div(limits.body_min_rate) else {
            return limits.body_timeout;
        };
        let allowed = limits.body_grace.max(Duration::from_millis(earned));
        limits.body_timeout.min(allowed.saturating_sub(self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use super::*;

    #[test]
    fn patience_is_earned_by_bytes_and_spent_by_waiting() {
        let seconds = Duration::from_secs;
        let timed =
            |rate| Limits { body_timeout: seconds(30), body_min_rate: rate, body_grace: seconds(5), ..limits() };
        for (rate, bytes, waited, want) in [
            (0, 0, 1000, seconds(30)),
            (100, 0, 0, seconds(5)),
            (100, 0, 4, seconds(1)),
            (100, 0, 6, seconds(0)),
            (100, 400, 4, seconds(1)),
            (100, 1000, 4, seconds(6)),
            (100, 1000, 11, seconds(0)),
            (100, 1_000_000, 4, seconds(30)),
            (1, u64::MAX, 4, seconds(30)),
        ] {
            let pace = Pace { bytes, waited: seconds(waited) };
            assert_eq!(pace.patience(&timed(rate)), want, "{rate} B/s, {bytes} bytes in {waited} s");
        }
    }

    #[test]
    fn bytes_and_waits_add_up() {
        let mut pace = Pace::default();
        pace.came(100, Duration::from_millis(10));
        pace.came(50, Duration::ZERO);
        assert_eq!((pace.bytes, pace.waited), (150, Duration::from_millis(10)));
    }
}
