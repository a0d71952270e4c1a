//! Request: members of a request's JSON, by name and type.
//!
//! In: an object. Out: a member, if it has the type. Never: a refusal.

use serde_json::{Map, Value};

/// A request, or an object in one.
pub type Request = Map<String, Value>;

pub fn text<'a>(members: &'a Request, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

pub fn object<'a>(members: &'a Request, name: &str) -> Option<&'a Request> {
    members.get(name).and_then(Value::as_object)
}

/// Elements of a list; none when there is no such list.
pub fn list<'a>(members: &'a Request, name: &str) -> impl Iterator<Item = &'a Value> {
    members.get(name).and_then(Value::as_array).into_iter().flatten()
}

pub fn flag(members: &Request, name: &str) -> bool {
    members.get(name) == Some(&Value::Bool(true))
}

/// JSON with its members in order, whatever order they are kept in.
pub fn canonical_map(members: &Map<String, Value>) -> String {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let each: Vec<String> =
        sorted.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value))).collect();
    format!("{{{}}}", each.join(","))
}

/// The same for any value.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => canonical_map(members),
        Value::Array(list) => format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
