//! Json: JSON text ↔ values of a template.
//!
//! In: a body's text, or a value. Out: a value that keeps the order of keys and Java's numbers, or compact JSON. Never: more levels
//! than a template can print.

use std::fmt::Write as _;

use super::VtlError;
use super::limits::Budget;
use super::number::Number;
use super::value::{Heap, MAX_LEVELS, Map, Value};

struct Reader<'t> {
    text: &'t str,
    position: usize,
}

/// Reads one JSON value and nothing behind it. Errors: `Body` with where and what, `Work` for more values than a template can look at.
pub(super) fn read(heap: &mut Heap, budget: &mut Budget, text: &str) -> Result<Value, VtlError> {
    let mut reader = Reader { text, position: 0 };
    let value = reader.value(heap, budget, 0)?;
    reader.space();
    if reader.position < text.len() { Err(reader.wrong()) } else { Ok(value) }
}

// === impl Reader ===
impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.position += text.len();
        }
        found
    }

    fn wrong(&self) -> VtlError {
        VtlError::Body(match self.rest().chars().next() {
            Some(c) => format!("Unexpected character ('{}') at byte {}", c.escape_debug(), self.position),
            None => "Unexpected end-of-input".to_owned(),
        })
    }

    fn value(&mut self, heap: &mut Heap, budget: &mut Budget, level: usize) -> Result<Value, VtlError> {
        if level > MAX_LEVELS {
            return Err(VtlError::Body(format!("more than {MAX_LEVELS} levels at byte {}", self.position)));
        }
        budget.step(1)?;
        self.space();
        match self.rest().as_bytes().first() {
            Some(b'{') => self.map(heap, budget, level),
            Some(b'[') => self.list(heap, budget, level),
            Some(b'"') => Ok(Value::text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for (text, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
                {
                    if self.eat(text) {
                        return Ok(value);
                    }
                }
                Err(self.wrong())
            }
        }
    }

    fn map(&mut self, heap: &mut Heap, budget: &mut Budget, level: usize) -> Result<Value, VtlError> {
        self.position += 1;
        let mut map = Map::default();
        self.space();
        if !self.eat("}") {
            loop {
                self.space();
                if !self.rest().starts_with('"') {
                    return Err(self.wrong());
                }
                let key = self.string()?;
                self.space();
                if !self.eat(":") {
                    return Err(self.wrong());
                }
                map.put(key.into(), self.value(heap, budget, level + 1)?);
                self.space();
                if self.eat("}") {
                    break;
                }
                if !self.eat(",") {
                    return Err(self.wrong());
                }
            }
        }
        Ok(heap.map(map))
    }

    fn list(&mut self, heap: &mut Heap, budget: &mut Budget, level: usize) -> Result<Value, VtlError> {
        self.position += 1;
        let mut items = Vec::new();
        self.space();
        if !self.eat("]") {
            loop {
                items.push(self.value(heap, budget, level + 1)?);
                self.space();
                if self.eat("]") {
                    break;
                }
                if !self.eat(",") {
                    return Err(self.wrong());
                }
            }
        }
        Ok(heap.list(items, true))
    }

    fn number(&mut self) -> Result<Value, VtlError> {
        let rest = self.rest();
        let length = rest.bytes().take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')).count();
        let text = &rest[..length];
        // serde_json knows JSON's grammar for numbers; the value is Java's.
        let number = serde_json::from_str::<serde::de::IgnoredAny>(text).ok().and_then(|_| Number::read(text));
        let Some(number) = number else { return Err(self.wrong()) };
        self.position += length;
        Ok(Value::Number(number))
    }

    fn string(&mut self) -> Result<String, VtlError> {
        let bytes = self.text.as_bytes();
        let start = self.position;
        let mut end = start + 1;
        let mut plain = true;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    plain = false;
                    end += 2;
                }
                Some(_) => end += 1,
                None => {
                    self.position = self.text.len();
                    return Err(self.wrong());
                }
            }
        }
        let quoted = self.text.get(start..=end).unwrap_or_default();
        if plain && !quoted.bytes().any(|b| b < 0x20) {
            self.position = end + 1;
            return Ok(quoted[1..quoted.len() - 1].to_owned());
        }
        let text = serde_json::from_str(quoted).map_err(|_| self.wrong())?;
        self.position = end + 1;
        Ok(text)
    }
}

/// Writes a value as JSON: no blanks, texts with JSON's own escapes only.
pub(super) fn write(heap: &Heap, value: &Value, budget: &mut Budget, out: &mut String) -> Result<(), VtlError> {
    let before = out.len();
    write_at(heap, value, budget, out, 0)?;
    budget.made_since(out, before)
}

/// The same, already this many levels deep.
pub(super) fn write_at(
    heap: &Heap,
    value: &Value,
    budget: &mut Budget,
    out: &mut String,
    level: usize,
) -> Result<(), VtlError> {
    if level > MAX_LEVELS {
        return Err(VtlError::Depth);
    }
    budget.step(1)?;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Value::Number(number) => drop(write!(out, "{number}")),
        Value::Text(text) => quote(text, out),
        Value::List(id) => {
            out.push('[');
            for (n, item) in heap.lists[*id].items.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                write_at(heap, item, budget, out, level + 1)?;
            }
            out.push(']');
        }
        Value::Map(id) => {
            out.push('{');
            for (n, (key, item)) in heap.maps[*id].entries().iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                quote(key, out);
                out.push(':');
                write_at(heap, item, budget, out, level + 1)?;
            }
            out.push('}');
        }
        Value::Entry(entry) => {
            out.push('{');
            quote(&entry.0, out);
            out.push(':');
            write_at(heap, &entry.1, budget, out, level + 1)?;
            out.push('}');
        }
        Value::Missing | Value::Block(_) | Value::Input | Value::Util | Value::Loop(_) => out.push_str("\"\""),
    }
    budget.grown(out)
}

fn quote(text: &str, out: &mut String) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
