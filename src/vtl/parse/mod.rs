//! Parse: a template's text → blocks.
//!
//! In: text. Out: nodes, macros, or the place of the first mistake. Never: what a name means (but for macros' escapes).
//!
//! White space follows Velocity 1.7's lexer: a directive takes the blanks behind it up to and with the end of the line, `#set` also
//! the blanks before it when no other text stands between them and the thing before.

mod cursor;
mod directive;
mod expression;
mod reference;

use std::collections::HashMap;
use std::sync::Arc;

use super::limits::MAX_READ;
use super::syntax::{At, Block, Macro, Node};
use super::{MAX_TEMPLATE, VtlError};
use cursor::Cursor;

/// What ended a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Text,
    End,
    Else,
    ElseIf,
}

/// A reader of one text: a template, or what is between double quotes in one.
struct Parser<'t> {
    cursor: Cursor<'t>,
    macros: HashMap<Box<str>, Macro>,
    depth: usize,
    /// Bytes read twice.
    wasted: usize,
}

/// Reads a whole template.
pub(super) fn template(text: &str) -> Result<(Block, HashMap<Box<str>, Macro>), VtlError> {
    let mut parser = Parser { cursor: Cursor::new(text, None), macros: HashMap::new(), depth: 0, wasted: 0 };
    if text.len() > MAX_TEMPLATE {
        return Err(parser.error(format!("a template has at most {MAX_TEMPLATE} bytes, this one {}", text.len())));
    }
    let body = parser.whole()?;
    Ok((body, parser.macros))
}

// === impl Parser ===
impl<'t> Parser<'t> {
    fn error(&self, message: impl Into<String>) -> VtlError {
        VtlError::Syntax { at: self.cursor.at(), message: message.into() }
    }

    fn error_at(at: At, message: impl Into<String>) -> VtlError {
        VtlError::Syntax { at, message: message.into() }
    }

    /// Runs `read` one level deeper: the depth of what is read is bounded here, so that nothing later recurses without end.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, VtlError>) -> Result<T, VtlError> {
        self.depth += 1;
        if self.depth > MAX_READ {
            return Err(self.error("nested too deep"));
        }
        let done = read(self)?;
        self.depth -= 1;
        Ok(done)
    }

    /// Everything up to the end of the text.
    fn whole(&mut self) -> Result<Block, VtlError> {
        let at = self.cursor.at();
        match self.block()? {
            (block, Close::Text) => Ok(block),
            (_, end) => Err(Self::error_at(at, format!("{} without a directive that it ends", end.name()))),
        }
    }

    /// What is between the double quotes of a string, as nodes.
    fn inner(&mut self, text: &str, at: At) -> Result<Block, VtlError> {
        self.deeper(|parser| {
            let mut inner = Parser {
                cursor: Cursor::new(text, Some(at)),
                macros: std::mem::take(&mut parser.macros),
                depth: parser.depth,
                wasted: parser.wasted,
            };
            let block = inner.whole();
            parser.macros = inner.macros;
            parser.wasted = inner.wasted;
            block
        })
    }

    /// Statements up to `#end`, `#else`, `#elseif` or the end of the text.
    fn block(&mut self) -> Result<(Block, Close), VtlError> {
        self.deeper(Self::statements)
    }

    fn statements(&mut self) -> Result<(Block, Close), VtlError> {
        let mut nodes = Vec::new();
        let mut text = String::new();
        // Where the text since the last other thing began: what is before was Velocity's last token.
        let mut run = 0;
        loop {
            let plain = self.cursor.until(['$', '#', '\\']);
            text.push_str(plain);
            let Some(next) = self.cursor.peek() else {
                flush(&mut nodes, &mut text);
                return Ok((nodes.into(), Close::Text));
            };
            match next {
                '\\' => self.backslashes(&mut nodes, &mut text)?,
                '$' => match self.reference(0)? {
                    Some(reference) => {
                        flush(&mut nodes, &mut text);
                        nodes.push(Node::Reference(reference));
                    }
                    None => self.no_reference(&mut text),
                },
                _ => {
                    if let Some(end) = self.hash(&mut nodes, &mut text, run)? {
                        flush(&mut nodes, &mut text);
                        return Ok((nodes.into(), end));
                    }
                }
            }
            run = text.len();
        }
    }

    /// A `$` that begins no reference: it is text, with its backslashes less one in `$\!`, which is how Velocity escapes `$!`.
    fn no_reference(&mut self, text: &mut String) {
        self.cursor.bump();
        text.push('$');
        let slashes = self.cursor.count('\\');
        if slashes > 0 && self.cursor.rest()[slashes..].starts_with('!') {
            self.cursor.skip(slashes);
            text.extend(std::iter::repeat_n('\\', slashes - 1));
        }
    }

    /// Backslashes escape references that have a value, and directives.
    fn backslashes(&mut self, nodes: &mut Vec<Node>, text: &mut String) -> Result<(), VtlError> {
        let count = self.cursor.count('\\');
        let after = &self.cursor.rest()[count..];
        if after.starts_with('$') {
            let before = self.cursor.mark();
            self.cursor.skip(count);
            if let Some(reference) = self.reference(count)? {
                flush(nodes, text);
                nodes.push(Node::Reference(reference));
                return Ok(());
            }
            self.cursor.back(before);
        } else if let Some((name, length)) = directive::word(after) {
            let known = self.known(name);
            if count % 2 == 1 {
                // `\#if` prints `#if`; of a name that is no directive everything stays.
                let kept = if known { count / 2 } else { count };
                text.extend(std::iter::repeat_n('\\', kept));
                text.push_str(&after[..length]);
                self.cursor.skip(count + length);
                return Ok(());
            }
            // Velocity does not take `#set` for a directive here.
            let kept = if known && name != "set" { count / 2 } else { count };
            text.extend(std::iter::repeat_n('\\', kept));
            self.cursor.skip(count);
            return Ok(());
        }
        text.extend(std::iter::repeat_n('\\', count));
        self.cursor.skip(count);
        Ok(())
    }

    fn known(&self, name: &str) -> bool {
        directive::DIRECTIVES.contains(&name) || self.macros.contains_key(name)
    }
}

// === impl Close ===
impl Close {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "the end",
            Self::End => "#end",
            Self::Else => "#else",
            Self::ElseIf => "#elseif",
        }
    }
}

/// Moves gathered text into a node.
fn flush(nodes: &mut Vec<Node>, text: &mut String) {
    if !text.is_empty() {
        nodes.push(Node::Text(std::mem::take(text).into()));
    }
}

/// A name: a letter or `_`, then letters, digits, `_` and `-`. Its length, 0 when there is none.
fn identifier(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len())
}

/// Text that a reference or a call was written as.
fn source(text: &str) -> Arc<str> {
    Arc::from(text)
}
