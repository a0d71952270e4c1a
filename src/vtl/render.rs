//! Render: a template and a context → text.
//!
//! In: nodes, a context. Out: what they print and what they override. Never: I/O; everything is counted on the way (`limits`).

use std::collections::HashMap;
use std::sync::Arc;

use super::limits::Budget;
use super::number::Number;
use super::syntax::{At, Block, Call, Expression, Macro, Node, Reference};
use super::value::{Heap, Value};
use super::{Context, MAX_ROUNDS, Rendered, Template, VtlError, api};

/// Velocity's `velocimacro.max.depth`.
const MAX_CALLS: usize = 20;

/// How a block ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Stop,
}

/// One loop that runs: what `$foreach` tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub(super) index: usize,
    pub(super) count: usize,
}

/// One rendering.
pub(super) struct Machine<'r> {
    pub(super) context: &'r Context,
    macros: &'r HashMap<Box<str>, Macro>,
    pub(super) heap: Heap,
    pub(super) budget: Budget,
    pub(super) names: HashMap<Arc<str>, Value>,
    pub(super) loops: Vec<Round>,
    /// Arguments of the macros that run: a parameter without a value prints what the caller wrote.
    written: Vec<HashMap<Arc<str>, Arc<str>>>,
    /// Patterns are compiled once.
    pub(super) patterns: HashMap<Arc<str>, regex::Regex>,
    /// `$input.path('$')`, once it was asked for.
    pub(super) body: Option<Value>,
    /// `$input.body`, once it was asked for.
    pub(super) raw: Option<Arc<str>>,
    /// `#stop` within a text that was rendered apart.
    stopped: bool,
    out: String,
}

/// Renders a template.
pub(super) fn run(template: &Template, context: &Context) -> Result<Rendered, VtlError> {
    let mut machine = Machine {
        context,
        macros: &template.macros,
        heap: Heap::default(),
        budget: Budget::default(),
        names: HashMap::new(),
        loops: Vec::new(),
        written: Vec::new(),
        patterns: HashMap::new(),
        body: None,
        raw: None,
        stopped: false,
        out: String::new(),
    };
    api::offer(&mut machine)?;
    let _ = machine.block(&template.body)?;
    let overrides = api::overrides(&mut machine)?;
    Ok(Rendered { body: machine.out, overrides })
}

