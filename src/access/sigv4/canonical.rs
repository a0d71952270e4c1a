//! Canonical: the one form of a request that both sides hash ("Create a canonical request").
//!
//! In: the request as sent, which headers are signed. Out: bytes. Never: a key, a decision.

use http::HeaderName;
use smallvec::SmallVec;

use crate::message::Fields;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// How the query is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// As documented: decoded, then encoded.
    Encoded,
    /// As sent, only sorted: botocore signs so when the signature is in a header. It binds more than the other.
    Raw,
    /// As documented, without `X-Amz-Security-Token`: some add the token after they signed.
    WithoutToken,
}

/// `true` for what stays as it is: `A-Za-z0-9-_.~`.
fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

fn encode(byte: u8, out: &mut Vec<u8>) {
    if unreserved(byte) {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// The byte that `%XX` at the beginning stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |b: u8| (b as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? * 16 + digit(*low)?)
}

/// Percent-decodes; what is no escape stays.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, tail)) = rest.split_first() {
        match escape(rest) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// How the path is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uri {
    /// Dot segments and empty ones go (RFC 3986 §5.2.4), and what was sent is encoded once more.
    Normalized,
    /// The same, but a dot segment at the end takes its slash along: so do botocore and the JavaScript SDK.
    Closed,
    /// As for S3: what was sent, with what should have been encoded encoded.
    AsSent,
}

/// `CanonicalURI`.
pub fn path(path: &str, form: Uri, out: &mut Vec<u8>) {
    if form == Uri::AsSent {
        let mut rest = path.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            if escape(rest).is_some() {
                out.extend_from_slice(&rest[..3]);
                rest = &rest[3..];
                continue;
            }
            if *first == b'/' {
                out.push(b'/')
            } else {
                encode(*first, out)
            }
            rest = tail;
        }
        if path.is_empty() {
            out.push(b'/');
        }
        return;
    }
    let mut segments: SmallVec<[&str; 16]> = SmallVec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    for segment in &segments {
        out.push(b'/');
        segment.bytes().for_each(|byte| encode(byte, out));
    }
    if segments.is_empty() || path.ends_with('/') || (form == Uri::Normalized && ends_with_dots(path)) {
        out.push(b'/');
    }
}

/// Whether the two normalized forms may differ.
pub fn ends_with_dots(path: &str) -> bool {
    path.ends_with("/.") || path.ends_with("/..")
}

/// `CanonicalQueryString`: sorted by the encoded name, then by the encoded value; `presigned` leaves the signature out.
pub fn query(query: &str, form: Query, presigned: bool, out: &mut Vec<u8>) {
    let mut text = Vec::with_capacity(query.len() + 16);
    // Begin, end of the name, end of the value.
    let mut pairs: SmallVec<[(usize, usize, usize); 16]> = SmallVec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let left_out = presigned && name == "X-Amz-Signature"
            || form == Query::WithoutToken && name == "X-Amz-Security-Token"
            || form != Query::Raw && pair.is_empty();
        if left_out {
            continue;
        }
        let from = text.len();
        write_part(name, form, &mut text);
        let middle = text.len();
        write_part(value, form, &mut text);
        pairs.push((from, middle, text.len()));
    }
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    pairs.sort_by(|a, b| (part(a.0, a.1), part(a.1, a.2)).cmp(&(part(b.0, b.1), part(b.1, b.2))));
    for (at, (from, middle, to)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(part(*from, *middle));
        out.push(b'=');
        out.extend_from_slice(part(*middle, *to));
    }
}

fn write_part(part: &str, form: Query, out: &mut Vec<u8>) {
    if form == Query::Raw {
        out.extend_from_slice(part.as_bytes());
        return;
    }
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        match escape(rest) {
            Some(byte) => {
                encode(byte, out);
                rest = &rest[3..];
            }
            None => {
                encode(*first, out);
                rest = tail;
            }
        }
    }
}

