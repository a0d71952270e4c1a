//! Flat: the JSON that most tokens hold, taken apart where it stands.
//!
//! In: text. Out: where the members of its object are, or that it is another kind of JSON, or none. Never: an escape, an object in
//! an object, a fraction, white space within a list, a member twice: what is not as simple as that is read by serde_json. So every value
//! stands there as serde_json prints it.

use std::ops::Range;

use smallvec::SmallVec;

/// Digits of a number that every reader of JSON takes for the same.
const DIGITS_MAX: usize = 15;
/// Members that are sorted in place.
const INLINE: usize = 24;

/// Where a member is in its text.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    name: (u16, u16),
    value: (u16, u16),
}

/// Reads on.
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

/// The members of a flat object (RFC 8259 §4), by name: text and names with nothing escaped, whole numbers of at most 15 digits,
/// booleans, null, lists of text without white space. `None` = anything else, also what is no JSON.
pub fn members(text: &str) -> Option<Box<[Member]>> {
    u16::try_from(text.len()).ok()?;
    let mut cursor = Cursor { text: text.as_bytes(), at: 0 };
    let mut members: SmallVec<[Member; INLINE]> = SmallVec::new();
    cursor.object(|cursor| {
        let name = cursor.string()?;
        cursor.blank();
        cursor.byte(b':')?;
        cursor.blank();
        let value = cursor.value()?;
        members.push(Member { name: short(&(name.start + 1..name.end - 1)), value: short(&value) });
        Some(())
    })?;
    if cursor.at < text.len() {
        return None;
    }
    members.sort_unstable_by(|left, right| left.name(text).cmp(right.name(text)));
    let unique = members.windows(2).all(|two| two[0].name(text) != two[1].name(text));
    unique.then(|| members.into_vec().into_boxed_slice())
}

/// What is between quotes in a flat list of text.
pub fn quoted(list: &str) -> impl Iterator<Item = &str> {
    list.split('"').skip(1).step_by(2)
}

/// Of a text whose length was checked.
fn short(range: &Range<usize>) -> (u16, u16) {
    (range.start as u16, range.end as u16)
}

// === impl Member ===
impl Member {
    pub fn name(self, text: &str) -> &str {
        text.get(usize::from(self.name.0)..usize::from(self.name.1)).unwrap_or_default()
    }

    /// As it stands.
    pub fn value(self, text: &str) -> &str {
        text.get(usize::from(self.value.0)..usize::from(self.value.1)).unwrap_or_default()
    }
}

// === impl Cursor ===
impl Cursor<'_> {
    /// What is between braces, with commas, and the white space around all of it.
    fn object(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.blank();
        self.byte(b'{')?;
        self.blank();
        if self.byte(b'}').is_none() {
            loop {
                member(self)?;
                self.blank();
                if self.byte(b'}').is_some() {
                    break;
                }
                self.byte(b',')?;
                self.blank();
            }
        }
        self.blank();
        Some(())
    }

    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        match self.text.get(start)? {
            b'"' => return self.string(),
            b'[' => self.list()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        Some(start..self.at)
    }

    fn list(&mut self) -> Option<()> {
        self.byte(b'[')?;
        if self.byte(b']').is_some() {
            return Some(());
        }
        loop {
            self.string()?;
            if self.byte(b']').is_some() {
                return Some(());
            }
            self.byte(b',')?;
        }
    }

    /// With its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.byte(b'"')?;
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        self.at += len;
        self.byte(b'"')?;
        Some(start..self.at)
    }

    /// RFC 8259 §6, without fraction and exponent: what follows a value is looked at by who comes next. -0 is left to others.
    fn number(&mut self) -> Option<()> {
        let negative = self.byte(b'-').is_some();
        let rest = &self.text[self.at..];
        let digits = rest.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        match rest.first()? {
            b'0' => (digits == 1 && !negative).then_some(()),
            b'1'..=b'9' => (digits <= DIGITS_MAX).then_some(()),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.text.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }
}
