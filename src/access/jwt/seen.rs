//! Seen: tokens whose signature was verified a moment ago.
//!
//! In: a token, its claims. Out: the claims, without the cost of a signature. Never: a verdict: times, audience and scopes are
//! checked anew at each request.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use moka::sync::Cache;
use serde_json::{Map, Value};

use crate::config::compiled::JwtAlgorithm;

/// How long a verified signature counts.
pub const SEEN_TTL: Duration = Duration::from_secs(60);
/// Bytes of claims kept at once, estimated.
const SEEN_BYTES: u64 = 32 << 20;
/// What parsed claims take for each byte of their token, and beside it.
const CLAIMS_FACTOR: usize = 3;
const ENTRY_BYTES: usize = 512;

/// A token's SHA-256: two tokens never share it, and the token itself need not be kept.
pub type Digest = [u8; 32];

/// What a verified token said.
#[derive(Debug)]
pub struct Verified {
    pub algorithm: JwtAlgorithm,
    pub claims: Arc<Map<String, Value>>,
    /// Of the keys that verified it.
    pub generation: u64,
    /// Milliseconds since the epoch.
    pub verified_ms: u64,
    bytes: u32,
}

/// The tokens of one issuer.
#[derive(Debug)]
pub struct Seen {
    tokens: Cache<Digest, Arc<Verified>, RandomState>,
}

// === impl Verified ===
impl Verified {
    pub fn new(
        token: &str,
        algorithm: JwtAlgorithm,
        claims: Arc<Map<String, Value>>,
        generation: u64,
        verified_ms: u64,
    ) -> Self {
        let bytes = u32::try_from(token.len() * CLAIMS_FACTOR + ENTRY_BYTES).unwrap_or(u32::MAX);
        Verified { algorithm, claims, generation, verified_ms, bytes }
    }
}

// === impl Seen ===
impl Seen {
    pub fn new() -> Self {
        let tokens = Cache::builder()
            .max_capacity(SEEN_BYTES)
            .weigher(|_, verified: &Arc<Verified>| verified.bytes)
            .time_to_live(SEEN_TTL)
            .build_with_hasher(RandomState::new());
        Seen { tokens }
    }

    /// What `token` said, if a key of this generation verified it within [`SEEN_TTL`].
    pub fn get(&self, token: &Digest, generation: u64, now_ms: u64) -> Option<Arc<Verified>> {
        let verified = self.tokens.get(token)?;
        let age = now_ms.checked_sub(verified.verified_ms)?;
        (verified.generation == generation && u128::from(age) < SEEN_TTL.as_millis()).then_some(verified)
    }

    pub fn put(&self, token: Digest, verified: Arc<Verified>) {
        self.tokens.insert(token, verified);
    }

    /// The keys changed.
    pub fn clear(&self) {
        self.tokens.invalidate_all();
    }
}
