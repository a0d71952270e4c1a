//! Limits: how large things may be at each event.
//!
//! Source: CloudFront Developer Guide, "Quotas on Lambda@Edge" and "Restrictions on edge functions". `Strict` has AWS's numbers;
//! `Extended` has bounds of this PoP's own, which only keep a call from holding too much.

use std::time::Duration;

use crate::config::compiled::{Grants, Mode};

use super::event::Event;
use super::failure::Api;
use super::host::log;

/// Bytes of a request body that functions see at viewer-request; the rest is cut off and marked. Of a body without a Content-Length they
/// see no more at origin-request either: Pingora can send 64 KiB again that were read before an origin was chosen, of which one read
/// brings at most `listen::BODY_READ_MAX`.
pub const BODY_SEEN_VIEWER: usize = 40 << 10;
/// The same at origin-request.
const BODY_SEEN_ORIGIN: usize = 1 << 20;

/// Bytes of a request body of known length that functions of `event` see.
pub fn body_seen(event: Event) -> usize {
    if event.is_viewer() { BODY_SEEN_VIEWER } else { BODY_SEEN_ORIGIN }
}

/// Bytes that a guest may hand over at once: to a host call, or as what its handler returns. Above `Limits::result`, and what any host
/// call reads.
pub const HOST_CALL_MAX: usize = 24 << 20;

/// Bytes of what a handler returns beside a body: heads, and what is around them.
const RESULT_EXTRA: usize = 512 << 10;

/// Bounds of one call, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of a request body that replaces the viewer's, as text or as bytes.
    pub body_text: usize,
    /// The same, as base64 text.
    pub body_base64: usize,
    /// Of an answer with its header section.
    pub answer: usize,
    /// Of path and query together.
    pub uri: usize,
    /// Of the header fields that one call adds.
    pub fields: usize,
}

/// Bodies in `Extended`.
const EXTENDED_ANSWER: usize = 8 << 20;
/// What origins and viewers accept of a header section; AWS names no number.
const FIELDS: usize = 32 << 10;

// === impl Limits ===
impl Limits {
    pub fn of(mode: Mode, event: Event) -> Self {
        match (mode, event.is_viewer()) {
            (Mode::Strict, true) => Limits {
                body_text: 40 << 10,
                // 53.2 KB
                body_base64: 54_477,
                answer: 40 << 10,
                uri: 8191,
                fields: FIELDS,
            },
            (Mode::Strict, false) => Limits {
                body_text: 1 << 20,
                // 1.33 MB
                body_base64: 1_394_606,
                answer: 1 << 20,
                uri: 8191,
                fields: FIELDS,
            },
            (Mode::Extended, _) => Limits {
                body_text: EXTENDED_ANSWER,
                body_base64: EXTENDED_ANSWER.div_ceil(3) * 4,
                answer: EXTENDED_ANSWER,
                uri: 32 << 10,
                fields: FIELDS,
            },
        }
    }

    /// Bytes of a result in JSON: a body in base64, every second byte an escape.
    pub fn result(&self) -> usize {
        self.body_base64 * 2 + RESULT_EXTRA
    }

    /// Bytes of an answer of the flat world: a body as it is.
    pub fn output(&self) -> usize {
        self.answer.max(self.body_text) + RESULT_EXTRA
    }
}

/// What a function is given.
#[derive(Debug, Clone, Copy)]
pub struct Means {
    /// Bytes.
    pub memory: usize,
    pub timeout: Duration,
    /// Key-value stores.
    pub stores: usize,
    pub beyond: Beyond,
}

/// What of the edge's own a function is given that AWS's have not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beyond {
    pub config: bool,
    pub secrets: bool,
    pub geo: bool,
    /// Requests of its own: Lambda@Edge functions make them.
    pub fetch: bool,
}

// === impl Means ===
impl Means {
    pub fn of(memory: usize, timeout: Duration, grants: &Grants) -> Self {
        let beyond = Beyond {
            config: !grants.config.is_empty(),
            secrets: !grants.secrets.is_empty(),
            geo: grants.geo,
            fetch: grants.fetch.is_some(),
        };
        Self { memory, timeout, stores: grants.kv.len(), beyond }
    }
}

