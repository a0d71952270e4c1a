//! Engine: who keeps the tables.
//!
//! In: an operation and its request, checked. Out: its reply. Never: a policy, a bucket, a cache.

mod beside;
mod capacity;
mod checkpoint;
mod correct;
mod direct;
mod dispatch;
mod embedded;
mod expiry;
mod ledger;
mod malformed;
mod queue;
mod remote;
mod replicas;
mod sidecar;
mod streams;
mod tokens;
mod work;

use async_trait::async_trait;

pub use embedded::{Embedded, Settings};
pub use remote::Remote;

use super::capacity::Consumed;
use super::fault::Fault;
use super::op::Op;
use super::request::Request;

/// An operation to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub op: Op,
    pub request: Request,
    /// Say what it consumed, if the engine knows.
    pub metered: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// A JSON object. An engine that meters leaves `ConsumedCapacity` out of it.
    pub body: Vec<u8>,
    /// One a table.
    pub consumed: Vec<Consumed>,
}

/// What a sweep deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    pub items: usize,
    /// Names of the tables that they may have been in.
    pub tables: Vec<String>,
}

/// Keeps tables.
#[async_trait]
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// Does it.
    ///
    /// # Errors
    /// What AWS would say. A failed condition carries its `Item` if the request asked for it.
    async fn call(&self, call: Call) -> Result<Reply, Fault>;

    /// Whether replies say what was consumed. Else the other side meters, and enforces its own limits.
    fn meters(&self) -> bool;

    /// Deletes what has expired: items by their tables' TTL, and stream records.
    ///
    /// # Errors
    /// The engine's.
    async fn sweep(&self) -> Result<Swept, Fault>;

    /// Takes no more calls, and waits for those it has.
    async fn close(&self);
}

/// A number as DynamoDB answers it, however it was written: "1.0" is "1". `None` for what is no number.
pub fn plain_number(text: &str) -> Option<String> {
    dynoxide::types::validate_dynamo_number(text).ok()?;
    Some(dynoxide::types::normalize_dynamo_number(text))
}
