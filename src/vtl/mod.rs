//! Vtl: mapping templates as API Gateway writes them, which are Apache Velocity 1.7 with `$input`, `$util` and `$context`.
//!
//! In: a template's text, once; a request or an answer as `Context`, each time. Out: text, and what the template overrode; errors
//! with line and column. Never: I/O, a clock, another engine's extensions (`#parse`, `#include`, `#evaluate`).
//!
//! Behaviour was recorded from Velocity 1.7 itself (`tests/`). Where this engine is more lenient, it is on purpose: `$a -1` subtracts,
//! arguments may be expressions, a lone `$` at the end is text, and maps written in a template keep their order.

mod api;
mod escape;
mod eval;
mod json;
mod limits;
mod methods;
mod number;
mod parse;
mod path;
mod render;
mod syntax;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub use path::Path;
pub use syntax::At;

use syntax::{Block, Macro};

/// API Gateway's bound on a template ("Quotas for configuring and running a REST API": 300 KB).
pub const MAX_TEMPLATE: usize = 300 * 1024;

/// API Gateway's bound on the rounds of one `#foreach` (same page).
pub const MAX_ROUNDS: usize = 1000;

/// API Gateway's bound on a payload (same page), here of a rendered text.
pub const MAX_OUTPUT: usize = 10 * 1024 * 1024;

/// A template that was read; cheap to clone, shared by all requests.
#[derive(Debug, Clone)]
pub struct Template {
    body: Block,
    macros: Arc<HashMap<Box<str>, Macro>>,
}

/// What is wrong with a template, or with one rendering of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VtlError {
    /// The text is no template.
    #[error("{at}: {message}")]
    Syntax { at: At, message: String },
    /// A method was called with what Java throws at: an index out of range, a pattern that is none.
    #[error("{at}: {message}")]
    Call { at: At, message: String },
    /// `$input.json` or `$input.path` of a body that is no JSON.
    #[error("{0}")]
    Body(String),
    /// More rounds of one `#foreach` than API Gateway makes.
    #[error("{at}: more than {MAX_ROUNDS} rounds")]
    Rounds { at: At },
    /// More text than a payload may have.
    #[error("more than {MAX_OUTPUT} bytes of text")]
    Output,
    /// Blocks, macros or values within each other, deeper than any real template.
    #[error("nested too deep")]
    Depth,
    /// More work than a template may make.
    #[error("too much work for a template")]
    Work,
}

/// What a template sees. Plain data: build it for a request, render, drop it.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// `$input.body`; JSON where a template asks for a part of it.
    pub body: String,
    /// `$input.params()`: decoded, in the order sent; of a repeated name the last value counts.
    pub path: Vec<(String, String)>,
    pub querystring: Vec<(String, String)>,
    /// Names match in any case.
    pub header: Vec<(String, String)>,
    /// `$context`: an object. What is not in it prints as nothing.
    pub context: serde_json::Value,
    /// `$stageVariables`.
    pub stage_variables: Vec<(String, String)>,
    /// What an earlier template of the same request overrode: the answer's template sees and keeps it.
    pub overrides: Overrides,
}

/// What a template made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    pub body: String,
    pub overrides: Overrides,
}

/// `$context.requestOverride` and `$context.responseOverride`, in the order set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    pub request: RequestOverride,
    pub response: ResponseOverride,
}

/// What is sent to the integration in the place of what was mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestOverride {
    pub path: Vec<(String, String)>,
    pub querystring: Vec<(String, String)>,
    pub header: Vec<(String, String)>,
}

/// What the viewer gets in the place of what was mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseOverride {
    /// An integer from 100 to 599; anything else is ignored (recorded from the service by LocalStack).
    pub status: Option<u16>,
    pub header: Vec<(String, String)>,
}

// === impl Template ===
impl Template {
    /// Reads a template. Fails with the place of the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, VtlError> {
        let (body, macros) = parse::template(text)?;
        Ok(Self { body, macros: Arc::new(macros) })
    }

    /// Renders it. Fails with the place of a call that Java throws at, and with `Body` where a template looks into a body that is
    /// no JSON. Bounded in output, rounds, depth and work: the worst template ends in an error.
    pub fn render(&self, context: &Context) -> Result<Rendered, VtlError> {
        render::run(self, context)
    }
}
