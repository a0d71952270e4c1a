//! Failures: which stale objects stand in for an origin that has just been asked for them and failed.
//!
//! In: the slot of an object whose origin failed, when a request came, the instant. Out: whether that request need not ask again.
//! Never: what may be served when the origin fails (`judge`); more than two generations of slots.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cache::object::KeyHash;

/// Slots of one generation; two of them take 3 MiB. What is forgotten costs the origin another question.
const GENERATION: usize = 32_768;

/// The newest failure of each slot.
#[derive(Debug, Default)]
pub struct Failures(Mutex<Generations>);

/// When the younger is full, the elder is forgotten. Milliseconds since the epoch.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<KeyHash, u64>,
    old: HashMap<KeyHash, u64>,
}

/// A request that found a stale object.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// When the object was stored, or last confirmed. Milliseconds since the epoch, as the others.
    pub stored_ms: u64,
    /// When the request came.
    pub came_ms: u64,
    pub now_ms: u64,
    /// How long a failure also speaks to those who come after it.
    pub rest: Duration,
}

// === impl Failures ===
impl Failures {
    /// Notes that the origin failed for the object in `slot`.
    pub fn note(&self, slot: KeyHash, now_ms: u64) {
        let mut all = self.0.lock();
        if all.young.len() >= GENERATION && !all.young.contains_key(&slot) {
            all.old = std::mem::take(&mut all.young);
        }
        all.young.insert(slot, now_ms);
    }

    /// Whether the origin's newest failure for the object in `slot` is the answer to `asker` too.
    pub fn answers(&self, slot: &KeyHash, asker: Asker) -> bool {
        let all = self.0.lock();
        all.young.get(slot).or_else(|| all.old.get(slot)).is_some_and(|failed_ms| asker.takes(*failed_ms))
    }
}

// === impl Asker ===
impl Asker {
    /// A failure is its answer when nothing newer was stored since, and it asked before the origin failed, or the origin rests.
    fn takes(&self, failed_ms: u64) -> bool {
        let rests = u128::from(self.now_ms.saturating_sub(failed_ms)) < self.rest.as_millis();
        failed_ms > self.stored_ms && (failed_ms >= self.came_ms || rests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_answer_a_failure_is() {
        let asker = |stored_ms, came_ms, now_ms, rest_ms| Asker {
            stored_ms,
            came_ms,
            now_ms,
            rest: Duration::from_millis(rest_ms),
        };
        let failures = Failures::default();
        failures.note([1; 16], 1_000);
        for (name, slot, asker, want) in [
            ("who waited for it", 1, asker(10, 900, 1_000, 0), true),
            ("who came at that moment", 1, asker(10, 1_000, 1_000, 0), true),
            ("who came later", 1, asker(10, 1_001, 1_001, 0), false),
            ("who came while the origin rests", 1, asker(10, 1_001, 1_499, 500), true),
            ("who came when it had rested", 1, asker(10, 1_500, 1_500, 500), false),
            ("the object is newer", 1, asker(1_000, 900, 1_001, 500), false),
            ("another object", 2, asker(10, 900, 1_000, 500), false),
        ] {
            assert_eq!(failures.answers(&[slot; 16], asker), want, "{name}");
        }
        failures.note([1; 16], 2_000);
        assert!(failures.answers(&[1; 16], asker(1_500, 1_600, 2_000, 0)), "the newest counts");
    }

    #[test]
    fn no_more_than_two_generations_are_kept() {
        let failures = Failures::default();
        let slot = |n: usize| (n as u128).to_le_bytes();
        for n in 0..3 * GENERATION {
            failures.note(slot(n), 1);
        }
        let all = failures.0.lock();
        assert_eq!((all.young.len(), all.old.len()), (GENERATION, GENERATION));
        assert!(all.young.contains_key(&slot(3 * GENERATION - 1)));
    }
}
