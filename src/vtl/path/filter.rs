//! Filter: `[?(…)]`, what an item must be.
//!
//! In: an item. Out: whether it holds. Never: conversions: a text never equals a number.

use std::cmp::Ordering;

use regex::Regex;

use super::Path;
use crate::vtl::VtlError;
use crate::vtl::limits::Budget;
use crate::vtl::value::{Heap, Value};

#[derive(Debug, Clone)]
pub(super) enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Path),
    Compare(Operand, Compare, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Matches,
    In,
    NotIn,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    /// From the item on.
    Path(Path),
    Value(Value),
    Values(Vec<Value>),
    Pattern(Regex),
}

// === impl Filter ===
impl Filter {
    pub(super) fn holds(&self, heap: &mut Heap, budget: &mut Budget, item: &Value) -> Result<bool, VtlError> {
        budget.step(1)?;
        match self {
            Self::Any(all) => {
                for one in all {
                    if one.holds(heap, budget, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::All(all) => {
                for one in all {
                    if !one.holds(heap, budget, item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Not(inner) => Ok(!inner.holds(heap, budget, item)?),
            Self::Exists(path) => Ok(match path.select(heap, budget, item)? {
                Value::Missing => false,
                Value::List(id) if !path.definite() => !heap.lists[id].items.is_empty(),
                _ => true,
            }),
            Self::Compare(left, operator, right) => {
                let left = left.value(heap, budget, item)?;
                let values = match right {
                    Operand::Pattern(pattern) => {
                        return Ok(matches!(&left, Value::Text(text) if pattern.is_match(text)));
                    }
                    Operand::Values(values) => values.clone(),
                    other => match other.value(heap, budget, item)? {
                        Value::List(id) if matches!(operator, Compare::In | Compare::NotIn) => {
                            heap.lists[id].items.clone()
                        }
                        value => vec![value],
                    },
                };
                budget.step(values.len())?;
                let equal = values.iter().any(|right| same(&left, right));
                Ok(match operator {
                    Compare::Equal | Compare::In => equal,
                    Compare::NotEqual | Compare::NotIn => !equal,
                    _ => values.first().and_then(|right| order(&left, right)).is_some_and(|found| match operator {
                        Compare::Less => found.is_lt(),
                        Compare::LessEqual => found.is_le(),
                        Compare::Greater => found.is_gt(),
                        _ => found.is_ge(),
                    }),
                })
            }
        }
    }
}

// === impl Operand ===
impl Operand {
    fn value(&self, heap: &mut Heap, budget: &mut Budget, item: &Value) -> Result<Value, VtlError> {
        match self {
            Self::Path(path) => path.select(heap, budget, item),
            Self::Value(value) => Ok(value.clone()),
            Self::Values(_) | Self::Pattern(_) => Ok(Value::Missing),
        }
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        _ => order(left, right) == Some(Ordering::Equal),
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.compare(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
