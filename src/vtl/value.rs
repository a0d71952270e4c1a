//! Value: what a template computes with, and where its lists and maps live.
//!
//! In: JSON, literals, results. Out: values; text as Java's `toString` prints it. Never: reference counts: lists and maps are shared
//! and may hold themselves, so they live in one heap that ends with the rendering.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::VtlError;
use super::limits::Budget;
use super::number::Number;
use super::syntax::Block;

/// Values within each other that are printed or compared.
pub(super) const MAX_LEVELS: usize = 64;

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    /// What `$input.path`, `$input.params` and `$context` have for a name that is not there: false as a condition, else like "".
    Missing,
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    List(usize),
    Map(usize),
    /// One of `Map.entrySet()`.
    Entry(Arc<(Arc<str>, Value)>),
    /// What `#define` made.
    Block(Block),
    Input,
    Util,
    /// `$foreach` of the loop at this level.
    Loop(usize),
}

#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    /// Came out of JSON: prints as JSON, as json-smart's arrays do.
    pub(super) json: bool,
}

/// A map in the order of insertion.
#[derive(Debug, Default)]
pub(super) struct Map {
    entries: Vec<(Arc<str>, Value)>,
    /// Places of the keys, once there are more than a few.
    places: HashMap<Arc<str>, usize>,
    /// A name that is not in it is `Missing`, not null.
    pub(super) soft: bool,
    /// Names match in any case: header fields.
    pub(super) caseless: bool,
}

/// From here on keys are looked up by hash.
const FEW: usize = 12;

/// The lists and maps of one rendering.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub(super) lists: Vec<List>,
    pub(super) maps: Vec<Map>,
}

// === impl Value ===
impl Value {
    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn int(int: usize) -> Self {
        Self::Number(Number::Int(i64::try_from(int).unwrap_or(i64::MAX)))
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// As the condition of an `#if`: everything but null and `false`.
    pub(super) fn truth(&self) -> bool {
        !matches!(self, Self::Null | Self::Missing | Self::Bool(false))
    }
}

// === impl Map ===
impl Map {
    pub(super) fn soft() -> Self {
        Self { soft: true, ..Self::default() }
    }

    fn place(&self, key: &str) -> Option<usize> {
        if self.caseless {
            return self.entries.iter().rposition(|(name, _)| name.eq_ignore_ascii_case(key));
        }
        if self.entries.len() > FEW {
            return self.places.get(key).copied();
        }
        self.entries.iter().position(|(name, _)| &**name == key)
    }

    pub(super) fn get(&self, key: &str) -> Value {
        match self.place(key) {
            Some(place) => self.entries[place].1.clone(),
            None if self.soft => Value::Missing,
            None => Value::Null,
        }
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// Out: what was there before.
    pub(super) fn put(&mut self, key: Arc<str>, value: Value) -> Value {
        if let Some(place) = self.place(&key) {
            return std::mem::replace(&mut self.entries[place].1, value);
        }
        self.entries.push((key, value));
        self.index();
        Value::Null
    }

    pub(super) fn remove(&mut self, key: &str) -> Value {
        let Some(place) = self.place(key) else { return Value::Null };
        let (_, value) = self.entries.remove(place);
        self.places.clear();
        self.index();
        value
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }

    fn index(&mut self) {
        if self.entries.len() > FEW && !self.caseless {
            for (place, (key, _)) in self.entries.iter().enumerate().skip(self.places.len()) {
                self.places.insert(Arc::clone(key), place);
            }
        }
    }

    pub(super) fn entries(&self) -> &[(Arc<str>, Value)] {
        &self.entries
    }
}

// === impl Heap ===
impl Heap {
    pub(super) fn list(&mut self, items: Vec<Value>, json: bool) -> Value {
        self.lists.push(List { items, json });
        Value::List(self.lists.len() - 1)
    }

    pub(super) fn map(&mut self, map: Map) -> Value {
        self.maps.push(map);
        Value::Map(self.maps.len() - 1)
    }

    /// A map of these texts; a later one of the same name counts.
    pub(super) fn texts(&mut self, pairs: &[(String, String)], soft: bool, caseless: bool) -> Value {
        let mut map = Map { soft, caseless, ..Map::default() };
        for (name, value) in pairs {
            map.put(name.as_str().into(), Value::text(value.as_str()));
        }
        self.map(map)
    }

    /// Java's `toString`.
    pub(super) fn print(&self, value: &Value, budget: &mut Budget, out: &mut String) -> Result<(), VtlError> {
        let before = out.len();
        self.print_at(value, budget, out, 0)?;
        budget.made_since(out, before)
    }

    fn print_at(&self, value: &Value, budget: &mut Budget, out: &mut String, level: usize) -> Result<(), VtlError> {
        if level > MAX_LEVELS {
            return Err(VtlError::Depth);
        }
        budget.step(1)?;
        match value {
            Value::Null => out.push_str("null"),
            Value::Missing => {}
            Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Value::Number(number) => drop(write!(out, "{number}")),
            Value::Text(text) => out.push_str(text),
            Value::List(id) if self.lists[*id].json => super::json::write_at(self, value, budget, out, level)?,
            Value::List(id) => {
                out.push('[');
                for (n, item) in self.lists[*id].items.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    self.print_at(item, budget, out, level + 1)?;
                }
                out.push(']');
            }
            Value::Map(id) => {
                out.push('{');
                for (n, (key, item)) in self.maps[*id].entries.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    out.push_str(key);
                    out.push('=');
                    self.print_at(item, budget, out, level + 1)?;
                }
                out.push('}');
            }
            Value::Entry(entry) => {
                out.push_str(&entry.0);
                out.push('=');
                self.print_at(&entry.1, budget, out, level + 1)?;
            }
            // Blocks are rendered by who knows how; the rest are Java objects that no template wants to print.
            Value::Block(_) | Value::Input | Value::Util | Value::Loop(_) => {}
        }
        budget.grown(out)
    }
}
