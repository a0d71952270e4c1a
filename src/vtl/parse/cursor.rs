//! Cursor: a place in a text, with its line and column.
//!
//! In: text. Out: what stands next. Never: grammar.

use std::cell::Cell;

use super::At;

const START: At = At { line: 1, column: 1 };

#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) position: usize,
    counted: (usize, At),
}

pub(super) struct Cursor<'t> {
    text: &'t str,
    position: usize,
    /// What `at` says throughout: the place of the string that this text stood in.
    fixed: Option<At>,
    /// The last place that was asked for, from which the next is counted.
    counted: Cell<(usize, At)>,
}

// === impl Cursor ===
impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str, fixed: Option<At>) -> Self {
        Self { text, position: 0, fixed, counted: Cell::new((0, START)) }
    }

    /// A place to go back to.
    pub(super) fn mark(&self) -> Mark {
        // Counted up to here, so that what is counted beyond it is not lost with more than that.
        let _ = self.at();
        Mark { position: self.position, counted: self.counted.get() }
    }

    /// What was counted goes back too: the text up to here is not counted once more for each return.
    pub(super) fn back(&mut self, mark: Mark) {
        self.position = mark.position;
        self.counted.set(mark.counted);
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    /// From an earlier position to here.
    pub(super) fn since(&self, position: usize) -> &'t str {
        &self.text[position..self.position]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) {
        self.position += self.peek().map_or(0, char::len_utf8);
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.position = (self.position + bytes).min(self.text.len());
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.position += text.len();
        }
        found
    }

    /// Everything before the first of these, or all that is left.
    pub(super) fn until<const N: usize>(&mut self, ends: [char; N]) -> &'t str {
        let rest = self.rest();
        let taken = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.position += taken.len();
        taken
    }

    /// How many of this character stand here.
    pub(super) fn count(&self, c: char) -> usize {
        self.rest().chars().take_while(|next| *next == c).count()
    }

    pub(super) fn space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Blanks and one end of line, if that is all there is up to it.
    pub(super) fn line_end(&mut self) {
        let after = self.rest().trim_start_matches([' ', '\t']);
        let end = ["\r\n", "\n", "\r"].into_iter().find(|end| after.starts_with(end));
        if let Some(end) = end {
            self.position = self.text.len() - after.len() + end.len();
        }
    }

    pub(super) fn at(&self) -> At {
        if let Some(at) = self.fixed {
            return at;
        }
        let (from, mut at) = match self.counted.get() {
            counted if counted.0 <= self.position => counted,
            _ => (0, START),
        };
        for c in self.text[from..self.position].chars() {
            at = if c == '\n' { At { line: at.line + 1, column: 1 } } else { At { column: at.column + 1, ..at } };
        }
        self.counted.set((self.position, at));
        at
    }
}
