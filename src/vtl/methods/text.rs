//! Text: the methods of `java.lang.String`, and its regular expressions.
//!
//! In: text, arguments. Out: what Java returns. Never: patterns that can take forever: no look-around and no back-references, which
//! are refused with their name; indices count UTF-16 units as Java's do.

use std::sync::Arc;

use regex::Regex;

use crate::vtl::VtlError;
use crate::vtl::number::Number;
use crate::vtl::render::Machine;
use crate::vtl::syntax::At;
use crate::vtl::value::Value;

/// Bytes that one compiled pattern may take.
const PATTERN_SIZE: usize = 256 * 1024;

/// Different patterns of one rendering.
const PATTERNS: usize = 64;

// === impl Machine ===
impl Machine<'_> {
    pub(super) fn call_text(
        &mut self,
        text: &Arc<str>,
        name: &str,
        arguments: &[Value],
        at: At,
    ) -> Result<Value, VtlError> {
        self.budget.step(text.len() / 64)?;
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            // What is null, or no text where Java wants one, has no method to be called.
            if argument.is_null() {
                return Ok(Value::Null);
            }
            texts.push(self.text(argument)?);
        }
        let number = |n: usize| arguments.get(n).and_then(Self::as_int);
        let made = match (name, texts.as_slice()) {
            ("length", []) => return Ok(Value::int(units(text))),
            ("isEmpty", []) => return Ok(Value::Bool(text.is_empty())),
            ("contains", [part]) => return Ok(Value::Bool(text.contains(&**part))),
            ("startsWith", [part]) => return Ok(Value::Bool(text.starts_with(&**part))),
            ("endsWith", [part]) => return Ok(Value::Bool(text.ends_with(&**part))),
            ("equalsIgnoreCase", [other]) => return Ok(Value::Bool(text.to_lowercase() == other.to_lowercase())),
            ("compareTo", [other]) => return Ok(Value::Number(Number::Int(compare(text, other)))),
            ("matches", [pattern]) => {
                let pattern = self.pattern(&format!("^(?:{pattern})$"), at)?;
                return Ok(Value::Bool(pattern.is_match(text)));
            }
            ("indexOf" | "lastIndexOf", [part]) => {
                let found = if name == "indexOf" { text.find(&**part) } else { text.rfind(&**part) };
                return Ok(found.map_or(Value::Number(Number::Int(-1)), |place| Value::int(units(&text[..place]))));
            }
            ("indexOf", [part, _]) => {
                let from = usize::try_from(number(1).unwrap_or(0)).unwrap_or(0);
                let from = byte(text, from).unwrap_or(text.len());
                let found = text[from..].find(&**part).map(|place| Value::int(units(&text[..from + place])));
                return Ok(found.unwrap_or(Value::Number(Number::Int(-1))));
            }
            ("charAt", [_]) => {
                let Some(index) = number(0) else { return Ok(Value::Null) };
                return self.part(text, index, index.saturating_add(1), at);
            }
            ("substring" | "subSequence", [_] | [_, _]) => {
                let Some(from) = number(0) else { return Ok(Value::Null) };
                let to = if texts.len() == 2 { number(1) } else { i64::try_from(units(text)).ok() };
                let Some(to) = to else { return Ok(Value::Null) };
                return self.part(text, from, to, at);
            }
            ("split", [pattern] | [pattern, _]) => {
                let limit = if texts.len() == 2 { number(1).unwrap_or(0) } else { 0 };
                return self.split(text, pattern, limit, at);
            }
            ("toCharArray", []) => {
                self.budget.step(text.len())?;
                let items = text.chars().map(|c| Value::text(c.to_string())).collect();
                return Ok(self.heap.list(items, false));
            }
            ("toLowerCase", []) => text.to_lowercase(),
            ("toUpperCase", []) => text.to_uppercase(),
            // Java's `trim` takes everything up to a space.
            ("trim", []) => text.trim_matches(|c| c <= ' ').to_owned(),
            ("strip", []) => text.trim().to_owned(),
            ("concat", [other]) => [&**text, &**other].concat(),
            ("replace", [from, to]) => {
                self.budget.make(growth(text, text.matches(&**from).count(), to))?;
                text.replace(&**from, to)
            }
            ("replaceAll" | "replaceFirst", [pattern, with]) => {
                let pattern = self.pattern(pattern, at)?;
                let with = replacement(with);
                let limit = if name == "replaceAll" { usize::MAX } else { 1 };
                let count = pattern.find_iter(text).take(limit).count();
                // A group may be as long as the text: what it could come to is bounded before it is made.
                let most = if with.contains('$') { text.len().saturating_mul(with.matches('$').count()) } else { 0 };
                self.budget.make(growth(text, count, &with).saturating_add(most))?;
                pattern.replacen(text, if limit == 1 { 1 } else { 0 }, with.as_str()).into_owned()
            }
            ("valueOf", [other]) => return Ok(Value::Text(Arc::clone(other))),
            ("join", [between, ..]) => {
                let items = match arguments.get(1) {
                    Some(Value::List(id)) => self.heap.lists[*id].items.clone(),
                    _ => arguments[1..].to_vec(),
                };
                let mut all = Vec::with_capacity(items.len());
                for item in &items {
                    all.push(self.text(item)?);
                    self.budget.make(between.len())?;
                }
                all.join(&**between)
            }
            ("repeat", [_]) => {
                let count = usize::try_from(number(0).unwrap_or(-1));
                let count = count.map_err(|_| VtlError::Call { at, message: "count is negative".to_owned() })?;
                self.budget.make(text.len().saturating_mul(count))?;
                text.repeat(count)
            }
            _ => return Ok(Value::Null),
        };
        self.budget.make(made.len())?;
        Ok(Value::text(made))
    }

    fn part(&mut self, text: &str, from: i64, to: i64, at: At) -> Result<Value, VtlError> {
        let place = |unit: i64| usize::try_from(unit).ok().and_then(|unit| byte(text, unit));
        let found = place(from).zip(place(to)).and_then(|(from, to)| text.get(from..to));
        let Some(found) = found else {
            let message = format!("begin {from}, end {to}, length {}", units(text));
            return Err(VtlError::Call { at, message });
        };
        self.budget.make(found.len())?;
        Ok(Value::text(found))
    }

    /// Java's: empty texts at the end are dropped when the limit is 0; one before the first character never is a part.
    fn split(&mut self, text: &str, pattern: &str, limit: i64, at: At) -> Result<Value, VtlError> {
        let pattern = self.pattern(pattern, at)?;
        let mut parts = Vec::new();
        let mut from = 0;
        for found in pattern.find_iter(text) {
            if limit > 0 && parts.len() as i64 == limit - 1 {
                break;
            }
            if found.end() == 0 || (found.is_empty() && found.end() == text.len()) {
                continue;
            }
            self.budget.step(1)?;
            parts.push(&text[from..found.start()]);
            from = found.end();
        }
        parts.push(&text[from..]);
        while limit == 0 && parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
        self.budget.make(text.len())?;
        let items = parts.into_iter().map(Value::text).collect();
        Ok(self.heap.list(items, false))
    }

    fn pattern(&mut self, pattern: &str, at: At) -> Result<Regex, VtlError> {
        if let Some(found) = self.patterns.get(pattern) {
            return Ok(found.clone());
        }
        if self.patterns.len() >= PATTERNS {
            return Err(VtlError::Work);
        }
        let made = regex::RegexBuilder::new(&java_pattern(pattern)).size_limit(PATTERN_SIZE).build();
        let made = made.map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            VtlError::Call { at, message: format!("pattern {pattern:?}: {reason}") }
        })?;
        self.patterns.insert(pattern.into(), made.clone());
        Ok(made)
    }
}

