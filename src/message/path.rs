//! Path: what a path comes to, however it is spelled.
//!
//! In: a path as sent. Out: the same path in one spelling, for rules; what is sent on is never changed. Never: allocation for a path
//! that has one spelling already.

use std::borrow::Cow;

/// The path that CloudFront matches against patterns: unreserved characters decoded, dot segments resolved, what stays encoded in
/// upper case, as is whatever is no ASCII (RFC 3986 §6.2.2).
pub fn normal(path: &str) -> Cow<'_, str> {
    match spelled(path) {
        Cow::Borrowed(path) if !path.contains("/.") => Cow::Borrowed(path),
        path => Cow::Owned(without_dots(&path, false)),
    }
}

/// A pattern for paths, or a path, in that spelling, with its dot segments. A percent sign that begins no encoded byte is one of its own.
pub fn spelled(path: &str) -> Cow<'_, str> {
    let stays = |byte: u8| STANDS[usize::from(byte)] || byte == b'?';
    if path.bytes().all(stays) {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len() + 8);
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let (byte, stands, after) = match escaped(rest) {
            Some(byte) => (byte, is_unreserved(byte), &rest[3..]),
            None => (*first, stays(*first), more),
        };
        push(&mut out, byte, stands);
        rest = after;
    }
    Cow::Owned(out)
}

/// The path as origins may read it that are more generous than we, each spelled as [`normal`] does: with and without several slashes
/// made one; as it is or decoded, with backslashes as slashes; a segment's parameters (`;`, RFC 3986 §3.3) left as they are, taken
/// off before the decoding (as servlet containers do), or after it; dot segments resolved. Only readings that differ from the path as
/// sent and from each other.
pub fn readings(path: &str) -> Vec<String> {
    if is_plain(path, true) {
        return Vec::new();
    }
    let generous = |path: &str| {
        let slashed: Vec<u8> = decoded(path.as_bytes()).into_iter().map(slash).collect();
        encoded(&slashed)
    };
    let bases = [spelled(path).into_owned(), generous(path), generous(&without_parameters(path))];
    let mut readings = Vec::new();
    for base in bases {
        for named in [without_parameters(&base), base] {
            for one in [without_dots(&named, true), without_dots(&named, false)] {
                if one != path && !readings.contains(&one) {
                    readings.push(one);
                }
            }
        }
    }
    readings
}

/// The readings, and each of them and the path itself with everything decoded: for what people write without encoding it.
pub fn spellings(path: &str) -> Vec<String> {
    let mut all = readings(path);
    if is_plain(path, true) {
        return all;
    }
    for one in std::iter::once(path.to_owned()).chain(all.clone()) {
        let plain = String::from_utf8_lossy(&decoded(one.as_bytes())).into_owned();
        if plain != path && !all.contains(&plain) {
            all.push(plain);
        }
    }
    all
}

fn without_parameters(path: &str) -> String {
    let names = path.split('/').map(|segment| segment.split(';').next().unwrap_or(segment));
    names.collect::<Vec<_>>().join("/")
}

/// What stands in a path as it is: unreserved characters, `sub-delims`, ":", "@" and the slash (RFC 3986 §3.3).
const STANDS: [bool; 256] = {
    let mut all = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = is_unreserved(byte as u8)
            || matches!(
                byte as u8,
                b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
            );
        byte += 1;
    }
    all
};

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn slash(byte: u8) -> u8 {
    if byte == b'\\' { b'/' } else { byte }
}

/// Percent-encodes what does not stand in a path.
fn encoded(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    path.iter().for_each(|byte| push(&mut out, *byte, STANDS[usize::from(*byte)]));
    out
}

fn push(out: &mut String, byte: u8, stands: bool) {
    match stands {
        true => out.push(char::from(byte)),
        false => out.extend(['%', hex(byte >> 4), hex(byte & 15)]),
    }
}

fn hex(digit: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(digit & 15)])
}

/// The byte that `text` begins with, when it is encoded.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match text {
        // Two hex digits make a byte.
        [b'%', high, low, ..] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

/// Whether a segment is `.` or `..`, however it is spelled.
pub fn has_dots(path: &str) -> bool {
    if is_plain(path, false) {
        return false;
    }
    let plain = decoded(path.as_bytes());
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

/// Percent-decodes everything, once.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, more @ ..] = rest {
        let byte = escaped(rest);
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[3..] } else { more };
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
            ("/caf%c3%a9%2fx", "/caf%C3%A9%2Fx"),
            ("/café", "/caf%C3%A9"),
            ("/a%", "/a%25"),
            ("/a%zz", "/a%25zz"),
            ("/a[1]", "/a%5B1%5D"),
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
            ("/a%20b", &[]),
            ("//private/a", &["/private/a"]),
            ("/private%2Fa", &["/private/a"]),
            ("/private%5ca", &["/private%5Ca", "/private/a"]),
            ("/x/..%2fprivate/a", &["/x/..%2Fprivate/a", "/private/a"]),
            ("/a/%2e/", &["/a/"]),
            ("/a%3Fb//c", &["/a%3Fb/c"]),
            ("/caf%c3%a9", &["/caf%C3%A9"]),
            // Servlet containers: what follows a semicolon is a parameter of its segment.
            ("/private;v=1/a", &["/private/a"]),
            ("/private;/a;b", &["/private/a"]),
            ("/;/private/a", &["/private/a", "//private/a"]),
            ("/x/..;/private/a", &["/private/a"]),
            // The slash is part of the parameter, or ends it.
            ("/private;%2fx/a", &["/private/a", "/private;%2Fx/a", "/private/x/a", "/private;/x/a"]),
            ("/private;%2f..%2fx/a", &["/private/a", "/private;%2F..%2Fx/a", "/x/a"]),
            (
                "/;%2fx/private%3bv/s",
                &[
                    "/private%3Bv/s",
                    "//private%3Bv/s",
                    "/;%2Fx/private%3Bv/s",
                    "/x/private/s",
                    "//x/private/s",
                    "/;/x/private;v/s",
                    "/private/s",
                    "//private/s",
                    "/private;v/s",
                    "//private;v/s",
                ],
            ),
        ] {
            assert_eq!(readings(path), want, "{path}");
        }
        assert_eq!(spellings("//a%20b"), ["/a%20b", "//a b", "/a b"]);
        assert_eq!(spellings("/a%20b"), ["/a b"]);
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
