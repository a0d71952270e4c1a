//! Path: what a path comes to, however it is spelled.
//!
//! In: a path as sent. Out: the same path in one spelling, for rules; what is sent on is never changed. Never: allocation for a path
//! that has one spelling already.

use std::borrow::Cow;

/// The path that patterns are matched against: in one spelling, dot segments resolved (CloudFront Developer Guide, "Path pattern";
/// RFC 3986 §6.2.2).
pub fn normal(path: &str) -> Cow<'_, str> {
    match spelled(path) {
        Cow::Borrowed(path) if !path.contains("/.") => Cow::Borrowed(path),
        path => Cow::Owned(without_dots(&path, false)),
    }
}

/// A path in that spelling, with its dot segments: decoded is what may stand in a path as it is (RFC 3986 §3.3), but for the slash
/// and the star, which would mean something else to a rule; all else is encoded, in upper case. A percent sign that begins no
/// encoded byte is one of its own.
pub fn spelled(path: &str) -> Cow<'_, str> {
    respelled(path, b"")
}

/// A pattern for paths, or a resource of a policy, in that spelling: its wildcards stay, and "%2A" is a star of the path's own.
pub fn pattern(text: &str) -> Cow<'_, str> {
    respelled(text, b"*?")
}

/// `wild`: what stays beside what stands in a path.
fn respelled<'a>(path: &'a str, wild: &[u8]) -> Cow<'a, str> {
    let stays = |byte: u8| STANDS[usize::from(byte)] || wild.contains(&byte);
    if path.bytes().all(stays) {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len() + 8);
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let (byte, stands, after) = match escaped(rest) {
            Some(byte) => (byte, byte != b'/' && STANDS[usize::from(byte)], &rest[3..]),
            None => (*first, stays(*first), more),
        };
        push(&mut out, byte, stands);
        rest = after;
    }
    Cow::Owned(out)
}

/// The path as origins may read it that are more generous than we, each spelled as [`normal`] does: with and without several slashes
/// made one; as it is or decoded, with backslashes as slashes; a segment's parameters (`;`, RFC 3986 §3.3) left as they are, taken
/// off before the decoding (as servlet containers do), or after it; cut where a `?` or `#` was encoded; dot segments resolved. Only
/// readings that differ from the path as sent and from each other. An origin that takes a slash at the end for nothing is asked
/// about with [`bare`].
pub fn readings(path: &str) -> Vec<String> {
    let mut readings = Vec::new();
    if !is_ambiguous(path) {
        return readings;
    }
    let generous = |path: &str| {
        let slashed: Vec<u8> = decoded(path.as_bytes()).into_iter().map(slash).collect();
        encoded(&slashed)
    };
    let bases = [spelled(path).into_owned(), generous(path), generous(&without_parameters(path))];
    for base in &bases {
        let cut = [base.find("%3F"), base.find("%23")].into_iter().flatten().min();
        for whole in cut.into_iter().map(|at| &base[..at]).chain([base.as_str()]) {
            for named in [without_parameters(whole), whole.to_owned()] {
                for one in [without_dots(&named, true), without_dots(&named, false)] {
                    if one != path && !readings.contains(&one) {
                        readings.push(one);
                    }
                }
            }
        }
    }
    readings
}

/// The same without its last slash: to many origins it is the same.
pub fn bare(path: &str) -> Option<&str> {
    path.strip_suffix('/').filter(|path| !path.is_empty())
}

/// Whether an origin may read it as another path than [`normal`] says: an encoded slash, `?` or `#`, a backslash, parameters, an
/// empty segment, or one that begins with a dot. One walk, as every request comes here.
pub fn is_ambiguous(path: &str) -> bool {
    let mut before = 0;
    let mut bytes = path.as_bytes();
    while let [byte, rest @ ..] = bytes {
        match byte {
            b'/' if before == b'/' => return true,
            b'\\' | b';' => return true,
            b'.' if before == b'/' => return true,
            b'%' if matches!(escaped(bytes), Some(b'/' | b'\\' | b';' | b'?' | b'#' | b'.')) => return true,
            _ => {}
        }
        (before, bytes) = (*byte, rest);
    }
    false
}

