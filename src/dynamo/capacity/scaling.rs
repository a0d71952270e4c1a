//! Scaling: target tracking of provisioned units, as Application Auto Scaling does it for DynamoDB.
//!
//! In: the units consumed in each minute, what is provisioned. Out: what is to be provisioned. Never: a clock, a table.
//!
//! The target's alarms: above the target for two minutes in a row raises; below it by 20 points for fifteen lowers
//! (developer guide, "Managing throughput capacity automatically with DynamoDB auto scaling"). Decreases are rationed:
//! four in a day, and one in each hour without any ("Service quotas", "Decreasing provisioned throughput").

use crate::config::compiled::Scaling;

const ABOVE_MINUTES: u32 = 2;
const BELOW_MINUTES: u32 = 15;
const BELOW_POINTS: f64 = 20.0;
const DECREASES_A_DAY: u32 = 4;

/// What is remembered from minute to minute.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct State {
    above: u32,
    below: u32,
    day: u64,
    decreases: u32,
    last_decrease: Option<u64>,
}

// === impl State ===
impl State {
    /// Takes one minute in: `consumed` units of it, `provisioned` units a second. `minute` counts from any midnight.
    pub fn minute(&mut self, scaling: Scaling, consumed: f64, provisioned: u64, minute: u64) -> Option<u64> {
        let (day, provisioned_f) = (minute / 1440, provisioned.max(1) as f64);
        if day != self.day {
            (self.day, self.decreases) = (day, 0);
        }
        let a_second = consumed / 60.0;
        let used = 100.0 * a_second / provisioned_f;
        let target = f64::from(scaling.target);
        self.above = if used > target { self.above + 1 } else { 0 };
        self.below = if used < target - BELOW_POINTS { self.below + 1 } else { 0 };
        let (min, max) = (u64::from(scaling.min), u64::from(scaling.max));
        let wanted = ((a_second * 100.0 / target).ceil() as u64).clamp(min, max);
        if provisioned < min || provisioned > max {
            return Some(provisioned.clamp(min, max));
        }
        if self.above >= ABOVE_MINUTES && wanted > provisioned {
            self.above = 0;
            return Some(wanted);
        }
        if self.below >= BELOW_MINUTES && wanted < provisioned && self.may_decrease(minute) {
            self.below = 0;
            self.decreases += 1;
            self.last_decrease = Some(minute);
            return Some(wanted);
        }
        None
    }

    fn may_decrease(&self, minute: u64) -> bool {
        self.decreases < DECREASES_A_DAY || self.last_decrease.is_none_or(|last| minute.saturating_sub(last) >= 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALING: Scaling = Scaling { min: 5, max: 100, target: 70 };

    #[test]
    fn two_minutes_above_raise() {
        let mut state = State::default();
        for (consumed, provisioned, want) in
            [(70.0 * 60.0, 10, None), (5.0 * 60.0, 10, None), (70.0 * 60.0, 10, None), (70.0 * 60.0, 10, Some(100))]
        {
            assert_eq!(state.minute(SCALING, consumed, provisioned, 0), want);
        }
        let mut state = State::default();
        assert_eq!(state.minute(SCALING, 21.0 * 60.0, 10, 0), None);
        assert_eq!(state.minute(SCALING, 21.0 * 60.0, 10, 1), Some(30));
        assert_eq!(State::default().minute(SCALING, 7.0 * 60.0, 10, 0), None, "at the target nothing moves");
    }

    #[test]
    fn fifteen_minutes_below_lower() {
        let mut state = State::default();
        let moves: Vec<_> =
            (0..16).filter_map(|at| state.minute(SCALING, 7.0 * 60.0, 50, at).map(|to| (at, to))).collect();
        assert_eq!(moves, [(14, 10)]);
    }

    #[test]
    fn decreases_are_rationed() {
        let mut state = State::default();
        let moves: Vec<u64> = (0..1440).filter(|at| state.minute(SCALING, 0.0, 100, *at).is_some()).collect();
        assert_eq!(moves[..6], [14, 29, 44, 59, 119, 179]);
        assert_eq!(moves.len(), 27, "four, and one in each quiet hour");
    }

    #[test]
    fn bounds_hold_at_once() {
        assert_eq!(State::default().minute(SCALING, 0.0, 2, 0), Some(5));
        assert_eq!(State::default().minute(SCALING, 0.0, 500, 0), Some(100));
    }
}
