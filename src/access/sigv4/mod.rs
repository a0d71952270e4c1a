//! Sigv4: AWS's signatures, version 4 and 4a, in the header or the query ("Create a signed AWS API request").
//!
//! In: a signer, a request as sent, now. Out: [`Verified`], or what the body must hash to first. Never: the body (see
//! [`PayloadCheck`]), an answer.
//!
//! ```text
//! Asked → claim (parts) → check (scope, clock, headers) → canonical (bytes) → key (HMAC, ECDSA) → Verified → PayloadCheck
//! ```

mod authorize;
mod canonical;
mod chunked;
mod claim;
mod key;
mod payload;
mod time;
mod verify;

pub use chunked::{Chunked, MAX_CHUNK, MAX_LINE, MAX_TRAILERS};
pub use claim::{Algorithm, MAX_AUTHORIZATION, MAX_REGION_SET, MAX_SIGNED_HEADERS, MAX_TOKEN, stripped};
pub use key::{MAX_DAY_KEYS, Underivable, derive_day_key, sigv4a_public_point};
pub use payload::{Payload, PayloadCheck};
pub use verify::{MAX_EXPIRES, Outcome, Pending, Verified, Verifier};

use crate::crypto::hex;

/// SHA-256 of nothing.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

#[cfg(test)]
mod tests;
