//! Seen: tokens whose signature was verified a moment ago.
//!
//! In: a token, its claims. Out: the claims, without the cost of a signature. Never: a verdict: times, audience and scopes are
//! checked anew at each request.
//!
//! A table of our own: an entry counts for a minute however often it is used, so the oldest may go first, and nothing has to be
//! noted at a look-up. A general cache took a fifth of what a signature takes, for each new token (`benches/jwt`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::RwLock;
use serde_json::{Map, Value};

use crate::access::Says;
use crate::config::compiled::JwtAlgorithm;

/// How long a verified signature counts.
pub const SEEN_TTL: Duration = Duration::from_secs(60);
/// Bytes of claims kept at once for an issuer, estimated.
const SEEN_BYTES: u64 = 32 << 20;
/// Parts of the table that are locked one by one.
const SHARDS: usize = 16;
/// What parsed claims take for each byte of their token, and beside it.
const CLAIMS_FACTOR: usize = 3;
const ENTRY_BYTES: usize = 512;
/// Entries that one new one may push out. More than one, so that old ones go even where new ones are larger.
const OUT_AT_ONCE: usize = 4;

/// A token's SHA-256: two tokens never share it, and the token itself need not be kept.
pub type Digest = [u8; 32];

/// What a verified token said.
#[derive(Debug)]
pub struct Verified {
    pub algorithm: JwtAlgorithm,
    pub claims: Arc<Map<String, Value>>,
    /// Of who has the token, for all who send it.
    pub says: Arc<Says>,
    /// Of the keys that verified it.
    pub generation: u64,
    /// Milliseconds since the epoch.
    pub verified_ms: u64,
    bytes: u32,
}

/// The tokens of one issuer.
#[derive(Debug, Default)]
pub struct Seen {
    shards: [RwLock<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    tokens: HashMap<Digest, Arc<Verified>, RandomState>,
    /// In the order they came.
    order: VecDeque<Digest>,
    bytes: u64,
}

// === impl Verified ===
impl Verified {
    pub fn new(
        token: &str,
        algorithm: JwtAlgorithm,
        (claims, says): (Arc<Map<String, Value>>, Arc<Says>),
        generation: u64,
        verified_ms: u64,
    ) -> Self {
        let bytes = u32::try_from(token.len() * CLAIMS_FACTOR + ENTRY_BYTES).unwrap_or(u32::MAX);
        Verified { algorithm, claims, says, generation, verified_ms, bytes }
    }

    fn counts(&self, generation: u64, now_ms: u64) -> bool {
        let age = now_ms.checked_sub(self.verified_ms);
        self.generation == generation && age.is_some_and(|age| u128::from(age) < SEEN_TTL.as_millis())
    }
}

// === impl Seen ===
impl Seen {
    /// What `token` said, if a key of this generation verified it within [`SEEN_TTL`].
    pub fn get(&self, token: &Digest, generation: u64, now_ms: u64) -> Option<Arc<Verified>> {
        self.shard(token).read().tokens.get(token).filter(|verified| verified.counts(generation, now_ms)).cloned()
    }

    pub fn put(&self, token: Digest, verified: Arc<Verified>) {
        let out = self.shard(&token).write().put(token, verified, SEEN_BYTES / SHARDS as u64);
        // Freed without the lock.
        drop(out);
    }

    /// The keys changed.
    pub fn clear(&self) {
        for shard in &self.shards {
            let old = std::mem::take(&mut *shard.write());
            drop(old);
        }
    }

    fn shard(&self, token: &Digest) -> &RwLock<Shard> {
        // A digest's bytes are as good as random, and whoever chooses tokens has to have them signed.
        &self.shards[usize::from(token[0]) % SHARDS]
    }
}

// === impl Shard ===
impl Shard {
    /// Adds one; what has to go for it.
    fn put(&mut self, token: Digest, verified: Arc<Verified>, most: u64) -> [Option<Arc<Verified>>; OUT_AT_ONCE + 1] {
        let now_ms = verified.verified_ms;
        self.bytes += u64::from(verified.bytes);
        let mut out = [const { None }; OUT_AT_ONCE + 1];
        match self.tokens.insert(token, verified) {
            // Verified by two at once: its place in the order stays.
            Some(same) => {
                self.bytes -= u64::from(same.bytes);
                out[OUT_AT_ONCE] = Some(same);
            }
            None => self.order.push_back(token),
        }
        for room in &mut out[..OUT_AT_ONCE] {
            let Some(oldest) = self.order.front().and_then(|oldest| self.tokens.get(oldest)) else { break };
            if self.bytes <= most && oldest.counts(oldest.generation, now_ms) {
                break;
            }
            let Some(oldest) = self.order.pop_front().and_then(|oldest| self.tokens.remove(&oldest)) else { break };
            self.bytes -= u64::from(oldest.bytes);
            *room = Some(oldest);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn verified(bytes: u32, generation: u64, verified_ms: u64) -> Arc<Verified> {
        Arc::new(Verified {
            algorithm: JwtAlgorithm::Rs256,
            claims: Arc::default(),
            says: Arc::default(),
            generation,
            verified_ms,
            bytes,
        })
    }

    fn digest(n: u8) -> Digest {
        let mut digest = [0; 32];
        digest[31] = n;
        digest
    }

    #[test]
    fn a_signature_counts_for_a_minute_and_for_its_keys() {
        let seen = Seen::default();
        seen.put(digest(1), verified(10, 7, NOW));
        for (token, generation, now, want) in [
            (1, 7, NOW, true),
            (1, 7, NOW + 59_999, true),
            (1, 7, NOW + 60_000, false),
            (1, 7, NOW - 1, false),
            (1, 8, NOW, false),
            (2, 7, NOW, false),
        ] {
            assert_eq!(seen.get(&digest(token), generation, now).is_some(), want, "{token} {generation} {now}");
        }
        seen.clear();
        assert!(seen.get(&digest(1), 7, NOW).is_none());
    }

    #[test]
    fn the_oldest_go_first_and_bytes_are_bounded() {
        let mut shard = Shard::default();
        for n in 0..100 {
            drop(shard.put(digest(n), verified(10, 1, NOW + u64::from(n)), 55));
            assert!(shard.bytes <= 55 && shard.bytes == 10 * shard.tokens.len() as u64);
            assert_eq!(shard.tokens.len(), shard.order.len());
        }
        let kept = |shard: &Shard| (0..100).filter(|n| shard.tokens.contains_key(&digest(*n))).collect::<Vec<u8>>();
        assert_eq!(kept(&shard), [95, 96, 97, 98, 99]);
        // The same again takes no second place.
        drop(shard.put(digest(97), verified(12, 1, NOW + 100), 55));
        assert_eq!((kept(&shard).len(), shard.bytes), (5, 52));
        // A large one pushes out several, one after a minute those that count no more.
        drop(shard.put(digest(0), verified(40, 1, NOW + 101), 55));
        assert_eq!((kept(&shard), shard.bytes), (vec![0, 99], 50));
        drop(shard.put(digest(1), verified(10, 1, NOW + 70_000), 1000));
        assert_eq!((kept(&shard), shard.bytes), (vec![1], 10));
    }
}
