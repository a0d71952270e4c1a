//! Sigv4: the verifier against everybody else who signs: AWS's vectors, its Rust signer, botocore, the JavaScript SDK, curl.
//!
//! In: signed requests. Out: every one of them verifies, and no altered one does. Never: a request that is skipped silently.

#![allow(clippy::unwrap_used)]

mod differential;
mod mutations;
mod signers;
mod vectors;
mod wire;
