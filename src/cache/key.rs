//! Key: decides which requests share one stored answer.
//!
//! In: the key policy, the request's host, path, query and fields, the negotiated coding. Out: the key's bytes and
//! their hash. Never: a decoded or re-encoded path or query; a scheme: where both are served, the caller puts it in front.
//!
//! Every part is length-prefixed and every list begins with its count, so two requests have the same bytes only when
//! every part is the same. Parts of the request that the policy leaves out must not reach the origin, or must not
//! change its answer.

use crate::cache::object::KeyHash;
use crate::config::compiled::{Coding, KeyPolicy, Select};
use crate::message::Fields;
use http::header::COOKIE;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

/// Begins every key: an answer to GET, which HEAD is answered from too (RFC 9111 §4). Nothing else is kept.
const GET: u8 = b'G';

/// Query parameters or cookies sorted on the stack; more spill to the heap.
const INLINE: usize = 16;

/// Appends the key's bytes to `out`: method, host, path, query, cookies, headers, coding.
///
/// The host is compared in lower case, and with its port: the caller takes off the one that its scheme implies. The path is kept
/// as sent, byte for byte: of the normalisations that RFC 3986 §6.2.2 allows, an origin may tell `%7e` from `~` or `a/../b` from
/// `b`, and a key that does not would hand one the other's answer. Only the empty
/// path is "/" (RFC 9110 §4.2.3).
///
/// `out` is not cleared: what is there already (see [`part`]) becomes a prefix of the key. Allocates nothing but
/// `out`'s growth while there are at most 16 parameters and cookies.
#[allow(clippy::too_many_arguments)] // One argument a part; a struct would only repeat their names at the one call.
pub fn build<F: Fields>(
    policy: &KeyPolicy,
    host: &str,
    path: &str,
    query: Option<&str>,
    fields: &F,
    coding: Option<Coding>,
    out: &mut Vec<u8>,
) {
    out.push(GET);
    let host = if policy.ignore_host { "" } else { host };
    length(out, host.len());
    out.extend(host.bytes().map(|b| b.to_ascii_lowercase()));
    part(out, whole_path(path).as_bytes());
    query_part(policy, query, out);
    cookie_part(&policy.cookies, fields, out);
    for name in &policy.headers {
        length(out, fields.lines(name).count());
        for line in fields.lines(name) {
            part(out, line);
        }
    }
    out.push(match coding {
        None => 0,
        Some(Coding::Zstd) => 1,
        Some(Coding::Brotli) => 2,
        Some(Coding::Gzip) => 3,
    });
}

/// Appends one length-prefixed part. A caller whose behaviors must not share objects puts the behavior's name before
/// [`build`] with it.
pub fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Names the object in every tier.
pub fn hash(bytes: &[u8]) -> KeyHash {
    xxh3_128(bytes).to_be_bytes()
}

/// Path and query as the key has them: what purge by URL and by prefix compares.
pub fn uri(policy: &KeyPolicy, path: &str, query: Option<&str>) -> String {
    let mut uri = whole_path(path).to_owned();
    for (at, parameter) in selected(policy, query).into_iter().flatten().enumerate() {
        uri.push(if at == 0 { '?' } else { '&' });
        uri.push_str(parameter);
    }
    uri
}

/// The parts of a query that enter the key, in key order, to be joined with `&`; `None` when nothing does. Names are
/// compared as sent, still percent-encoded and case-sensitive (CloudFront). Without sorting, order counts.
fn selected<'a>(policy: &KeyPolicy, query: Option<&'a str>) -> Option<SmallVec<[&'a str; INLINE]>> {
    let query = query?;
    match policy.query {
        Select::None => return None,
        Select::All if !policy.sort_query => return Some(SmallVec::from_slice(&[query])),
        _ => {}
    }
    let mut parameters: SmallVec<[&str; INLINE]> =
        query.split('&').filter(|parameter| policy.query.names(name_of(parameter.as_bytes()))).collect();
    if policy.sort_query {
        // Stable: parameters of one name keep their order, which origins read.
        parameters.sort_by_key(|parameter| name_of(parameter.as_bytes()));
    }
    (!parameters.is_empty()).then_some(parameters)
}

/// The name of `name=value`; all of it when there is no `=`. Names are short: a plain loop beats a call.
fn name_of(pair: &[u8]) -> &[u8] {
    let end = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
    &pair[..end]
}

/// Nothing is 0, a query of n bytes is n + 1: `/` and `/?` differ.
fn query_part(policy: &KeyPolicy, query: Option<&str>, out: &mut Vec<u8>) {
    let Some(parameters) = selected(policy, query) else { return length(out, 0) };
    let joined = parameters.iter().map(|p| p.len()).sum::<usize>() + parameters.len() - 1;
    length(out, joined + 1);
    for (at, parameter) in parameters.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(parameter.as_bytes());
    }
}

