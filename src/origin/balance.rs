//! Balance: decides which usable target of an origin takes the next request.
//!
//! In: the targets' weights, which of them are usable, a hash or a roll.
//! Out: a target's index. Never: knows why a target is not usable, keeps a clock.
//!
//! Own code, not `pingora-load-balancing`: its selections are keyed by resolved socket addresses (ours are names whose
//! addresses change) and its round robin repeats a target by its weight instead of spreading it.

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::target::TargetId;
use crate::config::compiled;

/// Points on the ring for each unit of weight: nginx's and libketama's figure.
const POINTS: u64 = 160;
/// Points on one ring in all, 16 bytes each; past it every target gets proportionally fewer.
const RING_MAX: u64 = 65_536;

/// How one origin spreads its requests, with the state that needs.
#[derive(Debug)]
pub enum Balance {
    RoundRobin { weights: Vec<u32>, current: Mutex<Vec<i64>> },
    Random { weights: Vec<u32> },
    Consistent(Ring),
}

/// Ketama's continuum: a key belongs to the next point clockwise, so a target that leaves moves only its own keys.
#[derive(Debug)]
pub struct Ring {
    /// Sorted by hash.
    points: Vec<(u64, TargetId)>,
}

// === impl Balance ===

impl Balance {
    /// `targets`: each target's stable name and weight, by index.
    pub fn new(kind: compiled::Balance, targets: &[(String, u32)]) -> Self {
        let weights: Vec<u32> = targets.iter().map(|(_, weight)| *weight).collect();
        match kind {
            compiled::Balance::RoundRobin => {
                Balance::RoundRobin { current: Mutex::new(vec![0; weights.len()]), weights }
            }
            compiled::Balance::Random => Balance::Random { weights },
            compiled::Balance::Consistent => Balance::Consistent(Ring::new(targets)),
        }
    }

    /// One of the targets whose place in `usable` is true; `None` when there is none. `hash` matters to the ring only,
    /// `roll` (uniform) to random only.
    pub fn choose(&self, usable: &[bool], hash: u64, roll: u64) -> Option<TargetId> {
        match self {
            Balance::RoundRobin { weights, current } => round_robin(&mut current.lock(), weights, usable),
            Balance::Random { weights } => random(weights, usable, roll),
            Balance::Consistent(ring) => ring.choose(usable, hash),
        }
    }
}

// === impl Ring ===

impl Ring {
    pub fn new(targets: &[(String, u32)]) -> Self {
        let total: u64 = targets.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut points: Vec<(u64, TargetId)> = Vec::new();
        for (target, (name, weight)) in targets.iter().enumerate() {
            let weight = u64::from(*weight);
            let share = (weight * RING_MAX).checked_div(total).unwrap_or_default();
            let count = (weight * POINTS).min(share).max(u64::from(weight > 0));
            // The n-th point of a name never depends on the other targets: that is what keeps the ring stable.
            points.extend((0..count).map(|n| (xxh3_64_with_seed(name.as_bytes(), n), target)));
        }
        points.sort_unstable();
        Ring { points }
    }

    fn choose(&self, usable: &[bool], hash: u64) -> Option<TargetId> {
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.points.split_at(start);
        let clockwise = after.iter().chain(before).map(|(_, target)| *target);
        clockwise.into_iter().find(|target| usable.get(*target) == Some(&true)).or_else(|| first(usable))
    }
}

// === free functions ===

/// nginx's smooth weighted round robin: every target gains its weight, the richest pays the sum. Weights 5, 1, 1 give
/// a a b a c a a, not a a a a a b c.
fn round_robin(current: &mut [i64], weights: &[u32], usable: &[bool]) -> Option<TargetId> {
    let mut total = 0;
    let mut best: Option<(TargetId, i64)> = None;
    for (target, (score, weight)) in current.iter_mut().zip(weights).enumerate() {
        if usable.get(target) != Some(&true) || *weight == 0 {
            continue;
        }
        let weight = i64::from(*weight);
        total += weight;
        *score += weight;
        if best.is_none_or(|(_, richest)| *score > richest) {
            best = Some((target, *score));
        }
    }
    let Some((target, _)) = best else { return first(usable) };
    if let Some(score) = current.get_mut(target) {
        *score -= total;
    }
    Some(target)
}