/// Length as Java counts it.
fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The byte where this UTF-16 unit is; the text's end counts.
fn byte(text: &str, unit: usize) -> Option<usize> {
    let mut at = 0;
    for (place, c) in text.char_indices() {
        if at >= unit {
            return (at == unit).then_some(place);
        }
        at += c.len_utf16();
    }
    (at == unit).then_some(text.len())
}

/// `String.compareTo`: the first difference, or that of the lengths.
fn compare(a: &str, b: &str) -> i64 {
    let differs = a.encode_utf16().zip(b.encode_utf16()).find(|(a, b)| a != b);
    match differs {
        Some((a, b)) => i64::from(a) - i64::from(b),
        None => units(a) as i64 - units(b) as i64,
    }
}

fn growth(text: &str, count: usize, with: &str) -> usize {
    text.len().saturating_add(count.saturating_mul(with.len()))
}

/// What Java's patterns may write that this engine's may not: an escape before a letter or sign that has no meaning.
fn java_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('Q') => {
                let rest = chars.as_str();
                let (literal, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                out.push_str(&regex::escape(literal));
                chars = after.chars();
            }
            Some(c) if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
            Some(c) if !c.is_ascii() || c == '\'' || c == '"' || c == '/' || c == ' ' || c == '`' => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

/// Java's replacement text: `$1`, `${name}`, and a backslash before a character that means itself.
fn replacement(with: &str) -> String {
    let mut out = String::with_capacity(with.len());
    let mut chars = with.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(c) => out.push(c),
                None => {}
            },
            '$' if chars.peek().is_some_and(char::is_ascii_digit) => {
                let digit = chars.next().unwrap_or('0');
                out.extend(['$', '{', digit, '}']);
            }
            c => out.push(c),
        }
    }
    out
}
