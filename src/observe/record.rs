//! Record: what is known about one finished request.
//!
//! In: borrowed pieces that the request path already holds. Out: the same, plus what follows from them (CloudFront's
//! result types, status class). Never: allocation, a clock, I/O.

use super::metrics::{BehaviorMetrics, FunctionMetrics, OriginMetrics};
use super::trace::TraceContext;
use std::net::SocketAddr;
use std::sync::Arc;

/// One finished request. Filled once, at the end, by whichever lane served it; header values are bytes because that is
/// what viewers send. Times are milliseconds since the epoch, durations nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub started_ms: u64,
    /// From the first byte of the request to the last byte of the answer handed to the kernel.
    pub duration_ns: u64,
    /// From the first byte of the request to the first byte of the answer.
    pub first_byte_ns: u64,
    pub request_id: &'a str,
    /// The viewer, behind trusted proxies the one they name.
    pub viewer: SocketAddr,
    /// "" when the request could not be read.
    pub method: &'a str,
    /// http, https, ws or wss: CloudFront's `cs-protocol`.
    pub scheme: &'a str,
    /// Lower case, without port; "" when there was none.
    pub host: &'a str,
    pub path: &'a [u8],
    /// Without '?'; "" when there was none.
    pub query: &'a [u8],
    /// `HTTP/1.0`, `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: &'a str,
    pub tls: Option<Tls<'a>>,
    /// [`super::Metrics::unrouted`] when the request was refused before a behavior was found.
    pub behavior: &'a BehaviorMetrics,
    /// The behavior's pattern as written; "" when unrouted.
    pub pattern: &'a str,
    /// What the viewer was answered; 0 = it went away before an answer (CloudFront logs 000).
    pub status: u16,
    /// Head and body, as received and as sent.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub cache: Outcome,
    /// Why `cache` is what it is, in the words of `Cache-Status`: "uri-miss", "vary-miss", "no-store", "expired" …
    pub reason: &'a str,
    /// Freshness left (negative when stale) and age of the object served, in seconds.
    pub ttl_s: Option<i64>,
    pub age_s: Option<u64>,
    pub origin: Option<Visit<'a>>,
    pub failure: Option<Failure>,
    /// The error's own words, for the operator; "" when nothing failed.
    pub error: &'a str,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    /// Written in CloudFront's real-time format only.
    pub accept: &'a [u8],
    pub accept_encoding: &'a [u8],
    /// Written in CloudFront's formats only: cookies are credentials.
    pub cookie: &'a [u8],
    pub forwarded_for: &'a [u8],
    pub content_type: &'a [u8],
    /// The answer's Content-Length; `None` = chunked or none.
    pub content_length: Option<u64>,
    /// First and last byte of a 206 with one range.
    pub range: Option<(u64, u64)>,
    pub trace: Option<TraceContext>,
    /// Function calls of this request, in their order.
    pub calls: &'a [Call],
    /// CloudFront's result type where a function decided it ("LambdaValidationError", "FunctionGeneratedResponse"…).
    pub result: Option<&'static str>,
    /// The node of the fleet that answered, and how: "fra-1 hit"; "" = none was asked.
    pub tier: &'a str,
    /// The node that asks: the request was a viewer's there, and counts there; "" = a viewer asks.
    pub asked_by: &'a str,
    /// Who asked, where access rules said so: a key's name, a token's `sub`, an ARN; "" = nobody in particular.
    pub principal: &'a str,
}

/// One call of an edge function.
#[derive(Debug, Clone)]
pub struct Call {
    pub function: Arc<FunctionMetrics>,
    /// "viewer-request"…
    pub event: &'static str,
    pub outcome: CallOutcome,
    pub cpu_ns: u64,
    pub wall_ns: u64,
    /// Accepted changes of the message.
    pub edits: u32,
    /// Why it failed, in the function's own words or the engine's, bounded; "" = it did not.
    pub error: Box<str>,
    /// AWS's name for the failure, one of [`FUNCTION_ERRORS`]; `None` = it did not.
    pub result: Option<&'static str>,
}

