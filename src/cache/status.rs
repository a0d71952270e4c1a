//! Status: what the Cache-Status field says about a request (RFC 9211).
//!
//! In: the PoP's code and what happened; what caches nearer to the origin wrote. Out: one list member, to stand after theirs.
//! Never: a value that is no Structured Field, or a list that an origin's line makes unreadable.

use super::directives::targeted;
use http::{HeaderMap, HeaderName};
use std::fmt::{self, Write};

/// The field.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Bytes of upstream Cache-Status that are passed on; past it our own member stands alone.
pub const MAX_UPSTREAM: usize = 1024;

/// Largest integer a Structured Field holds (RFC 8941 §3.3.1).
const MAX_INTEGER: i64 = 999_999_999_999_999;

/// Where the answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// From the cache, without asking the origin.
    Hit,
    /// The request went on to the origin.
    Fwd(FwdReason),
    /// Neither: the edge answered by itself (RFC 9211 §2.1, §2.2: both parameters are absent).
    Here,
}

/// Why a request went on to the origin (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FwdReason {
    /// The configuration does not cache this request.
    Bypass,
    /// The method must be forwarded.
    Method,
    /// Nothing is stored under the key.
    UriMiss,
    /// Something is stored, but no variant that fits.
    VaryMiss,
    /// Nothing usable, unclear which of the two above.
    Miss,
    /// The request's own directives asked for it.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is only a part.
    Partial,
}

/// One cache's report on one request.
#[derive(Debug, Clone, Copy)]
pub struct CacheStatus<'a> {
    /// Names this cache: the PoP's code.
    pub pop: &'a str,
    pub outcome: Outcome,
    /// Freshness left in seconds, negative when stale (§2.4).
    pub ttl_s: Option<i64>,
    /// The origin's answer was stored (§2.5).
    pub stored: bool,
    /// Another request's answer served this one (§2.6).
    pub collapsed: bool,
    /// The origin's status (§2.3).
    pub fwd_status: Option<u16>,
    /// What the answer is stored under (§2.7).
    pub key: Option<&'a str>,
    /// Our own word on the reason (§2.8): a [`crate::cache::policy::Why`]; what made a request validate, serve stale or go past the
    /// cache; where others were waited for, `collapse-released` (their answer was for nobody else), `collapse-timeout` or
    /// `collapse-rounds` (too long, too often).
    pub detail: Option<&'a str>,
}

// === impl FwdReason ===
impl FwdReason {
    /// The token of RFC 9211 §2.2; also the label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            FwdReason::Bypass => "bypass",
            FwdReason::Method => "method",
            FwdReason::UriMiss => "uri-miss",
            FwdReason::VaryMiss => "vary-miss",
            FwdReason::Miss => "miss",
            FwdReason::Request => "request",
            FwdReason::Stale => "stale",
            FwdReason::Partial => "partial",
        }
    }
}

// === impl CacheStatus ===
impl<'a> CacheStatus<'a> {
    /// The report on a request that was answered before anything was looked up, because of `reason`.
    pub fn refused(pop: &'a str, reason: &'a str) -> Self {
        CacheStatus {
            pop,
            outcome: Outcome::Here,
            ttl_s: None,
            stored: false,
            collapsed: false,
            fwd_status: None,
            key: None,
            detail: Some(reason),
        }
    }

    /// Writes the member, as in `FRA; hit; ttl=123` or `FRA; fwd=uri-miss; fwd-status=200; stored`. Fails only when
    /// `out` does.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        item(out, self.pop)?;
        match self.outcome {
            Outcome::Hit => out.write_str("; hit")?,
            Outcome::Fwd(reason) => {
                out.write_str("; fwd=")?;
                out.write_str(reason.as_str())?;
            }
            Outcome::Here => {}
        }
        if let Some(status) = self.fwd_status {
            out.write_str("; fwd-status=")?;
            integer(out, i64::from(status))?;
        }
        if let Some(ttl) = self.ttl_s {
            out.write_str("; ttl=")?;
            integer(out, ttl)?;
        }
        if self.stored {
            out.write_str("; stored")?;
        }
        if self.collapsed {
            out.write_str("; collapsed")?;
        }
        if let Some(key) = self.key {
            out.write_str("; key=")?;
            text(out, key)?;
        }
        if let Some(detail) = self.detail {
            out.write_str("; detail=")?;
            item(out, detail)?;
        }
        Ok(())
    }
}

/// Takes out of an answer's fields what would make the list unreadable with our own member in it: lines that are no Structured Fields
/// list (RFC 8941 §4.2: a list is ignored whole), and all of them where they exceed [`MAX_UPSTREAM`]. The list runs from the origin to
/// the viewer (RFC 9211 §2).
pub fn sift(fields: &mut HeaderMap) {
    let lines = || fields.get_all(CACHE_STATUS).iter();
    let fits = lines().map(|line| line.len()).sum::<usize>() <= MAX_UPSTREAM;
    if fits && lines().all(|line| targeted::is_list(line.as_bytes())) {
        return;
    }
    let good: Vec<_> = lines().filter(|line| fits && targeted::is_list(line.as_bytes())).cloned().collect();
    fields.remove(CACHE_STATUS);
    for line in good {
        fields.append(CACHE_STATUS, line);
    }
}

