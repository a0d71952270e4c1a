//! Event patterns: which events a function is given.
//!
//! In: a pattern's JSON. Out: rules that can be asked of an event. Never: an event read here that is not given.
//!
//! Lambda Developer Guide, "Control which events Lambda sends to your function" (filter rule syntax): members named together
//! must all fit, what is listed in an array is an alternative.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// Characters of a pattern (Lambda API reference, "Filter").
const LENGTH_MAX: usize = 4096;

/// A pattern, as it was written and as it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventPattern {
    text: String,
    fields: Fields,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Fields {
    all: Vec<(String, Rule)>,
    /// `$or`: one of them too.
    any: Vec<Fields>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Within(Fields),
    One(Vec<Test>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(Value),
    Prefix(String),
    Suffix(String),
    /// In lower case.
    IgnoringCase(String),
    Exists(bool),
    Not(Vec<Test>),
    Numeric(Vec<(Compare, Number)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

// === impl EventPattern ===
impl EventPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > LENGTH_MAX {
            return Err(format!("a pattern has at most {LENGTH_MAX} characters"));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => Ok(EventPattern { text: text.to_owned(), fields: Fields::read(&members)? }),
            Ok(_) => Err("a pattern is a JSON object".to_owned()),
            Err(error) => Err(format!("not JSON: {error}")),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `event` fits.
    pub fn fits(&self, event: &Value) -> bool {
        self.fields.fits(Some(event))
    }
}

impl TryFrom<String> for EventPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        EventPattern::parse(&text)
    }
}

impl From<EventPattern> for String {
    fn from(pattern: EventPattern) -> String {
        pattern.text
    }
}

// === impl Fields ===
impl Fields {
    fn read(members: &Map<String, Value>) -> Result<Self, String> {
        let mut fields = Fields::default();
        if members.is_empty() {
            return Err("an object names at least one member".to_owned());
        }
        for (name, value) in members {
            match (name.as_str(), value) {
                ("$or", Value::Array(list)) if list.len() >= 2 => {
                    let read = list.iter().map(|one| match one {
                        Value::Object(members) => Fields::read(members),
                        _ => Err("'$or' lists objects".to_owned()),
                    });
                    fields.any = read.collect::<Result<_, _>>()?;
                }
                ("$or", _) => return Err("'$or' lists two objects or more".to_owned()),
                (_, Value::Object(members)) => {
                    fields.all.push((name.clone(), Rule::Within(Fields::read(members)?)));
                }
                (_, Value::Array(list)) if !list.is_empty() => {
                    let tests = list.iter().map(Test::read).collect::<Result<_, _>>()?;
                    fields.all.push((name.clone(), Rule::One(tests)));
                }
                _ => return Err(format!("'{name}' must be an object or a list of what it may be")),
            }
        }
        Ok(fields)
    }

    /// What is not there has no members.
    fn fits(&self, event: Option<&Value>) -> bool {
        if let Some(Value::Array(list)) = event {
            return list.iter().any(|one| self.fits(Some(one)));
        }
        let all = self.all.iter().all(|(name, rule)| {
            let found = event.and_then(|event| event.get(name));
            match rule {
                Rule::Within(fields) => fields.fits(found),
                Rule::One(tests) => tests.iter().any(|test| test.fits(found, name)),
            }
        });
        all && (self.any.is_empty() || self.any.iter().any(|fields| fields.fits(event)))
    }
}

// === impl Test ===
impl Test {
    fn read(value: &Value) -> Result<Self, String> {
        let Value::Object(members) = value else {
            return match value {
                Value::Array(_) => Err("a list holds no list".to_owned()),
                literal => Ok(Test::Is(literal.clone())),
            };
        };
        let mut members = members.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return Err("a comparison has one member".to_owned());
        };
        let text = || value.as_str().map(str::to_owned).ok_or_else(|| format!("'{name}' takes a string"));
        match name.as_str() {
            "prefix" => text().map(Test::Prefix),
            "suffix" => text().map(Test::Suffix),
            "equals-ignore-case" => text().map(|text| Test::IgnoringCase(text.to_lowercase())),
            "exists" => value.as_bool().map(Test::Exists).ok_or_else(|| "'exists' takes true or false".to_owned()),
            "anything-but" => Test::not(value),
            "numeric" => numeric(value).map(Test::Numeric).ok_or_else(|| {
                "'numeric' takes a comparison and a number, once or twice, like [\">\", 0, \"<=\", 5]".to_owned()
            }),
            other => Err(format!("'{other}' is no comparison")),
        }
    }

    fn not(value: &Value) -> Result<Self, String> {
        let listed = match value {
            Value::Array(list) if !list.is_empty() => list.as_slice(),
            Value::Object(_) | Value::String(_) | Value::Number(_) => std::slice::from_ref(value),
            _ => return Err("'anything-but' takes strings, numbers or a prefix".to_owned()),
        };
        let tests = listed.iter().map(|one| match Test::read(one)? {
            test @ (Test::Is(Value::String(_) | Value::Number(_)) | Test::Prefix(_) | Test::Suffix(_)) => Ok(test),
            test @ Test::IgnoringCase(_) => Ok(test),
            _ => Err("'anything-but' takes strings, numbers or a prefix".to_owned()),
        });
        tests.collect::<Result<_, _>>().map(Test::Not)
    }

    /// `name`: of the member that is asked.
    fn fits(&self, found: Option<&Value>, name: &str) -> bool {
        match (self, found) {
            (Test::Exists(wanted), found) => found.is_some_and(|found| !found.is_object()) == *wanted,
            (_, None) => false,
            (Test::Not(tests), Some(found)) => !tests.iter().any(|test| test.fits(Some(found), name)),
            (test, Some(Value::Array(list))) => list.iter().any(|one| test.fits(Some(one), name)),
            (Test::Is(Value::Number(wanted)), Some(Value::Number(found))) => wanted.as_f64() == found.as_f64(),
            (Test::Is(wanted), Some(found)) => wanted == found,
            (Test::Prefix(start), Some(Value::String(found))) => found.starts_with(start.as_str()),
            (Test::Suffix(end), Some(Value::String(found))) => found.ends_with(end.as_str()),
            (Test::IgnoringCase(wanted), Some(Value::String(found))) => found.to_lowercase() == *wanted,
            (Test::Numeric(bounds), Some(found)) => number(found, name).is_some_and(|number| {
                bounds.iter().all(|(compare, bound)| bound.as_f64().is_some_and(|bound| compare.holds(number, bound)))
            }),
            _ => false,
        }
    }
}

