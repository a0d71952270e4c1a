//! Answer: a response that the edge makes itself.
//!
//! In: what a rule decided. Out: status, fields, body and how logs name it. Never: request ids, Date, Server, framing
//! (the proxy adds those to every answer).

use crate::observe::Failure;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};

/// A complete response generated at the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    /// `x-edge-result-type` in logs, and the word in `X-Cache`.
    pub result: ResultType,
    /// What the log calls it when it is a refusal; `None` = nothing went wrong.
    pub failure: Option<Failure>,
}

/// How an answer came about, by CloudFront's names (AWS, "Standard log file fields", x-edge-result-type).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultType {
    /// From the cache, fresh (or stale where that was allowed).
    Hit,
    /// From the cache after the origin confirmed it.
    RefreshHit,
    /// From the origin.
    Miss,
    /// Client or server error.
    Error,
    /// Sent to another URL by the behavior.
    Redirect,
}

// === impl Answer ===
impl Answer {
    /// A refusal with one sentence of plain text.
    pub fn refuse(status: StatusCode, failure: Failure, sentence: &'static str) -> Self {
        Answer {
            status,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))],
            body: Bytes::from_static(sentence.as_bytes()),
            result: ResultType::Error,
            failure: Some(failure),
        }
    }

    /// A redirect without a body.
    pub fn moved(status: StatusCode, location: HeaderValue) -> Self {
        let result = ResultType::Redirect;
        let headers = vec![(LOCATION, location)];
        Answer { status, headers, body: Bytes::new(), result, failure: None }
    }
}

// === impl ResultType ===
impl ResultType {
    /// The name in logs and, before ` from …`, in `X-Cache`.
    pub fn as_str(self) -> &'static str {
        match self {
            ResultType::Hit => "Hit",
            ResultType::RefreshHit => "RefreshHit",
            ResultType::Miss => "Miss",
            ResultType::Error => "Error",
            ResultType::Redirect => "Redirect",
        }
    }
}
