//! Expression: what stands in the parentheses of `#set`, `#if`, `#foreach` and of calls.
//!
//! In: a cursor before an expression. Out: its tree; binding as in Java. Never: values.

use std::sync::Arc;

use super::Parser;
use crate::vtl::VtlError;
use crate::vtl::number::Number;
use crate::vtl::syntax::{Expression, Operator};

/// Operators by how tightly they bind, loosest first; longer ones before those that they begin with.
const LEVELS: &[&[(&str, Operator)]] = &[
    &[("||", Operator::Or), ("or", Operator::Or)],
    &[("&&", Operator::And), ("and", Operator::And)],
    &[("==", Operator::Equal), ("eq", Operator::Equal), ("!=", Operator::NotEqual), ("ne", Operator::NotEqual)],
    &[
        ("<=", Operator::LessEqual),
        ("le", Operator::LessEqual),
        (">=", Operator::GreaterEqual),
        ("ge", Operator::GreaterEqual),
        ("<", Operator::Less),
        ("lt", Operator::Less),
        (">", Operator::Greater),
        ("gt", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

// === impl Parser ===
impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expression, VtlError> {
        self.deeper(|parser| parser.level(0))
    }

    pub(super) fn expect(&mut self, text: &str) -> Result<(), VtlError> {
        self.cursor.space();
        if self.cursor.eat(text) { Ok(()) } else { Err(self.error(format!("expected '{text}'{}", self.found()))) }
    }

    fn found(&self) -> String {
        self.cursor.peek().map_or_else(|| ", found the end".to_owned(), |c| format!(", found '{}'", c.escape_debug()))
    }

    fn level(&mut self, level: usize) -> Result<Expression, VtlError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let first = self.level(level + 1)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator(operators) {
            rest.push((operator, self.level(level + 1)?));
        }
        Ok(if rest.is_empty() { first } else { Expression::Chain(Box::new(first), rest) })
    }

    fn operator(&mut self, operators: &[(&str, Operator)]) -> Option<Operator> {
        self.cursor.space();
        let rest = self.cursor.rest();
        let (text, operator) = operators.iter().find(|(text, _)| {
            rest.strip_prefix(text).is_some_and(|after| !is_word(text) || !after.starts_with(word_part))
        })?;
        self.cursor.skip(text.len());
        Some(*operator)
    }

    fn unary(&mut self) -> Result<Expression, VtlError> {
        self.cursor.space();
        let rest = self.cursor.rest();
        let word = rest.strip_prefix("not").is_some_and(|after| !after.starts_with(word_part));
        if word || rest.starts_with('!') {
            self.cursor.skip(if word { 3 } else { 1 });
            return Ok(Expression::Not(Box::new(self.deeper(Self::unary)?)));
        }
        self.primary()
    }

    pub(super) fn primary(&mut self) -> Result<Expression, VtlError> {
        self.cursor.space();
        let at = self.cursor.at();
        match self.cursor.peek() {
            Some('$') => match self.reference(0)? {
                Some(reference) => Ok(Expression::Reference(Box::new(reference))),
                None => Err(Self::error_at(at, "expected a name after '$'")),
            },
            Some(quote @ ('"' | '\'')) => self.string(quote),
            Some('[') => self.list(),
            Some('{') => self.map(),
            Some('(') => {
                self.cursor.bump();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(c) if c.is_ascii_digit() || c == '-' || c == '.' => self.number(),
            _ => {
                for (text, value) in [("true", true), ("false", false)] {
                    if self.cursor.rest().strip_prefix(text).is_some_and(|after| !after.starts_with(word_part)) {
                        self.cursor.skip(text.len());
                        return Ok(Expression::Bool(value));
                    }
                }
                Err(self.error(format!("expected a value{}", self.found())))
            }
        }
    }

    /// `-1`, `1.5`, `.5`, `1e3`; the dots of `1..3` are no part of it.
    fn number(&mut self) -> Result<Expression, VtlError> {
        let rest = self.cursor.rest();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let sign = usize::from(rest.starts_with('-'));
        let mut length = sign + digits(&rest[sign..]);
        if rest[length..].starts_with('.') && !rest[length..].starts_with("..") {
            length += 1 + digits(&rest[length + 1..]);
        }
        if rest[length..].starts_with(['e', 'E']) {
            let signed = usize::from(rest[length + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[length + 1 + signed..]);
            if exponent > 0 {
                length += 1 + signed + exponent;
            }
        }
        let text = &rest[..length];
        let number = text.bytes().any(|b| b.is_ascii_digit()).then(|| Number::read(text)).flatten();
        let Some(number) = number else { return Err(self.error(format!("expected a value{}", self.found()))) };
        self.cursor.skip(length);
        Ok(Expression::Number(number))
    }

    /// A quote within a string is written twice; a backslash is a backslash.
    fn string(&mut self, quote: char) -> Result<Expression, VtlError> {
        let at = self.cursor.at();
        self.cursor.bump();
        let mut text = String::new();
        loop {
            text.push_str(self.cursor.until([quote]));
            if self.cursor.peek().is_none() {
                return Err(Self::error_at(at, "this string has no end"));
            }
            self.cursor.bump();
            if self.cursor.peek() != Some(quote) {
                break;
            }
            self.cursor.bump();
            text.push(quote);
        }
        if quote == '\'' {
            return Ok(Expression::Text(text.into()));
        }
        let text = unescape_unicode(&text);
        if !text.contains(['$', '#']) {
            return Ok(Expression::Text(text));
        }
        Ok(Expression::Interpolated(self.inner(&text, at)?))
    }

    fn list(&mut self) -> Result<Expression, VtlError> {
        self.cursor.bump();
        self.cursor.space();
        if self.cursor.eat("]") {
            return Ok(Expression::List(Vec::new()));
        }
        let first = self.expression()?;
        self.cursor.space();
        if self.cursor.eat("..") {
            let last = self.expression()?;
            self.expect("]")?;
            return Ok(Expression::Range(Box::new(first), Box::new(last)));
        }
        let mut all = vec![first];
        if !self.cursor.eat("]") {
            self.expect(",")?;
            all.extend(self.items("]")?);
        }
        Ok(Expression::List(all))
    }

    /// Expressions with commas between them, up to this end.
    pub(super) fn items(&mut self, end: &str) -> Result<Vec<Expression>, VtlError> {
        let mut all = Vec::new();
        self.cursor.space();
        if self.cursor.eat(end) {
            return Ok(all);
        }
        loop {
            all.push(self.expression()?);
            self.cursor.space();
            if self.cursor.eat(end) {
                return Ok(all);
            }
            if !self.cursor.eat(",") {
                return Err(self.error(format!("expected ',' or '{end}'{}", self.found())));
            }
        }
    }

    fn map(&mut self) -> Result<Expression, VtlError> {
        self.cursor.bump();
        let mut all = Vec::new();
        self.cursor.space();
        if self.cursor.eat("}") {
            return Ok(Expression::Map(all));
        }
        loop {
            let key = self.expression()?;
            self.expect(":")?;
            all.push((key, self.expression()?));
            self.cursor.space();
            if self.cursor.eat("}") {
                return Ok(Expression::Map(all));
            }
            self.expect(",")?;
        }
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn word_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `\u0041` in a double-quoted string is the character.
fn unescape_unicode(text: &str) -> Arc<str> {
    let mut parts = text.split("\\u");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let decoded = part.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        match decoded {
            Some(c) => {
                out.push(c);
                out.push_str(&part[4..]);
            }
            None => {
                out.push_str("\\u");
                out.push_str(part);
            }
        }
    }
    out.into()
}
