//! Conditional: decides whether a request's preconditions hold for the answer at hand (RFC 9110 §13).
//!
//! In: the request's fields, the answer's status and validators. Out: [`Condition`]. Never: Range and If-Range (see
//! [`super::range`]).

use super::date;
use crate::message::Fields;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderName, Method};

/// What the preconditions make of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Send it.
    Pass,
    /// 304: the viewer has it.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates preconditions in the order of RFC 9110 §13.2.2. Only 2xx answers have any (§13.2.1); a date that cannot be
/// read is no condition, nor is one without a `Last-Modified` to compare.
pub fn check<F: Fields>(
    request: &F,
    method: &Method,
    status: u16,
    etag: Option<&[u8]>,
    last_modified: Option<&[u8]>,
) -> Condition {
    if !(200..300).contains(&status) {
        return Condition::Pass;
    }
    let reads = *method == Method::GET || *method == Method::HEAD;
    // 1, 2
    if request.has(&IF_MATCH) {
        if !listed(request, &IF_MATCH, etag, strong_match) {
            return Condition::PreconditionFailed;
        }
    } else if let Some(since) = only_date(request, &IF_UNMODIFIED_SINCE)
        && last_modified.and_then(date::parse).is_some_and(|modified| modified > since)
    {
        return Condition::PreconditionFailed;
    }
    // 3, 4
    if request.has(&IF_NONE_MATCH) {
        return match listed(request, &IF_NONE_MATCH, etag, weak_match) {
            true if reads => Condition::NotModified,
            true => Condition::PreconditionFailed,
            false => Condition::Pass,
        };
    }
    if reads
        && let Some(since) = only_date(request, &IF_MODIFIED_SINCE)
        && last_modified.and_then(date::parse).is_some_and(|modified| modified <= since)
    {
        return Condition::NotModified;
    }
    Condition::Pass
}

/// Neither weak, and the same (RFC 9110 §8.8.3.2).
pub(super) fn strong_match(one: &[u8], other: &[u8]) -> bool {
    one == other && !one.starts_with(b"W/")
}

/// The same but for weakness (RFC 9110 §8.8.3.2).
pub(super) fn weak_match(one: &[u8], other: &[u8]) -> bool {
    let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag);
    opaque(one) == opaque(other)
}

/// Whether any tag in the field matches; `*` matches any answer there is (§13.1.1, §13.1.2).
fn listed<F: Fields>(
    request: &F,
    name: &'static HeaderName,
    etag: Option<&[u8]>,
    matches: impl Fn(&[u8], &[u8]) -> bool,
) -> bool {
    request.lines(name).any(|line| {
        line.trim_ascii() == b"*" || etag.is_some_and(|own| (Tags { rest: line }).any(|tag| matches(tag, own)))
    })
}

/// The field's date, when it has exactly one line and that is a date.
fn only_date<F: Fields>(request: &F, name: &'static HeaderName) -> Option<u64> {
    let mut lines = request.lines(name);
    let line = lines.next()?;
    if lines.next().is_some() { None } else { date::parse(line) }
}

/// Walks a list of entity tags; what stands between commas without quotes counts as a tag, to compare as it is.
#[derive(Debug)]
struct Tags<'a> {
    rest: &'a [u8],
}

