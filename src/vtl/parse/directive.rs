//! Directive: everything that begins with `#`.
//!
//! In: a cursor at `#`. Out: nodes, or text where it is none. Never: values.

use std::sync::Arc;

use super::{Close, Parser, flush, identifier, source};
use crate::vtl::VtlError;
use crate::vtl::syntax::{Call, Expression, Macro, Node};

/// Names that a backslash escapes, besides those of macros.
pub(super) const DIRECTIVES: &[&str] = &[
    "if", "elseif", "else", "end", "set", "foreach", "break", "stop", "macro", "define", "parse", "include",
    "evaluate", "literal",
];

/// What Velocity has and API Gateway's templates have not: files, and templates made while rendering.
const REFUSED: &[&str] = &["parse", "include", "evaluate", "literal"];

/// Bytes that may be read in vain, as the arguments of what turned out to be text.
const MAX_WASTED: usize = 8 * crate::vtl::MAX_TEMPLATE;

/// The name of a directive at `#name` or `#{name}`, and the length of it all.
pub(super) fn word(text: &str) -> Option<(&str, usize)> {
    let after = text.strip_prefix('#')?;
    if let Some(inner) = after.strip_prefix('{') {
        let name = &inner[..name_length(inner, false)];
        let closed = !name.is_empty() && inner[name.len()..].starts_with('}');
        return closed.then_some((name, name.len() + 3));
    }
    let name = &after[..name_length(after, true)];
    (!name.is_empty()).then_some((name, name.len() + 1))
}

fn name_length(text: &str, at: bool) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || (at && c == '@')) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '@')).unwrap_or(text.len())
}

