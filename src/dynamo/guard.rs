//! Guard: what must hold before an engine sees a request, so that no request can exhaust it.
//!
//! In: a body's bytes, then its JSON. Out: the JSON, or AWS's refusal. Never: what a request means.
//!
//! Limits are those of the developer guide, "Quotas in Amazon DynamoDB": expressions of 4 KB, 300 operators, values nested
//! 32 deep, names of 255 bytes, two MB of substitutions. DynamoDB documents no bound on parentheses; an expression with
//! more of them open at once than it may have operators says nothing that fewer would not.

use serde_json::{Map, Value};

use super::fault::Fault;

/// Bytes of an expression.
pub const EXPRESSION_MAX: usize = 4096;
/// Operators and functions of an expression.
pub const OPERATORS_MAX: usize = 300;
/// Parentheses of an expression or statement that are open at once.
pub const PARENTHESES_MAX: usize = 300;
/// Bytes of a PartiQL statement (API reference, "ExecuteStatement").
pub const STATEMENT_MAX: usize = 8192;
/// Bytes of one substitution's name, and of all substitutions together.
const PLACEHOLDER_MAX: usize = 255;
const SUBSTITUTIONS_MAX: usize = 2 << 20;
/// Brackets of the body that are open at once: 32 levels of a value are 64, and the request around them has a few more.
pub const BRACKETS_MAX: usize = 100;

const EXPRESSIONS: [&str; 5] =
    ["ConditionExpression", "FilterExpression", "KeyConditionExpression", "ProjectionExpression", "UpdateExpression"];
/// Levels of a request under which an expression may stand: TransactItems, its item, the action.
const EXPRESSION_LEVELS: usize = 4;