// === impl Tags ===
impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|b| !matches!(b, b',' | b' ' | b'\t'))?;
        let text = &self.rest[start..];
        let opening = if text.starts_with(b"W/") { 2 } else { 0 };
        // A comma inside the quotes is part of the tag; entity tags have no escapes.
        let quoted = text[opening..]
            .strip_prefix(b"\"")
            .and_then(|inner| memchr::memchr(b'"', inner))
            .map(|closing| opening + closing + 2);
        let end = quoted.unwrap_or_else(|| memchr::memchr(b',', text).unwrap_or(text.len()));
        self.rest = &text[end..];
        let mut tag = &text[..end];
        while let [shorter @ .., b' ' | b'\t'] = tag {
            tag = shorter;
        }
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Condition::{NotModified, Pass, PreconditionFailed};
    use http::HeaderMap;
    use proptest::prelude::*;

    const OLD: &str = "Mon, 05 Jan 2026 00:00:00 GMT";
    const NEW: &str = "Tue, 06 Jan 2026 00:00:00 GMT";

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn preconditions() {
        type Lines = &'static [(&'static str, &'static str)];
        // (request, ETag, Last-Modified, verdict for GET), RFC 9110 §13.1, §13.2.2
        let table: &[(Lines, Option<&str>, Option<&str>, Condition)] = &[
            (&[], Some("\"a\""), Some(OLD), Pass),
            // If-None-Match: weak comparison, lists, any
            (&[("if-none-match", "\"a\"")], Some("\"a\""), None, NotModified),
            (&[("if-none-match", "W/\"a\"")], Some("\"a\""), None, NotModified),
            (&[("if-none-match", "\"a\"")], Some("W/\"a\""), None, NotModified),
            (&[("if-none-match", "\"b\"")], Some("\"a\""), None, Pass),
            (&[("if-none-match", "w/\"a\"")], Some("\"a\""), None, Pass),
            (&[("if-none-match", "\"b\" , W/\"c\",\"a\"")], Some("\"a\""), None, NotModified),
            (&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], Some("\"a\""), None, NotModified),
            (&[("if-none-match", "\"x,\\\"a\"")], Some("\"a\""), None, Pass),
            (&[("if-none-match", "\"x, y\", \"a\"")], Some("\"a\""), None, NotModified),
            (&[("if-none-match", "\"a, \"b\"")], Some("\"b\""), None, Pass),
            (&[("if-none-match", "\"\"")], Some("\"\""), None, NotModified),
            (&[("if-none-match", "a")], Some("a"), None, NotModified),
            (&[("if-none-match", "a")], Some("\"a\""), None, Pass),
            (&[("if-none-match", "*")], None, None, NotModified),
            (&[("if-none-match", "\"a\"")], None, None, Pass),
            // If-Modified-Since
            (&[("if-modified-since", OLD)], None, Some(OLD), NotModified),
            (&[("if-modified-since", NEW)], None, Some(OLD), NotModified),
            (&[("if-modified-since", OLD)], None, Some(NEW), Pass),
            (&[("if-modified-since", "never")], None, Some(OLD), Pass),
            (&[("if-modified-since", NEW)], None, None, Pass),
            (&[("if-modified-since", NEW)], None, Some("x"), Pass),
            (&[("if-modified-since", NEW), ("if-modified-since", NEW)], None, Some(OLD), Pass),
            (&[("if-modified-since", "Monday, 05-Jan-26 00:00:00 GMT")], None, Some(OLD), NotModified),
            // … ignored beside If-None-Match
            (&[("if-none-match", "\"b\""), ("if-modified-since", NEW)], Some("\"a\""), Some(OLD), Pass),
            (&[("if-none-match", "\"a\""), ("if-modified-since", OLD)], Some("\"a\""), Some(NEW), NotModified),
            // If-Match: strong comparison
            (&[("if-match", "\"a\"")], Some("\"a\""), None, Pass),
            (&[("if-match", "W/\"a\"")], Some("W/\"a\""), None, PreconditionFailed),
            (&[("if-match", "\"b\"")], Some("\"a\""), None, PreconditionFailed),
            (&[("if-match", "\"b\", \"a\"")], Some("\"a\""), None, Pass),
            (&[("if-match", "*")], None, None, Pass),
            (&[("if-match", "\"a\"")], None, None, PreconditionFailed),
            // If-Unmodified-Since, ignored beside If-Match
            (&[("if-unmodified-since", OLD)], None, Some(OLD), Pass),
            (&[("if-unmodified-since", OLD)], None, Some(NEW), PreconditionFailed),
            (&[("if-unmodified-since", "x")], None, Some(NEW), Pass),
            (&[("if-unmodified-since", OLD)], None, None, Pass),
            (&[("if-match", "\"a\""), ("if-unmodified-since", OLD)], Some("\"a\""), Some(NEW), Pass),
            // Order
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Some("\"a\""), None, PreconditionFailed),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], Some("\"a\""), None, NotModified),
        ];
        for (lines, etag, modified, want) in table {
            let (etag, modified) = (etag.map(str::as_bytes), modified.map(str::as_bytes));
            let request = fields(lines);
            assert_eq!(check(&request, &Method::GET, 200, etag, modified), *want, "{lines:?} {etag:?}");
            assert_eq!(check(&request, &Method::HEAD, 200, etag, modified), *want, "{lines:?} {etag:?}");
            // §13.2.1
            assert_eq!(check(&request, &Method::GET, 404, etag, modified), Pass, "{lines:?}");
            assert_eq!(check(&request, &Method::GET, 301, etag, modified), Pass, "{lines:?}");
        }
    }

    #[test]
    fn other_methods() {
        let none = fields(&[("if-none-match", "*")]);
        assert_eq!(check(&none, &Method::OPTIONS, 200, None, None), PreconditionFailed);
        let since = fields(&[("if-modified-since", NEW)]);
        assert_eq!(check(&since, &Method::OPTIONS, 200, None, Some(OLD.as_bytes())), Pass, "§13.1.3");
    }

    proptest! {
        #[test]
        fn any_list_is_read(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let tags: Vec<&[u8]> = Tags { rest: &line }.collect();
            prop_assert!(tags.iter().all(|tag| !tag.is_empty()));
            prop_assert!(tags.iter().map(|tag| tag.len()).sum::<usize>() <= line.len());
        }

        #[test]
        fn a_tag_is_found_wherever_it_stands(
            before in proptest::collection::vec("(W/)?\"[a-z ,]{0,4}\"", 0..4),
            after in proptest::collection::vec("(W/)?\"[a-z ,]{0,4}\"", 0..4)
        ) {
            let list = before.into_iter().chain(["\"A\"".to_owned()]).chain(after).collect::<Vec<_>>().join(", ");
            let request = fields(&[("if-none-match", &list)]);
            prop_assert_eq!(check(&request, &Method::GET, 200, Some(b"W/\"A\""), None), NotModified);
            prop_assert_eq!(check(&request, &Method::GET, 200, Some(b"\"B\""), None), Pass);
        }
    }
}