/// What a function of AWS's may not have at `event`, in words; `None`: it keeps to the quotas (Developer Guide, "Quotas on Lambda@Edge",
/// "Quotas on CloudFront Functions", "Restrictions on Lambda@Edge"; code of CloudFront functions is measured when it is built).
pub fn beyond_quota(api: Api, event: Event, means: Means) -> Option<&'static str> {
    let Means { memory, timeout, stores, beyond } = means;
    match (api, event.is_viewer()) {
        (Api::Native, _) => None,
        _ if beyond.config => Some("AWS's functions at the edge have no configuration (`grants.config`)"),
        _ if beyond.secrets => Some("AWS's functions at the edge have no secrets (`grants.secrets`)"),
        _ if beyond.geo => Some("AWS's functions at the edge have no geographic database (`grants.geo`)"),
        (Api::CloudFront, _) if beyond.fetch => Some("a CloudFront function makes no requests (`grants.fetch`)"),
        (Api::LambdaEdge, true) if memory > 128 << 20 => Some("`memory` is at most 128MiB at viewer events"),
        (Api::LambdaEdge, true) if timeout > Duration::from_secs(5) => Some("`timeout` is at most 5s at viewer events"),
        (Api::LambdaEdge, false) if memory > 10_240 << 20 => Some("`memory` is at most 10240MiB"),
        (Api::LambdaEdge, false) if timeout > Duration::from_secs(30) => {
            Some("`timeout` is at most 30s at origin events")
        }
        (Api::CloudFront, _) if stores > 1 => Some("a CloudFront function has at most one key-value store"),
        _ => None,
    }
}

/// Bytes that a call may take beyond what its instance begins with; `None`: as many as its function may have (Developer Guide, "Quotas on
/// CloudFront Functions": 2 MB).
pub fn room(api: Api, mode: Mode) -> Option<usize> {
    matches!((api, mode), (Api::CloudFront, Mode::Strict)).then_some(2 << 20)
}

/// Bytes of log one call may write (Developer Guide, "Quotas on CloudFront Functions": 10 KB, cut there).
pub fn log_size(api: Api, mode: Mode) -> usize {
    match (api, mode) {
        (Api::CloudFront, Mode::Strict) => 10 << 10,
        _ => log::BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strict_functions_may_not_have() {
        let (viewer, origin) = (Event::ViewerRequest, Event::OriginResponse);
        let mib = |n: usize| n << 20;
        let row = |api, event, memory, seconds, stores, beyond, good| {
            let means = Means { memory, timeout: Duration::from_secs(seconds), stores, beyond };
            let refused = beyond_quota(api, event, means);
            assert_eq!(refused.is_none(), good, "{api:?} {event} {means:?}: {refused:?}");
        };
        for (api, event, memory, seconds, stores, good) in [
            (Api::LambdaEdge, viewer, mib(128), 5, 3, true),
            (Api::LambdaEdge, viewer, mib(128) + 1, 5, 0, false),
            (Api::LambdaEdge, viewer, mib(1), 6, 0, false),
            (Api::LambdaEdge, origin, mib(10_240), 30, 0, true),
            (Api::LambdaEdge, origin, mib(10_240) + 1, 30, 0, false),
            (Api::LambdaEdge, origin, mib(1), 31, 0, false),
            (Api::CloudFront, viewer, mib(1), 1, 1, true),
            (Api::CloudFront, viewer, mib(1), 1, 2, false),
            (Api::Native, viewer, mib(999), 60, 9, true),
        ] {
            row(api, event, memory, seconds, stores, Beyond::default(), good);
        }
        let none = Beyond::default();
        for (beyond, lambda) in [
            (Beyond { config: true, ..none }, false),
            (Beyond { secrets: true, ..none }, false),
            (Beyond { geo: true, ..none }, false),
            (Beyond { fetch: true, ..none }, true),
        ] {
            for (api, good) in [(Api::LambdaEdge, lambda), (Api::CloudFront, false), (Api::Native, true)] {
                row(api, viewer, mib(1), 1, 0, beyond, good);
            }
        }
    }

    /// CloudFront Developer Guide, "Quotas on Lambda@Edge"; what `Extended` has is at least as much.
    #[test]
    fn quotas() {
        for event in Event::ALL {
            let (strict, extended) = (Limits::of(Mode::Strict, event), Limits::of(Mode::Extended, event));
            let (body, base64) = if event.is_viewer() { (40_960, 54_477) } else { (1_048_576, 1_394_606) };
            assert_eq!((strict.body_text, strict.body_base64, strict.answer, strict.uri), (body, base64, body, 8191));
            assert_eq!(body_seen(event), body);
            for (lifted, kept) in [
                (extended.body_text, strict.body_text),
                (extended.body_base64, strict.body_base64),
                (extended.answer, strict.answer),
                (extended.uri, strict.uri),
                (extended.fields, strict.fields),
            ] {
                assert!(lifted >= kept, "{event}");
            }
            assert!(extended.result().max(extended.output()) <= HOST_CALL_MAX);
            assert!(extended.uri < usize::from(u16::MAX), "what a request target can hold");
        }
    }
}
