//! Path: JSONPath as Jayway's library reads it, which is what API Gateway's `$input.json` and `$input.path` use.
//!
//! In: a path's text; a value of a heap. Out: one value for a path that names one, a list for one that may name several (`..`, `*`,
//! slices, filters, several keys). Never: an error for what is not there, which is `Missing`.

mod filter;
mod parse;

use std::sync::Arc;

use super::VtlError;
use super::limits::Budget;
use super::value::{Heap, Map, Value};
use filter::Filter;

/// Bytes of a path.
const MAX_PATH: usize = 4096;

/// A path that was read.
#[derive(Debug, Clone)]
pub struct Path {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    /// `..`: asked of every value below, too.
    deep: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Key(Arc<str>),
    Keys(Vec<Arc<str>>),
    Index(i64),
    Indices(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    All,
    Filter(Filter),
    Length,
}

// === impl Path ===
impl Path {
    /// Reads `$.a[0]['b']..c[?(@.d == 'e')]`; without `$` in front it is put there, as Jayway does. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATH {
            return Err(format!("a path has at most {MAX_PATH} bytes, this one {}", text.len()));
        }
        parse::path(text)
    }

    /// The text of what it names in a JSON text: a string as it is, anything else as JSON; `None` for what is not there or null.
    /// Fails with `Body` where the text is no JSON.
    pub fn find(&self, json: &str) -> Result<Option<String>, VtlError> {
        let (mut heap, mut budget) = (Heap::default(), Budget::default());
        let root = super::json::read(&mut heap, &mut budget, json)?;
        match self.select(&mut heap, &mut budget, &root)? {
            Value::Missing | Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.to_string())),
            other => {
                let mut out = String::new();
                super::json::write(&heap, &other, &mut budget, &mut out)?;
                Ok(Some(out))
            }
        }
    }

    /// Whether it can name one value only.
    fn definite(&self) -> bool {
        self.segments.iter().all(|segment| {
            !segment.deep && matches!(segment.kind, Kind::Key(_) | Kind::Index(_) | Kind::Length | Kind::Keys(_))
        })
    }

    pub(super) fn select(&self, heap: &mut Heap, budget: &mut Budget, root: &Value) -> Result<Value, VtlError> {
        let mut found = vec![root.clone()];
        for segment in &self.segments {
            let from = if segment.deep { below(heap, budget, &found)? } else { found };
            found = Vec::new();
            for value in &from {
                budget.step(1)?;
                segment.kind.of(heap, budget, value, &mut found)?;
            }
        }
        if self.definite() {
            return Ok(found.into_iter().next().unwrap_or(Value::Missing));
        }
        Ok(heap.list(found, true))
    }
}

/// These values and all within them, each before what it holds.
fn below(heap: &Heap, budget: &mut Budget, from: &[Value]) -> Result<Vec<Value>, VtlError> {
    let mut all = Vec::new();
    let mut open: Vec<Value> = from.iter().rev().cloned().collect();
    while let Some(value) = open.pop() {
        budget.step(1)?;
        match &value {
            Value::List(id) => open.extend(heap.lists[*id].items.iter().rev().cloned()),
            Value::Map(id) => open.extend(heap.maps[*id].entries().iter().rev().map(|(_, value)| value.clone())),
            _ => continue,
        }
        budget.step(open.len() / 64)?;
        all.push(value);
    }
    Ok(all)
}

// === impl Kind ===
impl Kind {
    fn of(&self, heap: &mut Heap, budget: &mut Budget, value: &Value, found: &mut Vec<Value>) -> Result<(), VtlError> {
        let list = |heap: &Heap| match value {
            Value::List(id) => Some(heap.lists[*id].items.clone()),
            _ => None,
        };
        match (self, value) {
            (Self::Key(key), Value::Map(id)) if heap.maps[*id].contains(key) => found.push(heap.maps[*id].get(key)),
            (Self::Keys(keys), Value::Map(id)) => {
                let mut part = Map::default();
                for key in keys {
                    if heap.maps[*id].contains(key) {
                        part.put(Arc::clone(key), heap.maps[*id].get(key));
                    }
                }
                found.push(heap.map(part));
            }
            (Self::Index(index), Value::List(id)) => found.extend(pick(&heap.lists[*id].items, *index)),
            (Self::Indices(indices), Value::List(id)) => {
                found.extend(indices.iter().filter_map(|index| pick(&heap.lists[*id].items, *index)));
            }
            (Self::Slice(from, to), Value::List(id)) => {
                let items = &heap.lists[*id].items;
                let place = |index: i64| match usize::try_from(index) {
                    Ok(index) => index.min(items.len()),
                    Err(_) => items.len().saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
                };
                let (from, to) = (from.map_or(0, place), to.map_or(items.len(), place));
                let part = items.get(from..to).unwrap_or_default();
                budget.step(part.len())?;
                found.extend_from_slice(part);
            }
            (Self::All, Value::List(_)) => found.extend(list(heap).unwrap_or_default()),
            (Self::All, Value::Map(id)) => {
                found.extend(heap.maps[*id].entries().iter().map(|(_, value)| value.clone()));
            }
            (Self::Filter(filter), Value::List(_)) => {
                for item in list(heap).unwrap_or_default() {
                    if filter.holds(heap, budget, &item)? {
                        found.push(item);
                    }
                }
            }
            (Self::Filter(filter), Value::Map(_)) if filter.holds(heap, budget, value)? => found.push(value.clone()),
            (Self::Length, Value::List(id)) => found.push(Value::int(heap.lists[*id].items.len())),
            (Self::Length, Value::Map(id)) => found.push(Value::int(heap.maps[*id].entries().len())),
            _ => {}
        }
        budget.step(found.len() / 64)
    }
}

fn pick(items: &[Value], index: i64) -> Option<Value> {
    let place = if index < 0 { index.checked_add(i64::try_from(items.len()).ok()?)? } else { index };
    items.get(usize::try_from(place).ok()?).cloned()
}
