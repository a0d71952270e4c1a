//! Plan: how calls of an alias move from one version to another.
//!
//! In: a plan, how far it has come, what the new version's calls were like, the time. Out: go on, stay, be done, or go back. Never: the
//! clock, a call.
//!
//! AWS CodeDeploy User Guide, "Deployment configurations on an AWS Lambda compute platform".

use serde::{Deserialize, Serialize};

/// Calls of the new version that an alarm needs: fewer say nothing.
const CALLS_LEAST: usize = 10;
/// Shares that are set one after another.
const STEPS_MAX: u32 = 100;

/// A share for each step, each for some time, then all of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::lambda) struct Plan {
    /// What each step adds, in percent.
    pub percent: f64,
    /// How long a step lasts, in milliseconds.
    pub every_ms: u64,
    /// 0 = all calls at once.
    pub steps: u32,
}

/// What sends the calls back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::lambda) struct Alarm {
    /// More errors than this, in percent of the new version's calls.
    pub errors: Option<f64>,
    /// Its slowest calls but one in a hundred take longer than this, in milliseconds.
    pub p99_ms: Option<u64>,
    /// Over how long they are counted.
    pub window_ms: u64,
}

/// A move of calls to another version, and how far it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::lambda) struct Shift {
    pub from: String,
    pub to: String,
    pub plan: Plan,
    pub alarm: Option<Alarm>,
    /// From 0; since when, in milliseconds since the epoch.
    pub step: u32,
    pub since_ms: u64,
    pub began_ms: u64,
    pub ended_ms: Option<u64>,
    pub state: State,
    /// Why it went back.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) enum State {
    InProgress,
    Succeeded,
    RolledBack,
}

/// The new version's calls of the alarm's window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lambda) struct Counts {
    pub calls: usize,
    pub errors: usize,
    pub p99_ms: Option<u64>,
}

/// What becomes of a shift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lambda) enum Next {
    Stay,
    Step(u32),
    Promote,
    RollBack(String),
}

// === impl Plan ===
impl Plan {
    /// A configuration of CodeDeploy: "canary10percent5minutes", "Linear10PercentEvery1Minute", "all-at-once"; other numbers too.
    pub(in crate::lambda) fn named(text: &str) -> Option<Self> {
        let plain: String = text.to_ascii_lowercase().chars().filter(|c| !matches!(c, '-' | '_' | '.')).collect();
        let plain = plain.strip_prefix("codedeploydefaultlambda").or(plain.strip_prefix("lambda")).unwrap_or(&plain);
        if plain == "allatonce" {
            return Some(Plan { percent: 100.0, every_ms: 0, steps: 0 });
        }
        let minutes = |text: &str| {
            let count = text.strip_suffix("minutes").or(text.strip_suffix("minute"))?;
            count.parse::<u32>().ok().filter(|count| *count > 0)
        };
        let parts = |text: &str, between: &str| {
            let (percent, rest) = text.split_once(between)?;
            Some((percent.parse::<u32>().ok()?, u64::from(minutes(rest)?) * 60_000))
        };
        if let Some(rest) = plain.strip_prefix("canary") {
            let (percent, every_ms) = parts(rest, "percent")?;
            return Plan::new(f64::from(percent), every_ms, 1);
        }
        let (percent, every_ms) = parts(plain.strip_prefix("linear")?, "percentevery")?;
        // The last share is all of it.
        Plan::new(f64::from(percent), every_ms, 100u32.div_ceil(percent.max(1)).saturating_sub(1))
    }

    /// `None`: no plan has such numbers.
    pub(in crate::lambda) fn new(percent: f64, every_ms: u64, steps: u32) -> Option<Self> {
        let fits = percent > 0.0 && percent <= 100.0 && every_ms > 0 && steps <= STEPS_MAX;
        fits.then_some(Plan { percent, every_ms, steps })
    }

    /// The new version's share at a step, 0 to 1.
    pub(in crate::lambda) fn weight(&self, step: u32) -> f64 {
        (self.percent * f64::from(step + 1) / 100.0).min(1.0)
    }
}

// === impl Alarm ===
impl Alarm {
    /// What is wrong, in words.
    pub(in crate::lambda) fn fires(&self, counts: &Counts) -> Option<String> {
        if counts.calls < CALLS_LEAST {
            return None;
        }
        let share = counts.errors as f64 * 100.0 / counts.calls as f64;
        if let Some(most) = self.errors.filter(|most| share > *most) {
            return Some(format!("{} of {} calls failed, {most}% are allowed", counts.errors, counts.calls));
        }
        let slow = counts.p99_ms.filter(|p99| self.p99_ms.is_some_and(|most| *p99 > most))?;
        Some(format!("the slowest calls take {slow} ms, {} ms are allowed", self.p99_ms.unwrap_or_default()))
    }
}

// === impl Shift ===
impl Shift {
    pub(in crate::lambda) fn running(&self) -> bool {
        self.state == State::InProgress
    }

