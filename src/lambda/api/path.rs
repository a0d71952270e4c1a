//! Path: a request target, decoded.
//!
//! In: a URI. Out: segments and query, percent-decoded once. Never: what they mean.

use http::Uri;

/// Segments of a path; no operation has more than six.
const SEGMENTS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub segments: Vec<String>,
    query: Vec<(String, String)>,
}

// === impl Target ===
impl Target {
    /// `None`: not UTF-8, a broken escape, or too long for any operation. A slash at the end is not there.
    pub(super) fn parse(uri: &Uri) -> Option<Self> {
        let path = uri.path().strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<String> =
            path.split('/').take(SEGMENTS + 1).map(|s| decode(s, false)).collect::<Option<_>>()?;
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        });
        (segments.len() <= SEGMENTS).then_some(Target { segments, query: query.collect::<Option<_>>()? })
    }

    /// Every value of a query parameter.
    pub(super) fn queries<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t str> {
        self.query.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter.
    pub(super) fn query<'t>(&'t self, name: &'t str) -> Option<&'t str> {
        self.queries(name).next()
    }
}

/// RFC 3986 §2.1; in a query, `+` is a space.
fn decode(text: &str, query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            b'+' if query => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (uri, want, qualifier) in [
            (
                "/2015-03-31/functions/f/invocations?Qualifier=live",
                Some(&["2015-03-31", "functions", "f", "invocations"][..]),
                Some("live"),
            ),
            ("/a/arn%3Aaws%3ALambda?x", Some(&["a", "arn:aws:Lambda"]), None),
            ("/a/b/?Qualifier=%24LATEST", Some(&["a", "b"]), Some("$LATEST")),
            ("/a%2Fb", Some(&["a/b"]), None),
            ("/a%2", None, None),
            ("/a%zz", None, None),
            ("/%ff", None, None),
            ("/a/b/c/d/e/f/g/h/i", None, None),
            ("/?Qualifier=a+b", Some(&[""]), Some("a b")),
        ] {
            let got = Target::parse(&uri.parse().unwrap());
            let segments = got.as_ref().map(|target| target.segments.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(segments.as_deref(), want, "{uri}");
            assert_eq!(got.as_ref().and_then(|target| target.query("Qualifier")), qualifier, "{uri}");
        }
    }
}
