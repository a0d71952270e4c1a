//! Parse: a JSONPath's text → segments.
//!
//! In: text. Out: segments, or what is wrong with it. Never: values.

use std::sync::Arc;

use super::filter::{Compare, Filter, Operand};
use super::{Kind, Path, Segment};
use crate::vtl::limits::MAX_READ;
use crate::vtl::number::Number;
use crate::vtl::value::Value;

pub(super) struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

pub(super) fn path(text: &str) -> Result<Path, String> {
    let mut reader = Reader { rest: text.trim(), depth: 0 };
    if !reader.eat("$") && !reader.rest.is_empty() && !reader.rest.starts_with(['.', '[']) {
        return path(&format!("$.{}", text.trim()));
    }
    let segments = reader.segments()?;
    if reader.rest.is_empty() { Ok(Path { segments }) } else { Err(reader.wrong()) }
}

// === impl Reader ===
impl Reader<'_> {
    fn wrong(&self) -> String {
        match self.rest.is_empty() {
            true => "the path ends too early".to_owned(),
            false => format!("'{}' in a path", self.rest.chars().take(20).collect::<String>()),
        }
    }

    fn eat(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        self.space();
        if self.eat(text) { Ok(()) } else { Err(self.wrong()) }
    }

    fn segments(&mut self) -> Result<Vec<Segment>, String> {
        let mut segments = Vec::new();
        loop {
            let deep = self.eat("..");
            if deep && self.rest.is_empty() {
                return Err(self.wrong());
            }
            let kind = if self.rest.starts_with('[') {
                self.rest = &self.rest[1..];
                self.bracket()?
            } else if deep || self.eat(".") {
                self.name()?
            } else {
                return Ok(segments);
            };
            segments.push(Segment { deep, kind });
        }
    }

    fn name(&mut self) -> Result<Kind, String> {
        if self.eat("*") {
            return Ok(Kind::All);
        }
        let stops = ['.', '[', ']', '(', ')', ' ', ',', '=', '<', '>', '!', '&', '|', '~'];
        let name = &self.rest[..self.rest.find(stops).unwrap_or(self.rest.len())];
        if name.is_empty() {
            return Err(self.wrong());
        }
        self.rest = &self.rest[name.len()..];
        if self.eat("()") {
            return match name {
                "length" | "size" => Ok(Kind::Length),
                _ => Err(format!("paths have no function {name}()")),
            };
        }
        Ok(Kind::Key(name.into()))
    }

    /// What is between brackets, with the closing one.
    fn bracket(&mut self) -> Result<Kind, String> {
        self.space();
        let kind = if self.eat("*") {
            Kind::All
        } else if self.eat("?") {
            self.expect("(")?;
            let filter = self.either()?;
            self.expect(")")?;
            Kind::Filter(filter)
        } else if self.rest.starts_with(['\'', '"']) {
            let mut keys = vec![self.quoted()?];
            self.space();
            while self.eat(",") {
                self.space();
                keys.push(self.quoted()?);
                self.space();
            }
            if keys.len() == 1 { Kind::Key(keys.swap_remove(0)) } else { Kind::Keys(keys) }
        } else {
            self.places()?
        };
        self.expect("]")?;
        Ok(kind)
    }

    fn places(&mut self) -> Result<Kind, String> {
        let first = self.integer()?;
        self.space();
        if self.eat(":") {
            self.space();
            return Ok(Kind::Slice(first, self.integer()?));
        }
        let Some(first) = first else { return Err(self.wrong()) };
        let mut all = vec![first];
        while self.eat(",") {
            self.space();
            all.push(self.integer()?.ok_or_else(|| self.wrong())?);
            self.space();
        }
        Ok(if all.len() == 1 { Kind::Index(first) } else { Kind::Indices(all) })
    }

    fn integer(&mut self) -> Result<Option<i64>, String> {
        let length = self.rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'-').count();
        let (text, rest) = self.rest.split_at(length);
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse().map_err(|_| self.wrong())?;
        self.rest = rest;
        Ok(Some(number))
    }

    fn quoted(&mut self) -> Result<Arc<str>, String> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return Err(self.wrong());
        };
        let mut text = String::new();
        let mut chars = self.rest[1..].chars();
        while let Some(c) = chars.next() {
            if c == quote {
                self.rest = chars.as_str();
                return Ok(text.into());
            }
            text.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
        }
        Err("a string in the path has no end".to_owned())
    }

    fn either(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > MAX_READ {
            return Err("a filter nested too deep".to_owned());
        }
        let mut all = vec![self.both()?];
        self.space();
        while self.eat("||") {
            all.push(self.both()?);
            self.space();
        }
        self.depth -= 1;
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::Any(all) })
    }

    fn both(&mut self) -> Result<Filter, String> {
        let mut all = vec![self.one()?];
        self.space();
        while self.eat("&&") {
            all.push(self.one()?);
            self.space();
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::All(all) })
    }

    fn one(&mut self) -> Result<Filter, String> {
        self.space();
        if self.rest.starts_with('!') {
            self.rest = &self.rest[1..];
            self.depth += 1;
            if self.depth > MAX_READ {
                return Err("a filter nested too deep".to_owned());
            }
            let inner = self.one()?;
            self.depth -= 1;
            return Ok(Filter::Not(Box::new(inner)));
        }
        if self.eat("(") {
            let inner = self.either()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let left = self.operand()?;
        self.space();
        let operators = [
            ("==", Compare::Equal),
            ("!=", Compare::NotEqual),
            ("<=", Compare::LessEqual),
            (">=", Compare::GreaterEqual),
            ("=~", Compare::Matches),
            ("<", Compare::Less),
            (">", Compare::Greater),
            ("in ", Compare::In),
            ("nin ", Compare::NotIn),
        ];
        for (text, operator) in operators {
            if !self.eat(text) {
                continue;
            }
            self.space();
            let right = if operator == Compare::Matches { self.pattern()? } else { self.operand()? };
            return Ok(Filter::Compare(left, operator, right));
        }
        match left {
            Operand::Path(path) => Ok(Filter::Exists(path)),
            _ => Err(self.wrong()),
        }
    }

    /// `/text/`, with `i` for any case.
    fn pattern(&mut self) -> Result<Operand, String> {
        let Some(inner) = self.rest.strip_prefix('/') else { return Err(self.wrong()) };
        let mut escaped = false;
        let end = inner.find(|c: char| {
            let found = c == '/' && !escaped;
            escaped = c == '\\' && !escaped;
            found
        });
        let Some(end) = end else { return Err("a pattern in the path has no end".to_owned()) };
        self.rest = &inner[end + 1..];
        let caseless = self.eat("i");
        let text = format!("^(?:{})$", inner[..end].replace("\\/", "/"));
        let pattern = regex::RegexBuilder::new(&text).case_insensitive(caseless).size_limit(1 << 20).build();
        pattern.map(Operand::Pattern).map_err(|_| format!("/{}/ is no pattern", &inner[..end]))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.rest.starts_with('@') {
            self.rest = &self.rest[1..];
            return Ok(Operand::Path(Path { segments: self.segments()? }));
        }
        if self.rest.starts_with(['\'', '"']) {
            return Ok(Operand::Value(Value::Text(self.quoted()?)));
        }
        if self.eat("[") {
            let mut all = Vec::new();
            loop {
                self.space();
                if self.eat("]") {
                    return Ok(Operand::Values(all));
                }
                let Operand::Value(value) = self.operand()? else { return Err(self.wrong()) };
                all.push(value);
                self.space();
                self.eat(",");
            }
        }
        for (text, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
            if self.eat(text) {
                return Ok(Operand::Value(value));
            }
        }
        let length = self.rest.bytes().take_while(|b| b.is_ascii_digit() || b"+-.eE".contains(b)).count();
        let number = Number::read(&self.rest[..length]).ok_or_else(|| self.wrong())?;
        self.rest = &self.rest[length..];
        Ok(Operand::Value(Value::Number(number)))
    }
}
