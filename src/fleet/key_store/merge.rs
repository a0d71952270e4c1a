//! Merge: what a node makes of an API key that another one tells of.
//!
//! In: what is known of a name here, and there. Out: what is known of it now, and whether the others lack something of that. Never: a revoked
//! value that is accepted again because somebody tells late of what it was before.
//!
//! Of two records the one that the bus has last counts, but for two things that only grow, so that a change which was made without knowing
//! of them does not undo them: the values that were deleted under a name, and how often a key was switched on or off.

use serde::{Deserialize, Serialize};

/// Values deleted under one name that are remembered, the newest.
const GONE_MAX: usize = 16;

/// SHA-256 of a key's value.
pub type Hash = [u8; 32];

/// A key as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub hash: Hash,
    pub enabled: bool,
    pub plans: Vec<String>,
    pub created_ms: u64,
    /// How often `enabled` was changed.
    #[serde(default)]
    pub switched: u64,
}

/// What is known of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub record: Option<Record>,
    /// Values that were deleted under it, the newest last.
    pub gone: Vec<Hash>,
}

// === impl Known ===
impl Known {
    /// What is known once `told` is. `dirty`: the others are still to be told of what was changed here; then that stands, and of theirs only
    /// what revokes something counts. Besides: whether the others are to be told.
    pub fn merge(&self, told: &Known, dirty: bool) -> (Known, bool) {
        let mut known = Known { record: None, gone: self.gone.clone() };
        told.gone.iter().for_each(|hash| known.revoke(*hash));
        let lives = |record: &Option<Record>| record.clone().filter(|record| !known.gone.contains(&record.hash));
        known.record = match (lives(&self.record), lives(&told.record)) {
            (Some(here), Some(there)) if here.hash == there.hash => {
                let (switched, enabled) = here.switch(&there);
                let last = if dirty { here } else { there };
                Some(Record { switched, enabled, ..last })
            }
            (here, _) if dirty => here,
            (_, Some(there)) => Some(there),
            // An earlier version does not say what it deleted.
            (_, None) if told.gone.is_empty() && told.record.is_none() => None,
            // What was deleted there is not what is here.
            (here, None) => here,
        };
        let lacking = known.gone.iter().any(|hash| !told.gone.contains(hash)) && told.gone.len() < GONE_MAX;
        let tell = !dirty && (lacking || known.record != told.record);
        (known, tell)
    }

    /// A value is not to be accepted again under this name.
    pub fn revoke(&mut self, hash: Hash) {
        if !self.gone.contains(&hash) {
            self.gone.push(hash);
            self.gone.drain(..self.gone.len().saturating_sub(GONE_MAX));
        }
    }
}

// === impl Record ===
impl Record {
    /// Whoever has seen more switches is right; of as many, whoever switched it off.
    fn switch(&self, other: &Record) -> (u64, bool) {
        match self.switched.cmp(&other.switched) {
            std::cmp::Ordering::Greater => (self.switched, self.enabled),
            std::cmp::Ordering::Less => (other.switched, other.enabled),
            std::cmp::Ordering::Equal => (self.switched, self.enabled && other.enabled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(hash: u8, plan: &str, switched: u64, enabled: bool) -> Option<Record> {
        Some(Record { hash: [hash; 32], enabled, plans: vec![plan.into()], created_ms: 7, switched })
    }

    fn known(record: Option<Record>, gone: &[u8]) -> Known {
        Known { record, gone: gone.iter().map(|hash| [*hash; 32]).collect() }
    }

    #[test]
    fn what_becomes_of_a_key() {
        let gold = || record(1, "gold", 0, true);
        for (name, here, told, dirty, want, tell) in [
            ("a new one", known(None, &[]), known(gold(), &[]), false, known(gold(), &[]), false),
            ("the same", known(gold(), &[]), known(gold(), &[]), false, known(gold(), &[]), false),
            (
                "the last counts",
                known(record(1, "a", 0, true), &[]),
                known(gold(), &[]),
                false,
                known(gold(), &[]),
                false,
            ),
            (
                "but for one's own",
                known(record(1, "a", 0, true), &[]),
                known(gold(), &[]),
                true,
                known(record(1, "a", 0, true), &[]),
                false,
            ),
            ("deleted", known(gold(), &[]), known(None, &[1]), false, known(None, &[1]), false),
            ("deleted by an earlier version", known(gold(), &[]), known(None, &[]), false, known(None, &[]), false),
            ("also where it was changed", known(gold(), &[]), known(None, &[1]), true, known(None, &[1]), false),
            ("told late", known(None, &[1]), known(gold(), &[]), false, known(None, &[1]), true),
            (
                "told late of another",
                known(record(2, "b", 0, true), &[1]),
                known(gold(), &[]),
                false,
                known(record(2, "b", 0, true), &[1]),
                true,
            ),
            (
                "another was deleted",
                known(record(2, "b", 0, true), &[]),
                known(None, &[1]),
                false,
                known(record(2, "b", 0, true), &[1]),
                true,
            ),
            (
                "made anew",
                known(None, &[1]),
                known(record(2, "b", 0, true), &[1]),
                false,
                known(record(2, "b", 0, true), &[1]),
                false,
            ),
            (
                "made anew, seen at once",
                known(gold(), &[]),
                known(record(2, "b", 0, true), &[1]),
                false,
                known(record(2, "b", 0, true), &[1]),
                false,
            ),
            (
                "two of one name",
                known(gold(), &[]),
                known(record(2, "b", 0, true), &[]),
                false,
                known(record(2, "b", 0, true), &[]),
                false,
            ),
            (
                "off stays off",
                known(record(1, "a", 1, false), &[]),
                known(gold(), &[]),
                false,
                known(record(1, "gold", 1, false), &[]),
                true,
            ),
            (
                "off where it was changed",
                known(gold(), &[]),
                known(record(1, "a", 1, false), &[]),
                true,
                known(record(1, "gold", 1, false), &[]),
                false,
            ),
            (
                "on again",
                known(record(1, "a", 1, false), &[]),
                known(record(1, "a", 2, true), &[]),
                false,
                known(record(1, "a", 2, true), &[]),
                false,
            ),
            (
                "off and on at once",
                known(record(1, "a", 3, false), &[]),
                known(record(1, "a", 3, true), &[]),
                false,
                known(record(1, "a", 3, false), &[]),
                true,
            ),
            (
                "on again after what is told late",
                known(record(1, "a", 2, true), &[]),
                known(record(1, "b", 1, false), &[]),
                false,
                known(record(1, "b", 2, true), &[]),
                true,
            ),
        ] {
            assert_eq!(here.merge(&told, dirty), (want, tell), "{name}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_told_once() {
        let many = |from: u8| known(None, &(from..from + GONE_MAX as u8).collect::<Vec<_>>());
        let (merged, tell) = many(0).merge(&many(5), false);
        assert_eq!((merged.gone.len(), merged.gone.last(), tell), (GONE_MAX, Some(&[20; 32]), false));
        let (merged, tell) = many(0).merge(&known(None, &[3]), false);
        assert_eq!((merged, tell), (many(0), true));
    }
}
