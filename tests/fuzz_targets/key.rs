//! Key: different requests have different keys. Two requests, divided by a NUL; the lines of each are host, path, query
//! and any number of header lines.

use http::HeaderName;
use rimward::cache::key::build;
use rimward::config::compiled::{KeyPolicy, Select};
use rimward::message::Head;

/// A request's parts; the query is absent when its line is.
type Parts<'a> = (&'a str, &'a str, Option<&'a str>, Vec<&'a [u8]>);

pub fn run(data: &[u8]) {
    let mut halves = data.splitn(2, |b| *b == 0);
    let (Some(one), Some(other)) = (halves.next().and_then(parts), halves.next().and_then(parts)) else { return };
    assert_eq!(key(&one) == key(&other), alike(&one) == alike(&other), "{one:?} {other:?}");
}

fn parts(text: &[u8]) -> Option<Parts<'_>> {
    let mut lines = text.split(|b| *b == b'\n');
    let mut next = || lines.next().map(|line| std::str::from_utf8(line).ok());
    let (host, path) = (next()??, next()??);
    let query = match next() {
        Some(query) => Some(query?),
        None => None,
    };
    Some((host, path, query, lines.collect()))
}

/// What the key is meant to treat alike, alike.
fn alike<'a>((host, path, query, lines): &'a Parts<'a>) -> impl PartialEq + 'a {
    (host.to_ascii_lowercase(), if path.is_empty() { "/" } else { path }, query, lines)
}

fn key((host, path, query, lines): &Parts<'_>) -> Vec<u8> {
    let policy = KeyPolicy {
        headers: vec![HeaderName::from_static("x-a")],
        cookies: Select::None,
        query: Select::All,
        sort_query: false,
        ignore_host: false,
    };
    let fields: Vec<_> = lines.iter().map(|value| httparse::Header { name: "X-A", value }).collect();
    let head = Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields };
    let mut out = Vec::new();
    build(&policy, host, path, *query, &head, None, &mut out);
    out
}
