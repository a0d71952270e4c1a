//! Response: decides what of an origin's header section is passed on, and which answers are refused.
//!
//! In: the answer's fields as received, the time. Out: the same fields, clean; or why the answer cannot be trusted.
//! Never: freshness, bodies; `Server` is the origin's and stays.

use std::time::SystemTime;

use http::header::{CONTENT_LENGTH, DATE, PROXY_AUTHENTICATE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use super::{OriginError, hop};

/// Cleans the fields of an answer: hop-by-hop fields go (a 101 keeps its `Upgrade`), `Date` is there (RFC 9110 §6.6.1),
/// `Via` names us. `Transfer-Encoding` stays: pingora frames by it and drops it where it must.
pub fn clean(fields: &mut HeaderMap, status: StatusCode, received: Version, pop: &str, now: SystemTime) {
    let upgrade = (status == StatusCode::SWITCHING_PROTOCOLS).then(|| fields.get(UPGRADE).cloned()).flatten();
    hop::strip(fields);
    // For the next hop only (RFC 9110 §11.7.1), and between us and the origin there is no proxy to log in to.
    fields.remove(PROXY_AUTHENTICATE);
    if let Some(upgrade) = upgrade {
        hop::upgrade(fields, upgrade);
    }
    if !fields.contains_key(DATE)
        && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now))
    {
        fields.insert(DATE, date);
    }
    hop::via(fields, received, pop);
}

/// Whether an answer has no body whatever its fields say (RFC 9112 §6.3).
pub fn bodiless(head_asked: bool, status: StatusCode) -> bool {
    head_asked || matches!(status.as_u16(), 101 | 204 | 304)
}

/// Takes the framing off an answer whose status allows none (RFC 9110 §8.6, RFC 9112 §6.1), once it was read.
pub fn unframe(fields: &mut HeaderMap, status: StatusCode) {
    if status == StatusCode::NO_CONTENT {
        fields.remove(CONTENT_LENGTH);
        fields.remove(TRANSFER_ENCODING);
    }
}

/// Takes off a Transfer-Encoding of RFC 2616 times that means no coding at all.
pub fn uncode(fields: &mut HeaderMap) {
    if fields.get(TRANSFER_ENCODING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        fields.remove(TRANSFER_ENCODING);
    }
}

/// The length an answer announces; `None` when it is chunked or ends with its connection.
///
/// # Errors
/// More than one length, both framings at once, a length that is no number: two readers could find two different ends
/// (RFC 9112 §6.3), so the answer is refused instead of repaired.
pub fn length(fields: &HeaderMap) -> Result<Option<u64>, OriginError> {
    let refused = |reason| Err(OriginError::Malformed { reason });
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    if codings.next().is_some_and(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        // RFC 9112 §6.1: nobody asked for another (no TE was sent), and its bytes are not the content.
        return refused("a Transfer-Encoding other than chunked");
    }
    let mut lines = fields.get_all(CONTENT_LENGTH).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return refused("Content-Length more than once");
    }
    if fields.contains_key(TRANSFER_ENCODING) {
        return refused("both Content-Length and Transfer-Encoding");
    }
    let digits = line.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return refused("Content-Length is not a number");
    }
    match line.to_str().ok().and_then(|digits| digits.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => refused("Content-Length is too large"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn map(lines: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines.lines() {
            let (name, value) = line.split_once(':').unwrap();
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.trim().parse().unwrap());
        }
        map
    }

    fn text(map: &HeaderMap) -> String {
        let mut lines: Vec<_> =
            map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    #[test]
    fn cleaned() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (name, status, lines, want) in [
            (
                "hop-by-hop goes, Server stays, Date is added",
                200,
                "server: nginx\nconnection: close, x-a\nx-a: 1\nkeep-alive: timeout=5\nproxy-authenticate: Basic\nupgrade: h2c",
                "date: Sun, 06 Nov 1994 08:49:37 GMT\nserver: nginx\nvia: 1.1 FRA.rimward (Rimward)",
            ),
            (
                "the origin's Date and Via stay",
                200,
                "date: Mon, 07 Nov 1994 08:49:37 GMT\nvia: 1.1 other",
                "date: Mon, 07 Nov 1994 08:49:37 GMT\nvia: 1.1 other, 1.1 FRA.rimward (Rimward)",
            ),
            (
                "101 keeps its upgrade",
                101,
                "connection: upgrade\nupgrade: websocket\ndate: x\nsec-websocket-accept: k",
                "connection: upgrade\ndate: x\nsec-websocket-accept: k\nupgrade: websocket\nvia: 1.1 FRA.rimward (Rimward)",
            ),
            (
                "framing stays",
                200,
                "transfer-encoding: chunked\ndate: x\ntrailer: grpc-status",
                "date: x\ntrailer: grpc-status\ntransfer-encoding: chunked\nvia: 1.1 FRA.rimward (Rimward)",
            ),
        ] {
            let mut fields = map(lines);
            clean(&mut fields, StatusCode::from_u16(status).unwrap(), Version::HTTP_11, "FRA", now);
            assert_eq!(text(&fields), want, "{name}");
        }
    }

    #[test]
    fn lengths() {
        for (name, lines, want) in [
            ("none", "", Ok(None)),
            ("one", "content-length: 12", Ok(Some(12))),
            ("chunked", "transfer-encoding: Chunked", Ok(None)),
            ("gzip below", "transfer-encoding: gzip, chunked", Err(())),
            ("gzip", "transfer-encoding: gzip", Err(())),
            ("chunked twice", "transfer-encoding: chunked\ntransfer-encoding: chunked", Err(())),
            ("twice", "content-length: 12\ncontent-length: 12", Err(())),
            ("a list", "content-length: 12, 12", Err(())),
            ("both", "content-length: 12\ntransfer-encoding: chunked", Err(())),
            ("signed", "content-length: +12", Err(())),
            ("negative", "content-length: -1", Err(())),
            ("empty", "content-length:", Err(())),
            ("too large", "content-length: 18446744073709551616", Err(())),
        ] {
            assert_eq!(length(&map(lines)).map_err(drop), want, "{name}");
        }
    }
}
