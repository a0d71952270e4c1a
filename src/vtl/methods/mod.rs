//! Methods: Java's properties and methods, as far as mapping templates use them.
//!
//! In: a value, a name, arguments. Out: what Java returns; null for a method that there is none of, which prints the reference as
//! written. Never: reflection (`getClass`), or anything that leaves the template.

mod collection;
mod text;

use std::sync::Arc;

use super::VtlError;
use super::number::Number;
use super::render::Machine;
use super::syntax::At;
use super::value::Value;

// === impl Machine ===
impl Machine<'_> {
    /// `$value.name`: a map's entry, or what the getter of that name returns.
    pub(super) fn property(&mut self, value: &Value, name: &str) -> Result<Value, VtlError> {
        Ok(match (value, name) {
            (Value::Map(id), _) => self.heap.maps[*id].get(name),
            (Value::Missing, _) => Value::Missing,
            (Value::Input, "body") => self.raw_body(),
            (Value::List(id), "empty") => Value::Bool(self.heap.lists[*id].items.is_empty()),
            (Value::Text(text), "empty") => Value::Bool(text.is_empty()),
            (Value::Entry(entry), "key") => Value::Text(Arc::clone(&entry.0)),
            (Value::Entry(entry), "value") => entry.1.clone(),
            (Value::Loop(level), _) => self.round(*level, name),
            _ => Value::Null,
        })
    }

    fn round(&self, level: usize, name: &str) -> Value {
        let Some(round) = self.loops.get(level) else { return Value::Null };
        match name {
            "index" => Value::int(round.index),
            "count" => Value::int(round.index + 1),
            "hasNext" => Value::Bool(round.index + 1 < round.count),
            "first" => Value::Bool(round.index == 0),
            "last" => Value::Bool(round.index + 1 == round.count),
            "parent" if level > 0 => Value::Loop(level - 1),
            "topmost" => Value::Loop(0),
            _ => Value::Null,
        }
    }

    pub(super) fn call(&mut self, value: &Value, name: &str, arguments: &[Value], at: At) -> Result<Value, VtlError> {
        match value {
            Value::Input => return self.input(name, arguments, at),
            Value::Util => return self.util(name, arguments),
            Value::Loop(level) => {
                let name = match name.strip_prefix("get").or_else(|| name.strip_prefix("is")) {
                    Some(rest) => rest.to_ascii_lowercase(),
                    None => name.to_owned(),
                };
                return Ok(self.round(*level, &name));
            }
            _ => {}
        }
        match (name, arguments) {
            ("toString", []) => return Ok(Value::Text(self.text(value)?)),
            ("equals", [other]) => {
                let same = std::mem::discriminant(value) == std::mem::discriminant(other);
                return Ok(Value::Bool(same && self.equal(value, other)?));
            }
            ("compareTo", [other]) if std::mem::discriminant(value) != std::mem::discriminant(other) => {
                return Err(VtlError::Call { at, message: "compareTo of another type".to_owned() });
            }
            _ => {}
        }
        match value {
            Value::Missing => self.call_text(&Arc::from(""), name, arguments, at),
            Value::Text(text) => self.call_text(text, name, arguments, at),
            Value::List(id) => self.call_list(*id, name, arguments, at),
            Value::Map(id) => self.call_map(*id, name, arguments),
            Value::Entry(entry) => Ok(match name {
                "getKey" => Value::Text(Arc::clone(&entry.0)),
                "getValue" => entry.1.clone(),
                _ => Value::Null,
            }),
            Value::Number(number) => self.call_number(number, name, arguments, at),
            Value::Bool(bool) => Ok(match (name, arguments) {
                ("booleanValue", []) => Value::Bool(*bool),
                ("parseBoolean" | "valueOf", [text]) => Value::Bool(self.text(text)?.eq_ignore_ascii_case("true")),
                _ => Value::Null,
            }),
            _ => Ok(Value::Null),
        }
    }

    /// A number's methods and, because templates write `#set($Integer = 0)$Integer.parseInt("1")`, those of its class.
    fn call_number(&mut self, own: &Number, name: &str, arguments: &[Value], at: At) -> Result<Value, VtlError> {
        let number = match (name, arguments) {
            ("intValue" | "longValue" | "shortValue", []) => Number::Int(own.int()),
            ("doubleValue" | "floatValue", []) => Number::Double(own.double()),
            ("parseInt" | "parseLong" | "valueOf" | "parseDouble" | "parseFloat" | "toString", [argument]) => {
                let text = self.text(argument)?;
                if name == "toString" {
                    return Ok(Value::Text(text));
                }
                let double = name.ends_with("Double") || name.ends_with("Float") || matches!(own, Number::Double(_));
                let read = match double {
                    true => text.trim().parse().ok().map(Number::Double),
                    false => text.strip_prefix('+').unwrap_or(&text).parse().ok().map(Number::Int),
                };
                read.ok_or_else(|| VtlError::Call { at, message: format!("{text:?} is no number") })?
            }
            ("compareTo", [Value::Number(other)]) => Number::Int(own.compare(other).map_or(0, |order| order as i64)),
            ("abs", [Value::Number(other)]) => match other {
                Number::Int(int) => Number::Int(int.saturating_abs()),
                other => Number::Double(other.double().abs()),
            },
            ("max" | "min", [Value::Number(a), Value::Number(b)]) => {
                let first = a.compare(b).is_some_and(|order| if name == "max" { order.is_ge() } else { order.is_le() });
                if first { a.clone() } else { b.clone() }
            }
            _ => return Ok(Value::Null),
        };
        Ok(Value::Number(number))
    }
}
