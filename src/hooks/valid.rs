//! Valid: which values may become part of a message.
//!
//! In: a value a function gave. Out: whether it is one, or the form it is sent in. Never: which event it is for.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::config::compiled::Mode;

use super::exchange::{EditError, OriginPatch};
use super::fields;

/// Bytes of a domain name.
const HOST_MAX: usize = 253;
/// Bytes of an origin's path (CloudFront Developer Guide, "Lambda@Edge event structure", custom origin).
const PATH_MAX: usize = 255;
/// Bytes of names and values of an origin's own fields together (CloudFront Developer Guide, "Quotas on custom headers").
const ORIGIN_FIELDS_SIZE: usize = 10_240;
/// The same quotas page, in strict mode: fields an origin may have, bytes of one's name, bytes of one's value.
const ORIGIN_FIELDS: usize = 10;
const ORIGIN_FIELD_NAME: usize = 256;
const ORIGIN_FIELD_VALUE: usize = 1783;
/// Seconds a function may make an origin wait for the next byte, and for a connection.
const READ_TIMEOUT: std::ops::RangeInclusive<u64> = 1..=120;
const CONNECT_TIMEOUT: std::ops::RangeInclusive<u64> = 1..=10;
/// Members of an origin group that a function makes; AWS has two.
pub const GROUP_MAX: usize = 8;

/// A path: starts with '/', no space, control character, '#' or '?'.
pub fn path(path: &str) -> bool {
    path.starts_with('/') && !path.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#' || b == b'?')
}

/// A query string: no space, control character or '#' (CloudFront Developer Guide, "Restrictions on edge functions").
pub fn query(query: &str) -> bool {
    !query.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#')
}

/// A path or query as it can be sent: the four characters that no request target holds raw (RFC 3986 appendix A) are encoded,
/// everything else stays as the function wrote it.
pub fn sendable(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(unsendable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match u8::try_from(c) {
            Ok(b) if unsendable(b) => _ = write!(out, "%{b:02X}"),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn unsendable(b: u8) -> bool {
    matches!(b, b'"' | b'<' | b'>' | b'`')
}

/// 200 to 599.
pub fn status(status: u16) -> Result<StatusCode, EditError> {
    match status {
        200..=599 => StatusCode::from_u16(status).map_err(|_| EditError::Invalid),
        _ => Err(EditError::Invalid),
    }
}

/// Whether an answer of that status never has a body (RFC 9110 §6.4.1, and §15.3.6 of a 205).
pub fn bodiless(status: StatusCode) -> bool {
    matches!(status.as_u16(), 204 | 205 | 304)
}

/// What Host may be: a name or address, perhaps a port.
pub fn host_field(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    !text.contains('@') && text.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.host().is_empty())
}

/// An origin's name: at most 253 bytes, no port and no address (CloudFront Developer Guide, "Lambda@Edge event structure").
pub fn host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= HOST_MAX
        && host.parse::<IpAddr>().is_err()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// "" or "/prefix".
pub fn prefix(prefix: &str) -> bool {
    prefix.is_empty()
        || prefix.len() <= PATH_MAX
            && path(prefix)
            && !prefix.ends_with('/')
            && prefix.bytes().all(|b| b.is_ascii() && !unsendable(b))
}

/// 80, 443, or 1024 and more.
pub fn port(port: u16) -> bool {
    port == 80 || port == 443 || port >= 1024
}

/// An origin as a function may describe it. Of `own`, the fields it has, the operator's may stay, whatever they are called.
pub fn patch(mode: Mode, patch: &OriginPatch, own: &[(HeaderName, HeaderValue)]) -> Result<(), EditError> {
    let text = |value: &String| HeaderValue::from_str(value).is_ok_and(|value| host_field(value.as_bytes()));
    let valid = patch.host.as_deref().is_none_or(host)
        && patch.host_header.as_ref().is_none_or(text)
        && patch.sni.as_deref().is_none_or(host)
        && patch.path.as_deref().is_none_or(prefix)
        && patch.port.is_none_or(port)
        && patch.attempts.is_none_or(|n| (1..=3).contains(&n))
        && patch.read_timeout.is_none_or(|time| READ_TIMEOUT.contains(&time.as_secs()))
        && patch.connect_timeout.is_none_or(|time| CONNECT_TIMEOUT.contains(&time.as_secs()));
    if !valid {
        return Err(EditError::Invalid);
    }
    let fields = patch.headers.as_deref().unwrap_or_default();
    if fields.iter().any(|line| !fields::for_origin(line.0.as_str()) && !own.contains(line)) {
        return Err(EditError::Forbidden);
    }
    let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let long = |(name, value): &(HeaderName, HeaderValue)| {
        name.as_str().len() > ORIGIN_FIELD_NAME || value.len() > ORIGIN_FIELD_VALUE
    };
    let strict = mode == Mode::Strict && (fields.len() > ORIGIN_FIELDS || fields.iter().any(long));
    if size > ORIGIN_FIELDS_SIZE || strict { Err(EditError::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_field_may_be() {
        for (value, want) in [
            ("shop.example", true),
            ("shop.example:8080", true),
            ("[::1]:80", true),
            ("192.0.2.1", true),
            ("", false),
            (":80", false),
            ("a b", false),
            ("a/b", false),
            ("a@b", false),
            ("a,b", true),
        ] {
            assert_eq!(host_field(value.as_bytes()), want, "{value}");
        }
    }

    /// Every ASCII character that is allowed makes a target that can be sent.
    #[test]
    fn what_is_allowed_can_be_sent() {
        for c in (0..=0x7fu8).map(char::from) {
            let (uri, text) = (format!("/a{c}"), format!("a={c}"));
            let target = format!("{}?{}", sendable(&uri), sendable(&text));
            let parses = target.parse::<http::Uri>().is_ok_and(|parsed| parsed.query().is_some());
            assert!(!(path(&uri) && query(&text)) || parses, "{target}");
        }
        assert_eq!(sendable("/é\"<x>`|{}"), "/é%22%3Cx%3E%60|{}");
        assert!("/é".parse::<http::Uri>().is_ok());
    }
}
