//! Eval: expressions and references → values.
//!
//! In: a tree, the names of one rendering. Out: a value; null for what is not there. Never: an exception for a wrong type, which
//! Velocity only logs.

use std::cmp::Ordering;
use std::sync::Arc;

use super::VtlError;
use super::number::Number;
use super::render::Machine;
use super::syntax::{At, Expression, Operator, Reference, Step};
use super::value::{Map, Value};

// === impl Machine ===
impl Machine<'_> {
    pub(super) fn value(&mut self, expression: &Expression) -> Result<Value, VtlError> {
        self.budget.enter()?;
        self.budget.step(1)?;
        let value = match expression {
            Expression::Bool(bool) => Value::Bool(*bool),
            Expression::Number(number) => Value::Number(number.clone()),
            Expression::Text(text) => Value::Text(Arc::clone(text)),
            Expression::Interpolated(block) => Value::Text(self.rendered(block)?),
            Expression::Reference(reference) => self.reference(reference)?,
            Expression::List(items) => {
                let items = self.values(items)?;
                self.heap.list(items, false)
            }
            Expression::Map(pairs) => {
                let mut map = Map::default();
                for (key, value) in pairs {
                    let key = self.value(key)?;
                    let (key, value) = (self.text(&key)?, self.value(value)?);
                    map.put(key, value);
                }
                self.heap.map(map)
            }
            Expression::Range(first, last) => self.range(first, last)?,
            Expression::Not(inner) => Value::Bool(!self.test(inner)?),
            Expression::Chain(first, rest) => self.chain(first, rest)?,
        };
        self.budget.leave();
        Ok(value)
    }

    pub(super) fn values(&mut self, all: &[Expression]) -> Result<Vec<Value>, VtlError> {
        all.iter().map(|one| self.value(one)).collect()
    }

    /// As a condition. A string, number, list or sum is false there, whatever it holds: Velocity 1.7 asks references, `true`,
    /// comparisons and logic only.
    pub(super) fn test(&mut self, expression: &Expression) -> Result<bool, VtlError> {
        match expression {
            Expression::Reference(_) | Expression::Bool(_) | Expression::Not(_) => Ok(self.value(expression)?.truth()),
            Expression::Chain(_, rest) => {
                let sum = rest.first().is_some_and(|(operator, _)| operator.is_arithmetic());
                Ok(!sum && self.value(expression)?.truth())
            }
            _ => Ok(false),
        }
    }

    fn range(&mut self, first: &Expression, last: &Expression) -> Result<Value, VtlError> {
        let (first, last) = (self.value(first)?, self.value(last)?);
        let (Some(first), Some(last)) = (Self::as_int(&first), Self::as_int(&last)) else { return Ok(Value::Null) };
        self.budget.step(usize::try_from(first.abs_diff(last)).unwrap_or(usize::MAX))?;
        let number = |int| Value::Number(Number::Int(int));
        let items = match first <= last {
            true => (first..=last).map(number).collect(),
            false => (last..=first).rev().map(number).collect(),
        };
        Ok(self.heap.list(items, false))
    }

    fn chain(&mut self, first: &Expression, rest: &[(Operator, Expression)]) -> Result<Value, VtlError> {
        // Logic looks no further than it must.
        if let Some((operator @ (Operator::And | Operator::Or), _)) = rest.first() {
            let end = *operator == Operator::Or;
            let mut all = std::iter::once(first).chain(rest.iter().map(|(_, operand)| operand));
            let decided = all.try_fold(!end, |_, operand| match self.test(operand) {
                Ok(found) if found == end => Err(Ok(end)),
                Ok(found) => Ok(found),
                Err(error) => Err(Err(error)),
            });
            return match decided {
                Ok(found) | Err(Ok(found)) => Ok(Value::Bool(found)),
                Err(Err(error)) => Err(error),
            };
        }
        let mut left = self.value(first)?;
        let mut left_tree = Some(first);
        for (operator, operand) in rest {
            let right = self.value(operand)?;
            left = self.apply(*operator, (left, left_tree), (right, Some(operand)))?;
            left_tree = None;
        }
        Ok(left)
    }

    fn apply(
        &mut self,
        operator: Operator,
        (left, left_tree): (Value, Option<&Expression>),
        (right, right_tree): (Value, Option<&Expression>),
    ) -> Result<Value, VtlError> {
        let numbers = match (&left, &right) {
            (Value::Number(a), Value::Number(b)) => Some((a, b)),
            _ => None,
        };
        let ordered = |wanted: &[Ordering]| {
            Value::Bool(numbers.and_then(|(a, b)| a.compare(b)).is_some_and(|found| wanted.contains(&found)))
        };
        Ok(match operator {
            Operator::Equal => Value::Bool(self.equal(&left, &right)?),
            Operator::NotEqual => Value::Bool(!self.equal(&left, &right)?),
            Operator::Less => ordered(&[Ordering::Less]),
            Operator::LessEqual => ordered(&[Ordering::Less, Ordering::Equal]),
            Operator::Greater => ordered(&[Ordering::Greater]),
            Operator::GreaterEqual => ordered(&[Ordering::Greater, Ordering::Equal]),
            Operator::Add if is_text(&left) || is_text(&right) => {
                let (left, right) = (self.operand(&left, left_tree)?, self.operand(&right, right_tree)?);
                self.budget.make(left.len() + right.len())?;
                Value::text([&*left, &*right].concat())
            }
            _ => numbers.and_then(|(a, b)| Number::calculate(operator, a, b)).map_or(Value::Null, Value::Number),
        })
    }

    /// Text to put together; of a reference without a value, the reference itself.
    fn operand(&mut self, value: &Value, tree: Option<&Expression>) -> Result<Arc<str>, VtlError> {
        match tree {
            Some(Expression::Reference(reference)) if value.is_null() => Ok(self.written_for(reference)),
            _ => self.text(value),
        }
    }

    /// Numbers by their value, everything else by its text; null only equals null (and what is missing).
    pub(super) fn equal(&mut self, left: &Value, right: &Value) -> Result<bool, VtlError> {
        match (left, right) {
            (Value::Number(a), Value::Number(b)) => Ok(a.compare(b) == Some(Ordering::Equal)),
            (Value::Null | Value::Missing, Value::Null | Value::Missing) => Ok(true),
            (Value::Null, _) | (_, Value::Null) => Ok(false),
            (Value::List(a), Value::List(b)) | (Value::Map(a), Value::Map(b)) if a == b => Ok(true),
            _ => {
                let (left, right) = (self.text(left)?, self.text(right)?);
                self.budget.step(left.len().min(right.len()) / 64)?;
                Ok(left == right)
            }
        }
    }

    pub(super) fn reference(&mut self, reference: &Reference) -> Result<Value, VtlError> {
        let value = self.names.get(&reference.name).cloned().unwrap_or(Value::Null);
        self.walk(value, &reference.steps, reference.at)
    }

    fn walk(&mut self, mut value: Value, steps: &[Step], at: At) -> Result<Value, VtlError> {
        for step in steps {
            if value.is_null() {
                return Ok(Value::Null);
            }
            self.budget.step(1)?;
            value = match step {
                Step::Property(name) => self.property(&value, name)?,
                Step::Index(index) => {
                    let index = self.value(index)?;
                    self.index(&value, &index, at)?
                }
                Step::Call(name, arguments) => {
                    let arguments = self.values(arguments)?;
                    self.call(&value, name, &arguments, at)?
                }
            };
        }
        Ok(value)
    }

    /// `#set`: null changes nothing, as by Velocity's default.
    pub(super) fn assign(&mut self, target: &Reference, value: Value) -> Result<(), VtlError> {
        if value.is_null() {
            return Ok(());
        }
        let Some((last, steps)) = target.steps.split_last() else {
            self.names.insert(Arc::clone(&target.name), value);
            return Ok(());
        };
        let holder = self.names.get(&target.name).cloned().unwrap_or(Value::Null);
        let holder = self.walk(holder, steps, target.at)?;
        let key = match last {
            Step::Property(name) => Value::Text(Arc::clone(name)),
            Step::Index(index) => self.value(index)?,
            Step::Call(..) => return Ok(()),
        };
        match holder {
            Value::Map(id) => {
                let key = self.text(&key)?;
                self.heap.maps[id].put(key, value);
            }
            Value::List(id) => {
                let place = self.place(id, &key, target.at)?;
                if let Some(place) = place {
                    self.heap.lists[id].items[place] = value;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Where in a list an index points; negative ones count from the end.
    pub(super) fn place(&self, list: usize, index: &Value, at: At) -> Result<Option<usize>, VtlError> {
        let Some(index) = Self::as_int(index) else { return Ok(None) };
        let length = self.heap.lists[list].items.len();
        let from_start = if index < 0 { index.saturating_add(length as i64) } else { index };
        match usize::try_from(from_start) {
            Ok(place) if place < length => Ok(Some(place)),
            _ => Err(VtlError::Call { at, message: format!("index {index} is out of a list of {length}") }),
        }
    }

    fn index(&mut self, value: &Value, index: &Value, at: At) -> Result<Value, VtlError> {
        match value {
            Value::List(id) => {
                Ok(self.place(*id, index, at)?.map_or(Value::Null, |place| self.heap.lists[*id].items[place].clone()))
            }
            Value::Map(id) => {
                let key = self.text(index)?;
                Ok(self.heap.maps[*id].get(&key))
            }
            Value::Missing => Ok(Value::Missing),
            _ if Self::as_int(index).is_some_and(|index| index < 0) => {
                Err(VtlError::Call { at, message: "a negative index wants a list".to_owned() })
            }
            _ => Ok(Value::Null),
        }
    }
}

// === impl Operator ===
impl Operator {
    fn is_arithmetic(self) -> bool {
        use Operator::{Add, Divide, Multiply, Remainder, Subtract};
        matches!(self, Add | Subtract | Multiply | Divide | Remainder)
    }
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::Missing)
}