/// Reads a body.
///
/// # Errors
/// SerializationException for what is no JSON object; ValidationException for one that is nested too deeply.
pub fn read(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    if brackets(body) > BRACKETS_MAX {
        // What is too deep is still to be JSON to be told so, but reading it would need the depth.
        return Err(Fault::validation("Nesting Levels have exceeded supported limits"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Fault::serialization(Some("Unexpected value type in payload".to_owned()))),
        Err(_) => Err(Fault::serialization(None)),
    }
}

/// The most brackets that are open at once, outside of strings.
pub fn brackets(body: &[u8]) -> usize {
    let (mut open, mut most, mut at) = (0usize, 0, 0);
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = body.get(at) {
                    match byte {
                        b'\\' => at += 1,
                        b'"' => break,
                        _ => {}
                    }
                    at += 1;
                }
            }
            b'{' | b'[' => {
                open += 1;
                most = most.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    most
}

/// Checks every expression, statement and substitution of a request.
///
/// # Errors
/// ValidationException.
pub fn check(request: &Map<String, Value>) -> Result<(), Fault> {
    level(request, EXPRESSION_LEVELS)
}

fn level(members: &Map<String, Value>, levels: usize) -> Result<(), Fault> {
    for (name, value) in members {
        match value {
            Value::String(text) if EXPRESSIONS.contains(&name.as_str()) => expression(name, text)?,
            Value::String(text) if name == "Statement" => statement(text)?,
            Value::Object(map) if name.starts_with("ExpressionAttribute") => substitutions(name, map)?,
            Value::Object(map) if levels > 0 && !holds_values(name) => level(map, levels - 1)?,
            Value::Array(list) if levels > 0 && !holds_values(name) => {
                for map in list.iter().filter_map(Value::as_object) {
                    level(map, levels - 1)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Members whose names inside are the caller's: an attribute may be called "Statement".
fn holds_values(name: &str) -> bool {
    matches!(name, "Item" | "Key" | "Keys" | "Expected" | "AttributeUpdates" | "Parameters" | "ExclusiveStartKey")
}

fn expression(name: &str, text: &str) -> Result<(), Fault> {
    let refuse = |what: String| Err(Fault::validation(format!("Invalid {name}: {what}")));
    if text.len() > EXPRESSION_MAX {
        return refuse(format!(
            "Expression size has exceeded the maximum allowed size; expression size: {}",
            text.len()
        ));
    }
    if parentheses(text) > PARENTHESES_MAX {
        return refuse("The expression is nested too deeply".to_owned());
    }
    let operators = operators(text);
    if operators > OPERATORS_MAX {
        return refuse(format!(
            "The expression contains too many operators; operator count: {operators}, limit: {OPERATORS_MAX}"
        ));
    }
    Ok(())
}

fn statement(text: &str) -> Result<(), Fault> {
    if text.len() > STATEMENT_MAX {
        return Err(Fault::validation(format!(
            "1 validation error detected: Value at 'statement' failed to satisfy constraint: Member must have length \
             less than or equal to {STATEMENT_MAX}"
        )));
    }
    if parentheses(text) > PARENTHESES_MAX {
        return Err(Fault::validation("Statement wasn't well formed, can't be processed: nested too deeply"));
    }
    Ok(())
}

/// The most parentheses and brackets that are open at once. Strings are counted too: a statement's may be quoted in more
/// ways than one, and counting too many refuses only what nobody writes.
fn parentheses(text: &str) -> usize {
    let (mut open, mut most) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => {
                open += 1;
                most = most.max(open);
            }
            b')' | b']' | b'}' | b'>' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Comparators, `+`, `-`, keywords between operands, and functions: `BETWEEN … AND` is one.
fn operators(text: &str) -> usize {
    let (mut count, mut between, bytes) = (0usize, 0usize, text.as_bytes());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'<' | b'>' | b'=' => {
                if matches!((byte, bytes.get(at)), (b'<', Some(b'>' | b'=')) | (b'>', Some(b'='))) {
                    at += 1;
                }
                count += 1;
            }
            b'+' | b'-' => count += 1,
            b'(' => {}
            byte if byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'#' | b':') => {
                while bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                    at += 1;
                }
                let word = bytes.get(start..at).unwrap_or_default();
                let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
                if is("between") {
                    (between, count) = (between + 1, count + 1);
                } else if is("and") && between > 0 {
                    between -= 1;
                } else if is("and") || is("or") || is("not") || is("in") || bytes.get(at) == Some(&b'(') {
                    count += 1;
                }
            }
            _ => {}
        }
    }
    count
}

fn substitutions(name: &str, map: &Map<String, Value>) -> Result<(), Fault> {
    if let Some(long) = map.keys().find(|key| key.len() > PLACEHOLDER_MAX) {
        return Err(Fault::validation(format!(
            "{name} contains invalid key: the key is {} bytes long, {PLACEHOLDER_MAX} is the most",
            long.len()
        )));
    }
    let size = |value: &Value| value.as_str().map_or_else(|| weight(value), str::len);
    if map.iter().map(|(key, value)| key.len() + size(value)).sum::<usize>() > SUBSTITUTIONS_MAX {
        return Err(Fault::validation(format!("{name} exceeds the maximum size of {SUBSTITUTIONS_MAX} bytes")));
    }
    Ok(())
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Result<(), Fault> {
        check(&Map::from_iter([("ConditionExpression".to_owned(), Value::from(text))]))
    }

    #[test]
    fn expressions_are_bounded() {
        for (name, text, ok) in [
            ("plain", "a = :a".to_owned(), true),
            ("as many operators", vec!["a=:a"; 150].join(" AND "), true),
            ("too many operators", vec!["a=:a"; 151].join(" AND "), false),
            ("between is one operator", vec!["a BETWEEN :a AND :b"; 100].join(" OR "), true),
            ("functions count", vec!["size(a)"; 301].join(" "), false),
            ("open parentheses", "(".repeat(301), false),
            ("a deep one", format!("{}a{}", "(".repeat(300), ")".repeat(300)), true),
            ("long", "a".repeat(4096), true),
            ("too long", "a".repeat(4097), false),
        ] {
            assert_eq!(condition(&text).is_ok(), ok, "{name}");
        }
    }

    #[test]
    fn bodies() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)).into_bytes();
        assert!(read(&deep(BRACKETS_MAX)).is_ok());
        assert_eq!(read(&deep(BRACKETS_MAX + 1)).unwrap_err().name(), "ValidationException");
        assert_eq!(read(&deep(1_000_000)).unwrap_err().name(), "ValidationException");
        assert_eq!(read(&b"[".repeat(1_000_000)).unwrap_err().name(), "ValidationException");
        for bad in ["", "{", "nonsense", "[1]", "1", "\"", "\"\\"] {
            assert_eq!(read(bad.as_bytes()).unwrap_err().name(), "SerializationException", "{bad}");
        }
        assert_eq!(brackets(br#"{"a":"[[[[\"[[","b":[{}]}"#), 3);
    }

    #[test]
    fn an_attribute_may_have_any_name() {
        let long = "x".repeat(5000);
        let request = serde_json::json!({"Item": {"Statement": {"S": long}, "FilterExpression": long}});
        assert_eq!(check(request.as_object().unwrap()), Ok(()));
        let nested = serde_json::json!({"TransactItems": [{"Put": {"ConditionExpression": "(".repeat(4000)}}]});
        assert!(check(nested.as_object().unwrap()).is_err());
    }
}