/// A token where the text is one, else a string: both are allowed as member and as `detail`.
fn item(out: &mut impl Write, value: &str) -> fmt::Result {
    if is_token(value) { out.write_str(value) } else { text(out, value) }
}

/// RFC 8941 §3.3.4.
fn is_token(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b))
}

/// RFC 8941 §3.3.3: printable ASCII; anything else becomes `?`.
fn text(out: &mut impl Write, value: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                out.write_char('\\')?;
                out.write_char(c)?;
            }
            ' '..='~' => out.write_char(c)?,
            _ => out.write_char('?')?,
        }
    }
    out.write_char('"')
}

/// Decimal digits without the formatting machinery, which costs more than the rest of the field.
fn integer(out: &mut impl Write, value: i64) -> fmt::Result {
    let value = value.clamp(-MAX_INTEGER, MAX_INTEGER);
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.write_char('-')?;
    }
    out.write_str(std::str::from_utf8(&digits[at..]).unwrap_or("0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HIT: CacheStatus<'static> = CacheStatus {
        pop: "FRA",
        outcome: Outcome::Hit,
        ttl_s: None,
        stored: false,
        collapsed: false,
        fwd_status: None,
        key: None,
        detail: None,
    };
    const MISS: CacheStatus<'static> = CacheStatus { outcome: Outcome::Fwd(FwdReason::UriMiss), ..HIT };

    fn written(status: &CacheStatus<'_>) -> String {
        let mut out = String::new();
        status.write(&mut out).unwrap();
        out
    }

    #[test]
    fn members() {
        // RFC 9211 §2, §4
        let table = [
            (CacheStatus { ttl_s: Some(123), ..HIT }, "FRA; hit; ttl=123"),
            (CacheStatus { ttl_s: Some(-5), detail: Some("stale"), ..HIT }, "FRA; hit; ttl=-5; detail=stale"),
            (CacheStatus { ttl_s: Some(0), ..HIT }, "FRA; hit; ttl=0"),
            (CacheStatus { ttl_s: Some(i64::MAX), ..HIT }, "FRA; hit; ttl=999999999999999"),
            (CacheStatus { ttl_s: Some(i64::MIN), ..HIT }, "FRA; hit; ttl=-999999999999999"),
            (CacheStatus { fwd_status: Some(200), stored: true, ..MISS }, "FRA; fwd=uri-miss; fwd-status=200; stored"),
            (CacheStatus { collapsed: true, ..MISS }, "FRA; fwd=uri-miss; collapsed"),
            (CacheStatus { key: Some("h/a\"b"), ..MISS }, "FRA; fwd=uri-miss; key=\"h/a\\\"b\""),
            (CacheStatus { detail: Some("not a token"), ..MISS }, "FRA; fwd=uri-miss; detail=\"not a token\""),
            (CacheStatus { pop: "1st", ..HIT }, "\"1st\"; hit"),
            (CacheStatus { pop: "", ..HIT }, "\"\"; hit"),
            (CacheStatus { pop: "Köln", ..HIT }, "\"K?ln\"; hit"),
        ];
        for (status, want) in table {
            assert_eq!(written(&status), want);
        }
    }

    #[test]
    fn reasons() {
        use FwdReason::{Bypass, Method, Miss, Partial, Request, Stale, UriMiss, VaryMiss};
        let reasons = [Bypass, Method, UriMiss, VaryMiss, Miss, Request, Stale, Partial];
        let tokens: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(tokens, ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]);
    }

    #[test]
    fn what_others_wrote_stays_if_it_is_a_list() {
        let sifted = |lines: &[&[u8]]| {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(CACHE_STATUS, http::HeaderValue::from_bytes(line).unwrap());
            }
            sift(&mut fields);
            fields.get_all(CACHE_STATUS).iter().map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let long = [b'a'; MAX_UPSTREAM + 1];
        let none: [&str; 0] = [];
        assert_eq!(sifted(&[]), none);
        assert_eq!(sifted(&[b"Shield; hit; ttl=1"]), ["Shield; hit; ttl=1"]);
        assert_eq!(sifted(&[b"A; hit, \"b c\"; key=\"x,y\"", b"C; fwd=miss"]).len(), 2);
        assert_eq!(sifted(&[b"HIT from cache", b"A; hit", b"B; hit,", b"\xff"]), ["A; hit"]);
        assert_eq!(sifted(&[&long, b"x"]), none);
    }

    proptest! {
        /// Whatever the parts hold, the member has no way to end early or to break the line.
        #[test]
        fn always_one_printable_member(pop in any::<String>(), key in any::<String>(), ttl in any::<i64>()) {
            let out = written(&CacheStatus { pop: &pop, key: Some(&key), ttl_s: Some(ttl), ..HIT });
            prop_assert!(out.bytes().all(|b| matches!(b, 0x20..=0x7e)));
            let mut quoted = false;
            let mut escaped = false;
            for b in out.bytes() {
                match b {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b',' => prop_assert!(quoted),
                    _ => {}
                }
            }
            prop_assert!(!quoted && !escaped);
        }
    }
}
