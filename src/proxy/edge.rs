//! Edge: the fields every answer of this PoP carries.
//!
//! In: PoP, request id, cache outcome. Out: `Via`, `X-Amz-Cf-Pop`, `X-Amz-Cf-Id`, `X-Cache`, `Cache-Status`,
//! `Server-Timing`. Never: the origin's fields.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::behavior::ResultType;

pub use crate::cache::status::CACHE_STATUS;
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
pub const POP: HeaderName = HeaderName::from_static("x-amz-cf-pop");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-cf-id");

/// How long the origin took, from when it was chosen.
#[derive(Debug, Clone, Copy)]
pub struct OriginTimes {
    /// Zero on a connection that was there already.
    pub connect: Duration,
    pub first_byte: Duration,
}

/// The parts of those fields that never change while a configuration is in force.
#[derive(Debug)]
pub struct Signature {
    pub pop: String,
    /// For answers of our own; what came from an origin names us already.
    pub via: HeaderValue,
    pop_value: HeaderValue,
    /// `x-amz-cf-pop` as a wire line.
    lines: Box<[u8]>,
}

/// Names one request everywhere: answer, log, trace and the request to the origin. 128 random bits, 32 hex digits, so that
/// it is a W3C trace id too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

// === impl Signature ===
impl Signature {
    /// `pop` is an IATA code: letters and digits only (checked by the configuration).
    pub fn new(pop: &str) -> Self {
        let via = format!("1.1 {pop}.rimward (Rimward)");
        let lines = format!("x-amz-cf-pop: {pop}\r\n").into_bytes().into_boxed_slice();
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("rimward"));
        Signature { pop: pop.to_owned(), via: value(&via), pop_value: value(pop), lines }
    }

    /// Puts the fixed fields and the request id on an answer of the full path.
    pub fn sign(&self, id: &RequestId, headers: &mut HeaderMap) {
        headers.insert(POP, self.pop_value.clone());
        if let Ok(id) = HeaderValue::from_bytes(id.bytes()) {
            headers.insert(REQUEST_ID, id);
        }
    }

    /// `x-amz-cf-pop` by itself.
    pub fn pop_value(&self) -> HeaderValue {
        self.pop_value.clone()
    }

    /// The same as wire lines, for the fast lane.
    pub fn write(&self, id: &RequestId, out: &mut BytesMut) {
        out.put_slice(&self.lines);
        out.put_slice(b"x-amz-cf-id: ");
        out.put_slice(id.bytes());
        out.put_slice(b"\r\n");
    }
}

// === impl RequestId ===
thread_local! {
    /// Seeded by the operating system once a thread, then xorshift128+: ids must be unlike, not secret.
    static SEED: Cell<(u64, u64)> = Cell::new((rand::random::<u64>() | 1, rand::random::<u64>() | 1));
}

impl RequestId {
    pub fn random() -> Self {
        let (a, b) = SEED.with(|seed| {
            let (mut x, y) = seed.get();
            x ^= x << 23;
            let z = x ^ y ^ (x >> 17) ^ (y >> 26);
            seed.set((y, z));
            (y.wrapping_add(z), z.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        });
        let mut out = [0u8; 32];
        let bits = (u128::from(a) << 64) | u128::from(b);
        for (i, slot) in out.iter_mut().enumerate() {
            *slot = b"0123456789abcdef"[(bits >> (124 - 4 * i)) as usize & 15];
        }
        RequestId(out)
    }

    /// An id of another node's making: 32 hex digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 32] = text.as_bytes().try_into().ok()?;
        digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some(RequestId(digits))
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `Server-Timing` in CloudFront's metric names (AWS, "Server-Timing header"): what the cache did, where, for which request,
/// and, when an origin was asked, the milliseconds until its connection stood and until its first byte.
pub fn server_timing(cache: ResultType, pop: &str, id: &RequestId, origin: Option<OriginTimes>) -> String {
    let verdict = match cache {
        ResultType::Hit => "cdn-cache-hit",
        ResultType::RefreshHit => "cdn-cache-refresh",
        _ => "cdn-cache-miss",
    };
    let mut line = format!("{verdict}, cdn-pop;desc=\"{pop}\", cdn-rid;desc=\"{id}\"");
    if let Some(OriginTimes { connect, first_byte }) = origin {
        let (connect, first_byte) = (connect.as_millis(), first_byte.as_millis());
        // A string that grows cannot refuse.
        let _ = write!(line, ", cdn-upstream-connect;dur={connect}, cdn-upstream-fbl;dur={first_byte}");
    }
    line
}

/// Writes a decimal number without allocating.
pub fn put_decimal(mut value: u64, out: &mut BytesMut) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_and_unlike() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let id = RequestId::random();
            assert!(id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(seen.insert(id.as_str().to_owned()));
        }
    }

    #[test]
    fn both_lanes_sign_alike() {
        let signature = Signature::new("FRA");
        let id = RequestId::random();
        let mut map = HeaderMap::new();
        signature.sign(&id, &mut map);
        let mut out = BytesMut::new();
        signature.write(&id, &mut out);
        let lines: String = map.iter().map(|(n, v)| format!("{n}: {}\r\n", v.to_str().unwrap())).collect();
        assert_eq!(std::str::from_utf8(&out).unwrap(), lines);
    }

    #[test]
    fn timings() {
        let id = RequestId(*b"0123456789abcdef0123456789abcdef");
        let asked = Some(OriginTimes { connect: Duration::ZERO, first_byte: Duration::from_micros(12_900) });
        for (result, origin, want) in [
            (ResultType::Hit, None, "cdn-cache-hit, cdn-pop;desc=\"FRA\", cdn-rid;desc=\"ID\""),
            (
                ResultType::Miss,
                asked,
                "cdn-cache-miss, cdn-pop;desc=\"FRA\", cdn-rid;desc=\"ID\", cdn-upstream-connect;dur=0, \
                 cdn-upstream-fbl;dur=12",
            ),
            (ResultType::RefreshHit, None, "cdn-cache-refresh, cdn-pop;desc=\"FRA\", cdn-rid;desc=\"ID\""),
        ] {
            assert_eq!(server_timing(result, "FRA", &id, origin), want.replace("ID", id.as_str()));
        }
    }

    #[test]
    fn decimals() {
        for value in [0, 7, 10, 999, u64::MAX] {
            let mut out = BytesMut::new();
            put_decimal(value, &mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), value.to_string());
        }
    }
}
