//! Range: decides which bytes of an answer a request asks for (RFC 9110 §14).
//!
//! In: the request's fields, the answer's length and validators. Out: [`Ranges`], `Content-Range`. Never: the
//! bytes.

use super::{conditional, date};
use crate::message::Fields;
use http::Method;
use http::header::{CONTENT_RANGE, IF_RANGE, RANGE};
use smallvec::SmallVec;
use std::ops::Range;

/// Which bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// 200: all of it.
    Whole,
    /// 206 with one range, not empty.
    One(Range<u64>),
    /// 206 as `multipart/byteranges`: at least two, ascending, with gaps between them.
    Many(Vec<Range<u64>>),
    /// 416.
    Unsatisfiable,
}

/// Reads `Range` and `If-Range` against an answer of `total` bytes.
///
/// Only GET has ranges (§14.2). What is no byte range, is malformed, or has more than `max_ranges` members gives the
/// whole, and so do overlapping or descending ranges, as CloudFront answers them (§14.2 lets a server do so; §17.15
/// advises it). Ranges that touch are joined.
pub fn resolve<F: Fields>(
    request: &F,
    method: &Method,
    total: u64,
    etag: Option<&[u8]>,
    last_modified: Option<&[u8]>,
    max_ranges: usize,
) -> Ranges {
    if *method != Method::GET {
        return Ranges::Whole;
    }
    let mut lines = request.lines(&RANGE);
    let (Some(line), None) = (lines.next(), lines.next()) else { return Ranges::Whole };
    if !if_range_holds(request, etag, last_modified) {
        return Ranges::Whole;
    }
    parse(line, total, max_ranges).unwrap_or(Ranges::Whole)
}

/// `Content-Range` of one part (§14.4).
pub fn content_range(range: &Range<u64>, total: u64) -> String {
    format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1))
}

/// The length of the whole that a 206's `Content-Range` states.
pub fn whole_length<F: Fields>(answer: &F) -> Option<u64> {
    let (_, whole) = std::str::from_utf8(answer.first(&CONTENT_RANGE)?).ok()?.rsplit_once('/')?;
    whole.trim().parse().ok()
}

/// `Content-Range` of a 416 (§15.5.17).
pub fn unsatisfied(total: u64) -> String {
    format!("bytes */{total}")
}

/// Whether the viewer's part is of this very answer (RFC 9110 §13.1.5): a strong match of the tag, or exactly its date.
/// `last_modified` is one that [`is_strong`].
fn if_range_holds<F: Fields>(request: &F, etag: Option<&[u8]>, last_modified: Option<&[u8]>) -> bool {
    let mut lines = request.lines(&IF_RANGE);
    let condition = match (lines.next(), lines.next()) {
        (None, _) => return true,
        (Some(condition), None) => condition.trim_ascii(),
        (Some(_), Some(_)) => return false,
    };
    if condition.contains(&b'"') {
        return etag.is_some_and(|etag| conditional::strong_match(condition, etag));
    }
    let Some(since) = date::parse(condition) else { return false };
    last_modified.and_then(date::parse) == Some(since)
}

/// Whether a `Last-Modified` tells every version apart: the answer is of a later second (RFC 9110 §8.8.2.2).
pub fn is_strong(last_modified: &[u8], date: Option<&[u8]>) -> bool {
    let modified = date::parse(last_modified);
    modified.zip(date.and_then(date::parse)).is_some_and(|(modified, date)| date > modified)
}