/// A number; also one of a table's, which are strings in the member `N`. (The service compares numbers only, which a table's
/// never are.)
fn number(found: &Value, name: &str) -> Option<f64> {
    match found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if matches!(name, "N" | "NS") => text.parse().ok(),
        _ => None,
    }
}

fn numeric(value: &Value) -> Option<Vec<(Compare, Number)>> {
    let list = value.as_array().filter(|list| matches!(list.len(), 2 | 4))?;
    let pairs = list.chunks_exact(2).map(|pair| match pair {
        [Value::String(compare), Value::Number(bound)] => Some((Compare::read(compare)?, bound.clone())),
        _ => None,
    });
    pairs.collect()
}

// === impl Compare ===
impl Compare {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Compare::Equal,
            "<" => Compare::Less,
            "<=" => Compare::LessOrEqual,
            ">" => Compare::More,
            ">=" => Compare::MoreOrEqual,
            _ => return None,
        })
    }

    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Compare::Equal => number == bound,
            Compare::Less => number < bound,
            Compare::LessOrEqual => number <= bound,
            Compare::More => number > bound,
            Compare::MoreOrEqual => number >= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_choose_events() {
        let event = json!({
            "eventName": "MODIFY", "size": 26, "flag": true, "nothing": null,
            "dynamodb": {
                "Keys": { "pk": { "S": "order/1" } },
                "NewImage": { "n": { "N": "12.5" }, "tags": { "SS": ["red", "blue"] }, "l": { "L": [{ "S": "x" }, { "S": "y" }] } },
            },
        });
        for (pattern, want) in [
            (r#"{"eventName":["INSERT","MODIFY"]}"#, true),
            (r#"{"eventName":["INSERT"]}"#, false),
            (r#"{"eventName":["MODIFY"],"size":[27]}"#, false),
            (r#"{"size":[26.0],"flag":[true],"nothing":[null]}"#, true),
            (r#"{"absent":[null]}"#, false),
            (r#"{"dynamodb":{"Keys":{"pk":{"S":[{"prefix":"order/"}]}}}}"#, true),
            (r#"{"dynamodb":{"Keys":{"pk":{"S":[{"suffix":"/2"},{"suffix":"/1"}]}}}}"#, true),
            (r#"{"dynamodb":{"Keys":{"pk":{"S":[{"prefix":"user/"}]}}}}"#, false),
            (r#"{"dynamodb":{"Keys":{"pk":{"S":[{"equals-ignore-case":"ORDER/1"}]}}}}"#, true),
            (r#"{"dynamodb":{"NewImage":{"n":{"N":[{"numeric":[">",10,"<=",12.5]}]}}}}"#, true),
            (r#"{"dynamodb":{"NewImage":{"n":{"N":[{"numeric":["<",12.5]}]}}}}"#, false),
            (r#"{"dynamodb":{"NewImage":{"n":{"N":["12.5"]}}}}"#, true),
            (r#"{"size":[{"numeric":["=",26]}]}"#, true),
            (r#"{"eventName":[{"numeric":["=",26]}]}"#, false),
            (r#"{"dynamodb":{"NewImage":{"tags":{"SS":["blue"]}}}}"#, true),
            (r#"{"dynamodb":{"NewImage":{"tags":{"SS":[{"anything-but":["blue"]}]}}}}"#, false),
            (r#"{"dynamodb":{"NewImage":{"l":{"L":{"S":["y"]}}}}}"#, true),
            (r#"{"dynamodb":{"OldImage":{"pk":{"S":[{"exists":false}]}}}}"#, true),
            (r#"{"dynamodb":{"OldImage":{"pk":{"S":[{"exists":true}]}}}}"#, false),
            (r#"{"dynamodb":{"Keys":{"pk":{"S":[{"exists":true}]}}}}"#, true),
            (r#"{"eventName":[{"anything-but":["INSERT","REMOVE"]}]}"#, true),
            (r#"{"eventName":[{"anything-but":"MODIFY"}]}"#, false),
            (r#"{"eventName":[{"anything-but":{"prefix":"MOD"}}]}"#, false),
            (r#"{"absent":[{"anything-but":"x"}]}"#, false),
            (r#"{"$or":[{"eventName":["INSERT"]},{"size":[26]}]}"#, true),
            (r#"{"eventName":["MODIFY"],"$or":[{"eventName":["INSERT"]},{"size":[1]}]}"#, false),
        ] {
            assert_eq!(EventPattern::parse(pattern).unwrap().fits(&event), want, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for (pattern, want) in [
            ("", "not JSON"),
            ("[]", "a JSON object"),
            ("{}", "at least one"),
            (r#"{"a":"b"}"#, "an object or a list"),
            (r#"{"a":[]}"#, "an object or a list"),
            (r#"{"a":[[1]]}"#, "no list"),
            (r#"{"a":[{"like":"b"}]}"#, "'like' is no comparison"),
            (r#"{"a":[{"prefix":1}]}"#, "takes a string"),
            (r#"{"a":[{"prefix":"a","suffix":"b"}]}"#, "one member"),
            (r#"{"a":[{"exists":"yes"}]}"#, "true or false"),
            (r#"{"a":[{"anything-but":[]}]}"#, "takes strings"),
            (r#"{"a":[{"anything-but":[{"exists":true}]}]}"#, "takes strings"),
            (r#"{"a":[{"numeric":["~",1]}]}"#, "takes a comparison"),
            (r#"{"a":[{"numeric":[">",1,"<"]}]}"#, "takes a comparison"),
            (r#"{"$or":[{"a":[1]}]}"#, "two objects or more"),
            (r#"{"$or":[1,2]}"#, "lists objects"),
        ] {
            let error = EventPattern::parse(pattern).unwrap_err();
            assert!(error.contains(want), "{pattern}: {error}");
        }
        assert!(EventPattern::parse(&format!(r#"{{"a":["{}"]}}"#, "x".repeat(5000))).is_err());
    }
}
