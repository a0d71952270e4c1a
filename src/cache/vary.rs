//! Vary: decides which stored variant of an answer a request selects (RFC 9111 §4.1).
//!
//! In: the answer's Vary, then a request's fields. Out: the names that matter, and a hash of the request's values for
//! them. Never: a guess that two different values mean the same, beyond what the field's own grammar says.

use crate::cache::object::KeyHash;
use crate::message::Fields;
use aws_lc_rs::digest;
use http::HeaderName;
use http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, VARY};
use smallvec::SmallVec;

/// What an answer's Vary says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vary {
    /// It does not vary.
    None,
    /// No request may be answered with it.
    Star,
    /// Lower case, sorted, each once; at least one.
    Names(Box<[HeaderName]>),
}

/// Values hashed on the stack; longer ones spill to the heap.
const INLINE: usize = 512;

/// Reads an answer's Vary. A member that is no field name makes it `*`: it cannot be matched.
pub fn parse<F: Fields>(fields: &F) -> Vary {
    let mut names: SmallVec<[HeaderName; 8]> = SmallVec::new();
    for member in fields.lines(&VARY).flat_map(|line| line.split(|b| *b == b',')).map(<[u8]>::trim_ascii) {
        if member.is_empty() {
            continue;
        }
        // `*` is a legal token, so it must be asked for first.
        match HeaderName::from_bytes(member) {
            Ok(name) if member != b"*" => names.push(name),
            _ => return Vary::Star,
        }
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    if names.is_empty() { Vary::None } else { Vary::Names(names.into_boxed_slice()) }
}

/// Hash of the request's values for `names`; `None` when nothing is left to tell variants apart.
///
/// Lines of a field are trimmed and joined as origins get them; an absent field differs from an empty one (RFC 9111 §4.1). With
/// `coding_in_key` the key already holds the coding negotiated from `Accept-Encoding`, so that field no longer matters.
/// Allocates nothing while the values are short.
pub fn variance<F: Fields>(names: &[HeaderName], request: &F, coding_in_key: bool) -> Option<KeyHash> {
    let mut text: SmallVec<[u8; INLINE]> = SmallVec::new();
    for name in names.iter().filter(|name| !(coding_in_key && **name == ACCEPT_ENCODING)) {
        text.extend_from_slice(name.as_str().as_bytes());
        // A colon ends the name: no name holds one. The value's length stands after it, u32::MAX when absent.
        text.push(b':');
        let at = text.len();
        text.extend_from_slice(&u32::MAX.to_le_bytes());
        let sameness = Sameness::of(name);
        // A cookie may hold a comma, and is no list of such: RFC 9113 §8.2.3.
        let between: &[u8] = if *name == COOKIE { b"; " } else { b"," };
        let mut present = false;
        for line in request.lines(name) {
            if present {
                text.extend_from_slice(between);
            }
            present = true;
            sameness.write(line.trim_ascii(), &mut text);
        }
        if present {
            let length = u32::try_from(text.len() - at - 4).unwrap_or(u32::MAX - 1);
            text[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
    }
    (!text.is_empty()).then(|| name(&text))
}

/// Names a variant. The values are the viewer's to choose and nothing compares them in full, so that two texts with one name would be
/// one viewer's answer for another: SHA-256, of which 128 bits leave no way to find a second text for a first.
fn name(text: &[u8]) -> KeyHash {
    let mut name = KeyHash::default();
    name.iter_mut().zip(digest::digest(&digest::SHA256, text).as_ref()).for_each(|(to, from)| *to = *from);
    name
}

/// What a field's grammar lets us fold without changing its meaning.
#[derive(Debug, Clone, Copy)]
struct Sameness {
    /// Space around `,` and `;`, and how much of it elsewhere (RFC 9110 §5.6.1, §12.5).
    spaces: bool,
    /// Case (RFC 9110 §12.5.2–§12.5.4: charsets, codings and language ranges).
    case: bool,
}

// === impl Sameness ===
impl Sameness {
    fn of(name: &HeaderName) -> Self {
        let case = *name == ACCEPT_ENCODING || *name == ACCEPT_LANGUAGE || *name == ACCEPT_CHARSET;
        Sameness { spaces: case || *name == ACCEPT, case }
    }

    fn write(self, value: &[u8], out: &mut SmallVec<[u8; INLINE]>) {
        let start = out.len();
        // A quoted string may hold anything: such a value is left alone.
        if !self.spaces || memchr::memchr(b'"', value).is_some() {
            return out.extend_from_slice(value);
        }
        let mut rest = value;
        while let Some(at) = memchr::memchr2(b' ', b'\t', rest) {
            let (word, blank) = rest.split_at(at);
            out.extend_from_slice(word);
            rest = blank.trim_ascii_start();
            let before = out[start..].last().copied();
            let around = [before, rest.first().copied()];
            if !around.iter().any(|side| matches!(side, None | Some(b',' | b';'))) {
                out.push(b' ');
            }
        }
        out.extend_from_slice(rest);
        if self.case {
            out[start..].make_ascii_lowercase();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use proptest::prelude::*;

    fn lines(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn names(names: &[&'static str]) -> Vec<HeaderName> {
        names.iter().map(|name| HeaderName::from_static(name)).collect()
    }

    #[test]
    fn what_varies() {
        let some = |list: &[&'static str]| Vary::Names(names(list).into());
        let table: &[(&[&str], Vary)] = &[
            (&[], Vary::None),
            (&[""], Vary::None),
            (&[" , "], Vary::None),
            (&["Accept"], some(&["accept"])),
            (&["b, A", "a,,c"], some(&["a", "b", "c"])),
            (&["*"], Vary::Star),
            (&["a, *"], Vary::Star),
            (&["a", " * "], Vary::Star),
            (&["a b"], Vary::Star),
        ];
        for (values, want) in table {
            let pairs: Vec<_> = values.iter().map(|value| ("vary", *value)).collect();
            assert_eq!(parse(&lines(&pairs)), *want, "{values:?}");
        }
    }

    #[test]
    fn which_requests_are_alike() {
        // RFC 9111 §4.1: (names, one request, another, same variant?)
        type Pairs = &'static [(&'static str, &'static str)];
        let table: &[(&[&'static str], Pairs, Pairs, bool)] = &[
            (&["a"], &[("a", "1")], &[("a", "1"), ("b", "2")], true),
            (&["a"], &[("a", "1")], &[("a", "2")], false),
            (&["a"], &[], &[("a", "")], false),
            (&["a"], &[("a", "1"), ("a", "2")], &[("a", "1,2")], true),
            (&["a"], &[("a", "1, 2")], &[("a", "1,2")], false),
            (&["cookie"], &[("cookie", "a=1"), ("cookie", "b=2")], &[("cookie", "a=1; b=2")], true),
            (&["cookie"], &[("cookie", "a=1"), ("cookie", "b=2")], &[("cookie", "a=1,b=2")], false),
            (&["a"], &[("a", "A")], &[("a", "a")], false),
            (&["a", "b"], &[("a", "1")], &[("b", "1")], false),
            (&["a", "b"], &[("a", "1"), ("b", "")], &[("a", "1")], false),
            (&["accept"], &[("accept", "a/b ; q=1 ,  c/d")], &[("accept", "a/b;q=1,c/d")], true),
            (&["accept"], &[("accept", "a/b;v=\"x ,y\"")], &[("accept", "a/b;v=\"x,y\"")], false),
            (&["accept"], &[("accept", "A/b")], &[("accept", "a/b")], false),
            (&["accept-language"], &[("accept-language", "de-DE, EN")], &[("accept-language", "de-de,en")], true),
            (&["accept-language"], &[("accept-language", "de, en")], &[("accept-language", "en, de")], false),
            (&["accept-language"], &[("accept-language", "d e")], &[("accept-language", "de")], false),
            (&["accept-encoding"], &[("accept-encoding", "gzip")], &[("accept-encoding", "br")], false),
        ];
        for (list, one, other, same) in table {
            let list = names(list);
            let hash = |pairs: &[(&'static str, &str)]| variance(&list, &lines(pairs), false);
            assert!(hash(one).is_some());
            assert_eq!(hash(one) == hash(other), *same, "{list:?} {one:?} {other:?}");
        }
    }

    /// No hash that is made for speed: its collisions can be calculated, and who sends the values could.
    #[test]
    fn variants_are_named_by_sha256() {
        let name = variance(&names(&["a"]), &lines(&[("a", "1")]), false).unwrap();
        let whole = digest::digest(&digest::SHA256, b"a:\x01\0\0\x001");
        assert_eq!(name, whole.as_ref()[..16]);
    }

    #[test]
    fn the_coding_may_be_in_the_key_already() {
        let request = lines(&[("accept-encoding", "gzip"), ("accept", "a/b")]);
        assert_eq!(variance(&names(&["accept-encoding"]), &request, true), None);
        assert!(variance(&names(&["accept-encoding"]), &request, false).is_some());
        assert_eq!(
            variance(&names(&["accept", "accept-encoding"]), &request, true),
            variance(&names(&["accept"]), &request, true)
        );
        assert_eq!(variance(&[], &request, false), None);
    }

    proptest! {
        /// Values of different fields never run into one another.
        #[test]
        fn injective(a in proptest::option::of("[ab:,]{0,6}"), b in proptest::option::of("[ab:,]{0,6}"),
                     c in proptest::option::of("[ab:,]{0,6}"), d in proptest::option::of("[ab:,]{0,6}")) {
            let list = names(&["a", "b"]);
            let hash = |a: &Option<String>, b: &Option<String>| {
                let mut map = HeaderMap::new();
                for (name, value) in [("a", a), ("b", b)] {
                    if let Some(value) = value {
                        map.append(name, value.parse().unwrap());
                    }
                }
                variance(&list, &map, false)
            };
            prop_assert_eq!(hash(&a, &b) == hash(&c, &d), (a, b) == (c, d));
        }

        #[test]
        fn any_vary_is_read(value in "[ -~]{0,40}") {
            if let Vary::Names(names) = parse(&lines(&[("vary", &value)])) {
                prop_assert!(names.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
            }
        }
    }
}
