//! Random: what a function gets when it asks for randomness.
//!
//! In: how much. Out: bytes of the system's generator; in a test those that its seed stands for, so that a call can be repeated.
//! Never: a seed on a PoP.

use super::{HostError, crypto};

/// Where one call's random bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Random {
    System,
    /// SplitMix64: predictable, which is what it is for.
    Seeded(u64),
}

// === impl Random ===
impl Random {
    pub fn new(seed: Option<u64>) -> Self {
        seed.map_or(Random::System, Random::Seeded)
    }

    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>, HostError> {
        let mut bytes = crypto::random(count)?;
        if let Random::Seeded(state) = self {
            bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&next(state).to_le_bytes()[..chunk.len()]));
        }
        Ok(bytes)
    }

    pub fn word(&mut self) -> u64 {
        match self {
            Random::System => rand::random(),
            Random::Seeded(state) => next(state),
        }
    }
}

/// Steele, Lea, Flood, "Fast splittable pseudorandom number generators", figure 16.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        let draw = |random: &mut Random| (random.bytes(13).unwrap(), random.word());
        let seeded = |seed| draw(&mut Random::new(Some(seed)));
        assert_eq!(seeded(7), seeded(7));
        assert_ne!(seeded(7), seeded(8));
        assert_ne!(draw(&mut Random::System), draw(&mut Random::System));
        // The first value of the reference implementation with state 0.
        assert_eq!(Random::Seeded(0).word(), 0xe220_a839_7b1d_cdaf);
        assert!(Random::Seeded(0).bytes(usize::MAX).is_err());
    }
}
