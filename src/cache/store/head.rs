//! Head: how an answer's header fields are kept.
//!
//! In: a response header and what to leave out. Out: one block of HTTP/1.1 header lines, and the header back from it.
//! Never: a decision about caching, I/O.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use pingora::cache::CacheMeta;
use pingora::http::ResponseHeader;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::StoreError;
use crate::cache::object::Meta;

/// Fields that belong to one connection or one message's framing (RFC 9110 §7.6.1, RFC 9112 §6), and `age`, which every
/// answer from the cache states anew (RFC 9111 §5.1).
const NEVER_STORED: [HeaderName; 11] = [
    header::AGE,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The lines of `fields` in one exactly sized block, `content-length` first when the length is known. Fields named by
/// `Connection` and by `strip` are left out.
pub fn lines(status: u16, fields: &http::HeaderMap, strip: &[HeaderName], length: Option<u64>) -> Box<[u8]> {
    let named = connection_options(fields);
    let kept = || fields.iter().filter(|(name, _)| !omitted(name, strip, &named));
    let size: usize = kept().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut block = Vec::with_capacity(size + 40);
    // RFC 9110 §8.6: a 204 never carries Content-Length.
    if let Some(length) = length.filter(|_| status != 204) {
        put_line(&mut block, b"content-length", length.to_string().as_bytes());
    }
    for (name, value) in kept() {
        put_line(&mut block, name.as_str().as_bytes(), value.as_bytes());
    }
    block.into()
}

/// Puts `content-length` before lines that were written when the length was not known yet.
pub fn with_length(status: u16, lines: &[u8], length: u64) -> Box<[u8]> {
    if status == 204 {
        return lines.into();
    }
    let mut block = Vec::with_capacity(lines.len() + 40);
    put_line(&mut block, b"content-length", length.to_string().as_bytes());
    block.extend_from_slice(lines);
    block.into()
}

/// The header that `lines` was made from. Values share one copy of the block.
pub fn header(status: u16, lines: &[u8]) -> Result<ResponseHeader, StoreError> {
    let lines = Bytes::copy_from_slice(lines);
    let mut header = ResponseHeader::build_no_case(status, Some(16)).map_err(|_| StoreError::Head)?;
    let mut at = 0;
    while at < lines.len() {
        let rest = &lines[at..];
        let end = memchr::memchr(b'\n', rest).ok_or(StoreError::Head)?;
        let colon = memchr::memchr(b':', &rest[..end]).ok_or(StoreError::Head)?;
        let name = HeaderName::from_bytes(&rest[..colon]).map_err(|_| StoreError::Head)?;
        // `: ` before the value, `\r` after it: both written by `put_line`.
        let value = (colon + 2 < end).then(|| lines.slice(at + colon + 2..at + end - 1)).ok_or(StoreError::Head)?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| StoreError::Head)?;
        header.append_header(name, value).map_err(|_| StoreError::Head)?;
        at += end + 1;
    }
    Ok(header)
}

/// Pingora's view of a stored answer.
///
/// Its stale windows never end: whether a stale answer may be served is decided on [`Meta`] for each request, and Pingora
/// would only add a second opinion (it knows no soft timeout, and no viewer's `max-stale`). `created` is the same instant for
/// every object: Pingora takes a variant that is older than its family's primary for purged, which would drop variants
/// whenever the primary is revalidated; purges are decided on [`Meta`] instead. The age is counted from `epoch_override`.
pub fn cache_meta(meta: &Meta, header: ResponseHeader) -> CacheMeta {
    let epoch_ms = meta.responded_ms.saturating_sub(meta.initial_age_ms);
    // Fresh while age < lifetime (RFC 9111 §4.2); Pingora compares with <=.
    let fresh_until = epoch_ms.saturating_add(meta.lifetime_ms).saturating_sub(1);
    let mut view = CacheMeta::new(instant(fresh_until), UNIX_EPOCH, u32::MAX, u32::MAX, header);
    view.set_epoch_override(instant(epoch_ms));
    if let Some(variance) = meta.variance {
        view.set_variance(variance);
    }
    view
}

fn instant(ms: u64) -> SystemTime {
    // A lifetime of centuries is as good as the largest time there is.
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
}

