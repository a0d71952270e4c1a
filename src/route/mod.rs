//! Route: which behavior serves a host and a path.
//!
//! In: the behaviors in the order written; a request's host and path. Out: the position of the first that matches.
//! Never: headers, methods, I/O, allocation on a request.

mod glob;
mod table;

pub use table::Table;
