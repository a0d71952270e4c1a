//! Host: what a function may call.
//!
//! In: a call's arguments and what was granted. Out: the answer, or a [`HostError`] that the function sees. Never: wasm (the
//! engine wires these), a grant of its own.

pub mod crypto;
mod error;
pub mod kv;

pub use error::HostError;