/// Cookies in the order of their names; those of one name as sent (RFC 6265 §4.2.2 gives them no order between names).
fn cookie_part<F: Fields>(select: &Select, fields: &F, out: &mut Vec<u8>) {
    if *select == Select::None {
        return length(out, 0);
    }
    let mut cookies: SmallVec<[&[u8]; INLINE]> = fields
        .lines(&COOKIE)
        .flat_map(|line| line.split(|b| *b == b';'))
        .map(<[u8]>::trim_ascii)
        // Many origins take a name without the white space around it.
        .filter(|cookie| !cookie.is_empty() && select.names(name_of(cookie).trim_ascii()))
        .collect();
    cookies.sort_by_key(|cookie| name_of(cookie));
    length(out, cookies.len());
    for cookie in cookies {
        part(out, cookie);
    }
}

fn whole_path(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// LEB128: lengths below 128 are one byte.
fn length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn policy() -> KeyPolicy {
        KeyPolicy {
            headers: Vec::new(),
            cookies: Select::None,
            query: Select::All,
            sort_query: false,
            ignore_host: false,
        }
    }

    fn only(names: &[&str]) -> Select {
        Select::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn except(names: &[&str]) -> Select {
        Select::AllExcept(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn lines(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn key(policy: &KeyPolicy, host: &str, target: &str, fields: &HeaderMap) -> Vec<u8> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut out = Vec::new();
        build(policy, host, path, query, fields, None, &mut out);
        out
    }

    #[test]
    fn layout() {
        let mut policy = policy();
        policy.cookies = Select::All;
        policy.headers = vec![HeaderName::from_static("x-a"), HeaderName::from_static("x-b")];
        let fields = lines(&[("cookie", "b=2; a=1"), ("x-a", "1"), ("x-a", "2")]);
        let mut out = Vec::new();
        build(&policy, "A.b", "/p", Some("q"), &fields, Some(Coding::Gzip), &mut out);
        assert_eq!(out, b"G\x03a.b\x02/p\x02q\x02\x03a=1\x03b=2\x02\x011\x012\x00\x03");
        let mut long = Vec::new();
        part(&mut long, &[7; 300]);
        assert_eq!((&long[..2], long.len()), (&[0xac, 0x02][..], 302));
    }

    #[test]
    fn same_or_not() {
        let none = lines(&[]);
        let plain = policy();
        // (policy, one request, another, share an object?)
        let sorted = KeyPolicy { sort_query: true, ..policy() };
        let no_query = KeyPolicy { query: Select::None, ..policy() };
        let page = KeyPolicy { query: only(&["page"]), ..policy() };
        let no_utm = KeyPolicy { query: except(&["utm"]), ..policy() };
        let any_host = KeyPolicy { ignore_host: true, ..policy() };
        type Request = (&'static str, &'static str);
        let table: &[(&KeyPolicy, Request, Request, bool)] = &[
            (&plain, ("h", "/a"), ("H", "/a"), true),
            (&plain, ("h", "/a"), ("h:8080", "/a"), false),
            (&plain, ("h", "/a"), ("g", "/a"), false),
            (&any_host, ("h", "/a"), ("g", "/a"), true),
            (&plain, ("h", ""), ("h", "/"), true),
            // RFC 3986 §6.2.2 is left to the origin.
            (&plain, ("h", "/A"), ("h", "/a"), false),
            (&plain, ("h", "/%7e"), ("h", "/%7E"), false),
            (&plain, ("h", "/%7e"), ("h", "/~"), false),
            (&plain, ("h", "/a/../b"), ("h", "/b"), false),
            (&plain, ("h", "//a"), ("h", "/a"), false),
            (&plain, ("h", "/a"), ("h", "/a?"), false),
            (&plain, ("h", "/a?x&y"), ("h", "/a?y&x"), false),
            (&sorted, ("h", "/a?x=1&y"), ("h", "/a?y&x=1"), true),
            (&sorted, ("h", "/a?x=1&x=2"), ("h", "/a?x=2&x=1"), false),
            (&no_query, ("h", "/a?x"), ("h", "/a"), true),
            (&page, ("h", "/a?x=1&page=2&y"), ("h", "/a?page=2"), true),
            (&page, ("h", "/a?Page=2"), ("h", "/a"), true),
            (&page, ("h", "/a?page=2"), ("h", "/a?page=3"), false),
            (&page, ("h", "/a?page"), ("h", "/a"), false),
            (&page, ("h", "/a?page"), ("h", "/a?page="), false),
            (&no_utm, ("h", "/a?utm=1&x=2&utm=3"), ("h", "/a?x=2"), true),
            (&no_utm, ("h", "/a?utm%5f=1"), ("h", "/a"), false),
        ];
        for (policy, one, other, same) in table {
            let got = key(policy, one.0, one.1, &none) == key(policy, other.0, other.1, &none);
            assert_eq!(got, *same, "{one:?} {other:?}");
        }
    }

    #[test]
    fn cookies_and_headers() {
        let cookies = |select: Select, value: &str| {
            key(&KeyPolicy { cookies: select, ..policy() }, "h", "/", &lines(&[("cookie", value)]))
        };
        let split = lines(&[("cookie", "a=1"), ("cookie", "b=2")]);
        let all = KeyPolicy { cookies: Select::All, ..policy() };
        assert_eq!(cookies(Select::All, "a=1; b=2"), cookies(Select::All, "b=2;a=1;"));
        assert_eq!(cookies(Select::All, "a=1; b=2"), key(&all, "h", "/", &split));
        assert_ne!(cookies(Select::All, "a=1; a=2"), cookies(Select::All, "a=2; a=1"));
        assert_ne!(cookies(Select::All, "a=1"), cookies(Select::All, "a=2"));
        assert_eq!(cookies(Select::None, "a=1"), cookies(Select::None, "b"));
        assert_eq!(cookies(only(&["a"]), "b=2; a=1; A=3"), cookies(only(&["a"]), "a=1"));
        assert_eq!(cookies(except(&["b"]), "b=2; a=1"), cookies(except(&["b"]), "a=1"));
        assert_ne!(cookies(only(&["a"]), "a =1"), cookies(only(&["a"]), "b=1"));
        assert_eq!(cookies(except(&["b"]), "b\t=2; a=1"), cookies(except(&["b"]), "a=1"));

        let policy = KeyPolicy { headers: vec![HeaderName::from_static("x-a")], ..policy() };
        let with = |pairs: &[(&'static str, &str)]| key(&policy, "h", "/", &lines(pairs));
        assert_eq!(with(&[("x-a", "1"), ("x-b", "1")]), with(&[("x-a", "1")]));
        assert_ne!(with(&[("x-a", "")]), with(&[]));
        assert_ne!(with(&[("x-a", "1"), ("x-a", "2")]), with(&[("x-a", "1, 2")]));
    }

    #[test]
    fn uris_are_what_purge_compares() {
        let table = [
            (Select::All, false, "", None, "/"),
            (Select::All, false, "/a", Some("x=1&y"), "/a?x=1&y"),
            (Select::All, false, "/a", Some(""), "/a?"),
            (Select::All, true, "/a", Some("y&x=1"), "/a?x=1&y"),
            (Select::None, false, "/a", Some("x=1"), "/a"),
            (only(&["x"]), false, "/a", Some("y&x=1"), "/a?x=1"),
            (except(&["x"]), false, "/a", Some("x=1"), "/a"),
        ];
        for (query, sort_query, path, sent, want) in table {
            assert_eq!(uri(&KeyPolicy { query, sort_query, ..policy() }, path, sent), want);
        }
    }

    #[test]
    fn hashes() {
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a"), hash(b"b"));
    }

    /// Host, path, query, cookies, lines of a header, coding.
    type Parts = (String, String, Option<String>, Vec<String>, Vec<String>, u8);

    /// One request's parts, small enough that two often share some.
    fn parts() -> impl Strategy<Value = Parts> {
        (
            "[ab.]{0,3}",
            "/[ab/]{0,3}",
            proptest::option::of("[ab=&]{0,4}"),
            proptest::collection::vec("[ab]=[ab]{0,2}", 0..3),
            proptest::collection::vec("[ab,]{0,3}", 0..3),
            0u8..4,
        )
    }

    proptest! {
        /// Different parts, different bytes.
        #[test]
        fn injective(a in parts(), b in parts()) {
            let policy = KeyPolicy {
                headers: vec![HeaderName::from_static("x-a")],
                cookies: Select::All,
                ..policy()
            };
            let bytes = |p: &Parts| {
                let mut fields = HeaderMap::new();
                for cookie in &p.3 {
                    fields.append("cookie", HeaderValue::from_str(cookie).unwrap());
                }
                for line in &p.4 {
                    fields.append("x-a", HeaderValue::from_str(line).unwrap());
                }
                let coding = [None, Some(Coding::Zstd), Some(Coding::Brotli), Some(Coding::Gzip)][usize::from(p.5)];
                let mut out = Vec::new();
                build(&policy, &p.0, &p.1, p.2.as_deref(), &fields, coding, &mut out);
                out
            };
            // Cookies of different names have no order.
            let canonical = |mut p: Parts| {
                p.3.sort_by_key(|cookie| cookie[..1].to_owned());
                p
            };
            prop_assert_eq!(bytes(&a) == bytes(&b), canonical(a) == canonical(b));
        }

        #[test]
        fn sorting_forgets_order(mut query in proptest::collection::vec("[a-z]{1,3}=[0-9]{0,2}", 0..20)) {
            query.sort();
            query.dedup_by_key(|pair| name_of(pair.as_bytes()).to_owned());
            let policy = KeyPolicy { sort_query: true, ..policy() };
            let forth = query.join("&");
            query.reverse();
            prop_assert_eq!(uri(&policy, "/", Some(&forth)), uri(&policy, "/", Some(&query.join("&"))));
        }
    }
}