// === impl Machine ===
impl Machine<'_> {
    fn write(&mut self, text: &str) -> Result<(), VtlError> {
        self.out.push_str(text);
        self.budget.grown(&self.out)
    }

    fn block(&mut self, nodes: &[Node]) -> Result<Flow, VtlError> {
        self.budget.enter()?;
        let mut flow = Flow::Next;
        for node in nodes {
            self.budget.step(1)?;
            flow = self.node(node)?;
            if self.stopped {
                flow = Flow::Stop;
            }
            if flow != Flow::Next {
                break;
            }
        }
        self.budget.leave();
        Ok(flow)
    }

    fn node(&mut self, node: &Node) -> Result<Flow, VtlError> {
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Reference(reference) => self.print(reference)?,
            Node::Set { target, value } => {
                let value = self.value(value)?;
                self.assign(target, value)?;
            }
            Node::If { branches, otherwise } => {
                for (test, block) in branches {
                    if self.test(test)? {
                        return self.block(block);
                    }
                }
                return self.block(otherwise);
            }
            Node::Each { name, list, body, at } => return self.each(name, list, body, *at),
            Node::Define { name, body } => drop(self.names.insert(Arc::clone(name), Value::Block(Arc::clone(body)))),
            Node::Call(call) => return self.call_macro(call),
            Node::Break => return Ok(Flow::Break),
            Node::Stop => return Ok(Flow::Stop),
        }
        Ok(Flow::Next)
    }

    /// Velocity's `ASTReference.render`: what backslashes before a reference do depends on whether it has a value.
    fn print(&mut self, reference: &Reference) -> Result<(), VtlError> {
        let value = self.reference(reference)?;
        let before = "\\".repeat(reference.backslashes / 2);
        let escaped = reference.backslashes % 2 == 1;
        self.write(&before)?;
        match (value.is_null(), escaped) {
            (true, true) => {
                self.write("\\")?;
                self.write(&reference.source)
            }
            (false, true) => self.write(&reference.source),
            (true, false) => {
                self.write(&before)?;
                let text = self.written_for(reference);
                if reference.quiet { Ok(()) } else { self.write(&text) }
            }
            (false, false) => {
                let text = self.text(&value)?;
                self.write(&text)
            }
        }
    }

    /// What a reference without a value prints: itself, or what the macro's caller wrote in its place.
    pub(super) fn written_for(&self, reference: &Reference) -> Arc<str> {
        let own = reference.steps.is_empty() && !self.written.is_empty();
        let callers = own.then(|| self.written.last().and_then(|written| written.get(&reference.name))).flatten();
        Arc::clone(callers.unwrap_or(&reference.source))
    }

    /// A value's text; a block's is what it prints now.
    pub(super) fn text(&mut self, value: &Value) -> Result<Arc<str>, VtlError> {
        match value {
            Value::Text(text) => Ok(Arc::clone(text)),
            Value::Block(block) => self.rendered(block),
            other => {
                let mut out = String::new();
                self.heap.print(other, &mut self.budget, &mut out)?;
                Ok(out.into())
            }
        }
    }

    /// What a block prints, apart from the output.
    pub(super) fn rendered(&mut self, block: &Block) -> Result<Arc<str>, VtlError> {
        let outer = std::mem::take(&mut self.out);
        self.stopped |= self.block(block)? == Flow::Stop;
        let text = std::mem::replace(&mut self.out, outer);
        self.budget.make(text.len())?;
        Ok(text.into())
    }

    fn each(&mut self, name: &Arc<str>, list: &Expression, body: &Block, at: At) -> Result<Flow, VtlError> {
        let items = match self.value(list)? {
            Value::List(id) => self.heap.lists[id].items.clone(),
            Value::Map(id) => self.heap.maps[id].entries().iter().map(|(_, value)| value.clone()).collect(),
            _ => Vec::new(),
        };
        self.budget.step(items.len())?;
        let own = [name, "foreach", "velocityCount", "velocityHasNext"];
        let before: Vec<Option<Value>> = own.iter().map(|name| self.names.get(*name).cloned()).collect();
        let level = self.loops.len();
        let count = items.len();
        let mut flow = Flow::Next;
        for (index, item) in items.into_iter().enumerate() {
            if index >= MAX_ROUNDS {
                return Err(VtlError::Rounds { at });
            }
            self.loops.truncate(level);
            self.loops.push(Round { index, count });
            let (number, more) = (Value::int(index + 1), Value::Bool(index + 1 < count));
            for (name, value) in own.into_iter().zip([item, Value::Loop(level), number, more]) {
                self.names.insert(name.into(), value);
            }
            flow = self.block(body)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.loops.truncate(level);
        for (name, value) in own.into_iter().zip(before) {
            match value {
                Some(value) => self.names.insert(name.into(), value),
                None => self.names.remove(name),
            };
        }
        Ok(if flow == Flow::Stop { flow } else { Flow::Next })
    }

    /// Arguments are values, not text that is read again: a macro cannot tell, unless an argument changes something each time.
    fn call_macro(&mut self, call: &Call) -> Result<Flow, VtlError> {
        let Some(found) = self.macros.get(&call.name) else {
            self.write(&call.source)?;
            return Ok(Flow::Next);
        };
        if self.written.len() >= MAX_CALLS {
            return Err(VtlError::Depth);
        }
        let mut written = HashMap::new();
        let mut values = Vec::new();
        for (n, parameter) in found.parameters.iter().enumerate() {
            let value = match call.arguments.get(n) {
                Some(argument) => {
                    if let Expression::Reference(reference) = argument {
                        written.insert(Arc::clone(parameter), self.written_for(reference));
                    }
                    self.value(argument)?
                }
                None => Value::Null,
            };
            values.push((Arc::clone(parameter), value));
        }
        if let Some(body) = &call.body {
            values.push(("bodyContent".into(), Value::Block(Arc::clone(body))));
        }
        let mut before = Vec::new();
        for (name, value) in values {
            before.push((Arc::clone(&name), self.names.insert(name, value)));
        }
        self.written.push(written);
        let flow = self.block(&found.body)?;
        self.written.pop();
        for (name, value) in before.into_iter().rev() {
            match value {
                Some(value) => self.names.insert(name, value),
                None => self.names.remove(&name),
            };
        }
        // `#break` ends the macro it stands in, not the loop that called it.
        Ok(if flow == Flow::Break { Flow::Next } else { flow })
    }

    /// A number that an argument is, if it is one.
    pub(super) fn as_int(value: &Value) -> Option<i64> {
        match value {
            Value::Number(number @ (Number::Int(_) | Number::Big(_))) => Some(number.int()),
            _ => None,
        }
    }
}
