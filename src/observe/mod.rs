//! Observe: what operators see of the traffic: metrics, access log, traces.
//!
//! In: one [`Record`] a finished request, numbers read at scrape. Out: Prometheus text, log lines, OTLP spans, the newest requests.
//! Never: decides anything about a request, waits on a sink, grows with the traffic.

pub mod log;
pub mod metrics;
pub mod observer;
pub mod recent;
pub mod record;
pub mod trace;

pub use log::cloudfront::Whence;
pub use metrics::{
    BehaviorMetrics, FunctionMetrics, Metrics, NameNumbers, Numbers, OriginMetrics, PurgeScope, Refusal, TierResult,
};
pub use observer::Observer;
pub use recent::Recent;
pub use record::{Call, CallOutcome, Failure, Outcome, Record, Tls, Visit};
pub use trace::TraceContext;

use std::path::PathBuf;

/// Why observing could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    #[error("access log {}: {source}: does the directory exist, and may this user write there?", path.display())]
    OpenLog { path: PathBuf, source: std::io::Error },
    #[error("cannot start the {name} thread: {source}")]
    Thread { name: &'static str, source: std::io::Error },
    #[error("trace endpoint {endpoint:?}: {reason}")]
    Traces { endpoint: String, reason: String },
}
