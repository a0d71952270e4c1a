//! Headers: what a limit says of itself to the viewer.
//!
//! In: a limit's state. Out: `RateLimit`, `RateLimit-Policy` and `Retry-After`. Never: which key was counted, a decision.
//!
//! Structured fields of draft-ietf-httpapi-ratelimit-headers-09.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue};

pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The state of one limit after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub name: Arc<str>,
    /// Requests that may come at once.
    pub quota: u64,
    /// In which they come back.
    pub window: Duration,
    pub remaining: u64,
    /// Until all of them are back.
    pub reset: Duration,
}

// === impl Shown ===
impl Shown {
    /// `RateLimit: "name";r=42;t=17`: 42 left, all back in 17 seconds (§4).
    pub fn rate_limit(&self) -> HeaderValue {
        self.field(("r", self.remaining), ("t", seconds(self.reset)))
    }

    /// `RateLimit-Policy: "name";q=100;w=1`: 100 in a second (§3).
    pub fn policy(&self) -> HeaderValue {
        self.field(("q", self.quota), ("w", seconds(self.window).max(1)))
    }

    /// The name with two parameters, in one allocation: every answer of a limited behavior has two such fields.
    fn field(&self, first: (&str, u64), second: (&str, u64)) -> HeaderValue {
        let mut out = BytesMut::with_capacity(2 * self.name.len() + 64);
        string(&self.name, &mut out);
        _ = write!(out, ";{}={};{}={}", first.0, first.1, second.0, second.1);
        // Printable ASCII only is always a value.
        HeaderValue::from_maybe_shared(out.freeze()).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whether a viewer has to mind this limit before `other`.
    pub fn tighter(&self, other: &Shown) -> bool {
        (self.remaining, other.reset) < (other.remaining, self.reset)
    }
}

/// `Retry-After` in whole seconds (RFC 9110 §10.2.3), at least one: "now" would have every client come at once.
pub fn retry_after(wait: Duration) -> u64 {
    seconds(wait).max(1)
}

/// Rounded up: what comes after so long finds what was promised.
fn seconds(duration: Duration) -> u64 {
    // An sf-integer has 15 digits at most (RFC 9651 §3.3.1).
    const LARGEST: u64 = 999_999_999_999_999;
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).min(LARGEST)
}

/// An sf-string (RFC 9651 §3.3.3); what it cannot hold becomes `?`.
fn string(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
            ' '..='~' => out.put_u8(char as u8),
            _ => out.put_u8(b'?'),
        }
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, quota: u64, window_ms: u64, remaining: u64, reset_ms: u64) -> Shown {
        let ms = Duration::from_millis;
        Shown { name: name.into(), quota, window: ms(window_ms), remaining, reset: ms(reset_ms) }
    }

    #[test]
    fn fields() {
        for (shown, limit, policy) in [
            (shown("per-ip", 100, 1000, 42, 16_001), "\"per-ip\";r=42;t=17", "\"per-ip\";q=100;w=1"),
            (shown("a\"b\\c", 1, 10, 0, 0), "\"a\\\"b\\\\c\";r=0;t=0", "\"a\\\"b\\\\c\";q=1;w=1"),
            (shown("größe\n", 5, 60_000, 5, 1), "\"gr??e?\";r=5;t=1", "\"gr??e?\";q=5;w=60"),
        ] {
            assert_eq!(shown.rate_limit(), limit);
            assert_eq!(shown.policy(), policy);
        }
        let endless = Shown { window: Duration::MAX, ..shown("x", 1, 0, 0, 0) };
        assert_eq!(endless.policy(), "\"x\";q=1;w=999999999999999");
    }

    #[test]
    fn waits() {
        for (ms, want) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (86_400_000, 86_400)] {
            assert_eq!(retry_after(Duration::from_millis(ms)), want);
        }
    }

    #[test]
    fn the_tightest() {
        let few = shown("a", 10, 1, 1, 5);
        assert!(few.tighter(&shown("b", 10, 1, 2, 9)));
        assert!(few.tighter(&shown("b", 10, 1, 1, 4)));
        assert!(!few.tighter(&shown("b", 10, 1, 1, 6)));
        assert!(!few.tighter(&few));
    }
}
