//! Syntax: what a template is once it is read.
//!
//! In: the parser. Out: the renderer. Never: behaviour.

use std::fmt;
use std::sync::Arc;

use super::number::Number;

/// A place in a template's text; both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub line: u32,
    pub column: u32,
}

/// Statements, shared with the values that `#define` makes of them.
pub(super) type Block = Arc<[Node]>;

#[derive(Debug)]
pub(super) enum Node {
    Text(Box<str>),
    Reference(Reference),
    Set { target: Reference, value: Expression },
    If { branches: Vec<(Expression, Block)>, otherwise: Block },
    Each { name: Arc<str>, list: Expression, body: Block, at: At },
    Define { name: Arc<str>, body: Block },
    Call(Call),
    Break,
    Stop,
}

/// `#name(...)`: a macro, or text that looks like one.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: Box<str>,
    pub(super) arguments: Vec<Expression>,
    /// `#@name(...) … #end`.
    pub(super) body: Option<Block>,
    /// What is printed when there is no such macro; as Velocity does, its arguments are the source's text.
    pub(super) source: Box<str>,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) parameters: Vec<Arc<str>>,
    pub(super) body: Block,
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) name: Arc<str>,
    pub(super) steps: Vec<Step>,
    /// `$!x`.
    pub(super) quiet: bool,
    /// Backslashes before it.
    pub(super) backslashes: usize,
    /// As written, from the `$`.
    pub(super) source: Arc<str>,
    pub(super) at: At,
}

#[derive(Debug)]
pub(super) enum Step {
    Property(Arc<str>),
    Call(Box<str>, Vec<Expression>),
    Index(Expression),
}

#[derive(Debug)]
pub(super) enum Expression {
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    /// A double-quoted string with references or directives in it.
    Interpolated(Block),
    Reference(Box<Reference>),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Range(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    /// Operators of one level, from left to right: a chain, so that a long one is not deep.
    Chain(Box<Expression>, Vec<(Operator, Expression)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

// === impl At ===
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}
