//! Collection: the methods of `java.util.List` and `java.util.Map`.
//!
//! In: a list or map of the heap. Out: what Java returns; the heap changed as Java's object is. Never: live views: `keySet` is a copy.

use std::sync::Arc;

use crate::vtl::VtlError;
use crate::vtl::render::Machine;
use crate::vtl::syntax::At;
use crate::vtl::value::Value;

// === impl Machine ===
impl Machine<'_> {
    pub(super) fn call_list(&mut self, id: usize, name: &str, arguments: &[Value], at: At) -> Result<Value, VtlError> {
        let length = self.heap.lists[id].items.len();
        match (name, arguments) {
            ("size", []) => return Ok(Value::int(length)),
            ("isEmpty", []) => return Ok(Value::Bool(length == 0)),
            ("get", [index]) => {
                return Ok(self
                    .at(id, index, at)?
                    .map_or(Value::Null, |place| self.heap.lists[id].items[place].clone()));
            }
            ("add", [value]) => {
                self.heap.lists[id].items.push(value.clone());
                return Ok(Value::Bool(true));
            }
            ("set", [index, value]) => {
                let Some(place) = self.at(id, index, at)? else { return Ok(Value::Null) };
                return Ok(std::mem::replace(&mut self.heap.lists[id].items[place], value.clone()));
            }
            _ => {}
        }
        self.budget.step(length)?;
        match (name, arguments) {
            ("add", [index, value]) => {
                let place = match Self::as_int(index) {
                    Some(index) if usize::try_from(index) == Ok(length) => length,
                    _ => self.at(id, index, at)?.unwrap_or(length),
                };
                self.heap.lists[id].items.insert(place, value.clone());
                Ok(nothing())
            }
            ("addAll", [other]) => {
                let more = self.items(other)?;
                let changed = !more.is_empty();
                self.heap.lists[id].items.extend(more);
                Ok(Value::Bool(changed))
            }
            ("remove", [index @ Value::Number(_)]) => {
                let place = self.at(id, index, at)?;
                Ok(place.map_or(Value::Null, |place| self.heap.lists[id].items.remove(place)))
            }
            ("remove", [value]) => {
                let place = self.find(id, value)?;
                if let Some(place) = place {
                    self.heap.lists[id].items.remove(place);
                }
                Ok(Value::Bool(place.is_some()))
            }
            ("clear", []) => {
                self.heap.lists[id].items.clear();
                Ok(nothing())
            }
            ("contains", [value]) => Ok(Value::Bool(self.find(id, value)?.is_some())),
            ("containsAll", [other]) => {
                for value in self.items(other)? {
                    if self.find(id, &value)?.is_none() {
                        return Ok(Value::Bool(false));
                    }
                }
                Ok(Value::Bool(true))
            }
            ("indexOf", [value]) => {
                let place = self.find(id, value)?;
                Ok(place.map_or(Value::Number(crate::vtl::number::Number::Int(-1)), Value::int))
            }
            ("subList", [from, to]) => {
                let bounds = (Self::as_int(from), Self::as_int(to));
                let (Some(from), Some(to)) = bounds else { return Ok(Value::Null) };
                let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
                let part = range.and_then(|(from, to)| self.heap.lists[id].items.get(from..to)).map(<[Value]>::to_vec);
                let part = part.ok_or_else(|| VtlError::Call { at, message: format!("{from} to {to} of {length}") })?;
                let json = self.heap.lists[id].json;
                Ok(self.heap.list(part, json))
            }
            ("iterator" | "toArray" | "stream", []) => Ok(Value::List(id)),
            _ => Ok(Value::Null),
        }
    }

    /// `List.get` takes no negative index, unlike `$list[-1]`.
    fn at(&self, id: usize, index: &Value, at: At) -> Result<Option<usize>, VtlError> {
        match Self::as_int(index) {
            Some(index) if index < 0 => Err(VtlError::Call { at, message: format!("index {index} is out of a list") }),
            _ => self.place(id, index, at),
        }
    }

    fn items(&mut self, value: &Value) -> Result<Vec<Value>, VtlError> {
        let items = match value {
            Value::List(id) => self.heap.lists[*id].items.clone(),
            _ => Vec::new(),
        };
        self.budget.step(items.len())?;
        Ok(items)
    }

    /// Java's `equals`: a text never equals a number.
    fn find(&mut self, id: usize, wanted: &Value) -> Result<Option<usize>, VtlError> {
        for place in 0..self.heap.lists[id].items.len() {
            let item = self.heap.lists[id].items[place].clone();
            self.budget.step(1)?;
            if std::mem::discriminant(&item) == std::mem::discriminant(wanted) && self.equal(&item, wanted)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(super) fn call_map(&mut self, id: usize, name: &str, arguments: &[Value]) -> Result<Value, VtlError> {
        let length = self.heap.maps[id].entries().len();
        match (name, arguments) {
            ("get", [key]) => {
                let key = self.text(key)?;
                return Ok(self.heap.maps[id].get(&key));
            }
            ("getOrDefault", [key, default]) => {
                let key = self.text(key)?;
                let map = &self.heap.maps[id];
                return Ok(if map.contains(&key) { map.get(&key) } else { default.clone() });
            }
            ("containsKey", [key]) => {
                let key = self.text(key)?;
                return Ok(Value::Bool(self.heap.maps[id].contains(&key)));
            }
            ("put", [key, value]) => {
                let key = self.text(key)?;
                return Ok(self.heap.maps[id].put(key, value.clone()));
            }
            ("size", []) => return Ok(Value::int(length)),
            ("isEmpty", []) => return Ok(Value::Bool(length == 0)),
            _ => {}
        }
        self.budget.step(length)?;
        let entries = || self.heap.maps[id].entries().to_vec();
        let list: Vec<Value> = match (name, arguments) {
            ("keySet", []) => entries().into_iter().map(|(key, _)| Value::Text(key)).collect(),
            ("values", []) => entries().into_iter().map(|(_, value)| value).collect(),
            ("entrySet", []) => entries().into_iter().map(|entry| Value::Entry(Arc::new(entry))).collect(),
            ("containsValue", [wanted]) => {
                for (_, value) in entries() {
                    if std::mem::discriminant(&value) == std::mem::discriminant(wanted) && self.equal(&value, wanted)? {
                        return Ok(Value::Bool(true));
                    }
                }
                return Ok(Value::Bool(false));
            }
            ("remove", [key]) => {
                let key = self.text(key)?;
                return Ok(self.heap.maps[id].remove(&key));
            }
            ("putAll", [Value::Map(other)]) => {
                let more = self.heap.maps[*other].entries().to_vec();
                self.budget.step(more.len())?;
                for (key, value) in more {
                    self.heap.maps[id].put(key, value);
                }
                return Ok(nothing());
            }
            ("clear", []) => {
                self.heap.maps[id].clear();
                return Ok(nothing());
            }
            _ => return Ok(Value::Null),
        };
        Ok(self.heap.list(list, false))
    }
}

/// What a method that returns nothing prints.
fn nothing() -> Value {
    Value::text("")
}