// === impl Parser ===
impl Parser<'_> {
    /// Reads what begins with `#`. `run`: where in `text` the text since the last other thing began. Out: what ended the block, if
    /// something did.
    pub(super) fn hash(
        &mut self,
        nodes: &mut Vec<Node>,
        text: &mut String,
        run: usize,
    ) -> Result<Option<Close>, VtlError> {
        if self.comment(text)? {
            return Ok(None);
        }
        let Some((name, length)) = word(self.cursor.rest()) else {
            self.cursor.bump();
            text.push('#');
            return Ok(None);
        };
        let after = &self.cursor.rest()[length..];
        match name {
            "end" | "else" => {
                self.cursor.skip(length);
                self.cursor.line_end();
                return Ok(Some(if name == "end" { Close::End } else { Close::Else }));
            }
            "elseif" => {
                self.cursor.skip(length);
                return Ok(Some(Close::ElseIf));
            }
            "set" if after.trim_start_matches([' ', '\t']).starts_with('(') => {
                if text[run..].bytes().all(|b| b == b' ' || b == b'\t') {
                    text.truncate(run);
                }
                flush(nodes, text);
                self.cursor.skip(length);
                nodes.push(self.set()?);
            }
            "if" => {
                flush(nodes, text);
                self.cursor.skip(length);
                nodes.push(self.condition()?);
            }
            "foreach" | "define" => {
                flush(nodes, text);
                self.cursor.skip(length);
                nodes.push(if name == "foreach" { self.each()? } else { self.define()? });
            }
            "macro" => {
                flush(nodes, text);
                self.cursor.skip(length);
                self.definition()?;
            }
            "break" | "stop" => {
                flush(nodes, text);
                nodes.push(if name == "break" { Node::Break } else { Node::Stop });
                self.cursor.skip(length);
                // What is in the parentheses is a message.
                if self.cursor.eat("(") {
                    self.arguments()?;
                }
            }
            _ if REFUSED.contains(&name) && after.trim_start_matches([' ', '\t']).starts_with('(') => {
                return Err(self.error(format!("mapping templates have no #{name}")));
            }
            _ => {
                if let Some(call) = self.call(length)? {
                    flush(nodes, text);
                    nodes.push(Node::Call(call));
                } else {
                    text.push_str(&self.cursor.rest()[..length]);
                    self.cursor.skip(length);
                }
            }
        }
        Ok(None)
    }

    /// `##`, `#* *#` and `#[[ ]]#`.
    fn comment(&mut self, text: &mut String) -> Result<bool, VtlError> {
        let rest = self.cursor.rest();
        if rest.starts_with("##") {
            let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
            self.cursor.skip(length);
            let _ = self.cursor.eat("\r\n") || self.cursor.eat("\n") || self.cursor.eat("\r");
            return Ok(true);
        }
        for (start, end) in [("#*", "*#"), ("#[[", "]]#")] {
            let Some(inner) = rest.strip_prefix(start) else { continue };
            let Some(length) = inner.find(end) else { return Err(self.error(format!("{start} without {end}"))) };
            if start == "#[[" {
                text.push_str(&inner[..length]);
            }
            self.cursor.skip(start.len() + length + end.len());
            return Ok(true);
        }
        Ok(false)
    }

    fn close(&mut self) -> Result<(), VtlError> {
        self.expect(")")?;
        self.cursor.line_end();
        Ok(())
    }

    fn set(&mut self) -> Result<Node, VtlError> {
        self.expect("(")?;
        self.cursor.space();
        if self.cursor.peek() != Some('$') {
            return Err(self.error("expected a reference to set"));
        }
        let Some(target) = self.reference(0)? else { return Err(self.error("expected a name after '$'")) };
        self.expect("=")?;
        let value = self.expression()?;
        self.close()?;
        Ok(Node::Set { target, value })
    }

    fn test(&mut self) -> Result<Expression, VtlError> {
        self.expect("(")?;
        let test = self.expression()?;
        self.close()?;
        Ok(test)
    }

    fn condition(&mut self) -> Result<Node, VtlError> {
        let at = self.cursor.at();
        let mut branches = Vec::new();
        let mut test = Some(self.test()?);
        let mut otherwise = None;
        loop {
            let (block, end) = self.block()?;
            match test.take() {
                Some(test) => branches.push((test, block)),
                None => otherwise = Some(block),
            }
            match end {
                Close::End => return Ok(Node::If { branches, otherwise: otherwise.unwrap_or_else(|| Arc::new([])) }),
                Close::Else if otherwise.is_none() => {}
                Close::ElseIf if otherwise.is_none() => test = Some(self.test()?),
                Close::Text => return Err(Self::error_at(at, "this #if has no #end")),
                Close::Else | Close::ElseIf => return Err(self.error(format!("{} after #else", end.name()))),
            }
        }
    }

    /// The statements of a directive, up to its `#end`.
    fn body(&mut self, name: &str) -> Result<super::Block, VtlError> {
        let at = self.cursor.at();
        match self.block()? {
            (block, Close::End) => Ok(block),
            (_, Close::Text) => Err(Self::error_at(at, format!("this #{name} has no #end"))),
            (_, end) => Err(self.error(format!("{} in #{name}", end.name()))),
        }
    }

    /// `$name`, where only a name may stand.
    fn name(&mut self) -> Result<Arc<str>, VtlError> {
        self.cursor.space();
        let at = self.cursor.at();
        let plain = if self.cursor.peek() == Some('$') { self.reference(0)? } else { None };
        match plain {
            Some(reference) if reference.steps.is_empty() => Ok(reference.name),
            _ => Err(Self::error_at(at, "expected a $name")),
        }
    }

    fn each(&mut self) -> Result<Node, VtlError> {
        let at = self.cursor.at();
        self.expect("(")?;
        let name = self.name()?;
        self.expect("in")?;
        let list = self.expression()?;
        self.close()?;
        let body = self.body("foreach")?;
        Ok(Node::Each { name, list, body, at })
    }

    fn define(&mut self) -> Result<Node, VtlError> {
        self.expect("(")?;
        let name = self.name()?;
        self.close()?;
        Ok(Node::Define { name, body: self.body("define")? })
    }

    fn definition(&mut self) -> Result<(), VtlError> {
        self.expect("(")?;
        self.cursor.space();
        let length = name_length(self.cursor.rest(), false);
        if length == 0 {
            return Err(self.error("expected the macro's name"));
        }
        let name: Box<str> = self.cursor.rest()[..length].into();
        self.cursor.skip(length);
        let mut parameters = Vec::new();
        loop {
            self.cursor.space();
            self.cursor.eat(",");
            self.cursor.space();
            if self.cursor.rest().starts_with(')') {
                break;
            }
            parameters.push(self.name()?);
        }
        self.close()?;
        let body = self.body("macro")?;
        // Velocity keeps the first of one name.
        self.macros.entry(name).or_insert(Macro { parameters, body });
        Ok(())
    }

    /// Values with blanks or commas between them, up to `)`.
    fn arguments(&mut self) -> Result<Vec<Expression>, VtlError> {
        let mut arguments = Vec::new();
        loop {
            self.cursor.space();
            self.cursor.eat(",");
            self.cursor.space();
            if self.cursor.rest().starts_with(')') {
                self.close()?;
                return Ok(arguments);
            }
            arguments.push(self.deeper(Self::primary)?);
        }
    }

    /// `#name`, `#name(...)` or `#@name(...) … #end`; none where it cannot be a macro's call: then it is text.
    fn call(&mut self, length: usize) -> Result<Option<Call>, VtlError> {
        let start = self.cursor.mark();
        let (name, _) = word(self.cursor.rest()).unwrap_or_default();
        let block = name.strip_prefix('@');
        let name = block.unwrap_or(name);
        if identifier(name) == 0 {
            return Ok(None);
        }
        self.cursor.skip(length);
        let mut arguments = Vec::new();
        let open = self.cursor.rest().trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(');
        if open {
            self.cursor.space();
            self.cursor.bump();
            let depth = self.depth;
            match self.arguments() {
                Ok(found) => arguments = found,
                // A parenthesis in plain text: only a macro's name makes it a mistake.
                Err(_) if block.is_none() && !self.macros.contains_key(name) => {
                    self.wasted += self.cursor.since(start.position).len();
                    if self.wasted > MAX_WASTED {
                        return Err(self.error("too many parentheses in text that no macro reads"));
                    }
                    self.depth = depth;
                    self.cursor.back(start);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        let body = if block.is_some() { Some(self.body(name)?) } else { None };
        let source = source(self.cursor.since(start.position));
        Ok(Some(Call { name: name.into(), arguments, body, source: source.as_ref().into() }))
    }
}
