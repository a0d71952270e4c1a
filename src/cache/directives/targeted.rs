//! Targeted: decides what a targeted cache field (RFC 9213) says.
//!
//! In: the lines of one field. Out: the same [`CacheControl`] that `Cache-Control` gives, or nothing when the field is
//! absent, empty or no Structured Fields dictionary (RFC 8941 §3.2), so that the next field is asked. Never: half a
//! field.

use super::{CacheControl, MAX_DELTA, Reach};

/// A member's value, as far as cache directives have use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    /// Between the quotes, escapes still in.
    Text(&'a [u8]),
    /// A type no directive takes.
    Other,
}

/// Reads one field line left to right (RFC 8941 §4.2).
#[derive(Debug)]
struct Reader<'a> {
    rest: &'a [u8],
}

/// Reads the lines of a targeted field; `None` when there is no member or any line does not parse (RFC 9213 §2.1).
pub fn parse<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<CacheControl> {
    let mut control = CacheControl::default();
    let mut members = 0usize;
    for value in values {
        let mut reader = Reader { rest: value.trim_ascii() };
        while !reader.rest.is_empty() {
            let (key, value) = reader.member()?;
            apply(&mut control, key, value);
            members += 1;
        }
    }
    (members > 0).then_some(control)
}

/// Whether a field line is a Structured Fields list (RFC 8941 §3.1). An empty one is.
pub fn is_list(line: &[u8]) -> bool {
    let mut reader = Reader { rest: line.trim_ascii() };
    while !reader.rest.is_empty() {
        if reader.list_member().is_none() {
            return false;
        }
    }
    true
}

/// Of several members with one key the last counts (RFC 8941 §4.2.2), so each one overwrites.
fn apply(control: &mut CacheControl, key: &[u8], value: Value<'_>) {
    match key {
        b"max-age" => control.max_age = Some(value.seconds()),
        b"s-maxage" => control.s_maxage = Some(value.seconds()),
        b"stale-while-revalidate" => control.stale_while_revalidate = Some(value.seconds()),
        b"stale-if-error" => control.stale_if_error = Some(value.seconds()),
        b"no-cache" => control.no_cache = value.reach(),
        b"private" => control.private = value.reach(),
        b"no-store" => control.no_store = value.restricts(),
        b"must-revalidate" => control.must_revalidate = value.restricts(),
        b"proxy-revalidate" => control.proxy_revalidate = value.restricts(),
        b"no-transform" => control.no_transform = value.restricts(),
        b"public" => control.public = value == Value::Boolean(true),
        b"must-understand" => control.must_understand = value == Value::Boolean(true),
        b"immutable" => control.immutable = value == Value::Boolean(true),
        _ => {}
    }
}

// === impl Value ===
impl Value<'_> {
    /// Seconds; a value of another type is invalid freshness, which is stale (RFC 9111 §4.2.1).
    fn seconds(self) -> u32 {
        match self {
            Value::Integer(n) => u32::try_from(n.clamp(0, i64::from(MAX_DELTA))).unwrap_or(MAX_DELTA),
            _ => 0,
        }
    }

    fn restricts(self) -> bool {
        self != Value::Boolean(false)
    }

    fn reach(self) -> Reach {
        match self {
            Value::Boolean(false) => Reach::Absent,
            Value::Text(list) => Reach::fields(list),
            _ => Reach::Whole,
        }
    }
}

// === impl Reader ===
impl<'a> Reader<'a> {
    /// One dictionary member and the comma after it.
    fn member(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let key = self.key()?;
        let value = match self.peek() {
            Some(b'=') => {
                self.skip(1);
                if self.peek() == Some(b'(') { self.inner_list()? } else { self.bare_item()? }
            }
            _ => Value::Boolean(true),
        };
        self.parameters()?;
        self.comma()?;
        Some((key, value))
    }

    /// One list member and the comma after it.
    fn list_member(&mut self) -> Option<()> {
        if self.peek() == Some(b'(') {
            self.inner_list()?
        } else {
            self.bare_item()?
        };
        self.parameters()?;
        self.comma()
    }

