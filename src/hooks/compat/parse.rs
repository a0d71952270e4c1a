//! Parse: a function's result, read once, borrowed where it can be.
//!
//! In: JSON text. Out: typed members that remember what they were instead of what was wanted, so that an error names the
//! member. Never: a judgement; an unknown member is skipped.

use std::borrow::Cow;
use std::fmt;

/// Members an object or list may have: above the parameters of the longest query string.
const MEMBERS_MAX: usize = 32 << 10;
/// Members and elements of a whole result, however they are nested: a parameter of that query string, its value, and twice that beside them.
const VALUES_MAX: usize = 4 * MEMBERS_MAX;
/// Objects and lists within one another.
const DEPTH_MAX: usize = 64;

/// Bytes that end a run of plain characters in a string.
const STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let mut b = 0;
    while b < 0x20 {
        stops[b] = true;
        b += 1;
    }
    stops[b'"' as usize] = true;
    stops[b'\\' as usize] = true;
    stops
};

/// Any JSON value.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Node<'a> {
    /// There is no such member.
    #[default]
    Absent,
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// An object whose members' names are the message's: fields, query parameters, cookies.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Map<'a, T> {
    #[default]
    Absent,
    Null,
    /// A string where an object was due: CloudFront takes one for a query string.
    Text(Cow<'a, str>),
    /// Neither.
    Wrong,
    Members(Vec<(Cow<'a, str>, T)>),
}

/// What Lambda@Edge's events have under a field's name: `[{"key", "value"}]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Lines<'a> {
    /// Most fields have one line: no list is made for it.
    One(Line<'a>),
    List(Vec<Line<'a>>),
    Wrong,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line<'a> {
    pub key: Node<'a>,
    pub value: Node<'a>,
}

/// What CloudFront Functions' events have under a name: `{"value", "attributes", "multiValue"}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member<'a> {
    pub value: Node<'a>,
    pub attributes: Node<'a>,
    pub multi: Node<'a>,
    /// It is no object.
    pub wrong: bool,
}

// === impl Node ===
impl<'a> Node<'a> {
    /// Neither absent nor null.
    pub fn given(&self) -> bool {
        !matches!(self, Node::Absent | Node::Null)
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> &Node<'a> {
        const ABSENT: &Node<'static> = &Node::Absent;
        match self {
            Node::Object(members) => members.iter().rev().find(|(key, _)| key == name).map_or(ABSENT, |(_, node)| node),
            _ => ABSENT,
        }
    }

    /// What it is, for an error.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Absent => "absent",
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::Text(_) => "a string",
            Node::List(_) => "an array",
            Node::Object(_) => "an object",
        }
    }
}

const TOO_MANY: &str = "more members than a message has room for";

/// Why text is no JSON, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    what: &'static str,
    at: usize,
}

/// Where reading is.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Members and elements that were read.
    values: usize,
}

/// What an object's member is made of.
pub trait Read<'a>: Sized {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw>;
}

// === impl Flaw ===
impl Flaw {
    /// Whether it is JSON, and more of it than is read.
    pub fn is_bound(&self) -> bool {
        self.what == TOO_MANY
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

// === impl Reader ===
impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Reader { text, at: 0, depth: 0, values: 0 }
    }

    /// Nothing but space is left.
    pub fn end(&mut self) -> Result<(), Flaw> {
        if self.peek() == 0 && self.at >= self.text.len() { Ok(()) } else { Err(self.flaw("more than one value")) }
    }

