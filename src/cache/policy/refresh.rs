//! Refresh: decides what a 304 from the origin makes of the stored answer it confirms (RFC 9111 §3.2, §4.3.4).
//!
//! In: the stored answer's fields, the 304's. Out: whether it is about this answer, the joined fields, new lifetimes.
//! Never: the body.

use super::admit::{Admit, admit};
use super::{Ask, Times};
use crate::cache::conditional::{strong_match, weak_match};
use crate::cache::date::parse as date;
use crate::cache::object::Meta;
use crate::config::compiled::CachePolicy;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderName, LAST_MODIFIED,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};
use std::time::{Duration, UNIX_EPOCH};

/// Fields of a 304 that never change the stored answer: those of one connection (RFC 9111 §3.1), the length (§3.2), and what describes the
/// stored bytes: they may be a coding of our own, so that a coding or a digest of the origin's would be wrong about them (§3.2 allows it
/// "to ensure integrity"); `Content-Range` §3.2 names itself. `Content-Type` says what the bytes mean, not what they are: it changes.
/// `Set-Cookie` is not here, and does not change it either: it is meant for one viewer.
static KEPT: [HeaderName; 17] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Joins a 304 into the stored answer and decides how long the result lives: `stored` gets the 304's fields, `meta`
/// says which status it has. A 304 without `Date` was generated when it arrived (RFC 9110 §6.6.1).
///
/// [`super::Lifetimes::strip`] then names fields to take out of `stored`. On [`Admit::Never`] the object goes: the
/// origin no longer lets it be kept; the answer it confirmed may still serve the request at hand.
pub fn refresh(
    policy: &CachePolicy,
    ask: Ask,
    meta: &Meta,
    stored: &mut HeaderMap,
    not_modified: &HeaderMap,
    times: Times,
) -> Admit {
    merge_304(stored, not_modified);
    if !not_modified.contains_key(DATE) {
        let now = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(times.response_ms));
        if let Ok(now) = HeaderValue::try_from(now) {
            stored.insert(DATE, now);
        }
    }
    admit(policy, ask, meta.status, stored, times)
}

/// Replaces every stored field that the 304 has, all its lines by all the 304's (RFC 9111 §3.2). The stored `Age` goes:
/// it was the old answer's.
pub fn merge_304(stored: &mut HeaderMap, not_modified: &HeaderMap) {
    stored.remove(AGE);
    for name in not_modified.keys() {
        if name == SET_COOKIE || KEPT.contains(name) || listed_in_connection(not_modified, name) {
            continue;
        }
        if name == ETAG && stored.get(ETAG).is_some_and(|own| own.as_bytes().starts_with(b"W/")) {
            // Selected by it, and weak for a reason: the stored bytes may be a coding of our own.
            continue;
        }
        stored.remove(name);
        for value in not_modified.get_all(name) {
            stored.append(name, value.clone());
        }
    }
}

/// Whether the 304 is about the stored answer (RFC 9111 §4.3.4). A strong entity tag must be the stored one; where either
/// is weak they match weakly (a tag weakened here, because the bytes were compressed, comes back strong); a date alone
/// must be the stored date. A 304 without any validator is taken: it answers a question about exactly this object, and
/// origins that leave the tag out are many.
pub fn selects(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    if let Some(tag) = not_modified.get(ETAG).map(HeaderValue::as_bytes) {
        let is_weak = |tag: &[u8]| tag.starts_with(b"W/");
        return stored.get(ETAG).map(HeaderValue::as_bytes).is_some_and(|own| match is_weak(tag) || is_weak(own) {
            true => weak_match(own, tag),
            false => strong_match(own, tag),
        });
    }
    let Some(modified) = not_modified.get(LAST_MODIFIED) else { return true };
    stored.get(LAST_MODIFIED).is_some_and(|own| {
        own == modified || date(own.as_bytes()).is_some_and(|own| date(modified.as_bytes()) == Some(own))
    })
}