    /// Decides at `now_ms`. `opened_ms`: since when calls are counted; a step that was under way before lasts its whole time anew, so
    /// that no step passes unseen.
    pub(in crate::lambda) fn next(&self, counts: &Counts, opened_ms: u64, now_ms: u64) -> Next {
        if let Some(why) = self.alarm.and_then(|alarm| alarm.fires(counts)) {
            return Next::RollBack(why);
        }
        let since = self.since_ms.max(opened_ms);
        let step = self.step + 1;
        if self.plan.steps > 0 && now_ms < since.saturating_add(self.plan.every_ms) {
            Next::Stay
        } else if step >= self.plan.steps {
            Next::Promote
        } else {
            Next::Step(step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_have_names() {
        for (text, want) in [
            ("all-at-once", Some((100.0, 0, 0))),
            ("canary10percent5minutes", Some((10.0, 300_000, 1))),
            ("CodeDeployDefault.LambdaCanary10Percent15Minutes", Some((10.0, 900_000, 1))),
            ("LambdaLinear10PercentEvery1Minute", Some((10.0, 60_000, 9))),
            ("linear30percentevery2minutes", Some((30.0, 120_000, 3))),
            ("linear100percentevery1minute", Some((100.0, 60_000, 0))),
            ("canary0percent5minutes", None),
            ("canary101percent5minutes", None),
            ("canary10percent0minutes", None),
            ("linear10percent5minutes", None),
            ("later", None),
        ] {
            let got = Plan::named(text).map(|plan| (plan.percent, plan.every_ms, plan.steps));
            assert_eq!(got, want, "{text}");
        }
    }

    /// What happens to a shift over time: "minute weight" at each step, and how it ends.
    fn course(plan: &str, alarm: Option<Alarm>, counts: impl Fn(u64) -> Counts, opened: u64) -> Vec<String> {
        let mut shift = Shift {
            from: "1".into(),
            to: "2".into(),
            plan: Plan::named(plan).unwrap(),
            alarm,
            step: 0,
            since_ms: 0,
            began_ms: 0,
            ended_ms: None,
            state: State::InProgress,
            reason: None,
        };
        let mut said = vec![format!("0 {}", shift.plan.weight(0))];
        for minute in 0..60 {
            match shift.next(&counts(minute), opened * 60_000, minute * 60_000) {
                Next::Stay => {}
                Next::Step(step) => {
                    (shift.step, shift.since_ms) = (step, minute * 60_000);
                    said.push(format!("{minute} {}", shift.plan.weight(step)));
                }
                Next::Promote => {
                    said.push(format!("{minute} promoted"));
                    return said;
                }
                Next::RollBack(why) => {
                    said.push(format!("{minute} {why}"));
                    return said;
                }
            }
        }
        panic!("it never ends: {said:?}");
    }

    #[test]
    fn courses() {
        let quiet = |_| Counts::default();
        let alarm = Some(Alarm { errors: Some(5.0), p99_ms: Some(800), window_ms: 60_000 });
        assert_eq!(course("all-at-once", None, quiet, 0), ["0 1", "0 promoted"]);
        assert_eq!(course("canary10percent5minutes", alarm, quiet, 0), ["0 0.1", "5 promoted"]);
        assert_eq!(course("linear25percentevery2minutes", None, quiet, 0), ["0 0.25", "2 0.5", "4 0.75", "6 promoted"]);
        // Counted again after a restart at minute 7: the step lasts its whole time.
        assert_eq!(course("canary10percent5minutes", alarm, quiet, 7), ["0 0.1", "12 promoted"]);
        let counts = |calls, errors, p99| {
            move |minute| match minute {
                3.. => Counts { calls, errors, p99_ms: Some(p99) },
                _ => Counts { calls: 100, errors: 5, p99_ms: Some(800) },
            }
        };
        for (calls, errors, p99, want) in [
            (100, 6, 1, "3 6 of 100 calls failed, 5% are allowed"),
            (100, 5, 801, "3 the slowest calls take 801 ms, 800 ms are allowed"),
            (9, 9, 900, "5 promoted"),
            (100, 5, 800, "5 promoted"),
        ] {
            assert_eq!(course("canary10percent5minutes", alarm, counts(calls, errors, p99), 0).last().unwrap(), want);
        }
        let errors = Some(Alarm { errors: None, p99_ms: None, window_ms: 1 });
        assert_eq!(course("canary10percent5minutes", errors, counts(50, 50, 9_000), 0).last().unwrap(), "5 promoted");
    }

    #[test]
    fn weights_are_shares() {
        let plan = Plan::new(30.0, 1, 4).unwrap();
        let weights: Vec<f64> = (0..4).map(|step| plan.weight(step)).collect();
        assert_eq!(weights, [0.3, 0.6, 0.9, 1.0]);
        for (percent, every, steps) in [(0.0, 1, 1), (101.0, 1, 1), (1.0, 0, 1), (1.0, 1, 101), (f64::NAN, 1, 1)] {
            assert_eq!(Plan::new(percent, every, steps), None, "{percent} {every} {steps}");
        }
    }
}
