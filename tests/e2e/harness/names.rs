//! Names: what the process calls things in its log and metrics, as the tests expect them.
//!
//! In: nothing. Out: one constant a name. Never: a name spelled a second time in a test.

/// Requests answered, by behavior, status class and cache status.
pub const REQUESTS: &str = "rimward_requests_total";
/// Viewer connections open now.
pub const CONNECTIONS: &str = "rimward_connections";
/// Requests sent to origins, retries included.
pub const ORIGIN_REQUESTS: &str = "rimward_origin_attempts_total";
/// Time to answer a viewer, a histogram.
pub const DURATION: &str = "rimward_request_seconds";

/// Access-log keys (JSON).
pub const STATUS: &str = "status";
pub const METHOD: &str = "method";
pub const HOST: &str = "host";
pub const PATH: &str = "path";
pub const BEHAVIOR: &str = "behavior";
/// Hit, Miss, RefreshHit, Error…: CloudFront's result type.
pub const CACHE: &str = "cache";
/// Why it was a miss: RFC 9211's `fwd` reason or our own word.
pub const REASON: &str = "reason";