fn listed_in_connection(fields: &HeaderMap, name: &HeaderName) -> bool {
    fields.get_all(CONNECTION).iter().any(|line| {
        line.as_bytes().split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(name.as_ref()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, fields, http_date as text, meta, policy};
    use super::*;
    use crate::cache::policy::{Lifetimes, Why};

    #[test]
    fn fields_that_a_304_changes() {
        // RFC 9111 §3.2: (stored, 304, joined)
        let table = [
            ("x-a: 1\nx-b: 2", "x-a: 9", "x-b: 2\nx-a: 9"),
            ("x-a: 1\nx-a: 2", "x-a: 9", "x-a: 9"),
            ("x-a: 1", "x-a: 8\nx-a: 9", "x-a: 8\nx-a: 9"),
            ("x-a: 1", "x-new: 9", "x-a: 1\nx-new: 9"),
            ("etag: \"a\"", "etag: \"b\"\ncache-control: max-age=9", "etag: \"b\"\ncache-control: max-age=9"),
            ("content-length: 5", "content-length: 0", "content-length: 5"),
            ("content-type: a/b", "content-type: c/d\ncontent-encoding: gzip", "content-type: c/d"),
            ("content-language: de", "content-language: en\ncontent-range: bytes 0-0/1", "content-language: en"),
            ("x-a: 1", "connection: x-a, close\nx-a: 9\nkeep-alive: 5\ntransfer-encoding: chunked", "x-a: 1"),
            ("x-a: 1", "set-cookie: me=you", "x-a: 1"),
            ("age: 500\nx-a: 1", "x-a: 1", "x-a: 1"),
            ("age: 500", "age: 3", "age: 3"),
            ("etag: W/\"a\"", "etag: \"a\"\ndigest: x", "etag: W/\"a\""),
        ];
        for (stored, not_modified, want) in table {
            let mut map = fields(stored);
            merge_304(&mut map, &fields(not_modified));
            assert_eq!(map, fields(want), "{stored} + {not_modified}");
        }
    }

    #[test]
    fn which_answer_a_304_selects() {
        // RFC 9111 §4.3.4
        let monday = "last-modified: Mon, 05 Jan 2026 00:00:00 GMT";
        let old_form = "last-modified: Monday, 05-Jan-26 00:00:00 GMT";
        let table = [
            ("etag: \"a\"", "etag: \"a\"", true),
            ("etag: \"a\"", "etag: \"b\"", false),
            // Weakened here; the origin knows it as strong.
            ("etag: W/\"a\"", "etag: \"a\"", true),
            ("etag: W/\"a\"", "etag: \"b\"", false),
            ("etag: \"a\"", "etag: W/\"a\"", true),
            ("etag: W/\"a\"", "etag: W/\"a\"", true),
            (monday, "etag: \"a\"", false),
            (monday, monday, true),
            (monday, old_form, true),
            (monday, "last-modified: Tue, 06 Jan 2026 00:00:00 GMT", false),
            ("etag: a", "etag: a", true),
            ("etag: \"a\"", monday, false),
            ("etag: \"a\"", "", true),
            ("", "", true),
        ];
        for (stored, not_modified, want) in table {
            assert_eq!(selects(&fields(stored), &fields(not_modified)), want, "{stored} / {not_modified}");
        }
    }

    #[test]
    fn a_304_starts_a_new_life() {
        let ask = Ask { authorization: false };
        let at = Times { request_ms: NOW, response_ms: NOW };
        let old = format!("date: {}\nage: 900\ncache-control: max-age=60\netag: \"a\"", text(NOW - 500_000));
        // (304, age and lifetime in ms, or why it goes)
        let table = [
            ("etag: \"a\"", Ok((0, 60_000))),
            ("cache-control: max-age=90\nage: 5", Ok((5_000, 90_000))),
            ("cache-control: no-store", Err(Why::NoStore)),
            ("vary: *", Err(Why::VaryStar)),
        ];
        for (not_modified, want) in table {
            let mut stored = fields(&old);
            let got = match refresh(&policy(), ask, &meta(), &mut stored, &fields(not_modified), at) {
                Admit::Store(Lifetimes { initial_age_ms, lifetime_ms, .. }) => Ok((initial_age_ms, lifetime_ms)),
                Admit::Never(why) => Err(why),
            };
            assert_eq!(got, want, "{not_modified}");
            assert_eq!(stored[DATE], text(NOW));
        }
    }
}
