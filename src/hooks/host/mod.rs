//! Host: what a function reaches besides its message.
//!
//! In: a function's grants, and the services of this PoP. Out: the answers to its host calls. Never: wasm; `engine` carries the
//! calls here.

pub mod log;
pub mod state;

pub use log::{Level, LogLine};
pub use state::{CallState, Identity};

/// What every function of this PoP may be granted a part of.
#[derive(Debug, Default)]
pub struct Services {}