fn random(weights: &[u32], usable: &[bool], roll: u64) -> Option<TargetId> {
    let candidates = || weights.iter().zip(usable).enumerate().filter(|(_, (_, usable))| **usable);
    let total: u64 = candidates().map(|(_, (weight, _))| u64::from(*weight)).sum();
    let mut left = roll.checked_rem(total).unwrap_or_default();
    for (target, (weight, _)) in candidates() {
        let weight = u64::from(*weight);
        if left < weight {
            return Some(target);
        }
        left -= weight;
    }
    first(usable)
}

/// Weight 0 means "only when nothing else is left".
fn first(usable: &[bool]) -> Option<TargetId> {
    usable.iter().position(|usable| *usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(weights: &[u32]) -> Vec<(String, u32)> {
        weights.iter().enumerate().map(|(n, weight)| (format!("o{n}.example:80"), *weight)).collect()
    }

    #[test]
    fn round_robin_is_smooth() {
        for (name, weights, usable, want) in [
            ("one of each", vec![1, 1, 1], vec![true; 3], "0120120"),
            ("heavy one is spread", vec![5, 1, 1], vec![true; 3], "0010200"),
            ("unusable is passed over", vec![5, 1, 1], vec![false, true, true], "1212121"),
            ("weight 0 waits", vec![0, 1], vec![true; 2], "1111111"),
            ("weight 0 serves when alone", vec![0, 1], vec![true, false], "0000000"),
        ] {
            let balance = Balance::new(compiled::Balance::RoundRobin, &targets(&weights));
            let got: String = (0..7).map(|_| balance.choose(&usable, 0, 0).unwrap().to_string()).collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn nothing_usable_is_nothing() {
        for kind in [compiled::Balance::RoundRobin, compiled::Balance::Random, compiled::Balance::Consistent] {
            assert_eq!(Balance::new(kind, &targets(&[1, 2])).choose(&[false, false], 7, 7), None, "{kind:?}");
            assert_eq!(Balance::new(kind, &[]).choose(&[], 7, 7), None, "{kind:?}");
        }
    }

    #[test]
    fn random_follows_the_weights() {
        let balance = Balance::new(compiled::Balance::Random, &targets(&[3, 1, 2]));
        let all: Vec<_> = (0..6).map(|roll| balance.choose(&[true; 3], 0, roll).unwrap()).collect();
        assert_eq!(all, [0, 0, 0, 1, 2, 2]);
        let two: Vec<_> = (0..3).map(|roll| balance.choose(&[false, true, true], 0, roll).unwrap()).collect();
        assert_eq!(two, [1, 2, 2]);
    }

    #[test]
    fn a_target_that_leaves_moves_only_its_own_keys() {
        let ring = Ring::new(&targets(&[1, 1, 1, 1]));
        let mut moved = 0;
        for key in 0u64..4000 {
            let hash = xxh3_64_with_seed(&key.to_le_bytes(), 1);
            let with = ring.choose(&[true; 4], hash).unwrap();
            let without = ring.choose(&[true, true, false, true], hash).unwrap();
            if with == 2 {
                moved += 1;
                assert_ne!(without, 2);
            } else {
                assert_eq!(with, without);
            }
        }
        assert!((600..1500).contains(&moved), "{moved} of 4000 keys were on one of four targets");
    }

    #[test]
    fn a_target_taken_out_of_the_configuration_moves_only_its_own_keys() {
        let four = targets(&[2, 1, 1, 1]);
        let three: Vec<_> = four.iter().take(3).cloned().collect();
        let (before, after) = (Ring::new(&four), Ring::new(&three));
        for key in 0u64..2000 {
            let hash = xxh3_64_with_seed(&key.to_le_bytes(), 1);
            let was = before.choose(&[true; 4], hash).unwrap();
            if was != 3 {
                assert_eq!(after.choose(&[true; 3], hash), Some(was));
            }
        }
    }

    #[test]
    fn the_ring_is_bounded_and_weighted() {
        let ring = Ring::new(&targets(&[1_000_000, 500_000, 0]));
        assert!(ring.points.len() as u64 <= 2 * RING_MAX);
        let ring = Ring::new(&targets(&[3, 1, 0]));
        assert_eq!(ring.points.len() as u64, 4 * POINTS);
        assert!(ring.points.iter().all(|(_, target)| *target != 2));
    }
}
