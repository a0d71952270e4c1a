//! Percentile: what many measurements come to.

use std::time::Duration;

/// Of several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    pub min: Duration,
    pub median: Duration,
    pub p99: Duration,
}

// === impl Spread ===
impl Spread {
    /// `None` of nothing.
    pub fn of(mut times: Vec<Duration>) -> Option<Spread> {
        times.sort();
        // The nearest rank: the smallest that this share of all is not above.
        let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Spread { min: *times.first()?, median: at(50)?, p99: at(99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        let ms = Duration::from_millis;
        for (times, want) in [
            (vec![], None),
            (vec![7], Some((7, 7, 7))),
            (vec![3, 1, 2], Some((1, 2, 3))),
            ((1..=200).collect(), Some((1, 100, 198))),
        ] {
            let got = Spread::of(times.iter().map(|t| ms(*t)).collect());
            assert_eq!(got, want.map(|(min, median, p99)| Spread { min: ms(min), median: ms(median), p99: ms(p99) }));
        }
    }
}
