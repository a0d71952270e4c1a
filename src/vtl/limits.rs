//! Limits: what one rendering may use, counted as it goes.
//!
//! In: each step, each byte made, each level entered. Out: the error when there is too much. Never: time, which would differ between runs.

use super::{MAX_OUTPUT, VtlError};

/// Steps of one rendering: nodes, calls, elements looked at. A template with 1,000 rounds of 100 nodes takes 100,000.
const MAX_STEPS: usize = 2_000_000;

/// Bytes of all texts that one rendering makes on its way, besides its output.
const MAX_MADE: usize = 64 * 1024 * 1024;

/// Levels of blocks, macros, expressions and values within each other.
pub(super) const MAX_DEPTH: usize = 200;

/// Levels of what is read; a rendering needs a few for each.
pub(super) const MAX_READ: usize = 64;

/// What was used so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    steps: usize,
    made: usize,
    depth: usize,
}

// === impl Budget ===
impl Budget {
    pub(super) fn step(&mut self, count: usize) -> Result<(), VtlError> {
        self.steps = self.steps.saturating_add(count);
        if self.steps > MAX_STEPS { Err(VtlError::Work) } else { Ok(()) }
    }

    /// A text of this many bytes.
    pub(super) fn make(&mut self, bytes: usize) -> Result<(), VtlError> {
        self.made = self.made.saturating_add(bytes);
        if bytes > MAX_OUTPUT {
            return Err(VtlError::Output);
        }
        if self.made > MAX_MADE { Err(VtlError::Work) } else { Ok(()) }
    }

    /// A text that grew from this length.
    pub(super) fn made_since(&mut self, text: &str, before: usize) -> Result<(), VtlError> {
        self.grown(text)?;
        self.make(text.len() - before)
    }

    /// Whether a text is still one that may be.
    pub(super) fn grown(&self, text: &str) -> Result<(), VtlError> {
        if text.len() > MAX_OUTPUT { Err(VtlError::Output) } else { Ok(()) }
    }

    pub(super) fn enter(&mut self) -> Result<(), VtlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(VtlError::Depth) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}