/// CloudFront's result types of calls that failed (Developer Guide, "Standard log file fields").
pub const FUNCTION_ERRORS: [&str; 6] = [
    "LambdaValidationError",
    "LambdaExecutionError",
    "LambdaLimitExceeded",
    "FunctionValidationError",
    "FunctionExecutionError",
    "FunctionThrottledError",
];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The message goes on, edited or not.
    Ok,
    /// It answered by itself.
    Answered,
    Validation,
    Execution,
    Memory,
    Cpu,
    Timeout,
    Throttled,
    Exhausted,
}

/// The viewer's TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls<'a> {
    /// `TLSv1.3`, `TLSv1.2`.
    pub version: &'a str,
    pub cipher: &'a str,
    /// "" when the viewer sent none.
    pub sni: &'a str,
}

/// What asking the origin cost. For several attempts: the last one's target, and all of their time.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    pub origin: &'a OriginMetrics,
    /// `None` for an in-process origin, and when no target could be chosen.
    pub target: Option<SocketAddr>,
    /// From the request's first byte until the first attempt began.
    pub after_ns: u64,
    /// `None` = a pooled connection.
    pub connect_ns: Option<u64>,
    /// Until the answer's first byte; `None` = there was none.
    pub first_byte_ns: Option<u64>,
    pub total_ns: u64,
    pub attempts: u32,
    /// 0 = no answer.
    pub status: u16,
}

/// What the cache did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Fresh object from a tier, or from another request's fill.
    Hit,
    /// Stale object, as RFC 5861 allows.
    Stale,
    /// The origin confirmed the stored object (304).
    Revalidated,
    Miss,
    /// Caching was out of the question: method, behavior, tunnel.
    Pass,
    /// We answered for an origin that could not.
    Error,
    Redirect,
    /// A fixed answer, a function's, or a CORS preflight.
    Generated,
    /// The request itself was not accepted.
    Refused,
}

/// What went wrong, in the granularity of CloudFront's `x-edge-detailed-result-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The viewer went away before it had the whole answer.
    ClientAborted,
    /// The viewer's bytes could not be read or written in time.
    ClientComm,
    InvalidRequest,
    InvalidMethod,
    /// An access rule did not let it in.
    AccessDenied,
    /// Not served in the viewer's country.
    GeoBlocked,
    /// A bound of ours: connections, rate, size.
    LimitExceeded,
    OriginDns,
    OriginConnect,
    OriginTls,
    OriginTimeout,
    OriginRead,
    OriginWrite,
    /// Not HTTP, or contradicting itself.
    OriginInvalid,
    OriginHeaderTooBig,
    /// Fewer bytes than announced.
    OriginTruncated,
    /// No healthy target was left to ask.
    OriginUnavailable,
    Internal,
}

// === impl Record ===
impl Record<'_> {
    /// Whether operators must see this line whatever the sampling says.
    pub fn is_error(&self) -> bool {
        self.status >= 500 || self.failure.is_some()
    }

    /// CloudFront's `x-edge-result-type`.
    /// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html>
    pub fn result_type(&self) -> &'static str {
        if let Some(result) = self.result {
            return result;
        }
        match (self.failure, self.cache) {
            (Some(Failure::LimitExceeded), _) => "LimitExceeded",
            // A viewer that hung up is an error for CloudFront too, and so is stale served for a broken origin a hit.
            (Some(failure), _) if !failure.is_origin() => "Error",
            (_, Outcome::Hit | Outcome::Stale) => "Hit",
            (_, Outcome::Revalidated) => "RefreshHit",
            (_, Outcome::Redirect) => "Redirect",
            (_, Outcome::Generated) => "FunctionGeneratedResponse",
            (_, Outcome::Error | Outcome::Refused) => "Error",
            (_, Outcome::Miss | Outcome::Pass) if self.status >= 400 || self.failure.is_some() => "Error",
            (_, Outcome::Miss | Outcome::Pass) => "Miss",
        }
    }

    /// CloudFront's `x-edge-response-result-type`: what it was going to be before the viewer went away.
    pub fn response_result_type(&self) -> &'static str {
        let viewers_fault = |failure: &Failure| matches!(failure, Failure::ClientAborted | Failure::ClientComm);
        Record { failure: self.failure.filter(|failure| !viewers_fault(failure)), ..*self }.result_type()
    }

    /// CloudFront's `x-edge-detailed-result-type`: the result type unless something more exact is known.
    pub fn detailed_result_type(&self) -> &'static str {
        match (self.failure, self.result_type()) {
            (Some(failure), "Error") => failure.cloudfront(),
            (None, "Error") if self.origin.is_some() => "OriginError",
            (_, result) => result,
        }
    }
}

