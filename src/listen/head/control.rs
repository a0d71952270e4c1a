//! Control: what a head's fields say about its connection and its body.
//!
//! In: the fields as sent. Out: Host, framing, Connection, Expect, Upgrade, each with one meaning. Never: other fields.

use super::super::refuse::Refusal;
use super::super::target;
use super::Framing;
use crate::config::compiled::Limits;
use httparse::Header;

/// What the fields say about the connection and the body.
#[derive(Default)]
pub(super) struct Control<'b> {
    host: Option<&'b str>,
    length: Option<u64>,
    chunked: Option<Chunked>,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade_token: bool,
    /// An Upgrade field that names something besides h2c.
    pub(super) protocol: bool,
    pub(super) expect: bool,
}

/// That the transfer coding is `chunked`.
#[derive(Clone, Copy)]
struct Chunked;

// === impl Control ===

impl<'b> Control<'b> {
    pub(super) fn read(fields: &[Header<'b>], minor: u8) -> Result<Self, Refusal> {
        let mut control = Self::default();
        for field in fields {
            // Most fields matter to none of the rules: their length says so without a comparison.
            match field.name.len() {
                4 if field.name.eq_ignore_ascii_case("host") => {
                    once(&mut control.host, target::host(field.value)?, "more than one Host")?;
                }
                6 if field.name.eq_ignore_ascii_case("expect") && minor == 1 => {
                    if !field.value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Refusal { status: 417, reason: "unknown expectation" });
                    }
                    control.expect = true;
                }
                7 if field.name.eq_ignore_ascii_case("upgrade") => {
                    control.protocol |= tokens(field.value).any(|token| !token.eq_ignore_ascii_case(b"h2c"));
                }
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    for token in tokens(field.value) {
                        control.close |= token.eq_ignore_ascii_case(b"close");
                        control.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                        control.upgrade_token |= token.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    once(&mut control.length, length(field.value)?, "more than one Content-Length")?;
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    once(&mut control.chunked, coding(field.value)?, "more than one Transfer-Encoding")?;
                }
                _ => {}
            }
        }
        Ok(control)
    }

    /// RFC 9112 §3.2: exactly one Host in HTTP/1.1; where the target has an authority too, both must say the same.
    pub(super) fn host(&self, authority: Option<&'b str>, minor: u8) -> Result<&'b str, Refusal> {
        match (self.host, authority) {
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
                Err(Refusal::bad("Host differs from the request target"))
            }
            (Some(host), _) => Ok(host),
            (None, _) if minor == 1 => Err(Refusal::bad("no Host")),
            (None, Some(authority)) => Ok(authority),
            (None, None) => Ok(""),
        }
    }

    /// RFC 9112 §6.3, with every ambiguous case an error.
    pub(super) fn framing(&self, minor: u8, limits: &Limits) -> Result<Framing, Refusal> {
        match (self.chunked, self.length) {
            (Some(Chunked), Some(_)) => Err(Refusal::bad("both Content-Length and Transfer-Encoding")),
            (Some(Chunked), None) if minor == 0 => Err(Refusal::bad("Transfer-Encoding in HTTP/1.0")),
            (Some(Chunked), None) => Ok(Framing::Chunked),
            (None, Some(length)) if length > limits.body_size => {
                Err(Refusal { status: 413, reason: "request body too large" })
            }
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::None),
        }
    }
}

/// Keeps a value that may be given once.
fn once<T>(slot: &mut Option<T>, value: T, twice: &'static str) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad(twice)),
    }
}

/// The members of a comma-separated list, empty ones left out (RFC 9110 §5.6.1).
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// RFC 9110 §8.6: digits and nothing else. A list of equal values is legal to repair; here it is refused.
fn length(value: &[u8]) -> Result<u64, Refusal> {
    const INVALID: Refusal = Refusal::bad("invalid Content-Length");
    if value.is_empty() {
        return Err(INVALID);
    }
    value.iter().try_fold(0_u64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10).and_then(|sum| sum.checked_add(u64::from(byte - b'0'))).ok_or(INVALID),
        _ => Err(INVALID),
    })
}

/// RFC 9112 §6.1: `chunked` alone. Other codings before it are known but not served (501); all else has no reading.
fn coding(value: &[u8]) -> Result<Chunked, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Chunked);
    }
    let known = |token: &[u8]| {
        [b"gzip".as_slice(), b"x-gzip", b"deflate", b"compress", b"x-compress"]
            .iter()
            .any(|name| token.eq_ignore_ascii_case(name))
    };
    let mut codings = value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let last = codings.next().unwrap_or_default();
    if last.eq_ignore_ascii_case(b"chunked") && codings.all(known) {
        return Err(Refusal { status: 501, reason: "transfer coding not supported" });
    }
    Err(Refusal::bad("invalid Transfer-Encoding"))
}
