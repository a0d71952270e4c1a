//! Key: what a cached item or result is found by.
//!
//! In: requests. Out: bytes that are the same for requests that mean the same. Never: a request that needs the engine's
//! judgement.

use serde_json::{Map, Value};

use super::super::expression::Projection;
use super::super::request::{Request, canonical_map, object, text};

/// A GetItem that the item cache may answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    pub key: Vec<u8>,
    /// `None` = the whole item.
    pub projection: Option<Projection>,
    /// Names the projection as it was written; the engine has to have taken it once.
    pub form: Option<String>,
}

/// Members of a GetItem, or of a table's part of BatchGetItem, that the cache understands.
const KNOWN: [&str; 7] = [
    "TableName",
    "Key",
    "Keys",
    "ConsistentRead",
    "ProjectionExpression",
    "ExpressionAttributeNames",
    "ReturnConsumedCapacity",
];

/// What `asked` asks of the item `key`; `None`: the engine has to be asked.
pub fn lookup(asked: &Request, key: &Request) -> Option<Lookup> {
    let plain = asked.iter().all(|(name, value)| match name.as_str() {
        "ConsistentRead" => value == &Value::Bool(false) || value.is_null(),
        name => KNOWN.contains(&name),
    });
    if !plain {
        return None;
    }
    let names = object(asked, "ExpressionAttributeNames");
    let (projection, form) = match text(asked, "ProjectionExpression") {
        Some(text) => {
            let form = format!("{text}\0{}", names.map(canonical_map).unwrap_or_default());
            (Some(Projection::read(text, names)?), Some(form))
        }
        // Names without an expression are an error.
        None if asked.contains_key("ExpressionAttributeNames") || asked.contains_key("ProjectionExpression") => {
            return None;
        }
        None => (None, None),
    };
    Some(Lookup { key: item(key)?, projection, form })
}

/// An item's key: names in order, numbers in one form.
pub fn item(key: &Request) -> Option<Vec<u8>> {
    let mut parts: Vec<(&String, &str, String)> = Vec::with_capacity(2);
    for (name, value) in key {
        let (kind, value) = scalar(value)?;
        parts.push((name, kind, value));
    }
    if parts.is_empty() || parts.len() > 2 {
        return None;
    }
    parts.sort();
    let mut out = Vec::new();
    for (name, kind, value) in parts {
        for part in [name.as_str(), kind, value.as_str()] {
            out.extend_from_slice(&(part.len() as u32).to_be_bytes());
            out.extend_from_slice(part.as_bytes());
        }
    }
    Some(out)
}

/// A key value's type, and its value in one form.
pub fn scalar(value: &Value) -> Option<(&str, String)> {
    let (kind, value) = value.as_object().filter(|typed| typed.len() == 1)?.iter().next()?;
    let value = value.as_str()?;
    let value = match kind.as_str() {
        "S" | "B" => value.to_owned(),
        "N" => number(value)?,
        _ => return None,
    };
    Some((kind, value))
}

/// The key's attributes of an item.
pub fn of_item(item: &Request, hash: &str, range: Option<&str>) -> Request {
    let keys = std::iter::once(hash).chain(range);
    keys.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect()
}

/// A number's digits without zeros that say nothing, and its exponent; `None` for what is no number.
fn number(text: &str) -> Option<String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || all.len() > 512 || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let trimmed = all.trim_start_matches('0');
    let significant = trimmed.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let exponent = exponent.checked_add(i32::try_from(trimmed.len() - significant.len()).ok()?)?;
    Some(format!("{}{significant}e{exponent}", if negative { "-" } else { "" }))
}

/// A query or scan, whatever the order of its members; what it is to say of its cost left out.
pub fn search(op: &str, asked: &Request) -> String {
    let members: Map<String, Value> = asked
        .iter()
        .filter(|(name, _)| *name != "ReturnConsumedCapacity")
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    format!("{op}\0{}", canonical_map(&members))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_that_mean_the_same() {
        let key = |value: Value| item(value.as_object().unwrap());
        for (a, b, same) in [
            (json!({"pk": {"S": "a"}, "sk": {"N": "1"}}), json!({"sk": {"N": "1.0"}, "pk": {"S": "a"}}), true),
            (json!({"pk": {"N": "100"}}), json!({"pk": {"N": "1e2"}}), true),
            (json!({"pk": {"N": "-0.50"}}), json!({"pk": {"N": "-5E-1"}}), true),
            (json!({"pk": {"N": "0"}}), json!({"pk": {"N": "-0.0"}}), true),
            (json!({"pk": {"N": "1"}}), json!({"pk": {"S": "1"}}), false),
            (json!({"pk": {"N": "1"}}), json!({"pk": {"N": "10"}}), false),
            (json!({"pk": {"S": "ab"}, "sk": {"S": "c"}}), json!({"pk": {"S": "a"}, "sk": {"S": "bc"}}), false),
        ] {
            assert_eq!(key(a.clone()) == key(b.clone()), same, "{a} {b}");
        }
        for bad in [
            json!({}),
            json!({"pk": {"N": "x"}}),
            json!({"pk": {"N": ""}}),
            json!({"pk": {"BOOL": true}}),
            json!({"pk": "a"}),
            json!({"pk": {"S": "a", "N": "1"}}),
        ] {
            assert_eq!(key(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn what_the_cache_may_answer() {
        let key = json!({"pk": {"S": "a"}});
        for (asked, may) in [
            (json!({}), true),
            (json!({"ConsistentRead": false, "ReturnConsumedCapacity": "TOTAL"}), true),
            (json!({"ConsistentRead": true}), false),
            (json!({"AttributesToGet": ["a"]}), false),
            (json!({"ProjectionExpression": "a, #b", "ExpressionAttributeNames": {"#b": "b"}}), true),
            (json!({"ProjectionExpression": "a b"}), false),
            (json!({"ExpressionAttributeNames": {"#b": "b"}}), false),
        ] {
            assert_eq!(lookup(asked.as_object().unwrap(), key.as_object().unwrap()).is_some(), may, "{asked}");
        }
    }

    #[test]
    fn searches_that_mean_the_same() {
        let of = |value: Value| search("Query", value.as_object().unwrap());
        assert_eq!(
            of(json!({"a": 1, "b": {"y": [1], "x": 2}})),
            of(json!({"b": {"x": 2, "y": [1]}, "a": 1, "ReturnConsumedCapacity": "TOTAL"}))
        );
        assert_ne!(of(json!({"a": 1})), of(json!({"a": 2})));
    }
}
