//! Watching: whether what is new does worse than what was there.
//!
//! In: the counts of both. Out: a verdict on an act, for the course. Never: a bound of its own (`fleet::revision::judge` has them).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Revising;
use crate::fleet::revision::{Event, Sample, Want, judge};
use crate::proxy::phases::now_ms;
use crate::proxy::tally::Tally;

/// What was there before an act.
pub(super) struct Before {
    tally: Arc<Tally>,
    from: Sample,
}

// === impl Revising: watching ===
impl Revising {
    /// Remembers what new acts are to be compared with.
    pub(super) fn compare(&self, want: &Want, before: Arc<Tally>) {
        let running = self.known.lock().course.running().clone();
        let now = self.shared.live.load().tally.clone();
        let mut noted = self.noted.lock();
        let mut kept = BTreeSet::from([want.main.act]);
        if running.main != want.main {
            noted.before.insert(want.main.act, Before { tally: before, from: Sample::default() });
        }
        if let Some((placed, _)) = want.canary {
            kept.insert(placed.act);
            let from = now.now();
            noted.before.entry(placed.act).or_insert(Before { tally: now, from });
        }
        noted.before.retain(|act, _| kept.contains(act));
    }

    /// Judges what is new.
    pub(super) fn watch(&self) {
        let now = now_ms();
        let (main, canary) = (self.shared.live.load(), self.shared.live.canary());
        let (mut known, noted) = (self.known.lock(), self.noted.lock());
        let watched: Vec<u64> = known.course.watched(now).collect();
        for act in watched {
            let Some(before) = noted.before.get(&act) else { continue };
            let of_canary = known.course.running().canary.is_some_and(|(placed, _)| placed.act == act);
            let (old, new) = match (&canary, of_canary) {
                // A reload of the node's own files begins to count anew.
                (Some(canary), true) => (main.tally.now().since(&before.from), canary.snapshot.tally.now()),
                _ => (before.tally.now(), main.tally.now()),
            };
            if let Some(why) = judge(&old, &new) {
                log::error!("revision {act} goes back: {why}");
                let why = format!("{} in {}: {why}", self.node, self.pop);
                known.course.take(Event::Judged { act, why }, now, self.most);
            }
        }
    }
}
