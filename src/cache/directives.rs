//! Directives: decides what a Cache-Control field says.
//!
//! In: field lines as bytes. Out: the directives we know, as plain data. Never: a freshness decision, an error (what
//! cannot be read is taken the careful way), allocation unless a directive lists field names.

pub mod targeted;

use crate::message::Fields;
use http::HeaderName;
use http::header::{CACHE_CONTROL, PRAGMA};

/// Seconds larger than this count as this (RFC 9111 §1.2.2).
pub const MAX_DELTA: u32 = 1 << 31;

/// How far `no-cache` or `private` reaches (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    Absent,
    /// The whole answer.
    Whole,
    /// Only these fields of it.
    Fields(Vec<HeaderName>),
}

/// A response's cache directives. Ages and windows are seconds, at most [`MAX_DELTA`].
///
/// A directive given twice counts as its first occurrence (RFC 9111 §4.2.1); an age that cannot be read is 0, so the
/// answer is stale. Directives that restrict count whatever argument they carry; those that permit count only when well
/// formed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheControl {
    pub max_age: Option<u32>,
    pub s_maxage: Option<u32>,
    pub stale_while_revalidate: Option<u32>,
    pub stale_if_error: Option<u32>,
    pub no_cache: Reach,
    pub private: Reach,
    pub no_store: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub no_transform: bool,
}

/// A request's cache directives (RFC 9111 §5.2.1). Times are seconds, at most [`MAX_DELTA`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestControl {
    pub max_age: Option<u32>,
    pub min_fresh: Option<u32>,
    /// `max-stale` without a value is [`MAX_DELTA`].
    pub max_stale: Option<u32>,
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
}

/// One directive as it stands in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directive<'a> {
    name: &'a [u8],
    argument: Argument<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument<'a> {
    None,
    Token(&'a [u8]),
    /// Between the quotes, escapes still in.
    Quoted(&'a [u8]),
    /// Something follows the `=` that the grammar does not allow.
    Malformed,
}

/// Walks the directives of one field line.
#[derive(Debug)]
struct Directives<'a> {
    rest: &'a [u8],
}

// === impl CacheControl ===
impl CacheControl {
    /// Reads response directives from the lines of a `Cache-Control` field.
    pub fn parse<'a>(values: impl Iterator<Item = &'a [u8]>) -> CacheControl {
        let mut control = CacheControl::default();
        for value in values {
            for directive in (Directives { rest: value }) {
                control.apply(directive);
            }
        }
        control
    }

    fn apply(&mut self, Directive { name, argument }: Directive<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let bare = argument == Argument::None;
        // The length settles most names without comparing them.
        match name.len() {
            6 if is("public") => self.public |= bare,
            7 if is("max-age") => first(&mut self.max_age, argument.seconds()),
            7 if is("private") => self.private.widen(argument.reach()),
            8 if is("s-maxage") => first(&mut self.s_maxage, argument.seconds()),
            8 if is("no-store") => self.no_store = true,
            8 if is("no-cache") => self.no_cache.widen(argument.reach()),
            9 if is("immutable") => self.immutable |= bare,
            12 if is("no-transform") => self.no_transform = true,
            14 if is("stale-if-error") => first(&mut self.stale_if_error, argument.seconds()),
            15 if is("must-revalidate") => self.must_revalidate = true,
            15 if is("must-understand") => self.must_understand |= bare,
            16 if is("proxy-revalidate") => self.proxy_revalidate = true,
            22 if is("stale-while-revalidate") => first(&mut self.stale_while_revalidate, argument.seconds()),
            _ => {}
        }
    }
}

// === impl RequestControl ===
impl RequestControl {
    /// Reads a request's directives; `Pragma: no-cache` counts only when there is no `Cache-Control` (RFC 9111 §5.4).
    pub fn read<F: Fields>(request: &F) -> RequestControl {
        let mut control = RequestControl::default();
        let mut present = false;
        for value in request.lines(&CACHE_CONTROL) {
            present = true;
            for directive in (Directives { rest: value }) {
                control.apply(directive);
            }
        }
        if !present {
            control.no_cache = request
                .lines(&PRAGMA)
                .any(|line| Directives { rest: line }.any(|d| d.name.eq_ignore_ascii_case(b"no-cache")));
        }
        control
    }

