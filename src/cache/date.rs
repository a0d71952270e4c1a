//! Date: what instant an HTTP-date names.
//!
//! In: a field value. Out: milliseconds since the epoch. Never: a guess at a date that cannot be read.

use std::time::UNIX_EPOCH;

/// Reads an HTTP-date in any of its three forms (RFC 9110 §5.6.7), in milliseconds since the epoch.
pub(super) fn parse(value: &[u8]) -> Option<u64> {
    let instant = httpdate::parse_http_date(std::str::from_utf8(value).ok()?.trim()).ok()?;
    u64::try_from(instant.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms() {
        let table: &[(&[u8], Option<u64>)] = &[
            (b"Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000)),
            (b"Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777_000)),
            (b"Sun Nov  6 08:49:37 1994", Some(784_111_777_000)),
            (b" Sun, 06 Nov 1994 08:49:37 GMT ", Some(784_111_777_000)),
            (b"Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            (b"0", None),
            (b"", None),
            (b"-1", None),
            (b"Sun, 06 Nov 1994 08:49:37", None),
            (b"Sun, 66 Nov 1994 08:49:37 GMT", None),
            (b"\xff\xfe", None),
        ];
        for (text, want) in table {
            assert_eq!(parse(text), *want, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