/// `CanonicalHeaders`, the empty line, `SignedHeaders` and its line's end. `false` when a signed header is not there.
pub fn headers<F: Fields>(fields: &F, host: &str, signed: &str, out: &mut Vec<u8>) -> bool {
    for name in signed.split(';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        if matches!(name, "host" | ":authority") {
            value(host.as_bytes(), out);
        } else {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return false };
            let mut lines = fields.lines(&name);
            let Some(first) = lines.next() else { return false };
            value(first, out);
            for line in lines {
                out.push(b',');
                value(line, out);
            }
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed.as_bytes());
    out.push(b'\n');
    true
}

/// A header's value: no white space around it, one space for any run of it inside.
fn value(line: &[u8], out: &mut Vec<u8>) {
    let mut words = line.split(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths() {
        for (sent, normalized, plain) in [
            ("/", "/", "/"),
            ("", "/", "/"),
            ("/a b", "/a%20b", "/a%20b"),
            ("/a%20b", "/a%2520b", "/a%20b"),
            ("/a%2fb", "/a%252fb", "/a%2fb"),
            ("/a%zz", "/a%25zz", "/a%25zz"),
            ("/a/../b", "/b", "/a/../b"),
            ("/../..", "/", "/../.."),
            ("/a/./b/", "/a/b/", "/a/./b/"),
            ("/a/b/..", "/a/", "/a/b/.."),
            ("/a/.", "/a/", "/a/."),
            ("/a..", "/a..", "/a.."),
            ("//a//b//", "/a/b/", "//a//b//"),
            ("/x@y:z=~", "/x%40y%3Az%3D~", "/x%40y%3Az%3D~"),
            ("/\u{1234}", "/%E1%88%B4", "/%E1%88%B4"),
        ] {
            assert_eq!(written(|out| path(sent, Uri::Normalized, out)), normalized, "{sent}");
            assert_eq!(written(|out| path(sent, Uri::AsSent, out)), plain, "{sent}");
        }
        assert_eq!(written(|out| path("/a/b/..", Uri::Closed, out)), "/a");
        assert_eq!(written(|out| path("/a/..", Uri::Closed, out)), "/");
    }

    #[test]
    fn queries() {
        for (sent, encoded, raw) in [
            ("", "", "="),
            ("b&a", "a=&b=", "a=&b="),
            ("a=2&a=1", "a=1&a=2", "a=1&a=2"),
            ("Param-3=V&Param=W", "Param=W&Param-3=V", "Param=W&Param-3=V"),
            ("x=1+2", "x=1%2B2", "x=1+2"),
            ("x=a%2fb", "x=a%2Fb", "x=a%2fb"),
            ("x=%41*", "x=A%2A", "x=%41*"),
            ("x=a=b", "x=a%3Db", "x=a=b"),
            ("x=%4", "x=%254", "x=%4"),
            ("a=1&&b=2", "a=1&b=2", "=&a=1&b=2"),
        ] {
            assert_eq!(written(|out| query(sent, Query::Encoded, false, out)), encoded, "{sent}");
            assert_eq!(written(|out| query(sent, Query::Raw, false, out)), raw, "{sent}");
        }
        let sent = "X-Amz-Signature=1&X-Amz-Security-Token=2&a=3";
        assert_eq!(written(|out| query(sent, Query::Encoded, true, out)), "X-Amz-Security-Token=2&a=3");
        assert_eq!(written(|out| query(sent, Query::WithoutToken, true, out)), "a=3");
    }

    #[test]
    fn header_values() {
        let mut map = HeaderMap::new();
        for (name, value) in [("a", "  x \t y  "), ("b", "2"), ("b", " 1 "), ("c", "")] {
            map.append(name, value.parse().unwrap());
        }
        let text = written(|out| assert!(headers(&map, "h:1", "a;b;c;host", out)));
        assert_eq!(text, "a:x y\nb:2,1\nc:\nhost:h:1\n\na;b;c;host\n");
        assert!(!headers(&map, "h", "d;host", &mut Vec::new()));
    }

    #[test]
    fn decoding() {
        assert_eq!(decode(b"a%2Fb%zz%4+"), b"a/b%zz%4+");
    }
}