fn without_parameters(path: &str) -> String {
    let names = path.split('/').map(|segment| segment.split(';').next().unwrap_or(segment));
    names.collect::<Vec<_>>().join("/")
}

/// What stands in a path as it is: unreserved characters, `sub-delims` but for the star, ":", "@" and the slash (RFC 3986 §3.3).
const STANDS: [bool; 256] = {
    let mut all = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let octet = byte as u8;
        all[byte] = octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@')
            || matches!(octet, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'+' | b',' | b';' | b'=');
        byte += 1;
    }
    all
};

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
pub fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match text {
        // Two hex digits make a byte.
        [b'%', high, low, ..] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

/// Whether a segment is `.` or `..`, however it is spelled.
pub fn has_dots(path: &str) -> bool {
    if !is_ambiguous(path) {
        return false;
    }
    let plain = decoded(path.as_bytes());
    let name = |segment: &[u8]| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b".."));
    plain.split(|byte| matches!(byte, b'/' | b'\\')).any(name)
}

/// Whether a control character is encoded in it: some origins end a path there.
pub fn has_controls(path: &str) -> bool {
    let encoded = |(at, _)| path.as_bytes().get(at..).and_then(escaped);
    path.match_indices('%').filter_map(encoded).any(|byte| byte.is_ascii_control())
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
            ("/a%5b1%5D", "/a%5B1%5D"),
            ("/me%40example.com%2B1", "/me@example.com+1"),
            // What a rule would take for more than itself.
            ("/a*b", "/a%2Ab"),
            ("/a%2ab", "/a%2Ab"),
            ("/a%3Fb", "/a%3Fb"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(normal(path), want, "{path}");
        }
    }

    #[test]
    fn patterns_keep_their_wildcards() {
        for (text, want) in [
            ("/a/*", "/a/*"),
            ("/a%2a?/*", "/a%2A?/*"),
            ("/users/me%40example.com/*", "/users/me@example.com/*"),
            ("/caf%c3%a9/*", "/caf%C3%A9/*"),
            ("/my files/[1]", "/my%20files/%5B1%5D"),
            ("arn:aws:execute-api:*:*:api/prod/GET/a%2fb", "arn:aws:execute-api:*:*:api/prod/GET/a%2Fb"),
        ] {
            assert_eq!(pattern(text), want, "{text}");
        }
    }

    #[test]
    fn a_slash_at_the_end_and_what_ends_a_path() {
        assert_eq!([bare("/a/"), bare("/a"), bare("/")], [Some("/a"), None, None]);
        for (path, want) in [("/a%00", true), ("/a%0db", true), ("/a%7Fb", true), ("/a%20b%", false), ("/a", false)] {
            assert_eq!(has_controls(path), want, "{path}");
        }
        for (path, want) in [
            ("/", false),
            ("/a/", false),
            ("/a.b/c", false),
            ("/.a", true),
            ("/a%20b+c@d", false),
            ("/a%2Fb", true),
            ("/a%3bb", true),
            ("/a%25b", false),
        ] {
            assert_eq!(is_ambiguous(path), want, "{path}");
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
            ("/a%3Fb//c", &["/a", "/a%3Fb/c"]),
            ("/caf%c3%a9", &[]),
            ("/a.pdf%3Fx", &["/a.pdf"]),
            ("/a%23b%2fc", &["/a", "/a%23b%2Fc", "/a%23b/c"]),
            ("/a/", &[]),
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
                    "/private/s",
                    "//private/s",
                    "/;%2Fx/private;v/s",
                    "/x/private/s",
                    "//x/private/s",
                    "/;/x/private;v/s",
                    "/private;v/s",
                    "//private;v/s",
                ],
            ),
        ] {
            assert_eq!(readings(path), want, "{path}");
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
