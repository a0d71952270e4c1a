//! Glob: whether a path matches one CloudFront path pattern.
//!
//! In: a pattern (compiled once), a path. Out: yes or no. Never: allocation while matching, backtracking over a `*`.

use memchr::memmem;

/// A path pattern cut at its stars: `*` = any run of bytes, `?` = exactly one, the rest is compared byte for byte
/// (CloudFront, "Path pattern": case-sensitive, the leading `/` may be left out).
///
/// Each piece between stars is searched left to right once; the left-most place is always the right one, so the cost is
/// linear in the path for literal pieces and at most piece × path for pieces with a `?`.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    /// Before the first `*`: the whole pattern when there is none.
    first: Piece,
    rest: Option<Rest>,
}

/// What follows the first `*`.
#[derive(Debug, Clone)]
struct Rest {
    middle: Box<[Piece]>,
    last: Piece,
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(Box<[u8]>),
    /// Has a `?` somewhere.
    Holes(Box<[u8]>),
}

// === impl Glob ===
impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        let pattern = rooted(pattern);
        let mut pieces = pattern.split('*').map(Piece::new);
        let first = pieces.next().unwrap_or_else(|| Piece::new(""));
        let mut middle: Vec<Piece> = pieces.collect();
        let rest = middle.pop().map(|last| {
            middle.retain(|piece| piece.len() > 0);
            Rest { middle: middle.into(), last }
        });
        Glob { first, rest }
    }

    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let Some(rest) = &self.rest else {
            return path.len() == self.first.len() && self.first.starts(path);
        };
        let (head, tail) = (self.first.len(), rest.last.len());
        if path.len() < head + tail || !self.first.starts(path) || !rest.last.starts(&path[path.len() - tail..]) {
            return false;
        }
        let mut left = &path[head..path.len() - tail];
        for piece in &rest.middle {
            match piece.find(left) {
                Some(at) => left = &left[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

// === impl Piece ===
impl Piece {
    fn new(text: &str) -> Self {
        match text.contains('?') {
            true => Piece::Holes(text.as_bytes().into()),
            false => Piece::Literal(text.as_bytes().into()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Piece::Literal(bytes) | Piece::Holes(bytes) => bytes.len(),
        }
    }

    fn starts(&self, text: &[u8]) -> bool {
        match self {
            Piece::Literal(bytes) => text.starts_with(bytes),
            Piece::Holes(bytes) => {
                text.len() >= bytes.len() && bytes.iter().zip(text).all(|(want, have)| *want == b'?' || want == have)
            }
        }
    }

    fn find(&self, text: &[u8]) -> Option<usize> {
        match self {
            Piece::Literal(bytes) => memmem::find(text, bytes),
            Piece::Holes(bytes) => {
                (0..(text.len() + 1).saturating_sub(bytes.len())).find(|at| self.starts(&text[*at..]))
            }
        }
    }
}

/// The pattern with the leading `/` that CloudFront lets one leave out; a leading `*` covers it already.
fn rooted(pattern: &str) -> std::borrow::Cow<'_, str> {
    match pattern.as_bytes().first() {
        Some(b'/' | b'*') => pattern.into(),
        _ => format!("/{pattern}").into(),
    }
}

/// The bytes every matching path starts with.
pub(super) fn literal_start(pattern: &str) -> Vec<u8> {
    let pattern = rooted(pattern);
    let end = pattern.find(['*', '?']).unwrap_or(pattern.len());
    pattern.as_bytes()[..end].to_vec()
}

/// The bytes every matching path ends with.
pub(super) fn literal_end(pattern: &str) -> Vec<u8> {
    let start = pattern.rfind(['*', '?']).map_or(0, |at| at + 1);
    pattern.as_bytes()[start..].to_vec()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, one symbol at a time.
    pub(crate) fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => naive(&pattern[1..], text) || (!text.is_empty() && naive(pattern, &text[1..])),
            (Some(b'?'), Some(_)) => naive(&pattern[1..], &text[1..]),
            (Some(a), Some(b)) => a == b && naive(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    #[test]
    fn cloudfront_patterns() {
        for (pattern, path, want) in [
            ("*", "/", true),
            ("*", "*", true),
            ("/images/*.jpg", "/images/a.jpg", true),
            ("/images/*.jpg", "/images/a/b.jpg", true),
            ("/images/*.jpg", "/images/.jpg", true),
            ("/images/*.jpg", "/images/a.JPG", false),
            ("images/*.jpg", "/images/a.jpg", true),
            ("/a??.jpg", "/ant.jpg", true),
            ("/a??.jpg", "/abe1.jpg", false),
            ("*.gif", "/x/y.gif", true),
            ("/a*b*c", "/abc", true),
            ("/a*b*c", "/aXbYcZ", false),
            ("/a*?", "/a", false),
            ("/a*?", "/ab", true),
            ("/aa*aa", "/aaa", false),
            ("/", "/", true),
            ("/", "/x", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(path.as_bytes()), want, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_stars_does_not_explode() {
        let pattern = format!("/{}b", "a*".repeat(100));
        let path = format!("/{}", "a".repeat(8000));
        assert!(!Glob::new(&pattern).matches(path.as_bytes()));
    }

    proptest! {
        #[test]
        fn equals_the_definition(pattern in "/[ab?*]{0,8}", path in "/[ab/]{0,10}") {
            prop_assert_eq!(Glob::new(&pattern).matches(path.as_bytes()), naive(pattern.as_bytes(), path.as_bytes()));
        }
    }
}