    fn apply(&mut self, Directive { name, argument }: Directive<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            7 if is("max-age") => first(&mut self.max_age, argument.seconds()),
            8 if is("no-cache") => self.no_cache = true,
            8 if is("no-store") => self.no_store = true,
            // A wish for freshness that cannot be read is the strongest one.
            9 if is("min-fresh") => first(&mut self.min_fresh, argument.number().unwrap_or(MAX_DELTA)),
            // A permission that cannot be read is none.
            9 if is("max-stale") => first(
                &mut self.max_stale,
                if argument == Argument::None { MAX_DELTA } else { argument.number().unwrap_or(0) },
            ),
            14 if is("only-if-cached") => self.only_if_cached = true,
            _ => {}
        }
    }
}

// === impl Reach ===
impl Reach {
    /// Joins a second occurrence: the wider one counts.
    fn widen(&mut self, other: Reach) {
        match (&mut *self, other) {
            (Reach::Whole, _) | (_, Reach::Absent) => {}
            (Reach::Fields(names), Reach::Fields(more)) => names.extend(more),
            (_, other) => *self = other,
        }
    }

    /// Reads a comma-separated list of field names; one that is no field name makes it the whole answer.
    fn fields(list: &[u8]) -> Reach {
        let mut names = Vec::new();
        for name in list.split(|b| *b == b',') {
            match HeaderName::from_bytes(name.trim_ascii()) {
                Ok(name) => names.push(name),
                Err(_) if name.trim_ascii().is_empty() => {}
                Err(_) => return Reach::Whole,
            }
        }
        if names.is_empty() { Reach::Whole } else { Reach::Fields(names) }
    }
}

// === impl Argument ===
impl Argument<'_> {
    /// Delta-seconds as a token or quoted (RFC 9111 §5.2: recipients ought to take both).
    fn number(self) -> Option<u32> {
        match self {
            Argument::Token(text) | Argument::Quoted(text) => delta_seconds(text),
            Argument::None | Argument::Malformed => None,
        }
    }

    /// As [`Argument::number`], 0 when it is none (RFC 9111 §4.2.1: invalid freshness is stale).
    fn seconds(self) -> u32 {
        self.number().unwrap_or(0)
    }

    fn reach(self) -> Reach {
        match self {
            // The token form is against the grammar, but a single name in it is clear.
            Argument::Quoted(list) | Argument::Token(list) => Reach::fields(list),
            Argument::None | Argument::Malformed => Reach::Whole,
        }
    }
}

// === impl Directives ===
impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        let start = self.rest.iter().position(|b| !matches!(b, b',' | b' ' | b'\t'))?;
        let text = &self.rest[start..];
        let end = text.iter().position(|b| matches!(b, b'=' | b',')).unwrap_or(text.len());
        let name = &text[..end];
        let Some(value) = text[end..].strip_prefix(b"=") else {
            self.rest = &text[end..];
            return Some(Directive { name: name.trim_ascii_end(), argument: Argument::None });
        };
        let (argument, rest) = argument(value);
        self.rest = rest;
        let spaced = name.last().is_some_and(|b| matches!(b, b' ' | b'\t'));
        let argument = if spaced { Argument::Malformed } else { argument };
        Some(Directive { name: name.trim_ascii_end(), argument })
    }
}

/// Reads what follows a `=` and returns the rest of the line after it. A quoted string that never closes is malformed
/// and ends at the next comma, so that a restriction after it is still seen.
fn argument(value: &[u8]) -> (Argument<'_>, &[u8]) {
    if let Some(quoted) = value.strip_prefix(b"\"")
        && let Some(close) = closing_quote(quoted)
    {
        let after = &quoted[close + 1..];
        let end = comma(after);
        let argument =
            if after[..end].trim_ascii().is_empty() { Argument::Quoted(&quoted[..close]) } else { Argument::Malformed };
        return (argument, &after[end..]);
    }
    let end = comma(value);
    let token = value[..end].trim_ascii_end();
    let malformed = token.first().is_none_or(|b| matches!(b, b' ' | b'\t' | b'"'));
    (if malformed { Argument::Malformed } else { Argument::Token(token) }, &value[end..])
}