// === impl CallOutcome ===
impl CallOutcome {
    pub const ALL: [CallOutcome; 9] = [
        CallOutcome::Ok,
        CallOutcome::Answered,
        CallOutcome::Validation,
        CallOutcome::Execution,
        CallOutcome::Memory,
        CallOutcome::Cpu,
        CallOutcome::Timeout,
        CallOutcome::Throttled,
        CallOutcome::Exhausted,
    ];

    /// Label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CallOutcome::Ok => "ok",
            CallOutcome::Answered => "answered",
            CallOutcome::Validation => "validation",
            CallOutcome::Execution => "execution",
            CallOutcome::Memory => "memory",
            CallOutcome::Cpu => "cpu",
            CallOutcome::Timeout => "timeout",
            CallOutcome::Throttled => "throttled",
            CallOutcome::Exhausted => "exhausted",
        }
    }
}

// === impl Outcome ===
impl Outcome {
    pub const ALL: [Outcome; 9] = [
        Outcome::Hit,
        Outcome::Stale,
        Outcome::Revalidated,
        Outcome::Miss,
        Outcome::Pass,
        Outcome::Error,
        Outcome::Redirect,
        Outcome::Generated,
        Outcome::Refused,
    ];

    /// Label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Stale => "stale",
            Outcome::Revalidated => "revalidated",
            Outcome::Miss => "miss",
            Outcome::Pass => "pass",
            Outcome::Error => "error",
            Outcome::Redirect => "redirect",
            Outcome::Generated => "generated",
            Outcome::Refused => "refused",
        }
    }
}

// === impl Failure ===
impl Failure {
    /// Those that count against an origin.
    pub const OF_ORIGINS: [Failure; 10] = [
        Failure::OriginDns,
        Failure::OriginConnect,
        Failure::OriginTls,
        Failure::OriginTimeout,
        Failure::OriginRead,
        Failure::OriginWrite,
        Failure::OriginInvalid,
        Failure::OriginHeaderTooBig,
        Failure::OriginTruncated,
        Failure::OriginUnavailable,
    ];

    /// Those that mean: this viewer may not, or not now.
    pub const OF_GUARDS: [Failure; 3] = [Failure::AccessDenied, Failure::GeoBlocked, Failure::LimitExceeded];

    pub fn is_origin(self) -> bool {
        Self::OF_ORIGINS.contains(&self)
    }

    /// Label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::ClientAborted => "client_aborted",
            Failure::ClientComm => "client_comm",
            Failure::InvalidRequest => "invalid_request",
            Failure::InvalidMethod => "invalid_method",
            Failure::AccessDenied => "access_denied",
            Failure::GeoBlocked => "geo_blocked",
            Failure::LimitExceeded => "limit_exceeded",
            Failure::OriginDns => "dns",
            Failure::OriginConnect => "connect",
            Failure::OriginTls => "tls",
            Failure::OriginTimeout => "timeout",
            Failure::OriginRead => "read",
            Failure::OriginWrite => "write",
            Failure::OriginInvalid => "invalid",
            Failure::OriginHeaderTooBig => "header_too_big",
            Failure::OriginTruncated => "truncated",
            Failure::OriginUnavailable => "unavailable",
            Failure::Internal => "internal",
        }
    }

    /// The nearest name CloudFront has.
    fn cloudfront(self) -> &'static str {
        match self {
            Failure::ClientAborted => "ClientHungUpRequest",
            Failure::ClientComm => "ClientCommError",
            Failure::InvalidRequest => "InvalidRequest",
            Failure::InvalidMethod => "InvalidRequestMethod",
            Failure::AccessDenied => "InvalidRequestBlocked",
            Failure::GeoBlocked => "ClientGeoBlocked",
            Failure::LimitExceeded => "LimitExceeded",
            Failure::OriginDns => "OriginDnsError",
            Failure::OriginConnect | Failure::OriginUnavailable => "OriginConnectError",
            Failure::OriginTls | Failure::OriginTimeout => "OriginCommError",
            Failure::OriginRead | Failure::OriginTruncated => "OriginReadError",
            Failure::OriginWrite => "OriginWriteError",
            Failure::OriginInvalid => "OriginInvalidResponseError",
            Failure::OriginHeaderTooBig => "OriginHeaderTooBigError",
            Failure::Internal => "Error",
        }
    }
}

