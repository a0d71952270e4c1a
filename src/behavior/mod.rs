//! Behavior: what a behavior does to a message.
//!
//! In: one compiled behavior, a request's or an answer's parts. Out: an answer of the edge's own, a rewritten path, edited
//! fields, a coding. Never: I/O, clocks, the cache, another request.

mod answer;
pub mod compress;
pub mod cors;
mod decide;
pub mod errors;
pub mod headers;
pub mod method;
pub mod path;
pub mod protocol;
pub mod redirect;
#[cfg(test)]
mod sample;
pub mod viewer;

pub use answer::{Answer, ResultType};
pub use decide::{Viewer, before_cache};
