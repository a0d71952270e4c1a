//! Origin: decides where a miss goes, over which connection, and with which header fields.
//!
//! In: the compiled configuration's origins and groups, one request's facts, the outcome of each attempt.
//! Out: a peer to connect to, the next member of a group, whether to try again, the rewritten fields.
//! Never: reads a viewer's connection, decides what is cached.

pub mod adapter;
pub mod answer;
pub mod balance;
pub mod chunks;
mod direct;
pub mod dns;
pub mod eject;
pub mod forwarded;
pub mod group;
pub mod health;
pub mod hop;
mod known;
pub mod link;
pub mod nodes;
pub mod peer;
pub mod pool;
pub mod reroute;
mod resolver;
pub mod response;
pub mod retry;
pub mod rewrite;
pub mod select;
pub mod set;
pub mod target;
pub mod tier;
pub mod tls;
mod tunnel;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use dns::Names;
pub use nodes::Nodes;
pub use peer::Needs;
pub use pool::Pool;
pub use set::{Aim, Origins, Pick, Picked};
pub use target::{Outcome, TargetId, TargetRef, TargetStatus};

/// Why an origin could not be built or asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    #[error("cannot read {}: {reason}", file.display())]
    Read { file: PathBuf, reason: String },
    #[error("{} is not usable for TLS to the origin: {reason}", file.display())]
    Certificate { file: PathBuf, reason: String },
    #[error("cannot resolve {host}: {reason}")]
    Name { host: String, reason: String },
    #[error("cannot set up DNS for {host}: {reason}")]
    Resolver { host: String, reason: String },
    #[error("more than {limit} distinct origin names")]
    TooManyNames { limit: usize },
    #[error("origin {origin} has no target")]
    NoTarget { origin: String },
    #[error("origin {origin}: {value:?} cannot be a Host header")]
    Host { origin: String, value: String },
    #[error(
        "a function may not send requests to {host} at {address}: no configured origin has that name and port, and the address is not public"
    )]
    Private { host: String, address: std::net::SocketAddr },
    #[error(
        "a function wants its requests signed for {service}, but the origin `{origin}` has no `sign` to sign them with: give it one, or choose an origin that has"
    )]
    Unsigned { service: String, origin: String },
    #[error("no origin number {0}")]
    Unknown(usize),
    #[error("the origin's answer is refused: {reason}")]
    Malformed { reason: &'static str },
}