fn comma(text: &[u8]) -> usize {
    text.iter().position(|b| *b == b',').unwrap_or(text.len())
}

/// Where the quoted string that `text` begins in ends.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn first(slot: &mut Option<u32>, value: u32) {
    slot.get_or_insert(value);
}

/// A non-negative count of seconds, saturating at [`MAX_DELTA`] (RFC 9111 §1.2.2); `None` when it is not all digits.
pub fn delta_seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut seconds = 0u32;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        seconds = seconds.saturating_mul(10).saturating_add(u32::from(digit));
    }
    Some(seconds.min(MAX_DELTA))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use proptest::prelude::*;

    fn parse(lines: &[&str]) -> CacheControl {
        CacheControl::parse(lines.iter().map(|line| line.as_bytes()))
    }

    fn fields(names: &[&'static str]) -> Reach {
        Reach::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect())
    }

    #[test]
    fn ages() {
        // (lines, max_age, s_maxage), RFC 9111 §5.2 and §4.2.1
        let table: &[(&[&str], Option<u32>, Option<u32>)] = &[
            (&[], None, None),
            (&[""], None, None),
            (&["max-age=60"], Some(60), None),
            (&["MAX-Age=60, S-MAXAGE=5"], Some(60), Some(5)),
            (&["max-age=\"60\""], Some(60), None),
            (&["max-age=007"], Some(7), None),
            (&["max-age=99999999999999999999"], Some(MAX_DELTA), None),
            (&["max-age=2147483648"], Some(MAX_DELTA), None),
            (&["max-age=2147483647"], Some(MAX_DELTA - 1), None),
            // Invalid is stale.
            (&["max-age"], Some(0), None),
            (&["max-age="], Some(0), None),
            (&["max-age=-1"], Some(0), None),
            (&["max-age=1.5"], Some(0), None),
            (&["max-age=a60"], Some(0), None),
            (&["max-age=60a"], Some(0), None),
            (&["max-age='60'"], Some(0), None),
            (&["max-age =60"], Some(0), None),
            (&["max-age= 60"], Some(0), None),
            (&["max-age=\"60\"x"], Some(0), None),
            (&["max-age=\"60"], Some(0), None),
            // The first occurrence counts, over lines too.
            (&["max-age=1, max-age=60"], Some(1), None),
            (&["max-age=60, max-age=1"], Some(60), None),
            (&["max-age=60", "max-age=1"], Some(60), None),
            (&["max-age=x, max-age=60"], Some(0), None),
            // Empty members and odd spaces.
            (&[",, max-age=60 ,\t,s-maxage=5,"], Some(60), Some(5)),
            // Not our directive.
            (&["x-max-age=60, max-agee=5"], None, None),
            (&["ext=\"max-age=60, s-maxage=1\""], None, None),
            (&["ext=\"a\\\", max-age=60\", max-age=2"], Some(2), None),
            // A quoted string that never closes hides nothing after the next comma.
            (&["ext=\"a, max-age=60"], Some(60), None),
        ];
        for (lines, max_age, s_maxage) in table {
            let control = parse(lines);
            assert_eq!((control.max_age, control.s_maxage), (*max_age, *s_maxage), "{lines:?}");
        }
    }

    #[test]
    fn flags() {
        type Read = fn(&CacheControl) -> bool;
        let table: &[(&str, Read, bool)] = &[
            ("no-store", |c| c.no_store, true),
            ("No-Store", |c| c.no_store, true),
            ("no-store=x", |c| c.no_store, true),
            ("x=\"no-store\"", |c| c.no_store, false),
            ("x=\"a, no-store", |c| c.no_store, true),
            ("public", |c| c.public, true),
            ("public=1", |c| c.public, false),
            ("must-revalidate", |c| c.must_revalidate, true),
            ("proxy-revalidate", |c| c.proxy_revalidate, true),
            ("must-understand", |c| c.must_understand, true),
            ("must-understand=x", |c| c.must_understand, false),
            ("immutable", |c| c.immutable, true),
            ("no-transform", |c| c.no_transform, true),
        ];
        for (line, read, want) in table {
            assert_eq!(read(&parse(&[line])), *want, "{line}");
        }
    }

    #[test]
    fn reach_of_no_cache_and_private() {
        // RFC 9111 §5.2.2.4, §5.2.2.7
        let table: &[(&[&str], Reach)] = &[
            (&["max-age=1"], Reach::Absent),
            (&["no-cache"], Reach::Whole),
            (&["no-cache=\"Set-Cookie\""], fields(&["set-cookie"])),
            (&["no-cache=\" a , b,\""], fields(&["a", "b"])),
            (&["no-cache=a, no-cache=b"], fields(&["a", "b"])),
            (&["no-cache=\"a\"", "no-cache=\"b\""], fields(&["a", "b"])),
            (&["no-cache=\"a\", no-cache"], Reach::Whole),
            (&["no-cache, no-cache=\"a\""], Reach::Whole),
            // What names no field reaches everything.
            (&["no-cache=\"\""], Reach::Whole),
            (&["no-cache=\"a b\""], Reach::Whole),
            (&["no-cache="], Reach::Whole),
        ];
        for (lines, want) in table {
            assert_eq!(parse(lines).no_cache, *want, "{lines:?}");
            let private: Vec<String> = lines.iter().map(|line| line.replace("no-cache", "private")).collect();
            let control = CacheControl::parse(private.iter().map(|line| line.as_bytes()));
            assert_eq!(control.private, *want, "{private:?}");
        }
    }

    #[test]
    fn stale_windows() {
        // RFC 5861 §3, §4
        let control = parse(&["max-age=1, stale-while-revalidate=30, stale-if-error=\"60\""]);
        assert_eq!((control.stale_while_revalidate, control.stale_if_error), (Some(30), Some(60)));
        let control = parse(&["stale-while-revalidate, stale-if-error=x"]);
        assert_eq!((control.stale_while_revalidate, control.stale_if_error), (Some(0), Some(0)));
    }

    #[test]
    fn requests() {
        // RFC 9111 §5.2.1, §5.4
        let none = RequestControl::default();
        let table: &[(&[(&'static str, &str)], RequestControl)] = &[
            (&[], none),
            (&[("cache-control", "max-age=0")], RequestControl { max_age: Some(0), ..none }),
            (&[("cache-control", "max-age=x")], RequestControl { max_age: Some(0), ..none }),
            (&[("cache-control", "min-fresh=9")], RequestControl { min_fresh: Some(9), ..none }),
            (&[("cache-control", "min-fresh")], RequestControl { min_fresh: Some(MAX_DELTA), ..none }),
            (&[("cache-control", "max-stale")], RequestControl { max_stale: Some(MAX_DELTA), ..none }),
            (&[("cache-control", "max-stale=7")], RequestControl { max_stale: Some(7), ..none }),
            (&[("cache-control", "max-stale=x")], RequestControl { max_stale: Some(0), ..none }),
            (
                &[("cache-control", "no-cache, no-store"), ("cache-control", "only-if-cached")],
                RequestControl { no_cache: true, no_store: true, only_if_cached: true, ..none },
            ),
            (&[("pragma", "no-cache")], RequestControl { no_cache: true, ..none }),
            (&[("pragma", "x, No-Cache")], RequestControl { no_cache: true, ..none }),
            (&[("pragma", "no-cache"), ("cache-control", "max-age=5")], RequestControl { max_age: Some(5), ..none }),
        ];
        for (lines, want) in table {
            let mut map = HeaderMap::new();
            for (name, value) in *lines {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(RequestControl::read(&map), *want, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let control = CacheControl::parse([line.as_slice()].into_iter());
            prop_assert!(control.max_age.is_none_or(|s| s <= MAX_DELTA));
        }

        /// RFC 9110 §5.3: lines of a list field may be joined with a comma.
        #[test]
        fn lines_join_like_commas(a in "[a-z=, 0-9-]{0,24}", b in "[a-z=, 0-9-]{0,24}") {
            let joined = format!("{a},{b}");
            prop_assert_eq!(parse(&[&a, &b]), parse(&[&joined]));
        }

        #[test]
        fn no_store_is_never_overlooked(before in "[a-z=0-9]{0,9}", after in "[a-z\"=, 0-9]{0,9}") {
            let line = format!("{before}, no-store, {after}");
            prop_assert!(parse(&[&line]).no_store);
        }
    }
}