/// `None` where the field is to be ignored.
fn parse(line: &[u8], total: u64, max_ranges: usize) -> Option<Ranges> {
    let (unit, set) = line.trim_ascii().split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut ranges: SmallVec<[Range<u64>; 4]> = SmallVec::new();
    let mut members = 0usize;
    for member in set.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
        members += 1;
        if members > max_ranges {
            return None;
        }
        let Some(range) = member_range(member, total)? else { continue };
        match ranges.last_mut() {
            Some(last) if range.start < last.end => return None,
            Some(last) if range.start == last.end => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    match ranges.as_slice() {
        [] if members == 0 => None,
        [] => Some(Ranges::Unsatisfiable),
        [one] => Some(Ranges::One(one.clone())),
        _ => Some(Ranges::Many(ranges.into_vec())),
    }
}

/// One `first-last`, `first-` or `-suffix`: `None` when malformed, `Some(None)` when it lies outside (§14.1.2).
fn member_range(member: &[u8], total: u64) -> Option<Option<Range<u64>>> {
    let dash = memchr::memchr(b'-', member)?;
    let (first, last) = (&member[..dash], &member[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        if suffix > 0 && total == 0 {
            // Satisfiable, but no Content-Range can say "none of nothing": the whole it is.
            return None;
        }
        return Some((suffix > 0).then(|| total.saturating_sub(suffix)..total));
    }
    let start = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < start {
        return None;
    }
    Some((start < total).then(|| start..last.saturating_add(1).min(total)))
}

/// Digits only, saturating.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use proptest::prelude::*;

    const MAX: usize = 5;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn of(range: &str, total: u64) -> Ranges {
        resolve(&fields(&[("range", range)]), &Method::GET, total, None, None, MAX)
    }

    #[test]
    fn ranges_of_1000_bytes() {
        let one = Ranges::One;
        // RFC 9110 §14.1.2, §14.2
        let table = [
            ("bytes=0-0", one(0..1)),
            ("bytes=0-499", one(0..500)),
            ("BYTES=500-", one(500..1000)),
            ("bytes=-1", one(999..1000)),
            ("bytes=-1000", one(0..1000)),
            ("bytes=-5000", one(0..1000)),
            ("bytes=900-5000", one(900..1000)),
            ("bytes=999-999", one(999..1000)),
            ("bytes=0-99999999999999999999999", one(0..1000)),
            ("bytes=0-18446744073709551615", one(0..1000)),
            ("bytes=0-0,-1", Ranges::Many(vec![0..1, 999..1000])),
            ("bytes= 0-0 ,\t5-6, ,", Ranges::Many(vec![0..1, 5..7])),
            ("bytes=0-1,2-3", one(0..4)),
            ("bytes=0-1,5000-", one(0..2)),
            ("bytes=0-1,2-3,9-9", Ranges::Many(vec![0..4, 9..10])),
            ("bytes=0-0,2-2,4-4,6-6,8-8", Ranges::Many(vec![0..1, 2..3, 4..5, 6..7, 8..9])),
            // Outside
            ("bytes=1000-", Ranges::Unsatisfiable),
            ("bytes=1000-1001,2000-", Ranges::Unsatisfiable),
            ("bytes=-0", Ranges::Unsatisfiable),
            ("bytes=99999999999999999999999-", Ranges::Unsatisfiable),
            // CloudFront: overlapping or descending, and too many
            ("bytes=0-10,5-20", Ranges::Whole),
            ("bytes=0-10,0-10", Ranges::Whole),
            ("bytes=500-600,0-10", Ranges::Whole),
            ("bytes=0-0,2-2,4-4,6-6,8-8,10-10", Ranges::Whole),
            // Ignored
            ("", Ranges::Whole),
            ("bytes", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes=,", Ranges::Whole),
            ("bytes=5-4", Ranges::Whole),
            ("bytes=0-1,5-4", Ranges::Whole),
            ("bytes=-", Ranges::Whole),
            ("bytes=--1", Ranges::Whole),
            ("bytes=a-b", Ranges::Whole),
            ("bytes=0-1x", Ranges::Whole),
            ("bytes=+0-1", Ranges::Whole),
            ("bytes=1", Ranges::Whole),
            ("bytes =0-1", Ranges::Whole),
            ("items=0-1", Ranges::Whole),
        ];
        for (range, want) in table {
            assert_eq!(of(range, 1000), want, "{range}");
        }
    }

    #[test]
    fn ranges_of_nothing() {
        assert_eq!(of("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(of("bytes=-0", 0), Ranges::Unsatisfiable);
        assert_eq!(of("bytes=-5", 0), Ranges::Whole);
    }

    #[test]
    fn who_may_ask() {
        let request = fields(&[("range", "bytes=0-1")]);
        for method in [Method::HEAD, Method::POST, Method::OPTIONS] {
            assert_eq!(resolve(&request, &method, 9, None, None, MAX), Ranges::Whole, "§14.2 {method}");
        }
        let twice = fields(&[("range", "bytes=0-1"), ("range", "bytes=4-5")]);
        assert_eq!(resolve(&twice, &Method::GET, 9, None, None, MAX), Ranges::Whole);
        assert_eq!(resolve(&request, &Method::GET, 9, None, None, 0), Ranges::Whole);
        assert_eq!(resolve(&fields(&[]), &Method::GET, 9, None, None, MAX), Ranges::Whole);
    }

    #[test]
    fn if_range() {
        let (old, new) = ("Mon, 05 Jan 2026 00:00:00 GMT", "Tue, 06 Jan 2026 00:00:00 GMT");
        // (If-Range, ETag, Last-Modified, holds?), RFC 9110 §13.1.5
        let table = [
            ("\"a\"", Some("\"a\""), None, true),
            ("\"b\"", Some("\"a\""), None, false),
            ("W/\"a\"", Some("W/\"a\""), None, false),
            ("\"a\"", Some("W/\"a\""), None, false),
            ("\"a\"", None, Some(old), false),
            (old, None, Some(old), true),
            (old, Some("\"a\""), Some(old), true),
            (new, None, Some(old), false),
            (old, None, Some(new), false),
            (old, None, None, false),
            ("a", Some("a"), None, false),
            ("", Some("\"a\""), Some(old), false),
        ];
        for (condition, etag, modified, holds) in table {
            let request = fields(&[("range", "bytes=0-1"), ("if-range", condition)]);
            let got = resolve(&request, &Method::GET, 9, etag.map(str::as_bytes), modified.map(str::as_bytes), MAX);
            assert_eq!(got == Ranges::One(0..2), holds, "{condition} {etag:?} {modified:?}");
        }
        let twice = fields(&[("range", "bytes=0-1"), ("if-range", "\"a\""), ("if-range", "\"a\"")]);
        assert_eq!(resolve(&twice, &Method::GET, 9, Some(b"\"a\""), None, MAX), Ranges::Whole);
    }

    #[test]
    fn a_date_is_strong_a_second_later() {
        let modified = b"Mon, 05 Jan 2026 00:00:00 GMT";
        for (date, strong) in [
            (Some("Mon, 05 Jan 2026 00:00:01 GMT"), true),
            (Some("Mon, 05 Jan 2026 00:00:00 GMT"), false),
            (Some("Sun, 04 Jan 2026 00:00:00 GMT"), false),
            (Some("soon"), false),
            (None, false),
        ] {
            assert_eq!(is_strong(modified, date.map(str::as_bytes)), strong, "{date:?}");
        }
        assert!(!is_strong(b"soon", Some(modified)));
    }

    #[test]
    fn text_of_parts() {
        assert_eq!(content_range(&(0..500), 1234), "bytes 0-499/1234");
        assert_eq!(unsatisfied(1234), "bytes */1234");
    }

    proptest! {
        /// Whatever is asked, what is sent lies inside, in order, with gaps.
        #[test]
        fn answers_are_sound(line in "bytes=[0-9, -]{0,30}", total in 0u64..50, max in 0usize..6) {
            let request = fields(&[("range", &line)]);
            match resolve(&request, &Method::GET, total, None, None, max) {
                Ranges::Whole | Ranges::Unsatisfiable => {}
                Ranges::One(range) => prop_assert!(range.start < range.end && range.end <= total),
                Ranges::Many(ranges) => {
                    prop_assert!(ranges.len() >= 2 && ranges.len() <= max);
                    prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= total));
                    prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
                }
            }
        }

        #[test]
        fn a_plain_range_is_exact(start in 0u64..1000, len in 1u64..1000, total in 1u64..1000) {
            let want = match start < total {
                true => Ranges::One(start..(start + len).min(total)),
                false => Ranges::Unsatisfiable,
            };
            prop_assert_eq!(of(&format!("bytes={start}-{}", start + len - 1), total), want);
        }
    }
}