/// A plain hit, for the tests of every format and of `rimward top`.
#[cfg(test)]
pub(crate) fn sample(behavior: &BehaviorMetrics) -> Record<'_> {
    Record {
        started_ms: 1_700_000_000_123,
        duration_ns: 1_234_567,
        first_byte_ns: 1_000_000,
        request_id: "id-1",
        viewer: SocketAddr::from(([192, 0, 2, 7], 5000)),
        method: "GET",
        scheme: "https",
        host: "shop.example",
        path: b"/a b",
        query: b"x=1",
        protocol: "HTTP/2.0",
        tls: Some(Tls { version: "TLSv1.3", cipher: "TLS13_AES_128_GCM_SHA256", sni: "shop.example" }),
        behavior,
        pattern: "shop.example/*",
        status: 200,
        bytes_in: 90,
        bytes_out: 1200,
        cache: Outcome::Hit,
        reason: "fresh",
        ttl_s: Some(55),
        age_s: Some(5),
        origin: None,
        failure: None,
        error: "",
        referer: b"",
        user_agent: b"curl/8 \"x\"",
        accept: b"text/*",
        accept_encoding: b"gzip, br",
        cookie: b"",
        forwarded_for: b"",
        content_type: b"text/html",
        content_length: Some(1024),
        range: None,
        trace: None,
        calls: &[],
        result: None,
        principal: "",
        tier: "",
        asked_by: "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;

    #[test]
    fn cloudfront_result_types() {
        use Failure as F;
        use Outcome as O;
        let metrics = Metrics::new("FRA", 0);
        let origins = metrics.origins(["o"]);
        let visit = Visit {
            origin: &origins[0],
            target: None,
            after_ns: 0,
            connect_ns: None,
            first_byte_ns: None,
            total_ns: 1,
            attempts: 1,
            status: 500,
        };
        let behavior = metrics.unrouted();
        for (cache, status, failure, visited, result, detailed) in [
            (O::Hit, 200, None, false, "Hit", "Hit"),
            (O::Hit, 404, None, false, "Hit", "Hit"),
            (O::Stale, 200, Some(F::OriginConnect), true, "Hit", "Hit"),
            (O::Revalidated, 200, None, true, "RefreshHit", "RefreshHit"),
            (O::Miss, 200, None, true, "Miss", "Miss"),
            (O::Miss, 500, None, true, "Error", "OriginError"),
            (O::Pass, 200, None, true, "Miss", "Miss"),
            (O::Miss, 200, Some(F::OriginTruncated), true, "Error", "OriginReadError"),
            (O::Error, 502, Some(F::OriginDns), true, "Error", "OriginDnsError"),
            (O::Refused, 429, Some(F::LimitExceeded), false, "LimitExceeded", "LimitExceeded"),
            (O::Refused, 403, Some(F::InvalidMethod), false, "Error", "InvalidRequestMethod"),
            (O::Refused, 403, None, false, "Error", "Error"),
            (O::Hit, 0, Some(F::ClientAborted), false, "Error", "ClientHungUpRequest"),
            (O::Redirect, 301, None, false, "Redirect", "Redirect"),
            (O::Generated, 200, None, false, "FunctionGeneratedResponse", "FunctionGeneratedResponse"),
        ] {
            let record = Record { cache, status, failure, origin: visited.then_some(visit), ..sample(behavior) };
            assert_eq!((record.result_type(), record.detailed_result_type()), (result, detailed), "{cache:?} {status}");
        }
    }

    #[test]
    fn every_origin_failure_is_counted_against_one() {
        assert!(Failure::OF_ORIGINS.iter().all(|failure| failure.cloudfront().starts_with("Origin")));
        assert!(!Failure::ClientAborted.is_origin() && !Failure::Internal.is_origin());
    }
}