    /// The comma after a member, if another follows.
    fn comma(&mut self) -> Option<()> {
        self.blanks(true);
        if self.peek().is_some() {
            self.take(b',')?;
            self.blanks(true);
            // A trailing comma is an error.
            self.peek()?;
        }
        Some(())
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.peek().filter(|b| matches!(b, b'a'..=b'z' | b'*'))?;
        Some(self.run(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    /// Checked and dropped: parameters on directives are ignored (RFC 9213 §2.1).
    fn parameters(&mut self) -> Option<()> {
        while self.peek() == Some(b';') {
            self.skip(1);
            self.blanks(false);
            self.key()?;
            if self.peek() == Some(b'=') {
                self.skip(1);
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn inner_list(&mut self) -> Option<Value<'a>> {
        self.take(b'(')?;
        loop {
            self.blanks(false);
            if self.peek()? == b')' {
                self.skip(1);
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn bare_item(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.run(is_token);
                Some(Value::Other)
            }
            b'?' => {
                self.skip(1);
                let value = match self.peek()? {
                    b'0' => false,
                    b'1' => true,
                    _ => return None,
                };
                self.skip(1);
                Some(Value::Boolean(value))
            }
            b':' => {
                self.skip(1);
                self.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
                self.take(b':')?;
                Some(Value::Other)
            }
            _ => None,
        }
    }

    /// Integers have at most 15 digits, decimals at most 12 and 1 to 3 after the point (RFC 8941 §4.2.4).
    fn number(&mut self) -> Option<Value<'a>> {
        let negative = self.peek() == Some(b'-');
        if negative {
            self.skip(1);
        }
        let digits = self.run(|b| b.is_ascii_digit());
        if digits.is_empty() || digits.len() > 15 {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.skip(1);
            let fraction = self.run(|b| b.is_ascii_digit());
            return (digits.len() <= 12 && (1..=3).contains(&fraction.len())).then_some(Value::Other);
        }
        let number = digits.iter().fold(0i64, |n, digit| n * 10 + i64::from(digit - b'0'));
        Some(Value::Integer(if negative { -number } else { number }))
    }

    fn text(&mut self) -> Option<Value<'a>> {
        self.take(b'"')?;
        let text = self.rest;
        let mut at = 0;
        loop {
            match *text.get(at)? {
                b'"' => break,
                b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 2,
                b'\\' => return None,
                0x20..=0x7e => at += 1,
                _ => return None,
            }
        }
        self.skip(at + 1);
        Some(Value::Text(&text[..at]))
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !accept(*b)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn blanks(&mut self, tabs: bool) {
        self.run(|b| b == b' ' || (tabs && b == b'\t'));
    }
}

/// The bytes of a Structured Fields token after its first (RFC 8941 §3.3.4).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    fn read(lines: &[&str]) -> Option<CacheControl> {
        parse(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn what_is_a_list() {
        // RFC 8941 §3.1
        for (line, want) in [
            ("", true),
            ("a", true),
            ("Shield; hit; ttl=1, \"b c\";key=\"x,y\"", true),
            ("Shield ; hit", false),
            ("(a b);c, 1.5", true),
            ("HIT from cache", false),
            ("a; B=1", false),
            ("a,", false),
            ("a,,b", false),
            ("a;", false),
            ("\"open", false),
            ("1st; hit", false),
            ("K\u{f6}ln; hit", false),
        ] {
            assert_eq!(is_list(line.as_bytes()), want, "{line}");
        }
    }

    #[test]
    fn what_is_a_dictionary() {
        // RFC 9213 §2.1, RFC 8941 §3.2: (lines, max_age or None when the field is ignored)
        let table: &[(&[&str], Option<Option<u32>>)] = &[
            (&[], None),
            (&[""], None),
            (&["  "], None),
            (&["max-age=60"], Some(Some(60))),
            (&["foo, max-age=60"], Some(Some(60))),
            (&["max-age=60 ,\tfoo=bar;p=1;q, b=(1 \"x\";y=?0 z)"], Some(Some(60))),
            (&["x=:YWJj:, y=-1.25, z=?1, max-age=1"], Some(Some(1))),
            (&["foo"], Some(None)),
            // Lines are members of one dictionary; the last of a key counts.
            (&["max-age=60", "max-age=5"], Some(Some(5))),
            (&["", "max-age=5"], Some(Some(5))),
            // Values of another type: the field counts, its age is 0.
            (&["max-age=\"60\""], Some(Some(0))),
            (&["max-age=60.5"], Some(Some(0))),
            (&["max-age"], Some(Some(0))),
            (&["max-age=-5"], Some(Some(0))),
            (&["max-age=999999999999999"], Some(Some(MAX_DELTA))),
            // Not a dictionary: ignored whole.
            (&["Max-Age=60"], None),
            (&["max-age=60,"], None),
            (&["max-age=60,,foo"], None),
            (&["max-age=60, &&&"], None),
            (&["max-age =60"], None),
            (&["max-age= 60"], None),
            (&["max-age=60 foo"], None),
            (&["max-age=1000000000000000"], None),
            (&["max-age=60, x=@123"], None),
            (&["max-age=60, x=\"a"], None),
            (&["max-age=60, x=\"\\a\""], None),
            (&["max-age=60, x=(1"], None),
            (&["max-age=60, x=(1\"a\")"], None),
            (&["max-age=60, x=1."], None),
            (&["max-age=60, x=?2"], None),
            (&["max-age=60", "&"], None),
        ];
        for (lines, want) in table {
            assert_eq!(read(lines).map(|control| control.max_age), *want, "{lines:?}");
        }
    }

    #[test]
    fn directives_take_their_types() {
        let control = read(&["no-store=?0, private=\"a, b\", no-cache, public, immutable=1, must-revalidate"]).unwrap();
        let want = CacheControl {
            private: Reach::Fields(vec![HeaderName::from_static("a"), HeaderName::from_static("b")]),
            no_cache: Reach::Whole,
            public: true,
            must_revalidate: true,
            ..CacheControl::default()
        };
        assert_eq!(control, want);
        assert!(read(&["no-store=7"]).unwrap().no_store);
        assert!(!read(&["no-store, no-store=?0"]).unwrap().no_store);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let control = parse([line.as_slice()].into_iter());
            prop_assert!(control.is_none_or(|c| c.max_age.is_none_or(|s| s <= MAX_DELTA)));
        }

        #[test]
        fn written_ages_are_read(age in 0u32..1_000_000_000, key in "[a-z][a-z0-9]{0,8}") {
            let line = format!("{key}=tok, max-age={age};x=1");
            prop_assert_eq!(read(&[&line]).and_then(|c| c.max_age), Some(age));
        }
    }
}