    /// The next byte that is no space; 0 at the end, which begins no value either.
    pub fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or_default()
    }

    /// An object, its members one by one. Of a name given twice the last is what the caller keeps, as in JavaScript.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Flaw>) -> Result<(), Flaw> {
        self.sequence(b'{', b'}', |reader| {
            if reader.peek() != b'"' {
                return Err(reader.flaw("a name is missing"));
            }
            let name = reader.string()?;
            if reader.peek() != b':' {
                return Err(reader.flaw("a colon is missing"));
            }
            reader.at += 1;
            member(reader, name)
        })
    }

    /// Reads past a value that nobody asks for: nothing is kept of it.
    pub fn skip(&mut self) -> Result<(), Flaw> {
        match self.peek() {
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.list(Reader::skip),
            _ => Node::read(self).map(drop),
        }
    }

    fn list(&mut self, element: impl FnMut(&mut Self) -> Result<(), Flaw>) -> Result<(), Flaw> {
        self.sequence(b'[', b']', element)
    }

    fn sequence(
        &mut self,
        open: u8,
        close: u8,
        mut one: impl FnMut(&mut Self) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        if self.peek() != open {
            return Err(self.flaw("another kind of value"));
        }
        if self.depth == DEPTH_MAX {
            return Err(self.flaw("nested too deeply"));
        }
        self.at += 1;
        self.depth += 1;
        let mut count = 0;
        while self.peek() != close || count > 0 {
            if count == MEMBERS_MAX || self.values == VALUES_MAX {
                return Err(self.flaw(TOO_MANY));
            }
            self.values += 1;
            one(self)?;
            count += 1;
            match self.peek() {
                b',' => self.at += 1,
                b if b == close => break,
                _ => return Err(self.flaw("a comma is missing")),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// A string, borrowed unless it has escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, Flaw> {
        self.at += 1;
        let from = self.at;
        let end = self.plain()?;
        if self.text.as_bytes()[end] == b'"' {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[from..end]));
        }
        let mut out = String::from(&self.text[from..end]);
        self.at = end;
        loop {
            let from = self.at;
            let end = self.plain()?;
            out.push_str(&self.text[from..end]);
            self.at = end + 1;
            if self.text.as_bytes()[end] == b'"' {
                return Ok(Cow::Owned(out));
            }
            out.push(self.escape()?);
        }
    }

    /// Where the run of plain characters from here ends: at a quote or a backslash.
    fn plain(&self) -> Result<usize, Flaw> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while let Some(b) = bytes.get(at) {
            if STOPS[usize::from(*b)] {
                break;
            }
            at += 1;
        }
        match bytes.get(at) {
            Some(b'"' | b'\\') => Ok(at),
            Some(_) => Err(Flaw { what: "a control character in a string", at }),
            None => Err(Flaw { what: "the end within a string", at }),
        }
    }

    /// The character behind a backslash. Half a surrogate pair is U+FFFD, as where JavaScript leaves its strings.
    fn escape(&mut self) -> Result<char, Flaw> {
        let b = self.text.as_bytes().get(self.at).copied().unwrap_or_default();
        self.at += 1;
        Ok(match b {
            b'"' | b'\\' | b'/' => char::from(b),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                let low = || self.text.get(self.at..self.at + 2).is_some_and(|next| next == "\\u");
                if (0xd800..0xdc00).contains(&unit) && low() {
                    let back = self.at;
                    self.at += 2;
                    let low = self.unit()?;
                    if (0xdc00..0xe000).contains(&low) {
                        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = back;
                }
                char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.flaw("an unknown escape")),
        })
    }

    fn unit(&mut self) -> Result<u32, Flaw> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        unit.ok_or_else(|| self.flaw("an unknown escape"))
    }

    /// RFC 8259 §6.
    fn number(&mut self) -> Result<f64, Flaw> {
        let from = self.at;
        let rest = &self.text.as_bytes()[from..];
        let len = rest.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
        let text = &self.text[from..from + len];
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, rest) = digits.split_at(digits.bytes().take_while(u8::is_ascii_digit).count());
        let fraction = rest.strip_prefix('.').map(|rest| rest.split(['e', 'E']).next().unwrap_or_default());
        let well = !whole.is_empty()
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        self.at += len;
        match text.parse::<f64>() {
            Ok(number) if well && number.is_finite() => Ok(number),
            _ => Err(self.flaw("a number that is none")),
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, Flaw> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(node);
        }
        Err(self.flaw("an unknown word"))
    }

    fn flaw(&self, what: &'static str) -> Flaw {
        Flaw { what, at: self.at.min(self.text.len()) }
    }
}

impl<'a> Read<'a> for Node<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        match reader.peek() {
            b'"' => reader.string().map(Node::Text),
            b'{' => {
                let mut members = Vec::new();
                reader.object(|reader, name| {
                    members.push((name, Node::read(reader)?));
                    Ok(())
                })?;
                Ok(Node::Object(members))
            }
            b'[' => {
                let mut nodes = Vec::new();
                reader.list(|reader| {
                    nodes.push(Node::read(reader)?);
                    Ok(())
                })?;
                Ok(Node::List(nodes))
            }
            b'n' => reader.word("null", Node::Null),
            b't' => reader.word("true", Node::Bool(true)),
            b'f' => reader.word("false", Node::Bool(false)),
            b'-' | b'0'..=b'9' => reader.number().map(Node::Number),
            _ => Err(reader.flaw("a value is missing")),
        }
    }
}

impl<'a, T: Read<'a>> Read<'a> for Map<'a, T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        if reader.peek() == b'{' {
            let mut members = Vec::with_capacity(24);
            reader.object(|reader, name| {
                members.push((name, T::read(reader)?));
                Ok(())
            })?;
            return Ok(Map::Members(members));
        }
        Ok(match Node::read(reader)? {
            Node::Text(text) => Map::Text(text),
            Node::Null => Map::Null,
            _ => Map::Wrong,
        })
    }
}

impl<'a> Read<'a> for Lines<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        if reader.peek() != b'[' {
            return reader.skip().map(|()| Lines::Wrong);
        }
        let mut lines = Lines::List(Vec::new());
        reader.list(|reader| {
            let line = Line::read(reader)?;
            match &mut lines {
                Lines::List(list) if list.is_empty() => lines = Lines::One(line),
                Lines::List(list) => list.push(line),
                Lines::One(first) => lines = Lines::List(vec![std::mem::take(first), line]),
                Lines::Wrong => {}
            }
            Ok(())
        })?;
        Ok(lines)
    }
}

impl<'a> Read<'a> for Line<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        let mut line = Line::default();
        if reader.peek() != b'{' {
            return reader.skip().map(|()| line);
        }
        reader.object(|reader, name| {
            match &*name {
                "key" => line.key = Node::read(reader)?,
                "value" => line.value = Node::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(line)
    }
}

impl<'a> Read<'a> for Member<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        let mut member = Member::default();
        if reader.peek() != b'{' {
            member.wrong = true;
            return reader.skip().map(|()| member);
        }
        reader.object(|reader, name| {
            match &*name {
                "value" => member.value = Node::read(reader)?,
                "attributes" => member.attributes = Node::read(reader)?,
                "multiValue" => member.multi = Node::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(member)
    }
}

// === impl Lines ===
impl<'a> Lines<'a> {
    /// `None`: it is no list.
    pub fn list(&self) -> Option<&[Line<'a>]> {
        match self {
            Lines::One(line) => Some(std::slice::from_ref(line)),
            Lines::List(list) => Some(list),
            Lines::Wrong => None,
        }
    }
}

#[cfg(test)]
mod tests;
