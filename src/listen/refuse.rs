//! Refuse: how a request that has no single valid reading is answered.
//!
//! In: a status and the rule that was broken. Out: the bytes of a plain answer that closes the connection. Never: I/O,
//! anything the viewer sent.

use bytes::{BufMut, BytesMut};
use http::StatusCode;
use std::error::Error;
use std::io;

/// Why a request is not served. The reason is fixed text, so it can be shown, logged and counted as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {reason}")]
pub struct Refusal {
    /// The answer's status: 400, 408, 413, 414, 417, 429, 431, 501 or 505.
    pub status: u16,
    pub reason: &'static str,
}

// === impl Refusal ===

impl Refusal {
    /// `limits.body_timeout` passed, or `limits.body_min_rate` was not met (RFC 9110 §15.5.9).
    pub const SLOW_BODY: Self = Self { status: 408, reason: "request body came too slowly" };

    /// `rates.per_address` is exceeded (RFC 6585 §4).
    pub const TOO_MANY: Self = Self { status: 429, reason: "too many requests from this address" };

    /// A broken rule of the message syntax (RFC 9112 §2.2).
    pub(super) const fn bad(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }

    /// The refusal behind `error`, when a [`Wire`](super::Wire) ended a read with one: an `io::Error`, or Pingora's
    /// error around it.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        // Pingora's error has no `source`; its root cause is its own.
        let root: &(dyn Error + 'static) = match error.downcast_ref::<pingora::Error>() {
            Some(error) => error.root_cause(),
            None => error,
        };
        root.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref().copied()
    }

    /// The whole answer: status line, fields, the reason as text. `cache_status`: what the field of that name says (RFC 9211).
    pub fn render(&self, cache_status: &str) -> BytesMut {
        let phrase =
            StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
        let mut out = BytesMut::with_capacity(256);
        out.put_slice(b"HTTP/1.1 ");
        out.put_slice(self.status.to_string().as_bytes());
        out.put_slice(b" ");
        out.put_slice(phrase.as_bytes());
        // Of too many requests, API Gateway's words, as the other lanes have them.
        let (media, body) = match self.status {
            429 => ("application/json", r#"{"message":"Too Many Requests"}"#.to_owned()),
            _ => ("text/plain", format!("{}\n", self.reason)),
        };
        out.put_slice(b"\r\ncontent-type: ");
        out.put_slice(media.as_bytes());
        out.put_slice(b"\r\ncache-control: no-store\r\nconnection: close\r\ncache-status: ");
        out.put_slice(cache_status.as_bytes());
        out.put_slice(b"\r\ncontent-length: ");
        out.put_slice(body.len().to_string().as_bytes());
        if self.status == 429 {
            out.put_slice(b"\r\nx-amzn-errortype: TooManyRequestsException\r\nretry-after: 1");
        }
        out.put_slice(b"\r\n\r\n");
        out.put_slice(body.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_closes_and_says_why() {
        let bytes = Refusal { status: 431, reason: "too many header fields" }.render("FRA; detail=x");
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\ncache-control: no-store\r\n\
             connection: close\r\ncache-status: FRA; detail=x\r\ncontent-length: 23\r\n\r\ntoo many header fields\n"
        );
    }

    /// API Gateway Developer Guide, "Gateway response types": THROTTLED.
    #[test]
    fn too_many_requests_are_refused_in_api_gateways_words() {
        let bytes = Refusal { status: 429, reason: "too many requests" }.render("FRA");
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
             connection: close\r\ncache-status: FRA\r\ncontent-length: 31\r\n\
             x-amzn-errortype: TooManyRequestsException\r\nretry-after: 1\r\n\r\n{\"message\":\"Too Many Requests\"}"
        );
    }

    #[test]
    fn a_refusal_is_found_behind_other_errors() {
        use pingora::{Error, ErrorType};

        let refusal = Refusal::bad("x");
        let bare = || io::Error::new(io::ErrorKind::InvalidData, refusal);
        assert_eq!(Refusal::of(&bare()), Some(refusal));
        let wrapped = Error::because(ErrorType::ReadError, "when reading body", bare());
        assert_eq!(Refusal::of(&*wrapped), Some(refusal));
        let twice = Error::because(ErrorType::InternalError, "again", wrapped);
        assert_eq!(Refusal::of(&*twice), Some(refusal));
        for other in [io::Error::other("no"), io::ErrorKind::TimedOut.into()] {
            assert_eq!(Refusal::of(&other), None);
        }
        assert_eq!(Refusal::of(&*Error::new(ErrorType::ReadError)), None);
    }
}
