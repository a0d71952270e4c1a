//! Eject: decides when a target that fails real requests rests.
//!
//! In: one target's outcomes with their time, the rule, how many targets rest already.
//! Out: whether it rests now. Never: a clock of its own, active checks.

use std::time::Instant;

use crate::config::compiled::Eject;

/// One target's failures in a row, and its rest.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// When the failures since the last success happened; never longer than the rule's `failures`.
    failures: Vec<Instant>,
    rests_until: Option<Instant>,
}

// === impl Record ===

impl Record {
    /// A request succeeded: failures count in a row only, else a busy target's rare errors would add up.
    pub fn succeeded(&mut self) {
        self.failures.clear();
    }

    /// A request failed. True when the rule now wants this target to rest.
    pub fn failed(&mut self, now: Instant, rule: &Eject) -> bool {
        self.failures.retain(|at| now.saturating_duration_since(*at) < rule.window);
        let limit = rule.failures.max(1) as usize;
        if self.failures.len() >= limit {
            self.failures.remove(0);
        }
        self.failures.push(now);
        self.failures.len() >= limit
    }

    /// Lets the target rest; its failures start from none afterwards.
    pub fn rest(&mut self, now: Instant, rule: &Eject) {
        self.failures.clear();
        self.rests_until = Some(now + rule.rest);
    }

    pub fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

// === free functions ===

/// Whether one more of `total` targets may rest when `resting` already do.
pub fn may_rest(resting: usize, total: usize, rule: &Eject) -> bool {
    (resting + 1) * 100 <= total * usize::from(rule.max_percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULE: Eject =
        Eject { failures: 3, window: Duration::from_secs(10), rest: Duration::from_secs(30), max_percent: 50 };

    #[test]
    fn failures_in_a_row_within_the_window() {
        // (seconds, succeeded) … → whether the last failure asks for rest.
        for (name, events, want) in [
            ("one is not enough", vec![(0, false)], false),
            ("three in ten seconds", vec![(0, false), (4, false), (9, false)], true),
            ("the first is too old", vec![(0, false), (9, false), (10, false)], false),
            ("a success forgives", vec![(0, false), (1, false), (2, true), (3, false)], false),
        ] {
            let start = Instant::now();
            let mut record = Record::default();
            let mut wants = false;
            for (second, good) in events {
                let now = start + Duration::from_secs(second);
                wants = match good {
                    true => {
                        record.succeeded();
                        false
                    }
                    false => record.failed(now, &RULE),
                };
            }
            assert_eq!(wants, want, "{name}");
        }
    }

    #[test]
    fn rest_ends() {
        let now = Instant::now();
        let mut record = Record::default();
        record.rest(now, &RULE);
        assert!(record.rests(now + Duration::from_secs(29)));
        assert!(!record.rests(now + Duration::from_secs(30)));
    }

    #[test]
    fn only_a_share_rests() {
        for (resting, total, want) in [(0, 1, false), (0, 2, true), (1, 2, false), (1, 4, true), (2, 4, false)] {
            assert_eq!(may_rest(resting, total, &RULE), want, "{resting} of {total}");
        }
    }

    #[test]
    fn memory_is_bounded_by_the_rule() {
        let now = Instant::now();
        let mut record = Record::default();
        for _ in 0..100 {
            record.failed(now, &RULE);
        }
        assert_eq!(record.failures.len(), 3);
    }
}
