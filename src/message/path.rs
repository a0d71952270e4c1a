//! Path: what a path comes to, however it is spelled.
//!
//! In: a path as sent. Out: the same path in one spelling, for rules; what is sent on is never changed. Never: allocation for a path
//! that has one spelling already.

use std::borrow::Cow;

/// The path that CloudFront matches against patterns: unreserved characters decoded, dot segments resolved (RFC 3986 §6.2.2).
pub fn normal(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let decoded = decoded(path.as_bytes(), unreserved);
    Cow::Owned(without_dots(&String::from_utf8_lossy(&decoded), false))
}

/// The path as origins may read it that are more generous than we: everything decoded, backslashes slashes, several slashes one, dot
/// segments resolved; a segment's parameters (`;`, RFC 3986 §3.3) left as they are, taken off before the decoding (as servlet
/// containers do), or after it. Only readings that differ from the path as sent and from each other.
pub fn readings(path: &str) -> Vec<String> {
    if is_plain(path, true) {
        return Vec::new();
    }
    let generous = |path: &str| String::from_utf8_lossy(&decoded(path.as_bytes(), |_| true)).replace('\\', "/");
    let decoded = generous(path);
    let all = [without_parameters(&decoded), generous(&without_parameters(path)), decoded];
    let mut readings: Vec<String> = Vec::with_capacity(all.len());
    for one in all.map(|one| without_dots(&one, true)) {
        if one != path && !readings.contains(&one) {
            readings.push(one);
        }
    }
    readings
}

fn without_parameters(path: &str) -> String {
    let names = path.split('/').map(|segment| segment.split(';').next().unwrap_or(segment));
    names.collect::<Vec<_>>().join("/")
}

/// Whether a segment is `.` or `..`, however it is spelled.
pub fn has_dots(path: &str) -> bool {
    if is_plain(path, false) {
        return false;
    }
    let plain = decoded(path.as_bytes(), |_| true);
    let name = |segment: &[u8]| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b".."));
    plain.split(|byte| matches!(byte, b'/' | b'\\')).any(name)
}

/// Whether it has no second reading: nothing encoded, no backslash, no parameter, no segment that begins with a dot; `single`: no empty segment
/// either. One walk, as every request comes here.
fn is_plain(path: &str, single: bool) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let second = before == b'/' && (byte == b'.' || (single && byte == b'/'));
        before = byte;
        !second && !matches!(byte, b'%' | b'\\' | b';')
    })
}

/// Percent-decodes the bytes that `which` names.
fn decoded(path: &[u8], which: impl Fn(u8) -> bool) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        if byte == b'%'
            && let (Some(high), Some(low)) = (digit(path.get(at + 1)), digit(path.get(at + 2)))
        {
            // Two hex digits make a byte.
            let value = (high * 16 + low) as u8;
            if which(value) {
                out.push(value);
                at += 3;
                continue;
            }
        }
        out.push(byte);
        at += 1;
    }
    out
}

/// RFC 3986 §5.2.4; `collapse`: empty segments go too.
fn without_dots(path: &str, collapse: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let rest = path.strip_prefix('/').unwrap_or(path);
    let mut ends_open = false;
    for segment in rest.split('/') {
        ends_open = matches!(segment, "." | ".." | "");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            "" if collapse => {}
            other => kept.push(other),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() || ends_open && !out.ends_with('/') {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_patterns() {
        for (path, want) in [
            ("/private/a", "/private/a"),
            ("/%70rivate/a", "/private/a"),
            ("/x/../private/a", "/private/a"),
            ("/x/%2e%2E/private/a", "/private/a"),
            ("/./private/a", "/private/a"),
            ("/private/.", "/private/"),
            ("/a/..", "/"),
            ("/../..", "/"),
            ("//a", "//a"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%", "/a%"),
            ("/.well-known/x", "/.well-known/x"),
            ("*", "*"),
        ] {
            assert_eq!(normal(path), want, "{path}");
        }
    }

    #[test]
    fn what_an_origin_may_read() {
        for (path, want) in [
            ("/private/a", &[][..]),
            ("/.well-known/x", &[]),
            ("//private/a", &["/private/a"]),
            ("/private%2Fa", &["/private/a"]),
            ("/private%5ca", &["/private/a"]),
            ("/x/..%2fprivate/a", &["/private/a"]),
            ("/a%20b", &["/a b"]),
            ("/a/%2e/", &["/a/"]),
            // Servlet containers: what follows a semicolon is a parameter of its segment.
            ("/private;v=1/a", &["/private/a"]),
            ("/private;/a;b", &["/private/a"]),
            ("/;/private/a", &["/private/a"]),
            ("/x/..;/private/a", &["/private/a", "/x/..;/private/a"]),
            ("/x/..;a=b/private%3Bc/a", &["/private/a", "/private;c/a", "/x/..;a=b/private;c/a"]),
            // The slash is part of the parameter, or ends it.
            ("/private;%2fx/a", &["/private/x/a", "/private/a", "/private;/x/a"]),
            ("/private;%2f..%2fx/a", &["/x/a", "/private/a"]),
        ] {
            let others: Vec<&str> = want.iter().copied().filter(|want| *want != path).collect();
            assert_eq!(readings(path), others, "{path}");
        }
        for (path, want) in [
            ("/a/../b", true),
            ("/a/%2e%2e/b", true),
            ("/a%2f..%2fb", true),
            ("/a..b", false),
            ("/.a", false),
            ("/a/..;/b", true),
            ("/a/.%3bx/b", true),
            ("/a;..", false),
        ] {
            assert_eq!(has_dots(path), want, "{path}");
        }
    }
}
