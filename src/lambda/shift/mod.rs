//! Shift: moves the calls of an alias from one version to another, step by step, and back when an alarm says so.
//!
//! In: shifts that were begun, calls. Out: weights of aliases, on disk like every change. Never: a step without its time, a decision
//! (`plan` makes them).

mod plan;
mod tally;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

pub(super) use plan::{Alarm, Counts, Next, Plan, Shift, State};
pub(super) use tally::Tally;

use super::change::Change;
use super::fault::Fault;
use super::registry::Alias;
use super::{Inner, now_ms};

/// How often shifts are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// And whether everything is gone, while there are none.
const NAP: Duration = Duration::from_secs(10);

/// What is kept in memory of shifts.
#[derive(Debug)]
pub(super) struct Shifts {
    pub tally: Tally,
    /// Since when calls are counted.
    opened_ms: u64,
    /// A shift was begun.
    pub begun: Notify,
}

// === impl Shifts ===
impl Shifts {
    pub(super) fn new(now_ms: u64) -> Self {
        Shifts { tally: Tally::default(), opened_ms: now_ms, begun: Notify::new() }
    }

    /// The new version's calls, as the alarm counts them.
    pub(super) fn counts(&self, function: &str, shift: &Shift, now_ms: u64) -> Counts {
        let window = shift.alarm.map_or(u64::MAX, |alarm| alarm.window_ms);
        self.tally.counts(function, &shift.to, window, now_ms)
    }

    /// Moves every shift on, until the room is gone.
    pub(super) async fn pump(inner: Weak<Inner>, shifts: Arc<Shifts>) {
        loop {
            let Some(this) = inner.upgrade() else { return };
            if this.schedule.closing() {
                return;
            }
            let running = running(&this);
            let watched: Vec<_> =
                running.iter().map(|(function, _, shift)| (function.clone(), shift.to.clone())).collect();
            shifts.tally.watch(&watched);
            for (function, alias, shift) in &running {
                let now_ms = now_ms();
                let next = shift.next(&shifts.counts(function, shift, now_ms), shifts.opened_ms, now_ms);
                if next == Next::Stay {
                    continue;
                }
                log::info!(target: "lambda", "{function}:{alias}: {} to {}: {next:?}", shift.from, shift.to);
                if let Err(fault) = this.move_on(function, alias, shift.began_ms, next).await {
                    log::error!(target: "lambda", "{function}:{alias} cannot be moved on: {fault:?}");
                }
            }
            drop(this);
            tokio::select! {
                () = shifts.begun.notified() => {}
                () = tokio::time::sleep(if running.is_empty() { NAP } else { LOOK }) => {}
            }
        }
    }
}

/// Function, alias, shift.
fn running(inner: &Inner) -> Vec<(String, String, Shift)> {
    let known = inner.registry.all();
    let each = known.values().flat_map(|entry| {
        let shifts = entry.function.aliases.iter().filter_map(|(alias, one)| {
            let shift = one.shift.as_ref().filter(|shift| shift.running())?;
            Some((entry.function.name.clone(), alias.clone(), shift.clone()))
        });
        shifts.collect::<Vec<_>>()
    });
    each.collect()
}

// === impl Inner: shifts ===
impl Inner {
    /// Does what was decided, if it is still the same shift.
    async fn move_on(self: &Arc<Self>, function: &str, alias: &str, began_ms: u64, next: Next) -> Result<(), Fault> {
        let (name, alias) = (function.to_owned(), alias.to_owned());
        self.change(name, move |_, known| {
            let Some(mut function) = known.cloned() else { return Ok((Change::Nothing, ())) };
            let Some(one) = function.aliases.get_mut(&alias) else { return Ok((Change::Nothing, ())) };
            let same = one.shift.as_ref().is_some_and(|shift| shift.running() && shift.began_ms == began_ms);
            if !same {
                return Ok((Change::Nothing, ()));
            }
            one.moved(next, now_ms());
            Ok((Change::Put(Box::new(function)), ()))
        })
        .await
    }
}

// === impl Alias: shifts ===
impl Alias {
    /// The alias after a decision at `now_ms`.
    pub(super) fn moved(&mut self, next: Next, now_ms: u64) {
        let Some(shift) = &mut self.shift else { return };
        match next {
            Next::Stay => return,
            Next::Step(step) => {
                (shift.step, shift.since_ms) = (step, now_ms);
                self.weights = [(shift.to.clone(), shift.plan.weight(step))].into();
            }
            Next::Promote => {
                (shift.state, shift.ended_ms) = (State::Succeeded, Some(now_ms));
                self.version.clone_from(&shift.to);
                self.weights.clear();
            }
            Next::RollBack(why) => {
                (shift.state, shift.ended_ms, shift.reason) = (State::RolledBack, Some(now_ms), Some(why));
                self.weights.clear();
            }
        }
        self.revision_id = super::api::uuid();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_follows() {
        let plan = Plan::named("linear25percentevery1minute").unwrap();
        let shift = Shift {
            from: "1".into(),
            to: "2".into(),
            plan,
            alarm: None,
            step: 0,
            since_ms: 0,
            began_ms: 0,
            ended_ms: None,
            state: State::InProgress,
            reason: None,
        };
        let alias = Alias {
            version: "1".into(),
            description: String::new(),
            weights: [("2".to_owned(), 0.25)].into(),
            revision_id: "r".into(),
            shift: Some(shift),
        };
        for (next, version, weight, state) in [
            (Next::Stay, "1", Some(0.25), State::InProgress),
            (Next::Step(2), "1", Some(0.75), State::InProgress),
            (Next::Promote, "2", None, State::Succeeded),
            (Next::RollBack("slow".into()), "1", None, State::RolledBack),
        ] {
            let mut moved = alias.clone();
            moved.moved(next.clone(), 7);
            let shift = moved.shift.clone().unwrap();
            assert_eq!(
                (moved.version.as_str(), moved.weights.get("2").copied(), shift.state),
                (version, weight, state),
                "{next:?}"
            );
            assert_eq!(shift.ended_ms.is_some(), state != State::InProgress);
            assert_eq!(moved.revision_id == "r", next == Next::Stay);
            let kept: Alias = serde_json::from_str(&serde_json::to_string(&moved).unwrap()).unwrap();
            assert_eq!(kept, moved);
        }
        let before = r#"{"version":"1","description":"","weights":{},"revision_id":"r"}"#;
        assert_eq!(serde_json::from_str::<Alias>(before).unwrap().shift, None, "as it was written before");
    }
}
