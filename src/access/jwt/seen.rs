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
use aws_lc_rs::constant_time;
use parking_lot::RwLock;

use crate::access::Claims;
use crate::config::compiled::JwtAlgorithm;

/// How long a verified signature counts.
pub const SEEN_TTL: Duration = Duration::from_secs(60);
/// Bytes of claims kept at once for an issuer, estimated.
const SEEN_BYTES: u64 = 32 << 20;
/// Parts of the table that are locked one by one.
const SHARDS: usize = 16;
/// What a token takes for each of its bytes, and beside them: its text, that of its claims, the claims where somebody reads them.
const CLAIMS_FACTOR: usize = 3;
const ENTRY_BYTES: usize = 512;
/// Entries that one new one may push out. More than one, so that old ones go even where new ones are larger.
const OUT_AT_ONCE: usize = 4;

/// What a token is kept under: a hash with a key of this table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(u64);

/// What a verified token said.
#[derive(Debug)]
pub struct Verified {
    token: Box<str>,
    pub algorithm: JwtAlgorithm,
    /// For all who send the token.
    pub claims: Arc<Claims>,
    /// Of the keys that verified it.
    pub generation: u64,
    /// Milliseconds since the epoch.
    pub verified_ms: u64,
    bytes: u32,
}

/// The tokens of one issuer.
#[derive(Debug, Default)]
pub struct Seen {
    hash: RandomState,
    shards: [RwLock<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    tokens: HashMap<Mark, Arc<Verified>, RandomState>,
    /// In the order they came.
    order: VecDeque<Mark>,
    bytes: u64,
}

// === impl Verified ===
impl Verified {
    pub fn new(token: &str, algorithm: JwtAlgorithm, claims: Arc<Claims>, generation: u64, verified_ms: u64) -> Self {
        let bytes = u32::try_from(token.len() * CLAIMS_FACTOR + ENTRY_BYTES).unwrap_or(u32::MAX);
        Verified { token: token.into(), algorithm, claims, generation, verified_ms, bytes }
    }

    /// Compared in constant time: nobody may find out byte by byte how a token goes on.
    fn is(&self, token: &str) -> bool {
        constant_time::verify_slices_are_equal(self.token.as_bytes(), token.as_bytes()).is_ok()
    }

    fn counts(&self, generation: u64, now_ms: u64) -> bool {
        let age = now_ms.checked_sub(self.verified_ms);
        self.generation == generation && age.is_some_and(|age| u128::from(age) < SEEN_TTL.as_millis())
    }
}

// === impl Seen ===
impl Seen {
    pub fn mark(&self, token: &str) -> Mark {
        Mark(self.hash.hash_one(token))
    }

    /// What `token` said, if a key of this generation verified it within [`SEEN_TTL`].
    pub fn get(&self, mark: Mark, token: &str, generation: u64, now_ms: u64) -> Option<Arc<Verified>> {
        let kept = self.shard(mark).read().tokens.get(&mark).cloned();
        kept.filter(|kept| kept.counts(generation, now_ms) && kept.is(token))
    }

    /// Keeps what was verified. Of two tokens with one mark, the later.
    pub fn put(&self, mark: Mark, verified: Arc<Verified>) {
        let out = self.shard(mark).write().put(mark, verified, SEEN_BYTES / SHARDS as u64);
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

    fn shard(&self, mark: Mark) -> &RwLock<Shard> {
        &self.shards[(mark.0 >> 32) as usize % SHARDS]
    }
}

// === impl Shard ===
impl Shard {
    /// Adds one; what has to go for it.
    fn put(&mut self, mark: Mark, verified: Arc<Verified>, most: u64) -> [Option<Arc<Verified>>; OUT_AT_ONCE + 1] {
        let now_ms = verified.verified_ms;
        self.bytes += u64::from(verified.bytes);
        let mut out = [const { None }; OUT_AT_ONCE + 1];
        match self.tokens.insert(mark, verified) {
            // Verified by two at once, or two with one mark: its place in the order stays.
            Some(same) => {
                self.bytes -= u64::from(same.bytes);
                out[OUT_AT_ONCE] = Some(same);
            }
            None => self.order.push_back(mark),
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
            token: "token".into(),
            algorithm: JwtAlgorithm::Rs256,
            claims: Arc::default(),
            generation,
            verified_ms,
            bytes,
        })
    }

    #[test]
    fn a_signature_counts_for_a_minute_for_its_keys_and_for_its_token() {
        let seen = Seen::default();
        let mark = seen.mark("token");
        seen.put(mark, verified(10, 7, NOW));
        for (mark, token, generation, now, want) in [
            (mark, "token", 7, NOW, true),
            (mark, "token", 7, NOW + 59_999, true),
            (mark, "token", 7, NOW + 60_000, false),
            (mark, "token", 7, NOW - 1, false),
            (mark, "token", 8, NOW, false),
            (mark, "tokem", 7, NOW, false),
            (mark, "token.", 7, NOW, false),
            (seen.mark("other"), "other", 7, NOW, false),
        ] {
            assert_eq!(seen.get(mark, token, generation, now).is_some(), want, "{token} {generation} {now}");
        }
        seen.clear();
        assert!(seen.get(mark, "token", 7, NOW).is_none());
    }

    #[test]
    fn the_oldest_go_first_and_bytes_are_bounded() {
        let mut shard = Shard::default();
        for n in 0..100 {
            drop(shard.put(Mark(n), verified(10, 1, NOW + n), 55));
            assert!(shard.bytes <= 55 && shard.bytes == 10 * shard.tokens.len() as u64);
            assert_eq!(shard.tokens.len(), shard.order.len());
        }
        let kept = |shard: &Shard| (0..100).filter(|n| shard.tokens.contains_key(&Mark(*n))).collect::<Vec<u64>>();
        assert_eq!(kept(&shard), [95, 96, 97, 98, 99]);
        // The same again takes no second place.
        drop(shard.put(Mark(97), verified(12, 1, NOW + 100), 55));
        assert_eq!((kept(&shard).len(), shard.bytes), (5, 52));
        // A large one pushes out several, one after a minute those that count no more.
        drop(shard.put(Mark(0), verified(40, 1, NOW + 101), 55));
        assert_eq!((kept(&shard), shard.bytes), (vec![0, 99], 50));
        drop(shard.put(Mark(1), verified(10, 1, NOW + 70_000), 1000));
        assert_eq!((kept(&shard), shard.bytes), (vec![1], 10));
    }
}
