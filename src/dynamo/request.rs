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
