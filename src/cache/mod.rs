//! Cache: which answers are kept, under what key, for how long, and where.

pub mod conditional;
mod date;
pub mod directives;
pub mod horizon;
pub mod invalidated;
pub mod key;
pub mod method;
pub mod object;
pub mod policy;
pub mod purge;
pub mod range;
pub mod status;
pub mod store;
pub mod vary;
