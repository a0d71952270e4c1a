//! Size: the bytes that DynamoDB counts of an item (developer guide, "DynamoDB item sizes and formats").
//!
//! In: an item in wire JSON. Out: bytes, and write units for them. Never: a table.

use serde_json::{Map, Value};

/// Bytes of an item: names and values.
pub fn item(item: &Map<String, Value>) -> usize {
    item.iter().map(|(name, value)| name.len() + attribute(value)).sum()
}

/// Bytes of one typed value, `{"S": "…"}`.
pub fn attribute(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|typed| typed.iter().next()) else { return 0 };
    let text = value.as_str().unwrap_or_default();
    let list = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = || list().iter().filter_map(Value::as_str);
    match kind.as_str() {
        "S" => text.len(),
        "N" => number(text),
        "B" => decoded(text),
        "BOOL" | "NULL" => 1,
        "SS" => texts().map(str::len).sum(),
        "NS" => texts().map(number).sum(),
        "BS" => texts().map(decoded).sum(),
        "L" => 3 + list().iter().map(|value| 1 + attribute(value)).sum::<usize>(),
        "M" => {
            let map = value.as_object();
            3 + map.into_iter().flatten().map(|(name, value)| 1 + name.len() + attribute(value)).sum::<usize>()
        }
        _ => 0,
    }
}

/// Bytes that base64 stands for.
fn decoded(text: &str) -> usize {
    let padding = text.bytes().rev().take(2).filter(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// One byte, one for each two significant digits on either side of the point, and one for a sign.
fn number(text: &str) -> usize {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or(0)),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let leading = all.iter().take_while(|b| **b == b'0').count();
    let trailing = all.iter().rev().take_while(|b| **b == b'0').count();
    let significant = all.len().saturating_sub(leading + trailing) as i64;
    if leading == all.len() {
        return 1;
    }
    // Digits before the point, counted from the first significant one; some may be zeros that were trimmed.
    let before = whole.len() as i64 - leading as i64 + exponent;
    // Pairs are counted from the point: a digit that shares its pair with a trimmed zero costs as much as two.
    let pairs = |digits: i64| (digits.max(0) as usize).div_ceil(2);
    let whole = before.clamp(0, significant);
    1 + pairs(whole) + pairs(significant - whole) + usize::from(negative)
}

/// Write units of `bytes`.
pub fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (value, want) in [
            (r#"{"S":"abc"}"#, 3),
            (r#"{"S":"é"}"#, 2),
            (r#"{"B":"AAAA"}"#, 3),
            (r#"{"B":"AA=="}"#, 1),
            (r#"{"BOOL":true}"#, 1),
            (r#"{"NULL":true}"#, 1),
            (r#"{"SS":["a","bc"]}"#, 3),
            (r#"{"L":[]}"#, 3),
            (r#"{"L":[{"S":"a"},{"BOOL":true}]}"#, 7),
            (r#"{"M":{"k":{"S":"v"}}}"#, 6),
            (r#"{"N":"0"}"#, 1),
            (r#"{"N":"1"}"#, 2),
            (r#"{"N":"-1"}"#, 3),
            (r#"{"N":"123"}"#, 3),
            (r#"{"N":"1000"}"#, 2),
            (r#"{"N":"1.5"}"#, 3),
            (r#"{"N":"12345678901234567890123456789012345678"}"#, 20),
        ] {
            assert_eq!(attribute(&serde_json::from_str(value).unwrap()), want, "{value}");
        }
    }

    #[test]
    fn numbers_are_sized_as_the_engine_sizes_them() {
        for text in ["0", "1", "-1", "10", "100", "123", "0.001", "1.5", "-12.345", "1e10", "1.25e-3", "99999", "0.10"]
        {
            assert_eq!(number(text), dynoxide::types::number_size(text), "{text}");
        }
    }

    #[test]
    fn units() {
        for (bytes, want) in [(0, 1.0), (1, 1.0), (1024, 1.0), (1025, 2.0), (4096, 4.0), (4097, 5.0)] {
            assert_eq!(write_units(bytes), want, "{bytes}");
        }
    }
}
