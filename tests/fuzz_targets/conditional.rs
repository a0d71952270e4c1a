//! Conditional: a tag is found exactly where it stands, errors have no preconditions. Lines of input: the answer's tag,
//! then If-None-Match, If-Match and If-Modified-Since.

use http::Method;
use rimward::cache::conditional::{Condition, check};
use rimward::message::Head;

pub fn run(data: &[u8]) {
    let mut lines = data.splitn(4, |b| *b == b'\n');
    let etag = lines.next().unwrap_or_default();
    let fields: Vec<httparse::Header<'_>> = ["if-none-match", "if-match", "if-modified-since"]
        .into_iter()
        .zip(lines)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| httparse::Header { name, value })
        .collect();
    let head = |fields| Head { method: "GET", target: "/", host: "h", minor: 1, fields };
    assert_eq!(check(&head(&fields), &Method::GET, 500, Some(etag), None), Condition::Pass);
    let get = check(&head(&fields), &Method::GET, 200, Some(etag), None);
    assert_eq!(get, check(&head(&fields), &Method::HEAD, 200, Some(etag), None));
    assert_ne!(check(&head(&fields), &Method::PUT, 200, Some(etag), None), Condition::NotModified);
    if fields.iter().all(|field| field.name == "if-modified-since") {
        assert_eq!(get, Condition::Pass, "there is no Last-Modified to compare");
    }
    // A well-formed tag is found behind any list of well-formed tags.
    let tag: Vec<u8> = etag.iter().copied().filter(|b| matches!(b, 0x21 | 0x23..=0x7e)).collect();
    let tag = [b"\"", tag.as_slice(), b"\""].concat();
    let list = [b"W/\"other, tag\", ", tag.as_slice(), b" ,\"last\""].concat();
    let fields = [httparse::Header { name: "if-none-match", value: &list }];
    assert_eq!(check(&head(&fields), &Method::GET, 200, Some(&tag), None), Condition::NotModified);
}
