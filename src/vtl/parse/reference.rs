//! Reference: `$name`, `${name}`, `$!name`, with properties, indices and calls behind it.
//!
//! In: a cursor at `$`. Out: a reference, or none where the `$` is text. Never: values.

use super::{Parser, identifier, source};
use crate::vtl::VtlError;
use crate::vtl::syntax::{Reference, Step};

// === impl Parser ===
impl Parser<'_> {
    /// The cursor stands at `$`; it stays there when this is no reference.
    pub(super) fn reference(&mut self, backslashes: usize) -> Result<Option<Reference>, VtlError> {
        let at = self.cursor.at();
        let start = self.cursor.mark();
        self.cursor.bump();
        let quiet = self.cursor.eat("!");
        let formal = self.cursor.eat("{");
        let length = identifier(self.cursor.rest());
        if length == 0 {
            self.cursor.back(start);
            return Ok(None);
        }
        let name = source(&self.cursor.rest()[..length]);
        self.cursor.skip(length);
        let steps = self.deeper(Self::steps)?;
        if formal && !self.cursor.eat("}") {
            return Err(self.error(format!("expected '}}' after ${{{name}")));
        }
        Ok(Some(Reference { name, steps, quiet, backslashes, source: source(self.cursor.since(start.position)), at }))
    }

    fn steps(&mut self) -> Result<Vec<Step>, VtlError> {
        let mut steps = Vec::new();
        loop {
            if self.cursor.eat("[") {
                let index = self.expression()?;
                self.expect("]")?;
                steps.push(Step::Index(index));
                continue;
            }
            let Some(after) = self.cursor.rest().strip_prefix('.') else { break };
            // Velocity wants a letter here: `$a._b` is `$a` and text.
            if !after.starts_with(|c: char| c.is_ascii_alphabetic()) {
                break;
            }
            let name = &after[..identifier(after)];
            self.cursor.skip(1 + name.len());
            if self.cursor.eat("(") {
                steps.push(Step::Call(name.into(), self.items(")")?));
            } else {
                steps.push(Step::Property(source(name)));
            }
        }
        Ok(steps)
    }
}