fn omitted(name: &HeaderName, strip: &[HeaderName], named: &[HeaderName]) -> bool {
    NEVER_STORED.contains(name) || strip.contains(name) || named.contains(name)
}

fn connection_options(fields: &http::HeaderMap) -> Vec<HeaderName> {
    let lists = fields.get_all(header::CONNECTION).iter();
    let options = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok()).collect()
}

fn put_line(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        block.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::fixture;

    fn fields(lines: &[(&'static str, &'static str)]) -> http::HeaderMap {
        let mut map = http::HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_is_stored() {
        let etag = [("etag", "\"a\"")];
        for (name, status, given, strip, length, want) in [
            ("length first", 200, &etag[..], vec![], Some(3), "content-length: 3\r\netag: \"a\"\r\n"),
            ("length unknown", 200, &etag[..], vec![], None, "etag: \"a\"\r\n"),
            ("204 has none", 204, &etag[..], vec![], Some(0), "etag: \"a\"\r\n"),
            ("empty value", 200, &[("x", "")][..], vec![], None, "x: \r\n"),
            (
                "framing goes",
                200,
                &[("transfer-encoding", "chunked"), ("age", "4"), ("content-length", "9")][..],
                vec![],
                Some(3),
                "content-length: 3\r\n",
            ),
            (
                "nominated goes",
                200,
                &[("connection", "close, X-Hop"), ("x-hop", "1"), ("x", "2")][..],
                vec![],
                None,
                "x: 2\r\n",
            ),
            (
                "stripped goes",
                200,
                &[("set-cookie", "a=b"), ("x", "2")][..],
                vec![header::SET_COOKIE],
                None,
                "x: 2\r\n",
            ),
            ("repeats stay", 200, &[("x", "1"), ("x", "2")][..], vec![], None, "x: 1\r\nx: 2\r\n"),
        ] {
            assert_eq!(&*lines(status, &fields(given), &strip, length), want.as_bytes(), "{name}");
        }
        assert_eq!(*with_length(200, b"x: 1\r\n", 5), b"content-length: 5\r\nx: 1\r\n"[..]);
    }

    #[test]
    fn lines_become_the_header_again() {
        let given = fields(&[("x", "1"), ("x", "2"), ("empty", ""), ("etag", "\"a:b\"")]);
        let block = lines(404, &given, &[], Some(7));
        let back = header(404, &block).unwrap();
        assert_eq!(back.status, 404);
        assert_eq!(back.headers["content-length"], "7");
        assert_eq!(back.headers["empty"], "");
        assert_eq!(back.headers["etag"], "\"a:b\"");
        assert_eq!(back.headers.get_all("x").iter().collect::<Vec<_>>(), ["1", "2"]);
        for torn in ["x", "x: 1", "no colon\r\n", "x:\n", "b\0d: 1\r\n"] {
            assert!(header(200, torn.as_bytes()).is_err(), "{torn:?}");
        }
    }

    #[test]
    fn pingora_sees_our_freshness() {
        let mut meta = fixture::meta();
        (meta.responded_ms, meta.initial_age_ms, meta.lifetime_ms) = (1_000_000, 5_000, 60_000);
        (meta.must_revalidate, meta.variance) = (true, Some([3; 16]));
        let view = |meta: &Meta| cache_meta(meta, ResponseHeader::build_no_case(200, None).unwrap());
        let seen = view(&meta);
        assert!(seen.is_fresh(instant(1_054_999)));
        assert!(!seen.is_fresh(instant(1_055_000)), "fresh while age < lifetime");
        assert_eq!(seen.epoch(), instant(995_000), "the age counts from here");
        assert!(seen.serve_stale_while_revalidate(instant(u64::from(u32::MAX))), "not Pingora's to decide");
        assert!(seen.serve_stale_if_error(instant(u64::from(u32::MAX))));
        assert_eq!(seen.variance(), Some([3; 16]));
        meta.variance = None;
        assert_eq!(view(&meta).variance(), None);
        meta.lifetime_ms = u64::MAX / 2;
        assert!(view(&meta).is_fresh(SystemTime::now()));
    }
}
