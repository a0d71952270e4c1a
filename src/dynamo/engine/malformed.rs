//! Malformed: what AWS says of a request whose members have the wrong types.
//!
//! In: serde's error, as the engine's types raise it. Out: a [`Fault`]. Never: serde's own words.

use super::super::fault::Fault;

/// Prefixes by which the engine's types say what class of error they mean; the longer ones first.
const MARKERS: [(&str, bool); 5] = [
    ("SERIALIZATION_AS_READ:", false),
    ("VALIDATION_AS_READ:", true),
    ("VALIDATION_REQUEST:", true),
    ("SERIALIZATION:", false),
    ("VALIDATION:", true),
];

/// The fault for `error`.
pub fn fault(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let text = text.split_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    for (marker, validation) in MARKERS {
        if let Some(message) = text.strip_prefix(marker) {
            return match validation {
                true => Fault::validation(message),
                false if message.is_empty() => Fault::serialization(None),
                false => Fault::serialization(Some(message.to_owned())),
            };
        }
    }
    if text.contains("empty AttributeValue") {
        let empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
        return Fault::validation(empty);
    }
    if text.contains("Supplied AttributeValue") {
        return Fault::validation(text);
    }
    if let Some(member) = quoted(text).filter(|_| text.starts_with("missing field")) {
        let member = lower_first(member);
        return Fault::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ));
    }
    if text.starts_with("unknown variant") || text.contains("invalid type: null") {
        return Fault::validation(format!("1 validation error detected: {text}"));
    }
    Fault::serialization(Some(mistyped(text)))
}

fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// "invalid type: integer `23`, expected a string" in the words of AWS's framework.
fn mistyped(text: &str) -> String {
    let Some((found, expected)) = text.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    else {
        return "Unexpected value type in payload".to_owned();
    };
    let found = match found.split_whitespace().next() {
        Some("integer") => "NUMBER_VALUE",
        Some("floating") => "DECIMAL_VALUE",
        Some("string") => "STRING_VALUE",
        Some("boolean") if found.contains("true") => "TRUE_VALUE",
        Some("boolean") => "FALSE_VALUE",
        Some("sequence") => return "Unrecognized collection type class java.util.ArrayList".to_owned(),
        _ => return "Start of structure or map found where not expected.".to_owned(),
    };
    let wanted = match expected {
        "a string" => "String",
        "a boolean" => "Boolean",
        _ if expected.contains("sequence") || expected.contains("map") || expected.contains("struct") => {
            return "Unexpected field type".to_owned();
        }
        _ => "Integer",
    };
    format!("{found} cannot be converted to {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::Error;

    #[test]
    fn words() {
        for (error, kind, message) in [
            ("VALIDATION:no", "ValidationException", Some("no")),
            ("VALIDATION_REQUEST:no at line 1 column 2", "ValidationException", Some("no")),
            ("SERIALIZATION:", "SerializationException", None),
            (
                "invalid type: integer `23`, expected a string",
                "SerializationException",
                Some("NUMBER_VALUE cannot be converted to String"),
            ),
            (
                "invalid type: string \"x\", expected a boolean",
                "SerializationException",
                Some("STRING_VALUE cannot be converted to Boolean"),
            ),
            (
                "missing field `TableName`",
                "ValidationException",
                Some(
                    "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must \
                     not be null",
                ),
            ),
        ] {
            let fault = fault(&serde_json::Error::custom(error));
            assert_eq!((fault.name(), fault.message.as_deref()), (kind, message), "{error}");
        }
    }
}
