//! Engine: edge functions on wasmtime.
//!
//! In: a bundle of JavaScript. Out: the engine module with it evaluated. Never: wasmtime outside this directory.

mod snapshot;

pub use snapshot::{Evaluated, SnapshotError, Snapshotter};
